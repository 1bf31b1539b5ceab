"""Read the parameters of private spot calls: which each call takes, what they may look like, and the venue's words if not.

Pure. Decimals become integers in units of 1e-8, times microseconds, everything else stays text, whole number or truth value.
Source: the venue's spot REST and WebSocket API documents and error list, read 2026-11; where they give no text, the message
is the one its clients quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from connector.simulator.dialects.binance_spot.rest import INT_RANGE, SYMBOL_RANGE, VenueError

__all__ = ["CALLS", "ROUTES", "Call", "read_fields", "recv_window_us", "time_us"]

DECIMAL_RANGE = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = "^[a-zA-Z0-9-_]{1,36}$"

_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)
_WINDOW = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,3})?", re.ASCII)
_INT = re.compile(r"[0-9]{1,20}", re.ASCII)
_SYMBOL = re.compile(r"(?:[^\Wa-z]|[-.]){1,50}")
_CLIENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}", re.ASCII)


def _illegal(name: str, legal: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def _invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def _decimal(name: str, text: str) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise _illegal(name, DECIMAL_RANGE)
    places = match[2] or ""
    if len(places.rstrip("0")) > 8:
        raise VenueError(-1111, f"Parameter '{name}' has too much precision.")
    return int(match[1] + places[:8].ljust(8, "0"))


def _whole(name: str, text: str) -> int:
    if not _INT.fullmatch(text):
        raise _illegal(name, INT_RANGE)
    value = int(text)
    if value > 2**63 - 1:
        raise _invalid(name)
    return value


def _bips(name: str, text: str) -> int:
    value = _whole(name, text)
    if not value:
        raise _invalid(name)
    return value


def _strategy(name: str, text: str) -> int:
    value = _whole(name, text)
    if value < 1_000_000:
        raise VenueError(-1134, "'strategyType' was less than the required minimum.")
    return value


def _symbol(name: str, text: str) -> str:
    if not _SYMBOL.fullmatch(text):
        raise _illegal(name, SYMBOL_RANGE)
    return text


def _client_id(name: str, text: str) -> str:
    if not _CLIENT_ID.fullmatch(text):
        raise _illegal(name, CLIENT_ID_RANGE)
    return text


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _invalid(name)
    return text.lower() == "true"


def time_us(name: str, text: str) -> int:
    """A time in microseconds; both units are accepted, milliseconds stay below 10^14 until 5138."""
    value = _whole(name, text)
    return value if value >= 10**14 else value * 1000


def _end_us(name: str, text: str) -> int:
    """An end in milliseconds takes its whole millisecond in."""
    at_us = time_us(name, text)
    return at_us if at_us == int(text) else at_us + 999


def recv_window_us(text: str) -> int:
    """A window of milliseconds with up to three decimal places, in microseconds."""
    if not _WINDOW.fullmatch(text):
        raise _illegal("recvWindow", "^[0-9]{1,20}(\\.[0-9]{1,3})?$")
    whole, _, part = text.partition(".")
    value = int(whole) * 1000 + int(part.ljust(3, "0"))
    if value > 60_000_000:
        raise VenueError(-1131, "recvWindow must be less than 60000.")
    return value


def _one_of(code: int, message: str, *known: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in known:
            raise VenueError(code, message.format(name=name))
        return text

    return read


_SIDE = _one_of(-1117, "Invalid side.", "BUY", "SELL")
_TIF = _one_of(-1115, "Invalid timeInForce.", "GTC", "IOC", "FOK")
_TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_TYPE = _one_of(-1116, "Invalid orderType.", *_TYPES)
_BAD = "Data sent for parameter '{name}' is not valid."

Reader = Callable[[str, str], Any]

# By the last word of a parameter's name: `workingPrice`, `pendingAbovePrice` and `price` read alike.
_READERS: dict[str, Reader] = {
    "symbol": _symbol,
    "side": _SIDE,
    "type": _TYPE,
    "timeInForce": _TIF,
    "quantity": _decimal,
    "newQty": _decimal,
    "quoteOrderQty": _decimal,
    "price": _decimal,
    "stopPrice": _decimal,
    "icebergQty": _decimal,
    "trailingDelta": _bips,
    "newClientOrderId": _client_id,
    "origClientOrderId": _client_id,
    "cancelNewClientOrderId": _client_id,
    "cancelOrigClientOrderId": _client_id,
    "listClientOrderId": _client_id,
    "clientOrderId": _client_id,
    "orderId": _whole,
    "cancelOrderId": _whole,
    "orderListId": _whole,
    "fromId": _whole,
    "fromExecutionId": _whole,
    "preventedMatchId": _whole,
    "fromPreventedMatchId": _whole,
    "limit": _bips,
    "startTime": time_us,
    "endTime": _end_us,
    "strategyId": _whole,
    "strategyType": _strategy,
    "omitZeroBalances": _truth,
    "computeCommissionRates": _truth,
    "newOrderRespType": _one_of(-1130, _BAD, "ACK", "RESULT", "FULL"),
    "selfTradePreventionMode": _one_of(
        -1130, _BAD, "NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"
    ),
    "cancelRestrictions": _one_of(-1145, "Invalid cancelRestrictions.", "ONLY_NEW", "ONLY_PARTIALLY_FILLED"),
    "cancelReplaceMode": _one_of(-1130, _BAD, "STOP_ON_FAILURE", "ALLOW_FAILURE"),
    "orderRateLimitExceededMode": _one_of(-1130, _BAD, "DO_NOTHING", "CANCEL_ONLY"),
}
_PREFIX = re.compile(r"^(?:working|pending)?(?:[Aa]bove|[Bb]elow)?(?=[A-Z])")


def _reader(name: str) -> Reader:
    known = _READERS.get(name)
    if known is None:
        short = _PREFIX.sub("", name)
        known = _READERS[short[0].lower() + short[1:]]
    return known


Weight = Callable[[Mapping[str, str]], int]


class Call(NamedTuple):
    """One private call under its WebSocket API name.

    `fields` are what it reads besides timestamp, window and signature; those of `mandatory` must be there ("a|b": one of them).
    `free`: costs nothing when it succeeds. `trade` needs the right to trade. `orders`: how many orders it may place.
    """

    name: str
    weight: Weight
    fields: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()
    free: bool = False
    trade: bool = False
    orders: int = 0

    @property
    def handler(self) -> str:
        """Name of the method that answers it."""
        return re.sub(r"[.]|(?<=[a-z])(?=[A-Z])", "_", self.name).lower()


def _flat(weight: int) -> Weight:
    return lambda sent: weight


def _open_weight(sent: Mapping[str, str]) -> int:
    return 6 if "symbol" in sent else 80


_ONE = ("symbol", "orderId", "origClientOrderId")
_LABELS = ("strategyId", "strategyType")
_ORDER = (
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    *_LABELS,
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "newOrderRespType",
    "selfTradePreventionMode",
)
_LIST = ("symbol", "listClientOrderId", "newOrderRespType", "selfTradePreventionMode")
_LEG: tuple[str, ...] = (
    "Type",
    "ClientOrderId",
    "IcebergQty",
    "Price",
    "StopPrice",
    "TrailingDelta",
    "TimeInForce",
    "StrategyId",
    "StrategyType",
)


def _leg(prefix: str, *more: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in (*_LEG, *more))


_RANGE = ("startTime", "endTime", "limit")

CALLS: dict[str, Call] = {
    call.name: call
    for call in (
        Call("order.place", _flat(1), _ORDER, ("symbol", "side", "type"), free=True, trade=True, orders=1),
        Call(
            "order.test",
            lambda sent: 20 if sent.get("computeCommissionRates", "").lower() == "true" else 1,
            (*_ORDER, "computeCommissionRates"),
            ("symbol", "side", "type"),
            trade=True,
        ),
        Call("order.cancel", _flat(1), (*_ONE, "newClientOrderId", "cancelRestrictions"), ("symbol",), True, True),
        Call("openOrders.cancelAll", _flat(1), ("symbol",), ("symbol",), True, True),
        Call(
            "order.cancelReplace",
            _flat(1),
            (
                *_ORDER,
                "cancelReplaceMode",
                "cancelOrderId",
                "cancelOrigClientOrderId",
                "cancelNewClientOrderId",
                "cancelRestrictions",
                "orderRateLimitExceededMode",
            ),
            ("symbol", "side", "type", "cancelReplaceMode"),
            True,
            True,
            1,
        ),
        Call(
            "order.amend.keepPriority",
            _flat(4),
            (*_ONE, "newQty", "newClientOrderId"),
            ("symbol", "newQty"),
            True,
            True,
        ),
        Call(
            "orderList.place.oco",
            _flat(1),
            (*_LIST, "side", "quantity", *_leg("above"), *_leg("below")),
            ("symbol", "side", "quantity", "aboveType", "belowType"),
            True,
            True,
            2,
        ),
        Call(
            "orderList.place.oto",
            _flat(1),
            (*_LIST, *_leg("working", "Side", "Quantity"), *_leg("pending", "Side", "Quantity")),
            (
                "symbol",
                "workingType",
                "workingSide",
                "workingPrice",
                "workingQuantity",
                "pendingType",
                "pendingSide",
                "pendingQuantity",
            ),
            True,
            True,
            2,
        ),
        Call(
            "orderList.place.otoco",
            _flat(1),
            (
                *_LIST,
                *_leg("working", "Side", "Quantity"),
                "pendingSide",
                "pendingQuantity",
                *_leg("pendingAbove"),
                *_leg("pendingBelow"),
            ),
            (
                "symbol",
                "workingType",
                "workingSide",
                "workingPrice",
                "workingQuantity",
                "pendingSide",
                "pendingQuantity",
                "pendingAboveType",
            ),
            True,
            True,
            3,
        ),
        Call(
            "orderList.cancel",
            _flat(1),
            ("symbol", "orderListId", "listClientOrderId", "newClientOrderId"),
            ("symbol",),
            True,
            True,
        ),
        Call("order.status", _flat(4), _ONE, ("symbol",)),
        Call("openOrders.status", _open_weight, ("symbol",)),
        Call("allOrders", _flat(20), ("symbol", "orderId", *_RANGE), ("symbol",)),
        Call(
            "myTrades",
            lambda sent: 5 if "orderId" in sent else 20,
            ("symbol", "orderId", "fromId", *_RANGE),
            ("symbol",),
        ),
        Call("account.status", _flat(20), ("omitZeroBalances",)),
        Call("account.commission", _flat(20), ("symbol",), ("symbol",)),
        Call("account.rateLimits.orders", _flat(40)),
        Call("orderList.status", _flat(4), ("orderListId", "origClientOrderId")),
        Call("openOrderLists.status", _flat(6)),
        Call("allOrderLists", _flat(20), ("fromId", *_RANGE)),
        Call("order.amendments", _flat(4), ("symbol", "orderId", "fromExecutionId", "limit"), ("symbol", "orderId")),
        Call(
            "myPreventedMatches",
            lambda sent: 2 if "preventedMatchId" in sent else 20,
            ("symbol", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"),
            ("symbol",),
        ),
        Call("myAllocations", _flat(20), ("symbol", "orderId", "fromId", *_RANGE), ("symbol",)),
        Call("myFilters", _flat(40), ("symbol",), ("symbol",)),
    )
}
"""Private calls by name."""

ROUTES: dict[tuple[str, str], Call] = {
    (method, f"/api/v3/{path}"): CALLS[name]
    for method, path, name in (
        ("POST", "order", "order.place"),
        ("POST", "order/test", "order.test"),
        ("DELETE", "order", "order.cancel"),
        ("GET", "order", "order.status"),
        ("DELETE", "openOrders", "openOrders.cancelAll"),
        ("GET", "openOrders", "openOrders.status"),
        ("POST", "order/cancelReplace", "order.cancelReplace"),
        ("PUT", "order/amend/keepPriority", "order.amend.keepPriority"),
        ("GET", "order/amendments", "order.amendments"),
        ("POST", "orderList/oco", "orderList.place.oco"),
        ("POST", "orderList/oto", "orderList.place.oto"),
        ("POST", "orderList/otoco", "orderList.place.otoco"),
        ("DELETE", "orderList", "orderList.cancel"),
        ("GET", "orderList", "orderList.status"),
        ("GET", "openOrderList", "openOrderLists.status"),
        ("GET", "allOrderList", "allOrderLists"),
        ("GET", "allOrders", "allOrders"),
        ("GET", "myTrades", "myTrades"),
        ("GET", "account", "account.status"),
        ("GET", "account/commission", "account.commission"),
        ("GET", "rateLimit/order", "account.rateLimits.orders"),
        ("GET", "myPreventedMatches", "myPreventedMatches"),
        ("GET", "myAllocations", "myAllocations"),
        ("GET", "myFilters", "myFilters"),
    )
}
"""Private calls by HTTP method and path."""

LIMITS = {
    "allOrders": (500, 1000),
    "myTrades": (500, 1000),
    "allOrderLists": (500, 1000),
    "order.amendments": (500, 1000),
    "myPreventedMatches": (500, 1000),
    "myAllocations": (500, 1000),
}


def read_fields(call: Call, sent: Mapping[str, str], always: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of a call by name, checked.

    Args:
        call: the call.
        sent: what came, decoded.
        always: names that every signed call may carry, read elsewhere.

    Raises:
        VenueError: with the venue's code and message.
    """
    own = {name: text for name, text in sent.items() if name not in always}
    known = [name for name in own if name in call.fields]
    for name in known:
        if not own[name]:
            raise VenueError(-1105, f"Parameter '{name}' was empty.")
    for name in call.mandatory:
        if name not in own:
            raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if len(known) < len(own):
        if any(name.startswith("peg") for name in own):
            raise VenueError(-1020, "This operation is not supported.")
        expected, received = len(sent) - len(own) + len(known), len(sent)
        raise VenueError(-1101, f"Too many parameters; expected '{expected}' and received '{received}'.")
    values = {name: _reader(name)(name, own[name]) for name in known}
    if call.name in LIMITS:
        usual, most = LIMITS[call.name]
        values["limit"] = min(values.get("limit", usual), most)
    return values
