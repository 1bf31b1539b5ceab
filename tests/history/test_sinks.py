"""Files: what a checkpoint promises is there after a kill at any byte, and nothing else is."""

from __future__ import annotations

import builtins
import csv
import os
from decimal import Decimal
from importlib.util import find_spec

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.domain.market import Candle
from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest, SettingsError, Unsupported
from connector.history import Checkpoint, CsvSink, ParquetSink, Task
from connector.history.series import CandleSeries
from connector.history.sinks import sink_for

SYMBOL = Symbol.parse("BTC/USDT")
SERIES = CandleSeries(SYMBOL, "1m")
TASK = Task("venue", "candles", "BTC/USDT", "1m", 0, None)
MINUTE_NS = 60 * 10**9


def candle(number: int, price: str = "50000.10000000") -> Candle:
    opened, amount = number * MINUTE_NS, Decimal(price)
    return Candle(
        "venue", SYMBOL, None, 0, "1m", opened, opened + MINUTE_NS - 10**6, amount, amount, amount, amount,
        Decimal("0.00000001"), True, None, 3,
    )  # fmt: skip


def sink_of(kind, path):
    if kind == "csv":
        return CsvSink(path / "candles.csv", pages_per_commit=2)
    return ParquetSink(path / "candles.parquet", rows_per_part=40, rows_per_group=20)


