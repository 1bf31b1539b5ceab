"""Commands as Bybit's parameters: every value checked and written before anything is signed. Sends nothing.

A command becomes a JSON object, the same for REST and for the order connection; `CALLS` says where each goes and whose limit
counts it. Numbers are written as plain decimals, as given: no exponent, no more digits than the instrument's step has, and never
rounded here. Quantities go out in what the venue counts: base units, on inverse contracts US dollars, on spot market orders the
asset named by `marketUnit`, which is always sent. What the venue would refuse for its form alone is refused here; filters and
balances are not looked at.

Source: venue API docs, "Place Order", "Amend Order", "Cancel Order", 2026-07, read 2026-11.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, SelfTrade, TriggerPrice
from connector.domain.contracts import contracts_for
from connector.domain.instruments import Instrument
from connector.domain.market import Side
from connector.domain.orders import Order, OrderType, TimeInForce
from connector.domain.symbols import Product
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge
from connector.drivers.bybit.facts import VENUE, Market, account_charges
from connector.errors import InvalidRequest, Unsupported
from connector.orders.rounding import is_multiple

__all__ = [
    "CALLS",
    "CLIENT_ID",
    "CONDITIONAL",
    "TIMES_IN_FORCE",
    "WINDOW_MS",
    "Call",
    "Params",
    "amend_params",
    "cancel_params",
    "capabilities_of",
    "id_params",
    "place_params",
    "since_ms",
]

Params = dict[str, str | int | bool]
"""Names and values in the order they are sent."""

CLIENT_ID = r"[0-9A-Za-z_-]{1,36}"
_CLIENT_ID = re.compile(CLIENT_ID, re.ASCII)
_VENUE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_LARGEST, _SMALLEST = Decimal("1e20"), Decimal("1e-20")
_LARGEST_NS = 2**63 - 1
WINDOW_MS = 7 * 86_400_000
"""The ends of one question about orders, fills or funding by time lie so far apart at most."""

# ---------------------------------------------------------------- where each call goes, and whose limit counts it


class Call(NamedTuple):
    """One signed call: its REST method and path, its name on the order connection, the endpoint its limit is kept for."""

    method: str
    path: str
    operation: str
    kind: str

    def charges(self, market: Market) -> tuple[Charge, ...]:
        return account_charges(self.kind, market)


def _call(method: str, kind: str, operation: str = "") -> Call:
    return Call(method, f"/v5/{kind}", operation, kind)


CALLS = {
    "place": _call("POST", "order/create", "order.create"),
    "amend": _call("POST", "order/amend", "order.amend"),
    "cancel": _call("POST", "order/cancel", "order.cancel"),
    "realtime": _call("GET", "order/realtime"),
    "history": _call("GET", "order/history"),
    "fills": _call("GET", "execution/list"),
    "balances": _call("GET", "account/wallet-balance"),
    "positions": _call("GET", "position/list"),
    "funding": _call("GET", "account/transaction-log"),
    "leverage": _call("POST", "position/set-leverage"),
    "position mode": _call("POST", "position/switch-mode"),
    "margin mode": _call("POST", "account/set-margin-mode"),
}

# ---------------------------------------------------------------- words and numbers


class _Kind(NamedTuple):
    """What an order type takes: the venue's word, a limit price, a trigger, a time in force; whether it rises to buy."""

    word: str
    price: bool
    trigger: bool
    time_in_force: bool
    stops: bool = False


_KINDS = {
    OrderType.LIMIT: _Kind("Limit", True, False, True),
    OrderType.MARKET: _Kind("Market", False, False, False),
    OrderType.LIMIT_MAKER: _Kind("Limit", True, False, False),
    OrderType.STOP: _Kind("Market", False, True, False, True),
    OrderType.STOP_LIMIT: _Kind("Limit", True, True, True, True),
    OrderType.TAKE_PROFIT: _Kind("Market", False, True, False),
    OrderType.TAKE_PROFIT_LIMIT: _Kind("Limit", True, True, True),
}
CONDITIONAL = frozenset(order_type for order_type, kind in _KINDS.items() if kind.trigger)
_RISES, _FALLS = 1, 2
TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.GTC,
}
_TIME_WORDS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_SIDE_WORDS = {Side.BUY: "Buy", Side.SELL: "Sell"}
_SELF_TRADE = {
    SelfTrade.NONE: "None",
    SelfTrade.EXPIRE_TAKER: "CancelTaker",
    SelfTrade.EXPIRE_MAKER: "CancelMaker",
    SelfTrade.EXPIRE_BOTH: "CancelBoth",
}
_TRIGGERS = {
    TriggerPrice.LAST: "LastPrice",
    TriggerPrice.MARK: "MarkPrice",
    TriggerPrice.INDEX: "IndexPrice",
}
_POSITIONS = {PositionSide.LONG: 1, PositionSide.SHORT: 2}
_WAITING = frozenset({"New", "PartiallyFilled"})


