"""Binance futures' market streams, always in combined mode: names and frames out, frames to events in.

USD-M serves best prices and books on one path ("public") and everything else on another ("market"); a stream asked for on the
wrong one is acknowledged and never sends. COIN-M has one path. Acknowledgements prove nothing on either: see `StreamLimits`.

Names are in lower case, but letters outside ASCII stay as they are. Single trades (`@trade`) are not offered: the venue does not
document the stream and promises no gap-free ids on it, aggregate trades serve instead. On COIN-M quantities become base units
by the price they stand beside.

Times: a trade's `event_time_ns` is the time of the trade (`T`), as REST tells it, and so is a liquidation's; other events carry
the time the venue sent them (`E`). Source: venue API docs, "WebSocket Market Streams", read 2026-11.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence

from connector.domain.contracts import notional
from connector.domain.instruments import Instrument
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    Liquidation,
    MarkPrice,
    OrderBook,
    Side,
    Ticker,
)
from connector.domain.symbols import Product
from connector.domain.times import NS_PER_MS
from connector.domain.topics import Topic, TopicKind
from connector.drivers.binance import frames
from connector.drivers.binance import wire as spot_wire
from connector.drivers.binance.futures import facts, wire
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.instruments import wire_name
from connector.drivers.binance.futures.rest import price_or_none, rate
from connector.drivers.binance.futures.sizes import base, contracts, levels
from connector.drivers.binance.wire import LARGEST, SMALLEST, UNREADABLE, is_zero
from connector.drivers.contract import Control, Hosts, StreamLimits, TopicReader
from connector.errors import InvalidRequest, Unsupported, WireFormatError

__all__ = ["READERS", "Streams"]

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_PUBLIC = frozenset({TopicKind.BOOK_TICKER, TopicKind.PARTIAL_BOOK, TopicKind.BOOK})

# ---------------------------------------------------------------- names


def _no_speed(futures: Futures, topic: Topic) -> None:
    if topic.speed_ms is not None:
        raise InvalidRequest(f"{topic}: {futures.title} offers no choice of speed here. Leave speed_ms away.")


def _depth_speed(futures: Futures, topic: Topic) -> str:
    suffix = facts.SPEEDS_MS.get(100 if topic.speed_ms is None else topic.speed_ms)
    if suffix is None:
        raise InvalidRequest(
            f"{topic}: {futures.title} sends depth every 100, 250 or 500 ms; speed_ms is {topic.speed_ms!r}."
        )
    return suffix


def _suffix(futures: Futures, topic: Topic) -> str:
    match topic.kind:
        case TopicKind.BOOK:
            if topic.depth is not None:
                raise InvalidRequest(f"{topic}: {futures.title} sends all levels of a full book. Leave depth away.")
            return "depth" + _depth_speed(futures, topic)
        case TopicKind.PARTIAL_BOOK:
            if topic.depth not in facts.PARTIAL_DEPTHS:
                offered = ", ".join(map(str, facts.PARTIAL_DEPTHS))
                raise InvalidRequest(
                    f"{topic}: depth {topic.depth!r} is none of {offered}, which are all {futures.title} has."
                )
            return f"depth{topic.depth}" + _depth_speed(futures, topic)
        case TopicKind.CANDLES:
            _no_speed(futures, topic)
            if topic.interval not in facts.INTERVALS:
                raise InvalidRequest(
                    f"{topic}: interval {topic.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters."
                )
            return f"kline_{topic.interval}"
        case TopicKind.MARK_PRICE:
            if topic.speed_ms not in (None, 1_000, 3_000):
                raise InvalidRequest(
                    f"{topic}: {futures.title} sends mark prices every 1000 or 3000 ms; speed_ms is {topic.speed_ms!r}."
                )
            return "markPrice" if topic.speed_ms == 3_000 else "markPrice@1s"
        case TopicKind.TRADES:
            raise Unsupported(
                f"{futures.title} documents no stream of single trades. Subscribe agg_trades: trades of one taker order "
                "at one price, added up."
            )
        case kind:
            _no_speed(futures, topic)
            return _PLAIN[kind]


_PLAIN = {
    TopicKind.AGG_TRADES: "aggTrade",
    TopicKind.TICKER: "ticker",
    TopicKind.BOOK_TICKER: "bookTicker",
    TopicKind.LIQUIDATIONS: "forceOrder",
}

# ---------------------------------------------------------------- readers


def _agg_trade(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, spot_wire.AGG_TRADE.decode
    buy, sell = Side.BUY, Side.SELL

    def read_agg_trade(frame: bytes, received_ns: int) -> AggTrade:
        try:
            data = decode(frame).data
            price, counted, first, last = data.p, data.q, data.f, data.l
            if data.s != name:
                raise frames.other("aggregate trade", name, data.s, frame)
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= counted <= LARGEST):
                raise frames.out_of_range("aggregate trade", frame)
            if not 0 <= first <= last:
                raise WireFormatError("aggregate trade", f"trades {first} to {last} run backwards", frame)
            return AggTrade(
                venue,
                symbol,
                data.T * NS_PER_MS,
                received_ns,
                data.a,
                price,
                base(instrument, counted, price),
                sell if data.m else buy,  # m: the buyer was the maker, so the taker sold
                first,
                last,
                contracts=contracts(instrument, counted),
            )
        except UNREADABLE as problem:
            raise frames.unreadable("aggregate trade", problem, frame) from problem

    return read_agg_trade


def _candle(topic: Topic, instrument: Instrument) -> TopicReader:
    """On COIN-M `v` and `V` count contracts, `q` and `Q` base units."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, spot_wire.CANDLE.decode
    interval = topic.interval or ""
    counts = contracts(instrument, instrument.contract_size) is not None

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
            volume, quote_volume, taker, taker_quote = k.v, k.q, k.V, k.Q
            if counts:
                volume, quote_volume = k.q, notional(instrument, k.v, k.c)
                taker, taker_quote = k.Q, notional(instrument, k.V, k.c)
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
                volume,
                k.x,
                quote_volume,
                k.n,
                taker,
                taker_quote,
            )
        except UNREADABLE as problem:
            raise frames.unreadable("candle", problem, frame) from problem

    return read_candle


