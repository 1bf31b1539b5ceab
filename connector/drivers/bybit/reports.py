"""What Bybit says about an account, as facts: rows of answers and of the private stream, which are the same but for a few names.

Every row is read whole or refused with `WireFormatError`; nothing is guessed. Words this version does not know are kept as
text: an unknown status becomes None, an unknown time in force OTHER; an unknown side, or kind of execution, cannot be booked, so
it refuses its row. "" is "none" and never 0. Amounts of inverse contracts are US dollars: those are kept as `contracts`, and base
units are worked out at the price of the order or of the execution. Decides nothing about orders.

The venue has no word for expired orders: what ended without anybody having cancelled it is told by its reasons, see `_ended`.

Source: venue API docs, "Order", "Execution", "Position", "Wallet", "Transaction Log", "Enums", 2026-07, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.facts import OrderReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.times import NS_PER_MS
from connector.drivers.bybit import wire
from connector.drivers.bybit.facts import Market
from connector.drivers.bybit.orders import TIMES_IN_FORCE
from connector.drivers.bybit.rest import SIDES, base_quantity
from connector.drivers.bybit.wire import Milliseconds, number
from connector.errors import WireFormatError
from connector.orders.rounding import average, total

__all__ = [
    "FUNDING",
    "AccountResult",
    "ExecutionRow",
    "LogRow",
    "OrderRow",
    "PlacedResult",
    "PositionRow",
    "UnknownExecution",
    "Unlisted",
    "WalletRow",
    "balances",
    "fill",
    "funding_of_execution",
    "funding_of_log",
    "instrument_of",
    "order_report",
    "position",
]

_Word = Annotated[str, msgspec.Meta(max_length=200)]


class Unlisted(WireFormatError):
    """A row about a symbol that the instrument table does not list."""

    def __init__(self, kind: str, symbol: str) -> None:
        self.symbol = symbol
        super().__init__(kind, f"the instrument list has no {symbol!r:.40}")


class UnknownExecution(WireFormatError):
    """An execution of a kind this version does not know: it cannot be booked."""

    def __init__(self, kind: str, word: str) -> None:
        super().__init__(kind, f"execution of kind {word!r:.40}: what it does to a position is not known")


# ---------------------------------------------------------------- rows


class PlacedResult(msgspec.Struct, rename="camel"):
    """Answer to an order, amend or cancel: a receipt."""

    order_id: _Word = ""
    order_link_id: _Word | None = ""


class OrderRow(msgspec.Struct, rename="camel"):
    """One order, of the stream or of an answer. Numbers are text, because any of them may be ""."""

    symbol: str
    order_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    side: str
    order_type: _Word
    qty: str
    order_status: _Word
    cum_exec_qty: str
    updated_time: Milliseconds
    order_link_id: _Word | None = ""
    price: str | None = ""
    time_in_force: _Word | None = ""
    avg_price: str | None = ""
    cum_exec_value: str | None = ""
    cancel_type: _Word | None = ""
    reject_reason: _Word | None = ""
    stop_order_type: _Word | None = ""
    trigger_price: str | None = ""
    trigger_direction: int | None = 0
    last_price_on_created: str | None = ""
    market_unit: _Word | None = ""
    position_idx: int = 0
    reduce_only: bool | None = False
    create_type: _Word | None = ""
    category: str = ""


class ExecutionRow(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: _Word
    exec_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    side: str
    exec_type: _Word
    exec_time: Milliseconds
    exec_price: str = ""
    exec_qty: str = ""
    exec_fee: str | None = ""
    fee_currency: _Word | None = ""
    order_link_id: _Word | None = ""
    is_maker: bool | None = False
    exec_pnl: str | None = ""
    create_type: _Word | None = ""
    leaves_qty: str | None = ""
    category: str = ""


class CoinRow(msgspec.Struct, rename="camel"):
    coin: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    wallet_balance: str
    locked: str | None = ""


class WalletRow(msgspec.Struct, rename="camel"):
    account_type: str = ""
    coin: tuple[CoinRow, ...] = ()


class AccountResult(msgspec.Struct):
    list: tuple[WalletRow, ...]


class PositionRow(msgspec.Struct, rename="camel"):
    """`avg_price` over REST, `entry_price` on the stream: the same figure."""

    symbol: str
    side: str
    size: str
    position_idx: int = 0
    avg_price: str | None = ""
    entry_price: str | None = ""
    leverage: str | None = ""
    mark_price: str | None = ""
    liq_price: str | None = ""
    unrealised_pnl: str | None = ""
    updated_time: Milliseconds | Literal[""] | None = None  # "" of a position that never was traded
    seq: int | None = None
    category: str = ""


class LogRow(msgspec.Struct, rename="camel"):
    """One line of the transaction log."""

    transaction_time: Milliseconds
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    type: str = ""
    symbol: str = ""
    category: str = ""
    funding: str | None = ""
    side: _Word = ""
    id: _Word | None = ""
    trade_id: _Word | None = ""


# ---------------------------------------------------------------- words and numbers

# Triggered lasts an instant between Untriggered and New. The rest ends by `_ended`.
_STATUS = {
    "New": OrderStatus.NEW,
    "Untriggered": OrderStatus.NEW,
    "Triggered": OrderStatus.NEW,
    "PartiallyFilled": OrderStatus.PARTIALLY_FILLED,
    "Filled": OrderStatus.FILLED,
    "PartiallyFilledCanceled": OrderStatus.CANCELED,
    "Deactivated": OrderStatus.CANCELED,
}
_NOT_WORKING = frozenset({"Untriggered", "Deactivated"})
_POST_ONLY = "EC_PostOnlyWillTakeLiquidity"
_UNMET = frozenset({"EC_NoImmediateQtyToFill", "EC_CancelForNoFullFill", "EC_NoEnoughQtyToFill"})
_BY_REQUEST = "EC_PerCancelRequest"
_SETTLED = frozenset({"CancelBySettle", "CancelByDelivery"})
_CANCELLED = frozenset(
    {
        "CancelByUser",
        "CancelByAdmin",
        "CancelByPrepareLiq",
        "CancelAllBeforeLiq",
        "CancelByPrepareAdl",
        "CancelAllBeforeAdl",
        "CancelByReduceOnly",
        "CancelBySmp",
        "CancelByDCP",
        "CancelByTpSlTsClear",
    }
)
_NO_REASON = frozenset({"", "EC_NoError", "UNKNOWN"})
_PLAIN = frozenset({"", "UNKNOWN"})
_STOPS = frozenset({"StopLoss", "PartialStopLoss"})
_TAKES = frozenset({"TakeProfit", "PartialTakeProfit"})
_CONDITIONAL = frozenset({"Stop", "tpslOrder"})
_BY_TRIGGER = "CreateByStopOrder"

# Kinds of executions that change a position or a balance by trading; funding is cash and told apart.
FUNDING = "Funding"
# A split of a stock's contract is no trade; what it made of the position is told by the position.
_NO_FILLS = frozenset({FUNDING, "CorporateAction"})
_FILLS = {
    "Trade": FillKind.TRADE,
    "BlockTrade": FillKind.TRADE,
    "MovePosition": FillKind.TRADE,
    "FutureSpread": FillKind.TRADE,
    "AdlTrade": FillKind.DELEVERAGING,
    "BustTrade": FillKind.LIQUIDATION,
    "Settle": FillKind.SETTLEMENT,
    "Delivery": FillKind.SETTLEMENT,
}
# An ordinary execution of an order that the venue made for us was not asked for by anybody here.
_FORCED = {
    "CreateByLiq": FillKind.LIQUIDATION,
    "CreateByTakeOver_PassThrough": FillKind.LIQUIDATION,
    "CreateByAdl_PassThrough": FillKind.DELEVERAGING,
}
_POSITIONS = {0: PositionSide.NET, 1: PositionSide.LONG, 2: PositionSide.SHORT}


def _side(kind: str, word: str) -> Side:
    side = SIDES.get(word)
    if side is None:
        raise WireFormatError(kind, f"side {word!r:.40} is neither Buy nor Sell")
    return side


def _position_side(kind: str, index: int) -> PositionSide:
    side = _POSITIONS.get(index)
    if side is None:
        raise WireFormatError(kind, f"position index {str(index)[:20]} is none of 0, 1 and 2")
    return side


def _number(kind: str, name: str, text: str | None) -> Decimal | None:
    """Any finite number in range, of either sign; None where the venue tells none."""
    value = number(text or "")
    if value is not None and not (value.is_finite() and wire.is_amount(value.copy_abs())):
        raise WireFormatError(kind, f"{name} {value!s:.40} is out of range")
    return value


def _amount(kind: str, name: str, text: str | None) -> Decimal:
    """Zero or more; "" is zero where nothing else can be meant (nothing filled yet)."""
    value = _number(kind, name, text) or wire.ZERO
    if value < 0:
        raise WireFormatError(kind, f"{name} {value!s:.40} is negative")
    return value


def _positive(kind: str, name: str, text: str | None) -> Decimal:
    value = _number(kind, name, text)
    if value is None or value <= 0:
        raise WireFormatError(kind, f"{name} {text!r:.40} is not a positive number")
    return value


def instrument_of(kind: str, name: str, table: InstrumentTable) -> Instrument:
    """
    Raises:
        Unlisted: the table has none of this name.
    """
    instrument = table.by_name(name)
    if instrument is None:
        raise Unlisted(kind, name)
    return instrument


# ---------------------------------------------------------------- orders


def _reason(row: OrderRow) -> str:
    """Why it ended: the matching engine's word, else who cancelled. A cancel that came too late is no reason."""
    if row.order_status == "Filled":
        return ""
    words = (row.reject_reason or "", row.cancel_type or "")
    return next((word for word in words if word not in _NO_REASON), "")


