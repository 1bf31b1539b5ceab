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

from connector.simulator.accounts import Account, AccountFill, AccountOrder, decimal_e8
from connector.simulator.margin import Clearing, Holding

__all__ = [
    "BalanceRecord",
    "BookLevels",
    "ConnectionRecord",
    "EventRecord",
    "FillRecord",
    "IncomeRecord",
    "Ledger",
    "OrderRecord",
    "PositionRecord",
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
    """A client broke a rule of the venue: kind is weight, raw, banned, connects, messages, streams, pong, idle or
    backlog, or a word of the dialect's."""

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


class EventRecord(msgspec.Struct, frozen=True):
    """One account event: when (UTC nanoseconds), what kind (`executionReport.TRADE`), its JSON, to how many subscriptions it
    was due, and how many copies went on their way."""

    at_ns: int
    kind: str
    body: bytes
    subscribers: int
    copies: int


class OrderRecord(msgspec.Struct, frozen=True):
    """One order as it stands, in whole units; times in UTC microseconds. `price` 0: none; `list_id` -1: stands alone."""

    symbol: str
    order_id: int
    client_id: str
    side: str
    type: str
    time_in_force: str
    status: str
    price: Decimal
    stop_price: Decimal
    quantity: Decimal
    filled: Decimal
    prevented: Decimal
    quote_filled: Decimal
    created_us: int
    updated_us: int
    list_id: int
    expiry_reason: str

    @property
    def open(self) -> bool:
        """Not at its end."""
        return self.status in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")


class FillRecord(msgspec.Struct, frozen=True):
    """One trade of an account, in whole units; time in UTC microseconds. `realised` and `holding` are those of contracts."""

    symbol: str
    trade_id: int
    order_id: int
    client_id: str
    price: Decimal
    quantity: Decimal
    quote: Decimal
    commission: Decimal
    commission_asset: str
    time_us: int
    is_buyer: bool
    is_maker: bool
    realised: Decimal = Decimal()
    holding: str = ""
    origin: str = ""


class PositionRecord(msgspec.Struct, frozen=True):
    """One position, in whole units: `quantity` is negative when short (contracts when inverse), `side` net, long or short.

    `realised` is all it has ever brought, `commission` and `funding` not counted in; the prices are rounded to 1e-8.
    """

    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealised: Decimal
    realised: Decimal
    isolated: bool
    isolated_wallet: Decimal
    leverage: Decimal
    liquidation_price: Decimal


class IncomeRecord(msgspec.Struct, frozen=True):
    """One change of a margin wallet: kind is realised, commission, funding, insurance, transfer or delivery."""

    number: int
    kind: str
    symbol: str
    asset: str
    amount: Decimal
    time_us: int
    trade_id: int


class BalanceRecord(msgspec.Struct, frozen=True):
    """What an account has of one asset."""

    free: Decimal
    locked: Decimal


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
        self.events: dict[str, deque[EventRecord]] = {}
        self.control: deque[tuple[int, str]] = deque(maxlen=10_000)
        self.request_count = self.connection_count = self.violation_count = 0

    def stream(self, name: str) -> StreamRecord:
        """The record of that stream, made when first asked for."""
        record = self.streams.get(name)
        if record is None:
            record = self.streams[name] = StreamRecord(name)
        return record

    def event(self, account: str, record: EventRecord) -> None:
        """Note an event of an account."""
        kept = self.events.get(account)
        if kept is None:
            kept = self.events[account] = deque(maxlen=min(self.keep, 200_000))
        kept.append(record)

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


def _order_record(order: AccountOrder) -> OrderRecord:
    tick, step = order.market.listing.tick_e8, order.market.listing.step_e8
    return OrderRecord(
        symbol=order.market.symbol,
        order_id=order.order_id,
        client_id=order.client_id,
        side=order.new.side.value,
        type=order.new.type,
        time_in_force=order.new.tif_text,
        status=order.status_text,
        price=decimal_e8((order.new.price or 0) * tick),
        stop_price=decimal_e8((order.new.stop or 0) * tick),
        quantity=decimal_e8(order.lots * step),
        filled=decimal_e8(order.filled * step),
        prevented=decimal_e8(order.prevented * step),
        quote_filled=decimal_e8(order.quote),
        created_us=order.created_us,
        updated_us=order.updated_us,
        list_id=order.list_id,
        expiry_reason=order.expiry_reason,
    )


def _fill_record(order: AccountOrder, fill: AccountFill) -> FillRecord:
    listing = order.market.listing
    return FillRecord(
        symbol=order.market.symbol,
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        client_id=order.client_id,
        price=decimal_e8(fill.price * listing.tick_e8),
        quantity=decimal_e8(fill.lots * listing.step_e8),
        quote=decimal_e8(fill.quote_e8),
        commission=decimal_e8(fill.commission_e8),
        commission_asset=fill.commission_asset,
        time_us=fill.time_us,
        is_buyer=fill.is_buyer,
        is_maker=fill.is_maker,
        realised=decimal_e8(fill.realised_e8),
        holding=fill.holding,
        origin=order.new.origin,
    )


def _position_record(held: Holding, clearing: Clearing) -> PositionRecord:
    market = held.market
    return PositionRecord(
        symbol=market.symbol,
        side=held.side,
        quantity=decimal_e8(held.lots * market.listing.step_e8),
        entry_price=decimal_e8(held.entry_e8),
        mark_price=decimal_e8(market.marks.mark_e8),
        unrealised=decimal_e8(held.unrealised_e8),
        realised=decimal_e8(held.total_e8),
        isolated=held.isolated,
        isolated_wallet=decimal_e8(held.isolated_e8),
        leverage=decimal_e8(clearing.terms(held.account, market).leverage_e8),
        liquidation_price=decimal_e8(clearing.liquidation_e8(held)),
    )


class Ledger:
    """The truth about a simulated exchange, from any thread."""

    def __init__(
        self,
        ask: Callable[[Callable[[], Any]], Any],
        records: Records,
        truth: Truth,
        account: Callable[[str], Account],
        clearing: Clearing | None = None,
    ) -> None:
        self._ask, self._records, self._truth, self._account = ask, records, truth, account
        self._clearing = clearing or Clearing({})

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

    def orders(self, who: str) -> list[OrderRecord]:
        """Every order of an account, by its name or one of its keys, in order of placement per symbol."""

        def all_orders() -> list[OrderRecord]:
            by_symbol = self._account(who).orders.values()
            return [_order_record(order) for orders in by_symbol for order in orders.values()]

        return self._on_loop(all_orders)

    def order(self, who: str, client_id: str) -> OrderRecord:
        """The newest order that was placed under that client id.

        Raises:
            LookupError: there is none.
        """

        def newest() -> OrderRecord:
            found = [
                order
                for orders in self._account(who).orders.values()
                for order in orders.values()
                if order.client_id == client_id
            ]
            if not found:
                raise LookupError(f"account {who} has no order {client_id!r}")
            return _order_record(max(found, key=lambda order: (order.created_us, order.order_id)))

        return self._on_loop(newest)

    def fills(self, who: str) -> list[FillRecord]:
        """Every trade of an account, oldest first per symbol."""

        def all_fills() -> list[FillRecord]:
            account = self._account(who)
            return [
                _fill_record(account.orders[symbol][fill.order_id], fill)
                for symbol, fills in account.fills.items()
                for fill in fills
            ]

        return self._on_loop(all_fills)

    def balances(self, who: str) -> dict[str, BalanceRecord]:
        """What an account has, by asset."""

        def all_balances() -> dict[str, BalanceRecord]:
            return {
                asset: BalanceRecord(decimal_e8(balance.free), decimal_e8(balance.locked))
                for asset, balance in self._account(who).balances.items()
            }

        return self._on_loop(all_balances)

    def positions(self, who: str, *, flat: bool = False) -> list[PositionRecord]:
        """What an account holds of contracts; with `flat` also what it once held and closed."""
        return self._on_loop(
            lambda: [
                _position_record(held, self._clearing)
                for held in self._account(who).holdings.values()
                if held.lots or flat
            ]
        )

    def incomes(self, who: str, kind: str = "") -> list[IncomeRecord]:
        """Every change of an account's margin wallets (of one kind), oldest first: profit, commission, funding ..."""
        return self._on_loop(
            lambda: [
                IncomeRecord(
                    row.number, row.kind, row.symbol, row.asset, decimal_e8(row.amount_e8), row.at_us, row.trade_id
                )
                for row in self._account(who).incomes
                if kind in ("", row.kind)
            ]
        )

    def events(self, who: str) -> list[EventRecord]:
        """The newest 200,000 events of an account, oldest first, told or not."""
        return self._on_loop(lambda: list(self._records.events.get(self._account(who).name, ())))

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
