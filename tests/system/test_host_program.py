"""What the program around the library does to it, and the system to both: fork, threads, signals, stops, nothing left to give."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from fault_harness import TradeJudge, eventually, running

from connector.simulator import Simulator, SimulatorSettings

_path = Path(__file__).parents[1] / "faults" / "host_child.py"
LINUX = sys.platform == "linux"
pytestmark = pytest.mark.skipif(not LINUX, reason="limits of a process are set and lifted here as Linux does")

if LINUX:
    _spec = importlib.util.spec_from_file_location("host_child", _path)
    assert _spec is not None and _spec.loader is not None
    host_child = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(host_child)


@pytest.fixture
def host():
    """(exchange, a process that follows it)."""
    with (
        Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=300.0)) as sim,
        host_child.hosted(sim.rest_url, sim.ws_url) as process,
    ):
        yield sim, process


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_is_told_that_nothing_runs_there_and_the_parent_goes_on():
    """F73: the host program forks while everything is up."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:  # no thread of the library runs here
            try:
                rig.venue.server_time_ns(2.0)
                said = "answered"
            except BaseException as error:
                said = repr(error)
            os.write(write, said.encode())
            os._exit(0)
        os.waitpid(pid, 0)
        said = os.read(read, 1000).decode()
        os.close(read)
        os.close(write)
        assert "forked" in said
        rig.await_flow(trades.subscription)
        assert rig.venue.server_time_ns(5.0) > 0
        assert rig.counter("stream.connections_lost") == 0
        assert trades.faults() == [] and trades.gaps == []


def test_a_hundred_threads_ask_subscribe_and_look_at_once():
    """F73: every one is answered, and nothing is told twice."""
    failed, answered = [], []
    with running(events_per_s=200.0, simulator={"request_weight_per_minute": 1_000_000}) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        begin = threading.Barrier(100)

        def use(number: int) -> None:
            begin.wait(20.0)
            try:
                with rig.subscribe(
                    ("trades", "book_ticker")[number % 2], ("BTC/USDT", "ETH/USDT")[number % 3 == 0]
                ) as mine:
                    mine.wait_live(20.0)
                rig.venue.snapshot()
                rig.connector.render()
                answered.append(rig.venue.server_time_ns(20.0) > 0)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=use, args=(number,), name=f"engine-{number}") for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert failed == [] and len(answered) == 100
        rig.await_confirmed()
        assert rig.sim.ledger.violations() == []
        assert trades.faults() == [] and trades.gaps == []


def test_a_signal_handler_may_ask_and_look():
    """F73: the handler interrupts the main thread in the middle of a call of ours, and calls us."""
    heard: list[object] = []

    def handler(number: int, frame: object) -> None:
        rig.venue.snapshot()
        heard.append(rig.venue.server_time_ns(5.0))

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with running(events_per_s=200.0) as rig:
            trades = TradeJudge(rig)
            rig.await_flow(trades.subscription)
            over = threading.Event()

            def interrupt() -> None:
                while not over.wait(0.005) and len(heard) < 30:
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

            source = threading.Thread(target=interrupt, name="interrupts")
            source.start()
            try:
                eventually(lambda: rig.venue.server_time_ns(10.0) > 0 and len(heard) >= 10, 20.0)
            finally:
                over.set()
                source.join(10.0)
            assert trades.faults() == [] and trades.gaps == []
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_process_that_was_stopped_goes_on_where_the_exchange_is_by_then(host):
    """F75: SIGSTOP, then SIGCONT; what was missed is fetched or told."""
    sim, process = host
    os.kill(process.process.pid, signal.SIGSTOP)
    sent = len(sim.ledger.trades("BTCUSDT"))
    eventually(lambda: len(sim.ledger.trades("BTCUSDT")) > sent + 50, 20.0)
    os.kill(process.process.pid, signal.SIGCONT)

    process.await_state(live=True, valid=True)
    state = process.order("state")
    assert (state["untold"], state["doubled"]) == (0, 0)


def test_without_descriptors_what_is_open_goes_on_and_a_lost_connection_waits_for_one(host):
    """F78: told, tried again, and back when there are some."""
    sim, process = host
    process.order("starve")
    process.await_state(live=True, valid=True)
    epochs = process.order("state")["epochs"]
    sim.faults.cut()
    eventually(lambda: "open files" in process.order("state")["reason"], 10.0, lambda: str(process.order("state")))

    process.order("feed")
    process.await_state(live=True, valid=True)
    state = process.order("state")
    assert (state["untold"], state["doubled"]) == (0, 0)
    assert process.order("question")["answered"]
    assert state["epochs"] == epochs


def test_without_room_for_threads_what_runs_goes_on_and_all_is_back_when_there_is_some(host):
    """F78: a connection needs a thread of its own; it gets the room of the one that ended, or waits."""
    sim, process = host
    assert "thread" in process.order("confine")["refused"]
    process.await_state(live=True)
    epochs = process.order("state")["epochs"]
    sim.faults.cut()
    eventually(lambda: process.order("state")["connections_lost"] >= 1, 10.0)
    eventually(lambda: process.order("state")["live"] or process.order("state")["connections_lost"] >= 2, 10.0)

    process.order("feed")
    process.await_state(live=True, valid=True, within_s=45.0)
    state = process.order("state")
    assert (state["untold"], state["doubled"]) == (0, 0)
    assert process.order("question")["answered"]
    assert state["epochs"] == epochs


def test_a_question_for_which_there_is_no_descriptor_is_refused_and_costs_no_actor(host):
    """F78: an error somebody can act on; asked again later, it is answered."""
    sim, process = host
    epochs = process.order("state")["epochs"]
    process.order("starve")
    sim.faults.cut(scope="all")
    answer = process.order("question")
    assert answer["error"].split(":")[0] in ("NotConnected", "LinkError") and "open files" in answer["error"], answer

    process.order("feed")
    process.await_state(live=True, valid=True)
    assert process.order("question")["answered"]
    assert process.order("state")["epochs"] == epochs
