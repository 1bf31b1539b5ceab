"""Downloads over real HTTP from a simulated exchange: whole, in order, patient, and honest about what is missing."""

from __future__ import annotations

import csv
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from fault_harness import eventually, running, shaped_driver
from msgspec.structs import replace

from connector.domain.times import datetime_from_ns, ns_from_datetime
from connector.drivers.registry import find_driver
from connector.errors import (
    InvalidRequest,
    NotConnected,
    RetryLater,
    SettingsError,
    UnknownSymbol,
    WireFormatError,
)
from connector.history import CsvSink, download_candles, download_trades, iterate_candles, iterate_trades
from connector.history.plan import steps_of
from connector.simulator import Live
from connector.testing.killing import crash

MINUTE_NS = 60 * 10**9
DAY_NS = 1_440 * MINUTE_NS
DEEP = {"source": Live(deep=True)}


@pytest.fixture
def rig():
    with running(events_per_s=0, simulator=DEEP) as rig:
        assert rig.venue.wait_ready(10.0)
        yield rig


def midnight(rig, days_ago: int) -> int:
    """Nanoseconds of a midnight in the exchange's past."""
    return rig.venue.server_time_ns() // DAY_NS * DAY_NS - days_ago * DAY_NS


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_whole(candles, start, count):
    """Every minute once, each opening where the one before closed, which is how this exchange makes them."""
    assert [candle.open_time_ns for candle in candles] == list(range(start, start + count * MINUTE_NS, MINUTE_NS))
    assert all(earlier.close == later.open for earlier, later in pairwise(candles))
    assert all(candle.closed for candle in candles)


def utc(time_ns: int) -> str:
    return f"{datetime_from_ns(time_ns):%Y-%m-%dT%H:%M:%SZ}"


def bent(change):
    """A driver whose answers to questions for candles are changed: `change(query, candles)`."""
    real = find_driver("binance").rest.read

    def read(query, response, instruments):
        answer = real(query, response, instruments)
        return tuple(change(query, answer)) if type(query).__name__ == "CandlesQuery" else answer

    return shaped_driver(rest={"read": read})


# ---------------------------------------------------------------- the whole


def test_a_range_comes_whole_and_in_order_whatever_the_pages_and_however_many_are_under_way(rig):
    start = midnight(rig, 400)
    whole = list(iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 2_500 * MINUTE_NS))
    assert_whole(whole, start, 2_500)
    for page_rows, in_flight in ((997, 1), (100, 8), (331, 3)):
        download = iterate_candles(
            rig.venue, "BTC/USDT", "1m", start, start + 2_500 * MINUTE_NS, page_rows=page_rows, in_flight=in_flight
        )
        again = list(download)
        assert [replace(one, received_ns=0) for one in again] == [replace(one, received_ns=0) for one in whole]
        assert (download.report.rows, download.report.gap_count, download.report.complete) == (2_500, 0, True)
        assert download.report.pages == -(-2_500 // page_rows)


def test_a_page_of_a_thousand_costs_one_request(rig):
    start = midnight(rig, 300)
    before = len(rig.sim.ledger.requests())
    download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 4_000 * MINUTE_NS)
    assert sum(1 for _ in download) == 4_000
    report = download.report
    assert (report.pages, report.requests) == (4, 5), "and one for the venue's time"
    asked = [request for request in rig.sim.ledger.requests()[before:] if "klines" in str(request)]
    assert len(asked) == 4


def test_both_ends_are_what_they_say_start_included_and_end_not(rig):
    start = midnight(rig, 20)
    opened = [c.open_time_ns for c in iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 3 * MINUTE_NS)]
    assert opened == [start, start + MINUTE_NS, start + 2 * MINUTE_NS]
    moved = [c.open_time_ns for c in iterate_candles(rig.venue, "BTC/USDT", "1m", start + 1, start + 3 * MINUTE_NS + 1)]
    assert moved == [start + MINUTE_NS, start + 2 * MINUTE_NS, start + 3 * MINUTE_NS]
    day = datetime_from_ns(start)
    assert len(list(iterate_candles(rig.venue, "BTC/USDT", "1h", day, day + timedelta(days=2)))) == 48


