"""A downloading process is killed with SIGKILL again and again, wherever it is, and in the end every row is there once."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
from fault_harness import eventually

from connector.simulator import Live, Simulator, SimulatorSettings

MINUTE_NS = 60 * 10**9
DAY_NS = 1_440 * MINUTE_NS
ROWS = 20_000
KILLS = 4

DOWNLOADER = """
import sys
from connector import Connector, VenueSettings
from connector.history import CsvSink, ParquetSink, download_candles

rest_url, ws_url, start, end, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
sink = CsvSink(path, pages_per_commit=3) if path.endswith(".csv") else ParquetSink(path, rows_per_part=700, rows_per_group=200)
with Connector([VenueSettings("binance", rest_url=rest_url, stream_url=ws_url)]) as connector:
    report = download_candles(connector.venue("binance"), "BTC/USDT", "1m", start, end, to=sink, page_rows=100)
print(report.rows, report.rows_before, report.gap_count, report.complete)
"""


def requests(exchange) -> int:
    return sum(record.path.endswith("klines") for record in exchange.ledger.requests())


def numbers_and_prices(path):
    """(open time, open, close) of each row, by readers other than ours."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [(int(row["open_time_ns"]), row["open"], row["close"]) for row in csv.DictReader(file)]
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = (table["open_time_ns"], table["open"].to_pylist(), table["close"].to_pylist())
    return [(opened.value, *prices) for opened, *prices in zip(*columns, strict=True)]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(
    "name",
    [
        "btc.csv",
        pytest.param(
            "btc.parquet", marks=pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra `parquet`")
        ),
    ],
)
def test_a_download_that_is_killed_again_and_again_has_every_row_once_in_the_end(name, tmp_path):
    chance, path = random.Random(name), tmp_path / name
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=0, source=Live(deep=True))) as exchange:
        start = exchange.now_ns() // DAY_NS * DAY_NS - 500 * DAY_NS
        arguments = [exchange.rest_url, exchange.ws_url, str(start), str(start + ROWS * MINUTE_NS), str(path)]

        def run() -> subprocess.Popen[str]:
            command = [sys.executable, "-c", DOWNLOADER, *arguments]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        exchange.faults.rest_delay(0.02)
        for _ in range(KILLS):
            until = requests(exchange) + chance.randrange(2, 30)
            with run() as process:
                eventually(lambda: requests(exchange) >= until or process.poll() is not None, 30.0)  # noqa: B023
                assert process.poll() is None, f"it ended by itself: {process.communicate()}"
                process.send_signal(signal.SIGKILL)
                assert process.wait(10.0) == -signal.SIGKILL
        exchange.faults.rest_delay(0.0)
        with run() as process:
            told, wrong = process.communicate(timeout=60.0)
        statuses = {record.status for record in exchange.ledger.requests()}
        asked = requests(exchange)

    assert (process.returncode, wrong) == (0, "")
    rows, before, gaps, complete = told.split()
    assert (rows, gaps, complete) == (str(ROWS), "0", "True")
    assert int(before) > 0, "the last run went on where others had been killed"
    assert asked < ROWS // 100 + KILLS * 20, "and the work of the killed ones was not done again"
    assert statuses == {200}
    found = numbers_and_prices(path)
    assert [opened for opened, *_ in found] == list(range(start, start + ROWS * MINUTE_NS, MINUTE_NS))
    assert all(earlier[2] == later[1] for earlier, later in pairwise(found))
