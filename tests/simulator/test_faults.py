"""Every fault does what its name says, to whom it says, and ends when it is told to."""

import json
import time
from itertools import pairwise

import pytest
import websocket

from connector.simulator import MALFORMED_KINDS

QUIET = {"symbols": ("BTCUSDT", "ETHBTC"), "events_per_s": 0.0}


def trade_ids(client, count):
    return [message["data"]["t"] for message in client.collect(count)]


def published(sim, stream="btcusdt@trade"):
    return sim.ledger.stream(stream).published


# connections


def test_a_cut_resets_the_connection(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    assert sim.faults.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.ws.recv()
    assert sim.faults.cut() == 0


@pytest.mark.parametrize("at_byte", [1, 2, 3, 50])
def test_a_cut_can_tear_a_frame_at_any_byte(simulator, connect, at_byte):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.faults.cut(at_byte=at_byte)
    sim.step(500)
    seen = b""
    with pytest.raises(ConnectionResetError):
        while True:
            seen += client.ws.sock.recv(65_536)
    assert len(seen) == at_byte
    assert seen[0] == 0x81


def test_a_cut_can_choose_the_subscribers_of_one_stream(simulator, connect):
    sim = simulator(**QUIET)
    struck, spared = connect(sim, "btcusdt@trade"), connect(sim, "ethbtc@trade")
    assert sim.faults.cut(stream="btcusdt@trade") == 1
    sim.step(500)
    assert spared.receive()["stream"] == "ethbtc@trade"
    with pytest.raises(ConnectionResetError):
        struck.ws.recv()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 3000, 4999])
def test_a_connection_can_be_closed_with_any_code(simulator, connect, code):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    assert sim.faults.close(code, "so be it") == 1
    assert client.close_code() == code


def test_half_open_lets_nothing_pass_and_loses_nothing_when_it_heals(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    assert sim.faults.half_open() == 1
    sim.step(1_000)
    client.ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 5}))
    assert client.quiet()
    assert not sim.ledger.control_frames()
    sim.faults.half_open(on=False)
    assert trade_ids(client, published(sim)) == list(sim.ledger.trades("BTCUSDT"))
    assert client.receive()["id"] == 5


def test_half_open_in_one_direction(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.faults.half_open(direction="in")
    client.ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 5}))
    sim.step(500)
    assert trade_ids(client, published(sim)) == list(sim.ledger.trades("BTCUSDT"))
    assert client.quiet()
    sim.faults.clear()
    assert client.receive()["id"] == 5

    sim.faults.half_open(direction="out")
    client.ws.send(json.dumps({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 6}))
    assert client.quiet()
    assert sim.ledger.subscriptions() == {1: []}


def test_half_open_can_swallow_new_connections_too(simulator, connect, rest):
    sim = simulator(**QUIET)
    sim.faults.half_open(new_connections=True, scope="all")
    with pytest.raises(websocket.WebSocketTimeoutException):
        connect(sim, "btcusdt@trade", timeout=0.2)
    with pytest.raises(TimeoutError):
        rest(sim)("/api/v3/ping", timeout=0.2)
    sim.faults.clear()
    assert rest(sim)("/api/v3/ping").status == 200


def test_a_half_open_connection_is_let_go_by_the_server_in_the_end(simulator, connect, eventually):
    sim = simulator(**QUIET, ping_every_s=0.05, pong_within_s=0.2)
    connect(sim, "btcusdt@trade")
    sim.faults.half_open()
    eventually(sim.ledger.violations)
    eventually(lambda: not sim.ledger.subscriptions())


def test_refused_connections_are_refused_and_open_ones_stay(simulator, connect, rest):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.faults.refuse_connect()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(sim, "btcusdt@trade")
        with pytest.raises(ConnectionRefusedError):
            rest(sim)("/api/v3/ping")
    sim.step(500)
    assert client.receive()["stream"] == "btcusdt@trade"
    sim.faults.clear()
    assert rest(sim)("/api/v3/ping").status == 200
    connect(sim, "btcusdt@trade")


