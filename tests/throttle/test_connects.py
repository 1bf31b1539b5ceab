"""Reconnecting without storms (faults F05, F13, F14, rank 8)."""

from __future__ import annotations

import heapq
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import LinkError, SettingsError
from connector.throttle import Backoff, BackoffPolicy, ConnectBudget


def test_first_attempt_is_at_once_and_the_bounds_double_up_to_thirty_seconds():
    always_longest = Backoff(BackoffPolicy(), lambda: 1.0)
    assert [always_longest.after_failure() for _ in range(10)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_waits_are_spread_over_all_of_the_bound():
    policy, dice = BackoffPolicy(), random.Random(3)
    waits = []
    for _ in range(2_000):
        series = Backoff(policy, dice.random)
        waits.append([series.after_failure() for _ in range(5)][-1])
    assert all(0 <= wait <= 4 for wait in waits)
    assert 1.8 < sum(waits) / len(waits) < 2.2
    assert min(waits) < 0.1 and max(waits) > 3.9


@pytest.mark.parametrize(("lived_s", "expected"), [(None, 4.0), (0.0, 4.0), (29.9, 4.0), (30.0, 0.0), (86_400.0, 0.0)])
def test_only_a_connection_that_lived_starts_the_series_over(lived_s, expected):
    series = Backoff(BackoffPolicy(), lambda: 1.0)
    for _ in range(4):
        series.after_failure()
    assert series.after_failure(lived_s) == expected


def test_reset_starts_over():
    series = Backoff(BackoffPolicy(), lambda: 1.0)
    series.after_failure()
    series.after_failure()
    series.reset()
    assert series.after_failure() == 0.0
    assert "1 failures" in repr(series)


def test_series_never_overflows():
    series = Backoff(BackoffPolicy(), lambda: 1.0)
    series.failures = 1_000_000
    assert series.after_failure() == 30.0


def alone(budget: ConnectBudget, dice: float = 1.0) -> Backoff:
    return Backoff(BackoffPolicy(), lambda: dice, budget)


def spacious() -> ConnectBudget:
    return ConnectBudget(300, 300.0, lambda: 0.0)


def test_no_wait_is_longer_than_a_quarter_of_the_outage_so_far():
    series, now_s, waits = alone(spacious()), 1_000.0, []
    for _ in range(40):
        waits.append((now_s - 1_000.0, series.after_failure(now_s=now_s)))
        now_s += waits[-1][1]

    assert [wait_s for _, wait_s in waits[:4]] == [0.0, 0.5, 0.5, 0.5]
    assert all(wait_s <= max(0.5, 0.25 * outage_s) for outage_s, wait_s in waits)
    assert waits[-1][1] == 30.0
    assert len([outage_s for outage_s, _ in waits if outage_s < 20.0]) < 20


@pytest.mark.parametrize("outage_s", [2.0, 10.0, 20.0, 60.0, 110.0])
@pytest.mark.parametrize("seed", range(20))
def test_an_attempt_follows_the_end_of_an_outage_within_a_quarter_of_its_length(outage_s, seed):
    attempts = storm(1, outage_s * 1.3 + 1.0, seed=seed)

    assert min(at_s for at_s in attempts if at_s >= outage_s) - outage_s <= 0.5 + 0.25 * outage_s


def test_a_wait_that_the_outage_bounds_is_at_least_half_of_the_bound():
    series = alone(spacious(), 0.0)
    for _ in range(10):
        series.after_failure(now_s=0.0)

    assert series.after_failure(now_s=20.0) == 2.5


def test_connections_that_fail_together_wait_so_many_times_as_long():
    budget = spacious()
    first, second = alone(budget), alone(budget)
    for _ in range(10):
        first.after_failure(now_s=0.0)
        second.after_failure(now_s=0.0)

    assert first.after_failure(now_s=20.0) == 10.0
    assert first.after_failure(now_s=40.0) == 20.0
    assert first.after_failure(now_s=61.0) == 15.25  # the other one has not failed for a minute


def test_a_connection_that_lived_ends_the_outage_too():
    series = alone(spacious())
    for _ in range(10):
        series.after_failure(now_s=0.0)
    series.after_failure(30.0, now_s=100.0)

    assert series.after_failure(now_s=101.0) == 0.5


@pytest.mark.parametrize("values", [{"base_s": 0}, {"base_s": 40.0}, {"healthy_s": 0}, {"max_s": float("inf")}])
def test_policy_that_makes_no_sense_is_refused(values):
    with pytest.raises(SettingsError):
        BackoffPolicy(**values)


def storm(connections: int, seconds: float, *, seed: int, refused: bool = True) -> list[float]:
    """Connections that are all lost at 0; each attempt fails (or succeeds for good). Returns when attempts were made."""
    dice = random.Random(seed)
    budget = ConnectBudget(300, 300.0, dice.random)
    backoffs = [Backoff(BackoffPolicy(), dice.random, budget) for _ in range(connections)]
    due = [(backoff.after_failure(now_s=0.0), number) for number, backoff in enumerate(backoffs)]
    heapq.heapify(due)
    attempts = []
    while due and due[0][0] < seconds:
        now_s, number = heapq.heappop(due)
        wait_s = budget.try_reserve(now_s)
        if wait_s > 0:
            heapq.heappush(due, (now_s + wait_s, number))
            continue
        attempts.append(now_s)
        if refused:
            heapq.heappush(due, (now_s + backoffs[number].after_failure(0.01, now_s), number))
    return attempts


@pytest.mark.parametrize("connections", [1, 10, 50])
def test_server_that_accepts_and_closes_sees_at_most_a_fifth_of_its_limit(connections):
    attempts = storm(connections, 1_800.0, seed=connections)
    for start_s in attempts:
        assert sum(1 for at_s in attempts if start_s <= at_s < start_s + 300.0) <= 60
    gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert max(gaps) <= 60.0, "no window is spent in silence"


def test_fifty_connections_lost_at_once_come_back_spread_and_within_thirty_seconds():
    attempts = storm(50, 1_000.0, seed=1, refused=False)
    assert len(attempts) == 50
    assert attempts[-1] < 30.0
    assert len({round(at_s, 2) for at_s in attempts}) > 40


@given(seed=st.integers(0, 2**32), connects=st.integers(1, 40), share=st.floats(0.05, 1.0))
@settings(max_examples=200, deadline=None)
def test_no_window_ever_holds_more_attempts_than_the_share_allows(seed, connects, share):
    dice, now_s, taken = random.Random(seed), 0.0, []
    budget = ConnectBudget(connects, 10.0, dice.random, share=share)
    for _ in range(200):
        now_s += dice.choice([0.0, 0.01, 0.3, 2.0])
        wait_s = budget.try_reserve(now_s)
        if wait_s == 0.0:
            taken.append(now_s)
        elif dice.random() < 0.5:
            now_s += wait_s
    for start_s in taken:
        assert sum(1 for at_s in taken if start_s <= at_s < start_s + 10.0) <= max(1, int(connects * share))


def test_refused_attempt_holds_back_all_until_the_time_named():
    budget = ConnectBudget(300, 300.0, lambda: 0.0)
    budget.penalize(LinkError("upgrade answered 429", retry_after_s=40.0), 0.0)
    budget.penalize(LinkError("upgrade answered 429", retry_after_s=5.0), 0.0)
    assert budget.try_reserve(10.0) == 30.0
    assert budget.try_reserve(40.0) == 0.0
    budget.penalize(LinkError("upgrade answered 403"), 40.0)
    assert budget.try_reserve(41.0) == 299.0
    assert "1/60" in repr(budget)


@pytest.mark.parametrize(
    "values", [(0, 1.0, {}), (1, 0.0, {}), (1, 1.0, {"share": 0.0}), (1, 1.0, {"spacing_s": -1.0})]
)
def test_connect_budget_that_makes_no_sense_is_refused(values):
    connects, window_s, options = values
    with pytest.raises(SettingsError):
        ConnectBudget(connects, window_s, random.random, **options)
