"""Questions to both futures hosts, byte for byte, and their answers as values in base units."""

from __future__ import annotations

from pathlib import Path

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, MS, D, table_of

from connector.domain import AggTrade, BookTicker, Candle, OrderBook, Price, Side, Symbol, Ticker, Trade
from connector.domain.market import FundingRate, MarkPrice, OpenInterest
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.wire import Charge
from connector.drivers.binance import COINM, USDM
from connector.drivers.table import capability_table
from connector.errors import InvalidRequest, UnknownSymbol, Unsupported, WireFormatError

ETH, INV = ETH_LINEAR, BTC_INVERSE
BTC = Symbol("BTC", "USDT", "USDT")
DATED = Symbol("BTC", "USDT", "USDT", "261225")
HOUR, DAY = 3_600_000 * MS, 86_400_000 * MS

USDM_GOLDEN = [
    (ServerTimeQuery(), "/fapi/v1/time", 1),
    (InstrumentsQuery(), "/fapi/v1/exchangeInfo", 1),
    (CandlesQuery(ETH, "1m"), "/fapi/v1/klines?symbol=ETHUSDT&interval=1m&limit=1500", 10),
    (CandlesQuery(ETH, "1m", limit=1000), "/fapi/v1/klines?symbol=ETHUSDT&interval=1m&limit=1000", 5),
    (CandlesQuery(ETH, "1m", limit=500), "/fapi/v1/klines?symbol=ETHUSDT&interval=1m&limit=500", 2),
    (CandlesQuery(ETH, "1m", limit=100), "/fapi/v1/klines?symbol=ETHUSDT&interval=1m&limit=100", 1),
    (
        CandlesQuery(DATED, "1M", 1_000_000_001, 9 * DAY, 5),
        "/fapi/v1/klines?symbol=BTCUSDT_261225&interval=1M&startTime=1001&endTime=777600000&limit=5",
        1,
    ),
    (RecentTradesQuery(ETH), "/fapi/v1/trades?symbol=ETHUSDT&limit=1000", 5),
    (AggTradesQuery(ETH), "/fapi/v1/aggTrades?symbol=ETHUSDT&limit=1000", 20),
    (AggTradesQuery(ETH, 9, limit=2), "/fapi/v1/aggTrades?symbol=ETHUSDT&fromId=9&limit=2", 20),
    (
        AggTradesQuery(ETH, start_ns=MS, end_ns=HOUR),
        "/fapi/v1/aggTrades?symbol=ETHUSDT&startTime=1&endTime=3600000&limit=1000",
        20,
    ),
    (AggTradesQuery(ETH, start_ns=0, end_ns=HOUR), "/fapi/v1/aggTrades?symbol=ETHUSDT&startTime=0&limit=1000", 20),
    (DepthQuery(ETH), "/fapi/v1/depth?symbol=ETHUSDT&limit=1000", 20),
    (DepthQuery(ETH, 1), "/fapi/v1/depth?symbol=ETHUSDT&limit=5", 2),
    (DepthQuery(ETH, 21), "/fapi/v1/depth?symbol=ETHUSDT&limit=50", 2),
    (DepthQuery(ETH, 51), "/fapi/v1/depth?symbol=ETHUSDT&limit=100", 5),
    (DepthQuery(ETH, 500), "/fapi/v1/depth?symbol=ETHUSDT&limit=500", 10),
    (TickersQuery((ETH, ETH)), "/fapi/v1/ticker/24hr?symbol=ETHUSDT", 1),
    (TickersQuery((ETH, BTC)), "/fapi/v1/ticker/24hr", 40),
    (BookTickersQuery((ETH,)), "/fapi/v1/ticker/bookTicker?symbol=ETHUSDT", 2),
    (BookTickersQuery(), "/fapi/v1/ticker/bookTicker", 5),
    (PricesQuery((ETH,)), "/fapi/v2/ticker/price?symbol=ETHUSDT", 1),
    (PricesQuery(), "/fapi/v2/ticker/price", 2),
    (MarkPricesQuery((ETH,)), "/fapi/v1/premiumIndex?symbol=ETHUSDT", 1),
    (MarkPricesQuery(), "/fapi/v1/premiumIndex", 10),
    (OpenInterestQuery(ETH), "/fapi/v1/openInterest?symbol=ETHUSDT", 1),
]
COINM_GOLDEN = [
    (ServerTimeQuery(), "/dapi/v1/time", 1),
    (InstrumentsQuery(), "/dapi/v1/exchangeInfo", 1),
    (CandlesQuery(INV, "1m"), "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m&limit=1500", 10),
    (
        CandlesQuery(INV, "1m", 0, DAY, 100),
        "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m&startTime=0&endTime=5999999&limit=100",
        1,
    ),
    (
        CandlesQuery(INV, "1m", 0, HOUR, 100),
        "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m&startTime=0&endTime=3600000&limit=100",
        1,
    ),
    (
        CandlesQuery(INV, "1d", 0, 200 * DAY - 1),
        "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1d&startTime=0&endTime=17279999999&limit=1500",
        10,
    ),
    (
        CandlesQuery(INV, "1d", MS),
        "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1d&startTime=1&endTime=17280000000&limit=1500",
        10,
    ),
    (
        CandlesQuery(INV, "1d", end_ns=DAY),
        "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1d&endTime=86400000&limit=1500",
        10,
    ),
    (RecentTradesQuery(INV), "/dapi/v1/trades?symbol=BTCUSD_PERP&limit=1000", 5),
    (AggTradesQuery(INV), "/dapi/v1/aggTrades?symbol=BTCUSD_PERP&limit=1000", 20),
    (DepthQuery(INV), "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000", 20),
    (TickersQuery((INV,)), "/dapi/v1/ticker/24hr?symbol=BTCUSD_PERP", 1),
    (BookTickersQuery(), "/dapi/v1/ticker/bookTicker", 5),
    (PricesQuery(), "/dapi/v1/ticker/price", 2),
    (MarkPricesQuery((INV,)), "/dapi/v1/premiumIndex?symbol=BTCUSD_PERP", 10),
    (FundingRatesQuery(INV), "/dapi/v1/fundingRate?symbol=BTCUSD_PERP&limit=1000", 1),
    (OpenInterestQuery(INV), "/dapi/v1/openInterest?symbol=BTCUSD_PERP", 1),
]
GOLDEN = [(USDM, *row) for row in USDM_GOLDEN] + [(COINM, *row) for row in COINM_GOLDEN]


