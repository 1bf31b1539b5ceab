"""Share a venue's request budgets between threads, the urgent first.

Decides who may send next: by priority, within a priority in order of arrival. What waits for a budget keeps cheaper requests
of lower priority off that budget, but not off others. While the venue told us to wait, nothing goes out. It never sends, and
never guesses: every grant counts until it is settled, or until it is too old to be still on its way.

All methods may be called from any thread. `reserve` blocks its caller, on one condition each under one lock, until its deadline;
everything else only counts. Time comes from the injected clock, so one thread and a fake clock run it deterministically.
"""

from __future__ import annotations

import enum
import itertools
import threading
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import msgspec

from connector.clock import Clock, ClockOffset, OffsetEstimate
from connector.domain.wire import BudgetLimit, Charge
from connector.errors import Banned, InvalidRequest, RateLimited, RetryLater, SettingsError
from connector.throttle.budget import Budget, Hold, VenueTime

__all__ = ["BudgetState", "Grant", "Ledger", "LedgerState", "Priority"]

LANDS_WITHIN_S = 2.0
"""A request whose answer is no longer waited for may still be on its way for so long: networks hold packets back, and let them
go together."""
CANCELLED_CHECK_S = 0.25
"""A waiting `reserve` looks at its `cancelled` this often."""

MARGIN_S = 1.0
"""Venues give waits in whole seconds, rounded down for all we know."""

VENUE_KEPT_S = 0.25
"""One reading of the two clocks serves so long, unless the venue's is measured anew."""

BAN_S = 120.0
"""Wait after a ban without a time: the shortest that a venue's documents name (read 2026-11)."""


class Priority(enum.IntEnum):
    """What goes first; lower values before higher ones."""

    CANCEL = 0
    PLACE = 1
    BOOK_SYNC = 2
    READ = 3
    BACKFILL = 4


SHARE: Mapping[Priority, float] = {
    Priority.CANCEL: 1.0,
    Priority.PLACE: 0.99,
    Priority.BOOK_SYNC: 0.97,
    Priority.READ: 0.97,
    Priority.BACKFILL: 0.8,
}
"""The part of a budget each may fill, so that a cancel finds room in a window that reads have used up."""


