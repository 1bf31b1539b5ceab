"""One topic's path from frame to consumer: nothing twice, nothing missing unsaid, one owner at a time."""

import threading
from decimal import Decimal

import msgspec
import pytest

from connector.domain import BookTicker, Gap, Side, Symbol, Topic, TopicKind, Trade
from connector.errors import WireFormatError
from connector.telemetry import Counters, OncePerKind
from connector.testing.clocks import FakeClock
from connector.venue.continuity import OPAQUE_TRADES
from connector.venue.delivery import Subscription, TopicState, TopicStatus
from connector.venue.feed import COUNT_RESTART_S, KNOWN_PER_TOPIC, Feed, Reader

BTC = Symbol("BTC", "USDT")
TRADES = Topic(TopicKind.TRADES, BTC)
SECOND_NS = 1_000_000_000


def trade(number, received_ns=0):
    return Trade("venue", BTC, number * SECOND_NS, received_ns, number, Decimal(1), Decimal(1), Side.BUY)


def read(frame, received_ns):
    """Frames of these tests are the trade id as text."""
    if not frame.isdigit():
        raise WireFormatError("trade", "not a number", frame)
    return trade(int(frame), received_ns)


class Bench:
    """A feed with one owner, one consumer, and a record of what it wished for."""

    def __init__(self, backfill=True, rule=None, read=read):
        self.clock = FakeClock()
        self.wishes = []
        self.alarms = []
        self.feed = Feed(
            "venue",
            TRADES,
            self.clock,
            ask=self.wishes.append,
            counters=Counters(),
            alarms=OncePerKind("venue", emit=lambda kind, detail: self.alarms.append(kind)),
            backfill=backfill,
            rule=rule,
        )
        self.consumer = Subscription(self.feed, self.clock, notices=True)
        self.feed.attach(self.consumer)
        self.feed.bind(lambda: read)
        self.source = object()
        self.feed.own(self.source)

    def frames(self, *numbers, source=None):
        for number in numbers:
            self.feed.on_frame(source or self.source, str(number).encode(), 0, self.clock.monotonic_s())

    def values(self):
        """What reached the consumer: ids (negative when recovered), and gaps."""
        taken = []
        while self.consumer.waiting:
            value = self.consumer.get(0)
            if isinstance(value, Trade):
                mark = "-" if value.recovered else ""
                taken.append(type(value.trade_id)(f"{mark}{value.trade_id}"))
            elif isinstance(value, Gap):
                taken.append(value)
        return taken


@pytest.fixture
def bench():
    return Bench()


def test_new_values_are_delivered_in_order_and_make_the_topic_live(bench):
    bench.frames(1, 2, 3)

    assert bench.values() == [1, 2, 3]
    assert bench.feed.state is TopicState.LIVE
    assert not bench.feed.freshness().stale


def test_repeated_and_late_values_are_dropped_and_counted(bench):
    bench.frames(1, 2, 2, 1, 3)

    assert bench.values() == [1, 2, 3]
    assert bench.feed.duplicates == 2


@pytest.mark.parametrize("kind", [TopicKind.TICKER, TopicKind.BOOK_TICKER])
def test_a_value_just_below_the_last_is_late_on_every_kind_of_topic(bench, kind):
    feed = Feed(
        "venue",
        Topic(kind, BTC),
        bench.clock,
        ask=bench.wishes.append,
        counters=Counters(),
        alarms=OncePerKind("venue"),
    )
    taken = []
    feed.attach(Subscription(feed, bench.clock, callback=lambda value: taken.append(value.update_id)))
    feed.bind(
        lambda: lambda frame, at: BookTicker("venue", BTC, int(frame), at, *[Decimal(1)] * 4, update_id=int(frame))
    )
    feed.own(bench.source)
    for number in (10, 9, 12, 11, 12, 13):
        feed.on_frame(bench.source, str(number).encode(), 0, 0.0)

    assert taken == [10, 12, 13]
    assert feed.duplicates == 3


def test_repeats_do_not_count_as_news(bench):
    bench.frames(1)
    seen_s = bench.feed.last_new_s
    bench.clock.advance(5)
    bench.frames(1)

    assert bench.feed.last_new_s == seen_s


def test_frames_of_a_connection_that_is_not_the_owner_reach_nobody(bench):
    bench.frames(1)
    bench.frames(2, source=object())

    assert bench.values() == [1]


def test_an_unreadable_frame_is_counted_alarmed_once_per_kind_and_ends_nothing(bench):
    bench.frames("x", "y", 1)

    assert bench.values() == [1]
    assert bench.feed.unreadable == 2
    assert bench.alarms == ["trades: not a number"]


@pytest.mark.parametrize(
    "problem", ["expected 'BTCUSDT', found {!r}", "JSON is malformed (byte {})", "level {} is none"]
)
def test_frames_that_are_unreadable_in_the_same_way_are_one_kind_whatever_was_found_and_where(problem):
    def read(frame, received_ns):
        raise WireFormatError("trade", problem.format(frame.decode()), frame)

    bench = Bench(read=read)
    bench.frames(*range(100, 150))

    assert bench.feed.unreadable == 50
    assert len(bench.alarms) == 1


