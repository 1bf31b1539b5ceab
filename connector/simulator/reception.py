"""What happens at the door of a simulated exchange, without a socket: requests, upgrades, frames from clients, signs of life.

Whoever owns the sockets (`server` on asyncio, `connector.testing.simulation` in memory) brings what came and does what comes
back. Faults that concern one request or one upgrade are decided here, so that both serve the same exchange. Nothing here waits:
`serve` says how long its caller should, and goes on when asked again. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Literal

import msgspec

from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.hub import Connection, Outlet, control_frame
from connector.simulator.ledger import ConnectionRecord, RequestRecord

__all__ = ["Refusal", "Served", "admit", "care", "care_every_s", "hear", "leave", "serve", "welcome"]


class Served(msgspec.Struct, frozen=True):
    """What goes back for one request.

    Attributes:
        lost: nothing goes back: the client is cut off, or with `silent` hears nothing.
        cut_at: the connection is reset after so many bytes of the answer.
    """

    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = {}
    lost: bool = False
    silent: bool = False
    cut_at: int | None = None

    @property
    def content_type(self) -> str:
        return "text/html" if self.body[:1] == b"<" else "application/json"


class Refusal(msgspec.Struct, frozen=True):
    """An upgrade that is not granted: the answer instead; status 0: it is taken and never answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    content_type: str = "application/octet-stream"


def serve(exchange: Exchange, asked: Request) -> Generator[float, None, Served]:
    """Serve one request. Yields seconds of a real clock after which the caller asks again; returns what goes back."""
    if exchange.plan.rest_delay_s:
        yield exchange.plan.rest_delay_s
    plan = exchange.plan
    name = exchange.dialect.call_name(asked)
    fault = exchange.call_fault(name) if name else None
    if fault is not None and fault.at == "request":
        if fault.lost:
            return Served(lost=True, silent=fault.silent)
        if fault.late_s is not None:
            yield exchange.real_s(exchange.rng.uniform(*fault.late_s))
    now_s, orders_before = exchange.loop_s(), exchange.desk.orders_taken
    weight = used = 0
    headers: Mapping[str, str]
    for error in plan.rest_errors:
        if (error.path is None or error.path in asked.path) and error.use.take(now_s):
            status, headers = error.status, dict(error.headers)
            body = exchange.dialect.error(status) if error.body is None else error.body
            break
    else:
        if fault is None or fault.done:
            answer = exchange.dialect.answer(asked)
            status, headers, body = answer.status, answer.headers, answer.body
            weight, used = answer.weight, answer.used_weight
        if fault is not None and exchange.errs(fault, orders_before):
            status, headers = fault.status, {}
            body = exchange.dialect.error(fault.status, fault.code)
    cut_at = next((at_byte for use, at_byte in plan.rest_cuts if use.take(now_s)), None)
    records = exchange.records
    records.request_count += 1
    records.requests.append(
        RequestRecord(exchange.clock.now_ns(), asked.method, asked.path, asked.query, weight, used, status)
    )
    if fault is not None and fault.at == "answer":
        if fault.lost:
            return Served(lost=True, silent=fault.silent)
        if fault.late_s is not None:
            yield exchange.real_s(exchange.rng.uniform(*fault.late_s))
    return Served(status, body, headers, cut_at=cut_at)


def admit(exchange: Exchange, path: str, address: str) -> Refusal | None:
    """Whether a client may open a WebSocket there; None when it may."""
    if not exchange.dialect.socket_path(path):
        return Refusal(404, exchange.dialect.error(404), content_type="application/json")
    refusal = exchange.dialect.refuse_connect(address)
    if refusal is not None:
        return Refusal(refusal.status, refusal.body, refusal.headers, refusal.content_type)
    for upgrade in exchange.plan.upgrades:
        if upgrade.use.take(exchange.loop_s()):
            if upgrade.status is None:
                return Refusal(0)
            return Refusal(upgrade.status, exchange.dialect.error(upgrade.status), upgrade.headers)
    return None


def welcome(exchange: Exchange, outlet: Outlet, address: str, path: str, query: str) -> Connection:
    """A client is in: give it a record and what its address names."""
    records = exchange.records
    records.connection_count += 1
    asked = f"{path}?{query}" if query else path
    record = ConnectionRecord(records.connection_count, exchange.clock.now_ns(), asked)
    records.connections.append(record)
    connection = Connection(record, outlet, exchange.loop_s())
    connection.address = address
    exchange.hub.connections[connection] = None
    try:
        exchange.dialect.open(connection, path, query)
    except BaseException:
        leave(exchange, connection, 1011)
        raise
    if exchange.plan.close_on_open is not None and exchange.plan.close_on_open.take(exchange.loop_s()):
        exchange.close(connection, 1001, "")
    return connection


def leave(exchange: Exchange, connection: Connection, code: int) -> None:
    """A client is gone."""
    exchange.hub.remove(connection)
    connection.closing = True
    connection.record.closed_ns = exchange.clock.now_ns()
    connection.record.close_code = code


def hear(exchange: Exchange, connection: Connection, kind: Literal["text", "ping", "pong"], payload: bytes) -> None:
    """A client sent a frame."""
    if connection.closing:
        return
    record, settings = connection.record, exchange.settings
    record.frames_in += 1
    connection.stirred = True
    if connection.metered and connection.messages.add(exchange.loop_s()) > settings.ws_messages_per_s:
        exchange.records.violation(exchange.clock.now_ns(), "messages", f"connection {record.number}")
        if settings.enforce_limits:
            exchange.close(connection, 1008, "Too many requests")
            return
    if kind == "ping":
        record.pings += 1
        connection.send_now(control_frame(10, payload))
    elif kind == "pong":
        record.pongs += 1
        connection.pong(payload)
    else:
        text = payload.decode(errors="replace")
        exchange.records.control.append((record.number, text))
        exchange.dialect.text(connection, text)


def care_every_s(exchange: Exchange) -> float:
    """How often `care` is due."""
    settings = exchange.settings
    return min(1.0, settings.ping_every_s / 4, settings.pong_within_s / 4, settings.max_age_s / 4)


def care(exchange: Exchange) -> None:
    """Ping, and let go of connections that do not answer, are too old or too slow."""
    settings, records, now = exchange.settings, exchange.records, exchange.loop_s()
    for connection in list(exchange.hub.connections):
        if connection.closing:
            continue
        if connection.stirred:
            connection.stirred, connection.stirred_s = False, now
        unanswered = connection.unanswered_s
        if connection.idle_s is not None and now - connection.stirred_s > connection.idle_s:
            records.violation(exchange.clock.now_ns(), "idle", f"connection {connection.record.number}")
            exchange.close(connection, 1000, "")
        elif unanswered is not None and now - unanswered > settings.pong_within_s:
            records.violation(exchange.clock.now_ns(), "pong", f"connection {connection.record.number}")
            exchange.close(connection, 1008, "Pong timeout")
        elif connection.ages and now - connection.opened_s > settings.max_age_s:
            exchange.close(connection, 1001, "Connection has reached its maximum age")
        elif connection.wire.backlog > settings.max_backlog_bytes:
            records.violation(exchange.clock.now_ns(), "backlog", f"connection {connection.record.number}")
            connection.wire.reset()
        elif connection.pinged and now - connection.last_ping_s >= settings.ping_every_s:
            connection.ping(now, str(exchange.clock.now_ms()).encode())
