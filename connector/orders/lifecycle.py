"""The life of one order: what is known of it, and what each thing the venue says changes.

An `OrderRecord` is a frozen value made from what was meant (the intent), what the venue said (reports and fills) and, only as
long as the venue said nothing, how its request ended (a verdict). `apply_report`, `apply_fill` and `apply_verdict` each return
the next record and the events to hand on. The same messages in any order, any of them twice, give the same record; only
the evidence, which is a diary, keeps the order of arrival.

What holds:
- The newest report rules: a final one before one that is not, then the larger filled quantity, then the version, then the
  venue's time. Anything older changes nothing; a fill it carries still counts.
- Amounts are counted in order units: contracts where the venue counts those, else base units. A venue that counts contracts tells
  them in every report and fill, so contracts are never compared with base units, which are rounded on inverse contracts.
- A fill counts exactly once, by trade id. The filled quantity is the largest the venue named, or the sum of the fills where
  that is more: late fills after a cancel count, and the status stays final.
- A final status never becomes an open one. If the venue contradicts itself, or an order appears that was concluded never to
  have arrived, the venue's later word is taken and an `Alarm` says so.
- A status this version does not know is kept as text; the last status that was known stays. It is never final.

Never asks, sends, stores or reads a clock; never calls an order filled, cancelled or rejected without the venue's word or, for
one that never arrived, the verdict of `orders.outcomes`. Runs on whatever thread calls it.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, Evidence, PlaceOrder
from connector.domain.facts import OrderReport
from connector.domain.orders import Fill, FillKind, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Product, Symbol
from connector.errors import ConnectorBug
from connector.orders.rounding import ZERO, average, harmonic_average, product, total

__all__ = [
    "Alarm",
    "AlarmKind",
    "Event",
    "IntentRecord",
    "OrderRecord",
    "Verdict",
    "apply_fill",
    "apply_report",
    "apply_verdict",
    "can_transition",
    "contradicts",
    "explain",
    "fill_units",
    "new_record",
    "note",
    "record_of_report",
    "restored",
]

_S = OrderStatus
_MAY_BECOME: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.UNKNOWN: frozenset(_S),
    _S.NEW: frozenset({_S.NEW, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED}),
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.FILLED: frozenset({_S.FILLED}),
    _S.CANCELED: frozenset({_S.CANCELED}),
    _S.REJECTED: frozenset({_S.REJECTED}),
    _S.EXPIRED: frozenset({_S.EXPIRED}),
}


def can_transition(old: OrderStatus, new: OrderStatus) -> bool:
    """Whether an order may go from one status to another, itself included, without anyone having been wrong before."""
    return new in _MAY_BECOME[old]


# ---------------------------------------------------------------- values


class IntentRecord(msgspec.Struct, frozen=True, kw_only=True, tag="intent", gc=False):
    """What an engine wants, written to the store before the first byte leaves. Made by `IntentRecord.of`.

    Attributes:
        place, cancel, amend: the command; one of them is not None.
        client_id: of the order; for a cancel or amend, of the order it is about.
        at_ns: our clock when it was written.
        recv_window_ms: how long after its timestamp the venue may still take the request.
        timestamp_ms: the request's, in the venue's time, where it was known when this was written; after a crash, one that
            was not known counts as the venue's time of the restart, see `outcomes.Pending.resumed`.
        list_id: the client id of the order list it is part of.
        base_quantity: what an order placed in contracts comes to in base units, as far as that was known when it was written.
    """

    venue: str
    client_id: str
    symbol: Symbol
    at_ns: int
    recv_window_ms: int
    timestamp_ms: int | None = None
    list_id: str | None = None
    place: PlaceOrder | None = None
    cancel: CancelOrder | None = None
    amend: AmendOrder | None = None
    base_quantity: Decimal | None = None

    @classmethod
    def of(
        cls,
        command: PlaceOrder | CancelOrder | AmendOrder,
        *,
        venue: str,
        client_id: str,
        at_ns: int,
        recv_window_ms: int,
        timestamp_ms: int | None = None,
        list_id: str | None = None,
        base_quantity: Decimal | None = None,
    ) -> IntentRecord:
        """The intent of one command about the order `client_id`."""
        return cls(
            venue=venue,
            client_id=client_id,
            symbol=command.symbol,
            at_ns=at_ns,
            recv_window_ms=recv_window_ms,
            timestamp_ms=timestamp_ms,
            list_id=list_id,
            place=command if isinstance(command, PlaceOrder) else None,
            cancel=command if isinstance(command, CancelOrder) else None,
            amend=command if isinstance(command, AmendOrder) else None,
            base_quantity=base_quantity,
        )

    @property
    def command(self) -> PlaceOrder | CancelOrder | AmendOrder:
        command = self.place or self.cancel or self.amend
        if command is None:
            raise ConnectorBug(f"the intent of {self.client_id} holds no command.")
        return command


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the request of an order ended that the venue never reported as an order.

    Attributes:
        never_arrived: True: concluded from the venue's answers, see `outcomes`; False: the venue refused the request.
        code, reason: the venue's own, or why it is certain.
    """

    never_arrived: bool
    code: str
    reason: str
    at_ns: int


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True, tag="order", gc=False):
    """All that is known of one order.

    Attributes:
        order: the public view, derived from the rest.
        intent: None for an order that is not ours or whose intent was lost.
        newest: the newest report; None before the first.
        named: the newest report with a status known here: `newest` itself unless its status is unknown.
        reported: the largest filled amount any report named, in order units.
        reported_filled: the same in base units, as the venue worked it out; None where `reported` is in base units itself.
        verdict: a refusal; None once the venue reported the order after all.
        fills: each once, in the order of their trade ids. May lack some, see `missing`.
        filled, quote: exact sums over `fills`: base units, and price x quantity.
        counted: the exact sum over `fills` in order units.
        evidence: how all this is known, in order of arrival.
    """

    order: Order
    intent: IntentRecord | None = None
    newest: OrderReport | None = None
    named: OrderReport | None = None
    reported: Decimal = ZERO
    verdict: Verdict | None = None
    fills: tuple[Fill, ...] = ()
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    evidence: tuple[Evidence, ...] = ()
    reported_filled: Decimal | None = None
    counted: Decimal = ZERO

    @property
    def client_id(self) -> str:
        return self.order.client_id

    @property
    def symbol(self) -> Symbol:
        return self.order.symbol

    @property
    def is_final(self) -> bool:
        """No report can open it again. Fills may still be `missing`."""
        return self.order.status.is_final

    @property
    def version(self) -> int | None:
        """The venue's version of the newest report, where it counts them."""
        return None if self.newest is None else self.newest.version

    @property
    def missing(self) -> Decimal:
        """Order units the venue said were filled and no fill is here for: ask for the fills while it is not 0."""
        return total((max(self.reported, self.counted), -self.counted))

    @property
    def fees(self) -> dict[str, Decimal]:
        """Exact fee per asset over `fills`; negative is a rebate. Fees the venue did not name an asset for are left out."""
        fees: dict[str, Decimal] = {}
        for fill in self.fills:
            if fill.fee_asset is not None:
                fees[fill.fee_asset] = total((fees.get(fill.fee_asset, ZERO), fill.fee))
        return fees

    @property
    def received(self) -> Decimal:
        """Filled base units less fees paid in the base asset: what a buyer can sell again."""
        return total((self.filled, -self.fees.get(self.symbol.base, ZERO)))


