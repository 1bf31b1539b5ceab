"""The way of market data out of a venue's process: values of followed topics, gathered into batches, in order per topic.

Feeds call in on their reader threads and are never held up: no waiting for the engine's process, since a reader that waits
answers no pings. One writer, a thread its owner starts with `write`, sends what has gathered: at once after a pause, and no
more often than every millisecond. What gathers is bounded: beyond it, topics of which only the newest counts lose their
oldest values, the others lose the new ones and say so with a `Gap` in their place, and a book is void until it is sent whole
again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from connector.clock import Clock
from connector.domain.market import BookDelta, BookState, BookUpdate, Gap
from connector.domain.topics import Topic, TopicKind
from connector.errors import BookNotValid
from connector.isolation.line import Line, LineEnded
from connector.isolation.wire import Tag, Void, Whole, encode_notice, encoder, facts_packet
from connector.venue.book_feed import BookFeed
from connector.venue.delivery import Subscription, TopicState, TopicStatus
from connector.venue.feed import Feed

__all__ = ["Outlet"]

CAPACITY = 100_000
"""Values that may wait for the engine's process to read, of all topics together."""
BATCH_S = 0.001
BATCH_VALUES = 2_000
"""A chunk holds at most so many values of a topic."""
PACKET_CHUNKS = 64
"""A packet is sent once it holds so many."""

_NEWEST_COUNTS = frozenset({TopicKind.TICKER, TopicKind.BOOK_TICKER, TopicKind.PARTIAL_BOOK, TopicKind.MARK_PRICE})


@dataclass(slots=True)
class _Followed:
    """One topic on its way out. `sent_id`: of the mirror over there; None: it needs a whole book."""

    number: int
    topic: Topic
    feed: Feed
    encode: Callable[[Any], bytes]
    subscription: Subscription | None = None
    values: list[Any] = field(default_factory=list)  # what waits: values behind everything in `runs`
    runs: list[tuple[Tag, Any]] = field(default_factory=list)  # notices, and lists of values before them
    lost: int = 0
    lost_ns: int = 0
    sent_id: int | None = None
    delta: Any = None  # the last one that was looked at
    is_gone: bool = False


