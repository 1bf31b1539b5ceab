"""Exchange connectivity for thread-based trading engines that never lies and never stays down.

    from connector import Connector

    with Connector(["binance"]) as connector:
        trades = connector.subscribe("binance", "trades", "BTC/USDT")
        for trade in trades:
            print(trade.time, trade.side.value, trade.price, trade.quantity)

These names are the public interface; everything else may change between minor versions. `connector.supervision`,
`connector.testing`, `connector.simulator`, `connector.history`, `connector.aggregate` and `connector.domain` are public packages
of their own.
"""

from connector.client import Connector
from connector.domain import (
    AggTrade,
    BookState,
    BookTicker,
    BookUpdate,
    Candle,
    Freshness,
    Gap,
    Instrument,
    OrderBook,
    Product,
    Side,
    Symbol,
    Ticker,
    TopicKind,
    Trade,
)
from connector.drivers.contract import Environment
from connector.errors import (
    BookNotValid,
    ConnectorError,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    Unsupported,
)
from connector.settings import ConnectorSettings, VenueSettings
from connector.telemetry import enable_logging
from connector.venue.delivery import Closed, Overflow, Subscription, TopicState, TopicStatus

__version__ = "0.1.0"

__all__ = [
    "AggTrade",
    "BookNotValid",
    "BookState",
    "BookTicker",
    "BookUpdate",
    "Candle",
    "Closed",
    "Connector",
    "ConnectorError",
    "ConnectorSettings",
    "Environment",
    "Freshness",
    "Gap",
    "Instrument",
    "Misconfigured",
    "OrderBook",
    "OutcomeUnknown",
    "Overflow",
    "Product",
    "Rejected",
    "RetryLater",
    "Side",
    "Subscription",
    "Symbol",
    "Ticker",
    "TopicKind",
    "TopicState",
    "TopicStatus",
    "Trade",
    "Unsupported",
    "VenueSettings",
    "__version__",
    "enable_logging",
]
