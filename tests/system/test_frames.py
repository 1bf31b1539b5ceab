"""Frames that are missing, broken, doubled or late, and answers that never come: counted and told, never passed on as right."""

from __future__ import annotations

import pytest
from fault_harness import TradeJudge, eventually, is_live, running, shaped_driver

from connector.simulator.faults import MALFORMED_KINDS
from connector.supervision.events import EventKind
from connector.venue import subscriptions
from connector.venue.delivery import TopicState
from connector.venue.liveness import LivenessPolicy
from connector.venue.stream import StreamStatus

SILENCE_NOTICED_S = 10.0
HURRIED = LivenessPolicy(earliest_s=0.4, latest_s=1.0, settle_s=0.3, repair_s=1.5, first_data_s=0.5)
"""The same judgement as in production, sooner."""
ENDS_ITS_CONNECTION = frozenset({"huge", "reserved_bits", "oversize_control"})
"""Kinds that break the WebSocket protocol, or its size limit, instead of a message."""
HARMLESS = frozenset({"fragmented", "unknown_field"})
"""Kinds that are unusual and right."""
TOPICS = (("agg_trades", {}), ("book_ticker", {}), ("candles", {"interval": "1m"}), ("ticker", {}))


# ---------------------------------------------------------------- broken frames


@pytest.mark.parametrize("transport", ["picows", "websocket-client"])
def test_no_broken_frame_ends_a_stream(transport):
    """F17, F18, F19: counted, told once per kind, and the stream goes on, on a new connection where the protocol was broken.

    One client meets all kinds, so that each also meets what the kinds before it left behind.
    """
    driver = shaped_driver(limits={"connects": 100_000})
    with running(events_per_s=300.0, driver=driver, transport=transport) as rig:
        trades = TradeJudge(rig)
        others = [rig.subscribe(kind, capacity=10**6, **options) for kind, options in TOPICS]
        rig.await_flow(trades.subscription, *others[:2])
        for kind in sorted(MALFORMED_KINDS):
            rig.await_confirmed()
            alarms, lost = seen(rig), rig.counter("stream.connections_lost")
            count = 1 if kind == "huge" else 3
            assert rig.sim.faults.malformed(kind, count=count, stream="btcusdt@trade") == count, kind
            if kind in ENDS_ITS_CONNECTION:
                eventually(lambda lost=lost: rig.counter("stream.connections_lost") > lost, 15.0, kind)
            elif kind not in HARMLESS:
                eventually(
                    lambda a=alarms, n=count, lost=lost: (
                        seen(rig) >= a + n or rig.counter("stream.connections_lost") > lost
                    ),
                    10.0,
                    f"{kind} was neither counted nor answered",
                )
            rig.await_flow(trades.subscription, *others[:2], within_s=20.0)
        assert trades.faults() == [] and trades.lost == 0
        assert all(trade.price > 0 and trade.price.is_finite() for trade in trades.seen)
        assert not [event for event in list(rig.events) if event.kind is EventKind.ENDED]


def seen(rig) -> int:
    """Surprises so far, of every kind."""
    return sum(rig.memory.alarms.counts().values())


def test_a_flood_of_one_kind_of_broken_frame_raises_one_alarm(simulated_alarms):
    """F18, I13: every cause has one alarm, however often it happens."""
    told = simulated_alarms
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.malformed("nan_text", count=200, stream="btcusdt@trade")
        eventually(lambda: sum(rig.memory.alarms.counts().values()) >= 200, 10.0)
        topic = next(each for each in rig.venue.snapshot().topics if each.topic.kind.value == "trades")
        assert topic.unreadable == 200
        assert len(rig.memory.alarms.counts()) == 1
        assert len([line for line in told if "trades" in line]) == 1
        rig.await_flow(trades.subscription)


@pytest.fixture
def simulated_alarms():
    """Every line the library logs while the test runs."""
    from connector.telemetry.logging import logger

    lines = []
    number = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    logger.enable("connector")
    yield lines
    logger.disable("connector")
    logger.remove(number)


def test_doubled_and_reordered_messages_are_told_apart_from_new_ones():
    """F20: nothing twice; what came in the wrong order is fetched or told, never passed on backwards."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.frames("btcusdt@trade", doubled=5)
        eventually(lambda: rig.venue.snapshot().topics[0].duplicates >= 5)
        gaps = rig.counter("feed.gaps")
        rig.sim.faults.frames("btcusdt@trade", reordered=3)
        eventually(lambda: rig.counter("feed.gaps") >= gaps + 1, 15.0)
        rig.await_flow(trades.subscription)
        eventually(lambda: trades.faults() == [], 5.0, lambda: str(trades.faults()))
        assert trades.lost <= 2, "a second swap while the first is being fetched is told, not chased"


def test_a_lost_message_is_fetched_and_put_in_its_place():
    """F20, I5: delivered plus reported missing is what the venue sent, order kept."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.frames("btcusdt@trade", lost=7)
        eventually(lambda: trades.gaps, 15.0)
        rig.await_flow(trades.subscription)
        assert trades.faults() == []
        assert sum(gap.missing for gap in trades.gaps) == 7 and trades.lost == 0
        assert sum(trade.recovered for trade in trades.seen) == 7


