"""Say where the two futures products of this venue differ: paths, units, field names, numbers of errors, limits.

Values only. Source: the venue's USDⓈ-M and COIN-M documents, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from connector.simulator.instruments import Listing, contract, first_price

__all__ = ["COINM", "USDM", "Product", "coinm_listing", "usdm_listing"]


class Product(NamedTuple):
    """One of the two products.

    `routed`: market streams are split over paths. `st`: the number it has in stream payloads. `codes`: its own numbers of errors
    that the other product numbers otherwise.
    """

    name: Literal["usdm", "coinm"]
    prefix: str
    api_path: str
    routed: bool
    st: int
    stp: str
    codes: Mapping[int, int]

    @property
    def linear(self) -> bool:
        """Margined in the quote asset, sized in the base asset."""
        return self.name == "usdm"


USDM = Product("usdm", "/fapi", "/ws-fapi/v1", True, 1, "EXPIRE_MAKER", {})
COINM = Product(
    "coinm",
    "/dapi",
    "/ws-dapi/v1",
    False,
    2,
    "NONE",
    {-5024: -4199, -5025: -4196, -5026: -4198, -5027: -4197, -5028: -4188, -4131: -4113, -4144: -4087, -4161: -4150},
)

_QUOTES = ("USDT", "USDC", "BTC")
_DATED = re.compile(r"([A-Z0-9]+)_([0-9]{6})")

# base: (tick, step) of the linear contract; tick, contract size of the inverse one.
_LINEAR = {
    "BTC": ("0.1", "0.001"),
    "ETH": ("0.01", "0.001"),
    "BNB": ("0.01", "0.01"),
    "SOL": ("0.01", "0.01"),
    "XRP": ("0.0001", "0.1"),
    "ADA": ("0.0001", "1"),
    "DOGE": ("0.00001", "1"),
    "LTC": ("0.01", "0.001"),
}
_INVERSE = {"BTC": ("0.1", "100"), "ETH": ("0.01", "10")}


def _expiry_ms(text: str) -> int:
    """Delivery is at 08:00 UTC of the day in the name."""
    day = datetime.strptime(text, "%y%m%d").replace(tzinfo=UTC, hour=8)
    return int(day.timestamp() * 1000)


def _split(symbol: str, wanted: str) -> tuple[str, int]:
    dated = _DATED.fullmatch(symbol)
    try:
        return (dated[1], _expiry_ms(dated[2])) if dated else (symbol, 0)
    except ValueError as wrong:
        raise ValueError(f"{symbol!r} names no contract of this venue; expected {wanted}") from wrong


def usdm_listing(symbol: str) -> Listing:
    """The contract of a name: `BTCUSDT`, or `BTCUSDT_261225` with its day of delivery.

    Raises:
        ValueError: it is no such name.
    """
    wanted = f"a base asset followed by one of {', '.join(_QUOTES)}, like BTCUSDT or BTCUSDT_261225"
    pair, expiry_ms = _split(symbol, wanted)
    quote = next((quote for quote in _QUOTES if pair.endswith(quote) and pair != quote), None)
    if quote is None or not re.fullmatch(r"[A-Z0-9]{2,20}", pair):
        raise ValueError(f"{symbol!r} names no contract of this venue; expected {wanted}")
    base = pair.removesuffix(quote)
    tick, step = ("0.00001", "0.001") if quote == "BTC" else _LINEAR.get(base, ("0.001", "0.1"))
    return contract(symbol, "linear", base, quote, tick=tick, step=step, pair=pair, expiry_ms=expiry_ms)


def coinm_listing(symbol: str) -> Listing:
    """The contract of a name: `BTCUSD_PERP`, or `BTCUSD_261225` with its day of delivery.

    Raises:
        ValueError: it is no such name.
    """
    wanted = "a base asset and USD with _PERP or a day, like BTCUSD_PERP or BTCUSD_261225"
    pair, expiry_ms = (symbol.removesuffix("_PERP"), 0) if symbol.endswith("_PERP") else _split(symbol, wanted)
    if pair == symbol or not re.fullmatch(r"[A-Z0-9]{1,17}USD", pair):
        raise ValueError(f"{symbol!r} names no contract of this venue; expected {wanted}")
    base = pair.removesuffix("USD")
    price = first_price(base, "USDT")
    tick, size = _INVERSE.get(base, ("0.00001" if price.startswith("0") else "0.001", "10"))
    return contract(
        symbol, "inverse", base, "USD", price=price, tick=tick, step="1", size=size, pair=pair, expiry_ms=expiry_ms
    )
