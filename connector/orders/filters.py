"""Whether an order may be sent as it stands: its shape, and every filter of its instrument.

`check` either returns or says which rule, which value, and which values nearby would pass. It rounds nothing: an engine that
wants a rounded order rounds it with `orders.rounding` first. It never asks and never waits; what it cannot know (a reference
price, counts of open orders) is given to it, and a filter that needs what is not given is left to the venue, which checks all
of them again. Amounts are compared in what the venue's filters count (`domain.contracts`), and told in what the order was given
in, base units or contracts. What holds at every venue of positions (reduce-only, sides, closing) is checked here, the rest by the
drivers. Which filters bind an instrument, and how, its driver has read from the venue's own documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec import structs

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, PlaceOrder
from connector.domain.contracts import base_units, contracts_for, notional
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
from connector.domain.orders import Order, OrderType, TimeInForce
from connector.domain.symbols import Product
from connector.errors import InvalidRequest, Unsupported
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

__all__ = ["EVERY_AMEND", "FilterRefused", "OpenCounts", "check", "check_amend", "check_shape"]


class FilterRefused(InvalidRequest):
    """An order breaks a rule of its instrument; nothing was sent.

    Attributes:
        filter: the rule, in the venue's words where it has one, e.g. "LOT_SIZE".
        field: which part of the order, e.g. "quantity".
        value: what it was. problem: what is wrong with it, in words.
        nearest: values that would pass this rule, closest first; empty where no other value of this field would.
    """

    def __init__(self, filter: str, field: str, value: object, problem: str, nearest: tuple[Decimal, ...] = ()) -> None:
        self.filter, self.field, self.value, self.problem, self.nearest = filter, field, value, problem, nearest
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
_CLOSING = frozenset({_T.STOP, _T.TAKE_PROFIT})
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
    for name in ("quantity", "contracts", "quote_quantity", "price", "stop_price", "iceberg_quantity"):
        value: Decimal | None = getattr(order, name)
        if value is not None and not SMALLEST <= value <= LARGEST:
            refuse(name, str(value), "is not a positive number in range")
    given = [name for name in ("quantity", "contracts", "quote_quantity") if getattr(order, name) is not None]
    if order.quote_quantity is not None and kind is not _T.MARKET:
        refuse("quote_quantity", order.quote_quantity, "is for market orders only; give quantity")
    if len(given) > 1:
        refuse(given[-1], getattr(order, given[-1]), f"and {given[0]} exclude each other; give one")
    if order.close_position:
        if given:
            refuse(
                given[0],
                getattr(order, given[0]),
                "does not go with close_position, which closes whatever there is then",
            )
        if kind not in _CLOSING:
            refuse("close_position", True, f"goes with stop and take_profit orders, not with {kind.value}")
    elif not given:
        refuse("quantity", None, "and this order needs one")
    opening = Side.BUY if order.position_side is PositionSide.LONG else Side.SELL
    if order.position_side is not PositionSide.NET and order.side is opening:
        for name in ("reduce_only", "close_position"):
            if getattr(order, name):
                told = (
                    f"contradicts a {order.side.value} on the {order.position_side.value} side, which makes it larger"
                )
                refuse(name, True, told)
    if order.trigger_by is not None and kind not in _TRIGGERED:
        refuse("trigger_by", order.trigger_by.value, f"does not belong to a {kind.value} order")
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
        whole = order.quantity if order.contracts is None else order.contracts
        if whole is not None and order.iceberg_quantity > whole:
            refuse("iceberg_quantity", order.iceberg_quantity, f"is more than the whole quantity {whole:f}")


def _is_plain_limit(order: PlaceOrder) -> bool:
    """Whether it is a limit order that has a price, a quantity and a time in force at most, all of them in order."""
    quantity, price = order.quantity, order.price
    return (
        order.type is _T.LIMIT
        and quantity is not None
        and price is not None
        and SMALLEST <= quantity <= LARGEST
        and SMALLEST <= price <= LARGEST
        and order.time_in_force is not TimeInForce.OTHER
        and order.contracts is None
        and order.quote_quantity is None
        and order.stop_price is None
        and order.trailing_bips is None
        and order.trigger_by is None
        and order.iceberg_quantity is None
        and order.position_side is PositionSide.NET
        and not order.reduce_only
        and not order.close_position
    )


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
    if not _is_plain_limit(order):  # the usual order is right everywhere, and not asked about what it does not have
        check_shape(order)
        _check_product(order, instrument)
    if instrument.status is InstrumentStatus.HALTED or instrument.status is InstrumentStatus.CANCEL_ONLY:
        raise FilterRefused(
            "SYMBOL_STATUS", "symbol", instrument.status_text, f"means {instrument.symbol} takes no orders now"
        )
    for rule in (*instrument.filters, *exchange_filters):
        _CHECKS[type(rule)](rule, order, instrument, reference_price, open_counts)


def _check_product(order: PlaceOrder, instrument: Instrument) -> None:
    """What spot does not have, and what an inverse contract needs."""
    net = order.position_side is PositionSide.NET
    if instrument.product is Product.SPOT and not (
        net and not order.reduce_only and not order.close_position and order.contracts is None
    ):
        side = None if net else order.position_side.value
        told = {
            "reduce_only": order.reduce_only or None,
            "position_side": side,
            "close_position": order.close_position or None,
            "contracts": order.contracts,
        }
        for name, value in told.items():
            if value is not None:
                problem = f"belongs to contracts, and {instrument.symbol} is spot"
                raise FilterRefused("ORDER_SHAPE", name, value, problem)
    if instrument.product is Product.INVERSE and order.quantity is not None and order.price is None:
        raise FilterRefused(
            "ORDER_SHAPE",
            "quantity",
            order.quantity,
            f"is base units, which are worth contracts of {instrument.symbol} at a price only; give contracts",
        )


EVERY_AMEND = frozenset({"quantity down", "quantity up", "price"})


def check_amend(
    amend: AmendOrder,
    order: PlaceOrder,
    instrument: Instrument,
    current: Order | None = None,
    amends: frozenset[str] = EVERY_AMEND,
) -> None:
    """Whether the venue's rules admit a new quantity or price of an order that rests already.

    Args:
        order: as it was placed. current: what is known of it now; None takes it as it was placed.
        amends: what the venue can change, as of `OrderRules.amends`.

    Raises:
        FilterRefused: the first rule that is broken.
        Unsupported: the venue cannot change that of an open order.
    """
    unit = "quantity" if order.contracts is None else "contracts"
    before = _before(order, current)
    for name, value in (("quantity", amend.quantity), ("price", amend.price)):
        if value is not None and not SMALLEST <= value <= LARGEST:
            raise FilterRefused("ORDER_SHAPE", name, str(value), "is not a positive number in range")
    if amend.quantity is not None:
        if before is None:
            raise FilterRefused("ORDER_SHAPE", "quantity", amend.quantity, "does not go with an order that has none")
        if amend.quantity != before:
            _require_amend("quantity down" if amend.quantity < before else "quantity up", amends, instrument)
    price = order.price if current is None or current.price is None else current.price
    if amend.price is not None:
        if order.price is None:
            raise FilterRefused("ORDER_SHAPE", "price", amend.price, f"does not belong to a {order.type.value} order")
        if amend.price != price:
            _require_amend("price", amends, instrument)
        price = amend.price
    quantity = before if amend.quantity is None else amend.quantity
    for rule in instrument.filters:
        if isinstance(rule, PriceFilter) and amend.price is not None:
            _in_range_and_on_grid("PRICE_FILTER", "price", amend.price, rule.minimum, rule.maximum, rule.tick)
        elif isinstance(rule, AmountFilter) and not rule.market_only and amend.quantity is not None:
            _on_grid("LOT_SIZE", "quantity", amend.quantity, unit, price, rule, instrument)
        elif isinstance(rule, NotionalFilter) and price is not None and quantity is not None:
            _notional(_binding(rule, order), quantity, unit, price, instrument, "quantity")


def _before(order: PlaceOrder, current: Order | None) -> Decimal | None:
    """The whole quantity an order has now, in what it was placed in; None where that is not known."""
    if order.contracts is not None:
        return (current is not None and current.contracts) or order.contracts
    return (current is not None and current.quantity) or order.quantity


def _require_amend(change: str, amends: frozenset[str], instrument: Instrument) -> None:
    if change not in amends:
        can = ", ".join(sorted(amends)) or "nothing"
        raise Unsupported(
            f"{instrument.venue} cannot change that of an open order ({change}); it can change: {can}. Nothing was sent; "
            "cancel the order and place another."
        )


def _reduces(order: PlaceOrder) -> bool:
    """Whether an order can only make a position smaller."""
    if order.reduce_only or order.close_position:
        return True
    return (order.position_side, order.side) in ((PositionSide.LONG, Side.SELL), (PositionSide.SHORT, Side.BUY))


def _binding(rule: NotionalFilter, order: PlaceOrder) -> NotionalFilter:
    if rule.reduce_only_exempt and _reduces(order):
        return structs.replace(rule, minimum=None)
    return rule


def _on_grid(
    filter: str,
    field: str,
    value: Decimal,
    unit: str,
    price: Decimal | None,
    rule: AmountFilter,
    instrument: Instrument,
) -> None:
    """Compare an amount with a rule of the venue's count, and name the nearest in what it was given in.

    Args:
        unit: what `value` is in: "quantity" for base units, or "contracts".
    """
    if unit == "contracts" or (instrument.contract_size == 1 and instrument.product is not Product.INVERSE):
        _in_range_and_on_grid(filter, field, value, rule.minimum, rule.maximum, rule.step)
        return
    if price is None and instrument.product is Product.INVERSE:
        return
    contracts = contracts_for(instrument, value, price)
    try:
        _in_range_and_on_grid(filter, field, contracts, rule.minimum, rule.maximum, rule.step)
    except FilterRefused as refused:
        nearest = tuple(base_units(instrument, each, price or ZERO) for each in refused.nearest)
        at = f" at {price:f}" if instrument.product is Product.INVERSE else ""
        raise FilterRefused(
            filter, field, value, f"is {contracts.normalize():f} contracts{at}, which {refused.problem}", nearest
        ) from None


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
    unit = "quantity" if order.contracts is None else "contracts"
    for part, amount in ((unit, getattr(order, unit)), ("iceberg_quantity", order.iceberg_quantity)):
        if amount is not None:
            _on_grid(name, part, amount, unit, order.price, rule, instrument)
    if order.quote_quantity is None or reference is None:
        return
    # The venue chooses the quantity on the grid by itself; only the range can be broken, at about the reference price.
    quantity = average(order.quote_quantity, reference)
    if instrument.contract_size != 1 or instrument.product is Product.INVERSE:
        return  # a sum of contracts: the venue knows how many
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
    rule = _binding(rule, order)
    unit = "quantity" if order.contracts is None else "contracts"
    quantity = getattr(order, unit)
    if order.price is not None:
        assert quantity is not None
        _notional(rule, quantity, unit, order.price, instrument)
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
    elif quantity is not None and reference is not None:
        _notional(bound, quantity, unit, reference, instrument)


def _notional(
    rule: NotionalFilter, quantity: Decimal, unit: str, price: Decimal, instrument: Instrument, field: str | None = None
) -> None:
    """`quantity` is of `unit`: "quantity" for base units, or "contracts"; `field` is what the order calls it."""
    field, step = field or unit, instrument.quantity_step
    contracts = quantity if unit == "contracts" else contracts_for(instrument, quantity, price)
    value = notional(instrument, contracts, price)
    one = notional(instrument, Decimal(1), price)  # what a contract is worth

    def given(contracts: Decimal) -> Decimal:
        return contracts if unit == "contracts" else base_units(instrument, contracts, price)

    says = f"at {price:f} is worth {value:f} {instrument.symbol.quote}"
    if rule.minimum is not None and value < rule.minimum:
        least = given(_least(rule.minimum, one, step))
        raise FilterRefused("NOTIONAL", field, quantity, f"{says}, below the minimum {rule.minimum:f}", (least,))
    if rule.maximum is not None and value > rule.maximum:
        most = given(quantity_for(rule.maximum, one, step))
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
        whole = order.quantity if order.contracts is None else order.contracts
        if order.iceberg_quantity is not None and whole is not None:
            _iceberg_parts(rule, whole, order.iceberg_quantity, instrument)
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
