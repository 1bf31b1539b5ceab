"""Orders and fills as immutable values. What may follow what is decided in `orders`; nothing here changes a state."""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from connector.domain.account import PositionSide
from connector.domain.market import Side
from connector.domain.symbols import Symbol

__all__ = ["Fill", "FillKey", "FillKind", "Order", "OrderStatus", "OrderType", "TimeInForce"]


class OrderType(enum.Enum):
    LIMIT = "limit"
    MARKET = "market"
    LIMIT_MAKER = "limit_maker"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    OTHER = "other"


class TimeInForce(enum.Enum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    OTHER = "other"


class OrderStatus(enum.Enum):
    """UNKNOWN: it may or may not exist at the venue. Final: FILLED, CANCELED, REJECTED, EXPIRED; they never change again."""

    UNKNOWN = "unknown"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})


class Order(msgspec.Struct, frozen=True, gc=False):
    """What is known of one order.

    Attributes:
        client_id: ours, unique for ever.
        venue_id: the venue's; None until it told us.
        status_text: the venue's own word; "" until it told us.
        quantity, filled: base units. `quantity` is 0 where there is none yet: an order that closes whatever the position is then,
            and one for contracts whose worth needs a price that nobody told yet.
        price: None on market orders. average_price: None before the first fill.
        event_time_ns: the venue's time of this state; None until it told us.
        received_ns: our clock when we learned of this state.
        contracts, filled_contracts: what the venue counts where that is not base units; None elsewhere. On inverse contracts
            these are exact, `quantity` is their worth at `price` and `filled` what the fills come to.
        in_contracts: it was placed in contracts, so the quantity of an amend is in contracts too.
    """

    venue: str
    symbol: Symbol
    event_time_ns: int | None
    received_ns: int
    client_id: str
    venue_id: str | None
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    status_text: str
    quantity: Decimal
    filled: Decimal
    price: Decimal | None = None
    average_price: Decimal | None = None
    recovered: bool = False
    contracts: Decimal | None = None
    filled_contracts: Decimal | None = None
    reduce_only: bool = False
    position_side: PositionSide = PositionSide.NET
    in_contracts: bool = False


FillKey = tuple[Symbol, str, Side]
"""What makes a fill the same one: its symbol, its trade id and its side, since both sides of a trade may be ours."""


class FillKind(enum.Enum):
    """TRADE is an ordinary execution. The others happened to us: nobody here asked for them."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    DELEVERAGING = "deleveraging"
    SETTLEMENT = "settlement"


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution of one of our orders, or one the venue forced; counted exactly once, by its `key`.

    Attributes:
        quantity: base units.
        fee: negative is a rebate.
        contracts: what the venue counts where that is not base units.
        realized: profit it realized, without fee, in the settle asset; None where the venue does not tell it.
        position_side: of the position it changed.
    """

    venue: str
    symbol: Symbol
    event_time_ns: int
    received_ns: int
    trade_id: str
    client_id: str
    venue_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str | None
    is_maker: bool
    recovered: bool = False
    contracts: Decimal | None = None
    realized: Decimal | None = None
    kind: FillKind = FillKind.TRADE
    position_side: PositionSide = PositionSide.NET

    @property
    def key(self) -> FillKey:
        """What tells it from every other fill. The side counts: where two orders of one account meet, one trade is two fills."""
        return self.symbol, self.trade_id, self.side
