"""Outcomes as text, one line per step, so that two of them can be compared and a difference can be read.

Pure. An outcome is what the oracle and our runner both write down: "steps" (the start, then one per event) of
[answer, log, who gave up, children], "ended" (running, not_started, gave_up, shutdown, stopped) and, while it runs, "count".
"""

from collections.abc import Iterator
from typing import Any

from scripts import ONE, Script

__all__ = ["lines", "unlike"]


def lines(script: Script, outcome: dict[str, Any]) -> list[str]:
    """What happened, step by step.

    Where children restart independently of one another, their happenings within one step are put in the order of their
    names: that is the known difference "restarts of independent children overlap", and the only thing glossed over.
    """
    events = [("started",), *script.events]
    overlaps = [script.tree.strategy == ONE and event[0] in ("together", "meanwhile") for event in events]
    last = len(outcome["steps"]) - 1
    return [
        "".join(_words(step, overlaps[number], outcome if number == last else {}))
        for number, step in enumerate(outcome["steps"])
    ]


def _words(step: list[Any], overlap: bool, outcome: dict[str, Any]) -> Iterator[str]:
    answer, log, gave_up, children = step
    log = sorted(log, key=lambda entry: entry[1]) if overlap else log
    yield f"{' '.join(answer) if isinstance(answer, list) else answer}:"
    yield ",".join(f" {what} {path}" for what, path in log) or " nothing"
    yield "".join(f"; {path or 'root'} gave up" for path in gave_up)
    yield "".join(f"; {state}: {' '.join(ids)}" for state, ids in _by_state(children).items())
    if outcome:
        yield f"; root: {outcome['ended']}"
        yield "".join(f"; {key}: {outcome[key]}" for key in sorted(set(outcome) - {"steps", "ended"}))


def _by_state(children: list[list[str]]) -> dict[str, list[str]]:
    states = sorted({state for _, state in children}, reverse=True)
    return {state: [path for path, its in children if its == state] for state in states}


def unlike(script: Script, erlang: dict[str, Any], ours: dict[str, Any]) -> str:
    """The script and the first step that differs, or "" when both did the same."""
    theirs, own = lines(script, erlang), lines(script, ours)
    if theirs == own:
        return ""
    number = next((n for n, (a, b) in enumerate(zip(theirs, own, strict=False)) if a != b), min(len(theirs), len(own)))
    before = [f"  same {n}. {line}" for n, line in enumerate(theirs[:number])][-3:]
    at = [f"  {who} {number}. {[*said, 'nothing more'][number]}" for who, said in (("OTP ", theirs), ("ours", own))]
    return "\n".join([str(script), "  ---", *before, *at])
