"""How one command went: what may be concluded from what came back, and what to ask next.

A `Pending` is a frozen value about one command that was sent, or may have been. Whatever happens to it is noted with
`learn(pending, fact)`; `decide(pending, now)` then says what is true and what comes next: `Ask`, `StillUnknown`, `CancelAgain`
or `SettledAs`. The caller asks, waits and sends; the loop is

    learn(Lost(…)) → decide → Ask(ORDER, 0.0) → learn(NotFound(asked)) → decide → … → SettledAs(…)

What holds:
- A timeout, a 5xx, a broken connection is never evidence. It only makes the outcome unknown.
- "Not found" counts only when the question was *asked* after the venue could no longer take the request (its time past
  timestamp + recvWindow + the venue's own delay) and would show its effect; twice, spaced. Then neither the open orders nor
  the fills since may show the order, both asked later still. Only that is `SettledAs(REJECTED, code=NEVER_ARRIVED)`.
- A question that fails changes nothing: the next one comes later, at most `Pace.slowest_s` later, for ever.
- A receipt, where that is all a venue answers, is no more than that: the order is waited and asked for like a lost one.
- A refusal that says the client id is in use proves that the order exists: ids are ours and unique. It is asked for.
- A cancel is done when the venue reports the order final, with its filled quantity. "Not open" is a reason to ask.
- An amend is done when the venue reports the new quantity and price; the old ones count only when asked after the amend could
  arrive. Quantities are compared in what the venue counts, since base units of inverse contracts are rounded.
- There is no decision to send an order or an amend again. A cancel is sent again only after the venue, asked since, said that
  the order is still open: ids are never used twice, so two cancels do no more than one.

Never reads a clock, sends, sleeps or keeps state of its own. Runs on whatever thread calls it.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import assert_never

import msgspec

from connector.domain.commands import AmendOrder, OutcomeKind
from connector.domain.contracts import amended_contracts
from connector.domain.facts import OrderReport
from connector.domain.instruments import Instrument
from connector.domain.orders import Order, OrderStatus
from connector.domain.symbols import Product
from connector.domain.times import NS_PER_S
from connector.orders.lifecycle import IntentRecord

__all__ = [
    "NEVER_ARRIVED",
    "PACE",
    "Accepted",
    "Ask",
    "Asked",
    "CancelAgain",
    "CommandKind",
    "Decision",
    "DuplicateId",
    "Fact",
    "Lost",
    "Moment",
    "NotFound",
    "NotInFills",
    "NotOpen",
    "NotSent",
    "Pace",
    "Pending",
    "Question",
    "QuestionFailed",
    "Reachable",
    "Received",
    "Refused",
    "Seen",
    "SettledAs",
    "StillUnknown",
    "Wanted",
    "decide",
    "learn",
]

NEVER_ARRIVED = "never_arrived"
"""The code of a command that is certain to have had no effect. An order may be placed anew, under a new id."""


class CommandKind(enum.Enum):
    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"


class Question(enum.Enum):
    """ORDER: the order by its client id. OPEN_ORDERS: all of the symbol. FILLS: of the symbol, since the timestamp."""

    ORDER = "order"
    OPEN_ORDERS = "open_orders"
    FILLS = "fills"


class Moment(msgspec.Struct, frozen=True):
    """Now: our clock, and the venue's time as far as it is known; None until it was measured."""

    time_ns: int
    venue_ms: int | None


class Asked(msgspec.Struct, frozen=True):
    """When a question was sent, not when it was answered: the answer may be as old as that."""

    time_ns: int
    venue_ms: int | None

    @classmethod
    def at(cls, now: Moment) -> Asked:
        return cls(now.time_ns, now.venue_ms)


class Pace(msgspec.Struct, frozen=True):
    """How fast to ask.

    Attributes:
        first_s, slowest_s: waits between questions double from the one to the other. The slowest is short enough to settle an
            order within 10 s of the venue's return, also where nobody says `Reachable`; the request budget bounds the rest.
        spacing_s: two "not found" closer together than this are one.
    """

    first_s: float = 0.25
    slowest_s: float = 6.0
    spacing_s: float = 2.0


PACE = Pace()

# ---------------------------------------------------------------- facts


class Accepted(msgspec.Struct, frozen=True):
    """A trustworthy answer to this very command: the venue took it.

    Attributes:
        report: the order as the answer tells it; None for a bare acknowledgement.
    """

    report: OrderReport | None = None


