"""The owner of what is put together from several venues: makes it, looks after it, ends it.

One supervised actor looks at everything twenty times a second: trades that have waited for long enough go out, subscriptions
that ended are made again, consumers that hang are taken off. Market data never passes through it. It is a tree of its own, so
that nothing in it can end a venue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, TypeVar

from connector.aggregate.book import Consolidation
from connector.aggregate.live import LiveConsolidatedBook
from connector.aggregate.sources import Source
from connector.aggregate.tape import ConsolidatedTrades
from connector.clock import Clock, SystemClock
from connector.errors import NotConnected
from connector.supervision import (
    ChildSpec,
    OnLimit,
    Runtime,
    StopReport,
    SupervisedActor,
    SupervisorSpec,
    Tree,
    start_tree,
)
from connector.venue.handle import VenueHandle

__all__ = ["TICK_S", "Aggregator"]

TICK_S = 0.05
STOP_WITHIN_S = 5.0
BUSY_LIMIT_S = 3.0
"""A consumer's callback may hold up the caretaker for so long, then another takes its place."""


class _Part(Protocol):
    @property
    def is_closed(self) -> bool: ...
    def on_tick(self, now_s: float) -> None: ...
    def close(self) -> None: ...


P = TypeVar("P", bound=_Part)


class _Tick:
    """Told by the actor to itself."""


class _Caretaker(SupervisedActor):
    """Looks at every part in turn. A part that raises ends this incarnation, and the next one goes on."""

    def __init__(self, parts: Callable[[], tuple[_Part, ...]], clock: Clock) -> None:
        super().__init__()
        self._parts, self._clock = parts, clock

    def on_start(self) -> None:
        self.context.call_every(TICK_S, _Tick())

    def on_receive(self, message: Any) -> None:
        for part in self._parts():
            if not part.is_closed:
                part.on_tick(self._clock.monotonic_s())


class Aggregator:
    """Consolidated books and trades over the venues of one Connector.

        with Connector([...]) as connector, Aggregator(connector.venue) as across:
            book = across.book([Source.of("binance", "BTC/USDT"), Source.of("okx", "BTC/USDT")])

    Args:
        venue: name to handle: `connector.venue`.
        clock, runtime: replaced in tests; the Connector's own.
    """

    def __init__(
        self, venue: Callable[[str], VenueHandle], *, clock: Clock | None = None, runtime: Runtime | None = None
    ) -> None:
        self._venue, self._clock, self._runtime = venue, clock or SystemClock(), runtime
        self._lock = threading.Lock()  # guards _parts against two that make one; nothing is called inside
        self._parts: tuple[_Part, ...] = ()
        self._tree: Tree | None = None
        self._report: StopReport | None = None

    def start(self) -> Aggregator:
        """Start the actor.

        Raises:
            NotConnected: it was stopped; a stopped one stays so.
        """
        if self._report is not None:
            raise NotConnected("this aggregator was stopped, and stays so; make a new one.")
        if self._tree is None:
            caretaker = ChildSpec(
                "caretaker", _Caretaker, args=(lambda: self._parts, self._clock), busy_limit_s=BUSY_LIMIT_S
            )
            spec = SupervisorSpec(children=(caretaker,), on_limit=OnLimit.PROBE)
            self._tree = start_tree(spec, runtime=self._runtime, name="aggregator")
        return self

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> StopReport:
        """End everything it made; every call returns the same report."""
        if self._report is None:
            tree = self.tree
            with self._lock:
                parts, self._parts = self._parts, ()
            for part in parts:
                part.close()
            self._report = tree.stop(timeout_s)
        return self._report

    def __enter__(self) -> Aggregator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def tree(self) -> Tree:
        """The tree of the actor that looks after everything."""
        if self._tree is None:
            raise NotConnected("the aggregator is not started; use `with Aggregator(...) as across:` or start().")
        return self._tree

    def book(
        self,
        sources: Iterable[Source],
        *,
        quote: str | None = None,
        rates: Mapping[str, Decimal | str | int | Source] | None = None,
    ) -> LiveConsolidatedBook:
        """A consolidated book over these sources; it fills as their books become valid.

        Args:
            sources: of one base asset, at any venues, of any products.
            quote: asset in which prices are compared; needed when the sources are priced in several.
            rates: what one unit of each other quote asset is worth in `quote`: a number, 1 to count them as equal, or the
                Source of a spot book of the two.

        Raises:
            InvalidRequest: the sources cannot be put side by side as they are.
            SettingsError, UnknownSymbol, Unsupported, NotConnected: as of `VenueHandle.subscribe`.
        """
        return self._keep(LiveConsolidatedBook(self._venue, Consolidation(sources, quote, rates), self._clock))

    def trades(self, sources: Iterable[Source], *, window_s: float = 0.25) -> ConsolidatedTrades:
        """The trades of these sources as one tape, in event-time order.

        Args:
            window_s: how long a trade may wait for older ones of other sources; what comes later is marked late.

        Raises:
            InvalidRequest, SettingsError, UnknownSymbol, Unsupported, NotConnected: as of `book`.
        """
        return self._keep(ConsolidatedTrades(self._venue, sources, window_s, self._clock))

    def _keep(self, part: P) -> P:
        with self._lock:
            if self._tree is not None and self._report is None:
                self._parts = (*(each for each in self._parts if not each.is_closed), part)
                return part
        with suppress(Exception):
            part.close()
        raise NotConnected("the aggregator is not running; use `with Aggregator(...) as across:`.")

    def __repr__(self) -> str:
        state = "not started" if self._tree is None else "stopped" if self._report is not None else "running"
        return f"<Aggregator {state} {', '.join(map(repr, self._parts))}>"
