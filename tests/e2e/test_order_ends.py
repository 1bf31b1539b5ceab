"""Events, cancels, other programs, the kill switch and all of it at once: orders end as the exchange's ledger has them."""

from __future__ import annotations

import random
import time
from decimal import Decimal

import pytest
from fault_harness import eventually

from connector import Connector, Side, Symbol, VenueSettings
from connector.domain.commands import CancelAll, CancelOrder, OutcomeKind
from connector.domain.credentials import Credentials
from connector.domain.orders import OrderStatus, OrderType
from connector.errors import ConnectorError
from connector.venue.orders import ThrowKillSwitch

SETTLED_S = 10.0
KILLED_S = 2.0

# ---------------------------------------------------------------- events


def test_events_after_their_answers_lead_to_the_same_end(desk):
    """F41."""
    desk.sim.faults.events_after_answers(0.05)
    bought = desk.place_market()

    desk.await_status(bought.client_id, OrderStatus.FILLED)
    desk.await_equal()


def test_fills_that_come_split_doubled_and_swapped_count_once_each(desk):
    """F46."""
    desk.sim.faults.fills_split(5)
    desk.sim.faults.events_doubled(share=0.5)
    desk.sim.faults.events_swapped(share=0.5)
    ids = [desk.place_market("0.020", side).client_id for side in (Side.BUY, Side.SELL, Side.BUY)]

    desk.sim.faults.clear()
    desk.sim.faults.fills_split(1)
    desk.await_equal()
    for client_id in ids:
        fills = desk.fills_told(client_id)
        assert len(fills) >= 5
        assert len({fill.trade_id for fill in fills}) == len(fills)
        assert sum(fill.quantity for fill in fills) == Decimal("0.020")


def test_lost_private_frames_on_a_healthy_stream_are_found_by_comparing(desk, raised):
    """F47: a third of the events never come."""
    desk.sim.faults.events_lost(share=0.33)
    for number in range(12):
        outcome = desk.place()
        if number % 3 == 0:
            desk.sim.fill("main", outcome.client_id, "0.004")
        if number % 2 == 0:
            desk.cancel(outcome.client_id)
    desk.sim.faults.clear()
    desk.venue.reconcile()

    desk.await_equal()
    assert raised("session.connections_lost") == 0


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
        assert [fill.quantity for fill in fills] == [Decimal("0.010")]
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


# ---------------------------------------------------------------- cancels


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_cancel_that_meets_a_fill_ends_with_the_final_quantity(desk, part):
    """F42: half of it, or all of it, trades just before the cancel."""
    placed = desk.place()
    desk.sim.faults.fill_before_cancel(part, count=1)
    outcome = desk.cancel(placed.client_id)

    final = OrderStatus.FILLED if part == 1.0 else OrderStatus.CANCELED
    assert outcome.kind is (OutcomeKind.REJECTED if part == 1.0 else OutcomeKind.ACCEPTED)
    assert outcome.order.filled == desk.true_order(placed.client_id).filled == Decimal("0.010") * Decimal(str(part))
    desk.await_status(placed.client_id, final)
    desk.await_equal()


def test_cancel_whose_answer_is_lost_is_not_told_as_done_before_the_venue_says_so(desk):
    """F42, F37."""
    placed = desk.place()
    desk.sim.faults.events_lost(count=1, event="executionReport")
    desk.sim.faults.answer_error(504, -1007, done=True, count=1, only="order.cancel")
    outcome = desk.cancel(placed.client_id)

    assert outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.ACCEPTED)
    desk.await_status(placed.client_id, OrderStatus.CANCELED)
    desk.await_equal()


def test_cancel_that_was_lost_is_sent_again_only_after_the_venue_says_the_order_is_open(desk, raised):
    """F36: two cancels do no more than one."""
    placed = desk.place()
    desk.sim.faults.answer_error(503, -1006, done=False, count=1, only="order.cancel")
    desk.cancel(placed.client_id)

    desk.await_status(placed.client_id, OrderStatus.CANCELED)
    assert raised("orders.sent") >= 3  # the order, the cancel, and the cancel again
    desk.await_equal()


def test_order_the_exchange_ends_by_itself_is_told_as_expired(desk):
    placed = desk.place()
    desk.sim.fill("main", placed.client_id, "0.003")
    desk.sim.expire("main", placed.client_id)

    desk.await_status(placed.client_id, OrderStatus.EXPIRED, OrderStatus.CANCELED)
    assert desk.venue.order(placed.client_id)[0].filled == Decimal("0.003")
    desk.await_equal()


# ---------------------------------------------------------------- others, and the switch