class Outlet:
    """See the module.

    Attributes:
        dropped: values lost because the engine's process did not read.
    """

    def __init__(self, venue: str, line: Line, clock: Clock, capacity: int = CAPACITY) -> None:
        self.dropped = 0
        self._venue, self._line, self._clock, self._capacity = venue, line, clock, capacity
        self._lock = threading.Lock()  # guards everything that waits; inside it a live book may be read, nothing else
        self._topics: dict[int, _Followed] = {}
        self._due: dict[int, _Followed] = {}  # with something waiting
        self._count = 0
        self._bell = threading.Event()
        self._pause = threading.Event()  # never set but at the end
        self._ended = False

    # ------------------------------------------------------------ topics (the control reader's thread)

    def follow(self, number: int, topic: Topic, feed: Feed, subscribe: Callable[..., Subscription]) -> None:
        """Send a topic as this number from now on, first of all its state."""
        followed = _Followed(number, topic, feed, encoder(topic))
        with self._lock:
            self._topics[number] = followed

        def take(value: Any) -> None:
            kind = type(value)
            if kind is Gap:
                self._put(followed, Tag.GAP, value)
            elif kind is TopicStatus:
                self._put(followed, Tag.STATUS, value)
            elif kind is BookUpdate:
                self._put_book(followed, value)
            else:
                self._put_value(followed, value)

        followed.subscription = subscribe(take)
        self.again(number)

    def leave(self, number: int) -> None:
        with self._lock:
            followed = self._topics.pop(number, None)
            if followed is None:
                return
            followed.is_gone = True
            self._due.pop(number, None)  # what waited of it counts until the next batch
        if followed.subscription is not None:
            followed.subscription.close()

    def again(self, number: int) -> None:
        """Send the state of a topic once more, and its book whole if it is valid."""
        followed = self._topics.get(number)
        if followed is None:
            return
        feed = followed.feed
        status = TopicStatus(self._venue, followed.topic, feed.state, feed.reason, self._clock.time_ns(), feed.epoch)
        self._put(followed, Tag.STATUS, status)
        if isinstance(feed, BookFeed):
            with self._lock:
                self._put_whole(followed, feed)
            self._bell.set()

    def refuse(self, number: int, topic: Topic, reason: str) -> None:
        """A topic that cannot be had here."""
        status = TopicStatus(self._venue, topic, TopicState.REFUSED, reason, self._clock.time_ns(), 0)
        self._send([(number, int(Tag.STATUS), encode_notice(status))])

    # ------------------------------------------------------------ values (reader threads)

    def _put_value(self, followed: _Followed, value: Any) -> None:
        with self._lock:
            if followed.is_gone or (self._count >= self._capacity and not self._make_room(followed)):
                return
            self._count += 1
            followed.values.append(value)
            self._due[followed.number] = followed
        if not self._bell.is_set():
            self._bell.set()

    def _put(self, followed: _Followed, tag: Tag, value: Any) -> None:
        with self._lock:
            if not followed.is_gone:
                self._append(followed, tag, value)
        if not self._bell.is_set():
            self._bell.set()

    def _append(self, followed: _Followed, tag: Tag, value: Any) -> None:
        if followed.values:
            followed.runs.append((Tag.VALUES, followed.values))
            followed.values = []
        followed.runs.append((tag, value))
        self._count += 1
        self._due[followed.number] = followed

    def _make_room(self, followed: _Followed) -> bool:
        """Apply the overflow rule to a topic; True when the value may be put."""
        self.dropped += 1
        if followed.topic.kind in _NEWEST_COUNTS:
            if followed.values:
                followed.values.pop(0)
                self._count -= 1
            return True
        if followed.topic.kind is TopicKind.BOOK:
            followed.sent_id = None  # the next update sends it whole
        if not followed.lost:
            followed.lost_ns = self._clock.time_ns()
        followed.lost += 1
        return False

    def _put_book(self, followed: _Followed, update: BookUpdate) -> None:
        feed = followed.feed
        assert isinstance(feed, BookFeed)
        with self._lock:
            if followed.is_gone:
                return
            before, followed.delta = followed.delta, feed.last
            if update.state is not BookState.VALID:
                followed.sent_id = None
                self._append(followed, Tag.VOID, Void(update.state.value, update.reason))
            elif self._count >= self._capacity:
                self._make_room(followed)
            elif (
                followed.sent_id is None
                or type(followed.delta) is not BookDelta
                or followed.delta is before
                or followed.delta.last_update_id != update.update_id
            ):
                self._put_whole(followed, feed)
            elif update.update_id != followed.sent_id:  # else a whole book that has it in was sent meanwhile
                delta = replace(followed.delta, previous_update_id=followed.sent_id)
                followed.sent_id = update.update_id
                self._count += 1
                followed.values.append(delta)
                self._due[followed.number] = followed
        if not self._bell.is_set():
            self._bell.set()

    def _put_whole(self, followed: _Followed, feed: BookFeed) -> None:
        try:
            book, reach = feed.book.whole()
        except BookNotValid as void:
            followed.sent_id = None
            self._append(followed, Tag.VOID, Void(void.state, void.reason))
            return
        followed.sent_id = book.update_id
        self._append(followed, Tag.WHOLE, Whole.of(book, reach))

    # ------------------------------------------------------------ the writer

    def write(self) -> None:
        """Send what gathers, until `end` or the end of the line. The body of the writer's thread."""
        while True:
            self._bell.wait()
            if self._ended:
                return
            self._bell.clear()
            began_s = self._clock.monotonic_s()
            try:
                self.flush()
            except LineEnded:
                return
            rest_s = BATCH_S - (self._clock.monotonic_s() - began_s)
            if rest_s > 0.0:
                self._pause.wait(rest_s)

    def flush(self) -> None:
        """Send what has gathered, once the engine's process has read what was sent before. The writer's.

        Raises:
            LineEnded: nobody will read it.
        """
        while self._line.backlog and not self._ended and not self._line.is_ended:
            self._pause.wait(BATCH_S)  # the engine's process does not read: what comes now is bounded here
        with self._lock:
            due, self._due = list(self._due.values()), {}
            taken = [(followed, followed.runs, followed.values) for followed in due]
            for followed in due:
                followed.runs, followed.values = [], []
            self._count = 0
            losses = [
                (followed, followed.lost, followed.lost_ns) for followed in self._topics.values() if followed.lost
            ]
            for followed, _, _ in losses:
                followed.lost = 0
        chunks: list[tuple[int, int, bytes]] = []
        for followed, runs, values in taken:
            chunks += _chunks(followed, (*runs, (Tag.VALUES, values)))
            if len(chunks) >= PACKET_CHUNKS:
                self._send(chunks)
                chunks = []
        self._send(chunks)
        for followed, lost, began_ns in losses:
            self._tell_loss(followed, lost, began_ns)

    def _send(self, chunks: list[tuple[int, int, bytes]]) -> None:
        if chunks:
            self._line.send(facts_packet(self._clock.monotonic_s(), chunks))

    def _tell_loss(self, followed: _Followed, lost: int, began_ns: int) -> None:
        why = "the engine's process did not keep up with the venue's"
        if followed.topic.kind is TopicKind.BOOK:
            self._send(_chunks(followed, [(Tag.VOID, Void(BookState.INVALID.value, why))]))
            self.again(followed.number)
            return
        gap = Gap(self._venue, str(followed.topic), began_ns, self._clock.time_ns(), why, missing=lost)
        self._send(_chunks(followed, [(Tag.GAP, gap)]))

    @property
    def waiting(self) -> int:
        """Values on their way out."""
        return self._count

    def end(self) -> None:
        """Let the writer return. Any thread."""
        self._ended = True
        self._pause.set()
        self._bell.set()

    def __repr__(self) -> str:
        return f"<Outlet {self._venue} topics={len(self._topics)} waiting={self._count} dropped={self.dropped}>"


def _chunks(followed: _Followed, runs: Iterable[tuple[Tag, Any]]) -> list[tuple[int, int, bytes]]:
    """What waited of one topic, in order."""
    payloads: list[tuple[Tag, bytes]] = []
    for tag, found in runs:
        if tag is Tag.VALUES:
            starts = range(0, len(found), BATCH_VALUES)
            payloads += [(tag, followed.encode(found[at : at + BATCH_VALUES])) for at in starts]
        else:
            payloads.append((tag, encode_notice(found)))
    return [(followed.number, int(tag), payload) for tag, payload in payloads]
