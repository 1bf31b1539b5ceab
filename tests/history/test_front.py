"""The front of the package: its names are pinned, and it costs no dependency that nobody asked for."""

import subprocess
import sys

import connector.history

PUBLIC = {
    "Checkpoint",
    "CsvSink",
    "Download",
    "HistoryGap",
    "Options",
    "ParquetSink",
    "Progress",
    "Report",
    "Sink",
    "Task",
    "download_candles",
    "download_trades",
    "iterate_candles",
    "iterate_trades",
}


def test_the_names_for_histories_are_exactly_these_and_each_says_what_it_is():
    assert set(connector.history.__all__) == PUBLIC
    assert all(getattr(connector.history, name).__doc__ for name in PUBLIC)


def test_importing_it_imports_neither_pyarrow_nor_rich():
    program = "import sys, connector.history; print(sorted({'pyarrow', 'rich'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0)
