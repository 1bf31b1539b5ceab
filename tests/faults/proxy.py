"""A TCP proxy on loopback that breaks what passes: Toxiproxy's eight kinds, and cuts inside WebSocket frames and TLS records.

It stands before any port, plain or TLS, and reads no more of the bytes than where a frame, a record or an answer begins. One
thread carries all connections; every method may be called from any other and has taken effect when it returns. The kinds:
latency (with jitter), down, bandwidth, slow close, timeout (silence), reset, slicer, and limit of data, each one way or both.

    with Proxy("127.0.0.1", sim.port) as proxy:
        VenueSettings("binance", rest_url=sim.rest_url, stream_url=proxy.before(sim.ws_url))
        proxy.bend(latency_s=0.2, jitter_s=0.1)
        proxy.cut(inside="frame", at_byte=3)
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Proxy", "Shape"]

T = TypeVar("T")
Way = Literal["both", "to_client", "to_venue"]
Inside = Literal["frame", "record", "answer"]

CHUNK = 65_536
FULL = 1_048_576
"""So many bytes wait in a direction before it stops reading, as a router's queue would."""
ANSWERED_S = 10.0
RESET = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)
"""What makes closing a socket a reset: two ints on POSIX, two shorts on Windows."""
BOTH: tuple[Literal["to_client", "to_venue"], ...] = ("to_client", "to_venue")


