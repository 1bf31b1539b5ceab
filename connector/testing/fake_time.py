"""A clock that moves when told to. Never reads the system's; one thread at a time."""

__all__ = ["FakeClock"]


class FakeClock:
    """Monotonic seconds and UTC nanoseconds that advance together.

    Args:
        monotonic_s: where the monotonic clock begins.
        time_ns: where the calendar begins; the default is 2026-01-01T00:00:00Z.
    """

    def __init__(self, monotonic_s: float = 1000.0, time_ns: int = 1_767_225_600_000_000_000) -> None:
        self._begin_s, self._begin_ns = monotonic_s, time_ns
        self._now_s = monotonic_s

    def __repr__(self) -> str:
        return f"<FakeClock {self._now_s:.6f} s>"

    def monotonic_s(self) -> float:
        return self._now_s

    def time_ns(self) -> int:
        return self._begin_ns + round((self._now_s - self._begin_s) * 1e9)

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`. Raises ValueError for a step back: this clock is monotonic."""
        if not seconds >= 0:
            raise ValueError(f"a monotonic clock does not go back by {-seconds} s")
        self._now_s += seconds

    def advance_to(self, monotonic_s: float) -> None:
        """Move on to `monotonic_s`; stays where it is when that is past."""
        self._now_s = max(self._now_s, monotonic_s)
