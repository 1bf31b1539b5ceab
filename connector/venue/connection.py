"""One link and the topics it carries: the step from bytes to feeds.

Runs on the link's reader thread. It decides nothing: frames with a topic go to that topic's feed, everything else becomes
a message to the stream actor. Once its incarnation of the stream actor is fenced, it delivers nothing more and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from connector.clock import Clock
from connector.drivers.contract import Control, Noise, StreamLanguage
from connector.errors import LinkError
from connector.telemetry import OncePerKind
from connector.transport.contract import Link, LinkClosed, LinkPhase
from connector.venue.feed import Feed, Reader

__all__ = ["Connection", "ControlSeen", "LinkEnded", "LinkOpened"]


class LinkOpened(msgspec.Struct, frozen=True):
    """To the stream actor: the upgrade succeeded."""

    connection: Connection


class LinkEnded(msgspec.Struct, frozen=True):
    """To the stream actor: the link is closed, or never came about."""

    connection: Connection
    closed: LinkClosed


class ControlSeen(msgspec.Struct, frozen=True):
    """To the stream actor: the venue said something that is not data."""

    connection: Connection
    control: Control


class Connection(Reader):
    """Handler of one link. `routes` is replaced, never changed, so the reader thread needs no lock to look things up."""

    def __init__(
        self,
        number: int,
        language: StreamLanguage,
        name_after: bytes,
        clock: Clock,
        alarms: OncePerKind,
        is_current: Callable[[], bool],
        post: Callable[[Any], None],
    ) -> None:
        super().__init__(name_after)
        self.number = number
        self.link: Link | None = None
        self._routes: dict[bytes, Feed] = {}
        self.frames = self.strays = 0
        self._language = language
        self._clock, self._alarms, self._is_current, self._post = clock, alarms, is_current, post

    @property
    def routes(self) -> dict[bytes, Feed]:
        return self._routes

    @routes.setter
    def routes(self, routes: dict[bytes, Feed]) -> None:
        self._routes = routes
        self._route(routes)

    def on_open(self, link: Link) -> None:
        if not self._is_current():  # its actor ended, perhaps before it could keep the link
            link.shutdown()
            return
        self.link = link
        self._post(LinkOpened(self))

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        if not self._is_current():
            link.shutdown()
            return
        now_s = self._clock.monotonic_s()
        self.frames += len(frames)
        self._pass_on(frames, received_ns, now_s)

    def _on_other(self, frame: bytes, received_ns: int, now_s: float) -> None:
        name = self._language.route(frame)
        if name is None:
            self._on_control(frame)
            return
        feed = self._routes.get(name)
        if feed is not None:
            feed.on_frame(self, frame, received_ns, now_s)
        else:
            self._on_stray(name)

    def _on_stray(self, name: bytes) -> None:
        """A topic we have just left, or one we are about to route; a name that is no text is neither."""
        self.strays += 1
        try:
            name.decode()
        except UnicodeDecodeError:
            self._alarms.report("a topic's name is not UTF-8", repr(name[:40]))

    def _on_control(self, frame: bytes) -> None:
        control = self._language.control(frame)
        if isinstance(control, Noise):
            if not control.known:
                self._alarms.report(f"unknown frame: {control.kind}", control.kind)
        else:
            self._post(ControlSeen(self, control))

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self._post(LinkEnded(self, closed))

    def on_not_opened(self, problem: LinkError) -> None:
        """There is no link at all: for the actor the same as one that ended while connecting."""
        self._post(LinkEnded(self, LinkClosed(LinkPhase.CONNECTING, None, str(problem), cause=problem)))

    def __repr__(self) -> str:
        phase = self.link.phase.value if self.link is not None else "connecting"
        return f"<Connection {self.number} {phase} topics={len(self.routes)} frames={self.frames}>"
