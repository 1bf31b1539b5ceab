"""The fault matrix: every row F01-F80 that can be reached here, played or held by its tests, into build/faults.json and a page.

A row with scenarios is played through the fault proxy and the simulator, with real threads and sockets, and its figures are
measured. A row without any is held by the tests that name it, which run here. Rows that cannot be reached are listed with the
reason. Exit status 0 exactly when every promise held.

    python tests/faults/matrix.py                   # everything, short: part of make faults
    python tests/faults/matrix.py --row F03 --repeat 5
    python tests/faults/matrix.py --page            # write docs/reference/fault-matrix.md from build/faults.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "tools"))

import matrix_inside  # noqa: F401  the scenarios enter themselves
import matrix_market  # noqa: F401
import matrix_orders  # noqa: F401
from faults import FAULTS, NOT_YET, tests_of
from promises import PROMISES, SECTIONS
from scenario import SCENARIOS, Scenario, Seen, verdict

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "faults.json"
PAGE = ROOT / "docs" / "reference" / "fault-matrix.md"
INTRO = """# Fault matrix

What can fail, where, and what happened when it did. `make faults` plays every row against the simulator, with real threads and
sockets and a proxy that cuts, delays, slows and silences connections at any byte. This page is printed from its figures
(`tests/faults/matrix.py --page`).

Of {rows} rows {measured} were measured in {scenarios} scenarios, {tested} are held by the tests that name them, and {unreachable}
cannot be reached here. In {differ} the figure is another than the promised one, for the reason beside it; {short} did not hold.
The machine had {machine}, with simulator and client on loopback; each time is the worst of all plays.

- **noticed**: from the fault until its consumer was told. **back**: from the fault's end (its beginning, when it is over at once)
  until fresh data or the true state was at the consumer.
- **lost**, **doubled**: values or events that never came, or came twice, against the exchange's own ledger.
- **false alarms**: parts that nothing was done to, and that were told stale, restarted or reconnected. A second, calm venue runs
  beside.
