"""What Binance futures say about an account, as facts: rows of answers and events of the private stream.

Every row and event is read whole or refused with `WireFormatError`; nothing is guessed. Words this version does not know are
kept as text: an unknown status becomes None, an unknown type or time in force OTHER; an unknown side cannot be booked, so it
refuses its row. Quantities of COIN-M are contracts, told beside base units wherever a price makes those of them: the price of
what traded, else the order's; where there is neither, base units are zero, which says that they are not known.

An algo order that has been triggered lives on as a regular one: its reports then name that one's id, and end nothing by
themselves. Executions are counted by their trade id alone; a copy that came earlier and lighter (TRADE_LITE) is none.

Orders nobody here placed (liquidation, deleveraging, settlement) are told like any other, and their fills say what they are.

Source: venue API docs, "User Data Streams", "Trade" and "Account" endpoints, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_args

import msgspec

from connector.domain.account import FundingPayment, MarginMode, Position, PositionSide
from connector.domain.contracts import notional
from connector.domain.facts import AccountFact, BalanceReport, OrderReport, PositionReport, StreamEnded
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.times import NS_PER_MS
from connector.drivers.binance import wire
from connector.drivers.binance.futures.orders import ORDER_TYPES, POSITION_SIDES, SIDES, TIMES_IN_FORCE, algo_id
from connector.drivers.binance.futures.sizes import base, contracts
from connector.drivers.binance.reports import Unlisted
from connector.drivers.binance.wire import Id, Milliseconds
from connector.errors import WireFormatError

__all__ = [
    "EVENTS",
    "AlgoRow",
    "BalanceRow",
    "Event",
    "FillRow",
    "IncomeRow",
    "OrderRow",
    "PositionRow",
    "algo_report",
    "balances",
    "event_facts",
    "funding_payment",
    "order_report",
    "position",
    "trade_fill",
]

# ---------------------------------------------------------------- rows of answers


class OrderRow(msgspec.Struct, rename="camel"):
    """One regular order, in answers to orders, cancels, modifications and queries; prices of what traded in queries only."""

    symbol: str
    order_id: Id
    client_order_id: str
    price: Decimal
    orig_qty: Decimal
    executed_qty: Decimal
    status: str
    time_in_force: str
    type: str
    side: str
    orig_type: str = ""
    position_side: str = "BOTH"
    reduce_only: bool = False
    avg_price: Decimal = wire.ZERO
    cum_quote: Decimal | None = None
    stop_price: Decimal = wire.ZERO
    time: Milliseconds | None = None
    update_time: Milliseconds | None = None


class AlgoRow(msgspec.Struct, rename="camel"):
    """One algo order. `actual_order_id`: the regular order it became; "" until then, and absent in the answer to placing it."""

    algo_id: Id
    client_algo_id: str
    order_type: str
    symbol: str
    side: str
    algo_status: str
    time_in_force: str = ""
    position_side: str = "BOTH"
    quantity: Decimal | None = None
    trigger_price: Decimal | None = None
    price: Decimal | None = None
    reduce_only: bool = False
    create_time: Milliseconds | None = None
    update_time: Milliseconds | None = None
    actual_order_id: str | int | None = None


class FillRow(msgspec.Struct, rename="camel"):
    symbol: str
    id: Id
    order_id: Id
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: Milliseconds
    maker: bool
    realized_pnl: Decimal = wire.ZERO
    position_side: str = "BOTH"


class BalanceRow(msgspec.Struct, rename="camel"):
    asset: str
    balance: Decimal
    update_time: Milliseconds | None = None


class PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    mark_price: Decimal
    un_realized_profit: Decimal
    liquidation_price: Decimal
    leverage: Decimal
    margin_type: str
    isolated_margin: Decimal
    position_side: str
    update_time: Milliseconds = 0


class IncomeRow(msgspec.Struct, rename="camel"):
    income_type: str
    income: Decimal
    asset: str
    time: Milliseconds
    symbol: str = ""


# ---------------------------------------------------------------- events of the private stream


class OrderEvent(msgspec.Struct):
    """`t` is 0 where nothing traded; `N` and `n` are absent where no fee was taken."""

    s: str
    c: str
    S: str
    o: str
    f: str
    q: Decimal
    p: Decimal
    ap: Decimal
    x: str
    X: str
    i: Id
    l: Decimal  # noqa: E741 - the venue's name
    z: Decimal
    L: Decimal
    T: Milliseconds
    t: Id
    m: bool
    sp: Decimal = wire.ZERO
    ot: str = ""
    ps: str = "BOTH"
    R: bool = False
    rp: Decimal | None = None
    N: str | None = None
    n: Decimal | None = None
    er: str | int = ""


class OrderTradeUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    o: OrderEvent


class EventBalance(msgspec.Struct):
    a: str
    wb: Decimal
    bc: Decimal = wire.ZERO


class EventPosition(msgspec.Struct):
    s: str
    pa: Decimal
    ep: Decimal
    up: Decimal
    mt: str
    ps: str
    iw: Decimal = wire.ZERO


class AccountData(msgspec.Struct):
    """`S`: the contract that funding was paid on."""

    m: str = ""
    B: tuple[EventBalance, ...] = ()
    P: tuple[EventPosition, ...] = ()
    S: str = ""


class AccountUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    T: Milliseconds
    a: AccountData


class AlgoEvent(msgspec.Struct):
    """`ai`: the regular order it became, "" until then."""

    caid: str
    aid: Id
    o: str
    s: str
    S: str
    X: str
    f: str = ""
    q: Decimal | None = None
    p: Decimal | None = None
    tp: Decimal | None = None
    ps: str = "BOTH"
    R: bool = False
    ai: str | int = ""
    rm: str = ""


class AlgoUpdate(msgspec.Struct, tag_field="e", tag="ALGO_UPDATE"):
    T: Milliseconds
    o: AlgoEvent


class KeyExpired(msgspec.Struct, tag_field="e", tag="listenKeyExpired"):
    pass


class ServerShutdown(msgspec.Struct, tag_field="e", tag="serverShutdown"):
    pass


class TradeLite(msgspec.Struct, tag_field="e", tag="TRADE_LITE"):
    """An earlier copy of an execution without fee or status: the report that follows is the one that counts."""


class MarginCall(msgspec.Struct, tag_field="e", tag="MARGIN_CALL"):
    pass


class ConfigUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE"):
    pass


class TriggerReject(msgspec.Struct, tag_field="e", tag="CONDITIONAL_ORDER_TRIGGER_REJECT"):
    """Deprecated: the algo order's own event tells it."""


