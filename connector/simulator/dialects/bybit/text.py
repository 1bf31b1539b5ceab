"""Print numbers and ids as this venue does: plain decimals with as many places as a step has, ids as digits or UUIDs.

Pure. Ids are derived from the market's own numbers, so that the same run always prints the same ids; what was printed can be
read back. Source: the venue's V5 documents, examples of every product, read 2026-11.
"""

from __future__ import annotations

import hashlib

from connector.simulator.instruments import SCALE, Listing

__all__ = ["Ids", "Numbers", "fixed", "fraction", "places", "plain"]

_SPOT_ORDERS, _SPOT_TRADES = 1_900_000_000_000_000_000, 2_100_000_000_000_000_000


def places(step_e8: int) -> int:
    """How many decimal places a step has."""
    count = 8
    while count and step_e8 % 10 == 0:
        step_e8 //= 10
        count -= 1
    return count


def fixed(units_e8: int, count: int) -> str:
    """Units of 1e-8 with so many decimal places; what lies beyond is cut off."""
    sign, units = ("-", -units_e8) if units_e8 < 0 else ("", units_e8)
    if not count:
        return f"{sign}{units // SCALE}"
    return f"{sign}{units // SCALE}.{units % SCALE // 10 ** (8 - count):0{count}d}"


def plain(units_e8: int) -> str:
    """Units of 1e-8 without trailing zeros."""
    return fixed(units_e8, places(units_e8)) if units_e8 else "0"


def fraction(part: int, whole: int, count: int = 4) -> str:
    """A quotient with so many decimal places, rounded half up; "0" when nothing is divided."""
    if not part or not whole:
        return "0"
    sign = "-" if (part < 0) != (whole < 0) else ""
    part, whole = abs(part), abs(whole)
    scaled = (2 * part * 10**count + whole) // (2 * whole)
    return f"{sign}{scaled // 10**count}.{scaled % 10**count:0{count}d}" if scaled else "0"


class Numbers:
    """Prices and sizes of one market as text, each made once."""

    def __init__(self, listing: Listing) -> None:
        self._tick, self._step = listing.tick_e8, listing.step_e8
        self.price_places, self.size_places = places(listing.tick_e8), places(listing.step_e8)
        self._prices: dict[int, str] = {}
        self._sizes: dict[int, str] = {}

    def price(self, ticks: int) -> str:
        """A price in ticks."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) > 50_000:
                self._prices.clear()
            text = self._prices[ticks] = fixed(ticks * self._tick, self.price_places)
        return text

    def size(self, lots: int) -> str:
        """A quantity in lots; nothing at all is "0", as in a book."""
        text = self._sizes.get(lots)
        if text is None:
            if len(self._sizes) > 50_000:
                self._sizes.clear()
            text = self._sizes[lots] = fixed(lots * self._step, self.size_places) if lots else "0"
        return text

    def price_e8(self, units_e8: int) -> str:
        """A price in 1e-8, with the places of the tick."""
        return fixed(units_e8, self.price_places)


class Ids:
    """Order and execution ids of one product, there and back."""

    def __init__(self, category: str) -> None:
        self._digits = category == "spot"
        self._category = category
        self._indexes: dict[str, int] = {}
        self._orders: dict[str, tuple[str, int]] = {}

    def order(self, symbol: str, order_id: int) -> str:
        """The id of an order."""
        if self._digits:
            index = self._indexes.setdefault(symbol, len(self._indexes))
            text = str(_SPOT_ORDERS + order_id * 10_000 + index)
        else:
            text = self._uuid("order", symbol, order_id)
        self._orders[text] = (symbol, order_id)
        return text

    def find(self, text: str) -> tuple[str, int] | None:
        """(symbol, number) of an order whose id was given out."""
        return self._orders.get(text)

    def execution(self, symbol: str, trade_id: int) -> str:
        """The id of a trade, the same for both sides."""
        return str(_SPOT_TRADES + trade_id) if self._digits else self._uuid("trade", symbol, trade_id)

    def _uuid(self, kind: str, symbol: str, number: int) -> str:
        text = hashlib.blake2b(f"{self._category}:{kind}:{symbol}:{number}".encode(), digest_size=16).hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-b{text[17:20]}-{text[20:]}"
