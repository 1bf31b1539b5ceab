"""One symbol of the live exchange: its book, its trades, its candles, and the whole truth about all three.

Everything that happens goes through `apply`: the engine's outcome becomes trades (with ids and times), candles, and a record
from which the book at any update id can be rebuilt exactly. Pure: time comes in as an argument, nothing is sent.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from connector.matching import LevelChange, MatchingEngine, Outcome, Side
from connector.simulator.candles import Bar, Candles, bucket_start
from connector.simulator.history import FIRST_LIVE_AGG, FIRST_LIVE_TRADE, Past, Trade
from connector.simulator.instruments import SCALE, Listing, text_e8
from connector.simulator.marks import Marks

__all__ = ["Aggregate", "BookLog", "Level", "Market", "aggregate_trades"]

Level = tuple[int, int]
"""(price in ticks, quantity in lots)."""

FIRST_UPDATE = 40_000_000_001


class Aggregate(msgspec.Struct, frozen=True, gc=False):
    """Trades of one taker order at one price, as one: ids first to last, time of the first in UTC microseconds."""

    agg_id: int
    price: int
    quantity: int
    first_id: int
    last_id: int
    time_us: int
    buyer_is_maker: bool


def aggregate_trades(trades: Sequence[Trade]) -> list[Aggregate]:
    """Join neighbours with the same aggregate id."""
    joined: list[Aggregate] = []
    start = 0
    for end in range(1, len(trades) + 1):
        if end == len(trades) or trades[end].agg_id != trades[start].agg_id:
            first = trades[start]
            quantity = sum(trade.quantity for trade in trades[start:end])
            last_id = trades[end - 1].trade_id
            joined.append(
                Aggregate(
                    first.agg_id, first.price, quantity, first.trade_id, last_id, first.time_us, first.buyer_is_maker
                )
            )
            start = end
    return joined


class BookLog:
    """Every change of one book, with a full copy every few thousand changes, so that any past state can be rebuilt."""

    def __init__(self, changes_per_copy: int = 4_096, copies: int = 512) -> None:
        self._changes_per_copy, self._copies = changes_per_copy, copies
        self._firsts: list[int] = []
        self._starts: list[tuple[list[Level], list[Level]]] = []
        self._prices: list[array[int]] = []  # bids as they are, asks negative
        self._quantities: list[array[int]] = []

    def prepare(self, engine: MatchingEngine) -> None:
        """Take a full copy when one is due; called before each operation, so that a copy never falls inside one."""
        if self._firsts and len(self._prices[-1]) < self._changes_per_copy:
            return
        self._firsts.append(engine.update_id + 1)
        self._starts.append((engine.bids(), engine.asks()))
        self._prices.append(array("q"))
        self._quantities.append(array("q"))
        if len(self._firsts) > self._copies:
            del self._firsts[0], self._starts[0], self._prices[0], self._quantities[0]

    def record(self, changes: Sequence[LevelChange]) -> None:
        """Keep the changes of one operation."""
        prices, quantities = self._prices[-1], self._quantities[-1]
        for change in changes:
            prices.append(change.price if change.side is Side.BUY else -change.price)
            quantities.append(change.quantity)

    @property
    def first_id(self) -> int:
        """The oldest update id `at` still answers."""
        return self._firsts[0] - 1 if self._firsts else 0

    def at(self, update_id: int) -> tuple[list[Level], list[Level]]:
        """The book right after that change, best levels first.

        Raises:
            LookupError: the change lies in the future, or so far back that it is forgotten.
        """
        chunk = bisect_right(self._firsts, update_id + 1) - 1
        last = self._firsts[-1] + len(self._prices[-1]) - 1 if self._firsts else 0
        if chunk < 0 or update_id > last:
            raise LookupError(f"no book at update {update_id}: the log holds {self.first_id} to {last}")
        bids, asks = (dict(levels) for levels in self._starts[chunk])
        count = update_id - self._firsts[chunk] + 1
        for price, quantity in zip(self._prices[chunk][:count], self._quantities[chunk][:count], strict=True):
            side, key = (bids, price) if price > 0 else (asks, -price)
            if quantity:
                side[key] = quantity
            else:
                side.pop(key, None)
        return sorted(bids.items(), reverse=True), sorted(asks.items())


class Market:
    """One listed symbol and everything true about it."""

    def __init__(self, listing: Listing, seed: int, now_us: int, keep: int, deep: bool = False) -> None:
        self.listing = listing
        self.symbol = listing.symbol
        self.status = "TRADING"
        self.engine = MatchingEngine(1, FIRST_LIVE_TRADE, FIRST_UPDATE)
        self.log = BookLog()
        self.past = Past(listing, seed, now_us // 1000)
        self.price = listing.price_e8 // listing.tick_e8
        self.candles = Candles(now_us // 1000, self.price)
        self.marks = Marks(listing, now_us)
        """Mark and index price; followed for contracts only."""
        self.trades: list[Trade] = []
        self._next_agg = FIRST_LIVE_AGG
        self._keep, self._deep = keep, deep
        self.dropped_trades = 0
        self._price_texts: dict[int, str] = {}
        self._size_texts: dict[int, str] = {}
        self._day: tuple[int, Bar, int] | None = None
        self._last_us = 0

    # what happens

    def apply(self, outcome: Outcome, now_us: int) -> list[Trade]:
        """Take an outcome of this market's engine as fact. Returns its trades."""
        self.log.record(outcome.changes)
        if self.listing.is_contract:
            self._mark(now_us)
        if not outcome.fills:
            return []
        trades = []
        price = 0
        now_us = self._last_us = max(now_us, self._last_us)  # a clock stepped back must not unsort the trades
        for fill in outcome.fills:
            if price and fill.price != price:
                self._next_agg += 1
            price = fill.price
            bought = fill.taker_side is Side.BUY
            trades.append(Trade(fill.trade_id, self._next_agg, price, fill.quantity, now_us, not bought))
            self.candles.trade(now_us // 1000, fill.trade_id, price, fill.quantity, bought)
        self._next_agg += 1
        self.price = price
        self.trades += trades
        if len(self.trades) > self._keep + self._keep // 8:
            excess = len(self.trades) - self._keep
            self.dropped_trades += excess
            del self.trades[:excess]
        return trades

    def _mark(self, now_us: int) -> None:
        bid, ask = self.engine.best_bid, self.engine.best_ask
        if bid is not None and ask is not None:
            self.marks.saw((bid + ask) * self.listing.tick_e8 // 2, now_us)

    # what can be asked

    @property
    def update_id(self) -> int:
        """Id of the last change of the book."""
        return self.engine.update_id

    def recent(self, limit: int) -> list[Trade]:
        """The newest trades, oldest first; the invented past fills up what the live market has not traded yet."""
        if len(self.trades) >= limit:
            return self.trades[-limit:]
        return self._all_trades()[-limit:]

    def trades_from(self, trade_id: int, limit: int) -> list[Trade]:
        """Trades with that id or a later one, oldest first."""
        trades = self.trades if self.trades and trade_id >= self.trades[0].trade_id else self._all_trades()
        first = bisect_left(trades, trade_id, key=lambda trade: trade.trade_id)
        return trades[first : first + limit]

    def aggregates(
        self, limit: int, agg_id: int | None = None, since_us: int | None = None, until_us: int | None = None
    ) -> list[Aggregate]:
        """Aggregate trades, oldest first: from an id, in a time span (both ends included), or the newest."""
        trades = self._all_trades()
        if agg_id is not None:
            first = bisect_left(trades, agg_id, key=lambda trade: trade.agg_id)
            return aggregate_trades(trades[first : first + limit * 8])[:limit]
        lower = bisect_left(trades, since_us, key=lambda t: t.time_us) if since_us is not None else 0
        upper = bisect_right(trades, until_us, key=lambda t: t.time_us) if until_us is not None else len(trades)
        if since_us is not None:
            return aggregate_trades(trades[lower:upper])[:limit]
        return aggregate_trades(trades[max(lower, upper - limit * 8) : upper])[-limit:]

    def bars(self, interval: str) -> list[Bar]:
        """Candles, oldest first, the open one last; past and present joined."""
        return self._joined(self.past.bars(interval), self.candles.bars(interval))

    def bars_since(self, interval: str, since_ms: int, limit: int) -> list[Bar]:
        """As `bars`; of a deep market at least the first `limit` from then on, however long ago, and perhaps not the next."""
        bars = self.bars(interval)
        if not self._deep or since_ms >= bars[0].start:
            return bars
        older = self.past.older(interval, since_ms, limit)
        return [*older, *bars[1:]] if older else bars

    def _joined(self, past: list[Bar], live: list[Bar]) -> list[Bar]:
        if past and live and past[-1].start == live[0].start:
            joint = past[-1].copy()
            joint.merge(live[0])
            return [*past[:-1], joint, *live[1:]]
        return [*past, *live]

    def bar(self, interval: str) -> Bar:
        """The open candle."""
        return self.with_past(interval, self.candles.current(interval))

    def with_past(self, interval: str, bar: Bar) -> Bar:
        """A candle since the start, with what was traded before the start if it had begun by then."""
        if bar.start < self.candles.started_ms:
            past = self.past.bars(interval)
            if past and past[-1].start == bar.start:
                joint = past[-1].copy()
                joint.merge(bar)
                return joint
        return bar

    def window(self, since_ms: int) -> tuple[Bar, int]:
        """All trading since the start of that minute as one bar, and the price just before it."""
        minute = bucket_start("1m", since_ms)
        bars = self._joined(self.past.minutes(minute - 60_000), self.candles.bars("1m"))
        first = bisect_left(bars, minute, key=lambda bar: bar.start)
        before = bars[first - 1].close if first else bars[0].open
        total = Bar(minute, before)
        for bar in bars[first:]:
            total.merge(bar)
        return total, before

    def day(self, now_ms: int) -> tuple[Bar, int]:
        """The last 24 hours, to the minute, as one bar, and the price just before. Sums up once a minute."""
        current = self.candles.current("1m")
        if self._day is None or self._day[0] != current.start:
            minute = bucket_start("1m", now_ms - 86_400_000)
            past, live = self.past.minutes(minute - 60_000), self.candles.bars("1m")[:-1]
            bars = self._joined(past, live)  # all but the minute still open
            first = bisect_left(bars, minute, key=lambda bar: bar.start)
            before = bars[first - 1].close if first else bars[0].open
            closed = Bar(minute, before)
            for bar in bars[first:]:
                closed.merge(bar)
            self._day = (current.start, closed, before)
        _, closed, before = self._day
        total = closed.copy()
        total.merge(current)
        return total, before

    def price_text(self, ticks: int) -> str:
        """A price as the venue prints it."""
        text = self._price_texts.get(ticks)
        if text is None:
            if len(self._price_texts) > 50_000:
                self._price_texts.clear()
            text = self._price_texts[ticks] = text_e8(ticks * self.listing.tick_e8)
        return text

    def size_text(self, lots: int) -> str:
        """A quantity as the venue prints it."""
        text = self._size_texts.get(lots)
        if text is None:
            if len(self._size_texts) > 50_000:
                self._size_texts.clear()
            text = self._size_texts[lots] = text_e8(lots * self.listing.step_e8)
        return text

    def quote_text(self, quote: int) -> str:
        """Ticks times lots as the venue prints an amount of the quote asset."""
        return text_e8(quote * self.listing.tick_e8 * self.listing.step_e8 // SCALE)

    def __repr__(self) -> str:
        return (
            f"<Market {self.symbol} {self.status} bid={self.engine.best_bid} ask={self.engine.best_ask} "
            f"trades={len(self.trades) + self.dropped_trades} u={self.update_id}>"
        )

    def _all_trades(self) -> list[Trade]:
        return self.past.trades() + self.trades
