"""Two laboratories with the same bench: `lab` has one thread and a fake clock, `threads` the real thing.

Actors are `Probe`s: a message that is callable is run with the actor, anything else is noted and returned. Whatever
happens is written into `journal` as "start a#1", "stop a#1", "got a#1 message"; events go to `events`.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connector.supervision import (
    Backoff,
    ChildSpec,
    EventKind,
    SupervisedActor,
    Supervisor,
    SupervisorSpec,
    Tree,
    TreeEvent,
    start_tree,
)
from connector.testing.deterministic import DeterministicRuntime

BLINK = Backoff(base_s=1e-6, max_s=1e-6)  # no delay worth the name, so that decisions alone are looked at


class Boom(Exception):
    """What actors die of here."""


class Probe(SupervisedActor):
    def __init__(self, lab: "Lab", *more: Any) -> None:
        self.lab, self.more = lab, more
        lab.note("init", self)
        plan = lab.init_plans.get(self.context.path)
        if plan:
            plan.pop(0)(self)

    def on_start(self) -> None:
        plan = self.lab.start_plans.get(self.context.path)
        if plan:
            step = plan.pop(0)
            if isinstance(step, BaseException):
                self.lab.note("failed", self)
                raise step
            step(self)
        self.lab.note("start", self)

    def on_stop(self) -> None:
        self.lab.note("stop", self)
        plan = self.lab.stop_plans.get(self.context.path)
        if plan:
            plan.pop(0)(self)

    def on_interrupt(self) -> None:
        self.lab.note("interrupt", self)
        hook = self.lab.interrupts.get(self.context.path)
        if hook is not None:
            hook(self)

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.lab.note("got", self, message)
        return message

    def echo(self, value: Any) -> Any:
        return value

    @property
    def who(self) -> str:
        return f"{self.context.path}#{self.context.epoch}"


class Lab:
    Probe = Probe
    Boom = Boom
    BLINK = BLINK

    def __init__(self, runtime: Any = None) -> None:
        self.runtime = runtime
        self.journal: list[str] = []
        self.events: list[TreeEvent] = []
        self.init_plans: dict[str, list[Callable[[Probe], Any]]] = {}
        self.start_plans: dict[str, list[Any]] = {}
        self.stop_plans: dict[str, list[Callable[[Probe], Any]]] = {}
        self.interrupts: dict[str, Callable[[Probe], Any]] = {}
        self.trees: list[Tree] = []
        self._changed = threading.Condition()

    # -- building
    def child(self, id: str, factory: Any = Probe, *more: Any, **spec: Any) -> ChildSpec:
        return ChildSpec(id, factory, args=(self, *more), **{"backoff": BLINK, **spec})

    def children(self, ids: str, **spec: Any) -> tuple[ChildSpec, ...]:
        return tuple(self.child(id, **spec) for id in ids)

    def nested(self, id: str, *children: ChildSpec, child: dict[str, Any] | None = None, **spec: Any) -> ChildSpec:
        inner = SupervisorSpec(children=children, **spec)
        return ChildSpec(id, Supervisor, args=(inner,), **{"backoff": BLINK, **(child or {})})

    def tree(self, *children: ChildSpec, tree: dict[str, Any] | None = None, **spec: Any) -> Tree:
        made = start_tree(
            SupervisorSpec(children=children, **spec), runtime=self.runtime, on_event=self._on_event, **(tree or {})
        )
        self.trees.append(made)
        self.settle()
        return made

    # -- acting
    def crash(self, ref: Any, error: BaseException | None = None) -> None:
        """Make the actor raise `error` (Boom) on a tell, and let everything that follows at once happen."""

        def die(_actor: Any) -> None:
            raise error if error is not None else Boom("asked to crash")

        ref.tell(die)
        self.settle()

    def settle(self) -> None:
        """Let happen whatever happens within a millisecond (fake time); nothing to do on real threads."""
        if self.runtime is not None:
            self.runtime.run_until_idle()
            self.runtime.advance(0.001)

    def advance(self, seconds: float) -> None:
        self.runtime.advance(seconds)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Real threads: wait until `condition` holds; it is looked at again whenever anything was noted."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left_s = until_s - time.monotonic()
                assert left_s > 0, f"not within {timeout_s} s; journal: {self.journal[-20:]}"
                self._changed.wait(min(left_s, 0.02))

    # -- looking
    def note(self, word: str, actor: Probe, *rest: Any) -> None:
        self.write(" ".join([word, actor.who.lstrip("/"), *map(str, rest)]))

    def write(self, line: str) -> None:
        with self._changed:
            self.journal.append(line)
            self._changed.notify_all()

    def _on_event(self, event: TreeEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def clear(self) -> None:
        self.journal.clear()
        self.events.clear()

    def lines(self, *words: str) -> list[str]:
        """The journal without "init", or only lines that begin with one of `words`."""
        wanted = words or ("start", "stop", "failed")
        return [line for line in self.journal if line.split()[0] in wanted]

    def kinds(self, path: str | None = None) -> list[EventKind]:
        return [event.kind for event in self.events if path is None or event.path == path]

    def of(self, kind: EventKind) -> list[TreeEvent]:
        return [event for event in self.events if event.kind is kind]

    def state(self, tree: Tree, path: str) -> str:
        return tree.snapshot().find(path).state


@pytest.fixture(params=[7])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    made = Lab(DeterministicRuntime(request.param))
    yield made
    for tree in made.trees:
        tree.stop()
    assert not made.runtime.threads, "a task outlived its tree"


@pytest.fixture
def threads() -> Iterator[Lab]:
    made = Lab()
    yield made
    for tree in made.trees:
        tree.stop()


@pytest.fixture
def busy_switching() -> Iterator[None]:
    """Let the interpreter change threads every ten microseconds, so that races happen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
