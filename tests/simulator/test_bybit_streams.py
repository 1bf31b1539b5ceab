"""Public topics, private sockets and orders over WebSocket of the simulated exchange bybit: the documents' rules as sentences."""

import json
import random
from decimal import Decimal

import pytest
import websocket

FIRST = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}
PRODUCTS = ("spot", "linear", "inverse")


class Book:
    """What a client makes of a book topic, by the documented rules."""

    def __init__(self, depth):
        self.depth, self.bids, self.asks, self.u, self.gaps = depth, {}, {}, None, 0

    def take(self, message):
        data = message["data"]
        if message["type"] == "snapshot":
            self.bids, self.asks = {}, {}
        elif data["u"] != self.u + 1:
            self.gaps += 1
        for side, levels in ((self.bids, data["b"]), (self.asks, data["a"])):
            for price, size in levels:
                if size == "0":
                    side.pop(Decimal(price), None)
                else:
                    side[Decimal(price)] = Decimal(size)
        self.u, self.seq = data["u"], data["seq"]

    def levels(self):
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


# control frames


def test_a_subscription_is_answered_in_the_words_of_its_product(bybit):
    for product, words in (("spot", "subscribe"), ("linear", ""), ("inverse", "")):
        _, trader = bybit(product=product)
        answer = trader.public_socket().ask("subscribe", [f"publicTrade.{FIRST[product]}"], req_id="r1")
        assert answer.pop("conn_id") and answer == {
            "success": True,
            "ret_msg": words,
            "req_id": "r1",
            "op": "subscribe",
        }
        answer = trader.public_socket().ask("subscribe", [f"tickers.{FIRST[product]}"])
        assert answer["req_id"] == ""


@pytest.mark.parametrize(
    "topic",
    [
        "orderbook.500.BTCUSDT",
        "orderbook.050.BTCUSDT",
        "kline.1m.BTCUSDT",
        "publicTrade.NOPEUSDT",
        "liquidation.BTCUSDT",
        "order",
        "",
    ],
)
def test_an_unknown_topic_fails_the_request_and_is_named(bybit, topic):
    _, trader = bybit(product="linear")
    session = trader.public_socket()
    answer = session.ask("subscribe", ["publicTrade.BTCUSDT", topic], req_id="r")
    assert answer["success"] is False and answer["ret_msg"] == f"error:handler not found,topic:{topic}"
    assert answer["req_id"] == "r"


def test_nothing_of_a_failed_request_is_subscribed(bybit):
    sim, trader = bybit()
    session = trader.public_socket()
    session.ask("subscribe", ["publicTrade.BTCUSDT", "nonsense"])
    sim.step(300)
    assert session.settle() == []


def test_a_socket_serves_its_own_product_only(bybit):
    _, trader = bybit(product="linear")
    session = trader.socket("/v5/public/spot")
    assert session.ask("subscribe", ["publicTrade.BTCUSDT"])["success"] is False
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        trader.socket("/v5/public/nonsense")


def test_a_spot_subscription_takes_ten_topics_and_contracts_any_number(bybit):
    topics = [f"kline.{n}.BTCUSDT" for n in ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D")]
    _, spot = bybit()
    session = spot.public_socket()
    assert session.ask("subscribe", topics)["ret_msg"] == "args size >10"
    assert session.ask("subscribe", topics[:10])["success"] and session.ask("subscribe", topics[10:])["success"]
    _, linear = bybit(product="linear")
    assert linear.public_socket().ask("subscribe", topics)["success"]


def test_the_topics_of_a_connection_have_a_length_altogether(bybit):
    sim, trader = bybit(product="linear", limits={"args_length": 45})
    session = trader.public_socket()
    assert session.ask("subscribe", ["publicTrade.BTCUSDT", "publicTrade.ETHUSDT"])["success"]
    assert session.ask("subscribe", ["tickers.BTCUSDT"])["success"] is False
    session.ask("unsubscribe", ["publicTrade.ETHUSDT"])
    assert session.ask("subscribe", ["tickers.BTCUSDT"])["success"]
    assert [violation.kind for violation in sim.ledger.violations()] == ["args"]


def test_what_is_unsubscribed_is_no_longer_told(bybit):
    sim, trader = bybit()
    session = trader.public_socket("publicTrade.BTCUSDT")
    assert session.ask("unsubscribe", ["publicTrade.BTCUSDT"], req_id="u")["op"] == "unsubscribe"
    sim.step(300)
    assert session.settle() == []


def test_a_ping_is_answered_as_each_kind_of_socket_does(bybit):
    for product in PRODUCTS:
        _, trader = bybit(product=product)
        answer = trader.public_socket().ask("ping", req_id="p")
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": "pong", "op": "ping", "req_id": "p"}
        bare = trader.public_socket().ask("ping")
        assert ("req_id" in bare) == (product != "spot")
        private = trader.socket("/v5/private").ask("ping", req_id="p")
        assert private.pop("conn_id") and private == {"req_id": "p", "op": "pong", "args": [str(trader.now_ms())]}
        trade = trader.socket("/v5/trade").ask("ping")
        assert trade.pop("connId")
        assert trade == {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(trader.now_ms())]}


