"""Say what a bare name lists on this venue's contract markets.

`BTCUSDT`, `BTCPERP`, `BTCUSDT-26DEC26`, `BTC-26DEC26` are linear, `BTCUSD` and `BTCUSDH27` inverse. Steps of known coins are
plausible ones, others follow from the price. Source: the venue's V5 integration guide and enums, read 2026-11.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from connector.simulator.instruments import Listing, contract, first_price

__all__ = ["FIGURES", "inverse_listing", "linear_listing"]

FIGURES = {"connects_per_5min": 500}
"""The venue's own limits, in the words of the settings."""

_LINEAR = re.compile(r"(?P<base>[A-Z0-9]{2,15}?)(?P<quote>USDT|PERP|)(?:-(?P<day>[0-9]{2}[A-Z]{3}[0-9]{2}))?")
_INVERSE = re.compile(r"(?P<base>[A-Z0-9]{2,15}?)USD(?:(?P<month>[HMUZ])(?P<year>[0-9]{2}))?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_QUARTERS = {"H": 3, "M": 6, "U": 9, "Z": 12}
_TICKS = {"BTC": "0.1", "ETH": "0.01"}
_STEPS = {"BTC": "0.001", "ETH": "0.01"}


def _tick(base: str, price: Decimal) -> str:
    return _TICKS.get(base) or f"{Decimal(1).scaleb(min(0, max(-8, price.adjusted() - 4))):f}"


def _step(base: str, price: Decimal) -> str:
    return _STEPS.get(base) or f"{Decimal(1).scaleb(max(-4, 1 - price.adjusted())):f}"


def linear_listing(symbol: str) -> Listing:
    """The listing of a linear contract's name.

    Raises:
        ValueError: it is none.
    """
    match = _LINEAR.fullmatch(symbol)
    if match is None or (not match["quote"] and not match["day"]) or (match["quote"] == "PERP" and match["day"]):
        raise ValueError(
            f"{symbol!r} is no linear contract here: expected a name like BTCUSDT, BTCPERP, BTCUSDT-26DEC26 or BTC-26DEC26"
        )
    base, quote = match["base"], "USDT" if match["quote"] == "USDT" else "USDC"
    expiry_ms = 0
    if match["day"]:
        day, month, year = match["day"][:2], match["day"][2:5], match["day"][5:]
        if month not in _MONTHS:
            raise ValueError(f"{symbol!r}: {month} is no month")
        expiry_ms = int(
            datetime(2000 + int(year), _MONTHS.index(month) + 1, int(day), 8, tzinfo=UTC).timestamp() * 1000
        )
    price = first_price(base, quote)
    tick, step = _tick(base, Decimal(price)), _step(base, Decimal(price))
    return contract(symbol, "linear", base, quote, price=price, tick=tick, step=step, expiry_ms=expiry_ms)


def inverse_listing(symbol: str) -> Listing:
    """The listing of an inverse contract's name; dated ones end on the last Friday of their quarter, 08:00 UTC.

    Raises:
        ValueError: it is none.
    """
    match = _INVERSE.fullmatch(symbol)
    if match is None:
        raise ValueError(f"{symbol!r} is no inverse contract here: expected a name like BTCUSD or BTCUSDH27")
    expiry_ms = 0
    if match["month"]:
        month, year = _QUARTERS[match["month"]], 2000 + int(match["year"])
        days = [day for day in range(22, 32) if _is_friday(year, month, day)]
        expiry_ms = int(datetime(year, month, days[-1], 8, tzinfo=UTC).timestamp() * 1000)
    price = first_price(match["base"], "USD")
    tick = _tick(match["base"], Decimal(price))
    return contract(
        symbol, "inverse", match["base"], "USD", price=price, tick=tick, step="1", size="1", expiry_ms=expiry_ms
    )


def _is_friday(year: int, month: int, day: int) -> bool:
    try:
        return datetime(year, month, day, tzinfo=UTC).weekday() == 4
    except ValueError:
        return False