# ---------------------------------------------------------------- silence


def test_silence_of_one_topic_and_of_all_is_noticed_in_time():
    """F21, F22: with the settings users get. One topic is subscribed again alone, while the others lose nothing; all silent
    with pings answered is seen as well."""
    with running("one", "all", events_per_s=400.0) as rig:
        trades, other = TradeJudge(rig), TradeJudge(rig, "ETH/USDT")
        muted = [TradeJudge(rig, symbol, venue="all") for symbol in ("BTC/USDT", "ETH/USDT")]
        rig.await_flow(*(judge.subscription for judge in (trades, other, *muted)))
        silent = [judge.subscription for judge in (trades, *muted)]
        rig.sim.faults.silence("btcusdt@trade")
        rig.sims["all"].faults.silence()
        noticed_s = eventually(lambda: not any(map(is_live, silent)), SILENCE_NOTICED_S)
        assert noticed_s <= SILENCE_NOTICED_S
        assert "silent" in trades.subscription.freshness().reason
        assert is_live(other.subscription)
        for sim in rig.sims.values():
            sim.faults.unsilence()
        rig.await_flow(*silent, within_s=20.0)
        rig.await_confirmed()
        assert len(rig.sim.ledger.connections()) == 1, "a renewal of the topic was enough"
        assert other.gaps == []
        for judge in (trades, other, *muted):
            assert judge.faults() == [] and judge.lost == 0


def test_a_topic_that_stays_silent_costs_its_connection_in_the_end():
    """F21: subscribe again first, then replace the connection."""
    with running(events_per_s=500.0, liveness=HURRIED) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.silence("btcusdt@trade")
        eventually(lambda: rig.counter("stream.silent_topics") >= 1, 10.0)
        eventually(lambda: rig.counter("stream.connections_replaced") >= 1, 15.0)
        rig.sim.faults.unsilence()
        rig.await_flow(trades.subscription, within_s=20.0)
        assert trades.faults() == []


def test_values_that_no_longer_change_are_seen_through():
    """F23: the venue repeats its last message on every kind of topic; new bytes are not new values."""
    kinds = (*TOPICS, ("trades", {}), ("partial_book", {"depth": 5}))
    with running(events_per_s=500.0, liveness=HURRIED) as rig:
        topics = {kind: rig.subscribe(kind, capacity=10**6, **options) for kind, options in kinds}
        rig.await_flow(*topics.values())
        table = rig.memory.feed_table()
        eventually(lambda: all(feed.rate.mean_interval_s is not None for feed in table.values()))
        stale: set[str] = set()
        for name in table:
            rig.sim.faults.frozen(name)

        def seen_through() -> bool:
            stale.update(kind for kind, topic in topics.items() if "silent: " in topic.freshness().reason)
            return len(stale) == len(topics)

        eventually(seen_through, SILENCE_NOTICED_S, lambda: f"only {stale}; {rig.venue.snapshot().topics}")
        rig.sim.faults.clear()
        rig.await_flow(*topics.values(), within_s=20.0)


def test_a_quiet_market_raises_no_alarm_and_costs_no_connection():
    """F24: nothing happens for dozens of suspicion times; probes show that silence is the truth."""
    with running(events_per_s=500.0, liveness=HURRIED) as rig:
        topics = [rig.subscribe(kind, capacity=10**6) for kind in ("trades", "agg_trades", "book_ticker")]
        rig.await_flow(*topics)
        rig.sim.pause()
        asked = rig.counter("stream.probes")
        eventually(lambda: rig.counter("stream.probes") >= asked + 6, 30.0)
        assert all(is_live(topic) for topic in topics)
        assert rig.counter("stream.silent_topics") == rig.counter("stream.unproven_silence") == 0
        assert rig.counter("stream.connects") == 1 and rig.counter("stream.connections_replaced") == 0
        assert rig.memory.alarms.counts() == {}
        rig.sim.resume()
        rig.await_flow(*topics)


