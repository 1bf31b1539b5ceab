"""A million candles from a simulated exchange at the venue's limits, by a process that is killed on the way.

The exchange runs here and enforces its limits; the download runs in a process of its own, which is killed with SIGKILL at parts
of the way and started again, until one run comes to its end. Then the file is read by another reader: every minute once, each
opening where the one before closed, no question refused. Memory is the resident size of the downloading process, looked at four
times a second; flat means that the second half of the last run takes hardly more than its first.

    python tests/benchmarks/history.py [--candles 1000000] [--kills 2] [--weight 6000] [--format csv] [--page-rows 1000]

Prints one JSON row per figure (name, value, unit, bound, ok) and exits 1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

MINUTE_NS = 60 * 10**9
DAY_NS = 1_440 * MINUTE_NS
DEEPEST_DAYS = 2_095
LOOK_S = 0.25
GROWTH_MIB = 16.0
"""Of the resident size, from the first half of a run to its second; allocators keep what they have once had."""


# ---------------------------------------------------------------- the process that is killed


def download(arguments: list[str]) -> int:
    """Download into a file and print the report as JSON."""
    from connector import Connector, VenueSettings
    from connector.history import download_candles

    rest_url, ws_url, start, end, path, page_rows = arguments
    settings = VenueSettings("binance", rest_url=rest_url, stream_url=ws_url)
    with Connector([settings]) as connector:
        venue = connector.venue("binance")
        report = download_candles(
            venue,
            "BTC/USDT",
            "1m",
            int(start),
            int(end),
            to=path,
            page_rows=None if page_rows == "0" else int(page_rows),
        )
        refused = venue.snapshot().counters.get("rest.refused_by_limit", 0)
    print(report, file=sys.stderr)
    told = {
        name: getattr(report, name) for name in ("rows", "rows_before", "pages", "requests", "retries", "gap_count")
    }
    print(json.dumps({**told, "missing": report.missing, "complete": report.complete, "refused": refused}))
    return 0


# ---------------------------------------------------------------- who starts, kills and judges it


def resident_mib(pid: int) -> float | None:
    """None where the system does not tell, or the process has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def rows_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """(open time, open, close) of each row, a few at a time."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield int(row["open_time_ns"]), row["open"], row["close"]
        return
    import pyarrow.parquet as pq

    for part in sorted(path.glob("part-*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(10_000, columns=["open_time_ns", "open", "close"]):
            times, *prices = batch.columns
            for opened, first, last in zip(times, *(column.to_pylist() for column in prices), strict=True):
                yield opened.value, str(first), str(last)


def judge(path: Path, start: int) -> tuple[int, int, int]:
    """(rows, gaps, doubles or rows out of order) of a file."""
    rows = gaps = wrong = 0
    expected, close = start, None
    for opened, first, last in rows_of(path):
        rows += 1
        gaps += opened > expected
        wrong += opened < expected or (opened == expected and close is not None and first != close)
        expected, close = opened + MINUTE_NS, last
    return rows, gaps, wrong


def row(name: str, value: float, unit: str, bound: str = "", ok: bool = True) -> bool:
    print(json.dumps({"name": name, "value": value, "unit": unit, "bound": bound, "ok": ok}), flush=True)
    return ok


def main() -> int:
    if sys.argv[1:2] == ["--download"]:
        return download(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candles", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--weight", type=int, default=6_000, help="the exchange's request weight a minute")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--page-rows", type=int, default=0, help="0: the venue's maximum")
    options = parser.parse_args()
    if not 0 < options.candles <= DEEPEST_DAYS * 1_440:
        parser.error(f"the exchange has {DEEPEST_DAYS * 1_440} candles")

    from connector.simulator import Live, Simulator, SimulatorSettings

    settings = SimulatorSettings(
        symbols=("BTCUSDT",), events_per_s=0, source=Live(deep=True), request_weight_per_minute=options.weight
    )
    with tempfile.TemporaryDirectory() as folder, Simulator(settings) as exchange:
        start = exchange.now_ns() // DAY_NS * DAY_NS - (options.candles // 1_440 + 2) * DAY_NS
        path = Path(folder) / f"btc.{options.format}"
        end = start + options.candles * MINUTE_NS
        urls = [exchange.rest_url, exchange.ws_url]
        command = [
            sys.executable,
            __file__,
            "--download",
            *urls,
            str(start),
            str(end),
            str(path),
            str(options.page_rows),
        ]
        pages = -(-options.candles // (options.page_rows or 1_000))
        began_s, memory, killed = time.monotonic(), [], 0
        marks = [pages * (number + 1) // (options.kills + 1) for number in range(options.kills)]
        pause = threading.Event()
        while True:
            samples: list[float] = []
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                while process.poll() is None:
                    if (used := resident_mib(process.pid)) is not None:
                        samples.append(used)
                    asked = sum(record.path.endswith("klines") for record in exchange.ledger.requests())
                    if marks and asked >= marks[0]:
                        marks.pop(0)
                        killed += 1
                        process.send_signal(signal.SIGKILL)
                        process.wait()
                        break
                    pause.wait(LOOK_S)
                told = process.stdout.read() if process.stdout is not None else ""
            memory.append(samples)
            if process.returncode != -signal.SIGKILL:
                break
        elapsed_s = time.monotonic() - began_s
        requests = exchange.ledger.requests()
        if process.returncode != 0:
            return 0 if row("the last run ended well", process.returncode, "status", "0", ok=False) else 1
        report = json.loads(told)
        rows, gaps, wrong = judge(path, start)
    refused = sum(record.status in (418, 429) for record in requests)
    fullest = max(record.used_weight for record in requests)
    last = [sample for sample in memory[-1] if sample > 0]
    half = len(last) // 2
    growth = max(last[half:]) - max(last[:half]) if half else 0.0
    began = datetime.fromtimestamp(start // 10**9, UTC)
    print(f"{options.candles:,} candles from {began:%Y-%m-%d}, {options.format}, {killed} kills", file=sys.stderr)
    results = [
        row("rows in the file", rows, "candles", str(options.candles), rows == options.candles == report["rows"]),
        row("gaps", gaps + report["gap_count"], "ranges", "0", gaps + report["gap_count"] == 0),
        row("doubles, or rows out of place", wrong, "candles", "0", wrong == 0),
        row(
            "refused by limit (429, 418)", refused + report["refused"], "answers", "0", refused + report["refused"] == 0
        ),
        row("killed on the way", killed, "times", str(options.kills), killed == options.kills),
        row("kept over the kills", report["rows_before"], "candles", "> 0", report["rows_before"] > 0 or not killed),
        row("fullest minute", fullest, "weight", f"<= {options.weight}", fullest <= options.weight),
        row(
            "requests in all",
            len(requests),
            "requests",
            f"<= {pages + 60 * (killed + 1)}",
            len(requests) <= pages + 60 * (killed + 1),
        ),
        row("asked again", report["retries"], "questions of the last run"),
        row("resident at the most", round(max(map(max, filter(None, memory))), 1), "MiB"),
        row(
            "resident, second half over first",
            round(growth, 1),
            "MiB of the last run",
            f"<= {GROWTH_MIB}",
            growth <= GROWTH_MIB,
        ),
        row("took", round(elapsed_s, 1), "s, kills and starts included"),
        row("speed", round(options.candles / elapsed_s), "candles/s"),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
