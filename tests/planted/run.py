"""Plant known mistakes in a copy of the library, one at a time, and see which test notices: build/planted.json and a page.

Exit status 0 exactly when every planted mistake is caught. First the tests that are to notice run on the unbroken copy, where
they have to pass; then each mistake is planted, the tests named for it run until the first of them fails, and the text is put
back. What only stops a module from being imported is no mistake a test can take credit for: it counts as broken, not as caught.

`--jobs 2` works in two copies side by side; names of mistakes or areas after the options pick some. `--list` shows the table.
The record keeps the last verdict on every mistake, so a run that was broken off can be gone on with: `--resume` leaves out what
was caught already. The working tree is never touched but for the record, and for the page in docs/reference, which is written
when every mistake in the table was caught.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from bugs import BUGS, LEVELS, Bug, level_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "planted-bugs.md"
RECORD = ROOT / "build" / "planted.json"
COPIED = (
    "connector",
    "tests",
    "examples",
    "docs",
    "pyproject.toml",
    "mkdocs.yml",
    "Makefile",
    "README.md",
    ".importlinter",
)
OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0", "--tb=line")
PREFACE = """\
# Planted bugs

Tests that never fail prove nothing. `make planted` puts known mistakes into a copy of the library, one at a time, and runs the
tests that should notice. When they were last run, {count} of {count} were caught, each at the level named. The mistakes are in
`tests/planted/bugs.py`; `make test` checks that every one of them still applies. One that survives is a hole in the tests, and
is closed by a test."""
ONE_TEST_S = 45
ONE_BUG_S = 300
"""A mistake may make tests hang: then the time ends them, which counts as noticed."""
ALL_TESTS_S = 1_800
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)


class Verdict(NamedTuple):
    """What came of one mistake: "caught", "survived" or "broken".

    Attributes:
        digest: of the mistake and its tests as they were, see `digest_of`.
    """

    bug: str
    digest: str
    outcome: str
    test: str
    level: str
    seconds: float
    said: str = ""


def digest_of(bug: Bug) -> str:
    """A mistake that was changed since is another one."""
    return hashlib.sha256(repr((bug.file, bug.old, bug.new, bug.tests)).encode()).hexdigest()[:16]


class Ran(NamedTuple):
    """One run of pytest. `code` is None where the time was up."""

    code: int | None
    said: str

    @property
    def failed(self) -> str:
        """The first test that failed, without its parameters; "" when it is not known."""
        found = _FAILED.search(self.said)
        return found[1] if found else ""


class Copy:
    """A folder with the package and its tests, where mistakes are planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            elif source.exists():
                shutil.copy2(source, target)

        self._whole: dict[
            str, str
        ] = {}  # texts of files something was planted in; the working tree may change meanwhile

    def plant(self, bug: Bug) -> None:
        if bug.file not in self._whole:
            self._whole[bug.file] = (self.folder / bug.file).read_text(encoding="utf-8")
        self._write(bug.file, bug.planted(self._whole[bug.file]))

    def mend(self, bug: Bug) -> None:
        self._write(bug.file, self._whole[bug.file])

    def _write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.write_text(text, encoding="utf-8")
        for old in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # it may be as long and as old as this one
            old.unlink()

    def test(self, tests: Iterable[str], *options: str, within_s: float) -> Ran:
        """Run tests here, in this order. Their process and all that it started end with the time."""
        command = [sys.executable, "-m", "pytest", *OPTIONS, f"--timeout={ONE_TEST_S}", *options, *tests]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(self.folder),
                    "HYPOTHESIS_STORAGE_DIRECTORY": str(self.folder / "h"),
                },
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(within_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            said.seek(0)
            return Ran(code, said.read().decode("utf-8", "replace"))

    def is_tested(self) -> bool:
        """Whether tests run from here meet the package that lies here."""
        shown = subprocess.run(
            [sys.executable, "-c", "import connector; print(connector.__file__)"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        return Path(shown.stdout.strip()).resolve().is_relative_to(self.folder.resolve())


def judge(copy: Copy, bug: Bug) -> Verdict:
    """Plant one mistake, run its tests, put the text back."""
    began_s = time.monotonic()
    copy.plant(bug)
    try:
        ran = copy.test(bug.tests, "-x", within_s=ONE_BUG_S)
    finally:
        copy.mend(bug)
    took_s = time.monotonic() - began_s
    if ran.code == 0:
        return Verdict(bug.id, digest_of(bug), "survived", "", "", took_s)
    test = ran.failed
    if ran.code is None:
        test = test or bug.tests[0]
        return Verdict(bug.id, digest_of(bug), "caught", test, level_of(test), took_s, "the tests did not end in time")
    if ran.code != 1 or "::" not in test:
        return Verdict(bug.id, digest_of(bug), "broken", test, "", took_s, ran.said[-2_000:])
    return Verdict(bug.id, digest_of(bug), "caught", test, level_of(test), took_s)


# ---------------------------------------------------------------- the run


def unbroken(copy: Copy, bugs: Sequence[Bug]) -> bool:
    """Whether the tests named pass as long as nothing is planted; what fails is tried once more, as `make test` does."""
    tests = tuple(dict.fromkeys(test for bug in bugs for test in bug.tests))
    print(f"unbroken: {len(tests)} files and tests ...", flush=True)
    began_s = time.monotonic()
    ran = copy.test(tests, within_s=ALL_TESTS_S)
    if ran.code == 1 and (again := sorted({found[1] for found in _FAILED.finditer(ran.said)})):
        ran = copy.test(again, within_s=ALL_TESTS_S)
    lines = ran.said.strip().splitlines()
    print(f"unbroken: {lines[-1] if lines else 'nothing was said'} ({time.monotonic() - began_s:.0f} s)", flush=True)
    if ran.code != 0:
        print("\n".join(lines[-40:]))
    return ran.code == 0


def judge_all(copies: Sequence[Copy], bugs: Sequence[Bug], known: dict[str, Verdict]) -> None:
    """Every mistake once, on as many threads as there are copies; said and recorded as it goes.

    Args:
        known: the last verdict on every mistake by its name, brought up to date here.
    """
    waiting: queue.SimpleQueue[Bug] = queue.SimpleQueue()
    for bug in bugs:
        waiting.put(bug)
    done = Counter[str]()
    lock = threading.Lock()  # guards what is known, the record and what is shown

    def work(copy: Copy) -> None:
        while True:
            try:
                bug = waiting.get_nowait()
            except queue.Empty:
                return
            verdict = judge(copy, bug)
            with lock:
                known[bug.id] = verdict
                done[verdict.outcome] += 1
                keep(known)
                word = {"caught": f"{verdict.level:<3}"}.get(verdict.outcome, verdict.outcome.upper())
                print(
                    f"{done.total():>3}/{len(bugs)} {word} {bug.id:<52} {verdict.seconds:5.1f} s  "
                    f"{verdict.test.removeprefix('tests/')}{f' ({verdict.said})' if verdict.said else ''}",
                    flush=True,
                )

    threads = [threading.Thread(target=work, args=(copy,), name=f"planted-{n}") for n, copy in enumerate(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------- what is written down


def recorded() -> dict[str, Verdict]:
    """The last verdict on every mistake that is still what it was."""
    try:
        verdicts = [Verdict(**each) for each in json.loads(RECORD.read_text(encoding="utf-8"))["verdicts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    now = {bug.id: digest_of(bug) for bug in BUGS}
    return {verdict.bug: verdict for verdict in verdicts if now.get(verdict.bug) == verdict.digest}


def keep(known: dict[str, Verdict]) -> None:
    """Write the record."""
    verdicts = [known[bug.id] for bug in BUGS if bug.id in known]
    caught = [verdict for verdict in verdicts if verdict.outcome == "caught"]
    told: dict[str, Any] = {
        "planted": len(BUGS),
        "judged": len(verdicts),
        "caught": len(caught),
        "by_level": dict(sorted(Counter(verdict.level for verdict in caught).items())),
        "survived": [verdict.bug for verdict in verdicts if verdict.outcome == "survived"],
        "broken": [verdict.bug for verdict in verdicts if verdict.outcome == "broken"],
        "verdicts": [verdict._asdict() for verdict in verdicts],
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def page(known: dict[str, Verdict]) -> str:
    """The table as a page, once all were caught; the same for the same verdicts."""
    counts = Counter(known[bug.id].level for bug in BUGS)
    lines = [
        *PREFACE.format(count=len(BUGS)).splitlines(),
        "",
        "| level | what runs | mistakes caught |",
        "|---|---|---|",
        *(f"| {level} | {what} | {counts[level]} |" for level, what in LEVELS.items() if counts[level]),
    ]
    for area in dict.fromkeys(bug.area for bug in BUGS):
        lines += ["", f"## {area.capitalize()}", "", "| mistake | what it would cost | caught by |", "|---|---|---|"]
        for bug in (bug for bug in BUGS if bug.area == area):
            verdict = known[bug.id]
            path, _, test = verdict.test.partition("::")
            where = f"{verdict.level}: `{path.removeprefix('tests/')}`" + (f", {_words(test)}" if test else "")
            lines.append(f"| {bug.mistake} | {bug.harm} | {where} |")
    return "\n".join(lines) + "\n"


def _words(test: str) -> str:
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="names of mistakes, or of areas; all when none is given")
    parser.add_argument("--jobs", type=int, default=1, help="copies to work in side by side")
    parser.add_argument("--list", action="store_true", help="show the table and run nothing")
    parser.add_argument("--resume", action="store_true", help="leave out what the record says was caught")
    parser.add_argument("--unchecked", action="store_true", help="leave out the run on the unbroken copy")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if not options.only or bug.id in options.only or bug.area in options.only]
    if unknown := set(options.only) - {name for bug in BUGS for name in (bug.id, bug.area)}:
        parser.error(f"no mistake or area is called {', '.join(sorted(unknown))}")
    if options.list:
        for bug in bugs:
            print(f"{bug.id:<52} {bug.level} {bug.area}: {bug.mistake}")
        return 0
    known = recorded()
    if options.resume:
        bugs = [bug for bug in bugs if bug.id not in known or known[bug.id].outcome != "caught"]
    if bugs:
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            copies = [Copy(Path(folder) / str(number)) for number in range(max(1, min(options.jobs, len(bugs))))]
            if not copies[0].is_tested():
                print("the tests would run on another copy of the package than the one mistakes are planted in")
                return 2
            if not options.unchecked and not unbroken(copies[0], bugs):
                print("the tests do not pass before anything is planted; what they say of mistakes means nothing")
                return 2
            judge_all(copies, bugs, known)
    chosen = {name: known[name].outcome for name in (bug.id for bug in bugs) if name in known}
    for name, outcome in chosen.items():
        if outcome != "caught":
            print(f"{outcome.upper()}: {name}")
    caught = [verdict for verdict in known.values() if verdict.outcome == "caught"]
    levels = ", ".join(f"{level}: {count}" for level, count in sorted(Counter(v.level for v in caught).items()))
    print(f"caught {len(caught)} of the {len(BUGS)} in the table so far ({levels}); see {RECORD.relative_to(ROOT)}")
    if len(caught) == len(BUGS):
        PAGE.write_text(page(known), encoding="utf-8")
    return 0 if all(outcome == "caught" for outcome in chosen.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
