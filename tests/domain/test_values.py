"""Values never change, compare by content, and read like what they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain import (
    Balance,
    BookTicker,
    Instrument,
    InstrumentStatus,
    InstrumentTable,
    OrderBook,
    OrderStatus,
    Product,
    Side,
    Symbol,
    Ticker,
    Topic,
    TopicKind,
    Trade,
)
from connector.domain.instruments import AmountFilter, PriceFilter
from connector.domain.times import datetime_from_ns, ns_from_datetime
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import InvalidRequest, UnknownSymbol

D = Decimal
BTC = Symbol("BTC", "USDT")
NOON_NS = 1_767_268_800_000_000_000


def trade(**changes) -> Trade:
    values = {"venue": "binance", "symbol": BTC, "event_time_ns": NOON_NS, "received_ns": NOON_NS + 5, "trade_id": 1}
    return Trade(**{**values, "price": D(1), "quantity": D(2), "side": Side.BUY, **changes})


def instrument(symbol: Symbol, name: str) -> Instrument:
    return Instrument(
        "binance",
        symbol,
        name,
        InstrumentStatus.TRADING,
        "TRADING",
        8,
        8,
        ("LIMIT",),
        (
            AmountFilter(D("0.1"), None, D("0.1"), market_only=True),
            AmountFilter(D("0.001"), None, D("0.001")),
            PriceFilter(None, None, D("0.01")),
        ),
    )


def test_values_are_frozen_and_equal_by_content():
    assert trade() == trade()
    assert trade() != trade(price=D("1.01"))
    with pytest.raises(AttributeError):
        trade().price = D(2)


def test_time_is_the_venues_and_ours_where_it_wrote_none():
    assert trade().time == datetime(2026, 1, 1, 12, tzinfo=UTC)
    silent = BookTicker("binance", BTC, None, NOON_NS, D(1), D(1), D(2), D(1))
    assert silent.time == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_ticker_has_its_thirteen_fields():
    required = Ticker.__struct_fields__[: len(Ticker.__struct_fields__) - len(Ticker.__struct_defaults__)]
    assert set(required) >= {"event_time_ns", "symbol", "last", "bid", "bid_quantity", "ask", "ask_quantity"}
    assert set(required) >= {"open", "high", "low", "volume", "quote_volume"}


def test_book_without_a_side_has_no_best_price():
    book = OrderBook("binance", BTC, None, 1, 7, (), ((D(2), D(1)),))
    assert book.best_bid is None
    assert book.best_ask == (D(2), D(1))


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_survive_the_round_trip_to_the_microsecond(time_us):
    assert ns_from_datetime(datetime_from_ns(time_us * 1_000)) == time_us * 1_000
    assert datetime_from_ns(time_us * 1_000 + 999) == datetime_from_ns(time_us * 1_000)


def test_naive_datetime_is_refused_and_other_zones_are_converted():
    with pytest.raises(ValueError, match="no time zone"):
        ns_from_datetime(datetime(2026, 1, 1))  # noqa: DTZ001
    zone = timezone(timedelta(hours=2))
    assert ns_from_datetime(datetime(2026, 1, 1, 14, tzinfo=zone)) == NOON_NS


def test_final_states_of_an_order_do_not_include_unknown():
    final = {status for status in OrderStatus if status.is_final}
    assert final == {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}


def test_balance_adds_up():
    assert Balance("binance", "BTC", None, 0, D("0.1"), D("0.2")).total == D("0.3")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (TopicKind.CANDLES, {}),
        (TopicKind.TRADES, {"interval": "1m"}),
        (TopicKind.PARTIAL_BOOK, {}),
        (TopicKind.TRADES, {"depth": 5}),
    ],
)
def test_topic_that_contradicts_itself_is_refused(kind, fields):
    with pytest.raises(InvalidRequest):
        Topic(kind, BTC, **fields)


def test_equal_topics_are_one():
    first, second = (Topic(TopicKind.CANDLES, BTC, interval="1m") for _ in range(2))
    assert len({first, second}) == 1
    assert str(first) == "candles BTC/USDT 1m"
    assert str(Topic(TopicKind.PARTIAL_BOOK, BTC, depth=5, speed_ms=100)) == "partial_book BTC/USDT 5 @100ms"


def test_instruments_are_found_by_symbol_and_by_the_venues_name():
    table = InstrumentTable("binance", [instrument(BTC, "BTCUSDT"), instrument(Symbol("ETH", "USDT"), "ETHUSDT")])
    assert table.require(BTC) is table[BTC] is table.by_name("BTCUSDT")
    assert table.by_name("NOPE") is None
    assert len(table) == 2 and set(table) == {BTC, Symbol("ETH", "USDT")}
    assert "2 instruments" in repr(table)
    with pytest.raises(UnknownSymbol, match="BTC/USDT"):
        table.require(Symbol("BTC", "USTD"))


def test_steps_are_those_of_limit_orders():
    found = instrument(BTC, "BTCUSDT")
    assert (found.price_tick, found.quantity_step, found.product) == (D("0.01"), D("0.001"), Product.SPOT)


def test_signed_request_does_not_show_its_query_or_headers():
    request = HttpRequest("GET", "/api/v3/order", "signature=deadbeef", headers={"X-MBX-APIKEY": "k3y"})
    assert request.target == "/api/v3/order?signature=deadbeef"
    assert "deadbeef" not in repr(request) and "k3y" not in repr(request)
    assert HttpRequest("GET", "/x").target == "/x"
    assert "secret" not in repr(HttpResponse(200, {"set-cookie": "secret"}, b"secret", 1, 2))
