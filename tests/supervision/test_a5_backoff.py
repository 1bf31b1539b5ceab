"""A5: backoff, probing and the breaker; nothing here waits for real."""

import pykka
import pytest

from connector.supervision import (
    DROP_NEWEST,
    DROP_OLDEST,
    KEEP,
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PROBE,
    REFUSE,
    Backoff,
    BreakerSpec,
    ChildSpec,
    EndKind,
    EventKind,
    InboxFull,
    InboxPolicy,
    Intensity,
    NotRunning,
    Reason,
    SupervisorSpec,
)
from connector.supervision import decisions as do

EXACT = Backoff(base_s=1.0, max_s=8.0, jitter=0.0)
ROOMY = Intensity(20, 1000)
SLOW = Backoff(base_s=5.0, max_s=5.0, jitter=0.0, first_at_once=False)


def delays(lab, path="/a"):
    return [event.delay_s for event in lab.events if event.path == path and event.kind is EventKind.BACKOFF]


def test_delays_grow_by_the_factor_up_to_the_cap():
    """Statement 39."""
    backoff = Backoff(base_s=0.5, max_s=30.0, jitter=0.0)
    waits = [backoff.delay_s(n, 0.0) for n in range(1, 11)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    not_at_once = Backoff(base_s=1.0, max_s=10.0, factor=3.0, jitter=0.0, first_at_once=False)
    assert [not_at_once.delay_s(n, 0.0) for n in range(1, 5)] == [1.0, 3.0, 9.0, 10.0]
    assert backoff.delay_s(10**6, 0.0) == 30.0


def test_restarts_in_a_row_wait_as_the_numbers_say(lab):
    """Statement 39."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    lab.start_plans["/a"] = [lab.Boom()] * 6
    lab.crash(tree.ref("/a"))
    lab.advance(60.0)
    assert delays(lab) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    starts = [event.at_s for event in lab.of(EventKind.STARTED) if event.path == "/a"]
    assert starts[1] - starts[0] == pytest.approx(31.0, abs=0.01)


def test_first_restart_comes_at_once(lab):
    """Statement 39."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    crashed_s = lab.runtime.monotonic_s()
    lab.crash(tree.ref("/a"))
    started = [event for event in lab.of(EventKind.STARTED) if event.path == "/a"][-1]
    assert started.epoch == 2 and started.at_s == crashed_s


def test_jitter_spreads_the_delays_and_the_cap_holds_after_it():
    """Statement 40."""
    backoff = Backoff(base_s=0.5, max_s=30.0, jitter=1.0)
    for failures in range(2, 20):
        spread = [backoff.delay_s(failures, chance / 10) for chance in range(10)]
        assert len(set(spread)) == 10
        assert all(0.0 < delay_s <= backoff.bound_s(failures) <= 30.0 for delay_s in spread)


def test_jitter_comes_from_the_injected_generator(lab):
    """Statements 40, 90."""
    tree = lab.tree(lab.child("a", backoff=Backoff(base_s=4.0, max_s=4.0, first_at_once=False)), intensity=ROOMY)
    draws = iter([0.25])
    lab.runtime.random = lambda: next(draws, 0.0)
    lab.crash(tree.ref("/a"))
    assert delays(lab)[0] == pytest.approx(4.0 * (1 - 0.25))


def test_count_is_reset_after_a_healthy_period_not_at_the_restart(lab):
    """Statement 41."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    assert EXACT.healthy_s == 4.5  # the mean of its bounds
    lab.crash(tree.ref("/a"))
    lab.advance(4.0)  # up, but not for long enough
    lab.crash(tree.ref("/a"))
    assert tree.snapshot().find("/a").failures == 2
    lab.advance(1.0 + 4.6)
    assert tree.snapshot().find("/a").failures == 0
    assert EventKind.HEALTHY in lab.kinds("/a")
    lab.crash(tree.ref("/a"))
    assert lab.state(tree, "/a") == "running"  # the next one is at once again


def test_reset_timer_armed_before_a_newer_failure_resets_nothing(lab):
    """Statement 42."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    lab.crash(tree.ref("/a"))  # arms a reset in 4.5 s
    lab.advance(4.0)
    lab.crash(tree.ref("/a"))  # newer; comes back after 1 s, its own reset is due 4.5 s later
    lab.advance(2.0)
    assert tree.snapshot().find("/a").failures == 2


def test_reset_of_an_older_incarnation_resets_nothing_even_while_a_newer_one_runs():
    """Statement 42."""
    state = do.initial_state(SupervisorSpec(children=(ChildSpec("a", object),)))
    crashed = Reason(EndKind.CRASHED)
    for event in (do.Begin(), do.Started("a", 1), do.Ended("a", 1, crashed), do.Started("a", 2), do.Healthy("a", 1)):
        state, _ = do.decide(state, event, 0.0)
    assert state.children["a"].failures == 1
    state, _ = do.decide(state, do.Healthy("a", 2), 20.0)
    assert state.children["a"].failures == 0


@pytest.mark.parametrize("strategy", [ONE_FOR_ONE, ONE_FOR_ALL])
def test_timer_of_a_wait_that_was_cut_short_does_not_shorten_the_next(lab, strategy):
    """Statements 44, 47."""
    tree = lab.tree(lab.child("a", backoff=SLOW), strategy=strategy, intensity=ROOMY)
    lab.crash(tree.ref("/a"))  # due in 5 s
    lab.advance(1.0)
    assert tree.root.proxy().retry_now("a").get() is True
    lab.settle()
    lab.crash(tree.ref("/a"))  # due 5 s from now; the first timer fires a second before that
    lab.advance(4.5)
    assert lab.state(tree, "/a") == "restarting"
    lab.advance(0.6)
    assert lab.state(tree, "/a") == "running"


def test_failing_init_backs_off_like_a_failing_run(lab):
    """Statement 43."""
    tree = lab.tree(*(lab.child(id, backoff=EXACT) for id in "ab"), intensity=ROOMY)
    lab.start_plans["/a"] = [lab.Boom(), lab.Boom()]
    lab.crash(tree.ref("/a"))
    for _ in range(3):
        lab.crash(tree.ref("/b"))
        lab.advance(2.1)
    assert delays(lab, "/a")[:2] == delays(lab, "/b")[:2] == [1.0, 2.0]


def test_stop_during_backoff_returns_at_once_and_nothing_starts_afterwards(lab):
    """Statement 44."""
    tree = lab.tree(*(lab.child(id, backoff=Backoff(base_s=8, max_s=8, jitter=0, first_at_once=False)) for id in "ab"),
                    intensity=ROOMY)  # fmt: skip
    lab.crash(tree.ref("/a"))
    lab.crash(tree.ref("/b"))
    lab.clear()
    before_s = lab.runtime.monotonic_s()
    assert tree.ref("/a").stop() is True
    tree.stop()
    assert lab.runtime.monotonic_s() - before_s < 0.5
    lab.advance(100.0)
    assert lab.lines("init", "start") == []


def test_during_backoff_every_question_is_answered(lab):
    """Statement 45."""
    tree = lab.tree(lab.child("a", backoff=EXACT), lab.child("b"), intensity=ROOMY)
    lab.crash(tree.ref("/a"))
    lab.crash(tree.ref("/a"))
    root = tree.root.proxy()

    info = {info.id: info for info in root.which_children().get()}
    assert info["a"].state == "restarting" and info["b"].state == "running"
    assert info["a"].next_attempt_s == pytest.approx(lab.runtime.monotonic_s() + 1.0, abs=0.01)
    assert root.count_children().get() == {"specs": 2, "active": 1, "supervisors": 0, "workers": 2}
    assert root.child_spec("a").get().backoff == EXACT
    assert tree.snapshot().find("/a").next_attempt_s == pytest.approx(1.0, abs=0.01)
    assert "next attempt in" in tree.render()


def waiting(lab, **inbox):
    tree = lab.tree(lab.child("a", backoff=SLOW, inbox=InboxPolicy(**inbox)), intensity=ROOMY)
    lab.crash(tree.ref("/a"))
    assert lab.state(tree, "/a") == "restarting"
    return tree.ref("/a")


def test_messages_during_backoff_are_kept_up_to_the_bound_and_delivered_in_order(lab):
    """Statement 46."""
    ref = waiting(lab, capacity=3, during_backoff=KEEP)
    for number in range(3):
        ref.tell(number)
    with pytest.raises(InboxFull):
        ref.tell("one too many")
    lab.advance(6.0)
    assert lab.lines("got") == ["got a#2 0", "got a#2 1", "got a#2 2"]


@pytest.mark.parametrize(("rule", "kept"), [(DROP_OLDEST, [2, 3, 4]), (DROP_NEWEST, [0, 1, 2])])
def test_messages_during_backoff_can_be_dropped_and_counted(lab, rule, kept):
    """Statement 46."""
    ref = waiting(lab, capacity=3, during_backoff=rule)
    for number in range(5):
        ref.tell(number)
    assert ref._cell.tree.snapshot().find("/a").inbox_dropped == 2
    assert ref._cell.tree.dead_letters.count == 2
    lab.advance(6.0)
    assert lab.lines("got") == [f"got a#2 {number}" for number in kept]
    for number in range(3):
        ref.tell(number)
    with pytest.raises(InboxFull):  # once it runs the ordinary rule holds again
        ref.tell("one too many")


def test_messages_during_backoff_can_be_refused(lab):
    """Statement 46."""
    ref = waiting(lab, during_backoff=REFUSE)
    with pytest.raises(NotRunning):
        ref.tell("lost otherwise")
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("hangs otherwise")
    future = ref.ask("as a future", block=False)
    with pytest.raises(NotRunning):
        future.get(timeout=0)
    lab.advance(6.0)
    assert ref.ask("accepted again") == "accepted again"


def test_ask_during_backoff_ends_by_its_timeout_at_the_latest(lab):
    """Statement 46."""
    ref = waiting(lab, during_backoff=KEEP)
    with pytest.raises(pykka.Timeout):
        ref.ask("too early", timeout=1.0)
    lab.advance(10.0)
    assert lab.lines("got") == []  # and is not executed afterwards


def test_retry_now_and_reset_count(lab):
    """Statement 47."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    root, ref = tree.root.proxy(), tree.ref("/a")
    assert root.retry_now("a").get() is False and root.reset_count("a").get() is False
    lab.crash(ref)
    lab.crash(ref)
    assert lab.state(tree, "/a") == "restarting"
    assert root.retry_now("a").get() is True
    lab.settle()
    assert lab.state(tree, "/a") == "running" and ref.epoch == 3
    lab.advance(2.0)
    assert ref.epoch == 3  # the wait it cut short starts nothing later
    assert root.reset_count("a").get() is True and tree.snapshot().find("/a").failures == 0


def test_number_of_failures_in_a_row_escalates_whatever_the_window(lab):
    """Statement 48."""
    tree = lab.tree(lab.child("a", backoff=Backoff(base_s=1.0, max_s=8.0, max_in_a_row=3)), intensity=ROOMY)
    lab.start_plans["/a"] = [lab.Boom()] * 10
    lab.crash(tree.ref("/a"))
    lab.advance(100.0)
    assert tree.ended and tree.reason.kind is EndKind.GAVE_UP and "4 times in a row" in tree.reason.text


def test_group_stops_its_siblings_before_the_wait_and_waits_once(lab):
    """Statement 49."""
    tree = lab.tree(*lab.children("abc", backoff=SLOW), strategy=ONE_FOR_ALL, intensity=ROOMY)
    lab.clear()
    lab.crash(tree.ref("/b"))
    assert lab.lines() == ["stop b#1", "stop c#1", "stop a#1"]
    assert {lab.state(tree, f"/{id}") for id in "abc"} == {"restarting"}
    lab.advance(4.9)
    assert lab.lines("start") == []
    lab.advance(0.2)
    assert lab.lines("start") == ["start a#2", "start b#2", "start c#2"]
    assert len(delays(lab, "/b")) == 1 and not delays(lab, "/a")


class Banned(Exception):
    def __init__(self, retry_after_s):
        self.retry_after_s = retry_after_s


def test_failure_may_carry_its_own_least_delay(lab):
    """Statement 50."""
    tree = lab.tree(lab.child("a", backoff=EXACT), intensity=ROOMY)
    lab.crash(tree.ref("/a"), Banned(120.0))
    assert delays(lab) == [120.0]
    lab.advance(119.9)
    assert lab.state(tree, "/a") == "restarting"
    lab.advance(0.2)
    assert lab.state(tree, "/a") == "running"


@pytest.mark.parametrize("odd", [float("nan"), -5.0, "soon", None])
def test_a_least_delay_that_is_none_changes_nothing(lab, odd):
    """Statement 50."""
    tree = lab.tree(lab.child("a"))
    lab.crash(tree.ref("/a"), Banned(odd))
    assert tree.ref("/a").epoch == 2


def test_breaker_turns_a_crash_loop_into_slow_probing(lab):
    """Statements 39, 48."""
    quick = Backoff(base_s=0.01, max_s=0.01, reset_after_s=5.0)
    feed = lab.child("feed", backoff=quick, breaker=BreakerSpec(fail_max=3, probe_s=30.0))
    tree = lab.tree(feed, lab.child("orders"), intensity=Intensity(3, 5))
    lab.start_plans["/feed"] = [lab.Boom("venue is down")] * 9
    lab.crash(tree.ref("/feed"))
    lab.advance(1.0)
    feed = tree.snapshot().find("/feed")
    assert (feed.breaker, feed.state, feed.failures) == ("open", "probing", 3)

    lab.advance(300.0)  # far more failures than the budget allows, and nobody gives up
    assert not tree.ended and tree.ref("/orders").epoch == 1
    assert tree.ref("/feed").is_alive() and tree.snapshot().find("/feed").state == "running"
    lab.advance(10.0)
    assert tree.snapshot().find("/feed").breaker == "closed"


def test_half_open_breaker_opens_again_at_the_first_failure(lab):
    """Statements 39, 42."""
    quick = Backoff(base_s=0.01, max_s=0.01, reset_after_s=5.0)
    tree = lab.tree(lab.child("a", backoff=quick, breaker=BreakerSpec(2, 10.0)), on_limit=PROBE)
    for _ in range(2):
        lab.crash(tree.ref("/a"))
    assert tree.snapshot().find("/a").breaker == "open"
    lab.advance(10.1)
    assert tree.snapshot().find("/a").breaker == "half-open" and lab.state(tree, "/a") == "running"
    lab.crash(tree.ref("/a"))
    assert tree.snapshot().find("/a").breaker == "open"
    lab.advance(10.1 + 5.1)
    assert tree.snapshot().find("/a").breaker == "closed"


def test_group_wait_can_be_cut_short_or_ended_by_hand(lab):
    """Statements 47, 49."""
    tree = lab.tree(*lab.children("ab", backoff=SLOW), strategy=ONE_FOR_ALL, intensity=ROOMY)
    root = tree.root.proxy()
    lab.crash(tree.ref("/a"))
    assert root.retry_now("b").get() is True
    lab.settle()
    assert [tree.ref(f"/{id}").epoch for id in "ab"] == [2, 2]
    lab.crash(tree.ref("/a"))
    assert root.terminate_child("a").get() is True
    assert root.terminate_child("b").get() is True
    lab.advance(20.0)
    assert [lab.state(tree, f"/{id}") for id in "ab"] == ["stopped", "stopped"]
    assert root.restart_child("a").get().is_alive()
