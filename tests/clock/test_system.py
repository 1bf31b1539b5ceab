"""Our own clocks: no timer and no stamp moves with the wall (fault F58, invariant I14)."""

from __future__ import annotations

import time

import pytest

from connector.clock import SystemClock, WallStep
from connector.testing.clocks import FakeClock

S = 1_000_000_000


class Machine:
    """Three clocks of a machine, turned by hand."""

    def __init__(self) -> None:
        self.wall, self.elapsed, self.monotonic = 1_767_225_600 * S, 50 * S, 40 * S

    def run(self, seconds: float, *, wall_ppm: int = 0) -> None:
        ns = round(seconds * S)
        self.wall += ns + ns * wall_ppm // 1_000_000
        self.elapsed += ns
        self.monotonic += ns

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.elapsed, lambda: self.monotonic)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("step_s", [3_600, -3_600, 86_400, -86_400, 0.6, -0.6])
def test_wall_step_moves_neither_stamps_nor_timers_and_is_reported_once(machine, step_s):
    clock = machine.clock()
    start_ns, start_s = clock.time_ns(), clock.monotonic_s()
    machine.run(10)
    assert clock.check_wall() is None
    machine.wall += round(step_s * S)
    machine.run(10)
    assert clock.check_wall() == WallStep(round(step_s * S), 0)
    assert clock.check_wall() is None
    assert clock.time_ns() - start_ns == 20 * S
    assert clock.monotonic_s() - start_s == pytest.approx(20)
    assert clock.wall_ahead_ns == round(step_s * S)


def test_steps_there_and_back_are_two_reports_that_cancel(machine):
    clock = machine.clock()
    machine.wall += 3_600 * S
    assert clock.check_wall() == WallStep(3_600 * S, 0)
    machine.wall -= 3_600 * S
    assert clock.check_wall() == WallStep(-3_600 * S, 0)
    assert clock.wall_ahead_ns == 0


def test_slow_corrections_of_a_time_daemon_are_followed(machine):
    clock = machine.clock()
    for _ in range(3_600):
        machine.run(1, wall_ppm=100)
        assert clock.check_wall() is None
    assert abs(clock.time_ns() - machine.wall) < 1_000_000
    assert clock.wall_ahead_ns == 0


def test_following_never_exceeds_500_ppm(machine):
    clock = machine.clock()
    machine.wall += 400_000_000  # less than a step
    before = clock.time_ns()
    machine.run(1)
    assert clock.check_wall() is None
    assert clock.time_ns() - before <= S + 500_000


def test_drift_is_still_followed_after_a_step(machine):
    clock = machine.clock()
    machine.wall += 3_600 * S
    machine.run(1)
    assert clock.check_wall() is not None
    for _ in range(1_000):
        machine.run(1, wall_ppm=-100)
        assert clock.check_wall() is None
    assert abs(clock.time_ns() + 3_600 * S - machine.wall) < 1_000_000


def test_sleep_of_the_machine_is_told_from_a_step_and_time_goes_on(machine):
    clock = machine.clock()
    before = clock.time_ns()
    machine.wall += 600 * S
    machine.elapsed += 600 * S
    assert clock.check_wall() == WallStep(0, 600 * S)
    assert clock.check_wall() is None
    assert clock.time_ns() - before == 600 * S


def test_the_real_clock_tells_utc_and_runs_forward():
    clock = SystemClock()
    assert abs(clock.time_ns() - time.time_ns()) < S
    stamps = [clock.time_ns() for _ in range(1_000)]
    seconds = [clock.monotonic_s() for _ in range(1_000)]
    assert stamps == sorted(stamps)
    assert seconds == sorted(seconds)
    assert abs(clock.monotonic_s() - time.monotonic()) < 1.0
    assert clock.check_wall() is None
    assert "SystemClock" in repr(clock)


def test_fake_clock_moves_only_by_hand():
    clock = FakeClock()
    first = clock.time_ns(), clock.monotonic_s()
    assert (clock.time_ns(), clock.monotonic_s()) == first
    clock.advance(1.5)
    assert clock.time_ns() - first[0] == 1_500_000_000
    assert clock.monotonic_s() == first[1] + 1.5
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_fake_clock_behaves_like_the_real_one_on_steps_and_sleep():
    clock = FakeClock()
    first = clock.time_ns(), clock.monotonic_s()
    clock.step_wall(-3_600)
    assert (clock.time_ns(), clock.monotonic_s()) == first
    assert clock.check_wall() == WallStep(-3_600 * S, 0)
    clock.suspend(60)
    assert clock.time_ns() == first[0] + 60 * S
    assert clock.monotonic_s() == first[1]
    assert clock.check_wall() == WallStep(0, 60 * S)
    assert clock.check_wall() is None
