"""Orders under faults, on one thread, by seed: nothing is ever called failed, filled or cancelled without the venue's word.

`far_side` keeps the truth; the long storm with every order fault is `make orders`.
"""

import os
import random
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, Judge, Run, connect, differences

from connector import Side
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.store import MemoryStore
from connector.testing.deterministic import DeterministicRuntime

SEEDS = range(int(os.environ.get("SEEDS", "10")))


@pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_lost_on_the_way_every_order_ends_as_the_venue_says(seed, session):
    run = Run(seed, session=session)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert set(run.far.orders) <= set(run.orders)
    assert sorted(fills) == sorted(str(fill["id"]) for fill in run.far.fills)
    assert not [order for order in run.orders.values() if order.status is OrderStatus.UNKNOWN]


@pytest.mark.parametrize("seed", SEEDS)
def test_actors_that_are_killed_on_the_way_lose_no_order_and_double_no_fill(seed):
    run = Run(seed, session=True, kills=True)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert len(fills) == len(set(fills))
    assert set(run.far.orders) <= set(run.orders)


def test_unknown_is_told_at_once_and_settled_later():
    run = Run(2, session=False, trouble=0.6)
    unknown = [outcome for outcome in run.outcomes if outcome.kind is OutcomeKind.UNKNOWN]

    assert unknown
    assert all(outcome.evidence for outcome in unknown)
    assert run.differences() == []


def test_without_trouble_nothing_is_ever_unknown():
    run = Run(1, session=True, trouble=0.0)

    assert {outcome.kind for outcome in run.outcomes} <= {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED}
    assert "orders.unknown" not in run.counters
    assert TimeInForce.GTC in {order.time_in_force for order in run.orders.values()}


class Still(FarSide):
    """An exchange of one mind: it does `ways` to requests that change something, one after the other, then nothing more."""

    def __init__(self, *ways):
        runtime = DeterministicRuntime(7)
        super().__init__(runtime, random.Random(7), mixed=True)
        self.ways = list(ways)

    def what_happens(self, verb, session):
        if self.is_out():
            return super().what_happens(verb, session)
        return self.ways.pop(0) if self.ways and verb != "GET" else ""

    def wait(self, venue, command, seconds=60.0):
        ask = venue.orders.ask(command, block=False, timeout=300.0)
        self.runtime.advance(seconds)
        return ask.get(timeout=0.0)


def an_order(**changes):
    fields = {"symbol": BTC, "side": Side.BUY, "type": OrderType.LIMIT, "quantity": Decimal(1), "price": Decimal(100)}
    return PlaceOrder(**{**fields, **changes})


@pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])
def test_an_answer_about_another_order_is_not_believed(session):
    """F49: two requests get each other's answers."""
    far = Still("", "answer of another")
    with connect(far, far.chance, session=session) as connector:
        venue = connector.venue("binance")
        far.runtime.advance(5.0)
        first = far.wait(venue, an_order())
        second = far.wait(venue, an_order(quantity=Decimal(3)))
        held = {order.client_id: order for order in venue.order_history()[0]}

    assert first.kind is OutcomeKind.ACCEPTED
    told_first = (
        {OutcomeKind.ACCEPTED} if session else set()
    )  # the private stream may tell of it before the answer comes
    assert second.kind in {OutcomeKind.UNKNOWN} | told_first
    assert second.order.quantity == 3
    assert held[second.client_id].quantity == 3
    assert differences(far, held) == []


def test_a_cancel_of_an_order_that_never_was_ends_and_later_ones_are_not_sent():
    far = Still("request lost", "request lost")
    with connect(far, far.chance, session=True) as connector:
        venue = connector.venue("binance")
        far.runtime.advance(5.0)
        placed = far.wait(venue, an_order(), 6.0)
        cancelled = far.wait(venue, CancelOrder(symbol=BTC, client_id=placed.client_id), 60.0)
        under_way = repr(venue.orders._actor_weakref())
        before = venue.snapshot().counters["orders.sent"]
        again = far.wait(venue, CancelOrder(symbol=BTC, client_id=placed.client_id))
        after = venue.snapshot().counters["orders.sent"]

    assert (placed.kind, cancelled.kind) == (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN)
    assert "under_way=0" in under_way
    assert (again.kind, after) == (OutcomeKind.REFUSED, before)


def test_order_found_in_the_journal_is_asked_for_though_the_engine_cancels_it_first():
    far, store = Still("request lost"), MemoryStore()
    with connect(far, far.chance, session=True, store=store) as connector:
        far.runtime.advance(5.0)
        connector.venue("binance").orders.ask(an_order(), block=False, timeout=300.0)
        far.runtime.advance(1.0)
    with connect(far, far.chance, session=True, store=store) as connector:
        venue = connector.venue("binance")
        far.runtime.run_while(lambda: venue.snapshot().instruments == 0, 10.0)
        cancel = CancelOrder(symbol=BTC, client_id=store.open_orders()[0].client_id)
        venue.orders.ask(cancel, block=False, timeout=300.0)
        far.runtime.advance(60.0)
        statuses = [order.status for order in venue.order_history()[0]]

    assert statuses == [OrderStatus.REJECTED]


@pytest.mark.parametrize("lasts_s", [40.0, 47.0, 63.0, 120.5])
def test_however_many_questions_waited_for_a_venue_that_was_gone_all_is_settled_ten_seconds_after_its_return(lasts_s):
    far = Still(*["request lost"] * 8)
    judge = Judge(far)
    with connect(far, far.chance, session=True) as connector:
        venue = connector.venue("binance")
        venue.orders_stream(judge.hear)
        far.runtime.advance(5.0)
        for _ in range(8):
            venue.orders.ask(an_order(), block=False, timeout=300.0)
        far.runtime.advance(1.0)
        far.begin_outage(lasts_s, "dark")
        far.runtime.advance(lasts_s)
        before = [order.status for order in venue.order_history()[0]]
        far.runtime.advance(10.0)
        after = [order.status for order in venue.order_history()[0]]

    assert before == [OrderStatus.UNKNOWN] * 8
    assert after == [OrderStatus.REJECTED] * 8


def test_the_secret_is_in_no_outcome_event_or_explanation():
    run = Run(3, session=True, kills=True)

    assert "canary-secret" not in repr((run.outcomes, run.events, run.explained, run.counters))
