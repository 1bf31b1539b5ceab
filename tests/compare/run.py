"""What a user would pick instead, beside this library, in one run: `make compare` writes build/compare.json.

Each run is one client in a process of its own (`feed_peers.py`) against one stub (`feed_stub.py`). Every round runs every client
once, so that a slow moment of the machine meets all; figures are medians of the rounds, ratios medians of each round's ratio.
CPU of the client process per message is measured while messages come as fast as they are taken; how late a message is, at a
steady pace. What could not run says why, and whoever did not hand over every message is counted.

    python tests/compare/run.py --peers build/compare/bin/python [--quick] [--page docs/reference/compared.md]

`--page` puts the figures of build/compare.json, or of this run, between the markers of the page, and a plot beside it. Exits 1
when what is promised against a client does not hold, or when this library lost a message.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from feed_peers import CLIENTS, KINDS
from feed_stub import running_stub

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REPORT = ROOT / "build" / "compare.json"
OURS = "connector, picows"
COUNTS = {"trade": 50_000, "ticker": 50_000, "depth": 8_000, "book": 8_000}
MORE = 3
"""So many times the messages for clients that need little for each."""
PACE, PACED_S = 2_000.0, 5.0
RUN_WITHIN_S = 150.0
PROMISED = {
    ("unicorn, websockets", "trade"): 2.5,
    ("unicorn, picows", "trade"): 2.5,
    ("nautilus_trader, Rust", "trade"): 2.5,
    ("cryptofeed", "trade"): 4.0,
    ("ccxt.pro", "trade"): 12.0,
    ("nautilus_trader, Rust", "book"): 10.0,
    ("cryptofeed", "book"): 4.0,
    ("ccxt.pro", "book"): 4.0,
}
"""At least so many times the CPU of this library over picows, in the same round. Where a client speaks for another venue only, it
is held against this library there (`Client.against`)."""
ORDER_PEERS = ("ccxt", "python-binance", "pybit")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

SHOWN = ("trade", "book")

Run = dict[str, Any]

# ---------------------------------------------------------------- runs


def measure(name: str, kind: str, peers: str, count: int, pace: float = 0.0) -> Run:
    command = [peers, str(HERE / "feed_peers.py"), "--client", name, "--kind", kind]
    with running_stub(count, pace) as port:
        command += ["--port", str(port), *(["--paced"] if pace else [])]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_WITHIN_S)
        except subprocess.TimeoutExpired:
            return {"failed": f"took longer than {RUN_WITHIN_S:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return {"failed": (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]}
    found: Run = json.loads(lines[-1])
    return found


def one_round(
    names: list[str], kinds: list[str], peers: str, scale: float, runs: dict[str, dict[str, list[Run]]]
) -> None:
    """CPU per message of every client once. Who could not run the first time is not asked again."""
    for kind in kinds:
        for name in names:
            client, seen = CLIENTS[name], runs.setdefault(name, {}).setdefault(kind, [])
            if kind not in client.kinds:
                continue
            failed = seen[0] if seen and "failed" in seen[0] else None
            count = int(COUNTS[kind] * scale * (MORE if client.quick else 1))
            seen.append(failed or measure(name, kind, peers, count))
            tell(kind, name, seen[-1])


def one_paced_round(names: list[str], peers: str, scale: float, runs: dict[str, list[Run]]) -> None:
    """Microseconds from the stub's write to the callback; this library first and last. Of one venue only."""
    names = [name for name in names if CLIENTS[name].against == OURS]
    for name in [*names, *(name for name in names if CLIENTS[name].ours)]:
        seen = runs.setdefault(name, [])
        failed = seen[0] if seen and "failed" in seen[0] else None
        seen.append(failed or measure(name, "trade", peers, int(PACE * PACED_S * scale), PACE))
        tell("paced", name, seen[-1])


def tell(what: str, name: str, run: Run) -> None:
    figures = run.get("failed") or ", ".join(f"{key} {value:,.1f}" for key, value in run.items())
    print(f"  {time.strftime('%H:%M:%S')} {what}: {name}: {figures}", flush=True)


