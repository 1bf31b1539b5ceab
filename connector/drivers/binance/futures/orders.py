"""Commands as Binance futures' parameters: every value checked and written before anything is signed. Sends nothing.

Two kinds of orders live apart at the venue. LIMIT and MARKET orders are *regular*; conditional ones are *algo* orders, with
endpoints, ids and a list of their own, until their trigger makes a regular order of them. A venue id tells the two apart: of a
regular order it is the number, of an algo order that has not been triggered "algo:" and its number. Both carry our client id.

Numbers are written as plain decimals without idle zeros; none is ever rounded here. What the venue would refuse for its form
alone is refused here; filters, margin and positions are not looked at.

Source: venue API docs, "New Order", "New Algo Order", "Modify Order", read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, SelfTrade, TriggerPrice
from connector.domain.contracts import amended_contracts, ordered_contracts
from connector.domain.instruments import Instrument
from connector.domain.market import Side
from connector.domain.orders import Order, OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.binance import checks
from connector.drivers.binance.futures import facts
from connector.drivers.binance.futures.facts import Futures
from connector.errors import InvalidRequest, Unsupported

__all__ = [
    "ALGO",
    "CALLS",
    "CLIENT_ID",
    "CONDITIONAL",
    "ORDER_TYPES",
    "POSITION_SIDES",
    "SIDES",
    "TIMES_IN_FORCE",
    "WINDOW_S",
    "Call",
    "Params",
    "algo_id",
    "amend_params",
    "cancel_call",
    "cancel_params",
    "capabilities",
    "charges",
    "fills_params",
    "first_start",
    "is_algo",
    "order_params",
    "place_call",
    "place_params",
    "window",
    "within",
]

Params = list[tuple[str, str | int]]
"""Pairs in the order they are sent. Whole numbers are numbers in the WebSocket API's JSON, decimals are text everywhere."""

CLIENT_ID = r"[.A-Z:/a-z0-9_-]{1,36}"
_CLIENT_ID = re.compile(CLIENT_ID, re.ASCII)
ALGO = "algo:"
WINDOW_S = 7 * 86_400  # both ends of a question about orders or fills lie less than this apart
_WINDOW_MS = WINDOW_S * 1_000

# ---------------------------------------------------------------- where each call goes, and what it costs


class Call(NamedTuple):
    """One signed call: its REST method and path, its WebSocket API name, the weight it costs, the orders it counts as."""

    method: str
    path: str
    name: str
    weight: int
    orders: int = 0


def _calls(futures: Futures) -> dict[str, Call]:
    """What can be called, of one product. COIN-M has no test of orders, REST alone for algo orders, and some other weights."""
    v1, coin = f"{futures.root}/v1", futures.contracts
    found = {
        "place": Call("POST", f"{v1}/order", "order.place", 0, 1),
        "place algo": Call("POST", f"{v1}/algoOrder", "" if coin else "algoOrder.place", 0, 1),
        "cancel": Call("DELETE", f"{v1}/order", "order.cancel", 1),
        "cancel algo": Call("DELETE", f"{v1}/algoOrder", "" if coin else "algoOrder.cancel", 1),
        "amend": Call("PUT", f"{v1}/order", "order.modify", 1 if coin else 0, 1),
        "order": Call("GET", f"{v1}/order", "order.status", 1),
        "algo order": Call("GET", f"{v1}/algoOrder", "", 1),
        "open orders": Call("GET", f"{v1}/openOrders", "", 1),
        "all open orders": Call("GET", f"{v1}/openOrders", "", 40),
        "open algo orders": Call("GET", f"{v1}/openAlgoOrders", "", 1),
        "all open algo orders": Call("GET", f"{v1}/openAlgoOrders", "", 40),
        "orders since": Call("GET", f"{v1}/allOrders", "", 5),
        "algo orders since": Call("GET", f"{v1}/allAlgoOrders", "", 5),
        "fills": Call("GET", f"{v1}/userTrades", "", 5),
        "balances": Call("GET", f"{v1}/balance" if coin else f"{futures.root}/v3/balance", "", 1 if coin else 5),
    }
    if not coin:
        found["test"] = Call("POST", f"{v1}/order/test", "", 1)
    return found


CALLS: Mapping[str, Mapping[str, Call]] = {futures.venue: _calls(futures) for futures in (facts.USDM, facts.COINM)}
"""By product and by what is done."""


