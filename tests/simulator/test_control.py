"""Subscribing, the two modes, and the rules of a connection."""

import json
import socket

import pytest
import websocket

QUIET = {"symbols": ("BTCUSDT", "ETHBTC"), "events_per_s": 0.0}


def test_streams_named_in_the_address_flow_in_both_modes(simulator, connect):
    sim = simulator(**QUIET)
    combined = connect(sim, "btcusdt@trade", "ethbtc@trade")
    raw = connect(sim, path="/ws/btcusdt@trade")
    many = connect(sim, path="/ws/btcusdt@trade/ethbtc@trade")
    sim.step(1_000)
    assert {message["stream"] for message in combined.collect(40)} == {"btcusdt@trade", "ethbtc@trade"}
    assert {message["s"] for message in raw.collect(20)} == {"BTCUSDT"}
    assert {message["s"] for message in many.collect(40)} == {"BTCUSDT", "ETHBTC"}


def test_subscriptions_come_and_go_on_an_open_connection(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim)
    assert client.ask("SUBSCRIBE", ["btcusdt@trade", "ethbtc@bookTicker"], 1) == {"result": None, "id": 1}
    assert client.ask("LIST_SUBSCRIPTIONS", None, "two") == {
        "result": ["btcusdt@trade", "ethbtc@bookTicker"],
        "id": "two",
    }
    assert list(sim.ledger.subscriptions().values()) == [["btcusdt@trade", "ethbtc@bookTicker"]]
    assert client.ask("UNSUBSCRIBE", ["btcusdt@trade"], -3) == {"result": None, "id": -3}
    sim.step(200)
    assert sim.ledger.stream("btcusdt@trade").published == 0
    assert client.receive()["stream"] == "ethbtc@bookTicker"


def test_the_mode_can_be_changed_on_an_open_connection(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, path="/ws/btcusdt@trade")
    assert client.ask("GET_PROPERTY", ["combined"]) == {"result": False, "id": 1}
    sim.step(300)
    assert "stream" not in client.receive()
    assert client.ask("SET_PROPERTY", ["combined", True], 2) == {"result": None, "id": 2}
    assert client.ask("GET_PROPERTY", ["combined"], 3)["result"] is True
    sim.step(300)
    assert client.receive()["stream"] == "btcusdt@trade"


@pytest.mark.parametrize(
    "name",
    [
        "nosuch@trade",
        "btcusdt@nosuch",
        "BTCUSDT@trade",
        "btcusdt@kline_7m",
        "btcusdt@depth7",
        "btcusdt@kline_1m@+15:00",
    ],
)
def test_a_well_formed_name_that_means_nothing_is_acknowledged_and_stays_silent(simulator, connect, name):
    sim = simulator(**QUIET)
    client = connect(sim)
    assert client.ask("SUBSCRIBE", [name])["result"] is None
    sim.step(200)
    assert sim.ledger.stream(name).published == 0
    assert client.quiet()


WRONG = [
    ("not json", 3, None),
    ("[1,2]", 2, None),
    ('{"id":4}', 2, 4),
    ('{"method":"SHOUT","id":4}', 2, 4),
    ('{"method":"SUBSCRIBE","id":4}', 2, 4),
    ('{"method":"SUBSCRIBE","params":[5],"id":4}', 2, 4),
    ('{"method":"SUBSCRIBE","params":["btcusdt"],"id":4}', 2, 4),
    ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1.5}', 2, None),
    ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":true}', 2, None),
    ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":"' + "x" * 37 + '"}', 2, None),
    ('{"method":"GET_PROPERTY","params":["colour"],"id":4}', 0, 4),
    ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":4}', 1, 4),
    ('{"method":"SET_PROPERTY","params":["combined",true,1],"id":4}', 2, 4),
    ("[" * 10_000 + "]" * 10_000, 3, None),
]


@pytest.mark.parametrize(("text", "code", "ident"), WRONG)
def test_a_wrong_control_frame_gets_an_error_and_the_connection_lives_on(simulator, connect, text, code, ident):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    client.ws.send(text)
    answer = client.receive()
    assert answer["error"]["code"] == code
    assert answer["error"]["msg"]
    assert answer["id"] == ident
    assert client.ask("LIST_SUBSCRIPTIONS", None, 9)["result"] == ["btcusdt@trade"]


