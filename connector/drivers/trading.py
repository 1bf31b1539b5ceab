"""The private half of a driver: how to sign, order, ask about an account, and read what comes back.

As pure as the public half: functions from values to bytes and back. `Auth` is handed in with every call and is never kept; the
time of a request is handed in too (the venue's clock, made strictly rising by the caller). A venue that takes orders over a
session (a WebSocket with requests and replies) has a `SessionLanguage` beside REST, with the same meaning. Where the account's
events come by a connection of their own, that one has a `PrivateLanguage`, and the session brings replies only.

Two kinds of venues answer orders in two ways, and `OrderRules.ack_is_receipt` says which: the answer tells what became of the
order, or only that the request was received, and the private stream (or a question) tells the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from connector.domain.account import FundingPayment
from connector.domain.commands import AmendOrder, CancelOrder, Configure, PlaceOrder, PlaceOrderList
from connector.domain.credentials import Credentials
from connector.domain.facts import AccountFact, BalanceReport, ListReport, OrderReport, PositionReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill, Order
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.drivers.contract import Hosts

__all__ = [
    "Auth",
    "CancelAnswer",
    "KeyRule",
    "OrderRules",
    "PlaceAnswer",
    "PositionLanguage",
    "PrivateLanguage",
    "SessionEnding",
    "SessionEvents",
    "SessionLanguage",
    "SessionNoise",
    "SessionReply",
    "SessionRequest",
    "TradeLanguage",
]


@dataclass(frozen=True, slots=True, repr=False)
class Auth:
    """What a request is signed with.

    Attributes:
        key: the API key's public part.
        sign: payload -> signature; holds the secret in a closure.
        kind: "hmac", "ed25519" or "rsa".
    """

    key: str
    sign: Callable[[str], str]
    kind: str
    passphrase: Callable[[], str] | None = None

    def __repr__(self) -> str:
        return f"<Auth {self.kind} key=…{self.key[-4:] if len(self.key) > 8 else ''}>"


@dataclass(frozen=True, slots=True)
class OrderRules:
    """What is true of orders at this venue, as data.

    Attributes:
        client_id: a regular expression every client order id has to match in full.
        client_id_length: the longest one.
        recv_window_ms: how long after its timestamp a request may still be taken, as we send it; bounds an unknown order.
        backend_s: how much longer it may be on its way inside the venue.
        visible_after_s: how long answers may lag behind: "not found" proves nothing until window, backend and this are over.
        lists: which order lists exist.
        amends: what an amend can change, of {"quantity down", "quantity up", "price"}.
        source: document and month.
        ack_is_receipt: True where the answer to an order, cancel or amend says only that the request was received: `read_placed`,
            `read_cancelled` and `read_amended` then give no report, and the private stream or a question settles it.
        fill_ids_counted: False where trade ids of fills do not rise, so that reading goes on from a time, page by page.
        since_s: how far apart the ends of one question about fills or orders by time may be; None without such a bound.
        call_limit_codes: codes of refusals by a limit that counts calls of one kind: others may go on meanwhile, cancels too.
    """

    client_id: str
    client_id_length: int
    recv_window_ms: int
    backend_s: float
    visible_after_s: float
    lists: frozenset[str]
    amends: frozenset[str]
    source: str
    ack_is_receipt: bool = False
    fill_ids_counted: bool = True
    since_s: float | None = None
    call_limit_codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """A 2xx answer to an order: the venue has it.

    Attributes:
        report: None where `OrderRules.ack_is_receipt`.
        venue_id: the venue's id where there is no report; "" when it told none.
    """

    report: OrderReport | None
    fills: tuple[Fill, ...] = ()
    venue_id: str = ""


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """A 2xx answer to a cancel: what the venue says the order ended as.

    Attributes:
        report: None where `OrderRules.ack_is_receipt`, and where the venue answers so to cancels of this kind of order: the
            cancel was taken, and the private stream or a question tells how the order ended.
        others: orders of the same list that ended with it.
    """

    report: OrderReport | None
    others: tuple[OrderReport, ...] = ()


class TradeLanguage(Protocol):
    """Signed REST. `now_ms` is the venue's time in whole milliseconds, never used twice for one key.

    Every method that builds a request charges what failing costs. `safe` is set only on questions. `current` is what is known of
    the order a request is about, its venue id included where it is known.
    """

    @property
    def rules(self) -> OrderRules: ...

    @property
    def limits(self) -> tuple[BudgetLimit, ...]: ...

    def auth(self, credentials: Credentials) -> Auth:
        """What requests are signed with.

        Raises:
            SettingsError: the keys cannot be used here; holds nothing of them.
        """

    def place(
        self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def amend(
        self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        """One order by either id. `current`: for venues that keep several kinds of orders apart."""

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest: ...

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        """Executions from an id on (inclusive), from a time on, or of one order; the newest when all are None."""

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest: ...

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest: ...

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        """The request for the page after this one, of open orders, orders, fills or balances; None when it was the last.

        Raises:
            WireFormatError: whether there is more cannot be read.
        """

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        """How much of the order budgets is used; None when the venue has no such question."""

    # Answers. Each raises what `failure` says when the response is an error, and WireFormatError when it cannot be read.

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer: ...

    def read_list(
        self, response: HttpResponse, instrument: Instrument
    ) -> tuple[ListReport, tuple[OrderReport, ...]]: ...

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        """`client_id`: the order that was meant, for venues that answer with every order of its list."""

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        """None where `OrderRules.ack_is_receipt`, and where the venue answers that it was so already: ask for the order."""

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        """None when the venue says that it knows no such order: not proof by itself, see `OrderRules.visible_after_s`."""

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]: ...

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]: ...

    def read_balances(self, response: HttpResponse) -> BalanceReport: ...

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        """Points used by budget name, as of `used`."""

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        """As `RestLanguage.failure`; a cancel of something not open is VenueRejected with a code in `not_open_codes`."""

    @property
    def not_open_codes(self) -> frozenset[str]: ...

    @property
    def duplicate_id_texts(self) -> frozenset[str]:
        """Texts that say a client id is in use by an open order: proof that the first one was accepted."""

    def used(self, response: HttpResponse) -> Mapping[str, int]: ...


# ---------------------------------------------------------------- positions


class PositionLanguage(Protocol):
    """Signed REST about positions; requests and answers as of `TradeLanguage`, whose `failure` and `more` serve here too."""

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        """The requests whose answers together name every position of this driver's product."""

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        """`responses`: all pages of the answers to all requests. Complete."""

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """Funding paid and received from a time on."""

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]: ...

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        """Repeating it changes nothing.

        Raises:
            Unsupported: the venue has no such setting. InvalidRequest: the value, or a missing or needless symbol.
        """

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        """Returns when the venue has it so; "already so" is no error.

        Raises:
            ConnectorError: what the refusal is.
        """