class Received(msgspec.Struct, frozen=True):
    """A trustworthy answer that says only that the request was received: what comes of it is told elsewhere.

    It proves nothing either way. The order may still be refused, and an order nobody finds later was lost on the way.
    The first question waits a little, since as a rule the private stream tells the rest at once.
    """

    at_ns: int


class Refused(msgspec.Struct, frozen=True):
    """A trustworthy answer to this very command: the venue did not do it. A cancel of something not open is `NotOpen` instead.

    When a place settles as `NEVER_ARRIVED`, the cancels and amends of that order learn `Refused(NEVER_ARRIVED, …)`.
    """

    code: str
    reason: str


class DuplicateId(msgspec.Struct, frozen=True):
    """The venue says our client id is in use by an open order."""

    reason: str = ""


class NotSent(msgspec.Struct, frozen=True):
    """Certain: not one byte of the request left, e.g. the connection was refused."""

    reason: str


class Lost(msgspec.Struct, frozen=True):
    """No trustworthy answer: timeout, 5xx, a broken connection, a text that cannot be read."""

    reason: str


class Seen(msgspec.Struct, frozen=True):
    """The venue reports the order: by the private stream (`asked` None), or in answer to any question."""

    report: OrderReport
    asked: Asked | None = None


class NotFound(msgspec.Struct, frozen=True):
    """Answer to ORDER: the venue knows no such order."""

    asked: Asked


class NotOpen(msgspec.Struct, frozen=True):
    """Answer to OPEN_ORDERS that does not list the order; or (`asked` None) a cancel refused since the order is not open."""

    asked: Asked | None = None


class NotInFills(msgspec.Struct, frozen=True):
    """Answer to FILLS, all pages since the timestamp, with no fill of the order.

    Where fills name only the venue's order id, one of an order not known here may be ours: look that order up first.
    """

    asked: Asked


class QuestionFailed(msgspec.Struct, frozen=True):
    """A question got no trustworthy answer."""

    asked: Asked
    reason: str


class Reachable(msgspec.Struct, frozen=True):
    """The venue answers again (any question of anyone): ask now rather than at the end of a long wait."""


Fact = (
    Accepted
    | Received
    | Refused
    | DuplicateId
    | NotSent
    | Lost
    | Seen
    | NotFound
    | NotOpen
    | NotInFills
    | QuestionFailed
    | Reachable
)

# ---------------------------------------------------------------- decisions


class Ask(msgspec.Struct, frozen=True):
    """Ask the venue, `after_s` from now; the answer goes to `learn`."""

    question: Question
    after_s: float


class StillUnknown(msgspec.Struct, frozen=True):
    """Questions go unanswered, or cannot prove anything yet: ask the next one `next_question_s` from now."""

    question: Question
    next_question_s: float
    reason: str


class CancelAgain(msgspec.Struct, frozen=True):
    """The order is still open: send another cancel, `after_s` from now, and go on with `Pending.sent_again`."""

    after_s: float


class SettledAs(msgspec.Struct, frozen=True):
    """How the command went, for good.

    Attributes:
        kind: REFUSED: nothing was sent. REJECTED: the venue refused it, or (code `NEVER_ARRIVED`) it cannot have had an effect.
            ACCEPTED: the venue did it. Never UNKNOWN.
        report: what the venue said of the order; None where it said nothing.
    """

    kind: OutcomeKind
    code: str = ""
    reason: str = ""
    report: OrderReport | None = None


