"""Run a crash script on our supervisor, on fake time in one thread, and write down what it did in the oracle's words.

The real actors run under `DeterministicRuntime`; workers report their starts and stops themselves, so what is compared
is what user code sees and not what the supervisor believes. Decides nothing about restarts. Backoff is on, as it always
is: after every event the clock moves until nobody waits for a restart any more.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pykka

from connector.supervision import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    Backoff,
    ChildRestarting,
    ChildRunning,
    ChildSnapshot,
    ChildSpec,
    CountChildren,
    DeleteChild,
    EndKind,
    EventKind,
    Ignore,
    Intensity,
    NoSuchChild,
    Restart,
    RestartChild,
    StartChild,
    StartFailed,
    Strategy,
    SupervisedActor,
    Supervisor,
    SupervisorEnding,
    SupervisorSpec,
    TerminateChild,
    Tree,
    start_tree,
)
from connector.testing.deterministic import DeterministicRuntime

__all__ = ["SHORT", "run"]

FOR_EVER_S = 1e6
SHORT = {"base_s": 0.001, "max_s": 0.001, "factor": 1.0}
ANSWERS = {
    AlreadyPresent: "already_present",
    AlreadyStarted: "already_started",
    ChildRestarting: "restarting",
    ChildRunning: "running",
    NoSuchChild: "not_found",
    StartFailed: "not_started",
    SupervisorEnding: "ended",
}
ENDS = {EndKind.GAVE_UP: "gave_up", EndKind.SHUTDOWN: "shutdown", EndKind.STOPPED: "stopped"}


class Boom(Exception):
    """What a script means by crash, and by a start that fails."""


class Worker(SupervisedActor):
    """Fails or declines to start when told so beforehand, in `__init__` or in `on_start`; ends when told how."""

    def __init__(self, world: "World", path: str, fault: tuple[type[Exception], int] | None) -> None:
        self.world, self.path, self.fault = world, path, fault
        self.leaving = False
        self._fail_at(1)

    def _fail_at(self, place: int) -> None:
        if self.fault is not None and self.fault[1] == place:
            raise self.fault[0]

    def on_start(self) -> None:
        self._fail_at(2)
        self.world.told("started", self.path)
        self.world.up.add(self.path)

    def on_receive(self, message: Any) -> None:
        self.leaving = True
        self.world.up.discard(self.path)
        if message == "crash":
            raise Boom(self.path)
        if message == "shutdown":
            self.context.stop_self("its work is done")
        else:
            self.stop()

    def on_stop(self) -> None:
        if not self.leaving and self.path in self.world.up:
            self.world.up.discard(self.path)
            self.world.told("stopped", self.path)


class HeldLoop:
    """A supervisor's loop that takes no step while the world holds it."""

    def __init__(self, loop: Any, held: set[str], name: str) -> None:
        self.run, self.step, self._loop, self._held, self._name = loop.run, loop.step, loop, held, name

    def runnable(self) -> bool:
        return self._name not in self._held and self._loop.runnable()


