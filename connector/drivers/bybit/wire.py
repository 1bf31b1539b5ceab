"""The payloads of Bybit V5 as typed structs, and the bounds every number from the wire has to respect.

Only fields that reach the domain are named: msgspec skips the others, so fields the venue adds do no harm. Prices and sizes are
text on the wire and become Decimal straight from it; where the venue writes "" for "none", the field stays text and `number`
turns it into a Decimal or None, never into 0. Times are whole milliseconds, as numbers or as text, and are held to what
nanoseconds can hold in 63 bits.

`Decimal` also reads "NaN", "Infinity" and "1e999999999"; the range [SMALLEST, LARGEST] refuses them, because NaN compares
false with everything and an absurd exponent lies outside.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Generic, TypeVar

import msgspec

from connector.errors import WireFormatError

__all__ = [
    "LARGEST",
    "SMALLEST",
    "UNREADABLE",
    "ZERO",
    "Answer",
    "BookFrame",
    "CandleFrame",
    "Control",
    "DepthResult",
    "Head",
    "Id",
    "Levels",
    "LiquidationFrame",
    "Listed",
    "Milliseconds",
    "TextBookFrame",
    "TickerFrame",
    "TradeFrame",
    "answer_decoder",
    "changes_problem",
    "decode",
    "is_amount",
    "is_zero",
    "ladder_problem",
    "number",
]

ZERO = Decimal(0)
LARGEST = Decimal("1e24")
SMALLEST = Decimal("1e-24")
_SANE_ZERO = 24

UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""All that decoding and checking bytes can raise: bad JSON, types, UTF-8; comparing a signalling NaN; deep nesting."""

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000_000)]
Levels = tuple[tuple[Decimal, Decimal], ...]
TextLevels = list[list[str]]
"""Levels as they came. Lists of lists cost the decoder least."""

T = TypeVar("T")


def is_zero(value: Decimal) -> bool:
    """Zero in a sane spelling: "0E-999999999" is zero too, until somebody prints it."""
    return not value and -_SANE_ZERO <= value.adjusted() <= _SANE_ZERO


def is_amount(value: Decimal) -> bool:
    """Zero or a positive number in range."""
    return SMALLEST <= value <= LARGEST or is_zero(value)


def number(text: str) -> Decimal | None:
    """A number that may be absent: the venue then writes "".

    Raises:
        ArithmeticError: it is neither (one of UNREADABLE).
    """
    return Decimal(text) if text else None


def changes_problem(*sides: Levels) -> str | None:
    """What is wrong with the levels of a delta: prices are positive, quantities zero (remove) or positive."""
    for levels in sides:
        for price, quantity in levels:
            if not (SMALLEST <= price <= LARGEST and (SMALLEST <= quantity <= LARGEST or is_zero(quantity))):
                return f"level [{price!s:.40}, {quantity!s:.40}] is out of range"
    return None


def ladder_problem(bids: Levels, asks: Levels) -> str | None:
    """What is wrong with one whole side each: every level positive, best first.

    A crossed book is not refused here: before an auction ends the venue's own may be crossed, and `books` judges that.
    """
    for levels, falling in ((bids, True), (asks, False)):
        last: Decimal | None = None
        for price, quantity in levels:
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= quantity <= LARGEST):
                return f"level [{price!s:.40}, {quantity!s:.40}] is out of range"
            if last is not None and (price >= last if falling else price <= last):
                return f"levels are not best first: {last} is followed by {price}"
            last = price
    return None


