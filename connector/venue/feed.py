"""The hot path of one topic: frame in, typed value out to every consumer, nothing twice, nothing missing unsaid.

A feed outlives connections and actors: it remembers the last value, so that whatever comes next can be seen to follow.
It never opens, sends or waits. Frames enter on the reader thread of the connection that owns the topic; values fetched
after an outage on the thread that fetched them; changes of state on the stream actor's. `_lock`, and the one `Reader` that is
let in without it, make that one at a time, consumers' calls included. Questions a feed needs answered (missing values) leave
through `ask`, which must only post a message.

A callback that does not return is taken off: whoever waits for it longer than `CALLBACK_WITHIN_S` removes that consumer and
goes on with a new lock, so that one consumer's trouble stays its own. The late thread delivers nothing more.

Planned change of connection: the successor's frames wait here until `adopt` makes it the owner; then they follow the
predecessor's last value, duplicates dropped.

After an interruption `catch_up` asks for what was missed before a live value has shown that anything was: what it brings is
delivered at once, and says nothing of the state, which is that of the stream. Whether the stream then follows on it is judged as
ever: by ids that rise by one; elsewhere by a value that came both ways, or the question is asked again.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from connector.clock import Clock
from connector.domain.market import Candle, Freshness, Gap
from connector.domain.topics import Topic
from connector.errors import WireFormatError
from connector.telemetry import Counters, OncePerKind
from connector.venue.continuity import CONTINUITY, OPEN_END, Missing, TopicContinuity
from connector.venue.delivery import Notice, Subscription, TopicState, TopicStatus
from connector.venue.liveness import Rate

__all__ = ["Backfill", "Feed", "Source"]

HELD_AT_MOST = 10_000
"""Values that wait for a backfill or a change of owner; more than that ends the wait and the gap is told as it is."""
REMEMBERED = 512
"""Values that are known again when they come twice, where their keys do not tell."""
COUNT_RESTART_S = 5.0
"""A venue whose ids keep rising below our last one for so long has started counting again."""

KNOWN_PER_TOPIC = 8
"""Beginnings of frames that are remembered, for each topic of a connection."""
CALLBACK_WITHIN_S = 2.0
"""How long anybody waits for a consumer's callback before that consumer is taken off."""

_VARYING = re.compile(r"'[^']*'?|\b\d+|\b0x[0-9a-f]+")
"""What differs from one unreadable frame to the next that is unreadable in the same way: what was found, and where."""

Source = object
"""Identity of a connection; only the owner's frames are delivered."""


class Backfill(msgspec.Struct, frozen=True):
    """A feed's wish: fetch what is missing, then call `Feed.recovered` or `Feed.give_up_recovery` with this token."""

    topic: Topic
    missing: Missing
    token: int


class _Routing:
    """Which feed a frame belongs to, by its first bytes. Replaced, never changed from outside.

    Attributes:
        known: the feed by the first `length` bytes of a frame, as far as they have been met. They hold the topic's name and
            what stands behind it, so several may mean one feed; looking for the end of the name would cost more than they do.
    """

    __slots__ = ("_heads", "_name_at", "known", "length")

    def __init__(self, heads: dict[bytes, Feed], name_at: int) -> None:
        self._heads, self._name_at = heads, name_at  # heads: up to and with the quote behind the name
        self.length = max(map(len, heads), default=0)
        self.known: dict[bytes, Feed] = {}

    def find(self, frame: bytes) -> Feed | None:
        """The feed of a frame that begins as none before it; None when no topic's frames begin like that."""
        feed = self._heads.get(frame[: frame.find(b'"', self._name_at) + 1])
        if feed is not None:
            if len(self.known) >= KNOWN_PER_TOPIC * len(self._heads):  # what stands behind the name varies
                self.known.clear()
            self.known[frame[: self.length]] = feed
        return feed


