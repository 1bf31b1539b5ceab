"""The levels of one order book, exact, and made into numbers only when somebody looks.

A level stays what the wire wrote, a pair of texts, until it is read; the same exact `Decimal`s are then made, once, and kept.
What has to be known at once, the order of prices, is kept in whole numbers: a price is so many units of 1e-18, which is exact
for every price of up to 18 places. Each spelling of a price in an update is worked out once and remembered, so an update of a
known price costs two dict lookups and a store, a new or removed one a binary search and a short move of memory. Best prices are
the ends of the lists.

A snapshot cut at its limit says nothing about what lies beyond its last level. A book made from one keeps to the range it covers:
levels outside are ignored, so every level handed out is known, and none between two of them is missing.

Quantities are absolute, zero removes. A price that is no number is refused as it comes, a quantity that is none when it is read:
either way the book is not to be trusted any more, and whoever owns it drops it. No thread, no lock, no sequence numbers here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import cast

from connector.domain.market import BookDelta, Level, OrderBook, RawLevel
from connector.errors import WireFormatError

__all__ = ["Book", "exact"]

_PLACES = 18
_SPELLINGS = 4
"""Remembered spellings for each level there is, at most; more are of prices long gone, and are forgotten together."""
_FEWEST = 10_000
_LOWEST, _HIGHEST = -1, 1 << 200
_SMALLEST, _LARGEST = Decimal("1e-24"), Decimal("1e24")


def _key_of(price: str | Decimal) -> int:
    """A price in units of 1e-18.

    Raises:
        WireFormatError: it is no positive number, or has more than 18 places.
    """
    if isinstance(price, str):
        whole, _, part = price.partition(".")
        if price.isascii() and whole.isdecimal() and (part.isdecimal() or not part) and len(part) <= _PLACES:
            key = int(whole + part.ljust(_PLACES, "0"))
            if 0 < key < _HIGHEST:
                return key
    elif isinstance(price, Decimal) and price.is_finite() and _SMALLEST <= price <= _LARGEST:
        scaled = price.scaleb(_PLACES)
        key = int(scaled)
        if key == scaled:
            return key
    raise WireFormatError("book level", f"expected a price above 0 of at most {_PLACES} places, got {price!s:.60}")


def _made(level: RawLevel) -> Level:
    """A level as numbers.

    Raises:
        WireFormatError: one of the two is none, or out of range.
    """
    try:
        price, quantity = Decimal(level[0]), Decimal(level[1])
        if _SMALLEST <= price <= _LARGEST and _SMALLEST <= quantity <= _LARGEST:
            return price, quantity
    except (ArithmeticError, ValueError, TypeError):
        pass
    raise WireFormatError("book level", f"expected a price and a quantity above 0, got {level!r:.90}")


def _is_zero(quantity: str | Decimal) -> bool:
    """
    Raises:
        WireFormatError: it is no number.
    """
    if isinstance(quantity, str):
        if not quantity:
            raise WireFormatError("book level", "a quantity is empty")
        return not quantity.strip("0.")
    if not quantity.is_finite() or quantity.is_signed():
        raise WireFormatError("book level", f"expected a quantity of 0 or more, got {quantity}")
    return not quantity


def exact(levels: Iterable[RawLevel]) -> tuple[Level, ...]:
    """Levels of a delta as numbers, in their order, zero quantities included.

    Raises:
        WireFormatError: a book would refuse one of them, as it comes or when it is read.
    """
    try:
        return tuple(_exact(price, quantity) for price, quantity in levels)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as malformed:
        raise WireFormatError("book level", f"not a pair of texts: {malformed}") from malformed


def _exact(price: str | Decimal, quantity: str | Decimal) -> Level:
    _key_of(price)
    if _is_zero(quantity):
        return Decimal(price), Decimal(0)
    return _made((Decimal(price), Decimal(quantity)))


class _Side:
    """The bids or the asks: `levels` by key, and the keys sorted."""

    __slots__ = ("keys", "levels", "spelt")

    def __init__(self, levels: Iterable[RawLevel]) -> None:
        self.spelt: dict[str | Decimal, int] = {}
        self.levels: dict[int, RawLevel] = {}
        for level in levels:
            key = _key_of(level[0])  # not remembered: most levels of a snapshot never change
            if _is_zero(level[1]):
                self.levels.pop(key, None)
            else:
                _made(level)
                self.levels[key] = level
        self.keys = sorted(self.levels)

    def learn(self, price: str | Decimal) -> int:
        """The key of a price not met in this spelling before."""
        if len(self.spelt) > max(_FEWEST, _SPELLINGS * len(self.levels)):
            self.spelt = {level[0]: key for key, level in self.levels.items()}
        key = self.spelt[price] = _key_of(price)
        return key

    def remove(self, key: int) -> None:
        if self.levels.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def read(self, key: int) -> Level:
        """A level as numbers, which are kept."""
        level = self.levels[key]
        if type(level) is not tuple or type(level[0]) is str:
            level = self.levels[key] = _made(level)
        return cast(Level, level)


class Book:
    """Both sides of one book.

    Args:
        bids, asks: (price, quantity), in any order, as text or as `Decimal`s; zero quantities are left out.
        limit: levels a side that were asked for. A side that has as many may have been cut there; None: nothing was cut.

    Raises:
        WireFormatError: a price or quantity is not a finite number, or negative.
    """

    __slots__ = ("_asks", "_bids", "_ceiling", "_floor")

    def __init__(self, bids: Iterable[RawLevel] = (), asks: Iterable[RawLevel] = (), limit: int | None = None) -> None:
        self._bids, self._asks = _Side(bids), _Side(asks)
        cut = limit if limit is not None else 1 << 62
        self._floor = self._bids.keys[0] if len(self._bids.keys) >= cut else _LOWEST
        self._ceiling = self._asks.keys[-1] if len(self._asks.keys) >= cut else _HIGHEST

    @classmethod
    def from_snapshot(cls, snapshot: OrderBook, limit: int | None = None) -> Book:
        return cls(snapshot.bids, snapshot.asks, limit)

    def apply(self, delta: BookDelta) -> None:
        """Store the delta's levels.

        Raises:
            WireFormatError: one of them is malformed. Those before it are stored: the book is not to be used any more.
        """
        try:
            self._apply(self._bids, delta.bids, self._floor, _HIGHEST)
            self._apply(self._asks, delta.asks, _LOWEST, self._ceiling)
        except (AttributeError, IndexError, TypeError, ValueError) as malformed:
            raise WireFormatError("book level", f"not a pair of texts: {malformed}") from malformed

    @staticmethod
    def _apply(side: _Side, changes: Sequence[RawLevel], least: int, most: int) -> None:
        # The hot loop of the library: almost every level is of a known price and only stored.
        spelt, levels = side.spelt, side.levels
        for change in changes:
            price, quantity = change
            try:
                key = spelt[price]
            except KeyError:
                key = side.learn(price)
                spelt = side.spelt
            # A text that ends neither in 0 nor in a point is no zero; the rest is looked at.
            if (type(quantity) is not str or quantity[-1] in "0.") and _is_zero(quantity):
                side.remove(key)
            elif key in levels:
                levels[key] = change
            elif least <= key <= most:
                side.keys.insert(bisect_left(side.keys, key), key)
                levels[key] = change

    @property
    def best_bid(self) -> Level | None:
        return self._bids.read(self._bids.keys[-1]) if self._bids.keys else None

    @property
    def best_ask(self) -> Level | None:
        return self._asks.read(self._asks.keys[0]) if self._asks.keys else None

    @property
    def is_crossed(self) -> bool:
        """The best bid is at or above the best ask."""
        return bool(self._bids.keys and self._asks.keys) and self._bids.keys[-1] >= self._asks.keys[0]

    @property
    def is_empty(self) -> bool:
        """There is no level on either side."""
        return not self._bids.keys and not self._asks.keys

    @property
    def bid_is_cut(self) -> bool:
        """The venue may have bids below the last one here."""
        return self._floor != _LOWEST

    @property
    def ask_is_cut(self) -> bool:
        """The venue may have asks above the last one here."""
        return self._ceiling != _HIGHEST

    @property
    def reach(self) -> tuple[int, int]:
        """The lowest bid and the highest ask that are kept, in units of 1e-18; to be given to `confine` of a copy."""
        return self._floor, self._ceiling

    def confine(self, reach: tuple[int, int]) -> None:
        """Keep to the range of the book that the levels were copied from."""
        self._floor, self._ceiling = reach

    def depth(self) -> tuple[int, int]:
        """Levels of bids and asks."""
        return len(self._bids.keys), len(self._asks.keys)

    def bids(self, n: int | None = None) -> tuple[Level, ...]:
        """The best `n` bids, best first; all when None."""
        side = self._bids
        keys = side.keys if n is None else side.keys[-n:] if n > 0 else []
        return tuple([side.read(key) for key in reversed(keys)])

    def asks(self, n: int | None = None) -> tuple[Level, ...]:
        """The best `n` asks, best first; all when None."""
        side = self._asks
        keys = side.keys if n is None else side.keys[:n] if n > 0 else []
        return tuple([side.read(key) for key in keys])

    def levels(self, n: int | None = None) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """The best `n` bids and asks, best first; all when None."""
        return self.bids(n), self.asks(n)

    def __repr__(self) -> str:
        bid, ask = self.best_bid, self.best_ask
        best = f"{bid[0] if bid else '-'}/{ask[0] if ask else '-'}"
        return f"<Levels {best} {len(self._bids.keys)}x{len(self._asks.keys)}>"
