"""Orders when something around them fails: a batch half way, a key without the right, a hook that hangs, a disk that is full."""

from __future__ import annotations

import threading

import pytest
from fault_harness import eventually

from connector.domain.commands import OutcomeKind, PlaceBatch
from connector.domain.orders import OrderStatus
from connector.store import SqliteStore

FULL = "PRAGMA query_only = ON"
ROOM = "PRAGMA query_only = OFF"


@pytest.mark.parametrize("lost", ["requests", "answers"])
def test_each_order_of_a_batch_that_is_half_lost_ends_as_the_venue_has_it(desk, lost):
    """F44: two of five never arrive, or five arrive and nobody says so."""
    if lost == "requests":
        desk.sim.faults.request_lost(count=2, only="order.place", how="silence")
    else:
        desk.sim.faults.events_lost(count=5, event=desk.product.order_event)
        desk.sim.faults.answer_lost(count=5, only="order.place", how="silence")
    outcomes = desk.venue.orders.ask(PlaceBatch(orders=tuple(desk.order() for _ in range(5))), timeout=20.0)

    ids = [outcome.client_id for outcome in outcomes]
    assert len(set(ids)) == 5
    assert all(outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN) for outcome in outcomes)
    for client_id in ids:
        desk.await_status(client_id, OrderStatus.NEW, OrderStatus.REJECTED)
        assert desk.is_at_venue(client_id) is (desk.status(client_id) is OrderStatus.NEW)
    assert sum(map(desk.is_at_venue, ids)) == (3 if lost == "requests" else 5)
    desk.await_equal()


def test_orders_of_a_key_without_the_right_are_rejected_and_nothing_else_is_concerned(desk):
    """F50: the right is taken away and given back."""
    resting = desk.place().client_id
    account = desk.sim.exchange.account("main")
    account.can_trade = False
    refused = desk.place()
    account.can_trade = True

    assert refused.kind is OutcomeKind.REJECTED and refused.code
    assert not desk.is_at_venue(refused.client_id)
    assert desk.status(resting) is OrderStatus.NEW
    assert desk.place().kind is OutcomeKind.ACCEPTED
    desk.await_equal()


@pytest.mark.parametrize("status", [401, 403])
def test_answers_of_an_address_or_key_that_is_not_accepted_make_nothing_final_that_is_not(desk, status):
    """F50."""
    desk.sim.faults.answer_error(status, -2015 if status == 401 else 0, done=False, count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is (OutcomeKind.REJECTED if status == 401 else OutcomeKind.UNKNOWN)
    desk.await_status(outcome.client_id, OrderStatus.REJECTED)
    assert not desk.is_at_venue(outcome.client_id)
    eventually(desk.is_taken, 20.0)
    desk.await_equal()


def test_a_hook_that_hangs_lets_nothing_pass_and_holds_nobody_up(desk_with):
    """F51: refused after a tenth of a second; the next order finds another thread for the hooks."""
    over, armed = threading.Event(), threading.Event()

    def hook(command, view):
        if armed.is_set():
            over.wait(30.0)

    try:
        with desk_with(risk_hooks=(hook,)) as desk:
            armed.set()
            before = len(desk.sim.ledger.orders("main"))
            for _ in range(3):
                refused = desk.place()
                assert refused.kind is OutcomeKind.REFUSED and "did not answer" in refused.reason
            assert desk.memory.counters.get("orders.risk_hooks_hung") == 3
            assert len(desk.sim.ledger.orders("main")) == before
            armed.clear()
            assert desk.place().kind is OutcomeKind.ACCEPTED
            desk.await_equal()
    finally:
        over.set()


def test_a_store_that_takes_nothing_stops_orders_and_neither_data_nor_what_is_open(desk_with, tmp_path):
    """F76: nothing is sent that is not written; fills of that time are found and told once there is room."""
    store = SqliteStore(tmp_path / "orders.sqlite")
    with desk_with(store=store) as desk:
        resting = desk.place().client_id
        ticks = desk.connector.subscribe(desk.product.exchange, "book_ticker", desk.symbol, capacity=10_000)
        store._database.execute(FULL)
        refused = desk.place()
        assert refused.kind is OutcomeKind.REFUSED and "nothing may be sent" in refused.reason
        before = len(desk.sim.ledger.orders("main"))
        desk.sim.fill("main", resting)
        delivered = ticks.delivered
        eventually(lambda: desk.sim.step(20) and ticks.delivered > delivered, 10.0)
        assert len(desk.sim.ledger.orders("main")) == before

        store._database.execute(ROOM)
        desk.venue.reconcile()
        desk.await_status(resting, OrderStatus.FILLED)
        assert [desk.product.amount(fill) for fill in desk.fills_told(resting)] == [desk.product.size]
        assert desk.place().kind is OutcomeKind.ACCEPTED
        desk.await_equal()
    store.close()
