"""Whatever happens between us and the exchange, orders end as its ledger has them, and nobody is told anything else meanwhile."""

from __future__ import annotations

import pytest

from connector.domain.commands import OutcomeKind
from connector.domain.orders import OrderStatus
from connector.orders.outcomes import NEVER_ARRIVED

SETTLED_S = 10.0

# ---------------------------------------------------------------- requests and answers


def test_request_that_was_lost_is_unknown_until_it_can_no_longer_arrive(desk):
    """F36."""
    desk.sim.faults.request_lost(count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.REJECTED)
    assert not desk.is_at_venue(outcome.client_id)
    assert any(
        NEVER_ARRIVED.replace("_", " ") in each.text.replace("_", " ")
        for each in desk.venue.explain(outcome.client_id)[0]
    )
    assert desk.statuses_told(outcome.client_id)[-1] is OrderStatus.REJECTED
    desk.await_equal()


def test_answer_that_was_lost_is_settled_by_the_venues_word_and_nothing_is_sent_again(desk, raised):
    """F37: the stream tells nothing of it either."""
    desk.sim.faults.events_lost(count=1, event="executionReport")
    desk.sim.faults.answer_lost(count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.NEW, within_s=SETTLED_S)
    assert raised("orders.sent") == 1
    desk.await_equal()


def test_answer_that_is_lost_while_the_stream_tells_of_the_order_is_no_unknown_order(desk, raised):
    """F37, F41."""
    desk.sim.faults.answer_lost(count=1, only="order.place", how="silence")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert raised("orders.unknown") == 0
    desk.await_equal()


def test_request_that_arrives_after_its_window_is_refused_by_the_venue_and_sent_once_more(desk):
    """F36, F57: one order, whichever of the two stamps it carries."""
    desk.sim.faults.request_late(2.0, count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert [each.client_id for each in desk.sim.ledger.orders("main")].count(outcome.client_id) == 1
    desk.await_equal()


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_errors_that_say_neither_yes_nor_no_leave_an_order_unknown_until_the_venue_is_asked(desk, done):
    """F38: the same words, with and without effect."""
    ids = []
    for status, code in ((504, -1007), (502, 0), (503, -1006)):
        if done:
            desk.sim.faults.events_lost(count=1, event="executionReport")
        desk.sim.faults.answer_error(status, code, done=done, count=1, only="order.place")
        outcome = desk.place()
        assert outcome.kind is OutcomeKind.UNKNOWN, outcome
        ids.append(outcome.client_id)

    for client_id in ids:
        desk.await_status(client_id, OrderStatus.NEW if done else OrderStatus.REJECTED)
        assert desk.is_at_venue(client_id) is done
    desk.await_equal()


def test_failing_questions_and_answers_that_are_behind_never_make_an_order_final(desk, raised):
    """F39, F40: 5xx to every question for a second, then a while in which the venue does not see its own order."""
    faults = desk.sim.faults
    faults.visibility_delay(1.8)
    faults.events_lost(count=1, event="executionReport")
    faults.answer_error(503, 0, done=False, for_s=1.2, only="queries")
    faults.answer_error(504, -1007, done=True, count=1, only="order.place")
    outcome = desk.place()

    assert outcome.kind is OutcomeKind.UNKNOWN
    desk.await_status(outcome.client_id, OrderStatus.NEW)
    assert set(desk.statuses_told(outcome.client_id)) <= {OrderStatus.UNKNOWN, OrderStatus.NEW}
    assert raised("orders.questions_failed") >= 1
    faults.clear()
    desk.await_equal()


def test_refusal_of_an_id_in_use_means_that_the_order_is_there(desk):
    """F45."""
    desk.sim.faults.duplicate_id()
    outcome = desk.place()

    desk.await_status(outcome.client_id, OrderStatus.NEW)
    assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN)
    desk.await_equal()


def test_venue_that_is_gone_for_a_second_settles_all_that_was_on_its_way_once_it_is_back(desk):
    """F05, F37: orders sent into the outage are refused here or unknown, and ten seconds later neither."""
    placed = [desk.place().client_id for _ in range(3)]
    desk.sim.faults.answer_lost(count=3, only="order.place", how="silence")
    desk.sim.faults.events_lost(count=6, event="executionReport")
    on_their_way = [desk.venue.orders.ask(desk.order(), block=False) for _ in range(3)]
    desk.sim.faults.refuse_connect(for_s=1.0)
    desk.sim.faults.cut(scope="all")
    desk.sim.fill("main", placed[0])

    for reply in on_their_way:
        outcome = reply.get(timeout=15.0)
        assert outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.ACCEPTED, OutcomeKind.REFUSED)
    desk.await_equal(within_s=SETTLED_S + 1.0)
    assert [each.recovered for each in desk.fills_told(placed[0])] == [True]
