"""Shorthand for books and trades of made-up venues; and the runs of `tests/faults`, importable, for real ones."""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector.aggregate import Source
from connector.domain import OrderBook, Side, Symbol, Trade

FAULTS = Path(__file__).parents[1] / "faults"


def _load(name: str, file: str) -> None:
    """Tests are no package: give a file a name to be imported by; the path is as seen from `tests/faults`."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FAULTS / file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


_load("fault_harness", "harness.py")
_load("consolidated_run", "consolidated.py")
_load("deterministic_venue", "../venue/test_deterministic_venue.py")


@pytest.fixture
def nothing_is_left_behind():
    """Threads and registered actors are as before once a test is over."""
    from fault_harness import eventually, settled_base

    threads, _, actors = settled_base()
    yield
    eventually(lambda: settled_base()[0] <= threads and settled_base()[2] <= actors, 5.0, lambda: str(settled_base()))


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
