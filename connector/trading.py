"""The names needed to trade, in one place: commands, outcomes, what is known of an account, risk hooks, stores.

    from connector import Connector, Side, Symbol, VenueSettings
    from connector.trading import Credentials, OrderType, PlaceOrder

    venue = VenueSettings("binance", credentials=Credentials("key", secret="secret"))
    with Connector([venue]) as connector:
        order = PlaceOrder(symbol=..., side=Side.BUY, type=OrderType.LIMIT, quantity=..., price=...)
        outcome = connector.venue("binance").orders.ask(order)

Only names; nothing is decided here.
"""

from connector.domain.account import Balance, FundingPayment, MarginMode, Position, PositionMode, PositionSide
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
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
    TriggerPrice,
)
from connector.domain.contracts import base_units, contracts_for, notional, profit
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, FillKind, Order, OrderStatus, OrderType, TimeInForce
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
    "FillKind",
    "FilterRefused",
    "FundingPayment",
    "MarginMode",
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
    "Position",
    "PositionLimit",
    "PositionMode",
    "PositionSide",
    "PriceCollar",
    "ReleaseKillSwitch",
    "RiskHook",
    "RiskRefused",
    "RiskView",
    "SelfTrade",
    "SetLeverage",
    "SetMarginMode",
    "SetPositionMode",
    "SqliteStore",
    "Store",
    "StoreFailed",
    "SymbolAllowList",
    "ThrowKillSwitch",
    "TimeInForce",
    "TriggerPrice",
    "base_units",
    "contracts_for",
    "load_credentials",
    "notional",
    "profit",
]
