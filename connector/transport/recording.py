"""Record what passes a link or an HTTP client, and change nothing else about it.

Bodies received are written as they came. What could hold a secret is not: URLs lose the values of secret parameters and
anything that looks like a key in the path, frames we send are redacted, and answers to signed requests are left out.
Writing happens on the thread that received or sent, and takes some ten microseconds a row: for recording, not for racing.
A recording that cannot be written (disk full) ends the link that is being recorded, with that error as the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from connector.clock import Clock, SystemClock
from connector.domain.wire import HttpRequest, HttpResponse
from connector.telemetry.redaction import HIDDEN, is_secret_name, redact
from connector.transport.capture import CaptureWriter
from connector.transport.contract import Link, LinkClosed, LinkHandler, LinkPhase, Links, LinkSettings
from connector.transport.http import Middleware, SendNext

__all__ = ["RecordingLinks", "public_url", "record_http"]

_CHANGES_WITH_EVERY_REQUEST = frozenset({"timestamp", "recvwindow"})
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9_-]{40,}")


def public_url(url: str) -> str:
    """The URL without user part, fragment, secret parameters and the time of signing; a key in the path shows as ***."""
    parts = urlsplit(url)
    query = "&".join(
        pair
        for pair in parts.query.split("&")
        if not is_secret_name(name := pair.partition("=")[0]) and name.lower() not in _CHANGES_WITH_EVERY_REQUEST
    )
    path = "/".join(HIDDEN if _LIKE_A_KEY.fullmatch(segment) else segment for segment in parts.path.split("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path, query=query, fragment="").geturl()


class RecordingLinks:
    """Links of another kind, recorded.

    Args:
        inner: opens the connections.
        writer: gets "ws-open", "ws-in" and "ws-out" rows; stays open when links end, and belongs to the caller.
        clock: stamps what is sent and opened; what is received keeps the link's own stamp.
    """

    def __init__(self, inner: Links, writer: CaptureWriter, clock: Clock | None = None) -> None:
        self._inner, self._writer, self._clock = inner, writer, clock or SystemClock()

    @property
    def kind(self) -> str:
        return self._inner.kind

    def open(self, settings: LinkSettings, handler: LinkHandler) -> Link:
        recorded = _RecordedLink(settings, handler, self._writer, self._clock)
        recorded.inner = self._inner.open(settings, recorded)
        return recorded

    def __repr__(self) -> str:
        return f"<RecordingLinks {self._inner!r} {self._writer!r}>"


class _RecordedLink:
    """Stands between a link and its handler, both ways."""

    def __init__(self, settings: LinkSettings, handler: LinkHandler, writer: CaptureWriter, clock: Clock) -> None:
        self.inner: Link | None = None
        self._settings, self._handler, self._writer, self._clock = settings, handler, writer, clock
        self._url = public_url(settings.url)

    # what the handler's side sees

    @property
    def settings(self) -> LinkSettings:
        return self._settings

    @property
    def phase(self) -> LinkPhase:
        return self.inner.phase if self.inner is not None else LinkPhase.CONNECTING

    @property
    def last_received_s(self) -> float | None:
        return self.inner.last_received_s if self.inner is not None else None

    def send(self, text: bytes) -> None:
        self._reached().send(text)
        self._writer.write("ws-out", self._url, redact(text.decode("utf-8", "replace")), self._clock.time_ns())

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._reached().close(code, reason)

    def shutdown(self) -> None:
        self._reached().shutdown()

    def join(self, timeout_s: float) -> bool:
        return self._reached().join(timeout_s)

    def _reached(self) -> Link:
        assert self.inner is not None  # callbacks set it before anybody else can hold this object
        return self.inner

    def __repr__(self) -> str:
        return f"<recorded {self.inner!r}>"

    # what the link below sees

    def on_open(self, link: Link) -> None:
        self.inner = link
        self._writer.write("ws-open", self._url, "", self._clock.time_ns())
        self._handler.on_open(self)

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        for frame in frames:
            self._writer.write("ws-in", self._url, frame.decode("utf-8", "replace"), received_ns)
        self._handler.on_frames(self, frames, received_ns)

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self.inner = link
        self._handler.on_closed(self, closed)


def record_http(
    writer: CaptureWriter, base_url: str, *, private: Callable[[HttpRequest], bool] | None = None
) -> Middleware:
    """A middleware that writes the body of every answer to a public request.

    Args:
        base_url: of the client, to make whole URLs.
        private: says which requests are not recorded; by default those with a secret parameter or header.
    """
    is_private = private or _holds_a_secret
    base = base_url.rstrip("/")

    def record(request: HttpRequest, send_next: SendNext) -> HttpResponse:
        response = send_next(request)
        if not is_private(request):
            body = response.body.decode("utf-8", "replace")
            writer.write("http", public_url(base + request.target), body, response.received_ns)
        return response

    return record


def _holds_a_secret(request: HttpRequest) -> bool:
    names = [pair.partition("=")[0] for pair in request.query.split("&")]
    return any(map(is_secret_name, (*names, *request.headers)))