def _ended(row: OrderRow, filled: Decimal) -> OrderStatus:
    """What a `Cancelled` order ended as."""
    reason, by = row.reject_reason or "", row.cancel_type or ""
    if reason == _POST_ONLY:
        return OrderStatus.CANCELED if filled else OrderStatus.REJECTED
    if reason in _UNMET or by in _SETTLED:
        return OrderStatus.EXPIRED
    if reason == _BY_REQUEST or by in _CANCELLED:
        return OrderStatus.CANCELED
    at_once = row.time_in_force in ("IOC", "FOK") or row.order_type == "Market"
    return OrderStatus.EXPIRED if at_once else OrderStatus.CANCELED


def _status(row: OrderRow, filled: Decimal) -> OrderStatus | None:
    if row.order_status == "Cancelled":
        return _ended(row, filled)
    if row.order_status == "Rejected":  # a part may have been filled before margin ran out
        return OrderStatus.CANCELED if filled else OrderStatus.REJECTED
    return _STATUS.get(row.order_status)


def _direction(kind: str, row: OrderRow, trigger: Decimal) -> int:
    """1: the price has to rise to the trigger, 2: to fall; 0: nobody says. Spot does not; the price it was made at may."""
    if row.trigger_direction in (1, 2):
        return row.trigger_direction
    last = _number(kind, "last price", row.last_price_on_created)
    if last is None or not last or trigger == last:
        return 0
    return 1 if trigger > last else 2


