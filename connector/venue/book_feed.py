"""The feed of a full book: deltas go into the book, consumers are told its state and top after each change.

What a delta means to the book, and when a snapshot is needed, is decided in `books.sync`; this feed performs it: it delivers,
and it wishes for snapshots. Deltas enter on the reader thread, snapshots on the thread that fetched them, one at a time under the
feed's lock. Nothing here waits or sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from connector.books.live import LiveBook
from connector.books.rule import BookRule
from connector.books.sync import PUBLISH, Action, BookSync, FetchSnapshot, Invalidate, Publish, Resubscribe
from connector.domain.market import BookDelta, BookState, BookUpdate, OrderBook
from connector.domain.topics import Topic
from connector.errors import BookNotValid, WireFormatError
from connector.venue.delivery import TopicState
from connector.venue.feed import Feed, Source

__all__ = ["BookFeed", "RenewalWish", "SnapshotWish"]

ANSWER_WITHIN_S = 25.0
"""A snapshot nobody answered for by then is given up; its question went down with an actor."""
QUIET_S = 3.0
"""A subscribed book without any delta for so long is begun from a snapshot alone; where the stream brings the snapshot and did
not in that time, the topic is subscribed again."""
SNAPSHOT_WITHIN_S = 8.0
"""How long a topic that was subscribed again may take to bring its snapshot."""


PROBED = 5
"""Levels a side that are compared with REST's answer when a book is silent."""


class SnapshotWish(msgspec.Struct, frozen=True):
    """Fetch a snapshot as told, then call `snapshot_arrived` or `snapshot_failed`."""

    topic: Topic
    fetch: FetchSnapshot


class RenewalWish(msgspec.Struct, frozen=True):
    """Leave the topic and join it again, as told: its stream then sends a snapshot by itself."""

    topic: Topic
    renew: Resubscribe


