"""What our own budget refuses was never asked of the venue, and stops nothing for longer than the venue said."""

import pytest

from connector.domain.credentials import Credentials
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.testing.simulation import World

SECRET = "secret of an account"


@pytest.mark.parametrize("seed", range(5))
def test_a_private_connection_that_waits_for_a_spent_budget_is_back_when_the_venue_said_so(seed):
    settings = SimulatorSettings(
        dialect="binance_usdm",
        symbols=("BTCUSDT",),
        source=Live(resting_orders=40),
        accounts=(AccountSettings("main", "key0001", SECRET),),
    )
    world = World(seed, {"binance-usdm": settings})
    venue = world.venue("binance-usdm", "binance-usdm", credentials=Credentials("key0001", secret=SECRET))
    with world.connect(venue) as connector:
        connector.subscribe("binance-usdm", "book", "BTC/USDT:USDT")
        world.runtime.advance(5.0)
        memory = connector.venue("binance-usdm")._memory
        faults = world.far["binance-usdm"].faults
        faults.rest_error(status=429, count=1, retry_after_s=20)
        faults.cut()
        world.runtime.advance(15.0)
        asked, blocked = memory.counters.get("session.keys_asked"), repr(memory.ledger)
        world.runtime.advance(25.0)
        sent = memory.counters.get("rest.refused_by_limit")
        book = connector.venue("binance-usdm").live_book("BTC/USDT:USDT").state.value
        after = repr(memory.ledger)

    assert "BLOCKED" in blocked and asked >= 1 and sent == 1
    assert "BLOCKED" not in after and book == "valid"
