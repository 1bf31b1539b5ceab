"""Orders, fills, balances and positions on every product: whatever happens, they end as the exchange's ledger has them.

Each scenario is the short form of one that the other files of this folder play in depth on one product. All of a product share
one account, whose history grows and has to stay true.
"""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from fault_harness import ACTORS, eventually

from connector import Side
from connector.domain.commands import AmendOrder, CancelAll, OutcomeKind
from connector.domain.orders import OrderStatus, OrderType, TimeInForce
from connector.testing.killing import crash
from connector.venue.orders import ThrowKillSwitch

SETTLED_S = 10.0


@pytest.fixture
def desk(product_desk):
    return product_desk


@pytest.fixture
def raised(desk):
    """`raised("orders.unknown")`: by how much a counter has risen in this test."""
    before = dict(desk.memory.counters.snapshot())
    return lambda name: desk.memory.counters.get(name) - before.get(name, 0)


def rules(desk):
    return desk.memory.driver.trading.rules


# ---------------------------------------------------------------- an ordinary day


def test_resting_order_is_placed_changed_where_the_venue_can_and_cancelled(desk):
    placed = desk.place()
    assert placed.kind is OutcomeKind.ACCEPTED
    desk.await_status(placed.client_id, OrderStatus.NEW)
    changes = {"quantity down": {"quantity": desk.product.size - desk.product.small}}
    changes["price"] = {"price": desk.bid - 2 * desk.product.away}
    for name in sorted(set(changes) & rules(desk).amends):
        amend = AmendOrder(symbol=desk.symbol, client_id=placed.client_id, **changes[name])
        assert desk.venue.orders.ask(amend, timeout=20.0).kind is OutcomeKind.ACCEPTED, name
    desk.await_equal()
    assert desk.cancel(placed.client_id).kind is OutcomeKind.ACCEPTED
    desk.await_status(placed.client_id, OrderStatus.CANCELED)
    desk.await_equal()


def test_market_orders_of_both_sides_fill_once_and_leave_what_the_ledger_says(desk):
    ids = [desk.place_market(side=side).client_id for side in (Side.BUY, Side.SELL, Side.BUY)]

    desk.await_equal()
    for client_id in ids:
        desk.await_status(client_id, OrderStatus.FILLED)
        fills = desk.fills_told(client_id)
        assert len({fill.trade_id for fill in fills}) == len(fills)
        assert sum(map(desk.product.amount, fills)) == desk.product.size


def test_trade_between_two_orders_of_ours_is_two_fills_or_prevented_as_the_venue_does(desk):
    price = desk.sim.ledger.book(desk.product.names[0])[0][0][0]
    bought = desk.place(price=price).client_id  # behind whoever bids as much
    amount = next(amount for level, amount in desk.sim.ledger.book(desk.product.names[0])[0] if level == price)
    sold = desk.place(str(amount), side=Side.SELL, price=price, time_in_force=TimeInForce.IOC).client_id

    desk.await_equal()
    there = [fill for fill in desk.sim.ledger.fills("main") if fill.client_id in (bought, sold)]
    assert len(there) == len(desk.fills_told(bought)) + len(desk.fills_told(sold)) > 0


# ---------------------------------------------------------------- requests and answers


def test_request_that_was_lost_is_unknown_until_it_can_no_longer_arrive(desk):
    """F36."""
    desk.sim.faults.request_lost(count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.REJECTED)
    assert not desk.is_at_venue(outcome.client_id)
    desk.await_equal()


def test_answer_that_was_lost_is_settled_by_the_venues_word_and_nothing_is_sent_again(desk, raised):
    """F37: the stream tells nothing of it either."""
    desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
    desk.sim.faults.answer_lost(count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.NEW, within_s=SETTLED_S)
    assert raised("orders.sent") == 1
    desk.await_equal()


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_errors_that_say_neither_yes_nor_no_leave_an_order_unknown_until_the_venue_is_asked(desk, done):
    """F38: the same words, with and without effect."""
    ids = []
    for status, code in desk.product.doubtful:
        if done:
            desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
        desk.sim.faults.answer_error(status, code, done=done, count=1, only="order.place")
        outcome = desk.place()
        assert outcome.kind is OutcomeKind.UNKNOWN, outcome
        ids.append(outcome.client_id)

    for client_id in ids:
        desk.await_status(client_id, OrderStatus.NEW if done else OrderStatus.REJECTED)
        assert desk.is_at_venue(client_id) is done
    desk.await_equal()


def test_failing_questions_and_answers_that_are_behind_never_make_an_order_final(desk):
    """F39, F40: 5xx to every question for a second, then a while in which the venue does not see its own order."""
    status, code = desk.product.doubtful[0]
    desk.sim.faults.visibility_delay(0.8)
    desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
    desk.sim.faults.answer_error(503, 0, done=False, for_s=0.6, only="queries")
    desk.sim.faults.answer_error(status, code, done=True, count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.NEW)
    assert set(desk.statuses_told(outcome.client_id)) <= {OrderStatus.UNKNOWN, OrderStatus.NEW}
    desk.sim.faults.clear()
    desk.await_equal()


