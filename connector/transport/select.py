"""Choose the library links run over. Decides once, when asked; imports picows only then."""

from __future__ import annotations

import importlib.util

from connector.clock import Clock, SystemClock
from connector.errors import SettingsError
from connector.transport.capture import CaptureWriter
from connector.transport.contract import Links, TransportName
from connector.transport.dial import Dialer
from connector.transport.recording import RecordingLinks
from connector.transport.websocket_client_link import WebSocketClientLinks

__all__ = ["links_for"]


def links_for(
    transport: TransportName = "auto",
    recorder: CaptureWriter | None = None,
    *,
    clock: Clock | None = None,
    dialer: Dialer | None = None,
) -> Links:
    """Links over picows when it is installed, else over websocket-client; a name forces one.

    Args:
        recorder: everything that passes the links is written to it.

    Raises:
        SettingsError: the forced library is not installed, or the name is unknown.
    """
    clock = clock or SystemClock()
    links = _plain_links(transport, clock, dialer)
    return links if recorder is None else RecordingLinks(links, recorder, clock)


def _plain_links(transport: str, clock: Clock, dialer: Dialer | None) -> Links:
    if transport == "websocket-client":
        return WebSocketClientLinks(clock, dialer)
    if transport not in ("auto", "picows"):
        raise SettingsError(f"unknown transport {transport!r}: expected 'auto', 'picows' or 'websocket-client'")
    if importlib.util.find_spec("picows") is None:
        if transport == "picows":
            raise SettingsError(
                "transport 'picows' is not installed: pip install 'venue-connector[fast]', or choose 'auto'"
            )
        return WebSocketClientLinks(clock, dialer)
    from connector.transport.picows_link import PicowsLinks

    return PicowsLinks(clock, dialer)
