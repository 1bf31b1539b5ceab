"""A simulated exchange without sockets: the same core, dialects, faults and ledger, on a deterministic runtime.

`connector.simulator.Simulator` is the exchange on loopback; this is the exchange in the one thread of a `DeterministicRuntime`,
with memory links and an HTTP port in place of sockets. What it decides: when bytes arrive. Delay, jitter and bandwidth bend
whole frames in their order; a connection is held in either direction, reset, refused or left unanswered. What it never does: it
keeps no truth of its own, answers nothing by itself, and knows no exchange by name. Slicing has no meaning between whole frames.

    far = MemoryExchange(runtime, SimulatorSettings(dialect=..., seed=seed))
    far.faults.half_open(); far.ledger.trades("BTCUSDT")     # as with a Simulator
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, LinkError, NotConnected, OutcomeUnknown
from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.faults import Faults
from connector.simulator.hub import Connection, control_frame
from connector.simulator.ledger import Ledger
from connector.simulator.reception import Served, admit, care, care_every_s, hear, leave, serve, welcome
from connector.simulator.settings import SimulatorSettings
from connector.simulator.wire import Shape
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.memory_links import MemoryLink, MemoryLinks
from connector.transport.contract import LinkPhase

__all__ = ["MemoryExchange"]

T = TypeVar("T")
Frame = tuple[int, bytes]
"""(opcode, payload) of RFC 6455."""

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
ADDRESS = "127.0.0.1"
CONNECT_S = 5.0
READ_S = 10.0
"""How long a client waits for a connection, and for an answer, as the shipped HTTP client does."""
CLOSED_AFTER_S = 1.0
"""How long the exchange waits for the answer to its close frame."""


class MemoryExchange:
    """One exchange, its connections and its time.

    Args:
        runtime: gives time, order and timers.
        settings: as of a `Simulator`; its clock is replaced by the runtime's.
        tick_s: how often the flow moves and timed streams are told.
        latency_s: the least and most time a message takes one way, drawn anew for each.
        ahead_s: how far the exchange's clock is ahead of ours; below zero it is behind.

    Attributes:
        exchange, faults, ledger: as of a `Simulator`.
        links: what clients open WebSocket connections with.
        paused: the flow stands still; pings and requests go on.
        refusing: new connections are refused.
        accounts: the truth about each account, by name.
    """

    def __init__(
        self,
        runtime: DeterministicRuntime,
        settings: SimulatorSettings,
        *,
        tick_s: float = 0.05,
        latency_s: tuple[float, float] = (0.002, 0.02),
        ahead_s: float = 0.0,
    ) -> None:
        self.runtime = runtime
        time_ns, ahead_ns = runtime.clock.time_ns, round(ahead_s * 1e9)
        self.exchange = Exchange(replace(settings, clock=lambda: time_ns() + ahead_ns))
        self.rng = random.Random(f"{settings.seed}:network")
        self.front = _Front(self.rng)
        self.faults = Faults(self)
        exchange = self.exchange
        self.ledger = Ledger(self.on_loop, exchange.records, exchange.source, exchange.account, exchange.desk.clearing)
        self.links = MemoryLinks(runtime.clock, call_later=self.later, on_message=self._on_message)
        self.links.on_connect, self.links.on_end = self._on_connect, self._on_end
        self.accounts = _Accounts(self.ledger)
        self.paused = False
        self.refusing = False
        self._refusals = 0
        self._wires: dict[MemoryLink, _Wire] = {}
        self._tick_s, self._latency_s = tick_s, latency_s
        exchange.loop_s, exchange.later, exchange.close = runtime.monotonic_s, self.later, self._close
        exchange.source.wake(exchange.clock.now_us())
        self._moved_s = runtime.monotonic_s()
        runtime.call_later(tick_s, self._flow, background=True)
        runtime.call_later(care_every_s(exchange), self._care, background=True)

    def http(self, workers: int = 8) -> MemoryPort:
        """An HTTP port of a client, for one incarnation of a REST actor."""
        return MemoryPort(self, workers)

    def on_loop(self, action: Callable[[], T]) -> T:
        """Act between two steps: there is only one thread."""
        return action()

    def later(self, delay_s: float, action: Callable[[], None]) -> object:
        """Act in so many seconds."""
        return self.runtime.call_later(delay_s, action)

    def delay_s(self, size: int = 0) -> float:
        """How long so many bytes take to the other side now."""
        shape, (least, most) = self.front.shape, self._latency_s
        delay_s = least + (most - least) * self.rng.random() + shape.delay_s
        if shape.jitter_s:
            delay_s += shape.jitter_s * self.rng.random()
        return delay_s + size / shape.bandwidth if shape.bandwidth else delay_s

    # ---------------------------------------------------------------- what faults ask for

    def refuse_connections(self, for_s: float | None) -> None:
        """Refuse new connections; those that are open stay."""
        self.refusing = True
        self._refusals += 1
        number = self._refusals
        if for_s is not None:
            self.later(for_s, lambda: self.accept_connections() if number == self._refusals else None)

    def accept_connections(self) -> None:
        """Take new connections again."""
        self.refusing = False
        self._refusals += 1

    # ---------------------------------------------------------------- time

    def _flow(self) -> None:
        exchange, now_s = self.exchange, self.runtime.monotonic_s()
        if not self.paused:
            exchange.source.advance((now_s - self._moved_s) * exchange.clock.factor)
        self._moved_s = now_s
        exchange.source.tick(exchange.clock.now_us())
        exchange.hub.flush()
        self.runtime.call_later(self._tick_s, self._flow, background=True)

    def _care(self) -> None:
        now_s = self.runtime.monotonic_s()
        for wire in self._wires.values():
            wire.hear_client_pings(now_s)
        care(self.exchange)
        self.runtime.call_later(care_every_s(self.exchange), self._care, background=True)

    # ---------------------------------------------------------------- WebSocket

    def _on_connect(self, link: MemoryLink) -> None:
        if self.refusing:
            self.later(self.delay_s(), lambda: self.links.server.fail(link))
            return
        self.links.server.connect(link)
        if not self.front.hold_new:
            self.later(2 * self.delay_s(), lambda: self._upgrade(link))

    def _upgrade(self, link: MemoryLink) -> None:
        if link.phase is LinkPhase.CLOSED:
            return
        address = urlsplit(link.settings.url)
        path = address.path or "/"
        refusal = admit(self.exchange, path, ADDRESS)
        if refusal is not None:
            if refusal.status:
                after = refusal.headers.get("Retry-After")
                self.links.server.refuse(refusal.status, link, retry_after_s=None if after is None else float(after))
            return
        wire = self._wires[link] = _Wire(self, link)
        self.front.wires[wire] = None
        self.links.server.accept(link)
        wire.connection = welcome(self.exchange, wire, ADDRESS, path, address.query)

    def _on_message(self, link: MemoryLink, text: bytes) -> None:
        link.sent.clear()  # a run of days keeps no list of what was said
        wire = self._wires.get(link)
        if wire is not None:
            wire.client_sent((_TEXT, text))

    def _on_end(self, link: MemoryLink) -> None:
        self.links.opened.remove(link)
        wire = self._wires.get(link)
        if wire is not None:
            wire.client_left()

    def _close(self, connection: Connection, code: int, reason: str) -> None:
        if connection.closing:
            return
        connection.flush()
        connection.closing = True
        wire = connection.wire
        wire.send(control_frame(_CLOSE, code.to_bytes(2, "big") + reason.encode()[:120]))
        self.later(CLOSED_AFTER_S, lambda: self.forget(wire) if isinstance(wire, _Wire) else None)

    def forget(self, wire: _Wire) -> None:
        """The exchange has let go of a connection."""
        if self._wires.pop(wire.link, None) is None:
            return
        self.front.wires.pop(wire, None)
        wire.over = True
        if wire.connection is not None:
            leave(self.exchange, wire.connection, 1006)

    def __repr__(self) -> str:
        exchange = self.exchange
        return (
            f"<MemoryExchange {exchange.settings.dialect} {exchange.source.status()} connections={len(self._wires)} "
            f"requests={exchange.records.request_count} violations={exchange.records.violation_count}>"
        )


class _Accounts:
    """`accounts["main"].orders()` and so on, as of a `Simulator`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getitem__(self, who: str) -> _Account:
        return _Account(self._ledger, who)


