"""A consolidated book equals the merge of the books that are in, after every step, and whoever may be wrong is out at once."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.aggregate import (
    ConsolidatedQuote,
    Consolidation,
    Meeting,
    Source,
    SourceJoined,
    SourceLeft,
    merged,
)
from connector.domain import OrderBook
from connector.errors import ConnectorBug, InvalidRequest

A = Source.of("alpha", "BTC/USDT", "0.001")
B = Source.of("beta", "BTC/USDT", "0.0005")
C = Source.of("beta", "BTC/USDC", "0.002")
RATE = Source.of("alpha", "USDC/USDT")


def kinds(events):
    return [type(event) for event in events]


def test_a_source_is_in_from_its_first_valid_book_and_says_so_before_the_quote(make):
    core = Consolidation([A, B])

    joined, quote = core.on_book(A.key, make.book(A, {100: 1}, {101: 2}, received_ns=7))

    assert joined == SourceJoined(A, 7)
    assert (quote.best_bid.price, quote.best_ask.price, quote.sources, quote.changed) == (100, 101, 1, A)
    assert [status.is_in for status in core.status()] == [True, False]
    assert core.status()[1].reason == "nothing came yet"


def test_a_book_that_may_be_wrong_leaves_in_the_same_call_with_the_reason_and_without_its_prices(make):
    core = Consolidation([A, B])
    core.on_book(A.key, make.book(A, {100: 1}, {101: 2}))
    core.on_book(B.key, make.book(B, {99: 3}, {102: 4}))

    left, quote = core.on_lost(A.key, "updates are missing", 9)

    assert left == SourceLeft(A, "updates are missing", 9)
    assert (quote.best_bid.price, quote.best_ask.price) == (99, 102)
    assert core.on_lost(A.key, "the connection was lost", 10) == (), "it is told once"
    assert core.status()[0].reason == "the connection was lost"
    assert kinds(core.on_book(A.key, make.book(A, {100: 1}, {101: 2}))) == [SourceJoined, ConsolidatedQuote]


def test_without_any_source_there_is_no_price(make):
    core = Consolidation([A])
    core.on_book(A.key, make.book(A, {100: 1}, {101: 2}))

    _, quote = core.on_lost(A.key, "gone", 9)

    assert (quote.best_bid, quote.best_ask, quote.meeting, quote.sources) == (None, None, Meeting.EMPTY, 0)


def test_equal_prices_are_added_up_at_the_top_and_stay_apart_in_the_levels(make):
    core = Consolidation([A, B])
    books = [make.book(A, {100: 1, 98: 5}, {101: 2}), make.book(B, {"100.0": 3}, {103: 1})]
    core.on_book(A.key, books[0])
    core.on_book(B.key, books[1])

    best = core.best().best_bid
    bids, _ = merged([(A, core.terms(A), books[0]), (B, core.terms(B), books[1])])

    assert (best.price, best.quantity, [level.source for level in best.levels]) == (100, 4, [A, B])
    assert [(level.source, level.quantity) for level in bids] == [(A, 1), (B, 3), (A, 5)]


@pytest.mark.parametrize(
    ("bid", "meeting"), [("100.9", Meeting.OPEN), ("101", Meeting.LOCKED), ("101.1", Meeting.CROSSED)]
)
def test_venues_that_cross_are_told_and_not_hidden(make, bid, meeting):
    core = Consolidation([A, B])
    core.on_book(A.key, make.book(A, {100: 1}, {101: 2}))

    *_, quote = core.on_book(B.key, make.book(B, {bid: 1}, {102: 1}))

    assert quote.meeting is meeting
    assert (quote.best_bid.price, quote.best_ask.price) == (Decimal(bid), 101)


def test_one_side_alone_is_told_as_such(make):
    core = Consolidation([A])

    *_, quote = core.on_book(A.key, make.book(A, {}, {101: 2}))

    assert (quote.best_bid, quote.best_ask.price, quote.meeting) == (None, 101, Meeting.ONE_SIDED)


def test_fees_may_make_another_venue_the_best(make):
    core = Consolidation([A, B])
    core.on_book(A.key, make.book(A, {"100.00": 1}, {"101.00": 1}))
    core.on_book(B.key, make.book(B, {"99.99": 1}, {"101.01": 1}))

    plain, paid = core.best(), core.best(fees=True)

    assert (plain.best_bid.levels[0].source, paid.best_bid.levels[0].source) == (A, B)
    assert paid.best_bid.price == Decimal("99.99") * Decimal("0.9995")
    assert paid.best_ask.price == Decimal("101.01") * Decimal("1.0005")
    assert paid.best_ask.levels[0].venue_price == Decimal("101.01")


def test_a_fee_that_is_not_stated_is_not_zero(make):
    nameless = Source.of("gamma", "BTC/USDT")
    core = Consolidation([A, nameless])

    with pytest.raises(InvalidRequest, match=r"BTC/USDT\.gamma is not stated"):
        core.best(fees=True)


def test_a_source_whose_rate_is_not_known_is_out_however_valid_its_book(make):
    core = Consolidation([A, C], "USDT", {"USDC": RATE})
    core.on_book(A.key, make.book(A, {100: 1}, {101: 1}))

    assert core.on_book(C.key, make.book(C, {200: 1}, {201: 1})) == ()
    assert "rate of USDC in USDT is not known: USDC/USDT.alpha: nothing came yet" in core.status()[1].reason
    joined, quote = core.on_book(RATE.key, make.book(RATE, {"0.5": 9}, {"0.502": 9}))
    assert (joined.source, quote.changed) == (C, C)
    assert (quote.best_bid.price, quote.best_ask.price) == (Decimal(100), Decimal("100.902"))
    left, quote = core.on_lost(RATE.key, "silent", 5)
    assert (left.source, quote.sources) == (C, 1)
    assert "silent" in left.reason
    assert kinds(core.on_book(RATE.key, make.book(RATE, {"0.5": 9}, {"0.5": 9}))) == [SourceJoined, ConsolidatedQuote]
    left, _ = core.on_book(RATE.key, make.book(RATE, {"0.5": 9}, {}))
    assert "empty side" in left.reason


def test_a_rate_that_moves_moves_the_quote(make):
    core = Consolidation([A, C], "USDT", {"USDC": RATE})
    for source, book in ((A, make.book(A, {100: 1}, {101: 1})), (C, make.book(C, {99: 1}, {102: 1}))):
        core.on_book(source.key, book)
    core.on_book(RATE.key, make.book(RATE, {1: 9}, {1: 9}))

    (quote,) = core.on_book(RATE.key, make.book(RATE, {"1.02": 9}, {"1.03": 9}))

    assert (quote.best_bid.price, quote.best_bid.levels[0].source) == (Decimal("100.98"), C)


def test_a_book_nobody_named_is_a_bug_and_not_a_source(make):
    with pytest.raises(ConnectorBug):
        Consolidation([A]).on_book(B.key, make.book(B, {1: 1}, {2: 1}))


def test_the_status_line_names_prices_and_who_is_in(make):
    core = Consolidation([A, B])
    core.on_book(A.key, make.book(A, {100: 1}, {101: 2}))

    assert repr(core) == "<Consolidation BTC/USDT 100/101 1 of 2 in>"


# ---------------------------------------------------------------- any script of changes

PRICES = st.integers(1, 30)
SIDE = st.dictionaries(PRICES, st.integers(1, 9), max_size=8)
SOURCES = (A, B, C)
WATCHED = (*SOURCES, RATE)
STEP = st.tuples(st.sampled_from(WATCHED), st.one_of(st.none(), st.tuples(SIDE, SIDE)))


def brute_force(books, fees):
    """Every level of every source that may be in, converted by hand and sorted with what has no ties."""
    rate = books.get(RATE)
    bids, asks = [], []
    for place, source in enumerate(SOURCES):
        book = books.get(source)
        if book is None:
            continue
        sold = bought = Decimal(1)
        if source is C:
            if rate is None or not rate.bids or not rate.asks:
                continue
            sold, bought = rate.bids[0][0], rate.asks[0][0]
        fee = source.taker_fee if fees else Decimal(0)
        bids += [(-(price * sold * (1 - fee)), place, size, price) for price, size in book.bids]
        asks += [(price * bought * (1 + fee), place, size, price) for price, size in book.asks]
    return (
        [(-price, SOURCES[place], size, raw) for price, place, size, raw in sorted(bids)],
        [(price, SOURCES[place], size, raw) for price, place, size, raw in sorted(asks)],
    )


def flat(levels):
    return [(level.price, level.source, level.quantity, level.venue_price) for level in levels]


@given(st.lists(STEP, max_size=30), st.booleans(), st.integers(0, 5))
def test_after_every_step_of_any_script_the_book_is_the_merge_of_what_is_valid(script, fees, depth):
    core = Consolidation(SOURCES, "USDT", {"USDC": RATE})
    books: dict[Source, OrderBook] = {}
    is_in: set[Source] = set()
    for number, (source, sides) in enumerate(script):
        if sides is None:
            books.pop(source, None)
            events = core.on_lost(source.key, "said so", number)
        else:
            bids, asks = (tuple((Decimal(p), Decimal(q)) for p, q in side.items()) for side in sides)
            copy = OrderBook(
                source.venue,
                source.symbol,
                None,
                number,
                number,
                tuple(sorted(bids, reverse=True)),
                tuple(sorted(asks)),
            )
            books[source] = copy
            events = core.on_book(source.key, copy)
        for event in events:  # who is in can be followed from the events alone
            if isinstance(event, SourceJoined):
                assert event.source not in is_in
                is_in.add(event.source)
            elif isinstance(event, SourceLeft):
                is_in.remove(event.source)
        wanted_bids, wanted_asks = brute_force(books, fees)
        assert {status.source for status in core.status() if status.is_in} == is_in
        assert is_in >= {source for _, source, *_ in (*wanted_bids, *wanted_asks)}
        there = [(each, core.terms(each, fees=fees), books[each]) for each in SOURCES if core.is_in(each)]
        got_bids, got_asks = merged(there)
        assert (flat(got_bids), flat(got_asks)) == (wanted_bids, wanted_asks)
        cut = [
            (each, terms, OrderBook("", each.symbol, None, 0, 0, book.bids[:depth], book.asks[:depth]))
            for each, terms, book in there
        ]
        some_bids, some_asks = merged(cut, depth)
        assert (flat(some_bids), flat(some_asks)) == (wanted_bids[:depth], wanted_asks[:depth])
        quote = core.best(fees=fees)
        for best, wanted in ((quote.best_bid, wanted_bids), (quote.best_ask, wanted_asks)):
            assert (best is None) == (not wanted)
            if best is not None:
                assert best.price == wanted[0][0]
                assert best.quantity == sum(size for price, _, size, _ in wanted if price == best.price)
        if events and not fees:
            assert events[-1].best_bid == quote.best_bid and events[-1].best_ask == quote.best_ask