def test_errors_can_have_the_documented_flat_shape(simulator, connect):
    sim = simulator(**QUIET, ws_error="flat")
    client = connect(sim)
    answer = client.ask("SUBSCRIBE", ["nonsense"], 7)
    assert answer == {"code": 2, "msg": "Invalid request: invalid stream", "id": 7}


def test_a_sixth_message_within_a_second_closes_the_connection(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    for ident in range(6):
        client.ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": ident}))
    assert client.close_code() == 1008
    assert sim.ledger.violations()[-1].kind == "messages"


def test_pings_and_pongs_of_the_client_count_as_messages(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    for _ in range(3):
        client.ws.ping("a")
        client.ws.pong("b")
    assert client.close_code() == 1008


def test_a_ping_of_the_client_is_answered_with_its_payload(simulator, connect):
    client = connect(simulator(**QUIET))
    client.ws.ping("hello")
    opcode, data = client.ws.recv_data(control_frame=True)
    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"hello")


def test_more_than_1024_streams_are_refused_and_the_connection_closed(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim)
    names = [f"s{number}@trade" for number in range(1_024)]
    assert client.ask("SUBSCRIBE", names)["result"] is None
    client.ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 2}))
    assert client.receive() == {"error": {"code": 4, "msg": "Too many subscriptions"}}
    assert client.close_code() == 1008
    assert sim.ledger.violations()[-1].kind == "streams"


def test_the_server_pings_and_a_client_that_answers_stays(simulator, connect, eventually):
    sim = simulator(**QUIET, ping_every_s=0.25, pong_within_s=0.5)
    client = connect(sim, "btcusdt@trade")
    for _ in range(4):
        opcode, _ = client.ws.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_PING
    eventually(lambda: sim.ledger.connections()[0].pongs >= 3)
    assert not sim.ledger.violations()


def test_a_client_that_answers_no_ping_is_let_go(simulator, connect, eventually):
    sim = simulator(**QUIET, ping_every_s=0.05, pong_within_s=0.15)
    connect(sim, "btcusdt@trade")
    eventually(sim.ledger.violations)
    assert sim.ledger.violations()[0].kind == "pong"
    eventually(lambda: not sim.ledger.subscriptions())


def test_unsolicited_pongs_do_not_keep_a_connection(simulator, connect, eventually):
    sim = simulator(**QUIET, ping_every_s=0.05, pong_within_s=0.2, ws_messages_per_s=10_000)
    client = connect(sim, "btcusdt@trade")

    def still_lives():
        try:
            client.ws.pong("unasked")
        except OSError:
            return True
        return bool(sim.ledger.violations())

    eventually(still_lives)
    assert sim.ledger.violations()[0].kind == "pong"


def test_an_old_connection_is_closed(simulator, connect):
    client = connect(simulator(**QUIET, max_age_s=0.2), "btcusdt@trade")
    assert client.close_code() == 1001


def test_connection_attempts_are_limited_per_address(simulator, connect):
    sim = simulator(**QUIET, connects_per_5min=2)
    connect(sim)
    connect(sim)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(sim)
    assert refused.value.status_code == 429
    assert int(refused.value.resp_headers["retry-after"]) <= 300
    assert sim.ledger.violations()[-1].kind == "connects"


def test_an_upgrade_elsewhere_is_not_found(simulator, connect):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(simulator(**QUIET), path="/elsewhere")
    assert refused.value.status_code == 404


def test_a_client_that_does_not_read_is_cut_and_others_notice_nothing(simulator, connect, eventually):
    sim = simulator(symbols=("BTCUSDT",), events_per_s=0.0, max_backlog_bytes=200_000)
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)]
    connect(sim, "btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@bookTicker", sockopt=small)
    reader = connect(sim, "btcusdt@trade")
    seen = []

    def overrun():
        sim.step(4_000)
        while len(seen) < sim.ledger.stream("btcusdt@trade").published:
            seen.append(reader.receive()["data"]["t"])
        return any(violation.kind == "backlog" for violation in sim.ledger.violations())

    eventually(overrun)
    assert seen == list(range(seen[0], seen[0] + len(seen)))


def test_the_connections_ledger_tells_who_came_and_went(simulator, connect, eventually):
    sim = simulator(**QUIET)
    first = connect(sim, "btcusdt@trade")
    connect(sim, path="/ws/ethbtc@trade")
    first.ws.close()
    eventually(lambda: len(sim.ledger.connections(open_only=True)) == 1)
    one, two = sim.ledger.connections()
    assert one.closed_ns
    assert one.close_code == 1000
    assert two.path == "/ws/ethbtc@trade"
