"""Positions, funding and what the venue forces, on every product that has them: the read model is the ledger, and all is told."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fault_harness import eventually

from connector import Side
from connector.domain.account import FundingPayment, PositionMode, PositionSide
from connector.domain.commands import CancelAll, OutcomeKind, SetPositionMode
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType
from connector.errors import Unsupported
from connector.orders.lifecycle import Alarm, AlarmKind


@pytest.fixture
def desk(contract_desk):
    """Flat, with nothing resting."""
    contract_desk.venue.orders.ask(CancelAll(), timeout=20.0)
    close(contract_desk)
    contract_desk.await_equal()
    return contract_desk


def close(desk):
    """Trade every position away."""
    for held in desk.sim.ledger.positions("main"):
        side = Side.SELL if held.quantity > 0 else Side.BUY
        whose = PositionSide(held.side)
        desk.place_market(str(abs(held.quantity)), side, position_side=whose)


def position(desk, side=PositionSide.NET):
    found = [each for each in desk.venue.positions()[0] if each.symbol == desk.symbol and each.side is side]
    return desk.product.amount(found[0]) if found else Decimal()


def told_since(desk, before, kind):
    return [each for each in list(desk.told)[before:] if isinstance(each, kind)]


def test_positions_grow_shrink_turn_round_and_close_as_the_ledger_says(desk):
    size = desk.product.size
    for side, amount, after in (
        (Side.BUY, size, size),
        (Side.BUY, size, 2 * size),
        (Side.SELL, size / 2, size * 3 / 2),
        (Side.SELL, 2 * size, -size / 2),
        (Side.BUY, size / 2, Decimal()),
    ):
        desk.place_market(str(amount), side)
        desk.await_equal()
        assert position(desk) == after


def test_order_that_may_only_reduce_never_turns_a_position_round(desk):
    desk.place_market()
    desk.await_equal()
    outcome = desk.place_market(str(3 * desk.product.size), Side.SELL, reduce_only=True)

    assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.REJECTED)
    desk.await_equal()
    assert position(desk) >= 0


@pytest.mark.parametrize("while_away", [False, True], ids=["live", "while the session is down"])
def test_funding_is_told_once_and_is_what_the_ledger_paid(desk, while_away):
    desk.place_market()
    desk.await_equal()
    before = len(desk.told)
    paid_before = len(desk.sim.ledger.incomes("main", "funding"))
    if while_away:
        desk.sim.faults.refuse_upgrade(for_s=0.3)
        desk.sim.faults.session_cut()
        eventually(lambda: not desk.is_up(), 5.0)
    # Another rate each time: some venues tell a payment apart only by its hour and amount.
    desk.sim.fund(desk.product.names[0], "0.002" if while_away else "0.001")
    paid = desk.sim.ledger.incomes("main", "funding")[paid_before:]
    assert len(paid) == 1

    eventually(
        lambda: told_since(desk, before, FundingPayment),
        20.0,
        lambda: f"{desk.venue.funding_payments()} {desk.doubts()}",
    )
    desk.await_equal()
    told = told_since(desk, before, FundingPayment)
    assert [(each.symbol, each.asset, each.amount) for each in told] == [
        (desk.symbol, paid[0].asset, paid[0].amount)
    ], "once, and exactly"
    payments, _ = desk.venue.funding_payments()
    assert sum(each.amount for each in payments) == sum(
        each.amount for each in desk.sim.ledger.incomes("main", "funding")
    )


@pytest.mark.parametrize("while_away", [False, True], ids=["live", "while the session is down"])
@pytest.mark.parametrize("what", ["liquidation", "deleveraging"])
def test_what_the_venue_forces_is_told_once_and_leaves_what_the_ledger_says(desk, what, while_away):
    desk.place_market()
    resting = desk.place().client_id
    desk.await_equal()
    before, name = len(desk.told), desk.product.names[0]
    if while_away:
        desk.sim.faults.refuse_upgrade(for_s=0.3)
        desk.sim.faults.session_cut()
        eventually(lambda: not desk.is_up(), 5.0)
    fills_before = len(desk.sim.ledger.fills("main"))
    if what == "liquidation":
        desk.sim.liquidate("main", name)
    else:
        desk.sim.adl("main", name, desk.product.size / 2)

    desk.await_equal()
    there = desk.sim.ledger.fills("main")[fills_before:]
    here = told_since(desk, before, Fill)
    assert sorted(map(desk.product.amount, here)) == sorted(each.quantity for each in there) != []
    assert {each.kind for each in here} == {FillKind(what)}
    assert len(told_since(desk, before, Alarm)) == len(here)
    assert {each.kind for each in told_since(desk, before, Alarm)} == {AlarmKind.FORCED}
    if what == "liquidation":
        assert position(desk) == 0
        desk.await_status(resting, OrderStatus.EXPIRED, OrderStatus.CANCELED)
    else:
        assert position(desk) == desk.product.size / 2
        assert desk.status(resting) is OrderStatus.NEW


def test_leverage_is_set_and_shown(desk):
    desk.venue.set_leverage(desk.symbol, 7)
    desk.place_market()
    desk.await_equal()

    assert desk.sim.ledger.positions("main")[0].leverage == 7
    desk.venue.reconcile()
    eventually(
        lambda: [each.leverage for each in desk.venue.positions()[0] if each.quantity] in ([7], [None]),
        10.0,
        lambda: f"{desk.venue.positions()}",
    )


def test_long_and_short_side_by_side_are_two_positions(desk):
    """Where the venue has them."""
    symbol = desk.symbol if desk.product.opaque else None  # a symbol's mode, or the whole account's
    mode = lambda which: desk.venue.orders.ask(SetPositionMode(mode=which, symbol=symbol), timeout=15.0)  # noqa: E731
    try:
        mode(PositionMode.HEDGE)
    except Unsupported:
        pytest.skip("this product has one position a symbol")
    try:
        desk.place_market(position_side=PositionSide.LONG)
        desk.place_market(str(desk.product.size / 2), Side.SELL, position_side=PositionSide.SHORT)
        desk.await_equal()
        assert position(desk, PositionSide.LONG) == desk.product.size
        assert position(desk, PositionSide.SHORT) == -desk.product.size / 2
        resting = desk.place(position_side=PositionSide.LONG, type=OrderType.LIMIT)
        assert resting.kind is OutcomeKind.ACCEPTED
        desk.venue.orders.ask(CancelAll(), timeout=20.0)
        close(desk)
        desk.await_equal()
    finally:
        mode(PositionMode.ONE_WAY)
