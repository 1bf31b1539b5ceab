"""The actors in a venue's place where it runs in a process of its own: `host` owns it, `events` hands order events over.

`host` starts the process, tells it what it is and what to follow, and ends it: in order when it is stopped, by force when the
process is silent for too long. The end of the process is a crash of `host` like any other: the supervisor starts the next
one, with the delays and limits of every child. Between two lives, and while nothing is heard, everything that came from the
process is stale. Values go from the line to the feeds on the reader thread of the line; a consumer that does not return is
taken off, and another thread reads on. `host` decides nothing about data, orders or restarts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from connector.domain.queries import Query
from connector.drivers.contract import VenueInfo
from connector.errors import Misconfigured, NotConnected
from connector.isolation.launch import VenueProcess, launch
from connector.isolation.line import LineEnded
from connector.isolation.mirror import MirrorBook, MirrorMemory, MirrorTopic
from connector.isolation.setup import Setup
from connector.isolation.wire import ACTORS, Code, pack, raised_error, read_facts, seal, unpack
from connector.supervision import (
    Backoff,
    ChildSpec,
    InboxPolicy,
    Intensity,
    MailRule,
    OnLimit,
    Reply,
    SupervisedActor,
    Supervisor,
    SupervisorSpec,
)
from connector.telemetry import logger
from connector.venue.book_feed import RenewalWish
from connector.venue.continuity import following, unsettled
from connector.venue.exchange import INBOX
from connector.venue.feed import CALLBACK_WITHIN_S, Backfill
from connector.venue.messages import SubscriptionsChanged, post
from connector.venue.repairs import PAGES, SETTLE_S

__all__ = ["IsolatedExchangeActor", "OrderEventsActor", "VenueHost"]

TICK_S = 0.25
SILENT_S = 1.0
"""The process says several times a second that it lives. After so long without a word, what came from it counts as stale."""
START_WITHIN_S = 30.0
"""A new process says that it is up within so long, or is replaced."""
REST = ACTORS.index("rest")


class _Tick(msgspec.Struct, frozen=True):
    """To itself, several times a second."""


class _Up(msgspec.Struct, frozen=True):
    """From the control reader: the tree over there runs."""

    life: Any


class _Deliver(msgspec.Struct, frozen=True):
    """To the events actor: something is written down."""


class _Fetched(msgspec.Struct, frozen=True):
    """A page of missing values, or why there is none."""

    wish: Backfill
    value: Any
    error: BaseException | None
    so_far: tuple[Any, ...]
    page: int


class _FetchAgain(msgspec.Struct, frozen=True):
    """To itself: the last value of a page was not final yet; by now it should be."""

    wish: Backfill
    query: Query
    so_far: tuple[Any, ...]
    page: int


class _AgainDue(msgspec.Struct, frozen=True):
    """To itself: a mirror's delay before it asks for its book is over."""

    wish: RenewalWish


class _Answer(Reply):
    """The answer to a question of ours: handed to `done` instead of being waited for."""

    def __init__(self, done: Callable[[Any, BaseException | None], None]) -> None:
        super().__init__()
        self._done_with = done

    def set(self, value: Any = None) -> None:
        super().set(value)
        self._done_with(value, None)

    def fail(self, error: BaseException) -> bool:
        first = super().fail(error)
        if first:
            self._done_with(None, error)
        return first


class _Life:
    """One process, from its start to its end.

    Attributes:
        topics: those it was asked to send, by number. Writer: the host.
        is_ready: its tree is up. is_silent: it was said to be.
    """

    def __init__(self, process: VenueProcess, began_s: float) -> None:
        self.process, self.began_s = process, began_s
        self.control, self.facts = process.control, process.facts
        self.topics: dict[int, MirrorTopic] = {}
        self.is_ready = self.is_silent = False
        self.lock = threading.Lock()  # guards the three below: which thread reads, and since when it is in a consumer
        self.reader = 0
        self.busy: tuple[MirrorTopic, float] | None = None
        self.chunks: deque[tuple[float, int, int, Any]] = deque()  # of the packet in hand; the reader's


