"""The names needed to trade, in one place: commands, outcomes, what is known of an account, risk hooks, stores.

    from connector import Connector, Side, Symbol, VenueSettings
    from connector.trading import Credentials, OrderType, PlaceOrder

    venue = VenueSettings("binance", credentials=Credentials("key", secret="secret"))
    with Connector([venue]) as connector:
        order = PlaceOrder(symbol=..., side=Side.BUY, type=OrderType.LIMIT, quantity=..., price=...)
        outcome = connector.venue("binance").orders.ask(order)

Only names; nothing is decided here.
"""

from connector.domain.account import Balance
from connector.domain.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Evidence,
    OrderListKind,
    OrderOutcome,
    OutcomeKind,
    PlaceBatch,
    PlaceOrder,
    PlaceOrderList,
    SelfTrade,
)
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.orders.filters import FilterRefused
from connector.orders.risk import (
    DailyLoss,
    MaxOrderSize,
    MaxOrderValue,
    OrderRate,
    PositionLimit,
    PriceCollar,
    RiskHook,
    RiskRefused,
    RiskView,
    SymbolAllowList,
)
from connector.settings import load_credentials
from connector.store.contract import Store, StoreFailed
from connector.store.memory import MemoryStore
from connector.store.sqlite import SqliteStore
from connector.venue.order_events import OrderSubscription
from connector.venue.orders import ReleaseKillSwitch, ThrowKillSwitch

__all__ = [
    "AmendOrder",
    "Balance",
    "CancelAll",
    "CancelOrder",
    "Credentials",
    "DailyLoss",
    "Evidence",
    "Fill",
    "FilterRefused",
    "MaxOrderSize",
    "MaxOrderValue",
    "MemoryStore",
    "Order",
    "OrderListKind",
    "OrderOutcome",
    "OrderRate",
    "OrderStatus",
    "OrderSubscription",
    "OrderType",
    "OutcomeKind",
    "PlaceBatch",
    "PlaceOrder",
    "PlaceOrderList",
    "PositionLimit",
    "PriceCollar",
    "ReleaseKillSwitch",
    "RiskHook",
    "RiskRefused",
    "RiskView",
    "SelfTrade",
    "SqliteStore",
    "Store",
    "StoreFailed",
    "SymbolAllowList",
    "ThrowKillSwitch",
    "TimeInForce",
    "load_credentials",
]
