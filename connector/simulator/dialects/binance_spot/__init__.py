"""The spot exchange `binance` as its documents describe it: REST calls, market streams, orders, the WebSocket API.

Written from the documents alone and sharing no code with any driver, so that a misread document shows. Source: the venue's
spot REST and WebSocket stream documents, read 2026-11; figures the documents do not give are settings of the simulator.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from connector.matching import Outcome
from connector.simulator.accounts import Account
from connector.simulator.desk import Event
from connector.simulator.dialect import Answer, Request, Source
from connector.simulator.dialects.binance_spot.fields import ROUTES, Call
from connector.simulator.dialects.binance_spot.live import LiveAnswers
from connector.simulator.dialects.binance_spot.replay import ReplaySource
from connector.simulator.dialects.binance_spot.rest import ENDPOINTS, VenueError, read_params, split_query
from connector.simulator.dialects.binance_spot.sockets import PATH as API_PATH
from connector.simulator.dialects.binance_spot.sockets import SocketApi, fault_error
from connector.simulator.dialects.binance_spot.streams import LiveStreams, read_stream_name
from connector.simulator.dialects.binance_spot.trading import Private, order_limit_rows
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.hub import Connection
from connector.simulator.market import Market

__all__ = ["Dialect"]

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_STREAM = re.compile(r"!?[\w.\-]+@[\w@+:\-]+")
_TEXT_ID = re.compile(r"[A-Za-z0-9]{1,36}")

_NOT_OFFERED = tuple(f"/api/v3/{path}" for path in ("orderList/opo", "orderList/opoco", "sor/order", "sor/order/test"))

_ERRORS = {
    403: b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>",
    418: b'{"code":-1003,"msg":"Way too much request weight used; IP banned until 9999999999999."}',
    429: b'{"code":-1003,"msg":"Too many requests."}',
    502: b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>",
    503: b'{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few minutes."}',
    504: b'{"code":-1007,"msg":"Timeout waiting for response from backend server. Send status unknown; execution status unknown."}',  # noqa: E501
}


class Dialect:
    """The venue's side of every conversation."""

    duplicate_code = -2010

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._settings = exchange.settings
        self._answers: Any = LiveAnswers(exchange)
        self._streams: LiveStreams | None = None
        self._private = Private(exchange)
        self._api = SocketApi(exchange, self._private, lambda: self._answers)

    # streams

    def parse_stream(self, name: str) -> Any:
        return read_stream_name(name)

    def delta_streams(self, symbol: str) -> list[str]:
        name = symbol.lower()
        return [f"{name}@depth@100ms", f"{name}@depth", f"{name}@depth@1000ms"]

    def tell(self, account: Account, event: Event) -> None:
        self._api.tell(account, event)

    def end_streams(self, account: Account) -> int:
        return self._api.end_streams(account)

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        self._live.publish(market, outcome, trades, now_us)

    def publish_timed(self, now_us: int, force: bool) -> None:
        self._live.publish_timed(now_us, force)

    @property
    def _live(self) -> LiveStreams:
        if self._streams is None:
            self._streams = LiveStreams(self._exchange)
        return self._streams

    def replay(self) -> Source:
        source = ReplaySource(self._exchange)
        self._answers = source.answers
        return source

    # requests

    def answer(self, request: Request) -> Answer:
        exchange = self._exchange
        now_s = exchange.clock.now_s()
        limits = exchange.limits_of(request.address)
        call = ROUTES.get((request.method, request.path))
        if call is not None:
            return self._answer_private(request, call)
        if request.path == "/api/v3/userDataStream":
            return Answer(410, VenueError(-1000, "This endpoint has been removed.", 410).body())
        if request.path in _NOT_OFFERED:
            return Answer(400, VenueError(-1020, "This operation is not supported.").body())
        endpoint = ENDPOINTS.get(request.path) if request.method == "GET" else None
        sent, doubled = split_query(request.query)
        weight = endpoint.weight(sent) if endpoint is not None else 0
        refusal = limits.request(weight, now_s)
        headers = {
            "X-MBX-USED-WEIGHT": str(limits.weight.used),
            "X-MBX-USED-WEIGHT-1M": str(limits.weight.used),
        }

        def reply(status: int, body: bytes) -> Answer:
            return Answer(status, body, headers, weight, limits.weight.used)

        if refusal is not None:
            exchange.records.violation(exchange.clock.now_ns(), refusal.reason, f"{request.path}?{request.query}")
            headers["Retry-After"] = str(refusal.retry_after_s)
            return reply(
                refusal.status, VenueError(-1003, self._limit_text(refusal.reason, refusal.banned_until_ms)).body()
            )
        if endpoint is None:
            error = {"timestamp": exchange.clock.now_ms(), "status": 404, "error": "Not Found", "path": request.path}
            return reply(404, msgspec.json.encode(error))
        try:
            unit = self._unit(request.headers.get("x-mbx-time-unit", "MILLISECOND"))
            params = read_params(endpoint, sent, doubled, self._answers.statuses())
            raw: bytes | None = self._answers.recorded(request)
            if raw is not None:
                return reply(200, raw)
            return reply(200, msgspec.json.encode(getattr(self._answers, endpoint.name)(params, unit)))
        except VenueError as refused:
            return reply(refused.status, refused.body())

    def call_name(self, request: Request) -> str:
        call = ROUTES.get((request.method, request.path))
        return "" if call is None else call.name

    def _answer_private(self, request: Request, call: Call) -> Answer:
        """A call that needs a key: nothing is charged for an order that succeeds, its weight for one that does not."""
        exchange = self._exchange
        now_s = exchange.clock.now_s()
        limits = exchange.limits_of(request.address)
        sent, doubled = split_query(request.query)
        in_body, doubled_too = split_query(request.body)
        sent = in_body | sent
        weight = call.weight(sent)
        cost = 0 if call.free else weight
        refusal = limits.request(cost, now_s)
        headers: dict[str, str] = {}
        if refusal is not None:
            exchange.records.violation(exchange.clock.now_ns(), refusal.reason, call.name)
            headers["Retry-After"] = str(refusal.retry_after_s)
            error = VenueError(-1003, self._limit_text(refusal.reason, refusal.banned_until_ms), refusal.status)
            status, body = error.status, error.body()
        else:
            try:
                if doubled or doubled_too:
                    raise VenueError(-1101, f"Duplicate values for parameter '{doubled or doubled_too}'.")
                unit = self._unit(request.headers.get("x-mbx-time-unit", "MILLISECOND"))
                key = self._private.key(request.headers.get("x-mbx-apikey", ""))
                self._private.authenticate(key, sent, (unsigned(request.query) + unsigned(request.body)).encode())
                status, body = 200, msgspec.json.encode(self._private.call(call, key, sent, unit))
            except VenueError as refused:
                status, body = refused.status, refused.body()
                if call.free:
                    cost = weight
                    limits.weight.spend(cost, now_s)
                if refused.retry_after_s:
                    headers["Retry-After"] = str(refused.retry_after_s)
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(limits.weight.used)
        known = exchange.desk.keys.get(request.headers.get("x-mbx-apikey", ""))
        if call.orders and known is not None:
            rows = order_limit_rows(exchange.desk.accounts[known.account], now_s)
            headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1D"] = (str(row["count"]) for row in rows)
        return Answer(status, body, headers, cost, limits.weight.used)

    def _unit(self, text: str) -> int:
        units = {"MICROSECOND": 1, "MILLISECOND": 1000}
        if text.upper() not in units:
            raise VenueError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        return units[text.upper()]

    def _limit_text(self, reason: str, banned_until_ms: int) -> str:
        if reason == "banned":
            return (
                f"Way too much request weight used; IP banned until {banned_until_ms}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
        if reason == "raw":
            return f"Too many requests; current limit is {self._settings.raw_requests_per_5min} requests per 5 MINUTE."
        return (
            f"Too much request weight used; current limit is {self._settings.request_weight_per_minute} request weight "
            "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        )

    def error(self, status: int, code: int = 0) -> bytes:
        if code:
            return fault_error(code, status).body()
        if status in _ERRORS:
            return _ERRORS[status]
        if status >= 500:
            return VenueError(-1000, "An unknown error occurred while processing the request.").body()
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        return VenueError(-1000, phrase).body()

    # connections

    def refuse_connect(self, address: str) -> Answer | None:
        exchange = self._exchange
        refusal = exchange.limits_of(address).connect(exchange.clock.now_s())
        if refusal is None:
            return None
        exchange.records.violation(exchange.clock.now_ns(), refusal.reason, "connection attempt")
        body = VenueError(-1003, "Too many connection attempts.").body()
        return Answer(refusal.status, body, {"Retry-After": str(refusal.retry_after_s)})

    def socket_path(self, path: str) -> bool:
        return path in ("/ws", "/stream", API_PATH) or path.startswith(("/ws/", "/stream/"))

    def open(self, connection: Connection, path: str, query: str) -> None:
        if path == API_PATH:
            self._api.open(connection, query)
            return
        asked = parse_qs(query)
        connection.combined = path.startswith("/stream")
        connection.micros = asked.get("timeUnit", [""])[0].upper() == "MICROSECOND"
        joined = asked.get("streams", [""])[0] if connection.combined else unquote(path.removeprefix("/ws").strip("/"))
        names = list(dict.fromkeys(name for name in joined.split("/") if name))
        if self._too_many(connection, names):
            return
        self._exchange.hub.subscribe(connection, names)

    def shutdown_notice(self, connection: Connection) -> bytes:
        at = self._exchange.clock.now_us() if connection.micros else self._exchange.clock.now_ms()
        event = f'{{"e":"serverShutdown","E":{at}}}'
        if connection.session is not None:
            return f'{{"event":{event}}}'.encode()
        return (f'{{"stream":"!serverShutdown","data":{event}}}' if connection.combined else event).encode()

    def text(self, connection: Connection, text: str) -> None:
        if connection.session is not None:
            self._api.text(connection, text)
            return
        try:
            frame = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._reply(connection, self._refused(None, 3, "Invalid JSON: expected value at line 1 column 1"))
            return
        ident, problem = None, ""
        if not isinstance(frame, dict):
            problem = f"invalid type: {type(frame).__name__}, expected struct Request"
        else:
            ident = frame.get("id")
            problem = _problem(frame, len(text))
        if problem:
            self._reply(connection, self._refused(ident if _good_id(ident) else None, 2, f"Invalid request: {problem}"))
            return
        self._do(connection, frame, text)

    def rejection(self, text: str, code: int, message: str) -> bytes:
        ident = msgspec.json.decode(text).get("id")
        return self._refused(ident, code, message)

    def _do(self, connection: Connection, frame: dict[str, Any], text: str) -> None:
        method, params, ident = frame["method"], frame.get("params", []), frame.get("id")
        hub = self._exchange.hub
        result: Any = None
        if method == "SUBSCRIBE":
            if self._too_many(connection, params):
                return
            refused = self._exchange.rejected()
            if refused is not None:
                self._reply(connection, self._refused(ident, *refused))
                return
            hub.subscribe(connection, params)
        elif method == "UNSUBSCRIBE":
            hub.unsubscribe(connection, params)
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(connection.topics)
        elif params[0] != "combined":
            self._reply(connection, self._refused(ident, 0, "Unknown property"))
            return
        elif method == "GET_PROPERTY":
            result = connection.combined
        elif not isinstance(params[1], bool):
            self._reply(connection, self._refused(ident, 1, "Invalid value type: expected Boolean"))
            return
        else:
            hub.reshape(connection, combined=params[1])
        self._reply(connection, msgspec.json.encode({"result": result, "id": ident}))

    def _too_many(self, connection: Connection, names: list[str]) -> bool:
        if len(connection.topics.keys() | set(names)) <= self._settings.max_streams:
            return False
        exchange = self._exchange
        detail = f"connection {connection.record.number}: more than {self._settings.max_streams} streams"
        exchange.records.violation(exchange.clock.now_ns(), "streams", detail)
        if not self._settings.enforce_limits:
            return False
        self._reply(connection, msgspec.json.encode({"error": {"code": 4, "msg": "Too many subscriptions"}}))
        exchange.close(connection, 1008, "Too many subscriptions")
        return True

    def _refused(self, ident: Any, code: int, message: str) -> bytes:
        error = {"code": code, "msg": message}
        if self._settings.ws_error == "flat":
            return msgspec.json.encode(error | {"id": ident})
        return msgspec.json.encode({"error": error, "id": ident})

    def _reply(self, connection: Connection, payload: bytes) -> None:
        self._exchange.reply(connection, payload)


def unsigned(text: str) -> str:
    """Query or body exactly as it was sent, without its signature."""
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))


