"""When silence is suspicious, for one topic and for one connection. Pure: arithmetic on times it is given.

A busy topic is suspect after a few of its own usual intervals, a quiet one after a fixed time. Suspicion is not a verdict:
it asks for a probe (one cheap question by REST), and only a probe that shows something newer than what was seen, or one
that cannot be answered twice, makes the topic silent. So a quiet market costs a question now and then, never a reconnect.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LivenessPolicy", "Rate"]


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """Times in seconds.

    Attributes:
        usual_intervals: a topic is suspect after so many of its mean intervals without news …
        earliest_s, latest_s: … but not before `earliest_s`, and always after `latest_s`.
        settle_s: after a probe showed news, how long the topic may take to deliver them before it counts as silent.
        repair_s: how long a resubscribed topic may stay silent before its connection is replaced.
        first_data_s: how long a confirmed topic may take to send its first value before it is probed.
    """

    usual_intervals: float = 6.0
    earliest_s: float = 4.0
    latest_s: float = 60.0
    settle_s: float = 1.5
    repair_s: float = 5.0
    first_data_s: float = 10.0

    def suspect_after_s(self, mean_interval_s: float | None) -> float:
        """Silence that is suspicious for a topic with this mean interval; None: no rate learned yet."""
        if mean_interval_s is None:
            return self.latest_s
        return min(max(self.earliest_s, self.usual_intervals * mean_interval_s), self.latest_s)


class Rate:
    """Mean interval between values, learned over about a minute. One writer; reading elsewhere sees a recent value.

    Counts per slice of `slice_s` keep the hot path at one integer addition; `advance` is called by the ticker.
    """

    SMOOTHING = 0.2

    def __init__(self) -> None:
        self.mean_interval_s: float | None = None
        self._count_then = 0
        self._then_s: float | None = None

    def advance(self, count: int, now_s: float) -> None:
        """Tell how many values there have been by now. Slices without any do not count: silence is judged, not learned."""
        if self._then_s is None:
            self._count_then, self._then_s = count, now_s
            return
        arrived, passed_s = count - self._count_then, now_s - self._then_s
        if arrived <= 0 or passed_s <= 0.0:
            return
        interval_s = passed_s / arrived
        mean = self.mean_interval_s
        self.mean_interval_s = interval_s if mean is None else mean + self.SMOOTHING * (interval_s - mean)
        self._count_then, self._then_s = count, now_s

    def forget(self, count: int, now_s: float) -> None:
        """Start a new slice after an outage, keeping what was learned."""
        self._count_then, self._then_s = count, now_s
