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
from connector.errors import WireFormatError

__all__ = ["base", "contracts", "levels"]


def _counts_contracts(instrument: Instrument) -> bool:
    return instrument.product is Product.INVERSE


def base(instrument: Instrument, counted: Decimal, price: Decimal) -> Decimal:
    """Base units of what the venue counted. A price of zero is no price: the worth is then not known, and zero.

    Raises:
        WireFormatError: so little that nothing is left of it at 16 places: an absurd price or amount.
    """
    if not _counts_contracts(instrument):
        return counted
    return _worth(instrument, counted, price) if counted and price else ZERO


def _worth(instrument: Instrument, counted: Decimal, price: Decimal) -> Decimal:
    units = base_units(instrument, counted, price)
    if counted and not units:
        raise WireFormatError("quantity", f"{counted!s:.40} contracts at {price!s:.40} come to nothing")
    return units


def contracts(instrument: Instrument, counted: Decimal) -> Decimal | None:
    """What stands beside base units: the contracts, or None where they are the same."""
    return counted if _counts_contracts(instrument) else None


def levels(instrument: Instrument) -> Callable[[Levels], Levels]:
    """How levels of a book are written in base units: no level but an empty one becomes empty. Raises as `base`."""
    if not _counts_contracts(instrument):
        return lambda told: told
    return lambda told: tuple((price, _worth(instrument, counted, price)) for price, counted in told)
