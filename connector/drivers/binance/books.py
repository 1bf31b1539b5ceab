"""How Binance spot's depth snapshots and deltas fit together: the published procedure, as corrected in 2025-11.

A delta covers the updates `first_update_id`..`last_update_id`. Deltas that end at or before the book are old; one that begins
after the book's next update proves that something is missing; any other is applied, overlapping or not, because its
quantities are absolute. A snapshot older than the first buffered delta is fetched again, as the procedure says.
"""

from __future__ import annotations

from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, OrderBook

__all__ = ["RULE"]


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.GAP if delta.first_update_id > update_id + 1 else Continuity.NEXT


def _joins(snapshot: OrderBook, first_delta: BookDelta) -> bool:
    return snapshot.update_id >= first_delta.first_update_id


RULE = BookRule(
    snapshot_limit=1_000,  # weight 50; quantities far outside stay unknown until they change
    continuity=_continuity,
    joins=_joins,
    first=_continuity,
    source="Binance spot WebSocket streams, “How to manage a local order book correctly”, 2025-11, read 2026-11",
)