def test_weeks_and_months_are_calendar_steps(rig):
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    months = list(iterate_candles(rig.venue, "BTC/USDT", "1M", start, end, page_rows=4))
    weeks = list(iterate_candles(rig.venue, "BTC/USDT", "1w", start, end, page_rows=10))

    opened = [datetime_from_ns(month.open_time_ns) for month in months]
    assert [(moment.year, moment.month, moment.day) for moment in opened] == [
        *((2024, month, 1) for month in range(1, 13)),
        (2025, 1, 1),
        (2025, 2, 1),
    ]
    assert [datetime_from_ns(week.open_time_ns) for week in weeks] == [
        start + timedelta(weeks=number) for number in range(61)
    ]


def test_without_an_end_it_goes_up_to_the_last_final_candle_and_later_adds_what_is_new(rig, tmp_path):
    path = tmp_path / "btc.csv"
    now = rig.venue.server_time_ns()
    report = download_candles(rig.venue, "BTC/USDT", "1m", now - 30 * MINUTE_NS, to=path)
    rows = rows_of(path)
    assert report.complete and report.rows == len(rows)
    assert int(rows[-1]["close_time_ns"]) < rig.venue.server_time_ns()
    assert 28 <= len(rows) <= 30

    rig.sim.faults.clock_skew(ms=5 * 60_000)  # five minutes later
    again = download_candles(rig.venue, "BTC/USDT", "1m", now - 30 * MINUTE_NS, to=path)
    assert (again.rows_before, again.complete) == (report.rows, True)
    opened = [int(row["open_time_ns"]) for row in rows_of(path)]
    assert opened == list(range(opened[0], opened[0] + again.rows * MINUTE_NS, MINUTE_NS))
    assert 4 <= again.rows - report.rows <= 6


def test_an_end_in_the_future_leaves_the_download_incomplete_and_says_how_far_it_is(rig):
    now = rig.venue.server_time_ns()
    download = iterate_candles(rig.venue, "BTC/USDT", "1m", now - 10 * MINUTE_NS, now + 10 * MINUTE_NS)
    candles = list(download)
    assert all(candle.closed for candle in candles) and 8 <= len(candles) <= 10
    assert not download.report.complete
    assert download.report.until == utc(candles[-1].open_time_ns + MINUTE_NS)
    assert download.report.missing == 0


def test_a_range_that_has_not_begun_yet_is_empty_and_incomplete(rig):
    now = rig.venue.server_time_ns()
    for download in (
        iterate_candles(rig.venue, "BTC/USDT", "1m", now + DAY_NS, now + 2 * DAY_NS),
        iterate_trades(rig.venue, "BTC/USDT", now + DAY_NS, now + 2 * DAY_NS),
    ):
        assert list(download) == []
        assert (download.report.rows, download.report.complete) == (0, False)


# ---------------------------------------------------------------- trades