def test_missing_trades_are_fetched_and_delivered_in_their_place(bench):
    bench.frames(1, 5, 6)
    assert bench.values() == [1]
    (wish,) = bench.wishes
    bench.feed.recovered(wish.token, (trade(1), trade(2), trade(3), trade(4), trade(5)))
    bench.frames(7)

    *before, gap, five, six, seven = bench.values()
    assert before == [-2, -3, -4]
    assert (gap.first_missing, gap.last_missing, gap.missing, gap.filled) == (2, 4, 3, 3)
    assert [five, six, seven] == [5, 6, 7]


def test_a_gap_lasts_from_the_last_value_before_it_to_the_first_after_it(bench):
    bench.feed.on_frame(bench.source, b"1", 1_000, 0.0)
    bench.feed.on_frame(bench.source, b"5", 9_000, 0.0)
    bench.feed.recovered(bench.wishes[0].token, (trade(2), trade(3), trade(4)))

    (gap,) = [value for value in bench.values() if isinstance(value, Gap)]
    assert (gap.began_ns, gap.ended_ns) == (1_000, 9_000)


def test_what_could_not_be_fetched_is_told_as_a_gap_and_the_stream_goes_on(bench):
    bench.frames(1, 5)
    bench.feed.give_up_recovery(bench.wishes[0].token, "fetching failed")

    one, gap, five = bench.values()
    assert (one, five) == (1, 5)
    assert (gap.missing, gap.filled, gap.reason) == (3, 0, "not delivered by the venue, and fetching failed")


def test_a_partly_filled_gap_says_how_many_came(bench):
    bench.frames(1, 5)
    bench.feed.recovered(bench.wishes[0].token, (trade(3),))

    assert [v.filled for v in bench.values() if isinstance(v, Gap)] == [1]


def test_live_values_are_not_held_back_for_longer_than_the_limit(bench):
    bench.frames(1, 5)
    bench.clock.advance(4)
    bench.feed.on_tick(bench.clock.monotonic_s(), 5.0)
    assert bench.values() == [1]
    bench.clock.advance(2)
    bench.feed.on_tick(bench.clock.monotonic_s(), 5.0)

    assert [v for v in bench.values() if not isinstance(v, Gap)] == [5]


@pytest.fixture
def opaque():
    """A bench whose trades say nothing by their ids: frames are sequences, a trade's id is its sequence as text."""
    return Bench(rule=OPAQUE_TRADES, read=lambda frame, at: sequenced(int(frame), at))


def sequenced(number, received_ns=0):
    return msgspec.structs.replace(trade(number, received_ns), trade_id=str(number), sequence=number)


def test_ids_that_say_nothing_show_a_hole_only_where_the_stream_was_interrupted(opaque):
    opaque.frames(1, 5)
    opaque.feed.on_disconnected("the cable")
    opaque.feed.own(opaque.source)
    opaque.frames(9)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(5), sequenced(7), sequenced(9)))

    one, five, seven, gap, nine = opaque.values()
    assert (one, five, seven, nine) == ("1", "5", "-7", "9")
    assert (gap.missing, gap.filled, gap.first_missing, gap.reason) == (None, 1, None, "connection lost")


@pytest.mark.parametrize(
    ("fetched", "gaps"),
    [
        pytest.param((3, 5, 9), 0, id="over both ends of the hole, and nothing within"),
        pytest.param((9,), 1, id="not back to what came last"),
        pytest.param((3, 5), 1, id="not up to what came next"),
        pytest.param((), 1, id="nothing"),
    ],
)
def test_a_hole_is_told_unless_what_was_fetched_shows_that_there_is_none(opaque, fetched, gaps):
    opaque.frames(1, 5)
    opaque.feed.shown_newer()  # the answer to a question was quicker than the stream
    opaque.frames(9)
    opaque.feed.recovered(opaque.wishes[0].token, tuple(map(sequenced, fetched)))

    told = opaque.values()
    assert [each for each in told if not isinstance(each, Gap)] == ["1", "5", "9"]
    assert sum(isinstance(each, Gap) for each in told) == opaque.feed.gaps == gaps


def test_value_that_comes_behind_a_later_one_is_told_where_ids_say_nothing(opaque):
    for at, number in ((10, 1), (20, 5), (30, 7), (40, 9), (50, 6)):
        opaque.feed.on_frame(opaque.source, str(number).encode(), at, 0.0)

    *values, gap = opaque.values()
    assert values == ["1", "5", "7", "9"]
    assert (gap.began_ns, gap.ended_ns, gap.missing, gap.filled) == (20, 40, 1, 0)


