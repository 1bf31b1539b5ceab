"""What can be listened to. A topic is a value: equal topics share one venue subscription."""

from __future__ import annotations

import enum

import msgspec

from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest

__all__ = ["Topic", "TopicKind"]


class TopicKind(enum.Enum):
    """Which values a topic delivers."""

    TRADES = "trades"  # Trade
    AGG_TRADES = "agg_trades"  # AggTrade
    CANDLES = "candles"  # Candle, open and closed
    TICKER = "ticker"  # Ticker
    BOOK_TICKER = "book_ticker"  # BookTicker
    PARTIAL_BOOK = "partial_book"  # OrderBook of a few levels, whole each time
    BOOK = "book"  # BookDelta applied to a full book kept here; subscribers are handed the live book
    MARK_PRICE = "mark_price"  # MarkPrice, contracts only
    LIQUIDATIONS = "liquidations"  # Liquidation, contracts only


class Topic(msgspec.Struct, frozen=True, order=False):
    """One stream of one instrument.

    Attributes:
        interval: candles only, e.g. "1m".
        depth: levels a side: of a partial book; of a full book where the venue offers a choice, None taking its deepest.
        speed_ms: how often the venue sends, where it offers a choice; None takes the fastest.
    """

    kind: TopicKind
    symbol: Symbol
    interval: str | None = None
    depth: int | None = None
    speed_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.kind is TopicKind.CANDLES) != (self.interval is not None):
            raise InvalidRequest(f"{self.kind.value}: an interval goes with candles, and only with them.")
        if self.depth is None and self.kind is TopicKind.PARTIAL_BOOK:
            raise InvalidRequest("partial_book: a partial book has a depth, e.g. depth=20.")
        if self.depth is not None and self.kind not in (TopicKind.PARTIAL_BOOK, TopicKind.BOOK):
            raise InvalidRequest(f"{self.kind.value}: a depth goes with books, and only with them.")

    def __str__(self) -> str:
        extra = "".join(f" {part}" for part in (self.interval, self.depth) if part is not None)
        speed = f" @{self.speed_ms}ms" if self.speed_ms is not None else ""
        return f"{self.kind.value} {self.symbol}{extra}{speed}"
