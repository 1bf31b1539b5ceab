"""Decide what a supervisor does next. Pure: no thread, clock, actor, generator or input and output.

`decide(state, event, now_s, chance)` returns the next state and the actions to perform, in order. The caller owns
the clock (`now_s`, monotonic), the randomness (`chance`, in [0, 1)), the threads and the timers; it performs the
actions and reports what became of them as further events. Events of an incarnation carry its epoch, and one that is
not the child's current epoch changes nothing.

How it works. A child is WAITING (not started yet), STARTING, RUNNING, STOPPING, in BACKOFF (a restart is due), LOST
(it ended while a plan was under way and is looked at afterwards) or STOPPED (kept, but not coming back by itself).
What concerns several children is a `Plan`: stop these one after another, wait once, start those one after another.
There is at most one plan: BEGIN (start everything), GROUP (one_for_all, rest_for_one) or END (stop everything).
While a plan stops or starts, administrative requests queue; while it waits, those that can be answered are.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from connector.supervision import breaker as circuit
from connector.supervision.breaker import BreakerState
from connector.supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    NoSuchChild,
    SpecError,
    StartFailed,
    SupervisorEnding,
    TooManyChildren,
)
from connector.supervision.events import EventKind, Level
from connector.supervision.intensity import Intensity
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.specs import (
    AutoShutdown,
    Brutal,
    ChildSpec,
    OnLimit,
    Reaction,
    Restart,
    Strategy,
    SupervisorSpec,
    check_child,
)

__all__ = ["Child", "ChildState", "Phase", "State", "decide", "initial_state", "reaction_to"]


# ------------------------------------------------------------------------------------------------ state
class ChildState(Enum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "restarting"
    LOST = "lost"
    STOPPED = "stopped"


_LIVE = (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING)  # a tuple: an enum's hash is slow


class Phase(Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Child(NamedTuple):
    """What the supervisor knows of one child. `tickets` are answered when the start or stop under way is over."""

    spec: ChildSpec
    state: ChildState = ChildState.WAITING
    epoch: int = 0
    restarts: int = 0  # since the child was added
    failures: int = 0  # in a row
    since_s: float = 0.0  # in this state
    due_s: float | None = None  # the next attempt
    probing: bool = False  # the wait is slow probing, not backoff
    reason: Reason | None = None  # of the last end
    window: tuple[float, ...] = ()  # restarts charged to a limit of its own
    breaker: BreakerState = circuit.CLOSED
    condemned: Reason | None = None  # interrupted as hung; this is what its end will be called
    tickets: tuple[Any, ...] = ()
    by_hand: bool = False  # the start or stop under way was asked for
    dynamic: bool = False  # added by start_child
    serial: int = 0  # of the wait under way


class PlanKind(Enum):
    BEGIN = "begin"
    GROUP = "group"
    END = "end"


class Plan(NamedTuple):
    kind: PlanKind
    stopping: tuple[str, ...] = ()  # in the order they are stopped
    starting: tuple[str, ...] = ()  # in the order they are started
    delay_s: float = 0.0
    serial: int = 0  # of the wait; 0 while there is none
    cause: str = ""  # the child whose failure made it


class State(NamedTuple):
    """`children` is ordered: it is the start order."""

    spec: SupervisorSpec
    intensity: Intensity
    children: Mapping[str, Child]
    phase: Phase = Phase.STARTING
    window: tuple[float, ...] = ()
    plan: Plan | None = None
    queued: tuple["Admin", ...] = ()
    lost: tuple["Ended", ...] = ()
    serial: int = 0
    abandoned: int = 0  # threads left behind that have not returned yet
    end: Reason | None = None
    floor: int = 0  # the highest epoch of any child that is gone: a new one of its id must not repeat it


def initial_state(
    spec: SupervisorSpec, epochs: Mapping[str, int] = MappingProxyType({}), dynamic: tuple[ChildSpec, ...] = ()
) -> State:
    """The state before the first child is started. `epochs` are those earlier incarnations had come to."""
    children = {child.id: Child(child, epoch=epochs.get(child.id, 0)) for child in spec.children}
    children |= {child.id: Child(child, epoch=epochs.get(child.id, 0), dynamic=True) for child in dynamic}
    return State(spec, spec.intensity, children)


# ------------------------------------------------------------------------------------------------ events
@dataclass(frozen=True, slots=True)
class Begin:
    """Start everything."""


@dataclass(frozen=True, slots=True)
class Started:
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Ended:
    id: str
    epoch: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Returned:
    """An abandoned thread ended after all."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """The watchdog: too long in one message, in its start (`phase` "start") or in its clean-up ("stop")."""

    id: str
    epoch: int
    phase: str
    busy_s: float
    stack: str = ""


@dataclass(frozen=True, slots=True)
class InterruptDue:
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ShutdownElapsed:
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class GraceElapsed:
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class RetryDue:
    """A wait is over. `id` is the child's, or "" for a group's."""

    id: str
    serial: int


@dataclass(frozen=True, slots=True)
class Healthy:
    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StopAll:
    """Stop every child in reverse order and end with this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Admin:
    """Base of requests; `ticket` is handed back in a `Reply` action, None when nobody waits."""

    ticket: Any = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class StartChild(Admin):
    """`epoch` is where the numbers of its incarnations go on from."""

    spec: ChildSpec
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class TerminateChild(Admin):
    id: str