def test_message_of_several_values_that_is_repeated_for_long_brings_none_of_them_again(opaque):
    opaque.frames(3, 4, 5)
    for _ in range(30):
        opaque.clock.advance(0.5)
        opaque.frames(3, 4, 5)

    assert opaque.values() == ["3", "4", "5"]
    assert opaque.feed.duplicates == 90


def test_value_that_was_fetched_and_then_comes_by_the_stream_is_no_late_one(opaque):
    opaque.frames(1, 5)
    opaque.feed.on_disconnected("the cable")
    opaque.feed.own(opaque.source)
    opaque.frames(9)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(7),))
    opaque.frames(7, 10)

    assert [value for value in opaque.values() if not isinstance(value, Gap)] == ["1", "5", "-7", "9", "10"]
    assert opaque.feed.gaps == 1


def test_what_was_on_its_way_when_a_topic_was_left_does_not_hide_the_hole_behind_it(opaque):
    opaque.frames(1)
    opaque.feed.on_renewal()
    opaque.frames(2, 3)  # held up in the network, sent before the venue knew
    opaque.feed.recovered(opaque.wishes[0].token, ())
    opaque.feed.on_left()
    opaque.frames(6)
    opaque.feed.recovered(opaque.wishes[1].token, (sequenced(5),))

    assert [value for value in opaque.values() if not isinstance(value, Gap)] == ["1", "2", "3", "-5", "6"]
    assert opaque.feed.gaps == 2


@pytest.mark.parametrize("by", ["on_renewal", "shown_newer"])
def test_silence_that_hid_values_interrupts_a_stream_whose_ids_say_nothing(opaque, by):
    opaque.frames(1)
    getattr(opaque.feed, by)()
    opaque.frames(4)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(3),))

    *_, three, gap, four = opaque.values()
    assert (three, gap.filled, gap.reason, four) == ("-3", 1, "the topic was silent", "4")


def test_second_interruption_while_the_first_is_being_filled_is_told_too(opaque):
    opaque.frames(1)
    for after in (4, 8):
        opaque.feed.on_disconnected("the cable")
        opaque.feed.own(opaque.source)
        opaque.frames(after, after + 1)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(2), sequenced(3)))

    told = opaque.values()
    assert [each for each in told if not isinstance(each, Gap)] == ["1", "-2", "-3", "4", "5", "8", "9"]
    assert [gap.missing for gap in told if isinstance(gap, Gap)] == [None, None]
    assert isinstance(told[told.index("8") - 1], Gap)


def test_an_answer_that_comes_after_the_limit_changes_nothing(bench):
    bench.frames(1, 5)
    bench.feed.give_up_recovery(bench.wishes[0].token, "too slow")
    bench.values()

    bench.feed.recovered(bench.wishes[0].token, (trade(2), trade(3), trade(4)))

    assert bench.values() == []


def test_a_second_hole_while_the_first_is_being_filled_is_told(bench):
    bench.frames(1, 5, 9)
    bench.feed.recovered(bench.wishes[0].token, (trade(2), trade(3), trade(4)))

    gaps = [value for value in bench.values() if isinstance(value, Gap)]
    assert [(gap.first_missing, gap.last_missing, gap.filled) for gap in gaps] == [(2, 4, 3), (6, 8, 0)]


# ---------------------------------------------------------------- asked for before it shows


def lost(bench, *, rate_s=0.1, joined=True):
    """The connection breaks, another takes over a second later, and the feed may ask for what was missed."""
    bench.feed.rate.mean_interval_s = rate_s
    bench.feed.on_disconnected("the cable")
    bench.clock.advance(1)
    bench.source = object()
    bench.feed.own(bench.source)
    bench.feed.catch_up(bench.clock.monotonic_s(), joined=joined)


def marks(told):
    return [each for each in told if not isinstance(each, Gap)]


def test_what_was_missed_is_asked_for_before_a_live_value_shows_that_anything_was(bench):
    bench.frames(1, 2)
    lost(bench, joined=False)
    (wish,) = bench.wishes
    assert (wish.missing.query.from_id, wish.missing.is_open) == (3, True)
    bench.feed.recovered(wish.token, (trade(2), trade(3), trade(4)))

    *values, gap = bench.values()
    assert values == [1, 2, -3, -4]
    assert (gap.first_missing, gap.last_missing, gap.missing, gap.filled) == (3, 4, 2, 2)
    bench.frames(4, 5)
    assert bench.values() == [5]
    assert len(bench.wishes) == 1 and bench.feed.gaps == 1


