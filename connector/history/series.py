"""The histories there are: how each is asked for, what a row's key is, and which columns a row has in a file.

Pure: builds queries and reads values. It asks nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any, Protocol

from connector.domain.market import AggTrade, Candle, Trade
from connector.domain.queries import AggTradesQuery, CandlesQuery, HistoricalTradesQuery, Query
from connector.domain.symbols import Symbol
from connector.domain.times import datetime_from_ns
from connector.errors import Unsupported
from connector.history.plan import IDS, Steps, Window, steps_of

__all__ = ["AggTradeSeries", "CandleSeries", "Column", "ColumnType", "Series", "TradeSeries"]


class ColumnType(enum.Enum):
    """TIME is UTC nanoseconds, NUMBER a whole number, AMOUNT an exact decimal, TEXT anything else."""

    TIME = "time"
    NUMBER = "number"
    AMOUNT = "amount"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file. `get` takes a row; None is an absent value."""

    name: str
    type: ColumnType
    get: Callable[[Any], Any]


def _columns(*named: tuple[str, ColumnType]) -> tuple[Column, ...]:
    return tuple(Column(name, kind, attrgetter(name)) for name, kind in named)


_CANDLE_COLUMNS = _columns(
    ("open_time_ns", ColumnType.TIME),
    ("close_time_ns", ColumnType.TIME),
    ("open", ColumnType.AMOUNT),
    ("high", ColumnType.AMOUNT),
    ("low", ColumnType.AMOUNT),
    ("close", ColumnType.AMOUNT),
    ("volume", ColumnType.AMOUNT),
    ("quote_volume", ColumnType.AMOUNT),
    ("trade_count", ColumnType.NUMBER),
    ("taker_buy_volume", ColumnType.AMOUNT),
    ("taker_buy_quote_volume", ColumnType.AMOUNT),
)
_SIDE = Column("side", ColumnType.TEXT, lambda trade: trade.side.value)
_TRADE_COLUMNS = (
    *_columns(("trade_id", ColumnType.NUMBER), ("event_time_ns", ColumnType.TIME)),
    *_columns(("price", ColumnType.AMOUNT), ("quantity", ColumnType.AMOUNT)),
    _SIDE,
)
_AGG_TRADE_COLUMNS = (
    *_columns(("agg_id", ColumnType.NUMBER), ("event_time_ns", ColumnType.TIME)),
    *_columns(("price", ColumnType.AMOUNT), ("quantity", ColumnType.AMOUNT)),
    _SIDE,
    *_columns(("first_trade_id", ColumnType.NUMBER), ("last_trade_id", ColumnType.NUMBER)),
)


class Series(Protocol):
    """One history of one instrument.

    Attributes:
        kind: "candles", "trades" or "agg_trades".
        interval: of candles; "" otherwise.
        key_name: what keys are, e.g. "open_time_ns".
    """

    @property
    def kind(self) -> str: ...
    @property
    def symbol(self) -> Symbol: ...
    @property
    def interval(self) -> str: ...
    @property
    def key_name(self) -> str: ...
    @property
    def steps(self) -> Steps: ...
    @property
    def columns(self) -> tuple[Column, ...]: ...

    def query(self, window: Window, limit: int | None) -> Query:
        """The question for one window; its answer may hold rows after the window."""

    def key(self, row: Any) -> int: ...

    def is_final(self, row: Any) -> bool:
        """Whether the row will never change again."""

    def key_text(self, key: int) -> str:
        """A key as people read it."""


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """Closed candles. Keys are open times."""

    symbol: Symbol
    interval: str
    kind = "candles"
    key_name = "open_time_ns"
    columns = _CANDLE_COLUMNS

    @property
    def steps(self) -> Steps:
        return steps_of(self.interval)

    def query(self, window: Window, limit: int | None) -> Query:
        return CandlesQuery(self.symbol, self.interval, window.first, window.last, limit)

    def key(self, row: Candle) -> int:
        return row.open_time_ns

    def is_final(self, row: Candle) -> bool:
        return row.closed

    def key_text(self, key: int) -> str:
        moment = datetime_from_ns(key)
        return f"{moment - timedelta(microseconds=moment.microsecond):%Y-%m-%dT%H:%M:%SZ}"


class _Trades:
    """What both kinds of trades share: keys are ids that rise by one."""

    __slots__ = ()
    interval = ""
    steps = IDS

    def is_final(self, row: Any) -> bool:
        return True

    def key_text(self, key: int) -> str:
        return str(key)


@dataclass(frozen=True, slots=True)
class TradeSeries(_Trades):
    """Single trades, by id."""

    symbol: Symbol
    kind = "trades"
    key_name = "trade_id"
    columns = _TRADE_COLUMNS

    def query(self, window: Window, limit: int | None) -> Query:
        return HistoricalTradesQuery(self.symbol, window.first, limit)

    def key(self, row: Trade) -> int:
        if not isinstance(row.trade_id, int):
            raise Unsupported(f"{row.venue} gives trades no numbers, so a history of them cannot be told to be whole.")
        return row.trade_id


@dataclass(frozen=True, slots=True)
class AggTradeSeries(_Trades):
    """Aggregate trades, by id."""

    symbol: Symbol
    kind = "agg_trades"
    key_name = "agg_id"
    columns = _AGG_TRADE_COLUMNS

    def query(self, window: Window, limit: int | None) -> Query:
        return AggTradesQuery(self.symbol, from_id=window.first, limit=limit)

    def key(self, row: AggTrade) -> int:
        return row.agg_id