class _Account:
    def __init__(self, ledger: Ledger, who: str) -> None:
        self.orders = partial(ledger.orders, who)
        self.order = partial(ledger.order, who)
        self.fills = partial(ledger.fills, who)
        self.balances = partial(ledger.balances, who)
        self.positions = partial(ledger.positions, who)


class _Front:
    """Every connection of the exchange, and the faults they share; what `connector.simulator.wire.Front` is to sockets."""

    def __init__(self, rng: random.Random) -> None:
        self.wires: dict[_Wire | _Call, None] = {}
        self.shape = Shape()
        self.hold_new = False
        self.rng = rng

    def select(self, scope: str) -> list[_Wire | _Call]:
        """Open connections: "ws" (upgraded), "rest" (requests under way) or "all"."""
        if scope not in ("ws", "rest", "all"):
            raise ValueError(f"scope is 'ws', 'rest' or 'all', got {scope!r}")
        return [wire for wire in self.wires if scope == "all" or wire.upgraded is (scope == "ws")]


class _Way:
    """One direction of a connection: what was sent arrives in its order, unless it is held."""

    def __init__(self, far: MemoryExchange, arrived: Callable[[Any], None]) -> None:
        self._far, self._arrived = far, arrived
        self._waiting: deque[tuple[float, Any, int]] = deque()
        self._last_s = 0.0
        self.held = False
        self.bytes = 0

    def send(self, what: Any, size: int) -> None:
        """Let it arrive when it is due, and not before what was sent earlier."""
        far = self._far
        now_s = far.runtime.monotonic_s()
        self._last_s = max(self._last_s, now_s + far.delay_s(size))
        self._waiting.append((self._last_s, what, size))
        self.bytes += size
        far.later(self._last_s - now_s, self.pump)

    def pump(self) -> None:
        """Let everything arrive that is due."""
        now_s = self._far.runtime.monotonic_s()
        while self._waiting and not self.held and self._waiting[0][0] <= now_s + 1e-9:
            _, what, size = self._waiting.popleft()
            self.bytes -= size
            self._arrived(what)

    def clear(self) -> None:
        self._waiting.clear()
        self.bytes = 0


