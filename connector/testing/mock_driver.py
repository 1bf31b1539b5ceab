"""An invented venue called "mock", for tests of engines: spot and linear contracts, everything the contract knows, no real money.

A complete driver of an exchange that does not exist, small enough to be read in one sitting. It passes the same suite as the
real ones (`driver_suite`). `mock_venue` plays its far side in memory. Its names, codes and limits are made up here, which is why
their source is this file. Like every driver it opens nothing, reads no clock and keeps nothing.

Wire: JSON objects everywhere. REST answers are JSON with status 200, or `{"code":"E…","text":"…"}` with another. Stream frames
are `{"topic":"trades.BTC-USDT","data":…}`; a book's stream begins with a snapshot. The session takes orders and brings events.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType

from connector.books.rule import BookRule, Continuity
from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    Configure,
    PlaceOrder,
    PlaceOrderList,
    SelfTrade,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
)
from connector.domain.credentials import Credentials
from connector.domain.facts import (
    AccountFact,
    BalanceChange,
    BalanceReport,
    ListReport,
    OrderReport,
    PositionReport,
    StreamEnded,
)
from connector.domain.instruments import (
    AmountFilter,
    Filter,
    Instrument,
    InstrumentStatus,
    InstrumentTable,
    NotionalFilter,
    OtherFilter,
    PriceFilter,
)
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    FundingRate,
    Level,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    OrderBook,
    Price,
    Side,
    Ticker,
    Trade,
)
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.topics import Topic, TopicKind
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.drivers.contract import (
    Ack,
    Capability,
    ConnectionEnding,
    Control,
    Driver,
    Environment,
    Heartbeat,
    Hosts,
    Noise,
    Refusal,
    SkippedInstrument,
    StreamLimits,
    TopicReader,
    VenueInfo,
)
from connector.drivers.trading import (
    Auth,
    CancelAnswer,
    KeyRule,
    OrderRules,
    PlaceAnswer,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    ConnectorError,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)

__all__ = ["DRIVERS", "MOCK", "VENUE"]

VENUE = "mock"
SOURCE = "invented for connector.testing.mock_driver, 2026-11"

# ---------------------------------------------------------------- facts

HOSTS = MappingProxyType(
    {Environment.TESTNET: Hosts("https://mock.invalid", "wss://stream.mock.invalid", "wss://session.mock.invalid")}
    | {
        Environment.LIVE: Hosts(
            "https://live.mock.invalid", "wss://stream.live.mock.invalid", "wss://session.live.mock.invalid"
        )
    }
)
REQUESTS, ORDERS = "REQUESTS", "ORDERS"
LIMITS = (BudgetLimit(REQUESTS, 1_200, 60.0, False, SOURCE), BudgetLimit(ORDERS, 100, 10.0, False, SOURCE))
STREAM_LIMITS = StreamLimits(
    topics_per_connection=100,
    names_per_frame=50,
    frame_spacing_s=0.01,
    connects=60,
    connects_window_s=60.0,
    max_age_s=86_400.0,
    rollover_before_s=600.0,
    server_ping_s=None,
    source=SOURCE,
    heartbeat=Heartbeat(20.0, b'{"do":"ping"}'),
)
INTERVALS = ("1m", "5m", "1h", "1d")
DEPTHS = (5, 20)
PAGE = 500
DEPTH_PAGE = 200


class Reaction(enum.Enum):
    """What a code means for the caller."""

    UNKNOWN = "a command may have happened; a question is asked again later"
    RATE_LIMITED = "not done; wait, then send again"
    CLOCK = "not done; measure the clock again, sign anew"
    CREDENTIALS = "not done; an operator has to act"
    REJECTED = "not done; the same request will be refused again"


NO_SUCH_ORDER, NOT_OPEN, ID_IN_USE = "E410", "E411", "E412"
CODES = MappingProxyType(
    {
        "E100": Reaction.UNKNOWN,
        "E200": Reaction.RATE_LIMITED,
        "E300": Reaction.CLOCK,
        "E400": Reaction.REJECTED,
        "E401": Reaction.CREDENTIALS,
        "E404": Reaction.REJECTED,
        NO_SUCH_ORDER: Reaction.REJECTED,
        NOT_OPEN: Reaction.REJECTED,
        ID_IN_USE: Reaction.REJECTED,
        "E413": Reaction.REJECTED,
    }
)
ID_IN_USE_TEXT = "client id is in use"

# ---------------------------------------------------------------- numbers and bytes

_UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
_T = TypeVar("_T")
_MOST_PLACES = 24  # no price or quantity is further from 1 than that many powers of ten

Ms = Annotated[int, Meta(ge=0, le=1 << 43)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


def _amount(kind: str, value: Decimal, *, zero: bool = True, sign: bool = False) -> Decimal:
    """A number that can be true, exactly as it was written.

    Raises:
        WireFormatError: it is none, out of range, negative, or zero where there is nothing to count.
    """
    if not value.is_finite() or (value and abs(value.adjusted()) > _MOST_PLACES):
        raise WireFormatError(kind, f"{value!s:.40} is no amount")
    if (value.is_signed() and value and not sign) or (not value and not zero):
        raise WireFormatError(kind, f"{value!s:.40} is not above zero")
    return value


def _positive(kind: str, *values: Decimal) -> None:
    for value in values:
        _amount(kind, value, zero=False)


def _levels(kind: str, levels: Sequence[Level], *, removals: bool) -> tuple[Level, ...]:
    for price, quantity in levels:
        _amount(kind, price, zero=False)
        _amount(kind, quantity, zero=removals)
    if len({price for price, _ in levels}) < len(levels):
        raise WireFormatError(kind, "a price stands there twice")
    return tuple(levels)


def _ladder(kind: str, levels: Sequence[Level], *, falling: bool) -> tuple[Level, ...]:
    found = _levels(kind, levels, removals=False)
    prices = [price for price, _ in found]
    if prices != sorted(prices, reverse=falling):
        raise WireFormatError(kind, "levels are not best first")
    return found


def _decode(kind: str, decoder: msgspec.json.Decoder[_T], raw: bytes | msgspec.Raw) -> _T:
    try:
        return decoder.decode(raw)
    except _UNREADABLE as problem:
        raise WireFormatError(kind, str(problem) or type(problem).__name__, bytes(raw)) from problem


def _of(kind: type[_T]) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(kind)


def _plain(text: str) -> str:
    return "".join(sign for sign in text[:40] if sign.isascii() and (sign.isalnum() or sign in "_-."))


def _fixed(name: str, value: Decimal) -> str:
    """A positive number as plain digits."""
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > _MOST_PLACES:
        raise InvalidRequest(f"{name} is {value!s:.40}. {VENUE} takes a positive number within 24 powers of ten.")
    return format(value, "f")


# ---------------------------------------------------------------- symbols and instruments

_PERPETUAL = "PERP"


def wire_name(symbol: Symbol) -> str:
    """BTC-USDT on spot, BTC-USDT-PERP and BTC-USDT-261225 for contracts.

    Raises:
        Unsupported: inverse contracts, and contracts settled in a third asset.
    """
    if symbol.settle is None:
        return f"{symbol.base}-{symbol.quote}"
    if symbol.settle != symbol.quote:
        raise Unsupported(f"{symbol}: {VENUE} has spot, and contracts that settle in their quote asset.")
    return f"{symbol.base}-{symbol.quote}-{symbol.expiry or _PERPETUAL}"


def _symbol(name: str) -> Symbol:
    base, quote_asset, *dated = name.split("-")
    if not dated:
        return Symbol(base, quote_asset)
    if len(dated) > 1 or not base or not quote_asset:
        raise ValueError(f"{name!r:.60} is no name of an instrument")
    return Symbol(base, quote_asset, quote_asset, None if dated[0] == _PERPETUAL else dated[0])


class _FilterRow(msgspec.Struct):
    kind: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    step: Decimal | None = None


class _InstrumentRow(msgspec.Struct):
    name: str
    status: str
    decimals: tuple[Count, Count]
    types: tuple[str, ...]
    filters: tuple[msgspec.Raw, ...]


class _LimitRow(msgspec.Struct):
    name: str
    points: Annotated[int, Meta(gt=0)]
    window_s: Annotated[int, Meta(gt=0)]


class _InstrumentsAnswer(msgspec.Struct):
    instruments: list[msgspec.Raw]
    limits: list[msgspec.Raw]
    time: Ms
    next: Count | None


class _Named(msgspec.Struct):
    name: Any = ""


_FILTER, _INSTRUMENT, _LIMIT, _NAMED = _of(_FilterRow), _of(_InstrumentRow), _of(_LimitRow), _of(_Named)
_INSTRUMENTS = _of(_InstrumentsAnswer)
_STATUSES = {
    "trading": InstrumentStatus.TRADING,
    "halted": InstrumentStatus.HALTED,
    "closing": InstrumentStatus.CANCEL_ONLY,
}


def _filter(raw: msgspec.Raw) -> Filter:
    row = _FILTER.decode(raw)
    for number in (row.minimum, row.maximum, row.step):
        if number is not None:
            _amount("filter", number)
    match row.kind:
        case "price":
            return PriceFilter(row.minimum, row.maximum, row.step)
        case "quantity":
            return AmountFilter(row.minimum, row.maximum, row.step)
        case "notional":
            return NotionalFilter(row.minimum, row.maximum, True, True)
    return OtherFilter(row.kind, bytes(raw).decode())


def _instrument(raw: msgspec.Raw) -> Instrument:
    row = _INSTRUMENT.decode(raw)
    symbol = _symbol(row.name)
    if wire_name(symbol) != row.name:
        raise ValueError(f"{row.name!r:.60} does not go back to its symbol")
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        venue_name=row.name,
        status=_STATUSES.get(row.status, InstrumentStatus.OTHER),
        status_text=row.status,
        base_decimals=row.decimals[0],
        quote_decimals=row.decimals[1],
        order_types=row.types,
        filters=tuple(map(_filter, row.filters)),
    )


def _read_instruments(query: Query, response: HttpResponse, table: InstrumentTable | None) -> VenueInfo:
    """Each entry by itself: one that cannot be read is left out and told, the others are not touched."""
    answer = _decode("instruments", _INSTRUMENTS, response.body)
    found: list[Instrument] = []
    limits: list[BudgetLimit] = []
    skipped: list[SkippedInstrument] = []
    for raw in answer.instruments:
        try:
            found.append(_instrument(raw))
        except (*_UNREADABLE, ConnectorError) as problem:
            skipped.append(SkippedInstrument(_name_of(raw), str(problem)[:200]))
    for raw in answer.limits:
        try:
            row = _LIMIT.decode(raw)
            limits.append(BudgetLimit(row.name, row.points, float(row.window_s), False, f"told by {VENUE}"))
        except _UNREADABLE as problem:
            skipped.append(SkippedInstrument(_name_of(raw), str(problem)[:200]))
    return VenueInfo(InstrumentTable(VENUE, found), tuple(limits), answer.time * NS_PER_MS, tuple(skipped))


def _name_of(raw: msgspec.Raw) -> str:
    try:
        name = _NAMED.decode(raw).name
    except _UNREADABLE:
        return ""
    return name[:60] if isinstance(name, str) else ""


# ---------------------------------------------------------------- market rows, the same on streams and over REST


class _TradeRow(msgspec.Struct):
    id: Count
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> Trade:
        _positive("trade", self.price, self.quantity)
        at_ns = self.time * NS_PER_MS
        return Trade(VENUE, symbol, at_ns, received_ns, self.id, self.price, self.quantity, Side(self.side))


class _AggRow(msgspec.Struct):
    id: Count
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
    first: Count
    last: Count
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> AggTrade:
        _positive("aggregate trade", self.price, self.quantity)
        if self.last < self.first:
            raise WireFormatError("aggregate trade", f"trades {self.first} to {self.last} run backwards")
        at_ns, side = self.time * NS_PER_MS, Side(self.side)
        return AggTrade(
            VENUE, symbol, at_ns, received_ns, self.id, self.price, self.quantity, side, self.first, self.last
        )


class _CandleRow(msgspec.Struct):
    interval: str
    start: Ms
    end: Ms
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    closed: bool
    time: Ms

    def event(self, symbol: Symbol, received_ns: int, interval: str) -> Candle:
        if self.interval != interval:
            raise WireFormatError("candle", f"interval {self.interval!r:.20}, expected {interval}")
        _positive("candle", self.open, self.high, self.low, self.close)
        _amount("candle", self.volume)
        return Candle(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            interval,
            self.start * NS_PER_MS,
            self.end * NS_PER_MS,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.closed,
        )


class _TickerRow(msgspec.Struct):
    symbol: str
    last: Decimal
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    quote_volume: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> Ticker:
        _positive("ticker", self.last, self.bid, self.ask, self.open, self.high, self.low)
        for number in (self.bid_quantity, self.ask_quantity, self.volume, self.quote_volume):
            _amount("ticker", number)
        return Ticker(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            self.last,
            self.bid,
            self.bid_quantity,
            self.ask,
            self.ask_quantity,
            self.open,
            self.high,
            self.low,
            self.volume,
            self.quote_volume,
        )


class _BestRow(msgspec.Struct):
    symbol: str
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    id: Count

    def event(self, symbol: Symbol, received_ns: int) -> BookTicker:
        _positive("best prices", self.bid, self.bid_quantity, self.ask, self.ask_quantity)
        best = (self.bid, self.bid_quantity, self.ask, self.ask_quantity)
        return BookTicker(VENUE, symbol, None, received_ns, *best, self.id)


class _PriceRow(msgspec.Struct):
    symbol: str
    last: Decimal

    def event(self, symbol: Symbol, received_ns: int) -> Price:
        _positive("price", self.last)
        return Price(VENUE, symbol, None, received_ns, self.last)


class _MarkRow(msgspec.Struct):
    symbol: str
    mark: Decimal
    index: Decimal
    rate: Decimal
    next: Ms
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> MarkPrice:
        _positive("mark price", self.mark, self.index)
        _amount("mark price", self.rate, sign=True)
        at_ns, next_ns = self.time * NS_PER_MS, self.next * NS_PER_MS
        return MarkPrice(VENUE, symbol, at_ns, received_ns, self.mark, self.index, self.rate, next_ns)


class _LiquidationRow(msgspec.Struct):
    side: Literal["buy", "sell"]
    price: Decimal
    quantity: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> Liquidation:
        _positive("liquidation", self.price, self.quantity)
        at_ns = self.time * NS_PER_MS
        return Liquidation(VENUE, symbol, at_ns, received_ns, Side(self.side), self.price, self.quantity)


class _DepthRow(msgspec.Struct):
    id: Count
    bids: list[Level]
    asks: list[Level]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> OrderBook:
        bids, asks = _ladder("depth", self.bids, falling=True), _ladder("depth", self.asks, falling=False)
        return OrderBook(VENUE, symbol, self.time * NS_PER_MS, received_ns, self.id, bids, asks)


class _DeltaRow(msgspec.Struct):
    first: Count
    last: Count
    bids: list[Level]
    asks: list[Level]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> BookDelta:
        if self.last < self.first:
            raise WireFormatError("book", f"updates {self.first} to {self.last} run backwards")
        bids, asks = _levels("book", self.bids, removals=True), _levels("book", self.asks, removals=True)
        return BookDelta(VENUE, symbol, self.time * NS_PER_MS, received_ns, self.first, self.last, bids, asks)


class _FundingRow(msgspec.Struct):
    rate: Decimal
    mark: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> FundingRate:
        _positive("funding rate", self.mark)
        rate = _amount("funding rate", self.rate, sign=True)
        return FundingRate(VENUE, symbol, self.time * NS_PER_MS, received_ns, rate, self.mark)


class _InterestRow(msgspec.Struct):
    quantity: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> OpenInterest:
        return OpenInterest(VENUE, symbol, self.time * NS_PER_MS, received_ns, _amount("open interest", self.quantity))


# ---------------------------------------------------------------- refusals


class _Refused(msgspec.Struct):
    code: str
    text: str = ""


_REFUSED = _of(_Refused)


def reaction_error(
    code: str, text: str, *, write: bool, retry_after_s: float | None = None, status: int = 0
) -> ConnectorError:
    """The error of a code; one that is not in the table is unknown for a command and an error for a question."""
    shown = f"{VENUE} answered {_plain(code)}: {text[:200]}"
    match CODES.get(code, Reaction.UNKNOWN):
        case Reaction.RATE_LIMITED:
            return RateLimited(shown, retry_after_s=retry_after_s, code=code)
        case Reaction.CLOCK:
            return ClockRejected(shown, code=code)
        case Reaction.CREDENTIALS:
            return AuthenticationFailed(shown, code=code)
        case Reaction.REJECTED:
            return VenueRejected(VENUE, code, text[:200], status=status or None)
    return OutcomeUnknown(shown) if write else VenueUnavailable(shown, code=code)


def _failure(response: HttpResponse, *, write: bool) -> ConnectorError | None:
    if response.status == 200:
        return None
    wait_s = _seconds(response.headers.get("retry-after", ""))
    try:
        said = _REFUSED.decode(response.body)
    except _UNREADABLE:
        said = None
    if response.status >= 500 or said is None:
        if response.status == 429:
            return RateLimited(f"{VENUE} answered with status 429", retry_after_s=wait_s)
        shown = f"{VENUE} answered with status {response.status} and no reason"
        return OutcomeUnknown(shown) if write else VenueUnavailable(shown)
    return reaction_error(said.code, said.text, write=write, retry_after_s=wait_s, status=response.status)


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _checked(response: HttpResponse, *, write: bool) -> None:
    error = _failure(response, write=write)
    if error is not None:
        raise error


def _used(response: HttpResponse) -> Mapping[str, int]:
    told = {name: response.headers.get(f"mock-used-{name.lower()}", "") for name in (REQUESTS, ORDERS)}
    return {name: int(text) for name, text in told.items() if re.fullmatch(r"[0-9]{1,9}", text)}


# ---------------------------------------------------------------- questions

_Read = Callable[[Any, HttpResponse, InstrumentTable | None], Any]


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    path: str
    params: Callable[[Any], list[tuple[str, str]]]
    read: _Read


def _limit(value: int | None, most: int = PAGE) -> tuple[str, str]:
    if value is None:
        return "limit", str(most)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidRequest(f"limit is {value!r:.20}. {VENUE} gives 1 to {most} rows.")
    return "limit", str(value)


def _span(query: Any) -> list[tuple[str, str]]:
    """Both ends inclusive, in milliseconds: the start is rounded up and the end down."""
    if query.start_ns is not None and query.end_ns is not None and query.start_ns > query.end_ns:
        raise InvalidRequest(f"the range ends before it starts: start_ns {query.start_ns}, end_ns {query.end_ns}.")
    ends = [] if query.start_ns is None else [("start", str(-(-query.start_ns // NS_PER_MS)))]
    return ends if query.end_ns is None else [*ends, ("end", str(query.end_ns // NS_PER_MS))]


def _one(query: Any) -> list[tuple[str, str]]:
    return [("symbol", wire_name(query.symbol))]


def _contract(query: Any) -> list[tuple[str, str]]:
    _need_contract(query.symbol)
    return _one(query)


def _need_contract(symbol: Symbol) -> None:
    if symbol.product is Product.SPOT:
        raise InvalidRequest(f"{symbol} is spot; only contracts have marks, funding and liquidations.")


def _many(query: Any) -> list[tuple[str, str]]:
    names = ",".join(wire_name(symbol) for symbol in dict.fromkeys(query.symbols))
    return [("symbols", names)] if names else []


def _ask_candles(query: CandlesQuery) -> list[tuple[str, str]]:
    if query.interval not in INTERVALS:
        raise InvalidRequest(f"interval {query.interval!r:.20} is none of {', '.join(INTERVALS)}.")
    return [*_one(query), ("interval", query.interval), *_span(query), _limit(query.limit)]


def _ask_history(query: HistoricalTradesQuery) -> list[tuple[str, str]]:
    start = [] if query.from_id is None else [("from", str(query.from_id))]
    return [*_one(query), *start, _limit(query.limit)]


def _ask_agg(query: AggTradesQuery) -> list[tuple[str, str]]:
    span = _span(query)
    if span and query.from_id is not None:
        raise InvalidRequest("aggregate trades are asked for by from_id or by time, not by both.")
    start = [] if query.from_id is None else [("from", str(query.from_id))]
    return [*_one(query), *start, *span, _limit(query.limit)]


def _rows(
    kind: str, row: type[Any], *, key: str | None = None, extra: Callable[[Any], tuple[Any, ...]] | None = None
) -> _Read:
    """Reads a list of rows of one symbol; `key` has to rise from row to row."""
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        rows = _decode(kind, decoder, response.body)
        for before, after in pairwise(rows):
            if key is not None and getattr(after, key) <= getattr(before, key):
                raise WireFormatError(kind, "rows are not oldest first", response.body)
        more = extra(query) if extra is not None else ()
        return tuple(each.event(query.symbol, response.received_ns, *more) for each in rows)

    return read


def _listed(kind: str, row: type[Any]) -> _Read:
    """Reads a list of rows of many symbols, in the order asked. What is not in the table is left out."""
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        found: dict[Symbol, Any] = {}
        for each in _decode(kind, decoder, response.body):
            instrument = table.by_name(each.symbol) if table is not None else None
            if instrument is not None:
                found[instrument.symbol] = each.event(instrument.symbol, response.received_ns)
        missing = [str(symbol) for symbol in query.symbols if symbol not in found]
        if missing:
            raise WireFormatError(kind, f"nothing is said about {', '.join(missing)}", response.body)
        return tuple(found[symbol] for symbol in query.symbols or found)

    return read


def _single(kind: str, row: type[Any]) -> _Read:
    decoder = _of(row)

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        return _decode(kind, decoder, response.body).event(query.symbol, response.received_ns)

    return read


class _TimeAnswer(msgspec.Struct):
    time: Ms


_TIME = _of(_TimeAnswer)


def _read_time(query: Query, response: HttpResponse, table: InstrumentTable | None) -> int:
    return _decode("server time", _TIME, response.body).time * NS_PER_MS


QUESTIONS: Mapping[type[Any], _Question] = MappingProxyType(
    {
        ServerTimeQuery: _Question("server time", "/time", lambda query: [], _read_time),
        InstrumentsQuery: _Question("instruments", "/instruments", lambda query: [], _read_instruments),
        CandlesQuery: _Question(
            "candles",
            "/candles",
            _ask_candles,
            _rows("candles", _CandleRow, key="start", extra=lambda query: (query.interval,)),
        ),
        RecentTradesQuery: _Question(
            "recent trades",
            "/trades",
            lambda query: [*_one(query), _limit(query.limit)],
            _rows("trades", _TradeRow, key="id"),
        ),
        HistoricalTradesQuery: _Question(
            "historical trades", "/trades", _ask_history, _rows("trades", _TradeRow, key="id")
        ),
        AggTradesQuery: _Question(
            "aggregate trades", "/agg-trades", _ask_agg, _rows("aggregate trades", _AggRow, key="id")
        ),
        DepthQuery: _Question(
            "depth",
            "/depth",
            lambda query: [*_one(query), _limit(query.limit, DEPTH_PAGE)],
            _single("depth", _DepthRow),
        ),
        TickersQuery: _Question("tickers", "/tickers", _many, _listed("tickers", _TickerRow)),
        BookTickersQuery: _Question("book tickers", "/best", _many, _listed("best prices", _BestRow)),
        PricesQuery: _Question("prices", "/prices", _many, _listed("prices", _PriceRow)),
        MarkPricesQuery: _Question("mark prices", "/marks", _many, _listed("mark prices", _MarkRow)),
        FundingRatesQuery: _Question(
            "funding rates",
            "/funding-rates",
            lambda query: [*_contract(query), *_span(query), _limit(query.limit)],
            _rows("funding rates", _FundingRow, key="time"),
        ),
        OpenInterestQuery: _Question(
            "open interest", "/open-interest", _contract, _single("open interest", _InterestRow)
        ),
    }
)


class _Rest:
    """RestLanguage of the mock; see `drivers.contract`. Holds nothing."""

    def request(self, query: Query) -> HttpRequest:
        question = self._question(query)
        params = urlencode(question.params(query), quote_via=quote, safe="")
        return HttpRequest("GET", question.path, params, safe=True, charges=(Charge(REQUESTS, 1),))

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        question = self._question(query)
        _checked(response, write=False)
        return question.read(query, response, instruments)

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return _failure(response, write=write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        if not isinstance(query, InstrumentsQuery) or response.status != 200:
            return None
        try:
            page = _INSTRUMENTS.decode(response.body).next
        except _UNREADABLE:
            return None
        return (
            None
            if page is None
            else HttpRequest("GET", "/instruments", f"page={page}", safe=True, charges=(Charge(REQUESTS, 1),))
        )

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        instruments = [instrument for part in parts for instrument in part.instruments.values()]
        skipped = tuple(entry for part in parts for entry in part.skipped)
        return VenueInfo(InstrumentTable(VENUE, instruments), parts[0].limits, parts[-1].server_time_ns, skipped)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return _used(response)

    def _question(self, query: Query) -> _Question:
        question = QUESTIONS.get(type(query))
        if question is None:
            raise Unsupported(f"{VENUE} cannot be asked {type(query).__name__}.")
        return question


# ---------------------------------------------------------------- streams

_PREFIX = b'{"topic":"'
_KINDS = {
    TopicKind.TRADES: "trades",
    TopicKind.AGG_TRADES: "agg",
    TopicKind.CANDLES: "candles",
    TopicKind.TICKER: "ticker",
    TopicKind.BOOK_TICKER: "best",
    TopicKind.PARTIAL_BOOK: "top",
    TopicKind.BOOK: "book",
    TopicKind.MARK_PRICE: "mark",
    TopicKind.LIQUIDATIONS: "liquidations",
}


class _Trades(msgspec.Struct):
    topic: str
    data: list[_TradeRow]


class _Book(msgspec.Struct):
    topic: str
    snapshot: _DepthRow | UnsetType = UNSET
    delta: _DeltaRow | UnsetType = UNSET


def _frame_of(row: type[Any]) -> msgspec.json.Decoder[Any]:
    """A frame with one row of this kind."""
    return _of(msgspec.defstruct("Frame", [("topic", str), ("data", row)]))


_FRAMES: Mapping[TopicKind, msgspec.json.Decoder[Any]] = {
    TopicKind.TRADES: _of(_Trades),
    TopicKind.AGG_TRADES: _frame_of(_AggRow),
    TopicKind.CANDLES: _frame_of(_CandleRow),
    TopicKind.TICKER: _frame_of(_TickerRow),
    TopicKind.BOOK_TICKER: _frame_of(_BestRow),
    TopicKind.PARTIAL_BOOK: _frame_of(_DepthRow),
    TopicKind.BOOK: _of(_Book),
    TopicKind.MARK_PRICE: _frame_of(_MarkRow),
    TopicKind.LIQUIDATIONS: _frame_of(_LiquidationRow),
}


class _ControlFrame(msgspec.Struct):
    topic: str = ""
    done: Count | UnsetType = UNSET
    refused: Count | UnsetType | None = UNSET
    code: str = ""
    text: str = ""
    closing: str | UnsetType = UNSET
    pong: bool = False
    event: str = ""


_CONTROL = _of(_ControlFrame)


class _Streams:
    """StreamLanguage of the mock; see `drivers.contract`. Holds nothing."""

    limits: StreamLimits = STREAM_LIMITS

    def group(self, topic: Topic) -> str:
        self.name(topic)
        return ""

    def url(self, hosts: Hosts, group: str = "") -> str:
        return f"{hosts.public_stream}/market"

    def name(self, topic: Topic) -> str:
        if topic.speed_ms is not None:
            raise InvalidRequest(f"{topic}: {VENUE} offers no choice of speed. Leave speed_ms away.")
        if topic.kind is TopicKind.CANDLES and topic.interval not in INTERVALS:
            raise InvalidRequest(f"{topic}: interval {topic.interval!r:.20} is none of {', '.join(INTERVALS)}.")
        if topic.kind is TopicKind.PARTIAL_BOOK and topic.depth not in DEPTHS:
            raise InvalidRequest(f"{topic}: depth {topic.depth!r:.20} is none of {', '.join(map(str, DEPTHS))}.")
        if topic.kind is TopicKind.BOOK and topic.depth is not None:
            raise InvalidRequest(f"{topic}: {VENUE} sends whole books. Leave depth away.")
        if topic.kind in (TopicKind.MARK_PRICE, TopicKind.LIQUIDATIONS):
            _need_contract(topic.symbol)
        extra = "".join(f"-{part}" for part in (topic.interval, topic.depth) if part is not None)
        return f"{_KINDS[topic.kind]}{extra}.{wire_name(topic.symbol)}"

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode({"do": "subscribe", "id": request_id, "topics": list(names)})

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode({"do": "unsubscribe", "id": request_id, "topics": list(names)})

    def route(self, frame: bytes) -> bytes | None:
        if not frame.startswith(_PREFIX):
            return None
        end = frame.find(b'"', len(_PREFIX))
        name = frame[len(_PREFIX) : end]
        return name if end > len(_PREFIX) and b"\\" not in name else None

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        name, kind, symbol = self.name(topic), topic.kind.value, instrument.symbol
        decode = _FRAMES[topic.kind].decode
        more = (topic.interval,) if topic.kind is TopicKind.CANDLES else ()

        def read(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent]:
            try:
                said = decode(frame)
                if said.topic != name:
                    raise WireFormatError(kind, f"frame of another topic: expected {name}", frame)
                if topic.kind is TopicKind.TRADES:
                    return [row.event(symbol, received_ns) for row in said.data]
                if topic.kind is TopicKind.BOOK:
                    row = said.delta if said.snapshot is UNSET else said.snapshot
                    if row is UNSET or UNSET not in (said.snapshot, said.delta):
                        raise WireFormatError(kind, "neither a snapshot nor a delta", frame)
                else:
                    row = said.data
                event: MarketEvent = row.event(symbol, received_ns, *more)
                if topic.kind is TopicKind.PARTIAL_BOOK and len(event.bids) > (topic.depth or 0):  # type: ignore[union-attr]
                    raise WireFormatError(kind, "more levels than were asked for", frame)
                return event
            except _UNREADABLE as problem:
                raise WireFormatError(kind, str(problem) or type(problem).__name__, frame) from problem

        return read

    def control(self, frame: bytes) -> Control:
        try:
            said = _CONTROL.decode(frame)
        except _UNREADABLE:
            return Noise("unreadable frame", known=False)
        if said.done is not UNSET:
            return Ack(said.done)
        if said.refused is not UNSET:
            return Refusal(said.refused, reaction_error(said.code, said.text, write=False))
        if said.closing is not UNSET:
            return ConnectionEnding(_plain(said.closing) or "no reason given")
        if said.pong:
            return Noise("pong", known=True)
        return Noise(f"event {_plain(said.event)} of topic {_plain(said.topic)}", known=False)


# ---------------------------------------------------------------- books


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.first_update_id <= update_id + 1 else Continuity.GAP


BOOK_RULE = BookRule(
    snapshot_limit=None,
    continuity=_continuity,
    joins=lambda snapshot, delta: True,
    first=_continuity,
    source=SOURCE,
)

# ---------------------------------------------------------------- orders out

CLIENT_ID = r"[a-zA-Z0-9_-]{1,32}"
_CLIENT_ID = re.compile(CLIENT_ID, re.ASCII)


@dataclass(frozen=True, slots=True)
class _OrderKind:
    """What an order type is called, and which of a price, a trigger and a time in force it takes."""

    word: str
    price: bool
    trigger: bool


_ORDER_KINDS = {
    OrderType.LIMIT: _OrderKind("limit", True, False),
    OrderType.MARKET: _OrderKind("market", False, False),
    OrderType.LIMIT_MAKER: _OrderKind("maker", True, False),
    OrderType.STOP: _OrderKind("stop", False, True),
    OrderType.STOP_LIMIT: _OrderKind("stop-limit", True, True),
}
_TYPES = {kind.word: order_type for order_type, kind in _ORDER_KINDS.items()}
_TIMES = {TimeInForce.GTC: "gtc", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
_TIME_WORDS = {word: time for time, word in _TIMES.items()}


def _about(command: PlaceOrder | CancelOrder | AmendOrder, instrument: Instrument) -> dict[str, Any]:
    if command.symbol != instrument.symbol:
        raise InvalidRequest(f"the command is about {command.symbol}, the instrument is {instrument.symbol}.")
    return {"symbol": instrument.venue_name}


def _place_fields(order: PlaceOrder, client_id: str, instrument: Instrument) -> dict[str, Any]:
    """An order as the venue takes it.

    Raises:
        InvalidRequest: it makes no sense. Unsupported: the venue has nothing like it.
    """
    kind = _ORDER_KINDS.get(order.type)
    if kind is None:
        raise Unsupported(f"{VENUE} has no orders of type {order.type.value}.")
    lacking = {
        "iceberg orders": order.iceberg_quantity is not None,
        "trailing stops": order.trailing_bips is not None,
        "self-trade prevention": order.self_trade not in (None, SelfTrade.NONE),
        "quote quantities": order.quote_quantity is not None,
        "a choice of trigger price": order.trigger_by is not None,
        "closing by trigger": order.close_position,
        "hedge mode": order.position_side is not PositionSide.NET,
        "orders in contracts": order.contracts is not None,
    }
    wanted = [name for name, given in lacking.items() if given]
    if wanted:
        raise Unsupported(f"{VENUE} has no {', '.join(wanted)}.")
    if order.reduce_only and instrument.product is Product.SPOT:
        raise InvalidRequest("reduce_only goes with contracts.")
    if order.quantity is None:
        raise InvalidRequest(f"{order.type.value}: it needs a quantity.")
    if (order.price is not None) != kind.price or (order.stop_price is not None) != kind.trigger:
        needs = " and ".join(name for name, need in (("a price", kind.price), ("a stop price", kind.trigger)) if need)
        raise InvalidRequest(f"{order.type.value}: it takes {needs or 'neither a price nor a stop price'}.")
    if order.time_in_force is not None and (order.time_in_force not in _TIMES or order.type is not OrderType.LIMIT):
        raise InvalidRequest(f"{order.type.value}: it takes no time in force {order.time_in_force.value}.")
    if _CLIENT_ID.fullmatch(client_id) is None:
        raise InvalidRequest(
            f"client id {client_id!r:.60} is not one {VENUE} takes: 1 to 32 of a-z, A-Z, 0-9, - and _."
        )
    fields = _about(order, instrument) | {"client_id": client_id, "side": order.side.value, "type": kind.word}
    for name in ("quantity", "price", "stop_price"):
        value = getattr(order, name)
        if value is not None:
            fields[name] = _fixed(name, value)
    if order.type is OrderType.LIMIT:
        fields["time_in_force"] = _TIMES[order.time_in_force or TimeInForce.GTC]
    return fields | ({"reduce_only": True} if order.reduce_only else {}) | ({"test": True} if order.test else {})


def _amend_fields(order: AmendOrder, instrument: Instrument) -> dict[str, Any]:
    numbers = {"quantity": order.quantity, "price": order.price}
    changes = {name: _fixed(name, value) for name, value in numbers.items() if value is not None}
    return _about(order, instrument) | {"client_id": order.client_id} | changes


def _id_of(client_id: str | None, venue_id: str | None) -> dict[str, str]:
    if client_id is None and venue_id is None:
        raise InvalidRequest("an order is found by its client id or by its venue id; give one.")
    return {"client_id": client_id} if client_id is not None else {"id": venue_id or ""}


# ---------------------------------------------------------------- orders in


class _FillRow(msgspec.Struct):
    symbol: str
    id: Count
    order: Count
    client_id: str
    side: Literal["buy", "sell"]
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> Fill:
        _positive("fill", self.price, self.quantity)
        return Fill(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            str(self.id),
            self.client_id,
            str(self.order),
            Side(self.side),
            self.price,
            self.quantity,
            _amount("fill", self.fee, sign=True),
            self.fee_asset,
            self.maker,
        )


class _OrderRow(msgspec.Struct):
    symbol: str
    id: Count
    client_id: str
    side: Literal["buy", "sell"]
    type: str
    status: str
    quantity: Decimal
    filled: Decimal
    quote_filled: Decimal
    version: Count
    time: Ms
    time_in_force: str = "gtc"
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reduce_only: bool = False
    reason: str = ""
    fill: _FillRow | None = None

    def fact(self, symbol: Symbol, received_ns: int) -> OrderReport:
        _amount("order", self.quantity, zero=False)
        for number in (self.filled, self.quote_filled):
            _amount("order", number)
        for given in (self.price, self.stop_price):
            if given is not None:
                _amount("order", given, zero=False)
        if self.filled > self.quantity:
            raise WireFormatError("order", f"{self.filled} of {self.quantity} are filled")
        return OrderReport(
            venue=VENUE,
            symbol=symbol,
            event_time_ns=self.time * NS_PER_MS,
            received_ns=received_ns,
            client_id=self.client_id,
            venue_id=str(self.id),
            side=Side(self.side),
            type=_TYPES.get(self.type, OrderType.OTHER),
            type_text=self.type,
            time_in_force=_TIME_WORDS.get(self.time_in_force, TimeInForce.OTHER),
            status=_ORDER_STATUSES.get(self.status),
            status_text=self.status,
            quantity=self.quantity,
            filled=self.filled,
            quote_filled=self.quote_filled,
            price=self.price,
            stop_price=self.stop_price,
            version=self.version,
            fill=None if self.fill is None else self.fill.fact(symbol, received_ns),
            reason=self.reason,
            working=self.status != "waiting",
            reduce_only=self.reduce_only,
        )


_ORDER_STATUSES = {
    "new": OrderStatus.NEW,
    "waiting": OrderStatus.NEW,
    "part": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
    "expired": OrderStatus.EXPIRED,
}


class _PlacedAnswer(msgspec.Struct):
    order: _OrderRow
    fills: list[_FillRow]


class _OrderAnswer(msgspec.Struct):
    order: _OrderRow


class _OrdersAnswer(msgspec.Struct):
    orders: list[_OrderRow]
    next: str | None


class _FillsAnswer(msgspec.Struct):
    fills: list[_FillRow]
    next: str | None


class _BalanceRow(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _BalancesAnswer(msgspec.Struct):
    balances: list[_BalanceRow]
    time: Ms
    next: str | None = None

    def fact(self, received_ns: int, *, complete: bool) -> BalanceReport:
        rows = tuple(
            (row.asset, _amount("balance", row.free, sign=True), _amount("balance", row.locked))
            for row in self.balances
        )
        return BalanceReport(VENUE, self.time * NS_PER_MS, received_ns, rows, complete)


class _CountRow(msgspec.Struct):
    name: str
    points: Count


class _CountsAnswer(msgspec.Struct):
    used: list[_CountRow]


class _PositionRow(msgspec.Struct):
    symbol: str
    quantity: Decimal
    entry: Decimal | None
    unrealized: Decimal
    leverage: Decimal
    mark: Decimal
    margin: Literal["cross", "isolated"]
    sequence: Count
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> Position:
        for number in (self.quantity, self.unrealized):
            _amount("position", number, sign=True)
        _positive("position", self.leverage, self.mark)
        if self.entry is not None:
            _amount("position", self.entry, zero=False)
        return Position(
            VENUE,
            symbol,
            self.time * NS_PER_MS,
            received_ns,
            PositionSide.NET,
            self.quantity,
            self.entry if self.quantity else None,
            unrealized=self.unrealized,
            leverage=self.leverage,
            mark_price=self.mark,
            margin_mode=MarginMode(self.margin),
            sequence=self.sequence,
        )


class _PositionsAnswer(msgspec.Struct):
    positions: list[_PositionRow]
    time: Ms


class _PaymentRow(msgspec.Struct):
    symbol: str
    id: Count
    asset: str
    amount: Decimal
    time: Ms

    def fact(self, symbol: Symbol, received_ns: int) -> FundingPayment:
        amount = _amount("funding", self.amount, sign=True)
        return FundingPayment(VENUE, symbol, self.time * NS_PER_MS, received_ns, str(self.id), self.asset, amount)


class _PaymentsAnswer(msgspec.Struct):
    payments: list[_PaymentRow]


class _TransferRow(msgspec.Struct):
    asset: str
    change: Decimal
    time: Ms


class _Cursor(msgspec.Struct):
    next: str | None


_PLACED = _of(_PlacedAnswer)
_ONE_ORDER = _of(_OrderAnswer)
_ORDER_LIST = _of(_OrdersAnswer)
_FILLS = _of(_FillsAnswer)
_BALANCES = _of(_BalancesAnswer)
_COUNTS = _of(_CountsAnswer)
_POSITIONS = _of(_PositionsAnswer)
_PAYMENTS = _of(_PaymentsAnswer)
_CURSOR = _of(_Cursor)
_ORDER_ROW = _of(_OrderRow)
_FILL_ROW = _of(_FillRow)
_PAYMENT_ROW = _of(_PaymentRow)
_TRANSFER = _of(_TransferRow)


def _same(name: str, instrument: Instrument, kind: str) -> None:
    if name != instrument.venue_name:
        raise WireFormatError(kind, f"an answer about {name!r:.40}, expected {instrument.venue_name}")


# ---------------------------------------------------------------- signed calls


class _Trading:
    """TradeLanguage and PositionLanguage of the mock; see `drivers.trading`. Holds nothing."""

    rules = OrderRules(
        client_id=CLIENT_ID,
        client_id_length=32,
        recv_window_ms=5_000,
        backend_s=1.0,
        visible_after_s=0.5,
        lists=frozenset(),
        amends=frozenset({"quantity down", "quantity up", "price"}),
        source=SOURCE,
    )
    limits = LIMITS[1:]
    not_open_codes = frozenset({NOT_OPEN, NO_SUCH_ORDER})
    duplicate_id_texts = frozenset({ID_IN_USE_TEXT})

    def auth(self, credentials: Credentials) -> Auth:
        secret = credentials.reveal("secret")
        if secret is None:
            raise SettingsError(f"{VENUE} signs with the secret of an HMAC key; this one has a private key.")
        return Auth(
            credentials.key,
            lambda payload: hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest(),
            "hmac",
        )

    # ------------------------------------------------------------ requests

    def _signed(
        self,
        method: str,
        path: str,
        auth: Auth,
        now_ms: int,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        orders: int = 0,
    ) -> HttpRequest:
        text = urlencode(query or {}, quote_via=quote, safe="")
        target = f"{path}?{text}" if text else path
        content = b"" if body is None else msgspec.json.encode(body)
        headers = {
            "Mock-Key": auth.key,
            "Mock-Time": str(now_ms),
            "Mock-Window": str(self.rules.recv_window_ms),
            "Mock-Sign": auth.sign(f"{now_ms}{method}{target}{content.decode()}"),
        }
        charges = (Charge(REQUESTS, 1), *((Charge(ORDERS, orders),) if orders else ()))
        return HttpRequest(method, path, text, content, headers, safe=method == "GET", charges=charges)

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        fields, path = _place_fields(order, client_id, instrument), "/orders/test" if order.test else "/orders"
        return self._signed("POST", path, auth, now_ms, body=fields, orders=0 if order.test else 1)

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        raise Unsupported(f"{VENUE} has no order lists.")

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        fields = _about(order, instrument) | {"client_id": order.client_id}
        return self._signed("DELETE", "/orders", auth, now_ms, fields)

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("PUT", "/orders", auth, now_ms, body=_amend_fields(order, instrument), orders=1)

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        fields = {"symbol": instrument.venue_name} | _id_of(client_id, venue_id)
        return self._signed("GET", "/orders/one", auth, now_ms, fields)

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        fields = {} if instrument is None else {"symbol": instrument.venue_name}
        return self._signed("GET", "/orders/open", auth, now_ms, fields)

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        fields: dict[str, Any] = {"symbol": instrument.venue_name}
        fields |= {} if from_id is None else {"from": from_id}
        fields |= {} if start_ns is None else {"since": start_ns // NS_PER_MS}
        fields |= {} if venue_id is None else {"order": venue_id}
        return self._signed("GET", "/fills", auth, now_ms, fields)

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        fields = {"symbol": instrument.venue_name, "since": start_ns // NS_PER_MS}
        return self._signed("GET", "/orders", auth, now_ms, fields)

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/balances", auth, now_ms)

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        if request.path not in ("/orders/open", "/orders", "/fills"):
            return None
        cursor = _decode("page", _CURSOR, response.body).next
        if cursor is None:
            return None
        fields = dict(parse_qsl(request.query)) | {"cursor": cursor}
        return self._signed("GET", request.path, auth, now_ms, fields)

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        return self._signed("GET", "/orders/count", auth, now_ms)

    # ------------------------------------------------------------ answers

    def _answer(
        self, kind: str, decoder: msgspec.json.Decoder[_T], response: HttpResponse, *, write: bool = False
    ) -> _T:
        _checked(response, write=write)
        return _decode(kind, decoder, response.body)

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        answer = self._answer("order", _PLACED, response, write=True)
        _same(answer.order.symbol, instrument, "order")
        report = answer.order.fact(instrument.symbol, response.received_ns)
        fills = tuple(row.fact(instrument.symbol, response.received_ns) for row in answer.fills)
        return PlaceAnswer(report, fills, report.venue_id)

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        raise Unsupported(f"{VENUE} has no order lists.")

    def _read_one(self, kind: str, response: HttpResponse, instrument: Instrument, *, write: bool) -> OrderReport:
        row = self._answer(kind, _ONE_ORDER, response, write=write).order
        _same(row.symbol, instrument, kind)
        return row.fact(instrument.symbol, response.received_ns)

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        return CancelAnswer(self._read_one("cancelled order", response, instrument, write=True))

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        return self._read_one("amended order", response, instrument, write=True)

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        try:
            return self._read_one("order", response, instrument, write=False)
        except VenueRejected as refused:
            if refused.code == NO_SUCH_ORDER:
                return None
            raise

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        """Orders of instruments that are not listed are left out: nobody here can have placed them."""
        rows = self._answer("orders", _ORDER_LIST, response).orders
        listed = ((row, instruments.by_name(row.symbol)) for row in rows)
        return tuple(row.fact(found.symbol, response.received_ns) for row, found in listed if found is not None)

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        rows = sorted(self._answer("fills", _FILLS, response).fills, key=lambda row: row.id)
        for row in rows:
            _same(row.symbol, instrument, "fills")
        return tuple(row.fact(instrument.symbol, response.received_ns) for row in rows)

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        return self._answer("balances", _BALANCES, response).fact(response.received_ns, complete=True)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        return {row.name: row.points for row in self._answer("order counts", _COUNTS, response).used}

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return _failure(response, write=write)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return _used(response)

    # ------------------------------------------------------------ positions

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        return (self._signed("GET", "/positions", auth, now_ms),)

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        found: list[Position] = []
        for response in responses:
            answer = self._answer("positions", _POSITIONS, response)
            listed = ((row, instruments.by_name(row.symbol)) for row in answer.positions)
            found += [row.fact(each.symbol, response.received_ns) for row, each in listed if each is not None]
        last = responses[-1]
        at_ns = self._answer("positions", _POSITIONS, last).time * NS_PER_MS
        return PositionReport(VENUE, at_ns, last.received_ns, tuple(found), complete=True)

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/funding", auth, now_ms, {"since": start_ns // NS_PER_MS})

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]:
        rows = self._answer("funding", _PAYMENTS, response).payments
        listed = ((row, instruments.by_name(row.symbol)) for row in rows)
        return tuple(row.fact(found.symbol, response.received_ns) for row, found in listed if found is not None)

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        if (instrument is None) != (isinstance(command, SetPositionMode)):
            raise InvalidRequest(
                f"{type(command).__name__}: leverage and margin mode are a symbol's, the position mode is not."
            )
        about: dict[str, Any] = {} if instrument is None else {"symbol": instrument.venue_name}
        match command:
            case SetLeverage():
                if not 1 <= command.leverage <= 100 or command.leverage % 1:
                    raise InvalidRequest(
                        f"leverage is {command.leverage!s:.20}. {VENUE} takes whole numbers from 1 to 100."
                    )
                path, about = "/leverage", about | {"leverage": str(int(command.leverage))}
            case SetMarginMode():
                if command.mode is MarginMode.PORTFOLIO:
                    raise Unsupported(f"{VENUE} has no portfolio margin.")
                path, about = "/margin-mode", about | {"mode": command.mode.value}
            case SetPositionMode():
                if command.mode is not PositionMode.ONE_WAY:
                    raise Unsupported(f"{VENUE} has no hedge mode.")
                path, about = "/position-mode", {"mode": command.mode.value}
        return self._signed("POST", path, auth, now_ms, body=about)

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        _checked(response, write=True)


TRADING = _Trading()

# ---------------------------------------------------------------- the session


class _SessionFrame(msgspec.Struct):
    id: str | UnsetType | None = UNSET
    status: Annotated[int, Meta(ge=100, le=599)] | UnsetType = UNSET
    body: msgspec.Raw | UnsetType = UNSET
    event: str = ""
    data: msgspec.Raw | UnsetType = UNSET
    closing: str | UnsetType = UNSET
    hello: bool = False


_SESSION = _of(_SessionFrame)


class _Session:
    """SessionLanguage of the mock; see `drivers.trading`. Holds nothing."""

    max_age_s: float | None = 86_400.0
    rollover_before_s: float = 600.0
    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return f"{hosts.session}/session"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return (self._login,)

    def _login(self, request_id: str, auth: Auth, now_ms: int) -> SessionRequest:
        signature = auth.sign(f"{now_ms}login")
        said = {"id": request_id, "do": "login", "key": auth.key, "time": now_ms, "sign": signature}
        return SessionRequest(msgspec.json.encode(said), request_id, (Charge(REQUESTS, 1),))

    def probe(self, request_id: str) -> SessionRequest | None:
        return SessionRequest(msgspec.json.encode({"id": request_id, "do": "ping"}), request_id, ())

    def _command(self, request_id: str, what: str, fields: dict[str, Any], now_ms: int) -> SessionRequest:
        said = {"id": request_id, "do": what, "time": now_ms, "window": TRADING.rules.recv_window_ms, "with": fields}
        charges = (Charge(REQUESTS, 1), *((Charge(ORDERS, 1),) if what in ("place", "amend") else ()))
        return SessionRequest(msgspec.json.encode(said), request_id, charges)

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(
            request_id, "test" if order.test else "place", _place_fields(order, client_id, instrument), now_ms
        )

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(request_id, "cancel", _about(order, instrument) | {"client_id": order.client_id}, now_ms)

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest:
        raise Unsupported(f"{VENUE} has no order lists.")

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(request_id, "amend", _amend_fields(order, instrument), now_ms)

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            said = _SESSION.decode(frame)
        except _UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        if said.id is not UNSET and said.status is not UNSET:
            body = b"" if said.body is UNSET else bytes(said.body)
            return SessionReply(said.id, HttpResponse(said.status, {}, body, received_ns, received_ns))
        if said.closing is not UNSET:
            return SessionEnding(_plain(said.closing) or "no reason given")
        if said.hello:
            return SessionNoise("hello", known=True)
        if said.event and said.data is not UNSET:
            return self._event(said.event, said.data, received_ns, instruments)
        return SessionNoise("frame of an unknown form", known=False)

    def _event(
        self, kind: str, data: msgspec.Raw, received_ns: int, instruments: InstrumentTable
    ) -> SessionEvents | SessionNoise:
        read = _EVENTS.get(kind)
        if read is None:
            return SessionNoise(f"event {_plain(kind)}", known=False)
        try:
            return SessionEvents((read(data, received_ns, instruments),))
        except (*_UNREADABLE, ConnectorError):
            return SessionNoise(f"unreadable {_plain(kind)}", known=False)


def _of_symbol(row: Any, received_ns: int, instruments: InstrumentTable) -> Any:
    instrument = instruments.by_name(row.symbol)
    if instrument is None:
        raise WireFormatError("event", f"{row.symbol!r:.40} is not listed")
    return row.fact(instrument.symbol, received_ns)


def _positions_event(data: msgspec.Raw, received_ns: int, instruments: InstrumentTable) -> PositionReport:
    answer = _POSITIONS.decode(data)
    positions = tuple(_of_symbol(row, received_ns, instruments) for row in answer.positions)
    return PositionReport(VENUE, answer.time * NS_PER_MS, received_ns, positions, complete=False)


def _transfer_event(data: msgspec.Raw, received_ns: int, instruments: InstrumentTable) -> BalanceChange:
    row = _TRANSFER.decode(data)
    change = _amount("transfer", row.change, sign=True)
    return BalanceChange(VENUE, row.time * NS_PER_MS, received_ns, row.asset, change)


_EVENTS: Mapping[str, Callable[[msgspec.Raw, int, InstrumentTable], AccountFact]] = {
    "order": lambda data, at_ns, table: _of_symbol(_ORDER_ROW.decode(data), at_ns, table),
    "fill": lambda data, at_ns, table: _of_symbol(_FILL_ROW.decode(data), at_ns, table),
    "funding": lambda data, at_ns, table: _of_symbol(_PAYMENT_ROW.decode(data), at_ns, table),
    "balances": lambda data, at_ns, table: _BALANCES.decode(data).fact(at_ns, complete=False),
    "positions": _positions_event,
    "transfer": _transfer_event,
    "ended": lambda data, at_ns, table: StreamEnded("the venue ended the events of this session"),
}

# ---------------------------------------------------------------- the driver

_NOTES = {"candles": ", ".join(INTERVALS), "partial_book": "depth 5, 20", "book": "snapshots in the stream"}
_ACCOUNT = ("order", "open orders", "fills", "orders since", "balances", "order counts", "positions", "funding")

MOCK = Driver(
    name=VENUE,
    products=frozenset({Product.SPOT, Product.LINEAR}),
    hosts=HOSTS,
    rest=_Rest(),
    streams=_Streams(),
    limits=LIMITS,
    book_rule=BOOK_RULE,
    capabilities=frozenset(
        [Capability("query", question.name, _NOTES.get(question.name, "")) for question in QUESTIONS.values()]
        + [Capability("stream", kind.value, _NOTES.get(kind.value, "")) for kind in _KINDS]
        + [Capability("environment", environment.value) for environment in HOSTS]
        + [Capability("order", kind.value) for kind in _ORDER_KINDS]
        + [Capability("order", "test"), Capability("order", "reduce only", "contracts")]
        + [Capability("command", name, "REST or session") for name in ("place", "cancel", "amend")]
        + [Capability("command", name) for name in ("leverage", "margin mode", "position mode")]
        + [Capability("account", name) for name in _ACCOUNT]
        + [Capability("account", "events", "session"), Capability("key", "hmac")]
    ),
    wire_name=wire_name,
    error_codes={code: reaction.value for code, reaction in CODES.items()},
    trading=TRADING,
    session=_Session(),
    positions=TRADING,
    candle_limit=PAGE,
    trade_limit=PAGE,
)

DRIVERS = (MOCK,)
