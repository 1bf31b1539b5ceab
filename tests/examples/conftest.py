"""Run examples as a user does: a process of its own, the interpreter of the tests, the library it can import."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("quick_start.py", "--live", within_s=30)`, in an empty folder; nothing but the exit status is checked here."""

    def start(name: str, *arguments: object, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            timeout=within_s,
            check=False,
        )

    return start


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the demonstration's own parts importable as `demo`."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
