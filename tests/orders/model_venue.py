"""A small venue in a discrete world that loses and delays requests, answers, reports and questions; and a caller that only does
what `outcomes.decide` says. Written against the documents, not against `outcomes`: it knows the truth and compares at the end.

Times are milliseconds of our clock. Whatever is random comes from `chance`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from order_values import d, report

from connector.domain.orders import OrderStatus
from connector.orders.outcomes import (
    Accepted,
    Ask,
    Asked,
    CancelAgain,
    CommandKind,
    Decision,
    DuplicateId,
    Fact,
    Lost,
    Moment,
    NotFound,
    NotInFills,
    NotOpen,
    NotSent,
    Pending,
    Question,
    QuestionFailed,
    Reachable,
    Refused,
    Seen,
    SettledAs,
    StillUnknown,
    Wanted,
    decide,
    learn,
)

S = OrderStatus
RECV_MS, BACKEND_S, VISIBLE_S = 5_000, 10.0, 3.0
LAST_EFFECT_MS = RECV_MS + int(BACKEND_S * 1_000)
CLOCK_ERROR_MS = 200
NEVER = 10**12


@dataclass(frozen=True)
class State:
    """The order at the venue from one moment on."""

    at: int
    status: OrderStatus
    filled: int = 0
    quantity: int = 10

    def report(self):
        return report(self.status, str(self.filled), self.at, quantity=d(self.quantity))


@dataclass
class World:
    """One case."""

    chance: Random
    kind: CommandKind
    now: int = 0
    silent_from: int = NEVER  # from then to `silent_until` no question gets through
    silent_until: int = NEVER
    error_ms: int = 0  # of our idea of the venue's time
    clock_known_at: int = 0
    flaky: float = 0.0
    states: list[State] = field(default_factory=list)
    refused: bool = False
    pending: Pending | None = None
    settled_at: int | None = None
    sends: int = 0
    asked: int = 0
    _events: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0
    _plan: int = 0

    def at(self, when: int, do: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (max(when, self.now), self._number, do))

    def run(self, until: int) -> None:
        while self._events and self._events[0][0] <= until and self.settled is None:
            self.now, _, do = heapq.heappop(self._events)
            do()

    # ------------------------------------------------------------ the caller

    @property
    def settled(self) -> SettledAs | None:
        return None if self.pending is None else self.pending.settled

    def moment(self) -> Moment:
        known = self.now >= self.clock_known_at
        return Moment(self.now * 1_000_000, self.now + self.error_ms if known else None)

    def learn(self, fact: Fact) -> None:
        assert self.pending is not None
        self.pending = learn(self.pending, fact)
        if self.settled is not None:
            self.settled_at = self.now
        elif self.pending.lost:
            self.follow(decide(self.pending, self.moment()))

    def follow(self, decision: Decision) -> None:
        """Do the one thing that was decided last; an older plan is forgotten."""
        self._plan += 1
        plan = self._plan
        match decision:
            case Ask(question, after_s) | StillUnknown(question, after_s, _):
                self.at(self.now + round(after_s * 1_000 + 0.5), lambda: plan == self._plan and self.ask(question))
            case CancelAgain(after_s):
                self.at(self.now + round(after_s * 1_000 + 0.5), lambda: plan == self._plan and self.cancel_again())

    def cancel_again(self) -> None:
        self.pending = self.pending.sent_again(sent_ns=self.now * 1_000_000)
        self.send()

    # ------------------------------------------------------------ the venue

    def state(self, when: int) -> State | None:
        """The order as the engine had it at a moment."""
        found = None
        for state in self.states:
            if state.at <= when:
                found = state
        return found

    @property
    def truth(self) -> State | None:
        return self.states[-1] if self.states else None

    def becomes(self, at: int, status: OrderStatus, filled: int, quantity: int = 10) -> None:
        state = State(at, status, filled, quantity)
        self.states.append(state)
        self.states.sort(key=lambda each: each.at)
        if self.chance.random() < 0.5:  # the private stream
            self.at(
                at + self.chance.randint(0, 2_000), lambda: state in self.states and self.learn(Seen(state.report()))
            )

    def lives_on(self, at: int, quantity: int = 10, filled: int = 0) -> None:
        """Fills and an end, or neither."""
        for _ in range(self.chance.randint(0, 2)):
            at += self.chance.randint(1, 20_000)
            filled = min(quantity, filled + self.chance.randint(1, 6))
            if filled == quantity:
                self.becomes(at, S.FILLED, filled, quantity)
                return
            self.becomes(at, S.PARTIALLY_FILLED, filled, quantity)
        if self.chance.random() < 0.3:
            self.becomes(at + self.chance.randint(1, 5_000), S.EXPIRED, filled, quantity)

    def ask(self, question: Question) -> None:
        self.asked += 1
        asked = Asked.at(self.moment())
        served = self.now + self.chance.randint(1, 300)
        if self.silent_from <= served < self.silent_until or self.chance.random() < self.flaky:
            self.at(self.now + self.chance.randint(1, 4_000), lambda: self.learn(QuestionFailed(asked, "503")))
            return
        state = self.state(served - self.chance.choice((0, 0, 10, int(VISIBLE_S * 1_000))))  # replicas lag
        is_open = state is not None and not state.status.is_final
        answer: Fact
        if question is Question.ORDER:
            answer = NotFound(asked) if state is None else Seen(state.report(), asked)
        elif question is Question.OPEN_ORDERS:
            answer = Seen(state.report(), asked) if is_open else NotOpen(asked)
        else:
            answer = Seen(state.report(), asked) if state is not None and state.filled else NotInFills(asked)
        if self.chance.random() < self.flaky:
            answer = QuestionFailed(asked, "timeout")
        self.at(served + self.chance.randint(1, 300), lambda: self.learn(answer))

    def send(self) -> None:
        """The command itself, and what comes back of it."""
        self.sends += 1
        chance = self.chance
        kind = chance.random()
        arrives = self.now + (chance.randint(0, 50) if chance.random() < 0.6 else chance.randint(0, RECV_MS))
        takes_effect = arrives + (
            chance.randint(0, 20) if chance.random() < 0.7 else chance.randint(0, int(BACKEND_S * 1_000))
        )
        if kind < 0.3:
            self.at(self.now + chance.randint(100, 3_000), lambda: self.learn(Lost("timeout")))  # lost before the venue
        elif kind < 0.33 and self.sends == 1:
            self.learn(NotSent("connection refused"))
        elif kind < 0.38 and self.kind is not CommandKind.CANCEL:
            self.at(arrives, lambda: self.refuse(arrives))
        else:
            self.at(takes_effect, lambda: self.execute(takes_effect))

    def answer(self, fact: Fact) -> None:
        """The answer comes, comes late, comes as a 5xx, or is lost."""
        chance, how = self.chance, self.chance.random()
        if how < 0.4:
            self.at(self.now + chance.randint(0, 500), lambda: self.learn(fact))
            return
        self.at(
            self.now + chance.randint(0, 3_000), lambda: self.learn(Lost(chance.choice(("503", "timeout", "reset"))))
        )
        if how < 0.6:
            self.at(self.now + chance.randint(500, 60_000), lambda: self.learn(fact))

    def refuse(self, at: int) -> None:
        self.refused = True
        self.answer(Refused("-2010", "insufficient balance"))

    def execute(self, at: int) -> None:
        before = self.state(at)
        if self.kind is CommandKind.PLACE:
            self.becomes(at, S.NEW, 0)
            self.lives_on(at)
            doubled = self.chance.random() < 0.1  # somebody on the way sent it twice
            self.answer(DuplicateId("Duplicate order sent.") if doubled else Accepted(self.state(at).report()))
            return
        assert before is not None
        later = [state for state in self.states if state.at > at]
        if before.status.is_final:
            self.answer(NotOpen() if self.kind is CommandKind.CANCEL else Refused("-2013", "Order does not exist."))
            return
        if self.kind is CommandKind.CANCEL:
            self.states = [state for state in self.states if state not in later]
            self.becomes(at, S.CANCELED, before.filled)
            self.answer(Accepted(self.truth.report()) if self.chance.random() < 0.8 else Accepted())
            return
        self.states = [state for state in self.states if state not in later]
        self.becomes(at, before.status, before.filled, 7)
        self.lives_on(at, 7, before.filled)
        self.answer(Accepted(self.state(at).report()))


def play(chance: Random, kind: CommandKind, told_reachable: bool = True) -> World:
    """One case from the send to its settlement, or to long after it should have been settled."""
    world = World(chance, kind)
    world.error_ms = chance.randint(-CLOCK_ERROR_MS, CLOCK_ERROR_MS)
    world.clock_known_at = chance.choice((0, 0, 0, 20_000))
    world.flaky = chance.choice((0.0, 0.1, 0.5))
    dead = chance.random() < 0.05
    if dead or chance.random() < 0.4:
        world.silent_from = chance.choice((0, 0, chance.randint(0, 30_000)))
        world.silent_until = NEVER if dead else world.silent_from + chance.choice((5_000, 60_000, 300_000))
    world.pending = Pending.of(
        kind,
        "a",
        sent_ns=0,
        timestamp_ms=world.error_ms,  # what we took for the venue's time when we signed
        recv_window_ms=RECV_MS,
        backend_s=BACKEND_S,
        visible_after_s=VISIBLE_S,
        wanted=Wanted(quantity=d(7)) if kind is CommandKind.AMEND else None,
    )
    if kind is not CommandKind.PLACE:
        world.states.append(State(-10_000, S.NEW))
        if chance.random() < 0.5:
            world.lives_on(chance.randint(-5_000, 15_000))
    world.send()
    if told_reachable and world.silent_until < NEVER:
        world.at(world.silent_until + 1, lambda: world.learn(Reachable()))
    started = 0 if world.silent_until >= NEVER else world.silent_until
    world.run(until=max(started, 100_000) + (200_000 if dead else 2_000_000))
    # What would still happen at the venue, had we waited: nothing of it may contradict what was concluded.
    while world._events:
        when, _, do = heapq.heappop(world._events)
        if when > world.now + 2 * LAST_EFFECT_MS:
            break
        world.now = when
        before = world.pending
        if before.settled is None:
            break
        do()
    return world
