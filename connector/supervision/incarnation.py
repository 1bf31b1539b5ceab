"""One life of one actor: construct, start, take messages, clean up, report the end.

Runs the user's code and is the only place that does: `run` is the body of the child's thread, `step` one piece of it
under a runtime that has no threads. Decides nothing about restarts; it tells its supervisor how it ended.
Others may touch it from outside only through `end_soon`, `crash`, `fence` and `ring`, which set flags and wake it.

Why no lock: every flag is written by one side and read by the other, and the order of effects is the one the GIL gives.
The consumer first puts the message in hand, then looks whether it was fenced; the fencer first fences, then looks at
what is in hand. So either the consumer sees the fence and gives the message back, or the fencer sees the message
and answers its ask.
"""

import threading
import traceback
from collections.abc import Callable, Generator
from enum import Enum
from typing import TYPE_CHECKING, Any

from pykka import messages

from connector.supervision import decisions
from connector.supervision.errors import DeadlinePassed, Ignore, Restarted
from connector.supervision.events import EventKind, Level
from connector.supervision.futures import Reply, here
from connector.supervision.inbox import Entry, Marker
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.specs import Brutal, Reaction

if TYPE_CHECKING:
    from connector.supervision.actor import ActorContext, SupervisedActor
    from connector.supervision.cell import Cell
    from connector.supervision.runtime import ThreadHandle

__all__ = ["Incarnation", "InterruptedHandler", "Life"]


class InterruptedHandler(Exception):
    """Injected into a hung handler when its spec opts in with `async_exception`."""


class Life(Enum):
    STARTING = "start"
    RUNNING = "run"
    ENDING = "stop"
    GONE = "gone"


class CallerMistake(Exception):
    """The message named something the actor does not have; nothing was run. `__cause__` goes to the asker."""


class Tick(Marker):
    """A timer's message on its way: void unless the incarnation that armed it handles it."""

    __slots__ = ("incarnation", "message", "pending")

    def __init__(self, incarnation: "Incarnation", message: Any) -> None:
        self.incarnation, self.message, self.pending = incarnation, message, True


class Drained(Marker):
    """The marker behind the last message before a drain: what was queued has been handled."""

    __slots__ = ()