def test_refused_connections_come_back_by_themselves_after_the_given_time(simulator, rest, eventually):
    sim = simulator(**QUIET)
    sim.faults.refuse_connect(for_s=0.1)

    def answered():
        try:
            return rest(sim)("/api/v3/ping").status == 200
        except ConnectionRefusedError:
            return False

    assert not answered()
    eventually(answered)


def test_refusing_and_accepting_may_alternate_as_fast_as_one_likes(simulator, rest):
    sim = simulator(**QUIET)

    def flicker():
        for _ in range(5):
            sim.faults.refuse_connect(for_s=0.0)
            sim.faults.clear()
            sim.faults.clear()

    sim.on_loop(flicker)
    assert rest(sim)("/api/v3/ping").status == 200
    sim.on_loop(lambda: (sim.faults.refuse_connect(), sim.faults.clear(), sim.faults.refuse_connect()))
    with pytest.raises(ConnectionRefusedError):
        rest(sim)("/api/v3/ping")


@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 451, 500, 502, 503, 504])
def test_an_upgrade_can_be_answered_with_any_status(simulator, connect, status):
    sim = simulator(**QUIET)
    sim.faults.refuse_upgrade(status, count=1, retry_after_s=3)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(sim, "btcusdt@trade", redirect_limit=0)
    assert refused.value.status_code == status
    assert refused.value.resp_headers["retry-after"] == "3"
    connect(sim, "btcusdt@trade")


def test_an_upgrade_can_be_sent_elsewhere(simulator, connect):
    sim = simulator(**QUIET)
    sim.faults.refuse_upgrade(301, count=1)
    with pytest.raises(websocket.WebSocketException, match="Redirect"):
        connect(sim, "btcusdt@trade", redirect_limit=0)


def test_an_upgrade_can_stay_unanswered(simulator, connect):
    sim = simulator(**QUIET)
    sim.faults.hang_upgrade(count=1)
    with pytest.raises(websocket.WebSocketTimeoutException):
        connect(sim, "btcusdt@trade", timeout=0.2)
    connect(sim, "btcusdt@trade")


def test_a_connection_can_be_closed_as_soon_as_it_is_open(simulator, connect):
    sim = simulator(**QUIET)
    sim.faults.close_on_open(count=2)
    assert connect(sim, "btcusdt@trade").close_code() == 1001
    assert connect(sim, "btcusdt@trade").close_code() == 1001
    client = connect(sim, "btcusdt@trade")
    sim.step(500)
    assert client.receive()["stream"] == "btcusdt@trade"


def test_the_end_is_announced_in_both_modes(simulator, connect):
    sim = simulator(**QUIET)
    combined, raw = connect(sim, "btcusdt@trade"), connect(sim, path="/ws/btcusdt@trade")
    assert sim.faults.server_shutdown() == 2
    message = combined.receive()
    assert message["stream"] == "!serverShutdown"
    assert message["data"]["e"] == "serverShutdown"
    assert raw.receive()["e"] == "serverShutdown"
    sim.step(500)
    assert raw.receive()["e"] == "trade"


# bytes


def test_sliced_bytes_arrive_whole(simulator, connect, rest):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.faults.slice(1)
    sim.step(100)
    assert trade_ids(client, published(sim)) == list(sim.ledger.trades("BTCUSDT"))
    assert len(rest(sim)("/api/v3/depth", symbol="BTCUSDT", limit=20).json["bids"]) == 20


