"""Say what a simulated exchange is: frozen values, checked when made, nothing started.

`Live` makes its own market from a seed; `Replay` plays a recording. Defaults are the venue's documented figures; a test that
wants a limit within reach lowers it here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from connector.simulator import dialects
from connector.simulator.instruments import SCALE, Listing, e8

__all__ = ["AccountSettings", "Live", "Replay", "SimulatorSettings"]

_OWN: Any = None
"""The exchange's own figure, or the usual one; put in its place when the settings are made."""
_USUAL = {
    "ping_every_s": 20.0,
    "pong_within_s": 60.0,
    "request_weight_per_minute": 6_000,
    "raw_requests_per_5min": 300_000,
    "connects_per_5min": 300,
    "ws_messages_per_s": 5,
    "max_streams": 1_024,
    "orders_per_10s": 100,
    "orders_per_minute": 1_200,
    "orders_per_day": 200_000,
}


@dataclass(frozen=True)
class Live:
    """Seeded random order flow through the matching engine.

    Attributes:
        resting_orders: how many orders rest per symbol in the long run (both sides together).
        warm_up: whether a full book stands before the first client connects.
        deep: whether candles of every interval from a minute on reach back to the listing, 2,100 days before the start, invented
            when they are asked for; else there are about 2,000 or more of each.
    """

    resting_orders: int = 400
    warm_up: bool = True
    deep: bool = False

    def __post_init__(self) -> None:
        if self.resting_orders < 20:
            raise ValueError(f"resting_orders must be at least 20 to keep two sides alive, got {self.resting_orders}")


@dataclass(frozen=True)
class Replay:
    """A recorded file (see `connector.simulator.capture`) played to whoever subscribes.

    Attributes:
        path: the recording, `.jsonl` or `.jsonl.gz`.
        speed: 1.0 keeps the original spacing, 10.0 is ten times faster, None plays as fast as clients read.
        start: "settled" begins once somebody is subscribed and no subscription has changed for `settle_s`;
            "all" once every recorded stream has a subscriber; "manual" on `Simulator.resume()`.
        settle_s: the quiet time "settled" waits for, in seconds.
        clock: "recorded" lets the server's time be the recording's, so events are as fresh as they were then;
            "wall" leaves it at the real time.
    """

    path: Path | str
    speed: float | None = 1.0
    start: Literal["settled", "all", "manual"] = "settled"
    settle_s: float = 0.5
    clock: Literal["recorded", "wall"] = "recorded"

    def __post_init__(self) -> None:
        if self.speed is not None and not self.speed > 0:
            raise ValueError(f"speed must be above zero, or None for as fast as possible; got {self.speed}")
        if self.start not in ("settled", "all", "manual") or self.clock not in ("recorded", "wall"):
            raise ValueError(f"unknown start {self.start!r} or clock {self.clock!r}")
        if self.settle_s < 0:
            raise ValueError(f"settle_s must not be negative, got {self.settle_s}")


@dataclass(frozen=True)
class AccountSettings:
    """One customer of the exchange and the key that opens the account.

    Attributes:
        name: what tests call it.
        key: the API key; letters and digits.
        secret: of an HMAC key; None when `public_key` is given.
        public_key: PEM of an Ed25519 or RSA public key, instead of a secret.
        balances: free amounts by asset, as decimal text or whole numbers.
        maker_rate, taker_rate: commission, as decimal text; of what is received, unless paid in `discount_asset`.
        discount_asset: commission is paid in it while there is enough (BNB on some venues); "" for never.
        discount: what is then taken off the commission, as decimal text.
        orders_per_10s, orders_per_day: order counts of the account; None takes the exchange's.
        can_trade: False for an account that may only look.
    """

    name: str
    key: str
    secret: str | None = field(default=None, repr=False)
    public_key: str | None = None
    balances: Mapping[str, str | int] = field(default_factory=dict)
    maker_rate: str = "0.001"
    taker_rate: str = "0.001"
    discount_asset: str = ""
    discount: str = "0.25"
    orders_per_10s: int | None = None
    orders_per_day: int | None = None
    can_trade: bool = True

    def __post_init__(self) -> None:
        if not self.key.isascii() or not self.key.isalnum():
            raise ValueError(f"account {self.name!r}: a key is letters and digits, got {self.key!r}")
        if (self.secret is None) == (self.public_key is None):
            raise ValueError(f"account {self.name!r}: give either a secret or a public key")
        for asset, amount in self.balances.items():
            if e8(amount) < 0:
                raise ValueError(f"account {self.name!r}: a balance is not negative, got {amount} {asset}")
        for rate in (self.maker_rate, self.taker_rate, self.discount):
            if not 0 <= e8(rate) <= SCALE:
                raise ValueError(f"account {self.name!r}: a rate lies between 0 and 1, got {rate}")


