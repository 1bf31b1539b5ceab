"""A venue nobody here has heard of, brought by an engine: its driver passes the suite, and a Connector takes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connector import Connector
from connector.drivers.registry import all_drivers
from connector.errors import SettingsError, Unsupported
from connector.testing.driver_suite import DriverSuite

sys.path.insert(0, str(Path(__file__).parent))

from toy_driver import TOY
from toy_facts import FACTS


class TestToy(DriverSuite):
    driver = TOY
    facts = FACTS


def test_nothing_of_the_library_knows_the_toy_venue():
    assert TOY.name not in {driver.name for driver in all_drivers()}
    with pytest.raises(Unsupported, match="there is no driver 'toy'"):
        Connector(["toy"])


def test_a_driver_is_brought_as_an_argument_and_found_by_its_name():
    connector = Connector(["binance"], drivers=[TOY])
    assert connector.venues == ("binance",)


def test_drivers_that_are_none_or_share_a_name_are_refused():
    with pytest.raises(SettingsError, match="expected Driver values"):
        Connector(["toy"], drivers=["toy"])
    with pytest.raises(SettingsError, match="two drivers are called 'toy'"):
        Connector(["toy"], drivers=[TOY, TOY])
