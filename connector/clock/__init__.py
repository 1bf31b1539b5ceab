"""Where time comes from, and how far the venue's clock is from ours."""

from connector.clock.offset import ClockOffset, OffsetEstimate
from connector.clock.system import Clock, SystemClock, WallStep, WallWatching

__all__ = ["Clock", "ClockOffset", "OffsetEstimate", "SystemClock", "WallStep", "WallWatching"]
