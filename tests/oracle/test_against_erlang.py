"""Our supervisor does what OTP's does: the same restarts, order, answers and decisions to give up.

What OTP did with every script is kept in expected.json.gz, so these tests bite without Erlang; where Erlang is installed
it is run again and has to agree with the data. Differences are known, listed in `differences` and shown here.
"""

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from differences import ALIKE, DIFFERENCES, OVERLAP, Difference
from ours import SHORT, run
from outcomes import lines, unlike
from record import digest, erlang_is_installed, read, run_on_erlang, wanted
from scripts import KINDS, ONE, PERMANENT, SCRIPTS, STRATEGIES, TEMPORARY, TRANSIENT, Child, Script, Sup

AGAIN = "run `python tests/oracle/record.py` and look at what has changed"
# Delays change when something happens, never what: all are short against every window.
BACKOFFS: tuple[dict[str, Any], ...] = (
    SHORT,
    {"base_s": 0.001, "max_s": 0.004, "factor": 2.0, "jitter": 0.0},
    {**SHORT, "first_at_once": False},
)


@cache
def recorded() -> dict[str, Any]:
    return read()


def erlang(script: Script) -> dict[str, Any]:
    outcome: dict[str, Any] = recorded()["outcomes"][script.name]
    return outcome


def of_kind(kind: str) -> list[Script]:
    return [script for script in SCRIPTS if script.name.partition("-")[0] == kind]


def backoff_for(script: Script, number: int) -> dict[str, Any]:
    """Any; but where children overlap, a first restart that waits is a known difference."""
    overlaps = any(event[0] in ("together", "meanwhile") for event in script.events)
    return BACKOFFS[0 if overlaps else number % len(BACKOFFS)]


def compare(scripts: list[Script], seed: int) -> None:
    found = []
    for number, script in enumerate(scripts, start=seed):
        ours = run(script, seed=number, backoff=backoff_for(script, number))
        found.append(unlike(script, erlang(script), ours))
    told = [one for one in found if one]
    assert not told, f"{len(told)} of {len(scripts)} scripts differ from OTP:\n\n" + "\n\n".join(told[:3])


# ------------------------------------------------------------------------------------------------ the comparison
@pytest.mark.parametrize("kind", KINDS)
def test_ours_does_what_erlang_does(kind):
    """Statements 1, 3, 6, 11, 12, 13, 21, 22, 23, 24, 25, 29, 30, 31, 32, 33, 34, 44."""
    compare(of_kind(kind), seed=0)


@pytest.mark.parametrize("seed", [1001, 2002, 3003])
def test_no_schedule_and_no_delay_changes_what_is_decided(seed):
    compare(list(SCRIPTS[seed % 7 :: 7]), seed)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.script.name)
def test_known_difference_is_as_described(difference: Difference):
    script = difference.script
    theirs, own = lines(script, erlang(script)), lines(script, run(script, **difference.settings))

    assert (theirs[-1], own[-1]) == (difference.erlang, difference.ours)
    assert theirs[:-1] == own[:-1]


def test_restarts_of_independent_children_overlap():
    """OTP runs start functions one after another; here each child starts on its own thread, in any order."""
    both = (("a", "crash"), ("b", "crash"))
    script = Script("overlap", Sup(ONE, 2, children=(Child("a"), Child("b"))), events=(("together", "", both),))
    orders = Counter(tuple(path for _, path in run(script, seed=seed)["steps"][-1][1]) for seed in range(20))

    assert set(orders) == {("a", "b"), ("b", "a")}


def test_what_once_differed_does_not_any_more():
    compare(list(ALIKE), seed=0)


# ------------------------------------------------------------------------------------------------ is it worth anything
def test_data_belong_to_these_scripts():
    assert recorded()["scripts"] == digest(wanted()), f"the scripts are not those the data were recorded with: {AGAIN}"
    assert set(recorded()["outcomes"]) == {script.name for script in wanted()}
    assert recorded()["otp"]["otp_release"].isdigit()


def test_scripts_reach_every_corner():
    ends = Counter(erlang(script)["ended"] for script in SCRIPTS)
    happenings = Counter(entry[0] for script in SCRIPTS for step in erlang(script)["steps"] for entry in step[1])
    answers = Counter(
        answer
        for script in SCRIPTS
        for step in erlang(script)["steps"]
        for answer in (step[0] if isinstance(step[0], list) else [step[0]])
    )
    nested = sum("s" in step[2] or "t" in step[2] for script in SCRIPTS for step in erlang(script)["steps"])
    shapes = Counter((script.tree.strategy, child.restart) for script in SCRIPTS for child in script.tree.children)

    assert len(SCRIPTS) >= 600
    assert min(ends[end] for end in ("running", "gave_up", "stopped", "shutdown", "not_started")) >= 25
    assert min(happenings[what] for what in ("started", "stopped", "failed", "ignored")) >= 50
    for answer in ("ok", "ignored", "not_started", "not_found", "running", "restarting", "already_started"):
        assert answers[answer] >= 5, answer
    assert nested >= 25
    assert min(shapes[strategy, kind] for strategy in STRATEGIES for kind in (PERMANENT, TRANSIENT, TEMPORARY)) >= 100


def otherwise(script: Script, **changes: Any) -> Script:
    return replace(script, tree=replace(script.tree, **changes))


@pytest.mark.parametrize(
    ("kind", "lie"),
    [
        ("limits", lambda script: otherwise(script, intensity=script.tree.intensity + 1)),
        ("window", lambda script: otherwise(script, period=script.tree.period + 6)),
        ("ends", lambda script: otherwise(script, strategy=STRATEGIES[STRATEGIES.index(script.tree.strategy) - 1])),
        (
            "ends",
            lambda script: otherwise(
                script, children=tuple(replace(c, restart=PERMANENT) for c in script.tree.children)
            ),
        ),
        ("significant", lambda script: otherwise(script, auto_shutdown="all_significant")),
        ("by_hand", lambda script: replace(script, events=tuple(e for e in script.events if e[0] != "terminate"))),
    ],
    ids=[
        "one restart too many",
        "a longer window",
        "another strategy",
        "all permanent",
        "another shutdown",
        "no stop by hand",
    ],
)
def test_a_supervisor_that_decides_otherwise_is_noticed(kind, lie):
    scripts = of_kind(kind)
    noticed = sum(bool(unlike(script, erlang(script), run(lie(script)))) for script in scripts)

    assert noticed >= len(scripts) / 5, f"only {noticed} of {len(scripts)}"


def test_readme_lists_every_known_difference():
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    rules = {OVERLAP, *(difference.rule for difference in DIFFERENCES)}
    rows = {row.split("|")[1].strip() for row in text.splitlines() if row.startswith("| ")}

    assert rules == rows - {"here", "known difference"}
    assert f"OTP {recorded()['otp']['otp_release']}" in text


# ------------------------------------------------------------------------------------------------ with Erlang at hand
@pytest.mark.oracle
@pytest.mark.skipif(not erlang_is_installed(), reason="erl and erlc are not installed (Debian: erlang-base)")
def test_erlang_still_does_what_was_recorded():
    again = run_on_erlang(wanted())
    told = [unlike(script, erlang(script), again["outcomes"][script.name]) for script in wanted()]
    found = [one for one in told if one]

    assert not found, (
        f"OTP {again['otp']} differs from the recorded {recorded()['otp']} in {len(found)} scripts; if that is a change "
        f"of OTP, {AGAIN}:\n\n" + "\n\n".join(found[:3])
    )
