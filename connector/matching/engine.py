"""Match orders by price, then by time of arrival, on one instrument.

Prices and quantities are plain integers (ticks and lots): the engine only compares, adds and subtracts them, so nothing is
ever rounded here. It decides who trades with whom, at which price (the resting order's), and what every change does to the
book, and it numbers orders, trades and book changes. It never reads a clock, draws a random number, locks or sends: the
caller runs it on one thread and stamps what comes out. The same calls give the same outcomes, always.

Orders of one owner can be kept from trading with each other (`StpMode`; the taker's mode decides), and an order may show
only a part of itself (`display`): when the shown part has traded, the next part queues behind the others at its price.

Every change of one price level carries its own update id, counted up by one without holes. After any single change the book
is uncrossed, so the book "at update id n" is well defined for every n.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections.abc import Iterator

import msgspec

__all__ = [
    "Fill",
    "LevelChange",
    "MatchingEngine",
    "Order",
    "OrderStatus",
    "Outcome",
    "Prevented",
    "Side",
    "StpMode",
    "TimeInForce",
]


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
    """Where an order stands. All but NEW and PARTIALLY_FILLED are final; EXPIRED ones and CANCELED may carry fills."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    REJECTED = "REJECTED"


class StpMode(enum.Enum):
    """Who gives way when an order meets another one of its owner; DECREMENT takes the smaller quantity off both."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"


class Order:
    """One order as the engine holds it; only the engine writes to it.

    `price` is None for a market order. `owner` tells whose orders must not meet ("" is nobody's), `client_id` is the caller's.
    `display` is how much of it is shown at a time (0: all), `visible` what is shown now, `prevented` what was taken off it
    instead of trading with its owner.
    """

    __slots__ = (
        "client_id",
        "display",
        "order_id",
        "owner",
        "prevented",
        "price",
        "quantity",
        "remaining",
        "side",
        "status",
        "visible",
    )

    def __init__(
        self,
        order_id: int,
        side: Side,
        price: int | None,
        quantity: int,
        owner: str = "",
        client_id: str = "",
        display: int = 0,
    ) -> None:
        self.order_id, self.side, self.price, self.quantity = order_id, side, price, quantity
        self.remaining = self.visible = quantity
        self.owner, self.client_id, self.display = owner, client_id, display
        self.prevented = 0
        self.status = OrderStatus.NEW

    @property
    def filled(self) -> int:
        """Lots traded so far."""
        return self.quantity - self.remaining - self.prevented

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


class Prevented(msgspec.Struct, frozen=True, gc=False):
    """Two orders of one owner met and did not trade `quantity` lots at `price`. It came after so many fills of its outcome."""

    price: int
    quantity: int
    maker_order_id: int
    taker_order_id: int
    maker_expired: bool
    taker_expired: bool
    after_fills: int


class Outcome(msgspec.Struct, frozen=True):
    """Everything one call did: the order as it now stands, its trades in order, the book's changes in order."""

    order: Order
    fills: list[Fill]
    changes: list[LevelChange]
    prevented: list[Prevented] = []


class _Level:
    """Orders resting at one price, oldest first, the sum of what they show, and of what they do not."""

    __slots__ = ("hidden", "orders", "total")

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.total = self.hidden = 0


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
        self.parts = 1
        """Into how many trades a match is cut in which an owner takes part; for callers that test how fills are counted."""

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
        stp: StpMode = StpMode.NONE,
        display: int = 0,
    ) -> Outcome:
        """Take one order: trade what crosses, then rest or expire the remainder.

        Args:
            side: buy or sell.
            quantity: lots, at least 1.
            price: ticks, at least 1; None makes it a market order, whose remainder always expires.
            tif: what happens to the remainder of a limit order.
            post_only: refuse (status REJECTED, nothing happens) instead of taking liquidity.
            owner: whose order it is; "" for somebody of whom nothing else is known.
            client_id: kept on the order for the caller.
            stp: what happens when it meets an order of the same owner.
            display: lots shown at a time while it rests; 0 shows all.

        Raises:
            ValueError: quantity or price below 1, or a market order that asks to rest; the book is untouched.
        """
        if quantity < 1 or (price is not None and price < 1):
            raise ValueError(f"an order needs at least one lot and one tick, got quantity={quantity} price={price}")
        if price is None and post_only:
            raise ValueError("a market order cannot be post-only: it never rests")
        order = Order(self._next_order_id, side, price, quantity, owner, client_id, display)
        self._next_order_id += 1
        fills: list[Fill] = []
        changes: list[LevelChange] = []
        prevented: list[Prevented] = []
        avoided = "" if stp is StpMode.NONE else owner
        if post_only and self.crosses(side, price):
            order.status = OrderStatus.REJECTED
        elif tif is TimeInForce.FOK and price is not None and self.available(side, price, avoided) < quantity:
            order.status = OrderStatus.EXPIRED
        else:
            self._take(order, stp, fills, changes, prevented)
            if order.status is OrderStatus.EXPIRED_IN_MATCH:
                pass
            elif order.remaining == 0:
                order.status = OrderStatus.FILLED
            elif price is None or tif is not TimeInForce.GTC:
                order.status = OrderStatus.EXPIRED
            else:
                self._rest(order, price, changes)
        return Outcome(order, fills, changes, prevented)

    def cancel(self, order_id: int) -> Outcome | None:
        """Take an open order off the book; None when no open order has that id."""
        order = self._open.get(order_id)
        if order is None or order.price is None:
            return None
        left = self._leave(order, order.price)
        order.status = OrderStatus.CANCELED
        return Outcome(order, [], [self._change(order.side, order.price, left)])

    def reduce(self, order_id: int, quantity: int) -> Outcome | None:
        """Make an open order smaller without losing its place: `quantity` is its new whole size, traded lots included.

        Returns None when no open order has that id.

        Raises:
            ValueError: the new size is not below the old one, or not above what has traded; cancel it instead.
        """
        order = self._open.get(order_id)
        if order is None or order.price is None:
            return None
        cut = order.quantity - quantity
        if not 0 < cut < order.remaining:
            raise ValueError(
                f"order {order_id} of {order.quantity} lots with {order.remaining} left cannot become {quantity} lots"
            )
        level = (self._bids if order.side is Side.BUY else self._asks).levels[order.price]
        unseen = min(cut, order.remaining - order.visible)
        order.quantity = quantity
        order.remaining -= cut
        order.visible -= cut - unseen
        level.hidden -= unseen
        level.total -= cut - unseen
        return Outcome(order, [], [self._change(order.side, order.price, level.total)])

    def hit(self, order_id: int, quantity: int | None = None) -> Outcome | None:
        """Let somebody trade with one open order, out of turn: so many lots of it, or all. None when it is not open."""
        maker = self._open.get(order_id)
        if maker is None or maker.price is None:
            return None
        lots = maker.remaining if quantity is None else min(quantity, maker.remaining)
        taker = Order(self._next_order_id, Side.SELL if maker.side is Side.BUY else Side.BUY, maker.price, lots)
        self._next_order_id += 1
        fills: list[Fill] = []
        side = self._bids if maker.side is Side.BUY else self._asks
        level = side.levels[maker.price]
        while taker.remaining:
            self._trade(taker, maker, level, fills)
        if not level.orders:
            side.remove(maker.price)
        taker.status = OrderStatus.FILLED
        return Outcome(taker, fills, [self._change(maker.side, maker.price, level.total)])

    def number_trade(self) -> int:
        """Take a trade's number for one that happens outside the book."""
        self._next_trade_id += 1
        return self._next_trade_id - 1

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

    def crosses(self, side: Side, price: int | None) -> bool:
        """Whether an order at that price (None: market) would trade at once."""
        best = self.best_ask if side is Side.BUY else self.best_bid
        if best is None:
            return False
        return price is None or (best <= price if side is Side.BUY else best >= price)

    def available(self, side: Side, price: int | None, avoided: str = "") -> int:
        """Lots that an order at that price could trade at once, hidden ones included, those of owner `avoided` left out."""
        return sum(lots for _, lots in self._reachable(side, price, avoided))

    def cost(self, side: Side, lots: int, avoided: str = "") -> tuple[int, int]:
        """(lots, ticks times lots) that a market order of that size would trade now."""
        traded = quote = 0
        for price, offered in self._reachable(side, None, avoided):
            part = min(lots - traded, offered)
            traded += part
            quote += part * price
            if traded == lots:
                break
        return traded, quote

    def lots_for(self, side: Side, quote: int, avoided: str = "") -> int:
        """Lots that a market order can trade now for at most that many ticks times lots."""
        traded = 0
        for price, offered in self._reachable(side, None, avoided):
            part = min(quote // price, offered)
            traded += part
            quote -= part * price
            if part < offered:
                break
        return traded

    def __repr__(self) -> str:
        return f"<MatchingEngine bid={self.best_bid} ask={self.best_ask} open={len(self._open)} u={self.update_id}>"

    def _reachable(self, side: Side, price: int | None, avoided: str) -> Iterator[tuple[int, int]]:
        buying = side is Side.BUY
        against = self._asks if buying else self._bids
        for at in against.prices if buying else reversed(against.prices):
            if price is not None and (at > price if buying else at < price):
                return
            level = against.levels[at]
            lots = level.total + level.hidden
            if avoided:
                lots -= sum(order.remaining for order in level.orders.values() if order.owner == avoided)
            yield at, lots

    def _take(
        self,
        order: Order,
        stp: StpMode,
        fills: list[Fill],
        changes: list[LevelChange],
        prevented: list[Prevented],
    ) -> None:
        buying = order.side is Side.BUY
        against, maker_side = (self._asks, Side.SELL) if buying else (self._bids, Side.BUY)
        while order.remaining and against.prices and order.status is OrderStatus.NEW:
            price = against.prices[0 if buying else -1]
            if order.price is not None and (price > order.price if buying else price < order.price):
                return
            level = against.levels[price]
            while order.remaining and level.orders and order.status is OrderStatus.NEW:
                maker = next(iter(level.orders.values()))
                if order.owner and maker.owner == order.owner and stp is not StpMode.NONE:
                    prevented.append(self._prevent(order, maker, level, stp, len(fills)))
                else:
                    self._trade(order, maker, level, fills)
            if not level.orders:
                against.remove(price)
            changes.append(self._change(maker_side, price, level.total))

    def _trade(self, taker: Order, maker: Order, level: _Level, fills: list[Fill]) -> None:
        """Let two orders trade what the maker shows; a used-up part of an iceberg is followed by the next, last in line."""
        assert maker.price is not None
        lots = min(taker.remaining, maker.visible)
        parts = min(self.parts, lots) if taker.owner or maker.owner else 1
        for part in range(parts):
            size = lots * (part + 1) // parts - lots * part // parts
            fills.append(Fill(self._next_trade_id, maker.price, size, maker.order_id, taker.order_id, taker.side))
            self._next_trade_id += 1
        taker.remaining -= lots
        self._shrink(maker, lots, level)
        maker.status = OrderStatus.PARTIALLY_FILLED if maker.remaining else OrderStatus.FILLED

    def _shrink(self, maker: Order, lots: int, level: _Level) -> None:
        maker.remaining -= lots
        maker.visible -= lots
        level.total -= lots
        if maker.remaining == 0:
            del level.orders[maker.order_id], self._open[maker.order_id]
        elif maker.visible == 0:
            maker.visible = min(maker.display, maker.remaining)
            level.total += maker.visible
            level.hidden -= maker.visible
            level.orders[maker.order_id] = level.orders.pop(maker.order_id)

    def _prevent(self, taker: Order, maker: Order, level: _Level, stp: StpMode, after_fills: int) -> Prevented:
        """Keep two orders of one owner apart. Whoever gives way is final; DECREMENT leaves the larger one."""
        assert maker.price is not None
        if stp is StpMode.DECREMENT:
            lots = min(taker.remaining, maker.visible)
            taker.remaining -= lots
            taker.prevented += lots
            maker.prevented += lots
            self._shrink(maker, lots, level)
            maker_ends, taker_ends = maker.remaining == 0, taker.remaining == 0
        else:
            maker_ends, taker_ends = stp is not StpMode.EXPIRE_TAKER, stp is not StpMode.EXPIRE_MAKER
            lots = min(taker.remaining, maker.remaining)
            if maker_ends:
                level.total -= maker.visible
                level.hidden -= maker.remaining - maker.visible
                del level.orders[maker.order_id], self._open[maker.order_id]
        if maker_ends:
            maker.status = OrderStatus.EXPIRED_IN_MATCH
        if taker_ends:
            taker.status = OrderStatus.EXPIRED_IN_MATCH
        return Prevented(maker.price, lots, maker.order_id, taker.order_id, maker_ends, taker_ends, after_fills)

    def _leave(self, order: Order, price: int) -> int:
        """Take an order off the book; what its level still shows."""
        side = self._bids if order.side is Side.BUY else self._asks
        level = side.levels[price]
        del level.orders[order.order_id], self._open[order.order_id]
        level.total -= order.visible
        level.hidden -= order.remaining - order.visible
        if not level.orders:
            side.remove(price)
        return level.total

    def _rest(self, order: Order, price: int, changes: list[LevelChange]) -> None:
        side = self._bids if order.side is Side.BUY else self._asks
        level = side.levels.get(price)
        if level is None:
            level = side.levels[price] = _Level()
            insort(side.prices, price)
        order.visible = min(order.display, order.remaining) if order.display else order.remaining
        level.orders[order.order_id] = order
        level.total += order.visible
        level.hidden += order.remaining - order.visible
        self._open[order.order_id] = order
        if order.filled:
            order.status = OrderStatus.PARTIALLY_FILLED
        changes.append(self._change(order.side, price, level.total))

    def _change(self, side: Side, price: int, quantity: int) -> LevelChange:
        self.update_id += 1
        return LevelChange(self.update_id, side, price, quantity)
