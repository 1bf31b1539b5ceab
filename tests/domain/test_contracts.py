"""What contracts are worth, against sums in fractions made another way."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain.commands import AmendOrder, PlaceOrder
from connector.domain.contracts import (
    amended_contracts,
    base_units,
    contracts_for,
    notional,
    ordered_base_units,
    ordered_contracts,
    profit,
)
from connector.domain.instruments import AmountFilter, Instrument, InstrumentStatus
from connector.domain.market import Side
from connector.domain.orders import Order, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol

D = Decimal
ONE = D(1)
LINEAR, INVERSE, SPOT = Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC"), Symbol("BTC", "USDT")

sizes = st.sampled_from([D("0.001"), D("0.01"), D(1), D(10), D(100)])
prices = st.decimals("0.01", "1000000", places=2)
counts = st.integers(1, 10_000_000).map(D)
signed = st.integers(-10_000_000, 10_000_000).map(D)


def contract(symbol: Symbol, size: Decimal = ONE, step: Decimal = ONE) -> Instrument:
    filters = (AmountFilter(step, None, step),)
    return Instrument("v", symbol, "N", InstrumentStatus.TRADING, "T", 8, 8, (), filters, contract_size=size)


def rounded(value: Fraction) -> Decimal:
    """Half even at 16 places, with whole numbers only."""
    return D(round(value * 10**16)).scaleb(-16)


@given(counts, sizes, prices)
def test_linear_contracts_are_base_units_at_any_price_exactly(contracts, size, price):
    it = contract(LINEAR, size)
    assert Fraction(base_units(it, contracts, price)) == Fraction(contracts) * Fraction(size)
    assert contracts_for(it, base_units(it, contracts, price), None) == contracts


@given(counts, sizes, prices)
def test_inverse_contracts_are_base_units_rounded_half_even_at_16_places(contracts, size, price):
    it = contract(INVERSE, size)
    assert base_units(it, contracts, price) == rounded(Fraction(contracts) * Fraction(size) / Fraction(price))


@given(counts, sizes, prices)
def test_inverse_contracts_come_back_whole_from_their_rounded_base_units(contracts, size, price):
    it = contract(INVERSE, size)
    assert contracts_for(it, base_units(it, contracts, price), price) == contracts


def test_base_units_that_are_no_whole_contracts_stay_what_they_are():
    assert contracts_for(contract(INVERSE, D(100)), D("0.0105"), D(30_000)) == D("3.15")


def test_base_units_of_an_inverse_contract_without_a_price_are_refused():
    with pytest.raises(ValueError, match="at a price only"):
        contracts_for(contract(INVERSE), D(1), None)


@given(counts, sizes, prices)
def test_notional_is_what_the_quote_asset_has_to_be(contracts, size, price):
    worth = Fraction(contracts) * Fraction(size)
    assert Fraction(notional(contract(LINEAR, size), contracts, price)) == worth * Fraction(price)
    assert Fraction(notional(contract(INVERSE, size), contracts, price)) == worth


@given(signed, sizes, prices, prices)
def test_linear_profit_is_exact(contracts, size, entry, leave):
    expected = Fraction(contracts) * Fraction(size) * (Fraction(leave) - Fraction(entry))
    assert Fraction(profit(contract(LINEAR, size), contracts, entry, leave)) == expected


@given(signed, sizes, prices, prices)
def test_inverse_profit_is_the_difference_of_worths_rounded_once(contracts, size, entry, leave):
    expected = Fraction(contracts) * Fraction(size) * (1 / Fraction(entry) - 1 / Fraction(leave))
    assert profit(contract(INVERSE, size), contracts, entry, leave) == rounded(expected)


@given(signed, sizes, prices, prices, st.sampled_from([LINEAR, INVERSE]))
def test_what_the_long_side_wins_the_short_side_loses(contracts, size, entry, leave, symbol):
    it = contract(symbol, size)
    assert profit(it, contracts, entry, leave) == -profit(it, -contracts, entry, leave)
    assert profit(it, contracts, entry, leave) == -profit(it, contracts, leave, entry)
    assert profit(it, contracts, entry, entry) == 0


@given(counts, sizes, prices, prices, prices)
def test_profit_by_way_of_a_third_price_is_the_same(contracts, size, entry, between, leave):
    linear, inverse = contract(LINEAR, size), contract(INVERSE, size)
    whole, parts = (
        [
            profit(it, contracts, entry, leave),
            profit(it, contracts, entry, between) + profit(it, contracts, between, leave),
        ]
        for it in (linear, inverse)
    )
    assert whole[0] == whole[1]
    assert abs(parts[0] - parts[1]) <= D("2e-16"), "each of three values is rounded once"


def test_nothing_depends_on_the_calling_threads_context():
    it = contract(INVERSE, D(100))
    expected = base_units(it, D(7), D(30_000)), profit(it, D(7), D(30_000), D(31_000))
    with localcontext(prec=3, rounding=ROUND_HALF_EVEN):
        assert (base_units(it, D(7), D(30_000)), profit(it, D(7), D(30_000), D(31_000))) == expected


@pytest.mark.parametrize(
    ("fields", "symbol", "size", "expected"),
    [
        ({"quantity": D("0.5")}, SPOT, D(1), D("0.5")),
        ({"quantity": D("0.5")}, LINEAR, D("0.01"), D(50)),
        ({"contracts": D(7)}, LINEAR, D("0.01"), D(7)),
        ({"contracts": D(7)}, INVERSE, D(100), D(7)),
        ({"quantity": D("0.0333333333333333"), "price": D(30_000)}, INVERSE, D(100), D(10)),
        ({"quote_quantity": D(50)}, SPOT, D(1), None),
        ({"close_position": True}, LINEAR, D(1), None),
    ],
)
def test_an_order_is_for_so_many_contracts(fields, symbol, size, expected):
    order = PlaceOrder(symbol=symbol, side=Side.BUY, type=OrderType.LIMIT, **fields)
    assert ordered_contracts(order, contract(symbol, size)) == expected


@pytest.mark.parametrize(
    ("amended", "in_contracts", "symbol", "size", "expected"),
    [
        ({"quantity": D(3)}, True, INVERSE, D(100), D(3)),
        ({"quantity": D("0.05")}, False, LINEAR, D("0.01"), D(5)),
        ({"quantity": D("0.01")}, False, INVERSE, D(100), D(3)),
        ({"quantity": D("0.01"), "price": D(20_000)}, False, INVERSE, D(100), D(2)),
        ({"price": D(20_000)}, False, INVERSE, D(100), None),
    ],
)
def test_an_amend_is_in_what_the_order_was_placed_in(amended, in_contracts, symbol, size, expected):
    current = Order(
        "v", symbol, None, 1, "a", None, Side.BUY, OrderType.LIMIT, TimeInForce.GTC, OrderStatus.NEW, "", D(1), D(0),
        price=D(30_000), in_contracts=in_contracts,
    )  # fmt: skip
    amend = AmendOrder(symbol=symbol, client_id="a", **amended)
    assert amended_contracts(amend, current, contract(symbol, size)) == expected


def test_base_units_of_contracts_are_told_as_far_as_a_price_is_known():
    linear = PlaceOrder(symbol=LINEAR, side=Side.BUY, type=OrderType.MARKET, contracts=D(5))
    inverse = PlaceOrder(symbol=INVERSE, side=Side.BUY, type=OrderType.MARKET, contracts=D(3))
    assert ordered_base_units(linear, contract(LINEAR, D("0.01"))) == D("0.05")
    assert ordered_base_units(inverse, contract(INVERSE, D(100))) is None
    assert ordered_base_units(inverse, contract(INVERSE, D(100)), D(30_000)) == D("0.01")
