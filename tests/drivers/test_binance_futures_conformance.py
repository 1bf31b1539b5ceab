"""Binance's two futures drivers through the suite every driver passes."""

from __future__ import annotations

import sys
from pathlib import Path

from connector.drivers import binance
from connector.testing.driver_suite import DriverSuite

sys.path.insert(0, str(Path(__file__).parent))

import binance_futures_facts


class TestBinanceUsdm(DriverSuite):
    driver = binance.USDM
    facts = binance_futures_facts.USDM


class TestBinanceCoinm(DriverSuite):
    driver = binance.COINM
    facts = binance_futures_facts.COINM
