"""The book rule of all three products, and books kept with it from frames of the stream."""

from __future__ import annotations

import json

import pytest

from connector.books.rule import Continuity
from connector.books.sync import BookSync, Resubscribe
from connector.domain import BookDelta, BookState, OrderBook, Symbol, Topic, TopicKind

BTC = Symbol("BTC", "USDT", "USDT")
BOOK = Topic(TopicKind.BOOK, BTC, depth=50)


def delta(update_id):
    return BookDelta("bybit-linear", BTC, 1, 1, update_id, update_id, (), ())


@pytest.mark.parametrize(
    ("update_id", "verdict"),
    [(1, Continuity.OLD), (99, Continuity.OLD), (100, Continuity.OLD), (101, Continuity.NEXT), (102, Continuity.GAP)],
)
def test_delta_is_old_next_or_a_gap(bybit_drivers, update_id, verdict):
    for driver in bybit_drivers.values():
        assert driver.book_rule.continuity(100, delta(update_id)) is verdict
        assert driver.book_rule.first(100, delta(update_id)) is verdict
        assert driver.book_rule.snapshot_limit is None
        assert driver.book_rule.joins(OrderBook("bybit", BTC, None, 1, 5, (), ()), delta(500))


def frame(kind, update_id, sequence, bids=(), asks=()):
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update_id, "seq": sequence}
    return json.dumps({"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1000, "data": data, "cts": 999}).encode()


@pytest.fixture
def kept(bybit_drivers, bybit_tables):
    """kept(frame): the book after this frame, and what it asks for."""
    driver = bybit_drivers["bybit-linear"]
    read = driver.streams.reader(BOOK, bybit_tables["bybit-linear"][BTC])
    sync = BookSync("bybit-linear", BTC, driver.book_rule)
    sync.on_connected()

    def take(wire):
        event = read(wire, 7)
        actions = (
            () if event is None else sync.on_snapshot(event) if isinstance(event, OrderBook) else sync.on_delta(event)
        )
        return sync, actions

    return take


def test_deltas_before_the_snapshot_are_not_counted_and_those_after_it_are_applied(kept):
    sync, _ = kept(frame("delta", 9, 900, [["10", "9"]]))
    assert sync.state is BookState.SYNCING

    kept(frame("snapshot", 10, 1000, [["10", "1"], ["9", "2"]], [["11", "3"]]))
    kept(frame("delta", 11, 1001, [["10", "0"], ["8", "0"]], [["11", "4"]]))

    book = sync.snapshot()
    assert (book.update_id, book.event_time_ns) == (11, 999_000_000)
    assert [tuple(map(str, level)) for level in (*book.bids, *book.asks)] == [("9", "2"), ("11", "4")]


def test_gap_drops_the_book_and_joins_the_topic_again(kept):
    kept(frame("snapshot", 10, 1000, [["10", "1"]], [["11", "3"]]))
    sync, actions = kept(frame("delta", 12, 1002, [["10", "2"]]))

    assert sync.state is BookState.SYNCING
    assert any(isinstance(action, Resubscribe) for action in actions)
    sync.on_connected()
    kept(frame("snapshot", 20, 1003, [["10", "5"]], [["11", "3"]]))
    assert sync.state is BookState.VALID and sync.update_id == 20


def test_snapshot_numbered_one_after_a_restart_replaces_the_book_though_numbers_went_back(kept):
    kept(frame("snapshot", 500, 1000, [["10", "1"]], [["11", "3"]]))
    kept(frame("snapshot", 1, 2, [["20", "1"]], [["21", "3"]]))
    sync, _ = kept(frame("delta", 2, 3, [["20", "7"]]))

    assert sync.update_id == 2 and sync.snapshot().best_bid == (20, 7)


def test_delta_whose_cross_sequence_runs_backwards_changes_nothing(kept):
    kept(frame("snapshot", 10, 1000, [["10", "1"]], [["11", "3"]]))
    sync, actions = kept(frame("delta", 11, 999, [["10", "99"]]))
    assert actions == () and sync.snapshot().best_bid == (10, 1)

    sync, _ = kept(frame("delta", 11, 1001, [["10", "2"]]))
    assert sync.snapshot().best_bid == (10, 2)
