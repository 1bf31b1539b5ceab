"""The payloads of Binance spot as typed structs, and the bounds every number from the wire has to respect.

Only fields that reach the domain are named: msgspec skips the others, so fields the venue adds do no harm. Numbers become
Decimal straight from the JSON text. Integers are held to 63 bits and times to what nanoseconds can hold in 63 bits, which
also refuses microseconds read as milliseconds: this driver never asks for `timeUnit=MICROSECOND`, and guesses no unit.

`Decimal` also reads "NaN", "Infinity" and "1e999999999"; the range [SMALLEST, LARGEST] refuses them, because NaN compares
false with everything and an absurd exponent lies outside.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from connector.errors import WireFormatError

__all__ = [
    "LARGEST",
    "SMALLEST",
    "UNREADABLE",
    "ZERO",
    "AggTradeRow",
    "BookTickerRow",
    "CandleRow",
    "Control",
    "DepthAnswer",
    "Envelope",
    "ErrorAnswer",
    "ExchangeInfo",
    "Levels",
    "PriceRow",
    "TickerRow",
    "TimeAnswer",
    "TradeRow",
    "changes_problem",
    "decode",
    "is_amount",
    "is_zero",
    "ladder_problem",
]

ZERO = Decimal(0)
# Real quantities end at 92,233,720,368.54775807 and real prices at twelve decimals; these leave room for volumes.
LARGEST = Decimal("1e24")
SMALLEST = Decimal("1e-24")
_SANE_ZERO = 24

UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""All that decoding and checking bytes can raise: bad JSON, types, UTF-8; comparing a signalling NaN; deep nesting."""

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
IdOrNone = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]  # -1: there is none
Count = Id
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000_000)]
Levels = tuple[tuple[Decimal, Decimal], ...]
TextLevels = list[list[str]]
"""Levels as they came: the book looks at them. Lists of lists cost the decoder least."""

T = TypeVar("T")


def is_zero(value: Decimal) -> bool:
    """Zero in a sane spelling: "0E-999999999" is zero too, until somebody prints it."""
    return not value and -_SANE_ZERO <= value.adjusted() <= _SANE_ZERO


def is_amount(value: Decimal) -> bool:
    """Zero or a positive number in range."""
    return SMALLEST <= value <= LARGEST or is_zero(value)


def changes_problem(*sides: Levels) -> str | None:
    """What is wrong with the levels of a delta: prices are positive, quantities zero (remove) or positive."""
    for levels in sides:
        for price, quantity in levels:
            if not (SMALLEST <= price <= LARGEST and (SMALLEST <= quantity <= LARGEST or is_zero(quantity))):
                return f"level [{price!s:.40}, {quantity!s:.40}] is out of range"
    return None


def ladder_problem(bids: Levels, asks: Levels) -> str | None:
    """What is wrong with a whole book: every level positive, best first on both sides, best bid below best ask."""
    for levels, falling in ((bids, True), (asks, False)):
        last: Decimal | None = None
        for price, quantity in levels:
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= quantity <= LARGEST):
                return f"level [{price!s:.40}, {quantity!s:.40}] is out of range"
            if last is not None and (price >= last if falling else price <= last):
                return f"levels are not best first: {last} is followed by {price}"
            last = price
    if bids and asks and bids[0][0] >= asks[0][0]:
        return f"the book is crossed: bid {bids[0][0]}, ask {asks[0][0]}"
    return None


