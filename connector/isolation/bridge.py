"""What the engine's process keeps of a venue's process over all of its lives: asks on their way, and how it was last heard.

An ask made while no life is up waits, in order and within a bound, as in the inbox of an actor that is being restarted. One
that was sent ends with the answer, with `Restarted` when the life ends first (its effect is unknown: an order may have been
placed), or with the caller's patience.

Answers come over a line of their own. A thread that waits for one reads them itself as long as nobody else does, which saves a
change of threads; `read` does it for all others, on a thread of the host. It starts no process and runs no code of an engine.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from connector.isolation.line import Line, LineEnded
from connector.isolation.wire import ask_packet, read_reply, tell_packet
from connector.supervision import InboxFull, Reply, Restarted, Stopped

__all__ = ["Bridge", "Pulse"]

WAITING = 100_000
"""Messages that may wait for the next life; as many as an actor's inbox takes."""


class Pulse(msgspec.Struct, frozen=True):
    """How the venue's process is, as it says several times a second.

    Attributes:
        at_s: when it was sent (monotonic, the same clock in both processes).
        counters, alarms, budget, health: as of `VenueSnapshot`.
        tree: the live tree over there, as text.
        threads: of that process. waiting: values of market data on their way out. dropped: those lost on it.
        switch_interval_s: of that process.
    """

    at_s: float
    counters: dict[str, int]
    alarms: dict[str, int]
    budget: str
    health: dict[str, str]
    tree: str
    threads: int
    waiting: int
    dropped: int
    switch_interval_s: float


