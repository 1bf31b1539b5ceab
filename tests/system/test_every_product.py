"""The core faults of market data on every product: nothing is lost without a word, no value is wrong, data is back in time.

Each scenario is the short form of one that the other files of this folder play in depth on one product.
"""

from __future__ import annotations

import time

import pytest
from fault_harness import (
    ACTORS,
    PRODUCTS,
    BookJudge,
    TradeJudge,
    eventually,
    failures,
    generous_connects,
    is_live,
    running,
    shaped_driver,
)

from connector.domain import BookState
from connector.drivers.registry import find_driver
from connector.errors import BookNotValid
from connector.supervision.events import EventKind
from connector.venue.delivery import TopicState
from connector.venue.liveness import LivenessPolicy

DATA_BACK_S, VALID_AGAIN_S, NOTICED_S = 1.0, 2.0, 10.0
RATE = 500.0
LONG_OUTAGE = 1_000
"""No outage here hides more trades; a venue that tells of fewer leaves a gap, which is told."""


@pytest.fixture(params=PRODUCTS.values(), ids=PRODUCTS)
def product(request):
    return request.param


def judged(trades, *books):
    """Nothing is wrong with what came, books were compared, and what the venue still told of was fetched."""
    assert trades.faults() == []
    recalled = find_driver(trades.rig.product.exchange).trade_limit
    assert trades.lost == 0 and (trades.not_fetched == 0 or recalled < LONG_OUTAGE)
    for book in books:
        assert book.compare() == [] and book.compared > 0


def test_after_cuts_closes_and_refused_upgrades_data_is_back_and_every_trade_fetched(product):
    """F01, F02, F07, F08."""
    with running(
        product=product,
        events_per_s=RATE,
        driver=generous_connects(product),
        upgrade_timeout_s=0.5,
        simulator=product.roomy,
    ) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        faults = rig.sim.faults
        rig.await_flow(trades.subscription, book.subscription)
        for happens, bound_s in (
            (faults.cut, DATA_BACK_S),
            (lambda: faults.cut(at_byte=37), DATA_BACK_S),
            (lambda: faults.close(1001, "because"), DATA_BACK_S),
            (lambda: (faults.refuse_upgrade(503, count=2), faults.cut()), 3.0),
            (lambda: (faults.hang_upgrade(count=1), faults.cut()), 3.0),
        ):
            lost, began_s = rig.counter("stream.connections_lost"), time.monotonic()
            happens()
            eventually(lambda lost=lost: rig.counter("stream.connections_lost") > lost)
            rig.await_flow(trades.subscription)
            assert time.monotonic() - began_s <= bound_s
            book.await_valid()
        rig.await_flow(book.subscription)
        judged(trades, book)
        assert trades.gaps and [state.state for state in trades.states].count(TopicState.STALE) >= 5
        assert not [event for event in rig.events if event.kind is EventKind.ENDED], "no actor was restarted"


def test_half_open_connections_are_noticed_and_replaced(product):
    """F03, F04, with deadlines shortened."""
    with running(product=product, events_per_s=RATE, idle_timeout_s=1.0, ping_every_s=0.3) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        assert rig.sim.faults.half_open() >= 1
        eventually(lambda: not is_live(trades.subscription), 3.0)
        assert trades.subscription.freshness().stale
        rig.await_flow(trades.subscription)
        book.await_valid()
        rig.await_flow(book.subscription)
        judged(trades, book)


def test_one_silent_topic_on_a_live_connection_is_noticed_and_mended(product):
    """F21: others go on, pings are answered; deadlines shortened."""
    hurried = LivenessPolicy(earliest_s=0.5, latest_s=1.0, settle_s=0.2, repair_s=0.5, first_data_s=0.5)
    with running(product=product, events_per_s=RATE, liveness=hurried) as rig:
        trades, other, book = TradeJudge(rig), TradeJudge(rig, product.other), BookJudge(rig)
        rig.await_flow(trades.subscription, other.subscription, book.subscription)
        rig.sim.faults.silence(product.topic(product.trade_topic))
        eventually(lambda: not is_live(trades.subscription), NOTICED_S)
        rig.sim.faults.unsilence()
        rig.await_flow(trades.subscription, other.subscription, book.subscription)
        judged(trades, book)
        assert other.faults() == [] and other.gaps == []


