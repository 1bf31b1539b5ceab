"""Invent the past of a market, backwards from its first live price, as far as somebody asks.

The last half hour is made of trades, and its one-second candles are those trades added up. Before it the past is made of
coarser and coarser steps (minutes for a week, then quarter hours ... then days), so that every interval up to a day has at
least 2,000 closed candles and longer ones have as many as fit since the listing, 2,100 days ago. All intervals are sums of
the same steps and therefore agree. Trade ids run on without holes from the oldest step to the first live trade.

`older` splits long steps into shorter candles on demand, each step by a seed of its own, so that every interval reaches back to
the listing and nothing is kept. The pieces of a step add up to it, at every length.

Pure: the same seed, symbol, start time and price give the same past, whatever was asked before. Integers only.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec

from connector.simulator.candles import INTERVALS, Bar, aggregate, bucket_start
from connector.simulator.instruments import SCALE, Listing

__all__ = ["FIRST_LIVE_AGG", "FIRST_LIVE_TRADE", "Past", "Trade", "split"]

FIRST_LIVE_TRADE = 1_000_000_000
FIRST_LIVE_AGG = 800_000_000

_TRADES_MS = 2_100_000
_DAY = 86_400_000
# (step in ms, reaching back to this age in ms), youngest first; each step divides the next.
# The first is all that the ticker of a day needs.
_STAGES = (
    (60_000, int(1.05 * _DAY)),
    (60_000, int(7.3 * _DAY)),
    (900_000, int(21.5 * _DAY)),
    (1_800_000, int(42.5 * _DAY)),
    (3_600_000, int(84.5 * _DAY)),
    (7_200_000, 505 * _DAY),
    (14_400_000, 1_005 * _DAY),
    (86_400_000, 2_100 * _DAY),
)
_SIZES = tuple(sorted({step for step, _ in _STAGES}, reverse=True))


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade of the simulated exchange: price in ticks, quantity in lots, time in UTC microseconds."""

    trade_id: int
    agg_id: int
    price: int
    quantity: int
    time_us: int
    buyer_is_maker: bool


