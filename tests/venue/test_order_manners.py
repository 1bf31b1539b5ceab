"""Venues that answer orders in another manner: with receipts only, with the account's events on a connection of their own, and
with a key in that connection's address. The storms of `test_orders_deterministic` on such a venue, and what is particular to it.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from decimal import Decimal

import far_side
import pytest
from far_side import BTC, FarSide, Run, connect
from msgspec.structs import replace as replace_struct

from connector import Side
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.orders import Fill, OrderStatus, OrderType
from connector.domain.wire import HttpRequest
from connector.drivers.registry import find_driver
from connector.drivers.trading import CancelAnswer, KeyRule, PlaceAnswer
from connector.errors import NotConnected
from connector.testing.deterministic import DeterministicRuntime

PLACE = PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))
SEEDS = range(int(os.environ.get("SEEDS", "8")))
SPOT = find_driver("binance")
RENEW_S = 1800.0
STREAM_ENDED = {"e": "eventStreamTerminated", "E": 1767225600000}


class Receipts:
    """Binance spot's trading, but answers say only that a request was received."""

    def __init__(self, trading):
        self._trading = trading
        self.rules = replace(trading.rules, ack_is_receipt=True)

    def __getattr__(self, name):
        return getattr(self._trading, name)

    def read_placed(self, response, order, instrument):
        told = self._trading.read_placed(response, order, instrument)
        return PlaceAnswer(None, (), told.report.venue_id)

    def read_cancelled(self, response, instrument, client_id=None):
        self._trading.read_cancelled(response, instrument, client_id)
        return CancelAnswer(None)

    def read_amended(self, response, instrument):
        self._trading.read_amended(response, instrument)


class OrdersOnly:
    """A session that takes orders and tells nothing else."""

    key = None

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def opening(self):
        return ()

    def probe(self, request_id):
        return None


def _read_key(response):
    refused = SPOT.trading.failure(response, write=False)
    if refused is not None:
        raise refused
    return json.loads(response.body)["listenKey"]


class EventsOnly:
    """A connection that brings the account's events, at an address with a key in it."""

    max_age_s, rollover_before_s = 86_400.0, 1_800.0
    key = KeyRule(
        open=lambda auth: HttpRequest("POST", "/api/v3/userDataStream", safe=True),
        read=_read_key,
        renew=lambda key, auth: HttpRequest("PUT", "/api/v3/userDataStream", f"listenKey={key}", safe=True),
        renew_every_s=RENEW_S,
    )

    def __init__(self, session):
        self._session = session

    def url(self, hosts, key=""):
        return f"{hosts.events_root}/private/{key}"

    def opening(self):
        return self._session.opening()

    def probe(self, request_id):
        return self._session.probe(request_id)

    def read(self, frame, received_ns, instruments):
        return self._session.read(frame, received_ns, instruments)


OTHER = replace(SPOT, trading=Receipts(SPOT.trading), session=OrdersOnly(SPOT.session), events=EventsOnly(SPOT.session))


@pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])
@pytest.mark.parametrize("seed", SEEDS)
def test_where_answers_are_receipts_every_order_still_ends_as_the_venue_says(seed, session):
    run = Run(seed, session=session, driver=OTHER)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert set(run.far.orders) <= set(run.orders)
    assert sorted(fills) == sorted(str(fill["id"]) for fill in run.far.fills)
    assert not [order for order in run.orders.values() if order.status is OrderStatus.UNKNOWN]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_actors_lose_no_order_there_and_double_no_fill(seed):
    run = Run(seed, session=True, kills=True, driver=OTHER)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert len(fills) == len(set(fills))


def test_without_trouble_a_receipt_is_followed_by_the_venues_word_and_nothing_is_called_unknown():
    run = Run(1, session=True, trouble=0.0, driver=OTHER)

    assert {outcome.kind for outcome in run.outcomes} <= {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED}
    assert "orders.unknown" not in run.counters


def order():
    return PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(100))


class Bench:
    """A connector on a far side that does no harm unless told to."""

    def __init__(self, driver=OTHER):
        self.runtime = DeterministicRuntime(5, max_steps=50_000_000)
        self.far = FarSide(self.runtime, random.Random(5))
        options = {"clock_sync_s": 3600.0, "idle_timeout_s": 7200.0, "ping_every_s": None}
        self.connector = connect(self.far, random.Random(5), session=True, driver=driver, **options)
        self.venue = self.connector.venue("binance")

    def ask(self, command, seconds):
        ask = self.venue.orders.ask(command, block=False, timeout=300.0)
        self.runtime.advance(seconds)
        return ask.get(timeout=0.0)

    def place(self, seconds=5.0):
        return self.ask(order(), seconds)

    def counter(self, name):
        return self.venue.snapshot().counters.get(name, 0)

    @property
    def private_urls(self):
        return [link.settings.url for link in self.far.links.live if "/private/" in link.settings.url]


