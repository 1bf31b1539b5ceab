"""`exchangeInfo` of both futures hosts: names, contracts, dates, filters and limits."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from futures_values import BTC_INVERSE, DECEMBER, INFO, LIMITS, MS, D, entry, inverse

from connector.domain import InstrumentStatus, Symbol
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    NotionalFilter,
    OtherFilter,
    PriceBandFilter,
    PriceFilter,
)
from connector.domain.queries import InstrumentsQuery
from connector.drivers.binance import COINM, SPOT, USDM
from connector.errors import Unsupported, WireFormatError

BTC = Symbol("BTC", "USDT", "USDT")


@pytest.fixture
def read(answer):
    def read(driver, *symbols, **changes):
        body = INFO[driver.name] | ({"symbols": list(symbols)} if symbols else {}) | changes
        return driver.rest.read(InstrumentsQuery(), answer(body), None)

    return read


def test_perpetuals_and_dated_contracts_have_their_symbols(read):
    assert [str(symbol) for symbol in read(USDM).instruments] == [
        "BTC/USDT:USDT",
        "BTC/USDT:USDT-261225",
        "TSLA/USDT:USDT",
    ]
    assert [str(symbol) for symbol in read(COINM).instruments] == ["BTC/USD:BTC", "BTC/USD:BTC-261225"]


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_every_instrument_is_spelled_as_the_venue_lists_it(read, driver):
    info = read(driver)
    assert not info.skipped and info.server_time_ns == 1762000000000 * MS
    for symbol, instrument in info.instruments.items():
        assert driver.wire_name(symbol) == instrument.venue_name
        assert instrument.venue == driver.name
        assert instrument.product in driver.products


def test_the_expiry_is_the_day_of_delivery():
    assert datetime.fromtimestamp(DECEMBER / 1000, UTC).strftime("%y%m%d") == "261225"


def test_a_linear_contract_is_one_base_unit_and_an_inverse_one_quote_units(read):
    assert read(USDM).instruments[BTC].contract_size == 1
    assert read(COINM).instruments[BTC_INVERSE].contract_size == 100


def test_filters_are_mapped_and_unknown_ones_kept_as_text(read):
    filters = read(USDM).instruments[BTC].filters

    assert filters[:6] == (
        PriceFilter(D("556.8"), D(4529764), D("0.1")),
        AmountFilter(D("0.001"), D(1000), D("0.001")),
        AmountFilter(D("0.001"), D(120), D("0.001"), True),
        CountFilter("MAX_NUM_ORDERS", D(200)),
        NotionalFilter(D(100), None, True, False, reduce_only_exempt=True),
        PriceBandFilter(D("1.05"), D(0), D("1e24"), D("0.95")),
    )
    assert isinstance(filters[6], OtherFilter) and filters[6].name == "POSITION_RISK_CONTROL"
    assert CountFilter("MAX_NUM_ALGO_ORDERS", D(20)) in read(COINM).instruments[BTC_INVERSE].filters


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", InstrumentStatus.TRADING),
        ("PENDING_TRADING", InstrumentStatus.HALTED),
        ("SETTLING", InstrumentStatus.HALTED),
        ("TRADING_CANCEL_ONLY", InstrumentStatus.CANCEL_ONLY),
        ("PRE_DELIVERING", InstrumentStatus.OTHER),
        ("BRAND_NEW", InstrumentStatus.OTHER),
    ],
)
def test_status_keeps_its_word(read, word, status):
    for driver, listed in ((USDM, entry("BTCUSDT", status=word)), (COINM, inverse("BTCUSD_PERP", contractStatus=word))):
        (found,) = read(driver, listed).instruments.values()
        assert (found.status, found.status_text) == (status, word)


@pytest.mark.parametrize(
    ("driver", "bad", "reason"),
    [
        (USDM, entry("BTCUSDTX"), "the name is not"),
        (USDM, entry("BTCUSDT", marginAsset="USDC"), "Unsupported|has no"),
        (USDM, entry("BTCUSDT_261226", contractType="NEXT_QUARTER", deliveryDate=DECEMBER), "the name is not"),
        (USDM, entry("BTCUSDT", contractType="CURRENT_QUARTER"), "the name is not"),
        (USDM, entry("BTCUSDT", baseAssetPrecision=-1), "baseAssetPrecision"),
        (USDM, entry("BTCUSDT", filters=[{"filterType": "MIN_NOTIONAL", "notional": "NaN"}]), "MIN_NOTIONAL"),
        (COINM, inverse("BTCUSD_PERP", contractSize=0), "contractSize"),
        (COINM, {key: value for key, value in inverse("BTCUSD_PERP").items() if key != "contractSize"}, "contractSize"),
        (COINM, {**inverse("BTCUSD_PERP"), "contractStatus": None}, "neither status"),
    ],
)
def test_an_entry_that_cannot_be_read_costs_only_itself(read, driver, bad, reason):
    good = (
        entry("ETHUSDT", baseAsset="ETH")
        if driver is USDM
        else inverse("ETHUSD_PERP", baseAsset="ETH", marginAsset="ETH")
    )
    info = read(driver, bad, good)

    assert [instrument.venue_name for instrument in info.instruments.values()] == [good["symbol"]]
    (skipped,) = info.skipped
    assert skipped.venue_name == bad["symbol"]
    import re

    assert re.search(reason, skipped.reason)


def test_an_instrument_listed_twice_is_told(read):
    info = read(USDM, entry("BTCUSDT"), entry("BTCUSDT"))
    assert len(info.instruments) == 1 and "twice" in info.skipped[0].reason


def test_limits_have_the_names_that_requests_are_charged_by(read):
    for driver in (USDM, COINM):
        info = read(
            driver, rateLimits=[*LIMITS, {"rateLimitType": "X", "interval": "EON", "intervalNum": 1, "limit": 1}]
        )
        assert {limit.name: limit.points for limit in info.limits} == {
            "REQUEST_WEIGHT/60s": 2400,
            "ORDERS/60s": 1200,
            "ORDERS/10s": 300,
        }
        assert "EON" in info.skipped[0].reason


def test_coin_m_never_widens_the_pool_both_products_share(read):
    """Its host told 6,000 while the pool of both was 2,400: the larger figure would ban the address."""
    told = {limit.name: limit.points for limit in read(COINM).limits}
    assert told["REQUEST_WEIGHT/60s"] == 2400
    slower = [{**LIMITS[0], "limit": 1000}]
    assert {limit.points for limit in read(COINM, rateLimits=slower).limits} == {1000}


def test_both_products_share_budgets_and_pool():
    assert USDM.pool == COINM.pool != SPOT.pool
    assert [dataclasses.astuple(limit) for limit in USDM.limits] == [
        dataclasses.astuple(limit) for limit in COINM.limits
    ]


@pytest.mark.parametrize(
    ("driver", "text"),
    [
        (USDM, "BTC/USDT"),
        (USDM, "BTC/USD:BTC"),
        (USDM, "BTC/USDT:USDC"),
        (COINM, "BTC/USDT:USDT"),
        (COINM, "BTC/USD"),
    ],
)
def test_symbols_of_other_products_are_unsupported(driver, text):
    with pytest.raises(Unsupported, match="Expected a symbol like"):
        driver.wire_name(Symbol.parse(text))


def test_symbols_outside_ascii_keep_their_letters(read):
    info = read(USDM, entry("币安人生USDT", baseAsset="币安人生"))
    assert [str(symbol) for symbol in info.instruments] == ["币安人生/USDT:USDT"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"symbols":3}', b"<html>"])
def test_an_answer_that_is_no_list_is_refused(answer, body):
    for driver in (USDM, COINM):
        with pytest.raises(WireFormatError):
            driver.rest.read(InstrumentsQuery(), answer(body), None)
