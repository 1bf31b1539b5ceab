"""Whether an engine's order may be sent: hooks, asked in order, each a pure function of the command and a view of the account.

A hook returns None to let an order pass and raises `RiskRefused` to stop it. Anything else it raises stops the order too, and
so does a number it needs and nobody knows: risk fails closed. Cancels are never asked about; an amend is. This module never
waits: that a hook may take 100 ms and no more is enforced by the order actor, which runs it.

A hook of your own is a function, or an object with a `name`:

    def no_market_orders(command, view):
        if isinstance(command, PlaceOrder) and command.type is OrderType.MARKET:
            raise RiskRefused("no_market_orders", "market orders are not allowed at night")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from connector.domain.account import Balance, FundingPayment, PositionSide
from connector.domain.commands import AmendOrder, Command, PlaceBatch, PlaceOrder, PlaceOrderList
from connector.domain.contracts import base_units, notional, ordered_base_units
from connector.domain.instruments import Instrument
from connector.domain.market import Side
from connector.domain.orders import Fill, Order
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_S
from connector.errors import Rejected
from connector.orders.lifecycle import IntentRecord, new_record
from connector.orders.rounding import ZERO, average, product, total

__all__ = [
    "DailyLoss",
    "DayTotals",
    "KillSwitch",
    "MaxOrderSize",
    "MaxOrderValue",
    "OrderRate",
    "PositionLimit",
    "PriceCollar",
    "RiskHook",
    "RiskRefused",
    "RiskView",
    "SymbolAllowList",
    "day_results",
    "evaluate",
    "hook_name",
]


class RiskRefused(Rejected):
    """A risk hook stopped the order; nothing was sent.

    Attributes:
        hook: the hook's name. reason: why, and what would pass.
    """

    def __init__(self, hook: str, reason: str) -> None:
        self.hook, self.reason = hook, reason
        super().__init__(f"Risk hook {hook} stopped the order: {reason}. Nothing was sent.")


@dataclass(frozen=True, slots=True)
class RiskView:
    """What hooks are shown of an account. A value: no hook can change or hold up anything through it.

    Attributes:
        time_ns: our clock now.
        killed: the kill switch is on.
        prices: a fresh reference price per symbol (mid, or last trade); a stale one is left out.
        open_orders: ours that are not final, unknown ones included, by client id.
        balances: by asset. None: not known yet.
        positions: base units held per symbol, negative when short, both sides of a hedge added up; one that is not named is 0.
            Of inverse contracts at the price they were entered at. None: not known yet.
        day_results: profit and loss since 00:00 UTC per quote asset on spot, per settle asset of contracts, see `DayTotals`.
            None: not known.
        instruments: by symbol, for what contracts are worth; empty before the first list.
        placed_ns: when our latest orders were sent, by our clock, oldest first; as far back as the longest `OrderRate.window_s`.
    """

    time_ns: int = 0
    killed: bool = False
    prices: Mapping[Symbol, Decimal] = field(default_factory=dict)
    open_orders: Mapping[str, Order] = field(default_factory=dict)
    balances: Mapping[str, Balance] | None = None
    positions: Mapping[Symbol, Decimal] | None = None
    day_results: Mapping[str, Decimal] | None = None
    placed_ns: Sequence[int] = ()
    instruments: Mapping[Symbol, Instrument] = field(default_factory=dict)

    def plus(self, order: Order, sent_ns: int) -> RiskView:
        """The view after one more order was sent: for orders the account's view does not show yet, and within a batch."""
        if order.client_id in self.open_orders:
            return self
        return replace(
            self, open_orders={**self.open_orders, order.client_id: order}, placed_ns=(*self.placed_ns, sent_ns)
        )


class RiskHook(Protocol):
    """Called with every order and amend before it is journalled. Must be quick, and must not keep or change anything.

    Raises:
        RiskRefused: the order is not sent. Any other exception stops it as well.
    """

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None: ...