@dataclass(frozen=True)
class Shape:
    """How the bytes of one direction are bent. Zero, None and False bend nothing.

    Attributes:
        latency_s, jitter_s: every byte comes later by the first plus up to the second, in order.
        bandwidth: bytes a second.
        slice_bytes, slice_gap_s: written in pieces of at most so many bytes, with so much time between them.
        slow_close_s: the end of the connection is told so much later.
        silent: no byte passes and the connection stays ("timeout" of Toxiproxy); what was sent waits.
        limit_bytes: the connection is closed after so many bytes of this direction, counted from its beginning.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bandwidth: float = 0.0
    slice_bytes: int = 0
    slice_gap_s: float = 0.0
    slow_close_s: float = 0.0
    silent: bool = False
    limit_bytes: int | None = None


class _Starts:
    """Where units begin in a stream of bytes: frames after an HTTP head, or TLS records. Absolute offsets, each said once."""

    def __init__(self, kind: Inside) -> None:
        self._kind, self._seen, self._head = kind, 0, b""
        self._in_http = kind == "frame"
        self._skip = 0  # bytes of the unit at hand that are still to come

    def feed(self, data: bytes) -> list[int]:
        found, at = [], 0
        while at < len(data):
            if self._in_http:
                self._head += data[at : at + 1]
                at += 1
                if self._head.endswith(b"\r\n\r\n"):
                    self._in_http, self._head = False, b""
            elif self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
            else:
                if not self._head:
                    found.append(self._seen + at)
                self._head += data[at : at + 1]
                at += 1
                size = self._size()
                if size is not None:
                    self._skip, self._head = size, b""
        self._seen += len(data)
        return found

    def _size(self) -> int | None:
        """Bytes after the head, once the head is whole."""
        head = self._head
        if self._kind == "record":
            return int.from_bytes(head[3:5], "big") if len(head) == 5 else None
        if len(head) < 2:
            return None
        short, mask = head[1] & 0x7F, 4 if head[1] & 0x80 else 0
        extra = {126: 2, 127: 8}.get(short, 0)
        if len(head) < 2 + extra:
            return None
        return (int.from_bytes(head[2 : 2 + extra], "big") if extra else short) + mask


@dataclass(eq=False)
class _Lane:
    """One direction of one connection."""

    way: Literal["to_client", "to_venue"]
    source: socket.socket
    sink: socket.socket
    shape: Shape
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    held: int = 0
    sent: int = 0
    ended_s: float | None = None  # when the source's end is told to the sink
    told_end: bool = False
    next_s: float = 0.0  # not before: slices and bandwidth
    starts: dict[Inside, _Starts] = field(
        default_factory=lambda: {"frame": _Starts("frame"), "record": _Starts("record")}
    )
    begun: dict[Inside, deque[int]] = field(
        default_factory=lambda: {
            "frame": deque(maxlen=4096),
            "record": deque(maxlen=4096),
            "answer": deque(maxlen=4096),
        }
    )
    read: int = 0
    cut_at: int | None = None
    armed: tuple[Inside, int] | None = None

    @property
    def wants_read(self) -> bool:
        return not self.shape.silent and self.ended_s is None and self.held < FULL

    def due_s(self) -> float | None:
        """When something can be done; None while there is nothing."""
        if self.shape.silent or self.told_end:
            return None
        if self.waiting:
            return max(self.waiting[0][0], self.next_s)
        return self.ended_s


class _Pair:
    """One client and its connection onward."""

    def __init__(self, client: socket.socket, venue: socket.socket, shapes: dict[str, Shape]) -> None:
        self.lanes = {
            "to_client": _Lane("to_client", venue, client, shapes["to_client"]),
            "to_venue": _Lane("to_venue", client, venue, shapes["to_venue"]),
        }
        self.first = b""
        self.gone = False

    def end(self, reset: bool) -> None:
        """Both sockets go, with RST or FIN."""
        self.gone = True
        for lane in self.lanes.values():
            with contextlib.suppress(OSError):
                if reset:
                    lane.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                lane.source.close()


class Proxy:
    """Carries connections to one port and bends them.

    Attributes:
        port: where it listens.
        accepted: connections so far.
        first_bytes: the first bytes each client sent, of the last thousand connections.
        passed: bytes so far by way.
    """

    def __init__(self, host: str, port: int, seed: int = 7) -> None:
        self._target, self._rng = (host, port), random.Random(seed)
        self._pairs: list[_Pair] = []
        self._shapes: dict[str, Shape] = {"to_client": Shape(), "to_venue": Shape()}
        self._actions: deque[Callable[[], None]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._fillers: list[socket.socket] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._placeholder: socket.socket | None = None
        self._stopping = False
        self.accepted = 0
        self.first_bytes: deque[bytes] = deque(maxlen=1000)
        self.passed = {"to_client": 0, "to_venue": 0}
        self._thread = threading.Thread(target=self._run, name=f"fault-proxy:{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Proxy :{self.port} -> {self._target[0]}:{self._target[1]} open={len(self._pairs)} accepted={self.accepted}>"

    def before(self, url: str) -> str:
        """The same URL with this proxy's port in place of the venue's."""
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{self.port}"))

    @property
    def open(self) -> int:
        return self._do(lambda: len(self._pairs))

    # ------------------------------------------------------------ faults

    def bend(self, way: Way = "both", **fields: float | int | bool | None) -> int:
        """Set fields of the shape, of connections that are open and of those to come. Returns how many are open."""

        def act() -> int:
            for each in _ways(way):
                self._shapes[each] = replace(self._shapes[each], **fields)  # type: ignore[arg-type]
                for pair in self._pairs:
                    pair.lanes[each].shape = self._shapes[each]
            return len(self._pairs)

        return self._do(act)

    def heal(self) -> None:
        """Let everything pass, and take connections again. What waited comes first, in order."""

        def act() -> None:
            for each in BOTH:
                self._shapes[each] = Shape()
                for pair in self._pairs:
                    lane = pair.lanes[each]
                    lane.shape, lane.armed, lane.cut_at, lane.next_s = Shape(), None, None, 0.0
            self._listen()

        self._do(act)

    def half_open(self, way: Way = "both", new_connections: bool = False) -> int:
        """No byte passes on connections that are open, and both ends stay; with `new_connections` on later ones neither."""

        def act() -> int:
            for each in _ways(way):
                for pair in self._pairs:
                    pair.lanes[each].shape = replace(pair.lanes[each].shape, silent=True)
                if new_connections:
                    self._shapes[each] = replace(self._shapes[each], silent=True)
            return len(self._pairs)

        return self._do(act)

    def cut(
        self, at_byte: int = 0, way: Literal["to_client", "to_venue"] = "to_client", inside: Inside | None = None
    ) -> int:
        """Reset every connection once `at_byte` more bytes have gone that way; with `inside`, so many bytes into the next
        WebSocket frame, TLS record or answer that begins. Returns how many connections that concerns."""

        def act() -> int:
            for pair in list(self._pairs):
                lane = pair.lanes[way]
                if inside is not None:
                    lane.armed = (inside, at_byte)
                elif at_byte:
                    lane.cut_at = lane.sent + at_byte
                else:
                    self._drop(pair, reset=True)
            return len(self._pairs)

        before = self._do(lambda: len(self._pairs))
        self._do(act)
        return before

    def close(self) -> int:
        """End every connection with FIN, in the middle of whatever it was saying. Returns how many."""

        def act() -> int:
            count = len(self._pairs)
            for pair in list(self._pairs):
                self._drop(pair, reset=False)
            return count

        return self._do(act)

    def lead(self, port: int) -> None:
        """Carry connections to come to another port."""
        self._do(lambda: setattr(self, "_target", ("127.0.0.1", port)))

    def down(self, cut: bool = True) -> None:
        """Nobody listens: connections are refused until `heal`; with `cut`, those that are open are reset."""

        def act() -> None:
            self._deaf()
            self._placeholder = socket.socket()
            self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                self._placeholder.bind(("127.0.0.1", self.port))
            for pair in list(self._pairs) if cut else []:
                self._drop(pair, reset=True)

        self._do(act)

    def swallow(self, cut: bool = True) -> None:
        """SYNs get no answer until `heal`: the listener's queue is full and nobody takes from it."""

        def act() -> None:
            self._deaf()
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(0)
            self._placeholder = listener
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
                self._fillers.append(filler)
            for pair in list(self._pairs) if cut else []:
                self._drop(pair, reset=True)

        self._do(act)

    def stop(self) -> None:
        """End every connection and the thread. Idempotent."""
        if self._thread.is_alive():
            self._stopping = True
            self._wake.send(b"x")
            self._thread.join(ANSWERED_S)

    # ------------------------------------------------------------ the thread

    def _do(self, action: Callable[[], T]) -> T:
        done, results = threading.Event(), []

        def act() -> None:
            try:
                results.append(action())
            finally:
                done.set()

        self._actions.append(act)
        self._wake.send(b"x")
        if not done.wait(ANSWERED_S) or not results:
            raise RuntimeError(f"{self._thread.name} did not do what it was asked; is it still running?")
        return results[0]

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            for pair in list(self._pairs):
                self._drop(pair, reset=False)
            self._deaf()
            self._wake.close()
            self._woken.close()

    def _turn(self) -> None:
        now_s = time.monotonic()
        readers: dict[socket.socket, tuple[_Pair, _Lane]] = {}
        writers: dict[socket.socket, tuple[_Pair, _Lane]] = {}
        dues: list[float] = []
        for pair in self._pairs:
            for lane in pair.lanes.values():
                if lane.wants_read:
                    readers[lane.source] = pair, lane
                due_s = lane.due_s()
                if due_s is not None and due_s <= now_s:
                    writers[lane.sink] = pair, lane
                elif due_s is not None:
                    dues.append(due_s)
        listening = [self._woken] + ([self._listener] if self._listener is not None else [])
        wait_s = max(0.0, min(dues) - now_s) if dues else 1.0
        ready, free, _ = select.select([*listening, *readers], list(writers), [], wait_s)
        for sock in ready:
            if sock in readers:
                pair, lane = readers[sock]
                if not pair.gone:
                    self._read(pair, lane)
        for sock in free:
            pair, lane = writers[sock]
            if not pair.gone:
                self._write(pair, lane)
        if self._listener is not None and self._listener in ready:
            self._accept(self._listener)
        if self._woken in ready:
            self._woken.recv(CHUNK)
            while self._actions:
                self._actions.popleft()()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            self.accepted += 1
            try:
                venue = socket.create_connection(self._target, 2.0)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
                return
            for sock in (client, venue):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append(_Pair(client, venue, self._shapes))

    def _read(self, pair: _Pair, lane: _Lane) -> None:
        now_s = time.monotonic()
        try:
            data = lane.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the other end was reset: so is this one
            self._drop(pair, reset=True)
            return
        if not data:
            lane.ended_s = now_s + lane.shape.slow_close_s
            return
        if lane.way == "to_venue":
            if not pair.first:
                pair.first = data[:16]
                self.first_bytes.append(pair.first)
            back = pair.lanes["to_client"]
            back.begun["answer"].append(back.read)  # whatever comes next answers this
        for kind, starts in lane.starts.items():
            lane.begun[kind].extend(starts.feed(data))
        lane.read += len(data)
        late_s = lane.shape.latency_s + (self._rng.uniform(0.0, lane.shape.jitter_s) if lane.shape.jitter_s else 0.0)
        lane.waiting.append((now_s + late_s, data))
        lane.held += len(data)

    def _write(self, pair: _Pair, lane: _Lane) -> None:
        now_s, shape = time.monotonic(), lane.shape
        if not lane.waiting:
            lane.told_end = True
            with contextlib.suppress(OSError):
                lane.sink.shutdown(socket.SHUT_WR)
            if all(each.told_end for each in pair.lanes.values()) or not shape.slow_close_s:
                other = next(each for each in pair.lanes.values() if each is not lane)
                if other.told_end or not other.waiting:
                    self._drop(pair, reset=False)
            return
        due_s, data = lane.waiting.popleft()
        piece = shape.slice_bytes or len(data)
        if shape.bandwidth:
            piece = min(piece, max(1, int(shape.bandwidth / 50)))
        if lane.armed is not None:
            inside, at_byte = lane.armed
            begun = lane.begun[inside]
            while begun and begun[0] < lane.sent:
                begun.popleft()
            if begun and (inside != "answer" or begun[0] < lane.read):
                lane.cut_at, lane.armed = begun[0] + at_byte, None
        last = lane.cut_at if lane.cut_at is not None else shape.limit_bytes
        if last is not None:
            piece = min(piece, max(0, last - lane.sent))
        try:
            count = lane.sink.send(data[:piece]) if piece else 0
        except BlockingIOError:
            count = 0
        except OSError:
            self._drop(pair, reset=True)
            return
        lane.sent += count
        lane.held -= count
        self.passed[lane.way] += count
        if count < len(data):
            lane.waiting.appendleft((due_s, data[count:]))
        if last is not None and lane.sent >= last:
            self._drop(pair, reset=lane.cut_at is not None)
        elif shape.bandwidth:
            lane.next_s = now_s + count / shape.bandwidth
        elif shape.slice_bytes:
            lane.next_s = now_s + shape.slice_gap_s

    def _drop(self, pair: _Pair, reset: bool) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
        pair.end(reset)

    def _deaf(self) -> None:
        for sock in (self._listener, self._placeholder, *self._fillers):
            if sock is not None:
                sock.close()
        self._listener = self._placeholder = None
        self._fillers.clear()

    def _listen(self) -> None:
        if self._listener is None:
            self._deaf()
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
            listener.setblocking(False)
            self._listener = listener


def _ways(way: Way) -> tuple[Literal["to_client", "to_venue"], ...]:
    return BOTH if way == "both" else (way,)
