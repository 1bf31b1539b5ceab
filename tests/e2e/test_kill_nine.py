"""Signal 9 at random points loses no order and doubles no fill: the long run in short, and a judge that notices what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from decimal import Decimal
from pathlib import Path

import kill_nine
import pytest

PROGRAM = Path(__file__).parents[1] / "faults" / "kill_nine.py"
KILLS = 8


def test_eight_killed_processes_leave_the_same_as_the_ledger(tmp_path):
    """F74; the long run is `make kills`."""
    out = tmp_path / "kills.json"
    command = [sys.executable, str(PROGRAM), "--kills", KILLS, "--lanes", 1, "--quick", "--seed", 5, "--out", out]
    done = subprocess.run(list(map(str, command)), capture_output=True, encoding="utf-8", timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in report["rows"]}
    assert report["ok"] is all(row["ok"] for row in report["rows"])
    assert all(set(row) == {"name", "value", "unit", "bound", "ok"} for row in report["rows"])
    assert rows["processes killed"]["value"] == KILLS
    assert rows["killed trading"]["value"] >= 1
    assert rows["orders at the venue"]["value"] >= KILLS


# ---------------------------------------------------------------- the judge


LEDGER = kill_nine.Ledger(
    {
        "a": ("filled", Decimal("0.2"), Decimal("0.2")),
        "b": ("new", Decimal("0.1"), Decimal(0)),
        "c": ("canceled", Decimal("0.5"), Decimal("0.1")),
    },
    {
        "BTC/USDT 1": ("a", Decimal(100), Decimal("0.2"), Decimal("0.0002")),
        "BTC/USDT 2": ("c", Decimal(100), Decimal("0.1"), Decimal("0.0001")),
    },
    {"BTC": (Decimal(1), Decimal(0)), "USDT": (Decimal(90), Decimal(10))},
)
KNOWN = {
    "orders": [
        ["a", "filled", "0.20", "0.20", "1"],
        ["b", "new", "0.1", "0", "2"],
        ["c", "canceled", "0.5", "0.1", "3"],
        ["never", "rejected", "0.5", "0", ""],
    ],
    "open": ["b"],
    "fills": [["BTC/USDT 1", "a", "100", "0.2", "0.00020"], ["BTC/USDT 2", "c", "100", "0.1", "0.0001"]],
    "balances": {"BTC": ["1.0", "0"], "USDT": ["90", "10"]},
}
TOLD = [
    {"what": "life"},
    {"what": "start", "unknown": 1},
    {"what": "answer", "id": "a", "kind": "accepted", "code": "", "order": True},
    {"what": "answer", "id": "never", "kind": "rejected", "code": "never_arrived", "order": True},
    {"what": "answer", "id": "b", "kind": "unknown", "code": "", "order": True},
    {"what": "fill", "trade": "BTC/USDT 1", "id": "a", "recovered": False},
    {"what": "order", "id": "a", "status": "filled", "filled": "0.2"},
    {"what": "order", "id": "c", "status": "canceled", "filled": "0.1"},
    {"what": "order", "id": "never", "status": "rejected", "filled": "0"},
]


def found(known, told=TOLD):
    return {
        kind for kind, count in (kill_nine.compare(known, LEDGER) + kill_nine.untrue(told, LEDGER)).items() if count
    }


def test_the_judge_finds_nothing_where_nothing_is_wrong():
    assert found(KNOWN) == set()


@pytest.mark.parametrize(
    ("part", "change", "kinds"),
    [
        ("orders", lambda rows: rows.pop(0), {"orders lost"}),
        ("orders", lambda rows: rows.append(rows[0]), {"orders kept twice"}),
        ("orders", lambda rows: rows[1].__setitem__(1, "unknown"), {"orders in another state"}),
        ("orders", lambda rows: rows[2].__setitem__(3, "0.2"), {"orders in another state"}),
        ("orders", lambda rows: rows[3].__setitem__(1, "new"), {"orders the venue never had, not rejected"}),
        ("open", lambda names: names.append("c"), {"orders wrongly open or closed"}),
        ("open", lambda names: names.clear(), {"orders wrongly open or closed"}),
        ("fills", lambda rows: rows.pop(), {"fills lost"}),
        ("fills", lambda rows: rows.append(rows[0]), {"fills counted twice"}),
        ("fills", lambda rows: rows.append(["BTC/USDT 9", "a", "1", "1", "0"]), {"fills invented"}),
        ("fills", lambda rows: rows[0].__setitem__(4, "0.0003"), {"fills different"}),
        ("fills", lambda rows: rows[0].__setitem__(1, "c"), {"fills different"}),
        ("balances", lambda assets: assets["BTC"].__setitem__(0, "1.00000001"), {"balances different"}),
        ("balances", lambda assets: assets.pop("USDT"), {"balances different"}),
    ],
)
def test_the_judge_finds_everything_that_differs(part, change, kinds):
    known = deepcopy(KNOWN)
    change(known[part])

    assert found(known) == kinds <= set(kill_nine.KINDS)


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        (TOLD[5], "fills told twice"),
        (TOLD[5] | {"trade": "BTC/USDT 7"}, "fills told that are none"),
        (TOLD[6] | {"status": "canceled"}, "final states told that are untrue"),
        (TOLD[6] | {"filled": "0.1"}, "final states told that are untrue"),
        (TOLD[6] | {"id": "never", "status": "canceled"}, "final states told that are untrue"),
        (TOLD[3] | {"id": "b"}, "answers that are untrue"),
        (TOLD[2] | {"id": "never"}, "answers that are untrue"),
        ({"what": "alarm", "text": "corrected", "id": "a"}, "alarms"),
    ],
)
def test_the_judge_finds_everything_untrue_that_was_told(note, kind):
    assert found(KNOWN, [*TOLD, note]) == {kind} <= set(kill_nine.KINDS)


def test_a_figure_that_does_not_hold_makes_the_run_not_ok():
    assert kill_nine.row("kills", 7, "", "== 8")["ok"] is False
    assert kill_nine.row("kills", 8, "", "== 8")["ok"] is True
    tally = kill_nine.Tally()
    tally.wrong["fills lost"] = 1
    assert not {row["name"]: row["ok"] for row in kill_nine.rows_of([tally], 8, 1.0)}["fills lost"]
