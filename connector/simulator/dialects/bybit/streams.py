"""Say on public topics what happens at the live markets: books, trades, tickers, candles, liquidations.

A topic is its name, `kind.detail.SYMBOL`. Books: level 1 is always a whole snapshot and is sent again after three quiet seconds;
deeper ones begin with a snapshot for each subscriber and go on with deltas whose `u` counts up by one. `seq` is the market's
own update id, so that the ledger can say what the book was. Loop thread only. Source: the venue's V5 public topics, read 2026-11.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from connector.matching import Outcome
from connector.simulator.candles import Bar
from connector.simulator.dialects.bybit.live import Board, best_fields, kline_end_ms, kline_texts, ticker_fields
from connector.simulator.dialects.bybit.rest import INTERVALS
from connector.simulator.history import Trade
from connector.simulator.hub import Connection, Topic, text_frame
from connector.simulator.market import Level, Market

__all__ = ["BookState", "Streams", "TopicName", "read_topic"]

DEPTHS = {1: 10_000, 50: 20_000, 200: 100_000, 1000: 200_000}
"""Levels of the book topics, and how often each is looked at, in microseconds."""
REPEAT_US = 3_000_000
TRADES_PER_FRAME = 1024
TICKER_US = {"spot": 50_000, "linear": 100_000, "inverse": 100_000}
KLINE_US = 1_000_000
LIQUIDATION_US = 500_000
FIRST_U = 1_000

_encode = msgspec.json.Encoder().encode


class TopicName(NamedTuple):
    """What a topic's name means: kind, symbol, depth of a book or interval of candles."""

    kind: str
    symbol: str
    depth: int = 0
    interval: str = ""


def read_topic(name: str) -> TopicName | None:
    """Take a public topic's name apart; None when this venue has no such topic."""
    match name.split("."):
        case ["orderbook", depth, symbol] if depth.isascii() and depth.isdigit() and int(depth) in DEPTHS and symbol:
            return TopicName("orderbook", symbol, int(depth)) if depth == str(int(depth)) else None
        case ["kline", interval, symbol] if interval in INTERVALS and symbol:
            return TopicName("kline", symbol, interval=interval)
        case [("publicTrade" | "tickers" | "allLiquidation") as kind, symbol] if symbol:
            return TopicName(kind, symbol)
    return None


class BookState:
    """One book topic as its subscribers know it: the best levels of each side after message `u`."""

    def __init__(self, depth: int) -> None:
        self.depth, self.u, self.seq = depth, FIRST_U, 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.changed_ms = self.told_us = self.looked_us = 0

    def best_bids(self, limit: int) -> list[Level]:
        """(price, lots), highest first."""
        return sorted(self.bids.items(), reverse=True)[:limit]

    def best_asks(self, limit: int) -> list[Level]:
        """(price, lots), lowest first."""
        return sorted(self.asks.items())[:limit]

    def follow(self, market: Market, now_us: int) -> tuple[list[Level], list[Level]]:
        """Take the market's book over. Returns what changed on each side, lots 0 for levels that are gone or out of sight."""
        bids, asks = dict(market.engine.bids(self.depth)), dict(market.engine.asks(self.depth))
        changes = _difference(self.bids, bids), _difference(self.asks, asks)
        self.bids, self.asks, self.seq = bids, asks, market.update_id
        if changes[0] or changes[1]:
            self.u += 1
            self.changed_ms = now_us // 1000
        return sorted(changes[0], reverse=True), sorted(changes[1])


def _difference(old: dict[int, int], new: dict[int, int]) -> list[Level]:
    changes = [(price, lots) for price, lots in new.items() if old.get(price) != lots]
    return changes + [(price, 0) for price in old if price not in new]