def decode(kind: str, decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a whole answer.

    Raises:
        WireFormatError: with the decoder's own words and an excerpt.
    """
    try:
        return decoder.decode(body)
    except UNREADABLE as problem:
        raise WireFormatError(kind, str(problem) or type(problem).__name__, body) from problem


# ---------------------------------------------------------------- stream frames, always in combined mode


class Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: Id
    p: Decimal
    q: Decimal
    T: Milliseconds
    m: bool


class AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    s: str
    a: Id
    p: Decimal
    q: Decimal
    f: IdOrNone
    l: IdOrNone  # noqa: E741 - the venue's name
    T: Milliseconds
    m: bool


class CandleBody(msgspec.Struct, gc=False):
    t: Milliseconds
    T: Milliseconds
    i: str
    o: Decimal
    c: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 - the venue's name
    v: Decimal
    n: Count
    x: bool
    q: Decimal
    V: Decimal
    Q: Decimal


class Candle(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    E: Milliseconds
    s: str
    k: CandleBody


class Ticker(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False):
    E: Milliseconds
    s: str
    p: Decimal
    P: Decimal
    w: Decimal
    c: Decimal
    Q: Decimal
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 - the venue's name
    v: Decimal
    q: Decimal
    O: Milliseconds  # noqa: E741 - the venue's name
    C: Milliseconds
    n: Count


class BookTicker(msgspec.Struct, gc=False):
    u: Id
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class PartialDepth(msgspec.Struct, gc=False):
    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: Levels
    asks: Levels


class Depth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    E: Milliseconds
    s: str
    U: Id
    u: Id
    b: TextLevels
    a: TextLevels


class TradeFrame(msgspec.Struct, gc=False):
    data: Trade


class AggTradeFrame(msgspec.Struct, gc=False):
    data: AggTrade


class CandleFrame(msgspec.Struct, gc=False):
    data: Candle


class TickerFrame(msgspec.Struct, gc=False):
    data: Ticker


class BookTickerFrame(msgspec.Struct, gc=False):
    data: BookTicker


class PartialDepthFrame(msgspec.Struct, gc=False):
    data: PartialDepth


class DepthFrame(msgspec.Struct, gc=False):
    data: Depth


# One decoder a kind, shared by all topics and threads: a decoder keeps nothing between two calls.
TRADE = msgspec.json.Decoder(TradeFrame)
AGG_TRADE = msgspec.json.Decoder(AggTradeFrame)
CANDLE = msgspec.json.Decoder(CandleFrame)
TICKER = msgspec.json.Decoder(TickerFrame)
BOOK_TICKER = msgspec.json.Decoder(BookTickerFrame)
PARTIAL_DEPTH = msgspec.json.Decoder(PartialDepthFrame)
DEPTH = msgspec.json.Decoder(DepthFrame)


class Envelope(msgspec.Struct):
    """Any combined frame, whatever the order of its keys."""

    stream: str
    data: msgspec.Raw


class ControlError(msgspec.Struct):
    code: int | str | None = None
    msg: str = ""


class ControlEvent(msgspec.Struct):
    e: str = ""


class Control(msgspec.Struct):
    """Any frame without a topic. Both spellings of errors are read: the documents' flat one and the nested one seen live."""

    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ControlError | None = None
    code: int | str | None = None
    msg: str | None = None
    e: str = ""
    event: ControlEvent | None = None
    stream: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


ENVELOPE = msgspec.json.Decoder(Envelope)
CONTROL = msgspec.json.Decoder(Control)
CONTROL_EVENT = msgspec.json.Decoder(ControlEvent)

# ---------------------------------------------------------------- REST answers


class TimeAnswer(msgspec.Struct):
    serverTime: Milliseconds  # noqa: N815 - the venue's name


class ErrorAnswer(msgspec.Struct):
    code: int | str
    msg: str = ""


class DepthAnswer(msgspec.Struct):
    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: Levels
    asks: Levels


class TradeRow(msgspec.Struct):
    id: Id
    price: Decimal
    qty: Decimal
    time: Milliseconds
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class AggTradeRow(msgspec.Struct):
    a: Id
    p: Decimal
    q: Decimal
    f: IdOrNone
    l: IdOrNone  # noqa: E741 - the venue's name
    T: Milliseconds
    m: bool


class CandleRow(msgspec.Struct, array_like=True):
    open_time: Milliseconds
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    close_time: Milliseconds
    quote_volume: Decimal
    trade_count: Count
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal


class TickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    price_change: Decimal
    price_change_percent: Decimal
    weighted_avg_price: Decimal
    last_price: Decimal
    last_qty: Decimal
    bid_price: Decimal
    bid_qty: Decimal
    ask_price: Decimal
    ask_qty: Decimal
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    volume: Decimal
    quote_volume: Decimal
    open_time: Milliseconds
    close_time: Milliseconds
    count: Count


class BookTickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    bid_price: Decimal
    bid_qty: Decimal
    ask_price: Decimal
    ask_qty: Decimal


class PriceRow(msgspec.Struct):
    symbol: str
    price: Decimal


class ExchangeInfo(msgspec.Struct, rename="camel"):
    """Entries stay raw, so that one that cannot be read costs only itself."""

    symbols: list[msgspec.Raw]
    server_time: Milliseconds | None = None
    rate_limits: list[msgspec.Raw] = []
    exchange_filters: list[msgspec.Raw] = []


class SymbolName(msgspec.Struct):
    symbol: str = ""


class SymbolEntry(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    base_asset_precision: Annotated[int, msgspec.Meta(ge=0, le=64)]
    quote_asset: str
    filters: list[msgspec.Raw]
    quote_asset_precision: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    quote_precision: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None  # the older name of the same figure
    order_types: list[str] = []
    permissions: list[str] = []
    permission_sets: list[list[str]] = []


class RateLimitEntry(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    limit: Count
