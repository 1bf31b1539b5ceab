"""Positions and funding of one account as the venue told them: the newer replaces, what is the same is not told again.

A part of the account's read model, used on the state actor's thread only. It compares and keeps; it asks nobody, stores nothing
and works out no position from fills: what a position is, the venue says.

What holds:
- Of two reports of a position the one with the larger sequence is newer, of equal or no sequences the one with the later venue
  time. An answer without either is older than what arrived after it was asked for.
- An answer to a question that was asked late enough to show what is known here is newer, whatever its figures say: no figure of
  a venue's can keep a wrong position for ever, and prices are refreshed though nobody traded.
- A position that a complete list does not name is flat, unless the list may be older than what is known. What was said of it
  before stays unsaid when it comes again late; what is newer than that counts, since lists lag behind.
- Leverage and margin mode are settings: a report that does not tell them leaves them. Prices, profit and margin are of their
  moment: a report that does not tell them leaves nothing.
- A payment counts once per (symbol, asset, id), over restarts too. Some venues give one payment an id on the stream and another
  in lists: one of each, of equal amount and nearly the same time, are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.facts import PositionReport
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_S
from connector.orders.rounding import ZERO, total

__all__ = ["FundingModel", "PositionModel", "flat_position", "is_same_position"]

KEPT_PAYMENTS = 5_000
NEARLY_NS = 600 * NS_PER_S
"""Payments on one position are an hour apart at least; what the stream and a list say of one, seconds."""
REMEMBERED_NS = 3 * 86_400 * NS_PER_S
"""How long ids of payments are kept over restarts."""

_Key = tuple[Symbol, PositionSide]


def is_same_position(one: Position, other: Position) -> bool:
    """Whether nothing changed that is worth telling: prices and profit move without anybody trading."""
    return all(getattr(one, name) == getattr(other, name) for name in _TOLD)


_TOLD = ("quantity", "contracts", "entry_price", "leverage", "margin_mode")


def flat_position(venue: str, symbol: Symbol, side: PositionSide, received_ns: int) -> Position:
    """A position with nothing in it, of which the venue told nothing."""
    return Position(venue, symbol, None, received_ns, side, ZERO, None)


class PositionModel:
    """See the module.

    Args:
        told: positions told by an earlier incarnation: what differs from them is a change.

    Attributes:
        is_complete: a complete list has come: what is not here is flat.
    """

    def __init__(self, told: Iterable[Position] = ()) -> None:
        self.is_complete = False
        self._held: dict[_Key, Position] = {(each.symbol, each.side): each for each in told}
        self._over: dict[_Key, Position] = {}  # what was known when a complete list said that it is flat
        self._net: dict[Symbol, Decimal] | None = None

    def take(self, report: PositionReport, asked_ns: int = 0, late_ns: int = 0) -> tuple[Position, ...]:
        """Take one report in.

        Args:
            asked_ns: our clock when the question was sent that it answers; 0: it came by itself.
            late_ns: how far answers may lag behind.

        Returns:
            tuple[Position, ...]: those that changed.
        """
        as_of_ns = asked_ns - late_ns if asked_ns else None  # by our clock: an answer shows at least what was so then
        changed: list[Position] = []
        named = set()
        for position in report.positions:
            key = (position.symbol, position.side)
            named.add(key)
            known, over = self._held.get(key), self._over.get(key)
            if known is not None and (as_of_ns is None or known.received_ns > as_of_ns):
                if over is not None and not _is_newer(position, over):
                    continue
                if over is None and _is_older(position, known, as_of_ns):
                    continue
            self._over.pop(key, None)
            self._keep(key, position, known, changed)
        if report.complete:
            self.is_complete = True
            for key, known in list(self._held.items()):
                if key not in named and known.quantity and (as_of_ns is None or known.received_ns <= as_of_ns):
                    self._over[key] = known
                    self._keep(key, _emptied(known, report), known, changed)
        self._net = None
        return tuple(changed)

    def _keep(self, key: _Key, position: Position, known: Position | None, changed: list[Position]) -> None:
        if known is not None:
            position = msgspec.structs.replace(
                position,
                leverage=known.leverage if position.leverage is None else position.leverage,
                margin_mode=known.margin_mode if position.margin_mode is None else position.margin_mode,
            )
        self._held[key] = position
        if position.quantity if known is None else not is_same_position(position, known):
            changed.append(position)

    def known(self, symbol: Symbol, side: PositionSide) -> Position | None:
        """The last state of one position; None: the venue told nothing of it."""
        return self._held.get((symbol, side))

    def open(self, symbol: Symbol | None = None) -> tuple[Position, ...]:
        """Positions with something in them, by symbol and side."""
        found = [each for each in self._held.values() if each.quantity and symbol in (None, each.symbol)]
        return tuple(sorted(found, key=lambda each: (str(each.symbol), each.side.value)))

    def net(self) -> Mapping[Symbol, Decimal]:
        """Signed base units per symbol, both sides of a hedge added up; what is not named is 0."""
        if self._net is None:
            net: dict[Symbol, Decimal] = {}
            for each in self._held.values():
                if each.quantity:
                    net[each.symbol] = total((net.get(each.symbol, ZERO), each.quantity))
            self._net = net
        return self._net

    def __repr__(self) -> str:
        return f"<PositionModel open={len(self.open())}{'' if self.is_complete else ' incomplete'}>"


def _emptied(known: Position, report: PositionReport) -> Position:
    """A position that a complete list does not name."""
    return Position(
        venue=known.venue,
        symbol=known.symbol,
        event_time_ns=report.event_time_ns,
        received_ns=report.received_ns,
        side=known.side,
        quantity=ZERO,
        entry_price=None,
        leverage=known.leverage,
        contracts=None if known.contracts is None else ZERO,
        margin_mode=known.margin_mode,
    )


def _order_of(one: Position, other: Position) -> int | None:
    """Negative: `one` is older. None: the venue's figures do not tell."""
    if one.sequence is not None and other.sequence is not None and one.sequence != other.sequence:
        return one.sequence - other.sequence
    if one.event_time_ns is not None and other.event_time_ns is not None:
        return one.event_time_ns - other.event_time_ns
    return None if one.sequence is None or other.sequence is None else 0


