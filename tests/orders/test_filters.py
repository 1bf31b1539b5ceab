"""Every filter refuses what breaks it, says so, and names values that pass."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_values import SYMBOL, d, place

from connector.domain.commands import AmendOrder
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    Instrument,
    InstrumentStatus,
    NotionalFilter,
    OtherFilter,
    PriceBandFilter,
    PriceFilter,
    TrailingFilter,
)
from connector.domain.market import Side
from connector.domain.orders import OrderType, TimeInForce
from connector.errors import InvalidRequest
from connector.orders.filters import FilterRefused, OpenCounts, check, check_amend, check_shape

T = OrderType


def instrument(*filters: object, **changes: object) -> Instrument:
    fields = {
        "venue": "binance",
        "symbol": SYMBOL,
        "venue_name": "ETHUSDT",
        "status": InstrumentStatus.TRADING,
        "status_text": "TRADING",
        "base_decimals": 8,
        "quote_decimals": 8,
        "order_types": (),
        "filters": filters,
    }
    return Instrument(**{**fields, **changes})


def refusal(
    order: object, *filters: object, reference: object = None, counts: OpenCounts | None = None
) -> FilterRefused:
    with pytest.raises(FilterRefused) as caught:
        check(order, instrument(*filters), None if reference is None else d(reference), counts or OpenCounts())
    assert isinstance(caught.value, InvalidRequest)
    assert "Nothing was sent" in str(caught.value)
    return caught.value


def passes(order: object, *filters: object, reference: object = None, counts: OpenCounts | None = None) -> bool:
    check(order, instrument(*filters), None if reference is None else d(reference), counts or OpenCounts())
    return True


# ---------------------------------------------------------------- shape

MARKET = {"type": T.MARKET, "price": None}
STOP = {"type": T.STOP, "price": None, "stop_price": d(90)}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"time_in_force": TimeInForce.FOK},
        {"iceberg_quantity": d(1)},
        {"type": T.LIMIT_MAKER},
        MARKET,
        {**MARKET, "quantity": None, "quote_quantity": d(50)},
        STOP,
        {**STOP, "stop_price": None, "trailing_bips": 100},
        {**STOP, "trailing_bips": 100},
        {**STOP, "type": T.TAKE_PROFIT},
        {"type": T.STOP_LIMIT, "stop_price": d(90)},
        {"type": T.TAKE_PROFIT_LIMIT, "stop_price": d(90), "time_in_force": TimeInForce.IOC},
    ],
)
def test_every_type_takes_the_fields_it_needs(fields):
    check_shape(place(**fields))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": T.OTHER}, "type"),
        ({"price": None}, "price"),
        ({"quantity": None}, "quantity"),
        ({"quantity": d(0)}, "quantity"),
        ({"quantity": d(-1)}, "quantity"),
        ({"price": d("1e40")}, "price"),
        ({"price": d("1e-40")}, "price"),
        ({"type": T.MARKET}, "price"),
        ({"quote_quantity": d(5)}, "quote_quantity"),
        ({**MARKET, "quote_quantity": d(5)}, "quote_quantity"),
        ({**MARKET, "quantity": None}, "quantity"),
        ({**MARKET, "time_in_force": TimeInForce.GTC}, "time_in_force"),
        ({"stop_price": d(90)}, "stop_price"),
        ({"trailing_bips": 10}, "trailing_bips"),
        ({**STOP, "stop_price": None}, "stop_price"),
        ({**STOP, "trailing_bips": 0}, "trailing_bips"),
        ({**STOP, "price": d(1)}, "price"),
        ({"type": T.STOP_LIMIT, "stop_price": d(90), "price": None}, "price"),
        ({"type": T.LIMIT_MAKER, "time_in_force": TimeInForce.GTC}, "time_in_force"),
        ({"time_in_force": TimeInForce.OTHER}, "time_in_force"),
        ({"iceberg_quantity": d(3)}, "iceberg_quantity"),
        ({"iceberg_quantity": d(1), "time_in_force": TimeInForce.IOC}, "iceberg_quantity"),
        ({**MARKET, "iceberg_quantity": d(1)}, "iceberg_quantity"),
    ],
)
def test_a_field_that_is_missing_or_does_not_belong_is_named(fields, field):
    refused = refusal(place(**fields))
    assert (refused.filter, refused.field) == ("ORDER_SHAPE", field)


@pytest.mark.parametrize("status", [InstrumentStatus.HALTED, InstrumentStatus.CANCEL_ONLY])
def test_an_instrument_that_takes_no_orders_refuses_them_here(status):
    with pytest.raises(FilterRefused, match="takes no orders"):
        check(place(), instrument(status=status, status_text="HALT"))


# ---------------------------------------------------------------- price and quantity

PRICE = PriceFilter(d("0.5"), d(1000), d("0.05"))
AMOUNT = AmountFilter(d("0.01"), d(100), d("0.001"))
MARKET_AMOUNT = AmountFilter(d("0.01"), d(5), None, market_only=True)


@pytest.mark.parametrize(
    ("price", "nearest"),
    [("0.4", ["0.50"]), ("1000.01", ["1000.00"]), ("100.03", ["100.05", "100.00"]), ("100.01", ["100.00", "100.05"])],
)
def test_a_price_off_the_grid_or_out_of_range_is_refused_with_the_nearest(price, nearest):
    refused = refusal(place(price=d(price)), PRICE)
    assert (refused.filter, refused.field, refused.value) == ("PRICE_FILTER", "price", d(price))
    assert list(refused.nearest) == [d(each) for each in nearest]
    assert f"{refused.nearest[0]:f}" in str(refused)


def test_a_stop_price_is_held_to_the_price_filter_too():
    assert refusal(place(**{**STOP, "stop_price": d("90.01")}), PRICE).field == "stop_price"


def test_the_grid_starts_at_zero_not_at_the_minimum():
    assert passes(place(price=d("0.65")), PriceFilter(d("0.61"), None, d("0.05")))
    assert refusal(place(price=d("0.66")), PriceFilter(d("0.61"), None, d("0.05"))).nearest == (d("0.65"), d("0.70"))


def test_a_bound_that_is_none_does_not_bind():
    assert passes(
        place(price=d("12345.678"), quantity=d("0.000001")),
        PriceFilter(None, None, None),
        AmountFilter(None, None, None),
    )


@pytest.mark.parametrize(("quantity", "nearest"), [("0.001", "0.01"), ("101", "100"), ("0.0105", "0.010")])
def test_a_quantity_off_the_grid_or_out_of_range_is_refused_with_the_nearest(quantity, nearest):
    refused = refusal(place(quantity=d(quantity)), AMOUNT)
    assert (refused.filter, refused.field, refused.nearest[0]) == ("LOT_SIZE", "quantity", d(nearest))


def test_the_visible_part_of_an_iceberg_is_a_quantity_too():
    assert refusal(place(iceberg_quantity=d("0.0105")), AMOUNT).field == "iceberg_quantity"


def test_the_market_lot_binds_market_orders_only_and_in_addition():
    assert passes(place(quantity=d(50)), AMOUNT, MARKET_AMOUNT)
    assert refusal(place(**MARKET, quantity=d(50)), AMOUNT, MARKET_AMOUNT).filter == "MARKET_LOT_SIZE"
    assert refusal(place(**MARKET, quantity=d("0.0105")), AMOUNT, MARKET_AMOUNT).filter == "LOT_SIZE"


def test_a_market_order_by_quote_is_capped_by_the_lot_at_the_reference_price():
    by_quote = place(**MARKET, quantity=None, quote_quantity=d(600))
    refused = refusal(by_quote, MARKET_AMOUNT, reference=100)
    assert (refused.field, refused.nearest) == ("quote_quantity", (d(500),))
    assert passes(by_quote, MARKET_AMOUNT)  # no reference price: the venue decides


# ---------------------------------------------------------------- value

NOTIONAL = NotionalFilter(d(10), d(1000), minimum_binds_market=True, maximum_binds_market=False)


def test_an_order_worth_too_little_is_told_the_least_quantity():
    refused = refusal(place(quantity=d("0.033"), price=d(300)), AMOUNT, NOTIONAL)
    assert (refused.filter, refused.nearest) == ("NOTIONAL", (d("0.034"),))


def test_an_order_worth_too_much_is_told_the_most():
    assert refusal(place(quantity=d(20), price=d(300)), AMOUNT, NOTIONAL).nearest == (d("3.333"),)


def test_market_orders_are_bound_as_the_flags_say():
    small, large = place(**MARKET, quantity=d("0.01")), place(**MARKET, quantity=d(50))
    assert refusal(small, NOTIONAL, reference=100).filter == "NOTIONAL"
    assert passes(large, NOTIONAL, reference=100)
    assert passes(small, NotionalFilter(d(10), None, False, False), reference=100)
    assert refusal(large, NotionalFilter(None, d(1000), False, True), reference=100).nearest == (d(10),)
    assert passes(small, NOTIONAL)  # no reference price


def test_a_quote_quantity_is_its_own_value():
    assert refusal(place(**MARKET, quantity=None, quote_quantity=d(9)), NOTIONAL).nearest == (d(10),)
    assert passes(place(**MARKET, quantity=None, quote_quantity=d(11)), NOTIONAL)


# ---------------------------------------------------------------- price band

BAND = PriceBandFilter(buy_up=d("1.1"), buy_down=d("0.5"), sell_up=d(3), sell_down=d("0.9"))


@pytest.mark.parametrize(
    ("side", "price", "nearest"),
    [(Side.BUY, "110.05", "110"), (Side.BUY, "49.95", "50"), (Side.SELL, "89.95", "90"), (Side.SELL, "300.05", "300")],
)
def test_each_side_has_its_own_band(side, price, nearest):
    refused = refusal(place(side=side, price=d(price)), PRICE, BAND, reference=100)
    assert (refused.filter, refused.nearest) == ("PERCENT_PRICE", (d(nearest),))
    assert passes(place(side=side, price=d(nearest)), PRICE, BAND, reference=100)
    assert passes(place(side=side, price=d(price)), PRICE, BAND)  # no reference price


def test_a_market_order_has_no_price_to_compare():
    assert passes(place(**MARKET), BAND, reference=1)


# ---------------------------------------------------------------- counts

PARTS, ORDERS = CountFilter("ICEBERG_PARTS", d(10)), CountFilter("MAX_NUM_ORDERS", d(3))


def test_an_iceberg_of_too_many_parts_is_told_the_smallest_part():
    refused = refusal(place(quantity=d("1.001"), iceberg_quantity=d("0.1")), AMOUNT, PARTS)
    assert refused.nearest == (d("0.101"),)
    assert passes(place(quantity=d("1.001"), iceberg_quantity=d("0.101")), AMOUNT, PARTS)
    assert passes(place(quantity=d(1), iceberg_quantity=d("0.1")), AMOUNT, PARTS)


def test_open_orders_are_counted_where_the_count_is_known():
    assert passes(place(), ORDERS, counts=OpenCounts({"MAX_NUM_ORDERS": 2}))
    assert refusal(place(), ORDERS, counts=OpenCounts({"MAX_NUM_ORDERS": 3})).filter == "MAX_NUM_ORDERS"
    assert passes(place(), ORDERS)


@pytest.mark.parametrize(
    ("name", "order"),
    [("MAX_NUM_ALGO_ORDERS", place(**STOP)), ("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", place(iceberg_quantity=d(1)))],
)
def test_counts_of_special_orders_bind_only_those(name, order):
    counts = OpenCounts({name: 5})
    assert refusal(order, CountFilter(name, d(5)), counts=counts).filter == name
    assert passes(place(), CountFilter(name, d(5)), counts=counts)


def test_filters_over_all_symbols_are_checked_too():
    with pytest.raises(FilterRefused, match="EXCHANGE_MAX_NUM_ORDERS"):
        check(
            place(),
            instrument(),
            None,
            OpenCounts({"EXCHANGE_MAX_NUM_ORDERS": 9}),
            (CountFilter("EXCHANGE_MAX_NUM_ORDERS", d(9)),),
        )


def test_a_position_that_could_grow_too_large_is_told_the_room_left():
    rule, counts = CountFilter("MAX_POSITION", d(10)), OpenCounts(held=d(6), open_buys=d(3))
    assert refusal(place(quantity=d(2)), AMOUNT, rule, counts=counts).nearest == (d(1),)
    assert passes(place(quantity=d(1)), AMOUNT, rule, counts=counts)
    assert passes(place(quantity=d(2), side=Side.SELL), AMOUNT, rule, counts=counts)
    assert passes(place(quantity=d(99)), AMOUNT, rule)


# ---------------------------------------------------------------- trailing, unknown, amend

TRAILING = TrailingFilter(minimum_above=10, maximum_above=100, minimum_below=20, maximum_below=200)


@pytest.mark.parametrize(
    ("kind", "side", "low", "high"),
    [
        (T.STOP, Side.BUY, 10, 100),
        (T.TAKE_PROFIT, Side.SELL, 10, 100),
        (T.STOP, Side.SELL, 20, 200),
        (T.TAKE_PROFIT, Side.BUY, 20, 200),
    ],
)
def test_trailing_distances_depend_on_kind_and_side(kind, side, low, high):
    def order(bips):
        return place(type=kind, side=side, price=None, trailing_bips=bips)

    assert refusal(order(low - 1), TRAILING).nearest == (d(low),)
    assert refusal(order(high + 1), TRAILING).nearest == (d(high),)
    assert passes(order(low), TRAILING)
    assert passes(order(high), TRAILING)


def test_a_filter_of_an_unknown_kind_is_left_to_the_venue():
    assert passes(place(), OtherFilter("T_PLUS_SELL", "{}"))


def test_an_amend_is_held_to_the_quantity_and_value_rules():
    amend = AmendOrder(symbol=SYMBOL, client_id="a", quantity=d("0.0105"))
    with pytest.raises(FilterRefused, match="LOT_SIZE"):
        check_amend(amend, place(), instrument(AMOUNT))
    with pytest.raises(FilterRefused, match="NOTIONAL"):
        check_amend(msgspec.structs.replace(amend, quantity=d("0.05")), place(), instrument(AMOUNT, NOTIONAL))
    check_amend(msgspec.structs.replace(amend, quantity=d(1)), place(), instrument(AMOUNT, NOTIONAL))


# ---------------------------------------------------------------- what is named passes

numbers = st.decimals(min_value="0.0001", max_value="2000", places=4)


@given(numbers, numbers, st.sampled_from(list(Side)), st.sampled_from([None, "0.07", "1"]))
@settings(max_examples=400, deadline=None)
def test_every_value_that_is_named_passes_the_filter_that_named_it(price, quantity, side, part):
    order = place(price=price, quantity=quantity, side=side, iceberg_quantity=part and min(d(part), quantity))
    for rule in (PRICE, AMOUNT, NOTIONAL, BAND, PARTS):
        alone = order if rule is PARTS else msgspec.structs.replace(order, iceberg_quantity=None)
        try:
            check(alone, instrument(rule), d(100))
        except FilterRefused as refused:
            assert refused.nearest
            for value in refused.nearest:
                check(msgspec.structs.replace(alone, **{refused.field: value}), instrument(rule), d(100))
