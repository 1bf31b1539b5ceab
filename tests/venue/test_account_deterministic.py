"""The account of a whole venue under a seeded scheduler: events lost, doubled, late and out of order, sessions cut, answers late
or refused, actors killed. After calm the read model equals the far side's ledger, and every fill was delivered once.
"""

import os
import random
from contextlib import suppress
from decimal import Decimal

import pytest
from account_far_side import BTC, ETH, NAME, SYMBOLS, FarSide

from connector import Connector, ConnectorSettings
from connector.domain.commands import PlaceOrder
from connector.domain.facts import BalanceChange
from connector.domain.market import Side
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.errors import NotConnected
from connector.orders.lifecycle import Alarm, AlarmKind, IntentRecord
from connector.store import MemoryStore, MetaRecord, StoreFailed
from connector.store.sqlite import SqliteStore
from connector.supervision import Backoff, Intensity
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.venue import account
from connector.venue.account_side import CompareAccount
from connector.venue.messages import Intended
from connector.venue.orders import OrderCommandActor
from connector.venue.session import AccountDoubt, AccountFacts

SEEDS = range(int(os.environ.get("SEEDS", "12")))


class Run:
    """One process: a connector over a far side, with helpers of an engine that places orders."""

    def __init__(self, seed=0, far=None, runtime=None, store=None, trading=True):
        self.chance = random.Random(seed)
        self.runtime = runtime or DeterministicRuntime(seed)
        self.far = far or FarSide(self.runtime, self.chance)
        self.store = store or MemoryStore()
        settings = ConnectorSettings(
            (self.far.settings(self.store),),
            restart=Backoff(reset_after_s=0.5),
            restart_limit=Intensity(max_restarts=10_000, within_s=60.0),
        )
        self.connector = Connector(settings, clock=self.runtime.clock, parts=self.far.parts(), runtime=self.runtime)
        self.number = 0

    def __enter__(self):
        self.connector.start()
        self.far.attach(self.connector)
        self.venue = self.connector.venue(NAME)
        self.events = self.venue.orders_stream()
        self.memory = self.far.memory
        self.runtime.advance(2.0)
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def intend(self, symbol=BTC, side=Side.BUY, quantity="1", prefix="cn"):
        """What the order actor does before it sends."""
        self.number += 1
        client_id = f"{prefix}{self.runtime.seed}x{self.number}"
        command = PlaceOrder(
            symbol=symbol, side=side, type=OrderType.LIMIT, quantity=Decimal(quantity), price=Decimal(100)
        )
        intent = IntentRecord.of(
            command, venue=NAME, client_id=client_id, at_ns=self.runtime.time_ns(), recv_window_ms=5_000
        )
        self.store.append((intent,))
        self.venue.state.tell(Intended(intent))
        return client_id

    def place(self, *args, **kwargs):
        client_id = self.intend(*args, **kwargs)
        symbol = kwargs.get("symbol", args[0] if args else BTC)
        return self.far.place(client_id, symbol, kwargs.get("side", Side.BUY), kwargs.get("quantity", "1"))

    def told(self):
        events = []
        while self.events.waiting:
            events.append(self.events.get(0))
        return events

    def counter(self, name):
        return self.memory.counters.get(f"account.{name}")


def assert_equal_to_the_ledger(run):
    for order in run.far.orders.values():
        if order.client_id.startswith("other"):
            continue
        ours, freshness = run.venue.order(order.client_id)
        assert (ours.status, ours.filled, ours.venue_id) == (order.status, order.filled, order.venue_id)
        assert not freshness.stale, freshness
    fills, _ = run.venue.fills()
    truth = [fill for fill in run.far.trades() if not run.far_client(fill).startswith("other")]
    assert sorted((f.trade_id, f.quantity, f.price, f.fee) for f in fills) == sorted(
        (f.trade_id, f.quantity, f.price, f.fee) for f in truth
    )
    balances, _ = run.venue.balances()
    assert {asset: b.total for asset, b in balances.items()} == {a: n for a, n in run.far.holdings.items() if n}


