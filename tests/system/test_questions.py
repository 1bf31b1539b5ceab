"""Questions: many at once, wrong ones, and answers that cannot be read. Each ends with the right answer or a clear error."""

from __future__ import annotations

import json
import random
import threading
from decimal import Decimal

import pykka
import pytest
from fault_harness import TradeJudge, eventually, running

from connector.errors import (
    ConnectorError,
    InvalidRequest,
    RetryLater,
    UnknownSymbol,
    VenueUnavailable,
    WireFormatError,
)
from connector.supervision.events import EventKind

THREADS, ASKS = 16, 500
ROOMY = {"request_weight_per_minute": 10_000_000, "raw_requests_per_5min": 10_000_000}


@pytest.fixture
def calm():
    """A client that only answers questions; its market stands still, so that answers can be compared with the truth."""
    with running(events_per_s=0, simulator=ROOMY) as rig:
        assert rig.venue.wait_ready(10.0)
        rig.sim.step(500)
        yield rig


def asker(rig, number: int, asks: int, wrong: list[str], answered: list[int]) -> None:
    """Mixed questions, each judged by the ledger at once."""
    chance = random.Random(number)
    state, venue, done = rig.ref("state"), rig.venue, 0
    books = {name: rig.sim.ledger.book(name) for name in ("BTCUSDT", "ETHUSDT")}
    trades = {name: rig.sim.ledger.trades(name) for name in ("BTCUSDT", "ETHUSDT")}
    assert state.is_alive()
    for _ in range(asks):
        base = chance.choice(("BTC", "ETH"))
        symbol, name = f"{base}/USDT", f"{base}USDT"
        kind = chance.choices(("instrument", "time", "depth", "trades", "order"), (70, 8, 8, 6, 8))[0]
        try:
            if kind == "instrument":
                right = venue.instrument(symbol).symbol == symbol or str(venue.instrument(symbol).symbol) == symbol
            elif kind == "time":
                right = venue.server_time_ns(30.0) > 0
            elif kind == "depth":
                book = venue.depth(symbol, 5, timeout_s=30.0)
                right = list(book.bids) == books[name][0][:5] and list(book.asks) == books[name][1][:5]
            elif kind == "trades":
                got = venue.recent_trades(symbol, 10, timeout_s=30.0)
                right = all(t.price == trades[name][t.trade_id].price for t in got if t.trade_id in trades[name])
            else:
                try:
                    rig.ref("orders").ask("buy", timeout=30.0)
                    right = False
                except ConnectorError as refused:
                    right = "nothing was sent" in str(refused)
        except Exception as error:
            wrong.append(f"{kind} {symbol}: {error!r}")
            continue
        if not right:
            wrong.append(f"{kind} {symbol} was answered wrongly")
        done += 1
    answered.append(done)


def test_sixteen_threads_of_mixed_questions_get_every_answer_and_the_right_one(calm):
    wrong, answered = [], []
    threads = [
        threading.Thread(target=asker, args=(calm, number, ASKS, wrong, answered), name=f"asker-{number}")
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90.0)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert sum(answered) == THREADS * ASKS


# ---------------------------------------------------------------- wrong questions


WRONG = [
    (lambda v: v.depth("BTC/USDX"), UnknownSymbol, "BTC/USDX"),
    (lambda v: v.candles("BTC/USDX", "1m"), UnknownSymbol, "BTC/USDX"),
    (lambda v: v.candles("BTC/USDT", "7m"), InvalidRequest, "7m"),
    (lambda v: v.candles("BTC/USDT", "1m", limit=0), InvalidRequest, "limit"),
    (lambda v: v.depth("BTC/USDT", 0), InvalidRequest, "0"),
    (lambda v: v.depth("BTC/USDT", 10**9), InvalidRequest, "5000|5,000"),
    (lambda v: v.instrument("NOT/THERE"), UnknownSymbol, "NOT/THERE"),
    (lambda v: v.subscribe("trades", "BTC/USDX"), UnknownSymbol, "BTC/USDX"),
    (lambda v: v.subscribe("candles", "BTC/USDT", interval="7m"), InvalidRequest, "7m"),
    (lambda v: v.subscribe("candles", "BTC/USDT"), InvalidRequest, "interval"),
    (lambda v: v.subscribe("partial_book", "BTC/USDT", depth=7), InvalidRequest, "7"),
    (lambda v: v.subscribe("book", "BTC/USDT", speed_ms=3), InvalidRequest, "3"),
    (lambda v: v.subscribe("gossip", "BTC/USDT"), InvalidRequest, "gossip"),
    (lambda v: v.subscribe("trades", "BTC/USDT", capacity=0), InvalidRequest, "capacity"),
    (lambda v: v.subscribe("trades", "BTC/USDT", overflow="perhaps"), InvalidRequest, "perhaps"),
    (lambda v: v.subscribe("trades", "nonsense"), (ConnectorError, ValueError), "nonsense"),
    (lambda v: v.subscribe("trades", ""), (ConnectorError, ValueError), "BTC/USDT"),
]


