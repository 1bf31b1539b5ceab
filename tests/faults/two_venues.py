"""Two venues, one in a crash storm: what the other delivers meanwhile, and how late, beside the calm before and after.

Both venues are simulated in processes of their own. The client follows trades and books of both, and everything consolidated
over them. Calm and storm take turns, so that whatever else the machine does falls on both; in a storm the stream actor of one
venue is killed as soon as it lives, over and over. How soon it lives again is decided by the settings the library ships, in which
a storm is what backoff is for; `--hurried` takes that away and restarts at once, five times a second. Latency is from the moment
a trade happened, by the other venue's ledger, to the moment its subscriber had it.

    python tests/faults/two_venues.py --rounds 4 --phase 60
    python tests/faults/two_venues.py --hurried --rounds 24 --phase 5

Figures go to build/two_venues.json; exit status 0 exactly when all of them hold.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).parent))

from harness import QUICK_RECONNECT, generous_connects, percentile

from connector import BookNotValid, Connector, ConnectorSettings, Gap, Trade, VenueSettings
from connector.aggregate import Aggregator, ConsolidatedQuote, Source, SourceLeft
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.supervision import Backoff, Intensity
from connector.supervision.events import EventKind
from connector.testing.killing import crash
from connector.venue.delivery import TopicState

ROOT = Path(__file__).resolve().parents[2]
STEADY, STORMY = "steady", "stormy"
LISTED, SYMBOL = "BTCUSDT", "BTC/USDT"
Row = dict[str, Any]
HURRIED = {
    "restart": Backoff(base_s=0.05, max_s=0.2, reset_after_s=0.05),
    "restart_limit": Intensity(1_000_000, 60.0),
}
"""Quicker than any venue would be treated, so that the storm does not calm down by itself."""


def row(name: str, value: float, unit: str, bound: str) -> Row:
    """One figure. `bound` reads like "<= 100" or ">= 2000"; "" only shows it."""
    sign, _, limit = bound.partition(" ")
    holds = not sign or {"<=": value <= float(limit), ">=": value >= float(limit), "==": value == float(limit)}[sign]
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": holds}


@contextmanager
def simulated(rate: float, seed: int) -> Iterator[tuple[str, str]]:
    """(REST root, WebSocket root) of a venue in a process of its own."""
    command = [sys.executable, "-m", "connector.simulator", "--port", "0", "--symbols", LISTED, "--no-limits"]
    program = subprocess.Popen(
        [*command, "--rate", str(rate), "--seed", str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a client that vanishes during its upgrade leaves a page there each time
        encoding="utf-8",
    )
    try:
        assert program.stdout is not None
        found = re.search(r"REST (\S+)  WebSocket (\S+)", program.stdout.readline())
        assert found is not None, "the simulator did not start"
        drain = threading.Thread(target=lambda: deque(program.stdout, maxlen=0), name="drain", daemon=True)
        drain.start()
        yield found[1], found[2]
    finally:
        program.terminate()
        try:
            program.wait(10.0)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(10.0)


class Ear:
    """Notes what the steady venue delivers, and when; judged afterwards, so that listening costs little."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []  # (trade id, UTC nanoseconds at which the subscriber had it)
        self.gaps: list[Gap] = []
        self.states: list[Any] = []

    def __call__(self, value: Any) -> None:
        if isinstance(value, Trade):
            self.heard.append((value.trade_id, time.time_ns()))  # type: ignore[arg-type]
        elif isinstance(value, Gap):
            self.gaps.append(value)
        else:
            self.states.append(value)


