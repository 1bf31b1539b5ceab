"""Commands as Binance spot's parameters: every value checked and written before anything is signed. Sends nothing.

A command becomes `name=value` pairs, the same for REST and for the WebSocket API; `CALLS` says where each goes and what it
costs when it fails (orders that succeed cost no weight). Numbers are written as plain decimals, as given: no exponent, and
never more digits than the venue keeps of the asset; none is ever rounded here. What the venue would refuse for its form
alone is refused here; filters and balances are not looked at.

Source: venue API docs, "New order", "Cancel order", "Order Amend Keep Priority", "Order lists", read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, OrderListKind, PlaceOrder, PlaceOrderList, SelfTrade
from connector.domain.instruments import Instrument
from connector.domain.market import Side
from connector.domain.orders import OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.binance import checks, facts
from connector.drivers.binance.facts import VENUE
from connector.errors import InvalidRequest, Unsupported

__all__ = [
    "CALLS",
    "CAPABILITIES",
    "CLIENT_ID",
    "ORDER_TYPES",
    "SIDES",
    "TIMES_IN_FORCE",
    "Call",
    "Params",
    "amend_params",
    "cancel_params",
    "charges",
    "fills_params",
    "limit_words",
    "list_params",
    "order_params",
    "place_params",
    "since_params",
]

Params = list[tuple[str, str | int]]
"""Pairs in the order they are sent. Whole numbers are numbers in the WebSocket API's JSON, decimals are text everywhere."""

CLIENT_ID = r"[a-zA-Z0-9_-]{1,36}"
_CLIENT_ID = re.compile(CLIENT_ID, re.ASCII)
_PAGE_LIMIT = 1_000

# ---------------------------------------------------------------- where each call goes, and what it costs


class Call(NamedTuple):
    """One signed call: its REST method and path, its WebSocket API name, the weight it costs, the orders it counts as."""

    method: str
    path: str
    name: str
    weight: int
    orders: int = 0


CALLS = {
    "place": Call("POST", "/api/v3/order", "order.place", 1, 1),
    "test": Call("POST", "/api/v3/order/test", "order.test", 1),
    "oco": Call("POST", "/api/v3/orderList/oco", "orderList.place.oco", 1, 2),
    "oto": Call("POST", "/api/v3/orderList/oto", "orderList.place.oto", 1, 2),
    "otoco": Call("POST", "/api/v3/orderList/otoco", "orderList.place.otoco", 1, 3),
    "cancel": Call("DELETE", "/api/v3/order", "order.cancel", 1),
    "amend": Call("PUT", "/api/v3/order/amend/keepPriority", "order.amend.keepPriority", 4),
    "order": Call("GET", "/api/v3/order", "order.status", 4),
    "open orders": Call("GET", "/api/v3/openOrders", "openOrders.status", 6),
    "all open orders": Call("GET", "/api/v3/openOrders", "openOrders.status", 80),
    "fills": Call("GET", "/api/v3/myTrades", "myTrades", 20),
    "fills of an order": Call("GET", "/api/v3/myTrades", "myTrades", 5),
    "orders since": Call("GET", "/api/v3/allOrders", "allOrders", 20),
    "balances": Call("GET", "/api/v3/account", "account.status", 20),
    "order counts": Call("GET", "/api/v3/rateLimit/order", "account.rateLimits.orders", 40),
}

_ORDER_BUDGETS = (facts.ORDERS_10S, facts.ORDERS_DAY)


@cache  # of constants
def charges(call: Call) -> tuple[Charge, ...]:
    """What the call costs, whichever way it is sent; REST counts a raw request besides."""
    counted = tuple(Charge(budget, call.orders) for budget in _ORDER_BUDGETS) if call.orders else ()
    return (Charge(facts.REQUEST_WEIGHT, call.weight), *counted)


# ---------------------------------------------------------------- words and numbers


class _Kind(NamedTuple):
    """What an order type is called, and what it takes: a limit price, a trigger, a time in force, a visible part."""

    word: str
    price: bool
    trigger: bool
    time_in_force: bool
    iceberg: bool