@pytest.mark.parametrize(("driver", "query", "target", "weight"), GOLDEN, ids=lambda value: str(value)[:50])
def test_question_becomes_this_request_and_costs_this(driver, query, target, weight):
    request = driver.rest.request(query)

    assert request.target == target
    assert request.method == "GET" and request.safe and not request.body
    assert request.charges == (Charge("REQUEST_WEIGHT/60s", weight),)


def test_funding_rates_have_a_budget_of_their_own_on_usd_m():
    request = USDM.rest.request(FundingRatesQuery(ETH, 0, DAY, 7))
    assert request.target == "/fapi/v1/fundingRate?symbol=ETHUSDT&startTime=0&endTime=86400000&limit=7"
    assert request.charges == (Charge("FUNDING/300s", 1),)


@pytest.mark.parametrize(("driver", "golden"), [(USDM, USDM_GOLDEN), (COINM, COINM_GOLDEN)], ids=repr)
def test_every_kind_of_question_has_a_golden_request(driver, golden):
    asked = {type(query) for query, _, _ in golden} | {FundingRatesQuery}
    assert asked == set(driver.rest.questions)
    names = {item.name for item in driver.capabilities if item.area == "query"}
    assert names == {question.name for question in driver.rest.questions.values()}


def test_charges_are_of_budgets_the_driver_knows():
    for driver, query, _, _ in GOLDEN:
        assert {charge.budget for charge in driver.rest.request(query).charges} <= {lim.name for lim in driver.limits}


