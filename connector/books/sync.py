"""Keep one book equal to the venue's, or say that it is not.

`BookSync` is told everything that happens (subscribed, delta, snapshot, lost, halted …) and answers with what is to be done:
fetch a snapshot, publish, tell that the book is void. A `BookRule` says how the venue's deltas and snapshots fit together.
The promise: whenever `state` is VALID, the book equals the venue's at `update_id`, in the range it covers. Whatever puts that
in doubt drops the book at once: a gap, a malformed or crossing delta, numbers that start over, a lost connection, a lost frame of
our own, silence, a halt. One resync is under way at a time, causes meanwhile coalesce; attempts never end, but wait longer and
longer until a book lived through `healthy_updates` updates.

A book that is crossed again right after a resync, or empty, is the venue's own: it is kept in sequence, marked INVALID, and
VALID again as soon as it makes sense. Deltas that arrive while a snapshot is on its way are buffered, within a bound.

It never waits, fetches, locks or reads a clock. All methods belong to one thread at a time; `live` shares a book among threads.
Whoever performs the actions answers every FetchSnapshot exactly once, by `on_snapshot` or `on_snapshot_failed`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from connector.books.book import Book
from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, BookState, OrderBook
from connector.domain.symbols import Symbol
from connector.errors import BookNotValid, ConnectorBug, WireFormatError

__all__ = ["PUBLISH", "Action", "BookSync", "FetchSnapshot", "Invalidate", "Publish", "Resubscribe"]

BASE_WAIT_S, MAX_WAIT_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """Ask the venue for the book.

    Attributes:
        limit: levels a side.
        attempt: to be given back with the answer.
        wait_up_to_s: wait a random part of this first (full jitter); 0.0 for the first attempt.
        not_before_s: wait at least this, because the venue said so.
    """

    limit: int
    attempt: int
    wait_up_to_s: float
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Leave the topic and join it again, so that its stream sends a snapshot. Fields as of FetchSnapshot."""

    attempt: int
    wait_up_to_s: float
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Publish:
    """The book changed and is valid. `fresh`: it was not valid before, or was replaced as a whole."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Invalidate:
    """The book was valid and is not any more; consumers are to be told before anything else."""

    reason: str


Action = FetchSnapshot | Resubscribe | Publish | Invalidate

_NOTHING: tuple[Action, ...] = ()
PUBLISH: tuple[Action, ...] = (Publish(),)
"""What nearly every delta comes to, always this very tuple."""
_PUBLISH_FRESH: tuple[Action, ...] = (Publish(fresh=True),)


class BookSync:
    """One book of one venue.

    Args:
        buffer_limit: deltas that may wait for a snapshot; one more starts the buffer over.
        healthy_updates: after so many updates in a row the next resync starts at once again.
        old_limit: so many deltas in a row that are older than the book mean that the venue counts anew.
        refresh_below: when a side that was cut at the snapshot's limit has fewer levels left, a new snapshot is fetched beside
            the running book; None takes a quarter of the limit.

    Attributes:
        counts: how often what happened: applied, old, gap, reset, crossed, malformed, overflow, too_old, failed, late, stray,
            refreshed, resync.
    """

    def __init__(
        self,
        venue: str,
        symbol: Symbol,
        rule: BookRule,
        *,
        buffer_limit: int = 5_000,
        healthy_updates: int = 100,
        old_limit: int = 100,
        refresh_below: int | None = None,
    ) -> None:
        self.venue, self.symbol, self.rule = venue, symbol, rule
        self.counts: Counter[str] = Counter()
        self._buffer_limit, self._healthy_updates, self._old_limit = buffer_limit, healthy_updates, old_limit
        self._refresh_below = (rule.snapshot_limit or 0) // 4 if refresh_below is None else refresh_below
        self._continuity, self._first = rule.continuity, rule.first
        self._state, self._reason = BookState.INVALID, "not subscribed yet"
        self._connected, self._trading = False, True
        self._book: Book | None = None  # in sequence, also while it is marked
        self._update_id = 0
        self._event_time_ns: int | None = None
        self._received_ns = 0
        self._unlinked = False  # no delta was applied since the snapshot: `rule.first` judges
        self._buffer: list[BookDelta] = []
        self._attempt = 0
        self._in_flight: int | None = None
        self._failures = 0
        self._healthy = 0
        self._old_in_a_row = 0
        self._crossed_before = False
        self._quiet = False
        self._beside: list[BookDelta] | None = None  # applied since a refresh was asked for

    # ---------------------------------------------------------------- read

    @property
    def state(self) -> BookState:
        return self._state

    @property
    def reason(self) -> str:
        """Why it is not VALID, in words; "" when it is."""
        return self._reason

    @property
    def update_id(self) -> int:
        """The venue's last update in the book.

        Raises:
            BookNotValid: there is no book to be trusted.
        """
        self.require()
        return self._update_id

    @property
    def received_ns(self) -> int | None:
        """Our clock when the bytes of the last change came in; None when there is no book."""
        return None if self._book is None else self._received_ns

    @property
    def event_time_ns(self) -> int | None:
        """The venue's time of the last change, where it wrote one."""
        return self._event_time_ns

    def require(self) -> Book:
        """The levels, to be read before the next input, on the same thread.

        Raises:
            BookNotValid: the book may differ from the venue's.
        """
        if self._state is not BookState.VALID or self._book is None:
            raise BookNotValid(f"{self.symbol}.{self.venue}", self._state.value, self._reason)
        return self._book

    def snapshot(self, depth: int | None = None) -> OrderBook:
        """An immutable copy of the best `depth` levels a side; all that are known when None.

        Raises:
            BookNotValid: the book may differ from the venue's.
        """
        bids, asks = self.require().levels(depth)
        return OrderBook(self.venue, self.symbol, self._event_time_ns, self._received_ns, self._update_id, bids, asks)

    # ---------------------------------------------------------------- deltas

    def on_delta(self, delta: BookDelta) -> tuple[Action, ...]:
        """One delta, in the order of the stream."""
        if delta.symbol is not self.symbol and delta.symbol != self.symbol:
            raise ConnectorBug(f"a delta of {delta.symbol} was given to the book of {self.symbol}.{self.venue}")
        book = self._book
        if book is None:
            return self._collect(delta)
        judge = self._first if self._unlinked else self._continuity
        place = judge(self._update_id, delta)
        if place is Continuity.OLD:
            return self._on_old(delta)
        if place is Continuity.GAP:
            self.counts["gap"] += 1
            reason = f"updates are missing: at {self._update_id}, the next begins at {delta.first_update_id}"
            return self._resync(reason, delta)
        try:
            book.apply(delta)
        except WireFormatError as malformed:
            self.counts["malformed"] += 1
            return self._resync(str(malformed))
        self._update_id = delta.last_update_id
        self._event_time_ns, self._received_ns = delta.event_time_ns, delta.received_ns
        self._unlinked = False
        self._old_in_a_row = 0
        self.counts["applied"] += 1
        if self._beside is not None:
            self._keep_beside(delta)
        return self._judge(book)

    def _collect(self, delta: BookDelta) -> tuple[Action, ...]:
        """Buffer a delta while there is no book."""
        if not self._connected or not self._trading:
            self.counts["stray"] += 1
            return _NOTHING
        if self.rule.snapshot_limit is None:
            self.counts["stray"] += 1  # the stream's own snapshot comes before deltas that count
            return _NOTHING
        buffer = self._buffer
        if buffer:
            place = self._continuity(buffer[-1].last_update_id, delta)
            if place is Continuity.OLD and delta.first_update_id > 1 and self._old_in_a_row < self._old_limit:
                self._old_in_a_row += 1
                self.counts["old"] += 1
                return _NOTHING
            self._old_in_a_row = 0
            if place is not Continuity.NEXT:
                self.counts["gap" if place is Continuity.GAP else "reset"] += 1
                buffer.clear()
            elif len(buffer) >= self._buffer_limit:
                self.counts["overflow"] += 1
                buffer.clear()
        buffer.append(delta)
        return _NOTHING if self._in_flight is not None else (self._fetch(),)

    def _on_old(self, delta: BookDelta) -> tuple[Action, ...]:
        self.counts["old"] += 1
        self._old_in_a_row += 1
        if delta.first_update_id > 1 and self._old_in_a_row < self._old_limit:
            return _NOTHING
        self.counts["reset"] += 1
        reason = f"the venue seems to count anew: at {self._update_id}, update {delta.last_update_id} arrived"
        return self._resync(reason, delta)

    def _judge(self, book: Book) -> tuple[Action, ...]:
        """After a change in sequence: valid, the venue's own nonsense, or doubtful?"""
        nonsense = ""
        if book.is_crossed:
            self.counts["crossed"] += 1
            nonsense = "crossed"
        elif book.is_empty:
            nonsense = "empty"
        bids, asks = book.depth()
        if (book.bid_is_cut and not bids) or (book.ask_is_cut and not asks):
            return self._resync("the price left the range the snapshot covered")
        if nonsense == "crossed" and not self._crossed_before:
            self._crossed_before = True
            return self._resync(f"crossed after update {self._update_id}")
        if nonsense:
            was_valid = self._state is BookState.VALID
            self._state, self._reason = BookState.INVALID, f"the venue's own book is {nonsense}"
            return (Invalidate(self._reason),) if was_valid else _NOTHING
        self._healthy += 1
        if self._healthy == self._healthy_updates:
            self._failures = 0
            self._crossed_before = False
        if self._state is not BookState.VALID:
            self._state, self._reason = BookState.VALID, ""
            return _PUBLISH_FRESH
        below = self._refresh_below
        if (
            ((book.bid_is_cut and bids < below) or (book.ask_is_cut and asks < below))
            and self._in_flight is None
            and self._connected
        ):
            self._beside = []
            return Publish(), self._fetch()
        return PUBLISH

    # ---------------------------------------------------------------- snapshots

    def on_snapshot(self, snapshot: OrderBook, attempt: int | None = None) -> tuple[Action, ...]:
        """A snapshot arrived.

        Args:
            attempt: of the FetchSnapshot it answers; None when the stream sent it by itself, which replaces any book.
        """
        if snapshot.symbol != self.symbol:
            raise ConnectorBug(f"a snapshot of {snapshot.symbol} was given to the book of {self.symbol}.{self.venue}")
        if attempt is None:
            return self._replace(snapshot)
        if attempt != self._in_flight:
            self.counts["late"] += 1
            return _NOTHING
        self._in_flight = None
        beside, self._beside = self._beside, None
        if not self._connected or not self._trading:
            return _NOTHING
        if self._book is not None:
            return self._refresh(snapshot, beside)
        if not self._buffer and not self._quiet:
            self.counts["too_old"] += 1  # asked for under an earlier subscription: it cannot be joined to this one
            return _NOTHING
        return self._join(snapshot)

    def on_snapshot_failed(self, attempt: int, retry_after_s: float | None = None) -> tuple[Action, ...]:
        """The snapshot could not be had. Another is asked for, later."""
        if attempt != self._in_flight:
            self.counts["late"] += 1
            return _NOTHING
        self._in_flight = None
        self._beside = None
        self.counts["failed"] += 1
        if not self._needs_snapshot():
            return _NOTHING
        return (self._fetch(retry_after_s or 0.0),)

    def _needs_snapshot(self) -> bool:
        """Whether to ask for one now; a running book that got thin asks again with its next delta."""
        if not self._connected or not self._trading or self._book is not None:
            return False
        return bool(self._buffer) or self._quiet or self.rule.snapshot_limit is None

    def _fetch(self, not_before_s: float = 0.0) -> Action:
        self._attempt += 1
        self._in_flight = self._attempt
        wait_s = 0.0 if self._failures == 0 else min(MAX_WAIT_S, BASE_WAIT_S * 2.0 ** min(self._failures - 1, 60))
        self._failures += 1
        self._healthy = 0
        if self.rule.snapshot_limit is None:
            return Resubscribe(self._attempt, wait_s, not_before_s)
        return FetchSnapshot(self.rule.snapshot_limit, self._attempt, wait_s, not_before_s)

    def _join(self, snapshot: OrderBook) -> tuple[Action, ...]:
        buffer, self._quiet = self._buffer, False
        if buffer and not self.rule.joins(snapshot, buffer[0]):
            self.counts["too_old"] += 1
            return (self._fetch(),)
        try:
            self._load(snapshot)
        except WireFormatError:
            self.counts["malformed"] += 1
            return (self._fetch(),)
        self._buffer = []
        at = self._replay(buffer)
        if at is None:
            assert self._book is not None
            return self._judge(self._book)
        self._book = None
        self._buffer = buffer[at:]
        if not self._buffer:
            return _NOTHING  # the delta that was malformed is lost; the next one starts the buffer
        return (self._fetch(),)

    def _replay(self, deltas: list[BookDelta]) -> int | None:
        """Apply what follows the loaded snapshot. None when all fitted; else where the buffer has to begin."""
        assert self._book is not None
        for index, delta in enumerate(deltas):
            place = (self._first if self._unlinked else self._continuity)(self._update_id, delta)
            if place is Continuity.OLD:
                continue
            if place is Continuity.GAP:
                self.counts["gap"] += 1
                return index
            try:
                self._book.apply(delta)
            except WireFormatError:
                self.counts["malformed"] += 1
                return index + 1
            self._update_id, self._unlinked = delta.last_update_id, False
            self._event_time_ns, self._received_ns = delta.event_time_ns, delta.received_ns
            self.counts["applied"] += 1
        return None

    def _load(self, snapshot: OrderBook) -> None:
        self._book = Book.from_snapshot(snapshot, self.rule.snapshot_limit)
        self._update_id, self._unlinked = snapshot.update_id, True
        self._event_time_ns, self._received_ns = snapshot.event_time_ns, snapshot.received_ns
        self._old_in_a_row = 0

    def _replace(self, snapshot: OrderBook) -> tuple[Action, ...]:
        """The stream's own snapshot."""
        if not self._connected or not self._trading:
            self.counts["stray"] += 1
            return _NOTHING
        self._in_flight = self._beside = None
        self._buffer = []
        try:
            self._load(snapshot)
        except WireFormatError as malformed:
            self.counts["malformed"] += 1
            return self._resync(str(malformed))
        actions = self._judge(self._book) if self._book is not None else _NOTHING
        return _PUBLISH_FRESH if actions is PUBLISH else actions

    def _refresh(self, snapshot: OrderBook, beside: list[BookDelta] | None) -> tuple[Action, ...]:
        """Exchange the running book for a deeper one, if that is not older once all that came meanwhile is in it."""
        if beside is None:
            self.counts["too_old"] += 1
            return _NOTHING
        running = self._book, self._update_id, self._unlinked, self._event_time_ns, self._received_ns
        applied = self.counts["applied"]
        try:
            self._load(snapshot)
            fits = self._replay(beside) is None and self._update_id >= running[1]
        except WireFormatError:
            fits = False
        self.counts["applied"] = applied
        if not fits:
            self._book, self._update_id, self._unlinked, self._event_time_ns, self._received_ns = running
            self.counts["too_old"] += 1
            return _NOTHING  # the next delta asks again
        if self._received_ns < running[4]:  # nothing newer than what we had
            self._event_time_ns, self._received_ns = running[3], running[4]
        self.counts["refreshed"] += 1
        assert self._book is not None
        actions = self._judge(self._book)
        return _PUBLISH_FRESH if actions is PUBLISH else actions

    def _keep_beside(self, delta: BookDelta) -> None:
        assert self._beside is not None
        if len(self._beside) >= self._buffer_limit:
            self.counts["overflow"] += 1
            self._beside = None  # the answer on its way will not be joined
        else:
            self._beside.append(delta)

    # ---------------------------------------------------------------- everything else

    def _drop(self, state: BookState, reason: str) -> tuple[Action, ...]:
        was_valid = self._state is BookState.VALID
        self._state, self._reason = state, reason
        self._book = self._beside = None
        self._buffer = []
        self._healthy = self._old_in_a_row = 0
        self._quiet = False
        return (Invalidate(reason),) if was_valid else _NOTHING

    def _resync(self, reason: str, delta: BookDelta | None = None) -> tuple[Action, ...]:
        """Drop the book and start over, buffering from `delta` on; without one, from the next that comes."""
        self.counts["resync"] += 1
        told = self._drop(BookState.SYNCING, reason)
        if self._in_flight is not None:
            self._buffer = [] if delta is None else [delta]
            return told
        if self.rule.snapshot_limit is None:
            return (*told, self._fetch())
        if delta is None:
            return told
        self._buffer = [delta]
        return (*told, self._fetch())

    def on_connected(self) -> tuple[Action, ...]:
        """The subscription was confirmed, for the first time or again: deltas are to be expected from now on."""
        told = self._drop(BookState.SYNCING, "waiting for the first update" if self._trading else self._reason)
        self._connected = True
        self._failures = 0  # a lost connection was not the book's fault; how often we connect is bounded elsewhere
        if self.rule.snapshot_limit is None:
            self._in_flight = None  # a new subscription is the answer to a Resubscribe, and brings its own snapshot
        if not self._trading:
            self._state, self._reason = BookState.INVALID, "the symbol is not trading"
        return told

    def on_disconnected(self, reason: str = "the connection was lost") -> tuple[Action, ...]:
        """No more deltas until `on_connected`."""
        self._connected = False
        return self._drop(BookState.INVALID, reason)

    def on_quiet(self) -> tuple[Action, ...]:
        """The subscription stands, and nothing came for a while: ask for the snapshot without waiting for a first delta.

        What is missing between that snapshot and the first delta shows as a gap when it comes. Where the stream brings snapshots
        and did not bring this one, it is asked for anew.
        """
        if self._in_flight is not None or self._book is not None:
            return _NOTHING
        if not self._connected or not self._trading:
            return _NOTHING
        self._quiet = self.rule.snapshot_limit is not None
        return (self._fetch(),)

    def on_overflow(self, reason: str = "our own queue overflowed") -> tuple[Action, ...]:
        """Frames were lost on our side, it is not known which."""
        if not self._connected or not self._trading:
            return _NOTHING
        self.counts["overflow"] += 1
        return self._resync(reason)

    def on_stale(self, reason: str = "no update for too long") -> tuple[Action, ...]:
        """The topic is silent where it should not be."""
        if not self._connected or not self._trading:
            return _NOTHING
        return self._resync(reason)

    def on_status(self, trading: bool) -> tuple[Action, ...]:
        """The symbol left TRADING, or came back."""
        if trading is self._trading:
            return _NOTHING
        self._trading = trading
        if not trading:
            return self._drop(BookState.INVALID, "the symbol is not trading")
        if not self._connected:
            self._reason = "not connected"
            return _NOTHING
        return self._resync("the symbol trades again")

    def __repr__(self) -> str:
        if self._state is BookState.VALID:
            return f"<BookSync {self.symbol}.{self.venue} VALID seq={self._update_id}>"
        return f"<BookSync {self.symbol}.{self.venue} {self._state.name} ({self._reason})>"