def test_values_fetched_before_the_stream_speaks_do_not_make_the_topic_live(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.feed.recovered(bench.wishes[0].token, (trade(3),))
    assert bench.feed.state is TopicState.STALE

    bench.frames(4)
    assert bench.feed.state is TopicState.LIVE


def test_live_values_wait_for_the_answer_and_follow_on_it(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.frames(5, 6)
    assert bench.values() == [1, 2]
    bench.feed.recovered(bench.wishes[0].token, tuple(trade(number) for number in range(3, 9)))

    assert marks(bench.values()) == [-3, -4, 5, 6]
    assert len(bench.wishes) == 1 and bench.feed.gaps == 1


def test_what_still_lies_between_the_answer_and_the_first_live_value_is_fetched_too(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.frames(7)
    bench.feed.recovered(bench.wishes[0].token, (trade(3), trade(4)))
    assert marks(bench.values()) == [1, 2, -3, -4]
    again = bench.wishes[1]
    assert (again.missing.first, again.missing.last) == (5, 6)
    bench.feed.recovered(again.token, (trade(5), trade(6)))

    assert marks(bench.values()) == [-5, -6, 7]


def test_a_hole_behind_an_answer_that_came_before_the_stream_was_joined_is_found_as_ever(bench):
    bench.frames(1, 2)
    lost(bench, joined=False)
    bench.feed.recovered(bench.wishes[0].token, (trade(3),))
    bench.feed.catch_up(bench.clock.monotonic_s(), joined=True)
    assert len(bench.wishes) == 1, "asked once per connection"
    bench.frames(6)
    bench.feed.recovered(bench.wishes[1].token, (trade(4), trade(5)))

    told = bench.values()
    assert marks(told) == [1, 2, -3, -4, -5, 6]
    assert [(gap.first_missing, gap.last_missing, gap.reason) for gap in told if isinstance(gap, Gap)] == [
        (3, 3, "connection lost"),
        (4, 5, "connection lost"),
    ]


def test_a_live_value_that_follows_directly_does_not_wait_for_the_answer(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.frames(3)
    assert bench.values() == [1, 2, 3]
    bench.feed.recovered(bench.wishes[0].token, (trade(3),))
    bench.frames(4)

    assert bench.values() == [4]
    assert bench.feed.gaps == 0


@pytest.mark.parametrize("rate_s", [None, 2.0])
def test_a_topic_too_quiet_to_have_missed_anything_for_sure_is_not_asked_about(bench, rate_s):
    bench.frames(1, 2)
    lost(bench, rate_s=rate_s)

    assert bench.wishes == []


def test_nothing_is_asked_early_where_nothing_was_lost_nothing_came_before_or_nothing_is_to_be_fetched(bench):
    bench.feed.rate.mean_interval_s = 0.1
    bench.feed.catch_up(9.0, joined=True)
    bench.frames(1)
    bench.clock.advance(9)
    bench.feed.catch_up(bench.clock.monotonic_s(), joined=True)
    other = Bench(backfill=False)
    other.frames(1)
    lost(other)

    assert bench.wishes == other.wishes == []


def test_a_question_that_failed_is_asked_again_by_the_first_live_value(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.feed.give_up_recovery(bench.wishes[0].token, "fetching failed")
    bench.frames(5)
    bench.feed.recovered(bench.wishes[1].token, (trade(3), trade(4)))

    assert marks(bench.values()) == [1, 2, -3, -4, 5]


def test_a_question_that_failed_while_a_live_value_waited_is_asked_again_at_once(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.frames(5)
    bench.feed.give_up_recovery(bench.wishes[0].token, "fetching failed")
    assert (bench.wishes[1].missing.first, bench.wishes[1].missing.last) == (3, 4)
    bench.feed.give_up_recovery(bench.wishes[1].token, "fetching failed")

    *_, gap, five = bench.values()
    assert (gap.first_missing, gap.last_missing, gap.missing, gap.filled, five) == (3, 4, 2, 0, 5)


@pytest.mark.parametrize("live", [(), (5,)])
def test_a_live_value_waits_for_an_early_answer_no_longer_than_for_another(bench, live):
    bench.frames(1, 2)
    lost(bench)
    bench.frames(*live)
    bench.clock.advance(6)
    bench.feed.on_tick(bench.clock.monotonic_s(), 5.0)
    told = bench.values()

    assert marks(told) == [1, 2, *live]
    assert [(gap.first_missing, gap.last_missing) for gap in told if isinstance(gap, Gap)] == [(3, 4)] * len(live)
    bench.feed.recovered(bench.wishes[0].token, (trade(3),))
    assert bench.values() == []


def test_more_live_values_than_can_be_held_end_the_wait_for_an_early_answer(bench, monkeypatch):
    monkeypatch.setattr("connector.venue.feed.HELD_AT_MOST", 3)
    bench.frames(1, 2)
    lost(bench)
    bench.frames(5, 6, 7, 8)

    *_, gap, five, six, seven, eight = bench.values()
    assert [five, six, seven, eight] == [5, 6, 7, 8]
    assert (gap.first_missing, gap.last_missing, gap.filled) == (3, 4, 0)


def test_an_early_answer_that_comes_after_another_loss_is_delivered_and_the_next_question_begins_behind_it(bench):
    bench.frames(1, 2)
    lost(bench)
    bench.feed.on_disconnected("again")
    bench.feed.recovered(bench.wishes[0].token, (trade(3), trade(4)))
    lost(bench)

    assert marks(bench.values()) == [1, 2, -3, -4]
    assert bench.wishes[1].missing.first == 5


def test_where_ids_say_nothing_it_is_asked_only_once_the_stream_is_joined(opaque):
    opaque.frames(1, 5)
    lost(opaque, joined=False)
    assert opaque.wishes == []

    opaque.feed.catch_up(opaque.clock.monotonic_s(), joined=True)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(1), sequenced(5), sequenced(7), sequenced(8)))
    *values, gap = opaque.values()
    assert values == ["1", "5", "-7", "-8"]
    assert (gap.missing, gap.filled, gap.first_missing) == (None, 2, None)


def test_where_ids_say_nothing_a_value_that_came_both_ways_shows_that_nothing_is_missing_any_more(opaque):
    opaque.frames(1, 5)
    lost(opaque)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(5), sequenced(7), sequenced(8)))
    opaque.frames(8, 10)

    assert marks(opaque.values()) == ["1", "5", "-7", "-8", "10"]
    assert len(opaque.wishes) == 1 and opaque.feed.gaps == 1


def test_where_ids_say_nothing_a_held_value_that_came_both_ways_shows_it_too(opaque):
    opaque.frames(1, 5)
    lost(opaque)
    opaque.frames(8, 10)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(5), sequenced(7), sequenced(8), sequenced(9)))

    assert marks(opaque.values()) == ["1", "5", "-7", "8", "10"]
    assert len(opaque.wishes) == 1


