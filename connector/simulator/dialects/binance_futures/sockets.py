"""Speak the futures venue's WebSocket API, and tell account events on user streams.

The API's calls are those of REST under their own names, plus sessions; it gives listen keys but tells no events. User streams are
opened with such a key, or with any text: a wrong key is taken and stays silent. Loop thread only. Source: the venue's futures
WebSocket API and user data documents, read 2026-11.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, parse_qsl

import msgspec

from connector.simulator.accounts import Account
from connector.simulator.desk import Event, MarginCall, Position, Report, TermsChange
from connector.simulator.dialects.binance_futures.account import alias, signed_size
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import PublicAnswers, price_text
from connector.simulator.dialects.binance_futures.render import (
    algo_event,
    algo_status,
    order_event,
    position_event,
    signed_text,
)
from connector.simulator.dialects.binance_futures.rest import CALLS, Call, VenueError, read_fields
from connector.simulator.dialects.binance_futures.trading import Private
from connector.simulator.exchange import CallFault, Exchange
from connector.simulator.hub import Connection, text_frame
from connector.simulator.instruments import text_e8
from connector.simulator.keys import ApiKey
from connector.simulator.ledger import EventRecord

__all__ = ["ApiSession", "KeySession", "SocketApi", "UserStreams", "fault_error"]

_PUBLIC = {"ping": "ping", "time": "time", "depth": "depth", "ticker.price": "priceTicker", "ticker.book": "bookTicker"}
_SESSION = ("session.logon", "session.status", "session.logout")
_METHODS = (
    "order.place",
    "order.modify",
    "order.cancel",
    "order.status",
    "algoOrder.place",
    "algoOrder.cancel",
    "account.status",
    "account.balance",
    "account.position",
    "userDataStream.start",
    "userDataStream.ping",
    "userDataStream.stop",
)
_CAUSES = {
    "order": "ORDER",
    "liquidation": "ORDER",
    "adl": "ORDER",
    "delivery": "ORDER",
    "funding": "FUNDING_FEE",
    "deposit": "DEPOSIT",
    "margin": "MARGIN_TRANSFER",
    "insurance": "INSURANCE_CLEAR",
    "terms": "MARGIN_TYPE_CHANGE",
}


class _Frame(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: dict[str, msgspec.Raw] | None = None


class ApiSession:
    """What the venue knows about one client of its WebSocket API."""

    def __init__(self, connected_ms: int, return_limits: bool) -> None:
        self.connected_ms, self.return_limits = connected_ms, return_limits
        self.key: ApiKey | None = None
        self.authorized_ms: int | None = None
        self.subscriptions: dict[int, Account] = {}


class KeySession:
    """The listen keys a connection was opened with, each with the events it asks for (None: all)."""

    def __init__(self) -> None:
        self.keys: dict[str, frozenset[str] | None] = {}
        self.subscriptions: dict[str, Account] = {}
        """Accounts behind the keys that are good."""


class UserStreams:
    """Account events on their way to whoever holds a listen key."""

    def __init__(self, exchange: Exchange, private: Private, product: Product) -> None:
        self._exchange, self._private, self._product = exchange, private, product
        private.listen_keys.ended = self._ended

    def open(self, connection: Connection, query: str, path_key: str) -> None:
        """A connection came with keys in its address."""
        key = ""
        if path_key:
            self.add(connection, path_key)
        for name, value in parse_qsl(query):
            if name == "listenKey":
                key = value
                self.add(connection, key)
            elif name == "events" and key and connection.session is not None:
                connection.session.keys[key] = frozenset(value.split("/"))

    def add(self, connection: Connection, key: str) -> None:
        """Let a connection hear what a key opens, if it opens anything."""
        if connection.session is None:
            connection.session = KeySession()
        connection.session.keys.setdefault(key, None)
        account = self._private.listen_keys.account_of(key)
        if account is not None:
            connection.session.subscriptions[key] = account

    def add_if_key(self, connection: Connection, name: str) -> bool:
        """The same when the name of a stream is a key."""
        if "@" in name or len(name) != 64 or not name.isalnum():
            return False
        self.add(connection, name)
        return True

    def tell(self, account: Account, event: Event) -> list[tuple[str, dict[str, Any]]]:
        """Send an account event to every connection with the account's key; the ledger keeps it in any case."""
        rows = self._rows(account, event)
        for kind, row in rows:
            self._send(account, kind, row)
        return rows

    def _send(self, account: Account, kind: str, row: dict[str, Any]) -> None:
        exchange = self._exchange
        body = msgspec.json.encode(row)
        subscribers = copies = 0
        active = self._private.listen_keys.active(account)
        for connection in exchange.hub.connections:
            session = connection.session
            if not isinstance(session, KeySession):
                continue
            for key, subscribed in session.subscriptions.items():
                wanted = session.keys.get(key)
                if subscribed is not account or key != active or (wanted is not None and row["e"] not in wanted):
                    continue
                subscribers += 1
                copies += exchange.tell_connection(connection, kind, text_frame(_wrapped(connection, key, body)))
        exchange.records.event(account.name, EventRecord(exchange.clock.now_ns(), kind, body, subscribers, copies))

    def _ended(self, account: Account, key: str) -> None:
        """A key is over: whoever used it is told so, and hears no more."""
        event = {"e": "listenKeyExpired", "E": self._exchange.clock.now_ms(), "listenKey": key}
        body = msgspec.json.encode(event)
        for connection in self._exchange.hub.connections:
            session = connection.session
            if isinstance(session, KeySession) and session.subscriptions.pop(key, None) is not None:
                wanted = session.keys.get(key)
                if wanted is None or "listenKeyExpired" in wanted:
                    connection.send_now(text_frame(_wrapped(connection, key, body)))

    def end(self, account: Account) -> int:
        """End the account's key. Returns how many connections heard of it."""
        count = sum(
            isinstance(connection.session, KeySession) and account in connection.session.subscriptions.values()
            for connection in self._exchange.hub.connections
        )
        self._private.listen_keys.stop(account)
        return count

    # the events

    def _rows(self, account: Account, event: Event) -> list[tuple[str, dict[str, Any]]]:
        product, clearing = self._product, self._exchange.desk.clearing
        if isinstance(event, Report):
            return self._report(event)
        at_ms = event.at_us // 1000
        if isinstance(event, Position):
            row = position_event(
                account,
                clearing,
                event.assets,
                event.holdings if event.cause != "funding" else tuple(h for h in event.holdings if h.isolated),
                _CAUSES[event.cause],
                at_ms,
                product,
                changes=self._changes(account, event),
                symbol=event.symbol if event.cause == "funding" else "",
                alias=alias(account),
            )
            return [(f"ACCOUNT_UPDATE.{_CAUSES[event.cause]}", row)]
        if isinstance(event, TermsChange):
            if event.what != "leverage" or event.market is None:
                return []
            terms = clearing.terms(account, event.market)
            change = {"s": event.market.symbol, "l": terms.leverage}
            return [("ACCOUNT_CONFIG_UPDATE", {"e": "ACCOUNT_CONFIG_UPDATE", "E": at_ms, "T": at_ms, "ac": change})]
        if isinstance(event, MarginCall):
            state = clearing.state(account, event.asset)
            head: dict[str, Any] = {"e": "MARGIN_CALL", "E": at_ms}
            if not product.linear:
                head["i"] = alias(account)
            rows = [
                {
                    "s": held.market.symbol,
                    "ps": {"net": "BOTH", "long": "LONG", "short": "SHORT"}[held.side],
                    "pa": signed_size(held.market, held.lots),
                    "mt": "ISOLATED" if held.isolated else "CROSSED",
                    "iw": text_e8(held.isolated_e8),
                    "mp": text_e8(held.market.marks.mark_e8),
                    "up": signed_text(held.unrealised_e8),
                    "mm": text_e8(clearing.maintenance_e8(held)),
                }
                for held in event.holdings
            ]
            return [("MARGIN_CALL", head | {"cw": signed_text(state.cross_wallet_e8), "p": rows})]
        return []

    def _changes(self, account: Account, event: Position) -> dict[str, int]:
        """What changed besides profit and commission: deposits, fundings, insurance."""
        if event.cause not in ("deposit", "funding", "insurance"):
            return {}
        changes: dict[str, int] = {}
        for row in reversed(account.incomes):  # the newest ones of this cause; both sides of a hedge pay apart
            newest = account.incomes[-1]
            if (row.kind, row.at_us, row.symbol) != (newest.kind, newest.at_us, newest.symbol):
                break
            changes[row.asset] = changes.get(row.asset, 0) + row.amount_e8
        return changes

    def _report(self, event: Report) -> list[tuple[str, dict[str, Any]]]:
        order, at_ms, product = event.order, event.at_us // 1000, self._product
        if order.new.spawns:
            status = {
                "NEW": "NEW",
                "ACTIVATED": "NEW",
                "TRIGGERED": "TRIGGERING",
                "SPAWNED": "TRIGGERED",
                "FINISHED": "FINISHED",
            }.get(event.execution, algo_status(order))
            return [(f"ALGO_UPDATE.{status}", algo_event(order, status, at_ms))]
        execution = {"REPLACED": "AMENDMENT", "TRADE_PREVENTION": "EXPIRED"}.get(event.execution, event.execution)
        if event.execution == "TRADE_PREVENTION" and order.open:
            return []
        if execution == "TRADE" and order.new.origin in ("liquidation", "adl"):
            execution = "CALCULATED"
        rows = []
        if event.fill is not None and product.linear:
            fill = event.fill
            lite = {
                "e": "TRADE_LITE",
                "E": at_ms,
                "T": at_ms,
                "s": order.market.symbol,
                "q": signed_size(order.market, order.lots),
                "p": "0" if order.new.price is None else price_text(order.market, order.new.price),
                "m": fill.is_maker,
                "c": order.client_id,
                "S": order.new.side.value,
                "L": price_text(order.market, fill.price),
                "l": signed_size(order.market, fill.lots),
                "t": fill.trade_id,
                "i": order.order_id,
            }
            if not order.new.origin:
                rows.append(("TRADE_LITE", lite))
        note = order.changes[-1].note if order.changes else None
        row = order_event(order, execution, at_ms, product, fill=event.fill, alias=alias(order.account), modify_id=note)
        rows.append((f"ORDER_TRADE_UPDATE.{execution}", row))
        return rows


