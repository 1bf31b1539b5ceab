"""Makes `tests/faults/harness.py` importable as `fault_harness`: tests are not a package, and `make faults` uses it too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

if "fault_harness" not in sys.modules:
    _path = Path(__file__).parents[1] / "faults" / "harness.py"
    _spec = importlib.util.spec_from_file_location("fault_harness", _path)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["fault_harness"] = _module
    _spec.loader.exec_module(_module)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """Threads and registered actors are as before once a test is over."""
    from fault_harness import eventually, settled_base

    threads, _, actors = settled_base()
    yield
    eventually(
        lambda: settled_base()[0] <= threads and settled_base()[2] <= actors,
        5.0,
        lambda: f"left behind: {[thread.name for thread in __import__('threading').enumerate()]}",
    )
