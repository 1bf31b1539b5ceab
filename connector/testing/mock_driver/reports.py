"""What the mock venue says about an account, as facts."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from connector.domain.account import FundingPayment, MarginMode, Position, PositionSide
from connector.domain.facts import BalanceReport, OrderReport
from connector.domain.instruments import Instrument
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.errors import WireFormatError
from connector.testing.mock_driver.facts import VENUE
from connector.testing.mock_driver.orders import TIME_WORDS, TYPES
from connector.testing.mock_driver.wire import Count, Ms, decoder_of, positive, sound

__all__ = [
    "BALANCES",
    "COUNTS",
    "CURSOR",
    "FILLS",
    "FILL_ROW",
    "ONE_ORDER",
    "ORDER_LIST",
    "ORDER_ROW",
    "PAYMENTS",
    "PAYMENT_ROW",
    "PLACED",
    "POSITIONS",
    "TRANSFER",
    "require_same",
]


class _FillRow(msgspec.Struct):
    symbol: str
    id: Count
    order: Count
    client_id: str
    side: Literal["buy", "sell"]
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> Fill:
        positive("fill", self.price, self.quantity)
        return Fill(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            str(self.id),
            self.client_id,
            str(self.order),
            Side(self.side),
            self.price,
            self.quantity,
            sound("fill", self.fee, sign=True),
            self.fee_asset,
            self.maker,
        )


class _OrderRow(msgspec.Struct):
    symbol: str
    id: Count
    client_id: str
    side: Literal["buy", "sell"]
    type: str
    status: str
    quantity: Decimal
    filled: Decimal
    quote_filled: Decimal
    version: Count
    time: Ms
    time_in_force: str = "gtc"
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    reason: str = ""
    fill: _FillRow | None = None

    def fact(self, symbol: Symbol, received_ns: int) -> OrderReport:
        sound("order", self.quantity, zero=False)
        for number in (self.filled, self.quote_filled):
            sound("order", number)
        for given in (self.price, self.stop_price):
            if given is not None:
                sound("order", given, zero=False)
        if self.filled > self.quantity:
            raise WireFormatError("order", f"{self.filled} of {self.quantity} are filled")
        return OrderReport(
            venue=VENUE,
            symbol=symbol,
            event_time_ns=self.time * NS_PER_MS,
            received_ns=received_ns,
            client_id=self.client_id,
            venue_id=str(self.id),
            side=Side(self.side),
            type=TYPES.get(self.type, OrderType.OTHER),
            type_text=self.type,
            time_in_force=TIME_WORDS.get(self.time_in_force, TimeInForce.OTHER),
            status=_ORDER_STATUSES.get(self.status),
            status_text=self.status,
            quantity=self.quantity,
            filled=self.filled,
            quote_filled=self.quote_filled,
            price=self.price,
            stop_price=self.stop_price,
            version=self.version,
            fill=None if self.fill is None else self.fill.fact(symbol, received_ns),
            reason=self.reason,
            working=self.status != "waiting",
            reduce_only=self.reduce_only,
        )


_ORDER_STATUSES = {
    "new": OrderStatus.NEW,
    "waiting": OrderStatus.NEW,
    "part": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
    "expired": OrderStatus.EXPIRED,
}


class _PlacedAnswer(msgspec.Struct):
    order: _OrderRow
    fills: list[_FillRow]


class _OrderAnswer(msgspec.Struct):
    order: _OrderRow


class _OrdersAnswer(msgspec.Struct):
    orders: list[_OrderRow]
    next: str | None


class _FillsAnswer(msgspec.Struct):
    fills: list[_FillRow]
    next: str | None


class _BalanceRow(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _BalancesAnswer(msgspec.Struct):
    balances: list[_BalanceRow]
    time: Ms
    next: str | None = None

    def fact(self, received_ns: int, *, complete: bool) -> BalanceReport:
        rows = tuple(
            (row.asset, sound("balance", row.free, sign=True), sound("balance", row.locked)) for row in self.balances
        )
        return BalanceReport(VENUE, self.time * NS_PER_MS, received_ns, rows, complete)


class _CountRow(msgspec.Struct):
    name: str
    points: Count


class _CountsAnswer(msgspec.Struct):
    used: list[_CountRow]


class _PositionRow(msgspec.Struct):
    symbol: str
    quantity: Decimal
    entry: Decimal | None
    unrealized: Decimal
    leverage: Decimal
    mark: Decimal
    margin: Literal["cross", "isolated"]
    sequence: Count
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> Position:
        for number in (self.quantity, self.unrealized):
            sound("position", number, sign=True)
        positive("position", self.leverage, self.mark)
        if self.entry is not None:
            sound("position", self.entry, zero=False)
        return Position(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            PositionSide.NET,
            self.quantity,
            self.entry if self.quantity else None,
            unrealized=self.unrealized,
            leverage=self.leverage,
            mark_price=self.mark,
            margin_mode=MarginMode(self.margin),
            sequence=self.sequence,
        )


class _PositionsAnswer(msgspec.Struct):
    positions: list[_PositionRow]
    time: Ms


class _PaymentRow(msgspec.Struct):
    symbol: str
    id: Count
    asset: str
    amount: Decimal
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> FundingPayment:
        amount = sound("funding", self.amount, sign=True)
        return FundingPayment(VENUE, symbol, self.time * NS_PER_MS, received_ns, str(self.id), self.asset, amount)


class _PaymentsAnswer(msgspec.Struct):
    payments: list[_PaymentRow]


class _TransferRow(msgspec.Struct):
    asset: str
    change: Decimal
    time: Ms


class _Cursor(msgspec.Struct):
    next: str | None


PLACED = decoder_of(_PlacedAnswer)
ONE_ORDER = decoder_of(_OrderAnswer)
ORDER_LIST = decoder_of(_OrdersAnswer)
FILLS = decoder_of(_FillsAnswer)
BALANCES = decoder_of(_BalancesAnswer)
COUNTS = decoder_of(_CountsAnswer)
POSITIONS = decoder_of(_PositionsAnswer)
PAYMENTS = decoder_of(_PaymentsAnswer)
CURSOR = decoder_of(_Cursor)
ORDER_ROW = decoder_of(_OrderRow)
FILL_ROW = decoder_of(_FillRow)
PAYMENT_ROW = decoder_of(_PaymentRow)
TRANSFER = decoder_of(_TransferRow)


def require_same(name: str, instrument: Instrument, kind: str) -> None:
    if name != instrument.venue_name:
        raise WireFormatError(kind, f"an answer about {name!r:.40}, expected {instrument.venue_name}")