def _ticker(topic: Topic, instrument: Instrument) -> TopicReader:
    """Without bid and ask, which these statistics do not hold."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.TICKER.decode
    counts = contracts(instrument, instrument.contract_size) is not None

    def read_ticker(frame: bytes, received_ns: int) -> Ticker:
        try:
            d = decode(frame).data
            if d.s != name:
                raise frames.other("ticker", name, d.s, frame)
            for number in (d.c, d.o, d.h, d.l, d.v, d.q, d.Q, d.w, abs(d.p), abs(d.P)):
                if not (SMALLEST <= number <= LARGEST or is_zero(number)):
                    raise frames.out_of_range("ticker", frame)
            volume, quote_volume = (d.q, notional(instrument, d.v, d.c)) if counts else (d.v, d.q)
            return Ticker(
                venue,
                symbol,
                d.E * NS_PER_MS,
                received_ns,
                d.c,
                None,
                None,
                None,
                None,
                d.o,
                d.h,
                d.l,
                volume,
                quote_volume,
                base(instrument, d.Q, d.c),
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
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.BOOK_TICKER.decode

    def read_book_ticker(frame: bytes, received_ns: int) -> BookTicker:
        try:
            data = decode(frame).data
            bid, bids, ask, asks = data.b, data.B, data.a, data.A
            if data.s != name:
                raise frames.other("book ticker", name, data.s, frame)
            if not (
                SMALLEST <= bid <= LARGEST
                and SMALLEST <= bids <= LARGEST
                and SMALLEST <= ask <= LARGEST
                and SMALLEST <= asks <= LARGEST
            ) and not (frames.side_fits(bid, bids) and frames.side_fits(ask, asks)):
                raise frames.out_of_range("book ticker", frame)
            return BookTicker(
                venue,
                symbol,
                data.E * NS_PER_MS,
                received_ns,
                bid,
                base(instrument, bids, bid),
                ask,
                base(instrument, asks, ask),
                data.u,
            )
        except UNREADABLE as problem:
            raise frames.unreadable("book ticker", problem, frame) from problem

    return read_book_ticker


def _partial_book(topic: Topic, instrument: Instrument) -> TopicReader:
    """Every frame is the whole top of the book, though it has the form of a change."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.DEPTH.decode
    written = levels(instrument)

    def read_partial_book(frame: bytes, received_ns: int) -> OrderBook:
        try:
            data = decode(frame).data
            if data.s != name:
                raise frames.other("partial depth", name, data.s, frame)
            problem = spot_wire.ladder_problem(data.b, data.a)
            if problem is not None:
                raise WireFormatError("partial depth", problem, frame)
            bids, asks = written(data.b), written(data.a)
            return OrderBook(venue, symbol, data.E * NS_PER_MS, received_ns, data.u, bids, asks)
        except UNREADABLE as problem:
            raise frames.unreadable("partial depth", problem, frame) from problem

    return read_partial_book


def _book(topic: Topic, instrument: Instrument) -> TopicReader:
    return _counted_book(instrument) if instrument.product is Product.INVERSE else _plain_book(instrument)