def test_frames_that_make_no_sense_are_answered_and_harm_nothing(bybit):
    _, trader = bybit()
    session = trader.public_socket()
    for text in (
        "{",
        "[]",
        "null",
        '{"op":"nonsense"}',
        '{"op":"subscribe"}',
        '{"op":"subscribe","args":[1]}',
        '{"op":"subscribe","args":[]}',
    ):
        session.ws.send(text)
        assert session.answer()["success"] is False, text
    assert session.ask("subscribe", ["publicTrade.BTCUSDT"])["success"]


def test_refused_and_lost_answers_can_be_caused(bybit, eventually):
    sim, trader = bybit()
    session = trader.public_socket()
    sim.faults.reject_subscribe(msg="error:later")
    assert session.ask("subscribe", ["publicTrade.BTCUSDT"])["ret_msg"] == "error:later"
    sim.faults.drop_ack()
    session.send(op="subscribe", args=["publicTrade.BTCUSDT"])
    eventually(lambda: list(sim.ledger.subscriptions().values()) == [["publicTrade.BTCUSDT"]])
    sim.step(300)
    assert {message["topic"] for message in session.settle()} == {"publicTrade.BTCUSDT"} and session.answers == []


def test_a_client_that_says_nothing_is_cut_from_private_sockets_only(bybit, eventually):
    sim, trader = bybit(limits={"idle_s": 1}, ping_every_s=0.4, product="linear")
    public, private, trade = trader.public_socket(), trader.socket("/v5/private"), trader.socket("/v5/trade")
    eventually(lambda: len(sim.ledger.connections(open_only=True)) == 1)
    assert public.ask("ping")["ret_msg"] == "pong"
    assert [violation.kind for violation in sim.ledger.violations()] == ["idle", "idle"]
    for session in (private, trade):
        assert session.ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    sim.faults.clear()


def test_this_venue_sends_no_pings_and_no_notice_of_its_end(bybit):
    sim, trader = bybit(ping_every_s=0.05, pong_within_s=0.1, max_age_s=0.3)
    session = trader.public_socket()
    session.ws.settimeout(0.6)
    with pytest.raises(websocket.WebSocketTimeoutException):
        session.ws.recv_data(control_frame=True)
    assert sim.faults.server_shutdown() == 0


# public topics


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_a_book_begins_with_a_snapshot_and_goes_on_with_deltas_counted_by_one(bybit, product, depth):
    sim, trader = bybit(product=product)
    topic = f"orderbook.{depth}.{FIRST[product]}"
    session, book = trader.public_socket(topic), Book(depth)
    for _ in range(30):
        sim.step(20)
    messages = session.settle()
    assert [message["type"] for message in messages[:2]] == ["snapshot", "delta"]
    assert {message["type"] for message in messages[1:]} == {"delta"} and len(messages) > 20
    for message in messages:
        assert message["topic"] == topic and message["data"]["s"] == FIRST[product] and message["cts"] <= message["ts"]
        book.take(message)
        bids, asks = sim.ledger.book(FIRST[product], book.seq)
        assert book.levels() == (bids[:depth], asks[:depth])
    assert book.gaps == 0


def test_a_second_subscriber_gets_a_snapshot_of_what_the_first_one_knows(bybit):
    sim, trader = bybit(product="linear")
    first, one, two = trader.public_socket("orderbook.50.BTCUSDT"), Book(50), Book(50)
    sim.step(100)
    second = trader.public_socket("orderbook.50.BTCUSDT")
    sim.step(100)
    for message in first.settle():
        one.take(message)
    for message in second.settle():
        two.take(message)
    assert (one.levels(), one.u, two.gaps) == (two.levels(), two.u, 0)


