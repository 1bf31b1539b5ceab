"""Refusals of the exchange, classed by what the caller must do: one reading of statuses and bodies for all its products.

Which code means what differs from product to product, so the table is handed in; so is the name the product goes by. A body
that is not the venue's own JSON never counts as the venue's word about a write. Never sends, waits, retries or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from connector.domain.instruments import InstrumentTable
from connector.domain.queries import Query
from connector.domain.times import NS_PER_MS
from connector.domain.wire import HttpResponse
from connector.drivers.binance import wire
from connector.drivers.binance.facts import Reaction, budget_name
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    ConnectorError,
    Misconfigured,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
)

__all__ = ["failure", "raise_unknown", "reaction_error", "said", "used"]

_WAF_BACKOFF_S = 300.0  # the firewall's 403 has no Retry-After; the documents ask for minutes
_TEXT_SHOWN = 200

_ERROR = msgspec.json.Decoder(wire.ErrorAnswer)

_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b")
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?\Z", re.ASCII)


def _retry_after_s(response: HttpResponse) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    return float(text) if _SECONDS.match(text) else None


def _ban_left_s(response: HttpResponse, text: str) -> float | None:
    found = _BANNED_UNTIL.search(text)
    return None if found is None else max(0.0, (int(found[1]) * NS_PER_MS - response.received_ns) / 1e9)


def reaction_error(
    venue: str,
    reaction: Reaction,
    code: str,
    text: str,
    *,
    write: bool,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> ConnectorError:
    """The error a code asks for. `text` is the venue's own."""
    shown = f"{venue} answered with code {code}: {text}"
    match reaction:
        case Reaction.UNKNOWN if write:
            return OutcomeUnknown(f"{shown}. It may have been done; ask before anything is sent again.")
        case Reaction.PARTLY if write:
            return OutcomeUnknown(f"{shown}. One half may have been done; ask for both.")
        case Reaction.UNKNOWN | Reaction.UNAVAILABLE:
            return VenueUnavailable(f"{shown}. Try later.", retry_after_s=retry_after_s, code=code)
        case Reaction.RATE_LIMITED:
            return RateLimited(f"{shown}. A request budget is spent.", retry_after_s=retry_after_s, code=code)
        case Reaction.CLOCK:
            return ClockRejected(f"{shown}. Measure the clock offset again, sign anew, send once.", code=code)
        case Reaction.RECONNECT:
            return NotConnected(f"{shown}. This connection is used up; another one is needed.", code=code)
        case Reaction.CREDENTIALS:
            return AuthenticationFailed(f"{shown}. An operator has to look at key, host and address list.", code=code)
        case _:
            return VenueRejected(venue, code, text, status=status)


def failure(
    venue: str, errors: Mapping[str, Reaction], response: HttpResponse, *, write: bool
) -> ConnectorError | None:
    """None when the response is a success; else the error, by `errors` where the code is in it, by the status where not."""
    status = response.status
    if 200 <= status < 300:
        return None
    code, text = said(response)
    shown = f"{venue} answered with HTTP status {status}" + (f", code {code}: {text}" if code else f": {text}")
    retry_after_s = _retry_after_s(response)
    if status == 418 or (code == "-1003" and _BANNED_UNTIL.search(text)):
        left_s = _ban_left_s(response, text)
        known = [wait_s for wait_s in (retry_after_s, left_s) if wait_s is not None]
        return Banned(
            f"{shown}. Nothing may be sent from this address until then; each call makes it longer.",
            retry_after_s=max(known) if known else None,
            code=code,
        )
    if status >= 500:
        if write:
            return OutcomeUnknown(f"{shown}. It may have been done; ask before anything is sent again.")
        return VenueUnavailable(f"{shown}. Try later.", retry_after_s=retry_after_s, code=code)
    reaction = errors.get(code) if code else None
    if reaction is not None and code is not None:
        return reaction_error(venue, reaction, code, text, write=write, status=status, retry_after_s=retry_after_s)
    return _by_status(venue, response, write, code, text, shown, retry_after_s)


def _by_status(
    venue: str,
    response: HttpResponse,
    write: bool,
    code: str | None,
    text: str,
    shown: str,
    retry_after_s: float | None,
) -> ConnectorError:
    """A refusal whose code says nothing: none, or one not in the table."""
    status = response.status
    if status == 429:
        return RateLimited(f"{shown}. A request budget is spent.", retry_after_s=retry_after_s, code=code)
    if status == 403:
        wait_s = _WAF_BACKOFF_S if retry_after_s is None else retry_after_s
        return VenueUnavailable(f"{shown}. The firewall wants minutes of silence.", retry_after_s=wait_s, code=code)
    if status == 401:
        return AuthenticationFailed(f"{shown}. An operator has to look at key, host and address list.", code=code)
    if status == 410:
        return Unsupported(f"{shown}. The venue has removed this call; this version of the driver is too old for it.")
    if status == 451:
        return Misconfigured(f"{shown}. The venue does not serve this place; choose another host or address.")
    if write:
        return OutcomeUnknown(f"{shown}. This is no answer known to mean “not done”; ask before sending again.")
    if code is None and status != 404:
        return VenueUnavailable(f"{shown}. That is not an exchange's answer; try later.", retry_after_s=retry_after_s)
    return VenueRejected(venue, code or str(status), text, status=status)


def said(response: HttpResponse) -> tuple[str | None, str]:
    """The venue's code and text; no code where the body is not the venue's JSON: a page, nothing at all, another's words."""
    try:
        answer = _ERROR.decode(response.body)
    except wire.UNREADABLE:
        start = response.body[:_TEXT_SHOWN].decode("utf-8", "replace")
        return None, " ".join(start.split()) or "no body"
    return str(answer.code)[:40], answer.msg[:_TEXT_SHOWN]


def raise_unknown(venue: str, query: Query, table: InstrumentTable | None, refused: VenueRejected) -> None:
    """Name the symbol the venue refused, with its likes where the table helps; return when the query names none."""
    asked = getattr(query, "symbols", None) or ((query.symbol,) if hasattr(query, "symbol") else ())
    try:
        if table is not None:
            for symbol in asked:
                table.require(symbol)
    except UnknownSymbol as unknown:
        raise unknown from refused
    if asked:
        raise UnknownSymbol(", ".join(map(str, asked)), venue) from refused


# ---------------------------------------------------------------- usage

_USED = re.compile(r"x-mbx-(used-weight|order-count)-(\d{1,6})([smhd])\Z", re.ASCII)
_BUDGETS = {"used-weight": "REQUEST_WEIGHT", "order-count": "ORDERS"}
_LETTERS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def used(response: HttpResponse) -> dict[str, int]:
    """Points used by budget name, as the headers tell."""
    found: dict[str, int] = {}
    for name, value in response.headers.items():
        match = _USED.match(name)
        if match is not None and value.isascii() and value.isdigit() and len(value) < 19:
            window_s = int(match[2]) * _LETTERS[match[3]]
            found[budget_name(_BUDGETS[match[1]], window_s)] = int(value)
    return found
