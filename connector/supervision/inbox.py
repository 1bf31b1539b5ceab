"""One inbox per child, shared by all its incarnations: many producers, one consumer at a time.

An entry is `(message, reply)`; `reply` is None for a tell. Ordinary messages are bounded by the policy; the urgent
lane (stop, supervision, watch notices) is not, and is always looked at first. `put` takes no lock: it appends, then
wakes the consumer when that has announced that it sleeps. Closing is atomic with sending, because a producer that
finds the inbox closed after its append settles what is left itself. Rests on the order of effects under the GIL.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from connector.supervision.errors import InboxFull, Stopped
from connector.supervision.futures import Reply
from connector.supervision.specs import InboxPolicy, MailRule

__all__ = ["Entry", "Inbox"]

Entry = tuple[Any, Reply | None]


class Marker:
    """Base of the library's own messages in the ordinary lane; one that is not handled is no dead letter."""

    __slots__ = ()


class _Nobody:
    """The consumer while there is none: awake, so nobody rings."""

    asleep = False
    attention = False

    def ring(self) -> None: ...


NOBODY: Any = _Nobody()


class Inbox:
    """See the module. `consumer` has `asleep`, `attention` and `ring()`; `on_lost(why, entries, report)` counts."""

    __slots__ = (
        "_lock", "_on_lost", "_who", "closed", "consumer", "dropped", "gate", "limit", "policy", "queue",
        "rule", "urgent",
    )  # fmt: skip

    def __init__(self, who: str, policy: InboxPolicy, on_lost: Callable[[str, list[Entry], bool], None]) -> None:
        self.queue: deque[Entry] = deque()
        self.urgent: deque[Entry] = deque()
        self.policy = policy
        self.limit = policy.capacity  # 0 while there is a gate: one comparison sends producers to the slow path
        self.rule = policy.when_full  # waiting for a restart may have one of its own
        self.gate: Callable[[], Exception] | None = None
        self.closed = False
        self.consumer = NOBODY
        self.dropped = 0
        self._who, self._on_lost = who, on_lost
        self._lock = threading.Lock()  # protects `dropped`; arithmetic only

    # -- producers
    def put(self, envelope: Any, /) -> None:
        """Pykka's way in: an envelope with `message` and `reply_to`."""
        self.push((envelope.message, envelope.reply_to))

    def push(self, entry: Entry, *, force: bool = False) -> None:
        """Append; `force` ignores bound and gate (not the closing).

        Raises:
            pykka.ActorDeadError: one of Stopped, NotRunning, InboxFull: the message was not taken.
        """
        if len(self.queue) >= self.limit and not force and not self._make_room(entry):
            return
        self.queue.append(entry)
        consumer = self.consumer
        if consumer.asleep:
            consumer.ring()
        if self.closed:
            self.settle()

    def _make_room(self, entry: Entry) -> bool:
        gate = self.gate
        if gate is not None:
            raise gate()
        rule = self.rule
        if len(self.queue) < self.policy.capacity:
            return True
        if rule is MailRule.REFUSE:
            self._count(1)
            raise InboxFull(f"{self._who}: {self.policy.capacity} messages are waiting, as many as its inbox takes.")
        lost = entry
        if rule is MailRule.DROP_OLDEST:
            try:
                lost = self.queue.popleft()
            except IndexError:
                return True  # the consumer was faster
        total = self._count(1)
        if lost[1] is not None:
            lost[1].fail(InboxFull(f"{self._who}: dropped from a full inbox ({rule.value})."))
        else:
            # Counted every time, reported at 1, 2, 4, 8 ...: a flood must not become a flood of events.
            self._on_lost(f"inbox full, {rule.value}, {total} so far", [lost], total & (total - 1) == 0)
        return rule is MailRule.DROP_OLDEST

    def _count(self, lost: int) -> int:
        with self._lock:
            self.dropped += lost
            return self.dropped

    def push_urgent(self, message: Any, reply: Reply | None = None) -> None:
        """Append to the urgent lane; never refused for lack of room."""
        self.urgent.append((message, reply))
        consumer = self.consumer
        consumer.attention = True
        if consumer.asleep:
            consumer.ring()
        if self.closed:
            self.settle()

    # -- the cell
    def refuse(self, gate: Callable[[], Exception]) -> None:
        self.gate, self.limit = gate, 0

    def accept(self) -> None:
        self.closed, self.gate, self.limit = False, None, self.policy.capacity

    def close(self, gate: Callable[[], Exception]) -> int:
        self.refuse(gate)
        self.closed = True
        return self.settle()

    def settle(self, why: str = "stopped", error: Callable[[], Exception] | None = None) -> int:
        """Empty the inbox: every ask ends with an error, every tell is a dead letter. Returns the number of both."""
        letters: list[Entry] = []
        asks = 0
        while True:
            try:
                entry = self.queue.popleft()
            except IndexError:
                break
            if entry[1] is None:
                if not isinstance(entry[0], Marker):
                    letters.append(entry)
            else:
                asks += 1
                _end_entry(entry, self._who, error)
        if self.closed:
            while True:
                try:
                    _end_entry(self.urgent.popleft(), self._who)
                except IndexError:
                    break
        if letters:
            self._on_lost(why, letters, True)
        return asks + len(letters)

    # -- Pykka's protocol for inboxes
    def empty(self) -> bool:
        return not self.queue

    def get(self) -> Any:
        raise NotImplementedError("a supervised inbox is read by the incarnation's own loop")

    def __len__(self) -> int:
        return len(self.queue)


def _end_entry(entry: Entry, who: str, error: Callable[[], Exception] | None = None) -> None:
    reply = entry[1]
    if reply is None:
        return
    if getattr(entry[0], "means_stopped", False):
        reply.set(True)  # it asked for what has happened
    else:
        reply.fail(error() if error is not None else Stopped(f"{who} stopped before handling the message."))
