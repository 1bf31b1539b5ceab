"""Binance spot's market streams, always in combined mode: names and frames out, frames to events in.

Combined mode (`/stream`) wraps every payload as {"stream": name, "data": payload}. It is the only mode in which a best-price
or partial-depth frame says what it belongs to: their payloads carry no event type, and partial depth not even a symbol.

`route` cuts the name out of the frame's first bytes and decodes nothing; `reader` makes the function that decodes the whole
frame once, straight into typed values. Both run on the reader thread of a connection. Nothing here keeps state, so one
reader may serve several connections at once during a rollover.

Times: a trade's `event_time_ns` is the time of the trade (`T`), the same figure REST tells, so a trade seen live equals the
one fetched later; other events carry the time the venue sent them (`E`), best prices and partial depth none. All are
milliseconds on the wire; microseconds are never asked for and are refused rather than misread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from connector.domain.instruments import Instrument
from connector.domain.market import AggTrade, BookDelta, BookTicker, Candle, OrderBook, Side, Ticker, Trade
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.topics import Topic, TopicKind
from connector.drivers.binance import facts, frames, wire
from connector.drivers.binance.facts import VENUE
from connector.drivers.binance.instruments import wire_name
from connector.drivers.binance.wire import LARGEST, SMALLEST, UNREADABLE, is_zero
from connector.drivers.contract import (
    Control,
    Hosts,
    StreamLimits,
    TopicReader,
)
from connector.errors import InvalidRequest, Unsupported, WireFormatError

__all__ = ["READERS", "STREAMS"]

# ---------------------------------------------------------------- names


def _no_speed(topic: Topic) -> None:
    if topic.speed_ms is not None:
        raise InvalidRequest(f"{topic}: {VENUE} offers no choice of speed here. Leave speed_ms away.")


def _speed(topic: Topic) -> str:
    if topic.speed_ms not in (None, 100, 1_000):
        raise InvalidRequest(f"{topic}: {VENUE} sends depth every 100 or 1000 ms; speed_ms is {topic.speed_ms!r}.")
    return "" if topic.speed_ms == 1_000 else "@100ms"


def _suffix(topic: Topic) -> str:
    match topic.kind:
        case TopicKind.BOOK:
            if topic.depth is not None:
                raise InvalidRequest(f"{topic}: {VENUE} offers no choice of depth of a full book. Leave depth away.")
            return "depth" + _speed(topic)
        case TopicKind.PARTIAL_BOOK:
            if topic.depth not in facts.PARTIAL_DEPTHS:
                offered = ", ".join(map(str, facts.PARTIAL_DEPTHS))
                raise InvalidRequest(f"{topic}: depth {topic.depth!r} is none of {offered}, which are all {VENUE} has.")
            return f"depth{topic.depth}" + _speed(topic)
        case TopicKind.CANDLES:
            _no_speed(topic)
            if topic.interval not in facts.INTERVALS:
                raise InvalidRequest(
                    f"{topic}: interval {topic.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters."
                )
            return f"kline_{topic.interval}"
        case kind if kind in _PLAIN:
            _no_speed(topic)
            return _PLAIN[kind]
        case kind:
            raise Unsupported(f"{VENUE} spot has no stream of {kind.value}.")


_PLAIN = {
    TopicKind.TRADES: "trade",
    TopicKind.AGG_TRADES: "aggTrade",
    TopicKind.TICKER: "ticker",
    TopicKind.BOOK_TICKER: "bookTicker",
}

# ---------------------------------------------------------------- readers

# Of thousands of topics, what the reader of one holds is far from the processor when its next frame comes. So what readers of a
# kind share stands here, and what is one's own are defaults, which lie side by side: each name taken from around lies elsewhere.
_BUY, _SELL = Side.BUY, Side.SELL
_decode_trade, _decode_agg_trade, _decode_book_ticker = (
    wire.TRADE.decode,
    wire.AGG_TRADE.decode,
    wire.BOOK_TICKER.decode,
)


def _trade(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name = instrument.venue, instrument.symbol, instrument.venue_name

    def read_trade(
        frame: bytes, received_ns: int, venue: str = venue, symbol: Symbol = symbol, name: str = name
    ) -> Trade:
        try:
            data = _decode_trade(frame).data
            price, quantity = data.p, data.q
            if data.s != name:
                raise frames.other("trade", name, data.s, frame)
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= quantity <= LARGEST):
                raise frames.out_of_range("trade", frame)
            side = _SELL if data.m else _BUY  # m: the buyer was the maker, so the taker sold
            return Trade(venue, symbol, data.T * NS_PER_MS, received_ns, data.t, price, quantity, side)
        except UNREADABLE as problem:
            raise frames.unreadable("trade", problem, frame) from problem

    return read_trade


def _agg_trade(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name = instrument.venue, instrument.symbol, instrument.venue_name

    def read_agg_trade(
        frame: bytes, received_ns: int, venue: str = venue, symbol: Symbol = symbol, name: str = name
    ) -> AggTrade | None:
        try:
            data = _decode_agg_trade(frame).data
            price, quantity, first, last = data.p, data.q, data.f, data.l
            if data.s != name:
                raise frames.other("aggregate trade", name, data.s, frame)
            if first < 0 or last < 0:
                return None  # a record the venue has marked invalid: p = q = "0", f = l = -1 (2022-04)
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= quantity <= LARGEST):
                raise frames.out_of_range("aggregate trade", frame)
            if last < first:
                raise WireFormatError("aggregate trade", f"trades {first} to {last} run backwards", frame)
            side = _SELL if data.m else _BUY
            return AggTrade(venue, symbol, data.T * NS_PER_MS, received_ns, data.a, price, quantity, side, first, last)
        except UNREADABLE as problem:
            raise frames.unreadable("aggregate trade", problem, frame) from problem

    return read_agg_trade


def _candle(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.CANDLE.decode
    interval = topic.interval or ""

    def read_candle(frame: bytes, received_ns: int) -> Candle:
        try:
            data = decode(frame).data
            k = data.k
            if data.s != name:
                raise frames.other("candle", name, data.s, frame)
            if k.i != interval:
                raise WireFormatError("candle", f"candle of another interval: expected {interval!r}", frame)
            for amount in (k.v, k.q, k.V, k.Q):
                if not (SMALLEST <= amount <= LARGEST or is_zero(amount)):
                    raise frames.out_of_range("candle", frame)
            for price in (k.o, k.h, k.l, k.c):
                if not (SMALLEST <= price <= LARGEST or (not k.n and is_zero(price))):
                    raise frames.out_of_range("candle", frame)
            return Candle(
                venue,
                symbol,
                data.E * NS_PER_MS,
                received_ns,
                interval,
                k.t * NS_PER_MS,
                k.T * NS_PER_MS,
                k.o,
                k.h,
                k.l,
                k.c,
                k.v,
                k.x,
                k.q,
                k.n,
                k.V,
                k.Q,
            )
        except UNREADABLE as problem:
            raise frames.unreadable("candle", problem, frame) from problem

    return read_candle


def _ticker(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.TICKER.decode

    def read_ticker(frame: bytes, received_ns: int) -> Ticker:
        try:
            d = decode(frame).data
            if d.s != name:
                raise frames.other("ticker", name, d.s, frame)
            for number in (d.c, d.b, d.B, d.a, d.A, d.o, d.h, d.l, d.v, d.q, d.Q, d.w, abs(d.p), abs(d.P)):
                if not (SMALLEST <= number <= LARGEST or is_zero(number)):
                    raise frames.out_of_range("ticker", frame)
            return Ticker(
                venue,
                symbol,
                d.E * NS_PER_MS,
                received_ns,
                d.c,
                d.b,
                d.B,
                d.a,
                d.A,
                d.o,
                d.h,
                d.l,
                d.v,
                d.q,
                d.Q,
                d.w,
                d.p,
                d.P,
                d.n,
                d.O * NS_PER_MS,
                d.C * NS_PER_MS,
            )
        except UNREADABLE as problem:
            raise frames.unreadable("ticker", problem, frame) from problem

    return read_ticker


def _book_ticker(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name = instrument.venue, instrument.symbol, instrument.venue_name

    def read_book_ticker(
        frame: bytes, received_ns: int, venue: str = venue, symbol: Symbol = symbol, name: str = name
    ) -> BookTicker:
        try:
            data = _decode_book_ticker(frame).data
            bid, bid_quantity, ask, ask_quantity = data.b, data.B, data.a, data.A
            if data.s != name:
                raise frames.other("book ticker", name, data.s, frame)
            if not (  # a crossed one, too, is looked at once more
                SMALLEST <= bid <= ask <= LARGEST
                and SMALLEST <= bid_quantity <= LARGEST
                and SMALLEST <= ask_quantity <= LARGEST
            ) and not (frames.side_fits(bid, bid_quantity) and frames.side_fits(ask, ask_quantity)):
                raise frames.out_of_range("book ticker", frame)
            return BookTicker(venue, symbol, None, received_ns, bid, bid_quantity, ask, ask_quantity, data.u)
        except UNREADABLE as problem:
            raise frames.unreadable("book ticker", problem, frame) from problem

    return read_book_ticker


def _partial_book(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, decode = instrument.venue, instrument.symbol, wire.PARTIAL_DEPTH.decode

    def read_partial_book(frame: bytes, received_ns: int) -> OrderBook:
        try:
            data = decode(frame).data
            problem = wire.ladder_problem(data.bids, data.asks)
            if problem is not None:
                raise WireFormatError("partial depth", problem, frame)
            return OrderBook(venue, symbol, None, received_ns, data.lastUpdateId, data.bids, data.asks)
        except UNREADABLE as problem:
            raise frames.unreadable("partial depth", problem, frame) from problem

    return read_partial_book


def _book(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.DEPTH.decode

    def read_book(frame: bytes, received_ns: int) -> BookDelta:
        try:
            data = decode(frame).data
            first, last = data.U, data.u
            if data.s != name:
                raise frames.other("depth", name, data.s, frame)
            if last < first:
                raise WireFormatError("depth", f"updates {first} to {last} run backwards", frame)
            return BookDelta(venue, symbol, data.E * NS_PER_MS, received_ns, first, last, data.b, data.a)
        except UNREADABLE as problem:
            raise frames.unreadable("depth", problem, frame) from problem

    return read_book


READERS: Mapping[TopicKind, Callable[[Topic, Instrument], TopicReader]] = {
    TopicKind.TRADES: _trade,
    TopicKind.AGG_TRADES: _agg_trade,
    TopicKind.CANDLES: _candle,
    TopicKind.TICKER: _ticker,
    TopicKind.BOOK_TICKER: _book_ticker,
    TopicKind.PARTIAL_BOOK: _partial_book,
    TopicKind.BOOK: _book,
}

# ---------------------------------------------------------------- the language


class _Streams:
    """StreamLanguage of Binance spot; see `drivers.contract`. Holds nothing."""

    limits: StreamLimits = facts.STREAM_LIMITS

    def group(self, topic: Topic) -> str:
        self.name(topic)
        return ""

    def url(self, hosts: Hosts, group: str = "") -> str:
        return f"{hosts.public_stream}/stream"

    def name(self, topic: Topic) -> str:
        return f"{wire_name(topic.symbol).lower()}@{_suffix(topic)}"

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return frames.request("SUBSCRIBE", names, request_id, self.limits)

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return frames.request("UNSUBSCRIBE", names, request_id, self.limits)

    def route(self, frame: bytes) -> bytes | None:
        return frames.route(frame)

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        self.name(topic)  # what cannot be subscribed cannot be read
        return READERS[topic.kind](topic, instrument)

    def control(self, frame: bytes) -> Control:
        return frames.control(VENUE, frame)


STREAMS = _Streams()
