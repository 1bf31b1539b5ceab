"""A spread is told when it opens and when it closes, net of fees, and never by a book that may be wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.aggregate import Consolidation, Source, SpreadChange, SpreadWatch
from connector.errors import InvalidRequest

A = Source.of("alpha", "BTC/USDT", "0.001")
B = Source.of("beta", "BTC/USDT", "0.001")
SAME_VENUE = Source.of("alpha", "BTC/USDT:USDT", "0.0005")


class Scene:
    """A watch behind a consolidation, as the live book couples them."""

    def __init__(self, make, open_bps, close_bps=None, step_bps=None, sources=(A, B)):
        self.make, self.core = make, Consolidation(sources)
        self.watch = SpreadWatch(sources, *(None if x is None else Decimal(x) for x in (open_bps, close_bps, step_bps)))

    def show(self, source, bid, ask, size=1, at_ns=5):
        self.core.on_book(source.key, self.make.book(source, {bid: size}, {ask: size}))
        return self.watch.on_top(self.core.top(source), self.core.top(source, fees=True), at_ns)


def test_a_spread_opens_when_it_pays_after_both_fees_and_says_all_of_it(make):
    scene = Scene(make, 10)

    assert scene.show(A, 99, 100, size=3) == ()
    assert scene.show(B, "100.25", 101) == (), "25 bps before fees are 5 after them"
    (event,) = scene.show(B, "100.4", 101, size=2, at_ns=8)

    assert event.change is SpreadChange.OPENED
    assert (event.buy.source, event.buy.price, event.sell.source, event.sell.price) == (A, 100, B, Decimal("100.4"))
    assert event.quantity == 2
    assert event.gross == Decimal("0.4")
    assert event.net == Decimal("100.4") * Decimal("0.999") - Decimal("100.1")
    assert event.net_bps == Decimal("19.9401")
    assert (event.opened_ns, event.at_ns) == (8, 8)
    assert scene.watch.open == (event,)


def test_an_open_spread_is_quiet_between_its_two_thresholds(make):
    scene = Scene(make, 10, 5)
    scene.show(A, 99, 100)
    scene.show(B, "100.4", 101)

    assert scene.show(B, "100.3", 101) == (), "about 9.99 bps: below opening, above closing"
    (closed,) = scene.show(B, "100.2", 101, at_ns=9)

    assert (closed.change, closed.reason, closed.opened_ns, closed.at_ns) == (
        SpreadChange.CLOSED,
        "it narrowed",
        5,
        9,
    )
    assert scene.show(B, "100.3", 101) == ()
    assert scene.watch.open == ()
    assert scene.watch.counts == {"opened": 1, "kept_quiet": 1, "closed": 1}


def test_the_thresholds_themselves_belong_to_the_open_spread(make):
    free = Source.of("alpha", "BTC/USDT", 0), Source.of("beta", "BTC/USDT", 0)
    scene = Scene(make, 10, 5, sources=free)
    scene.show(free[0], 99, 100)

    assert scene.show(free[1], "100.0999", 101) == ()
    assert [event.net_bps for event in scene.show(free[1], "100.1", 101)] == [10]
    assert scene.show(free[1], "100.05", 101) == ()
    assert [event.net_bps for event in scene.show(free[1], "100.0499", 101)] == [Decimal("4.99")]


def test_a_step_tells_an_open_spread_again_when_it_moved_so_far(make):
    scene = Scene(make, 10, 0, 5)
    scene.show(A, 99, 100)
    scene.show(B, "100.4", 101)

    assert scene.show(B, "100.42", 101) == ()
    (moved,) = scene.show(B, "100.46", 101, at_ns=6)

    assert (moved.change, moved.opened_ns, moved.at_ns) == (SpreadChange.MOVED, 5, 6)


def test_a_source_that_leaves_closes_its_spreads_at_once(make):
    scene = Scene(make, 10)
    scene.show(A, 99, 100)
    (opened,) = scene.show(B, "100.4", 101)

    (closed,) = scene.watch.on_left(A, "updates are missing", 20)

    assert (closed.change, closed.at_ns) == (SpreadChange.CLOSED, 20)
    assert closed.reason == "BTC/USDT.alpha left: updates are missing"
    assert (closed.buy, closed.sell) == (opened.buy, opened.sell)
    assert scene.show(B, "100.5", 101) == (), "nothing is compared with a book that is out"


def test_a_side_without_a_price_closes_the_spread(make):
    scene = Scene(make, 10)
    scene.show(A, 99, 100)
    scene.show(B, "100.4", 101)
    scene.core.on_book(B.key, make.book(B, {}, {101: 1}))

    (closed,) = scene.watch.on_top(scene.core.top(B), scene.core.top(B, fees=True), 7)

    assert closed.reason == "one side has no price any more"


def test_two_products_of_one_venue_are_no_spread_between_venues(make):
    scene = Scene(make, 0, sources=(A, SAME_VENUE))
    scene.show(A, 99, 100)

    assert scene.show(SAME_VENUE, 150, 151) == ()


def test_a_net_spread_needs_every_fee():
    with pytest.raises(InvalidRequest, match=r"needs the taker fee of BTC/USDT\.gamma"):
        SpreadWatch([A, Source.of("gamma", "BTC/USDT")], Decimal(1))


@pytest.mark.parametrize(("close", "step"), [("11", None), ("5", "0"), ("5", "-1")])
def test_thresholds_that_make_no_sense_are_refused(close, step):
    with pytest.raises(InvalidRequest, match="_bps is"):
        SpreadWatch([A, B], Decimal(10), Decimal(close), None if step is None else Decimal(step))


TOPS = st.tuples(st.sampled_from([A, B]), st.one_of(st.none(), st.tuples(st.integers(90, 110), st.integers(1, 5))))


@given(st.lists(TOPS, max_size=40), st.integers(0, 300), st.integers(0, 300))
def test_of_any_script_each_spread_opens_and_closes_in_turn_and_is_open_exactly_by_the_rule(script, one, other):
    open_bps, close_bps = Decimal(max(one, other)), Decimal(min(one, other))
    watch, core = SpreadWatch([A, B], open_bps, close_bps), Consolidation([A, B])
    believed, tops = {}, {}
    for number, (source, top) in enumerate(script):
        if top is None:
            tops.pop(source, None)
            core.on_lost(source.key, "said so", number)
            events = watch.on_left(source, "said so", number)
        else:
            bid, width = Decimal(top[0]), Decimal(top[1])
            tops[source] = bid, bid + width
            core.on_book(source.key, _flat_book(source, bid, bid + width))
            events = watch.on_top(core.top(source), core.top(source, fees=True), number)
        for event in events:
            pair = event.buy.source, event.sell.source
            assert (event.change is SpreadChange.OPENED) == (pair not in believed)
            if event.change is SpreadChange.CLOSED:
                del believed[pair]
            else:
                believed[pair] = event
        for buy, sell in ((A, B), (B, A)):
            if buy not in tops or sell not in tops:
                assert (buy, sell) not in believed
                continue
            cost = tops[buy][1] * (1 + buy.taker_fee)
            bps = ((tops[sell][0] * (1 - sell.taker_fee) - cost) * 10_000 / cost).quantize(Decimal("0.0001"))
            assert not (bps >= open_bps and (buy, sell) not in believed)
            assert not (bps < close_bps and (buy, sell) in believed)
    assert {(event.buy.source, event.sell.source) for event in watch.open} == set(believed)


def _flat_book(source, bid, ask):
    from connector.domain import OrderBook

    return OrderBook(source.venue, source.symbol, None, 1, 1, ((bid, Decimal(1)),), ((ask, Decimal(1)),))
