"""exchangeInfo to instruments, filters and limits; one bad entry costs only itself."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain import InstrumentStatus, Symbol
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    NotionalFilter,
    OtherFilter,
    PriceBandFilter,
    PriceFilter,
    TrailingFilter,
)
from connector.domain.queries import InstrumentsQuery
from connector.drivers.binance.instruments import FILTER_KINDS
from connector.errors import Unsupported, WireFormatError

D = Decimal

# Every filter of the documents, with the value it becomes.
FILTERS = [
    (
        {"filterType": "PRICE_FILTER", "minPrice": "0.00000100", "maxPrice": "100000.00", "tickSize": "0.01000000"},
        PriceFilter(D("0.000001"), D("100000"), D("0.01")),
    ),
    (
        {"filterType": "PRICE_FILTER", "minPrice": "0.00000000", "maxPrice": "0", "tickSize": "0.00"},
        PriceFilter(None, None, None),
    ),
    (
        {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5},
        PriceBandFilter(D("5"), D("0.2"), D("5"), D("0.2"), 5),
    ),
    (
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "1.2",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.8",
            "avgPriceMins": 1,
        },
        PriceBandFilter(buy_up=D("1.2"), buy_down=D("0.2"), sell_up=D("5"), sell_down=D("0.8"), average_minutes=1),
    ),
    (
        {"filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "100000", "stepSize": "0.001"},
        AmountFilter(D("0.001"), D("100000"), D("0.001"), False),
    ),
    (
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "873.90727776", "stepSize": "0.00000000"},
        AmountFilter(None, D("873.90727776"), None, True),
    ),
    (
        {"filterType": "MIN_NOTIONAL", "minNotional": "0.00100000", "applyToMarket": True, "avgPriceMins": 5},
        NotionalFilter(D("0.001"), None, True, False, 5),
    ),
    (
        {
            "filterType": "NOTIONAL",
            "minNotional": "10.0",
            "applyMinToMarket": False,
            "maxNotional": "10000.0",
            "applyMaxToMarket": True,
            "avgPriceMins": 0,
        },
        NotionalFilter(D("10"), D("10000"), False, True, 0),
    ),
    ({"filterType": "ICEBERG_PARTS", "limit": 100}, CountFilter("ICEBERG_PARTS", D(100))),
    ({"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200}, CountFilter("MAX_NUM_ORDERS", D(200))),
    ({"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5}, CountFilter("MAX_NUM_ALGO_ORDERS", D(5))),
    ({"filterType": "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": 5}, CountFilter("MAX_NUM_ICEBERG_ORDERS", D(5))),
    ({"filterType": "MAX_POSITION", "maxPosition": "10.00000000"}, CountFilter("MAX_POSITION", D(10))),
    (
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 20,
            "maxTrailingBelowDelta": 3000,
        },
        TrailingFilter(10, 2000, 20, 3000),
    ),
    ({"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10}, CountFilter("MAX_NUM_ORDER_AMENDS", D(10))),
    ({"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20}, CountFilter("MAX_NUM_ORDER_LISTS", D(20))),
]
EXCHANGE_FILTERS = [
    ({"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 1000}, CountFilter("EXCHANGE_MAX_NUM_ORDERS", D(1000))),
    (
        {"filterType": "EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 200},
        CountFilter("EXCHANGE_MAX_NUM_ALGO_ORDERS", D(200)),
    ),
    (
        {"filterType": "EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": 10000},
        CountFilter("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", D(10000)),
    ),
    (
        {"filterType": "EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        CountFilter("EXCHANGE_MAX_NUM_ORDER_LISTS", D(20)),
    ),
]


def entry(base="ETH", quote="BTC", **fields):
    found = {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 7,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "filters": [],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"], ["TRD_GRP_004"]],
        **fields,
    }
    return {name: value for name, value in found.items() if value is not ...}


@pytest.fixture
def read(driver, answer):
    def read(*symbols, **fields):
        body = {"timezone": "UTC", "serverTime": 1565246363776, "rateLimits": [], "symbols": list(symbols), **fields}
        return driver.rest.read(InstrumentsQuery(), answer(body), None)

    return read


def test_every_documented_filter_is_understood(read):
    (instrument,) = read(entry(filters=[wire for wire, _ in FILTERS])).instruments.values()

    assert list(instrument.filters) == [value for _, value in FILTERS]
    documented = {wire["filterType"] for wire, _ in FILTERS + EXCHANGE_FILTERS}
    assert documented == FILTER_KINDS


def test_filters_over_all_instruments_are_kept_apart(read):
    info = read(
        entry(), exchangeFilters=[*(wire for wire, _ in EXCHANGE_FILTERS), {"filterType": "NEW", "x": 1}, {"x": 1}]
    )

    assert info.filters[:-1] == tuple(value for _, value in EXCHANGE_FILTERS)
    assert info.filters[-1] == OtherFilter("NEW", '{"filterType": "NEW", "x": 1}')
    assert [skipped.reason[:6] for skipped in info.skipped] == ["filter"]


def test_instrument_is_read_with_its_words_kept(read):
    info = read(entry())
    instrument = info.instruments[Symbol("ETH", "BTC")]

    assert info.server_time_ns == 1565246363776 * 1_000_000 and info.skipped == ()
    assert (instrument.venue, instrument.venue_name, instrument.status_text) == ("binance", "ETHBTC", "TRADING")
    assert (instrument.base_decimals, instrument.quote_decimals) == (8, 7)
    assert instrument.order_types == ("LIMIT", "LIMIT_MAKER", "MARKET")
    assert instrument.permissions == ("MARGIN", "SPOT", "TRD_GRP_004")
    assert info.instruments.by_name("ETHBTC") is instrument


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", InstrumentStatus.TRADING),
        ("CANCEL_ONLY", InstrumentStatus.CANCEL_ONLY),
        ("HALT", InstrumentStatus.HALTED),
        ("BREAK", InstrumentStatus.HALTED),
        ("END_OF_DAY", InstrumentStatus.HALTED),
        ("AUCTION_MATCH", InstrumentStatus.OTHER),
        ("", InstrumentStatus.OTHER),
    ],
)
def test_status_is_mapped_and_its_word_kept(read, word, status):
    (instrument,) = read(entry(status=word)).instruments.values()
    assert (instrument.status, instrument.status_text) == (status, word)


def test_unknown_filter_is_kept_as_text_and_fields_unknown_are_ignored(read):
    new = {"filterType": "T_PLUS_SELL", "endTime": 5, "limit": "not a number"}
    (instrument,) = read(entry(filters=[new], brandNew={"a": []})).instruments.values()

    assert instrument.filters == (
        OtherFilter("T_PLUS_SELL", '{"filterType": "T_PLUS_SELL", "endTime": 5, "limit": "not a number"}'),
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry(symbol=...), "symbol"),
        (entry(symbol="OTHER"), "written together"),
        (entry(baseAsset=7), "baseAsset"),
        (entry(baseAsset="A/B", symbol="A/BBTC"), "is not a symbol"),
        (entry(baseAsset="", symbol="BTC"), "is not a symbol"),
        (entry(baseAssetPrecision=-1), "baseAssetPrecision"),
        (entry(quoteAssetPrecision=..., quotePrecision=...), "quoteAssetPrecision is missing"),
        (entry(filters={}), "filters"),
        (entry(filters=[{"filterType": "LOT_SIZE", "minQty": "1"}]), "filter LOT_SIZE"),
        (entry(filters=[{**FILTERS[0][0], "tickSize": "NaN"}]), "filter PRICE_FILTER"),
        (entry(filters=[{**FILTERS[0][0], "maxPrice": "1e999999"}]), "out of range"),
        (entry(filters=[{**FILTERS[0][0], "minPrice": "-1"}]), "out of range"),
        (entry(filters=[{"filterType": "MAX_NUM_ORDERS"}]), "0 caps, expected one"),
        (entry(filters=[{"filterType": "MAX_NUM_ORDERS", "limit": 1, "maxNumOrders": 2}]), "2 caps, expected one"),
        (entry(filters=[7]), "object"),
        ("ETHBTC", "object"),
        (None, "object"),
    ],
)
def test_entry_that_cannot_be_read_loses_no_other(read, bad, reason):
    info = read(entry("AAA", "BBB"), bad, entry("CCC", "DDD"))

    assert set(info.instruments) == {Symbol("AAA", "BBB"), Symbol("CCC", "DDD")}
    (skipped,) = info.skipped
    assert reason in skipped.reason
    if isinstance(bad, dict) and isinstance(bad.get("symbol"), str):
        assert skipped.venue_name == bad["symbol"]


def test_entry_listed_twice_is_taken_once(read):
    info = read(entry("AB", "C"), entry("A", "BC"))
    assert list(info.instruments) == [Symbol("AB", "C")]
    assert [skipped.venue_name for skipped in info.skipped] == ["ABC"]


def test_limits_have_unique_names_and_a_bad_one_loses_no_other(read):
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
        {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 0, "limit": 1},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
    ]
    info = read(rateLimits=limits)

    assert [(limit.name, limit.points, limit.window_s, limit.aligned) for limit in info.limits] == [
        ("REQUEST_WEIGHT/60s", 6000, 60.0, True),
        ("ORDERS/10s", 100, 10.0, True),
        ("ORDERS/86400s", 200000, 86400.0, True),
        ("RAW_REQUESTS/300s", 300000, 300.0, True),
    ]
    assert len(info.skipped) == 2


def test_told_limits_carry_the_names_of_the_fallbacks(driver, read):
    limits = [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": 1}
        for kind, interval, number in (
            ("REQUEST_WEIGHT", "MINUTE", 1),
            ("ORDERS", "SECOND", 10),
            ("ORDERS", "DAY", 1),
            ("RAW_REQUESTS", "MINUTE", 5),
        )
    ]
    assert {limit.name for limit in read(rateLimits=limits).limits} == {limit.name for limit in driver.limits}


def test_answer_that_is_no_list_of_symbols_is_refused_whole(driver, answer):
    for body in ({}, {"symbols": {}}, {"symbols": None}, []):
        with pytest.raises(WireFormatError):
            driver.rest.read(InstrumentsQuery(), answer(body), None)


def test_wire_name_is_for_spot_only(driver):
    assert driver.wire_name(Symbol("BTC", "USDT")) == "BTCUSDT"
    with pytest.raises(Unsupported, match="BTC/USDT:USDT"):
        driver.wire_name(Symbol("BTC", "USDT", "USDT"))
