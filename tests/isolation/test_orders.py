"""Orders of a venue in a process of its own: none is lost or doubled, nothing untrue is told, whatever becomes of the process."""

from __future__ import annotations

import signal
import threading
from decimal import Decimal
from typing import Any

import pykka
import pytest
from conftest_isolation import Apart, apart, harness, kill_nine

from connector import Side, Symbol
from connector.domain.commands import OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.errors import ConnectorError
from connector.simulator import AccountSettings
from connector.supervision import Restarted

eventually = harness.eventually
BTC_USDT = Symbol("BTC", "USDT")
KEY, SECRET = "apart0000001", "a secret of an account apart"
ROOMY = {
    "symbols": ("BTCUSDT",),
    "events_per_s": 0,
    "accounts": (AccountSettings("main", KEY, SECRET, balances={"BTC": 100, "USDT": 10_000_000}),),
    "orders_per_10s": 100_000,
    "request_weight_per_minute": 1_000_000,
}


class Account:
    """An engine's side of one account, and the truth about it."""

    def __init__(self, rig: Apart) -> None:
        self.rig, self.venue = rig, rig.venue
        self.told: list[Any] = []
        self.venue.orders_stream(callback=self.told.append)
        ticker = self.venue.book_tickers(BTC_USDT, timeout_s=20.0)[0]
        self.bid = ticker.bid
        eventually(lambda: not self.venue.open_orders()[1].stale, 20.0, "the account was never compared")

    def order(self, **changes: Any) -> PlaceOrder:
        fields = {"side": Side.BUY, "type": OrderType.LIMIT, "price": self.bid - Decimal(500)} | changes
        return PlaceOrder(symbol=BTC_USDT, quantity=Decimal("0.010"), **fields)

    def market(self) -> PlaceOrder:
        return self.order(type=OrderType.MARKET, price=None)

    def place(self, order: PlaceOrder) -> Any:
        return self.venue.orders.ask(order, timeout=20.0)

    def ledger(self) -> Any:
        return kill_nine.Ledger.of(self.rig.sim)

    def wrong(self) -> dict[str, int]:
        return dict(+kill_nine.compare(kill_nine.known_of(self.venue), self.ledger()))

    def await_equal(self, within_s: float = 60.0) -> None:
        """Wait until the account is beyond doubt and as the ledger says; then judge everything that was ever told."""

        def is_equal() -> bool:
            try:
                return not self.venue.open_orders()[1].stale and not self.wrong()
            except (pykka.ActorDeadError, pykka.Timeout, ConnectorError):
                return False

        eventually(is_equal, within_s, lambda: f"{self.venue.open_orders()} {self.wrong()}")
        assert not +kill_nine.untrue(self.notes(), self.ledger()), +kill_nine.untrue(self.notes(), self.ledger())

    def notes(self) -> list[dict[str, Any]]:
        """Every fill and order that was told, in the judge's words."""
        notes: list[dict[str, Any]] = []
        recorder = kill_nine.Told(notes.append)
        for event in list(self.told):
            if isinstance(event, Fill | Order):
                recorder.event(event)
        return notes

    def fills_told(self) -> set[str]:
        return {note["trade"] for note in self.notes() if note["what"] == "fill"}


def account_of(tmp_path: Any, **venue: Any) -> Any:
    return apart(ROOMY, credentials=Credentials(KEY, secret=SECRET), store=tmp_path / "orders.db", **venue)


def test_orders_fills_and_the_read_model_are_those_of_the_venue_also_of_a_time_without_a_process(tmp_path):
    with account_of(tmp_path) as rig:
        account = Account(rig)
        resting, filled = account.place(account.order()), account.place(account.market())

        assert resting.kind is OutcomeKind.ACCEPTED and filled.kind is OutcomeKind.ACCEPTED
        eventually(lambda: account.fills_told() == set(account.ledger().fills), 10.0)
        account.await_equal()
        assert account.venue.order(filled.client_id)[0].status is OrderStatus.FILLED
        assert account.venue.explain(resting.client_id)[0]
        assert account.venue.orders.proxy().actor_urn.get(timeout=10.0) != account.venue.orders.actor_urn

        pid = rig.signal(signal.SIGSTOP)
        rig.sim.fill("main", resting.client_id)
        rig.signal(signal.SIGKILL)
        eventually(lambda: rig.bridge.is_up and rig.bridge.pid != pid, 20.0)
        account.await_equal()
        assert account.fills_told() == set(account.ledger().fills) and len(account.fills_told()) >= 2


def test_a_process_killed_while_orders_are_in_flight_loses_none_and_doubles_none(tmp_path):
    with account_of(tmp_path) as rig:
        account = Account(rig)
        ends: list[Any] = []
        done = threading.Event()

        def trade(number: int) -> None:
            while not done.is_set():
                try:
                    ends.append(account.place(account.market() if number % 2 else account.order()))
                except (pykka.ActorDeadError, pykka.Timeout) as unknown:
                    ends.append(unknown)

        threads = [threading.Thread(target=trade, args=(number,), name=f"engine-{number}") for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for wanted in (8, 30):
                eventually(lambda wanted=wanted: len(ends) > wanted, 20.0)
                rig.kill_process()
            eventually(lambda: len(ends) > 60, 20.0)
        finally:
            done.set()
            for thread in threads:
                thread.join(30.0)

        account.await_equal()
        eventually(lambda: account.fills_told() == set(account.ledger().fills), 10.0, lambda: "a fill was not told")
        assert any(isinstance(end, Restarted) for end in ends)
        assert rig.bridge.lives == 3
        answered = [end for end in ends if not isinstance(end, Exception)]
        assert len({end.client_id for end in answered}) == len(answered)
        assert len(account.ledger().orders) >= len([end for end in answered if end.kind is OutcomeKind.ACCEPTED])


def test_an_order_event_callback_that_does_not_return_is_taken_off_alone(tmp_path):
    hang = threading.Event()
    with account_of(tmp_path, hung_s=2.0) as rig:
        account = Account(rig)
        bad = rig.venue.orders_stream(callback=lambda event: hang.wait(60.0))
        try:
            assert account.place(account.market()).kind is OutcomeKind.ACCEPTED
            eventually(lambda: bad.is_closed, 15.0)
            assert account.place(account.market()).kind is OutcomeKind.ACCEPTED
            eventually(lambda: account.fills_told() == set(account.ledger().fills), 10.0)
            assert rig.bridge.lives == 1
        finally:
            hang.set()


def test_a_store_that_cannot_be_opened_is_told_to_whoever_asks(tmp_path):
    from connector.store.contract import StoreFailed

    venue = {"credentials": Credentials(KEY, secret=SECRET), "store": tmp_path / "no" / "folder.db"}
    with apart(ROOMY, **venue) as rig, pytest.raises(StoreFailed, match=r"folder\.db"):
        rig.venue.orders.ask("anything", timeout=20.0)