def test_delayed_bytes_arrive_late_and_in_order(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.faults.delay(0.15, jitter_s=0.1)
    sent = time.monotonic()
    for _ in range(5):
        sim.step(100)
    first = client.receive()
    assert time.monotonic() - sent >= 0.15
    rest_of_them = trade_ids(client, published(sim) - 1)
    assert [first["data"]["t"], *rest_of_them] == list(sim.ledger.trades("BTCUSDT"))


def test_bandwidth_is_kept(simulator, rest):
    sim = simulator(**QUIET)
    sim.faults.bandwidth(50_000)
    began = time.monotonic()
    answer = rest(sim)("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=100)
    assert len(answer.body) > 15_000
    assert time.monotonic() - began >= len(answer.body) / 50_000 * 0.8


# streams


def test_one_silent_stream_leaves_the_others_flowing(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade", "ethbtc@trade")
    sim.faults.silence("btcusdt@trade")
    sim.step(1_000)
    record = sim.ledger.stream("btcusdt@trade")
    assert record.withheld == record.published > 0
    assert {m["stream"] for m in client.collect(published(sim, "ethbtc@trade"))} == {"ethbtc@trade"}
    sim.faults.unsilence("btcusdt@trade")
    sim.step(1_000)
    assert client.until(lambda message: message["stream"] == "btcusdt@trade")


def test_when_all_is_silent_pings_are_still_answered(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade", "ethbtc@trade")
    sim.faults.silence()
    sim.step(500)
    client.ws.ping("there?")
    assert client.ws.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"there?")
    sim.faults.unsilence()
    sim.step(500)
    assert client.receive()["data"]["e"] == "trade"


def test_a_frozen_stream_repeats_itself(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@bookTicker")
    sim.step(200)
    client.collect(published(sim, "btcusdt@bookTicker") - 1)
    last = client.receive()
    sim.faults.frozen("btcusdt@bookTicker")
    sim.step(300)
    record = sim.ledger.stream("btcusdt@bookTicker")
    assert record.withheld == record.extra > 3
    assert client.collect(record.extra) == [last] * record.extra


@pytest.mark.parametrize(
    ("fault", "shape"), [("lost", [1, 0, 1, 1]), ("doubled", [1, 2, 1, 1]), ("reordered", [1, 0, 1, 1])]
)
def test_book_changes_can_be_lost_doubled_and_swapped(simulator, connect, fault, shape):
    sim = simulator(symbols=("BTCUSDT",), events_per_s=0.0)
    client = connect(sim, "btcusdt@depth@100ms")
    ends = []
    for number in range(4):
        if number == 1:
            sim.faults.deltas("BTCUSDT", **{fault: 1})
        sim.step(20)
        ends.append(sim.ledger.update_id("BTCUSDT"))
    record = sim.ledger.stream("btcusdt@depth@100ms")
    assert list(record.ids) == ends
    seen = [m["data"]["u"] for m in client.collect(record.published - record.withheld + record.extra)]
    if fault == "reordered":
        assert seen == [ends[0], ends[2], ends[1], ends[3]]
    else:
        assert seen == [end for end, times in zip(ends, shape, strict=True) for _ in range(times)]


@pytest.mark.parametrize("kind", sorted(MALFORMED_KINDS))
def test_broken_frames_come_beside_the_real_ones(simulator, connect, kind):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    sim.step(300)
    client.collect(published(sim))
    assert sim.faults.malformed(kind, stream="btcusdt@trade") == 1
    sim.step(300)
    assert sim.ledger.stream("btcusdt@trade").extra == 1
    if kind in ("reserved_bits", "oversize_control"):
        with pytest.raises(websocket.WebSocketProtocolException):
            client.ws.recv()
        return
    if kind == "bad_utf8":
        with pytest.raises(websocket.WebSocketPayloadException):
            client.ws.recv()
        return
    if kind == "huge":
        header = client.ws.sock.recv(10)
        size = int.from_bytes(header[2:], "big")
        assert header[:2] == bytes((0x81, 127))
        assert size > 50_000_000
        while size:
            size -= len(client.ws.sock.recv(min(size, 1 << 20)))
        assert client.receive()["data"]["e"] == "trade"
        return
    text = client.ws.recv()
    real = client.receive()
    assert real["data"]["t"] in sim.ledger.trades("BTCUSDT")
    if kind in ("not_json", "empty", "cut"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    elif kind == "nesting":
        assert text.startswith("[" * 10_000)
    elif kind == "fragmented":
        assert json.loads(text)["data"]["t"] == real["data"]["t"] - 1
    else:
        assert json.loads(text) != real


def test_an_unknown_kind_of_broken_frame_is_refused_with_those_known(simulator):
    with pytest.raises(ValueError, match="huge_exponent"):
        simulator(**QUIET).faults.malformed("purple")


# control frames


def test_an_answer_can_be_dropped_though_the_subscription_holds(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim)
    sim.faults.drop_ack(1)
    client.ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}))
    client.ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 2}))
    assert client.receive() == {"result": ["btcusdt@trade"], "id": 2}


