"""What follows what on a topic: keys that rise, values that are missing, and the questions that bring them back.

Pure: compares values, builds queries. It never asks them and never waits; the feed and the stream actor do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from connector.domain.market import AggTrade, BookDelta, Candle, OrderBook, Trade
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    HistoricalTradesQuery,
    MarkPricesQuery,
    Query,
    RecentTradesQuery,
    TickersQuery,
)
from connector.domain.topics import Topic, TopicKind
from connector.drivers.contract import Driver

__all__ = [
    "CONTINUITY",
    "OPAQUE_TRADES",
    "OPEN_END",
    "Missing",
    "TopicContinuity",
    "continuity_of",
    "following",
    "same_but_for_times",
    "unsettled",
]


NS_PER_MS = 1_000_000
OPEN_END = 2**63 - 1
"""The last of what is missing where nothing has come behind the hole yet."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Values between two that arrived.

    Attributes:
        first, last: ids, inclusive; open times in UTC nanoseconds for candles. `OPEN_END`: up to whatever is the newest.
        count: how many; None when only the venue can tell.
        query: the first page that brings them back; `following` makes the next from the answer.
    """

    first: int
    last: int
    count: int | None
    query: Query

    @property
    def is_open(self) -> bool:
        return self.last == OPEN_END


def _missing_trades(topic: Topic, last: Trade, new: Trade) -> Missing | None:
    if not isinstance(last.trade_id, int) or not isinstance(new.trade_id, int) or new.trade_id <= last.trade_id + 1:
        return None
    first = last.trade_id + 1
    return Missing(first, new.trade_id - 1, new.trade_id - first, HistoricalTradesQuery(topic.symbol, from_id=first))


def _missing_opaque_trades(topic: Topic, last: Trade, new: Trade) -> Missing | None:
    """Between two connections: whatever the venue's newest trades still show. How many there were cannot be known."""
    if last.sequence is None or new.sequence is None:
        return None
    return Missing(last.sequence, new.sequence, None, RecentTradesQuery(topic.symbol))


def _trades_since(topic: Topic, last: Trade) -> Missing | None:
    if not isinstance(last.trade_id, int):
        return None
    first = last.trade_id + 1
    return Missing(first, OPEN_END, None, HistoricalTradesQuery(topic.symbol, from_id=first))


def _opaque_trades_since(topic: Topic, last: Trade) -> Missing | None:
    if last.sequence is None:
        return None
    return Missing(last.sequence, OPEN_END, None, RecentTradesQuery(topic.symbol))


def _agg_trades_since(topic: Topic, last: AggTrade) -> Missing | None:
    first = last.agg_id + 1
    return Missing(first, OPEN_END, None, AggTradesQuery(topic.symbol, from_id=first))


def _missing_agg_trades(topic: Topic, last: AggTrade, new: AggTrade) -> Missing | None:
    first = last.agg_id + 1
    if new.agg_id <= first:
        return None
    return Missing(first, new.agg_id - 1, new.agg_id - first, AggTradesQuery(topic.symbol, from_id=first))


def _missing_candles(topic: Topic, last: Candle, new: Candle) -> Missing | None:
    """Closed candles between the two; the last one itself when it was never seen closed."""
    first = _next_open_ns(last) if last.closed else last.open_time_ns
    if new.open_time_ns <= last.open_time_ns or new.open_time_ns <= first:
        return None
    assert topic.interval is not None
    ends = new.open_time_ns - 1
    return Missing(first, ends, None, CandlesQuery(topic.symbol, topic.interval, start_ns=first, end_ns=ends))


