"""Every example runs to its end by itself, says what it promises, and leaves nothing on the error stream."""

import csv
import re
from decimal import Decimal
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_quick_start_prints_trades_a_book_a_candle_and_the_tree(run):
    done = run("quick_start.py", within_s=30)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{6}  (buy |sell)  \d+\.\d+ x \d+\.\d+$", done.stdout, re.M)) == 5
    assert "book    valid, best bid" in done.stdout
    assert "candle  " in done.stdout
    assert "stream  running" in done.stdout


def test_quick_start_is_shorter_than_forty_lines():
    assert len((EXAMPLES / "quick_start.py").read_text(encoding="utf-8").splitlines()) < 40


def test_order_book_shows_levels_refuses_a_doubtful_book_and_gets_a_valid_one_again(run):
    done = run("order_book.py", within_s=30)

    assert (done.returncode, done.stderr) == (0, "")
    asks = [Decimal(price) for price in re.findall(r"ask +([\d.]+)", done.stdout)]
    bids = [Decimal(price) for price in re.findall(r"bid +([\d.]+)", done.stdout)]
    assert len(asks) == len(bids) == 5
    assert [*asks, *bids] == sorted([*asks, *bids], reverse=True)
    assert re.search(r"not handed out: .*ETH/USDT.*invalid", done.stdout)
    assert re.search(r"valid again, by itself: <Book ETH/USDT.binance VALID", done.stdout)


def test_candles_are_paged_into_a_csv_without_holes_or_repeats(run, tmp_path):
    done = run("candles_to_csv.py", tmp_path / "candles.csv", "--candles", 1234, within_s=30)

    assert done.returncode == 0
    assert "500 of 1234" in done.stderr and "1000 of 1234" in done.stderr
    with (tmp_path / "candles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    opened = [int(row["open_time"]) for row in rows]
    assert len(rows) == 1234
    assert opened == list(range(opened[0], opened[0] + 1234 * 60, 60))
    assert all(Decimal(row["low"]) <= Decimal(row["open"]) <= Decimal(row["high"]) for row in rows)


def test_a_history_that_was_broken_off_goes_on_where_it_ended(run, tmp_path):
    done = run("download_history.py", tmp_path / "candles.csv", "--days", 12, within_s=60)

    assert (done.returncode, done.stderr) == (0, "")
    first = re.search(r"^broken off  <Report .* incomplete rows=([\d,]+) pages=6 .* missing=0 ", done.stdout, re.M)
    second = re.search(
        r"^went on +<Report .* complete rows=([\d,]+) \(([\d,]+) before\) .* missing=0 ", done.stdout, re.M
    )
    assert first and second and first[1] == second[2] == "6,000"
    assert "up to date" in done.stdout and re.search(r"^highest of (199|200) weeks: [\d.]+ in", done.stdout, re.M)
    with (tmp_path / "candles.csv").open(encoding="utf-8", newline="") as file:
        opened = [int(row["open_time_ns"]) for row in csv.DictReader(file)]
    assert opened == list(range(opened[0], opened[0] + len(opened) * 60 * 10**9, 60 * 10**9))
    assert len(opened) >= int(second[1].replace(",", "")) >= 12 * 1440 - 1


def test_thread_engine_learns_of_what_it_dropped_and_gets_what_the_connection_lost(run):
    done = run("thread_engine.py", within_s=30)

    assert (done.returncode, done.stderr) == (0, "")
    slow = re.findall(r"gap     the consumer was too slow: (\d+) missing, 0 filled", done.stdout)
    lost = re.findall(r"gap     connection lost: (\d+) missing, (\d+) filled", done.stdout)
    assert sum(map(int, slow)) >= 50
    assert lost and all(missing == filled for missing, filled in lost)
    assert "status  stale: connection ended" in done.stdout
    assert re.search(r"closed; traded [\d.]+ BTC in", done.stdout)


def test_place_and_reconcile_is_told_unknown_then_the_truth_and_ends_equal_with_the_exchange(run):
    done = run("place_and_reconcile.py", within_s=60)

    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    unknown = next(number for number, line in enumerate(told) if line.startswith("unknown   buy 0.020"))
    assert told[0].startswith("accepted  buy 0.010")
    assert "-1007" in told[unknown]
    assert told[unknown + 1] == "  order   new, filled 0 of 0.02"  # the very next that is heard of it: it is there
    assert sum(line.startswith("  fill    0.004 at ") for line in told) == 1
    assert [line for line in told if "cancel, " in line] == [
        "accepted  cancel, filled 0.004",
        "accepted  cancel, filled 0",
    ]
    assert re.search(r"^  answer  lost: .*\n(?:.*\n)*?^  query   seen: NEW", done.stdout, re.M)
    balances = re.findall(r"^balance (\w+) +([\d.]+), the exchange says ([\d.]+)$", done.stdout, re.M)
    assert {asset for asset, *_ in balances} == {"BTC", "USDT"}
    assert all(Decimal(ours) == Decimal(theirs) for _, ours, theirs in balances)
    assert Decimal({asset: ours for asset, ours, _ in balances}["BTC"]) == Decimal("1.003996")


def test_place_and_reconcile_fits_on_a_page():
    assert len((EXAMPLES / "place_and_reconcile.py").read_text(encoding="utf-8").splitlines()) <= 90
