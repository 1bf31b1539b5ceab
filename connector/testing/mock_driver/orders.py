"""Commands as the mock venue's fields: checked and written before anything is signed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, SelfTrade
from connector.domain.instruments import Instrument
from connector.domain.orders import OrderType, TimeInForce
from connector.domain.symbols import Product
from connector.errors import InvalidRequest, Unsupported
from connector.testing.mock_driver.facts import VENUE
from connector.testing.mock_driver.wire import plain_number

__all__ = ["CLIENT_ID", "ORDER_KINDS", "TIME_WORDS", "TYPES", "amend_fields", "id_of", "of_instrument", "place_fields"]

CLIENT_ID = r"[a-zA-Z0-9_-]{1,32}"
_CLIENT_ID = re.compile(CLIENT_ID, re.ASCII)


@dataclass(frozen=True, slots=True)
class _OrderKind:
    """What an order type is called, and which of a price, a trigger and a time in force it takes."""

    word: str
    price: bool
    trigger: bool


ORDER_KINDS = {
    OrderType.LIMIT: _OrderKind("limit", True, False),
    OrderType.MARKET: _OrderKind("market", False, False),
    OrderType.LIMIT_MAKER: _OrderKind("maker", True, False),
    OrderType.STOP: _OrderKind("stop", False, True),
    OrderType.STOP_LIMIT: _OrderKind("stop-limit", True, True),
}
TYPES = {kind.word: order_type for order_type, kind in ORDER_KINDS.items()}
_TIMES = {TimeInForce.GTC: "gtc", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
TIME_WORDS = {word: time for time, word in _TIMES.items()}


def of_instrument(command: PlaceOrder | CancelOrder | AmendOrder, instrument: Instrument) -> dict[str, Any]:
    if command.symbol != instrument.symbol:
        raise InvalidRequest(f"the command is about {command.symbol}, the instrument is {instrument.symbol}.")
    return {"symbol": instrument.venue_name}


def place_fields(order: PlaceOrder, client_id: str, instrument: Instrument) -> dict[str, Any]:
    """An order as the venue takes it.

    Raises:
        InvalidRequest: it makes no sense. Unsupported: the venue has nothing like it.
    """
    kind = ORDER_KINDS.get(order.type)
    if kind is None:
        raise Unsupported(f"{VENUE} has no orders of type {order.type.value}.")
    lacking = {
        "iceberg orders": order.iceberg_quantity is not None,
        "trailing stops": order.trailing_bips is not None,
        "self-trade prevention": order.self_trade not in (None, SelfTrade.NONE),
        "quote quantities": order.quote_quantity is not None,
        "a choice of trigger price": order.trigger_by is not None,
        "closing by trigger": order.close_position,
        "hedge mode": order.position_side is not PositionSide.NET,
        "orders in contracts": order.contracts is not None,
    }
    wanted = [name for name, given in lacking.items() if given]
    if wanted:
        raise Unsupported(f"{VENUE} has no {', '.join(wanted)}.")
    if order.reduce_only and instrument.product is Product.SPOT:
        raise InvalidRequest("reduce_only goes with contracts.")
    if order.quantity is None:
        raise InvalidRequest(f"{order.type.value}: it needs a quantity.")
    if (order.price is not None) != kind.price or (order.stop_price is not None) != kind.trigger:
        needs = " and ".join(name for name, need in (("a price", kind.price), ("a stop price", kind.trigger)) if need)
        raise InvalidRequest(f"{order.type.value}: it takes {needs or 'neither a price nor a stop price'}.")
    if order.time_in_force is not None and (order.time_in_force not in _TIMES or order.type is not OrderType.LIMIT):
        raise InvalidRequest(f"{order.type.value}: it takes no time in force {order.time_in_force.value}.")
    if _CLIENT_ID.fullmatch(client_id) is None:
        raise InvalidRequest(
            f"client id {client_id!r:.60} is not one {VENUE} takes: 1 to 32 of a-z, A-Z, 0-9, - and _."
        )
    fields = of_instrument(order, instrument) | {"client_id": client_id, "side": order.side.value, "type": kind.word}
    for name in ("quantity", "price", "stop_price"):
        value = getattr(order, name)
        if value is not None:
            fields[name] = plain_number(name, value)
    if order.type is OrderType.LIMIT:
        fields["time_in_force"] = _TIMES[order.time_in_force or TimeInForce.GTC]
    return fields | ({"reduce_only": True} if order.reduce_only else {}) | ({"test": True} if order.test else {})


def amend_fields(order: AmendOrder, instrument: Instrument) -> dict[str, Any]:
    numbers = {"quantity": order.quantity, "price": order.price}
    changes = {name: plain_number(name, value) for name, value in numbers.items() if value is not None}
    return of_instrument(order, instrument) | {"client_id": order.client_id} | changes


def id_of(client_id: str | None, venue_id: str | None) -> dict[str, str]:
    if client_id is None and venue_id is None:
        raise InvalidRequest("an order is found by its client id or by its venue id; give one.")
    return {"client_id": client_id} if client_id is not None else {"id": venue_id or ""}