def test_orders_of_another_program_are_seen_and_never_touched(desk):
    """F48: neither by cancelling all of ours nor by the kill switch."""
    account = VenueSettings(
        "binance",
        rest_url=desk.sim.rest_url,
        stream_url=desk.sim.ws_url,
        session_url=desk.sim.ws_url,
        credentials=Credentials("endtoend0001", secret="end to end secret"),
    )
    with Connector([account]) as other:
        elsewhere = other.venue("binance")
        assert elsewhere.wait_ready(10.0)
        eventually(lambda: elsewhere._memory.trading.session.is_up, 10.0)
        theirs = elsewhere.orders.ask(desk.order("0.030"), timeout=10.0).client_id
        ours = desk.place().client_id
        eventually(lambda: [o.client_id for o in desk.venue.open_orders(external=True)[0]] == [theirs], 10.0)

        desk.venue.orders.ask(CancelAll(), timeout=10.0)
        desk.venue.orders.ask(ThrowKillSwitch(), timeout=10.0)
        desk.await_status(ours, OrderStatus.CANCELED)
        assert desk.true_order(theirs).status == "NEW"
        assert desk.statuses_told(theirs) == []
        refused = desk.venue.orders.ask(_cancel(theirs), timeout=10.0)
        assert refused.kind is OutcomeKind.REFUSED
        desk.others.append(theirs)
        desk.await_equal()

        assert elsewhere.orders.ask(_cancel(theirs), timeout=10.0).kind is OutcomeKind.ACCEPTED


def _cancel(client_id):
    return CancelOrder(symbol=Symbol("BTC", "USDT"), client_id=client_id)


def test_kill_switch_cancels_everything_of_ours_within_two_seconds_while_answers_fail(desk):
    """F52, F80: errors to cancels, questions and new orders; whatever circuit is open."""
    ids = [desk.place().client_id for _ in range(5)]
    faults = desk.sim.faults
    faults.answer_error(503, 0, done=False, for_s=30.0, only="order.place")
    faults.answer_error(504, -1007, done=True, count=3, only="order.cancel")
    faults.rest_error(503, path="/api/v3/ticker")
    doubtful = [desk.place().client_id for _ in range(6)]  # enough failures in a row to open a circuit
    for _ in range(6):
        with pytest.raises(ConnectorError):
            desk.venue.prices("BTC/USDT")
    assert desk.venue.snapshot().health["orders"] != "closed"

    began_s = time.monotonic()
    switch = desk.venue.orders.ask(ThrowKillSwitch(), block=False)
    eventually(
        lambda: not any(each.open for each in desk.sim.ledger.orders("main")),
        KILLED_S,
        lambda: f"still open: {[each for each in desk.sim.ledger.orders('main') if each.open]}",
    )
    assert time.monotonic() - began_s <= KILLED_S
    refused = desk.place()
    assert (refused.kind, refused.order) == (OutcomeKind.REFUSED, None)
    assert "kill" in f"{refused.code} {refused.reason}".lower()

    faults.clear()
    outcomes = switch.get(timeout=15.0)
    assert {each.client_id for each in outcomes} >= set(ids)
    for client_id in ids:
        desk.await_status(client_id, OrderStatus.CANCELED)
    for client_id in filter(None, doubtful):
        desk.await_status(client_id, OrderStatus.REJECTED)
    desk.await_equal()


# ---------------------------------------------------------------- everything at once


def test_after_a_storm_of_every_fault_all_is_right_again(desk):
    """F82 in small: faults on, then off, and within ten seconds nothing differs."""
    rng, faults = random.Random(11), desk.sim.faults
    faults.request_lost(share=0.03, only="orders")
    faults.answer_lost(share=0.03, only="orders")
    faults.answer_late(0.0, 0.3, share=0.1, only="orders")
    faults.answer_error(504, -1007, done=True, share=0.05, only="orders")
    faults.answer_error(503, -1006, done=False, share=0.05, only="orders")
    faults.answer_error(502, 0, done=False, share=0.1, only="queries")
    faults.visibility_delay(0.3)
    faults.fills_split(2)
    faults.fill_before_cancel(0.5, share=0.3)
    faults.events_lost(share=0.02)
    faults.events_doubled(share=0.05)
    faults.events_late(0.0, 0.1, share=0.1)
    waiting, ids = [], []
    for number in range(45):
        if ids and rng.random() < 0.4:
            waiting.append(desk.venue.orders.ask(_cancel(ids.pop(rng.randrange(len(ids)))), block=False))
        elif rng.random() < 0.3:
            side = rng.choice((Side.BUY, Side.SELL))
            order = desk.order("0.005", side=side, type=OrderType.MARKET, price=None)
            waiting.append(desk.venue.orders.ask(order, block=False))
        else:
            waiting.append(desk.venue.orders.ask(desk.order("0.005"), block=False))
        if len(waiting) > 4:
            outcome = waiting.pop(0).get(timeout=20.0)
            if outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN) and outcome.client_id not in ids:
                ids.append(outcome.client_id)
        if number == 25:
            faults.session_cut()
    for reply in waiting:
        reply.get(timeout=20.0)
    faults.clear()
    faults.fills_split(1)
    desk.venue.reconcile()

    desk.await_equal(within_s=SETTLED_S + 5.0)
    assert len(desk.sim.ledger.orders("main")) >= 15
