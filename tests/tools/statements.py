"""Which of the 90 supervision statements have a test, and which are declared not applicable: `statements.py [-v]`.

A test names its statements at the head of its docstring: "Statement 29." or "Statements 29, 32." Exits 1 when a
statement has neither a test nor a reason, or when a reason is kept for one that has a test.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "supervision"
GROUPS = {
    "A1 Starting": range(1, 11),
    "A2 Who is restarted": range(11, 21),
    "A3 Strategies": range(21, 29),
    "A4 Intensity and escalation": range(29, 39),
    "A5 Backoff": range(39, 51),
    "A6 Stopping": range(51, 65),
    "A7 Automatic shutdown": range(65, 69),
    "A8 Administration while running": range(69, 74),
    "A9 References and messages": range(74, 82),
    "A10 Hanging and fencing": range(82, 89),
    "A11 Observing": range(89, 91),
}
NOT_APPLICABLE: dict[int, str] = {}

_HEAD = re.compile(r"\s*Statements?\s+((?:\d+\s*,\s*)*\d+)")


def named(path: Path) -> Iterator[tuple[int, str]]:
    """(statement, test) for each statement a test of this file names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            head = _HEAD.match(ast.get_docstring(node) or "")
            if head:
                for number in head.group(1).split(","):
                    yield int(number), f"{path.name}::{node.name}"


def main(arguments: list[str]) -> int:
    tests: dict[int, list[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for number, test in named(path):
            tests.setdefault(number, []).append(test)
    failures = [
        f"statement {number} is not one of the 90: {tests[number]}" for number in tests if not 1 <= number <= 90
    ]
    for group, numbers in GROUPS.items():
        covered = sum(number in tests for number in numbers)
        excused = sum(number in NOT_APPLICABLE for number in numbers)
        print(f"{group:<34} {covered:>3} of {len(numbers):>2} tested, {excused} not applicable")
        for number in numbers:
            if number not in tests and number not in NOT_APPLICABLE:
                failures.append(f"statement {number} has neither a test nor a reason why not")
            if number in tests and number in NOT_APPLICABLE:
                failures.append(f"statement {number} has a test; take its excuse out")
            if "-v" in arguments:
                print(f"  {number:>2}  {len(tests.get(number, ())):>2}  {NOT_APPLICABLE.get(number, '')}")
                for test in tests.get(number, ()):
                    print(f"          {test}")
    print(
        f"{'all':<34} {len([n for n in tests if 1 <= n <= 90]):>3} of 90 tested, {len(NOT_APPLICABLE)} not applicable"
    )
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
