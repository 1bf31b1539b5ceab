"""The private half of a driver: how to sign, order, ask about an account, and read what comes back.

As pure as the public half: functions from values to bytes and back. `Auth` is handed in with every call and is never kept; the
time of a request is handed in too (the venue's clock, made strictly rising by the caller). A venue that takes orders over a
session (a WebSocket with requests and replies) has a `SessionLanguage` beside REST, with the same meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.credentials import Credentials
from connector.domain.facts import AccountFact, BalanceReport, ListReport, OrderReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill
from connector.domain.symbols import Symbol
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.errors import ConnectorError

__all__ = [
    "Auth",
    "CancelAnswer",
    "OrderRules",
    "PlaceAnswer",
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
        amends: what an amend can change, e.g. {"quantity down"}.
        source: document and month.
    """

    client_id: str
    client_id_length: int
    recv_window_ms: int
    backend_s: float
    visible_after_s: float
    lists: frozenset[str]
    amends: frozenset[str]
    source: str


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """A 2xx answer to an order: the venue has it."""

    report: OrderReport
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """A 2xx answer to a cancel: what the venue says the order ended as.

    Attributes:
        others: orders of the same list that ended with it.
    """

    report: OrderReport
    others: tuple[OrderReport, ...] = ()


class TradeLanguage(Protocol):
    """Signed REST. `now_ms` is the venue's time in whole milliseconds, never used twice for one key.

    Every method that builds a request charges what failing costs. `safe` is set only on questions.
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
        self, order: CancelOrder, venue_id: str | None, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def amend(
        self, order: AmendOrder, venue_id: str | None, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

    def order(
        self, client_id: str | None, venue_id: str | None, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest: ...

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

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport: ...

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


# ---------------------------------------------------------------- session (orders and account over one WebSocket)


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """One frame to send. The reply carries the same `request_id`.

    Attributes:
        charges: as of an HttpRequest.
    """

    frame: bytes
    request_id: str
    charges: tuple[Charge, ...]

    def __repr__(self) -> str:  # the frame holds a signature
        return f"<SessionRequest {self.request_id}>"


@dataclass(frozen=True, slots=True)
class SessionReply:
    """A reply, in the form of an HTTP answer so that REST's readers and error table serve it.

    Attributes:
        request_id: None when the venue did not say which request it answers: it then concerns the whole session.
    """

    request_id: str | None
    response: HttpResponse


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


class SessionLanguage(Protocol):
    """Requests, replies and account events over one WebSocket."""

    @property
    def max_age_s(self) -> float | None: ...

    @property
    def rollover_before_s(self) -> float: ...

    def url(self, session_root: str) -> str: ...

    def subscribe(self, request_id: str, auth: Auth, now_ms: int) -> SessionRequest:
        """Ask for the account's events; signed anew on every connection."""

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest: ...

    def cancel(
        self, request_id: str, order: CancelOrder, venue_id: str | None, instrument: Instrument, auth: Auth, now_ms: int
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
        self, request_id: str, order: AmendOrder, venue_id: str | None, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest: ...

    def probe(self, request_id: str) -> SessionRequest:
        """A cheap request whose reply proves that the session lives."""

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        """Never raises: what cannot be read is `SessionNoise(kind, known=False)`; an unreadable order event says so in `kind`."""

    def symbol_of(self, frame: bytes, instruments: InstrumentTable | None = None) -> Symbol | None:
        """For a report that could not be read: the symbol to reconcile, if it can be told."""
