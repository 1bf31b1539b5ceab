"""Say what the simulated exchange lists: names, steps and a first price per symbol.

Values only. Well-known pairs come from a table; any other name is split at a known quote asset and gets a price drawn from
its letters, so that a test may list `ABCUSDT` and always see the same market. Money is kept as integers in units of 1e-8
(`_e8`), the precision these venues print.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["SCALE", "Listing", "e8", "listing", "text_e8"]

SCALE = 10**8
"""One whole coin, or one whole unit of the quote asset, in integer units."""

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "USD")

_NAME = re.compile(r"[A-Z0-9]{2,20}")

# symbol: (first price, tick, lot step); rounded to plausible values, not quotes of any day.
_KNOWN = {
    "BTCUSDT": ("64000", "0.01", "0.00001"),
    "ETHUSDT": ("3200", "0.01", "0.0001"),
    "ETHBTC": ("0.05", "0.00001", "0.0001"),
    "BNBUSDT": ("580", "0.01", "0.001"),
    "BNBBTC": ("0.009", "0.000001", "0.001"),
    "SOLUSDT": ("150", "0.01", "0.001"),
    "XRPUSDT": ("0.52", "0.0001", "0.1"),
    "ADAUSDT": ("0.45", "0.0001", "0.1"),
    "DOGEUSDT": ("0.12", "0.00001", "1"),
    "LTCUSDT": ("72", "0.01", "0.001"),
    "LTCBTC": ("0.0011", "0.000001", "0.001"),
    "BTCEUR": ("59000", "0.01", "0.00001"),
    "BTCUSDC": ("64000", "0.01", "0.00001"),
}


class Listing(msgspec.Struct, frozen=True):
    """One symbol as listed. `tick_e8`, `step_e8` and `price_e8` are in units of 1e-8.

    `filters` replaces or adds rows of the dialect's list of filters, told apart by their type; one named MAX_ASSET is shown only
    where the venue shows it.
    """

    symbol: str
    base: str
    quote: str
    tick_e8: int
    step_e8: int
    price_e8: int
    filters: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.tick_e8 < 1 or self.step_e8 < 1 or self.price_e8 < self.tick_e8 * 200:
            raise ValueError(
                f"{self.symbol}: tick and step must be at least 1e-8 and the price at least 200 ticks, got "
                f"tick={self.tick_e8} step={self.step_e8} price={self.price_e8} (in 1e-8). List it with finer steps."
            )


def listing(symbol: str, price: str | None = None, tick: str | None = None, step: str | None = None) -> Listing:
    """The listing of a symbol: from the table, or derived from its name; each number can be given as decimal text.

    Raises:
        ValueError: the name does not end in a quote asset this simulator knows, or has other letters than A-Z and 0-9.
    """
    quote = next((q for q in QUOTES if symbol.endswith(q) and symbol != q), None)
    if quote is None or not _NAME.fullmatch(symbol):
        raise ValueError(
            f"{symbol!r} is not a base asset followed by one of {', '.join(QUOTES)}; list it under such a name"
        )
    letters = zlib.crc32(symbol.encode())
    derived = (str(1 + letters % 900), "0.001", "0.01")
    if quote in ("BTC", "ETH", "BNB"):
        derived = (f"0.0{1 + letters % 9}", "0.00001", "0.01")
    known = _KNOWN.get(symbol, derived)
    return Listing(
        symbol=symbol,
        base=symbol.removesuffix(quote),
        quote=quote,
        price_e8=e8(price or known[0]),
        tick_e8=e8(tick or known[1]),
        step_e8=e8(step or known[2]),
    )


def text_e8(value: int) -> str:
    """Print units of 1e-8 as the venues do: plain decimal text with eight places."""
    if value < 0:
        return "-" + text_e8(-value)
    return f"{value // SCALE}.{value % SCALE:08d}"


def e8(amount: str | int | Decimal) -> int:
    """An amount as units of 1e-8.

    Raises:
        ValueError: it is no number, or has more than eight decimal places.
    """
    try:
        scaled = Decimal(amount) * SCALE
        whole = int(scaled)
    except (ArithmeticError, ValueError) as wrong:
        raise ValueError(f"{amount!r} is not an amount") from wrong
    if scaled != whole:
        raise ValueError(f"{amount} has more than eight decimal places")
    return whole