Decision = Ask | StillUnknown | CancelAgain | SettledAs


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an amend asks for. Parts that are None stay as they are.

    Attributes:
        quantity: base units. contracts: where the venue counts those; never both.
    """

    quantity: Decimal | None = None
    contracts: Decimal | None = None
    price: Decimal | None = None

    @classmethod
    def of(cls, amend: AmendOrder, current: Order, instrument: Instrument) -> Wanted:
        """What an amend of an order as it is now asks for."""
        quantity = amend.quantity
        if quantity is None:
            return cls(price=amend.price)
        if not current.in_contracts and instrument.contract_size == 1 and instrument.product is not Product.INVERSE:
            return cls(quantity=quantity, price=amend.price)
        return cls(contracts=amended_contracts(amend, current, instrument), price=amend.price)

    def is_met_by(self, report: OrderReport) -> bool:
        """Whether the venue reports the order as it was wanted."""
        counted = report.quantity if report.contracts is None else report.contracts
        return (
            (self.quantity is None or report.quantity == self.quantity)
            and (self.contracts is None or counted == self.contracts)
            and (self.price is None or report.price == self.price)
        )


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One command that was sent, or may have been: made by `Pending.of` as it is sent, by `Pending.resumed` after a restart.

    Attributes:
        sent_ns: our clock when it was sent.
        provable_after_ms: the venue's time after which the request can no longer take effect, and an order it made would be
            found: only a question asked later can prove that nothing happened.
        wanted: an amend's new quantity and price.
    """

    kind: CommandKind
    client_id: str
    sent_ns: int
    provable_after_ms: float
    pace: Pace = PACE
    wanted: Wanted | None = None

    settled: SettledAs | None = None
    lost: str = ""
    """Why the outcome is unknown; "" while an answer is awaited."""
    exists: bool = False
    """The venue said that our id is in use: "not found" then proves nothing any more."""
    misses: int = 0
    """Answers that counted, spaced: "not found" to a place, "still as it was" to an amend."""
    last_miss_ns: int = 0
    not_open: bool = False
    not_in_fills: bool = False
    still_open: bool = False
    """A cancel: the venue, asked after it was sent, says that the order is open."""
    repeats: int = 0
    """How often this cancel was sent again."""
    questions: int = 0
    """Since the last good news; paces the next one."""
    failing: str = ""
    """Why the last question got no answer; "" when it got one."""
    last_question_ns: int | None = None
    proving: bool = False
    """The last question was asked late enough to prove absence."""

    @classmethod
    def of(
        cls,
        kind: CommandKind,
        client_id: str,
        *,
        sent_ns: int,
        timestamp_ms: int,
        recv_window_ms: int,
        backend_s: float,
        visible_after_s: float,
        wanted: Wanted | None = None,
        pace: Pace = PACE,
    ) -> Pending:
        """A command as it is sent.

        Args:
            sent_ns: our clock; timestamp_ms: the request's own, in the venue's time.
            recv_window_ms, backend_s, visible_after_s: as in `OrderRules`.
        """
        return cls(
            kind=kind,
            client_id=client_id,
            sent_ns=sent_ns,
            provable_after_ms=timestamp_ms + recv_window_ms + (backend_s + visible_after_s) * 1_000,
            wanted=wanted,
            pace=pace,
        )

    @classmethod
    def resumed(
        cls,
        kind: CommandKind,
        intent: IntentRecord,
        now: Moment,
        *,
        backend_s: float,
        visible_after_s: float,
        wanted: Wanted | None = None,
        pace: Pace = PACE,
    ) -> Pending:
        """A command found in the store after a restart: sent or not, nobody knows, and no answer will come.

        A timestamp that was not written down was not later than now, since nobody has sent anything since the restart.
        `now.venue_ms` has to be known then; ask the venue's time first.

        Raises:
            ValueError: neither the intent's timestamp nor the venue's time is known.
        """
        timestamp_ms = now.venue_ms if intent.timestamp_ms is None else intent.timestamp_ms
        if timestamp_ms is None:
            raise ValueError(f"{intent.client_id}: the venue's time is needed to bound a request of unknown timestamp.")
        fresh = cls.of(
            kind,
            intent.client_id,
            sent_ns=intent.at_ns,
            timestamp_ms=timestamp_ms,
            recv_window_ms=intent.recv_window_ms,
            backend_s=backend_s,
            visible_after_s=visible_after_s,
            wanted=wanted,
            pace=pace,
        )
        return learn(fresh, Lost("the process ended before an answer came"))

    def sent_again(self, *, sent_ns: int) -> Pending:
        """This cancel, as another request for it is sent."""
        return _but(
            self,
            sent_ns=sent_ns,
            lost="",
            still_open=False,
            repeats=self.repeats + 1,
            questions=0,
            last_question_ns=None,
        )

    def __repr__(self) -> str:
        state = (
            f"settled as {self.settled.kind.value}"
            if self.settled
            else f"unknown: {self.lost}"
            if self.lost
            else "sent"
        )
        return f"<Pending {self.kind.value} {self.client_id} {state}, {self.misses} misses, {self.questions} questions>"


# ---------------------------------------------------------------- learn