class StrategyUpdate(msgspec.Struct, tag_field="e", tag="STRATEGY_UPDATE"):
    pass


class GridUpdate(msgspec.Struct, tag_field="e", tag="GRID_UPDATE"):
    pass


Event = (
    OrderTradeUpdate
    | AccountUpdate
    | AlgoUpdate
    | KeyExpired
    | ServerShutdown
    | TradeLite
    | MarginCall
    | ConfigUpdate
    | TriggerReject
    | StrategyUpdate
    | GridUpdate
)
EVENTS: tuple[type[Any], ...] = get_args(Event)

# ---------------------------------------------------------------- words and numbers

# PENDING_CANCEL is not used on futures, NEW_INSURANCE and NEW_ADL are old states of a liquidation: nothing certain.
_STATUS = {
    "NEW": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_ALGO_STATUS = {
    "NEW": OrderStatus.NEW,
    "TRIGGERING": OrderStatus.NEW,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.EXPIRED,
    "REJECTED": OrderStatus.REJECTED,
}
_BECAME_REGULAR = frozenset({"TRIGGERED", "FINISHED"})
_MARGIN_MODES = {
    "cross": MarginMode.CROSS,
    "crossed": MarginMode.CROSS,
    "isolated": MarginMode.ISOLATED,
}
_FORCED = (
    ("autoclose-", FillKind.LIQUIDATION),
    ("adl_autoclose", FillKind.DELEVERAGING),
    ("settlement_autoclose-", FillKind.SETTLEMENT),
)
_LIQUIDATION = "CALCULATED"
_EXPIRY_REASONS = {
    "1": "self-trade prevention",
    "2": "the rest of an IOC order",
    "3": "the rest of an IOC order, self-trade prevention",
    "4": "pushed out by another reduce-only order, or the position turned",
    "5": "liquidation",
    "6": "its condition no longer holds",
    "7": "the contract was delisted",
    "8": "its stop was triggered",
    "9": "a market order that was not filled whole",
    "10": "FOK that could not be filled whole",
    "11": "post-only that would have taken",
}


def _side(kind: str, word: str) -> Side:
    side = SIDES.get(word)
    if side is None:
        raise WireFormatError(kind, f"side {word!r:.40} is neither BUY nor SELL")
    return side


def _position_side(kind: str, word: str) -> PositionSide:
    side = POSITION_SIDES.get(word)
    if side is None:
        raise WireFormatError(kind, f"position side {word!r:.40} is none of {', '.join(POSITION_SIDES)}")
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


def _or_zero(value: Decimal | None) -> Decimal:
    return wire.ZERO if value is None else value


def _ns(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms * NS_PER_MS


def _named(kind: str, text: str) -> str:
    if not text:
        raise WireFormatError(kind, "an asset without a name")
    return text


def _listed(kind: str, name: str, table: InstrumentTable) -> Instrument:
    instrument = table.by_name(name)
    if instrument is None:
        raise Unlisted(kind, name)
    return instrument


def _require_same(kind: str, name: str, instrument: Instrument) -> None:
    if name != instrument.venue_name:
        raise WireFormatError(kind, f"it is about {name!r:.40}, expected {instrument.venue_name}")


def _type(word: str, original: str, time_in_force: str) -> OrderType:
    """What the order was placed as: a triggered one goes by what it became, and keeps what it was beside it."""
    found = ORDER_TYPES.get(original) or ORDER_TYPES.get(word, OrderType.OTHER)
    return OrderType.LIMIT_MAKER if found is OrderType.LIMIT and time_in_force == "GTX" else found


def _report(
    kind: str,
    instrument: Instrument,
    received_ns: int,
    *,
    event_time_ns: int | None,
    client_id: str,
    venue_id: str,
    side: str,
    type: OrderType,
    type_text: str,
    time_in_force: str,
    status: OrderStatus | None,
    status_text: str,
    counted: Decimal,
    filled: Decimal,
    price: Decimal,
    average: Decimal,
    stop_price: Decimal,
    position_side: str,
    reduce_only: bool,
    quote_filled: Decimal | None = None,
    fill: Fill | None = None,
    reason: str = "",
    working: bool = True,
) -> OrderReport:
    if status is OrderStatus.FILLED and not filled:
        raise WireFormatError(kind, "an order that is FILLED with nothing filled")
    for name, value in (("quantity", counted), ("filled quantity", filled), ("price", price), ("average", average)):
        _amount(kind, name, value)
    if contracts(instrument, filled) is not None:
        quote_filled = notional(instrument, filled, price)
    return OrderReport(
        venue=instrument.venue,
        symbol=instrument.symbol,
        event_time_ns=event_time_ns,
        received_ns=received_ns,
        client_id=client_id,
        venue_id=venue_id,
        side=_side(kind, side),
        type=type,
        type_text=type_text,
        time_in_force=TIMES_IN_FORCE.get(time_in_force, TimeInForce.OTHER),
        status=status,
        status_text=status_text,
        quantity=base(instrument, counted, price or average),
        filled=base(instrument, filled, average or price),
        quote_filled=quote_filled,
        price=price or None,
        stop_price=_amount(kind, "stop price", stop_price) or None,
        fill=fill,
        reason=reason,
        working=working,
        contracts=contracts(instrument, counted),
        filled_contracts=contracts(instrument, filled),
        reduce_only=reduce_only,
        position_side=_position_side(kind, position_side),
        kind=_fill_kind(client_id, ""),
    )


# ---------------------------------------------------------------- rows to facts


def order_report(kind: str, row: OrderRow, instrument: Instrument, received_ns: int) -> OrderReport:
    """One regular order of an answer."""
    _require_same(kind, row.symbol, instrument)
    quote_filled = None if row.cum_quote is None else _amount(kind, "quote quantity", row.cum_quote)
    return _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=_ns(row.time if row.update_time is None else row.update_time),
        client_id=row.client_order_id,
        venue_id=str(row.order_id),
        side=row.side,
        type=_type(row.type, row.orig_type, row.time_in_force),
        type_text=row.orig_type or row.type,
        time_in_force=row.time_in_force,
        status=_STATUS.get(row.status),
        status_text=row.status,
        counted=row.orig_qty,
        filled=row.executed_qty,
        price=row.price,
        average=row.avg_price,
        stop_price=row.stop_price,
        position_side=row.position_side,
        reduce_only=row.reduce_only,
        quote_filled=quote_filled,
    )


def _became(actual: str | int | None) -> str:
    """The id of the regular order an algo order became; "" where there is none: 0, "0", "" and null all say so."""
    text = "" if actual is None else str(actual)
    return text if text.isascii() and text.isdigit() and 0 < len(text) < 20 and int(text) else ""


def _algo_state(status: str, number: int, actual: str | int | None) -> tuple[OrderStatus | None, str, bool]:
    """(status, venue id, on the book). What became a regular order is open until that one's own reports end it."""
    regular = _became(actual)
    if status in _BECAME_REGULAR:
        return (OrderStatus.NEW, regular, True) if regular else (None, algo_id(number), False)
    return _ALGO_STATUS.get(status), algo_id(number), False


def algo_report(kind: str, row: AlgoRow, instrument: Instrument, received_ns: int) -> OrderReport:
    """One algo order of an answer."""
    _require_same(kind, row.symbol, instrument)
    status, venue_id, working = _algo_state(row.algo_status, row.algo_id, row.actual_order_id)
    return _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=_ns(row.create_time if row.update_time is None else row.update_time),
        client_id=row.client_algo_id,
        venue_id=venue_id,
        side=row.side,
        type=ORDER_TYPES.get(row.order_type, OrderType.OTHER),
        type_text=row.order_type,
        time_in_force=row.time_in_force,
        status=status,
        status_text=row.algo_status,
        counted=_or_zero(row.quantity),
        filled=wire.ZERO,
        price=_or_zero(row.price),
        average=wire.ZERO,
        stop_price=_or_zero(row.trigger_price),
        position_side=row.position_side,
        reduce_only=row.reduce_only,
        working=working,
    )


