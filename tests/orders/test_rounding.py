"""The one module that rounds: exact, on the grid, in the direction that is never worse than what was asked for."""

from __future__ import annotations

from decimal import Decimal, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_values import d

from connector.domain.market import Side
from connector.orders.rounding import (
    average,
    divided_up,
    down,
    is_multiple,
    parts_of,
    product,
    quantity_for,
    round_price,
    round_quantity,
    total,
    up,
)

values = st.decimals(min_value="-1e12", max_value="1e12", places=8)
positive = st.decimals(min_value="1e-8", max_value="1e12", places=8)
steps = st.sampled_from([d(text) for text in ("1", "0.1", "0.05", "0.00000001", "2.5", "1000", "0.3")])


@given(values, steps)
def test_down_and_up_are_the_multiples_around_a_value(value, step):
    low, high = down(value, step), up(value, step)
    assert is_multiple(low, step)
    assert is_multiple(high, step)
    assert low <= value <= high
    assert Fraction(high) - Fraction(low) in (0, Fraction(step))


@given(values, steps)
def test_a_value_on_the_grid_stays_as_it_is(value, step):
    assert down(down(value, step), step) == up(down(value, step), step) == down(value, step)


@given(st.lists(values, max_size=20))
def test_sums_are_exact_in_any_context(many):
    with localcontext() as context:
        context.prec = 2
        summed = total(many)
    assert Fraction(summed) == sum(map(Fraction, many))


@given(values, values)
def test_products_are_exact_in_any_context(left, right):
    with localcontext() as context:
        context.prec = 2
        result = product(left, right)
    assert Fraction(result) == Fraction(left) * Fraction(right)


@given(positive, positive, steps)
def test_a_quantity_for_money_never_costs_more_than_the_money(quote, price, step):
    quantity = quantity_for(quote, price, step)
    assert product(quantity, price) <= quote
    assert product(total((quantity, step)), price) > quote


@given(positive, positive)
def test_averages_are_right_to_28_digits_and_divided_up_is_never_less(value, by):
    exact = Fraction(value) / Fraction(by)
    assert abs(Fraction(average(value, by)) - exact) <= exact / 10**27
    assert average(value, by) == value / by
    assert exact <= Fraction(divided_up(value, by)) <= exact + exact / 10**38


@given(positive, st.integers(1, 1_000))
def test_parts_cover_the_whole_and_one_part_less_does_not(part, count):
    quantity = product(part, d(count))
    assert parts_of(quantity, part) == count
    assert parts_of(total((quantity, d("1e-12"))), part) == count + 1


def test_a_buyers_price_goes_down_a_sellers_up_and_quantities_down():
    assert round_price(d("100.03"), d("0.05"), Side.BUY) == d("100.00")
    assert round_price(d("100.03"), d("0.05"), Side.SELL) == d("100.05")
    assert round_quantity(d("1.239"), d("0.01")) == d("1.23")


def test_without_a_step_nothing_is_rounded():
    assert down(d("1.239"), None) == up(d("1.239"), d(0)) == d("1.239")


def test_binary_floats_traps_of_the_past_are_exact():
    assert is_multiple(d("0.3"), d("0.1"))
    assert is_multiple(d("1.1"), d("0.00000001"))
    assert not is_multiple(d("0.30000000000000004"), d("0.1"))


def test_a_sum_too_wide_to_be_exact_raises_rather_than_lies():
    with pytest.raises(Inexact):
        total((Decimal("1e3000"), Decimal("1e-3000")))
