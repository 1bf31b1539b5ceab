"""Name the futures market streams and write their payloads from the live markets.

Real-time streams follow every order; timed ones are sent at multiples of 100 ms of the exchange's clock, and only when something
changed. Update ids are those of the book without holes, which the venue does not promise: only `pu` tells whether events follow
each other. Source: the venue's USDⓈ-M and COIN-M stream documents, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from connector.matching import Outcome, Side
from connector.simulator.accounts import AccountFill, AccountOrder
from connector.simulator.candles import Bar, Candles, bucket_end
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import (
    contract_type,
    day_fields,
    price_text,
    size_text,
    turnover,
)
from connector.simulator.dialects.binance_futures.render import average
from connector.simulator.dialects.binance_futures.rest import INTERVALS_HERE
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.hub import Hub, Topic
from connector.simulator.instruments import text_e8
from connector.simulator.market import Aggregate, Market, aggregate_trades

__all__ = ["LiveStreams", "StreamName", "read_stream_name", "route_of"]

_NAME = re.compile(r"(?P<symbol>[a-z0-9_]+)@(?P<kind>[A-Za-z]+)(?P<rest>.*)")
_KLINE = re.compile(r"_(?P<interval>[0-9]+[smhdwM])")
_CONTINUOUS = re.compile(r"(?P<pair>[a-z0-9]+)_(?P<type>perpetual|current_quarter|next_quarter)")
_DEPTH = re.compile(r"(?P<levels>5|10|20)?(@(?P<speed>100|500)ms)?")
_PLAIN = ("trade", "aggTrade", "bookTicker", "ticker", "miniTicker", "forceOrder")
_ALL = {
    "!ticker@arr": ("ticker", 10),
    "!miniTicker@arr": ("miniTicker", 10),
    "!markPrice@arr": ("markPrice", 30),
    "!markPrice@arr@1s": ("markPrice", 10),
    "!bookTicker": ("bookTicker", 50),
    "!forceOrder@arr": ("forceOrder", 10),
    "!contractInfo": ("contractInfo", 1),
}
_KLINES = ("kline", "markPriceKline", "indexPriceKline")


class StreamName(NamedTuple):
    """A stream this venue serves: symbol in upper case ("" for all; a pair for those of pairs), kind, what the name adds, and how
    many tenths of a second lie between two events."""

    symbol: str
    kind: str
    tenths: int = 0
    interval: str = ""
    levels: int = 0
    contract: str = ""


def read_stream_name(name: str, product: Product) -> StreamName | None:
    """Take a stream's name apart; None when nothing ever comes under it. Names are in lower case."""
    if name in _ALL:
        kind, tenths = _ALL[name]
        return StreamName("", kind, tenths)
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol, kind, rest = match["symbol"].upper(), match["kind"], match["rest"]
    if kind in _PLAIN and not rest:
        return StreamName(
            symbol, kind, (20 if product.linear else 5) if "icker" in kind and kind != "bookTicker" else 0
        )
    if kind in ("markPrice", "indexPrice") and rest in ("", "@1s"):
        if kind == "indexPrice" and product.linear:
            return None
        return StreamName(symbol, kind, 10 if rest else 30)
    if kind in _KLINES and (found := _KLINE.fullmatch(rest)) and found["interval"] in INTERVALS_HERE:
        if kind != "kline" and product.linear:
            return None
        return StreamName(symbol, kind, 2, found["interval"])
    if kind == "continuousKline" and (found := _KLINE.fullmatch(rest)) and found["interval"] in INTERVALS_HERE:
        of = _CONTINUOUS.fullmatch(match["symbol"])
        if of is not None:
            return StreamName(of["pair"].upper(), kind, 2, found["interval"], contract=of["type"].upper())
    if kind == "depth" and (found := _DEPTH.fullmatch(rest)):
        tenths = {"100": 1, "500": 5}.get(found["speed"] or "", 2)
        return StreamName(symbol, "partial" if found["levels"] else "depth", tenths, levels=int(found["levels"] or 0))
    if kind == "rpiDepth" and rest == "@500ms" and product.linear:
        return StreamName(symbol, "depth", 5)
    return None


def route_of(name: str, meaning: StreamName | None) -> str:
    """Which path carries a stream: public or market."""
    if meaning is None:
        return "public"
    return "public" if meaning.kind in ("bookTicker", "depth", "partial", "trade") else "market"


_encode = msgspec.json.Encoder().encode