def learn(pending: Pending, fact: Fact) -> Pending:
    """The command after one more thing is known of it. A settled one stays as it is."""
    if pending.settled is not None:
        return pending
    match fact:
        case Accepted(report):
            return _accepted(pending, report)
        case Seen(report, asked):
            return _seen(pending if asked is None else _answered(pending, asked), report, asked)
        case Refused(code, reason):
            if pending.repeats and code != NEVER_ARRIVED:  # another request of this cancel may still end the order
                return _unknown(pending, f"refused: {code} {reason}")
            return _settle(pending, OutcomeKind.REJECTED, code, reason)
        case NotSent(reason):
            if pending.lost or pending.repeats:  # an earlier request of this command may have arrived
                return _unknown(pending, reason)
            return _settle(pending, OutcomeKind.REFUSED, reason=f"not sent: {reason}")
        case Lost(reason):
            return _unknown(pending, reason)
        case Received(at_ns):
            pending = _unknown(pending, "the venue received the request and has not told what came of it")
            return _but(pending, questions=_AFTER_RECEIPT, last_question_ns=at_ns)
        case DuplicateId(reason):
            told = f"the venue has an open order of this id: {reason}"
            return _but(pending, lost=told, exists=True, questions=0, last_question_ns=None)
        case NotFound(asked):
            pending = _answered(pending, asked)
            return _miss(pending, asked) if pending.kind is CommandKind.PLACE else pending
        case NotOpen(asked):
            if asked is None:
                return _unknown(pending, "the venue says that the order is not open")
            shown = _proves(pending, asked)
            return _concluded(_but(_answered(pending, asked), not_open=pending.not_open or shown))
        case NotInFills(asked):
            shown = _proves(pending, asked)
            return _concluded(_but(_answered(pending, asked), not_in_fills=pending.not_in_fills or shown))
        case QuestionFailed(asked, reason):
            return _but(_answered(pending, asked), questions=pending.questions + 1, failing=reason or "no answer")
        case Reachable():
            return _but(pending, questions=0, failing="", last_question_ns=None) if pending.failing else pending
    assert_never(fact)


def _but(pending: Pending, **changes: object) -> Pending:
    return msgspec.structs.replace(pending, **changes)


def _settle(
    pending: Pending, kind: OutcomeKind, code: str = "", reason: str = "", report: OrderReport | None = None
) -> Pending:
    return _but(pending, settled=SettledAs(kind, code, reason, report))


def _unknown(pending: Pending, reason: str) -> Pending:
    return _but(pending, lost=pending.lost or reason)


def _answered(pending: Pending, asked: Asked) -> Pending:
    """A question has ended; after failures the pace starts afresh."""
    last_ns = asked.time_ns if pending.last_question_ns is None else max(asked.time_ns, pending.last_question_ns)
    questions = 1 if pending.failing else pending.questions + 1
    return _but(pending, questions=questions, failing="", last_question_ns=last_ns, proving=_counts(pending, asked))


# ---- good news


def _accepted(pending: Pending, report: OrderReport | None) -> Pending:
    """The command's own answer, or for a place any report of the order."""
    if pending.kind is CommandKind.PLACE:
        if report is not None and report.status is OrderStatus.REJECTED:
            return _settle(pending, OutcomeKind.REJECTED, reason=report.reason or report.status_text, report=report)
        return _settle(pending, OutcomeKind.ACCEPTED, report=report)
    if report is not None:
        pending = _end_of(pending, report)
    elif pending.kind is CommandKind.AMEND:
        pending = _settle(pending, OutcomeKind.ACCEPTED)
    return _unknown(pending, "the venue took the request and has not told the end of it")


def _seen(pending: Pending, report: OrderReport, asked: Asked | None) -> Pending:
    if pending.kind is CommandKind.PLACE:
        return _accepted(pending, report)
    pending = _end_of(pending, report, is_later=asked is not None or report.received_ns >= pending.sent_ns)
    if pending.settled is not None or asked is None or not pending.lost:
        return pending  # without a question it may be from before the command
    if pending.kind is CommandKind.CANCEL:
        return _but(pending, still_open=asked.time_ns >= pending.sent_ns)
    pending = _miss(pending, asked)
    if pending.misses < _MISSES:
        return pending
    amount = report.quantity if report.contracts is None else report.contracts
    at = "" if report.price is None else f" at {report.price}"
    reason = f"the order is still for {amount}{at}, asked after the amend could no longer take effect"
    return _settle(pending, OutcomeKind.REJECTED, NEVER_ARRIVED, reason, report)


