"""The demonstration tells the truth about itself: its exit status, its report, and a judge that notices what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
QUICK = ("--plain", "--symbols", "BTCUSDT,ETHUSDT", "--rate", "200", "--seconds-per-fault", "0")


def report_of(folder):
    report = json.loads((folder / "build" / "demo.json").read_text(encoding="utf-8"))
    assert set(report) == {"ok", "rows"} and report["rows"]
    for row in report["rows"]:
        assert set(row) == {"name", "value", "unit", "bound", "ok"}
        holds = row["value"] is not None and (row["bound"] is None or row["value"] <= row["bound"])
        assert row["ok"] is holds, row
    assert report["ok"] is all(row["ok"] for row in report["rows"])
    return report, {row["name"]: row for row in report["rows"]}


# ---------------------------------------------------------------------------------------------------- the storm


def test_a_short_storm_ends_well_and_the_report_agrees_with_the_exit_status(run, tmp_path):
    done = run("supervision_tree.py", *QUICK, "--only", "kill-stream,cut", "--bound-scale", 5, within_s=90)
    report, rows = report_of(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert report["ok"]
    assert "kill the stream actor" in done.stdout and "reset the connection" in done.stdout
    assert {"kill-stream: restarted after", "kill-stream: noticed after", "cut: back after"} <= set(rows)
    assert rows["trades: delivered"]["value"] > 50
    assert rows["books: compared level by level"]["value"] > 5
    assert "Everything came back right" in done.stdout


def test_a_bound_that_does_not_hold_ends_with_exit_status_one(run, tmp_path):
    done = run("supervision_tree.py", *QUICK, "--only", "kill-orders", "--bound-scale", 0, within_s=60)
    report, rows = report_of(tmp_path)

    assert done.returncode == 1
    assert not report["ok"]
    assert not rows["kill-orders: back after"]["ok"]
    assert rows["trades: missing and not reported"]["ok"]
    assert "NOT OK" in done.stdout


@pytest.mark.parametrize("arguments", [("--only", "earthquake"), ("--capture", "absent.jsonl"), ("--rate", "0")])
def test_arguments_that_make_no_sense_are_refused_in_words(run, tmp_path, arguments):
    done = run("supervision_tree.py", *arguments)

    assert done.returncode == 2
    assert "error:" in done.stderr
    assert not (tmp_path / "build").exists()


@pytest.mark.skipif(os.name == "nt", reason="a console event would reach the tests too")
def test_an_interrupt_stops_the_client_in_order_and_leaves_no_process(tmp_path):
    command = [sys.executable, str(EXAMPLES / "supervision_tree.py"), *QUICK]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "kill the REST actor" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.wait(30)
    report, _ = report_of(tmp_path)

    assert process.returncode == 130
    assert not report["ok"]
    assert "interrupted" in rest and "Traceback" not in rest


# ---------------------------------------------------------------------------------------------------- recordings


def recording(exchange, path, *, hole=False):
    """A recording as the exchange's visitors would have made it: instruments, one snapshot, a few frames of each kind."""
    fetch = build_opener(ProxyHandler({})).open

    def get(question):
        with fetch(f"{exchange.rest_url}/api/v3/{question}", timeout=10) as answer:
            return answer.read().decode()

    depth = get("depth?symbol=BTCUSDT&limit=1000")
    last = json.loads(depth)["lastUpdateId"]
    best = json.loads(depth)["bids"][0][0]
    streams = ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@aggTrade"]
    rows = [
        ("http", "https://h/api/v3/exchangeInfo", get("exchangeInfo")),
        ("ws-open", f"wss://h/stream?streams={'/'.join(streams)}", ""),
        ("http", "https://h/api/v3/depth?symbol=BTCUSDT&limit=1000", depth),
    ]
    for number in range(1, 21):
        first = last + 2 * number - 1 + (1 if hole and number == 12 else 0)
        changes = [[best, f"{number}.00000000"]]
        delta = {
            "e": "depthUpdate",
            "E": number,
            "s": "BTCUSDT",
            "U": first,
            "u": last + 2 * number,
            "b": changes,
            "a": [],
        }
        prices = {"p": best, "q": "0.10000000", "f": number, "l": number, "T": number, "m": True, "M": True}
        rows += [
            ("ws-in", "", json.dumps({"stream": streams[0], "data": delta})),
            (
                "ws-in",
                "",
                json.dumps(
                    {
                        "stream": streams[3],
                        "data": {"e": "aggTrade", "E": number, "s": "BTCUSDT", "a": number, **prices},
                    }
                ),
            ),
        ]
    lines = [
        json.dumps({"at": f"{1_700_000_000 + n / 100}", "kind": k, "url": u, "body": b})
        for n, (k, u, b) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_recording_is_checked_frame_by_frame(run, simulator, tmp_path):
    played = recording(simulator(symbols=("BTCUSDT",), events_per_s=0), tmp_path / "made.jsonl")

    done = run("supervision_tree.py", "--plain", "--speed", "max", "--capture", played)
    report, rows = report_of(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert report["ok"]
    assert rows["recorded trades, best prices and candles"]["value"] == 20
    assert rows["book BTC/USDT: recorded, with its snapshot"]["value"] == 21


def test_a_recording_with_a_hole_does_not_pass(run, simulator, tmp_path):
    played = recording(simulator(symbols=("BTCUSDT",), events_per_s=0), tmp_path / "torn.jsonl", hole=True)

    done = run("supervision_tree.py", "--plain", "--speed", "max", "--capture", played)
    report, _ = report_of(tmp_path)

    assert done.returncode == 1
    assert not report["ok"]
    assert "hole" in done.stdout


@pytest.mark.captures
@pytest.mark.parametrize("name", ["binance-spot-2021-10-12.jsonl.gz", "binance-us-spot-2021-10-12.jsonl.gz"])
def test_real_recordings_are_understood_to_the_last_frame(run, tmp_path, name):
    if not (CAPTURES / name).exists():
        pytest.skip("recorded traffic is not here: ../shared/captures")

    done = run("supervision_tree.py", "--plain", "--speed", "max", "--capture", CAPTURES / name)
    report, rows = report_of(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert report["ok"]
    assert rows["frames that could not be read"]["value"] == rows["frames of an unknown kind"]["value"] == 0


# ---------------------------------------------------------------------------------------------------- the judge


@pytest.fixture
def trades(demo):
    """A witness of trades 1 … 5 and the ledger that agrees with it."""
    from demo.exchange import LedgerTrade
    from demo.witness import Board, Witness

    from connector import Side, Symbol, TopicKind, Trade
    from connector.domain.topics import Topic

    symbol = Symbol("BTC", "USDT")
    witness = Witness(Topic(TopicKind.TRADES, symbol), "BTCUSDT", Board(), keep=True)
    for number in range(1, 6):
        witness(Trade("venue", symbol, number, number, number, Decimal(number), Decimal(1), Side.BUY))
    ledger = {n: LedgerTrade(n, n, Decimal(n), Decimal(1), n * 1_000_000) for n in range(1, 8)}
    return witness, ledger


def findings_of(witness, values, ledger):
    from demo.judge import Findings, judge_trades

    findings = Findings()
    judge_trades(findings, witness, values, ledger)
    return findings.missing, findings.twice, findings.misplaced, findings.different


def test_the_judge_finds_nothing_where_nothing_is_wrong(trades):
    witness, ledger = trades

    assert findings_of(witness, witness.values, ledger) == (0, 0, 0, 0)


def test_the_judge_finds_missing_doubled_swapped_and_altered_trades(trades):
    witness, ledger = trades
    one, two, three, four, five = witness.values

    assert findings_of(witness, [one, two, four, five], ledger) == (1, 0, 0, 0)
    assert findings_of(witness, [one, two, two, three, four, five], ledger) == (0, 1, 1, 0)
    assert findings_of(witness, [one, three, two, four, five], ledger) == (0, 0, 1, 0)
    assert findings_of(witness, witness.values, ledger | {3: ledger[3]._replace(price=Decimal(9))}) == (0, 0, 0, 1)


def test_a_gap_the_client_told_of_is_lost_but_not_hidden(trades):
    from connector import Gap

    witness, ledger = trades
    witness(Gap("venue", "trades BTC/USDT", 0, 1, "fetching failed", 3, 3, missing=1, filled=0))

    assert findings_of(witness, [value for value in witness.values if value.trade_id != 3], ledger)[0] == 0
    assert witness.lost == 1


def test_the_naive_book_applies_changes_drops_old_ones_and_refuses_holes(demo):
    from demo.recording import NaiveBook

    book = NaiveBook({"lastUpdateId": 10, "bids": [["5", "1"], ["4", "2"]], "asks": [["6", "1"]]})

    assert not book.apply({"U": 9, "u": 10, "b": [["5", "0"]], "a": []})
    assert book.apply({"U": 10, "u": 12, "b": [["5", "0"]], "a": [["6.5", "3"]]})
    bids, asks = book.levels()
    assert bids == ((Decimal(4), Decimal(2)),)
    assert asks == ((Decimal(6), Decimal(1)), (Decimal("6.5"), Decimal(3)))
    with pytest.raises(ValueError, match="hole"):
        book.apply({"U": 14, "u": 14, "b": [], "a": []})


def test_waiting_ends_with_the_event_or_with_its_name(demo):
    from demo.witness import Board, Overdue

    board = Board()

    began_s = time.monotonic()
    with pytest.raises(Overdue, match="the moon: not within"):
        board.wait("the moon", lambda: None, 0.1)
    assert time.monotonic() - began_s < 5.0
    assert board.wait("seven", lambda: 7, 0.0) == 7
