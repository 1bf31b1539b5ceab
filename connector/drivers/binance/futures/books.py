"""How the futures' depth snapshots and deltas fit together. Ids are not consecutive: only the id before proves continuity.

Each delta names the last id of the one before (`previous_update_id`). The first one after a snapshot reaches over the snapshot's
id, or starts exactly where it ends; a snapshot older than the first buffered delta is fetched again. A delta that ends at or
before the book holds nothing new: while two connections overlap, each one comes twice.
"""

from __future__ import annotations

from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, OrderBook

__all__ = ["RULE"]


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.previous_update_id == update_id else Continuity.GAP


def _first(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id < update_id:
        return Continuity.OLD
    reaches = delta.first_update_id <= update_id or delta.previous_update_id == update_id
    return Continuity.NEXT if reaches else Continuity.GAP


def _joins(snapshot: OrderBook, first_delta: BookDelta) -> bool:
    return snapshot.update_id >= first_delta.first_update_id or snapshot.update_id == first_delta.previous_update_id


RULE = BookRule(
    snapshot_limit=1_000,  # weight 20; quantities far outside stay unknown until they change
    continuity=_continuity,
    joins=_joins,
    first=_first,
    source="Binance derivatives, “How to manage a local order book correctly”, read 2026-11; exact ends: seen in clients",
)
