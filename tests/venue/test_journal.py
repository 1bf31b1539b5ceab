"""Nothing leaves that is not written down: order, cancel and amend are durable before their first byte, or not sent at all.

And what is written down without an answer is asked about by whoever comes next, until the venue has spoken.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from far_side import BTC, FarSide, connect

from connector import Side
from connector.domain.commands import AmendOrder, CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import OrderStatus, OrderType
from connector.drivers.registry import find_driver
from connector.store import IntentRecord, MemoryStore, StoreFailed
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash

SPOT = find_driver("binance")


class Journal(MemoryStore):
    """Notes what had left for the venue when each intent was written; full when told to be."""

    def __init__(self):
        super().__init__()
        self.is_full, self.left, self.left_then = False, lambda: 0, []

    def append(self, records):
        if any(isinstance(record, IntentRecord) for record in records):
            if self.is_full:
                raise StoreFailed("the disk is full.")
            self.left_then.append(self.left())
        super().append(records)


class Bench:
    def __init__(self, session):
        self.runtime, self.journal = DeterministicRuntime(7), Journal()
        self.far = FarSide(self.runtime, random.Random(7))
        driver = SPOT if session else replace(SPOT, session=None)
        self.connector = connect(self.far, random.Random(7), session=session, driver=driver, store=self.journal)
        self.writes = 0
        pass_on = self.far.pass_on

        def noted(verb, path, query, reply, *, session):
            self.writes += verb != "GET"
            pass_on(verb, path, query, reply, session=session)

        self.far.pass_on = noted
        self.journal.left = self.left

    def left(self):
        """Frames that are not about the session itself, and requests by REST that write."""
        words = (b'"order.place"', b'"order.cancel"', b'"order.amend')
        return self.writes + sum(
            any(word in frame for word in words) for link in self.far.links.opened for frame in link.sent
        )

    def ask(self, command):
        return self.connector.venue("binance").orders.ask(command, timeout=10.0)


@pytest.fixture(params=[False, True], ids=["by REST", "over the session"])
def bench(request):
    bench = Bench(request.param)
    with bench.connector:
        bench.runtime.advance(10.0)
        yield bench


def order():
    return PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(2), price=Decimal(100))


def resting(bench):
    """The id of an order that is open at the venue."""
    for _ in range(20):
        outcome = bench.ask(order())
        bench.runtime.advance(1.0)
        if outcome.kind is OutcomeKind.ACCEPTED and bench.far.orders[outcome.client_id]["status"] == "NEW":
            return outcome.client_id
    raise AssertionError("no order of twenty rests")


def commands(client_id):
    return (
        order(),
        CancelOrder(symbol=BTC, client_id=client_id),
        AmendOrder(symbol=BTC, client_id=client_id, quantity=Decimal(1)),
    )


@pytest.mark.parametrize("number", range(3), ids=["order", "cancel", "amend"])
def test_what_cannot_be_journalled_is_not_sent(bench, number):
    command = commands(resting(bench))[number]
    bench.journal.is_full = True
    left, orders = bench.left(), dict(bench.far.orders)

    outcome = bench.ask(command)
    bench.runtime.advance(30.0)

    assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "StoreFailed")
    assert bench.left() == left and bench.far.orders == orders


@pytest.mark.parametrize("number", range(3), ids=["order", "cancel", "amend"])
def test_an_intent_is_in_the_journal_before_its_first_byte_leaves(bench, number):
    command = commands(resting(bench))[number]
    left, written = bench.left(), len(bench.journal.left_then)

    bench.ask(command)
    bench.runtime.advance(5.0)

    assert bench.journal.left_then[written:] == [left]
    assert bench.left() > left


def test_an_order_that_never_arrived_is_settled_though_the_actor_that_sent_it_is_gone(bench):
    happens = bench.far.what_happens
    bench.far.what_happens = lambda verb, session: "request lost"
    outcome = bench.ask(order())
    assert outcome.kind is OutcomeKind.UNKNOWN
    crash(bench.connector.venue("binance").orders)
    bench.far.what_happens = happens
    bench.runtime.advance(60.0)

    assert outcome.client_id not in bench.far.orders
    record = bench.journal.order(outcome.client_id)
    assert record.order.status is OrderStatus.REJECTED and record.verdict.never_arrived
    assert bench.connector.venue("binance").snapshot().counters["orders.resumed"] == 1


def test_an_order_without_an_intent_in_the_journal_is_never_touched(bench):
    ours = bench.journal.order(resting(bench))
    bench.far.another_program()
    theirs = next(iter(bench.far.external))
    order = msgspec.structs.replace(ours.order, client_id=theirs)
    bench.journal.append([msgspec.structs.replace(ours, intent=None, order=order)])
    left = bench.left()

    outcome = bench.ask(CancelOrder(symbol=BTC, client_id=theirs))
    bench.runtime.advance(5.0)

    assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "InvalidRequest")
    assert bench.left() == left and bench.far.touched == []