def _plain_book(instrument: Instrument) -> TopicReader:
    """Levels are in base units already: they stay text until the book is read."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.TEXT_DEPTH.decode

    def read_book(frame: bytes, received_ns: int) -> BookDelta:
        try:
            data = decode(frame).data
            first, last = data.U, data.u
            if data.s != name:
                raise frames.other("depth", name, data.s, frame)
            if last < first:
                raise WireFormatError("depth", f"updates {first} to {last} run backwards", frame)
            at_ns = data.E * NS_PER_MS
            return BookDelta(venue, symbol, at_ns, received_ns, first, last, data.b, data.a, data.pu)
        except UNREADABLE as problem:
            raise frames.unreadable("depth", problem, frame) from problem

    return read_book


def _counted_book(instrument: Instrument) -> TopicReader:
    """Levels are contracts, whose worth depends on the price: they are reckoned as they come."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.DEPTH.decode
    written = levels(instrument)

    def read_book(frame: bytes, received_ns: int) -> BookDelta:
        try:
            data = decode(frame).data
            first, last = data.U, data.u
            if data.s != name:
                raise frames.other("depth", name, data.s, frame)
            if last < first:
                raise WireFormatError("depth", f"updates {first} to {last} run backwards", frame)
            problem = spot_wire.changes_problem(data.b, data.a)
            if problem is not None:
                raise WireFormatError("depth", problem, frame)
            bids, asks = written(data.b), written(data.a)
            return BookDelta(venue, symbol, data.E * NS_PER_MS, received_ns, first, last, bids, asks, data.pu)
        except UNREADABLE as problem:
            raise frames.unreadable("depth", problem, frame) from problem

    return read_book


def _mark_price(topic: Topic, instrument: Instrument) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.MARK_PRICE.decode

    def read_mark_price(frame: bytes, received_ns: int) -> MarkPrice:
        try:
            data = decode(frame).data
            if data.s != name:
                raise frames.other("mark price", name, data.s, frame)
            if not SMALLEST <= data.p <= LARGEST:
                raise frames.out_of_range("mark price", frame)
            paid = data.T > 0 and bool(data.r)  # nothing is paid on dated contracts: "" or 0
            return MarkPrice(
                venue,
                symbol,
                data.E * NS_PER_MS,
                received_ns,
                data.p,
                price_or_none(data.i),
                rate(data.r) if paid else None,
                data.T * NS_PER_MS if paid else None,
            )
        except UNREADABLE as problem:
            raise frames.unreadable("mark price", problem, frame) from problem

    return read_mark_price


def _liquidation(topic: Topic, instrument: Instrument) -> TopicReader:
    """What was traded, at its average price; what was ordered while nothing is told to have traded."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.LIQUIDATION.decode

    def read_liquidation(frame: bytes, received_ns: int) -> Liquidation:
        try:
            order = decode(frame).data.o
            if order.s != name:
                raise frames.other("liquidation", name, order.s, frame)
            side = _SIDES.get(order.S)
            if side is None:
                raise WireFormatError("liquidation", f"side {order.S!r:.40} is neither BUY nor SELL", frame)
            for number in (order.ap, order.z):
                if not (SMALLEST <= number <= LARGEST or is_zero(number)):
                    raise frames.out_of_range("liquidation", frame)
            price, counted = (order.ap, order.z) if order.ap and order.z else (order.p, order.q)
            if not (SMALLEST <= price <= LARGEST and SMALLEST <= counted <= LARGEST):
                raise frames.out_of_range("liquidation", frame)
            return Liquidation(
                venue,
                symbol,
                order.T * NS_PER_MS,
                received_ns,
                side,
                price,
                base(instrument, counted, price),
                contracts(instrument, counted),
            )
        except UNREADABLE as problem:
            raise frames.unreadable("liquidation", problem, frame) from problem

    return read_liquidation


READERS: Mapping[TopicKind, Callable[[Topic, Instrument], TopicReader]] = {
    TopicKind.AGG_TRADES: _agg_trade,
    TopicKind.CANDLES: _candle,
    TopicKind.TICKER: _ticker,
    TopicKind.BOOK_TICKER: _book_ticker,
    TopicKind.PARTIAL_BOOK: _partial_book,
    TopicKind.BOOK: _book,
    TopicKind.MARK_PRICE: _mark_price,
    TopicKind.LIQUIDATIONS: _liquidation,
}

# ---------------------------------------------------------------- the language


class Streams:
    """StreamLanguage of one of the products; see `drivers.contract`. Holds what it is of, and nothing else."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures
        self._spelled = wire_name(futures)
        self.limits: StreamLimits = futures.stream_limits

    def group(self, topic: Topic) -> str:
        self.name(topic)  # what cannot be subscribed has no place
        if len(self._futures.groups) == 1:
            return self._futures.groups[0]
        return "public" if topic.kind in _PUBLIC else "market"

    def url(self, hosts: Hosts, group: str = "") -> str:
        if group not in self._futures.groups:
            offered = ", ".join(map(repr, self._futures.groups))
            raise InvalidRequest(f"{self._futures.title} has no group {group!r:.40} of streams. It has {offered}.")
        return f"{hosts.public_stream}/{group}/stream" if group else f"{hosts.public_stream}/stream"

    def name(self, topic: Topic) -> str:
        return f"{self._spelled(topic.symbol).translate(_LOWER)}@{_suffix(self._futures, topic)}"

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
        return frames.control(self._futures.venue, frame)
