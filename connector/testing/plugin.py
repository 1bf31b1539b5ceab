"""pytest plugin: fixtures for tests against the simulator. Nothing is imported or started before a test asks for it.

`simulator` is a factory: each call starts one simulated exchange on a free port of loopback, and all of them are stopped when
the test ends.

    def test_first_trade(simulator):
        exchange = simulator(symbols=("BTCUSDT",), events_per_s=0)
        ...connect to exchange.rest_url and exchange.ws_url...
        exchange.step(100)
        assert exchange.ledger.trades("BTCUSDT")

With accounts, orders can be placed on it; what became of them is in its ledger:

    def test_first_order(simulator):
        exchange = simulator(accounts=(AccountSettings("main", key="Key1", secret="any", balances={"USDT": "1000"}),))
        ...sign with that key and secret...
        assert exchange.ledger.orders("main")

It takes the fields of `connector.simulator.SimulatorSettings` as keywords, or one such value. Needs the extra `simulator`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from connector.simulator import Simulator, SimulatorSettings

__all__ = ["simulator"]


@pytest.fixture
def simulator() -> Iterator[Callable[..., Simulator]]:
    """A factory of running simulators: `simulator(settings)` or `simulator(symbols=..., events_per_s=..., ...)`."""
    with ExitStack() as running:

        def start(settings: SimulatorSettings | None = None, **fields: Any) -> Simulator:
            from connector.simulator import Simulator, SimulatorSettings

            if settings is not None and fields:
                raise TypeError("give a SimulatorSettings or its fields as keywords, not both")
            return running.enter_context(Simulator(settings or SimulatorSettings(**fields)))

        yield start
