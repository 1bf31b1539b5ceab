"""Immutable values everything else is made of. Imports nothing of the library but `errors`; does nothing by itself."""

from connector.domain.account import Balance, Position, PositionSide
from connector.domain.instruments import Instrument, InstrumentStatus, InstrumentTable
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookState,
    BookTicker,
    BookUpdate,
    Candle,
    Freshness,
    Gap,
    Level,
    MarketEvent,
    OrderBook,
    Price,
    Side,
    Ticker,
    Trade,
)
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Product, Symbol
from connector.domain.topics import Topic, TopicKind

__all__ = [
    "AggTrade",
    "Balance",
    "BookDelta",
    "BookState",
    "BookTicker",
    "BookUpdate",
    "Candle",
    "Fill",
    "Freshness",
    "Gap",
    "Instrument",
    "InstrumentStatus",
    "InstrumentTable",
    "Level",
    "MarketEvent",
    "Order",
    "OrderBook",
    "OrderStatus",
    "OrderType",
    "Position",
    "PositionSide",
    "Price",
    "Product",
    "Side",
    "Symbol",
    "Ticker",
    "TimeInForce",
    "Topic",
    "TopicKind",
    "Trade",
]
