"""How futures books are kept: by the id before, through the shared synchroniser."""

from __future__ import annotations

import pytest
from futures_values import ETH_LINEAR, D

from connector.books.rule import Continuity
from connector.books.sync import BookSync, FetchSnapshot
from connector.domain import BookDelta, BookState, OrderBook
from connector.drivers.binance import COINM, USDM

RULE = USDM.book_rule


def delta(first, last, before, price="10", quantity="1"):
    return BookDelta("binance-usdm", ETH_LINEAR, 1, 1, first, last, ((D(price), D(quantity)),), (), before)


def snapshot(update_id):
    return OrderBook("binance-usdm", ETH_LINEAR, 1, 1, update_id, ((D(9), D(1)),), ((D(11), D(1)),))


def test_both_products_have_the_same_rule_and_ask_for_a_thousand_levels():
    assert RULE is COINM.book_rule and RULE.snapshot_limit == 1000


@pytest.mark.parametrize(
    ("first", "last", "before", "expected"),
    [
        (105, 110, 100, Continuity.NEXT),  # ids are not consecutive
        (101, 110, 100, Continuity.NEXT),
        (105, 110, 99, Continuity.GAP),
        (105, 110, 101, Continuity.GAP),
        (101, 110, 103, Continuity.GAP),
        (90, 99, 89, Continuity.OLD),
        (90, 100, 89, Continuity.OLD),  # the same one again, over the other of two overlapping connections
    ],
)
def test_only_the_id_before_proves_continuity(first, last, before, expected):
    assert RULE.continuity(100, delta(first, last, before)) is expected


@pytest.mark.parametrize(
    ("first", "last", "before", "expected"),
    [
        (95, 105, 90, Continuity.NEXT),
        (100, 100, 95, Continuity.NEXT),
        (100, 105, 97, Continuity.NEXT),
        (103, 105, 100, Continuity.NEXT),  # begins exactly where the snapshot ends
        (103, 105, 101, Continuity.GAP),
        (103, 105, 99, Continuity.GAP),
        (90, 99, 85, Continuity.OLD),
    ],
)
def test_the_first_delta_reaches_over_the_snapshot_or_begins_at_its_end(first, last, before, expected):
    assert RULE.first(100, delta(first, last, before)) is expected


@pytest.mark.parametrize(("update_id", "joins"), [(99, False), (100, True), (104, False), (105, True), (120, True)])
def test_a_snapshot_older_than_the_buffer_does_not_join(update_id, joins):
    assert RULE.joins(snapshot(update_id), delta(105, 110, 100)) is joins


def synced():
    sync = BookSync("binance-usdm", ETH_LINEAR, RULE)
    sync.on_connected()
    (asked,) = sync.on_delta(delta(105, 110, 100))
    assert isinstance(asked, FetchSnapshot)
    sync.on_delta(delta(113, 120, 110, price="10.5"))
    sync.on_snapshot(snapshot(107), asked.attempt)
    return sync


def test_a_book_is_valid_after_buffer_and_snapshot_are_joined():
    sync = synced()
    assert sync.state is BookState.VALID and sync.update_id == 120

    sync.on_delta(delta(130, 140, 120, price="10.6"))
    assert sync.state is BookState.VALID and sync.update_id == 140


def test_a_broken_link_drops_the_book_though_the_ids_rise():
    sync = synced()
    (_, asked) = sync.on_delta(delta(121, 140, 119))

    assert sync.state is not BookState.VALID and isinstance(asked, FetchSnapshot)


def test_every_event_twice_during_a_rollover_does_no_harm():
    sync = synced()
    for _ in range(3):
        sync.on_delta(delta(130, 140, 120, price="10.6"))
    assert sync.state is BookState.VALID and sync.update_id == 140


def test_an_old_snapshot_is_fetched_again_and_the_buffer_kept():
    sync = BookSync("binance-usdm", ETH_LINEAR, RULE)
    sync.on_connected()
    (asked,) = sync.on_delta(delta(105, 110, 100))
    (again,) = sync.on_snapshot(snapshot(99), asked.attempt)
    assert isinstance(again, FetchSnapshot)
    sync.on_snapshot(snapshot(100), again.attempt)
    assert sync.state is BookState.VALID and sync.update_id == 110
