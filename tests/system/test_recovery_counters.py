"""Every way back has a counter, and a client that met every fault has none at zero."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from pathlib import Path

from fault_harness import BookJudge, TradeJudge, eventually, is_live, running, shaped_driver
from msgspec.structs import replace

import connector.venue
from connector.clock import SystemClock
from connector.domain import BookState
from connector.errors import RetryLater
from connector.venue import feed, subscriptions
from connector.venue.delivery import TopicState
from connector.venue.liveness import LivenessPolicy

HURRIED = LivenessPolicy(earliest_s=0.4, latest_s=1.0, settle_s=0.3, repair_s=1.0, first_data_s=0.5)


PRIVATE = ("session.", "trading.", "orders.", "account.")
"""Ways back of signed-in sessions and orders; no public fault leads there."""


OTHER_MANNERS = {"book.renewals", "book.stream_snapshots", "rest.pages", "stream.attempts_woken", "stream.heartbeats"}
"""Ways of venues that want heartbeats, several connections, answer in pages, or send snapshots by themselves;
tests/venue/test_stream_manners.py reaches them."""


def counters_in_code() -> set[str]:
    """Every counter the public side of a venue like this one can raise."""
    folder = Path(connector.venue.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return {
        name for name in re.findall(r'counters\.add\(\s*"([a-z_.]+)"', text) if not name.startswith(PRIVATE)
    } - OTHER_MANNERS


def answers(venue) -> bool:
    with suppress(RetryLater):
        return venue.server_time_ns(2.0) > 0
    return False


def test_no_recovery_counter_stays_at_zero_after_every_fault(monkeypatch):
    """A way back that no fault leads to is dead code, or a fault that nobody tests."""
    monkeypatch.setattr(subscriptions, "ACK_WITHIN_S", 0.4)
    monkeypatch.setattr(feed, "COUNT_RESTART_S", 0.3)
    monkeypatch.setattr(feed, "CALLBACK_WITHIN_S", 0.3)
    driver = shaped_driver(limits={"connects": 100_000})
    roomy = {"request_weight_per_minute": 1_000_000}
    release, stepped_ns = threading.Event(), [0]
    with running(
        clock=SystemClock(wall_ns=lambda: time.time_ns() + stepped_ns[0]),
        events_per_s=400.0,
        driver=driver,
        liveness=HURRIED,
        simulator=roomy,
        request_timeout_s=2.0,
        prepare=lambda sim: sim.faults.rest_error(status=503),
    ) as rig:
        count, faults = rig.counter, rig.sim.faults

        eventually(lambda: count("state.refresh_failed") >= 1)
        faults.clear()
        trades, book = TradeJudge(rig), BookJudge(rig)
        all_right = (trades.subscription, book.subscription)
        rig.await_flow(*all_right)

        faults.frames("btcusdt@trade", lost=3)
        eventually(lambda: count("feed.recovered") >= 1)
        faults.cut()
        eventually(lambda: count("stream.connections_lost") >= 1)
        rig.await_flow(*all_right)

        book.await_joined()
        faults.rest_error(status=503, path="depth")
        faults.deltas("BTCUSDT", lost=1)
        eventually(lambda: count("book.snapshots_failed") >= 1)
        faults.clear()
        book.await_valid(15.0)

        faults.rest_error(status=429, count=1, path="time", retry_after_s=1)
        with suppress(RetryLater):
            rig.venue.server_time_ns(2.0)
        eventually(lambda: count("rest.refused_by_limit") >= 1)

        faults.reject_subscribe(count=4)
        refused = rig.subscribe("trades", "ETH/USDT")
        eventually(lambda: refused.state is TopicState.REFUSED)
        faults.clear()
        refused.close()

        faults.drop_ack(count=None)
        monthly = rig.subscribe("candles", "ETH/USDT", interval="1M")
        rig.sim.faults.silence("ethusdt@kline_1M")
        eventually(lambda: count("stream.answers_missing") >= 1, 15.0)
        faults.clear()
        rig.await_flow(*all_right)
        monthly.close()

        faults.silence()
        eventually(lambda: count("stream.silent_topics") >= 1 and count("stream.connections_replaced") >= 1, 20.0)
        faults.clear()
        rig.await_flow(*all_right, within_s=20.0)

        faults.refuse_upgrade(502, count=1)
        faults.server_shutdown()
        eventually(lambda: count("stream.successors_lost") >= 1, 10.0)
        rolled = rig.sim.ledger.connections()[-1].number
        eventually(lambda: rig.sim.ledger.connections(open_only=True)[-1].number > rolled, 10.0)
        rig.await_flow(*all_right)

        while count("stream.connects_delayed") < 1:
            lost = count("stream.connections_lost")
            faults.cut()
            eventually(lambda lost=lost: count("stream.connections_lost") > lost)
            rig.await_flow(trades.subscription)

        entered = rig.memory.find_feed(trades.subscription.topic)
        read = entered._read
        entered.bind(
            lambda: lambda frame, at_ns: replace(read(frame, at_ns), trade_id=read(frame, at_ns).trade_id - 10**6)
        )
        eventually(lambda: count("feed.count_restarted") >= 1, 10.0)
        entered.bind(lambda: read)

        faults.rest_error(status=503)
        eventually(lambda: not answers(rig.venue) and count("health.opened") >= 1)
        rig.sim.pause()
        eventually(lambda: count("stream.unproven_silence") >= 1, 20.0)
        faults.clear()
        rig.sim.resume()
        eventually(lambda: answers(rig.venue) and count("health.closed") >= 1)
        eventually(lambda: is_live(trades.subscription), 20.0)

        stepped_ns[0] = 3_600 * 10**9
        eventually(lambda: count("clock.wall_steps") >= 1, 10.0)

        hung = rig.subscribe("agg_trades", callback=lambda value: release.wait(60.0))
        eventually(lambda: hung.state is TopicState.CLOSED, 20.0)
        release.set()
        rig.await_flow(trades.subscription, within_s=20.0)
        book.await_valid(15.0)
        assert book.live.state is BookState.VALID and book.compare() == []

        silent = sorted(name for name in counters_in_code() if count(name) == 0)
        assert silent == [], f"never raised: {silent}"
        assert len(counters_in_code()) > 20
