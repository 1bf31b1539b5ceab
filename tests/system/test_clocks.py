"""Clocks that are wrong, ours or the venue's: offsets are measured, and no timer moves with the wall clock."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from fault_harness import BookJudge, TradeJudge, eventually, running

from connector.clock import SystemClock

SECOND_NS = 1_000_000_000


def offset_error_ns(rig, skew_ns: int) -> int | None:
    """How far the measured offset is from the true one; None before the first measurement."""
    estimate = rig.memory.offset.estimate(rig.memory.clock.time_ns())
    return None if estimate is None else abs(estimate.offset_ns - skew_ns)


@pytest.mark.parametrize("skew_s", [-30, 30])
def test_a_venue_whose_clock_is_half_a_minute_off_is_measured_within_a_second(skew_s):
    """F57: the offset is known to 250 ms, and market data is not disturbed by it."""
    with running(events_per_s=200.0, prepare=lambda sim: sim.faults.clock_skew(skew_s * 1000)) as rig:
        took_s = eventually(lambda: offset_error_ns(rig, skew_s * SECOND_NS) is not None, 5.0)
        assert took_s <= 1.0
        assert offset_error_ns(rig, skew_s * SECOND_NS) <= SECOND_NS // 4
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        assert trades.faults() == []


def test_a_slow_answer_about_the_time_does_not_spoil_what_is_known():
    """F60: a sample with a long round trip is worth less than a short one."""
    with running(events_per_s=50.0, clock_sync_s=0.1) as rig:
        eventually(lambda: offset_error_ns(rig, 0) is not None, 5.0)
        answered = rig.counter("rest.answers")
        rig.sim.faults.rest_delay(0.8)
        eventually(lambda: rig.counter("rest.answers") >= answered + 4, 10.0)
        assert offset_error_ns(rig, 0) <= SECOND_NS // 4


@pytest.mark.parametrize("step_s", [-86_400, -3_600, 3_600, 86_400])
def test_a_step_of_the_wall_clock_moves_no_timer_and_no_timestamp(step_s):
    """F58, I14: nothing fires early or late, times of values go on steadily."""
    stepped_ns = [0]
    clock = SystemClock(wall_ns=lambda: time.time_ns() + stepped_ns[0])
    with running(events_per_s=300.0, clock=clock) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        epochs = rig.restarts()
        stepped_ns[0] = step_s * SECOND_NS
        so_far = len(trades.seen)
        eventually(lambda: len(trades.seen) >= so_far + 100, 10.0)
        received = [trade.received_ns for trade in trades.seen]
        assert all(later - earlier < 60 * SECOND_NS for earlier, later in pairwise(received))
        assert received == sorted(received)
        assert rig.restarts() == epochs and rig.counter("stream.connects") == 1
        assert trades.gaps == [] and trades.faults() == []


def test_after_a_sleep_of_the_machine_nothing_is_taken_for_fresh():
    """F59: every connection is renewed, the book is rebuilt, the hole is told or filled; no actor is restarted for it."""
    slept_ns = [0]
    clock = SystemClock(
        wall_ns=lambda: time.time_ns() + slept_ns[0], elapsed_ns=lambda: time.monotonic_ns() + slept_ns[0]
    )
    with running(events_per_s=300.0, clock=clock) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        epochs, voided = rig.restarts(), rig.counter("book.invalidated")
        slept_ns[0] = 600 * SECOND_NS
        eventually(lambda: rig.counter("stream.connections_replaced") >= 1, 5.0)
        eventually(lambda: rig.counter("book.invalidated") > voided)
        rig.await_flow(trades.subscription, book.subscription)
        assert rig.restarts() == epochs
        assert book.compare() == []
        assert trades.faults() == [] and trades.lost == 0
