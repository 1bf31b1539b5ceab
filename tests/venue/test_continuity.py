"""What lies between two values of a topic, the query that brings it back, and what proves that silence is a fault."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from connector.domain import AggTrade, Candle, OrderBook, Side, Symbol, Ticker, Topic, TopicKind, Trade
from connector.domain.queries import AggTradesQuery, CandlesQuery, HistoricalTradesQuery
from connector.venue.continuity import CONTINUITY, following, same_but_for_times, unsettled

BTC = Symbol("BTC", "USDT")
ONE = Decimal(1)
MINUTE_NS = 60 * 1_000_000_000
TRADES = Topic(TopicKind.TRADES, BTC)
CANDLES = Topic(TopicKind.CANDLES, BTC, interval="1m")


def trade(number, received_ns=0):
    return Trade("venue", BTC, number, received_ns, number, ONE, ONE, Side.BUY)


def aggregate(number, last_trade_id=0):
    return AggTrade("venue", BTC, number, 0, number, ONE, ONE, Side.BUY, 0, last_trade_id)


def candle(minute, *, closed, volume=ONE):
    start = minute * MINUTE_NS
    return Candle("venue", BTC, start, 0, "1m", start, start + MINUTE_NS - 1, ONE, ONE, ONE, ONE, volume, closed)


def book(update_id, bid="1"):
    return OrderBook("venue", BTC, None, 0, update_id, ((Decimal(bid), ONE),), ((Decimal(9), ONE),))


def missing(topic, last, new):
    return CONTINUITY[topic.kind].missing(topic, last, new)


def test_every_kind_of_topic_has_its_rules():
    assert set(CONTINUITY) == set(TopicKind)


def test_consecutive_trades_miss_nothing():
    assert missing(TRADES, trade(7), trade(8)) is None


def test_a_jump_in_trade_ids_names_exactly_what_lies_between():
    hole = missing(TRADES, trade(7), trade(12))

    assert (hole.first, hole.last, hole.count) == (8, 11, 4)
    assert hole.query == HistoricalTradesQuery(BTC, from_id=8)


def test_a_candle_last_seen_open_is_fetched_again_when_the_next_one_opens():
    hole = missing(CANDLES, candle(5, closed=False), candle(6, closed=False))

    assert (hole.first, hole.last) == (5 * MINUTE_NS, 6 * MINUTE_NS - 1)


def test_a_closed_candle_followed_by_the_next_misses_nothing():
    assert missing(CANDLES, candle(5, closed=True), candle(6, closed=False)) is None


def test_candles_skipped_after_a_closed_one_are_fetched_from_the_next_open_time():
    hole = missing(CANDLES, candle(5, closed=True), candle(9, closed=False))

    assert hole.query == CandlesQuery(BTC, "1m", start_ns=6 * MINUTE_NS, end_ns=9 * MINUTE_NS - 1)


def test_close_times_in_milliseconds_leave_no_hole_before_the_next_candle():
    closed = replace(candle(5, closed=True), close_time_ns=6 * MINUTE_NS - 1_000_000)

    assert missing(CANDLES, closed, candle(6, closed=False)) is None
    assert missing(CANDLES, closed, candle(8, closed=False)).first == 6 * MINUTE_NS


def test_the_page_that_ends_with_the_last_missing_candle_is_the_last_page():
    hole = missing(CANDLES, candle(5, closed=True), candle(9, closed=False))

    assert following(hole, [replace(candle(8, closed=True), close_time_ns=9 * MINUTE_NS - 1_000_000)]) is None


def test_a_missing_candle_that_is_not_final_yet_is_asked_for_again_by_its_open_time():
    hole = missing(CANDLES, candle(5, closed=True), candle(9, closed=False))

    assert unsettled(hole, [candle(7, closed=True), candle(8, closed=False)]).start_ns == 8 * MINUTE_NS
    assert unsettled(hole, [candle(8, closed=True)]) is None
    assert unsettled(hole, [candle(9, closed=False)]) is None
    assert unsettled(hole, []) is None


def test_updates_of_the_same_candle_miss_nothing():
    assert missing(CANDLES, candle(5, closed=False), candle(5, closed=True)) is None


def test_pages_follow_one_another_until_the_hole_is_covered():
    hole = missing(TRADES, trade(7), trade(2500))

    second = following(hole, [trade(number) for number in range(8, 1008)])

    assert second == HistoricalTradesQuery(BTC, from_id=1008)
    assert following(hole, [trade(2499)]) is None
    assert following(hole, []) is None


def test_pages_of_aggregates_and_candles_follow_too():
    aggregates = missing(Topic(TopicKind.AGG_TRADES, BTC), aggregate(1), aggregate(5000))
    candles = missing(CANDLES, candle(1, closed=True), candle(3000, closed=False))

    assert following(aggregates, [aggregate(1001)]) == AggTradesQuery(BTC, from_id=1002)
    assert following(candles, [candle(1001, closed=True)]).start_ns == 1002 * MINUTE_NS


def ticker(last, count):
    return Ticker("venue", BTC, 1, 0, Decimal(last), *[ONE] * 9, last_quantity=ONE, trade_count=count)


@pytest.mark.parametrize(
    ("kind", "seen", "nothing_new", "news"),
    [
        (TopicKind.TRADES, trade(9), (aggregate(3, last_trade_id=9),), (aggregate(4, last_trade_id=10),)),
        (TopicKind.AGG_TRADES, aggregate(3), (aggregate(3),), (aggregate(4),)),
        (
            TopicKind.CANDLES,
            candle(5, closed=False),
            (candle(5, closed=False),),
            (candle(5, closed=False, volume=2 * ONE),),
        ),
        (TopicKind.TICKER, ticker("5", 10), (ticker("5", 9),), (ticker("6", 10),)),
        (TopicKind.PARTIAL_BOOK, book(5), book(6), book(6, bid="2")),
    ],
)
def test_only_news_the_topic_should_have_sent_prove_that_it_is_silent(kind, seen, nothing_new, news):
    shows_newer = CONTINUITY[kind].shows_newer

    assert not shows_newer(seen, nothing_new)
    assert shows_newer(seen, news)


def test_answers_are_compared_without_their_times():
    assert same_but_for_times((trade(5, received_ns=1),), (trade(5, received_ns=2),))
    assert not same_but_for_times((trade(5),), (trade(6),))
