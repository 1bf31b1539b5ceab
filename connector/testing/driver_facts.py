"""What a test module knows of an exchange's wire, written from its documents: samples as bytes, and what each of them means.

`driver_suite` compares a driver with such a table. Everything here is data: nothing is sent, read or computed. Expected values
carry `received_ns=RECEIVED_NS` and the driver's name as `venue`; requests are made at `NOW_MS`, by the account of the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.domain.commands import AmendOrder, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.facts import AccountFact
from connector.domain.instruments import Instrument
from connector.domain.market import MarketEvent
from connector.domain.orders import Order, OrderStatus
from connector.domain.queries import Query
from connector.domain.symbols import Symbol
from connector.domain.topics import Topic
from connector.drivers.contract import Ack, Environment
from connector.errors import ConnectorError

__all__ = [
    "NOW_MS",
    "RECEIVED_NS",
    "AnswerSample",
    "BookFacts",
    "CallSample",
    "DriverFacts",
    "EventSample",
    "KeySample",
    "OpeningSample",
    "PrivateFacts",
    "RefusalSample",
    "RefusedFrame",
    "SessionSample",
    "SigningVector",
    "StreamSample",
    "TradingFacts",
]

NOW_MS = 1_762_000_000_123
RECEIVED_NS = 1_762_000_000_500_000_000


# ---------------------------------------------------------------- public half


@dataclass(frozen=True, kw_only=True)
class StreamSample:
    """Frames of one topic.

    Attributes:
        name: what the venue calls the topic.
        group: see `StreamLanguage.group`.
        frames: read in this order by one reader, as if they came on one connection.
        events: what they say, all of them in order.
    """

    topic: Topic
    name: str
    frames: tuple[bytes, ...]
    events: tuple[MarketEvent, ...]
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class RefusedFrame:
    """A control frame that refuses what was asked under `request_id`, and the class of error it is."""

    frame: bytes
    request_id: int | None
    error: type[ConnectorError]


@dataclass(frozen=True, kw_only=True)
class AnswerSample:
    """A question, its request, and an answer to it.

    Attributes:
        request: "GET /path?query", as it goes out.
        bodies: one, or the pages in order.
        answer: the whole value; of several pages the joined one. None for instruments, which have facts of their own.
    """

    query: Query
    request: str
    bodies: tuple[bytes, ...]
    answer: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RefusalSample:
    """An answer that is an error.

    Attributes:
        read, write: the class it has for a question and for a command. Exactly this class, not one below it.
        code: what the error's `code` has to be; "" where the answer has none.
        retry_after_s: what the error has to say; None where it says nothing.
    """

    body: bytes
    read: type[ConnectorError]
    write: type[ConnectorError]
    status: int = 400
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class BookFacts:
    """How the venue numbers the updates of a book.

    Attributes:
        symbol: the book's.
        following: (last update id, chance) -> (first, last, previous) ids of the delta that follows it.
        detects_loss: False where the venue's numbers cannot show that a delta is missing.
    """

    symbol: Symbol
    following: Callable[[int, random.Random], tuple[int, int, int | None]]
    detects_loss: bool = True


# ---------------------------------------------------------------- private half


@dataclass(frozen=True, kw_only=True)
class SigningVector:
    """What `Auth.sign` makes of a payload; from the venue's documents, or from another implementation."""

    payload: str
    signature: str
    kind: str = "hmac"


