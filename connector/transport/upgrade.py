"""Read the head of the answer to a WebSocket upgrade, and what a refusal says. Pure: no socket, no clock, no thread."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HEAD_BYTES", "Head", "read_head", "retry_after_s"]

HEAD_BYTES = 64 * 1024  # a longer head is not an answer to us


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an HTTP answer.

    Attributes:
        status: None when the first line is not HTTP.
        headers: names in lower case; the last one wins.
    """

    status: int | None
    headers: Mapping[str, str]


def read_head(raw: bytes) -> Head:
    """Read what stands before the first empty line. Never raises: a line that is not a header is left out."""
    first, *lines = raw.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    status = int(words[1]) if len(words) > 1 and words[0].startswith("HTTP/") and words[1].isdecimal() else None
    pairs = (line.partition(":") for line in lines if ":" in line)
    return Head(status, {name.strip().lower(): value.strip() for name, _, value in pairs})


def retry_after_s(value: str | None, now_ns: int) -> float | None:
    """Seconds to wait by a Retry-After header, given as seconds or as a date; None when absent or not readable.

    Args:
        now_ns: our clock, to measure a date against.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now_ns / 1e9
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
