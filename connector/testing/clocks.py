"""A clock that stands still until a test moves it. Reads no real clock, starts nothing; safe from any thread."""

from __future__ import annotations

import math
import threading

from connector.clock.system import WallStep

__all__ = ["FakeClock"]


class FakeClock:
    """Both clocks of `connector.clock.Clock`, moved by hand.

    Args:
        time_ns: the UTC nanoseconds it starts at; 2026-01-01 unless told.
        monotonic_s: the monotonic seconds it starts at.
    """

    def __init__(self, time_ns: int = 1_767_225_600_000_000_000, monotonic_s: float = 1_000.0) -> None:
        self._lock = threading.Lock()  # protects all fields; arithmetic only inside
        self._time_ns = time_ns
        self._start_ns = round(monotonic_s * 1e9)
        self._passed_ns = 0
        self._stepped_ns = 0
        self._suspended_ns = 0

    def monotonic_s(self) -> float:
        with self._lock:
            return (self._start_ns + self._passed_ns) / 1e9

    def time_ns(self) -> int:
        with self._lock:
            return self._time_ns

    def advance(self, seconds: float) -> None:
        """Let time pass. Going back is refused: no clock of this kind does."""
        passed = round(seconds * 1e9)
        if passed < 0:
            raise ValueError(f"time passes forward only, not by {seconds} s; step_wall moves the wall clock")
        with self._lock:
            self._passed_ns += passed
            self._time_ns += passed

    def advance_to(self, monotonic_s: float) -> None:
        """Let time pass until then, never short of it; nothing happens when that is past."""
        with self._lock:
            passed = math.ceil(monotonic_s * 1e9) - self._start_ns - self._passed_ns
            if passed > 0:
                self._passed_ns += passed
                self._time_ns += passed

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, forward or back. Like the real one, neither reading follows; `check_wall` tells once."""
        with self._lock:
            self._stepped_ns += round(seconds * 1e9)

    def suspend(self, seconds: float) -> None:
        """Put the machine to sleep: UTC goes on, monotonic seconds stand still, `check_wall` tells once."""
        with self._lock:
            self._time_ns += round(seconds * 1e9)
            self._suspended_ns += round(seconds * 1e9)

    def check_wall(self) -> WallStep | None:
        with self._lock:
            step, suspended = self._stepped_ns, self._suspended_ns
            self._stepped_ns = self._suspended_ns = 0
        return WallStep(step, suspended) if step or suspended else None

    def __repr__(self) -> str:
        return f"<FakeClock {self.monotonic_s():.3f}s>"
