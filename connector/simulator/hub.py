"""Carry each event to whoever subscribed: encoded once per form, written once per connection and step.

A topic is one stream by name; a connection takes frames bare or wrapped with the stream's name, with times in milli- or
microseconds. The faults that concern messages (silence, loss, doubling, order, frozen values) act here, between "the venue
has something to tell" and the bytes. Runs on the simulator's loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from connector.simulator.ledger import ConnectionRecord, Records, StreamRecord
from connector.simulator.limits import SlidingCount

__all__ = ["Connection", "Hub", "Outlet", "Render", "Topic", "control_frame", "text_frame"]

Render = Callable[[bool], bytes]
"""Make the payload of an event; True asks for microseconds."""

_COMBINED, _MICROS = 1, 2


def text_frame(payload: bytes, first_byte: int = 0x81) -> bytes:
    """A complete unmasked WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((first_byte, size)) + payload
    if size < 65_536:
        return bytes((first_byte, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first_byte, 127)) + size.to_bytes(8, "big") + payload


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A ping (9), pong (10) or close (8) frame."""
    return bytes((0x80 | opcode, len(payload))) + payload


class Outlet(Protocol):
    """Where the bytes for one client go."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for the peer."""

    def send(self, data: bytes) -> None:
        """Whole frames, as they go over the wire."""

    def reset(self) -> None:
        """End the connection without a word."""


class Connection:
    """One WebSocket client."""

    def __init__(self, record: ConnectionRecord, wire: Outlet, opened_s: float) -> None:
        self.record, self.wire = record, wire
        self.combined = self.micros = False
        self.topics: dict[str, Topic] = {}
        self.opened_s = self.last_ping_s = opened_s
        self.unanswered_s: float | None = None
        self._pings: dict[bytes, float] = {}
        self.messages = SlidingCount(1.0)
        self.closing = False
        self.address = ""
        self.metered = True
        """Whether the limit of incoming messages applies to it."""
        self.pinged = self.ages = True
        """Whether this venue pings it, and whether it ends it at an age."""
        self.idle_s: float | None = None
        """After how long without a word either way the venue cuts it; None: never."""
        self.stirred, self.stirred_s = False, opened_s
        """Whether something was said since the server last looked, and when it last found that so."""
        self.session: Any = None
        """The dialect's own: what it knows about a client that asks and answers here."""
        self.held: list[bytes] = []
        """Account events that a fault lets the next one overtake."""
        self._out: list[bytes] = []

    @property
    def form(self) -> int:
        """Which encoding this client takes."""
        return (_COMBINED if self.combined else 0) | (_MICROS if self.micros else 0)

    def queue(self, frame: bytes) -> None:
        """Add a complete frame to what goes out with the next flush."""
        self._out.append(frame)

    def flush(self) -> None:
        """Write what was queued."""
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        if not self.closing:
            self.stirred = True
            self.record.frames_out += len(self._out)
            self.record.bytes_out += len(data)
            self.wire.send(data)
        self._out.clear()

    def send_now(self, frame: bytes) -> None:
        """Write one frame after everything already queued."""
        self.queue(frame)
        self.flush()

    def ping(self, now_s: float, payload: bytes) -> None:
        """Ask for a sign of life."""
        self.last_ping_s = now_s
        self._pings[payload] = now_s
        if self.unanswered_s is None:
            self.unanswered_s = now_s
        self.send_now(control_frame(9, payload))

    def pong(self, payload: bytes) -> None:
        """A pong counts only when it answers one of our pings; it answers the earlier ones too."""
        asked_s = self._pings.pop(payload, None)
        if asked_s is not None:
            self._pings = {text: at for text, at in self._pings.items() if at > asked_s}
            self.unanswered_s = min(self._pings.values(), default=None)

    def __repr__(self) -> str:
        return f"<Connection {self.record.number} {self.record.path} streams={len(self.topics)}>"


class Topic:
    """One stream: its subscribers by form, its record, and what is done to its messages.

    `detail` belongs to the dialect: whatever it read from the stream's name; None when the name means nothing to it.
    """

    def __init__(self, name: str, record: StreamRecord, detail: Any) -> None:
        self.name, self.record, self.detail = name, record, detail
        self.groups: dict[int, dict[Connection, None]] = {}
        self.silent = self.frozen = False
        self.lose = self.double = self.reorder = 0
        self.held: list[Render] = []
        self.last: Render | None = None
        self.note: Any = None

    @property
    def tampered(self) -> bool:
        """Some fault is waiting for this stream's next message."""
        return bool(self.silent or self.frozen or self.lose or self.double or self.reorder or self.held)

    def wrap(self, payload: bytes) -> bytes:
        """The payload as combined mode carries it."""
        return b'{"stream":"' + self.name.encode() + b'","data":' + payload + b"}"

    def __repr__(self) -> str:
        return f"<Topic {self.name} subscribers={sum(map(len, self.groups.values()))}>"


