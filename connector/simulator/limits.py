"""Count what clients spend against a venue's limits, and say who has overdrawn.

Pure: windows are fixed and aligned to the clock, as the venue's are, and the caller passes the time. It counts refused
requests too. Nothing here answers or closes anything.
"""

from __future__ import annotations

import msgspec

__all__ = ["AddressLimits", "Refusal", "SlidingCount", "Window"]

LONGEST_BAN_S = 3 * 86_400.0


class Window:
    """One counter that starts again at every multiple of its length."""

    __slots__ = ("capacity", "length_s", "start", "used")

    def __init__(self, capacity: int, length_s: int) -> None:
        self.capacity, self.length_s = capacity, length_s
        self.start, self.used = 0, 0

    def spend(self, cost: int, now_s: float) -> bool:
        """Count the cost; False when the window is overdrawn."""
        start = int(now_s // self.length_s) * self.length_s
        if start != self.start:
            self.start, self.used = start, 0
        self.used += cost
        return self.used <= self.capacity

    def left_s(self, now_s: float) -> float:
        """Seconds until the window starts again."""
        return self.start + self.length_s - now_s


class SlidingCount:
    """How many things happened in the last `length_s` seconds."""

    __slots__ = ("_times", "length_s")

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self._times: list[float] = []

    def add(self, now_s: float) -> int:
        """Count one more; the count includes it."""
        self._times = [at for at in self._times if now_s - self.length_s < at <= now_s]
        self._times.append(now_s)
        return len(self._times)


class Refusal(msgspec.Struct, frozen=True):
    """A request the venue will not serve: 429 to wait, 418 when banned."""

    status: int
    retry_after_s: int
    reason: str
    banned_until_ms: int = 0


class AddressLimits:
    """Everything counted for one client address."""

    def __init__(
        self, weight: int, raw: int, connects: int, ignored_429s: int, ban_s: float, *, enforced: bool = True
    ) -> None:
        self.weight = Window(weight, 60)
        self.raw = Window(raw, 300)
        self.connects = Window(connects, 300)
        self.enforced = enforced
        self._patience, self._first_ban_s = ignored_429s, ban_s
        self._warned_until = 0.0
        self._ignored = 0
        self._bans = 0
        self.banned_until = 0.0

    def ban(self, now_s: float, for_s: float | None = None) -> None:
        """Ban the address: twice as long as the last time, or for the given seconds."""
        length = min(self._first_ban_s * 2**self._bans, LONGEST_BAN_S) if for_s is None else for_s
        self._bans += 1
        self.banned_until = now_s + length

    def lift(self) -> None:
        """End a ban and forget the earlier ones."""
        self._bans = self._ignored = 0
        self.banned_until = self._warned_until = 0.0

    def request(self, cost: int, now_s: float) -> Refusal | None:
        """Count one request of that weight; None when it may be served."""
        within_weight = self.weight.spend(cost, now_s)
        within_raw = self.raw.spend(1, now_s)
        if now_s < self.banned_until:
            self.banned_until = min(self.banned_until + 1.0, now_s + LONGEST_BAN_S)  # calling on lengthens a ban
            return self._banned(now_s)
        if (within_weight and within_raw) or not self.enforced:
            return None
        if now_s < self._warned_until:
            self._ignored += 1
            if self._ignored >= self._patience:
                self._ignored = 0
                self.ban(now_s)
                return self._banned(now_s)
        else:
            self._ignored = 0
        window = self.raw if within_weight else self.weight
        self._warned_until = now_s + window.left_s(now_s)
        return Refusal(429, max(1, int(window.left_s(now_s)) + 1), "weight" if window is self.weight else "raw")

    def connect(self, now_s: float) -> Refusal | None:
        """Count one connection attempt."""
        within = self.connects.spend(1, now_s)
        if now_s < self.banned_until:
            return self._banned(now_s)
        if within or not self.enforced:
            return None
        return Refusal(429, max(1, int(self.connects.left_s(now_s)) + 1), "connects")

    def _banned(self, now_s: float) -> Refusal:
        return Refusal(418, int(self.banned_until - now_s) + 1, "banned", int(self.banned_until * 1000))
