"""The same actors and supervisors in one thread: same seed, same trace.

`DeterministicRuntime` stands in for threads and clocks. Each incarnation, subscriber and spawned thread is a task; a
seeded generator picks which of the runnable ones takes its next step (a start, one message, one `yield`). Time is fake
and jumps to the next timer when nobody can run. Nothing ever sleeps.

How to use: `runtime = DeterministicRuntime(seed)`, `start_tree(spec, runtime=runtime)`, then the usual calls. Whatever
waits (`ask`, `Reply.get`, `stop`, `cancelled.wait`, `join_s`) runs the others meanwhile, time included, until it has
what it waits for or its deadline has passed. `run_until_idle()` runs until only the clock could bring anything new;
`advance(seconds)` moves the clock through every timer on the way. A handler that "hangs" is one that waits for longer
than its limit: `self.context.cancelled.wait(60)`.

Waits nest: while a handler waits, others take their steps inside that wait, and it goes on only when those steps are
over. So one that waits long (a hang played with `cancelled.wait`) holds up whoever was waiting around it; prefer timers
and `yield` to long waits in actors under test.

What it cannot show: two steps at the same instant. A step is indivisible unless it waits. A spawned target that is a
generator function gives way at each `yield`; any other runs to its end in one step, or until it waits.
Stack evidence of a hung task is empty here, and an injected exception is refused.

All of it belongs to the one thread that made it.
"""

import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from connector.supervision.futures import Reply, here
from connector.supervision.runtime import Loop
from connector.testing.clocks import FakeClock

__all__ = ["DeterministicRuntime"]


class _Task:
    """One loop or one spawned body, as a thread handle."""

    def __init__(self, runtime: "DeterministicRuntime", name: str, loop: Loop) -> None:
        self._runtime, self.name, self.loop = runtime, name, loop
        self.over = False

    def is_alive(self) -> bool:
        return not self.over

    def join_s(self, timeout_s: float) -> bool:
        return self._runtime.run_while(lambda: not self.over, timeout_s)

    def stack(self) -> str:
        return ""

    def inject(self, error: type[Exception]) -> bool:
        return False


class _Body:
    """A spawned target as a loop."""

    def __init__(self, body: Callable[[], Generator[Any, Any, Any] | None]) -> None:
        self._body = body
        self._steps: Generator[Any, Any, Any] | None = None
        self._begun = False

    def run(self) -> None:
        while self.step():
            pass

    def runnable(self) -> bool:
        return True

    def step(self) -> bool:
        if not self._begun:
            self._begun = True
            self._steps = self._body()
        if self._steps is None:
            return False
        try:
            next(self._steps)
        except StopIteration:
            return False
        return True


class _Timer:
    __slots__ = ("background", "callback", "cancelled")

    def __init__(self, callback: Callable[[], None], background: bool) -> None:
        self.callback, self.background, self.cancelled = callback, background, False

    def cancel(self) -> None:
        self.cancelled = True


class _Flag:
    def __init__(self, runtime: "DeterministicRuntime") -> None:
        self._runtime, self._set = runtime, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._runtime.run_while(lambda: not self._set, timeout)


class Deadlock(AssertionError):
    """Somebody waits without a deadline and nothing can happen any more."""


