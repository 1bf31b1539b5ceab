"""Break the simulated exchange on purpose, from any thread.

Each method takes effect before it returns: it runs on the simulator's loop thread between two steps. `clear` ends everything
that lasts. The same names work on the command line (`--fault 'cut@5'`) and over the control endpoint
(`POST /simulator/faults/cut`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from connector.simulator.dialect import Restarting
from connector.simulator.exchange import Exchange, RestError, UpgradeRefusal, Use
from connector.simulator.hub import Topic, control_frame, text_frame
from connector.simulator.order_faults import OrderFaults
from connector.simulator.wire import Shape

__all__ = ["MALFORMED_KINDS", "Faults"]

T = TypeVar("T")
Scope = Literal["ws", "rest", "all"]


class Cable(Protocol):
    """One connection below HTTP, as faults see it; see `wire.Wire`."""

    def reset(self) -> None: ...
    def reset_after(self, count: int) -> None: ...
    def hold(self, *, inbound: bool = True, outbound: bool = True) -> None: ...
    def release(self) -> None: ...


class Cables(Protocol):
    """Every connection of one server; see `wire.Front`."""

    shape: Shape
    hold_new: bool

    def select(self, scope: str) -> Sequence[Cable]: ...


class Server(Protocol):
    """What faults need of the server around the exchange."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def front(self) -> Cables: ...

    def on_loop(self, action: Callable[[], T]) -> T: ...
    def refuse_connections(self, for_s: float | None) -> None: ...
    def accept_connections(self) -> None: ...


