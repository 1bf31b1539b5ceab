"""What the packets between an engine's process and a venue's say. Pure: bytes to values and back.

Three lines: *facts* carries market data one way, in batches, as MessagePack of bare fields (venue and symbol are the
topic's); *asks* carries messages to actors and their answers, *control* everything else, as a code and a pickle. The messages and
answers that are asked and given all day go as MessagePack too, which takes a fifth of the time and holds every value exactly.
Pickles are exchanged between a process and the one it started itself, over a socket nobody else holds.
"""

from __future__ import annotations

import importlib
import pickle
import struct
import sys
import typing
from collections.abc import Callable, Sequence
from enum import IntEnum
from operator import attrgetter
from typing import Any

import msgspec

from connector.domain.commands import AmendOrder, CancelAll, CancelOrder, OrderOutcome, PlaceBatch, PlaceOrder
from connector.domain.instruments import Instrument
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    Gap,
    Level,
    Liquidation,
    MarkPrice,
    OrderBook,
    Ticker,
    Trade,
)
from connector.domain.topics import Topic, TopicKind
from connector.errors import ConnectorError, InvalidRequest, OutcomeUnknown
from connector.venue.delivery import TopicStatus
from connector.venue.state import GetInstrument
from connector.venue.stream import StreamStatus

__all__ = [
    "ACTORS",
    "Code",
    "Tag",
    "Void",
    "Whole",
    "ask_packet",
    "decoders",
    "encode_notice",
    "encoder",
    "facts_packet",
    "flat_error",
    "opened",
    "pack",
    "raised_error",
    "read_ask",
    "read_facts",
    "read_reply",
    "read_tell",
    "reply_packet",
    "seal",
    "tell_packet",
    "unpack",
]

ACTORS = ("rest", "stream", "state", "orders")
"""Those of a venue that can be asked from the engine's process; a packet names them by their place here."""


class Code(IntEnum):
    """The first byte of a control packet."""

    SETUP = 1  # to the venue: everything it needs to start
    ASK = 2  # to the venue: a message that is answered
    TELL = 3  # to the venue: a message that is not
    FOLLOW = 4  # to the venue: (number, topic): send it from now on
    LEAVE = 5  # to the venue: number: send it no more
    AGAIN = 6  # to the venue: number: state and whole book once more
    STOP = 7  # to the venue: end in order
    READY = 8  # to the engine: the tree over there is up
    FAILED = 9  # to the engine: it could not start, and why
    REPLY = 10  # to the engine: the end of an ask
    EVENT = 11  # to the engine: something happened to our orders
    TOLD = 12  # to the engine: (fills, orders) the account's store holds at the start
    LISTED = 13  # to the engine: the instrument table is new
    PULSE = 14  # to the engine: it lives, and how it is
    LOGGED = 15  # to the engine: (level, text, fields) of a record
    HAPPENED = 16  # to the engine: a TreeEvent of the tree over there


_ASK = struct.Struct("<BBQd")
_REPLY = struct.Struct("<BBQ")


def pack(code: Code, value: Any = None) -> bytes:
    return bytes((code,)) + pickle.dumps(value, protocol=5)


def unpack(packet: memoryview) -> Any:
    return pickle.loads(packet[1:])


_PLAIN: tuple[type[msgspec.Struct], ...] = (
    PlaceOrder, CancelOrder, AmendOrder, CancelAll, PlaceBatch, GetInstrument, OrderOutcome, Instrument, StreamStatus,
)  # fmt: skip
"""What goes as its place here and MessagePack: values of fields whose types say all there is to say."""

_ENCODE = msgspec.msgpack.Encoder().encode
_FIRST = {kind: bytes((place,)) for place, kind in enumerate(_PLAIN)}
_DECODE = tuple(msgspec.msgpack.Decoder(kind).decode for kind in _PLAIN)
_PICKLED = 0x80  # how every pickle begins

_sealed_classes: dict[type, bytes] = {}  # a class itself as a message: one pickle of it serves for good
_opened_classes: dict[bytes, type] = {}


def _seal(value: Any) -> bytes:
    """Any value; raises whatever pickling it does."""
    kind = value.__class__
    first = _FIRST.get(kind)
    if first is not None:
        try:
            return first + _ENCODE(value)
        except Exception:  # noqa: BLE001  a field that is not what its type says; a pickle may hold it
            return pickle.dumps(value, protocol=5)
    if not isinstance(value, type):
        return pickle.dumps(value, protocol=5)
    sealed = _sealed_classes.get(value)
    if sealed is None:
        sealed = _sealed_classes[value] = pickle.dumps(value, protocol=5)
    return sealed


