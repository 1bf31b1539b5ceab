"""Candles after a long silence: the same ones, without going through every second of it."""

from itertools import pairwise

from connector.simulator.candles import INTERVALS, Candles

START_MS = 1_760_000_000_123


def shown(candles, interval):
    return [tuple(getattr(bar, name) for name in type(bar).__slots__) for bar in candles.bars(interval)]


def test_a_long_silence_gives_the_same_candles_as_many_short_ones():
    at_once, by_steps = Candles(START_MS, 100), Candles(START_MS, 100)
    for candles in (at_once, by_steps):
        candles.trade(START_MS + 61_500, 1, 105, 3, True)
    end = START_MS + 2 * 86_400_000 + 7_777
    for at in range(START_MS + 3_600_000, end, 3_600_000):
        by_steps.roll(at)
    for candles in (at_once, by_steps):
        candles.trade(end, 2, 107, 1, False)
        candles.roll(end + 61_000)
    for interval in INTERVALS:
        assert shown(at_once, interval) == shown(by_steps, interval), interval


def test_the_seconds_that_are_kept_have_no_hole_after_a_long_silence():
    candles = Candles(START_MS, 100)
    candles.roll(START_MS + 3 * 86_400_000)
    starts = [bar.start for bar in candles.bars("1s")]
    assert len(starts) == 5_001
    assert {later - earlier for earlier, later in pairwise(starts)} == {1_000}