def trade_fill(kind: str, row: FillRow, instrument: Instrument, received_ns: int) -> Fill:
    """One execution of the history, which names the venue's order id only, and not whether it was forced."""
    _require_same(kind, row.symbol, instrument)
    price, counted = _positive(kind, "price", row.price), _positive(kind, "quantity", row.qty)
    return Fill(
        venue=instrument.venue,
        symbol=instrument.symbol,
        event_time_ns=row.time * NS_PER_MS,
        received_ns=received_ns,
        trade_id=str(row.id),
        client_id="",
        venue_id=str(row.order_id),
        side=_side(kind, row.side),
        price=price,
        quantity=base(instrument, counted, price),
        fee=_signed(kind, "commission", row.commission),
        fee_asset=row.commission_asset or None,
        is_maker=row.maker,
        contracts=contracts(instrument, counted),
        realized=_signed(kind, "realized profit", row.realized_pnl),
        position_side=_position_side(kind, row.position_side),
    )


def balances(kind: str, venue: str, rows: list[BalanceRow], received_ns: int) -> BalanceReport:
    """The whole account: wallet balances, which may be below zero where several assets stand for one another."""
    told = [row.update_time for row in rows if row.update_time]
    return BalanceReport(
        venue=venue,
        event_time_ns=_ns(max(told)) if told else None,
        received_ns=received_ns,
        balances=tuple((_named(kind, row.asset), _signed(kind, "balance", row.balance), wire.ZERO) for row in rows),
        complete=True,
    )


