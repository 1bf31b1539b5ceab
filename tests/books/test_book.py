"""The levels of a book: exact, sorted, all or nothing, and silent about what it cannot know."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.books import Book
from connector.domain import BookDelta, Symbol
from connector.errors import WireFormatError

D = Decimal
SYMBOL = Symbol("BTC", "USDT")


def changes(bids=(), asks=()) -> BookDelta:
    return BookDelta("v", SYMBOL, None, 0, 1, 1, tuple(bids), tuple(asks))


def test_best_prices_and_levels_come_best_first():
    book = Book([(D(99), D(2)), (D(100), D(1))], [(D(102), D(2)), (D(101), D(1))])
    assert book.best_bid == (D(100), D(1))
    assert book.best_ask == (D(101), D(1))
    assert book.levels(1) == (((D(100), D(1)),), ((D(101), D(1)),))
    assert book.bids() == ((D(100), D(1)), (D(99), D(2)))
    assert book.asks(0) == book.bids(0) == ()
    assert book.depth() == (2, 2)


def test_quantity_is_absolute_and_zero_removes_in_any_scale():
    book = Book([(D("100.10"), D(1))])
    book.apply(changes([(D("100.1"), D(3)), (D(99), D(1))]))
    assert book.bids() == ((D("100.1"), D(3)), (D(99), D(1)))
    book.apply(changes([(D("100.1000"), D("0.00000000")), (D(42), D(0))]))
    assert book.bids() == ((D(99), D(1)),)


def test_prices_that_no_float_could_tell_apart_are_two_levels_in_their_order():
    low, high = "61234.123456789012345", "61234.123456789012346"
    assert float(low) == float(high)
    book = Book(bids=[(low, "1")])
    book.apply(changes([(high, "2"), ("0.1", "3"), ("0.100000000000000005", "4")]))
    assert [str(price) for price, _ in book.bids()] == [high, low, "0.100000000000000005", "0.1"]
    book.apply(changes([(high, "0")]))
    assert book.best_bid == (D(low), D(1))


def test_empty_sides_have_no_best_price():
    book = Book()
    assert book.best_bid is None and book.best_ask is None
    assert book.is_empty and not book.is_crossed
    assert "-/-" in repr(book)


def test_crossed_when_the_best_bid_reaches_the_best_ask():
    assert Book([(D(100), D(1))], [(D(100), D(1))]).is_crossed
    assert not Book([(D(100), D(1))], [(D("100.01"), D(1))]).is_crossed


@pytest.mark.parametrize(
    "bad",
    [
        (D("NaN"), D(1)),
        (D("sNaN"), D(1)),
        (D(1), D("NaN")),
        (D("Infinity"), D(1)),
        (D(1), D("Infinity")),
        (D(0), D(1)),
        (D(-1), D(1)),
        (D(1), D(-1)),
    ],
)
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_level_that_is_no_level_is_never_handed_out(bad, side):
    """Refused as it comes, or when it is looked at: either way the book's owner drops the book."""
    for spelt in (bad, tuple(map(str, bad))):
        book = Book([(D(100), D(1))], [(D(101), D(1))])
        with pytest.raises(WireFormatError):
            book.apply(changes(**{side: [spelt]}))
            book.levels()
    with pytest.raises(WireFormatError):
        Book(**{side: [(D(50), D(9)), bad]})


@pytest.mark.parametrize(
    "level",
    [
        (),
        ("1",),
        ("1", "1", "1"),
        (None, "1"),
        ("1", None),
        ("1", ""),
        ("", "1"),
        ("1", "1.2.3"),
        ("1.1.1", "1"),
        "1",
        7,
    ],
)
def test_what_is_no_pair_of_numbers_is_refused_with_the_one_error_of_the_wire(level):
    with pytest.raises(WireFormatError):
        book = Book()
        book.apply(changes([level]))
        book.levels()