def test_broken_sequences_are_never_handed_out_and_mended_within_two_seconds(product):
    """F20, F30, I4. Ids of trades that say nothing show no hole: a frame that such a venue itself drops cannot be seen."""
    with running(product=product, events_per_s=RATE, simulator=product.roomy) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        for fault in ("doubled", "lost", "reordered"):
            book.await_joined()
            voided, so_far = rig.counter("book.invalidated"), len(book.updates)
            rig.sim.faults.deltas(product.symbols[product.main], **{fault: 1})
            if fault == "doubled":
                eventually(lambda so_far=so_far: len(book.updates) >= so_far + 5)
                assert rig.counter("book.invalidated") == voided
            else:
                eventually(lambda voided=voided: rig.counter("book.invalidated") > voided)
                assert book.await_valid() <= VALID_AGAIN_S
        if not product.opaque:
            rig.sim.faults.frames(product.topic(product.trade_topic), lost=3)
            eventually(lambda: sum(gap.missing for gap in trades.gaps) == 3)
        rig.await_flow(trades.subscription, book.subscription)
        judged(trades, book)


def test_requests_that_fail_delay_nothing_but_themselves(product):
    """F31, F53: errors, refusals by limit, slow and torn answers; streams go on, books come back, questions say why they fail."""
    with running(product=product, events_per_s=RATE, simulator=product.roomy) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        book.await_joined()
        faults, lost = rig.sim.faults, rig.counter("stream.connections_lost")
        faults.rest_error(status=503)
        faults.rest_delay(0.2)
        faults.deltas(product.symbols[product.main], lost=1)
        eventually(lambda: book.live.state is not BookState.VALID)
        if product.snapshot_path:
            with pytest.raises(BookNotValid):
                rig.venue.book(product.main)
            eventually(lambda: rig.counter("book.snapshots_failed") >= 1)
        with pytest.raises(Exception, match="503"):
            rig.venue.recent_trades(product.main, timeout_s=5.0)
        faults.clear()
        faults.rest_error(status=429, count=1, retry_after_s=1)
        faults.rest_cut(at_byte=100, count=1)
        book.await_valid(15.0)
        rig.await_flow(trades.subscription, book.subscription)
        eventually(lambda: rig.venue.server_time_ns(timeout_s=5.0) > 0, 5.0)
        judged(trades, book)
        assert rig.counter("stream.connections_lost") == lost and trades.gaps == []


def test_any_actor_that_is_killed_is_back_and_loses_nothing_without_a_word(product):
    """F64, F68: each of them once, under load."""
    with running(product=product, events_per_s=RATE, driver=generous_connects(product), simulator=product.roomy) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        for actor in ACTORS:
            assert rig.kill(actor) <= 1.0
            rig.await_healthy(actor)
            rig.await_confirmed()
            rig.await_flow(trades.subscription)
            book.await_valid()
        rig.await_flow(book.subscription)
        judged(trades, book)
        assert not failures(rig.events)


def test_planned_changes_of_connection_lose_and_double_nothing(product):
    """F15: by age, and by the venue's notice where it gives one."""
    driver = shaped_driver(product=product, limits={"max_age_s": 2.0, "rollover_before_s": 1.3})
    with running(product=product, events_per_s=RATE, driver=driver, simulator=product.roomy) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        eventually(lambda: rig.counter("stream.rollovers") >= len(rig.sim.ledger.subscriptions()), 8.0)
        rolled = rig.counter("stream.rollovers")
        if product.notice:
            assert rig.sim.faults.server_shutdown() >= 1
            eventually(lambda: rig.counter("stream.rollovers") > rolled, 8.0)
        rig.await_flow(trades.subscription, book.subscription)
        judged(trades, book)
        assert rig.counter("stream.connections_lost") == 0
        assert trades.gaps == [] and trades.not_fetched == 0
        assert [state.state for state in trades.states].count(TopicState.STALE) == 0