def far_client(self, fill):
    return next(order.client_id for order in self.far.orders.values() if order.venue_id == fill.venue_id)


Run.far_client = far_client


def assert_told_once_and_in_order(events, fills):
    told = [event.trade_id for event in events if isinstance(event, Fill)]
    assert sorted(told) == sorted(fills), "each fill is told once"
    last = {}
    for event in events:
        if isinstance(event, Order):
            before = last.get(event.client_id)
            assert before is None or event.filled >= before.filled
            assert before is None or not before.status.is_final or event.status is before.status
            last[event.client_id] = event


def storm(run, steps=60):
    far, chance = run.far, run.chance
    far.storming = True
    others = 0
    for _ in range(steps):
        what = chance.choice(
            ["place", "place", "fill", "fill", "fill", "cancel", "cut", "crash", "other", "lose", "wait"]
        )
        open_orders = [order for order in far.orders.values() if not order.status.is_final]
        if what == "place":
            run.place(chance.choice(SYMBOLS), side=chance.choice(list(Side)), quantity=chance.choice(["1", "3"]))
        elif what == "fill" and open_orders:
            order = chance.choice(open_orders)
            part = chance.choice([order.quantity - order.filled, (order.quantity - order.filled) / 2])
            far.fill(order, part)
        elif what == "cancel" and open_orders:
            far.cancel(chance.choice(open_orders))
        elif what == "cut":
            if far.connection is None:
                far.come_up()
            else:
                far.go_down()
        elif what == "crash":
            with suppress(LookupError):  # it may be between two incarnations
                crash(getattr(run.venue, chance.choice(["state", "rest", "orders"])))
        elif what == "other":
            others += 1
            far.place(f"other{others}", chance.choice(SYMBOLS))
        elif what == "lose":
            far.bad_answers = chance.choice([0.0, 0.5])
        run.runtime.advance(chance.choice([0.0, 0.01, 0.3, 2.0, 12.0]))
    far.storming, far.bad_answers = False, 0.0
    if far.connection is None:
        far.come_up()


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_storm_the_model_equals_the_ledger_and_each_fill_was_told_once(seed):
    with Run(seed) as run:
        run.far.come_up()
        storm(run)
        run.runtime.advance(150.0)
        assert_equal_to_the_ledger(run)
        ours = [fill.trade_id for fill in run.far.trades() if not run.far_client(fill).startswith("other")]
        assert_told_once_and_in_order(run.told(), ours)
        assert run.counter("reconciliations") > 2


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_ends_in_a_storm_leaves_the_next_one_only_what_it_did_not_tell(seed, kind, tmp_path, request):
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "orders.db")
    request.addfinalizer(store.close)
    with Run(seed, store=store) as first:
        first.far.come_up()
        storm(first, 30)
        first.far.go_down()
        for order in [order for order in first.far.orders.values() if not order.status.is_final][:3]:
            first.far.fill(order, order.quantity - order.filled)
        told = [event.trade_id for event in first.told() if isinstance(event, Fill)]
    far = first.far
    runtime = DeterministicRuntime(seed + 100, clock=first.runtime.clock)
    far.runtime = runtime
    far.links = type(far.links)(runtime.clock, call_later=runtime.call_later, on_connect=None)
    far.links.on_connect = far.links.server.accept
    with Run(seed, far=far, runtime=runtime, store=store) as second:
        far.come_up()
        second.runtime.advance(30.0)
        assert_equal_to_the_ledger(second)
        told += [event.trade_id for event in second.told() if isinstance(event, Fill)]
        once = store.fills()
        second.venue.reconcile()
        second.runtime.advance(5.0)
        assert store.fills() == once
        assert second.told() == []
    ours = [fill.trade_id for fill in far.trades() if not second.far_client(fill).startswith("other")]
    assert sorted(told) == sorted(ours)


def test_the_same_seed_gives_the_same_trace():
    def trace(seed):
        with Run(seed) as run:
            run.far.come_up()
            storm(run, 20)
        return run.runtime.trace_hash

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


