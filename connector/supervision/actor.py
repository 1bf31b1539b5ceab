"""What users subclass: `SupervisedActor`, and the context it meets its surroundings through.

An actor decides nothing about its own restarts; it crashes, and the supervisor decides. `__init__`, `on_start`,
`on_receive`, `on_stop` and `on_failure` run on the actor's own thread, `on_interrupt` on a helper thread.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka

from connector.supervision.events import EventKind
from connector.supervision.futures import Reply, here
from connector.supervision.incarnation import SPECIAL, Incarnation, Tick
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.runtime import Flag, Runtime, ThreadHandle, TimerHandle

if TYPE_CHECKING:
    from types import TracebackType

    from connector.supervision.refs import StableRef

__all__ = ["ActorContext", "SupervisedActor", "Timer"]


class Timer:
    """One or many messages to come. `cancel` keeps those that have not been handled from being handled."""

    __slots__ = ("_cancelled", "_every_s", "_handle", "_incarnation", "_message", "_tick")

    def __init__(self, incarnation: Incarnation, delay_s: float, message: Any, every_s: float | None) -> None:
        self._incarnation, self._message, self._every_s = incarnation, message, every_s
        self._cancelled = False
        self._tick: Tick | None = None
        incarnation.timers.add(self)
        self._handle: TimerHandle = incarnation.cell.tree.runtime.call_later(delay_s, self._due)

    def _due(self) -> None:
        """On the timer thread: post, and arm the next one. A tick nobody has handled yet is not doubled."""
        incarnation = self._incarnation
        if self._cancelled or not incarnation.is_current():
            return
        if self._tick is None or not self._tick.pending:
            self._tick = Tick(incarnation, self._message)
            incarnation.cell.inbox.push((self._tick, None), force=True)
        if self._every_s is None:
            incarnation.timers.discard(self)
        else:
            self._handle = incarnation.cell.tree.runtime.call_later(self._every_s, self._due)

    def cancel(self) -> None:
        self._cancelled = True
        self._handle.cancel()
        if self._tick is not None:
            self._tick.incarnation = None  # type: ignore[assignment]  # void, even when it is already queued
        self._incarnation.timers.discard(self)


class ActorContext:
    """The surroundings of one incarnation. Everything here is void once it was fenced.

    Threads: any, except `defer_reply`, which belongs into a handler.
    """

    __slots__ = ("_incarnation",)

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation

    def __repr__(self) -> str:
        return f"<ActorContext {self.path}#{self.epoch}{'' if self.is_current() else ' not current'}>"

    @property
    def path(self) -> str:
        """Place in the tree, such as "/binance/stream"."""
        return self._incarnation.cell.path

    @property
    def id(self) -> str:
        return self._incarnation.cell.spec.id

    @property
    def epoch(self) -> int:
        """Number of this incarnation, from 1; never used twice for one path while the tree lives."""
        return self._incarnation.epoch

    @property
    def clock(self) -> Runtime:
        """`monotonic_s()` to wait by, `time_ns()` (UTC) to record."""
        return self._incarnation.cell.tree.runtime

    def random(self) -> float:
        """A number in [0, 1) from the tree's generator."""
        return self._incarnation.cell.tree.runtime.random()

    @property
    def cancelled(self) -> Flag:
        """Set when this incarnation is to end: `is_set()` in loops, `wait(timeout_s)` instead of sleeping."""
        return self._incarnation.cancelled

    def is_current(self) -> bool:
        """False once this incarnation is stopping, fenced or replaced. Reader threads ask before each effect."""
        return self._incarnation.is_current()

    # -- time
    def call_later(self, delay_s: float, message: Any) -> Timer:
        """`message` lands in the own inbox after `delay_s`; void when this incarnation has ended by then."""
        return Timer(self._incarnation, delay_s, message, None)

    def call_every(self, every_s: float, message: Any) -> Timer:
        """`message` lands in the own inbox every `every_s`; one that has not been handled yet is not doubled."""
        if not every_s > 0:
            raise ValueError(f"call_every needs a positive period, not {every_s!r}")
        return Timer(self._incarnation, every_s, message, every_s)

    # -- others
    @property
    def parent(self) -> "StableRef | None":
        """The supervisor; None at the root."""
        parent = self._incarnation.cell.parent
        return None if parent is None else parent.ref

    def sibling(self, id: str) -> "StableRef":
        """The child `id` of the same supervisor. Raises LookupError when there is none."""
        parent = self._incarnation.cell.parent
        return self.lookup(f"{'' if parent is None or parent.path == '/' else parent.path}/{id}")

    def lookup(self, path: str) -> "StableRef":
        """The actor at `path`. Raises LookupError when there is none."""
        return self._incarnation.cell.tree.ref(path)

    # -- telling
    def emit(self, payload: object) -> bool:
        """Send `payload` to the tree's subscribers as an event of kind USER. False: refused, not current."""
        if self._incarnation.fenced:
            return False
        self._incarnation.cell.emit(EventKind.USER, self.epoch, payload=payload)
        return True

    def defer_reply(self) -> Reply:
        """Take the reply of the message in hand, to be answered later with `set` or `set_exception` by any thread.

        The handler's return value is then ignored. If this incarnation ends first, the asker gets `Restarted`.
        For a message that was told, not asked, the reply goes nowhere.
        """
        incarnation = self._incarnation
        entry = incarnation.in_hand
        reply = entry[1] if entry is not None else None
        if reply is None:
            return incarnation.cell.tree.runtime.make_reply()
        incarnation.deferred = True
        incarnation.keep_reply(reply)
        return reply

    # -- threads
    def spawn(self, name: str, target: Callable[[], Any]) -> ThreadHandle:
        """Run `target()` on a thread owned by this incarnation, named `connector:<path>#<epoch>:<name>`.

        Its exception crashes the actor. At the end of the incarnation the cancel token is set, `on_stop` runs, and the
        thread is joined; if it does not end, `on_interrupt` is called, and then it is reported. When `target` is a
        generator function, each `yield` is a point where a runtime without threads lets others run; on threads it
        simply goes on. Under such a runtime a target that never yields and never waits on `cancelled` blocks everything.
        """
        incarnation = self._incarnation
        runtime = incarnation.cell.tree.runtime
        handle = runtime.run(f"connector:{self.path}#{self.epoch}:{name}", incarnation.helper_body(target))
        incarnation.helpers = [helper for helper in incarnation.helpers if helper.is_alive()]
        incarnation.helpers.append(handle)
        return handle

    # -- ending
    def stop_self(self, text: str = "") -> None:
        """End after the message in hand, and do not restart me (whatever the restart type says)."""
        self._incarnation.end_soon(Reason(EndKind.LEFT, text=text), cancel=False)

    def give_up(self, text: str = "") -> None:
        """End the whole tree, in order."""
        self._incarnation.end_soon(Reason(EndKind.END_TREE, text=f"asked for by {self.path}: {text}"), cancel=False)

    def crash(self, error: BaseException) -> None:
        """Report an abnormal end from any thread this actor owns; it ends after the message in hand."""
        self._incarnation.crash(error)


