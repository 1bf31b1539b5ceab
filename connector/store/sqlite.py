"""A store in one SQLite file: what `append` wrote is there after `kill -9`, a crash of the machine or a full disk.

The file is in WAL mode with `synchronous=FULL`: `append` is one transaction, and its return means that the disk has it. A tail
torn by a crash is cut off by SQLite when the file is opened; nothing before it is touched. Every record carries a checksum: one
that does not match, a file damaged elsewhere, of a newer version or held by another process is refused in words, never read by
guess. A disk that is full or read-only makes `append` raise `StoreFailed` with nothing written, so nothing is sent.

One process holds the file at a time. One connection under one lock serves every thread; a call takes as long as the disk.
Records are JSON with decimals as text. There is nothing secret in them, see `store.contract`.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from connector.domain.commands import Evidence
from connector.domain.market import Side
from connector.domain.orders import Fill
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

__all__ = ["SCHEMA_VERSION", "SqliteStore"]

_APPLICATION = 0x636E6F72  # marks the file as ours, see PRAGMA application_id

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE orders (
        number INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, symbol TEXT, at_ns INTEGER NOT NULL,
        is_known INTEGER NOT NULL DEFAULT 0, is_open INTEGER NOT NULL DEFAULT 0, body BLOB, checksum INTEGER
    );
    CREATE INDEX orders_open ON orders (at_ns) WHERE is_open;
    CREATE INDEX orders_time ON orders (at_ns);
    CREATE TABLE intents (
        number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL
    );
    CREATE INDEX intents_order ON intents (client_id);
    CREATE TABLE evidence (
        number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL
    );
    CREATE INDEX evidence_order ON evidence (client_id);
    CREATE TABLE fills (
        symbol TEXT NOT NULL, trade_id TEXT NOT NULL, client_id TEXT NOT NULL, at_ns INTEGER NOT NULL,
        body BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (symbol, trade_id)
    ) WITHOUT ROWID;
    CREATE INDEX fills_order ON fills (client_id);
    CREATE INDEX fills_time ON fills (at_ns);
    """,
    # A trade between two orders of one account is two fills.
    """
    ALTER TABLE fills RENAME TO older_fills;
    DROP INDEX fills_order;
    DROP INDEX fills_time;
    CREATE TABLE fills (
        symbol TEXT NOT NULL, trade_id TEXT NOT NULL, side TEXT NOT NULL, client_id TEXT NOT NULL, at_ns INTEGER NOT NULL,
        body BLOB NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (symbol, trade_id, side)
    ) WITHOUT ROWID;
    INSERT INTO fills SELECT symbol, trade_id, json_extract(CAST(body AS TEXT), '$.side'), client_id, at_ns, body, checksum
        FROM older_fills;
    DROP TABLE older_fills;
    CREATE INDEX fills_order ON fills (client_id);
    CREATE INDEX fills_time ON fills (at_ns);
    """,
)
"""Statements that lead from each version of the file to the next; only ever added to."""

SCHEMA_VERSION = len(_MIGRATIONS)

_JSON = msgspec.json.Encoder()
_READ_INTENT = msgspec.json.Decoder(IntentRecord).decode
_READ_ORDER = msgspec.json.Decoder(OrderRecord).decode
_READ_EVIDENCE = msgspec.json.Decoder(Evidence).decode
_READ_FILL = msgspec.json.Decoder(Fill).decode


