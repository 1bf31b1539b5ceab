"""How a venue's deltas and snapshots fit together, as a value a driver fills in. Decides nothing by itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from connector.domain.market import BookDelta, OrderBook

__all__ = ["BookRule", "Continuity"]


class Continuity(enum.Enum):
    """What a delta is to a book: already contained, the next one, or proof that updates are missing."""

    OLD = "old"
    NEXT = "next"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class BookRule:
    """How a venue's deltas and snapshots fit together.

    Attributes:
        snapshot_limit: levels a side to ask for; None when the stream itself sends snapshots.
        continuity: (book's update id, delta) -> Continuity, for a book past its snapshot.
        joins: (snapshot, first buffered delta) -> False when the snapshot is too old and must be fetched again.
        first: (snapshot's update id, delta) -> Continuity of the first deltas after a snapshot.
        source: document and month.
    """

    snapshot_limit: int | None
    continuity: Callable[[int, BookDelta], Continuity]
    joins: Callable[[OrderBook, BookDelta], bool]
    first: Callable[[int, BookDelta], Continuity]
    source: str