class Incarnation:
    __slots__ = (
        "__weakref__",
        "_bell",
        "actor",
        "asked",
        "asleep",
        "attention",
        "begun",
        "cancelled",
        "cell",
        "claimed",
        "context",
        "deaf",
        "deferred",
        "end_reason",
        "epoch",
        "fenced",
        "helpers",
        "in_hand",
        "life",
        "noticed",
        "open_replies",
        "since_s",
        "thread",
        "timers",
        "waiting_on",
    )  # fmt: skip

    def __init__(self, cell: "Cell", epoch: int) -> None:
        runtime = cell.tree.runtime
        self.cell, self.epoch = cell, epoch
        self.actor: SupervisedActor | None = None
        self.context: ActorContext = cell.make_context(self)
        self.cancelled = runtime.make_flag()
        self.life, self.since_s = Life.STARTING, runtime.monotonic_s()
        self.attention = True  # look at the urgent lane first
        self.asleep = False
        self.fenced = False
        self.deaf = False  # crashed, still winding down: no ordinary message any more
        self.begun = False
        self.claimed = False  # an actor object was made for it
        self.deferred = False  # the handler took the reply in hand
        self.asked: Reason | None = None  # how it is to end
        self.end_reason: Reason | None = None
        self.in_hand: Entry | None = None
        self.noticed: Any = None  # the watchdog's own note
        self.waiting_on: Cell | None = None  # for finding cycles of asks
        self.open_replies: list[Reply] = []
        self.helpers: list[ThreadHandle] = []
        self.timers: set[Any] = set()
        self.thread: ThreadHandle | None = None
        self._bell = threading.Lock()
        self._bell.acquire()

    def __repr__(self) -> str:
        return f"<Incarnation {self.cell.path}#{self.epoch} {self.life.value}{' FENCED' if self.fenced else ''}>"

    @property
    def thread_name(self) -> str:
        return f"connector:{self.cell.path}#{self.epoch}"

    # ------------------------------------------------------------------ from outside
    def ring(self) -> None:
        """Wake the consumer. Any thread; ringing twice is ringing once."""
        self.asleep = False
        try:  # noqa: SIM105 - once per ask; a context manager would cost as much as the rest
            self._bell.release()
        except RuntimeError:
            pass  # already rung

    def end_soon(self, reason: Reason, *, cancel: bool = True) -> None:
        """End after the message in hand. The first reason given stays."""
        if self.asked is None:
            self.asked = reason
        self.attention = True
        if cancel:
            self.cancelled.set()
        self.ring()

    def crash(self, error: BaseException) -> None:
        """An abnormal end reported from a thread the actor owns."""
        self.end_soon(Reason(EndKind.CRASHED, error), cancel=False)

    def fence(self, reason: Reason) -> None:
        """Cut it off: nothing it does from now on reaches anyone. The ask in hand ends here and now."""
        self.fenced = self.attention = True
        self.cancelled.set()
        self.ring()
        entry = self.in_hand
        if entry is not None and entry[1] is not None:
            entry[1].fail(self._restarted(reason))
        self._fail_open_replies(reason)
        for timer in tuple(self.timers):
            timer.cancel()

    def _cut_off(self) -> bool:
        return self.fenced

    def is_current(self) -> bool:
        return not self.fenced and not self.cancelled.is_set()

    # ------------------------------------------------------------------ its own thread
    def run(self) -> None:
        here.incarnation = self
        try:
            if self._begin():
                self._take(once=False)
        except BaseException as error:  # noqa: BLE001 - also what is injected between two messages ends here
            self.end_reason = Reason(EndKind.CRASHED, error)
        try:
            self._finish()
        finally:
            here.incarnation = None

    def runnable(self) -> bool:
        """Whether `step` would do something."""
        if not self.begun:
            return True
        return self.attention or bool(self.cell.inbox.queue and not self.deaf)

    def step(self) -> bool:
        """One piece of `run` for a runtime without threads: the start, or one message. False: it is over."""
        before, here.incarnation = here.incarnation, self
        try:
            try:
                if self._take(once=True) if self.begun else self._begin():
                    return True
            except BaseException as error:  # noqa: BLE001
                self.end_reason = Reason(EndKind.CRASHED, error)
            self._finish()
            return False
        finally:
            here.incarnation = before

    def _begin(self) -> bool:
        """Construct and start. True when it is up."""
        cell, self.begun = self.cell, True
        try:
            self.actor = actor = cell.construct(self)
            if not self.fenced:
                actor.on_start()
        except Ignore as ignore:
            self.end_reason = Reason(EndKind.IGNORED, text=str(ignore))
            return False
        except BaseException as error:  # noqa: BLE001 - whatever its class: it did not start
            self.end_reason = Reason(EndKind.START_FAILED, error)
            return False
        if self.fenced:
            return False
        self.life, self.since_s = Life.RUNNING, cell.tree.runtime.monotonic_s()
        actor._on_ready()
        return True

    def _take(self, *, once: bool) -> bool:
        """Handle messages until the end (or one of them). False: it is over."""
        cell, actor = self.cell, self.actor
        assert actor is not None
        queue, monotonic_s = cell.inbox.queue, cell.tree.runtime.monotonic_s
        popleft, special, receive, ring = queue.popleft, actor._special, actor.on_receive, self._bell.acquire
        while True:
            if self.attention and not self._attend():
                return False
            if not queue or self.deaf:
                if once:
                    return True
                self.asleep = True
                if not self.attention and (not queue or self.deaf):
                    ring()
                self.asleep = False
                continue
            try:
                entry = popleft()
            except IndexError:
                continue  # dropped as the oldest, by a producer
            self.in_hand = entry
            if self.fenced:
                self.in_hand = None
                queue.appendleft(entry)
                cell.inbox.consumer.ring()
                return False
            message, reply = entry
            if reply is not None and (
                reply._done or (reply.deadline_s is not None and monotonic_s() > reply.deadline_s)
            ):
                self.in_hand = None
                reply.fail(DeadlinePassed(f"{cell.path}: the deadline passed before the message was taken."))
            else:
                try:
                    handler = special.get(message.__class__)
                    value = receive(message) if handler is None else handler(actor, message)
                except BaseException as error:  # noqa: BLE001 - `_failed` decides what each kind means
                    if not self._failed(error, reply):
                        return False
                else:
                    if reply is not None:
                        if self.deferred:
                            self.deferred = False
                        else:
                            reply.set(value)
                self.in_hand = None
            if once:
                return True

    def _attend(self) -> bool:
        """Look at everything that overtakes the queue. False: it is over."""
        self.attention = False
        if self.fenced:
            return False
        actor, urgent = self.actor, self.cell.inbox.urgent
        assert actor is not None
        while urgent:
            self.in_hand = entry = urgent.popleft()
            try:
                handler = actor._special.get(entry[0].__class__)
                if handler is None:
                    actor.on_receive(entry[0])
                else:
                    handler(actor, entry[0])
            except BaseException as error:  # noqa: BLE001
                if not self._failed(error, entry[1]):
                    return False
            self.in_hand, self.deferred = None, False
            if self._cut_off():
                return False
        asked = self.asked
        if asked is None:
            return True
        self.end_reason = asked
        return not actor._may_end(asked)

    def _failed(self, error: BaseException, reply: Reply | None) -> bool:
        """A handler raised. True: the actor goes on."""
        self.deferred = False
        actor, cell = self.actor, self.cell
        assert actor is not None
        if isinstance(error, CallerMistake):
            self._answer_error(error.__cause__ or error, reply)
            return True
        if isinstance(error, actor.declared_errors) or cell.reaction_to(error) is Reaction.RESUME:
            self._answer_error(error, reply)
            return True
        self.end_reason = reason = Reason(EndKind.CRASHED, error)
        self.deaf = True
        if self.asked is None:
            self.asked = reason
        if reply is not None:
            reply.fail(self._restarted(reason))
        return not actor._may_end(reason)

    def _answer_error(self, error: BaseException, reply: Reply | None) -> None:
        if reply is not None:
            reply.fail(error)
        else:
            reason = Reason(EndKind.CRASHED, error)
            self.cell.emit(EventKind.UNANSWERED, self.epoch, Level.WARNING, reason=reason, detail="nobody asked")

    def _restarted(self, reason: Reason) -> Restarted:
        error = Restarted(
            f"{self.cell.path}#{self.epoch} ended ({reason.kind.value}) with this message in hand; its effect is unknown."
        )
        error.__cause__ = reason.cause
        return error

    def _fail_open_replies(self, reason: Reason) -> None:
        replies, self.open_replies = self.open_replies, []
        for reply in replies:
            reply.fail(self._restarted(reason))

    def keep_reply(self, reply: Reply) -> None:
        if len(self.open_replies) >= 256:
            self.open_replies = [open_ for open_ in self.open_replies if not open_._done]
        self.open_replies.append(reply)

    # ------------------------------------------------------------------ the end
    def _finish(self) -> None:
        cell = self.cell
        runtime = cell.tree.runtime
        reason = self.end_reason or Reason(EndKind.STOPPED)
        self.life, self.since_s = Life.ENDING, runtime.monotonic_s()
        try:
            self.cancelled.set()
            for timer in tuple(self.timers):
                timer.cancel()
            entry, self.in_hand = self.in_hand, None
            if entry is not None and entry[1] is not None:
                entry[1].fail(self._restarted(reason))
            self._fail_open_replies(reason)
            if self.actor is not None:
                self.actor._wind_up()
                self._clean_up(self.actor, reason)
            self._join_helpers()
            if reason.cause is not None:
                # The report keeps lines and files; the dead actor and what it held must not live on in it.
                traceback.clear_frames(reason.cause.__traceback__)
        except BaseException as error:  # noqa: BLE001 - an end is always reported, whatever strikes on the way
            cell.emit(EventKind.CLEANUP_FAILED, self.epoch, Level.ERROR, reason=Reason(EndKind.CRASHED, error))
        finally:
            self.life, self.actor = Life.GONE, None
            self.helpers = [helper for helper in self.helpers if helper.is_alive()]
            cell.incarnation_ended(self, reason)

    def _clean_up(self, actor: "SupervisedActor", reason: Reason) -> None:
        cause = reason.cause
        try:
            if cause is not None and reason.is_abnormal:
                actor.on_failure(type(cause), cause, cause.__traceback__)
            else:
                actor.on_stop()
        except BaseException as error:  # noqa: BLE001 - reported; the end goes on
            failed = Reason(EndKind.CRASHED, error)
            self.cell.emit(
                EventKind.CLEANUP_FAILED, self.epoch, Level.ERROR, reason=failed, detail=f"after {reason.kind.value}"
            )

    def _join_helpers(self) -> None:
        if not self.helpers:
            return
        runtime, spec = self.cell.tree.runtime, self.cell.spec
        limit_s = spec.interrupt_grace_s if isinstance(spec.shutdown_s, Brutal) else min(spec.shutdown_s or 5.0, 5.0)
        until_s = runtime.monotonic_s() + limit_s * 0.8  # the supervisor's own patience ends at limit_s
        first_s = min(0.25, limit_s / 4)
        if not all(helper.join_s(first_s) for helper in self.helpers):
            self.cell.tree.interrupt(self, self.actor)  # the clean-up did not unblock them
        left = [helper for helper in self.helpers if not helper.join_s(until_s - runtime.monotonic_s())]
        if left:
            names = ", ".join(helper.name for helper in left)
            self.cell.emit(EventKind.UNSTOPPED, self.epoch, Level.ERROR, count=len(left), detail=names)
            self.cell.tree.left_behind(left)

    # ------------------------------------------------------------------ threads of its own
    def helper_body(self, target: Callable[[], Any]) -> Callable[[], Generator[Any, Any, None]]:
        def body() -> Generator[Any, Any, None]:
            try:
                result = target()
                if isinstance(result, Generator):
                    yield from result
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - its crash is the actor's crash
                self.crash(error)

        return body