def test_subscribing_anew_gives_a_fresh_snapshot(bybit):
    sim, trader = bybit()
    session = trader.public_socket("orderbook.50.BTCUSDT")
    sim.step(50)
    session.ask("unsubscribe", ["orderbook.50.BTCUSDT"])
    sim.step(50)
    session.settle()
    session.ask("subscribe", ["orderbook.50.BTCUSDT"])
    (snapshot,) = session.settle()
    book = Book(50)
    book.take(snapshot)
    bids, asks = sim.ledger.book("BTCUSDT")
    assert snapshot["type"] == "snapshot" and book.levels() == (bids[:50], asks[:50])


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_top_of_the_book_is_always_a_snapshot_and_repeated_after_three_quiet_seconds(bybit, product, hand_clock):
    sim, trader = bybit(product=product)
    session = trader.public_socket(f"orderbook.1.{FIRST[product]}")
    sim.step(200)
    sim.step(200)
    messages = session.settle()
    assert {message["type"] for message in messages} == {"snapshot"} and len(messages) > 1
    assert all(len(message["data"]["b"]) == len(message["data"]["a"]) == 1 for message in messages)
    us = [message["data"]["u"] for message in messages]
    assert us == list(range(us[0], us[0] + len(us)))
    hand_clock.advance(2.9)
    assert session.quiet()
    hand_clock.advance(0.2)
    session.read()
    (again,) = session.messages
    assert again["data"] == messages[-1]["data"] and again["ts"] > messages[-1]["ts"]


def test_in_spot_and_at_the_top_the_time_stands_before_the_type(bybit):
    for product, topic, names in (
        ("spot", "orderbook.50.BTCUSDT", ["topic", "ts", "type", "data", "cts"]),
        ("linear", "orderbook.1.BTCUSDT", ["topic", "ts", "type", "data", "cts"]),
        ("linear", "orderbook.50.BTCUSDT", ["topic", "type", "ts", "data", "cts"]),
    ):
        _, trader = bybit(product=product)
        session = trader.public_socket(topic)
        assert list(session.settle()[0]) == names


def test_the_deepest_topic_and_rest_count_alike(bybit):
    sim, trader = bybit(product="linear")
    session, book = trader.public_socket("orderbook.1000.BTCUSDT"), Book(1000)
    sim.step(100)
    for message in session.settle():
        book.take(message)
    shown = trader.public("orderbook", symbol="BTCUSDT", limit=1000)
    assert (shown["u"], shown["seq"]) == (book.u, book.seq)
    assert [(Decimal(p), Decimal(s)) for p, s in shown["b"]] == book.levels()[0]


def test_a_restarted_service_begins_its_books_with_one(bybit):
    sim, trader = bybit(product="linear")
    session, book = trader.public_socket("orderbook.50.BTCUSDT"), Book(50)
    sim.step(50)
    assert sim.faults.service_restart() == 1
    sim.step(50)
    messages = session.settle()
    kinds = [(message["type"], message["data"]["u"]) for message in messages]
    assert kinds[-2:] == [("snapshot", 1), ("delta", 2)]
    for message in messages:
        book.take(message)
    bids, asks = sim.ledger.book("BTCUSDT")
    assert book.levels() == (bids[:50], asks[:50])


def test_a_venue_that_shows_no_restart_refuses_the_fault():
    from connector.simulator import Simulator, SimulatorSettings

    with pytest.raises(ValueError, match="started anew"):
        Simulator(SimulatorSettings()).faults.service_restart()


