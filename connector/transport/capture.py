"""Write and read recordings of traffic: one JSON object a line, gzip when the name ends in ".gz".

A row has `at` (Unix seconds), `kind` (http, ws-open, ws-in, ws-out), `url` and `body`. The writer may be fed from any thread
and reads no clock. It makes what was written readable every so many rows, so that a crash loses the last few only; the
reader goes through a file whose tail was cut and says that it was. What may be written at all is decided by the caller.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Literal, Self

import msgspec

from connector.errors import WireFormatError

__all__ = ["CaptureKind", "CaptureReader", "CaptureRecord", "CaptureWriter", "read_capture"]

CaptureKind = Literal["http", "ws-open", "ws-in", "ws-out"]

_NS = 1_000_000_000


class CaptureRecord(msgspec.Struct, frozen=True):
    """One thing that crossed the wire.

    Attributes:
        at: Unix seconds by our clock, with as many digits as were recorded.
        url: without secrets.
        body: the text as received or sent; empty for "ws-open".
    """

    at: Decimal
    kind: CaptureKind
    url: str
    body: str

    @property
    def at_ns(self) -> int:
        return int(self.at * _NS)


class CaptureWriter:
    """Writes a new recording; an existing file is replaced.

    Args:
        path: ends in ".jsonl" or ".jsonl.gz".
        flush_every: rows after which everything so far can be read, whatever happens next.
        on_failure: called once, with the error, when the file cannot be written any more; the recording then ends, and nothing
            it is used by notices. None: `write` and `close` raise.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(
        self, path: Path | str, *, flush_every: int = 100, on_failure: Callable[[OSError], object] | None = None
    ) -> None:
        self.path = Path(path)
        self.rows = 0
        self._on_failure, self._failed = on_failure, False
        self._flush_every = flush_every
        self._encoder = msgspec.json.Encoder(decimal_format="number")
        self._lock = threading.Lock()  # one row at a time reaches the file; compressing and writing happen inside
        self._raw: IO[bytes] | None = self.path.open("wb")
        self._gzip = gzip.GzipFile(self.path.stem, "wb", 6, self._raw) if self.path.suffix == ".gz" else None

    def write(self, kind: CaptureKind, url: str, body: str, at_ns: int) -> None:
        """Append one row.

        Raises:
            ValueError: the recording was closed.
            OSError: the disk is full, or gone.
        """
        if self._failed:
            return
        record = CaptureRecord(Decimal(at_ns) / _NS, kind, url, body)
        line = self._encoder.encode(record) + b"\n"
        try:
            with self._lock:
                if self._raw is None:
                    raise ValueError(f"the recording {self.path.name} is closed; open another one")
                (self._gzip or self._raw).write(line)
                self.rows += 1
                if self.rows % self._flush_every == 0:
                    self._flush(self._raw)
        except OSError as failure:
            self._fail(failure)

    def _fail(self, failure: OSError) -> None:
        if self._on_failure is None:
            raise failure
        with self._lock:
            first, self._failed = not self._failed, True
        if first:
            self._on_failure(failure)

    def flush(self) -> None:
        """Make everything so far readable."""
        with self._lock:
            if self._raw is not None:
                self._flush(self._raw)

    def _flush(self, raw: IO[bytes]) -> None:
        if self._gzip is not None:
            self._gzip.flush(zlib.Z_SYNC_FLUSH)
        raw.flush()

    def close(self) -> None:
        """Finish the file. Idempotent."""
        try:
            with self._lock:
                raw, self._raw = self._raw, None
                if raw is not None:
                    try:
                        if self._gzip is not None:
                            self._gzip.close()
                    finally:
                        raw.close()
        except OSError as failure:
            self._fail(failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<CaptureWriter {self.path.name} {'closed' if self._raw is None else 'open'} rows={self.rows}>"


class CaptureReader:
    """The rows of a recording, in order. Iterate once.

    Attributes:
        rows: read so far.
        cut: None, or how the file was found to end before its end, once that was reached. What stood before was given out.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.rows = 0
        self.cut: str | None = None
        self._rows = self._read()

    def __iter__(self) -> Iterator[CaptureRecord]:
        return self._rows

    def __next__(self) -> CaptureRecord:
        return next(self._rows)

    def _read(self) -> Iterator[CaptureRecord]:
        decode = msgspec.json.Decoder(CaptureRecord, strict=False).decode
        opener = gzip.open if self.path.suffix == ".gz" else open
        with opener(self.path, "rb") as lines:
            while True:
                try:
                    line = lines.readline()
                except (EOFError, zlib.error, gzip.BadGzipFile) as torn:
                    self.cut = f"{self.path.name} breaks off after row {self.rows}: {torn}"
                    return
                if not line:
                    return
                try:
                    record = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                    if not line.endswith(b"\n"):  # a crash in the middle of a row
                        self.cut = f"{self.path.name} ends inside row {self.rows + 1}"
                        return
                    raise WireFormatError(f"row {self.rows + 1} of {self.path.name}", str(problem), line) from None
                self.rows += 1
                yield record


def read_capture(path: Path | str) -> CaptureReader:
    """Read a recording.

    Raises:
        WireFormatError: while iterating, a row in the middle is not what it should be.
        OSError: while iterating, the file cannot be read.
    """
    return CaptureReader(path)