class BookFeed(Feed):
    """A feed with a book.

    Attributes:
        book: kept up by this feed; readers on any thread.
    """

    def __init__(self, venue: str, topic: Topic, clock: Any, rule: BookRule, **more: Any) -> None:
        super().__init__(venue, topic, clock, **more)
        self.book = LiveBook(BookSync(venue, topic.symbol, rule), clock.time_ns)
        self._answer_by_s: tuple[int, float] | None = None
        self._joined_s = float("inf")
        self._brings_snapshots = rule.snapshot_limit is None
        if self._brings_snapshots:  # its numbers need not be those of REST's answers
            self.rule = replace(self.rule, shows_newer=self._differs_from)

    # ------------------------------------------------------------ frames

    def own(self, source: Source) -> None:
        super().own(source)
        with self._exclusively():
            self._joined_s = self._clock.monotonic_s()
            self._perform(self.book.on_connected())

    def _take(self, frame: bytes, received_ns: int, now_s: float) -> None:
        self._other_frames += 1
        try:
            read = self._read(frame, received_ns)  # type: ignore[misc]
        except WireFormatError as unreadable:
            self.unreadable += 1
            self._on_unreadable(unreadable)
            self._perform(self.book.on_overflow(f"an update could not be read: {unreadable.problem}"))
            return
        if type(read) is list:
            for each in read:
                self._take_value(each, now_s)
        elif read is not None:
            self._take_value(read, now_s)

    def _take_value(self, value: Any, now_s: float) -> None:
        if type(value) is OrderBook:
            self._take_stream_snapshot(value, now_s)
            return
        delta: BookDelta = value
        actions = self.book.on_delta(delta)
        if actions is PUBLISH:  # nearly every one
            self._last_key, self.last, self.last_new_s = delta.last_update_id, delta, now_s
            self._other_accepted += 1
            self._publish()
            return
        if self._last_key is None or delta.last_update_id > self._last_key or _publishes(actions):
            self._last_key, self.last, self.last_new_s = delta.last_update_id, delta, now_s
            self._other_accepted += 1
        else:
            self.duplicates += 1
        self._perform(actions)

    def _take_stream_snapshot(self, snapshot: OrderBook, now_s: float) -> None:
        """The stream's own snapshot replaces the book, whatever the numbers say: venues count anew after a restart."""
        self._counters.add("book.stream_snapshots")
        self._answer_by_s = None
        self._last_key, self.last, self.last_new_s = snapshot.update_id, snapshot, now_s
        self._other_accepted += 1
        self._perform(self.book.on_snapshot(snapshot))

    # ------------------------------------------------------------ snapshots (the thread that fetched them)

    def snapshot_arrived(self, attempt: int, snapshot: OrderBook) -> None:
        with self._exclusively():
            self._answered(attempt)
            self._perform(self.book.on_snapshot(snapshot, attempt))

    def snapshot_failed(self, attempt: int, retry_after_s: float | None) -> None:
        with self._exclusively():
            self._answered(attempt)
            self._counters.add("book.snapshots_failed")
            self._perform(self.book.on_snapshot_failed(attempt, retry_after_s))

    def _answered(self, attempt: int) -> None:
        if (
            self._answer_by_s is not None and self._answer_by_s[0] == attempt
        ):  # or it is late: the newer one is still out
            self._answer_by_s = None

    # ------------------------------------------------------------ the stream actor's side

    def disown(self, reason: str) -> None:
        self.on_disconnected(reason)
        super().disown(reason)

    def _on_disconnected(self, reason: str) -> None:
        self._joined_s = float("inf")
        self._perform(self.book.on_disconnected(reason))
        if self._answer_by_s is not None:  # nobody may be left to answer it; should somebody, it counts as late
            attempt, self._answer_by_s = self._answer_by_s[0], None
            self._perform(self.book.on_snapshot_failed(attempt))
        super()._on_disconnected(reason)

    def on_renewal(self) -> None:
        with self._exclusively():
            self._perform(self.book.on_stale("the topic was silent and is being subscribed again"))

    def on_trading(self, trading: bool) -> None:
        """The venue's instrument list says whether the symbol trades."""
        with self._exclusively():
            self._perform(self.book.on_status(trading))

    def on_tick(self, now_s: float, backfill_within_s: float) -> None:
        super().on_tick(now_s, backfill_within_s)
        if self._answer_by_s is not None and now_s > self._answer_by_s[1]:
            self.snapshot_failed(self._answer_by_s[0], None)
        if self.book.state is not BookState.SYNCING:
            return
        since_s = self._joined_s if self._brings_snapshots else max(self._joined_s, self.last_new_s or 0.0)
        if now_s - since_s > QUIET_S:
            with self._exclusively():
                self._perform(self.book.on_quiet())

    def _differs_from(self, seen: Any, answer: OrderBook) -> bool:
        """Whether the venue's best levels are others than ours: a silent book then missed something."""
        try:
            top = self.book.snapshot(PROBED)
        except BookNotValid:
            return True
        return (top.bids, top.asks) != (answer.bids[:PROBED], answer.asks[:PROBED])

    # ------------------------------------------------------------ what the book decided

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self._publish()
            elif isinstance(action, Invalidate):
                self._counters.add("book.invalidated")
                self._void(action.reason)
            elif isinstance(action, FetchSnapshot):
                self._counters.add("book.snapshots")
                wait_s = action.wait_up_to_s + action.not_before_s
                self._answer_by_s = (action.attempt, self._clock.monotonic_s() + wait_s + ANSWER_WITHIN_S)
                self._ask(SnapshotWish(self.topic, action))
            else:
                self._counters.add("book.renewals")
                wait_s = action.wait_up_to_s + action.not_before_s
                self._answer_by_s = (action.attempt, self._clock.monotonic_s() + wait_s + SNAPSHOT_WITHIN_S)
                self._ask(RenewalWish(self.topic, action))

    def _publish(self) -> None:
        try:
            update_id, event_time_ns, received_ns, bid, ask = self.book.top()
        except BookNotValid:
            return  # a later action of the same change took it back, or its best level was no level
        self._deliver(
            BookUpdate(self.venue, self.topic.symbol, event_time_ns, received_ns, BookState.VALID, update_id, bid, ask)
        )

    def _void(self, reason: str) -> None:
        """Tell consumers first, the state after: nobody may take the old book for right in between."""
        update = BookUpdate(
            self.venue, self.topic.symbol, None, self._clock.time_ns(), self.book.state, None, None, None, reason
        )
        self._call_all(update)
        if self._state is TopicState.LIVE:
            self._set_state(TopicState.STALE, reason)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]} {self.book!r}>"


def _publishes(actions: Iterable[Action]) -> bool:
    return any(isinstance(action, Publish) for action in actions)
