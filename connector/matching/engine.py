"""Match orders by price, then by time of arrival, on one instrument.

Prices and quantities are plain integers (ticks and lots): the engine only compares, adds and subtracts them, so nothing is
ever rounded here. It decides who trades with whom, at which price (the resting order's), and what every change does to the
book, and it numbers orders, trades and book changes. It never reads a clock, draws a random number, locks or sends: the
caller runs it on one thread and stamps what comes out. The same calls give the same outcomes, always.

Every change of one price level carries its own update id, counted up by one without holes. After any single change the book
is uncrossed, so the book "at update id n" is well defined for every n.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort

import msgspec

__all__ = ["Fill", "LevelChange", "MatchingEngine", "Order", "OrderStatus", "Outcome", "Side", "TimeInForce"]


class Side(enum.Enum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"


class TimeInForce(enum.Enum):
    """What happens to the part that cannot trade at once: rest (GTC), expire (IOC), or expire as a whole (FOK)."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(enum.Enum):
    """Where an order stands. FILLED, CANCELED, EXPIRED and REJECTED are final; EXPIRED may carry fills."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


class Order:
    """One order as the engine holds it; only the engine writes to it.

    `price` is None for a market order. `owner` and `client_id` are the caller's and mean nothing to the engine.
    """

    __slots__ = ("client_id", "owner", "price", "quantity", "remaining", "side", "status", "order_id")  # noqa: RUF023

    def __init__(
        self, order_id: int, side: Side, price: int | None, quantity: int, owner: str = "", client_id: str = ""
    ) -> None:
        self.order_id, self.side, self.price, self.quantity = order_id, side, price, quantity
        self.remaining = quantity
        self.owner, self.client_id = owner, client_id
        self.status = OrderStatus.NEW

    @property
    def filled(self) -> int:
        """Lots traded so far."""
        return self.quantity - self.remaining

    def __repr__(self) -> str:
        at = "market" if self.price is None else f"@{self.price}"
        return f"<Order {self.order_id} {self.side.value} {self.filled}/{self.quantity} {at} {self.status.value}>"


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One trade: `quantity` lots at the resting order's price."""

    trade_id: int
    price: int
    quantity: int
    maker_order_id: int
    taker_order_id: int
    taker_side: Side


class LevelChange(msgspec.Struct, frozen=True, gc=False):
    """What is left on one price level after one change; quantity 0 means the level is gone."""

    update_id: int
    side: Side
    price: int
    quantity: int


class Outcome(msgspec.Struct, frozen=True):
    """Everything one call did: the order as it now stands, its trades in order, the book's changes in order."""

    order: Order
    fills: list[Fill]
    changes: list[LevelChange]


