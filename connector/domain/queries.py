"""Questions a venue can be asked without an account. Frozen messages: send them to a venue with `ask`.

Each names what its answer is. Ranges are UTC nanoseconds, `start_ns` and `end_ns` inclusive; None leaves a side open.
`limit` None takes the venue's own maximum for one page; paging over more is the work of the caller, or of `connector.history`.
"""

from __future__ import annotations

import msgspec

from connector.domain.symbols import Symbol

__all__ = [
    "AggTradesQuery",
    "BookTickersQuery",
    "CandlesQuery",
    "DepthQuery",
    "FundingRatesQuery",
    "HistoricalTradesQuery",
    "InstrumentsQuery",
    "MarkPricesQuery",
    "OpenInterestQuery",
    "PricesQuery",
    "Query",
    "RecentTradesQuery",
    "ServerTimeQuery",
    "TickersQuery",
]


class ServerTimeQuery(msgspec.Struct, frozen=True):
    """Answer: the venue's clock, UTC nanoseconds, int."""


class InstrumentsQuery(msgspec.Struct, frozen=True):
    """Answer: VenueInfo (in `drivers.contract`): instruments and request limits."""


class CandlesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[Candle, ...], oldest first. The last one may still be open (`closed` False)."""

    symbol: Symbol
    interval: str
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None


class RecentTradesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[Trade, ...], the newest `limit`, oldest first."""

    symbol: Symbol
    limit: int | None = None


class HistoricalTradesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[Trade, ...] from `from_id` on, inclusive; the newest when None. Oldest first."""

    symbol: Symbol
    from_id: int | None = None
    limit: int | None = None


class AggTradesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[AggTrade, ...], oldest first, by aggregate id or by time."""

    symbol: Symbol
    from_id: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None


class DepthQuery(msgspec.Struct, frozen=True):
    """Answer: OrderBook with up to `limit` levels a side."""

    symbol: Symbol
    limit: int | None = None


class TickersQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[Ticker, ...], in the order asked; every instrument when `symbols` is empty."""

    symbols: tuple[Symbol, ...] = ()


class BookTickersQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[BookTicker, ...]; every instrument when `symbols` is empty."""

    symbols: tuple[Symbol, ...] = ()


class PricesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[Price, ...]; every instrument when `symbols` is empty."""

    symbols: tuple[Symbol, ...] = ()


class MarkPricesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[MarkPrice, ...], in the order asked; every contract when `symbols` is empty."""

    symbols: tuple[Symbol, ...] = ()


class FundingRatesQuery(msgspec.Struct, frozen=True):
    """Answer: tuple[FundingRate, ...]: payments that have happened, oldest first; the newest when no time is given."""

    symbol: Symbol
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None


class OpenInterestQuery(msgspec.Struct, frozen=True):
    """Answer: OpenInterest."""

    symbol: Symbol


Query = (
    ServerTimeQuery
    | InstrumentsQuery
    | CandlesQuery
    | RecentTradesQuery
    | HistoricalTradesQuery
    | AggTradesQuery
    | DepthQuery
    | TickersQuery
    | BookTickersQuery
    | PricesQuery
    | MarkPricesQuery
    | FundingRatesQuery
    | OpenInterestQuery
)
