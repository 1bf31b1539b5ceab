"""The mock venue's driver through the suite every driver passes."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.testing.driver_suite import DriverSuite
from connector.testing.mock_driver import MOCK

sys.path.insert(0, str(Path(__file__).parent))

from mock_facts import FACTS


class TestMock(DriverSuite):
    driver = MOCK
    facts = FACTS