class DeterministicRuntime:
    """See the module.

    Args:
        seed: decides every choice among runnable tasks and every random number.
        clock: the fake clock; a new one by default.
        max_steps: a run that takes more steps without returning is taken for an endless loop.
        keep_trace: how many of the newest steps `trace` holds; None holds all. `trace_hash` is of all of them, always.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        clock: FakeClock | None = None,
        max_steps: int = 1_000_000,
        keep_trace: int | None = None,
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.monotonic_s, self.time_ns = self.clock.monotonic_s, self.clock.time_ns
        self.seed = seed
        self.trace: deque[str] = deque(maxlen=keep_trace)
        self.steps = 0
        self._fingerprint = hashlib.sha256()
        self._choose = random.Random(seed)
        self.random = random.Random(seed + 1).random  # apart, so that a drawn number does not change the schedule
        self._tasks: list[_Task] = []
        self._running: list[_Task] = []  # tasks whose step is under way, the innermost last
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._max_steps = max_steps
        runtime = self

        class _Reply(Reply):
            """A reply whose waiter runs the others."""

            def _wait(self, seconds: float) -> bool:
                return runtime.run_while(lambda: not self._done, seconds)

        self.make_reply: Callable[[], Reply] = _Reply

    def __repr__(self) -> str:
        return f"<DeterministicRuntime seed={self.seed} {self.clock!r} {self.steps} steps>"

    def latest(self, count: int) -> list[str]:
        """The newest steps."""
        return list(self.trace)[-count:]

    @property
    def trace_hash(self) -> str:
        """A short fingerprint of every step so far."""
        return self._fingerprint.copy().hexdigest()[:16]

    def _note(self, step: str) -> None:
        self._fingerprint.update(f"\n{step}".encode() if self.steps else step.encode())
        self.steps += 1
        self.trace.append(step)

    # ------------------------------------------------------------------ the port
    def make_flag(self) -> _Flag:
        return _Flag(self)

    def call_later(self, delay_s: float, callback: Callable[[], None], *, background: bool = False) -> _Timer:
        timer = _Timer(callback, background)
        heapq.heappush(self._timers, (self.monotonic_s() + max(0.0, delay_s), next(self._order), timer))
        return timer

    def run_loop(self, name: str, loop: Loop) -> _Task:
        task = _Task(self, name, loop)
        self._tasks.append(task)
        return task

    def run(self, name: str, body: Callable[[], Generator[Any, Any, Any] | None]) -> _Task:
        return self.run_loop(name, _Body(body))

    def close(self) -> None:
        self._timers.clear()

    # ------------------------------------------------------------------ running
    def run_until_idle(self) -> int:
        """Run until nobody has anything to do without the clock moving. Returns the number of steps."""
        steps = 0
        while self._step():
            steps += 1
            if steps > self._max_steps:
                raise Deadlock(f"still not idle after {steps} steps; the last: {self.latest(3)}")
        return steps

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass: every task and every timer on the way runs at its time."""
        self.run_while(lambda: True, seconds)

    def run_while(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Run, time included, until `condition` is false (True) or `timeout_s` have passed (False).

        Raises:
            Deadlock: no deadline, and only recurring background timers are left.
        """
        until_s = None if timeout_s is None else self.monotonic_s() + max(0.0, timeout_s)
        steps = 0
        while condition():
            steps += 1
            if steps > self._max_steps:
                raise Deadlock(f"still waiting after {steps} steps; the last: {self.latest(3)}")
            if self._step():
                continue
            if not self._fire_next(until_s):
                return not condition()
        return True

    @property
    def threads(self) -> tuple[str, ...]:
        """Names of the tasks that have not ended."""
        return tuple(task.name for task in self._tasks)

    def _step(self) -> bool:
        runnable = [task for task in self._tasks if task not in self._running and task.loop.runnable()]
        if not runnable:
            return False
        task = runnable[0] if len(runnable) == 1 else self._choose.choice(runnable)
        self._note(f"{self.monotonic_s():.6f} {task.name}")
        self._running.append(task)
        waiting, here.incarnation = (
            here.incarnation,
            None,
        )  # on a thread of its own, it would not be inside who waits here
        try:
            alive = task.loop.step()
        finally:
            here.incarnation = waiting
            self._running.remove(task)
        if not alive:
            task.over = True
            self._tasks.remove(task)
        return True

    def _fire_next(self, until_s: float | None) -> bool:
        """Move the clock to the next timer and fire it; False when that is beyond `until_s`, or there is none."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if until_s is None and all(timer.background or timer.cancelled for _, _, timer in self._timers):
            raise Deadlock(f"nothing can happen any more; alive: {self.threads}; last steps: {self.latest(5)}")
        if not self._timers or (until_s is not None and self._timers[0][0] > until_s):
            assert until_s is not None
            self.clock.advance_to(until_s)
            return False
        due_s, number, timer = heapq.heappop(self._timers)
        self.clock.advance_to(due_s)
        if not timer.background:
            self._note(f"{due_s:.6f} timer {number}")
        waiting, here.incarnation = here.incarnation, None  # timers have a thread of their own
        try:
            timer.callback()
        finally:
            here.incarnation = waiting
        return True
