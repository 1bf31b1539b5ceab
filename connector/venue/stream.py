"""The WebSocket actor of one venue: connections, subscriptions, liveness. Data itself never passes through its inbox.

It keeps what is wanted and what is confirmed equal, on as many connections as the venue's limits ask for. `silence` examines
topics that say nothing, `repairs` fetches what feeds miss, `private` keeps the account's session up; all run here. Readers
belong to the links; they call the feeds directly. Everything this actor does is started by a message: a link opened or
ended, an answer, a wish of a feed, a tick. Nothing here waits. After a crash the next incarnation finds the wanted topics
in the venue's memory, ends the links of its predecessor and starts with fresh ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from connector.domain.instruments import InstrumentStatus
from connector.domain.topics import Topic
from connector.drivers.contract import Ack, ConnectionEnding, Refusal
from connector.errors import ConnectorError, InvalidRequest, LinkError, NotConnected, RateLimited, UnknownSymbol
from connector.supervision import SupervisedActor, Timer
from connector.throttle import LIVED_S, Backoff
from connector.transport.contract import LinkClosed, Links
from connector.venue.book_feed import BookFeed
from connector.venue.connection import Connection, ControlSeen, LinkEnded, LinkOpened
from connector.venue.delivery import TopicState
from connector.venue.feed import Feed
from connector.venue.memory import VenueMemory
from connector.venue.messages import InstrumentsChanged, MeasureClock, SubscriptionsChanged, post
from connector.venue.private import PrivateSide, private_handlers, private_sides
from connector.venue.repairs import Repairs
from connector.venue.silence import Silence, Verdict
from connector.venue.subscriptions import FrameKind, SubscriptionSet

__all__ = ["StreamStatus", "WebSocketActor"]

TICK_S = 0.5
OVERLAP_S = 1.5
"""How long both connections carry every topic before the new one takes over."""
TOO_MANY = (418, 429)
"""Upgrades refused with these were one too many for the address, not only for this connection."""


class _Tick(msgspec.Struct, frozen=True):
    """To itself, twice a second."""


class _Attempt(msgspec.Struct, frozen=True):
    """To itself: the delay before a connection attempt is over."""

    slot: int


class _Reachable(msgspec.Struct, frozen=True):
    """From whoever was answered first, perhaps another actor: the host that this connection waits for is there again."""

    slot: _Slot


class _SendFrames(msgspec.Struct, frozen=True):
    """To itself: the venue's spacing between frames has passed."""

    slot: int


@dataclass(slots=True)
class _Carrier:
    """One connection and the subscriptions on it."""

    connection: Connection
    subscriptions: SubscriptionSet
    opened_s: float | None = None
    settled_s: float | None = None
    spoke: bool = False
    heartbeat_s: float = 0.0  # when the venue was last sent the frame it wants to hear


