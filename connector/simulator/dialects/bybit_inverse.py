"""The venue `bybit`, inverse contracts: perpetual and dated ones, counted in dollars and settled in their coin."""

from __future__ import annotations

from connector.simulator.dialects.bybit import Bybit
from connector.simulator.dialects.bybit.listings import FIGURES, inverse_listing

__all__ = ["FIGURES", "Dialect", "listing"]

listing = inverse_listing


class Dialect(Bybit):
    """Contracts margined and settled in their base coin."""

    category = "inverse"
    duplicate_code = 110072