# ---------------------------------------------------------------------------------------------------- Pykka's messages
def _resolve(actor: Any, path: tuple[str, ...]) -> Any:
    try:
        for name in path:
            actor = getattr(actor, name)
    except AttributeError as missing:
        raise CallerMistake from missing
    return actor


def _call(actor: Any, message: messages.ProxyCall) -> Any:
    return _resolve(actor, message.attr_path)(*message.args, **message.kwargs)


def _get(actor: Any, message: messages.ProxyGetAttr) -> Any:
    return _resolve(actor, message.attr_path)


def _set(actor: Any, message: messages.ProxySetAttr) -> Any:
    setattr(_resolve(actor, message.attr_path[:-1]), message.attr_path[-1], message.value)


def _tick(actor: Any, tick: Tick) -> None:
    tick.pending = False
    if tick.incarnation is actor.context._incarnation:
        actor.on_receive(tick.message)


def _ask_to_stop(actor: Any, _message: Any) -> None:
    actor.context._incarnation.cell.notify(decisions.TerminateChild(actor.context.id))


SPECIAL: dict[type, Callable[[Any, Any], Any]] = {
    messages.ProxyCall: _call,
    messages.ProxyGetAttr: _get,
    messages.ProxySetAttr: _set,
    messages._ActorStop: _ask_to_stop,
    Drained: _ask_to_stop,
    Tick: _tick,
}