class AlarmKind(enum.Enum):
    """UNKNOWN_STATUS: a word of the venue not known here. CORRECTED: a final status was wrong or the venue changed its mind.

    OVERFILLED: the fills add up to more than the order's quantity. FORCED: the venue closed a position of ours, or a part.
    """

    UNKNOWN_STATUS = "unknown_status"
    CORRECTED = "corrected"
    OVERFILLED = "overfilled"
    FORCED = "forced"


class Alarm(msgspec.Struct, frozen=True):
    """Something an operator should read. It is also in the order's evidence."""

    kind: AlarmKind
    client_id: str
    text: str


Event = Fill | Order | Alarm | Position | FundingPayment
"""What a change is told as: fills before the state of the order they led to, alarms last. Positions and funding: of contracts."""

# ---------------------------------------------------------------- beginnings


def new_record(intent: IntentRecord) -> OrderRecord:
    """The record of an order that was meant and not sent yet: UNKNOWN until the venue speaks.

    Raises:
        ConnectorBug: the intent is of a cancel or an amend; those make no order.
    """
    command = intent.command
    if not isinstance(command, PlaceOrder):
        raise ConnectorBug(
            f"{intent.client_id}: a {type(command).__name__} makes no order; apply it to the order's record."
        )
    order = Order(
        venue=intent.venue,
        symbol=intent.symbol,
        event_time_ns=None,
        received_ns=intent.at_ns,
        client_id=intent.client_id,
        venue_id=None,
        side=command.side,
        type=command.type,
        time_in_force=command.time_in_force or TimeInForce.GTC,
        status=_S.UNKNOWN,
        status_text="",
        quantity=_meant(intent),
        filled=ZERO,
        price=command.price,
        contracts=command.contracts,
        filled_contracts=None if command.contracts is None else ZERO,
        reduce_only=command.reduce_only,
        position_side=command.position_side,
        in_contracts=command.contracts is not None,
    )
    return OrderRecord(order=order, intent=intent)