@pytest.mark.parametrize("kind", ["trades", "agg_trades"])
def test_trades_by_time_are_paged_by_id_whole_and_within_the_times(rig, kind, tmp_path):
    rig.sim.step(300)
    now = rig.venue.server_time_ns()
    start, end = now - 25 * MINUTE_NS, now - 5 * MINUTE_NS
    download = iterate_trades(rig.venue, "BTC/USDT", start, end, kind=kind, page_rows=700)
    trades = list(download)
    ids = [trade.trade_id if kind == "trades" else trade.agg_id for trade in trades]

    assert len(ids) > 2_000 and ids == list(range(ids[0], ids[0] + len(ids)))
    assert start - 10**6 < trades[0].event_time_ns and trades[-1].event_time_ns < end
    assert (download.report.complete, download.report.gap_count) == (True, 0)
    everything = [t.event_time_ns for t in iterate_trades(rig.venue, "BTC/USDT", now - 40 * MINUTE_NS, kind=kind)]
    assert len([time for time in everything if -(-start // 10**6) * 10**6 <= time < end]) == len(trades)

    report = download_trades(rig.venue, "BTC/USDT", start, end, kind=kind, to=tmp_path / "trades.csv")
    assert [int(row[download.series.key_name]) for row in rows_of(tmp_path / "trades.csv")] == ids
    assert report.rows == len(ids)


# ---------------------------------------------------------------- what is missing


def test_missing_candles_are_named_as_ranges_and_never_filled():
    gone = set(range(100, 130)) | {500} | set(range(990, 1_010))
    start = 0

    def change(query, candles):
        return [candle for candle in candles if (candle.open_time_ns - start) // MINUTE_NS not in gone]

    with running(events_per_s=0, simulator=DEEP, driver=bent(change)) as rig:
        start = midnight(rig, 50)
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 2_000 * MINUTE_NS)
        numbers = [(candle.open_time_ns - start) // MINUTE_NS for candle in download]
        report = download.report

    assert numbers == [number for number in range(2_000) if number not in gone]
    assert [
        ((gap.first - start) // MINUTE_NS, (gap.last - start) // MINUTE_NS, gap.missing) for gap in report.gaps
    ] == [
        (100, 129, 30),
        (500, 500, 1),
        (990, 1_009, 20),
    ], "one over the border of two pages is one"
    assert (report.gap_count, report.missing, report.rows, report.complete) == (3, 51, 1_949, True)
    assert report.gaps[0].text == f"{utc(start + 100 * MINUTE_NS)} to {utc(start + 129 * MINUTE_NS)}"
    assert "gaps=3 missing=51" in repr(report)


@pytest.mark.parametrize("gives", ["oldest", "newest"])
def test_a_venue_with_smaller_pages_than_expected_loses_nothing(gives):
    def change(query, candles):
        return candles[:300] if gives == "oldest" else candles[-300:]

    with running(events_per_s=0, simulator=DEEP, driver=bent(change)) as rig:
        start = midnight(rig, 50)
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 9_000 * MINUTE_NS)
        assert_whole(list(download), start, 9_000)
        assert download.report.requests <= 9_000 // 300 + 12, "the size of its pages is learnt"


@pytest.mark.parametrize("most", [1, 90, 700])
def test_a_venue_that_refuses_long_ranges_is_asked_for_shorter_ones_and_time_before_the_listing_stays_a_gap(most):
    """Some venues bound a range by days, not by rows. Without candles in the first of them there may be some in the last."""
    real = find_driver("binance").rest.request

    def request(query):
        if type(query).__name__ == "CandlesQuery" and query.end_ns - query.start_ns >= most * MINUTE_NS:
            raise InvalidRequest(f"at most {most} minutes at once")
        return real(query)

    def change(query, candles):
        return [candle for candle in candles if candle.open_time_ns >= listed]

    shaped = shaped_driver(rest={"request": request, "read": bent(change).rest.read})
    with running(events_per_s=0, simulator=DEEP, driver=shaped) as rig:
        start = midnight(rig, 50)
        listed = start + 150 * MINUTE_NS
        count = 160 if most == 1 else 2_000
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + count * MINUTE_NS)
        assert_whole(list(download), listed, count - 150)
        assert (download.report.rows, download.report.missing, download.report.gap_count) == (count - 150, 150, 1)


def test_rows_that_come_twice_are_handed_out_once_and_counted():
    def change(query, candles):
        return [candle for candle in candles for _ in range(2)]

    with running(events_per_s=0, simulator=DEEP, driver=bent(change)) as rig:
        start = midnight(rig, 50)
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 1_500 * MINUTE_NS)
        assert_whole(list(download), start, 1_500)
        assert download.report.doubles == 1_500


def test_time_before_the_listing_is_a_gap_and_is_not_asked_for_page_by_page(rig):
    day = datetime(2010, 1, 1, tzinfo=UTC)
    listed = datetime_from_ns(midnight(rig, 2_100))
    download = iterate_candles(rig.venue, "BTC/USDT", "1m", day, listed + timedelta(hours=10))
    candles = list(download)
    report = download.report

    assert 0 < len(candles) <= 1_440 + 600
    assert report.gap_count == 1 and report.gaps[0].first == ns_from_datetime(day)
    assert report.missing + report.rows == (ns_from_datetime(listed) - ns_from_datetime(day)) // MINUTE_NS + 600
    assert report.requests < 120, f"of {report.missing // 1000} empty pages"


def test_a_venue_that_keeps_an_open_month_to_itself_does_not_make_a_gap_of_what_comes_after_a_quiet_day():
    def change(query, candles):
        if query.interval != "1m":
            return [candle for candle in candles if candle.closed]
        return [candle for candle in candles if not quiet[0] <= candle.open_time_ns < quiet[1]]

    quiet = (0, 0)
    with running(events_per_s=0, simulator=DEEP, driver=bent(change)) as rig:
        start = midnight(rig, 5)
        quiet = (start + 500 * MINUTE_NS, start + 5_000 * MINUTE_NS)
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 7_000 * MINUTE_NS, in_flight=1)
        candles = list(download)
    assert [(gap.first, gap.missing) for gap in download.report.gaps] == [(quiet[0], 4_500)]
    assert_whole(candles[500:], quiet[1], 2_000)


@pytest.mark.parametrize("interval", ["1m", "1h", "1d", "3d", "1w", "1M"])
def test_a_candle_that_the_venue_has_not_begun_yet_is_no_gap(interval):
    with running(events_per_s=0, driver=bent(lambda query, candles: [c for c in candles if c.closed])) as rig:
        now = rig.venue.server_time_ns()
        steps = steps_of(interval)
        download = iterate_candles(rig.venue, "BTC/USDT", interval, steps.key(steps.index(now) - 60), now + DAY_NS)
        candles = list(download)
        assert (download.report.missing, download.report.complete) == (0, False)
        assert 58 <= len(candles) <= 60 and all(candle.closed for candle in candles)


def test_a_candle_that_is_not_final_is_not_handed_out_nor_is_what_follows():
    def change(query, candles):
        return [replace(candle, closed=candle.open_time_ns < edge) for candle in candles]

    edge = 1 << 62
    with running(events_per_s=0, simulator=DEEP, driver=bent(change)) as rig:
        start = midnight(rig, 50)
        edge = start + 1_234 * MINUTE_NS
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 5_000 * MINUTE_NS)
        assert_whole(list(download), start, 1_234)
        assert (download.report.complete, download.report.missing) == (False, 0)


