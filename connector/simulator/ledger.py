"""Remember the truth: what the exchange did, said and was asked, for tests to judge by.

`Records` is written by the simulator on its own thread; `Ledger` is the reader's side, safe from any thread: each question is
answered by the simulator's thread between two of its steps, so an answer never shows half an event.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

__all__ = [
    "BookLevels",
    "ConnectionRecord",
    "Ledger",
    "Records",
    "RequestRecord",
    "StreamRecord",
    "TradeRecord",
    "Violation",
    "book_digest",
]

T = TypeVar("T")

BookLevels = list[tuple[Decimal, Decimal]]
"""(price, quantity) per level, best first."""


class TradeRecord(msgspec.Struct, frozen=True):
    """One trade as it happened; time in UTC microseconds."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    time_us: int
    buyer_is_maker: bool
    agg_id: int


class RequestRecord(msgspec.Struct, frozen=True):
    """One HTTP request: when it came (UTC nanoseconds), what it cost, how it was answered."""

    at_ns: int
    method: str
    path: str
    query: str
    weight: int
    used_weight: int
    status: int


class Violation(msgspec.Struct, frozen=True):
    """A client broke a rule of the venue: kind is weight, raw, banned, connects, messages, streams, pong or backlog."""

    at_ns: int
    kind: str
    detail: str


class StreamRecord:
    """What one stream said while at least one client was subscribed.

    `published` counts the events the venue had to tell, `withheld` those a fault kept back, `extra` the frames a fault
    added; `ids` are the events' own numbers (trade id, last update id, candle open time ...), oldest first.
    """

    __slots__ = ("extra", "ids", "name", "published", "withheld")

    def __init__(self, name: str) -> None:
        self.name = name
        self.published = self.withheld = self.extra = 0
        self.ids = array("q")

    def copy(self) -> StreamRecord:
        """A snapshot that no longer moves."""
        twin = StreamRecord(self.name)
        twin.published, twin.withheld, twin.extra = self.published, self.withheld, self.extra
        twin.ids = self.ids[:]
        return twin

    def __repr__(self) -> str:
        return f"<StreamRecord {self.name} published={self.published} withheld={self.withheld} extra={self.extra}>"


class ConnectionRecord(msgspec.Struct):
    """One WebSocket connection. `closed_ns` is 0 while it is open; `ended_by` says client, server or fault."""

    number: int
    opened_ns: int
    path: str
    closed_ns: int = 0
    close_code: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    pings: int = 0
    pongs: int = 0
    subscriptions: list[str] = msgspec.field(default_factory=list)