def test_a_late_answer_comes_after_the_first_events(simulator, connect, eventually):
    sim = simulator(**QUIET)
    client = connect(sim)
    sim.faults.delay_ack(0.15)
    client.ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}))
    eventually(lambda: sim.ledger.subscriptions()[1])
    sim.step(300)
    answer, before = client.until(lambda message: "id" in message)
    assert answer == {"result": None, "id": 1}
    assert len(before) == published(sim)


def test_a_subscription_can_be_refused(simulator, connect):
    sim = simulator(**QUIET)
    client = connect(sim)
    sim.faults.reject_subscribe(1, code=2, msg="Invalid request: busy")
    assert client.ask("SUBSCRIBE", ["btcusdt@trade"], 1)["error"] == {"code": 2, "msg": "Invalid request: busy"}
    assert sim.ledger.subscriptions()[1] == []
    assert client.ask("SUBSCRIBE", ["btcusdt@trade"], 2)["result"] is None


# requests


def test_requests_can_fail_by_path_status_and_count(simulator, rest):
    sim = simulator(**QUIET)
    get = rest(sim)
    sim.faults.rest_error(503, count=2, path="/depth")
    assert get("/api/v3/ping").status == 200
    assert get("/api/v3/depth", symbol="BTCUSDT").json["code"] == -1008
    assert get("/api/v3/depth", symbol="BTCUSDT").status == 503
    assert get("/api/v3/depth", symbol="BTCUSDT").status == 200
    sim.faults.rest_error(403)
    page = get("/api/v3/ping")
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"<html>" in page.body
    sim.faults.clear()
    sim.faults.rest_error(429, count=1, retry_after_s=7)
    assert get("/api/v3/ping").headers["Retry-After"] == "7"
    sim.faults.rest_error(200, count=1, body='{"cut": ')
    assert get("/api/v3/ping").body == b'{"cut": '
    assert [request.status for request in sim.ledger.requests()][:3] == [200, 503, 503]


def test_an_answer_can_come_late_or_be_cut_in_the_middle(simulator, rest):
    sim = simulator(**QUIET)
    get = rest(sim)
    sim.faults.rest_delay(0.15)
    began = time.monotonic()
    assert get("/api/v3/ping").status == 200
    assert time.monotonic() - began >= 0.15
    with pytest.raises(TimeoutError):
        get("/api/v3/ping", timeout=0.05)
    sim.faults.clear()
    sim.faults.rest_cut(at_byte=400)
    with pytest.raises((ConnectionResetError, Exception)) as torn:
        get("/api/v3/depth", symbol="BTCUSDT")
    assert type(torn.value).__name__ in ("ConnectionResetError", "IncompleteRead")
    assert get("/api/v3/depth", symbol="BTCUSDT").status == 200


def test_a_snapshot_can_be_older_than_the_stream(simulator, rest):
    sim = simulator(**QUIET)
    sim.step(3_000)
    newest = sim.ledger.update_id("BTCUSDT")
    sim.faults.stale_snapshot("BTCUSDT", updates=500)
    get = rest(sim)
    old = get("/api/v3/depth", symbol="BTCUSDT", limit=5000).json
    assert old["lastUpdateId"] == newest - 500
    assert len(old["bids"]) == len(sim.ledger.book("BTCUSDT", newest - 500)[0])
    assert get("/api/v3/depth", symbol="BTCUSDT").json["lastUpdateId"] == newest


def test_a_ban_answers_418_until_it_is_over(simulator, rest, connect, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock)
    get = rest(sim)
    sim.faults.ban(for_s=30.0)
    assert get("/api/v3/ping").status == 418
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(sim)
    assert refused.value.status_code == 418
    hand_clock.advance(40.0)
    assert get("/api/v3/ping").status == 200


