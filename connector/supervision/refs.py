"""References and proxies that survive restarts.

They point at the cell, not at an incarnation: `tell`, `ask`, `proxy` and `stop` go on working across restarts, and
every ask ends: with the answer, a declared error, `Restarted` (effect unknown), `Stopped`, or a timeout. Nothing here
decides anything; it runs on the caller's thread.
"""

import inspect
from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

import pykka
from pykka import messages

from connector.supervision import decisions
from connector.supervision.cell import Cell, Down, Watch
from connector.supervision.errors import SelfAsk, Stopped
from connector.supervision.futures import DEFAULT_TIMEOUT_S, Reply, here
from connector.supervision.incarnation import Drained, Incarnation
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.specs import Brutal

if TYPE_CHECKING:
    from connector.supervision.actor import SupervisedActor

__all__ = ["StableProxy", "StableRef"]


class StableRef(pykka.ActorRef[Any]):
    """A `pykka.ActorRef` of a supervised child, valid over all its incarnations. Thread-safe; keep it as long as you like."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._inbox, self._queue = cell.inbox, cell.inbox.queue
        self._runtime = cell.tree.runtime
        self._make_reply, self._monotonic_s = self._runtime.make_reply, self._runtime.monotonic_s
        self.actor_class = cell.actor_class
        self.actor_urn = cell.urn
        self.actor_inbox = cell.inbox
        self.actor_stopped = cell.ended

    def __repr__(self) -> str:
        return f"<StableRef {self._cell.path}#{self.epoch} {'alive' if self.is_alive() else 'stopped'}>"

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self._cell.path})"

    @property
    def path(self) -> str:
        return self._cell.path

    @property
    def epoch(self) -> int:
        """The incarnation that runs, or ran last; 0 before the first."""
        return self._cell.epoch

    def is_alive(self) -> bool:
        """Whether messages are taken: it runs, or it is on its way back. False once it has stopped for good."""
        return not self.actor_stopped.is_set() and not self._cell.tree.forked

    def _actor_weakref(self) -> "SupervisedActor | None":  # type: ignore[override]
        return self._cell.actor

    # ------------------------------------------------------------------ messages
    def tell(self, message: Any) -> None:
        """Send without waiting. Never blocks.

        Raises:
            pykka.ActorDeadError: Stopped, NotRunning (refused during backoff) or InboxFull; it was not taken.
        """
        inbox, queue, entry = self._inbox, self._queue, (message, None)
        if len(queue) >= inbox.limit and not inbox._make_room(entry):
            return
        queue.append(entry)
        consumer = inbox.consumer
        if consumer.asleep:
            consumer.ring()
        if inbox.closed:
            inbox.settle()

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer; with `block=False` return a `Reply` (a `pykka.Future`) instead.

        Args:
            timeout: seconds for everything, queuing included (None: 30). The message is not executed after it; with
                `block=False` and no timeout there is no such deadline.

        Raises:
            pykka.Timeout: no answer in time; if the message had not been taken yet, it never will be.
            Restarted: the incarnation ended with the message in hand; its effect is unknown.
            pykka.ActorDeadError: Stopped, NotRunning, InboxFull: it was not handled.
            SelfAsk: the answer could only come from this very thread, or from one that waits for it.
        """
        reply = self._make_reply()
        reply.owner = self._cell
        if not block:
            if timeout is not None:
                reply.deadline_s = self._runtime.monotonic_s() + timeout
            try:
                self._inbox.push((message, reply))
            except pykka.ActorDeadError as refused:
                reply.fail(refused)
            return reply
        seconds = DEFAULT_TIMEOUT_S if timeout is None else min(max(timeout, 0.0), TIMEOUT_MAX)
        reply.deadline_s = self._monotonic_s() + seconds
        me = here.incarnation
        if me is not None:
            return self._ask_from(me, message, reply, seconds)
        inbox, queue, entry = self._inbox, self._queue, (message, reply)
        if len(queue) < inbox.limit or inbox._make_room(entry):
            queue.append(entry)
            consumer = inbox.consumer
            if consumer.asleep:
                consumer.ring()
            if inbox.closed:
                inbox.settle()
        if not reply._wait(seconds):
            self._give_up(reply, seconds)
        if reply._error is not None:
            raise reply._error
        return reply._value

    def _ask_from(self, me: Incarnation, message: Any, reply: Reply, seconds: float) -> Any:
        """Ask from an actor's own thread, where waiting for oneself is possible."""
        cell, reply.asker = self._cell, me
        me.waiting_on = cell  # first said, then looked: of two that ask each other at once, one sees the other
        try:
            if _waits_for(cell, me.cell):
                raise SelfAsk(f"{me.cell.path} asks {cell.path}, which waits for {me.cell.path}: nobody could answer.")
            self._inbox.push((message, reply))
            if not reply._wait(seconds):
                self._give_up(reply, seconds)
        finally:
            me.waiting_on = None
        return reply.get(timeout=0)

    def _give_up(self, reply: Reply, seconds: float) -> None:
        """The caller's patience is over: if it is still queued it is never executed, a late answer goes nowhere."""
        if not reply.fail(pykka.Timeout(f"no answer from {self.path} within {seconds} s")):
            reply._wait(1.0)  # the answer is being written down at this very moment

    # ------------------------------------------------------------------ life
    def stop(self, *, block: bool = True, timeout: float | None = None, drain_s: float | None = None) -> Any:
        """Ask its supervisor to stop it and keep its spec. It overtakes the queue; what is queued ends unhandled.

        Args:
            drain_s: instead, take no more messages, handle those queued for at most so many seconds, then stop.
            timeout: seconds to wait when blocking (None: 30).

        Returns:
            True once it has stopped, its clean-up included; False when it had stopped before. A future of the same
            when not blocking. Any number of calls from any thread get the same answer.

        Raises:
            SelfAsk: called by the actor itself, or below it, while blocking; it would wait for its own end.
            pykka.Timeout: it is still stopping.
        """
        me = here.incarnation
        cell: Cell | None
        if block and me is not None:
            cell = me.cell
            while cell is not None:
                if cell is self._cell:
                    raise SelfAsk(
                        f"{me.cell.path} would wait for its own end. Use block=False, or context.stop_self()."
                    )
                cell = cell.parent
        reply = self._make_reply()
        if not self.is_alive():
            reply.set(False)
        elif self._cell.parent is None:
            self._cell.tree.request_stop(reply)
        elif drain_s is not None:
            cell = self._cell
            cell.drain()
            cell.inbox.push((Drained(), None), force=True)
            cell.watch(lambda _down: reply.set(True))
            self._runtime.call_later(drain_s, lambda: self._terminate(None))
        else:
            self._terminate(reply)
        if not block:
            return reply
        return reply.get(timeout=timeout)

    def _terminate(self, reply: Reply | None) -> None:
        cell = self._cell
        if cell.parent is None or cell.ended.is_set():
            if reply is not None:
                reply.set(True)
            return
        cell.notify(decisions.TerminateChild(cell.spec.id, ticket=reply))
        incarnation = cell.incarnation
        if incarnation is not None and cell.spec.shutdown_s is not Brutal.BRUTAL:
            # Its supervisor will say the same; not waiting for that makes the current message the last.
            incarnation.end_soon(Reason(EndKind.STOPPED))

    def watch(self, target: "Callable[[Down], object] | StableRef") -> Watch:
        """Exactly one `Down` when it has ended for good; at once when it has already.

        Args:
            target: a callback, run on the tree's notice thread, or a reference, whose actor gets the `Down` as a
                message that a full inbox does not hold up.
        """
        if isinstance(target, StableRef):
            inbox = target._inbox
            return self._cell.watch(inbox.push_urgent)
        return self._cell.watch(lambda down: self._cell.tree.deliver(target, down))

    def proxy(self) -> "StableProxy":
        """A proxy that follows the incarnations. Raises Stopped when it has stopped for good."""
        return StableProxy(actor_ref=self)


