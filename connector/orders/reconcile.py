"""Compare what we believe of an account with what the venue answers, and say what to correct.

`reconcile` takes our view and the answers to questions that were asked after it, and returns the records that change, the events
that were missed, in the venue's order and marked recovered, and what is still to be asked. It applies the same rules as the
private stream (`orders.lifecycle`), so what the stream tells meanwhile or tells again makes no event twice, and a second run on
the result changes nothing.

That an order is missing from an answer concludes nothing here: it becomes a question, and absence is decided by
`orders.outcomes` alone. Orders of other programs are kept apart as external: seen, told once per change, never touched. An
order is ours when our view holds it, which is so when its intent is in the store. Never asks, sends, stores or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from connector.domain.account import Balance
from connector.domain.facts import BalanceReport, OrderReport
from connector.domain.orders import Fill, FillKey, FillKind
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import Event, OrderRecord, apply_fill, apply_report, record_of_report
from connector.orders.rounding import ZERO

__all__ = ["Corrections", "Held", "corrected", "reconcile"]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What we believe of one account.

    Attributes:
        orders: ours, by client id: every one that is not final or misses fills, and those the answers name, read back from the
            store where they are no longer at hand. Fills the store has (`has_fill`) need not be given to `reconcile` again.
        external: other programs' orders, by (symbol, the venue's id). Whoever holds them may forget final ones after a while.
        external_fills: fills of other programs that were told already, as (symbol, trade id).
        balances: by asset; None before the first answer.
    """

    orders: Mapping[str, OrderRecord] = {}
    external: Mapping[tuple[Symbol, str], OrderRecord] = {}
    external_fills: frozenset[FillKey] = frozenset()
    balances: Mapping[str, Balance] | None = None