class HoldingRuntime(DeterministicRuntime):
    """Lets a script keep one actor from noticing what happens to others."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.held: set[str] = set()

    def run_loop(self, name: str, loop: Any) -> Any:
        return super().run_loop(name, HeldLoop(loop, self.held, name.partition("#")[0]))


class World:
    """One script under way: the tree, the faults to come, and what has happened since the last step."""

    def __init__(self, script: Any, seed: int, backoff: Backoff, revive: bool) -> None:
        self.script, self.backoff, self.revive = script, backoff, revive
        self.runtime = HoldingRuntime(seed)
        self.faults: dict[str, list[type[Exception]]] = {}
        self.up: set[str] = set()
        self.log: list[list[str]] = []
        self.gave_up: list[str] = []
        self.starts = seed
        self.tree: Tree | None = None

    # -- the tree
    def spec(self, sup: Any, path: str = "") -> SupervisorSpec:
        return SupervisorSpec(
            strategy=Strategy(sup.strategy),
            intensity=Intensity(sup.intensity, sup.period),
            auto_shutdown=AutoShutdown(sup.auto_shutdown),
            children=tuple(self.child(child, path) for child in sup.children),
        )

    def child(self, child: Any, path: str) -> ChildSpec:
        below = f"{path}/{child.id}" if path else child.id
        factory: Any = partial(self.make, below) if child.sup is None else Supervisor
        return ChildSpec(
            child.id,
            factory,
            args=() if child.sup is None else (self.spec(child.sup, below),),
            restart=Restart(child.restart),
            significant=child.significant,
            backoff=self.backoff,
            revive=self.revive,
            supervisor=child.sup is not None,
        )

    def make(self, path: str) -> Worker:
        """The factory: the fault that waits for this start strikes here, in `__init__` or in `on_start`, in turn."""
        waiting = self.faults.get(path)
        if not waiting:
            return Worker(self, path, None)
        fault = waiting.pop(0)
        self.told("ignored" if fault is Ignore else "failed", path)
        self.starts += 1
        if self.starts % 3 == 0:
            raise fault
        return Worker(self, path, (fault, self.starts % 3))

    def told(self, what: str, path: str) -> None:
        self.log.append([what, path])

    def noticed(self, event: Any) -> None:
        if event.kind is EventKind.GAVE_UP:
            self.gave_up.append(event.path.strip("/"))

    # -- one step
    def settle(self) -> None:
        """Run until nobody waits for a restart."""
        assert self.tree is not None
        while True:
            self.runtime.run_until_idle()
            waits = list(_waits(self.tree.snapshot()))
            if self.tree.ended or not waits:
                break
            self.runtime.advance(min(waits))
        # Whatever runs now has been well for long enough: its next restart is the first in a row.
        self.runtime.advance(2 * self.backoff.healthy_s)

    def step(self, answer: Any) -> list[Any]:
        assert self.tree is not None
        log, self.log = self.log, []
        gave_up, self.gave_up = self.gave_up, []
        return [answer, log, gave_up, [] if self.tree.ended else list(_children(self.tree.snapshot()))]

    def end(self, path: str, how: str) -> str:
        assert self.tree is not None
        if path not in self.up:
            return "absent"
        self.tree.ref(path).tell(how)
        return "done"

    def request(self, event: tuple) -> Any:
        """Ask without waiting: a reply to come, or the answer when there is nobody to ask."""
        assert self.tree is not None
        kind, sup, what = event
        if sup and not self.is_up(sup):
            return "absent"
        messages: dict[str, Any] = {"terminate": TerminateChild, "restart": RestartChild, "delete": DeleteChild}
        message = StartChild(self.child(what, sup)) if kind == "start" else messages[kind](what)
        return self.tree.ref(f"/{sup}").ask(message, block=False)

    def is_up(self, path: str) -> bool:
        assert self.tree is not None
        try:
            return self.tree.snapshot().find(f"/{path}").state == "running"
        except LookupError:
            return False

    def perform(self, event: tuple) -> Any:
        assert self.tree is not None
        match event:
            case ("fail" | "ignore" as kind, path, *times):
                self.faults.setdefault(path, []).extend([Boom if kind == "fail" else Ignore] * times[0])
                return "done"
            case ("end", path, how):
                return self.end(path, how)
            case ("meanwhile", path, how, events):
                return self.meanwhile(path, how, events)
            case ("together", sup, ends):
                return self.together(sup, ends)
            case ("tick", seconds):
                self.runtime.advance(seconds)
                return "done"
            case ("align", milliseconds):
                self.runtime.advance((milliseconds / 1000 - self.runtime.monotonic_s()) % 1.0)
                return "done"
            case ("stop",):
                self.tree.request_stop()
                return "stopped"
            case _:
                reply = self.request(event)
                self.settle()
                return plain(reply)

    def meanwhile(self, path: str, how: str, events: Sequence[tuple]) -> Any:
        assert self.tree is not None
        if path not in self.up:
            return "absent"
        tree, waiting = self.tree, self.faults.setdefault(path, [])
        waiting.append(Boom)
        left = len(waiting)
        self.end(path, how)
        self.runtime.run_while(lambda: len(waiting) == left and not tree.ended, 1.0)
        self.runtime.run_until_idle()
        replies = []
        for event in events:
            if tree.ended:
                replies += ["ended"] if event[0] not in ("end", "stop") else []
            elif event[0] == "end":
                self.end(event[1], event[2])
            elif event[0] == "stop":
                tree.request_stop()
            else:
                replies.append(self.request(event))
            self.runtime.run_until_idle()
        self.settle()
        return [plain(reply) for reply in replies]

    def together(self, sup: str, ends: Sequence[tuple[str, str]]) -> Any:
        if sup and not self.is_up(sup):
            return "absent"
        name = f"connector:/{sup}"
        self.runtime.held.add(name)
        answers = []
        for id, how in ends:
            answers.append(self.end(f"{sup}/{id}" if sup else id, how))
            self.runtime.run_until_idle()
        self.runtime.held.discard(name)
        return answers


def plain(reply: Any) -> str:
    """An answer in the oracle's words."""
    if isinstance(reply, str):
        return reply
    if not reply.is_set():
        return "NO ANSWER"
    try:
        value = reply.get(timeout=0)
    except pykka.ActorDeadError:
        return "ended"
    except Exception as error:
        return ANSWERS.get(type(error), repr(error))
    return "ignored" if value is None else "ok"


