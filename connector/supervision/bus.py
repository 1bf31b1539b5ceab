"""Carries tree events, watch notices and dead letters to whoever wants them.

Every subscriber has a thread of its own and a bounded queue: one that raises, hangs or is slow loses its own events
(counted) and changes nothing for anybody else. Emitting never blocks and never runs user code.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connector.supervision.inbox import Entry
from connector.supervision.reasons import safe_repr
from connector.supervision.runtime import Runtime, ThreadHandle

__all__ = ["DeadLetter", "DeadLetters", "Subscription"]

_END = object()


class Subscription:
    """One callback on one thread. `dropped`: events lost because it was too slow; `failures`: times it raised."""

    def __init__(self, callback: Callable[..., object], capacity: int | None) -> None:
        self._callback, self._capacity = callback, capacity
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = False
        self.dropped = self.failures = 0
        self.last_error: BaseException | None = None
        self.thread: ThreadHandle | None = None

    def start(self, runtime: Runtime, name: str) -> "Subscription":
        self.thread = runtime.run_loop(name, self)
        return self

    def offer(self, *arguments: Any) -> None:
        if self._closed:
            return
        if self._capacity is not None and self._queue.qsize() >= self._capacity:
            self.dropped += 1
        else:
            self._queue.put(arguments)

    def close(self) -> None:
        """Take no more; what is queued is still delivered, then the thread ends."""
        if not self._closed:
            self._closed = True
            self._queue.put(_END)

    # -- its own thread
    def run(self) -> None:
        while self._deliver(self._queue.get()):
            pass

    def runnable(self) -> bool:
        return not self._queue.empty()

    def step(self) -> bool:
        return self._deliver(self._queue.get_nowait())

    def _deliver(self, arguments: Any) -> bool:
        if arguments is _END:
            return False
        try:
            self._callback(*arguments)
        except BaseException as error:  # noqa: BLE001 - a failing hook is its own problem: counted and kept
            self.failures += 1
            self.last_error = error
        return True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody handled: `message` is its repr, cut."""

    path: str
    message: str
    why: str


class DeadLetters:
    """Counts every lost tell; keeps the last hundred as text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects both; arithmetic and appends only
        self._count = 0
        self._recent: deque[DeadLetter] = deque(maxlen=100)

    @property
    def count(self) -> int:
        return self._count

    def recent(self) -> tuple[DeadLetter, ...]:
        with self._lock:
            return tuple(self._recent)

    def add(self, path: str, why: str, letters: list[Entry]) -> None:
        shown = [DeadLetter(path, safe_repr(message), why) for message, _ in letters[-20:]]
        with self._lock:
            self._count += len(letters)
            self._recent.extend(shown)