def test_old_trades_need_a_key_and_are_unsupported():
    for driver, symbol in ((USDM, ETH), (COINM, INV)):
        with pytest.raises(Unsupported, match="recent trades"):
            driver.rest.request(HistoricalTradesQuery(symbol))


@pytest.mark.parametrize(
    ("driver", "query", "words"),
    [
        (USDM, CandlesQuery(ETH, "1s"), "1m, 3m, 5m"),
        (USDM, CandlesQuery(ETH, "1m", limit=1501), "from 1 to 1500"),
        (USDM, CandlesQuery(ETH, "1m", limit=True), "from 1 to 1500"),
        (USDM, CandlesQuery(ETH, "1m", start_ns=2, end_ns=1), "ends before it starts"),
        (COINM, CandlesQuery(INV, "1m", start_ns=-1), "start_ns is -1"),
        (COINM, CandlesQuery(INV, "1d", 0, 200 * DAY), "200 days"),
        (USDM, RecentTradesQuery(ETH, 1001), "from 1 to 1000"),
        (USDM, AggTradesQuery(ETH, 1, start_ns=1), "not by both"),
        (USDM, DepthQuery(ETH, 1001), "from 1 to 1000"),
        (COINM, DepthQuery(INV, 0), "from 1 to 1000"),
        (USDM, FundingRatesQuery(ETH, limit=1001), "from 1 to 1000"),
    ],
)
def test_parameter_out_of_bounds_is_refused_here_and_names_the_bounds(driver, query, words):
    with pytest.raises(InvalidRequest, match=words):
        driver.rest.request(query)


def test_lists_come_whole_in_one_answer(answer):
    assert USDM.rest.more(InstrumentsQuery(), answer({})) is None


# ---------------------------------------------------------------- answers

KLINE = [1762000000000, "3149.0", "3151.0", "3148.5", "3150.0", "152.4", 1762000059999, "480012.1", 504, "80.1"]
KLINE += ["252301.0", "0"]


@pytest.fixture
def read(answer):
    def read(driver, query, body, table=None, **headers):
        return driver.rest.read(query, answer(body, **headers), table_of(driver.name) if table is None else table)

    return read


def test_candles_of_usd_m_are_read_as_they_stand(read, answer):
    (candle,) = read(USDM, CandlesQuery(ETH, "1m"), [KLINE])
    assert candle == Candle(
        "binance-usdm",
        ETH,
        None,
        answer([]).received_ns,
        "1m",
        1762000000000 * MS,
        1762000059999 * MS,
        D(3149),
        D(3151),
        D("3148.5"),
        D(3150),
        D("152.4"),
        True,
        D("480012.1"),
        504,
        D("80.1"),
        D(252301),
    )


def test_candles_of_coin_m_count_contracts_which_become_quote_units(read):
    row = [*KLINE[:5], "20", KLINE[6], "0.63492063", 504, "8", "0.25396825", "0"]
    (candle,) = read(COINM, CandlesQuery(INV, "1m"), [row])
    assert (candle.volume, candle.quote_volume) == (D("0.63492063"), D(2000))
    assert (candle.taker_buy_volume, candle.taker_buy_quote_volume) == (D("0.25396825"), D(800))


def test_the_last_candle_is_closed_only_once_it_has_settled(answer):
    (candle,) = USDM.rest.read(CandlesQuery(ETH, "1m"), answer([KLINE], sent_ns=1762000060000 * MS), None)
    assert not candle.closed


TRADE = {"id": 28457, "price": "4000.5", "qty": "12", "quoteQty": "48006", "time": 1762000000001, "isBuyerMaker": True}


