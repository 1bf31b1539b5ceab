"""Say what the simulated exchange lists: names, steps and a first price per symbol.

Values only. Well-known pairs come from a table; any other name is split at a known quote asset and gets a price drawn from
its letters, so that a test may list `ABCUSDT` and always see the same market. Money is kept as integers in units of 1e-8
(`_e8`), the precision these venues print. A listing is a spot pair or a contract: linear ones are margined and settled in the
quote asset, inverse ones in the base asset.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

__all__ = ["SCALE", "Bracket", "Listing", "brackets_for", "contract", "e8", "first_price", "listing", "text_e8"]

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


class Bracket(msgspec.Struct, frozen=True):
    """What holds for positions worth more than `floor_e8` and up to `cap_e8` of the settle asset: the highest leverage, the
    maintenance rate, and what is taken off the maintenance margin so that it grows without a jump."""

    floor_e8: int
    cap_e8: int
    leverage: int
    rate_e8: int
    cut_e8: int


class Listing(msgspec.Struct, frozen=True):
    """One symbol as listed. `tick_e8`, `step_e8` and `price_e8` are in units of 1e-8.

    `filters` replaces or adds rows of the dialect's list of filters, told apart by their type; one named MAX_ASSET is shown only
    where the venue shows it. `name` is what the venue calls it where two products share a name and `symbol` must differ.

    Of contracts only: `size_e8` is what one unit of quantity stands for (base units when linear, quote units when inverse),
    `settle` the asset of margin, profit and fees, `pair` the underlying pair, `expiry_ms` its end (0: perpetual),
    `funding_h` the hours between fundings (0: none), `brackets` the risk table, `takeover_e8` the fee of a liquidation.
    """

    symbol: str
    base: str
    quote: str
    tick_e8: int
    step_e8: int
    price_e8: int
    filters: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    product: Literal["spot", "linear", "inverse"] = "spot"
    size_e8: int = SCALE
    settle: str = ""
    pair: str = ""
    expiry_ms: int = 0
    funding_h: int = 0
    brackets: tuple[Bracket, ...] = ()
    takeover_e8: int = 1_250_000

    @property
    def is_contract(self) -> bool:
        """Held as a position on margin, not owned."""
        return self.product != "spot"

    @property
    def lot_worth_e16(self) -> int:
        """What one lot is worth in the quote asset at the first price, in 1e-16."""
        units = self.step_e8 * self.size_e8
        return units if self.product == "inverse" else units * self.price_e8 // SCALE

    def __post_init__(self) -> None:
        if self.is_contract and not (self.settle and self.brackets and self.size_e8 > 0):
            raise ValueError(
                f"{self.symbol}: a contract needs a settle asset, a size above zero and brackets; see contract()"
            )
        if self.tick_e8 < 1 or self.step_e8 < 1 or self.price_e8 < self.tick_e8 * 200:
            raise ValueError(
                f"{self.symbol}: tick and step must be at least 1e-8 and the price at least 200 ticks, got "
                f"tick={self.tick_e8} step={self.step_e8} price={self.price_e8} (in 1e-8). List it with finer steps."
            )


# (largest position in thousands of dollars, highest leverage, maintenance rate in 1e-8); plausible, not quoted from anywhere.
_RISK = (
    (50, 125, 400_000),
    (600, 100, 500_000),
    (3_000, 75, 650_000),
    (12_000, 50, 1_000_000),
    (70_000, 25, 2_000_000),
    (100_000, 20, 2_500_000),
    (230_000, 10, 5_000_000),
    (480_000, 5, 10_000_000),
    (600_000, 4, 12_500_000),
    (800_000, 3, 15_000_000),
    (1_200_000, 2, 25_000_000),
    (1_800_000, 1, 50_000_000),
)


def brackets_for(unit_e8: int = SCALE) -> tuple[Bracket, ...]:
    """The usual risk table; `unit_e8` is how much of the settle asset one dollar is."""
    rows: list[Bracket] = []
    floor = cut = last = 0
    for thousands, leverage, rate in _RISK:
        cut += floor * (rate - last) // SCALE
        cap = thousands * 1000 * unit_e8
        rows.append(Bracket(floor, cap, leverage, rate, cut))
        floor, last = cap, rate
    return tuple(rows)


def first_price(base: str, quote: str) -> str:
    """A plausible price as decimal text: that of the best known pair of these assets, or one drawn from the name."""
    for pair in (base + quote, base + "USDT", quote + base):
        if pair in _KNOWN:
            return _KNOWN[pair][0]
    return str(1 + zlib.crc32((base + quote).encode()) % 900)


def contract(
    symbol: str,
    product: Literal["linear", "inverse"],
    base: str,
    quote: str,
    *,
    price: str | None = None,
    tick: str = "0.1",
    step: str = "0.001",
    size: str = "1",
    settle: str = "",
    pair: str = "",
    name: str = "",
    expiry_ms: int = 0,
    funding_h: int = 8,
    filters: tuple[Mapping[str, Any], ...] = (),
    brackets: tuple[Bracket, ...] = (),
) -> Listing:
    """The listing of a contract. Amounts are decimal text; a dated one (`expiry_ms`) has no funding.

    Raises:
        ValueError: a number makes no sense.
    """
    price_e8 = e8(price or first_price(base, quote))
    return Listing(
        symbol=symbol,
        base=base,
        quote=quote,
        price_e8=price_e8,
        tick_e8=e8(tick),
        step_e8=e8(step),
        filters=filters,
        name=name,
        product=product,
        size_e8=e8(size),
        settle=settle or (quote if product == "linear" else base),
        pair=pair or base + quote,
        expiry_ms=expiry_ms,
        funding_h=0 if expiry_ms else funding_h,
        brackets=brackets or brackets_for(SCALE if product == "linear" else SCALE * SCALE // price_e8),
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
