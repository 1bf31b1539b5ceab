"""Links without sockets, threads or waiting: a test plays the far side, and says what happens when.

The same contract as every link (`connector.transport.contract`): callbacks in order, `on_closed` exactly once and last, a
handler that raises ends its link, and so on; the contract suite runs over this one too. What differs: callbacks run where
the test acts, or through `later`, and deadlines are judged against the clock it was given, never by real time.

    links = MemoryLinks(clock)
    link = links.open(settings, handler)     # nothing happens yet
    links.server.accept()                    # on_open
    links.server.send(b'{"e":"trade"}')      # on_frames
    clock.advance(13.0); links.check_deadlines()
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from connector.clock import Clock
from connector.errors import LinkError, NotConnected
from connector.transport.contract import LinkClosed, LinkHandler, LinkPhase, LinkSettings
from connector.transport.thread_link import checked_endpoint, sendable_close

__all__ = ["MemoryLink", "MemoryLinks", "MemoryServer"]

CallLater = Callable[[float, Callable[[], None]], object]


class MemoryLinks:
    """Opens links whose far side is `server`.

    Args:
        clock: stamps messages and judges deadlines.
        call_later: runs a function after so many seconds, as `DeterministicRuntime.call_later` does. All callbacks and
            deadlines then go through it. None runs callbacks at once, and leaves deadlines to `check_deadlines`.
        on_connect: what the far side does about a new link, as `server.accept`; None leaves it to the test. May be set
            later.
        on_message: called with every message a link sends, after it was noted in `MemoryLink.sent`.
        on_end: called when a link has ended, by whichever side, after its `on_closed` was asked for. May be set later.

    Attributes:
        opened: every link so far, oldest first.
        server: the far side of all of them.
    """

    kind = "memory"

    def __init__(
        self,
        clock: Clock,
        *,
        call_later: CallLater | None = None,
        on_connect: Callable[[MemoryLink], None] | None = None,
        on_message: Callable[[MemoryLink, bytes], None] | None = None,
        on_end: Callable[[MemoryLink], None] | None = None,
    ) -> None:
        self.opened: list[MemoryLink] = []
        self.server = MemoryServer(self)
        self.on_connect, self.on_message, self.on_end = on_connect, on_message, on_end
        self._clock, self._call_later = clock, call_later

    def open(self, settings: LinkSettings, handler: LinkHandler) -> MemoryLink:
        """Start one connection.

        Raises:
            SettingsError: the settings cannot be used, as with any other link.
        """
        checked_endpoint(settings)
        link = MemoryLink(self, settings, handler)
        self.opened.append(link)
        link._watch()
        on_connect = self.on_connect
        if on_connect is not None:
            self._soon(lambda: on_connect(link))
        return link

    @property
    def live(self) -> list[MemoryLink]:
        """Links that have not ended, oldest first."""
        return [link for link in self.opened if link.phase is not LinkPhase.CLOSED]

    def check_deadlines(self) -> None:
        """End every link that is past one of its deadlines; to be called after the clock was moved."""
        for link in self.live:
            link._judge()

    def _soon(self, action: Callable[[], None]) -> None:
        if self._call_later is None:
            action()
        else:
            self._call_later(0.0, action)

    def __repr__(self) -> str:
        return f"<MemoryLinks {len(self.live)} live of {len(self.opened)}>"


class MemoryServer:
    """The far side, as a test wants it. `link` is the newest one unless given."""

    def __init__(self, links: MemoryLinks) -> None:
        self._links = links

    def _chosen(self, link: MemoryLink | None) -> MemoryLink:
        if link is not None:
            return link
        assert self._links.opened, "no link was opened yet"
        return self._links.opened[-1]

    def connect(self, link: MemoryLink | None = None) -> None:
        """Accept the TCP connection and leave the upgrade unanswered."""
        self._chosen(link)._connected()

    def accept(self, link: MemoryLink | None = None) -> None:
        """Answer the upgrade with 101."""
        self._chosen(link)._opened()

    def refuse(self, status: int, link: MemoryLink | None = None, *, retry_after_s: float | None = None) -> None:
        """Answer the upgrade with something else."""
        chosen = self._chosen(link)
        chosen._connected()
        chosen._end(f"the upgrade was refused with HTTP status {status}", status=status, retry_after_s=retry_after_s)

    def fail(self, link: MemoryLink | None = None, reason: str = "connection refused") -> None:
        """Let the connection not come about."""
        self._chosen(link)._end(reason, cause=LinkError(reason))

    def send(self, *frames: bytes, link: MemoryLink | None = None) -> None:
        """Messages that arrive together, in one batch."""
        self._chosen(link)._received(list(frames))

    def close(self, code: int = 1000, reason: str = "", link: MemoryLink | None = None) -> None:
        """Send a close frame."""
        self._chosen(link)._end(reason or "closed by the peer", code=code)

    def cut(self, link: MemoryLink | None = None) -> None:
        """Reset the connection."""
        self._chosen(link)._end("the connection broke: connection reset by peer")

    def silent(self, link: MemoryLink | None = None) -> None:
        """Answer nothing any more, no ping and no close frame; what the link sends vanishes."""
        self._chosen(link).is_silent = True


class MemoryLink:
    """One connection in memory; made by `MemoryLinks.open`.

    Attributes:
        sent: messages the far side got, oldest first.
        is_silent: the far side neither answers nor takes anything.
        is_mute: the far side takes what is sent, and no pong and no answer to a close frame comes back.
    """

    def __init__(self, links: MemoryLinks, settings: LinkSettings, handler: LinkHandler) -> None:
        self.sent: list[bytes] = []
        self.is_silent = self.is_mute = False
        self._links, self._settings, self._handler = links, settings, handler
        self._clock = links._clock
        self._phase = LinkPhase.CONNECTING
        self._since_s = self._clock.monotonic_s()  # of the phase
        self._last_received_s: float | None = None
        self._by_us = False
        self._close_code: int | None = None
        self._ended: LinkClosed | None = None
        self._callbacks: deque[Callable[[], None]] = deque()
        self._calling = False
        self._watches = 0  # only the newest counts

    # ---------------------------------------------------------------- the link

    @property
    def settings(self) -> LinkSettings:
        return self._settings

    @property
    def phase(self) -> LinkPhase:
        return self._phase

    @property
    def last_received_s(self) -> float | None:
        self._hear_pongs()
        return self._last_received_s

    def send(self, text: bytes) -> None:
        if self._phase is not LinkPhase.OPEN:
            raise NotConnected(f"link {self._settings.name} is {self._phase.value}; nothing was sent")
        if self.is_silent:
            return
        self.sent.append(text)
        on_message = self._links.on_message
        if on_message is not None:
            self._links._soon(lambda: on_message(self, text))

    def close(self, code: int = 1000, reason: str = "") -> None:
        sendable_close(code, reason)
        if self._phase in (LinkPhase.CONNECTING, LinkPhase.UPGRADING):
            self.shutdown()
        elif self._phase is LinkPhase.OPEN:
            self._by_us, self._close_code = True, code
            self._enter(LinkPhase.CLOSING)
            if not (self.is_silent or self.is_mute):
                self._links._soon(lambda: self._end("closed by us", code=code))

    def shutdown(self) -> None:
        if self._ended is None:
            self._by_us = True
            self._end("shut down")

    def join(self, timeout_s: float) -> bool:
        return self._phase is LinkPhase.CLOSED and not self._callbacks

    def __repr__(self) -> str:
        return f"<MemoryLink {self._settings.name} {self._phase.name} sent={len(self.sent)}>"

    # ---------------------------------------------------------------- what the far side does to it

    def _connected(self) -> None:
        if self._phase is LinkPhase.CONNECTING:
            self._enter(LinkPhase.UPGRADING)

    def _opened(self) -> None:
        if self._phase in (LinkPhase.CONNECTING, LinkPhase.UPGRADING):
            self._enter(LinkPhase.OPEN)
            self._last_received_s = self._since_s
            self._call(lambda: self._handler.on_open(self))

    def _received(self, frames: list[bytes]) -> None:
        if self._phase not in (LinkPhase.OPEN, LinkPhase.CLOSING):
            return
        self._last_received_s = self._clock.monotonic_s()
        received_ns = self._clock.time_ns()
        limit = self._settings.max_message_bytes
        good = list(itertools.takewhile(lambda frame: len(frame) <= limit, frames))
        if good:
            self._call(lambda: self._handler.on_frames(self, good, received_ns))
        if len(good) < len(frames):
            self._end(f"a message is longer than the {limit} bytes allowed", code=1009)

    def _end(
        self,
        reason: str,
        *,
        code: int | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        if self._ended is not None:
            return
        self._ended = LinkClosed(self._phase, code, reason, status, retry_after_s, self._by_us, cause)
        self._phase = LinkPhase.CLOSED
        closed = self._ended
        self._callbacks.append(lambda: self._handler.on_closed(self, closed))
        self._run_callbacks()
        if self._links.on_end is not None:
            self._links.on_end(self)

    # ---------------------------------------------------------------- callbacks, one after the other

    def _call(self, callback: Callable[[], None]) -> None:
        def guarded() -> None:
            if self._ended is not None and self._ended.cause is not None:
                return  # its handler raised: it hears of the end only
            try:
                callback()
            except BaseException as problem:  # noqa: BLE001  a broken handler ends its link, whatever it raised
                self._end(f"the handler raised {type(problem).__name__}", code=1011, cause=problem)

        self._callbacks.append(guarded)
        self._run_callbacks()

    def _run_callbacks(self) -> None:
        if self._calling:
            return  # called from inside a callback: it is done when that one has returned
        self._calling = True
        self._links._soon(self._run_all)

    def _run_all(self) -> None:
        try:
            while self._callbacks:
                self._callbacks.popleft()()
        finally:
            self._calling = False

    # ---------------------------------------------------------------- deadlines

    def _enter(self, phase: LinkPhase) -> None:
        self._phase, self._since_s = phase, self._clock.monotonic_s()
        self._watch()

    def _hear_pongs(self) -> None:
        """Our pings, and the answers of a far side that is not silent, up to now."""
        every_s, heard_s = self._settings.ping_every_s, self._last_received_s
        answered = not (self.is_silent or self.is_mute)
        if self._phase is LinkPhase.OPEN and answered and every_s is not None and heard_s is not None:
            pings = (self._clock.monotonic_s() - self._since_s) // every_s
            self._last_received_s = max(heard_s, self._since_s + pings * every_s)

    def _due_s(self) -> float | None:
        """When the link ends by itself if nothing happens."""
        settings = self._settings
        idle_s = (self.last_received_s or 0.0) + settings.idle_timeout_s
        return {
            LinkPhase.CONNECTING: self._since_s + settings.connect_timeout_s,
            LinkPhase.UPGRADING: self._since_s + settings.upgrade_timeout_s,
            LinkPhase.OPEN: idle_s,
            LinkPhase.CLOSING: min(idle_s, self._since_s + settings.close_timeout_s),
        }.get(self._phase)

    def _watch(self) -> None:
        due_s = self._due_s()
        if self._links._call_later is not None and due_s is not None:
            self._watches += 1
            watch = self._watches
            self._links._call_later(
                max(due_s - self._clock.monotonic_s(), 0.0), lambda: self._judge() if watch == self._watches else None
            )

    def _judge(self) -> None:
        due_s = self._due_s()
        if due_s is None:
            return
        if self._clock.monotonic_s() < due_s:
            if self._phase is LinkPhase.OPEN:
                self._watch()
            return
        settings = self._settings
        match self._phase:
            case LinkPhase.CONNECTING:
                self._end("connecting took too long", cause=LinkError("connecting took too long"))
            case LinkPhase.UPGRADING:
                self._end(f"the upgrade was not answered in {settings.upgrade_timeout_s:g} s")
            case LinkPhase.CLOSING:
                self._end("the peer did not answer our close frame in time", code=self._close_code)
            case _:
                self._end(f"nothing was received for {settings.idle_timeout_s:g} s: the connection is half-open")
