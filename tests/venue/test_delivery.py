"""How values reach an engine: order, overflow rules, errors of consumers, the end of a subscription."""

import threading

import pykka
import pytest

from connector.domain import Freshness, Gap, Symbol, Topic, TopicKind
from connector.errors import NotConnected
from connector.testing.clocks import FakeClock
from connector.venue.delivery import Closed, Overflow, Subscription, TopicState


class StandInFeed:
    """The little a subscription asks of its feed."""

    venue, topic = "venue", Topic(TopicKind.TRADES, Symbol("BTC", "USDT"))

    def __init__(self):
        self.state = TopicState.LIVE
        self.detached = []

    def freshness(self):
        return Freshness(
            self.state is not TopicState.LIVE, 1.5, "" if self.state is TopicState.LIVE else "no connection"
        )

    def wait_state(self, wanted, timeout_s):
        return self.state

    def detach(self, subscription):
        self.detached.append(subscription)


@pytest.fixture
def feed():
    return StandInFeed()


@pytest.fixture
def clock():
    return FakeClock()


def drain(subscription):
    values = []
    while subscription.waiting:
        values.append(subscription.get(0))
    return values


def test_a_queue_hands_values_over_in_order(feed, clock):
    subscription = Subscription(feed, clock)
    for value in range(5):
        subscription.take(value)

    assert drain(subscription) == [0, 1, 2, 3, 4]
    assert subscription.delivered == 5


def test_a_full_quote_queue_keeps_the_newest_and_counts_the_rest(feed, clock):
    subscription = Subscription(feed, clock, capacity=3, overflow=Overflow.LATEST_WINS)
    for value in range(10):
        subscription.take(value)

    assert drain(subscription) == [7, 8, 9]
    assert subscription.dropped == 7


def test_a_full_trade_queue_reports_one_gap_in_place_of_what_it_dropped(feed, clock):
    subscription = Subscription(feed, clock, capacity=3, overflow=Overflow.REPORT_GAP)
    for value in range(8):
        subscription.take(value)
    first = [subscription.get(0) for _ in range(3)]
    clock.advance(2.0)
    subscription.take("after")

    assert first == [0, 1, 2]
    gap, after = drain(subscription)
    assert isinstance(gap, Gap)
    assert (gap.missing, gap.ended_ns - gap.began_ns, gap.reason) == (5, 2_000_000_000, "the consumer was too slow")
    assert after == "after"
    assert list(subscription.gaps) == [gap]


def test_a_loss_is_told_even_when_nothing_comes_after_it(feed, clock):
    subscription = Subscription(feed, clock, capacity=1)
    subscription.take(1)
    subscription.take(2)

    assert subscription.get(0) == 1
    assert subscription.get(0).missing == 1


def test_push_back_makes_the_reader_wait_for_room(feed, clock):
    subscription = Subscription(feed, clock, capacity=1, overflow=Overflow.PUSH_BACK, push_back_s=30.0)
    subscription.take("first")
    reader = threading.Thread(target=subscription.take, args=("second",))
    reader.start()

    assert subscription.get(5) == "first"
    assert subscription.get(5) == "second"
    reader.join(5)
    assert not reader.is_alive()
    assert subscription.dropped == 0


def test_push_back_gives_up_after_its_time_and_tells_the_gap(feed, clock):
    subscription = Subscription(feed, clock, capacity=1, overflow=Overflow.PUSH_BACK, push_back_s=0.01)
    subscription.take("first")
    subscription.take("lost")

    assert subscription.get(0) == "first"
    assert subscription.get(0).missing == 1


@pytest.mark.parametrize("failure", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_callback_that_raises_hurts_nobody_but_itself(feed, clock, failure):
    seen = []

    def callback(value):
        seen.append(value)
        raise failure

    subscription = Subscription(feed, clock, callback=callback)
    subscription.take(1)
    subscription.take(2)

    assert seen == [1, 2]
    assert subscription.failures == 2
    assert subscription.last_failure is failure


def test_a_callback_may_close_its_own_subscription(feed, clock):
    seen = []

    def callback(value):
        seen.append(value)
        subscription.close()

    subscription = Subscription(feed, clock, callback=callback)
    subscription.take(1)
    subscription.take(2)

    assert seen == [1]
    assert feed.detached == [subscription]


def test_an_inbox_that_refuses_is_a_loss_that_is_told_when_it_listens_again(feed, clock):
    told, refuses = [], [False]

    def tell(value):
        if refuses[0]:
            raise pykka.ActorDeadError("restarting")
        told.append(value)

    subscription = Subscription(feed, clock, callback=tell, into_inbox=True)
    subscription.take(1)
    refuses[0] = True
    subscription.take(2)
    subscription.take(3)
    refuses[0] = False
    subscription.take(4)

    assert [told[0], told[1].missing, told[2]] == [1, 2, 4]
    assert (subscription.delivered, subscription.dropped) == (2, 2)


def test_notices_come_between_the_data_only_when_asked_for(feed, clock):
    gap = Gap("venue", "trades BTC/USDT", 0, 1, "connection lost")
    with_notices, without = Subscription(feed, clock, notices=True), Subscription(feed, clock)
    for subscription in (with_notices, without):
        subscription.take(1)
        subscription.notice(gap)
        subscription.take(2)

    assert drain(with_notices) == [1, gap, 2]
    assert drain(without) == [1, 2]
    assert list(without.gaps) == [gap]


def test_closing_lets_what_is_queued_be_taken_and_then_ends_the_loop(feed, clock):
    closed = []
    subscription = Subscription(feed, clock, on_close=lambda: closed.append(True))
    subscription.take(1)
    subscription.close()
    subscription.close()
    subscription.take(2)

    assert list(subscription) == [1]
    with pytest.raises(Closed):
        subscription.get(0)
    assert closed == [True]
    assert subscription.state is TopicState.CLOSED


def test_waiting_in_vain_says_how_old_the_data_is(feed, clock):
    feed.state = TopicState.STALE
    subscription = Subscription(feed, clock)

    with pytest.raises(TimeoutError, match="no connection"):
        subscription.get(0)
    with pytest.raises(NotConnected, match="stale after 0 s: no connection"):
        subscription.wait_live(0)
