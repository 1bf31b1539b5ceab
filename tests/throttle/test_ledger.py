"""Budgets shared by threads: the urgent first, nobody starved, silence kept when the venue asks for it (F53-F56)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.clock import ClockOffset
from connector.domain.wire import BudgetLimit, Charge
from connector.errors import Banned, InvalidRequest, RateLimited, RetryLater, SettingsError
from connector.testing.clocks import FakeClock
from connector.throttle import Grant, Ledger, Priority

WEIGHT = BudgetLimit("WEIGHT", 100, 60.0, False, "test")
ORDERS = BudgetLimit("ORDERS", 10, 10.0, False, "test")
DEADLINE_S = 20.0


def one(points: int, budget: str = "WEIGHT") -> tuple[Charge, ...]:
    return (Charge(budget, points),)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock) -> Ledger:
    """One thread: waiting moves the clock."""
    return Ledger([WEIGHT, ORDERS], clock, headroom=1.0, wait=lambda condition, seconds: clock.advance(seconds))


class Line:
    """Real threads waiting in line on a clock moved by hand. `wait_for` returns once so many are asleep."""

    def __init__(self, **options) -> None:
        self.clock = FakeClock()
        self._asleep = threading.Semaphore(0)
        self.ledger = Ledger([WEIGHT, ORDERS], self.clock, headroom=1.0, wait=self._wait, **options)
        self.order: list[str] = []
        self.served = threading.Semaphore(0)
        self.errors: list[Exception] = []
        self._threads: list[threading.Thread] = []

    def _wait(self, condition: threading.Condition, seconds: float) -> None:
        self._asleep.release()
        condition.wait(3 * DEADLINE_S)  # only a notification gets anybody out in time

    def join(self, name: str, points: int, priority: Priority, *, for_s: float = 1_000.0, cancelled=None) -> None:
        """Start a thread that reserves, and wait until it is asleep in line."""

        def reserve() -> None:
            try:
                with self.ledger.reserve(one(points), priority, self.clock.monotonic_s() + for_s, cancelled):
                    self.order.append(name)
                self.served.release()
            except Exception as refused:
                self.errors.append(refused)

        thread = threading.Thread(target=reserve, name=name, daemon=True)  # one that waits must not hold up the end
        self._threads.append(thread)
        thread.start()
        assert self._asleep.acquire(timeout=DEADLINE_S)

    def finish(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), f"{thread.name} still waits"


def fill(ledger: Ledger, clock: FakeClock, points: int = 100) -> Grant:
    got = ledger.try_grant(one(points), Priority.CANCEL, clock.monotonic_s())
    assert isinstance(got, Grant)
    return got


def test_a_window_turns_in_time_though_the_clocks_were_read_a_moment_before():
    clock, offset = FakeClock(), ClockOffset(resolution_ns=0, disagreement_ns=0)
    now_ns = clock.time_ns()
    offset.add(now_ns, now_ns, now_ns)
    orders = BudgetLimit("ORDERS", 10, 10.0, True, "test")
    ledger = Ledger([orders], clock, offset=offset, headroom=1.0)
    clock.advance(10.0 - now_ns / 1e9 % 10.0 - 0.1)  # a tenth of a second before the venue's window ends

    for _ in range(10):
        assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), Grant)
        clock.advance(0.001)
    assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), float)
    clock.advance(0.08)
    assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), float)
    clock.advance(0.02)
    late = ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s())
    assert isinstance(late, float), "what is on its way may still land in the new window"
    offset.invalidate()
    assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), float)


def test_the_end_of_a_window_frees_what_was_answered_in_it_though_the_clocks_were_read_a_moment_before():
    clock, offset = FakeClock(), ClockOffset(resolution_ns=0, disagreement_ns=0)
    now_ns = clock.time_ns()
    offset.add(now_ns, now_ns, now_ns)
    ledger = Ledger([BudgetLimit("ORDERS", 10, 10.0, True, "test")], clock, offset=offset, headroom=1.0)
    clock.advance(20.0 - now_ns / 1e9 % 10.0 - 0.1)
    fill_orders = ledger.try_grant(one(10, "ORDERS"), Priority.CANCEL, clock.monotonic_s())
    assert isinstance(fill_orders, Grant)
    fill_orders.settle()
    clock.advance(0.09)
    assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), float)
    clock.advance(0.02)
    assert isinstance(ledger.try_grant(one(1, "ORDERS"), Priority.CANCEL, clock.monotonic_s()), Grant)


def test_free_budget_is_granted_at_once_and_counted(ledger, clock):
    grant = ledger.reserve(one(40), Priority.READ, clock.monotonic_s() + 1.0)
    grant.settle()
    state = ledger.state()
    assert (state.budgets[0].used, state.granted, state.delayed, state.in_flight) == (40, 1, 0, 0)


def test_spent_budget_makes_the_caller_wait_just_long_enough(ledger, clock):
    fill(ledger, clock).settle()
    start_s = clock.monotonic_s()
    ledger.reserve(one(10), Priority.READ, start_s + 100.0).settle()
    assert 60.0 <= clock.monotonic_s() - start_s <= 61.0
    assert ledger.state().delayed == 1


def test_deadline_ends_the_wait_and_says_when_it_would_be_free(ledger, clock):
    fill(ledger, clock).settle()
    with pytest.raises(RateLimited, match="nothing was sent") as refused:
        ledger.reserve(one(10), Priority.READ, clock.monotonic_s() + 5.0)
    assert 54.0 <= refused.value.retry_after_s <= 56.0
    assert ledger.state().refused == 1
    assert sum(ledger.state().waiting.values()) == 0


def test_try_says_how_long_and_takes_nothing(ledger, clock):
    fill(ledger, clock).settle()
    wait_s = ledger.try_reserve(one(10), Priority.READ, clock.monotonic_s())
    assert 59.0 <= wait_s <= 61.0
    clock.advance(wait_s)
    assert ledger.try_reserve(one(10), Priority.READ, clock.monotonic_s()) == 0.0


def test_request_is_charged_to_all_of_its_budgets_or_to_none(ledger, clock):
    both = (Charge("WEIGHT", 1), Charge("ORDERS", 10))
    assert ledger.try_reserve(both, Priority.PLACE, clock.monotonic_s()) == 0.0
    assert ledger.try_reserve(both, Priority.PLACE, clock.monotonic_s()) > 0.0
    assert [budget.used for budget in ledger.state().budgets] == [1, 10]


def test_same_budget_named_twice_is_added_up(ledger, clock):
    with pytest.raises(InvalidRequest):
        ledger.try_reserve(one(60) + one(60), Priority.READ, clock.monotonic_s())


def test_request_above_the_whole_limit_is_refused_for_good(ledger, clock):
    with pytest.raises(InvalidRequest, match="101 of WEIGHT"):
        ledger.try_grant(one(101), Priority.READ, clock.monotonic_s())


def test_charge_to_a_budget_without_a_limit_passes_and_is_counted(ledger, clock):
    assert ledger.try_reserve(one(5, "NEW_KIND"), Priority.READ, clock.monotonic_s()) == 0.0
    assert ledger.state().unknown == 1


def test_line_is_served_by_priority_then_by_arrival():
    line = Line()
    full = fill(line.ledger, line.clock)
    for name, priority in [
        ("backfill", Priority.BACKFILL),
        ("read 1", Priority.READ),
        ("book", Priority.BOOK_SYNC),
        ("read 2", Priority.READ),
        ("place", Priority.PLACE),
        ("cancel", Priority.CANCEL),
    ]:
        line.join(name, 60, priority)
    assert line.ledger.state().waiting[Priority.READ] == 2
    full.settle()
    for _ in range(6):  # 60 of 100 points: one a window
        line.clock.advance(61.0)
        line.ledger.wake()
        assert line.served.acquire(timeout=DEADLINE_S)
    line.finish()
    assert line.order == ["cancel", "place", "book", "read 1", "read 2", "backfill"]


def test_cheap_requests_do_not_overtake_a_dear_one_of_their_class():
    line = Line()
    fill(line.ledger, line.clock, 90).settle()
    line.join("dear", 50, Priority.READ)
    assert line.ledger.try_reserve(one(1), Priority.READ, line.clock.monotonic_s()) > 0.0
    assert line.ledger.try_reserve(one(1), Priority.CANCEL, line.clock.monotonic_s()) == 0.0
    line.clock.advance(61.0)
    line.ledger.wake()
    line.finish()
    assert line.order == ["dear"]


def test_waiting_for_one_budget_does_not_hold_up_another():
    line = Line()
    fill(line.ledger, line.clock).settle()
    line.join("read", 10, Priority.READ)
    assert line.ledger.try_reserve(one(1, "ORDERS"), Priority.BACKFILL, line.clock.monotonic_s()) == 0.0
    line.clock.advance(61.0)
    line.ledger.wake()
    line.finish()


def test_backfill_leaves_room_for_a_cancel(ledger, clock):
    while ledger.try_reserve(one(5), Priority.BACKFILL, clock.monotonic_s()) == 0.0:
        pass
    assert ledger.state().budgets[0].used == 80
    assert ledger.try_reserve(one(15), Priority.CANCEL, clock.monotonic_s()) == 0.0


def test_unsettled_grant_counts_until_it_is_settled_or_lost(ledger, clock):
    grant = fill(ledger, clock)
    assert ledger.state().in_flight == 1
    clock.advance(9.0)
    grant.settle()
    grant.settle()
    clock.advance(59.0)
    assert ledger.state().budgets[0].used == 100  # landed at the latest 59 s ago
    clock.advance(2.0)
    assert ledger.state().budgets[0].used == 0
    fill(ledger, clock)
    clock.advance(10.5)
    assert (ledger.state().in_flight, ledger.state().expired) == (0, 1)


def test_a_request_whose_answer_is_waited_for_no_longer_counts_as_landed_two_seconds_later(ledger, clock):
    grant = fill(ledger, clock)
    clock.advance(9.0)
    grant.lose()
    clock.advance(1.5)  # past the moment at which an unsettled grant is given up
    assert ledger.state().in_flight == 1
    clock.advance(0.6)
    assert (ledger.state().in_flight, ledger.state().expired) == (0, 1)
    clock.advance(59.0)
    assert ledger.state().budgets[0].used == 100
    clock.advance(2.0)
    assert ledger.state().budgets[0].used == 0


def test_settling_wakes_whoever_waits_for_it():
    line = Line(flight_s=10_000.0)
    grant = fill(line.ledger, line.clock)
    line.join("read", 10, Priority.READ, for_s=10_000.0)
    line.clock.advance(500.0)
    grant.settle()
    line.clock.advance(61.0)
    line.ledger.wake()
    line.finish()
    assert line.order == ["read"]


def test_headers_of_the_venue_take_the_room_of_other_programs(ledger, clock):
    grant = ledger.try_grant(one(10), Priority.READ, clock.monotonic_s())
    grant.settle({"WEIGHT": 60, "UNKNOWN": 5})
    assert ledger.state().budgets[0].used == 60
    ledger.observe_used({"WEIGHT": 95, "ORDERS": 10}, clock.monotonic_s())
    assert [budget.used for budget in ledger.state().budgets] == [95, 10]
    assert ledger.try_reserve(one(10), Priority.CANCEL, clock.monotonic_s()) > 0.0


def test_rate_limited_budget_stays_silent_for_the_time_named_and_the_others_go_on(ledger, clock):
    ledger.penalize(RateLimited("429", retry_after_s=30.0), clock.monotonic_s(), ["WEIGHT"])
    assert ledger.try_reserve(one(1), Priority.CANCEL, clock.monotonic_s()) == pytest.approx(31.0)
    assert ledger.try_reserve(one(1, "ORDERS"), Priority.PLACE, clock.monotonic_s()) == 0.0
    clock.advance(31.0)
    assert ledger.try_reserve(one(1), Priority.CANCEL, clock.monotonic_s()) == 0.0


def test_rate_limit_without_name_or_time_stops_every_budget_for_a_window(ledger, clock):
    ledger.penalize(RateLimited("429"), clock.monotonic_s())
    assert ledger.try_reserve(one(1), Priority.CANCEL, clock.monotonic_s()) == pytest.approx(61.0)
    assert ledger.try_reserve(one(1, "ORDERS"), Priority.PLACE, clock.monotonic_s()) == pytest.approx(11.0)


def test_ban_stops_everything_until_its_end_even_what_no_limit_is_known_for(ledger, clock):
    ledger.penalize(Banned("418", retry_after_s=300.0), clock.monotonic_s())
    ledger.penalize(Banned("418", retry_after_s=1.0), clock.monotonic_s())
    for charges in (one(1), one(1, "ORDERS"), one(1, "NEW_KIND"), ()):
        assert ledger.try_reserve(charges, Priority.CANCEL, clock.monotonic_s()) >= 300.0
    with pytest.raises(Banned) as refused:
        ledger.reserve(one(1), Priority.CANCEL, clock.monotonic_s() + 10.0)
    assert refused.value.retry_after_s == pytest.approx(301.0)
    assert "BANNED for 301s" in repr(ledger)
    start_s = clock.monotonic_s()
    ledger.reserve(one(1), Priority.CANCEL, start_s + 400.0)
    assert clock.monotonic_s() - start_s >= 301.0


def test_ban_without_a_time_lasts_two_minutes(ledger, clock):
    ledger.penalize(Banned("418"), clock.monotonic_s())
    assert ledger.state().banned_s >= 120.0


def test_penalty_is_told_at_once_to_those_who_cannot_wait_that_long():
    line = Line()
    fill(line.ledger, line.clock).settle()
    line.join("patient", 10, Priority.READ, for_s=1_000.0)
    line.join("hurried", 10, Priority.READ, for_s=100.0)
    line.ledger.penalize(RateLimited("429", retry_after_s=200.0), line.clock.monotonic_s())
    line._threads[1].join(DEADLINE_S)
    assert isinstance(line.errors[0], RateLimited)
    assert line.errors[0].retry_after_s >= 200.0
    line.clock.advance(202.0)
    line.ledger.wake()
    line.finish()
    assert line.order == ["patient"]


def test_cancelled_request_leaves_the_line_and_the_next_moves_up():
    line, stop = Line(), threading.Event()
    fill(line.ledger, line.clock).settle()
    line.join("first", 60, Priority.READ, cancelled=stop.is_set)
    line.join("second", 60, Priority.READ)
    stop.set()
    line.ledger.wake()
    line._threads[0].join(DEADLINE_S)
    assert "cancelled" in str(line.errors[0])
    line.clock.advance(61.0)
    line.ledger.wake()
    line.finish()
    assert line.order == ["second"]


def test_next_in_line_is_woken_when_the_head_leaves():
    line, stop = Line(), threading.Event()
    fill(line.ledger, line.clock).settle()
    line.join("first", 60, Priority.READ, cancelled=stop.is_set)
    line.join("second", 60, Priority.READ)
    stop.set()
    with line.ledger._lock:
        line.ledger._line[0].changed.notify()  # the head alone, as its own timeout would
    line._threads[0].join(DEADLINE_S)
    assert line._asleep.acquire(timeout=DEADLINE_S), "the second must set its own alarm now"
    line.ledger.close()
    line.finish()


def test_cancellation_is_seen_without_a_wake(clock):
    waits: list[float] = []

    def wait(condition: threading.Condition, seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    ledger = Ledger([WEIGHT], clock, headroom=1.0, wait=wait)
    fill(ledger, clock).settle()
    with pytest.raises(RetryLater, match="cancelled"):
        ledger.reserve(one(1), Priority.READ, clock.monotonic_s() + 60.0, lambda: len(waits) >= 3)
    assert max(waits) <= 0.25


def test_closed_ledger_refuses_those_in_line_and_those_to_come():
    line = Line()
    fill(line.ledger, line.clock).settle()
    line.join("read", 10, Priority.READ)
    line.ledger.close()
    line.finish()
    assert "closed" in str(line.errors[0])
    with pytest.raises(RetryLater, match="closed"):
        line.ledger.try_reserve(one(1), Priority.CANCEL, line.clock.monotonic_s())


def test_line_is_bounded():
    line = Line(max_waiting=2)
    fill(line.ledger, line.clock).settle()
    line.join("1", 1, Priority.READ)
    line.join("2", 1, Priority.READ)
    with pytest.raises(RateLimited, match="2 requests are waiting"):
        line.ledger.reserve(one(1), Priority.READ, line.clock.monotonic_s() + 1.0)
    line.ledger.close()
    line.finish()


def test_new_limits_apply_at_once_and_keep_what_was_spent(ledger, clock):
    fill(ledger, clock, 80).settle()
    ledger.apply_limits([BudgetLimit("WEIGHT", 50, 60.0, False, "new"), ORDERS])
    assert ledger.try_reserve(one(1), Priority.CANCEL, clock.monotonic_s()) > 0.0
    ledger.apply_limits([BudgetLimit("WEIGHT", 500, 60.0, False, "new")])
    assert ledger.try_reserve(one(420), Priority.CANCEL, clock.monotonic_s()) == 0.0


def test_a_budget_the_venue_did_not_name_keeps_its_limit(ledger, clock):
    ledger.apply_limits([BudgetLimit("WEIGHT", 500, 60.0, False, "new")])
    assert ledger.names() == {"WEIGHT", "ORDERS"}
    with pytest.raises(InvalidRequest, match="ORDERS"):
        ledger.try_reserve(one(50, "ORDERS"), Priority.CANCEL, clock.monotonic_s())


def test_limit_with_a_new_window_carries_spending_and_silence_over(ledger, clock):
    fill(ledger, clock, 80).settle()
    ledger.penalize(RateLimited("429", retry_after_s=5.0), clock.monotonic_s())
    ledger.apply_limits([BudgetLimit("WEIGHT", 100, 30.0, True, "new")])
    assert ledger.state().budgets[0].used == 80
    assert ledger.state().budgets[0].blocked_s == pytest.approx(6.0)


def test_raised_limit_lets_those_in_line_go():
    line = Line()
    fill(line.ledger, line.clock).settle()
    line.join("read", 10, Priority.READ)
    line.ledger.apply_limits([BudgetLimit("WEIGHT", 500, 60.0, False, "new")])
    line.finish()
    assert line.order == ["read"]


def test_two_limits_of_one_name_are_refused(clock):
    with pytest.raises(SettingsError, match="ORDERS"):
        Ledger([ORDERS, ORDERS], clock)


def test_repr_reads_like_a_status_line(ledger, clock):
    fill(ledger, clock, 30).settle()
    assert repr(ledger) == "<Ledger OPEN WEIGHT=30/100 ORDERS=0/10 waiting=0 in_flight=0>"


def test_aligned_window_opens_by_the_venue_clock(clock):
    offset = ClockOffset(resolution_ns=0, disagreement_ns=0)
    ledger = Ledger([BudgetLimit("WEIGHT", 100, 60.0, True, "test")], clock, headroom=1.0)
    ledger.use_offset(offset)
    now_ns = clock.time_ns()
    into_window_ns = 50_000_000_000
    offset.add(now_ns - 10_000_000, now_ns, now_ns // 60_000_000_000 * 60_000_000_000 + into_window_ns - 5_000_000)
    fill(ledger, clock).settle()
    wait_s = ledger.try_reserve(one(1), Priority.READ, clock.monotonic_s())
    assert wait_s == pytest.approx(10.0, abs=0.1)
    clock.advance(wait_s + 0.01)  # the offset's bound has grown by the drift of ten seconds
    assert ledger.try_reserve(one(100), Priority.CANCEL, clock.monotonic_s()) == 0.0


def test_many_threads_share_one_budget_without_overdrawing_it():
    clock = FakeClock()
    ledger = Ledger(
        [BudgetLimit("WEIGHT", 1_000, 60.0, False, "test")], clock, headroom=1.0, wait=lambda c, s: c.wait(0.001)
    )
    granted = []

    def ask(number: int) -> None:
        for _ in range(20):
            try:
                with ledger.reserve(one(7), Priority(number % 5), clock.monotonic_s() - 1.0):
                    granted.append(7)
            except RateLimited:
                pass

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    state = ledger.state()
    assert sum(granted) == state.budgets[0].used <= 1_000
    assert state.granted + state.refused == 16 * 20
    assert state.in_flight == 0
    assert sum(state.waiting.values()) == 0