class Past:
    """Trades and candles of one symbol before the simulator started."""

    def __init__(self, listing: Listing, seed: int, start_ms: int) -> None:
        self._name = f"{seed}:{listing.symbol}"
        self._rng = random.Random(f"{self._name}:past")
        self._start_ms = start_ms // 1000 * 1000
        self._price = listing.price_e8 // listing.tick_e8
        self._floor = max(2, self._price // 20)
        # About 200 units of the quote asset a trade.
        self._lots = max(1, 200 * SCALE * SCALE // listing.lot_worth_e16)
        self._next_id = FIRST_LIVE_TRADE - 1
        self._reached = self._start_ms
        self._stages: list[list[Bar]] = []
        self._bars: dict[str, list[Bar]] = {}
        self._day: list[Bar] | None = None
        self._trades: list[Trade] = []

    def trades(self) -> list[Trade]:
        """The newest trades before the start, oldest first."""
        self._reach(0)
        return self._trades

    def bars(self, interval: str) -> list[Bar]:
        """Candles of one interval, oldest first; the last may still have been open when the simulator started."""
        known = self._bars.get(interval)
        if known is None:
            length = INTERVALS[interval] or _DAY
            reach = max((n + 1 for n, (step, _) in enumerate(_STAGES) if length % step == 0), default=0)
            self._reach(reach)
            steps = [bar for stage in reversed(self._stages[: reach + 1]) for bar in stage]
            known = self._bars[interval] = aggregate(steps, interval)
        return known

    def older(self, interval: str, since_ms: int, limit: int) -> list[Bar]:
        """The first `limit` candles that open at or after `since_ms` and before the second of `bars`, oldest first.

        Empty when there is nothing shorter to be had: for seconds, and from a day on.
        """
        length = INTERVALS[interval]
        if not _SIZES[-1] <= length < _DAY:
            return []
        known = self.bars(interval)
        self._reach(len(_STAGES))
        base = next(size for size in _SIZES if length % size == 0)
        first = max(bucket_start(interval, since_ms - 1) + length, self._reached)
        end = min(first + limit * length, known[1].start)
        return aggregate(self._fine(first, end, base), interval)

    def _fine(self, first: int, end: int, base: int) -> Iterator[Bar]:
        """Steps no longer than `base` from one time up to another, both of them borders of such steps."""
        sizes = (*reversed([step for step, _ in _STAGES]), 1_000)
        for size, stage in zip(sizes, reversed(self._stages), strict=True):
            at = bisect_right(stage, first, key=lambda bar: bar.start) - 1
            for bar in stage[max(0, at) :]:
                if bar.start >= end:
                    return
                if bar.start + size > first:
                    yield from self._split(bar, size, first, end, base)

    def _split(self, bar: Bar, size: int, first: int, end: int, base: int) -> Iterator[Bar]:
        """The pieces of a step, and of its pieces, down to `base`; only those that lie between two times."""
        if size <= base:
            yield bar
            return
        piece = next(other for other in _SIZES if other < size)
        rng = random.Random(f"{self._name}:{size}:{bar.start}")
        for part in split(bar, size // piece, piece, rng):
            if first < part.start + piece and part.start < end:
                yield from self._split(part, piece, first, end, base)

    def minutes(self, since_ms: int) -> list[Bar]:
        """One-minute candles from that time on at least; cheaper than all of them when it is within a day."""
        if "1m" in self._bars or since_ms < self._start_ms - _STAGES[0][1]:
            return self.bars("1m")
        if self._day is None:
            self._reach(1)
            self._day = aggregate([*self._stages[1], *self._stages[0]], "1m")
        return self._day

    def _reach(self, stage: int) -> None:
        """Make the steps up to that stage; 0 is the trades."""
        while len(self._stages) <= stage:
            self._stages.append(self._walk(len(self._stages) - 1) if self._stages else self._trade_back())

    def _trade_back(self) -> list[Bar]:
        rng, lots = self._rng, self._lots
        first_ms = (self._start_ms - _TRADES_MS) // 60_000 * 60_000
        at_us, backwards = self._start_ms * 1000, []
        agg_id = FIRST_LIVE_AGG - 1
        while (at_us := at_us - rng.randrange(20_000, 700_000)) >= first_ms * 1000:
            quantity = 1 + rng.randrange(lots) * rng.randrange(1, 4)
            sold = rng.random() < 0.5
            backwards.append(Trade(self._next_id, agg_id, self._price, quantity, at_us, sold))
            self._next_id -= 1
            agg_id -= 1
            self._step(1)
        self._trades = backwards[::-1]
        bars: list[Bar] = []
        price = self._trades[0].price if self._trades else self._price
        trades = iter(self._trades)
        trade = next(trades, None)
        for start in range(first_ms, self._start_ms, 1000):
            bar = Bar(start, price)
            while trade is not None and trade.time_us < (start + 1000) * 1000:
                bar.trade(trade.trade_id, trade.price, trade.quantity, not trade.buyer_is_maker)
                trade = next(trades, None)
            price = bar.close
            bars.append(bar)
        self._reached = first_ms
        return bars

    def _walk(self, stage: int) -> list[Bar]:
        """Make the bars of one stage from where the younger one ended, backwards."""
        rng = self._rng
        step_ms, age_ms = _STAGES[stage]
        coarser = _STAGES[stage + 1][0] if stage + 1 < len(_STAGES) else step_ms
        end = (self._start_ms - age_ms) // coarser * coarser
        seconds = step_ms // 1000
        backwards = []
        for start in range(self._reached - step_ms, end - 1, -step_ms):
            close = self._price
            self._step(seconds)
            bar = Bar(start, self._price)
            spread = abs(close - bar.open) // 2 + 1
            bar.close = close
            bar.high = max(bar.open, close) + rng.randrange(spread + 1)
            bar.low = max(1, min(bar.open, close) - rng.randrange(spread + 1))
            bar.count = seconds * 2 + rng.randrange(seconds)
            bar.last_id = self._next_id
            bar.first_id = self._next_id - bar.count + 1
            self._next_id -= bar.count
            bar.volume = bar.count * self._lots + rng.randrange(self._lots * seconds)
            middle = (bar.open + bar.close + bar.high + bar.low) // 4
            bar.quote = bar.volume * middle
            bar.buy = bar.volume * rng.randrange(35, 66) // 100
            bar.buy_quote = bar.buy * middle
            backwards.append(bar)
        self._reached = end
        return backwards[::-1]

    def _step(self, seconds: int) -> None:
        """Move the price one random step whose size grows with the root of the time: about 1.5 % a day."""
        reach = self._price * int(seconds**0.5 * 1000) // 12_000_000 + 1
        moved = self._price + self._rng.randrange(-reach, reach + 1)
        self._price = moved if moved > self._floor else 2 * self._floor - moved + 1


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """A whole number cut into parts of about these weights that add up to it; none exceeds its weight if the total does not."""
    whole = sum(weights) or 1
    borders = [total * reached // whole for reached in accumulate(weights, initial=0)]
    return [after - before for before, after in pairwise(borders)]


def split(bar: Bar, pieces: int, piece_ms: int, rng: random.Random) -> list[Bar]:
    """Cut a candle into shorter ones that add up to it exactly: prices, volumes, quote amounts, counts and ids."""
    wander = (bar.high - bar.low) // 3 + 1
    path = [bar.open]
    for number in range(1, pieces):
        straight = bar.open + (bar.close - bar.open) * number // pieces
        path.append(min(bar.high, max(bar.low, straight + rng.randrange(-wander, wander + 1))))
    path.append(bar.close)
    weights = [rng.randrange(50, 151) for _ in range(pieces)]
    counts, volumes, buys = (_shares(total, weights) for total in (bar.count, bar.volume, bar.buy))
    parts, next_id = [], bar.first_id
    highest, lowest = rng.randrange(pieces), rng.randrange(pieces)
    for number in range(pieces):
        part = Bar(bar.start + number * piece_ms, path[number])
        part.close = path[number + 1]
        reach = abs(part.close - part.open) // 2 + 1
        top, bottom = max(part.open, part.close), min(part.open, part.close)
        part.high = bar.high if number == highest else min(bar.high, top + rng.randrange(reach + 1))
        part.low = bar.low if number == lowest else max(bar.low, bottom - rng.randrange(reach + 1))
        part.count, part.volume, part.buy = counts[number], volumes[number], buys[number]
        if part.count:
            part.first_id, part.last_id = next_id, next_id + part.count - 1
            next_id += part.count
        parts.append(part)
    for part in parts:  # a piece trades between its low and its high: widen pieces until all that was paid fits in
        if _fits(bar.quote, parts, volumes) and _fits(bar.buy_quote, parts, buys):
            break
        part.high, part.low = bar.high, bar.low
    for part, paid, paid_by_buyers in zip(
        parts, _paid(bar.quote, parts, volumes), _paid(bar.buy_quote, parts, buys), strict=True
    ):
        part.quote, part.buy_quote = paid, paid_by_buyers
    return parts


def _fits(quote: int, parts: Sequence[Bar], volumes: Sequence[int]) -> bool:
    lowest = sum(part.low * volume for part, volume in zip(parts, volumes, strict=True))
    return lowest <= quote <= sum(part.high * volume for part, volume in zip(parts, volumes, strict=True))


def _paid(quote: int, parts: Sequence[Bar], volumes: Sequence[int]) -> list[int]:
    """What was paid in each piece, so that its average price lies between its low and its high."""
    least = [part.low * volume for part, volume in zip(parts, volumes, strict=True)]
    room = [(part.high - part.low) * volume for part, volume in zip(parts, volumes, strict=True)]
    return [low + more for low, more in zip(least, _shares(quote - sum(least), room), strict=True)]