class VenueHost(SupervisedActor):
    """Owner of a venue's process.

    Args:
        hung_after_s: a process that says nothing for so long is ended by force.
        stop_within_s: how long an ordered stop of it may take.
    """

    def __init__(self, memory: MirrorMemory, setup: Setup, *, hung_after_s: float, stop_within_s: float) -> None:
        super().__init__()
        self._memory, self._bridge, self._setup = memory, memory.bridge, setup
        self._clock = memory.clock
        self._hung_after_s, self._stop_within_s = hung_after_s, stop_within_s
        self._life: _Life | None = None
        self._number = 0
        self._changes_seen = -1
        self._handlers: dict[type, Callable[[Any], Any]] = {
            _Tick: lambda _: self._on_tick(),
            _Up: self._on_up,
            SubscriptionsChanged: lambda _: self._assign(),
            Backfill: self._on_backfill,
            RenewalWish: self._on_renewal_wish,
            _Fetched: self._on_fetched,
            _FetchAgain: lambda message: self._fetch(message.wish, message.query, message.so_far, message.page),
            _AgainDue: self._on_again_due,
        }

    # ------------------------------------------------------------ life

    def on_start(self) -> None:
        ref = self.actor_ref
        self._memory.on_wish = lambda wish: post(ref, wish)
        ended = self._bridge.ended
        for feed in self._memory.mirrors():
            feed.on_disconnected(
                f"the venue's process ended: {ended}" if ended else "the venue's process is being started"
            )
        process = launch()
        self._life = life = _Life(process, self._clock.monotonic_s())
        self._bridge.begin(life, process.pid)
        if not self._bridge.is_watched:
            self._bridge.is_watched = True
            bridge = self._bridge
            self.context.lookup(self.context.path).watch(lambda down: bridge.close(str(down.reason)))
        trading = self._memory.trading
        open_told = () if trading is None else trading.events.open_told
        with suppress(LineEnded):  # its readers will see the end
            life.control.send(pack(Code.SETUP, self._setup.sealed(open_told)))
        self.context.spawn("control", lambda: self._read_control(life))
        self.context.spawn("facts", lambda: self._read_facts(life, 0))
        self.context.spawn("asks", lambda: self._read_asks(life))
        self.context.spawn("control-writer", life.control.write)
        self.context.spawn("asks-writer", process.asks.write)
        self.context.call_every(TICK_S, _Tick())

    def on_receive(self, message: Any) -> Any:
        handler = self._handlers.get(type(message))
        if handler is None:
            raise TypeError(f"the host of a venue's process does not know {message!r}.")
        return handler(message)

    def on_stop(self) -> None:
        life = self._life
        if life is None:
            return
        with suppress(LineEnded):
            life.control.send(pack(Code.STOP, self._stop_within_s))
            life.process.wait(self._stop_within_s + 0.5)
        self._end(life, "the venue was stopped", None)

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        if self._life is not None:
            self._end(self._life, str(exception_value) or repr(exception_value), exception_value)

    def on_interrupt(self) -> None:
        life = self._life
        if life is not None:
            life.process.kill()
            life.process.shutdown()
            self._bridge.look()

    def _end(self, life: _Life, reason: str, cause: BaseException | None) -> None:
        """Nothing of this process is left, and nobody waits for it."""
        self._bridge.life_ended(life, reason, cause)  # first: what is asked from now on waits for the next
        for feed in life.topics.values():
            feed.on_disconnected(f"the venue's process ended: {reason}")
        life.process.end()
        self._bridge.look()  # the reader of answers sees the end
        self._memory.counters.add("isolation.lives_ended")

    # ------------------------------------------------------------ the control line (its reader's thread)

    def _read_control(self, life: _Life) -> None:
        try:
            while (packet := life.control.take()) is not None:
                self._bridge.heard_s = self._clock.monotonic_s()
                self._on_packet(life, packet)
        except BaseException:
            life.control.abandon()
            raise
        if not self.context.cancelled.is_set():
            life.process.wait(1.0)
            raise NotConnected(f"the process {life.process.pid} of {self._memory.name} {life.process.how_it_ended()}.")

    def _read_asks(self, life: _Life) -> None:
        self._bridge.read(life.process.asks)
        if not self.context.cancelled.is_set():
            life.process.wait(1.0)
            raise NotConnected(f"the answers of process {life.process.pid} ended; it {life.process.how_it_ended()}.")

    def _on_packet(self, life: _Life, packet: memoryview) -> None:
        code = packet[0]
        if code == Code.EVENT:
            self._on_event(unpack(packet))
        elif code == Code.PULSE:
            self._bridge.hears(unpack(packet))
        elif code == Code.LOGGED:
            level, text, fields = unpack(packet)
            try:
                logger.bind(**fields).log(level, "{}", text)
            except ValueError:  # a level of a program's own, which only its modules over there have made known
                logger.bind(**fields).info("{}: {}", level, text)
        elif code == Code.HAPPENED:
            self.context.emit(unpack(packet))
        elif code == Code.LISTED:
            self._memory.publish(VenueInfo(unpack(packet), (), None), self._clock.monotonic_s())
        elif code == Code.TOLD:
            self._on_told(*unpack(packet))
        elif code == Code.READY:
            post(self.actor_ref, _Up(life))
        elif code == Code.FAILED:
            failure = raised_error(unpack(packet))
            if isinstance(failure, Misconfigured):
                self._bridge.refuse_waiting(failure)
            raise failure

    def _on_event(self, event: Any) -> None:
        trading = self._memory.trading
        if trading is not None and self.context.is_current():
            trading.events.prepare((event,))
            self.context.sibling("events").tell(_Deliver())

    def _on_told(self, fills: list[Any], orders: list[Any]) -> None:
        """What the account's store knows as a life begins: old news in the first, what was perhaps not told in others."""
        trading = self._memory.trading
        if trading is None or not self.context.is_current():
            return
        if not self._bridge.is_account_known:
            trading.events.know(fills, orders)
            self._bridge.is_account_known = True
            return
        trading.events.prepare((*fills, *orders))
        self.context.sibling("events").tell(_Deliver())

    # ------------------------------------------------------------ the facts line (its reader's thread)

    def _read_facts(self, life: _Life, me: int) -> None:
        chunks, monotonic_s = life.chunks, self._clock.monotonic_s
        while life.reader == me:
            if not chunks:
                packet = life.facts.take()
                if packet is None:
                    return  # the control line tells the end
                try:
                    at_s, found = read_facts(packet)
                except BaseException:
                    life.facts.abandon()
                    raise
                chunks.extend((at_s, *chunk) for chunk in found)
                continue
            at_s, number, tag, payload = chunks.popleft()
            feed = life.topics.get(number)
            if feed is None:
                continue
            life.busy = (feed, monotonic_s())
            feed.on_chunk(life, tag, payload, at_s)
            with life.lock:
                if life.reader != me:
                    return
                life.busy = None

    def _look_after_reader(self, life: _Life, now_s: float) -> None:
        with life.lock:
            busy = life.busy
            if busy is None or now_s - busy[1] < CALLBACK_WITHIN_S:
                return
            life.reader += 1
            life.busy = None
        feed = busy[0]
        feed.replaces_reader(life, "a consumer did not return")
        self._ask_again(feed)
        reader = life.reader
        self.context.spawn(f"facts-{reader}", lambda: self._read_facts(life, reader))

    # ------------------------------------------------------------ ticks

    def _on_tick(self) -> None:
        life, now_s = self._life, self._clock.monotonic_s()
        assert life is not None
        if not life.is_ready:
            if now_s - life.began_s > START_WITHIN_S:
                raise NotConnected(
                    f"the process {life.process.pid} of {self._memory.name} did not come up in {START_WITHIN_S} s."
                )
            return
        heard_s = self._bridge.heard_s or life.began_s
        if now_s - heard_s > SILENT_S and not life.control.has_unread():
            self._on_silence(life, now_s - heard_s)
        elif life.is_silent:
            life.is_silent = False
            for feed in life.topics.values():
                self._ask_again(feed)
        self._look_after_reader(life, now_s)
        if self._memory.changes != self._changes_seen:
            self._assign()
        for feed in tuple(life.topics.values()):
            feed.on_tick(now_s, self._memory.settings.backfill_within_s)

    def _on_silence(self, life: _Life, silent_s: float) -> None:
        if not life.is_silent:
            life.is_silent = True
            self._memory.counters.add("isolation.silences")
            for feed in life.topics.values():
                feed.falls_silent(f"nothing was heard of the venue's process for {silent_s:.1f} s")
        if silent_s > self._hung_after_s:
            self._memory.counters.add("isolation.hung")
            raise NotConnected(
                f"the process {life.process.pid} of {self._memory.name} said nothing for {silent_s:.1f} s and is ended by force."
            )

    # ------------------------------------------------------------ topics

    def _on_up(self, message: _Up) -> None:
        life = self._life
        if message.life is not life or life is None:
            return
        life.is_ready = True
        self._bridge.open(life.process.asks)
        self._assign()

    def _assign(self) -> None:
        """Have sent what has a consumer, and nothing else."""
        life = self._life
        if life is None or not life.is_ready:
            return
        self._changes_seen = self._memory.changes
        followed = {id(feed): number for number, feed in life.topics.items()}
        for feed in self._memory.mirrors():
            number = followed.get(id(feed))
            if feed.consumers and number is None:
                self._number += 1
                feed.epoch = self.context.epoch
                life.topics[self._number] = feed
                feed.own(life)
                life.control.send(pack(Code.FOLLOW, (self._number, feed.topic)))
            elif not feed.consumers and number is not None:
                del life.topics[number]
                feed.disown("nobody subscribes it")
                life.control.send(pack(Code.LEAVE, number))

    def _ask_again(self, feed: MirrorTopic) -> None:
        life = self._life
        if life is None:
            return
        for number, followed in life.topics.items():
            if followed is feed:
                life.control.send(pack(Code.AGAIN, number))

    def _on_renewal_wish(self, wish: RenewalWish) -> None:
        delay_s = max(wish.renew.not_before_s, wish.renew.wait_up_to_s * self.context.random())
        self.context.call_later(delay_s, _AgainDue(wish))

    def _on_again_due(self, message: _AgainDue) -> None:
        feed = self._memory.find_feed(message.wish.topic)
        if isinstance(feed, MirrorBook):
            self._ask_again(feed)

    # ------------------------------------------------------------ what is missing between two lives

    def _on_backfill(self, wish: Backfill) -> None:
        self._memory.counters.add("isolation.backfills")
        self._fetch(wish, wish.missing.query, (), 1)

    def _fetch(self, wish: Backfill, query: Query, so_far: tuple[Any, ...], page: int) -> None:
        ref = self.actor_ref
        answer = _Answer(lambda value, error: post(ref, _Fetched(wish, value, error, so_far, page)))
        answer.deadline_s = self._clock.monotonic_s() + self._memory.settings.request_timeout_s
        self._bridge.ask(REST, seal(query), answer)
        self._bridge.look()

    def _on_fetched(self, message: _Fetched) -> None:
        wish, feed = message.wish, self._memory.find_feed(message.wish.topic)
        if feed is None:
            return
        if message.error is not None:
            if message.so_far:
                feed.recovered(wish.token, message.so_far)
            else:
                feed.give_up_recovery(wish.token, f"fetching failed: {message.error}")
            return
        values = message.so_far + tuple(message.value)
        further = following(wish.missing, message.value)
        again = unsettled(wish.missing, message.value) if further is None else None
        if message.page >= PAGES or (further is None and again is None):
            feed.recovered(wish.token, values)
        elif further is not None:
            self._fetch(wish, further, values, message.page + 1)
        elif again is not None:
            self.context.call_later(SETTLE_S, _FetchAgain(wish, again, values[:-1], message.page + 1))

    def __repr__(self) -> str:
        return f"<VenueHost {self._bridge!r}>"


