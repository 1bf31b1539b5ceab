"""The deterministic simulation at length: many seeds, silent topics, quiet markets, and a month without a stop.

    make sim SEED=17                   # one life again, with everything that was wrong
    make sim RUNS=10000                # a sweep in parallel processes: build/sim.json (`ok`, `rows`)
    python tests/faults/sim.py --part silence --part quiet --topic-days 1000 --part soak --days 30

A seed that fails is played again with fewer and fewer faults; the shortest script that still fails is printed and written to
tests/simulation/found/, where it is a test from then on. Every fiftieth seed is played twice: its traces have to be equal.
The exit status agrees with `ok`. What a life is and what is judged: `simulated`, and docs/guides/simulation.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from products import PRODUCTS
from quiet import quiet_topic_days, silence_noticed
from simulated import Plan, live, soak

from connector.testing.simulation import Fault, Script, shrink

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "tests" / "simulation" / "found"
TWICE_EVERY = 50
INVARIANTS = {
    "I1": "orders told as final that the ledger calls otherwise",
    "I2": "fills told more than once",
    "I3": "more told as filled than was",
    "I4": "books marked valid that differ from the venue's",
    "I5": "trades lost without a word, doubled or out of order",
    "I6": "topics called live that were not",
    "I7": "limits of the venue broken",
    "I9": "venues touched by the faults of another",
    "I10": "secrets shown",
    "I11": "tasks or connections left behind",
    "I12": "stops that took longer than 5 s",
    "liveness": "lives not right again 60 s after the faults",
    "crash": "actors that ended by an error of their own",
    "broken": "lives that broke",
    "trace": "seeds with two traces",
}
Row = dict[str, Any]


def row(name: str, value: float, unit: str = "", bound: str = "") -> Row:
    """One figure. `bound` is "" or reads like "<= 10"."""
    sign, _, limit = bound.partition(" ")
    edge = float(limit or 0)
    holds = {"": True, "==": value == edge, "<=": value <= edge, ">=": value >= edge}[sign]
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": holds}


def play(seed: int, product: str = "", script: Script | None = None) -> dict[str, Any]:
    """One life, whatever happens in it."""
    try:
        life = live(seed, product, script)
        if seed % TWICE_EVERY == 0 and live(seed, product, script)["hash"] != life["hash"]:
            life["problems"]["trace"] = ["the same seed took another way"]
    except Exception as broken:
        plan = Plan(seed, PRODUCTS[product] if product else None, script)
        return {"seed": seed, "product": plan.product.exchange, "kinds": sorted(plan.kinds)} | {
            "problems": {"broken": [repr(broken)]}
        }
    return life


def minimal(seed: int, product: str, kinds: set[str]) -> Script:
    """The shortest script found with which the seed still fails in one of these ways."""
    return shrink(
        Plan(seed, PRODUCTS[product]).script, lambda script: bool(kinds & set(play(seed, product, script)["problems"]))
    )


def keep(seed: int, product: str, script: Script, problems: dict[str, list[str]], folder: Path = FOUND) -> Path:
    """Make a test of it: tests/simulation/test_found.py plays every file of that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{product}-{seed}.json"
    faults = [asdict(fault) for fault in script]
    first = {kind: texts[0] for kind, texts in problems.items()}
    path.write_text(json.dumps({"seed": seed, "product": product, "wrong": first, "script": faults}, indent=1) + "\n")
    return path


def kept(path: Path) -> tuple[int, str, Script]:
    """What `keep` has written."""
    told = json.loads(path.read_text())
    return told["seed"], told["product"], tuple(Fault(**fault) for fault in told["script"])


def tell_failure(life: dict[str, Any], *, shorten: bool) -> None:
    seed, product, problems = life["seed"], life["product"], life["problems"]
    print(f"\nFAIL seed {seed} {product}:")
    for kind, texts in problems.items():
        print(f"  {kind}: {texts[0][:500]}")
    if not shorten:
        return
    script = minimal(seed, product, set(problems))
    print("  the shortest script that still fails:")
    for fault in script:
        print(f"    {fault}")
    path = keep(seed, product, script, problems)
    print(f"  make sim SEED={seed}; kept as a test: {path.relative_to(ROOT)}", flush=True)


# ---------------------------------------------------------------- the parts


