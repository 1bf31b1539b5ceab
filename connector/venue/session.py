"""One private WebSocket of an account: requests with replies, the account's events, or both. Safe on any thread.

`Session` outlives connections: it knows the one that is up, and who waits for which reply. It opens nothing (the stream
actor does) and decides nothing about orders. Every request handed to `send` ends exactly once: with the venue's reply, or with
`SessionLost` when the connection ended or the time was up, which proves nothing about what the venue did.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from connector.clock import Clock
from connector.domain.facts import AccountFact, StreamEnded
from connector.domain.instruments import InstrumentTable
from connector.domain.wire import HttpResponse
from connector.drivers.trading import PrivateLanguage, SessionEnding, SessionEvents, SessionReply, SessionRequest
from connector.errors import LinkError, NotConnected
from connector.telemetry import Counters, OncePerKind
from connector.transport.contract import Link, LinkClosed, LinkPhase

__all__ = [
    "AccountDoubt",
    "AccountFacts",
    "Session",
    "SessionConnection",
    "SessionEnded",
    "SessionEndingSeen",
    "SessionLost",
    "SessionOpened",
]


class SessionLost(msgspec.Struct, frozen=True):
    """No reply came, and none will. What the venue did is not known."""

    reason: str


class SessionOpened(msgspec.Struct, frozen=True):
    """To the stream actor: the upgrade succeeded."""

    connection: SessionConnection


class SessionEnded(msgspec.Struct, frozen=True):
    """To the stream actor: the link is closed, or never came about."""

    connection: SessionConnection
    closed: LinkClosed


class SessionEndingSeen(msgspec.Struct, frozen=True):
    """To the stream actor: the venue will close this connection soon, or (`is_mute`) brings no events by it any more."""

    connection: SessionConnection
    reason: str
    is_mute: bool = False


class AccountFacts(msgspec.Struct, frozen=True):
    """To the state actor: what the venue said about the account, in its order.

    Attributes:
        source: "stream" for the private stream, "answer" for the answer to a command, "query" for an answer to a question.
    """

    facts: tuple[AccountFact, ...]
    source: str
    recovered: bool = False


class AccountDoubt(msgspec.Struct, frozen=True):
    """To the state actor: something about the account could not be read; compare with the venue."""

    reason: str


class _Waiting(msgspec.Struct, eq=False):
    connection: SessionConnection
    answers: str
    deadline_s: float
    done: Callable[[HttpResponse | SessionLost], None]


class Session:
    """Who waits for which reply on the connection that is up."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock, self._counters = clock, counters
        self._lock = threading.Lock()  # guards the three below; nothing is called while it is held
        self._up: SessionConnection | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = itertools.count(1)

    @property
    def is_up(self) -> bool:
        """Whether the account's events are being received and requests can be sent."""
        return self._up is not None

    def put_up(self, connection: SessionConnection) -> None:
        """Use this connection from now on. Replies still expected on an older one keep coming there."""
        with self._lock:
            self._up = connection

    def retire(self) -> None:
        """The venue said that this connection takes no more requests: the next go another way. Replies on it keep coming."""
        with self._lock:
            self._up = None

    def send(
        self,
        build: Callable[[str], SessionRequest],
        deadline_s: float,
        done: Callable[[HttpResponse | SessionLost], None],
        *,
        on: SessionConnection | None = None,
    ) -> SessionRequest:
        """Send one request; `done` is called once, on whatever thread learns of its end.

        Args:
            build: request id -> the request.
            deadline_s: monotonic seconds; after it `done` gets SessionLost.
            on: a connection that is not up yet, for its login.

        Raises:
            NotConnected: no session is up; nothing was sent and `done` is not called.
        """
        connection = on or self._up
        link = connection.link if connection is not None else None
        if connection is None or link is None:
            raise NotConnected("no private session is up; nothing was sent.")
        request_id = f"c{next(self._numbers)}"
        request = build(request_id)
        with self._lock:
            self._waiting[request_id] = _Waiting(connection, request.answers, deadline_s, done)
        try:
            link.send(request.frame)
        except NotConnected:
            with self._lock:
                mine = self._waiting.pop(request_id, None)
            if mine is None:  # its end was told meanwhile
                return request
            raise
        except LinkError:
            pass  # some of it may have left. The link is ending, and whoever waits on it is told so: that is the end of this, too
        self._counters.add("session.requests")
        return request

    # ------------------------------------------------------------ what comes back

    def on_reply(self, connection: SessionConnection, reply: SessionReply) -> bool:
        """Hand a reply to who waits for it: by id, or by what it answers where the venue repeats no id. False: nobody does."""
        with self._lock:
            request_id = reply.request_id
            if request_id is None and reply.answers:
                request_id = self._oldest(connection, reply.answers)
            waiting = None if request_id is None else self._waiting.get(request_id)
            if request_id is None or waiting is None or waiting.connection is not connection:
                return False
            del self._waiting[request_id]
        waiting.done(reply.response)
        return True

    def _oldest(self, connection: SessionConnection, answers: str) -> str | None:
        return next(
            (
                request_id
                for request_id, waiting in self._waiting.items()
                if waiting.connection is connection and waiting.answers == answers
            ),
            None,
        )

    def lose(self, connection: SessionConnection, reason: str) -> None:
        """The connection is gone: everybody who waits on it is told so."""
        with self._lock:
            if self._up is connection:
                self._up = None
            lost = [key for key, waiting in self._waiting.items() if waiting.connection is connection]
            told = [self._waiting.pop(key) for key in lost]
        for waiting in told:
            self._counters.add("session.replies_lost")
            waiting.done(SessionLost(reason))

    def lose_all(self, reason: str) -> None:
        """Nobody will read a reply any more."""
        with self._lock:
            self._up = None
            told, self._waiting = list(self._waiting.values()), {}
        for waiting in told:
            self._counters.add("session.replies_lost")
            waiting.done(SessionLost(reason))

    def expire(self, now_s: float) -> None:
        """Called by the ticker: replies that are overdue are given up."""
        with self._lock:
            late = [key for key, waiting in self._waiting.items() if waiting.deadline_s <= now_s]
            told = [self._waiting.pop(key) for key in late]
        for waiting in told:
            self._counters.add("session.replies_late")
            waiting.done(SessionLost("no reply in time"))

    def __repr__(self) -> str:
        return f"<Session {'up' if self.is_up else 'down'} waiting={len(self._waiting)}>"


