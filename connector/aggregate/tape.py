"""Trades of several venues as one tape, fed by their reader threads, in event-time order within a bounded window.

What goes out and when is decided in `trades`; this shell brings the trades in under one short lock, and the time: when
nothing comes any more, the aggregator's actor lets go what has waited for long enough. Gaps and states of the topics are
passed on as they come.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from connector.aggregate.outlets import Outlets
from connector.aggregate.sources import Source
from connector.aggregate.trades import MergedTrade, TradeMerge
from connector.aggregate.watching import Watch
from connector.clock import Clock
from connector.domain.market import Gap, Trade
from connector.domain.symbols import Symbol
from connector.domain.topics import Topic, TopicKind
from connector.venue.delivery import Notice, Overflow, Subscription, TopicState, TopicStatus
from connector.venue.handle import VenueHandle

__all__ = ["ConsolidatedTrades"]

Key = tuple[str, Symbol]


class ConsolidatedTrades:
    """What `Aggregator.trades` returns. Safe on any thread.

    Prices and quantities are the venues' own: each trade in its symbol's quote asset and in base units.

    Attributes:
        sources: as they were named.
        counts: how often what happened: taken, in_order, late, clock_ahead, overflowed; consumers taken_off; subscriptions
            resubscribed.
    """

    def __init__(
        self, venue: Callable[[str], VenueHandle], sources: Iterable[Source], window_s: float, clock: Clock
    ) -> None:
        self._core, self._clock = TradeMerge(sources, int(window_s * 1e9)), clock
        self.sources, self.window_s = self._core.sources, window_s
        # One trade at a time, whichever reader thread brings it: guards the core, and fixes the order of what is posted.
        # Inside is a heap of bounded size; consumers are called after it.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closed = False
        bases = {source.symbol.base for source in self.sources}
        quotes = sorted({source.symbol.quote for source in self.sources})
        topic = Topic(TopicKind.TRADES, Symbol(bases.pop(), "+".join(quotes)))
        names = "+".join(dict.fromkeys(source.venue for source in self.sources))
        self._outlets = Outlets(topic, names, clock, self._standing, self._changed)
        self._watches: dict[Key, Watch] = {}
        try:
            for source in self.sources:
                take = partial(self._take, source.key)
                self._watches[source.key] = Watch(venue(source.venue), TopicKind.TRADES, source.symbol, take)
        except BaseException:
            self.close()
            raise

    def _take(self, key: Key, value: Any) -> None:
        """A trade or notice, on the reader thread of its connection; recovered ones on the thread that fetched them."""
        with self._lock:
            if self._closed:
                return
            if isinstance(value, Trade):
                self._outlets.post(self._core.on_trade(key, value, self._clock.time_ns()))
            elif isinstance(value, Gap | TopicStatus):
                self._outlets.post((value,))
                if isinstance(value, TopicStatus):
                    self._on_status(key, value)
        self._outlets.hand_over()

    def _on_status(self, key: Key, status: TopicStatus) -> None:
        if status.state not in (TopicState.LIVE, TopicState.CONFIRMED):
            self._outlets.post(self._core.on_left(key, self._clock.time_ns()))
        self._changed.notify_all()

    def on_tick(self, now_s: float) -> None:
        """Twenty times a second: let go what has waited for long enough, see to subscriptions and consumers."""
        for key, watch in self._watches.items():
            if watch.state is TopicState.CLOSED:
                with self._lock:
                    self._outlets.post(self._core.on_left(key, self._clock.time_ns()))
                watch.renew(now_s)
        with self._lock:
            if not self._closed:
                self._outlets.post(self._core.on_time(self._clock.time_ns()))
        self._outlets.look(now_s)
        self._outlets.hand_over()

    def _standing(self) -> tuple[TopicState, str]:
        if self._closed:
            return TopicState.CLOSED, "the consolidated trades were closed"
        out = [watch for watch in self._watches.values() if watch.state is not TopicState.LIVE]
        reason = "; ".join(f"{watch.symbol}.{watch.handle.name}: {watch.reason}" for watch in out)
        if len(out) < len(self._watches):
            return TopicState.LIVE, reason
        return (TopicState.STALE if self._core.counts["taken"] else TopicState.WANTED), reason

    @property
    def counts(self) -> Counter[str]:
        with self._lock:
            renewals = sum(watch.resubscribed for watch in self._watches.values())
            return self._core.counts + self._outlets.counts + Counter(resubscribed=renewals)

    def subscribe(
        self,
        *,
        callback: Callable[[MergedTrade | Notice], object] | None = None,
        inbox: Any = None,
        capacity: int = 10_000,
        overflow: Overflow | str = Overflow.REPORT_GAP,
        notices: bool = False,
    ) -> Subscription:
        """Hear every trade from now on as a `MergedTrade`.

        Args:
            callback: called on the reader thread of a venue or the aggregator's, never on two at once: must return fast.
            inbox: an actor that is told every value. capacity, overflow: of the queue read by `Subscription.get`.
            notices: deliver the `Gap` and `TopicStatus` values of the venues too, as they come.

        Raises:
            InvalidRequest: `push_back`, which would let one consumer stop every venue.
        """
        return self._outlets.add(callback, inbox, capacity, overflow, notices)

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Stop listening; what still waits is handed out first. Idempotent."""
        for watch in self._watches.values():
            watch.close()
        with self._lock:
            if not self._closed:
                self._outlets.post(self._core.flush(self._clock.time_ns()))
            self._closed = True
            self._changed.notify_all()
        self._outlets.hand_over()
        self._outlets.close()

    def __enter__(self) -> ConsolidatedTrades:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        with self._lock:
            counts = self._core.counts
            return (
                f"<ConsolidatedTrades {self._outlets.topic.symbol} at {self._outlets.venue} window={self.window_s:g}s "
                f"waiting={self._core.waiting} taken={counts['taken']} late={counts['late']}"
                f"{' closed' if self._closed else ''}>"
            )