class Reader:
    """The thread that brings the frames of one connection, as the feeds see it.

    A feed that is live and has nothing pending lets its owner's reader in: until it is called back, that reader alone touches
    what a usual frame touches, so the next value of any topic is delivered without a lock. `_at` says whose frame is in
    hand. Whoever needs the feed takes its lock, sends the reader away (`Feed._reader`), and waits until `_at` is another;
    a reader that sets `_at` first and looks at `_reader` second cannot be overlooked.
    """

    def __init__(self, name_after: bytes) -> None:
        self._name_after = name_after
        self._routing = _Routing({}, len(name_after))
        self._at: Feed | None = None
        self._calling: Subscription | None = None  # whose callback runs now
        self._waiting = 0  # how many wait until `_at` is another; counted under _moved
        self._moved = threading.Condition()

    def _pass_on(self, frames: list[bytes], received_ns: int, now_s: float) -> None:
        """Deliver what was received together. Never raises for what a frame contains or a consumer does."""
        try:
            self._pass_each_on(frames, received_ns, now_s)
        finally:
            self._leave()

    def _pass_each_on(self, frames: list[bytes], received_ns: int, now_s: float) -> None:
        routing = self._routing
        known, length = routing.known, routing.length
        for frame in frames:
            # Nearly every frame is the next value of a live topic, and its first bytes have been met. For that one, this is
            # what `Feed.on_frame` and what it calls would do, written out; whatever is not as usual goes there.
            feed = known.get(frame[:length])
            if feed is None:
                feed = routing.find(frame)
                if feed is None:
                    self._leave()
                    self._on_other(frame, received_ns, now_s)
                    continue
            self._at = feed
            if feed._reader is not self:
                self._leave()
                feed.on_frame(self, frame, received_ns, now_s)
                continue
            if self._waiting:  # for us to leave another feed
                self._tell_moved()
            # Taken from the feed first: called as its methods, they would be looked for in its class each time.
            read, key_of = feed._read, feed._key
            try:
                value = read(frame, received_ns)  # type: ignore[misc]
            except WireFormatError as unreadable:
                feed._refuse(unreadable)
                continue
            if value is not None and type(value) is not list:
                key, last_key = key_of(value), feed._last_key
                if key is not None and (key - last_key == 1 or (not feed._in_steps and key > last_key)):  # type: ignore[operator]
                    feed._last_key, feed.last, feed.last_new_s = key, value, now_s
                    feed._plain += 1
                    consumer = feed._sole
                    if consumer is None:
                        feed._call_all(value)
                    elif not consumer.ended:
                        consumer.delivered += 1
                        self._calling, callback = consumer, consumer.callback
                        try:
                            callback(value)  # type: ignore[misc]
                        except BaseException as failure:  # noqa: BLE001  the consumer's alone, SystemExit included
                            consumer.failed(failure)
                        self._calling = None
                    continue
            feed._spread(value, now_s)
            if self._at is feed and not feed._is_plain:
                feed._reader = None  # the last act here: whoever finds none does not wait for us

    def _leave(self) -> None:
        """Before anything that may wait for a feed's lock: whoever has it may be waiting for us."""
        self._at = None
        if self._waiting:
            self._tell_moved()

    def _route(self, routes: dict[bytes, Feed]) -> None:
        """Whose frames are whose from the next batch on, by the topics' names."""
        after = self._name_after
        heads = {after + name + b'"': feed for name, feed in routes.items()} if after else {}
        self._routing = _Routing(heads, len(after))

    def _on_other(self, frame: bytes, received_ns: int, now_s: float) -> None:
        """A frame that begins with none of the heads."""
        raise NotImplementedError

    def _tell_moved(self) -> None:
        with self._moved:
            self._moved.notify_all()

    def _leaves(self, feed: Feed, within_s: float) -> bool:
        """Wait until the frame in hand is not this feed's; False when it still was after `within_s`."""
        if self._at is not feed:
            return True
        with self._moved:
            self._waiting += 1
            try:
                return self._moved.wait_for(lambda: self._at is not feed, within_s)
            finally:
                self._waiting -= 1


class _Hot:
    """What every message touches, side by side in memory: of thousands of topics, most are far from the processor."""

    __slots__ = ("_in_steps", "_key", "_last_key", "_plain", "_read", "_reader", "_sole", "last", "last_new_s")