def position(kind: str, row: PositionRow, instrument: Instrument, received_ns: int) -> Position:
    counted = _signed(kind, "position", row.position_amt)
    entry = _amount(kind, "entry price", row.entry_price)
    mode = _MARGIN_MODES.get(row.margin_type.lower())
    isolated = mode is MarginMode.ISOLATED
    return Position(
        venue=instrument.venue,
        symbol=instrument.symbol,
        event_time_ns=row.update_time * NS_PER_MS or None,
        received_ns=received_ns,
        side=_position_side(kind, row.position_side),
        quantity=base(instrument, counted, entry),
        entry_price=entry or None,
        unrealized=_signed(kind, "unrealized profit", row.un_realized_profit),
        liquidation_price=_signed(kind, "liquidation price", row.liquidation_price) or None,
        leverage=_amount(kind, "leverage", row.leverage) or None,
        contracts=contracts(instrument, counted),
        mark_price=_amount(kind, "mark price", row.mark_price) or None,
        margin_mode=mode,
        margin=_signed(kind, "isolated margin", row.isolated_margin) if isolated else None,
    )


def _payment_id(asset: str, amount: Decimal, time_ms: int) -> str:
    """The same for the event and for the row of the history, which share no id and are some seconds apart."""
    return f"{asset}:{time_ms // 3_600_000}:{amount.normalize():f}"


