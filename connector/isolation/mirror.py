"""Feeds and books in the engine's process, equal to those in the venue's, or known not to be.

A mirror is a feed like any other: it remembers the last value, drops what came before, sees what is missing and asks for it.
What enters are chunks instead of frames, on the reader thread of the line, and the connection that owns it is a life of the
venue's process. Between two lives the key of the last value shows the hole, as between two connections. What the feed over
there has told to be missing is told here and not chased again. A book is made anew from a whole one, and follows by deltas
that name the one before: it is valid only while that chain holds, the feed over there says so, and the process is heard.
"""

from __future__ import annotations

from typing import Any

from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, BookState, Gap, OrderBook
from connector.domain.topics import Topic, TopicKind
from connector.errors import Unsupported
from connector.isolation.bridge import Bridge
from connector.isolation.wire import Tag, Void, Whole, decoders
from connector.venue.book_feed import BookFeed
from connector.venue.continuity import continuity_of
from connector.venue.delivery import TopicState, TopicStatus
from connector.venue.feed import Feed, Source
from connector.venue.memory import VenueMemory

__all__ = ["MirrorBook", "MirrorFeed", "MirrorMemory", "MirrorTopic"]


def _follows(update_id: int, delta: BookDelta) -> Continuity:
    if delta.previous_update_id == update_id:
        return Continuity.NEXT
    return Continuity.OLD if delta.last_update_id <= update_id else Continuity.GAP


def _joins(snapshot: OrderBook, first_delta: BookDelta) -> bool:
    return True


MIRROR_RULE = BookRule(
    snapshot_limit=None,
    continuity=_follows,
    joins=_joins,
    first=_follows,
    source="our own: isolation.outlet sends a whole book first, then deltas that name the id they follow on",
)


class MirrorTopic(Feed):
    """What both kinds of mirrors share: chunks in."""

    def read_chunks(self) -> None:
        """Be ready for chunks."""
        self._decoders = decoders(self.venue, self.topic)

    def on_chunk(self, source: Source, tag: int, payload: Any, at_s: float) -> None:
        """Take what one life sent.

        Args:
            at_s: when it was written over there (monotonic): what waited on the way is that much older.
        """
        with self._lock:
            if source is not self._owner:
                return
            if tag == Tag.VALUES:
                self._other_frames += 1
                for value in self._decoders[0](payload):
                    if source is not self._owner:  # a consumer kept the last one for so long that we were replaced
                        return
                    self._take_value(value, at_s)
            else:
                self._take_notice(self._decoders[tag](payload), at_s)

    def _take_notice(self, notice: Any, at_s: float) -> None:
        if type(notice) is Gap:
            self._report(notice)
            self.last = None  # what lies before the next value has been told: it is not looked for again
        elif type(notice) is TopicStatus and notice.state is not TopicState.CLOSED:
            self._set_state(notice.state, notice.reason)

    def _on_disconnected(self, reason: str) -> None:
        super()._on_disconnected(reason)
        self._interrupted = reason

    def falls_silent(self, reason: str) -> None:
        """Nothing is heard of the process: what was delivered last may be old by now."""
        with self._exclusively():
            if self._owner is not None and self._state is TopicState.LIVE:
                self._set_state(TopicState.STALE, reason)

    def replaces_reader(self, source: Source, reason: str) -> None:
        """The reader is held up by a consumer: take that one off, and go on with the next thread."""
        if not self._lock.acquire(blocking=False):
            self._take_off()
        else:  # it has just returned
            self._lock.release()
        self.on_disconnected(reason)
        self.own(source)


class MirrorFeed(MirrorTopic):
    """A feed of the venue's process, here."""

    def _take_value(self, value: Any, now_s: float) -> None:
        if self._is_plain:  # nearly every one: the next value of a live topic, as in `Reader._pass_on`
            key, last_key = self._key(value), self._last_key
            if key is not None and (key - last_key == 1 or (not self._in_steps and key > last_key)):  # type: ignore[operator]
                self._last_key, self.last, self.last_new_s = key, value, now_s
                self._other_accepted += 1
                self._other_values += 1
                self._call_all(value)
                return
        super()._take_value(value, now_s)


class MirrorBook(BookFeed, MirrorTopic):
    """A book of the venue's process, here."""

    def _take_notice(self, notice: Any, at_s: float) -> None:
        if type(notice) is Whole:
            book = OrderBook(
                self.venue,
                self.topic.symbol,
                notice.event_time_ns,
                notice.received_ns,
                notice.update_id,
                notice.bids,
                notice.asks,
            )
            self._take_stream_snapshot(book, at_s)
            self.book.confine(notice.reach)
        elif type(notice) is Void:
            if self.book.state is not BookState.VALID:
                return  # as it was made: it waits for a whole one
            self._perform(self.book.on_stale(notice.reason))
        else:
            super()._take_notice(notice, at_s)

    def falls_silent(self, reason: str) -> None:
        with self._exclusively():
            if self._owner is not None:
                self._perform(self.book.on_stale(reason))
        super().falls_silent(reason)


class MirrorMemory(VenueMemory):
    """What the engine's process remembers of a venue in another one.

    Attributes:
        bridge: to the process.
    """

    bridge: Bridge

    def _make_feed(self, topic: Topic) -> Feed:
        common: dict[str, Any] = {"ask": self._wish, "counters": self.counters, "alarms": self.alarms}
        mirror: MirrorTopic
        if topic.kind is TopicKind.BOOK:
            if self.driver.book_rule is None:
                raise Unsupported(f"{self.driver.name} has no stream of full books; see the capability table.")
            mirror = MirrorBook(self.name, topic, self.clock, MIRROR_RULE, **common)
        else:
            rule = continuity_of(self.driver, topic.kind)
            mirror = MirrorFeed(self.name, topic, self.clock, backfill=self.settings.backfill, rule=rule, **common)
        mirror.read_chunks()
        return mirror

    def mirrors(self) -> tuple[MirrorTopic, ...]:
        return tuple(feed for feed in self.feeds() if isinstance(feed, MirrorTopic))
