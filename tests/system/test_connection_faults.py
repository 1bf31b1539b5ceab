"""Connections that break in every way the network and the venue know: data comes back in time, nothing is lost without a word."""

from __future__ import annotations

import time

import pytest
from fault_harness import BookJudge, TradeJudge, eventually, is_live, percentile, running, shaped_driver

from connector.supervision.events import EventKind
from connector.throttle import BackoffPolicy
from connector.venue import subscriptions
from connector.venue.delivery import TopicState
from connector.venue.settings import VenueSettings

DATA_BACK_S, HALF_OPEN_BACK_S, SILENCE_NOTICED_S = 1.0, 15.0, 10.0
TRANSPORTS = ("picows", "websocket-client")


def untouched(rig) -> bool:
    """Whether no actor was restarted: connections are the stream actor's daily work, not its failure."""
    return not [event for event in list(rig.events) if event.kind is EventKind.ENDED]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_data_is_back_within_a_second_of_a_reset_at_any_byte(transport):
    """F01: reset between frames and inside one; the trades missed are fetched, or told."""
    driver = shaped_driver(limits={"connects": 100_000})
    with running(events_per_s=1000.0, driver=driver, transport=transport) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        took_s = []
        for at_byte in (None, 1, 37, 200):
            lost = rig.counter("stream.connections_lost")
            began_s = time.monotonic()
            assert rig.sim.faults.cut(at_byte=at_byte) == 1
            eventually(lambda lost=lost: rig.counter("stream.connections_lost") > lost)
            rig.await_flow(trades.subscription)
            took_s.append(time.monotonic() - began_s)
        book.await_valid(15.0)
        rig.await_flow(book.subscription)
        assert trades.faults() == [] and trades.lost == 0
        marked = [state.state for state in trades.states].count(TopicState.STALE)
        assert marked == 4, f"each outage is told while it lasts, not {marked} of 4"
        assert trades.gaps, "an outage leaves a gap report even when every trade was fetched"
        assert book.compare() == [] and book.compared
        assert percentile(took_s, 0.99) <= DATA_BACK_S, took_s
        assert untouched(rig)


CLOSE_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)


def test_every_close_code_means_the_same_here_connect_again():
    """F02: public streams have no login, so no code is a reason to stay away."""
    with running(events_per_s=500.0, driver=shaped_driver(limits={"connects": 100_000})) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        for code in CLOSE_CODES:
            lost, began_s = rig.counter("stream.connections_lost"), time.monotonic()
            assert rig.sim.faults.close(code, "because") == 1
            eventually(lambda lost=lost: rig.counter("stream.connections_lost") > lost)
            rig.await_flow(trades.subscription)
            assert time.monotonic() - began_s <= DATA_BACK_S, code
            assert f"code {code}" in " ".join(state.reason for state in trades.states)
        assert trades.faults() == [] and trades.lost == 0


def test_a_half_open_connection_is_noticed_and_replaced_within_fifteen_seconds():
    """F03, F04: silence both ways, with the settings users get."""
    with running(events_per_s=500.0, reconnect=BackoffPolicy()) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        began_s = time.monotonic()
        assert rig.sim.faults.half_open() == 1
        eventually(lambda: not is_live(trades.subscription), HALF_OPEN_BACK_S)
        assert trades.subscription.freshness().stale
        rig.await_flow(trades.subscription, within_s=HALF_OPEN_BACK_S)
        assert time.monotonic() - began_s <= HALF_OPEN_BACK_S
        book.await_valid()
        rig.await_flow(book.subscription)
        assert trades.faults() == [] and trades.lost == 0
        assert book.compare() == []
        assert untouched(rig)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_silence_one_way_is_noticed_as_well(direction, monkeypatch):
    """F04: the venue hears us and we hear nothing, or the other way round; deadlines shortened."""
    monkeypatch.setattr(subscriptions, "ACK_WITHIN_S", 0.5)
    with running(events_per_s=500.0, idle_timeout_s=1.0, ping_every_s=0.3) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        assert rig.sim.faults.half_open(direction=direction) == 1
        if direction == "out":
            eventually(lambda: not is_live(trades.subscription), 5.0)
        else:  # data still comes, so only what we say is lost: a new topic is never answered
            quiet = rig.subscribe("candles", "ETH/USDT", interval="1M")
            eventually(lambda: not is_live(trades.subscription), 5.0)
            assert not is_live(quiet)
        rig.sim.faults.half_open(False)
        rig.await_flow(trades.subscription)
        rig.await_confirmed()
        assert trades.faults() == [] and trades.lost == 0


def test_refused_connections_are_tried_again_within_the_venues_allowance():
    """F05: nobody listens for a while; attempts stay under a fifth of what the venue allows, and data comes back."""
    with running(events_per_s=500.0, reconnect=BackoffPolicy()) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        refused_s = 2.0
        connects = rig.counter("stream.connects")
        rig.sim.faults.refuse_connect(for_s=refused_s)
        rig.sim.faults.cut()
        eventually(lambda: not is_live(trades.subscription))
        back_s = rig.await_flow(trades.subscription, within_s=30.0 + refused_s)
        assert back_s <= 30.0 + refused_s
        assert rig.counter("stream.connects") - connects <= 60
        assert rig.memory.connects.allowed <= 300 / 5
        assert trades.faults() == []
        assert untouched(rig)


