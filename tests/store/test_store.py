"""Both stores keep the promise of the contract."""

from __future__ import annotations

from pathlib import Path

from connector.store import MemoryStore, SqliteStore, Store
from connector.testing.store_suite import StoreSuite


class TestMemoryStore(StoreSuite):
    durable = False

    def open(self, folder: Path) -> Store:
        return MemoryStore()


class TestSqliteStore(StoreSuite):
    def open(self, folder: Path) -> Store:
        return SqliteStore(folder / "orders.sqlite")
