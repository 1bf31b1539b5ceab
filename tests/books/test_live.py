"""One writer, many readers: nobody sees half a delta, or a book that is not VALID."""

from __future__ import annotations

import sys
import threading

import pytest

from connector.books import BookSync, LiveBook
from connector.domain import BookState
from connector.errors import BookNotValid
from connector.testing.clocks import FakeClock

DEADLINE_S = 20.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time_ns=20_000)


@pytest.fixture
def live(make, clock) -> LiveBook:
    live = LiveBook(BookSync("binance", make.symbol, make.rule()), clock.time_ns)
    live.on_connected()
    return live


@pytest.fixture
def valid(live, make) -> LiveBook:
    (fetch,) = live.on_delta(make.delta(10))
    live.on_snapshot(make.book(10), fetch.attempt)
    return live


def test_reader_is_refused_until_the_book_is_valid(live):
    assert live.state is BookState.SYNCING
    assert live.age_s is None
    for read in (live.best, live.snapshot, lambda: live.update_id, lambda: live.wait_valid(0.0)):
        with pytest.raises(BookNotValid, match="waiting for the first update"):
            read()
    assert repr(live) == "<Book BTC/USDT.binance SYNCING (waiting for the first update)>"


def test_valid_book_answers_with_immutable_values(valid, make, clock):
    best = valid.best()
    assert (best.bid, best.bid_quantity, best.ask, best.ask_quantity, best.update_id) == (100, 1, 101, 1, 10)
    before = valid.snapshot(1)
    valid.on_delta(make.delta(11, 11, {100: 9}))
    assert before.bids == make.levels({100: 1})
    assert valid.snapshot(1).bids == make.levels({100: 9})
    assert valid.update_id == 11
    clock.advance(0.08)
    assert valid.age_s == pytest.approx(0.08, abs=1e-4)
    assert repr(valid) == "<Book BTC/USDT.binance VALID seq=11 age=0.08s>"
    assert valid.reason == ""
    assert valid.counts["applied"] == 1


def test_one_sided_book_has_levels_but_no_best_price(valid, make):
    valid.on_delta(make.delta(11, 11, {}, {101: 0, 102: 0}))
    assert valid.snapshot().asks == ()
    with pytest.raises(BookNotValid, match="there are no asks"):
        valid.best()


@pytest.mark.parametrize(
    "step",
    [
        lambda live: live.on_disconnected(),
        lambda live: live.on_overflow(),
        lambda live: live.on_stale(),
        lambda live: live.on_status(False),
        lambda live: live.on_connected(),
    ],
)
def test_doubt_reaches_readers_at_once(valid, step):
    step(valid)
    with pytest.raises(BookNotValid):
        valid.best()
    assert valid.reason


def test_quiet_and_failed_snapshots_pass_through(live, make):
    (fetch,) = live.on_quiet()
    (again,) = live.on_snapshot_failed(fetch.attempt, 2.0)
    assert again.not_before_s == 2.0
    live.on_snapshot(make.book(5), again.attempt)
    live.wait_valid(0.0)


def wait_for_it(live: LiveBook) -> tuple[threading.Thread, list]:
    """A reader asleep in `wait_valid`; the list gets what it saw."""
    seen, asleep = [], threading.Event()
    wait_for = live._changed.wait_for

    def tell(predicate, timeout):  # under the lock: whoever takes it next finds the reader asleep
        asleep.set()
        return wait_for(predicate, timeout)

    live._changed.wait_for = tell

    def read() -> None:
        live.wait_valid(3 * DEADLINE_S)
        seen.append(live.snapshot(1).update_id)

    reader = threading.Thread(target=read)
    reader.start()
    assert asleep.wait(DEADLINE_S)
    return reader, seen


def test_waiting_reader_is_woken_by_the_snapshot(live, make):
    (fetch,) = live.on_delta(make.delta(10))
    reader, seen = wait_for_it(live)
    live.on_snapshot(make.book(10), fetch.attempt)
    reader.join(DEADLINE_S)
    assert not reader.is_alive() and seen == [10]


def test_waiting_reader_is_woken_by_the_delta_that_ends_the_nonsense(valid, make):
    valid.on_delta(make.delta(11, 11, {100: 0, 99: 0}, {101: 0, 102: 0}))
    reader, seen = wait_for_it(valid)
    valid.on_delta(make.delta(12, 12, {99: 1}))
    reader.join(DEADLINE_S)
    assert not reader.is_alive() and seen == [12]


def test_no_reader_ever_sees_half_a_delta(valid, make):
    """Every delta gives all levels the same new size, so a torn read would show two sizes."""
    interval, done, torn, reads = sys.getswitchinterval(), threading.Event(), [], [0] * 4
    sys.setswitchinterval(1e-5)

    def every(number: int):
        bids, asks = dict.fromkeys(range(1, 101), number), dict.fromkeys(range(101, 201), number)
        return make.delta(number, number, bids, asks)

    def read(number: int) -> None:
        while not done.is_set():
            book, best = valid.snapshot(), valid.best()
            if {size for _, size in (*book.bids, *book.asks)} != {book.update_id}:
                torn.append(book.update_id)
            if not best.bid_quantity == best.ask_quantity == best.update_id:
                torn.append(best.update_id)
            reads[number] += 1

    valid.on_delta(make.delta(11, 11, {}, {102: 0}))
    valid.on_delta(every(12))
    readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    deltas = [every(number) for number in range(13, 1_000)]
    try:
        for reader in readers:
            reader.start()
        for delta in deltas:
            valid.on_delta(delta)
    finally:
        done.set()
        for reader in readers:
            reader.join(DEADLINE_S)
        sys.setswitchinterval(interval)
    assert torn == []
    assert sum(reads) > 0
