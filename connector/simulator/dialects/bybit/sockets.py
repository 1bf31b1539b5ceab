"""Speak this venue's WebSockets: public topics of one product, private topics, and orders.

A connection is one of the three by its path. Public and private ones are told their topics as long as they listen; private ones
get no snapshot and nothing of the past. Orders are answered when they are accepted; what becomes of them is told on private
topics only. Loop thread only. Source: the venue's V5 WebSocket pages, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from connector.matching import Side
from connector.simulator.accounts import Account, AccountOrder
from connector.simulator.desk import BalanceChange, Event, Position, Report, TermsChange
from connector.simulator.dialects.bybit.fields import LIMITS, OPS, Call
from connector.simulator.dialects.bybit.live import Board
from connector.simulator.dialects.bybit.positions import funding_row, position_rows
from connector.simulator.dialects.bybit.render import execution_row, fast_row, order_row, status_of
from connector.simulator.dialects.bybit.rest import CATEGORIES, VenueError, trouble
from connector.simulator.dialects.bybit.streams import Streams
from connector.simulator.dialects.bybit.trading import Grant, Private, Rolling
from connector.simulator.exchange import CallFault
from connector.simulator.hub import Connection, text_frame
from connector.simulator.keys import ApiKey
from connector.simulator.ledger import EventRecord
from connector.simulator.market import Market

__all__ = ["PATHS", "Session", "Sockets"]

PATHS = {f"/v5/public/{category}": category for category in CATEGORIES} | {
    "/v5/private": "private",
    "/v5/trade": "trade",
}
_ACTIVE = re.compile(r"([0-9]{1,3})([sm])")
_BASES = ("order", "execution", "execution.fast", "position")
_PRIVATE = {
    *_BASES,
    "wallet",
    "greeks",
    *(f"{base}.{category}" for base in _BASES for category in CATEGORIES if (base, category) != ("position", "spot")),
}

_LAST = ("CANCELED", "EXPIRED", "TRADE", "TRADE_PREVENTION")
"""What an order's last report may be."""

_encode = msgspec.json.encode


class _Frame(msgspec.Struct):
    op: str = ""
    args: Any = None
    req_id: str | int | None = None
    reqId: str | int | None = None  # noqa: N815 - the venue's name
    header: dict[str, Any] | None = None


class Session:
    """What the venue knows about one connection: what it is for, who it is, what it listens to."""

    def __init__(self, purpose: str, number: int) -> None:
        self.purpose = purpose
        self.conn_id = f"sim{number:09d}-{number % 7}"
        self.key: ApiKey | None = None
        self.account: Account | None = None
        self.subscriptions: dict[str, Account] = {}
        self.requests: set[str] = set()


class _Fills:
    """Fills of one order that are told in one frame."""

    def __init__(self, order: AccountOrder) -> None:
        self.order = order
        self.rows: list[dict[str, Any]] = []
        self.after: dict[str, Any] = {}


