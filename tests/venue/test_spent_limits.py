"""What stops after an order was refused by a limit: what the limit counts, and no more where the venue says so."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, connect

from connector import Side
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import OrderType
from connector.drivers.registry import find_driver
from connector.testing.deterministic import DeterministicRuntime

SPOT = find_driver("binance")
WAYS = pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])


class Limited:
    """Binance spot's trading, at a venue that counts some calls apart from the others."""

    def __init__(self, trading, codes):
        self._trading = trading
        self.rules = replace(trading.rules, call_limit_codes=frozenset(codes))

    def __getattr__(self, name):
        return getattr(self._trading, name)


class Bench:
    """One order that rests, and a far side that refuses the next with `refusal`."""

    def __init__(self, session, codes, refusal):
        self.runtime, self.requests = DeterministicRuntime(7, max_steps=50_000_000), []
        self.far = FarSide(self.runtime, random.Random(7))
        driver = replace(SPOT, trading=Limited(SPOT.trading, codes), **({} if session else {"session": None}))
        self.connector = connect(self.far, random.Random(7), session=session, driver=driver)
        self.refusal = refusal

    def __enter__(self):
        self.connector.start()
        self.runtime.advance(10.0)
        self.orders = self.connector.venue("binance").orders
        made = (self.ask(order()).client_id for _ in range(40))
        self.resting = next(each for each in made if self.far.orders.get(each, {}).get("status") == "NEW")
        act = self.far.act

        def refusing(verb, path, query):
            self.requests.append((verb, path))
            return self.refusal if (verb, path) == ("POST", "order") else act(verb, path, query)

        self.far.act = refusing
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def ask(self, command, within_s=2.0):
        asked = self.orders.ask(command, block=False, timeout=600.0)
        self.runtime.advance(within_s)
        return asked.get(timeout=0.0)

    def cancel(self, within_s):
        return self.ask(CancelOrder(symbol=BTC, client_id=self.resting), within_s)


def order():
    return PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))


TOO_MANY = 429, {"code": -1015, "msg": "Too many new orders."}


@WAYS
def test_a_cancel_does_not_wait_for_a_limit_that_counts_orders_only(session):
    with Bench(session, {"-1015"}, TOO_MANY) as bench:
        assert bench.ask(order(), 0.5).kind is OutcomeKind.REJECTED
        assert bench.cancel(0.5).kind is OutcomeKind.ACCEPTED
        assert bench.requests.count(("POST", "order")) == 1
        refused = bench.ask(order(), 10.0)
        assert refused.kind is OutcomeKind.REFUSED and bench.requests.count(("POST", "order")) == 1


@WAYS
def test_after_a_ban_nothing_is_sent_whichever_way_it_was_told(session):
    banned = 418, {"code": -1003, "msg": "Way too many requests; IP banned."}
    with Bench(session, (), banned) as bench:
        assert bench.ask(order(), 0.5).kind is OutcomeKind.REJECTED
        sent = len(bench.requests)
        assert bench.cancel(20.0).kind is OutcomeKind.REFUSED
        assert len(bench.requests) == sent
