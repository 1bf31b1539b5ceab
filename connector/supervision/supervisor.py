"""The supervisor: an actor that performs what `decisions` decides.

It starts, stops, fences and closes children and answers questions; it never waits for one of them, so it answers
while they start, stop and back off. No user code runs on its thread, except the handlers a subclass adds, which have to
be quick and read-only. It may itself be a child; a supervisor that gave up is an abnormal end for its parent.

Messages (or proxy methods of the same meaning): StartChild, TerminateChild, RestartChild, DeleteChild, RetryNow,
ResetCount, SetIntensity, WhichChildren, CountChildren, GetChildSpec, TakeSnapshot.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pykka import messages

from connector.supervision import decisions as do
from connector.supervision.actor import SupervisedActor
from connector.supervision.cell import Cell
from connector.supervision.decisions import Child, ChildState, decide, initial_state
from connector.supervision.errors import NoSuchChild, SelfAsk, SpecError
from connector.supervision.events import EventKind, Level
from connector.supervision.futures import Reply
from connector.supervision.incarnation import CallerMistake, Incarnation, InterruptedHandler, Life
from connector.supervision.intensity import Intensity
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.runtime import TimerHandle
from connector.supervision.specs import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from connector.supervision.refs import StableRef
    from connector.supervision.snapshot import ChildSnapshot

__all__ = ["ChildInfo", "CountChildren", "GetChildSpec", "Supervisor", "TakeSnapshot", "WhichChildren"]


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Answered with a tuple of `ChildInfo`, in start order."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Answered with {"specs", "active", "supervisors", "workers"}."""