class _Wire:
    """One WebSocket connection as the exchange sees it; the client's end is a memory link."""

    upgraded = True

    def __init__(self, far: MemoryExchange, link: MemoryLink) -> None:
        self._far, self.link = far, link
        self.connection: Connection | None = None
        self.over = False
        self._out = _Way(far, self._reach_client)
        self._in = _Way(far, self._reach_exchange)
        self._cut_after: int | None = None
        self._pinged_s = far.runtime.monotonic_s()

    # what the hub does

    @property
    def backlog(self) -> int:
        return self._out.bytes

    def send(self, data: bytes) -> None:
        """Whole frames on their way to the client."""
        if self.over:
            return
        if self._cut_after is not None:
            self._cut_after -= len(data)
            if self._cut_after < 0:
                self.reset()
                return
        self._out.send(_frames(data), len(data))

    # what faults do

    def reset(self) -> None:
        """End the connection with a TCP reset. The exchange hears of it like everybody else: not in the middle of a sentence."""
        self.over = True
        self._far.later(0.0, self._is_reset)

    def _is_reset(self) -> None:
        self._far.forget(self)
        self._far.links.server.cut(self.link)

    def reset_after(self, count: int) -> None:
        """Let `count` more bytes out; the frame that exceeds them is lost with the connection."""
        if count <= 0:
            self.reset()
        else:
            self._cut_after = count

    def hold(self, *, inbound: bool = True, outbound: bool = True) -> None:
        """Let nothing pass in the given directions; it waits for `release`."""
        _ = self.link.last_received_s  # pongs up to now were heard
        self.link.is_mute = True
        self._in.held = self._in.held or inbound
        self._out.held = self._out.held or outbound

    def release(self) -> None:
        """Let it pass again, what was held first."""
        self.link.is_mute = self._in.held = self._out.held = False
        self._out.pump()
        self._in.pump()

    # what the client does

    def client_sent(self, frame: Frame) -> None:
        """A frame leaves the client."""
        self._in.send(frame, len(frame[1]))

    def client_left(self) -> None:
        """The client's end is closed; the exchange hears of it as of everything else, in order."""
        self._out.clear()
        if not self.over:
            self._in.send(None, 0)

    def hear_client_pings(self, now_s: float) -> None:
        """A memory link pings by itself; this side has to count them."""
        every_s = self.link.settings.ping_every_s
        if every_s is None or self._in.held or self.connection is None or now_s - self._pinged_s < every_s:
            return
        self._pinged_s = now_s
        self.connection.stirred = True
        self.connection.record.pings += 1

    # arrivals

    def _reach_exchange(self, frame: Frame | None) -> None:
        connection = self.connection
        if connection is None or self.over:
            return
        if frame is None:
            self._far.forget(self)
        else:
            hear(self._far.exchange, connection, "text" if frame[0] == _TEXT else "pong", frame[1])

    def _reach_client(self, frames: list[Frame] | None) -> None:
        server, link = self._far.links.server, self.link
        if frames is None:  # no client reads on after this
            server.close(1002, "protocol error", link=link)
            return
        texts = [payload for opcode, payload in frames if opcode == _TEXT]
        if texts:
            server.send(*texts, link=link)
        for opcode, payload in frames:
            if opcode == _PING:
                if link.phase is LinkPhase.OPEN:
                    self._in.send((_PONG, payload), len(payload))
            elif opcode == _CLOSE:
                server.close(int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace"), link=link)


def _frames(data: bytes) -> list[Frame] | None:
    """The frames in the bytes; None when they are none a client accepts."""
    found: list[Frame] = []
    at, text = 0, b""
    while at < len(data):
        first, size = data[at], data[at + 1]
        at += 2
        if size in (126, 127):
            width = 2 if size == 126 else 8
            if first & 0x08:
                return None  # control frames are short
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        payload, at = data[at : at + size], at + size
        if first & 0x70:
            return None
        opcode = first & 0x0F
        if opcode in (0, _TEXT):
            text += payload
            if not first & 0x80:
                continue
            opcode, payload, text = _TEXT, text, b""
        found.append((opcode, payload))
    return found


class MemoryPort:
    """What a REST actor sends requests with: at most so many at once, each ended once, by an answer or the error that is true.

    Like the shipped client it tells apart whether a request has left. Unlike it, it never repeats a read.
    """

    def __init__(self, far: MemoryExchange, workers: int) -> None:
        self._far, self._workers = far, workers
        self._waiting: deque[tuple[HttpRequest, float, Callable[[HttpResponse | ConnectorError], None]]] = deque()
        self._calls: dict[_Call, None] = {}
        self._closed = False

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        if self._closed:
            done(NotConnected("the REST actor is stopping; the request was not sent."))
            return
        self._waiting.append((request, deadline_s, done))
        self._next()

    def _next(self) -> None:
        while self._waiting and len(self._calls) < self._workers and not self._closed:
            request, deadline_s, done = self._waiting.popleft()
            call = _Call(self._far, self, request, deadline_s, done)
            self._calls[call] = None
            call.begin()

    def ended(self, call: _Call) -> None:
        """A call is over."""
        self._calls.pop(call, None)
        self._far.later(0.0, self._next)

    def close(self) -> None:
        self._closed = True
        waiting, self._waiting = list(self._waiting), deque()
        for _, _, done in waiting:
            done(NotConnected("the REST actor is stopping; the request was not sent."))
        for call in list(self._calls):
            call.end(call.failure("the client was closed"))

    def __repr__(self) -> str:
        return (
            f"<MemoryPort {len(self._calls)} under way {len(self._waiting)} waiting{' closed' if self._closed else ''}>"
        )


class _Call:
    """One request on its way and its answer on the way back."""

    upgraded = False

    def __init__(
        self,
        far: MemoryExchange,
        port: MemoryPort,
        request: HttpRequest,
        deadline_s: float,
        done: Callable[[HttpResponse | ConnectorError], None],
    ) -> None:
        self._far, self._port, self._request, self._done = far, port, request, done
        self._deadline_s = deadline_s
        self._sent_ns = far.runtime.time_ns()
        self._left = self._over = False
        self._held_in = self._held_out = False
        self._stopped: list[Callable[[], None]] = []
        self._timer: Any = None

    def begin(self) -> None:
        far = self._far
        now_s = far.runtime.monotonic_s()
        if now_s >= self._deadline_s:
            self._soon(NotConnected("the request was not sent: its deadline had passed"))
        elif far.refusing:
            far.later(far.delay_s(), lambda: self.end(NotConnected("the request was not sent: connection refused")))
        else:
            far.front.wires[self] = None
            if far.front.hold_new:
                self._held_in = self._held_out = True
            self._left = True
            until_s = min(self._deadline_s, now_s + READ_S)
            self._timer = far.runtime.call_later(
                until_s - now_s, lambda: self.end(self.failure("no whole answer came before the deadline"))
            )
            far.later(far.delay_s(len(self._request.body)), lambda: self._pass(self._arrive, inbound=True))

    def _soon(self, outcome: HttpResponse | ConnectorError) -> None:
        self._far.later(0.0, lambda: self.end(outcome))

    def failure(self, problem: str) -> ConnectorError:
        """What is true of a request without a whole answer."""
        if not self._left:
            return NotConnected(f"{self._request!r} was not sent: {problem}")
        if not self._request.safe:
            return OutcomeUnknown(f"{self._request!r} left, but no whole answer came back: {problem}.")
        return LinkError(f"{self._request!r} failed: {problem}")

    def end(self, outcome: HttpResponse | ConnectorError) -> None:
        """Tell the client, once."""
        if self._over:
            return
        self._over = True
        self._far.front.wires.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self._port.ended(self)
        self._done(outcome)

    # at the exchange; a client that is gone changes nothing about what it asked for

    def _pass(self, action: Callable[[], None], *, inbound: bool) -> None:
        if (self._held_in if inbound else self._held_out) and not self._over:
            self._stopped.append(lambda: self._pass(action, inbound=inbound))
        else:
            action()

    def _arrive(self) -> None:
        request = self._request
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.body.decode(errors="replace")
        self._go_on(
            serve(self._far.exchange, Request(request.method, request.path, request.query, headers, ADDRESS, body))
        )

    def _go_on(self, steps: Generator[float, None, Served]) -> None:
        try:
            wait_s = next(steps)
        except StopIteration as over:
            self._answer(over.value)
        else:
            self._far.later(wait_s, lambda: self._go_on(steps))

    def _answer(self, served: Served) -> None:
        if served.lost:
            if not served.silent:
                self.reset()
            return
        if served.cut_at is not None and served.cut_at < len(served.body) + 200:  # the head counts too
            self.reset()
            return
        self._far.later(
            self._far.delay_s(len(served.body)), lambda: self._pass(lambda: self._reach(served), inbound=False)
        )

    def _reach(self, served: Served) -> None:
        headers = {name.lower(): value for name, value in served.headers.items()}
        self.end(HttpResponse(served.status, headers, served.body, self._sent_ns, self._far.runtime.time_ns()))

    # what faults do

    def reset(self) -> None:
        """Break the connection; the client knows only that no answer came."""
        self._soon(self.failure("connection reset by peer"))

    def reset_after(self, count: int) -> None:
        """An answer is as short as a breath: what breaks within it breaks it whole."""
        self.reset()

    def hold(self, *, inbound: bool = True, outbound: bool = True) -> None:
        self._held_in, self._held_out = self._held_in or inbound, self._held_out or outbound

    def release(self) -> None:
        self._held_in = self._held_out = False
        stopped, self._stopped = self._stopped, []
        for action in stopped:
            action()