class SqliteStore:
    """Keeps one account's orders in a file.

    Args:
        path: made when it is not there; its folder has to be.

    Raises:
        StoreFailed: the file cannot be opened or made, is damaged, another program's, newer, or held by another process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.Lock()  # guards the connection: one transaction at a time
        self._database: sqlite3.Connection | None = None
        with self._lock:
            try:
                # No transaction but ours (isolation_level=None), no waiting for another process (timeout=0).
                self._database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0)
                self._prepare(self._database)
            except BaseException as failure:
                if self._database is not None:
                    self._database.close()
                    self._database = None
                if isinstance(failure, sqlite3.Error):
                    raise self._failed("cannot be opened", failure) from failure
                raise

    def append(self, records: Sequence[Record]) -> None:
        with self._lock, self._transaction("cannot be written to; nothing of it was, and nothing may be sent") as run:
            for record in records:
                self._write(run, record)

    def open_orders(self) -> tuple[OrderRecord, ...]:
        return self._records("is_open")

    def order(self, client_id: str) -> OrderRecord | None:
        found = self._records("is_known AND client_id = ?", client_id)
        return found[0] if found else None

    def orders(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[OrderRecord, ...]:
        if symbol is None:
            return self._records("is_known AND at_ns >= ?", since_ns)
        return self._records("is_known AND at_ns >= ? AND symbol = ?", since_ns, str(symbol))

    def intents(self, client_id: str) -> tuple[IntentRecord, ...]:
        with self._reading() as run:
            rows = run(
                "SELECT client_id, body, checksum FROM intents WHERE client_id = ? ORDER BY number", (client_id,)
            )
            return tuple(self._read(_READ_INTENT, *row) for row in rows)

    def fills(self, symbol: Symbol | None = None, since_ns: int = 0) -> tuple[Fill, ...]:
        with self._reading() as run:
            rows = run(
                "SELECT symbol || ' ' || trade_id, body, checksum FROM fills WHERE at_ns >= ? AND (? IS NULL OR symbol = ?)"
                " ORDER BY at_ns, length(trade_id), trade_id",
                (since_ns, *[None if symbol is None else str(symbol)] * 2),
            )
            return tuple(self._read(_READ_FILL, *row) for row in rows)

    def has_fill(self, symbol: Symbol, trade_id: str, side: Side) -> bool:
        with self._reading() as run:
            chosen = "symbol = ? AND trade_id = ? AND side = ?"
            found = run(f"SELECT 1 FROM fills WHERE {chosen}", (str(symbol), trade_id, side.value))
            return next(iter(found), None) is not None

    def last_fill_id(self, symbol: Symbol) -> str | None:
        return self.meta(MetaRecord.last_fill(symbol, "").key)

    def meta(self, key: str) -> str | None:
        with self._reading() as run:
            row = next(iter(run("SELECT value FROM meta WHERE key = ?", (key,))), None)
            return None if row is None else str(row[0])

    def close(self) -> None:
        with self._lock:
            database, self._database = self._database, None
            if database is not None:
                database.close()

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path}{'' if self._database is not None else ' closed'}>"

    # ------------------------------------------------------------ the file; under the lock

    def _prepare(self, database: sqlite3.Connection) -> None:
        run = database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA synchronous = FULL")
        if sys.platform == "darwin":
            run("PRAGMA fullfsync = ON")  # macOS: a plain fsync leaves the data in the drive's cache
        application = run("PRAGMA application_id").fetchone()[0]
        version = run("PRAGMA user_version").fetchone()[0]
        is_new = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not is_new and application != _APPLICATION:
            raise self._failed("is a database of another program; choose another path")
        if version > SCHEMA_VERSION:
            raise self._failed(
                f"has version {version}, this library knows up to {SCHEMA_VERSION}; use the newer library"
            )
        mode = run("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise self._failed(
                f"cannot use a write-ahead log here (mode {mode}); choose a path on a local, writable disk"
            )
        problems = [row[0] for row in run("PRAGMA quick_check(3)")]
        if problems != ["ok"]:
            raise self._failed(f"is damaged ({'; '.join(problems)}); restore a copy, or reconcile into a new file")
        run("BEGIN EXCLUSIVE")  # takes the lock for as long as the file is open, and migrates all or nothing
        for statements in _MIGRATIONS[version:]:
            for statement in filter(str.strip, statements.split(";")):
                run(statement)
        run(f"PRAGMA application_id = {_APPLICATION}")
        run(f"PRAGMA user_version = {SCHEMA_VERSION}")
        run("COMMIT")

    def _failed(self, what: str, cause: BaseException | None = None) -> StoreFailed:
        because = ""
        if cause is not None:
            because = f": {cause}"
            if "locked" in str(cause):
                because = ": another process holds it; one process has one account"
        return StoreFailed(f"the store {self.path} {what}{because}.", path=self.path)

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise self._failed("is closed; nothing was written or read")
        return self._database

    @contextmanager
    def _transaction(self, what: str) -> Iterator[Callable[..., sqlite3.Cursor]]:
        database = self._opened()
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database.execute
            database.execute("COMMIT")
        except BaseException as failure:
            try:
                if database.in_transaction:
                    database.execute("ROLLBACK")
            except sqlite3.Error:  # the first failure says more; the file is put right when it is next opened
                pass
            if isinstance(failure, sqlite3.Error | UnicodeError | OverflowError):
                raise self._failed(what, failure) from failure
            raise

    @contextmanager
    def _reading(self) -> Iterator[Callable[..., Iterable[tuple[Any, ...]]]]:
        with self._lock:
            database = self._opened()
            try:
                yield lambda statement, values: database.execute(statement, values).fetchall()
            except sqlite3.Error as failure:
                raise self._failed("cannot be read", failure) from failure

    # ------------------------------------------------------------ records

    def _write(self, run: Callable[..., sqlite3.Cursor], record: Record) -> None:
        match record:
            case IntentRecord(client_id=client_id):
                self._order_row(run, client_id, record.symbol, record.at_ns)
                body = _JSON.encode(record)
                values = (client_id, body, _checksum(client_id, body))
                run("INSERT INTO intents (client_id, body, checksum) VALUES (?, ?, ?)", values)
                if record.place is not None:
                    run(
                        "UPDATE orders SET is_known = 1, is_open = 1 WHERE client_id = ? AND NOT is_known", (client_id,)
                    )
            case OrderRecord():
                client_id, body = record.client_id, _JSON.encode(head(record))
                self._order_row(run, client_id, record.symbol, record.order.received_ns)
                run(
                    "UPDATE orders SET is_known = 1, is_open = ?, body = ?, checksum = ? WHERE client_id = ?",
                    (not record.is_final, body, _checksum(client_id, body), client_id),
                )
            case EvidenceRecord(client_id, evidence):
                self._order_row(run, client_id, None, evidence.at_ns)
                body = _JSON.encode(evidence)
                values = (client_id, body, _checksum(client_id, body))
                run("INSERT INTO evidence (client_id, body, checksum) VALUES (?, ?, ?)", values)
            case FillRecord(fill):
                if fill.client_id:
                    self._order_row(run, fill.client_id, fill.symbol, fill.received_ns)
                symbol, body = str(fill.symbol), _JSON.encode(fill)
                checksum = _checksum(f"{symbol} {fill.trade_id}", body)
                run(
                    "INSERT OR REPLACE INTO fills (symbol, trade_id, side, client_id, at_ns, body, checksum)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (symbol, fill.trade_id, fill.side.value, fill.client_id, fill.event_time_ns, body, checksum),
                )
            case MetaRecord(key, value):
                run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
            case _:
                raise self._failed(f"takes records, not {type(record).__name__}; nothing was written")

    @staticmethod
    def _order_row(run: Callable[..., sqlite3.Cursor], client_id: str, symbol: Symbol | None, at_ns: int) -> None:
        run(
            "INSERT INTO orders (client_id, symbol, at_ns) VALUES (?, ?, ?) ON CONFLICT (client_id)"
            " DO UPDATE SET symbol = excluded.symbol WHERE symbol IS NULL AND excluded.symbol IS NOT NULL",
            (client_id, None if symbol is None else str(symbol), at_ns),
        )

    def _records(self, where: str, *values: object) -> tuple[OrderRecord, ...]:
        chosen = f"FROM orders WHERE {where}"
        part = f"IN (SELECT client_id {chosen})"
        with self._reading() as run:
            rows = run(f"SELECT client_id, body, checksum {chosen} ORDER BY at_ns, number", values)
            intents = run(
                f"SELECT client_id, body, checksum FROM intents WHERE client_id {part} ORDER BY number DESC", values
            )
            evidence = run(
                f"SELECT client_id, body, checksum FROM evidence WHERE client_id {part} ORDER BY number", values
            )
            fills = run(
                f"SELECT client_id, symbol || ' ' || trade_id, body, checksum FROM fills WHERE client_id {part}", values
            )
        placed: dict[str, IntentRecord] = {}
        for client_id, body, checksum in intents:  # newest first: the first intent to place stays
            intent = self._read(_READ_INTENT, client_id, body, checksum)
            if intent.place is not None:
                placed[client_id] = intent
        diary: defaultdict[str, list[Evidence]] = defaultdict(list)
        for client_id, body, checksum in evidence:
            diary[client_id].append(self._read(_READ_EVIDENCE, client_id, body, checksum))
        filled: defaultdict[str, list[Fill]] = defaultdict(list)
        for client_id, key, body, checksum in fills:
            filled[client_id].append(self._read(_READ_FILL, key, body, checksum))
        return tuple(
            folded(
                placed.get(client_id),
                None if body is None else self._read(_READ_ORDER, client_id, body, checksum),
                filled[client_id],
                diary[client_id],
            )
            for client_id, body, checksum in rows
        )

    def _read(self, decode: Callable[[bytes], Any], key: str, body: bytes, checksum: int) -> Any:
        if _checksum(key, body) != checksum:
            raise self._failed(f"holds a damaged record of {key}; restore a copy, or reconcile into a new file")
        try:
            return decode(body)
        except msgspec.MsgspecError as failure:
            raise self._failed(f"holds a record of {key} that this library cannot read", failure) from failure


def _checksum(key: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(key.encode()))
