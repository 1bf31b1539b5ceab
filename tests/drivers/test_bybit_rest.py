"""Questions and answers of all three products, on answers in the form of the documents."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain import BookTicker, Candle, OrderBook, Price, Side, Symbol, Trade
from connector.domain.market import FundingRate, MarkPrice, OpenInterest
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.wire import Charge
from connector.drivers.bybit.facts import REGIONS
from connector.drivers.bybit.rest import month_after
from connector.drivers.contract import Environment
from connector.errors import ConnectorBug, InvalidRequest, UnknownSymbol, Unsupported, VenueRejected, WireFormatError

D = Decimal
MS = 1_000_000
SYMBOLS = {
    "bybit": Symbol("BTC", "USDT"),
    "bybit-linear": Symbol("BTC", "USDT", "USDT"),
    "bybit-inverse": Symbol("BTC", "USD", "BTC"),
}
NAMES = {"bybit": "BTCUSDT", "bybit-linear": "BTCUSDT", "bybit-inverse": "BTCUSD"}
LINEAR, INVERSE = SYMBOLS["bybit-linear"], SYMBOLS["bybit-inverse"]
ETH = Symbol("ETH", "USDT", "USDT")
NOW = 1_767_225_700_000 * MS  # the venue's time in every answer
GOT = 1_767_225_700_005_000_000

TICKER = {
    "symbol": "BTCUSDT",
    "lastPrice": "88000.10",
    "indexPrice": "88010.16",
    "markPrice": "88001.33",
    "prevPrice24h": "86520.00",
    "price24hPcnt": "0.017103",
    "highPrice24h": "88336.80",
    "lowPrice24h": "84638.00",
    "openInterest": "137352.9",
    "turnover24h": "8352.94",
    "volume24h": "94937.318",
    "fundingRate": "0.0001",
    "nextFundingTime": "1767254400000",
    "bid1Price": "88000.00",
    "bid1Size": "4.201",
    "ask1Price": "88000.10",
    "ask1Size": "2.5",
}


@pytest.fixture
def asks(bybit_drivers):
    """asks(query): the target of its request on the linear driver."""
    return lambda query, name="bybit-linear": bybit_drivers[name].rest.request(query).target


@pytest.fixture
def reads(bybit_drivers, bybit_tables, bybit_answer):
    def reads(query, result, name="bybit-linear"):
        return bybit_drivers[name].rest.read(query, bybit_answer(result), bybit_tables[name])

    return reads


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (ServerTimeQuery(), "/v5/market/time"),
        (CandlesQuery(LINEAR, "1h"), "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=60&limit=1000"),
        (CandlesQuery(LINEAR, "1M", limit=3), "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=M&limit=3"),
        (RecentTradesQuery(LINEAR, 7), "/v5/market/recent-trade?category=linear&symbol=BTCUSDT&limit=7"),
        (RecentTradesQuery(LINEAR), "/v5/market/recent-trade?category=linear&symbol=BTCUSDT&limit=1000"),
        (DepthQuery(LINEAR), "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000"),
        (DepthQuery(LINEAR, 5), "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=5"),
        (TickersQuery((LINEAR,)), "/v5/market/tickers?category=linear&symbol=BTCUSDT"),
        (TickersQuery((LINEAR, LINEAR)), "/v5/market/tickers?category=linear&symbol=BTCUSDT"),
        (BookTickersQuery((LINEAR, ETH)), "/v5/market/tickers?category=linear"),
        (PricesQuery(), "/v5/market/tickers?category=linear"),
        (MarkPricesQuery((LINEAR,)), "/v5/market/tickers?category=linear&symbol=BTCUSDT"),
        (OpenInterestQuery(LINEAR), "/v5/market/tickers?category=linear&symbol=BTCUSDT"),
        (FundingRatesQuery(LINEAR), "/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=200"),
    ],
)
def test_question_becomes_a_safe_request_that_costs_one_of_the_address(bybit_drivers, query, target):
    request = bybit_drivers["bybit-linear"].rest.request(query)
    assert (request.method, request.target, request.body, request.safe) == ("GET", target, b"", True)
    assert request.charges == (Charge("IP/5s", 1),)


def test_range_of_candles_is_cut_from_its_start_on_because_the_venue_would_send_the_newest(asks):
    start = 1_767_225_600_000
    target = asks(CandlesQuery(LINEAR, "1m", start_ns=start * MS - 5, end_ns=10**19 // 2, limit=10))
    assert f"start={start}&end={start + 10 * 60_000 - 1}&limit=10" in target
    target = asks(CandlesQuery(LINEAR, "1m", start_ns=start * MS, end_ns=(start + 60_000) * MS + 999_999))
    assert f"start={start}&end={start + 60_000}&limit=1000" in target
    assert "&end=5&limit=1000" in asks(CandlesQuery(LINEAR, "1m", end_ns=5 * MS))


def test_funding_rates_from_a_time_on_always_have_an_end(asks):
    target = asks(FundingRatesQuery(LINEAR, start_ns=1_000 * MS))
    assert target.endswith(f"&startTime=1000&endTime={1000 + 200 * 3_600_000 - 1}&limit=200")
    assert asks(FundingRatesQuery(LINEAR, start_ns=1_000 * MS, limit=1)) == target  # the first one may be hours away
    assert asks(FundingRatesQuery(LINEAR, end_ns=1_000 * MS)).endswith("&endTime=1000&limit=200")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (CandlesQuery(LINEAR, "8h"), "12h"),
        (CandlesQuery(LINEAR, "1m", limit=1001), "1 to 1000"),
        (CandlesQuery(LINEAR, "1m", start_ns=5, end_ns=4), "ends before"),
        (CandlesQuery(LINEAR, "1m", start_ns=-1), "start_ns"),
        (CandlesQuery(LINEAR, "1m", start_ns=1.5), "whole number"),
        (RecentTradesQuery(LINEAR, 1001), "1 to 1000"),
        (DepthQuery(LINEAR, 0), "1 to 1000"),
        (DepthQuery(LINEAR, True), "whole number"),
        (FundingRatesQuery(LINEAR, limit=201), "1 to 200"),
        (DepthQuery(LINEAR, 10**5_000), "far out of range"),
    ],
)
def test_parameter_out_of_bounds_is_refused_and_names_them(asks, query, says):
    with pytest.raises(InvalidRequest, match=says):
        asks(query)


def test_spot_tells_sixty_trades_and_no_contracts_figures(asks):
    symbol = SYMBOLS["bybit"]
    assert asks(RecentTradesQuery(symbol), "bybit").endswith("category=spot&symbol=BTCUSDT&limit=60")
    for query in (MarkPricesQuery(), FundingRatesQuery(symbol), OpenInterestQuery(symbol)):
        with pytest.raises(Unsupported, match="recent trades"):
            asks(query, "bybit")


def test_what_the_venue_cannot_be_asked_is_unsupported(asks):
    for query in (HistoricalTradesQuery(LINEAR), AggTradesQuery(LINEAR)):
        with pytest.raises(Unsupported, match="candles"):
            asks(query)


# ---------------------------------------------------------------- answers


def test_server_time_is_nanoseconds(reads):
    assert reads(ServerTimeQuery(), {"timeSecond": "1767225600", "timeNano": "1767225600123456789"}) == (
        1767225600123456789
    )


def test_candles_come_oldest_first_and_only_those_that_are_over_are_closed(reads):
    open_ms = 1_767_225_660_000
    rows = [
        [str(open_ms), "88002.1", "88010", "87990", "88001", "2.5", "220000"],
        [str(open_ms - 60_000), "88000", "88010", "87990", "88002.1", "12.5", "1100026.2"],
    ]
    older, newer = reads(CandlesQuery(LINEAR, "1m"), {"symbol": "BTCUSDT", "category": "linear", "list": rows})
    assert older == Candle(
        "bybit-linear",
        LINEAR,
        None,
        GOT,
        "1m",
        (open_ms - 60_000) * MS,
        (open_ms - 1) * MS,
        open=D(88000),
        high=D(88010),
        low=D(87990),
        close=D("88002.1"),
        volume=D("12.5"),
        closed=True,
        quote_volume=D("1100026.2"),
    )
    assert not newer.closed  # it ends twenty seconds after the venue answered


@pytest.mark.parametrize(("open_ms", "closed"), [(1_767_225_637_999, True), (1_767_225_638_001, False)])
def test_newest_candle_is_closed_two_seconds_after_its_end_by_the_venues_clock(reads, open_ms, closed):
    (candle,) = reads(CandlesQuery(LINEAR, "1m"), {"list": [[str(open_ms), "1", "1", "1", "1", "0", "0"]]})
    assert candle.closed is closed


def test_candles_of_inverse_contracts_change_volume_and_turnover(reads):
    (candle,) = reads(
        CandlesQuery(INVERSE, "1d"), {"list": [["0", "1", "1", "1", "1", "900", "0.01"]]}, "bybit-inverse"
    )
    assert (candle.volume, candle.quote_volume) == (D("0.01"), D(900))
    assert candle.close_time_ns == (86_400_000 - 1) * MS


def test_months_from_a_time_on_are_as_many_as_were_asked_for(asks, reads):
    start = 1_735_776_000_000  # 2 January 2025: the next month begins thirty days later
    query = CandlesQuery(LINEAR, "1M", start_ns=start * MS, limit=1)
    assert f"start={start}&end={start + 31 * 86_400_000 - 1}&limit=3" in asks(query)
    rows = [[str(open_ms), "1", "1", "1", "1", "9", "1"] for open_ms in (1_740_787_200_000, 1_738_368_000_000)]
    (candle,) = reads(query, {"list": rows})
    assert candle.open_time_ns == 1_738_368_000_000 * MS and candle.closed


def test_funding_rates_from_a_time_on_are_as_many_as_were_asked_for(reads):
    rows = [{"symbol": "BTCUSDT", "fundingRate": "1", "fundingRateTimestamp": str(at)} for at in (30, 20, 10)]
    query = FundingRatesQuery(LINEAR, start_ns=5 * MS, limit=2)
    assert [rate.event_time_ns for rate in reads(query, {"list": rows})] == [10 * MS, 20 * MS]


def test_month_ends_when_the_next_begins(reads):
    (candle,) = reads(CandlesQuery(LINEAR, "1M"), {"list": [["1764547200000", "1", "1", "1", "1", "9", "1"]]})
    assert candle.close_time_ns == (1_767_225_600_000 - 1) * MS  # December 2025
    assert month_after(1_706_745_600_000) == 1_709_251_200_000  # a leap year's February


@pytest.mark.parametrize("turn", [1, -1])
def test_trades_come_oldest_first_whichever_way_round_the_venue_wrote_them(reads, turn):
    def row(number, time, seq, side="Buy"):
        return {"execId": number, "symbol": "BTCUSDT", "price": "88000.5", "size": "0.1", "side": side} | {
            "time": str(time),
            "isBlockTrade": False,
            "seq": str(seq),
        }

    rows = [row("d", 30, 9, "Sell"), row("c", 20, 8), row("b", 20, 7), row("a", 10, 6)]
    trades = reads(RecentTradesQuery(LINEAR), {"list": rows[::turn]})
    assert [trade.trade_id for trade in trades] == ["a", "b", "c", "d"]
    assert trades[-1] == Trade("bybit-linear", LINEAR, 30 * MS, GOT, "d", D("88000.5"), D("0.1"), Side.SELL, sequence=9)


def test_trades_of_inverse_contracts_are_base_units_with_contracts_beside(reads):
    row = {"execId": "x", "symbol": "BTCUSD", "price": "80000", "size": "1000", "side": "Sell", "time": "5", "seq": "1"}
    (trade,) = reads(RecentTradesQuery(INVERSE), {"list": [row]}, "bybit-inverse")
    assert (trade.quantity, trade.contracts) == (D("0.0125"), D(1000))


def test_depth_carries_the_matching_engines_time(reads):
    result = {"s": "BTCUSDT", "b": [["10", "1"], ["9", "2"]], "a": [["11", "3"]]}
    result |= {"ts": 1001, "u": 18521288, "seq": 7961638724, "cts": 1000}
    expected = OrderBook(
        "bybit-linear", LINEAR, 1000 * MS, GOT, 18521288, ((D(10), D(1)), (D(9), D(2))), ((D(11), D(3)),)
    )
    assert reads(DepthQuery(LINEAR), result) == expected
    inverse = reads(DepthQuery(INVERSE), {**result, "s": "BTCUSD", "b": [["50000", "100"]], "a": []}, "bybit-inverse")
    assert inverse.bids == ((D(50000), D("0.002")),)


def test_lists_are_read_in_the_order_asked(reads):
    eth = {**TICKER, "symbol": "ETHUSDT", "lastPrice": "3000"}
    result = {"category": "linear", "list": [TICKER, eth]}
    prices = reads(PricesQuery((ETH, LINEAR)), result)
    assert prices == (
        Price("bybit-linear", ETH, NOW, GOT, D(3000)),
        Price("bybit-linear", LINEAR, NOW, GOT, D("88000.10")),
    )
    assert [price.symbol for price in reads(PricesQuery(), result)] == [LINEAR, ETH]
    with pytest.raises(UnknownSymbol):
        reads(PricesQuery((ETH, LINEAR)), {"list": [eth]})
    with pytest.raises(WireFormatError, match="not in the answer"):
        reads(PricesQuery((LINEAR,)), {"list": [eth]})


def test_entries_the_table_does_not_list_are_left_out_of_everything(reads, bybit_drivers, bybit_answer):
    strange = {**TICKER, "symbol": "NEWUSDT"}
    assert [each.symbol for each in reads(PricesQuery(), {"list": [strange, TICKER]})] == [LINEAR]
    with pytest.raises(InvalidRequest, match="instrument table"):
        bybit_drivers["bybit-linear"].rest.read(PricesQuery(), bybit_answer({"list": [TICKER]}), None)


def test_ticker_book_ticker_and_mark_price_are_read_from_one_list(reads):
    result = {"category": "linear", "list": [TICKER]}
    (ticker,) = reads(TickersQuery((LINEAR,)), result)
    assert (ticker.last, ticker.bid, ticker.ask_quantity) == (D("88000.10"), D("88000.00"), D("2.5"))
    assert (ticker.volume, ticker.price_change_percent, ticker.mark) == (D("94937.318"), D("1.7103"), D("88001.33"))
    assert reads(BookTickersQuery(), result) == (
        BookTicker("bybit-linear", LINEAR, NOW, GOT, D("88000.00"), D("4.201"), D("88000.10"), D("2.5")),
    )
    assert reads(MarkPricesQuery((LINEAR,)), result) == (
        MarkPrice("bybit-linear", LINEAR, NOW, GOT, D("88001.33"), D("88010.16"), D("0.0001"), 1767254400000 * MS),
    )


def test_dated_contract_has_a_mark_price_and_no_funding(reads):
    row = {
        **TICKER,
        "symbol": "BTCUSDT-25DEC26",
        "fundingRate": "",
        "nextFundingTime": "0",
        "bid1Price": "",
        "bid1Size": "",
    }
    dated = Symbol.parse("BTC/USDT:USDT-261225")
    (mark,) = reads(MarkPricesQuery((dated,)), {"list": [row]})
    assert (mark.funding_rate, mark.next_funding_ns) == (None, None)
    (best,) = reads(BookTickersQuery((dated,)), {"list": [row]})
    assert (best.bid, best.bid_quantity) == (D(0), D(0))


def test_contract_without_a_mark_price_yet_is_left_out_of_everything_and_refused_by_name(reads):
    row = {**TICKER, "markPrice": ""}
    assert reads(MarkPricesQuery(), {"list": [row]}) == ()
    with pytest.raises(WireFormatError, match="markPrice"):
        reads(MarkPricesQuery((LINEAR,)), {"list": [row]})


def test_open_interest_is_one_side_of_it(reads):
    query = OpenInterestQuery(LINEAR)
    assert reads(query, {"list": [{**TICKER, "singleOpenInterest": "68676.45"}]}) == OpenInterest(
        "bybit-linear", LINEAR, NOW, GOT, D("68676.45")
    )
    assert reads(query, {"list": [TICKER]}).quantity == D("68676.45")  # half of what counts both
    inverse = {**TICKER, "symbol": "BTCUSD", "singleOpenInterest": "1000000", "markPrice": "80000"}
    told = reads(OpenInterestQuery(INVERSE), {"list": [inverse]}, "bybit-inverse")
    assert (told.quantity, told.contracts) == (D("12.5"), D(1000000))


def test_funding_rates_come_oldest_first(reads):
    rows = [
        {"symbol": "BTCUSDT", "fundingRate": "-0.0001", "fundingRateTimestamp": "1672041600000"},
        {"symbol": "BTCUSDT", "fundingRate": "0.0002", "fundingRateTimestamp": "1672012800000"},
    ]
    assert reads(FundingRatesQuery(LINEAR), {"category": "linear", "list": rows}) == (
        FundingRate("bybit-linear", LINEAR, 1672012800000 * MS, GOT, D("0.0002")),
        FundingRate("bybit-linear", LINEAR, 1672041600000 * MS, GOT, D("-0.0001")),
    )


@pytest.mark.parametrize(
    ("query", "result"),
    [
        (ServerTimeQuery(), {}),
        (CandlesQuery(LINEAR, "1m"), {"list": [["1", "1", "1", "1", "1", "1"]]}),
        (CandlesQuery(LINEAR, "1m"), {"list": [["1", "0", "1", "1", "1", "1", "1"]]}),
        (CandlesQuery(LINEAR, "1m"), {"list": [["1", "1", "1", "1", "1", "1", "1"]] * 2}),
        (RecentTradesQuery(LINEAR), {"list": [{"execId": "a"}]}),
        (
            RecentTradesQuery(LINEAR),
            {"list": [{"execId": "a", "symbol": "X", "price": "1", "size": "1", "side": "Buy", "time": "1"}]},
        ),
        (DepthQuery(LINEAR), {"s": "X", "b": [], "a": [], "u": 1, "ts": 1}),
        (DepthQuery(LINEAR), {"s": "BTCUSDT", "b": [["1", "1"], ["2", "1"]], "a": [], "u": 1, "ts": 1}),
        (TickersQuery((LINEAR,)), {"list": [{**TICKER, "lastPrice": "sNaN"}]}),
        (TickersQuery((LINEAR,)), {"list": [{**TICKER, "volume24h": "-1"}]}),
        (FundingRatesQuery(LINEAR), {"list": [{"symbol": "X", "fundingRate": "1", "fundingRateTimestamp": "1"}]}),
        (OpenInterestQuery(LINEAR), {"list": []}),
        (PricesQuery(), {"list": None}),
    ],
)
def test_answer_that_cannot_be_read_whole_is_refused_whole(reads, query, result):
    with pytest.raises(WireFormatError):
        reads(query, result)


def test_symbol_the_table_does_not_have_is_named_with_its_likes(bybit_drivers, bybit_tables, bybit_answer):
    refused = bybit_answer(code=10001, text="params error: symbol invalid")
    rest, table = bybit_drivers["bybit-linear"].rest, bybit_tables["bybit-linear"]
    with pytest.raises(UnknownSymbol, match="BTC/USDT:USDT"):
        rest.read(DepthQuery(Symbol("BTCC", "USDT", "USDT")), refused, table)
    with pytest.raises(VenueRejected, match="symbol invalid"):
        rest.read(DepthQuery(LINEAR), refused, table)


def test_only_lists_of_instruments_have_pages(bybit_drivers, bybit_answer):
    rest = bybit_drivers["bybit-linear"].rest
    assert rest.more(PricesQuery(), bybit_answer({"list": [], "nextPageCursor": "abc"})) is None
    with pytest.raises(ConnectorBug):
        rest.joined(PricesQuery(), [(), ()])


def test_headers_tell_what_is_used_of_the_budget_that_was_charged(bybit_drivers, bybit_answer):
    rest = bybit_drivers["bybit"].rest
    response = bybit_answer({}, x_bapi_limit="20", x_bapi_limit_status="13")
    charged = (Charge("order/create spot", 1), Charge("IP/5s", 1))
    assert rest.used(response, charged) == {"order/create spot": 7}
    assert rest.used(response) == {}  # the headers do not say of what
    for limit, left in (("", ""), ("x", "1"), ("10", "-1"), ("1", "5")):
        used = rest.used(bybit_answer({}, x_bapi_limit=limit, x_bapi_limit_status=left), charged)
        assert used in ({}, {"order/create spot": 0})


def test_charges_are_of_budgets_the_driver_names(bybit_drivers):
    for driver in bybit_drivers.values():
        names = [limit.name for limit in driver.limits]
        assert len(set(names)) == len(names) and "IP/5s" in names
        assert all(limit.source and not limit.aligned for limit in driver.limits)


def test_hosts_and_regions_are_roots_without_a_slash(bybit_drivers):
    for driver in bybit_drivers.values():
        assert set(driver.hosts) == set(Environment)
        assert driver.hosts[Environment.DEMO].session == ""  # demo mode takes no orders by connection
        assert driver.hosts[Environment.DEMO].events_root == "wss://stream-demo.bybit.com"
    for region in REGIONS.values():
        assert region.rest.startswith("https://") and not region.rest.endswith("/")
        assert region.streams is not None or "UNCONFIRMED" in region.note or "mainnet" in region.note
