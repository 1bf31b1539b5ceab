"""What every WebSocket link promises, whichever library is below it. Values and protocols only; opens nothing.

One link is one connection, from the attempt to its end; it never reconnects. Its reader thread belongs to it, is named,
answers pings by itself and calls the handler; every wait it makes has a deadline. All three callbacks run on that thread,
`on_open` at most once and first, `on_closed` exactly once and last, also when the connection never came about.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

__all__ = ["Link", "LinkClosed", "LinkHandler", "LinkPhase", "LinkSettings", "Links", "TlsSettings", "TransportName"]

TransportName = Literal["auto", "picows", "websocket-client"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a wss connection is verified. There is no way to switch verification off; name a CA file instead.

    Attributes:
        ca_file: PEM file of certificates to trust; None takes the system's.
        server_name: name to verify when it differs from the host in the URL.
    """

    ca_file: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class LinkSettings:
    """Where to connect and how long each step may take.

    Attributes:
        url: ws:// or wss://. Never shown whole: it may carry a token in its path or query.
        name: thread name and label in logs, e.g. "binance/stream/public-1".
        proxy: "http://user:pass@host:port", "socks5://…" or "socks5h://…"; None connects directly. Environment is not read.
        connect_timeout_s: name lookup (every address), TCP, TLS and proxy together.
        upgrade_timeout_s: from the request to the 101 answer.
        idle_timeout_s: the link ends itself when no byte arrived for so long; pings and pongs count as bytes.
        ping_every_s: own protocol ping, to see a half-open connection; None sends none. `idle_timeout_s` is the judge.
        close_timeout_s: how long the closing handshake may take.
        send_timeout_s: the link ends itself when the peer took no byte of what we sent for so long.
        max_message_bytes: a longer message ends the link with code 1009.
    """

    url: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None
    tls: TlsSettings = TlsSettings()
    connect_timeout_s: float = 5.0
    upgrade_timeout_s: float = 5.0
    idle_timeout_s: float = 12.0
    ping_every_s: float | None = 5.0
    close_timeout_s: float = 1.0
    send_timeout_s: float = 5.0
    max_message_bytes: int = 16 * 1024 * 1024

    @property
    def shown_url(self) -> str:
        """Scheme and host, for logs and errors: path and query may hold a key, the user part a password."""
        scheme, _, rest = self.url.partition("://")
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}/…"

    def __repr__(self) -> str:
        return f"<LinkSettings {self.name} {self.shown_url}{' by a proxy' if self.proxy else ''}>"


class LinkPhase(enum.Enum):
    CONNECTING = "connecting"
    UPGRADING = "upgrading"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """How a link ended.

    Attributes:
        phase: what it was doing when it ended.
        code: WebSocket close code received or sent; None when the connection just broke.
        reason: text of the close frame, or of the failure; free of secrets.
        status: HTTP status of a refused upgrade; None otherwise.
        retry_after_s: from a Retry-After header of a refused upgrade.
        by_us: True when `close` or `shutdown` was called first.
        cause: the exception below, if any.
    """

    phase: LinkPhase
    code: int | None
    reason: str
    status: int | None = None
    retry_after_s: float | None = None
    by_us: bool = False
    cause: BaseException | None = None


class LinkHandler(Protocol):
    """Called on the link's reader thread.

    An exception in `on_open` or `on_frames` ends the link and arrives in `on_closed`; one in `on_closed` has nobody left to
    hear it and goes to `threading.excepthook`.
    """

    def on_open(self, link: Link) -> None: ...

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        """One or more whole messages, in order, as bytes (text messages too, not yet checked to be UTF-8).

        `received_ns` is read once per batch, when its bytes came out of the socket.
        """

    def on_closed(self, link: Link, closed: LinkClosed) -> None: ...


class Link(Protocol):
    """One connection. All methods may be called from any thread."""

    @property
    def settings(self) -> LinkSettings: ...

    @property
    def phase(self) -> LinkPhase: ...

    @property
    def last_received_s(self) -> float | None:
        """Monotonic seconds when a byte (frame, ping or pong) last arrived; None before the first."""

    def send(self, text: bytes) -> None:
        """Send one text message. Never blocks: not on the reader, not on a full socket.

        Returning means that the message was handed over, in one piece and in order with this thread's earlier ones. Only an
        answer of the venue says that it arrived.

        Raises:
            NotConnected: the link is not open, or takes no more bytes; nothing of this message was sent.
            LinkError: the connection broke while sending; whether the message left is not known.
        """

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake and return; the link is dropped after `close_timeout_s` at the latest."""

    def shutdown(self) -> None:
        """End the connection now, without a handshake, waking the reader wherever it waits. Idempotent."""

    def join(self, timeout_s: float) -> bool:
        """Wait until the reader thread is gone; False when it is still there after `timeout_s`."""


class Links(Protocol):
    """Opens links of one kind. `open` returns at once; the handler learns how it went.

    It raises LinkError when the system gives no descriptor or no thread for another link; the handler hears nothing then.
    """

    @property
    def kind(self) -> str: ...

    def open(self, settings: LinkSettings, handler: LinkHandler) -> Link: ...
