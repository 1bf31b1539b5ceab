"""The read model of one account: our orders, other programs' orders, fills, balances, positions, and what risk hooks are shown.

It takes in what was meant, what the venue said and how requests ended, applies `orders.lifecycle`, announces what there is to
tell and appends every change to the store. One writer: the state actor, on whose thread everything here runs; what it hands out
is frozen. It never asks the venue, never waits and starts nothing: clock and store are handed in, the state actor acts.

What holds:
- An order is ours when its intent is in the store. Everything else is external: kept apart, bounded, never acted upon.
- A fill counts once per (symbol, trade id, side), over restarts too. One whose order is not known is parked until a question
  tells.
- A fill the venue forced (liquidation, deleveraging, settlement) is of an order that is not ours and changes what is: it is
  told, counted and kept like ours.
- A store that fails changes nothing here: an alarm and a counter, and what is missing there is written with the next change.
- `free` is what can be spent, `locked` what open orders hold, `total` both. Absolute reports replace, the newer by the venue's
  time; a change outside trading is added, until a report says more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from connector.domain.account import Balance, FundingPayment, Position, PositionSide
from connector.domain.commands import Evidence
from connector.domain.facts import (
    AccountFact,
    BalanceChange,
    BalanceReport,
    ListReport,
    OrderReport,
    PositionReport,
    StreamEnded,
)
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import Fill, FillKey, FillKind, Order
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_S
from connector.orders.lifecycle import (
    Alarm,
    AlarmKind,
    Event,
    IntentRecord,
    OrderRecord,
    Verdict,
    apply_fill,
    apply_report,
    apply_verdict,
    explain,
    new_record,
    note,
    record_of_report,
)
from connector.orders.reconcile import Corrections, Held
from connector.orders.risk import DayTotals, RiskView
from connector.orders.rounding import ZERO, total
from connector.store.contract import FillRecord, MetaRecord, Record, Store, StoreFailed, changes
from connector.telemetry import Counters, OncePerKind
from connector.venue.positions import FundingModel, PositionModel, flat_position

__all__ = ["AccountModel", "Taken", "later_id"]

DAY_NS = 86_400 * NS_PER_S
KEPT_FINAL = 10_000
"""Final orders at hand; older ones are read from the store."""
KEPT_EXTERNAL = 1_000
KEPT_PARKED = 1_000
KEPT_PLACED = 10_000
PLACED_BEFORE_NS = 600 * NS_PER_S
SYMBOLS = "traded symbols"
FUNDING = "funding told"
AHEAD_MOST_NS = NS_PER_S
"""How far the venue's clock, as measured, may be behind what it last told."""
FUNDING_OVERLAP_NS = 3_600 * NS_PER_S

_Key = tuple[Symbol, str]


class Taken(msgspec.Struct, frozen=True):
    """What came of one message.

    Attributes:
        events: what was announced, in order.
        noticed: reports of orders of ours, for the order actor.
        strange: a fill was parked: somebody has to ask whose it is.
        moved: balances changed outside trading: somebody has to ask for all of them.
        paid: funding was paid and it was not told on what: somebody has to ask.
        doubt: why the account has to be compared with the venue; "" mostly.
    """

    events: tuple[Event, ...] = ()
    noticed: tuple[OrderReport, ...] = ()
    strange: bool = False
    moved: bool = False
    paid: bool = False
    doubt: str = ""


NOTHING = Taken()


def _since_ns(record: OrderRecord) -> int:
    return record.order.received_ns if record.intent is None else record.intent.at_ns


def _is_forced(fill: Fill) -> bool:
    return fill.kind is not FillKind.TRADE


def _concerns_us(fill: Fill) -> bool:
    """Of an order of ours, or forced by the venue on a position of ours."""
    return bool(fill.client_id) or _is_forced(fill)


