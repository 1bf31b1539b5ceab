"""Wait for a socket, for a call from another thread, or for a deadline, whichever comes first. Waits on the caller's thread only.

This is the one place where a thread of a transport sleeps on a socket. It reads no bytes but its own wake-up byte, and
it opens nothing but the pair of sockets the wake-up travels through, so it works alike on Linux, macOS and Windows.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

__all__ = ["Waiter"]

_SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Waiter:
    """One thread waits, any thread wakes it. A wake-up before the wait is not lost: the next wait returns at once.

    Attributes:
        interrupted: True for good once `interrupt` was called; whoever waits gives up instead of waiting again.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._selector = _SELECTOR()
        self._selector.register(self._near, selectors.EVENT_READ)
        self._watched: tuple[socket.socket, int] | None = None
        self._closed = False
        self._lock = threading.Lock()  # protects the pair against being closed under a waker; never held while waiting

    def wake(self) -> None:
        """End the current wait, or the next one. From any thread, at any time, also after `close`."""
        with self._lock:
            if self._closed:
                return
            with contextlib.suppress(BlockingIOError):  # full: as many wake-ups wait as it can hold, one is enough
                self._far.send(b"\0")

    def interrupt(self) -> None:
        """Call off whatever the waiting thread waits for, now and in future. From any thread."""
        self.interrupted = True
        self.wake()

    def wait(self, sock: socket.socket | None, timeout_s: float, *, write: bool = False) -> bool:
        """True when `sock` can be read (or written); False when woken or out of time.

        Args:
            sock: an open socket; None waits for a wake-up alone.
            timeout_s: at most so long; zero or less only looks.
        """
        self._watch(sock, selectors.EVENT_WRITE if write else selectors.EVENT_READ)
        ready = False
        for key, _ in self._selector.select(max(timeout_s, 0.0)):
            if key.fileobj is self._near:
                self._drain()
            else:
                ready = True
        return ready

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._near.recv(64):
                pass

    def _watch(self, sock: socket.socket | None, events: int) -> None:
        if self._watched is not None and self._watched[0] is sock:
            if self._watched[1] != events:
                self._selector.modify(self._watched[0], events)
                self._watched = (self._watched[0], events)
            return
        self.forget()
        if sock is not None:
            self._selector.register(sock, events)
            self._watched = (sock, events)

    def forget(self) -> None:
        """Stop looking at the socket watched last. To be called before it is closed or handed to somebody else."""
        if self._watched is not None:
            self._selector.unregister(self._watched[0])
            self._watched = None

    def close(self) -> None:
        """Give the sockets back; only by the waiting thread. Later calls of `wake` do nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._selector.close()
                self._near.close()
                self._far.close()