@pytest.fixture
def bench():
    bench = Bench()
    with bench.connector:
        bench.runtime.advance(10.0)
        yield bench


def test_events_and_orders_have_a_connection_each_and_both_are_up(bench):
    trading = bench.venue._memory.trading

    assert bench.private_urls == ["wss://far.test/private/key1"]
    assert (trading.session.is_up, trading.is_followed) == (True, True)
    assert not bench.venue.balances()[1].stale


def test_what_happened_while_nobody_listened_is_asked_for_as_soon_as_the_events_connection_is_back(bench):
    placed = (bench.place() for _ in range(50))
    name = next(each.client_id for each in placed if bench.far.orders.get(each.client_id, {}).get("status") == "NEW")
    server, connects = bench.far.links.server, bench.far.links.on_connect
    bench.far.links.on_connect = lambda link: server.fail(link) if "/private/" in link.settings.url else connects(link)
    server.cut(next(link for link in bench.far.links.live if "/private/" in link.settings.url))
    bench.runtime.advance(60.0)
    bench.far.end(bench.far.orders[name], "CANCELED")
    bench.far.links.on_connect = connects
    while not bench.venue._memory.trading.is_followed:
        bench.runtime.advance(0.1)
    compared = bench.counter("account.questions")
    bench.runtime.advance(6.0)

    assert bench.counter("account.questions") > compared
    assert bench.venue.order(name)[0].status is OrderStatus.CANCELED
    assert not bench.venue.balances()[1].stale


def test_a_receipt_of_which_no_event_comes_is_settled_by_a_question(bench):
    bench.far.stream = lambda event: None
    outcome = bench.place(20.0)

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert bench.counter("orders.receipts") == 1
    assert bench.counter("orders.questions") == 1
    assert bench.counter("orders.unknown") == 0


def test_an_order_that_was_received_and_then_lost_is_told_unknown_and_proven_never_to_have_arrived(bench):
    bench.far.stream = lambda event: None
    ask = bench.venue.orders.ask(order(), block=False, timeout=300.0)
    bench.runtime.advance(0.5)
    bench.far.orders.clear()
    bench.runtime.advance(4.0)
    assert ask.get(timeout=0.0).kind is OutcomeKind.UNKNOWN

    bench.runtime.advance(60.0)
    (left,) = bench.venue.order_history()[0]
    assert left.status is OrderStatus.REJECTED


def test_a_cancel_that_was_only_received_is_done_when_the_venue_says_so(bench):
    placed = bench.place()
    assert bench.ask(CancelOrder(symbol=BTC, client_id=placed.client_id), 5.0).kind is OutcomeKind.ACCEPTED
    assert bench.venue.order(placed.client_id)[0].status is OrderStatus.CANCELED


def test_a_key_is_renewed_at_half_its_life_for_as_long_as_the_connection_lives(bench):
    """F61."""
    bench.runtime.advance(3 * RENEW_S + 60.0)

    assert [key for _, key in bench.far.renewed] == ["key1"] * 3
    assert bench.counter("session.key_renewals") == 3
    assert bench.counter("session.connections_lost") == 0


def test_a_key_that_is_gone_is_replaced_beside_the_old_connection_and_the_account_compared(bench):
    """F61: somebody else deleted it."""
    compared = bench.counter("account.reconciliations")
    bench.far.dead_keys.add("key1")
    bench.runtime.advance(RENEW_S + 30.0)

    assert bench.private_urls == ["wss://far.test/private/key2"]
    assert bench.counter("session.keys_lost") == 1
    assert bench.counter("session.rollovers") == 1
    assert bench.counter("account.reconciliations") > compared
    assert not bench.venue.balances()[1].stale


def test_a_key_whose_renewal_is_not_answered_is_renewed_again_soon_and_kept(bench):
    """F61."""
    answer, failed = bench.far.key, []

    def fail_once(verb, query):
        if failed:
            return answer(verb, query)
        failed.append(verb)
        return 503, {"code": -1000, "msg": "busy"}

    bench.far.key = fail_once
    bench.runtime.advance(RENEW_S + 20.0)

    assert failed == ["PUT"]
    assert [key for _, key in bench.far.renewed] == ["key1"]
    assert bench.counter("session.keys_lost") == 0


def test_an_order_connection_that_ends_makes_orders_go_by_rest_and_nobody_doubt_the_account(bench):
    doubts = bench.counter("account.doubts")
    bench.far.links.server.cut(link=next(link for link in bench.far.links.live if "ws-api" in link.settings.url))
    outcome = bench.place()

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert bench.counter("account.doubts") == doubts