def _type(kind: str, row: OrderRow, side: Side, trigger: Decimal | None) -> OrderType:
    limit = row.order_type == "Limit"
    if not limit and row.order_type != "Market":
        return OrderType.OTHER
    word = row.stop_order_type or ""
    if word in _PLAIN and trigger is None:
        if row.create_type == _BY_TRIGGER:  # it waited for a price once, and which way is not told any more
            return OrderType.OTHER
        if not limit:
            return OrderType.MARKET
        return OrderType.LIMIT_MAKER if row.time_in_force == "PostOnly" else OrderType.LIMIT
    stops = word in _STOPS
    if word in _CONDITIONAL or word in _PLAIN:
        direction = 0 if trigger is None else _direction(kind, row, trigger)
        if not direction:
            return OrderType.OTHER
        stops = (direction == 1) is (side is Side.BUY)
    elif not stops and word not in _TAKES:
        return OrderType.OTHER
    if stops:
        return OrderType.STOP_LIMIT if limit else OrderType.STOP
    return OrderType.TAKE_PROFIT_LIMIT if limit else OrderType.TAKE_PROFIT


def _type_text(row: OrderRow) -> str:
    words = (row.order_type, row.stop_order_type or "")
    return " ".join(word for word in words if word not in _PLAIN)


def order_report(kind: str, row: OrderRow, instrument: Instrument, market: Market, received_ns: int) -> OrderReport:
    """One order.

    The price of a market order is the venue's own bound, not ours, and is left out. The quantity of one that was placed by its
    worth is what was filled, once it ended; until then nobody knows it.

    Raises:
        WireFormatError: it contradicts itself, or a number is out of range.
    """
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    side = _side(kind, row.side)
    quantity, filled = _amount(kind, "quantity", row.qty), _amount(kind, "filled quantity", row.cum_exec_qty)
    price, paid = _amount(kind, "price", row.price), _amount(kind, "average price", row.avg_price)
    worth = _number(kind, "filled value", row.cum_exec_value)
    trigger = _amount(kind, "trigger price", row.trigger_price) or None
    status = _status(row, filled)
    if row.order_status == "Filled" and not filled:
        raise WireFormatError(kind, "an order that is Filled with nothing filled")
    contracts = filled_contracts = None
    quote_filled = worth if worth is None or worth >= 0 else None
    if market.is_inverse:
        contracts, filled_contracts, quote_filled = quantity, filled, filled
        known = price or paid or trigger  # without one, what the contracts are worth is not known, and zero
        quantity = _dollars_worth(kind, market, quantity, known) if known else wire.ZERO
        filled = _dollars_worth(kind, market, filled, paid or _average(worth, filled) or price)
    elif market.is_spot and _by_worth(row):
        quantity = filled if status is not None and status.is_final else wire.ZERO
    return OrderReport(
        venue=market.name,
        symbol=instrument.symbol,
        event_time_ns=row.updated_time * NS_PER_MS,
        received_ns=received_ns,
        client_id=row.order_link_id or "",
        venue_id=row.order_id,
        side=side,
        type=_type(kind, row, side, trigger),
        type_text=_type_text(row),
        time_in_force=TIMES_IN_FORCE.get(row.time_in_force or "", TimeInForce.OTHER),
        status=status,
        status_text=row.order_status,
        quantity=quantity,
        filled=filled,
        quote_filled=quote_filled,
        price=None if row.order_type == "Market" else price or None,
        stop_price=trigger,
        reason=_reason(row),
        working=row.order_status not in _NOT_WORKING,
        contracts=contracts,
        filled_contracts=filled_contracts,
        reduce_only=bool(row.reduce_only),
        position_side=_position_side(kind, row.position_idx),
    )


