"""What Binance spot says about an account, as facts: rows of answers and events of the private stream.

Every row and event is read whole or refused with `WireFormatError`; nothing is guessed. Words this version does not know are
kept as text: an unknown status becomes None, an unknown type or time in force OTHER; an unknown side cannot be booked, so it
refuses its row. Ids: on a cancelled order the venue puts the *cancel's* id first and the order's own beside it, so the own one
is taken from there. Times are those of the transaction, the same over both ways. Decides nothing about orders.

Source: venue API docs, "User data streams", "Conditional fields in order responses", "SOR FAQ", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, get_args

import msgspec

from connector.domain.facts import AccountFact, BalanceChange, BalanceReport, ListReport, OrderReport, StreamEnded
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.times import NS_PER_MS
from connector.drivers.binance import wire
from connector.drivers.binance.facts import VENUE
from connector.drivers.binance.orders import ORDER_TYPES, SIDES, TIMES_IN_FORCE
from connector.drivers.binance.wire import Id, IdOrNone, Milliseconds
from connector.errors import WireFormatError

__all__ = [
    "EVENTS",
    "AccountRow",
    "AmendRow",
    "CountRow",
    "Event",
    "ListRow",
    "OrderRow",
    "TradeRow",
    "Unlisted",
    "amended_report",
    "balances",
    "event_facts",
    "list_report",
    "order_report",
    "placed_fills",
    "trade_fill",
]

_MillisecondsOrNone = Annotated[int, msgspec.Meta(ge=-1, le=(2**63 - 1) // 1_000_000)]  # -1: it did not happen yet


class Unlisted(WireFormatError):
    """A row or event about a symbol that the instrument table does not list."""

    def __init__(self, kind: str, symbol: str) -> None:
        self.symbol = symbol
        super().__init__(kind, f"the instrument list has no {symbol!r:.40}")


# ---------------------------------------------------------------- rows of answers


class FillRow(msgspec.Struct, rename="camel"):
    """One execution in the answer to an order. Trade id -1: an allocation, counted under its own number."""

    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str | None
    trade_id: IdOrNone = -1
    alloc_id: Id | None = None


class OrderRow(msgspec.Struct, rename="camel"):
    """One order, in answers to orders, cancels and queries. `orig_client_order_id`: of cancels only, then the own one."""

    symbol: str
    order_id: Id
    client_order_id: str
    price: Decimal
    orig_qty: Decimal
    executed_qty: Decimal
    cummulative_quote_qty: Decimal  # the venue's spelling
    status: str
    time_in_force: str
    type: str
    side: str
    order_list_id: IdOrNone = -1
    orig_client_order_id: str | None = None
    transact_time: Milliseconds | None = None
    update_time: Milliseconds | None = None
    stop_price: Decimal = wire.ZERO
    is_working: bool | None = None
    working_time: _MillisecondsOrNone | None = None
    expiry_reason: str | None = None
    fills: tuple[FillRow, ...] = ()


class AmendedOrder(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: Id
    client_order_id: str
    price: Decimal
    qty: Decimal
    executed_qty: Decimal
    cumulative_quote_qty: Decimal  # spelled right here
    status: str
    time_in_force: str
    type: str
    side: str
    order_list_id: IdOrNone = -1
    stop_price: Decimal = wire.ZERO
    working_time: _MillisecondsOrNone | None = None
    expiry_reason: str | None = None


class AmendRow(msgspec.Struct, rename="camel"):
    transact_time: Milliseconds
    execution_id: Id
    amended_order: AmendedOrder


class ListMember(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: Id
    client_order_id: str


class ListRow(msgspec.Struct, rename="camel"):
    order_list_id: Id
    contingency_type: str
    list_order_status: str
    list_client_order_id: str
    transaction_time: Milliseconds
    symbol: str
    orders: tuple[ListMember, ...]
    order_reports: tuple[OrderRow, ...] = ()


class TradeRow(msgspec.Struct, rename="camel"):
    symbol: str
    id: Id
    order_id: Id
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: Milliseconds
    is_buyer: bool
    is_maker: bool


class BalanceRow(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class AccountRow(msgspec.Struct, rename="camel"):
    balances: tuple[BalanceRow, ...]
    update_time: Milliseconds | None = None


class CountRow(msgspec.Struct, rename="camel"):
    """How much of one limit is used: in `rateLimit/order` and in every reply of the WebSocket API."""

    rate_limit_type: str
    interval: str
    interval_num: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    count: Id


# ---------------------------------------------------------------- events of the private stream


class ExecutionReport(msgspec.Struct, tag_field="e", tag="executionReport"):
    """`c` is the order's id, except on CANCELED, where it is the cancel's and `C` the order's."""

    s: str
    c: str
    S: str
    o: str
    f: str
    q: Decimal
    p: Decimal
    x: str
    X: str
    i: Id
    l: Decimal  # noqa: E741 - the venue's name
    z: Decimal
    L: Decimal
    n: Decimal
    N: str | None
    T: Milliseconds
    t: IdOrNone
    m: bool
    Z: Decimal
    P: Decimal = wire.ZERO
    C: str | None = None
    g: IdOrNone = -1
    r: str | None = None
    I: Id | None = None  # noqa: E741 - the venue's name
    w: bool = True
    a: Id | None = None
    eR: str | None = None  # noqa: N815 - the venue's name


