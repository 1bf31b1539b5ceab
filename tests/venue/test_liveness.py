"""When silence is suspicious: after a few usual intervals on a busy topic, after a fixed time on a quiet one."""

import pytest

from connector.venue.liveness import LivenessPolicy, Rate

POLICY = LivenessPolicy()


@pytest.mark.parametrize(
    ("mean_interval_s", "suspect_after_s"),
    [
        (0.001, POLICY.earliest_s),
        (1.0, POLICY.usual_intervals),
        (5.0, 5 * POLICY.usual_intervals),
        (600.0, POLICY.latest_s),
    ],
)
def test_suspicion_follows_the_usual_interval_within_its_bounds(mean_interval_s, suspect_after_s):
    assert POLICY.suspect_after_s(mean_interval_s) == pytest.approx(suspect_after_s)


def test_a_topic_above_one_value_a_second_is_found_silent_within_ten_seconds():
    tick_s, probe_s = 0.5, 0.5

    assert POLICY.suspect_after_s(1.0) + tick_s + probe_s + POLICY.settle_s + tick_s <= 10.0


def test_a_quiet_topic_is_found_silent_within_ninety_seconds():
    assert POLICY.suspect_after_s(None) + 10.0 <= 90.0


def test_the_rate_is_learned_from_values_and_not_from_silence():
    rate = Rate()
    for second in range(61):
        rate.advance(10 * second, float(second))
    learned = rate.mean_interval_s
    for second in range(61, 121):
        rate.advance(600, float(second))

    assert learned == pytest.approx(0.1)
    assert rate.mean_interval_s == learned


def test_an_outage_is_not_taken_for_a_slow_market():
    rate = Rate()
    rate.advance(0, 0.0)
    rate.advance(10, 1.0)

    rate.forget(10, 500.0)
    rate.advance(20, 501.0)

    assert rate.mean_interval_s == pytest.approx(0.1)
