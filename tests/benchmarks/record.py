"""Keep the ratios of a benchmark run with the commit they belong to, and print the page that shows them.

Reads `build/bench.json`, adds one line to `docs/reference/benchmarks.jsonl` (a commit that is there already is replaced), and
writes `docs/reference/benchmarks.md` with the table of the last run and `benchmarks.svg` with the ratios over commits. Only
ratios are drawn: they travel between machines and days. It measures nothing.

    make bench && python tests/benchmarks/record.py
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"
KEPT, PAGE, PICTURE = PAGES / "benchmarks.jsonl", PAGES / "benchmarks.md", PAGES / "benchmarks.svg"
SHOWN = 40
"""Commits in the picture, newest right."""

Row = dict[str, Any]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def ratios_of(rows: list[Row]) -> dict[str, float]:
    """What travels: rows without a unit of time, money or memory, which end in "ratio" or say of what they are a part."""
    return {row["name"]: row["value"] for row in rows if "ratio" in row["name"] or row["unit"] in ("x", "ratio")}


def kept() -> list[Row]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def keep(rows: list[Row], commit: str) -> list[Row]:
    """The history with this run in it, oldest first; written to its file."""
    history = [each for each in kept() if each["commit"] != commit]
    history.append({"commit": commit, "month": f"{datetime.now(UTC):%Y-%m}", "ratios": ratios_of(rows)})
    KEPT.write_text("".join(json.dumps(each, sort_keys=True) + "\n" for each in history))
    return history


def picture(history: list[Row]) -> str:
    """One small chart per ratio, commits from left to right, zero at the bottom."""
    names = sorted({name for each in history for name in each["ratios"]})
    width, height, columns = 300, 92, 3
    parts = []
    for number, name in enumerate(names):
        left, top = number % columns * width, number // columns * height
        points = [each["ratios"].get(name) for each in history[-SHOWN:]]
        known = [value for value in points if value is not None]
        most = max(known) * 1.15 or 1.0
        step = (width - 70) / max(1, len(points) - 1)
        spots = [
            (left + 12 + at * step, top + height - 14 - value / most * (height - 46))
            for at, value in enumerate(points)
            if value is not None
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        x, y = spots[-1]
        parts.append(
            f'<text x="{left + 12}" y="{top + 16}">{name}</text>'
            f'<line x1="{left + 12}" x2="{left + width - 58}" y1="{top + height - 14}" y2="{top + height - 14}" stroke="#bbb"/>'
            f'<polyline points="{line}" fill="none" stroke="#2a6f97" stroke-width="1.5"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2a6f97"/>'
            f'<text x="{x + 7:.1f}" y="{y + 4:.1f}">{known[-1]:.2f}</text>'
        )
    rows = -(-len(names) // columns)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * width}" height="{rows * height}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def page(rows: list[Row], history: list[Row], ok: bool) -> str:
    last = history[-1]
    lines = [
        "# Benchmarks",
        "",
        "Printed by `make bench` and `tests/benchmarks/record.py`. Each ratio has its floor in the same run; seconds and",
        f"microseconds are those of one machine, two shared cores, Python {platform.python_version()}, {last['month']}, commit",
        f"`{last['commit']}`. What other libraries need for the same is on [another page](compared.md).",
        "",
        "![ratios by commit](benchmarks.svg)",
        "",
        f"{'Every bound held.' if ok else 'Bounds that did not hold are marked.'}",
        "",
        "| what | figure | | bound |",
        "|---|---|---|---|",
    ]
    for row in rows:
        bound = "" if row["bound"] in (None, "") else str(row["bound"])
        mark = "" if row["ok"] else " **not held**"
        lines.append(f"| {row['name']} | {row['value']:,g} | {row['unit']} | {bound}{mark} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    report = json.loads((ROOT / "build" / "bench.json").read_text())
    history = keep(report["rows"], git("rev-parse", "--short", "HEAD"))
    PAGE.write_text(page(report["rows"], history, report["ok"]))
    PICTURE.write_text(picture(history))
    print(f"{len(history)} commits in {KEPT.relative_to(ROOT)}, page {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
