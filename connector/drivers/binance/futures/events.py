"""The account's events on Binance futures: a connection whose address holds a listen key. Frames in, facts out; nothing is sent.

One key per account: asking for it gives every process the same one and prolongs it, so it is never deleted here. It lives an hour
and is renewed every half. The handshake succeeds with any key, and no request can be sent: only pings prove that the connection
lives, and only comparing with the venue that it tells everything. There is no replay.

Never sends, waits or reads a clock; keeps nothing between frames. Safe on any thread.

Source: venue API docs, "User Data Streams", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.domain.instruments import InstrumentTable
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.binance import replies, wire
from connector.drivers.binance.futures import facts, reports
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.failures import failure
from connector.drivers.binance.reports import Unlisted
from connector.drivers.binance.wire import UNREADABLE
from connector.drivers.contract import Hosts
from connector.drivers.trading import (
    Auth,
    KeyRule,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import WireFormatError

__all__ = ["Events", "key_rule"]

_RENEW_EVERY_S = 1_800.0  # of the 3,600 s the venue gives it
_KEY_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

_EVENT: msgspec.json.Decoder[reports.Event] = msgspec.json.Decoder(reports.Event)
_KNOWN = frozenset(member.__struct_config__.tag for member in reports.EVENTS)


class _Key(msgspec.Struct, rename="camel"):
    listen_key: str


class _Named(msgspec.Struct):
    """What can be told of a frame whatever it is; `data`: the payload, where it comes in an envelope."""

    e: Any = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_KEY = msgspec.json.Decoder(_Key)
_NAMED = msgspec.json.Decoder(_Named)

# ---------------------------------------------------------------- the key


def key_rule(futures: Futures) -> KeyRule:
    """How the listen key is had and kept: by the API key's header alone, without parameters or a signature."""

    def request(method: str, auth: Auth) -> HttpRequest:
        costs = (Charge(facts.REQUEST_WEIGHT, 1),)
        path = f"{futures.root}/v1/listenKey"
        return HttpRequest(method, path, headers={"X-MBX-APIKEY": auth.key}, safe=True, charges=costs)

    def read(response: HttpResponse) -> str:
        error = failure(futures, response, write=False)
        if error is not None:
            raise error
        key = wire.decode("listen key", _KEY, response.body).listen_key
        if not key or not _KEY_SIGNS.issuperset(key):
            raise WireFormatError("listen key", f"it holds other signs than letters and digits ({len(key)} signs)")
        return key

    return KeyRule(
        open=lambda auth: request("POST", auth),
        read=read,
        renew=lambda key, auth: request("PUT", auth),
        renew_every_s=_RENEW_EVERY_S,
    )


# ---------------------------------------------------------------- the language


@dataclass(frozen=True, slots=True)
class Events:
    """PrivateLanguage of one of the products; see `drivers.trading`."""

    futures: Futures
    key: KeyRule | None
    max_age_s: float | None = 86_400.0
    rollover_before_s: float = 600.0

    def url(self, hosts: Hosts, key: str = "") -> str:
        """No list of events is asked for: what is not listed is not sent, the end of the key included."""
        if self.futures.contracts:
            return f"{hosts.events_root}/ws/{key}"
        return f"{hosts.events_root}/private/ws?listenKey={key}"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return ()

    def probe(self, request_id: str) -> SessionRequest | None:
        return None

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            named = _NAMED.decode(frame)
            raw = frame if isinstance(named.data, msgspec.UnsetType) else bytes(named.data)
            word = named.e if raw is frame else _NAMED.decode(raw).e
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        name = word if isinstance(word, str) else ""
        if not name:
            return SessionNoise("event of an unknown form", known=False)
        try:
            event = _EVENT.decode(raw)
            if isinstance(event, reports.ServerShutdown):
                return SessionEnding("the venue announced that it shuts this connection's server down")
            told = reports.event_facts(event, received_ns, instruments)
        except Unlisted as unlisted:
            return SessionNoise(
                f"{unlisted.kind} of {replies.words(unlisted.symbol)}, which is not listed", known=False
            )
        except (WireFormatError, *UNREADABLE):
            return SessionNoise(f"unreadable {name}" if name in _KNOWN else f"event {replies.words(name)}", known=False)
        return SessionNoise(name, known=True) if told is None else SessionEvents(told)