def numbers_in(kind, path):
    """Minutes in the file, by readers other than ours."""
    if kind == "csv":
        with (path / "candles.csv").open(encoding="utf-8", newline="") as file:
            return [int(row["open_time_ns"]) // MINUTE_NS for row in csv.DictReader(file)]
    import pyarrow.parquet as pq

    table = pq.read_table(path / "candles.parquet")
    return [int(moment.value) // MINUTE_NS for moment in table["open_time_ns"]]


def write_pages(sink, first, pages, reached):
    """Pages of ten rows, from a row number on."""
    for page in range(pages):
        begin = first + page * 10
        sink.write([candle(number) for number in range(begin, begin + 10)])
        reached = msgspec.structs.replace(reached, next=(begin + 10) * MINUTE_NS, rows=reached.rows + 10)
        sink.commit(reached, last=False)
    return reached


parquet = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra `parquet`")
both = pytest.mark.parametrize("kind", ["csv", pytest.param("parquet", marks=parquet)])


@both
def test_a_file_begins_with_nothing_promised_and_keeps_what_was_committed(kind, tmp_path):
    sink = sink_of(kind, tmp_path)
    begun = sink.open(TASK, SERIES.columns)
    assert (begun.next, begun.rows, begun.held) == (None, 0, 0)
    reached = write_pages(sink, 0, 7, begun)
    sink.commit(reached, last=True)
    sink.close()

    assert numbers_in(kind, tmp_path) == list(range(70))
    again = sink_of(kind, tmp_path)
    found = again.open(TASK, SERIES.columns)
    assert (found.next, found.rows) == (70 * MINUTE_NS, 70)
    again.close()


@both
@given(pages=st.lists(st.integers(0, 9), min_size=1, max_size=4), torn=st.integers(0, 400))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_number_of_kills_every_row_is_there_once(kind, pages, torn, tmp_path_factory):
    """A killed process leaves what the system was given so far: whole pages, half a line, a part that is no part yet."""
    path = tmp_path_factory.mktemp("killed")
    for count in pages:
        sink = sink_of(kind, path)
        reached = sink.open(TASK, SERIES.columns)
        write_pages(sink, (reached.next or 0) // MINUTE_NS, count, reached)
        kill(kind, sink, path, torn)
    sink = sink_of(kind, path)
    reached = sink.open(TASK, SERIES.columns)
    first = (reached.next or 0) // MINUTE_NS
    assert first <= sum(pages) * 10
    assert beyond(kind, path, reached) == 0, "what was not promised is cut off at once"
    sink.commit(write_pages(sink, first, 3, reached), last=True)
    sink.close()

    assert numbers_in(kind, path) == list(range(first + 30))


def beyond(kind, path, reached):
    """Bytes or parts that no checkpoint promises."""
    if kind == "csv":
        return (path / "candles.csv").stat().st_size - reached.held
    folder = path / "candles.parquet"
    return len(list(folder.glob("part-*.parquet"))) - reached.held + (folder / ".part.new").exists()


def kill(kind, sink, path, torn):
    """Leave the file as a killed process does, with `torn` bytes of what was not committed."""
    if kind == "csv":
        sink._file.flush()
        sink.close()
        with (path / "candles.csv").open("ab") as file:
            file.write((b"123,456,7.8" * 40)[:torn])
        (path / "candles.csv.checkpoint.new").write_bytes(b'{"task":{"ven'[: torn % 14])
        return
    sink._lock.close()
    sink._writer = None
    folder = path / "candles.parquet"
    (folder / ".part.new").write_bytes(b"PAR1" * torn)
    if torn % 2:  # renamed, and killed before the checkpoint was
        (folder / f"part-{sink._parts:06d}.parquet").write_bytes(b"PAR1" * torn)


@both
def test_rows_are_on_the_disk_before_a_checkpoint_promises_them(kind, tmp_path, monkeypatch):
    """What the system was given and did not write yet is gone after a power cut; a promise of it would be a lie."""
    sync, on_disk = os.fsync, {}

    def noted(descriptor):
        sync(descriptor)
        found = os.fstat(descriptor)
        on_disk[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", noted)
    sink = sink_of(kind, tmp_path)
    sink.commit(write_pages(sink, 0, 7, sink.open(TASK, SERIES.columns)), last=True)
    sink.close()

    files = [tmp_path / "candles.csv"] if kind == "csv" else list((tmp_path / "candles.parquet").glob("part-*.parquet"))
    assert files
    for file in files:
        assert on_disk.get(file.stat().st_ino) == file.stat().st_size, f"{file.name} is promised and not on the disk"


@both
def test_another_download_does_not_continue_a_file_and_is_told_what_differs(kind, tmp_path):
    sink = sink_of(kind, tmp_path)
    sink.open(TASK, SERIES.columns)
    sink.close()

    other = msgspec.structs.replace(TASK, symbol="ETH/USDT", end_ns=5)
    with pytest.raises(
        SettingsError, match="symbol is 'BTC/USDT' there and 'ETH/USDT' here, end_ns is None there and 5 here"
    ):
        sink_of(kind, tmp_path).open(other, SERIES.columns)


@both
def test_two_downloads_do_not_write_one_file(kind, tmp_path):
    pytest.importorskip("fcntl")
    sink = sink_of(kind, tmp_path)
    sink.open(TASK, SERIES.columns)
    with pytest.raises(SettingsError, match="another download is writing"):
        sink_of(kind, tmp_path).open(TASK, SERIES.columns)
    sink.close()
    later = sink_of(kind, tmp_path)
    later.open(TASK, SERIES.columns)
    later.close()


@both
def test_a_checkpoint_that_cannot_be_read_is_an_error_and_not_a_new_beginning(kind, tmp_path):
    sink = sink_of(kind, tmp_path)
    sink.open(TASK, SERIES.columns)
    sink.close()
    checkpoint = tmp_path / ("candles.csv.checkpoint" if kind == "csv" else "candles.parquet/_checkpoint.json")
    checkpoint.write_text("{")

    with pytest.raises(SettingsError, match="is no checkpoint of a download"):
        sink_of(kind, tmp_path).open(TASK, SERIES.columns)


@both
def test_data_that_is_less_than_promised_is_an_error(kind, tmp_path):
    sink = sink_of(kind, tmp_path)
    sink.commit(write_pages(sink, 0, 5, sink.open(TASK, SERIES.columns)), last=True)
    sink.close()
    if kind == "csv":
        with (tmp_path / "candles.csv").open("r+b") as file:
            file.truncate(100)
    else:
        (tmp_path / "candles.parquet" / "part-000000.parquet").unlink()

    with pytest.raises(SettingsError, match="promises"):
        sink_of(kind, tmp_path).open(TASK, SERIES.columns)


def test_a_file_of_unknown_origin_is_not_touched(tmp_path):
    (tmp_path / "candles.csv").write_text("mine\n")
    with pytest.raises(SettingsError, match="not known what it holds"):
        sink_of("csv", tmp_path).open(TASK, SERIES.columns)
    assert (tmp_path / "candles.csv").read_text() == "mine\n"

    pytest.importorskip("pyarrow")
    (tmp_path / "candles.parquet").mkdir()
    (tmp_path / "candles.parquet" / "part-000000.parquet").write_text("mine")
    with pytest.raises(SettingsError, match="no checkpoint"):
        sink_of("parquet", tmp_path).open(TASK, SERIES.columns)
    assert (tmp_path / "candles.parquet" / "part-000000.parquet").read_text() == "mine"


AMOUNTS = st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e15"), allow_nan=False, places=12)


@parquet
@given(amounts=st.lists(AMOUNTS, min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_amounts_come_back_exactly_and_without_exponents(amounts, tmp_path_factory):
    path = tmp_path_factory.mktemp("exact")
    rows = [candle(number, str(amount)) for number, amount in enumerate(amounts)]
    for kind in ("csv", "parquet"):
        sink = sink_of(kind, path)
        sink.open(TASK, SERIES.columns)
        sink.write(rows)
        sink.commit(Checkpoint(TASK), last=True)
        sink.close()
    text = (path / "candles.csv").read_text()
    assert [Decimal(line.split(",")[2]) for line in text.splitlines()[1:]] == amounts
    assert "E" not in text

    import pyarrow.parquet as pq

    table = pq.read_table(path / "candles.parquet")
    assert table["open"].to_pylist() == amounts
    assert table["quote_volume"].to_pylist() == [None] * len(amounts)


def test_digits_are_kept_as_the_venue_wrote_them_in_csv(tmp_path):
    sink = sink_of("csv", tmp_path)
    sink.open(TASK, SERIES.columns)
    sink.write([candle(1, "0.00000010"), candle(2, "1E+3")])
    sink.commit(Checkpoint(TASK), last=True)
    sink.close()

    lines = (tmp_path / "candles.csv").read_text().splitlines()
    assert lines[1].split(",")[2] == "0.00000010"
    assert lines[2].split(",")[2] == "1000"
    assert lines[1].split(",")[7] == "", "absent, not zero"


@parquet
def test_an_amount_that_does_not_fit_its_column_is_an_error_and_never_rounded(tmp_path):
    sink = ParquetSink(tmp_path / "candles.parquet", scale=4, rows_per_group=1)
    sink.open(TASK, SERIES.columns)
    with pytest.raises(InvalidRequest, match=r"volume cannot be written exactly as decimal128\(38, 4\)"):
        sink.write([candle(1, "1.0")])
    sink.close()


@parquet
def test_the_end_of_the_name_says_what_is_written(tmp_path):
    assert isinstance(sink_for(tmp_path / "a.csv"), CsvSink)
    assert isinstance(sink_for(str(tmp_path / "a.parquet")), ParquetSink)
    sink = CsvSink(tmp_path / "other.txt")
    assert sink_for(sink) is sink
    with pytest.raises(SettingsError, match=r"expected \.csv or \.parquet"):
        sink_for("a.xlsx")


@parquet
@pytest.mark.parametrize("wrong", [{"scale": 39}, {"rows_per_part": 0}, {"rows_per_group": 0}])
def test_settings_of_a_parquet_sink_are_checked(wrong, tmp_path):
    with pytest.raises(SettingsError, match="expected a scale of 0 to 38"):
        ParquetSink(tmp_path, **wrong)
    with pytest.raises(SettingsError, match="pages_per_commit"):
        CsvSink(tmp_path / "a.csv", pages_per_commit=0)


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unsupported, match=r"venue-connector\[parquet\]"):
        ParquetSink(tmp_path / "a.parquet")
