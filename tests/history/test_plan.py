"""The plan of a download, without a venue: however a range is cut and however short a venue answers, the whole comes out once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.domain.market import AggTrade, Side
from connector.domain.symbols import Symbol
from connector.domain.times import datetime_from_ns, ns_from_datetime
from connector.errors import InvalidRequest, WireFormatError
from connector.history.plan import IDS, Course, Steps, Window, cut, joined, new_page, steps_of, take, windows

SYMBOL = Symbol.parse("BTC/USDT")
DAY_NS = 86_400 * 10**9
INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M", "3M")


def row(key: int, price: int = 1) -> AggTrade:
    return AggTrade("venue", SYMBOL, 0, 0, key, Decimal(price), Decimal(1), Side.BUY, key, key)


def key_of(trade: AggTrade) -> int:
    return trade.agg_id


def at(*parts: int) -> int:
    return ns_from_datetime(datetime(*parts, tzinfo=UTC))


class Shop:
    """A venue that has some keys and gives a few at once: the oldest of a window, the newest, or those from its start on."""

    def __init__(self, keys, most, gives):
        self.keys, self.most, self.gives, self.asked = sorted(keys), most, gives, 0

    def ask(self, window):
        self.asked += 1
        last = self.keys[-1] if self.gives == "onwards" and self.keys else window.last
        inside = [key for key in self.keys if window.first <= key <= last]
        return [row(key) for key in (inside[-self.most :] if self.gives == "newest" else inside[: self.most])]


def download(shop, steps, first, last, rows):
    """(keys, gaps as ranges) of a range."""
    keys, gaps = [], []
    for window in windows(steps, first, last, rows):
        page = new_page(steps, window)
        while not page.is_whole:
            page = take(page, page.holes[0], shop.ask(page.holes[0]), key_of)
        keys += map(key_of, page.rows)
        for gap in page.gaps:
            both = joined(steps, gaps[-1], gap) if gaps else None
            gaps = [*gaps[:-1], both] if both else [*gaps, gap]
    return keys, gaps


def keys_within(steps, first, last):
    key = steps.at_or_after(first)
    while key <= last:
        yield key
        key = steps.after(key)


@st.composite
def ranges(draw):
    steps = steps_of(draw(st.sampled_from(INTERVALS)))
    start = draw(st.integers(at(2000, 1, 1), at(2030, 1, 1)))
    last = steps.after(start, draw(st.integers(0, 60))) + draw(st.integers(-3, 3))
    assume(last >= start)
    return steps, start, last


@given(ranges(), st.integers(1, 40))
def test_windows_are_the_range_without_overlap_and_never_hold_more_than_a_page(range_, rows):
    steps, first, last = range_
    found = list(windows(steps, first, last, rows))

    assert (found[0].first, found[-1].last) == (first, last)
    assert all(later.first == earlier.last + 1 for earlier, later in pairwise(found))
    assert all(steps.count(window) <= rows for window in found)
    assert sum(map(steps.count, found)) == len(list(keys_within(steps, first, last)))
    assert all(steps.count(window) == rows for window in found[1:-1]), "no request is wasted on half a page"


@given(ranges(), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["oldest", "newest", "onwards"]), st.data())
def test_any_venue_in_any_pages_gives_the_same_whole_and_names_exactly_what_is_missing(range_, rows, most, gives, data):
    steps, first, last = range_
    keys = list(keys_within(steps, first, last))
    missing = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
    around = {steps.at_or_before(first - 1), steps.after(last), steps.after(last, 2)}
    there = {*keys, *around} - missing

    got, gaps = download(Shop(there, most, gives), steps, first, last, rows)

    assert got == [key for key in keys if key not in missing]
    assert [key for gap in gaps for key in keys_within(steps, *gap)] == sorted(missing)
    assert all(steps.holds(gap.first) and steps.holds(gap.last) for gap in gaps)
    assert all(steps.after(one.last) < other.first for one, other in pairwise(gaps)), "joined where they touch"


@given(ranges(), st.integers(1, 40), st.data())
def test_any_split_equals_the_whole(range_, rows, data):
    steps, first, last = range_
    keys = list(keys_within(steps, first, last))
    missing = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
    splits = sorted(data.draw(st.sets(st.integers(first, last), max_size=4)))
    shop = Shop(set(keys) - missing, 1_000, "oldest")

    whole = download(shop, steps, first, last, rows)[0]
    parts = []
    for begin, end in zip([first, *splits], [*splits, last + 1], strict=True):
        if begin < end:
            parts += download(shop, steps, begin, end - 1, data.draw(st.integers(1, 40)))[0]

    assert parts == whole == [key for key in keys if key not in missing]


@given(st.sets(st.integers(1_000, 1_200)), st.integers(1, 50), st.integers(1, 50))
def test_trade_ids_are_paged_like_candles(there, rows, most):
    got, gaps = download(Shop(there, most, "onwards"), IDS, 1_010, 1_150, rows)

    assert got == sorted(key for key in there if 1_010 <= key <= 1_150)
    assert sum(map(IDS.count, gaps)) + len(got) == 141


def test_a_whole_page_costs_one_question_and_a_hole_one_more():
    shop = Shop(range(100), 1_000, "oldest")
    assert len(download(shop, IDS, 0, 99, 50)[0]) == 100
    assert shop.asked == 2

    shop = Shop(set(range(100)) - {7, 8, 9}, 1_000, "oldest")
    assert download(shop, IDS, 0, 99, 50)[1] == [Window(7, 9)]
    assert shop.asked == 3


def test_a_row_that_comes_twice_is_dropped_and_counted_and_two_that_differ_are_an_error():
    page = take(new_page(IDS, Window(1, 3)), Window(1, 3), [row(1), row(2), row(2), row(3)], key_of)
    assert (list(map(key_of, page.rows)), page.doubles, page.is_whole) == ([1, 2, 3], 1, True)

    with pytest.raises(WireFormatError, match="two different rows have the key 2"):
        take(new_page(IDS, Window(1, 3)), Window(1, 3), [row(1), row(2), row(2, price=9)], key_of)


def test_rows_out_of_order_are_an_error():
    with pytest.raises(WireFormatError, match="not oldest first"):
        take(new_page(IDS, Window(1, 3)), Window(1, 3), [row(2), row(1)], key_of)


def test_a_candle_between_two_steps_is_an_error():
    minutes = steps_of("1m")
    window = Window(at(2026, 1, 1), at(2026, 1, 1, 1) - 1)
    with pytest.raises(WireFormatError, match="a row has the key"):
        take(new_page(minutes, window), window, [row(at(2026, 1, 1, 0, 0, 30))], key_of)


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_candles_of_three_days_may_begin_on_any_day_the_first_one_shows(phase):
    steps = steps_of("3d")
    first = at(2026, 1, 1)
    keys = [first + (phase + 3 * n) * DAY_NS for n in range(8)]
    window = Window(first, first + 24 * DAY_NS - 1)
    page = new_page(steps, window)
    page = take(page, window, [row(key) for key in keys if key != keys[4]], key_of)

    assert page.holes and all(page.steps.count(hole) == 1 for hole in page.holes)
    while not page.is_whole:
        page = take(page, page.holes[0], [], key_of)
    assert page.gaps == (Window(keys[4], keys[4]),)
    with pytest.raises(WireFormatError):
        take(new_page(page.steps, window), window, [row(keys[0] + DAY_NS)], key_of)


def test_weeks_open_on_mondays_and_months_on_their_first():
    weeks = list(keys_within(steps_of("1w"), at(2024, 2, 20), at(2024, 3, 12)))
    assert [(datetime_from_ns(key).day, datetime_from_ns(key).weekday()) for key in weeks] == [(26, 0), (4, 0), (11, 0)]

    months = list(keys_within(steps_of("1M"), at(2023, 11, 2), at(2024, 4, 1)))
    assert [(datetime_from_ns(key).month, datetime_from_ns(key).day) for key in months] == [
        (12, 1),
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 1),
    ]
    assert steps_of("1M").count(Window(at(2024, 1, 1), at(2024, 12, 31))) == 12
    assert steps_of("1M").after(at(2024, 1, 31), 13) == at(2025, 2, 1)


@given(ranges(), st.data())
def test_what_is_cut_off_at_the_end_is_neither_a_row_nor_a_gap(range_, data):
    steps, first, last = range_
    keys = list(keys_within(steps, first, last))
    assume(keys)
    missing = data.draw(st.sets(st.sampled_from(keys)))
    end = data.draw(st.sampled_from(keys))
    window = Window(first, last)
    page = take(new_page(steps, window), window, [row(key) for key in keys if key not in missing], key_of)
    while not page.is_whole:
        page = take(page, page.holes[0], [], key_of)

    shorter = cut(page, end, key_of)
    told = [key for gap in shorter.gaps for key in keys_within(shorter.steps, *gap)]
    assert shorter.window.last == max(end, first) - 1
    assert sorted([*map(key_of, shorter.rows), *told]) == [key for key in keys if key < end]


def test_a_smaller_page_or_a_leap_changes_the_course_from_there_on():
    course = Course(IDS, 0, 99, 50)
    assert course.next() == Window(0, 49)
    course.fit(10)
    assert course.next() == Window(50, 59)
    assert course.leap(55) is None
    assert course.leap(80) == Window(60, 79)
    assert course.next() == Window(80, 89)
    assert course.leap(1_000) == Window(90, 99)
    assert course.next() is None


@pytest.mark.parametrize("text", ["", "m", "0m", "1x", "1 m", "1m ", "99999m", "-1m", "1.5h", "١m"])
def test_a_text_that_is_no_interval_is_refused_with_what_is_expected(text):
    with pytest.raises(InvalidRequest, match="expected a number and one of"):
        steps_of(text)


def test_a_page_of_no_rows_is_refused():
    with pytest.raises(InvalidRequest, match="1 or more"):
        Course(Steps(1), 0, 1, 0)
