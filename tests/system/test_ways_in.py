"""The first step of a connection fails in every way there is; the next attempt succeeds, and nobody waited for ever."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fault_harness import BookJudge, TradeJudge, eventually, running
from msgspec.structs import replace as changed

from connector.domain import BookState


class Detour:
    """Links whose first attempts go somewhere else."""

    def __init__(self, links, attempts: int, **elsewhere) -> None:
        self._links, self.left, self._elsewhere = links, attempts, elsewhere
        self.kind = links.kind

    def open(self, settings, handler):
        if self.left:
            self.left -= 1
            settings = replace(settings, **self._elsewhere)
        return self._links.open(settings, handler)


def detoured(**elsewhere):
    """Parts whose first two connection attempts of every venue are led astray."""
    return lambda parts: replace(parts, links=lambda venue: Detour(parts.links(venue), 2, **elsewhere))


def full_queue(opened: ExitStack) -> str:
    """Where a connection attempt gets no answer at all: a listener whose queue is full, so that further SYNs are dropped."""
    listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    address = listener.getsockname()
    for _ in range(4):
        filler = opened.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(address)
    return f"127.0.0.1:{address[1]}"


def listening(opened: ExitStack) -> str:
    """A port that takes connections and never says a word."""
    listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"127.0.0.1:{listener.getsockname()[1]}"


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


WAYS = {
    "no answer at all (F06)": lambda opened: {"url": f"ws://{full_queue(opened)}/stream"},
    "a name that does not exist (F09)": lambda opened: {"url": "ws://no-such-host.invalid/stream"},
    "TLS that is never spoken (F10)": lambda opened: {"url": f"wss://{listening(opened)}/stream"},
    "an HTTP proxy that refuses (F16)": lambda opened: {"proxy": f"http://{closed_port()}"},
    "an HTTP proxy that hangs (F16)": lambda opened: {"proxy": f"http://{listening(opened)}"},
    "a SOCKS proxy that hangs (F16)": lambda opened: {"proxy": f"socks5://{listening(opened)}"},
}


@pytest.mark.parametrize("transport", ["picows", "websocket-client"])
@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_cannot_be_made_is_given_up_in_time_and_tried_again(way, transport):
    """F06, F09, F10, F16: bounded, told, and no byte is sent in the clear to where TLS was asked for."""
    with ExitStack() as opened:
        parts = detoured(**WAYS[way](opened))
        timeouts = {"connect_timeout_s": 0.2, "upgrade_timeout_s": 0.2}
        rig = opened.enter_context(running(events_per_s=300.0, parts=parts, transport=transport, **timeouts))
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription, within_s=10.0)
        assert rig.counter("stream.connections_lost") == 2
        assert trades.faults() == []


def test_pongs_are_sent_in_time_while_every_core_is_busy():
    """F29: the reader answers; threads that burn the processor do not make the venue close the connection."""
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            sum(range(1_000))

    pings = {"ping_every_s": 0.2, "pong_within_s": 2.0}
    with running(events_per_s=100.0, simulator=pings) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        burners = [threading.Thread(target=burn, name=f"burner-{number}") for number in range(4)]
        for burner in burners:
            burner.start()
        try:
            eventually(lambda: rig.sim.ledger.connections()[0].pongs >= 8, 30.0)
        finally:
            over.set()
            for burner in burners:
                burner.join(10.0)
        assert rig.sim.ledger.violations() == []
        assert rig.counter("stream.connections_lost") == 0
        assert trades.gaps == [] and trades.faults() == []


def test_a_book_whose_numbers_start_over_is_dropped_and_built_anew():
    """F32: the venue counts from somewhere lower; the old book is not taken for right any longer than it takes to notice."""
    back = 10**9
    with running(events_per_s=0, simulator={"request_weight_per_minute": 1_000_000}) as rig:
        book = BookJudge(rig)
        eventually(lambda: rig.sim.step(5) and book.live.state is BookState.VALID, 20.0)
        feed = next(each for each in rig.memory.feeds() if each.topic.kind.value == "book")
        read = feed._read

        def lower(frame, received_ns):
            delta = read(frame, received_ns)
            return changed(
                delta, first_update_id=delta.first_update_id - back, last_update_id=delta.last_update_id - back
            )

        feed.bind(lambda: lower)
        eventually(lambda: rig.sim.step(5) and book.live.state is not BookState.VALID, 20.0, lambda: repr(book.live))
        feed.bind(lambda: read)
        eventually(lambda: rig.sim.step(5) and book.live.state is BookState.VALID, 20.0, lambda: repr(book.live))
        assert book.compare() == []
