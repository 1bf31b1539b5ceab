"""StreamLanguage of the mock venue, and how its books fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from connector.books.rule import BookRule, Continuity
from connector.domain.instruments import Instrument
from connector.domain.market import BookDelta, MarketEvent
from connector.domain.topics import Topic, TopicKind
from connector.drivers.contract import Ack, ConnectionEnding, Control, Hosts, Noise, Refusal, StreamLimits, TopicReader
from connector.errors import InvalidRequest, WireFormatError
from connector.testing.mock_driver.facts import DEPTHS, INTERVALS, SOURCE, STREAM_LIMITS, VENUE
from connector.testing.mock_driver.instruments import wire_name
from connector.testing.mock_driver.market import (
    AggRow,
    BestRow,
    CandleRow,
    DeltaRow,
    DepthRow,
    LiquidationRow,
    MarkRow,
    TickerRow,
    TradeRow,
)
from connector.testing.mock_driver.rest import need_contract, reaction_error
from connector.testing.mock_driver.wire import UNREADABLE, Count, decoder_of, words

__all__ = ["BOOK_RULE", "KINDS", "Streams"]

_PREFIX = b'{"topic":"'
KINDS = {
    TopicKind.TRADES: "trades",
    TopicKind.AGG_TRADES: "agg",
    TopicKind.CANDLES: "candles",
    TopicKind.TICKER: "ticker",
    TopicKind.BOOK_TICKER: "best",
    TopicKind.PARTIAL_BOOK: "top",
    TopicKind.BOOK: "book",
    TopicKind.MARK_PRICE: "mark",
    TopicKind.LIQUIDATIONS: "liquidations",
}


class _Trades(msgspec.Struct):
    topic: str
    data: list[TradeRow]


class _Book(msgspec.Struct):
    topic: str
    snapshot: DepthRow | UnsetType = UNSET
    delta: DeltaRow | UnsetType = UNSET


def _frame_of(row: type[Any]) -> msgspec.json.Decoder[Any]:
    """A frame with one row of this kind."""
    return decoder_of(msgspec.defstruct("Frame", [("topic", str), ("data", row)]))


_FRAMES: Mapping[TopicKind, msgspec.json.Decoder[Any]] = {
    TopicKind.TRADES: decoder_of(_Trades),
    TopicKind.AGG_TRADES: _frame_of(AggRow),
    TopicKind.CANDLES: _frame_of(CandleRow),
    TopicKind.TICKER: _frame_of(TickerRow),
    TopicKind.BOOK_TICKER: _frame_of(BestRow),
    TopicKind.PARTIAL_BOOK: _frame_of(DepthRow),
    TopicKind.BOOK: decoder_of(_Book),
    TopicKind.MARK_PRICE: _frame_of(MarkRow),
    TopicKind.LIQUIDATIONS: _frame_of(LiquidationRow),
}


class _ControlFrame(msgspec.Struct):
    topic: str = ""
    done: Count | UnsetType = UNSET
    refused: Count | UnsetType | None = UNSET
    code: str = ""
    text: str = ""
    closing: str | UnsetType = UNSET
    pong: bool = False
    event: str = ""


_CONTROL = decoder_of(_ControlFrame)


class Streams:
    """StreamLanguage of the mock; see `drivers.contract`. Holds nothing."""

    limits: StreamLimits = STREAM_LIMITS

    def group(self, topic: Topic) -> str:
        self.name(topic)
        return ""

    def url(self, hosts: Hosts, group: str = "") -> str:
        return f"{hosts.public_stream}/market"

    def name(self, topic: Topic) -> str:
        if topic.speed_ms is not None:
            raise InvalidRequest(f"{topic}: {VENUE} offers no choice of speed. Leave speed_ms away.")
        if topic.kind is TopicKind.CANDLES and topic.interval not in INTERVALS:
            raise InvalidRequest(f"{topic}: interval {topic.interval!r:.20} is none of {', '.join(INTERVALS)}.")
        if topic.kind is TopicKind.PARTIAL_BOOK and topic.depth not in DEPTHS:
            raise InvalidRequest(f"{topic}: depth {topic.depth!r:.20} is none of {', '.join(map(str, DEPTHS))}.")
        if topic.kind is TopicKind.BOOK and topic.depth is not None:
            raise InvalidRequest(f"{topic}: {VENUE} sends whole books. Leave depth away.")
        if topic.kind in (TopicKind.MARK_PRICE, TopicKind.LIQUIDATIONS):
            need_contract(topic.symbol)
        extra = "".join(f"-{part}" for part in (topic.interval, topic.depth) if part is not None)
        return f"{KINDS[topic.kind]}{extra}.{wire_name(topic.symbol)}"

    def subscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode({"do": "subscribe", "id": request_id, "topics": list(names)})

    def unsubscribe(self, names: Sequence[str], request_id: int) -> bytes:
        return msgspec.json.encode({"do": "unsubscribe", "id": request_id, "topics": list(names)})

    def route(self, frame: bytes) -> bytes | None:
        if not frame.startswith(_PREFIX):
            return None
        end = frame.find(b'"', len(_PREFIX))
        name = frame[len(_PREFIX) : end]
        return name if end > len(_PREFIX) and b"\\" not in name else None

    def reader(self, topic: Topic, instrument: Instrument) -> TopicReader:
        name, kind, symbol = self.name(topic), topic.kind.value, instrument.symbol
        decode = _FRAMES[topic.kind].decode
        more = (topic.interval,) if topic.kind is TopicKind.CANDLES else ()

        def read(frame: bytes, received_ns: int) -> MarketEvent | list[MarketEvent]:
            try:
                said = decode(frame)
                if said.topic != name:
                    raise WireFormatError(kind, f"frame of another topic: expected {name}", frame)
                if topic.kind is TopicKind.TRADES:
                    return [row.event(symbol, received_ns) for row in said.data]
                if topic.kind is TopicKind.BOOK:
                    row = said.delta if said.snapshot is UNSET else said.snapshot
                    if row is UNSET or UNSET not in (said.snapshot, said.delta):
                        raise WireFormatError(kind, "neither a snapshot nor a delta", frame)
                else:
                    row = said.data
                event: MarketEvent = row.event(symbol, received_ns, *more)
                if topic.kind is TopicKind.PARTIAL_BOOK and len(event.bids) > (topic.depth or 0):  # type: ignore[union-attr]
                    raise WireFormatError(kind, "more levels than were asked for", frame)
                return event
            except UNREADABLE as problem:
                raise WireFormatError(kind, str(problem) or type(problem).__name__, frame) from problem

        return read

    def control(self, frame: bytes) -> Control:
        try:
            said = _CONTROL.decode(frame)
        except UNREADABLE:
            return Noise("unreadable frame", known=False)
        if said.done is not UNSET:
            return Ack(said.done)
        if said.refused is not UNSET:
            return Refusal(said.refused, reaction_error(said.code, said.text, write=False))
        if said.closing is not UNSET:
            return ConnectionEnding(words(said.closing) or "no reason given")
        if said.pong:
            return Noise("pong", known=True)
        return Noise(f"event {words(said.event)} of topic {words(said.topic)}", known=False)


def _continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.first_update_id <= update_id + 1 else Continuity.GAP


BOOK_RULE = BookRule(
    snapshot_limit=None,
    continuity=_continuity,
    joins=lambda snapshot, delta: True,
    first=_continuity,
    source=SOURCE,
)
