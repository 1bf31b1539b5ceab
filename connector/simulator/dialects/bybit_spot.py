"""The venue `bybit`, spot."""

from __future__ import annotations

from connector.simulator.dialects.bybit import Bybit

__all__ = ["Dialect"]


class Dialect(Bybit):
    """Coins against coins."""

    category = "spot"
