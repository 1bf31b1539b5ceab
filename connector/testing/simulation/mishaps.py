"""Faults inside the library's own code, without a line of it changed: crash here, be slow here.

Every actor reads the clock, opens links, sends requests and writes to a store through ports it was given. In a simulation these
ports are wrapped: when a mishap is armed for an actor, one of its next calls raises instead of answering, in the middle of
whatever it was doing: while it starts, handles a message, or cleans up at its end. Slowness and ends between two messages are put
before the actor's handler. Only the actor's own steps are hit, never a reader or a timer. Nothing is armed unless a test arms it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from connector.clock import Clock
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError
from connector.store.contract import Record, Store, StoreFailed
from connector.supervision import StableRef
from connector.supervision.futures import here
from connector.supervision.incarnation import Life
from connector.testing.clocks import FakeClock
from connector.transport.contract import Link, LinkHandler, Links, LinkSettings
from connector.venue.rest import HttpPort

__all__ = ["ERRORS", "Mishap", "MishapExit", "Mishaps", "Where"]

Where = Literal["start", "run", "stop"]
_LIFE = {"start": Life.STARTING, "run": Life.RUNNING, "stop": Life.ENDING}


class Mishap(Exception):
    """Something broke on purpose."""


class MishapExit(BaseException):
    """Something broke on purpose, and no `except Exception` stops it."""


ERRORS: dict[str, Callable[[], BaseException]] = {
    "Mishap": lambda: Mishap("on purpose"),
    "MishapExit": lambda: MishapExit("on purpose"),
    "SystemExit": lambda: SystemExit("on purpose"),
    "MemoryError": lambda: MemoryError("on purpose"),
    "RecursionError": lambda: RecursionError("on purpose"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("on purpose"),
}
"""What may be raised, by name."""


@dataclass
class _Armed:
    path: str
    life: Life
    calls: int
    error: str


class Mishaps:
    """Where things go wrong inside. One per simulation.

    Attributes:
        happened: how often something was really raised.
        store_fails: writes to stores fail, as on a full disk.
    """

    def __init__(self) -> None:
        self.happened = 0
        self.store_fails = False
        self._armed: list[_Armed] = []
        self._waiting: list[tuple[Any, Any]] = []

    def arm(self, path: str, where: Where, calls: int, error: str) -> None:
        """Let the call number `calls` (from 1) that the actor at `path` makes to a port, in that part of its life, raise.

        Raises:
            KeyError: no such error is known.
        """
        _ = ERRORS[error], _LIFE[where]
        self._armed.append(_Armed(path, _LIFE[where], calls, error))

    def disarm(self) -> None:
        """Nothing more goes wrong."""
        self._armed.clear()
        for actor, original in self._waiting:
            actor.on_receive = original
        self._waiting.clear()
        self.store_fails = False

    def point(self) -> None:
        """A port was called. Raises when that was the one."""
        if not self._armed:
            return
        incarnation = here.incarnation
        if incarnation is None:
            return
        for armed in self._armed:
            if armed.path == incarnation.cell.path and armed.life is incarnation.life:
                armed.calls -= 1
                if armed.calls <= 0:
                    self._armed.remove(armed)
                    self.happened += 1
                    raise ERRORS[armed.error]()

    # ---------------------------------------------------------------- the ports

    def clock(self, clock: FakeClock) -> Clock:
        """The same clock."""
        return _Clock(self, clock)

    def links(self, links: Links) -> Links:
        """The same links."""
        return _Links(self, links)

    def http(self, port: HttpPort) -> HttpPort:
        """The same HTTP port."""
        return _Http(self, port)

    def store(self, store: Store) -> Store:
        """The same store."""
        return _Store(self, store)

    # ---------------------------------------------------------------- between messages

    def stall(self, ref: StableRef, seconds: float) -> bool:
        """Let the actor take so long over its next message, unless it is cancelled. False: nothing runs there."""

        def slow(actor: Any) -> None:
            actor.context.cancelled.wait(seconds)

        return self._before_next(ref, slow)

    def fail_at_message(self, ref: StableRef, error: str, *, handled: bool) -> bool:
        """Let the actor fail with its next message in hand: before it did anything about it, or after all of it."""

        def fail(actor: Any) -> None:
            self.happened += 1
            raise ERRORS[error]()

        return self._before_next(ref, fail, after=handled)

    def _before_next(self, ref: StableRef, act: Callable[[Any], None], *, after: bool = False) -> bool:
        actor: Any = ref._actor_weakref()
        if actor is None:
            return False
        original = actor.on_receive

        def once(message: Any) -> Any:
            actor.on_receive = original
            self._waiting.remove(waiting)
            if not after:
                act(actor)
            answer = original(message)
            if after:
                act(actor)
            return answer

        waiting = (actor, original)
        self._waiting.append(waiting)
        actor.on_receive = once
        return True

    def __repr__(self) -> str:
        return f"<Mishaps armed={len(self._armed)} happened={self.happened}>"


class _Clock:
    def __init__(self, mishaps: Mishaps, clock: FakeClock) -> None:
        self._point, self._clock = mishaps.point, clock
        self.check_wall = clock.check_wall

    def monotonic_s(self) -> float:
        self._point()
        return self._clock.monotonic_s()

    def time_ns(self) -> int:
        self._point()
        return self._clock.time_ns()


class _Links:
    def __init__(self, mishaps: Mishaps, links: Links) -> None:
        self._mishaps, self._links = mishaps, links
        self.kind = links.kind

    def open(self, settings: LinkSettings, handler: LinkHandler) -> Link:
        self._mishaps.point()
        link = self._links.open(settings, handler)
        self._mishaps.point()
        return link


class _Http:
    def __init__(self, mishaps: Mishaps, port: HttpPort) -> None:
        self._mishaps, self._port = mishaps, port

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        self._mishaps.point()
        self._port.submit(request, deadline_s, done)
        self._mishaps.point()

    def close(self) -> None:
        self._port.close()


class _Store:
    def __init__(self, mishaps: Mishaps, store: Store) -> None:
        self._mishaps, self._store = mishaps, store

    def append(self, records: Sequence[Record]) -> None:
        self._mishaps.point()
        if self._mishaps.store_fails:
            raise StoreFailed("the disk is full, on purpose")
        self._store.append(records)
        self._mishaps.point()  # written, and the caller never hears of it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
