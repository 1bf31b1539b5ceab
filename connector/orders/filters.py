"""Whether an order may be sent as it stands: its shape, and every filter of its instrument.

`check` either returns or says which rule, which value, and which values nearby would pass. It rounds nothing: an engine that
wants a rounded order rounds it with `orders.rounding` first. It never asks and never waits; what it cannot know (a reference
price, counts of open orders) is given to it, and a filter that needs what is not given is left to the venue, which checks all
of them again. Which filters bind an instrument, and how, its driver has read from the venue's own documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from connector.domain.commands import AmendOrder, PlaceOrder
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    Filter,
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
from connector.orders.rounding import (
    ZERO,
    average,
    divided_up,
    down,
    is_multiple,
    parts_of,
    product,
    quantity_for,
    total,
    up,
)

__all__ = ["FilterRefused", "OpenCounts", "check", "check_amend", "check_shape"]


class FilterRefused(InvalidRequest):
    """An order breaks a rule of its instrument; nothing was sent.

    Attributes:
        filter: the rule, in the venue's words where it has one, e.g. "LOT_SIZE".
        field: which part of the order, e.g. "quantity".
        value: what it was.
        nearest: values that would pass this rule, closest first; empty where no other value of this field would.
    """

    def __init__(self, filter: str, field: str, value: object, problem: str, nearest: tuple[Decimal, ...] = ()) -> None:
        self.filter, self.field, self.value, self.nearest = filter, field, value, nearest
        hint = f" Nearest that would pass: {' or '.join(f'{each:f}' for each in nearest)}." if nearest else ""
        super().__init__(f"{filter}: {field} {_text(value)} {problem}.{hint} Nothing was sent.")


def _text(value: object) -> str:
    if value is None:
        return "is missing,"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """What is open already, as far as it is known; a part that is None is not checked.

    Attributes:
        counts: of open orders by the venue's names, e.g. {"MAX_NUM_ORDERS": 3, "EXCHANGE_MAX_NUM_ORDERS": 40}.
        held: base units free and locked. open_buys: base units still to be bought by open orders of the symbol.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    held: Decimal | None = None
    open_buys: Decimal = ZERO


NOTHING_OPEN = OpenCounts()

# ---------------------------------------------------------------- shape

_T = OrderType
_PRICED = frozenset({_T.LIMIT, _T.LIMIT_MAKER, _T.STOP_LIMIT, _T.TAKE_PROFIT_LIMIT})
_TRIGGERED = frozenset({_T.STOP, _T.STOP_LIMIT, _T.TAKE_PROFIT, _T.TAKE_PROFIT_LIMIT})
_TIMED = frozenset({_T.LIMIT, _T.STOP_LIMIT, _T.TAKE_PROFIT_LIMIT})
_MAY_SHOW_A_PART = frozenset({_T.LIMIT, _T.LIMIT_MAKER, _T.STOP_LIMIT, _T.TAKE_PROFIT_LIMIT})

LARGEST, SMALLEST = Decimal("1e30"), Decimal("1e-30")