class Corrections(msgspec.Struct, frozen=True, kw_only=True):
    """What reconciliation found.

    Attributes:
        orders, external: records that changed, keyed as in `Held`.
        events: what was missed of our orders: fills, orders and alarms in the venue's order, marked recovered.
        external_events: the same of other programs' orders; never acted upon.
        external_fills: other programs' fills that are new.
        balances: those that differ from ours; one that is gone is 0.
        ask: client ids the venue has to be asked about one by one: ours, not final, and in no answer.
        missing_fills: client ids of orders the venue says are filled further than the fills here.
        stray_fills: fills of orders nobody told us about: look those up by `venue_id`, then run again with the answers.
    """

    orders: dict[str, OrderRecord]
    external: dict[tuple[Symbol, str], OrderRecord]
    events: tuple[Event, ...]
    external_events: tuple[Event, ...]
    external_fills: tuple[Fill, ...]
    balances: tuple[Balance, ...]
    ask: tuple[str, ...]
    missing_fills: tuple[str, ...]
    stray_fills: tuple[Fill, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing differs; there may still be something to ask."""
        return not (self.orders or self.external or self.events or self.external_fills or self.balances)


def reconcile(
    ours: Held,
    open_orders: Iterable[OrderReport] = (),
    order_answers: Mapping[str, OrderReport | None] | None = None,
    fills: Iterable[Fill] = (),
    balances: BalanceReport | None = None,
    balances_asked_ns: int = 0,
) -> Corrections:
    """Compare our view with what the venue answers.

    Args:
        open_orders: every open order of the account, or of the symbols asked about.
        order_answers: single orders by our client id, and lists of past orders as well; None: the venue knows none, which
            proves nothing here.
        fills: executions since the last ones known.
        balances: None when they were not asked for.
        balances_asked_ns: our clock when they were: what the stream told of an asset since then is newer, and stays.
    """
    work = _Work(ours)
    answers = {} if order_answers is None else order_answers
    reports = [*open_orders, *(report for report in answers.values() if report is not None)]
    told = [*(_by_time(report, 1) for report in reports), *(_by_time(fill, 0) for fill in fills)]
    for report in sorted(reports, key=lambda report: (report.event_time_ns or 0, report.version or 0)):
        work.learn_ids(report)
    for _, fact in sorted(told, key=lambda each: each[0]):
        if isinstance(fact, Fill):
            work.take_fill(fact)
        else:
            work.take_report(fact)
    answered = {report.client_id for report in reports}
    view = {**ours.orders, **work.orders}
    return Corrections(
        orders=work.orders,
        external=work.external,
        events=tuple(work.events),
        external_events=tuple(work.external_events),
        external_fills=tuple(work.external_fills),
        balances=_balances(ours.balances, balances, balances_asked_ns),
        ask=tuple(client_id for client_id, record in view.items() if not record.is_final and client_id not in answered),
        missing_fills=tuple(client_id for client_id, record in view.items() if record.missing > 0),
        stray_fills=tuple(work.stray_fills),
    )


def corrected(ours: Held, corrections: Corrections) -> Held:
    """Our view after the corrections were taken in."""
    balances = ours.balances
    if corrections.balances:
        balances = {**(balances or {}), **{balance.asset: balance for balance in corrections.balances}}
    return Held(
        orders={**ours.orders, **corrections.orders},
        external={**ours.external, **corrections.external},
        external_fills=ours.external_fills | {fill.key for fill in corrections.external_fills},
        balances=balances,
    )


# ---------------------------------------------------------------- inside

_Key = tuple[int, int, int, str]


def _by_time(fact: OrderReport | Fill, rank: int) -> tuple[_Key, OrderReport | Fill]:
    """The venue's order: by its time, fills before the state they led to, then version or trade id."""
    if isinstance(fact, Fill):
        return (fact.event_time_ns, rank, len(fact.trade_id), fact.trade_id), fact
    return (fact.event_time_ns or 0, rank, fact.version or 0, fact.venue_id), fact


class _Work:
    """One reconciliation under way."""

    def __init__(self, ours: Held) -> None:
        self._ours = ours
        self.orders: dict[str, OrderRecord] = {}
        self.external: dict[tuple[Symbol, str], OrderRecord] = {}
        self.events: list[Event] = []
        self.external_events: list[Event] = []
        self.external_fills: list[Fill] = []
        self.stray_fills: list[Fill] = []
        self._seen: set[tuple[Symbol, str]] = set()  # external orders the answers name
        self._ids = {
            (record.symbol, record.order.venue_id): client_id
            for client_id, record in ours.orders.items()
            if record.order.venue_id is not None
        }

    def learn_ids(self, report: OrderReport) -> None:
        """Which venue ids are ours, before any fill that names only those."""
        if self._our(report.client_id, report.symbol) is not None:
            self._ids[report.symbol, report.venue_id] = report.client_id
        elif (report.symbol, report.venue_id) not in self._ids:
            self._seen.add((report.symbol, report.venue_id))

    def _our(self, client_id: str, symbol: Symbol) -> OrderRecord | None:
        record = self.orders.get(client_id) or self._ours.orders.get(client_id)
        return record if record is not None and record.symbol == symbol else None

    def take_report(self, report: OrderReport) -> None:
        client_id = self._ids.get((report.symbol, report.venue_id), report.client_id)
        record = self._our(client_id, report.symbol)
        if record is None:
            self._take_external_report(report)
            return
        if report.client_id != client_id:  # a venue that tells an amend's or cancel's id in its place
            report = msgspec.structs.replace(report, client_id=client_id)
        changed, events = apply_report(record, report, source="query", recovered=True)
        self._keep(client_id, record, changed, events)

    def _take_external_report(self, report: OrderReport) -> None:
        key = (report.symbol, report.venue_id)
        known = self.external.get(key) or self._ours.external.get(key)
        if known is None:
            changed, events = record_of_report(report, recovered=True)
        else:
            report = msgspec.structs.replace(report, client_id=known.client_id)
            changed, events = apply_report(known, report, source="query", recovered=True)
        if changed is not known:
            self.external[key] = changed
            self.external_events += events

    def take_fill(self, fill: Fill) -> None:
        client_id = fill.client_id or self._ids.get((fill.symbol, fill.venue_id), "")
        record = self._our(client_id, fill.symbol)
        if record is None:
            self._take_external_fill(fill)
            return
        recovered = msgspec.structs.replace(fill, client_id=client_id, recovered=True)
        changed, events = apply_fill(record, recovered, source="query")
        self._keep(client_id, record, changed, events)

    def _take_external_fill(self, fill: Fill) -> None:
        key = (fill.symbol, fill.venue_id)
        is_forced = fill.kind is not FillKind.TRADE  # nobody's order, and no question would find it
        if not is_forced and not fill.client_id and key not in self._seen and key not in self._ours.external:
            self.stray_fills.append(fill)
        elif fill.key not in self._ours.external_fills:
            self.external_fills.append(msgspec.structs.replace(fill, recovered=True))

    def _keep(self, client_id: str, before: OrderRecord, after: OrderRecord, events: tuple[Event, ...]) -> None:
        if after is before:
            return
        self.orders[client_id] = after
        self.events += events


def _balances(ours: Mapping[str, Balance] | None, answer: BalanceReport | None, asked_ns: int) -> tuple[Balance, ...]:
    """Balances that differ, unless what we hold of an asset is newer than the answer."""
    if answer is None:
        return ()
    held = {} if ours is None else ours
    told = {asset: (free, locked) for asset, free, locked in answer.balances}
    if answer.complete:
        told |= {asset: (ZERO, ZERO) for asset in held if asset not in told}
    changed = []
    for asset, (free, locked) in told.items():
        known = held.get(asset)
        if known is not None:
            answer_ns = answer.event_time_ns
            later = answer_ns is not None and known.event_time_ns is not None and known.event_time_ns > answer_ns
            if (known.free, known.locked) == (free, locked) or later or (asked_ns and known.received_ns > asked_ns):
                continue
        changed.append(Balance(answer.venue, asset, answer.event_time_ns, answer.received_ns, free, locked))
    return tuple(changed)
