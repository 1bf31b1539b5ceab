"""What stays the same over all incarnations of one child: path, URN, inbox, reference, watchers.

A cell is open while its child runs or is on its way back, and closed once it will not come back by itself; then
senders are refused, what was queued has ended, and watchers have had their one notice. Starting the child again by
hand opens it anew. Called by the supervisor's thread; read by anyone. Runs no user code except the factory, and
that on the child's own thread.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.supervision.decisions import Ended, Returned, Started, reaction_to
from connector.supervision.errors import NotRunning, Stopped
from connector.supervision.events import EventKind, Level
from connector.supervision.inbox import NOBODY, Entry, Inbox
from connector.supervision.incarnation import Incarnation, Life
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.specs import ChildSpec, MailRule, Reaction, SupervisorSpec

if TYPE_CHECKING:
    from connector.supervision.actor import ActorContext, SupervisedActor
    from connector.supervision.tree import Tree

__all__ = ["Cell", "Down"]


@dataclass(frozen=True, slots=True)
class Down:
    """The one notice of a watch: the child at `path` has ended for good, `reason` says why."""

    path: str
    epoch: int
    reason: Reason


class Watch:
    """Handle of one watch; `cancel` makes the notice not come."""

    __slots__ = ("_cell", "deliver")

    def __init__(self, cell: "Cell", deliver: Callable[[Down], None]) -> None:
        self._cell, self.deliver = cell, deliver

    def cancel(self) -> None:
        self._cell.unwatch(self)


class Cell:
    def __init__(self, tree: "Tree", path: str, spec: ChildSpec, parent: "Cell | None") -> None:
        from connector.supervision.actor import SupervisedActor
        from connector.supervision.refs import StableRef

        self.tree, self.path, self.spec, self.parent = tree, path, spec, parent
        self.urn = uuid.uuid4().urn
        self.rules: SupervisorSpec | None = None  # the supervisor's, for its on_error table
        self.inbox = Inbox(path, spec.inbox, self._lost)
        self.incarnation: Incarnation | None = None
        self.epoch = 0
        self.dynamic: tuple[ChildSpec, ...] = ()  # of a supervisor: children added to its last incarnation
        self.ended = threading.Event()  # Pykka's actor_stopped: set while closed
        self.last_end: Reason | None = None
        factory = spec.factory
        self.actor_class: type[SupervisedActor] = factory if isinstance(factory, type) else SupervisedActor
        self.ref = StableRef(self)
        self._lock = threading.Lock()  # protects _watches and the flip to closed; nothing is called inside
        self._watches: list[Watch] = []

    def __repr__(self) -> str:
        return f"<Cell {self.path}#{self.epoch} {'closed' if self.ended.is_set() else 'open'} {len(self.inbox)} queued>"

    @property
    def actor(self) -> "SupervisedActor | None":
        incarnation = self.incarnation
        return None if incarnation is None else incarnation.actor

    # ------------------------------------------------------------------ for the incarnation
    def make_context(self, incarnation: Incarnation) -> "ActorContext":
        from connector.supervision.actor import ActorContext

        return ActorContext(incarnation)

    def construct(self, incarnation: Incarnation) -> "SupervisedActor":
        """Run the factory; on the child's own thread."""
        from connector.supervision.actor import SupervisedActor

        actor = self.spec.factory(*self.spec.args, **self.spec.kwargs)
        if not isinstance(actor, SupervisedActor):
            raise TypeError(f"the factory of {self.path} returned {type(actor).__name__}, expected a SupervisedActor")
        if actor.context._incarnation is not incarnation:
            raise TypeError(
                f"the factory of {self.path} returned an actor of another incarnation; make a new one each time"
            )
        self.actor_class = self.ref.actor_class = type(actor)
        return actor

    def reaction_to(self, error: BaseException) -> Reaction:
        tables = (self.spec.on_error, self.rules.on_error if self.rules is not None else {})
        return reaction_to(error, *tables)

    def incarnation_started(self, incarnation: Incarnation) -> None:
        if not incarnation.fenced:
            self.notify(Started(self.spec.id, incarnation.epoch))

    def incarnation_ended(self, incarnation: Incarnation, reason: Reason) -> None:
        """Last words of an incarnation, on its own thread."""
        if incarnation.fenced:
            self.tree.returned(incarnation)
            self.notify(Returned(self.spec.id, incarnation.epoch))
        else:
            self.notify(Ended(self.spec.id, incarnation.epoch, reason))

    def notify(self, notice: Any) -> None:
        """Post a notice to the supervisor's urgent lane."""
        if self.parent is None:
            self.tree.root_notice(notice)
        else:
            self.parent.inbox.push_urgent(notice)

    def emit(self, kind: EventKind, epoch: int, level: Level = Level.INFO, **more: Any) -> None:
        self.tree.emit(kind, self.path, epoch, level, **more)

    # ------------------------------------------------------------------ for the supervisor
    def start(self, epoch: int) -> None:
        """Run the next incarnation on a thread of its own.

        Raises:
            RuntimeError: no thread could be made; nothing is left behind.
        """
        if self.epoch and self.inbox.policy.over_restart is MailRule.EMPTY and not self.ended.is_set():
            lost = self.inbox.settle(
                "inbox emptied by a restart", lambda: Stopped(f"{self.path}: its inbox was emptied by a restart.")
            )
            if lost:
                self.emit(EventKind.DISCARDED, epoch, Level.WARNING, count=lost, old_epoch=self.epoch)
        self.epoch = epoch
        incarnation = Incarnation(self, epoch)
        self.incarnation = incarnation
        self.inbox.consumer = incarnation
        self._open()
        try:
            incarnation.thread = self.tree.runtime.run_loop(incarnation.thread_name, incarnation)
        except BaseException:
            self.incarnation, self.inbox.consumer = None, NOBODY
            incarnation.life = Life.GONE
            raise

    def _open(self) -> None:
        if self.ended.is_set():
            self.ended.clear()
        if self.inbox.gate is not None or self.inbox.rule is not self.inbox.policy.when_full:
            self.inbox.rule = self.inbox.policy.when_full
            self.inbox.accept()

    def wait(self, due_s: float) -> None:
        """It waits for its restart: apply the policy for that time."""
        rule = self.inbox.policy.during_backoff
        if rule is MailRule.REFUSE:
            self.inbox.refuse(
                lambda: NotRunning(
                    f"{self.path} waits for its restart, due at {due_s:.3f} s (monotonic); not accepted."
                )
            )
        elif rule is not MailRule.KEEP:
            self.inbox.rule = rule

    def drain(self) -> None:
        """Take no further messages; those queued are handled."""
        self.inbox.refuse(lambda: Stopped(f"{self.path} is being drained and takes no more messages."))

    def fence(self, incarnation: Incarnation, reason: Reason) -> None:
        if self.incarnation is incarnation:
            self.incarnation, self.inbox.consumer = None, NOBODY
        incarnation.fence(reason)

    def close(self, reason: Reason) -> None:
        """It is not coming back by itself. Once per opening; later calls change nothing."""
        with self._lock:
            if self.ended.is_set():
                return
            watches, self._watches = self._watches, []
            self.last_end = reason
            self.ended.set()
        self.inbox.consumer = NOBODY
        self.inbox.close(lambda: Stopped(f"{self.path} has stopped ({reason}); the message was not handled."))
        for watch in watches:
            watch.deliver(Down(self.path, self.epoch, reason))

    # ------------------------------------------------------------------ for refs
    def watch(self, deliver: Callable[[Down], None]) -> Watch:
        watch = Watch(self, deliver)
        with self._lock:
            if not self.ended.is_set():
                self._watches.append(watch)
                return watch
        deliver(Down(self.path, self.epoch, self.last_end or Reason(EndKind.STOPPED)))
        return watch

    def unwatch(self, watch: Watch) -> None:
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def _lost(self, why: str, letters: list[Entry], report: bool) -> None:
        self.tree.dead_letters.add(self.path, why, letters)
        if report:
            self.emit(EventKind.DEAD_LETTERS, self.epoch, Level.WARNING, count=len(letters), detail=why)