"""
Row = dict[str, Any]


def entry(fault: str, place: str, **more: Any) -> Row:
    """One line of the matrix; what is not given is not known."""
    promise, figure = PROMISES[fault]
    empty: Row = {**dict.fromkeys(("noticed_s", "back_s", "lost", "doubled", "false_alarms")), "differs": ""}
    return {"id": fault, "what": FAULTS[fault], "place": place, "promise": promise, "figure": figure, **empty, **more}


def played(chosen: Scenario, repeat: int) -> Row:
    """Play one scenario so often and judge the worst; one that breaks is wrong, and why is told."""
    seen, began_s = Seen(), time.monotonic()
    for number in range(repeat):
        try:
            once = chosen.play()
        except Exception as broken:
            once = Seen(wrong=[f"{type(broken).__name__}: {broken}"])
        seen = once if number == 0 else seen.worst(once)
    found = verdict(chosen, seen)
    return entry(
        chosen.row,
        chosen.place,
        noticed_s=seen.noticed_s,
        back_s=seen.back_s,
        lost=seen.lost,
        doubled=seen.doubled,
        false_alarms=seen.false_alarms,
        bound=chosen.bound,
        ok=not found,
        differs=chosen.differs,
        found=found,
        note=seen.note,
        plays=repeat,
        took_s=round(time.monotonic() - began_s, 2),
    )


def played_in_lanes(numbers: Sequence[int], repeat: int, lanes: int) -> Iterator[Row]:
    """Play scenarios (by their number) in so many processes at once; most of their time they wait."""
    with ProcessPoolExecutor(lanes, get_context("spawn")) as pool:
        waiting = {pool.submit(_play, number, repeat): number for number in numbers}
        for done in as_completed(waiting):
            try:
                yield done.result()
            except BrokenProcessPool as broken:
                chosen = SCENARIOS[waiting[done]]
                yield entry(
                    chosen.row, chosen.place, bound=chosen.bound, ok=False, found=[repr(broken)], note="", plays=0
                )


def _play(number: int, repeat: int) -> Row:
    return played(SCENARIOS[number], repeat)


def held_by_tests(rows: Iterable[str], workers: int) -> Iterator[Row]:
    """Run the tests that name these rows, once each, and say for every row how many of them passed."""
    wanted = {fault: tests_of(fault) for fault in rows}
    names = sorted({name for each in wanted.values() for name in each})
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-P", "-m", "pytest", "-q", "--no-header", "-n", str(workers), "--dist", "loadfile"]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [*command, f"--junitxml={report}", *names],
                cwd=ROOT,
                check=False,
                timeout=900,
            )
        results = list(_results(report)) if report.exists() else []
    for fault, tests in wanted.items():
        mine = [(name, ok) for name, ok in results if any(_covers(test, name) for test in tests)]
        failed = sorted(name for name, ok in mine if not ok)
        found = [f"failed: {name}" for name in failed] or ([] if mine else ["none of its tests ran"])
        bound = "its tests pass"
        yield entry(
            fault, "tests", bound=bound, ok=not found, found=found, note=f"{len(mine)} tests", plays=1, tests=tests
        )


def _results(report: Path) -> Iterator[tuple[str, bool]]:
    """(file::function, passed) of every test that was not skipped."""
    for case in ET.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
            yield name, case.find("failure") is None and case.find("error") is None


def _covers(test: str, name: str) -> bool:
    return name == test or ("::" not in test and name.startswith(f"{test}::"))


# ---------------------------------------------------------------- telling


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def told(row: Row) -> str:
    """One row as a line of progress."""
    times = [f"{name} {seconds(row[key])}" for name, key in (("noticed", "noticed_s"), ("back", "back_s")) if row[key]]
    counts = [f"{row[name]} {name.replace('_', ' ')}" for name in ("lost", "doubled", "false_alarms") if row[name]]
    text = ", ".join([*times, *counts, *([row["note"]] if row["note"] else [])])
    word = "FAIL" if not row["ok"] else "diff" if row["differs"] else "ok  "
    line = f"{word} {row['id']} {row['place']}: {text or 'as promised'}"
    return "\n".join([line, *(f"       {each}" for each in row["found"])])


def page(faults: Row) -> str:
    """The page of the documentation, from what was written to build/faults.json."""
    by_id: dict[str, list[Row]] = {}
    for row in faults["matrix"]:
        by_id.setdefault(row["id"], []).append(row)
    measured = {fault for fault, mine in by_id.items() if any(row["place"] != "tests" for row in mine)}
    text = INTRO.format(
        rows=len(FAULTS),
        measured=len(measured),
        scenarios=sum(row["place"] != "tests" for row in faults["matrix"]),
        tested=len(by_id.keys() - measured),
        unreachable=len(NOT_YET),
        differ=len({fault for fault, mine in by_id.items() if any(row["ok"] and row["differs"] for row in mine)}),
        short=len({fault for fault, mine in by_id.items() if not all(row["ok"] for row in mine)}),
        machine=faults["machine"],
    )
    lines = [text]
    for title, first, last in SECTIONS:
        chosen = [fault for fault in FAULTS if first <= fault <= last]
        lines += [f"## {title}", "", "| | fault | promise | figure |", "|---|---|---|---|"]
        lines += [f"| {fault} | {FAULTS[fault]} | {PROMISES[fault][0]} | {PROMISES[fault][1]} |" for fault in chosen]
        lines += ["", "| | place | noticed | back | lost | doubled | false alarms | held | |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for fault in chosen:
            if fault in NOT_YET:
                lines.append(f"| {fault} | not reachable here | | | | | | | {NOT_YET[fault]} |")
            lines += [_line(row) for row in by_id.get(fault, [])]
        lines.append("")
    volume = faults.get("rows", [])
    if volume:
        lines += ["## At volume", "", "Kills, cuts and lives, many in a row.", ""]
        lines += ["| figure | measured | bound | held |", "|---|---|---|---|"]
        for each in volume:
            measured_text = f"{each['value']:g} {each['unit']}".strip()
            held = "yes" if each["ok"] else "**no**"
            lines.append(f"| {_cell(each['name'])} | {measured_text} | {each['bound']} | {held} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Row) -> str:
    """One row of the matrix as a row of a table."""
    held = "**no**" if not row["ok"] else "differs" if row["differs"] else "yes"
    said = "; ".join(_cell(each) for each in (row["note"], row["differs"], *row["found"]) if each)
    counts = ["" if row[name] is None else str(row[name]) for name in ("lost", "doubled", "false_alarms")]
    cells = [row["id"], row["place"], seconds(row["noticed_s"]), seconds(row["back_s"]), *counts, held, said]
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:200]


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def read(path: Path) -> Row:
    """What is written already; volumes and other rows stay when some are measured again."""
    if not path.exists():
        return {}
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, rows: list[Row], *, whole: bool) -> bool:
    """Put the rows into the file, beside the figures of volume. Returns whether everything in it holds."""
    faults = read(path)
    kept = [] if whole else faults.get("matrix", [])
    again = {(row["id"], row["place"]) for row in rows}
    places = {(each.row, each.place): number for number, each in enumerate(SCENARIOS)}
    there = {key for key in (*places, *((fault, "tests") for fault in FAULTS)) if key not in again}
    matrix = [row for row in kept if (row["id"], row["place"]) in there] + rows
    matrix.sort(key=lambda row: (row["id"], places.get((row["id"], row["place"]), len(places))))
    volume = faults.get("rows", [])
    ok = all(row["ok"] for row in [*volume, *matrix])
    unreachable = [{"id": fault, "what": FAULTS[fault], "reason": reason} for fault, reason in NOT_YET.items()]
    whole_file = {"ok": ok, "machine": machine(), "rows": volume, "matrix": matrix, "not_reachable": unreachable}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole_file, indent=1) + "\n", encoding="utf-8")
    return all(row["ok"] for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=sorted(FAULTS), help="only this one; may be given again")
    parser.add_argument("--place", default="", help="only places whose name has this in it")
    parser.add_argument("--repeat", type=int, default=1, help="plays of each scenario; the worst counts")
    parser.add_argument(
        "--lanes", type=int, default=4, help="scenarios played at the same time, in processes of their own"
    )
    parser.add_argument("--workers", type=int, default=2, help="for the rows that tests hold")
    parser.add_argument("--no-tests", action="store_true", help="leave out the rows that tests hold")
    parser.add_argument("--list", action="store_true", help="show the rows and places, play nothing")
    parser.add_argument("--page", action="store_true", help="write the page of the documentation; play nothing")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(read(options.out)), encoding="utf-8")
        return 0
    rows_wanted = set(options.row or FAULTS)
    wanted = (each for each in enumerate(SCENARIOS) if each[1].row in rows_wanted and options.place in each[1].place)
    chosen = [number for number, _ in sorted(wanted, key=lambda each: each[1].row)]
    resting = (
        []
        if options.no_tests or options.place
        else sorted(rows_wanted - {each.row for each in SCENARIOS} - set(NOT_YET))
    )
    if options.list:
        for each in (SCENARIOS[number] for number in chosen):
            print(f"{each.row}  {each.place}: {each.bound}")
        for fault in resting:
            print(f"{fault}  tests: {', '.join(tests_of(fault)) or 'none'}")
        return 0
    rows: list[Row] = []
    whole = options.row is None and not options.place and not options.no_tests
    began_s, show = time.monotonic(), _shower(len(chosen))
    for row in played_in_lanes(chosen, options.repeat, options.lanes):
        rows.append(row)
        show(row)
        write(options.out, rows, whole=whole)  # what was measured is kept, whatever happens to the rest
    for row in held_by_tests(resting, options.workers):
        rows.append(row)
        show(row)
    held = write(options.out, rows, whole=whole)
    wrong = sum(not row["ok"] for row in rows)
    print(f"{len(rows)} rows in {time.monotonic() - began_s:.0f} s, {wrong} did not hold: {options.out}")
    return 0 if rows and held else 1


def _shower(whole: int) -> Callable[[Row], None]:
    count = 0

    def show(row: Row) -> None:
        nonlocal count
        count += 1
        print(f"[{min(count, whole)}/{whole}] {told(row)}", flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