_KINDS = {
    OrderType.LIMIT: _Kind("LIMIT", True, False, True, True),
    OrderType.MARKET: _Kind("MARKET", False, False, False, False),
    OrderType.LIMIT_MAKER: _Kind("LIMIT_MAKER", True, False, False, True),
    OrderType.STOP: _Kind("STOP_LOSS", False, True, False, False),
    OrderType.STOP_LIMIT: _Kind("STOP_LOSS_LIMIT", True, True, True, True),
    OrderType.TAKE_PROFIT: _Kind("TAKE_PROFIT", False, True, False, False),
    OrderType.TAKE_PROFIT_LIMIT: _Kind("TAKE_PROFIT_LIMIT", True, True, True, True),
}
ORDER_TYPES = {kind.word: order_type for order_type, kind in _KINDS.items()}
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
TIMES_IN_FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
_SIDE_WORDS = {side: word for word, side in SIDES.items()}
_TIME_WORDS = {time: word for word, time in TIMES_IN_FORCE.items()}
_ALSO = {
    OrderType.LIMIT: "GTC, IOC, FOK; iceberg",
    OrderType.MARKET: "by base or quote quantity",
    OrderType.LIMIT_MAKER: "iceberg",
    OrderType.STOP: "stop price, trailing or both",
    OrderType.STOP_LIMIT: "stop price, trailing or both; GTC, IOC, FOK; iceberg",
}
_ALSO |= {OrderType.TAKE_PROFIT: _ALSO[OrderType.STOP], OrderType.TAKE_PROFIT_LIMIT: _ALSO[OrderType.STOP_LIMIT]}
CAPABILITIES = (
    *(("order", order_type.value, _ALSO[order_type]) for order_type in _KINDS),
    *(("order", f"{kind.value} list", "") for kind in OrderListKind),
    ("order", "self-trade prevention", ", ".join(mode.value for mode in SelfTrade)),
    ("order", "test", ""),
    ("command", "place", "REST or session"),
    ("command", "cancel", "REST or session"),
    ("command", "amend", "quantity down, keeping priority; REST or session"),
    *(("account", name, "") for name in ("order", "open orders", "fills", "orders since", "balances", "order counts")),
    ("account", "events", "session"),
    ("key", "hmac", ""),
    ("key", "ed25519", ""),
    ("key", "rsa", ""),
)
"""(area, name, note) of the private half, for the capability table."""
_SELF_TRADE = {mode: mode.name for mode in SelfTrade}  # the venue's words are ours


def _plain(name: str, value: Decimal, decimals: int) -> str:
    return checks.plain(VENUE, name, value, decimals)


def _client_id(text: str) -> str:
    if _CLIENT_ID.fullmatch(text) is None:
        raise InvalidRequest(f"client id {text!r:.60} is not one {VENUE} takes: 1 to 36 of a-z, A-Z, 0-9, - and _.")
    return text


def _id(name: str, text: str) -> int:
    return checks.number(VENUE, name, text)


def _since(start_ns: int) -> int:
    return checks.since_ms(start_ns)


def _same_symbol(command: PlaceOrder | CancelOrder | AmendOrder, instrument: Instrument) -> str:
    if command.symbol != instrument.symbol:
        raise InvalidRequest(f"the command is about {command.symbol}, the instrument is {instrument.symbol}.")
    return instrument.venue_name


# ---------------------------------------------------------------- one order


def _problem(order: PlaceOrder, kind: _Kind) -> str:
    """What is wrong with the composition of an order; "" when nothing is."""
    market = order.type is OrderType.MARKET
    if order.quote_quantity is not None and not market:
        return "only market orders take quote_quantity"
    if (order.quantity is None) == (order.quote_quantity is None):
        return "give quantity or quote_quantity, and only one of them" if market else "it needs a quantity"
    if (order.price is not None) != kind.price:
        return "it needs a price" if kind.price else "it takes no price"
    if (order.stop_price is not None or order.trailing_bips is not None) != kind.trigger:
        return (
            "it needs stop_price, trailing_bips or both" if kind.trigger else "it takes no stop_price or trailing_bips"
        )
    if order.trailing_bips is not None and order.trailing_bips < 1:
        return f"trailing_bips is {order.trailing_bips}; expected at least 1"
    if order.time_in_force is not None and not kind.time_in_force:
        return "it takes no time_in_force"
    if order.time_in_force is TimeInForce.OTHER:
        return "time_in_force OTHER cannot be asked for"
    if order.iceberg_quantity is not None and not kind.iceberg:
        return "it takes no iceberg_quantity"
    if order.iceberg_quantity is not None and order.time_in_force not in (None, TimeInForce.GTC):
        return "an iceberg order is GTC"
    return ""


