"""What a venue's actors share about one account: how to sign, what time it is there, the session, the store, the view of risk.

Data behind small locks, made once per venue; it starts nothing and sends nothing. The private key stays in the closures of
`auth`. Timestamps given out by `now_ms` rise strictly, so no two requests of one key carry the same; only when the venue's clock
turns out to be behind them do they start anew, because a venue refuses what is signed in its future.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from connector.domain.wire import Charge
from connector.drivers.trading import Auth, PrivateLanguage, SessionLanguage, TradeLanguage
from connector.errors import ClockRejected, ConnectorError, NotConnected, RetryLater
from connector.orders.risk import RiskHook, RiskView
from connector.store.contract import Store
from connector.venue.order_events import OrderEvents
from connector.venue.session import Session

if TYPE_CHECKING:
    from connector.venue.memory import VenueMemory

__all__ = ["Trading"]

AHEAD_MOST_MS = 500
"""Requests signed within one millisecond carry the next ones; further ahead than this the time itself went back."""


class Trading:
    """One account at one venue.

    Attributes:
        language, session_language: the driver's private half; the session is optional.
        events_language: of the connection that brings the account's events, where the session does not; None otherwise.
        session, events_session: who waits for which reply there; one and the same where one connection does both.
        events: who listens to what happens to our orders.
        store: intents, orders and fills, written before anything is sent.
        hooks: risk hooks, asked in this order.
        view: what hooks are shown; replaced by the state actor, read by the order actor.
        killed: True while the kill switch is on: nothing new is placed.
        doubt: why the account has to be compared with the venue; "" when nothing is known to be missing.
        owns_store: `close` closes the store.
        on_clock_doubt: set by the REST actor: measures the venue's clock again.
    """

    def __init__(
        self,
        memory: VenueMemory,
        auth: Auth,
        language: TradeLanguage,
        session_language: SessionLanguage | None,
        events_language: PrivateLanguage | None,
        store: Store,
        hooks: Sequence[RiskHook],
        *,
        owns_store: bool = False,
    ) -> None:
        self.memory = memory
        self.language, self.session_language, self.events_language = language, session_language, events_language
        self.session = Session(memory.clock, memory.counters)
        self.events_session = self.session if events_language is None else Session(memory.clock, memory.counters)
        self.events = OrderEvents(memory.name, memory.counters, memory.alarms)
        self.store, self.hooks = store, tuple(hooks)
        self.view = RiskView()
        self.killed = False
        self.numbers = count(1)
        """Of commands and questions under way. Shared by every life of the actors that ask: an answer to one of an earlier life,
        which may still wait in the inbox, finds nobody."""
        self.doubt = ""
        self.on_clock_doubt: Callable[[], None] = lambda: None
        self._auth, self._owns_store = auth, owns_store
        self._lock = threading.Lock()  # guards _last_ms; arithmetic only
        self._last_ms = 0

    def close(self) -> None:
        """The connector has stopped: nothing more will be told or stored."""
        self.events.close()
        if self._owns_store:
            self.store.close()

    @property
    def is_followed(self) -> bool:
        """Whether the account's events are being received."""
        return self.events_session.is_up

    def auth(self) -> Auth:
        return self._auth

    def now_ms(self, now_ns: int | None = None) -> int:
        """The venue's time for the next request, later than any given out before. `now_ns`: our clock, where it was just read.

        Raises:
            NotConnected: the venue's clock was not measured yet; a guessed timestamp would be refused, or worse, taken late.
        """
        venue_ns = self.memory.offset.venue_time_ns(self.memory.clock.time_ns() if now_ns is None else now_ns)
        if venue_ns is None:
            self.on_clock_doubt()
            raise NotConnected(f"the clock of {self.memory.name} is not known yet; nothing was signed or sent.")
        venue_ms = venue_ns // 1_000_000
        with self._lock:
            behind = self._last_ms > venue_ms + AHEAD_MOST_MS  # the venue's clock, or what was known of it, went back
            self._last_ms = venue_ms if behind else max(self._last_ms + 1, venue_ms)
            return self._last_ms

    def venue_ms(self) -> int | None:
        """The venue's time in milliseconds; None while it is not known."""
        venue_ns = self.memory.offset.venue_time_ns(self.memory.clock.time_ns())
        return None if venue_ns is None else venue_ns // 1_000_000

    def spent(self, error: RetryLater, charges: Sequence[Charge]) -> tuple[str, ...]:
        """Names of the budgets that a refusal by limit is about, as far as it says; none: it may be any of them."""
        if error.code not in self.language.rules.call_limit_codes:
            return ()
        own = {limit.name for limit in self.language.limits}
        return tuple(charge.budget for charge in charges if charge.budget in own)

    def note_clock(self, error: ConnectorError) -> None:
        """A refused timestamp: what is known of the venue's clock is wrong, so it is measured again."""
        if isinstance(error, ClockRejected):
            self.memory.counters.add("trading.clock_refused")
            self.memory.forget_clock()
            self.on_clock_doubt()

    def __repr__(self) -> str:
        return f"<Trading {self.memory.name} {self.session!r}{' KILLED' if self.killed else ''}>"
