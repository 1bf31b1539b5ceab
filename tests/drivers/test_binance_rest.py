"""Questions to requests, byte for byte, and answers to values."""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from connector.domain import AggTrade, BookTicker, Candle, OrderBook, Price, Side, Symbol, Ticker, Trade
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
from connector.domain.wire import Charge
from connector.drivers.binance.rest import QUESTIONS
from connector.errors import InvalidRequest, UnknownSymbol, Unsupported, WireFormatError

D = Decimal

BTC, ETH, BNB = Symbol("BTC", "USDT"), Symbol("ETH", "USDT"), Symbol("BNB", "USDT")
STRANGE = Symbol("１２３", "４５６")
MS = 1_000_000
MINUTE = 60_000 * MS
HUNDRED = tuple(Symbol(f"A{number}", "USDT") for number in range(101))

GOLDEN = [
    (ServerTimeQuery(), "/api/v3/time", 1),
    (InstrumentsQuery(), "/api/v3/exchangeInfo", 20),
    (CandlesQuery(BTC, "1m"), "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000", 2),
    (
        CandlesQuery(BTC, "1M", 1_000_000_001, 2_999_999_999, 5),
        "/api/v3/klines?symbol=BTCUSDT&interval=1M&startTime=1001&endTime=2999&limit=5",
        2,
    ),
    (CandlesQuery(BTC, "1s", start_ns=0), "/api/v3/klines?symbol=BTCUSDT&interval=1s&startTime=0&limit=1000", 2),
    (RecentTradesQuery(BTC), "/api/v3/trades?symbol=BTCUSDT&limit=1000", 25),
    (
        RecentTradesQuery(STRANGE, 1),
        "/api/v3/trades?symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&limit=1",
        25,
    ),
    (HistoricalTradesQuery(BTC), "/api/v3/historicalTrades?symbol=BTCUSDT&limit=1000", 25),
    (HistoricalTradesQuery(BTC, 0, 7), "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0&limit=7", 25),
    (AggTradesQuery(BTC), "/api/v3/aggTrades?symbol=BTCUSDT&limit=1000", 4),
    (AggTradesQuery(BTC, 9, limit=2), "/api/v3/aggTrades?symbol=BTCUSDT&fromId=9&limit=2", 4),
    (
        AggTradesQuery(BTC, start_ns=MS, end_ns=2 * MS),
        "/api/v3/aggTrades?symbol=BTCUSDT&startTime=1&endTime=2&limit=1000",
        4,
    ),
    (DepthQuery(BTC), "/api/v3/depth?symbol=BTCUSDT&limit=5000", 250),
    (DepthQuery(BTC, 1), "/api/v3/depth?symbol=BTCUSDT&limit=1", 5),
    (DepthQuery(BTC, 100), "/api/v3/depth?symbol=BTCUSDT&limit=100", 5),
    (DepthQuery(BTC, 101), "/api/v3/depth?symbol=BTCUSDT&limit=101", 25),
    (DepthQuery(BTC, 500), "/api/v3/depth?symbol=BTCUSDT&limit=500", 25),
    (DepthQuery(BTC, 501), "/api/v3/depth?symbol=BTCUSDT&limit=501", 50),
    (DepthQuery(BTC, 1000), "/api/v3/depth?symbol=BTCUSDT&limit=1000", 50),
    (DepthQuery(BTC, 1001), "/api/v3/depth?symbol=BTCUSDT&limit=1001", 250),
    (TickersQuery(), "/api/v3/ticker/24hr", 80),
    (TickersQuery((BTC,)), "/api/v3/ticker/24hr?symbol=BTCUSDT", 2),
    (TickersQuery((BTC, BTC)), "/api/v3/ticker/24hr?symbol=BTCUSDT", 2),
    (TickersQuery((BTC, BNB)), "/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22%2C%22BNBUSDT%22%5D", 2),
    (TickersQuery(HUNDRED), "/api/v3/ticker/24hr", 80),
    (BookTickersQuery(), "/api/v3/ticker/bookTicker", 4),
    (BookTickersQuery((BTC,)), "/api/v3/ticker/bookTicker?symbol=BTCUSDT", 2),
    (BookTickersQuery((BTC, ETH)), "/api/v3/ticker/bookTicker?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D", 4),
    (PricesQuery(), "/api/v3/ticker/price", 4),
    (PricesQuery((BTC,)), "/api/v3/ticker/price?symbol=BTCUSDT", 2),
    (PricesQuery((BTC, ETH)), "/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D", 4),
]


