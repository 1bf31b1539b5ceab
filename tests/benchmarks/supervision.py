"""What supervision costs, against plain Pykka in the same run: `python tests/benchmarks/supervision.py [rounds]`.

Prints one JSON row per figure (name, value, unit, bound, ok) and exits 1 when a bound does not hold. Both sides take
turns within each round, and each figure is a median over the rounds. The process pins itself to one CPU where the
system allows it: two threads under one GIL gain from that, and the ratios stop depending on where they landed.
"""

import gc
import json
import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pykka

from connector.supervision import (
    PROBE,
    ChildSpec,
    InboxPolicy,
    Intensity,
    SupervisedActor,
    SupervisorSpec,
    Tree,
    start_tree,
)

NOW = time.perf_counter_ns
TELLS, ASKS, PIPELINED, CRASHES = 30_000, 1_500, 4_000, 60


class Crash:
    """A message that crashes its actor."""


class _Echo:
    done: threading.Event
    wanted = 0
    seen = 0

    def on_receive(self, message: Any) -> Any:
        if message.__class__ is Crash:
            raise ValueError("asked to crash")
        self.seen += 1
        if self.seen == self.wanted:
            self.done.set()
        return message

    def expect(self, count: int, done: threading.Event) -> None:
        self.seen, self.wanted, self.done = 0, count, done

    def echo(self, message: Any) -> Any:
        return message


class Plain(_Echo, pykka.ThreadingActor):
    use_daemon_thread = True


class Supervised(_Echo, SupervisedActor):
    pass


def tell_rate(ref: pykka.ActorRef[Any]) -> float:
    """Messages a second from the first `tell` to the last one handled; one producer."""
    done = threading.Event()
    ref.proxy().expect(TELLS, done).get(timeout=10)
    tell, began = ref.tell, NOW()
    for number in range(TELLS):
        tell(number)
    assert done.wait(60)
    return TELLS / (NOW() - began) * 1e9


def ask_us(ref: pykka.ActorRef[Any]) -> float:
    ask, spent = ref.ask, []
    for number in range(ASKS):
        began = NOW()
        ask(number)
        spent.append(NOW() - began)
    return statistics.median(spent) / 1e3


def proxy_us(ref: pykka.ActorRef[Any]) -> float:
    proxy, spent = ref.proxy(), []
    for number in range(ASKS):
        began = NOW()
        proxy.echo(number).get()
        spent.append(NOW() - began)
    return statistics.median(spent) / 1e3


def pipelined_rate(ref: pykka.ActorRef[Any]) -> float:
    began = NOW()
    for future in [ref.ask(number, block=False) for number in range(PIPELINED)]:
        future.get()
    return PIPELINED / (NOW() - began) * 1e9


def crash_to_answer_us() -> list[float]:
    """From telling an actor to crash to the first answer of its next incarnation; each child crashes once."""
    spent = []
    with tree_of(CRASHES) as tree:
        for ref in [tree.ref(f"/child{number}") for number in range(CRASHES)]:
            began = NOW()
            ref.tell(Crash())
            ref.ask("who is there", timeout=10)
            spent.append((NOW() - began) / 1e3)
    return spent


def tree_of(count: int = 1) -> Tree:
    roomy = InboxPolicy(capacity=1_000_000)
    children = tuple(ChildSpec(f"child{number}", Supervised, inbox=roomy) for number in range(count))
    return start_tree(SupervisorSpec(children=children, intensity=Intensity(1_000_000, 0.01), on_limit=PROBE))


def row(name: str, value: float, unit: str, bound: str) -> dict[str, Any]:
    relation, _, limit = bound.partition(" ")
    ok = {"<=": value <= float(limit), ">=": value >= float(limit)}[relation] if bound else True
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": ok}


def measure(rounds: int) -> Iterator[dict[str, Any]]:
    logging.getLogger("pykka").setLevel(logging.CRITICAL + 1)
    pykka_figures: dict[str, list[float]] = {}
    our_figures: dict[str, list[float]] = {}
    ways: dict[str, Callable[[pykka.ActorRef[Any]], float]] = {
        "tell": tell_rate,
        "ask": ask_us,
        "proxy": proxy_us,
        "pipelined": pipelined_rate,
    }
    rounds_of_crashes: list[list[float]] = []
    with tree_of() as tree:
        ours = tree.ref("/child0")
        for _ in range(rounds):
            plain = Plain.start()
            for name, way in ways.items():
                gc.collect()
                pykka_figures.setdefault(name, []).append(way(plain))
                gc.collect()
                our_figures.setdefault(name, []).append(way(ours))
            plain.stop()
            rounds_of_crashes.append(sorted(crash_to_answer_us()))
    middle = statistics.median

    def ratio(name: str) -> float:
        return middle(mine / theirs for mine, theirs in zip(our_figures[name], pykka_figures[name], strict=True))

    for name, unit in (("tell", "msg/s"), ("ask", "us p50"), ("proxy", "us p50"), ("pipelined", "asks/s")):
        yield row(f"supervision.{name}", middle(our_figures[name]), unit, "")
        yield row(f"pykka.{name}", middle(pykka_figures[name]), unit, "")
    yield row("supervision.ask.ratio", ratio("ask"), "of plain Pykka", "<= 0.8")
    yield row("supervision.tell.ratio", ratio("tell"), "of plain Pykka", ">= 2")
    yield row("supervision.pipelined.ratio", ratio("pipelined"), "of plain Pykka", ">= 3")
    # An absolute time, with nothing beside it to compare: neighbours on the machine only ever add to it, so the
    # quietest round tells what it costs, and the slowest crash of all rounds what it may come to.
    yield row("supervision.crash_to_answer.p50", min(map(middle, rounds_of_crashes)), "us", "<= 200")
    yield row("supervision.crash_to_answer.max", max(crashes[-1] for crashes in rounds_of_crashes), "us", "<= 100000")
    began = NOW()
    tree = tree_of(1000)
    yield row("supervision.start_1000", (NOW() - began) / 1e9, "s", "<= 2")
    began = NOW()
    tree.stop()
    yield row("supervision.stop_1000", (NOW() - began) / 1e9, "s", "<= 2")


def main() -> int:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    rows = list(measure(rounds))
    for figure in rows:
        print(json.dumps(figure), flush=True)
    return 0 if all(figure["ok"] for figure in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
