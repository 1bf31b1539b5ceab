"""A day at the limit, simulated event by event against a venue that counts for itself: not one refusal (F53, F55, rank 11)."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter

import pytest

from connector.clock import ClockOffset
from connector.domain.wire import BudgetLimit, Charge
from connector.testing.clocks import FakeClock
from connector.throttle import Grant, Ledger, Priority

LIMIT, WINDOW_S = 6_000, 60.0


class ReferenceVenue:
    """Counts in fixed windows of its own clock and refuses what is over; written from the venue's documents, not from our budget.

    Times are true seconds; its clock runs `offset_s` ahead, and drifts.
    """

    def __init__(self, limit: int, window_s: float, offset_s: float = 0.0, drift_ppm: float = 0.0) -> None:
        self.limit, self.window_s, self.offset_s, self.drift = limit, window_s, offset_s, drift_ppm / 1e6
        self.points: Counter[int] = Counter()
        self.refused = 0

    def clock_s(self, true_s: float) -> float:
        return true_s + self.offset_s + true_s * self.drift

    def window(self, true_s: float) -> int:
        return int(self.clock_s(true_s) // self.window_s)

    def land(self, points: int, true_s: float) -> int:
        """Count a request; returns what the header says."""
        window = self.window(true_s)
        self.points[window] += points  # refused ones cost too
        if self.points[window] > self.limit:
            self.refused += 1
        return self.points[window]


class Day:
    """One program saturating its budget, one venue, a network in between, perhaps a second program on the same address."""

    def __init__(
        self,
        seed: int,
        *,
        offset_s: float,
        drift_ppm: float,
        foreign_share: float = 0.0,
        settle: bool = True,
        headroom: float = 0.95,
    ):
        self.dice = random.Random(seed)
        self.clock = FakeClock()
        self.start_s = self.clock.monotonic_s()
        self.start_ns = self.clock.time_ns()
        self.venue = ReferenceVenue(LIMIT, WINDOW_S, self.start_ns / 1e9 + offset_s, drift_ppm)
        self.offset = ClockOffset()
        self.ledger = Ledger(
            [BudgetLimit("WEIGHT", LIMIT, WINDOW_S, True, "reference venue")],
            self.clock,
            offset=self.offset,
            headroom=headroom,
        )
        self.foreign_share, self.settle = foreign_share, settle
        self.events: list = []
        self.numbers = itertools.count()
        self.sent = 0

    def at(self, delay_s: float, action, *values) -> None:
        heapq.heappush(self.events, (self.now_s() + delay_s, next(self.numbers), action, values))

    def now_s(self) -> float:
        return self.clock.monotonic_s() - self.start_s

    def run(self, hours: float) -> None:
        self.at(0.0, self.sync_clock)
        self.at(0.5, self.read)
        self.at(0.5, self.urgent)
        if self.foreign_share:
            self.at(0.0, self.foreign)
        while self.events and self.events[0][0] < hours * 3_600:
            when_s, _, action, values = heapq.heappop(self.events)
            self.clock.advance(max(0.0, when_s - self.now_s()))
            action(*values)

    # the program

    def sync_clock(self) -> None:
        there_s, back_s = self.dice.uniform(0.01, 0.2), self.dice.uniform(0.01, 0.2)
        sent_ns = self.clock.time_ns()
        stamp_ns = int(self.venue.clock_s(self.now_s() + there_s) * 1_000) * 1_000_000
        self.at(there_s + back_s, lambda: self.offset.add(sent_ns, self.clock.time_ns(), stamp_ns))
        self.at(60.0, self.sync_clock)

    def read(self) -> None:
        """There is always something more to read."""
        points = self.dice.choice([20, 50, 100, 250])
        got = self.ledger.try_grant([Charge("WEIGHT", points)], Priority.READ, self.clock.monotonic_s())
        if isinstance(got, Grant):
            self.send(got, points)
            self.at(self.dice.expovariate(5.0), self.read)
        else:
            self.at(got, self.read)

    def urgent(self) -> None:
        got = self.ledger.try_grant([Charge("WEIGHT", 10)], Priority.CANCEL, self.clock.monotonic_s())
        if isinstance(got, Grant):
            self.send(got, 10)
            self.at(self.dice.expovariate(1.5), self.urgent)
        else:
            self.at(got, self.urgent)

    def send(self, grant: Grant, points: int) -> None:
        self.sent += points
        self.at(self.dice.choice([0.02, 0.1, 0.4, 2.0]) * self.dice.random(), self.land, grant, points)

    # the venue

    def land(self, grant: Grant, points: int) -> None:
        used = self.venue.land(points, self.now_s())
        told = {"WEIGHT": used} if self.dice.random() < 0.9 else {}
        if self.settle:
            self.at(self.dice.choice([0.02, 0.1, 0.4]) * self.dice.random(), grant.settle, told)

    def foreign(self) -> None:
        burst = self.dice.choice([1, 5, 20])
        self.venue.points[self.venue.window(self.now_s())] += burst
        self.at(burst / (LIMIT / WINDOW_S * self.foreign_share) * self.dice.uniform(0.5, 1.5), self.foreign)


def test_a_day_above_95_percent_of_the_limit_sees_no_refusal():
    day = Day(1, offset_s=-29.7, drift_ppm=100.0, headroom=0.98)
    day.run(hours=24)
    assert day.venue.refused == 0
    assert day.sent / (24 * 60 * LIMIT) >= 0.95, "the load was not what the test is about"
    assert day.ledger.state().penalties == day.ledger.state().expired == 0


@pytest.mark.parametrize("seed", range(3))
def test_with_half_the_weight_taken_by_another_program_there_is_still_no_refusal(seed):
    day = Day(seed, offset_s=12.3, drift_ppm=-100.0, foreign_share=0.5)
    day.run(hours=1)
    assert day.venue.refused == 0
    assert day.sent / (60 * LIMIT) >= 0.4


def test_without_settling_there_is_no_refusal_either_only_less_throughput():
    day = Day(5, offset_s=3.0, drift_ppm=0.0, settle=False)
    day.run(hours=1)
    assert day.venue.refused == 0
    assert day.sent / (60 * LIMIT) >= 0.75