class EventBalance(msgspec.Struct):
    a: str
    f: Decimal
    l: Decimal  # noqa: E741 - the venue's name


class AccountPosition(msgspec.Struct, tag_field="e", tag="outboundAccountPosition"):
    u: Milliseconds
    B: tuple[EventBalance, ...]


class BalanceUpdate(msgspec.Struct, tag_field="e", tag="balanceUpdate"):
    a: str
    d: Decimal
    T: Milliseconds


class ExternalLock(msgspec.Struct, tag_field="e", tag="externalLockUpdate"):
    a: str
    d: Decimal
    T: Milliseconds


class EventMember(msgspec.Struct):
    s: str
    i: Id
    c: str


class ListStatus(msgspec.Struct, tag_field="e", tag="listStatus"):
    s: str
    g: Id
    c: str
    L: str
    C: str
    T: Milliseconds
    O: tuple[EventMember, ...]  # noqa: E741 - the venue's name


class StreamTerminated(msgspec.Struct, tag_field="e", tag="eventStreamTerminated"):
    pass


class ServerShutdown(msgspec.Struct, tag_field="e", tag="serverShutdown"):
    pass


Event = (
    ExecutionReport | AccountPosition | BalanceUpdate | ExternalLock | ListStatus | StreamTerminated | ServerShutdown
)
EVENTS: tuple[type[Any], ...] = get_args(Event)

# ---------------------------------------------------------------- words and numbers

# PENDING_NEW: a leg that waits for another, not on the book. PENDING_CANCEL is documented as unused and says nothing certain.
_STATUS = {
    "NEW": OrderStatus.NEW,
    "PENDING_NEW": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_WAITING = frozenset({"NEW", "PENDING_NEW"})


def _side(kind: str, word: str) -> Side:
    side = SIDES.get(word)
    if side is None:
        raise WireFormatError(kind, f"side {word!r:.40} is neither BUY nor SELL")
    return side


def _amount(kind: str, name: str, value: Decimal) -> Decimal:
    if not wire.is_amount(value):
        raise WireFormatError(kind, f"{name} {value!s:.40} is out of range")
    return value


def _positive(kind: str, name: str, value: Decimal) -> Decimal:
    if not wire.SMALLEST <= value <= wire.LARGEST:
        raise WireFormatError(kind, f"{name} {value!s:.40} is out of range")
    return value


def _signed(kind: str, name: str, value: Decimal) -> Decimal:
    if not wire.is_amount(value.copy_abs()):
        raise WireFormatError(kind, f"{name} {value!s:.40} is out of range")
    return value


def _ns(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms * NS_PER_MS


def _name(kind: str, text: str) -> str:
    if not text:
        raise WireFormatError(kind, "an asset without a name")
    return text


def _listed(kind: str, name: str, table: InstrumentTable) -> Instrument:
    instrument = table.by_name(name)
    if instrument is None:
        raise Unlisted(kind, name)
    return instrument


def _reason(*words: str | None) -> str:
    return next((word for word in words if word and word != "NONE"), "")


def _report(
    kind: str,
    instrument: Instrument,
    received_ns: int,
    *,
    event_time_ns: int | None,
    client_id: str,
    order_id: int,
    list_id: int,
    side: str,
    type_word: str,
    time_in_force: str,
    status: str,
    quantity: Decimal,
    filled: Decimal,
    quote_filled: Decimal,
    price: Decimal,
    stop_price: Decimal,
    working: bool,
    version: int | None = None,
    fill: Fill | None = None,
    reason: str = "",
) -> OrderReport:
    known = _STATUS.get(status)
    if known is OrderStatus.FILLED and not filled:
        raise WireFormatError(kind, "an order that is FILLED with nothing filled")
    _signed(kind, "quote quantity", quote_filled)
    return OrderReport(
        venue=VENUE,
        symbol=instrument.symbol,
        event_time_ns=event_time_ns,
        received_ns=received_ns,
        client_id=client_id,
        venue_id=str(order_id),
        side=_side(kind, side),
        type=ORDER_TYPES.get(type_word, OrderType.OTHER),
        type_text=type_word,
        time_in_force=TIMES_IN_FORCE.get(time_in_force, TimeInForce.OTHER),
        status=known,
        status_text=status,
        quantity=_amount(kind, "quantity", quantity),
        filled=_amount(kind, "filled quantity", filled),
        quote_filled=None if quote_filled < 0 else quote_filled,  # negative on very old orders: not available
        price=_amount(kind, "price", price) or None,
        stop_price=_amount(kind, "stop price", stop_price) or None,
        version=version,
        fill=fill,
        reason=reason,
        working=working or status not in _WAITING,
        list_id=None if list_id < 0 else str(list_id),
    )


# ---------------------------------------------------------------- rows to facts


def order_report(kind: str, row: OrderRow, instrument: Instrument, received_ns: int) -> OrderReport:
    """One order of an answer. Whether a waiting order is on the book is told by its flag, or by the time it got there."""
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    on_book = row.is_working
    if on_book is None:
        on_book = row.status != "PENDING_NEW" if row.working_time is None else row.working_time >= 0
    return _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=_ns(row.update_time if row.transact_time is None else row.transact_time),
        client_id=row.orig_client_order_id or row.client_order_id,
        order_id=row.order_id,
        list_id=row.order_list_id,
        side=row.side,
        type_word=row.type,
        time_in_force=row.time_in_force,
        status=row.status,
        quantity=row.orig_qty,
        filled=row.executed_qty,
        quote_filled=row.cummulative_quote_qty,
        price=row.price,
        stop_price=row.stop_price,
        working=on_book,
        reason=_reason(row.expiry_reason),
    )


def amended_report(kind: str, row: AmendRow, instrument: Instrument, received_ns: int) -> OrderReport:
    order = row.amended_order
    if order.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {order.symbol!r:.40}, expected {instrument.venue_name}")
    return _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=row.transact_time * NS_PER_MS,
        client_id=order.client_order_id,
        order_id=order.order_id,
        list_id=order.order_list_id,
        side=order.side,
        type_word=order.type,
        time_in_force=order.time_in_force,
        status=order.status,
        quantity=order.qty,
        filled=order.executed_qty,
        quote_filled=order.cumulative_quote_qty,
        price=order.price,
        stop_price=order.stop_price,
        working=order.working_time is not None and order.working_time >= 0,
        version=row.execution_id,
        reason=_reason(order.expiry_reason),
    )