def decode(kind: str, decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode a whole answer.

    Raises:
        WireFormatError: with the decoder's own words and an excerpt.
    """
    try:
        return decoder.decode(body)
    except UNREADABLE as problem:
        raise WireFormatError(kind, str(problem) or type(problem).__name__, bytes(body)) from problem


# ---------------------------------------------------------------- stream frames


class TradeRow(msgspec.Struct, gc=False):
    T: Milliseconds
    s: str
    S: str
    v: Decimal
    p: Decimal
    i: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    seq: Id | None = None  # since 2025-08


class TradeFrame(msgspec.Struct, gc=False):
    data: tuple[TradeRow, ...]


class BookData(msgspec.Struct, gc=False):
    s: str
    b: Levels
    a: Levels
    u: Id
    seq: Id = 0


class TextBookData(msgspec.Struct, gc=False):
    """Levels as they came: the book makes numbers of them when they are read."""

    s: str
    b: TextLevels
    a: TextLevels
    u: Id
    seq: Id = 0


class TextBookFrame(msgspec.Struct, gc=False):
    type: str
    data: TextBookData
    ts: Milliseconds
    cts: Milliseconds | None = None


class BookFrame(msgspec.Struct, gc=False):
    type: str
    data: BookData
    ts: Milliseconds
    cts: Milliseconds | None = None


def _camel(name: str) -> str:
    """As msgspec's own, which would make "Price24H" of "price24h"."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class TickerData(msgspec.Struct, rename=_camel):
    """Absent is "unchanged" in a delta. Text, because dated contracts have "" for funding and an empty side "" for its price."""

    symbol: str
    last_price: str | msgspec.UnsetType = msgspec.UNSET
    bid1_price: str | msgspec.UnsetType = msgspec.UNSET
    bid1_size: str | msgspec.UnsetType = msgspec.UNSET
    ask1_price: str | msgspec.UnsetType = msgspec.UNSET
    ask1_size: str | msgspec.UnsetType = msgspec.UNSET
    prev_price24h: str | msgspec.UnsetType = msgspec.UNSET
    high_price24h: str | msgspec.UnsetType = msgspec.UNSET
    low_price24h: str | msgspec.UnsetType = msgspec.UNSET
    volume24h: str | msgspec.UnsetType = msgspec.UNSET
    turnover24h: str | msgspec.UnsetType = msgspec.UNSET
    price24h_pcnt: str | msgspec.UnsetType = msgspec.UNSET
    mark_price: str | msgspec.UnsetType = msgspec.UNSET
    index_price: str | msgspec.UnsetType = msgspec.UNSET
    funding_rate: str | msgspec.UnsetType = msgspec.UNSET
    next_funding_time: str | msgspec.UnsetType = msgspec.UNSET
    single_open_interest: str | msgspec.UnsetType = msgspec.UNSET
    open_interest: str | msgspec.UnsetType = msgspec.UNSET


class TickerFrame(msgspec.Struct):
    data: TickerData
    ts: Milliseconds
    type: str


class CandleRow(msgspec.Struct, gc=False):
    start: Milliseconds
    end: Milliseconds
    interval: str
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal
    confirm: bool


class CandleFrame(msgspec.Struct, gc=False):
    topic: str
    data: tuple[CandleRow, ...]
    ts: Milliseconds


class LiquidationRow(msgspec.Struct, gc=False):
    T: Milliseconds
    s: str
    S: str
    v: Decimal
    p: Decimal


class LiquidationFrame(msgspec.Struct, gc=False):
    data: tuple[LiquidationRow, ...]


# One decoder a kind, shared by all topics and threads: a decoder keeps nothing between two calls.
TRADE = msgspec.json.Decoder(TradeFrame)
BOOK = msgspec.json.Decoder(BookFrame)
TEXT_BOOK = msgspec.json.Decoder(TextBookFrame)
TICKER = msgspec.json.Decoder(TickerFrame)
CANDLE = msgspec.json.Decoder(CandleFrame)
LIQUIDATION = msgspec.json.Decoder(LiquidationFrame)


class Envelope(msgspec.Struct):
    """Any data frame, whatever the order of its keys."""

    topic: str = ""


class TopicsAnswered(msgspec.Struct, rename="camel"):
    fail_topics: tuple[str, ...] = ()
    success_topics: tuple[str, ...] = ()


class Control(msgspec.Struct):
    """Any frame without a topic, in all forms the venue's connections use."""

    success: bool | None = None
    ret_msg: str | None = None
    op: str = ""
    req_id: str | int | None = None
    type: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


ENVELOPE = msgspec.json.Decoder(Envelope)
CONTROL = msgspec.json.Decoder(Control)
TOPICS = msgspec.json.Decoder(TopicsAnswered)

# ---------------------------------------------------------------- REST answers


class Head(msgspec.Struct, rename="camel"):
    """What every answer begins with; `ret_code` alone says whether it is a success."""

    ret_code: int
    ret_msg: str | None = None
    time: Milliseconds | None = None


class Answer(msgspec.Struct, Generic[T]):
    result: T
    time: Milliseconds


class Listed(msgspec.Struct, Generic[T], rename="camel"):
    """Any list; the cursor is percent-encoded already, "" on the last page."""

    list: tuple[T, ...]
    next_page_cursor: str | None = ""


class Cursor(msgspec.Struct, rename="camel"):
    next_page_cursor: str | None = ""
    list: tuple[msgspec.Raw, ...] = ()


class TimeResult(msgspec.Struct, rename="camel"):
    time_nano: Id


class DepthResult(msgspec.Struct):
    s: str
    b: Levels
    a: Levels
    u: Id
    ts: Milliseconds
    cts: Milliseconds | None = None


class RecentTradeRow(msgspec.Struct, rename="camel"):
    exec_id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    symbol: str
    price: Decimal
    size: Decimal
    side: str
    time: Milliseconds
    seq: Id | None = None


class CandleArray(msgspec.Struct, array_like=True):
    start: Milliseconds
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal


class FundingRow(msgspec.Struct, rename="camel"):
    symbol: str
    funding_rate: Decimal
    funding_rate_timestamp: Milliseconds


class SymbolName(msgspec.Struct):
    symbol: str = ""


class PriceFilterEntry(msgspec.Struct, rename="camel"):
    tick_size: Decimal
    min_price: str = ""
    max_price: str = ""


class LotFilterEntry(msgspec.Struct, rename="camel"):
    """Spot and contracts name their fields differently; "" and absent both mean: there is no such bound."""

    base_precision: str = ""
    quote_precision: str = ""
    min_order_amt: str = ""
    max_limit_order_qty: str = ""
    max_market_order_qty: str = ""
    post_only_max_limit_order_size: str = ""
    qty_step: str = ""
    min_order_qty: str = ""
    max_order_qty: str = ""
    max_mkt_order_qty: str = ""
    min_notional_value: str = ""


class SymbolEntry(msgspec.Struct, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    status: str
    price_filter: PriceFilterEntry
    lot_size_filter: LotFilterEntry
    settle_coin: str = ""
    contract_type: str = ""
    delivery_time: str = ""
    symbol_type: str | None = ""
    margin_trading: str = ""


def answer_decoder(kind: type[T]) -> msgspec.json.Decoder[Answer[T]]:
    """Decoder of a success; lax, because the venue writes most whole numbers as text."""
    return msgspec.json.Decoder(Answer[kind], strict=False)  # type: ignore[valid-type]


HEAD = msgspec.json.Decoder(Head)
TIME = answer_decoder(TimeResult)
DEPTH = answer_decoder(DepthResult)
CURSOR = answer_decoder(Cursor)
RECENT_TRADES = answer_decoder(Listed[RecentTradeRow])
CANDLES = answer_decoder(Listed[CandleArray])
FUNDING_RATES = answer_decoder(Listed[FundingRow])
TICKERS = answer_decoder(Listed[TickerData])
INSTRUMENTS = answer_decoder(Listed[msgspec.Raw])
SYMBOL_NAME = msgspec.json.Decoder(SymbolName)
SYMBOL = msgspec.json.Decoder(SymbolEntry)
