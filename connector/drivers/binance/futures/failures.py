"""Refusals of the futures hosts: what their texts and statuses add to the reading of refusals all products share.

A 503 tells by its text alone whether an order may have been executed; a 408 never does. A code of the order engine that is not
in the table refused the request all the same. Everything unclear about a write stays unknown.

Source: venue API docs, "General Info", "Error Codes", read 2026-11.
"""

from __future__ import annotations

from connector.domain.wire import HttpResponse
from connector.drivers.binance import failures
from connector.drivers.binance.futures.facts import REFUSED_FOR_SURE, Futures
from connector.errors import ConnectorError, OutcomeUnknown, VenueRejected, VenueUnavailable

__all__ = ["failure", "used"]

_THROTTLED = "-1008"
_ENGINE = range(-5_999, -3_999)
_BY_CLASS = frozenset({403, 410, 418, 429, 451})  # statuses that say more than a code


def failure(futures: Futures, response: HttpResponse, *, write: bool) -> ConnectorError | None:
    """None when the response is a success; otherwise the error, classed by what the caller must do."""
    status = response.status
    if 200 <= status < 300:
        return None
    code, text = failures.said(response)
    shown = f"{futures.venue} answered with HTTP status {status}" + (f", code {code}: {text}" if code else f": {text}")
    if status == 408:
        if write:
            return OutcomeUnknown(f"{shown}. It may have been done; ask before anything is sent again.")
        return VenueUnavailable(f"{shown}. Try later.", code=code)
    if status >= 500 and code is not None and (code == _THROTTLED or text.strip() in REFUSED_FOR_SURE):
        return VenueUnavailable(f"{shown}. Nothing was done; try later.", code=code)
    if status < 500 and status not in _BY_CLASS and code not in futures.errors and _is_of_the_engine(code):
        return VenueRejected(futures.venue, code or "", text, status=status)
    return failures.failure(futures.venue, futures.errors, response, write=write)


def _is_of_the_engine(code: str | None) -> bool:
    try:
        return code is not None and int(code) in _ENGINE
    except ValueError:
        return False


def used(response: HttpResponse) -> dict[str, int]:
    """Points used by budget name. Lists of prices carry a header that is wrong (documented), so it is not believed there."""
    head = response.body[:200]
    if b'"bidPrice"' in head or (b'"symbol"' in head and b'"price"' in head and b'"orderId"' not in head):
        return {}
    return failures.used(response)