def opened(sealed: memoryview) -> Any:
    """What was sealed.

    Raises:
        InvalidRequest: a field is not what its type says. Anything: a class that cannot be imported here.
    """
    first = sealed[0]
    if first != _PICKLED:
        try:
            return _DECODE[first](sealed[1:])
        except msgspec.ValidationError as failure:
            raise InvalidRequest(f"{_PLAIN[first].__name__} holds a field of another type: {failure}") from failure
    body = bytes(sealed)
    found = _opened_classes.get(body)
    if found is not None:
        return found
    value = pickle.loads(body)
    if isinstance(value, type):
        _opened_classes[body] = value
    return value


def seal(message: Any) -> bytes:
    """A message on its way to an actor of the venue's process.

    Raises:
        InvalidRequest: it holds something that cannot leave this process; it was not sent.
    """
    try:
        return _seal(message)
    except Exception as failure:
        raise InvalidRequest(
            f"{type(message).__name__} cannot be sent to a venue in a process of its own: {failure}. "
            "Messages there are plain values: no functions, references or open files."
        ) from failure


def ask_packet(target: int, number: int, deadline_s: float, sealed: bytes) -> bytes:
    return _ASK.pack(Code.ASK, target, number, deadline_s) + sealed


def read_ask(packet: memoryview) -> tuple[int, int, float, memoryview]:
    _, target, number, deadline_s = _ASK.unpack_from(packet)
    return target, number, deadline_s, packet[_ASK.size :]


def tell_packet(target: int, sealed: bytes) -> bytes:
    return bytes((Code.TELL, target)) + sealed


def read_tell(packet: memoryview) -> tuple[int, memoryview]:
    return packet[1], packet[2:]


def reply_packet(number: int, value: Any, error: BaseException | None) -> bytes:
    """The end of an ask; a value that cannot leave its process becomes an error that says so."""
    if error is None:
        try:
            return _REPLY.pack(Code.REPLY, 0, number) + _seal(value)
        except Exception as failure:  # noqa: BLE001  whatever a foreign object's pickling raises
            error = InvalidRequest(f"the answer, a {type(value).__name__}, cannot leave the venue's process: {failure}")
    return _REPLY.pack(Code.REPLY, 1, number) + pickle.dumps(_flat(error), protocol=5)


def read_reply(packet: memoryview) -> tuple[int, Any, BaseException | None]:
    """(number, value, error)."""
    _, is_error, number = _REPLY.unpack_from(packet)
    body = packet[_REPLY.size :]
    if is_error:
        return number, None, _raised(pickle.loads(body))
    try:
        return number, opened(body), None
    except InvalidRequest as unreadable:
        return number, None, OutcomeUnknown(f"an answer came, and it cannot be read: {unreadable}")


# ---------------------------------------------------------------- errors


def _flat(error: BaseException | None, depth: int = 3) -> Any:
    """An exception as plain values: class by name, arguments, attributes, cause. Tracebacks stay where they are."""
    if error is None or not depth:
        return None
    kind = type(error)
    return (
        kind.__module__,
        kind.__qualname__,
        tuple(map(_plain, error.args)),
        {name: _plain(value) for name, value in vars(error).items() if not name.startswith("__")},
        _flat(error.__cause__, depth - 1),
    )


def _plain(value: Any) -> Any:
    try:
        pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001  as above
        return repr(value)[:200]
    return value


def _raised(flat: Any) -> BaseException | None:
    """The exception again; of a class that is not known here, a ConnectorError of the same text."""
    if flat is None:
        return None
    module, name, arguments, attributes, cause = flat
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        if not issubclass(found, BaseException):
            raise TypeError(name)
        error: BaseException = found.__new__(found, *arguments)
    except Exception:  # noqa: BLE001  a class of an engine's own that this process cannot make
        error = ConnectorError(f"{name}: {' '.join(map(str, arguments))}")
    error.__dict__.update(attributes)
    error.__cause__ = _raised(cause)
    return error


def flat_error(error: BaseException) -> Any:
    """An exception that may be pickled; `raised_error` makes it one again."""
    return _flat(error)


def raised_error(flat: Any) -> BaseException:
    return _raised(flat) or ConnectorError("the venue's process told of an error without saying which")


# ---------------------------------------------------------------- facts


