"""Spoil what exchanges send with texts that are led by the code they reach: needs the package atheris, which no extra brings.

    python tests/fuzz/by_coverage.py bybit            until it is stopped, or something is found
    python tests/fuzz/by_coverage.py bybit -runs=1000000

The first argument is a driver, the others are libFuzzer's. It begins from the recorded samples. The first four bytes of a text
choose the target. What counts as found is said in `targets.py`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=["connector"]):
    from targets import DRIVERS, targets_of, try_one


def main() -> None:
    driver, others = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if driver not in DRIVERS:
        sys.exit(f"give a driver first: {', '.join(DRIVERS)}")
    targets = targets_of(driver)

    def look(data: bytes) -> None:
        if len(data) >= 4:
            try_one(targets[int.from_bytes(data[:4], "little") % len(targets)], data[4:])

    with tempfile.TemporaryDirectory(prefix="samples-") as folder:
        for number, target in enumerate(targets):
            (Path(folder) / str(number)).write_bytes(number.to_bytes(4, "little") + target.sample)
        atheris.Setup([sys.argv[0], *others, folder], look)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