def _is_older(position: Position, known: Position, as_of_ns: int | None) -> bool:
    order = _order_of(position, known)
    if order is not None:
        return order < 0
    return as_of_ns is not None and known.received_ns > as_of_ns


def _is_newer(position: Position, over: Position) -> bool:
    """Whether it was said after what a complete list has outdated; where nothing tells, it was."""
    order = _order_of(position, over)
    return order is None or order > 0


# ---------------------------------------------------------------- funding


class _Payment(msgspec.Struct, frozen=True, array_like=True):
    """A payment that was told.

    Attributes:
        key: symbol, asset and id.
        twin: how it would be told by the other way, stream or list; "" once it was, or where that needs no care.
    """

    at_ns: int
    key: str
    twin: str = ""


class _Told(msgspec.Struct, frozen=True):
    """What is kept over restarts: from when on payments are told, and which were."""

    since_ns: int
    payments: tuple[_Payment, ...] = ()


class FundingModel:
    """Payments at hand, and which of them were told. See the module.

    Attributes:
        read_ns: the venue's time when the last reading began that was complete; None before the first.
    """

    def __init__(self) -> None:
        self.read_ns: int | None = None
        self._since_ns: int | None = None
        self._told: dict[str, _Payment] = {}
        self._payments: dict[str, FundingPayment] = {}
        self._same: dict[str, str] = {}  # of two keys of one payment, the later to the one before

    def restore(self, text: str | None, now_ns: int) -> None:
        """What `kept` wrote; nothing: payments from now on are told, earlier ones happened before anybody asked."""
        kept = _Told(now_ns) if not text else msgspec.json.decode(text, type=_Told)
        self._since_ns = kept.since_ns
        self._told = {told.key: told for told in kept.payments} | self._told

    def kept(self) -> str:
        """As text, for the store."""
        newest_ns = max((told.at_ns for told in self._told.values()), default=0)
        recent = [told for told in self._told.values() if told.at_ns > newest_ns - REMEMBERED_NS]
        recent.sort(key=lambda told: told.at_ns)
        return msgspec.json.encode(_Told(self._since_ns or 0, tuple(recent[-KEPT_PAYMENTS:]))).decode()

    def take_all(self, payments: Iterable[FundingPayment]) -> tuple[list[FundingPayment], list[FundingPayment]]:
        """Returns (those that were not at hand, those that have to be told), in the order given."""
        payments = tuple(payments)
        for payment in payments:  # first what is known by its id, so that nothing else is taken for it
            told = self._told.get(_key(payment))
            if told is not None and told.twin == _named(payment, payment.recovered):
                self._told[told.key] = msgspec.structs.replace(told, twin="")
        judged = [(payment, *self._take(payment)) for payment in payments]
        return [each for each, is_new, _ in judged if is_new], [each for each, _, is_untold in judged if is_untold]

    def _take(self, payment: FundingPayment) -> tuple[bool, bool]:
        key = _key(payment)
        is_untold = key not in self._told and not self._is_twin(key, payment)
        is_new = key not in self._payments and self._same.get(key) not in self._payments
        if is_new:
            self._payments[key] = payment
            if len(self._payments) > KEPT_PAYMENTS:
                del self._payments[next(iter(self._payments))]
        if is_untold:
            self._remember(_Payment(payment.event_time_ns, key, _named(payment, not payment.recovered)))
        return is_new, is_untold and self._since_ns is not None and payment.event_time_ns >= self._since_ns

    def _is_twin(self, key: str, payment: FundingPayment) -> bool:
        """Whether the other way told it already, under an id of its own."""
        name = _named(payment, payment.recovered)
        for told in self._told.values():
            if told.twin == name and abs(told.at_ns - payment.event_time_ns) < NEARLY_NS:
                self._told[told.key] = msgspec.structs.replace(told, twin="")
                self._remember(_Payment(payment.event_time_ns, key))
                self._same[key] = told.key
                return True
        return False

    def _remember(self, told: _Payment) -> None:
        self._told[told.key] = told
        if len(self._told) > 2 * KEPT_PAYMENTS:
            oldest = min(self._told.values(), key=lambda each: each.at_ns).key
            del self._told[oldest]
            self._same.pop(oldest, None)

    def since(self, symbol: Symbol | None, since_ns: int) -> tuple[FundingPayment, ...]:
        """At hand, at or after a time of the venue's, oldest first."""
        found = [
            each for each in self._payments.values() if each.event_time_ns >= since_ns and symbol in (None, each.symbol)
        ]
        return tuple(sorted(found, key=lambda each: (each.event_time_ns, str(each.symbol), each.payment_id)))

    def start_ns(self, day_ns: int, overlap_ns: int) -> int:
        """From when on to ask: an overlap before the last reading; at first the day, or what was told last before it."""
        if self.read_ns is not None:
            return self.read_ns - overlap_ns
        return min(day_ns, max((told.at_ns for told in self._told.values()), default=day_ns) - overlap_ns)

    def __repr__(self) -> str:
        return f"<FundingModel payments={len(self._payments)}{'' if self.read_ns else ' not read yet'}>"


def _key(payment: FundingPayment) -> str:
    return f"{payment.symbol} {payment.asset} {payment.payment_id}"


def _named(payment: FundingPayment, in_list: bool) -> str:
    """What a payment is known by where its id says nothing: as told by a list, or by the stream."""
    return f"{'list' if in_list else 'stream'} {payment.symbol} {payment.asset} {payment.amount.normalize():f}"