class Storm:
    """Kills one venue's stream actor every so often until it is stopped."""

    def __init__(self, connector: Connector, every_s: float) -> None:
        self._ref, self._every_s = connector.tree.ref(f"/{STORMY}/stream"), every_s
        self._over = threading.Event()
        self._epochs: set[int] = set()

    def run(self) -> None:
        while not self._over.wait(self._every_s):
            with suppress(LookupError):  # between two incarnations
                self._epochs.add(crash(self._ref))

    @property
    def kills(self) -> int:
        return len(self._epochs)

    @contextmanager
    def raging(self) -> Iterator[None]:
        self._over.clear()
        thread = threading.Thread(target=self.run, name="storm")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def measure(options: argparse.Namespace) -> Iterator[Row]:
    clock, events = SystemClock(), deque[Any](maxlen=200_000)
    restart: dict[str, Any] = HURRIED if options.hurried else {}
    reconnect: dict[str, Any] = {"reconnect": QUICK_RECONNECT} if options.hurried else {}
    generous = generous_connects()
    parts = replace(real_parts(clock), driver=lambda _: generous)
    with ExitStack() as stack:
        roots = {
            name: stack.enter_context(simulated(options.rate, seed)) for name, seed in ((STEADY, 21), (STORMY, 22))
        }
        venues = tuple(
            VenueSettings("binance", name=name, rest_url=rest, stream_url=stream, **reconnect)
            for name, (rest, stream) in roots.items()
        )
        settings = ConnectorSettings(venues, **restart)
        connector = stack.enter_context(Connector(settings, clock=clock, parts=parts, on_event=events.append))
        across = stack.enter_context(Aggregator(connector.venue, clock=clock))
        sources = [Source.of(name, SYMBOL, "0.001") for name in (STEADY, STORMY)]
        ear, told = Ear(), []
        trades = connector.subscribe(STEADY, "trades", SYMBOL, callback=ear, notices=True)
        connector.subscribe(STORMY, "trades", SYMBOL, callback=lambda value: None)
        book = across.book(sources)
        book.subscribe(callback=told.append)
        tape = across.trades(sources)
        tape.subscribe(callback=lambda merged: None)
        book.wait_in(20.0)
        trades.wait_live(20.0)
        storm, pause = Storm(connector, options.kill_every), threading.Event()
        phases: list[tuple[str, int, int]] = []
        absent, cpu_s = 0, {"calm": 0.0, "storm": 0.0}
        for _ in range(options.rounds):
            for name in ("calm", "storm"):
                with ExitStack() as phase:
                    if name == "storm":
                        phase.enter_context(storm.raging())
                    pause.wait(0.5)  # the turn itself belongs to neither
                    began_ns, began_cpu_s = time.time_ns(), time.process_time()
                    for _ in range(int(options.phase / 0.05)):
                        pause.wait(0.05)
                        with suppress(BookNotValid):
                            absent += not book.snapshot(1).sources[0].is_in
                    cpu_s[name] += time.process_time() - began_cpu_s
                    phases.append((name, began_ns, time.time_ns()))
                book.wait_in(60.0)
        trades.close()
        answer = requests.get(f"{roots[STEADY][0]}/simulator/ledger/trades", params={"symbol": LISTED}, timeout=60)
        truth = {trade["trade_id"]: trade["time_us"] for trade in answer.json()}
        restarts = sum(e.kind is EventKind.STARTED and e.path == f"/{STORMY}/stream" for e in list(events))
        others = sum(
            e.kind is EventKind.STARTED and e.path.startswith(f"/{STEADY}") and e.epoch > 1 for e in list(events)
        )

        late_ms: dict[str, list[float]] = {"calm": [], "storm": []}
        for trade_id, had_ns in ear.heard:
            for name, began_ns, ended_ns in phases:
                if began_ns <= had_ns < ended_ns:
                    late_ms[name].append((had_ns - truth[trade_id] * 1_000) / 1e6)
        ids = [trade_id for trade_id, _ in ear.heard]
        heard = set(ids)
        lost = sum(ids[0] <= trade_id <= ids[-1] and trade_id not in heard for trade_id in truth)
        unheard_of = len(heard - set(truth))
        left = [event.source.venue for event in told if isinstance(event, SourceLeft)]

        expected = options.rounds * (options.phase if options.hurried else 2)
        yield row("storm: kills of the stream actor", storm.kills, "", f">= {expected:g}")
        yield row("storm: incarnations started", restarts, "", ">= 2")
        yield row("steady: trades heard", len(ids), "", ">= 1000")
        yield row("steady: trades lost", lost, "", "== 0")
        yield row("steady: trades doubled or out of order", len(ids) - len(heard) + (ids != sorted(ids)), "", "== 0")
        yield row("steady: trades that never were", unheard_of, "", "== 0")
        yield row("steady: gaps told", len(ear.gaps), "", "== 0")
        stale = sum(status.state is TopicState.STALE for status in ear.states)
        yield row("steady: times stale", stale, "", "== 0")
        yield row("steady: actors restarted", others, "", "== 0")
        yield row("consolidated: times the steady venue left", left.count(STEADY), "", "== 0")
        yield row("consolidated: looks at which the steady venue was out", absent, "", "== 0")
        yield row("consolidated: times the stormy venue left", left.count(STORMY), "", ">= 1")
        quotes = sum(isinstance(event, ConsolidatedQuote) for event in told)
        yield row("consolidated: quotes told", quotes, "", ">= 100")
        for name, busy_s in cpu_s.items():
            yield row(f"client: processor {name}", busy_s / options.rounds / options.phase * 100, "%", "")
        for part in (0.5, 0.9):
            for name, values in late_ms.items():
                yield row(f"steady: latency {name}, p{part * 100:g}", percentile(values, part), "ms", "")
        calm, raging = (percentile(late_ms[name], 0.99) for name in ("calm", "storm"))
        yield row(f"steady: latency calm, p99 of {len(late_ms['calm'])}", calm, "ms", "")
        yield row(f"steady: latency storm, p99 of {len(late_ms['storm'])}", raging, "ms", "")
        yield row("steady: p99 in the storm beside the calm", raging / calm * 100 - 100, "%", "<= 20")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="of calm and storm in turn")
    parser.add_argument("--phase", type=float, default=60.0, help="seconds of each")
    parser.add_argument("--rate", type=float, default=400.0, help="events a second of each venue")
    parser.add_argument(
        "--kill-every", type=float, default=0.2, help="seconds between two kills, where there is one to kill"
    )
    parser.add_argument("--hurried", action="store_true", help="restart at once instead of by the settings shipped")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "two_venues.json")
    options = parser.parse_args()
    rows = []
    for each in measure(options):
        rows.append(each)
        mark = ("ok  " if each["ok"] else "FAIL") if each["bound"] else "    "
        print(f"{mark} {each['name']}: {each['value']} {each['unit']} {each['bound'] and '(' + each['bound'] + ')'}")
    ok = all(each["ok"] for each in rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"ok": ok, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
