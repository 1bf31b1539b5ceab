"""Name the spot market streams and write their payloads from the live markets.

Real-time streams follow every order; timed ones are sent at multiples of 100 ms or 1 s of the exchange's clock, and only when
something changed. Source: the venue's spot WebSocket stream documents, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from connector.matching import Outcome, Side
from connector.simulator.candles import INTERVALS, Bar
from connector.simulator.dialects.binance_spot.live import average_price, best, day_fields, kline_end_ms, zone_bars
from connector.simulator.dialects.binance_spot.rest import zone_ms
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.hub import Hub, Render, Topic
from connector.simulator.market import Market, aggregate_trades

__all__ = ["LiveStreams", "StreamName", "read_stream_name"]

_NAME = re.compile(r"(?P<symbol>[a-z0-9]+)@(?P<kind>[A-Za-z]+)(?P<rest>.*)")
_KLINE = re.compile(r"_(?P<interval>[0-9]+[smhdwM])(@(?P<zone>[+-][0-9]{2}:[0-9]{2}))?")
_DEPTH = re.compile(r"(?P<levels>5|10|20)?(@(?P<speed>100ms|1000ms))?")
_WINDOWS = {"1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
_PLAIN = ("trade", "aggTrade", "bookTicker", "ticker", "miniTicker", "avgPrice")


class StreamName(NamedTuple):
    """A stream this venue serves: symbol in upper case ("" for all), kind, and what the name adds."""

    symbol: str
    kind: str
    interval: str = ""
    zone_ms: int = 0
    levels: int = 0
    fast: bool = False


def read_stream_name(name: str) -> StreamName | None:
    """Take a stream's name apart; None when the venue has no such stream. Names are case-sensitive."""
    if name == "!miniTicker@arr":
        return StreamName("", "miniTicker")
    if name.startswith("!ticker_") and name.endswith("@arr") and name[8:-4] in _WINDOWS:
        return StreamName("", "windowTicker", name[8:-4])
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol, kind, rest = match["symbol"].upper(), match["kind"], match["rest"]
    if kind in _PLAIN and not rest:
        return StreamName(symbol, kind)
    if kind == "ticker" and rest[1:] in _WINDOWS and rest[0] == "_":
        return StreamName(symbol, "windowTicker", rest[1:])
    if kind == "kline" and (found := _KLINE.fullmatch(rest)) and found["interval"] in INTERVALS:
        offset = zone_ms(found["zone"]) if found["zone"] else 0
        return None if offset is None else StreamName(symbol, "kline", found["interval"], offset)
    if kind == "depth" and (found := _DEPTH.fullmatch(rest)):
        levels = int(found["levels"] or 0)
        return StreamName(symbol, "partial" if levels else "depth", levels=levels, fast=found["speed"] == "100ms")
    return None


class _Feed:
    """The streams of one market and what they have not told yet."""

    def __init__(self, market: Market, hub: Hub) -> None:
        self.market = market
        name = market.symbol.lower()
        self.trade, self.agg = hub.topic(f"{name}@trade"), hub.topic(f"{name}@aggTrade")
        self.best = hub.topic(f"{name}@bookTicker")
        self.fast = _Changes([hub.topic(f"{name}@depth@100ms")], market.update_id + 1)
        self.slow = _Changes([hub.topic(f"{name}@depth"), hub.topic(f"{name}@depth@1000ms")], market.update_id + 1)


class _Changes:
    """Price levels changed since the last depth event of one speed."""

    __slots__ = ("asks", "bids", "first", "topics")

    def __init__(self, topics: list[Topic], first: int) -> None:
        self.topics, self.first = topics, first
        self.bids: set[int] = set()
        self.asks: set[int] = set()


