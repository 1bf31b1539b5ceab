"""One end of a socket between two processes: whole packets, in order, never blocking whoever sends.

A packet is any bytes; on the wire its length goes before it. `send` hands it to the kernel at once when there is room, and
leaves the rest to the writer, a thread its owner starts with `write`. What waits is counted in bytes: the line drops nothing
and bounds nothing by itself, those who fill it do. Reading is `take`, on one thread at a time. The end of the other process
ends both with a `LineEnded`, which is not an error by itself.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import deque
from contextlib import suppress

__all__ = ["Line", "LineEnded", "adopt", "pair"]

_LENGTH = struct.Struct("<I")
READ_BYTES = 256 * 1024
KERNEL_BYTES = 1024 * 1024
"""Asked of the kernel for each direction; it may give less."""


LOOKS_S = 1.0
"""A reader that may wait for longer than this waits in the read itself, one call instead of two, and looks up so often."""
_TIMEVAL = struct.Struct("@ll")


class LineEnded(Exception):
    """The other end is gone, or this one was shut down."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new line; inherited by no process that is not handed one."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    return ours, theirs


def adopt(descriptor: int) -> Line:
    """The end this process was handed."""
    return Line(socket.socket(fileno=descriptor))


class Line:
    """One end. `send` and `shutdown` on any thread, `write` and `take` on one each.

    Args:
        users: 2 where both `write` and `take` are used, 1 where one of them is. The last to see the end gives the socket back.
    """

    def __init__(self, end: socket.socket, users: int = 2) -> None:
        self._end, self._users = end, users
        self._lock = threading.Lock()  # guards what follows, and the order on the wire; a send under it never blocks
        self._waiting: deque[memoryview] = deque()
        self._bytes = 0
        self._is_writing = False  # the writer holds the beginning of what waits
        self._bell = threading.Event()
        self._ended = False
        self._buffer = bytearray(READ_BYTES)  # what was read; the reader's alone
        self._start = self._stop = 0
        self._is_read = False  # to its end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._looks_s = LOOKS_S
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(LOOKS_S), 0))
        except OSError:  # a system that writes times in another form: there, it waits first and reads then
            self._looks_s = float("inf")

    @property
    def backlog(self) -> int:
        """Bytes that wait for the kernel to take them."""
        return self._bytes

    @property
    def is_ended(self) -> bool:
        return self._ended

    def send(self, packet: bytes) -> None:
        """Send it, now or as soon as the other end reads. Never blocks.

        Raises:
            LineEnded: it will not arrive.
        """
        whole, sent = _LENGTH.pack(len(packet)) + packet, 0
        with self._lock:
            if self._ended:
                raise LineEnded("the line has ended")
            if not self._waiting and not self._is_writing:
                try:
                    sent = self._end.send(whole, socket.MSG_DONTWAIT)
                except (BlockingIOError, InterruptedError):
                    pass
                except OSError as lost:
                    self._ended = True
                    raise LineEnded(f"the line has ended: {lost}") from lost
                if sent == len(whole):
                    return
            view = memoryview(whole)[sent:]
            self._waiting.append(view)
            self._bytes += len(view)
        self._bell.set()

    def write(self) -> None:
        """Send what waits, until the line ends. The body of the writer's thread."""
        while True:
            self._bell.wait()
            self._bell.clear()
            while self._write_one():
                pass
            if self._ended:
                self._leave()
                return

    def _write_one(self) -> bool:
        with self._lock:
            if not self._waiting or self._ended:
                return False
            view, self._is_writing = self._waiting.popleft(), True
        try:
            self._end.sendall(view)
        except OSError:
            self._ended = True
        with self._lock:
            self._bytes -= len(view)
            self._is_writing = False
        return not self._ended

    def take(self, within_s: float | None = None) -> memoryview | None:
        """The next packet, in order; None when the line has ended. Good until the next is taken, on one thread at a time.

        Raises:
            TimeoutError: none came within so many seconds; None waits for ever.
        """
        while True:
            start, end = self._start, self._stop
            wanted = 4
            if end - start >= 4:
                wanted += _LENGTH.unpack_from(self._buffer, start)[0]
                if end - start >= wanted:
                    self._start = start + wanted
                    return memoryview(self._buffer)[start + 4 : start + wanted]
            if start == end:
                start = end = 0
            if start + wanted > len(self._buffer) or end == len(self._buffer):
                # A new one: packets taken before may still be looked at.
                kept = self._buffer[start:end]
                self._buffer = kept + bytearray(max(READ_BYTES, wanted) - len(kept))
                start, end = 0, len(kept)
            if self._is_read:
                return None
            self._start, self._stop = start, end
            if within_s is not None and within_s <= self._looks_s and not self._poll.poll(max(0.0, within_s) * 1000.0):
                raise TimeoutError(f"no packet within {within_s} s")
            try:
                got = self._end.recv_into(memoryview(self._buffer)[end:])
            except InterruptedError:
                got = -1
            except BlockingIOError:
                got = -1
                if within_s is not None:
                    within_s -= LOOKS_S
            except OSError:
                got = 0
            if not got:
                self._ended = self._is_read = True
                self._bell.set()
                self._leave()
                return None
            self._start, self._stop = start, end + max(0, got)

    def has_unread(self) -> bool:
        """Whether something has arrived that nobody took yet; the end of the other side counts as something."""
        with self._lock:
            if self._end.fileno() < 0:
                return False
            poll = select.poll()  # its own: the reader may be in the other
            poll.register(self._end, select.POLLIN)
            return bool(poll.poll(0))

    def shutdown(self) -> None:
        """End it now: readers and writers on it return. Any thread, any number of times."""
        self._ended = True
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._bell.set()

    def abandon(self) -> None:
        """For a reader that cannot go on: end the line, and read it no more."""
        self.shutdown()
        while self.take() is not None:
            pass

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._end.close()

    def __repr__(self) -> str:
        return f"<Line {'ended' if self._ended else 'up'} backlog={self._bytes}>"