@dataclass(frozen=True, slots=True)
class GetChildSpec:
    """Answered with the effective `ChildSpec`, defaults filled in."""

    id: str


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Answered with the `ChildSnapshot` of this supervisor and everything below it."""


@dataclass(frozen=True, slots=True)
class ChildInfo:
    id: str
    ref: "StableRef"
    state: str
    epoch: int
    supervisor: bool
    next_attempt_s: float | None


class Supervisor(SupervisedActor):
    """A supervisor of the children in `spec`. Subclass it to give it a spec of its own and quick read-only handlers."""

    is_supervisor = True

    def __init__(self, spec: SupervisorSpec) -> None:
        if not isinstance(spec, SupervisorSpec):
            raise SpecError(f"Supervisor needs a SupervisorSpec, not {spec!r}")
        self._core = initial_state(spec)  # replaced in _on_ready; replaced as a whole, so any thread may read it
        self._finished: Reason | None = None
        self._winding_down = False

    # ------------------------------------------------------------------ life
    def _on_ready(self) -> None:
        """Adopt the cells an earlier incarnation left, make the others, start the children."""
        incarnation = self.context._incarnation
        cell, spec = incarnation.cell, self._core.spec
        kept = cell.dynamic if spec.keep_dynamic else ()
        cell.tree.adopt(cell, {child.id for child in (*spec.children, *kept)})
        epochs = {child.id: self._cell_for(child).epoch for child in (*spec.children, *kept)}
        cell.dynamic = kept
        self._core = initial_state(spec, epochs, kept)
        self._decide(do.Begin())

    def _may_end(self, reason: Reason) -> bool:
        if self._finished is None and not self._winding_down:
            self._winding_down = True
            self._decide(do.StopAll(reason))
        if self._finished is None:
            return False
        self.context._incarnation.end_reason = self._finished
        return True

    def _wind_up(self) -> None:
        """When deciding itself has failed, the children still must not outlive their supervisor."""
        incarnation = self.context._incarnation
        if self._finished is None and not incarnation.fenced:  # once fenced, the children are a successor's
            incarnation.cell.tree.stop_children(incarnation.cell)

    # ------------------------------------------------------------------ deciding and performing
    def _decide(self, event: Any) -> None:
        runtime = self.context._incarnation.cell.tree.runtime
        self._core, actions = decide(self._core, event, runtime.monotonic_s(), runtime.random())
        for action in actions:
            _PERFORM[action.__class__](self, action)

    def _notice(self, event: Any) -> None:
        self._decide(event)

    def _ended(self, event: do.Ended) -> None:
        child = self._core.children.get(event.id)
        if child is not None and child.state is ChildState.STOPPING and child.epoch == event.epoch:
            # It has said its last words; the next child is asked only when its thread is really gone.
            incarnation = self._cell(event.id).incarnation
            if incarnation is not None and incarnation.thread is not None:
                incarnation.thread.join_s(1.0)
        self._decide(event)

    def _cell(self, id: str) -> Cell:
        cell = self.context._incarnation.cell
        return cell.tree.cells[_join(cell.path, id)]

    def _cell_for(self, spec: ChildSpec) -> Cell:
        cell = self.context._incarnation.cell
        child = cell.tree.cell_for(_join(cell.path, spec.id), spec, cell)
        child.rules = self._core.spec
        return child

    def _incarnation(self, id: str, epoch: int) -> Incarnation | None:
        incarnation = self._cell(id).incarnation
        return incarnation if incarnation is not None and incarnation.epoch == epoch else None

    def _start(self, action: do.Start) -> None:
        child = self._core.children[action.id]
        cell = self._cell_for(child.spec)
        if child.dynamic and not any(spec.id == action.id for spec in self.context._incarnation.cell.dynamic):
            self.context._incarnation.cell.dynamic += (child.spec,)
        try:
            cell.start(action.epoch)
        except Exception as error:  # noqa: BLE001 - no thread: that is a start failure like any other
            cell.epoch = action.epoch
            self._later(do.Ended(action.id, action.epoch, Reason(EndKind.START_FAILED, error)))

    def _later(self, event: Any) -> None:
        self.context._incarnation.cell.inbox.push_urgent(event)

    def _ask_stop(self, action: do.AskStop) -> None:
        incarnation = self._incarnation(action.id, action.epoch)
        if incarnation is not None:
            incarnation.end_soon(Reason(EndKind.STOPPED))

    def _condemn(self, action: do.Condemn) -> None:
        incarnation = self._incarnation(action.id, action.epoch)
        if incarnation is not None:
            incarnation.end_soon(action.reason)

    def _interrupt(self, action: do.Interrupt) -> None:
        incarnation = self._incarnation(action.id, action.epoch)
        if incarnation is None or incarnation.life is Life.GONE:
            return
        cell = incarnation.cell
        child = self._core.children.get(action.id)
        if child is not None and child.condemned is None and child.state is ChildState.STOPPING:
            stack = incarnation.thread.stack() if incarnation.thread is not None else ""
            reason = Reason(EndKind.HUNG, text="did not stop when asked", stack=stack)
            cell.emit(EventKind.HUNG, action.epoch, Level.ERROR, reason=reason)
        cell.tree.interrupt(incarnation, incarnation.actor)
        injectable = cell.spec.async_exception and incarnation.life is Life.RUNNING and incarnation.in_hand is not None
        if injectable and incarnation.thread is not None:
            incarnation.thread.inject(InterruptedHandler)

    def _fence(self, action: do.Fence) -> None:
        incarnation = self._incarnation(action.id, action.epoch)
        if incarnation is not None:
            incarnation.cell.fence(incarnation, action.reason)
            incarnation.cell.tree.abandon(incarnation)

    def _reap(self, action: do.Reap) -> None:
        cell = self._cell(action.id)
        incarnation = self._incarnation(action.id, action.epoch)

        def reap() -> None:
            try:
                if incarnation is not None:
                    cell.fence(incarnation, action.reason)
                    cell.tree.abandon(incarnation)
                cell.tree.stop_children(cell)
            finally:
                self._later(do.Ended(action.id, action.epoch, action.reason))

        cell.tree.helper(f"connector:{cell.path}#{action.epoch}:reap", reap)

    def _arm(self, action: do.Arm) -> None:
        self._after(action.delay_s, action.event)

    def _after(self, delay_s: float, event: Any) -> None:
        if delay_s == math.inf:
            return
        incarnation = self.context._incarnation
        timers = incarnation.timers
        handles: list[TimerHandle] = []
        fired: list[bool] = []

        def due() -> None:
            fired.append(True)
            timers.difference_update(handles)
            incarnation.cell.inbox.push_urgent(event)

        handles.append(incarnation.cell.tree.runtime.call_later(delay_s, due))
        timers.update(handles)
        if fired:  # it may fire before it is noted down here; whoever comes last takes it out
            timers.difference_update(handles)

    def _wait(self, action: do.Wait) -> None:
        due_s = self._core.children[action.id].due_s
        self._cell(action.id).wait(due_s if due_s is not None else math.inf)
        if action.serial:
            self._after(action.delay_s, do.RetryDue(action.id, action.serial))

    def _close(self, action: do.Close) -> None:
        cell = self._cell(action.id)
        cell.tree.close_below(cell, action.reason)
        cell.close(action.reason)

    def _forget(self, action: do.Forget) -> None:
        own = self.context._incarnation.cell
        own.dynamic = tuple(spec for spec in own.dynamic if spec.id != action.id)
        own.tree.forget(_join(own.path, action.id))

    def _reply(self, action: do.Reply) -> None:
        if action.error is not None:
            action.ticket.fail(action.error)
        else:
            value = action.value
            action.ticket.set(self._cell(value).ref if isinstance(value, str) else value)

    def _tell(self, action: do.Tell) -> None:
        own = self.context._incarnation
        if not own.cell.tree.listened:
            return
        kind, id, epoch, level, reason, old_epoch, restarts, failures, delay_s, many, detail = action
        path = _join(own.cell.path, id) if id else own.cell.path
        own.cell.tree.emit(
            kind, path, epoch if id else own.epoch, level, reason=reason, old_epoch=old_epoch, restarts=restarts,
            failures=failures, delay_s=delay_s, count=many, detail=detail,
        )  # fmt: skip

    def _ready(self, action: do.Ready) -> None:
        super()._on_ready()

    def _finish(self, action: do.Finish) -> None:
        self._finished = action.reason
        self._winding_down = True
        incarnation = self.context._incarnation
        if incarnation.asked is None:
            incarnation.asked = action.reason
        incarnation.attention = True

    # ------------------------------------------------------------------ administration
    def _admin(self, request: do.Admin) -> Reply | None:
        entry = self.context._incarnation.in_hand
        if request.ticket is None and entry is not None and entry[1] is not None:
            if isinstance(request, do.TerminateChild) and _is_under(entry[1].asker, self._path_of(request.id)):
                raise_to = SelfAsk(f"{self._path_of(request.id)} would wait for its own end. Use context.stop_self().")
                self.context.defer_reply().fail(raise_to)
                return None
            request = replace(request, ticket=self.context.defer_reply())
        elif request.ticket is not None:
            self.context._incarnation.keep_reply(request.ticket)
        if isinstance(request, do.StartChild):
            known = self.context._incarnation.cell.tree.cells.get(self._path_of(request.spec.id))
            epoch = known.epoch if known is not None else self.context._incarnation.cell.tree.epoch_floor
            request = replace(request, epoch=epoch)
        self._decide(request)
        return None

    def _path_of(self, id: str) -> str:
        return _join(self.context.path, id)

    def _request(self, request: do.Admin) -> Any:
        """A proxy method: answered when it is done. Called directly by a subclass: a future."""
        entry = self.context._incarnation.in_hand
        if entry is not None and entry[0].__class__ is messages.ProxyCall:
            return self._admin(request)
        reply = self.context.clock.make_reply()
        self._admin(replace(request, ticket=reply))
        return reply

    def start_child(
        self,
        spec: ChildSpec | None = None,
        *,
        id: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Add a child at the end of the start order and start it; its `StableRef` once it is ready.

        With a template in the supervisor's spec, `id`, `args` and `kwargs` make the child from that.

        Raises:
            AlreadyStarted, AlreadyPresent, TooManyChildren, SupervisorEnding, SpecError, StartFailed.
        """
        if spec is None:
            template = self._core.spec.template
            if template is None or id is None:
                raise CallerMistake from SpecError(
                    "start_child needs a ChildSpec, or an id for a child of the template"
                )
            spec = replace(template, id=id, args=(*template.args, *args), kwargs={**template.kwargs, **(kwargs or {})})
        return self._request(do.StartChild(spec))

    def terminate_child(self, id: str) -> Any:
        """Stop it, keep its spec; True once it has stopped. Raises NoSuchChild, SelfAsk."""
        return self._request(do.TerminateChild(id))

    def restart_child(self, id: str) -> Any:
        """Start a stopped child; its ref. Raises NoSuchChild, ChildRunning, ChildRestarting, StartFailed."""
        return self._request(do.RestartChild(id))

    def delete_child(self, id: str) -> Any:
        """Remove a stopped child's spec. Raises NoSuchChild, ChildRunning, ChildRestarting."""
        return self._request(do.DeleteChild(id))

    def retry_now(self, id: str) -> Any:
        """End a backoff at once. False: there was nothing to do."""
        return self._request(do.RetryNow(id))

    def reset_count(self, id: str) -> Any:
        """Forget its failures, close its breaker. False: there was nothing to do."""
        return self._request(do.ResetCount(id))

    def set_intensity(self, intensity: Intensity) -> Any:
        """Change the shared budget from now on."""
        return self._request(do.SetIntensity(intensity))

    def which_children(self) -> tuple[ChildInfo, ...]:
        return tuple(
            ChildInfo(
                id,
                self._cell_for(child.spec).ref,
                state_of(child),
                child.epoch,
                bool(child.spec.supervisor),
                child.due_s,
            )
            for id, child in self._core.children.items()
        )

    def count_children(self) -> dict[str, int]:
        """A restarting child counts in "specs", not in "active"."""
        children = self._core.children.values()
        supervisors = sum(bool(child.spec.supervisor) for child in children)
        return {
            "specs": len(children),
            "active": sum(child.state in (ChildState.RUNNING, ChildState.STOPPING) for child in children),
            "supervisors": supervisors,
            "workers": len(children) - supervisors,
        }

    def child_spec(self, id: str) -> ChildSpec:
        """The effective spec, defaults filled in. Raises NoSuchChild."""
        child = self._core.children.get(id)
        if child is None:
            raise CallerMistake from NoSuchChild(self._path_of(id))
        return child.spec

    def supervisor_spec(self) -> SupervisorSpec:
        """The effective spec of this supervisor, limits as they are now."""
        return self._core.spec

    def snapshot(self) -> "ChildSnapshot":
        cell = self.context._incarnation.cell
        return cell.tree.snapshot_of(cell)