def evaluate(hooks: Iterable[RiskHook], command: Command, view: RiskView) -> None:
    """Ask every hook, in order, about every order of a command; the first refusal ends it. Cancels always pass.

    Raises:
        RiskRefused: with the hook's name; from whatever the hook raised.
    """
    if isinstance(command, PlaceOrder | AmendOrder):
        for hook in hooks:
            _ask(hook, command, view)
        return
    if not isinstance(command, PlaceBatch | PlaceOrderList):
        return  # cancels, and settings of positions
    hooks = tuple(hooks)
    for number, order in enumerate(command.orders):
        evaluate(hooks, order, view)
        view = view.plus(_imagined(order, number, view), view.time_ns)


def _ask(hook: RiskHook, command: PlaceOrder | AmendOrder, view: RiskView) -> None:
    name = hook_name(hook)
    try:
        answer: object = hook(command, view)  # type: ignore[func-returns-value]  # a user's hook may return anything
    except RiskRefused:
        raise
    except Exception as failure:
        raise RiskRefused(
            name, f"it failed with {type(failure).__name__}, and a hook that fails lets nothing pass"
        ) from failure
    if answer is not None:
        raise RiskRefused(name, f"it returned a {type(answer).__name__}; a hook returns None or raises RiskRefused")


def hook_name(hook: RiskHook) -> str:
    """`hook.name`, else the function's or class's name."""
    name = getattr(hook, "name", None) or getattr(hook, "__name__", None)
    return str(name or type(hook).__name__)


def _imagined(order: PlaceOrder, number: int, view: RiskView) -> Order:
    """An order of a batch as the next one's hooks see it."""
    client_id = order.client_id or f"#{number}"
    intent = IntentRecord.of(
        order,
        venue="",
        client_id=client_id,
        at_ns=view.time_ns,
        recv_window_ms=0,
        base_quantity=_base_units_of(order, view),
    )
    return new_record(intent).order


# ---------------------------------------------------------------- what hooks reckon with


def _price_of(command: PlaceOrder, view: RiskView) -> Decimal | None:
    if command.price is not None:
        return command.price
    reference = view.prices.get(command.symbol)
    if command.stop_price is None or reference is None:
        return command.stop_price or reference
    return max(command.stop_price, reference)


def _base_units_of(command: PlaceOrder, view: RiskView) -> Decimal | None:
    """None when it cannot be known: no instrument, or no price of an inverse contract."""
    instrument = view.instruments.get(command.symbol)
    if command.quantity is not None or instrument is None:
        return command.quantity
    return ordered_base_units(command, instrument, view.prices.get(command.symbol))


def _quantity_of(command: PlaceOrder | AmendOrder, view: RiskView, hook: str) -> Decimal:
    """Base units; those of a market order by quote quantity at the reference price, those of contracts at the order's price."""
    if isinstance(command, AmendOrder):
        return _amended_quantity(command, view, hook)
    if command.contracts is not None:
        found = _base_units_of(command, view)
        if found is None:
            raise RiskRefused(hook, f"what {command.contracts} contracts of {command.symbol} come to is not known")
        return found
    if command.quantity is not None:
        return command.quantity
    price = view.prices.get(command.symbol)
    if command.quote_quantity is None or not price:
        raise RiskRefused(hook, f"there is no fresh price of {command.symbol} to reckon its quantity with")
    return average(command.quote_quantity, price)


def _amended_quantity(command: AmendOrder, view: RiskView, hook: str) -> Decimal:
    """Base units of an order after an amend, whose quantity is in what the order was placed in."""
    order = view.open_orders.get(command.client_id)
    if command.quantity is not None and (order is None or not order.in_contracts):
        return command.quantity
    if order is None:
        raise RiskRefused(hook, f"order {command.client_id} is not known as open")
    if command.quantity is None:
        return order.quantity
    instrument = view.instruments.get(command.symbol)
    price = command.price or order.price or view.prices.get(command.symbol)
    if instrument is None or (price is None and instrument.product is Product.INVERSE):
        raise RiskRefused(hook, f"what {command.quantity} contracts of {command.symbol} come to is not known")
    return base_units(instrument, command.quantity, price or Decimal(1))


