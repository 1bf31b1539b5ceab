"""The futures of the exchange `binance` as its documents describe them: REST calls, streams, user data, the WebSocket API.

Both products, USDⓈ-M and COIN-M, are one dialect with other facts (`facts.Product`); the modules `binance_usdm` and
`binance_coinm` name them. Written from the documents alone and sharing no code with any driver, so that a misread document
shows. Source: the venue's derivatives documents, read 2026-11; figures the documents do not give are settings of the simulator.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from connector.matching import Outcome
from connector.simulator.accounts import Account
from connector.simulator.desk import Event, Report
from connector.simulator.dialect import Answer, Request, Source
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import PublicAnswers
from connector.simulator.dialects.binance_futures.rest import Call, VenueError, find_call, read_fields
from connector.simulator.dialects.binance_futures.sockets import (
    ApiSession,
    SocketApi,
    UserStreams,
    fault_error,
    limit_text,
    weight_of,
)
from connector.simulator.dialects.binance_futures.streams import LiveStreams, read_stream_name, route_of
from connector.simulator.dialects.binance_futures.trading import Private
from connector.simulator.dialects.binance_spot.rest import split_query
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.hub import Connection
from connector.simulator.limits import Refusal, Window
from connector.simulator.market import Market

__all__ = ["FIGURES", "FuturesDialect"]

FIGURES = {
    "ping_every_s": 180.0,
    "pong_within_s": 600.0,
    "request_weight_per_minute": 2_400,
    "ws_messages_per_s": 10,
    "orders_per_10s": 300,
    "orders_per_minute": 1_200,
}
"""Both products' limits, as far as they differ from the usual ones."""

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_DEAD = "silent: "
"""Put before the name of a stream nothing will come of although it was acknowledged."""
_ROUTED = re.compile(r"/(?:(public|market|private)/)?(ws|stream)(?:/(.*))?")
_HTML_403 = (
    b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"
)