def capabilities_of(market: Market) -> tuple[tuple[str, str, str], ...]:
    """(area, name, note) of the private half of one product, for the capability table."""
    trigger = "stop price" if market.is_spot else "stop price by last, mark or index"
    ways = "REST or session; the answer is a receipt"
    notes = {
        OrderType.LIMIT: "GTC, IOC, FOK",
        OrderType.MARKET: "by base or quote quantity" if market.is_spot else "",
        OrderType.LIMIT_MAKER: "",
        OrderType.STOP: trigger,
        OrderType.STOP_LIMIT: f"{trigger}; GTC, IOC, FOK",
        OrderType.TAKE_PROFIT: trigger,
        OrderType.TAKE_PROFIT_LIMIT: f"{trigger}; GTC, IOC, FOK",
    }
    modes = ", ".join(mode.value for mode in _SELF_TRADE)
    rows = [
        *(("order", order_type.value, note) for order_type, note in notes.items()),
        ("order", "self-trade prevention", modes),
        *(("command", name, ways) for name in ("place", "cancel")),
        ("command", "amend", f"quantity up or down, price; {ways}"),
        *(("account", name, "") for name in ("order", "open orders", "fills", "orders since", "balances")),
        ("account", "events", "own connection"),
        ("key", "hmac", ""),
        ("key", "rsa", ""),
    ]
    if market.is_spot:
        return tuple(rows)
    rows += [
        *(("order", name, "") for name in ("reduce only", "trigger price")),
        ("order", "close position", "stop and take-profit"),
        *(("account", name, "") for name in ("positions", "funding")),
        ("command", "leverage", "of a symbol"),
        ("command", "margin mode", "of the whole account"),
    ]
    if market.is_inverse:
        return (*rows, ("order", "contracts", ""))
    return (
        *rows,
        ("order", "hedge mode", "USDT contracts"),
        ("command", "position mode", "of a symbol"),
    )


def _plain(name: str, value: Decimal, step: Decimal | None) -> str:
    """A positive number as plain digits, with no more decimals than the step has. Zeros it can do without are cut."""
    if not value.is_finite() or not _SMALLEST <= value < _LARGEST:
        raise InvalidRequest(f"{name} is {value!s:.40}. {VENUE} takes a positive number of at most 20 digits a side.")
    text = format(value, "f")
    whole, _, part = text.partition(".")
    if step is None:
        return text
    exponent = step.normalize().as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    if part[decimals:].strip("0"):
        raise InvalidRequest(
            f"{name} is {text}, with {len(part.rstrip('0'))} decimals. {VENUE} keeps {decimals} here; round it first."
        )
    return f"{whole}.{part[:decimals]}" if part and decimals else whole


def _client_id(text: str) -> str:
    if _CLIENT_ID.fullmatch(text) is None:
        raise InvalidRequest(f"client id {text!r:.60} is not one {VENUE} takes: 1 to 36 of 0-9, A-Z, a-z, - and _.")
    return text


def since_ms(start_ns: int) -> int:
    """Milliseconds, rounded down: the venue cuts its own times to milliseconds, and nothing may be missed."""
    if not isinstance(start_ns, int) or not 0 <= start_ns <= _LARGEST_NS:
        raise InvalidRequest(f"start_ns is {start_ns!r:.40}. Expected UTC nanoseconds since 1970.")
    return start_ns // NS_PER_MS