# ---------------------------------------------------------------- trouble


def test_refusals_errors_and_torn_answers_in_the_middle_cost_time_and_no_row(rig):
    start = midnight(rig, 60)
    download = iterate_candles(
        rig.venue, "BTC/USDT", "1m", start, start + 12_000 * MINUTE_NS, page_rows=500, in_flight=1
    )
    faults = deque(
        (
            lambda: rig.sim.faults.rest_error(status=502, count=9, path="klines", body="<html>bad gateway</html>"),
            lambda: rig.sim.faults.rest_cut(at_byte=300, count=5),
            lambda: rig.sim.faults.rest_error(status=200, count=1, path="klines", body="[[1,"),
            lambda: crash(rig.ref("rest")),
            lambda: rig.sim.faults.rest_error(status=429, count=1, path="klines", retry_after_s=1),
        )
    )  # fmt: skip
    candles = []
    for page in download.pages():
        candles += page
        if faults and len(candles) % 2_000 == 0:
            faults.popleft()()
    assert not faults
    assert_whole(candles, start, 12_000)
    assert download.report.retries >= 3
    assert {request.status for request in rig.sim.ledger.requests()} == {200, 429, 502}
    assert download.report.complete and download.report.missing == 0


def test_a_question_that_the_rest_actor_died_with_is_asked_again_soon():
    real, asked = find_driver("binance").rest.request, []

    def request(query):
        if type(query).__name__ == "CandlesQuery":
            asked.append(query)
            if len(asked) == 3:
                raise RuntimeError("a bug that ends the actor with the question in hand")
        return real(query)

    with running(events_per_s=0, simulator=DEEP, driver=shaped_driver(rest={"request": request})) as rig:
        epoch, start = rig.ref("rest").epoch, midnight(rig, 60)
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 6_000 * MINUTE_NS)
        assert_whole(list(download), start, 6_000)
        assert rig.ref("rest").epoch > epoch and download.report.retries >= 1
        assert download.report.elapsed_s < 20.0


def test_a_ban_is_waited_out(rig):
    start = midnight(rig, 60)
    download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 6_000 * MINUTE_NS, page_rows=500)
    pages = download.pages()
    first = next(pages)
    rig.sim.faults.ban(for_s=1.5)
    assert_whole([*first, *(candle for page in pages for candle in page)], start, 6_000)
    assert rig.counter("rest.refused_by_limit") >= 1


