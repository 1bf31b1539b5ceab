"""Consumers get every value once, in one order; none of them holds up a thread that is not its own."""

from __future__ import annotations

import threading

import pytest

from connector.aggregate.outlets import AT_ONCE, BEHIND_AT_MOST, CALLBACK_WITHIN_S, Outlets
from connector.domain import Gap, Symbol
from connector.domain.topics import Topic, TopicKind
from connector.errors import InvalidRequest
from connector.testing.clocks import FakeClock
from connector.venue.delivery import Closed, Overflow, TopicState


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def outlets(clock):
    topic = Topic(TopicKind.BOOK, Symbol("BTC", "USDT"))
    return Outlets(topic, "alpha+beta", clock, lambda: (TopicState.LIVE, ""), threading.Condition())


def test_values_reach_queues_and_callbacks_in_the_order_they_were_posted(outlets):
    got = []
    queue = outlets.add(None, None, 10, Overflow.REPORT_GAP)
    outlets.add(got.append, None, 10, "latest_wins")

    outlets.post((1, 2))
    outlets.post((3,))
    outlets.hand_over()

    assert got == [1, 2, 3]
    assert [queue.get(0) for _ in range(3)] == [1, 2, 3]


def test_a_thread_that_finds_a_callback_running_leaves_its_value_and_goes_on(outlets):
    got, inside, go_on = [], threading.Event(), threading.Event()

    def slow(value):
        got.append((value, threading.current_thread().name))
        inside.set()
        go_on.wait(10.0)

    outlets.add(slow, None, 10, Overflow.REPORT_GAP)
    outlets.post((1,))
    first = threading.Thread(target=outlets.hand_over, name="first", daemon=True)
    first.start()
    inside.wait(10.0)

    outlets.post((2, 3))
    outlets.hand_over()  # returns, though the callback does not
    went_on_with = list(got)
    go_on.set()
    first.join(10.0)

    assert went_on_with == [(1, "first")]
    assert got == [(1, "first"), (2, "first"), (3, "first")]


def test_a_callback_that_does_not_return_is_taken_off_and_the_others_never_notice(outlets, clock):
    got, inside, go_on = [], threading.Event(), threading.Event()
    hung = outlets.add(lambda value: (inside.set(), go_on.wait(10.0)), None, 10, Overflow.REPORT_GAP)
    outlets.add(got.append, None, 10, Overflow.REPORT_GAP)
    outlets.post((1,))
    thread = threading.Thread(target=outlets.hand_over, daemon=True)
    thread.start()
    inside.wait(10.0)

    outlets.look(clock.monotonic_s())
    before = hung.state
    clock.advance(CALLBACK_WITHIN_S + 0.1)
    outlets.look(clock.monotonic_s())
    outlets.post((2,))
    outlets.hand_over()

    assert (before, hung.state) == (TopicState.LIVE, TopicState.CLOSED)
    assert outlets.counts["taken_off"] == 1 and len(outlets) == 1
    assert got == [1, 2], "the value the hung one was given first reached the other with the next hand-over"
    go_on.set()
    thread.join(10.0)
    assert hung.delivered == 1


def test_whoever_has_a_value_for_a_callback_that_hangs_takes_it_off_too(outlets, clock):
    inside, go_on = threading.Event(), threading.Event()
    hung = outlets.add(lambda value: (inside.set(), go_on.wait(10.0)), None, 10, Overflow.REPORT_GAP)
    outlets.post((1,))
    thread = threading.Thread(target=outlets.hand_over, daemon=True)
    thread.start()
    inside.wait(10.0)
    outlets.post((2,))
    outlets.hand_over()
    patient = hung.state
    clock.advance(CALLBACK_WITHIN_S + 0.1)
    outlets.hand_over()
    go_on.set()
    thread.join(10.0)

    assert (patient, hung.state) == (TopicState.LIVE, TopicState.CLOSED)
    assert hung.delivered == 1


def test_a_callback_that_cannot_keep_up_is_taken_off_before_memory_is_full(outlets):
    inside, go_on = threading.Event(), threading.Event()
    slow = outlets.add(lambda value: (inside.set(), go_on.wait(10.0)), None, 10, Overflow.REPORT_GAP)
    outlets.post((1,))
    thread = threading.Thread(target=outlets.hand_over, daemon=True)
    thread.start()
    inside.wait(10.0)

    outlets.post(tuple(range(BEHIND_AT_MOST + 1)))
    outlets.hand_over()

    assert slow.state is TopicState.CLOSED and outlets.counts["taken_off"] == 1
    go_on.set()
    thread.join(10.0)


def test_no_call_works_through_more_than_its_share(outlets):
    got = []
    outlets.add(got.append, None, 10, Overflow.REPORT_GAP)
    outlets.post(tuple(range(AT_ONCE + 5)))

    outlets.hand_over()
    assert len(got) == AT_ONCE
    outlets.hand_over()
    assert got == list(range(AT_ONCE + 5))


def test_a_callback_that_raises_is_counted_and_goes_on(outlets):
    def broken(value):
        raise RuntimeError(value)

    subscription = outlets.add(broken, None, 10, Overflow.REPORT_GAP)
    outlets.post((1, 2))
    outlets.hand_over()

    assert (subscription.delivered, subscription.failures) == (2, 2)


def test_a_full_queue_follows_its_rule(outlets):
    newest = outlets.add(None, None, 2, Overflow.LATEST_WINS)
    oldest = outlets.add(None, None, 2, Overflow.REPORT_GAP)
    outlets.post((1, 2, 3))
    outlets.hand_over()

    assert [newest.get(0), newest.get(0)] == [2, 3]
    assert [oldest.get(0), oldest.get(0)] == [1, 2]
    assert isinstance(oldest.get(0), Gap)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((None, None, 10, Overflow.PUSH_BACK), "stop every venue"),
        ((None, None, 10, "drop"), "'drop' is not an Overflow"),
        ((None, None, 0, Overflow.REPORT_GAP), "1 value or more"),
        ((print, object(), 1, Overflow.REPORT_GAP), "not both"),
    ],
)
def test_ways_of_delivery_that_would_harm_or_mean_nothing_are_refused(outlets, options, text):
    with pytest.raises(InvalidRequest, match=text):
        outlets.add(*options)


def test_a_consumer_may_close_from_inside_its_own_callback(outlets):
    got = []

    def once(value):
        got.append(value)
        subscription.close()

    subscription = outlets.add(once, None, 10, Overflow.REPORT_GAP)
    outlets.post((1, 2))
    outlets.hand_over()

    assert got == [1] and len(outlets) == 0


def test_the_end_of_the_aggregate_ends_its_queues(outlets):
    queue = outlets.add(None, None, 10, Overflow.REPORT_GAP)
    outlets.close()

    with pytest.raises(Closed):
        queue.get(0)