class Streams:
    """Everything the live markets say on public topics."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._exchange = board.exchange
        self._books: dict[str, BookState] = {}
        self._last_price: dict[str, int] = {}
        self._direction: dict[str, str] = {}
        self._liquidations: dict[str, list[dict[str, Any]]] = {}
        self._second = 0

    @property
    def _hub(self) -> Any:
        return self._exchange.hub

    # subscriptions

    def known(self, name: str) -> bool:
        """Whether there is such a topic here."""
        topic = read_topic(name)
        if topic is None or topic.symbol not in self._exchange.markets:
            return False
        return topic.kind != "allLiquidation" or self._board.derivative

    def begin(self, connection: Connection, name: str, *, first: bool) -> None:
        """A client has subscribed: send the snapshot such topics begin with. `first`: nobody else listened before."""
        topic: Topic = self._hub.topic(name)
        detail = topic.detail
        if self._hub.all_silent or topic.silent:
            return
        market = self._exchange.markets[detail.symbol]
        now_us = self._exchange.clock.now_us()
        if detail.kind == "orderbook":
            book = self._book(name, detail.depth)
            if first:
                book.follow(market, now_us)
                book.told_us = now_us
            connection.send_now(text_frame(self._book_frame(name, market, book, "snapshot", None, now_us)))
        elif detail.kind == "tickers" and self._board.derivative:
            fields = self._ticker(market, now_us)
            if first:
                topic.note = (fields, now_us)
            known = topic.note[0] if topic.note else fields
            connection.send_now(text_frame(self._ticker_frame(topic, market, "snapshot", known, now_us)))

    def deepest(self, market: Market) -> BookState:
        """The book as the deepest topic has it, which is what REST shows."""
        name = f"orderbook.1000.{market.symbol}"
        book = self._book(name, 1000)
        topic = self._hub.topics.get(name)
        if topic is None or not topic.groups:
            book.follow(market, self._exchange.clock.now_us())
        return book

    def _book(self, name: str, depth: int) -> BookState:
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = BookState(depth)
        return book

    def restart(self, symbols: list[str]) -> int:
        """The book service has started anew: every book topic begins again with `u` 1. Returns how many were told."""
        now_us, told = self._exchange.clock.now_us(), 0
        for name, book in self._books.items():
            detail = read_topic(name)
            if detail is None or detail.symbol not in symbols:
                continue
            market = self._exchange.markets[detail.symbol]
            book.follow(market, now_us)
            book.u, book.told_us = 1, now_us
            topic = self._hub.topics.get(name)
            if topic is not None and topic.groups:
                payload = self._book_frame(name, market, book, "snapshot", None, now_us)
                self._hub.publish(topic, book.seq, lambda micros, payload=payload: payload)
                told += 1
        self._hub.flush()
        return told

    # what happens

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        """Trades are told at once; books and all else follow on their timers."""
        if not trades:
            return
        topic = self._hub.topics.get(f"publicTrade.{market.symbol}")
        rows = [self._trade_row(market, trade) for trade in trades]  # the direction is followed even unheard
        if topic is None or not topic.groups:
            return
        for start in range(0, len(rows), TRADES_PER_FRAME):
            part = rows[start : start + TRADES_PER_FRAME]
            payload = _encode({"topic": topic.name, "type": "snapshot", "ts": now_us // 1000, "data": part})
            ident = trades[min(start + TRADES_PER_FRAME, len(trades)) - 1].trade_id
            self._hub.publish(topic, ident, lambda micros, payload=payload: payload)

    def _trade_row(self, market: Market, trade: Trade) -> dict[str, Any]:
        numbers = self._board.numbers(market)
        row: dict[str, Any] = {
            "T": trade.time_us // 1000,
            "s": market.symbol,
            "S": "Sell" if trade.buyer_is_maker else "Buy",
            "v": numbers.size(trade.quantity),
            "p": numbers.price(trade.price),
        }
        last = self._last_price.get(market.symbol, trade.price)
        if trade.price != last:
            self._direction[market.symbol] = "Plus" if trade.price > last else "Minus"
        same = "Zero" if trade.price == last else ""
        self._last_price[market.symbol] = trade.price
        if self._board.derivative:
            row["L"] = f"{same}{self._direction.get(market.symbol, 'Plus')}Tick"
        return row | {
            "i": self._board.ids.execution(market.symbol, trade.trade_id),
            "BT": False,
            "RPI": False,
            "seq": trade.agg_id,
        }

    def liquidated(self, market: Market, side: str, size: str, price: str, now_us: int) -> None:
        """A position was taken over; told with the next round. `side` is that of the position."""
        row = {"T": now_us // 1000, "s": market.symbol, "S": side, "v": size, "p": price}
        self._liquidations.setdefault(market.symbol, []).append(row)

    def publish_timed(self, now_us: int, force: bool) -> None:
        """What is due by the clock; `force` sends it now."""
        second, final = now_us // KLINE_US, {}
        if second != self._second or force:
            self._second, final = second, self._final(now_us)
        for topic in self._hub.wanted():
            detail = topic.detail
            if not isinstance(detail, TopicName) or detail.symbol not in self._exchange.markets:
                continue
            market = self._exchange.markets[detail.symbol]
            if detail.kind == "orderbook":
                self._tell_book(topic, market, detail.depth, now_us, force)
            elif detail.kind == "tickers":
                self._tell_ticker(topic, market, now_us, force)
            elif detail.kind == "kline":
                self._tell_kline(topic, market, detail.interval, final.get(market.symbol, []), now_us, force)
            elif detail.kind == "allLiquidation":
                self._tell_liquidations(topic, market, now_us, force)

    # books

    def _tell_book(self, topic: Topic, market: Market, depth: int, now_us: int, force: bool) -> None:
        book = self._book(topic.name, depth)
        if not force and 0 <= now_us - book.looked_us < DEPTHS[depth]:
            return
        book.looked_us = now_us
        changes = book.follow(market, now_us) if market.update_id != book.seq else ([], [])
        if depth == 1:
            quiet = now_us - book.told_us >= REPEAT_US
            if not (changes[0] or changes[1] or quiet):
                return
            book.told_us = now_us
            payload = self._book_frame(topic.name, market, book, "snapshot", None, now_us)
        elif changes[0] or changes[1]:
            payload = self._book_frame(topic.name, market, book, "delta", changes, now_us)
        else:
            return
        self._hub.publish(topic, book.seq, lambda micros: payload)

    def _book_frame(
        self,
        name: str,
        market: Market,
        book: BookState,
        kind: str,
        changes: tuple[list[Level], list[Level]] | None,
        now_us: int,
    ) -> bytes:
        numbers = self._board.numbers(market)
        bids, asks = changes or (book.best_bids(book.depth), book.best_asks(book.depth))
        data = {
            "s": market.symbol,
            "b": [(numbers.price(ticks), numbers.size(lots)) for ticks, lots in bids],
            "a": [(numbers.price(ticks), numbers.size(lots)) for ticks, lots in asks],
            "u": book.u,
            "seq": book.seq,
        }
        now_ms = now_us // 1000
        head: dict[str, Any] = {"topic": name}
        if not self._board.derivative or book.depth == 1:  # there the time stands before the type
            head |= {"ts": now_ms, "type": kind}
        else:
            head |= {"type": kind, "ts": now_ms}
        return _encode(head | {"data": data, "cts": min(now_ms, book.changed_ms or now_ms)})

    # tickers

    def _ticker(self, market: Market, now_us: int) -> dict[str, str]:
        fields = ticker_fields(self._board, market, now_us // 1000)
        if not self._board.derivative:
            return fields
        direction = self._direction.get(market.symbol, "ZeroPlus" if market.symbol not in self._last_price else "Plus")
        fields["tickDirection"] = f"{direction}Tick"
        fields |= best_fields(self._board.numbers(market), market)
        if market.listing.expiry_ms:
            at = datetime.fromtimestamp(market.listing.expiry_ms // 1000, UTC)
            fields["deliveryTime"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return fields

    def _tell_ticker(self, topic: Topic, market: Market, now_us: int, force: bool) -> None:
        known, told_us = topic.note or (None, 0)
        if not force and 0 <= now_us - told_us < TICKER_US[self._board.category]:
            return
        fields = self._ticker(market, now_us)
        topic.note = (fields, now_us)
        if fields == known:
            return
        if self._board.derivative and known is not None:
            changed = {name: text for name, text in fields.items() if known.get(name) != text}
            payload = self._ticker_frame(topic, market, "delta", {"symbol": market.symbol} | changed, now_us)
        else:
            payload = self._ticker_frame(topic, market, "snapshot", fields, now_us)
        self._hub.publish(topic, now_us // 1000, lambda micros: payload)

    def _ticker_frame(self, topic: Topic, market: Market, kind: str, fields: dict[str, str], now_us: int) -> bytes:
        head: dict[str, Any] = {"topic": topic.name}
        if self._board.derivative:
            return _encode(head | {"type": kind, "data": fields, "cs": market.update_id, "ts": now_us // 1000})
        return _encode(head | {"ts": now_us // 1000, "type": kind, "cs": market.update_id, "data": fields})

    # candles

    def _final(self, now_us: int) -> dict[str, list[tuple[str, Bar]]]:
        final = {}
        for symbol, market in self._exchange.markets.items():
            market.candles.roll(now_us // 1000)
            final[symbol] = market.candles.take_final()
        return final

    def _tell_kline(
        self,
        topic: Topic,
        market: Market,
        interval: str,
        final: list[tuple[str, Bar]],
        now_us: int,
        force: bool,
    ) -> None:
        for name, bar in final:
            if name == INTERVALS[interval]:
                self._send_kline(topic, market, interval, market.with_past(name, bar), now_us, confirm=True)
        told_us = topic.note[1] if topic.note else 0
        if force or not 0 <= now_us - told_us < KLINE_US:
            self._send_kline(topic, market, interval, market.bar(INTERVALS[interval]), now_us, confirm=False)

    def _send_kline(self, topic: Topic, market: Market, interval: str, bar: Bar, now_us: int, *, confirm: bool) -> None:
        same = (bar.start, bar.count, confirm)
        if topic.note and topic.note[0] == same:
            return
        topic.note = (same, now_us)
        names = ("open", "high", "low", "close", "volume", "turnover")
        texts = kline_texts(self._board, market, self._board.numbers(market), bar)
        newest = market.recent(1)
        end = kline_end_ms(INTERVALS[interval], bar.start)
        row = {"start": bar.start, "end": end, "interval": interval} | dict(zip(names, texts, strict=True))
        row["confirm"] = confirm
        row["timestamp"] = min(end, newest[-1].time_us // 1000) if newest and bar.count else bar.start
        payload = _encode({"topic": topic.name, "data": [row], "ts": now_us // 1000, "type": "snapshot"})
        self._hub.publish(topic, bar.start, lambda micros: payload)

    # liquidations

    def _tell_liquidations(self, topic: Topic, market: Market, now_us: int, force: bool) -> None:
        told_us = topic.note or 0
        rows = self._liquidations.get(market.symbol)
        if not rows or not (force or not 0 <= now_us - told_us < LIQUIDATION_US):
            return
        topic.note = now_us
        self._liquidations[market.symbol] = []
        payload = _encode({"topic": topic.name, "type": "snapshot", "ts": now_us // 1000, "data": rows})
        self._hub.publish(topic, now_us // 1000, lambda micros: payload)
