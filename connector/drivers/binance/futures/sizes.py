"""What the venue counts, in base units: the same on USDⓈ-M, contracts times their size by the price on COIN-M.

The arithmetic is `domain.contracts`'; this module only says where it is needed. Zero stays zero, whatever the price.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from connector.domain.contracts import base_units
from connector.domain.instruments import Instrument
from connector.domain.symbols import Product
from connector.drivers.binance.wire import ZERO, Levels

__all__ = ["base", "contracts", "levels"]


def _counts_contracts(instrument: Instrument) -> bool:
    return instrument.product is Product.INVERSE


def base(instrument: Instrument, counted: Decimal, price: Decimal) -> Decimal:
    """Base units of what the venue counted. A price of zero is no price: the worth is then not known, and zero."""
    if not _counts_contracts(instrument):
        return counted
    return base_units(instrument, counted, price) if counted and price else ZERO


def contracts(instrument: Instrument, counted: Decimal) -> Decimal | None:
    """What stands beside base units: the contracts, or None where they are the same."""
    return counted if _counts_contracts(instrument) else None


def levels(instrument: Instrument) -> Callable[[Levels], Levels]:
    """How levels of a book are written in base units."""
    if not _counts_contracts(instrument):
        return lambda told: told
    return lambda told: tuple((price, base_units(instrument, counted, price)) for price, counted in told)
