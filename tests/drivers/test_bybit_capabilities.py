"""What the three drivers declare is what their tables hold, and what the documentation's page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.domain import Symbol, Topic
from connector.domain.symbols import Product
from connector.domain.topics import TopicKind
from connector.drivers import bybit
from connector.drivers.bybit import facts
from connector.drivers.bybit.rest import questions_of
from connector.drivers.bybit.streams import readers_of
from connector.drivers.registry import find_driver
from connector.drivers.table import capability_table
from connector.errors import Unsupported

PAGE = Path(__file__).resolve().parents[2] / "docs" / "venues" / "bybit.md"


def test_drivers_are_found_by_name_and_serve_one_product_each():
    assert [driver.name for driver in bybit.DRIVERS] == ["bybit", "bybit-linear", "bybit-inverse"]
    for driver, product in zip(bybit.DRIVERS, (Product.SPOT, Product.LINEAR, Product.INVERSE), strict=True):
        assert find_driver(driver.name) is driver and driver.products == {product}


@pytest.mark.parametrize("market", facts.MARKETS, ids=lambda market: market.name)
def test_declared_is_what_the_tables_hold(market):
    driver = find_driver(market.name)
    declared = {(item.area, item.name) for item in driver.capabilities}
    assert {name for area, name in declared if area == "query"} == {each.name for each in questions_of(market).values()}
    assert {name for area, name in declared if area == "stream"} == {kind.value for kind in readers_of(market)}
    assert {name for area, name in declared if area == "environment"} == {"live", "testnet", "demo"}
    assert (("account", "positions") in declared) is (driver.positions is not None)
    assert (("order", "hedge mode") in declared) is (market.product is Product.LINEAR)


@pytest.mark.parametrize("market", facts.MARKETS, ids=lambda market: market.name)
def test_stream_not_declared_is_unsupported(market):
    driver = find_driver(market.name)
    symbol = {
        Product.SPOT: Symbol("BTC", "USDT"),
        Product.LINEAR: Symbol("BTC", "USDT", "USDT"),
        Product.INVERSE: Symbol("BTC", "USD", "BTC"),
    }[market.product]
    extra = {TopicKind.CANDLES: {"interval": "1m"}, TopicKind.PARTIAL_BOOK: {"depth": 50}}
    for kind in TopicKind:
        topic = Topic(kind, symbol, **extra.get(kind, {}))
        if kind in readers_of(market):
            assert driver.streams.name(topic)
        else:
            with pytest.raises(Unsupported):
                driver.streams.name(topic)


def test_page_holds_the_printed_table_every_code_every_host_and_every_region():
    if not PAGE.exists():
        pytest.skip("the docs are not part of this checkout")
    page = PAGE.read_text(encoding="utf-8")
    assert capability_table(bybit.DRIVERS) in page
    for reaction in facts.Reaction:
        codes = ", ".join(code for code, what in facts.ERRORS.items() if what is reaction)
        assert f"| {codes} | {reaction.value} |" in page
    roots = {root for hosts in facts.HOSTS.values() for root in (hosts.rest, hosts.public_stream, hosts.events_root)}
    roots |= {region.rest for region in facts.REGIONS.values()}
    roots |= {region.streams for region in facts.REGIONS.values() if region.streams}
    assert not [root for root in roots if root not in page]
