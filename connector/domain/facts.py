"""What a venue says about an account: reports of orders, fills and balances, as facts in one form for all venues.

A fact is what was said, not what is true by now: `orders` decides what it changes. The same fact may come by the private
stream, in the answer to a command, or from a question; `received_ns` and the order of arrival prove nothing about the order
of events.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol

__all__ = [
    "AccountFact",
    "BalanceChange",
    "BalanceReport",
    "ListReport",
    "OrderReport",
    "PositionReport",
    "StreamEnded",
]


class OrderReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One order's state as the venue told it.

    Attributes:
        client_id: the order's own id (not that of a cancel request); "" when the venue gave none.
        status: None when the venue's word (`status_text`) is not known to this version; never taken as final then.
        filled, quote_filled: cumulative, base and quote units.
        version: rises with every event of the order where the venue counts them (execution id, update time); None elsewhere.
        fill: the execution this report is about; None for other changes.
        reason: the venue's own word for a rejection or expiry; "" otherwise.
        working: False while a conditional or pending order is not on the book.
        contracts, filled_contracts: what the venue counts, where those are not base units; `quantity` and `filled` are then
            worked out from them, at the order's price or at what was traded, and are exact on linear contracts only.
        kind: of the fills it makes, where the order shows it: one the venue placed to close our position is not TRADE. Lists
            of executions often do not show it.
    """

    venue: str
    symbol: Symbol
    event_time_ns: int | None
    received_ns: int
    client_id: str
    venue_id: str
    side: Side
    type: OrderType
    type_text: str
    time_in_force: TimeInForce
    status: OrderStatus | None
    status_text: str
    quantity: Decimal
    filled: Decimal
    quote_filled: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    version: int | None = None
    fill: Fill | None = None
    reason: str = ""
    working: bool = True
    list_id: str | None = None
    contracts: Decimal | None = None
    filled_contracts: Decimal | None = None
    reduce_only: bool = False
    position_side: PositionSide = PositionSide.NET
    kind: FillKind = FillKind.TRADE


class BalanceReport(msgspec.Struct, frozen=True):
    """Absolute balances of some assets; `complete` says that assets not named are zero."""

    venue: str
    event_time_ns: int | None
    received_ns: int
    balances: tuple[tuple[str, Decimal, Decimal], ...]
    """(asset, free, locked)"""
    complete: bool


class BalanceChange(msgspec.Struct, frozen=True):
    """A signed change outside trading: deposit, withdrawal, transfer."""

    venue: str
    event_time_ns: int | None
    received_ns: int
    asset: str
    change: Decimal


class ListReport(msgspec.Struct, frozen=True):
    """State of a group of orders that depend on one another."""

    venue: str
    symbol: Symbol
    event_time_ns: int | None
    received_ns: int
    list_id: str
    client_id: str
    kind_text: str
    status_text: str
    orders: tuple[tuple[str, str], ...]
    """(client id, venue id)"""


class PositionReport(msgspec.Struct, frozen=True):
    """Absolute positions.

    Attributes:
        complete: positions of this driver's product that are not named are flat.
    """

    venue: str
    event_time_ns: int | None
    received_ns: int
    positions: tuple[Position, ...]
    complete: bool


class StreamEnded(msgspec.Struct, frozen=True):
    """The venue ended the private stream: subscribe again, then reconcile."""

    reason: str


AccountFact = (
    OrderReport | Fill | BalanceReport | BalanceChange | ListReport | PositionReport | FundingPayment | StreamEnded
)
