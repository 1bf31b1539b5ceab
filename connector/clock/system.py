"""The machine's clocks, read in one place.

Decides what "now" means: `monotonic_s` to wait, `time_ns` to record. `time_ns` is UTC, taken from the wall clock once and
carried on by a clock that only ever runs forward and also runs while the machine is suspended, where the system has one.
A step of the wall clock (an operator, a time daemon) therefore moves no timer, no time stamp and no signature; it is
noticed by `check_wall` and reported, so that the owner can resynchronise. The slow corrections a time daemon makes are
followed, at most 500 µs per second between two checks, so `time_ns` stays with UTC over weeks.

It never sleeps and starts no thread. Every method may be called from any thread; `check_wall` belongs to one owner, who calls
it about once a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

__all__ = ["Clock", "SystemClock", "WallStep", "WallWatching"]

STEP_NS = 500_000_000
"""A difference that grew by so much since the last check is a step; less is drift, and followed slowly."""

SLEW_PARTS = 2_000
"""Drift is followed by at most 1/2000 of the time since the last check: 500 ppm, what time daemons slew at most."""


class Clock(Protocol):
    """What every part of the library that needs time is given."""

    def monotonic_s(self) -> float:
        """Seconds that never jump, from an arbitrary start: for deadlines and durations."""

    def time_ns(self) -> int:
        """UTC nanoseconds since 1970 that never jump within a run: for time stamps."""


@dataclass(frozen=True, slots=True)
class WallStep:
    """The wall clock and ours parted, or the machine was suspended.

    Attributes:
        step_ns: how far the wall clock moved against elapsed time; positive is forward. `time_ns` does not follow.
        suspended_ns: how long the machine slept since the last check, where the system can tell; else 0, and the sleep
            shows as a forward step. Sessions and order books older than a sleep are to be renewed.
    """

    step_ns: int
    suspended_ns: int


class WallWatching(Clock, Protocol):
    """A clock that can tell of steps of the wall clock."""

    def check_wall(self) -> WallStep | None:
        """The step since the last call, each reported once; None when there was none."""


def _elapsed_clock() -> Callable[[], int]:
    """Nanoseconds that run forward only, through suspension too, with the finest steps the system has."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC") if sys.platform != "win32" else ():
        number = getattr(time, name, None)  # BOOTTIME: Linux. On macOS, CLOCK_MONOTONIC is the one that runs in sleep.
        if number is not None:
            return partial(time.clock_gettime_ns, number)
    return time.perf_counter_ns  # Windows: monotonic() moves in steps of 16 ms before Python 3.13, this one does not


class SystemClock:
    """The machine's clock. The three sources may be replaced to test it.

    Args:
        wall_ns: UTC nanoseconds as the operating system believes, stepping when it is set.
        elapsed_ns: nanoseconds that never step and go on in suspension.
        monotonic_ns: nanoseconds that never step and may stand still in suspension.
    """

    __slots__ = ("_anchor_ns", "_checked_ns", "_elapsed_ns", "_monotonic_ns", "_slept_ns", "_wall_ahead_ns", "_wall_ns")

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._elapsed_ns = elapsed_ns or _elapsed_clock()
        elapsed = self._elapsed_ns()
        self._anchor_ns = wall_ns() - elapsed
        self._wall_ahead_ns = 0
        self._checked_ns = elapsed
        self._slept_ns = elapsed - monotonic_ns()

    def monotonic_s(self) -> float:
        return self._monotonic_ns() / 1e9

    def time_ns(self) -> int:
        return self._anchor_ns + self._elapsed_ns()

    @property
    def wall_ahead_ns(self) -> int:
        """How far the wall clock stepped away from `time_ns` since the start, all steps added up."""
        return self._wall_ahead_ns

    def check_wall(self) -> WallStep | None:
        """Compare the clocks. Call it about once a second, from one thread."""
        elapsed = self._elapsed_ns()
        parted = self._wall_ns() - (self._anchor_ns + elapsed) - self._wall_ahead_ns
        slept = elapsed - self._monotonic_ns()
        suspended, self._slept_ns = slept - self._slept_ns, slept
        slew = (elapsed - self._checked_ns) // SLEW_PARTS
        self._checked_ns = elapsed
        step = parted if abs(parted) >= STEP_NS else 0
        self._wall_ahead_ns += step
        if not step:
            self._anchor_ns += max(-slew, min(slew, parted))
        if suspended < STEP_NS:
            suspended = 0
        return WallStep(step, suspended) if step or suspended else None

    def __repr__(self) -> str:
        return f"<SystemClock wall ahead {self._wall_ahead_ns / 1e9:+.3f}s>"