def test_lost_doubled_and_swapped_deltas_leave_gaps(bybit):
    sim, trader = bybit(symbols=("BTCUSDT",))
    session = trader.public_socket("orderbook.50.BTCUSDT")
    session.settle()

    def told(**fault):
        sim.faults.deltas("BTCUSDT", **fault)
        for _ in range(4):
            sim.step(40)
        us = [message["data"]["u"] for message in session.settle()]
        return [u - us[0] for u in us]

    start = told()
    assert start == [0, 1, 2, 3]
    assert told(lost=1) == [0, 1, 2]
    assert told(doubled=1) == [0, 0, 1, 2, 3]
    assert told(reordered=1) == [0, -1, 1, 2]
    record = sim.ledger.stream("orderbook.50.BTCUSDT")
    assert (record.published, record.withheld, record.extra) == (16, 1, 1)


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_trade_is_told_once_in_order(bybit, product):
    sim, trader = bybit(product=product, symbols=(FIRST[product],))
    session = trader.public_socket(f"publicTrade.{FIRST[product]}")
    sim.step(2000)
    messages = session.settle()
    rows = [row for message in messages for row in message["data"]]
    trades = list(sim.ledger.trades(FIRST[product]).values())
    assert len(rows) == len(trades) > 50 and any(len(message["data"]) > 1 for message in messages)
    for row, trade in zip(rows, trades, strict=True):
        assert (Decimal(row["p"]), Decimal(row["v"]), row["T"]) == (trade.price, trade.quantity, trade.time_us // 1000)
        assert row["S"] == ("Sell" if trade.buyer_is_maker else "Buy") and row["BT"] is row["RPI"] is False
        assert isinstance(row["seq"], int) and ("L" in row) == (product != "spot")
    assert {message["type"] for message in messages} == {"snapshot"}
    assert len({row["i"] for row in rows}) == len(rows)
    if product != "spot":
        last = None
        for row in rows:
            price = Decimal(row["p"])
            if last is not None and price != last:
                assert row["L"] == ("PlusTick" if price > last else "MinusTick")
            elif last is not None:
                assert row["L"].startswith("Zero")
            last = price


def test_a_frame_holds_at_most_1024_trades(bybit):
    sim, trader = bybit(symbols=("BTCUSDT",))
    session = trader.public_socket("publicTrade.BTCUSDT")
    sim.faults.fills_split(60)
    trader.place(orderType="Market", qty="0.5", marketUnit="baseCoin")
    sizes = [len(message["data"]) for message in session.settle()]
    assert sizes[0] == 1024 and max(sizes) == 1024 and sum(sizes) == len(sim.ledger.trades("BTCUSDT"))


def test_the_spot_ticker_is_always_whole_and_without_best_prices(bybit):
    sim, trader = bybit()
    session = trader.public_socket("tickers.BTCUSDT")
    for _ in range(5):
        sim.step(100)
    messages = session.settle()
    assert {message["type"] for message in messages} == {"snapshot"} and len(messages) > 2
    assert all("bid1Price" not in message["data"] for message in messages) and isinstance(messages[0]["cs"], int)
    row = trader.public("tickers", symbol="BTCUSDT")["list"][0]
    assert all(row[name] == text for name, text in messages[-1]["data"].items())


@pytest.mark.parametrize("product", ["linear", "inverse"])
def test_a_contracts_ticker_begins_whole_and_goes_on_with_what_changed(bybit, product):
    sim, trader = bybit(product=product)
    session = trader.public_socket(f"tickers.{FIRST[product]}")
    for _ in range(8):
        sim.step(100)
    messages = session.settle()
    assert [message["type"] for message in messages[:2]] == ["snapshot", "delta"]
    state, whole = dict(messages[0]["data"]), len(messages[0]["data"])
    for message in messages[1:]:
        assert message["type"] == "delta" and len(message["data"]) < whole
        assert all(state[name] != text for name, text in message["data"].items() if name != "symbol")
        state |= message["data"]
    row = trader.public("tickers", symbol=FIRST[product])["list"][0]
    assert all(row[name] == state[name] for name in state if name != "tickDirection")


def test_a_late_subscriber_of_a_ticker_gets_a_snapshot_that_fits_the_next_delta(bybit):
    sim, trader = bybit(product="linear")
    first = trader.public_socket("tickers.BTCUSDT")
    sim.step(100)
    second = trader.public_socket("tickers.BTCUSDT")
    sim.step(100)
    states = []
    for session in (first, second):
        state = {}
        for message in session.settle():
            state |= message["data"]
        states.append(state)
    assert states[0] == states[1]


@pytest.mark.parametrize("product", PRODUCTS)
def test_candles_are_told_while_they_grow_and_once_more_when_they_are_closed(bybit, product, hand_clock):
    sim, trader = bybit(product=product)
    session = trader.public_socket(f"kline.1.{FIRST[product]}")
    for _ in range(4):
        sim.step(200)
        hand_clock.advance(20)
    sim.step(1)
    rows = [row for message in session.settle() for row in message["data"]]
    closed = [row for row in rows if row["confirm"]]
    assert len(closed) in (1, 2) and rows[0]["confirm"] is False and rows[0]["interval"] == "1"
    assert closed[0]["end"] - closed[0]["start"] == 59_999
    listed = {int(row[0]): row for row in trader.public("kline", symbol=FIRST[product], interval="1")["list"]}
    for row in closed:
        names = ("open", "high", "low", "close", "volume", "turnover")
        assert [row[name] for name in names] == listed[row["start"]][1:]


def test_a_silent_topic_says_nothing_not_even_a_snapshot(bybit):
    sim, trader = bybit()
    sim.faults.silence("orderbook.50.BTCUSDT")
    session = trader.public_socket("orderbook.50.BTCUSDT", "publicTrade.BTCUSDT")
    sim.step(300)
    assert {message["topic"] for message in session.settle()} == {"publicTrade.BTCUSDT"}


@pytest.mark.parametrize(
    "kind", ["cut", "not_json", "nan_text", "unknown_field", "missing_field", "changed_type", "huge_integer", "null"]
)
def test_broken_frames_can_be_sent_beside_the_real_ones(bybit, kind):
    sim, trader = bybit(product="linear")
    session = trader.public_socket("orderbook.50.BTCUSDT")
    sim.step(20)
    session.settle()
    assert sim.faults.malformed(kind, stream="orderbook.50.BTCUSDT") == 1
    text = session.ws.recv()
    try:
        frame = json.loads(text)
    except json.JSONDecodeError:
        assert kind in ("cut", "not_json")
        return
    if kind == "nan_text":
        assert frame["data"]["b"] == "NaN" and frame["topic"] == "orderbook.50.BTCUSDT"
    elif kind == "missing_field":
        assert "b" not in frame["data"] and "u" in frame["data"]


# private sockets


def test_a_private_socket_must_be_authorised_before_it_listens(bybit):
    _, trader = bybit()
    session = trader.socket("/v5/private")
    assert session.ask("subscribe", ["order"])["success"] is False
    answer = session.auth(req_id="a")
    assert answer.pop("conn_id") and answer == {"success": True, "ret_msg": "", "op": "auth", "req_id": "a"}
    answer = session.ask("subscribe", ["order"])
    assert answer.pop("conn_id") and answer == {"success": True, "ret_msg": "", "op": "subscribe"}


def test_a_wrong_secret_an_unknown_key_and_an_old_signature_do_not_authorise(bybit):
    _, trader = bybit()
    session = trader.socket("/v5/private")
    assert session.auth(secret="wrong")["success"] is False
    assert session.auth(ahead_ms=-1)["success"] is False
    assert session.ask("auth", ["Nobody", trader.now_ms() + 5000, "00"])["success"] is False
    assert session.ask("auth", ["too", "few"])["success"] is False
    assert session.auth()["success"] is True


def test_the_published_vector_of_the_socket_signature_holds(bybit, account):
    one = account("main", key="DUMMYKEY0123456789", secret="DUMMYSECRETabcdefghijklmnopqrstuvwxyz")
    _, trader = bybit(accounts=(one,), clock=lambda: 1767225600000 * 10**6)
    sign = "0e01591c17d9eeec04d642dbc25180f925808db044b68d57b583dafbea3ccdac"
    for path in ("/v5/private", "/v5/trade"):
        answer = trader.socket(path).ask("auth", ["DUMMYKEY0123456789", 1767225610000, sign])
        assert answer.get("success", answer.get("retCode") == 0) is True


def test_topics_of_one_product_and_of_all_are_not_mixed_in_one_request(bybit):
    _, trader = bybit()
    session = trader.private_socket("wallet")
    assert session.ask("subscribe", ["order", "execution.spot"])["success"] is False
    assert session.ask("subscribe", ["order", "execution"])["success"]
    assert session.ask("subscribe", ["order.spot", "execution.spot"])["success"]
    assert session.ask("subscribe", ["position.spot"])["success"] is False
    assert session.ask("subscribe", ["nonsense"])["success"] is False
    trader.place()
    topics = [message["topic"] for message in session.settle()]
    assert sorted(topics) == ["order", "order.spot", "wallet"]


def test_a_private_socket_gets_no_snapshot_and_hears_of_its_own_account_only(bybit):
    _, one, two = bybit("one", "two")
    one.place()
    session = one.private_socket()
    assert session.settle() == []
    two.place()
    assert session.settle() == []


def test_the_quick_execution_topic_tells_little_and_no_name_of_a_maker(bybit):
    sim, trader = bybit()
    session = trader.private_socket("execution.fast", "execution")
    trader.place("Sell", orderLinkId="maker", price="64640", qty="0.01")
    sim.accounts["main"].fill("maker")
    trader.place(orderLinkId="taker", orderType="Market", qty="0.0001", marketUnit="baseCoin", symbol="BTCUSDT")
    messages = session.settle()
    fast = [row for message in messages if message["topic"] == "execution.fast" for row in message["data"]]
    full = [row for message in messages if message["topic"] == "execution" for row in message["data"]]
    assert [row["execId"] for row in fast] == [row["execId"] for row in full]
    assert (fast[0]["orderLinkId"], fast[0]["isMaker"], fast[-1]["orderLinkId"]) == ("", True, "taker")
    assert "execFee" not in fast[0] and all("id" not in m for m in messages if m["topic"] == "execution.fast")


def test_fills_of_one_order_at_one_moment_come_in_one_frame(bybit):
    sim, trader = bybit()
    session = trader.private_socket("execution", "order")
    trader.place(orderLinkId="a", orderType="Market", qty="0.1", marketUnit="baseCoin")
    messages = session.settle()
    assert [message["topic"] for message in messages] == ["order", "execution", "order"]
    assert len(messages[1]["data"]) == len(sim.accounts["main"].fills()) > 1
    assert messages[2]["data"][0]["orderStatus"] == "Filled"
    assert [row["leavesQty"] for row in messages[1]["data"]][-1] == "0.00000"


def test_the_ledger_keeps_every_event_told_or_not(bybit):
    sim, trader = bybit()
    trader.place(orderLinkId="a")
    session = trader.private_socket("order")
    sim.accounts["main"].fill("a")
    events = sim.accounts["main"].events()
    assert [event.kind for event in events] == ["order.New", "wallet", "execution.Trade", "order.Filled", "wallet"]
    assert [event.copies for event in events] == [0, 0, 0, 1, 0]
    assert json.loads(events[3].body) == session.rows("order")[0]


def test_events_are_lost_doubled_swapped_and_late_on_request(bybit):
    sim, trader = bybit()
    session = trader.private_socket("order")
    sim.faults.events_lost(count=1, event="order.New")
    trader.place(orderLinkId="a")
    assert session.settle() == []
    sim.faults.events_doubled(count=1, event="order")
    trader.place(orderLinkId="b")
    assert [row["orderLinkId"] for row in session.rows("order")] == ["b", "b"]
    sim.faults.events_swapped(count=1)
    trader.place(orderLinkId="c")
    trader.place(orderLinkId="d")
    assert [row["orderLinkId"] for row in session.rows("order")] == ["d", "c"]
    sim.faults.events_late(0.2, count=1)
    trader.place(orderLinkId="e")
    assert session.settle() == []
    session.read()
    assert session.rows("order")[0]["orderLinkId"] == "e"


def test_a_revoked_key_ends_its_private_connections(bybit, eventually):
    sim, trader = bybit()
    session = trader.private_socket()
    sim.faults.key_revoked("main")
    eventually(lambda: not sim.ledger.connections(open_only=True))
    assert session.ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE


def test_private_connections_of_an_account_can_be_cut(bybit, eventually):
    sim, one, two = bybit("one", "two")
    one.private_socket()
    two.private_socket()
    assert sim.faults.session_cut("one") == 1
    eventually(lambda: len(sim.ledger.connections(open_only=True)) == 1)


# orders over WebSocket


def test_an_order_over_websocket_is_answered_with_its_ids_and_the_limit(bybit):
    sim, trader = bybit(product="linear")
    session = trader.trade_socket()
    answer = session.order("order.create", ident="r-1", **trader.new(orderLinkId="a"))
    assert (answer["reqId"], answer["retCode"], answer["retMsg"], answer["op"]) == ("r-1", 0, "OK", "order.create")
    assert set(answer["data"]) == {"orderId", "orderLinkId"} and answer["retExtInfo"] == {} and answer["connId"]
    assert {"Traceid", "Timenow", "X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp"} == set(
        answer["header"]
    )
    assert sim.accounts["main"].order("a").open
    answer = session.order("order.amend", symbol="BTCUSDT", orderLinkId="a", qty="0.02")
    assert answer["retCode"] == 0 and trader.order("a")["qty"] == "0.020"
    answer = session.order("order.cancel", symbol="BTCUSDT", orderLinkId="a")
    assert answer["retCode"] == 0 and trader.order("a")["orderStatus"] == "Cancelled"
    answer = session.order("order.cancel", symbol="BTCUSDT", orderLinkId="a")
    assert (answer["retCode"], answer["data"]) == (110001, {})


def test_batches_over_websocket_answer_for_each_order(bybit):
    sim, trader = bybit(product="linear")
    session = trader.trade_socket()
    request = [trader.new(orderLinkId="a"), trader.new(orderLinkId="b", qty="0")]
    answer = session.order("order.create-batch", request=request)
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 10001]
    assert [bool(row["orderId"]) for row in answer["data"]["list"]] == [True, False]
    assert len(sim.accounts["main"].orders()) == 1