@pytest.mark.parametrize(("query", "target", "weight"), GOLDEN, ids=lambda value: str(value)[:60])
def test_question_becomes_this_request_and_costs_this(driver, query, target, weight):
    request = driver.rest.request(query)

    assert request.target == target
    assert request.method == "GET" and request.safe and not request.body
    assert request.charges == (Charge("REQUEST_WEIGHT/60s", weight), Charge("RAW_REQUESTS/300s", 1))


def test_every_kind_of_question_has_a_golden_request():
    assert {type(query) for query, _, _ in GOLDEN} == set(QUESTIONS)


@pytest.mark.parametrize(("count", "weight"), [(1, 2), (2, 2), (20, 2), (21, 40), (100, 40), (101, 80)])
def test_ticker_weight_follows_the_number_of_symbols(driver, count, weight):
    request = driver.rest.request(TickersQuery(HUNDRED[:count]))
    assert request.charges[0].points == weight


def test_charges_are_of_budgets_the_driver_knows(driver):
    known = {limit.name for limit in driver.limits}
    assert {charge.budget for query, _, _ in GOLDEN for charge in driver.rest.request(query).charges} <= known


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (CandlesQuery(BTC, "2m"), "1m, 3m, 5m"),
        (CandlesQuery(BTC, "1D"), "Case matters"),
        (CandlesQuery(BTC, ""), "none of"),
        (CandlesQuery(BTC, "1m", limit=0), "from 1 to 1000"),
        (CandlesQuery(BTC, "1m", limit=1001), "from 1 to 1000"),
        (CandlesQuery(BTC, "1m", limit=True), "from 1 to 1000"),
        (CandlesQuery(BTC, "1m", limit=1.5), "from 1 to 1000"),
        (CandlesQuery(BTC, "1m", limit=10**5000), "far out of range"),
        (CandlesQuery(BTC, "1m", start_ns=-1), "start_ns is -1"),
        (CandlesQuery(BTC, "1m", end_ns=2**63), "end_ns"),
        (CandlesQuery(BTC, "1m", start_ns=2, end_ns=1), "ends before it starts"),
        (RecentTradesQuery(BTC, -5), "from 1 to 1000"),
        (HistoricalTradesQuery(BTC, -1), "from_id is -1"),
        (HistoricalTradesQuery(BTC, 2**63), "from_id"),
        (AggTradesQuery(BTC, 1, start_ns=1), "not by both"),
        (AggTradesQuery(BTC, -1), "from_id"),
        (DepthQuery(BTC, 5001), "from 1 to 5000"),
        (DepthQuery(BTC, 0), "from 1 to 5000"),
    ],
)
def test_parameter_out_of_bounds_is_refused_here_and_names_the_bounds(driver, query, words):
    with pytest.raises(InvalidRequest, match=words):
        driver.rest.request(query)


@pytest.mark.parametrize(
    "query",
    [
        CandlesQuery(Symbol("BTC", "USDT", "USDT"), "1m"),
        TickersQuery((BTC, Symbol("BTC", "USD", "BTC"))),
        TickersQuery((*HUNDRED, Symbol("BTC", "USD", "BTC"))),
    ],
)
def test_contracts_are_unsupported_on_spot(driver, query):
    with pytest.raises(Unsupported, match="spot"):
        driver.rest.request(query)


def test_question_nobody_knows_is_unsupported_and_lists_the_known(driver, answer):
    with pytest.raises(Unsupported, match="candles"):
        driver.rest.request("a question")
    with pytest.raises(Unsupported):
        driver.rest.read("a question", answer({}), None)


