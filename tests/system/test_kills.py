"""Ending any actor by force, under load: nothing untrue, nothing forgotten, back at once; and nobody else notices."""

from __future__ import annotations

import threading
from statistics import median

import pykka
import pytest
from fault_harness import (
    ACTORS,
    BookJudge,
    TradeJudge,
    eventually,
    failures,
    generous_connects,
    running,
)

from connector.domain.queries import ServerTimeQuery
from connector.errors import ConnectorError
from connector.venue.stream import StreamStatus

KILLS = 4
FIRST_RESTART_S = 0.1


@pytest.mark.parametrize("actor", ACTORS)
def test_a_killed_actor_is_back_at_once_and_no_value_is_wrong_or_lost_without_a_word(actor):
    """F64, F68 (the exchange actor is the supervisor of the others): I4, I5, I8 under 2,000 events a second."""
    roomy = {"request_weight_per_minute": 1_000_000}
    with running(events_per_s=2000.0, driver=generous_connects(), simulator=roomy) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        more = [rig.subscribe(kind, "ETH/USDT", capacity=10**6) for kind in ("trades", "agg_trades", "book_ticker")]
        refs = {each: rig.ref(each) for each in ACTORS}
        rig.await_flow(trades.subscription, *more)
        book.await_valid()
        restarts_s = []
        for _ in range(KILLS):
            restarts_s.append(rig.kill(actor))
            rig.await_healthy(actor)
            rig.await_confirmed()
            rig.await_flow(trades.subscription, *more)
            book.await_valid(30.0)
            book.compare()
        rig.await_flow(book.subscription)
        status = rig.venue.stream.ask(StreamStatus, timeout=5.0)
        assert status.wanted == status.confirmed == 5
        assert all(ref.is_alive() and rig.ref(each) is ref for each, ref in refs.items())
        assert refs["rest"].ask(ServerTimeQuery(), timeout=5.0) > 0
        rig.sim.pause()
        eventually(lambda: trades.subscription.state.value == "live", 5.0)
        assert trades.faults() == []
        assert book.compare() == [] and book.compared > 0
        assert not failures(rig.events)
        # Every one of a hundred is held to the figure by the long run; here a loaded machine may stretch one of four.
        assert median(restarts_s) <= FIRST_RESTART_S and max(restarts_s) <= 1.0, restarts_s


def test_a_venue_in_trouble_changes_nothing_for_another():
    """I9: the other venue keeps its incarnations, its connection, and loses nothing."""
    with running("troubled", "calm", events_per_s=500.0, driver=generous_connects()) as rig:
        calm = TradeJudge(rig, venue="calm")
        troubled = TradeJudge(rig, venue="troubled")
        rig.await_flow(calm.subscription, troubled.subscription)
        before = rig.restarts("calm")
        for actor in (*ACTORS, *ACTORS):
            rig.kill(actor)
            rig.await_healthy(actor)
        rig.sim.faults.cut()
        rig.sim.faults.rest_error(status=503)
        rig.await_flow(troubled.subscription)
        rig.await_flow(calm.subscription)
        assert rig.restarts("calm") == before
        assert len(rig.sims["calm"].ledger.connections()) == 1
        assert calm.gaps == [] and calm.faults() == []
        assert rig.connector.venue("calm").snapshot().counters.get("stream.connections_lost", 0) == 0
        assert troubled.faults() == []


def test_an_ask_that_races_with_the_end_of_its_actor_always_ends():
    """F70: an answer or an error within its time, from many threads, however often the actor dies."""
    with running(events_per_s=0, driver=generous_connects()) as rig:
        assert rig.venue.wait_ready(10.0)
        outcomes, unanswered = [], []
        over = threading.Event()

        def ask_on() -> None:
            while not over.is_set():
                try:
                    outcomes.append(rig.venue.server_time_ns(timeout_s=5.0) > 0)
                except TimeoutError as late:  # pykka.Timeout is one
                    unanswered.append(late)
                except Exception as error:
                    outcomes.append(error)

        threads = [threading.Thread(target=ask_on, name=f"asker-{number}") for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            rig.kill("rest")
            rig.await_healthy("rest")
        over.set()
        for thread in threads:
            thread.join(10.0)
        assert not any(thread.is_alive() for thread in threads)
        assert unanswered == []
        assert any(outcome is True for outcome in outcomes)
        unexpected = [
            o for o in outcomes if o is not True and not isinstance(o, (ConnectorError, pykka.ActorDeadError))
        ]
        assert unexpected == []
