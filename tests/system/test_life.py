"""Starting and stopping: over and over, and in whatever state the client is; nothing stays behind."""

from __future__ import annotations

import gc
import socket
import threading
import time
from contextlib import ExitStack

import pykka
import pytest
from fault_harness import descriptors, eventually, is_live, running, settled_base

from connector import Connector, VenueSettings
from connector.domain.queries import ServerTimeQuery
from connector.domain.wire import HttpRequest
from connector.errors import ConnectorError
from connector.simulator import Simulator, SimulatorSettings
from connector.throttle import BackoffPolicy
from connector.transport.http import HttpClient
from connector.venue.delivery import Closed
from connector.venue.http_workers import HttpWorkers

STOPPED_S = 5.0
CYCLES = 12


@pytest.mark.parametrize("transport", ["picows", "websocket-client"])
def test_start_and_stop_return_every_thread_descriptor_and_registration(transport):
    """I11: after any number of lives, working ones and ones cut short while connecting."""
    if descriptors() is None:
        pytest.skip("this system does not list a process's descriptors in /proc/self/fd")
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=200.0)) as sim:

        def live(wait: bool) -> None:
            venue = VenueSettings("binance", rest_url=sim.rest_url, stream_url=sim.ws_url, transport=transport)
            with Connector([venue]) as client:
                trades, book = (client.subscribe("binance", kind, "BTC/USDT") for kind in ("trades", "book"))
                if wait:
                    trades.wait_live(10.0)
                    book.wait_live(10.0)
            assert client.stop().ok

        live(True)
        eventually(lambda: not sim.ledger.connections(open_only=True))
        gc.collect()
        threads, files, actors = settled_base()
        for number in range(CYCLES):
            live(number % 2 == 0)
        eventually(lambda: settled_base()[0] <= threads, 5.0, lambda: str(threading.enumerate()))
        assert settled_base()[2] == actors
        # The simulator's side of a connection may close a moment later; ours must not wait for the garbage collector.
        eventually(
            lambda: settled_base()[1] <= files, 5.0, lambda: f"{files} descriptors before, {settled_base()[1]} now"
        )


def test_a_request_that_races_with_the_end_of_the_rest_side_leaves_no_descriptor():
    """I11: the client is closed between the look whether it is and the sending."""
    if descriptors() is None:
        pytest.skip("this system does not list a process's descriptors in /proc/self/fd")
    bodies, outcomes = [], []

    class Context:
        def spawn(self, name, body):
            bodies.append(body)

    class Racing(HttpClient):
        def send(self, *args):
            workers.close()
            return super().send(*args)

    gc.collect()
    before = descriptors()
    workers = HttpWorkers(Racing("http://127.0.0.1:9"), Context(), 1)
    workers.submit(HttpRequest("GET", "/never/sent"), time.monotonic() + 5.0, outcomes.append)
    racing = threading.Thread(target=bodies[0])
    racing.start()
    racing.join(5.0)
    assert isinstance(outcomes[0], ConnectorError)
    assert descriptors() == before


def silent_server() -> tuple[socket.socket, str]:
    """A port that accepts connections (as far as its queue reaches) and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"127.0.0.1:{listener.getsockname()[1]}"


def stop_in_time(client) -> None:
    began_s = time.monotonic()
    report = client.stop()
    assert time.monotonic() - began_s < STOPPED_S
    assert report.ok, report
    eventually(lambda: not own_threads(), 1.0, lambda: f"still there: {own_threads()}")


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("connector:")]


def test_stop_while_nothing_was_ever_reached():
    """I12: every request hangs, the venue has not said a word."""
    listener, where = silent_server()
    with listener:
        client = Connector([VenueSettings("binance", rest_url=f"http://{where}", stream_url=f"ws://{where}")]).start()
        topic = client.subscribe("binance", "trades", "BTC/USDT")
        eventually(lambda: "instrument list" in topic.freshness().reason)
        stop_in_time(client)


def test_stop_while_refused():
    """I12: between two attempts, in backoff."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
    client = Connector([VenueSettings("binance", rest_url=f"http://{where}", stream_url=f"ws://{where}")]).start()
    client.subscribe("binance", "trades", "BTC/USDT")
    eventually(lambda: client.snapshot()["binance"].counters.get("state.refresh_failed", 0) >= 2, 10.0)
    stop_in_time(client)


@pytest.mark.parametrize("state", ["upgrading", "backoff", "rollover", "half-open", "full queue", "mid-request"])
def test_stop_in_every_state_ends_within_five_seconds(state):
    """I12, with 2,000 waiting questions in the last case but one."""
    waits_long = BackoffPolicy(base_s=20.0, max_s=20.0)
    with ExitStack() as opened:
        rig = opened.enter_context(
            running(events_per_s=500.0, reconnect=waits_long if state == "backoff" else BackoffPolicy())
        )
        trades = rig.subscribe("trades", capacity=10)
        trades.wait_live(10.0)
        faults = rig.sim.faults
        answers = []
        if state == "upgrading":
            faults.hang_upgrade()
            faults.cut()
            eventually(lambda: rig.counter("stream.connects") >= 2)
        elif state == "backoff":
            faults.refuse_connect()
            faults.cut()
            eventually(lambda: rig.counter("stream.connections_lost") >= 2)
        elif state == "rollover":
            faults.server_shutdown()
            eventually(lambda: rig.counter("stream.rollovers") >= 1)
        elif state == "half-open":
            faults.half_open(scope="all")
        elif state == "full queue":
            eventually(lambda: trades.dropped > 0)
        else:
            faults.rest_delay(30.0)
            answers = [rig.venue.rest.ask(ServerTimeQuery(), block=False) for _ in range(2_000)]
        stop_in_time(rig.connector)
        for answer in answers:  # none is left waiting
            with pytest.raises((ConnectorError, pykka.ActorDeadError)):
                answer.get(timeout=0.5)


def test_stop_while_a_callback_never_returns_names_what_is_left():
    """I12, F72: the engine's own code hangs on a reader thread; the stop does not."""
    release = threading.Event()
    with running(events_per_s=300.0) as rig:
        other = rig.subscribe("trades", "ETH/USDT")
        other.wait_live(10.0)
        entered = threading.Event()

        def hang(value):
            entered.set()
            release.wait(30.0)

        rig.subscribe("trades", callback=hang)
        assert entered.wait(10.0)
        began_s = time.monotonic()
        rig.connector.stop()
        assert time.monotonic() - began_s < STOPPED_S + 0.5
        release.set()


def test_values_taken_before_the_stop_can_be_read_after_it_and_then_the_end_is_told():
    with running(events_per_s=300.0) as rig:
        trades = rig.subscribe("trades", capacity=10**6)
        eventually(lambda: trades.waiting > 10)
        rig.connector.stop()
        left = trades.waiting - 1
        assert sum(1 for _ in range(left) if trades.get(1.0)) == left
        with pytest.raises(Closed):
            trades.get(1.0)
        assert not is_live(trades)


def test_stopping_twice_and_from_many_threads_gives_one_report():
    with running(events_per_s=100.0) as rig:
        reports = []
        threads = [threading.Thread(target=lambda: reports.append(rig.connector.stop())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
        assert len(reports) == 4 and all(report.ok for report in reports)
        assert rig.connector.stop() == reports[0]