@pytest.mark.parametrize("text", ["BTCUSDT", "a&b=c", "１", "a b", "~-_.", '["A"]', "100%", "é/?#"])
def test_percent_encoding_survives_a_decoder(text):
    from connector.drivers.binance.rest import percent_encoded

    encoded = percent_encoded([("x", text), ("y", "1")])
    assert re.fullmatch(r"x=(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*&y=1", encoded)
    assert parse_qs(encoded, strict_parsing=True) == {"x": [text], "y": ["1"]}


# ---------------------------------------------------------------- answers

KLINE = [
    1499040000000,
    "0.01634790",
    "0.80000000",
    "0.01575800",
    "0.01577100",
    "148976.11427815",
    1499040059999,
    "2434.19055334",
    308,
    "1756.87402397",
    "28.46694368",
    "0",
]
TRADE = {
    "id": 28457,
    "price": "4.00000100",
    "qty": "12.00000000",
    "quoteQty": "48.000012",
    "time": 1499865549590,
    "isBuyerMaker": True,
    "isBestMatch": True,
}
AGG = {
    "a": 26129,
    "p": "0.01633102",
    "q": "4.70443515",
    "f": 27781,
    "l": 27781,
    "T": 1498793709153,
    "m": False,
    "M": True,
}
TICKER = {
    "symbol": "BTCUSDT",
    "priceChange": "-94.99999800",
    "priceChangePercent": "-95.960",
    "weightedAvgPrice": "0.29628482",
    "prevClosePrice": "0.10002000",
    "lastPrice": "4.00000200",
    "lastQty": "200.00000000",
    "bidPrice": "4.00000000",
    "bidQty": "100.00000000",
    "askPrice": "4.00000200",
    "askQty": "100.00000000",
    "openPrice": "99.00000000",
    "highPrice": "100.00000000",
    "lowPrice": "0.10000000",
    "volume": "8913.30000000",
    "quoteVolume": "15.30000000",
    "openTime": 1499783499040,
    "closeTime": 1499869899040,
    "firstId": 28385,
    "lastId": 28460,
    "count": 76,
}
BEST = {"symbol": "BTCUSDT", "bidPrice": "4.0", "bidQty": "431.0", "askPrice": "4.1", "askQty": "9.0"}
PRICE = {"symbol": "BTCUSDT", "price": "4.00000200"}
DEPTH = {"lastUpdateId": 1027024, "bids": [["4.00", "431.0"], ["3.99", "2"]], "asks": [["4.01", "12.0"]]}


def klines(*opens):
    return [[KLINE[0] + 60_000 * at, *KLINE[1:6], KLINE[6] + 60_000 * at, *KLINE[7:]] for at in opens]


def test_server_time_is_nanoseconds(driver, answer):
    assert driver.rest.read(ServerTimeQuery(), answer({"serverTime": 1499827319559}), None) == 1499827319559 * MS


def test_candles_are_read_with_all_their_fields(driver, answer):
    response = answer(klines(0))
    (candle,) = driver.rest.read(CandlesQuery(BTC, "1m"), response, None)

    assert candle == Candle(
        "binance",
        BTC,
        None,
        response.received_ns,
        "1m",
        1499040000000 * MS,
        1499040059999 * MS,
        D("0.01634790"),
        D("0.8"),
        D("0.015758"),
        D("0.015771"),
        D("148976.11427815"),
        True,
        D("2434.19055334"),
        308,
        D("1756.87402397"),
        D("28.46694368"),
    )


@pytest.mark.parametrize(
    ("sent_after_close_s", "date", "closed"),
    [
        (3, None, True),
        (1, None, False),
        (-10, None, False),
        (3, "Mon, 03 Jul 2017 00:01:30 GMT", True),  # close is 00:00:59.999
        (3, "Mon, 03 Jul 2017 00:01:00 GMT", False),  # our clock runs ahead: the venue's word counts
        (-3600, "Mon, 03 Jul 2017 00:01:30 GMT", False),  # our clock runs behind: open is the harmless mistake
        (3, "yesterday", True),
    ],
)
def test_last_candle_is_closed_only_when_its_end_is_surely_past(driver, answer, sent_after_close_s, date, closed):
    sent_ns = 1499040059999 * MS + int(sent_after_close_s * 1e9)
    headers = {} if date is None else {"date": date}
    candles = driver.rest.read(CandlesQuery(BTC, "1m"), answer(klines(-1, 0), sent_ns=sent_ns, **headers), None)

    assert [candle.closed for candle in candles] == [True, closed]


