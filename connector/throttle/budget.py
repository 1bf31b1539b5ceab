"""Count one of a venue's request budgets so that no window of the venue ever holds more points than it allows.

What makes that hard is not knowing *when* the venue counts a request. A request granted at one moment and answered at another
was counted somewhere between the two, by a clock whose offset is known only within a bound. So a request counts in every window
it may have landed in: in all of them from its grant until its answer, each widened by the offset's error. While the venue's clock
is not known, or jumped, aligned windows are treated as sliding ones, which is never too generous: a sliding window may start
anywhere.

What the venue's own headers tell corrects the count upward (programs elsewhere on the same address spend too), never downward:
a wrong header can slow us down for a window or two but cannot make us overdraw. Between two headers the others are taken to go
on as they did. No room is kept for what they have not spent yet: when we want all that is left, they find the limit reached.

This module only counts: it never sleeps, reads no clock and takes no lock. Sharing between threads is the work of `ledger`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import msgspec

from connector.domain.wire import BudgetLimit
from connector.errors import SettingsError

__all__ = ["Budget", "Hold", "VenueTime"]

_SLICES = 128
"""A sliding window is counted in so many slices; an entry leaves at most one slice late."""

_EDGE_S = 1e-3
"""So long before a window's edge time is looked at closely again: more than sums of seconds since 1970 are rounded by."""

_NEVER = -math.inf


class VenueTime(NamedTuple):
    """The venue's clock in seconds since 1970, right within `error_s`.

    Attributes:
        at_s: the monotonic moment it is about; None: that of the call it is given to. With it, one reading of the clocks serves
            for all that is asked in the next moments.
    """

    seconds: float
    error_s: float
    at_s: float | None = None

    def seconds_at(self, now_s: float) -> float:
        return self.seconds if self.at_s is None else self.seconds + (now_s - self.at_s)


class _Window:
    """One aligned window. `charged` are our points that may have landed in it, `released` those of them already answered.

    `heard_s` is when the newest header's request was sent, or when the window was opened; `before` what other programs spent in
    the last window.
    """

    __slots__ = ("before", "charged", "foreign_high", "foreign_low", "heard_s", "is_ours", "released")

    def __init__(self, charged: int, released: int, now_s: float, before: int) -> None:
        self.charged, self.released = charged, released
        self.heard_s, self.before = now_s, before
        self.foreign_low = self.foreign_high = 0
        self.is_ours = before == 0  # nobody else has been seen to spend

    @property
    def foreign(self) -> int:
        return max(self.foreign_low, self.foreign_high)

    def used(self, now_s: float, width_s: float) -> int:
        foreign = max(self.foreign_low, self.foreign_high)
        if foreign == 0 == self.before:
            return self.charged
        unheard = max(foreign, self.before) * (now_s - self.heard_s) / width_s
        return self.charged + foreign + int(unheard)


class Hold(msgspec.Struct, gc=False):
    """Points taken and not yet answered for. Made by `Budget.take`, ended by `Budget.settle`.

    Attributes:
        windows: first and last aligned window it may have landed in when it was taken; None while those are unknown.
        released: the window's released points when it was taken, to tell what its header already contains.
    """

    points: int
    taken_s: float
    windows: tuple[int, int] | None
    released: int
    settled: bool = False


