"""One exchange used twice: every value says which of the two venues it is of."""

from __future__ import annotations

import time

import pytest

from connector import Connector, Side, Symbol, VenueSettings
from connector.domain.commands import PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, OrderType
from connector.simulator import AccountSettings, Simulator, SimulatorSettings
from connector.venue.naming import called

BTC = Symbol("BTC", "USDT")
NAMES = ("first", "second")


@pytest.fixture(scope="module")
def twice():
    account = AccountSettings("main", "key0000000001", "a secret of tests", balances={"BTC": 10, "USDT": 1_000_000})
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=200.0, accounts=(account,))) as sim:
        venues = [
            VenueSettings(
                "binance",
                name=name,
                rest_url=sim.rest_url,
                stream_url=sim.ws_url,
                session_url=sim.ws_url,
                credentials=Credentials("key0000000001", secret="a secret of tests"),
            )
            for name in NAMES
        ]
        with Connector(venues) as connector:
            assert all(connector.venue(name).wait_ready(10.0) for name in NAMES)
            yield connector


@pytest.mark.parametrize("name", NAMES)
def test_streams_and_answers_carry_the_name_the_engine_gave(twice, name):
    with twice.subscribe(name, "trades", "BTC/USDT") as trades:
        assert trades.get(timeout_s=10.0).venue == name
    venue = twice.venue(name)
    assert venue.instruments()[0][BTC].venue == name
    assert venue.depth("BTC/USDT").venue == name
    assert {ticker.venue for ticker in venue.tickers("BTC/USDT")} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_orders_fills_and_balances_do_too(twice, name):
    venue = twice.venue(name)
    deadline_s = time.monotonic() + 15.0
    while venue.open_orders()[1].stale:
        assert time.monotonic() < deadline_s
    told = []
    with venue.orders_stream(callback=told.append):
        order = PlaceOrder(
            symbol=BTC, side=Side.BUY, type=OrderType.MARKET, quantity=venue.instruments()[0][BTC].quantity_step * 50
        )
        outcome = venue.orders.ask(order, timeout=10.0)
        while not any(isinstance(each, Fill) for each in told):
            assert time.monotonic() < deadline_s
    assert outcome.order.venue == name
    assert {each.venue for each in told if hasattr(each, "venue")} == {name}
    assert {balance.venue for balance in venue.balances()[0].values()} == {name}


def test_what_is_called_right_already_is_not_copied(twice):
    instrument = twice.venue("first").instruments()[0][BTC]
    assert called(instrument, "first") is instrument
    assert called((1, None, instrument), "second")[2].venue == "second"
