"""Values carry the venue's name as the engine calls it, so that one exchange used twice can be told apart by them.

Drivers know the exchange's name only. What they read from an instrument carries the right name already, since the instrument list
is renamed as it comes; the rest is renamed here, where it enters. Does nothing for a venue that is called like its exchange.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["called"]


def called(value: Any, venue: str) -> Any:
    """The value, or tuple of values, with this venue's name; what names no venue is given back as it is."""
    if isinstance(value, tuple):
        return tuple([called(each, venue) for each in value])
    if not isinstance(value, msgspec.Struct) or getattr(value, "venue", None) is None:
        return value
    changes = {"venue": venue} if getattr(value, "venue", venue) != venue else {}
    for name in ("fill", "positions"):
        within = getattr(value, name, None)
        if within is not None and (renamed := called(within, venue)) is not within and renamed != within:
            changes[name] = renamed
    return msgspec.structs.replace(value, **changes) if changes else value
