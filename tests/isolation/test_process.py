"""A venue in a process of its own: an engine sees what it sees of any venue, whatever becomes of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pykka
import pytest
from conftest_isolation import apart, harness, is_running

from connector import BookNotValid, Symbol
from connector.domain.queries import ServerTimeQuery
from connector.errors import InvalidRequest, UnknownSymbol
from connector.simulator import Simulator, SimulatorSettings
from connector.supervision import Backoff, Restarted, StableRef, Stopped, TreeEvent
from connector.venue.delivery import TopicState
from connector.venue.state import GetInstrument
from connector.venue.stream import StreamStatus

eventually = harness.eventually
BTC_USDT = Symbol("BTC", "USDT")


def test_streams_books_and_questions_come_through_the_other_process_as_through_threads():
    with apart() as rig:
        trades, book = harness.TradeJudge(rig), harness.BookJudge(rig)
        kinds = ("agg_trades", "ticker", "book_ticker", "candles", "partial_book")
        more = {"candles": {"interval": "1m"}, "partial_book": {"depth": 5}}
        others = [rig.subscribe(kind, capacity=10**6, **more.get(kind, {})) for kind in kinds]
        rig.await_flow(trades.subscription, book.subscription, *others)
        book.await_valid()
        rig.await_flow(trades.subscription, book.subscription)

        assert rig.bridge.pid != os.getpid()
        assert trades.faults() == [] and not trades.gaps
        assert book.compare() == [] and book.compared > 0
        assert rig.venue.instrument(BTC_USDT).symbol == BTC_USDT
        assert rig.venue.wait_ready(5.0) and BTC_USDT in rig.venue.instruments()[0]
        assert abs(rig.venue.server_time_ns() - rig.connector._clock.time_ns()) < 5e9
        assert len(rig.venue.recent_trades(BTC_USDT, 5)) == 5
        assert rig.venue.rest.ask(ServerTimeQuery(), timeout=5.0) > 0
        assert rig.venue.stream.ask(StreamStatus, timeout=5.0).confirmed == 7
        assert rig.venue.state.proxy().on_receive(GetInstrument(BTC_USDT)).get(timeout=5.0).symbol == BTC_USDT
        eventually(lambda: rig.venue.snapshot().counters.get("rest.answers", 0) > 0, 5.0)
        assert "REQUEST_WEIGHT" in rig.venue.snapshot().budget


def test_errors_of_the_other_process_are_the_same_errors_here():
    with apart() as rig:
        rig.await_up()
        with pytest.raises(UnknownSymbol) as unknown:
            rig.venue.recent_trades("NO/SUCH")
        assert unknown.value.symbol == "NO/SUCH" and unknown.value.venue == "binance"
        with pytest.raises(AttributeError):
            rig.venue.state.proxy().no_such_method.get(timeout=5.0)
        with pytest.raises(InvalidRequest, match="cannot be sent"):
            rig.venue.state.ask(lambda: None)
        with pytest.raises(Restarted) as restarted:
            rig.venue.state.ask("no such message", timeout=5.0)
        assert isinstance(restarted.value.__cause__, TypeError)
        assert rig.venue.state.ask(GetInstrument(BTC_USDT), timeout=5.0).symbol == BTC_USDT
        assert rig.bridge.lives == 1


def test_a_killed_process_is_replaced_and_no_value_is_doubled_or_lost_without_a_word():
    with apart(simulator={"events_per_s": 1000.0}, backfill_within_s=30.0) as rig:
        trades, book = harness.TradeJudge(rig), harness.BookJudge(rig)
        refs = [rig.venue.rest, rig.venue.state, rig.venue.stream, rig.venue.orders]
        rig.await_flow(trades.subscription)
        book.await_valid()
        for life in (2, 3):
            pid = rig.bridge.pid
            rig.signal(signal.SIGKILL)
            eventually(lambda: trades.subscription.state is not TopicState.LIVE, 5.0)
            with pytest.raises(BookNotValid, match="SIGKILL"):
                rig.venue.book(BTC_USDT)
            assert rig.venue.stream.ask(StreamStatus, timeout=20.0).connections >= 0  # waits for the next life
            assert rig.bridge.lives == life and not is_running(pid)
            rig.await_flow(trades.subscription)
            book.await_valid()
            rig.await_confirmed()
        rig.await_flow(trades.subscription, book.subscription)
        rig.sim.pause()
        eventually(lambda: trades.subscription.state is TopicState.LIVE, 5.0)

        assert [rig.venue.rest, rig.venue.state, rig.venue.stream, rig.venue.orders] == refs
        assert all(isinstance(ref, StableRef) and ref.is_alive() and ref.epoch == 3 for ref in refs)
        assert trades.faults() == []
        assert len(trades.gaps) >= 2 and any(gap.filled == gap.missing for gap in trades.gaps), trades.gaps
        assert any(trade.recovered for trade in trades.seen)
        assert book.compare() == [] and book.compared > 0
        assert rig.venue.snapshot().counters["isolation.lives_ended"] == 2


def test_what_came_from_a_killed_process_is_stale_at_once_however_long_the_next_one_waits():
    with apart(restart=Backoff(base_s=30.0, max_s=30.0, jitter=0.0, first_at_once=False)) as rig:
        trades, book = harness.TradeJudge(rig), harness.BookJudge(rig)
        rig.await_flow(trades.subscription)
        book.await_valid()
        rig.signal(signal.SIGKILL)
        eventually(lambda: trades.subscription.freshness().stale, 5.0)
        with pytest.raises(BookNotValid, match="SIGKILL"):
            rig.venue.book(BTC_USDT)

        assert trades.subscription.state is not TopicState.LIVE
        assert rig.bridge.lives == 1, "the next one has not begun"


def test_a_process_that_stands_still_is_stale_then_killed_and_replaced():
    with apart(hung_s=2.0, backfill_within_s=30.0) as rig:
        trades, book = harness.TradeJudge(rig), harness.BookJudge(rig)
        rig.await_flow(trades.subscription)
        book.await_valid()
        pid = rig.signal(signal.SIGSTOP)
        stale_s = eventually(lambda: trades.subscription.freshness().stale, 5.0)
        reason = trades.subscription.freshness().reason
        with pytest.raises(BookNotValid):
            rig.venue.book(BTC_USDT)
        eventually(lambda: not is_running(pid), 10.0)
        rig.await_up()
        rig.await_flow(trades.subscription)
        book.await_valid()

        assert "nothing was heard" in reason and stale_s < 3.0
        assert "said nothing" in rig.bridge.ended
        assert trades.faults() == [] and trades.lost == 0
        assert book.compare() == []


def test_a_process_that_pauses_for_less_goes_on_and_nothing_is_missing():
    with apart() as rig:
        trades, book = harness.TradeJudge(rig), harness.BookJudge(rig)
        rig.await_flow(trades.subscription)
        book.await_valid()
        pid = rig.signal(signal.SIGSTOP)
        eventually(lambda: trades.subscription.freshness().stale, 5.0)
        rig.signal(signal.SIGCONT)
        rig.await_flow(trades.subscription)
        book.await_valid()

        assert rig.bridge.pid == pid and rig.bridge.lives == 1
        assert trades.faults() == [] and book.compare() == []


def test_asks_of_a_dying_process_end_and_those_made_meanwhile_wait_for_the_next():
    with apart() as rig:
        rig.await_up()
        rig.signal(signal.SIGSTOP)
        asked = [rig.venue.state.ask(GetInstrument(BTC_USDT), block=False, timeout=30.0) for _ in range(3)]
        rig.signal(signal.SIGKILL)
        for answer in asked:
            with pytest.raises(Restarted, match="effect is unknown"):
                answer.get(timeout=5.0)
        eventually(lambda: rig.venue.wait_ready(0.1), 10.0)
        assert rig.venue.stream.ask(StreamStatus, timeout=20.0).connections == 0
        rig.signal(signal.SIGSTOP)
        with pytest.raises(pykka.Timeout):
            rig.venue.state.ask(GetInstrument(BTC_USDT), timeout=0.2)


def test_a_process_that_is_asked_to_end_by_others_is_replaced_and_says_nothing_of_having_stopped():
    with apart() as rig:
        pid = rig.await_up()
        ends: list[object] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    ends.append(rig.venue.stream.ask(StreamStatus, timeout=20.0))
                except pykka.ActorDeadError as end:
                    ends.append(end)

        engine = threading.Thread(target=ask, name="engine")
        engine.start()
        rig.signal(signal.SIGTERM)
        eventually(lambda: rig.bridge.is_up and rig.bridge.pid != pid, 20.0)
        over.set()
        engine.join(20.0)

    assert not [end for end in ends if isinstance(end, Stopped)]


def test_asks_that_wait_for_a_life_that_never_comes_end_with_the_venue():
    with apart() as rig:
        rig.await_up()
        state = rig.venue.state
        rig.signal(signal.SIGSTOP)
        sent = state.ask(GetInstrument(BTC_USDT), block=False)
        rig.venue.exchange.stop(timeout=10.0)
        with pytest.raises(Restarted):
            sent.get(timeout=1.0)
        with pytest.raises(Stopped):
            state.ask(GetInstrument(BTC_USDT), timeout=1.0)
        assert not state.is_alive()


def test_nothing_secret_is_in_the_process_table_and_nothing_of_the_environment_follows(tmp_path, monkeypatch):
    from connector.domain.credentials import Credentials
    from connector.simulator import AccountSettings

    monkeypatch.setenv("SOME_SECRET_OF_THE_ENGINE", "not for others")
    account = AccountSettings("main", "isolated0001", "isolated secret", balances={"USDT": 1000})
    with apart(
        {"accounts": (account,)},
        credentials=Credentials("isolated0001", secret="isolated secret"),
        store=tmp_path / "orders.db",
    ) as rig:
        pid = rig.await_up()
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.name != "2"]
        descriptors = {str(link.readlink()) for link in links if tmp_path not in link.readlink().parents}

    assert b"isolated" in shown  # the program's own name
    assert b"isolated secret" not in shown and b"isolated0001" not in shown and b"not for others" not in shown
    assert Path(f"/proc/{pid}").exists() is False
    assert not any("pytest" in name for name in descriptors)


def test_a_consumer_that_does_not_return_is_taken_off_and_the_others_go_on():
    hang, hung = threading.Event(), threading.Event()

    def consume(value: object) -> None:
        hung.set()
        hang.wait(60.0)

    with apart() as rig:
        trades = harness.TradeJudge(rig)
        rig.await_flow(trades.subscription)
        bad = rig.subscribe("ticker", callback=consume)
        try:
            assert hung.wait(10.0)
            eventually(lambda: bad.state is TopicState.CLOSED, 10.0)
            rig.await_flow(trades.subscription)
            assert trades.faults() == []
            assert rig.bridge.lives == 1
        finally:
            hang.set()


ENGINE = """
import sys
from connector import Connector, VenueSettings

connector = Connector([VenueSettings("binance", rest_url=sys.argv[1], stream_url=sys.argv[2], isolation="process")]).start()
assert connector.venue("binance").wait_ready(30.0)
print(connector.diagnostics().venues["binance"].pid, flush=True)
sys.stdin.read()
"""


def test_the_process_of_a_venue_ends_with_the_engine_however_that_ends():
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",))) as sim:
        command = [sys.executable, "-c", ENGINE, sim.rest_url, sim.ws_url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as engine:
            pid = int(engine.stdout.readline())
            assert is_running(pid)
            engine.kill()
            engine.wait(10.0)
        eventually(lambda: not is_running(pid), 10.0, "the venue outlived its engine")


def test_what_happens_to_the_actors_there_is_told_here():
    with apart() as rig:
        rig.await_up()
        rig.venue.stream.tell("no such message")
        eventually(
            lambda: [
                each.payload
                for each in list(rig.events)
                if isinstance(each.payload, TreeEvent)
                and each.payload.path == "/binance/stream"
                and each.payload.reason
            ],
            10.0,
        )
        eventually(lambda: "restarts=1" in rig.connector.diagnostics().venues["binance"].tree, 10.0)
