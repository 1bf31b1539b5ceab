"""The tree as a value and as a picture. Frozen, taken from any thread, without asking any actor.

Supervisors replace their state as a whole, so reading it takes no lock and never waits, not even for a hung one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.supervision.decisions import Child, State
from connector.supervision.incarnation import Incarnation, Life
from connector.supervision.reasons import Reason

if TYPE_CHECKING:
    from connector.supervision.cell import Cell

__all__ = ["ChildSnapshot", "render"]


@dataclass(frozen=True, slots=True)
class ChildSnapshot:
    """One actor, and for a supervisor everything below it. Seconds are relative to the moment it was taken."""

    path: str
    kind: str  # "supervisor" or "worker"
    state: str  # waiting, starting, running, stopping, restarting, probing, stopped
    epoch: int
    restarts: int
    failures: int  # in a row
    since_s: float  # in this state
    last_reason: Reason | None
    next_attempt_s: float | None
    breaker: str  # closed, open, half-open; "" without one
    inbox_depth: int
    inbox_dropped: int
    busy_s: float  # in the message in hand; 0 when idle. To the resolution of the watchdog's scan
    abandoned: int  # threads of this actor that were left behind and still run
    threads: tuple[str, ...]
    children: tuple["ChildSnapshot", ...] = ()
    worst_restarts: int | None = None  # of a supervisor: restarts below it before it gives up; None: never

    def find(self, path: str) -> "ChildSnapshot":
        """The snapshot of `path` in here. Raises LookupError."""
        if self.path == path:
            return self
        for child in self.children:
            if path == child.path or path.startswith(child.path + "/"):
                return child.find(path)
        raise LookupError(f"{path} is not below {self.path}")


def snapshot_of(cell: "Cell", child: Child | None, now_s: float) -> ChildSnapshot:
    """What is known of `cell`; `child` is its supervisor's record, None at the root or while the supervisor is away."""
    from connector.supervision.supervisor import Supervisor, state_of

    incarnation, actor = cell.incarnation, cell.actor
    core = actor._core if isinstance(actor, Supervisor) else None
    below = tuple(
        snapshot_of(sub, core.children.get(sub.spec.id) if core else None, now_s) for sub in _below(cell, core)
    )
    names: list[str] = []
    if incarnation is not None and incarnation.life is not Life.GONE:
        names.append(incarnation.thread_name)
        names += [helper.name for helper in incarnation.helpers if helper.is_alive()]
    zombies = cell.tree.abandoned_of(cell)
    if child is not None:
        state, due_s = state_of(child), child.due_s
        since_s = now_s - child.since_s
    else:
        state, due_s = _state_without_record(cell, incarnation), None
        since_s = now_s - incarnation.since_s if incarnation is not None else 0.0
    return ChildSnapshot(
        path=cell.path,
        kind="supervisor" if cell.spec.supervisor else "worker",
        state=state,
        epoch=cell.epoch,
        restarts=child.restarts if child is not None else max(0, cell.epoch - 1),
        failures=child.failures if child is not None else 0,
        since_s=since_s,
        last_reason=child.reason if child is not None else cell.last_end,
        next_attempt_s=None if due_s is None else max(0.0, due_s - now_s),
        breaker=child.breaker.name if child is not None and child.spec.breaker is not None else "",
        inbox_depth=len(cell.inbox),
        inbox_dropped=cell.inbox.dropped,
        busy_s=_busy_s(incarnation, now_s),
        abandoned=len(zombies),
        threads=(*names, *(zombie.thread_name for zombie in zombies)),
        children=below,
        worst_restarts=_worst(core, below) if core is not None else None,
    )


def _below(cell: "Cell", core: State | None) -> "list[Cell]":
    prefix = "/" if cell.path == "/" else cell.path + "/"
    cells = cell.tree.cells
    if core is not None:
        return [cells[prefix + id] for id in core.children if prefix + id in cells]
    if not cell.spec.supervisor:
        return []
    return [sub for path, sub in list(cells.items()) if sub.parent is cell and path != cell.path]


def _state_without_record(cell: "Cell", incarnation: Incarnation | None) -> str:
    if cell.ended.is_set():
        return "stopped"
    if incarnation is None or incarnation.life is Life.GONE:
        return "restarting" if cell.epoch else "waiting"
    return {Life.STARTING: "starting", Life.RUNNING: "running", Life.ENDING: "stopping"}[incarnation.life]


def _busy_s(incarnation: Incarnation | None, now_s: float) -> float:
    if incarnation is None or incarnation.in_hand is None:
        return 0.0
    noted = incarnation.noticed
    return now_s - noted[1] if noted is not None and noted[0] is incarnation.in_hand else 0.0


def _worst(core: State, below: tuple[ChildSnapshot, ...]) -> int | None:
    """Restarts anywhere below before this supervisor gives up: limits multiply from level to level."""
    from connector.supervision.specs import OnLimit

    if core.spec.on_limit is OnLimit.PROBE:
        return None
    own = core.intensity.max_restarts
    inner = [child.worst_restarts for child in below if child.kind == "supervisor"]
    if any(worst is None for worst in inner):
        return None
    deepest = max((worst for worst in inner if worst is not None), default=0)
    return own + (own + 1) * deepest


_MARKS = {
    "running": "●",
    "starting": "◐",
    "restarting": "↻",
    "probing": "◌",
    "stopping": "◑",
    "stopped": "○",
    "waiting": "·",
}


def render(root: ChildSnapshot) -> str:
    """A picture of the tree, one line per actor."""
    lines: list[str] = []
    _draw(root, "", "", lines)
    if root.worst_restarts is not None:
        lines.append(f"at most {root.worst_restarts} restarts below before the root gives up")
    return "\n".join(lines)


def _draw(node: ChildSnapshot, lead: str, rest: str, lines: list[str]) -> None:
    name = node.path if not lead else node.path.rsplit("/", 1)[-1]
    words = [f"{lead}{_MARKS[node.state]} {name}", node.state, f"#{node.epoch}", f"restarts={node.restarts}"]
    if node.next_attempt_s is not None:
        words.append(f"next attempt in {node.next_attempt_s:.2f} s")
    if node.breaker not in ("", "closed"):
        words.append(f"breaker {node.breaker}")
    if node.inbox_depth:
        words.append(f"inbox={node.inbox_depth}")
    if node.inbox_dropped:
        words.append(f"dropped={node.inbox_dropped}")
    if node.busy_s:
        words.append(f"busy {node.busy_s:.1f} s")
    if node.abandoned:
        words.append(f"abandoned={node.abandoned}")
    if node.last_reason is not None:
        words.append(f"last: {node.last_reason}")
    lines.append("  ".join(words))
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        _draw(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), lines)
