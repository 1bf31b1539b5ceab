"""How often a venue may be connected to, and how long to wait between two attempts.

The venue allows so many attempts per window and address; all actors of that venue behind one address share one `ConnectBudget`,
which uses a fifth of it at most, however many of them are lost at once. `Backoff` is one connection's own patience: the first
attempt at once, then full jitter, starting over only after a connection that lived.

Doubling alone waits about as long as everything before it took together: after an outage of 20 s, up to 16 s more. So a wait is
also bounded by a part of the outage so far (`OUTAGE_PART`), times the connections of the venue that fail at the same time, which
between them then try no oftener than one would. Of such a bound the later half is used: to try as late as it allows takes the
fewest attempts for the same promise, and the allowance is what they are short of.

Nothing here connects, sleeps, or reads a clock: the caller passes monotonic seconds and is told how long to wait. Both may be
asked from any thread.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from connector.errors import RetryLater, SettingsError

__all__ = ["OUTAGE_PART", "Backoff", "BackoffPolicy", "ConnectBudget"]

OUTAGE_PART = 0.25
FAILING_S = 60.0
"""A connection counts among those that fail together for so long after it failed."""


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """Waits between attempts: none, then random ones below base_s, 2 base_s, 4 base_s …, at most below max_s.

    Attributes:
        healthy_s: a connection that lived so long lets the series start over; merely connecting does not.
    """

    base_s: float = 0.5
    max_s: float = 30.0
    healthy_s: float = 30.0

    def __post_init__(self) -> None:
        if not (0 < self.base_s <= self.max_s < math.inf and self.healthy_s > 0):
            raise SettingsError(f"{self!r}: expected 0 < base_s <= max_s, and healthy_s above 0.")

    def bound_s(self, failures: int) -> float:
        """The longest wait after so many failures in a row."""
        return 0.0 if failures <= 1 else min(self.max_s, self.base_s * 2.0 ** min(failures - 2, 60))


class Backoff:
    """One series of waits. `random` gives numbers in [0, 1). Used by one thread at a time.

    Args:
        budget: of the venue that is connected to; without it, or without a time, waits only double.
    """

    __slots__ = ("_began_s", "_budget", "_random", "failures", "policy")

    def __init__(self, policy: BackoffPolicy, random: Callable[[], float], budget: ConnectBudget | None = None) -> None:
        self.policy, self._random, self._budget = policy, random, budget
        self.failures = 0
        self._began_s: float | None = None

    def after_failure(self, lived_s: float | None = None, now_s: float | None = None) -> float:
        """Seconds to wait before the next attempt.

        Args:
            lived_s: how long what failed had been up; None when it never was.
            now_s: monotonic.
        """
        if lived_s is not None and lived_s >= self.policy.healthy_s:
            self.reset()
        self.failures += 1
        bound_s = self.policy.bound_s(self.failures)
        if now_s is None or self._budget is None:
            return bound_s * self._random()
        if self._began_s is None:
            self._began_s = now_s
        part_s = self._budget.failing(self, now_s) * OUTAGE_PART * (now_s - self._began_s)
        if self.failures <= 2:  # the whole of the first wait: many that are lost at once come back spread
            return bound_s * self._random()
        return min(bound_s, max(part_s, self.policy.base_s)) * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        """Start over: what was wrong is known to be right again."""
        self.failures, self._began_s = 0, None

    def __repr__(self) -> str:
        return f"<Backoff {self.failures} failures in a row, up to {self.policy.bound_s(self.failures + 1):g}s next>"


class ConnectBudget:
    """Attempts to connect to one venue from one address.

    Args:
        connects: attempts the venue allows per `window_s`.
        random: numbers in [0, 1), for the spacing.
        share: the part of them used at most; the rest is for a restart of the program, and for others at the address.
        spacing_s: two attempts are at least a random part of this apart, so that fifty do not arrive as one.
    """

    def __init__(
        self,
        connects: int,
        window_s: float,
        random: Callable[[], float],
        *,
        share: float = 0.2,
        spacing_s: float = 0.2,
    ) -> None:
        if connects < 1 or not window_s > 0 or not 0 < share <= 1 or spacing_s < 0:
            raise SettingsError(
                f"{connects} connects per {window_s} s, share {share}, spacing {spacing_s} s: out of range"
            )
        self.allowed = max(1, math.floor(connects * share))
        self.window_s, self.spacing_s = window_s, spacing_s
        self.attempts = self.delayed = 0
        self._random = random
        self._lock = threading.Lock()  # protects all that follows; arithmetic only inside
        self._taken: deque[float] = deque()
        self._failing: dict[Backoff, float] = {}
        self._next_s = -math.inf
        self._blocked_until_s = -math.inf

    def try_reserve(self, now_s: float) -> float:
        """0.0: connect now, it is counted. Otherwise nothing is taken: ask again after so many seconds.

        The last sixth of the allowance is spread over what is left of the window, so that after a storm there is always
        another attempt soon, and never a whole window of silence.
        """
        with self._lock:
            taken = self._taken
            while taken and taken[0] <= now_s - self.window_s:
                taken.popleft()
            earliest = max(self._next_s, self._blocked_until_s)
            left = self.allowed - len(taken)
            if left <= 0:
                earliest = max(earliest, taken[0] + self.window_s)
            elif len(taken) > 1 and left <= self.allowed // 6:
                earliest = max(earliest, taken[-1] + (taken[0] + self.window_s - taken[-1]) / (left + 1))
            if earliest > now_s:
                self.delayed += 1
                return earliest - now_s
            taken.append(now_s)
            self.attempts += 1
            self._next_s = now_s + self.spacing_s * self._random()
            return 0.0

    def failing(self, who: Backoff, now_s: float) -> int:
        """Note that a connection failed; returns how many of the venue's did lately, this one included."""
        with self._lock:
            self._failing[who] = now_s
            for other, failed_s in list(self._failing.items()):
                if failed_s < now_s - FAILING_S:
                    del self._failing[other]
            return len(self._failing)

    def penalize(self, error: RetryLater, now_s: float) -> None:
        """The venue refused an attempt: none before the time it named, or a whole window where it named none."""
        wait_s = self.window_s if error.retry_after_s is None else error.retry_after_s
        with self._lock:
            self._blocked_until_s = max(self._blocked_until_s, now_s + wait_s)

    def __repr__(self) -> str:
        return (
            f"<ConnectBudget {len(self._taken)}/{self.allowed} per {self.window_s:g}s "
            f"attempts={self.attempts} delayed={self.delayed}>"
        )
