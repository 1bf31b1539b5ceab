"""A whole tree: started in one call, looked at as a value, stopped in order with a report of what would not stop.

`Tree` is the root supervisor's parent and keeps what outlives supervisors: the directory of cells, subscribers, dead
letters, the watchdog, the list of threads left behind. It decides one thing: what follows when the root itself ends.
Its methods may be called from any thread; `stop` waits, `request_stop` does not.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pykka

from connector.supervision import decisions as do
from connector.supervision.bus import DeadLetters, Subscription
from connector.supervision.cell import Cell, Down
from connector.supervision.errors import SelfAsk, SpecError, StartFailed, Stopped
from connector.supervision.events import EventKind, Level, TreeEvent
from connector.supervision.futures import Reply, here
from connector.supervision.incarnation import Incarnation, Life
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.refs import StableRef
from connector.supervision.runtime import Runtime, ThreadHandle, ThreadRuntime
from connector.supervision.snapshot import ChildSnapshot, render, snapshot_of
from connector.supervision.specs import Brutal, ChildSpec, OnLimit, SupervisorSpec
from connector.supervision.supervisor import Supervisor

__all__ = ["StopReport", "Tree", "start_tree"]

DEFAULT_STOP_S = 10.0
LAST_MOMENT_S = 0.5


@dataclass(frozen=True, slots=True)
class StopReport:
    """How the tree ended. `unstopped` names every thread that still runs; `ok` is true when there is none."""

    ok: bool
    reason: Reason
    took_s: float
    unstopped: tuple[str, ...]
    dead_letters: int


def start_tree(
    spec: SupervisorSpec,
    *,
    runtime: Runtime | None = None,
    on_event: Callable[[TreeEvent], object] | None = None,
    name: str = "root",
    watch_every_s: float = 0.25,
    register: bool = True,
) -> "Tree":
    """Start every child in order and return when the last has reported ready.

    Args:
        runtime: time, chance and threads; None makes a `ThreadRuntime` that the tree closes at its end.
        on_event: subscribed before the first child is started.
        watch_every_s: the watchdog notices an overdue child within its limit plus this.
        register: put the root (alone) into `pykka.ActorRegistry`, so that `stop_all()` stops the tree in order.

    Raises:
        StartFailed: a child did not start; those before it have been stopped again in reverse order.
    """
    tree = Tree(spec, runtime=runtime, name=name, watch_every_s=watch_every_s, register=register)
    if on_event is not None:
        tree.subscribe(on_event)
    tree._start()
    return tree


class Tree:
    def __init__(
        self, spec: SupervisorSpec, *, runtime: Runtime | None, name: str, watch_every_s: float, register: bool
    ) -> None:
        if not isinstance(spec, SupervisorSpec):
            raise SpecError(f"start_tree needs a SupervisorSpec, not {spec!r}")
        if not watch_every_s > 0:
            raise SpecError(f"watch_every_s is {watch_every_s!r}, expected a positive number of seconds")
        self.name, self.spec = name, spec
        self._own_runtime = runtime is None
        self.runtime: Runtime = ThreadRuntime() if runtime is None else runtime
        self.dead_letters = DeadLetters()
        self.forked = False
        self.cells: dict[str, Cell] = {}
        self._lock = threading.Lock()  # protects the collections below; nothing is called inside
        self._subscriptions: tuple[Subscription, ...] = ()
        self._notices: Subscription | None = None
        self._abandoned: list[Incarnation] = []
        self._left: list[ThreadHandle] = []  # helper threads that would not end
        self._helpers: list[ThreadHandle] = []
        self._registered = register
        self._scan_s = watch_every_s / 2  # two scans may pass before the age of a message is known
        self._scan_timer: Any = None
        self._retry_timer: Any = None
        self._started = self.runtime.make_flag()
        self._ended = self.runtime.make_flag()
        self._reported = self.runtime.make_flag()
        self._stop_asked = False
        self._stopping = False
        self._stop_began_s: float | None = None
        self._stop_replies: list[Reply] = []
        self._rebuilds = 0
        self.epoch_floor = 0
        self.reason: Reason | None = None
        self.report: StopReport | None = None
        root = ChildSpec(name, Supervisor, args=(spec,), busy_limit_s=None)
        self.root_cell = self.cells["/"] = Cell(self, "/", root, None)

    def __repr__(self) -> str:
        state = f"ended: {self.reason}" if self.ended else "up" if self._started.is_set() else "starting"
        return f"<Tree {self.name} {state}, {len(self.cells) - 1} children, {len(self.abandoned)} abandoned>"

    # ------------------------------------------------------------------ for users
    @property
    def ended(self) -> bool:
        """Whether the root is gone; `reason` says why, and subscribers got TREE_ENDED."""
        return self._ended.is_set()

    def wait_ended(self, timeout_s: float) -> bool:
        return self._ended.wait(timeout_s)

    @property
    def root(self) -> StableRef:
        return self.root_cell.ref

    def ref(self, path: str) -> StableRef:
        """The reference of the actor at `path`, "/" being the root supervisor. Raises LookupError."""
        cell = self.cells.get(path if path.startswith("/") else "/" + path)
        if cell is None:
            known = ", ".join(sorted(self.cells))
            raise LookupError(f"there is no actor at {path!r}; the tree has {known}")
        return cell.ref

    def snapshot(self) -> ChildSnapshot:
        """The whole tree as a frozen value. Never waits."""
        return self.snapshot_of(self.root_cell)

    def snapshot_of(self, cell: Cell) -> ChildSnapshot:
        return snapshot_of(cell, None, self.runtime.monotonic_s())

    def render(self) -> str:
        """The whole tree as a picture, one line per actor."""
        return render(self.snapshot())

    def subscribe(self, callback: Callable[[TreeEvent], object], *, capacity: int = 10_000) -> Subscription:
        """Call `callback` with every event, on a thread of its own. Too slow: its own events are dropped, counted."""
        subscription = Subscription(callback, capacity)
        with self._lock:
            number = len(self._subscriptions) + 1
            self._subscriptions += (subscription,)
        return subscription.start(self.runtime, f"connector:events#{number}")

    @property
    def abandoned(self) -> tuple[Incarnation, ...]:
        """Incarnations that were fenced and whose threads still run."""
        with self._lock:
            self._abandoned = [one for one in self._abandoned if one.life is not Life.GONE]
            return tuple(self._abandoned)

    def stop(self, timeout_s: float = DEFAULT_STOP_S) -> StopReport:
        """Stop everything in reverse start order and wait until it has; then end by force what has not.

        Any number of calls from any thread; all return the same report, after everything is over.

        Raises:
            SelfAsk: called from inside the tree, where it would wait for itself; use `request_stop`.
        """
        me = here.incarnation
        if me is not None and me.cell.tree is self:
            raise SelfAsk(f"{me.cell.path} would wait for its own end. Use tree.request_stop().")
        with self._lock:
            first, self._stopping = not self._stopping, True
        if first:
            self._stop(timeout_s)
        else:
            self._reported.wait(timeout_s + DEFAULT_STOP_S)
        if self.report is None:
            raise pykka.Timeout(f"the tree is still stopping after {timeout_s + DEFAULT_STOP_S} s")
        return self.report

    def request_stop(self, reply: Reply | None = None) -> None:
        """Ask the tree to stop; returns at once. From anywhere, signal handlers included."""
        if reply is not None:
            self._stop_replies.append(reply)
        if self.ended:
            self._answer_stops()
            return
        self._stop_asked = True
        if self._stop_began_s is None:
            self._stop_began_s = self.runtime.monotonic_s()
        incarnation = self.root_cell.incarnation
        reason = Reason(EndKind.STOPPED, text="the tree was asked to stop")
        if incarnation is not None and incarnation.life is not Life.GONE:
            incarnation.end_soon(reason)
        elif self._retry_timer is not None:
            self._retry_timer.cancel()
            self._end(reason)

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ start and end
    def _start(self) -> None:
        if self._registered:
            pykka.ActorRegistry.register(self.root)
        _TREES.add(self)
        self._scan_timer = self.runtime.call_later(self._scan_s, self._scan, background=True)
        try:
            self.root_cell.start(1)
        except Exception as error:  # noqa: BLE001 - not even one thread
            self.root_notice(do.Ended(self.name, 1, Reason(EndKind.START_FAILED, error)))
        self._started.wait(None)
        if self.reason is not None:
            reason = self.reason
            self.stop()
            failed = StartFailed(self.name, str(reason))
            raise failed from reason.cause

    def root_notice(self, notice: Any) -> None:
        """What the root would tell its supervisor; on the root's own thread, as its last act when it has ended."""
        if isinstance(notice, do.Started):
            self.emit(EventKind.STARTED, "/", notice.epoch, old_epoch=notice.epoch - 1)
            self._started.set()
        elif isinstance(notice, do.Ended):
            reason = notice.reason
            again = self.spec.on_limit is OnLimit.PROBE and reason.is_abnormal and not self._stop_asked
            level = Level.ERROR if reason.is_abnormal else Level.INFO
            self.emit(EventKind.ENDED, "/", notice.epoch, level, reason=reason)
            if again and self._started.is_set():
                self._rebuild(notice.epoch, reason)
            else:
                self._end(reason)

    def _rebuild(self, epoch: int, reason: Reason) -> None:
        """The root itself failed, and this tree never gives up: start it again; its children's cells are kept."""
        backoff = self.root_cell.spec.backoff
        self._rebuilds += 1
        delay_s = max(backoff.base_s, backoff.delay_s(self._rebuilds, self.runtime.random()))
        self.emit(EventKind.BACKOFF, "/", epoch, Level.ERROR, reason=reason, delay_s=delay_s, restarts=self._rebuilds)
        self._retry_timer = self.runtime.call_later(delay_s, lambda: self._start_root(epoch + 1))

    def _start_root(self, epoch: int) -> None:
        try:
            self.root_cell.start(epoch)
        except Exception as error:  # noqa: BLE001
            self._rebuild(epoch, Reason(EndKind.START_FAILED, error))

    def _end(self, reason: Reason) -> None:
        """The root is gone for good: close what is left, tell everybody, once."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
        self.close_below(self.root_cell, reason)
        self.root_cell.close(reason)
        if self._scan_timer is not None:
            self._scan_timer.cancel()
        if self._registered:
            pykka.ActorRegistry.unregister(self.root)
        level = Level.ERROR if reason.is_abnormal else Level.INFO
        self.emit(EventKind.TREE_ENDED, "/", self.root_cell.epoch, level, reason=reason, count=self.dead_letters.count)
        self._ended.set()
        self._started.set()
        self._answer_stops()

    def _answer_stops(self) -> None:
        replies, self._stop_replies = self._stop_replies, []
        for reply in replies:
            reply.set(True)

    def _stop(self, timeout_s: float) -> None:
        runtime = self.runtime
        self.request_stop()
        in_time = self._ended.wait(timeout_s)
        if not in_time:
            self._force()
        began_s = self._stop_began_s if self._stop_began_s is not None else runtime.monotonic_s()
        with self._lock:
            lives = [cell.incarnation.thread for cell in self.cells.values() if cell.incarnation is not None]
            zombies = [one.thread for one in self._abandoned]
            handles = [*lives, *zombies, *self._left, *self._helpers]
            subscriptions = [*self._subscriptions, *([self._notices] if self._notices else [])]
            self._subscriptions = ()
        for subscription in subscriptions:
            subscription.close()
        handles += [subscription.thread for subscription in subscriptions]
        # Whoever was going to end has; threads that were given up before get a moment, not the rest of the time.
        until_s = runtime.monotonic_s() + LAST_MOMENT_S
        unstopped = [
            handle.name
            for handle in handles
            if handle is not None and not handle.join_s(max(0.02, until_s - runtime.monotonic_s()))
        ]
        if self._own_runtime:
            runtime.close()
        assert self.reason is not None
        took_s = runtime.monotonic_s() - began_s
        names = tuple(dict.fromkeys(unstopped))
        self.report = StopReport(not names, self.reason, took_s, names, self.dead_letters.count)
        self._reported.set()

    def _force(self) -> None:
        """Time is up: fence whatever is left, deepest first."""
        reason = Reason(EndKind.KILLED, text="the tree did not stop in time")
        with self._lock:
            cells = sorted(self.cells.values(), key=lambda cell: -cell.path.count("/") if cell.path != "/" else 0)
        for cell in cells:
            incarnation = cell.incarnation
            if incarnation is not None and incarnation.life is not Life.GONE:
                self.interrupt(incarnation, incarnation.actor)
                cell.fence(incarnation, reason)
                self.abandon(incarnation)
        self._end(reason)

    # ------------------------------------------------------------------ for supervisors and cells
    def cell_for(self, path: str, spec: ChildSpec, parent: Cell) -> Cell:
        cell = self.cells.get(path)
        if cell is None:
            cell = Cell(self, path, spec, parent)
            cell.epoch = self.epoch_floor
            with self._lock:
                self.cells[path] = cell
        elif cell.spec is not spec:
            cell.spec = spec
        return cell

    def adopt(self, parent: Cell, ids: set[str]) -> None:
        """A supervisor starts again: cells of children it does not know any more are closed and forgotten."""
        gone = Reason(EndKind.STOPPED, text="its supervisor was restarted; children added while running are not kept")
        with self._lock:
            lost = [cell for cell in self.cells.values() if cell.parent is parent and cell.spec.id not in ids]
        for cell in lost:
            self.close_below(cell, gone)
            cell.close(gone)
            self.forget(cell.path)

    def close_below(self, cell: Cell, reason: Reason) -> None:
        """Close every cell under `cell`, deepest first."""
        if not cell.spec.supervisor:
            return
        prefix = "/" if cell.path == "/" else cell.path + "/"
        with self._lock:
            below = [sub for path, sub in self.cells.items() if path.startswith(prefix) and sub is not cell]
        for sub in sorted(below, key=lambda one: one.path.count("/"), reverse=True):
            sub.close(sub.last_end or reason)

    def forget(self, path: str) -> None:
        with self._lock:
            for known in [known for known in self.cells if known == path or known.startswith(path + "/")]:
                # A later child of the same path must not repeat an epoch: an abandoned thread may still carry it.
                self.epoch_floor = max(self.epoch_floor, self.cells.pop(known).epoch)

    def stop_children(self, parent: Cell) -> None:
        """Stop what a supervisor that can no longer do it left running: in reverse order, then by force.

        Waits; runs on a helper thread, or on the thread of a supervisor whose deciding has failed.
        """
        with self._lock:
            orphans = [cell for cell in self.cells.values() if cell.parent is parent]
        for cell in reversed(orphans):
            incarnation = cell.incarnation
            if incarnation is None or incarnation.thread is None or incarnation.life is Life.GONE:
                continue
            incarnation.end_soon(Reason(EndKind.STOPPED, text="its supervisor is gone"))
            shutdown_s = cell.spec.shutdown_s
            patience_s = 0.0 if isinstance(shutdown_s, Brutal) else shutdown_s or 0.0
            if not incarnation.thread.join_s(patience_s):
                self.interrupt(incarnation, incarnation.actor)
                if not incarnation.thread.join_s(cell.spec.interrupt_grace_s):
                    if cell.spec.supervisor:
                        self.stop_children(cell)
                    cell.fence(incarnation, Reason(EndKind.KILLED, text="its supervisor is gone"))
                    self.abandon(incarnation)

    def abandon(self, incarnation: Incarnation) -> None:
        with self._lock:
            if incarnation not in self._abandoned:
                self._abandoned.append(incarnation)

    def returned(self, incarnation: Incarnation) -> None:
        with self._lock:
            if incarnation in self._abandoned:
                self._abandoned.remove(incarnation)
        self.emit(EventKind.RETURNED, incarnation.cell.path, incarnation.epoch)

    def abandoned_of(self, cell: Cell) -> list[Incarnation]:
        return [one for one in self.abandoned if one.cell is cell]

    def left_behind(self, handles: list[ThreadHandle]) -> None:
        with self._lock:
            self._left = [*(handle for handle in self._left if handle.is_alive()), *handles]

    def helper(self, name: str, body: Callable[[], None]) -> None:
        """Run `body` on a thread of its own; on this one when there can be none (interpreter exit)."""
        try:
            handle = self.runtime.run(name, body)
        except RuntimeError:
            body()
            return
        with self._lock:
            self._helpers = [*(one for one in self._helpers if one.is_alive()), handle]

    def interrupt(self, incarnation: Incarnation, actor: Any) -> None:
        """Call the actor's `on_interrupt` from a helper thread."""
        if actor is None:
            return

        def body() -> None:
            try:
                actor.on_interrupt()
            except BaseException as error:  # noqa: BLE001 - reported; the ladder goes on
                reason = Reason(EndKind.CRASHED, error)
                detail = "on_interrupt"
                incarnation.cell.emit(
                    EventKind.CLEANUP_FAILED, incarnation.epoch, Level.ERROR, reason=reason, detail=detail
                )

        self.helper(f"connector:{incarnation.cell.path}#{incarnation.epoch}:interrupt", body)

    @property
    def listened(self) -> bool:
        """Whether anybody would get an event."""
        return bool(self._subscriptions)

    def emit(self, kind: EventKind, path: str, epoch: int, level: Level = Level.INFO, **more: Any) -> None:
        """Hand an event to every subscriber; never blocks, costs next to nothing when there is none."""
        subscriptions = self._subscriptions
        if subscriptions:
            runtime = self.runtime
            event = TreeEvent(kind, path, epoch, runtime.monotonic_s(), runtime.time_ns(), level, **more)
            for subscription in subscriptions:
                subscription.offer(event)

    def deliver(self, callback: Callable[[Down], object], down: Down) -> None:
        """Call a watcher on the notice thread."""
        with self._lock:
            notices = self._notices
            if notices is None:
                notices = self._notices = Subscription(lambda call, argument: call(argument), None)
                notices.start(self.runtime, "connector:notices")
        notices.offer(callback, down)

    # ------------------------------------------------------------------ watchdog
    def _scan(self) -> None:
        """On the timer thread: find incarnations that are too long in one thing, and tell their supervisors."""
        now_s = self.runtime.monotonic_s()
        with self._lock:
            cells = tuple(self.cells.values())
        for cell in cells:
            incarnation = cell.incarnation
            if incarnation is not None and incarnation.life is not Life.GONE:
                self._look_at(cell, incarnation, now_s)
        if not self.ended:
            self._scan_timer = self.runtime.call_later(self._scan_s, self._scan, background=True)

    def _look_at(self, cell: Cell, incarnation: Incarnation, now_s: float) -> None:
        life, spec, noted = incarnation.life, cell.spec, incarnation.noticed
        limit_s: float | None
        if life is Life.RUNNING:
            what: Any = incarnation.in_hand
            if what is None:
                incarnation.noticed = None
                return
            if noted is None or noted[0] is not what:
                incarnation.noticed = (what, now_s, False)
                return
            limit_s = spec.busy_limit_s
            since_s = noted[1]
        else:
            what = life
            since_s = incarnation.since_s
            if life is Life.STARTING:
                limit_s = spec.start_timeout_s
            elif isinstance(spec.shutdown_s, Brutal):
                limit_s = spec.interrupt_grace_s
            else:
                limit_s = spec.shutdown_s
        reported = noted is not None and noted[0] is what and noted[2]
        if limit_s is None or reported or now_s - since_s < limit_s:
            return
        incarnation.noticed = (what, since_s, True)
        stack = incarnation.thread.stack() if incarnation.thread is not None else ""
        cell.notify(do.Overdue(spec.id, incarnation.epoch, life.value, now_s - since_s, stack))

    # ------------------------------------------------------------------ fork
    def _forked(self) -> None:
        """In the child process after a fork: there are no threads here, so nobody would ever answer."""
        self.forked = True
        for cell in tuple(self.cells.values()):
            cell.inbox.refuse(
                lambda: Stopped("this process was forked; the actors run in its parent. Start a tree here.")
            )


_TREES: "weakref.WeakSet[Tree]" = weakref.WeakSet()


def _after_fork() -> None:
    for tree in list(_TREES):
        with contextlib.suppress(Exception):
            tree._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
