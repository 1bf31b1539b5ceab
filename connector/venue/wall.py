"""Steps of the wall clock and sleeps of the machine, told once to every venue that shares a clock. Locks; starts nothing."""

from __future__ import annotations

import threading

from connector.clock import Clock, WallStep

__all__ = ["WallWatch"]

LOOK_EVERY_S = 1.0


class WallWatch:
    """One per Connector. Each venue compares `steps` with what it saw last."""

    def __init__(self, clock: Clock) -> None:
        self._check = getattr(clock, "check_wall", None)  # a clock that cannot tell has no steps
        self._lock = threading.Lock()  # guards all below: the check belongs to one caller at a time
        self._next_s = float("-inf")
        self.steps = 0
        self.last: WallStep | None = None

    def look(self, now_s: float) -> int:
        """How many steps there have been so far; looks at most once a second."""
        if self._check is None or now_s < self._next_s:
            return self.steps
        with self._lock:
            if now_s >= self._next_s:
                self._next_s = now_s + LOOK_EVERY_S
                step = self._check()
                if step is not None:
                    self.steps, self.last = self.steps + 1, step
            return self.steps

    def __repr__(self) -> str:
        return f"<WallWatch steps={self.steps} last={self.last}>"
