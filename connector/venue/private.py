"""One private connection of a venue, kept up by the stream actor: connect, log in, subscribe, probe, replace.

A part of the stream actor: used on its thread only, started by its messages, never waiting. A venue has one such connection that
takes orders and brings the account's events, or one of each. Each connection opens as its language says, signed anew. Up means:
the venue answered all of the opening well; only then do orders go this way, and is the state actor told to compare. Where the
address holds a key, it is asked for before connecting and kept alive. A key of the account that is refused slows this down to a
crawl, with one alarm; everything else is tried for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pykka

from connector.domain.wire import HttpResponse
from connector.drivers.trading import PrivateLanguage, SessionRequest, TradeLanguage
from connector.errors import (
    AuthenticationFailed,
    ConnectorError,
    LinkError,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    RetryLater,
)
from connector.supervision import ActorContext, Timer
from connector.throttle import LIVED_S, Backoff, Priority
from connector.transport.contract import LinkPhase, Links
from connector.venue.messages import RawAnswer, SignedFetch, post
from connector.venue.session import (
    AccountDoubt,
    Session,
    SessionConnection,
    SessionEnded,
    SessionEndingSeen,
    SessionLost,
    SessionOpened,
)
from connector.venue.trading import Trading

__all__ = ["PrivateSide", "PrivateUp", "dead_key_wait_s", "private_handlers", "private_sides"]

PROBE_EVERY_S = 15.0
LOGIN_WITHIN_S = 5.0
CLOCK_LOOK_S = 0.1
RENEW_AGAIN_S = 10.0
"""A key whose renewal got no answer is renewed again after this; it lives twice as long as the pause between renewals."""
TOO_MANY = (418, 429)
DEAD_KEY_FIRST_S = 1800.0
DEAD_KEY_MAX_S = 86_400.0
"""A refused key is tried again after 30 minutes, growing to a day; an operator has to act meanwhile."""


class PrivateUp(msgspec.Struct, frozen=True):
    """To the state actor: the account's events come from now on; what happened before has to be asked for."""

    connection: int


class _Reachable(msgspec.Struct, frozen=True):
    """From whoever was answered first, perhaps another actor: the host that this side waits for is there again."""

    side: PrivateSide


class _ClockKnown(msgspec.Struct, frozen=True):
    """To itself: the venue's clock, which the opening is signed by, may be known by now."""

    connection: SessionConnection
    until_s: float


class _Connect(msgspec.Struct, frozen=True):
    """To the stream actor: the delay before an attempt is over."""

    side: Any


class _KeyCame(msgspec.Struct, frozen=True):
    """From a REST worker: the key an address needs, or why there is none."""

    side: Any
    answer: RawAnswer


class _KeyRenewed(msgspec.Struct, frozen=True):
    """From a REST worker: how the renewal of a connection's key went."""

    connection: SessionConnection
    answer: RawAnswer


class _Opened(msgspec.Struct, frozen=True):
    """From the reader thread: how one request of the opening went."""

    connection: SessionConnection
    outcome: HttpResponse | SessionLost


class _Probed(msgspec.Struct, frozen=True):
    """From the reader thread: whether the connection answered its probe."""

    connection: SessionConnection
    outcome: HttpResponse | SessionLost


def private_handlers() -> dict[type, Callable[[Any], None]]:
    """The messages of all private sides of one stream actor; each finds its side by itself."""
    return {
        SessionOpened: lambda message: message.connection.side.on_opened(message),
        SessionEnded: lambda message: message.connection.side.on_ended(message),
        SessionEndingSeen: lambda message: message.connection.side.on_ending(message),
        _Connect: lambda message: message.side.on_due(),
        _Reachable: lambda message: message.side.on_reachable(),
        _KeyCame: lambda message: message.side.on_key(message),
        _KeyRenewed: lambda message: message.connection.side.on_key_renewed(message),
        _ClockKnown: lambda message: message.connection.side.on_clock_known(message),
        _Opened: lambda message: message.connection.side.on_answered(message),
        _Probed: lambda message: message.connection.side.on_probed(message),
    }