def state_of(child: Child) -> str:
    """The word for a child's state: "probing" tells slow probing from plain "restarting"."""
    if child.state in (ChildState.BACKOFF, ChildState.LOST):
        return "probing" if child.probing else "restarting"
    return str(child.state.value)


def _join(path: str, id: str) -> str:
    return f"/{id}" if path == "/" else f"{path}/{id}"


def _is_under(asker: Any, path: str) -> bool:
    return asker is not None and (asker.cell.path == path or asker.cell.path.startswith(path + "/"))


_EVENTS = (
    do.Started, do.Returned, do.Overdue, do.InterruptDue, do.ShutdownElapsed, do.GraceElapsed, do.RetryDue, do.Healthy,
)  # fmt: skip
_REQUESTS = (
    do.StartChild, do.TerminateChild, do.RestartChild, do.DeleteChild, do.RetryNow, do.ResetCount, do.SetIntensity,
)  # fmt: skip

Supervisor._special = {
    **SupervisedActor._special,
    **dict.fromkeys(_EVENTS, Supervisor._notice),
    **dict.fromkeys(_REQUESTS, Supervisor._admin),
    do.Ended: Supervisor._ended,
    WhichChildren: lambda self, _: self.which_children(),
    CountChildren: lambda self, _: self.count_children(),
    GetChildSpec: lambda self, message: self.child_spec(message.id),
    TakeSnapshot: lambda self, _: self.snapshot(),
}

_PERFORM: dict[type, Callable[[Supervisor, Any], None]] = {
    do.Start: Supervisor._start,
    do.AskStop: Supervisor._ask_stop,
    do.Condemn: Supervisor._condemn,
    do.Interrupt: Supervisor._interrupt,
    do.Fence: Supervisor._fence,
    do.Reap: Supervisor._reap,
    do.Arm: Supervisor._arm,
    do.Wait: Supervisor._wait,
    do.Close: Supervisor._close,
    do.Forget: Supervisor._forget,
    do.Reply: Supervisor._reply,
    do.Tell: Supervisor._tell,
    do.Ready: Supervisor._ready,
    do.Finish: Supervisor._finish,
}
