"""Trades of several feeds as one, in the order they happened, as far as waiting a bounded time can give it.

`TradeMerge` holds each trade until every source has shown one as young (then nothing older is to come), or until it has
waited `window_ns` since it came in, whichever is first: a source in silence delays the others by the window, never longer. A
trade that is older than one that went out already is handed out at once, marked `late`, and counted: nothing is dropped for
coming late.

A venue whose clock runs ahead may not push the order into the future: a trade counts as no younger than its arrival plus the
window. Trades without a venue's time count by their arrival. Pure: it waits for nothing and reads no clock; `due_ns` says
when to call next.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from heapq import heappop, heappush

import msgspec

from connector.aggregate.sources import Source, checked_sources
from connector.domain.market import Trade
from connector.domain.symbols import Symbol
from connector.errors import ConnectorBug, InvalidRequest

__all__ = ["MergedTrade", "TradeMerge"]

HELD_AT_MOST = 100_000
"""Trades that wait; one more sends the oldest out before its time."""

Key = tuple[str, Symbol]


class MergedTrade(msgspec.Struct, frozen=True):
    """One trade of a consolidated tape.

    Attributes:
        source: whose it is; a trade itself names its exchange, of which an engine may have several.
        late: one that happened later went out before it.
        waited_ns: how long it was held for the sake of the order.
    """

    source: Source
    trade: Trade
    late: bool
    waited_ns: int


class TradeMerge:
    """Trades in, the same trades out in event-time order.

    Args:
        window_ns: how long a trade may wait for others; 0 hands everything on as it comes.
        held_at_most: trades that may wait at once.

    Attributes:
        counts: how often what happened: taken, in_order, late, clock_ahead, overflowed.
    """

    def __init__(self, sources: Iterable[Source], window_ns: int, held_at_most: int = HELD_AT_MOST) -> None:
        if window_ns < 0:
            raise InvalidRequest(f"the window is {window_ns} ns; expected 0 or more.")
        self.sources = checked_sources(sources)
        self.counts: Counter[str] = Counter()
        self._window_ns, self._held_at_most = window_ns, held_at_most
        self._places = {source.key: place for place, source in enumerate(self.sources)}
        self._newest: dict[Key, int] = {}  # of each source, the youngest it has shown
        self._gone: set[Key] = set()
        self._waiting: list[tuple[int, int, int, int, Trade]] = []  # heap: happened, place, number, arrived, trade
        self._arrivals: deque[tuple[int, int]] = deque()  # (arrived, happened), by arrival
        self._number = 0
        self._out_ns = -1  # no trade older than this is in order any more

    def on_trade(self, key: Key, trade: Trade, now_ns: int) -> tuple[MergedTrade, ...]:
        """A trade came in at `now_ns`; what may go out now, oldest first.

        Raises:
            ConnectorBug: it is of no source.
        """
        if key not in self._places:
            raise ConnectorBug(f"a trade of {key[1]}.{key[0]} was given to a tape that has no such source")
        self.counts["taken"] += 1
        happened_ns = now_ns if trade.event_time_ns is None else trade.event_time_ns
        if happened_ns > now_ns + self._window_ns:
            self.counts["clock_ahead"] += 1
            happened_ns = now_ns + self._window_ns
        self._newest[key] = max(self._newest.get(key, happened_ns), happened_ns)
        self._gone.discard(key)
        if happened_ns < self._out_ns:
            self.counts["late"] += 1
            return (MergedTrade(self.sources[self._places[key]], trade, True, 0), *self.on_time(now_ns))
        self._number += 1
        heappush(self._waiting, (happened_ns, self._places[key], self._number, now_ns, trade))
        self._arrivals.append((now_ns, happened_ns))
        return self.on_time(now_ns)

    def on_time(self, now_ns: int) -> tuple[MergedTrade, ...]:
        """What may go out at `now_ns`, oldest first."""
        until_ns = self._watermark_ns()
        while self._arrivals and self._arrivals[0][0] + self._window_ns <= now_ns:
            until_ns = max(until_ns, self._arrivals.popleft()[1])
        excess = len(self._waiting) - self._held_at_most
        out: list[MergedTrade] = []
        while self._waiting and (self._waiting[0][0] <= until_ns or excess > 0):
            self.counts["overflowed"] += self._waiting[0][0] > until_ns
            happened_ns, place, _, arrived_ns, trade = heappop(self._waiting)
            self._out_ns = happened_ns
            out.append(MergedTrade(self.sources[place], trade, False, max(0, now_ns - arrived_ns)))
            excess -= 1
        self.counts["in_order"] += len(out)
        if not self._waiting:
            self._arrivals.clear()
        return tuple(out)

    def flush(self, now_ns: int) -> tuple[MergedTrade, ...]:
        """Everything that waits, oldest first: nothing more is to come."""
        self._gone.update(self._places)
        return self.on_time(now_ns)

    def on_left(self, key: Key, now_ns: int) -> tuple[MergedTrade, ...]:
        """A source is known to bring nothing for now: nobody waits for it until its next trade."""
        self._gone.add(key)
        return self.on_time(now_ns)

    def _watermark_ns(self) -> int:
        """Every source that is there has shown a trade at least as young; below every trade while one has shown none."""
        there = [key for key in self._places if key not in self._gone]
        if not there:
            return max((entry[0] for entry in self._waiting), default=-1)
        if any(key not in self._newest for key in there):
            return -1
        return min(self._newest[key] for key in there)

    @property
    def due_ns(self) -> int | None:
        """When the next trade has waited for long enough; None when none waits."""
        return self._arrivals[0][0] + self._window_ns if self._arrivals else None

    @property
    def waiting(self) -> int:
        """Trades held for the sake of the order."""
        return len(self._waiting)

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"<TradeMerge {len(self.sources)} sources waiting={len(self._waiting)} taken={counts['taken']} "
            f"late={counts['late']}>"
        )
