"""The comparison measures what it says: the stub's stream is a true one, the tally counts each message, ratios are per round."""

import importlib
import importlib.util
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
feed_peers, feed_stub = importlib.import_module("feed_peers"), importlib.import_module("feed_stub")


def loaded(path: Path) -> Any:
    """By its path: others are called "run" too."""
    spec = importlib.util.spec_from_file_location(f"compare_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


comparison = loaded(HERE / "run.py")


def sides(frame: bytes) -> list[dict[Decimal, Decimal]]:
    read = json.loads(frame)
    return [
        {Decimal(price): Decimal(size) for price, size in read[long if long in read else short]}
        for long, short in (("bids", "b"), ("asks", "a"))
    ]


def test_updates_lead_from_one_snapshot_to_the_best_levels_of_a_later_one():
    first = feed_stub.FIRST_ID
    bids, asks = sides(feed_stub.snapshot(first, 1000))

    for number in range(first + 1, first + 450):
        for book, rows in zip((bids, asks), sides(feed_stub.depth(number, 0)), strict=True):
            assert len(rows) == 20
            book.update(rows)
            for price in [price for price, size in rows.items() if not size]:
                del book[price]
        assert max(bids) < min(asks)
        told_bids, told_asks = sides(feed_stub.snapshot(number, 5))
        assert sorted(bids.items(), reverse=True)[:5] == list(told_bids.items())
        assert sorted(asks.items())[:5] == list(told_asks.items())


def test_the_best_price_moves_both_ways():
    moves = {feed_stub.shift(n) - feed_stub.shift(n - 1) for n in range(feed_stub.FIRST_ID, feed_stub.FIRST_ID + 400)}

    assert moves == {-1, 0, 1}


def test_a_trade_is_as_long_as_the_venues_are():
    assert 130 <= len(feed_stub.trade(5_000_001, 1_760_000_000_123)) <= 150


def tally(first: int, last: int) -> Any:
    made = feed_peers.Tally(0, paced=False)
    for number in range(first - 5, first):
        made.seen(number)
    made.last, made.mark = last, first
    return made


def test_only_what_was_asked_for_is_counted_and_each_of_it():
    made = tally(100, 299)

    for number in range(100, 300):
        assert not made.done.is_set()
        made.seen(number)

    assert made.done.is_set()
    assert made.count == 200


def test_a_message_left_out_is_missing_in_the_count_also_when_it_is_the_first():
    made = tally(100, 299)

    for number in range(101, 300):
        if number != 150:
            made.seen(number)

    assert made.done.is_set()
    assert made.count == 198


def test_a_lost_last_message_never_ends_the_measurement():
    made = tally(100, 299)

    for number in range(100, 299):
        made.seen(number)

    assert not made.done.is_set()


def ran(cpu_us: float, seen: int = 10) -> dict[str, float]:
    return {"cpu_us": cpu_us, "seen": seen, "sent": 10}


def report(runs: dict[tuple[str, str], list[dict[str, Any]]]) -> dict[str, Any]:
    by_client: dict[str, dict[str, Any]] = {}
    for (name, kind), seen in runs.items():
        by_client.setdefault(name, {})[kind] = seen
    raw = {"runs": by_client, "paced": {}, "orders": [], "month": "2026-11", "versions": {"Python": "3"}}
    return comparison.report_of(raw)


def test_a_ratio_is_the_median_of_each_rounds_own_so_a_slow_round_counts_as_any_other():
    runs = {
        (comparison.OURS, "trade"): [ran(1.0), ran(10.0), ran(1.0)],
        ("cryptofeed", "trade"): [ran(5.0), ran(50.0), ran(5.0)],
    }

    (row,) = [row for row in report(runs)["rows"] if row["client"] == "cryptofeed"]

    assert row["times_ours"] == 5.0
    assert {each["what"]: each["ok"] for each in report(runs)["promised"]}["trade: cryptofeed"]


def test_this_library_may_lose_nothing_in_any_round():
    whole = report({(comparison.OURS, "trade"): [ran(1.0), ran(1.0)]})
    lossy = report({(comparison.OURS, "trade"): [ran(1.0), ran(1.0, seen=9), ran(1.0)]})

    assert all(each["ok"] for each in whole["promised"])
    assert not all(each["ok"] for each in lossy["promised"])


def test_who_could_not_run_is_in_the_table_with_the_reason():
    text = comparison.tables(report({("cryptofeed", "trade"): [{"failed": "not installed"}]}))

    assert "| cryptofeed | failed |" in text
    assert "cryptofeed, trade: not installed" in text


def test_a_client_that_failed_in_one_round_is_told_with_its_reason():
    runs = [ran(1.0), {"failed": "the last message was never seen"}, ran(1.0)]

    text = comparison.tables(report({("cryptofeed", "trade"): runs}))

    assert "every message in 2 of 3 runs; the last message was never seen" in text


@pytest.mark.parametrize("transport", ["picows", "websocket-client"])
@pytest.mark.parametrize("kind", ["trade", "ticker", "book"])
def test_every_message_of_the_stub_reaches_the_callback_of_this_library(transport, kind):
    with feed_stub.running_stub(600) as port:
        command = [sys.executable, str(HERE / "feed_peers.py"), "--client", f"connector, {transport}", "--kind", kind]
        done = subprocess.run([*command, "--port", str(port)], check=True, capture_output=True, text=True, timeout=60)

    found = json.loads(done.stdout)
    assert (found.get("seen"), found.get("sent")) == (600, 600), found
