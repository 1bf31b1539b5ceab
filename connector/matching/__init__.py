"""Price-time matching that paper trading and the simulator share: pure, integer, deterministic."""

from connector.matching.engine import (
    Fill,
    LevelChange,
    MatchingEngine,
    Order,
    OrderStatus,
    Outcome,
    Prevented,
    Side,
    StpMode,
    TimeInForce,
)

__all__ = [
    "Fill",
    "LevelChange",
    "MatchingEngine",
    "Order",
    "OrderStatus",
    "Outcome",
    "Prevented",
    "Side",
    "StpMode",
    "TimeInForce",
]