# the exchange


def test_the_clock_can_be_wrong(simulator, rest, connect):
    sim = simulator(**QUIET)
    get = rest(sim)
    client = connect(sim, "btcusdt@trade")
    sim.step(300)
    client.collect(published(sim))
    sim.faults.clock_skew(-30_000)
    sim.step(300)
    assert 29_000 < time.time() * 1000 - get("/api/v3/time").json["serverTime"] < 32_000
    assert 29_000 < time.time() * 1000 - client.receive()["data"]["E"] < 40_000
    sim.faults.clear()
    assert abs(time.time() * 1000 - get("/api/v3/time").json["serverTime"]) < 2_000
    sim.step(300)
    ids = [trade.time_us for trade in sim.ledger.trades("BTCUSDT").values()]
    assert all(earlier <= later for earlier, later in pairwise(ids))


def test_clear_ends_everything_that_lasts(simulator, connect, rest):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade", "btcusdt@depth@100ms")
    faults = sim.faults
    faults.silence("btcusdt@trade")
    faults.frozen("btcusdt@depth@100ms")
    faults.deltas("BTCUSDT", lost=100)
    faults.delay(5.0)
    faults.slice(1)
    faults.bandwidth(10)
    faults.half_open()
    faults.rest_error(500)
    faults.rest_delay(9.0)
    faults.refuse_upgrade(502)
    faults.hang_upgrade()
    faults.drop_ack(None)
    faults.ban()
    faults.refuse_connect()
    faults.clear()
    assert rest(sim)("/api/v3/ping").status == 200
    assert connect(sim).ask("LIST_SUBSCRIPTIONS")["result"] == []
    sim.step(300)
    assert trade_ids_of(client, published(sim)) == list(sim.ledger.trades("BTCUSDT"))
    assert sim.faults.injected["clear"] == 1


def trade_ids_of(client, count):
    ids = []
    while len(ids) < count:
        message = client.receive()
        if message["stream"] == "btcusdt@trade":
            ids.append(message["data"]["t"])
    return ids


def test_faults_may_be_injected_from_outside_the_process(simulator, connect, rest):
    sim = simulator(**QUIET)
    client = connect(sim, "btcusdt@trade")
    ask = rest(sim)
    assert ask("/simulator/step", method="POST", body='{"count": 500}').json == {"result": 500}
    count = ask("/simulator/ledger/stream", name="btcusdt@trade").json["published"]
    assert trade_ids(client, count) == [
        row["trade_id"] for row in ask("/simulator/ledger/trades", symbol="BTCUSDT").json
    ]
    book = ask("/simulator/ledger/book", symbol="BTCUSDT").json
    assert book["digest"] == sim.ledger.digest("BTCUSDT", book["update_id"])
    assert ask("/simulator/ledger/connections").json[0]["subscriptions"] == ["btcusdt@trade"]
    assert ask("/simulator/faults/cut", method="POST").json == {"result": 1}
    with pytest.raises(ConnectionResetError):
        client.ws.recv()
    assert ask("/simulator/ledger").json["faults"] == {"cut": 1}
    assert "binance_spot" in ask("/simulator/status").json["status"]


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("faults/nosuch", "POST", None),
        ("faults/_do", "POST", None),
        ("faults/injected", "POST", None),
        ("faults/cut", "POST", '{"depth": 3}'),
        ("faults/cut", "POST", "[1]"),
        ("faults/cut", "POST", "{"),
        ("faults/cut", "POST", '{"scope": "moon"}'),
        ("nosuch", "POST", None),
        ("nosuch", "GET", None),
        ("ledger/book", "GET", None),
        ("ledger/book?symbol=NOSUCH", "GET", None),
    ],
)
def test_wrong_commands_from_outside_are_answered_and_break_nothing(simulator, rest, path, method, body):
    sim = simulator(**QUIET)
    answer = rest(sim)(f"/simulator/{path}", method=method, body=body)
    assert answer.status == 400
    assert answer.json["error"]
    assert rest(sim)("/api/v3/ping").status == 200