def _end_of(pending: Pending, report: OrderReport, is_later: bool = True) -> Pending:
    """A cancel or amend that the report settles; else as it was.

    Args:
        is_later: False where it reached us before the command was sent: prices go back and forth, so it may show how the order
            was before the amend that came before.
    """
    met = pending.wanted is not None and pending.wanted.is_met_by(report)
    if pending.kind is CommandKind.AMEND and is_later and met:
        return _settle(pending, OutcomeKind.ACCEPTED, report=report)
    if report.status is None or not report.status.is_final:
        return pending
    if pending.kind is CommandKind.CANCEL and report.status is OrderStatus.CANCELED:
        return _settle(pending, OutcomeKind.ACCEPTED, report=report)
    word = report.status_text or report.status.value
    return _settle(pending, OutcomeKind.REJECTED, reason=f"the order had ended: {word}", report=report)


# ---- proof of absence


_MISSES = 2
_AFTER_RECEIPT = 2
"""As if so many questions had been asked: the pause before the first is `first_s`, doubled once."""


def _counts(pending: Pending, asked: Asked) -> bool:
    """Whether the answer to a question asked then can prove that something did not happen."""
    return asked.venue_ms is not None and asked.venue_ms > pending.provable_after_ms


def _miss(pending: Pending, asked: Asked) -> Pending:
    spaced = not pending.misses or asked.time_ns - pending.last_miss_ns >= pending.pace.spacing_s * NS_PER_S
    if not spaced or pending.exists or not _counts(pending, asked):
        return pending
    return _but(pending, misses=pending.misses + 1, last_miss_ns=asked.time_ns)


def _proves(pending: Pending, asked: Asked) -> bool:
    """Open orders and fills are the last to be asked, after the order itself was missed often enough."""
    return pending.misses >= _MISSES and asked.time_ns >= pending.last_miss_ns and _counts(pending, asked)


def _concluded(pending: Pending) -> Pending:
    if pending.kind is not CommandKind.PLACE or pending.exists or not (pending.not_open and pending.not_in_fills):
        return pending
    reason = (
        f"asked after it could no longer arrive, {pending.misses} times spaced, the venue does not know it; neither its open "
        "orders nor its fills show it"
    )
    return _settle(pending, OutcomeKind.REJECTED, NEVER_ARRIVED, reason)


# ---------------------------------------------------------------- decide


def decide(pending: Pending, now: Moment) -> Decision:
    """What is true of the command now, and what comes next. It may be called at any time; calling it changes nothing."""
    if pending.settled is not None:
        return pending.settled
    if pending.still_open:
        return CancelAgain(_left_s(pending.sent_ns, _backoff_s(pending.pace, pending.repeats), now))
    provable_s = _provable_in_s(pending, now)
    if not pending.lost:
        return StillUnknown(
            Question.ORDER, pending.pace.slowest_s if provable_s is None else provable_s, "an answer is awaited"
        )
    question, after_s = _next_question(pending, now, provable_s)
    if pending.failing:
        return StillUnknown(question, after_s, f"{pending.lost}; the last question failed: {pending.failing}")
    if provable_s is None:
        return StillUnknown(question, after_s, f"{pending.lost}; the venue's time is not known")
    return Ask(question, after_s)


def _next_question(pending: Pending, now: Moment, provable_s: float | None) -> tuple[Question, float]:
    paced_s = 0.0
    if pending.last_question_ns is not None:
        paced_s = _left_s(pending.last_question_ns, _backoff_s(pending.pace, pending.questions), now)
    question = Question.ORDER
    if pending.misses >= _MISSES and not pending.exists:
        question = Question.FILLS if pending.not_open else Question.OPEN_ORDERS
    if pending.failing or pending.exists or pending.kind is CommandKind.CANCEL or provable_s is None:
        return question, paced_s
    if question is not Question.ORDER:
        return question, provable_s
    if pending.misses:
        return question, max(provable_s, _left_s(pending.last_miss_ns, pending.pace.spacing_s, now))
    return question, paced_s if pending.proving else min(paced_s, provable_s)


def _provable_in_s(pending: Pending, now: Moment) -> float | None:
    """Seconds until a question can prove absence, 0 when it can; None while the venue's time is not known."""
    if now.venue_ms is None:
        return None
    return max(0.0, (int(pending.provable_after_ms) + 1 - now.venue_ms) / 1_000)


def _backoff_s(pace: Pace, times: int) -> float:
    """Nothing the first time, then `first_s` doubling up to `slowest_s`."""
    return min(pace.slowest_s, pace.first_s * 2.0 ** min(times - 1, 30)) if times else 0.0


def _left_s(since_ns: int, wait_s: float, now: Moment) -> float:
    """What is left of a wait; never more than the wait, also when our clock was set back between two runs."""
    return min(wait_s, max(0.0, wait_s - (now.time_ns - since_ns) / NS_PER_S))
