"""Two simulated venues, real threads and sockets: what is consolidated is true, whatever happens to one of them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from decimal import Decimal

import pytest
from consolidated_run import LAYOUTS, compare
from fault_harness import TradeJudge, eventually, generous_connects, is_live, running

from connector import BookNotValid, Closed, Gap
from connector.aggregate import (
    Aggregator,
    ConsolidatedQuote,
    MergedTrade,
    Source,
    SourceJoined,
    SourceLeft,
    SpreadChange,
)
from connector.errors import InvalidRequest, NotConnected, UnknownSymbol
from connector.supervision.events import EventKind
from connector.testing.killing import crash
from connector.venue.delivery import TopicState

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

ALPHA, BETA = Source.of("alpha", "BTC/USDT", "0.001"), Source.of("beta", "BTC/USDT", "0.0005")


@contextmanager
def across_two(**options):
    """A client at two venues and an aggregator over them."""
    options = {"events_per_s": 400.0, "driver": generous_connects(), **options}
    with running("alpha", "beta", **options) as rig, Aggregator(rig.connector.venue) as across:
        yield rig, across


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_consolidated_book_is_the_merge_of_the_venues_books_at_every_step_of_a_seeded_run(layout):
    run = compare(layout, steps=25, disturb_every=10)
    each = len(layout.markets) // len(layout.venues)

    assert run.wrong == []
    assert run.counts["books compared"] >= 4 * 25 and run.counts["levels compared"] > 10_000
    assert run.counts["disturbed"] == 2 and run.counts["left"] >= 2 * each
    assert run.counts["joined"] >= len(layout.markets) + 2 * each
    assert run.counts["quotes"] >= 100 and run.counts["trades"] >= 20


def test_a_venue_that_is_cut_off_leaves_at_once_says_why_and_comes_back():
    with across_two() as (rig, across):
        book, told = across.book([ALPHA, BETA]), []
        book.subscribe(callback=told.append)
        book.wait_in(15.0)
        told.clear()
        live = rig.connector.venue("beta").live_book("BTC/USDT")
        rig.sims["beta"].faults.refuse_upgrade(for_s=0.5)
        rig.sims["beta"].faults.cut()
        eventually(lambda: live.state.value != "valid")
        without = book.snapshot(None)
        eventually(lambda: any(isinstance(event, SourceLeft) for event in list(told)))

        assert {level.venue for level in (*without.bids, *without.asks)} == {"alpha"}
        assert [status.is_in for status in without.sources] == [True, False]
        assert "connection" in without.sources[1].reason
        left = next(event for event in told if isinstance(event, SourceLeft))
        assert left.source == BETA and "connection" in left.reason
        quote = next(event for event in told[told.index(left) :] if isinstance(event, ConsolidatedQuote))
        assert quote.sources == 1 and quote.best_bid.levels[0].source == ALPHA
        book.wait_in(15.0)
        assert any(isinstance(event, SourceJoined) and event.source == BETA for event in told)
        assert book.counts["left"] == 1


def test_a_callback_that_hangs_costs_its_owner_only():
    inside, go_on = threading.Event(), threading.Event()

    def hang(event):
        inside.set()
        go_on.wait(20.0)

    with across_two() as (rig, across):
        book, told = across.book([ALPHA, BETA]), []
        book.subscribe(callback=told.append)
        book.wait_in(15.0)
        judges = TradeJudge(rig, venue="alpha"), TradeJudge(rig, venue="beta")
        rig.await_flow(*(judge.subscription for judge in judges))
        hung = book.subscribe(callback=hang)
        inside.wait(15.0)
        eventually(lambda: hung.state is TopicState.CLOSED, 10.0)
        so_far = len(told)
        eventually(lambda: len(told) > so_far + 20, 10.0, "the other consumer is told on")
        go_on.set()
        eventually(lambda: all(status.is_in for status in book.status()), 15.0, lambda: str(book.status()))
        rig.await_flow(*(judge.subscription for judge in judges))
        assert [judge.faults() for judge in judges] == [[], []]
        assert repr(hung).endswith("delivered=1 dropped=0 failures=0>")
        assert book.counts["taken_off"] == 1


def test_a_subscription_that_a_venue_ended_is_made_again():
    with across_two() as (_, across):
        book, told = across.book([ALPHA, BETA]), []
        book.subscribe(callback=told.append)
        book.wait_in(15.0)
        ended = book._watches[BETA.key].subscription
        ended.close()  # what a feed does to a consumer that kept it for too long

        eventually(lambda: book.counts["resubscribed"] == 1)
        book.wait_in(15.0)
        so_far = len(told)
        eventually(
            lambda: any(event.changed == BETA for event in told[so_far:] if isinstance(event, ConsolidatedQuote))
        )


def test_after_the_connector_has_stopped_nothing_is_handed_out():
    with running("alpha", "beta", events_per_s=400.0) as rig, Aggregator(rig.connector.venue) as across:
        book = across.book([ALPHA, BETA])
        told = book.subscribe()
        book.wait_in(15.0)
        rig.connector.stop()

        with pytest.raises(BookNotValid, match=r"alpha: .*beta: "):
            book.snapshot()
        with pytest.raises(BookNotValid):
            book.best()
        eventually(lambda: told.freshness().stale, 5.0)
        assert all(not status.is_in for status in book.status())


def test_the_tape_has_every_trade_of_both_venues_once_and_in_order_or_marked():
    with across_two() as (rig, across):
        tape, got = across.trades([ALPHA, BETA], window_s=0.3), []
        subscription = tape.subscribe(callback=got.append, notices=True)
        eventually(lambda: len(got) > 150, 20.0)
        rig.sims["beta"].faults.refuse_upgrade(for_s=0.5)
        rig.sims["beta"].faults.cut()
        seen = len(got)
        eventually(lambda: any(isinstance(value, Gap) for value in got) and len(got) > seen + 100, 20.0)
        tape.close()

        trades = [value for value in got if isinstance(value, MergedTrade)]
        newest = 0
        for merged in trades:
            assert merged.late == (merged.trade.event_time_ns < newest)
            newest = max(newest, merged.trade.event_time_ns)
        for source in (ALPHA, BETA):
            ids = [merged.trade.trade_id for merged in trades if merged.source == source]
            assert len(ids) == len(set(ids)) > 30
            assert set(ids) == set(range(min(ids), max(ids) + 1)), "what the cut took was fetched, and is in the tape"
        assert tape.counts["taken"] == len(trades)
        assert subscription.state is TopicState.CLOSED


def test_a_venue_without_trades_holds_the_tape_up_by_the_window_and_no_longer():
    with across_two() as (rig, across):
        rig.sims["beta"].pause()
        tape = across.trades([ALPHA, BETA], window_s=0.2)
        queue = tape.subscribe()

        waited_ms = [queue.get(10.0).waited_ns / 1e6 for _ in range(50)]

        assert min(waited_ms) >= 195, "until beta speaks, or the window is over"
        assert sorted(waited_ms)[25] < 400
        assert tape.counts["late"] == 0


def test_spreads_between_venues_are_told_when_they_open_and_when_a_venue_leaves():
    with across_two() as (rig, across):
        book = across.book([ALPHA, BETA])
        book.wait_in(15.0)
        spreads = book.spreads(-10_000)  # every pair, whatever it costs

        opened = [spreads.get(10.0), spreads.get(10.0)]
        rig.sims["alpha"].faults.refuse_upgrade(for_s=0.3)
        rig.sims["alpha"].faults.cut()
        closed = [spreads.get(10.0), spreads.get(10.0)]

        assert {(event.buy.venue, event.sell.venue) for event in opened} == {("alpha", "beta"), ("beta", "alpha")}
        assert {event.change for event in opened} == {SpreadChange.OPENED}
        for event in opened:
            assert event.net == event.sell.price * (1 - event.sell.source.taker_fee) - event.buy.price * (
                1 + event.buy.source.taker_fee
            )
        assert all(event.change is SpreadChange.CLOSED and "alpha left" in event.reason for event in closed)
        spreads.close()


def test_a_crash_storm_at_one_venue_takes_nothing_from_the_other():
    with across_two(simulator={"request_weight_per_minute": 10_000_000}) as (rig, across):
        judge, book, told = TradeJudge(rig, venue="alpha"), across.book([ALPHA, BETA]), []
        book.subscribe(callback=told.append)
        book.wait_in(15.0)
        rig.await_flow(judge.subscription)
        stream = rig.ref("stream", "beta")
        for _ in range(10):
            epoch = crash(stream)
            eventually(lambda epoch=epoch: rig.said(EventKind.HEALTHY, "/beta/stream", epoch), what="healthy again")
            assert book.snapshot(1).sources[0].is_in
        so_far = len(judge.seen)
        eventually(lambda: len(judge.seen) > so_far + 50, 15.0)
        book.wait_in(15.0)

        assert judge.faults() == [] and judge.gaps == []
        left = [event.source for event in told if isinstance(event, SourceLeft)]
        assert BETA in left and ALPHA not in left


def test_the_caretaker_may_fail_and_is_started_again():
    with across_two() as (_, across):
        book = across.book([ALPHA, BETA])
        book.wait_in(15.0)
        caretaker = across.tree.ref("/caretaker")
        epoch = crash(caretaker)
        eventually(lambda: caretaker.is_alive() and caretaker.epoch > epoch)
        ended = book._watches[ALPHA.key].subscription
        ended.close()

        eventually(lambda: book._watches[ALPHA.key].subscription is not ended)


def test_what_a_venue_does_not_list_is_refused_and_nothing_stays_subscribed():
    with across_two() as (rig, across):
        assert all(rig.connector.venue(name).wait_ready(10.0) for name in ("alpha", "beta"))
        with pytest.raises(UnknownSymbol):
            across.book([ALPHA, Source.of("beta", "BTC/XYZ")], quote="USDT", rates={"XYZ": 1})
        with pytest.raises(UnknownSymbol):
            across.trades([ALPHA, Source.of("beta", "BTC/XYZ")])

        assert not any(feed.consumers for feed in rig.connector.venue("alpha")._memory.feeds())


def test_what_was_closed_is_not_looked_after_any_more():
    with across_two() as (_, across):
        book, tape = across.book([ALPHA]), across.trades([ALPHA])
        book.wait_in(15.0)
        queue = tape.subscribe()
        book.close()
        tape.close()
        book.close()
        third = across.book([BETA])

        assert across._parts == (third,)
        with pytest.raises(BookNotValid, match="was ended"):
            book.snapshot()
        with pytest.raises(Closed):
            while True:
                queue.get(0)
        assert repr(book).endswith(" closed>") and repr(tape).endswith(" closed>")


def test_push_back_is_refused_because_it_would_stop_every_venue():
    with across_two() as (_, across), pytest.raises(InvalidRequest, match="stop every venue"):
        across.book([ALPHA, BETA]).subscribe(overflow="push_back")


def test_an_aggregator_that_was_stopped_stays_so_and_its_queues_end():
    with running("alpha", events_per_s=400.0) as rig:
        across = Aggregator(rig.connector.venue)
        with pytest.raises(NotConnected, match="not running"):
            across.book([ALPHA])
        with across:
            book = across.book([ALPHA])
            queue = book.subscribe()
            book.wait_in(10.0)
            text = repr(across)
        for _ in range(queue.waiting - 1):
            queue.get(0)
        with pytest.raises(Closed):
            queue.get(0)
        with pytest.raises(NotConnected):
            across.start()
        assert across.stop().ok and repr(across) == "<Aggregator stopped >"
        assert text.startswith("<Aggregator running <ConsolidatedBook BTC/USDT ") and " in=1/1 " in text
        assert not is_live(queue)


def test_the_best_with_fees_is_what_a_taker_gets_and_pays():
    with across_two() as (_, across):
        book = across.book([ALPHA, BETA])
        book.wait_in(15.0)

        with pytest.raises(InvalidRequest, match="depth is 0"):
            book.snapshot(0)
        best = book.best(fees=True)
        (level,) = best.best_ask.levels

        assert best.with_fees and best.best_ask.price == level.venue_price * (1 + level.source.taker_fee)
        assert level.quantity > Decimal(0)