def _named(market: Market, command: PlaceOrder | CancelOrder | AmendOrder, instrument: Instrument) -> Params:
    if command.symbol != instrument.symbol:
        raise InvalidRequest(f"the command is about {command.symbol}, the instrument is {instrument.symbol}.")
    return {"category": market.category, "symbol": instrument.venue_name}


# ---------------------------------------------------------------- one order


def _unsupported(order: PlaceOrder, market: Market) -> str:
    """What of an order the venue, or this product of it, has no word for; "" when nothing."""
    if order.test:
        return "no test of orders that places nothing"
    if order.iceberg_quantity is not None:
        return "no iceberg orders"
    if order.trailing_bips is not None:
        return "no trailing orders: a trailing stop belongs to a position there"
    if order.self_trade is not None and order.self_trade not in _SELF_TRADE:
        return f"no self-trade prevention {order.self_trade.name}"
    if market.is_spot:
        if order.reduce_only or order.close_position or order.position_side is not PositionSide.NET:
            return "no positions, so no reduce_only, close_position or position_side orders"
        if order.trigger_by not in (None, TriggerPrice.LAST):
            return "one price that triggers orders, the last one"
        if order.contracts is not None:
            return "no contracts: give quantity"
    else:
        if order.quote_quantity is not None:
            return "no orders by quote quantity"
        if order.position_side is not PositionSide.NET and order.symbol.settle != "USDT":
            return "positions side by side in contracts that settle in USDT only"
        if order.contracts is not None and not market.is_inverse:
            return "contracts of one base unit: give quantity"
    return ""


def _problem(order: PlaceOrder, kind: _Kind) -> str:
    """What is wrong with the composition of an order; "" when nothing is."""
    given = [each for each in (order.quantity, order.quote_quantity, order.contracts) if each is not None]
    if order.close_position:
        if given or kind.price or not kind.trigger:
            return "close_position goes with a market kind that has a trigger, and takes no quantity"
    elif len(given) != 1:
        return "give one of quantity, quote_quantity and contracts, and only one"
    if order.quote_quantity is not None and kind.word != "Market":
        return "only market orders take quote_quantity"
    if (order.price is not None) != kind.price:
        return "it needs a price" if kind.price else "it takes no price"
    if (order.stop_price is not None) != kind.trigger:
        return "it needs stop_price" if kind.trigger else "it takes no stop_price"
    if order.trigger_by is not None and not kind.trigger:
        return "it has no trigger, so no trigger_by"
    if order.time_in_force is not None and not kind.time_in_force:
        return "it takes no time_in_force"
    if order.time_in_force is TimeInForce.OTHER:
        return "time_in_force OTHER cannot be asked for"
    return ""


def _counted(
    instrument: Instrument, quantity: Decimal | None, contracts: Decimal | None, price: Decimal | None
) -> tuple[str, Decimal]:
    """What goes out as a quantity of contracts, and what it is called in errors.

    Raises:
        InvalidRequest: base units of an inverse contract that are no whole number of contracts at this price.
    """
    if contracts is not None or instrument.product is not Product.INVERSE:
        return ("contracts", contracts) if contracts is not None else ("quantity", quantity or Decimal(0))
    if price is None:
        raise InvalidRequest(
            f"{instrument.symbol}: without a price, base units are no number of contracts. Give contracts."
        )
    if quantity is None or not quantity.is_finite() or quantity <= 0 or not price.is_finite() or price <= 0:
        raise InvalidRequest(f"quantity is {quantity!s:.40} at {price!s:.40}. {VENUE} takes positive numbers.")
    worth = contracts_for(instrument, quantity, price)
    step = instrument.quantity_step or Decimal(1)
    if not is_multiple(worth, step):
        raise InvalidRequest(
            f"quantity {quantity!s:.40} at {price!s:.40} is {worth!s:.40} contracts, no multiple of {step}. Give contracts."
        )
    return "quantity", worth


def _amounts(order: PlaceOrder, market: Market, instrument: Instrument, kind: _Kind) -> Params:
    if order.close_position:
        return {"qty": "0"}
    if order.quote_quantity is not None:
        step = Decimal(1).scaleb(-instrument.quote_decimals)
        return {"marketUnit": "quoteCoin", "qty": _plain("quote_quantity", order.quote_quantity, step)}
    price = order.price if kind.price else None
    name, value = _counted(instrument, order.quantity, order.contracts, price)
    qty: Params = {"qty": _plain(name, value, instrument.quantity_step)}
    return {"marketUnit": "baseCoin", **qty} if market.is_spot and kind.word == "Market" else qty