def test_a_question_that_is_refused_ends_the_download_with_that_error_and_keeps_what_is_there(rig, tmp_path):
    start = midnight(rig, 60)
    with pytest.raises(UnknownSymbol, match="NOT/THERE"):
        list(iterate_candles(rig.venue, "NOT/THERE", "1m", start))
    with pytest.raises(InvalidRequest, match="7m"):
        list(iterate_candles(rig.venue, "BTC/USDT", "7m", start))

    path = tmp_path / "btc.csv"
    told = []

    def refuse(progress):
        told.append(progress)
        if progress.pages == 3:
            rig.sim.faults.rest_error(
                status=400, count=None, path="klines", body='{"code":-1100,"msg":"Illegal characters"}'
            )

    end = start + 9_000 * MINUTE_NS
    with pytest.raises(Exception, match="-1100"):
        download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=path, progress=refuse, in_flight=1)
    rig.sim.faults.clear()
    report = download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=path)
    assert (report.rows, report.rows_before) == (9_000, 3_000)
    assert [int(row["open_time_ns"]) for row in rows_of(path)] == list(range(start, end, MINUTE_NS))


def test_an_answer_that_stays_unreadable_is_an_error_in_the_end(rig):
    rig.sim.faults.rest_error(status=200, count=None, path="klines", body='[["x"]]')
    with pytest.raises(WireFormatError):
        list(iterate_candles(rig.venue, "BTC/USDT", "1m", midnight(rig, 60)))


def test_a_deadline_ends_it_with_the_last_trouble_and_what_came_can_be_gone_on_with(rig, tmp_path):
    start = midnight(rig, 60)
    path, end = tmp_path / "btc.csv", start + 5_000 * MINUTE_NS

    def break_off(progress):
        rig.sim.faults.rest_error(status=503, count=None, path="klines")

    with pytest.raises(RetryLater, match=r"not over within 2 s; start it again to go on\. The last trouble: .*503"):
        download_candles(
            rig.venue, "BTC/USDT", "1m", start, end, to=path, progress=break_off, deadline_s=2.0, in_flight=1
        )
    rig.sim.faults.clear()
    report = download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=path)
    assert (report.rows_before, report.rows, report.complete) == (1_000, 5_000, True)


def test_it_can_be_cancelled_from_any_thread_while_it_waits_and_gone_on_with(rig, tmp_path):
    start = midnight(rig, 60)
    path, end = tmp_path / "btc.csv", start + 5_000 * MINUTE_NS
    enough = threading.Event()

    def stall(progress):
        rig.sim.faults.rest_error(status=503, count=None, path="klines")
        threading.Timer(0.3, enough.set).start()

    report = download_candles(
        rig.venue, "BTC/USDT", "1m", start, end, to=path, progress=stall, cancelled=enough.is_set, in_flight=1
    )
    assert (report.rows, report.complete) == (1_000, False)
    assert report.elapsed_s < 5.0
    rig.sim.faults.clear()
    report = download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=path)
    assert (report.rows_before, report.rows, report.complete) == (1_000, 5_000, True)


def test_a_stopped_connector_ends_it_at_once(rig):
    start = midnight(rig, 600)
    pages = iterate_candles(rig.venue, "BTC/USDT", "1m", start, page_rows=100).pages()
    next(pages)
    rig.connector.stop()
    with pytest.raises(NotConnected, match="stopped"):
        for _ in pages:
            pass


def test_an_engines_own_questions_go_first_and_a_budget_is_never_overdrawn():
    with running(events_per_s=0, simulator={**DEEP, "request_weight_per_minute": 120}) as rig:
        assert rig.venue.wait_ready(10.0)
        start = rig.venue.server_time_ns() // DAY_NS * DAY_NS - 50 * DAY_NS
        enough = threading.Event()
        download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, cancelled=enough.is_set)
        done = threading.Thread(target=lambda: deque(download, maxlen=0), name="download")
        done.start()

        def has_spent_its_share():
            (weight,) = (each for each in rig.memory.ledger.state().budgets if each.name.startswith("REQUEST_WEIGHT"))
            return weight.used >= 0.78 * weight.capacity

        try:
            eventually(has_spent_its_share, 20.0)
            for _ in range(5):
                assert rig.venue.server_time_ns(timeout_s=5.0) > 0
        finally:
            enough.set()
            done.join(10.0)
        assert not done.is_alive() and 0 < download.report.rows < 50 * 1_440
        assert {request.status for request in rig.sim.ledger.requests()} == {200}
        pages = [request for request in rig.sim.ledger.requests() if request.path.endswith("klines")]
        assert max(page.used_weight for page in pages) <= 0.8 * 120, "the rest is kept for what is more urgent"