def order_rows(peers: str, quick: bool) -> list[Run]:
    """From command to first byte, of `tests/benchmarks/orders.py`, as far as other clients are concerned."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "orders.py"), "--peers", peers]
    command += ["--scale", "0.1" if quick else "0.2"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        return []
    rows: list[Run] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [row for row in rows if row["name"].startswith("orders.first byte.") and row["unit"].startswith("us ")]


# ---------------------------------------------------------------- figures


def middle(runs: list[Run], figure: str) -> float | None:
    known = [run[figure] for run in runs if "failed" not in run]
    return statistics.median(known) if known else None


def report_of(raw: Run) -> dict[str, Any]:
    """Everything the tables need, from single runs: "runs" by client and kind, "paced" by client, "orders", "versions"."""
    rows: list[dict[str, Any]] = []
    for name, kind, seen in [(name, *each) for name, kinds in raw["runs"].items() for each in kinds.items() if each[1]]:
        row: dict[str, Any] = {"client": name, "kind": kind, "runs": len(seen), "us": middle(seen, "cpu_us")}
        if row["us"] is None:
            row["failed"] = seen[0]["failed"]
        else:
            row["seen"], row["sent"] = int(middle(seen, "seen") or 0), int(middle(seen, "sent") or 0)
            row["whole_runs"] = sum("failed" not in run and run["seen"] == run["sent"] for run in seen)
            row["broken"] = next((run["failed"] for run in seen if "failed" in run), "")
            pairs = zip(seen, raw["runs"].get(CLIENTS[name].against, {}).get(kind, []), strict=False)
            ratios = [theirs["cpu_us"] / mine["cpu_us"] for theirs, mine in pairs if "failed" not in {*theirs, *mine}]
            row["times_ours"] = statistics.median(ratios) if ratios else None
        rows.append(row)
    late = [
        {"client": name, "runs": len(seen)}
        | ({"failed": seen[0]["failed"]} if middle(seen, "p50_us") is None else {})
        | {figure: middle(seen, figure) for figure in ("p50_us", "p99_us", "cpu_us")}
        | {figure: int(middle(seen, figure) or 0) for figure in ("seen", "sent")}
        for name, seen in raw["paced"].items()
    ]
    report = {"month": raw["month"], "versions": raw["versions"], "rows": rows, "late": late, "orders": raw["orders"]}
    report["promised"] = promised(report)
    return report


def promised(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What must hold, each with what was found; without a figure it is not known."""
    found: list[dict[str, Any]] = []
    for row in report["rows"]:
        least = PROMISED.get((row["client"], row["kind"]))
        if least is not None and row.get("times_ours"):
            found.append({"what": f"{row['kind']}: {row['client']}", "found": row["times_ours"], "least": least})
        if CLIENTS[row["client"]].ours:
            whole = row.get("whole_runs") == row["runs"]
            found.append(
                {"what": f"{row['kind']}: {row['client']}: every message", "found": float(whole), "least": 1.0}
            )
    for share in ("p50_us", "p99_us"):
        others = [row[share] for row in report["late"] if row[share] and not CLIENTS[row["client"]].quick]
        ours = [row[share] for row in report["late"] if row[share] and row["client"] == OURS]
        if others and ours:
            found.append({"what": f"{share[:3]}: the best of the others", "found": min(others) / ours[0], "least": 1.0})
    told = {row["name"].rpartition(".")[2]: row["value"] for row in report["orders"]}
    session = told.get("session", 0.0)
    peers = [peer for peer in ORDER_PEERS if peer in told and session]
    found += [{"what": f"first byte: {peer}", "found": told[peer] / session, "least": 10.0} for peer in peers]
    return [each | {"ok": each["found"] >= each["least"]} for each in found]


# ---------------------------------------------------------------- tables


def tables(report: dict[str, Any]) -> str:
    """Markdown: CPU per message, how late, first bytes, versions, what could not run."""
    cells = {(row["client"], row["kind"]): row for row in report["rows"]}
    names = list(dict.fromkeys(row["client"] for row in report["rows"]))
    lines = ["| CPU per message, µs | " + " | ".join(KINDS) + " | of this library's, trade / book |", "|---" * 6 + "|"]
    for name in names:
        row = [figure(cells.get((name, kind))) for kind in KINDS]
        times = [cells.get((name, kind), {}).get("times_ours") for kind in ("trade", "book")]
        lines.append(
            f"| {name} | {' | '.join(row)} | {' / '.join('-' if each is None else f'{each:.1f}' for each in times)} |"
        )
    if report["late"]:
        lines += ["", "| At 2,000 messages a second, µs | p50 | p99 |", "|---|---|---|"]
        for row in report["late"]:
            if row["p50_us"] is not None:
                lines.append(f"| {row['client']} | {row['p50_us']:.0f} | {row['p99_us']:.0f} |")
    if report["orders"]:
        lines += ["", "| An order, from command to first byte | µs CPU |", "|---|---|"]
        lines += [f"| {row['name'].rpartition('.')[2]} | {row['value']:.0f} |" for row in report["orders"]]
    notes = [note for row in report["rows"] if (note := remark(row))]
    notes += [f"{row['client']}, paced: {row['failed']}" for row in report["late"] if "failed" in row]
    if notes:
        lines += ["", *(f"- {note}" for note in dict.fromkeys(notes))]
    told = ", ".join(f"{name} {number or 'not installed'}" for name, number in report["versions"].items())
    return "\n".join([*lines, "", f"Measured {report['month']}: {told}.", ""])