class Tag(IntEnum):
    """What the payload of a chunk is."""

    VALUES = 0  # values of the topic's kind; of a book: deltas, each naming the one before
    GAP = 1  # Gap
    STATUS = 2  # TopicStatus
    WHOLE = 3  # Whole
    VOID = 4  # Void


class Void(msgspec.Struct, frozen=True, array_like=True):
    """The book over there is not valid."""

    state: str
    reason: str


class Whole(msgspec.Struct, frozen=True, array_like=True):
    """A book from which deltas follow: everything that is known, and the range it covers (as text: too long for MessagePack)."""

    event_time_ns: int | None
    received_ns: int
    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    floor: str
    ceiling: str

    @classmethod
    def of(cls, book: OrderBook, reach: tuple[int, int]) -> Whole:
        return cls(
            book.event_time_ns, book.received_ns, book.update_id, book.bids, book.asks, str(reach[0]), str(reach[1])
        )

    @property
    def reach(self) -> tuple[int, int]:
        return int(self.floor), int(self.ceiling)


_KINDS: dict[TopicKind, type[msgspec.Struct]] = {
    TopicKind.TRADES: Trade,
    TopicKind.AGG_TRADES: AggTrade,
    TopicKind.CANDLES: Candle,
    TopicKind.TICKER: Ticker,
    TopicKind.BOOK_TICKER: BookTicker,
    TopicKind.PARTIAL_BOOK: OrderBook,
    TopicKind.BOOK: BookDelta,
    TopicKind.MARK_PRICE: MarkPrice,
    TopicKind.LIQUIDATIONS: Liquidation,
}
_SHARED = ("venue", "symbol")
"""Fields every value of a topic has in common; they are not sent."""

_encode = msgspec.msgpack.Encoder().encode
_read_packet = msgspec.msgpack.Decoder(tuple[float, list[tuple[int, int, msgspec.Raw]]]).decode


def _fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    if kind.__struct_fields__[:2] != _SHARED:
        raise TypeError(f"{kind.__name__} does not begin with {_SHARED}")
    return kind.__struct_fields__[2:]


def _rows_decoder(kind: type[msgspec.Struct]) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind) | _AS_TEXT.get(kind, {})
    row: Any = tuple.__class_getitem__(tuple(hints[name] for name in _fields(kind)))
    rows: Any = list[row]
    read: Callable[[Any], Any] = msgspec.msgpack.Decoder(rows).decode
    return read


_AS_TEXT: dict[type, dict[str, Any]] = {BookDelta: dict.fromkeys(("bids", "asks"), list[tuple[str, str]])}
"""What stays text over here too; the book makes numbers of it when somebody looks."""
_SENT: set[type[msgspec.Struct]] = set(_KINDS.values())
_PICK: dict[type, Callable[[Any], Any]] = {kind: attrgetter(*_fields(kind)) for kind in _SENT}
_ROWS: dict[type, Callable[[Any], Any]] = {kind: _rows_decoder(kind) for kind in _SENT}


def encoder(topic: Topic) -> Callable[[Sequence[Any]], bytes]:
    """Values of one topic to the payload of a VALUES chunk."""
    pick = _PICK[_KINDS[topic.kind]]
    return lambda values: _encode([pick(value) for value in values])


def encode_notice(value: Any) -> bytes:
    """The payload of any other chunk."""
    return _encode(value)


def decoders(venue: str, topic: Topic) -> tuple[Callable[[Any], Any], ...]:
    """By tag: payload of a chunk to what is in it; VALUES gives a list."""
    symbol = topic.symbol

    def rows(kind: type[Any]) -> Callable[[Any], list[Any]]:
        read = _ROWS[kind]
        return lambda payload: [kind(venue, symbol, *row) for row in read(payload)]

    return (
        rows(_KINDS[topic.kind]),
        msgspec.msgpack.Decoder(Gap).decode,
        msgspec.msgpack.Decoder(TopicStatus).decode,
        msgspec.msgpack.Decoder(Whole).decode,
        msgspec.msgpack.Decoder(Void).decode,
    )


def facts_packet(at_s: float, chunks: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A batch: when it was written (monotonic, one clock for both processes), and chunks of (topic number, tag, payload)."""
    return _encode((at_s, [(number, tag, msgspec.Raw(payload)) for number, tag, payload in chunks]))


def read_facts(packet: memoryview) -> tuple[float, list[tuple[int, int, Any]]]:
    found: tuple[float, list[tuple[int, int, Any]]] = _read_packet(packet)
    return found
