"""How many restarts are too many: a sliding window over monotonic seconds. Pure: the caller passes `now_s`.

The window is inclusive as in OTP, with the resolution of the clock instead of whole seconds: a restart
counts while `now_s - then_s <= within_s`. Exactly `max_restarts` are allowed in it; the next is too many.
"""

import math
from dataclasses import dataclass

from connector.supervision.errors import SpecError

__all__ = ["Intensity"]


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most `max_restarts` restarts within any `within_s` seconds. 0 means the first failure is too many."""

    max_restarts: int = 3
    within_s: float = 5.0

    def __post_init__(self) -> None:
        if isinstance(self.max_restarts, bool) or not isinstance(self.max_restarts, int) or self.max_restarts < 0:
            raise SpecError(f"Intensity.max_restarts is {self.max_restarts!r}, expected a whole number, 0 or more.")
        if not (0 < self.within_s < math.inf):
            raise SpecError(f"Intensity.within_s is {self.within_s!r}, expected a positive number of seconds.")

    def charge(self, window: tuple[float, ...], now_s: float) -> tuple[float, ...] | None:
        """The window with one more restart at `now_s`, or None when that would be one too many."""
        kept = self.current(window, now_s)
        return None if len(kept) >= self.max_restarts else (*kept, now_s)

    def current(self, window: tuple[float, ...], now_s: float) -> tuple[float, ...]:
        """The restarts of `window` that still count at `now_s`."""
        return tuple(then_s for then_s in window if now_s - then_s <= self.within_s)
