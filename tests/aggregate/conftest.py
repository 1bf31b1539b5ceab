"""Shorthand for books and trades of made-up venues; decimals from plain text."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from connector.aggregate import Source
from connector.domain import OrderBook, Side, Symbol, Trade


def _levels(levels: dict) -> tuple:
    return tuple((Decimal(str(price)), Decimal(str(size))) for price, size in levels.items())


def _book(source: Source, bids: dict, asks: dict, update_id: int = 1, received_ns: int = 1_000) -> OrderBook:
    """Levels as {price: size}, in any order."""
    return OrderBook(
        source.venue,
        source.symbol,
        None,
        received_ns,
        update_id,
        tuple(sorted(_levels(bids), reverse=True)),
        tuple(sorted(_levels(asks))),
    )


def _trade(source: Source, event_time_ns: int | None, trade_id: int = 1) -> Trade:
    return Trade("exchange", source.symbol, event_time_ns, 5, trade_id, Decimal(100), Decimal(trade_id), Side.BUY)


@pytest.fixture
def make() -> SimpleNamespace:
    """make.source, make.book, make.trade, make.symbol."""
    return SimpleNamespace(source=Source.of, book=_book, trade=_trade, symbol=Symbol.parse)