def _meant(intent: IntentRecord) -> Decimal:
    """Base units, as far as they are known before the venue tells them."""
    quantity = None if intent.place is None else intent.place.quantity
    return quantity or intent.base_quantity or ZERO


def record_of_report(
    report: OrderReport, *, source: str = "query", recovered: bool = False
) -> tuple[OrderRecord, tuple[Event, ...]]:
    """The record of an order we have no intent of: another program's, or ours after the store was lost."""
    order = Order(
        venue=report.venue,
        symbol=report.symbol,
        event_time_ns=None,
        received_ns=report.received_ns,
        client_id=report.client_id,
        venue_id=report.venue_id or None,
        side=report.side,
        type=report.type,
        time_in_force=report.time_in_force,
        status=_S.UNKNOWN,
        status_text="",
        quantity=report.quantity,
        filled=ZERO,
        price=report.price,
        position_side=report.position_side,
    )
    return apply_report(OrderRecord(order=order), report, source=source, recovered=recovered)


# ---------------------------------------------------------------- what the venue says


def apply_report(
    record: OrderRecord, report: OrderReport, *, source: str = "stream", recovered: bool = False
) -> tuple[OrderRecord, tuple[Event, ...]]:
    """Take one report in, whatever way it came.

    Args:
        source: for the evidence: "stream", "answer" or "query".
        recovered: it came from reconciliation, not as it happened; the events then say so.

    Returns:
        (record, events). A stale or doubled report returns the record itself and no event.

    Raises:
        ConnectorBug: the report is of another order.
    """
    _require_same(record, report.symbol, report.client_id, report.venue_id)
    changed, events = record, []
    if report.fill is not None:
        changed, fresh = _with_fill(
            changed, msgspec.structs.replace(report.fill, recovered=recovered or report.fill.recovered)
        )
        events += fresh
        report = msgspec.structs.replace(report, fill=None)
    newest, named = changed.newest, changed.named
    reported, reported_filled = max(_reported(changed), _filled_units(report))
    if newest is None or _is_newer(report, newest):
        newest = report
    if report.status is not None and (named is None or _is_newer(report, named)):
        named = report
    verdict = changed.verdict
    if (
        newest is not changed.newest
        or named is not changed.named
        or (reported, reported_filled) != _reported(changed)
        or verdict is not None
    ):
        changed = msgspec.structs.replace(
            changed,
            newest=newest,
            named=named,
            reported=reported,
            reported_filled=None if reported_filled == reported else reported_filled,
            verdict=None,
        )
    if changed is record:
        return record, ()
    return _settled(record, changed, events, source, recovered)


def apply_fill(record: OrderRecord, fill: Fill, *, source: str = "stream") -> tuple[OrderRecord, tuple[Event, ...]]:
    """Take one execution in. A trade id that is here already changes no quantity and makes no event.

    A fill tells how much, never how the order ended: one filled to the brim stays PARTIALLY_FILLED until a report says FILLED.

    Raises:
        ConnectorBug: the fill is of another order.
    """
    _require_same(record, fill.symbol, fill.client_id, fill.venue_id)
    changed, events = _with_fill(record, fill)
    if changed is record:
        return record, ()
    if changed.verdict is not None:
        changed = msgspec.structs.replace(changed, verdict=None)
    return _settled(record, changed, events, source, fill.recovered)