def funding_payment(kind: str, row: IncomeRow, instrument: Instrument, received_ns: int) -> FundingPayment:
    asset, amount = _named(kind, row.asset), _signed(kind, "income", row.income)
    return FundingPayment(
        instrument.venue,
        instrument.symbol,
        row.time * NS_PER_MS,
        received_ns,
        _payment_id(asset, amount, row.time),
        asset,
        amount,
    )


# ---------------------------------------------------------------- events to facts


def _fill_kind(client_id: str, execution: str) -> FillKind:
    for prefix, kind in _FORCED:
        if client_id.startswith(prefix):
            return kind
    return FillKind.LIQUIDATION if execution == _LIQUIDATION else FillKind.TRADE


def _order(event: OrderTradeUpdate, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...]:
    kind, order = "ORDER_TRADE_UPDATE", event.o
    instrument = _listed(kind, order.s, table)
    at_ns, fill = order.T * NS_PER_MS, None
    # Of an execution without a trade id only the sum is told: the history names it, and it is fetched from there.
    if order.x in ("TRADE", _LIQUIDATION) and order.t:
        if order.l > order.z:
            raise WireFormatError(kind, f"an execution of {order.l!s:.40} in an order with {order.z!s:.40} filled")
        price, counted = _positive(kind, "price", order.L), _positive(kind, "quantity", order.l)
        fill = Fill(
            venue=instrument.venue,
            symbol=instrument.symbol,
            event_time_ns=at_ns,
            received_ns=received_ns,
            trade_id=str(order.t),
            client_id=order.c,
            venue_id=str(order.i),
            side=_side(kind, order.S),
            price=price,
            quantity=base(instrument, counted, price),
            fee=wire.ZERO if order.n is None else _signed(kind, "commission", order.n),
            fee_asset=order.N or None,
            is_maker=order.m,
            contracts=contracts(instrument, counted),
            realized=None if order.rp is None else _signed(kind, "realized profit", order.rp),
            kind=_fill_kind(order.c, order.x),
            position_side=_position_side(kind, order.ps),
        )
    report = _report(
        kind,
        instrument,
        received_ns,
        event_time_ns=at_ns,
        client_id=order.c,
        venue_id=str(order.i),
        side=order.S,
        type=_type(order.o, order.ot, order.f),
        type_text=order.ot or order.o,
        time_in_force=order.f,
        status=_STATUS.get(order.X),
        status_text=order.X,
        counted=order.q,
        filled=order.z,
        price=order.p,
        average=order.ap,
        stop_price=order.sp,
        position_side=order.ps,
        reduce_only=order.R,
        fill=fill,
        reason=_EXPIRY_REASONS.get(
            str(order.er), "" if str(order.er) in ("", "0") else f"expire reason {order.er!s:.10}"
        ),
    )
    return (report,)


