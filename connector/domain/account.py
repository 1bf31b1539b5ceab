"""Balances and positions as immutable values, in one meaning for all venues."""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from connector.domain.symbols import Symbol

__all__ = ["Balance", "FundingPayment", "MarginMode", "Position", "PositionMode", "PositionSide"]


class Balance(msgspec.Struct, frozen=True):
    """One asset of one account: `total` = `free` + `locked`, in units of the asset.

    Of a margin account `total` is the wallet balance, without the profit of open positions. Margin in use is not a lock: what
    can be traded with depends on prices, and the venue alone decides it.
    """

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


class PositionMode(enum.Enum):
    """ONE_WAY: one position a symbol. HEDGE: a long and a short one side by side."""

    ONE_WAY = "one_way"
    HEDGE = "hedge"


class MarginMode(enum.Enum):
    """CROSS: all positions share the account's margin. ISOLATED: a position has its own. PORTFOLIO: the venue's risk model."""

    CROSS = "cross"
    ISOLATED = "isolated"
    PORTFOLIO = "portfolio"


class Position(msgspec.Struct, frozen=True):
    """One position, also when there is nothing in it.

    Attributes:
        quantity: base units, negative when short; of an inverse contract at `entry_price`, since its worth moves with the price.
        entry_price: None when flat.
        unrealized: in the settle asset, as the venue told it at that time.
        contracts: as the venue counts them, signed like `quantity`; None where it trades in base units.
        margin_mode, margin: `margin` is that of an isolated position; None where not told.
        sequence: of the venue, rising with every change of the position; None where it has none.
    """

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
    contracts: Decimal | None = None
    mark_price: Decimal | None = None
    margin_mode: MarginMode | None = None
    margin: Decimal | None = None
    sequence: int | None = None


class FundingPayment(msgspec.Struct, frozen=True):
    """Funding paid (negative) or received on a position.

    Attributes:
        payment_id: unique per symbol; the venue's, or made of what identifies it there.
        symbol: None where the venue tells only the asset.
    """

    venue: str
    symbol: Symbol | None
    event_time_ns: int
    received_ns: int
    payment_id: str
    asset: str
    amount: Decimal
    recovered: bool = False
