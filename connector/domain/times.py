"""Times are UTC nanoseconds since 1970 as `int`; seconds as `float` only ever measure waiting. Reads no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["NS_PER_MS", "NS_PER_S", "NS_PER_US", "datetime_from_ns", "ns_from_datetime"]

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def datetime_from_ns(time_ns: int) -> datetime:
    """An aware UTC datetime, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=time_ns // NS_PER_US)


def ns_from_datetime(moment: datetime) -> int:
    """UTC nanoseconds of an aware datetime.

    Raises:
        ValueError: the datetime is naive; which zone it means cannot be known.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone. Give an aware datetime, e.g. datetime(2026, 1, 1, tzinfo=UTC).")
    return (moment - _EPOCH) // timedelta(microseconds=1) * NS_PER_US
