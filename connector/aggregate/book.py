"""One book over several: who is in it, on which terms, and what its top is. Who may be wrong is out of it in the same call.

`Consolidation` is told after each change of a source's book what its top is, or that it may be wrong, and answers with what
is to be told: a source came in, a source left and why, the new top. A source is in while its own book is VALID and the rate
of its quote asset is known. Whole books are merged by `merged`, from copies the caller takes of the books that are in.

Levels keep their venue and are never added up across venues, nor hidden where venues cross. It waits for nothing, locks
nothing and reads no clock; all methods belong to one thread at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from heapq import merge
from itertools import islice
from operator import attrgetter

import msgspec

from connector.aggregate.quotes import BestSide, Meeting, Top, VenueLevel, ask_level, best_of, bid_level, meeting_of
from connector.aggregate.sources import (
    ONE,
    Rate,
    Source,
    Terms,
    checked_rates,
    checked_sources,
    rate_of_book,
)
from connector.domain.market import Level, OrderBook
from connector.domain.symbols import Symbol
from connector.errors import ConnectorBug, InvalidRequest

__all__ = [
    "BookEvent",
    "ConsolidatedBook",
    "ConsolidatedQuote",
    "Consolidation",
    "SourceJoined",
    "SourceLeft",
    "SourceStatus",
    "merged",
]

Key = tuple[str, Symbol]
_PRICE = attrgetter("price")


class SourceStatus(msgspec.Struct, frozen=True):
    """How one source stands.

    Attributes:
        is_in: its levels are in the book.
        update_id: the venue's last update that was seen; None while it is out.
        received_ns: our clock, when the bytes of that update came; None while it is out.
        reason: why it is out, in words; "" while it is in.
    """

    source: Source
    is_in: bool
    update_id: int | None
    received_ns: int | None
    reason: str


class SourceJoined(msgspec.Struct, frozen=True):
    """A source's book is in from now on."""

    source: Source
    at_ns: int


class SourceLeft(msgspec.Struct, frozen=True):
    """A source's book is out from now on: it may be wrong. It comes back with its next valid state."""

    source: Source
    reason: str
    at_ns: int


class ConsolidatedQuote(msgspec.Struct, frozen=True):
    """The top over all sources that are in, after a change of one of them.

    Attributes:
        base, quote: of all prices and quantities in it.
        best_bid, best_ask: None while nobody has that side.
        meeting: how the two stand to each other.
        sources: how many are in.
        changed: whose change it follows; None when it was asked for.
        received_ns: our clock, when the bytes of the newest change in it came.
        with_fees: prices are what a taker gets and pays.
    """

    base: str
    quote: str
    best_bid: BestSide | None
    best_ask: BestSide | None
    meeting: Meeting
    sources: int
    changed: Source | None
    received_ns: int
    with_fees: bool = False


class ConsolidatedBook(msgspec.Struct, frozen=True):
    """A copy of the levels of every source that is in, best first; equal prices in the order the sources were named.

    Attributes:
        sources: every source, and whether it is in this copy.
        with_fees: prices are what a taker gets and pays.
    """

    base: str
    quote: str
    bids: tuple[VenueLevel, ...]
    asks: tuple[VenueLevel, ...]
    sources: tuple[SourceStatus, ...]
    with_fees: bool = False

    @property
    def best_bid(self) -> VenueLevel | None:
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> VenueLevel | None:
        return self.asks[0] if self.asks else None


BookEvent = SourceJoined | SourceLeft | ConsolidatedQuote


def merged(
    books: Iterable[tuple[Source, Terms, OrderBook]], depth: int | None = None
) -> tuple[tuple[VenueLevel, ...], tuple[VenueLevel, ...]]:
    """The best `depth` bids and asks of several books, best first; all when None.

    With copies of at least `depth` levels a side each, the answer is that of the whole books.
    """
    chosen = tuple(books)
    bids = merge(*(_bids(*each) for each in chosen), key=_PRICE, reverse=True)
    asks = merge(*(_asks(*each) for each in chosen), key=_PRICE)
    return tuple(islice(bids, depth)), tuple(islice(asks, depth))


