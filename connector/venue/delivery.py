"""How values reach an engine: a callback, a bounded queue, or an actor's inbox, each with its rule for being too slow.

A sink takes one value and returns. It never reads a socket and never decides what is sent; the feed calls it on the
reader thread of the connection (recovered values: on the thread that fetched them), never on two threads at once.
A queue is read on the engine's threads. What cannot be delivered is counted, and reported as a `Gap` where the rule says so.
"""

from __future__ import annotations

import enum
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from connector.clock import Clock
from connector.domain.market import Freshness, Gap
from connector.domain.topics import Topic
from connector.errors import NotConnected

__all__ = ["Closed", "Notice", "Overflow", "Subscription", "TopicState", "TopicStatus"]


class Overflow(enum.Enum):
    """What a full queue does.

    LATEST_WINS: the oldest value makes room; right for quotes. REPORT_GAP: the new value is dropped, and one `Gap` stands
    in its place; right for trades. PUSH_BACK: the reader waits for room, a bounded time, then as REPORT_GAP; it slows
    every topic of that connection.
    """

    LATEST_WINS = "latest_wins"
    REPORT_GAP = "report_gap"
    PUSH_BACK = "push_back"


class TopicState(enum.Enum):
    """WANTED: asked for, not confirmed. CONFIRMED: the venue said yes. LIVE: data came. STALE: it may be missing data now.
    REFUSED: the venue or the instrument list said no. CLOSED: nobody wants it any more."""

    WANTED = "wanted"
    CONFIRMED = "confirmed"
    LIVE = "live"
    STALE = "stale"
    REFUSED = "refused"
    CLOSED = "closed"


class TopicStatus(msgspec.Struct, frozen=True):
    """A change of a topic's state, with the reason in words. `epoch` counts incarnations of the stream actor."""

    venue: str
    topic: Topic
    state: TopicState
    reason: str
    at_ns: int
    epoch: int


Notice = Gap | TopicStatus


class Closed(Exception):
    """The subscription has ended and every value in it was taken."""


class FeedView(Protocol):
    """What a subscription needs of its feed."""

    topic: Topic
    venue: str

    @property
    def state(self) -> TopicState: ...

    def freshness(self) -> Freshness: ...

    def wait_state(self, wanted: frozenset[TopicState], timeout_s: float) -> TopicState: ...

    def detach(self, subscription: Subscription) -> None: ...


_CLOSE = object()
_LIVE_OR_OVER = frozenset({TopicState.LIVE, TopicState.REFUSED, TopicState.CLOSED})
RECENT_GAPS = 100


class _Hot:
    """What every value touches, side by side in memory; see `venue.feed`."""

    __slots__ = ("callback", "delivered", "ended")


