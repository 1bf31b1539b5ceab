"""Bybit's two private connections: one takes orders and answers them, the other brings what happens to the account.

Orders go out with the parameters REST has, unsigned, after a login. A reply becomes an `HttpResponse` in the form of a REST
answer with its limit headers, so REST's readers and error table serve both ways. Some refusals come back without their number:
each request has its own deadline for that. Demo mode has no order connection.

The events' connection is logged in, then told what to send: orders, executions and positions of this product alone, and the
wallet, which all products share. It sends no snapshot and replays nothing. Both are kept alive by pings, whose answers are the
proof that they live.

Never sends, waits or reads a clock; keeps nothing between frames. Safe on any thread.

Source: venue API docs, "WebSocket Connect", "WebSocket Trade Guideline", "Private Streams", 2026-07, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.facts import AccountFact, BalanceReport, PositionReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Order
from connector.domain.times import NS_PER_MS
from connector.domain.wire import HttpResponse
from connector.drivers.bybit import reports
from connector.drivers.bybit.facts import Market
from connector.drivers.bybit.orders import CALLS, Params, amend_params, cancel_params, place_params
from connector.drivers.bybit.rest import BUDGET_HEADER
from connector.drivers.bybit.signing import login_payload
from connector.drivers.bybit.trading import Trading
from connector.drivers.bybit.wire import UNREADABLE, Milliseconds
from connector.drivers.contract import Hosts
from connector.drivers.trading import (
    Auth,
    KeyRule,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import Unsupported, WireFormatError

__all__ = ["Events", "Session"]

_LOGIN_LASTS_MS = 10_000
_SHOWN = 40
_DONE, _PARAMETERS, _CLOCK, _KEY, _REPEATED_LOGIN, _RESTARTING = 0, 10001, 10002, 10003, 20001, 10019
_OPERATIONS = {call.operation: name for name, call in CALLS.items() if call.operation}
_LOGIN, _SUBSCRIPTION, _PONG = "auth", "subscribe", "pong"

# ---------------------------------------------------------------- frames


class _Header(msgspec.Struct):
    """Of a reply; names as the venue writes them, values as text."""

    limit: str | int = msgspec.field(default="", name="X-Bapi-Limit")
    status: str | int = msgspec.field(default="", name="X-Bapi-Limit-Status")
    reset: str | int = msgspec.field(default="", name="X-Bapi-Limit-Reset-Timestamp")
    now: str | int = msgspec.field(default="", name="Timenow")
    trace: str | int = msgspec.field(default="", name="Traceid")


class _OrderFrame(msgspec.Struct, rename="camel"):
    op: str
    ret_code: int
    ret_msg: str | None = ""
    req_id: str | None = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ret_ext_info: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    header: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _EventFrame(msgspec.Struct):
    """Any frame of the events' connection: a reply (`op`) or an event (`topic`). Refused logins were seen with a code, too."""

    op: str = ""
    topic: str = ""
    success: bool | None = None
    ret_msg: str | None = ""
    code: int | None = msgspec.field(default=None, name="retCode")
    text: str | None = msgspec.field(default="", name="retMsg")
    req_id: str | int | None = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    creation_time: Milliseconds | None = msgspec.field(default=None, name="creationTime")


class _Reply(msgspec.Struct, rename="camel"):
    """What REST would have answered."""

    ret_code: int
    ret_msg: str
    result: msgspec.Raw
    ret_ext_info: msgspec.Raw
    time: int


_ORDER_FRAME = msgspec.json.Decoder(_OrderFrame)
_EVENT_FRAME = msgspec.json.Decoder(_EventFrame)
_HEADER = msgspec.json.Decoder(_Header)
_ORDERS = msgspec.json.Decoder(tuple[reports.OrderRow, ...], strict=False)
_EXECUTIONS = msgspec.json.Decoder(tuple[reports.ExecutionRow, ...], strict=False)
_POSITIONS = msgspec.json.Decoder(tuple[reports.PositionRow, ...], strict=False)
_WALLETS = msgspec.json.Decoder(tuple[reports.WalletRow, ...], strict=False)
_NOTHING = msgspec.Raw(b"{}")


def _words(text: str) -> str:
    return "".join(sign for sign in text[:_SHOWN] if sign.isalnum() or sign in "_-.")


