"""Balances and positions as immutable values, in one meaning for all venues."""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from connector.domain.symbols import Symbol

__all__ = ["Balance", "Position", "PositionSide"]


class Balance(msgspec.Struct, frozen=True):
    """One asset of one account: `total` = `free` + `locked`, in units of the asset."""

    venue: str
    asset: str
    event_time_ns: int | None
    received_ns: int
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        return self.free + self.locked


class PositionSide(enum.Enum):
    """NET in one-way mode; LONG and SHORT where both are held side by side."""

    NET = "net"
    LONG = "long"
    SHORT = "short"


class Position(msgspec.Struct, frozen=True):
    """One position: `quantity` in base units, negative when short."""

    venue: str
    symbol: Symbol
    event_time_ns: int | None
    received_ns: int
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal | None
    unrealized: Decimal | None = None
    liquidation_price: Decimal | None = None
    leverage: Decimal | None = None