class Subscription(_Hot):
    """One consumer of one topic, as the engine holds it; stays the same over every restart below.

    Attributes:
        topic, venue: what is listened to, and where.
        callback: what is called with each value on the feed's thread; None where values go to a queue or an inbox.
        ended: closed, by whoever.
        delivered, dropped, failures: values handed over, values lost to a full queue, callbacks that raised.
        gaps: the last hundred gaps, newest last, whether or not notices are delivered.

    Safe on any thread. Closing it from inside its own callback is fine.
    """

    __slots__ = (  # noqa: SIM905
        "_callback _capacity _clock _feed _lost _notices _on_close _overflow _push_back_s _room _values dropped failures gaps "
        "last_failure take topic venue"
    ).split()

    def __init__(
        self,
        feed: FeedView,
        clock: Clock,
        *,
        callback: Callable[[Any], object] | None = None,
        into_inbox: bool = False,
        capacity: int = 10_000,
        overflow: Overflow = Overflow.REPORT_GAP,
        push_back_s: float = 1.0,
        notices: bool = False,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.topic, self.venue = feed.topic, feed.venue
        self.delivered = self.dropped = self.failures = 0
        self.last_failure: BaseException | None = None
        self.gaps: deque[Gap] = deque(maxlen=RECENT_GAPS)
        self._feed, self._clock, self._notices = feed, clock, notices
        self._capacity, self._overflow, self._push_back_s = capacity, overflow, push_back_s
        self.ended, self._on_close = False, on_close
        self._callback = callback
        self.callback = None if into_inbox else callback
        self._values: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Condition()  # only PUSH_BACK waits on it
        self._lost: tuple[int, int] | None = None  # (began_ns, how many) of the loss under way
        self.take: Callable[[Any], None] = self._put
        if callback is not None:
            self.take = self._tell if into_inbox else self._call

    # ------------------------------------------------------------ the feed's side

    def _call(self, value: Any) -> None:
        if self.ended:
            return
        self.delivered += 1
        try:
            self._callback(value)  # type: ignore[misc]
        except BaseException as failure:  # noqa: BLE001  a consumer's error, SystemExit included, is the consumer's alone
            self.failed(failure)

    def failed(self, failure: BaseException) -> None:
        """The callback raised."""
        self.failures += 1
        self.last_failure = failure

    def _tell(self, value: Any) -> None:
        if self.ended:
            return
        try:
            if self._lost is not None:  # written by this thread alone on this path
                self._callback(self._loss(*self._lost))  # type: ignore[misc]
                self._end_of_loss()
            self._callback(value)  # type: ignore[misc]
        except Exception as failure:  # noqa: BLE001  a full or dead inbox is the consumer's
            self.last_failure = failure
            self._lose()
        else:
            self.delivered += 1

    def _put(self, value: Any) -> None:
        values = self._values
        if self._lost is not None or values.qsize() >= self._capacity:
            if self.ended or not self._make_room():
                return
        elif self.ended:
            return
        self.delivered += 1
        values.put(value)

    def _make_room(self) -> bool:
        """Apply the overflow rule; True when the value may be put."""
        values = self._values
        if self._overflow is Overflow.LATEST_WINS:
            try:
                oldest = values.get_nowait()
            except queue.Empty:
                return True
            if oldest is _CLOSE:  # closed meanwhile: the mark must stay
                values.put(_CLOSE)
                return False
            self.dropped += 1
            return True
        if self._overflow is Overflow.PUSH_BACK and self._lost is None:
            with self._room:  # the reader waits here, at most push_back_s; the consumer notifies after each get
                self._room.wait_for(self._has_room, self._push_back_s)
        if not self._has_room():
            self._lose()
            return False
        gap = self._end_of_loss()
        if gap is not None:
            values.put(gap)
        return True

    def _has_room(self) -> bool:
        return self.ended or self._values.qsize() < self._capacity

    def _lose(self) -> None:
        now_ns = self._clock.time_ns()
        with self._room:  # guards _lost against the reader of an emptied queue; arithmetic only
            began_ns, missing = self._lost or (now_ns, 0)
            self._lost = (began_ns, missing + 1)
        self.dropped += 1

    def _end_of_loss(self) -> Gap | None:
        with self._room:
            if self._lost is None:
                return None
            began_ns, missing = self._lost
            self._lost = None
        gap = self._loss(began_ns, missing)
        self.gaps.append(gap)
        return gap

    def _loss(self, began_ns: int, missing: int) -> Gap:
        now_ns = self._clock.time_ns()
        return Gap(self.venue, str(self.topic), began_ns, now_ns, "the consumer was too slow", missing=missing)

    def notice(self, notice: Notice) -> None:
        """Called by the feed beside the values, in their order."""
        if isinstance(notice, Gap):
            self.gaps.append(notice)
        if self._notices and not self.ended:
            if self._callback is not None:
                self.take(notice)
            else:
                self._values.put(notice)  # beyond the bound on purpose: there are few, and they are the truth

    # ------------------------------------------------------------ the engine's side

    def get(self, timeout_s: float | None = None) -> Any:
        """The next value, oldest first (a queue subscription only).

        Raises:
            TimeoutError: nothing came within `timeout_s`.
            Closed: the subscription has ended and is empty.
        """
        if self._callback is not None:
            raise TypeError(f"{self!r} delivers to a callback; there is no queue to read.")
        if self._lost is not None and self._values.empty():
            gap = self._end_of_loss()
            if gap is not None:
                return gap
        try:
            value = self._values.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no value of {self.topic} within {timeout_s} s; {self._feed.freshness()}") from None
        if value is _CLOSE:
            self._values.put(_CLOSE)  # for other readers, and for the next call
            raise Closed(f"{self.topic} was unsubscribed")
        if self._overflow is Overflow.PUSH_BACK:
            with self._room:
                self._room.notify()
        return value

    def __iter__(self) -> Iterator[Any]:
        """Values until the subscription is closed."""
        while True:
            try:
                yield self.get()
            except Closed:
                return

    def wait_live(self, timeout_s: float) -> None:
        """Wait until data has come.

        Raises:
            NotConnected: it did not within `timeout_s`, or the topic was refused; the text says where it stands.
        """
        state = self._feed.wait_state(_LIVE_OR_OVER, timeout_s)
        if state is not TopicState.LIVE:
            raise NotConnected(
                f"{self.topic} at {self.venue} is {state.value} after {timeout_s} s: {self._feed.freshness().reason}"
            )

    @property
    def state(self) -> TopicState:
        return TopicState.CLOSED if self.ended else self._feed.state

    def freshness(self) -> Freshness:
        """Whether the last value can be trusted to be current, and its age."""
        return self._feed.freshness()

    @property
    def waiting(self) -> int:
        """Values in the queue."""
        return self._values.qsize()

    def close(self) -> None:
        """Stop listening. Values already queued can still be taken. Idempotent."""
        with self._room:  # one of several callers closes it
            if self.ended:
                return
            self.ended = True
        self._feed.detach(self)
        self._values.put(_CLOSE)
        with self._room:
            self._room.notify_all()
        self._on_close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        how = "callback" if self._callback is not None else f"queue {self.waiting}/{self._capacity}"
        return (
            f"<Subscription {self.topic} at {self.venue} {self.state.name} {how} "
            f"delivered={self.delivered} dropped={self.dropped} failures={self.failures}>"
        )