class _Level:
    """Orders resting at one price, oldest first, and their sum."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.total = 0


class _BookSide:
    """One side of the book: levels by price and the prices in ascending order."""

    __slots__ = ("levels", "prices")

    def __init__(self) -> None:
        self.levels: dict[int, _Level] = {}
        self.prices: list[int] = []

    def remove(self, price: int) -> None:
        del self.levels[price]
        del self.prices[bisect_left(self.prices, price)]


class MatchingEngine:
    """The book of one instrument and the rule who trades next. Not thread-safe: one owner calls it."""

    def __init__(self, first_order_id: int = 1, first_trade_id: int = 1, first_update_id: int = 1) -> None:
        self._next_order_id = first_order_id
        self._next_trade_id = first_trade_id
        self.update_id = first_update_id - 1
        """Id of the last change of the book; `first_update_id - 1` before the first."""
        self._bids, self._asks = _BookSide(), _BookSide()
        self._open: dict[int, Order] = {}

    def submit(
        self,
        side: Side,
        quantity: int,
        price: int | None = None,
        *,
        tif: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        owner: str = "",
        client_id: str = "",
    ) -> Outcome:
        """Take one order: trade what crosses, then rest or expire the remainder.

        Args:
            side: buy or sell.
            quantity: lots, at least 1.
            price: ticks, at least 1; None makes it a market order, whose remainder always expires.
            tif: what happens to the remainder of a limit order.
            post_only: refuse (status REJECTED, nothing happens) instead of taking liquidity.
            owner: kept on the order for the caller.
            client_id: kept on the order for the caller.

        Raises:
            ValueError: quantity or price below 1, or a market order that asks to rest; the book is untouched.
        """
        if quantity < 1 or (price is not None and price < 1):
            raise ValueError(f"an order needs at least one lot and one tick, got quantity={quantity} price={price}")
        if price is None and post_only:
            raise ValueError("a market order cannot be post-only: it never rests")
        order = Order(self._next_order_id, side, price, quantity, owner, client_id)
        self._next_order_id += 1
        fills: list[Fill] = []
        changes: list[LevelChange] = []
        if post_only and self._crosses(side, price):
            order.status = OrderStatus.REJECTED
        elif price is not None and tif is TimeInForce.FOK and self._available(side, price) < quantity:
            order.status = OrderStatus.EXPIRED
        else:
            self._take(order, fills, changes)
            if order.remaining == 0:
                order.status = OrderStatus.FILLED
            elif price is None or tif is not TimeInForce.GTC:
                order.status = OrderStatus.EXPIRED
            else:
                self._rest(order, price, changes)
        return Outcome(order, fills, changes)

    def cancel(self, order_id: int) -> Outcome | None:
        """Take an open order off the book; None when no open order has that id."""
        order = self._open.pop(order_id, None)
        if order is None or order.price is None:
            return None
        side = self._bids if order.side is Side.BUY else self._asks
        level = side.levels[order.price]
        del level.orders[order_id]
        level.total -= order.remaining
        if not level.orders:
            side.remove(order.price)
        order.status = OrderStatus.CANCELED
        return Outcome(order, [], [self._change(order.side, order.price, level.total)])

    def order(self, order_id: int) -> Order | None:
        """The open order with that id, if any."""
        return self._open.get(order_id)

    @property
    def open_orders(self) -> list[Order]:
        """All resting orders, oldest first."""
        return list(self._open.values())

    @property
    def best_bid(self) -> int | None:
        """Highest price somebody bids, in ticks."""
        return self._bids.prices[-1] if self._bids.prices else None

    @property
    def best_ask(self) -> int | None:
        """Lowest price somebody asks, in ticks."""
        return self._asks.prices[0] if self._asks.prices else None

    def bids(self, limit: int | None = None) -> list[tuple[int, int]]:
        """(price, total quantity) per level, best first."""
        prices, levels = self._bids.prices, self._bids.levels
        chosen = prices[::-1] if limit is None else prices[: -limit - 1 : -1]
        return [(price, levels[price].total) for price in chosen]

    def asks(self, limit: int | None = None) -> list[tuple[int, int]]:
        """(price, total quantity) per level, best first."""
        levels = self._asks.levels
        return [(price, levels[price].total) for price in self._asks.prices[:limit]]

    def quantity_at(self, side: Side, price: int) -> int:
        """Lots resting at that price on that side; 0 when the level does not exist."""
        level = (self._bids if side is Side.BUY else self._asks).levels.get(price)
        return level.total if level is not None else 0

    def __repr__(self) -> str:
        return f"<MatchingEngine bid={self.best_bid} ask={self.best_ask} open={len(self._open)} u={self.update_id}>"

    def _crosses(self, side: Side, price: int | None) -> bool:
        best = self.best_ask if side is Side.BUY else self.best_bid
        if best is None:
            return False
        return price is None or (best <= price if side is Side.BUY else best >= price)

    def _available(self, side: Side, price: int) -> int:
        if side is Side.BUY:
            reachable = [p for p in self._asks.prices if p <= price]
            return sum(self._asks.levels[p].total for p in reachable)
        reachable = [p for p in self._bids.prices if p >= price]
        return sum(self._bids.levels[p].total for p in reachable)

    def _take(self, order: Order, fills: list[Fill], changes: list[LevelChange]) -> None:
        buying = order.side is Side.BUY
        against, maker_side = (self._asks, Side.SELL) if buying else (self._bids, Side.BUY)
        while order.remaining and against.prices:
            price = against.prices[0 if buying else -1]
            if order.price is not None and (price > order.price if buying else price < order.price):
                return
            level = against.levels[price]
            while order.remaining and level.orders:
                maker = next(iter(level.orders.values()))
                quantity = min(order.remaining, maker.remaining)
                fills.append(Fill(self._next_trade_id, price, quantity, maker.order_id, order.order_id, order.side))
                self._next_trade_id += 1
                order.remaining -= quantity
                maker.remaining -= quantity
                level.total -= quantity
                if maker.remaining == 0:
                    maker.status = OrderStatus.FILLED
                    del level.orders[maker.order_id], self._open[maker.order_id]
                else:
                    maker.status = OrderStatus.PARTIALLY_FILLED
            if not level.orders:
                against.remove(price)
            changes.append(self._change(maker_side, price, level.total))

    def _rest(self, order: Order, price: int, changes: list[LevelChange]) -> None:
        side = self._bids if order.side is Side.BUY else self._asks
        level = side.levels.get(price)
        if level is None:
            level = side.levels[price] = _Level()
            insort(side.prices, price)
        level.orders[order.order_id] = order
        level.total += order.remaining
        self._open[order.order_id] = order
        if order.filled:
            order.status = OrderStatus.PARTIALLY_FILLED
        changes.append(self._change(order.side, price, level.total))

    def _change(self, side: Side, price: int, quantity: int) -> LevelChange:
        self.update_id += 1
        return LevelChange(self.update_id, side, price, quantity)
