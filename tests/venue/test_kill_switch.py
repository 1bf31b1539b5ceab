"""The kill switch where it matters most: orders on their way to being sent, and cancels that have to wait."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, connect

from connector import Side
from connector.domain.commands import CancelAll, OutcomeKind, PlaceOrder
from connector.domain.orders import OrderType
from connector.drivers.registry import find_driver
from connector.errors import RateLimited
from connector.testing.deterministic import DeterministicRuntime
from connector.venue.orders import ThrowKillSwitch

SPOT = find_driver("binance")


class Bench:
    """A connector on a far side that does no harm, over the session or by REST."""

    def __init__(self, session):
        self.runtime = DeterministicRuntime(7, max_steps=50_000_000)
        self.far = FarSide(self.runtime, random.Random(7))
        driver = SPOT if session else replace(SPOT, session=None)
        self.connector = connect(self.far, random.Random(7), session=session, driver=driver)
        self.memory = self.connector._assembly.memories["binance"]

    def send(self, command):
        return self.venue.orders.ask(command, block=False, timeout=600.0)

    def rest(self, number):
        """So many orders that are open."""
        asked = [self.send(order()) for _ in range(number)]
        self.runtime.advance(2.0)
        return [each.get(timeout=0.0).client_id for each in asked]

    def limit(self, seconds, *budgets):
        """The venue refuses some budgets' requests for so long."""
        self.memory.ledger.penalize(RateLimited("too many", retry_after_s=seconds), self.runtime.monotonic_s(), budgets)

    @property
    def open_there(self):
        return [name for name, each in self.far.orders.items() if each["status"] in ("NEW", "PARTIALLY_FILLED")]


@pytest.fixture(params=[False, True], ids=["by REST", "over the session"])
def bench(request):
    bench = Bench(request.param)
    with bench.connector:
        bench.venue = bench.connector.venue("binance")
        bench.runtime.advance(10.0)
        yield bench


def order():
    return PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))


def test_an_order_that_still_waits_for_its_budget_is_not_sent_once_the_switch_is_thrown(bench):
    bench.limit(0.2, "ORDERS/10s")
    placed = bench.send(order())
    bench.runtime.advance(0.1)
    bench.send(ThrowKillSwitch())
    bench.runtime.advance(20.0)

    assert bench.far.orders == {}
    outcome = placed.get(timeout=0.0)
    assert outcome.kind is OutcomeKind.REFUSED, outcome
    assert not bench.venue.open_orders()[0]


@pytest.mark.parametrize("command", [ThrowKillSwitch(), CancelAll()], ids=["kill switch", "cancel all"])
def test_cancels_of_all_orders_wait_for_as_long_as_the_venue_takes_none(bench, command):
    bench.rest(6)
    assert bench.open_there
    bench.limit(20.0)
    asked = bench.send(command)
    bench.runtime.advance(60.0)

    assert bench.open_there == []
    assert OutcomeKind.REFUSED not in {each.kind for each in asked.get(timeout=0.0)}
