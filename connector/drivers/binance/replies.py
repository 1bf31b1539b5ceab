"""Replies of the WebSocket API of all the exchange's products, in the form of the HTTP answers they stand for.

A reply becomes an `HttpResponse` with REST's status, body and headers: used budgets, and a `retry-after` made from the venue's
own two times. What the body says is read by REST's readers. Never raises over a part that only adds to an answer.
"""

from __future__ import annotations

import msgspec

from connector.domain.wire import HttpResponse
from connector.drivers.binance.reports import CountRow
from connector.drivers.binance.wire import UNREADABLE, Milliseconds
from connector.drivers.trading import SessionReply

__all__ = ["FRAME", "Frame", "reply", "words"]

_SHOWN = 40


class Frame(msgspec.Struct, rename="camel"):
    """Any frame: a reply, an event in its envelope, or (`e`) one without."""

    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    rate_limits: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str = ""


class _Limits(msgspec.Struct, rename="camel"):
    server_time: Milliseconds | None = None
    retry_after: Milliseconds | None = None


class _Error(msgspec.Struct):
    data: _Limits | None = None


FRAME = msgspec.json.Decoder(Frame)
_ERROR = msgspec.json.Decoder(_Error)
_COUNTS = msgspec.json.Decoder(list[msgspec.Raw])
_COUNT = msgspec.json.Decoder(CountRow)

_HEADERS = {"REQUEST_WEIGHT": "x-mbx-used-weight", "ORDERS": "x-mbx-order-count"}
_LETTERS = {"SECOND": "s", "MINUTE": "m", "HOUR": "h", "DAY": "d"}


def words(text: str) -> str:
    """A word of the venue's that can be shown and counted, whatever it is."""
    return "".join(sign for sign in text[:_SHOWN] if sign.isalnum() or sign in "_-.")


def _count_headers(raw: msgspec.Raw | msgspec.UnsetType) -> dict[str, str]:
    """The headers REST would have sent. An entry that cannot be read costs only itself."""
    headers: dict[str, str] = {}
    if raw is msgspec.UNSET:
        return headers
    try:
        entries = _COUNTS.decode(raw)
    except UNREADABLE:
        return headers
    for entry in entries:
        try:
            row = _COUNT.decode(entry)
        except UNREADABLE:
            continue
        name, letter = _HEADERS.get(row.rate_limit_type), _LETTERS.get(row.interval)
        if name is not None and letter is not None:
            headers[f"{name}-{row.interval_num}{letter}"] = str(row.count)
    return headers


def _retry_after(error: msgspec.Raw, received_ns: int) -> dict[str, str]:
    """`retryAfter` is a time of the venue's; measured against the venue's own `serverTime` where it tells it."""
    try:
        data = _ERROR.decode(error).data
    except UNREADABLE:
        return {}
    if data is None or data.retry_after is None:
        return {}
    now_ms = received_ns // 1_000_000 if data.server_time is None else data.server_time
    seconds, milliseconds = divmod(max(0, data.retry_after - now_ms), 1_000)
    return {"retry-after": f"{seconds}.{milliseconds:03d}"}


def reply(frame: Frame, received_ns: int) -> SessionReply:
    """A reply as the HTTP answer it stands for; `frame.status` is set."""
    status = frame.status
    assert not isinstance(status, msgspec.UnsetType)
    headers, body = _count_headers(frame.rate_limits), b"null"
    if not isinstance(frame.error, msgspec.UnsetType):
        body = bytes(frame.error)
        headers |= _retry_after(frame.error, received_ns)
    elif not isinstance(frame.result, msgspec.UnsetType):
        body = bytes(frame.result)
    request_id = None if frame.id is None or isinstance(frame.id, msgspec.UnsetType) else str(frame.id)
    return SessionReply(request_id, HttpResponse(status, headers, body, received_ns, received_ns))
