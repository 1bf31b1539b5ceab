"""A consolidated book that is kept up by the reader threads of its venues and read from any thread.

Events follow the sources: each change of a source's book is told to `Consolidation` under one short lock, on the reader
thread that brought it, and what it answers is handed to the consumers. Copies are taken from the venues' own books at the
moment they are asked for, so there is no second copy that could lag behind: a book that is not valid this instant is not in
them.

It decides nothing about levels, quotes or spreads; `book`, `quotes` and `spreads` do.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from connector.aggregate.book import (
    BookEvent,
    ConsolidatedBook,
    ConsolidatedQuote,
    Consolidation,
    SourceLeft,
    SourceStatus,
    merged,
)
from connector.aggregate.outlets import Outlets
from connector.aggregate.quotes import Top, best_of, meeting_of
from connector.aggregate.sources import Source, Terms
from connector.aggregate.spreads import SpreadEvent, SpreadWatch
from connector.aggregate.watching import Watch
from connector.clock import Clock
from connector.domain.market import BookState, BookUpdate, OrderBook
from connector.domain.symbols import Symbol
from connector.domain.topics import Topic, TopicKind
from connector.errors import BookNotValid, InvalidRequest
from connector.venue.delivery import Overflow, Subscription, TopicState, TopicStatus
from connector.venue.handle import VenueHandle

__all__ = ["LiveConsolidatedBook"]

Key = tuple[str, Symbol]


class LiveConsolidatedBook:
    """What `Aggregator.book` returns. Safe on any thread.

    Attributes:
        base, quote: of every price and quantity.
        sources: as they were named.
        counts: how often what happened: updates, joined, left; consumers taken_off; subscriptions resubscribed.
    """

    def __init__(self, venue: Callable[[str], VenueHandle], consolidation: Consolidation, clock: Clock) -> None:
        self._core, self._clock = consolidation, clock
        self.base, self.quote, self.sources = consolidation.base, consolidation.quote, consolidation.sources
        # One change at a time, whichever reader thread brings it: guards the core and the spread watches, and fixes the order
        # of what is posted. Inside is arithmetic and a look at a book's top; consumers are called after it.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        names = "+".join(dict.fromkeys(source.venue for source in self.sources))
        topic = Topic(TopicKind.BOOK, Symbol(self.base, self.quote))
        self._outlets = Outlets(topic, names, clock, self._standing, self._changed)
        self._spreads: tuple[tuple[SpreadWatch, Outlets], ...] = ()
        self._closed = False
        self._books: dict[Key, Any] = {}
        self._watches: dict[Key, Watch] = {}
        try:
            for key in consolidation.watched:
                self._watches[key] = Watch(venue(key[0]), TopicKind.BOOK, key[1], partial(self._take, key))
                self._look_at(key)
        except BaseException:
            self.close()
            raise
        self._outlets.hand_over()

    # ------------------------------------------------------------ what the venues bring (reader threads)

    def _take(self, key: Key, value: Any) -> None:
        """A value of a watched book, on the reader thread of its connection."""
        if key not in self._watches:
            return  # it was there before us, and is looked at as soon as we are ready
        if isinstance(value, BookUpdate) and value.state is BookState.VALID:
            self._look_at(key)
        elif isinstance(value, BookUpdate):
            self._lose(key, value.reason or value.state.value, value.received_ns)
        elif isinstance(value, TopicStatus) and value.state not in (TopicState.LIVE, TopicState.CONFIRMED):
            self._lose(key, f"{value.state.value}: {value.reason}", value.at_ns)
        self._hand_over()

    def _look_at(self, key: Key, *, only_turns: bool = False) -> None:
        """Tell the core the top of a book as it is now. The book is read under the lock: whoever comes last tells the newest.

        Args:
            only_turns: tell nothing when the core knows already that it is valid, or not.
        """
        with self._lock:
            known = self._core.is_valid(key)
            try:
                if only_turns and known and self._is_sound(key):
                    return
                top = self._copy(key, 1)
            except BookNotValid as unsure:
                if known:
                    self._follow(key, self._core.on_lost(key, unsure.reason, self._clock.time_ns()))
                return
            self._follow(key, self._core.on_book(key, top))

    def _lose(self, key: Key, reason: str, at_ns: int) -> None:
        with self._lock:
            self._follow(key, self._core.on_lost(key, reason, at_ns))

    def _follow(self, key: Key, events: tuple[BookEvent, ...]) -> None:
        """Post what a watched book's change led to, and what that means to spreads. Under the lock."""
        if not events or self._closed:
            return
        self._outlets.post(events)
        for watch, outlets in self._spreads:
            outlets.post(self._spread(watch, key, events))
        if any(not isinstance(event, ConsolidatedQuote) for event in events):
            self._changed.notify_all()

    def _spread(self, watch: SpreadWatch, key: Key, events: tuple[BookEvent, ...]) -> tuple[SpreadEvent, ...]:
        found: list[SpreadEvent] = []
        for event in events:
            if isinstance(event, SourceLeft):
                found += watch.on_left(event.source, event.reason, event.at_ns)
            elif isinstance(event, ConsolidatedQuote):
                found += self._look_for_spreads(watch, self._core.dependents(key), event.received_ns)
        return tuple(found)

    def _look_for_spreads(self, watch: SpreadWatch, sources: Iterable[Source], at_ns: int) -> list[SpreadEvent]:
        found: list[SpreadEvent] = []
        for source in sources:
            plain, paid = self._core.top(source), self._core.top(source, fees=True)
            if plain is not None and paid is not None:
                found += watch.on_top(plain, paid, at_ns)
        return found

    def _hand_over(self) -> None:
        self._outlets.hand_over()
        for _, outlets in self._spreads:
            outlets.hand_over()

    # ------------------------------------------------------------ looking after it (the aggregator's actor)

    def _is_sound(self, key: Key) -> bool:
        live = self._books.get(key)
        return live is not None and live.state is BookState.VALID and self._watches[key].state is TopicState.LIVE

    def on_tick(self, now_s: float) -> None:
        """Twenty times a second: what turned without a word is seen, subscriptions that ended are made again, consumers that
        hang are taken off."""
        for key, watch in self._watches.items():
            renewed = watch.renew(now_s)
            if renewed:
                self._books.pop(key, None)
            self._look_at(key, only_turns=not renewed)  # what came meanwhile was told to nobody
        self._outlets.look(now_s)
        for _, outlets in self._spreads:
            outlets.look(now_s)
        with self._lock:
            self._spreads = tuple(each for each in self._spreads if len(each[1]))
        self._hand_over()

    # ------------------------------------------------------------ readers, any thread

    def _copy(self, key: Key, depth: int | None) -> OrderBook:
        """A copy of one venue's book as it is now.

        Raises:
            BookNotValid: it may be wrong, or nobody keeps it up for us any more.
        """
        watch = self._watches[key]
        if watch.state is not TopicState.LIVE:
            raise BookNotValid(f"{key[1]}.{key[0]}", watch.state.value, watch.reason)
        live = self._books.get(key)
        if live is None:
            live = self._books[key] = watch.handle.live_book(key[1])
        try:
            copy: OrderBook = live.snapshot(depth)
        except BookNotValid:
            self._books.pop(key, None)  # the venue may keep it elsewhere by now; looked for at the next call
            raise
        return copy

    def _read(
        self, depth: int | None, fees: bool
    ) -> tuple[list[tuple[Source, Terms, OrderBook]], tuple[SourceStatus, ...]]:
        """Copies of the books that are in right now, and how every source stands."""
        if fees:
            self._core.check_fees()
        copies: list[tuple[Source, Terms, OrderBook]] = []
        statuses: list[SourceStatus] = []
        rates: dict[Key, OrderBook] = {}
        for source in self.sources:
            try:
                book = self._copy(source.key, depth)
                terms = self._core.terms(source, fees=fees, rate_book=self._rate_book(source, rates))
            except BookNotValid as unsure:
                statuses.append(SourceStatus(source, False, None, None, unsure.reason))
                continue
            copies.append((source, terms, book))
            statuses.append(SourceStatus(source, True, book.update_id, book.received_ns, ""))
        if not copies:
            why = "; ".join(f"{status.source}: {status.reason}" for status in statuses)
            raise BookNotValid(f"{self.base}/{self.quote} over {len(self.sources)} sources", "empty", why)
        return copies, tuple(statuses)

    def _rate_book(self, source: Source, copies: dict[Key, OrderBook]) -> OrderBook | None:
        """The top of the book that tells the rate of a source's quote asset, the same for all sources of one reading.

        Raises:
            BookNotValid: it may be wrong, or has an empty side.
        """
        rate = self._core.rates.get(source.symbol.quote)
        if not isinstance(rate, Source):
            return None
        if rate.key not in copies:
            try:
                copy = self._copy(rate.key, 1)
            except BookNotValid as unsure:
                raise BookNotValid(
                    str(source), unsure.state, f"its rate is not known, {rate}: {unsure.reason}"
                ) from None
            if copy.best_bid is None or copy.best_ask is None:
                raise BookNotValid(str(source), "invalid", f"its rate is not known, {rate} has an empty side")
            copies[rate.key] = copy
        return copies[rate.key]

    def snapshot(self, depth: int | None = 20, *, fees: bool = False) -> ConsolidatedBook:
        """A copy of the best `depth` levels a side over all sources that are in now; all that are known when None.

        Args:
            fees: order and price the levels by what a taker gets and pays.

        Raises:
            BookNotValid: no source is in; the text says why of each.
            InvalidRequest: fees are asked for, and a source has none stated; or `depth` is below 1.
        """
        if depth is not None and depth < 1:
            raise InvalidRequest(f"depth is {depth}; expected 1 or more levels, or None for all.")
        copies, statuses = self._read(depth, fees)
        bids, asks = merged(copies, depth)
        return ConsolidatedBook(self.base, self.quote, bids, asks, statuses, fees)

    def best(self, *, fees: bool = False) -> ConsolidatedQuote:
        """Best bid and offer over all sources that are in now, with sizes. Raises as `snapshot`."""
        copies, _ = self._read(1, fees)
        bid, ask = best_of(Top(source, terms, book.best_bid, book.best_ask) for source, terms, book in copies)
        newest_ns = max(book.received_ns for _, _, book in copies)
        return ConsolidatedQuote(
            self.base, self.quote, bid, ask, meeting_of(bid, ask), len(copies), None, newest_ns, fees
        )

    def status(self) -> tuple[SourceStatus, ...]:
        """How every source stands, as last told to the consumers."""
        with self._lock:
            return self._core.status()

    @property
    def counts(self) -> Counter[str]:
        with self._lock:
            return self._core.counts + self._outlets.counts + Counter(resubscribed=self._renewals())

    def _renewals(self) -> int:
        return sum(watch.resubscribed for watch in self._watches.values())

    def wait_in(self, timeout_s: float, at_least: int | None = None) -> None:
        """Wait until so many sources are in; all of them when None.

        Raises:
            BookNotValid: they were not within `timeout_s`; the text says who is out, and why.
        """
        wanted = len(self.sources) if at_least is None else at_least
        with self._changed:
            if self._changed.wait_for(lambda: self._core.included >= wanted, timeout_s):
                return
            out = "; ".join(f"{each.source}: {each.reason}" for each in self._core.status() if not each.is_in)
        raise BookNotValid(f"{self.base}/{self.quote} over {len(self.sources)} sources", "incomplete", out)

    def _standing(self) -> tuple[TopicState, str]:
        if self._closed:
            return TopicState.CLOSED, "the consolidated book was closed"
        included, named = self._core.included, len(self.sources)
        if included:
            return TopicState.LIVE, "" if included == named else f"{named - included} of {named} sources are out"
        return (TopicState.STALE if self._core.counts["joined"] else TopicState.WANTED), "no source is in"

    # ------------------------------------------------------------ consumers

    def subscribe(
        self,
        *,
        callback: Callable[[BookEvent], object] | None = None,
        inbox: Any = None,
        capacity: int = 10_000,
        overflow: Overflow | str = Overflow.LATEST_WINS,
    ) -> Subscription:
        """Hear of every change from now on: `SourceJoined`, `SourceLeft` and, after each, a `ConsolidatedQuote`.

        Args:
            callback: called on the reader thread of a venue, never on two at once: must return fast.
            inbox: an actor that is told every value. capacity, overflow: of the queue read by `Subscription.get`.

        Raises:
            InvalidRequest: `push_back`, which would let one consumer stop every venue.
        """
        return self._outlets.add(callback, inbox, capacity, overflow)

    def spreads(
        self,
        open_bps: Decimal | int,
        *,
        close_bps: Decimal | int | None = None,
        step_bps: Decimal | int | None = None,
        callback: Callable[[SpreadEvent], object] | None = None,
        inbox: Any = None,
        capacity: int = 10_000,
        overflow: Overflow | str = Overflow.REPORT_GAP,
    ) -> Subscription:
        """Hear when buying at one venue and selling at another would pay, net of fees; see `SpreadWatch`.

        Raises:
            InvalidRequest: a source's fee is not stated, or the thresholds make no sense.
        """
        watch = SpreadWatch(
            self.sources,
            Decimal(open_bps),
            None if close_bps is None else Decimal(close_bps),
            None if step_bps is None else Decimal(step_bps),
        )
        outlets = Outlets(
            self._outlets.topic, f"spreads of {self._outlets.venue}", self._clock, self._standing, self._changed
        )
        subscription = outlets.add(callback, inbox, capacity, overflow)
        with self._lock:
            self._spreads = (*self._spreads, (watch, outlets))
            outlets.post(tuple(self._look_for_spreads(watch, self.sources, self._clock.time_ns())))  # open already
        outlets.hand_over()
        return subscription

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Stop listening; consumers' subscriptions end. Idempotent."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        for watch in self._watches.values():
            watch.close()
        self._outlets.close()
        for _, outlets in self._spreads:
            outlets.close()

    def __enter__(self) -> LiveConsolidatedBook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        with self._lock:
            best, counts = self._core.best(), self._core.counts
            bid, ask = best.best_bid, best.best_ask
            prices = f"{bid.price if bid else '-'}/{ask.price if ask else '-'} {best.meeting.name}"
            return (
                f"<ConsolidatedBook {self.base}/{self.quote} {prices} in={best.sources}/{len(self.sources)} "
                f"updates={counts['updates']} left={counts['left']}{' closed' if self._closed else ''}>"
            )
