"""One venue in a process of its own, as an engine sees it: what `VenueHandle` is, with references to the actors over there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from connector.domain.instruments import Instrument
from connector.domain.symbols import Symbol
from connector.isolation.bridge import Bridge
from connector.isolation.mirror import MirrorMemory
from connector.isolation.refs import FarRef
from connector.supervision import StableRef, SupervisedActor
from connector.telemetry.diagnostics import VenueDiagnostics
from connector.venue.handle import VenueHandle, VenueSnapshot
from connector.venue.messages import SubscriptionsChanged, post
from connector.venue.orders import OrderCommandActor
from connector.venue.rest import RestActor
from connector.venue.state import StateQueryActor
from connector.venue.stream import WebSocketActor

__all__ = ["IsolatedVenueHandle"]

_CLASSES: dict[str, type[SupervisedActor]] = {
    "rest": RestActor,
    "stream": WebSocketActor,
    "state": StateQueryActor,
    "orders": OrderCommandActor,
}


class IsolatedVenueHandle(VenueHandle):
    """See `VenueHandle`.

    `exchange` is the supervisor here, of `host`, which owns the process, and `events`. The others are in the process.
    """

    def __init__(self, memory: MirrorMemory, find: Callable[[str], StableRef]) -> None:
        super().__init__(memory, find)
        self._bridge = memory.bridge
        self._far: dict[str, FarRef] = {}

    @property
    def bridge(self) -> Bridge:
        """How the process is: `pid`, `lives`, `is_up`, `heard_s`, `pulse`."""
        return self._bridge

    @property
    def rest(self) -> StableRef:
        return self._ref("rest")

    @property
    def stream(self) -> StableRef:
        return self._ref("stream")

    @property
    def state(self) -> StableRef:
        return self._ref("state")

    @property
    def orders(self) -> StableRef:
        return self._ref("orders")

    def _ref(self, actor: str) -> FarRef:
        found = self._far.get(actor)
        if found is None:
            host = self._find(f"/{self.name}/host")

            def here(message: Any) -> bool:
                """What consumers want is the host's to know: it tells the stream actor over there."""
                if actor != "stream" or not isinstance(message, SubscriptionsChanged):
                    return False
                post(host, message)
                return True

            found = self._far.setdefault(actor, FarRef(host, self._bridge, actor, _CLASSES[actor], here))
        return found

    def instrument(self, symbol: Symbol | str, timeout_s: float = 10.0) -> Instrument:
        """What the venue says about one instrument, from the copy of its list that is here once it has come.

        Raises:
            UnknownSymbol: it lists none of this name. NotConnected: its list has not arrived yet.
        """
        table = self._memory.instruments
        return super().instrument(symbol, timeout_s) if table is None else table.known(Symbol.parse(symbol))

    def diagnostics(self) -> VenueDiagnostics:
        """Where this venue runs, as its process told last. Never blocks."""
        bridge, memory = self._bridge, self._memory
        pulse, heard_s = bridge.pulse, bridge.heard_s
        told = VenueDiagnostics(
            "process",
            bridge.pid,
            lives=bridge.lives,
            ended=bridge.ended,
            heard_ago_s=None if heard_s is None else max(0.0, memory.clock.monotonic_s() - heard_s),
            unanswered=bridge.unanswered,
        )
        if pulse is None:
            return told
        return replace(
            told,
            waiting=pulse.waiting,
            dropped=pulse.dropped,
            threads=pulse.threads,
            switch_interval_s=pulse.switch_interval_s,
            tree=pulse.tree,
        )

    def snapshot(self) -> VenueSnapshot:
        """Every topic and counter of this venue, those of its process as told last. Never blocks."""
        here, bridge = super().snapshot(), self._bridge
        pulse = bridge.pulse
        counters, alarms = bridge.counters(), bridge.alarms()
        for name, value in here.counters.items():
            counters[name] = counters.get(name, 0) + value
        for name, value in here.alarms.items():
            alarms[name] = alarms.get(name, 0) + value
        return replace(
            here,
            counters=dict(sorted(counters.items())),
            alarms=alarms,
            budget=f"unknown: {bridge!r}" if pulse is None else pulse.budget,
            health={} if pulse is None else pulse.health,
        )
