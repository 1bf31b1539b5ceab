"""One book, written by one thread and read by any.

The writer (the reader thread of the connection that owns the topic, or whoever brings a snapshot) feeds it; each input is one
short hold of one lock, around arithmetic only. Actions are returned and performed by the writer, outside the lock. Readers get
immutable values made under the same lock, so no one ever sees half a delta, or a book that is not VALID.

It performs nothing and reads no clock; `now_ns`, for the age, is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from connector.books.sync import Action, BookSync
from connector.domain.market import BookDelta, BookState, BookTicker, Level, OrderBook
from connector.errors import BookNotValid, WireFormatError

__all__ = ["LiveBook"]


class LiveBook:
    """What consumers of a book topic hold.

    Args:
        sync: belongs to this object from now on.
        now_ns: UTC nanoseconds of the clock that stamps `received_ns`.
    """

    __slots__ = ("_changed", "_lock", "_now_ns", "_owed", "_sync")

    def __init__(self, sync: BookSync, now_ns: Callable[[], int]) -> None:
        self._sync, self._now_ns = sync, now_ns
        self._lock = threading.Lock()  # one input or one reader at a time; nothing is called out from inside
        self._changed = threading.Condition(self._lock)
        self._owed: tuple[Action, ...] = ()  # what a reader's look came to, for the writer to perform

    # ---------------------------------------------------------------- readers, any thread

    @property
    def state(self) -> BookState:
        return self._sync.state

    @property
    def reason(self) -> str:
        """Why it is not VALID; "" when it is."""
        return self._sync.reason

    @property
    def update_id(self) -> int:
        """The venue's last update in the book.

        Raises:
            BookNotValid: there is no book to be trusted.
        """
        with self._lock:
            return self._sync.update_id

    @property
    def age_s(self) -> float | None:
        """Seconds since the bytes of the last change came in; None when there is no book."""
        received_ns = self._sync.received_ns
        return None if received_ns is None else max(0.0, (self._now_ns() - received_ns) / 1e9)

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far; see `BookSync.counts`."""
        with self._lock:
            return dict(self._sync.counts)

    def best(self) -> BookTicker:
        """Best bid and ask.

        Raises:
            BookNotValid: the book may differ from the venue's, or one side of it is empty.
        """
        with self._lock:
            sync = self._sync
            bid, ask = self._top()
            if bid is None or ask is None:
                missing = "bids" if bid is None else "asks"
                raise BookNotValid(f"{sync.symbol}.{sync.venue}", sync.state.value, f"there are no {missing}")
            return BookTicker(
                sync.venue,
                sync.symbol,
                sync.event_time_ns,
                sync.received_ns or 0,
                bid[0],
                bid[1],
                ask[0],
                ask[1],
                sync.update_id,
            )

    def snapshot(self, depth: int | None = None) -> OrderBook:
        """An immutable copy of the best `depth` levels a side; all that are known when None.

        Raises:
            BookNotValid: the book may differ from the venue's.
        """
        with self._lock:
            try:
                return self._sync.snapshot(depth)
            except WireFormatError as unreadable:
                raise self._spoilt(unreadable) from unreadable

    def top(self) -> tuple[int, int | None, int, Level | None, Level | None]:
        """(update id, event time, our time, best bid, best ask); a side without levels has no best.

        Raises:
            BookNotValid: the book may differ from the venue's.
        """
        with self._lock:
            bid, ask = self._top()
            sync = self._sync
            return sync.update_id, sync.event_time_ns, sync.received_ns or 0, bid, ask

    def _top(self) -> tuple[Level | None, Level | None]:
        book = self._sync.require()
        try:
            return book.best_bid, book.best_ask
        except WireFormatError as unreadable:
            raise self._spoilt(unreadable) from unreadable

    def _spoilt(self, unreadable: WireFormatError) -> BookNotValid:
        """A level nobody had looked at until now is no level: the book is dropped, and the writer told with its next input."""
        self._owed += self._sync.on_overflow(str(unreadable))
        self._changed.notify_all()
        return BookNotValid(f"{self._sync.symbol}.{self._sync.venue}", self._sync.state.value, self._sync.reason)

    def whole(self) -> tuple[OrderBook, tuple[int, int]]:
        """Every level there is, and the range they cover: all that a copy needs to follow by deltas.

        Raises:
            BookNotValid: the book may differ from the venue's.
        """
        with self._lock:
            try:
                return self._sync.snapshot(None), self._sync.require().reach
            except WireFormatError as unreadable:
                raise self._spoilt(unreadable) from unreadable

    def wait_valid(self, timeout_s: float) -> None:
        """Wait until the book is VALID.

        Raises:
            BookNotValid: it was not within `timeout_s`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._sync.state is BookState.VALID, timeout_s)
            self._sync.require()

    # ---------------------------------------------------------------- the writer

    def on_delta(self, delta: BookDelta) -> tuple[Action, ...]:
        with self._lock:
            sync = self._sync
            before = sync.state
            actions = sync.on_delta(delta)
            if sync.state is not before:
                self._changed.notify_all()
            return actions if not self._owed else self._and_owed(actions)

    def _and_owed(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        owed, self._owed = self._owed, ()
        return (*owed, *actions)

    def on_snapshot(self, snapshot: OrderBook, attempt: int | None = None) -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_snapshot(snapshot, attempt))

    def confine(self, reach: tuple[int, int]) -> None:
        """Keep to the range of the book this one is a copy of; after `on_snapshot` brought its levels."""
        with self._lock:
            if self._sync.state is BookState.VALID:
                self._sync.require().confine(reach)

    def on_snapshot_failed(self, attempt: int, retry_after_s: float | None = None) -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_snapshot_failed(attempt, retry_after_s))

    def on_connected(self) -> tuple[Action, ...]:
        return self._do(self._sync.on_connected)

    def on_disconnected(self, reason: str = "the connection was lost") -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_disconnected(reason))

    def on_quiet(self) -> tuple[Action, ...]:
        return self._do(self._sync.on_quiet)

    def on_overflow(self, reason: str = "our own queue overflowed") -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_overflow(reason))

    def on_stale(self, reason: str = "no update for too long") -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_stale(reason))

    def on_status(self, trading: bool) -> tuple[Action, ...]:
        return self._do(lambda: self._sync.on_status(trading))

    def _do(self, step: Callable[[], tuple[Action, ...]]) -> tuple[Action, ...]:
        with self._lock:
            actions = step()
            self._changed.notify_all()
            return self._and_owed(actions)

    def __repr__(self) -> str:
        with self._lock:
            sync, received_ns = self._sync, self._sync.received_ns
            name = f"<Book {sync.symbol}.{sync.venue} {sync.state.name}"
            if sync.state is not BookState.VALID or received_ns is None:
                return f"{name} ({sync.reason})>"
            return f"{name} seq={sync.update_id} age={max(0.0, (self._now_ns() - received_ns) / 1e9):.2f}s>"
