"""Links over websocket-client: pure Python, runs wherever Python runs. One link is one reader thread and one keeper thread.

The reader ("connector:<name>") connects, upgrades, reads, answers pings and calls the handler. The keeper
("connector:<name>:keeper") lives while the link is open: it pings by its own clock and finishes sends the socket did not
take at once, so neither depends on what the reader or the handler is doing. Nobody ever blocks in a send.

websocket-client shakes hands, judges every frame that is not a plain whole message, and masks what we send. Plain whole
messages, which is what a venue sends all day, are cut out of the received bytes here: all that arrived together is one
call of the handler. A frame's length is judged before its payload is read. Nothing is decompressed, and text is not
checked to be UTF-8: whoever decodes it does that.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
from typing import Any

import websocket
from websocket import ABNF

from connector.clock import Clock, SystemClock
from connector.errors import LinkError, NotConnected
from connector.transport.contract import Link, LinkHandler, LinkPhase, LinkSettings
from connector.transport.dial import Dialer, in_words
from connector.transport.thread_link import Endpoint, LinkEnded, ThreadLink, checked_endpoint, refused, sendable_close
from connector.transport.upgrade import HEAD_BYTES, read_head

__all__ = ["WebSocketClientLinks"]

_LITTLE_BYTES, _MUCH_BYTES = 16 * 1024, 256 * 1024  # of one read: much while the socket is full, else little
_UNSENT_BYTES = 4 * 1024 * 1024  # more than this waiting for the socket, and a send is refused
_PLAIN = frozenset({0x80 | ABNF.OPCODE_TEXT, 0x80 | ABNF.OPCODE_BINARY})  # whole messages without reserved bits
_MASK_BYTES = 1_024
_RECORD_BYTES = 16 * 1024  # of TLS, at most
_TEXT = 0x80 | ABNF.OPCODE_TEXT
_DATA = frozenset({ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY})
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_NO_STATUS = 1005  # what a close frame without a code stands for
_KEEPER_LOOKS_S = 0.2
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class WebSocketClientLinks:
    """Opens links over websocket-client.

    Args:
        clock: stamps messages and measures deadlines.
        dialer: opens the connections below; one shared by links and HTTP shares name lookups and TLS contexts.
    """

    kind = "websocket-client"

    def __init__(self, clock: Clock | None = None, dialer: Dialer | None = None) -> None:
        self._clock = clock or SystemClock()
        self._dialer = dialer or Dialer(self._clock)

    def open(self, settings: LinkSettings, handler: LinkHandler) -> Link:
        """Start one connection and return at once.

        Raises:
            SettingsError: the settings cannot be used at all; no thread was started.
            LinkError: the system gives no descriptor or no thread for it.
        """
        link = WebSocketClientLink(settings, checked_endpoint(settings), handler, self._dialer, self._clock)
        link._begin()
        return link

    def __repr__(self) -> str:
        return "<WebSocketClientLinks>"


def _text_frame(text: bytes, mask: bytes) -> bytes:
    """One whole text message as a client sends it, masked (RFC 6455, section 5): the library's own takes ten times as long."""
    size = len(text)
    if size < 126:
        head = bytes((_TEXT, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((_TEXT, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, 0x80 | 127)) + size.to_bytes(8, "big")
    pattern = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(text, "little") ^ int.from_bytes(pattern, "little")
    return b"".join((head, mask, masked.to_bytes(size, "little")))


class _Masks:
    """Masks from the system's strong source, drawn many at a time: each draw lets other threads go first."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def next(self) -> bytes:
        while True:
            try:
                return self._drawn.pop()  # atomic: no mask is given to two threads
            except IndexError:
                fresh = os.urandom(_MASK_BYTES)
                self._drawn = [fresh[at : at + 4] for at in range(0, _MASK_BYTES, 4)]


class WebSocketClientLink(ThreadLink):
    """One connection over websocket-client; made by `WebSocketClientLinks.open`."""

    def __init__(
        self, settings: LinkSettings, endpoint: Endpoint, handler: LinkHandler, dialer: Dialer, clock: Clock
    ) -> None:
        super().__init__(settings, endpoint, handler, dialer, clock)
        self._websocket: Any = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        self._wire = _Wire(self)
        self._unsent = bytearray()  # under _lock: accepted by us, not yet by the socket
        self._unsent_since_s = 0.0
        self._send_failure: LinkEnded | None = None
        self._close_deadline_s: float | None = None
        self._close_sent: int | None = None
        self._keeper_due = threading.Event()
        self._keeper: threading.Thread | None = None
        self._read_bytes = _LITTLE_BYTES
        self._fragments: list[bytes] | None = None
        self._fragments_bytes = 0
        self._masks = _Masks()

    # ---------------------------------------------------------------- sending, from any thread

    def send(self, text: bytes) -> None:
        frame = _text_frame(text, self._masks.next())
        with self._lock:
            if self._phase is not LinkPhase.OPEN or self._close_sent is not None:
                raise NotConnected(f"link {self._settings.name} is {self._phase.value}; nothing was sent")
            if len(self._unsent) + len(frame) > _UNSENT_BYTES:
                raise NotConnected(f"link {self._settings.name} takes no more bytes; nothing of this message was sent")
            self._post(frame)
            failure = self._send_failure
        if failure is not None:
            raise LinkError(f"link {self._settings.name} broke while sending; the message may have left")

    def close(self, code: int = 1000, reason: str = "") -> None:
        body = sendable_close(code, reason)
        with self._lock:
            early = self._phase in (LinkPhase.CONNECTING, LinkPhase.UPGRADING)
            if self._phase is LinkPhase.OPEN and self._close_sent is None:
                self._by_us = True
                self._phase = LinkPhase.CLOSING
                self._close_sent = code
                self._close_deadline_s = self._clock.monotonic_s() + self._settings.close_timeout_s
                self._post(ABNF.create_frame(body, ABNF.OPCODE_CLOSE).format())
        if early:
            self.shutdown()
        else:
            self._waiter.wake()  # the reader now waits for the answer, not for the idle deadline

    def _post(self, frame: bytes) -> None:
        """Hand one frame to the socket, what it does not take to the keeper. Under _lock; never waits."""
        if self._unsent:
            self._unsent += frame
            return
        sent = self._write(frame)
        if sent < len(frame):
            self._unsent += frame[sent:]
            self._unsent_since_s = self._clock.monotonic_s()
            self._keeper_due.set()

    def _write(self, data: bytes | bytearray) -> int:  # under _lock
        if self._sock is None or self._send_failure is not None:
            return len(data)
        try:
            if self._endpoint.secure and len(data) > _RECORD_BYTES:
                return self._write_records(self._sock, data)
            return self._sock.send(data)
        except _WOULD_BLOCK:
            return 0
        except OSError as problem:
            self._send_failure = LinkEnded(f"sending failed: {in_words(problem)}", cause=problem.with_traceback(None))
            self._cut()
            return len(data)

    def _write_records(self, sock: socket.socket, data: bytes | bytearray) -> int:
        """Over TLS one send tells nothing of what it sent before all of it is sent; so one record at a time."""
        sent = 0
        with memoryview(data) as whole:
            while sent < len(data):
                with whole[sent : sent + _RECORD_BYTES] as record:
                    try:
                        sent += sock.send(record)
                    except _WOULD_BLOCK:
                        break
        return sent

    # ---------------------------------------------------------------- the keeper's thread

    def _keep(self) -> None:
        every_s = self._settings.ping_every_s
        now_s = self._clock.monotonic_s()
        ping_at_s = None if every_s is None else now_s + every_s
        ping = ABNF.create_frame(b"", ABNF.OPCODE_PING)
        while self._phase in (LinkPhase.OPEN, LinkPhase.CLOSING) and not self._waiter.interrupted:
            wait_s = 60.0 if ping_at_s is None else max(ping_at_s - now_s, 0.0)
            with self._lock:
                stuck = bool(self._unsent)
            if stuck:
                self._wait_writable(min(wait_s, _KEEPER_LOOKS_S))
            else:
                self._keeper_due.wait(wait_s)
                self._keeper_due.clear()
            now_s = self._clock.monotonic_s()
            with self._lock:
                self._send_rest(now_s)
                if ping_at_s is not None and every_s is not None and now_s >= ping_at_s:
                    if (
                        self._phase is LinkPhase.OPEN and not self._unsent
                    ):  # behind a full socket a ping would be no probe
                        self._post(ping.format())
                    ping_at_s = max(ping_at_s + every_s, now_s)

    def _send_rest(self, now_s: float) -> None:  # under _lock
        if not self._unsent:
            return
        sent = self._write(self._unsent)
        if sent:
            del self._unsent[:sent]
            self._unsent_since_s = now_s
        elif now_s - self._unsent_since_s >= self._settings.send_timeout_s:
            self._send_failure = LinkEnded(f"the peer took no byte for {self._settings.send_timeout_s:g} s")
            self._unsent.clear()
            self._cut()

    def _wait_writable(self, timeout_s: float) -> None:
        sock = self._sock  # stays open until the reader has seen this thread end
        if sock is not None:
            with _Selector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                selector.select(timeout_s)

    # ---------------------------------------------------------------- the reader's thread

    def _serve(self) -> None:
        settings = self._settings
        if self._endpoint.secure:
            assert self._sock is not None
            sock = self._sock
            self._hold(None)  # from here it belongs to the handshake, which closes it when refused
            self._hold(
                self._dialer.start_tls(sock, self._endpoint.host, settings.tls, self._connect_deadline_s, self._waiter)
            )
        self._move(LinkPhase.UPGRADING)
        self._upgrade()
        self._move(LinkPhase.OPEN)
        self._keeper = threading.Thread(target=self._keep, name=f"{self._thread.name}:keeper", daemon=True)
        self._keeper.start()
        try:
            self._call_opened()
            self._read(self._wire.rest())
        except LinkEnded as end:
            if end.code is not None and self._close_sent is None:
                self._say_goodbye(end)
            raise

    def _release(self) -> None:
        self._keeper_due.set()
        if self._keeper is not None:
            self._keeper.join(2 * _KEEPER_LOOKS_S + 1.0)  # it never waits longer than it looks

    def _upgrade(self) -> None:
        settings = self._settings
        self._wire.begin(self._clock.monotonic_s() + settings.upgrade_timeout_s)
        try:
            self._websocket.connect(
                settings.url,
                socket=self._wire,
                header=[f"{name}: {value}" for name, value in settings.headers.items()],
                suppress_origin=True,
                redirect_limit=0,
            )
        except websocket.WebSocketException as problem:
            raise LinkEnded(f"the upgrade was answered wrongly: {type(problem).__name__}") from None

    def _read(self, data: bytes) -> None:
        """Read until the link ends, which always raises LinkEnded."""
        received_ns = self._clock.time_ns()
        partial = bytearray()  # of one message that did not arrive whole
        missing = 0
        while True:
            if data:
                if partial:
                    partial += data
                    data = b""
                    if len(partial) >= missing:
                        data = bytes(partial)
                        partial.clear()
                if data:
                    frames: list[bytes] = []
                    try:
                        used, missing = self._split(data, frames)
                    finally:
                        if frames:
                            self._call_handler(frames, received_ns)
                    if used < len(data):
                        partial += memoryview(data)[used:]
            data = self._receive()
            received_ns = self._clock.time_ns()

    def _split(self, data: bytes, frames: list[bytes]) -> tuple[int, int]:
        """Append the whole messages in `data`; answer what is used up, and how many bytes the next frame needs at least.

        Raises:
            LinkEnded: a close frame, a frame against the protocol or a message too long; what stood before is in `frames`.
        """
        at, end = 0, len(data)
        limit = self._settings.max_message_bytes
        while end - at >= 2:
            first, size = data[at], data[at + 1]
            if size < 126:
                start = at + 2
            elif size == 126:
                start = at + 4
                if start > end:
                    return at, 4
                size = data[at + 2] << 8 | data[at + 3]
            elif size == 127:
                start = at + 10
                if start > end:
                    return at, 10
                size = int.from_bytes(data[at + 2 : start], "big")
            else:
                raise LinkEnded("the peer masked a frame, which servers must not", code=1002)
            if size > limit:
                raise LinkEnded(f"a message of {size} bytes is longer than the {limit} allowed", code=1009)
            stop = start + size
            if stop > end:
                return at, stop - at
            if first in _PLAIN and self._fragments is None:
                frames.append(data[start:stop])
            else:
                self._take_other(data[at:stop], first, size, frames)
            at = stop
        return at, 2

    def _take_other(self, raw: bytes, first: int, size: int, frames: list[bytes]) -> None:
        """One frame that is not a whole message: a control frame, a fragment, or something not allowed."""
        if first & 0x08 and (size > 125 or not first & 0x80):
            raise LinkEnded("a control frame was fragmented or too long", code=1002)
        self._wire.feed(raw)
        try:
            frame = self._websocket.recv_frame()
        except websocket.WebSocketException as problem:
            raise LinkEnded(f"a frame broke the protocol: {problem}", code=1002) from None
        opcode = frame.opcode
        if opcode == ABNF.OPCODE_PING:
            with self._lock:
                if self._close_sent is None and len(self._unsent) < _UNSENT_BYTES:
                    self._post(ABNF.create_frame(frame.data, ABNF.OPCODE_PONG).format())
        elif opcode == ABNF.OPCODE_CLOSE:
            self._take_close(frame.data)
        elif opcode != ABNF.OPCODE_PONG:
            self._take_fragment(opcode, bool(frame.fin), frame.data, frames)

    def _take_fragment(self, opcode: int, last: bool, payload: bytes, frames: list[bytes]) -> None:
        if (opcode in _DATA) == (self._fragments is not None):
            raise LinkEnded("fragments of two messages were mixed", code=1002)
        if self._fragments is None:
            self._fragments, self._fragments_bytes = [], 0
        self._fragments.append(payload)
        self._fragments_bytes += max(len(payload), 1)  # an endless row of empty fragments is too long as well
        if self._fragments_bytes > self._settings.max_message_bytes:
            raise LinkEnded(
                f"a fragmented message is longer than the {self._settings.max_message_bytes} bytes allowed", code=1009
            )
        if last:
            frames.append(b"".join(self._fragments))
            self._fragments = None

    def _take_close(self, body: bytes) -> None:
        code = int.from_bytes(body[:2], "big") if body else _NO_STATUS
        try:
            reason = body[2:].decode()
        except UnicodeDecodeError:
            raise LinkEnded(f"the reason of a close frame with code {code} is not UTF-8", code=1007) from None
        with self._lock:
            ours = self._close_sent is not None
            if not ours:
                self._close_sent = code
                self._post(ABNF.create_frame(body[:2], ABNF.OPCODE_CLOSE).format())
        raise LinkEnded(reason or ("closed by us" if ours else "closed by the peer"), code=code)

    def _say_goodbye(self, end: LinkEnded) -> None:
        assert end.code is not None
        with self._lock:
            self._close_sent = end.code
            self._post(ABNF.create_frame(sendable_close(end.code, ""), ABNF.OPCODE_CLOSE).format())

    def _receive(self) -> bytes:
        """Some bytes from the socket. Raises LinkEnded when the link is over: ended, broken, idle too long, shut down."""
        sock = self._sock
        assert sock is not None
        idle_s = self._settings.idle_timeout_s
        write = False
        while True:
            if self._waiter.interrupted:
                raise LinkEnded("shut down")
            try:
                if self._endpoint.secure:
                    with self._lock:  # TLS keeps one state for both directions
                        data = sock.recv(self._read_bytes)
                else:
                    data = sock.recv(self._read_bytes)
            except _WOULD_BLOCK as reason:
                write = isinstance(reason, ssl.SSLWantWriteError)
            except OSError as problem:
                raise self._broken(problem) from None
            else:
                if not data:
                    raise self._broken(None)
                self._last_received_s = self._clock.monotonic_s()
                self._read_bytes = _MUCH_BYTES if len(data) >= _LITTLE_BYTES else _LITTLE_BYTES
                return data
            now_s = self._clock.monotonic_s()
            assert self._last_received_s is not None
            idle_at_s = self._last_received_s + idle_s
            if self._close_deadline_s is not None and now_s >= self._close_deadline_s:
                raise LinkEnded("the peer did not answer our close frame in time", code=self._close_sent)
            if now_s >= idle_at_s:
                raise LinkEnded(f"nothing was received for {idle_s:g} s: the connection is half-open")
            until_s = idle_at_s if self._close_deadline_s is None else min(idle_at_s, self._close_deadline_s)
            self._waiter.wait(sock, until_s - now_s, write=write)

    def _broken(self, problem: OSError | None) -> LinkEnded:
        if self._waiter.interrupted:
            return LinkEnded("shut down")
        with self._lock:
            if self._send_failure is not None:
                return self._send_failure
        if problem is None:
            return LinkEnded("the peer ended the connection without a close frame", code=self._close_sent)
        return LinkEnded(
            f"the connection broke: {in_words(problem)}", code=self._close_sent, cause=problem.with_traceback(None)
        )


class _Wire:
    """The socket as websocket-client sees it: bytes we received and bounded for it, sends with a deadline, no close."""

    def __init__(self, link: WebSocketClientLink) -> None:
        self._link = link
        self._data, self._at = b"", 0
        self._deadline_s = 0.0
        self._headed = False

    def begin(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    def feed(self, raw: bytes) -> None:
        self._data, self._at = raw, 0

    def rest(self) -> bytes:
        data, self._data, at, self._at = self._data, b"", self._at, 0
        return data[at:]

    def recv(self, count: int) -> bytes:
        if not self._headed:
            self._data = self._read_head()
            self._headed = True
        data = self._data[self._at : self._at + count]
        self._at += len(data)
        return data

    def send(self, data: bytes) -> int:
        link = self._link
        view = memoryview(data)
        sock = link._sock
        assert sock is not None
        while view:
            try:
                view = view[sock.send(view) :]
            except _WOULD_BLOCK:
                link._dialer.wait(sock, self._deadline_s, link._waiter, "the upgrade", write=True)
            except OSError as problem:
                raise LinkEnded(f"the connection broke in the upgrade: {in_words(problem)}") from None
        return len(data)

    def _read_head(self) -> bytes:
        """The answer's head and what follows it; raises LinkEnded unless it is a 101."""
        link = self._link
        sock = link._sock
        assert sock is not None
        raw = bytearray()
        while b"\r\n\r\n" not in raw:
            if len(raw) > HEAD_BYTES:
                raise LinkEnded(f"the upgrade was answered with more than {HEAD_BYTES} bytes of headers")
            if link._clock.monotonic_s() >= self._deadline_s:
                raise LinkEnded(f"the upgrade was not answered in {link._settings.upgrade_timeout_s:g} s")
            try:
                data = sock.recv(_LITTLE_BYTES)
            except _WOULD_BLOCK as reason:
                write = isinstance(reason, ssl.SSLWantWriteError)
                link._dialer.wait(
                    sock, self._deadline_s, link._waiter, "waiting for the answer to the upgrade", write=write
                )
                continue
            except OSError as problem:
                raise LinkEnded(f"the connection broke in the upgrade: {in_words(problem)}") from None
            if not data:
                raise LinkEnded("the peer ended the connection instead of answering the upgrade")
            link._last_received_s = link._clock.monotonic_s()
            raw += data
        head = read_head(bytes(raw))
        if head.status != 101:
            raise refused(head.status, head.headers, link._clock.time_ns())
        lines, _, after = bytes(raw).partition(b"\r\n\r\n")
        kept = (line for line in lines.split(b"\r\n") if not line.lower().startswith(b"set-cookie:"))
        return (
            b"\r\n".join(kept) + b"\r\n\r\n" + after
        )  # its cookie store is shared by the process: we leave nothing there

    def gettimeout(self) -> float:
        return 0.0  # tells websocket-client that all waiting is done here

    def settimeout(self, timeout_s: float | None) -> None:
        pass

    def close(self) -> None:
        pass