class Bridge:
    """See the module.

    Attributes:
        name: of the venue.
        lives: how many processes were started so far.
        pid: of the one there is; None between two.
        pulse: the newest; None before the first of this life.
        heard_s: when anything was last heard of this life (monotonic); None before the first.
        ended: why the last life ended, in words; "" before the first end.
        is_account_known: what the account's store held before the first life is known. Writer: the control reader.
        is_watched: somebody will call `close` when there is no further life.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lives = 0
        self.pid: int | None = None
        self.pulse: Pulse | None = None
        self.heard_s: float | None = None
        self.ended = ""
        self.is_account_known = self.is_watched = False
        self._lock = threading.Lock()  # guards what follows; sending under it never blocks
        self._life: object = None
        self._line: Line | None = None
        self._reading = threading.Lock()  # whoever holds it reads answers
        self._unread = threading.Event()  # somebody waits for an answer and nobody may be reading
        self._number = 0
        self._sent: dict[int, tuple[Reply, int]] = {}
        self._waiting: deque[tuple[int, bytes, Reply | None]] = deque()
        self._closed: Callable[[], Exception] | None = None
        self._counters_before: dict[str, int] = {}
        self._alarms_before: dict[str, int] = {}

    # ------------------------------------------------------------ engines, any thread

    def ask(self, target: int, sealed: bytes, reply: Reply) -> int:
        """Send a message that is answered; the number to `forget` it by.

        Raises:
            Stopped, InboxFull: it was not taken.
        """
        with self._lock:
            line = self._admit()
            self._number += 1
            number = self._number
            if line is None:
                self._waiting.append((target, sealed, reply))
                return number
            self._sent[number] = (reply, target)
        try:
            line.send(ask_packet(target, number, _deadline(reply), sealed))
        except LineEnded:  # certain: it was not sent, and waits for the next life
            with self._lock:
                if self._sent.pop(number, None) is not None:
                    self._waiting.append((target, sealed, reply))
        return number

    def wait(self, reply: Reply, seconds: float, monotonic_s: Callable[[], float]) -> bool:
        """Wait for the end of an ask that was sent; whether it has come."""
        line = self._line
        # Not on the main thread: Python raises Ctrl-C there, between any two steps of reading.
        if (
            line is not None
            and threading.current_thread() is not threading.main_thread()
            and self._reading.acquire(blocking=False)
        ):
            until_s = monotonic_s() + seconds
            try:
                while not reply.is_set() and seconds > 0.0:
                    packet = line.take(seconds)
                    if packet is None:
                        break
                    self._answered(*read_reply(packet))
                    seconds = until_s - monotonic_s()
            except TimeoutError:
                seconds = 0.0
            except BaseException:
                line.shutdown()  # it may have been stopped in the middle of a packet: nothing after that can be read
                self._unread.set()
                raise
            finally:
                self._reading.release()
            if self._sent:
                self._unread.set()
        else:
            self._unread.set()
        return reply.is_set() or reply._wait(max(0.0, seconds))

    def read(self, line: Line) -> None:
        """Read answers whenever somebody waits for one and does not do so himself; until the line ends."""
        while not line.is_ended:
            self._unread.wait()
            self._unread.clear()
            with self._reading:
                while self._sent and (packet := line.take()) is not None:
                    self._answered(*read_reply(packet))
        line.abandon()

    def look(self) -> None:
        """An ask was sent that nobody waits for right now."""
        self._unread.set()

    def tell(self, target: int, sealed: bytes) -> None:
        """Send a message that is not answered.

        Raises:
            Stopped, InboxFull: it was not taken.
        """
        with self._lock:
            line = self._admit()
            if line is None:
                self._waiting.append((target, sealed, None))
                return
        try:
            line.send(tell_packet(target, sealed))
        except LineEnded:
            with self._lock:
                self._waiting.append((target, sealed, None))

    def _admit(self) -> Line | None:
        if self._closed is not None:
            raise self._closed()
        if self._line is None and len(self._waiting) >= WAITING:
            raise InboxFull(f"{self.name}: {WAITING} messages wait for its process to come back, as many as are kept.")
        return self._line

    def _send(self, line: Line, packet: bytes) -> None:
        with suppress(LineEnded):  # the end of the life answers it
            line.send(packet)

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            self._sent.pop(number, None)

    @property
    def unanswered(self) -> int:
        """Asks that were sent and have not ended."""
        return len(self._sent)

    @property
    def is_up(self) -> bool:
        """Whether a life is there that takes messages."""
        return self._line is not None

    # ------------------------------------------------------------ the host

    def begin(self, life: object, pid: int) -> None:
        """A process was started; whatever became of the one before, nothing is heard of that any more."""
        if self._life is not None:
            self.life_ended(self._life, "its owner was replaced")
        self._life = life
        self.lives += 1
        self.pid = pid
        with self._lock:
            self._closed = None

    def open(self, line: Line) -> None:
        """A life is up: send what waited, in order."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._line = line
                    self._unread.set()
                    return
                target, sealed, reply = self._waiting.popleft()
                if reply is not None:
                    if reply.is_set():
                        continue
                    self._number += 1
                    number = self._number
                    self._sent[number] = (reply, target)
            self._send(
                line,
                tell_packet(target, sealed) if reply is None else ask_packet(target, number, _deadline(reply), sealed),
            )

    def _answered(self, number: int, value: Any, error: BaseException | None) -> None:
        with self._lock:
            found = self._sent.pop(number, None)
        if found is None:
            return
        if error is None:
            found[0].set(value)
        else:
            found[0].fail(error)

    def hears(self, pulse: Pulse) -> None:
        self.pulse = pulse

    def life_ended(self, life: object, reason: str, cause: BaseException | None = None) -> None:
        """No answer will come from this life any more. One that was replaced meanwhile changes nothing."""
        with self._lock:
            if life is not self._life:
                return
            self._life = self._line = None
            sent, self._sent = self._sent, {}
            pulse, self.pulse, self.heard_s, self.pid, self.ended = self.pulse, None, None, None, reason
            if pulse is not None:
                _add(self._counters_before, pulse.counters)
                _add(self._alarms_before, pulse.alarms)
        self._unread.set()
        for reply, _ in sent.values():
            error = Restarted(
                f"the process of {self.name} ended with this message in hand; its effect is unknown: {reason}"
            )
            error.__cause__ = cause
            reply.fail(error)

    def refuse_waiting(self, error: BaseException) -> None:
        """The process cannot start, for a reason that an operator has to remove: those who wait are told."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for _, _, reply in waiting:
            if reply is not None:
                reply.fail(error)

    def close(self, why: str) -> None:
        """There will be no further life: nothing is taken any more, and what waited for one ends."""

        def stopped() -> Exception:
            return Stopped(f"{self.name} has stopped ({why}); the message was not handled.")

        with self._lock:
            self._closed = stopped
            self.is_watched = False
        self.refuse_waiting(stopped())

    def counters(self) -> dict[str, int]:
        """Of all lives together."""
        return _sum(self._counters_before, {} if self.pulse is None else self.pulse.counters)

    def alarms(self) -> dict[str, int]:
        """Of all lives together."""
        return _sum(self._alarms_before, {} if self.pulse is None else self.pulse.alarms)

    def __repr__(self) -> str:
        return f"<Bridge {self.name} {'up' if self.is_up else 'down'} life={self.lives} pid={self.pid} asks={len(self._sent)}>"


def _deadline(reply: Reply) -> float:
    return float("inf") if reply.deadline_s is None else reply.deadline_s


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    total = dict(one)
    _add(total, other)
    return dict(sorted(total.items()))