def check_shape(order: PlaceOrder) -> None:
    """Whether each field is there that the order's type needs, and none that it does not take.

    Raises:
        FilterRefused: `filter` is "ORDER_SHAPE".
    """
    kind = order.type

    def refuse(field: str, value: object, problem: str) -> None:
        raise FilterRefused("ORDER_SHAPE", field, value, problem)

    if kind is _T.OTHER:
        refuse("type", "other", "names no type of order; choose one")
    for name in ("quantity", "quote_quantity", "price", "stop_price", "iceberg_quantity"):
        value: Decimal | None = getattr(order, name)
        if value is not None and not SMALLEST <= value <= LARGEST:
            refuse(name, str(value), "is not a positive number in range")
    if order.quote_quantity is not None:
        if kind is not _T.MARKET:
            refuse("quote_quantity", order.quote_quantity, "is for market orders only; give quantity")
        if order.quantity is not None:
            refuse("quote_quantity", order.quote_quantity, "and quantity exclude each other; give one")
    elif order.quantity is None:
        refuse("quantity", None, "and this order needs one")
    if kind in _PRICED and order.price is None:
        refuse("price", None, f"and a {kind.value} order needs one")
    if kind not in _PRICED and order.price is not None:
        refuse(
            "price", order.price, f"does not belong to a {kind.value} order, which trades at whatever price there is"
        )
    if kind in _TRIGGERED:
        if order.stop_price is None and order.trailing_bips is None:
            refuse("stop_price", None, f"and a {kind.value} order needs one, or trailing_bips")
    else:
        if order.stop_price is not None:
            refuse("stop_price", order.stop_price, f"does not belong to a {kind.value} order")
        if order.trailing_bips is not None:
            refuse("trailing_bips", order.trailing_bips, f"does not belong to a {kind.value} order")
    if order.trailing_bips is not None and order.trailing_bips <= 0:
        refuse("trailing_bips", order.trailing_bips, "is not a positive whole number of basis points")
    if order.time_in_force is TimeInForce.OTHER:
        refuse("time_in_force", "other", "names no time in force; choose one")
    if order.time_in_force is not None and kind not in _TIMED:
        refuse("time_in_force", order.time_in_force.value, f"does not belong to a {kind.value} order")
    if order.iceberg_quantity is not None:
        if kind not in _MAY_SHOW_A_PART:
            refuse("iceberg_quantity", order.iceberg_quantity, f"does not belong to a {kind.value} order")
        if order.time_in_force not in (None, TimeInForce.GTC):
            refuse("iceberg_quantity", order.iceberg_quantity, "needs time_in_force GTC: a hidden rest has to rest")
        if order.quantity is not None and order.iceberg_quantity > order.quantity:
            refuse("iceberg_quantity", order.iceberg_quantity, f"is more than the whole quantity {order.quantity:f}")


# ---------------------------------------------------------------- filters


def check(
    order: PlaceOrder,
    instrument: Instrument,
    reference_price: Decimal | None = None,
    open_counts: OpenCounts = NOTHING_OPEN,
    exchange_filters: tuple[Filter, ...] = (),
) -> None:
    """Whether the venue's rules admit an order, as far as they can be known here.

    Args:
        reference_price: what the venue would value a market order at, or compare a price with; None skips those rules.
        open_counts: what is open already, this order not included.
        exchange_filters: rules over all symbols, from the venue's information call.

    Raises:
        FilterRefused: the first rule that is broken.
    """
    check_shape(order)
    if instrument.status is InstrumentStatus.HALTED or instrument.status is InstrumentStatus.CANCEL_ONLY:
        raise FilterRefused(
            "SYMBOL_STATUS", "symbol", instrument.status_text, f"means {instrument.symbol} takes no orders now"
        )
    for rule in (*instrument.filters, *exchange_filters):
        _CHECKS[type(rule)](rule, order, instrument, reference_price, open_counts)


def check_amend(amend: AmendOrder, order: PlaceOrder, instrument: Instrument) -> None:
    """Whether the venue's rules admit a new quantity of an order that rests already.

    Raises:
        FilterRefused: the first rule that is broken.
    """
    quantity = order.quantity if amend.quantity is None else amend.quantity
    if quantity is None:
        raise FilterRefused("ORDER_SHAPE", "quantity", "None", "is missing: the order was placed without one")
    if not SMALLEST <= quantity <= LARGEST:
        raise FilterRefused("ORDER_SHAPE", "quantity", str(quantity), "is not a positive number in range")
    for rule in instrument.filters:
        if isinstance(rule, AmountFilter) and not rule.market_only:
            _in_range_and_on_grid("LOT_SIZE", "quantity", quantity, rule.minimum, rule.maximum, rule.step)
        elif isinstance(rule, NotionalFilter) and order.price is not None:
            _notional(rule, "quantity", quantity, order.price, instrument)


def _in_range_and_on_grid(
    filter: str, field: str, value: Decimal, minimum: Decimal | None, maximum: Decimal | None, step: Decimal | None
) -> None:
    if minimum is not None and value < minimum:
        problem, around = f"is below the minimum {minimum:f}", [up(minimum, step)]
    elif maximum is not None and value > maximum:
        problem, around = f"is above the maximum {maximum:f}", [down(maximum, step)]
    elif step is not None and not is_multiple(value, step):
        problem, around = f"is not a multiple of {step:f}", [down(value, step), up(value, step)]
    else:
        return
    low, high = minimum or ZERO, LARGEST if maximum is None else maximum
    inside = sorted((each for each in around if each > 0 and low <= each <= high), key=lambda each: abs(each - value))
    raise FilterRefused(filter, field, value, problem, tuple(inside))


