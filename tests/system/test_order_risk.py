"""Risk hooks see the orders that are on their way, not only those the account already shows."""

import threading
from decimal import Decimal

from connector import Connector, Side, Symbol, VenueSettings
from connector.simulator import Simulator, SimulatorSettings
from connector.trading import Credentials, OrderRate, OrderType, OutcomeKind, PlaceOrder, RiskRefused

BTC = Symbol("BTC", "USDT")
KEY, SECRET = "riskkey0123456789", "risk-secret-0123456789"


def order():
    return PlaceOrder(
        symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal("0.01"), price=Decimal("60000.00")
    )


def trading(simulator, *hooks):
    simulator.add_account(name="main", key=KEY, secret=SECRET, balances={"USDT": Decimal(1_000_000)})
    return VenueSettings(
        "binance",
        rest_url=simulator.rest_url,
        stream_url=simulator.ws_url,
        session_url=simulator.ws_url,
        credentials=Credentials(KEY, secret=SECRET),
        risk_hooks=hooks,
    )


def burst(*hooks, count=6):
    settings = SimulatorSettings(symbols=("BTCUSDT",), seed=3, events_per_s=50.0)
    with Simulator(settings) as simulator, Connector([trading(simulator, *hooks)]) as connector:
        venue = connector.venue("binance")
        assert venue.wait_ready(10)
        asks = [venue.orders.ask(order(), block=False, timeout=10.0) for _ in range(count)]
        return [ask.get(timeout=10.0) for ask in asks]


def test_a_burst_does_not_slip_past_a_rate_hook():
    kinds = [outcome.kind for outcome in burst(OrderRate(limit=3, window_s=60.0))]

    assert kinds.count(OutcomeKind.ACCEPTED) == 3
    assert kinds.count(OutcomeKind.REFUSED) == 3


def test_a_hook_that_does_not_answer_lets_nothing_pass_and_holds_up_no_later_order():
    asked, released = [], threading.Event()

    def waits_for_a_database(command, view):
        asked.append(command)
        if len(asked) == 1:
            released.wait(30.0)

    settings = SimulatorSettings(symbols=("BTCUSDT",), seed=3, events_per_s=50.0)
    try:
        with (
            Simulator(settings) as simulator,
            Connector([trading(simulator, waits_for_a_database)]) as connector,
        ):
            venue = connector.venue("binance")
            assert venue.wait_ready(10)
            first, second = (venue.orders.ask(order(), timeout=10.0) for _ in range(2))
            hung = venue.snapshot().counters.get("orders.risk_hooks_hung", 0)
            released.set()
    finally:
        released.set()

    assert (first.kind, first.code) == (OutcomeKind.REFUSED, "waits_for_a_database")
    assert "did not answer within" in first.reason
    assert (second.kind, hung) == (OutcomeKind.ACCEPTED, 1)


def test_a_hook_of_the_users_own_that_raises_or_refuses_lets_nothing_pass():
    def broken(command, view):
        raise ValueError("no idea")

    def no(command, view):
        raise RiskRefused("no", "not today")

    for hook, code in ((broken, "broken"), (no, "no")):
        outcomes = burst(hook, count=2)
        assert [(outcome.kind, outcome.code) for outcome in outcomes] == [(OutcomeKind.REFUSED, code)] * 2


def test_commands_go_by_ask_by_proxy_and_by_tell():
    settings = SimulatorSettings(symbols=("BTCUSDT",), seed=3, events_per_s=50.0)
    with Simulator(settings) as simulator, Connector([trading(simulator)]) as connector:
        venue = connector.venue("binance")
        assert venue.wait_ready(10)
        events = venue.orders_stream()
        asked = venue.orders.ask(order(), timeout=10.0)
        by_proxy = venue.orders.proxy().take(order()).get(timeout=10.0)
        venue.orders.tell(order())
        seen = set()
        while len(seen) < 3:
            seen.add(events.get(10).client_id)

    assert asked.kind is by_proxy.kind is OutcomeKind.ACCEPTED
    assert {asked.client_id, by_proxy.client_id} < seen