class Records:
    """The simulator's own side of the ledger; touched only on its loop thread."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.streams: dict[str, StreamRecord] = {}
        self.requests: deque[RequestRecord] = deque(maxlen=keep)
        self.violations: deque[Violation] = deque(maxlen=10_000)
        self.connections: deque[ConnectionRecord] = deque(maxlen=10_000)
        self.control: deque[tuple[int, str]] = deque(maxlen=10_000)
        self.request_count = self.connection_count = self.violation_count = 0

    def stream(self, name: str) -> StreamRecord:
        """The record of that stream, made when first asked for."""
        record = self.streams.get(name)
        if record is None:
            record = self.streams[name] = StreamRecord(name)
        return record

    def violation(self, at_ns: int, kind: str, detail: str) -> None:
        """Note a broken rule."""
        self.violation_count += 1
        self.violations.append(Violation(at_ns, kind, detail))


class Truth(Protocol):
    """What a source of data can answer for; both the live exchange and a replay do."""

    def symbols(self) -> list[str]: ...
    def book_update_id(self, symbol: str) -> int: ...
    def book(self, symbol: str, update_id: int) -> tuple[BookLevels, BookLevels]: ...
    def trades(self, symbol: str) -> list[TradeRecord]: ...
    def trade_count(self, symbol: str) -> int: ...


def book_digest(bids: BookLevels, asks: BookLevels) -> str:
    """A short fingerprint of a book: equal levels, equal text, whatever the trailing zeros."""
    digest = hashlib.sha256()
    for mark, levels in (("b", bids), ("a", asks)):
        for price, quantity in levels:
            digest.update(f"{mark}{price.normalize():f}:{quantity.normalize():f};".encode())
    return digest.hexdigest()[:16]


class Ledger:
    """The truth about a simulated exchange, from any thread."""

    def __init__(self, ask: Callable[[Callable[[], Any]], Any], records: Records, truth: Truth) -> None:
        self._ask, self._records, self._truth = ask, records, truth

    def _on_loop(self, question: Callable[[], T]) -> T:
        answer: T = self._ask(question)
        return answer

    def stream(self, name: str) -> StreamRecord:
        """A copy of one stream's record; all zeros when nobody ever subscribed."""
        return self._on_loop(lambda: self._records.streams.get(name, StreamRecord(name)).copy())

    def streams(self) -> Mapping[str, StreamRecord]:
        """Copies of all streams' records by name."""
        return self._on_loop(lambda: {name: record.copy() for name, record in self._records.streams.items()})

    def symbols(self) -> list[str]:
        """What is listed."""
        return self._on_loop(self._truth.symbols)

    def trades(self, symbol: str) -> dict[int, TradeRecord]:
        """Every remembered trade since the start, by id."""
        return {trade.trade_id: trade for trade in self._on_loop(lambda: self._truth.trades(symbol))}

    def update_id(self, symbol: str) -> int:
        """The book's newest update id."""
        return self._on_loop(lambda: self._truth.book_update_id(symbol))

    def book(self, symbol: str, update_id: int | None = None) -> tuple[BookLevels, BookLevels]:
        """(bids, asks) exactly as they stood after that update; the newest when no id is given.

        Raises:
            LookupError: the id lies ahead, or too far back to be remembered, or the symbol is not listed.
        """

        def at() -> tuple[BookLevels, BookLevels]:
            chosen = self._truth.book_update_id(symbol) if update_id is None else update_id
            return self._truth.book(symbol, chosen)

        return self._on_loop(at)

    def digest(self, symbol: str, update_id: int | None = None) -> str:
        """The fingerprint of `book(symbol, update_id)`, see `book_digest`."""
        return book_digest(*self.book(symbol, update_id))

    def requests(self) -> list[RequestRecord]:
        """Every remembered HTTP request, oldest first."""
        return self._on_loop(lambda: list(self._records.requests))

    def violations(self) -> list[Violation]:
        """Every rule a client broke, oldest first."""
        return self._on_loop(lambda: list(self._records.violations))

    def connections(self, *, open_only: bool = False) -> list[ConnectionRecord]:
        """WebSocket connections, oldest first, as copies."""
        return self._on_loop(
            lambda: [
                msgspec.structs.replace(record, subscriptions=list(record.subscriptions))
                for record in self._records.connections
                if not (open_only and record.closed_ns)
            ]
        )

    def control_frames(self) -> list[tuple[int, str]]:
        """(connection number, text) of every control frame clients sent, oldest first."""
        return self._on_loop(lambda: list(self._records.control))

    def subscriptions(self) -> dict[int, list[str]]:
        """What each open connection is subscribed to."""
        return {record.number: record.subscriptions for record in self.connections(open_only=True)}

    def summary(self) -> dict[str, Any]:
        """Counts of everything, as plain values for JSON."""

        def count() -> dict[str, Any]:
            records = self._records
            return {
                "requests": records.request_count,
                "connections": records.connection_count,
                "frames_out": sum(record.frames_out for record in records.connections),
                "bytes_out": sum(record.bytes_out for record in records.connections),
                "connections_open": sum(not record.closed_ns for record in records.connections),
                "violations": records.violation_count,
                "update_ids": {symbol: self._truth.book_update_id(symbol) for symbol in self._truth.symbols()},
                "trades": {symbol: self._truth.trade_count(symbol) for symbol in self._truth.symbols()},
                "streams": {
                    name: {"published": record.published, "withheld": record.withheld, "extra": record.extra}
                    for name, record in records.streams.items()
                },
            }

        return self._on_loop(count)
