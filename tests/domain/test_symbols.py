"""One notation for all venues, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.domain import Product, Symbol
from connector.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "parts", "product"),
    [
        ("BTC/USDT", ("BTC", "USDT", None, None), Product.SPOT),
        ("BTC/USDT:USDT", ("BTC", "USDT", "USDT", None), Product.LINEAR),
        ("BTC/USD:BTC", ("BTC", "USD", "BTC", None), Product.INVERSE),
        ("BTC/USDT:USDT-261225", ("BTC", "USDT", "USDT", "261225"), Product.LINEAR),
        ("1000SATS/USDT", ("1000SATS", "USDT", None, None), Product.SPOT),
        ("币安人生/USDT", ("币安人生", "USDT", None, None), Product.SPOT),
    ],
)
def test_notation_is_read_and_written_back(text, parts, product):
    symbol = Symbol.parse(text)
    assert (symbol.base, symbol.quote, symbol.settle, symbol.expiry) == parts
    assert symbol.product is product
    assert str(symbol) == text
    assert Symbol.parse(symbol) is symbol
    assert repr(symbol) == f"<Symbol {text}>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BTCUSDT",
        "BTC/",
        "/USDT",
        "BTC/USDT/EUR",
        "BTC /USDT",
        "BTC/USDT:",
        "BTC/USDT:USDT-26",
        "BTC/USDT:USDT-2612256",
        "BTC/USDT\n",
        None,
        7,
    ],
)
def test_other_text_is_refused_with_an_example_of_what_is_expected(text):
    with pytest.raises(InvalidRequest, match="'BTC/USDT'"):
        Symbol.parse(text)


def test_dated_symbol_without_settlement_is_refused():
    with pytest.raises(InvalidRequest, match="settle"):
        Symbol("BTC", "USDT", None, "261225")


asset = st.text("ABCXYZ019", min_size=1, max_size=8)


@given(base=asset, quote=asset, settle=st.none() | asset, expiry=st.none() | st.just("261225"))
def test_every_symbol_survives_its_own_text(base, quote, settle, expiry):
    symbol = Symbol(base, quote, settle, expiry if settle else None)
    assert Symbol.parse(str(symbol)) == symbol
    assert hash(Symbol.parse(str(symbol))) == hash(symbol)


def test_symbols_sort_by_base_then_quote():
    texts = ["ETH/BTC", "BTC/USDT", "BTC/EUR"]
    assert [str(symbol) for symbol in sorted(map(Symbol.parse, texts))] == ["BTC/EUR", "BTC/USDT", "ETH/BTC"]