class Hub:
    """All topics and all connections."""

    def __init__(self, records: Records, parse: Callable[[str], Any], now_s: Callable[[], float]) -> None:
        self._records = records
        self._parse = parse
        self._now_s = now_s
        self.topics: dict[str, Topic] = {}
        self.connections: dict[Connection, None] = {}
        self._dirty: dict[Connection, None] = {}
        self.all_silent = False
        self.changed_s = 0.0
        """When a subscription last changed, on the loop's clock."""

    def topic(self, name: str) -> Topic:
        """The stream of that name, whether anything ever comes on it or not."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, StreamRecord(name), self._parse(name))
        return topic

    def wanted(self) -> list[Topic]:
        """Streams with at least one subscriber."""
        return [topic for topic in self.topics.values() if topic.groups]

    def subscribe(self, connection: Connection, names: Iterable[str]) -> None:
        """Add streams to a connection; those it has already stay as they are."""
        for name in names:
            topic = self.topic(name)
            self._records.streams.setdefault(name, topic.record)
            connection.topics[name] = topic
            topic.groups.setdefault(connection.form, {})[connection] = None
        self._changed(connection)

    def unsubscribe(self, connection: Connection, names: Iterable[str]) -> None:
        """Take streams from a connection; unknown ones are ignored."""
        for name in names:
            topic = connection.topics.pop(name, None)
            if topic is not None:
                group = topic.groups[connection.form]
                del group[connection]
                if not group:
                    del topic.groups[connection.form]
        self._changed(connection)

    def reshape(self, connection: Connection, *, combined: bool) -> None:
        """Change the form a connection takes its frames in."""
        names = list(connection.topics)
        self.unsubscribe(connection, names)
        connection.combined = combined
        self.subscribe(connection, names)

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self.unsubscribe(connection, list(connection.topics))
        self.connections.pop(connection, None)
        self._dirty.pop(connection, None)

    def _changed(self, connection: Connection) -> None:
        connection.record.subscriptions = list(connection.topics)
        self.changed_s = self._now_s()

    def publish(self, topic: Topic, ident: int, render: Render) -> None:
        """Tell every subscriber one event with the given number."""
        if not topic.groups:
            return
        record = topic.record
        record.published += 1
        record.ids.append(ident)
        if len(record.ids) > self._records.keep:
            del record.ids[: self._records.keep // 4]
        if self.all_silent or topic.tampered:
            self._publish_tampered(topic, render)
        else:
            topic.last = render
            self._emit(topic, render)

    def _publish_tampered(self, topic: Topic, render: Render) -> None:
        record = topic.record
        if self.all_silent or topic.silent:
            record.withheld += 1
        elif topic.frozen:
            record.withheld += 1
            if topic.last is not None:
                record.extra += 1
                self._emit(topic, topic.last)
        elif topic.lose:
            topic.lose -= 1
            record.withheld += 1
        elif topic.held:
            self._emit(topic, render)
            self._emit(topic, topic.held.pop())
        elif topic.reorder:
            topic.reorder -= 1
            topic.held.append(render)
        else:
            topic.last = render
            self._emit(topic, render)
            if topic.double:
                topic.double -= 1
                record.extra += 1
                self._emit(topic, render)

    def _emit(self, topic: Topic, render: Render) -> None:
        for form, group in topic.groups.items():
            payload = render(bool(form & _MICROS))
            frame = text_frame(topic.wrap(payload) if form & _COMBINED else payload)
            for connection in group:
                connection.queue(frame)
            self._dirty.update(group)

    def inject(self, topic: Topic, make: Callable[[bool], bytes]) -> int:
        """Queue the bytes `make(combined)` on every subscriber of a stream, as they are. Returns how many took them."""
        count = 0
        for form, group in topic.groups.items():
            frame = make(bool(form & _COMBINED))
            for connection in group:
                connection.queue(frame)
                count += 1
            self._dirty.update(group)
        topic.record.extra += 1
        return count

    def flush(self) -> None:
        """Write everything queued, one write per connection."""
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for connection in dirty:
                connection.flush()
