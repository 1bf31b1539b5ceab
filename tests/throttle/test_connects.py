"""Reconnecting without storms (faults F05, F13, F14, rank 8)."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from functools import partial

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


@pytest.mark.parametrize(
    ("lived_s", "expected"), [(None, 4.0), (0.0, 4.0), (0.9, 4.0), (1.0, 0.0), (30.0, 0.0), (86_400.0, 0.0)]
)
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


def test_no_wait_of_a_venue_that_answers_and_hangs_up_is_longer_than_a_quarter_of_the_trouble_so_far():
    series, now_s, waits = alone(spacious()), 1_000.0, []
    for _ in range(40):
        waits.append((now_s - 1_000.0, series.after_failure(0.1, now_s)))
        now_s += waits[-1][1]

    assert [wait_s for _, wait_s in waits[:4]] == [0.0, 0.5, 0.5, 0.5]
    assert all(wait_s <= max(0.5, 0.25 * outage_s) for outage_s, wait_s in waits)
    assert waits[-1][1] == 30.0
    assert len([outage_s for outage_s, _ in waits if outage_s < 20.0]) < 20


def test_a_wait_that_the_trouble_so_far_bounds_is_at_least_half_of_the_bound():
    series = alone(spacious(), 0.0)
    for _ in range(10):
        series.after_failure(0.1, 0.0)

    assert series.after_failure(0.1, 20.0) == 2.5


def test_a_connection_that_lived_ends_the_outage_too():
    series = alone(spacious())
    for _ in range(10):
        series.after_failure(0.1, 0.0)
    series.after_failure(30.0, 100.0)

    assert series.after_failure(0.1, 101.0) == 0.5


# ---------------------------------------------------------------- quick attempts


def test_five_connections_lost_five_seconds_apart_are_each_replaced_at_once():
    series, now_s = alone(spacious()), 0.0
    for _ in range(5):
        now_s += 5.0
        assert series.after_failure(5.0, now_s) == 0.0


def test_a_connection_that_breaks_every_two_seconds_comes_to_wait():
    series, now_s, waits = alone(spacious()), 0.0, []
    for _ in range(12):
        now_s += 2.0 + sum(waits[-1:])
        waits.append(series.after_failure(2.0, now_s))

    assert waits[:5] == [0.0] * 5
    assert waits[6] > 0.0 and max(waits) >= 0.5


def test_ten_seconds_of_life_earn_another_quick_attempt_and_never_more_than_five_are_kept():
    series, now_s = alone(spacious()), 0.0
    for _ in range(50):
        now_s += 10.0
        assert series.after_failure(10.0, now_s) == 0.0
    series.after_failure(100_000.0, now_s)
    waits = []
    for _ in range(8):
        now_s += 1.0
        waits.append(series.after_failure(1.0, now_s))

    assert waits[:4] == [0.0] * 4
    assert waits[-1] > 0.0


@pytest.mark.parametrize("lived_s", [0.0, 0.5, 0.99])
def test_a_connection_that_was_hardly_up_is_worth_no_quick_attempt(lived_s):
    series = alone(spacious())

    assert [series.after_failure(lived_s, 0.0) for _ in range(4)] == [0.0, 0.5, 0.5, 0.5]


def test_a_wait_after_a_flap_begins_with_the_shortest_again():
    """A quick attempt starts the series over: data flowed until now, so the outage is new."""
    series = alone(spacious())
    for number in range(8):
        series.after_failure(0.1, float(number))

    assert series.after_failure(5.0, 20.0) == 0.0
    assert series.after_failure(0.1, 20.2) == 0.5


# ---------------------------------------------------------------- one asks for all


class Outage:
    """Connections of one venue that are all lost at 0, while nobody listens until `ends_s`. Heap of (due, order, who)."""

    def __init__(self, connections: int, ends_s: float, *, seed: int = 1, accepts: bool = False) -> None:
        self.dice, self.ends_s, self.accepts = random.Random(seed), ends_s, accepts
        self.budget = ConnectBudget(300, 300.0, self.dice.random)
        self.order = itertools.count()
        self.due: dict[Backoff, float] = {}
        self.attempts: list[float] = []
        self.back: dict[Backoff, float] = {}
        self.woken: list[Backoff] = []
        for _ in range(connections):
            who = Backoff(BackoffPolicy(), self.dice.random, self.budget, host="stream.example")
            who.wake = partial(self.woken.append, who)
            self.due[who] = who.after_failure(3600.0, 0.0)

    def run(self, until_s: float) -> None:
        while self.due:
            who = min(self.due, key=lambda each: self.due[each])
            now_s = self.due[who]
            if now_s > until_s:
                return
            wait_s = self.budget.try_reserve(now_s, who)
            if wait_s > 0.0:
                self.due[who] = now_s + wait_s
                continue
            self.attempts.append(now_s)
            if now_s < self.ends_s:
                lived_s = 0.01 if self.accepts else None
                self.due[who] = now_s + who.after_failure(lived_s, now_s, reached=False)
                continue
            del self.due[who]
            self.back[who] = now_s - self.ends_s
            who.succeeded(now_s)
            for each in self.woken:
                self.due[each] = now_s
            self.woken.clear()

    def most_in_a_window(self) -> int:
        return max(sum(1 for at in self.attempts if start <= at < start + 300.0) for start in self.attempts)


@pytest.mark.parametrize("connections", [1, 3, 10])
@pytest.mark.parametrize("seed", range(20))
def test_after_twenty_seconds_of_refusal_the_first_is_back_within_two_and_all_within_three(connections, seed):
    outage = Outage(connections, 20.0, seed=seed)
    outage.run(100.0)

    assert len(outage.back) == connections
    assert min(outage.back.values()) <= 2.0 + 0.25
    assert max(outage.back.values()) <= 2.0 + 0.25 + 0.2 * connections


@pytest.mark.parametrize("connections", [1, 3, 10])
@pytest.mark.parametrize("outage_s", [60.0, 150.0, 300.0, 1_800.0, 86_400.0])
@pytest.mark.parametrize("seed", range(5))
def test_after_an_outage_of_any_length_the_first_is_back_within_fifteen_seconds(connections, outage_s, seed):
    outage = Outage(connections, outage_s, seed=seed)
    outage.run(outage_s + 400.0)

    assert len(outage.back) == connections
    assert min(outage.back.values()) <= 15.0 + 0.25
    assert max(outage.back.values()) <= 30.0


@pytest.mark.parametrize("connections", [1, 3, 10, 50])
def test_a_venue_that_refuses_sees_no_more_attempts_of_many_connections_than_of_one(connections):
    outage = Outage(connections, math.inf)
    outage.run(1_800.0)

    assert len([at_s for at_s in outage.attempts if at_s < 20.0]) <= 25
    assert outage.most_in_a_window() <= 50 < outage.budget.allowed
    assert len([at_s for at_s in outage.attempts if 900.0 <= at_s < 1_200.0]) <= 27


@pytest.mark.parametrize("outage_s", [900.0, 7_200.0])
def test_after_a_long_outage_there_is_an_attempt_left_for_each_of_fifty_who_waited(outage_s):
    outage = Outage(50, outage_s)
    outage.run(outage_s + 900.0)

    assert min(outage.back.values()) <= 30.0
    assert max(outage.back.values()) <= 90.0
    assert outage.most_in_a_window() <= outage.budget.allowed


@pytest.mark.parametrize("connections", [1, 10])
@pytest.mark.parametrize("seed", range(10))
def test_a_venue_that_accepts_and_hangs_up_without_a_word_is_tried_less_often_than_one_that_refuses(connections, seed):
    outage = Outage(connections, math.inf, seed=seed, accepts=True)
    outage.run(300.0)

    assert len([at_s for at_s in outage.attempts if at_s < 20.0]) <= 16
    assert len(outage.attempts) <= 36


def test_those_who_wait_take_turns():
    """One path of a host may fail for ever while another would not: nobody keeps the attempts to itself."""
    outage = Outage(3, math.inf)
    tried = {who: who.tried_s for who in outage.due}
    outage.run(300.0)

    assert all(who.tried_s > 100.0 > tried[who] for who in outage.due)


def test_success_of_one_wakes_the_others_and_nobody_else():
    budget, woken = spacious(), []
    waits, elsewhere, first = (Backoff(BackoffPolicy(), lambda: 1.0, budget, host=host) for host in "aba")
    waits.wake, elsewhere.wake, first.wake = (partial(woken.append, name) for name in ("waits", "elsewhere", "first"))
    for each in (waits, elsewhere, first):
        each.after_failure(None, 0.0)
        each.after_failure(None, 1.0)
    first.succeeded(2.0)
    first.succeeded(3.0)

    assert woken == ["waits"]
    assert budget.try_reserve(3.0, waits) == 0.0
    assert budget.try_reserve(1.5, elsewhere) > 0.0


def test_one_who_lost_a_living_connection_tries_at_once_though_the_host_failed_for_another_before():
    budget = spacious()
    fails, lives = alone(budget), alone(budget)
    for now_s in range(60):
        fails.after_failure(None, float(now_s))
    assert budget.try_reserve(60.0, fails) > 0.0

    assert lives.after_failure(20.0, 60.0) == 0.0
    assert budget.try_reserve(60.0, lives) == 0.0


def test_an_attempt_that_began_before_the_host_spoke_again_proves_nothing():
    budget = spacious()
    late, other = alone(budget), alone(budget)
    late.after_failure(None, 0.0)
    other.after_failure(None, 0.1)
    assert budget.try_reserve(1.5, late) == 0.0
    other.succeeded(2.0)

    assert late.after_failure(None, 6.0) == 0.0
    assert budget.out_of_reach_s("", 6.0) is None


def test_an_attempt_that_nobody_hears_of_again_keeps_the_others_waiting_for_two_seconds_only():
    budget = spacious()
    gone, waits = alone(budget), alone(budget)
    gone.after_failure(None, 0.0)
    waits.after_failure(None, 0.0)
    assert budget.try_reserve(1.5, gone) == 0.0

    assert budget.try_reserve(1.6, waits) == pytest.approx(1.9, abs=0.3)
    assert budget.try_reserve(3.5, waits) == 0.0


def test_attempts_that_are_never_answered_are_made_no_oftener_than_those_that_are_refused():
    """A black hole: each attempt ends by its own deadline of five seconds, and others come meanwhile."""
    dice = random.Random(5)
    budget = ConnectBudget(300, 300.0, dice.random)
    series = [Backoff(BackoffPolicy(), dice.random, budget) for _ in range(10)]
    due = [(who.after_failure(3600.0, 0.0), n, "ask") for n, who in enumerate(series)]
    attempts: list[float] = []
    while len(attempts) < 80:
        now_s, n, what = heapq.heappop(due)
        if what == "end":
            heapq.heappush(due, (now_s + series[n].after_failure(None, now_s), n, "ask"))
        elif (wait_s := budget.try_reserve(now_s, series[n])) > 0.0:
            heapq.heappush(due, (now_s + wait_s, n, "ask"))
        else:
            attempts.append(now_s)
            heapq.heappush(due, (now_s + 5.0, n, "end"))

    assert max(sum(1 for at in attempts if start <= at < start + 300.0) for start in attempts) <= 50
    gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert max(gaps) <= 15.0 + 5.0 + 0.25


def test_who_has_not_asked_for_two_minutes_is_not_waited_for_any_more():
    budget, woken = spacious(), []
    gone, waits = alone(budget), alone(budget)
    gone.wake, waits.wake = partial(woken.append, "gone"), partial(woken.append, "waits")
    gone.after_failure(None, 0.0)
    waits.after_failure(None, 130.0)
    alone(budget).succeeded(131.0)

    assert woken == ["waits"]


def test_asking_when_it_is_ones_turn_takes_nothing():
    budget = spacious()
    series = alone(budget)
    assert budget.wait_s(0.0, series) == 0.0
    series.after_failure(None, 0.0)
    series.after_failure(None, 0.0)
    assert budget.wait_s(0.1, series) > 0.0
    assert budget.attempts == 0


@pytest.mark.parametrize("values", [{"base_s": 0}, {"base_s": 40.0}, {"healthy_s": 0}, {"max_s": float("inf")}])
def test_policy_that_makes_no_sense_is_refused(values):
    with pytest.raises(SettingsError):
        BackoffPolicy(**values)


def storm(connections: int, seconds: float, *, seed: int, refused: bool = True) -> list[float]:
    """Connections that are all lost at 0; each attempt fails (or succeeds for good). Returns when attempts were made."""
    dice = random.Random(seed)
    budget = ConnectBudget(300, 300.0, dice.random)
    backoffs = [Backoff(BackoffPolicy(), dice.random, budget) for _ in range(connections)]
    due = [(backoff.after_failure(3600.0, 0.0), number) for number, backoff in enumerate(backoffs)]
    heapq.heapify(due)
    attempts = []
    while due and due[0][0] < seconds:
        now_s, number = heapq.heappop(due)
        wait_s = budget.try_reserve(now_s, backoffs[number])
        if wait_s > 0:
            heapq.heappush(due, (now_s + wait_s, number))
            continue
        attempts.append(now_s)
        if refused:
            heapq.heappush(due, (now_s + backoffs[number].after_failure(0.01, now_s), number))
    return attempts


@pytest.mark.parametrize("connections", [1, 10, 50])
def test_server_that_accepts_answers_and_closes_sees_at_most_a_fifth_of_its_limit(connections):
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
