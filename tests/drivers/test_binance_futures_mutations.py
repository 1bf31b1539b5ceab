"""Futures frames and answers spoilt in every way: what comes out is a refusal, noise, or what an independent reader reads.

The independent reader shares nothing with the driver: it walks the standard library's JSON.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal, InvalidOperation

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, INFO, MS, table_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoiling import numbers_in, reads, spoilt, walk

from connector.domain import AggTrade, BookDelta, BookTicker, Candle, OrderBook, Side, Ticker, Topic, TopicKind
from connector.domain.contracts import base_units
from connector.domain.market import Liquidation, MarkPrice
from connector.domain.queries import (
    AggTradesQuery,
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
from connector.drivers.binance import COINM, USDM
from connector.drivers.contract import Ack, ConnectionEnding, Noise, Refusal
from connector.errors import ConnectorError, WireFormatError

AT = 5
PER_SEED = 50
QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = st.integers(min_value=0, max_value=2**32)
SYMBOLS = {USDM.name: ETH_LINEAR, COINM.name: BTC_INVERSE}
NAMES = {USDM.name: "ETHUSDT", COINM.name: "BTCUSD_PERP"}

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


def whole(value, low=0, most=2**63 - 1):
    if type(value) is not int or not low <= value <= most:
        raise ValueError(value)
    return value


def time_ns(value):
    return whole(value, most=(2**63 - 1) // MS) * MS


def flag(value):
    if type(value) is not bool:
        raise ValueError(value)
    return value


class Reader:
    """Reads one product's frames."""

    def __init__(self, driver):
        self.head = (driver.name, SYMBOLS[driver.name])
        self.instrument = table_of(driver.name)[SYMBOLS[driver.name]]
        self.inverse = driver is COINM

    def base(self, counted, price):
        if not self.inverse:
            return counted
        return base_units(self.instrument, counted, price) if counted and price else Decimal(0)

    def beside(self, counted):
        return counted if self.inverse else None

    def worth(self, counted):
        return counted * self.instrument.contract_size

    def levels(self, value, quantity):
        told = [(positive(p), quantity(q)) for p, q in value]
        return tuple((p, self.base(q, p)) for p, q in told)

    def agg_trade(self, d):
        side = Side.SELL if flag(d["m"]) else Side.BUY
        price, counted = positive(d["p"]), positive(d["q"])
        first, last = whole(d["f"]), whole(d["l"])
        assert first <= last
        base = self.base(counted, price)
        ids = (whole(d["a"]), price, base, side, first, last)
        return AggTrade(*self.head, time_ns(d["T"]), AT, *ids, contracts=self.beside(counted))

    def candle(self, d):
        k = d["k"]
        price = positive if k["n"] else amount
        volume, quote, taker, taker_quote = (amount(k[name]) for name in "vqVQ")
        if self.inverse:
            volume, quote, taker, taker_quote = quote, self.worth(volume), taker_quote, self.worth(taker)
        times = (time_ns(d["E"]), AT, {"1m": "1m"}[k["i"]], time_ns(k["t"]), time_ns(k["T"]))
        prices = (price(k[name]) for name in "ohlc")
        return Candle(*self.head, *times, *prices, volume, flag(k["x"]), quote, whole(k["n"]), taker, taker_quote)

    def ticker(self, d):
        last, volume, quote, count = amount(d["c"]), amount(d["v"]), amount(d["q"]), amount(d["Q"])
        if self.inverse:
            volume, quote = quote, self.worth(volume)
        return Ticker(
            *self.head,
            time_ns(d["E"]),
            AT,
            last,
            *[None] * 4,
            *(amount(d[name]) for name in "ohl"),
            volume,
            quote,
            self.base(count, last),
            amount(d["w"]),
            signed(d["p"]),
            signed(d["P"]),
            whole(d["n"]),
            time_ns(d["O"]),
            time_ns(d["C"]),
        )

    def book_ticker(self, d):
        bid, bids, ask, asks = (amount(d[name]) for name in "bBaA")
        sides = (bid, self.base(bids, bid), ask, self.base(asks, ask))
        return BookTicker(*self.head, time_ns(d["E"]), AT, *sides, whole(d["u"]))

    def partial_book(self, d):
        bids, asks = self.levels(d["b"], positive), self.levels(d["a"], positive)
        whole(d["U"]), whole(d["pu"], -1)
        return OrderBook(*self.head, time_ns(d["E"]), AT, whole(d["u"]), bids, asks)

    def book(self, d):
        ids, sides = (whole(d["U"]), whole(d["u"])), (self.levels(d["b"], amount), self.levels(d["a"], amount))
        return BookDelta(*self.head, time_ns(d["E"]), AT, *ids, *sides, whole(d["pu"], -1))

    def mark_price(self, d):
        paid = whole(d.get("T", 0)) > 0 and d.get("r", "") != ""
        index = d.get("i", "")
        return MarkPrice(
            *self.head,
            time_ns(d["E"]),
            AT,
            positive(d["p"]),
            (amount(index) or None) if index != "" else None,
            signed(d["r"]) if paid else None,
            time_ns(d["T"]) if paid else None,
        )

    def liquidation(self, d):
        o = d["o"]
        average, filled = amount(o["ap"]), amount(o["z"])
        price, counted = (average, filled) if average and filled else (positive(o["p"]), positive(o["q"]))
        sizes = (price, self.base(counted, price), self.beside(counted))
        return Liquidation(*self.head, time_ns(o["T"]), AT, {"BUY": Side.BUY, "SELL": Side.SELL}[o["S"]], *sizes)