def test_a_key_that_expired_is_replaced_though_the_first_questions_for_another_fail(bench):
    """F61: the venue may leave the connection open, and nothing comes by it any more."""
    answer, ended = bench.far.key, bench.far.links.live

    def fail(verb, query):
        return 503, {"code": -1000, "msg": "busy"}

    bench.far.key = fail
    private = next(link for link in ended if "/private/" in link.settings.url)
    bench.far.links.server.send(json.dumps(STREAM_ENDED).encode(), link=private)
    bench.runtime.advance(30.0)
    assert bench.venue.balances()[1].stale, "no events come"

    bench.far.key = answer
    bench.runtime.advance(60.0)
    assert "wss://far.test/private/key2" in bench.private_urls
    assert not bench.venue.balances()[1].stale


class Restarting:
    """Binance spot's trading, but for one code more: what answered is going away and did nothing."""

    def __init__(self, trading):
        self._trading = trading

    def __getattr__(self, name):
        return getattr(self._trading, name)

    def failure(self, response, *, write):
        if b"-9999" in response.body:
            return NotConnected("this connection is used up", code="-9999")
        return self._trading.failure(response, write=write)


def test_a_cancel_that_a_session_on_its_way_out_refuses_goes_by_rest():
    bench = Bench(replace(SPOT, trading=Restarting(SPOT.trading)))
    with bench.connector:
        bench.runtime.advance(10.0)
        placed = next(each for _ in range(40) if bench.far.orders[(each := bench.place()).client_id]["status"] == "NEW")
        pass_on = bench.far.pass_on

        def refuse(verb, path, query, reply, session):
            if session and path == "order":
                reply(400, {"code": -9999, "msg": "restarting"})
            else:
                pass_on(verb, path, query, reply, session=session)

        bench.far.pass_on = refuse
        outcome = bench.ask(CancelOrder(symbol=BTC, client_id=placed.client_id), 5.0)

        assert outcome.kind is OutcomeKind.ACCEPTED
        assert bench.far.orders[placed.client_id]["status"] == "CANCELED"


def test_a_session_on_its_way_out_gets_one_request_at_most_and_a_successor_takes_over():
    bench = Bench(replace(SPOT, trading=Restarting(SPOT.trading)))
    with bench.connector:
        bench.runtime.advance(10.0)
        first = next(link for link in bench.far.links.live if "ws-api" in link.settings.url)
        pass_on, refused = bench.far.pass_on, []

        def refuse(verb, path, query, reply, session):
            if session and path == "order" and len(bench.far.links.opened) == opened:
                refused.append(query)
                reply(400, {"code": -9999, "msg": "restarting"})
            else:
                pass_on(verb, path, query, reply, session=session)

        opened = len(bench.far.links.opened)
        bench.far.pass_on = refuse
        assert bench.place(0.2).kind is OutcomeKind.REJECTED, "an order is not sent a second time"
        assert bench.place(0.5).kind is OutcomeKind.ACCEPTED, "the next goes by REST"
        bench.runtime.advance(5.0)

        assert len(refused) == 1
        assert first not in bench.far.links.live
        assert bench.venue._memory.trading.session.is_up


class ReceiptsForCancels:
    """Binance spot's trading, but cancels are answered by a receipt, as those of conditional orders are elsewhere."""

    def __init__(self, trading):
        self._trading = trading

    def __getattr__(self, name):
        return getattr(self._trading, name)

    def read_cancelled(self, response, instrument, client_id=None):
        self._trading.read_cancelled(response, instrument, client_id)
        return CancelAnswer(None)


def test_a_receipt_for_a_cancel_alone_is_worth_a_moments_patience_too():
    bench = Bench(replace(SPOT, trading=ReceiptsForCancels(SPOT.trading)))
    with bench.connector:
        bench.runtime.advance(10.0)
        placed = next(each for _ in range(40) if bench.far.orders[(each := bench.place()).client_id]["status"] == "NEW")
        bench.far.stream = lambda event: None
        outcome = bench.ask(CancelOrder(symbol=BTC, client_id=placed.client_id), 5.0)

        assert outcome.kind is OutcomeKind.ACCEPTED
        assert bench.counter("orders.unknown") == 0


# ---------------------------------------------------------------- what orders are charged


def test_an_order_after_one_that_only_tested_is_charged_as_an_order(monkeypatch):
    monkeypatch.setitem(far_side.METHODS, "order.test", ("POST", "order"))
    runtime = DeterministicRuntime(0)
    far = FarSide(runtime, random.Random(0))
    with connect(far, random.Random(0), session=True) as connector:
        venue = connector.venue("binance")
        runtime.advance(5.0)
        ledger = connector._assembly.memories["binance"].ledger
        for tests in (True, False, True, False, False):
            order = replace_struct(PLACE, test=tests)
            assert venue.orders.ask(order, block=False, timeout=9.0) is not None
            runtime.advance(0.01)
        used = {budget.name: budget.used for budget in ledger.state().budgets}
        assert used["ORDERS/10s"] == 3
