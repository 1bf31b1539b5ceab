"""What a driver is: an exchange's language as a value made of pure functions.

A driver answers where, how much, and how to say and read things. It opens nothing, waits for nothing, reads no clock and
knows no actor, so everything it does can be tested with bytes. What the venue cannot do raises `Unsupported`, and is
absent from `capabilities`, from which the table in the docs is printed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from connector.books.rule import BookRule
from connector.domain.instruments import Filter, Instrument, InstrumentTable
from connector.domain.market import MarketEvent
from connector.domain.queries import Query
from connector.domain.symbols import Product, Symbol
from connector.domain.topics import Topic
from connector.domain.wire import BudgetLimit, HttpRequest, HttpResponse
from connector.drivers.trading import PositionLanguage, PrivateLanguage, SessionLanguage, TradeLanguage
from connector.errors import ConnectorError

__all__ = [
    "Ack",
    "Capability",
    "ConnectionEnding",
    "Control",
    "Driver",
    "Environment",
    "Heartbeat",
    "Hosts",
    "Noise",
    "Refusal",
    "RestLanguage",
    "SkippedInstrument",
    "StreamLanguage",
    "StreamLimits",
    "TopicReader",
    "VenueInfo",
]


class Environment(enum.Enum):
    """LIVE moves real money; TESTNET and DEMO are the venue's own practice grounds."""

    LIVE = "live"
    TESTNET = "testnet"
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Roots without a trailing slash: "https://…" for REST, "wss://…" for public streams and for the private connections.

    Attributes:
        session: root of the connection that takes orders; "" when the venue has none, or nobody said where it is.
        events: root of the connection that brings the account's events, where that is another one; "" takes `public_stream`.
    """

    rest: str
    public_stream: str
    session: str = ""
    events: str = ""

    @property
    def events_root(self) -> str:
        return self.events or self.public_stream


@dataclass(frozen=True, slots=True)
class SkippedInstrument:
    """One entry of the venue's list that was left out because it cannot be read; the others are not touched by it.

    Attributes:
        venue_name: the venue's spelling; "" when not even that could be read.
        reason: why, in words.
    """

    venue_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class VenueInfo:
    """Answer to InstrumentsQuery.

    Attributes:
        limits: what the venue told; budgets it did not name keep the driver's fallbacks.
        skipped: entries of the list (instruments or limits) that could not be read: to be reported, not to be traded.
        filters: rules over all instruments of an account together, e.g. a cap on open orders.
    """

    instruments: InstrumentTable
    limits: tuple[BudgetLimit, ...]
    server_time_ns: int | None
    skipped: tuple[SkippedInstrument, ...] = ()
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a driver can do, for the table: e.g. Capability("stream", "trades"), Capability("query", "candles")."""

    area: str
    name: str
    note: str = ""


# ---------------------------------------------------------------- REST


class RestLanguage(Protocol):
    """Requests out, answers in."""

    def request(self, query: Query) -> HttpRequest:
        """The request that asks it.

        Raises:
            InvalidRequest: a parameter is outside what the venue accepts (names the bounds).
            Unsupported: the venue has no such question.
        """

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        """The answer as the query's docstring says; `instruments` turns the venue's names into symbols in lists.

        Raises:
            ConnectorError: what `failure` says, when the response is an error.
            WireFormatError: it is no error and cannot be read.
        """

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        """None when the response is a success; otherwise the error, classed by what the caller must do."""

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        """The request for the next page of a list that has to be whole (instruments); None when this was the last.

        Never raises: of an answer that is an error, or cannot be read, there is no more.
        """

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        """One answer made of the answers to all pages, in order; called with two or more."""

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        """Points used in the current window by budget name, as the venue's headers tell; empty when they do not."""


# ---------------------------------------------------------------- streams


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A frame the venue wants from us now and then, on every connection, or it ends it. WebSocket pings are not meant."""

    every_s: float
    frame: bytes


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one connection and one address may do.

    Attributes:
        topics_per_connection: more topics need another connection.
        names_per_frame: topics in one subscribe frame.
        frame_spacing_s: seconds between two frames we send.
        connects: attempts per `connects_window_s` and address.
        max_age_s: the venue ends a connection of this age; a successor is opened `rollover_before_s` earlier.
        server_ping_s: how often the venue pings; None when it does not. Bounds how long silence can be normal.
        source: document and month.
        heartbeat: what the venue wants to hear from us; None when nothing.
        ack_proves: False where the venue acknowledges topics that will never send: one counts as confirmed by its first data, or
            once a question by REST has shown that there is nothing newer.
    """

    topics_per_connection: int
    names_per_frame: int
    frame_spacing_s: float
    connects: int
    connects_window_s: float
    max_age_s: float | None
    rollover_before_s: float
    server_ping_s: float | None
    source: str
    heartbeat: Heartbeat | None = None
    ack_proves: bool = True


