"""The book rule, row by row of the published procedure."""

from __future__ import annotations

import pytest

from connector.books.rule import Continuity
from connector.domain import BookDelta, OrderBook, Symbol

BTC = Symbol("BTC", "USDT")


def delta(first, last):
    return BookDelta("binance", BTC, 1, 1, first, last, (), ())


def snapshot(update_id):
    return OrderBook("binance", BTC, None, 1, update_id, (), ())


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (90, 99, Continuity.OLD),
        (90, 100, Continuity.OLD),
        (100, 100, Continuity.OLD),
        (90, 101, Continuity.NEXT),
        (100, 105, Continuity.NEXT),
        (101, 101, Continuity.NEXT),
        (101, 105, Continuity.NEXT),
        (102, 105, Continuity.GAP),
        (102, 102, Continuity.GAP),
    ],
)
def test_delta_is_old_next_or_a_gap(driver, first, last, verdict):
    assert driver.book_rule.continuity(100, delta(first, last)) is verdict
    assert driver.book_rule.first(100, delta(first, last)) is verdict


@pytest.mark.parametrize(("update_id", "joins"), [(98, False), (99, False), (100, True), (101, True), (500, True)])
def test_snapshot_older_than_the_first_buffered_delta_does_not_join(driver, update_id, joins):
    assert driver.book_rule.joins(snapshot(update_id), delta(100, 110)) is joins