def _raw(part: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw:
    return _NOTHING if isinstance(part, msgspec.UnsetType) else part


def _whole(text: str | int) -> int | None:
    text = str(text)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 15 else None


def _response(
    code: int,
    text: str,
    received_ns: int,
    *,
    result: msgspec.Raw = _NOTHING,
    more: msgspec.Raw = _NOTHING,
    time_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    at_ms = received_ns // NS_PER_MS if time_ms is None else time_ms
    body = msgspec.json.encode(_Reply(code, text, result, more, at_ms))
    return HttpResponse(200, headers or {}, body, received_ns, received_ns)


def _login(request_id: str, auth: Auth, now_ms: int, id_name: str) -> SessionRequest:
    """A login that may be taken for ten seconds, by the venue's clock."""
    expires_ms = now_ms + _LOGIN_LASTS_MS
    args = [auth.key, expires_ms, auth.sign(login_payload(expires_ms))]
    frame = msgspec.json.encode({id_name: request_id, "op": "auth", "args": args})
    return SessionRequest(frame, request_id, (), answers=_LOGIN)


# ---------------------------------------------------------------- orders


@dataclass(frozen=True, slots=True)
class Session:
    """SessionLanguage of one product of Bybit; see `drivers.trading`. It brings replies only: events are `Events`'s."""

    market: Market
    trading: Trading
    max_age_s: float | None = None
    rollover_before_s: float = 0.0
    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return f"{hosts.session}/v5/trade"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return (lambda request_id, auth, now_ms: _login(request_id, auth, now_ms, "reqId"),)

    def probe(self, request_id: str) -> SessionRequest:
        frame = msgspec.json.encode({"reqId": request_id, "op": "ping"})
        return SessionRequest(frame, request_id, (), answers=_PONG)

    # ------------------------------------------------------------ requests

    def _request(self, request_id: str, name: str, params: Params, now_ms: int) -> SessionRequest:
        header = {
            "X-BAPI-TIMESTAMP": str(now_ms),
            "X-BAPI-RECV-WINDOW": str(self.trading.rules.recv_window_ms),
        }
        call = CALLS[name]
        told = {"reqId": request_id, "header": header, "op": call.operation, "args": [params]}
        return SessionRequest(msgspec.json.encode(told), request_id, call.charges(self.market))

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._request(request_id, "place", place_params(order, client_id, instrument, self.market), now_ms)

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._request(request_id, "cancel", cancel_params(order, current, instrument, self.market), now_ms)

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._request(request_id, "amend", amend_params(order, current, instrument, self.market), now_ms)

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest:
        raise Unsupported(
            f"{self.market.name} has no order lists of orders with ids of our own. Place them one by one."
        )

    # ------------------------------------------------------------ frames

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            heard = _ORDER_FRAME.decode(frame)
            return self._reply(heard, received_ns)
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)

    def _reply(self, heard: _OrderFrame, received_ns: int) -> SessionReply | SessionEnding | SessionNoise:
        request_id, code = heard.req_id or None, heard.ret_code
        if heard.op in (_PONG, "ping"):
            return SessionReply(request_id, _response(code, heard.ret_msg or "", received_ns), _PONG)
        if heard.op == _LOGIN:
            if code == _REPEATED_LOGIN:  # it is logged in
                code = _DONE
            return SessionReply(request_id, _response(code, heard.ret_msg or "", received_ns), _LOGIN)
        if request_id is None and code == _RESTARTING:
            return SessionEnding("the venue's order gateway restarts; it refuses new requests")
        if request_id is None and code == _DONE:
            return SessionNoise(f"reply to {_words(heard.op) or 'nothing'} without a number", known=False)
        headers, time_ms = self._headers(heard)
        response = _response(
            code,
            heard.ret_msg or "",
            received_ns,
            result=_raw(heard.data),
            more=_raw(heard.ret_ext_info),
            time_ms=time_ms,
            headers=headers,
        )
        return SessionReply(request_id, response)

    def _headers(self, heard: _OrderFrame) -> tuple[dict[str, str], int | None]:
        """The headers REST would have sent, and the venue's time. The operation says which limit they are about."""
        try:
            told = _HEADER.decode(_raw(heard.header))
        except UNREADABLE:
            return {}, None
        headers = {
            "x-bapi-limit": str(told.limit),
            "x-bapi-limit-status": str(told.status),
            "x-bapi-limit-reset-timestamp": str(told.reset),
            "traceid": str(told.trace),
        }
        name = _OPERATIONS.get(heard.op)
        if name is not None:
            (charge,) = CALLS[name].charges(self.market)
            headers[BUDGET_HEADER] = charge.budget
        return {each: value for each, value in headers.items() if value}, _whole(told.now)


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Events:
    """PrivateLanguage of one product of Bybit; see `drivers.trading`."""

    market: Market
    max_age_s: float | None = None
    rollover_before_s: float = 0.0
    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return f"{hosts.events_root}/v5/private"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        """The wallet is asked for apart: the venue refuses names with a category beside one without."""
        return (
            lambda request_id, auth, now_ms: _login(request_id, auth, now_ms, "req_id"),
            lambda request_id, auth, now_ms: self._subscribe(request_id, self._topics()),
            lambda request_id, auth, now_ms: self._subscribe(request_id, ["wallet"]),
        )

    def _topics(self) -> list[str]:
        kinds = ("order", "execution") if self.market.is_spot else ("order", "execution", "position")
        return [f"{kind}.{self.market.category}" for kind in kinds]

    def _subscribe(self, request_id: str, topics: Sequence[str]) -> SessionRequest:
        frame = msgspec.json.encode({"req_id": request_id, "op": "subscribe", "args": list(topics)})
        return SessionRequest(frame, request_id, (), answers=_SUBSCRIPTION)

    def probe(self, request_id: str) -> SessionRequest:
        frame = msgspec.json.encode({"req_id": request_id, "op": "ping"})
        return SessionRequest(frame, request_id, (), answers=_PONG)

    # ------------------------------------------------------------ frames

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            heard = _EVENT_FRAME.decode(frame)
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        if heard.topic:
            return self._event(heard, received_ns, instruments)
        request_id = str(heard.req_id) if heard.req_id not in (None, "") else None
        if heard.op in (_PONG, "ping"):
            return SessionReply(request_id, _response(_DONE, "", received_ns), _PONG)
        if heard.op in (_LOGIN, _SUBSCRIPTION) and heard.success is not None:
            code, text = _DONE if heard.success else _refusal(heard), heard.ret_msg or heard.text or ""
            return SessionReply(request_id, _response(code, text[:200], received_ns), heard.op)
        return SessionNoise(f"frame of operation {_words(heard.op) or 'none'}", known=False)

    def _event(
        self, heard: _EventFrame, received_ns: int, instruments: InstrumentTable
    ) -> SessionEvents | SessionNoise:
        kind = heard.topic.partition(".")[0]
        read = _READERS.get(kind)
        if read is None:
            return SessionNoise(f"event {_words(heard.topic)}", known=False)
        try:
            return SessionEvents(tuple(read(self.market, heard, received_ns, instruments)))
        except reports.Unlisted as unlisted:
            return SessionNoise(f"{kind} of {_words(unlisted.symbol)}, which is not listed", known=False)
        except (WireFormatError, *UNREADABLE):
            return SessionNoise(f"unreadable {kind}", known=False)


def _refusal(heard: _EventFrame) -> int:
    """The code REST has for what this connection mostly says in words alone."""
    if heard.code:
        return heard.code
    if heard.op != _LOGIN:
        return _PARAMETERS
    return _CLOCK if "expire" in (heard.ret_msg or "").casefold() else _KEY


def _own(market: Market, rows: Sequence[Any]) -> Sequence[Any]:
    """Rows of this product; those of another are told to its own driver."""
    return [row for row in rows if row.category in ("", market.category)]


def _read_orders(market: Market, heard: _EventFrame, received_ns: int, table: InstrumentTable) -> list[AccountFact]:
    return [
        reports.order_report("order", row, reports.instrument_of("order", row.symbol, table), market, received_ns)
        for row in _own(market, _ORDERS.decode(_raw(heard.data)))
    ]


def _read_executions(market: Market, heard: _EventFrame, received_ns: int, table: InstrumentTable) -> list[AccountFact]:
    facts: list[AccountFact] = []
    for row in _own(market, _EXECUTIONS.decode(_raw(heard.data))):
        instrument = reports.instrument_of("execution", row.symbol, table)
        if row.exec_type == reports.FUNDING:
            facts.append(reports.funding_of_execution("execution", row, instrument, market, received_ns))
        elif (found := reports.fill("execution", row, instrument, market, received_ns)) is not None:
            facts.append(found)
    return facts


def _read_positions(market: Market, heard: _EventFrame, received_ns: int, table: InstrumentTable) -> list[AccountFact]:
    found = tuple(
        reports.position("position", row, reports.instrument_of("position", row.symbol, table), market, received_ns)
        for row in _own(market, _POSITIONS.decode(_raw(heard.data)))
    )
    at_ns = None if heard.creation_time is None else heard.creation_time * NS_PER_MS
    return [PositionReport(market.name, at_ns, received_ns, found, False)] if found else []


def _read_wallet(market: Market, heard: _EventFrame, received_ns: int, table: InstrumentTable) -> list[AccountFact]:
    told = reports.balances("wallet", _WALLETS.decode(_raw(heard.data)), market)
    at_ns = None if heard.creation_time is None else heard.creation_time * NS_PER_MS
    return [BalanceReport(market.name, at_ns, received_ns, told, False)] if told else []


_READERS: Mapping[str, Callable[[Market, _EventFrame, int, InstrumentTable], list[AccountFact]]] = {
    "order": _read_orders,
    "execution": _read_executions,
    "position": _read_positions,
    "wallet": _read_wallet,
}
