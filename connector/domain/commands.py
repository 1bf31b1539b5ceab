"""What an engine may order: frozen messages for a venue's order actor, by `ask`, `tell` or proxy. Values only.

Quantities are base units, prices quote units per base unit, always `Decimal`: a float is refused when the command is made.
`client_id` None lets the library choose one; ids are unique for ever and written to the journal before anything is sent.
Each command names its answer.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from connector.domain.account import MarginMode, PositionMode, PositionSide
from connector.domain.market import Side
from connector.domain.orders import Order, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest

__all__ = [
    "AmendOrder",
    "CancelAll",
    "CancelOrder",
    "Command",
    "Configure",
    "Evidence",
    "OrderListKind",
    "OrderOutcome",
    "OutcomeKind",
    "PlaceBatch",
    "PlaceOrder",
    "PlaceOrderList",
    "SelfTrade",
    "SetLeverage",
    "SetMarginMode",
    "SetPositionMode",
    "TriggerPrice",
]


class SelfTrade(enum.Enum):
    """What happens when two of one's own orders would meet."""

    NONE = "none"
    EXPIRE_TAKER = "expire_taker"
    EXPIRE_MAKER = "expire_maker"
    EXPIRE_BOTH = "expire_both"
    DECREMENT = "decrement"


class TriggerPrice(enum.Enum):
    """Which price has to come to an order's `stop_price`."""

    LAST = "last"
    MARK = "mark"
    INDEX = "index"


def _decimals(command: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(command, name)
        if value is not None and (not isinstance(value, Decimal) or not value.is_finite()):
            raise InvalidRequest(
                f"{type(command).__name__}.{name} is {value!r}; expected a finite Decimal made from text, like Decimal('0.1')."
            )


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Place one order. Answer: OrderOutcome.

    Attributes:
        quantity: base units; None only on market orders with `quote_quantity`, with `contracts`, or with `close_position`.
        contracts: instead of `quantity`, in what the venue counts: exact on inverse contracts, whose worth in base units moves
            with the price.
        quote_quantity: market orders: how much quote to spend or receive.
        price: needed by limit kinds, refused on market kinds.
        stop_price, trailing_bips: trigger of stop and take-profit kinds; one or both.
        time_in_force: GTC by default on limit kinds; None elsewhere.
        trigger_by: which price triggers it; None takes the venue's default.
        iceberg_quantity: the visible part.
        reduce_only: it may make a position smaller, never larger or turned round.
        close_position: with a trigger: close whatever the position is then; no quantity.
        position_side: NET in one-way mode; in hedge mode LONG or SHORT, the position it changes.
        test: True lets the venue check it and places nothing.
    """

    symbol: Symbol
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_bips: int | None = None
    time_in_force: TimeInForce | None = None
    client_id: str | None = None
    iceberg_quantity: Decimal | None = None
    self_trade: SelfTrade | None = None
    reduce_only: bool = False
    test: bool = False
    contracts: Decimal | None = None
    trigger_by: TriggerPrice | None = None
    close_position: bool = False
    position_side: PositionSide = PositionSide.NET

    def __post_init__(self) -> None:
        _decimals(self, "quantity", "quote_quantity", "price", "stop_price", "iceberg_quantity", "contracts")


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Cancel one order of ours. Answer: OrderOutcome; final only with the final filled quantity.

    Attributes:
        client_id: ours. Orders of other programs are never touched.
    """

    symbol: Symbol
    client_id: str


class CancelAll(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel every open order of ours (of one symbol, or of all when None), one by one. Answer: tuple[OrderOutcome, ...]."""

    symbol: Symbol | None = None


class AmendOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change an open order in place, where the venue can. Answer: OrderOutcome.

    What the venue can change is in its driver's `OrderRules.amends`; whether the order keeps its place in the queue is the
    venue's affair.

    Attributes:
        quantity: the new whole quantity, filled part included, in what the order was placed in (contracts for one placed in
            contracts, else base units); None leaves it.
        price: the new limit price; None leaves it.
    """

    symbol: Symbol
    client_id: str
    quantity: Decimal | None = None
    price: Decimal | None = None

    def __post_init__(self) -> None:
        _decimals(self, "quantity", "price")
        if self.quantity is None and self.price is None:
            raise InvalidRequest("AmendOrder changes nothing: give a quantity, a price, or both.")


class PlaceBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Place several orders, each for itself. Answer: tuple[OrderOutcome, ...] in the same order."""

    orders: tuple[PlaceOrder, ...]


class OrderListKind(enum.Enum):
    """OCO: one cancels the other. OTO: the first, once filled, places the second. OTOCO: … places an OCO pair."""

    OCO = "oco"
    OTO = "oto"
    OTOCO = "otoco"


class PlaceOrderList(msgspec.Struct, frozen=True, kw_only=True):
    """Place orders that depend on one another. Answer: tuple[OrderOutcome, ...] in the same order.

    Attributes:
        orders: OCO: (above, below); OTO: (working, pending); OTOCO: (working, pending above, pending below).
    """

    kind: OrderListKind
    orders: tuple[PlaceOrder, ...]
    client_id: str | None = None


class SetLeverage(msgspec.Struct, frozen=True, kw_only=True):
    """Answer: None once the venue has it so (also when it had it so before). OutcomeUnknown: send it again, it is safe."""

    symbol: Symbol
    leverage: Decimal

    def __post_init__(self) -> None:
        _decimals(self, "leverage")


class SetMarginMode(msgspec.Struct, frozen=True, kw_only=True):
    """Answer as of SetLeverage. `symbol` is needed where the mode is a symbol's, refused where it is the whole account's."""

    mode: MarginMode
    symbol: Symbol | None = None


class SetPositionMode(msgspec.Struct, frozen=True, kw_only=True):
    """Answer as of SetLeverage. `symbol` is needed where the mode is a symbol's, refused where it is the whole account's."""

    mode: PositionMode
    symbol: Symbol | None = None


Configure = SetLeverage | SetMarginMode | SetPositionMode

Command = PlaceOrder | CancelOrder | CancelAll | AmendOrder | PlaceBatch | PlaceOrderList | Configure


# ---------------------------------------------------------------- answers


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One thing known about an order, and whence. `explain` lists them in order.

    Attributes:
        source: "command", "risk", "journal", "sent", "answer", "stream", "query", "clock", "store".
        text: in words; no secrets.
    """

    at_ns: int
    source: str
    text: str


class OutcomeKind(enum.Enum):
    """REFUSED: here, nothing was sent. REJECTED: by the venue. ACCEPTED: by the venue. UNKNOWN: it may or may not exist."""

    REFUSED = "refused"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"


class OrderOutcome(msgspec.Struct, frozen=True, gc=False):
    """How a command went, as far as it is known now.

    Attributes:
        client_id: of the order; "" when it was refused before it got one.
        order: what is known of the order; None when it was refused here.
        code, reason: the venue's own, or the name of the filter or hook that refused and why.
        evidence: everything that led here, oldest first.
    """

    kind: OutcomeKind
    client_id: str
    order: Order | None
    code: str = ""
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
