"""Spoil what exchanges send, millions of times, and see that every reader of every driver survives: build/fuzz.json.

Exit status 0 exactly when nothing was found. What counts as found is said in `targets.py`. Mutations come from seeded chance, so
a run can be played again: `--seed` and `--mutations` name it. `--only bybit` picks drivers. `by_coverage.py` is led by the code
that is reached instead.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from targets import DRIVERS, Found, Pipe, Target, mutated, pipes_of, targets_of, try_one

ROOT = Path(__file__).resolve().parents[2]
ROUND = 20
"""Mutations of one target before the next has its turn."""
FOUND_MOST = 20


class Tally:
    """What came of all mutations."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.by_driver: Counter[str] = Counter()
        self.found: list[str] = []

    @property
    def mutations(self) -> int:
        return sum(self.by_driver.values())

    def note(self, driver: str, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self.by_driver[driver] += 1


def fuzz(names: list[str], mutations: int, seed: int, within_s: float, tally: Tally) -> None:
    """Every target of these drivers in turn, until there were so many mutations or the time is up."""
    rng = random.Random(seed)
    work: list[tuple[str, Target | Pipe]] = []
    for name in names:
        work += [(name, each) for each in (*targets_of(name), *pipes_of(name))]
    print(f"{len(work)} targets of {', '.join(names)}, seed {seed}", flush=True)
    began_s = told_s = time.monotonic()
    while tally.mutations < mutations and len(tally.found) < FOUND_MOST:
        rng.shuffle(work)
        for name, target in work:
            for _ in range(ROUND):
                one(name, target, mutated(target, rng), tally)
            now_s = time.monotonic()
            if now_s - told_s > 10.0:
                told_s = now_s
                rate = tally.mutations / (now_s - began_s)
                print(
                    f"{tally.mutations:>11,} of {mutations:,} ({rate:,.0f}/s), found {len(tally.found)}: "
                    f"{', '.join(f'{word} {count:,}' for word, count in tally.outcomes.most_common(5))}",
                    flush=True,
                )
            if tally.mutations >= mutations or now_s - began_s > within_s:
                break
        if time.monotonic() - began_s > within_s:
            break
    for _, target in work:
        if isinstance(target, Pipe):
            try:
                target.judge()
            except Found as found:
                tally.found.append(str(found))


def one(name: str, target: Target | Pipe, text: bytes, tally: Tally) -> None:
    """One spoilt text."""
    try:
        if isinstance(target, Pipe):
            target.take(text)
            tally.note(name, "taken by a feed")
        else:
            tally.note(name, try_one(target, text))
    except Found as found:
        tally.note(name, "FOUND")
        tally.found.append(str(found))
        print(f"FOUND {found}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="the clock's, when none is given; it is always said")
    parser.add_argument("--minutes", type=float, default=1e6, help="at most")
    parser.add_argument("--only", default="", help="drivers, separated by commas")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(DRIVERS)
    if unknown := set(names) - DRIVERS.keys():
        parser.error(f"no driver is called {', '.join(sorted(unknown))}; there are {', '.join(DRIVERS)}")
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed
    tally, began_s = Tally(), time.monotonic()
    fuzz(names, options.mutations, seed, options.minutes * 60.0, tally)
    told: dict[str, Any] = {
        "seed": seed,
        "mutations": tally.mutations,
        "seconds": round(time.monotonic() - began_s, 1),
        "by_driver": dict(tally.by_driver),
        "outcomes": dict(tally.outcomes.most_common()),
        "found": tally.found,
    }
    target = ROOT / "build" / "fuzz.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(f"{tally.mutations:,} mutations, found {len(tally.found)}; see {target.relative_to(ROOT)}")
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
