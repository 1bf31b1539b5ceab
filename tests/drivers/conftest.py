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
from connector.domain.queries import InstrumentsQuery
from connector.domain.wire import HttpResponse
from connector.drivers import bybit
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


# ---------------------------------------------------------------- Bybit: three products, each with a small instrument list


def bybit_spot_entry(base: str = "BTC", quote: str = "USDT", **other: Any) -> dict[str, Any]:
    lot = {"basePrecision": "0.000001", "quotePrecision": "0.0000001", "minOrderQty": "0.000011", "maxOrderQty": "83"}
    lot |= {"minOrderAmt": "5", "maxOrderAmt": "8000000", "maxLimitOrderQty": "83", "maxMarketOrderQty": "41.5"}
    return {
        "symbol": base + quote,
        "baseCoin": base,
        "quoteCoin": quote,
        "status": "Trading",
        "marginTrading": "utaOnly",
        "lotSizeFilter": lot | {"postOnlyMaxLimitOrderSize": "60000"},
        "priceFilter": {"tickSize": "0.01"},
        **other,
    }


def bybit_contract_entry(symbol: str, base: str, quote: str, settle: str, kind: str, **other: Any) -> dict[str, Any]:
    inverse = kind.startswith("Inverse")
    lot = {"maxOrderQty": "1190", "maxMktOrderQty": "500", "minNotionalValue": "5", "postOnlyMaxOrderQty": "1190"}
    lot |= {"qtyStep": "1", "minOrderQty": "1"} if inverse else {"qtyStep": "0.001", "minOrderQty": "0.001"}
    return {
        "symbol": symbol,
        "contractType": kind,
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": quote,
        "settleCoin": settle,
        "deliveryTime": "0",
        "fundingInterval": 480,
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": lot,
        **other,
    }


BYBIT_LISTS = {
    "bybit": [bybit_spot_entry(), bybit_spot_entry("ETH")],
    "bybit-linear": [
        bybit_contract_entry("BTCUSDT", "BTC", "USDT", "USDT", "LinearPerpetual"),
        bybit_contract_entry("ETHUSDT", "ETH", "USDT", "USDT", "LinearPerpetual"),
        bybit_contract_entry("BTCPERP", "BTC", "USDC", "USDC", "LinearPerpetual"),
        bybit_contract_entry("BTCUSDT-25DEC26", "BTC", "USDT", "USDT", "LinearFutures", deliveryTime="1798185600000"),
    ],
    "bybit-inverse": [
        bybit_contract_entry("BTCUSD", "BTC", "USD", "BTC", "InversePerpetual"),
        bybit_contract_entry("ETHUSD", "ETH", "USD", "ETH", "InversePerpetual"),
        bybit_contract_entry("BTCUSDZ26", "BTC", "USD", "BTC", "InverseFutures", deliveryTime="1798185600000"),
    ],
}


@pytest.fixture(scope="session")
def bybit_drivers() -> dict[str, Driver]:
    return {driver.name: driver for driver in bybit.DRIVERS}


@pytest.fixture(scope="session")
def bybit_tables(
    bybit_drivers: dict[str, Driver], bybit_answer: Callable[..., HttpResponse]
) -> dict[str, InstrumentTable]:
    query = InstrumentsQuery()
    return {
        name: driver.rest.read(query, bybit_answer({"list": BYBIT_LISTS[name], "nextPageCursor": ""}), None).instruments
        for name, driver in bybit_drivers.items()
    }


@pytest.fixture(scope="session")
def bybit_answer() -> Callable[..., HttpResponse]:
    """bybit_answer(result): a success with this result; code= makes it a refusal; header names use _ for -."""

    def make(result: Any = None, *, code: int = 0, text: str = "OK", status: int = 200, **headers: str) -> HttpResponse:
        told = {"retCode": code, "retMsg": text, "result": {} if result is None else result, "retExtInfo": {}}
        body = json.dumps(told | {"time": 1_767_225_700_000}).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return HttpResponse(status, names, body, 1_767_225_699_990_000_000, 1_767_225_700_005_000_000)

    return make


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