@dataclass(frozen=True, slots=True)
class Ack:
    """The venue accepted the frame with this request id.

    Attributes:
        request_id: None where the venue did not say which: the oldest one that is not answered.
        refused: names of it that the venue did not take; the others it did.
    """

    request_id: int | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue refused the frame with this id (None: it did not say which).

    Attributes:
        error: classed: InvalidRequest/VenueRejected will be refused again, RateLimited later may pass.
    """

    request_id: int | None
    error: ConnectorError


@dataclass(frozen=True, slots=True)
class ConnectionEnding:
    """The venue announced that it will close this connection: open a successor now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noise:
    """A frame of no use to us, or of a kind this version does not know: counted and reported once per `kind`.

    Attributes:
        known: True when it is expected and harmless.
    """

    kind: str
    known: bool


Control = Ack | Refusal | ConnectionEnding | Noise

TopicReader = Callable[[bytes, int], MarketEvent | list[MarketEvent] | None]
"""(frame, received_ns) -> event of that topic, several in the venue's order as a list, or None when there is nothing to deliver.

Raises WireFormatError and nothing else, whatever the bytes. Called on the hot path: one decode, no dict walking. Made anew for
every subscription of the topic on a connection, and called by one thread at a time: it may keep what it needs to read the next
frame (changed fields are merged into a snapshot), and nothing of an earlier connection. Of a BOOK topic it gives `BookDelta`, and
`OrderBook` where the stream sends snapshots by itself (`BookRule.snapshot_limit` None), which replace the book.
"""


class StreamLanguage(Protocol):
    """Frames out, frames in."""

    limits: StreamLimits

    def group(self, topic: Topic) -> str:
        """Topics of one group share connections; "" for all where the venue has one kind of connection.

        Raises as `name`.
        """

    def url(self, hosts: Hosts, group: str = "") -> str:
        """Where to connect for the topics of a group; they are subscribed on the open connection."""

    def name(self, topic: Topic) -> str:
        """The venue's name of a topic. Two equal names are one venue subscription.

        Raises:
            InvalidRequest: interval, depth or speed the venue does not have (names the ones it has).
            Unsupported: the venue has no such stream.
        """

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes: ...

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes: ...

    def route(self, frame: bytes) -> bytes | None:
        """The topic name a data frame belongs to, as the bytes of `name`; None when it is a control frame.

        Costs a few hundred nanoseconds and decodes nothing. Never raises: what it cannot tell is None.
        """

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        """A new function that reads this topic's frames, on one connection."""

    def control(self, frame: bytes) -> Control:
        """What a frame without a topic says. Never raises: a frame it cannot read is `Noise(kind, known=False)`."""


# ---------------------------------------------------------------- the driver


@dataclass(frozen=True, slots=True)
class Driver:
    """One exchange's language for one or more products.

    Attributes:
        name: e.g. "binance"; used in symbols of events, thread names and paths.
        hosts: by environment; a missing one is unsupported.
        limits: fallbacks until the venue tells its own in VenueInfo.
        book_rule: None when the venue has no full book stream.
        error_codes: every code the driver has a reaction to, for the conformance suite.
        trading, session: the private half, see `drivers.trading`; None where the driver has none.
        events: the connection that brings the account's events, where the session does not.
        positions: None on spot.
        trade_ids: what public trade ids are: "counted" rise by one; "opaque" say nothing, and `Trade.sequence` tells the order.
        candle_limit, trade_limit: rows of one page of CandlesQuery and of AggTradesQuery or HistoricalTradesQuery, at most.
        name_after: what nearly every data frame begins with, followed by the topic's name and a quote: a short cut past
            `StreamLanguage.route`, which is asked about every frame whose name is not found so. b"" where frames are otherwise.
        pool: drivers of one pool share their request budgets though their hosts differ; "" for the hosts' own.
    """

    name: str
    products: frozenset[Product]
    hosts: Mapping[Environment, Hosts]
    rest: RestLanguage
    streams: StreamLanguage
    limits: tuple[BudgetLimit, ...]
    book_rule: BookRule | None
    capabilities: frozenset[Capability]
    wire_name: Callable[[Symbol], str]
    error_codes: Mapping[str, str] = field(default_factory=dict)
    trading: TradeLanguage | None = None
    session: SessionLanguage | None = None
    events: PrivateLanguage | None = None
    positions: PositionLanguage | None = None
    trade_ids: Literal["counted", "opaque"] = "counted"
    candle_limit: int = 1_000
    trade_limit: int = 1_000
    pool: str = ""
    name_after: bytes = b""

    def __repr__(self) -> str:
        return f"<Driver {self.name} {'/'.join(sorted(p.value for p in self.products))}>"
