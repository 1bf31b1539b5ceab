"""A step of the wall clock or a sleep of the machine: told once to every venue, and acted upon."""

from connector.clock import WallStep
from connector.testing.clocks import FakeClock
from connector.venue.wall import WallWatch


def test_a_step_is_counted_once_however_many_look():
    clock = FakeClock()
    watch = WallWatch(clock)
    watch.look(clock.monotonic_s())
    clock.step_wall(3600)
    clock.advance(1.5)

    assert [watch.look(clock.monotonic_s()) for _ in range(3)] == [1, 1, 1]
    assert watch.last == WallStep(step_ns=3600 * 1_000_000_000, suspended_ns=0)


def test_it_looks_at_most_once_a_second():
    clock = FakeClock()
    watch = WallWatch(clock)
    watch.look(clock.monotonic_s())
    clock.step_wall(60)
    clock.advance(0.5)
    assert watch.look(clock.monotonic_s()) == 0
    clock.advance(0.6)
    assert watch.look(clock.monotonic_s()) == 1


def test_a_clock_that_cannot_tell_has_no_steps():
    class Plain:
        def monotonic_s(self):
            return 0.0

        def time_ns(self):
            return 0

    assert WallWatch(Plain()).look(10.0) == 0
