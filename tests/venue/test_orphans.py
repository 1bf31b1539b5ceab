"""A connection whose actor ended before it could keep it is nobody's, and does not stay."""

import pytest

from connector.domain.credentials import Credentials
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.testing.killing import crash
from connector.testing.simulation import World


@pytest.mark.parametrize("calls", range(1, 15))
def test_stream_actor_that_breaks_anywhere_while_it_connects_leaves_no_connection_behind(calls):
    account = AccountSettings("main", "key0001", "secret of an account")
    settings = SimulatorSettings(symbols=("BTCUSDT",), source=Live(resting_orders=40), accounts=(account,))
    world = World(calls, {"binance": settings})
    venue = world.venue("binance", "binance", credentials=Credentials("key0001", secret="secret of an account"))
    with world.connect(venue) as connector:
        connector.subscribe("binance", "trades", "BTC/USDT")
        world.runtime.advance(5.0)
        for where in ("start", "run"):
            world.mishaps.arm("/binance/stream", where, calls, "MemoryError")
            crash(connector.venue("binance").stream)
            world.runtime.advance(40.0)
        links = len(world.far["binance"].links.live)
        known = len(world.far["binance"].exchange.hub.connections)

    assert (links, known) == (2, 2)
    assert world.far["binance"].links.live == []
