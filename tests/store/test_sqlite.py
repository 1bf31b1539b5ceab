"""The SQLite store: torn tails, damage, full and read-only disks, other processes, versions, secrets."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import connector.store.sqlite as module
from connector.domain.orders import OrderStatus
from connector.orders.lifecycle import apply_report, new_record
from connector.store import FillRecord, MetaRecord, SqliteStore, StoreFailed, changes
from connector.testing.store_suite import sample_fill, sample_intent, sample_report


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.sqlite"


def copy_while_open(path: Path, target: Path) -> Path:
    """The file as a crash of the machine would leave it: nothing was closed, nothing moved out of the log."""
    target.mkdir()
    for part in path.parent.glob(path.name + "*"):
        shutil.copy(part, target / part.name)
    return target / path.name


def test_what_was_appended_is_there_after_a_crash_without_a_close(path, tmp_path):
    store = SqliteStore(path)
    store.append([sample_intent("a")])
    left = SqliteStore(copy_while_open(path, tmp_path / "crash"))
    assert left.order("a") is not None
    left.close()
    store.close()


@pytest.mark.parametrize("cut", [1, 24, 500, 4_000])
def test_a_torn_tail_is_cut_off_and_everything_before_it_is_kept(path, tmp_path, cut):
    """F76."""
    store = SqliteStore(path)
    for number in range(20):
        store.append([sample_intent(f"a{number}", at_ns=number), FillRecord(sample_fill(f"a{number}", str(number)))])
    left = copy_while_open(path, tmp_path / "crash")
    store.close()
    log = left.with_name(left.name + "-wal")
    with log.open("r+b") as torn:
        torn.truncate(log.stat().st_size - cut)

    repaired = SqliteStore(left)
    kept = [record.client_id for record in repaired.open_orders()]
    assert kept == [f"a{number}" for number in range(len(kept))]
    assert 18 <= len(kept) <= 19  # the torn one is gone, as a whole
    assert len(repaired.fills()) == len(kept)
    repaired.append([sample_intent("next", at_ns=99)])
    assert repaired.order("next") is not None
    repaired.close()


def test_garbage_at_the_end_of_the_log_is_ignored(path, tmp_path):
    store = SqliteStore(path)
    store.append([sample_intent("a")])
    left = copy_while_open(path, tmp_path / "crash")
    store.close()
    with left.with_name(left.name + "-wal").open("ab") as log:
        log.write(b"\x5a" * 10_000)
    repaired = SqliteStore(left)
    assert [record.client_id for record in repaired.open_orders()] == ["a"]
    repaired.close()


def filled(path: Path) -> None:
    store = SqliteStore(path)
    for number in range(200):
        store.append([sample_intent(f"a{number}", at_ns=number)])
    store.close()


def test_a_file_cut_short_is_refused_in_words(path):
    filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreFailed, match=r"damaged|malformed"):
        SqliteStore(path).open_orders()


def test_pages_overwritten_with_garbage_are_refused_in_words(path):
    filled(path)
    with path.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xa5" * 4_096)
    with pytest.raises(StoreFailed):
        SqliteStore(path).open_orders()


def test_one_digit_changed_inside_a_record_is_noticed(path):
    filled(path)
    wire = path.read_bytes()
    assert wire.count(b'"100.10"') >= 200
    path.write_bytes(wire.replace(b'"100.10"', b'"900.10"'))
    store = SqliteStore(path)
    with pytest.raises(StoreFailed, match="damaged record of a"):
        store.open_orders()
    store.close()


def test_a_file_of_another_program_is_not_touched(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_text_file_is_refused_in_words(path):
    path.write_text("this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreFailed, match="cannot be opened"):
        SqliteStore(path)


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(StoreFailed, match="cannot be opened"):
        SqliteStore(tmp_path / "nowhere" / "orders.sqlite")


def test_a_full_disk_refuses_the_append_and_the_store_goes_on_when_there_is_room(path):
    """F76."""
    store = SqliteStore(path)
    store.append([sample_intent("a")])
    database = store._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 1}")
    written = []
    with pytest.raises(StoreFailed, match="nothing may be sent"):
        for number in range(1_000):
            store.append([sample_intent(f"b{number}", at_ns=number)])
            written.append(f"b{number}")
    lost = f"b{len(written)}"
    assert store.order(lost) is None
    database.execute("PRAGMA max_page_count = 100000")
    store.append([sample_intent(lost)])
    store.close()
    again = SqliteStore(path)
    assert {record.client_id for record in again.open_orders()} == {"a", lost, *written}
    again.close()


def test_a_database_that_turns_read_only_refuses_the_append(path):
    """F76."""
    store = SqliteStore(path)
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFailed, match="nothing may be sent"):
        store.append([sample_intent("a")])
    store._database.execute("PRAGMA query_only = OFF")
    assert store.order("a") is None
    store.close()


def test_a_second_process_is_kept_out_and_let_in_after_the_first_let_go(path):
    store = SqliteStore(path)
    store.append([sample_intent("a")])
    code = f"from connector.store import SqliteStore; s = SqliteStore({str(path)!r}); print(s.order('a') is not None); s.close()"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode != 0
    assert "another process holds it" in second.stderr
    store.close()
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert third.stdout.strip() == "True", third.stderr


def test_a_file_of_a_newer_version_is_refused(path):
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    with pytest.raises(StoreFailed, match="version 99"):
        SqliteStore(path)


def test_an_older_file_is_led_to_the_newest_version_and_keeps_its_records(path, monkeypatch):
    store = SqliteStore(path)
    store.append([sample_intent("a"), MetaRecord("x", "1")])
    store.close()
    added = (*module._MIGRATIONS, "CREATE TABLE later (x); INSERT INTO later SELECT value FROM meta")
    monkeypatch.setattr(module, "_MIGRATIONS", added)
    monkeypatch.setattr(module, "SCHEMA_VERSION", len(added))
    migrated = SqliteStore(path)
    assert migrated._database.execute("SELECT x FROM later").fetchall() == [("1",)]
    assert migrated.order("a") is not None
    migrated.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    store = SqliteStore(path)
    store.append([sample_intent("a")])
    store.close()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_MIGRATIONS", (*module._MIGRATIONS, "CREATE TABLE later (x); nonsense"))
        patched.setattr(module, "SCHEMA_VERSION", module.SCHEMA_VERSION + 1)
        with pytest.raises(StoreFailed, match="cannot be opened"):
            SqliteStore(path)
    store = SqliteStore(path)
    assert store.order("a") is not None
    assert store._database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (0,)
    store.close()


def test_the_disk_has_what_append_wrote_when_it_returns(path):
    store = SqliteStore(path)
    assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: every commit waits for the disk
    store.close()


def test_a_state_is_kept_small_however_many_fills_the_order_has(path):
    store = SqliteStore(path)
    record, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.NEW))
    store.append([sample_intent("a"), *changes(None, record)])
    for number in range(200):
        report = sample_report("a", OrderStatus.PARTIALLY_FILLED, f"0.{number + 1:04d}")
        before, (record, _) = record, apply_report(record, report)
        store.append(changes(before, record))
    size = store._database.execute("SELECT length(body) FROM orders").fetchone()[0]
    assert size < 4_000
    store.close()