def test_what_filled_while_the_session_was_down_is_told_once_marked_recovered_and_in_the_venues_order():
    with Run() as run:
        run.far.come_up()
        orders = [run.place(quantity="4") for _ in range(3)]
        run.runtime.advance(5.0)
        run.told()
        run.far.go_down()
        for order in (orders[1], orders[0], orders[1], orders[2], orders[1], orders[1]):
            run.far.fill(order, Decimal(1))
            run.runtime.advance(0.1)
        run.far.come_up()
        run.runtime.advance(5.0)
        events = run.told()
        fills = [event for event in events if isinstance(event, Fill)]

        assert [fill.trade_id for fill in fills] == [
            fill.trade_id for fill in sorted(run.far.trades(), key=lambda f: f.event_time_ns)
        ]
        assert all(event.recovered for event in events)
        assert run.counter("fills_recovered") == 6
        assert_equal_to_the_ledger(run)


def test_answers_are_stale_from_the_end_of_the_session_until_a_comparison_that_could_show_everything():
    with Run() as run:
        assert run.venue.open_orders()[1].reason == "the private session is down"
        run.far.come_up()
        run.runtime.advance(0.5)
        assert run.venue.open_orders()[1].stale, "answers may be a second behind: one comparison proves nothing yet"
        run.runtime.advance(5.0)
        assert not run.venue.open_orders()[1].stale
        assert run.memory.trading.doubt == ""
        run.far.go_down()
        run.runtime.advance(0.1)
        stale = run.venue.balances()[1]
        assert stale.stale and stale.reason == "the private session is down"


def test_while_the_session_is_down_the_account_is_asked_about_every_ten_seconds():
    with Run() as run:
        run.far.come_up()
        run.runtime.advance(5.0)
        order = run.place()
        run.runtime.advance(2.0)
        run.far.go_down()
        run.runtime.advance(5.0)
        run.far.fill(order, Decimal(1))
        run.runtime.advance(13.0)
        assert run.venue.order(order.client_id)[0].filled == 1


@pytest.mark.parametrize("moment_s", [0.0, 2.5, 5.0, 7.4])
def test_one_event_lost_on_a_healthy_session_is_found_within_ten_seconds(moment_s):
    with Run() as run:
        run.far.come_up()
        order = run.place()
        run.runtime.advance(66.0 + moment_s)
        connection, run.far.connection = run.far.connection, None  # the frame is lost, the session lives
        run.far.fill(order, Decimal(1))
        run.far.connection = connection
        run.runtime.advance(10.0)
        assert_equal_to_the_ledger(run)
        assert run.counter("fills_recovered") == 1
        assert run.counter("glances_that_found") == 1


def test_an_account_on_which_nothing_happens_is_compared_once_a_minute():
    with Run() as run:
        run.far.come_up()
        run.runtime.advance(120.0)
        before = run.counter("questions"), run.counter("reconciliations")
        run.runtime.advance(600.0)
        questions, runs = run.counter("questions") - before[0], run.counter("reconciliations") - before[1]
        assert 9 <= runs <= 11
        assert questions == 2 * runs  # open orders and balances: nothing was traded


def test_an_unreadable_frame_makes_the_account_be_compared_at_once():
    with Run() as run:
        run.far.come_up()
        order = run.place()
        run.runtime.advance(5.0)
        missed(run, lambda: run.far.fill(order, Decimal(1)))
        run.venue.state.tell(AccountDoubt("a frame could not be read"))
        run.runtime.advance(1.0)
        assert run.venue.order(order.client_id)[0].filled == 1


def test_an_event_nobody_could_take_is_noticed_through_the_doubt_it_leaves():
    with Run() as run:
        run.far.come_up()
        order = run.place()
        run.runtime.advance(5.0)
        connection, run.far.connection = run.far.connection, None
        run.far.fill(order, Decimal(1))
        run.far.connection = connection
        run.memory.trading.doubt = "an account event could not be handed over"
        run.runtime.advance(4.0)
        assert run.venue.order(order.client_id)[0].filled == 1
        run.runtime.advance(4.0)
        assert run.memory.trading.doubt == ""