def _price(rule: PriceFilter, order: PlaceOrder, instrument: Instrument, *_: object) -> None:
    for part, value in (("price", order.price), ("stop_price", order.stop_price)):
        if value is not None:
            _in_range_and_on_grid("PRICE_FILTER", part, value, rule.minimum, rule.maximum, rule.tick)


def _amount(
    rule: AmountFilter, order: PlaceOrder, instrument: Instrument, reference: Decimal | None, _: OpenCounts
) -> None:
    name = "MARKET_LOT_SIZE" if rule.market_only else "LOT_SIZE"
    if rule.market_only and order.type is not _T.MARKET:
        return
    if order.quantity is not None:
        _in_range_and_on_grid(name, "quantity", order.quantity, rule.minimum, rule.maximum, rule.step)
    if order.iceberg_quantity is not None:
        _in_range_and_on_grid(name, "iceberg_quantity", order.iceberg_quantity, rule.minimum, rule.maximum, rule.step)
    if order.quote_quantity is None or reference is None:
        return
    # The venue chooses the quantity on the grid by itself; only the range can be broken, at about the reference price.
    quantity = average(order.quote_quantity, reference)
    about = f"buys or sells about {quantity_for(order.quote_quantity, reference, rule.step):f} {order.symbol.base}"
    places = instrument.quote_decimals
    if rule.minimum is not None and quantity < rule.minimum:
        needed = up(product(rule.minimum, reference), Decimal(1).scaleb(-places))
        raise FilterRefused(
            name, "quote_quantity", order.quote_quantity, f"{about}, below the minimum {rule.minimum:f}", (needed,)
        )
    if rule.maximum is not None and quantity > rule.maximum:
        most = down(product(rule.maximum, reference), Decimal(1).scaleb(-places))
        raise FilterRefused(
            name, "quote_quantity", order.quote_quantity, f"{about}, above the maximum {rule.maximum:f}", (most,)
        )


def _notional_filter(
    rule: NotionalFilter, order: PlaceOrder, instrument: Instrument, reference: Decimal | None, _: OpenCounts
) -> None:
    if order.price is not None:
        assert order.quantity is not None
        _notional(rule, "quantity", order.quantity, order.price, instrument)
        return
    if order.type is not _T.MARKET:
        return
    bound = NotionalFilter(
        rule.minimum if rule.minimum_binds_market else None,
        rule.maximum if rule.maximum_binds_market else None,
        True,
        True,
    )
    if order.quote_quantity is not None:
        value = order.quote_quantity
        if bound.minimum is not None and value < bound.minimum:
            raise FilterRefused(
                "NOTIONAL", "quote_quantity", value, f"is below the minimum {bound.minimum:f}", (bound.minimum,)
            )
        if bound.maximum is not None and value > bound.maximum:
            raise FilterRefused(
                "NOTIONAL", "quote_quantity", value, f"is above the maximum {bound.maximum:f}", (bound.maximum,)
            )
    elif order.quantity is not None and reference is not None:
        _notional(bound, "quantity", order.quantity, reference, instrument)


def _notional(rule: NotionalFilter, field: str, quantity: Decimal, price: Decimal, instrument: Instrument) -> None:
    value = product(price, quantity)
    step = instrument.quantity_step
    says = f"at {price:f} is worth {value:f} {instrument.symbol.quote}"
    if rule.minimum is not None and value < rule.minimum:
        least = _least(rule.minimum, price, step)
        raise FilterRefused("NOTIONAL", field, quantity, f"{says}, below the minimum {rule.minimum:f}", (least,))
    if rule.maximum is not None and value > rule.maximum:
        most = quantity_for(rule.maximum, price, step)
        near = (most,) if most > 0 else ()
        raise FilterRefused("NOTIONAL", field, quantity, f"{says}, above the maximum {rule.maximum:f}", near)