def _bids(source: Source, terms: Terms, book: OrderBook) -> Iterator[VenueLevel]:
    return (bid_level(source, terms, level) for level in book.bids)


def _asks(source: Source, terms: Terms, book: OrderBook) -> Iterator[VenueLevel]:
    return (ask_level(source, terms, level) for level in book.asks)


class _Side(msgspec.Struct):
    """What is known of one watched book."""

    reason: str
    is_valid: bool = False
    update_id: int | None = None
    received_ns: int | None = None
    bid: Level | None = None
    ask: Level | None = None


class Consolidation:
    """Who is in a consolidated book, and its top.

    Args:
        sources: of one base asset.
        quote: asset in which prices are compared; that of the sources when they have the same.
        rates: of every other quote asset in this one: a number, 1 to count them as equal, or the Source of a spot book.

    Attributes:
        watched: every book that must be followed, rate books included, each once.
        counts: how often what happened: updates, joined, left.

    Raises:
        InvalidRequest: the sources cannot be put side by side as they are.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        quote: str | None = None,
        rates: Mapping[str, Decimal | str | int | Source] | None = None,
    ) -> None:
        self.sources = checked_sources(sources)
        quotes = sorted({source.symbol.quote for source in self.sources})
        if quote is None and len(quotes) > 1:
            raise InvalidRequest(f"the sources are priced in {', '.join(quotes)}; say in which quote to compare them.")
        self.base, self.quote = self.sources[0].symbol.base, quote or quotes[0]
        self.rates = checked_rates(self.sources, self.quote, rates or {})
        self.counts: Counter[str] = Counter()
        self._sides: dict[Key, _Side] = {source.key: _Side("nothing came yet") for source in self.sources}
        for rate in self.rates.values():
            if isinstance(rate, Source):
                self._sides.setdefault(rate.key, _Side("nothing came yet"))
        self.watched: tuple[Key, ...] = tuple(self._sides)
        self._in: dict[Key, bool] = {source.key: False for source in self.sources}
        self._depends = {
            key: tuple(source for source in self.sources if key in (source.key, self._rate_key(source)))
            for key in self.watched
        }

    def _rate_key(self, source: Source) -> Key | None:
        rate = self.rates.get(source.symbol.quote)
        return rate.key if isinstance(rate, Source) else None

    # ---------------------------------------------------------------- what happens

    def on_book(self, key: Key, book: OrderBook) -> tuple[BookEvent, ...]:
        """A watched book is valid, and this is its top, or more of it."""
        side = self._side(key)
        self.counts["updates"] += 1
        side.is_valid, side.reason = True, ""
        side.update_id, side.received_ns = book.update_id, book.received_ns
        side.bid, side.ask = book.best_bid, book.best_ask
        return self._follow(key, book.received_ns)

    def on_lost(self, key: Key, reason: str, at_ns: int) -> tuple[BookEvent, ...]:
        """A watched book may be wrong from now on, for whatever reason."""
        side = self._side(key)
        was_valid, side.reason = side.is_valid, reason
        side.is_valid, side.update_id, side.received_ns, side.bid, side.ask = False, None, None, None, None
        return self._follow(key, at_ns) if was_valid else ()

    def _side(self, key: Key) -> _Side:
        side = self._sides.get(key)
        if side is None:
            raise ConnectorBug(f"{key[1]}.{key[0]} was told to a consolidated book that does not watch it")
        return side

    def _follow(self, key: Key, at_ns: int) -> tuple[BookEvent, ...]:
        """Who comes in, who leaves, and the top after it."""
        events: list[BookEvent] = []
        touched: Source | None = None
        for source in self._depends[key]:
            reason = self._why_out(source)
            was_in, self._in[source.key] = self._in[source.key], not reason
            if not reason and not was_in:
                self.counts["joined"] += 1
                events.append(SourceJoined(source, at_ns))
            elif reason and was_in:
                self.counts["left"] += 1
                events.append(SourceLeft(source, reason, at_ns))
            elif reason:
                continue
            touched = source if touched is None or source.key == key else touched
        if touched is not None:
            events.append(self.best(changed=touched, at_ns=at_ns))
        return tuple(events)

    def _why_out(self, source: Source) -> str:
        side = self._sides[source.key]
        if not side.is_valid:
            return side.reason
        asset = source.symbol.quote
        if asset == self.quote:
            return ""
        rate = self.rates[asset]
        if not isinstance(rate, Source):
            return ""
        told = self._sides[rate.key]
        if not told.is_valid:
            return f"the rate of {asset} in {self.quote} is not known: {rate}: {told.reason}"
        if told.bid is None or told.ask is None:
            return f"the rate of {asset} in {self.quote} is not known: {rate} has an empty side"
        return ""

    # ---------------------------------------------------------------- what is

    @property
    def included(self) -> int:
        """How many sources are in."""
        return sum(self._in.values())

    def is_in(self, source: Source) -> bool:
        return self._in[source.key]

    def dependents(self, key: Key) -> tuple[Source, ...]:
        """Whose prices change with a watched book: its own source's, or those of all that it tells the rate of."""
        return self._depends[key]

    def is_valid(self, key: Key) -> bool:
        """Whether a watched book was last told to be valid."""
        return self._side(key).is_valid

    def terms(self, source: Source, *, fees: bool = False, rate_book: OrderBook | None = None) -> Terms:
        """How a source that is in compares; `rate_book` is a newer copy of the book of its rate.

        Raises:
            InvalidRequest: fees are asked for, and its own is not stated.
        """
        if fees and source.taker_fee is None:
            raise InvalidRequest(f"the taker fee of {source} is not stated, and is not zero for that: give taker_fee.")
        return Terms(self._rate(source.symbol.quote, rate_book), source.taker_fee or Decimal(0) if fees else Decimal(0))

    def _rate(self, asset: str, book: OrderBook | None) -> Rate:
        if asset == self.quote:
            return ONE
        rate = self.rates[asset]
        if not isinstance(rate, Source):
            return ONE if rate == 1 else Rate(rate, rate)
        side = self._sides[rate.key]
        bid, ask = (side.bid, side.ask) if book is None else (book.best_bid, book.best_ask)
        if bid is None or ask is None:
            raise ConnectorBug(f"a rate was asked of {rate}, which has none")
        return rate_of_book(asset, self.quote, rate.symbol, bid[0], ask[0])

    def top(self, source: Source, *, fees: bool = False) -> Top | None:
        """The top of one source; None while it is out."""
        if not self._in[source.key]:
            return None
        side = self._sides[source.key]
        return Top(source, self.terms(source, fees=fees), side.bid, side.ask)

    def tops(self, *, fees: bool = False) -> tuple[Top, ...]:
        """The tops of all sources that are in."""
        found = (self.top(source, fees=fees) for source in self.sources)
        return tuple(top for top in found if top is not None)

    def best(self, *, fees: bool = False, changed: Source | None = None, at_ns: int = 0) -> ConsolidatedQuote:
        """Best bid and offer over all sources that are in.

        Raises:
            InvalidRequest: fees are asked for, and a source has none stated.
        """
        if fees:
            self.check_fees()
        tops = self.tops(fees=fees)
        bid, ask = best_of(tops)
        newest_ns = max((self._sides[top.source.key].received_ns or 0 for top in tops), default=at_ns)
        return ConsolidatedQuote(
            self.base, self.quote, bid, ask, meeting_of(bid, ask), len(tops), changed, max(newest_ns, at_ns), fees
        )

    def check_fees(self) -> None:
        """Raises:
        InvalidRequest: the fee of a source is not stated.
        """
        for source in self.sources:
            if source.taker_fee is None:
                self.terms(source, fees=True)

    def status(self) -> tuple[SourceStatus, ...]:
        """How every source stands, in the order they were named."""
        return tuple(
            SourceStatus(source, True, self._sides[source.key].update_id, self._sides[source.key].received_ns, "")
            if self._in[source.key]
            else SourceStatus(source, False, None, None, self._why_out(source))
            for source in self.sources
        )

    def __repr__(self) -> str:
        best = self.best()
        bid, ask = best.best_bid, best.best_ask
        prices = f"{bid.price if bid else '-'}/{ask.price if ask else '-'}"
        return f"<Consolidation {self.base}/{self.quote} {prices} {best.sources} of {len(self.sources)} in>"