def apply_verdict(
    record: OrderRecord, verdict: Verdict, *, source: str = "answer"
) -> tuple[OrderRecord, tuple[Event, ...]]:
    """Take in that the order's request was refused, or never arrived: the order becomes REJECTED.

    An order the venue has reported is stronger than any answer to a request: then nothing changes but the evidence.
    """
    told = Evidence(verdict.at_ns, source, f"refused: {verdict.code} {verdict.reason}".strip())
    if verdict.never_arrived:
        told = Evidence(verdict.at_ns, source, f"never arrived: {verdict.reason}")
    if record.newest is not None or record.fills:
        return note(record, told), ()
    if record.verdict is not None:
        return record, ()
    return _settled(record, note(msgspec.structs.replace(record, verdict=verdict), told), [], source, False)


def contradicts(intent: IntentRecord, report: OrderReport) -> str:
    """Why a report cannot be of the order that was meant, though it has its id; "" when it may be.

    For ids that an engine chose by itself: another program may use the same. Ids made by `orders.ids` are nobody else's. The
    quantity is not compared, since an amend changes it.
    """
    meant = intent.place
    if meant is None:
        return ""
    pairs = [("symbol", meant.symbol, report.symbol), ("side", meant.side, report.side)]
    if report.type is not OrderType.OTHER:
        pairs.append(("type", meant.type, report.type))
    if meant.price is not None and report.price is not None:
        pairs.append(("price", meant.price, report.price))
    return ", ".join(f"its {name} is {told}, not {wanted}" for name, wanted, told in pairs if wanted != told)


def note(record: OrderRecord, *lines: Evidence) -> OrderRecord:
    """The record with more lines in its diary."""
    return msgspec.structs.replace(record, evidence=(*record.evidence, *lines))


def explain(record: OrderRecord) -> tuple[Evidence, ...]:
    """All that is known and whence, oldest first: the diary, and each fill at the time we learned of it."""
    fills = (
        Evidence(
            fill.received_ns,
            "query" if fill.recovered else "stream",
            f"fill {fill.trade_id}: {fill.quantity} at {fill.price}, fee {fill.fee} {fill.fee_asset or '(asset not told)'}",
        )
        for fill in record.fills
    )
    return tuple(sorted((*record.evidence, *fills), key=lambda evidence: evidence.at_ns))


def restored(record: OrderRecord, fills: Iterable[Fill], evidence: Iterable[Evidence]) -> OrderRecord:
    """A record put together again from parts that were kept apart: these fills, each once, and this diary. Tells nothing."""
    kept = sorted(fills, key=_trade_key)
    newest = record.newest
    whole = msgspec.structs.replace(
        record,
        named=newest if newest is not None and newest.status is not None else record.named,
        fills=tuple(kept),
        filled=total(fill.quantity for fill in kept),
        quote=total(product(fill.price, fill.quantity) for fill in kept),
        counted=total(map(fill_units, kept)),
        verdict=None if kept else record.verdict,
        evidence=tuple(evidence),
    )
    return msgspec.structs.replace(whole, order=_derived(whole))


# ---------------------------------------------------------------- inside


def _require_same(record: OrderRecord, symbol: Symbol, client_id: str, venue_id: str) -> None:
    ours = record.order
    by_client_id = client_id == ours.client_id
    by_venue_id = not client_id and bool(venue_id) and venue_id == ours.venue_id
    if symbol != ours.symbol or not (by_client_id or by_venue_id):
        raise ConnectorBug(
            f"{ours.symbol} {ours.client_id!r} ({ours.venue_id}) was given what belongs to {symbol} {client_id!r} ({venue_id})."
        )


def fill_units(fill: Fill) -> Decimal:
    """How much was filled, in order units."""
    return fill.quantity if fill.contracts is None else fill.contracts


def _filled_units(report: OrderReport) -> tuple[Decimal, Decimal]:
    """(order units, base units) filled."""
    return (report.filled if report.filled_contracts is None else report.filled_contracts), report.filled


def _reported(record: OrderRecord) -> tuple[Decimal, Decimal]:
    return record.reported, record.reported if record.reported_filled is None else record.reported_filled


