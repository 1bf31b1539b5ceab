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
from typing import Protocol

from connector.domain.account import Balance
from connector.domain.commands import AmendOrder, Command, PlaceBatch, PlaceOrder, PlaceOrderList
from connector.domain.market import Side
from connector.domain.orders import Fill, Order
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_S
from connector.errors import Rejected
from connector.orders.lifecycle import IntentRecord, new_record
from connector.orders.rounding import ZERO, average, product, total

__all__ = [
    "DailyLoss",
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
        positions: base units held per symbol, negative when short; one that is not named is 0. None: not known yet.
        day_results: profit and loss since 00:00 UTC per quote asset, see `day_results`. None: not known.
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
    if not isinstance(command, PlaceOrder | AmendOrder | PlaceBatch | PlaceOrderList):
        return
    if isinstance(command, PlaceOrder | AmendOrder):
        for hook in hooks:
            _ask(hook, command, view)
        return
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
    intent = IntentRecord.of(order, venue="", client_id=client_id, at_ns=view.time_ns, recv_window_ms=0)
    return new_record(intent).order


# ---------------------------------------------------------------- what hooks reckon with


def _price_of(command: PlaceOrder, view: RiskView) -> Decimal | None:
    if command.price is not None:
        return command.price
    reference = view.prices.get(command.symbol)
    if command.stop_price is None or reference is None:
        return command.stop_price or reference
    return max(command.stop_price, reference)


def _quantity_of(command: PlaceOrder | AmendOrder, view: RiskView, hook: str) -> Decimal:
    """Base units; those of a market order by quote quantity at the reference price."""
    if command.quantity is not None:
        return command.quantity
    assert isinstance(command, PlaceOrder)
    price = view.prices.get(command.symbol)
    if command.quote_quantity is None or not price:
        raise RiskRefused(hook, f"there is no fresh price of {command.symbol} to reckon its quantity with")
    return average(command.quote_quantity, price)


def _price_of_amend(command: AmendOrder, view: RiskView, hook: str) -> Decimal:
    order = view.open_orders.get(command.client_id)
    price = order.price if order is not None and order.price is not None else view.prices.get(command.symbol)
    if price is None:
        raise RiskRefused(hook, f"order {command.client_id} is not known, nor is a fresh price of {command.symbol}")
    return price


def day_results(
    fills: Iterable[Fill], prices: Mapping[Symbol, Decimal], day_start_ns: int
) -> dict[str, Decimal] | None:
    """Profit and loss of the day's trading per quote asset: proceeds less costs and fees, what is left valued at `prices`.

    What was held before the day is not valued: only its trades are. Returns None when a price is missing that is needed to value
    what the day's trades left over, or a fee in a third asset.
    """
    results: dict[str, Decimal] = {}
    left: dict[Symbol, Decimal] = {}
    for fill in fills:
        if fill.event_time_ns < day_start_ns:
            continue
        sign = 1 if fill.side is Side.BUY else -1
        symbol, quote = fill.symbol, fill.symbol.quote
        cash, base = -sign * product(fill.price, fill.quantity), sign * fill.quantity
        if fill.fee_asset == quote:
            cash = total((cash, -fill.fee))
        elif fill.fee_asset == symbol.base:
            base = total((base, -fill.fee))
        elif fill.fee:
            price = None if fill.fee_asset is None else prices.get(Symbol(fill.fee_asset, quote))
            if price is None:
                return None
            cash = total((cash, -product(fill.fee, price)))
        results[quote] = total((results.get(quote, ZERO), cash))
        left[symbol] = total((left.get(symbol, ZERO), base))
    for symbol, base in left.items():
        if base:
            if symbol not in prices:
                return None
            results[symbol.quote] = total((results[symbol.quote], product(base, prices[symbol])))
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
    """At most so many base units in one order, per symbol. A symbol without a limit is stopped."""

    limits: Mapping[Symbol, Decimal]
    name: str = "max_order_size"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        limit = self.limits.get(command.symbol)
        if limit is None:
            raise RiskRefused(self.name, f"{command.symbol} has no limit; set one to trade it")
        quantity = _quantity_of(command, view, self.name)
        if quantity > limit:
            raise RiskRefused(self.name, f"{quantity} {command.symbol.base} is more than {limit} in one order")


@dataclass(frozen=True, slots=True)
class MaxOrderValue:
    """At most so much in one order, per quote asset. An asset without a limit is stopped.

    Market orders are valued at the reference price, stop orders at the higher of it and the stop price.
    """

    limits: Mapping[str, Decimal]
    name: str = "max_order_value"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        quote = command.symbol.quote
        limit = self.limits.get(quote)
        if limit is None:
            raise RiskRefused(self.name, f"{quote} has no limit; set one to trade {command.symbol}")
        if isinstance(command, PlaceOrder) and command.quote_quantity is not None:
            value = command.quote_quantity
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

    An order that only makes the position smaller always passes.
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
        side = command.side if isinstance(command, PlaceOrder) else amended.side if amended else Side.BUY
        held = view.positions.get(symbol, ZERO)
        waiting = total(
            total((order.quantity, -order.filled))
            for order in view.open_orders.values()
            if order.symbol == symbol and order.side is side and order is not amended
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
    """Stops new orders once the day's loss reached so much, per quote asset; an asset without a limit is stopped."""

    limits: Mapping[str, Decimal]
    name: str = "daily_loss"

    def __call__(self, command: PlaceOrder | AmendOrder, view: RiskView, /) -> None:
        quote = command.symbol.quote
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
        if isinstance(command, AmendOrder) or (command.price is None and command.stop_price is None):
            return
        reference = view.prices.get(command.symbol)
        if reference is None:
            raise RiskRefused(self.name, f"there is no fresh price of {command.symbol} to compare with")
        low, high = product(reference, 1 - self.share), product(reference, 1 + self.share)
        for price in (command.price, command.stop_price):
            if price is not None and not low <= price <= high:
                raise RiskRefused(self.name, f"{price} is not within {low} … {high}, {self.share:%} around {reference}")
