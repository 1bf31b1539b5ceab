"""Frames and answers spoilt in every way: what comes out is a refusal, noise, or exactly what an independent reader reads.

The independent reader below shares nothing with the driver: it walks the standard library's JSON. 80,000 and more spoilt
texts a run, from seeds that hypothesis chooses, keeps and shrinks.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoiling import numbers_in, reads, spoilt, walk

from connector.domain import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    OrderBook,
    Side,
    Symbol,
    Ticker,
    Topic,
    TopicKind,
    Trade,
)
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.drivers.contract import Ack, ConnectionEnding, Noise, Refusal
from connector.errors import ConnectorError, WireFormatError

ETH = Symbol("ETH", "USDT")
MS = 1_000_000
AT = 5
PER_SEED = 100
QUICK = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = st.integers(min_value=0, max_value=2**32)

# ---------------------------------------------------------------- an independent reader


def number(value):
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(value)
    return Decimal(value)


def positive(value):
    found = number(value)
    if not found.is_finite() or found <= 0 or not -24 <= found.adjusted() <= 24:
        raise ValueError(value)
    return found


def amount(value):
    found = number(value)
    if not found.is_finite() or found < 0 or not -24 <= found.adjusted() <= 24:
        raise ValueError(value)
    return found


def signed(value):
    return -amount(-number(value)) if number(value) < 0 else amount(value)


def whole(value, most=2**63 - 1):
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def time_ns(value):
    return whole(value, (2**63 - 1) // MS) * MS


def flag(value):
    if type(value) is not bool:
        raise ValueError(value)
    return value


def side(value):
    return Side.SELL if flag(value) else Side.BUY


def levels(value, quantity):
    return tuple((positive(p), quantity(q)) for p, q in value)


def trade(data):
    return Trade(
        "binance",
        ETH,
        time_ns(data["T"]),
        AT,
        whole(data["t"]),
        positive(data["p"]),
        positive(data["q"]),
        side(data["m"]),
    )


def agg_trade(data):
    if data["f"] == -1 or data["l"] == -1:
        return None
    return AggTrade(
        "binance",
        ETH,
        time_ns(data["T"]),
        AT,
        whole(data["a"]),
        positive(data["p"]),
        positive(data["q"]),
        side(data["m"]),
        whole(data["f"]),
        whole(data["l"]),
    )


def candle(data):
    k = data["k"]
    price = positive if k["n"] else amount
    return Candle(
        "binance",
        ETH,
        time_ns(data["E"]),
        AT,
        {"1m": "1m"}[k["i"]],
        time_ns(k["t"]),
        time_ns(k["T"]),
        price(k["o"]),
        price(k["h"]),
        price(k["l"]),
        price(k["c"]),
        amount(k["v"]),
        flag(k["x"]),
        amount(k["q"]),
        whole(k["n"]),
        amount(k["V"]),
        amount(k["Q"]),
    )


def ticker(d):
    return Ticker(
        "binance",
        ETH,
        time_ns(d["E"]),
        AT,
        *(amount(d[name]) for name in "cbBaAohlvqQw"),
        signed(d["p"]),
        signed(d["P"]),
        whole(d["n"]),
        time_ns(d["O"]),
        time_ns(d["C"]),
    )


def book_ticker(d):
    return BookTicker("binance", ETH, None, AT, *(amount(d[name]) for name in "bBaA"), whole(d["u"]))


def partial_book(d):
    bids, asks = levels(d["bids"], positive), levels(d["asks"], positive)
    assert [p for p, _ in bids] == sorted({p for p, _ in bids}, reverse=True)
    assert [p for p, _ in asks] == sorted({p for p, _ in asks})
    return OrderBook("binance", ETH, None, AT, whole(d["lastUpdateId"]), bids, asks)


def book(d):
    return BookDelta(
        "binance",
        ETH,
        time_ns(d["E"]),
        AT,
        whole(d["U"]),
        whole(d["u"]),
        levels(d["b"], amount),
        levels(d["a"], amount),
    )


STREAMS = [
    (
        Topic(TopicKind.TRADES, ETH),
        trade,
        {"e": "trade", "E": 1762000000123, "s": "ETHUSDT", "t": 900001, "p": "3150.25000000", "q": "0.40000000"}
        | {"T": 1762000000122, "m": True, "M": True},
    ),
    (
        Topic(TopicKind.AGG_TRADES, ETH),
        agg_trade,
        {"e": "aggTrade", "E": 1762000000124, "s": "ETHUSDT", "a": 77001, "p": "3150.25", "q": "1.10000000"}
        | {"f": 900001, "l": 900003, "T": 1762000000122, "m": False, "M": True},
    ),
    (
        Topic(TopicKind.CANDLES, ETH, interval="1m"),
        candle,
        {
            "e": "kline",
            "E": 1762000002003,
            "s": "ETHUSDT",
            "k": {"t": 1761999960000, "T": 1762000019999, "s": "ETHUSDT", "i": "1m", "f": 899500, "L": 900003}
            | {"o": "3149.00", "c": "3150.25", "h": "3151.00", "l": "3148.50", "v": "152.40", "n": 504, "x": False}
            | {"q": "480012.10", "V": "80.10", "Q": "252301.00", "B": "0"},
        },
    ),
    (
        Topic(TopicKind.TICKER, ETH),
        ticker,
        {"e": "24hrTicker", "E": 1762000001000, "s": "ETHUSDT", "p": "-50.25", "P": "-1.621", "w": "3120.10"}
        | {"x": "3100.00", "c": "3150.25", "Q": "0.40", "b": "3150.24", "B": "2.00", "a": "3150.25", "A": "1.50"}
        | {"o": "3100.00", "h": "3180.00", "l": "3080.00", "v": "91234.50", "q": "284661234.10", "O": 1761913600000}
        | {"C": 1762000000999, "F": 700000, "L": 900003, "n": 200004},
    ),
    (
        Topic(TopicKind.BOOK_TICKER, ETH),
        book_ticker,
        {"u": 5000123, "s": "ETHUSDT", "b": "3150.24", "B": "2.00", "a": "3150.25", "A": "1.50"},
    ),
    (
        Topic(TopicKind.PARTIAL_BOOK, ETH, depth=5),
        partial_book,
        {"lastUpdateId": 5000120, "bids": [["3150.24", "2.0"], ["3150.1", "1"]], "asks": [["3150.25", "1.5"]]},
    ),
    (
        Topic(TopicKind.BOOK, ETH),
        book,
        {"e": "depthUpdate", "E": 1762000000200, "s": "ETHUSDT", "U": 5000119, "u": 5000123}
        | {"b": [["3150.24", "2.00"], ["3149.90", "0.00"]], "a": [["3150.25", "1"]]},
    ),
]

# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(("topic", "independent", "data"), STREAMS, ids=[str(topic) for topic, _, _ in STREAMS])
def test_spoilt_frame_is_refused_or_read_right(driver, make_instrument, topic, independent, data):
    name = driver.streams.name(topic)
    read = reads(driver.streams.reader(topic, make_instrument("ETH/USDT")))
    whole_frame = {"stream": name, "data": data}
    intact = read(json.dumps(whole_frame).encode(), AT)
    assert intact == independent(data)
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            frame = spoilt(whole_frame, rng)
            routed = driver.streams.route(frame)
            assert routed is None or isinstance(routed, bytes)
            assert isinstance(driver.streams.control(frame), Ack | Refusal | ConnectionEnding | Noise)
            try:
                event = read(frame, AT)
            except WireFormatError as error:
                assert len(error.excerpt) <= 200
                seen["refused"] += 1
                continue
            seen["read"] += 1
            try:
                walked = walk(frame)
            except (ValueError, RecursionError, InvalidOperation):
                assert event == intact  # the spoilt part is one nobody reads
            else:
                assert event == independent(walked["data"]), frame
                assert walked["data"].get("s", "ETHUSDT") == "ETHUSDT"

    spoil()
    assert seen["read"] > 300 and seen["refused"] > 1_000, seen


def test_spoilt_control_frame_is_always_some_answer(driver):
    frames = [
        {"result": None, "id": 7},
        {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 7},
        {"code": 2, "msg": "Invalid request", "id": 7},
        {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1770123456789}},
        {"event": {"e": "serverShutdown", "E": 1770123456789}},
    ]
    kinds = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            said = driver.streams.control(spoilt(rng.choice(frames), rng))
            kinds[type(said)] += 1
            assert isinstance(said, Ack | Refusal | ConnectionEnding | Noise)
            if isinstance(said, Ack):
                assert type(said.request_id) is int
            if isinstance(said, Noise):
                assert len(said.kind) < 150
            if isinstance(said, Refusal):
                assert isinstance(said.error, ConnectorError)

    spoil()
    assert set(kinds) == {Ack, Refusal, ConnectionEnding, Noise}


# ---------------------------------------------------------------- answers

KLINE = [
    1499040000000,
    "0.016",
    "0.8",
    "0.0157",
    "0.0158",
    "148.1",
    1499040059999,
    "2434.1",
    308,
    "1756.8",
    "28.4",
    "0",
]
TRADE = {"id": 28457, "price": "4.1", "qty": "12", "quoteQty": "48", "time": 1499865549590, "isBuyerMaker": True}
AGG = {"a": 26129, "p": "0.0163", "q": "4.7", "f": 27781, "l": 27781, "T": 1498793709153, "m": True}
TICKER = (
    dict.fromkeys(["priceChange", "priceChangePercent"], "-94.9")
    | dict.fromkeys(
        ["lastPrice", "lastQty", "bidPrice", "bidQty", "askPrice", "askQty", "openPrice", "highPrice"], "4.5"
    )
    | dict.fromkeys(["lowPrice", "volume", "quoteVolume", "weightedAvgPrice"], "4.25")
    | {"symbol": "ETHUSDT", "openTime": 1499783499040, "closeTime": 1499869899040, "count": 76}
)
BEST = {"symbol": "ETHUSDT", "bidPrice": "4.0", "bidQty": "431", "askPrice": "4.1", "askQty": "9"}
INFO = {
    "serverTime": 1565246363776,
    "rateLimits": [{"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000}],
    "exchangeFilters": [{"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 1000}],
    "symbols": [
        {
            "symbol": base + "USDT",
            "status": "TRADING",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT"],
            "permissionSets": [["SPOT"]],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "9", "tickSize": "0.1"},
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            ],
        }
        for base in ("ETH", "BTC")
    ],
}
ANSWERS = [
    (ServerTimeQuery(), {"serverTime": 1499827319559}),
    (InstrumentsQuery(), INFO),
    (CandlesQuery(ETH, "1m"), [KLINE]),
    (RecentTradesQuery(ETH), [TRADE, {**TRADE, "id": 28458}]),
    (HistoricalTradesQuery(ETH), [TRADE]),
    (AggTradesQuery(ETH), [AGG]),
    (DepthQuery(ETH), {"lastUpdateId": 1027024, "bids": [["4.00", "431.0"], ["3.99", "2"]], "asks": [["4.01", "12"]]}),
    (TickersQuery((ETH,)), TICKER),
    (TickersQuery(), [TICKER]),
    (BookTickersQuery(), [BEST]),
    (PricesQuery((ETH,)), {"symbol": "ETHUSDT", "price": "4"}),
]


@pytest.mark.parametrize(("query", "body"), ANSWERS, ids=[str(query)[:40] for query, _ in ANSWERS])
def test_spoilt_answer_is_refused_or_holds_sane_numbers_only(driver, answer, table, query, body):
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 4):
            text = spoilt(body, rng)
            try:
                value = driver.rest.read(query, answer(text), table)
            except WireFormatError:
                seen["refused"] += 1
                continue
            seen["read"] += 1
            if isinstance(query, InstrumentsQuery):
                value = tuple(value.instruments.values())
            for found in numbers_in(value):
                assert found.is_finite() and -24 <= found.adjusted() <= 24

    spoil()
    assert seen["read"] > 20 and seen["refused"] > 100, seen


def test_spoilt_refusal_is_always_classed(driver, answer):
    bodies = [{"code": -1121, "msg": "Invalid symbol."}, {"code": -1003, "msg": "IP banned until 1573370132444. x"}]

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 4):
            response = answer(
                spoilt(rng.choice(bodies), rng), rng.choice((300, 400, 403, 404, 418, 429, 451, 500, 999))
            )
            for write in (False, True):
                assert isinstance(driver.rest.failure(response, write=write), ConnectorError)

    spoil()