def test_trades_are_read_and_m_means_the_seller_was_the_aggressor(driver, answer):
    response = answer([TRADE, {**TRADE, "id": 28458, "isBuyerMaker": False}])
    first, second = driver.rest.read(RecentTradesQuery(BTC), response, None)

    expected = Trade("binance", BTC, 1499865549590 * MS, response.received_ns, 28457, D("4.000001"), D("12"), Side.SELL)
    assert first == expected and second.side is Side.BUY
    assert driver.rest.read(HistoricalTradesQuery(BTC, 28457), response, None) == (first, second)


def test_aggregate_trades_leave_out_what_the_venue_invalidated(driver, answer):
    invalid = {**AGG, "a": 26130, "p": "0", "q": "0", "f": -1, "l": -1}
    response = answer([AGG, invalid, {**AGG, "a": 26131}])
    trades = driver.rest.read(AggTradesQuery(BTC), response, None)

    assert [trade.agg_id for trade in trades] == [26129, 26131]
    assert trades[0] == AggTrade(
        "binance",
        BTC,
        1498793709153 * MS,
        response.received_ns,
        26129,
        D("0.01633102"),
        D("4.70443515"),
        Side.BUY,
        27781,
        27781,
    )


def test_depth_is_a_book_best_level_first(driver, answer):
    response = answer(DEPTH)
    book = driver.rest.read(DepthQuery(BTC, 5), response, None)

    levels = ((D("4"), D("431")), (D("3.99"), D("2"))), ((D("4.01"), D("12")),)
    assert book == OrderBook("binance", BTC, None, response.received_ns, 1027024, *levels)


def test_tickers_come_in_the_order_asked(driver, answer, table):
    rows = [{**TICKER, "symbol": name} for name in ("ETHUSDT", "BTCUSDT", "WEIRD")]
    response = answer(rows)

    asked = driver.rest.read(TickersQuery((BTC, ETH, BTC)), response, table)
    assert [ticker.symbol for ticker in asked] == [BTC, ETH, BTC]
    everything = driver.rest.read(TickersQuery(), response, table)
    assert [ticker.symbol for ticker in everything] == [ETH, BTC]  # WEIRD is in no table


def test_one_ticker_has_all_its_fields(driver, answer):
    response = answer(TICKER)
    (ticker,) = driver.rest.read(TickersQuery((BTC,)), response, None)

    assert ticker == Ticker(
        "binance",
        BTC,
        1499869899040 * MS,
        response.received_ns,
        last=D("4.000002"),
        bid=D("4"),
        bid_quantity=D("100"),
        ask=D("4.000002"),
        ask_quantity=D("100"),
        open=D("99"),
        high=D("100"),
        low=D("0.1"),
        volume=D("8913.3"),
        quote_volume=D("15.3"),
        last_quantity=D("200"),
        weighted_average=D("0.29628482"),
        price_change=D("-94.999998"),
        price_change_percent=D("-95.960"),
        trade_count=76,
        open_time_ns=1499783499040 * MS,
        close_time_ns=1499869899040 * MS,
    )


def test_best_prices_and_prices_are_read(driver, answer, table):
    response = answer(BEST)
    expected = BookTicker("binance", BTC, None, response.received_ns, D("4.0"), D("431.0"), D("4.1"), D("9.0"))
    assert driver.rest.read(BookTickersQuery((BTC,)), response, None) == (expected,)
    assert driver.rest.read(BookTickersQuery(), answer([BEST]), table) == (expected,)

    price = Price("binance", BTC, None, response.received_ns, D("4.00000200"))
    assert driver.rest.read(PricesQuery((BTC,)), answer(PRICE), None) == (price,)
    assert driver.rest.read(PricesQuery(), answer([PRICE]), table) == (price,)


