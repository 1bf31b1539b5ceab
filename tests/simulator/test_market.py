"""The cores below the live exchange, without sockets: the book's log, the invented past, candles."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.matching import MatchingEngine, Side
from connector.simulator import listing
from connector.simulator.candles import INTERVALS, Bar, Candles, aggregate, bucket_end, bucket_start
from connector.simulator.history import FIRST_LIVE_TRADE, Past
from connector.simulator.market import BookLog

START_MS = 1_760_000_123_456


@given(seed=st.integers(0, 2**32), chunk=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_book_can_be_rebuilt_at_every_update_it_ever_had(seed, chunk):
    rng, engine, log = random.Random(seed), MatchingEngine(first_update_id=1000), BookLog(changes_per_copy=chunk)
    books, levels = {}, {Side.BUY: {}, Side.SELL: {}}
    for _ in range(120):
        log.prepare(engine)
        if rng.random() < 0.3 and engine.open_orders:
            outcome = engine.cancel(rng.choice(engine.open_orders).order_id)
        else:
            outcome = engine.submit(rng.choice(list(Side)), rng.randint(1, 9), rng.randint(95, 105))
        log.record(outcome.changes)
        for change in outcome.changes:
            side = levels[change.side]
            side[change.price] = change.quantity
            if not change.quantity:
                del side[change.price]
            books[change.update_id] = sorted(levels[Side.BUY].items(), reverse=True), sorted(levels[Side.SELL].items())
    for update_id, book in books.items():
        assert log.at(update_id) == book
    assert log.at(999) == ([], [])


def test_the_log_forgets_from_the_oldest_end_and_says_so():
    engine, log = MatchingEngine(), BookLog(changes_per_copy=2, copies=3)
    for price in range(1, 21):
        log.prepare(engine)
        log.record(engine.submit(Side.BUY, 1, price).changes)
    assert log.at(log.first_id)[0][0] == (log.first_id, 1)
    assert len(log.at(20)[0]) == 20
    for forgotten in (log.first_id - 1, 0, 21):
        with pytest.raises(LookupError, match=f"the log holds {log.first_id} to 20"):
            log.at(forgotten)


def test_trade_ids_of_the_past_run_without_holes_up_to_the_first_live_trade():
    past = Past(listing("ETHUSDT"), 3, START_MS)
    for interval in ("1s", "1m", "1h", "1d"):
        bars = [bar for bar in past.bars(interval) if bar.count]
        assert bars[-1].last_id == FIRST_LIVE_TRADE - 1
        assert all(bar.last_id - bar.first_id + 1 == bar.count for bar in bars)
        assert all(later.first_id == earlier.last_id + 1 for earlier, later in pairwise(bars))


def test_candles_split_from_longer_ones_add_up_to_them_join_and_reach_back_to_the_listing():
    past, again = Past(listing("BTCUSDT"), 7, START_MS), Past(listing("BTCUSDT"), 7, START_MS)
    days = past.bars("1d")
    for interval in ("1m", "3m", "15m", "1h", "6h", "12h"):
        older = past.older(interval, days[0].start, 700)
        assert (len(older), older[0].start) == (700, days[0].start)
        for bar in older:
            assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
            assert bar.low * bar.volume <= bar.quote <= bar.high * bar.volume
            assert bar.low * bar.buy <= bar.buy_quote <= bar.high * bar.buy
        assert all(later.start == bucket_end(interval, earlier.start) for earlier, later in pairwise(older))
        assert all(later.first_id == earlier.last_id + 1 for earlier, later in pairwise(older))
        assert list(map(repr, again.older(interval, older[333].start, 5))) == list(map(repr, older[333:338]))
        known = past.bars(interval)
        newest = past.older(interval, known[1].start - 3 * INTERVALS[interval], 700)
        assert [bar.start for bar in newest] == [known[1].start - n * INTERVALS[interval] for n in (3, 2, 1)]
        assert newest[-1].last_id + 1 == known[1].first_id
    for start in (1, 900, 2_000):  # out of steps of days, hours and less
        minutes = past.older("1m", days[start].start, 3 * 1440)
        assert list(map(repr, aggregate(minutes, "1d"))) == list(map(repr, days[start : start + 3]))
    assert past.older("1s", 0, 9) == past.older("1w", 0, 9) == past.older("1m", START_MS, 9) == []


def test_the_past_ends_where_the_present_begins_and_does_not_depend_on_what_is_asked_first():
    entry = listing("BTCUSDT")
    one, other = Past(entry, 7, START_MS), Past(entry, 7, START_MS)
    days = one.bars("1d")
    assert other.trades() == one.trades()
    assert one.trades()[-1].price == entry.price_e8 // entry.tick_e8
    assert list(map(repr, other.bars("1d"))) == list(map(repr, days))
    assert one.trades()[-1].time_us < START_MS * 1000
    assert Past(entry, 8, START_MS).trades() != one.trades()
    for bar in days:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert 0 < bar.buy < bar.volume
        assert bar.low * bar.volume <= bar.quote <= bar.high * bar.volume


@given(st.integers(0, 4_102_444_800_000), st.sampled_from(list(INTERVALS)), st.integers(-720, 840))
def test_every_moment_lies_in_exactly_one_candle(at_ms, interval, zone):
    start = bucket_start(interval, at_ms, zone * 60_000)
    end = bucket_end(interval, start, zone * 60_000)
    assert start <= at_ms < end
    assert bucket_start(interval, end - 1, zone * 60_000) == start
    assert bucket_start(interval, end, zone * 60_000) == end


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(90, 110), st.integers(1, 9), st.booleans()), max_size=60))
@settings(max_examples=60, deadline=None)
def test_live_candles_of_all_intervals_count_the_same_trades(trades):
    candles = Candles(START_MS, 100)
    now, price = START_MS, 100
    for number, (pause, price, quantity, bought) in enumerate(trades):
        now += pause
        candles.trade(now, number, price, quantity, bought)
    candles.roll(now)
    for interval in INTERVALS:
        bars = candles.bars(interval)
        assert sum(bar.count for bar in bars) == len(trades)
        assert sum(bar.volume for bar in bars) == sum(quantity for _, _, quantity, _ in trades)
        assert sum(bar.buy for bar in bars) == sum(quantity for _, _, quantity, bought in trades if bought)
        assert bars[-1].close == price
        assert all(later.start == bucket_end(interval, earlier.start) for earlier, later in pairwise(bars))
    minutes = candles.bars("1m")
    assert list(map(repr, aggregate(minutes, "5m"))) == list(map(repr, candles.bars("5m")))


def test_a_second_without_trades_is_a_flat_candle_at_the_last_price():
    candles = Candles(0, 100)
    candles.trade(500, 1, 105, 2, True)
    candles.roll(3_000)
    second = candles.bars("1s")[1]
    assert (second.open, second.high, second.low, second.close) == (105, 105, 105, 105)
    assert (second.count, second.volume, second.first_id) == (0, 0, -1)


@pytest.mark.parametrize("gap_s", [60, 61, 3_599, 40_000, 100_000])
def test_a_long_time_without_trades_closes_the_same_candles_as_second_by_second(gap_s, monkeypatch):
    made = []
    for leap_ms in (60_000, 10**15):
        monkeypatch.setattr("connector.simulator.candles._LEAP_MS", leap_ms)
        candles = Candles(START_MS, 100, keep=50)
        candles.trade(START_MS + 5, 1, 103, 7, True)
        candles.roll(START_MS + 2_000)
        candles.trade(START_MS + 2_100, 2, 101, 4, False)
        candles.roll(START_MS + 2_000 + gap_s * 1000)
        candles.trade(START_MS + 2_100 + gap_s * 1000, 3, 90, 2, True)
        final = [(interval, bar.start, repr(bar)) for interval, bar in candles.take_final()]
        made.append(({name: [repr(bar) for bar in candles.bars(name)] for name in INTERVALS}, final))
    fast, slow = made
    assert fast[0] == slow[0]
    if len(slow[1]) < 1_000:
        assert fast[1] == slow[1]


def test_finished_candles_are_handed_out_once():
    candles = Candles(0, 100)
    candles.roll(61_000)
    final = candles.take_final()
    assert [bar.start for interval, bar in final if interval == "1s"] == list(range(0, 61_000, 1_000))
    assert [bar.start for interval, bar in final if interval == "1m"] == [0]
    assert candles.take_final() == []


def test_merging_an_empty_bar_moves_only_the_close():
    bar = Bar(0, 100)
    bar.trade(1, 90, 2, True)
    bar.merge(Bar(1_000, 90))
    assert (bar.open, bar.high, bar.low, bar.close, bar.count) == (90, 90, 90, 90, 1)