@dataclass(slots=True)
class _Slot:
    """A place for a connection: its topics stay with it from one connection to the next."""

    number: int
    group: str
    backoff: Backoff
    names: set[str] = field(default_factory=set)
    current: _Carrier | None = None
    successor: _Carrier | None = None
    attempt: Timer | None = None
    not_before_s: float = float("-inf")  # named by the venue
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
        self._slots: dict[int, _Slot] = {}
        self._place: dict[str, _Slot] = {}
        self._silence = Silence(memory, self.context, self.actor_ref)
        self._connection_number = 0
        self._connects = 0
        self._changes_seen = -1
        self._wall_steps_seen = memory.wall.steps
        self._private: tuple[PrivateSide, ...] = ()
        self._stopping = False
        self._handlers: dict[type, Callable[[Any], Any]] = {
            SubscriptionsChanged: lambda _: self._assign(),
            InstrumentsChanged: lambda _: self._on_instruments(),
            LinkOpened: self._on_opened,
            LinkEnded: self._on_ended,
            ControlSeen: self._on_control,
            _Attempt: lambda message: self._connect(self._slots[message.slot]),
            _Reachable: lambda message: self._on_reachable(message.slot),
            _SendFrames: self._on_send_frames,
            _Tick: lambda _: self._on_tick(),
            **self._silence.handlers,
            **Repairs(memory, self.context, self.actor_ref, self._renew_topic).handlers,
        }

    # ------------------------------------------------------------ life

    def on_start(self) -> None:
        self._memory.end_links()
        self._memory.on_wish = partial(post, self.actor_ref)
        for feed in self._memory.feeds():
            feed.epoch = self.context.epoch
            feed.on_disconnected("the stream actor was restarted")
        trading = self._memory.trading
        if trading is not None:
            self._private = private_sides(trading, self.context, self.actor_ref, self._private_links)
            self._handlers.update(private_handlers())
            for side in self._private:
                side.start()
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
        for side in self._private:
            side.end(why)
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
            self._silence.forget(name)
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
            slot = self._slot_with_room(self._language.group(feed.topic))
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
            if slot.current is None and slot.number in changed and slot.attempt is None:
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
        feed.bind(partial(self._language.reader, feed.topic, instrument))
        return True

    def _slot_with_room(self, group: str) -> _Slot:
        for slot in self._slots.values():
            if slot.group == group and len(slot.names) < self._limits.topics_per_connection:
                return slot
        host = urlsplit(self._language.url(self._memory.hosts, group)).netloc
        backoff = Backoff(self._memory.settings.reconnect, self.context.random, self._memory.connects, host=host)
        slot = _Slot(len(self._slots) + 1, group, backoff)
        backoff.wake = partial(self._post_if_current, _Reachable(slot))
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
        connection = Connection(
            self._connection_number,
            self._language,
            self._memory.driver.name_after,
            self._clock,
            self._memory.alarms,
            self.context.is_current,
            self._post_if_current,
        )
        carrier = _Carrier(connection, SubscriptionSet(self._limits))
        carrier.subscriptions.want(slot.names)
        url = self._language.url(self._memory.hosts, slot.group)
        try:
            link = self._links.open(self._memory.link_settings(url, f"{label}-{self._connection_number}"), connection)
        except LinkError as problem:  # no descriptor, no thread: what is open goes on, this one is tried again
            connection.on_not_opened(problem)
            return carrier
        connection.link = link
        self._memory.keep_link(link)
        return carrier

    def _post_if_current(self, message: Any) -> None:
        if self.context.is_current():
            post(self.actor_ref, message)

    def _connect(self, slot: _Slot) -> None:
        slot.attempt = None
        if self._stopping or slot.current is not None or not slot.names:
            return
        wait_s = self._memory.connects.try_reserve(self._clock.monotonic_s(), slot.backoff)
        if wait_s > 0.0:
            self._memory.counters.add("stream.connects_delayed")
            self._attempt_in(slot, wait_s)
            return
        slot.current = self._open(slot, "public")
        self._route(slot)

    def _attempt_in(self, slot: _Slot, delay_s: float) -> None:
        if slot.attempt is None:
            slot.attempt = self.context.call_later(delay_s, _Attempt(slot.number))

    def _on_reachable(self, slot: _Slot) -> None:
        """The wait is over before its time, unless the venue named it."""
        if slot.attempt is not None and self._clock.monotonic_s() >= slot.not_before_s:
            slot.attempt.cancel()
            self._memory.counters.add("stream.attempts_woken")
            self._connect(slot)

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
        carrier.opened_s = carrier.heartbeat_s = self._clock.monotonic_s()
        table = self._memory.feed_table()
        for name in sorted(slot.names):
            if carrier is slot.successor:
                table[name].prepare(carrier.connection)
            else:
                table[name].own(carrier.connection)
        self._send_frames(slot)
        for name in sorted(slot.names):
            table[name].catch_up(carrier.opened_s, joined=False)

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
        for name in sorted(slot.names):
            self._silence.forget(name)
            table[name].on_disconnected(slot.last_end)
        lived_s = None if carrier.opened_s is None else now_s - carrier.opened_s
        delay_s = slot.backoff.after_failure(lived_s, now_s, reached=carrier.connection.frames > 0)
        slot.not_before_s = now_s + (retry_after_s or 0.0)
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
        for name in sorted(slot.names):
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
        self._note_speech(slot, carrier)
        control = message.control
        table = self._memory.feed_table()
        if isinstance(control, Ack):
            for name in carrier.subscriptions.left_by(control.request_id):
                table[name].on_left()
            for name in carrier.subscriptions.on_ack(control.request_id, control.refused):
                self._on_confirmed(name, table[name], proven=self._limits.ack_proves)
            refused = InvalidRequest(f"{self._memory.name} did not take this topic; it took others of the same frame.")
            for name in carrier.subscriptions.refuse(control.refused, refused):
                self._memory.counters.add("stream.refusals")
                table[name].set_state(TopicState.REFUSED, str(refused))
        elif isinstance(control, Refusal):
            self._memory.counters.add("stream.refusals")
            for name in carrier.subscriptions.on_refusal(control.request_id, control.error, self._clock.monotonic_s()):
                table[name].set_state(TopicState.REFUSED, str(control.error))
        elif isinstance(control, ConnectionEnding) and carrier is slot.current:
            self._begin_rollover(slot, control.reason)
        self._send_frames(slot)

    def _note_speech(self, slot: _Slot, carrier: _Carrier) -> None:
        """The host said something: it can be reached, and whoever waits for that need not wait longer."""
        if not carrier.spoke:
            carrier.spoke = True
            slot.backoff.succeeded(self._clock.monotonic_s())

    def _on_confirmed(self, name: str, feed: Feed, *, proven: bool, again: bool = False) -> None:
        """`again`: an acknowledgement that proves nothing came before, and the values since then tell the topic's rate."""
        if not proven and feed.rule.probe is not None:
            if feed.state is TopicState.WANTED:
                feed.set_state(TopicState.WANTED, "acknowledged, which proves nothing at this venue; no data yet")
        elif feed.state is not TopicState.LIVE:
            feed.set_state(TopicState.CONFIRMED, "the venue accepted the subscription; no data yet")
        now_s = self._clock.monotonic_s()
        if not again:
            feed.rate.forget(feed.accepted, now_s)
        self._silence.confirmed(name, now_s)
        feed.catch_up(now_s, joined=True)

    # ------------------------------------------------------------ ticks and liveness

    def _on_tick(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._memory.changes != self._changes_seen:
            self._assign()
        self._look_at_wall(now_s)
        for side in self._private:
            side.on_tick()
        table = self._memory.feed_table()
        for feed in table.values():
            feed.on_tick(now_s, self._memory.settings.backfill_within_s)
        for slot in list(self._slots.values()):
            for carrier in (slot.current, slot.successor):
                if carrier is not None and carrier.opened_s is not None:
                    if carrier.connection.frames or now_s - carrier.opened_s >= LIVED_S:
                        self._note_speech(slot, carrier)
                    self._settle(carrier, table, now_s)
                    self._beat(carrier, now_s)
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

    def _beat(self, carrier: _Carrier, now_s: float) -> None:
        """Say what the venue wants to hear from time to time; its end, if the link is gone, is on the way as a message."""
        heartbeat, link = self._limits.heartbeat, carrier.connection.link
        if heartbeat is None or link is None or now_s - carrier.heartbeat_s < heartbeat.every_s:
            return
        carrier.heartbeat_s = now_s
        self._memory.counters.add("stream.heartbeats")
        with suppress(NotConnected):
            link.send(heartbeat.frame)

    def _settle(self, carrier: _Carrier, table: dict[str, Feed], now_s: float) -> None:
        plan = carrier.subscriptions
        for name in plan.unproven():
            feed = table.get(name)
            again = name in plan.confirmed
            if feed is not None and feed.saw_data_on(carrier.connection) and plan.on_data(name):
                self._on_confirmed(name, feed, proven=True, again=again)
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
        for name in sorted(carrier.subscriptions.confirmed):
            feed = table[name]
            feed.rate.advance(feed.accepted, now_s)
            verdict = self._silence.examine(name, feed, carrier.opened_s, now_s)
            if verdict is Verdict.RENEW and not self._is_mute(slot, now_s):
                feed.on_renewal()
                carrier.subscriptions.renew(name)
            elif verdict is Verdict.RENEW:
                self._replace(slot, f"{feed.topic} is silent, and not even our pings are answered")
                return
            elif verdict is Verdict.REPLACE:
                self._replace(slot, f"{feed.topic} stayed silent after it was subscribed again")
                return
        self._send_frames(slot)

    def _is_mute(self, slot: _Slot, now_s: float) -> bool:
        """Whether not one byte has come for longer than the answer to a ping takes."""
        every_s = self._memory.settings.ping_every_s
        link = slot.current.connection.link if slot.current is not None else None
        if every_s is None or link is None or link.last_received_s is None:
            return False
        return now_s - link.last_received_s > every_s + 1.0

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
