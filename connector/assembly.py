"""From settings to a tree of actors: the only module that names concrete parts. Starts nothing; the client does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from connector.clock import Clock, ClockOffset
from connector.domain.credentials import Credentials
from connector.drivers.contract import Driver, Hosts
from connector.drivers.registry import find_driver
from connector.errors import SettingsError, Unsupported
from connector.isolation.bridge import Bridge
from connector.isolation.handle import IsolatedVenueHandle
from connector.isolation.host import IsolatedExchangeActor
from connector.isolation.mirror import MirrorMemory
from connector.isolation.setup import Setup
from connector.settings import ConnectorSettings, VenueSettings
from connector.store.contract import Store
from connector.store.memory import MemoryStore
from connector.store.sqlite import SqliteStore
from connector.supervision import ChildSpec, OnLimit, StableRef, SupervisorSpec
from connector.telemetry import Counters, OncePerKind, logger, register_secret
from connector.telemetry.redaction import SHORTEST
from connector.throttle import ConnectBudget, Ledger
from connector.transport.capture import CaptureWriter
from connector.transport.contract import Links
from connector.transport.dial import Dialer
from connector.transport.http import HttpClient
from connector.transport.recording import record_http
from connector.transport.select import links_for
from connector.venue.exchange import ExchangeActor
from connector.venue.handle import VenueHandle
from connector.venue.http_workers import HttpWorkers
from connector.venue.memory import VenueMemory, hosts_of
from connector.venue.rest import HttpPort
from connector.venue.trading import Trading
from connector.venue.wall import WallWatch

__all__ = ["Assembly", "Parts", "assemble", "handle_for", "with_drivers"]


@dataclass(frozen=True)
class Parts:
    """What the world outside is made of; tests give their own.

    Attributes:
        links: settings of a venue to its WebSocket links.
        open_http: (venue's memory) -> (actor context) -> its HTTP port; called anew for every incarnation.
        driver: a driver by name.
        random: numbers in [0, 1) for spacing connection attempts.
        private_links: links of the account's session, never recorded; None takes `links`.
        close: called when the tree has stopped.
    """

    links: Callable[[VenueSettings], Links]
    open_http: Callable[[VenueMemory], Callable[[Any], HttpPort]]
    driver: Callable[[str], Driver]
    random: Callable[[], float]
    private_links: Callable[[VenueSettings], Links] | None = None
    close: Callable[[], None] = lambda: None


def real_parts(clock: Clock) -> Parts:
    """Sockets and threads; capture files where a venue is recorded."""
    dialer = Dialer(clock)
    writers: dict[str, CaptureWriter] = {}

    def recorder(settings: VenueSettings) -> CaptureWriter | None:
        if settings.record is None:
            return None
        if settings.name not in writers:
            writers[settings.name] = CaptureWriter(settings.record, on_failure=partial(_recording_ended, settings.name))
        return writers[settings.name]

    def close() -> None:
        for writer in writers.values():
            writer.close()

    def open_http(memory: VenueMemory) -> Callable[[Any], HttpPort]:
        settings = memory.settings

        def open_for(context: Any) -> HttpPort:
            writer = recorder(settings)
            client = HttpClient(
                memory.hosts.rest,
                clock=clock,
                proxy=settings.proxy,
                tls=settings.tls,
                name=f"{memory.name}/rest",
                middleware=() if writer is None else (record_http(writer, memory.hosts.rest),),
                dialer=dialer,
            )
            return HttpWorkers(client, context, settings.rest_workers)

        return open_for

    return Parts(
        links=lambda settings: links_for(settings.transport, recorder(settings), clock=clock, dialer=dialer),
        open_http=open_http,
        driver=find_driver,
        random=random.random,
        # Left to choose, an account takes the links that send on the thread that calls: an order's first byte waits for no other.
        private_links=lambda settings: links_for(
            "websocket-client" if settings.transport == "auto" else settings.transport, clock=clock, dialer=dialer
        ),
        close=close,
    )


def with_drivers(parts: Parts, drivers: Iterable[Driver]) -> Parts:
    """The same parts, with drivers an engine brought; they are found before shipped ones of the same name.

    Raises:
        SettingsError: one of them is no Driver, or two have one name.
    """
    brought: dict[str, Driver] = {}
    for driver in drivers:
        if not isinstance(driver, Driver):
            raise SettingsError(f"drivers holds {driver!r:.60}; expected Driver values, of connector.drivers.contract.")
        if driver.name in brought:
            raise SettingsError(f"two drivers are called {driver.name!r}; venues find theirs by name.")
        brought[driver.name] = driver
    shipped = parts.driver
    return replace(parts, driver=lambda name: brought[name] if name in brought else shipped(name))


def _recording_ended(venue: str, failure: OSError) -> None:
    """A recording is a convenience: a full disk ends it, and nothing else."""
    logger.bind(venue=venue).error("the recording ended: {}", failure)


@dataclass(frozen=True)
class _Budgets:
    """What all venues behind the same hosts share, because the exchange counts by address; of one pool, the ledger alone."""

    ledger: Ledger
    connects: ConnectBudget
    offset: ClockOffset
    offset_lock: threading.Lock


@dataclass(frozen=True)
class Assembly:
    """A tree ready to be started, and what outlives its actors."""

    root: SupervisorSpec
    memories: dict[str, VenueMemory]


def assemble(settings: ConnectorSettings, clock: Clock, parts: Parts) -> Assembly:
    """Build everything that needs no network.

    Raises:
        Unsupported: an exchange, or an environment of it, that does not exist; the text lists the ones that do.
        SettingsError: a transport is forced that is not installed.
    """
    shared: dict[object, _Budgets] = {}
    wall = WallWatch(clock)
    memories = {venue.name: _remember(venue, clock, wall, parts, shared) for venue in settings.venues}
    _check_shares(memories.values())
    children = tuple(
        ChildSpec(
            id=name,
            factory=IsolatedExchangeActor if isinstance(memory, MirrorMemory) else ExchangeActor,
            args=_parts_for(memory, settings, parts),
            kwargs={
                "busy_limit_s": settings.busy_limit_s,
                "restart": settings.restart,
                "restart_limit": settings.restart_limit,
            },
            backoff=settings.restart,
            busy_limit_s=settings.busy_limit_s,
            shutdown_s=settings.stop_within_s,
        )
        for name, memory in memories.items()
    )
    root = SupervisorSpec(children=children, on_limit=OnLimit.PROBE, intensity=settings.restart_limit)
    return Assembly(root, memories)


def _parts_for(memory: VenueMemory, settings: ConnectorSettings, parts: Parts) -> tuple[Any, ...]:
    """What the exchange actor of a venue is made with."""
    if isinstance(memory, MirrorMemory):
        return memory, Setup(settings, memory.settings, memory.driver, memory.clock.time_ns())
    venue = memory.settings
    return memory, parts.links(venue), (parts.private_links or parts.links)(venue), parts.open_http(memory)


def handle_for(memory: VenueMemory, find: Callable[[str], StableRef]) -> VenueHandle:
    """What an engine holds of a venue."""
    return IsolatedVenueHandle(memory, find) if isinstance(memory, MirrorMemory) else VenueHandle(memory, find)


def _check_shares(memories: Iterable[VenueMemory]) -> None:
    """Venues of one pool that run in different processes count their requests apart, so their shares have to add up.

    Raises:
        SettingsError: together they may use more than the exchange allows an address.
    """
    pools: dict[object, list[VenueMemory]] = {}
    for memory in memories:
        pools.setdefault(_pool_of(memory.settings, memory.driver, memory.hosts), []).append(memory)
    for pool in pools.values():
        here = [memory.settings.budget_share for memory in pool if not isinstance(memory, MirrorMemory)]
        apart = [memory.settings.budget_share for memory in pool if isinstance(memory, MirrorMemory)]
        if apart and sum(apart) + max(here, default=0.0) > 1.0:
            names = ", ".join(memory.name for memory in pool)
            raise SettingsError(
                f"{names} share the request limits of one exchange and run in different processes, which count apart. Give "
                "them budget_share values that add up to 1 at most."
            )


def _pool_of(venue: VenueSettings, driver: Driver, hosts: Hosts) -> object:
    return (driver.pool, venue.environment) if driver.pool and venue.rest_url is None else hosts


def _remember(
    venue: VenueSettings, clock: Clock, wall: WallWatch, parts: Parts, shared: dict[object, _Budgets]
) -> VenueMemory:
    driver = parts.driver(venue.exchange)
    hosts = hosts_of(venue, driver)
    budgets = shared.setdefault(hosts, _budgets(venue, driver, clock, parts))
    ledger = shared.setdefault(_pool_of(venue, driver, hosts), budgets).ledger
    ledger.apply_limits(limit for limit in driver.limits if limit.name not in ledger.names())
    isolated = venue.isolation == "process"
    memory = (MirrorMemory if isolated else VenueMemory)(
        venue,
        driver,
        hosts,
        clock,
        ledger=ledger,
        connects=budgets.connects,
        offset=budgets.offset,
        offset_lock=budgets.offset_lock,
        counters=Counters(),
        alarms=OncePerKind(venue.name),
        wall=wall,
    )
    if isinstance(memory, MirrorMemory):
        memory.bridge = Bridge(venue.name)
    if venue.credentials is not None:
        memory.trading = _trade(memory, venue.credentials)
    return memory


def _budgets(venue: VenueSettings, driver: Driver, clock: Clock, parts: Parts) -> _Budgets:
    limits, offset = driver.streams.limits, ClockOffset()
    return _Budgets(
        Ledger(driver.limits, clock, offset=offset, headroom=venue.budget_share, name=venue.name),
        ConnectBudget(limits.connects, limits.connects_window_s, parts.random),
        offset,
        threading.Lock(),
    )


def _trade(memory: VenueMemory, credentials: Credentials) -> Trading:
    """The account of a venue.

    Raises:
        Unsupported: the driver carries market data only.
        SettingsError: the driver cannot sign with such keys.
    """
    driver, settings = memory.driver, memory.settings
    language = driver.trading
    if language is None:
        raise Unsupported(
            f"{settings.name}: credentials are given, but {driver.name} carries market data only in this version."
        )
    _hide(credentials)
    isolated = settings.isolation == "process"
    store, owned = (MemoryStore(), True) if isolated else _open_store(settings.store)
    return Trading(
        memory,
        language.auth(credentials),
        language,
        driver.session if memory.hosts.session else None,
        driver.events,
        store,
        () if isolated else settings.risk_hooks,  # asked where orders are: over there, as is the store
        owns_store=owned,
    )


def _open_store(wanted: Store | str | Path | Callable[[], Store] | None) -> tuple[Store, bool]:
    """A venue's store, and whether it was opened here.

    Raises:
        StoreFailed: the file cannot be used.
    """
    if wanted is None:
        return MemoryStore(), True
    if isinstance(wanted, str | Path):
        return SqliteStore(wanted), True
    if callable(wanted):
        return wanted(), True
    return wanted, False


def _hide(credentials: Credentials) -> None:
    """Whatever is logged from now on shows no secret, nor a line of a private key."""
    for secret in credentials.secrets:
        for text in {secret, *(line.strip() for line in secret.splitlines() if "-----" not in line)}:
            if len(text) >= SHORTEST:
                register_secret(text)
