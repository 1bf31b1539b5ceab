"""How long to wait before the next restart. Pure arithmetic: no clock, no generator, no sleeping.

The first restart in a row comes at once. The k-th delayed one (k from 0) waits up to
`min(max_s, base_s * factor**k)`. Full jitter (`jitter=1.0`) spreads each wait evenly over
(0, bound]; `jitter=0.0` waits exactly the bound. The cap holds after jitter, always.
The count goes back to zero only after a healthy period of `reset_after_s`.
"""

import math
from dataclasses import dataclass

from connector.supervision.errors import SpecError

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between restarts in a row.

    Args:
        base_s: bound of the first delayed restart.
        max_s: no delay is ever longer (unless the failure itself asks for more).
        factor: growth per restart in a row.
        jitter: 0 (none) to 1 (full).
        first_at_once: the first restart in a row has no delay.
        reset_after_s: healthy seconds after which the count starts anew; None means (base_s + max_s) / 2.
        max_in_a_row: after so many failures in a row the supervisor gives up, whatever the time window says.
    """

    base_s: float = 0.5
    max_s: float = 30.0
    factor: float = 2.0
    jitter: float = 1.0
    first_at_once: bool = True
    reset_after_s: float | None = None
    max_in_a_row: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.base_s <= self.max_s < math.inf):
            raise SpecError(f"Backoff needs 0 < base_s <= max_s < inf, not base_s={self.base_s}, max_s={self.max_s}.")
        if not (1.0 <= self.factor < math.inf):
            raise SpecError(f"Backoff.factor is {self.factor}; delays must not shrink, so it has to be 1 or more.")
        if not (0.0 <= self.jitter <= 1.0):
            raise SpecError(f"Backoff.jitter is {self.jitter}, expected 0 (none) to 1 (full).")
        if self.reset_after_s is not None and not self.reset_after_s > 0:
            raise SpecError(f"Backoff.reset_after_s is {self.reset_after_s}, expected a positive number of seconds.")
        if self.max_in_a_row is not None and self.max_in_a_row < 0:
            raise SpecError(f"Backoff.max_in_a_row is {self.max_in_a_row}, expected 0 or more.")

    @property
    def healthy_s(self) -> float:
        """Seconds without failure after which the count starts anew."""
        return (self.base_s + self.max_s) / 2 if self.reset_after_s is None else self.reset_after_s

    def bound_s(self, failures: int, *, at_once: bool | None = None) -> float:
        """The longest wait before restart number `failures` in a row (counted from 1)."""
        at_once = self.first_at_once if at_once is None else at_once
        step = failures - (2 if at_once else 1)
        if step < 0:
            return 0.0
        # Beyond this exponent the cap is reached anyway; the power itself would overflow one day.
        if self.factor > 1.0 and step > math.log(self.max_s / self.base_s, self.factor):
            return self.max_s
        return min(self.max_s, float(self.base_s * self.factor**step))

    def delay_s(self, failures: int, chance: float, *, at_once: bool | None = None) -> float:
        """The wait before restart number `failures` in a row; `chance` is a random number in [0, 1)."""
        return self.bound_s(failures, at_once=at_once) * (1.0 - self.jitter * chance)
