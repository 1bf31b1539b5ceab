"""The WebSocket actor of one venue: connections, subscriptions, liveness. Data itself never passes through its inbox.

It keeps what is wanted and what is confirmed equal, on as many connections as the venue's limits ask for. Readers belong
to the links; they call the feeds directly. Everything this actor does is started by a message: a link opened or ended, an
answer, a wish of a feed, a tick. Nothing here waits. After a crash the next incarnation finds the wanted topics in the
venue's memory, ends the links of its predecessor and starts with fresh ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from connector.domain.instruments import InstrumentStatus
from connector.domain.queries import DepthQuery, Query
from connector.domain.topics import Topic
from connector.drivers.contract import Ack, ConnectionEnding, Refusal
from connector.errors import ConnectorError, NotConnected, RateLimited, UnknownSymbol
from connector.supervision import SupervisedActor
from connector.throttle import Backoff, Priority
from connector.transport.contract import LinkClosed, Links, LinkSettings
from connector.venue.book_feed import BookFeed, RenewalWish, SnapshotWish
from connector.venue.connection import Connection, ControlSeen, LinkEnded, LinkOpened
from connector.venue.continuity import CONTINUITY, following, same_but_for_times, unsettled
from connector.venue.delivery import TopicState
from connector.venue.feed import Backfill, Feed
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer, Fetch, InstrumentsChanged, MeasureClock, SubscriptionsChanged, post
from connector.venue.private import PrivateSide
from connector.venue.subscriptions import FrameKind, SubscriptionSet

__all__ = ["StreamStatus", "WebSocketActor"]

TICK_S = 0.5
OVERLAP_S = 1.5
"""How long both connections carry every topic before the new one takes over."""
SETTLE_S = 1.0
"""Between two questions for a candle that has ended but is not final at the venue yet."""
PAGES = 10
"""Pages fetched for one gap at most; a longer gap is filled in part and told in full."""


TOO_MANY = (418, 429)
"""Upgrades refused with these were one too many for the address, not only for this connection."""


class _Tick(msgspec.Struct, frozen=True):
    """To itself, twice a second."""


class _Attempt(msgspec.Struct, frozen=True):
    """To itself: the delay before a connection attempt is over."""

    slot: int


class _SendFrames(msgspec.Struct, frozen=True):
    """To itself: the venue's spacing between frames has passed."""

    slot: int


class _Probed(msgspec.Struct, frozen=True):
    """From a REST worker: whether the venue has something that a silent topic should have sent."""

    name: str
    answer: Answer


class _Fetched(msgspec.Struct, frozen=True):
    """From a REST worker: a page of missing values."""

    wish: Backfill
    answer: Answer
    so_far: tuple[Any, ...]
    page: int


class _FetchAgain(msgspec.Struct, frozen=True):
    """To itself: what was not final when it was fetched should be by now."""

    wish: Backfill
    query: Query
    so_far: tuple[Any, ...]
    page: int


class _Reprobe(msgspec.Struct, frozen=True):
    """To itself: ask again about a topic that has never sent anything."""

    name: str


class _SnapshotDue(msgspec.Struct, frozen=True):
    """To itself: the delay before a snapshot is over."""

    wish: SnapshotWish


class _RenewalDue(msgspec.Struct, frozen=True):
    """To itself: the delay before a renewal is over."""

    wish: RenewalWish


@dataclass(slots=True)
class _Doubt:
    """Where the examination of a silent topic stands; times are monotonic seconds."""

    accepted_then: int
    probing_since_s: float
    unanswered: int = 0
    proven: bool = False
    baseline: Any = None
    newer_since_s: float | None = None
    renewed_since_s: float | None = None


@dataclass(slots=True)
class _Carrier:
    """One connection and the subscriptions on it."""

    connection: Connection
    subscriptions: SubscriptionSet
    opened_s: float | None = None
    settled_s: float | None = None


