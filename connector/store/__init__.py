"""Where intents, orders and fills outlive the process: one contract, in memory or in a SQLite file."""

from connector.store.contract import (
    EvidenceRecord,
    FillRecord,
    IntentRecord,
    MetaRecord,
    OrderRecord,
    Record,
    Store,
    StoreFailed,
    changes,
)
from connector.store.memory import MemoryStore
from connector.store.sqlite import SqliteStore

__all__ = [
    "EvidenceRecord",
    "FillRecord",
    "IntentRecord",
    "MemoryStore",
    "MetaRecord",
    "OrderRecord",
    "Record",
    "SqliteStore",
    "Store",
    "StoreFailed",
    "changes",
]