def _wrapped(connection: Connection, key: str, body: bytes) -> bytes:
    return b'{"stream":"' + key.encode() + b'","data":' + body + b"}" if connection.combined else body


class SocketApi:
    """The venue's side of every WebSocket API conversation."""

    def __init__(self, exchange: Exchange, private: Private, answers: PublicAnswers, product: Product) -> None:
        self._exchange, self._private, self._answers, self._product = exchange, private, answers, product

    def open(self, connection: Connection, query: str) -> None:
        """A client is connected; that alone costs weight."""
        hidden = parse_qs(query).get("returnRateLimits", [""])[0].lower() == "false"
        connection.metered = False
        connection.session = ApiSession(self._exchange.clock.now_ms(), not hidden)
        self._exchange.limits_of(connection.address).weight.spend(5, self._exchange.clock.now_s())

    def text(self, connection: Connection, text: str) -> None:
        """Take one request."""
        try:
            frame = msgspec.json.decode(text, type=_Frame)
        except (msgspec.DecodeError, RecursionError):
            self._send(connection, _error(None, VenueError(-1135, "Invalid JSON Request")))
            return
        method = frame.method.removeprefix("v2/")
        fault = self._exchange.call_fault(method) if method in (*_METHODS, *_SESSION) else None
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
                limits = answer.get("rateLimits", [])
                answer = _error(frame.id, fault_error(fault.code, fault.status)) | {"rateLimits": limits}
            if fault.lost:
                if not fault.silent:
                    connection.wire.reset()
            elif fault.late_s is not None and fault.at == "answer":
                late_s = exchange.real_s(exchange.rng.uniform(*fault.late_s))
                exchange.later(late_s, lambda: self._send(connection, answer))
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
        call = CALLS.get(_PUBLIC.get(method, method)) if method in (*_PUBLIC, *_METHODS) else None
        cost = 2 if method in _SESSION else 1 if call is None else weight_of(call, sent, self._product)
        refusal = limits.request(cost, now_s)
        account: Account | None = None
        if refusal is not None:
            exchange.records.violation(exchange.clock.now_ns(), refusal.reason, method)
            until_ms = refusal.banned_until_ms or exchange.clock.now_ms() + refusal.retry_after_s * 1000
            data = {"serverTime": exchange.clock.now_ms(), "retryAfter": until_ms}
            words = limit_text(refusal.reason, limits.weight.capacity, until_ms)
            answer = _error(frame.id, VenueError(-1003, words, refusal.status, data))
        else:
            try:
                result, account = self._do(connection, session, method, call, sent)
                answer = {"id": frame.id, "status": 200, "result": result}
            except VenueError as refused:
                if refused.retry_after_s and refused.data is None:
                    now_ms = exchange.clock.now_ms()
                    refused.data = {"serverTime": now_ms, "retryAfter": now_ms + refused.retry_after_s * 1000}
                answer = _error(frame.id, refused)
        if session.return_limits:
            row = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
            answer["rateLimits"] = [row | {"limit": limits.weight.capacity, "count": limits.weight.used}]
            if account is not None and call is not None and call.orders[0]:
                for window, interval, number in (
                    (account.counts[0], "SECOND", 10),
                    (account.minute_count, "MINUTE", 1),
                ):
                    order_row = {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number}
                    answer["rateLimits"].append(order_row | {"limit": window.capacity, "count": window.used})
        return answer

    def _do(
        self, connection: Connection, session: ApiSession, method: str, call: Call | None, sent: dict[str, str]
    ) -> tuple[Any, Account | None]:
        if session.key is not None and session.key.revoked:
            session.key = session.authorized_ms = None
        if method in _SESSION:
            handler = getattr(self, "_" + method.replace(".", "_"))
            return handler(session, sent), None
        if call is None or (method.startswith("algoOrder") and not self._product.linear):
            raise VenueError(-1020, "This operation is not supported.")
        if not call.private:
            return getattr(self._answers, call.handler)(read_fields(call, sent, self._product.name)), None
        if call.security == "key":
            if "apiKey" not in sent and session.key is None:
                raise VenueError(-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")
            key = self._private.key(sent["apiKey"]) if "apiKey" in sent else session.key
            assert key is not None
        else:
            key = self._authorized(session, sent)
        path = "/v2" if method.startswith("account.") and self._product.linear else ""
        return self._private.call(call, key, sent, path), self._exchange.desk.accounts[key.account]

    def _authorized(self, session: ApiSession, sent: dict[str, str]) -> ApiKey:
        """The key a request is made with: its own, or the session's."""
        if "apiKey" not in sent:
            if session.key is None:
                raise VenueError(-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")
            self._private.authenticate(session.key, sent, b"", signed=False)
            return session.key
        key = self._private.key(sent["apiKey"])
        payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent) if name != "signature")
        self._private.authenticate(key, sent, payload.encode())
        return key

    def _session_logon(self, session: ApiSession, sent: dict[str, str]) -> Any:
        if "apiKey" not in sent:
            raise VenueError(-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")
        if self._private.key(sent["apiKey"]).kind != "ed25519":
            raise VenueError(-4056, "Only Ed25519 keys are supported for this function.")
        session.key = self._authorized(session, sent)
        session.authorized_ms = self._exchange.clock.now_ms()
        return self._session_status(session, sent)

    def _session_status(self, session: ApiSession, sent: dict[str, str]) -> Any:
        return {
            "apiKey": None if session.key is None else session.key.name,
            "authorizedSince": session.authorized_ms,
            "connectedSince": session.connected_ms,
            "returnRateLimits": session.return_limits,
            "serverTime": self._exchange.clock.now_ms(),
        }

    def _session_logout(self, session: ApiSession, sent: dict[str, str]) -> Any:
        session.key = session.authorized_ms = None
        return self._session_status(session, sent)


def weight_of(call: Call, sent: dict[str, str], product: Product) -> int:
    """What a call costs at a product."""
    other = None if product.linear else call.coin_weight
    return (other or call.weight)(sent)


def limit_text(reason: str, capacity: int, banned_until_ms: int) -> str:
    """The venue's words for too many requests."""
    if reason == "banned":
        return (
            f"Way too many requests; IP banned until {banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
    return (
        f"Too many requests; current limit of IP is {capacity} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API."
    )


_UNKNOWN = "Unknown error, please check your request or try again later."
_CODES = {503: -1000, 504: -1007, 408: -1007}
_WORDS = {
    -1000: "Service Unavailable.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
    -4116: "clientOrderId is duplicated.",
}


def fault_error(code: int, status: int) -> VenueError:
    """The error a fault answers with: by its code, or what comes with the status when none is given.

    Of the three bodies of a 503, -1000 asks for "Service Unavailable." and -1001 for "Internal error"; without a code it is the
    one that says nothing about the outcome.
    """
    if code:
        return VenueError(code, _WORDS.get(code, "Internal error."), status)
    code = _CODES.get(status, -1000)
    return VenueError(code, _UNKNOWN if code == -1000 else _WORDS[code], status)


def _error(ident: int | str | None, error: VenueError) -> dict[str, Any]:
    return {"id": ident, "status": error.status, "error": error.plain()}


def _text(raw: msgspec.Raw) -> str | None:
    """A parameter as the text that was signed: strings without their quotes, everything else as it stands."""
    data = bytes(raw).strip()
    if data == b"null":
        return None
    if data[:1] == b'"':
        return str(msgspec.json.decode(data))
    return data.decode()
