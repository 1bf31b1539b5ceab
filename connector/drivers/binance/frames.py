"""Combined market-stream frames of all the exchange's products: requests out; routing, control frames and refusals in.

Every data frame is {"stream": name, "data": payload}. `route` cuts the name out of the first bytes and decodes nothing. What a
payload says is read elsewhere; the errors readers raise about their frames are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from connector.drivers.binance import wire
from connector.drivers.binance.facts import STREAM_ERRORS, Reaction
from connector.drivers.binance.failures import reaction_error
from connector.drivers.binance.wire import LARGEST, SMALLEST, UNREADABLE, is_amount, is_zero
from connector.drivers.contract import Ack, ConnectionEnding, Control, Noise, Refusal, StreamLimits
from connector.errors import ConnectorError, InvalidRequest, WireFormatError

__all__ = ["NAME_AFTER", "control", "other", "out_of_range", "request", "route", "side_fits", "unreadable"]

_SHUTDOWN = "serverShutdown"
NAME_AFTER = b'{"stream":"'
_MIDDLE = b',"data":'
_NAME_AT = len(NAME_AFTER)
_BANG, _BACKSLASH = ord("!"), ord("\\")


def request(method: str, names: Sequence[str], request_id: int, limits: StreamLimits) -> bytes:
    """A frame that subscribes or unsubscribes these names."""
    if not 1 <= len(names) <= limits.names_per_frame:
        raise InvalidRequest(
            f"{len(names)} stream names in one frame. Give 1 to {limits.names_per_frame}, the rest in further frames."
        )
    return msgspec.json.encode({"method": method, "params": list(names), "id": request_id})


# ---------------------------------------------------------------- routing


def route(frame: bytes) -> bytes | None:
    """The stream name of a data frame, None of any other; see `StreamLanguage.route`."""
    if frame.startswith(NAME_AFTER):
        end = frame.find(b'"', _NAME_AT)
        if end > _NAME_AT and frame.startswith(_MIDDLE, end + 1):
            name = frame[_NAME_AT:end]
            if _BACKSLASH not in name:
                return None if name[0] == _BANG else name
    return _slow_route(frame)


def _slow_route(frame: bytes) -> bytes | None:
    """The name in a frame with other spacing, key order or escapes than the venue usually writes."""
    try:
        name = wire.ENVELOPE.decode(frame).stream
        return None if not name or name.startswith("!") else name.encode()
    except UNREADABLE:
        return None


# ---------------------------------------------------------------- control frames


def control(venue: str, frame: bytes) -> Control:
    """What a frame without a topic says; see `StreamLanguage.control`."""
    try:
        return _control(venue, frame)
    except UNREADABLE:
        return Noise("unreadable frame", known=False)


def _control(venue: str, frame: bytes) -> Control:
    said = wire.CONTROL.decode(frame)
    request_id = said.id if isinstance(said.id, int) else None
    code, text = (said.error.code, said.error.msg) if said.error is not None else (said.code, said.msg or "")
    if said.error is not None or code is not None:
        return Refusal(request_id, _refusal(venue, str(code), text))
    event = said.e or (said.event.e if said.event is not None else "")
    if not event and said.data is not msgspec.UNSET:
        event = _event_of(said.data)
    if _SHUTDOWN in (event, said.stream.removeprefix("!")):
        return ConnectionEnding("the venue announced that it shuts this connection's server down")
    if said.result is not msgspec.UNSET:
        return Noise("answer without a request id", known=False) if request_id is None else Ack(request_id)
    if event or said.stream:
        return Noise(f"event {_plain(event)} on stream {_plain(said.stream)}", known=False)
    return Noise("frame of an unknown form", known=False)


def _event_of(data: msgspec.Raw) -> str:
    try:
        return wire.CONTROL_EVENT.decode(data).e
    except UNREADABLE:
        return ""


def _plain(text: str) -> str:
    return "".join(sign for sign in text[:40] if sign.isalnum() or sign in "!@_-+:.")


def _refusal(venue: str, code: str, text: str) -> ConnectorError:
    reaction = STREAM_ERRORS.get(code, Reaction.REJECTED)
    if text.casefold().startswith("too many"):
        reaction = Reaction.RATE_LIMITED
    return reaction_error(venue, reaction, code[:40], text[:200], write=False)


# ---------------------------------------------------------------- what readers say about a frame


def unreadable(kind: str, problem: Exception, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, str(problem) or type(problem).__name__, frame)


def other(kind: str, expected: str, found: str, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, f"frame of another symbol: expected {expected!r}, found {found!r:.60}", frame)


def out_of_range(kind: str, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, f"a number is outside [{SMALLEST}, {LARGEST}]", frame)


def side_fits(price: Decimal, quantity: Decimal) -> bool:
    """A side in range, or an empty one, which the venue writes as price 0 and quantity 0."""
    if is_zero(price):
        return is_zero(quantity)
    return SMALLEST <= price <= LARGEST and is_amount(quantity)