def private_sides(
    trading: Trading, context: ActorContext, ref: pykka.ActorRef[Any], links: Links
) -> tuple[PrivateSide, ...]:
    """The private connections of one account: none, one that does everything, or one for orders and one for events."""
    sides = []
    if trading.session_language is not None:
        both = trading.events_language is None
        sides.append(PrivateSide(trading, trading.session_language, trading.session, context, ref, links, events=both))
    if trading.events_language is not None:
        language = trading.events_language
        sides.append(PrivateSide(trading, language, trading.events_session, context, ref, links, events=True))
    return tuple(sides)


class PrivateSide:
    """One private connection: at most one up and one on its way.

    Args:
        session: who waits for replies there.
        events: it brings what happens to the account: its ups and downs make the state actor compare.
    """

    def __init__(
        self,
        trading: Trading,
        language: PrivateLanguage,
        session: Session,
        context: ActorContext,
        ref: pykka.ActorRef[Any],
        links: Links,
        *,
        events: bool,
    ) -> None:
        memory = trading.memory
        self._trading, self._memory, self._context, self._ref, self._links = trading, memory, context, ref, links
        self._language, self._session, self._events = language, session, events
        self._trade: TradeLanguage = trading.language
        self._clock = memory.clock
        host = urlsplit(language.url(memory.hosts, "")).netloc
        wake = partial(self._post, _Reachable(self))
        self._backoff = Backoff(memory.settings.reconnect, context.random, memory.connects, host=host, wake=wake)
        self._refused_keys = 0
        self._number = 0
        self._current: SessionConnection | None = None
        self._successor: SessionConnection | None = None
        self._heard: SessionConnection | None = None  # the last that the host said something on
        self._up_s: float | None = None
        self._opened_s: float | None = None
        self._next_probe_s = 0.0
        self._next_renewal_s = 0.0
        self._key_asked_s: float | None = None  # since when a key is being asked for
        self._is_mute = False  # nothing comes by the current connection any more, though it is open
        self._attempt: Timer | None = None
        self._not_before_s = float("-inf")  # named by the venue
        self._stopping = False
        self.last_end = ""

    # ------------------------------------------------------------ life

    def start(self) -> None:
        self._session.lose_all("the stream actor was restarted")
        self._connect_in(0.0)

    def end(self, why: str) -> None:
        self._stopping = True
        self._session.lose_all(why)

    def on_tick(self) -> None:
        now_s = self._clock.monotonic_s()
        self._session.expire(now_s)
        if self._key_asked_s is not None and now_s - self._key_asked_s > 2 * self._memory.settings.request_timeout_s:
            self._key_asked_s = None  # the REST actor went down with the question
            if self._current is None:
                self._connect_in(0.0)
            self._drop_mute()
        if self._current is None or self._up_s is None:
            return
        if not self._session.is_up:
            self._begin_successor("the venue takes no more requests on this connection")
        if self._current.frames or now_s - self._up_s >= LIVED_S:
            self._note_speech(self._current)
        age_s = now_s - (self._opened_s or now_s)
        limit_s = self._language.max_age_s
        if limit_s is not None and age_s > limit_s - self._language.rollover_before_s:
            self._begin_successor("planned: the venue ends sessions of this age")
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + PROBE_EVERY_S
            self._probe(self._current)
        if self._language.key is not None and now_s >= self._next_renewal_s:
            self._next_renewal_s = now_s + self._language.key.renew_every_s
            self._renew(self._current)

    # ------------------------------------------------------------ connecting

    def _connect_in(self, delay_s: float) -> None:
        if self._attempt is None and not self._stopping:
            self._attempt = self._context.call_later(delay_s, _Connect(self))

    def on_reachable(self) -> None:
        """The wait is over before its time, unless the venue named it."""
        if self._attempt is not None and self._clock.monotonic_s() >= self._not_before_s:
            self._attempt.cancel()
            self.on_due()

    def on_due(self) -> None:
        self._attempt = None
        if self._stopping or self._current is not None:
            return
        if self._memory.instruments is None:  # events could not be read: the list is on its way
            self._connect_in(0.25)
            return
        now_s, keyed = self._clock.monotonic_s(), self._language.key is not None
        connects = self._memory.connects
        wait_s = connects.wait_s(now_s, self._backoff) if keyed else connects.try_reserve(now_s, self._backoff)
        if wait_s > 0.0:
            self._connect_in(wait_s)
        elif keyed:
            self._ask_for_key()
        else:
            self._current = self._open("")

    def _open(self, key: str) -> SessionConnection:
        self._number += 1
        self._memory.counters.add("session.connects")
        connection = SessionConnection(
            self._number,
            self,
            self._session,
            self._language,
            lambda: self._memory.instruments,
            self._memory.alarms,
            self._context.is_current,
            self._post,
            self._to_state,
        )
        connection.key = key
        kind = "private" if self._events else "orders"
        url = self._language.url(self._memory.hosts, key)
        try:
            link = self._links.open(self._memory.link_settings(url, f"{kind}-{self._number}"), connection)
        except LinkError as problem:  # no descriptor, no thread: what is open goes on, this one is tried again
            connection.on_not_opened(problem)
            return connection
        connection.link = link
        self._memory.keep_link(link)
        return connection

    # ------------------------------------------------------------ keys of addresses

    def _ask_for_key(self) -> None:
        rule = self._language.key
        if rule is None or self._key_asked_s is not None:
            return
        self._key_asked_s = self._clock.monotonic_s()
        self._memory.counters.add("session.keys_asked")
        self._fetch(lambda: rule.open(self._trading.auth()), lambda answer: _KeyCame(self, answer))

    def on_key(self, message: _KeyCame) -> None:
        """The key is there: open what it was asked for, the first connection or a successor."""
        self._key_asked_s = None
        rule = self._language.key
        if self._stopping or rule is None or (self._current is not None and self._successor is not None):
            return
        try:
            key = rule.read(_response_of(message.answer))
        except ConnectorError as refused:
            self._on_key_refused(refused)
            return
        who = self._backoff if self._current is None else None
        wait_s = self._memory.connects.try_reserve(self._clock.monotonic_s(), who)
        if wait_s > 0.0:
            if self._current is None:
                self._connect_in(wait_s)
            self._drop_mute()
            return  # a successor: the next tick, or the end of the old one, tries again
        if self._current is None:
            self._current = self._open(key)
        else:
            self._memory.counters.add("session.rollovers")
            self._successor = self._open(key)

    def _on_key_refused(self, refused: ConnectorError) -> None:
        self._memory.counters.add("session.keys_refused")
        self.last_end = f"no key for the connection: {refused}"
        if isinstance(refused, AuthenticationFailed):
            # REST heeds limits and clocks in its own answers. What our own budget held back is no news to that budget: told again
            # and again, it would never open.
            self._note_refusal(refused)
        if self._current is None:
            self._connect_in(self._delay_s(None, getattr(refused, "retry_after_s", None), reached=True))
        self._drop_mute()

    def _renew(self, connection: SessionConnection) -> None:
        rule = self._language.key
        assert rule is not None
        self._memory.counters.add("session.key_renewals")
        self._fetch(
            lambda: rule.renew(connection.key, self._trading.auth()), lambda answer: _KeyRenewed(connection, answer)
        )

    def on_key_renewed(self, message: _KeyRenewed) -> None:
        if message.connection is not self._current:
            return
        try:
            refused = self._trade.failure(_response_of(message.answer), write=False)
        except ConnectorError as unanswered:
            refused = unanswered
        if refused is None:
            return
        if isinstance(refused, RetryLater | OutcomeUnknown | NotConnected):
            self._next_renewal_s = self._clock.monotonic_s() + RENEW_AGAIN_S
            return
        self._memory.counters.add("session.keys_lost")
        self._doubt(f"the key of the private connection is gone: {refused}")
        self._is_mute = True
        self._begin_successor(f"its key is gone: {refused}")

    def _fetch(self, build: Callable[[], Any], wrap: Callable[[RawAnswer], Any]) -> None:
        """Ask by REST; the answer comes back to the stream actor as the message `wrap` makes of it."""
        timeout_s = self._memory.settings.request_timeout_s

        def reply(answer: RawAnswer) -> None:  # on a REST worker
            self._post(wrap(answer))

        try:
            self._context.sibling("rest").tell(SignedFetch(build, Priority.PLACE, timeout_s, False, reply))
        except (pykka.ActorDeadError, LookupError) as gone:
            self._post(wrap(RawAnswer(None, NotConnected(f"nobody to ask: {gone}"), sent=False)))

    def _post(self, message: Any) -> None:
        if self._context.is_current():
            post(self._ref, message)

    def _to_state(self, message: Any) -> None:
        """Account events are never lost in silence: what the state actor cannot take makes it compare with the venue."""
        try:
            self._context.sibling("state").tell(message)
        except pykka.ActorDeadError:
            self._memory.counters.add("session.events_untaken")
            self._trading.doubt = "an account event could not be handed over"

    def _doubt(self, reason: str) -> None:
        if self._events:
            self._to_state(AccountDoubt(reason))

    # ------------------------------------------------------------ the opening, and probes

    def _ask(
        self,
        connection: SessionConnection,
        build: Callable[[str], SessionRequest],
        wrap: Callable[[SessionConnection, HttpResponse | SessionLost], Any],
    ) -> None:
        deadline_s = self._clock.monotonic_s() + LOGIN_WITHIN_S
        try:
            self._session.send(build, deadline_s, lambda outcome: self._post(wrap(connection, outcome)), on=connection)
        except NotConnected as down:
            self._post(wrap(connection, SessionLost(str(down))))

    def on_opened(self, message: SessionOpened) -> None:
        if message.connection not in (self._current, self._successor):
            self._drop(message.connection)
            return
        # After an outage longer than a measurement is good for, the clock is not known: better to wait for it than to hang up.
        if self._language.opening() and self._trading.venue_ms() is None:
            self._trading.on_clock_doubt()
            until_s = self._clock.monotonic_s() + LOGIN_WITHIN_S
            self._context.call_later(CLOCK_LOOK_S, _ClockKnown(message.connection, until_s))
        else:
            self._go_on(message.connection)

    def on_clock_known(self, message: _ClockKnown) -> None:
        if message.connection not in (self._current, self._successor):
            return
        if self._trading.venue_ms() is None and self._clock.monotonic_s() < message.until_s:
            self._context.call_later(CLOCK_LOOK_S, message)
        else:
            self._go_on(message.connection)

    def _go_on(self, connection: SessionConnection) -> None:
        """Send the next request of the opening; after the last, the connection is up."""
        steps = self._language.opening()
        if connection.step >= len(steps):
            self._is_up(connection)
            return
        step = steps[connection.step]
        self._ask(
            connection, lambda request_id: step(request_id, self._trading.auth(), self._trading.now_ms()), _Opened
        )

    def on_answered(self, message: _Opened) -> None:
        connection, outcome = message.connection, message.outcome
        if connection not in (self._current, self._successor):
            return
        if isinstance(outcome, SessionLost):
            self._drop(connection)  # its end follows as a message
            return
        self._note_speech(connection)
        refused = self._trade.failure(outcome, write=False)
        if refused is None:
            connection.step += 1
            self._go_on(connection)
            return
        self._memory.counters.add("session.logins_refused")
        self.last_end = f"the opening of the private connection was refused: {refused}"
        self._note_refusal(refused)
        self._drop(connection)

    def _note_speech(self, connection: SessionConnection) -> None:
        """The host said something: it can be reached, and whoever waits for that need not wait longer."""
        if self._heard is not connection:
            self._heard = connection
            self._backoff.succeeded(self._clock.monotonic_s())

    def _note_refusal(self, refused: ConnectorError) -> None:
        if isinstance(refused, AuthenticationFailed):
            self._refused_keys += 1
            self._memory.alarms.report("account key refused", str(refused))
        elif isinstance(refused, RateLimited):
            self._memory.ledger.penalize(refused, self._clock.monotonic_s(), ())
        else:
            self._trading.note_clock(refused)

    def _is_up(self, connection: SessionConnection) -> None:
        self._refused_keys = 0
        now_s = self._clock.monotonic_s()
        old = self._current if connection is self._successor else None
        self._current, self._successor, self._is_mute = connection, None, False
        self._up_s, self._opened_s, self._next_probe_s = now_s, now_s, now_s + PROBE_EVERY_S
        if self._language.key is not None:
            self._next_renewal_s = now_s + self._language.key.renew_every_s
        self._session.put_up(connection)
        if old is not None and old.link is not None:
            old.link.close(1000, "replaced")
        if self._events:
            self._to_state(PrivateUp(connection.number))

    def _probe(self, connection: SessionConnection) -> None:
        if self._language.probe("0") is None:
            return

        def build(request_id: str) -> SessionRequest:
            probe = self._language.probe(request_id)
            assert probe is not None
            return probe

        self._ask(connection, build, _Probed)

    def on_probed(self, message: _Probed) -> None:
        if message.connection is not self._current:
            return
        if isinstance(message.outcome, SessionLost):
            self._memory.counters.add("session.probes_unanswered")
            self._drop(message.connection)
        elif isinstance(refused := self._trade.failure(message.outcome, write=False), AuthenticationFailed):
            self.last_end = str(refused)
            self._drop(message.connection)

    # ------------------------------------------------------------ ends

    def _drop(self, connection: SessionConnection) -> None:
        if connection.link is not None:
            connection.link.shutdown()

    def _drop_mute(self) -> None:
        """A connection that brings nothing is not kept for want of a successor: that it is down is the truth."""
        if self._is_mute and self._current is not None and self._successor is None:
            self._drop(self._current)

    def on_ended(self, message: SessionEnded) -> None:
        connection, closed = message.connection, message.closed
        if connection.link is not None:
            self._memory.drop_link(connection.link)
        if connection is self._successor:
            self._successor = None
            self._drop_mute()
            return
        if connection is not self._current or self._stopping:
            return
        self._memory.counters.add("session.connections_lost")
        lived_s = None if self._up_s is None else self._clock.monotonic_s() - self._up_s
        self._current, self._up_s, self._is_mute = None, None, False
        self.last_end = closed.reason or self.last_end
        self._doubt("the private session ended")
        if self._successor is not None:  # it is on its way, and takes over as soon as it is logged in
            self._current, self._successor = self._successor, None
            return
        if closed.status in TOO_MANY:
            refused = RateLimited(closed.reason, retry_after_s=closed.retry_after_s)
            self._memory.connects.penalize(refused, self._clock.monotonic_s())
        reached, accepted = connection.frames > 0 or closed.by_us, closed.phase in (LinkPhase.OPEN, LinkPhase.CLOSING)
        self._connect_in(self._delay_s(lived_s, closed.retry_after_s, reached=reached, accepted=accepted))

    def _delay_s(
        self, lived_s: float | None, retry_after_s: float | None, *, reached: bool, accepted: bool = False
    ) -> float:
        now_s = self._clock.monotonic_s()
        patience_s = self._backoff.after_failure(lived_s, now_s, reached=reached, accepted=accepted)
        delay_s = max(patience_s, retry_after_s or 0.0)
        self._not_before_s = now_s + (retry_after_s or 0.0)
        return max(delay_s, dead_key_wait_s(self._refused_keys)) if self._refused_keys else delay_s

    def on_ending(self, message: SessionEndingSeen) -> None:
        if message.connection is self._current:
            self._is_mute = self._is_mute or message.is_mute
            self._begin_successor(message.reason)

    def _begin_successor(self, why: str) -> None:
        if self._successor is not None or self._current is None or self._stopping:
            return
        if self._language.key is not None:
            self.last_end = why
            self._ask_for_key()
            return
        if self._memory.connects.try_reserve(self._clock.monotonic_s()) > 0.0:
            self._drop_mute()
            return  # the next tick, or the end of the old one, tries again
        self._memory.counters.add("session.rollovers")
        self.last_end = why
        self._successor = self._open("")

    def __repr__(self) -> str:
        kind = "private" if self._events else "orders"
        return f"<PrivateSide {self._memory.name} {kind} {self._session!r} {self.last_end}>"


def _response_of(answer: RawAnswer) -> HttpResponse:
    """
    Raises:
        ConnectorError: what came instead.
    """
    if answer.response is None:
        raise answer.error or NotConnected("no answer came, and no reason")
    return answer.response


def dead_key_wait_s(refusals: int) -> float:
    """How long to wait after a key was refused so many times in a row."""
    return min(DEAD_KEY_MAX_S, DEAD_KEY_FIRST_S * 2.0 ** min(refusals - 1, 60))
