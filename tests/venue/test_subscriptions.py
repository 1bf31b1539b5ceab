"""Wanted and confirmed: which frame is sent next, and what an answer, a refusal or silence changes."""

import dataclasses
import random

import pytest

from connector.drivers.contract import StreamLimits
from connector.errors import RateLimited, VenueRejected
from connector.venue.subscriptions import ACK_WITHIN_S, FrameKind, SubscriptionSet

LIMITS = StreamLimits(
    topics_per_connection=6,
    names_per_frame=3,
    frame_spacing_s=0.5,
    connects=300,
    connects_window_s=300.0,
    max_age_s=None,
    rollover_before_s=0.0,
    server_ping_s=20.0,
    source="made for this test",
)
NO_SUCH_STREAM = VenueRejected("venue", "2", "invalid stream")


@pytest.fixture
def plan():
    return SubscriptionSet(LIMITS)


def test_wanted_names_are_asked_for_in_batches_no_faster_than_the_venue_allows(plan):
    plan.want("abcd")

    first = plan.next_frame(100.0)

    assert (first.kind, first.names) == (FrameKind.SUBSCRIBE, ("a", "b", "c"))
    assert plan.next_frame(100.4) is None
    assert plan.wait_s(100.4) == pytest.approx(0.1)
    assert plan.next_frame(100.5).names == ("d",)
    assert plan.next_frame(200.0) is None


def test_an_acknowledgement_confirms_the_names_of_its_frame_and_no_others(plan):
    plan.want("abcd")
    first = plan.next_frame(0.0)
    plan.next_frame(0.5)

    assert plan.on_ack(first.request_id) == ("a", "b", "c")
    assert plan.confirmed == {"a", "b", "c"}
    assert not plan.is_settled


def test_an_answer_to_a_question_never_asked_changes_nothing(plan):
    plan.want("a")
    plan.next_frame(0.0)

    assert plan.on_ack(999) == ()
    assert plan.confirmed == set()


def test_data_confirms_a_topic_before_its_acknowledgement(plan):
    plan.want("a")
    frame = plan.next_frame(0.0)

    assert plan.on_data("a")
    assert not plan.on_data("a")
    assert plan.on_ack(frame.request_id) == ()
    assert plan.is_settled


def test_a_refused_batch_is_tried_again_name_by_name_until_the_bad_one_is_found(plan):
    plan.want("abc")
    now_s = 0.0
    refused = ()
    while not plan.is_settled:
        frame = plan.next_frame(now_s)
        now_s += 0.5
        if frame is None:
            continue
        if "b" in frame.names:
            refused += plan.on_refusal(frame.request_id, NO_SUCH_STREAM, now_s)
        else:
            plan.on_ack(frame.request_id)

    assert refused == ("b",)
    assert plan.confirmed == {"a", "c"}
    assert plan.refused == {"b": NO_SUCH_STREAM}
    assert plan.next_frame(now_s + 100) is None


def test_a_refusal_that_says_later_is_asked_again_later_and_refuses_nothing(plan):
    plan.want("a")
    frame = plan.next_frame(0.0)

    assert plan.on_refusal(frame.request_id, RateLimited("slow down", retry_after_s=7.0), 0.1) == ()
    assert plan.next_frame(7.0) is None
    assert plan.next_frame(7.2).names == ("a",)


def test_a_refusal_without_an_id_is_taken_as_the_oldest_frame(plan):
    plan.want("abcd")
    plan.next_frame(0.0)
    plan.next_frame(0.5)

    plan.on_refusal(None, NO_SUCH_STREAM, 0.6)

    assert set(plan.unproven()) == {"d"}


def test_a_lost_answer_is_asked_for_again_and_many_lost_answers_put_the_connection_in_doubt(plan):
    plan.want("a")
    now_s, doubtful = 0.0, []
    for _ in range(3):
        assert plan.next_frame(now_s).names == ("a",)
        now_s += ACK_WITHIN_S
        doubtful.append(plan.expire(now_s))

    assert doubtful == [False, False, True]


def test_a_topic_nobody_wants_any_more_is_left(plan):
    plan.want("ab")
    plan.on_ack(plan.next_frame(0.0).request_id)

    plan.unwant("a")
    frame = plan.next_frame(1.0)

    assert (frame.kind, frame.names) == (FrameKind.UNSUBSCRIBE, ("a",))
    assert plan.confirmed == {"b"}
    assert plan.is_settled


def test_a_topic_unwanted_before_its_acknowledgement_is_left_after_it(plan):
    plan.want("a")
    frame = plan.next_frame(0.0)
    plan.unwant("a")
    assert plan.next_frame(0.5).kind is FrameKind.UNSUBSCRIBE

    assert plan.on_ack(frame.request_id) == ()
    assert plan.confirmed == set()


def test_renewing_a_topic_leaves_it_and_joins_it_again(plan):
    plan.want("a")
    plan.on_ack(plan.next_frame(0.0).request_id)

    plan.renew("a")

    assert [plan.next_frame(t).kind for t in (1.0, 2.0)] == [FrameKind.UNSUBSCRIBE, FrameKind.SUBSCRIBE]


@pytest.mark.parametrize("by_id", [True, False])
def test_the_answer_to_a_leaving_names_the_topics_that_are_to_be_joined_again(plan, by_id):
    plan.want("ab")
    plan.on_ack(plan.next_frame(0.0).request_id)
    plan.unwant(["b"])
    plan.renew("a")
    frame = plan.next_frame(100.0)
    request_id = frame.request_id if by_id else None

    assert (frame.kind, frame.names) == (FrameKind.UNSUBSCRIBE, ("a", "b"))
    assert plan.left_by(request_id) == ("a",)
    assert plan.on_ack(request_id) == ()
    assert plan.left_by(frame.request_id) == ()
    joined = plan.next_frame(200.0)
    assert joined.kind is FrameKind.SUBSCRIBE and plan.left_by(joined.request_id) == ()


def test_a_lost_connection_confirms_nothing_and_wants_the_same(plan):
    plan.want("ab")
    plan.on_ack(plan.next_frame(0.0).request_id)

    plan.reset()

    assert plan.confirmed == set()
    assert plan.next_frame(0.0).names == ("a", "b")


@pytest.mark.parametrize("seed", range(50))
def test_whatever_is_lost_or_changed_on_the_way_the_two_sets_end_up_equal(seed):
    chance = random.Random(seed)
    plan = SubscriptionSet(dataclasses.replace(LIMITS, topics_per_connection=50))
    names = [f"t{number}" for number in range(20)]
    at_venue: set[str] = set()
    now_s = 0.0
    for step in range(600):
        now_s += 0.25
        calm = step > 300
        if not calm and chance.random() < 0.2:
            (plan.want if chance.random() < 0.6 else plan.unwant)(chance.sample(names, 3))
        if not calm and chance.random() < 0.02:
            plan.reset()
            at_venue.clear()
        plan.expire(now_s)
        frame = plan.next_frame(now_s)
        if frame is None or (not calm and chance.random() < 0.1):
            continue  # lost on the way there
        (at_venue.update if frame.kind is FrameKind.SUBSCRIBE else at_venue.difference_update)(frame.names)
        if calm or chance.random() > 0.1:  # or the answer is lost
            plan.on_ack(frame.request_id)

    assert plan.is_settled
    assert plan.confirmed == plan.wanted
    assert at_venue >= plan.wanted
