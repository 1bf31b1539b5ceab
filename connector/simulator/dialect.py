"""What a dialect is to the server: how one exchange answers a request, names its streams and takes a control frame.

A dialect speaks; it owns no socket, thread or task. It is called on the simulator's loop thread only.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from connector.matching import Outcome
from connector.simulator.accounts import Account
from connector.simulator.desk import Event
from connector.simulator.history import Trade
from connector.simulator.ledger import Truth
from connector.simulator.market import Market

if TYPE_CHECKING:
    from connector.simulator.exchange import Exchange
    from connector.simulator.hub import Connection

__all__ = ["Answer", "Dialect", "Request", "Restarting", "load_dialect"]


class Request(msgspec.Struct, frozen=True):
    """One HTTP request: path without query, query and body as sent, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    address: str
    body: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What goes back, and what the request cost by the venue's rules."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    weight: int = 0
    used_weight: int = 0
    content_type: str = "application/json"


class Source(Truth, Protocol):
    """Where a dialect's data comes from: the live market, or a recording."""

    def wake(self, now_us: int) -> None:
        """Before the first client: put everything in place."""

    def advance(self, elapsed_s: float) -> None:
        """Do and publish what fell due in that time."""

    def step(self, count: int) -> int:
        """Do and publish the next events, whether due or not; say how many there were."""

    def resume(self) -> None:
        """Somebody asked for the flow to go on; starts a replay that waits for it."""

    def finished(self) -> bool:
        """Nothing will ever come again by itself."""

    def status(self) -> str:
        """A few words for a status line."""

    def tick(self, now_us: int, force: bool = False) -> None:
        """Publish what is sent on a timer; `force` publishes it now."""


class Dialect(Protocol):
    """One exchange's protocol. A module may also have `listing(symbol)`, see `listing_of`, and `FIGURES`, see `figures_of`."""

    duplicate_code: int
    """What it answers when a client order id is in use; with HTTP status 400, unless it has a `duplicate_status`."""

    def __init__(self, exchange: Exchange) -> None: ...

    def parse_stream(self, name: str) -> Any:
        """What a stream's name means, or None."""

    def delta_streams(self, symbol: str) -> list[str]:
        """Names of the streams that carry book changes of that symbol."""

    def answer(self, request: Request) -> Answer:
        """Answer one request, limits included."""

    def call_name(self, request: Request) -> str:
        """What kind of call a request is, the same word on every way in; "" for one that needs no account."""

    def error(self, status: int, code: int = 0) -> bytes:
        """The body such a venue sends with that HTTP status, or with that code of its own."""

    def tell(self, account: Account, event: Event) -> None:
        """Tell whoever listens to an account what happened to it."""

    def end_streams(self, account: Account) -> int:
        """End every subscription to an account's events, as the venue does. Returns how many."""

    def refuse_connect(self, address: str) -> Answer | None:
        """Count a connection attempt; an answer instead of an upgrade when it is one too many."""

    def socket_path(self, path: str) -> bool:
        """Whether that path is upgraded to a WebSocket."""

    def open(self, connection: Connection, path: str, query: str) -> None:
        """A client is connected: subscribe what its address names."""

    def text(self, connection: Connection, text: str) -> None:
        """A client sent a control frame."""

    def shutdown_notice(self, connection: Connection) -> bytes:
        """The frame text that announces the end of a connection; b"" where the venue announces nothing."""

    def rejection(self, text: str, code: int, message: str) -> bytes:
        """A control error for the frame `text`."""

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        """Tell real-time streams what one order did."""

    def publish_timed(self, now_us: int, force: bool) -> None:
        """Tell streams on a timer what is due."""

    def replay(self) -> Source:
        """The source that plays the recording of the settings in this dialect."""


@runtime_checkable
class Restarting(Protocol):
    """A dialect whose venue lets its clients see that a service has started anew."""

    def restart_books(self, symbols: list[str]) -> int:
        """Begin the books of these symbols again under their first number. Returns how many topics were told."""


def load_dialect(name: str) -> type[Dialect]:
    """The `Dialect` class of `connector.simulator.dialects.<name>`.

    Raises:
        ValueError: there is no such module.
    """
    path = f"connector.simulator.dialects.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as missing:
        if missing.name != path:
            raise
        raise ValueError(f"there is no dialect {name!r}: expected a module {path}") from missing
    dialect: type[Dialect] = module.Dialect
    return dialect
