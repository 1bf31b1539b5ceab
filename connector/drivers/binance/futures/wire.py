"""The public payloads of Binance futures as typed structs, where they differ from spot's; the bounds are spot's too.

Of both products at once: a field that one of them lacks has a default. Quantities are as the venue counts them, contracts on
COIN-M. Only fields that reach the domain are named.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from connector.drivers.binance.wire import Count, Id, Levels, Milliseconds, TextLevels

__all__ = [
    "BOOK_TICKER",
    "DEPTH",
    "LIQUIDATION",
    "MARK_PRICE",
    "TEXT_DEPTH",
    "TICKER",
    "AggTradeRow",
    "BookTickerRow",
    "DepthAnswer",
    "FundingRow",
    "MarkRow",
    "OpenInterestAnswer",
    "PriceRow",
    "SymbolEntry",
    "TickerRow",
    "TradeRow",
]

# ---------------------------------------------------------------- stream frames


class Ticker(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False):
    E: Milliseconds
    s: str
    p: Decimal
    P: Decimal
    w: Decimal
    c: Decimal
    Q: Decimal
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 - the venue's name
    v: Decimal
    q: Decimal
    O: Milliseconds  # noqa: E741 - the venue's name
    C: Milliseconds
    n: Count


class BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    E: Milliseconds
    u: Id
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class Depth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """Changes of a book, and the whole of a partial one: both have this form."""

    E: Milliseconds
    s: str
    U: Id
    u: Id
    pu: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
    b: Levels
    a: Levels


class MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    """`r` is "" and `T` 0 where no funding is paid."""

    E: Milliseconds
    s: str
    p: Decimal
    r: str = ""
    T: Milliseconds = 0
    i: str = ""


class Forced(msgspec.Struct, gc=False):
    s: str
    S: str
    q: Decimal
    p: Decimal
    ap: Decimal
    z: Decimal
    T: Milliseconds


class Liquidation(msgspec.Struct, tag_field="e", tag="forceOrder", gc=False):
    E: Milliseconds
    o: Forced


class TickerFrame(msgspec.Struct, gc=False):
    data: Ticker


class BookTickerFrame(msgspec.Struct, gc=False):
    data: BookTicker


class DepthFrame(msgspec.Struct, gc=False):
    data: Depth


class TextDepth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """Changes of a book that counts in base units: the book makes numbers of its levels when they are read."""

    E: Milliseconds
    s: str
    U: Id
    u: Id
    pu: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
    b: TextLevels
    a: TextLevels


class TextDepthFrame(msgspec.Struct, gc=False):
    data: TextDepth


class MarkPriceFrame(msgspec.Struct, gc=False):
    data: MarkPrice


class LiquidationFrame(msgspec.Struct, gc=False):
    data: Liquidation


# One decoder a kind, shared by all topics and threads: a decoder keeps nothing between two calls.
TICKER = msgspec.json.Decoder(TickerFrame)
BOOK_TICKER = msgspec.json.Decoder(BookTickerFrame)
DEPTH = msgspec.json.Decoder(DepthFrame)
TEXT_DEPTH = msgspec.json.Decoder(TextDepthFrame)
MARK_PRICE = msgspec.json.Decoder(MarkPriceFrame)
LIQUIDATION = msgspec.json.Decoder(LiquidationFrame)

# ---------------------------------------------------------------- REST answers


class DepthAnswer(msgspec.Struct):
    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: Levels
    asks: Levels
    E: Milliseconds | None = None


class TradeRow(msgspec.Struct, rename="camel"):
    id: Id
    price: Decimal
    qty: Decimal
    time: Milliseconds
    is_buyer_maker: bool


class AggTradeRow(msgspec.Struct):
    a: Id
    p: Decimal
    q: Decimal
    f: Id
    l: Id  # noqa: E741 - the venue's name
    T: Milliseconds
    m: bool


class TickerRow(msgspec.Struct, rename="camel"):
    """`volume` counts contracts on COIN-M, which has `base_volume` in place of `quote_volume`."""

    symbol: str
    price_change: Decimal
    price_change_percent: Decimal
    weighted_avg_price: Decimal
    last_price: Decimal
    last_qty: Decimal
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    volume: Decimal
    open_time: Milliseconds
    close_time: Milliseconds
    count: Count
    quote_volume: Decimal | None = None
    base_volume: Decimal | None = None


class BookTickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    bid_price: Decimal
    bid_qty: Decimal
    ask_price: Decimal
    ask_qty: Decimal
    time: Milliseconds | None = None


class PriceRow(msgspec.Struct):
    symbol: str
    price: Decimal
    time: Milliseconds | None = None


class MarkRow(msgspec.Struct, rename="camel"):
    """Funding fields are "" and 0 on dated contracts."""

    symbol: str
    mark_price: Decimal
    index_price: str = ""
    last_funding_rate: str = ""
    next_funding_time: Milliseconds = 0
    time: Milliseconds | None = None


class FundingRow(msgspec.Struct, rename="camel"):
    """`mark_price` is "" on old rows."""

    symbol: str
    funding_rate: Decimal
    funding_time: Milliseconds
    mark_price: str = ""


class OpenInterestAnswer(msgspec.Struct, rename="camel"):
    symbol: str
    open_interest: Decimal
    time: Milliseconds | None = None


_Digits = Annotated[int, msgspec.Meta(ge=0, le=64)]


class SymbolEntry(msgspec.Struct, rename="camel"):
    """`contract_status` and `contract_size`: COIN-M."""

    symbol: str
    contract_type: str
    delivery_date: Milliseconds
    base_asset: str
    quote_asset: str
    margin_asset: str
    base_asset_precision: _Digits
    quote_precision: _Digits
    filters: list[msgspec.Raw]
    status: str | None = None
    contract_status: str | None = None
    contract_size: Decimal | None = None
    order_types: list[str] = []
    underlying_type: str = ""