def list_report(kind: str, row: ListRow, instrument: Instrument, received_ns: int) -> ListReport:
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    return ListReport(
        venue=VENUE,
        symbol=instrument.symbol,
        event_time_ns=row.transaction_time * NS_PER_MS,
        received_ns=received_ns,
        list_id=str(row.order_list_id),
        client_id=row.list_client_order_id,
        kind_text=row.contingency_type,
        status_text=row.list_order_status,
        orders=tuple((member.client_order_id, str(member.order_id)) for member in row.orders),
    )


def _trade_id(kind: str, trade_id: int, allocation: int | None) -> str:
    """Trades and allocations are numbered apart, so an allocation's number is marked as one."""
    if trade_id >= 0:
        return str(trade_id)
    if allocation is None:
        raise WireFormatError(kind, "an execution with neither a trade id nor an allocation id cannot be counted once")
    return f"alloc-{allocation}"


def placed_fills(kind: str, row: OrderRow, report: OrderReport) -> tuple[Fill, ...]:
    """Executions told in the answer to the order itself: it met what was on the book, so it was the taker in all of them."""
    if row.fills and report.event_time_ns is None:
        raise WireFormatError(kind, "executions without the time of the transaction")
    return tuple(
        Fill(
            venue=VENUE,
            symbol=report.symbol,
            event_time_ns=report.event_time_ns or 0,
            received_ns=report.received_ns,
            trade_id=_trade_id(kind, fill.trade_id, fill.alloc_id),
            client_id=report.client_id,
            venue_id=report.venue_id,
            side=report.side,
            price=_positive(kind, "price", fill.price),
            quantity=_positive(kind, "quantity", fill.qty),
            fee=_signed(kind, "commission", fill.commission),
            fee_asset=fill.commission_asset or None,
            is_maker=False,
        )
        for fill in row.fills
    )


def trade_fill(kind: str, row: TradeRow, instrument: Instrument, received_ns: int) -> Fill:
    """One execution of the history, which names the venue's order id only."""
    if row.symbol != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {row.symbol!r:.40}, expected {instrument.venue_name}")
    return Fill(
        venue=VENUE,
        symbol=instrument.symbol,
        event_time_ns=row.time * NS_PER_MS,
        received_ns=received_ns,
        trade_id=str(row.id),
        client_id="",
        venue_id=str(row.order_id),
        side=Side.BUY if row.is_buyer else Side.SELL,
        price=_positive(kind, "price", row.price),
        quantity=_positive(kind, "quantity", row.qty),
        fee=_signed(kind, "commission", row.commission),
        fee_asset=row.commission_asset or None,
        is_maker=row.is_maker,
    )


