"""Sessions that do not take everything: what they refuse goes by REST, and what has no form to be sent is refused here."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, Run, connect

from connector import Side
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import OrderType
from connector.drivers.registry import find_driver
from connector.errors import InvalidRequest, Unsupported
from connector.testing.deterministic import DeterministicRuntime

SPOT = find_driver("binance")


class Picky:
    """Binance spot's session, which raises `refusal` for orders of an odd price, counting what it took."""

    def __init__(self, refusal):
        self.refusal, self.taken = refusal, []

    def __getattr__(self, name):
        return getattr(SPOT.session, name)

    def place(self, request_id, order, *rest):
        if order.price % 2:
            raise self.refusal
        self.taken.append(order.price)
        return SPOT.session.place(request_id, order, *rest)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("trouble", [0.0, 0.3])
def test_what_the_session_does_not_take_is_placed_by_rest(seed, trouble):
    session = Picky(Unsupported("by REST, please"))
    run = Run(seed, session=True, trouble=trouble, driver=replace(SPOT, session=session))

    assert run.differences() == [] and run.wrong_finals() == []
    placed = {int(order.price) % 2 for order in run.orders.values() if order.client_id in run.far.orders}
    assert placed == {0, 1} and session.taken
    assert all(price % 2 == 0 for price in session.taken)
    if not trouble:
        kinds = {outcome.kind for outcome in run.outcomes}  # a cancel of what was filled is rejected
        assert kinds <= {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED}


def test_an_order_that_has_no_form_for_the_session_is_refused_and_harms_no_other():
    session = Picky(InvalidRequest("no such price"))
    run = Run(1, session=True, trouble=0.0, driver=replace(SPOT, session=session))

    kinds = {outcome.kind for outcome in run.outcomes}
    assert OutcomeKind.REFUSED in kinds and OutcomeKind.UNKNOWN not in kinds
    assert run.differences() == []
    assert all(int(float(order["price"])) % 2 == 0 for order in run.far.orders.values())


class PickyAboutCancels:
    """Binance spot's session, which sends cancels only while `takes`."""

    takes = True

    def __getattr__(self, name):
        return getattr(SPOT.session, name)

    def cancel(self, *told):
        if not self.takes:
            raise Unsupported("by REST, please")
        return SPOT.session.cancel(*told)


def test_a_cancel_the_session_did_not_take_was_sent_once_and_its_refusal_by_rest_is_the_last_word():
    runtime, session = DeterministicRuntime(7), PickyAboutCancels()
    far = FarSide(runtime, random.Random(7))
    connector = connect(far, random.Random(7), session=True, driver=replace(SPOT, session=session))
    with connector:
        runtime.advance(10.0)
        orders = connector.venue("binance").orders

        def ask(command):
            asked = orders.ask(command, block=False, timeout=60.0)
            runtime.advance(3.0)
            return asked.get(timeout=0.0)

        def resting():
            order = PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))
            made = (ask(order).client_id for _ in range(40))
            return next(each for each in made if far.orders.get(each, {}).get("status") == "NEW")

        assert ask(CancelOrder(symbol=BTC, client_id=resting())).kind is OutcomeKind.ACCEPTED
        left, act = resting(), far.act
        session.takes = False
        refusal = 400, {"code": -1102, "msg": "Mandatory parameter was not sent."}
        far.act = lambda verb, path, query: refusal if verb == "DELETE" else act(verb, path, query)
        outcome = ask(CancelOrder(symbol=BTC, client_id=left))

        assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "-1102")
