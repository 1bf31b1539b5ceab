"""Amends of quantity and price through the order actor (F43): done when the venue reports all that was wanted, and unknown
until then."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, connect

from connector import Side
from connector.domain.commands import AmendOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import OrderType
from connector.drivers.registry import find_driver
from connector.orders.risk import MaxOrderValue
from connector.testing.deterministic import DeterministicRuntime

SPOT = find_driver("binance")
BUSY = 503, {"code": -1000, "msg": "busy"}
d = Decimal


class Amending:
    """Binance spot's trading at a venue that amends prices too."""

    def __init__(self, trading, amends=("quantity down", "quantity up", "price")):
        self._trading = trading
        self.rules = replace(trading.rules, amends=frozenset(amends))

    def __getattr__(self, name):
        return getattr(self._trading, name)

    def amend(self, order, current, instrument, auth, now_ms):
        plain = AmendOrder(symbol=order.symbol, client_id=order.client_id, quantity=order.quantity or current.quantity)
        request = self._trading.amend(plain, current, instrument, auth, now_ms)
        return request if order.price is None else replace(request, query=f"{request.query}&newPrice={order.price}")


class FarAmender(FarSide):
    """It does what it is asked, unless told otherwise, and then answers, or does not."""

    takes_amends, answers_amends = True, True

    def amend(self, order, query):
        if self.takes_amends:
            order["origQty"], order["price"] = query["newQty"], query.get("newPrice", order["price"])
            order["updateTime"] = self.now_ms()
            self.tell(order, "REPLACED")
        if not self.answers_amends:
            return BUSY
        names = ("symbol", "orderId", "orderListId", "clientOrderId", "price", "executedQty", "status", "timeInForce")
        changed = {name: order[name] for name in (*names, "type", "side", "workingTime")}
        changed |= {"qty": order["origQty"], "cumulativeQuoteQty": order["cummulativeQuoteQty"]}
        return 200, {"transactTime": self.now_ms(), "executionId": self.version, "amendedOrder": changed}


class Bench:
    """One connector over the far side, by REST."""

    def __init__(self, driver=None, **account):
        self.runtime = DeterministicRuntime(7)
        chance = random.Random(7)
        self.far = FarAmender(self.runtime, chance)
        self.far.mixed = False
        driver = driver or replace(SPOT, trading=Amending(SPOT.trading), session=None)
        self.connector = connect(self.far, chance, session=False, driver=driver, **account)

    def __enter__(self):
        self.connector.start()
        self.venue = self.connector.venue("binance")
        self.runtime.advance(5.0)
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def ask(self, command, within_s=2.0):
        asked = self.venue.orders.ask(command, block=False, timeout=600.0)
        self.runtime.advance(within_s)
        return asked.get(timeout=0.0)

    def rest(self):
        """An order that is open and of which nothing is filled."""
        for _ in range(40):
            placed = self.ask(PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=d(2), price=d(100)))
            found = self.far.orders[placed.client_id]
            if found["status"] == "NEW":
                return placed.client_id
        raise AssertionError("every order was filled at once")


@pytest.mark.parametrize(
    ("changes", "quantity", "price"),
    [
        ({"price": d(101)}, 2, 101),
        ({"quantity": d(1)}, 1, 100),
        ({"quantity": d(3), "price": d(99)}, 3, 99),
    ],
)
def test_an_amend_is_accepted_with_the_order_as_the_venue_has_it_then(changes, quantity, price):
    with Bench() as bench:
        client_id = bench.rest()
        outcome = bench.ask(AmendOrder(symbol=BTC, client_id=client_id, **changes))
        assert outcome.kind is OutcomeKind.ACCEPTED
        assert (outcome.order.quantity, outcome.order.price) == (quantity, price)


