"""Bybit's three drivers through the suite every driver passes."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.drivers import bybit
from connector.testing.driver_suite import DriverSuite

sys.path.insert(0, str(Path(__file__).parent))

import bybit_facts


class TestBybitSpot(DriverSuite):
    driver = bybit.SPOT
    facts = bybit_facts.SPOT


class TestBybitLinear(DriverSuite):
    driver = bybit.LINEAR
    facts = bybit_facts.LINEAR


class TestBybitInverse(DriverSuite):
    driver = bybit.INVERSE
    facts = bybit_facts.INVERSE
