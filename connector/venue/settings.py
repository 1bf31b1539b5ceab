"""What is decided about one venue before it starts. Frozen, checked when made, read from nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from connector.domain.credentials import Credentials
from connector.drivers.contract import Environment
from connector.errors import SettingsError
from connector.orders.risk import RiskHook
from connector.store.contract import Store
from connector.throttle import BackoffPolicy
from connector.transport.contract import TlsSettings, TransportName
from connector.venue.liveness import LivenessPolicy

__all__ = ["VenueSettings"]


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """One venue: an exchange, an environment, and how to reach it.

    Args:
        exchange: a driver's name, e.g. "binance".
        name: how the engine calls it; the exchange's name by default. Needed when one exchange is used twice.
        environment: LIVE, TESTNET or DEMO.
        transport: "picows", "websocket-client", or "auto" for the fastest that is installed.
        rest_url, stream_url: other roots than the driver's, e.g. of a simulator. Both or neither.
        session_url: root of the account's session, where `rest_url` is given; without it orders go by REST alone, and the
            account is compared with the venue instead of followed.
        proxy: "http://…", "socks5://…" or "socks5h://…" for every connection of this venue.
        rest_workers: requests under way at once.
        request_timeout_s: a question is answered or refused within it, waiting for budget included.
        idle_timeout_s, ping_every_s: a connection without a byte for so long is ended; our own pings keep it busy.
        budget_share: the part of the venue's request limits this program may use.
        instruments_every_s, clock_sync_s: how often the instrument list and the venue's clock are read.
        backfill, backfill_within_s: fetch trades and candles missed in an outage, holding later ones at most so long.
        record: write all public traffic to this capture file (gzip, one JSON object a line), which the simulator replays.
        reconnect: delays between connection attempts in a row.
        credentials: of one account; without them there is market data only.
        risk_hooks: asked about every order, in this order, before it is journalled; see `connector.orders.risk`.
        store: where intents, orders and fills are kept, one store per account; in memory by default, which forgets at the end
            of the process. A store; or the path of an SQLite file, or a function without arguments that makes one: opened by the
            connector, and closed when it stops.
        isolation: "process" runs the whole venue in a process of its own, behind the same references and subscriptions: what
            burns CPU in the engine then delays no pong, book or order. An account needs a store that outlives that process,
            given as a path or an importable function; see docs/guides/isolation.md.
    """

    exchange: str
    name: str = ""
    environment: Environment = Environment.LIVE
    transport: TransportName = "auto"
    rest_url: str | None = None
    stream_url: str | None = None
    session_url: str | None = None
    proxy: str | None = None
    tls: TlsSettings = TlsSettings()
    rest_workers: int = 8
    request_timeout_s: float = 10.0
    connect_timeout_s: float = 5.0
    upgrade_timeout_s: float = 5.0
    idle_timeout_s: float = 12.0
    ping_every_s: float | None = 5.0
    max_message_bytes: int = 16 * 1024 * 1024
    budget_share: float = 0.95
    instruments_every_s: float = 3600.0
    clock_sync_s: float = 60.0
    backfill: bool = True
    backfill_within_s: float = 5.0
    record: Path | str | None = None
    liveness: LivenessPolicy = LivenessPolicy()
    reconnect: BackoffPolicy = field(default_factory=BackoffPolicy)
    credentials: Credentials | None = field(default=None, compare=False)
    risk_hooks: tuple[RiskHook, ...] = field(default=(), compare=False)
    store: Store | str | Path | Callable[[], Store] | None = field(default=None, compare=False, repr=False)
    isolation: Literal["thread", "process"] = "thread"

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.exchange)
        object.__setattr__(self, "risk_hooks", tuple(self.risk_hooks))
        if not self.name or "/" in self.name or "#" in self.name:
            raise SettingsError(f"venue name is {self.name!r}; expected text without '/' or '#', like 'binance'.")
        if self.transport not in get_args(TransportName):
            raise SettingsError(
                f"transport is {self.transport!r}; expected one of {', '.join(get_args(TransportName))}."
            )
        if (self.rest_url is None) != (self.stream_url is None):
            raise SettingsError("rest_url and stream_url go together: give both, or neither for the venue's own.")
        for name, schemes in (("rest_url", ("http://", "https://")), ("stream_url", ("ws://", "wss://"))):
            url = getattr(self, name)
            if url is not None and not url.startswith(schemes):
                raise SettingsError(f"{name} is {url!r}; expected it to start with {' or '.join(schemes)}.")
        if not 0.0 < self.budget_share <= 1.0:
            raise SettingsError(f"budget_share is {self.budget_share}; expected more than 0 and at most 1.")
        if self.rest_workers < 1:
            raise SettingsError(f"rest_workers is {self.rest_workers}; expected 1 or more.")
        if self.credentials is None and (self.risk_hooks or self.store is not None):
            raise SettingsError("risk_hooks and store are of an account; give its credentials too.")
        if self.isolation not in ("thread", "process"):
            raise SettingsError(f"isolation is {self.isolation!r}; expected 'thread' or 'process'.")
        if self.isolation == "process" and self.credentials is not None:
            self._check_isolated_store()
        for name in ("request_timeout_s", "connect_timeout_s", "upgrade_timeout_s", "idle_timeout_s", "clock_sync_s"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} is {getattr(self, name)}; expected a positive number of seconds.")
        if self.ping_every_s is not None and not 0.0 < self.ping_every_s < self.idle_timeout_s:
            raise SettingsError(
                f"ping_every_s is {self.ping_every_s}; expected less than idle_timeout_s ({self.idle_timeout_s}), "
                "or None to send no pings."
            )

    def _check_isolated_store(self) -> None:
        if self.store is None:
            raise SettingsError(
                f'{self.name}: isolation="process" with credentials needs a durable store: a crash of that process would forget '
                'orders that are on their way, in memory. Give store="orders.db"; or store=MemoryStore (the class, not a store) '
                "to have each life begin without knowing any order."
            )
        if not isinstance(self.store, str | Path) and not callable(self.store):
            raise SettingsError(
                f'{self.name}: with isolation="process" the store is opened in that process; give the path of its file, or an '
                f"importable function that makes one, not a {type(self.store).__name__} that is open here."
            )