class LiveStreams:
    """Everything the live markets say on their streams."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._hub = exchange.hub
        self._feeds = {symbol: _Feed(market, exchange.hub) for symbol, market in exchange.markets.items()}
        self._tenth = self._second = 0

    def publish(self, market: Market, outcome: Outcome, trades: list[Trade], now_us: int) -> None:
        """One order's effects, in the order the venue tells them: trades, then the book."""
        feed = self._feeds[market.symbol]
        fast, slow = feed.fast, feed.slow
        for change in outcome.changes:
            if change.side is Side.BUY:
                fast.bids.add(change.price)
                slow.bids.add(change.price)
            else:
                fast.asks.add(change.price)
                slow.asks.add(change.price)
        publish = self._hub.publish
        if trades and feed.trade.groups:
            for trade in trades:
                publish(feed.trade, trade.trade_id, _trade(market, trade, now_us))
        if trades and feed.agg.groups:
            for entry in aggregate_trades(trades):
                publish(feed.agg, entry.agg_id, _agg_trade(market, entry, now_us))
        if feed.best.groups and outcome.changes:
            now = best(market)
            if feed.best.note != now:
                feed.best.note = now
                publish(feed.best, market.update_id, _book_ticker(market.symbol, market.update_id, now))

    def publish_timed(self, now_us: int, force: bool) -> None:
        """What is due by the clock; `force` sends it now."""
        now_ms = now_us // 1000
        tenth, second = now_ms // 100, now_ms // 1000
        if tenth == self._tenth and not force:
            return
        whole_second = second != self._second or force
        self._tenth, self._second = tenth, second
        for feed in self._feeds.values():
            self._depth(feed.market, feed.fast, now_us)
            if whole_second:
                self._depth(feed.market, feed.slow, now_us)
                feed.market.candles.roll(now_ms)
        final = {symbol: feed.market.candles.take_final() for symbol, feed in self._feeds.items()}
        even = whole_second and (second % 2 == 0 or force)
        for topic in self._hub.wanted():
            name = topic.detail
            if not isinstance(name, StreamName):
                continue
            if name.symbol == "":
                if whole_second:
                    self._all(topic, name, now_us)
                continue
            if name.symbol not in self._feeds:
                continue
            feed = self._feeds[name.symbol]
            if name.kind == "kline":
                self._kline(topic, name, feed.market, final[name.symbol], now_us, even, whole_second)
            elif name.kind == "partial" and (name.fast or whole_second):
                self._partial(topic, name, feed.market)
            elif whole_second and name.kind in _TIMED:
                self._changed(topic, feed.market, now_us, _TIMED[name.kind](feed.market, name, now_us))

    def _depth(self, market: Market, changes: _Changes, now_us: int) -> None:
        first, last = changes.first, market.update_id
        if last < first:
            return
        if any(topic.groups for topic in changes.topics):
            engine, price, size = market.engine, market.price_text, market.size_text
            bids = [
                (price(ticks), size(engine.quantity_at(Side.BUY, ticks)))
                for ticks in sorted(changes.bids, reverse=True)
            ]
            asks = [(price(ticks), size(engine.quantity_at(Side.SELL, ticks))) for ticks in sorted(changes.asks)]
            levels = b'"b":' + _encode(bids) + b',"a":' + _encode(asks)

            def render(micros: bool) -> bytes:
                at = now_us if micros else now_us // 1000
                head = f'{{"e":"depthUpdate","E":{at},"s":"{market.symbol}","U":{first},"u":{last},'
                return head.encode() + levels + b"}"

            for topic in changes.topics:
                self._hub.publish(topic, last, render)
        changes.first = last + 1
        changes.bids.clear()
        changes.asks.clear()

    def _partial(self, topic: Topic, name: StreamName, market: Market) -> None:
        update_id = market.update_id
        if topic.note == update_id:
            return
        topic.note = update_id
        price, size = market.price_text, market.size_text
        payload = _encode(
            {
                "lastUpdateId": update_id,
                "bids": [(price(ticks), size(lots)) for ticks, lots in market.engine.bids(name.levels)],
                "asks": [(price(ticks), size(lots)) for ticks, lots in market.engine.asks(name.levels)],
            }
        )
        self._hub.publish(topic, update_id, lambda micros: payload)

    def _kline(
        self,
        topic: Topic,
        name: StreamName,
        market: Market,
        final: list[tuple[str, Bar]],
        now_us: int,
        even: bool,
        whole_second: bool,
    ) -> None:
        if name.zone_ms:
            # the zone's candles are sums; what closed is known by comparing open times
            if not even:
                return
            bars = zone_bars(market, name.interval, name.zone_ms)[-2:]
            if topic.note is not None and len(bars) == 2 and topic.note[0] == bars[0].start:
                self._send_kline(topic, name, market, bars[0], now_us, closed=True)
            self._send_kline(topic, name, market, bars[-1], now_us, closed=False)
            return
        for interval, bar in final:
            if interval == name.interval:
                self._send_kline(topic, name, market, market.with_past(interval, bar), now_us, closed=True)
        if even or (whole_second and name.interval == "1s"):
            self._send_kline(topic, name, market, market.bar(name.interval), now_us, closed=False)

    def _send_kline(
        self, topic: Topic, name: StreamName, market: Market, bar: Bar, now_us: int, *, closed: bool
    ) -> None:
        note = (bar.start, bar.count, closed)
        if topic.note == note:
            return
        topic.note = note
        self._hub.publish(topic, bar.start, _kline(market, name, bar, now_us, closed))

    def _changed(self, topic: Topic, market: Market, now_us: int, made: tuple[Any, Callable[[int], Any]]) -> None:
        note, fields = made
        if topic.note == note:
            return
        topic.note = note
        self._hub.publish(topic, now_us // 1000, lambda micros: _encode(fields(1 if micros else 1000)))

    def _all(self, topic: Topic, name: StreamName, now_us: int) -> None:
        topic.note = topic.note or {}
        rows = []
        for feed in self._feeds.values():
            note, fields = _TIMED[name.kind](feed.market, name, now_us)
            if topic.note.get(feed.market.symbol) != note:
                topic.note[feed.market.symbol] = note
                rows.append(fields)
        if rows:
            render: Render = lambda micros: _encode([fields(1 if micros else 1000) for fields in rows])  # noqa: E731
            self._hub.publish(topic, now_us // 1000, render)


_encode = msgspec.json.Encoder().encode


def _trade(market: Market, trade: Trade, now_us: int) -> Render:
    def render(micros: bool) -> bytes:
        unit = 1 if micros else 1000
        return (
            f'{{"e":"trade","E":{now_us // unit},"s":"{market.symbol}","t":{trade.trade_id},'
            f'"p":"{market.price_text(trade.price)}","q":"{market.size_text(trade.quantity)}",'
            f'"T":{trade.time_us // unit},"m":{"true" if trade.buyer_is_maker else "false"},"M":true}}'
        ).encode()

    return render


def _agg_trade(market: Market, entry: Any, now_us: int) -> Render:
    def render(micros: bool) -> bytes:
        unit = 1 if micros else 1000
        return (
            f'{{"e":"aggTrade","E":{now_us // unit},"s":"{market.symbol}","a":{entry.agg_id},'
            f'"p":"{market.price_text(entry.price)}","q":"{market.size_text(entry.quantity)}",'
            f'"f":{entry.first_id},"l":{entry.last_id},"T":{entry.time_us // unit},'
            f'"m":{"true" if entry.buyer_is_maker else "false"},"M":true}}'
        ).encode()

    return render


def _book_ticker(symbol: str, update_id: int, now: tuple[str, str, str, str]) -> Render:
    payload = (
        f'{{"u":{update_id},"s":"{symbol}","b":"{now[0]}","B":"{now[1]}","a":"{now[2]}","A":"{now[3]}"}}'
    ).encode()
    return lambda micros: payload


def _kline(market: Market, name: StreamName, bar: Bar, now_us: int, closed: bool) -> Render:
    end = kline_end_ms(name.interval, bar.start, name.zone_ms)
    price, size = market.price_text, market.size_text

    def render(micros: bool) -> bytes:
        return _encode(
            {
                "e": "kline",
                "E": now_us if micros else now_us // 1000,
                "s": market.symbol,
                "k": {
                    "t": bar.start * 1000 if micros else bar.start,
                    "T": end * 1000 + 999 if micros else end,
                    "s": market.symbol,
                    "i": name.interval,
                    "f": bar.first_id,
                    "L": bar.last_id,
                    "o": price(bar.open),
                    "c": price(bar.close),
                    "h": price(bar.high),
                    "l": price(bar.low),
                    "v": size(bar.volume),
                    "n": bar.count,
                    "x": closed,
                    "q": market.quote_text(bar.quote),
                    "V": size(bar.buy),
                    "Q": market.quote_text(bar.buy_quote),
                    "B": "0",
                },
            }
        )

    return render


# Timed payloads: (what must differ for the next one to be sent, the fields by time unit in microseconds).
_Made = tuple[Any, Callable[[int], Any]]


def _mini(market: Market, name: StreamName, now_us: int) -> _Made:
    total, _ = market.day(now_us // 1000)
    price = market.price_text
    return (total.last_id, total.start), lambda unit: {
        "e": "24hrMiniTicker",
        "E": now_us // unit,
        "s": market.symbol,
        "c": price(total.close),
        "o": price(total.open),
        "h": price(total.high),
        "l": price(total.low),
        "v": market.size_text(total.volume),
        "q": market.quote_text(total.quote),
    }


def _window_fields(market: Market, total: Bar, event: str, now_us: int, unit: int) -> dict[str, Any]:
    change, percent, weighted = day_fields(market, total)
    price = market.price_text
    return {
        "e": event,
        "E": now_us // unit,
        "s": market.symbol,
        "p": change,
        "P": percent,
        "w": weighted,
        "o": price(total.open),
        "h": price(total.high),
        "l": price(total.low),
        "c": price(total.close),
        "v": market.size_text(total.volume),
        "q": market.quote_text(total.quote),
        "O": total.start * 1000 // unit,
        "C": now_us // unit,
        "F": total.first_id,
        "L": total.last_id,
        "n": total.count,
    }


def _day(market: Market, name: StreamName, now_us: int) -> _Made:
    total, before = market.day(now_us // 1000)
    newest = market.recent(1)
    bid, bid_size, ask, ask_size = best(market)

    def fields(unit: int) -> dict[str, Any]:
        return _window_fields(market, total, "24hrTicker", now_us, unit) | {
            "x": market.price_text(before),
            "Q": market.size_text(newest[-1].quantity if newest else 0),
            "b": bid,
            "B": bid_size,
            "a": ask,
            "A": ask_size,
        }

    return (total.last_id, total.start, market.update_id), fields


def _window(market: Market, name: StreamName, now_us: int) -> _Made:
    total, _ = market.window(now_us // 1000 - _WINDOWS[name.interval])
    event = f"{name.interval}Ticker"
    return (total.last_id, total.start), lambda unit: _window_fields(market, total, event, now_us, unit)


def _average(market: Market, name: StreamName, now_us: int) -> _Made:
    price, closed_us = average_price(market, now_us)
    return (price, closed_us), lambda unit: {
        "e": "avgPrice",
        "E": now_us // unit,
        "s": market.symbol,
        "i": "5m",
        "w": price,
        "T": closed_us // unit,
    }


_TIMED: dict[str, Callable[[Market, StreamName, int], _Made]] = {
    "miniTicker": _mini,
    "ticker": _day,
    "windowTicker": _window,
    "avgPrice": _average,
}