def test_an_answer_that_brings_nothing_new_and_does_not_reach_back_is_no_proof_that_nothing_was_missed(opaque):
    opaque.frames(1, 5)
    lost(opaque)
    opaque.frames(8, 9)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(8), sequenced(9)))
    opaque.feed.recovered(opaque.wishes[1].token, (sequenced(8), sequenced(9)))

    told = opaque.values()
    assert marks(told) == ["1", "5", "8", "9"]
    assert [gap.missing for gap in told if isinstance(gap, Gap)] == [None]


@pytest.mark.parametrize("order", ["answer first", "live first"])
def test_where_ids_say_nothing_and_no_value_came_both_ways_it_is_asked_again(opaque, order):
    opaque.frames(1, 5)
    lost(opaque)
    if order == "live first":
        opaque.frames(10)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(5), sequenced(7)))
    if order == "answer first":
        opaque.frames(10)
    assert marks(opaque.values()) == ["1", "5", "-7"]
    again = opaque.wishes[1]
    opaque.feed.recovered(again.token, (sequenced(7), sequenced(9), sequenced(10)))

    assert marks(opaque.values()) == ["-9", "10"]
    assert opaque.feed.gaps == 2


def test_a_value_fetched_for_an_earlier_connection_proves_nothing_of_a_later_one(opaque):
    opaque.frames(1, 5)
    lost(opaque)
    opaque.feed.recovered(opaque.wishes[0].token, (sequenced(7),))
    lost(opaque, joined=False)
    opaque.frames(7, 12)

    assert len(opaque.wishes) == 2 and not opaque.wishes[1].missing.is_open


def test_several_fetched_values_of_one_sequence_are_told_apart_from_live_ones_of_the_same():
    named = {"a": 5, "b": 5, "c": 7, "d": 7, "e": 7}

    def named_trade(name):
        return msgspec.structs.replace(trade(named[name]), trade_id=name, sequence=named[name])

    bench = Bench(rule=OPAQUE_TRADES, read=lambda frame, at: named_trade(frame.decode()))
    bench.frames("a")
    lost(bench)
    bench.feed.recovered(bench.wishes[0].token, tuple(map(named_trade, "abcd")))
    bench.frames("d", "e")

    taken = []
    while bench.consumer.waiting:
        value = bench.consumer.get(0)
        if isinstance(value, Trade):
            taken.append((value.trade_id, value.recovered))
    assert taken == [("a", False), ("b", True), ("c", True), ("d", True), ("e", False)]


def test_without_backfill_a_gap_is_told_at_once_and_nothing_is_asked():
    bench = Bench(backfill=False)
    bench.frames(1, 5)

    one, gap, five = bench.values()
    assert (one, gap.missing, five) == (1, 3, 5)
    assert bench.wishes == []


def test_a_successor_takes_over_without_losing_or_doubling_a_value(bench):
    successor = object()
    bench.frames(1, 2)
    bench.feed.prepare(successor)
    bench.frames(2, 3, source=successor)
    bench.frames(3, 4)
    bench.frames(4, 5, source=successor)
    bench.feed.adopt(successor)
    bench.frames(5)
    bench.frames(6, source=successor)

    assert bench.values() == [1, 2, 3, 4, 5, 6]
    assert bench.feed.gaps == 0