@dataclass(frozen=True, kw_only=True)
class CallSample:
    """One signed request, and an answer to it.

    Attributes:
        what: one of `driver_suite.CALLS`, e.g. "place" or "open orders".
        request: method and path, e.g. "POST /order".
        says: pieces that have to stand in its query or body, byte for byte.
        headers: have to be among its headers.
        answer: b"" where only the request is shown.
        expected: what reading the answer gives, as the contract says for this call; for "order" None means that there is none.
        command: instead of the table's order, amend or settings command.
        status: of the answer.
        follows: whether another page follows this answer.
    """

    what: str
    request: str
    says: tuple[bytes, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: bytes = b""
    expected: Any = None
    command: Any = None
    status: int = 200
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class OpeningSample:
    """One frame of a connection's opening, and answers to it.

    Attributes:
        says: pieces of the frame. Whole where nothing in it is signed.
        accepted: the venue's reply, for request id "c1" of the first frame, "c2" of the second, and so on.
        refused: replies that refuse it, and what they are.
    """

    says: tuple[bytes, ...]
    accepted: bytes
    refused: tuple[tuple[bytes, type[ConnectorError]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SessionSample:
    """One command over the session: request id "c7".

    Attributes:
        what: "place", "cancel", "amend" or "place list".
        reply: the venue's.
        expected: what reading it gives, as over REST; an error class where it refuses.
    """

    what: str
    says: tuple[bytes, ...]
    reply: bytes
    expected: Any
    command: Any = None


@dataclass(frozen=True, kw_only=True)
class EventSample:
    """A frame about the account, and its facts in the venue's order."""

    frame: bytes
    facts: tuple[AccountFact, ...]


@dataclass(frozen=True, kw_only=True)
class KeySample:
    """How the key of a private address is had: requests as "POST /path", and the answer that brings "KEY"."""

    opens: str
    answer: bytes
    key: str
    renews: str


@dataclass(frozen=True, kw_only=True)
class PrivateFacts:
    """A private connection: `Driver.session` or `Driver.events`.

    Attributes:
        url: where it leads in the first environment; with the key "KEY" in it where there is one.
        calls: of a session that takes orders.
        events: of the connection that brings the account's events.
        probe_reply: to a probe with request id "c9"; None where there is no probe.
        endings: frames by which the venue announces that it will close.
    """

    url: str
    environment: Environment
    opening: tuple[OpeningSample, ...] = ()
    calls: tuple[SessionSample, ...] = ()
    events: tuple[EventSample, ...] = ()
    probe_reply: bytes | None = None
    endings: tuple[bytes, ...] = ()
    known_noise: tuple[bytes, ...] = ()
    unknown_noise: tuple[bytes, ...] = ()
    key: KeySample | None = None


@dataclass(frozen=True, kw_only=True)
class TradingFacts:
    """The private half.

    Attributes:
        credentials: by kind of key, as the capability table names them: "hmac", "ed25519", "rsa".
        refused_credentials: keys that cannot be used here.
        symbol: of everything below.
        client_id, order: a limit order, and the id it is sent under.
        current: what is known of it once it is open.
        amend: a change the venue can make; None where it can make none.
        order_list: what "place list" sends; None where there are no lists.
        client_ids: of that list.
        calls: at least one sample of every call in the capability table.
        never_told: statuses no sample shows, with the reason, e.g. {OrderStatus.REJECTED: "refused in the answer only"}.
        not_found: answers to "order" that say that there is none.
        not_open: answers to a cancel of something that is not open.
        duplicate: answers to an order whose client id is in use.
        session, events: None where the driver has none.
    """

    credentials: Mapping[str, Credentials]
    symbol: Symbol
    client_id: str
    order: PlaceOrder
    current: Order
    calls: tuple[CallSample, ...]
    vectors: tuple[SigningVector, ...]
    amend: AmendOrder | None = None
    order_list: Any = None
    client_ids: tuple[str, ...] = ()
    refused_credentials: tuple[Credentials, ...] = ()
    refused_orders: tuple[PlaceOrder, ...] = ()
    never_told: Mapping[OrderStatus, str] = field(default_factory=dict)
    not_found: tuple[RefusalSample, ...] = ()
    not_open: tuple[RefusalSample, ...] = ()
    duplicate: tuple[RefusalSample, ...] = ()
    session: PrivateFacts | None = None
    events: PrivateFacts | None = None


# ---------------------------------------------------------------- the whole table


@dataclass(frozen=True, kw_only=True)
class DriverFacts:
    """Everything a test module knows of one driver's exchange.

    Attributes:
        limits: budgets by name: (points, seconds).
        instruments: pages of the venue's list.
        symbols: the venue's name of every instrument in it, and ours.
        instrument: one of them, whole.
        skipped: names in the list that have to be left out, and told.
        streams: at least one sample of every stream in the capability table.
        refused_topics: InvalidRequest or Unsupported, before anything is sent.
        subscribed, unsubscribed: names, request id, and the frame.
        heartbeat: the frame and seconds; None where the venue wants none.
        acks, refused, endings, known_noise, unknown_noise: control frames.
        questions: at least one sample of every query in the capability table; instruments too, with the answer None.
        refused_queries: InvalidRequest, before anything is sent.
        codes: every documented code, with the classes its error has for a question and for a command.
        code_body: an answer with that code: (code) -> body.
        code_status: HTTP status of those answers.
        refusals: answers that are errors, by status, by code, or by being no answer at all.
        used: headers, and what they say of the budgets.
        trading: None where the driver carries market data only.
    """

    limits: Mapping[str, tuple[int, float]]
    instruments: tuple[bytes, ...]
    symbols: Mapping[str, Symbol]
    instrument: Instrument
    streams: tuple[StreamSample, ...]
    subscribed: tuple[tuple[str, ...], int, bytes]
    unsubscribed: tuple[tuple[str, ...], int, bytes]
    acks: tuple[tuple[bytes, Ack], ...]
    questions: tuple[AnswerSample, ...]
    codes: Mapping[str, tuple[type[ConnectorError], type[ConnectorError]]]
    code_body: Callable[[str], bytes]
    refusals: tuple[RefusalSample, ...]
    book: BookFacts | None
    code_status: int = 400
    skipped: frozenset[str] = frozenset()
    heartbeat: tuple[bytes, float] | None = None
    refused_topics: tuple[Topic, ...] = ()
    refused_queries: tuple[Query, ...] = ()
    refused: tuple[RefusedFrame, ...] = ()
    endings: tuple[bytes, ...] = ()
    known_noise: tuple[bytes, ...] = ()
    unknown_noise: tuple[bytes, ...] = ()
    used: tuple[tuple[Mapping[str, str], Mapping[str, int]], ...] = ()
    trading: TradingFacts | None = None
