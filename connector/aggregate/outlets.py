"""Hand what several reader threads found to each consumer, one value at a time, in one order, and let nobody wait for a consumer.

An aggregate is fed by the reader threads of several venues. Values are posted under the aggregate's own lock, which fixes
their order, and handed over outside of it by whichever thread finds the consumer free. A thread that finds it busy leaves its
values behind and goes on: a slow callback holds up the one venue on whose thread it runs, never another. What may lie behind
a callback is bounded; one that does not return, or cannot keep up, is taken off, closed and counted.

Queues, inboxes and their rules are those of every subscription (`venue.delivery`), but for PUSH_BACK, which would let one
consumer stop every venue. Nothing here decides what is told.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from connector.clock import Clock
from connector.domain.market import Freshness, Gap
from connector.domain.topics import Topic
from connector.errors import InvalidRequest
from connector.venue.delivery import Overflow, Subscription, TopicState, TopicStatus

__all__ = ["BEHIND_AT_MOST", "CALLBACK_WITHIN_S", "Outlets"]

CALLBACK_WITHIN_S = 1.0
"""How long a callback may take before it is taken off; shorter than a feed's patience with the aggregate itself."""
BEHIND_AT_MOST = 10_000
"""Values that may wait behind a callback that is running."""
AT_ONCE = 1_000
"""Values that one call of `hand_over` hands to one consumer."""


class _Outlet:
    """One consumer, and what is on its way to it."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.behind: deque[Any] = deque()
        self.busy_since_s: float | None = None
        self._free = threading.Lock()  # held by the one thread that hands over; nobody waits for it

    def hand_over(self, now_s: Callable[[], float]) -> None:
        """Hand over what is posted, unless another thread is at it: that one sees what is posted meanwhile.

        What is left after `AT_ONCE` is for whoever comes next, so that no venue's thread works for the others for ever.
        """
        done = 0
        while self.behind and done < AT_ONCE and self._free.acquire(blocking=False):
            try:
                while self.behind and done < AT_ONCE:
                    done += 1
                    self.busy_since_s = now_s()
                    value = self.behind.popleft()
                    if isinstance(value, Gap | TopicStatus):
                        self.subscription.notice(value)
                    else:
                        self.subscription.take(value)
            finally:
                self.busy_since_s = None
                self._free.release()  # whoever was turned away before has posted before: looked at once more above


class Outlets:
    """The consumers of one aggregate. It is the feed of their subscriptions.

    Args:
        topic, venue: what subscriptions say they are of; `venue` may name several.
        state: (state, reason) of the aggregate now; cheap, takes no lock.
        changed: notified whenever that may have changed.

    Attributes:
        counts: how often what happened: taken_off.
    """

    def __init__(
        self,
        topic: Topic,
        venue: str,
        clock: Clock,
        state: Callable[[], tuple[TopicState, str]],
        changed: threading.Condition,
    ) -> None:
        self.topic, self.venue = topic, venue
        self.counts: Counter[str] = Counter()
        self._clock, self._state, self._changed = clock, state, changed
        self._lock = threading.Lock()  # guards _all and _last_s; nothing is called inside
        self._all: tuple[_Outlet, ...] = ()
        self._last_s: float | None = None

    # ------------------------------------------------------------ the aggregate's side

    def add(
        self,
        callback: Callable[[Any], object] | None,
        inbox: Any,
        capacity: int,
        overflow: Overflow | str,
        notices: bool = False,
    ) -> Subscription:
        """A new consumer.

        Raises:
            InvalidRequest: both a callback and an inbox are given, or a rule that would stop every venue.
        """
        if callback is not None and inbox is not None:
            raise InvalidRequest("give a callback or an inbox, not both; subscribe twice to have both.")
        if capacity < 1:
            raise InvalidRequest(f"capacity is {capacity}; a queue holds 1 value or more.")
        try:
            rule = Overflow(overflow)
        except ValueError:
            raise InvalidRequest(f"{overflow!r} is not an Overflow; expected 'latest_wins' or 'report_gap'.") from None
        if rule is Overflow.PUSH_BACK:
            raise InvalidRequest("push_back would let one consumer stop every venue; take latest_wins or report_gap.")
        subscription = Subscription(
            self,
            self._clock,
            callback=callback if inbox is None else inbox.tell,
            into_inbox=inbox is not None,
            capacity=capacity,
            overflow=rule,
            notices=notices,
        )
        with self._lock:
            self._all = (*self._all, _Outlet(subscription))
        return subscription

    def post(self, values: tuple[Any, ...]) -> None:
        """Put values on their way, under the aggregate's lock."""
        if values:
            self._last_s = self._clock.monotonic_s()
            for outlet in self._all:
                outlet.behind.extend(values)

    def hand_over(self) -> None:
        """Outside of the aggregate's lock, after every `post`."""
        for outlet in self._all:
            if outlet.behind:
                outlet.hand_over(self._clock.monotonic_s)
                if outlet.behind:  # somebody is at it; or it is more than one call's share
                    self._judge(outlet, self._clock.monotonic_s())

    def look(self, now_s: float) -> None:
        """Take off whoever does not return; a few times a second, for the case that nothing is posted."""
        for outlet in self._all:
            self._judge(outlet, now_s)

    def _judge(self, outlet: _Outlet, now_s: float) -> None:
        since_s = outlet.busy_since_s
        if len(outlet.behind) > BEHIND_AT_MOST or (since_s is not None and now_s - since_s > CALLBACK_WITHIN_S):
            self._take_off(outlet)

    def _take_off(self, outlet: _Outlet) -> None:
        if outlet.subscription.state is TopicState.CLOSED:
            return  # another thread saw it too
        self.counts["taken_off"] += 1
        outlet.subscription.close()  # what is behind it stays with the thread that hangs there, and goes nowhere

    def close(self) -> None:
        for outlet in self._all:
            outlet.subscription.close()

    # ------------------------------------------------------------ what a subscription asks of its feed

    @property
    def state(self) -> TopicState:
        return self._state()[0]

    def freshness(self) -> Freshness:
        state, reason = self._state()
        age_s = None if self._last_s is None else max(0.0, self._clock.monotonic_s() - self._last_s)
        if state is TopicState.LIVE:
            return Freshness(stale=False, age_s=age_s, reason=reason)
        return Freshness(stale=True, age_s=age_s, reason=f"{state.value}: {reason}")

    def wait_state(self, wanted: frozenset[TopicState], timeout_s: float) -> TopicState:
        with self._changed:
            self._changed.wait_for(lambda: self.state in wanted, timeout_s)
            return self.state

    def detach(self, subscription: Subscription) -> None:
        with self._lock:
            self._all = tuple(outlet for outlet in self._all if outlet.subscription is not subscription)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"<Outlets {self.topic} at {self.venue} consumers={len(self._all)} taken_off={self.counts['taken_off']}>"