def test_a_venue_that_starts_counting_again_is_followed_after_a_while_and_the_break_is_told():
    moments = iter(range(1, 100))
    bench = Bench(read=lambda frame, at: msgspec.structs.replace(read(frame, at), event_time_ns=next(moments)))
    bench.frames(1000)
    for number in range(1, 9):
        bench.frames(number)
        bench.clock.advance(COUNT_RESTART_S / 4)

    values = bench.values()
    assert values[0] == 1000
    assert isinstance(values[1], Gap)
    assert values[1].reason == "the venue started counting again"
    assert values[2:] == list(range(values[2], 9))


def test_what_was_fetched_while_the_stream_stood_still_is_no_new_count_when_the_stream_brings_it_late(bench):
    bench.frames(1)
    bench.feed.on_disconnected("the cable")
    bench.feed.own(bench.source)
    bench.frames(9)
    bench.feed.recovered(bench.wishes[0].token, tuple(map(trade, range(2, 9))))
    for number in (1, 5, 6, 7, 8, 9):
        bench.frames(number)
        bench.clock.advance(COUNT_RESTART_S / 4)
    bench.frames(10)

    values = bench.values()
    assert [value for value in values if not isinstance(value, Gap)] == [1, -2, -3, -4, -5, -6, -7, -8, 9, 10]
    assert [value.reason for value in values if isinstance(value, Gap)] == ["connection lost"]


def test_the_same_old_value_repeated_for_ever_is_never_taken_for_a_new_count(bench):
    bench.frames(10)
    for _ in range(100):
        bench.frames(9)
        bench.clock.advance(1)

    assert bench.values() == [10]


def test_late_repeats_between_news_are_never_taken_for_a_new_count(bench):
    for number in range(10, 40):
        bench.frames(number, number - 5)
        bench.clock.advance(1)

    assert bench.values() == list(range(10, 40))


def test_a_lost_connection_marks_the_topic_stale_and_says_why(bench):
    bench.frames(1)
    bench.feed.on_disconnected("connection lost")

    assert bench.feed.state is TopicState.STALE
    fresh = bench.feed.freshness()
    assert fresh.stale
    assert "connection lost" in fresh.reason


def test_a_change_of_state_is_told_once_in_order(bench):
    bench.frames(1)
    bench.feed.on_disconnected("cut")
    bench.feed.on_disconnected("cut again")
    bench.feed.own(bench.source)
    bench.frames(2)
    told = []
    while bench.consumer.waiting:
        value = bench.consumer.get(0)
        told.append(value.state if isinstance(value, TopicStatus) else value.trade_id)

    assert told == [TopicState.LIVE, 1, TopicState.STALE, TopicState.LIVE, 2]


def test_one_slow_or_failing_consumer_changes_nothing_for_another(bench):
    def fail(value):
        raise RuntimeError("mine alone")

    broken = Subscription(bench.feed, bench.clock, callback=fail)
    bench.feed.attach(broken)
    bench.frames(1, 2)

    assert bench.values() == [1, 2]
    assert broken.failures == 2


def test_recovered_values_equal_the_live_ones_but_for_the_mark(bench):
    bench.frames(1, 3)
    bench.feed.recovered(bench.wishes[0].token, (trade(2),))
    bench.consumer.get(0)
    values = [bench.consumer.get(0) for _ in range(bench.consumer.waiting)]
    recovered = next(value for value in values if isinstance(value, Trade) and value.recovered)

    assert msgspec.structs.replace(recovered, recovered=False) == trade(2)


def test_a_callback_that_never_returns_is_taken_off_and_delivers_nothing_late(bench, monkeypatch):
    monkeypatch.setattr("connector.venue.feed.CALLBACK_WITHIN_S", 0.05)
    inside, release, late = threading.Event(), threading.Event(), []

    def hang(value):
        inside.set()
        release.wait(10)

    hung = Subscription(bench.feed, bench.clock, callback=hang)
    behind = Subscription(bench.feed, bench.clock, callback=late.append)
    bench.feed.attach(hung)
    bench.feed.attach(behind)
    reader = threading.Thread(target=bench.frames, args=(1, 2))
    reader.start()
    assert inside.wait(5)

    bench.feed.on_disconnected("the connection is silent")
    successor = object()
    bench.feed.own(successor)
    bench.frames(2, source=successor)
    release.set()
    reader.join(5)

    assert not reader.is_alive()
    assert hung.state is TopicState.CLOSED
    assert [trade.trade_id for trade in late if isinstance(trade, Trade)] == [2]
    assert "a consumer does not return" in bench.alarms


def test_a_topic_nobody_wants_starts_afresh_when_it_is_wanted_again(bench):
    bench.frames(1, 2)
    bench.feed.disown("nobody subscribes it")
    bench.feed.own(bench.source)
    bench.frames(500)

    assert bench.values() == [1, 2, 500]
    assert bench.feed.gaps == 0


# ---------------------------------------------------------------- frames that arrive together

NAME_AFTER = b"t:"


