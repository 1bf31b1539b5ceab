"""No window of the venue ever holds more of our points than it allows (faults F53, F55, F56)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.domain.wire import BudgetLimit
from connector.errors import SettingsError
from connector.throttle import Budget, VenueTime

MINUTE = BudgetLimit("WEIGHT", 100, 60.0, True, "test")
SLIDING = BudgetLimit("WEIGHT", 100, 60.0, False, "test")


def venue(now_s: float, error_s: float = 0.0) -> VenueTime:
    """A venue whose clock shows our monotonic seconds, so windows begin at 0, 60, 120 …"""
    return VenueTime(now_s, error_s)


def spend(budget: Budget, points: int, now_s: float, until_s: float | None = None, error_s: float = 0.0) -> None:
    hold = budget.take(points, now_s, venue(now_s, error_s))
    end_s = now_s if until_s is None else until_s
    budget.settle(hold, end_s, venue(end_s, error_s))


def test_full_window_says_how_long_to_wait_and_takes_nothing():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 90, 10.0)
    assert budget.wait_s(10, 20.0, venue(20.0)) == 0.0
    assert budget.wait_s(11, 20.0, venue(20.0)) == pytest.approx(40.0, abs=0.001)
    assert budget.used(20.0, venue(20.0)) == 90
    assert budget.wait_s(11, 60.001, venue(60.001)) == 0.0


def test_waiting_as_long_as_told_is_enough():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 100, 10.0, error_s=0.25)
    now_s = 20.0 + budget.wait_s(50, 20.0, venue(20.0, 0.25))
    assert budget.wait_s(50, now_s, venue(now_s, 0.25)) == 0.0


def test_window_of_the_venue_counts_not_ours():
    budget = Budget(MINUTE, headroom=1.0)
    hold = budget.take(100, 10.0, VenueTime(55.0, 0.1))
    budget.settle(hold, 10.1, VenueTime(55.1, 0.1))
    assert budget.wait_s(1, 15.2, VenueTime(60.2, 0.1)) == 0.0


def test_headroom_keeps_the_last_part_of_a_limit_and_never_all_of_it():
    assert Budget(MINUTE).capacity == 95
    assert Budget(BudgetLimit("ORDERS", 1, 1.0, True, "test")).capacity == 1


def test_request_in_flight_over_the_edge_counts_on_both_sides():
    budget = Budget(MINUTE, headroom=1.0)
    hold = budget.take(80, 59.0, venue(59.0))
    assert budget.wait_s(30, 61.0, venue(61.0)) > 0.0
    budget.settle(hold, 62.0, venue(62.0))
    assert budget.used(63.0, venue(63.0)) == 80


def test_a_clock_that_is_known_better_near_an_edge_does_not_uncount_what_may_land_after_it():
    budget = Budget(MINUTE, headroom=1.0)
    assert budget.wait_s(1, 59.9, venue(59.9, 0.2)) == 0.0
    budget.take(50, 59.95, venue(59.95, 0.01))
    assert budget.used(61.0, venue(61.0, 0.01)) == 50


def test_request_answered_before_the_edge_does_not_count_after_it():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 80, 58.0, 59.0)
    assert budget.used(60.5, venue(60.5)) == 0


def test_near_an_edge_the_uncertain_clock_makes_a_request_count_twice():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 80, 59.9, error_s=0.25)
    assert budget.used(60.5, venue(60.5, 0.25)) == 80


def test_unknown_venue_clock_makes_aligned_windows_sliding():
    budget = Budget(MINUTE, headroom=1.0)
    budget.settle(budget.take(100, 50.0, None), 50.0, None)
    assert budget.wait_s(1, 61.0, None) == pytest.approx(49.0, abs=1.0)
    assert budget.wait_s(1, 50.0 + 60.0 + 60 / 128 + 0.01, None) == 0.0


def test_spending_is_carried_over_when_the_venue_clock_becomes_known_or_jumps():
    budget = Budget(MINUTE, headroom=1.0)
    budget.settle(budget.take(60, 50.0, None), 50.0, None)
    assert budget.used(51.0, VenueTime(3_651.0, 0.1)) == 60
    assert budget.used(52.0, VenueTime(9_952.0, 0.1)) == 60
    assert budget.used(53.0, None) == 60


def test_sliding_window_frees_what_is_a_window_old():
    budget = Budget(SLIDING, headroom=1.0)
    spend(budget, 60, 10.0)
    spend(budget, 40, 30.0)
    wait_s = budget.wait_s(50, 40.0, None)
    assert 30.0 <= wait_s <= 31.0
    assert budget.wait_s(50, 40.0 + wait_s, None) == 0.0
    assert budget.wait_s(70, 40.0 + wait_s, None) > 0.0


def test_sliding_window_counts_from_the_answer_on():
    budget = Budget(SLIDING, headroom=1.0)
    spend(budget, 100, 10.0, until_s=25.0)
    assert budget.wait_s(1, 80.0, None) > 0.0
    assert budget.wait_s(1, 86.0, None) == 0.0


@pytest.mark.parametrize("limit", [MINUTE, SLIDING])
def test_header_of_the_venue_raises_the_count_and_never_lowers_it(limit):
    budget = Budget(limit, headroom=1.0)
    budget.settle(budget.take(10, 10.0, venue(10.0)), 10.5, venue(10.5), used=70)
    assert budget.used(10.6, venue(10.6)) == 70
    budget.settle(budget.take(10, 12.0, venue(12.0)), 12.5, venue(12.5), used=15)
    assert budget.used(13.0, venue(13.0)) >= 20


def test_header_that_may_tell_of_the_window_before_is_ignored():
    budget = Budget(MINUTE, headroom=1.0)
    hold = budget.take(10, 59.0, venue(59.0))
    budget.settle(hold, 61.0, venue(61.0), used=99)
    assert budget.used(61.0, venue(61.0)) == 10


def test_what_is_on_its_way_is_not_taken_for_foreign_once_a_later_header_tells():
    budget = Budget(MINUTE, headroom=1.0)
    slow = budget.take(40, 10.0, venue(10.0))
    budget.settle(budget.take(10, 11.0, venue(11.0)), 11.5, venue(11.5), used=50)
    assert budget.used(12.0, venue(12.0)) == 90  # the 40 may still be on their way, then 40 of the header are foreign
    budget.settle(slow, 12.0, venue(12.0))
    budget.settle(budget.take(10, 13.0, venue(13.0)), 13.5, venue(13.5), used=60)
    assert budget.used(14.0, venue(14.0)) == 60


def test_between_headers_other_programs_are_taken_to_go_on_as_they_did():
    budget = Budget(MINUTE, headroom=1.0)
    budget.settle(budget.take(10, 30.0, venue(30.0)), 30.0, venue(30.0), used=40)
    assert budget.used(30.0, venue(30.0)) == 40
    assert budget.used(50.0, venue(50.0)) == 50  # 30 in a window: 10 more in a third of one
    assert budget.used(60.0, venue(60.0)) == 0
    assert budget.used(80.0, venue(80.0)) == 10  # no header yet, a third of the window is over
    assert budget.used(150.0, venue(150.0)) == 0  # nothing heard for a whole window is no reason to expect more


def test_header_out_of_all_proportion_is_forgotten_after_the_next_window():
    budget = Budget(MINUTE, headroom=1.0)
    budget.settle(budget.take(10, 30.0, venue(30.0)), 30.0, venue(30.0), used=1_000_000)
    assert budget.wait_s(1, 31.0, venue(31.0)) > 0.0
    assert budget.wait_s(90, 61.0, venue(61.0)) == 0.0
    assert budget.wait_s(100, 121.0, venue(121.0)) == 0.0


def test_share_leaves_room_for_more_urgent_requests():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 75, 10.0)
    assert budget.wait_s(10, 11.0, venue(11.0), share=0.8) > 0.0
    assert budget.wait_s(10, 11.0, venue(11.0), share=1.0) == 0.0


def test_request_dearer_than_its_share_passes_through_an_empty_window():
    budget = Budget(MINUTE, headroom=0.95)
    assert budget.wait_s(98, 11.0, venue(11.0), share=0.8) == 0.0
    spend(budget, 1, 12.0)
    assert budget.wait_s(98, 13.0, venue(13.0), share=0.8) > 0.0


def test_changed_limit_keeps_what_was_spent():
    budget = Budget(MINUTE, headroom=1.0)
    spend(budget, 60, 10.0)
    budget.change(BudgetLimit("WEIGHT", 50, 60.0, True, "test"))
    assert budget.wait_s(1, 11.0, venue(11.0)) > 0.0
    budget.change(BudgetLimit("WEIGHT", 200, 60.0, True, "test"))
    assert budget.wait_s(140, 11.0, venue(11.0)) == 0.0


def test_blocked_budget_gives_nothing_before_its_time_and_is_never_shortened():
    budget = Budget(MINUTE, headroom=1.0)
    budget.block(100.0)
    budget.block(50.0)
    assert budget.wait_s(1, 70.0, venue(70.0)) == pytest.approx(30.0)
    assert budget.wait_s(1, 100.0, venue(100.0)) == 0.0


@pytest.mark.parametrize(
    ("points", "window_s", "headroom"), [(0, 1.0, 0.9), (5, 0.0, 0.9), (5, 1.0, 0.0), (5, 1.0, 1.1)]
)
def test_limit_that_makes_no_sense_is_refused(points, window_s, headroom):
    with pytest.raises(SettingsError):
        Budget(BudgetLimit("X", points, window_s, True, "test"), headroom)


@given(
    seed=st.integers(0, 2**32),
    aligned=st.booleans(),
    window_s=st.sampled_from([1.0, 10.0, 60.0]),
    limit=st.integers(1, 60),
    offset_s=st.floats(-50.0, 50.0),
    error_s=st.floats(0.0, 0.3),
    lateness_s=st.sampled_from([0.01, 0.5, 20.0]),
)
@settings(max_examples=200, deadline=None)
def test_no_window_overflows_under_any_load_latency_and_lying_headers(
    seed, aligned, window_s, limit, offset_s, error_s, lateness_s
):
    """Requests land anywhere between grant and answer; the offset we believe is wrong by up to its bound, comes late, jumps."""
    dice = random.Random(seed)
    budget = Budget(BudgetLimit("WEIGHT", limit, window_s, aligned, "test"), headroom=dice.choice([0.5, 0.95, 1.0]))
    now_s, landed, open_holds = 1_000.0, [], []
    known_from_s = now_s + dice.choice([0.0, 2 * window_s])
    believed = offset_s + dice.uniform(-error_s, error_s)

    def clock(moment_s: float) -> VenueTime | None:
        return VenueTime(moment_s + believed, error_s) if moment_s >= known_from_s else None

    for _ in range(300):
        now_s += dice.choice([0.0, window_s / 500, window_s / 20, window_s / 3])
        if dice.random() < 0.05:
            believed = offset_s + dice.uniform(-error_s, error_s)
        for entry in [entry for entry in open_holds if entry[0] <= now_s]:
            open_holds.remove(entry)
            lie = dice.choice([None, 0, dice.randrange(2 * limit), 10 * limit])
            budget.settle(entry[1], now_s, clock(now_s), used=lie)
        if dice.random() < 0.05:
            budget.observe(dice.randrange(2 * limit), now_s, clock(now_s))
        points = dice.randint(1, limit)
        if budget.wait_s(points, now_s, clock(now_s)) == 0.0:
            hold = budget.take(points, now_s, clock(now_s))
            answered_s = now_s + dice.uniform(0.0, lateness_s)
            landed.append((dice.uniform(now_s, answered_s) + offset_s, points))
            open_holds.append((answered_s, hold))
    if aligned:
        windows: dict[int, int] = {}
        for at_s, points in landed:
            windows[int(at_s // window_s)] = windows.get(int(at_s // window_s), 0) + points
        assert max(windows.values(), default=0) <= limit
    else:
        landed.sort()
        for index, (start_s, _) in enumerate(landed):
            assert sum(points for at_s, points in landed[index:] if at_s < start_s + window_s) <= limit
    assert landed or limit
