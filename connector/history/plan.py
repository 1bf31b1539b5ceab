"""Which windows of a history to ask for, and what an answer to one of them proves.

A history is a series of rows with integer keys: open times of candles in UTC nanoseconds, or ids of trades. The plan cuts a range
of keys into closed windows that hold at most one page of rows each, oldest first. So it does not matter whether a venue counts
its limit from the start or from the end, answers newest first, or gives less than it was asked for. A short answer is no proof of
anything: what is missing in it is asked for once more by itself, and only what is then not there is a gap. Gaps are named as
ranges and never filled.

Pure: no clock, no thread, no network. It asks nothing; `history.download` does.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from connector.domain.times import NS_PER_S, datetime_from_ns, ns_from_datetime
from connector.errors import InvalidRequest, WireFormatError
from connector.venue.continuity import same_but_for_times

__all__ = [
    "IDS",
    "Course",
    "Page",
    "Steps",
    "Window",
    "cut",
    "joined",
    "leapt",
    "new_page",
    "steps_of",
    "take",
    "windows",
]

_DAY_NS = 86_400 * NS_PER_S
_MONDAY_NS = 4 * _DAY_NS  # the epoch was a Thursday
_LENGTHS_NS = {"s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3_600 * NS_PER_S, "d": _DAY_NS, "w": 7 * _DAY_NS}
_INTERVAL = re.compile(r"([1-9]\d{0,3})([smhdwM])\Z", re.ASCII)


class Window(NamedTuple):
    """A range of keys, both ends inclusive."""

    first: int
    last: int


# ---------------------------------------------------------------- where keys may lie


@dataclass(frozen=True, slots=True)
class Steps:
    """Where the keys of a series lie: whole steps from an anchor, or the firsts of months.

    Attributes:
        step: distance of two keys; of no meaning for months.
        months: calendar months (UTC) in one step; 0 for steps of fixed length.
        anchor: one of the keys; for months, one of the months, counted from year 0.
        firm: False while the anchor is only the usual one: candles of several days begin where the venue likes, and the first
            row shows where that is.
    """

    step: int
    months: int = 0
    anchor: int = 0
    firm: bool = True

    def index(self, key: int) -> int:
        """Number of the last step at or before `key`, counted from the anchor."""
        if self.months:
            day = datetime_from_ns(key)
            return (day.year * 12 + day.month - 1 - self.anchor) // self.months
        return (key - self.anchor) // self.step

    def key(self, index: int) -> int:
        """The key of a step by its number."""
        if self.months:
            month = self.anchor + index * self.months
            return ns_from_datetime(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))
        return self.anchor + index * self.step

    def at_or_before(self, key: int) -> int:
        return self.key(self.index(key))

    def at_or_after(self, key: int) -> int:
        index = self.index(key)
        found = self.key(index)
        return found if found == key else self.key(index + 1)

    def after(self, key: int, steps: int = 1) -> int:
        """The key so many steps after the step that holds `key`."""
        return self.key(self.index(key) + steps)

    def holds(self, key: int) -> bool:
        return self.at_or_before(key) == key

    def count(self, window: Window) -> int:
        """How many keys lie in a window."""
        return max(0, self.index(window.last) - self.index(window.first - 1))

    def trimmed(self, window: Window) -> Window | None:
        """From the first to the last key that lies in it; None when none does."""
        if not self.count(window):
            return None
        return Window(self.at_or_after(window.first), self.at_or_before(window.last))

    def through(self, key: int) -> Steps:
        """The same steps, one of them at `key`, from now on firmly."""
        if self.months:
            day = datetime_from_ns(key)
            return replace(self, anchor=day.year * 12 + day.month - 1, firm=True)
        return replace(self, anchor=key % self.step, firm=True)


IDS = Steps(1)
"""Ids that rise by one."""


def steps_of(interval: str) -> Steps:
    """Where candles of an interval open: e.g. "1m", "4h", "1d", "1w" (Mondays), "1M" (firsts of months), all UTC.

    Raises:
        InvalidRequest: the text is no interval.
    """
    match = _INTERVAL.match(interval)
    if match is None:
        raise InvalidRequest(
            f"interval {interval!r} is none: expected a number and one of s, m, h, d, w, M, e.g. '1m' (a minute), '1M' (a month)."
        )
    number, unit = int(match[1]), match[2]
    if unit == "M":
        return Steps(0, months=number, anchor=1970 * 12, firm=number == 1)
    step = number * _LENGTHS_NS[unit]
    return Steps(step, anchor=_MONDAY_NS % step if unit == "w" else 0, firm=step < _DAY_NS and _DAY_NS % step == 0)


# ---------------------------------------------------------------- the windows


class Course:
    """The windows still to be asked for, one after the other.

    Args:
        first, last: keys, inclusive; not necessarily those of a step.
        rows: in one window at most.
    """

    def __init__(self, steps: Steps, first: int, last: int, rows: int) -> None:
        if rows < 1:
            raise InvalidRequest(f"a page of {rows} rows is none; expected 1 or more.")
        self.steps, self.first, self.last, self.rows = steps, first, last, rows

    def next(self) -> Window | None:
        """The next window; None when the range is used up."""
        first = self.first
        if first > self.last:
            return None
        index = self.steps.index(first - 1) + 1
        window = Window(first, min(self.last, self.steps.key(index + self.rows) - 1))
        self.first = window.last + 1
        return window

    def fit(self, rows: int) -> None:
        """The venue's own page turned out to be smaller."""
        self.rows = max(1, min(self.rows, rows))

    def narrow(self, window: Window) -> bool:
        """The venue does not answer so wide a range at once: plan again from this window on, half as wide. False: it cannot."""
        keys = self.steps.count(window)
        if keys < 2:
            return False
        self.first, self.rows = window.first, max(1, min(self.rows, keys) // 2)
        return True

    def leap(self, key: int) -> Window | None:
        """Go on at `key`; returns what is left out, None when that is nothing."""
        if key <= self.first:
            return None
        left_out = Window(self.first, min(self.last, key - 1))
        self.first = left_out.last + 1
        return left_out if left_out.first <= left_out.last else None

    def __repr__(self) -> str:
        return f"<Course {self.first} to {self.last}, {self.rows} rows a page>"


def windows(steps: Steps, first: int, last: int, rows: int) -> Iterator[Window]:
    """All windows of a range; together they are the range, no two share a key, none holds more than `rows` keys."""
    course = Course(steps, first, last, rows)
    while (window := course.next()) is not None:
        yield window


# ---------------------------------------------------------------- the answers


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one window.

    Attributes:
        steps: as far as known from the rows so far.
        rows: oldest first, each key once, all inside the window.
        holes: ranges to be asked for by themselves, oldest first; the page is whole when there are none.
        gaps: ranges (from key to key) that were asked for by themselves and are not there.
        doubles: rows that came again and were dropped.
    """

    steps: Steps
    window: Window
    rows: tuple[Any, ...] = ()
    holes: tuple[Window, ...] = ()
    gaps: tuple[Window, ...] = ()
    doubles: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.holes


def new_page(steps: Steps, window: Window) -> Page:
    """A window nothing is known of."""
    return Page(steps, window, holes=(window,))


def take(page: Page, asked: Window, answer: Sequence[Any], key: Callable[[Any], int]) -> Page:
    """Judge the answer to one of the page's holes.

    Args:
        asked: the hole. Rows outside of it are of no concern here and left out.
        answer: rows as they came, oldest first.
        key: of a row.

    Raises:
        WireFormatError: rows are not oldest first, two rows of one key differ, or a candle opens where none can.
    """
    rows: list[Any] = []
    steps, doubles = page.steps, 0
    before: Any = None
    for row in answer:
        at = key(row)
        if before is not None:
            if at < key(before):
                raise WireFormatError("a page", f"rows are not oldest first: {key(before)} is followed by {at}")
            if at == key(before):
                if not same_but_for_times(before, row):
                    raise WireFormatError("a page", f"two different rows have the key {at}")
                doubles += asked.first <= at <= asked.last
                continue
        before = row
        if not asked.first <= at <= asked.last:
            continue
        if not steps.firm:
            steps = steps.through(at)
        if not steps.holds(at):
            raise WireFormatError(
                "a page", f"a row has the key {at}, and the nearest there can be is {steps.after(at)}"
            )
        rows.append(row)
    left = [hole for hole in page.holes if hole != asked]
    gaps = list(page.gaps)
    if rows:
        for hole in _missing(steps, asked, [key(row) for row in rows]):
            insort(left, hole)
    elif (gap := steps.trimmed(asked)) is not None:
        insort(gaps, gap)
    merged = sorted((*page.rows, *rows), key=key) if page.rows else rows
    return Page(steps, page.window, tuple(merged), tuple(left), tuple(gaps), page.doubles + doubles)


def leapt(steps: Steps, window: Window) -> Page:
    """A window that was not asked for, because longer candles show that there is nothing in it."""
    gap = steps.trimmed(window)
    return Page(steps, window, gaps=() if gap is None else (gap,))


def cut(page: Page, end: int, key: Callable[[Any], int]) -> Page:
    """The page as if its window ended before the key `end`."""
    if end > page.window.last:
        return page
    window = Window(page.window.first, max(end, page.window.first) - 1)
    rows = tuple(row for row in page.rows if key(row) <= window.last)
    gaps = (page.steps.trimmed(Window(gap.first, min(gap.last, window.last))) for gap in page.gaps)
    holes = (Window(hole.first, min(hole.last, window.last)) for hole in page.holes)
    return replace(
        page,
        window=window,
        rows=rows,
        holes=tuple(hole for hole in holes if page.steps.count(hole)),
        gaps=tuple(gap for gap in gaps if gap is not None),
    )


def _missing(steps: Steps, asked: Window, keys: Sequence[int]) -> Iterator[Window]:
    """Ranges of a window between the keys that came."""
    expected = asked.first
    for key in keys:
        if steps.count(Window(expected, key - 1)):
            yield Window(expected, key - 1)
        expected = key + 1
    if expected <= asked.last and steps.count(Window(expected, asked.last)):
        yield Window(expected, asked.last)


def joined(steps: Steps, gap: Window, later: Window) -> Window | None:
    """Both gaps as one when nothing lies between them, else None."""
    return Window(gap.first, later.last) if steps.after(gap.last) >= later.first else None