class Sockets:
    """The venue's side of every WebSocket conversation."""

    def __init__(self, board: Board, streams: Streams, private: Callable[[], Private]) -> None:
        self._board, self._streams, self._get_private = board, streams, private
        self._exchange = board.exchange
        self._orders: dict[str, Rolling] = {}
        self._message = 0
        self._fills: dict[str, _Fills] = {}

    @property
    def _private(self) -> Private:
        return self._get_private()

    def _figure(self, name: str) -> int:
        return self._exchange.settings.limits.get(name, LIMITS[name])

    def open(self, connection: Connection, path: str, query: str) -> None:
        """A client is connected."""
        purpose = PATHS[path]
        connection.metered = connection.pinged = connection.ages = False
        connection.session = Session(purpose, connection.record.number)
        if purpose in ("private", "trade"):
            idle_s = float(self._figure("idle_s"))
            asked = _ACTIVE.fullmatch(parse_qs(query).get("max_active_time", [""])[0])
            if asked is not None:
                idle_s = min(600.0, max(30.0, int(asked[1]) * (60.0 if asked[2] == "m" else 1.0)))
            connection.idle_s = idle_s

    def text(self, connection: Connection, text: str) -> None:
        """Take one frame."""
        session: Session = connection.session
        try:
            frame = msgspec.json.decode(text, type=_Frame)
        except (msgspec.DecodeError, RecursionError):
            self._refuse_frame(connection, session)
            return
        if session.purpose == "trade":
            self._trade(connection, session, frame)
        elif frame.op == "ping":
            connection.send_now(text_frame(_encode(self._pong(session, frame))))
        elif frame.op == "auth" and session.purpose == "private":
            self._reply(connection, self._auth(session, frame))
        elif frame.op in ("subscribe", "unsubscribe"):
            self._topics(connection, session, frame)
        else:
            self._reply(connection, self._answer(session, frame, False, f"Invalid op:{frame.op}"))

    def _refuse_frame(self, connection: Connection, session: Session) -> None:
        if session.purpose == "trade":
            self._reply(connection, {"retCode": 10001, "retMsg": "params error", "op": "", "connId": session.conn_id})
        else:
            self._reply(connection, self._answer(session, _Frame(), False, "Params Error"))

    def rejection(self, text: str, message: str) -> bytes:
        """A refused subscription."""
        return _encode({"success": False, "ret_msg": message, "op": "subscribe", "conn_id": ""})

    def _reply(self, connection: Connection, answer: dict[str, Any]) -> None:
        self._exchange.reply(connection, _encode(answer))

    def _answer(self, session: Session, frame: _Frame, success: bool, words: str) -> dict[str, Any]:
        """An answer to a control frame. Private sockets repeat a request's id only when there was one."""
        answer: dict[str, Any] = {"success": success, "ret_msg": words, "conn_id": session.conn_id}
        if session.purpose != "private" or frame.req_id is not None:
            answer["req_id"] = "" if frame.req_id is None else frame.req_id
        return answer | {"op": frame.op}

    def _pong(self, session: Session, frame: _Frame) -> dict[str, Any]:
        now = str(self._exchange.clock.now_ms())
        if session.purpose == "private":
            answer: dict[str, Any] = {} if frame.req_id is None else {"req_id": frame.req_id}
            return answer | {"op": "pong", "args": [now], "conn_id": session.conn_id}
        if session.purpose == "option":
            return {"args": [now], "op": "pong"}
        pong: dict[str, Any] = {"success": True, "ret_msg": "pong", "conn_id": session.conn_id}
        if session.purpose != "spot":
            pong["req_id"] = "" if frame.req_id is None else frame.req_id
        elif frame.req_id is not None:
            pong["req_id"] = frame.req_id
        return pong | {"op": "ping"}

    # who it is

    def _known(self, args: Any) -> ApiKey:
        """The key of an auth frame's arguments.

        Raises:
            VenueError: 10001, 10002, 10003 or 10004.
        """
        if not isinstance(args, list) or len(args) != 3:
            raise trouble(10001)
        name, expires, sign = args
        until = str(expires)
        if not isinstance(name, str) or not isinstance(sign, str) or not until.isascii() or not until.isdigit():
            raise trouble(10001)
        key = self._private.key(name)
        if int(until[:18]) <= self._exchange.clock.now_ms():
            raise VenueError(10002, "expires is not ahead of the server's time")
        if not key.signed(f"GET/realtime{expires}".encode(), sign):
            raise trouble(10004)
        return key

    def _auth(self, session: Session, frame: _Frame) -> dict[str, Any]:
        try:
            key = self._known(frame.args)
        except VenueError:
            return self._answer(session, frame, False, "error:USVC1111")
        session.key, session.account = key, self._exchange.desk.accounts[key.account]
        return self._answer(session, frame, True, "")

    # topics

    def _topics(self, connection: Connection, session: Session, frame: _Frame) -> None:
        names = frame.args
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self._reply(connection, self._answer(session, frame, False, "Params Error"))
            return
        names = list(dict.fromkeys(names))
        if frame.op == "subscribe":
            problem = self._problem(connection, session, names)
            refused = self._exchange.rejected() if not problem else None
            if problem or refused is not None:
                words = problem or (refused[1] if refused is not None else "")
                self._reply(connection, self._answer(session, frame, False, words))
                return
        words = "subscribe" if session.purpose == "spot" and frame.op == "subscribe" else ""
        if session.purpose == "private":
            for name in names:
                if frame.op == "subscribe" and session.account is not None:
                    session.subscriptions[name] = session.account
                else:
                    session.subscriptions.pop(name, None)
            connection.record.subscriptions = list(session.subscriptions)
            self._reply(connection, self._answer(session, frame, True, words))
            return
        hub = self._exchange.hub
        if frame.op == "unsubscribe":
            hub.unsubscribe(connection, names)
            self._reply(connection, self._answer(session, frame, True, words))
            return
        fresh = {name: not hub.topic(name).groups for name in names if name not in connection.topics}
        self._reply(connection, self._answer(session, frame, True, words))
        hub.subscribe(connection, names)
        for name, first in fresh.items():
            self._streams.begin(connection, name, first=first)

    def _problem(self, connection: Connection, session: Session, names: list[str]) -> str:
        """Why a subscription is refused, as a whole; "" when it is not."""
        if session.purpose == "private":
            if session.account is None:
                return "Request not authorized"
            unknown = next((name for name in names if name not in _PRIVATE), None)
            if unknown is not None:
                return f"error:handler not found,topic:{unknown}"
            plain = any(name in _BASES for name in names)
            return "error:mixed topics" if plain and any("." in name and name not in _BASES for name in names) else ""
        enforced = self._exchange.settings.enforce_limits
        if session.purpose == "spot" and len(names) > self._figure("args_per_frame"):
            self._violation(connection, "args", f"{len(names)} topics in one frame")
            if enforced:
                return f"args size >{self._figure('args_per_frame')}"
        length = sum(map(len, {*connection.topics, *names}))
        if length > self._figure("args_length"):
            self._violation(connection, "args", f"{length} letters of topics")
            if enforced:
                return f"args length >{self._figure('args_length')}"
        served = session.purpose == self._board.category
        unknown = next((name for name in names if not served or not self._streams.known(name)), None)
        return "" if unknown is None else f"error:handler not found,topic:{unknown}"

    def _violation(self, connection: Connection, kind: str, detail: str) -> None:
        exchange = self._exchange
        exchange.records.violation(exchange.clock.now_ns(), kind, f"connection {connection.record.number}: {detail}")

    # orders

    def _trade(self, connection: Connection, session: Session, frame: _Frame) -> None:
        answer: dict[str, Any] = {} if frame.reqId is None else {"reqId": frame.reqId}
        if frame.op == "ping":
            now = str(self._exchange.clock.now_ms())
            answer |= {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [now], "connId": session.conn_id}
            connection.send_now(text_frame(_encode(answer)))
            return
        if frame.op == "auth":
            code, words = 0, "OK"
            try:
                if session.key is not None:
                    raise trouble(20001)
                session.key = self._known(frame.args)
                session.account = self._exchange.desk.accounts[session.key.account]
            except VenueError as refused:
                code, words = refused.code, refused.message
            self._reply(
                connection, answer | {"retCode": code, "retMsg": words, "op": "auth", "connId": session.conn_id}
            )
            return
        call = OPS.get(frame.op)
        fault = self._exchange.call_fault(call.name) if call is not None else None
        if fault is None:
            done = self._do(connection, session, frame, call)
            # seen by clients: a lack of rights is answered without saying what was asked
            self._send(connection, done if done["retCode"] == 10005 and session.key is not None else answer | done)
        else:
            self._faulty(connection, session, frame, call, fault, answer)

    def _faulty(
        self,
        connection: Connection,
        session: Session,
        frame: _Frame,
        call: Call | None,
        fault: CallFault,
        answer: dict[str, Any],
    ) -> None:
        exchange = self._exchange

        def finish() -> None:
            if connection.closing:
                return
            orders_before = exchange.desk.orders_taken
            done = self._do(connection, session, frame, call) if fault.done else {}
            if exchange.errs(fault, orders_before):
                code = fault.code or 10016
                done = {
                    "retCode": code,
                    "retMsg": VenueError(code).message,
                    "op": frame.op,
                    "data": {},
                    "retExtInfo": {},
                    "header": done.get("header", {}),
                    "connId": session.conn_id,
                }
            whole = answer | done
            if fault.lost:
                if not fault.silent:
                    connection.wire.reset()
            elif fault.late_s is not None and fault.at == "answer":
                exchange.later(
                    exchange.real_s(exchange.rng.uniform(*fault.late_s)), lambda: self._send(connection, whole)
                )
            else:
                self._send(connection, whole)

        if fault.at == "request" and fault.lost:
            if not fault.silent:
                connection.wire.reset()
        elif fault.at == "request" and fault.late_s is not None:
            exchange.later(exchange.real_s(exchange.rng.uniform(*fault.late_s)), finish)
        else:
            finish()

    def _send(self, connection: Connection, answer: dict[str, Any]) -> None:
        connection.send_now(text_frame(_encode(answer)))

    def _do(self, connection: Connection, session: Session, frame: _Frame, call: Call | None) -> dict[str, Any]:
        """One request with its answer, limits included."""
        code, words, result, extra, grant = 0, "OK", None, None, None
        try:
            key, sent = self._accept(connection, session, frame, call)
            assert call is not None
            grant = self._private.grant(call, key, self._private.batch_size(call, sent))
            result, extra = self._private.call(call, key, sent, grant)
        except VenueError as refused:
            code, words, result = refused.code, refused.message, refused.result
        answer = {
            "retCode": code,
            "retMsg": words,
            "op": frame.op,
            "data": {} if result is None else result,
            "retExtInfo": {} if extra is None else extra,
        }
        return answer | {"header": self._header(grant), "connId": session.conn_id}

    def _header(self, grant: Grant | None) -> dict[str, str]:
        now = str(self._exchange.clock.now_ms())
        self._message += 1
        header = {"Traceid": f"{self._message:032x}", "Timenow": now}
        if grant is not None:
            header["X-Bapi-Limit"] = str(grant.limit)
            header["X-Bapi-Limit-Status"] = str(grant.left)
            header["X-Bapi-Limit-Reset-Timestamp"] = str(grant.reset_ms)
        return header

    def _accept(
        self, connection: Connection, session: Session, frame: _Frame, call: Call | None
    ) -> tuple[ApiKey, dict[str, Any]]:
        """Check everything that comes before the order itself."""
        if session.key is None:
            raise trouble(10005)
        if session.key.revoked:
            raise trouble(10003)
        if frame.reqId is not None:
            ident = str(frame.reqId)
            if len(ident) > 36:
                raise VenueError(10001, "params error: reqId is longer than 36")
            if ident in session.requests:
                raise trouble(20006)
            session.requests.add(ident)
        address = self._orders.get(connection.address)
        if address is None:
            address = self._orders[connection.address] = Rolling(self._figure("ws_orders_per_s"))
        if not address.take(1, self._exchange.clock.now_s()) and self._exchange.settings.enforce_limits:
            self._violation(connection, "orders", "too many orders from one address")
            raise trouble(10403)
        if call is None:
            raise trouble(10404)
        header = {name.upper(): str(value) for name, value in (frame.header or {}).items()}
        if "X-BAPI-TIMESTAMP" not in header:
            raise VenueError(10001, "params error: X-BAPI-TIMESTAMP is required")
        self._private.in_time(header["X-BAPI-TIMESTAMP"], header.get("X-BAPI-RECV-WINDOW") or "5000")
        args = frame.args
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise VenueError(10001, "params error: args must be one object")
        if args[0].get("category") not in CATEGORIES:
            raise VenueError(10404, "category is not correct")
        return session.key, args[0]

    # events

    def tell(self, account: Account, event: Event) -> None:
        """Send an account event to whoever listens to it; the ledger keeps it in any case."""
        if isinstance(event, Report) and not event.order.open and event.execution in _LAST:
            self._private.ended(event.order)
        if isinstance(event, Report) and event.fill is not None:
            self._gather(account, event)
            return
        self._tell_fills(account)
        if isinstance(event, Report):
            self.tell_order(account, event.order)
            if self._board.derivative:
                self._after_contract(account, event)
        elif isinstance(event, Position):
            if event.cause == "funding":
                self._tell_funding(account, event.symbol)
            for market in dict.fromkeys(held.market for held in event.holdings):
                self.tell_positions(account, market)
            if event.assets:
                self.tell_wallet(account, event.assets)
        elif isinstance(event, TermsChange):
            for market in [event.market] if event.market is not None else self._exchange.desk.contracts:
                self.tell_positions(account, market)
        elif isinstance(event, BalanceChange):
            self.tell_wallet(account, (event.asset,))

    def _gather(self, account: Account, event: Report) -> None:
        """Fills of one order that follow each other are told together, with how the order stands after the last of them."""
        board, order = self._board, event.order
        assert event.fill is not None
        held = self._fills.get(account.name)
        if held is not None and held.order is not order:
            self._tell_fills(account)
            held = None
        if held is None:
            held = self._fills[account.name] = _Fills(order)
        if board.derivative:
            self._note_closed(event)
        held.rows.append(execution_row(board, account, order, event.fill))
        held.after = order_row(board, order)

    def _tell_fills(self, account: Account) -> None:
        """Something else happened to the account: what was gathered comes before it."""
        held = self._fills.pop(account.name, None)
        if held is not None:
            self._spread(account, "execution", f"execution.{held.rows[0]['execType']}", held.rows)
            self._spread(account, "execution.fast", "execution.fast", [fast_row(row) for row in held.rows])
            self._spread(account, "order", f"order.{held.after['orderStatus']}", [held.after])

    def _note_closed(self, event: Report) -> None:
        """Keep how much of a position a fill closed: what is held now, and the fill, say what was held before."""
        order, fill = event.order, event.fill
        assert fill is not None
        side = self._exchange.desk.clearing.side_of(order.account, order.market, order.new)
        held = order.account.holdings.get((order.market.symbol, side))
        sign = 1 if fill.is_buyer else -1
        before = (0 if held is None else held.lots) - sign * fill.lots
        closed = min(fill.lots, abs(before)) if before * sign < 0 else 0
        self._board.closed[order.market.symbol, order.order_id, fill.trade_id] = closed

    def _after_contract(self, account: Account, event: Report) -> None:
        """Orders for contracts that come, change or go tell the position, changed or not; a liquidation is told to all."""
        order = event.order
        if event.execution in ("NEW", "REPLACED", "CANCELED", "EXPIRED"):
            self.tell_positions(account, order.market)
        if event.execution == "NEW" and order.new.origin == "liquidation":
            numbers = self._board.numbers(order.market)
            side = "Buy" if order.new.side is Side.SELL else "Sell"  # of the position
            size, price = numbers.size(order.lots), numbers.price(order.new.price or 0)
            self._streams.liquidated(order.market, side, size, price, event.at_us)

    def tell_positions(self, account: Account, market: Market) -> None:
        """Say what is held of a symbol: one position, or both of hedge mode."""
        self._spread(account, "position", "position", position_rows(self._board, account, market, stream=True))

    def _tell_funding(self, account: Account, symbol: str) -> None:
        rows = [row for row in account.incomes if row.kind == "funding" and row.symbol == symbol]
        newest = [row for row in rows if row.at_us == rows[-1].at_us]
        shown = [funding_row(self._board, account, row) for row in newest]
        if shown:
            self._spread(account, "execution", "execution.Funding", shown)

    def tell_order(self, account: Account, order: AccountOrder, *, cancel: tuple[str, str] | None = None) -> None:
        """Say how an order stands."""
        row = order_row(self._board, order, cancel=cancel)
        self._spread(account, "order", f"order.{status_of(order, self._board.category)}", [row])

    def tell_late(self, order: AccountOrder) -> None:
        """A cancel was accepted, and the order had been filled before it came."""
        self.tell_order(order.account, order, cancel=("CancelByUser", "EC_OrigClOrdIDDoesNotExist"))

    def tell_wallet(self, account: Account, coins: tuple[str, ...]) -> None:
        """Say what there is of these coins."""
        self._spread(account, "wallet", "wallet", [self._private.wallet_row(account, coins)])

    def _spread(self, account: Account, base: str, kind: str, rows: list[dict[str, Any]]) -> None:
        """One event to every topic it belongs to."""
        exchange = self._exchange
        now_ms = exchange.clock.now_ms()
        subscribers = copies = 0
        names = (base,) if base == "wallet" else (base, f"{base}.{self._board.category}")
        for connection in exchange.hub.connections:
            session = connection.session
            if not isinstance(session, Session):
                continue
            for name in names:
                if session.subscriptions.get(name) is account:
                    self._message += 1
                    head = {} if base == "execution.fast" else {"id": f"{account.uid}_{self._message}"}
                    frame = head | {"topic": name, "creationTime": now_ms, "data": rows}
                    subscribers += 1
                    copies += exchange.tell_connection(connection, kind, text_frame(_encode(frame)))
        if base != "execution.fast" or subscribers:
            for row in rows:
                record = EventRecord(exchange.clock.now_ns(), kind, _encode(row), subscribers, copies)
                exchange.records.event(account.name, record)

    def end_streams(self, account: Account) -> int:
        """Close every private and trade connection of an account; the venue says nothing before."""
        ended = 0
        for connection in list(self._exchange.hub.connections):
            session = connection.session
            if isinstance(session, Session) and session.account is account:
                ended += len(session.subscriptions)
                self._exchange.close(connection, 1000, "")
        return ended
