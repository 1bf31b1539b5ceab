"""Both ends of the way of market data, without a process between them: bounds, gaps, copies of books, hung consumers."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest

from connector import BookNotValid, Symbol
from connector.books.rule import BookRule, Continuity
from connector.domain.market import BookDelta, BookState, BookTicker, Gap, OrderBook, Side, Trade
from connector.domain.topics import Topic, TopicKind
from connector.isolation.line import Line, pair
from connector.isolation.mirror import MIRROR_RULE, MirrorBook, MirrorFeed
from connector.isolation.outlet import Outlet
from connector.isolation.wire import read_facts
from connector.telemetry import Counters, OncePerKind
from connector.testing.clocks import FakeClock
from connector.venue.book_feed import BookFeed, RenewalWish
from connector.venue.delivery import Subscription, TopicState
from connector.venue.feed import Backfill, Feed

BTC_USDT = Symbol("BTC", "USDT")
RULE = BookRule(
    snapshot_limit=None,
    continuity=lambda at, delta: Continuity.NEXT if delta.first_update_id == at + 1 else Continuity.GAP,
    joins=lambda snapshot, delta: True,
    first=lambda at, delta: Continuity.NEXT if delta.first_update_id == at + 1 else Continuity.GAP,
    source="a test's",
)


def trade(number: int) -> Trade:
    return Trade("binance", BTC_USDT, number, number, number, Decimal("1.10"), Decimal(number), Side.BUY)


def ticker(number: int) -> BookTicker:
    return BookTicker("binance", BTC_USDT, None, number, Decimal(1), Decimal(number), Decimal(2), Decimal(3), number)


class Way:
    """One topic from its feed over there to its mirror here; `carry` moves what has gathered."""

    def __init__(self, kind: TopicKind, capacity: int = 100) -> None:
        self.clock = FakeClock()
        self.wishes: list[object] = []
        self.topic = Topic(kind, BTC_USDT)
        common = {"counters": Counters(), "alarms": OncePerKind("binance")}
        is_book = kind is TopicKind.BOOK
        self.there = (
            BookFeed("binance", self.topic, self.clock, RULE, ask=lambda wish: None, **common)
            if is_book
            else Feed("binance", self.topic, self.clock, ask=lambda wish: None, **common)
        )
        self.here = (
            MirrorBook("binance", self.topic, self.clock, MIRROR_RULE, ask=self.wishes.append, **common)
            if is_book
            else MirrorFeed("binance", self.topic, self.clock, ask=self.wishes.append, **common)
        )
        ours, theirs = pair()
        self.line, self.far = Line(ours), Line(theirs)
        self.seen: list[object] = []
        self.here.read_chunks()
        self.here.attach(Subscription(self.here, self.clock, callback=self.seen.append, notices=True))
        self.here.own(self.line)
        self.source = object()
        self.there.bind(lambda: lambda frame, received_ns: frame)  # frames are values already
        self.there.own(self.source)
        self.outlet = Outlet("binance", self.far, self.clock, capacity=capacity)
        self.outlet.follow(1, self.topic, self.there, self.subscribe)
        self.carry()

    def subscribe(self, take):
        subscription = Subscription(self.there, self.clock, callback=take, notices=True)
        self.there.attach(subscription)
        return subscription

    def feed(self, *values: object) -> None:
        for value in values:
            self.there.on_frame(self.source, value, self.clock.time_ns(), self.clock.monotonic_s())

    def carry(self) -> None:
        self.outlet.flush()
        with suppress(TimeoutError):
            while True:
                at_s, chunks = read_facts(self.line.take(0.0))
                for _, tag, payload in chunks:
                    self.here.on_chunk(self.line, tag, payload, at_s)

    def values(self, kind: type) -> list[object]:
        return [each for each in self.seen if type(each) is kind]

    def close(self) -> None:
        for line in (self.line, self.far):
            line.abandon()
            line.write()


@pytest.fixture
def way():
    made: list[Way] = []

    def make(kind: TopicKind, **more: int) -> Way:
        made.append(Way(kind, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


# ---------------------------------------------------------------- trades


def test_values_arrive_in_order_and_none_twice(way):
    trades = way(TopicKind.TRADES)
    trades.feed(*map(trade, range(1, 51)))
    trades.carry()
    trades.feed(trade(50), trade(51))
    trades.carry()

    assert trades.values(Trade) == list(map(trade, range(1, 52)))
    assert trades.here.state is TopicState.LIVE and not trades.wishes


def test_the_state_over_there_is_the_state_here(way):
    trades = way(TopicKind.TRADES)
    trades.feed(trade(1))
    trades.there.on_disconnected("its connection was lost")
    trades.carry()

    assert trades.here.state is TopicState.STALE and trades.here.reason == "its connection was lost"


def test_trades_that_find_no_room_leave_a_gap_in_their_place(way):
    trades = way(TopicKind.TRADES, capacity=10)
    trades.feed(*map(trade, range(1, 16)))
    trades.carry()
    trades.feed(trade(16))
    trades.carry()

    (gap,) = trades.values(Gap)
    assert gap.missing == 6 and "did not keep up" in gap.reason
    assert [each.trade_id for each in trades.values(Trade)] == [*range(1, 10), 16]
    assert [type(each) for each in trades.seen[-2:]] == [Gap, Trade]
    assert not trades.wishes  # what was told to be lost is not chased
    assert trades.outlet.dropped == 6


def test_of_best_prices_the_newest_survive_and_nothing_is_a_gap(way):
    tickers = way(TopicKind.BOOK_TICKER, capacity=5)
    tickers.feed(*map(ticker, range(1, 21)))
    tickers.carry()

    assert [each.update_id for each in tickers.values(BookTicker)][-1] == 20
    assert len(tickers.values(BookTicker)) <= 5 and not tickers.values(Gap)


def test_a_hole_between_two_lives_is_asked_for_once(way):
    trades = way(TopicKind.TRADES)
    trades.feed(trade(1), trade(2))
    trades.carry()
    trades.here.on_disconnected("the venue's process ended")
    trades.here.own(trades.line)  # the next life
    trades.feed(trade(3), trade(4))
    trades.outlet.flush()
    trades.line.take(5.0)  # lost with the last life
    trades.feed(trade(5), trade(6))
    trades.carry()

    (wish,) = trades.wishes
    assert isinstance(wish, Backfill) and (wish.missing.first, wish.missing.last) == (3, 4)
    trades.here.recovered(wish.token, (trade(3), trade(4)))
    assert [each.trade_id for each in trades.values(Trade)] == [1, 2, 3, 4, 5, 6]
    (gap,) = trades.values(Gap)
    assert gap.filled == 2 and "process ended" in gap.reason


def test_what_comes_from_a_life_that_is_over_is_dropped(way):
    trades = way(TopicKind.TRADES)
    trades.here.own(object())
    trades.feed(trade(1))
    trades.carry()

    assert not trades.values(Trade)


def test_the_age_counts_from_the_writing_and_not_from_the_reading(way):
    trades = way(TopicKind.TRADES)
    trades.feed(trade(1))
    trades.outlet.flush()
    trades.clock.advance(2.5)
    trades.carry()

    assert trades.here.freshness().age_s == pytest.approx(2.5)


# ---------------------------------------------------------------- books


def whole(number: int, levels: int = 3) -> OrderBook:
    bids = tuple((Decimal(100 - step), Decimal(number)) for step in range(levels))
    asks = tuple((Decimal(101 + step), Decimal(number)) for step in range(levels))
    return OrderBook("binance", BTC_USDT, number, number, number, bids, asks)


def delta(number: int, *bids: tuple[str, str]) -> BookDelta:
    return BookDelta("binance", BTC_USDT, number, number, number, number, list(bids), [])


def test_a_book_is_copied_whole_once_and_follows_by_deltas(way):
    book = way(TopicKind.BOOK)
    book.feed(whole(1))
    book.carry()
    book.feed(delta(2, ("99.5", "7")), delta(3, ("100", "0")), delta(4, ("98", "1.50")))
    book.carry()

    assert book.here.book.state is BookState.VALID
    assert book.here.book.snapshot(None) == book.there.book.snapshot(None)
    assert book.here.book.update_id == 4
    assert book.there._counters.get("book.stream_snapshots") == 2  # one counter for both: one there, one here


def test_a_book_that_is_not_valid_there_is_not_valid_here_with_the_same_reason(way):
    book = way(TopicKind.BOOK)
    book.feed(whole(1), delta(2, ("99.5", "7")))
    book.carry()
    book.feed(delta(9, ("99.5", "8")))
    book.carry()

    with pytest.raises(BookNotValid, match="updates are missing"):
        book.here.book.snapshot()
    book.feed(whole(20))
    book.carry()
    assert book.here.book.snapshot(None) == book.there.book.snapshot(None)


def test_a_delta_that_does_not_follow_voids_the_copy_and_asks_for_a_whole_one(way):
    book = way(TopicKind.BOOK)
    book.feed(whole(1))
    book.carry()
    book.feed(delta(2, ("99.5", "7")))
    book.outlet.flush()
    book.line.take(5.0)  # lost
    book.feed(delta(3, ("99.5", "8")))
    book.carry()

    with pytest.raises(BookNotValid):
        book.here.book.snapshot()
    assert isinstance(book.wishes[-1], RenewalWish)
    book.outlet.again(1)
    book.carry()
    assert book.here.book.snapshot(None) == book.there.book.snapshot(None)


def test_a_book_whose_updates_found_no_room_is_void_until_it_is_sent_whole(way):
    book = way(TopicKind.BOOK, capacity=5)
    book.feed(whole(1))
    book.carry()
    book.feed(*(delta(number, ("99.5", str(number))) for number in range(2, 20)))
    book.carry()
    assert book.here.book.state is not BookState.VALID
    book.carry()

    assert book.here.book.snapshot(None) == book.there.book.snapshot(None)
    assert any(each.state is not BookState.VALID for each in book.seen if hasattr(each, "best_bid"))


def test_silence_makes_a_book_void_and_a_topic_stale(way):
    book, trades = way(TopicKind.BOOK), way(TopicKind.TRADES)
    book.feed(whole(1))
    trades.feed(trade(1))
    for each in (book, trades):
        each.carry()
        each.here.falls_silent("nothing was heard")

    with pytest.raises(BookNotValid, match="nothing was heard"):
        book.here.book.best()
    assert trades.here.state is TopicState.STALE and trades.here.freshness().stale
    for each in (book, trades):
        each.outlet.again(1)
        each.carry()
    assert book.here.book.state is BookState.VALID and trades.here.state is TopicState.LIVE


def test_a_book_cut_at_its_snapshot_keeps_its_range_here_too(way):
    book = way(TopicKind.BOOK)
    book.feed(whole(1))
    book.there.book.confine((98 * 10**18, 103 * 10**18))
    book.outlet.again(1)
    book.carry()
    book.feed(delta(2, ("97", "5"), ("98.5", "6")))
    book.carry()

    found = book.here.book.snapshot(None)
    assert found == book.there.book.snapshot(None)
    assert [price for price, _ in found.bids] == [Decimal(100), Decimal(99), Decimal("98.5"), Decimal(98)]