def _least(quote: Decimal, price: Decimal, step: Decimal | None) -> Decimal:
    """The smallest quantity on the grid that is worth at least `quote`."""
    cut = quantity_for(quote, price, step)
    if product(cut, price) >= quote:
        return cut
    return total((cut, step)) if step else divided_up(quote, price)


def _price_band(
    rule: PriceBandFilter, order: PlaceOrder, instrument: Instrument, reference: Decimal | None, _: OpenCounts
) -> None:
    price = order.price
    if reference is None or price is None:
        return
    is_buy = order.side is Side.BUY
    low = product(reference, rule.buy_down if is_buy else rule.sell_down)
    high = product(reference, rule.buy_up if is_buy else rule.sell_up)
    tick = instrument.price_tick
    if low <= price <= high:
        return
    near = up(low, tick) if price < low else down(high, tick)
    problem = f"is outside {low:f} … {high:f}, what a {order.side.value} may ask at a reference price of {reference:f}"
    raise FilterRefused("PERCENT_PRICE", "price", price, problem, (near,) if low <= near <= high else ())


def _trailing(rule: TrailingFilter, order: PlaceOrder, *_: object) -> None:
    bips = order.trailing_bips
    if bips is None:
        return
    is_stop = order.type in (_T.STOP, _T.STOP_LIMIT)
    above = is_stop == (order.side is Side.BUY)
    low = rule.minimum_above if above else rule.minimum_below
    high = rule.maximum_above if above else rule.maximum_below
    if not low <= bips <= high:
        near = Decimal(low if bips < low else high)
        raise FilterRefused("TRAILING_DELTA", "trailing_bips", bips, f"is outside {low} … {high}", (near,))


def _count(rule: CountFilter, order: PlaceOrder, instrument: Instrument, _: object, open_counts: OpenCounts) -> None:
    name = rule.name
    if name == "ICEBERG_PARTS":
        if order.iceberg_quantity is not None and order.quantity is not None:
            _iceberg_parts(rule, order.quantity, order.iceberg_quantity, instrument)
    elif name == "MAX_POSITION":
        if order.side is Side.BUY and order.quantity is not None and open_counts.held is not None:
            reached = total((open_counts.held, open_counts.open_buys, order.quantity))
            if reached > rule.limit:
                room = down(total((rule.limit, -open_counts.held, -open_counts.open_buys)), instrument.quantity_step)
                raise FilterRefused(
                    name,
                    "quantity",
                    order.quantity,
                    f"could lead to a position of {reached:f}, above the maximum {rule.limit:f}",
                    (room,) if room > 0 else (),
                )
    elif name in open_counts.counts and _counted(name, order) and open_counts.counts[name] >= rule.limit:
        raise FilterRefused(
            name, "open orders", open_counts.counts[name], f"are all that may be open at once ({rule.limit:f})"
        )


def _counted(name: str, order: PlaceOrder) -> bool:
    """Whether this order adds to a count of open orders; counts of lists and amends are not about placing one."""
    name = name.removeprefix("EXCHANGE_")
    if name == "MAX_NUM_ORDERS":
        return True
    if name == "MAX_NUM_ALGO_ORDERS":
        return order.type in _TRIGGERED
    return name == "MAX_NUM_ICEBERG_ORDERS" and order.iceberg_quantity is not None


def _iceberg_parts(rule: CountFilter, quantity: Decimal, part: Decimal, instrument: Instrument) -> None:
    parts = parts_of(quantity, part)
    if parts <= rule.limit:
        return
    least = up(divided_up(quantity, rule.limit), instrument.quantity_step)
    problem = f"shows {quantity:f} in {parts} parts, more than {rule.limit:f}"
    raise FilterRefused(rule.name, "iceberg_quantity", part, problem, (least,))


def _left_to_the_venue(*_: object) -> None:
    """A filter this version does not know: the venue checks it, and its refusal is kept with its code."""


_CHECKS: dict[type, Callable[..., None]] = {
    PriceFilter: _price,
    AmountFilter: _amount,
    NotionalFilter: _notional_filter,
    PriceBandFilter: _price_band,
    TrailingFilter: _trailing,
    CountFilter: _count,
    OtherFilter: _left_to_the_venue,
}
