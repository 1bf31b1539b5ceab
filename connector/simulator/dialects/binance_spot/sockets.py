"""Speak the spot venue's WebSocket API: requests and answers over one socket, sessions, and account events.

The same calls as by REST under their own names, plus session and subscription methods. Answers go out as soon as they are ready
unless a fault delays them, so they may come in any order. Loop thread only. Source: the venue's WebSocket API and user data
documents, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from connector.simulator.accounts import Account
from connector.simulator.desk import Event, MarginCall, Report, TermsChange
from connector.simulator.dialects.binance_spot.fields import CALLS, Call
from connector.simulator.dialects.binance_spot.live import rate_limits
from connector.simulator.dialects.binance_spot.render import event_row
from connector.simulator.dialects.binance_spot.rest import ENDPOINTS, VenueError, read_params
from connector.simulator.dialects.binance_spot.trading import Private, order_limit_rows
from connector.simulator.exchange import CallFault, Exchange
from connector.simulator.hub import Connection, text_frame
from connector.simulator.keys import ApiKey
from connector.simulator.ledger import EventRecord

__all__ = ["PATH", "Session", "SocketApi", "fault_error"]

PATH = "/ws-api/v3"
SUBSCRIPTIONS_PER_LIFE = 65_535

_PUBLIC = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchangeInfo",
    "depth": "depth",
    "trades.recent": "trades",
    "trades.historical": "historicalTrades",
    "trades.aggregate": "aggTrades",
    "klines": "klines",
    "uiKlines": "uiKlines",
    "avgPrice": "avgPrice",
    "ticker.24hr": "ticker/24hr",
    "ticker.tradingDay": "ticker/tradingDay",
    "ticker": "ticker",
    "ticker.price": "ticker/price",
    "ticker.book": "ticker/bookTicker",
}
_SESSION = (
    "session.logon",
    "session.status",
    "session.logout",
    "session.subscriptions",
    "userDataStream.subscribe",
    "userDataStream.subscribe.signature",
    "userDataStream.unsubscribe",
)
_GONE = VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


class _Frame(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: dict[str, msgspec.Raw] | None = None


class Session:
    """What the venue knows about one client of its WebSocket API."""

    def __init__(self, connected_us: int, return_limits: bool, unit: int) -> None:
        self.connected_us, self.return_limits, self.unit = connected_us, return_limits, unit
        self.key: ApiKey | None = None
        self.authorized_us: int | None = None
        self.subscriptions: dict[int, Account] = {}
        self.by_logon: int | None = None
        self.next_subscription = 0


class SocketApi:
    """The venue's side of every WebSocket API conversation."""

    def __init__(self, exchange: Exchange, private: Private, answers: Callable[[], Any]) -> None:
        self._exchange, self._private, self._answers = exchange, private, answers

    def open(self, connection: Connection, query: str) -> None:
        """A client is connected; that alone costs weight."""
        asked = parse_qs(query)
        hidden = asked.get("returnRateLimits", [""])[0].lower() == "false"
        micros = asked.get("timeUnit", [""])[0].upper() == "MICROSECOND"
        connection.metered = False
        connection.session = Session(self._exchange.clock.now_us(), not hidden, 1 if micros else 1000)
        self._exchange.limits_of(connection.address).weight.spend(2, self._exchange.clock.now_s())

    def text(self, connection: Connection, text: str) -> None:
        """Take one request."""
        try:
            frame = msgspec.json.decode(text, type=_Frame)
        except (msgspec.DecodeError, RecursionError):
            self._send(connection, _error(None, VenueError(-1135, "Invalid JSON Request")))
            return
        method = frame.method.removeprefix("v3/")
        fault = self._exchange.call_fault(method) if method in CALLS or method in _SESSION else None
        if fault is None:
            self._send(connection, self._answer(connection, method, frame))
            return
        self._faulty(connection, method, frame, fault)

    def _faulty(self, connection: Connection, method: str, frame: _Frame, fault: CallFault) -> None:
        exchange = self._exchange

        def finish() -> None:
            if connection.closing:
                return
            orders_before = exchange.desk.orders_taken
            answer = self._answer(connection, method, frame) if fault.done else {}
            if exchange.errs(fault, orders_before):
                answer = _error(frame.id, fault_error(fault.code, fault.status)) | {
                    "rateLimits": answer.get("rateLimits", [])
                }
            if fault.lost:
                if not fault.silent:
                    connection.wire.reset()
            elif fault.late_s is not None and fault.at == "answer":
                exchange.later(
                    exchange.real_s(exchange.rng.uniform(*fault.late_s)), lambda: self._send(connection, answer)
                )
            else:
                self._send(connection, answer)

        if fault.at == "request" and fault.lost:
            if not fault.silent:
                connection.wire.reset()
        elif fault.at == "request" and fault.late_s is not None:
            exchange.later(exchange.real_s(exchange.rng.uniform(*fault.late_s)), finish)
        else:
            finish()

    def _send(self, connection: Connection, answer: dict[str, Any]) -> None:
        connection.send_now(text_frame(msgspec.json.encode(answer)))

    def _answer(self, connection: Connection, method: str, frame: _Frame) -> dict[str, Any]:
        """One request with its answer, limits included."""
        exchange, session = self._exchange, connection.session
        limits = exchange.limits_of(connection.address)
        now_s = exchange.clock.now_s()
        sent = {name: text for name, raw in (frame.params or {}).items() if (text := _text(raw)) is not None}
        shown = session.return_limits
        if "returnRateLimits" in sent:
            shown = sent["returnRateLimits"].lower() == "true"
            if method == "session.logon":
                session.return_limits = shown
        call = CALLS.get(method)
        cost = self._cost(method, call, sent)
        refusal = limits.request(0 if call is not None and call.free else cost, now_s)
        account: Account | None = None
        if refusal is not None:
            exchange.records.violation(exchange.clock.now_ns(), refusal.reason, method)
            now_ms = exchange.clock.now_ms()
            until_ms = refusal.banned_until_ms or now_ms + refusal.retry_after_s * 1000
            data = {"serverTime": now_ms, "retryAfter": until_ms}
            words = (
                f"Too much request weight used; current limit is {limits.weight.capacity} request weight per 1 MINUTE."
            )
            if refusal.status == 418:
                words = f"Way too much request weight used; IP banned until {until_ms}."
                exchange.later(0.05, lambda: exchange.close(connection, 1008, "banned"))
            answer = _error(frame.id, VenueError(-1003, words, refusal.status, data))
        else:
            try:
                result, account = self._do(connection, session, method, call, sent)
                answer = {"id": frame.id, "status": 200, "result": result}
            except _SessionEnded:
                answer = _error(None, _GONE)
            except VenueError as refused:
                if call is not None and call.free:
                    limits.weight.spend(cost, now_s)
                if refused.retry_after_s and refused.data is None:
                    now_ms = exchange.clock.now_ms()
                    refused.data = {"serverTime": now_ms, "retryAfter": now_ms + refused.retry_after_s * 1000}
                answer = _error(frame.id, refused)
                if call is not None and call.orders:
                    account = self._account(session, sent)
        if shown:
            answer["rateLimits"] = self._limit_rows(limits.weight.used)
            if account is not None and call is not None and call.orders:
                answer["rateLimits"] += order_limit_rows(account, now_s)
        return answer

    def _limit_rows(self, used: int) -> list[dict[str, Any]]:
        return [rate_limits(self._exchange)[0] | {"count": used}]

    def _cost(self, method: str, call: Call | None, sent: dict[str, str]) -> int:
        if call is not None:
            return call.weight(sent)
        if method in _PUBLIC:
            return ENDPOINTS[f"/api/v3/{_PUBLIC[method]}"].weight(sent)
        return 2 if method in _SESSION else 1

    def _account(self, session: Session, sent: dict[str, str]) -> Account | None:
        key = session.key if "apiKey" not in sent else self._exchange.desk.keys.get(sent["apiKey"])
        return None if key is None else self._exchange.desk.accounts[key.account]

    def _do(
        self, connection: Connection, session: Session, method: str, call: Call | None, sent: dict[str, str]
    ) -> tuple[Any, Account | None]:
        if session.key is not None and session.key.revoked:
            session.key = session.authorized_us = None
            raise _SessionEnded
        if call is not None:
            key = self._authorized(session, sent)
            return self._private.call(call, key, sent, session.unit), self._exchange.desk.accounts[key.account]
        if method in _PUBLIC:
            endpoint = ENDPOINTS[f"/api/v3/{_PUBLIC[method]}"]
            asked = {name: text for name, text in sent.items() if name != "returnRateLimits"}
            answers = self._answers()
            params = read_params(endpoint, asked, None, answers.statuses())
            result = getattr(answers, endpoint.name)(params, session.unit)
            if method == "exchangeInfo" and "rateLimits" in result:
                most = self._exchange.settings.connects_per_5min
                row = {"rateLimitType": "CONNECTIONS", "interval": "MINUTE", "intervalNum": 5, "limit": most}
                result["rateLimits"] = [*result["rateLimits"], row]
            return result, None
        if method not in _SESSION:
            raise VenueError(-1020, "This operation is not supported.")
        handler = getattr(self, "_" + method.replace(".", "_").lower())
        return handler(connection, session, sent), None

    def _authorized(self, session: Session, sent: dict[str, str]) -> ApiKey:
        """The key a request is made with: its own, or the session's."""
        if "apiKey" not in sent and session.key is not None:
            self._private.authenticate(session.key, sent, b"", signed="signature" in sent)
            return session.key
        if "apiKey" not in sent:
            raise VenueError(-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")
        key = self._private.key(sent["apiKey"])
        payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent) if name != "signature")
        self._private.authenticate(key, sent, payload.encode())
        return key

    # sessions

    def _session_logon(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        if "apiKey" not in sent:
            raise VenueError(-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")
        key = self._private.key(sent["apiKey"])
        if key.kind != "ed25519":
            raise VenueError(-2028, "Session logon supports only Ed25519 API keys.")
        session.key = self._authorized(session, sent)
        session.authorized_us = self._exchange.clock.now_us()
        return self._session_status(connection, session, sent)

    def _session_status(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        unit = session.unit
        return {
            "apiKey": None if session.key is None else session.key.name,
            "authorizedSince": None if session.authorized_us is None else session.authorized_us // unit,
            "connectedSince": session.connected_us // unit,
            "returnRateLimits": session.return_limits,
            "serverTime": self._exchange.clock.now_us() // unit,
            "userDataStream": session.by_logon is not None,
        }

    def _session_logout(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        session.key = session.authorized_us = None
        if session.by_logon is not None:
            self._terminate(connection, session, session.by_logon)
        return self._session_status(connection, session, sent)

    def _session_subscriptions(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        return [{"subscriptionId": ident} for ident in session.subscriptions]

    def _userdatastream_subscribe(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        if session.key is None:
            raise VenueError(-1193, "The session is not authenticated; log on first.")
        result = self._subscribe(session, self._exchange.desk.accounts[session.key.account])
        session.by_logon = result["subscriptionId"]
        return result

    def _userdatastream_subscribe_signature(
        self, connection: Connection, session: Session, sent: dict[str, str]
    ) -> Any:
        for name in ("apiKey", "signature"):
            if name not in sent:
                raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return self._subscribe(session, self._exchange.desk.accounts[self._authorized(session, sent).account])

    def _subscribe(self, session: Session, account: Account) -> dict[str, int]:
        if account in session.subscriptions.values():
            raise VenueError(-2035, "Subscription to the user data stream is already active.")
        if session.next_subscription >= SUBSCRIPTIONS_PER_LIFE:
            raise VenueError(-2042, "Too many subscriptions were made on this connection.")
        ident = session.next_subscription
        session.next_subscription += 1
        session.subscriptions[ident] = account
        return {"subscriptionId": ident}

    def _userdatastream_unsubscribe(self, connection: Connection, session: Session, sent: dict[str, str]) -> Any:
        chosen = list(session.subscriptions)
        if "subscriptionId" in sent:
            chosen = [ident for ident in chosen if str(ident) == sent["subscriptionId"]]
        if not chosen:
            raise VenueError(-2036, "Subscription to the user data stream is not active.")
        for ident in chosen:
            self._terminate(connection, session, ident)
        return {}

    # events

    def tell(self, account: Account, event: Event) -> None:
        """Send an account event to every subscription of the account; the ledger keeps it in any case."""
        if isinstance(event, TermsChange | MarginCall):
            return  # of contracts only
        exchange = self._exchange
        rows = {1000: event_row(event, 1000)}
        kind = rows[1000]["e"] + (f".{event.execution}" if isinstance(event, Report) else "")
        subscribers = copies = 0
        for connection in exchange.hub.connections:
            session = connection.session
            if not isinstance(session, Session):
                continue
            for ident, subscribed in session.subscriptions.items():
                if subscribed is account:
                    row = rows.get(session.unit)
                    if row is None:
                        row = rows[session.unit] = event_row(event, session.unit)
                    frame = text_frame(msgspec.json.encode({"subscriptionId": ident, "event": row}))
                    subscribers += 1
                    copies += exchange.tell_connection(connection, kind, frame)
        body = msgspec.json.encode(rows[1000])
        exchange.records.event(account.name, EventRecord(exchange.clock.now_ns(), kind, body, subscribers, copies))

    def end_streams(self, account: Account) -> int:
        """End every subscription to an account, and say so on each."""
        ended = 0
        for connection in list(self._exchange.hub.connections):
            session = connection.session
            if isinstance(session, Session):
                for ident in [ident for ident, subscribed in session.subscriptions.items() if subscribed is account]:
                    self._terminate(connection, session, ident)
                    ended += 1
        return ended

    def _terminate(self, connection: Connection, session: Session, ident: int) -> None:
        del session.subscriptions[ident]
        if session.by_logon == ident:
            session.by_logon = None
        event = {"e": "eventStreamTerminated", "E": self._exchange.clock.now_us() // session.unit}
        connection.send_now(text_frame(msgspec.json.encode({"subscriptionId": ident, "event": event})))


class _SessionEnded(Exception):
    """The key of a session is no longer good; the answer carries no id."""


def fault_error(code: int, status: int) -> VenueError:
    """The error a fault answers with."""
    code = code or _CODES.get(status, -1000)
    return VenueError(code, _WORDS.get(code, "Internal error."), status)


_CODES = {503: -1008, 504: -1007}
_WORDS = {
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -2010: "Duplicate order sent.",
}


def _error(ident: int | str | None, error: VenueError) -> dict[str, Any]:
    return {"id": ident, "status": error.status, "error": error.plain()}


def _text(raw: msgspec.Raw) -> str | None:
    """A parameter as the text that was signed: strings without their quotes, everything else as it stands."""
    data = bytes(raw).strip()
    if data == b"null":
        return None
    if data[:1] == b'"':
        return str(msgspec.json.decode(data))
    if data[:1] == b"[":
        return msgspec.json.encode(msgspec.json.decode(data)).decode()
    return data.decode()
