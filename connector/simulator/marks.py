"""Follow the mark and the index price of one contract, and know what is paid for holding it, and when.

Both prices are smoothed from the middle of the book (the mark quickly, the index slowly), once per change of the market, so that
the same orders always give the same prices. A test may hold the mark at a price of its own, and set the funding rate. This module
only counts: it pays nobody, closes nothing and reads no clock. Money is in 1e-8 (`_e8`), times in UTC microseconds.
"""

from __future__ import annotations

import zlib

import msgspec

from connector.simulator.candles import Candles
from connector.simulator.instruments import SCALE, Listing

__all__ = ["FundingTime", "Marks"]

_SHARP = 1 << 16
"""Prices are kept in this part of 1e-8, so that small steps are not lost to rounding."""
_MARK_WEIGHT, _INDEX_WEIGHT = 8, 64


class FundingTime(msgspec.Struct, frozen=True, gc=False):
    """One funding as it was charged: rate and mark price in 1e-8."""

    at_us: int
    rate_e8: int
    mark_e8: int


class Marks:
    """Mark, index and funding of one contract."""

    def __init__(self, listing: Listing, now_us: int) -> None:
        self._listing = listing
        self._mark = self._index = listing.price_e8 * _SHARP
        self.held_e8: int | None = None
        """The mark a test has set; None lets it follow the market."""
        self.rate_e8 = 10_000
        """What the next funding takes from longs and gives to shorts, of the notional."""
        self.interval_us = listing.funding_h * 3_600_000_000
        self.next_us = self._after(now_us)
        self.paid: list[FundingTime] = []
        ticks = listing.price_e8 // listing.tick_e8
        self.candles = Candles(now_us // 1000, ticks)
        self.index_candles = Candles(now_us // 1000, ticks)
        self._seen = 0

    @property
    def mark_e8(self) -> int:
        """The price that decides about profit, margin and liquidation."""
        return self._mark // _SHARP if self.held_e8 is None else self.held_e8

    @property
    def index_e8(self) -> int:
        """The price of the underlying."""
        return self._index // _SHARP

    @property
    def funded(self) -> bool:
        """Whether holding it costs or earns anything."""
        return self.interval_us > 0

    def saw(self, middle_e8: int, now_us: int) -> None:
        """The market has changed: this is the middle of its book now."""
        self._mark += (middle_e8 * _SHARP - self._mark) // _MARK_WEIGHT
        self._index += (middle_e8 * _SHARP - self._index) // _INDEX_WEIGHT
        self._note(now_us)

    def hold(self, price_e8: int | None, now_us: int) -> None:
        """Hold the mark at a price, or let it follow the market again."""
        self.held_e8 = price_e8
        self._note(now_us)

    def _note(self, now_us: int) -> None:
        self._seen += 1
        tick = self._listing.tick_e8
        self.candles.trade(now_us // 1000, self._seen, self.mark_e8 // tick, 0, False)
        self.index_candles.trade(now_us // 1000, self._seen, self.index_e8 // tick, 0, False)

    def due(self, now_us: int) -> bool:
        """Whether it is time for a funding."""
        return self.funded and now_us >= self.next_us

    def charge(self, now_us: int, *, scheduled: bool) -> FundingTime:
        """Note that funding is charged now. A scheduled one bears its due time and moves the next one on, past those missed."""
        done = FundingTime(self.next_us if scheduled else now_us, self.rate_e8, self.mark_e8)
        self.paid.append(done)
        if scheduled:
            self.next_us = self._after(now_us)
        return done

    def past(self, count: int, before_us: int) -> list[FundingTime]:
        """Invented fundings before the simulator started, oldest first, the newest one before that time."""
        if not self.funded:
            return []
        first = before_us // self.interval_us * self.interval_us
        rows = []
        for number in range(count, 0, -1):
            at_us = first - (number - 1) * self.interval_us
            drawn = zlib.crc32(f"{self._listing.symbol}:{at_us}".encode())
            price = self._listing.price_e8 * (9_900 + drawn % 200) // 10_000
            rows.append(FundingTime(at_us, 10_000 - drawn // 200 % 15_000, price))
        return rows

    def _after(self, now_us: int) -> int:
        return (now_us // self.interval_us + 1) * self.interval_us if self.interval_us else 0

    def __repr__(self) -> str:
        held = "" if self.held_e8 is None else " HELD"
        return f"<Marks {self._listing.symbol} mark={self.mark_e8 / SCALE:g}{held} index={self.index_e8 / SCALE:g}>"