def _by_worth(row: OrderRow) -> bool:
    """Whether `qty` counts the quote asset: said, or the venue's default of a market order that buys."""
    if row.order_type != "Market":
        return False
    return row.market_unit == "quoteCoin" or (not row.market_unit and row.side == "Buy")


def _average(worth: Decimal | None, dollars: Decimal) -> Decimal | None:
    return average(dollars, worth) if worth is not None and worth > 0 and dollars else None


def _dollars_worth(kind: str, market: Market, dollars: Decimal, price: Decimal | None) -> Decimal:
    if not dollars:
        return wire.ZERO
    if not price:
        raise WireFormatError(kind, f"{dollars} contracts at no price are no base units")
    return base_quantity(market, dollars, price)


# ---------------------------------------------------------------- fills and funding


def _fee_asset(row: ExecutionRow, instrument: Instrument, side: Side, fee: Decimal) -> str:
    """Said, or by the venue's rule: contracts pay in what they settle in; spot in what is received, rebates in the other."""
    symbol = instrument.symbol
    if row.fee_currency:
        return row.fee_currency
    if symbol.settle is not None:
        return symbol.settle
    in_base = (side is Side.BUY) is not (fee < 0 and bool(row.is_maker))
    return symbol.base if in_base else symbol.quote


def fill(kind: str, row: ExecutionRow, instrument: Instrument, market: Market, received_ns: int) -> Fill | None:
    """One execution; None for what is no trade, as funding, which is cash.

    Raises:
        UnknownExecution: nobody knows what this kind of execution does to a position.
        WireFormatError: a number is out of range.
    """
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    if row.exec_type in _NO_FILLS:
        return None
    what = _FILLS.get(row.exec_type)
    if what is None:
        raise UnknownExecution(kind, row.exec_type)
    if what is FillKind.TRADE:
        what = _FORCED.get(row.create_type or "", what)
    side = _side(kind, row.side)
    price, size = _positive(kind, "price", row.exec_price), _positive(kind, "quantity", row.exec_qty)
    fee = _number(kind, "fee", row.exec_fee) or wire.ZERO
    return Fill(
        venue=market.name,
        symbol=instrument.symbol,
        event_time_ns=row.exec_time * NS_PER_MS,
        received_ns=received_ns,
        trade_id=row.exec_id,
        client_id=row.order_link_id or "",
        venue_id=row.order_id,
        side=side,
        price=price,
        quantity=base_quantity(market, size, price),
        fee=fee,
        fee_asset=_fee_asset(row, instrument, side, fee),
        is_maker=bool(row.is_maker),
        contracts=size if market.is_inverse else None,
        realized=None if market.is_spot else _number(kind, "profit", row.exec_pnl),
        kind=what,
    )


