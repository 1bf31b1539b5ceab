"""Market data as immutable values. Made by drivers from the wire's text, never through a float; compared by value.

Every value names its venue and symbol and carries two times: `event_time_ns`, what the venue wrote (None where the venue
writes none, as on some best-price streams), and `received_ns`, what our clock read when the bytes arrived.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from connector.domain.symbols import Symbol
from connector.domain.times import datetime_from_ns

__all__ = [
    "AggTrade",
    "BookDelta",
    "BookState",
    "BookTicker",
    "BookUpdate",
    "Candle",
    "Freshness",
    "FundingRate",
    "Gap",
    "Level",
    "Liquidation",
    "MarkPrice",
    "MarketEvent",
    "OpenInterest",
    "OrderBook",
    "Price",
    "RawLevel",
    "Side",
    "Ticker",
    "Trade",
]

Level = tuple[Decimal, Decimal]
RawLevel = Level | tuple[str, str] | list[str]
"""A level as the wire wrote it, or as numbers where a driver had to reckon. What it says has not been looked at yet."""


class Side(enum.Enum):
    """BUY lifts asks, SELL hits bids. On a public trade: the side of the taker."""

    BUY = "buy"
    SELL = "sell"


class _Timed(msgspec.Struct, frozen=True, gc=False):  # none can be in a cycle, and there are millions
    venue: str
    symbol: Symbol
    event_time_ns: int | None
    received_ns: int

    @property
    def time(self) -> datetime:
        """The venue's time, or ours where the venue wrote none, as an aware UTC datetime."""
        return datetime_from_ns(self.received_ns if self.event_time_ns is None else self.event_time_ns)


class Trade(_Timed, frozen=True):
    """One public trade.

    Attributes:
        trade_id: as the venue counts, rising by one per symbol where it is an int.
        quantity: in base units.
        side: the taker's side.
        recovered: True when it was fetched after an outage instead of seen live.
        contracts: as the venue counts them; None where it trades in base units.
        sequence: rises with time where `trade_id` does not say what follows what, several trades may share one; else None.
    """

    trade_id: int | str
    price: Decimal
    quantity: Decimal
    side: Side
    recovered: bool = False
    contracts: Decimal | None = None
    sequence: int | None = None


class AggTrade(_Timed, frozen=True):
    """Trades of one taker order at one price, added up by the venue. `first_trade_id`..`last_trade_id` inclusive."""

    agg_id: int
    price: Decimal
    quantity: Decimal
    side: Side
    first_trade_id: int
    last_trade_id: int
    recovered: bool = False
    contracts: Decimal | None = None


class Ticker(_Timed, frozen=True):
    """Statistics of the last 24 hours.

    Fields every venue gives in some form; `price_change` and the rest are None where a venue has none.

    Attributes:
        bid, bid_quantity, ask, ask_quantity: None where the venue's statistics come without best prices.
        mark, index, funding_rate, next_funding_ns: as of `MarkPrice`, on contracts whose venue tells them here.
    """

    last: Decimal
    bid: Decimal | None
    bid_quantity: Decimal | None
    ask: Decimal | None
    ask_quantity: Decimal | None
    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    quote_volume: Decimal
    last_quantity: Decimal | None = None
    weighted_average: Decimal | None = None
    price_change: Decimal | None = None
    price_change_percent: Decimal | None = None
    trade_count: int | None = None
    open_time_ns: int | None = None
    close_time_ns: int | None = None
    mark: Decimal | None = None
    index: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ns: int | None = None