def test_a_fill_that_names_only_the_venues_id_waits_until_a_question_tells_whose_it_is():
    with Run() as run:
        run.far.come_up()
        run.runtime.advance(5.0)
        client_id = run.intend()
        connection, run.far.connection = run.far.connection, None
        order = run.far.place(client_id)
        run.far.fill(order, Decimal(1))
        run.far.connection = connection
        run.venue.state.tell(AccountFacts((order.fills[0],), "stream"))
        run.runtime.advance(3.0)
        assert run.venue.order(client_id)[0].filled == 1
        assert [event.trade_id for event in run.told() if isinstance(event, Fill)] == [order.fills[0].trade_id]
        assert run.counter("fills_parked") == 1


def test_orders_of_other_programs_are_seen_apart_and_their_fills_are_no_events():
    with Run() as run:
        run.far.come_up()
        other = run.far.place("other1", ETH)
        run.far.fill(other, Decimal("0.5"))
        run.runtime.advance(3.0)
        external, _ = run.venue.open_orders(external=True)
        assert [order.client_id for order in external] == ["other1"]
        assert run.venue.open_orders()[0] == ()
        assert run.venue.order_by_venue_id(ETH, other.venue_id)[0].client_id == "other1"
        assert run.venue.order("other1")[0] is None
        assert run.told() == []
        assert run.venue.fills()[0] == ()


def test_a_question_that_fails_is_asked_again_with_growing_waits_and_counted():
    with Run() as run:
        run.far.bad_answers = 1.0
        run.far.come_up()
        run.runtime.advance(300.0)
        asked = len(run.far.questions)
        assert run.counter("questions_failed") > 5
        assert run.counter("reconciliations") <= 1
        assert asked < 300, "waits grow up to half a minute"
        run.far.bad_answers = 0.0
        run.runtime.advance(62.0)
        assert not run.venue.open_orders()[1].stale


def test_the_risk_view_follows_the_account():
    with Run() as run:
        run.far.come_up()
        run.runtime.advance(5.0)
        assert run.memory.trading.view.positions == {BTC: Decimal(10), ETH: Decimal(10)}
        order = run.place(quantity="2")
        run.runtime.advance(0.1)
        view = run.memory.trading.view
        assert list(view.open_orders) == [order.client_id]
        assert len(view.placed_ns) == 1
        run.far.fill(order, Decimal(2))
        run.runtime.advance(0.1)
        view = run.memory.trading.view
        assert (view.open_orders, view.positions[BTC]) == ({}, Decimal(12))
        assert view.day_results is None, "what is left over cannot be valued without a price"


def test_explain_lists_what_is_known_of_an_order_in_order():
    with Run() as run:
        run.far.come_up()
        order = run.place()
        run.runtime.advance(0.1)
        run.far.fill(order, Decimal(1))
        run.runtime.advance(0.1)
        evidence, _ = run.venue.explain(order.client_id)
        assert [line.at_ns for line in evidence] == sorted(line.at_ns for line in evidence)
        assert evidence[-1].text.startswith("filled") or evidence[-1].text.startswith("fill ")
        assert not any(isinstance(event, Alarm) for event in run.told())
        assert run.venue.explain("nobody")[0] == ()


def test_balances_are_zero_for_what_is_not_held_and_refused_before_they_are_known():
    with Run() as run:
        run.far.come_up()
        run.runtime.advance(5.0)
        assert run.venue.balance("BTC")[0].total == 10
        assert run.venue.balance("DOGE")[0].total == 0
    far_is_silent = Run()
    far_is_silent.far.bad_answers = 1.0
    with far_is_silent as run, pytest.raises(NotConnected, match="not told the balances yet"):
        run.venue.balances()


def missed(run, what):
    """Do something at the far side that the private stream does not tell of, though the session lives."""
    connection, run.far.connection = run.far.connection, None
    try:
        return what()
    finally:
        run.far.connection = connection


def up(run, advance_s=5.0):
    run.far.come_up()
    run.runtime.advance(advance_s)