class _Depth:
    """Price levels changed since the last event of one speed."""

    __slots__ = ("asks", "bids", "first", "last", "tenths", "topics")

    def __init__(self, topics: list[Topic], tenths: int, first: int) -> None:
        self.topics, self.tenths, self.first, self.last = topics, tenths, first, first - 1
        self.bids: set[int] = set()
        self.asks: set[int] = set()


class _Feed:
    """The streams of one market and what they have not told yet."""

    def __init__(self, market: Market, hub: Hub) -> None:
        self.market = market
        name, first = market.symbol.lower(), market.update_id + 1
        self.trade, self.agg = hub.topic(f"{name}@trade"), hub.topic(f"{name}@aggTrade")
        self.best, self.force = hub.topic(f"{name}@bookTicker"), hub.topic(f"{name}@forceOrder")
        self.depths = [
            _Depth([hub.topic(f"{name}@depth@100ms")], 1, first),
            _Depth([hub.topic(f"{name}@depth")], 2, first),
            _Depth([hub.topic(f"{name}@depth@500ms"), hub.topic(f"{name}@rpiDepth@500ms")], 5, first),
        ]
        self.forced: dict[str, Any] | None = None
        self.forced_lots = 0


class LiveStreams:
    """Everything the live markets say on their streams."""

    def __init__(self, exchange: Exchange, product: Product) -> None:
        self._exchange, self._product, self._hub = exchange, product, exchange.hub
        self._feeds = {symbol: _Feed(market, exchange.hub) for symbol, market in exchange.markets.items()}
        self._tenth = 0

    def _tail(self, market: Market) -> dict[str, Any]:
        return {"ps": market.listing.pair, "st": self._product.st}

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        """One order's effects: trades, then the best prices."""
        feed, now_ms = self._feeds[market.symbol], now_us // 1000
        for change in outcome.changes:
            for depth in feed.depths:
                (depth.bids if change.side is Side.BUY else depth.asks).add(change.price)
        if trades and feed.trade.groups:
            for trade in trades:
                self._send(feed.trade, trade.trade_id, _trade(market, trade, now_ms, self._product))
        if trades and feed.agg.groups:
            for entry in aggregate_trades(trades):
                self._send(feed.agg, entry.agg_id, _agg_trade(market, entry, now_ms, self._product))
        if feed.best.groups and outcome.changes:
            self._best(feed.best, market, now_ms)

    def forced(self, order: AccountOrder, fill: AccountFill, at_ms: int) -> None:
        """A liquidation has traded: the public is told of one a second and symbol, the largest (USDⓈ-M) or the latest."""
        market = order.market
        row: dict[str, Any] = {
            "s": market.symbol,
            "S": order.new.side.value,
            "o": "LIMIT",
            "f": "IOC",
            "q": size_text(market, order.lots),
            "p": price_text(market, order.new.price or 0),
            "ap": average(order),
            "X": order.status.value,
            "l": size_text(market, fill.lots),
            "z": size_text(market, order.filled),
            "T": at_ms,
        }
        event: dict[str, Any] = {"e": "forceOrder", "E": at_ms, "o": row}
        if self._product.linear:
            event |= self._tail(market)
        else:
            row["ps"] = market.listing.pair
            event["st"] = self._product.st
        feed = self._feeds[market.symbol]
        if feed.forced is None or not self._product.linear or order.lots >= feed.forced_lots:
            feed.forced, feed.forced_lots = event, order.lots

    def _send(self, topic: Topic, ident: int, row: Any) -> None:
        payload = _encode(row)
        self._hub.publish(topic, ident, lambda micros: payload)

    def _best(self, topic: Topic, market: Market, now_ms: int) -> None:
        bids, asks = market.engine.bids(1) or [(0, 0)], market.engine.asks(1) or [(0, 0)]
        now = (*bids[0], *asks[0])
        if topic.note != now:
            topic.note = now
            self._send(topic, market.update_id, self._book_ticker(market, now, now_ms))

    def _book_ticker(self, market: Market, now: tuple[int, ...], now_ms: int) -> dict[str, Any]:
        return {
            "e": "bookTicker",
            "u": market.update_id,
            "s": market.symbol,
            "ps": market.listing.pair,
            "b": price_text(market, now[0]),
            "B": size_text(market, now[1]),
            "a": price_text(market, now[2]),
            "A": size_text(market, now[3]),
            "T": now_ms,
            "E": now_ms,
            "st": self._product.st,
        }

    def publish_timed(self, now_us: int, force: bool) -> None:
        """What is due by the clock; `force` sends it now."""
        now_ms = now_us // 1000
        tenth = now_ms // 100
        if tenth == self._tenth and not force:
            return

        before, self._tenth = self._tenth, tenth

        def due(tenths: int) -> bool:
            return force or tenth // tenths != before // tenths

        second = due(10)
        for feed in self._feeds.values():
            for depth in feed.depths:
                if due(depth.tenths):
                    self._depth(feed.market, depth, now_ms)
            if second:
                feed.market.candles.roll(now_ms)
        final = {symbol: feed.market.candles.take_final() for symbol, feed in self._feeds.items()}
        forced = [feed.forced for feed in self._feeds.values() if feed.forced is not None] if second else []
        if second:
            for feed in self._feeds.values():
                if feed.forced is not None:
                    self._send(feed.force, now_ms, feed.forced)
                    feed.forced = None
        for topic in self._hub.wanted():
            name = topic.detail
            if not isinstance(name, StreamName) or not name.tenths:
                continue
            if name.symbol == "":
                if due(name.tenths):
                    self._every(topic, name, now_ms, forced)
            else:
                self._one(topic, name, final, now_ms, due(name.tenths))

    def _one(
        self, topic: Topic, name: StreamName, final: dict[str, list[tuple[str, Bar]]], now_ms: int, is_due: bool
    ) -> None:
        if name.kind in (*_KLINES, "continuousKline"):
            for market in self._markets(name):
                self._kline(topic, name, market, final[market.symbol], now_ms, is_due)
            return
        if not is_due:
            return
        if name.kind == "indexPrice" or (name.kind == "markPrice" and name.symbol not in self._feeds):
            rows = [self._timed(name.kind, market, now_ms) for market in self._of_pair(name.symbol)]
            if rows and name.kind == "indexPrice":
                self._changed(topic, rows[0], now_ms)
            elif rows and not self._product.linear:
                self._send(topic, now_ms, rows)
            return
        feed = self._feeds.get(name.symbol)
        if feed is None:
            return
        if name.kind == "partial":
            self._partial(topic, name, feed.market, now_ms)
        elif name.kind in ("ticker", "miniTicker"):
            self._changed(topic, self._timed(name.kind, feed.market, now_ms), now_ms)
        elif name.kind == "markPrice":
            self._send(topic, now_ms, self._timed(name.kind, feed.market, now_ms))

    def _of_pair(self, pair: str) -> list[Market]:
        return [feed.market for feed in self._feeds.values() if feed.market.listing.pair == pair]

    def _markets(self, name: StreamName) -> Iterable[Market]:
        if name.kind == "indexPriceKline":
            return self._of_pair(name.symbol)[:1]
        if name.kind == "continuousKline":
            every = list(self._exchange.markets.values())
            return [m for m in self._of_pair(name.symbol) if contract_type(m, every) == name.contract][:1]
        return [self._feeds[name.symbol].market] if name.symbol in self._feeds else []

    def _depth(self, market: Market, depth: _Depth, now_ms: int) -> None:
        first, last = depth.first, market.update_id
        if last < first:
            return
        if any(topic.groups for topic in depth.topics):
            payload = self._levels(market, depth.bids, depth.asks, first, last, depth.last, now_ms)
            for topic in depth.topics:
                self._hub.publish(topic, last, lambda micros: payload)
        depth.first, depth.last = last + 1, last
        depth.bids.clear()
        depth.asks.clear()

    def _levels(
        self, market: Market, bids: Iterable[int], asks: Iterable[int], first: int, last: int, before: int, now_ms: int
    ) -> bytes:
        engine = market.engine

        def rows(side: Side, prices: Iterable[int]) -> list[tuple[str, str]]:
            ordered = sorted(prices, reverse=side is Side.BUY)
            return [
                (price_text(market, ticks), size_text(market, engine.quantity_at(side, ticks))) for ticks in ordered
            ]

        return _encode(
            {
                "e": "depthUpdate",
                "E": now_ms,
                "T": now_ms,
                "s": market.symbol,
                "ps": market.listing.pair,
                "U": first,
                "u": last,
                "pu": before,
                "b": rows(Side.BUY, bids),
                "a": rows(Side.SELL, asks),
                "st": self._product.st,
            }
        )

    def _partial(self, topic: Topic, name: StreamName, market: Market, now_ms: int) -> None:
        last = market.update_id
        before = topic.note or last - 1
        if before == last:
            return
        topic.note = last
        engine = market.engine
        bids, asks = [p for p, _ in engine.bids(name.levels)], [p for p, _ in engine.asks(name.levels)]
        payload = self._levels(market, bids, asks, before + 1, last, before, now_ms)
        self._hub.publish(topic, last, lambda micros: payload)

    # candles

    def _kline(
        self, topic: Topic, name: StreamName, market: Market, final: list[tuple[str, Bar]], now_ms: int, is_due: bool
    ) -> None:
        if name.kind in ("markPriceKline", "indexPriceKline"):
            live = market.marks.candles if name.kind == "markPriceKline" else market.marks.index_candles
            if is_due:
                self._smooth_kline(topic, name, market, live, now_ms)
            return
        for interval, bar in final:
            if interval == name.interval:
                self._send_kline(topic, name, market, market.with_past(interval, bar), now_ms, closed=True)
        if is_due:
            self._send_kline(topic, name, market, market.bar(name.interval), now_ms, closed=False)

    def _smooth_kline(self, topic: Topic, name: StreamName, market: Market, live: Candles, now_ms: int) -> None:
        live.roll(now_ms)
        bars = live.bars(name.interval)[-2:]
        if topic.note is not None and len(bars) == 2 and topic.note[0] == bars[0].start:
            self._send_kline(topic, name, market, bars[0], now_ms, closed=True)
        self._send_kline(topic, name, market, bars[-1], now_ms, closed=False)

    def _send_kline(
        self, topic: Topic, name: StreamName, market: Market, bar: Bar, now_ms: int, *, closed: bool
    ) -> None:
        note = (bar.start, bar.count, closed)
        if topic.note == note:
            return
        topic.note = note
        bare = name.kind in ("markPriceKline", "indexPriceKline")
        inner: dict[str, Any] = {
            "t": bar.start,
            "T": bucket_end(name.interval, bar.start) - 1,
            "s": market.symbol,
            "i": name.interval,
            "f": 0 if bare else bar.first_id,
            "L": 0 if bare else bar.last_id,
            "o": price_text(market, bar.open),
            "c": price_text(market, bar.close),
            "h": price_text(market, bar.high),
            "l": price_text(market, bar.low),
            "v": "0" if bare else size_text(market, bar.volume),
            "n": bar.count,
            "x": closed,
            "q": "0" if bare else turnover(market, bar.volume, bar.quote),
            "V": "0" if bare else size_text(market, bar.buy),
            "Q": "0" if bare else turnover(market, bar.buy, bar.buy_quote),
            "B": "0",
        }
        head: dict[str, Any] = {"e": "kline", "E": now_ms, "s": market.symbol}
        if name.kind == "continuousKline":
            del inner["s"]
            head = {"e": "continuous_kline", "E": now_ms, "ps": name.symbol, "ct": name.contract}
        elif name.kind == "markPriceKline":
            head = {"e": "markPrice_kline", "E": now_ms, "ps": market.listing.pair}
        elif name.kind == "indexPriceKline":
            del inner["s"]
            head = {"e": "indexPrice_kline", "E": now_ms, "ps": name.symbol}
        self._send(topic, bar.start, head | {"k": inner})

    # timed rows

    def _changed(self, topic: Topic, row: dict[str, Any], now_ms: int) -> None:
        note = {name: value for name, value in row.items() if name not in ("E", "C")}
        if topic.note != note:
            topic.note = note
            self._send(topic, now_ms, row)

    def _every(self, topic: Topic, name: StreamName, now_ms: int, forced: list[dict[str, Any]]) -> None:
        if name.kind == "forceOrder":
            for event in forced:
                self._send(topic, now_ms, event)
            return
        if name.kind == "contractInfo":
            self._contract_info(topic, now_ms)
            return
        topic.note = topic.note or {}
        rows = []
        for feed in self._feeds.values():
            market = feed.market
            if name.kind == "bookTicker":
                bids, asks = market.engine.bids(1) or [(0, 0)], market.engine.asks(1) or [(0, 0)]
                row = self._book_ticker(market, (*bids[0], *asks[0]), now_ms)
            else:
                row = self._timed(name.kind, market, now_ms)
            note = {key: value for key, value in row.items() if key not in ("E", "C", "T", "u")}
            if name.kind == "markPrice" or topic.note.get(market.symbol) != note:
                topic.note[market.symbol] = note
                rows.append(row)
        if rows:
            rows.append(self._foreign(rows[0]))
        if name.kind == "bookTicker":
            for row in rows:
                self._send(topic, row["u"], row)
        elif rows:
            self._send(topic, now_ms, rows)

    def _foreign(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the other product: all-market streams carry both since 2026-06, told apart by `st` alone."""
        base = self._feeds[row["s"]].market.listing.base
        symbol, pair, st = (f"{base}USD_PERP", f"{base}USD", 2) if self._product.linear else (f"{base}USDT",) * 2 + (1,)
        return row | {"s": symbol, "st": st} | ({"ps": pair} if "ps" in row else {})

    def _contract_info(self, topic: Topic, now_ms: int) -> None:
        """Who changed status since the last look."""
        now = {symbol: feed.market.status for symbol, feed in self._feeds.items()}
        before, topic.note = topic.note or now, now
        every = list(self._exchange.markets.values())
        for symbol, status in now.items():
            if before[symbol] != status:
                market = self._feeds[symbol].market
                row: dict[str, Any] = {
                    "e": "contractInfo",
                    "E": now_ms,
                    "s": symbol,
                    "ps": market.listing.pair,
                    "ct": contract_type(market, every),
                    "dt": market.listing.expiry_ms or 4_133_404_800_000,
                    "ot": 1_569_398_400_000,
                    "cs": status,
                    "st": self._product.st,
                }
                self._send(topic, now_ms, row)

    def _timed(self, kind: str, market: Market, now_ms: int) -> dict[str, Any]:
        rows: dict[str, Callable[[Market, int], dict[str, Any]]] = {
            "ticker": self._ticker,
            "miniTicker": self._mini,
            "markPrice": self._mark,
            "indexPrice": self._index,
        }
        return rows[kind](market, now_ms)

    def _ticker(self, market: Market, now_ms: int) -> dict[str, Any]:
        total, _ = market.day(now_ms)
        change, percent, weighted = day_fields(market, total)
        newest = market.recent(1)
        return {
            "e": "24hrTicker",
            "E": now_ms,
            "s": market.symbol,
            "p": change,
            "P": percent,
            "w": weighted,
            "c": price_text(market, total.close),
            "Q": size_text(market, newest[-1].quantity if newest else 0),
            "o": price_text(market, total.open),
            "h": price_text(market, total.high),
            "l": price_text(market, total.low),
            "v": size_text(market, total.volume),
            "q": turnover(market, total.volume, total.quote),
            "O": total.start,
            "C": now_ms,
            "F": total.first_id,
            "L": total.last_id,
            "n": total.count,
            **self._tail(market),
        }

    def _mini(self, market: Market, now_ms: int) -> dict[str, Any]:
        total, _ = market.day(now_ms)
        return {
            "e": "24hrMiniTicker",
            "E": now_ms,
            "s": market.symbol,
            "c": price_text(market, total.close),
            "o": price_text(market, total.open),
            "h": price_text(market, total.high),
            "l": price_text(market, total.low),
            "v": size_text(market, total.volume),
            "q": turnover(market, total.volume, total.quote),
            **self._tail(market),
        }

    def _mark(self, market: Market, now_ms: int) -> dict[str, Any]:
        marks = market.marks
        row: dict[str, Any] = {"e": "markPriceUpdate", "E": now_ms, "s": market.symbol, "p": text_e8(marks.mark_e8)}
        if self._product.linear:
            row["ap"] = text_e8(marks.mark_e8)
        empty = "0.00000000" if self._product.linear else ""
        return row | {
            "P": text_e8(marks.index_e8),
            "i": text_e8(marks.index_e8),
            "r": text_e8(marks.rate_e8) if marks.funded else empty,
            "T": marks.next_us // 1000 if marks.funded else 0,
            "st": self._product.st,
        }

    def _index(self, market: Market, now_ms: int) -> dict[str, Any]:
        return {
            "e": "indexPriceUpdate",
            "E": now_ms,
            "s": market.listing.pair,
            "p": text_e8(market.marks.index_e8),
            "st": self._product.st,
        }


def _trade(market: Market, trade: Trade, now_ms: int, product: Product) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": now_ms,
        "T": trade.time_us // 1000,
        "s": market.symbol,
        "t": trade.trade_id,
        "p": price_text(market, trade.price),
        "q": size_text(market, trade.quantity),
        "X": "MARKET",
        "m": trade.buyer_is_maker,
        "st": product.st,
    }


def _agg_trade(market: Market, entry: Aggregate, now_ms: int, product: Product) -> dict[str, Any]:
    size = size_text(market, entry.quantity)
    row: dict[str, Any] = {
        "e": "aggTrade",
        "E": now_ms,
        "s": market.symbol,
        "a": entry.agg_id,
        "p": price_text(market, entry.price),
        "q": size,
    }
    if product.linear:
        row["nq"] = size
    return row | {
        "f": entry.first_id,
        "l": entry.last_id,
        "T": entry.time_us // 1000,
        "m": entry.buyer_is_maker,
        "st": product.st,
    }