def test_trades_are_read_in_base_units_with_contracts_beside(read, answer):
    (linear,) = read(USDM, RecentTradesQuery(ETH), [TRADE | {"isRPITrade": False}])
    at, now = 1762000000001 * MS, answer([]).received_ns
    assert linear == Trade("binance-usdm", ETH, at, now, 28457, D("4000.5"), D(12), Side.SELL)

    (inverse,) = read(COINM, RecentTradesQuery(INV), [TRADE | {"price": "50000"}])
    assert (inverse.quantity, inverse.contracts) == (D("0.024"), D(12))


AGG = {"a": 26129, "p": "100000", "q": "4", "nq": "3", "f": 27781, "l": 27783, "T": 1762000000000, "m": False}


def test_aggregate_trades_past_the_end_asked_for_are_left_out(read, answer):
    later = AGG | {"a": 26130, "T": 1762000000001}
    query = AggTradesQuery(ETH, start_ns=0, end_ns=1762000000000 * MS)
    (found,) = read(USDM, query, [AGG, later])
    at, now = 1762000000000 * MS, answer([]).received_ns
    assert found == AggTrade("binance-usdm", ETH, at, now, 26129, D(100000), D(4), Side.BUY, 27781, 27783)

    assert len(read(USDM, AggTradesQuery(ETH), [AGG, later])) == 2
    (inverse,) = read(COINM, AggTradesQuery(INV), [AGG])
    assert (inverse.quantity, inverse.contracts) == (D("0.004"), D(4))


DEPTH = {
    "lastUpdateId": 1027024,
    "E": 1762000000002,
    "T": 1762000000001,
    "bids": [["50000", "431"], ["40000", "2"]],
    "asks": [["80000", "12"]],
}


