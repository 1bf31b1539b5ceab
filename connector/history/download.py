"""Download the history of an instrument, page by page, in order, for as long as it takes.

This is the shell around `history.plan`. It sends the windows of the plan to the REST actor of a venue as the least urgent
questions there are, so an engine's own go first, and the ledger that keeps the venue's request budgets keeps them here too. A few
pages are under way at once and are judged strictly in order. Whatever says "later" (no connection, 5xx, a spent budget, a ban) is
asked again, for ever or until a deadline; whatever says "no" ends the download with that error. It never fills a gap and never
hands out a candle that is not final.

It runs on the caller's thread, which blocks between pages; answers come from REST workers through a queue. Memory holds the pages
under way and nothing more.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, cast

import pykka
from msgspec.structs import replace

from connector.clock import Clock, SystemClock
from connector.domain.market import AggTrade, Candle
from connector.domain.queries import AggTradesQuery, CandlesQuery, Query, ServerTimeQuery
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_S, ns_from_datetime
from connector.errors import (
    ConnectorError,
    InvalidRequest,
    NotConnected,
    Rejected,
    RetryLater,
    Unsupported,
    WireFormatError,
)
from connector.history.plan import Course, Page, Steps, Window, cut, joined, leapt, new_page, steps_of, take
from connector.history.progress import progress_bar
from connector.history.report import Checkpoint, HistoryGap, Progress, Report, Task
from connector.history.series import AggTradeSeries, CandleSeries, Series, TradeSeries
from connector.history.sinks import Sink, sink_for
from connector.supervision import StableRef
from connector.throttle import BackoffPolicy, Priority
from connector.venue.messages import Answer, Fetch

__all__ = ["Download", "Options", "download_candles", "download_trades", "iterate_candles", "iterate_trades"]

Row = TypeVar("Row")
Moment = datetime | int
TradeKind = Literal["trades", "agg_trades"]

PAGE_ROWS = 1_000
"""In a window, when the caller does not say. A venue with smaller pages is noticed by its first answer."""
IN_FLIGHT = 4
"""Pages under way at once; half of the threads a venue has by default, so that the other half stays free."""
ANSWER_WITHIN_S = 75.0
"""One question may wait so long for a request budget: longer than the minute most venues count in."""
LOST_AFTER_S = 15.0
"""A question that nobody answered is asked again so long after its time."""
RESTARTED_AFTER_S = 2.0
"""Nobody answers a question that the REST actor died with; it is asked again when the next one has not answered for so long."""
SETTLES_S = 10.0
"""Candles that ended less than this ago are left for the next run: venues still write them."""
UNREADABLE_MOST = 3
"""Answers in a row to one question that cannot be read; one may be a proxy's, more are the venue's."""
GAPS_NAMED = 1_000
LOOK_S = 0.25
"""How often `cancelled`, and whether the REST actor was restarted, is looked at while nothing comes."""
BACKOFF = BackoffPolicy(base_s=0.5, max_s=30.0)
LONGER = ("1M", "1w", "1d")
"""Candles that tell in one page where the next shorter ones can be."""
LONGER_ROWS = 100
"""Of them, at once."""
ZONES_NS = 86_400 * NS_PER_S
"""The days and months of a venue may begin at another midnight than that of UTC."""
SMALLEST_NS = 10**16
"""Times below (April 1970) are seconds or milliseconds by mistake."""


class Venue(Protocol):
    """What a download needs of a venue; `Connector.venue(name)` gives one."""

    name: str

    @property
    def rest(self) -> StableRef: ...


class Options(TypedDict, total=False):
    """What may be said about any download.

    Attributes:
        page_rows: rows asked for at once; the venue's own maximum by default.
        in_flight: pages under way at once.
        deadline_s: seconds from now after which it gives up; never by default. What is in a file then can be gone on with.
        cancelled: looked at four times a second; the download ends when it says True, and its report says incomplete.
        progress: called after every page; True shows a bar in the terminal (extra `simulator`).
        clock: replaced in tests.
    """

    page_rows: int | None
    in_flight: int
    deadline_s: float | None
    cancelled: Callable[[], bool] | None
    progress: Callable[[Progress], object] | bool
    clock: Clock | None


# ---------------------------------------------------------------- public


def download_candles(
    venue: Venue,
    symbol: Symbol | str,
    interval: str,
    start: Moment,
    end: Moment | None = None,
    *,
    to: Sink | Path | str,
    **options: Unpack[Options],
) -> Report:
    """Write all final candles that opened in [start, end) to a file; go on where an earlier run of the same download ended.

    Args:
        venue: `connector.venue(name)` of a started Connector.
        interval: e.g. "1m", "1w", "1M".
        start, end: aware datetimes or UTC nanoseconds; the end is exclusive, None means now.
        to: a name that ends in .csv or .parquet, or a sink.
        options: see `Options`.

    Returns:
        Report: with every gap named. `complete` False: cancelled, or the end lies in the future.

    Raises:
        InvalidRequest, UnknownSymbol, VenueRejected, Unsupported: as it stands it will be refused again.
        SettingsError: the file belongs to something else, or is damaged.
        NotConnected: the connector was stopped. RetryLater: the deadline has passed.
        WireFormatError: the venue answers, and not readably.
    """
    return iterate_candles(venue, symbol, interval, start, end, **options).write(to)


def iterate_candles(
    venue: Venue,
    symbol: Symbol | str,
    interval: str,
    start: Moment,
    end: Moment | None = None,
    **options: Unpack[Options],
) -> Download[Candle]:
    """As `download_candles`, to be iterated over: `for candle in iterate_candles(…)`. `report` tells how it went."""
    series = CandleSeries(Symbol.parse(symbol), interval)
    return Download(venue, series, start, end, **options)


def download_trades(
    venue: Venue,
    symbol: Symbol | str,
    start: Moment,
    end: Moment | None = None,
    *,
    kind: TradeKind = "agg_trades",
    to: Sink | Path | str,
    **options: Unpack[Options],
) -> Report:
    """As `download_candles`, for trades with times in [start, end).

    Args:
        kind: "agg_trades", which cost a venue little, or "trades", one by one.
    """
    return iterate_trades(venue, symbol, start, end, kind=kind, **options).write(to)


def iterate_trades(
    venue: Venue,
    symbol: Symbol | str,
    start: Moment,
    end: Moment | None = None,
    *,
    kind: TradeKind = "agg_trades",
    **options: Unpack[Options],
) -> Download[Any]:
    """As `download_trades`, to be iterated over; rows are `AggTrade` or `Trade`."""
    parsed = Symbol.parse(symbol)
    if kind not in ("trades", "agg_trades"):
        raise InvalidRequest(f"kind is {kind!r}; expected 'trades' or 'agg_trades'.")
    series: Series = TradeSeries(parsed) if kind == "trades" else AggTradeSeries(parsed)
    return Download(venue, series, start, end, **options)


# ---------------------------------------------------------------- questions under way


class _Cancelled(Exception):
    """The caller wants no more."""


class _Question:
    """One question on its way. `due_s`: when to send it (again); None while it is under way. `epoch`: of the REST actor then."""

    __slots__ = ("attempt", "due_s", "epoch", "error", "failures", "is_done", "lost_s", "query", "unreadable", "value")

    def __init__(self, query: Query) -> None:
        self.query = query
        self.attempt = self.failures = self.unreadable = self.epoch = 0
        self.due_s: float | None = 0.0
        self.lost_s = 0.0
        self.is_done = False
        self.value: Any = None
        self.error: BaseException | None = None


class _Asker:
    """Sends questions to a REST actor and asks them again for as long as the answer is "later". Used by one thread."""

    def __init__(
        self, venue: Venue, clock: Clock, deadline_s: float | None, cancelled: Callable[[], bool] | None
    ) -> None:
        self._venue, self._clock, self._cancelled = venue, clock, cancelled
        self._began_s = clock.monotonic_s()
        self._allowed_s = deadline_s
        self._answers: queue.SimpleQueue[tuple[_Question, int, Answer]] = queue.SimpleQueue()
        self._open: list[_Question] = []
        self._trouble: ConnectorError | None = None
        self.requests = self.retries = 0

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic_s() - self._began_s

    def ask(self, query: Query) -> Any:
        """Ask and wait; see `wait`."""
        return self.wait(self.begin(query))

    def begin(self, query: Query) -> _Question:
        """Send a question; `wait` for its answer later, in any order."""
        question = _Question(query)
        self._open.append(question)
        self._send_due()
        return question

    def wait(self, question: _Question) -> Any:
        """Its answer.

        Raises:
            ConnectorError: the answer is no; or the deadline passed (RetryLater); or the connector was stopped (NotConnected).
            _Cancelled: the caller said so.
        """
        while True:
            self._check(self._clock.monotonic_s())
            if question.is_done:
                break
            self._send_due()
            wake_s = min(each.lost_s if each.due_s is None else each.due_s for each in self._open)
            if self._allowed_s is not None:
                wake_s = min(wake_s, self._began_s + self._allowed_s)
            wait_s = min(max(0.001, wake_s - self._clock.monotonic_s()), LOOK_S)
            with suppress(queue.Empty):
                self._take(*self._answers.get(timeout=wait_s))
        if question.error is not None:
            raise question.error
        return question.value

    def _check(self, now_s: float) -> None:
        if self._cancelled is not None and self._cancelled():
            raise _Cancelled
        if self._allowed_s is not None and now_s - self._began_s >= self._allowed_s:
            raise RetryLater(
                f"the download was not over within {self._allowed_s:g} s; start it again to go on. "
                f"The last trouble: {self._trouble or 'none, it was under way'}"
            ) from self._trouble

    def _send_due(self) -> None:
        now_s, epoch = self._clock.monotonic_s(), self._venue.rest.epoch
        for question in self._open:
            if question.due_s is None and question.epoch != epoch:
                question.epoch, question.lost_s = epoch, min(question.lost_s, now_s + RESTARTED_AFTER_S)
            if question.due_s is None and now_s >= question.lost_s:
                self.retries += 1
                question.due_s = now_s
            if question.due_s is not None and now_s >= question.due_s:
                self._send(question, now_s)

    def _send(self, question: _Question, now_s: float) -> None:
        question.attempt += 1
        attempt, answers = question.attempt, self._answers

        def reply(answer: Answer) -> None:  # on a REST worker
            answers.put((question, attempt, answer))

        within_s = ANSWER_WITHIN_S
        if self._allowed_s is not None:
            within_s = max(0.001, min(within_s, self._began_s + self._allowed_s - now_s))
        question.due_s, question.lost_s = None, now_s + within_s + LOST_AFTER_S
        self.requests += 1
        rest = self._venue.rest
        question.epoch = rest.epoch
        try:
            rest.tell(Fetch(question.query, Priority.BACKFILL, within_s, reply))
        except pykka.ActorDeadError as refused:
            if not rest.is_alive():
                raise NotConnected(
                    "the connector was stopped; start the download again on a new one to go on."
                ) from refused
            self._later(
                question, NotConnected(f"the REST actor of {self._venue.name} takes no questions now: {refused}"), now_s
            )

    def _take(self, question: _Question, attempt: int, answer: Answer) -> None:
        if question.is_done or (attempt != question.attempt and answer.error is not None):
            return  # late, and of no use
        error = answer.error
        if error is None:
            self._end(question)
            question.value = answer.value
        elif isinstance(error, RetryLater):
            self._later(question, error, self._clock.monotonic_s())
        elif isinstance(error, WireFormatError) and question.unreadable + 1 < UNREADABLE_MOST:
            question.unreadable += 1
            self._later(question, error, self._clock.monotonic_s())
        else:
            self._end(question)
            question.error = error

    def _later(self, question: _Question, trouble: ConnectorError, now_s: float) -> None:
        self._trouble = trouble
        self.retries += 1
        question.failures += 1
        wait_s = BACKOFF.bound_s(question.failures + 1)
        named_s = trouble.retry_after_s if isinstance(trouble, RetryLater) else None
        question.due_s = now_s + max(wait_s, named_s or 0.0)

    def _end(self, question: _Question) -> None:
        question.is_done = True
        self._open.remove(question)


# ---------------------------------------------------------------- the download


class Download(Generic[Row]):
    """One history on its way: iterate over its rows, or `write` it. Once.

    Attributes:
        series: what is downloaded.
        report: how far it is; final once the iteration has ended.
    """

    def __init__(
        self, venue: Venue, series: Series, start: Moment, end: Moment | None, **options: Unpack[Options]
    ) -> None:
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise InvalidRequest(
                f"{', '.join(unknown)} is no option; expected some of {', '.join(Options.__annotations__)}."
            )
        self.series = series
        start_ns, end_ns = _ns("start", start), None if end is None else _ns("end", end)
        if end_ns is not None and end_ns <= start_ns:
            raise InvalidRequest(f"the range ends before it begins: start {start}, end {end}.")
        _ = series.steps  # a wrong interval is told now
        self._page_rows = options.get("page_rows")
        if self._page_rows is not None and self._page_rows < 1:
            raise InvalidRequest(f"page_rows is {self._page_rows}; expected 1 or more.")
        self._in_flight = options.get("in_flight", IN_FLIGHT)
        if self._in_flight < 1:
            raise InvalidRequest(f"in_flight is {self._in_flight}; expected 1 or more.")
        self._clock = options.get("clock") or SystemClock()
        self._asker = _Asker(venue, self._clock, options.get("deadline_s"), options.get("cancelled"))
        self._progress = options.get("progress") or None
        self._task = Task(venue.name, series.kind, str(series.symbol), series.interval, start_ns, end_ns)
        self._reached = Checkpoint(self._task)
        self._rows_before = self._pages = 0
        self._steps: Steps = series.steps
        self._sure_until = -1  # longer candles said that shorter ones may be found up to this key
        self._longer = _longer_than(series)
        self._settled_ns = 0
        self._complete = False
        self._begun = False

    # ------------------------------------------------------------ for callers

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[tuple[Row, ...]]:
        """Rows as they come, a page at a time. Raises as `download_candles` says."""
        for page in self._run():
            if page.rows:
                yield cast(tuple[Row, ...], page.rows)

    def write(self, to: Sink | Path | str) -> Report:
        """Write all of it, going on where an earlier run ended."""
        sink = sink_for(to)
        found = sink.open(self._task, self.series.columns)
        try:
            if found is not None:
                self._reached, self._rows_before, self._task = found, found.rows, found.task
            kept, run = self._reached, self._run()
            while True:
                try:
                    page = next(run, None)
                except (ConnectorError, KeyboardInterrupt):
                    sink.commit(kept, last=True)  # nothing was half written: what was judged is worth keeping
                    raise
                if page is None:
                    break
                sink.write(page.rows)
                kept = self._reached
                sink.commit(kept, last=False)
            sink.commit(kept, last=True)
        finally:
            sink.close()
        return self.report

    @property
    def report(self) -> Report:
        reached, asker = self._reached, self._asker
        return Report(
            task=self._task,
            rows=reached.rows,
            rows_before=self._rows_before,
            pages=self._pages,
            requests=asker.requests,
            retries=asker.retries,
            doubles=reached.doubles,
            missing=reached.missing,
            gap_count=reached.gap_count,
            gaps=reached.gaps,
            until="" if reached.next is None else self.series.key_text(reached.next),
            complete=self._complete,
            elapsed_s=asker.elapsed_s,
        )

    # ------------------------------------------------------------ the run

    def _run(self) -> Iterator[Page]:
        """Judged pages, in order."""
        if self._begun:
            raise InvalidRequest("a download runs once; make another one to go on.")
        self._begun = True
        with progress_bar(self._progress) as show:
            try:
                bounds = self._candle_bounds() if self.series.kind == "candles" else self._trade_bounds()
                if bounds is None:
                    self._complete = self._end_has_passed()
                    return
                whole = yield from self._pages_of(*bounds, show)
                self._complete = self._task.end_ns is None or (whole and self._end_has_passed())
            except _Cancelled:
                return

    def _end_has_passed(self) -> bool:
        return self._task.end_ns is None or self._settled_ns >= self._task.end_ns

    def _candle_bounds(self) -> Window | None:
        """The first and the last key to ask for; None when there is nothing to do."""
        steps, end_ns, now_ns = self._steps, self._task.end_ns, self._asker.ask(ServerTimeQuery())
        self._settled_ns = now_ns - round(SETTLES_S * NS_PER_S)
        if steps.firm:  # else where candles begin is not known for sure before the first is seen; `_final` looks then
            self._settled_ns = steps.at_or_before(self._settled_ns)
        first = self._task.start_ns if self._reached.next is None else self._reached.next
        last = self._settled_ns - 1 if end_ns is None else min(end_ns, self._settled_ns) - 1
        return Window(first, last) if first <= last else None

    def _trade_bounds(self) -> Window | None:
        """Ids of the first and the last trade; aggregates tell them by time."""
        symbol, end_ns, asker = self.series.symbol, self._task.end_ns, self._asker
        single = self.series.kind == "trades"
        self._settled_ns = asker.ask(ServerTimeQuery()) - round(SETTLES_S * NS_PER_S)
        first = self._reached.next
        if first is None:
            began: tuple[AggTrade, ...] = asker.ask(AggTradesQuery(symbol, start_ns=self._task.start_ns))
            if not began:
                return None
            first = began[0].first_trade_id if single else began[0].agg_id
        newest: tuple[AggTrade, ...] = asker.ask(AggTradesQuery(symbol))
        if not newest:
            return None
        last = newest[-1].last_trade_id if single else newest[-1].agg_id
        if (
            end_ns is not None
        ):  # asked after the newest: when there is none at or after the end, the newest is before it
            after: tuple[AggTrade, ...] = asker.ask(AggTradesQuery(symbol, start_ns=end_ns))
            if after:
                last = min(last, (after[0].first_trade_id if single else after[0].agg_id) - 1)
        return Window(first, last) if first <= last else None

    def _pages_of(self, first: int, last: int, show: Callable[[Progress], object]) -> Generator[Page, None, bool]:
        """Ask for all windows, a few at once, and judge the answers in order; False: the end is not final at the venue yet."""
        asker, series = self._asker, self.series
        began = self._task.start_ns if series.kind == "candles" else first
        course = Course(self._steps, first, last, self._page_rows or PAGE_ROWS)
        flight: deque[tuple[Window, _Question | None]] = deque()
        while True:
            while len(flight) < self._in_flight and (window := course.next()) is not None:
                flight.append((window, asker.begin(series.query(window, self._page_rows))))
            if not flight:
                return True
            window, question = flight.popleft()
            if question is None:
                page = leapt(self._steps, window)
            else:
                try:
                    answer = asker.wait(question)
                except (
                    InvalidRequest
                ):  # refused here, before it was sent: some venues bound a range by its length in time
                    if not course.narrow(window):
                        raise
                    flight.clear()  # what was to follow is planned again
                    continue
                page = self._judge(window, answer, course)
                if not page.rows:
                    self._leap(course, flight)
            self._note(page)
            newest = page.window.last if not page.rows else series.key(page.rows[-1])
            show(
                Progress(
                    self._task,
                    self._reached.rows,
                    self._pages,
                    (page.window.last + 1 - began) / (last + 1 - began),
                    series.key_text(newest),
                    self._reached.missing,
                    asker.retries,
                    asker.elapsed_s,
                )
            )
            yield page
            if page.window.last < window.last:
                return False

    def _judge(self, window: Window, answer: tuple[Any, ...], course: Course) -> Page:
        """The page of a window: what is missing in the answer is asked for by itself."""
        page = self._final(take(new_page(self._steps, window), window, answer, self.series.key), answer)
        came = len(page.rows)
        while page.holes:
            hole = page.holes[0]
            answer = self._asker.ask(self.series.query(hole, self._page_rows))
            before = len(page.rows)
            page = self._final(take(page, hole, answer, self.series.key), answer)
            if before == came and len(page.rows) > before > 0:
                course.fit(came)  # it has the rows and did not give them: its own page is smaller
        self._steps = page.steps
        return page

    def _final(self, page: Page, answer: tuple[Any, ...]) -> Page:
        """Up to the candle that is still open, or has just ended; one that the venue has not made yet is no gap."""
        if self.series.kind != "candles":
            return page
        end = page.steps.at_or_before(self._settled_ns)
        opened = (self.series.key(row) for row in answer if not self.series.is_final(row))
        return cut(page, min(end, next(opened, end)), self.series.key)

    def _leap(self, course: Course, flight: deque[tuple[Window, _Question | None]]) -> None:
        """After a window without any candle: let longer candles tell where the next one can be, instead of asking page by page.

        It asks for no more of them than any venue answers at once, so none can be missing at the front. Only longer candles that
        have ended prove by their absence that there is nothing.
        """
        while self._longer and self._sure_until < course.first <= course.last:
            longer = steps_of(self._longer[0])
            index = longer.index(course.first)
            window = Window(max(0, longer.key(index - 1)), min(course.last, longer.key(index + LONGER_ROWS - 1) - 1))
            query = CandlesQuery(self.series.symbol, self._longer[0], window.first, window.last)
            try:
                candles: tuple[Candle, ...] = self._asker.ask(query)
            except (Rejected, Unsupported):  # the venue has no such interval
                del self._longer[0]
                continue
            found = next((candle for candle in candles if candle.close_time_ns >= course.first), None)
            if found is not None:
                self._sure_until = found.close_time_ns
                to = found.open_time_ns
            else:  # a longer candle that is still open may be one the venue does not give
                to = min(window.last + 1, longer.at_or_before(self._settled_ns))
                self._sure_until = to
            left_out = course.leap(to - ZONES_NS)
            if left_out is not None:
                flight.append((left_out, None))
            return

    def _note(self, page: Page) -> None:
        """Count a page and its gaps."""
        reached, steps = self._reached, page.steps
        gaps, count = list(reached.gaps), reached.gap_count
        for gap in page.gaps:
            known = Window(gaps[-1].first, gaps[-1].last) if gaps and len(gaps) == count else None
            both = None if known is None else joined(steps, known, gap)
            if both is not None:
                gaps[-1] = self._gap(steps, both)
                continue
            count += 1
            if len(gaps) < GAPS_NAMED:
                gaps.append(self._gap(steps, gap))
        self._pages += 1
        self._reached = replace(
            reached,
            next=page.window.last + 1,
            rows=reached.rows + len(page.rows),
            doubles=reached.doubles + page.doubles,
            missing=reached.missing + sum(steps.count(gap) for gap in page.gaps),
            gap_count=count,
            gaps=tuple(gaps),
        )

    def _gap(self, steps: Steps, gap: Window) -> HistoryGap:
        text = self.series.key_text
        told = text(gap.first) if gap.first == gap.last else f"{text(gap.first)} to {text(gap.last)}"
        return HistoryGap(gap.first, gap.last, steps.count(gap), told)

    def __repr__(self) -> str:
        return f"<Download {self.report!r}>"


def _longer_than(series: Series) -> list[str]:
    if series.kind != "candles":
        return []
    origin = series.steps.key(0)
    length = series.steps.after(origin) - origin
    return [name for name in LONGER if (steps := steps_of(name)).after(steps.key(0)) - steps.key(0) > length]


def _ns(name: str, moment: Moment) -> int:
    """UTC nanoseconds of an engine's moment."""
    if isinstance(moment, datetime):
        try:
            return ns_from_datetime(moment)
        except ValueError as naive:
            raise InvalidRequest(f"{name}: {naive}") from naive
    if isinstance(moment, bool) or not isinstance(moment, int) or moment < 0:
        raise InvalidRequest(f"{name} is {moment!r}; expected an aware datetime, or UTC nanoseconds since 1970.")
    if 0 < moment < SMALLEST_NS:
        raise InvalidRequest(
            f"{name} is {moment}: in nanoseconds that is in early 1970. Were seconds or milliseconds meant?"
        )
    return moment
