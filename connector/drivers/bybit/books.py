"""How Bybit's book snapshots and deltas fit together: the stream sends both, so no question is asked.

A snapshot comes first and replaces everything, whenever it comes and whatever its number (1 after a restart of the service). A
delta covers one update and follows the one before by exactly one. The documents promise that for the topic of 1,000 levels and
collectors see it on the others (UNCONFIRMED for 50 and 200); should it fail, the topic is left and joined again, and brings a
fresh snapshot. Deltas whose cross sequence runs backwards are dropped by the reader, see `streams`.
"""

from __future__ import annotations

from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, OrderBook

__all__ = ["RULE"]


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.last_update_id == update_id + 1 else Continuity.GAP


def _joins(snapshot: OrderBook, first_delta: BookDelta) -> bool:
    return True


RULE = BookRule(
    snapshot_limit=None,
    continuity=_continuity,
    joins=_joins,
    first=_continuity,
    source="Bybit V5 documentation, “Orderbook”, 2026-07, read 2026-11; what collectors verify, to 2026-07",
)