def test_a_state_actor_that_was_killed_compares_before_it_calls_anything_fresh():
    with Run() as run:
        up(run)
        order = run.place()
        run.runtime.advance(1.0)
        missed(run, lambda: run.far.fill(order, Decimal(1)))
        crash(run.venue.state)
        run.runtime.advance(0.001)
        assert run.venue.open_orders()[1].reason == "the state actor has just started"
        run.runtime.advance(5.0)
        assert_equal_to_the_ledger(run)
        assert_told_once_and_in_order(run.told(), [fill.trade_id for fill in order.fills])


def test_an_event_that_was_written_down_but_not_handed_over_is_handed_over_by_the_next_incarnation():
    with Run() as run:
        up(run)
        alarm = Alarm(AlarmKind.CORRECTED, "a", "left behind by a crash")
        run.memory.trading.events.prepare([alarm])
        crash(run.venue.state)
        run.runtime.advance(1.0)
        assert run.told() == [alarm]


def test_a_callback_that_does_not_return_is_taken_off_and_everybody_else_hears_everything_once():
    with Run() as run:
        up(run)
        stuck = run.venue.orders_stream(callback=lambda event: run.runtime.run_while(lambda: True, 40.0))
        order = run.place()
        run.runtime.advance(60.0)
        assert stuck.is_closed
        assert run.counter("consumers_taken_off") == 1
        run.far.fill(order, Decimal(1))
        run.runtime.advance(5.0)
        events = run.told()
        assert_told_once_and_in_order(events, [order.fills[0].trade_id])
        assert [event.status for event in events if isinstance(event, Order)] == [OrderStatus.NEW, OrderStatus.FILLED]


def test_a_fill_the_reading_has_gone_past_is_asked_for_by_its_order():
    with Run() as run:
        up(run)
        order = run.place()
        run.runtime.advance(1.0)
        missed(run, lambda: run.far.fill(order, Decimal(1)))
        run.store.append((MetaRecord.last_fill(BTC, "999999"),))
        run.venue.reconcile()
        assert [event.trade_id for event in run.told() if isinstance(event, Fill)] == [order.fills[0].trade_id]
        assert run.venue.order(order.client_id)[0].average_price == 100


def test_reading_of_fills_stops_short_of_what_may_still_be_joined_by_an_earlier_one():
    with Run() as run:
        up(run)
        order = run.place(quantity="2")
        run.far.fill(order, Decimal(1))
        run.runtime.advance(0.5)
        run.venue.reconcile()
        assert run.store.last_fill_id(BTC) is None
        run.runtime.advance(70.0)
        assert run.store.last_fill_id(BTC) == order.fills[0].trade_id


def test_reading_of_fills_stays_before_one_whose_order_cannot_be_found_yet():
    with Run() as run:
        up(run)
        client_id = run.intend()
        run.far.hidden = client_id
        order = missed(run, lambda: run.far.place(client_id, quantity="2"))
        missed(run, lambda: run.far.fill(order, Decimal(1)))
        run.runtime.advance(65.0)
        assert run.store.last_fill_id(BTC) is None
        assert run.told() == []
        run.far.hidden = None
        run.runtime.advance(130.0)
        assert run.store.last_fill_id(BTC) == order.fills[0].trade_id
        assert [event.trade_id for event in run.told() if isinstance(event, Fill)] == [order.fills[0].trade_id]


def test_fills_of_orders_forgotten_long_ago_are_not_asked_about_again(monkeypatch):
    monkeypatch.setattr(account, "KEPT_FINAL", 1)
    with Run() as run:
        up(run)
        for _ in range(3):
            run.far.fill(run.place(), Decimal(1))
        run.runtime.advance(1.0)
        del run.far.questions[:]
        run.venue.reconcile()
        assert "order" not in run.far.questions
        assert "fills" in run.far.questions


def test_answers_that_never_come_are_given_up_and_the_questions_asked_again():
    with Run() as run:
        up(run)
        order = run.place()
        run.runtime.advance(1.0)
        run.far.go_down()
        run.far.is_mute = True
        run.far.fill(order, Decimal(1))
        run.runtime.advance(12.0)
        run.far.is_mute = False
        crash(run.venue.rest)  # a real port ends every request by its deadline; here it forgets them
        run.runtime.advance(45.0)
        assert run.counter("questions_failed") > 0
        assert run.venue.order(order.client_id)[0].filled == 1