class BookTicker(_Timed, frozen=True):
    """Best bid and ask. `update_id` counts as the book does; None where the venue gives none."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    update_id: int | None = None


class Price(_Timed, frozen=True):
    """Last traded price, as the price endpoints tell it."""

    last: Decimal


class MarkPrice(_Timed, frozen=True):
    """What positions of a contract are valued at, and the funding that goes with it.

    Attributes:
        index: the price of what the contract is on; None where the venue does not tell it here.
        funding_rate: of the next payment, as a part of the position's value: longs pay it when positive. None on dated contracts.
        next_funding_ns: when it is paid; None on dated contracts.
    """

    mark: Decimal
    index: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ns: int | None = None


class FundingRate(_Timed, frozen=True):
    """One funding payment that has happened: `event_time_ns` is its time. `mark`: None where the venue does not tell it."""

    rate: Decimal
    mark: Decimal | None = None


class Liquidation(_Timed, frozen=True):
    """A position of somebody closed by the venue. Venues leave some out when there are many.

    Attributes:
        side: of the closing order: SELL closed a long position.
        quantity: base units; contracts beside it where the venue counts them.
    """

    side: Side
    price: Decimal
    quantity: Decimal
    contracts: Decimal | None = None


class OpenInterest(_Timed, frozen=True):
    """What is held in a contract, one side of it: base units, None where only contracts can be told."""

    quantity: Decimal | None
    contracts: Decimal | None = None


class Candle(_Timed, frozen=True):
    """One candle. Only `closed` ones never change again.

    Attributes:
        interval: e.g. "1m", "1h", "1d", "1M"; case matters.
        open_time_ns, close_time_ns: first and last nanosecond that count, both inclusive as venues write them (…999 ms).
    """

    interval: str
    open_time_ns: int
    close_time_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    closed: bool
    quote_volume: Decimal | None = None
    trade_count: int | None = None
    taker_buy_volume: Decimal | None = None
    taker_buy_quote_volume: Decimal | None = None
    recovered: bool = False


class BookDelta(_Timed, frozen=True):
    """Changes of an order book: absolute quantities, zero removes the level.

    Attributes:
        first_update_id, last_update_id: the range of updates it covers, inclusive.
        bids, asks: (price, quantity), as text for the most part; the book makes numbers of them when they are read.
        previous_update_id: last id of the delta before, on venues that link deltas that way; None elsewhere.
    """

    first_update_id: int
    last_update_id: int
    bids: Sequence[RawLevel]
    asks: Sequence[RawLevel]
    previous_update_id: int | None = None


class BookState(enum.Enum):
    """SYNCING waits for a snapshot; VALID equals the venue's book at its update id; INVALID was seen to be wrong."""

    SYNCING = "syncing"
    VALID = "valid"
    INVALID = "invalid"


class OrderBook(_Timed, frozen=True):
    """A copy of a book at one update, best level first. Made by a snapshot call, a partial-depth frame, or a valid book.

    Attributes:
        update_id: the venue's last update in it.
        bids, asks: (price, quantity in base units), at most as many levels as were asked for.
    """

    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def best_bid(self) -> Level | None:
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        return self.asks[0] if self.asks else None


class BookUpdate(_Timed, frozen=True):
    """What subscribers of a full book are handed after each change: its state and its top. Depth is read from the book.

    Attributes:
        update_id: the venue's last update in it; None while it is not valid.
        best_bid, best_ask: None while it is not valid, or while that side is empty.
        reason: why it is not valid, in words; "" when it is.
    """

    state: BookState
    update_id: int | None
    best_bid: Level | None
    best_ask: Level | None
    reason: str = ""


class Freshness(msgspec.Struct, frozen=True):
    """How far an answer can be trusted to be now.

    Attributes:
        stale: True when the value may be wrong by now.
        age_s: seconds since the bytes behind it arrived; None when nothing ever did.
        reason: why it is stale, in words; "" when it is not.
    """

    stale: bool
    age_s: float | None
    reason: str = ""


class Gap(msgspec.Struct, frozen=True):
    """Part of a stream that was not delivered, or was delivered late by REST.

    Attributes:
        topic: as text, e.g. "trades BTC/USDT".
        first_missing, last_missing: venue ids, inclusive; None where the stream has none.
        missing: how many; None when that cannot be known.
        began_ns, ended_ns: our clock, last value before and first value after.
        filled: how many of the missing were fetched afterwards and delivered marked `recovered`.
        reason: "connection lost", "consumer too slow", …
    """

    venue: str
    topic: str
    began_ns: int
    ended_ns: int
    reason: str
    first_missing: int | None = None
    last_missing: int | None = None
    missing: int | None = None
    filled: int = 0


MarketEvent = (
    Trade | AggTrade | Ticker | BookTicker | Candle | BookDelta | BookUpdate | OrderBook | MarkPrice | Liquidation
)
