"""The exchange `bybit` as its V5 documents describe it, one product at a time: REST, public and private topics, orders.

Written from the documents alone and sharing no code with any driver, so that a misread document shows. The modules beside this
package (`bybit_spot`, `bybit_linear`, `bybit_inverse`) are the products. Source: the venue's V5 documents, read 2026-11; figures
they do not give are settings of the simulator.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from connector.matching import Outcome
from connector.simulator.accounts import Account
from connector.simulator.desk import Event
from connector.simulator.dialect import Answer, Request, Source
from connector.simulator.dialects.bybit.fields import ENDPOINTS, LIMITS, ROUTES, Call
from connector.simulator.dialects.bybit.live import Answers, Board
from connector.simulator.dialects.bybit.orders import OrderReader
from connector.simulator.dialects.bybit.positions import ContractPrivate, ContractReader
from connector.simulator.dialects.bybit.rest import Params, VenueError, decode_body, envelope, trouble
from connector.simulator.dialects.bybit.sockets import PATHS, Sockets
from connector.simulator.dialects.bybit.streams import Streams, read_topic
from connector.simulator.dialects.bybit.trading import Grant, Private
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.hub import Connection
from connector.simulator.limits import AddressLimits, Window
from connector.simulator.market import Market

__all__ = ["Bybit"]

_PAGE = b"<html><head><title>%d %s</title></head><body><center><h1>%d %s</h1></center></body></html>"
_PATHS = {*ENDPOINTS, *(path for _, path in ROUTES)}


def _page(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase.encode()
    except ValueError:
        phrase = b"Unknown"
    return _PAGE % (status, phrase, status, phrase)


class Bybit:
    """The venue's side of every conversation about one product."""

    category = ""
    duplicate_code, duplicate_status = 170141, 200

    def __init__(self, exchange: Exchange) -> None:
        known = {*LIMITS, *(call.name for call in ROUTES.values())}
        unknown = set(exchange.settings.limits) - known
        if unknown:
            raise ValueError(f"this venue has no limit {sorted(unknown)}; it has {', '.join(sorted(known))}")
        self._exchange = exchange
        self._settings = exchange.settings
        self.board = Board(exchange, self.category)
        self._streams = Streams(self.board)
        self._answers = Answers(self.board, self._streams)
        self._sockets = Sockets(self.board, self._streams, lambda: self._private)
        self._private = self._make_private()
        self._requests = 0

    def _make_private(self) -> Private:
        if self.board.derivative:
            return ContractPrivate(self.board, ContractReader(self.board), self._sockets.tell_late)
        return Private(self.board, OrderReader(self.board), self._sockets.tell_late)

    def _figure(self, name: str) -> int:
        return self._settings.limits.get(name, LIMITS[name])

    # streams

    def parse_stream(self, name: str) -> Any:
        return read_topic(name)

    def delta_streams(self, symbol: str) -> list[str]:
        return [f"orderbook.{depth}.{symbol}" for depth in (50, 200, 1000)]

    def restart_books(self, symbols: list[str]) -> int:
        """The venue's service starts anew: books begin again with `u` 1, and closed orders are known to the history only."""
        self._private.forget_closed()
        return self._streams.restart(symbols)

    def tell(self, account: Account, event: Event) -> None:
        self._sockets.tell(account, event)

    def end_streams(self, account: Account) -> int:
        return self._sockets.end_streams(account)

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        self._streams.publish(market, outcome, trades, now_us)

    def publish_timed(self, now_us: int, force: bool) -> None:
        self._streams.publish_timed(now_us, force)

    def replay(self) -> Source:
        raise ValueError("this dialect plays no recordings; use Live()")

    # requests

    def call_name(self, request: Request) -> str:
        call = ROUTES.get((request.method, request.path))
        if call is None:
            return ""
        if call.name == "openOrders.status" and ("orderId=" in request.query or "orderLinkId=" in request.query):
            return "order.status"
        return call.name

    def answer(self, request: Request) -> Answer:
        self._exchange.desk.forced_id = _nobody
        refusal = self._banned(request)
        if refusal is not None:
            return refusal
        headers = self._headers()
        now_ms = self._exchange.clock.now_ms()
        if request.path not in _PATHS:
            return Answer(404, envelope(now_ms, 10017, trouble(10017).message), headers)
        call = ROUTES.get((request.method, request.path))
        endpoint = ENDPOINTS.get(request.path)
        if call is None and (endpoint is None or request.method != "GET"):
            return Answer(400, envelope(now_ms, 10001, "Request method is not supported"), headers)
        if request.method == "GET" and request.body:
            return Answer(403, _page(403), headers)
        status, code, words, result, extra = 200, 0, "OK", None, None
        try:
            if call is None:
                assert endpoint is not None
                result = getattr(self._answers, endpoint.handler)(Params(_query(request.query)))
            else:
                result, extra = self._do(request, call, headers)
        except VenueError as refused:
            status, code, words, result = refused.status, refused.code, refused.message, refused.result
        return Answer(status, envelope(self._exchange.clock.now_ms(), code, words, result, extra), headers, 1)

    def _do(self, request: Request, call: Call, headers: dict[str, str]) -> tuple[Any, Any]:
        payload = request.query if request.method == "GET" else request.body
        key = self._private.authenticate(request.headers, payload)
        sent: dict[str, Any] = dict(_query(request.query)) if request.method == "GET" else decode_body(request.body)
        grant: Grant = self._private.grant(call, key, self._private.batch_size(call, sent))
        headers["X-Bapi-Limit"] = str(grant.limit)
        headers["X-Bapi-Limit-Status"] = str(grant.left)
        headers["X-Bapi-Limit-Reset-Timestamp"] = str(grant.reset_ms)
        return self._private.call(call, key, sent, grant)

    def _headers(self) -> dict[str, str]:
        self._requests += 1
        return {"Traceid": f"{self._requests:032x}", "Timenow": str(self._exchange.clock.now_ms())}

    def _limits(self, address: str) -> AddressLimits:
        """The counters of an address, counting as this venue does."""
        limits = self._exchange.limits_of(address)
        if limits.weight.length_s != 5:
            limits.weight = Window(self._figure("http_per_5s"), 5)
        return limits

    def _banned(self, request: Request) -> Answer | None:
        """Count a request of an address; the answer when it has come too often, or not waited long enough."""
        limits, now_s = self._limits(request.address), self._exchange.clock.now_s()
        within = limits.weight.spend(1, now_s)
        banned = now_s < limits.banned_until
        if not banned and within:
            return None
        if not banned:
            if not self._settings.enforce_limits:
                return None
            limits.ban(now_s, float(self._figure("ban_s")))
        self._exchange.records.violation(
            self._exchange.clock.now_ns(), "banned" if banned else "weight", f"{request.path}?{request.query}"
        )
        return Answer(403, b"access too frequent", self._headers(), 1, limits.weight.used)

    def error(self, status: int, code: int = 0) -> bytes:
        if code:
            return envelope(self._exchange.clock.now_ms(), code, VenueError(code).message)
        if status == 200:
            return self.error(200, 10016)
        return _page(status)

    # connections

    def refuse_connect(self, address: str) -> Answer | None:
        limits, now_s = self._limits(address), self._exchange.clock.now_s()
        refusal = limits.connect(now_s)
        if refusal is None:
            return None
        self._exchange.records.violation(self._exchange.clock.now_ns(), refusal.reason, "connection attempt")
        return Answer(403, _page(403), {}, content_type="text/html")

    def socket_path(self, path: str) -> bool:
        return path in PATHS

    def open(self, connection: Connection, path: str, query: str) -> None:
        self._sockets.open(connection, path, query)

    def text(self, connection: Connection, text: str) -> None:
        self._sockets.text(connection, text)

    def shutdown_notice(self, connection: Connection) -> bytes:
        return b""

    def rejection(self, text: str, code: int, message: str) -> bytes:
        return self._sockets.rejection(text, message)


def _nobody(origin: str, number: int) -> str:
    """What the exchange calls its own orders: they have no name."""
    return ""


def _query(text: str) -> dict[str, str]:
    """Parameters by name; of one sent twice the last counts."""
    return dict(parse_qsl(text, keep_blank_values=True))