class Faults(OrderFaults):
    """What can be made to go wrong. `scope` is "ws" (WebSocket connections), "rest" (the others) or "all"."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.injected: dict[str, int] = {}
        """How often each fault was asked for."""

    def _do(self, name: str, action: Callable[[], T]) -> T:
        def counted() -> T:
            self.injected[name] = self.injected.get(name, 0) + 1
            return action()

        return self._server.on_loop(counted)

    @property
    def _exchange(self) -> Exchange:
        return self._server.exchange

    def _use(self, count: int | None, for_s: float | None) -> Use:
        """Used up by a count, a time, or whichever comes first; neither given: until `clear`."""
        return Use(count, None if for_s is None else self._exchange.loop_s() + for_s)

    # connections

    def cut(self, scope: Scope = "ws", at_byte: int | None = None, stream: str | None = None) -> int:
        """Reset connections (TCP RST). With `at_byte`, each lets that many bytes of its next writes out first, so that a frame
        is torn. With `stream`, only connections subscribed to it. Returns how many."""

        def act() -> int:
            wires = self._server.front.select(scope)
            if stream is not None:
                chosen: set[object] = {conn.wire for conn in self._exchange.hub.connections if stream in conn.topics}
                wires = [wire for wire in wires if wire in chosen]
            for wire in wires:
                wire.reset() if at_byte is None else wire.reset_after(at_byte)
            return len(wires)

        return self._do("cut", act)

    def close(self, code: int = 1000, reason: str = "") -> int:
        """Close every WebSocket connection cleanly with that code. Returns how many."""

        def act() -> int:
            connections = list(self._exchange.hub.connections)
            for connection in connections:
                self._exchange.close(connection, code, reason)
            return len(connections)

        return self._do("close", act)

    def half_open(
        self,
        on: bool = True,
        direction: Literal["both", "in", "out"] = "both",
        scope: Scope = "ws",
        new_connections: bool = False,
    ) -> int:
        """Let no byte pass on existing connections: "in" is from the client to us, "out" the other way. The connections stay
        open. Off lets everything pass again, held bytes first. With `new_connections`, what connects later is held too:
        accepted, and then silence. Returns how many connections were concerned."""

        def act() -> int:
            wires = self._server.front.select(scope)
            for wire in wires:
                if on:
                    wire.hold(inbound=direction in ("both", "in"), outbound=direction in ("both", "out"))
                else:
                    wire.release()
            self._server.front.hold_new = on and new_connections
            return len(wires)

        return self._do("half_open", act)

    def delay(self, s: float, jitter_s: float = 0.0) -> None:
        """Let every byte we send arrive later by `s` plus up to `jitter_s` seconds, in order."""

        def act() -> None:
            self._server.front.shape.delay_s, self._server.front.shape.jitter_s = s, jitter_s

        self._do("delay", act)

    def slice(self, size: int = 1) -> None:
        """Write at most that many bytes at a time; 0 ends it."""

        def act() -> None:
            self._server.front.shape.slice_bytes = size

        self._do("slice", act)

    def bandwidth(self, bytes_per_s: float) -> None:
        """Send no faster than that on each connection; 0 ends it."""

        def act() -> None:
            self._server.front.shape.bandwidth = bytes_per_s

        self._do("bandwidth", act)

    def refuse_connect(self, for_s: float | None = None) -> None:
        """Refuse TCP connections (nobody listens) for so long, or until `clear`; existing connections stay."""
        self._do("refuse_connect", lambda: self._server.refuse_connections(for_s))

    def refuse_upgrade(
        self, status: int = 502, count: int | None = None, for_s: float | None = None, retry_after_s: int | None = None
    ) -> None:
        """Answer WebSocket upgrades with that HTTP status, so often or so long."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        if 300 <= status < 400:
            headers["Location"] = "/"

        def act() -> None:
            self._exchange.plan.upgrades.append(UpgradeRefusal(self._use(count, for_s), status, headers))

        self._do("refuse_upgrade", act)

    def hang_upgrade(self, count: int | None = None, for_s: float | None = None) -> None:
        """Take WebSocket upgrades and never answer them, so often or so long."""

        def act() -> None:
            self._exchange.plan.upgrades.append(UpgradeRefusal(self._use(count, for_s), None, {}))

        self._do("hang_upgrade", act)

    def close_on_open(self, count: int | None = None, for_s: float | None = None) -> None:
        """Close WebSocket connections as soon as they are open, so often or so long."""

        def act() -> None:
            self._exchange.plan.close_on_open = self._use(count, for_s)

        self._do("close_on_open", act)

    def server_shutdown(self) -> int:
        """Announce the end of every WebSocket connection, as the venue does before maintenance. Returns how many were told."""

        def act() -> int:
            told = 0
            for connection in list(self._exchange.hub.connections):
                notice = self._exchange.dialect.shutdown_notice(connection)
                if notice:
                    connection.send_now(text_frame(notice))
                    told += 1
            return told

        return self._do("server_shutdown", act)

    # streams

    def silence(self, stream: str = "*") -> None:
        """Let one stream say nothing while others go on; "*" silences all, pings are still answered."""
        self._do("silence", lambda: self._set_silent(stream, True))

    def unsilence(self, stream: str = "*") -> None:
        """End the silence of one stream, or of all."""
        self._do("unsilence", lambda: self._set_silent(stream, False))

    def _set_silent(self, stream: str, silent: bool) -> None:
        hub = self._exchange.hub
        if stream != "*":
            hub.topic(stream).silent = silent
            return
        hub.all_silent = silent
        if not silent:
            for topic in hub.topics.values():
                topic.silent = False

    def frozen(self, stream: str, on: bool = True) -> None:
        """Repeat the stream's last message instead of each new one."""

        def act() -> None:
            self._exchange.hub.topic(stream).frozen = on

        self._do("frozen", act)

    def deltas(self, symbol: str, lost: int = 0, doubled: int = 0, reordered: int = 0) -> None:
        """Lose, double or swap (with its successor) the next so many book changes of a symbol, on each of its speeds."""

        def act() -> None:
            for name in self._exchange.dialect.delta_streams(symbol):
                self._tamper(self._exchange.hub.topic(name), lost, doubled, reordered)

        self._do("deltas", act)

    def frames(self, stream: str, lost: int = 0, doubled: int = 0, reordered: int = 0) -> None:
        """The same as `deltas` for any one stream by name."""
        self._do("frames", lambda: self._tamper(self._exchange.hub.topic(stream), lost, doubled, reordered))

    def _tamper(self, topic: Topic, lost: int, doubled: int, reordered: int) -> None:
        topic.lose += lost
        topic.double += doubled
        topic.reorder += reordered

    def malformed(self, kind: str, count: int = 1, stream: str | None = None) -> int:
        """Send broken frames beside the real ones, at once, to every subscriber of a stream (default: every connection, on its
        first stream). Kinds: see `MALFORMED_KINDS`. Returns how many frames went out."""
        if kind not in MALFORMED_KINDS:
            raise ValueError(f"unknown kind {kind!r}; known are {', '.join(sorted(MALFORMED_KINDS))}")

        def act() -> int:
            hub = self._exchange.hub
            if stream is not None:
                topics = [hub.topic(stream)]
            else:
                firsts = {next(iter(conn.topics.values())): None for conn in hub.connections if conn.topics}
                topics = list(firsts)
            sent = 0
            for topic in topics * count:
                sent += hub.inject(topic, partial(_malformed, kind, topic))
            hub.flush()
            return sent

        return self._do("malformed", act)

    # control frames

    def drop_ack(self, count: int | None = 1, for_s: float | None = None) -> None:
        """Do what control frames ask and never answer them."""

        def act() -> None:
            self._exchange.plan.ack_drops = self._use(count, for_s)

        self._do("drop_ack", act)

    def delay_ack(self, s: float) -> None:
        """Answer control frames so much later; events come before the answer. 0 ends it."""

        def act() -> None:
            self._exchange.plan.ack_delay_s = s

        self._do("delay_ack", act)

    def reject_subscribe(
        self, count: int | None = 1, code: int = 2, msg: str = "Invalid request: invalid stream"
    ) -> None:
        """Answer subscriptions with an error and do not subscribe."""

        def act() -> None:
            self._exchange.plan.rejections.append((self._use(count, None), code, msg))

        self._do("reject_subscribe", act)

    # requests

    def rest_error(
        self,
        status: int = 500,
        count: int | None = None,
        path: str | None = None,
        body: str | None = None,
        for_s: float | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Answer requests (whose path contains `path`) with that status, and the venue's body for it or the given one."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}

        def act() -> None:
            content = None if body is None else body.encode()
            self._exchange.plan.rest_errors.append(RestError(self._use(count, for_s), status, path, content, headers))

        self._do("rest_error", act)

    def rest_delay(self, s: float) -> None:
        """Answer requests so much later; 0 ends it."""

        def act() -> None:
            self._exchange.plan.rest_delay_s = s

        self._do("rest_delay", act)

    def rest_cut(self, at_byte: int = 200, count: int | None = 1) -> None:
        """Reset the connection after so many bytes of an answer."""

        def act() -> None:
            self._exchange.plan.rest_cuts.append((self._use(count, None), at_byte))

        self._do("rest_cut", act)

    def stale_snapshot(self, symbol: str, updates: int = 1_000, count: int | None = 1) -> None:
        """Answer book snapshots with the book as it was so many updates ago. Live markets only."""

        def act() -> None:
            self._exchange.plan.stale_snapshots[symbol] = (self._use(count, None), updates)

        self._do("stale_snapshot", act)

    def ban(self, for_s: float | None = None) -> None:
        """Ban every client address so long (default: as the venue would, doubling each time)."""

        def act() -> None:
            exchange = self._exchange
            for limits in exchange.limits.values() or [exchange.limits_of("127.0.0.1")]:
                limits.ban(exchange.clock.now_s(), for_s)

        self._do("ban", act)

    def foreign_weight(self, points: int) -> None:
        """Let another program on the client's address spend request weight."""

        def act() -> None:
            exchange = self._exchange
            for limits in exchange.limits.values() or [exchange.limits_of("127.0.0.1")]:
                limits.weight.spend(points, exchange.clock.now_s())

        self._do("foreign_weight", act)

    # the exchange

    def clock_skew(self, ms: float) -> None:
        """Put the exchange's clock so far ahead of (or, negative, behind) the real one; 0 ends it."""

        def act() -> None:
            self._exchange.clock.skew_ns = int(ms * 1_000_000)

        self._do("clock_skew", act)

    def service_restart(self, symbol: str | None = None) -> int:
        """Let the venue's service start anew, as seen from outside: books begin again under their first number (of a symbol, or
        all), and recent orders that are closed are forgotten. Returns how many book topics were told.

        Raises:
            ValueError: nothing of the kind is known of this venue.
        """

        def act() -> int:
            exchange = self._exchange
            if not isinstance(exchange.dialect, Restarting):
                raise ValueError(f"{exchange.settings.dialect} tells nobody that it has started anew")
            return exchange.dialect.restart_books(list(exchange.markets) if symbol is None else [symbol])

        return self._do("service_restart", act)

    def symbol_status(self, symbol: str, status: str = "HALT") -> None:
        """Change a symbol's status; only TRADING symbols trade. Live markets only."""

        def act() -> None:
            market = self._exchange.markets.get(symbol)
            if market is None:
                raise LookupError(f"{symbol} is not listed here; listed are {', '.join(self._exchange.markets)}")
            market.status = status

        self._do("symbol_status", act)

    def clear(self) -> None:
        """End every fault that lasts: held and bent bytes, silence, losses, errors, bans, skew. Statuses and keys stay."""

        def act() -> None:
            server, exchange = self._server, self._exchange
            shape = server.front.shape
            shape.delay_s = shape.jitter_s = shape.bandwidth = 0.0
            shape.slice_bytes = 0
            server.front.hold_new = False
            for wire in server.front.select("all"):
                wire.release()
            server.accept_connections()
            exchange.plan = type(exchange.plan)()
            for market in exchange.markets.values():
                market.engine.parts = 1
            for connection in exchange.hub.connections:
                for frame in connection.held:
                    connection.send_now(frame)
                connection.held.clear()
            exchange.clock.skew_ns = 0
            exchange.hub.all_silent = False
            for topic in exchange.hub.topics.values():
                topic.silent = topic.frozen = False
                topic.lose = topic.double = topic.reorder = 0
            for limits in exchange.limits.values():
                limits.lift()

        self._do("clear", act)


# Broken frames. Each maker gets the last real payload (or a plausible one) as a dict and says what is sent as text.


def _first_price(payload: dict[str, Any]) -> str:
    payload = _inner(payload)
    return next((name for name in ("p", "c", "b", "w", "k", "bids", "u", "lastPrice", "open") if name in payload), "E")


def _inner(payload: dict[str, Any]) -> dict[str, Any]:
    """Where the prices are: some venues put them one level down, in an object or the first of a list."""
    data = payload.get("data")
    if isinstance(data, list) and data:
        data = data[0]
    return data if isinstance(data, dict) else payload


def _with(payload: dict[str, Any], *without: str, **changes: Any) -> str:
    old = _inner(payload)
    new = {name: value for name, value in old.items() if name not in without} | changes
    whole: dict[str, Any] = new
    if old is not payload:
        whole = payload | {"data": [new, *payload["data"][1:]] if isinstance(payload["data"], list) else new}
    return json.dumps(whole, separators=(",", ":"))


def _literal(payload: dict[str, Any], literal: str) -> str:
    """The payload with a bare literal where the first price stood."""
    return _with(payload, **{_first_price(payload): "@literal@"}).replace('"@literal@"', literal)


MALFORMED_KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "cut": lambda payload: _with(payload)[: -max(2, len(_with(payload)) // 3)],
    "not_json": lambda payload: "<html>upstream error</html>",
    "empty": lambda payload: "",
    "nan": lambda payload: _literal(payload, "NaN"),
    "nan_text": lambda payload: _with(payload, **{_first_price(payload): "NaN"}),
    "infinity_text": lambda payload: _with(payload, **{_first_price(payload): "Infinity"}),
    "huge_exponent": lambda payload: _with(payload, **{_first_price(payload): "1e999999999"}),
    "huge_integer": lambda payload: _with(payload, E=2**70, t=2**70, u=2**70),
    "nesting": lambda payload: "[" * 10_000 + "]" * 10_000,
    "huge": lambda payload: _with(payload, pad="x" * 50_000_000),
    "bad_utf8": lambda payload: "",
    "unknown_event": lambda payload: _with(payload, e="neverHeardOf"),
    "unknown_field": lambda payload: _with(payload, zz={"new": [1, "2"]}),
    "missing_field": lambda payload: _with(payload, _first_price(payload)),
    "changed_type": lambda payload: _with(payload, **{_first_price(payload): {"now": ["an", "object"]}}),
    "null": lambda payload: "null",
    "number": lambda payload: "42",
    "reserved_bits": _with,
    "oversize_control": _with,
    "fragmented": _with,
}
"""Kinds of broken frames: not JSON, cut, empty, values out of range, wrong shapes, and four broken (or, for `fragmented`, only
unusual) at the level of WebSocket or UTF-8."""

_WHOLE = ("cut", "not_json", "empty", "nesting", "null", "number")


def _malformed(kind: str, topic: Topic, combined: bool) -> bytes:
    sample = b'{"e":"trade","E":1,"s":"NONE","t":1,"p":"1.0","q":"1.0","T":1,"m":true,"M":true}'
    payload: dict[str, Any] = json.loads(topic.last(False) if topic.last is not None else sample)
    text = MALFORMED_KINDS[kind](payload).encode()
    if combined and kind == "cut":
        text = topic.wrap(text)[:-1]
    elif combined and kind not in _WHOLE:
        text = topic.wrap(text)
    if kind == "bad_utf8":
        return text_frame(b'{"stream":"\xff\xfe","data":"\xc3\x28"}')
    if kind == "reserved_bits":
        return text_frame(text, 0xF1)
    if kind == "oversize_control":
        return b"\x89\x7e\x01\x00" + b"x" * 256
    if kind == "fragmented":
        first, last = text_frame(text[:5], 0x01), text_frame(text[5:], 0x80)
        return first + control_frame(9, b"between") + last
    return text_frame(text)
