"""Rows of market data, the same on streams and over REST, and what they mean."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    FundingRate,
    Level,
    Liquidation,
    MarkPrice,
    OpenInterest,
    OrderBook,
    Price,
    Side,
    Ticker,
    Trade,
)
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.errors import WireFormatError
from connector.testing.mock_driver.facts import VENUE
from connector.testing.mock_driver.wire import Count, Ms, ladder, level_changes, positive, sound

__all__ = [
    "AggRow",
    "BestRow",
    "CandleRow",
    "DeltaRow",
    "DepthRow",
    "FundingRow",
    "InterestRow",
    "LiquidationRow",
    "MarkRow",
    "PriceRow",
    "TickerRow",
    "TradeRow",
]


class TradeRow(msgspec.Struct):
    id: Count
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> Trade:
        positive("trade", self.price, self.quantity)
        at_ns = self.time * NS_PER_MS
        return Trade(VENUE, symbol, at_ns, received_ns, self.id, self.price, self.quantity, Side(self.side))


class AggRow(msgspec.Struct):
    id: Count
    price: Decimal
    quantity: Decimal
    side: Literal["buy", "sell"]
    first: Count
    last: Count
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> AggTrade:
        positive("aggregate trade", self.price, self.quantity)
        if self.last < self.first:
            raise WireFormatError("aggregate trade", f"trades {self.first} to {self.last} run backwards")
        at_ns, side = self.time * NS_PER_MS, Side(self.side)
        return AggTrade(
            VENUE, symbol, at_ns, received_ns, self.id, self.price, self.quantity, side, self.first, self.last
        )


class CandleRow(msgspec.Struct):
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
        positive("candle", self.open, self.high, self.low, self.close)
        sound("candle", self.volume)
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


class TickerRow(msgspec.Struct):
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
        positive("ticker", self.last, self.bid, self.ask, self.open, self.high, self.low)
        for number in (self.bid_quantity, self.ask_quantity, self.volume, self.quote_volume):
            sound("ticker", number)
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


class BestRow(msgspec.Struct):
    symbol: str
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    id: Count

    def event(self, symbol: Symbol, received_ns: int) -> BookTicker:
        positive("best prices", self.bid, self.bid_quantity, self.ask, self.ask_quantity)
        best = (self.bid, self.bid_quantity, self.ask, self.ask_quantity)
        return BookTicker(VENUE, symbol, None, received_ns, *best, self.id)


class PriceRow(msgspec.Struct):
    symbol: str
    last: Decimal

    def event(self, symbol: Symbol, received_ns: int) -> Price:
        positive("price", self.last)
        return Price(VENUE, symbol, None, received_ns, self.last)


class MarkRow(msgspec.Struct):
    symbol: str
    mark: Decimal
    index: Decimal
    rate: Decimal
    next: Ms
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> MarkPrice:
        positive("mark price", self.mark, self.index)
        sound("mark price", self.rate, sign=True)
        at_ns, next_ns = self.time * NS_PER_MS, self.next * NS_PER_MS
        return MarkPrice(VENUE, symbol, at_ns, received_ns, self.mark, self.index, self.rate, next_ns)


class LiquidationRow(msgspec.Struct):
    side: Literal["buy", "sell"]
    price: Decimal
    quantity: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> Liquidation:
        positive("liquidation", self.price, self.quantity)
        at_ns = self.time * NS_PER_MS
        return Liquidation(VENUE, symbol, at_ns, received_ns, Side(self.side), self.price, self.quantity)


class DepthRow(msgspec.Struct):
    id: Count
    bids: list[Level]
    asks: list[Level]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> OrderBook:
        bids, asks = ladder("depth", self.bids, falling=True), ladder("depth", self.asks, falling=False)
        return OrderBook(VENUE, symbol, self.time * NS_PER_MS, received_ns, self.id, bids, asks)


class DeltaRow(msgspec.Struct):
    first: Count
    last: Count
    bids: list[Level]
    asks: list[Level]
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> BookDelta:
        if self.last < self.first:
            raise WireFormatError("book", f"updates {self.first} to {self.last} run backwards")
        bids, asks = level_changes("book", self.bids, removals=True), level_changes("book", self.asks, removals=True)
        return BookDelta(VENUE, symbol, self.time * NS_PER_MS, received_ns, self.first, self.last, bids, asks)


class FundingRow(msgspec.Struct):
    rate: Decimal
    mark: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> FundingRate:
        positive("funding rate", self.mark)
        rate = sound("funding rate", self.rate, sign=True)
        return FundingRate(VENUE, symbol, self.time * NS_PER_MS, received_ns, rate, self.mark)


class InterestRow(msgspec.Struct):
    quantity: Decimal
    time: Ms

    def event(self, symbol: Symbol, received_ns: int) -> OpenInterest:
        return OpenInterest(VENUE, symbol, self.time * NS_PER_MS, received_ns, sound("open interest", self.quantity))