class Together(Reader):
    """The reader of two topics: frames are `t:<topic>"<trade id>`."""

    def __init__(self, **feeds):
        super().__init__(NAME_AFTER)
        self._route({name.encode(): feed for name, feed in feeds.items()})
        self.others = []

    def _on_other(self, frame, received_ns, now_s):
        self.others.append(frame)

    def hand_over(self, *frames):
        """Numbers are frames of the topic `a`."""
        frames = [frame if isinstance(frame, bytes) else b't:a"%d' % frame for frame in frames]
        self._pass_on(frames, 0, 0.0)


@pytest.fixture
def together():
    """Two live feeds with one callback each; `each` is called with every value of the first."""
    run, other = (Bench(read=lambda frame, at: read(frame[4:], at)) for _ in "ab")
    run.taken, run.others_taken = [], []
    run.each = lambda value: None

    def take(value):
        run.taken.append(getattr(value, "trade_id", value))
        run.each(value)

    run.source = Together(a=run.feed, b=other.feed)
    for bench, callback in ((run, take), (other, lambda value: run.others_taken.append(value.trade_id))):
        bench.feed.detach(bench.consumer)
        bench.direct = Subscription(bench.feed, bench.clock, callback=callback)
        bench.feed.attach(bench.direct)
        bench.feed.own(run.source)
    run.hand_over = run.source.hand_over
    run.other = other
    run.hand_over(1, b't:b"1')
    return run


def test_frames_that_arrive_together_reach_each_its_own_topic_in_their_order(together):
    together.hand_over(2, b't:b"2', 3, 3, b't:a"spoilt', b't:c"9', 4, b't:b"3', b"u:1")

    assert (together.taken, together.others_taken) == ([1, 2, 3, 4], [1, 2, 3])
    assert (together.feed.duplicates, together.feed.unreadable, together.feed.values) == (1, 1, 4)
    assert (together.feed.frames, together.feed.accepted, together.direct.delivered) == (6, 4, 4)
    assert together.source.others == [b't:c"9', b"u:1"]


def test_what_stands_behind_the_name_may_vary_without_end_and_is_not_remembered_without_end(together):
    """The longest name decides how many first bytes are compared: behind shorter ones, figures are among them."""
    together.source._route({b"a": together.feed, b"b-with-a-name-that-is-much-longer": together.other.feed})
    together.hand_over(*range(2, 200), b't:"', b"t:", b"", b't:a-"200', b't:b-with-a-name-that-is-much-longer"2')

    assert together.taken == list(range(1, 200))
    assert together.source.others == [b't:"', b"t:", b"", b't:a-"200']
    assert len(together.source._routing.known) <= 2 * KNOWN_PER_TOPIC


def test_frames_that_were_routed_elsewhere_meanwhile_go_there(together):
    together.source._route({b"b": together.feed})
    together.hand_over(2, b't:b"2')

    assert (together.taken, together.others_taken) == ([1, 2], [1])
    assert together.source.others == [b't:a"2']


def test_frames_behind_an_unreadable_or_repeated_one_go_on_as_before(together):
    together.hand_over(2, 2, b't:a"spoilt', 3, 1, 4)

    assert together.taken == [1, 2, 3, 4]


def test_a_hole_in_the_middle_of_frames_that_arrive_together_holds_back_what_is_behind_it(together):
    together.hand_over(2, 5, b't:b"2', 6)
    assert together.taken == [1, 2] and together.wishes and together.others_taken == [1, 2]
    together.feed.recovered(together.wishes[0].token, (trade(3), trade(4)))

    assert together.taken == [1, 2, 3, 4, 5, 6]


def test_a_callback_that_closes_itself_hears_none_of_what_arrived_with_its_last_value(together):
    together.each = lambda value: together.direct.close() if value.trade_id == 3 else None
    together.hand_over(2, 3, 4, 5)

    assert together.taken == [1, 2, 3] and together.direct.delivered == 3
    assert together.feed.accepted == 5, "the feed goes on"


def test_a_callback_that_fails_on_one_value_hears_the_others_that_came_with_it(together):
    def stumble(value):
        if value.trade_id == 3:
            raise ValueError("on purpose")

    together.each = stumble
    together.hand_over(2, 3, 4)

    assert together.taken == [1, 2, 3, 4] and together.direct.failures == 1


def test_a_second_consumer_hears_the_next_value_of_those_that_arrived_together(together):
    late = []
    second = Subscription(together.feed, together.clock, callback=lambda value: late.append(value.trade_id))
    together.each = lambda value: together.feed.attach(second) if value.trade_id == 2 else None
    together.hand_over(2, 3, 4)

    assert (together.taken, late) == ([1, 2, 3, 4], [3, 4])


def test_frames_of_a_connection_that_was_replaced_between_two_that_arrived_together_reach_nobody(together):
    successor = Together(a=together.feed)
    together.feed.own(successor)
    together.hand_over(2, b't:b"2', 3)
    successor.hand_over(2, 3)
    together.hand_over(4)

    assert together.taken == [1, 2, 3] and together.others_taken == [1, 2]


