"""Everything around a Connector, in one thread: simulated exchanges, a network, time, and what goes wrong with them.

One seed decides it all: the order of steps, delays, jitter, the crowd on the exchanges. What a caller adds (orders, faults) is
as repeatable as the caller makes it; `random` gives numbers of the same seed.

    world = World(seed, {"main": SimulatorSettings(dialect=..., accounts=...)})
    with world.connect(world.venue("main", "some exchange", credentials=...)) as connector:
        world.runtime.advance(5.0)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from connector.assembly import Parts
from connector.client import Connector
from connector.drivers.contract import Driver
from connector.drivers.registry import find_driver
from connector.settings import ConnectorSettings, VenueSettings
from connector.simulator.settings import SimulatorSettings
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.simulation.far_side import MemoryExchange
from connector.testing.simulation.mishaps import Mishaps

__all__ = ["World"]

STEPS_AT_MOST = 2_000_000_000
TRACE_KEPT = 2_000


class World:
    """See the module.

    Args:
        seed: decides everything.
        exchanges: name of a venue -> its exchange. The seed of each is drawn from this world's.
        tick_s, latency_s, ahead_s: of every exchange, see `MemoryExchange`.

    Attributes:
        far: the exchanges, by name of the venue.
        mishaps: faults inside the library.
    """

    def __init__(
        self,
        seed: int,
        exchanges: Mapping[str, SimulatorSettings],
        *,
        tick_s: float = 0.05,
        latency_s: tuple[float, float] = (0.002, 0.02),
        ahead_s: float = 0.0,
    ) -> None:
        self.seed = seed
        self.runtime = DeterministicRuntime(seed, max_steps=STEPS_AT_MOST, keep_trace=TRACE_KEPT)
        self.mishaps = Mishaps()
        self.clock = self.mishaps.clock(self.runtime.clock)
        self.far = {
            name: MemoryExchange(
                self.runtime,
                replace(settings, seed=self.random(name).randrange(2**31)),
                tick_s=tick_s,
                latency_s=latency_s,
                ahead_s=ahead_s,
            )
            for name, settings in exchanges.items()
        }

    def random(self, purpose: str) -> random.Random:
        """Numbers of this seed for one purpose: what another purpose draws changes nothing here."""
        return random.Random(f"{self.seed}:{purpose}")

    def venue(self, name: str, exchange: str, **fields: Any) -> VenueSettings:
        """Settings of a venue whose exchange is the one of that name here; with credentials, also its session."""
        if "credentials" in fields:
            fields.setdefault("session_url", f"ws://{name}.test")
        return VenueSettings(
            exchange, name=name, rest_url=f"http://{name}.test", stream_url=f"ws://{name}.test", **fields
        )

    def parts(self, driver: Callable[[str], Driver] = find_driver) -> Parts:
        """What a connector in this world is made of."""
        return Parts(
            links=lambda settings: self.mishaps.links(self.far[settings.name].links),
            open_http=lambda memory: (
                lambda context: self.mishaps.http(self.far[memory.name].http(memory.settings.rest_workers))
            ),
            driver=driver,
            random=self.runtime.random,
        )

    def connect(
        self,
        *venues: VenueSettings,
        driver: Callable[[str], Driver] = find_driver,
        on_event: Callable[[Any], object] | None = None,
        **settings: Any,
    ) -> Connector:
        """A connector in this world, not started yet. `settings`: of ConnectorSettings."""
        return Connector(
            ConnectorSettings(venues, **settings),
            clock=self.clock,
            parts=self.parts(driver),
            runtime=self.runtime,
            on_event=on_event,
        )

    def __repr__(self) -> str:
        return f"<World seed={self.seed} {self.runtime!r} {', '.join(self.far)}>"
