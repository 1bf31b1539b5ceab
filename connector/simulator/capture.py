"""Read and write recordings of an exchange's traffic: one JSON object a line, gzip when the name ends in `.gz`.

A row has `at` (receive time, Unix seconds as decimal text), `kind` (`http`, `ws-open`, `ws-in`, `ws-out`), `url` and `body`,
the text exactly as received. The writer may be fed from any thread; it never reads a clock: the caller says when.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self, cast

import msgspec

__all__ = ["CaptureError", "CaptureRecord", "CaptureWriter", "read_capture"]

Kind = Literal["http", "ws-open", "ws-in", "ws-out"]


class CaptureError(ValueError):
    """A recording cannot be read; the message names the line."""


class CaptureRecord(msgspec.Struct, frozen=True):
    """One thing that crossed the line. `at` is Unix seconds as decimal text, as precise as it was recorded."""

    at: str
    kind: Kind
    url: str
    body: str

    @property
    def at_ns(self) -> int:
        """Receive time in UTC nanoseconds, exact."""
        return int(Decimal(self.at) * 1_000_000_000)


class _Row(msgspec.Struct):
    at: str | int | float
    kind: Kind
    body: str
    url: str = ""


def read_capture(path: Path | str) -> Iterator[CaptureRecord]:
    """The rows of a recording in file order.

    Raises:
        CaptureError: a line is not such a row, or the file ends inside its compression.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    decode = msgspec.json.Decoder(_Row).decode
    number = 0  # of the line being read, for the message
    with _open(path, "rb") as lines:
        try:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                row = decode(line)
                at = row.at if isinstance(row.at, str) else f"{Decimal(str(row.at)):f}"
                Decimal(at)
                yield CaptureRecord(at, row.kind, row.url, row.body)
        except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError) as cause:
            raise CaptureError(
                f"{path.name} line {number} is not a capture row (at, kind, url, body): {cause}. Record it again."
            ) from cause
        except (EOFError, gzip.BadGzipFile) as cause:
            raise CaptureError(f"{path.name} ends or breaks after line {number}: {cause}. Copy it again.") from cause


class CaptureWriter:
    """Append rows to a new recording, from any thread. Rows are in the order of the calls."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()  # one row at a time reaches the file; nothing else happens inside
        self._file: IO[bytes] | None = _open(self._path, "wb")
        self.rows = 0

    def http(self, url: str, body: str, at_ns: int) -> None:
        """An HTTP answer; `url` with its query, without secrets (the writer cannot know which are)."""
        self._write("http", url, body, at_ns)

    def opened(self, url: str, at_ns: int) -> None:
        """A WebSocket connection was opened."""
        self._write("ws-open", url, "", at_ns)

    def frame_in(self, url: str, text: str, at_ns: int) -> None:
        """A text frame was received; `at_ns` is UTC nanoseconds."""
        self._write("ws-in", url, text, at_ns)

    def frame_out(self, url: str, text: str, at_ns: int) -> None:
        """A text frame was sent."""
        self._write("ws-out", url, text, at_ns)

    def _write(self, kind: Kind, url: str, body: str, at_ns: int) -> None:
        at = f"{at_ns // 1_000_000_000}.{at_ns % 1_000_000_000:09d}"
        line = msgspec.json.encode(CaptureRecord(at, kind, url, body)) + b"\n"
        with self._lock:
            if self._file is None:
                raise ValueError(f"the recording {self._path.name} is closed; rows after that would be lost silently")
            self._file.write(line)
            self.rows += 1

    def close(self) -> None:
        """Finish the file; may be called twice."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CaptureWriter {self._path.name} rows={self.rows} {'closed' if self._file is None else 'open'}>"


def _open(path: Path, mode: Literal["rb", "wb"]) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, mode))
    return path.open(mode)
