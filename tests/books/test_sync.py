"""Every condition under which a book is joined, dropped, and joined again (faults F30-F34, rank 4)."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from connector.books import BookSync, FetchSnapshot, Invalidate, Publish, Resubscribe
from connector.domain import BookState, Symbol
from connector.errors import BookNotValid, ConnectorBug

FRESH, MORE = (Publish(fresh=True),), (Publish(),)


@pytest.fixture
def sync(make) -> BookSync:
    sync = BookSync("binance", make.symbol, make.rule())
    sync.on_connected()
    return sync


@pytest.fixture
def valid(sync, make) -> BookSync:
    """VALID at update 10."""
    (fetch,) = sync.on_delta(make.delta(9, 10))
    assert sync.on_snapshot(make.book(10), fetch.attempt) == FRESH
    return sync


def assert_dropped(sync: BookSync, actions: tuple, word: str) -> None:
    assert isinstance(actions[0], Invalidate)
    assert word in actions[0].reason
    assert sync.state is not BookState.VALID
    with pytest.raises(BookNotValid, match=word):
        sync.snapshot(5)


# ---------------------------------------------------------------- joining


def test_nothing_is_handed_out_before_the_subscription(make):
    sync = BookSync("binance", make.symbol, make.rule())
    assert sync.on_delta(make.delta(1)) == ()
    assert sync.counts["stray"] == 1
    with pytest.raises(BookNotValid, match=r"BTC/USDT\.binance.*not subscribed"):
        sync.snapshot()


def test_snapshot_is_asked_for_at_the_first_delta_and_only_once(sync, make):
    assert sync.state is BookState.SYNCING
    assert sync.on_delta(make.delta(5, 6)) == (FetchSnapshot(1_000, 1, 0.0),)
    assert sync.on_delta(make.delta(7)) == ()


def test_buffered_deltas_are_joined_old_ones_dropped(sync, make):
    sync.on_delta(make.delta(5, 6, {100: 50}))
    sync.on_delta(make.delta(7, 8, {100: 70}))
    sync.on_delta(make.delta(9, 9, {98: 9}, {101: 0}))
    assert sync.on_snapshot(make.book(7), 1) == FRESH
    assert sync.update_id == 9
    book = sync.snapshot()
    assert book.bids == make.levels({100: 70, 99: 2, 98: 9})
    assert book.asks == make.levels({102: 2})
    assert (book.event_time_ns, book.received_ns) == (9_000, 9_007)


def test_snapshot_older_than_the_buffer_is_fetched_again_later_and_the_buffer_kept(sync, make):
    sync.on_delta(make.delta(50, 51))
    (again,) = sync.on_snapshot(make.book(40), 1)
    assert (again.attempt, again.wait_up_to_s) == (2, 0.5)
    sync.on_delta(make.delta(52))
    assert sync.on_snapshot(make.book(50), 2) == FRESH
    assert sync.update_id == 52


def test_waits_between_attempts_double_to_thirty_seconds_and_never_end(sync, make):
    (fetch,) = sync.on_delta(make.delta(50))
    waits = [fetch.wait_up_to_s]
    for _ in range(100):
        (fetch,) = sync.on_snapshot(make.book(1), fetch.attempt)
        waits.append(fetch.wait_up_to_s)
    assert waits[:9] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert waits[-1] == 30.0


def test_failed_snapshot_is_asked_for_again_not_before_the_venue_said(sync, make):
    sync.on_delta(make.delta(50))
    (again,) = sync.on_snapshot_failed(1, retry_after_s=17.0)
    assert again == FetchSnapshot(1_000, 2, 0.5, 17.0)


def test_answer_to_an_earlier_attempt_is_ignored(sync, make):
    sync.on_delta(make.delta(5))
    sync.on_snapshot_failed(1)
    assert sync.on_snapshot(make.book(9), 1) == ()
    assert sync.on_snapshot_failed(1) == ()
    assert sync.counts["late"] == 2
    assert sync.on_snapshot(make.book(9), 2) == FRESH


def test_hole_in_the_buffer_starts_it_over(sync, make):
    sync.on_delta(make.delta(5))
    sync.on_delta(make.delta(9))
    (again,) = sync.on_snapshot(make.book(6), 1)  # would join 5, but not 9
    assert isinstance(again, FetchSnapshot)
    assert sync.on_snapshot(make.book(9), again.attempt) == FRESH


def test_buffer_is_bounded(make):
    sync = BookSync("binance", make.symbol, make.rule(), buffer_limit=10)
    sync.on_connected()
    for number in range(1, 26):
        sync.on_delta(make.delta(number + 100))
    assert len(sync._buffer) <= 10
    assert sync.counts["overflow"] == 2
    (again,) = sync.on_snapshot(make.book(110), 1)
    assert sync.on_snapshot(make.book(125), again.attempt) == FRESH


def test_quiet_market_needs_no_first_delta(sync, make):
    (fetch,) = sync.on_quiet()
    assert sync.on_quiet() == ()
    assert sync.on_snapshot(make.book(10), fetch.attempt) == FRESH
    assert sync.on_delta(make.delta(11)) == MORE


def test_gap_after_a_quiet_join_is_seen(sync, make):
    (fetch,) = sync.on_quiet()
    sync.on_snapshot(make.book(10), fetch.attempt)
    assert_dropped(sync, sync.on_delta(make.delta(12)), "missing")


# ---------------------------------------------------------------- running


def test_deltas_in_sequence_are_published_and_old_ones_ignored(valid, make):
    assert valid.on_delta(make.delta(11, 12, {100: 5})) == MORE
    assert valid.on_delta(make.delta(11, 12, {100: 6})) == ()
    assert valid.on_delta(make.delta(12, 13, {100: 7})) == MORE  # overlapping is the next one, quantities are absolute
    assert valid.update_id == 13
    assert valid.snapshot(1).bids == make.levels({100: 7})
    assert repr(valid) == "<BookSync BTC/USDT.binance VALID seq=13>"


def test_gap_drops_the_book_before_anything_else_and_buffers_from_there(valid, make):
    actions = valid.on_delta(make.delta(12, 13, {98: 1}))
    assert_dropped(valid, actions, "missing")
    assert isinstance(actions[1], FetchSnapshot)
    assert valid.on_delta(make.delta(14)) == ()
    assert valid.on_snapshot(make.book(12), actions[1].attempt) == FRESH
    assert valid.update_id == 14
    assert valid.counts["gap"] == 1


def test_causes_coalesce_while_a_resync_is_under_way(valid, make):
    actions = list(valid.on_delta(make.delta(20)))
    for step in (
        lambda: valid.on_delta(make.delta(30)),
        valid.on_overflow,
        lambda: valid.on_stale("silent"),
        lambda: valid.on_disconnected("lost"),
        valid.on_connected,
        lambda: valid.on_delta(make.delta(40)),
        lambda: valid.on_delta(make.delta(50)),
    ):
        actions += step()
    assert [type(action) for action in actions] == [Invalidate, FetchSnapshot]


def test_crossed_book_is_dropped_and_resynced(valid, make):
    assert_dropped(valid, valid.on_delta(make.delta(11, 11, {101: 5})), "crossed")
    (fetch,) = valid.on_delta(make.delta(12, 12))
    assert valid.on_snapshot(make.book(12), fetch.attempt) == FRESH


def test_book_the_venue_itself_has_crossed_is_marked_and_valid_again_once_it_is_not(valid, make):
    valid.on_delta(make.delta(11, 11, {101: 5}))
    (fetch,) = valid.on_delta(make.delta(12))
    assert valid.on_snapshot(make.book(12, {101: 5}), fetch.attempt) == ()
    assert valid.state is BookState.INVALID
    with pytest.raises(BookNotValid, match="venue's own book is crossed"):
        valid.require()
    assert valid.on_delta(make.delta(13)) == ()
    assert valid.on_delta(make.delta(14, 14, {101: 0, 100: 3})) == FRESH
    assert valid.snapshot().bids == make.levels({100: 3})


def test_empty_book_is_marked_and_not_handed_out(valid, make):
    actions = valid.on_delta(make.delta(11, 11, {100: 0, 99: 0}, {101: 0, 102: 0}))
    assert_dropped(valid, actions, "empty")
    assert valid.state is BookState.INVALID
    assert valid.on_delta(make.delta(12, 12, {99: 1})) == FRESH


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("-1"), Decimal("Infinity")])
def test_malformed_delta_drops_the_book(valid, make, bad):
    delta = make.delta(11, 11, {100: 5})
    delta = type(delta)(*[getattr(delta, f) for f in delta.__struct_fields__[:6]], ((Decimal(1), bad),), (), None)
    assert_dropped(valid, valid.on_delta(delta), "book level")
    (fetch,) = valid.on_delta(make.delta(12))
    (again,) = valid.on_snapshot(make.book(11), fetch.attempt)  # does not reach the delta after the lost one
    assert valid.on_snapshot(make.book(12), again.attempt) == FRESH


def test_malformed_delta_in_the_buffer_leaves_no_half_joined_book_behind(sync, make):
    (fetch,) = sync.on_delta(make.delta(10))
    good = make.delta(11)
    sync.on_delta(
        type(good)(*[getattr(good, f) for f in good.__struct_fields__[:6]], ((Decimal(1), Decimal(-1)),), (), None)
    )
    assert sync.on_snapshot(make.book(10), fetch.attempt) == ()
    assert sync.received_ns is None
    (fetch,) = sync.on_delta(make.delta(12))
    assert sync.on_snapshot(make.book(12), fetch.attempt) == FRESH


def test_numbers_that_start_over_replace_the_book(valid, make):
    actions = valid.on_delta(make.delta(1, 1))
    assert_dropped(valid, actions, "count anew")
    assert valid.on_snapshot(make.book(1, {50: 1}, {51: 1}), actions[1].attempt) == FRESH
    assert valid.update_id == 1


def test_numbers_that_started_over_unseen_are_noticed_by_a_row_of_old_deltas(make):
    sync = BookSync("binance", make.symbol, make.rule(), old_limit=5)
    sync.on_connected()
    (fetch,) = sync.on_delta(make.delta(900, 1_000))
    sync.on_snapshot(make.book(1_000), fetch.attempt)
    for number in range(3, 7):
        assert sync.on_delta(make.delta(number)) == ()
    assert_dropped(sync, sync.on_delta(make.delta(7)), "count anew")


def test_repeats_now_and_then_are_no_reason_to_resync(make):
    sync = BookSync("binance", make.symbol, make.rule(), old_limit=5)
    sync.on_connected()
    (fetch,) = sync.on_delta(make.delta(9))
    sync.on_snapshot(make.book(9), fetch.attempt)
    for number in range(10, 100):
        assert sync.on_delta(make.delta(number)) == MORE
        for _ in range(4):
            assert sync.on_delta(make.delta(number)) == ()
    assert sync.counts["resync"] == 0


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (lambda sync: sync.on_disconnected("the connection was lost"), "connection was lost"),
        (lambda sync: sync.on_connected(), "first update"),
        (lambda sync: sync.on_overflow(), "overflow"),
        (lambda sync: sync.on_stale(), "no update"),
        (lambda sync: sync.on_status(False), "not trading"),
    ],
)
def test_whatever_puts_the_book_in_doubt_drops_it_at_once(valid, step, word):
    assert_dropped(valid, step(valid), word)
    assert all(not isinstance(action, Publish) for action in step(valid))


@pytest.mark.parametrize("step", ["on_overflow", "on_stale"])
def test_after_doubt_the_next_delta_starts_the_resync(valid, make, step):
    getattr(valid, step)()
    (fetch,) = valid.on_delta(make.delta(15))
    assert valid.on_snapshot(make.book(15), fetch.attempt) == FRESH


def test_disconnected_book_comes_back_with_the_subscription(valid, make):
    valid.on_disconnected()
    assert valid.on_delta(make.delta(11)) == ()
    assert valid.on_connected() == ()
    (fetch,) = valid.on_delta(make.delta(20))
    assert valid.on_snapshot(make.book(22), fetch.attempt) == FRESH


def test_snapshot_asked_for_before_a_reconnect_is_not_taken_without_a_delta_after_it(sync, make):
    (fetch,) = sync.on_delta(make.delta(5))
    sync.on_disconnected()
    sync.on_connected()
    assert sync.on_snapshot(make.book(6), fetch.attempt) == ()
    assert sync.state is BookState.SYNCING
    (fetch,) = sync.on_delta(make.delta(9))
    assert sync.on_snapshot(make.book(9), fetch.attempt) == FRESH


def test_halted_symbol_ignores_deltas_and_resyncs_when_it_trades_again(valid, make):
    valid.on_status(False)
    assert valid.on_status(False) == ()
    assert valid.on_delta(make.delta(11)) == ()
    valid.on_disconnected()
    valid.on_connected()
    assert "not trading" in valid.reason
    valid.on_status(True)
    assert valid.state is BookState.SYNCING
    (fetch,) = valid.on_delta(make.delta(30))
    assert valid.on_snapshot(make.book(30), fetch.attempt) == FRESH


def test_healthy_book_resyncs_at_once_again_a_sick_one_later(make):
    sync = BookSync("binance", make.symbol, make.rule(), healthy_updates=10)
    sync.on_connected()
    (fetch,) = sync.on_delta(make.delta(1))
    number, waits = 1, [fetch.wait_up_to_s]
    for lived in (2, 2, 20, 2):
        assert sync.on_snapshot(make.book(number), fetch.attempt) == FRESH
        for _ in range(lived):
            number += 1
            sync.on_delta(make.delta(number))
        number += 2
        _, fetch = sync.on_delta(make.delta(number))
        waits.append(fetch.wait_up_to_s)
    assert waits == [0.0, 0.5, 1.0, 0.0, 0.5]


def test_value_of_another_instrument_is_our_own_mistake_and_loud(valid, make):
    other = Symbol("ETH", "USDT")
    with pytest.raises(ConnectorBug, match="ETH/USDT"):
        valid.on_delta(_as(make.delta(11), other))
    with pytest.raises(ConnectorBug, match="ETH/USDT"):
        valid.on_snapshot(_as(make.book(11), other), 1)


def _as(value, symbol):
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return type(value)(**{**fields, "symbol": symbol})


# ---------------------------------------------------------------- limited depth


def thin(make, **options) -> BookSync:
    """VALID at update 10 with four levels a side of a venue that has more."""
    sync = BookSync("binance", make.symbol, make.rule(4), **options)
    sync.on_connected()
    (fetch,) = sync.on_delta(make.delta(10))
    assert sync.on_snapshot(wide(make, 10), fetch.attempt) == FRESH
    return sync


def wide(make, update_id: int, mid: int = 100):
    return make.book(update_id, {mid - n: 1 for n in range(1, 5)}, {mid + n: 1 for n in range(1, 5)})


def test_levels_beyond_the_snapshot_are_never_handed_out_with_holes_before_them(make):
    sync = thin(make)
    sync.on_delta(make.delta(11, 11, {90: 7, "95.5": 7, 97: 3}))
    assert sync.snapshot().bids == make.levels({99: 1, 98: 1, 97: 3, 96: 1})


def test_thinning_book_is_refreshed_beside_the_running_one(make):
    sync = thin(make, refresh_below=3)
    publish, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    assert (publish, fetch) == (Publish(), FetchSnapshot(4, fetch.attempt, 0.5))
    assert sync.on_delta(make.delta(12, 12, {97: 9})) == MORE
    assert sync.state is BookState.VALID
    # The snapshot is of update 11: what came after it is applied again.
    assert sync.on_snapshot(make.book(11, {97: 1, 96: 1, 95: 1, 94: 1}), fetch.attempt) == FRESH
    assert sync.update_id == 12
    assert sync.snapshot().bids == make.levels({97: 9, 96: 1, 95: 1, 94: 1})
    assert sync.counts["refreshed"] == 1


def test_refresh_ahead_of_the_stream_is_taken_and_the_stream_catches_up(make):
    sync = thin(make, refresh_below=3)
    _, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    assert sync.on_snapshot(wide(make, 14, 90), fetch.attempt) == FRESH
    assert sync.on_delta(make.delta(12, 14, {50: 1})) == ()
    assert sync.on_delta(make.delta(13, 15, {89: 5})) == MORE
    assert sync.update_id == 15


def test_refresh_older_than_the_running_book_is_not_taken(make):
    sync = thin(make, refresh_below=3)
    _, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    sync.on_delta(make.delta(12, 12, {97: 9}))
    before = sync.snapshot()
    assert sync.on_snapshot(wide(make, 9), fetch.attempt) == ()
    assert sync.snapshot() == before
    _, again = sync.on_delta(make.delta(13))
    assert again.wait_up_to_s > 0.5


def test_refresh_older_than_the_running_book_is_not_taken_when_nothing_came_meanwhile_either(make):
    sync = thin(make, refresh_below=3)
    _, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    before = sync.snapshot()
    assert sync.on_snapshot(wide(make, 10), fetch.attempt) == ()
    assert sync.snapshot() == before


def test_failed_refresh_leaves_the_running_book_alone(make):
    sync = thin(make, refresh_below=3)
    _, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    assert sync.on_snapshot_failed(fetch.attempt) == ()
    assert sync.state is BookState.VALID


def test_gap_during_a_refresh_uses_the_snapshot_on_its_way_if_it_joins(make):
    sync = thin(make, refresh_below=3)
    _, fetch = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0}))
    (told,) = sync.on_delta(make.delta(20))
    assert isinstance(told, Invalidate)
    assert sync.on_snapshot(wide(make, 21), fetch.attempt) == FRESH


def test_price_that_leaves_the_covered_range_drops_the_book(make):
    sync = thin(make, refresh_below=0)
    actions = sync.on_delta(make.delta(11, 11, {99: 0, 98: 0, 97: 0, 96: 0}))
    assert_dropped(sync, actions, "range")


# ---------------------------------------------------------------- streams that send their own snapshots


def test_stream_with_snapshots_of_its_own_needs_no_fetch(make):
    sync = BookSync("bybit", make.symbol, make.rule(None))
    sync.on_connected()
    assert sync.on_delta(make.delta(5)) == ()
    assert sync.on_snapshot(make.book(10)) == FRESH
    assert sync.on_delta(make.delta(11, 11, {90: 1})) == MORE
    assert sync.on_snapshot(make.book(1, {50: 1}, {51: 1})) == FRESH  # a restart at the venue replaces the book
    assert sync.update_id == 1


def test_gap_in_a_stream_with_snapshots_joins_the_topic_again(make):
    sync = BookSync("bybit", make.symbol, make.rule(None))
    sync.on_connected()
    sync.on_snapshot(make.book(10))
    told, again = sync.on_delta(make.delta(15))
    assert isinstance(told, Invalidate) and isinstance(again, Resubscribe)
    assert sync.on_delta(make.delta(16)) == ()
    (later,) = sync.on_snapshot_failed(again.attempt)
    assert later.wait_up_to_s > 0
    sync.on_connected()
    assert sync.on_snapshot(make.book(20)) == FRESH


def test_actions_are_values():
    assert FetchSnapshot(1, 2, 0.0) == FetchSnapshot(1, 2, 0.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Publish().fresh = True
