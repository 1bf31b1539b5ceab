"""Shared by the driver tests: the driver, a small instrument table, answers as values, and the recorded traffic."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.domain import Instrument, InstrumentStatus, InstrumentTable, Symbol
from connector.domain.wire import HttpResponse
from connector.drivers.binance import SPOT
from connector.drivers.contract import Driver

if str(Path(__file__).parent) not in sys.path:  # lets the tests of this folder share their helpers
    sys.path.insert(0, str(Path(__file__).parent))

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "captures"


@pytest.fixture(scope="session")
def driver() -> Driver:
    return SPOT


@pytest.fixture(scope="session")
def make_instrument() -> Callable[[str], Instrument]:
    def make(text: str) -> Instrument:
        symbol = Symbol.parse(text)
        return Instrument(
            venue="binance",
            symbol=symbol,
            venue_name=symbol.base + symbol.quote,
            status=InstrumentStatus.TRADING,
            status_text="TRADING",
            base_decimals=8,
            quote_decimals=8,
            order_types=(),
            filters=(),
        )

    return make


@pytest.fixture(scope="session")
def table(make_instrument: Callable[[str], Instrument]) -> InstrumentTable:
    return InstrumentTable("binance", map(make_instrument, ("BTC/USDT", "ETH/USDT", "BNB/USDT")))


@pytest.fixture(scope="session")
def answer() -> Callable[..., HttpResponse]:
    """answer(body, status=200, **headers): a body that is no bytes becomes JSON; header names use _ for -."""

    def make(body: Any, status: int = 200, *, sent_ns: int = 1_800_000_000_000_000_000, **headers: str) -> HttpResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return HttpResponse(status, names, raw, sent_ns, sent_ns + 5_000_000)

    return make


def capture_rows(name: str) -> list[dict[str, Any]]:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"recorded traffic is not here: {path.name} is expected in ../shared/captures")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], list[dict[str, Any]]]:
    return capture_rows
