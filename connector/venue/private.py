"""The private connection of a venue, kept up by the stream actor: connect, subscribe to the account, probe, replace.

A part of the stream actor: used on its thread only, started by its messages, never waiting. Each connection signs a subscription
of its own. Up means: the venue acknowledged it; only then do orders go this way and is the state actor told to compare.
A key that is refused slows this down to a crawl, with one alarm; everything else is tried for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pykka

from connector.domain.wire import HttpResponse
from connector.drivers.trading import SessionLanguage, SessionRequest, TradeLanguage
from connector.errors import AuthenticationFailed, NotConnected, RateLimited
from connector.supervision import ActorContext
from connector.throttle import Backoff
from connector.transport.contract import Links, LinkSettings
from connector.venue.messages import post
from connector.venue.session import (
    AccountDoubt,
    SessionConnection,
    SessionEnded,
    SessionEndingSeen,
    SessionLost,
    SessionOpened,
)
from connector.venue.trading import Trading

__all__ = ["PrivateSide", "PrivateUp", "dead_key_wait_s"]

PROBE_EVERY_S = 15.0
LOGIN_WITHIN_S = 5.0
OVERLAP_S = 1.0
TOO_MANY = (418, 429)
DEAD_KEY_FIRST_S = 1800.0
DEAD_KEY_MAX_S = 86_400.0
"""A refused key is tried again after 30 minutes, growing to a day; an operator has to act meanwhile."""


class PrivateUp(msgspec.Struct, frozen=True):
    """To the state actor: the account's events come from now on; what happened before has to be asked for."""

    connection: int


class _Connect(msgspec.Struct, frozen=True):
    """To the stream actor: the delay before an attempt is over."""


class _LoggedIn(msgspec.Struct, frozen=True):
    """From the reader thread: how the subscription went."""

    connection: SessionConnection
    outcome: HttpResponse | SessionLost


class _Probed(msgspec.Struct, frozen=True):
    """From the reader thread: whether the session answered its probe."""

    connection: SessionConnection
    outcome: HttpResponse | SessionLost


