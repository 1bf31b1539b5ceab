"""How often a venue may be connected to, how long to wait between two attempts, and who makes them while it cannot be reached.

The venue allows so many attempts per window and address; all actors of that venue behind one address share one `ConnectBudget`,
which uses a fifth of it at most, however many of them are lost at once. `Backoff` is one connection's own patience. What it
waits for depends on how the last connection ended:

- *It had lived*, and the venue had spoken: the next attempt is at once. Each such attempt costs one of five, and one more is
  earned by every ten seconds of life. What breaks now and then is back without delay; what breaks all the time comes to wait.
  That a second of data starts the series over, and not only a healthy period, has that price so that no storm comes of it: beyond
  the first five, a connection gets six such attempts a minute at most, half of what a venue of 300 in five minutes leaves us.
- *The host was not reached*: refused, no route, no upgrade, or not a word after it. Then nobody else of the venue will reach
  that host either, and one attempt asks for all: whoever's turn it is, by lot. The waits grow with the outage and not with the
  number of those who wait, from a second to a quarter of a minute; to half a minute only where more than half of the allowance
  has to be left for them. Where upgrades succeed and nothing is said, a quarter of the trouble so far is waited, if that is
  longer. The first word from the host wakes everybody.
- *It was reached and did not last*: full jitter, doubling, none longer than a quarter of the trouble so far.

Full jitter is for the first wait, in which many that are lost at once come back spread, and what is woken at once is spaced by
the budget. Of later bounds only the upper part is used: to try as late as the promise allows takes the fewest attempts.

Two things prove nothing of a host: that it could not be reached before a connection to it was lost that had lived until then,
and the failure of an attempt that began before it spoke again.

Nothing here connects, sleeps, or reads a clock: the caller passes monotonic seconds and is told how long to wait, and whom to
wake. All of it may be asked from any thread.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from connector.errors import RetryLater, SettingsError

__all__ = ["EARNED_EVERY_S", "LIVED_S", "OUTAGE_PART", "QUICK", "Backoff", "BackoffPolicy", "ConnectBudget"]

OUTAGE_PART = 0.25
QUICK = 5.0
EARNED_EVERY_S = 10.0
LIVED_S = 1.0
"""A connection that spoke and lived so long is worth a quick attempt; a shorter life is as good as none."""
PROBE_MAX_S = 15.0
PROBE_GROWS_S = 20.0
PROBE_LEAST_PART = 0.75
UNANSWERED_S = 2.0
"""An attempt that has not ended after so long, or after the wait that is due by now, no longer keeps the next one waiting."""
LOT_S = 0.25
FORGOTTEN_S = 120.0
"""Who has not asked for its turn for so long does not wait any more: its actor ended."""


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

    def probe_bound_s(self, outage_s: float) -> float:
        """The longest wait between two attempts to reach a host that has been out of reach for so long."""
        grown = 1.0 + (outage_s / PROBE_GROWS_S) ** 3
        return min(self.max_s, PROBE_MAX_S, 2.0 * self.base_s * grown)


class Backoff:
    """One connection's series of waits. `random` gives numbers in [0, 1). Used by one thread at a time.

    Args:
        budget: of the venue that is connected to; without it, or without a time, waits only double.
        wake: called from any thread when the host was reached again that this one waits for. It must only post a message.

    Attributes:
        host: that is connected to; one may be out of reach while another of the venue is not.
    """

    __slots__ = ("_began_s", "_budget", "_quick", "_random", "failures", "fresh_s", "host", "policy", "tried_s", "wake")

    def __init__(
        self,
        policy: BackoffPolicy,
        random: Callable[[], float],
        budget: ConnectBudget | None = None,
        *,
        host: str = "",
        wake: Callable[[], None] | None = None,
    ) -> None:
        self.policy, self._random, self._budget, self.host, self.wake = policy, random, budget, host, wake
        self.failures = 0
        self._quick = QUICK
        self._began_s: float | None = None
        self.fresh_s = self.tried_s = -math.inf  # when a connection of ours ended that had spoken; our last attempt

    def after_failure(
        self,
        lived_s: float | None = None,
        now_s: float | None = None,
        *,
        reached: bool | None = None,
        accepted: bool | None = None,
    ) -> float:
        """Seconds to wait before the next attempt.

        Args:
            lived_s: how long what failed had been up; None when it never was.
            now_s: monotonic.
            reached: whether the host said anything to it, an upgrade aside; None: it did if it was up at all. To be up for
                `LIVED_S` counts, too.
            accepted: whether the upgrade succeeded; None: it did if it was up at all.
        """
        if lived_s is not None and lived_s >= self.policy.healthy_s:
            self.reset()
        if reached is None or not reached:
            reached = lived_s is not None and (reached is None or lived_s >= LIVED_S)
        quick = self._spend(lived_s if reached else None)
        self.failures += 1
        if now_s is None or self._budget is None:
            return self.policy.bound_s(self.failures) * self._random()
        if self._began_s is None:
            self._began_s = now_s
        if not reached:
            accepted = lived_s is not None if accepted is None else accepted
            wait_s = self._until_next_probe_s(self._budget, now_s, self._began_s, accepted)
            return self._budget.not_reached(self, now_s, wait_s)
        self.fresh_s = now_s
        if quick:
            return 0.0
        bound_s = self.policy.bound_s(self.failures)
        if self.failures <= 2:
            return bound_s * self._random()
        part_s = OUTAGE_PART * (now_s - self._began_s)
        return min(bound_s, max(part_s, self.policy.base_s)) * (0.5 + 0.5 * self._random())

    def _spend(self, lived_s: float | None) -> bool:
        """Whether a quick attempt is due; it is paid for, and starts the series over."""
        if lived_s is None or lived_s < LIVED_S:
            return False
        self._quick = min(QUICK, self._quick + lived_s / EARNED_EVERY_S)
        if self._quick < 1.0:
            return False
        self._quick -= 1.0
        self.reset()
        return True

    def _until_next_probe_s(self, budget: ConnectBudget, now_s: float, began_s: float, accepted: bool) -> float:
        out_s = budget.out_of_reach_s(self.host, now_s)
        if out_s is None:  # the first to learn of it: at once if nothing had failed, else as the first of all waits
            return 0.0 if self.failures == 1 else self.policy.base_s * self._random()
        out_s = max(out_s, now_s - began_s)
        bound_s = self.policy.probe_bound_s(out_s)
        if accepted:  # whoever accepts and hangs up at once had better be asked less often
            bound_s = max(bound_s, min(self.policy.max_s, OUTAGE_PART * out_s))
        if out_s > PROBE_GROWS_S:  # not before: an outage may be short, and most are
            bound_s = min(self.policy.max_s, max(bound_s, budget.apart_s(self.host)))
        return bound_s * (PROBE_LEAST_PART + (1.0 - PROBE_LEAST_PART) * self._random())

    def succeeded(self, now_s: float) -> None:
        """The host spoke to this one: whoever waits for it is woken. That alone does not start the series over."""
        if self._budget is not None:
            for wake in self._budget.reached(self, now_s):
                wake()

    def reset(self) -> None:
        """Start over: what was wrong is known to be right again."""
        self.failures, self._began_s = 0, None

    def __repr__(self) -> str:
        return f"<Backoff {self.failures} failures in a row, {self._quick:.1f} quick attempts left>"


@dataclass(slots=True)
class _Host:
    """What is known of reaching one host.

    Attributes:
        out_since_s: when an attempt first failed to reach it; None when it spoke since.
        failed_s, reached_s: when an attempt last failed to reach it, and when it last spoke.
        next_s: nobody who waits for it tries before.
        waiting: who is to be woken, and when it last asked.
    """

    out_since_s: float | None = None
    failed_s: float = -math.inf
    reached_s: float = -math.inf
    next_s: float = -math.inf
    waiting: dict[Backoff, float] = field(default_factory=dict)


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
        self._hosts: dict[str, _Host] = {}
        self._next_s = -math.inf
        self._blocked_until_s = -math.inf

    def try_reserve(self, now_s: float, who: Backoff | None = None) -> float:
        """0.0: connect now, it is counted. Otherwise nothing is taken: ask again after so many seconds, or when woken.

        The last sixth of the allowance is spread over what is left of the window, so that after a storm there is always
        another attempt soon, and never a whole window of silence.

        Args:
            who: waits for its turn where its host cannot be reached. Without it, only the allowance counts.
        """
        with self._lock:
            host = None if who is None else self._hosts.get(who.host)
            if who is not None and host is not None and (turn_s := self._turn_s(host, who, now_s)) > 0.0:
                return turn_s
            wait_s = self._allowance_s(now_s)
            if wait_s > 0.0:
                self.delayed += 1
                return wait_s
            if who is not None:
                who.tried_s = now_s
                if host is not None:
                    host.waiting.pop(who, None)
                    if host.out_since_s is not None:
                        unanswered_s = max(UNANSWERED_S, who.policy.probe_bound_s(now_s - host.out_since_s))
                        host.next_s = max(host.next_s, now_s + unanswered_s)
            self._taken.append(now_s)
            self.attempts += 1
            self._next_s = now_s + self.spacing_s * self._random()
            return 0.0

    def _allowance_s(self, now_s: float) -> float:
        """How long until the allowance has an attempt to give; called under the lock."""
        taken = self._taken
        while taken and taken[0] <= now_s - self.window_s:
            taken.popleft()
        earliest = max(self._next_s, self._blocked_until_s)
        left = self.allowed - len(taken)
        if left <= 0:
            earliest = max(earliest, taken[0] + self.window_s)
        elif len(taken) > 1 and left <= self.allowed // 6:
            earliest = max(earliest, taken[-1] + (taken[0] + self.window_s - taken[-1]) / (left + 1))
        return max(0.0, earliest - now_s)

    def wait_s(self, now_s: float, who: Backoff | None = None) -> float:
        """How long `try_reserve` would say; takes nothing. For whoever has to prepare an attempt."""
        with self._lock:
            host = None if who is None else self._hosts.get(who.host)
            turn_s = 0.0 if who is None or host is None else self._turn_s(host, who, now_s)
            return turn_s or self._allowance_s(now_s)

    # ------------------------------------------------------------ hosts out of reach; called by `Backoff`

    def _turn_s(self, host: _Host, who: Backoff, now_s: float) -> float:
        """How long until somebody may try that host again; called under the lock."""
        if host.out_since_s is None or host.failed_s < who.fresh_s or now_s >= host.next_s:
            return 0.0
        return host.next_s - now_s + self._lot_s(host, who, now_s)

    def _lot_s(self, host: _Host, who: Backoff, now_s: float) -> float:
        """Who waits draws a lot, so that nobody keeps the attempts to itself; called under the lock."""
        host.waiting[who] = now_s
        return LOT_S * self._random() if len(host.waiting) > 1 else 0.0

    def out_of_reach_s(self, name: str, now_s: float) -> float | None:
        """Since how long no attempt has reached that host; None when the last one that ended did."""
        with self._lock:
            host = self._hosts.get(name)
            return None if host is None or host.out_since_s is None else now_s - host.out_since_s

    def apart_s(self, name: str) -> float:
        """How far apart attempts to reach a host have to be to leave an attempt for everybody who waits for it."""
        with self._lock:
            host = self._hosts.get(name)
            return self.window_s / max(1, self.allowed - (0 if host is None else len(host.waiting)))

    def not_reached(self, who: Backoff, now_s: float, probe_in_s: float) -> float:
        """Note that an attempt did not reach its host; returns how long to wait before asking for the next one."""
        with self._lock:
            host = self._hosts.setdefault(who.host, _Host())
            if who.tried_s < host.reached_s:
                return 0.0
            if host.out_since_s is None:
                host.out_since_s = now_s
            host.failed_s, host.next_s = now_s, now_s + probe_in_s
            host.waiting = {each: at_s for each, at_s in host.waiting.items() if at_s > now_s - FORGOTTEN_S}
            return probe_in_s + self._lot_s(host, who, now_s)

    def reached(self, who: Backoff, now_s: float) -> tuple[Callable[[], None], ...]:
        """Note that a host spoke; returns what wakes those who wait for it, to be called outside all locks."""
        with self._lock:
            host = self._hosts.setdefault(who.host, _Host())
            host.out_since_s, host.reached_s = None, now_s
            waiting = [each for each in host.waiting if each is not who]
            host.waiting.clear()
        return tuple(each.wake for each in waiting if each.wake is not None)

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