def _left(order: Order, view: RiskView, hook: str) -> Decimal:
    """Base units an open order may still fill; of contracts nobody has told a price of, at the price now."""
    if order.quantity or not order.contracts:
        return total((order.quantity, -order.filled))
    instrument, price = view.instruments.get(order.symbol), order.price or view.prices.get(order.symbol)
    if instrument is None or price is None:
        raise RiskRefused(hook, f"what the {order.contracts} contracts of order {order.client_id} come to is not known")
    return base_units(instrument, total((order.contracts, -(order.filled_contracts or ZERO))), price)


def _is_inverse(instrument: Instrument | None) -> bool:
    return instrument is not None and instrument.product is Product.INVERSE


def _closes_all(command: PlaceOrder | AmendOrder) -> bool:
    return isinstance(command, PlaceOrder) and command.close_position


def _only_reduces(order: PlaceOrder | Order) -> bool:
    """Whether an order can only make a position smaller, whatever its quantity."""
    if order.reduce_only or (isinstance(order, PlaceOrder) and order.close_position):
        return True
    return (order.position_side, order.side) in ((PositionSide.LONG, Side.SELL), (PositionSide.SHORT, Side.BUY))


def _price_of_amend(command: AmendOrder, view: RiskView, hook: str) -> Decimal:
    if command.price is not None:
        return command.price
    order = view.open_orders.get(command.client_id)
    price = order.price if order is not None and order.price is not None else view.prices.get(command.symbol)
    if price is None:
        raise RiskRefused(hook, f"order {command.client_id} is not known, nor is a fresh price of {command.symbol}")
    return price


def day_results(
    fills: Iterable[Fill],
    prices: Mapping[Symbol, Decimal],
    day_start_ns: int,
    funding: Iterable[FundingPayment] = (),
) -> dict[str, Decimal] | None:
    """Profit and loss of the day's trading: per quote asset on spot, per settle asset of contracts.

    Spot: proceeds less costs and fees, what is left valued at `prices`. What was held before the day is not valued: only its
    trades are. Contracts: the profit each fill realized, as the venue tells it, less fees, and the funding paid and received;
    what is open is not valued. Where the venue does not tell what a fill realized, its trades are valued as on spot: bought and
    sold at their prices, what is left at the price now.

    Returns None when a price is missing that is needed to value what the day's trades left over, or a fee in a third asset.
    """
    totals = DayTotals(day_start_ns)
    for fill in fills:
        totals.add(fill)
    for payment in funding:
        totals.add_funding(payment)
    return totals.results(prices)


class DayTotals:
    """One day's fills and funding added up, so that `results` costs as much as there are symbols; see `day_results`.

    Args:
        start_ns: 00:00 UTC of the day; what was earlier is left out.
    """

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self._cash: dict[str, Decimal] = {}  # by quote or settle asset
        self._left: dict[Symbol, Decimal] = {}  # base units; of inverse contracts quote units
        self._fees: dict[tuple[str | None, str], Decimal] = {}  # in another asset: (that, the one results are in)

    def add(self, fill: Fill) -> None:
        """Count one fill; the caller sees to it that it is counted once."""
        if fill.event_time_ns < self.start_ns:
            return
        symbol, sign = fill.symbol, 1 if fill.side is Side.BUY else -1
        asset = symbol.settle or symbol.quote
        worth = product(fill.price, fill.quantity)
        if fill.realized is not None and symbol.settle is not None:
            cash, left = fill.realized, ZERO
        elif symbol.product is Product.INVERSE:  # so many quote units, bought and sold for base units
            cash, left = sign * fill.quantity, -sign * worth
        else:
            cash, left = -sign * worth, sign * fill.quantity
        if fill.fee_asset == asset:
            cash = total((cash, -fill.fee))
        elif fill.fee_asset == symbol.base and symbol.product is Product.SPOT:
            left = total((left, -fill.fee))
        elif fill.fee:
            self._add_to(self._fees, (fill.fee_asset, asset), fill.fee)
        self._add_to(self._cash, asset, cash)
        self._add_to(self._left, symbol, left)

    def add_funding(self, payment: FundingPayment) -> None:
        """Count one payment, once, as `add`."""
        if payment.event_time_ns >= self.start_ns:
            self._add_to(self._cash, payment.asset, payment.amount)

    @staticmethod
    def _add_to(sums: dict[Any, Decimal], key: Any, amount: Decimal) -> None:
        sums[key] = total((sums.get(key, ZERO), amount))

    def results(self, prices: Mapping[Symbol, Decimal]) -> dict[str, Decimal] | None:
        """Profit and loss per asset; None when a price is missing that is needed."""
        results = dict(self._cash)
        for (asset, into), fee in self._fees.items():
            price = None if asset is None else prices.get(Symbol(asset, into))
            if price is None:
                return None
            self._add_to(results, into, -product(fee, price))
        for symbol, left in self._left.items():
            if not left:
                continue
            price = prices.get(symbol)
            if not price:
                return None
            worth = average(left, price) if symbol.product is Product.INVERSE else product(left, price)
            self._add_to(results, symbol.settle or symbol.quote, worth)
        return results


