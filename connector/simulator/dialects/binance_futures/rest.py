"""Read requests as the futures venue does: which calls there are, what they cost, what parameters may look like.

Decides cost and form only. Decimals become integers in units of 1e-8, times milliseconds, everything else stays text, whole
number or truth value. A parameter a call does not know is not looked at. Source: the venue's futures documents and error codes,
read 2026-11; where they give no text, the message is the one its clients quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from connector.simulator.candles import INTERVALS
from connector.simulator.dialects.binance_spot.rest import VenueError

__all__ = ["CALLS", "INTERVALS_HERE", "Call", "VenueError", "find_call", "read_fields", "recv_window_ms", "whole"]

INTERVALS_HERE = tuple(name for name in INTERVALS if name != "1s")

_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)
_SIGNED = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)


def _missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _illegal(name: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in a parameter '{name}'.")


def _invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def decimal(name: str, text: str) -> int:
    """An amount in 1e-8."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise _illegal(name)
    places = match[2] or ""
    if len(places.rstrip("0")) > 8:
        raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
    return int(match[1] + places[:8].ljust(8, "0"))


def whole(name: str, text: str) -> int:
    """A whole number of at most 63 bits."""
    if not _SIGNED.fullmatch(text):
        raise _illegal(name)
    value = int(text)
    if not 0 <= value < 2**63:
        raise _invalid(name)
    return value


def _limit(name: str, text: str) -> int:
    value = whole(name, text)
    if not value:
        raise _invalid(name)
    return value


def _text(name: str, text: str) -> str:
    return text


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _invalid(name)
    return text.lower() == "true"


def _client_id(name: str, text: str) -> str:
    if not _CLIENT_ID.fullmatch(text):
        raise VenueError(-4015, "Client order id is not valid.")
    return text


def _interval(name: str, text: str) -> str:
    if text not in INTERVALS_HERE:
        raise VenueError(-1120, "Invalid interval.")
    return text