# ---------------------------------------------------------------- the front


def test_wrong_parameters_are_told_before_anything_is_asked(rig, tmp_path):
    start, venue = midnight(rig, 60), rig.venue
    asked = len(rig.sim.ledger.requests())
    for wrong, error, says in (
        (lambda: iterate_candles(venue, "BTC/USDT", "1x", start), InvalidRequest, "1x"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", start, start), InvalidRequest, "ends before it begins"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", start // 10**6), InvalidRequest, "milliseconds"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", 1.5), InvalidRequest, "expected an aware datetime"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", datetime(2026, 1, 1)), InvalidRequest, "time zone"),  # noqa: DTZ001
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", start, page_rows=0), InvalidRequest, "page_rows"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", start, in_flight=0), InvalidRequest, "in_flight"),
        (lambda: iterate_candles(venue, "BTC/USDT", "1m", start, pages=3), InvalidRequest, "pages is no option"),
        (lambda: iterate_trades(venue, "BTC/USDT", start, kind="fills"), InvalidRequest, "'trades' or 'agg_trades'"),
        (lambda: download_candles(venue, "BTC/USDT", "1m", start, to="a.txt"), SettingsError, ".csv or .parquet"),
    ):
        with pytest.raises(error, match=says):
            wrong()
    assert len(rig.sim.ledger.requests()) == asked


def test_a_download_runs_once(rig):
    start = midnight(rig, 60)
    download = iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + MINUTE_NS)
    assert len(list(download)) == 1
    with pytest.raises(InvalidRequest, match="runs once"):
        list(download)


def test_progress_rises_to_one_and_tells_where_it_is(rig):
    start, told = midnight(rig, 60), []
    end = start + 3_500 * MINUTE_NS
    list(iterate_candles(rig.venue, "BTC/USDT", "1m", start, end, progress=told.append))
    shares = [progress.share for progress in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert [progress.rows for progress in told] == [1_000, 2_000, 3_000, 3_500]
    assert told[-1].at == utc(end - MINUTE_NS)


def test_a_bar_is_shown_on_the_error_stream_when_it_is_asked_for(rig, capsys):
    pytest.importorskip("rich")
    start = midnight(rig, 60)
    list(iterate_candles(rig.venue, "BTC/USDT", "1m", start, start + 2_000 * MINUTE_NS, progress=True))
    shown = capsys.readouterr()
    assert shown.out == "" and "BTC/USDT 1m" in shown.err and "100%" in shown.err


def test_symbols_in_sequence_have_files_of_their_own_and_what_is_whole_is_not_fetched_again(rig, tmp_path):
    start = midnight(rig, 90)
    for _ in range(2):
        for symbol in ("BTC/USDT", "ETH/USDT"):
            path = tmp_path / f"{symbol.replace('/', '')}.csv"
            report = download_candles(rig.venue, symbol, "15m", start, start + 80 * DAY_NS, to=path)
            assert report.complete and report.rows == 80 * 96 == len(rows_of(path))
    assert (report.rows_before, report.pages, report.requests) == (80 * 96, 0, 1)


def test_the_same_candles_arrive_in_both_kinds_of_files(rig, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    start = midnight(rig, 90)
    end = start + 2_345 * MINUTE_NS
    download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=tmp_path / "a.csv")
    report = download_candles(rig.venue, "BTC/USDT", "1m", start, end, to=tmp_path / "a.parquet")
    assert report.rows == 2_345
    table = pq.read_table(tmp_path / "a.parquet")
    for row, (opened, price, count) in zip(
        rows_of(tmp_path / "a.csv"),
        zip(table["open_time_ns"], table["close"].to_pylist(), table["trade_count"].to_pylist(), strict=True),
        strict=True,
    ):
        assert (int(row["open_time_ns"]), Decimal(row["close"]), int(row["trade_count"])) == (
            opened.value,
            price,
            count,
        )


def test_a_file_is_continued_only_for_the_same_download(rig, tmp_path):
    start = midnight(rig, 90)
    sink = CsvSink(tmp_path / "a.csv")
    download_candles(rig.venue, "BTC/USDT", "1m", start, start + DAY_NS, to=sink)
    with pytest.raises(SettingsError, match="interval is '1m' there and '5m' here"):
        download_candles(rig.venue, "BTC/USDT", "5m", start, start + DAY_NS, to=sink)
