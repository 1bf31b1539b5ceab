"""Checks that questions and answers of all products share: parameters before they are sent, rows after they came.

What is out of bounds is refused and the bounds are named; nothing is cut to fit. Sends nothing, reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import pairwise

from connector.domain.times import NS_PER_MS, ns_from_datetime
from connector.domain.wire import HttpResponse
from connector.drivers.binance import wire
from connector.errors import InvalidRequest, WireFormatError

__all__ = [
    "LARGEST_ID",
    "LARGEST_NS",
    "Readable",
    "answered_ns",
    "ascending",
    "bad",
    "check",
    "limit",
    "number",
    "plain",
    "since_ms",
    "time_range",
    "whole",
]

LARGEST_ID = 2**63 - 1
LARGEST_NS = 2**63 - 1
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_LARGEST = Decimal("1e20")  # the venue reads 20 digits before the point
_SMALLEST = Decimal("1e-20")

# ---------------------------------------------------------------- parameters


def whole(venue: str, name: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"{name} is {value!r:.40}. {venue} takes a whole number from {low} to {high}.")
    if not low <= value <= high:
        shown = value if abs(value) < 10**20 else "far out of range"  # Python refuses to print very long integers
        raise InvalidRequest(f"{name} is {shown}. {venue} takes a whole number from {low} to {high}.")
    return value


def limit(venue: str, value: int | None, most: int) -> int:
    return most if value is None else whole(venue, "limit", value, 1, most)


def time_range(venue: str, start_ns: int | None, end_ns: int | None) -> list[tuple[str, str]]:
    """Both ends inclusive on our side and theirs; theirs are milliseconds, so the start is rounded up and the end down."""
    params: list[tuple[str, str]] = []
    if start_ns is not None:
        params.append(("startTime", str(-(-whole(venue, "start_ns", start_ns, 0, LARGEST_NS) // NS_PER_MS))))
    if end_ns is not None:
        params.append(("endTime", str(whole(venue, "end_ns", end_ns, 0, LARGEST_NS) // NS_PER_MS)))
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise InvalidRequest(f"the range ends before it starts: start_ns {start_ns}, end_ns {end_ns}.")
    return params


def plain(venue: str, name: str, value: Decimal, decimals: int) -> str:
    """A positive number as plain digits, with no more decimals than the venue keeps. Zeros it can do without are cut."""
    if not value.is_finite() or not _SMALLEST <= value < _LARGEST:
        raise InvalidRequest(f"{name} is {value!s:.40}. {venue} takes a positive number of at most 20 digits a side.")
    text = format(value, "f")
    places = len(text.partition(".")[2])
    if places <= decimals:
        return text
    whole_part, _, part = text.partition(".")
    if part[decimals:].strip("0"):
        raise InvalidRequest(
            f"{name} is {text}, with {len(part.rstrip('0'))} decimals. {venue} keeps {decimals} here; round it first."
        )
    return f"{whole_part}.{part[:decimals]}" if decimals else whole_part


def number(venue: str, name: str, text: str) -> int:
    """An id of the venue's, which are whole numbers."""
    if _NUMBER.fullmatch(text) is None:
        raise InvalidRequest(f"{name} is {text!r:.40}. {venue}'s ids are whole numbers.")
    return int(text)


def since_ms(start_ns: int) -> int:
    """Milliseconds, rounded down: the venue cuts its own times to milliseconds, and nothing may be missed."""
    if not 0 <= start_ns <= LARGEST_NS:
        raise InvalidRequest(f"start_ns is {start_ns!r:.40}. Expected UTC nanoseconds since 1970.")
    return start_ns // NS_PER_MS


# ---------------------------------------------------------------- answers


def bad(kind: str, problem: str, response: HttpResponse) -> WireFormatError:
    return WireFormatError(kind, problem, response.body)


def check(kind: str, response: HttpResponse, row: object, numbers: Sequence[Decimal], *, positive: bool) -> None:
    for number in numbers:
        if not (wire.SMALLEST <= number <= wire.LARGEST or (not positive and wire.is_zero(number))):
            raise bad(kind, f"number {number!s:.40} is out of range in {row!r:.200}", response)


def ascending(kind: str, response: HttpResponse, keys: Sequence[int]) -> None:
    for before, after in pairwise(keys):
        if after <= before:
            raise bad(kind, f"rows are not oldest first: {before} is followed by {after}", response)


def answered_ns(response: HttpResponse) -> int:
    """When the venue answered, at the latest: the earlier of its own Date header and our clock when the request went out.

    Only ever makes an open candle out of a closed one, never the other way round, whichever clock is wrong.
    """
    try:
        date = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return response.sent_ns
    return min(response.sent_ns, ns_from_datetime(date if date.tzinfo else date.replace(tzinfo=UTC)))


class Readable:
    """Inside it, numbers that cannot even be compared (a signalling NaN) refuse the answer like all others."""

    def __init__(self, kind: str, response: HttpResponse) -> None:
        self._kind, self._body = kind, response.body

    def __enter__(self) -> None: ...

    def __exit__(self, exc_type: object, problem: BaseException | None, traceback: object) -> None:
        if isinstance(problem, wire.UNREADABLE):
            raise WireFormatError(self._kind, str(problem), self._body) from problem
