"""Which faults have a test: lists every row of the fault matrix with the tests that name it, or why none can yet.

A test names a fault by its id (F01, or F30-F34 for a range) in a docstring or comment. Exit status 1 when a row has neither a
test nor a reason, or has a reason although tests exist by now. Not part of `make check`.
"""

from __future__ import annotations

import re
import sys
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
    "F57": "venue's clock off",
    "F58": "wall clock steps",
    "F59": "machine sleeps",
    "F60": "slow answer about the time",
    "F64": "exception in start, tell, ask, stop, timer, socket thread",
    "F65": "BaseException",
    "F66": "actor hangs",
    "F67": "crash loop",
    "F68": "supervisor dies",
    "F69": "crash during restart or stop",
    "F70": "ask to a dying actor",
    "F71": "inbox flooded",
    "F72": "consumer misbehaves",
}

NOT_YET = {
    "F33": "no venue with a checksum in its book stream has a driver yet",
}

_ID = re.compile(r"\bF(\d\d)(?:\s*(?:-|–|to)\s*F?(\d\d))?\b")


def named() -> dict[str, list[str]]:
    """Fault id to the files that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for first, last in _ID.findall(path.read_text(encoding="utf-8")):
            for number in range(int(first), int(last or first) + 1):
                fault, name = f"F{number:02}", path.relative_to(TESTS).as_posix()
                if last and fault in NOT_YET:
                    continue  # a range says nothing about the one row in it that cannot be tested
                files = found.setdefault(fault, [])
                if name not in files:
                    files.append(name)
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
    print(
        f"{len(FAULTS)} faults, {len(FAULTS.keys() & tests.keys())} tested, {len(NOT_YET)} not yet, {wanting} wanting"
    )
    return 1 if wanting else 0


if __name__ == "__main__":
    sys.exit(main())