class Feed(_Hot):
    """One topic's last value, consumers and counters. `repr` is a status line.

    Attributes:
        frames, accepted, values: frames read; values that were new; values handed to consumers.
        duplicates, unreadable, gaps, recovered_values: counted since the feed was made.
        quiet_s: monotonic time at which a probe last showed that silence is the truth.
        last_new_s: monotonic time of the last value that was new; None before the first.
        epoch: of the stream actor that serves it.
    """

    # Beyond thirty attributes a dict would make each access slower.
    __slots__ = (  # noqa: SIM905
        "_alarms _ask _at_key _backfill _before_hole _calling _caught_up_for _changed _clock _consumers _counters _fetched "
        "_frames_before_owner _held _hole_made_by _interrupted _is_plain _lock _make_reader _may_be_plain _other_accepted "
        "_other_frames _other_values _owner _reason _recent _recovery _state _stray _successor _successor_frames _token _torn "
        "duplicates epoch gaps quiet_s rate recovered_values rule topic unreadable venue"
    ).split()

    def __init__(
        self,
        venue: str,
        topic: Topic,
        clock: Clock,
        *,
        ask: Callable[[Any], None],
        counters: Counters,
        alarms: OncePerKind,
        backfill: bool = True,
        rule: TopicContinuity | None = None,
    ) -> None:
        self.venue, self.topic = venue, topic
        self.rule = rule or CONTINUITY[topic.kind]
        self.duplicates = self.unreadable = self.gaps = self.recovered_values = 0
        self._plain = (
            0  # frames that brought the next value, delivered at once; all others are counted in the three below
        )
        self._other_frames = self._other_accepted = self._other_values = 0
        self.last: Any = None
        self.last_new_s: float | None = None
        self.quiet_s = float("-inf")
        self.rate = Rate()
        self.epoch = 0
        self._clock, self._ask, self._counters, self._alarms, self._backfill = clock, ask, counters, alarms, backfill
        self._key = self.rule.key
        self._last_key: int | None = None
        self._recent: dict[Hashable, tuple[int, int]] = {}  # the newest values that have names: key, and when they came
        self._at_key: set[Hashable] = set()  # values of the last key, where those have to be told apart
        self._before_hole: frozenset[Hashable] = frozenset()  # those before the hole being filled
        self._fetched: frozenset[Hashable] = frozenset()  # names of what `catch_up` brought last
        self._caught_up_for: Source | None = None  # the owner for which `catch_up` asked since the last interruption
        self._interrupted = ""  # by what the stream may have been without us since the last value
        self._make_reader: Callable[[], Callable[[bytes, int], Any]] | None = None
        self._read: Callable[[bytes, int], Any] | None = None
        self._lock = threading.Lock()  # one frame, one recovery, one change of owner or state at a time
        self._reader: Reader | None = None  # let in: it delivers the next values without that lock, see there
        self._calling: Subscription | None = None  # whose callback runs now
        self._owner: Source | None = None
        self._frames_before_owner = 0
        self._successor: Source | None = None
        self._successor_frames: deque[tuple[bytes, int]] = deque(maxlen=HELD_AT_MOST)
        self._in_steps = self.rule.contiguous
        # Topics whose keys rise by any amount, and show no hole, are as plain as those that rise by one.
        self._may_be_plain = self.rule.contiguous or (self.rule.missing is None and self.rule.distinct is None)
        self._is_plain = False  # live, nothing held back, no stray: set after a value, cleared by whatever changes that
        self._stray: tuple[int, float] | None = None
        self._held: list[Any] | None = None
        self._recovery: tuple[Backfill, Any, float] | None = None  # wish, value before the hole, since when
        self._hole_made_by = ""
        self._torn: dict[int, str] = {}  # which held values came after another interruption, and what that was
        self._token = 0
        self._state = TopicState.WANTED
        self._reason = "not subscribed yet"
        self._changed = threading.Condition()  # guards _consumers, announces _state; no consumer is called under it
        self._consumers: tuple[Subscription, ...] = ()
        self._sole: Subscription | None = None  # the only consumer, where it is called directly

    # ------------------------------------------------------------ consumers

    def attach(self, consumer: Subscription) -> None:
        with self._changed:
            self._set_consumers((*self._consumers, consumer))

    def detach(self, consumer: Subscription) -> None:
        with self._changed:
            self._set_consumers(tuple(each for each in self._consumers if each is not consumer))

    def _set_consumers(self, consumers: tuple[Subscription, ...]) -> None:
        self._consumers = consumers
        self._sole = consumers[0] if len(consumers) == 1 and consumers[0].callback is not None else None

    @property
    def consumers(self) -> tuple[Subscription, ...]:
        return self._consumers

    def _call_all(self, value: Any) -> None:
        for consumer in self._consumers:
            self._calling = consumer
            consumer.take(value)
            if self._calling is not consumer:
                return  # taken off meanwhile; another thread goes on in our place
        self._calling = None

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """The lock, for everybody but the reader; takes off a consumer that keeps it for too long."""
        while True:
            lock = self._lock
            if not lock.acquire(timeout=CALLBACK_WITHIN_S):
                if lock is self._lock:
                    self._take_off()
            elif lock is self._lock:
                break
            else:  # it was given up, for a new one
                lock.release()
        try:
            reader, self._reader = self._reader, None
            if reader is not None and not reader._leaves(self, CALLBACK_WITHIN_S):
                self._take_off(reader)
            yield
        finally:
            lock.release()

    def _take_off(self, reader: Reader | None = None) -> None:
        """Go on without whoever has the feed: another thread that keeps its lock, or `reader`."""
        hung, self._calling = self._calling, None
        if reader is None:
            self._lock = threading.Lock()  # the late thread keeps the old one; see `_call_all`
        else:
            hung, reader._at = hung or reader._calling, None
        self._owner = None
        self._held, self._recovery = None, None
        if hung is not None:
            self._counters.add("feed.consumers_taken_off")
            self._alarms.report(
                "a consumer does not return",
                f"{hung!r} has kept {self.topic} for {CALLBACK_WITHIN_S} s and was closed. A callback must not block.",
            )
            hung.close()

    @property
    def frames(self) -> int:
        return self._other_frames + self._plain

    @property
    def accepted(self) -> int:
        return self._other_accepted + self._plain

    @property
    def values(self) -> int:
        return self._other_values + self._plain

    # ------------------------------------------------------------ frames (reader threads)

    def bind(self, make_reader: Callable[[], Callable[[bytes, int], Any]]) -> None:
        """Set how frames are read; done when the instrument is known, before the topic is subscribed.

        Each connection that owns the topic gets a reader of its own, since one may keep something from frame to frame.
        """
        self._make_reader, self._read = make_reader, make_reader()

    @property
    def is_bound(self) -> bool:
        return self._read is not None

    def _read_anew(self) -> None:
        if self._make_reader is not None:
            self._read = self._make_reader()

    def own(self, source: Source) -> None:
        """Make a connection the owner at once; frames of any other are dropped from now on."""
        with self._exclusively():
            self._owner, self._successor = source, None
            self._frames_before_owner = self.frames
            self._successor_frames.clear()
            self._read_anew()

    def disown(self, reason: str) -> None:
        """Nobody wants the topic any more: what comes later does not follow what came before."""
        with self._exclusively():
            self._owner = self._successor = self.last = self._last_key = self._held = self._recovery = None
            self._recent.clear()
            self._set_state(TopicState.WANTED, reason)

    def prepare(self, successor: Source) -> None:
        """Keep a second connection's frames aside until `adopt`."""
        with self._exclusively():
            self._successor = successor
            self._successor_frames.clear()

    def adopt(self, successor: Source) -> None:
        """Make the prepared connection the owner and deliver what it has brought so far, without duplicates."""
        with self._exclusively():
            if self._successor is not successor:
                return
            self._owner, self._successor = successor, None
            self._read_anew()
            frames = list(self._successor_frames)
            self._successor_frames.clear()
            now_s = self._clock.monotonic_s()
            for frame, received_ns in frames:
                self._take(frame, received_ns, now_s)

    def saw_data_on(self, source: Source) -> bool:
        """Whether a frame came since this connection was made owner or prepared."""
        if source is self._owner:
            return self.frames > self._frames_before_owner
        return source is self._successor and bool(self._successor_frames)

    def on_frame(self, source: Source, frame: bytes, received_ns: int, now_s: float) -> None:
        """Deliver one frame. Never raises for what a frame contains or a consumer does."""
        with self._lock:  # uncontended but for recoveries, changes of owner and of state
            if source is self._owner:
                self._take(frame, received_ns, now_s)
                if self._is_plain and source is self._owner and isinstance(source, Reader):
                    self._reader = source
            elif source is self._successor:
                self._successor_frames.append((frame, received_ns))

    def _refuse(self, unreadable: WireFormatError) -> None:
        self._other_frames += 1
        self.unreadable += 1
        self._on_unreadable(unreadable)

    def _take(self, frame: bytes, received_ns: int, now_s: float) -> None:
        try:
            value = self._read(frame, received_ns)  # type: ignore[misc]
        except WireFormatError as unreadable:
            self._refuse(unreadable)
            return
        self._spread(value, now_s)

    def _spread(self, value: Any, now_s: float) -> None:
        """All values of one frame."""
        self._other_frames += 1
        if type(value) is list:
            for each in value:
                self._take_value(each, now_s)
        elif value is not None:
            self._take_value(value, now_s)

    def _take_value(self, value: Any, now_s: float) -> None:
        key = self._key(value)
        last_key = self._last_key
        if (
            key is not None
            and last_key is not None
            and key <= last_key
            and not self._is_other_of(key, value)
            and (self._is_repeated_or_late(key, value) or not self._count_restarted(key, value, now_s))
        ):
            if self._interrupted and self._came_both_ways(value):
                self._interrupted = ""  # from here on the stream follows on what was fetched
            self.duplicates += 1
            return
        self._on_new(value, key, now_s)

    def _is_repeated_or_late(self, key: int, value: Any) -> bool:
        """Of a lower key, where values have names: whether it was here before, or comes too late for its place, which is told."""
        distinct, recent = self.rule.distinct, self._recent
        if distinct is None or not recent:
            return False
        if distinct(value) in recent:
            return True
        places = sorted(recent.values())
        at = bisect_left(places, (key, 0))
        if at == 0:
            return False  # longer ago than we remember: it may have been here, or the venue counts anew
        reason = "it came behind later ones"
        self._report(Gap(self.venue, str(self.topic), places[at - 1][1], places[-1][1], reason, missing=1))
        return True

    def _remember(self, key: int, value: Any) -> None:
        """Of values that have names: the newest of them, each with its key and when it came."""
        assert self.rule.distinct is not None
        recent = self._recent
        recent[self.rule.distinct(value)] = (key, value.received_ns)
        if len(recent) > REMEMBERED:
            del recent[next(iter(recent))]

    def _is_other_of(self, key: int, value: Any) -> bool:
        """Whether a value of the last key is one that was not here yet."""
        distinct = self.rule.distinct
        return distinct is not None and key == self._last_key and distinct(value) not in self._at_key

    def _on_unreadable(self, unreadable: WireFormatError) -> None:
        kind = _VARYING.sub("…", unreadable.problem)
        self._alarms.report(f"{self.topic.kind.value}: {kind}", str(unreadable))

    def _on_new(self, value: Any, key: int | None, now_s: float) -> None:
        """A value that was not here before: look for what lies between, then deliver or hold."""
        missing, before = None, self.last
        rule = self.rule
        if self._held is not None and not self._held and rule.contiguous and self._follows(key):
            self._held = self._recovery = None  # nothing was missed: what was asked for is not waited for
        if (
            rule.missing is not None
            and before is not None
            and self._held is None
            and (self._interrupted or not rule.after_loss)
        ):
            missing = rule.missing(self.topic, before, value)
        again, self._interrupted = self._interrupted, ""
        if rule.distinct is not None:
            if missing is not None:
                self._before_hole = frozenset(self._at_key)
            if key != self._last_key:
                self._at_key = set()
            self._at_key.add(rule.distinct(value))
            if key is not None:
                self._remember(key, value)
        self._last_key, self.last, self.last_new_s = key, value, now_s
        self._other_accepted += 1
        self._stray = None
        if missing is not None:
            self._begin_recovery(missing, before, value, now_s, again or "not delivered by the venue")
        elif self._held is not None:
            if again and rule.after_loss:
                self._torn[len(self._held)] = again
            self._held.append(value)
            if len(self._held) > HELD_AT_MOST:
                self._end_recovery((), f"{self._hole_made_by}, and too many values waited for the missing ones")
        else:
            self._deliver(value)
        self._is_plain = (
            self._may_be_plain and key is not None and self._held is None and self._state is TopicState.LIVE
        )

    def _follows(self, key: int | None) -> bool:
        return key is not None and self._last_key is not None and key == self._last_key + 1

    def _deliver(self, value: Any) -> None:
        self._other_values += 1
        if self._state is not TopicState.LIVE:
            self._set_state(TopicState.LIVE, "data arrives")
        self._call_all(value)

    def _count_restarted(self, key: int, value: Any, now_s: float) -> bool:
        """True when ids below our last one have been rising long enough to be a new count instead of repeats.

        What happened no later than our last one is a repeat: of what was fetched while the stream stood still, say.
        """
        at_ns, last_ns = value.event_time_ns, None if self.last is None else self.last.event_time_ns
        if at_ns is not None and last_ns is not None and at_ns <= last_ns:
            return False
        stray = self._stray
        if stray is None or key <= stray[0]:
            if stray is None or now_s - stray[1] > 2 * COUNT_RESTART_S:
                self._stray, self._is_plain = (key, now_s), False
            return False
        if now_s - stray[1] < COUNT_RESTART_S:
            return False
        self._stray = None
        self._counters.add("feed.count_restarted")
        self._report(self._gap("the venue started counting again", self.last, value))
        self.last = None
        return True

    # ------------------------------------------------------------ gaps and recovery

    def _gap(self, reason: str, before: Any, after: Any, missing: Missing | None = None, filled: int = 0) -> Gap:
        """What was missed between two values that arrived."""
        return Gap(
            self.venue,
            str(self.topic),
            before.received_ns,
            after.received_ns,
            reason,
            first_missing=missing.first if missing is not None and not self.rule.after_loss else None,
            last_missing=missing.last if missing is not None and not self.rule.after_loss else None,
            missing=missing.count if missing is not None else None,
            filled=filled,
        )

    def _report(self, gap: Gap) -> None:
        self.gaps += 1
        self._counters.add("feed.gaps")
        self._tell(gap)

    def _tell(self, notice: Notice) -> None:
        for consumer in self._consumers:
            self._calling = consumer
            consumer.notice(notice)
            if self._calling is not consumer:
                return
        self._calling = None

    def _begin_recovery(self, missing: Missing, before: Any, value: Any, now_s: float, why: str) -> None:
        self._hole_made_by = why
        if not self._backfill:
            self._report(self._gap(why, before, value, missing))
            self._deliver(value)
            return
        self._held, self._torn = [value], {}
        self._wish_for(missing, before, now_s)

    def _wish_for(self, missing: Missing, before: Any, since_s: float) -> None:
        self._token += 1
        wish = Backfill(self.topic, missing, self._token)
        self._recovery = (wish, before, since_s)
        self._ask(wish)

    def recovered(self, token: int, values: tuple[Any, ...]) -> None:
        """Deliver fetched values in their place, marked `recovered`, then what waited behind them."""
        with self._exclusively():
            if self._recovery is None or self._recovery[0].token != token:
                return
            if self._recovery[0].missing.is_open:
                self._caught_up(values)
            else:
                self._end_recovery(values, self._hole_made_by)

    def give_up_recovery(self, token: int, reason: str) -> None:
        """The missing values cannot be had: say so and go on."""
        with self._exclusively():
            if self._recovery is None or self._recovery[0].token != token:
                return
            if self._recovery[0].missing.is_open:
                self._fetched = frozenset()
                self._go_on(self._recovery[1], self._recovery[2])
            else:
                self._end_recovery((), f"{self._hole_made_by}, and {reason}")

    def expire_recovery(self, now_s: float, limit_s: float) -> None:
        """Called by the ticker: do not hold live values back for longer than `limit_s`."""
        with self._exclusively():
            if self._recovery is not None and now_s - self._recovery[2] > limit_s:
                self._end_recovery((), f"{self._hole_made_by}, and the missing values did not come within {limit_s} s")

    def catch_up(self, now_s: float, *, joined: bool) -> None:
        """Ask for what was surely missed in an interruption, if by its rate anything was, before the first value shows it.

        Args:
            joined: the venue said that the topic is joined. Before that only ids that rise by one can tell what is still missing.
        """
        with self._exclusively():
            since, before, mean_s = self.rule.since, self.last, self.rate.mean_interval_s
            if since is None or before is None or mean_s is None or self.last_new_s is None or not self._backfill:
                return
            if not self._interrupted or self._held is not None or now_s - self.last_new_s < mean_s:
                return
            due = self._caught_up_for is not self._owner if self.rule.contiguous else joined
            missing = since(self.topic, before) if due else None
            if missing is None:
                return
            self._counters.add("feed.catch_ups")
            self._caught_up_for, self._hole_made_by = self._owner, self._interrupted
            self._before_hole = frozenset(self._at_key)
            self._held, self._torn, self._is_plain = [], {}, False
            self._wish_for(missing, before, now_s)

    def _caught_up(self, values: tuple[Any, ...]) -> None:
        """Deliver what is new of the answer to `catch_up`, up to the first live value if there is one; then go on with that."""
        assert self._recovery is not None and self._held is not None and self.rule.identity is not None
        recovery, held = self._recovery, self._held
        wish, last, since_s = recovery
        distinct, identity, first = self.rule.distinct, self.rule.identity, wish.missing.first
        ends = identity(held[0]) if held else OPEN_END
        fresh = []
        for value in values:
            place = identity(value)
            if not first <= place <= ends or (
                distinct(value) in self._recent if distinct is not None else place == ends
            ):
                continue
            fresh.append(value)
            if distinct is not None:
                self._remember(place, value)
            self._other_values += 1
            self._call_all(msgspec.structs.replace(value, recovered=True))
        if self._recovery is not recovery:
            return  # a consumer was taken off meanwhile
        self.recovered_values += len(fresh)
        self._counters.add("feed.recovered", len(fresh))
        if fresh:
            before, last = last, fresh[-1]
            ended = identity(last)
            count = ended - first + 1 if self.rule.contiguous else None
            missing = Missing(first, ended, count, wish.missing.query)
            self._report(self._gap(self._hole_made_by, before, last, missing, len(fresh)))
            if distinct is not None:
                at_first = self._before_hole if ended == first else frozenset()
                self._before_hole = at_first | {distinct(value) for value in fresh if identity(value) == ended}
        # An answer that neither brings anything new nor reaches back to what came last leaves open what lies between.
        says = bool(fresh) or any(identity(value) <= first for value in values)
        self._fetched = frozenset(map(distinct, values)) if distinct is not None and says else frozenset()
        self._go_on(last, since_s)

    def _go_on(self, last: Any, since_s: float) -> None:
        """Deliver what waited for an answer to `catch_up`, where it follows on `last`; else ask for what lies between."""
        held, distinct = self._held, self.rule.distinct
        assert held is not None
        if not held:
            self._held = self._recovery = None
            self.last, self._last_key = last, self._key(last)
            if distinct is not None:
                self._at_key = set(self._before_hole)
            return
        look = self.rule.missing
        follows = look is None or any(map(self._came_both_ways, held))
        missing = look(self.topic, last, held[0]) if look is not None and not follows else None
        if missing is not None:
            self._wish_for(missing, last, since_s)
            return
        self._held = self._recovery = None
        self._release(held)

    def _came_both_ways(self, value: Any) -> bool:
        """Whether a value of the stream is one that was fetched after that stream was joined."""
        distinct = self.rule.distinct
        if distinct is None or self._owner is None or self._caught_up_for is not self._owner:
            return False
        return distinct(value) in self._fetched

    def _end_recovery(self, values: tuple[Any, ...], reason: str) -> None:
        assert self._recovery is not None and self._held is not None and self.rule.identity is not None
        wanted: Missing | None
        wanted, last = self._recovery[0].missing, self._recovery[1]
        held, self._held, self._recovery = self._held, None, None
        if not held:
            return  # nothing live waits: the next value shows what is missing
        if wanted.is_open:
            wanted = self.rule.missing(self.topic, last, held[0]) if self.rule.missing is not None else None
        if wanted is not None:
            self._fill(wanted, last, held, values, reason)
        self._release(held)

    def _fill(self, missing: Missing, last: Any, held: list[Any], values: tuple[Any, ...], reason: str) -> None:
        """Deliver those of the fetched values that belong into the hole, and tell it; unless they show that there is none."""
        assert self.rule.identity is not None
        filled = 0
        for value in values:
            place = self.rule.identity(value)
            if self.rule.distinct is not None and self._was_here(value, place, missing, held):
                continue
            if missing.first <= place <= missing.last and not (isinstance(value, Candle) and not value.closed):
                filled += 1
                if self.rule.distinct is not None:
                    self._remember(place, value)
                self._deliver(msgspec.structs.replace(value, recovered=True))
        self.recovered_values += filled
        self._counters.add("feed.recovered", filled)
        if filled or not self._are_neighbours(last, held[0], values):
            self._report(self._gap(reason, last, held[0], missing, filled))

    def _are_neighbours(self, one: Any, other: Any, values: tuple[Any, ...]) -> bool:
        """Whether what was fetched reaches over both, so that all that lies between would be in it."""
        distinct = self.rule.distinct
        return distinct is not None and {distinct(one), distinct(other)} <= set(map(distinct, values))

    def _release(self, held: list[Any]) -> None:
        """Deliver what was held back; a hole in it is told."""
        before, look = held[0], self.rule.missing
        for at, value in enumerate(held):
            may_be = at > 0 and (at in self._torn or not self.rule.after_loss)
            again = look(self.topic, before, value) if look is not None and may_be else None
            if again is not None:  # a second hole while the first was being filled: told, not chased
                self._report(self._gap("lost while earlier values were being fetched", before, value, again))
            self._deliver(value)
            before = value

    def _was_here(self, value: Any, place: int, missing: Missing, held: list[Any]) -> bool:
        """Of a fetched value at either end of a hole: whether it came by the stream, before the hole or behind it."""
        distinct, identity = self.rule.distinct, self.rule.identity
        assert distinct is not None and identity is not None
        if place == missing.first and distinct(value) in self._before_hole:
            return True
        return place == missing.last and any(
            identity(each) == place and distinct(each) == distinct(value) for each in held
        )

    # ------------------------------------------------------------ the stream actor's side

    def on_disconnected(self, reason: str) -> None:
        """The owner is gone: what was delivered last may be old by now."""
        with self._exclusively():
            self._on_disconnected(reason)

    def _on_disconnected(self, reason: str) -> None:
        self._owner = None
        self._interrupted = "connection lost"
        if self._state in (TopicState.LIVE, TopicState.CONFIRMED, TopicState.STALE):
            self._set_state(TopicState.STALE, reason)
        elif self._state is TopicState.WANTED:
            self._set_state(TopicState.WANTED, reason)

    def on_renewal(self) -> None:
        """The topic is being left and joined again on the same connection."""
        with self._exclusively():
            self._caught_up_for = None
            self._interrupted = "the topic was silent"

    def on_left(self) -> None:
        """The venue says that the topic was left, to be joined again: what was on its way until now still followed the last
        value, and may have been taken for what comes after the hole."""
        with self._exclusively():
            self._caught_up_for = None
            self._interrupted = "the topic was silent"

    def shown_newer(self) -> None:
        """A probe showed values that this topic has not brought: what comes next need not follow what came last."""
        with self._exclusively():
            self._caught_up_for = None
            self._interrupted = self._interrupted or "the topic was silent"

    def on_tick(self, now_s: float, backfill_within_s: float) -> None:
        """Twice a second, on the stream actor's thread."""
        if self._recovery is not None:
            self.expire_recovery(now_s, backfill_within_s)

    def found_quiet(self, now_s: float) -> None:
        """A probe showed that the venue has nothing newer: silence is judged anew from here."""
        self.quiet_s = now_s

    def shown_quiet(self) -> None:
        """Nothing ever came, and two questions showed that nothing happened between them: all there is to prove."""
        if self._state is TopicState.WANTED:
            self.set_state(TopicState.CONFIRMED, "no data yet, and the venue has none to send")

    # ------------------------------------------------------------ state

    @property
    def state(self) -> TopicState:
        return self._state

    @property
    def reason(self) -> str:
        return self._reason

    def set_state(self, state: TopicState, reason: str) -> None:
        """For the stream actor."""
        with self._exclusively():
            self._set_state(state, reason)

    def _set_state(self, state: TopicState, reason: str) -> None:
        self._is_plain = False
        same, self._reason = state is self._state, reason
        if same:
            return
        with self._changed:
            self._state = state
            self._changed.notify_all()
        self._tell(TopicStatus(self.venue, self.topic, state, reason, self._clock.time_ns(), self.epoch))

    def wait_state(self, wanted: frozenset[TopicState], timeout_s: float) -> TopicState:
        """Wait until the state is one of `wanted`, or time is up; the state then."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in wanted, timeout_s)
            return self._state

    def freshness(self) -> Freshness:
        last_s = self.last_new_s
        age_s = None if last_s is None else max(0.0, self._clock.monotonic_s() - last_s)
        if self._state is TopicState.LIVE:
            return Freshness(stale=False, age_s=age_s)
        return Freshness(stale=True, age_s=age_s, reason=f"{self._state.value}: {self._reason}")

    def __repr__(self) -> str:
        fresh = self.freshness()
        age = "never" if fresh.age_s is None else f"{fresh.age_s:.2f}s"
        return (
            f"<Feed {self.topic} at {self.venue} {self._state.name} age={age} values={self.values} "
            f"duplicates={self.duplicates} gaps={self.gaps} recovered={self.recovered_values}>"
        )
