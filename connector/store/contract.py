"""What a store of orders promises, whatever it is made of, and the records it takes.

One store holds one account. Records are appended, never edited: an intent before anything is sent, evidence as it comes, the
order's state after each change, each fill, and where reading of fills had got to. Reading puts an order together again from its
parts. No record holds a secret: commands, answers in words and numbers are all there is.

The caller of `append` may act on what it wrote as soon as the call returns. A call that raises has written nothing the caller
may rely on: an order whose intent could not be written is not sent. Any thread may call any method.

`connector.testing.store_suite` is the promise as tests; a store of your own can be run through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from connector.domain.commands import Evidence
from connector.domain.market import Side
from connector.domain.orders import Fill
from connector.domain.symbols import Symbol
from connector.errors import Misconfigured
from connector.orders.lifecycle import IntentRecord, OrderRecord, new_record, restored

__all__ = [
    "EvidenceRecord",
    "FillRecord",
    "IntentRecord",
    "MetaRecord",
    "OrderRecord",
    "Record",
    "Store",
    "StoreFailed",
    "changes",
    "folded",
    "head",
]


class StoreFailed(Misconfigured):
    """The store could not write or read. An operator has to look; nothing is sent that could not be written first.

    Attributes:
        path: where it is kept; "" in memory.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class EvidenceRecord(msgspec.Struct, frozen=True, tag="evidence"):
    """One more line in an order's diary."""

    client_id: str
    evidence: Evidence


class FillRecord(msgspec.Struct, frozen=True, tag="fill"):
    """One fill; kept once, by `Fill.key`. `fill.client_id` is "" for those of other programs."""

    fill: Fill


class MetaRecord(msgspec.Struct, frozen=True, tag="meta"):
    """One named value; the last one written counts."""

    key: str
    value: str

    @classmethod
    def last_fill(cls, symbol: Symbol, trade_id: str) -> MetaRecord:
        """Every fill of the symbol up to this trade id has been taken in: reconciliation reads on from it."""
        return cls(f"last_fill {symbol}", trade_id)


Record = IntentRecord | OrderRecord | EvidenceRecord | FillRecord | MetaRecord
"""An OrderRecord is kept without its fills and evidence: those are records of their own. `changes` makes all of them."""


class Store(Protocol):
    """Keeps one account's orders. Any thread may call any method; every error is StoreFailed."""

    def append(self, records: Sequence[Record]) -> None:
        """Write all of them or none; they are durable when this returns.

        An intent to place makes the order known, as UNKNOWN, unless it is known already.

        Raises:
            StoreFailed: disk full, read-only, damaged, closed. Nothing of `records` is there.
        """

    def open_orders(self) -> tuple[OrderRecord, ...]:
        """Every order that is not final, UNKNOWN ones included, in the order of their intents."""

    def order(self, client_id: str) -> OrderRecord | None:
        """One order, whole: with its fills and evidence."""

    def orders(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[OrderRecord, ...]:
        """Orders meant at or after `since_ns` by our clock, oldest first, of one symbol or of all."""

    def intents(self, client_id: str) -> tuple[IntentRecord, ...]:
        """Everything that was meant about one order: to place, to amend, to cancel; oldest first."""

    def fills(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[Fill, ...]:
        """Fills at or after `since_ns` by the venue's clock, in the order of (time, trade id)."""

    def has_fill(self, symbol: Symbol, trade_id: str, side: Side) -> bool:
        """Whether a fill was taken in before, by its `Fill.key`."""

    def last_fill_id(self, symbol: Symbol) -> str | None:
        """The trade id of the newest `MetaRecord.last_fill`; None before the first."""

    def meta(self, key: str) -> str | None:
        """The last value written under a name."""

    def close(self) -> None:
        """Let go of it; a second call does nothing. Whatever is called later raises StoreFailed."""


# ---------------------------------------------------------------- records from and to orders


def changes(before: OrderRecord | None, after: OrderRecord) -> tuple[Record, ...]:
    """What to append so that a store that knew `before` knows `after`: new evidence, new fills, the new state."""
    if after is before:
        return ()
    known = 0 if before is None else len(before.evidence)
    fills = () if before is None else before.fills
    had = {fill.trade_id: fill for fill in fills}
    new: list[Record] = [EvidenceRecord(after.client_id, evidence) for evidence in after.evidence[known:]]
    if after.fills is not fills:
        new += [FillRecord(fill) for fill in after.fills if had.get(fill.trade_id) != fill]
    return (*new, head(after))


def head(record: OrderRecord) -> OrderRecord:
    """A record as it is kept: without what is kept apart or follows from the rest."""
    named = None if record.named is record.newest else record.named
    return msgspec.structs.replace(record, named=named, fills=(), evidence=())


def folded(
    intent: IntentRecord | None, state: OrderRecord | None, fills: Sequence[Fill], evidence: Sequence[Evidence]
) -> OrderRecord:
    """An order put together from what was kept of it; fills and evidence written after the last state count.

    Raises:
        ValueError: there is neither an intent nor a state.
    """
    if state is None:
        if intent is None:
            raise ValueError("an order is made from its intent or its state; there is neither.")
        state = new_record(intent)
    return restored(state, fills, evidence)
