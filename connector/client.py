"""The front that engines hold: thread-safe, blocking only where a timeout is named, the same over every restart below.

It owns the tree of actors from `start` to `stop`. Calls run on the caller's thread; callbacks of subscriptions run on reader
threads (see `subscribe`). It makes no decision about data: feeds, books and actors do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from connector.clock import Clock, SystemClock
from connector.domain.queries import Query
from connector.domain.symbols import Symbol
from connector.domain.topics import TopicKind
from connector.drivers.contract import Driver
from connector.errors import NotConnected, SettingsError
from connector.settings import ConnectorSettings, VenueSettings
from connector.supervision import StableRef, StopReport, Tree, start_tree
from connector.telemetry.diagnostics import Diagnostics, look_at_process
from connector.venue.delivery import Subscription
from connector.venue.handle import VenueHandle, VenueSnapshot

if TYPE_CHECKING:
    from connector.assembly import Assembly, Parts

__all__ = ["Connector"]


class Connector:
    """Market data of any number of venues, kept up by a supervision tree.

        with Connector(["binance"]) as connector:
            trades = connector.subscribe("binance", "trades", "BTC/USDT")
            print(trades.get(timeout_s=10))

    Args:
        venues: names of exchanges, or VenueSettings; or a whole ConnectorSettings.
        drivers: of your own, beside those that come with the library; found by name, before shipped ones.
        clock, parts, runtime, on_event: replaced in tests; see `connector.testing`.

    Raises:
        SettingsError, Unsupported: the settings name something that does not exist.
    """

    def __init__(
        self,
        venues: ConnectorSettings | Iterable[VenueSettings | str],
        *,
        drivers: Iterable[Driver] = (),
        clock: Clock | None = None,
        parts: Parts | None = None,
        runtime: Any = None,
        on_event: Callable[[Any], object] | None = None,
    ) -> None:
        # Half of what the library imports is sockets, HTTP and processes. Whoever only wants its values does not wait for that.
        from connector.assembly import assemble, handle_for, real_parts, with_drivers

        if not isinstance(venues, ConnectorSettings):
            venues = ConnectorSettings(
                tuple(VenueSettings(venue) if isinstance(venue, str) else venue for venue in venues)
            )
        self.settings = venues
        self._clock = clock or SystemClock()
        self._runtime, self._on_event = runtime, on_event
        self._parts = with_drivers(parts or real_parts(self._clock), drivers)
        isolated = [venue.name for venue in venues.venues if venue.isolation == "process"]
        if isolated and (parts is not None or runtime is not None or clock is not None):
            raise SettingsError(
                f'{", ".join(isolated)}: isolation="process" takes no clock, parts or runtime: what is handed to this Connector '
                "cannot follow into another process."
            )
        self._assembly: Assembly = assemble(venues, self._clock, self._parts)
        self._tree: Tree | None = None
        self._report: StopReport | None = None
        self._handles = {name: handle_for(memory, self._ref) for name, memory in self._assembly.memories.items()}

    # ------------------------------------------------------------ life

    def start(self) -> Connector:
        """Start the tree. Needs no network: venues start disconnected, and connect by themselves.

        Raises:
            NotConnected: it was stopped; a stopped connector stays so.
        """
        if self._report is not None:
            raise NotConnected("this connector was stopped, and stays so; make a new one.")
        if self._tree is None:
            self._tree = start_tree(
                self._assembly.root, runtime=self._runtime, on_event=self._on_event, name="connector"
            )
        return self

    def stop(self, timeout_s: float | None = None) -> StopReport:
        """Stop everything in order; every call returns after the end, with the same report.

        Args:
            timeout_s: the settings' `stop_within_s` by default.

        Returns:
            StopReport: names whatever would not stop; empty when nothing is left.
        """
        if self._report is None:
            for memory in self._assembly.memories.values():
                memory.close()
            self._report = self.tree.stop(timeout_s if timeout_s is not None else self.settings.stop_within_s)
            for memory in self._assembly.memories.values():
                if memory.trading is not None:
                    memory.trading.close()
            self._parts.close()
        return self._report

    def __enter__(self) -> Connector:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def tree(self) -> Tree:
        """The running tree: `ref(path)`, `snapshot()`, `render()`, `subscribe(callback)`."""
        if self._tree is None:
            raise NotConnected("the connector is not started; use `with Connector(...) as connector:` or start().")
        return self._tree

    def _ref(self, path: str) -> StableRef:
        return self.tree.ref(path)

    # ------------------------------------------------------------ venues

    @property
    def venues(self) -> tuple[str, ...]:
        return tuple(self._handles)

    def venue(self, name: str) -> VenueHandle:
        """Everything about one venue.

        Raises:
            SettingsError: there is no venue of this name; the text lists those there are.
        """
        try:
            return self._handles[name]
        except KeyError:
            raise SettingsError(f"no venue is called {name!r}; there are {', '.join(self._handles)}.") from None

    def subscribe(self, venue: str, kind: TopicKind | str, symbol: Symbol | str, **options: Any) -> Subscription:
        """Listen to a topic; see `VenueHandle.subscribe`."""
        return self.venue(venue).subscribe(kind, symbol, **options)

    def ask(self, venue: str, query: Query, timeout_s: float | None = None) -> Any:
        """Ask a venue; the query's docstring says what its answer is. See `VenueHandle.ask`."""
        return self.venue(venue).ask(query, timeout_s)

    def snapshot(self) -> dict[str, VenueSnapshot]:
        """Every venue at a glance. Never blocks on the network."""
        return {name: handle.snapshot() for name, handle in self._handles.items()}

    def diagnostics(self) -> Diagnostics:
        """This process, how its threads share the interpreter, and where each venue runs. Never blocks."""
        return look_at_process({name: handle.diagnostics() for name, handle in self._handles.items()})

    def render(self) -> str:
        """The live tree as text; of a venue in a process of its own, see `diagnostics`."""
        return self.tree.render()

    def __repr__(self) -> str:
        state = "not started" if self._tree is None else "stopped" if self._report is not None else "running"
        return f"<Connector {state} {', '.join(self._handles)}>"
