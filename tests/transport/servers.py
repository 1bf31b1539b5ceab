"""Servers that misbehave on command, on loopback, in plain blocking sockets: what a script says is what goes on the wire.

Independent of every WebSocket library, so that a mistake of ours and of the library below cannot agree with each other.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE_S = 10.0
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Gone(Exception):
    """The client ended the connection."""


@dataclass
class Frame:
    fin: bool
    opcode: int
    payload: bytes
    masked: bool

    @property
    def close_code(self) -> int | None:
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else None


def masked(payload: bytes, key: bytes) -> bytes:
    """Apply or take off a mask."""
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def encode(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = False) -> bytes:
    """One frame as bytes; nothing is checked, so that wrong ones can be made."""
    first, second = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0
    if len(payload) < 126:
        head = bytes([first, second | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, second | 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, second | 127]) + len(payload).to_bytes(8, "big")
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + masked(payload, key)


class Peer:
    """The server's end of one connection, driven by a script on a thread of its own."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        self.sock = sock
        self.request = b""
        self._buffer = b""

    def read_some(self) -> bytes:
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as gone:
            raise Gone from gone
        if not data:
            raise Gone
        return data

    def read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self.read_some()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_request(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.read_some()
        self.request, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return self.request

    def header(self, name: str) -> str | None:
        for line in self.request.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.strip().lower() == name.lower():
                return value.strip()
        return None

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError) as gone:
            raise Gone from gone

    def accept_bytes(self, *, extra: str = "", key: str | None = None) -> bytes:
        key = key if key is not None else self.header("sec-websocket-key") or ""
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
        ).encode()

    def upgrade(self, *, extra: str = "") -> Peer:
        self.read_request()
        self.send(self.accept_bytes(extra=extra))
        return self

    def frame(self, opcode: int, payload: bytes = b"", **flags: object) -> None:
        self.send(encode(opcode, payload, **flags))  # type: ignore[arg-type]

    def read_frame(self) -> Frame:
        first, second = self.read_exactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.read_exactly(8), "big")
        key = self.read_exactly(4) if second & 0x80 else b""
        payload = self.read_exactly(size)
        if key:
            payload = masked(payload, key)
        return Frame(bool(first & 0x80), first & 0x0F, payload, bool(key))

    def read_until(self, opcode: int) -> Frame:
        while True:
            frame = self.read_frame()
            if frame.opcode == opcode:
                return frame

    def wait_gone(self) -> None:
        """Read until the client has ended the connection."""
        with contextlib.suppress(Gone):
            while True:
                self.read_some()

    def hold(self, until: threading.Event) -> None:
        """Neither read nor write until told so, or the test has lost its patience."""
        until.wait(PATIENCE_S)

    def reset(self) -> None:
        """End with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], None]


@dataclass
class Server:
    """Accepts on loopback and runs `script` for each connection."""

    script: Script
    tls: ssl.SSLContext | None = None
    accepted: int = 0
    problems: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._peers: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept, name="test-server", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}/stream?token=canary"

    @property
    def http_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self._peers.append(sock)
            if self._stopping:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock,), name="test-server:peer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE_S)
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._peers.append(sock)
            with sock:
                self.script(Peer(sock))
        except (Gone, OSError):
            pass
        except BaseException as problem:
            self.problems.append(problem)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port), PATIENCE_S).close()  # wakes the acceptor
        self._acceptor.join(PATIENCE_S)
        self._listener.close()
        for sock in self._peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for sock in self._peers:
            sock.close()
        if self.problems:
            raise self.problems[0]


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port on loopback where connecting never comes to an end: its queue is full and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


# ---------------------------------------------------------------- proxies


def relay(left: socket.socket, right: socket.socket) -> None:
    """Copy both ways until one side ends."""
    with contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([left, right], [], [], PATIENCE_S)
            if not ready:
                return
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                (right if sock is left else left).sendall(data)


def http_proxy(seen: list[str], *, auth: str | None = None, in_pieces: bool = False) -> Script:
    """CONNECT, with basic authentication when `auth` is "user:password"."""

    def script(peer: Peer) -> None:
        head = peer.read_request().decode()
        seen.append(head.split("\r\n")[0])
        if auth is not None:
            wanted = "Basic " + base64.b64encode(auth.encode()).decode()
            if peer.header("proxy-authorization") != wanted:
                peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        host, _, port = head.split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as onward:
            answer = b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n"
            for piece in [answer[n : n + 7] for n in range(0, len(answer), 7)] if in_pieces else [answer]:
                peer.send(piece)
            relay(peer.sock, onward)

    return script


def socks5_proxy(seen: list[str], *, auth: str | None = None) -> Script:
    """SOCKS5 with CONNECT, by RFC 1928 and 1929."""

    def script(peer: Peer) -> None:
        _, count = peer.read_exactly(2)
        offered = peer.read_exactly(count)
        wanted = 2 if auth is not None else 0
        if wanted not in offered:
            peer.send(b"\x05\xff")
            return
        peer.send(bytes([5, wanted]))
        if auth is not None:
            _, size = peer.read_exactly(2)
            user = peer.read_exactly(size).decode()
            (size,) = peer.read_exactly(1)
            good = f"{user}:{peer.read_exactly(size).decode()}" == auth
            peer.send(bytes([1, 0 if good else 1]))
            if not good:
                return
        _, _, _, kind = peer.read_exactly(4)
        if kind == 3:
            host = peer.read_exactly(peer.read_exactly(1)[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, peer.read_exactly(size))
        port = int.from_bytes(peer.read_exactly(2), "big")
        seen.append(f"{kind}:{host}:{port}")
        with socket.create_connection((host, port), PATIENCE_S) as onward:
            peer.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            relay(peer.sock, onward)

    return script