# ---------------------------------------------------------------- private connections


@dataclass(frozen=True, slots=True)
class KeyRule:
    """How the address of a private connection is had: a key is asked for by REST, is part of the URL, and has to be kept alive.

    Attributes:
        open: auth -> request for the key; the account's current one where it has one.
        read: (answer) -> key; raises what its `failure` is.
        renew: (key, auth) -> request that keeps it alive; an answer that is no success ends the connection.
        renew_every_s: half of what the venue gives it, or less.
    """

    open: Callable[[Auth], HttpRequest]
    read: Callable[[HttpResponse], str]
    renew: Callable[[str, Auth], HttpRequest]
    renew_every_s: float


class SessionRequest(msgspec.Struct, frozen=True, gc=False):
    """One frame to send. The reply carries the same `request_id`, or where the venue repeats none, the same `answers`.

    Attributes:
        charges: as of an HttpRequest.
        answers: what the reply is about, e.g. "auth", where its id is not repeated; "" otherwise. At most one request of a kind
            is on its way on a connection.
    """

    frame: bytes
    request_id: str
    charges: tuple[Charge, ...]
    answers: str = ""

    def __repr__(self) -> str:  # the frame holds a signature
        return f"<SessionRequest {self.request_id}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # a struct's own would show it in tracebacks of rich
        return [("request_id", self.request_id)]


@dataclass(frozen=True, slots=True)
class SessionReply:
    """A reply, in the form of an HTTP answer so that REST's readers and error table serve it.

    Attributes:
        request_id: None when the venue did not say which request it answers.
        answers: with `request_id` None: the kind of request it answers; "" too, and it concerns the whole session.
    """

    request_id: str | None
    response: HttpResponse
    answers: str = ""


@dataclass(frozen=True, slots=True)
class SessionEvents:
    """Facts of the private stream, in the venue's order."""

    facts: tuple[AccountFact, ...]


@dataclass(frozen=True, slots=True)
class SessionEnding:
    """The venue announced that it will close this session: open a successor now."""

    reason: str


@dataclass(frozen=True, slots=True)
class SessionNoise:
    """A frame of no use, or of a kind this version does not know."""

    kind: str
    known: bool


class PrivateLanguage(Protocol):
    """A WebSocket that brings what happens to the account; see `SessionLanguage` for one that takes orders too."""

    @property
    def max_age_s(self) -> float | None: ...

    @property
    def rollover_before_s(self) -> float: ...

    @property
    def key(self) -> KeyRule | None:
        """None where the address is the same for everybody."""

    def url(self, hosts: Hosts, key: str = "") -> str: ...

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        """What to send on a new connection, each once the one before was answered well: login, subscriptions.

        Each is (request id, auth, now_ms) -> request. Empty where connecting is enough.
        """

    def probe(self, request_id: str) -> SessionRequest | None:
        """A cheap request whose reply proves that the connection lives, sent every 15 s; None: only pings can."""

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        """Never raises: what cannot be read is `SessionNoise(kind, known=False)`; an unreadable order event says so in `kind`."""


class SessionLanguage(PrivateLanguage, Protocol):
    """Orders by request and reply over one WebSocket; the account's events too, where `Driver.events` is None.

    A method that builds a request raises Unsupported for what this connection does not take: that goes by REST, even while the
    session is up.
    """

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest: ...

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest: ...

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest: ...

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest: ...
