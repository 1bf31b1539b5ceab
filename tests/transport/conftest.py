"""Makes `servers.py` beside this file importable as `transport_servers`: tests are not a package and not on the path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "transport_servers" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("transport_servers", Path(__file__).with_name("servers.py"))
    assert _spec is not None and _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["transport_servers"] = _module
    _spec.loader.exec_module(_module)