def _is_newer(one: OrderReport, other: OrderReport) -> bool:
    """Whether `one` replaces `other`: a total order, so that the newest of a set is the same however it arrived."""
    one_final, other_final = _is_final(one), _is_final(other)
    if one_final != other_final:
        return one_final
    (one_filled, _), (other_filled, _) = _filled_units(one), _filled_units(other)
    if one_filled != other_filled:
        return one_filled > other_filled
    if one.version is not None and other.version is not None and one.version != other.version:
        return one.version > other.version
    one_ns, other_ns = one.event_time_ns or 0, other.event_time_ns or 0
    if one_ns != other_ns:
        return one_ns > other_ns
    return _detail(one) > _detail(other)


def _is_final(report: OrderReport) -> bool:
    return report.status is not None and report.status.is_final


def _detail(report: OrderReport) -> tuple[object, ...]:
    """Between reports of the same moment: the one that says more, then the one that came first."""
    return (
        report.version is not None,
        report.quote_filled is not None,
        report.working,
        report.status_text,
        -report.quantity,
        report.filled,
        report.contracts if report.contracts is not None else Decimal(-1),
        report.price if report.price is not None else Decimal(-1),
        -report.received_ns,
        report.venue_id,
        report.reason,
    )


def _trade_key(fill: Fill) -> tuple[int, str]:
    """Counted trade ids in the order of their numbers, other texts in some fixed order."""
    return len(fill.trade_id), fill.trade_id


def _fill_rank(fill: Fill) -> tuple[object, ...]:
    """Of two copies of one fill the smaller is kept: fee and profit told, as it happened, first learned; then ties."""
    return (
        fill.fee_asset is None,
        fill.realized is None,
        fill.recovered,
        fill.received_ns,
        fill.event_time_ns,
        fill.price,
        fill.quantity,
        fill_units(fill),
        fill.fee,
    )


def _kind_rank(kind: FillKind) -> tuple[bool, str]:
    return kind is not FillKind.TRADE, kind.value


def _with_fill(record: OrderRecord, fill: Fill) -> tuple[OrderRecord, list[Event]]:
    fills = record.fills
    if fill.client_id != record.client_id:  # lists of executions name the venue's id only
        fill = msgspec.structs.replace(fill, client_id=record.client_id)
    at = bisect_left(fills, _trade_key(fill), key=_trade_key)
    if at < len(fills) and fills[at].trade_id == fill.trade_id:
        best = min(fill, fills[at], key=_fill_rank)
        kind = max(fill.kind, fills[at].kind, key=_kind_rank)  # lists of executions do not tell what was forced
        if best.kind is not kind:
            best = msgspec.structs.replace(best, kind=kind)
        if best == fills[at]:
            return record, []
        fills = (*fills[:at], best, *fills[at + 1 :])
        filled = total(each.quantity for each in fills)
        quote = total(product(each.price, each.quantity) for each in fills)
        counted = total(map(fill_units, fills))
        return msgspec.structs.replace(record, fills=fills, filled=filled, quote=quote, counted=counted), []
    return msgspec.structs.replace(
        record,
        fills=(*fills[:at], fill, *fills[at:]),
        filled=total((record.filled, fill.quantity)),
        quote=total((record.quote, product(fill.price, fill.quantity))),
        counted=total((record.counted, fill_units(fill))),
    ), [fill]


def _derived(record: OrderRecord) -> Order:
    """The public view of a record: a function of everything in it but the evidence."""
    before, newest, named = record.order, record.newest, record.named
    filled = record.filled if record.counted >= record.reported else _reported(record)[1]
    is_filled = record.counted > 0 or record.reported > 0
    if named is not None and named.status is not None:
        status = named.status
        if status is _S.NEW and is_filled:
            status = _S.PARTIALLY_FILLED
    elif is_filled:
        status = _S.PARTIALLY_FILLED
    else:
        status = _S.UNKNOWN if record.verdict is None else _S.REJECTED
    last = record.fills[-1] if record.fills else None
    told = [each for each in (newest, last) if each is not None]
    wanted = None if record.intent is None else record.intent.place
    price = None if wanted is None else wanted.price
    contracts = None if wanted is None else wanted.contracts
    if newest is not None and newest.contracts is not None:
        contracts = newest.contracts
    counts_contracts = contracts is not None or any(fill.contracts is not None for fill in record.fills)
    told_at_ns = before.received_ns if record.verdict is None else record.verdict.at_ns
    return msgspec.structs.replace(
        before,
        status=status,
        status_text="" if newest is None else newest.status_text,
        quantity=(newest is not None and newest.quantity) or (ZERO if record.intent is None else _meant(record.intent)),
        price=price if newest is None or newest.price is None else newest.price,
        time_in_force=before.time_in_force if newest is None else newest.time_in_force,
        filled=filled,
        average_price=_average(record, filled),
        contracts=contracts,
        filled_contracts=max(record.reported, record.counted) if counts_contracts else None,
        reduce_only=before.reduce_only or (newest is not None and newest.reduce_only),
        position_side=_position_side(before, newest),
        venue_id=next((each.venue_id for each in told if each.venue_id), None),
        event_time_ns=max((each.event_time_ns for each in told if each.event_time_ns is not None), default=None),
        received_ns=max((each.received_ns for each in told), default=told_at_ns),
    )


