"""The venue `bybit`, spot."""

from __future__ import annotations

from connector.simulator.dialects.bybit import Bybit
from connector.simulator.dialects.bybit.listings import FIGURES

__all__ = ["FIGURES", "Dialect"]


class Dialect(Bybit):
    """Coins against coins."""

    category = "spot"
    duplicate_code = 170141
