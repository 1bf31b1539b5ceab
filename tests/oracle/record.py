"""Run every script on OTP's supervisor and keep what it did: `python tests/oracle/record.py`.

Writes expected.json.gz beside this file, which the tests compare with whether or not Erlang is installed. Needs `erl`
and `erlc` (Debian: erlang-base). Decides nothing; the tests use its functions for their own run of Erlang.
"""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from differences import ALIKE, DIFFERENCES
from scripts import SCRIPTS, Script, to_erlang

__all__ = ["EXPECTED", "digest", "erlang_is_installed", "read", "run_on_erlang", "wanted"]

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json.gz"
DEADLINE_S = 90.0


def wanted() -> tuple[Script, ...]:
    """Every script there is: the generated ones, those that show known differences, and those that once did."""
    return (*SCRIPTS, *(difference.script for difference in DIFFERENCES), *ALIKE)


def erlang_is_installed() -> bool:
    return shutil.which("erl") is not None and shutil.which("erlc") is not None


def run_on_erlang(scripts: Sequence[Script]) -> dict[str, Any]:
    """What OTP's supervisor does: "otp" names the release, "outcomes" has one outcome per script name."""
    with tempfile.TemporaryDirectory() as folder:
        terms, outcomes = Path(folder, "scripts.terms"), Path(folder, "outcomes.jsonl")
        terms.write_text("".join(f"{to_erlang(script)}.\n" for script in scripts), encoding="utf-8")
        subprocess.run(["erlc", "-o", folder, str(HERE / "otp_oracle.erl")], check=True, timeout=DEADLINE_S)
        command = [
            "erl",
            "-noshell",
            "-noinput",
            "-pa",
            folder,
            "-run",
            "otp_oracle",
            "main",
            str(terms),
            str(outcomes),
        ]
        done = subprocess.run(command, timeout=DEADLINE_S, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not outcomes.exists():
            raise RuntimeError(
                f"erl ended with {done.returncode}; its words were:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        lines = [json.loads(line) for line in outcomes.read_text(encoding="utf-8").splitlines()]
    return {"otp": lines[0], "outcomes": {line.pop("name"): line for line in lines[1:]}}


def digest(scripts: Sequence[Script]) -> str:
    """Says whether the data belong to these scripts."""
    return hashlib.sha256("\n".join(map(to_erlang, scripts)).encode()).hexdigest()


def read() -> dict[str, Any]:
    with gzip.open(EXPECTED, "rt", encoding="utf-8") as file:
        kept: dict[str, Any] = json.load(file)
    return kept


def main() -> None:
    scripts = wanted()
    recorded = run_on_erlang(scripts)
    text = json.dumps({"scripts": digest(scripts), **recorded}, separators=(",", ":"), sort_keys=True)
    EXPECTED.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(scripts)} scripts on OTP {recorded['otp']['otp_release']}, {EXPECTED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
