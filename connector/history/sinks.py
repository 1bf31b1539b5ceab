"""Files that a download can be killed into at any byte and go on with: no row twice, none lost.

A file counts only as far as its checkpoint says. The checkpoint is written beside it and put in place in one step, after what it
promises is on the disk; when a download is opened again, everything beyond the promise is cut off and fetched anew.

- `CsvSink`: rows are appended, the checkpoint knows the length in bytes. Amounts are the venue's digits, never in exponents.
- `ParquetSink`: a folder of numbered parts, each written under another name and then renamed. Amounts are decimal128 of a stated
  scale; one that does not fit exactly is an error, nothing is ever rounded.

Sinks decide nothing about data: what is a row, a gap or the end is decided in `history.plan`. One thread uses a sink at a time;
another process that wants the same file is refused.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Protocol

import msgspec

from connector.errors import InvalidRequest, SettingsError, Unsupported
from connector.history.report import Checkpoint, Task
from connector.history.series import Column, ColumnType

__all__ = ["CsvSink", "ParquetSink", "Sink", "sink_for"]


class Sink(Protocol):
    """Where rows go."""

    def open(self, task: Task, columns: Sequence[Column]) -> Checkpoint | None:
        """Take the file, bring it back to its last checkpoint, and say what that is; None when it is new.

        Raises:
            SettingsError: it holds something else, it is damaged, or another process writes it.
        """

    def write(self, rows: Sequence[Any]) -> None:
        """Add rows. They are durable after the next `commit` that makes them so."""

    def commit(self, reached: Checkpoint, *, last: bool) -> None:
        """Everything before `reached.next` was written: make it durable when it is time, or at once when it is the last."""

    def close(self) -> None:
        """Let go of the file. What was not committed does not count. Idempotent."""


def sink_for(to: Sink | Path | str) -> Sink:
    """A sink by the end of a file's name: .csv or .parquet.

    Raises:
        SettingsError: the name has another end.
    """
    if not isinstance(to, (str, Path)):
        return to
    match Path(to).suffix.lower():
        case ".csv":
            return CsvSink(to)
        case ".parquet":
            return ParquetSink(to)
        case other:
            raise SettingsError(
                f"cannot tell what to write by the name {str(to)!r} (it ends in {other!r}): expected .csv or .parquet."
            )


# ---------------------------------------------------------------- checkpoints


def _read_checkpoint(path: Path, task: Task) -> Checkpoint | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(text, type=Checkpoint)
    except msgspec.DecodeError as unreadable:
        raise SettingsError(
            f"{path} is no checkpoint of a download: {unreadable}. Delete it and the data beside it to start over."
        ) from unreadable
    if found.task != task:
        fields = [name for name in Task.__struct_fields__ if getattr(found.task, name) != getattr(task, name)]
        differs = ", ".join(
            f"{name} is {getattr(found.task, name)!r} there and {getattr(task, name)!r} here" for name in fields
        )
        raise SettingsError(
            f"{path} belongs to another download: {differs}. Ask for the same, take another file, or delete both to start over."
        )
    return found


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step that survives a power cut."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        _to_disk(file)
    fresh.replace(path)
    _folder_to_disk(path.parent)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    with suppress(OSError, AttributeError):  # Windows knows no such thing, and needs none
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _hold(file: BinaryIO, path: Path) -> None:
    """Keep other processes off a file while it is open; the system lets go of it when this process dies, however that is."""
    try:
        import fcntl
    except ImportError:  # Windows does not let two processes rename or cut a file that is open; that has to do
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        raise SettingsError(f"another download is writing {path}; wait for its end, or take another file.") from taken


# ---------------------------------------------------------------- CSV


class CsvSink:
    """One CSV file: a line of names, then a line a row. Absent values are empty; amounts are written out in full.

    Beside it lies `<name>.checkpoint`; keep it to go on later, also after a whole download (`end=None` then adds what is new).

    Args:
        path: of the file; its folder exists.
        pages_per_commit: so much work a kill may cost.
    """

    def __init__(self, path: Path | str, pages_per_commit: int = 10) -> None:
        if pages_per_commit < 1:
            raise SettingsError(f"pages_per_commit is {pages_per_commit}; expected 1 or more.")
        self.path = Path(path)
        self._checkpoint = self.path.with_name(self.path.name + ".checkpoint")
        self._pages_per_commit, self._pages = pages_per_commit, 0
        self._file: BinaryIO | None = None
        self._columns: tuple[tuple[Callable[[Any], Any], bool], ...] = ()

    def open(self, task: Task, columns: Sequence[Column]) -> Checkpoint | None:
        names = [column.name for column in columns]
        task = msgspec.structs.replace(task, layout=f"csv {','.join(names)}")
        found = _read_checkpoint(self._checkpoint, task)
        if found is None:
            if self.path.exists():
                raise SettingsError(
                    f"{self.path} exists and {self._checkpoint.name} does not, so it is not known what it holds. "
                    "Take another file, or delete it."
                )
            found = Checkpoint(task)
            _replace(self._checkpoint, msgspec.json.encode(found))
        self._columns = tuple((column.get, column.type is ColumnType.AMOUNT) for column in columns)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        file = self._file = os.fdopen(descriptor, "r+b", buffering=256 * 1024)
        try:
            _hold(file, self.path)
            length = file.seek(0, os.SEEK_END)
            if length < found.held:
                raise SettingsError(
                    f"{self.path} has {length} bytes, and its checkpoint promises {found.held}: something else has cut it. "
                    f"Delete it and {self._checkpoint.name} to start over."
                )
            file.truncate(found.held)
            file.seek(found.held)
            if not found.held:
                file.write((",".join(names) + "\n").encode())
        except BaseException:
            self.close()
            raise
        return found

    def write(self, rows: Sequence[Any]) -> None:
        assert self._file is not None, "the sink was opened"
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for row in rows:
            table.writerow([_cell(get(row), amount) for get, amount in self._columns])
        self._file.write(text.getvalue().encode())

    def commit(self, reached: Checkpoint, *, last: bool) -> None:
        assert self._file is not None, "the sink was opened"
        self._pages += 1
        if not last and self._pages < self._pages_per_commit:
            return
        self._pages = 0
        _to_disk(self._file)
        held = msgspec.structs.replace(reached, held=self._file.tell())
        _replace(self._checkpoint, msgspec.json.encode(held))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __repr__(self) -> str:
        return f"<CsvSink {self.path} {'open' if self._file is not None else 'closed'}>"


def _cell(value: Any, amount: bool) -> Any:
    return format(value, "f") if amount and value is not None else value


# ---------------------------------------------------------------- Parquet


class ParquetSink:
    """A folder of Parquet files, which pyarrow, DuckDB, Polars and Spark read as one table. Needs the extra `parquet`.

    Times are timestamps in nanoseconds UTC, amounts decimal128(38, scale), ids and counts int64.

    Args:
        path: of the folder; the folder above exists.
        scale: digits after the point. 18 leaves 20 before it.
        rows_per_part: in one file, and so much work a kill may cost.
        rows_per_group: kept in memory until they are written.

    Raises:
        Unsupported: pyarrow is not installed.
    """

    def __init__(
        self, path: Path | str, *, scale: int = 18, rows_per_part: int = 100_000, rows_per_group: int = 10_000
    ) -> None:
        if not 0 <= scale <= 38 or rows_per_part < 1 or rows_per_group < 1:
            raise SettingsError(
                f"scale is {scale}, rows_per_part {rows_per_part}, rows_per_group {rows_per_group}; "
                "expected a scale of 0 to 38, and 1 row or more."
            )
        self.path, self.scale = Path(path), scale
        self._arrow, self._parquet = _load_pyarrow()
        self._rows_per_part, self._rows_per_group = rows_per_part, rows_per_group
        self._checkpoint = self.path / "_checkpoint.json"  # readers of folders pass over names that begin with _ or .
        self._fresh = self.path / ".part.new"
        self._lock: BinaryIO | None = None
        self._columns: tuple[Column, ...] = ()
        self._schema: Any = None
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._rows = self._parts = 0

    def open(self, task: Task, columns: Sequence[Column]) -> Checkpoint | None:
        task = msgspec.structs.replace(
            task, layout=f"parquet decimal128(38,{self.scale}) {','.join(column.name for column in columns)}"
        )
        self.path.mkdir(exist_ok=True)
        self._lock = (self.path / "_lock").open("wb")
        try:
            _hold(self._lock, self.path)
            found = _read_checkpoint(self._checkpoint, task)
            parts = sorted(self.path.glob("part-*.parquet"))
            if found is None:
                if parts:
                    raise SettingsError(
                        f"{self.path} holds {len(parts)} parts and no checkpoint, so it is not known of what. "
                        "Take another folder, or delete it."
                    )
                found = Checkpoint(task)
                _replace(self._checkpoint, msgspec.json.encode(found))
            promised = [self._part(number) for number in range(found.held)]
            if absent := [part.name for part in promised if not part.exists()]:
                raise SettingsError(
                    f"{', '.join(absent[:3])} of {self.path} is gone, and its checkpoint promises {found.held} parts. "
                    "Delete the folder to start over."
                )
            self._fresh.unlink(missing_ok=True)
            for part in set(parts) - set(promised):
                part.unlink()
        except BaseException:
            self.close()
            raise
        self._columns, self._parts = tuple(columns), found.held
        told = {"connector": msgspec.json.encode(task).decode()}
        self._schema = self._arrow.schema([(c.name, self._type(c)) for c in columns], metadata=told)
        return found

    def _part(self, number: int) -> Path:
        return self.path / f"part-{number:06d}.parquet"

    def _type(self, column: Column) -> Any:
        match column.type:
            case ColumnType.TIME:
                return self._arrow.timestamp("ns", tz="UTC")
            case ColumnType.NUMBER:
                return self._arrow.int64()
            case ColumnType.AMOUNT:
                return self._arrow.decimal128(38, self.scale)
            case ColumnType.TEXT:
                return self._arrow.string()

    def write(self, rows: Sequence[Any]) -> None:
        self._waiting += rows
        if len(self._waiting) >= self._rows_per_group:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows, self._waiting = self._waiting, []
        arrays = []
        for column, field in zip(self._columns, self._schema, strict=True):
            values = [column.get(row) for row in rows]
            try:
                arrays.append(self._arrow.array(values, type=field.type))
            except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError) as unfit:
                raise InvalidRequest(
                    f"{column.name} cannot be written exactly as {field.type}: {unfit}. "
                    "Take another scale, as in ParquetSink(path, scale=…), or a CSV file, which holds any number."
                ) from unfit
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._fresh, self._schema, compression="zstd")
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows += len(rows)

    def commit(self, reached: Checkpoint, *, last: bool) -> None:
        if not last and self._rows + len(self._waiting) < self._rows_per_part:
            return
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer, self._rows = None, 0
            with self._fresh.open("r+b") as file:
                _to_disk(file)
            self._fresh.replace(self._part(self._parts))
            self._parts += 1
        _replace(self._checkpoint, msgspec.json.encode(msgspec.structs.replace(reached, held=self._parts)))

    def close(self) -> None:
        self._waiting = []
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._fresh.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __repr__(self) -> str:
        return f"<ParquetSink {self.path} {self._parts} parts {'open' if self._lock is not None else 'closed'}>"


def _load_pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as absent:
        raise Unsupported(
            "Parquet files need pyarrow, which is not installed: pip install 'venue-connector[parquet]'. CSV needs nothing more."
        ) from absent
    return pa, pq