class Grant(msgspec.Struct, eq=False):
    """Leave to send one request. Settle it when the answer is there or nothing was sent; lose it when no answer came.

    Until then its points count in every window that begins, because the request may still be on its way.
    As a context manager it settles itself.
    """

    _ledger: Ledger
    charges: tuple[Charge, ...]
    _holds: tuple[tuple[Budget, Hold], ...]
    granted_s: float
    expires_s: float

    def settle(self, used: Mapping[str, int] | None = None) -> None:
        """The answer arrived, or nothing was sent. Idempotent.

        Args:
            used: points used by budget name, as the answer's headers tell.
        """
        self._ledger._settle(self, used or {})

    def lose(self) -> None:
        """No answer came, and it is no longer waited for. The request may land yet, so it counts for a while longer."""
        self._ledger._lose(self)

    def __enter__(self) -> Grant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle()

    def __repr__(self) -> str:
        costs = ", ".join(f"{charge.points} {charge.budget}" for charge in self.charges)
        return f"<Grant {costs or 'nothing'}>"


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget at one moment: `used` of `capacity` points (`limit` being the venue's); `blocked_s` of enforced silence left."""

    name: str
    used: int
    capacity: int
    limit: int
    window_s: float
    blocked_s: float


@dataclass(frozen=True, slots=True)
class LedgerState:
    """All of a ledger at one moment.

    Attributes:
        banned_s: seconds during which nothing at all is sent.
        waiting: requests in line, by priority.
        in_flight: grants not yet settled.
        granted, delayed, refused: requests let go; of those, the ones that had to wait; ones that ran out of time.
        expired: grants nobody settled, lost ones included.
        penalties: times the venue said no. Each one is a failure of this module, or another program's doing.
        unknown: charges to budgets no limit is known for; they are not held back.
    """

    budgets: tuple[BudgetState, ...]
    banned_s: float
    waiting: Mapping[Priority, int]
    in_flight: int
    granted: int
    delayed: int
    refused: int
    expired: int
    penalties: int
    unknown: int


class _Ticket:
    """One request in line. Ordered by priority, then by arrival."""

    __slots__ = ("changed", "charges", "grant", "order")

    def __init__(
        self, order: tuple[int, int], charges: tuple[Charge, ...], changed: threading.Condition | None
    ) -> None:
        self.order, self.charges, self.changed = order, charges, changed
        self.grant: Grant | None = None

    def __lt__(self, other: _Ticket) -> bool:
        return self.order < other.order


class Ledger:
    """The request budgets of one venue and address (and account, where the venue counts so).

    Args:
        limits: by unique name; charges to other names pass and are counted.
        offset: the venue's clock, for aligned windows; without one they are treated as sliding.
        headroom: the part of every limit used at most.
        max_waiting: requests in line at once; one more is refused.
        flight_s: a grant nobody settles counts as on its way for so long; give it the longest timeout of a request.
        wait: how `reserve` waits: (condition held, seconds). The default is `Condition.wait`.
    """

    def __init__(
        self,
        limits: Iterable[BudgetLimit],
        clock: Clock,
        *,
        offset: ClockOffset | None = None,
        headroom: float = 0.95,
        max_waiting: int = 1_000,
        flight_s: float = 10.0,
        name: str = "",
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self.name = name
        self._clock, self._offset, self._headroom = clock, offset, headroom
        self._max_waiting, self._flight_s, self._wait = max_waiting, flight_s, wait
        self._lock = threading.Lock()  # protects all that follows; arithmetic only inside
        self._budgets: dict[str, Budget] = {}
        self._line: list[_Ticket] = []
        self._numbers = itertools.count()
        self._open: dict[Grant, None] = {}  # not settled, the oldest first
        self._lost: dict[Grant, None] = {}  # those whose answer nobody waits for any more, likewise
        self._banned_until_s = float("-inf")
        self._venue: VenueTime | None = None  # as read last, and the estimate it rests on
        self._venue_of: OffsetEstimate | None = None
        self._venue_s = float("-inf")
        self._closed = False
        self._granted = self._delayed = self._refused = self._expired = self._penalties = self._unknown = 0
        self.apply_limits(limits)

    # ---------------------------------------------------------------- ask

    def reserve(
        self,
        charges: Sequence[Charge],
        priority: Priority,
        deadline_s: float,
        cancelled: Callable[[], bool] | None = None,
    ) -> Grant:
        """Wait in line until the request may be sent.

        Args:
            deadline_s: monotonic seconds of the ledger's clock after which sending makes no sense.
            cancelled: looked at four times a second, and at every `wake`.

        Raises:
            RateLimited: not before the deadline; `retry_after_s` says when. At once when the venue imposed the wait.
            Banned: the venue's ban outlasts the deadline.
            RetryLater: cancelled, the ledger was closed, or the line is full.
            InvalidRequest: it costs more than the limit ever allows.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            ticket = self._enter(self._known(charges), priority, threading.Condition(self._lock))
            try:
                waited = False
                while True:
                    venue = self._turn(now_s)
                    next_s = self._serve(now_s, venue)
                    if ticket.grant is not None:
                        self._delayed += waited
                        return ticket.grant
                    self._give_up(ticket, now_s, venue, deadline_s, cancelled)
                    wait_s = deadline_s - now_s
                    if self._line[0] is ticket:  # the head of the line wakes itself; it serves the others, too
                        wait_s = min(wait_s, next_s)
                    if cancelled is not None:
                        wait_s = min(wait_s, CANCELLED_CHECK_S)
                    waited = True
                    assert ticket.changed is not None
                    self._wait(ticket.changed, max(wait_s, 1e-4))
                    now_s = self._clock.monotonic_s()
            finally:
                if ticket.grant is None:
                    self._line.remove(ticket)
                self._wake_head()

    def try_grant(self, charges: Sequence[Charge], priority: Priority, now_s: float) -> Grant | float:
        """A grant, or the seconds after which asking again may help; never blocks.

        Raises:
            InvalidRequest: it costs more than the limit ever allows.
        """
        with self._lock:
            venue = self._turn(now_s)
            if not self._line and not self._closed and self._banned_until_s <= now_s:
                budgets = self._with_room(charges, SHARE[priority], now_s, venue)
                if budgets is not None:  # nobody waits and there is room: no line has to be formed
                    return self._take(tuple(charges), budgets, now_s, venue, charges)
            return self._try(charges, priority, now_s, venue)

    def try_reserve(self, charges: Sequence[Charge], priority: Priority, now_s: float) -> float:
        """As `try_grant`, for callers that cannot settle: 0.0 when granted, and it counts as on its way for `flight_s`.

        That costs throughput at the edge of each window; whoever learns of the answer should use `try_grant`.
        """
        got = self.try_grant(charges, priority, now_s)
        return 0.0 if isinstance(got, Grant) else got

    # ---------------------------------------------------------------- tell

    def observe_used(self, used: Mapping[str, int], now_s: float) -> None:
        """What the venue says is used by now, from an answer not settled with it; names it does not know are ignored."""
        with self._lock:
            venue = self._turn(now_s)
            for name, points in used.items():
                if name in self._budgets:
                    self._budgets[name].observe(points, now_s, venue)
            self._serve_and_wake(now_s, venue)

    def penalize(self, error: RetryLater, now_s: float, budgets: Iterable[str] | None = None) -> None:
        """The venue refused: send nothing before the time it named, plus a second. Never shortens an earlier penalty.

        Args:
            error: Banned stops everything; anything else the budgets named, or all when none is. Without a time, a budget
                stops for one of its windows and a ban lasts two minutes.
            budgets: names of the budgets the refusal is about.
        """
        with self._lock:
            self._penalties += 1
            if isinstance(error, Banned):
                wait_s = BAN_S if error.retry_after_s is None else error.retry_after_s
                self._banned_until_s = max(self._banned_until_s, now_s + wait_s + MARGIN_S)
            else:
                named = [self._budgets[name] for name in budgets or () if name in self._budgets]
                for budget in named or self._budgets.values():
                    wait_s = budget.limit.window_s if error.retry_after_s is None else error.retry_after_s
                    budget.block(now_s + wait_s + MARGIN_S)
            for ticket in self._line:  # whoever cannot wait that long is told now
                if ticket.changed is not None:
                    ticket.changed.notify()

    def apply_limits(self, limits: Iterable[BudgetLimit]) -> None:
        """Take the venue's current limits; budgets not named keep theirs. What was spent stays spent, also under a budget whose
        window changed.

        Raises:
            SettingsError: two limits have one name, so a charge could not say which it means.
        """
        fresh = tuple(limits)
        names = [limit.name for limit in fresh]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise SettingsError(
                f"limits named twice: {', '.join(twice)}. Name each kind and window apart, e.g. ORDERS/10s."
            )
        with self._lock:
            now_s = self._clock.monotonic_s()
            venue = self._turn(now_s)
            budgets = dict(self._budgets)
            for limit in fresh:
                budget = self._budgets.get(limit.name)
                if budget is None or (budget.limit.window_s, budget.limit.aligned) != (limit.window_s, limit.aligned):
                    replaced, budget = budget, Budget(limit, self._headroom)
                    if replaced is not None:
                        budget.carry(replaced.used(now_s, venue), now_s)
                        budget.block(now_s + replaced.blocked_s(now_s))
                else:
                    budget.change(limit)
                budgets[limit.name] = budget
            self._budgets = budgets
            self._serve_and_wake(now_s, venue)

    def names(self) -> frozenset[str]:
        """The budgets a limit is known for."""
        return frozenset(self._budgets)

    def use_offset(self, offset: ClockOffset | None) -> None:
        """Take the venue's clock from here on."""
        with self._lock:
            self._offset, self._venue = offset, None

    def wake(self) -> None:
        """Let everybody in line look at their `cancelled` and the clock again."""
        with self._lock:
            for ticket in self._line:
                if ticket.changed is not None:
                    ticket.changed.notify()

    def close(self) -> None:
        """Refuse everybody in line and everybody to come. Idempotent."""
        self._closed = True
        self.wake()

    # ---------------------------------------------------------------- see

    def state(self) -> LedgerState:
        """Everything, copied."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            venue = self._turn(now_s)
            waiting = dict.fromkeys(Priority, 0)
            for ticket in self._line:
                waiting[Priority(ticket.order[0])] += 1
            return LedgerState(
                budgets=tuple(
                    BudgetState(
                        name=name,
                        used=budget.used(now_s, venue),
                        capacity=budget.capacity,
                        limit=budget.limit.points,
                        window_s=budget.limit.window_s,
                        blocked_s=max(budget.blocked_s(now_s), self._banned_until_s - now_s, 0.0),
                    )
                    for name, budget in self._budgets.items()
                ),
                banned_s=max(0.0, self._banned_until_s - now_s),
                waiting=waiting,
                in_flight=len(self._open) + len(self._lost),
                granted=self._granted,
                delayed=self._delayed,
                refused=self._refused,
                expired=self._expired,
                penalties=self._penalties,
                unknown=self._unknown,
            )

    def __repr__(self) -> str:
        state = self.state()
        budgets = " ".join(f"{each.name}={each.used}/{each.capacity}" for each in state.budgets)
        held = max((each.blocked_s for each in state.budgets), default=state.banned_s)
        status = (
            f"BANNED for {state.banned_s:.0f}s" if state.banned_s else f"BLOCKED for {held:.0f}s" if held else "OPEN"
        )
        name = f" {self.name}" if self.name else ""
        return f"<Ledger{name} {status} {budgets} waiting={sum(state.waiting.values())} in_flight={state.in_flight}>"

    # ---------------------------------------------------------------- under the lock

    def _turn(self, now_s: float) -> VenueTime | None:
        """The venue's clock at `now_s`; gives up grants too old to be on their way."""
        venue = self._venue_time(now_s)
        for late in (self._open, self._lost):
            while late:
                grant = next(iter(late))
                if grant.expires_s > now_s:
                    break
                self._expired += 1
                self._land(grant, {}, now_s, venue)
        return venue

    def _venue_time(self, now_s: float) -> VenueTime | None:
        if self._offset is None:
            return None
        newest, read = self._offset.newest, self._venue
        if read is not None and newest is self._venue_of and 0.0 <= now_s - self._venue_s < VENUE_KEPT_S:
            return read
        # Our two clocks are read around one another: a thread switch between them becomes part of the error.
        before_s = self._clock.monotonic_s()
        time_ns = self._clock.time_ns()
        between_s = self._clock.monotonic_s() - before_s
        known = self._offset.estimate(
            time_ns + round(VENUE_KEPT_S * 1e9)
        )  # as little as will be known at the end of its use
        if known is None:
            return None
        ahead_s = now_s - (before_s + between_s / 2)
        self._venue_of, self._venue_s = newest, now_s
        self._venue = VenueTime((time_ns + known.offset_ns) / 1e9 + ahead_s, known.error_ns / 1e9 + between_s, now_s)
        return self._venue

    def _known(self, charges: Sequence[Charge]) -> tuple[Charge, ...]:
        """What is held back of a request's costs, each budget once."""
        if self._closed:
            raise RetryLater("nothing was sent: the request budgets are closed, the venue is being stopped")
        points: dict[str, int] = {}
        for charge in charges:
            points[charge.budget] = points.get(charge.budget, 0) + charge.points
        known = []
        for name, cost in points.items():
            budget = self._budgets.get(name)
            if budget is None:
                self._unknown += 1
            elif cost > budget.limit.points:
                raise InvalidRequest(
                    f"the request costs {cost} of {name}, and the venue allows {budget.limit.points} per "
                    f"{budget.limit.window_s:g} s in all. Ask for less at once."
                )
            else:
                known.append(Charge(name, cost))
        return tuple(known)

    def _enter(self, known: tuple[Charge, ...], priority: Priority, changed: threading.Condition | None) -> _Ticket:
        if len(self._line) >= self._max_waiting:
            self._refused += 1
            raise RateLimited(f"nothing was sent: {len(self._line)} requests are waiting already", retry_after_s=1.0)
        ticket = _Ticket((int(priority), next(self._numbers)), known, changed)
        insort(self._line, ticket)
        return ticket

    def _try(
        self, charges: Sequence[Charge], priority: Priority, now_s: float, venue: VenueTime | None
    ) -> Grant | float:
        ticket = self._enter(self._known(charges), priority, None)
        next_s = self._serve(now_s, venue)
        if ticket.grant is not None:
            return ticket.grant
        self._line.remove(ticket)
        # Behind somebody in line there is no telling; the next change is the moment to ask again.
        return max(self._wait_s(ticket, now_s, venue), min(next_s, CANCELLED_CHECK_S), 1e-3)

    def _wait_s(self, ticket: _Ticket, now_s: float, venue: VenueTime | None) -> float:
        return self._short_s(ticket.charges, SHARE[Priority(ticket.order[0])], now_s, venue)

    def _short_s(self, charges: Sequence[Charge], share: float, now_s: float, venue: VenueTime | None) -> float:
        """Seconds until all of it may be spent if nothing else happens; 0.0: now."""
        wait_s = max(0.0, self._banned_until_s - now_s)
        for charge in charges:
            budget = self._budgets.get(charge.budget)  # None: its limit was lifted while it waited
            if budget is not None:
                wait_s = max(wait_s, budget.wait_s(charge.points, now_s, venue, share=share))
        return wait_s

    def _serve(self, now_s: float, venue: VenueTime | None) -> float:
        """Grant what may go, in order. Returns the seconds until more may."""
        if self._banned_until_s > now_s:
            return self._banned_until_s - now_s
        next_s = float("inf")
        claimed: set[str] = set()
        left = []
        for ticket in self._line:
            if any(charge.budget in claimed for charge in ticket.charges):
                left.append(ticket)
                continue
            share, short_s = SHARE[Priority(ticket.order[0])], 0.0
            for charge in ticket.charges:
                budget = self._budgets.get(charge.budget)
                if budget is None:
                    continue
                wait_s = budget.wait_s(charge.points, now_s, venue, share=share)
                if wait_s > 0.0:
                    claimed.add(charge.budget)
                    short_s = max(short_s, wait_s)
            if short_s > 0.0:
                next_s = min(next_s, short_s)
                left.append(ticket)
            else:
                ticket.grant = self._grant(ticket.charges, now_s, venue)
                if ticket.changed is not None:
                    ticket.changed.notify()
        self._line = left
        return next_s

    def _with_room(
        self, charges: Sequence[Charge], share: float, now_s: float, venue: VenueTime | None
    ) -> list[Budget] | None:
        """The budget of each charge, where each is known, has one of its own, and has room for it now."""
        found: list[Budget] = []
        budgets = self._budgets
        for charge in charges:
            budget = budgets.get(charge.budget)
            if budget is None or budget in found or budget.wait_s(charge.points, now_s, venue, share=share) > 0.0:
                return None
            found.append(budget)
        return found

    def _grant(self, charges: tuple[Charge, ...], now_s: float, venue: VenueTime | None) -> Grant:
        known = [charge for charge in charges if charge.budget in self._budgets]
        return self._take(charges, [self._budgets[charge.budget] for charge in known], now_s, venue, known)

    def _take(
        self,
        charges: tuple[Charge, ...],
        budgets: Sequence[Budget],
        now_s: float,
        venue: VenueTime | None,
        known: Sequence[Charge],
    ) -> Grant:
        """Take `known`, of `charges`, from its budgets, one each."""
        holds: list[tuple[Budget, Hold]] = []
        for budget, charge in zip(budgets, known, strict=True):
            holds.append((budget, budget.take(charge.points, now_s, venue)))
        grant = Grant(self, charges, tuple(holds), now_s, now_s + self._flight_s)
        self._granted += 1
        if holds:
            self._open[grant] = None
        return grant

    def _settle(self, grant: Grant, used: Mapping[str, int]) -> None:
        with self._lock:
            now_s = self._clock.monotonic_s()
            venue = self._turn(now_s)
            self._land(grant, used, now_s, venue)
            self._serve_and_wake(now_s, venue)

    def _lose(self, grant: Grant) -> None:
        with self._lock:
            if grant in self._open:
                del self._open[grant]
                grant.expires_s = self._clock.monotonic_s() + LANDS_WITHIN_S
                self._lost[grant] = None

    def _land(self, grant: Grant, used: Mapping[str, int], now_s: float, venue: VenueTime | None) -> None:
        holds, grant._holds = grant._holds, ()
        if not holds:
            return
        del (self._open if grant in self._open else self._lost)[grant]
        for budget, hold in holds:
            budget.settle(hold, now_s, venue, used.get(budget.limit.name))
        told = {budget.limit.name for budget, _ in holds}
        for name, points in used.items():
            if name not in told and name in self._budgets:
                self._budgets[name].observe(points, now_s, venue)

    def _serve_and_wake(self, now_s: float, venue: VenueTime | None) -> None:
        if self._line:
            self._serve(now_s, venue)
            self._wake_head()

    def _wake_head(self) -> None:
        if self._line and self._line[0].changed is not None:
            self._line[0].changed.notify()

    def _give_up(
        self,
        ticket: _Ticket,
        now_s: float,
        venue: VenueTime | None,
        deadline_s: float,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Raise when the ticket has no reason to go on waiting."""
        if self._closed:
            raise RetryLater("nothing was sent: the request budgets are closed, the venue is being stopped")
        if cancelled is not None and cancelled():
            self._refused += 1
            raise RetryLater("nothing was sent: the request was cancelled while it waited for its budget")
        banned_s = self._banned_until_s - now_s
        if banned_s > 0 and self._banned_until_s > deadline_s:
            self._refused += 1
            raise Banned(
                f"nothing was sent: the venue refuses this address for another {banned_s:.0f} s", retry_after_s=banned_s
            )
        blocked_s = max((self._blocked_s(charge.budget, now_s) for charge in ticket.charges), default=0.0)
        if now_s < deadline_s and now_s + blocked_s <= deadline_s:
            return
        self._refused += 1
        wait_s = max(self._wait_s(ticket, now_s, venue), 1e-3)
        costs = ", ".join(f"{charge.points} of {charge.budget}" for charge in ticket.charges)
        raise RateLimited(
            f"nothing was sent: {costs} will not be free before the deadline, but in about {wait_s:.1f} s",
            retry_after_s=wait_s,
        )

    def _blocked_s(self, name: str, now_s: float) -> float:
        budget = self._budgets.get(name)
        return 0.0 if budget is None else budget.blocked_s(now_s)