def test_order_updates_do_not_come_on_the_order_socket(bybit):
    _, trader = bybit()
    session = trader.trade_socket()
    session.order("order.create", **trader.new())
    assert session.quiet()


def test_a_request_id_is_used_once_and_may_be_left_out(bybit):
    _, trader = bybit()
    session = trader.trade_socket()
    assert session.order("order.create", ident="same", **trader.new())["retCode"] == 0
    assert session.order("order.create", ident="same", **trader.new())["retCode"] == 20006
    assert session.order("order.create", ident="x" * 37, **trader.new())["retCode"] == 10001
    session.send(
        header={"X-BAPI-TIMESTAMP": str(trader.now_ms())}, op="order.create", args=[{"category": "spot"} | trader.new()]
    )
    answer = session.answer()
    assert answer["retCode"] == 0 and "reqId" not in answer
    assert trader.trade_socket().order("order.create", ident="same", **trader.new())["retCode"] == 0


def test_what_is_wrong_with_a_request_over_websocket_has_its_code(bybit):
    _, trader = bybit()
    stranger = trader.socket("/v5/trade")
    assert stranger.order("order.create", **trader.new())["retCode"] == 10005
    assert stranger.auth(secret="wrong")["retCode"] == 10004
    assert stranger.ask("auth", ["Nobody", trader.now_ms() + 5000, "00"])["retCode"] == 10003
    assert stranger.ask("auth", ["few"])["retCode"] == 10001
    session = trader.trade_socket()
    assert session.auth()["retCode"] == 20001
    assert session.order("order.nonsense", **trader.new())["retCode"] == 10404
    assert session.order("order.create", **trader.new() | {"category": "nonsense"})["retCode"] == 10404
    session.request("order.create", trader.new(), at_ms=trader.now_ms() - 6000)
    assert session.answer()["retCode"] == 10002
    session.request("order.create", trader.new(), at_ms=trader.now_ms() - 6000, window="8000")
    assert session.answer()["retCode"] == 0
    session.send(reqId="q", op="order.create", args=[trader.new()])
    assert session.answer()["retCode"] == 10001
    session.ws.send("{")
    assert session.answer()["retCode"] == 10001