class OrderEventsActor(SupervisedActor):
    """Hands order events to their listeners; one that does not return is taken off when this actor is replaced."""

    def __init__(self, memory: MirrorMemory) -> None:
        super().__init__()
        self._trading = memory.trading

    def on_start(self) -> None:
        if self._trading is not None:
            self._trading.events.recover(self.context.is_current)

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, _Deliver):
            raise TypeError(f"the events actor does not know {message!r}.")
        if self._trading is not None:
            self._trading.events.deliver(self.context.is_current)


class IsolatedExchangeActor(Supervisor):
    """Supervisor of `host` and `events`, in the place of an ExchangeActor."""

    def __init__(
        self,
        memory: MirrorMemory,
        setup: Setup,
        *,
        busy_limit_s: float,
        restart: Backoff,
        restart_limit: Intensity,
    ) -> None:
        self.memory = memory
        inbox = InboxPolicy(capacity=INBOX, when_full=MailRule.REFUSE, over_restart=MailRule.KEEP)
        theirs_s = setup.stop_within_s * 0.6
        host = ChildSpec(
            id="host",
            factory=VenueHost,
            args=(memory, setup),
            kwargs={"hung_after_s": busy_limit_s, "stop_within_s": theirs_s},
            shutdown_s=theirs_s + 1.5,
            busy_limit_s=max(busy_limit_s, 2 * CALLBACK_WITHIN_S),
            inbox=inbox,
            backoff=restart,
        )
        events = ChildSpec(
            id="events",
            factory=OrderEventsActor,
            args=(memory,),
            shutdown_s=2.0,
            busy_limit_s=busy_limit_s,
            inbox=inbox,
            backoff=restart,
        )
        super().__init__(SupervisorSpec(intensity=restart_limit, on_limit=OnLimit.PROBE, children=(events, host)))

    def __repr__(self) -> str:
        return f"<IsolatedExchangeActor {self.memory!r}>"
