"""Stand between the server and its sockets, so that faults hit bytes and not messages.

`Wire` is an asyncio protocol that carries another one (the HTTP server's): what the peer sends goes through, what the server
writes goes through, and in between a connection can be reset at any byte, held still in either direction, cut into slices,
delayed or slowed. It knows nothing of HTTP, WebSocket or TLS (TLS lies below it). Without a fault a write is one extra call.
Everything runs on the simulator's loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Front", "Shape", "Wire"]

HOLD_LIMIT = 64 * 1024 * 1024
"""Bytes a held connection may collect before it is reset instead of kept."""


class Shape:
    """How outgoing bytes are bent, for every connection: the numbers may change while bytes wait."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.slice_bytes = 0
        self.bandwidth = 0.0

    @property
    def plain(self) -> bool:
        """Nothing is bent."""
        return not (self.delay_s or self.jitter_s or self.slice_bytes or self.bandwidth)


class Front:
    """Every connection of one server, and the faults they share."""

    def __init__(self, rng: random.Random) -> None:
        self.wires: dict[Wire, None] = {}
        self.shape = Shape()
        self.hold_new = False
        self.opened = 0
        self.closed = 0
        self.rng = rng

    def accept(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], Wire]:
        """A protocol factory for `loop.create_server` that puts a wire before each inner protocol."""
        return lambda: Wire(self, inner())

    def select(self, scope: str) -> list[Wire]:
        """Open connections: "ws" (upgraded), "rest" (the others) or "all"."""
        if scope not in ("ws", "rest", "all"):
            raise ValueError(f"scope is 'ws', 'rest' or 'all', got {scope!r}")
        return [wire for wire in self.wires if scope == "all" or wire.upgraded is (scope == "ws")]


class Wire(asyncio.Protocol):
    """One accepted connection, seen from below."""

    def __init__(self, front: Front, inner: asyncio.Protocol) -> None:
        self._front = front
        self._inner = inner
        self._real: asyncio.Transport | None = None
        self.upgraded = False
        self.held_in = self.held_out = False
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._pump: asyncio.Task[None] | None = None
        self._cut_after: int | None = None
        self._closing = False

    def switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Carry another protocol from here on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._inner = protocol

    # asyncio.Protocol, called by the real transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._real = transport
        self._front.wires[self] = None
        self._front.opened += 1
        if self._front.hold_new:
            self.hold()
        self._inner.connection_made(_WireTransport(self, transport))

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.wires.pop(self, None)
        self._front.closed += 1
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()
        self._inner.connection_lost(exc)

    # faults

    def reset(self) -> None:
        """End the connection with a TCP reset: the peer sees an error, not a close."""
        real = self._real
        if real is None or real.is_closing():
            return
        sock = real.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                # l_onoff and l_linger are ints on POSIX and shorts on Windows.
                layout = "hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, 0))
        real.abort()

    def reset_after(self, count: int) -> None:
        """Let `count` more bytes out, then reset."""
        if count <= 0:
            self.reset()
        else:
            self._cut_after = count

    def hold(self, *, inbound: bool = True, outbound: bool = True) -> None:
        """Let no byte pass in the given directions; they wait for `release`."""
        if inbound and not self.held_in and self._real is not None:
            self.held_in = True
            self._real.pause_reading()
        self.held_out = self.held_out or outbound

    def release(self) -> None:
        """Let bytes pass again, those held first, in order."""
        if self.held_in and self._real is not None:
            self.held_in = False
            if not self._real.is_closing():
                self._real.resume_reading()
        if self.held_out:
            self.held_out = False
            self._start_pump()

    # the way out

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer."""
        return self._waiting_bytes + (self._real.get_write_buffer_size() if self._real is not None else 0)

    def send(self, data: bytes) -> None:
        """Write, through whatever faults are on."""
        real = self._real
        if real is None or real.is_closing():
            return
        if self._cut_after is not None:
            passed, self._cut_after = data[: self._cut_after], self._cut_after - len(data)
            real.write(passed)
            if self._cut_after <= 0:
                self._cut_after = None
                self.reset()
            return
        if not self._waiting and not self.held_out and self._front.shape.plain and self._pump is None:
            real.write(data)
            return
        shape = self._front.shape
        delay = shape.delay_s + (self._front.rng.uniform(0, shape.jitter_s) if shape.jitter_s else 0.0)
        due = asyncio.get_running_loop().time() + delay
        self._waiting.append((due, bytes(data)))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HOLD_LIMIT:
            self.reset()
        else:
            self._start_pump()

    def close(self) -> None:
        """Close once what waits is out; a held connection just stays, as a cut cable would leave it."""
        self._closing = True
        if self._real is not None and not self._waiting and not self.held_out:
            self._real.close()

    def _start_pump(self) -> None:
        if self._pump is None and not self.held_out and (self._waiting or self._closing):
            self._pump = asyncio.get_running_loop().create_task(self._run_pump())

    async def _run_pump(self) -> None:
        loop, shape, real = asyncio.get_running_loop(), self._front.shape, self._real
        assert real is not None
        try:
            while self._waiting and not self.held_out and not real.is_closing():
                due, data = self._waiting[0]  # in order, as TCP is, whatever the jitter
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                    continue
                step = shape.slice_bytes or (max(1, int(shape.bandwidth / 50)) if shape.bandwidth else len(data))
                real.write(data[:step])
                if shape.bandwidth:
                    await asyncio.sleep(min(step, len(data)) / shape.bandwidth)
                elif shape.slice_bytes:
                    await asyncio.sleep(0)
                if self._waiting:  # the connection may have been lost meanwhile
                    self._waiting_bytes -= min(step, len(data))
                    if len(data) > step:
                        self._waiting[0] = (due, data[step:])
                    else:
                        self._waiting.popleft()
        finally:
            self._pump = None
        if self._closing and not self._waiting and not self.held_out:
            real.close()


class _WireTransport(asyncio.Transport):
    """What the inner protocol takes for its transport."""

    def __init__(self, wire: Wire, real: asyncio.Transport) -> None:
        super().__init__()
        self.wire = wire
        self._real = real

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.wire if name == "wire" else self._real.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.wire.send(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.wire.send(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._real.is_closing()

    def close(self) -> None:
        self.wire.close()

    def abort(self) -> None:
        self._real.abort()

    def can_write_eof(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return self._real.is_reading()

    def pause_reading(self) -> None:
        self._real.pause_reading()

    def resume_reading(self) -> None:
        if not self.wire.held_in:
            self._real.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self.wire.backlog

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._real.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._real.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._real.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.wire.switch(protocol)