def samples(driver):
    symbol, name, read = SYMBOLS[driver.name], NAMES[driver.name], Reader(driver)
    depth = {"e": "depthUpdate", "E": 1762000000300, "T": 1762000000298, "s": name, "U": 5000125, "u": 5000140}
    k = {"t": 1761999960000, "T": 1762000019999, "s": name, "i": "1m", "f": 899500, "L": 900003, "o": "3149", "n": 504}
    k |= {"c": "3150.25", "h": "3151.00", "l": "3148.5", "v": "152", "x": False, "q": "480012.1", "V": "80", "Q": "252"}
    forced = {
        "s": name,
        "S": "SELL",
        "o": "LIMIT",
        "f": "IOC",
        "q": "3",
        "p": "3100.00",
        "ap": "3120.50",
        "X": "FILLED",
    }
    return [
        (
            Topic(TopicKind.AGG_TRADES, symbol),
            read.agg_trade,
            {"e": "aggTrade", "E": 1762000000123, "s": name, "a": 77001, "p": "3150.25", "q": "11", "nq": "1.000"}
            | {"f": 900001, "l": 900003, "T": 1762000000100, "m": True, "st": 1},
        ),
        (
            Topic(TopicKind.CANDLES, symbol, interval="1m"),
            read.candle,
            {"e": "kline", "E": 1762000002003, "s": name, "k": k},
        ),
        (
            Topic(TopicKind.TICKER, symbol),
            read.ticker,
            {"e": "24hrTicker", "E": 1762000001000, "s": name, "p": "-50.25", "P": "1.621", "w": "3120.10"}
            | {"c": "3150.25", "Q": "4", "o": "3100.00", "h": "3180.00", "l": "3080.00", "v": "91234", "q": "284661.1"}
            | {"O": 1761913560000, "C": 1762000000998, "F": 700000, "L": 900003, "n": 200004, "st": 1},
        ),
        (
            Topic(TopicKind.BOOK_TICKER, symbol),
            read.book_ticker,
            {"e": "bookTicker", "u": 5000123, "s": name, "b": "3150.24", "B": "2", "a": "3150.25", "A": "15"}
            | {"T": 1762000000120, "E": 1762000000121, "st": 1},
        ),
        (
            Topic(TopicKind.PARTIAL_BOOK, symbol, depth=5),
            read.partial_book,
            depth | {"pu": 5000117, "b": [["3150.24", "2"], ["3150.1", "1"]], "a": [["3150.25", "15"]]},
        ),
        (
            Topic(TopicKind.BOOK, symbol),
            read.book,
            depth | {"pu": 5000123, "b": [["3150.24", "0"], ["3149", "2"]], "a": [["3150.30", "41"]]},
        ),
        (
            Topic(TopicKind.MARK_PRICE, symbol),
            read.mark_price,
            {"e": "markPriceUpdate", "E": 1762000001000, "s": name, "p": "3150.2", "ap": "3150.21", "P": "3149.9"}
            | {"i": "3150.5", "r": "-0.0001", "T": 1762012800000, "st": 1},
        ),
        (
            Topic(TopicKind.LIQUIDATIONS, symbol),
            read.liquidation,
            {"e": "forceOrder", "E": 1762000000400, "o": forced | {"l": "3", "z": "3", "T": 1762000000399}},
        ),
    ]


STREAMS = [(driver, *row) for driver in (USDM, COINM) for row in samples(driver)]