def test_a_burst_of_losses_never_spends_more_than_a_fifth_of_the_connection_allowance():
    """F05, F13: accepted and closed at once, over and over; merely connecting does not count as health."""
    driver = shaped_driver(limits={"connects": 50, "connects_window_s": 300.0})
    with running(events_per_s=500.0, driver=driver) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.close_on_open(count=6)
        rig.sim.faults.close()
        eventually(lambda: rig.counter("stream.connects") >= 7, 15.0)
        rig.await_flow(trades.subscription, within_s=30.0)
        assert rig.memory.connects.attempts <= rig.memory.connects.allowed == 10
        assert len(rig.sim.ledger.connections()) <= 10
        assert trades.faults() == []


def test_an_upgrade_that_is_never_answered_blocks_nobody():
    """F07: given up at the deadline, the thread is gone, the next attempt succeeds."""
    with running(events_per_s=500.0, upgrade_timeout_s=1.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.hang_upgrade(count=1)
        rig.sim.faults.cut()
        eventually(lambda: "while upgrading" in trades.subscription.freshness().reason, 3.0)
        rig.await_flow(trades.subscription, within_s=6.0)
        assert trades.faults() == [] and trades.lost == 0


def test_every_refusal_of_an_upgrade_is_tried_again_and_retry_after_is_obeyed():
    """F08."""
    with running(events_per_s=500.0, driver=shaped_driver(limits={"connects": 100_000})) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        for status in (301, 400, 403, 404, 418, 429, 451, 500, 502, 503, 504):
            wait_s = 1 if status in (418, 429) else None  # without it these two stop attempts for a whole window
            lost = rig.counter("stream.connections_lost")
            rig.sim.faults.refuse_upgrade(status, count=1, retry_after_s=wait_s)
            rig.sim.faults.cut()
            eventually(lambda lost=lost: rig.counter("stream.connections_lost") >= lost + 2, 5.0, str(status))
            refused_s = time.monotonic()
            rig.await_flow(trades.subscription, within_s=30.0)
            if wait_s is not None:
                assert time.monotonic() - refused_s >= wait_s - 0.2, status
        assert trades.faults() == [] and trades.lost == 0


def test_bytes_that_come_one_by_one_and_late_are_read_right():
    """F11: sliced to single bytes, delayed; no wrong value, nothing doubled."""
    with running(events_per_s=50.0) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        rig.sim.faults.slice(1)
        rig.sim.faults.delay(0.2, jitter_s=0.1)
        seen = len(trades.seen)
        eventually(lambda: len(trades.seen) >= seen + 10, 20.0)
        rig.sim.faults.clear()
        rig.await_flow(trades.subscription, book.subscription)
        assert trades.faults() == [] and trades.gaps == []
        assert book.compare() == [] and book.compared
        assert untouched(rig)


def test_a_close_that_is_never_answered_is_cut_after_a_second():
    """F12: our own close meets a peer that says nothing more; the socket and its thread are gone all the same."""
    with running(events_per_s=500.0) as rig:
        subscription = rig.subscribe("trades")
        rig.await_flow(subscription)
        link = next(iter(rig.memory._links))
        rig.sim.faults.half_open()
        subscription.close()  # the last topic: the connection is closed with a handshake
        assert link.join(4.0), f"{link!r} is still there"


@pytest.mark.parametrize("planned_by", ["the venue's notice", "age"])
def test_a_planned_change_of_connection_loses_and_doubles_nothing(planned_by):
    """F15: the successor is opened first; what both carry is delivered once."""
    aged = shaped_driver(limits={"max_age_s": 4.0, "rollover_before_s": 3.0})
    driver = aged if planned_by == "age" else None
    with running(events_per_s=1500.0, driver=driver) as rig:
        trades, book = TradeJudge(rig), BookJudge(rig)
        rig.await_flow(trades.subscription, book.subscription)
        if planned_by != "age":
            assert rig.sim.faults.server_shutdown() == 1
        first = rig.sim.ledger.connections()[0]
        eventually(lambda: rig.sim.ledger.connections()[0].closed_ns > 0, 10.0)
        rig.await_flow(trades.subscription, book.subscription)
        assert first.number not in rig.sim.ledger.subscriptions()
        assert rig.counter("stream.rollovers") >= 1
        assert rig.counter("stream.connections_lost") == 0
        assert trades.gaps == [] and trades.faults() == []
        assert [s.state for s in trades.states].count(TopicState.STALE) == 0
        assert book.compare() == []


def test_fifty_topics_lost_in_one_instant_come_back_within_the_allowance():
    """F14: several connections die together; attempts are spread and every topic is confirmed again."""
    driver = shaped_driver(limits={"topics_per_connection": 2})
    symbols = tuple(f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP"))
    with running(symbols=symbols, events_per_s=500.0, driver=driver) as rig:
        topics = [rig.subscribe(kind, f"{symbol[:3]}/USDT") for symbol in symbols for kind in ("trades", "book_ticker")]
        rig.await_confirmed(20.0)
        assert len(rig.sim.ledger.subscriptions()) == 5
        assert rig.sim.faults.cut() == 5
        eventually(lambda: any(not is_live(topic) for topic in topics))
        rig.await_confirmed(30.0)
        rig.await_flow(*topics, within_s=30.0)
        assert rig.sim.ledger.violations() == []


def test_defaults_hold_the_figures_that_these_tests_shorten():
    """F05, F07, F12: what is shortened above is bounded in the settings users get."""
    settings = VenueSettings("binance")
    assert settings.upgrade_timeout_s <= 5.0 and settings.connect_timeout_s <= 5.0
    assert settings.idle_timeout_s <= HALF_OPEN_BACK_S
    assert settings.reconnect.max_s <= 30.0
    assert subscriptions.ACK_WITHIN_S * subscriptions.ATTEMPTS_BEFORE_RENEWAL <= HALF_OPEN_BACK_S - 1.0
    assert settings.liveness.earliest_s < SILENCE_NOTICED_S
