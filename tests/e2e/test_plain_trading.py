"""An engine's ordinary day, at the simulator, and at the venue's testnet when its keys are in the environment.

The testnet is used when BINANCE_TESTNET_KEY is set, with BINANCE_TESTNET_SECRET or BINANCE_TESTNET_PRIVATE_KEY_FILE, and CI is
not. Only small orders far from the market and one small buy and sell are placed there; what is left open is cancelled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pykka
import pytest
from fault_harness import eventually

from connector import Connector, Environment, Side, Symbol, VenueSettings
from connector.domain.commands import CancelAll, CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, OrderStatus, OrderType
from connector.orders.rounding import round_price
from connector.settings import load_credentials
from connector.simulator import AccountSettings, Simulator, SimulatorSettings
from connector.store import SqliteStore

NAME = "binance_testnet"
BTC_USDT = Symbol("BTC", "USDT")
WITHIN_S = 30.0


@pytest.fixture(params=["simulator", "testnet"])
def account(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Settings of an account that can be traded on: the simulator's, or the testnet's."""
    if request.param == "testnet":
        if not os.environ.get("BINANCE_TESTNET_KEY"):
            pytest.skip("BINANCE_TESTNET_KEY is not set: the testnet is left alone")
        if os.environ.get("CI"):
            pytest.skip("CI is set: the testnet is left alone")
        yield {"environment": Environment.TESTNET, "credentials": load_credentials(NAME, os.environ)}
        return
    main = AccountSettings("main", "PlainKey", "plain", balances={"BTC": 1, "USDT": 100_000})
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=50, accounts=(main,))) as sim:
        yield {
            "rest_url": sim.rest_url,
            "stream_url": sim.ws_url,
            "session_url": sim.ws_url,
            "credentials": Credentials(main.key, secret=main.secret),
        }


class Day:
    """One run of the client on the account."""

    def __init__(self, account: dict[str, Any], store: SqliteStore) -> None:
        self.connector = Connector([VenueSettings("binance", store=store, **account)])
        self.venue = self.connector.venue("binance")
        self.told: list[Any] = []
        self.venue.orders_stream(callback=self.told.append)

    def begin(self) -> None:
        assert self.venue.wait_ready(WITHIN_S)
        self.venue.reconcile(WITHIN_S)
        self.instrument = self.venue.instrument(BTC_USDT)
        self.ticker = self.venue.book_tickers(BTC_USDT)[0]
        smallest = Decimal(20) / self.ticker.bid
        step = self.instrument.quantity_step
        self.quantity = (smallest / step).to_integral_value(ROUND_CEILING) * step

    def await_fresh(self) -> None:
        """Until a comparison has shown that nothing is in doubt; it begins by itself."""
        eventually(lambda: not self.venue.open_orders()[1].stale, WITHIN_S, lambda: str(self.venue.open_orders()[1]))

    def rest_order(self) -> Any:
        """A buy order ten percent below the market."""
        price = round_price(self.ticker.bid * Decimal("0.9"), self.instrument.price_tick, Side.BUY)
        return PlaceOrder(symbol=BTC_USDT, side=Side.BUY, type=OrderType.LIMIT, quantity=self.quantity * 2, price=price)

    def ask(self, command: Any) -> Any:
        return self.venue.orders.ask(command, timeout=WITHIN_S)

    def await_status(self, client_id: str, status: OrderStatus) -> Any:
        eventually(lambda: self.venue.order(client_id)[0].status is status, WITHIN_S)
        return self.venue.order(client_id)[0]


@pytest.fixture
def day(account, tmp_path) -> Iterator[Day]:
    with ExitStack() as closing:
        store = SqliteStore(tmp_path / "orders.sqlite")
        closing.callback(store.close)
        made = Day(account, store)
        with made.connector:
            made.begin()
            yield made
            with suppress(pykka.ActorDeadError):  # a test may have stopped it
                made.ask(CancelAll())


def test_resting_order_is_shown_cancelled_and_explained(day):
    locked = day.venue.balance("USDT")[0].locked
    placed = day.ask(day.rest_order())

    assert placed.kind is OutcomeKind.ACCEPTED
    assert [order.client_id for order in day.venue.open_orders(BTC_USDT)[0]] == [placed.client_id]
    value = placed.order.quantity * placed.order.price
    eventually(lambda: day.venue.balance("USDT")[0].locked == locked + value, WITHIN_S)

    gone = day.ask(CancelOrder(symbol=BTC_USDT, client_id=placed.client_id))
    assert (gone.kind, gone.order.filled) == (OutcomeKind.ACCEPTED, 0)
    day.await_status(placed.client_id, OrderStatus.CANCELED)
    eventually(lambda: day.venue.balance("USDT")[0].locked == locked, WITHIN_S)
    sources = [line.source for line in day.venue.explain(placed.client_id)[0]]
    assert sources[:2] == ["journal", "sent"]
    assert {"stream", "answer"} & set(sources)


def test_market_orders_fill_and_the_fills_add_up(day):
    ids = []
    for side in (Side.BUY, Side.SELL):
        outcome = day.ask(PlaceOrder(symbol=BTC_USDT, side=side, type=OrderType.MARKET, quantity=day.quantity))
        assert outcome.kind is OutcomeKind.ACCEPTED, outcome
        ids.append(outcome.client_id)
    day.await_fresh()

    for client_id in ids:
        order = day.await_status(client_id, OrderStatus.FILLED)
        fills = [fill for fill in day.venue.fills(BTC_USDT)[0] if fill.client_id == client_id]
        assert sum(fill.quantity for fill in fills) == order.filled == day.quantity
        told = [event.trade_id for event in list(day.told) if isinstance(event, Fill) and event.client_id == client_id]
        assert sorted(told) == sorted(fill.trade_id for fill in fills)


def test_next_process_takes_up_what_the_one_before_left(day, account, tmp_path):
    placed = day.ask(day.rest_order())
    before = day.venue.order_history()[0]
    assert day.connector.stop().ok
    day.venue._memory.trading.store.close()

    with ExitStack() as closing:
        store = SqliteStore(tmp_path / "orders.sqlite")
        closing.callback(store.close)
        again = Day(account, store)
        with again.connector:
            again.begin()
            assert [order.client_id for order in again.venue.open_orders()[0]] == [placed.client_id]
            assert [order.client_id for order in again.venue.order_history()[0]] == [each.client_id for each in before]
            assert again.told == []
            gone = again.ask(CancelOrder(symbol=BTC_USDT, client_id=placed.client_id))
            assert gone.kind is OutcomeKind.ACCEPTED
            again.await_status(placed.client_id, OrderStatus.CANCELED)