# ---------------------------------------------------------------- built in


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """Stops everything while `view.killed`. The order actor always asks it first."""

    name: str = "kill_switch"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        if view.killed:
            raise RiskRefused(self.name, "the kill switch is on; release it to trade again")


@dataclass(frozen=True, slots=True)
class SymbolAllowList:
    """Only these symbols are traded."""

    symbols: frozenset[Symbol]
    name: str = "symbol_allow_list"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        if command.symbol not in self.symbols:
            allowed = ", ".join(sorted(map(str, self.symbols))) or "none"
            raise RiskRefused(self.name, f"{command.symbol} is not allowed; allowed are: {allowed}")


@dataclass(frozen=True, slots=True)
class MaxOrderSize:
    """At most so many base units in one order, per symbol. A symbol without a limit is stopped.

    An order that closes whatever the position is then has no size of its own, and passes.
    """

    limits: Mapping[Symbol, Decimal]
    name: str = "max_order_size"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        limit = self.limits.get(command.symbol)
        if limit is None:
            raise RiskRefused(self.name, f"{command.symbol} has no limit; set one to trade it")
        if _closes_all(command):
            return
        quantity = _quantity_of(command, view, self.name)
        if quantity > limit:
            raise RiskRefused(self.name, f"{quantity} {command.symbol.base} is more than {limit} in one order")


@dataclass(frozen=True, slots=True)
class MaxOrderValue:
    """At most so much in one order, per quote asset. An asset without a limit is stopped.

    Market orders are valued at the reference price, stop orders at the higher of it and the stop price; inverse contracts at
    what they are in the quote asset. An order that closes whatever the position is then has no size of its own, and passes.
    """

    limits: Mapping[str, Decimal]
    name: str = "max_order_value"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        quote = command.symbol.quote
        limit = self.limits.get(quote)
        if limit is None:
            raise RiskRefused(self.name, f"{quote} has no limit; set one to trade {command.symbol}")
        if _closes_all(command):
            return
        instrument = view.instruments.get(command.symbol)
        if isinstance(command, PlaceOrder) and command.quote_quantity is not None:
            value = command.quote_quantity
        elif isinstance(command, PlaceOrder) and command.contracts is not None and _is_inverse(instrument):
            assert instrument is not None
            value = notional(instrument, command.contracts, Decimal(1))  # whatever the price
        else:
            price = (
                _price_of(command, view)
                if isinstance(command, PlaceOrder)
                else _price_of_amend(command, view, self.name)
            )
            if price is None:
                raise RiskRefused(self.name, f"there is no fresh price of {command.symbol} to value the order at")
            value = product(price, _quantity_of(command, view, self.name))
        if value > limit:
            raise RiskRefused(self.name, f"{value} {quote} is more than {limit} in one order")


