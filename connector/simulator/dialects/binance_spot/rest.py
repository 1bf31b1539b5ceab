"""Read a spot REST request as the venue does: known path, weight, parameters, codes and messages.

Decides what a request costs and whether it is well-formed; it never looks at market data beyond the list of symbols.
Source: the venue's spot REST documents and error list, read 2026-11. Where the documents give no text, the message is the
one its clients quote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from connector.simulator.candles import INTERVALS

__all__ = ["ENDPOINTS", "Endpoint", "Params", "VenueError", "read_params"]


class VenueError(Exception):
    """An error the venue answers with: its code, its message, the HTTP status, `data` where half of it was done, and when a
    repeat may succeed, in seconds from now."""

    def __init__(self, code: int, message: str, status: int = 400, data: Any = None, retry_after_s: int = 0) -> None:
        self.code, self.message, self.status, self.data = code, message, status, data
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {message}")

    def plain(self) -> dict[str, Any]:
        """The error as a value for JSON."""
        row = {"code": self.code, "msg": self.message}
        return row if self.data is None else row | {"data": self.data}

    def body(self) -> bytes:
        """The error as the venue writes it."""
        return msgspec.json.encode(self.plain())


SYMBOL_RANGE = "^[\\w\\-._&&[^a-z]]{1,50}$"
SYMBOLS_RANGE = '^\\[("[\\w\\-._&&[^a-z]]{1,50}"(,"[\\w\\-._&&[^a-z]]{1,50}"){0,}){0,1}\\]$'
INT_RANGE = "^[0-9]{1,20}$"

_SYMBOL = re.compile(r"(?:[^\Wa-z]|[-.]){1,50}")
_INT = re.compile(r"[0-9]{1,20}", re.ASCII)
_WINDOW = re.compile(r"([1-9]|[1-5][0-9])m|([1-9]|1[0-9]|2[0-3])h|[1-7]d")
_ZONE = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-5][0-9]))?")

STATUSES = ("TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY")


class Params:
    """The parameters of one request, checked."""

    def __init__(self) -> None:
        self.symbol: str | None = None
        self.symbols: list[str] | None = None
        self.permissions: list[str] | None = None
        self.status: str | None = None
        self.interval = ""
        self.limit = 0
        self.from_id: int | None = None
        self.start_us: int | None = None
        self.end_us: int | None = None
        self.zone_ms = 0
        self.window_ms = 86_400_000
        self.mini = False
        self.show_sets = True


Weight = Callable[[Mapping[str, str]], int]


class Endpoint(NamedTuple):
    """One call: its name here, what it costs, the parameters it reads (mandatory ones first named), limits."""

    name: str
    weight: Weight
    params: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()
    limit: tuple[int, int] = (0, 0)


def _flat(weight: int) -> Weight:
    return lambda query: weight


def _count(query: Mapping[str, str]) -> int | None:
    """How many symbols a ticker call names; None for all."""
    if "symbol" in query:
        return 1
    return query["symbols"].count('"') // 2 if "symbols" in query else None


def _depth_weight(query: Mapping[str, str]) -> int:
    text = query.get("limit", "100")
    limit = int(text) if _INT.fullmatch(text) else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def _day_weight(query: Mapping[str, str]) -> int:
    count = _count(query)
    if count is None or count > 100:
        return 80
    return 2 if count <= 20 else 40


def _per_symbol(query: Mapping[str, str]) -> int:
    return min(200, 4 * max(1, _count(query) or 1))


def _price_weight(query: Mapping[str, str]) -> int:
    return 2 if "symbol" in query else 4


_KLINE_PARAMS = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")

ENDPOINTS: dict[str, Endpoint] = {
    "/api/v3/ping": Endpoint("ping", _flat(1)),
    "/api/v3/time": Endpoint("time", _flat(1)),
    "/api/v3/exchangeInfo": Endpoint(
        "exchange_info", _flat(20), ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")
    ),
    "/api/v3/depth": Endpoint("depth", _depth_weight, ("symbol", "limit", "symbolStatus"), ("symbol",), (100, 5000)),
    "/api/v3/trades": Endpoint("trades", _flat(25), ("symbol", "limit"), ("symbol",), (500, 1000)),
    "/api/v3/historicalTrades": Endpoint(
        "historical_trades", _flat(25), ("symbol", "limit", "fromId"), ("symbol",), (500, 1000)
    ),
    "/api/v3/aggTrades": Endpoint(
        "agg_trades", _flat(4), ("symbol", "fromId", "startTime", "endTime", "limit"), ("symbol",), (500, 1000)
    ),
    "/api/v3/klines": Endpoint("klines", _flat(2), _KLINE_PARAMS, ("symbol", "interval"), (500, 1000)),
    "/api/v3/uiKlines": Endpoint("klines", _flat(2), _KLINE_PARAMS, ("symbol", "interval"), (500, 1000)),
    "/api/v3/avgPrice": Endpoint("avg_price", _flat(2), ("symbol",), ("symbol",)),
    "/api/v3/ticker/24hr": Endpoint("day_ticker", _day_weight, ("symbol", "symbols", "type", "symbolStatus")),
    "/api/v3/ticker/tradingDay": Endpoint(
        "trading_day", _per_symbol, ("symbol", "symbols", "timeZone", "type", "symbolStatus"), ("symbol|symbols",)
    ),
    "/api/v3/ticker": Endpoint(
        "window_ticker", _per_symbol, ("symbol", "symbols", "windowSize", "type", "symbolStatus"), ("symbol|symbols",)
    ),
    "/api/v3/ticker/price": Endpoint("price", _price_weight, ("symbol", "symbols", "symbolStatus")),
    "/api/v3/ticker/bookTicker": Endpoint("book_ticker", _price_weight, ("symbol", "symbols", "symbolStatus")),
}


def split_query(query: str) -> tuple[dict[str, str], str | None]:
    """Parameters by name, and the name of one that was sent twice, if any."""
    sent: dict[str, str] = {}
    doubled = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in sent:
            doubled = name
        sent[name] = value
    return sent, doubled


def read_params(
    endpoint: Endpoint, sent: Mapping[str, str], doubled: str | None, statuses: Mapping[str, str]
) -> Params:
    """Check the parameters of a call against what it reads.

    Args:
        endpoint: the call.
        sent: its parameters by name, decoded.
        doubled: the name of a parameter that was sent more than once.
        statuses: listed symbols and their status.

    Raises:
        VenueError: with the venue's code and message.
    """
    if doubled is not None:
        raise VenueError(-1101, f"Duplicate values for parameter '{doubled}'.")
    known = [name for name in sent if name in endpoint.params]
    if len(known) < len(sent):
        if not endpoint.params:
            raise VenueError(-1101, f"Too many parameters; expected '0' and received '{len(sent)}'.")
        raise VenueError(
            -1104, f"Not all sent parameters were read; read '{len(known)}' parameter(s) but was sent '{len(sent)}'."
        )
    for name in known:
        if not sent[name]:
            raise VenueError(-1105, f"Parameter '{name}' was empty.")
    for rule in endpoint.mandatory:
        if not any(name in sent for name in rule.split("|")):
            name = rule.split("|")[0]
            raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if "symbol" in sent and ("symbols" in sent or "permissions" in sent):
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    if "symbols" in sent and "permissions" in sent:
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    params = Params()
    params.limit = endpoint.limit[0]
    for name in known:
        _READERS[name](params, sent[name])
    if params.limit > endpoint.limit[1]:
        params.limit = endpoint.limit[1]
    _check_symbols(endpoint, params, statuses)
    if params.from_id is not None and (params.start_us is not None or params.end_us is not None):
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    return params


def _check_symbols(endpoint: Endpoint, params: Params, statuses: Mapping[str, str]) -> None:
    named = [params.symbol] if params.symbol is not None else params.symbols or []
    for symbol in named:
        if symbol not in statuses:
            raise VenueError(-1121, "Invalid symbol.")
    if len(set(named)) < len(named):
        raise VenueError(-1151, "Symbol is present multiple times in the list.")
    if ("windowSize" in endpoint.params or endpoint.name == "trading_day") and len(named) > 100:
        raise VenueError(-1130, "Data sent for parameter 'symbols' is not valid.")
    if params.status is None:
        return
    if endpoint.name == "exchange_info":
        if named:
            raise VenueError(-1128, "Combination of optional parameters invalid.")
    elif any(statuses[symbol] != params.status for symbol in named):
        raise VenueError(-1220, "The symbol's status does not match the requested symbolStatus.")


def _illegal(name: str, legal: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def _invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def _whole(name: str, text: str) -> int:
    if not _INT.fullmatch(text):
        raise _illegal(name, INT_RANGE)
    value = int(text)
    if value > 2**63 - 1:
        raise _invalid(name)
    return value


def _symbol(params: Params, text: str) -> None:
    if not _SYMBOL.fullmatch(text):
        raise _illegal("symbol", SYMBOL_RANGE)
    params.symbol = text


def _names(name: str, text: str) -> list[str]:
    try:
        names = msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        raise _illegal(name, SYMBOLS_RANGE) from None
    if not names or any(not _SYMBOL.fullmatch(entry) for entry in names) or " " in text:
        raise _illegal(name, SYMBOLS_RANGE)
    return names


def _symbols(params: Params, text: str) -> None:
    params.symbols = _names("symbols", text)


def _permissions(params: Params, text: str) -> None:
    params.permissions = _names("permissions", text) if text.startswith("[") else [text]
    if any(not re.fullmatch(r"[A-Z0-9_]{1,20}", entry) for entry in params.permissions):
        raise _invalid("permissions")


def _status(params: Params, text: str) -> None:
    if text not in STATUSES:
        raise VenueError(-1122, "Invalid symbolStatus.")
    params.status = text


def _interval(params: Params, text: str) -> None:
    if text not in INTERVALS:
        raise VenueError(-1120, "Invalid interval.")
    params.interval = text


def _limit(params: Params, text: str) -> None:
    params.limit = _whole("limit", text)
    if params.limit == 0:
        raise _invalid("limit")


def _from_id(params: Params, text: str) -> None:
    params.from_id = _whole("fromId", text)


def _time_us(name: str, text: str) -> int:
    value = _whole(name, text)
    return value if value >= 10**14 else value * 1000  # both units are accepted; milliseconds stay below until 5138


def _start(params: Params, text: str) -> None:
    params.start_us = _time_us("startTime", text)


def _end(params: Params, text: str) -> None:
    params.end_us = _time_us("endTime", text)
    if params.end_us < 10**17 and int(text) < 10**14:
        params.end_us += 999  # the whole millisecond is included


def zone_ms(text: str) -> int | None:
    """Offset of a time zone such as `8`, `+08:00` or `-1:30`, in milliseconds; None outside -12:00 to +14:00."""
    match = _ZONE.fullmatch(text)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    minutes = -minutes if match[1] == "-" else minutes
    return minutes * 60_000 if -720 <= minutes <= 840 else None


def _zone(params: Params, text: str) -> None:
    offset = zone_ms(text)
    if offset is None:
        raise _invalid("timeZone")
    params.zone_ms = offset


def _window(params: Params, text: str) -> None:
    if not _WINDOW.fullmatch(text):
        raise _invalid("windowSize")
    params.window_ms = int(text[:-1]) * {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[text[-1]]


def _type(params: Params, text: str) -> None:
    if text not in ("FULL", "MINI"):
        raise VenueError(-1139, "Invalid ticker type.")
    params.mini = text == "MINI"


def _show(params: Params, text: str) -> None:
    if text.lower() not in ("true", "false"):
        raise _invalid("showPermissionSets")
    params.show_sets = text.lower() == "true"


_READERS: dict[str, Callable[[Params, str], None]] = {
    "symbol": _symbol,
    "symbols": _symbols,
    "permissions": _permissions,
    "symbolStatus": _status,
    "showPermissionSets": _show,
    "interval": _interval,
    "limit": _limit,
    "fromId": _from_id,
    "startTime": _start,
    "endTime": _end,
    "timeZone": _zone,
    "windowSize": _window,
    "type": _type,
}
