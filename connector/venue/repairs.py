"""Fetches what feeds miss: values of a hole, snapshots of a book. A part of the stream actor, on its thread; never waits.

Feeds wish (`feed.Backfill`, `book_feed.SnapshotWish`, `RenewalWish`); this asks the REST actor and hands the answer back. Whoever
dies with a question leaves a feed with a deadline of its own. What is missing, and what an answer means, is decided in
`continuity` and `books.sync`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pykka

from connector.domain.queries import DepthQuery, Query
from connector.domain.topics import Topic
from connector.supervision import ActorContext
from connector.throttle import Priority
from connector.venue.book_feed import BookFeed, RenewalWish, SnapshotWish
from connector.venue.continuity import following, unsettled
from connector.venue.feed import Backfill
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer, Fetch, post

__all__ = ["PAGES", "Repairs", "fetch"]

SETTLE_S = 1.0
"""Between two questions for a candle that has ended but is not final at the venue yet."""
PAGES = 10
"""Pages fetched for one gap at most; a longer gap is filled in part and told in full."""


class _Fetched(msgspec.Struct, frozen=True):
    """From a REST worker: a page of missing values."""

    wish: Backfill
    answer: Answer
    so_far: tuple[Any, ...]
    page: int


class _FetchAgain(msgspec.Struct, frozen=True):
    """To itself: the last value of a page was not final yet; by now it should be."""

    wish: Backfill
    query: Query
    so_far: tuple[Any, ...]
    page: int


class _SnapshotDue(msgspec.Struct, frozen=True):
    """To itself: the delay before a snapshot is over."""

    wish: SnapshotWish


class _RenewalDue(msgspec.Struct, frozen=True):
    """To itself: the delay before a renewal is over."""

    wish: RenewalWish


class Repairs:
    """Performs the wishes of feeds; `handlers` are its messages in the stream actor's inbox."""

    def __init__(
        self, memory: VenueMemory, context: ActorContext, ref: pykka.ActorRef[Any], renew: Callable[[Topic], None]
    ) -> None:
        self._memory, self._context, self._ref = memory, context, ref
        self.handlers: dict[type, Callable[[Any], None]] = {
            Backfill: self._on_backfill,
            SnapshotWish: self._on_snapshot_wish,
            RenewalWish: self._on_renewal_wish,
            _Fetched: self._on_fetched,
            _FetchAgain: self._on_fetch_again,
            _SnapshotDue: lambda message: self._fetch_snapshot(message.wish),
            _RenewalDue: lambda message: renew(message.wish.topic),
        }

    # ------------------------------------------------------------ holes

    def _fetch(self, query: Query, wrap: Callable[[Answer], Any]) -> None:
        fetch(self._memory, self._context, self._ref, query, Priority.BACKFILL, wrap)

    def _on_backfill(self, wish: Backfill) -> None:
        self._memory.counters.add("stream.backfills")
        self._fetch(wish.missing.query, lambda answer: _Fetched(wish, answer, (), 1))

    def _on_fetched(self, message: _Fetched) -> None:
        wish, feed = message.wish, self._memory.find_feed(message.wish.topic)
        if feed is None:
            return
        if message.answer.error is not None:
            if message.so_far:
                feed.recovered(wish.token, message.so_far)
            else:
                feed.give_up_recovery(wish.token, f"fetching failed: {message.answer.error}")
            return
        values = message.so_far + tuple(message.answer.value)
        next_page = following(wish.missing, message.answer.value)
        again = unsettled(wish.missing, message.answer.value) if next_page is None else None
        if message.page >= PAGES or (next_page is None and again is None):
            feed.recovered(wish.token, values)
        elif next_page is not None:
            self._fetch(next_page, lambda answer: _Fetched(wish, answer, values, message.page + 1))
        elif again is not None:  # within the feed's patience: it gives up by itself after `backfill_within_s`
            self._context.call_later(SETTLE_S, _FetchAgain(wish, again, values[:-1], message.page + 1))

    def _on_fetch_again(self, message: _FetchAgain) -> None:
        wish, so_far, page = message.wish, message.so_far, message.page
        self._fetch(message.query, lambda answer: _Fetched(wish, answer, so_far, page))

    # ------------------------------------------------------------ books

    def _on_snapshot_wish(self, wish: SnapshotWish) -> None:
        delay_s = self._jittered(wish.fetch.wait_up_to_s, wish.fetch.not_before_s)
        if delay_s > 0.0:
            self._context.call_later(delay_s, _SnapshotDue(wish))
        else:
            self._fetch_snapshot(wish)

    def _on_renewal_wish(self, wish: RenewalWish) -> None:
        self._context.call_later(self._jittered(wish.renew.wait_up_to_s, wish.renew.not_before_s), _RenewalDue(wish))

    def _jittered(self, wait_up_to_s: float, not_before_s: float) -> float:
        return max(not_before_s, wait_up_to_s * self._context.random())

    def _fetch_snapshot(self, wish: SnapshotWish) -> None:
        feed = self._memory.find_feed(wish.topic)
        if not isinstance(feed, BookFeed):
            return
        attempt, is_current = wish.fetch.attempt, self._context.is_current

        def reply(answer: Answer) -> None:  # on a REST worker: straight into the book, past this inbox
            if not is_current():
                return
            if answer.error is None:
                feed.snapshot_arrived(attempt, answer.value)
            else:
                feed.snapshot_failed(attempt, getattr(answer.error, "retry_after_s", None))

        query = DepthQuery(wish.topic.symbol, wish.fetch.limit)
        timeout_s = self._memory.settings.request_timeout_s
        self._context.sibling("rest").tell(Fetch(query, Priority.BOOK_SYNC, timeout_s, reply))


def fetch(
    memory: VenueMemory,
    context: ActorContext,
    ref: pykka.ActorRef[Any],
    query: Query,
    priority: Priority,
    wrap: Callable[[Answer], Any],
) -> None:
    """Ask the REST actor; the answer comes back to `ref` as the message `wrap` makes of it."""
    is_current = context.is_current

    def reply(answer: Answer) -> None:  # on a REST worker
        if is_current():
            post(ref, wrap(answer))

    context.sibling("rest").tell(Fetch(query, priority, memory.settings.request_timeout_s, reply))
