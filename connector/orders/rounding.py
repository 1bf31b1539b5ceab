"""Exact arithmetic of orders, and the one place that rounds.

Decides the direction of every rounding: quantities go down (never more than was meant), a buyer's price goes down and a
seller's up (never worse than was meant), averages have 28 significant digits, half even. Sums and products are exact: they do not
depend on the calling thread's decimal context. Never guesses a step: without one, a value stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow

from connector.domain.market import Side

__all__ = [
    "ZERO",
    "average",
    "divided_up",
    "down",
    "harmonic_average",
    "is_multiple",
    "parts_of",
    "product",
    "quantity_for",
    "round_price",
    "round_quantity",
    "total",
    "up",
]

ZERO = Decimal(0)

_EXACT = Context(prec=2_000, traps=[Inexact, InvalidOperation, Overflow])
"""Wide enough for any numbers a venue writes; a result that would not be exact raises."""

_WIDE = Context(prec=2_000, traps=[InvalidOperation, Overflow])
_AVERAGE = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow])
_WIDER = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow])
_DOWN = Context(prec=40, rounding=ROUND_FLOOR, traps=[InvalidOperation, Overflow])
_UP = Context(prec=40, rounding=ROUND_CEILING, traps=[InvalidOperation, Overflow])


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum; 0 of nothing."""
    sum_ = ZERO
    for value in values:
        sum_ = _EXACT.add(sum_, value)
    return sum_


def product(left: Decimal, right: Decimal) -> Decimal:
    """The exact product, e.g. price x quantity."""
    return _EXACT.multiply(left, right)


def average(quote: Decimal, quantity: Decimal) -> Decimal:
    """quote / quantity as Python's own division gives it by default: 28 significant digits, half even. `quantity` is not 0."""
    return _AVERAGE.divide(quote, quantity)


def harmonic_average(parts: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """The price at which all weights together are worth what they are worth apart, each at its own price: inverse contracts.

    Args:
        parts: (weight, price), one or more, neither of them 0. 28 significant digits, half even.
    """
    parts = tuple(parts)
    prices = {price for _, price in parts}
    if len(prices) == 1:
        return prices.pop()
    worth = ZERO
    for weight, price in parts:
        worth = _WIDER.add(worth, _WIDER.divide(weight, price))
    return _AVERAGE.divide(total(weight for weight, _ in parts), worth)


def is_multiple(value: Decimal, step: Decimal | None) -> bool:
    """True without a step. The grid starts at 0, not at the smallest value allowed."""
    return not step or _WIDE.remainder(value, step) == 0


def down(value: Decimal, step: Decimal | None) -> Decimal:
    """The largest multiple of `step` that is not above `value`; `value` itself without a step."""
    return _to_grid(value, step, ROUND_FLOOR)


def up(value: Decimal, step: Decimal | None) -> Decimal:
    """The smallest multiple of `step` that is not below `value`; `value` itself without a step."""
    return _to_grid(value, step, ROUND_CEILING)


def _to_grid(value: Decimal, step: Decimal | None, direction: str) -> Decimal:
    if not step or is_multiple(value, step):
        return value
    whole = _WIDE.divide_int(value, step)  # cut towards zero, exactly
    if direction == ROUND_CEILING and value > 0:
        whole += 1
    elif direction == ROUND_FLOOR and value < 0:
        whole -= 1
    return _EXACT.multiply(whole, step)


def round_quantity(quantity: Decimal, step: Decimal | None) -> Decimal:
    """A quantity on the grid, never more than was asked for."""
    return down(quantity, step)


def round_price(price: Decimal, tick: Decimal | None, side: Side) -> Decimal:
    """A price on the grid, never worse for us than was asked for: a buyer's goes down, a seller's up."""
    return down(price, tick) if side is Side.BUY else up(price, tick)


def quantity_for(quote: Decimal, price: Decimal, step: Decimal | None) -> Decimal:
    """How many base units `quote` pays for at `price`, on the grid, never more than it pays for."""
    return down(_DOWN.divide(quote, price), step)


def divided_up(value: Decimal, by: Decimal) -> Decimal:
    """value / by, to 40 significant digits, never less than the exact quotient of positive numbers."""
    return _UP.divide(value, by)


def parts_of(quantity: Decimal, part: Decimal) -> int:
    """How many times `part` it takes to show `quantity`, the last time perhaps less of it. Exact."""
    whole = int(_WIDE.divide_int(quantity, part))
    return whole if is_multiple(quantity, part) else whole + 1
