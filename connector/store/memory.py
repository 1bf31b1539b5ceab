"""A store that lives as long as the process: the default, and the measure for the others.

Nothing survives a crash, so an order that was open then is seen as another program's afterwards; use SQLite where that
matters. One lock guards four dicts; under it there is no input or output, and no code of anyone else.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from connector.domain.commands import Evidence
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKey
from connector.domain.symbols import Symbol
from connector.store.contract import (
    EvidenceRecord,
    FillRecord,
    IntentRecord,
    MetaRecord,
    OrderRecord,
    Record,
    StoreFailed,
    folded,
    head,
)

__all__ = ["MemoryStore"]


class _Kept(msgspec.Struct, gc=False):
    """What is kept of one order. Values only, in tuples: there may be tens of thousands, and the collector looks at none."""

    symbol: Symbol | None
    at_ns: int
    intents: tuple[IntentRecord, ...] = ()
    state: OrderRecord | None = None
    fills: dict[str, Fill] = {}
    evidence: tuple[Evidence, ...] = ()

    @property
    def placed(self) -> IntentRecord | None:
        return next((intent for intent in self.intents if intent.place is not None), None)

    @property
    def is_known(self) -> bool:
        return self.state is not None or self.placed is not None

    @property
    def is_open(self) -> bool:
        return self.is_known and (self.state is None or not self.state.is_final)

    def record(self) -> OrderRecord:
        return folded(self.placed, self.state, tuple(self.fills.values()), self.evidence)


class MemoryStore:
    """Keeps one account's orders in memory.

    Args:
        keep_final: so many final orders are kept, with their fills; the oldest are forgotten beyond it, at about 3.5 kB each.
    """

    def __init__(self, keep_final: int = 50_000) -> None:
        self._keep_final = keep_final
        self._final: dict[str, None] = {}  # the oldest first
        self._lock = threading.Lock()  # guards everything below
        self._orders: dict[str, _Kept] = {}
        self._fills: dict[FillKey, Fill] = {}
        self._meta: dict[str, str] = {}
        self._open: dict[str, None] = {}
        self._closed = False

    def append(self, records: Sequence[Record]) -> None:
        with self._lock:
            self._check()
            for record in records:
                if not isinstance(record, Record):
                    raise StoreFailed(f"a store takes records, not {type(record).__name__}; nothing was written.")
            for record in records:
                self._keep(record)

    def open_orders(self) -> tuple[OrderRecord, ...]:
        with self._lock:
            self._check()
            known = [self._orders[client_id] for client_id in self._open]
            return tuple(kept.record() for kept in sorted(known, key=lambda kept: kept.at_ns))

    def order(self, client_id: str) -> OrderRecord | None:
        with self._lock:
            self._check()
            kept = self._orders.get(client_id)
            return kept.record() if kept is not None and kept.is_known else None

    def orders(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[OrderRecord, ...]:
        with self._lock:
            self._check()
            wanted = [
                kept
                for kept in self._orders.values()
                if kept.is_known and kept.at_ns >= since_ns and symbol in (None, kept.symbol)
            ]
            return tuple(kept.record() for kept in sorted(wanted, key=lambda kept: kept.at_ns))

    def intents(self, client_id: str) -> tuple[IntentRecord, ...]:
        with self._lock:
            self._check()
            kept = self._orders.get(client_id)
            return () if kept is None else kept.intents

    def fills(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[Fill, ...]:
        with self._lock:
            self._check()
            wanted = [
                fill
                for fill in self._fills.values()
                if fill.event_time_ns >= since_ns and symbol in (None, fill.symbol)
            ]
        return tuple(sorted(wanted, key=lambda fill: (fill.event_time_ns, len(fill.trade_id), fill.trade_id)))

    def has_fill(self, symbol: Symbol, trade_id: str, side: Side) -> bool:
        with self._lock:
            self._check()
            return (symbol, trade_id, side) in self._fills

    def last_fill_id(self, symbol: Symbol) -> str | None:
        return self.meta(MetaRecord.last_fill(symbol, "").key)

    def meta(self, key: str) -> str | None:
        with self._lock:
            self._check()
            return self._meta.get(key)

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._orders)} orders, {len(self._open)} open, {len(self._fills)} fills>"

    # ------------------------------------------------------------ under the lock

    def _check(self) -> None:
        if self._closed:
            raise StoreFailed("the store is closed; nothing was written or read.")

    def _kept(self, client_id: str, symbol: Symbol | None, at_ns: int) -> _Kept:
        kept = self._orders.get(client_id)
        if kept is None:
            kept = self._orders[client_id] = _Kept(symbol, at_ns)
        if kept.symbol is None:
            kept.symbol = symbol
        return kept

    def _keep(self, record: Record) -> None:
        match record:
            case IntentRecord():
                if (
                    record.place is not None and record.client_id not in self._orders
                ):  # nothing is known that could have ended it
                    self._orders[record.client_id] = _Kept(record.symbol, record.at_ns, (record,))
                    self._open[record.client_id] = None
                    return
                kept = self._kept(record.client_id, record.symbol, record.at_ns)
                kept.intents += (record,)
            case OrderRecord():
                kept = self._kept(record.client_id, record.symbol, record.order.received_ns)
                kept.state = head(record)
            case EvidenceRecord(client_id, evidence):
                kept = self._kept(client_id, None, evidence.at_ns)
                kept.evidence += (evidence,)
            case FillRecord(fill):
                self._fills[fill.key] = fill
                if not fill.client_id:
                    return
                kept = self._kept(fill.client_id, fill.symbol, fill.received_ns)
                kept.fills[fill.trade_id] = fill
            case MetaRecord(key, value):
                self._meta[key] = value
                return
        client_id = record.fill.client_id if isinstance(record, FillRecord) else record.client_id
        if kept.is_open:
            self._open[client_id] = None
        elif kept.is_known:
            self._open.pop(client_id, None)
            self._final[client_id] = None
            if len(self._final) > self._keep_final:
                self._forget(next(iter(self._final)))

    def _forget(self, client_id: str) -> None:
        del self._final[client_id]
        for fill in self._orders.pop(client_id).fills.values():
            self._fills.pop(fill.key, None)