def test_depth_is_cut_to_the_levels_asked_for_and_written_in_base_units(read, answer):
    now = answer([]).received_ns
    assert read(USDM, DepthQuery(ETH, 1), DEPTH) == OrderBook(
        "binance-usdm", ETH, 1762000000002 * MS, now, 1027024, ((D(50000), D(431)),), ((D(80000), D(12)),)
    )
    inverse = read(COINM, DepthQuery(INV), DEPTH | {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"})
    assert inverse.bids == ((D(50000), D("0.862")), (D(40000), D("0.005")))
    assert inverse.asks == ((D(80000), D("0.015")),)


def test_a_depth_that_is_crossed_is_refused(read):
    with pytest.raises(WireFormatError, match="crossed"):
        read(USDM, DepthQuery(ETH), DEPTH | {"asks": [["49999", "1"]]})


TICKER = {
    "symbol": "ETHUSDT",
    "priceChange": "-94.9",
    "priceChangePercent": "-2.9",
    "weightedAvgPrice": "3100",
    "lastPrice": "4000",
    "lastQty": "2",
    "openPrice": "4100",
    "highPrice": "4200",
    "lowPrice": "3900",
    "volume": "100",
    "quoteVolume": "310000",
    "openTime": 1761913560000,
    "closeTime": 1762000000000,
    "firstId": 1,
    "lastId": 76,
    "count": 76,
}


def test_tickers_hold_no_best_prices(read, answer):
    (ticker,) = read(USDM, TickersQuery((ETH,)), TICKER)
    assert ticker == Ticker(
        "binance-usdm",
        ETH,
        1762000000000 * MS,
        answer([]).received_ns,
        last=D(4000),
        bid=None,
        bid_quantity=None,
        ask=None,
        ask_quantity=None,
        open=D(4100),
        high=D(4200),
        low=D(3900),
        volume=D(100),
        quote_volume=D(310000),
        last_quantity=D(2),
        weighted_average=D(3100),
        price_change=D("-94.9"),
        price_change_percent=D("-2.9"),
        trade_count=76,
        open_time_ns=1761913560000 * MS,
        close_time_ns=1762000000000 * MS,
    )


def test_tickers_of_coin_m_take_the_base_volume_and_make_the_quote_volume(read):
    row = {key: value for key, value in TICKER.items() if key != "quoteVolume"}
    row |= {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "baseVolume": "2.5"}
    (ticker,) = read(COINM, TickersQuery((INV,)), [row])
    assert (ticker.volume, ticker.quote_volume, ticker.last_quantity) == (D("2.5"), D(10000), D("0.05"))

    with pytest.raises(WireFormatError, match="other unit"):
        read(COINM, TickersQuery((INV,)), [TICKER | {"symbol": "BTCUSD_PERP"}])


BEST = {
    "symbol": "ETHUSDT",
    "bidPrice": "4000",
    "bidQty": "4",
    "askPrice": "5000",
    "askQty": "9",
    "time": 1762000000000,
}


def test_best_prices_are_read_from_an_object_or_a_list(read, answer):
    expected = BookTicker("binance-usdm", ETH, 1762000000000 * MS, answer([]).received_ns, D(4000), D(4), D(5000), D(9))
    assert read(USDM, BookTickersQuery((ETH,)), BEST) == (expected,)
    assert read(USDM, BookTickersQuery((ETH,)), [BEST]) == (expected,)
    (inverse,) = read(COINM, BookTickersQuery((INV,)), [BEST | {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}])
    assert (inverse.bid_quantity, inverse.ask_quantity) == (D("0.1"), D("0.18"))


def test_an_empty_side_stays_empty_in_base_units(read):
    row = BEST | {"symbol": "BTCUSD_PERP", "bidPrice": "0", "bidQty": "0"}
    (inverse,) = read(COINM, BookTickersQuery((INV,)), [row])
    assert (inverse.bid, inverse.bid_quantity) == (0, 0)


def test_lists_of_everything_hold_what_the_table_lists(read, answer):
    rows = [{"symbol": name, "price": "4.5", "time": 1} for name in ("ETHUSDT", "BTCUSDT_261225", "NEWUSDT")]
    found = read(USDM, PricesQuery(), rows)
    now = answer([]).received_ns
    assert found == tuple(Price("binance-usdm", symbol, MS, now, D("4.5")) for symbol in (ETH, DATED))
    with pytest.raises(InvalidRequest, match="instrument table"):
        USDM.rest.read(PricesQuery(), answer(rows), None)


def test_lists_come_in_the_order_asked(read):
    rows = [{"symbol": name, "price": "4.5"} for name in ("ETHUSDT", "BTCUSDT")]
    assert [price.symbol for price in read(USDM, PricesQuery((BTC, ETH)), rows)] == [BTC, ETH]
    with pytest.raises(WireFormatError, match="may not be trading"):
        read(USDM, PricesQuery((DATED, ETH)), rows)
    with pytest.raises(UnknownSymbol):
        read(USDM, PricesQuery((Symbol("XRP", "USDT", "USDT"), ETH)), rows)


MARK = {
    "symbol": "ETHUSDT",
    "markPrice": "3150.2",
    "indexPrice": "3150.5",
    "estimatedSettlePrice": "3149.9",
    "lastFundingRate": "-0.0001",
    "interestRate": "0.0001",
    "nextFundingTime": 1762012800000,
    "time": 1762000001000,
}


def test_mark_prices_have_funding_where_it_is_paid(read, answer):
    now = answer([]).received_ns
    assert read(USDM, MarkPricesQuery((ETH,)), MARK) == (
        MarkPrice(
            "binance-usdm", ETH, 1762000001000 * MS, now, D("3150.2"), D("3150.5"), D("-0.0001"), 1762012800000 * MS
        ),
    )
    dated = MARK | {"symbol": "BTCUSD_261225", "lastFundingRate": "", "nextFundingTime": 0}
    (found,) = read(COINM, MarkPricesQuery((Symbol("BTC", "USD", "BTC", "261225"),)), [dated])
    assert (found.funding_rate, found.next_funding_ns) == (None, None)


@pytest.mark.parametrize("text", ["NaN", "1e999", "x", "1_0", "１", "sNaN"])
def test_a_funding_rate_that_is_no_number_refuses_the_answer(read, text):
    with pytest.raises(WireFormatError):
        read(USDM, MarkPricesQuery((ETH,)), MARK | {"lastFundingRate": text})


def test_funding_rates_may_share_a_time_and_lack_a_mark_price(read, answer):
    row = {"symbol": "ETHUSDT", "fundingRate": "-0.0003", "fundingTime": 1762012800000, "markPrice": ""}
    special = row | {"fundingRate": "0.01", "markPrice": "3150", "rateType": "Special"}
    now, at = answer([]).received_ns, 1762012800000 * MS
    assert read(USDM, FundingRatesQuery(ETH), [row, special]) == (
        FundingRate("binance-usdm", ETH, at, now, D("-0.0003"), None),
        FundingRate("binance-usdm", ETH, at, now, D("0.01"), D(3150)),
    )
    with pytest.raises(WireFormatError, match="oldest first"):
        read(USDM, FundingRatesQuery(ETH), [row, row | {"fundingTime": 1}])
    with pytest.raises(WireFormatError, match="is about"):
        read(USDM, FundingRatesQuery(ETH), [row | {"symbol": "BTCUSDT"}])


def test_open_interest_is_base_units_or_contracts(read, answer):
    now = answer([]).received_ns
    body = {"symbol": "ETHUSDT", "openInterest": "10659.509", "time": 1762000000000}
    assert read(USDM, OpenInterestQuery(ETH), body) == OpenInterest(
        "binance-usdm", ETH, 1762000000000 * MS, now, D("10659.509")
    )
    body |= {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractType": "PERPETUAL", "openInterest": "15004"}
    assert read(COINM, OpenInterestQuery(INV), body) == OpenInterest(
        "binance-coinm", INV, 1762000000000 * MS, now, None, D(15004)
    )


def test_contracts_are_not_read_without_their_size(answer):
    with pytest.raises(InvalidRequest, match="instrument table"):
        COINM.rest.read(RecentTradesQuery(INV), answer([TRADE]), None)


def test_a_refused_symbol_is_named(read):
    with pytest.raises(UnknownSymbol, match="XRP"):
        read(USDM, DepthQuery(Symbol("XRP", "USDT", "USDT")), {"code": -1121, "msg": "Invalid symbol."}, status=400)


# ---------------------------------------------------------------- usage


def test_headers_tell_what_is_used_of_the_shared_budgets(answer):
    response = answer({}, x_mbx_used_weight_1m="17", x_mbx_order_count_10s="2", x_mbx_order_count_1m="5")
    for driver in (USDM, COINM):
        assert driver.rest.used(response) == {"REQUEST_WEIGHT/60s": 17, "ORDERS/10s": 2, "ORDERS/60s": 5}


@pytest.mark.parametrize("body", [BEST, [BEST], {"lastUpdateId": 1, **BEST}, {"symbol": "B", "price": "1", "time": 1}])
def test_the_wrong_header_on_lists_of_prices_is_not_believed(answer, body):
    assert USDM.rest.used(answer(body, x_mbx_used_weight_1m="1")) == {}


@pytest.mark.parametrize("body", [[TRADE], [KLINE], MARK, {"orderId": 1, "symbol": "B", "price": "1", "time": 1}])
def test_other_answers_are_believed(answer, body):
    assert USDM.rest.used(answer(body, x_mbx_used_weight_1m="1")) == {"REQUEST_WEIGHT/60s": 1}


def test_tables_in_the_docs_are_the_printed_ones():
    page = Path(__file__).resolve().parents[2] / "docs" / "venues" / "binance-futures.md"
    if not page.exists():
        pytest.skip("the docs are not part of this checkout")
    assert capability_table([USDM, COINM]) in page.read_text(encoding="utf-8")