def _good_id(ident: Any) -> bool:
    if ident is None:
        return True
    if isinstance(ident, bool):
        return False
    if isinstance(ident, int):
        return -(2**63) <= ident < 2**63
    return isinstance(ident, str) and _TEXT_ID.fullmatch(ident) is not None


def _problem(frame: dict[str, Any], length: int) -> str:
    """What is wrong with a control frame, in the venue's words; "" when nothing is."""
    method, params = frame.get("method"), frame.get("params")
    if not _good_id(frame.get("id")):
        return "request ID must be an integer, a string of at most 36 alphanumeric characters, or null"
    if method is None:
        return f"missing field `method` at line 1 column {length}"
    if method not in _METHODS:
        known = ", ".join(f"`{name}`" for name in _METHODS)
        return f"unknown variant `{method}`, expected one of {known} at line 1 column {length}"
    if method == "LIST_SUBSCRIPTIONS":
        return ""
    if not isinstance(params, list):
        return f"missing field `params` at line 1 column {length}"
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if any(not isinstance(name, str) for name in params):
            return "invalid type: expected a string"
        return "" if all(_STREAM.fullmatch(name) for name in params) else "invalid stream"
    if len(params) != (2 if method == "SET_PROPERTY" else 1):
        return "too many parameters" if len(params) > 1 else "missing parameter"
    return "" if isinstance(params[0], str) else "property name must be a string"
