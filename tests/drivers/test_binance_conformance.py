"""Binance spot's driver through the suite every driver passes."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.drivers.binance import SPOT
from connector.testing.driver_suite import DriverSuite

sys.path.insert(0, str(Path(__file__).parent))

from binance_facts import FACTS


class TestBinanceSpot(DriverSuite):
    driver = SPOT
    facts = FACTS
