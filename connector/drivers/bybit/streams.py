"""Bybit's market streams for all three products: names and frames out, frames to events in.

One connection serves one category; the product of the driver says which. A frame begins with its topic, so `route` cuts the name
out of its first bytes and decodes nothing; frames with another order of keys are decoded for their topic alone. `reader` makes
the function that decodes the whole frame once, straight into typed values. Readers of tickers of contracts keep the statistics
and merge what changed into them; those of books keep the last cross sequence and drop what runs backwards. Both are made anew
for every subscription on a connection, as the contract says.

Choices where the venue has one topic for two of ours: best prices are the book of one level; the mark price comes with the ticker
(`Ticker.mark` and beside), since both would be one subscription; of books of a few levels there is only the kept one.

Times: a trade's or liquidation's `event_time_ns` is its own, the same figure REST tells; books carry the matching engine's
(`cts`), other events the time the venue sent them (`ts`). All are milliseconds on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from connector.books.book import exact
from connector.domain.instruments import Instrument
from connector.domain.market import (
    BookDelta,
    BookTicker,
    Candle,
    Liquidation,
    MarketEvent,
    OrderBook,
    RawLevel,
    Side,
    Ticker,
    Trade,
)
from connector.domain.times import NS_PER_MS
from connector.domain.topics import Topic, TopicKind
from connector.drivers.bybit import facts, wire
from connector.drivers.bybit.facts import Market
from connector.drivers.bybit.instruments import wire_name
from connector.drivers.bybit.rest import SIDES, base_quantity, level_units, ticker_of
from connector.drivers.bybit.wire import LARGEST, SMALLEST, UNREADABLE, ZERO, is_zero
from connector.drivers.contract import Ack, Control, Hosts, Noise, Refusal, StreamLimits, TopicReader
from connector.errors import InvalidRequest, Unsupported, VenueRejected, WireFormatError

__all__ = ["NAME_AFTER", "READERS", "Streams", "readers_of"]

NAME_AFTER = b'{"topic":"'
_NAME_AT = len(NAME_AFTER)
_BACKSLASH = ord("\\")
_SHOWN = 200

# ---------------------------------------------------------------- names


def _no_speed(topic: Topic, market: Market) -> None:
    if topic.speed_ms is not None:
        raise InvalidRequest(
            f"{topic}: {market.name} offers no choice of speed; it goes with the depth. Leave it away."
        )


def _name(topic: Topic, market: Market) -> str:
    symbol = wire_name(market, topic.symbol)
    _no_speed(topic, market)
    match topic.kind:
        case TopicKind.BOOK:
            depth = facts.BOOK_DEPTHS[-1] if topic.depth is None else topic.depth
            if depth not in facts.BOOK_DEPTHS:
                offered = ", ".join(map(str, facts.BOOK_DEPTHS))
                raise InvalidRequest(f"{topic}: depth {depth!r} is none of {offered}, which are all {market.name} has.")
            return f"orderbook.{depth}.{symbol}"
        case TopicKind.CANDLES:
            known = facts.INTERVALS.get(topic.interval or "")
            if known is None:
                raise InvalidRequest(
                    f"{topic}: interval {topic.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters."
                )
            return f"kline.{known[0]}.{symbol}"
        case TopicKind.PARTIAL_BOOK:
            raise Unsupported(
                f"{market.name} sends changes of books only. Subscribe to a book of depth 50, and read its top."
            )
        case TopicKind.MARK_PRICE if not market.is_spot:
            raise Unsupported(
                f"{market.name} tells the mark price with the ticker: subscribe to that, see Ticker.mark."
            )
        case kind if kind in readers_of(market):
            return f"{_PLAIN[kind]}.{symbol}"
        case kind:
            raise Unsupported(f"{market.name} has no stream of {kind.value}.")


_PLAIN = {
    TopicKind.TRADES: "publicTrade",
    TopicKind.TICKER: "tickers",
    TopicKind.BOOK_TICKER: "orderbook.1",
    TopicKind.LIQUIDATIONS: "allLiquidation",
}

# ---------------------------------------------------------------- readers


def _unreadable(kind: str, problem: Exception, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, str(problem) or type(problem).__name__, frame)


def _other(kind: str, expected: str, found: str, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, f"frame of another symbol: expected {expected!r}, found {found!r:.60}", frame)


def _range(kind: str, frame: bytes) -> WireFormatError:
    return WireFormatError(kind, f"a number is outside [{SMALLEST}, {LARGEST}]", frame)


def _side(kind: str, word: str, frame: bytes) -> Side:
    side = SIDES.get(word)
    if side is None:
        raise WireFormatError(kind, f"side {word!r:.40} is neither Buy nor Sell", frame)
    return side


def _several(events: Sequence[MarketEvent]) -> MarketEvent | list[MarketEvent] | None:
    if len(events) == 1:
        return events[0]
    return list(events) if events else None


def _trade(topic: Topic, instrument: Instrument, market: Market) -> TopicReader:
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.TRADE.decode
    inverse = market.is_inverse

    def read_trade(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent] | None:
        try:
            trades: list[MarketEvent] = []
            for row in decode(frame).data:
                price, size = row.p, row.v
                if row.s != name:
                    raise _other("trade", name, row.s, frame)
                if not (SMALLEST <= price <= LARGEST and SMALLEST <= size <= LARGEST):
                    raise _range("trade", frame)
                trades.append(
                    Trade(
                        venue,
                        symbol,
                        row.T * NS_PER_MS,
                        received_ns,
                        row.i,
                        price,
                        base_quantity(market, size, price),
                        _side("trade", row.S, frame),
                        contracts=size if inverse else None,
                        sequence=row.seq,
                    )
                )
            return _several(trades)
        except UNREADABLE as problem:
            raise _unreadable("trade", problem, frame) from problem

    return read_trade


def _liquidation(topic: Topic, instrument: Instrument, market: Market) -> TopicReader:
    """The venue's side is the position's: "Buy" says that a long one was closed, so the closing order sold."""
    venue, symbol, name, decode = instrument.venue, instrument.symbol, instrument.venue_name, wire.LIQUIDATION.decode
    inverse = market.is_inverse

    def read_liquidation(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent] | None:
        try:
            found: list[MarketEvent] = []
            for row in decode(frame).data:
                price, size = row.p, row.v
                if row.s != name:
                    raise _other("liquidation", name, row.s, frame)
                if not (SMALLEST <= price <= LARGEST and SMALLEST <= size <= LARGEST):
                    raise _range("liquidation", frame)
                position = _side("liquidation", row.S, frame)
                found.append(
                    Liquidation(
                        venue,
                        symbol,
                        row.T * NS_PER_MS,
                        received_ns,
                        Side.SELL if position is Side.BUY else Side.BUY,
                        price,
                        base_quantity(market, size, price),
                        size if inverse else None,
                    )
                )
            return _several(found)
        except UNREADABLE as problem:
            raise _unreadable("liquidation", problem, frame) from problem

    return read_liquidation


def _candle(topic: Topic, instrument: Instrument, market: Market) -> TopicReader:
    """Rows carry no symbol, so the topic is held against the one asked for. The last of several in a frame is the newest."""
    venue, symbol, decode = instrument.venue, instrument.symbol, wire.CANDLE.decode
    interval, inverse, name = topic.interval or "", market.is_inverse, _name(topic, market)
    word = facts.INTERVALS[interval][0]

    def read_candle(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent] | None:
        try:
            heard = decode(frame)
            if heard.topic != name:
                raise WireFormatError("candle", f"frame of another topic: expected {name!r}", frame)
            candles: list[MarketEvent] = []
            for k in heard.data:
                if k.interval != word:
                    raise WireFormatError("candle", f"candle of another interval: expected {word!r}", frame)
                for price in (k.open, k.high, k.low, k.close):
                    if not SMALLEST <= price <= LARGEST:
                        raise _range("candle", frame)
                volume, turnover = (k.turnover, k.volume) if inverse else (k.volume, k.turnover)
                for amount in (volume, turnover):
                    if not (SMALLEST <= amount <= LARGEST or is_zero(amount)):
                        raise _range("candle", frame)
                candles.append(
                    Candle(
                        venue,
                        symbol,
                        heard.ts * NS_PER_MS + len(candles),  # sent at once, and still one after another
                        received_ns,
                        interval,
                        k.start * NS_PER_MS,
                        k.end * NS_PER_MS,
                        k.open,
                        k.high,
                        k.low,
                        k.close,
                        volume,
                        k.confirm,
                        turnover,
                    )
                )
            return _several(candles)
        except UNREADABLE as problem:
            raise _unreadable("candle", problem, frame) from problem

    return read_candle


class _TickerReader:
    """Statistics of a contract: a snapshot, then changes merged into it. Spot sends snapshots only.

    A frame that cannot be read may have held a change, so what was kept is dropped with it: nothing is told until the next
    snapshot, and the silence is noticed.
    """

    def __init__(self, topic: Topic, instrument: Instrument, market: Market) -> None:
        self._instrument, self._market = instrument, market
        self._kept: wire.TickerData | None = None

    def __call__(self, frame: bytes, received_ns: int) -> Ticker | None:
        try:
            heard = wire.TICKER.decode(frame)
            if heard.data.symbol != self._instrument.venue_name:
                raise _other("ticker", self._instrument.venue_name, heard.data.symbol, frame)
            row = self._merged(heard, frame)
            if row is None:
                return None
            at_ns, best = heard.ts * NS_PER_MS, not self._market.is_spot
            return ticker_of(self._market, self._instrument.symbol, row, at_ns, received_ns, best=best)
        except WireFormatError:
            self._kept = None
            raise
        except UNREADABLE as problem:
            self._kept = None
            raise _unreadable("ticker", problem, frame) from problem

    def _merged(self, heard: wire.TickerFrame, frame: bytes) -> wire.TickerData | None:
        if heard.type == "snapshot":
            self._kept = heard.data
        elif heard.type != "delta":
            raise WireFormatError("ticker", f"type {heard.type!r:.40} is neither snapshot nor delta", frame)
        elif self._kept is not None:
            for name in _TICKER_FIELDS:
                value = getattr(heard.data, name)
                if value is not msgspec.UNSET:
                    setattr(self._kept, name, value)
        return self._kept


_TICKER_FIELDS = wire.TickerData.__struct_fields__[1:]


class _BookTickerReader:
    """The book of one level: whole each time, and sent again every 3 s when nothing changed, with the same number."""

    def __init__(self, topic: Topic, instrument: Instrument, market: Market) -> None:
        self._instrument, self._market = instrument, market
        self._update_id: int | None = None

    def __call__(self, frame: bytes, received_ns: int) -> BookTicker | None:
        instrument = self._instrument
        try:
            heard = wire.BOOK.decode(frame)
            data = heard.data
            if data.s != instrument.venue_name:
                raise _other("book ticker", instrument.venue_name, data.s, frame)
            if heard.type != "snapshot" or len(data.b) > 1 or len(data.a) > 1:
                raise WireFormatError("book ticker", "it is not a snapshot of one level a side", frame)
            problem = wire.ladder_problem(data.b, data.a)
            if problem is not None:
                raise WireFormatError("book ticker", problem, frame)
            if data.u == self._update_id:
                return None
            self._update_id = data.u
            bid, bid_size = self._top(data.b)
            ask, ask_size = self._top(data.a)
            at_ms = heard.ts if heard.cts is None else heard.cts
            return BookTicker(
                instrument.venue,
                instrument.symbol,
                at_ms * NS_PER_MS,
                received_ns,
                bid,
                bid_size,
                ask,
                ask_size,
                data.u,
            )
        except UNREADABLE as problem:
            raise _unreadable("book ticker", problem, frame) from problem

    def _top(self, levels: wire.Levels) -> tuple[Decimal, Decimal]:
        """An empty side is price 0 and quantity 0."""
        if not levels:
            return ZERO, ZERO
        price, size = levels[0]
        return price, base_quantity(self._market, size, price)


class _BookReader:
    """Snapshots as `OrderBook`, changes as `BookDelta` of one update each.

    A change whose cross sequence is below the last one seen is an old or doubled one and is dropped, unless its number says that
    the service has started over.
    """

    def __init__(self, topic: Topic, instrument: Instrument, market: Market) -> None:
        self._instrument, self._market = instrument, market
        self._sequence = 0
        self._decode: Callable[[bytes], wire.BookFrame | wire.TextBookFrame] = (
            wire.BOOK.decode if market.is_inverse else wire.TEXT_BOOK.decode
        )

    def __call__(self, frame: bytes, received_ns: int) -> BookDelta | OrderBook | None:
        instrument = self._instrument
        try:
            heard = self._decode(frame)
            data = heard.data
            if data.s != instrument.venue_name:
                raise _other("book", instrument.venue_name, data.s, frame)
            whole = heard.type == "snapshot"
            if not whole and heard.type != "delta":
                raise WireFormatError("book", f"type {heard.type!r:.40} is neither snapshot nor delta", frame)
            at_ns = (heard.ts if heard.cts is None else heard.cts) * NS_PER_MS
            venue, symbol = instrument.venue, instrument.symbol
            if whole:
                bids, asks = self._numbers(data.b, data.a, frame, wire.ladder_problem)
                self._sequence = data.seq
                return OrderBook(venue, symbol, at_ns, received_ns, data.u, bids, asks)
            # Levels in base units stay text until the book is read; contracts are reckoned as they come.
            changes: tuple[Sequence[RawLevel], Sequence[RawLevel]] = data.b, data.a
            if self._market.is_inverse:
                changes = self._numbers(data.b, data.a, frame, wire.changes_problem)
            if data.seq < self._sequence and data.u != 1:
                return None
            self._sequence = data.seq
            return BookDelta(venue, symbol, at_ns, received_ns, data.u, data.u, *changes)
        except UNREADABLE as problem:
            raise _unreadable("book", problem, frame) from problem

    def _numbers(
        self,
        bids: Sequence[RawLevel],
        asks: Sequence[RawLevel],
        frame: bytes,
        problem_of: Callable[[wire.Levels, wire.Levels], str | None],
    ) -> tuple[wire.Levels, wire.Levels]:
        """Both sides in base units.

        Raises:
            WireFormatError: what `problem_of` says.
        """
        told = exact(bids), exact(asks)
        problem = problem_of(*told)
        if problem is not None:
            raise WireFormatError("book", problem, frame)
        return level_units(self._market, told[0]), level_units(self._market, told[1])


_MakeReader = Callable[[Topic, Instrument, Market], TopicReader]

READERS: Mapping[TopicKind, _MakeReader] = {
    TopicKind.TRADES: _trade,
    TopicKind.CANDLES: _candle,
    TopicKind.TICKER: _TickerReader,
    TopicKind.BOOK_TICKER: _BookTickerReader,
    TopicKind.BOOK: _BookReader,
    TopicKind.LIQUIDATIONS: _liquidation,
}


def readers_of(market: Market) -> Mapping[TopicKind, _MakeReader]:
    """The streams one product has."""
    return {kind: make for kind, make in READERS.items() if not (market.is_spot and kind is TopicKind.LIQUIDATIONS)}


# ---------------------------------------------------------------- control frames


def _slow_route(frame: bytes) -> bytes | None:
    """The name in a frame with other spacing, key order or escapes than the venue usually writes."""
    try:
        return wire.ENVELOPE.decode(frame).topic.encode() or None
    except UNREADABLE:
        return None


def _request_id(text: str | int | None) -> int | None:
    """Ours are whole numbers; some gateways answer with "" or none."""
    if isinstance(text, int):
        return text if not isinstance(text, bool) and text >= 0 else None
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _control(frame: bytes) -> Control:
    said = wire.CONTROL.decode(frame)
    text = said.ret_msg or ""
    if said.op in ("ping", "pong") or text == "pong":
        return Noise("pong", known=True)
    request_id = _request_id(said.req_id)
    answers = said.op in ("subscribe", "unsubscribe") or said.type == "COMMAND_RESP"
    if said.success is None or not answers:
        return Noise(f"frame of operation {_plain(said.op) or 'none'}", known=False)
    if said.success:
        return Ack(request_id, _refused(said.data))
    if "already subscribed" in text:  # an answer was lost, and the frame was sent again: the venue has it so
        return Ack(request_id)
    return Refusal(request_id, VenueRejected(facts.VENUE, "subscribe", text[:_SHOWN] or "refused without a reason"))


def _refused(data: msgspec.Raw | msgspec.UnsetType) -> tuple[str, ...]:
    """Topics of one frame that were not taken, where the connection lists them."""
    if isinstance(data, msgspec.UnsetType):
        return ()
    try:
        return wire.TOPICS.decode(data).fail_topics
    except UNREADABLE:
        return ()


def _plain(text: str) -> str:
    return "".join(sign for sign in text[:40] if sign.isalnum() or sign in "!@_-+:.")


# ---------------------------------------------------------------- the language


class Streams:
    """StreamLanguage of one product of Bybit; see `drivers.contract`. Holds nothing but which product that is."""

    limits: StreamLimits = facts.STREAM_LIMITS

    def __init__(self, market: Market) -> None:
        self.market = market

    def group(self, topic: Topic) -> str:
        self.name(topic)
        return ""

    def url(self, hosts: Hosts, group: str = "") -> str:
        return f"{hosts.public_stream}/v5/public/{self.market.category}"

    def name(self, topic: Topic) -> str:
        return _name(topic, self.market)

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return self._frame("subscribe", names, request_id)

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return self._frame("unsubscribe", names, request_id)

    def _frame(self, operation: str, names: Sequence[str], request_id: int) -> bytes:
        if not 1 <= len(names) <= self.limits.names_per_frame:
            raise InvalidRequest(
                f"{len(names)} stream names in one frame. Give 1 to {self.limits.names_per_frame}, the rest in further frames."
            )
        return msgspec.json.encode({"req_id": str(request_id), "op": operation, "args": list(names)})

    def route(self, frame: bytes) -> bytes | None:
        if frame.startswith(NAME_AFTER):
            end = frame.find(b'"', _NAME_AT)
            if end > _NAME_AT:
                name = frame[_NAME_AT:end]
                if _BACKSLASH not in name:
                    return name
        return _slow_route(frame)

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        self.name(topic)  # what cannot be subscribed cannot be read
        return READERS[topic.kind](topic, instrument, self.market)

    def control(self, frame: bytes) -> Control:
        try:
            return _control(frame)
        except UNREADABLE:
            return Noise("unreadable frame", known=False)
