"""Short makers of the values the tests of orders are about."""

from __future__ import annotations

from decimal import Decimal

from connector.domain.commands import PlaceOrder
from connector.domain.facts import OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import IntentRecord

SYMBOL = Symbol("ETH", "USDT")
STATUS_TEXT = {status: status.name for status in OrderStatus}


def d(text: str | int) -> Decimal:
    return Decimal(text)


def place(**changes: object) -> PlaceOrder:
    fields = {"symbol": SYMBOL, "side": Side.BUY, "type": OrderType.LIMIT, "quantity": d(2), "price": d(100)}
    return PlaceOrder(**{**fields, **changes})


def intent(client_id: str = "a", command: object = None, **changes: object) -> IntentRecord:
    fields = {"venue": "binance", "client_id": client_id, "at_ns": 1, "recv_window_ms": 5_000}
    return IntentRecord.of(command or place(), **{**fields, **changes})


def fill(trade_id: int | str, quantity: str = "1", price: str = "100", **changes: object) -> Fill:
    fields = {
        "venue": "binance",
        "symbol": SYMBOL,
        "event_time_ns": 1_000 + (int(trade_id) if str(trade_id).isdigit() else 0),
        "received_ns": 2_000 + (int(trade_id) if str(trade_id).isdigit() else 0),
        "trade_id": str(trade_id),
        "client_id": "a",
        "venue_id": "77",
        "side": Side.BUY,
        "price": d(price),
        "quantity": d(quantity),
        "fee": d("0.001"),
        "fee_asset": "BNB",
        "is_maker": True,
    }
    return Fill(**{**fields, **changes})


def report(status: OrderStatus | None, filled: str = "0", version: int | None = None, **changes: object) -> OrderReport:
    at_ns = 1_000 + (version or 0)
    fields = {
        "venue": "binance",
        "symbol": SYMBOL,
        "event_time_ns": at_ns,
        "received_ns": at_ns + 1_000,
        "client_id": "a",
        "venue_id": "77",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "type_text": "LIMIT",
        "time_in_force": TimeInForce.GTC,
        "status": status,
        "status_text": STATUS_TEXT[status] if status else "PENDING_SOMETHING",
        "quantity": d(2),
        "filled": d(filled),
        "price": d(100),
        "version": version,
    }
    return OrderReport(**{**fields, **changes})