def test_halted_instrument_in_a_list_may_have_zeros(driver, answer, table):
    zeros = {
        name: "0.00000000" if isinstance(value, str) and name != "symbol" else value for name, value in TICKER.items()
    }
    (ticker,) = driver.rest.read(TickersQuery(), answer([zeros]), table)
    assert ticker.last == 0


def test_list_of_everything_needs_the_table(driver, answer):
    with pytest.raises(InvalidRequest, match="instruments first"):
        driver.rest.read(PricesQuery(), answer([PRICE]), None)


def test_answer_without_an_asked_symbol_is_refused(driver, answer, table):
    with pytest.raises(WireFormatError, match="ETHUSDT"):
        driver.rest.read(PricesQuery((BTC, ETH)), answer([PRICE]), table)
    with pytest.raises(WireFormatError, match="ETHUSDT"):
        driver.rest.read(PricesQuery((ETH,)), answer(PRICE), table)
    with pytest.raises(UnknownSymbol):  # all were asked for: the venue lists no such symbol
        driver.rest.read(PricesQuery(HUNDRED), answer([PRICE]), table)


@pytest.mark.parametrize(
    ("query", "good", "row"),
    [
        (CandlesQuery(BTC, "1m"), klines(0), 0),
        (RecentTradesQuery(BTC), [TRADE], 0),
        (HistoricalTradesQuery(BTC), [TRADE], 0),
        (AggTradesQuery(BTC), [AGG], 0),
    ],
)
def test_rows_out_of_order_or_doubled_spoil_the_answer(driver, answer, query, good, row):
    assert len(driver.rest.read(query, answer(good), None)) == 1
    with pytest.raises(WireFormatError, match="oldest first"):
        driver.rest.read(query, answer(good * 2), None)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "1e999999999", "-1", "", None, True, [], "1e-999999999"])
def test_one_impossible_number_spoils_the_answer(driver, answer, bad):
    spoilt = [
        (CandlesQuery(BTC, "1m"), [[*KLINE[:2], bad, *KLINE[3:]]]),
        (RecentTradesQuery(BTC), [{**TRADE, "price": bad}]),
        (RecentTradesQuery(BTC), [{**TRADE, "qty": bad}]),
        (AggTradesQuery(BTC), [{**AGG, "p": bad}]),
        (DepthQuery(BTC), {**DEPTH, "bids": [["4", bad]]}),
        (DepthQuery(BTC), {**DEPTH, "asks": [[bad, "4"]]}),
        (TickersQuery((BTC,)), {**TICKER, "volume": bad}),
        (BookTickersQuery((BTC,)), {**BEST, "bidPrice": bad}),
        (PricesQuery((BTC,)), {**PRICE, "price": bad}),
    ]
    for query, body in spoilt:
        with pytest.raises(WireFormatError):
            driver.rest.read(query, answer(body), None)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[", b"[" * 10_000, b"\xff", b'"x"', b"7", b"[[]]", b"[null]"]
)
@pytest.mark.parametrize("query", [query for query, _, _ in GOLDEN], ids=lambda value: str(value)[:40])
def test_unreadable_answer_is_a_wire_format_error(driver, answer, table, query, body):
    with pytest.raises(WireFormatError):
        driver.rest.read(query, answer(body), table)


def test_empty_history_is_an_empty_tuple(driver, answer):
    assert driver.rest.read(CandlesQuery(BTC, "1m"), answer([]), None) == ()


# ---------------------------------------------------------------- usage


def test_used_budgets_have_the_names_of_the_limits(driver, answer):
    headers = {
        "x_mbx_used_weight": "9",
        "x_mbx_used_weight_1m": "17",
        "x_mbx_order_count_10s": "1",
        "x_mbx_order_count_1d": "250",
        "x_mbx_used_weight_1h": "-5",
        "x_mbx_used_weight_2m": "many",
        "x_mbx_uuid": "a-b",
        "content_type": "application/json",
    }
    used = driver.rest.used(answer({}, **headers))

    assert used == {"REQUEST_WEIGHT/60s": 17, "ORDERS/10s": 1, "ORDERS/86400s": 250}
    assert set(used) <= {limit.name for limit in driver.limits}
    assert driver.rest.used(answer({})) == {}