def _one_of(code: int, message: str, *known: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text.upper() not in known:
            raise VenueError(code, message)
        return text.upper()

    return read


def _json_list(name: str, text: str) -> list[Any]:
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        raise _illegal(name) from None


def recv_window_ms(text: str) -> int:
    """The window of a signed call."""
    value = whole("recvWindow", text)
    if value > 60_000:
        raise VenueError(-1131, "recvWindow must be less than 60000.")
    return value


Reader = Callable[[str, str], Any]
_READERS: dict[str, Reader] = {
    "symbol": _text,
    "pair": _text,
    "contractType": _one_of(-4104, "Invalid contract type.", "PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"),
    "side": _one_of(-1117, "Invalid side.", "BUY", "SELL"),
    "type": _text,
    "algoType": _one_of(-1130, "Invalid algoType.", "CONDITIONAL"),
    "positionSide": _one_of(-4060, "Invalid position side.", "BOTH", "LONG", "SHORT"),
    "timeInForce": _one_of(-1115, "Invalid timeInForce.", "GTC", "IOC", "FOK", "GTX", "GTD", "RPI"),
    "quantity": decimal,
    "price": decimal,
    "triggerPrice": decimal,
    "stopPrice": decimal,
    "activatePrice": decimal,
    "activationPrice": decimal,
    "callbackRate": decimal,
    "amount": decimal,
    "reduceOnly": _truth,
    "closePosition": _truth,
    "priceProtect": _truth,
    "newClientOrderId": _client_id,
    "clientAlgoId": _client_id,
    "origClientOrderId": _text,
    "orderId": whole,
    "algoId": whole,
    "fromId": whole,
    "modifyId": _text,
    "limit": _limit,
    "page": _limit,
    "startTime": whole,
    "endTime": whole,
    "goodTillDate": whole,
    "countdownTime": whole,
    "interval": _interval,
    "workingType": _one_of(-4031, "Invalid working type.", "CONTRACT_PRICE", "MARK_PRICE"),
    "priceMatch": _one_of(
        -5037,
        "Invalid price match",
        "NONE",
        "OPPONENT",
        "OPPONENT_5",
        "QUEUE",
        "QUEUE_5",
        "QUEUE_10",
        "QUEUE_20",
    ),
    "selfTradePreventionMode": _one_of(
        -5039, "Invalid self trade prevention mode.", "NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"
    ),
    "newOrderRespType": _one_of(-1130, "Invalid newOrderRespType.", "ACK", "RESULT"),
    "leverage": whole,
    "marginType": _one_of(-1130, "Data sent for parameter 'marginType' is not valid.", "ISOLATED", "CROSSED"),
    "marginAsset": _text,
    "incomeType": _text,
    "autoCloseType": _one_of(-1130, "Data sent for parameter 'autoCloseType' is not valid.", "LIQUIDATION", "ADL"),
    "dualSidePosition": _truth,
    "multiAssetsMargin": _truth,
    "feeBurn": _truth,
    "batchOrders": _json_list,
    "orderIdList": _json_list,
    "origClientOrderIdList": _json_list,
    "orderidlist": _json_list,  # clients that are in wide use spell it so
    "origclientorderidlist": _json_list,
    "listenKey": _text,
}

Weight = Callable[[Mapping[str, str]], int]
Security = str  # "none", "key" (header only) or "signed"


class Call(NamedTuple):
    """One call: the same word for REST and the WebSocket API, how it is asked for, what it costs and reads.

    `paths` are (HTTP method, path without the product's prefix). `mandatory` names must be there ("a|b": one of them).
    `orders` is how many it counts in 10 seconds and in a minute. `only` restricts it to a product. `limit` is (usual, most).
    """

    name: str
    paths: tuple[tuple[str, str], ...]
    weight: Weight
    fields: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()
    security: Security = "none"
    orders: tuple[int, int] = (0, 0)
    only: str = ""
    limit: tuple[int, int] = (0, 0)
    coin_limit: tuple[int, int] = (0, 0)
    coin_weight: Weight | None = None

    @property
    def handler(self) -> str:
        """Name of the method that answers it."""
        return re.sub(r"[.]|(?<=[a-z])(?=[A-Z])", "_", self.name).lower()

    @property
    def private(self) -> bool:
        """Behind a key, and so open to the faults of calls."""
        return self.security != "none"


def _flat(weight: int) -> Weight:
    return lambda sent: weight


def _by_symbol(one: int, every: int) -> Weight:
    return lambda sent: one if "symbol" in sent else every


def _steps(usual: int, *steps: tuple[int, int], more: int, omitted: int | None = None) -> Weight:
    def weight(sent: Mapping[str, str]) -> int:
        text = sent.get("limit", "")
        if not text.isdecimal() or len(text) > 6:
            return omitted if omitted is not None and not text else next(w for top, w in steps if usual <= top)
        return next((weight for top, weight in steps if int(text) <= top), more)

    return weight


# The document's bands have their lower edge, measured ones their upper edge included; left out it costs as measured (2026-10).
_KLINES = _steps(500, (100, 1), (500, 2), (1000, 5), more=10, omitted=5)
_DEPTH = _steps(500, (50, 2), (100, 5), (500, 10), more=20, omitted=1)
_SPAN = ("startTime", "endTime")
_BARS = (*_SPAN, "interval", "limit")
_ORDER = (
    "symbol",
    "side",
    "type",
    "positionSide",
    "timeInForce",
    "quantity",
    "reduceOnly",
    "price",
    "newClientOrderId",
    "stopPrice",
    "closePosition",
    "activationPrice",
    "callbackRate",
    "workingType",
    "priceProtect",
    "newOrderRespType",
    "priceMatch",
    "selfTradePreventionMode",
    "goodTillDate",
)
_ALGO = (
    "algoType",
    "symbol",
    "side",
    "type",
    "positionSide",
    "timeInForce",
    "quantity",
    "price",
    "triggerPrice",
    "workingType",
    "priceMatch",
    "closePosition",
    "priceProtect",
    "reduceOnly",
    "activatePrice",
    "callbackRate",
    "clientAlgoId",
    "selfTradePreventionMode",
    "goodTillDate",
    "newOrderRespType",
)
_MODIFY = (
    "symbol",
    "side",
    "orderId",
    "origClientOrderId",
    "quantity",
    "price",
    "priceMatch",
    "modifyId",
    "reduceOnly",
)
_ONE = ("symbol", "orderId", "origClientOrderId")


def _get(*paths: str) -> tuple[tuple[str, str], ...]:
    return tuple(("GET", path) for path in paths)


_TABLE = (
    # market data
    Call("ping", _get("/v1/ping"), _flat(1)),
    Call("time", _get("/v1/time"), _flat(1)),
    Call("exchangeInfo", _get("/v1/exchangeInfo"), _flat(1)),
    Call("depth", _get("/v1/depth"), _DEPTH, ("symbol", "limit"), ("symbol",), limit=(500, 1000)),
    Call(
        "rpiDepth", _get("/v1/rpiDepth"), _flat(20), ("symbol", "limit"), ("symbol",), only="usdm", limit=(1000, 1000)
    ),
    Call("trades", _get("/v1/trades"), _flat(5), ("symbol", "limit"), ("symbol",), limit=(500, 1000)),
    Call(
        "historicalTrades",
        _get("/v1/historicalTrades"),
        _flat(200),
        ("symbol", "limit", "fromId"),
        ("symbol",),
        "key",
        limit=(100, 500),
    ),
    Call(
        "aggTrades",
        _get("/v1/aggTrades"),
        _flat(20),
        ("symbol", "fromId", *_SPAN, "limit"),
        ("symbol",),
        limit=(500, 1000),
    ),
    Call("klines", _get("/v1/klines"), _KLINES, ("symbol", *_BARS), ("symbol", "interval"), limit=(500, 1500)),
    Call(
        "continuousKlines",
        _get("/v1/continuousKlines"),
        _KLINES,
        ("pair", "contractType", *_BARS),
        ("pair", "contractType", "interval"),
        limit=(500, 1500),
    ),
    Call(
        "indexPriceKlines",
        _get("/v1/indexPriceKlines"),
        _KLINES,
        ("pair", *_BARS),
        ("pair", "interval"),
        limit=(500, 1500),
    ),
    Call(
        "markPriceKlines",
        _get("/v1/markPriceKlines"),
        _KLINES,
        ("symbol", *_BARS),
        ("symbol", "interval"),
        limit=(500, 1500),
    ),
    Call(
        "premiumIndexKlines",
        _get("/v1/premiumIndexKlines"),
        _KLINES,
        ("symbol", *_BARS),
        ("symbol", "interval"),
        limit=(500, 1500),
    ),
    Call("premiumIndex", _get("/v1/premiumIndex"), _by_symbol(1, 10), ("symbol", "pair"), coin_weight=_flat(10)),
    Call(
        "fundingRate",
        _get("/v1/fundingRate"),
        _flat(0),
        ("symbol", *_SPAN, "limit"),
        limit=(100, 1000),
        coin_weight=_flat(1),
    ),
    Call("fundingInfo", _get("/v1/fundingInfo"), _flat(0)),
    Call("dayTicker", _get("/v1/ticker/24hr"), _by_symbol(1, 40), ("symbol", "pair")),
    Call("priceTicker", _get("/v1/ticker/price", "/v2/ticker/price"), _by_symbol(1, 2), ("symbol", "pair")),
    Call("bookTicker", _get("/v1/ticker/bookTicker"), _by_symbol(2, 5), ("symbol", "pair")),
    Call("openInterest", _get("/v1/openInterest"), _flat(1), ("symbol",), ("symbol",)),
    # orders
    Call(
        "order.place",
        (("POST", "/v1/order"),),
        _flat(0),
        _ORDER,
        ("symbol", "side", "type"),
        "signed",
        (1, 1),
    ),
    Call(
        "order.test", (("POST", "/v1/order/test"),), _flat(1), _ORDER, ("symbol", "side", "type"), "signed", only="usdm"
    ),
    Call(
        "order.place.batch",
        (("POST", "/v1/batchOrders"),),
        _flat(5),
        ("batchOrders",),
        ("batchOrders",),
        "signed",
        (5, 1),
    ),
    Call(
        "order.modify",
        (("PUT", "/v1/order"),),
        _flat(0),
        _MODIFY,
        ("symbol", "side"),
        "signed",
        (1, 1),
        coin_weight=_flat(1),
    ),
    Call(
        "order.modify.batch",
        (("PUT", "/v1/batchOrders"),),
        _flat(5),
        ("batchOrders",),
        ("batchOrders",),
        "signed",
        (5, 1),
    ),
    Call("order.cancel", (("DELETE", "/v1/order"),), _flat(1), _ONE, ("symbol",), "signed"),
    Call(
        "order.cancel.batch",
        (("DELETE", "/v1/batchOrders"),),
        _flat(1),
        ("symbol", "orderIdList", "origClientOrderIdList", "orderidlist", "origclientorderidlist"),
        ("symbol",),
        "signed",
    ),
    Call("openOrders.cancelAll", (("DELETE", "/v1/allOpenOrders"),), _flat(1), ("symbol",), ("symbol",), "signed"),
    Call(
        "countdown.set",
        (("POST", "/v1/countdownCancelAll"),),
        _flat(10),
        ("symbol", "countdownTime"),
        ("symbol", "countdownTime"),
        "signed",
    ),
    Call("order.status", _get("/v1/order"), _flat(1), _ONE, ("symbol",), "signed"),
    Call("openOrder.status", _get("/v1/openOrder"), _flat(1), _ONE, ("symbol",), "signed"),
    Call("openOrders.status", _get("/v1/openOrders"), _by_symbol(1, 40), ("symbol", "pair"), (), "signed"),
    Call(
        "allOrders",
        _get("/v1/allOrders"),
        _flat(5),
        ("symbol", "pair", "orderId", *_SPAN, "limit"),
        (),
        "signed",
        limit=(500, 1000),
        coin_limit=(50, 100),
    ),
    Call(
        "userTrades",
        _get("/v1/userTrades"),
        _flat(5),
        ("symbol", "pair", "orderId", "fromId", *_SPAN, "limit"),
        (),
        "signed",
        limit=(500, 1000),
        coin_limit=(50, 1000),
    ),
    Call(
        "orderAmendment",
        _get("/v1/orderAmendment"),
        _flat(1),
        (*_ONE, *_SPAN, "limit"),
        ("symbol",),
        "signed",
        limit=(50, 100),
    ),
    # conditional orders
    Call(
        "algoOrder.place",
        (("POST", "/v1/algoOrder"),),
        _flat(0),
        _ALGO,
        ("algoType", "symbol", "side", "type"),
        "signed",
        (1, 1),
    ),
    Call("algoOrder.cancel", (("DELETE", "/v1/algoOrder"),), _flat(1), ("algoId", "clientAlgoId"), (), "signed"),
    Call("algoOrder.status", _get("/v1/algoOrder"), _flat(1), ("algoId", "clientAlgoId"), (), "signed"),
    Call("algoOrder.cancelAll", (("DELETE", "/v1/algoOpenOrders"),), _flat(1), ("symbol",), ("symbol",), "signed"),
    Call(
        "openAlgoOrders", _get("/v1/openAlgoOrders"), _by_symbol(1, 40), ("algoType", "symbol", "algoId"), (), "signed"
    ),
    Call(
        "allAlgoOrders",
        _get("/v1/allAlgoOrders"),
        _flat(5),
        ("symbol", "algoId", *_SPAN, "limit", "page"),
        ("symbol",),
        "signed",
        limit=(500, 1000),
    ),
    # account
    Call("account.status", _get("/v1/account", "/v2/account", "/v3/account"), _flat(5), (), (), "signed"),
    Call(
        "account.balance",
        _get("/v1/balance", "/v2/balance", "/v3/balance"),
        _flat(5),
        (),
        (),
        "signed",
        coin_weight=_flat(1),
    ),
    Call(
        "account.position",
        _get("/v1/positionRisk", "/v2/positionRisk", "/v3/positionRisk"),
        _flat(5),
        ("symbol", "pair", "marginAsset"),
        (),
        "signed",
        coin_weight=_flat(1),
    ),
    Call("symbolConfig", _get("/v1/symbolConfig"), _flat(5), ("symbol",), (), "signed", only="usdm"),
    Call("accountConfig", _get("/v1/accountConfig"), _flat(5), (), (), "signed", only="usdm"),
    Call(
        "leverageBracket",
        _get("/v1/leverageBracket", "/v2/leverageBracket"),
        _by_symbol(1, 2),
        ("symbol", "pair"),
        (),
        "signed",
    ),
    Call("commissionRate", _get("/v1/commissionRate"), _flat(20), ("symbol",), ("symbol",), "signed"),
    Call(
        "income",
        _get("/v1/income"),
        _flat(30),
        ("symbol", "incomeType", *_SPAN, "limit", "page"),
        (),
        "signed",
        limit=(100, 1000),
        coin_weight=_flat(20),
    ),
    Call(
        "forceOrders",
        _get("/v1/forceOrders"),
        _by_symbol(20, 50),
        ("symbol", "autoCloseType", *_SPAN, "limit"),
        (),
        "signed",
        limit=(50, 100),
    ),
    Call("adlQuantile", _get("/v1/adlQuantile"), _flat(5), ("symbol",), (), "signed"),
    Call("rateLimit.orders", _get("/v1/rateLimit/order"), _flat(1), (), (), "signed", only="usdm"),
    Call("apiTradingStatus", _get("/v1/apiTradingStatus"), _by_symbol(1, 10), ("symbol",), (), "signed", only="usdm"),
    Call(
        "leverage.set", (("POST", "/v1/leverage"),), _flat(1), ("symbol", "leverage"), ("symbol", "leverage"), "signed"
    ),
    Call(
        "marginType.set",
        (("POST", "/v1/marginType"),),
        _flat(1),
        ("symbol", "marginType"),
        ("symbol", "marginType"),
        "signed",
    ),
    Call(
        "positionMargin.set",
        (("POST", "/v1/positionMargin"),),
        _flat(1),
        ("symbol", "positionSide", "amount", "type"),
        ("symbol", "amount", "type"),
        "signed",
    ),
    Call(
        "positionMargin.history",
        _get("/v1/positionMargin/history"),
        _flat(1),
        ("symbol", "type", *_SPAN, "limit"),
        ("symbol",),
        "signed",
        limit=(500, 500),
    ),
    Call(
        "positionMode.set",
        (("POST", "/v1/positionSide/dual"),),
        _flat(1),
        ("dualSidePosition",),
        ("dualSidePosition",),
        "signed",
    ),
    Call("positionMode.status", _get("/v1/positionSide/dual"), _flat(30), (), (), "signed"),
    Call(
        "multiAssets.set",
        (("POST", "/v1/multiAssetsMargin"),),
        _flat(1),
        ("multiAssetsMargin",),
        ("multiAssetsMargin",),
        "signed",
        only="usdm",
    ),
    Call("multiAssets.status", _get("/v1/multiAssetsMargin"), _flat(30), (), (), "signed", only="usdm"),
    Call("feeBurn.set", (("POST", "/v1/feeBurn"),), _flat(1), ("feeBurn",), ("feeBurn",), "signed", only="usdm"),
    Call("feeBurn.status", _get("/v1/feeBurn"), _flat(30), (), (), "signed", only="usdm"),
    # user stream
    Call("userDataStream.start", (("POST", "/v1/listenKey"),), _flat(1), (), (), "key"),
    Call("userDataStream.ping", (("PUT", "/v1/listenKey"),), _flat(1), ("listenKey",), (), "key"),
    Call("userDataStream.stop", (("DELETE", "/v1/listenKey"),), _flat(1), ("listenKey",), (), "key"),
)

CALLS: dict[str, Call] = {call.name: call for call in _TABLE}
"""All calls by name."""

_ROUTES = {route: call for call in _TABLE for route in call.paths}
_NEWER = ("/v3/account", "/v3/balance", "/v3/positionRisk", "/v2/balance", "/v2/account", "/v2/positionRisk")
_UM_ONLY = (*_NEWER, "/v2/ticker/price")


def find_call(method: str, path: str, prefix: str, product: str) -> Call | None:
    """The call of a request, or None when the product has no such path."""
    if not path.startswith(prefix + "/"):
        return None
    tail = path.removeprefix(prefix)
    if product == "coinm" and tail in _UM_ONLY:
        return None
    if product == "usdm" and tail in ("/v1/balance", "/v1/account", "/v1/positionRisk"):
        return None
    call = _ROUTES.get((method, tail))
    return None if call is None or call.only not in ("", product) else call


def read_fields(call: Call, sent: Mapping[str, str], product: str) -> dict[str, Any]:
    """The parameters of a call by name, checked.

    Raises:
        VenueError: with the venue's code and message.
    """
    for rule in call.mandatory:
        if not any(sent.get(name) for name in rule.split("|")):
            raise _missing(rule.split("|")[0])
    values = {}
    for name in call.fields:
        text = sent.get(name)
        if text is None:
            continue
        if not text:
            raise VenueError(-1105, f"Parameter '{name}' was empty.")
        values[name] = _READERS[name](name, text)
    usual, most = call.coin_limit if product == "coinm" and call.coin_limit[0] else call.limit
    if most:
        limit = values.setdefault("limit", usual)
        if limit > most:
            raise _invalid("limit")
    return values
