"""The part of a link that both libraries share: its thread, its phases, how it connects and how its end is told.

It decides what `LinkClosed` says and guarantees that `on_closed` is called exactly once and last. It reads and writes no
message: that is the subclass's `_serve`, run on the link's thread once the TCP connection stands. Only this thread closes
the socket; others may shut it down, under `_lock`, so that no file number is ever used after it was given back.
"""

from __future__ import annotations

import abc
import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from connector.clock import Clock
from connector.errors import LinkError, SettingsError
from connector.transport.contract import LinkClosed, LinkHandler, LinkPhase, LinkSettings
from connector.transport.dial import Dialer, in_words, split_proxy
from connector.transport.upgrade import retry_after_s
from connector.transport.waiting import Waiter

__all__ = [
    "Endpoint",
    "LinkEnded",
    "ThreadLink",
    "checked_endpoint",
    "is_close_code",
    "refused",
    "sendable_close",
    "url_without_user",
]

_CLOSE_REASON_BYTES = 123
_OWN_HEADERS = frozenset(
    {"host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}
)


class LinkEnded(Exception):
    """Carries the end of a link from where it was noticed to where it is told. Never leaves this package."""

    def __init__(
        self,
        reason: str,
        *,
        code: int | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        self.reason, self.code, self.status, self.retry_after_s, self.cause = reason, code, status, retry_after_s, cause
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int
    secure: bool


def checked_endpoint(settings: LinkSettings) -> Endpoint:
    """Host, port and whether TLS is spoken.

    Raises:
        SettingsError: the URL, a header or the proxy cannot be used; said before a thread is started.
    """
    try:
        parts: SplitResult = urlsplit(settings.url)
        port = parts.port
    except ValueError:
        raise SettingsError(f"cannot read the URL of link {settings.name}: expected wss://host[:port]/path") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.fragment:
        raise SettingsError(
            f"cannot open {settings.shown_url} for link {settings.name}: expected wss://host[:port]/path"
        )
    for name, value in settings.headers.items():
        if not name or any(character in name + value for character in "\r\n\0"):
            raise SettingsError(f"link {settings.name}: header {name!r} is empty or holds a line break")
        if name.lower() in _OWN_HEADERS:
            raise SettingsError(f"link {settings.name}: header {name!r} belongs to the upgrade and cannot be set")
    if settings.proxy is not None:
        split_proxy(settings.proxy)
    secure = parts.scheme == "wss"
    return Endpoint(parts.hostname, port or (443 if secure else 80), secure)


def url_without_user(url: str) -> str:
    """The URL without a user part, which is not for the venue."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def is_close_code(code: int) -> bool:
    """Whether `code` may stand in a close frame, ours or the peer's (RFC 6455, section 7.4; 1012 to 1014 came later)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def sendable_close(code: int, reason: str) -> bytes:
    """The body of a close frame; the reason is cut to what fits.

    Raises:
        ValueError: a code that must not appear on the wire.
    """
    if not is_close_code(code):
        raise ValueError(f"close code {code} cannot be sent: expected 1000-1003, 1007-1014 or 3000-4999")
    text = reason.encode()[:_CLOSE_REASON_BYTES].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text


def refused(status: int | None, headers: Mapping[str, str], now_ns: int) -> LinkEnded:
    """The end of a link whose upgrade was answered with something else than 101."""
    if status is None:
        return LinkEnded("the upgrade was answered with something that is not HTTP")
    wait_s = retry_after_s(headers.get("retry-after"), now_ns)
    return LinkEnded(f"the upgrade was refused with HTTP status {status}", status=status, retry_after_s=wait_s)


class ThreadLink(abc.ABC):
    """See the module. Subclasses fill in `_serve`, and may widen `shutdown` and `_start_close`."""

    def __init__(
        self, settings: LinkSettings, endpoint: Endpoint, handler: LinkHandler, dialer: Dialer, clock: Clock
    ) -> None:
        self._settings, self._endpoint, self._handler = settings, endpoint, handler
        self._dialer, self._clock = dialer, clock
        try:
            self._waiter = Waiter()
        except OSError as problem:
            raise LinkError(f"link {settings.name} cannot be opened: {in_words(problem)}") from problem
        self._lock = threading.Lock()  # protects the fields below and sending on the socket; never held while waiting
        self._phase = LinkPhase.CONNECTING
        self._sock: socket.socket | None = None
        self._connect_deadline_s = 0.0
        self._by_us = False
        self._last_received_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"connector:{settings.name}", daemon=True)

    def _begin(self) -> None:
        """Start the link's thread.

        Raises:
            LinkError: the system gives none.
        """
        try:
            self._thread.start()
        except (RuntimeError, MemoryError) as problem:
            self._waiter.close()
            raise LinkError(f"link {self._settings.name} cannot be opened: no thread for it, {problem}") from problem

    # ---------------------------------------------------------------- asked from any thread

    @property
    def settings(self) -> LinkSettings:
        return self._settings

    @property
    def phase(self) -> LinkPhase:
        return self._phase

    @property
    def last_received_s(self) -> float | None:
        return self._last_received_s

    @abc.abstractmethod
    def send(self, text: bytes) -> None: ...

    @abc.abstractmethod
    def close(self, code: int = 1000, reason: str = "") -> None: ...

    def shutdown(self) -> None:
        with self._lock:
            if self._phase is LinkPhase.CLOSED:
                return
            self._by_us = True
            self._cut()
        self._waiter.interrupt()

    def join(self, timeout_s: float) -> bool:
        if self._thread is threading.current_thread():
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __repr__(self) -> str:
        heard_s = self._last_received_s
        heard = (
            "nothing heard" if heard_s is None else f"heard={max(self._clock.monotonic_s() - heard_s, 0.0):.2f}s ago"
        )
        return f"<{type(self).__name__} {self._settings.name} {self._phase.name} {heard}>"

    # ---------------------------------------------------------------- the link's own thread

    def _run(self) -> None:
        try:
            self._dial()
            self._serve()
            ended = LinkEnded("the link ended")
        except LinkEnded as end:
            ended = end
        except LinkError as problem:
            ended = LinkEnded(str(problem), cause=problem)
        except OSError as problem:
            ended = LinkEnded(f"the link's thread failed: {in_words(problem)}", cause=problem)
        except BaseException as problem:  # noqa: BLE001  the thread's edge: nothing may end a link without a word
            ended = LinkEnded(f"{type(problem).__name__} in the link's thread", cause=problem)
        self._tell(ended)

    def _dial(self) -> None:
        settings, endpoint = self._settings, self._endpoint
        deadline_s = self._clock.monotonic_s() + settings.connect_timeout_s
        sock = self._dialer.dial(
            endpoint.host, endpoint.port, proxy=settings.proxy, deadline_s=deadline_s, waiter=self._waiter
        )
        self._connect_deadline_s = deadline_s
        self._hold(sock)

    def _hold(self, sock: socket.socket | None) -> None:
        with self._lock:
            self._sock = sock

    @abc.abstractmethod
    def _serve(self) -> None:
        """From the connected socket to the end, which is told by raising LinkEnded."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Give back what `_serve` took. Called on the link's thread, once, when no other thread can send any more."""

    def _cut(self) -> None:  # under _lock
        if self._sock is not None:
            with contextlib.suppress(OSError):  # the plain method: a TLS socket would drop its state under the reader
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _move(self, phase: LinkPhase) -> None:
        with self._lock:
            self._phase = phase

    def _tell(self, ended: LinkEnded) -> None:
        with self._lock:
            phase, self._phase = self._phase, LinkPhase.CLOSED
            by_us = self._by_us
            self._cut()
        self._release()
        with self._lock:
            sock, self._sock = self._sock, None
        self._waiter.forget()
        if sock is not None:
            sock.close()
        self._waiter.close()
        closed = LinkClosed(
            phase=phase,
            code=ended.code,
            reason=ended.reason,
            status=ended.status,
            retry_after_s=ended.retry_after_s,
            by_us=by_us,
            cause=ended.cause,
        )
        self._handler.on_closed(self, closed)

    def _call_handler(self, frames: list[bytes], received_ns: int) -> None:
        try:
            self._handler.on_frames(self, frames, received_ns)
        except BaseException as problem:  # noqa: BLE001  a broken handler ends its link, whatever it raised
            raise LinkEnded(f"the handler raised {type(problem).__name__}", code=1011, cause=problem) from None

    def _call_opened(self) -> None:
        try:
            self._handler.on_open(self)
        except BaseException as problem:  # noqa: BLE001
            raise LinkEnded(
                f"the handler raised {type(problem).__name__} in on_open", code=1011, cause=problem
            ) from None