def test_an_amend_whose_answer_is_lost_is_done_when_the_venue_shows_price_and_quantity():
    with Bench() as bench:
        client_id = bench.rest()
        bench.far.answers_amends = False
        outcome = bench.ask(AmendOrder(symbol=BTC, client_id=client_id, quantity=d(1), price=d(101)), 5.0)
        assert outcome.kind is OutcomeKind.UNKNOWN
        bench.runtime.advance(60.0)
        order, _ = bench.venue.order(client_id)
        assert (order.quantity, order.price) == (1, 101)
        assert any(line.text.startswith("seen") for line in bench.venue.explain(client_id)[0])
        assert bench.venue.snapshot().counters["orders.accepted"] == len(bench.far.orders) + 1, (
            "the amend too, in the end"
        )


def test_an_amend_that_did_not_arrive_is_proven_so_and_the_order_stays_as_it_was():
    with Bench() as bench:
        client_id = bench.rest()
        bench.far.takes_amends = bench.far.answers_amends = False
        asked = bench.venue.orders.ask(
            AmendOrder(symbol=BTC, client_id=client_id, price=d(101)), block=False, timeout=600.0
        )
        bench.runtime.advance(60.0)
        assert asked.get(timeout=0.0).kind is OutcomeKind.UNKNOWN
        bench.runtime.advance(60.0)
        order, _ = bench.venue.order(client_id)
        assert (order.quantity, order.price) == (2, 100)
        assert bench.venue.snapshot().counters["orders.rejected"] == 1, "proven never to have arrived"


def test_what_the_venue_cannot_amend_is_refused_before_anything_is_sent():
    with Bench(replace(SPOT, session=None)) as bench:
        client_id = bench.rest()
        for changes in ({"price": d(101)}, {"quantity": d(3)}):
            outcome = bench.ask(AmendOrder(symbol=BTC, client_id=client_id, **changes))
            assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "Unsupported")
            assert "it can change: quantity down" in outcome.reason
        assert len(bench.venue.open_orders()[0]) >= 1
        assert bench.far.amended == set()


def test_hooks_judge_the_amended_price():
    with Bench(risk_hooks=(MaxOrderValue({"USDT": d(200)}),)) as bench:
        client_id = bench.rest()
        assert bench.ask(AmendOrder(symbol=BTC, client_id=client_id, price=d(101))).code == "max_order_value"
        assert bench.ask(AmendOrder(symbol=BTC, client_id=client_id, price=d(99))).kind is OutcomeKind.ACCEPTED


def test_an_amend_of_the_price_alone_does_not_take_back_the_quantity_of_the_one_before():
    """Some venues want both each time: what is to stay is what the last amend made it, whether or not others know by now."""
    with Bench() as bench:
        client_id = bench.rest()
        memory = bench.connector._assembly.memories["binance"]
        stored = memory.trading.store.order(client_id)
        assert bench.ask(AmendOrder(symbol=BTC, client_id=client_id, quantity=d(1))).kind is OutcomeKind.ACCEPTED
        read = memory.trading.store.order
        memory.trading.store.order = lambda name: (
            stored if name == client_id else read(name)
        )  # the state actor is behind
        assert bench.ask(AmendOrder(symbol=BTC, client_id=client_id, price=d(101))).kind is OutcomeKind.ACCEPTED

        assert (d(bench.far.orders[client_id]["origQty"]), d(bench.far.orders[client_id]["price"])) == (1, 101)


def test_an_amend_that_leaves_what_another_is_changing_at_this_moment_is_refused():
    with Bench() as bench:
        client_id = bench.rest()
        first = bench.venue.orders.ask(AmendOrder(symbol=BTC, client_id=client_id, quantity=d(1)), block=False)
        refused = bench.ask(AmendOrder(symbol=BTC, client_id=client_id, price=d(101)))
        assert refused.kind is OutcomeKind.REFUSED and "another amend on its way" in refused.reason
        assert first.get(timeout=0.0).kind is OutcomeKind.ACCEPTED

        assert (d(bench.far.orders[client_id]["origQty"]), d(bench.far.orders[client_id]["price"])) == (1, 100)
        assert bench.ask(AmendOrder(symbol=BTC, client_id=client_id, price=d(101))).kind is OutcomeKind.ACCEPTED