def test_a_price_of_two_spellings_is_one_level():
    book = Book([(D("100.10"), D(1))])
    book.apply(changes([("100.1", "2")]))
    book.apply(changes([("100.1000", "3"), ("0100.10", "4")]))
    assert book.bids() == ((D("100.1"), D(4)),)
    book.apply(changes([("100.100", "0.00")]))
    assert book.is_empty


def test_what_is_read_is_exactly_what_was_written_and_made_once():
    book = Book()
    book.apply(changes([("121233.56000000", "0.00000001")], [("121234.000000000000000001", "99999999999.5")]))
    assert str(book.best_bid) == str((D("121233.56000000"), D("0.00000001")))
    assert book.best_ask == (D("121234.000000000000000001"), D("99999999999.5"))
    assert book.best_bid is book.best_bid
    assert book.bids()[0] is book.best_bid


def test_spellings_of_prices_long_gone_are_forgotten():
    book = Book()
    for number in range(1, 30_000):
        book.apply(changes([(f"{number}.5", "1"), (f"{number - 1}.5", "0")]))
    assert len(book._bids.spelt) <= 10_002
    assert book.bids() == ((D("29999.5"), D(1)),)


def test_side_cut_at_the_limit_keeps_to_the_range_it_covers():
    book = Book([(D(100), D(1)), (D(99), D(1))], [(D(101), D(1))], limit=2)
    assert book.bid_is_cut and not book.ask_is_cut
    book.apply(changes([(D(98), D(5)), (D("99.5"), D(5))], [(D(500), D(5))]))
    assert book.bids() == ((D(100), D(1)), (D("99.5"), D(5)), (D(99), D(1)))
    assert book.asks() == ((D(101), D(1)), (D(500), D(5)))
    book.apply(changes([(D(100), D(0)), (D(99), D(0)), (D("99.5"), D(0))]))
    assert book.bids() == ()
    book.apply(changes([(D(99), D(1)), (D("98.99"), D(1))]))
    assert book.bids() == ((D(99), D(1)),)


def test_side_shorter_than_the_limit_is_known_to_be_whole():
    book = Book([(D(100), D(1))], [], limit=2)
    assert not book.bid_is_cut and not book.ask_is_cut
    book.apply(changes([(D(1), D(1))]))
    assert book.depth() == (2, 0)


levels = st.lists(
    st.tuples(
        st.decimals("0.01", "9.99", places=2, allow_nan=False), st.sampled_from([D(0), D("0.000"), D(1), D("2.5")])
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(
    first=st.tuples(levels, levels),
    deltas=st.lists(st.tuples(levels, levels), max_size=12),
    looks=st.sets(st.integers(0, 12)),
)
def test_a_book_of_texts_equals_an_exact_book_whenever_it_is_looked_at(first, deltas, looks):
    spelt = [[[str(price), str(size)] for price, size in side] for side in first]
    of_texts, of_numbers = Book(*spelt), Book(*first)
    for number, (bids, asks) in enumerate(deltas):
        of_texts.apply(changes(*([[str(price), str(size)] for price, size in side] for side in (bids, asks))))
        of_numbers.apply(changes(bids, asks))
        if number in looks:
            assert of_texts.levels() == of_numbers.levels()
            assert (of_texts.best_bid, of_texts.best_ask) == (of_numbers.best_bid, of_numbers.best_ask)
    assert of_texts.levels() == of_numbers.levels()


@given(first=st.tuples(levels, levels), deltas=st.lists(st.tuples(levels, levels), max_size=12))
@settings(max_examples=200, deadline=None)
def test_book_equals_a_naive_one(first, deltas):
    naive = [dict(side) for side in first]
    book = Book(naive[0].items(), naive[1].items())
    for delta in deltas:
        book.apply(changes(*delta))
        for side, update in zip(naive, delta, strict=True):
            side.update(update)
        bids, asks = ({price: size for price, size in side.items() if size} for side in naive)
        assert book.bids() == tuple(sorted(bids.items(), reverse=True))
        assert book.asks() == tuple(sorted(asks.items()))
        assert book.best_bid == (book.bids(1) or (None,))[0]
        assert book.best_ask == (book.asks(1) or (None,))[0]