def test_refusal_of_an_id_in_use_means_that_the_order_is_there(desk):
    """F45."""
    desk.sim.faults.duplicate_id()
    outcome = desk.place()

    desk.await_status(outcome.client_id, OrderStatus.NEW)
    assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN)
    desk.await_equal()


# ---------------------------------------------------------------- events


def test_fills_that_come_split_doubled_swapped_and_late_count_once_each(desk):
    """F41, F46."""
    desk.sim.faults.fills_split(5)
    desk.sim.faults.events_doubled(share=0.5)
    desk.sim.faults.events_swapped(share=0.5)
    desk.sim.faults.events_late(0.0, 0.05, share=0.3)
    amount = str(10 * desk.product.small)
    ids = [desk.place_market(amount, side).client_id for side in (Side.BUY, Side.SELL, Side.BUY)]

    desk.sim.faults.clear()
    desk.sim.faults.fills_split(1)
    desk.await_equal()
    for client_id in ids:
        fills = desk.fills_told(client_id)
        assert len(fills) >= 5
        assert len({fill.trade_id for fill in fills}) == len(fills)
        assert sum(map(desk.product.amount, fills)) == Decimal(amount)


def test_lost_private_frames_on_a_healthy_stream_are_found_by_comparing(desk):
    """F47: a third of the events never come."""
    desk.sim.faults.events_lost(share=0.33)
    for number in range(9):
        outcome = desk.place()
        if number % 3 == 0:
            desk.sim.fill("main", outcome.client_id, desk.product.small)
        if number % 2 == 0:
            desk.cancel(outcome.client_id)
    desk.sim.faults.clear()
    desk.venue.reconcile()

    desk.await_equal()


def test_session_that_is_cut_misses_nothing_that_happened_meanwhile(desk):
    """F01: the fills of the outage come once, marked as recovered."""
    resting = [desk.place().client_id for _ in range(3)]
    desk.sim.faults.refuse_upgrade(for_s=0.3)
    assert desk.sim.faults.session_cut() >= 1
    eventually(lambda: not desk.is_up(), 5.0)
    for client_id in resting:
        desk.sim.fill("main", client_id)

    desk.await_equal()
    for client_id in resting:
        fills = desk.fills_told(client_id)
        assert [desk.product.amount(fill) for fill in fills] == [desk.product.size]
        assert all(fill.recovered for fill in fills)
        assert desk.statuses_told(client_id)[-1] is OrderStatus.FILLED


def test_while_the_session_is_down_orders_go_by_rest(desk):
    """F03, F08."""
    desk.sim.faults.refuse_upgrade(for_s=0.5)
    desk.sim.faults.session_cut()
    eventually(lambda: not desk.is_up(), 5.0)
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert any("REST" in each.text for each in outcome.evidence)
    assert desk.cancel(outcome.client_id).kind is OutcomeKind.ACCEPTED
    desk.await_equal()


def test_events_whose_subscription_the_venue_ends_come_again(desk, raised):
    """F61: a listen key that expires, or a private connection that is closed: what happened meanwhile is found."""
    placed = desk.place().client_id
    connects = raised("session.connects")
    assert desk.sim.faults.stream_terminated("main") >= 1
    desk.sim.fill("main", placed)

    desk.await_status(placed, OrderStatus.FILLED)
    eventually(lambda: raised("session.connects") > connects and desk.is_up(), 10.0)
    again = desk.place().client_id
    desk.sim.fill("main", again)
    desk.await_status(again, OrderStatus.FILLED)
    desk.await_equal()
    assert [len(desk.fills_told(each)) for each in (placed, again)] == [1, 1]


# ---------------------------------------------------------------- cancels


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_cancel_that_meets_a_fill_ends_with_the_final_quantity(desk, part):
    """F42: half of it, or all of it, trades just before the cancel."""
    placed = desk.place()
    desk.sim.faults.fill_before_cancel(part, count=1)
    outcome = desk.cancel(placed.client_id)

    final = OrderStatus.FILLED if part == 1.0 else OrderStatus.CANCELED
    if part == 0.5:
        assert outcome.kind is OutcomeKind.ACCEPTED
    assert outcome.order.status is final or not outcome.order.status.is_final
    desk.await_status(placed.client_id, final)
    filled = desk.product.amount(desk.venue.order(placed.client_id)[0], filled=True)
    assert filled == desk.true_order(placed.client_id).filled == desk.product.size * Decimal(str(part))
    desk.await_equal()


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_cancel_whose_answer_proves_nothing_is_settled_by_the_venues_word(desk, done):
    """F36, F37, F42."""
    placed = desk.place()
    status, code = desk.product.doubtful[0]
    if done:
        desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
    desk.sim.faults.answer_error(status, code, done=done, count=1, only="order.cancel")
    outcome = desk.cancel(placed.client_id)

    assert outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.ACCEPTED)
    desk.await_status(placed.client_id, OrderStatus.CANCELED)
    desk.await_equal()


