"""Which faults have a test: lists every row of the fault matrix with the tests that name it, or why none can yet.

A test names a fault by its id (F01, or F30-F34 for a range) in a docstring or comment. Exit status 1 when a row has neither a
test nor a reason, or has a reason although tests exist by now, or a test names a fault that is none. Part of `make check`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

FAULTS = {
    "F01": "connection reset at any byte",
    "F02": "clean close with any code",
    "F03": "half-open connection",
    "F04": "silence in one direction",
    "F05": "connection refused for a time",
    "F06": "connection attempt without any answer",
    "F07": "upgrade never answered",
    "F08": "upgrade refused by status",
    "F09": "name lookup fails",
    "F10": "TLS that cannot be trusted",
    "F11": "bytes sliced, late, slow",
    "F12": "close never answered",
    "F13": "accepted and closed at once",
    "F14": "many connections lost in one instant",
    "F15": "planned end of a connection",
    "F16": "proxy dead, refusing or hung",
    "F17": "broken WebSocket protocol",
    "F18": "message that cannot be read",
    "F19": "unknown or changed fields",
    "F20": "doubled or reordered messages",
    "F21": "one silent topic",
    "F22": "everything silent, pings answered",
    "F23": "values frozen",
    "F24": "quiet market",
    "F25": "burst",
    "F26": "answer to a subscription lost, late, negative",
    "F27": "topic limit reached",
    "F28": "symbol halted or delisted",
    "F29": "pong owed while the process is busy",
    "F30": "book delta lost, doubled, reordered",
    "F31": "snapshot old, refused, late",
    "F32": "update numbers start over",
    "F33": "book checksum wrong",
    "F34": "crossed book",
    "F35": "many books out of sync at once",
    "F36": "request lost before the venue",
    "F37": "answer lost, late, cut",
    "F38": "answer that says neither yes nor no",
    "F39": "questions about an order fail",
    "F40": "order not found, found later",
    "F41": "event before the answer, any order of messages",
    "F42": "cancel against fill",
    "F43": "amend of which nothing is known",
    "F44": "batch half done, or its answer lost",
    "F45": "client id refused as used",
    "F46": "fills split, doubled, late",
    "F47": "private event lost on a healthy stream",
    "F48": "orders of somebody else on the account",
    "F49": "answer of another request",
    "F50": "key not accepted, address not allowed, right missing",
    "F51": "risk hook raises, hangs, is slow",
    "F52": "kill switch during any of these",
    "F53": "request limit reached",
    "F54": "address banned",
    "F55": "somebody else spends the request limit",
    "F56": "limits changed at run time",
    "F57": "venue's clock off",
    "F58": "wall clock steps",
    "F59": "machine sleeps",
    "F60": "slow answer about the time",
    "F61": "session key, listen token or signature ends early",
    "F62": "key revoked for days",
    "F63": "many threads sign at once",
    "F64": "exception in start, tell, ask, stop, timer, socket thread",
    "F65": "BaseException",
    "F66": "actor hangs",
    "F67": "crash loop",
    "F68": "supervisor dies",
    "F69": "crash during restart or stop",
    "F70": "ask to a dying actor",
    "F71": "inbox flooded",
    "F72": "consumer misbehaves",
    "F73": "fork, a hundred threads, a signal handler",
    "F74": "process killed or told to end",
    "F75": "process stopped and continued",
    "F76": "disk full, read only, store's tail corrupted",
    "F77": "broker gone, slow, restarted",
    "F78": "no more descriptors, threads, memory",
    "F79": "log sink blocks or raises",
    "F80": "circuit open, half open, flapping, many callers",
}

NOT_YET = {
    "F33": "no venue with a checksum in its book stream has a driver yet",
    "F77": "a broker stands behind the gateway, which this version does not have",
}

COMBINED = {"F81", "F82", "F83", "F84"}
"""Mixes of the others, which whole suites play: no rows of their own here."""

_ID = re.compile(r"\bF(\d\d)(?:\s*(?:-|–|to)\s*F?(\d\d))?\b")


def named() -> dict[str, list[str]]:
    """Fault id to the files that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for fault in ids_in(path.read_text(encoding="utf-8")):
            files, name = found.setdefault(fault, []), path.relative_to(TESTS).as_posix()
            if name not in files:
                files.append(name)
    return found


def ids_in(text: str) -> Iterator[str]:
    """The faults a text names, one by one."""
    for first, last in _ID.findall(text):
        for number in range(int(first), int(last or first) + 1):
            if not (
                last and f"F{number:02}" in NOT_YET
            ):  # a range says nothing about the one row that cannot be tested
                yield f"F{number:02}"


def tests_of(fault: str) -> list[str]:
    """The tests that name a fault, as pytest takes them: functions, or whole files that name it for all of theirs."""
    found = []
    for name in named().get(fault, []):
        path = TESTS / name
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        functions = [
            f"{path.relative_to(TESTS.parent)}::{node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith("test_")
            and fault in ids_in(ast.get_source_segment(source, node) or "")
        ]
        found += functions or [str(path.relative_to(TESTS.parent))]
    return found


def main() -> int:
    """Print the table; the number of rows in want of something is the exit status, 1 at most."""
    tests, wanting = named(), 0
    for fault, title in FAULTS.items():
        if fault in tests:
            told = ", ".join(tests[fault]) + ("  BUT DECLARED NOT TESTED" if fault in NOT_YET else "")
            wanting += fault in NOT_YET
        elif fault in NOT_YET:
            told = f"not yet: {NOT_YET[fault]}"
        else:
            told, wanting = "NO TEST", wanting + 1
        print(f"{fault}  {title:<60} {told}")
    for fault in sorted(tests.keys() - FAULTS.keys() - COMBINED):
        print(f"{fault}  {'THERE IS NO SUCH FAULT':<60} {', '.join(tests[fault])}")
        wanting += 1
    print(
        f"{len(FAULTS)} faults, {len(FAULTS.keys() & tests.keys())} tested, {len(NOT_YET)} not yet, {wanting} wanting"
    )
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
