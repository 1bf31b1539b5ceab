"""The state actor of one venue: the read model. It alone publishes instruments, and with credentials orders, fills and balances.

It keeps asking until the venue has answered, and again on a slow timer; a failed refresh keeps the list there is. It never
sends by itself and never blocks: questions go to the REST actor, answers come back as messages. What concerns the account is
the work of `account_side`, a part of this actor.
"""

from __future__ import annotations

from typing import Any

import msgspec

from connector.domain.instruments import Instrument, InstrumentStatus
from connector.domain.market import Freshness
from connector.domain.queries import InstrumentsQuery
from connector.domain.symbols import Symbol
from connector.drivers.contract import VenueInfo
from connector.errors import ConnectorError, NotConnected, Unsupported
from connector.supervision import SupervisedActor
from connector.throttle import Backoff, Priority
from connector.venue.account_side import ACCOUNT_QUESTIONS, AccountSide
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer, Fetch, InstrumentsChanged, post

__all__ = ["GetInstrument", "GetInstruments", "StateQueryActor"]


RETURN_EVERY_S = 30.0
"""How often the instrument list is read while a symbol somebody listens to does not trade."""


class GetInstrument(msgspec.Struct, frozen=True):
    """Ask: the Instrument of a symbol. UnknownSymbol when the venue lists none, NotConnected before the first list."""

    symbol: Symbol


class GetInstruments(msgspec.Struct, frozen=True):
    """Ask: (InstrumentTable, Freshness). NotConnected before the first list."""


class _Refresh(msgspec.Struct, frozen=True):
    """To itself: fetch the instrument list now."""


class _Listed(msgspec.Struct, frozen=True):
    """From a REST worker: the instrument list, or why there is none."""

    answer: Answer


class _Overdue(msgspec.Struct, frozen=True):
    """To itself: the question of this number should have been answered by now."""

    number: int


class StateQueryActor(SupervisedActor):
    """Single writer of the venue's instruments and of the account's read model."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory) -> None:
        super().__init__()
        self._memory = memory
        self._backoff = Backoff(memory.settings.reconnect, self.context.random)
        self._number = 0
        self._answered = 0
        trading = memory.trading
        self._account = None if trading is None else AccountSide(trading, self.context, self.actor_ref)

    def on_start(self) -> None:
        self._refresh()
        if self._account is not None:
            self._account.start()

    def on_receive(self, message: Any) -> Any:
        if self._account is not None:
            handler = self._account.handlers.get(type(message))
            if handler is not None:
                return handler(message)
        if isinstance(message, GetInstrument):
            return self._instrument(message.symbol)
        if isinstance(message, GetInstruments):
            self._require_list()
            return self._memory.instruments, self._freshness()
        if isinstance(message, _Refresh):
            self._refresh()
        elif isinstance(message, _Listed):
            self._on_listed(message.answer)
        elif isinstance(message, _Overdue):
            if message.number > self._answered:
                self._again_after_failure("no answer")
        elif isinstance(message, ACCOUNT_QUESTIONS):
            raise Unsupported(
                f"{self._memory.name}: {type(message).__name__} was asked of a venue without credentials. "
                "Give VenueSettings(credentials=…) to see an account."
            )
        else:
            raise TypeError(
                f"the state actor does not know {message!r}; ask GetInstrument, GetInstruments or GetOrder."
            )
        return None

    def _instrument(self, symbol: Symbol) -> Instrument:
        self._require_list()
        assert self._memory.instruments is not None
        return self._memory.instruments.known(symbol)

    def _require_list(self) -> None:
        if self._memory.instruments is None:
            raise NotConnected(f"{self._memory.name} has not sent its instrument list yet; it is being asked for.")

    def _freshness(self) -> Freshness:
        listed_s = self._memory.instruments_s
        age_s = None if listed_s is None else self._memory.clock.monotonic_s() - listed_s
        limit_s = 2 * self._memory.settings.instruments_every_s
        stale = age_s is None or age_s > limit_s
        return Freshness(stale, age_s, f"not refreshed for more than {limit_s:.0f} s" if stale else "")

    # ------------------------------------------------------------ the instrument list

    def _refresh(self) -> None:
        self._number += 1
        timeout_s = self._memory.settings.request_timeout_s
        ref, is_current = self.actor_ref, self.context.is_current

        def reply(answer: Answer) -> None:
            if is_current():
                post(ref, _Listed(answer))

        self.context.sibling("rest").tell(Fetch(InstrumentsQuery(), Priority.PLACE, timeout_s, reply))
        self.context.call_later(2 * timeout_s, _Overdue(self._number))

    def _on_listed(self, answer: Answer) -> None:
        self._answered = self._number
        if answer.error is not None:
            self._again_after_failure(str(answer.error))
            return
        info: VenueInfo = answer.value
        self._backoff.reset()
        self._memory.publish(info, self._memory.clock.monotonic_s())
        self.context.sibling("stream").tell(InstrumentsChanged())
        if self._account is not None:
            self._account.on_instruments()
        self.context.call_later(self._next_list_s(), _Refresh())

    def _next_list_s(self) -> float:
        """Until the list is read again: soon while a symbol that somebody listens to, or has orders on, does not trade, for which
        some venues take it off their list; no event tells of its return."""
        instruments, usual_s = self._memory.instruments, self._memory.settings.instruments_every_s
        assert instruments is not None
        wanted = {feed.topic.symbol for feed in self._memory.feeds() if feed.consumers}
        if self._account is not None:
            wanted.update(self._account.model.due_symbols())
        waits = any(
            each not in instruments or instruments[each].status is not InstrumentStatus.TRADING for each in wanted
        )
        return min(usual_s, RETURN_EVERY_S) if waits else usual_s

    def _again_after_failure(self, why: str) -> None:
        self._answered = self._number
        self._memory.counters.add("state.refresh_failed")
        self._memory.alarms.report("instrument list not refreshed", why)
        self.context.call_later(max(0.05, self._backoff.after_failure(None)), _Refresh())

    def __repr__(self) -> str:
        table = self._memory.instruments
        account = "" if self._account is None else f" {self._account!r}"
        return f"<StateQueryActor {self._memory.name} instruments={len(table) if table is not None else 'none yet'}{account}>"
