"""Wrap answers as the venue does, and read parameters as it reads them: envelope, codes, words, checks.

Pure. Decides whether a request is well-formed; it never looks at a market. Source: the venue's V5 integration guide and error
list, read 2026-11. Where they give no text, the message is the one its clients quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from connector.simulator.instruments import SCALE

__all__ = ["CATEGORIES", "INTERVALS", "Params", "VenueError", "decode_body", "envelope", "trouble"]

CATEGORIES = ("spot", "linear", "inverse", "option")

INTERVALS = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
    "M": "1M",
}
"""The venue's words for the intervals of candles."""

_WORDS = {
    -1: "Request expired",
    429: "The trading service is experiencing a high server load.",
    10000: "Server Timeout",
    10001: "params error",
    10002: "invalid request, please check your server timestamp or recv_window param",
    10003: "API key is invalid.",
    10004: "error sign! please check your signature generation algorithm.",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits!",
    10016: "Server error.",
    10017: "Route not found.",
    10018: "Too many visits. Exceeded the IP Rate Limit.",
    10019: "ws trade service is restarting",
    10403: "Too many visits. Exceeded the IP Rate Limit.",
    10404: "op type is not found",
    10429: "System level frequency protection",
    20001: "Repeat auth",
    20003: "Too frequent requests under the same session",
    20006: "reqId is duplicated",
    110001: "order not exists or too late to cancel",
    110003: "Order price exceeds the allowable range.",
    110007: "ab not enough for new order",
    110009: "The number of stop orders exceeds the maximum allowable limit",
    110013: "Cannot set leverage due to risk limit level.",
    110017: "orderQty will be truncated to zero.",
    110020: "You can't have more than 500 active orders",
    110024: "You have an existing position, so the position mode cannot be switched.",
    110025: "Position mode is not modified",
    110028: "You have existing open orders, so the position mode cannot be switched.",
    110029: "Hedge mode is not supported for this symbol.",
    110043: "leverage not modified",
    110064: "The modified contract quantity cannot be less than or equal to the filled quantity.",
    110066: "Trading is currently not allowed.",
    110072: "OrderLinkedID is duplicate",
    110074: "This contract is not live",
    110090: "Order placement failed as your position may exceed the max limit.",
    110092: "expect Rising, but trigger_price <= current",
    110093: "expect Falling, but trigger_price >= current",
    110094: "Order does not meet minimum order value",
    110108: "Allowable range: 1 to 10000 tick size",
    110109: "Allowable range: 0.01% to 10%",
    110119: "Order failed. RPI orders are restricted to approved market makers only",
    34040: "not modified",
    170005: "Too many new orders.",
    170007: "Timeout waiting for response from backend server.",
    170115: "Invalid timeInForce.",
    170116: "Invalid orderType.",
    170117: "Invalid side.",
    170121: "Invalid symbol.",
    170124: "Order amount too large.",
    170130: "Data sent for paramter '{}' is not valid.",
    170131: "Insufficient balance.",
    170133: "Order price lower than the minimum.",
    170134: "Order price decimal too long.",
    170136: "Order quantity lower than the minimum.",
    170137: "Order volume decimal too long.",
    170139: "Order has been filled.",
    170140: "Order value exceeded lower limit.",
    170141: "Duplicate clientOrderId.",
    170142: "Order has been cancelled.",
    170146: "Order creation timeout.",
    170147: "Order cancellation timeout.",
    170148: "Market order amount decimal too long.",
    170151: "The trading pair is not open yet.",
    170193: "Buy order price cannot be higher than {}.",
    170194: "Sell order price cannot be lower than {}.",
    170201: "Invalid orderFilter parameter.",
    170202: "Please enter the TP/SL price.",
    170213: "Order does not exist.",
    170227: "This feature is not supported.",
    170234: "System Error.",
    170310: "Order modification timeout.",
    170313: "The modified contract quantity cannot be less than to the filled quantity",
    170344: "Symbol is not supported on Margin Trading.",
    170355: "RPI orders are restricted to approved market makers only",
    181017: "OrderStatus must be final status",
    3400045: "Set margin mode failed",
}


