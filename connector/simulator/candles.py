"""Add trades up into candles of every interval, and aggregate candles into longer ones.

Pure and integer: a bar counts ticks and lots, and `quote` is the sum of ticks times lots. Live trades touch only the current
one-second bar; when the second ends, it is merged into all longer ones, so all intervals always agree with each other and
with the trades. Times are UTC milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["INTERVALS", "Bar", "Candles", "aggregate", "bucket_end", "bucket_start"]

INTERVALS: dict[str, int] = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
    "1M": 0,
}
"""Length in milliseconds; a month has none of its own."""

_LEAP_MS = 60_000
_MONDAY = 4 * 86_400_000  # the epoch was a Thursday; weeks open on Monday


def bucket_start(interval: str, at_ms: int, zone_ms: int = 0) -> int:
    """Open time of the candle that holds `at_ms`, days and above cut in the zone `zone_ms` east of UTC."""
    local = at_ms + zone_ms
    if interval == "1M":
        day = datetime.fromtimestamp(local // 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000 - zone_ms
    length = INTERVALS[interval]
    shift = _MONDAY if interval == "1w" else 0
    return (local - shift) // length * length + shift - zone_ms


def bucket_end(interval: str, start_ms: int, zone_ms: int = 0) -> int:
    """Open time of the next candle."""
    if interval == "1M":
        return bucket_start("1M", start_ms + 32 * 86_400_000, zone_ms)
    return start_ms + INTERVALS[interval]


class Bar:
    """One candle. Prices in ticks, volumes in lots, `quote` in ticks times lots; `first_id` -1 when nothing traded."""

    __slots__ = (
        "buy",
        "buy_quote",
        "close",
        "count",
        "first_id",
        "high",
        "last_id",
        "low",
        "open",
        "quote",
        "start",
        "volume",
    )

    def __init__(self, start: int, price: int) -> None:
        self.start = start
        self.open = self.high = self.low = self.close = price
        self.volume = self.quote = self.count = self.buy = self.buy_quote = 0
        self.first_id = self.last_id = -1

    def trade(self, trade_id: int, price: int, quantity: int, bought: bool) -> None:
        """Count one trade; `bought` when the buyer was the aggressor."""
        if not self.count:
            self.open = self.high = self.low = price
            self.first_id = trade_id
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.last_id = trade_id
        self.count += 1
        self.volume += quantity
        self.quote += price * quantity
        if bought:
            self.buy += quantity
            self.buy_quote += price * quantity

    def merge(self, later: Bar) -> None:
        """Add a bar that follows this one in time."""
        if later.count:
            if not self.count:
                self.open, self.high, self.low = later.open, later.high, later.low
                self.first_id = later.first_id
            self.high = max(self.high, later.high)
            self.low = min(self.low, later.low)
            self.last_id = later.last_id
        self.close = later.close
        self.count += later.count
        self.volume += later.volume
        self.quote += later.quote
        self.buy += later.buy
        self.buy_quote += later.buy_quote

    def copy(self, start: int | None = None) -> Bar:
        """An independent bar with the same numbers, at another open time when one is given."""
        twin = Bar.__new__(Bar)
        for name in Bar.__slots__:
            setattr(twin, name, getattr(self, name))
        if start is not None:
            twin.start = start
        return twin

    def __repr__(self) -> str:
        return (
            f"<Bar {self.start} o={self.open} h={self.high} l={self.low} c={self.close} v={self.volume} n={self.count}>"
        )


def aggregate(bars: Iterable[Bar], interval: str, zone_ms: int = 0) -> list[Bar]:
    """Join consecutive shorter bars into candles of `interval`, oldest first."""
    joined: list[Bar] = []
    end = None
    for bar in bars:
        if end is None or bar.start >= end:
            start = bucket_start(interval, bar.start, zone_ms)
            end = bucket_end(interval, start, zone_ms)
            joined.append(bar.copy(start))
        else:
            joined[-1].merge(bar)
    return joined


class Candles:
    """All candles of one symbol since the simulator started. Seconds without trades are bars of volume zero."""

    def __init__(self, start_ms: int, price: int, keep: int = 5_000) -> None:
        self.started_ms = start_ms // 1000 * 1000
        self._keep = keep
        self._second = Bar(self.started_ms, price)
        self._final: list[tuple[str, Bar]] = []
        self._closed: dict[str, deque[Bar]] = {interval: deque(maxlen=keep) for interval in INTERVALS}
        self._open: dict[str, Bar] = {}
        self._ends: dict[str, int] = {}
        for interval in INTERVALS:
            self._begin(interval, self._second.start, price)

    def _begin(self, interval: str, at_ms: int, price: int) -> None:
        start = bucket_start(interval, at_ms)
        self._open[interval] = Bar(start, price)
        self._ends[interval] = bucket_end(interval, start)

    def trade(self, at_ms: int, trade_id: int, price: int, quantity: int, bought: bool) -> None:
        """Count one trade; a clock stepped back counts into the current second."""
        if at_ms >= self._second.start + 1000:
            self.roll(at_ms)
        self._second.trade(trade_id, price, quantity, bought)

    def take_final(self) -> list[tuple[str, Bar]]:
        """(interval, candle) for each one that became final since the last call, in order of time."""
        final, self._final = self._final, []
        return final

    def roll(self, now_ms: int) -> None:
        """Close every second that has ended by now."""
        if now_ms >= self._second.start + _LEAP_MS:
            self._leap(now_ms // 1000 * 1000)
        while now_ms >= self._second.start + 1000:
            second = self._second
            for interval in INTERVALS:
                self._open[interval].merge(second)
                if second.start + 1000 >= self._ends[interval]:
                    self._closed[interval].append(self._open[interval])
                    self._final.append((interval, self._open[interval]))
                    self._begin(interval, second.start + 1000, second.close)
            self._second = Bar(second.start + 1000, second.close)
        if len(self._final) > 10_000:  # nobody takes them
            del self._final[:-1_000]

    def _leap(self, until_ms: int) -> None:
        """Close everything up to a second far ahead; nothing traded between this one and that. The same as second by second."""
        second, final = self._second, []
        for interval in INTERVALS:
            bar = self._open[interval]
            bar.merge(second)
            if until_ms < self._ends[interval]:
                continue
            closed = [bar]
            start = self._ends[interval]
            length = INTERVALS[interval]
            if length:
                start = max(start, bucket_start(interval, until_ms) - length * max(self._keep, 10_000))
            while (end := bucket_end(interval, start)) <= until_ms:
                closed.append(Bar(start, second.close))
                start = end
            self._closed[interval].extend(closed)
            final += [(bucket_end(interval, each.start), interval, each) for each in closed[-10_000:]]
            self._begin(interval, until_ms, second.close)
        final.sort(key=lambda row: row[0])
        self._final += [(interval, bar) for _, interval, bar in final]
        self._second = Bar(until_ms, second.close)

    def current(self, interval: str) -> Bar:
        """The candle still open, with the running second counted in."""
        bar = self._open[interval].copy()
        bar.merge(self._second)
        return bar

    def bars(self, interval: str) -> list[Bar]:
        """Closed candles and the open one, oldest first."""
        return [*self._closed[interval], self.current(interval)]
