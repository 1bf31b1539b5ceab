"""Time, chance and threads for one tree: the only place of supervision that touches them.

`Runtime` is the port; `ThreadRuntime` is production; `connector.testing.deterministic` has the one for tests. A runtime
never looks at messages or decides anything. Timer callbacks run on its one timer thread and must only post.
"""

import heapq
import itertools
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any, Protocol

from connector.supervision.futures import Reply

__all__ = ["Flag", "Loop", "Runtime", "ThreadHandle", "ThreadRuntime", "TimerHandle"]


class Flag(Protocol):
    """What `threading.Event` offers."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class ThreadHandle(Protocol):
    """A thread, or what stands for one."""

    @property
    def name(self) -> str: ...
    def is_alive(self) -> bool: ...
    def join_s(self, timeout_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        ...

    def stack(self) -> str:
        """Where it is right now, as text; "" when it has ended."""
        ...

    def inject(self, error: type[Exception]) -> bool:
        """Ask the interpreter to raise `error` in it some time; whether that was possible."""
        ...


class Loop(Protocol):
    """Something with a thread of its own: `run` is all of it, `step` one piece of it (False: it is over)."""

    def run(self) -> None: ...
    def step(self) -> bool: ...
    def runnable(self) -> bool: ...


class Runtime(Protocol):
    def monotonic_s(self) -> float: ...
    def time_ns(self) -> int: ...
    def random(self) -> float: ...
    def call_later(self, delay_s: float, callback: Callable[[], None], *, background: bool = False) -> TimerHandle: ...
    def run_loop(self, name: str, loop: Loop) -> ThreadHandle: ...
    def run(self, name: str, body: Callable[[], Generator[Any, Any, Any] | None]) -> ThreadHandle: ...
    def make_reply(self) -> Reply: ...
    def make_flag(self) -> Flag: ...
    def close(self) -> None: ...


class _Timer:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback, self.cancelled = callback, False

    def cancel(self) -> None:
        self.cancelled = True


class _Thread(threading.Thread):
    def join_s(self, timeout_s: float) -> bool:
        if self is threading.current_thread():
            return False
        self.join(max(0.0, min(timeout_s, threading.TIMEOUT_MAX)))
        return not self.is_alive()

    def stack(self) -> str:
        frame = sys._current_frames().get(self.ident or 0)
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def inject(self, error: type[Exception]) -> bool:
        import ctypes  # opt-in only; nobody else pays for it

        if self.ident is None or not self.is_alive():
            return False
        set_async = ctypes.pythonapi.PyThreadState_SetAsyncExc
        return int(set_async(ctypes.c_ulong(self.ident), ctypes.py_object(error))) == 1


class ThreadRuntime:
    """Daemon threads, the system's clocks, one timer thread that starts with the first timer.

    Args:
        seed: of the generator behind backoff jitter; None takes one from the system.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.monotonic_s = time.monotonic
        self.time_ns = time.time_ns
        self.random = random.Random(seed).random
        self.make_reply = Reply
        self.make_flag = threading.Event
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._wake = threading.Condition(threading.Lock())  # protects _timers, _thread and _closed; no calls inside
        self._thread: threading.Thread | None = None
        self._closed = False

    # -- threads
    def run_loop(self, name: str, loop: Loop) -> ThreadHandle:
        return self._start(name, loop.run)

    def run(self, name: str, body: Callable[[], Generator[Any, Any, Any] | None]) -> ThreadHandle:
        def whole() -> None:
            steps = body()
            if steps is not None:
                for _ in steps:
                    pass

        return self._start(name, whole)

    def _start(self, name: str, target: Callable[[], None]) -> _Thread:
        thread = _Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    # -- timers
    def call_later(self, delay_s: float, callback: Callable[[], None], *, background: bool = False) -> TimerHandle:
        timer = _Timer(callback)
        due_s = self.monotonic_s() + max(0.0, delay_s)
        with self._wake:
            if self._closed:
                timer.cancelled = True
                return timer
            heapq.heappush(self._timers, (due_s, next(self._order), timer))
            first = self._timers[0][2] is timer
            if self._thread is None:
                self._thread = threading.Thread(target=self._run_timers, name="connector:timers", daemon=True)
                self._thread.start()
            elif first:
                self._wake.notify()
        return timer

    def _run_timers(self) -> None:
        while True:
            with self._wake:
                while not self._closed:
                    if not self._timers:
                        self._wake.wait()
                        continue
                    wait_s = self._timers[0][0] - self.monotonic_s()
                    if wait_s <= 0 or self._timers[0][2].cancelled:
                        break
                    self._wake.wait(min(wait_s, threading.TIMEOUT_MAX))
                if self._closed:
                    return
                timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                try:
                    timer.callback()
                except Exception as error:  # noqa: BLE001 - one callback must not end every other timer of the tree
                    hook = threading.excepthook
                    hook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread)))

    def close(self) -> None:
        """Forget every timer and end the timer thread. Further timers never fire."""
        with self._wake:
            self._closed = True
            self._timers.clear()
            thread, self._thread = self._thread, None
            self._wake.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)