@dataclass(slots=True)
class _Slot:
    """A place for a connection: its topics stay with it from one connection to the next."""

    number: int
    backoff: Backoff
    names: set[str] = field(default_factory=set)
    current: _Carrier | None = None
    successor: _Carrier | None = None
    attempt_armed: bool = False
    frames_armed: bool = False
    last_end: str = ""
    ending: str = ""  # why the venue will end the current connection; a successor is owed until one has taken over
    roll_after_s: float = float("-inf")


class StreamStatus(msgspec.Struct, frozen=True):
    """One line about the stream side, for the live tree."""

    connections: int
    open: int
    wanted: int
    confirmed: int
    refused: int
    frames: int
    connects: int


class WebSocketActor(SupervisedActor):
    """Public streams of one venue. Ask it for `StreamStatus` by sending the class itself."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory, links: Links, private_links: Links) -> None:
        super().__init__()
        self._memory, self._links, self._private_links = memory, links, private_links
        self._language = memory.driver.streams
        self._limits = self._language.limits
        self._clock = memory.clock
        self._policy = memory.settings.liveness
        self._slots: dict[int, _Slot] = {}
        self._place: dict[str, _Slot] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._connection_number = 0
        self._connects = 0
        self._changes_seen = -1
        self._wall_steps_seen = memory.wall.steps
        self._private: PrivateSide | None = None
        self._stopping = False
        self._handlers: dict[type, Callable[[Any], Any]] = {
            SubscriptionsChanged: lambda _: self._assign(),
            InstrumentsChanged: lambda _: self._on_instruments(),
            LinkOpened: self._on_opened,
            LinkEnded: self._on_ended,
            ControlSeen: self._on_control,
            Backfill: self._on_backfill,
            SnapshotWish: self._on_snapshot_wish,
            RenewalWish: self._on_renewal_wish,
            _SnapshotDue: lambda message: self._fetch_snapshot(message.wish),
            _RenewalDue: lambda message: self._renew_topic(message.wish.topic),
            _Fetched: self._on_fetched,
            _FetchAgain: self._on_fetch_again,
            _Probed: self._on_probed,
            _Reprobe: self._on_reprobe,
            _Attempt: lambda message: self._connect(self._slots[message.slot]),
            _SendFrames: self._on_send_frames,
            _Tick: lambda _: self._on_tick(),
        }

    # ------------------------------------------------------------ life

    def on_start(self) -> None:
        self._memory.end_links()
        self._memory.on_wish = partial(post, self.actor_ref)
        for feed in self._memory.feeds():
            feed.epoch = self.context.epoch
            feed.on_disconnected("the stream actor was restarted")
        trading = self._memory.trading
        if trading is not None and trading.session_language is not None:
            self._private = PrivateSide(trading, self.context, self.actor_ref, self._private_links)
            self._handlers.update(self._private.handlers)
            self._private.start()
        self.context.call_every(TICK_S, _Tick())
        self._assign()

    def on_stop(self) -> None:
        self._end("the stream actor stopped")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._end("the stream actor failed and is being restarted")

    def on_interrupt(self) -> None:
        self._memory.end_links()

    def _end(self, why: str) -> None:
        self._stopping = True
        if self._private is not None:
            self._private.end(why)
        self._memory.end_links()
        for feed in self._memory.feeds():
            feed.on_disconnected(why)

    def on_receive(self, message: Any) -> Any:
        if message is StreamStatus:
            return self._status()
        handler = self._handlers.get(type(message))
        if handler is None:
            raise TypeError(f"the stream actor does not know {message!r}; subscribe through the Connector.")
        return handler(message)

    # ------------------------------------------------------------ which topic goes where

    def _assign(self) -> None:
        """Give every wanted topic a place, and take away the places of those nobody wants."""
        self._changes_seen = self._memory.changes
        wanted = {name: feed for name, feed in self._memory.feed_table().items() if feed.consumers}
        for name in [name for name in self._place if name not in wanted]:
            slot = self._place.pop(name)
            slot.names.discard(name)
            self._doubts.pop(name, None)
            self._memory.feed_table()[name].disown("nobody subscribes it")
            for carrier in (slot.current, slot.successor):
                if carrier is not None:
                    carrier.subscriptions.unwant((name,))
            if not slot.names:
                self._close_unused(slot)
        changed: set[int] = set()
        for name, feed in wanted.items():
            if name in self._place or not self._bind(feed):
                continue
            slot = self._slot_with_room()
            slot.names.add(name)
            self._place[name] = slot
            changed.add(slot.number)
            for carrier in (slot.current, slot.successor):
                if carrier is not None:
                    carrier.subscriptions.want((name,))
            if slot.current is not None:
                feed.own(slot.current.connection)
            if slot.successor is not None:
                feed.prepare(slot.successor.connection)
        for slot in self._slots.values():
            self._route(slot)
            if slot.current is None and slot.number in changed and not slot.attempt_armed:
                self._connect(slot)
            self._send_frames(slot)

    def _on_instruments(self) -> None:
        self._assign()
        instruments = self._memory.instruments
        for feed in self._memory.feeds():
            if isinstance(feed, BookFeed) and instruments is not None and feed.topic.symbol in instruments:
                feed.on_trading(instruments[feed.topic.symbol].status is InstrumentStatus.TRADING)

    def _close_unused(self, slot: _Slot) -> None:
        for carrier in (slot.current, slot.successor):
            if carrier is not None and carrier.connection.link is not None:
                carrier.connection.link.close(1000, "no topic left")
        slot.current = slot.successor = None

    def _bind(self, feed: Feed) -> bool:
        """True when the topic can be read. Until the instrument list is there, nothing can be, and the topic says so."""
        if feed.is_bound:
            return True
        instruments = self._memory.instruments
        if instruments is None:
            feed.set_state(TopicState.WANTED, "waiting for the venue's instrument list")
            return False
        try:
            instrument = instruments.require(feed.topic.symbol)
        except UnknownSymbol as unknown:
            feed.set_state(TopicState.REFUSED, str(unknown))
            return False
        feed.bind(self._language.reader(feed.topic, instrument))
        return True

    def _slot_with_room(self) -> _Slot:
        for slot in self._slots.values():
            if len(slot.names) < self._limits.topics_per_connection:
                return slot
        slot = _Slot(len(self._slots) + 1, Backoff(self._memory.settings.reconnect, self.context.random))
        self._slots[slot.number] = slot
        return slot

    def _route(self, slot: _Slot) -> None:
        table = self._memory.feed_table()
        routes = {name.encode(): table[name] for name in slot.names if name in table}
        for carrier in (slot.current, slot.successor):
            if carrier is not None:
                carrier.connection.routes = routes

    # ------------------------------------------------------------ connections

    def _open(self, slot: _Slot, label: str) -> _Carrier:
        self._connection_number += 1
        self._connects += 1
        self._memory.counters.add("stream.connects")
        ref = self.actor_ref

        def post_if_current(message: Any) -> None:
            if self.context.is_current():
                post(ref, message)

        connection = Connection(
            self._connection_number,
            self._language,
            self._clock,
            self._memory.alarms,
            self.context.is_current,
            post_if_current,
        )
        settings = self._memory.settings
        carrier = _Carrier(connection, SubscriptionSet(self._limits))
        carrier.subscriptions.want(slot.names)
        link = self._links.open(
            LinkSettings(
                url=self._language.url(self._memory.hosts),
                name=f"{self._memory.name}/stream/{label}-{self._connection_number}",
                proxy=settings.proxy,
                tls=settings.tls,
                idle_timeout_s=settings.idle_timeout_s,
                ping_every_s=settings.ping_every_s,
                connect_timeout_s=settings.connect_timeout_s,
                upgrade_timeout_s=settings.upgrade_timeout_s,
                max_message_bytes=settings.max_message_bytes,
            ),
            connection,
        )
        connection.link = link
        self._memory.keep_link(link)
        return carrier

    def _connect(self, slot: _Slot) -> None:
        slot.attempt_armed = False
        if self._stopping or slot.current is not None or not slot.names:
            return
        wait_s = self._memory.connects.try_reserve(self._clock.monotonic_s())
        if wait_s > 0.0:
            self._memory.counters.add("stream.connects_delayed")
            self._attempt_in(slot, wait_s)
            return
        slot.current = self._open(slot, "public")
        self._route(slot)

    def _attempt_in(self, slot: _Slot, delay_s: float) -> None:
        if not slot.attempt_armed:
            slot.attempt_armed = True
            self.context.call_later(delay_s, _Attempt(slot.number))

    def _find(self, connection: Connection) -> tuple[_Slot, _Carrier] | None:
        for slot in self._slots.values():
            for carrier in (slot.current, slot.successor):
                if carrier is not None and carrier.connection is connection:
                    return slot, carrier
        return None

    def _on_opened(self, message: LinkOpened) -> None:
        found = self._find(message.connection)
        if found is None:  # given up meanwhile
            if message.connection.link is not None:
                message.connection.link.shutdown()
            return
        slot, carrier = found
        carrier.opened_s = self._clock.monotonic_s()
        table = self._memory.feed_table()
        for name in slot.names:
            if carrier is slot.successor:
                table[name].prepare(carrier.connection)
            else:
                table[name].own(carrier.connection)
        self._send_frames(slot)

    def _on_ended(self, message: LinkEnded) -> None:
        found = self._find(message.connection)
        if message.connection.link is not None:
            self._memory.drop_link(message.connection.link)
        if found is None or self._stopping:
            return
        slot, carrier = found
        if carrier is slot.successor:
            slot.successor = None
            slot.roll_after_s = self._clock.monotonic_s() + slot.backoff.after_failure(None)
            self._memory.counters.add("stream.successors_lost")
            return
        self._memory.counters.add("stream.connections_lost")
        slot.last_end = _words(message.closed)
        if message.closed.status in TOO_MANY:
            refused = RateLimited(slot.last_end, retry_after_s=message.closed.retry_after_s)
            self._memory.connects.penalize(refused, self._clock.monotonic_s())
        if slot.successor is not None and slot.successor.opened_s is not None:
            self._adopt(slot)
            return
        slot.successor = None
        self._lose_current(slot, message.closed.retry_after_s)

    def _lose_current(self, slot: _Slot, retry_after_s: float | None = None) -> None:
        carrier, slot.current, slot.ending = slot.current, None, ""
        assert carrier is not None
        now_s = self._clock.monotonic_s()
        table = self._memory.feed_table()
        for name in slot.names:
            self._doubts.pop(name, None)
            table[name].on_disconnected(slot.last_end)
        lived_s = None if carrier.opened_s is None else now_s - carrier.opened_s
        delay_s = slot.backoff.after_failure(lived_s)
        self._attempt_in(slot, max(delay_s, retry_after_s or 0.0))

    def _replace(self, slot: _Slot, why: str) -> None:
        """End a connection that is not to be trusted and open another."""
        if slot.current is None:
            return
        slot.last_end = why
        self._memory.counters.add("stream.connections_replaced")
        link = slot.current.connection.link
        if link is not None:
            link.shutdown()
            self._memory.drop_link(link)
        if slot.successor is not None and slot.successor.opened_s is not None:
            self._adopt(slot)
        else:
            slot.successor = None
            self._lose_current(slot)

    # ------------------------------------------------------------ planned change of connection

    def _begin_rollover(self, slot: _Slot, why: str) -> None:
        if slot.successor is not None or slot.current is None or self._stopping:
            return
        slot.ending = why
        now_s = self._clock.monotonic_s()
        if now_s < slot.roll_after_s or self._memory.connects.try_reserve(now_s) > 0.0:
            return  # a later tick tries again
        self._memory.counters.add("stream.rollovers")
        slot.last_end = why
        slot.successor = self._open(slot, "public")
        self._route(slot)

    def _adopt(self, slot: _Slot) -> None:
        """The successor becomes the connection; its frames so far follow the last value of the old one."""
        old, slot.current, slot.successor, slot.ending = slot.current, slot.successor, None, ""
        assert slot.current is not None
        table = self._memory.feed_table()
        for name in slot.names:
            table[name].adopt(slot.current.connection)
        if old is not None and old.connection.link is not None:
            old.connection.link.close(1000, "replaced")

    # ------------------------------------------------------------ frames

    def _on_send_frames(self, message: _SendFrames) -> None:
        slot = self._slots[message.slot]
        slot.frames_armed = False
        self._send_frames(slot)

    def _send_frames(self, slot: _Slot) -> None:
        """Send what is due on each connection of the slot; come back when the venue's spacing allows more."""
        now_s = self._clock.monotonic_s()
        again_s: list[float] = []
        for carrier in (slot.current, slot.successor):
            if carrier is None or carrier.opened_s is None or carrier.connection.link is None:
                continue
            plan = carrier.subscriptions
            while (frame := plan.next_frame(now_s)) is not None:
                build = self._language.subscribe if frame.kind is FrameKind.SUBSCRIBE else self._language.unsubscribe
                try:
                    carrier.connection.link.send(build(frame.names, frame.request_id))
                except NotConnected:
                    break  # its end is on the way as a message
            if plan.wait_s(now_s) > 0.0 and not plan.is_settled:
                again_s.append(plan.wait_s(now_s))
        if again_s and not slot.frames_armed:
            slot.frames_armed = True
            self.context.call_later(min(again_s) + 0.001, _SendFrames(slot.number))

    def _on_control(self, message: ControlSeen) -> None:
        found = self._find(message.connection)
        if found is None:
            return
        slot, carrier = found
        control = message.control
        table = self._memory.feed_table()
        if isinstance(control, Ack):
            for name in carrier.subscriptions.on_ack(control.request_id):
                self._on_confirmed(name, table[name])
        elif isinstance(control, Refusal):
            self._memory.counters.add("stream.refusals")
            for name in carrier.subscriptions.on_refusal(control.request_id, control.error, self._clock.monotonic_s()):
                table[name].set_state(TopicState.REFUSED, str(control.error))
        elif isinstance(control, ConnectionEnding) and carrier is slot.current:
            self._begin_rollover(slot, control.reason)
        self._send_frames(slot)

    def _on_confirmed(self, name: str, feed: Feed) -> None:
        if feed.state is not TopicState.LIVE:
            feed.set_state(TopicState.CONFIRMED, "the venue accepted the subscription; no data yet")
        now_s = self._clock.monotonic_s()
        feed.rate.forget(feed.accepted, now_s)
        doubt = self._doubts.get(name)
        if doubt is not None and doubt.renewed_since_s is not None:
            doubt.renewed_since_s = now_s

    # ------------------------------------------------------------ ticks and liveness

    def _on_tick(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._memory.changes != self._changes_seen:
            self._assign()
        self._look_at_wall(now_s)
        if self._private is not None:
            self._private.on_tick()
        table = self._memory.feed_table()
        for feed in table.values():
            feed.on_tick(now_s, self._memory.settings.backfill_within_s)
        for slot in list(self._slots.values()):
            for carrier in (slot.current, slot.successor):
                if carrier is not None and carrier.opened_s is not None:
                    self._settle(carrier, table, now_s)
            self._send_frames(slot)
            self._roll_if_due(slot, now_s)
            self._watch(slot, table, now_s)

    def _look_at_wall(self, now_s: float) -> None:
        """No timer and no time stamp follows a step of the wall clock; but a machine that slept has nothing fresh."""
        steps = self._memory.wall.look(now_s)
        if steps == self._wall_steps_seen:
            return
        self._wall_steps_seen, step = steps, self._memory.wall.last
        self._memory.counters.add("clock.wall_steps")
        self._memory.alarms.report("the wall clock stepped, or the machine slept", repr(step))
        self.context.sibling("rest").tell(MeasureClock())
        if step is not None and step.suspended_ns:
            for slot in list(self._slots.values()):
                self._replace(slot, f"the machine slept for {step.suspended_ns / 1e9:.1f} s")

    def _settle(self, carrier: _Carrier, table: dict[str, Feed], now_s: float) -> None:
        plan = carrier.subscriptions
        for name in plan.unconfirmed():
            feed = table.get(name)
            if feed is not None and feed.saw_data_on(carrier.connection) and plan.on_data(name):
                self._on_confirmed(name, feed)
        if plan.expire(now_s) and carrier.connection.link is not None:
            self._memory.counters.add("stream.answers_missing")
            carrier.connection.link.shutdown()
        if carrier.settled_s is None and plan.is_settled:
            carrier.settled_s = now_s

    def _roll_if_due(self, slot: _Slot, now_s: float) -> None:
        if slot.successor is not None:
            settled_s = slot.successor.settled_s
            if settled_s is not None and now_s - settled_s >= OVERLAP_S:
                self._adopt(slot)
            return
        current = slot.current
        if current is None or current.opened_s is None:
            return
        if slot.ending:
            self._begin_rollover(slot, slot.ending)
        elif self._limits.max_age_s is not None:
            age_s = now_s - current.opened_s
            if age_s > self._limits.max_age_s - self._limits.rollover_before_s:
                self._begin_rollover(slot, "planned: the venue ends connections of this age")

    def _watch(self, slot: _Slot, table: dict[str, Feed], now_s: float) -> None:
        """Examine the topics of a settled connection; see `liveness` for the rules."""
        carrier = slot.current
        if carrier is None or carrier.opened_s is None or slot.successor is not None:
            return
        for name in tuple(carrier.subscriptions.confirmed):
            feed = table[name]
            feed.rate.advance(feed.accepted, now_s)
            doubt = self._doubts.get(name)
            if doubt is None:
                self._suspect_if_silent(name, feed, carrier.opened_s, now_s)
            elif feed.accepted != doubt.accepted_then:
                self._doubts.pop(name)  # it speaks again
            else:
                self._examine(slot, name, feed, doubt, now_s)
            if slot.current is not carrier:
                return
        self._send_frames(slot)

    def _suspect_if_silent(self, name: str, feed: Feed, opened_s: float, now_s: float) -> None:
        since_s = max(opened_s, feed.last_new_s or 0.0, feed.quiet_s)
        learned_s = self._policy.suspect_after_s(feed.rate.mean_interval_s)
        if now_s - since_s > (self._policy.first_data_s if feed.last is None else learned_s):
            self._doubts[name] = _Doubt(feed.accepted, now_s)
            self._probe(name, feed)

    def _examine(self, slot: _Slot, name: str, feed: Feed, doubt: _Doubt, now_s: float) -> None:
        """One more tick of silence: is it proven, was it repaired, or has the question been lost?"""
        policy = self._policy
        if doubt.renewed_since_s is not None:
            if now_s - doubt.renewed_since_s > policy.repair_s:
                self._doubts.pop(name)
                if doubt.proven:
                    self._replace(slot, f"{feed.topic} stayed silent after it was subscribed again")
                else:
                    feed.found_quiet(now_s)  # it stays marked stale until it speaks or can be checked
        elif doubt.newer_since_s is not None:
            if now_s - doubt.newer_since_s > policy.settle_s:
                self._renew(slot, name, feed, doubt, now_s)
        elif now_s - doubt.probing_since_s > 2 * self._memory.settings.request_timeout_s:
            self._doubts.pop(name)  # the REST actor died with the question: begin again

    def _renew(self, slot: _Slot, name: str, feed: Feed, doubt: _Doubt, now_s: float) -> None:
        """Leave and join the topic again, or replace a connection on which nothing arrives at all."""
        if doubt.proven:
            self._memory.counters.add("stream.silent_topics")
            feed.set_state(TopicState.STALE, "silent: the venue has newer values than this topic delivered")
        else:
            self._memory.counters.add("stream.unproven_silence")
            feed.set_state(TopicState.STALE, "silent, and the venue does not answer whether there is anything newer")
        if self._is_mute(slot, now_s):
            self._replace(slot, f"{feed.topic} is silent, and not even our pings are answered")
            return
        doubt.renewed_since_s = now_s
        feed.on_renewal()
        assert slot.current is not None
        slot.current.subscriptions.renew(name)

    def _is_mute(self, slot: _Slot, now_s: float) -> bool:
        """Whether not one byte has come for longer than the answer to a ping takes."""
        every_s = self._memory.settings.ping_every_s
        link = slot.current.connection.link if slot.current is not None else None
        if every_s is None or link is None or link.last_received_s is None:
            return False
        return now_s - link.last_received_s > every_s + 1.0

    def _probe(self, name: str, feed: Feed) -> None:
        self._memory.counters.add("stream.probes")
        self._fetch(
            CONTINUITY[feed.topic.kind].probe(feed.topic),
            Priority.READ,
            lambda answer: _Probed(name, answer),
        )

    def _fetch(self, query: Query, priority: Priority, wrap: Callable[[Answer], Any]) -> None:
        ref, is_current = self.actor_ref, self.context.is_current

        def reply(answer: Answer) -> None:
            if is_current():
                post(ref, wrap(answer))

        self.context.sibling("rest").tell(Fetch(query, priority, self._memory.settings.request_timeout_s, reply))

    def _on_probed(self, message: _Probed) -> None:
        doubt, feed = self._doubts.get(message.name), self._memory.feed_table().get(message.name)
        if doubt is None or feed is None or feed.accepted != doubt.accepted_then:
            return
        now_s = self._clock.monotonic_s()
        rule = CONTINUITY[feed.topic.kind]
        if message.answer.error is not None:
            doubt.unanswered += 1
            if doubt.unanswered >= 2:  # cannot be checked: better to subscribe once too often than to miss a fault
                doubt.newer_since_s = now_s
            else:
                self._probe(message.name, feed)
            return
        if feed.last is not None:
            newer = rule.shows_newer(feed.last, message.answer.value)
        else:
            newer = doubt.baseline is not None and not same_but_for_times(doubt.baseline, message.answer.value)
            if doubt.baseline is None:
                doubt.baseline = message.answer.value
        if newer:
            doubt.newer_since_s, doubt.proven = now_s, True
        elif feed.last is not None:
            self._doubts.pop(message.name)
            feed.found_quiet(now_s)
        else:
            doubt.probing_since_s = now_s + self._policy.first_data_s
            self.context.call_later(self._policy.first_data_s, _Reprobe(message.name))

    def _on_reprobe(self, message: _Reprobe) -> None:
        feed = self._memory.feed_table().get(message.name)
        if feed is not None and message.name in self._doubts:
            self._probe(message.name, feed)

    # ------------------------------------------------------------ missing values

    def _on_backfill(self, wish: Backfill) -> None:
        self._memory.counters.add("stream.backfills")
        self._fetch(wish.missing.query, Priority.BACKFILL, lambda answer: _Fetched(wish, answer, (), 1))

    def _on_fetched(self, message: _Fetched) -> None:
        wish, feed = message.wish, self._memory.find_feed(message.wish.topic)
        if feed is None:
            return
        if message.answer.error is not None:
            if message.so_far:
                feed.recovered(wish.token, message.so_far)
            else:
                feed.give_up_recovery(wish.token, f"connection lost, and fetching failed: {message.answer.error}")
            return
        values = message.so_far + tuple(message.answer.value)
        next_page = following(wish.missing, message.answer.value)
        again = unsettled(wish.missing, message.answer.value) if next_page is None else None
        if message.page >= PAGES or (next_page is None and again is None):
            feed.recovered(wish.token, values)
        elif next_page is not None:
            self._fetch(next_page, Priority.BACKFILL, lambda answer: _Fetched(wish, answer, values, message.page + 1))
        elif again is not None:  # within the feed's patience: it gives up by itself after `backfill_within_s`
            self.context.call_later(SETTLE_S, _FetchAgain(wish, again, values[:-1], message.page + 1))

    def _on_fetch_again(self, message: _FetchAgain) -> None:
        wish, so_far, page = message.wish, message.so_far, message.page
        self._fetch(message.query, Priority.BACKFILL, lambda answer: _Fetched(wish, answer, so_far, page))

    # ------------------------------------------------------------ books

    def _on_snapshot_wish(self, wish: SnapshotWish) -> None:
        delay_s = self._jittered(wish.fetch.wait_up_to_s, wish.fetch.not_before_s)
        if delay_s > 0.0:
            self.context.call_later(delay_s, _SnapshotDue(wish))
        else:
            self._fetch_snapshot(wish)

    def _on_renewal_wish(self, wish: RenewalWish) -> None:
        delay_s = self._jittered(wish.renew.wait_up_to_s, wish.renew.not_before_s)
        self.context.call_later(delay_s, _RenewalDue(wish))

    def _jittered(self, wait_up_to_s: float, not_before_s: float) -> float:
        return max(not_before_s, wait_up_to_s * self.context.random())

    def _fetch_snapshot(self, wish: SnapshotWish) -> None:
        feed = self._memory.find_feed(wish.topic)
        if not isinstance(feed, BookFeed):
            return
        attempt, is_current = wish.fetch.attempt, self.context.is_current

        def reply(answer: Answer) -> None:  # on a REST worker: straight into the book, past this inbox
            if not is_current():
                return
            if answer.error is None:
                feed.snapshot_arrived(attempt, answer.value)
            else:
                feed.snapshot_failed(attempt, getattr(answer.error, "retry_after_s", None))

        query = DepthQuery(wish.topic.symbol, wish.fetch.limit)
        timeout_s = self._memory.settings.request_timeout_s
        self.context.sibling("rest").tell(Fetch(query, Priority.BOOK_SYNC, timeout_s, reply))

    def _renew_topic(self, topic: Topic) -> None:
        name = self._memory.name_of(topic)
        slot = self._place.get(name) if name is not None else None
        if name is not None and slot is not None and slot.current is not None:
            slot.current.subscriptions.renew(name)
            self._send_frames(slot)

    # ------------------------------------------------------------ looking in

    def _status(self) -> StreamStatus:
        carriers = [c for slot in self._slots.values() for c in (slot.current, slot.successor) if c is not None]
        sets = [slot.current.subscriptions for slot in self._slots.values() if slot.current is not None]
        return StreamStatus(
            connections=len(carriers),
            open=sum(carrier.opened_s is not None for carrier in carriers),
            wanted=sum(bool(feed.consumers) for feed in self._memory.feeds()),
            confirmed=sum(len(each.confirmed) for each in sets),
            refused=sum(len(each.refused) for each in sets),
            frames=sum(carrier.connection.frames for carrier in carriers),
            connects=self._connects,
        )

    def __repr__(self) -> str:
        status = self._status()
        return (
            f"<WebSocketActor {self._memory.name} connections={status.open}/{status.connections} "
            f"confirmed={status.confirmed}/{status.wanted} connects={status.connects}>"
        )


def _words(closed: LinkClosed) -> str:
    """How a link ended, for people."""
    code = f", code {closed.code}" if closed.code is not None else ""
    status = f", HTTP {closed.status}" if closed.status is not None else ""
    return f"connection ended while {closed.phase.value}{code}{status}: {closed.reason or 'no reason given'}"