class VenueError(Exception):
    """An error the venue answers with: its code, its message, the result and the HTTP status (nearly always 200)."""

    def __init__(self, code: int, message: str = "", status: int = 200, result: Any = None) -> None:
        self.code, self.message = code, message or _WORDS.get(code, "Internal error.")
        self.status, self.result = status, result
        super().__init__(f"{code}: {self.message}")


def trouble(code: int, *parts: str) -> VenueError:
    """An error with the venue's own words, and what is filled in."""
    return VenueError(code, _WORDS[code].format(*parts))


def envelope(now_ms: int, code: int = 0, message: str = "OK", result: Any = None, extra: Any = None) -> bytes:
    """An answer in the form all answers have."""
    return msgspec.json.encode(
        {
            "retCode": code,
            "retMsg": message,
            "result": {} if result is None else result,
            "retExtInfo": {} if extra is None else extra,
            "time": now_ms,
        }
    )


_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def decode_body(text: str) -> dict[str, Any]:
    """The parameters of a POST; bare decimals keep their digits.

    Raises:
        VenueError: it is not a JSON object.
    """
    if not text:
        return {}
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise VenueError(10001, "params error: json unmarshal failed") from None


_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?")
_INT = re.compile(r"[0-9]{1,18}")


class Params:
    """The parameters of one request by name; an empty text is a parameter that was not sent."""

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._sent = {name: value for name, value in sent.items() if value is not None and value != ""}

    def __contains__(self, name: str) -> bool:
        return name in self._sent

    def text(self, name: str, default: str = "") -> str:
        """A text; numbers are taken as they are written."""
        value = self._sent.get(name, default)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise VenueError(10001, f"params error: {name} invalid")
        return str(value)

    def need(self, name: str) -> str:
        """A text that must be there."""
        if name not in self._sent:
            raise VenueError(10001, f"params error: {name} is required")
        return self.text(name)

    def one_of(self, name: str, *known: str, default: str = "", error: VenueError | None = None) -> str:
        """A text out of a list."""
        text = self.text(name, default)
        if text not in known and not (text == default and name not in self._sent):
            raise error or VenueError(10001, f"params error: {name} invalid")
        return text

    def whole(self, name: str, default: int, least: int = 0, most: int = 2**53) -> int:
        """A whole number within bounds."""
        if name not in self._sent:
            return default
        text = self.text(name)
        if not _INT.fullmatch(text) or not least <= int(text) <= most:
            raise VenueError(10001, f"params error: {name} invalid")
        return int(text)

    def limit(self, default: int, most: int) -> int:
        """How many rows are asked for; more than the most is cut down to it."""
        return min(self.whole("limit", default, 1), most)

    def truth(self, name: str) -> bool:
        """A truth value; false when it was not sent."""
        value = self._sent.get(name, False)
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise VenueError(10001, f"params error: {name} invalid")

    def decimal(self, name: str) -> Decimal | None:
        """A decimal that is not negative; None when it was not sent."""
        if name not in self._sent:
            return None
        text = self.text(name)
        try:
            if not _DECIMAL.fullmatch(text):
                raise InvalidOperation
            return Decimal(text)
        except InvalidOperation:
            raise VenueError(10001, f"params error: {name} invalid") from None

    def units_e8(self, name: str) -> int | None:
        """A decimal in units of 1e-8, or None; -1 when it has more places than that."""
        value = self.decimal(name)
        if value is None:
            return None
        scaled = value * SCALE
        return int(scaled) if scaled == int(scaled) else -1

    def category(self) -> str:
        """Which product is asked about."""
        return self.one_of("category", *CATEGORIES, error=VenueError(10001, "Illegal category"))