def funding_of_execution(
    kind: str, row: ExecutionRow, instrument: Instrument, market: Market, received_ns: int
) -> FundingPayment:
    """Funding as the list of executions tells it: what we paid is positive there, like a fee."""
    paid = _number(kind, "funding", row.exec_fee)
    if paid is None:
        raise WireFormatError(kind, "funding without an amount")
    asset = row.fee_currency or instrument.symbol.settle or instrument.symbol.quote
    received = paid.copy_negate() if paid else wire.ZERO
    at_ns = row.exec_time * NS_PER_MS
    return FundingPayment(market.name, instrument.symbol, at_ns, received_ns, row.exec_id, asset, received)


def funding_of_log(
    kind: str, row: LogRow, table: InstrumentTable, market: Market, received_ns: int
) -> FundingPayment | None:
    """Funding as the transaction log tells it: what we received is positive. None for lines without any."""
    amount = _number(kind, "funding", row.funding)
    if amount is None or (row.category and row.category != market.category):
        return None
    instrument = table.by_name(row.symbol)
    made = f"{row.symbol}-{row.transaction_time}-{row.side}-{row.currency}"
    return FundingPayment(
        market.name,
        None if instrument is None else instrument.symbol,
        row.transaction_time * NS_PER_MS,
        received_ns,
        row.trade_id or row.id or made,
        row.currency,
        amount,
    )


# ---------------------------------------------------------------- balances and positions


def balances(kind: str, rows: Sequence[WalletRow], market: Market) -> tuple[tuple[str, Decimal, Decimal], ...]:
    """(asset, free, locked) of the unified account, which all products share.

    For spot what its open orders hold is locked. For contracts nothing is: margin in use is no lock, see `Balance`.
    Both may be below zero where something was borrowed.
    """
    found = {}
    for wallet in rows:
        if wallet.account_type not in ("", "UNIFIED"):
            continue
        for row in wallet.coin:
            held = _number(kind, "balance", row.wallet_balance) or wire.ZERO
            locked = (_number(kind, "locked", row.locked) or wire.ZERO) if market.is_spot else wire.ZERO
            found[row.coin] = (row.coin, total((held, locked.copy_negate())), locked)
    return tuple(found.values())


def position(kind: str, row: PositionRow, instrument: Instrument, market: Market, received_ns: int) -> Position:
    """One position, also a flat one. How margins are kept is told for the whole account only, and not here.

    Raises:
        WireFormatError: it contradicts itself, or a number is out of range.
    """
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    size = _amount(kind, "size", row.size)
    entry = _amount(kind, "entry price", row.avg_price or row.entry_price) or None
    signed = wire.ZERO
    if size:
        signed = size if _side(kind, row.side) is Side.BUY else size.copy_negate()
    quantity, contracts = signed, None
    if market.is_inverse:
        contracts = signed
        quantity = _dollars_worth(kind, market, signed, entry)
    return Position(
        venue=market.name,
        symbol=instrument.symbol,
        event_time_ns=row.updated_time * NS_PER_MS if isinstance(row.updated_time, int) else None,
        received_ns=received_ns,
        side=_position_side(kind, row.position_idx),
        quantity=quantity,
        entry_price=entry if size else None,
        unrealized=_number(kind, "profit", row.unrealised_pnl),
        liquidation_price=_number(kind, "liquidation price", row.liq_price) or None,
        leverage=_number(kind, "leverage", row.leverage) or None,
        contracts=contracts,
        mark_price=_number(kind, "mark price", row.mark_price) or None,
        sequence=row.seq if row.seq is not None and 0 <= row.seq < 2**63 else None,
    )