@dataclass(frozen=True, slots=True)
class PositionLimit:
    """At most so many base units held, long or short, per symbol, were every open order filled. Without a limit: stopped.

    An order that only makes the position smaller always passes, and is not counted among the open ones: reduce-only ones, those
    that close a position, and in hedge mode sells of the long side and buys of the short one.
    """

    limits: Mapping[Symbol, Decimal]
    name: str = "position_limit"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        symbol = command.symbol
        limit = self.limits.get(symbol)
        if limit is None:
            raise RiskRefused(self.name, f"{symbol} has no limit; set one to trade it")
        if view.positions is None:
            raise RiskRefused(self.name, "positions are not known yet; they are being asked for")
        amended = view.open_orders.get(command.client_id) if isinstance(command, AmendOrder) else None
        if isinstance(command, AmendOrder) and amended is None:
            raise RiskRefused(self.name, f"order {command.client_id} is not known as open")
        judged = command if isinstance(command, PlaceOrder) else amended
        if judged is not None and _only_reduces(judged):
            return
        side = command.side if isinstance(command, PlaceOrder) else amended.side if amended else Side.BUY
        held = view.positions.get(symbol, ZERO)
        waiting = total(
            _left(order, view, self.name)
            for order in view.open_orders.values()
            if order.symbol == symbol and order.side is side and order is not amended and not _only_reduces(order)
        )
        more = total((_quantity_of(command, view, self.name), -amended.filled if amended else ZERO))
        reached = total((held if side is Side.BUY else -held, waiting, more))
        if reached > limit:
            would = "long" if side is Side.BUY else "short"
            raise RiskRefused(
                self.name,
                f"holding {held} {symbol.base} with {waiting} more in open orders, {more} could lead to {reached} {would}, "
                f"more than {limit}",
            )


@dataclass(frozen=True, slots=True)
class DailyLoss:
    """Stops new orders once the day's loss reached so much, per quote asset, of contracts per settle asset; no limit: stopped.

    What counts as loss is in `day_results`. Orders that can only make a position smaller pass.
    """

    limits: Mapping[str, Decimal]
    name: str = "daily_loss"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        if isinstance(command, PlaceOrder) and _only_reduces(command):
            return
        quote = command.symbol.settle or command.symbol.quote
        limit = self.limits.get(quote)
        if limit is None:
            raise RiskRefused(self.name, f"{quote} has no limit; set one to trade {command.symbol}")
        if view.day_results is None:
            raise RiskRefused(self.name, "the day's result is not known; it needs the day's fills and fresh prices")
        loss = -view.day_results.get(quote, ZERO)
        if loss >= limit:
            raise RiskRefused(self.name, f"{loss} {quote} was lost since 00:00 UTC, the limit is {limit}")


@dataclass(frozen=True, slots=True)
class OrderRate:
    """At most `limit` orders in any `window_s` seconds."""

    limit: int
    window_s: float
    name: str = "order_rate"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        since_ns = view.time_ns - int(self.window_s * NS_PER_S)
        sent = sum(1 for at_ns in view.placed_ns if at_ns > since_ns)
        if sent >= self.limit:
            raise RiskRefused(
                self.name, f"{sent} orders were sent within {self.window_s:g} s, the limit is {self.limit}"
            )


@dataclass(frozen=True, slots=True)
class PriceCollar:
    """Prices and stop prices lie within a share of the reference price, e.g. Decimal("0.05") for 5 %; market orders have none."""

    share: Decimal
    name: str = "price_collar"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        stop_price = command.stop_price if isinstance(command, PlaceOrder) else None
        if command.price is None and stop_price is None:
            return
        reference = view.prices.get(command.symbol)
        if reference is None:
            raise RiskRefused(self.name, f"there is no fresh price of {command.symbol} to compare with")
        low, high = product(reference, 1 - self.share), product(reference, 1 + self.share)
        for price in (command.price, stop_price):
            if price is not None and not low <= price <= high:
                raise RiskRefused(self.name, f"{price} is not within {low} … {high}, {self.share:%} around {reference}")
