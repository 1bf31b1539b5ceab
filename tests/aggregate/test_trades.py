"""Trades of several feeds come out in the order they happened, or marked late; none waits beyond the window, none is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.aggregate import Source, TradeMerge
from connector.domain import Side, Trade
from connector.errors import ConnectorBug, InvalidRequest

A, B = Source.of("alpha", "BTC/USDT"), Source.of("beta", "BTC/USDC")
WINDOW = 100


def times(out):
    return [merged.trade.event_time_ns for merged in out]


def test_a_trade_waits_until_every_source_has_shown_one_as_young(make):
    tape = TradeMerge([A, B], WINDOW)

    assert tape.on_trade(A.key, make.trade(A, 1_010), 1_020) == ()
    assert tape.on_trade(A.key, make.trade(A, 1_030), 1_031) == ()
    out = tape.on_trade(B.key, make.trade(B, 1_020), 1_035)

    assert times(out) == [1_010, 1_020]
    assert [(merged.source, merged.late, merged.waited_ns) for merged in out] == [(A, False, 15), (B, False, 0)]
    assert tape.waiting == 1


def test_a_source_in_silence_holds_the_others_up_by_the_window_and_no_longer(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, 1_000), 1_010)

    assert tape.due_ns == 1_110
    assert tape.on_time(1_109) == ()
    assert times(tape.on_time(1_110)) == [1_000]
    assert tape.due_ns is None


def test_what_comes_too_late_is_handed_out_at_once_marked_and_counted(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, 1_000), 1_010)
    tape.on_time(1_110)

    (late,) = tape.on_trade(B.key, make.trade(B, 990), 1_111)

    assert (late.source, late.late, late.trade.event_time_ns) == (B, True, 990)
    assert tape.counts["late"] == 1


def test_a_trade_of_the_same_instant_as_the_last_is_not_late(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, 1_000), 1_010)
    tape.on_time(1_110)

    assert [merged.late for merged in tape.on_trade(B.key, make.trade(B, 1_000), 1_111)] == [False]


def test_nobody_waits_for_a_source_that_is_known_to_be_gone(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, 1_000), 1_010)

    assert times(tape.on_left(B.key, 1_011)) == [1_000]
    assert times(tape.on_trade(A.key, make.trade(A, 1_020), 1_021)) == [1_020]
    tape.on_trade(B.key, make.trade(B, 1_025), 1_026)
    assert tape.on_trade(A.key, make.trade(A, 1_030), 1_031) != (), "B's came, and is out"
    assert tape.waiting == 1, "B is there again, and waited for"


def test_a_clock_that_runs_ahead_does_not_make_the_others_late_for_longer_than_the_window(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, 9_999_999), 1_000)
    out = tape.on_time(1_100)

    assert times(out) == [9_999_999]
    assert tape.counts["clock_ahead"] == 1
    assert [merged.late for merged in tape.on_trade(B.key, make.trade(B, 1_100), 1_101)] == [False]


def test_a_trade_without_a_time_of_the_venue_counts_by_its_arrival(make):
    tape = TradeMerge([A, B], WINDOW)
    tape.on_trade(A.key, make.trade(A, None, trade_id=1), 1_000)
    tape.on_trade(A.key, make.trade(A, None, trade_id=2), 1_005)

    out = tape.on_trade(B.key, make.trade(B, 1_002, trade_id=3), 1_006)

    assert [merged.trade.trade_id for merged in out] == [1, 3]


def test_more_than_may_wait_sends_the_oldest_out_and_counts_it(make):
    tape = TradeMerge([A, B], WINDOW, held_at_most=2)
    out = [merged for at in (1_003, 1_001, 1_002) for merged in tape.on_trade(A.key, make.trade(A, at), 1_004)]

    assert times(out) == [1_001]
    assert (tape.waiting, tape.counts["overflowed"]) == (2, 1)


def test_at_the_end_everything_goes_out_in_order(make):
    tape = TradeMerge([A, B], WINDOW)
    for at in (1_003, 1_001):
        tape.on_trade(A.key, make.trade(A, at), 1_004)

    assert times(tape.flush(1_005)) == [1_001, 1_003]


def test_without_a_window_everything_is_handed_on_as_it_comes_and_the_past_is_marked(make):
    tape = TradeMerge([A, B], 0)

    assert [merged.late for merged in tape.on_trade(A.key, make.trade(A, 1_000), 1_001)] == [False]
    assert [merged.late for merged in tape.on_trade(B.key, make.trade(B, 999), 1_002)] == [True]


def test_bad_windows_and_strangers_are_refused(make):
    with pytest.raises(InvalidRequest):
        TradeMerge([A], -1)
    with pytest.raises(ConnectorBug):
        TradeMerge([A], 1).on_trade(B.key, make.trade(B, 1), 2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([A, B]),
        st.sampled_from(["trade", "trade", "trade", "time", "left"]),
        st.integers(0, 60),  # how much later than the last step
        st.one_of(st.none(), st.integers(-150, 150)),  # the trade's age when it comes; negative: from the future
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 120), st.integers(1, 20))
def test_of_any_script_each_trade_comes_out_once_in_order_or_late_and_none_waits_beyond_the_window(
    script, window, held_at_most
):
    tape, now, out_so_far = TradeMerge([A, B], window, held_at_most), 10_000, -1
    taken, given_out, counted = {}, [], 0
    for number, (source, what, later, age) in enumerate(script):
        now += later
        if what == "trade":
            counted += 1
            happened = None if age is None else now - age
            trade = Trade("x", source.symbol, happened, now, number, Decimal(1), Decimal(1), Side.BUY)
            counts_as = now if happened is None else min(happened, now + window)
            taken[number] = counts_as, now
            out = tape.on_trade(source.key, trade, now)
        else:
            out = tape.on_time(now) if what == "time" else tape.on_left(source.key, now)
        for merged in out:
            counts_as, arrived = taken[merged.trade.trade_id]
            given_out.append(merged.trade.trade_id)
            assert merged.late == (counts_as < out_so_far)
            if not merged.late:
                out_so_far = counts_as
                assert merged.waited_ns == now - arrived
        waiting = set(taken) - set(given_out)
        assert len(waiting) == tape.waiting <= held_at_most
        assert all(taken[each][1] + window > now for each in waiting), "nothing waits beyond the window"
    given_out += [merged.trade.trade_id for merged in tape.flush(now)]
    assert sorted(given_out) == sorted(taken) and len(given_out) == counted
    assert tape.counts["taken"] == tape.counts["in_order"] + tape.counts["late"] == counted
