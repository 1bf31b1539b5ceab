"""Scenarios of the fault matrix: what goes wrong inside the process and around it (F64-F80)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pykka
from harness import ACTORS, eventually, generous_connects
from scenario import Bench, Seen, public, scenario

from connector.simulator import Simulator, SimulatorSettings
from connector.supervision import Backoff, Intensity
from connector.supervision.events import EventKind
from connector.venue.delivery import TopicState
from connector.venue.orders import OrderCommandActor
from connector.venue.rest import RestActor
from connector.venue.state import StateQueryActor
from connector.venue.stream import WebSocketActor

HERE = Path(__file__).resolve().parent
CLASSES: dict[str, Any] = {
    "rest": RestActor,
    "state": StateQueryActor,
    "stream": WebSocketActor,
    "orders": OrderCommandActor,
}
AS_SHIPPED = {"restart": Backoff(), "restart_limit": Intensity(max_restarts=10, within_s=60.0)}
NOTICED_S = 0.1
"""A dozen helper threads and some thirty changes of thread stand between the end of the exchange actor and its next start."""
SUPERVISOR_S = 1.0


class Do(msgspec.Struct, frozen=True):
    """A message that makes its actor do something on its own thread."""

    action: Callable[[], object]


@contextmanager
def obedient() -> Iterator[None]:
    """The shipped actors do what a `Do` says, meanwhile."""
    kept = {cls: cls.on_receive for cls in CLASSES.values()}
    for cls, receive in kept.items():
        cls.on_receive = lambda self, message, receive=receive: (
            message.action() if isinstance(message, Do) else receive(self, message)
        )
    try:
        yield
    finally:
        for cls, receive in kept.items():
            cls.on_receive = receive


@contextmanager
def failing(actor: str, hook: str, times: int) -> Iterator[list[float]]:
    """A hook of an actor raises, so often."""
    cls, raised = CLASSES[actor], []
    whole = getattr(cls, hook)

    def broken(self: Any, *args: Any) -> Any:
        if len(raised) < times:
            raised.append(time.monotonic())
            raise RuntimeError("on purpose")
        return whole(self, *args)

    setattr(cls, hook, broken)
    try:
        yield raised
    finally:
        setattr(cls, hook, whole)


def untouched(bench: Bench, actor: str, before: dict[str, int]) -> None:
    """Nobody but that actor was restarted, and its children when it has some."""
    if actor == "exchange":
        return
    now = bench.rig.restarts()
    also = [each for each, epoch in before.items() if each != actor and now[each] != epoch]
    bench.seen.false_alarms += len(also)
    bench.seen.wrong += [f"actor {each} was restarted with {actor}" for each in also]


# ---------------------------------------------------------------- F64-F70: ends of actors


def killed(actor: str, error: BaseException | None, times: int) -> Seen:
    """F64, F65, F68: an actor ends under load, so often, each time from health."""
    with public(driver=generous_connects(), events_per_s=1000.0) as bench:
        before = bench.rig.restarts()
        for _ in range(times):
            bench.strike(lambda: None)
            took_s = bench.rig.kill(actor, error)
            bench.seen.noticed_s = max(took_s, bench.seen.noticed_s or 0.0)
            bench.rig.await_healthy(actor)
            bench.await_back()
            bench.rig.await_confirmed()
        untouched(bench, actor, before)
        doubled = len(bench.sim.ledger.connections(open_only=True)) - len(bench.sim.ledger.subscriptions())
        if doubled:
            bench.seen.wrong.append(f"{doubled} connections too many")
        return bench.judged(restarts=True, unmoved=actor not in ("exchange", "stream"))


for _actor in ACTORS:
    _row, _bound = ("F68", SUPERVISOR_S) if _actor == "exchange" else ("F64", NOTICED_S)
    scenario(_row, f"actor {_actor}, five times: noticed is its next start", noticed_s=_bound, back_s=3.0)(
        partial(killed, _actor, None, 5)
    )
for _error in (SystemExit("on purpose"), MemoryError("on purpose"), RecursionError("on purpose")):
    scenario("F65", f"actor orders, {type(_error).__name__}", noticed_s=NOTICED_S, back_s=3.0)(
        partial(killed, "orders", _error, 2)
    )


def hung(actor: str) -> Seen:
    """F66: an actor never returns; watched with the times users get."""
    release = threading.Event()
    with obedient(), public(driver=generous_connects(), connector=AS_SHIPPED) as bench:
        rig, before = bench.rig, bench.rig.restarts()
        epoch, path = rig.ref(actor).epoch, rig.path(actor)
        bench.strike(partial(rig.ref(actor).tell, Do(lambda: release.wait(60.0))))
        eventually(lambda: rig.said(EventKind.HUNG, path), 30.0)
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        eventually(lambda: rig.said(EventKind.STARTED, path, epoch), 30.0)
        bench.await_back()
        untouched(bench, actor, before)
        release.set()
        eventually(lambda: rig.said(EventKind.RETURNED, path), 10.0)
        return bench.judged(restarts=True, unmoved=actor != "stream")


for _actor in ("orders", "stream"):
    scenario(
        "F66",
        f"actor {_actor}",
        noticed_s=10.0,
        back_s=10.0,
    )(partial(hung, _actor))


@scenario("F67", "actor orders, fails in every start", back_s=40.0)
def crash_loop() -> Seen:
    with failing("orders", "on_start", 1000) as raised:
        raised.extend([0.0] * 1000)  # not yet
        with public(driver=generous_connects(), connector=AS_SHIPPED) as bench:
            rig, before = bench.rig, bench.rig.restarts()
            raised.clear()
            bench.strike(partial(rig.ref("orders")._actor_weakref().context.crash, RuntimeError("on purpose")))
            eventually(lambda: rig.said(EventKind.PROBING, rig.path("orders")), 60.0)
            bench.seen.note = f"slow tries after {time.monotonic() - bench.began_s:.1f} s and {len(raised)} starts"
            raised.extend([0.0] * 1000)  # the cause is gone
            ended_s, starts = time.monotonic(), len(rig.said(EventKind.STARTED, rig.path("orders")))
            eventually(lambda: len(rig.said(EventKind.STARTED, rig.path("orders"))) > starts, 60.0)
            bench.seen.back_s = time.monotonic() - ended_s
            untouched(bench, "orders", before)
            return bench.judged(restarts=True, unmoved=True)


@scenario("F69", "each actor fails in its next two starts", back_s=10.0)
def failing_restart() -> Seen:
    roomy = {"restart": Backoff(), "restart_limit": Intensity(1_000, 60.0)}  # four actors fail thrice each
    with public(driver=generous_connects(), connector=roomy) as bench:
        for actor in CLASSES:
            before = bench.rig.restarts()
            with failing(actor, "on_start", 2) as raised:
                bench.strike(partial(bench.rig.ref(actor)._actor_weakref().context.crash, RuntimeError("on purpose")))
                eventually(lambda raised=raised: len(raised) == 2, 20.0)
                starts = partial(bench.rig.said, EventKind.STARTED, bench.rig.path(actor), before[actor])
                eventually(starts, 20.0)
                bench.await_back()
                bench.rig.await_confirmed()
            untouched(bench, actor, before)
        return bench.judged(restarts=True)


@scenario("F70", "actor rest ends twenty times while 16 threads ask")
def racing_asks() -> Seen:
    over, counts, late = threading.Event(), [0, 0], []

    def ask(venue: Any) -> None:
        while not over.is_set():
            began_s = time.monotonic()
            try:
                venue.server_time_ns(3.0)
                counts[0] += 1
            except Exception:
                counts[1] += 1
            if time.monotonic() - began_s > 3.5:
                late.append(time.monotonic() - began_s)

    with public(driver=generous_connects(), simulator={"request_weight_per_minute": 10_000_000}) as bench:
        threads = [threading.Thread(target=ask, args=(bench.rig.venue,), name=f"asker-{n}") for n in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            bench.rig.kill("rest")
            bench.rig.await_healthy("rest")
        over.set()
        for thread in threads:
            thread.join(10.0)
        if any(thread.is_alive() for thread in threads):
            bench.seen.wrong.append("a question never ended")
        bench.seen.wrong += [f"a question ended after {took_s:.1f} s" for took_s in late]
        bench.seen.note = f"{counts[0]} answers, {counts[1]} errors"
        return bench.judged(restarts=True, unmoved=True)


@scenario("F71", "inbox of the order actor, 120 000 messages while it is busy")
def flooded() -> Seen:
    release, refused = threading.Event(), 0
    with obedient(), public() as bench:
        ref = bench.rig.ref("orders")
        ref.tell(Do(lambda: release.wait(9.0)))
        bench.strike(lambda: None)
        for _ in range(120_000):
            try:
                ref.tell(Do(int))
            except pykka.ActorDeadError:
                refused += 1
        depth = bench.rig.connector.tree.snapshot().find(bench.rig.path("orders")).inbox_depth
        release.set()
        bench.seen.note = f"{refused} refused, {depth} waited"
        if refused < 19_000 or depth > 100_001:
            bench.seen.wrong.append("the inbox has no bound")
        bench.rig.await_flow(*bench.topics)
        return bench.judged(unmoved=True)


def misbehaving(how: str) -> Seen:
    """F72: one consumer among others."""
    release = threading.Event()

    def raising(value: Any) -> None:
        raise SystemExit("on purpose")

    with public(driver=generous_connects()) as bench:
        callback = raising if how == "raises" else lambda value: release.wait(60.0)
        bench.strike(lambda: None)
        consumer = bench.rig.subscribe("trades", callback=callback)
        if how == "raises":
            eventually(lambda: consumer.failures >= 20, 20.0)
            bench.rig.await_flow(*bench.topics)
            return bench.judged(unmoved=True)
        eventually(lambda: consumer.state is TopicState.CLOSED, 40.0)
        bench.seen.note = f"taken off after {time.monotonic() - bench.began_s:.1f} s"
        bench.await_back()
        release.set()
        return bench.judged()


scenario("F72", "consumer raises at every value")(partial(misbehaving, "raises"))
scenario("F72", "consumer never returns: until it is taken off and data comes", back_s=20.0)(
    partial(misbehaving, "hangs")
)


# ---------------------------------------------------------------- F74, F75, F78: what a host does


@scenario("F74", "six trading processes killed with signal 9")
def killed_processes() -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "kills.json")
        command = [
            sys.executable,
            str(HERE / "kill_nine.py"),
            "--kills",
            "6",
            "--lanes",
            "1",
            "--quick",
            "--out",
            str(out),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        rows = json.loads(out.read_text())["rows"] if out.exists() else []
    wrong = [f"{row['name']}: {row['value']} {row['unit']} ({row['bound']})" for row in rows if not row["ok"]]
    if not rows or (done.returncode and not wrong):
        wrong.append(f"the run ended with {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}")
    ready = [row for row in rows if "ready" in row["name"]]
    note = f"{len(rows)} figures" + "".join(f"; {row['name']}: {row['value']} {row['unit']}" for row in ready[:1])
    return Seen(wrong=wrong, note=note)


def hosted(play: Callable[[Simulator, Any, Seen], None]) -> Seen:
    """An engine in a process of its own."""
    import host_child

    seen = Seen()
    settings = SimulatorSettings(symbols=("BTCUSDT",), events_per_s=300.0)
    with Simulator(settings) as sim, host_child.hosted(sim.rest_url, sim.ws_url) as process:
        before = process.order("state")["epochs"]
        play(sim, process, seen)
        state = process.order("state")
        seen.lost, seen.doubled = state["lost"], state["doubled"]
        if state["untold"]:
            seen.wrong.append(f"{state['untold']} trades missing without a word")
        seen.false_alarms = sum(state["epochs"][part] != epoch for part, epoch in before.items())
        if not process.order("question")["answered"]:
            seen.wrong.append("no question is answered any more")
    return seen


def stopped(seconds: float) -> Seen:
    """F75."""

    def play(sim: Simulator, process: Any, seen: Seen) -> None:
        os.kill(process.process.pid, signal.SIGSTOP)
        threading.Event().wait(seconds)
        os.kill(process.process.pid, signal.SIGCONT)
        seen.back_s = process.await_state(live=True, valid=True, within_s=60.0)
        newest = max(sim.ledger.trades("BTCUSDT"))
        began_s = time.monotonic()
        eventually(lambda: process.order("state")["newest"] >= newest, 60.0)
        seen.back_s += time.monotonic() - began_s

    return hosted(play)


if sys.platform == "linux":
    for _seconds in (2, 20):
        scenario("F75", f"process stopped for {_seconds} s, then continued", back_s=30.0)(partial(stopped, _seconds))


def starved(what: str) -> Seen:
    """F78: for five seconds, in which the connection is lost."""

    def play(sim: Simulator, process: Any, seen: Seen) -> None:
        process.order(what)
        process.await_state(live=True, valid=True)
        lost = process.order("state")["connections_lost"]
        sim.faults.cut()
        began_s = time.monotonic()
        eventually(lambda: process.order("state")["connections_lost"] > lost, 10.0)
        seen.noticed_s = time.monotonic() - began_s
        threading.Event().wait(5.0)
        process.order("feed")
        seen.back_s = process.await_state(live=True, valid=True, within_s=60.0)
        seen.note = f"{process.order('state')['connections_lost'] - lost} attempts lost"

    return hosted(play)


if sys.platform == "linux":
    scenario("F78", "no descriptor for 5 s, connection lost", noticed_s=1.0, back_s=30.0)(partial(starved, "starve"))
    scenario("F78", "no memory for a thread for 5 s, connection lost", noticed_s=1.0, back_s=30.0)(
        partial(starved, "confine")
    )


@scenario("F80", "8 callers, answers 0.5 s late: until all have theirs", back_s=0.6)
def parallel_calls() -> Seen:
    with public(calm=False) as bench:
        venue = bench.rig.venue

        def ask_all() -> float:
            begin = threading.Barrier(9)

            def ask() -> None:
                begin.wait(5.0)
                venue.server_time_ns()

            threads = [threading.Thread(target=ask, name=f"caller-{number}") for number in range(8)]
            for thread in threads:
                thread.start()
            began_s = time.monotonic()
            begin.wait(5.0)
            for thread in threads:
                thread.join(20.0)
            return time.monotonic() - began_s

        ask_all()  # connections are open from here on
        bench.sim.faults.rest_delay(0.5)
        bench.strike(lambda: None)
        bench.seen.back_s = min(ask_all() for _ in range(2))
        return bench.judged(unmoved=True)
