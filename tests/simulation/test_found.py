"""Every seed that once failed, with the shortest script it failed with: `make sim` adds a file to found/ for each it finds."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))

from sim import FOUND, kept
from simulated import live


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_found_once_stays_right(path):
    seed, product, script = kept(path)

    assert live(seed, product, script)["problems"] == {}