def charges(call: Call) -> tuple[Charge, ...]:
    """What the call costs, whichever way it is sent. Orders count per ten seconds and per minute."""
    counted = (Charge(facts.ORDERS_10S, call.orders), Charge(facts.ORDERS_60S, call.orders)) if call.orders else ()
    return (*((Charge(facts.REQUEST_WEIGHT, call.weight),) if call.weight else ()), *counted)


# ---------------------------------------------------------------- words and numbers


class _Kind(NamedTuple):
    """What an order type is called, and what it takes: a limit price, a trigger, a time in force."""

    word: str
    price: bool
    trigger: bool
    time_in_force: bool


_KINDS = {
    OrderType.LIMIT: _Kind("LIMIT", True, False, True),
    OrderType.MARKET: _Kind("MARKET", False, False, False),
    OrderType.LIMIT_MAKER: _Kind("LIMIT", True, False, False),
    OrderType.STOP: _Kind("STOP_MARKET", False, True, False),
    OrderType.STOP_LIMIT: _Kind("STOP", True, True, True),
    OrderType.TAKE_PROFIT: _Kind("TAKE_PROFIT_MARKET", False, True, False),
    OrderType.TAKE_PROFIT_LIMIT: _Kind("TAKE_PROFIT", True, True, True),
}
CONDITIONAL = frozenset(kind for kind, words in _KINDS.items() if words.trigger)
"""Types that are algo orders until they are triggered."""
_TRAILING = "TRAILING_STOP_MARKET"
_POST_ONLY = "GTX"
ORDER_TYPES = {
    "LIMIT": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_MARKET": OrderType.STOP,
    _TRAILING: OrderType.STOP,
    "STOP": OrderType.STOP_LIMIT,
    "TAKE_PROFIT_MARKET": OrderType.TAKE_PROFIT,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT_LIMIT,
}
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
# GTX is post-only and rests until it is cancelled; GTD, RPI and the venue's own GTE_GTC are OTHER.
TIMES_IN_FORCE = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    _POST_ONLY: TimeInForce.GTC,
}
POSITION_SIDES = {"BOTH": PositionSide.NET, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}
_SIDE_WORDS = {side: word for word, side in SIDES.items()}
_TIME_WORDS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_POSITION_WORDS = {side: word for word, side in POSITION_SIDES.items()}
_OPENS = {PositionSide.LONG: Side.BUY, PositionSide.SHORT: Side.SELL}
_TRIGGERS = {TriggerPrice.LAST: "CONTRACT_PRICE", TriggerPrice.MARK: "MARK_PRICE"}
_SELF_TRADE = {mode: mode.name for mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH)}
_TRAILING_BIPS = (10, 2_000)  # 0.1 % to 20 % (since 2026-10)

_TIMED = "GTC, IOC, FOK"
_NOTES = {
    OrderType.LIMIT: _TIMED,
    OrderType.LIMIT_MAKER: "GTX",
    OrderType.STOP: "stop price, or trailing with an activation price if wanted",
    OrderType.STOP_LIMIT: _TIMED,
    OrderType.TAKE_PROFIT_LIMIT: _TIMED,
}


def capabilities(futures: Futures) -> tuple[tuple[str, str, str], ...]:
    """(area, name, note) of the private half, for the capability table."""
    by_rest = "conditional orders by REST" if futures.contracts else ""
    both = "REST or session" + (f"; {by_rest}" if by_rest else "")
    return (
        *(("order", kind.value, _NOTES.get(kind, "")) for kind in _KINDS),
        ("order", "self-trade prevention", ", ".join(mode.value for mode in _SELF_TRADE)),
        ("order", "reduce only", ""),
        ("order", "close position", "stop and take_profit"),
        ("order", "hedge mode", ""),
        ("order", "trigger price", ", ".join(price.value for price in _TRIGGERS)),
        *((("order", "contracts", "whole ones"),) if futures.contracts else (("order", "test", "limit and market"),)),
        ("command", "place", both),
        ("command", "cancel", both),
        ("command", "amend", "quantity and price of limit orders, losing their place; REST or session"),
        ("command", "leverage", ""),
        ("command", "margin mode", "per symbol"),
        ("command", "position mode", "whole account, both futures products"),
        *(("account", name, "") for name in ("order", "open orders", "fills", "orders since", "balances", "positions")),
        ("account", "funding", ""),
        ("account", "events", "connection of its own, by listen key"),
        ("key", "hmac", ""),
        ("key", "ed25519", ""),
        ("key", "rsa", ""),
    )


