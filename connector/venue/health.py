"""Whether an exchange is fit to be asked: three circuits per venue, for reads, orders and cancels.

A circuit is the state machine of `supervision.breaker` and stands beside the calls: it is asked before one leaves and told how
it went, and is never held while one is under way, so parallel calls stay parallel. It counts only trouble on the way or inside
the venue (timeouts, broken connections, 5xx, "execution unknown"); a refusal is an answer, and closes it.

closed --fail_max failures in a row--> open --probe_s later, or when the venue said so--> half-open: one call is let through
   ^------------------ any answer ------|<------------------ it failed -------------------'

What an open circuit stops is for the callers to decide:
- reads: an engine's questions are refused with the time to come back; the library's own, those that settle unknown orders
  among them, wait for their turn as trials;
- orders: new orders and amends are refused before they are journalled; the first after the wait is the trial;
- cancels: never stopped. The circuit only shows how they go. So the kill switch works whatever is open.

Pure functions of frozen states, and `Health`, which holds one state per circuit behind a lock. It never sends, waits, or reads
another clock than the one it is given. Safe on any thread.
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, replace

import pybreaker

from connector.clock import Clock
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    ConnectorError,
    LinkError,
    NotConnected,
    OutcomeUnknown,
    Rejected,
    VenueUnavailable,
)
from connector.supervision.breaker import CLOSED, BreakerSpec, BreakerState, after_failure, after_health, probing
from connector.telemetry import Counters

__all__ = [
    "SPECS",
    "Circuit",
    "CircuitSpec",
    "CircuitState",
    "Health",
    "Word",
    "heard",
    "state_text",
    "tried",
    "wait_s",
    "word_of",
]

SILENCE_MOST_S = 60.0
"""The longest time named by the venue that keeps trials away; nothing waits for ever."""


class Circuit(enum.Enum):
    READS = "reads"
    ORDERS = "orders"
    CANCELS = "cancels"


@dataclass(frozen=True, slots=True)
class CircuitSpec:
    """When a circuit opens, when it is tried again, and how long a trial without an answer keeps the next one waiting."""

    breaker: BreakerSpec
    trial_s: float


SPECS = {
    Circuit.READS: CircuitSpec(BreakerSpec(fail_max=5, probe_s=1.0), trial_s=2.0),
    Circuit.ORDERS: CircuitSpec(BreakerSpec(fail_max=5, probe_s=2.0), trial_s=6.0),
    Circuit.CANCELS: CircuitSpec(BreakerSpec(fail_max=5, probe_s=1.0), trial_s=2.0),
}
"""Reads are tried often, so that an order left unknown is settled within 10 s of the venue's return; an order that is tried may
become unknown, so its answer is waited for."""


class Word(enum.Enum):
    """What the end of a call says of the exchange."""

    ANSWERED = "answered"
    FAILED = "failed"
    NOTHING = "nothing"


_FAILED = (LinkError, NotConnected, OutcomeUnknown, VenueUnavailable)
_ANSWERED = (Rejected, ClockRejected, AuthenticationFailed)


def word_of(error: ConnectorError | None) -> Word:
    """What a call that was sent says of the exchange by how it ended; None: it went well.

    Limits and bans say nothing: a gateway speaks there, and the request budgets heed them. Nor does an unreadable answer.
    """
    if error is None or isinstance(error, _ANSWERED):
        return Word.ANSWERED
    return Word.FAILED if isinstance(error, _FAILED) else Word.NOTHING


@dataclass(frozen=True, slots=True)
class CircuitState:
    """One circuit.

    Attributes:
        since_s: when it opened; None while closed.
        until_s: no trial before; a time the venue named.
        trial_s: when the trial under way was sent; None while there is none.
    """

    breaker: BreakerState = CLOSED
    since_s: float | None = None
    until_s: float = 0.0
    trial_s: float | None = None


# ---------------------------------------------------------------- policy


def wait_s(state: CircuitState, spec: CircuitSpec, now_s: float) -> float:
    """Seconds until a call may go; 0.0: now. While a trial is under way: when to look again."""
    breaker = state.breaker
    if breaker.is_closed:
        return 0.0
    if state.trial_s is not None:
        return max(0.0, min(spec.breaker.probe_s, state.trial_s + spec.trial_s - now_s))
    return max(0.0, (breaker.opened_s or 0.0) + spec.breaker.probe_s - now_s, state.until_s - now_s)


def tried(state: CircuitState, spec: CircuitSpec, now_s: float) -> CircuitState:
    """A call goes that `wait_s` let pass: the trial, unless the circuit is closed."""
    if state.breaker.is_closed:
        return state
    breaker = probing(state.breaker, spec.breaker, now_s) if state.breaker.is_open else state.breaker
    return replace(state, breaker=breaker, trial_s=now_s)


def heard(
    state: CircuitState, spec: CircuitSpec, word: Word, now_s: float, retry_after_s: float | None = None
) -> CircuitState:
    """A call has ended, the trial or another one.

    Any answer closes the circuit, also one to a call sent before it opened. A failure of such a call changes nothing while it is
    open, so that stragglers do not put the trial off.
    """
    breaker = state.breaker
    if word is Word.ANSWERED:
        return CircuitState() if breaker == CLOSED else CircuitState(after_health(breaker, spec.breaker, now_s))
    if word is Word.NOTHING:
        return withdrawn(state)
    if breaker.is_open:
        return state
    breaker = after_failure(breaker, spec.breaker, now_s)
    if breaker.is_closed:
        return CircuitState(breaker)
    since_s = now_s if state.since_s is None else state.since_s
    return CircuitState(breaker, since_s, now_s + min(retry_after_s or 0.0, SILENCE_MOST_S))


def withdrawn(state: CircuitState) -> CircuitState:
    """The trial was not sent after all, or told nothing: the next call may be it."""
    if state.trial_s is None:
        return state
    return replace(state, breaker=replace(state.breaker, name=pybreaker.STATE_OPEN), trial_s=None)


def state_text(state: CircuitState, spec: CircuitSpec, now_s: float) -> str:
    """E.g. "closed", "open for 3.2s, tried again in 0.8s", "half-open after 4.0s"."""
    if state.breaker.is_closed:
        return "closed"
    since_s = now_s - (now_s if state.since_s is None else state.since_s)
    if state.trial_s is not None:
        return f"half-open after {since_s:.1f}s"
    left_s = wait_s(state, spec, now_s)
    return f"open for {since_s:.1f}s, " + (
        f"tried again in {left_s:.1f}s" if left_s > 0.0 else "the next call is tried"
    )


# ---------------------------------------------------------------- holder


class Health:
    """The circuits of one venue."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock, self._counters = clock, counters
        self._lock = threading.Lock()  # guards the states; arithmetic only, no call is made inside
        self._states = dict.fromkeys(Circuit, CircuitState())
        self.is_calm = True
        """No circuit is open, and none has counted a failure: every call may go."""

    def is_closed(self, circuit: Circuit) -> bool:
        return self._states[circuit].breaker.is_closed

    def wait_s(self, circuit: Circuit) -> float:
        """Seconds until a call may go; 0.0: now. Only asks."""
        return wait_s(self._states[circuit], SPECS[circuit], self._clock.monotonic_s())

    def take(self, circuit: Circuit) -> float:
        """As `wait_s`; where it is 0.0 the caller sends its call now, as the trial if the circuit is open."""
        if self.is_calm or self.is_closed(circuit):
            return 0.0
        with self._lock:
            state, spec, now_s = self._states[circuit], SPECS[circuit], self._clock.monotonic_s()
            left_s = wait_s(state, spec, now_s)
            if left_s == 0.0:
                self._states[circuit] = tried(state, spec, now_s)
            return left_s

    def withdraw(self, circuit: Circuit) -> None:
        """The call that was to be the trial was not sent."""
        if self.is_calm:
            return
        with self._lock:
            self._states[circuit] = withdrawn(self._states[circuit])

    def heard(self, circuit: Circuit, error: ConnectorError | None) -> None:
        """How a call ended that was sent; None: well."""
        word = word_of(error)
        if self.is_calm and word is Word.ANSWERED:
            return  # the usual case, without the lock
        with self._lock:
            before = self._states[circuit]
            after = heard(
                before,
                SPECS[circuit],
                word,
                self._clock.monotonic_s(),
                getattr(error, "retry_after_s", None),
            )
            self._states[circuit] = after
            self.is_calm = all(state == CircuitState() for state in self._states.values())
        if before.breaker.is_closed and not after.breaker.is_closed:
            self._counters.add("health.opened")
        elif after.breaker.is_closed and not before.breaker.is_closed:
            self._counters.add("health.closed")

    def snapshot(self) -> dict[str, str]:
        """Circuit to its state in words."""
        now_s = self._clock.monotonic_s()
        return {each.value: state_text(self._states[each], SPECS[each], now_s) for each in Circuit}

    def __repr__(self) -> str:
        return f"<Health {', '.join(f'{name} {text}' for name, text in self.snapshot().items())}>"
