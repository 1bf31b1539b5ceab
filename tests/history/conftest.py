"""Makes `tests/faults/harness.py` importable as `fault_harness`: tests are not a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "fault_harness" not in sys.modules:
    _path = Path(__file__).parents[1] / "faults" / "harness.py"
    _spec = importlib.util.spec_from_file_location("fault_harness", _path)
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["fault_harness"] = _module
    _spec.loader.exec_module(_module)