def test_a_refused_key_is_tried_half_an_hour_later_with_one_alarm_and_at_once_when_the_session_comes_up():
    with Run() as run:
        run.far.refuses_key = True
        run.runtime.advance(15.0)
        del run.far.questions[:]
        run.runtime.advance(1700.0)
        assert run.far.questions == []
        run.runtime.advance(200.0)
        assert run.far.questions
        del run.far.questions[:]
        run.runtime.advance(3000.0)
        assert run.far.questions == [], "the second time it waits an hour"
        alarms = [kind for kind in run.memory.alarms.counts() if "AuthenticationFailed" in kind]
        assert len(alarms) == 1
        run.far.refuses_key = False
        up(run)
        assert not run.venue.open_orders()[1].stale


def test_a_deposit_makes_all_balances_be_asked_for_until_they_are_told():
    with Run() as run:
        up(run)
        run.far.bad_answers = 1.0
        run.far.holdings["BTC"] += 5
        run.far._note_balances()
        change = BalanceChange(NAME, run.runtime.time_ns(), run.runtime.time_ns(), "BTC", Decimal(4))
        run.venue.state.tell(AccountFacts((change,), "stream"))
        run.runtime.advance(1.0)
        assert run.venue.balance("BTC")[0].total == 14, "as far as the event tells"
        run.far.bad_answers = 0.0
        run.runtime.advance(5.0)
        assert run.venue.balance("BTC")[0].total == 15


def test_whose_a_fill_is_is_asked_at_once():
    with Run() as run:
        up(run)
        client_id = run.intend()
        order = missed(run, lambda: run.far.place(client_id))
        missed(run, lambda: run.far.fill(order, Decimal(1)))
        run.runtime.advance(0.6)
        del run.far.questions[:]
        run.venue.state.tell(AccountFacts((order.fills[0],), "stream"))
        run.runtime.advance(0.1)
        assert run.venue.order(client_id)[0].filled == 1
        assert run.far.questions == ["order"]


def test_the_order_actor_hears_of_every_report_of_an_order_of_ours_and_of_no_other(monkeypatch):
    heard = []
    monkeypatch.setattr(OrderCommandActor, "_on_noticed", lambda self, report: heard.append(report.client_id))
    with Run() as run:
        up(run)
        order = run.place()
        run.far.place("other1")
        run.runtime.advance(1.0)
        assert set(heard) == {order.client_id}
        del heard[:]
        run.venue.reconcile()
        run.runtime.advance(0.1)
        assert heard == [order.client_id], "what a comparison found counts as well"


def test_who_asks_for_a_comparison_is_answered_by_one_that_began_later():
    with Run() as run:
        up(run)
        btc, eth = run.place(BTC, quantity="4"), run.place(ETH)
        for _ in range(3):
            run.far.fill(btc, Decimal(1))
        run.runtime.advance(0.6)
        run.venue.state.ask(CompareAccount(), block=False)
        run.runtime.advance(0.03)  # it has read the fills of one symbol and turns a page of the other's
        missed(run, lambda: run.far.fill(eth, Decimal(1)))
        run.venue.reconcile()
        assert run.venue.order(eth.client_id)[0].filled == 1


def test_what_a_failing_store_did_not_take_is_offered_again_by_itself(monkeypatch):
    with Run() as run:
        up(run)
        order = run.place()
        run.runtime.advance(1.0)
        append = run.store.append

        def fail(records):
            raise StoreFailed("the disk is full.")

        monkeypatch.setattr(run.store, "append", fail)
        run.far.fill(order, Decimal(1))
        run.runtime.advance(1.5)
        assert run.store.order(order.client_id).filled == 0
        assert run.venue.order(order.client_id)[0].filled == 1
        monkeypatch.setattr(run.store, "append", append)
        run.runtime.advance(1.5)
        assert run.store.order(order.client_id).filled == 1


def test_nothing_is_left_after_a_stop():
    with Run(5) as run:
        run.far.come_up()
        storm(run, 10)
    assert run.runtime.threads == ()