class FuturesDialect:
    """The venue's side of every conversation, for one product."""

    duplicate_code = -4116
    product: Product

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._settings = exchange.settings
        self._answers = PublicAnswers(exchange, self.product)
        self._private = Private(exchange, self.product)
        self._users = UserStreams(exchange, self._private, self.product)
        self._api = SocketApi(exchange, self._private, self._answers, self.product)
        self._streams: LiveStreams | None = None
        self._funding: dict[str, Window] = {}

    # streams

    def parse_stream(self, name: str) -> Any:
        return read_stream_name(name, self.product)

    def delta_streams(self, symbol: str) -> list[str]:
        name = symbol.lower()
        return [f"{name}@depth@100ms", f"{name}@depth", f"{name}@depth@500ms"]

    def tell(self, account: Account, event: Event) -> None:
        self._users.tell(account, event)
        if isinstance(event, Report) and event.fill is not None and event.order.new.origin == "liquidation":
            self._live.forced(event.order, event.fill, event.at_us // 1000)

    def end_streams(self, account: Account) -> int:
        return self._users.end(account)

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        self._live.publish(market, outcome, trades, now_us)

    def publish_timed(self, now_us: int, force: bool) -> None:
        self._private.tick(now_us)
        self._live.publish_timed(now_us, force)

    @property
    def _live(self) -> LiveStreams:
        if self._streams is None:
            self._streams = LiveStreams(self._exchange, self.product)
            self._exchange.desk.forced_id = self._forced_id
        return self._streams

    def _forced_id(self, origin: str, number: int) -> str:
        at = self._exchange.clock.now_ms() * 1000 + number
        return {"liquidation": f"autoclose-{at}", "adl": "adl_autoclose"}.get(origin, f"settlement_autoclose-{at}")

    def replay(self) -> Source:
        raise ValueError(f"the {self.product.name} dialect plays no recordings: give it a live market")

    # requests

    def _call(self, request: Request) -> Call | None:
        return find_call(request.method, request.path, self.product.prefix, self.product.name)

    def call_name(self, request: Request) -> str:
        call = self._call(request)
        return call.name if call is not None and call.private else ""

    def answer(self, request: Request) -> Answer:
        exchange = self._exchange
        now_s = exchange.clock.now_s()
        limits = exchange.limits_of(request.address)
        call = self._call(request)
        sent, doubled = split_query(request.query)
        in_body, doubled_too = split_query(request.body)
        sent = in_body | sent
        weight = 1 if call is None else weight_of(call, sent, self.product)
        refusal = limits.request(weight, now_s)
        if refusal is None and call is not None and call.name.startswith("funding"):
            refusal = self._funding_refusal(request.address, now_s)
        headers: dict[str, str] = {}
        if refusal is not None:
            exchange.records.violation(exchange.clock.now_ns(), refusal.reason, request.path)
            headers["Retry-After"] = str(refusal.retry_after_s)
            words = limit_text(refusal.reason, limits.weight.capacity, refusal.banned_until_ms)
            status, body = refusal.status, VenueError(-1003, words).body()
        elif call is None:
            error = {"timestamp": exchange.clock.now_ms(), "status": 404, "error": "Not Found", "path": request.path}
            status, body = 404, msgspec.json.encode(error)
        else:
            try:
                if doubled or doubled_too:
                    raise VenueError(-1101, f"Duplicate values for parameter '{doubled or doubled_too}'.")
                status, body = 200, msgspec.json.encode(self._do(call, request, sent))
            except VenueError as refused:
                status, body = refused.status, refused.body()
                if refused.retry_after_s:
                    headers["Retry-After"] = str(refused.retry_after_s)
        if call is None or not call.name.startswith("funding"):
            headers["X-MBX-USED-WEIGHT-1M"] = str(limits.weight.used)
        known = exchange.desk.keys.get(request.headers.get("x-mbx-apikey", ""))
        if call is not None and call.orders[0] and known is not None:
            account = exchange.desk.accounts[known.account]
            account.counts[0].spend(0, now_s)
            account.minute_count.spend(0, now_s)
            headers["X-MBX-ORDER-COUNT-10S"] = str(account.counts[0].used)
            headers["X-MBX-ORDER-COUNT-1M"] = str(account.minute_count.used)
        return Answer(status, body, headers, weight, limits.weight.used)

    def _funding_refusal(self, address: str, now_s: float) -> Refusal | None:
        """Questions about funding have a limit of their own: 500 in five minutes and address, which no header shows."""
        window = self._funding.setdefault(address, Window(500, 300))
        if window.spend(1, now_s) or not self._settings.enforce_limits:
            return None
        return Refusal(429, int(window.left_s(now_s)) + 1, "weight")

    def _do(self, call: Call, request: Request, sent: dict[str, str]) -> Any:
        if not call.private:
            return getattr(self._answers, call.handler)(read_fields(call, sent, self.product.name))
        key = self._private.key(request.headers.get("x-mbx-apikey", ""))
        if call.security == "signed":
            # query and body are glued together without anything between them
            payload = unsigned(request.query) + unsigned(request.body)
            self._private.authenticate(key, sent, payload.encode())
        elif call.name == "historicalTrades":
            return self._answers.historical_trades(read_fields(call, sent, self.product.name))
        version = request.path.removeprefix(self.product.prefix)[:3]
        return self._private.call(call, key, sent, version)

    def error(self, status: int, code: int = 0) -> bytes:
        if status == 403 and not code:
            return _HTML_403
        if status in (418, 429) and not code:
            words = limit_text("banned" if status == 418 else "weight", 2400, 9_999_999_999_999)
            return VenueError(-1003, words).body()
        if code or status in (408, 503, 504):
            return fault_error(code, status).body()
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
        match = _ROUTED.fullmatch(path)
        return path == self.product.api_path or (match is not None and (self.product.routed or match[1] is None))

    def open(self, connection: Connection, path: str, query: str) -> None:
        if path == self.product.api_path:
            self._api.open(connection, query)
            return
        match = _ROUTED.fullmatch(path)
        assert match is not None
        connection.combined = match[2] == "stream"
        tail = unquote((match[3] or "").strip("/"))
        joined = parse_qs(query).get("streams", [""])[0] if connection.combined else tail
        if match[1] == "private":
            self._users.open(connection, query, tail)
            return
        names = list(dict.fromkeys(name for name in joined.split("/") if name))
        if not self.product.routed:
            names = [name for name in names if not self._users.add_if_key(connection, name)]
        if not self._too_many(connection, names):
            self._exchange.hub.subscribe(connection, self._heard(connection, names))

    def _heard(self, connection: Connection, names: list[str]) -> list[str]:
        """The topics of those names on that connection: on the wrong route they are taken and stay silent."""
        route = (_ROUTED.match(connection.record.path.partition("?")[0]) or [None, None])[1]
        if not self.product.routed:
            return names
        route = route or "public"  # an address without a route only gets what is public
        return [name if route == route_of(name, self.parse_stream(name)) else _DEAD + name for name in names]

    def shutdown_notice(self, connection: Connection) -> bytes:
        event = f'{{"e":"serverShutdown","E":{self._exchange.clock.now_ms()}}}'
        return (f'{{"stream":"!serverShutdown","data":{event}}}' if connection.combined else event).encode()

    def text(self, connection: Connection, text: str) -> None:
        if isinstance(connection.session, ApiSession):
            self._api.text(connection, text)
            return
        try:
            frame = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._reply(connection, self._refused(None, 3, "Invalid JSON: expected value at line 1 column 1"))
            return
        problem, ident = "request must be an object", None
        if isinstance(frame, dict):
            ident, problem = frame.get("id"), _problem(frame)
        if problem:
            good = ident if isinstance(ident, int | str) and not isinstance(ident, bool) else None
            self._reply(connection, self._refused(good, 2, f"Invalid request: {problem}"))
            return
        self._control(connection, frame)

    def rejection(self, text: str, code: int, message: str) -> bytes:
        return self._refused(msgspec.json.decode(text).get("id"), code, message)

    def _control(self, connection: Connection, frame: dict[str, Any]) -> None:
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
            if not self.product.routed:
                params = [name for name in params if not self._users.add_if_key(connection, name)]
            hub.subscribe(connection, self._heard(connection, params))
        elif method == "UNSUBSCRIBE":
            hub.unsubscribe(connection, self._heard(connection, params))
        elif method == "LIST_SUBSCRIPTIONS":
            result = [name.removeprefix(_DEAD) for name in connection.topics]
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
        known = {name.removeprefix(_DEAD) for name in connection.topics}
        if len(known | set(names)) <= self._settings.max_streams:
            return False
        exchange = self._exchange
        detail = f"connection {connection.record.number}: more than {self._settings.max_streams} streams"
        exchange.records.violation(exchange.clock.now_ns(), "streams", detail)
        if not self._settings.enforce_limits:
            return False
        self._reply(connection, msgspec.json.encode({"error": {"code": 4, "msg": "Too many subscriptions"}}))
        exchange.close(connection, 1008, "Invalid request")
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


def _problem(frame: dict[str, Any]) -> str:
    """What is wrong with a control frame; "" when nothing is."""
    method, params, ident = frame.get("method"), frame.get("params"), frame.get("id")
    if ident is not None and (isinstance(ident, bool) or not isinstance(ident, int | str)):
        return "request ID must be an unsigned integer"
    if isinstance(ident, int) and ident < 0:
        return "request ID must be an unsigned integer"
    if method not in _METHODS:
        return f"unknown variant {method!r}"
    if method == "LIST_SUBSCRIPTIONS":
        return ""
    if not isinstance(params, list):
        return "missing field `params`"
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return "" if all(isinstance(name, str) and name for name in params) else "invalid type: expected a string"
    if len(params) != (2 if method == "SET_PROPERTY" else 1):
        return "too many parameters" if len(params) > 1 else "missing parameter"
    return "" if isinstance(params[0], str) else "property name must be a string"