class SupervisedActor(pykka.ThreadingActor):
    """An actor a supervisor can start again. Subclass it as you would `pykka.ThreadingActor`.

    An exception in a handler that is not in `declared_errors` ends this incarnation: the asker gets `Restarted` (with
    the exception as its cause), and the supervisor starts the next one. A declared error is only returned.
    """

    declared_errors: ClassVar[tuple[type[Exception], ...]] = ()
    is_supervisor: ClassVar[bool] = False
    use_daemon_thread = True
    _special: ClassVar[dict[type, Callable[[Any, Any], Any]]] = SPECIAL

    context: ActorContext

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "SupervisedActor":
        incarnation = here.incarnation
        if incarnation is None or incarnation.claimed:
            raise TypeError(
                f"{cls.__name__} is made by its supervisor, one per incarnation. "
                "Put it into a ChildSpec and start that with start_tree() or start_child()."
            )
        incarnation.claimed = True
        actor = super().__new__(cls)
        cell = incarnation.cell
        actor.context = incarnation.context
        actor.actor_urn, actor.actor_inbox, actor.actor_stopped = cell.urn, cell.inbox, cell.ended
        actor._actor_ref = cell.ref
        return actor

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Everything Pykka sets here belongs to the cell and is there already."""

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(
            f"{cls.__name__} is started by a supervisor: start_tree(SupervisorSpec(children=(ChildSpec(...),)))"
        )

    @staticmethod
    def _create_future() -> Reply:
        return Reply()

    def __str__(self) -> str:
        return f"{type(self).__name__} ({self.context.path}#{self.context.epoch})"

    def stop(self) -> None:
        """End normally after the message in hand. A permanent child is then restarted; see `context.stop_self`."""
        self.context._incarnation.end_soon(Reason(EndKind.NORMAL), cancel=False)

    def on_interrupt(self) -> None:
        """Called from a helper thread to unblock this actor when it hangs or will not stop: shut sockets down.

        Must not wait. May be called more than once, and after `on_stop`.
        """

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Clean up after a crash, on the own thread. Unless overridden: the same as after a stop."""
        self.on_stop()

    # -- for the library
    def _on_ready(self) -> None:
        incarnation = self.context._incarnation
        incarnation.cell.incarnation_started(incarnation)

    def _may_end(self, reason: Reason) -> bool:
        """Whether the loop may end now; a supervisor first has to stop its children."""
        return True

    def _wind_up(self) -> None:
        """Last chance before the user's clean-up."""