@dataclass(frozen=True)
class SimulatorSettings:
    """One simulated exchange on loopback. Limits and times of pings not given (None) are the exchange's own.

    Attributes:
        symbols: names (`BTCUSDT`) or `Listing` values; a replay takes its symbols from the recording instead.
        seed: same seed, same order flow.
        events_per_s: orders and cancels a second over all symbols; 0 leaves the flow to `Simulator.step`.
        source: `Live()` or `Replay(path)`.
        host, port: where to listen; port 0 takes a free one.
        tls: (certificate file, key file) in PEM, or None for plain TCP.
        ping_every_s, pong_within_s: the server's pings and its patience.
        max_age_s: a WebSocket connection is closed at this age (24 hours on the venue).
        enforce_limits: False counts but never refuses.
        request_weight_per_minute, raw_requests_per_5min, connects_per_5min: limits per client address.
        ws_messages_per_s, max_streams: limits per connection.
        ignored_429s: requests after a 429 in the same window until the address is banned.
        ban_s: length of the first ban; each further one doubles, up to three days.
        max_backlog_bytes: a client that reads too slowly is cut when this much waits for it.
        ws_error: shape of control errors: "nested" (`{"error": {...}, "id": ..}`, seen by clients) or "flat" (documented).
        limits: figures of the dialect by name, in place of the documented ones; a name it does not know is refused.
        accounts: customers from the start; `Simulator.add_account` adds more.
        orders_per_10s, orders_per_minute, orders_per_day: order counts per account, as far as the exchange counts so.
        exchange_filters: filter rows over all symbols, in the dialect's words.
        time_factor: the exchange's time, its flow and the delays of order faults pass so many times as fast as the given clock;
            pings and the age of connections do not.
        keep: how many trades and how many sent ids per stream the ledger remembers.
        dialect: module below `connector.simulator.dialects`.
        clock: UTC nanoseconds; replaced in tests that own time.
    """

    symbols: tuple[str | Listing, ...] = ("BTCUSDT", "ETHUSDT", "ETHBTC")
    seed: int = 7
    events_per_s: float = 200.0
    source: Live | Replay = Live()
    host: str = "127.0.0.1"
    port: int = 0
    tls: tuple[str, str] | None = None
    ping_every_s: float = _OWN
    pong_within_s: float = _OWN
    max_age_s: float = 86_400.0
    enforce_limits: bool = True
    request_weight_per_minute: int = _OWN
    raw_requests_per_5min: int = _OWN
    connects_per_5min: int = _OWN
    ws_messages_per_s: int = _OWN
    max_streams: int = _OWN
    ignored_429s: int = 10
    ban_s: float = 120.0
    max_backlog_bytes: int = 64 * 1024 * 1024
    ws_error: Literal["nested", "flat"] = "nested"
    limits: Mapping[str, int] = field(default_factory=dict)
    accounts: tuple[AccountSettings, ...] = ()
    orders_per_10s: int = _OWN
    orders_per_minute: int = _OWN
    orders_per_day: int = _OWN
    exchange_filters: tuple[Mapping[str, Any], ...] = ()
    time_factor: float = 1.0
    keep: int = 500_000
    dialect: str = dialects.DEFAULT
    clock: Callable[[], int] = time.time_ns

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.dialect):
            raise ValueError(f"a dialect is the name of a module in connector.simulator.dialects, got {self.dialect!r}")
        for name, figure in (_USUAL | dict(dialects.figures_of(self.dialect))).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, figure)
        positive = {
            "ping_every_s": self.ping_every_s,
            "pong_within_s": self.pong_within_s,
            "max_age_s": self.max_age_s,
            "request_weight_per_minute": self.request_weight_per_minute,
            "raw_requests_per_5min": self.raw_requests_per_5min,
            "connects_per_5min": self.connects_per_5min,
            "ws_messages_per_s": self.ws_messages_per_s,
            "max_streams": self.max_streams,
            "ignored_429s": self.ignored_429s,
            "ban_s": self.ban_s,
            "max_backlog_bytes": self.max_backlog_bytes,
            "keep": self.keep,
            "orders_per_10s": self.orders_per_10s,
            "orders_per_minute": self.orders_per_minute,
            "orders_per_day": self.orders_per_day,
            "time_factor": self.time_factor,
        }
        for name, value in {**positive, **self.limits}.items():
            if not value > 0:
                raise ValueError(f"{name} must be above zero, got {value}")
        if not self.events_per_s >= 0:
            raise ValueError(f"events_per_s must be zero or more, got {self.events_per_s}")
        if not self.symbols:
            raise ValueError("an exchange without symbols has nothing to serve; give at least one")
        names = [entry.symbol for entry in self.listings()]
        if len(set(names)) != len(names):
            raise ValueError(f"a symbol is listed twice: {names}")

        for what, given in (("name", [a.name for a in self.accounts]), ("key", [a.key for a in self.accounts])):
            if len(set(given)) != len(given):
                raise ValueError(f"two accounts have the same {what}: {given}")
        if self.accounts and isinstance(self.source, Replay):
            raise ValueError("a replay has no accounts: nothing can trade in a recording")

    def listings(self) -> tuple[Listing, ...]:
        """The symbols as listings, in the order given."""
        make = dialects.listing_of
        return tuple(entry if isinstance(entry, Listing) else make(self.dialect, entry) for entry in self.symbols)