def test_orders_by_rest_and_websocket_share_one_count(bybit):
    _, trader = bybit(limits={"order.place": 2})
    session = trader.trade_socket()
    trader.place()
    assert session.order("order.create", **trader.new())["header"]["X-Bapi-Limit-Status"] == "0"
    answer = session.order("order.create", **trader.new())
    assert answer["retCode"] == 10006 and trader.rejected()[0] == 10006


def test_orders_by_websocket_are_counted_per_address(bybit):
    _, trader = bybit(limits={"ws_orders_per_s": 2})
    session = trader.trade_socket()
    codes = [session.order("order.create", **trader.new())["retCode"] for _ in range(3)]
    assert codes == [0, 0, 10403]


@pytest.mark.parametrize("path", ["/v5/public/linear", "/v5/private", "/v5/trade"])
def test_no_frame_however_odd_ends_a_connection(bybit, path):
    sim, trader = bybit(product="linear")
    session, rng = trader.socket(path), random.Random(path)
    if path != "/v5/public/linear":
        session.auth()
    odd = [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "\u00b2",
        "order",
        "orderbook.50.BTCUSDT",
        "x" * 5_000,
        [],
        {},
        [[]],
        [{}],
        ["\u00e4"],
    ]
    odd += [
        [trader.key, "\u00b2", "00"],
        [trader.key, 10**40, "00"],
        [{"category": "linear"}],
        [{"category": "linear", "request": [1]}],
    ]
    ops = [
        "subscribe",
        "unsubscribe",
        "auth",
        "order.create",
        "order.amend",
        "order.cancel-batch",
        "nonsense",
        "",
        None,
        5,
    ]
    for _ in range(400):
        frame = {"op": rng.choice(ops), "args": rng.choice(odd)}
        for name in ("req_id", "reqId", "header"):
            if rng.random() < 0.4:
                frame[name] = rng.choice(
                    [*odd, {"X-BAPI-TIMESTAMP": rng.choice(odd)}, {"X-BAPI-TIMESTAMP": trader.now_ms()}]
                )
        session.send(**frame)
    session.settle()
    assert sim.ledger.connections(open_only=True) and sim.accounts["main"].orders() == []


