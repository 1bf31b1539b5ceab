"""The venue `bybit`, linear contracts: perpetual and dated ones, in USDT and USDC."""

from __future__ import annotations

from connector.simulator.dialects.bybit import Bybit
from connector.simulator.dialects.bybit.listings import FIGURES, linear_listing

__all__ = ["FIGURES", "Dialect", "listing"]

listing = linear_listing


class Dialect(Bybit):
    """Contracts margined and settled in their quote coin."""

    category = "linear"
    duplicate_code = 110072