def test_order_the_exchange_ends_by_itself_is_told(desk):
    placed = desk.place()
    desk.sim.fill("main", placed.client_id, desk.product.small)
    desk.sim.expire("main", placed.client_id)

    desk.await_status(placed.client_id, OrderStatus.EXPIRED, OrderStatus.CANCELED)
    assert desk.product.amount(desk.venue.order(placed.client_id)[0], filled=True) == desk.product.small
    desk.await_equal()


def test_kill_switch_cancels_everything_of_ours_while_answers_fail(desk):
    """F52, F80."""
    ids = [desk.place().client_id for _ in range(4)]
    status, code = desk.product.doubtful[0]
    desk.sim.faults.answer_error(status, code, done=True, count=2, only="order.cancel")
    switch = desk.venue.orders.ask(ThrowKillSwitch(), block=False)
    eventually(lambda: not any(each.open for each in desk.sim.ledger.orders("main")), 2.0)
    assert desk.place().kind is OutcomeKind.REFUSED

    assert {each.client_id for each in switch.get(timeout=15.0)} >= set(ids)
    for client_id in ids:
        desk.await_status(client_id, OrderStatus.CANCELED)
    desk.await_equal()


# ---------------------------------------------------------------- restarts, and everything at once


@pytest.mark.parametrize("actor", ACTORS)
def test_any_actor_may_end_while_orders_are_on_their_way(desk, actor):
    """F64, F68: what was asked is answered or settled, and the account is right."""
    ids = [desk.place().client_id for _ in range(2)]
    ref = desk.connector.tree.ref(f"/{desk.product}" + ("" if actor == "exchange" else f"/{actor}"))
    waiting = [desk.venue.orders.ask(desk.order(), block=False) for _ in range(3)]
    epoch = crash(ref)
    desk.sim.fill("main", ids[0])
    eventually(lambda: ref.epoch > epoch, 10.0)
    for reply in waiting:
        try:
            reply.get(timeout=20.0)
        except Exception as lost:  # the actor died with the command: the journal knows
            assert "restart" in f"{lost!r}".lower() or actor in ("orders", "exchange"), lost
    eventually(desk.is_up, 10.0)
    eventually(desk.is_taken, 10.0)

    desk.await_status(ids[0], OrderStatus.FILLED)
    desk.venue.orders.ask(CancelAll(), timeout=20.0)
    desk.await_status(ids[1], OrderStatus.CANCELED)
    desk.await_equal()


def test_after_a_storm_of_every_fault_all_is_right_again(desk):
    """F82 in small: faults on, then off, and within ten seconds nothing differs."""
    rng, faults = random.Random(11), desk.sim.faults
    (first, first_code), (second, second_code), _ = desk.product.doubtful
    faults.request_lost(share=0.03, only="orders")
    faults.answer_lost(share=0.03, only="orders")
    faults.answer_late(0.0, 0.3, share=0.1, only="orders")
    faults.answer_error(first, first_code, done=True, share=0.05, only="orders")
    faults.answer_error(second, second_code, done=False, share=0.05, only="orders")
    faults.answer_error(502, 0, done=False, share=0.1, only="queries")
    faults.visibility_delay(0.3)
    faults.fills_split(2)
    faults.fill_before_cancel(0.5, share=0.3)
    faults.events_lost(share=0.02)
    faults.events_doubled(share=0.05)
    faults.events_late(0.0, 0.1, share=0.1)
    waiting, ids, half = [], [], str(5 * desk.product.small)
    for number in range(40):
        if ids and rng.random() < 0.4:
            client_id = ids.pop(rng.randrange(len(ids)))
            waiting.append(desk.venue.orders.ask(desk.cancelling(client_id), block=False))
        elif rng.random() < 0.3:
            side = rng.choice((Side.BUY, Side.SELL))
            order = desk.order(half, side=side, type=OrderType.MARKET, price=None)
            waiting.append(desk.venue.orders.ask(order, block=False))
        else:
            waiting.append(desk.venue.orders.ask(desk.order(half), block=False))
        if len(waiting) > 4:
            outcome = waiting.pop(0).get(timeout=20.0)
            if outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN) and outcome.client_id not in ids:
                ids.append(outcome.client_id)
        if number == 20:
            faults.session_cut()
    for reply in waiting:
        reply.get(timeout=20.0)
    faults.clear()
    faults.fills_split(1)
    desk.venue.reconcile()

    desk.await_equal(within_s=2 * SETTLED_S)