# what can go wrong with a call


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("status", "code"),
    [(200, 10016), (200, 10000), (200, 170007), (200, 10006), (502, 0), (504, 0), (429, 0), (503, 10429)],
)
def test_an_answer_without_a_verdict_comes_with_and_without_the_order(bybit, status, code, done):
    sim, trader = bybit()
    sim.faults.answer_error(status, code, done=done, count=2)
    answer = trader.call("POST", "order/create", **trader.new(orderLinkId="rest"))
    assert answer.status == status
    if code:
        assert answer.json["retCode"] == code
    else:
        assert answer.body.startswith(b"<html>")
    session = trader.trade_socket()
    reply = session.order("order.create", **trader.new(orderLinkId="ws"))
    assert reply["retCode"] == (code or 10016) and reply["reqId"] and reply["data"] == {}
    placed = {order.client_id for order in sim.accounts["main"].orders()}
    assert placed == ({"rest", "ws"} if done else set())
    trader.place(orderLinkId="after")


@pytest.mark.parametrize(("fault", "placed"), [("request_lost", False), ("answer_lost", True)])
def test_requests_and_answers_are_lost_on_both_ways_in(bybit, fault, placed, eventually):
    import http.client

    sim, trader = bybit(product="linear")
    getattr(sim.faults, fault)(count=2)
    with pytest.raises((http.client.HTTPException, OSError)):
        trader.call("POST", "order/create", **trader.new(orderLinkId="rest"))
    session = trader.trade_socket()
    session.request("order.create", trader.new(orderLinkId="ws"))
    with pytest.raises((websocket.WebSocketException, OSError)):
        session.read()
    known = {order.client_id for order in sim.accounts["main"].orders()}
    assert known == ({"rest", "ws"} if placed else set())


