"""The best bid and the best offer over several books, with sizes, each with its venue.

Two books of different venues may well be crossed or locked: that is told, and neither side is hidden or moved. With fees,
prices are what a taker gets or pays in the end, and the best venue may be another. Pure: the tops come in, a value goes out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from connector.aggregate.sources import Source, Terms
from connector.domain.market import Level

__all__ = ["BestSide", "Meeting", "Top", "VenueLevel", "best_of", "meeting_of"]


class VenueLevel(msgspec.Struct, frozen=True):
    """One level of one venue's book.

    Attributes:
        price: in the common quote asset, fees included where they were asked for.
        quantity: in base units.
        venue_price: as it stands at the venue, in the symbol's own quote asset.
    """

    price: Decimal
    quantity: Decimal
    source: Source
    venue_price: Decimal

    @property
    def venue(self) -> str:
        return self.source.venue


class BestSide(msgspec.Struct, frozen=True):
    """The best price of one side.

    Attributes:
        quantity: base units at that price, of all venues together.
        levels: whose they are, in the order the sources were named; never empty.
    """

    price: Decimal
    quantity: Decimal
    levels: tuple[VenueLevel, ...]


class Meeting(enum.Enum):
    """How the two sides stand. CROSSED: somebody bids more than another asks. LOCKED: the same. With fees, the sides are what
    a taker gets and pays, so CROSSED means that buying here and selling there leaves something."""

    OPEN = "open"
    LOCKED = "locked"
    CROSSED = "crossed"
    ONE_SIDED = "one_sided"
    EMPTY = "empty"


class Top(msgspec.Struct, frozen=True):
    """The top of one source's book, and on which terms it compares."""

    source: Source
    terms: Terms
    bid: Level | None
    ask: Level | None

    def best_bid(self) -> VenueLevel | None:
        return None if self.bid is None else bid_level(self.source, self.terms, self.bid)

    def best_ask(self) -> VenueLevel | None:
        return None if self.ask is None else ask_level(self.source, self.terms, self.ask)


def bid_level(source: Source, terms: Terms, level: Level) -> VenueLevel:
    return VenueLevel(terms.bid(level[0]), level[1], source, level[0])


def ask_level(source: Source, terms: Terms, level: Level) -> VenueLevel:
    return VenueLevel(terms.ask(level[0]), level[1], source, level[0])


def best_of(tops: Iterable[Top]) -> tuple[BestSide | None, BestSide | None]:
    """Best bid and best ask; None where nobody has that side."""
    chosen = tuple(tops)
    return _highest([top.best_bid() for top in chosen]), _lowest([top.best_ask() for top in chosen])


def _highest(levels: list[VenueLevel | None]) -> BestSide | None:
    there = [level for level in levels if level is not None]
    return _side(there, max(level.price for level in there)) if there else None


def _lowest(levels: list[VenueLevel | None]) -> BestSide | None:
    there = [level for level in levels if level is not None]
    return _side(there, min(level.price for level in there)) if there else None


def _side(levels: list[VenueLevel], price: Decimal) -> BestSide:
    at = tuple(level for level in levels if level.price == price)
    return BestSide(price, sum((level.quantity for level in at), Decimal(0)), at)


def meeting_of(bid: BestSide | None, ask: BestSide | None) -> Meeting:
    """How a best bid and a best ask stand to each other."""
    if bid is None or ask is None:
        return Meeting.EMPTY if bid is ask else Meeting.ONE_SIDED
    if bid.price == ask.price:
        return Meeting.LOCKED
    return Meeting.CROSSED if bid.price > ask.price else Meeting.OPEN