@dataclass(frozen=True, slots=True)
class RestartChild(Admin):
    id: str


@dataclass(frozen=True, slots=True)
class DeleteChild(Admin):
    id: str


@dataclass(frozen=True, slots=True)
class RetryNow(Admin):
    id: str


@dataclass(frozen=True, slots=True)
class ResetCount(Admin):
    id: str


@dataclass(frozen=True, slots=True)
class SetIntensity(Admin):
    intensity: Intensity


Event = (
    Begin
    | Started
    | Ended
    | Returned
    | Overdue
    | InterruptDue
    | ShutdownElapsed
    | GraceElapsed
    | RetryDue
    | Healthy
    | StopAll
    | Admin
)


# ------------------------------------------------------------------------------------------------ actions
@dataclass(frozen=True, slots=True)
class Start:
    """Run the factory on a new thread as incarnation `epoch`; report Started or Ended."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class AskStop:
    """Set the cancel token, overtake the queue; report Ended."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Condemn:
    """Set the cancel token; the incarnation ends when its handler returns, and must not take another message."""

    id: str
    epoch: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Call `on_interrupt` from a helper thread."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Cut the incarnation off: it takes, answers and emits nothing any more. The ask in hand ends."""

    id: str
    epoch: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Reap:
    """Fence a supervisor that hangs and stop what it leaves behind, on a helper thread; report Ended."""

    id: str
    epoch: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Arm:
    """Report `event` after `delay_s`."""

    event: Event
    delay_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """The child waits for its restart: apply its inbox's backoff policy, report `RetryDue` after `delay_s`."""

    id: str
    delay_s: float
    serial: int


@dataclass(frozen=True, slots=True)
class Close:
    """The child will not come back by itself: refuse messages, turn queued ones into dead letters, tell watchers."""

    id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Forget:
    """The child's spec is gone; so is its place in the directory."""

    id: str


@dataclass(frozen=True, slots=True)
class Reply:
    ticket: Any
    value: Any = None
    error: Exception | None = None


class Tell(NamedTuple):
    """Emit a tree event about child `id` ("" for the supervisor itself)."""

    kind: EventKind
    id: str
    epoch: int = 0
    level: Level = Level.INFO
    reason: Reason | None = None
    old_epoch: int = 0
    restarts: int = 0
    failures: int = 0
    delay_s: float = 0.0
    many: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """Every child has been started: the supervisor itself has."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Every child has ended: the supervisor ends, with this reason."""

    reason: Reason


Action = (
    Start | AskStop | Condemn | Interrupt | Fence | Reap | Arm | Wait | Close | Forget | Reply | Tell | Ready | Finish
)