class PrivateSide:
    """One account's session: at most one connection up and one on its way."""

    def __init__(self, trading: Trading, context: ActorContext, ref: pykka.ActorRef[Any], links: Links) -> None:
        memory = trading.memory
        assert trading.session_language is not None and trading.language is not None
        self._trading, self._memory, self._context, self._ref, self._links = trading, memory, context, ref, links
        self._language: SessionLanguage = trading.session_language
        self._trade: TradeLanguage = trading.language
        self._clock = memory.clock
        self._backoff = Backoff(memory.settings.reconnect, context.random)
        self._refused_keys = 0
        self._number = 0
        self._current: SessionConnection | None = None
        self._successor: SessionConnection | None = None
        self._up_s: float | None = None
        self._opened_s: float | None = None
        self._next_probe_s = 0.0
        self._armed = False
        self._stopping = False
        self.last_end = ""
        self.handlers: dict[type, Callable[[Any], None]] = {
            SessionOpened: self._on_opened,
            SessionEnded: self._on_ended,
            SessionEndingSeen: self._on_ending,
            _Connect: lambda _: self._on_due(),
            _LoggedIn: self._on_logged_in,
            _Probed: self._on_probed,
        }

    # ------------------------------------------------------------ life

    def start(self) -> None:
        self._trading.session.lose_all("the stream actor was restarted")
        self._connect_in(0.0)

    def end(self, why: str) -> None:
        self._stopping = True
        self._trading.session.lose_all(why)

    def on_tick(self) -> None:
        now_s = self._clock.monotonic_s()
        self._trading.session.expire(now_s)
        if self._current is None or self._up_s is None:
            return
        age_s = now_s - (self._opened_s or now_s)
        limit_s = self._language.max_age_s
        if limit_s is not None and age_s > limit_s - self._language.rollover_before_s:
            self._begin_successor("planned: the venue ends sessions of this age")
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + PROBE_EVERY_S
            self._ask(self._current, self._language.probe, _Probed)

    # ------------------------------------------------------------ connecting

    def _connect_in(self, delay_s: float) -> None:
        if not self._armed and not self._stopping:
            self._armed = True
            self._context.call_later(delay_s, _Connect())

    def _on_due(self) -> None:
        self._armed = False
        if self._stopping or self._current is not None:
            return
        if self._memory.instruments is None:  # events could not be read: the list is on its way
            self._connect_in(0.25)
            return
        wait_s = self._memory.connects.try_reserve(self._clock.monotonic_s())
        if wait_s > 0.0:
            self._connect_in(wait_s)
            return
        self._current = self._open()

    def _open(self) -> SessionConnection:
        self._number += 1
        self._memory.counters.add("session.connects")
        connection = SessionConnection(
            self._number,
            self._trading.session,
            self._language,
            lambda: self._memory.instruments,
            self._memory.alarms,
            self._context.is_current,
            self._post,
            self._to_state,
        )
        settings = self._memory.settings
        link = self._links.open(
            LinkSettings(
                url=self._language.url(self._memory.hosts.session),
                name=f"{self._memory.name}/stream/private-{self._number}",
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
        return connection

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

    def _ask(
        self,
        connection: SessionConnection,
        build: Callable[[str], SessionRequest],
        wrap: Callable[[SessionConnection, HttpResponse | SessionLost], Any],
    ) -> None:
        deadline_s = self._clock.monotonic_s() + LOGIN_WITHIN_S
        try:
            self._trading.session.send(
                build, deadline_s, lambda outcome: self._post(wrap(connection, outcome)), on=connection
            )
        except NotConnected as down:
            self._post(wrap(connection, SessionLost(str(down))))

    def _on_opened(self, message: SessionOpened) -> None:
        connection = message.connection
        if connection not in (self._current, self._successor):
            self._drop(connection)
            return
        self._ask(
            connection,
            lambda request_id: self._language.subscribe(request_id, self._trading.auth(), self._trading.now_ms()),
            _LoggedIn,
        )

    def _on_logged_in(self, message: _LoggedIn) -> None:
        connection, outcome = message.connection, message.outcome
        if connection not in (self._current, self._successor):
            return
        if isinstance(outcome, SessionLost):
            self._drop(connection)  # its end follows as a message
            return
        refused = self._trade.failure(outcome, write=False)
        if refused is not None:
            self._memory.counters.add("session.logins_refused")
            self.last_end = f"the subscription was refused: {refused}"
            if isinstance(refused, AuthenticationFailed):
                self._refused_keys += 1
                self._memory.alarms.report("account key refused", str(refused))
            elif isinstance(refused, RateLimited):
                self._memory.ledger.penalize(refused, self._clock.monotonic_s(), ())
            else:
                self._trading.note_clock(refused)
            self._drop(connection)
            return
        self._refused_keys = 0
        now_s = self._clock.monotonic_s()
        old = self._current if connection is self._successor else None
        self._current, self._successor = connection, None
        self._up_s, self._opened_s, self._next_probe_s = now_s, now_s, now_s + PROBE_EVERY_S
        self._trading.session.put_up(connection)
        if old is not None and old.link is not None:
            old.link.close(1000, "replaced")
        self._to_state(PrivateUp(connection.number))

    def _on_probed(self, message: _Probed) -> None:
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

    def _on_ended(self, message: SessionEnded) -> None:
        connection, closed = message.connection, message.closed
        if connection.link is not None:
            self._memory.drop_link(connection.link)
        if connection is self._successor:
            self._successor = None
            return
        if connection is not self._current or self._stopping:
            return
        self._memory.counters.add("session.connections_lost")
        lived_s = None if self._up_s is None else self._clock.monotonic_s() - self._up_s
        self._current = self._up_s = None
        self.last_end = closed.reason or self.last_end
        self._to_state(AccountDoubt("the private session ended"))
        if self._successor is not None:  # it is on its way, and takes over as soon as it is logged in
            self._current, self._successor = self._successor, None
            return
        if closed.status in TOO_MANY:
            refused = RateLimited(closed.reason, retry_after_s=closed.retry_after_s)
            self._memory.connects.penalize(refused, self._clock.monotonic_s())
        delay_s = max(self._backoff.after_failure(lived_s), closed.retry_after_s or 0.0)
        if self._refused_keys:
            delay_s = max(delay_s, dead_key_wait_s(self._refused_keys))
        self._connect_in(delay_s)

    def _on_ending(self, message: SessionEndingSeen) -> None:
        if message.connection is self._current:
            self._begin_successor(message.reason)

    def _begin_successor(self, why: str) -> None:
        if self._successor is not None or self._current is None or self._stopping:
            return
        if self._memory.connects.try_reserve(self._clock.monotonic_s()) > 0.0:
            return  # the next tick, or the end of the old one, tries again
        self._memory.counters.add("session.rollovers")
        self.last_end = why
        self._successor = self._open()

    def __repr__(self) -> str:
        return f"<PrivateSide {self._memory.name} {self._trading.session!r} {self.last_end}>"


def dead_key_wait_s(refusals: int) -> float:
    """How long to wait after a key was refused so many times in a row."""
    return min(DEAD_KEY_MAX_S, DEAD_KEY_FIRST_S * 2.0 ** min(refusals - 1, 60))