def test_a_topic_whose_silence_cannot_be_checked_is_marked_and_keeps_its_connection():
    """F22 with REST down: unknown is said to be unknown; nothing is torn down on suspicion alone."""
    with running(events_per_s=500.0, liveness=HURRIED, request_timeout_s=1.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.rest_error(status=503)
        rig.sim.pause()
        eventually(lambda: rig.counter("stream.unproven_silence") >= 1, 15.0)
        assert trades.subscription.freshness().stale
        rig.sim.faults.clear()
        rig.sim.resume()
        rig.await_flow(trades.subscription, within_s=15.0)
        assert rig.counter("stream.connects") == 1
        assert trades.faults() == []


def test_a_burst_is_carried_without_loss():
    """F25: a hundred times the usual rate; trades keep their order and none is missing."""
    with running(events_per_s=20.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        for _ in range(10):
            rig.sim.step(2_000)
        newest = max(rig.sim.ledger.trades("BTCUSDT"))
        eventually(lambda: trades.seen[-1].trade_id >= newest, 20.0)
        assert trades.faults() == [] and trades.gaps == []


def test_a_consumer_that_falls_behind_is_told_what_it_missed():
    """F25: the bounded queue drops by its rule, and the gap says how many."""
    with running(events_per_s=20.0) as rig:
        slow = rig.subscribe("trades", capacity=100)
        swift = TradeJudge(rig)
        rig.await_flow(slow, swift.subscription)
        rig.sim.step(3_000)
        eventually(lambda: slow.dropped > 0, 10.0)
        newest = max(rig.sim.ledger.trades("BTCUSDT"))
        eventually(lambda: swift.seen[-1].trade_id >= newest, 10.0)
        rig.sim.pause()
        taken = []
        while slow.waiting:
            taken.append(slow.get(1.0))
        rig.sim.resume()
        eventually(lambda: slow.gaps or slow.waiting, 10.0)
        while not slow.gaps:
            slow.get(1.0)
        assert sum(gap.missing for gap in slow.gaps) >= slow.dropped > 0
        assert swift.gaps == [] and swift.faults() == []


# ---------------------------------------------------------------- subscribing


@pytest.mark.parametrize("fault", ["lost", "late", "negative"])
def test_wanted_and_confirmed_become_equal_whatever_the_answers(fault, monkeypatch):
    """F26, I8: lost and late answers, and a refusal of several names at once that proves nothing about any of them."""
    monkeypatch.setattr(subscriptions, "ACK_WITHIN_S", 0.5)
    with running(events_per_s=300.0) as rig:
        assert rig.venue.wait_ready(10.0)
        if fault == "lost":
            rig.sim.faults.drop_ack(count=2)
        elif fault == "late":
            rig.sim.faults.delay_ack(1.2)
        else:
            rig.sim.faults.reject_subscribe(count=1)
        topics = [
            rig.subscribe(kind, symbol) for kind in ("trades", "agg_trades") for symbol in ("BTC/USDT", "ETH/USDT")
        ]
        rig.await_flow(*topics, within_s=20.0)
        rig.await_confirmed()
        status = eventually_settled(rig)
        assert status.wanted == status.confirmed == 4 and status.refused == 0


def eventually_settled(rig):
    found = []

    def settled() -> bool:
        found[:] = [rig.venue.stream.ask(StreamStatus, timeout=5.0)]
        return found[0].wanted == found[0].confirmed

    eventually(settled, 10.0, lambda: str(found))
    return found[0]


def test_a_topic_the_venue_refuses_for_good_says_so_and_hurts_no_other():
    """F26: the refusal reaches the subscriber; the rest of the connection is untouched."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.reject_subscribe(count=5)
        refused = rig.subscribe("trades", "ETH/USDT")
        eventually(lambda: refused.state is TopicState.REFUSED)
        assert "invalid" in refused.freshness().reason.casefold()
        rig.await_flow(trades.subscription)
        assert trades.gaps == [] and rig.counter("stream.connects") == 1


def test_more_topics_than_a_connection_may_carry_open_another():
    """F27."""
    driver = shaped_driver(limits={"topics_per_connection": 3})
    symbols = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
    with running(symbols=symbols, events_per_s=400.0, driver=driver, simulator={"max_streams": 3}) as rig:
        topics = [
            rig.subscribe(kind, f"{symbol[:3]}/USDT", capacity=10**6)
            for symbol in symbols
            for kind in ("trades", "book_ticker")
        ]
        rig.await_flow(*topics, within_s=20.0)
        rig.await_confirmed()
        carried = rig.sim.ledger.subscriptions()
        assert sorted(map(len, carried.values())) == [2, 3, 3]
        assert rig.sim.ledger.violations() == []


def test_a_halted_or_delisted_symbol_concerns_that_symbol_only():
    """F28: others lose nothing; a name that is not listed is refused with its nearest neighbours."""
    with running(events_per_s=500.0, instruments_every_s=0.3) as rig:
        trades, book = TradeJudge(rig, "ETH/USDT"), rig.subscribe("book", "BTC/USDT")
        rig.await_flow(trades.subscription, book)
        rig.sim.faults.symbol_status("BTCUSDT", "HALT")
        live = rig.venue.live_book("BTC/USDT")
        eventually(lambda: live.state.value != "valid", 10.0, lambda: repr(live))
        rig.await_flow(trades.subscription)
        rig.sim.faults.symbol_status("BTCUSDT", "TRADING")
        eventually(lambda: live.state.value == "valid", 15.0, lambda: repr(live))
        assert trades.gaps == [] and trades.faults() == []


def test_a_symbol_that_is_not_listed_when_the_list_arrives_is_refused_then():
    """F28: subscribed before the list was there."""
    with running(events_per_s=100.0, prepare=lambda sim: sim.faults.rest_error(status=503)) as rig:
        early = rig.subscribe("trades", "BTC/USDX")
        fine = rig.subscribe("trades", "BTC/USDT")
        eventually(lambda: "instrument list" in early.freshness().reason)
        rig.sim.faults.clear()
        eventually(lambda: early.state is TopicState.REFUSED, 10.0)
        assert "BTC/USDX" in early.freshness().reason
        rig.await_flow(fine)