class Budget:
    """One `BudgetLimit`, counted. Times are monotonic seconds; `venue` is the venue's clock at the same moment, or None.

    Args:
        limit: the venue's statement.
        headroom: the part of it we use at most; at least one point.
    """

    __slots__ = (
        "_blocked_until_s",
        "_ceilings",
        "_foreign_before",
        "_in_flight",
        "_log",
        "_only",
        "_phase",
        "_quiet_until_s",
        "_sliding",
        "_span",
        "_turned_s",
        "_turned_venue",
        "_windows",
        "capacity",
        "headroom",
        "limit",
    )

    def __init__(self, limit: BudgetLimit, headroom: float = 0.95) -> None:
        if limit.points < 1 or not limit.window_s > 0:
            raise SettingsError(
                f"budget {limit.name}: {limit.points} points per {limit.window_s} s; both must be positive"
            )
        if not 0 < headroom <= 1:
            raise SettingsError(f"headroom is {headroom}; expected more than 0 and at most 1, e.g. 0.95")
        self.headroom = headroom
        self.change(limit)
        self._in_flight = 0
        self._log: deque[list[float]] = deque()  # [counted until at latest, points] of what was answered, oldest first
        self._sliding = 0
        self._windows: dict[int, _Window] = {}
        self._only: _Window | None = None  # where there is one: in the middle of it, as nearly always
        self._span = (0, 0)  # its number, twice
        self._foreign_before = 0
        self._phase: VenueTime | None = None  # seconds: venue's clock minus monotonic
        self._blocked_until_s = _NEVER
        self._turned_s = self._quiet_until_s = _NEVER  # between them, and by the same clock, time changes nothing here
        self._turned_venue: VenueTime | None = None

    def change(self, limit: BudgetLimit) -> None:
        """Take a new number of points; what was spent stays spent. The window must be the same."""
        self.limit = limit
        self.capacity = max(1, math.floor(limit.points * self.headroom))
        self._ceilings: dict[float, int] = {}  # share to points

    # ---------------------------------------------------------------- what the caller does

    def wait_s(self, points: int, now_s: float, venue: VenueTime | None, *, share: float = 1.0) -> float:
        """Seconds until so many points may be taken if nothing else happens; 0 when at once. Takes nothing.

        Args:
            share: the part of the capacity this request may fill up, so that more urgent ones find room.
        """
        if venue is not self._turned_venue or not self._turned_s <= now_s < self._quiet_until_s:
            self._turn(now_s, venue)
        blocked = self._blocked_until_s - now_s
        if blocked < 0.0:
            blocked = 0.0
        ceiling = self._ceilings.get(share)
        if ceiling is None:
            ceiling = self._ceilings[share] = math.ceil(self.capacity * share)
        if points > ceiling:
            # A request dearer than its share passes when little else is spent: never being able to is a deadlock, not a limit.
            ceiling = min(points, self.limit.points)
        only = self._only
        if only is not None and only.is_ours and blocked == 0.0 and only.charged + points <= ceiling:
            return 0.0  # as nearly always
        if not self._windows:
            return max(blocked, self._sliding_wait_s(points, ceiling, now_s))
        width, room, full = self.limit.window_s, ceiling - points, None
        for index, window in self._windows.items():
            if window.used(now_s, width) > room:
                full = index if full is None else max(full, index)
        if full is None or venue is None:
            return blocked
        return max(blocked, (full + 1) * width - (venue.seconds_at(now_s) - venue.error_s) + 1e-5)

    def take(self, points: int, now_s: float, venue: VenueTime | None) -> Hold:
        """Count a request that is about to be sent. The caller asked `wait_s` first."""
        if venue is not self._turned_venue or not self._turned_s <= now_s < self._quiet_until_s:
            self._turn(now_s, venue)
        self._in_flight += points
        only = self._only
        if only is not None:
            only.charged += points
            return Hold(points, now_s, self._span, only.released)
        windows = self._windows
        if not windows:
            return Hold(points, now_s, None, 0)
        for window in windows.values():
            window.charged += points
        first = min(windows)
        return Hold(points, now_s, (first, max(windows)), windows[first].released)

    def settle(self, hold: Hold, now_s: float, venue: VenueTime | None, used: int | None = None) -> None:
        """The request was answered, or given up for good: it has landed by now, or never will.

        Args:
            used: what the venue's header says was used in its current window, this request included.
        """
        if hold.settled:
            return
        hold.settled = True
        self._turn(now_s, venue)
        self._in_flight -= hold.points
        self._record(now_s, hold.points)
        for window in self._windows.values():
            window.released += hold.points
        if used is not None:
            self._heard(used, hold, now_s)

    def observe(self, used: int, now_s: float, venue: VenueTime | None) -> None:
        """The venue tells how much of its current window is used, in an answer that belongs to no hold of ours."""
        self._turn(now_s, venue)
        self._heard(used, None, now_s)

    def block(self, until_s: float) -> None:
        """Nothing is granted before; never shortens."""
        self._blocked_until_s = max(self._blocked_until_s, until_s)

    def used(self, now_s: float, venue: VenueTime | None) -> int:
        """Points counted in the fullest window a request sent now may land in."""
        self._turn(now_s, venue)
        if self._windows:
            return max(window.used(now_s, self.limit.window_s) for window in self._windows.values())
        return self._sliding + self._in_flight

    def carry(self, points: int, now_s: float) -> None:
        """Count points spent under another limit that this one replaces."""
        self._record(now_s, points)

    def blocked_s(self, now_s: float) -> float:
        """Seconds for which the venue told us to send nothing."""
        return max(0.0, self._blocked_until_s - now_s)

    # ---------------------------------------------------------------- how it counts

    def _turn(self, now_s: float, venue: VenueTime | None) -> None:
        """Let go of what cannot count any more; open the windows a request sent now may land in."""
        if venue is self._turned_venue and self._turned_s <= now_s < self._quiet_until_s:
            return  # one reading of the clocks, asked about again before it says anything new
        self._turned_s, self._turned_venue = now_s, venue
        log = self._log
        while log and log[0][0] <= now_s:
            self._sliding -= int(log.popleft()[1])
        self._quiet_until_s = log[0][0] if log else math.inf
        if venue is None or not self.limit.aligned:
            self._forget_windows(now_s)
            self._phase = None
            return
        phase = VenueTime(venue.seconds - (now_s if venue.at_s is None else venue.at_s), venue.error_s)
        known, self._phase = self._phase, phase
        if known is None or abs(phase.seconds - known.seconds) > phase.error_s + known.error_s + 1e-3:
            self._forget_windows(now_s)  # numbers of windows counted by another clock mean nothing now
            known = None
        width, venue_s = self.limit.window_s, venue.seconds_at(now_s)
        first = math.floor((venue_s - phase.error_s) / width)
        last = math.floor((venue_s + phase.error_s) / width)
        # Until the next window comes near. What ages in the log meanwhile would count only where there are no windows.
        edge_s = (last + 1) * width - phase.error_s if first == last else last * width + phase.error_s
        self._quiet_until_s = (
            math.nextafter(now_s, math.inf) if venue.at_s is None else edge_s - phase.seconds - _EDGE_S
        )
        if first == last and len(self._windows) == 1 and first in self._windows:
            return  # in the middle of a window, as nearly always
        for index in sorted(index for index in self._windows if index < first):
            self._foreign_before = min(self._windows.pop(index).foreign, self.limit.points)
        for index in range(first, last + 1):
            if index not in self._windows:
                # A window just begun holds what is in flight. One first seen under this clock may hold all of the last width.
                spent = self._sliding if known is None else 0
                self._windows[index] = _Window(self._in_flight + spent, spent, now_s, self._foreign_before)
        alone = first == last and len(self._windows) == 1  # a clock that went back a little leaves a later one, too
        self._only, self._span = (self._windows[first] if alone else None), (first, last)

    def _forget_windows(self, now_s: float) -> None:
        foreign = max((window.foreign for window in self._windows.values()), default=0)
        self._windows.clear()
        self._only = None
        self._foreign_before = 0
        if foreign > 0:
            self._record(now_s, foreign)  # ours is in the log already

    def _record(self, now_s: float, points: int) -> None:
        until_s = now_s + self.limit.window_s
        step = self.limit.window_s / _SLICES
        self._sliding += points
        if self._log and self._log[-1][0] >= until_s:
            self._log[-1][1] += points
        else:
            self._log.append([until_s + step, points])
            if not self._windows:
                self._quiet_until_s = min(self._quiet_until_s, self._log[0][0])

    def _heard(self, used: int, hold: Hold | None, now_s: float) -> None:
        if not self._windows:
            # All of ours that was answered is in `used`; of what is in flight, perhaps nothing, so it counts besides.
            if used > self._sliding:
                self._record(now_s, used - self._sliding)
            return
        if len(self._windows) > 1:
            return  # at the edge of two windows it is not known which one it tells about
        ((index, window),) = self._windows.items()
        if hold is not None and hold.windows != (index, index):
            return  # sent in an earlier window: it may tell about that one
        # At the least, all of ours has landed and the rest is foreign. At the most, only what was answered before this
        # request was sent, and the request itself, is in it. The newest sent decides about the most, all about the least.
        window.foreign_low = max(window.foreign_low, used - window.charged)
        sent_s = now_s if hold is None else hold.taken_s
        if sent_s >= window.heard_s:
            landed = window.released if hold is None else hold.released + hold.points
            window.heard_s = sent_s
            window.foreign_high = max(0, used - landed)
        window.is_ours = window.foreign == 0 == window.before

    def _sliding_wait_s(self, points: int, ceiling: int, now_s: float) -> float:
        excess = self._sliding + self._in_flight + points - ceiling
        if excess <= 0:
            return 0.0
        for until_s, spent in self._log:
            excess -= int(spent)
            if excess <= 0:
                return until_s - now_s
        return self.limit.window_s  # what is in flight has to be answered first

    def __repr__(self) -> str:
        kind = "aligned" if self.limit.aligned else "sliding"
        known = (window.charged + window.foreign for window in self._windows.values())
        used = max(known, default=self._sliding + self._in_flight)
        return f"<Budget {self.limit.name} {used}/{self.capacity} of {self.limit.points} per {self.limit.window_s:g}s {kind}>"
