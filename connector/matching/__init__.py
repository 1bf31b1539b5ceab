"""Price-time matching that paper trading and the simulator share: pure, integer, deterministic."""

from connector.matching.engine import Fill, LevelChange, MatchingEngine, Order, OrderStatus, Outcome, Side, TimeInForce

__all__ = ["Fill", "LevelChange", "MatchingEngine", "Order", "OrderStatus", "Outcome", "Side", "TimeInForce"]