def test_answers_over_one_socket_may_come_in_another_order(bybit):
    sim, trader = bybit()
    session = trader.trade_socket()
    sim.faults.answer_late(0.1, count=1)
    session.request("order.create", trader.new(), "first")
    session.request("order.create", trader.new(), "second")
    assert [session.answer()["reqId"], session.answer()["reqId"]] == ["second", "first"]


@pytest.mark.parametrize(("product", "code"), [("spot", 170141), ("linear", 110072)])
def test_a_duplicate_is_claimed_of_an_order_that_was_taken(bybit, product, code):
    sim, trader = bybit(product=product)
    sim.faults.duplicate_id()
    answer = trader.call("POST", "order/create", **trader.new(orderLinkId="a"))
    assert (answer.status, answer.json["retCode"]) == (200, code)
    assert sim.accounts["main"].order("a").open


def test_what_was_just_accepted_may_not_be_seen_yet(bybit, hand_clock):
    sim, trader = bybit()
    sim.faults.visibility_delay(2.0)
    trader.place(orderLinkId="a")
    assert trader.ask("GET", "order/realtime", orderLinkId="a")["list"] == []
    assert trader.refused("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")[0] == 170213
    hand_clock.advance(2.0)
    assert len(trader.ask("GET", "order/realtime", orderLinkId="a")["list"]) == 1
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")


def test_faults_choose_calls_by_what_they_do(bybit):
    sim, trader = bybit()
    sim.faults.answer_error(200, 10016, done=False, only="queries")
    trader.place(orderLinkId="a")
    assert trader.refused("GET", "order/realtime")[0] == 10016
    sim.faults.clear()
    sim.faults.answer_error(200, 10016, done=False, only="order.cancel,openOrders.cancelAll")
    trader.place(orderLinkId="b")
    assert trader.refused("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")[0] == 10016
    assert trader.refused("POST", "order/cancel-all")[0] == 10016
    trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", qty="0.02")
    sim.faults.clear()
    sim.faults.answer_error(200, 10016, done=False, only="order.status")
    assert len(trader.ask("GET", "order/realtime")["list"]) == 2
    assert trader.refused("GET", "order/realtime", orderLinkId="a")[0] == 10016


def test_events_may_come_after_their_answer(bybit):
    sim, trader = bybit()
    sim.faults.events_after_answers(0.05)
    private = trader.private_socket("order")
    trader.place()
    assert private.settle() == []
    private.read()
    assert private.messages[0]["topic"] == "order"


def test_too_many_connections_of_an_address_are_refused(bybit):
    sim, trader = bybit(connects_per_5min=2)
    trader.public_socket()
    trader.public_socket()
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        trader.public_socket()
    assert [violation.kind for violation in sim.ledger.violations()] == ["connects"]


def test_five_hundred_connections_in_five_minutes_are_the_documented_figure(bybit):
    sim, _ = bybit()
    assert sim.settings.connects_per_5min == 500