def _leg(order: PlaceOrder, client_id: str, instrument: Instrument) -> Params:
    """One order under the names that order lists put a prefix before."""
    _same_symbol(order, instrument)
    kind = _KINDS.get(order.type)
    if kind is None:
        raise InvalidRequest(f"order type {order.type.name} cannot be asked for. {VENUE} has {', '.join(ORDER_TYPES)}.")
    if order.reduce_only or order.close_position or order.position_side is not PositionSide.NET:
        raise Unsupported(f"{VENUE} spot has no positions, so no reduce_only, close_position or position_side orders.")
    if order.contracts is not None or order.trigger_by is not None:
        raise Unsupported(f"{VENUE} spot has no contracts and one price: leave contracts and trigger_by away.")
    if problem := _problem(order, kind):
        raise InvalidRequest(f"{kind.word} order of {order.symbol}: {problem}.")
    base, quote = instrument.base_decimals, instrument.quote_decimals
    params: Params = [("Side", _SIDE_WORDS[order.side]), ("Type", kind.word)]
    if kind.time_in_force:
        params.append(("TimeInForce", _TIME_WORDS[order.time_in_force or TimeInForce.GTC]))
    if order.quantity is not None:
        params.append(("Quantity", _plain("Quantity", order.quantity, base)))
    if order.quote_quantity is not None:
        params.append(("QuoteOrderQty", _plain("QuoteOrderQty", order.quote_quantity, quote)))
    if order.price is not None:
        params.append(("Price", _plain("Price", order.price, quote)))
    if order.stop_price is not None:
        params.append(("StopPrice", _plain("StopPrice", order.stop_price, quote)))
    if order.iceberg_quantity is not None:
        params.append(("IcebergQty", _plain("IcebergQty", order.iceberg_quantity, base)))
    if order.trailing_bips is not None:
        params.append(("TrailingDelta", order.trailing_bips))
    params.append(("ClientOrderId", _client_id(client_id)))
    return params


_ALONE = {
    "Side": "side",
    "Type": "type",
    "TimeInForce": "timeInForce",
    "Quantity": "quantity",
    "QuoteOrderQty": "quoteOrderQty",
    "Price": "price",
    "StopPrice": "stopPrice",
    "IcebergQty": "icebergQty",
    "TrailingDelta": "trailingDelta",
    "ClientOrderId": "newClientOrderId",
}
"""The names of an order that is not part of a list."""


def _self_trade(mode: SelfTrade | None) -> Params:
    return [] if mode is None else [("selfTradePreventionMode", _SELF_TRADE[mode])]


def place_params(order: PlaceOrder, client_id: str, instrument: Instrument) -> Params:
    """One order, to be answered with all that is known of it, fills included.

    Raises:
        InvalidRequest: the venue would refuse its form; says what it takes.
        Unsupported: `reduce_only`.
    """
    leg = [(_ALONE[name], value) for name, value in _leg(order, client_id, instrument)]
    return [("symbol", instrument.venue_name), *leg, ("newOrderRespType", "FULL"), *_self_trade(order.self_trade)]


def limit_words(order: PlaceOrder, client_id: str, instrument: Instrument) -> tuple[str, str] | None:
    """(quantity, price) of the usual order as they are sent; None: `place_params` has to look at it.

    The usual order is a limit order, good till cancelled, with nothing else to it: all else of it is known beforehand.

    Raises:
        InvalidRequest: a number the venue would refuse for its form.
    """
    quantity, price = order.quantity, order.price
    if (
        order.type is not OrderType.LIMIT
        or quantity is None
        or price is None
        or order.symbol != instrument.symbol
        or (order.time_in_force is not None and order.time_in_force is not TimeInForce.GTC)
        or order.quote_quantity is not None
        or order.stop_price is not None
        or order.trailing_bips is not None
        or order.iceberg_quantity is not None
        or order.self_trade is not None
        or order.contracts is not None
        or order.trigger_by is not None
        or order.position_side is not PositionSide.NET
        or order.reduce_only
        or order.close_position
        or order.test
    ):
        return None
    if _CLIENT_ID.fullmatch(client_id) is None:
        return None
    return (
        checks.plain(VENUE, "Quantity", quantity, instrument.base_decimals),
        checks.plain(VENUE, "Price", price, instrument.quote_decimals),
    )


# ---------------------------------------------------------------- order lists

