"""The known differences from OTP, each with scripts that show it. What is not listed here must be the same.

Data only. In every script all steps but the last are the same for both; the last is quoted for each, in the words of
`outcomes.lines`. README.md beside this file says the same in a table for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts import ALL, ONE, REST, TRANSIENT, Child, Script, Sup

__all__ = ["ALIKE", "DIFFERENCES", "OVERLAP", "Difference"]

OVERLAP = "restarts of independent children overlap"  # shown by a test of its own, over many schedules


@dataclass(frozen=True, slots=True)
class Difference:
    """One script that ends differently.

    Args:
        rule: the known difference it shows; several scripts may show the same.
        erlang, ours: the last step of each.
        settings: how our side is run, when that is not as usual.
    """

    rule: str
    script: Script
    erlang: str
    ours: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _tree(strategy: str, intensity: int, *children: Child, period: int = 3600) -> Sup:
    return Sup(strategy, intensity, period, children=children)


A, B, C = (Child(id) for id in "abc")
AS_SHIPPED: Mapping[str, Any] = {"revive": False}
NEVER_AT_ONCE: Mapping[str, Any] = {"backoff": {"base_s": 0.001, "max_s": 0.001, "factor": 1.0, "first_at_once": False}}

DIFFERENCES = (
    Difference(
        "giving up is an abnormal end for the parent",
        Script(
            "transient-supervisor-gives-up",
            _tree(ONE, 3, Child("s", TRANSIENT, sup=_tree(ONE, 0, A))),
            events=(("end", "s/a", "crash"),),
        ),
        erlang="done: nothing; s gave up; down: s; root: running; count: [1, 0]",
        ours="done: started s/a; s gave up; up: s s/a; root: running; count: [1, 1]",
    ),
    Difference(
        "a child that ended for good does not come back with its group",
        Script(
            "ended-normally",
            _tree(ALL, 3, A, Child("b", TRANSIENT)),
            events=(("end", "b", "normal"), ("end", "a", "crash")),
        ),
        erlang="done: started a, started b; up: a b; root: running; count: [2, 2]",
        ours="done: started a; up: a; down: b; root: running; count: [2, 1]",
        settings=AS_SHIPPED,
    ),
    Difference(
        "a child that ended for good does not come back with its group",
        Script("stopped-by-hand", _tree(REST, 3, A, B, C), events=(("terminate", "", "c"), ("end", "a", "crash"))),
        erlang="done: stopped b, started a, started b, started c; up: a b c; root: running; count: [3, 3]",
        ours="done: stopped b, started a, started b; up: a b; down: c; root: running; count: [3, 2]",
        settings=AS_SHIPPED,
    ),
    Difference(
        "whoever asks not to be restarted is not",
        Script("permanent-leaves", _tree(ONE, 3, A, B), events=(("end", "a", "shutdown"),)),
        erlang="done: started a; up: a b; root: running; count: [2, 2]",
        ours="done: nothing; up: b; down: a; root: running; count: [2, 1]",
    ),
    Difference(
        "the window has the resolution of the clock",
        # 10.4 s lie between the two crashes, and 10 of the seconds that OTP counts.
        Script(
            "ten-seconds-and-a-bit",
            _tree(ONE, 1, A, period=10),
            events=(("align", 100), ("end", "a", "crash"), ("align", 500), ("tick", 10), ("end", "a", "crash")),
        ),
        erlang="done: nothing; root gave up; root: gave_up",
        ours="done: started a; up: a; root: running; count: [1, 1]",
    ),
    Difference(
        "a failed start is charged when it fails",
        Script(
            "request-after-the-last-failure",
            _tree(ONE, 1, A, B),
            events=(("meanwhile", "a", "crash", (("terminate", "", "b"),)),),
        ),
        erlang="ok: failed a, stopped b; root gave up; root: gave_up",
        ours="ended: failed a, stopped b; root gave up; root: gave_up",
    ),
    Difference(
        "a failed start is charged when it fails",
        Script(
            "crash-after-a-failed-start",
            _tree(ONE, 2, A, B),
            events=(("meanwhile", "a", "crash", (("end", "b", "crash"),)),),
        ),
        erlang=": failed a, started b, stopped b; root gave up; root: gave_up",
        ours=": failed a; root gave up; root: gave_up",
    ),
    Difference(
        "restarts wait for their backoff",
        Script(
            "limit-during-the-wait", _tree(ONE, 1, A, B), events=(("together", "", (("a", "crash"), ("b", "crash"))),)
        ),
        erlang="done done: started a, stopped a; root gave up; root: gave_up",
        ours="done done: nothing; root gave up; root: gave_up",
        settings=NEVER_AT_ONCE,
    ),
    Difference(
        "a restarting child counts as started",
        Script("added-while-restarting", _tree(ONE, 3, A), events=(("meanwhile", "a", "crash", (("start", "", A),)),)),
        erlang="already_present: failed a, started a; up: a; root: running; count: [1, 1]",
        ours="already_started: failed a, started a; up: a; root: running; count: [1, 1]",
    ),
    Difference(
        "a group waits as a whole",
        # OTP leaves a running while b is tried again; here it is stopped before the wait, so there is nothing to stop.
        Script(
            "sibling-stopped-while-waiting",
            _tree(ALL, 3, A, B, C),
            events=(("meanwhile", "b", "crash", (("end", "a", "crash"),)),),
        ),
        erlang=": stopped c, stopped a, started a, failed b, "
        "started a, started b, started c; up: a b c; root: running; count: [3, 3]",
        ours=": stopped c, stopped a, started a, failed b, stopped a, "
        "started a, started b, started c; up: a b c; root: running; count: [3, 3]",
    ),
    Difference(
        "a group waits as a whole",
        Script(
            "member-started-while-waiting",
            _tree(ALL, 3, A, B),
            events=(("meanwhile", "a", "crash", (("restart", "", "b"),)),),
        ),
        erlang="ok: stopped b, failed a, started b, stopped b, started a, started b; up: a b; root: running; count: [2, 2]",
        ours="restarting: stopped b, failed a, started a, started b; up: a b; root: running; count: [2, 2]",
    ),
    Difference(
        "a group waits as a whole",
        Script(
            "member-removed-while-waiting",
            _tree(REST, 3, A, B),
            events=(("meanwhile", "a", "crash", (("delete", "", "b"),)),),
        ),
        erlang="ok: stopped b, failed a, started a; up: a; root: running; count: [1, 1]",
        ours="restarting: stopped b, failed a, started a, started b; up: a b; root: running; count: [2, 2]",
    ),
    Difference(
        "a group waits as a whole",
        Script(
            "child-added-while-waiting", _tree(REST, 3, A), events=(("meanwhile", "a", "crash", (("start", "", B),)),)
        ),
        erlang="ok: failed a, started b, stopped b, started a, started b; up: a b; root: running; count: [2, 2]",
        ours="restarting: failed a, started a; up: a; root: running; count: [1, 1]",
    ),
    Difference(
        "a group waits as a whole",
        # In OTP the others are forgotten along with the child that was to be tried again.
        Script(
            "failed-child-stopped-while-waiting",
            _tree(REST, 3, A, B),
            events=(("meanwhile", "a", "crash", (("terminate", "", "a"),)),),
        ),
        erlang="ok: stopped b, failed a; down: a b; root: running; count: [2, 0]",
        ours="ok: stopped b, failed a, started b; up: b; down: a; root: running; count: [2, 1]",
        settings=AS_SHIPPED,
    ),
)

ALIKE = (
    Script("declined-at-the-start", _tree(ONE, 3, A, B), faults=(("ignore", "a", 1),)),
    Script("declined-with-its-group", _tree(ALL, 3, A, B), events=(("ignore", "b", 1), ("end", "a", "crash"))),
    Script("uninvolved-runs", _tree(REST, 3, A, B), events=(("meanwhile", "b", "crash", (("restart", "", "a"),)),)),
    Script(
        "uninvolved-is-down",
        _tree(REST, 3, A, B),
        events=(("terminate", "", "a"), ("meanwhile", "b", "crash", (("restart", "", "a"),))),
    ),
    Script(
        "earlier-sibling-ends-too",
        _tree(REST, 5, A, B),
        events=(("fail", "b", 1), ("together", "", (("b", "crash"), ("a", "crash")))),
    ),
)
"""Scripts in which ours once did something else; it has been mended, and they stay."""
