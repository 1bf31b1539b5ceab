"""The public interface is pinned: a change here is a change for users and needs a line in the changelog."""

import connector

PUBLIC = {
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
}


TRADING = {
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
}


def test_the_names_for_trading_are_exactly_these():
    from connector import trading

    assert set(trading.__all__) == TRADING


def test_the_public_names_are_exactly_these():
    assert set(connector.__all__) == PUBLIC


def test_every_public_name_exists_and_says_what_it_is():
    for name in connector.__all__:
        value = getattr(connector, name)
        assert name == "__version__" or value.__doc__, f"{name} has no docstring"