def figure(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if row["us"] is None:
        return "failed"
    return f"{row['us']:.2f}" if row["us"] < 10 else f"{row['us']:.1f}" if row["us"] < 100 else f"{row['us']:.0f}"


def remark(row: dict[str, Any]) -> str:
    if row["us"] is None:
        return f"{row['client']}, {row['kind']}: {row['failed']}"
    if row["seen"] != row["sent"]:
        return f"{row['client']}, {row['kind']}: {row['seen']:,} callbacks for {row['sent']:,} messages"
    if row["whole_runs"] < row["runs"]:
        return f"{row['client']}, {row['kind']}: every message in {row['whole_runs']} of {row['runs']} runs; {row['broken']}"
    return ""


def plot(report: dict[str, Any]) -> str:
    """Bars of CPU per message, trade and book side by side, each step of the scale ten times the one before."""
    us = {(row["client"], row["kind"]): row["us"] for row in report["rows"]}
    names = [
        name for name in dict.fromkeys(row["client"] for row in report["rows"]) if any(us.get((name, k)) for k in SHOWN)
    ]
    height = 50 + 18 * len(names)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-size="11" fill="#808080">',
        "<title>CPU per message of each client, in microseconds, on a logarithmic scale</title>",
    ]
    for at, name in enumerate(names):
        lines.append(f'<text x="220" y="{43 + 18 * at}" text-anchor="end">{name}</text>')
    for panel, kind in enumerate(SHOWN):
        left = 230 + 315 * panel
        lines.append(f'<text x="{left}" y="16">{kind}, µs CPU per message</text>')
        for at, name in enumerate(names):
            value = us.get((name, kind))
            if value:
                width = 250 * math.log10(max(value, 1.0) * 1.1) / math.log10(1_100)
                color = "#009688" if CLIENTS[name].ours else "#b0bec5"
                lines.append(f'<rect x="{left}" y="{32 + 18 * at}" width="{width:.0f}" height="13" fill="{color}"/>')
                lines.append(f'<text x="{left + width + 4:.0f}" y="{43 + 18 * at}">{figure({"us": value})}</text>')
    return "\n".join([*lines, "</svg>", ""])


def put_into(page: Path, text: str) -> None:
    whole = page.read_text(encoding="utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def keep(raw: Run) -> None:
    """After each round, so that what is measured is not lost."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report_of(raw) | {"raw": raw}, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="an interpreter that has all clients; without it, no new run")
    parser.add_argument("--quick", action="store_true", help="two rounds of fewer messages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of messages")
    parser.add_argument("--more", action="store_true", help="add to the rounds of build/compare.json")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", default="", help="clients whose name has one of these in it, separated by |")
    parser.add_argument("--parts", default="cpu,late,orders")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    if chosen.peers:
        rounds, scale = (2, 0.2) if chosen.quick else (chosen.rounds, chosen.scale)
        raw = json.loads(REPORT.read_text())["raw"] if chosen.more else {"runs": {}, "paced": {}, "orders": []}
        told = subprocess.run(
            [chosen.peers, str(HERE / "feed_peers.py"), "--versions"], check=True, capture_output=True
        )
        raw |= {"month": time.strftime("%Y-%m", time.gmtime()), "versions": json.loads(told.stdout)}
        only, parts = chosen.only.split("|"), chosen.parts.split(",")
        names = [name for name in CLIENTS if CLIENTS[name].ours or any(part in name for part in only)]
        for number in range(rounds):
            print(f"round {number + 1}", flush=True)
            if "cpu" in parts:
                one_round(names, chosen.kinds.split(","), chosen.peers, scale, raw["runs"])
            if "late" in parts:
                one_paced_round(names, chosen.peers, scale, raw["paced"])
            keep(raw)
        if "orders" in parts:
            raw["orders"] = order_rows(chosen.peers, chosen.quick)
            keep(raw)
    report = report_of(json.loads(REPORT.read_text())["raw"])
    print(tables(report))
    for each in report["promised"]:
        print(
            f"{'ok ' if each['ok'] else 'NO '} {each['what']:45} {each['found']:8.2f} times, at least {each['least']}"
        )
    if chosen.page:
        put_into(chosen.page, tables(report))
        chosen.page.with_suffix(".svg").write_text(plot(report), encoding="utf-8")
    return 0 if all(each["ok"] for each in report["promised"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
