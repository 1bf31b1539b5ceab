"""The example runs to its end and shows what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import connector

EXAMPLE = Path(__file__).parents[2] / "examples" / "supervision_alone.py"


def test_example_shows_the_tree_before_and_after_and_ends_by_itself():
    environment = {**os.environ, "PYTHONPATH": str(Path(connector.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(EXAMPLE)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, env=environment, check=False)
    assert run.returncode == 0 and run.stderr == ""
    before, after = run.stdout.split("after\n")
    assert "ledger  running  #1" in before and "ledger  running  #2" in after and "sleepy  running  #3" in after
    assert "the asker is told" in before and run.stdout.endswith("nothing left: True\n")