def place_params(order: PlaceOrder, client_id: str, instrument: Instrument, market: Market) -> Params:
    """One order. Conditional ones say which way the price has to go; on spot the venue takes that from the price by itself.

    Spot's conditional orders are its TP/SL orders: their funds are locked at once, as everywhere else in this library.

    Raises:
        InvalidRequest: the venue would refuse its form; says what it takes.
        Unsupported: what the product does not have.
    """
    params = _named(market, order, instrument)
    kind = _KINDS.get(order.type)
    if kind is None:
        names = ", ".join(each.name for each in _KINDS)
        raise InvalidRequest(f"order type {order.type.name} cannot be asked for. {VENUE} has {names}.")
    if lacking := _unsupported(order, market):
        raise Unsupported(f"{market.name} has {lacking}.")
    if problem := _problem(order, kind):
        raise InvalidRequest(f"{order.type.name} order of {order.symbol}: {problem}.")
    params |= {"side": _SIDE_WORDS[order.side], "orderType": kind.word}
    params |= _amounts(order, market, instrument, kind)
    if order.price is not None:
        params["price"] = _plain("price", order.price, instrument.price_tick)
    if order.type is OrderType.LIMIT_MAKER:
        params["timeInForce"] = "PostOnly"
    elif kind.time_in_force:
        params["timeInForce"] = _TIME_WORDS[order.time_in_force or TimeInForce.GTC]
    params["orderLinkId"] = _client_id(client_id)
    if order.stop_price is not None:
        params["triggerPrice"] = _plain("stop_price", order.stop_price, instrument.price_tick)
        if market.is_spot:
            params["orderFilter"] = "tpslOrder"
        else:
            params["triggerDirection"] = _RISES if (order.side is Side.BUY) is kind.stops else _FALLS
            if order.trigger_by is not None:
                params["triggerBy"] = _TRIGGERS[order.trigger_by]
    elif market.is_spot:
        params["orderFilter"] = "Order"
    if order.reduce_only or order.close_position:
        params["reduceOnly"] = True
    if order.close_position:
        params["closeOnTrigger"] = True
    if order.position_side is not PositionSide.NET:
        params["positionIdx"] = _POSITIONS[order.position_side]
    if order.self_trade is not None:
        params["smpType"] = _SELF_TRADE[order.self_trade]
    return params


# ---------------------------------------------------------------- one order that is there already


def id_params(client_id: str | None, venue_id: str | None) -> Params:
    """Which order is meant, by one id: of two the venue would look at its own only.

    Raises:
        InvalidRequest: neither is given, or one is malformed.
    """
    if client_id:
        return {"orderLinkId": _client_id(client_id)}
    if venue_id is None or _VENUE_ID.fullmatch(venue_id) is None:
        raise InvalidRequest(f"which order is meant? Give its client_id or its venue_id, not {venue_id!r:.60}.")
    return {"orderId": venue_id}


def cancel_params(order: CancelOrder, current: Order, instrument: Instrument, market: Market) -> Params:
    """On spot the kind of order has to be named; a conditional one that is on the book is an ordinary one."""
    params = _named(market, order, instrument) | id_params(order.client_id, current.venue_id)
    if market.is_spot:
        waits = current.type in CONDITIONAL and current.status_text not in _WAITING
        params["orderFilter"] = "tpslOrder" if waits else "Order"
    return params


def amend_params(order: AmendOrder, current: Order, instrument: Instrument, market: Market) -> Params:
    """What changes, and nothing else. The quantity is the whole one, filled part included, in what the order was placed in."""
    params = _named(market, order, instrument) | id_params(order.client_id, current.venue_id)
    if order.quantity is not None:
        contracts = order.quantity if current.in_contracts else None
        price = current.price if order.price is None else order.price
        name, value = _counted(instrument, order.quantity, contracts, price)
        params["qty"] = _plain(name, value, instrument.quantity_step)
    if order.price is not None:
        params["price"] = _plain("price", order.price, instrument.price_tick)
    return params
