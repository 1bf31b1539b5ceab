"""A circuit breaker per child that turns a crash loop into slow probing.

pybreaker is the state machine; it stands *beside* the call and never wraps it, because it holds its lock
during a call and reads the wall clock. Here every transition is a pure function from one frozen state to the
next: a pybreaker circuit is built over the state, told what happened, and read back. The moment of opening is
the monotonic second the caller passes in.

closed --fail_max failures in a row--> open --probe_s later--> half-open (one start) --healthy--> closed
                                         ^----------------------- any failure --------'
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import pybreaker

from connector.supervision.errors import SpecError

__all__ = ["CLOSED", "BreakerSpec", "BreakerState", "after_failure", "after_health", "probing"]


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """Open after `fail_max` failures in a row; then try once every `probe_s` seconds, for ever."""

    fail_max: int = 5
    probe_s: float = 30.0

    def __post_init__(self) -> None:
        if self.fail_max < 1:
            raise SpecError(f"BreakerSpec.fail_max is {self.fail_max}, expected 1 or more.")
        if not (0 < self.probe_s < math.inf):
            raise SpecError(f"BreakerSpec.probe_s is {self.probe_s}, expected a positive number of seconds.")


@dataclass(frozen=True, slots=True)
class BreakerState:
    """`name` is pybreaker's: closed, open or half-open."""

    name: str = pybreaker.STATE_CLOSED
    failures: int = 0
    opened_s: float | None = None

    @property
    def is_closed(self) -> bool:
        return self.name == pybreaker.STATE_CLOSED

    @property
    def is_open(self) -> bool:
        return self.name == pybreaker.STATE_OPEN


CLOSED = BreakerState()


class _Storage(pybreaker.CircuitMemoryStorage):
    """In-memory storage that notes our monotonic second instead of pybreaker's wall clock."""

    def __init__(self, state: BreakerState, now_s: float) -> None:
        super().__init__(state.name)
        self._fail_counter = state.failures
        self.opened_s, self._now_s = state.opened_s, now_s

    @property
    def opened_at(self) -> datetime | None:
        return None  # never consulted: half-opening is timed by the supervisor

    @opened_at.setter
    def opened_at(self, wall_time: datetime) -> None:
        self.opened_s = self._now_s

    def read(self) -> BreakerState:
        return BreakerState(self.state, self.counter, None if self.state == pybreaker.STATE_CLOSED else self.opened_s)


def _circuit(spec: BreakerSpec, storage: _Storage) -> pybreaker.CircuitBreaker:
    return pybreaker.CircuitBreaker(
        fail_max=spec.fail_max, reset_timeout=spec.probe_s, state_storage=storage, throw_new_error_on_trip=False
    )


class _Failure(Exception):
    pass


def _fail() -> None:
    raise _Failure


def after_failure(state: BreakerState, spec: BreakerSpec, now_s: float) -> BreakerState:
    """One more failure. An open circuit stays open, counted from now (a failed probe that was asked for by hand)."""
    storage = _Storage(probing(state, spec, now_s) if state.is_open else state, now_s)
    with suppress(_Failure):
        _circuit(spec, storage).call(_fail)
    return storage.read()


def after_health(state: BreakerState, spec: BreakerSpec, now_s: float) -> BreakerState:
    """A healthy period has passed: the circuit is closed."""
    storage = _Storage(probing(state, spec, now_s) if state.is_open else state, now_s)
    _circuit(spec, storage).call(lambda: None)
    return storage.read()


def probing(state: BreakerState, spec: BreakerSpec, now_s: float) -> BreakerState:
    """The wait is over: one start is tried."""
    storage = _Storage(state, now_s)
    _circuit(spec, storage).half_open()
    return storage.read()
