"""Instrument lists and spellings of all three products, on entries in the form of the documents."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain import InstrumentStatus, Symbol
from connector.domain.commands import PlaceOrder
from connector.domain.instruments import AmountFilter, NotionalFilter, OtherFilter, PriceFilter
from connector.domain.market import Side
from connector.domain.orders import OrderType
from connector.domain.queries import InstrumentsQuery
from connector.errors import Unsupported, WireFormatError
from connector.orders.filters import FilterRefused, check

D = Decimal
LIST = InstrumentsQuery()


def entry(symbol="BTCUSDT", kind="LinearPerpetual", settle="USDT", **other):
    return {
        "symbol": symbol,
        "contractType": kind,
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": settle if kind.startswith("Linear") else "USD",
        "settleCoin": settle,
        "deliveryTime": "0",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "1190", "maxMktOrderQty": "500"},
        **other,
    }


@pytest.fixture
def listed(bybit_drivers, bybit_answer):
    def listed(name, *entries, cursor=""):
        answer = bybit_answer({"category": "x", "list": list(entries), "nextPageCursor": cursor})
        return bybit_drivers[name].rest.read(LIST, answer, None)

    return listed


@pytest.mark.parametrize(
    ("name", "symbol", "spelling"),
    [
        ("bybit", "BTC/USDT", "BTCUSDT"),
        ("bybit", "ETH/USDC", "ETHUSDC"),
        ("bybit-linear", "BTC/USDT:USDT", "BTCUSDT"),
        ("bybit-linear", "1000PEPE/USDT:USDT", "1000PEPEUSDT"),
        ("bybit-linear", "BTC/USDC:USDC", "BTCPERP"),
        ("bybit-linear", "BTC/USDT:USDT-250221", "BTCUSDT-21FEB25"),
        ("bybit-linear", "BTC/USDT:USDT-260904", "BTCUSDT-04SEP26"),
        ("bybit-linear", "BTC/USDC:USDC-230324", "BTC-24MAR23"),
        ("bybit-inverse", "BTC/USD:BTC", "BTCUSD"),
        ("bybit-inverse", "BTC/USD:BTC-230331", "BTCUSDH23"),
        ("bybit-inverse", "BTC/USD:BTC-230630", "BTCUSDM23"),
        ("bybit-inverse", "BTC/USD:BTC-230929", "BTCUSDU23"),
        ("bybit-inverse", "ETH/USD:ETH-261225", "ETHUSDZ26"),
    ],
)
def test_symbol_is_spelt_as_the_venue_does(bybit_drivers, name, symbol, spelling):
    assert bybit_drivers[name].wire_name(Symbol.parse(symbol)) == spelling


@pytest.mark.parametrize(
    ("name", "symbol", "says"),
    [
        ("bybit", "BTC/USDT:USDT", "bybit-linear"),
        ("bybit", "BTC/USD:BTC", "bybit-inverse"),
        ("bybit-linear", "BTC/USDT", "'bybit'"),
        ("bybit-linear", "BTC/EUR:EUR", "USDT or USDC"),
        ("bybit-linear", "BTC/USDT:USDT-261325", "YYMMDD"),
        ("bybit-inverse", "BTC/USDT:BTC", "USD"),
        ("bybit-inverse", "BTC/USD:BTC-230428", "March"),
    ],
)
def test_symbol_the_product_does_not_have_is_unsupported_and_says_where_to_look(bybit_drivers, name, symbol, says):
    with pytest.raises(Unsupported, match=says):
        bybit_drivers[name].wire_name(Symbol.parse(symbol))


def test_lists_become_tables_with_events_of_the_drivers_name(bybit_tables):
    assert {name: sorted(map(str, table)) for name, table in bybit_tables.items()} == {
        "bybit": ["BTC/USDT", "ETH/USDT"],
        "bybit-linear": ["BTC/USDC:USDC", "BTC/USDT:USDT", "BTC/USDT:USDT-261225", "ETH/USDT:USDT"],
        "bybit-inverse": ["BTC/USD:BTC", "BTC/USD:BTC-261225", "ETH/USD:ETH"],
    }
    for name, table in bybit_tables.items():
        assert all(instrument.venue == name for instrument in table.values())
        assert all(instrument.contract_size == 1 for instrument in table.values())


def test_filters_of_spot_are_those_the_venue_checks(bybit_tables):
    instrument = bybit_tables["bybit"][Symbol("BTC", "USDT")]

    assert instrument.filters == (
        PriceFilter(None, None, D("0.01")),
        AmountFilter(None, D(83), D("0.000001")),
        AmountFilter(None, D("41.5"), None, market_only=True),
        NotionalFilter(D(5), None, True, False),
        OtherFilter("postOnlyMaxLimitOrderSize", "60000"),
    )
    assert (instrument.base_decimals, instrument.quote_decimals) == (6, 7)
    assert (instrument.price_tick, instrument.quantity_step) == (D("0.01"), D("0.000001"))
    assert instrument.permissions == ("utaOnly",)


def test_filters_of_contracts_are_in_what_the_venue_counts(bybit_tables):
    linear = bybit_tables["bybit-linear"][Symbol("BTC", "USDT", "USDT")]
    inverse = bybit_tables["bybit-inverse"][Symbol("BTC", "USD", "BTC")]

    assert linear.filters == (
        PriceFilter(D("0.10"), D("1999999.80"), D("0.10")),
        AmountFilter(D("0.001"), D(1190), D("0.001")),
        AmountFilter(None, D(500), None, market_only=True),
        NotionalFilter(D(5), None, True, False, reduce_only_exempt=True),
    )
    assert inverse.quantity_step == 1 and inverse.base_decimals == 8
    assert linear.permissions == ("LinearPerpetual",)


def test_what_closes_a_position_worth_less_than_the_minimum_is_left_to_the_venue(bybit_tables):
    linear = bybit_tables["bybit-linear"][Symbol("BTC", "USDT", "USDT")]
    dust = {"symbol": linear.symbol, "side": Side.SELL, "type": OrderType.MARKET, "quantity": D("0.001")}

    check(PlaceOrder(**dust, reduce_only=True), linear, D(4_000))
    with pytest.raises(FilterRefused, match="NOTIONAL"):
        check(PlaceOrder(**dust), linear, D(4_000))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Trading", InstrumentStatus.TRADING),
        ("Delivering", InstrumentStatus.HALTED),
        ("Closed", InstrumentStatus.HALTED),
        ("PreLaunch", InstrumentStatus.OTHER),
        ("Dancing", InstrumentStatus.OTHER),
    ],
)
def test_status_keeps_the_venues_word(listed, word, status):
    (instrument,) = listed("bybit-linear", entry(status=word)).instruments.values()
    assert (instrument.status, instrument.status_text) == (status, word)


def test_perpetual_with_a_delivery_time_is_being_delisted_and_stays_a_perpetual(listed):
    (instrument,) = listed("bybit-linear", entry(deliveryTime="1798185600000")).instruments.values()
    assert instrument.symbol == Symbol("BTC", "USDT", "USDT")


def test_usdc_contract_quoted_in_usd_is_quoted_in_what_it_settles(listed):
    (instrument,) = listed("bybit-linear", entry("BTCPERP", settle="USDC", quoteCoin="USD")).instruments.values()
    assert str(instrument.symbol) == "BTC/USDC:USDC"


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (entry(kind="LinearDream"), "contract type"),
        (entry("BTCUSD1", "LinearPerpetual"), "name"),
        (entry("BTCUSDT-25DEC26", "LinearFutures"), "delivery time"),
        (entry("BTCUSDT-25DEC26", "LinearFutures", deliveryTime="9" * 30), "delivery time"),
        (entry("BTCUSDT-25DEC26", "LinearFutures", deliveryTime="1798272000000"), "name"),
        (entry(priceFilter={"tickSize": "NaN"}), "NaN"),
        (entry(lotSizeFilter={"qtyStep": "1e99"}), "out of range"),
        (entry(lotSizeFilter={}), "no step"),
        (entry(baseCoin="B TC"), "symbol"),
        ({"symbol": "BTCUSDT"}, "missing"),
        (7, "instrument"),
    ],
)
def test_entry_that_cannot_be_read_costs_only_itself(listed, spoilt, says):
    info = listed("bybit-linear", spoilt, entry())

    assert list(map(str, info.instruments)) == ["BTC/USDT:USDT"]
    (skipped,) = info.skipped
    assert says in skipped.reason
    assert skipped.venue_name == (spoilt["symbol"] if isinstance(spoilt, dict) else "")


def test_entry_listed_twice_is_reported(listed):
    info = listed("bybit-linear", entry(), entry(status="Closed"))
    assert info.instruments.by_name("BTCUSDT").status is InstrumentStatus.TRADING
    assert [each.venue_name for each in info.skipped] == ["BTCUSDT"]


def test_list_of_contracts_is_asked_page_by_page_with_the_venues_own_cursor(bybit_drivers, bybit_answer):
    rest = bybit_drivers["bybit-linear"].rest
    first = rest.request(LIST)
    assert first.target == "/v5/market/instruments-info?category=linear&limit=1000"

    page = bybit_answer({"list": [entry()], "nextPageCursor": "BTC%2CUSDT%3A1"})
    second = rest.more(LIST, page)
    assert second.target == "/v5/market/instruments-info?category=linear&limit=1000&cursor=BTC%2CUSDT%3A1"
    assert second.safe and second.charges == first.charges

    last = bybit_answer({"list": [entry("BTCPERP", settle="USDC"), entry()], "nextPageCursor": ""})
    assert rest.more(LIST, last) is None
    whole = rest.joined(LIST, [rest.read(LIST, page, None), rest.read(LIST, last, None)])
    assert [instrument.venue_name for instrument in whole.instruments.values()] == ["BTCUSDT", "BTCPERP"]
    assert [each.venue_name for each in whole.skipped] == ["BTCUSDT"]
    assert whole.server_time_ns == 1_767_225_700_000_000_000


@pytest.mark.parametrize("cursor", [None, "", "a b", "a&b=c", "ü", "x" * 3_000])
def test_there_is_no_page_after_a_cursor_that_is_none(bybit_drivers, bybit_answer, cursor):
    rest = bybit_drivers["bybit-linear"].rest
    assert rest.more(LIST, bybit_answer({"list": [], "nextPageCursor": cursor})) is None
    assert rest.more(LIST, bybit_answer({}, code=10000)) is None
    assert rest.more(LIST, bybit_answer([])) is None


def test_spot_comes_whole_and_takes_no_limit(bybit_drivers):
    assert bybit_drivers["bybit"].rest.request(LIST).target == "/v5/market/instruments-info?category=spot"


def test_answer_that_is_no_list_is_refused(bybit_drivers, bybit_answer):
    with pytest.raises(WireFormatError, match="instruments"):
        bybit_drivers["bybit"].rest.read(LIST, bybit_answer({"list": 5}), None)
