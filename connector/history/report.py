"""What a download tells: how far it is, what is missing, and what it held when it was last made durable. Frozen values only."""

from __future__ import annotations

import msgspec

__all__ = ["Checkpoint", "HistoryGap", "Progress", "Report", "Task"]


class HistoryGap(msgspec.Struct, frozen=True):
    """Rows the venue does not have, though it was asked for exactly them.

    Attributes:
        first, last: keys, inclusive: open times in UTC nanoseconds, or trade ids.
        missing: how many rows that are.
        text: the range as people read it.
    """

    first: int
    last: int
    missing: int
    text: str


class Task(msgspec.Struct, frozen=True):
    """What is downloaded. A file that was begun for one task is never continued for another.

    Attributes:
        kind: "candles", "trades" or "agg_trades".
        interval: of candles; "" otherwise.
        start_ns, end_ns: UTC nanoseconds, the end exclusive; None: up to now, whenever that is.
        layout: of the file: its columns, and how they are written.
    """

    venue: str
    kind: str
    symbol: str
    interval: str
    start_ns: int
    end_ns: int | None
    layout: str = ""


class Checkpoint(msgspec.Struct, frozen=True):
    """Everything before the key `next` is in the file, or named as a gap.

    Attributes:
        next: None before the first page.
        held: how much of the file counts: bytes, or parts. Whatever is beyond was never promised.
        gaps: the first thousand; `gap_count` and `missing` count all.
    """

    task: Task
    next: int | None = None
    held: int = 0
    rows: int = 0
    doubles: int = 0
    missing: int = 0
    gap_count: int = 0
    gaps: tuple[HistoryGap, ...] = ()


class Progress(msgspec.Struct, frozen=True):
    """How far a download is, after a page.

    Attributes:
        rows: so far, those of earlier runs included.
        share: of the range, 0.0 to 1.0.
        at: the newest row's key as people read it.
    """

    task: Task
    rows: int
    pages: int
    share: float
    at: str
    missing: int
    retries: int
    elapsed_s: float


class Report(msgspec.Struct, frozen=True):
    """How a download ended.

    Attributes:
        rows: in the file, or handed out; `rows_before` of them by earlier runs.
        pages, requests: of this run; more requests than pages where holes were asked for by themselves or questions repeated.
        retries: questions asked again because the venue, the network or a budget was not able.
        doubles: rows that came twice and were dropped.
        missing: rows the venue does not have, in `gap_count` ranges, of which `gaps` names the first thousand.
        until: exclusive end of what is covered, as people read it; "" when nothing was.
        complete: False when it was cancelled, or when part of the range has not come to pass yet.
    """

    task: Task
    rows: int
    rows_before: int
    pages: int
    requests: int
    retries: int
    doubles: int
    missing: int
    gap_count: int
    gaps: tuple[HistoryGap, ...]
    until: str
    complete: bool
    elapsed_s: float

    def __repr__(self) -> str:
        task = self.task
        what = f"{task.interval} {task.kind}" if task.interval else task.kind
        state = "complete" if self.complete else "incomplete"
        before = f" ({self.rows_before:,} before)" if self.rows_before else ""
        gaps = f"gaps={self.gap_count:,} missing={self.missing:,}"
        return (
            f"<Report {task.symbol}.{task.venue} {what} {state} rows={self.rows:,}{before} pages={self.pages:,} "
            f"requests={self.requests:,} retries={self.retries:,} {gaps} until={self.until or '-'} {self.elapsed_s:.1f}s>"
        )
