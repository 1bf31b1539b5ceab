"""A book that is handed out as right equals the venue's at its update, whatever happens to its stream and its snapshots."""

from __future__ import annotations

import json

import pytest
from fault_harness import BookJudge, eventually, generous_connects, running

from connector.domain import BookState
from connector.errors import BookNotValid

VALID_AGAIN_S = 2.0
ROOMY = {"request_weight_per_minute": 1_000_000}


@pytest.mark.parametrize("fault", ["lost", "doubled", "reordered"])
def test_a_broken_sequence_is_never_handed_out_and_mended_within_two_seconds(fault):
    """F30, I4."""
    with running(events_per_s=800.0, simulator=ROOMY) as rig:
        book = BookJudge(rig)
        book.await_joined()
        book.compare()
        voided = rig.counter("book.invalidated")
        rig.sim.faults.deltas("BTCUSDT", **{fault: 1})
        if fault != "doubled":
            eventually(lambda: rig.counter("book.invalidated") > voided)
            assert book.await_valid() <= VALID_AGAIN_S
        so_far = len(book.updates)
        eventually(lambda: len(book.updates) >= so_far + 5)
        assert book.compare() == [] and book.compared > 3
        if fault == "doubled":
            assert rig.counter("book.invalidated") == voided, "an update that is contained already is no fault"


def test_while_a_book_is_not_right_nobody_is_given_one():
    """F30, I4: the subscriber is told before anything else, readers get an error that says why."""
    with running(events_per_s=800.0) as rig:
        book = BookJudge(rig)
        book.await_joined()
        rig.sim.faults.rest_error(status=503, path="depth")
        rig.sim.faults.deltas("BTCUSDT", lost=1)
        eventually(lambda: book.live.state is not BookState.VALID)
        with pytest.raises(BookNotValid, match=r"missing|gap|snapshot"):
            rig.venue.book("BTC/USDT")
        assert book.updates[-1] is not BookState.VALID
        assert book.subscription.freshness().stale
        eventually(lambda: rig.counter("book.snapshots_failed") >= 1)
        rig.sim.faults.clear()
        book.await_valid(15.0)
        rig.await_flow(book.subscription)
        assert book.compare() == []


@pytest.mark.parametrize("fault", ["old", "refused", "late", "cut"])
def test_a_snapshot_that_does_not_fit_is_asked_for_again(fault):
    """F31: too old for the updates kept, refused by limit, late, or torn off; the book stays void meanwhile."""
    with running(events_per_s=800.0, simulator=ROOMY) as rig:
        assert rig.venue.wait_ready(10.0)
        faults = rig.sim.faults
        if fault == "old":
            faults.stale_snapshot("BTCUSDT", updates=3_000, count=1)
            rig.sim.step(4_000)
        elif fault == "refused":
            faults.rest_error(status=429, path="depth", count=1, retry_after_s=1)
        elif fault == "late":
            faults.rest_delay(1.0)
        else:
            faults.rest_cut(at_byte=300, count=1)
        book = BookJudge(rig)
        book.await_valid(20.0)
        rig.await_flow(book.subscription)
        assert book.compare() == [] and book.compared
        if fault in ("old", "refused"):
            assert rig.counter("book.snapshots") >= 2


def test_a_crossed_book_of_the_venue_is_marked_and_not_handed_out():
    """F34: a delta whose bid lies above the best ask."""
    crossed = []
    with running(events_per_s=400.0, simulator=ROOMY) as rig:
        book = BookJudge(rig)
        rig.await_flow(book.subscription)
        feed = next(feed for feed in rig.memory.feeds() if feed.topic.kind.value == "book")
        read = feed._read

        def crossing(frame, received_ns):
            if not crossed:
                crossed.append(frame)
                data = json.loads(frame)
                data["data"]["b"].append(["99999999.00", "1.0"])
                frame = json.dumps(data, separators=(",", ":")).encode()
            return read(frame, received_ns)

        voided = rig.counter("book.invalidated")
        feed.bind(lambda: crossing)
        eventually(lambda: crossed and rig.counter("book.invalidated") > voided, 10.0)
        feed.bind(lambda: read)
        book.await_valid(15.0)
        rig.await_flow(book.subscription)
        assert book.compare() == []


def test_an_update_that_cannot_be_read_voids_the_book():
    """F18 x BOOK: what was in it is unknown, so the book is too."""
    with running(events_per_s=400.0, simulator=ROOMY) as rig:
        book = BookJudge(rig)
        rig.await_flow(book.subscription)
        voided = rig.counter("book.invalidated")
        rig.sim.faults.malformed("nan_text", stream="btcusdt@depth@100ms")
        eventually(lambda: rig.counter("book.invalidated") > voided)
        book.await_valid(15.0)
        rig.await_flow(book.subscription)
        assert book.compare() == []


def test_many_books_lost_at_once_are_all_right_again_within_the_allowance():
    """F35: the request budget paces the snapshots; none is asked for beyond the venue's limit."""
    symbols = tuple(f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "LTC"))
    with running(symbols=symbols, events_per_s=400.0, driver=generous_connects()) as rig:
        books = [BookJudge(rig, f"{symbol[:-4]}/USDT") for symbol in symbols]
        for book in books:
            book.await_valid(20.0)
        rig.sim.faults.cut()
        eventually(lambda: all(book.live.state is not BookState.VALID for book in books), 5.0)
        for book in books:
            book.await_valid(20.0)
        rig.await_flow(*(book.subscription for book in books))
        assert [wrong for book in books for wrong in book.compare()] == []
        assert all(book.compared for book in books)
        assert rig.sim.ledger.violations() == []


def test_a_book_resumes_after_every_kind_of_restart_around_it():
    """ACT x BOOK: the stream, the REST side and the whole venue end; the book is void until it is rebuilt, then right."""
    with running(events_per_s=800.0, driver=generous_connects(), simulator=ROOMY) as rig:
        book = BookJudge(rig)
        rig.await_flow(book.subscription)
        for actor in ("stream", "rest", "exchange"):
            rig.kill(actor)
            rig.await_healthy(actor)
            book.await_valid(15.0)
            rig.await_flow(book.subscription)
            assert book.compare() == []
