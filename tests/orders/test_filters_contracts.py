"""Filters of contracts: counted as the venue counts, told in what the order was given in; what positions forbid everywhere."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_values import SYMBOL as SPOT
from order_values import d

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, PlaceOrder, TriggerPrice
from connector.domain.contracts import base_units
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    Instrument,
    InstrumentStatus,
    NotionalFilter,
    PriceFilter,
)
from connector.domain.market import Side
from connector.domain.orders import Order, OrderType
from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest, Unsupported
from connector.orders.filters import FilterRefused, check, check_amend, check_shape
from connector.orders.lifecycle import IntentRecord, new_record

T = OrderType
LINEAR, INVERSE = Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")
LOT = AmountFilter(d(1), d(1000), d(1))
VALUE = NotionalFilter(d(100), None, True, True, reduce_only_exempt=True)
STOP = {"type": T.STOP, "price": None, "stop_price": d(20_000)}
MARKET = {"type": T.MARKET, "price": None}
CLOSE = {**STOP, "quantity": None, "close_position": True}


def instrument(symbol: Symbol, size: str, *filters: object) -> Instrument:
    return Instrument("v", symbol, "N", InstrumentStatus.TRADING, "T", 8, 8, (), filters, contract_size=d(size))


def place(symbol: Symbol = LINEAR, **changes: object) -> PlaceOrder:
    fields = {"symbol": symbol, "side": Side.BUY, "type": T.LIMIT, "quantity": d("0.05"), "price": d(30_000)}
    if "contracts" in changes:
        fields["quantity"] = None
    return PlaceOrder(**{**fields, **changes})


def refusal(order: PlaceOrder, it: Instrument, reference: str | None = None) -> FilterRefused:
    with pytest.raises(FilterRefused) as caught:
        check(order, it, None if reference is None else d(reference))
    return caught.value


# ---------------------------------------------------------------- shape


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"contracts": d(0)}, "contracts"),
        ({"contracts": d(5), "quantity": d(1)}, "contracts"),
        ({**MARKET, "contracts": d(5), "quote_quantity": d(1)}, "quote_quantity"),
        ({**CLOSE, "quantity": d(1)}, "quantity"),
        ({**CLOSE, "contracts": d(1)}, "contracts"),
        ({**CLOSE, "type": T.MARKET, "stop_price": None}, "close_position"),
        ({**CLOSE, "type": T.STOP_LIMIT, "price": d(1)}, "close_position"),
        ({**CLOSE, "position_side": PositionSide.LONG}, "close_position"),
        ({**CLOSE, "side": Side.SELL, "position_side": PositionSide.SHORT}, "close_position"),
        ({"reduce_only": True, "position_side": PositionSide.LONG}, "reduce_only"),
        ({"trigger_by": TriggerPrice.MARK}, "trigger_by"),
        ({"contracts": d(5), "iceberg_quantity": d(6)}, "iceberg_quantity"),
    ],
)
def test_what_contradicts_itself_in_an_order_of_contracts_is_named(fields, field):
    with pytest.raises(FilterRefused) as caught:
        check_shape(place(**fields))
    assert (caught.value.filter, caught.value.field) == ("ORDER_SHAPE", field)


@pytest.mark.parametrize(
    "fields",
    [
        {"contracts": d(5)},
        CLOSE,
        {**CLOSE, "type": T.TAKE_PROFIT, "side": Side.SELL, "position_side": PositionSide.LONG},
        {**CLOSE, "position_side": PositionSide.SHORT, "trigger_by": TriggerPrice.INDEX},
        {"reduce_only": True},
        {"side": Side.SELL, "reduce_only": True, "position_side": PositionSide.LONG},
        {"position_side": PositionSide.LONG},
    ],
)
def test_orders_of_contracts_take_what_belongs_to_positions(fields):
    check(place(**fields), instrument(LINEAR, "0.01"))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reduce_only": True}, "reduce_only"),
        ({"position_side": PositionSide.LONG}, "position_side"),
        (CLOSE, "close_position"),
        ({"contracts": d(5)}, "contracts"),
    ],
)
def test_spot_has_no_positions(fields, field):
    refused = refusal(place(SPOT, **fields), instrument(SPOT, "1"))
    assert (refused.filter, refused.field) == ("ORDER_SHAPE", field)
    assert "spot" in str(refused)


@pytest.mark.parametrize("fields", [MARKET, STOP])
def test_base_units_of_an_inverse_contract_without_a_price_are_refused_and_contracts_are_not(fields):
    it = instrument(INVERSE, "100", LOT)
    assert "give contracts" in str(refusal(place(INVERSE, **fields), it, "30000"))
    check(place(INVERSE, **fields, contracts=d(5)), it, d(30_000))


# ---------------------------------------------------------------- amounts


def test_contracts_are_compared_as_they_are():
    it = instrument(LINEAR, "0.01", LOT)
    assert refusal(place(contracts=d("2.5")), it).nearest == (d(2), d(3))
    assert refusal(place(contracts=d(1001)), it).nearest == (d(1000),)
    check(place(contracts=d(2)), it)


def test_base_units_are_compared_in_contracts_and_the_nearest_are_named_in_base_units():
    refused = refusal(place(quantity=d("0.025")), instrument(LINEAR, "0.01", LOT))
    assert (refused.field, refused.value, refused.nearest) == ("quantity", d("0.025"), (d("0.02"), d("0.03")))
    assert "2.5 contracts" in str(refused)
    check(place(quantity=d("0.02")), instrument(LINEAR, "0.01", LOT))


def test_base_units_of_an_inverse_contract_count_at_the_orders_price():
    it = instrument(INVERSE, "100", LOT)
    refused = refusal(place(INVERSE, quantity=d("0.034")), it)
    assert refused.nearest == (base_units(it, d(10), d(30_000)), base_units(it, d(11), d(30_000)))
    for nearest in refused.nearest:
        check(place(INVERSE, quantity=nearest), it)


def test_parts_of_an_iceberg_are_counted_in_what_the_order_is_in():
    it = instrument(LINEAR, "0.01", CountFilter("ICEBERG_PARTS", d(2)))
    assert refusal(place(contracts=d(9), iceberg_quantity=d(3)), it).nearest == (d("4.5"),)


# ---------------------------------------------------------------- value


def test_inverse_contracts_are_worth_the_same_at_every_price():
    it = instrument(INVERSE, "10", LOT, VALUE)
    assert refusal(place(INVERSE, contracts=d(9)), it).nearest == (d(10),)
    check(place(INVERSE, contracts=d(10), price=d(1)), it)


def test_the_least_value_of_a_linear_contract_is_named_in_what_the_order_is_in():
    it = instrument(LINEAR, "0.001", LOT, VALUE)
    assert refusal(place(contracts=d(3)), it).nearest == (d(4),)
    assert refusal(place(quantity=d("0.003")), it).nearest == (d("0.004"),)
    assert refusal(place(**MARKET, contracts=d(3)), it, "30000").nearest == (d(4),)


@pytest.mark.parametrize(
    "fields",
    [
        {"reduce_only": True},
        {"side": Side.SELL, "position_side": PositionSide.LONG},
        {"side": Side.BUY, "position_side": PositionSide.SHORT},
    ],
)
def test_what_only_makes_a_position_smaller_may_be_worth_little_where_the_venue_says_so(fields):
    check(place(contracts=d(1), **fields), instrument(LINEAR, "0.001", VALUE))
    strict = msgspec.structs.replace(VALUE, reduce_only_exempt=False)
    assert refusal(place(contracts=d(1), **fields), instrument(LINEAR, "0.001", strict)).filter == "NOTIONAL"


def test_an_order_that_closes_a_position_passes_every_filter_of_amounts():
    check(place(**CLOSE), instrument(LINEAR, "0.001", LOT, VALUE, PriceFilter(None, None, d(1))), d(30_000))


numbers = st.decimals("0.0001", "3000", places=4)


@given(
    numbers, numbers, st.sampled_from(["quantity", "contracts"]), st.sampled_from([(LINEAR, "0.01"), (INVERSE, "100")])
)
@settings(max_examples=400, deadline=None)
def test_every_amount_that_is_named_passes_the_filter_that_named_it(price, amount, unit, product):
    for rule in (LOT, VALUE, NotionalFilter(None, d(5000), True, True)):
        it = instrument(*product, LOT, rule) if rule is LOT else instrument(*product, rule)
        order = place(product[0], price=price, **{"quantity": None, unit: amount})
        try:
            check(order, it)
        except FilterRefused as refused:
            for value in refused.nearest:
                check(msgspec.structs.replace(order, **{refused.field: value}), it)


# ---------------------------------------------------------------- amends

FILTERS = (LOT, PriceFilter(d(1), None, d("0.5")), VALUE)


def amend(**changes: object) -> AmendOrder:
    return AmendOrder(symbol=LINEAR, client_id="a", **changes)


def resting(command: PlaceOrder) -> Order:
    return new_record(IntentRecord.of(command, venue="v", client_id="a", at_ns=1, recv_window_ms=1)).order


def test_an_amend_that_changes_nothing_is_no_amend():
    with pytest.raises(InvalidRequest, match="changes nothing"):
        amend()


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"quantity": d("0.04")}, "quantity down"),
        ({"quantity": d("0.06")}, "quantity up"),
        ({"price": d(29_000)}, "price"),
    ],
)
def test_an_amend_the_venue_cannot_do_is_unsupported_and_says_what_it_can(changes, needs):
    it, others = instrument(LINEAR, "0.01", *FILTERS), {"quantity down", "quantity up", "price"} - {needs}
    check_amend(amend(**changes), place(), it, resting(place()), frozenset({needs}))
    with pytest.raises(Unsupported, match=f"v cannot change that.*{sorted(others)[0]}.*Nothing was sent"):
        check_amend(amend(**changes), place(), it, resting(place()), frozenset(others))


def test_up_and_down_are_reckoned_from_what_the_order_is_now():
    it, command = instrument(LINEAR, "0.01", *FILTERS), place()
    now = msgspec.structs.replace(resting(command), quantity=d("0.03"), price=d(28_000))
    check_amend(amend(quantity=d("0.04")), command, it, now, frozenset({"quantity up"}))
    check_amend(amend(quantity=d("0.03"), price=d(28_000)), command, it, now, frozenset())


def test_an_amend_of_an_order_in_contracts_is_in_contracts():
    it, command = instrument(LINEAR, "0.01", *FILTERS), place(contracts=d(5))
    check_amend(amend(quantity=d(4)), command, it, resting(command), frozenset({"quantity down"}))
    with pytest.raises(FilterRefused, match="multiple of 1"):
        check_amend(amend(quantity=d("4.5")), command, it, resting(command))


def test_an_amended_price_is_held_to_the_price_and_value_rules():
    it = instrument(LINEAR, "0.01", *FILTERS)
    with pytest.raises(FilterRefused, match="PRICE_FILTER"):
        check_amend(amend(price=d("29000.2")), place(), it)
    with pytest.raises(FilterRefused, match="NOTIONAL"):
        check_amend(amend(price=d(1000)), place(), it)
    check_amend(amend(price=d(1000)), place(side=Side.SELL, reduce_only=True), it)


def test_what_an_order_does_not_have_cannot_be_amended():
    it = instrument(LINEAR, "0.01", *FILTERS)
    with pytest.raises(FilterRefused, match="does not belong"):
        check_amend(amend(price=d(1000)), place(**MARKET), it)
    with pytest.raises(FilterRefused, match="has none"):
        check_amend(amend(quantity=d(1)), place(**CLOSE), it)
    with pytest.raises(FilterRefused, match="positive"):
        check_amend(amend(quantity=d(0)), place(), it)
