"""Conditional orders, which some venues keep apart from the others, on every product: the switches find and end them too."""

from __future__ import annotations

import pytest

from connector import Side
from connector.domain.commands import CancelAll, OutcomeKind
from connector.domain.orders import OrderStatus, OrderType
from connector.venue.orders import ReleaseKillSwitch, ThrowKillSwitch


@pytest.fixture
def desk(product_desk):
    return product_desk


@pytest.mark.parametrize("command", [CancelAll(), ThrowKillSwitch()], ids=["cancel all", "kill switch"])
@pytest.mark.parametrize("kind", [OrderType.STOP_LIMIT, OrderType.STOP], ids=["limit", "market"])
def test_conditional_orders_are_cancelled_with_the_others(desk, command, kind):
    terms = {"price": desk.bid if kind is OrderType.STOP_LIMIT else None, "stop_price": desk.bid - desk.product.away}
    waiting = desk.place(type=kind, side=Side.SELL, **terms)
    assert waiting.kind is OutcomeKind.ACCEPTED, waiting
    resting = desk.place()
    outcomes = desk.venue.orders.ask(command, timeout=20.0)

    told = {each.client_id: each.kind for each in outcomes}
    for client_id in (waiting.client_id, resting.client_id):
        assert told[client_id] is OutcomeKind.ACCEPTED
        desk.await_status(client_id, OrderStatus.CANCELED)
    assert not desk.venue.open_orders()[0]
    desk.venue.orders.ask(ReleaseKillSwitch(), timeout=5.0)