def test_a_wrong_question_is_a_clear_error_and_ends_nothing(calm):
    epochs = calm.restarts()
    for ask, error, says in WRONG:
        with pytest.raises(error, match=says):
            ask(calm.venue)
    assert calm.restarts() == epochs


# ---------------------------------------------------------------- answers that cannot be read

BODIES = {
    "cut": '{"serverTime":17',
    "empty": "",
    "not json": "<html><body>upstream</body></html>",
    "nan": '{"serverTime":NaN}',
    "nan text": '{"serverTime":"NaN"}',
    "huge exponent": '{"serverTime":1e999999999}',
    "huge integer": '{"serverTime":' + "9" * 400 + "}",
    "wrong shape": '{"serverTime":{"now":[1]}}',
    "null": "null",
    "nesting": "[" * 10_000 + "]" * 10_000,
}


def test_an_answer_that_cannot_be_read_is_an_error_of_that_question_alone(calm):
    """F18 x REST."""
    epochs = calm.restarts()
    for body in BODIES.values():
        calm.sim.faults.rest_error(status=200, count=1, path="time", body=body)
        with pytest.raises((WireFormatError, VenueUnavailable)):
            calm.venue.server_time_ns(10.0)
        assert calm.venue.server_time_ns(10.0) > 0
    assert calm.restarts() == epochs


def test_values_no_market_has_are_refused_in_a_book_by_rest(calm):
    """F18 x REST: NaN, infinities and absurd exponents in prices never become a Decimal of a book."""
    for price in ("NaN", "Infinity", "-1", "1e999999999", "1e-999999999"):
        body = json.dumps({"lastUpdateId": 5, "bids": [[price, "1.0"]], "asks": [["2.0", "1.0"]]})
        calm.sim.faults.rest_error(status=200, count=1, path="depth", body=body)
        with pytest.raises(WireFormatError):
            calm.venue.depth("BTC/USDT", 5)
    assert calm.venue.depth("BTC/USDT", 5).bids[0][0] > Decimal(0)


def test_a_fifty_megabyte_answer_is_refused_within_bounded_memory(calm):
    """F18 x REST: the size limit ends that answer, not the actor."""
    epochs = calm.restarts()
    calm.sim.faults.rest_error(status=200, count=1, path="time", body='{"pad":"' + "x" * 50_000_000 + '"}')
    with pytest.raises((WireFormatError, RetryLater)):
        calm.venue.server_time_ns(20.0)
    assert calm.venue.server_time_ns(10.0) > 0
    assert calm.restarts() == epochs


def test_errors_of_the_venue_are_classed_and_the_streams_go_on():
    """F38 for reads, F53: a 5xx page, a refusal by limit, and a torn answer."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        for fault in (
            lambda: rig.sim.faults.rest_error(status=502, path="depth", body="<html>bad gateway</html>"),
            lambda: rig.sim.faults.rest_cut(at_byte=100, count=None),
        ):
            fault()
            with pytest.raises(RetryLater):
                rig.venue.depth("BTC/USDT", 5, timeout_s=15.0)
            rig.sim.faults.clear()
        assert rig.venue.depth("BTC/USDT", 5, timeout_s=15.0).bids
        rig.await_flow(trades.subscription)
        assert trades.gaps == [] and trades.faults() == []
        assert not [event for event in list(rig.events) if event.kind is EventKind.ENDED]


def test_a_ban_is_kept_to_and_the_streams_go_on():
    """F54: nothing is sent until the named time has passed; the state is told."""
    with running(events_per_s=300.0) as rig:
        trades = TradeJudge(rig)
        rig.await_flow(trades.subscription)
        rig.sim.faults.ban(for_s=1.5)
        with pytest.raises(RetryLater):
            rig.venue.server_time_ns(10.0)
        requests = len(rig.sim.ledger.requests())
        with pytest.raises((RetryLater, pykka.Timeout)):
            rig.venue.server_time_ns(0.5)
        assert len(rig.sim.ledger.requests()) == requests
        eventually(lambda: answers(rig), 15.0)
        assert rig.counter("rest.refused_by_limit") >= 1
        assert trades.gaps == [] and trades.faults() == []


def answers(rig) -> bool:
    try:
        return rig.venue.server_time_ns(2.0) > 0
    except Exception:
        return False
