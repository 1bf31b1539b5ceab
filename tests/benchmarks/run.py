"""Every benchmark in one report: `make bench` writes build/bench.json and exits 0 only if every bound holds.

Figures travel between machines only as ratios; each ratio has its floor in the same run. The parts run one after another, each
in a process of its own, because they pin, burn and measure CPU.

    python tests/benchmarks/run.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPORT = HERE.parent.parent / "build" / "bench.json"
PARTS = {
    "supervision against plain Pykka": ("supervision.py", [], ["3"]),
    "reading one frame": ("driver_decode.py", [], ["--quick"]),
    "links against the bare libraries": ("transport_floor.py", ["--json"], ["--json", "--scale", "0.2"]),
    "socket to callback": ("pipeline.py", [], ["--scale", "0.2"]),
    "many topics, many books, a start": ("size.py", [], ["--scale", "0.3"]),
    "orders against requests": ("orders.py", [], ["--scale", "0.2"]),
    "a venue in a process of its own": ("isolation.py", [], ["--scale", "0.3"]),
}


def run(script: str, arguments: list[str]) -> list[dict[str, Any]]:
    """The rows one part prints as JSON lines; a part that breaks, before its rows or after them, is a row that is not ok."""
    command = [sys.executable, str(HERE / script), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired as late:
        return [{"name": f"{script} ran", "value": 0, "unit": str(late), "bound": 1, "ok": False}]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows or (done.returncode and all(row["ok"] for row in rows)):
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        rows.append({"name": f"{script} ran", "value": 0, "unit": last, "bound": 1, "ok": False})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages; ratios are rougher")
    quick = parser.parse_args().quick
    report: list[dict[str, Any]] = []
    for title, (script, arguments, quick_arguments) in PARTS.items():
        began_s = time.monotonic()
        print(f"{title} …", flush=True)
        rows = run(script, quick_arguments if quick else arguments)
        for row in rows:
            bound = "" if row["bound"] in (None, "") else f"   bound {row['bound']}"
            print(f"  {'ok ' if row['ok'] else 'NO '} {row['name']:58} {row['value']:>14,.3f} {row['unit']}{bound}")
        print(f"  {time.monotonic() - began_s:.0f} s", flush=True)
        report += rows
    ok = all(row["ok"] for row in report)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"ok": ok, "rows": report}, indent=1) + "\n")
    print(f"{'every bound holds' if ok else 'A BOUND DOES NOT HOLD'}: build/{REPORT.name}")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
