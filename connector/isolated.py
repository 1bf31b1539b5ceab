"""The program of a venue's own process: the venue's tree as it always is, and the lines to the engine's process.

It is started by `isolation.launch`, told by the first packet what it is, and ends when it is told to, when the engine's
process is gone, or when its own tree has ended. It decides nothing about the venue: subscriptions, asks and orders come from
the engine, values, answers and order events go back. The main thread says several times a second that the process lives;
other threads read and write the lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pykka

from connector.assembly import assemble, real_parts
from connector.clock import SystemClock
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import Fill, Order
from connector.domain.topics import Topic
from connector.errors import ConnectorError
from connector.isolation.bridge import Pulse
from connector.isolation.line import Line, LineEnded, adopt
from connector.isolation.outlet import Outlet
from connector.isolation.setup import VenueOrder, settings_from
from connector.isolation.wire import ACTORS, Code, flat_error, opened, pack, read_ask, read_tell, reply_packet, unpack
from connector.store.contract import Store
from connector.supervision import Reason, Reply, StableRef, Stopped, ThreadRuntime, TreeEvent, start_tree
from connector.telemetry import enable_logging
from connector.venue.delivery import Subscription
from connector.venue.handle import VenueHandle

__all__ = ["main"]

PULSE_S = 0.2
LISTED_WITHIN_S = 0.02
"""Until the first instrument list has come, it is looked for this often."""
DAY_NS = 86_400 * 1_000_000_000
TOLD_AT_MOST = 50_000
"""Fills and orders, newest first, that are compared with what the engine was told: half of what it remembers."""


def main() -> None:
    """Be the venue described by the first packet. `sys.argv[2:]` are the descriptors of the lines."""
    control, asks, facts = (adopt(int(text)) for text in sys.argv[2:5])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    packet = control.take()
    if packet is not None:
        with contextlib.suppress(LineEnded):
            try:
                path, sealed = unpack(packet)
                sys.path[:] = path
                order = pickle.loads(sealed)
            except Exception as failure:  # noqa: BLE001  whatever an engine's module raises when it is imported
                control.send(pack(Code.FAILED, flat_error(failure)))
            else:
                _Program(order, control, asks, facts, stop).run()
    os._exit(0)  # threads that hang in a consumer or a lookup of a name do not keep the process


class _WireReply(Reply):
    """The reply of an ask that came over the line: its answer goes back there, from whichever thread has it.

    That an actor here has stopped is answered only where the venue was told to stop. Otherwise this process is ending and another
    follows: the end of the line then says what is true, that the effect is unknown.
    """

    def __init__(self, number: int, deadline_s: float, line: Line, is_told_to_stop: threading.Event) -> None:
        super().__init__()
        self.deadline_s = None if deadline_s == float("inf") else deadline_s
        self._number, self._line, self._is_told_to_stop = number, line, is_told_to_stop

    def set(self, value: Any = None) -> None:
        try:
            self._claim.pop()
        except IndexError:
            return
        self._value, self._done = value, True
        self._lock.release()
        self._send(reply_packet(self._number, value, None))

    def fail(self, error: BaseException) -> bool:
        first = super().fail(error)
        if first and (not isinstance(error, Stopped) or self._is_told_to_stop.is_set()):
            self._send(reply_packet(self._number, None, error))
        return first

    def _send(self, packet: bytes) -> None:
        try:  # noqa: SIM105  once per ask; a context manager costs as much as the rest
            self._line.send(packet)
        except LineEnded:
            pass  # the reader sees the end, and stops everything


class _Program:
    """The venue and its lines, from start to end."""

    def __init__(self, order: VenueOrder, control: Line, asks: Line, facts: Line, stop: threading.Event) -> None:
        self._order, self._control, self._asks, self._facts, self._stop = order, control, asks, facts, stop
        self._name = order.venue.name
        self._clock = SystemClock()
        self._runtime = ThreadRuntime()
        self._stop_within_s = order.stop_within_s
        self._is_told_to_stop = threading.Event()
        self._refs: tuple[StableRef, ...] = ()
        self._listed: InstrumentTable | None = None

    def run(self) -> None:
        log = enable_logging("INFO", self._on_record, json=True)
        parts = real_parts(self._clock)
        try:
            assembly = assemble(settings_from(self._order), self._clock, parts)
            self._memory = assembly.memories[self._name]
            trading = self._memory.trading
            if trading is not None:
                self._send(pack(Code.TOLD, _kept(trading.store, self._order)))
        except Exception as failure:  # noqa: BLE001  settings, store, driver: the engine hears it and decides
            self._control.send(pack(Code.FAILED, flat_error(failure)))
            return
        tree = start_tree(assembly.root, name=self._name, register=False, on_event=self._on_tree_event)
        self._tree = tree
        self._handle = VenueHandle(self._memory, tree.ref)
        self._refs = tuple(tree.ref(f"/{self._name}/{actor}") for actor in ACTORS)
        self._outlet = Outlet(self._name, self._facts, self._clock)
        if trading is not None:
            trading.events.listen(lambda event: self._send(pack(Code.EVENT, event)))
        for name, body in (
            ("control", self._read),
            ("asks", self._read_asks),
            ("control-writer", self._control.write),
            ("asks-writer", self._asks.write),
            ("facts-writer", self._facts.write),
            ("outlet", self._outlet.write),
        ):
            self._runtime.run(f"connector:{self._name}:{name}", body)
        self._send(pack(Code.READY))
        self._beat()
        self._memory.close()
        tree.stop(self._stop_within_s)
        self._outlet.end()
        if trading is not None:
            trading.close()
        parts.close()
        log.disable()

    def _send(self, packet: bytes) -> None:
        with contextlib.suppress(LineEnded):  # the reader sees the end, and stops everything
            self._control.send(packet)

    def _on_tree_event(self, event: TreeEvent) -> None:
        """What happens to the actors here is told there, its cause as text."""
        reason = event.reason and Reason(event.reason.kind, None, str(event.reason), event.reason.stack)
        self._send(pack(Code.HAPPENED, replace(event, reason=reason, payload=None)))

    def _on_record(self, line: str) -> None:
        """What is logged here is logged there: whether and where it is shown is the engine's to say."""
        record = json.loads(line)
        fields = {name: record[name] for name in ("venue", "actor", "epoch") if name in record}
        text = "\n".join(filter(None, (record["message"], record.get("traceback"))))
        self._send(pack(Code.LOGGED, (record["level"], text, fields)))

    # ------------------------------------------------------------ the main thread

    def _beat(self) -> None:
        """Say that we live and how, until the end."""
        next_s = 0.0
        while not self._tree.ended:
            listed = self._memory.instruments
            if listed is not self._listed:
                self._listed = listed
                self._send(pack(Code.LISTED, listed))
            now_s = self._clock.monotonic_s()
            if now_s >= next_s:
                next_s = now_s + PULSE_S
                self._send(pack(Code.PULSE, self._pulse()))
            if self._stop.wait(LISTED_WITHIN_S if self._listed is None else PULSE_S):
                return

    def _pulse(self) -> Pulse:
        memory = self._memory
        return Pulse(
            at_s=self._clock.monotonic_s(),
            counters=memory.counters.snapshot(),
            alarms=memory.alarms.counts(),
            budget=repr(memory.ledger),
            health=memory.health.snapshot(),
            tree=self._tree.render(),
            threads=threading.active_count(),
            waiting=self._outlet.waiting,
            dropped=self._outlet.dropped,
            switch_interval_s=sys.getswitchinterval(),
        )

    # ------------------------------------------------------------ what the engine wants (the reader's thread)

    def _read(self) -> None:
        handlers: dict[int, Callable[[memoryview], None]] = {
            Code.FOLLOW: lambda packet: self._on_follow(*unpack(packet)),
            Code.LEAVE: lambda packet: self._outlet.leave(unpack(packet)),
            Code.AGAIN: lambda packet: self._outlet.again(unpack(packet)),
            Code.STOP: self._on_stop,
        }
        try:
            while (packet := self._control.take()) is not None:
                handlers[packet[0]](packet)
        finally:
            self._stop.set()  # without the engine's process, or without us to hear it, there is nothing to do

    def _read_asks(self) -> None:
        try:
            while (packet := self._asks.take()) is not None:
                if packet[0] == Code.ASK:
                    self._on_ask(packet)
                else:
                    self._on_tell(packet)
        finally:
            self._stop.set()

    def _on_ask(self, packet: memoryview) -> None:
        target, number, deadline_s, sealed = read_ask(packet)
        reply = _WireReply(number, deadline_s, self._asks, self._is_told_to_stop)
        try:
            self._refs[target].actor_inbox.push((opened(sealed), reply))  # type: ignore[attr-defined]
        except pykka.ActorDeadError as refused:
            reply.fail(refused)
        except Exception as failure:  # noqa: BLE001  a message of a class this process cannot import
            reply.fail(failure)

    def _on_tell(self, packet: memoryview) -> None:
        target, sealed = read_tell(packet)
        try:
            self._refs[target].tell(opened(sealed))
        except Exception as failure:  # noqa: BLE001  as above; nobody waits to be told
            self._memory.counters.add("isolation.messages_lost")
            self._memory.alarms.report("a message from the engine's process was lost", repr(failure))

    def _on_follow(self, number: int, topic: Topic) -> None:
        def subscribe(take: Callable[[Any], None]) -> Subscription:
            return self._handle.subscribe(
                topic.kind,
                topic.symbol,
                interval=topic.interval,
                depth=topic.depth,
                speed_ms=topic.speed_ms,
                callback=take,
                notices=True,
            )

        try:
            self._outlet.follow(number, topic, self._memory.feed(topic), subscribe)
        except (ConnectorError, Stopped) as refused:
            self._outlet.refuse(number, topic, str(refused))

    def _on_stop(self, packet: memoryview) -> None:
        self._stop_within_s = unpack(packet)
        self._is_told_to_stop.set()
        self._stop.set()


def _kept(store: Store, order: VenueOrder) -> tuple[list[Fill], list[Order]]:
    """What the account's store knows of the time the engine looks at, for it to find what it was not told.

    Raises:
        StoreFailed: it cannot be read.
    """
    fills = store.fills(None, order.began_ns - DAY_NS)[-TOLD_AT_MOST:]
    records = {record.client_id: record for record in store.orders(None, order.began_ns)[-TOLD_AT_MOST:]}
    records |= {record.client_id: record for record in store.open_orders()}
    for client_id in order.open_told:
        if client_id not in records and (record := store.order(client_id)) is not None:
            records[client_id] = record
    return list(fills), [record.order for record in records.values()]