def _plain(futures: Futures, name: str, value: Decimal, decimals: int) -> str:
    """As few digits as say the same: the venue counts those after the point, and refuses too many."""
    text = checks.plain(futures.venue, name, value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _client_id(futures: Futures, text: str) -> str:
    if _CLIENT_ID.fullmatch(text) is None:
        raise InvalidRequest(
            f"client id {text!r:.60} is not one {futures.venue} takes: 1 to 36 of a-z, A-Z, 0-9 and . : / _ -"
        )
    return text


def _same_symbol(command: PlaceOrder | CancelOrder | AmendOrder, instrument: Instrument) -> str:
    if command.symbol != instrument.symbol:
        raise InvalidRequest(f"the command is about {command.symbol}, the instrument is {instrument.symbol}.")
    return instrument.venue_name


def _counted(futures: Futures, name: str, value: Decimal, instrument: Instrument) -> str:
    """A quantity in what the venue counts."""
    if futures.contracts and value != value.to_integral_value():
        raise InvalidRequest(
            f"{name} of {instrument.symbol} comes to {value:.20f} contracts. {futures.title} trades whole contracts of "
            f"{instrument.contract_size} {instrument.symbol.quote}; give contracts."
        )
    return _plain(futures, name, value, 0 if futures.contracts else instrument.base_decimals)


# ---------------------------------------------------------------- one order


def place_call(futures: Futures, order: PlaceOrder) -> str:
    """Which of `CALLS` places it.

    Raises:
        Unsupported: a test of what cannot be tested.
    """
    conditional = order.type in CONDITIONAL
    if not order.test:
        return "place algo" if conditional else "place"
    if futures.contracts or conditional:
        what = "conditional orders" if conditional else "orders"
        raise Unsupported(f"{futures.title} has no test of {what}. Nothing was sent.")
    return "test"


def _unsupported(futures: Futures, order: PlaceOrder) -> str:
    """What the venue does not have at all; "" when it has everything asked for."""
    if order.quote_quantity is not None:
        return "orders by quote_quantity"
    if order.contracts is not None and not futures.contracts:
        return "contracts: it counts base units, so give quantity"
    if order.iceberg_quantity is not None:
        return "iceberg orders"
    if order.self_trade is not None and order.self_trade not in _SELF_TRADE:
        return f"self_trade {order.self_trade.value}"
    if order.trigger_by is not None and order.trigger_by not in _TRIGGERS:
        return f"triggers by the {order.trigger_by.value} price"
    if order.trailing_bips is not None and order.type is not OrderType.STOP:
        return f"trailing {order.type.value} orders"
    return ""


def _problem(order: PlaceOrder, kind: _Kind) -> str:
    """What is wrong with the composition of an order; "" when nothing is."""
    amounts = (order.quantity is not None) + (order.contracts is not None)
    if order.close_position:
        if amounts or order.reduce_only:
            return "close_position goes without a quantity and without reduce_only"
        if kind.price or not kind.trigger or order.trailing_bips is not None:
            return "close_position goes with stop and take_profit orders that have a stop_price"
    elif amounts != 1:
        return "give quantity or contracts, and only one of them"
    if (order.price is not None) != kind.price:
        return "it needs a price" if kind.price else "it takes no price"
    triggers = order.stop_price is not None or order.trailing_bips is not None
    if triggers != kind.trigger:
        return (
            "it needs stop_price, or trailing_bips on a stop"
            if kind.trigger
            else "it takes no stop_price or trailing_bips"
        )
    if order.trigger_by is not None and not kind.trigger:
        return "it has no trigger, so no trigger_by"
    low, high = _TRAILING_BIPS
    if order.trailing_bips is not None and not low <= order.trailing_bips <= high:
        return f"trailing_bips is {order.trailing_bips}; expected {low} to {high}"
    if order.time_in_force is not None and not kind.time_in_force:
        return "it takes no time_in_force"
    if order.time_in_force is TimeInForce.OTHER:
        return "time_in_force OTHER cannot be asked for"
    opening = _OPENS.get(order.position_side) is order.side
    if opening and (order.reduce_only or order.close_position):
        return f"a {order.side.value} makes the {order.position_side.value} position larger, so it closes nothing"
    return ""


def _quantity(futures: Futures, order: PlaceOrder, instrument: Instrument) -> str:
    try:
        counted = ordered_contracts(order, instrument)
    except ValueError:
        counted = None
    if counted is None:
        raise InvalidRequest(
            f"{order.symbol}: without a price base units are no number of contracts. Give contracts in place of quantity."
        )
    return _counted(futures, "quantity", counted, instrument)


def _terms(futures: Futures, order: PlaceOrder, instrument: Instrument) -> Params:
    """What regular and algo orders say alike; what reduces is told by the side in hedge mode, and not said twice."""
    params: Params = []
    if order.position_side is not PositionSide.NET:
        params.append(("positionSide", _POSITION_WORDS[order.position_side]))
    elif order.reduce_only:
        params.append(("reduceOnly", "true"))
    if order.self_trade is not None:
        params.append(("selfTradePreventionMode", _SELF_TRADE[order.self_trade]))
    return params


def place_params(futures: Futures, order: PlaceOrder, client_id: str, instrument: Instrument) -> Params:
    """One order, for the call `place_call` names.

    The venue is asked for the result, not only for a receipt. Its answer names no price (since 2026-07), and without one what
    contracts traded is no amount of base units: of an order without a price a receipt is asked for there, the rest is told by
    the account's events.

    Raises:
        InvalidRequest: the venue would refuse its form; says what it takes.
        Unsupported: the venue has no such orders.
    """
    name, kind = _same_symbol(order, instrument), _KINDS.get(order.type)
    if kind is None:
        raise InvalidRequest(
            f"order type {order.type.name} cannot be asked for. {futures.title} has "
            f"{', '.join(each.value for each in _KINDS)}."
        )
    if lacking := _unsupported(futures, order):
        raise Unsupported(f"{futures.title} has no {lacking}. Nothing was sent.")
    if problem := _problem(order, kind):
        raise InvalidRequest(f"{order.type.value} order of {order.symbol}: {problem}.")
    trailing = order.trailing_bips is not None
    params: Params = [("algoType", "CONDITIONAL")] if kind.trigger else []
    params += [("symbol", name), ("side", _SIDE_WORDS[order.side]), ("type", _TRAILING if trailing else kind.word)]
    if kind.time_in_force or order.type is OrderType.LIMIT_MAKER:
        word = _POST_ONLY if not kind.time_in_force else _TIME_WORDS[order.time_in_force or TimeInForce.GTC]
        params.append(("timeInForce", word))
    if order.close_position:
        params.append(("closePosition", "true"))
    else:
        params.append(("quantity", _quantity(futures, order, instrument)))
    decimals = instrument.quote_decimals
    if order.price is not None:
        params.append(("price", _plain(futures, "price", order.price, decimals)))
    if order.stop_price is not None:
        trigger = _plain(futures, "stop_price", order.stop_price, decimals)
        params.append(("activatePrice" if trailing else "triggerPrice", trigger))
    if order.trailing_bips is not None:
        params.append(("callbackRate", _plain(futures, "trailing_bips", Decimal(order.trailing_bips).scaleb(-2), 2)))
    if order.trigger_by is not None:
        params.append(("workingType", _TRIGGERS[order.trigger_by]))
    receipt = futures.contracts and order.price is None and not kind.trigger
    return [
        *params,
        ("clientAlgoId" if kind.trigger else "newClientOrderId", _client_id(futures, client_id)),
        ("newOrderRespType", "ACK" if receipt else "RESULT"),
        *_terms(futures, order, instrument),
    ]


# ---------------------------------------------------------------- one order that is there already


def algo_id(number: int) -> str:
    """The venue id of an algo order that has not been triggered."""
    return f"{ALGO}{number}"


def is_algo(venue_id: str | None, current: Order | None) -> bool:
    """Whether an order is to be found among the algo orders: its id says so, or its type where no id is known yet."""
    if venue_id is not None:
        return venue_id.startswith(ALGO)
    return current is not None and current.type in CONDITIONAL


def order_params(
    futures: Futures, instrument: Instrument, client_id: str | None, venue_id: str | None, current: Order | None
) -> tuple[bool, Params]:
    """(among the algo orders, which one is meant). The venue's own id goes first, since it is unique for ever.

    Raises:
        InvalidRequest: neither id is given, or one is malformed.
    """
    if venue_id is None and current is not None and current.type in CONDITIONAL:
        venue_id = current.venue_id  # only that tells whether it has been triggered
    algo, number = is_algo(venue_id, current), None
    if venue_id is not None:
        number = checks.number(futures.venue, "venue_id", venue_id.removeprefix(ALGO))
    if number is None and client_id is None:
        raise InvalidRequest("which order is meant? Give its client_id, its venue_id or both.")
    if algo:
        which: Params = [("algoId", number)] if number is not None else []
        return True, which or [("clientAlgoId", _client_id(futures, client_id or ""))]
    params: Params = [("symbol", instrument.venue_name)]
    if number is not None:
        return False, [*params, ("orderId", number)]
    return False, [*params, ("origClientOrderId", _client_id(futures, client_id or ""))]


def cancel_params(futures: Futures, order: CancelOrder, current: Order, instrument: Instrument) -> tuple[bool, Params]:
    _same_symbol(order, instrument)
    return order_params(futures, instrument, order.client_id, current.venue_id, current)


def cancel_call(algo: bool) -> str:
    return "cancel algo" if algo else "cancel"


def amend_params(futures: Futures, order: AmendOrder, current: Order, instrument: Instrument) -> Params:
    """The venue wants quantity and price both, so the one that is to stay is repeated as it is known.

    Raises:
        Unsupported: it is not a limit order on the book.
        InvalidRequest: what is to stay is not known.
    """
    _same_symbol(order, instrument)
    algo, which = order_params(futures, instrument, order.client_id, current.venue_id, current)
    if algo or current.price is None:
        raise Unsupported(
            f"{futures.title} amends limit orders on the book, no other. Cancel the order and place another."
        )
    price = current.price if order.price is None else order.price
    quantity = amended_contracts(order, current, instrument)
    if quantity is None:
        quantity = current.contracts if futures.contracts else current.quantity
    if not quantity:
        raise InvalidRequest(f"how large the order {order.client_id} is is not known. Give the whole quantity.")
    return [
        *which,
        ("side", _SIDE_WORDS[current.side]),
        ("quantity", _counted(futures, "quantity", quantity, instrument)),
        ("price", _plain(futures, "price", price, instrument.quote_decimals)),
    ]


# ---------------------------------------------------------------- lists


def fills_params(
    futures: Futures,
    instrument: Instrument,
    from_id: str | None,
    start_ns: int | None,
    venue_id: str | None,
    now_ms: int,
) -> Params:
    """
    Raises:
        InvalidRequest: a combination the venue refuses: a time stands alone.
    """
    if start_ns is not None and (from_id is not None or venue_id is not None):
        raise InvalidRequest("fills are asked for from a time on, or by ids, not by both.")
    params: Params = [("symbol", instrument.venue_name)]
    if venue_id is not None:
        if venue_id.startswith(ALGO):
            raise InvalidRequest(f"order {venue_id} has not been triggered, so it has no fills.")
        params.append(("orderId", checks.number(futures.venue, "venue_id", venue_id)))
    if from_id is not None:
        params.append(("fromId", checks.number(futures.venue, "from_id", from_id)))
    if start_ns is not None:
        params += window(start_ns, now_ms)
    return [*params, ("limit", facts.TRADE_LIMIT)]


def window(start_ns: int, now_ms: int) -> Params:
    """From a time on, and no further than one question may reach: an end is named only where that lies before now.

    Otherwise the venue's own clock says where now is, and nothing that just happened is missed because ours is behind.
    """
    start_ms = checks.since_ms(start_ns)
    return within(start_ms, start_ms + _WINDOW_MS - 1 if now_ms - start_ms >= _WINDOW_MS else None)


def within(start_ms: int, end_ms: int | None) -> Params:
    end: Params = [] if end_ms is None else [("endTime", end_ms)]
    return [("startTime", start_ms), *end]


def first_start(end_ms: int | None, now_ms: int) -> int:
    """Where the first page of a list began, or earlier, told from the end that all its pages name: rows told again do no harm."""
    return max(0, (now_ms if end_ms is None else end_ms) + 1 - _WINDOW_MS)