@pytest.mark.parametrize(
    ("driver", "topic", "independent", "data"), STREAMS, ids=[f"{row[0].name} {row[1]}" for row in STREAMS]
)
def test_spoilt_frame_is_refused_or_read_right(driver, topic, independent, data):
    read = reads(driver.streams.reader(topic, table_of(driver.name)[topic.symbol]))
    whole_frame = {"stream": driver.streams.name(topic), "data": data}
    intact = read(json.dumps(whole_frame).encode(), AT)
    assert intact == independent(data)
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            frame = spoilt(whole_frame, rng)
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

    spoil()
    assert seen["read"] > 100 and seen["refused"] > 400, seen


# ---------------------------------------------------------------- answers

KLINE = [1499040000000, "0.016", "0.8", "0.0157", "0.0158", "148", 1499040059999, "2434.1", 308, "17", "28.4", "0"]
TRADE = {"id": 28457, "price": "4.1", "qty": "12", "quoteQty": "48", "time": 1499865549590, "isBuyerMaker": True}
AGG = {"a": 26129, "p": "0.0163", "q": "47", "f": 27781, "l": 27781, "T": 1498793709153, "m": True}


def answers(driver):
    symbol, name = SYMBOLS[driver.name], NAMES[driver.name]
    ticker = dict.fromkeys(["priceChange", "priceChangePercent"], "-94.9") | {"symbol": name, "count": 76}
    ticker |= dict.fromkeys(["lastPrice", "lastQty", "openPrice", "highPrice", "lowPrice", "volume"], "4.5")
    ticker |= dict.fromkeys(["quoteVolume", "baseVolume", "weightedAvgPrice"], "4.25")
    ticker |= {"openTime": 1499783499040, "closeTime": 1499869899040}
    best = {"symbol": name, "bidPrice": "4.0", "bidQty": "431", "askPrice": "4.1", "askQty": "9", "time": 1499869899040}
    mark = {"symbol": name, "markPrice": "3150.2", "indexPrice": "3150.5", "lastFundingRate": "-0.0001"}
    mark |= {"nextFundingTime": 1762012800000, "time": 1762000001000}
    funding = {"symbol": name, "fundingRate": "-0.0003", "fundingTime": 1762012800000, "markPrice": "3150"}
    depth = {"lastUpdateId": 1027024, "E": 1, "bids": [["4.00", "431"], ["3.99", "2"]], "asks": [["4.01", "12"]]}
    return [
        (ServerTimeQuery(), {"serverTime": 1499827319559}),
        (InstrumentsQuery(), INFO[driver.name]),
        (CandlesQuery(symbol, "1m"), [KLINE]),
        (RecentTradesQuery(symbol), [TRADE, {**TRADE, "id": 28458}]),
        (AggTradesQuery(symbol), [AGG]),
        (DepthQuery(symbol), depth),
        (TickersQuery((symbol,)), ticker),
        (TickersQuery(), [ticker]),
        (BookTickersQuery(), [best]),
        (PricesQuery((symbol,)), {"symbol": name, "price": "4"}),
        (MarkPricesQuery((symbol,)), [mark]),
        (FundingRatesQuery(symbol), [funding]),
        (OpenInterestQuery(symbol), {"symbol": name, "openInterest": "10659", "time": 1762000001000}),
    ]


ANSWERS = [(driver, *row) for driver in (USDM, COINM) for row in answers(driver)]


@pytest.mark.parametrize(
    ("driver", "query", "body"), ANSWERS, ids=[f"{row[0].name} {str(row[1])[:40]}" for row in ANSWERS]
)
def test_spoilt_answer_is_refused_or_holds_sane_numbers_only(answer, driver, query, body):
    seen, table = Counter(), table_of(driver.name)

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 4):
            try:
                value = driver.rest.read(query, answer(spoilt(body, rng)), table)
            except WireFormatError:
                seen["refused"] += 1
                continue
            except ConnectorError:
                assert seen is None, "only answers that cannot be read are refused here"
            seen["read"] += 1
            if isinstance(query, InstrumentsQuery):
                value = tuple(value.instruments.values())
            for found in numbers_in(value):
                assert found.is_finite() and -60 <= found.adjusted() <= 60

    spoil()
    assert seen["read"] > 20 and seen["refused"] > 100, seen


def test_spoilt_refusal_is_always_classed(answer):
    bodies = [{"code": -1121, "msg": "Invalid symbol."}, {"code": -4188, "msg": "x"}]
    bodies.append({"code": -1000, "msg": "Service Unavailable."})

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 2):
            status = rng.choice((300, 400, 403, 404, 408, 418, 429, 451, 500, 503, 999))
            response = answer(spoilt(rng.choice(bodies), rng), status)
            for driver in (USDM, COINM):
                for write in (False, True):
                    assert isinstance(driver.rest.failure(response, write=write), ConnectorError)

    spoil()