# ------------------------------------------------------------------------------------------------ deciding
def decide(state: State, event: Event, now_s: float, chance: float = 0.0) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what to do. `state` is left as it was."""
    work = _Work(state, now_s, chance)
    _HANDLERS[type(event)](work, event)
    return work.freeze(), tuple(work.actions)


def reaction_to(cause: BaseException | None, *tables: Mapping[type[BaseException], Reaction]) -> Reaction:
    """The reaction declared for `cause`: the first table that knows it, by its nearest class; else RESTART."""
    if cause is not None:
        for table in tables:
            if table:
                for cls in type(cause).__mro__:
                    if cls in table:
                        return table[cls]
    return Reaction.RESTART


class _Work:
    """One decision in the making: a mutable copy of the state, and the actions so far."""

    __slots__ = (
        "abandoned", "actions", "chance", "children", "end", "floor", "intensity", "lost", "now_s", "phase", "plan", "queued",
        "serial", "spec", "window",
    )  # fmt: skip

    def __init__(self, state: State, now_s: float, chance: float) -> None:
        self.spec, self.intensity = state.spec, state.intensity
        self.children = dict(state.children)
        self.phase, self.window, self.plan = state.phase, state.window, state.plan
        self.queued, self.lost, self.serial = state.queued, state.lost, state.serial
        self.abandoned, self.end, self.floor = state.abandoned, state.end, state.floor
        self.now_s, self.chance = now_s, chance
        self.actions: list[Action] = []

    def freeze(self) -> State:
        return State(
            self.spec, self.intensity, self.children, self.phase, self.window, self.plan, self.queued, self.lost,
            self.serial, self.abandoned, self.end, self.floor,
        )  # fmt: skip

    # -- small steps
    def change(self, child: Child, **changes: Any) -> Child:
        changed = child._replace(**changes)
        self.children[child.spec.id] = changed
        return changed

    def move(self, child: Child, state: ChildState, **changes: Any) -> Child:
        return self.change(child, state=state, since_s=self.now_s, **changes)

    def live(self, id: str, epoch: int) -> Child | None:
        child = self.children.get(id)
        return child if child is not None and child.epoch == epoch and child.state in _LIVE else None

    def answer(self, tickets: tuple[Any, ...], value: Any = None, error: Exception | None = None) -> None:
        self.actions += [Reply(ticket, value, error) for ticket in tickets if ticket is not None]

    def tell(
        self,
        kind: EventKind,
        child: Child,
        level: Level = Level.INFO,
        reason: Reason | None = None,
        old_epoch: int = 0,
        delay_s: float = 0.0,
        many: int = 0,
        detail: str = "",
    ) -> None:
        id, epoch, counts = child.spec.id, child.epoch, (child.restarts, child.failures)
        self.actions.append(Tell(kind, id, epoch, level, reason, old_epoch, *counts, delay_s, many, detail))

    def level(self, failures: int) -> Level:
        return Level.ERROR if failures >= self.spec.error_after else Level.WARNING

    def start(self, child: Child, **changes: Any) -> None:
        child = self.move(
            child, ChildState.STARTING, epoch=child.epoch + 1, due_s=None, probing=False, condemned=None, **changes
        )
        self.actions.append(Start(child.spec.id, child.epoch))

    def drop(self, child: Child, reason: Reason) -> None:
        """A child that is not coming back: its spec goes when it is temporary, else it stays as STOPPED."""
        self.move(child, ChildState.STOPPED, reason=reason, tickets=(), by_hand=False, due_s=None, condemned=None)
        self.actions.append(Close(child.spec.id, reason))
        if child.spec.restart is Restart.TEMPORARY:
            self.forget(child)

    def leave_plan(self, child: Child) -> None:
        """It has had its turn, or is not to have one: the plan under way does not start it (again)."""
        plan = self.plan
        if plan is not None and child.spec.id in plan.starting:
            self.plan = plan._replace(starting=tuple(id for id in plan.starting if id != child.spec.id))

    def forget(self, child: Child) -> None:
        if self.children.pop(child.spec.id, None) is not None:
            self.floor = max(self.floor, child.epoch)
            self.actions.append(Forget(child.spec.id))

    # -- starting
    def begin(self, event: Begin) -> None:
        self.plan = Plan(PlanKind.BEGIN, starting=tuple(self.children))
        self.advance()

    def started(self, event: Started) -> None:
        child = self.live(event.id, event.epoch)
        if child is None or child.state is not ChildState.STARTING or child.condemned is not None:
            return
        tickets = child.tickets
        child = self.move(child, ChildState.RUNNING, tickets=(), by_hand=False)
        self.tell(EventKind.STARTED, child, old_epoch=child.epoch - 1)
        self.answer(tickets, value=child.spec.id)
        if child.failures or not child.breaker.is_closed:
            self.actions.append(Arm(Healthy(event.id, event.epoch), child.spec.backoff.healthy_s))
        self.advance()

    def healthy(self, event: Healthy) -> None:
        child = self.live(event.id, event.epoch)
        if child is not None and child.state is ChildState.RUNNING:
            self.tell(EventKind.HEALTHY, self.change(child, failures=0, breaker=self._closed_breaker(child)))

    def _closed_breaker(self, child: Child) -> BreakerState:
        spec = child.spec.breaker
        return child.breaker if spec is None else circuit.after_health(child.breaker, spec, self.now_s)

    # -- ending
    def ended(self, event: Ended) -> None:
        child = self.live(event.id, event.epoch)
        if child is not None:
            self.gone(child, event.reason)

    def gone(self, child: Child, reason: Reason) -> None:
        """One incarnation has ended, whatever the way."""
        if child.condemned is not None:
            # The interrupt made it end; what it died of on the way out is kept as the cause.
            reason = replace(child.condemned, cause=child.condemned.cause or reason.cause)
        was = child.state
        self.tell(
            EventKind.ENDED,
            child,
            self.level(child.failures + 1) if reason.is_abnormal else Level.INFO,
            reason=reason,
        )
        if was is ChildState.STOPPING:
            self.stopped(child, reason)
        elif self.phase is Phase.STOPPING:
            self.move(child, ChildState.STOPPED, reason=reason, condemned=None, tickets=())
            self.answer(child.tickets, value=True)
            self.advance()
        elif was is ChildState.STARTING:
            self.not_started(child, reason)
        elif self._in_the_way(child):
            assert self.plan is not None
            if child.spec.id in self.plan.stopping and not self._wanted_after(child, reason):
                self.drop(child, reason)
            else:
                # Only its state moves: since_s still says how long it had been up.
                self.change(child, state=ChildState.LOST, reason=reason, condemned=None)
                self.lost = (*self.lost, Ended(child.spec.id, child.epoch, reason))
            self.advance()
        else:
            self.ended_by_itself(child, reason)

    def _wanted_after(self, child: Child, reason: Reason) -> bool:
        """Whether a child that ended like this is started again by its restart type."""
        restart = child.spec.restart
        # STOPPED without our asking: a reference's `stop` was faster than its request to us. It stays down.
        if restart is Restart.TEMPORARY or reason.kind in (EndKind.LEFT, EndKind.STOPPED):
            return False
        return reason.is_abnormal or restart is Restart.PERMANENT

    def _in_the_way(self, child: Child) -> bool:
        """Whether the end of `child` has to wait until the plan under way is done."""
        plan = self.plan
        return plan is not None and not plan.serial and self.spec.strategy is not Strategy.ONE_FOR_ONE

    def stopped(self, child: Child, reason: Reason) -> None:
        """It was asked to stop, and has."""
        tickets, by_hand = child.tickets, child.by_hand
        if by_hand:
            # Its real reason is kept (it may have crashed just then); it stays down either way.
            self.drop(child, reason)
            self.answer(tickets, value=True)
        elif child.spec.restart is Restart.TEMPORARY and self.phase is not Phase.STOPPING:
            self.drop(child, reason)
        else:
            # Stopped with its group it waits to be started again; stopped with its supervisor it stays down.
            again = self.plan is not None and child.spec.id in self.plan.starting
            state = ChildState.WAITING if again else ChildState.STOPPED
            self.move(child, state, reason=reason, tickets=(), condemned=None)
            self.answer(tickets, value=True)
        self.advance()

    def not_started(self, child: Child, reason: Reason) -> None:
        """It ended before it had reported ready."""
        tickets = child.tickets
        if reason.kind is EndKind.IGNORED:
            self.leave_plan(child)
            self.drop(child, reason)
            self.answer(tickets)
            self.advance()
            return
        if child.by_hand:
            error = StartFailed(child.spec.id, str(reason))
            error.__cause__ = reason.cause
            self.drop(child, reason)
            if child.restarts == 0 and child.dynamic and child.reason is None:
                self.forget(child)  # a child that was being added leaves nothing behind
            self.answer(tickets, error=error)
            return
        if self.plan is not None and self.plan.kind is PlanKind.BEGIN and child.spec.id in self.plan.starting:
            self.move(child, ChildState.STOPPED, reason=reason)
            self.finish_with(Reason(EndKind.START_FAILED, reason.cause, f"child {child.spec.id!r} {reason}"))
            return
        if reason.kind is EndKind.END_TREE:
            self.finish_with(reason)
            return
        self.failed(child, reason)

    def ended_by_itself(self, child: Child, reason: Reason) -> None:
        """A running child ended without being asked: the restart type decides, then the rules for its exception."""
        if reason.kind is EndKind.END_TREE:
            self.move(child, ChildState.STOPPED, reason=reason)
            self.finish_with(reason)
        elif self._wanted_after(child, reason):
            self.failed(child, reason)
        else:
            self.drop(child, reason)
            self.check_auto_shutdown(child)
            self.advance()

    def check_auto_shutdown(self, child: Child) -> None:
        if not child.spec.significant or self.phase is Phase.STOPPING:
            return
        rule = self.spec.auto_shutdown
        others = any(
            other.spec.significant and other.state is not ChildState.STOPPED for other in self.children.values()
        )
        if rule is AutoShutdown.ANY_SIGNIFICANT or (rule is AutoShutdown.ALL_SIGNIFICANT and not others):
            self.finish_with(Reason(EndKind.SHUTDOWN, text=f"significant child {child.spec.id!r} ended"))

    # -- restarting
    def failed(self, child: Child, reason: Reason) -> None:
        """A child that has to come back: charge it, find the delay, restart it or its group."""
        own_rules, rules = child.spec.on_error, self.spec.on_error
        reaction = reaction_to(reason.cause, own_rules, rules) if own_rules or rules else Reaction.RESTART
        if reaction is Reaction.STOP:
            self.drop(child, reason)
            self.advance()
            return
        if reaction is Reaction.ESCALATE:
            self.give_up(child, reason, f"{child.spec.id!r} ended with an error that escalates")
            return
        spec, backoff, breaker = child.spec, child.spec.backoff, child.breaker
        failures = child.failures + 1
        if child.state is not ChildState.STARTING and self.now_s - child.since_s >= backoff.healthy_s:
            failures, breaker = 1, self._closed_breaker(child)  # its timer may be late; the clock is not

        probe_s: float | None = None
        window, over, own = child.window, "", spec.max_restarts
        if spec.breaker is not None:
            breaker = circuit.after_failure(breaker, spec.breaker, self.now_s)
            probe_s = spec.breaker.probe_s if breaker.is_open else None
        if probe_s is None:
            # While a breaker is open it alone spaces the attempts; otherwise each one is charged to a budget.
            limit = own or self.intensity
            charged = limit.charge(window if own else self.window, self.now_s)
            if charged is None:
                whose = "a limit of its own" if own else "the limit of its supervisor"
                over = f"{spec.id!r} exceeds {whose}, {limit.max_restarts} restarts in {limit.within_s:g} s"
            elif own:
                window = charged
            else:
                self.window = charged
        in_a_row = backoff.max_in_a_row is not None and failures > backoff.max_in_a_row
        if in_a_row and probe_s is None:
            over = f"{spec.id!r} failed {failures} times in a row"
        if over and self.spec.on_limit is OnLimit.PROBE:
            probe_s = self.spec.probe_s
        changes = {"failures": failures, "reason": reason, "condemned": None, "breaker": breaker, "window": window}
        if over and probe_s is None:
            child = self.change(child, **changes)
            if own is None or in_a_row:
                self.give_up(child, reason, over)
                return
            last = Reason(EndKind.GAVE_UP, reason.cause, f"{over}; last: {reason}")
            self.tell(EventKind.GAVE_UP, child, Level.ERROR, reason=last)
            self.drop(child, last)
            self.check_auto_shutdown(child)
            self.advance()
            return
        if probe_s is not None:
            delay_s = probe_s
        else:
            at_once = False if reaction is Reaction.BACK_OFF else None
            delay_s = backoff.delay_s(failures, self.chance, at_once=at_once)
        delay_s = max(delay_s, reason.retry_after_s)
        changes |= {"restarts": child.restarts + 1, "probing": probe_s is not None, "state": ChildState.LOST}
        self.restart(self.change(child, **changes), delay_s)

    def restart(self, child: Child, delay_s: float) -> None:
        if delay_s <= 0:
            self.tell(EventKind.RESTARTING, child, self.level(child.failures), reason=child.reason)
        else:
            kind = EventKind.PROBING if child.probing else EventKind.BACKOFF
            self.tell(kind, child, self.level(child.failures), reason=child.reason, delay_s=delay_s)
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            if delay_s <= 0:
                self.start(child)
            else:
                self.wait(child, delay_s)
            return
        ids = list(self.children)
        failing = ids.index(child.spec.id)
        group = ids if self.spec.strategy is Strategy.ONE_FOR_ALL else ids[failing:]
        for id in group:
            other = self.children[id]
            if other.state is ChildState.LOST and other.spec.restart is Restart.TEMPORARY:
                self.drop(other, other.reason or Reason(EndKind.STOPPED))
        group = [id for id in group if id in self.children]
        plan = self.plan
        if plan is not None and plan.serial:
            # The group waits already, for another failure: it goes on waiting as long as either wants.
            waiting = next((self.children[id].due_s for id in plan.starting if id in self.children), None)
            delay_s = max(delay_s, (waiting or self.now_s) - self.now_s)
        self.plan = Plan(
            PlanKind.GROUP,
            stopping=tuple(id for id in reversed(group) if self.children[id].state in _LIVE),
            starting=tuple(id for id in group if self._comes_back(self.children[id])),
            delay_s=delay_s,
            cause=child.spec.id,
        )
        self.advance()

    def _comes_back(self, child: Child) -> bool:
        return child.state is not ChildState.STOPPED or child.spec.revive

    def wait(self, child: Child, delay_s: float, serial: int | None = None) -> None:
        if serial is None:
            self.serial += 1
        child = self.move(
            child, ChildState.BACKOFF, due_s=self.now_s + delay_s, serial=self.serial if serial is None else serial
        )
        self.actions.append(Wait(child.spec.id, delay_s, child.serial if serial is None else 0))

    def retry_due(self, event: RetryDue) -> None:
        if event.id == "":
            if self.plan is not None and self.plan.serial == event.serial:
                self.end_wait()
            return
        child = self.children.get(event.id)
        if child is not None and child.state is ChildState.BACKOFF and child.serial == event.serial:
            self.try_again(child)

    def try_again(self, child: Child) -> None:
        spec = child.spec.breaker
        if spec is not None and child.breaker.is_open:
            child = self.change(child, breaker=circuit.probing(child.breaker, spec, self.now_s))
        self.start(child)

    def end_wait(self) -> None:
        """A group has waited long enough: start it."""
        assert self.plan is not None
        cause = self.children.get(self.plan.cause)
        if cause is not None and cause.spec.breaker is not None and cause.breaker.is_open:
            self.change(cause, breaker=circuit.probing(cause.breaker, cause.spec.breaker, self.now_s))
        self.plan = self.plan._replace(delay_s=0.0, serial=0)
        self.advance()

    # -- giving up, stopping
    def give_up(self, child: Child, reason: Reason, why: str) -> None:
        self.move(child, ChildState.STOPPED, reason=reason, condemned=None, tickets=())
        end = Reason(EndKind.GAVE_UP, reason.cause, f"{why}; last: {reason}")
        self.actions.append(Tell(EventKind.GAVE_UP, "", level=Level.ERROR, reason=end, failures=child.failures))
        self.finish_with(end)

    def stop_all(self, event: StopAll) -> None:
        if self.phase not in (Phase.STOPPING, Phase.ENDED):
            self.finish_with(event.reason)

    def finish_with(self, reason: Reason) -> None:
        """Stop every child in reverse start order, then end. Whatever else was under way is over."""
        self.phase, self.end = Phase.STOPPING, reason
        for request in self.queued:
            self.answer((request.ticket,), error=SupervisorEnding(""))
        self.queued, self.lost = (), ()
        for child in tuple(self.children.values()):
            if child.state in (ChildState.WAITING, ChildState.BACKOFF, ChildState.LOST):
                self.answer(child.tickets, error=SupervisorEnding(""))
                self.move(child, ChildState.STOPPED, tickets=(), due_s=None)
            elif child.state is ChildState.STARTING and child.by_hand:
                self.answer(child.tickets, error=SupervisorEnding(""))
                self.change(child, tickets=(), by_hand=False)
        live = tuple(id for id, child in reversed(self.children.items()) if child.state in _LIVE)
        self.plan = Plan(PlanKind.END, stopping=live)
        self.advance()

    def ask_stop(self, child: Child, **changes: Any) -> None:
        shutdown_s = child.spec.shutdown_s
        child = self.move(child, ChildState.STOPPING, **changes)
        id, epoch = child.spec.id, child.epoch
        if isinstance(shutdown_s, Brutal):
            self.actions.append(Interrupt(id, epoch))
            self.abandon(child, Reason(EndKind.KILLED, text="brutally, without being asked"))
            return
        self.actions.append(AskStop(id, epoch))
        assert shutdown_s is not None
        if shutdown_s < math.inf:
            first_s = max(0.0, shutdown_s - child.spec.interrupt_grace_s)
            self.actions.append(Arm(InterruptDue(id, epoch), first_s))

    def interrupt_due(self, event: InterruptDue) -> None:
        child = self.live(event.id, event.epoch)
        if child is not None and child.state is ChildState.STOPPING:
            shutdown_s = child.spec.shutdown_s
            assert isinstance(shutdown_s, float | int)
            self.actions.append(Interrupt(event.id, event.epoch))
            rest_s = min(child.spec.interrupt_grace_s, shutdown_s)
            self.actions.append(Arm(ShutdownElapsed(event.id, event.epoch), rest_s))

    def shutdown_elapsed(self, event: ShutdownElapsed) -> None:
        child = self.live(event.id, event.epoch)
        if child is not None and child.state is ChildState.STOPPING:
            self.abandon(child, Reason(EndKind.KILLED, text=f"did not stop within {child.spec.shutdown_s:g} s"))

    # -- hanging
    def overdue(self, event: Overdue) -> None:
        child = self.live(event.id, event.epoch)
        if child is None or child.condemned is not None:
            return
        starting = event.phase == "start"
        where = {"start": "starting", "stop": "cleaning up"}.get(event.phase, "in one message")
        reason = Reason(
            EndKind.START_TIMEOUT if starting else EndKind.HUNG, None, f"{event.busy_s:.3f} s {where}", event.stack
        )
        child = self.change(child, condemned=reason)
        self.tell(EventKind.HUNG, child, Level.ERROR, reason=reason)
        self.actions.append(Condemn(event.id, event.epoch, reason))
        self.actions.append(Interrupt(event.id, event.epoch))
        self.actions.append(Arm(GraceElapsed(event.id, event.epoch), child.spec.interrupt_grace_s))

    def grace_elapsed(self, event: GraceElapsed) -> None:
        child = self.live(event.id, event.epoch)
        if child is not None and child.condemned is not None:
            self.abandon(child, child.condemned)

    def abandon(self, child: Child, reason: Reason) -> None:
        id, epoch = child.spec.id, child.epoch
        self.abandoned += 1
        if child.spec.supervisor:
            # Its children must be gone before a successor starts them again: Ended comes when they are.
            self.change(child, condemned=reason)
            self.actions.append(Reap(id, epoch, reason))
            return
        self.actions.append(Fence(id, epoch, reason))
        self.tell(EventKind.ABANDONED, child, Level.ERROR, reason=reason, many=self.abandoned)
        if self.abandoned > self.spec.max_abandoned and self.phase is not Phase.STOPPING:
            why = f"{self.abandoned} threads would not end, more than max_abandoned={self.spec.max_abandoned}"
            if self.spec.on_limit is OnLimit.GIVE_UP:
                self.answer(child.tickets, value=True)
                self.give_up(child, reason, why)
                return
            self.tell(EventKind.GAVE_UP, child, Level.ERROR, reason=reason, many=self.abandoned, detail=why)
        self.gone(self.children[id], reason)

    def returned(self, event: Returned) -> None:
        self.abandoned = max(0, self.abandoned - 1)

    # -- the plan
    def advance(self) -> None:
        """Take the plan as far as it goes without waiting for anything."""
        while self.plan is not None:
            plan = self.plan
            if plan.stopping:
                if not self._stop_next(plan):
                    return
            elif plan.kind is PlanKind.END:
                self.plan, self.phase = None, Phase.ENDED
                assert self.end is not None
                self.actions.append(Finish(self.end))
                return
            elif plan.serial:
                return
            elif plan.delay_s > 0:
                self._wait_as_group(plan)
                return
            elif plan.starting:
                if not self._start_next(plan):
                    return
            else:
                self._plan_done(plan)

    def _stop_next(self, plan: Plan) -> bool:
        """True when the head of `plan.stopping` is settled and the next can be looked at."""
        together = plan.kind is PlanKind.END and self.spec.template is not None
        if together:
            for id in plan.stopping:
                child = self.children[id]
                if child.state in (ChildState.STARTING, ChildState.RUNNING):
                    self.ask_stop(child)
                    if self.plan is not plan:
                        return True  # a brutal stop went on from here
            left = tuple(id for id in plan.stopping if id in self.children and self.children[id].state in _LIVE)
            if self.plan is plan and len(left) != len(plan.stopping):
                self.plan = plan._replace(stopping=left)
            return not left
        head = self.children.get(plan.stopping[0])
        if head is None or head.state not in _LIVE:
            self.plan = plan._replace(stopping=plan.stopping[1:])
            return True
        if head.state is not ChildState.STOPPING:
            # An abandoned (brutal) child is gone at once and has moved the plan on by itself.
            self.ask_stop(head)
            return self.plan is not plan
        return False

    def _start_next(self, plan: Plan) -> bool:
        head = self.children.get(plan.starting[0])
        if head is not None:
            if head.state is ChildState.STARTING:
                return False
            # Up already, or staying down, or (one_for_one) failed since and looked after on its own.
            revived = head.state is ChildState.STOPPED and head.spec.revive
            restarting = head.state is ChildState.BACKOFF and plan.kind is PlanKind.GROUP
            if head.state in (ChildState.WAITING, ChildState.LOST) or revived or restarting:
                self.start(head)
                return False
        self.plan = plan._replace(starting=plan.starting[1:])
        return True

    def _wait_as_group(self, plan: Plan) -> None:
        self.serial += 1
        self.plan = plan._replace(serial=self.serial)
        for id in plan.starting:
            child = self.children.get(id)
            if child is not None and child.state not in _LIVE:
                self.wait(child, plan.delay_s, serial=self.serial)
        self.actions.append(Arm(RetryDue("", self.serial), plan.delay_s))
        self._look_at_the_lost()
        self._answer_queued()

    def _plan_done(self, plan: Plan) -> None:
        self.plan = None
        if plan.kind is PlanKind.BEGIN:
            self.phase = Phase.RUNNING
            self.actions.append(Ready())
        self._look_at_the_lost()
        self._answer_queued()

    def _look_at_the_lost(self) -> None:
        """Those that ended while a plan was stopping or starting: now is their turn."""
        lost, self.lost = self.lost, ()
        for event in lost:
            child = self.children.get(event.id)
            if child is None or child.epoch != event.epoch or child.state is not ChildState.LOST:
                continue  # restarted since, together with its group
            if self._in_the_way(child):  # the turn of the one before it made a plan of its own
                self.lost = (*self.lost, event)
            elif self.phase is not Phase.STOPPING:
                self.ended_by_itself(child, event.reason)

    def _answer_queued(self) -> None:
        queued, self.queued = self.queued, ()
        for request in queued:
            _HANDLERS[type(request)](self, request)

    # -- administration
    def _postponed(self, request: Admin) -> bool:
        """Queue `request` while a plan stops or starts children; while it waits, or without one, go ahead."""
        if self.phase in (Phase.STOPPING, Phase.ENDED) or self.plan is None or self.plan.serial:
            return False
        self.queued = (*self.queued, request)
        return True

    def _ending(self, request: Admin) -> bool:
        if self.phase in (Phase.STOPPING, Phase.ENDED):
            self.answer((request.ticket,), error=SupervisorEnding(""))
            return True
        return False

    def start_child(self, request: StartChild) -> None:
        if self._ending(request) or self._postponed(request):
            return
        spec = request.spec
        known = self.children.get(spec.id)
        error: Exception | None = None
        if known is not None:
            error = (AlreadyPresent if known.state is ChildState.STOPPED else AlreadyStarted)(spec.id)
        elif self.spec.max_children is not None and len(self.children) >= self.spec.max_children:
            error = TooManyChildren(spec.id)
        elif self.plan is not None:
            error = ChildRestarting(spec.id, "its group waits for a restart; retry_now() shortens the wait.")
        else:
            try:
                check_child(self.spec, spec)
            except SpecError as wrong:
                error = wrong
        if error is not None:
            self.answer((request.ticket,), error=error)
            return
        child = Child(spec, epoch=max(request.epoch, self.floor), since_s=self.now_s, dynamic=True)
        self.tell(EventKind.ADMIN, child, detail="child added")
        self.start(child, tickets=(request.ticket,), by_hand=True)

    def terminate_child(self, request: TerminateChild) -> None:
        child = self.children.get(request.id)
        if child is None:
            self.answer((request.ticket,), error=NoSuchChild(request.id))
            return
        if child.state in _LIVE and (
            (child.state is ChildState.STOPPING and child.by_hand) or self.phase is Phase.STOPPING
        ):
            self.change(child, tickets=(*child.tickets, request.ticket))
            return
        if self.phase in (Phase.STOPPING, Phase.ENDED):
            self.answer((request.ticket,), value=True)
            return
        if self._postponed(request):
            return
        if child.state is ChildState.STOPPED:
            self.answer((request.ticket,), value=True)
        elif child.state in (ChildState.STARTING, ChildState.RUNNING):
            self.answer(child.tickets, error=StartFailed(request.id, "it was stopped while it started"))
            self.ask_stop(child, tickets=(request.ticket,), by_hand=True)
        else:
            self.leave_plan(child)
            self.drop(child, Reason(EndKind.STOPPED, text="by hand, while waiting for its restart"))
            self.answer((request.ticket,), value=True)
            if self.plan is not None and not any(
                id in self.children and self.children[id].state is ChildState.BACKOFF for id in self.plan.starting
            ):
                self._plan_done(self.plan)  # nobody is left to wait for

    def restart_child(self, request: RestartChild) -> None:
        if self._ending(request) or self._postponed(request):
            return
        child = self.children.get(request.id)
        error: Exception | None = None
        if child is None:
            error = NoSuchChild(request.id)
        elif child.state in (ChildState.BACKOFF, ChildState.LOST):
            error = ChildRestarting(request.id)
        elif child.state is not ChildState.STOPPED:
            error = ChildRunning(request.id)
        if error is not None:
            self.answer((request.ticket,), error=error)
            return
        assert child is not None
        self.start(child, tickets=(request.ticket,), by_hand=True, failures=0)

    def delete_child(self, request: DeleteChild) -> None:
        if self._ending(request) or self._postponed(request):
            return
        child = self.children.get(request.id)
        if child is None:
            self.answer((request.ticket,), error=NoSuchChild(request.id))
        elif child.state is ChildState.BACKOFF:
            self.answer((request.ticket,), error=ChildRestarting(request.id))
        elif child.state is not ChildState.STOPPED:
            self.answer((request.ticket,), error=ChildRunning(request.id))
        else:
            self.forget(child)
            self.tell(EventKind.ADMIN, child, detail="child deleted")
            self.answer((request.ticket,), value=True)

    def retry_now(self, request: RetryNow) -> None:
        if self._ending(request) or self._postponed(request):
            return
        child = self.children.get(request.id)
        if child is None:
            self.answer((request.ticket,), error=NoSuchChild(request.id))
            return
        waiting = child.state is ChildState.BACKOFF
        self.answer((request.ticket,), value=waiting)
        if waiting and self.plan is not None:
            self.end_wait()
        elif waiting:
            self.try_again(child)

    def reset_count(self, request: ResetCount) -> None:
        child = self.children.get(request.id)
        if child is None:
            self.answer((request.ticket,), error=NoSuchChild(request.id))
            return
        had = bool(child.failures or child.window or not child.breaker.is_closed)
        self.change(child, failures=0, window=(), breaker=circuit.CLOSED)
        self.answer((request.ticket,), value=had)

    def set_intensity(self, request: SetIntensity) -> None:
        self.intensity = request.intensity
        self.spec = replace(self.spec, intensity=request.intensity)
        self.actions.append(Tell(EventKind.ADMIN, "", detail=f"intensity is now {request.intensity}"))
        self.answer((request.ticket,), value=True)


_HANDLERS: dict[type, Callable[[_Work, Any], None]] = {
    Begin: _Work.begin,
    Started: _Work.started,
    Ended: _Work.ended,
    Returned: _Work.returned,
    Overdue: _Work.overdue,
    InterruptDue: _Work.interrupt_due,
    ShutdownElapsed: _Work.shutdown_elapsed,
    GraceElapsed: _Work.grace_elapsed,
    RetryDue: _Work.retry_due,
    Healthy: _Work.healthy,
    StopAll: _Work.stop_all,
    StartChild: _Work.start_child,
    TerminateChild: _Work.terminate_child,
    RestartChild: _Work.restart_child,
    DeleteChild: _Work.delete_child,
    RetryNow: _Work.retry_now,
    ResetCount: _Work.reset_count,
    SetIntensity: _Work.set_intensity,
}