def _waits(snapshot: ChildSnapshot) -> Any:
    for child in snapshot.children:
        if child.next_attempt_s is not None:
            yield child.next_attempt_s
        yield from _waits(child)


def _children(snapshot: ChildSnapshot) -> Any:
    for child in snapshot.children:
        state = {"running": "up", "stopped": "down"}.get(child.state, child.state)
        yield [child.path.strip("/"), state]
        if state == "up":
            yield from _children(child)


def run(script: Any, *, seed: int = 0, backoff: Mapping[str, Any] = SHORT, revive: bool = True) -> dict[str, Any]:
    """What our supervisor does with `script`, in the shape of the oracle's outcomes.

    Args:
        seed: of the schedule and of the jitter, and where faulty starts strike first.
        backoff: arguments of every child's `Backoff`; delays are short against every window in the scripts.
        revive: children that ended for good come back with their group, as OTP has it.
    """
    world = World(script, seed, Backoff(**backoff), revive)
    for fault in script.faults:
        kind, path, times = fault
        world.faults.setdefault(path, []).extend([Boom if kind == "fail" else Ignore] * times)
    try:
        tree = world.tree = start_tree(
            world.spec(script.tree),
            runtime=world.runtime,
            on_event=world.noticed,
            watch_every_s=FOR_EVER_S,
            register=False,
        )
    except StartFailed as failed:
        named = re.search(r"child '(\w+)'", str(failed))
        first = [["not_started", named[1] if named else str(failed)], world.log, [], []]
        return {"steps": [first], "ended": "not_started"}
    world.settle()
    steps = [world.step("started")]
    for event in script.events:
        if tree.ended:
            break
        answer = world.perform(event)
        world.settle()
        steps.append(world.step(answer))
    outcome: dict[str, Any] = {"steps": steps, "ended": "running"}
    if tree.ended:
        assert tree.reason is not None
        outcome["ended"] = ENDS.get(tree.reason.kind, str(tree.reason))
    else:
        counts = tree.root.ask(CountChildren())
        outcome["count"] = [counts["specs"], counts["active"]]
    report = tree.stop()
    world.runtime.run_until_idle()
    if not report.ok or world.runtime.threads or world.up:
        outcome["left behind"] = [*report.unstopped, *world.runtime.threads, *sorted(world.up)]
    return outcome
