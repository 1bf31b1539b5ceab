"""Shorthand for book values, and the rule most venues use in some form; written from the venue's documents."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from connector.books import BookRule, Continuity
from connector.domain import BookDelta, OrderBook, Symbol

SYMBOL = Symbol("BTC", "USDT")


def _levels(levels: dict) -> tuple:
    return tuple((Decimal(str(price)), Decimal(str(size))) for price, size in levels.items())


def _delta(first: int, last: int | None = None, bids: dict | None = None, asks: dict | None = None) -> BookDelta:
    last = first if last is None else last
    return BookDelta(
        "binance", SYMBOL, last * 1_000, last * 1_000 + 7, first, last, _levels(bids or {}), _levels(asks or {})
    )


def _book(update_id: int, bids: dict | None = None, asks: dict | None = None) -> OrderBook:
    bids = {100: 1, 99: 2} if bids is None else bids
    asks = {101: 1, 102: 2} if asks is None else asks
    return OrderBook("binance", SYMBOL, None, update_id * 1_000 + 5, update_id, _levels(bids), _levels(asks))


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.GAP if delta.first_update_id > update_id + 1 else Continuity.NEXT


def _rule(snapshot_limit: int | None = 1_000) -> BookRule:
    return BookRule(
        snapshot_limit=snapshot_limit,
        continuity=_continuity,
        joins=lambda snapshot, first: snapshot.update_id >= first.first_update_id,
        first=_continuity,
        source="venue docs, local order book, 2026-11",
    )


@pytest.fixture
def make() -> SimpleNamespace:
    """make.delta, make.book, make.rule, make.levels; make.symbol."""
    return SimpleNamespace(delta=_delta, book=_book, rule=_rule, levels=_levels, symbol=SYMBOL)