def balances(kind: str, row: AccountRow, received_ns: int) -> BalanceReport:
    """The whole account; asked without zeros, so what is not named is zero."""
    return BalanceReport(
        venue=VENUE,
        event_time_ns=_ns(row.update_time),
        received_ns=received_ns,
        balances=tuple(
            (_name(kind, each.asset), _amount(kind, "free", each.free), _amount(kind, "locked", each.locked))
            for each in row.balances
        ),
        complete=True,
    )


# ---------------------------------------------------------------- events to facts


def _execution(event: ExecutionReport, received_ns: int, table: InstrumentTable) -> OrderReport:
    kind = "executionReport"
    instrument = _listed(kind, event.s, table)
    client_id = (event.C or event.c) if event.x == "CANCELED" else event.c
    at_ns = event.T * NS_PER_MS
    fill = None
    if event.x == "TRADE":
        if event.l > event.z:
            raise WireFormatError(kind, f"an execution of {event.l!s:.40} in an order with {event.z!s:.40} filled")
        fill = Fill(
            venue=VENUE,
            symbol=instrument.symbol,
            event_time_ns=at_ns,
            received_ns=received_ns,
            trade_id=_trade_id(kind, event.t, event.a),
            client_id=client_id,
            venue_id=str(event.i),
            side=_side(kind, event.S),
            price=_positive(kind, "price", event.L),
            quantity=_positive(kind, "quantity", event.l),
            fee=_signed(kind, "commission", event.n),
            fee_asset=event.N or None,
            is_maker=event.m,
        )
    return _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=at_ns,
        client_id=client_id,
        order_id=event.i,
        list_id=event.g,
        side=event.S,
        type_word=event.o,
        time_in_force=event.f,
        status=event.X,
        quantity=event.q,
        filled=event.z,
        quote_filled=event.Z,
        price=event.p,
        stop_price=event.P,
        working=event.w,
        version=event.I,
        fill=fill,
        reason=_reason(event.r, event.eR),
    )


def _position(event: AccountPosition, received_ns: int, table: InstrumentTable) -> BalanceReport:
    kind = "outboundAccountPosition"
    return BalanceReport(
        venue=VENUE,
        event_time_ns=event.u * NS_PER_MS,
        received_ns=received_ns,
        balances=tuple(
            (_name(kind, each.a), _amount(kind, "free", each.f), _amount(kind, "locked", each.l)) for each in event.B
        ),
        complete=False,
    )


def _change(event: BalanceUpdate, received_ns: int, table: InstrumentTable) -> BalanceChange:
    kind = "balanceUpdate"
    at_ns = event.T * NS_PER_MS
    return BalanceChange(VENUE, at_ns, received_ns, _name(kind, event.a), _signed(kind, "change", event.d))


def _lock(event: ExternalLock, received_ns: int, table: InstrumentTable) -> BalanceChange:
    """What another product locks is no longer free to trade with, so a lock of 10 is a change of -10."""
    kind = "externalLockUpdate"
    at_ns = event.T * NS_PER_MS
    return BalanceChange(
        VENUE, at_ns, received_ns, _name(kind, event.a), _signed(kind, "change", event.d).copy_negate()
    )


def _list(event: ListStatus, received_ns: int, table: InstrumentTable) -> ListReport:
    return ListReport(
        venue=VENUE,
        symbol=_listed("listStatus", event.s, table).symbol,
        event_time_ns=event.T * NS_PER_MS,
        received_ns=received_ns,
        list_id=str(event.g),
        client_id=event.C,
        kind_text=event.c,
        status_text=event.L,
        orders=tuple((member.c, str(member.i)) for member in event.O),
    )


def _ended(event: StreamTerminated, received_ns: int, table: InstrumentTable) -> StreamEnded:
    return StreamEnded("the venue ended the subscription (eventStreamTerminated)")


_READERS: dict[type, Callable[..., AccountFact]] = {
    ExecutionReport: _execution,
    AccountPosition: _position,
    BalanceUpdate: _change,
    ExternalLock: _lock,
    ListStatus: _list,
    StreamTerminated: _ended,
}


def event_facts(event: Event, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...]:
    """What an event of the account says; nothing for `ServerShutdown`, which is about the connection.

    Raises:
        WireFormatError: it contradicts itself, or a number is out of range.
        Unlisted: it is about a symbol that is not in the table.
    """
    read = _READERS.get(type(event))
    return () if read is None else (read(event, received_ns, table),)