def seeds(options: argparse.Namespace) -> Iterator[Row]:
    """Many lives."""
    lives: list[dict[str, Any]] = []
    began_s, number, last = time.monotonic(), options.first_seed, options.first_seed + options.runs
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, disable=not sys.stdout.isatty()) as progress,
        ProcessPoolExecutor(options.processes, mp_context=context) as pool,
    ):
        bar = progress.add_task("seeds", total=options.runs)
        running = set()
        failed = 0
        while number < last or running:
            while number < last and len(running) < 2 * options.processes:
                running.add(pool.submit(play, number, options.product))
                number += 1
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for each in finished:
                life = each.result()
                lives.append(life)
                if life["problems"]:
                    failed += 1
                    tell_failure(life, shorten=not options.no_shrink and failed <= options.shrink_at_most)
                progress.update(bar, advance=1, description=f"seeds, {failed} failed")
                if progress.disable and len(lives) % max(1, options.runs // 20) == 0:
                    print(
                        f"{len(lives)} of {options.runs}, {failed} failed, {time.monotonic() - began_s:.0f} s",
                        flush=True,
                    )
    yield from figures(lives, time.monotonic() - began_s, options.processes)


def figures(lives: list[dict[str, Any]], took_s: float, processes: int) -> Iterator[Row]:
    """What all lives come to."""
    several = sum(len(life["kinds"]) >= 2 for life in lives)
    whole = [life for life in lives if "cpu_s" in life]
    simulated_s, cpu_s = sum(life["simulated_s"] for life in whole), sum(life["cpu_s"] for life in whole)
    lively = sorted(life["lively_s"] for life in whole if life["lively_s"] is not None) or [0.0]
    yield row("seeds", len(lives))
    yield row("seeds with two kinds of faults or more", 100 * several / len(lives), "%", ">= 80")
    for kind, text in INVARIANTS.items():
        yield row(f"{kind}: {text}", sum(kind in life["problems"] for life in lives), "seeds", "== 0")
    others = {kind for life in lives for kind in life["problems"]} - set(INVARIANTS)
    yield row(f"anything else {sorted(others) or ''}".strip(), len(others), "kinds", "== 0")
    yield row("right again after the faults, p50", lively[len(lively) // 2], "s")
    yield row("right again after the faults, p99", lively[int(len(lively) * 0.99)], "s")
    yield row("right again after the faults, worst", lively[-1], "s", "<= 60")
    for name in ("orders", "finals", "fills", "books", "inside", "steps"):
        yield row(
            {"inside": "crashes inside", "books": "books compared"}.get(name, name), sum(life[name] for life in whole)
        )
    yield row("simulated", simulated_s / 86_400, "days")
    yield row("simulated seconds per second of a process", simulated_s / max(cpu_s, 1e-9))
    yield row(f"simulated seconds per second, {processes} processes", simulated_s / max(took_s, 1e-9))
    for product, count in sorted(Counter(life["product"] for life in lives).items()):
        yield row(f"seeds of {product}", count)
    happened: Counter[str] = Counter()
    for life in whole:
        happened.update(life["happened"])
    for kind, times in sorted(happened.items()):
        yield row(f"fault {kind}", times, "times")


def silence(options: argparse.Namespace) -> Iterator[Row]:
    """A topic falls silent while the others go on, on each product."""
    for product in PRODUCTS.values():
        busy, quiet = silence_noticed(product)
        yield row(f"{product}: silent topic noticed, rate above 1/s, worst of {len(busy)}", max(busy), "s", "<= 10")
        yield row(f"{product}: silent topic noticed, lower rate, worst of {len(quiet)}", max(quiet), "s", "<= 90")


def quiet(options: argparse.Namespace) -> Iterator[Row]:
    """Markets in which hardly anything happens."""
    told = quiet_topic_days(options.topic_days)
    yield row("quiet markets", told["topic_days"], "topic-days", f">= {options.topic_days}")
    yield row("quiet markets: doubts examined", told["probes"], "", ">= 1")
    yield row("quiet markets: false alarms", told["false_alarms"], "", "== 0")
    yield row("quiet markets: connections lost or replaced", told["connections_lost"], "", "== 0")
    yield row("quiet markets: limits broken", told["violations"], "", "== 0")


def month(options: argparse.Namespace) -> Iterator[Row]:
    """One connector for a month, with a storm every few hours."""
    told = soak(options.days, tell=lambda text: print(text, flush=True))
    for name, text in told["problems"]:
        print(f"  {name}: {text}")
    yield row("soak", told["days"], "days", f">= {options.days}")
    yield row("soak: storms", told["storms"])
    yield row("soak: anything wrong", len(told["problems"]), "", "== 0")
    yield row("soak: simulated seconds per second of a process", told["speed"])
    yield row("soak: memory, second half", told["grown_mb"], "MB grown", "<= 40")


PARTS = {"seeds": seeds, "silence": silence, "quiet": quiet, "soak": month}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="play one life and print what was wrong")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--product", default="", choices=("", *PRODUCTS))
    parser.add_argument("--processes", type=int, default=max(1, os.cpu_count() or 1))
    parser.add_argument("--no-shrink", action="store_true", help="do not look for shorter scripts")
    parser.add_argument("--shrink-at-most", type=int, default=5, help="failing seeds that are made shorter")
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="seeds unless told otherwise")
    parser.add_argument("--topic-days", type=float, default=1_000.0)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sim.json")
    options = parser.parse_args()
    if options.seed is not None:
        life = play(options.seed, options.product)
        print(json.dumps(life, indent=1, default=str))
        if life["problems"]:
            tell_failure(life, shorten=not options.no_shrink)
        return 1 if life["problems"] else 0

    rows: list[Row] = []
    for part in options.part or ["seeds"]:
        for each in PARTS[part](options):
            rows.append(each)
            print(
                f"{'ok  ' if each['ok'] else 'FAIL'} {each['name']}: {each['value']:,} {each['unit']} {each['bound']}"
            )
    ok = all(each["ok"] for each in rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"ok": ok, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