_UPPER = frozenset({OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
_LOWER = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_WORKING = frozenset({OrderType.LIMIT, OrderType.LIMIT_MAKER})
_PREFIXES = {
    OrderListKind.OCO: ("above", "below"),
    OrderListKind.OTO: ("working", "pending"),
    OrderListKind.OTOCO: ("working", "pendingAbove", "pendingBelow"),
}
_SHARED = {
    OrderListKind.OCO: {"Side": "side", "Quantity": "quantity"},
    OrderListKind.OTOCO: {"Side": "pendingSide", "Quantity": "pendingQuantity"},
}


def _list_problem(command: PlaceOrderList) -> str:
    kind, orders = command.kind, command.orders
    wanted = len(_PREFIXES[kind])
    if len(orders) != wanted:
        return f"it has {len(orders)} orders; expected {wanted}: {', '.join(_PREFIXES[kind])}"
    if any(order.test for order in orders):
        return "the venue has no test of order lists"
    if any(order.quote_quantity is not None for order in orders):
        return "orders of a list take no quote_quantity"
    if len({order.self_trade for order in orders}) > 1:
        return "all orders of a list have the same self_trade"
    if kind is not OrderListKind.OCO and orders[0].type not in _WORKING:
        return "its first order is a LIMIT or a LIMIT_MAKER"
    if kind is OrderListKind.OTO:
        return ""
    one, other = orders[-2:]
    if (one.side, one.quantity) != (other.side, other.quantity):
        return "both orders of the pair have the same side and quantity"
    if not ((one.type in _UPPER and other.type in _LOWER) or (one.type in _LOWER and other.type in _UPPER)):
        return "one of the pair is a stop, the other a limit maker or take-profit"
    return ""


def list_params(command: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument) -> Params:
    """An order list; `client_ids` in the order of its orders.

    Raises:
        InvalidRequest: the venue would refuse its form; says what it takes.
    """
    problem = _list_problem(command)
    if not problem and len(client_ids) != len(command.orders):
        problem = f"{len(client_ids)} client ids for {len(command.orders)} orders"
    if problem:
        raise InvalidRequest(f"{command.kind.name} list: {problem}.")
    params: Params = [("symbol", instrument.venue_name)]
    if command.client_id is not None:
        params.append(("listClientOrderId", _client_id(command.client_id)))
    shared = _SHARED.get(command.kind, {})
    prefixes = _PREFIXES[command.kind]
    said: set[str] = set()
    for index, (order, client_id, prefix) in enumerate(zip(command.orders, client_ids, prefixes, strict=True)):
        of_pair = index >= len(prefixes) - 2
        for name, value in _leg(order, client_id, instrument):
            full_name = shared.get(name, prefix + name) if of_pair else prefix + name
            if full_name not in said:  # what the pair shares is said once
                said.add(full_name)
                params.append((full_name, value))
    return [*params, ("newOrderRespType", "FULL"), *_self_trade(command.orders[0].self_trade)]


# ---------------------------------------------------------------- one order that is there already


def order_params(instrument: Instrument, client_id: str | None, venue_id: str | None) -> Params:
    """Which order is meant. Both ids are sent where both are known: the venue then refuses an order of which one is wrong.

    Raises:
        InvalidRequest: neither is given, or one is malformed.
    """
    params: Params = [("symbol", instrument.venue_name)]
    if venue_id is not None:
        params.append(("orderId", _id("venue_id", venue_id)))
    if client_id is not None:
        params.append(("origClientOrderId", _client_id(client_id)))
    if len(params) == 1:
        raise InvalidRequest("which order is meant? Give its client_id, its venue_id or both.")
    return params


def cancel_params(order: CancelOrder, venue_id: str | None, instrument: Instrument) -> Params:
    _same_symbol(order, instrument)
    return order_params(instrument, order.client_id, venue_id)


def amend_params(order: AmendOrder, venue_id: str | None, instrument: Instrument) -> Params:
    """The order keeps its client id: without `newClientOrderId` the venue would draw another at random.

    Raises:
        Unsupported: another price is asked for; here that takes a cancel and a new order.
    """
    _same_symbol(order, instrument)
    if order.price is not None or order.quantity is None:
        raise Unsupported(f"{VENUE} spot amends a quantity, never a price. Cancel the order and place another.")
    return [
        *order_params(instrument, order.client_id, venue_id),
        ("newClientOrderId", _client_id(order.client_id)),
        ("newQty", _plain("quantity", order.quantity, instrument.base_decimals)),
    ]


def fills_params(instrument: Instrument, from_id: str | None, start_ns: int | None, venue_id: str | None) -> Params:
    """
    Raises:
        InvalidRequest: a combination the venue refuses: a time stands alone.
    """
    if start_ns is not None and (from_id is not None or venue_id is not None):
        raise InvalidRequest("fills are asked for from a time on, or by ids, not by both.")
    params: Params = [("symbol", instrument.venue_name)]
    if venue_id is not None:
        params.append(("orderId", _id("venue_id", venue_id)))
    if from_id is not None:
        params.append(("fromId", _id("from_id", from_id)))
    if start_ns is not None:
        params.append(("startTime", _since(start_ns)))
    return [*params, ("limit", _PAGE_LIMIT)]


def since_params(instrument: Instrument, start_ns: int) -> Params:
    return [("symbol", instrument.venue_name), ("startTime", _since(start_ns)), ("limit", _PAGE_LIMIT)]