def _position_side(before: Order, newest: OrderReport | None) -> PositionSide:
    """As the venue tells it; what was meant where it tells none."""
    if newest is None or newest.position_side is PositionSide.NET:
        return before.position_side
    return newest.position_side


def _average(record: OrderRecord, filled: Decimal) -> Decimal | None:
    """Exact quote over filled: from the fills when all are here, else from the venue's own sum; None while neither is known.

    Of inverse contracts every one is as much quote, so contracts weigh, not base units, and their size does not count.
    """
    if not filled:
        return None
    if record.counted and record.counted >= record.reported:
        if record.symbol.product is Product.INVERSE:
            return harmonic_average((fill_units(fill), fill.price) for fill in record.fills)
        return average(record.quote, filled)
    newest = record.newest
    if newest is not None and newest.filled == filled and newest.quote_filled is not None:
        return average(newest.quote_filled, filled)
    return None


def _same_to_the_outside(one: Order, other: Order) -> bool:
    return msgspec.structs.replace(other, received_ns=one.received_ns, event_time_ns=one.event_time_ns) == one


def _differ_by_a_fill_only(one: Order, other: Order) -> bool:
    return _same_to_the_outside(
        msgspec.structs.replace(
            one,
            filled=other.filled,
            filled_contracts=other.filled_contracts,
            average_price=other.average_price,
            recovered=other.recovered,
        ),
        other,
    )


def _settled(
    before: OrderRecord, changed: OrderRecord, events: list[Event], source: str, recovered: bool
) -> tuple[OrderRecord, tuple[Event, ...]]:
    """Derive the order, write the diary, and say what there is to tell."""
    order = _derived(changed)
    if _same_to_the_outside(order, before.order):
        return msgspec.structs.replace(changed, order=order), tuple(events)
    order = msgspec.structs.replace(order, recovered=recovered)
    changed = msgspec.structs.replace(changed, order=order)
    is_more_of_the_same = bool(events) and _differ_by_a_fill_only(before.order, order)
    events.append(order)
    old, new = before.order, order
    (old_filled, _), (new_filled, whole) = _amounts(old), _amounts(new)
    unit = " contracts" if new.contracts is not None else ""
    text = (
        f"{new.status.value}{f' ({new.status_text})' if new.status_text else ''}, {new_filled} of {whole}{unit} filled"
    )
    if not is_more_of_the_same:  # the fill itself is listed by `explain`
        changed = note(changed, Evidence(new.received_ns, source, text))
    alarms = []
    if not can_transition(old.status, new.status):
        alarms.append(
            Alarm(AlarmKind.CORRECTED, new.client_id, f"{old.status.value} is corrected: the venue reports {text}")
        )
    if changed.newest is not changed.named and changed.newest is not before.newest:
        told = f"the venue's status {new.status_text!r} is not known; the order stays {new.status.value}"
        alarms.append(Alarm(AlarmKind.UNKNOWN_STATUS, new.client_id, told))
    if whole and new_filled > whole >= old_filled:
        told = f"{new_filled} is filled of an order of {whole}{unit}"
        alarms.append(Alarm(AlarmKind.OVERFILLED, new.client_id, told))
    for alarm in alarms:
        changed = note(changed, Evidence(new.received_ns, source, alarm.text))
    return changed, (*events, *alarms)


def _amounts(order: Order) -> tuple[Decimal, Decimal]:
    """(filled, whole quantity) in order units."""
    if order.contracts is None:
        return order.filled, order.quantity
    return order.filled_contracts or ZERO, order.contracts