def _next_open_ns(candle: Candle) -> int:
    """When the next candle opens: the millisecond after the last one that counts, which venues write in milliseconds."""
    return (candle.close_time_ns // NS_PER_MS + 1) * NS_PER_MS


def _book_update(seen: BookDelta | OrderBook) -> int:
    """The last update of what a book's stream brought last: a change, or a snapshot by itself."""
    return seen.update_id if isinstance(seen, OrderBook) else seen.last_update_id


def _candle_changed(seen: Candle, probed: Candle) -> bool:
    return probed.open_time_ns > seen.open_time_ns or (
        probed.open_time_ns == seen.open_time_ns and probed.volume > seen.volume
    )


@dataclass(frozen=True, slots=True)
class TopicContinuity:
    """The rules of one kind of topic.

    Attributes:
        key: rises with every new value; an equal or lower one is a duplicate. None: this value cannot be ordered.
        contiguous: keys rise by exactly one from value to value.
        distinct: tells values of an equal key apart; None where an equal key is the same value.
        missing: (topic, last, new) -> what lies between them; None when nothing does, or when it cannot be known.
        since: (topic, last) -> what may be missing behind the last value, before anything new has come; an open end. None: such
            values are fetched only when a new one shows the hole.
        after_loss: True where keys do not show a hole: what lies between is missing only when the stream was interrupted there.
        identity: (recovered value) -> its place in `Missing.first … last`.
        probe: the question whose answer shows whether a silent topic missed something; None where there is none, and silence
            is never suspicious.
        shows_newer: (last seen, answer) -> True when the venue has something that this topic should have sent.
    """

    key: Callable[[Any], int | None]
    probe: Callable[[Topic], Query] | None
    shows_newer: Callable[[Any, Any], bool]
    contiguous: bool = False
    distinct: Callable[[Any], Hashable] | None = None
    missing: Callable[[Topic, Any, Any], Missing | None] | None = None
    since: Callable[[Topic, Any], Missing | None] | None = None
    after_loss: bool = False
    identity: Callable[[Any], int] | None = None


CONTINUITY: dict[TopicKind, TopicContinuity] = {
    TopicKind.TRADES: TopicContinuity(
        key=lambda value: value.trade_id,
        contiguous=True,
        missing=_missing_trades,
        since=_trades_since,
        identity=lambda trade: int(trade.trade_id),
        # Aggregates tell the newest trade id at a sixth of the price of the trades call.
        probe=lambda topic: AggTradesQuery(topic.symbol, limit=1),
        shows_newer=lambda seen, answer: bool(answer) and answer[-1].last_trade_id > seen.trade_id,
    ),
    TopicKind.AGG_TRADES: TopicContinuity(
        key=lambda value: value.agg_id,
        contiguous=True,
        missing=_missing_agg_trades,
        since=_agg_trades_since,
        identity=lambda trade: int(trade.agg_id),
        probe=lambda topic: AggTradesQuery(topic.symbol, limit=1),
        shows_newer=lambda seen, answer: bool(answer) and answer[-1].agg_id > seen.agg_id,
    ),
    TopicKind.CANDLES: TopicContinuity(
        key=lambda value: value.event_time_ns,
        missing=_missing_candles,
        identity=lambda candle: int(candle.open_time_ns),
        probe=lambda topic: CandlesQuery(topic.symbol, topic.interval or "", limit=1),
        shows_newer=lambda seen, answer: bool(answer) and _candle_changed(seen, answer[-1]),
    ),
    TopicKind.TICKER: TopicContinuity(
        key=lambda value: value.event_time_ns,
        probe=lambda topic: TickersQuery((topic.symbol,)),
        # Not the trade count: it also falls as old trades leave the window.
        shows_newer=lambda seen, answer: (
            bool(answer) and (answer[-1].last, answer[-1].last_quantity) != (seen.last, seen.last_quantity)
        ),
    ),
    TopicKind.BOOK_TICKER: TopicContinuity(
        key=lambda value: value.update_id,
        probe=lambda topic: BookTickersQuery((topic.symbol,)),
        shows_newer=lambda seen, answer: bool(answer) and (answer[-1].bid, answer[-1].ask) != (seen.bid, seen.ask),
    ),
    TopicKind.PARTIAL_BOOK: TopicContinuity(
        key=lambda value: value.update_id,
        probe=lambda topic: DepthQuery(topic.symbol, limit=5),
        # Not the update id: it also rises by changes below the levels this topic sends.
        shows_newer=lambda seen, answer: (
            answer.update_id > seen.update_id and (answer.bids[:5], answer.asks[:5]) != (seen.bids[:5], seen.asks[:5])
        ),
    ),
    TopicKind.BOOK: TopicContinuity(
        key=lambda value: value.last_update_id,
        probe=lambda topic: DepthQuery(topic.symbol, limit=5),
        shows_newer=lambda seen, answer: answer.update_id > _book_update(seen),
    ),
    TopicKind.MARK_PRICE: TopicContinuity(
        key=lambda value: value.event_time_ns,
        probe=lambda topic: MarkPricesQuery((topic.symbol,)),
        shows_newer=lambda seen, answer: bool(answer) and answer[-1].mark != seen.mark,
    ),
    TopicKind.LIQUIDATIONS: TopicContinuity(
        key=lambda value: value.event_time_ns,
        distinct=lambda event: (event.side, event.price, event.quantity),
        probe=None,
        shows_newer=lambda seen, answer: False,
    ),
}


OPAQUE_TRADES = TopicContinuity(
    key=lambda value: value.sequence,
    distinct=attrgetter("trade_id"),
    missing=_missing_opaque_trades,
    since=_opaque_trades_since,
    after_loss=True,
    identity=attrgetter("sequence"),
    probe=lambda topic: RecentTradesQuery(topic.symbol, limit=1),
    shows_newer=lambda seen, answer: bool(answer) and (answer[-1].sequence or 0) > (seen.sequence or 0),
)
"""Trades whose ids say nothing: their sequence tells the order, several may share one, and no figure shows a hole."""


def continuity_of(driver: Driver, kind: TopicKind) -> TopicContinuity:
    """The rules of one kind of topic at one venue."""
    if kind is TopicKind.TRADES and driver.trade_ids == "opaque":
        return OPAQUE_TRADES
    return CONTINUITY[kind]


def following(missing: Missing, page: Sequence[Any]) -> Query | None:
    """The query for the page after this one; None when everything missing has been fetched or the venue has no more.

    What has an open end is one page: what that leaves missing shows when something newer is there.
    """
    if not page or missing.is_open:
        return None
    newest, query = page[-1], missing.query
    if isinstance(newest, Trade) and isinstance(newest.trade_id, int) and newest.trade_id < missing.last:
        return replace(query, from_id=newest.trade_id + 1)
    if isinstance(newest, AggTrade) and newest.agg_id < missing.last:
        return replace(query, from_id=newest.agg_id + 1)
    if isinstance(newest, Candle) and _next_open_ns(newest) <= missing.last:
        return replace(query, start_ns=_next_open_ns(newest))
    return None


def unsettled(missing: Missing, page: Sequence[Any]) -> Query | None:
    """The query for a missing candle that the venue could not call closed yet; None when everything fetched is final."""
    newest = page[-1] if page else None
    if isinstance(newest, Candle) and not newest.closed and missing.first <= newest.open_time_ns <= missing.last:
        return replace(missing.query, start_ns=newest.open_time_ns)
    return None


def same_but_for_times(one: Any, other: Any) -> bool:
    """Whether two answers to the same question tell the same, whenever they were given."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same_but_for_times, one, other))
    return bool(replace(one, event_time_ns=None, received_ns=0) == replace(other, event_time_ns=None, received_ns=0))
