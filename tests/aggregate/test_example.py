"""The example runs to its end by itself, says what it promises, and leaves nothing on the error stream."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "consolidated_book.py"


def test_consolidated_book_shows_both_venues_drops_the_one_that_is_cut_and_takes_it_back(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    asks = [Decimal(price) for price in re.findall(r"ask +([\d.]+)", done.stdout)]
    bids = [Decimal(price) for price in re.findall(r"bid +([\d.]+)", done.stdout)]
    assert len(asks) == len(bids) == 5
    assert asks == sorted(asks, reverse=True) and bids == sorted(bids, reverse=True)
    assert bids[0] > asks[-1], "the venues cross, and it is shown"
    assert re.search(r"spread  opened: buy at north, sell at south, .* after, \d", done.stdout)
    assert re.search(r"spread  closed: .* left: ", done.stdout)
    assert "now from {'north'} alone" in done.stdout
    assert re.search(r"BTC/USDC\.south left: connection .*\n(?:.*\n)*?BTC/USDC\.south is in", done.stdout)
    assert len(re.findall(r"^trade   ", done.stdout, re.M)) == 5
    assert re.search(r"<ConsolidatedBook BTC/USDT .* in=2/2 ", done.stdout)
