"""Which venues share request budgets: those behind the same hosts, and those whose drivers are of one pool."""

from __future__ import annotations

from dataclasses import replace

from connector import ConnectorSettings, Environment, VenueSettings
from connector.assembly import assemble, real_parts
from connector.domain.wire import BudgetLimit
from connector.drivers.contract import Hosts
from connector.drivers.registry import find_driver
from connector.testing.clocks import FakeClock


def memories(*venues, pools):
    clock = FakeClock()
    spot = find_driver("binance")

    def driver(name):
        hosts = {environment: Hosts(f"https://{name}", f"wss://{name}") for environment in Environment}
        return replace(
            spot, hosts=hosts, pool=pools[name], limits=(*spot.limits, BudgetLimit(name, 7, 1.0, False, "test"))
        )

    return assemble(ConnectorSettings(venues), clock, replace(real_parts(clock), driver=driver)).memories


def test_drivers_of_one_pool_share_a_ledger_with_the_limits_of_both_and_nothing_else():
    found = memories(VenueSettings("a"), VenueSettings("b"), pools={"a": "one", "b": "one"})

    assert found["a"].ledger is found["b"].ledger
    assert {"a", "b"} < found["a"].ledger.names()
    assert found["a"].offset is not found["b"].offset
    assert found["a"].connects is not found["b"].connects


def test_venues_without_a_pool_share_what_is_behind_the_same_hosts_only():
    found = memories(VenueSettings("a"), VenueSettings("b"), VenueSettings("a", name="again"), pools={"a": "", "b": ""})

    assert found["a"].ledger is found["again"].ledger
    assert found["a"].ledger is not found["b"].ledger


def test_a_pool_ends_at_the_environment_and_at_hosts_of_ones_own():
    found = memories(
        VenueSettings("a"),
        VenueSettings("b", environment=Environment.TESTNET),
        VenueSettings("b", name="mine", rest_url="http://127.0.0.1:1", stream_url="ws://127.0.0.1:1"),
        pools={"a": "one", "b": "one"},
    )

    assert len({id(memory.ledger) for memory in found.values()}) == 3