def _waits_for(cell: Cell, goal: Cell) -> bool:
    """Whether `cell` is `goal`, or waits (through asks of any length) for it."""
    at: Cell | None = cell
    for _ in range(1000):
        if at is goal:
            return True
        incarnation = at.incarnation if at is not None else None
        at = incarnation.waiting_on if incarnation is not None else None
        if at is None:
            return False
    return False


class StableProxy(pykka.ActorProxy[Any]):
    """A `pykka.ActorProxy` over a `StableRef`; sub-proxies of traversable attributes follow the incarnations too."""

    def __init__(self, *, actor_ref: StableRef, attr_path: tuple[str, ...] = ()) -> None:
        if not actor_ref.is_alive():
            raise Stopped(f"{actor_ref} has stopped")
        self.actor_ref = actor_ref
        self._attr_path = attr_path
        self._callable_proxies = {}
        self._actor_proxies = {}

    @property
    def _actor(self) -> Any:
        """The actor of the incarnation that runs now, or None; nothing here keeps it alive."""
        return self.actor_ref._cell.actor  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StableProxy) and self.actor_ref is other.actor_ref and self._attr_path == other._attr_path
        )

    def __hash__(self) -> int:
        return hash((id(self.actor_ref), self._attr_path))

    def __repr__(self) -> str:
        return f"<StableProxy of {self.actor_ref.path}, attr_path={self._attr_path!r}>"  # type: ignore[attr-defined]

    def __dir__(self) -> list[str]:
        root = self._find()
        return sorted(name for name in dir(self.actor_ref.actor_class if root is None else root) if name[0] != "_")

    def _find(self) -> Any:
        """What the proxy stands for, read without running properties; None when that cannot be known now."""
        found: Any = self._actor
        for name in self._attr_path:
            found = None if found is None else inspect.getattr_static(found, name, None)
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{name} is private; proxies do not reach it")
        path = (*self._attr_path, name)
        if path in self._callable_proxies:
            return self._callable_proxies[path]
        if path in self._actor_proxies:
            return self._actor_proxies[path]
        parent = self._find()
        if parent is None and not self._attr_path:
            parent = self.actor_ref.actor_class  # between two incarnations the class still knows its methods
        attribute = inspect.getattr_static(parent, name, _MISSING) if parent is not None else _MISSING
        if attribute is _MISSING and self._actor is not None:
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        if callable(attribute) or isinstance(attribute, classmethod):
            self._callable_proxies[path] = pykka.CallableProxy(actor_ref=self.actor_ref, attr_path=path)
            return self._callable_proxies[path]
        if getattr(attribute, "_pykka_traversable", False) or getattr(attribute, "pykka_traversable", False):
            self._actor_proxies[path] = StableProxy(actor_ref=self.actor_ref, attr_path=path)  # type: ignore[arg-type]
            return self._actor_proxies[path]
        return self.actor_ref.ask(messages.ProxyGetAttr(attr_path=path), block=False)


_MISSING = object()
