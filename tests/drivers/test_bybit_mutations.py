"""Frames and answers spoilt in every way: what comes out is a refusal, noise, or exactly what an independent reader reads.

The independent reader below shares nothing with the driver: it walks the standard library's JSON. It reads inverse contracts,
where every size has to be turned into base units as well.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoiling import numbers_in, reads, spoilt, walk

from connector.domain import BookDelta, BookTicker, Candle, OrderBook, Side, Symbol, Ticker, Topic, TopicKind, Trade
from connector.domain.facts import OrderReport
from connector.domain.market import Liquidation
from connector.domain.orders import Fill, OrderStatus
from connector.domain.queries import (
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.drivers.contract import Ack, ConnectionEnding, Noise, Refusal
from connector.drivers.trading import Auth, SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import ConnectorError, VenueUnavailable, WireFormatError

VENUE = "bybit-inverse"
ETH = Symbol("ETH", "USD", "ETH")
MS = 1_000_000
AT = 5
PER_SEED = 100
QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = st.integers(min_value=0, max_value=2**32)
WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)

# ---------------------------------------------------------------- an independent reader


def text(value):
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def number(value):
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(value)
    return Decimal(value)


def positive(value):
    found = number(value)
    if not found.is_finite() or found <= 0 or not Decimal("1e-24") <= found <= Decimal("1e24"):
        raise ValueError(value)
    return found


def amount(value):
    found = number(value)
    return positive(value) if found else found


def whole(value, most=2**63 - 1):
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def time_ns(value):
    return whole(value, (2**63 - 1) // MS) * MS


def coins(dollars, price):
    return WIDE.quantize(WIDE.divide(dollars, price), Decimal("1e-16"))


def levels(value, quantity):
    return tuple((positive(p), coins(quantity(q), positive(p))) for p, q in value)


def own(row, key="s"):
    if row[key] != "ETHUSD":
        raise ValueError(row)
    return row


def side(word):
    return {"Buy": Side.BUY, "Sell": Side.SELL}[word]


def trade(frame):
    (row,) = map(own, frame["data"])
    size, price = positive(row["v"]), positive(row["p"])
    event = Trade(VENUE, ETH, time_ns(row["T"]), AT, text(row["i"]), price, coins(size, price), side(row["S"]))
    from msgspec.structs import replace

    seq = None if row.get("seq") is None else whole(row["seq"])
    return replace(event, contracts=size, sequence=seq)


def liquidation(frame):
    (row,) = map(own, frame["data"])
    size, price = positive(row["v"]), positive(row["p"])
    closing = Side.SELL if side(row["S"]) is Side.BUY else Side.BUY
    return Liquidation(VENUE, ETH, time_ns(row["T"]), AT, closing, price, coins(size, price), size)


def candle(frame):
    (k,) = frame["data"]
    prices = (positive(k[name]) for name in ("open", "high", "low", "close"))
    if type(k["confirm"]) is not bool or k["interval"] != "1":
        raise ValueError(k)
    times = (time_ns(k["start"]), time_ns(k["end"]))
    return Candle(
        VENUE,
        ETH,
        time_ns(frame["ts"]),
        AT,
        "1m",
        *times,
        *prices,
        amount(k["turnover"]),
        k["confirm"],
        amount(k["volume"]),
    )


def best(price, size):
    price, size = (amount(part) if part else Decimal(0) for part in (text(price), text(size)))
    return price, coins(size, price) if price and size else size


def ticker(frame):
    d = own(frame["data"], "symbol")
    if frame["type"] != "snapshot":
        raise ValueError(frame)
    get = {name: text(d[name]) for name in TICKER if name in d}.get
    funding_ms = int(get("nextFundingTime") or 0)
    rate = get("fundingRate") or None if funding_ms else None
    percent = get("price24hPcnt") or None
    return Ticker(
        VENUE,
        ETH,
        time_ns(frame["ts"]),
        AT,
        amount(d["lastPrice"]),
        *best(get("bid1Price", ""), get("bid1Size", "")),
        *best(get("ask1Price", ""), get("ask1Size", "")),
        amount(d["prevPrice24h"]),
        amount(d["highPrice24h"]),
        amount(d["lowPrice24h"]),
        amount(d["turnover24h"]),
        amount(d["volume24h"]),
        price_change_percent=None if percent is None else number(percent) * 100,
        mark=amount(get("markPrice")) if get("markPrice") else None,
        index=amount(get("indexPrice")) if get("indexPrice") else None,
        funding_rate=None if rate is None else number(rate),
        next_funding_ns=None if rate is None else funding_ms * MS,
    )


def engine_ns(frame):
    return time_ns(frame["ts"]) if frame.get("cts") is None else time_ns(frame["cts"])


def ladder(d):
    bids, asks = levels(d["b"], positive), levels(d["a"], positive)
    assert [p for p, _ in bids] == sorted({p for p, _ in bids}, reverse=True)
    assert [p for p, _ in asks] == sorted({p for p, _ in asks})
    return bids, asks


def book_ticker(frame):
    d = own(frame["data"])
    whole(d.get("seq", 0))
    tops = [side[0] if side else (Decimal(0), Decimal(0)) for side in ladder(d)]
    return BookTicker(VENUE, ETH, engine_ns(frame), AT, *tops[0], *tops[1], whole(d["u"]))


def book(frame):
    d = own(frame["data"])
    whole(d.get("seq", 0))
    if frame["type"] == "snapshot":
        return OrderBook(VENUE, ETH, engine_ns(frame), AT, whole(d["u"]), *ladder(d))
    assert frame["type"] == "delta"
    number_ = whole(d["u"])
    return BookDelta(VENUE, ETH, engine_ns(frame), AT, number_, number_, levels(d["b"], amount), levels(d["a"], amount))


def framed(name, data, kind="snapshot"):
    return {"topic": f"{name}.ETHUSD", "type": kind, "ts": 1767225600466, "data": data, "cts": 1767225600464}


TICKER = (
    {
        "symbol": "ETHUSD",
        "lastPrice": "3150.25",
        "prevPrice24h": "3100.00",
        "highPrice24h": "3180",
        "lowPrice24h": "3080",
    }
    | {"volume24h": "284661234", "turnover24h": "91234.5", "price24hPcnt": "0.0162", "markPrice": "3150.1"}
    | {"indexPrice": "3150.3", "fundingRate": "-0.000212", "nextFundingTime": "1767254400000"}
    | {"bid1Price": "3150.20", "bid1Size": "2000", "ask1Price": "3150.25", "ask1Size": "1500", "openInterest": "5000"}
)
TRADE = {"T": 1767225600120, "s": "ETHUSD", "S": "Buy", "v": "400", "p": "3150.25", "L": "PlusTick", "i": "7d0c1a52"}
TRADE |= {"BT": False, "RPI": False, "seq": 1783284617}
KLINE = {
    "start": 1767225600000,
    "end": 1767225659999,
    "interval": "1",
    "open": "3149",
    "close": "3150.25",
    "high": "3151",
}
KLINE |= {"low": "3148.5", "volume": "480012", "turnover": "152.4", "confirm": False, "timestamp": 1767225631882}
LEVELS = {
    "s": "ETHUSD",
    "b": [["3150.20", "2000"], ["3149.9", "1"]],
    "a": [["3150.25", "15"]],
    "u": 177400507,
    "seq": 66,
}
STREAMS = [
    (Topic(TopicKind.TRADES, ETH), trade, framed("publicTrade", [TRADE])),
    (Topic(TopicKind.CANDLES, ETH, interval="1m"), candle, framed("kline.1", [KLINE])),
    (Topic(TopicKind.TICKER, ETH), ticker, framed("tickers", TICKER)),
    (Topic(TopicKind.BOOK_TICKER, ETH), book_ticker, framed("orderbook.1", {**LEVELS, "b": [["3150.2", "2000"]]})),
    (Topic(TopicKind.BOOK, ETH, depth=50), book, framed("orderbook.50", {**LEVELS, "a": [["3150.25", "0"]]}, "delta")),
    (Topic(TopicKind.BOOK, ETH), book, framed("orderbook.1000", LEVELS)),
    (
        Topic(TopicKind.LIQUIDATIONS, ETH),
        liquidation,
        framed("allLiquidation", [{"T": 1767225600490, "s": "ETHUSD", "S": "Sell", "v": "500", "p": "3000.5"}]),
    ),
]

# ---------------------------------------------------------------- streams


@pytest.fixture
def driver(bybit_drivers):
    return bybit_drivers[VENUE]


@pytest.fixture
def table(bybit_tables):
    return bybit_tables[VENUE]


@pytest.mark.parametrize(("topic", "independent", "frame"), STREAMS, ids=[str(topic) for topic, _, _ in STREAMS])
def test_spoilt_frame_is_refused_or_read_right(driver, table, topic, independent, frame):
    intact = driver.streams.reader(topic, table[ETH])(json.dumps(frame).encode(), AT)
    assert intact == independent(frame)
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            wire = spoilt(frame, rng)
            routed = driver.streams.route(wire)
            assert routed is None or isinstance(routed, bytes)
            assert isinstance(driver.streams.control(wire), Ack | Refusal | ConnectionEnding | Noise)
            try:
                event = driver.streams.reader(topic, table[ETH])(wire, AT)
            except WireFormatError as error:
                assert len(error.excerpt) <= 200
                seen["refused"] += 1
                continue
            if event is None or isinstance(event, list):  # nothing in it, or rows doubled: each is as good as any
                seen["none" if event is None else "several"] += 1
                continue
            seen["read"] += 1
            try:
                walked = walk(wire)
            except (ValueError, RecursionError, InvalidOperation):
                assert event == intact  # the spoilt part is one nobody reads
            else:
                assert event == independent(walked), wire

    spoil()
    assert seen["read"] > 300 and seen["refused"] > 1_000, seen


def test_reader_that_keeps_something_survives_spoilt_frames_and_is_right_after_the_next_snapshot(driver, table):
    change = framed("tickers", {"symbol": "ETHUSD", "lastPrice": "1"}, "delta")
    whole = json.dumps(framed("tickers", TICKER)).encode()
    read = reads(driver.streams.reader(Topic(TopicKind.TICKER, ETH), table[ETH]))
    intact = read(whole, AT)

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            try:
                read(spoilt(change, rng), AT)
            except WireFormatError:
                assert read(json.dumps(change).encode(), AT) is None
            assert read(whole, AT) == intact

    spoil()


def test_spoilt_control_frame_is_always_some_answer(driver):
    frames = [
        {"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x", "req_id": "7"},
        {"success": False, "ret_msg": "error:handler not found,topic:x", "op": "subscribe", "req_id": "7"},
        {"success": True, "data": {"failTopics": ["x"], "successTopics": []}, "type": "COMMAND_RESP", "req_id": "7"},
        {"success": True, "ret_msg": "pong", "op": "ping"},
    ]
    kinds = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            said = driver.streams.control(spoilt(rng.choice(frames), rng))
            kinds[type(said)] += 1
            assert isinstance(said, Ack | Refusal | Noise)
            if isinstance(said, Ack | Refusal):
                assert said.request_id is None or (type(said.request_id) is int and said.request_id >= 0)
            if isinstance(said, Noise):
                assert len(said.kind) < 150
            if isinstance(said, Refusal):
                assert isinstance(said.error, ConnectorError)

    spoil()
    assert set(kinds) == {Ack, Refusal, Noise}


# ---------------------------------------------------------------- answers

SPOILT_ENTRY = {
    "symbol": "ETHUSD",
    "contractType": "InversePerpetual",
    "status": "Trading",
    "baseCoin": "ETH",
    "quoteCoin": "USD",
    "settleCoin": "ETH",
    "deliveryTime": "0",
    "priceFilter": {"minPrice": "0.05", "maxPrice": "199999.90", "tickSize": "0.05"},
    "lotSizeFilter": {"qtyStep": "1", "minOrderQty": "1", "maxOrderQty": "1000000", "maxMktOrderQty": "100000"},
}
RECENT = {"execId": "a", "symbol": "ETHUSD", "price": "3150.25", "size": "400", "side": "Sell", "time": "1767225600120"}
ANSWERS = [
    (ServerTimeQuery(), {"timeSecond": "1767225600", "timeNano": "1767225600123456789"}),
    (InstrumentsQuery(), {"list": [SPOILT_ENTRY, {**SPOILT_ENTRY, "symbol": "BTCUSD", "baseCoin": "BTC"}]}),
    (CandlesQuery(ETH, "1m"), {"list": [["1767225600000", "3149", "3151", "3148.5", "3150.25", "480012", "152.4"]]}),
    (RecentTradesQuery(ETH), {"list": [{**RECENT, "seq": "9"}, RECENT]}),
    (DepthQuery(ETH), {**LEVELS, "ts": 1767225600466, "cts": 1767225600464}),
    (TickersQuery((ETH,)), {"list": [TICKER]}),
    (BookTickersQuery(), {"list": [TICKER]}),
    (PricesQuery((ETH,)), {"list": [TICKER]}),
    (MarkPricesQuery((ETH,)), {"list": [TICKER]}),
    (OpenInterestQuery(ETH), {"list": [TICKER]}),
    (
        FundingRatesQuery(ETH),
        {"list": [{"symbol": "ETHUSD", "fundingRate": "-0.0001", "fundingRateTimestamp": "1672041600000"}]},
    ),
]


@pytest.mark.parametrize(("query", "result"), ANSWERS, ids=[str(query)[:40] for query, _ in ANSWERS])
def test_spoilt_answer_is_refused_or_holds_sane_numbers_only(driver, answer, table, query, result):
    body = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1767225700000}
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 2):
            wire = answer(spoilt(body, rng))
            assert driver.rest.more(query, wire) is None or isinstance(query, InstrumentsQuery)
            try:
                value = driver.rest.read(query, wire, table)
            except (WireFormatError, VenueUnavailable):
                seen["refused"] += 1
                continue
            except ConnectorError:  # another code is another refusal
                seen["other"] += 1
                continue
            seen["read"] += 1
            if isinstance(query, InstrumentsQuery):
                value = tuple(value.instruments.values())
            for found in numbers_in(value):
                assert found.is_finite() and -48 <= found.adjusted() <= 49  # sizes in dollars over prices

    spoil()
    assert seen["read"] > 20 and seen["refused"] > 100, seen


def test_spoilt_refusal_is_always_classed(driver, answer):
    bodies = [{"retCode": 10001, "retMsg": "params error"}, {"retCode": 10006, "retMsg": "Too many visits!", "time": 1}]

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 4):
            response = answer(spoilt(rng.choice(bodies), rng), rng.choice((200, 300, 400, 403, 404, 429, 500, 999)))
            for write in (False, True):
                assert isinstance(driver.rest.failure(response, write=write), ConnectorError | None)

    spoil()


# ---------------------------------------------------------------- the private half

AUTH = Auth("DUMMYKEY0123456789", lambda payload: "00", "hmac")
ORDER = {
    "category": "inverse",
    "symbol": "ETHUSD",
    "orderId": "fd4300ae-0000-404e-b947-b46980a4d140",
    "orderLinkId": "cn-000001",
    "side": "Buy",
    "orderType": "Limit",
    "price": "3150.25",
    "qty": "400",
    "timeInForce": "GTC",
    "orderStatus": "PartiallyFilled",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "avgPrice": "3150",
    "cumExecQty": "100",
    "cumExecValue": "0.031746",
    "stopOrderType": "",
    "triggerPrice": "",
    "triggerDirection": 0,
    "positionIdx": 0,
    "reduceOnly": False,
    "updatedTime": "1767225600470",
}
EXECUTION = {
    "category": "inverse",
    "symbol": "ETHUSD",
    "orderId": "fd4300ae",
    "orderLinkId": "cn-000001",
    "side": "Sell",
    "execId": "e0cbe81d",
    "execPrice": "3150.25",
    "execQty": "100",
    "execFee": "-0.00001",
    "feeCurrency": "",
    "execType": "Trade",
    "execTime": "1767225600470",
    "isMaker": True,
    "execPnl": "0.1",
    "leavesQty": "300",
    "createType": "CreateByUser",
}
POSITION = {
    "category": "inverse",
    "symbol": "ETHUSD",
    "side": "Sell",
    "size": "300",
    "positionIdx": 0,
    "avgPrice": "3100",
    "entryPrice": "3100",
    "leverage": "10",
    "markPrice": "3150",
    "liqPrice": "",
    "unrealisedPnl": "-0.001",
    "updatedTime": "1767225600470",
    "seq": 5,
}
WALLET = {"accountType": "UNIFIED", "coin": [{"coin": "ETH", "walletBalance": "-1.5", "locked": "0.5"}]}
LINE = {"transactionTime": "1672128000000", "currency": "ETH", "symbol": "ETHUSD", "category": "inverse"}
LINE |= {"funding": "-0.003676", "side": "Buy", "tradeId": "534c0003", "type": "SETTLEMENT"}


def sane(value):
    return all(found.is_finite() and -48 <= found.adjusted() <= 49 for found in numbers_in(value))


@pytest.mark.parametrize(
    ("topic", "row"),
    [("order.inverse", ORDER), ("execution.inverse", EXECUTION), ("position.inverse", POSITION), ("wallet", WALLET)],
)
def test_spoilt_event_is_noise_or_holds_sane_numbers_only(driver, table, topic, row):
    frame = {"id": "x", "topic": topic, "creationTime": 1767225600474, "data": [row]}
    intact = driver.events.read(json.dumps(frame).encode(), AT, table)
    assert isinstance(intact, SessionEvents) and len(intact.facts) == 1 and sane(intact.facts)
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            wire = spoilt(frame, rng)
            said = driver.events.read(wire, AT, table)
            seen[type(said)] += 1
            assert isinstance(said, SessionReply | SessionEvents | SessionEnding | SessionNoise)
            assert isinstance(
                driver.session.read(wire, AT, table), SessionReply | SessionEvents | SessionEnding | SessionNoise
            )
            if isinstance(said, SessionEvents):
                assert sane(said.facts), wire
                for fact in said.facts:
                    if isinstance(fact, OrderReport):
                        assert fact.venue_id and fact.contracts is not None
                        assert fact.status is not OrderStatus.FILLED or fact.filled
                    if isinstance(fact, Fill):
                        assert fact.quantity > 0 and fact.price > 0 and fact.trade_id
            elif isinstance(said, SessionNoise):
                assert len(said.kind) < 150 and not said.known

    spoil()
    assert seen[SessionEvents] > 300 and seen[SessionNoise] > 300, seen


def test_spoilt_reply_is_some_answer_that_the_table_can_class(driver, table):
    header = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "X-Bapi-Limit-Reset-Timestamp": "1767225600208"}
    header |= {"Traceid": "38b7", "Timenow": "1767225600209"}
    reply = {"reqId": "c1", "retCode": 0, "retMsg": "OK", "op": "order.create", "retExtInfo": {}, "header": header}
    reply |= {"data": {"orderId": "a4c1718e", "orderLinkId": "cn-000001"}, "connId": "x"}
    frames = [reply, {**reply, "retCode": 10006}, {"retCode": 0, "retMsg": "OK", "op": "pong", "data": ["1"]}]
    frames.append({"success": False, "ret_msg": "error", "op": "auth", "conn_id": "x"})

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            wire = spoilt(rng.choice(frames), rng)
            for language in (driver.session, driver.events):
                said = language.read(wire, AT, table)
                if isinstance(said, SessionReply):
                    failure = driver.trading.failure(said.response, write=True)
                    assert failure is None or isinstance(failure, ConnectorError)
                    assert all(points >= 0 for points in driver.trading.used(said.response).values())
                    if failure is None and not said.answers:
                        try:
                            driver.trading.read_cancelled(said.response, table[ETH])
                        except WireFormatError:
                            continue
                else:
                    assert isinstance(said, SessionNoise | SessionEnding)

    spoil()


@pytest.mark.parametrize("kind", ["order", "orders", "fills", "balances", "positions", "funding"])
def test_spoilt_answer_about_the_account_is_refused_or_holds_sane_numbers_only(driver, answer, table, kind):
    trading, positions, instrument = driver.trading, driver.positions, table[ETH]
    row = {
        "order": ORDER,
        "orders": ORDER,
        "fills": EXECUTION,
        "balances": WALLET,
        "positions": POSITION,
        "funding": LINE,
    }
    read = {
        "order": lambda response: trading.read_order(response, instrument),
        "orders": lambda response: trading.read_orders(response, table),
        "fills": lambda response: trading.read_fills(response, instrument),
        "balances": trading.read_balances,
        "positions": lambda response: positions.read_positions([response], table),
        "funding": lambda response: positions.read_funding(response, table),
    }[kind]
    ask = {
        "order": lambda: trading.order("cn-1", None, instrument, AUTH, 1),
        "orders": lambda: trading.orders_since(instrument, 1, AUTH, 1),
        "fills": lambda: trading.fills(instrument, None, 1, None, AUTH, 1),
        "balances": lambda: trading.balances(AUTH, 1),
        "positions": lambda: positions.positions(AUTH, 1)[0],
        "funding": lambda: positions.funding(1, AUTH, 1),
    }[kind]
    result = {"list": [row[kind]], "nextPageCursor": "abc%3A1"}
    body = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1767225700000}
    assert sane(read(answer(body)))
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 2):
            response = answer(spoilt(body, rng))
            try:
                following = trading.more(ask(), response, AUTH, 1)
                assert following is None or following.safe
            except WireFormatError:
                pass
            try:
                value = read(response)
            except ConnectorError:
                seen["refused"] += 1
                continue
            seen["read"] += 1
            assert sane(value if isinstance(value, tuple) else (value,))

    spoil()
    assert seen["read"] > 20 and seen["refused"] > 100, seen