def test_whoever_waits_for_the_feed_gets_it_between_two_frames_that_arrived_together(together):
    seen = []

    def ask():
        with together.feed._exclusively():
            seen.append(together.taken[-1])

    other = threading.Thread(target=ask)

    def interrupt(value):
        if value.trade_id == 2:
            other.start()
            while other.is_alive() and not together.source._waiting:  # until the other stands in line
                pass
            seen.append("left")

    together.each = interrupt
    together.hand_over(2, 3, 4)
    other.join(5.0)

    assert seen == ["left", 2] and together.taken == [1, 2, 3, 4]


def test_of_frames_that_arrived_together_a_hung_callback_delivers_none_once_it_is_taken_off(together, monkeypatch):
    monkeypatch.setattr("connector.venue.feed.CALLBACK_WITHIN_S", 0.02)
    gone_on = threading.Event()
    together.each = lambda value: gone_on.wait(10.0) if value.trade_id == 2 else None
    reader = threading.Thread(target=lambda: together.hand_over(2, 3, b't:b"2', 4))
    reader.start()
    while together.taken[-1] != 2:
        pass
    together.other.feed.set_state(TopicState.STALE, "asked while another topic's callback hangs")
    assert together.other.direct.state is TopicState.STALE, "nobody waits for another topic's callback"
    together.feed.set_state(TopicState.STALE, "asked while it hangs")
    gone_on.set()
    reader.join(5.0)

    assert not reader.is_alive() and (together.taken, together.others_taken) == ([1, 2], [1, 2])
    assert together.direct.state is TopicState.CLOSED
    assert "a consumer does not return" in together.alarms


def test_one_of_several_callbacks_that_hangs_is_taken_off_and_the_others_go_on_with_the_next_connection(
    together, monkeypatch
):
    monkeypatch.setattr("connector.venue.feed.CALLBACK_WITHIN_S", 0.02)
    gone_on, behind = threading.Event(), []
    second = Subscription(together.feed, together.clock, callback=lambda value: behind.append(value.trade_id))
    together.feed.attach(second)
    together.hand_over(2)
    together.each = lambda value: gone_on.wait(10.0) if value.trade_id == 3 else None
    reader = threading.Thread(target=lambda: together.hand_over(3, 4))
    reader.start()
    while together.taken[-1] != 3:
        pass
    successor = Together(a=together.feed)
    together.feed.on_disconnected("the connection is silent")
    together.feed.own(successor)
    successor.hand_over(4, 5)
    gone_on.set()
    reader.join(5.0)

    assert not reader.is_alive() and (together.taken, behind) == ([1, 2, 3], [2, 4, 5])
    assert (together.direct.state, second.state) == (TopicState.CLOSED, TopicState.LIVE)


def test_a_reader_that_breaks_on_a_frame_has_left_the_feed(together):
    def broken(frame, received_ns):
        raise LookupError("a mistake in a driver")

    together.feed.bind(lambda: broken)
    with pytest.raises(LookupError):
        together.hand_over(2)

    assert together.source._at is None


def test_frames_that_begin_unusually_are_taken_while_somebody_waits_for_their_feed(together, monkeypatch):
    monkeypatch.setattr("connector.venue.feed.CALLBACK_WITHIN_S", 60.0)
    other = threading.Thread(target=together.feed.set_state, args=(TopicState.STALE, "asked in between"))

    def interrupt(value):
        if value.trade_id == 2:
            other.start()
            while other.is_alive() and not together.source._waiting:
                pass

    together.each = interrupt
    together.source._on_other = lambda frame, at, now_s: together.feed.on_frame(together.source, frame[1:], at, now_s)
    together.hand_over(2, b' t:a"3', 4)
    other.join(5.0)

    assert not other.is_alive() and together.taken == [1, 2, 3, 4]


def test_a_reader_let_in_and_sent_away_for_many_times_loses_doubles_and_swaps_nothing(together, monkeypatch):
    """Threads that change state and owner while frames come as fast as they can; who waits too long waits for ever."""
    monkeypatch.setattr("connector.venue.feed.CALLBACK_WITHIN_S", 60.0)
    over, taken, count = threading.Event(), together.taken, 20_000

    def disturb():
        while not over.is_set():
            together.feed.set_state(TopicState.LIVE, "asked")
            together.feed.own(together.source)

    others = [threading.Thread(target=disturb) for _ in range(2)]
    for each in others:
        each.start()
    for first in range(2, count, 50):
        together.hand_over(*range(first, first + 50))
    over.set()
    for each in others:
        each.join(5.0)
        assert not each.is_alive()

    last = taken[-1]
    assert last > count - 50 and taken == list(range(1, last + 1))
    assert together.feed.frames == together.feed.accepted == together.direct.delivered == last