def _account(event: AccountUpdate, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...]:
    """What changed, absolutely: balances, positions, and the funding that changed them. Contracts not listed are left out."""
    kind, data, at_ns, venue = "ACCOUNT_UPDATE", event.a, event.T * NS_PER_MS, table.venue
    found: list[AccountFact] = []
    if data.B:
        told = tuple((_named(kind, each.a), _signed(kind, "balance", each.wb), wire.ZERO) for each in data.B)
        found.append(BalanceReport(venue, at_ns, received_ns, told, complete=False))
    listed = [(each, table.by_name(each.s)) for each in data.P]
    positions = tuple(
        _event_position(kind, each, instrument, at_ns, received_ns)
        for each, instrument in listed
        if instrument is not None
    )
    if positions:
        found.append(PositionReport(venue, at_ns, received_ns, positions, complete=False))
    paid_on = table.by_name(data.S) if data.m == "FUNDING_FEE" else None
    if paid_on is not None:
        found += [
            FundingPayment(
                venue,
                paid_on.symbol,
                at_ns,
                received_ns,
                _payment_id(each.a, _signed(kind, "change", each.bc), event.T),
                each.a,
                each.bc,
            )
            for each in data.B
            if each.bc
        ]
    return tuple(found)


def _event_position(kind: str, each: EventPosition, instrument: Instrument, at_ns: int, received_ns: int) -> Position:
    counted, entry = _signed(kind, "position", each.pa), _amount(kind, "entry price", each.ep)
    mode = _MARGIN_MODES.get(each.mt.lower())
    return Position(
        venue=instrument.venue,
        symbol=instrument.symbol,
        event_time_ns=at_ns,
        received_ns=received_ns,
        side=_position_side(kind, each.ps),
        quantity=base(instrument, counted, entry),
        entry_price=(entry or None) if counted else None,
        unrealized=_signed(kind, "unrealized profit", each.up),
        contracts=contracts(instrument, counted),
        margin_mode=mode,
        margin=_signed(kind, "isolated wallet", each.iw) if mode is MarginMode.ISOLATED else None,
    )


def _algo(event: AlgoUpdate, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...]:
    kind, order = "ALGO_UPDATE", event.o
    status, venue_id, working = _algo_state(order.X, order.aid, order.ai)
    report = _report(
        kind,
        _listed(kind, order.s, table),
        received_ns,
        event_time_ns=event.T * NS_PER_MS,
        client_id=order.caid,
        venue_id=venue_id,
        side=order.S,
        type=ORDER_TYPES.get(order.o, OrderType.OTHER),
        type_text=order.o,
        time_in_force=order.f,
        status=status,
        status_text=order.X,
        counted=_or_zero(order.q),
        filled=wire.ZERO,
        price=_or_zero(order.p),
        average=wire.ZERO,
        stop_price=_or_zero(order.tp),
        position_side=order.ps,
        reduce_only=order.R,
        reason=order.rm[:200],
        working=working,
    )
    return (report,)


def _ended(event: KeyExpired, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...]:
    """It names the key that expired; which one the connection was opened with is not known here, so it ends the stream."""
    return (StreamEnded("the listen key of the account's events expired"),)


_READERS: dict[type, Callable[[Any, int, InstrumentTable], tuple[AccountFact, ...]]] = {
    OrderTradeUpdate: _order,
    AccountUpdate: _account,
    AlgoUpdate: _algo,
    KeyExpired: _ended,
}


def event_facts(event: Event, received_ns: int, table: InstrumentTable) -> tuple[AccountFact, ...] | None:
    """What an event of the account says; None of a kind that says nothing new or is about the connection.

    Raises:
        WireFormatError: it contradicts itself, or a number is out of range.
        Unlisted: it is about a contract that is not in the table.
    """
    read = _READERS.get(type(event))
    return None if read is None else read(event, received_ns, table)