def _forced_alarm(fill: Fill) -> Alarm:
    amount = f"{fill.quantity:f} {fill.symbol.base}" if fill.contracts is None else f"{fill.contracts:f} contracts"
    text = f"{fill.kind.value}: the venue forced a {fill.side.value} of {amount} of {fill.symbol} at {fill.price:f}"
    return Alarm(AlarmKind.FORCED, "", text)


def later_id(one: str | None, other: str | None) -> str | None:
    """The later of two trade ids of one symbol: ids are counted, so the longer text, then the larger."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda text: (len(text), text))


class AccountModel:
    """See the module.

    Args:
        venue: its name.
        now_ns: our clock.
        announce: called with the events of a change before the change is stored, so that a crash in between loses none.
        has_positions: the account holds positions in contracts; else assets.
        positions_told: what an earlier incarnation told of positions.
    """

    def __init__(
        self,
        venue: str,
        store: Store,
        now_ns: Callable[[], int],
        counters: Counters,
        alarms: OncePerKind,
        announce: Callable[[tuple[Event, ...]], None] = lambda events: None,
        has_positions: bool = False,
        positions_told: Iterable[Position] = (),
        venue_now_ns: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.venue = venue
        self.has_positions = has_positions
        self.positions, self.funding = PositionModel(positions_told), FundingModel()
        self.orders: dict[str, OrderRecord] = {}
        self.external: dict[_Key, OrderRecord] = {}
        self.parked: dict[FillKey, Fill] = {}
        self.balances: dict[str, Balance] | None = None
        self.balances_complete = False
        self.touched: dict[Symbol, int] = {}
        """Symbols whose fills have to be read, and when something last happened there."""
        self.is_loaded = False
        self._store, self._now_ns, self._counters, self._alarms = store, now_ns, counters, alarms
        self._announce, self._venue_now_ns = announce, venue_now_ns
        self._open: dict[str, Order] = {}
        self._final: dict[str, None] = {}
        self._ids: dict[_Key, str] = {}
        self._external_fills: dict[FillKey, None] = {}
        self._behind: dict[str, OrderRecord | None] = {}
        self._unwritten: deque[FillRecord] = deque()  # forced fills a failing store did not take
        self._traded: dict[Symbol, int] = {}
        self._placed: deque[int] = deque(maxlen=KEPT_PLACED)
        self._day = DayTotals(0)
        self._positions: tuple[object, object, Mapping[Symbol, Decimal]] | None = None

    # ------------------------------------------------------------ beginning

    def load(self) -> bool:
        """Read what the store knows: orders not final, the day's fills, symbols traded. False: it could not be read, try again.

        Events of what is read are not told: an earlier process, or incarnation, did.
        """
        if self.is_loaded:
            return True
        now_ns = self._now_ns()
        try:
            orders = self._store.open_orders()
            fills = self._store.fills(since_ns=now_ns - now_ns % DAY_NS)
            recent = self._store.orders(since_ns=now_ns - PLACED_BEFORE_NS)
            symbols = self._store.meta(SYMBOLS) or ""
            funding = self._store.meta(FUNDING) if self.has_positions else None
        except StoreFailed as failed:
            self._on_store_failed("reading", failed)
            return False
        for text in symbols.split():
            name, _, since_ns = text.rpartition("@")
            self._traded.setdefault(Symbol.parse(name), int(since_ns))
        for record in orders:
            if record.client_id not in self.orders:
                self._hold(record)
        for record in (*orders, *recent):  # the last thing that happened there may have been cut off in the middle
            self._touch(record.symbol, _since_ns(record))
        for symbol in tuple(self._traded):
            self._touch(symbol)
        if not self._placed:
            self._placed.extend(record.intent.at_ns for record in recent if record.intent is not None)
        if self.has_positions:
            self.funding.restore(funding, now_ns)
            if funding is None:
                self._write([MetaRecord(FUNDING, self.funding.kept())])
        self._begin_day(now_ns - now_ns % DAY_NS, fills)
        self.is_loaded = True
        return True

    # ------------------------------------------------------------ what the order actor says

    def intend(self, intent: IntentRecord) -> Taken:
        """An intent is in the journal: an order begins, or something is about to happen to one."""
        if intent.place is None:
            return NOTHING
        self._placed.append(intent.at_ns)
        if self.find(intent.client_id) is None:
            self._hold(new_record(intent))
        self._touch(intent.symbol, intent.at_ns)
        return NOTHING

    def rule(self, client_id: str, verdict: Verdict) -> Taken:
        """A request ended without the venue reporting the order."""
        record = self.find(client_id)
        if record is None:
            return NOTHING
        changed, events = apply_verdict(record, verdict)
        return self._changed(record, changed, events)

    def jot(self, client_id: str, *lines: Evidence) -> Taken:
        """More lines for an order's diary; of an unknown order they are of no use."""
        record = self.find(client_id)
        return NOTHING if record is None else self._changed(record, note(record, *lines), ())

    # ------------------------------------------------------------ what the venue says

    def take(self, fact: AccountFact, source: str, recovered: bool = False) -> Taken:
        """Take one fact in, whatever way it came.

        Args:
            source: "stream", "answer" or "query".
            recovered: it is told late.
        """
        if isinstance(fact, OrderReport):
            return self._take_report(fact, source, recovered)
        if isinstance(fact, Fill):
            return self._take_fill(fact, source, recovered)
        if isinstance(fact, BalanceReport):
            self._take_balances(fact)
        elif isinstance(fact, BalanceChange):
            self._take_change(fact)
            return Taken(moved=True)
        elif isinstance(fact, PositionReport):
            return self.take_positions(fact)
        elif isinstance(fact, FundingPayment):
            if fact.symbol is None and source == "stream":
                return Taken(paid=True)  # the question that follows tells on what it was paid
            return self.take_funding((msgspec.structs.replace(fact, recovered=recovered or fact.recovered),))
        elif isinstance(fact, ListReport):
            return self._take_list(fact, source)
        elif isinstance(fact, StreamEnded):
            return Taken(doubt=f"the venue ended the private stream: {fact.reason}")
        return NOTHING

    def _take_report(self, report: OrderReport, source: str, recovered: bool) -> Taken:
        key = (report.symbol, report.venue_id)
        client_id = self._ids.get(key, report.client_id)
        try:
            record = self._ours(client_id)
        except StoreFailed as failed:  # whose it is cannot be told now, and guessing would be for good
            self._on_store_failed("reading", failed)
            if report.fill is not None:
                self._park(report.fill)
            return Taken(doubt="the store of orders could not be read")
        if record is None or record.symbol != report.symbol:
            return Taken(self._take_external(report, source))
        self.external.pop(key, None)
        if report.client_id != client_id:  # a cancel's or amend's id in place of the order's
            report = msgspec.structs.replace(report, client_id=client_id)
        changed, events = apply_report(record, report, source=source, recovered=recovered)
        taken = self._changed(record, changed, events)
        more: tuple[Event, ...] = ()
        for fill in [fill for fill in self.parked.values() if (fill.symbol, fill.venue_id) == key]:
            del self.parked[fill.key]
            more += self._take_fill(fill, source, True).events
        return Taken((*taken.events, *more), (report,))

    def _take_fill(self, fill: Fill, source: str, recovered: bool) -> Taken:
        client_id = fill.client_id or self._ids.get((fill.symbol, fill.venue_id), "")
        try:
            record = self._ours(client_id)
        except StoreFailed as failed:
            self._on_store_failed("reading", failed)
            return self._park(fill)
        if record is not None and record.symbol == fill.symbol:
            fill = msgspec.structs.replace(fill, client_id=client_id, recovered=recovered or fill.recovered)
            changed, events = apply_fill(record, fill, source=source)
            return self._changed(record, changed, events)
        if client_id or _is_forced(fill) or (fill.symbol, fill.venue_id) in self.external:
            return Taken(
                self._take_external_fills((msgspec.structs.replace(fill, recovered=recovered or fill.recovered),))
            )
        if self.has_fill(fill):
            return NOTHING
        return self._park(fill)

    def _park(self, fill: Fill) -> Taken:
        """Keep a fill until it is known whose it is."""
        self._counters.add("account.fills_parked")
        self.parked[fill.key] = fill
        if len(self.parked) > KEPT_PARKED:  # the place read up to stays before it: it is read again
            del self.parked[next(iter(self.parked))]
            return Taken(strange=True, doubt="more fills of unknown orders than can be kept")
        return Taken(strange=True)

    def _take_list(self, report: ListReport, source: str) -> Taken:
        text = f"list {report.list_id}: {report.kind_text} {report.status_text}".strip()
        for client_id, _ in report.orders:
            record = self.find(client_id)
            if record is not None and all(line.text != text for line in record.evidence):
                self._changed(record, note(record, Evidence(report.received_ns, source, text)), ())
        return NOTHING

    # ------------------------------------------------------------ other programs

    def _take_external(self, report: OrderReport, source: str) -> tuple[Event, ...]:
        key = (report.symbol, report.venue_id)
        known = self.external.pop(key, None)
        if known is None:
            known, _ = record_of_report(report, source=source)
        else:
            known, _ = apply_report(known, msgspec.structs.replace(report, client_id=known.client_id), source=source)
        self._keep_external(key, known)
        own = [fill for fill in self.parked.values() if (fill.symbol, fill.venue_id) == key]
        for fill in own:
            del self.parked[fill.key]
        return self._take_external_fills((*own, *([report.fill] if report.fill is not None else ())))

    def _keep_external(self, key: _Key, record: OrderRecord) -> None:
        self.external.pop(key, None)
        self.external[key] = record  # the latest seen last
        if len(self.external) > KEPT_EXTERNAL:
            final = next((key for key, each in self.external.items() if each.is_final), None)
            del self.external[final or next(iter(self.external))]

    def _of_its_order(self, fill: Fill) -> Fill:
        """A fill that is forced if its order is: lists of executions often do not show it."""
        order = self.external.get((fill.symbol, fill.venue_id))
        if _is_forced(fill) or order is None or order.newest is None or order.newest.kind is FillKind.TRADE:
            return fill
        return msgspec.structs.replace(fill, kind=order.newest.kind)

    def _take_external_fills(self, fills: Iterable[Fill]) -> tuple[Event, ...]:
        """Keep fills that are not of our orders; returns those we have to hear of: a position of ours was closed."""
        new = [self._of_its_order(fill) for fill in fills if not self.has_fill(fill)]
        forced = [msgspec.structs.replace(fill, client_id="") for fill in new if _is_forced(fill)]
        events: tuple[Event, ...] = tuple(told for fill in forced for told in (fill, _forced_alarm(fill)))
        if events:
            self._announce(events)
        for fill in new:
            self._external_fills[fill.key] = None
            if len(self._external_fills) > KEPT_EXTERNAL:
                del self._external_fills[next(iter(self._external_fills))]
        records = [FillRecord(msgspec.structs.replace(fill, client_id="")) for fill in new]
        if records and not self._write([*records]):
            self._unwritten.extend(record for record in records if _is_forced(record.fill))
        for fill in forced:
            self._counters.add("account.fills_forced")
            self._count(fill)
            self._touch(fill.symbol)
        return events

    # ------------------------------------------------------------ positions and funding

    def take_positions(self, report: PositionReport, asked_ns: int = 0, late_ns: int = 0) -> Taken:
        """What the venue says of positions. Where the size of one changed, fills are read: one of them may not have come.

        Args:
            asked_ns: our clock when they were asked for; 0: it said so by itself. late_ns: how far answers may lag behind.
        """
        before = {(each.symbol, each.side): each for each in self.positions.open()}
        was_complete = self.positions.is_complete
        changed = self.positions.take(report, asked_ns, late_ns)
        if changed:
            self._announce(changed)
        for position in (
            changed if was_complete or not asked_ns else ()
        ):  # what was there before us has nothing to explain
            known = before.get((position.symbol, position.side))
            if known is None or known.quantity != position.quantity:
                self._touch(position.symbol, None if known is None else known.received_ns)
        return Taken(changed)

    def take_funding(self, payments: Iterable[FundingPayment]) -> Taken:
        """Payments of funding, by whatever way; each counts once."""
        if not self.is_loaded:  # which were told is not known yet: they are asked for once it is
            return NOTHING
        new, told = self.funding.take_all(payments)
        for payment in new:
            self._day.add_funding(payment)
        if told:
            self._announce(tuple(told))
            self._write([MetaRecord(FUNDING, self.funding.kept())])
        return Taken(tuple(told))

    def funding_from_ns(self) -> int:
        """From when on, by the venue's clock, payments have to be read."""
        now_ns = self._now_ns()
        return self.funding.start_ns(now_ns - now_ns % DAY_NS, FUNDING_OVERLAP_NS)

    def position(self, symbol: Symbol, side: PositionSide) -> Position:
        """One position; flat where the venue told nothing of it."""
        known = self.positions.known(symbol, side)
        return flat_position(self.venue, symbol, side, self._now_ns()) if known is None else known

    # ------------------------------------------------------------ balances

    def _take_balances(self, report: BalanceReport) -> None:
        held = dict(self.balances or {})
        told = {asset: (free, locked) for asset, free, locked in report.balances}
        if report.complete:
            told |= {asset: (ZERO, ZERO) for asset in held if asset not in told}
            self.balances_complete = True
        for asset, (free, locked) in told.items():
            known = held.get(asset)
            if known is not None and report.event_time_ns is not None and self._told_at(known) > report.event_time_ns:
                continue
            held[asset] = Balance(self.venue, asset, report.event_time_ns, report.received_ns, free, locked)
        self.balances = held

    def _told_at(self, known: Balance) -> int:
        """When the venue told of a balance, by its clock; 0 where that is no time to compare with.

        A time in the venue's future is of before its clock went back: whatever comes now is newer.
        """
        told_ns, venue_now_ns = known.event_time_ns or 0, self._venue_now_ns()
        return 0 if venue_now_ns is not None and told_ns > venue_now_ns + AHEAD_MOST_NS else told_ns

    def _take_change(self, change: BalanceChange) -> None:
        held = dict(self.balances or {})
        known = held.get(change.asset)
        if known is None or self._told_at(known) >= (change.event_time_ns or 0):
            return  # never known, or counted already: the question that follows will tell
        free = total((known.free, change.change))
        held[change.asset] = Balance(
            self.venue, change.asset, change.event_time_ns, change.received_ns, free, known.locked
        )
        self.balances = held

    # ------------------------------------------------------------ reconciliation

    def held(self, reports: Iterable[OrderReport] = (), fills: Iterable[Fill] = ()) -> Held:
        """Our side of a comparison: orders that are not final or miss fills, and those the answers are about.

        Raises:
            StoreFailed: whose some of them are cannot be told now.
        """
        orders = {client_id: self.orders[client_id] for client_id in self._open}
        orders |= {client_id: record for client_id, record in self.orders.items() if record.missing}
        named = {(each.symbol, each.venue_id): each.client_id for each in fills}
        named |= {(each.symbol, each.venue_id): each.client_id for each in reports}
        for key, told in named.items():
            client_id = self._ids.get(key, told)
            record = None if client_id in orders else self._ours(client_id)
            if record is not None:
                orders[client_id] = record
        return Held(
            orders=orders,
            external=self.external,
            external_fills=frozenset(self._external_fills),
            balances=self.balances,
        )

    def correct(self, corrections: Corrections, complete_balances: bool) -> tuple[Event, ...]:
        """Take the result of a comparison in; returns what there is to tell, in the venue's order."""
        records: list[Record] = []
        if corrections.events:
            self._announce(corrections.events)
        for client_id, changed in corrections.orders.items():
            records += self._hold(changed, self.orders.get(client_id))
            self._touch(changed.symbol)
        for key, record in corrections.external.items():
            self._keep_external(key, record)
        self._write(records, tuple(corrections.orders))
        events = (*corrections.events, *self._take_external_fills(corrections.external_fills))
        for fill in [fill for fill in self.parked.values() if self._is_settled(fill)]:
            del self.parked[fill.key]
        if complete_balances or corrections.balances:
            told = {balance.asset: balance for balance in corrections.balances}
            self.balances = {**(self.balances or {}), **told}
            self.balances_complete = self.balances_complete or complete_balances
        for event in corrections.events:
            if isinstance(event, Fill):
                self._count(event)
        return events

    def _is_settled(self, fill: Fill) -> bool:
        client_id = fill.client_id or self._ids.get((fill.symbol, fill.venue_id), "")
        record = self.orders.get(client_id)
        if record is not None:
            return any(each.trade_id == fill.trade_id for each in record.fills)
        return (fill.symbol, fill.venue_id) in self.external or fill.key in self._external_fills

    @property
    def is_exposed(self) -> bool:
        """Whether there are open orders of ours, or open positions: the venue may have something to tell at any time."""
        return bool(self._open) or (self.has_positions and bool(self.positions.open()))

    def due_symbols(self) -> tuple[Symbol, ...]:
        """Where fills may be missing: symbols of open orders, and those where something happened lately."""
        found = dict.fromkeys(order.symbol for order in self._open.values())
        return (*found, *(symbol for symbol in self.touched if symbol not in found))

    def fills_read(self, symbol: Symbol, before_ns: int) -> None:
        """Fills of the symbol were read, late enough to show whatever happened before `before_ns`."""
        at_ns = self.touched.get(symbol)
        if at_ns is not None and at_ns < before_ns:
            del self.touched[symbol]

    def touch_missing(self) -> bool:
        """Look again where the venue says more was filled than there are fills for; whether that is anywhere."""
        lacking = {record.symbol for record in self.orders.values() if record.missing > 0}
        for symbol in lacking:
            self._touch(symbol)
        return bool(lacking)

    def last_fill(self, symbol: Symbol) -> str | None:
        """Where reading of fills had got to."""
        try:
            return self._store.last_fill_id(symbol)
        except StoreFailed as failed:
            self._on_store_failed("reading", failed)
            return None

    def read_up_to(self, symbol: Symbol, trade_id: str) -> None:
        """Every fill up to this one has been taken in."""
        if later_id(self.last_fill(symbol), trade_id) == trade_id != self.last_fill(symbol):
            self._write([MetaRecord.last_fill(symbol, trade_id)])

    def first_ns(self, symbol: Symbol) -> int:
        """When this symbol was traded first, by our clock: there are no fills of ours before."""
        return self._traded.get(symbol, self._now_ns())

    # ------------------------------------------------------------ looking

    def find(self, client_id: str) -> OrderRecord | None:
        """One of our orders, from the store if need be; None too while the store cannot be read."""
        try:
            return self._ours(client_id)
        except StoreFailed as failed:
            self._on_store_failed("reading", failed)
            return None

    def _ours(self, client_id: str) -> OrderRecord | None:
        record = self.orders.get(client_id)
        if record is None and client_id:
            record = self._store.order(client_id)
            if record is not None:
                self._hold(record)
        return record

    def find_by_venue_id(self, symbol: Symbol, venue_id: str) -> OrderRecord | None:
        """One order at hand, ours or another program's, by the venue's id."""
        client_id = self._ids.get((symbol, venue_id))
        return self.external.get((symbol, venue_id)) if client_id is None else self.find(client_id)

    def open_orders(self, symbol: Symbol | None, external: bool = False) -> tuple[Order, ...]:
        """Not final, unknown ones included, oldest first; those of other programs when `external`."""
        if external:
            found = [record.order for record in self.external.values() if not record.is_final]
        else:
            found = list(self._open.values())
        return tuple(order for order in found if symbol is None or order.symbol == symbol)

    def history(self, symbol: Symbol | None, since_ns: int) -> tuple[Order, ...]:
        """Ours, meant at or after `since_ns` by our clock, oldest first.

        Raises:
            StoreFailed: the older ones cannot be read.
        """
        found = {record.client_id: record for record in self._store.orders(symbol, since_ns)}
        return tuple(self.orders.get(client_id, record).order for client_id, record in found.items())

    def fills(self, symbol: Symbol | None, since_ns: int) -> tuple[Fill, ...]:
        """Ours and those the venue forced, at or after `since_ns` by the venue's clock, oldest first.

        Raises:
            StoreFailed: the older ones cannot be read.
        """
        found = {fill.key: fill for fill in self._store.fills(symbol, since_ns) if _concerns_us(fill)}
        for fill in (unwritten.fill for unwritten in self._unwritten):
            if fill.event_time_ns >= since_ns and symbol in (None, fill.symbol):
                found[fill.key] = fill
        for client_id in self._behind:
            record = self.orders.get(client_id)
            for fill in () if record is None else record.fills:
                if fill.event_time_ns >= since_ns and symbol in (None, fill.symbol):
                    found[fill.key] = fill
        return tuple(sorted(found.values(), key=lambda fill: (fill.event_time_ns, len(fill.trade_id), fill.trade_id)))

    def explain(self, client_id: str) -> tuple[Evidence, ...]:
        """All that is known of one order and whence, oldest first; empty when it is not ours."""
        record = self.find(client_id)
        return () if record is None else explain(record)

    def has_fill(self, fill: Fill) -> bool:
        """Whether it was taken in before, by whatever process."""
        if fill.key in self._external_fills:
            return True
        try:
            return self._store.has_fill(*fill.key)
        except StoreFailed as failed:
            self._on_store_failed("reading", failed)
            return False

    def view(
        self, now_ns: int, killed: bool, prices: Mapping[Symbol, Decimal], instruments: InstrumentTable | None
    ) -> RiskView:
        """What risk hooks are shown. `day_results` counts our fills, forced ones and funding; None until all that was read."""
        day_ns = now_ns - now_ns % DAY_NS
        if self.is_loaded and self._day.start_ns != day_ns:
            try:
                self._begin_day(day_ns, self._store.fills(since_ns=day_ns))
            except StoreFailed as failed:
                self._on_store_failed("reading", failed)
        return RiskView(
            time_ns=now_ns,
            killed=killed,
            prices=prices,
            open_orders=dict(self._open),
            balances=self.balances if self.balances_complete else None,
            positions=self._net_positions() if self.has_positions else self._spot_positions(instruments),
            day_results=self._day_results(prices) if self._day.start_ns == day_ns else None,
            placed_ns=tuple(self._placed),
            instruments={} if instruments is None else instruments,
        )

    def _net_positions(self) -> Mapping[Symbol, Decimal] | None:
        return self.positions.net() if self.positions.is_complete else None

    def _day_results(self, prices: Mapping[Symbol, Decimal]) -> Mapping[str, Decimal] | None:
        if self.has_positions and self.funding.read_ns is None:
            return None
        return self._day.results(prices)

    def _spot_positions(self, instruments: InstrumentTable | None) -> Mapping[Symbol, Decimal] | None:
        """Spot holds assets, not positions: of a symbol, all of its base asset."""
        if not self.balances_complete or self.balances is None or instruments is None:
            return None
        if self._positions is None or self._positions[0] is not self.balances or self._positions[1] is not instruments:
            held = {asset: balance.total for asset, balance in self.balances.items() if balance.total}
            positions = {
                symbol: held[symbol.base]
                for symbol in instruments
                if symbol.product is Product.SPOT and symbol.base in held
            }
            self._positions = (self.balances, instruments, positions)
        return self._positions[2]

    # ------------------------------------------------------------ inside

    def _changed(self, before: OrderRecord, changed: OrderRecord, events: tuple[Event, ...]) -> Taken:
        if changed is before:
            return NOTHING
        if events:
            self._announce(events)
        self._write(self._hold(changed, before), (changed.client_id,))
        for event in events:
            if isinstance(event, Fill):
                self._count(event)
        if events:
            self._touch(changed.symbol)
        return Taken(events)

    def _hold(self, record: OrderRecord, before: OrderRecord | None = None) -> list[Record]:
        """Keep a record at hand; returns what to append to the store when it is a change of `before`."""
        client_id = record.client_id
        self.orders[client_id] = record
        if record.order.venue_id is not None:
            self._ids[record.symbol, record.order.venue_id] = client_id
        if not record.is_final:
            self._open[client_id] = record.order
        else:
            self._open.pop(client_id, None)
            self._final.pop(client_id, None)
            self._final[client_id] = None
            if len(self._final) > KEPT_FINAL:
                self._forget(next(iter(self._final)))
        if before is None:
            return []
        return list(changes(self._behind.get(client_id, before), record))

    def _forget(self, client_id: str) -> None:
        del self._final[client_id]
        if client_id in self._behind:  # only here is the whole truth: it stays until the store takes it
            self._final[client_id] = None
            return
        record = self.orders.pop(client_id)
        if record.order.venue_id is not None:
            self._ids.pop((record.symbol, record.order.venue_id), None)

    def _write(self, records: list[Record], client_ids: tuple[str, ...] = ()) -> bool:
        """False: the store failed; states of these orders are written again later, see `write_again`."""
        if not records:
            return True
        try:
            self._store.append(records)
        except StoreFailed as failed:
            self._on_store_failed("writing", failed)
            for client_id in client_ids:
                self._behind.setdefault(client_id, self._stored_of(client_id))
            return False
        for client_id in client_ids:
            self._behind.pop(client_id, None)
        return True

    def _stored_of(self, client_id: str) -> OrderRecord | None:
        try:
            return self._store.order(client_id)
        except StoreFailed:
            return None

    def write_again(self) -> None:
        """What a failing store did not take is offered again."""
        while self._unwritten:
            if not self._write([self._unwritten[0]]):
                return
            self._unwritten.popleft()
        for client_id, stored in list(self._behind.items()):
            if stored is None:  # what it has could not be read: told twice is better than never
                try:
                    stored = self._store.order(client_id)
                except StoreFailed:
                    return
            records = list(changes(stored, self.orders[client_id]))
            if not records:
                del self._behind[client_id]
                continue
            self._write(records, (client_id,))
            if client_id in self._behind:
                return

    @property
    def behind(self) -> int:
        """Orders whose newest state is not in the store."""
        return len(self._behind)

    def _on_store_failed(self, doing: str, failed: StoreFailed) -> None:
        self._counters.add("account.store_failed")
        self._alarms.report(f"the store of orders failed while {doing}", str(failed))

    def _count(self, fill: Fill) -> None:
        if _concerns_us(fill):
            self._day.add(fill)

    def _begin_day(self, start_ns: int, fills: Iterable[Fill]) -> None:
        self._day = DayTotals(start_ns)
        for fill in fills:
            self._count(fill)
        for payment in self.funding.since(None, start_ns):
            self._day.add_funding(payment)

    def _touch(self, symbol: Symbol, since_ns: int | None = None) -> None:
        """Something happened there. The first time of all is kept: it is where reading of fills begins."""
        now_ns = self.touched[symbol] = self._now_ns()
        first_ns = now_ns if since_ns is None else since_ns
        if first_ns < self._traded.get(symbol, now_ns + 1):
            self._traded[symbol] = first_ns
            self._write([MetaRecord(SYMBOLS, " ".join(f"{each}@{ns}" for each, ns in self._traded.items()))])

    def __repr__(self) -> str:
        return (
            f"<AccountModel {self.venue} open={len(self._open)} final={len(self._final)} external={len(self.external)} "
            f"parked={len(self.parked)}{f' behind={self.behind}' if self._behind else ''}>"
        )