class SessionConnection:
    """Handler of one private link; runs on its reader thread.

    Attributes:
        side: the part of the stream actor that opened it.
        key: what its address holds where the venue gives out keys; "" elsewhere.
        step: how many of the opening's requests were answered well; for the side alone.
    """

    def __init__(
        self,
        number: int,
        side: Any,
        session: Session,
        language: PrivateLanguage,
        instruments: Callable[[], InstrumentTable | None],
        alarms: OncePerKind,
        is_current: Callable[[], bool],
        to_stream: Callable[[Any], None],
        to_state: Callable[[Any], None],
    ) -> None:
        self.number, self.side = number, side
        self.key = ""
        self.step = 0
        self.link: Link | None = None
        self.frames = 0
        self._session, self._language, self._instruments = session, language, instruments
        self._alarms, self._is_current = alarms, is_current
        self._to_stream, self._to_state = to_stream, to_state

    def on_open(self, link: Link) -> None:
        if not self._is_current():  # its actor ended, perhaps before it could keep the link
            link.shutdown()
            return
        self.link = link
        self._to_stream(SessionOpened(self))

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        if not self._is_current():
            link.shutdown()
            return
        self.frames += len(frames)
        for frame in frames:
            self._on_frame(frame, received_ns)

    def _on_frame(self, frame: bytes, received_ns: int) -> None:
        instruments = self._instruments()
        if instruments is None:
            self._to_state(AccountDoubt("an account event came before the instrument list"))
            return
        heard = self._language.read(frame, received_ns, instruments)
        if isinstance(heard, SessionReply):
            if not self._session.on_reply(self, heard):
                self._alarms.report("session: a reply nobody waits for", heard.request_id or heard.answers or "no id")
                if (
                    heard.request_id is None and not heard.answers
                ):  # it concerns the whole session, e.g. a key that was revoked
                    self._to_stream(
                        SessionEndingSeen(self, f"the venue answered no request with {heard.response.status}")
                    )
        elif isinstance(heard, SessionEvents):
            self._to_state(AccountFacts(heard.facts, "stream"))
            if any(isinstance(fact, StreamEnded) for fact in heard.facts):
                self._to_stream(SessionEndingSeen(self, "the venue ended the account's events on this session", True))
        elif isinstance(heard, SessionEnding):
            self._to_stream(SessionEndingSeen(self, heard.reason))
        elif not heard.known:
            self._alarms.report(f"session: unknown frame: {heard.kind}", heard.kind)
            self._to_state(AccountDoubt(f"a private frame could not be read: {heard.kind}"))

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self._session.lose(self, f"the private session ended: {closed.reason or 'no reason given'}")
        self._to_stream(SessionEnded(self, closed))

    def on_not_opened(self, problem: LinkError) -> None:
        """There is no link at all: for the actor the same as one that ended while connecting."""
        self._to_stream(SessionEnded(self, LinkClosed(LinkPhase.CONNECTING, None, str(problem), cause=problem)))

    def __repr__(self) -> str:
        phase = self.link.phase.value if self.link is not None else "connecting"
        return f"<SessionConnection {self.number} {phase} frames={self.frames}>"
