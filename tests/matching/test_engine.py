"""The matching engine against a model so plain that it can be checked by reading."""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.matching import MatchingEngine, OrderStatus, Side, StpMode, TimeInForce

PRICES = st.integers(95, 105)
SIZES = st.integers(1, 12)
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("limit"), st.sampled_from(Side), SIZES, PRICES, st.sampled_from(TimeInForce), st.booleans()),
        st.tuples(st.just("market"), st.sampled_from(Side), SIZES),
        st.tuples(st.just("cancel"), st.integers(1, 40)),
    ),
    max_size=40,
)


class Model:
    """Every resting order in one list; the best is found by looking at all of them."""

    def __init__(self):
        self.resting = []  # [order id, side, price, remaining], oldest first
        self.next_id = 1

    def submit(self, side, quantity, price=None, tif=TimeInForce.GTC, post_only=False):
        order_id, self.next_id = self.next_id, self.next_id + 1

        def crosses(other):
            return other[1] is not side and (
                price is None or (other[2] <= price if side is Side.BUY else other[2] >= price)
            )

        reachable = sorted(
            (order for order in self.resting if crosses(order)),
            key=lambda order: (order[2] if side is Side.BUY else -order[2], order[0]),
        )
        if (post_only and reachable) or (
            price is not None and tif is TimeInForce.FOK and sum(order[3] for order in reachable) < quantity
        ):
            return []
        fills = []
        for maker in reachable:
            traded = min(quantity, maker[3])
            if traded:
                fills.append((maker[0], maker[2], traded))
                maker[3] -= traded
                quantity -= traded
        self.resting = [order for order in self.resting if order[3]]
        if quantity and price is not None and tif is TimeInForce.GTC:
            self.resting.append([order_id, side, price, quantity])
        return fills

    def cancel(self, order_id):
        self.resting = [order for order in self.resting if order[0] != order_id]

    def levels(self, side):
        totals = defaultdict(int)
        for _, other, price, remaining in self.resting:
            if other is side:
                totals[price] += remaining
        return sorted(totals.items(), reverse=side is Side.BUY)


def run(command, engine):
    match command:
        case ("limit", side, size, price, tif, post_only):
            return engine.submit(side, size, price, tif=tif, post_only=post_only)
        case ("market", side, size):
            return engine.submit(side, size)
        case ("cancel", order_id):
            return engine.cancel(order_id)


@settings(max_examples=300, deadline=None)
@given(COMMANDS)
def test_trades_and_book_are_those_of_the_plain_model(commands):
    engine, model = MatchingEngine(), Model()
    for command in commands:
        outcome = run(command, engine)
        match command:
            case ("limit", side, size, price, tif, post_only):
                expected = model.submit(side, size, price, tif, post_only)
            case ("market", side, size):
                expected = model.submit(side, size)
            case ("cancel", order_id):
                model.cancel(order_id)
                expected = []
        fills = outcome.fills if outcome else []
        assert [(fill.maker_order_id, fill.price, fill.quantity) for fill in fills] == expected
        assert engine.bids() == model.levels(Side.BUY)
        assert engine.asks() == model.levels(Side.SELL)


@settings(max_examples=200, deadline=None)
@given(COMMANDS)
def test_the_book_is_never_crossed_not_even_between_two_changes(commands):
    engine = MatchingEngine()
    book = {Side.BUY: {}, Side.SELL: {}}
    last = engine.update_id
    for command in commands:
        outcome = run(command, engine)
        for change in outcome.changes if outcome else ():
            assert change.update_id == last + 1
            last = change.update_id
            if change.quantity:
                book[change.side][change.price] = change.quantity
            else:
                del book[change.side][change.price]
            if book[Side.BUY] and book[Side.SELL]:
                assert max(book[Side.BUY]) < min(book[Side.SELL])
    assert engine.update_id == last
    assert sorted(book[Side.BUY].items(), reverse=True) == engine.bids()
    assert sorted(book[Side.SELL].items()) == engine.asks()


@settings(max_examples=200, deadline=None)
@given(COMMANDS)
def test_no_quantity_appears_or_disappears(commands):
    engine = MatchingEngine()
    orders, traded = {}, defaultdict(int)
    for command in commands:
        outcome = run(command, engine)
        if outcome is None:
            continue
        orders[outcome.order.order_id] = outcome.order
        for fill in outcome.fills:
            traded[fill.maker_order_id] += fill.quantity
            traded[fill.taker_order_id] += fill.quantity
    resting = {order.order_id for order in engine.open_orders}
    for order_id, order in orders.items():
        assert order.filled == traded[order_id]
        assert 0 <= order.remaining <= order.quantity
        assert (order_id in resting) == (order.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED))
        assert (order.remaining == 0) == (order.status is OrderStatus.FILLED)
    assert sum(order.remaining for order in engine.open_orders) == sum(
        quantity for _, quantity in engine.bids() + engine.asks()
    )


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_the_same_orders_give_the_same_trades(seed):
    def trace():
        rng, engine, seen = random.Random(seed), MatchingEngine(), []
        for _ in range(300):
            outcome = engine.submit(rng.choice(list(Side)), rng.randint(1, 9), rng.randint(90, 110))
            seen += [outcome.fills, outcome.changes]
        return seen

    assert trace() == trace()


def test_of_two_orders_at_one_price_the_older_trades_first():
    engine = MatchingEngine()
    older = engine.submit(Side.SELL, 5, 100).order
    newer = engine.submit(Side.SELL, 5, 100).order

    fills = engine.submit(Side.BUY, 7, 100).fills

    assert [(fill.maker_order_id, fill.quantity) for fill in fills] == [(older.order_id, 5), (newer.order_id, 2)]
    assert older.status is OrderStatus.FILLED
    assert newer.status is OrderStatus.PARTIALLY_FILLED


def test_a_better_price_trades_before_an_older_order_and_at_its_own_price():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 5, 101)
    engine.submit(Side.SELL, 5, 100)

    fills = engine.submit(Side.BUY, 8, 105).fills

    assert [(fill.price, fill.quantity) for fill in fills] == [(100, 5), (101, 3)]


def test_a_market_order_takes_what_there_is_and_its_rest_expires():
    engine = MatchingEngine()
    engine.submit(Side.BUY, 3, 99)

    outcome = engine.submit(Side.SELL, 10)

    assert outcome.order.status is OrderStatus.EXPIRED
    assert outcome.order.filled == 3
    assert engine.bids() == []
    assert engine.asks() == []


def test_fill_or_kill_that_cannot_fill_leaves_no_trace():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 4, 100)
    before = engine.update_id

    outcome = engine.submit(Side.BUY, 5, 100, tif=TimeInForce.FOK)

    assert outcome.order.status is OrderStatus.EXPIRED
    assert not outcome.fills
    assert engine.update_id == before
    assert engine.asks() == [(100, 4)]


def test_post_only_is_refused_rather_than_taking():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 4, 100)

    assert engine.submit(Side.BUY, 1, 100, post_only=True).order.status is OrderStatus.REJECTED
    assert engine.submit(Side.BUY, 1, 99, post_only=True).order.status is OrderStatus.NEW


def test_cancelling_twice_does_nothing_the_second_time():
    engine = MatchingEngine()
    order = engine.submit(Side.BUY, 4, 100).order

    assert engine.cancel(order.order_id).order.status is OrderStatus.CANCELED
    assert engine.cancel(order.order_id) is None
    assert engine.quantity_at(Side.BUY, 100) == 0


@pytest.mark.parametrize(("quantity", "price"), [(0, 100), (-1, 100), (1, 0), (1, -5)])
def test_an_order_without_size_or_price_is_refused_and_changes_nothing(quantity, price):
    engine = MatchingEngine()
    with pytest.raises(ValueError, match="at least one lot"):
        engine.submit(Side.BUY, quantity, price)
    assert engine.update_id == 0


# owners: orders that must not meet, that hide a part, that shrink


def resting(engine):
    return {order.order_id: (order.filled, order.remaining) for order in engine.open_orders}


@pytest.mark.parametrize(
    ("mode", "left", "status", "fills"),
    [
        (StpMode.NONE, {}, OrderStatus.FILLED, 2),
        (StpMode.EXPIRE_TAKER, {1: (0, 5), 2: (0, 5)}, OrderStatus.EXPIRED_IN_MATCH, 0),
        (StpMode.EXPIRE_MAKER, {3: (5, 5)}, OrderStatus.PARTIALLY_FILLED, 1),
        (StpMode.EXPIRE_BOTH, {2: (0, 5)}, OrderStatus.EXPIRED_IN_MATCH, 0),
        (StpMode.DECREMENT, {}, OrderStatus.FILLED, 1),
    ],
)
def test_orders_of_one_owner_do_not_trade_with_each_other(mode, left, status, fills):
    engine = MatchingEngine()
    engine.submit(Side.SELL, 5, 100, owner="me")
    engine.submit(Side.SELL, 5, 100, owner="you")
    outcome = engine.submit(Side.BUY, 10, 100, owner="me", stp=mode)
    assert outcome.order.status is status
    assert len(outcome.fills) == fills
    assert resting(engine) == left
    assert len(outcome.prevented) == (mode is not StpMode.NONE)
    assert engine.quantity_at(Side.SELL, 100) == sum(r for n, (_, r) in left.items() if n != 3)
    if mode is StpMode.DECREMENT:
        assert (outcome.order.filled, outcome.order.prevented) == (5, 5)
        assert outcome.prevented[0].after_fills == 0


def test_decrement_leaves_the_larger_of_two_orders():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 8, 100, owner="me")
    outcome = engine.submit(Side.BUY, 3, 100, owner="me", stp=StpMode.DECREMENT)
    assert outcome.order.status is OrderStatus.EXPIRED_IN_MATCH
    assert resting(engine) == {1: (0, 5)}
    assert engine.quantity_at(Side.SELL, 100) == 5


def test_nobody_has_no_other_orders():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 5, 100)
    assert engine.submit(Side.BUY, 5, 100, stp=StpMode.EXPIRE_BOTH).order.status is OrderStatus.FILLED


def test_fill_or_kill_does_not_count_its_owners_orders():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 5, 100, owner="me")
    engine.submit(Side.SELL, 5, 101)
    killed = engine.submit(Side.BUY, 6, 101, tif=TimeInForce.FOK, owner="me", stp=StpMode.EXPIRE_MAKER)
    assert killed.order.status is OrderStatus.EXPIRED
    assert resting(engine) == {1: (0, 5), 2: (0, 5)}
    filled = engine.submit(Side.BUY, 5, 101, tif=TimeInForce.FOK, owner="me", stp=StpMode.EXPIRE_MAKER)
    assert filled.order.status is OrderStatus.FILLED


def test_an_iceberg_shows_a_part_and_queues_again_for_each_next_one():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 10, 100, owner="ice", display=3)
    engine.submit(Side.SELL, 4, 100)
    assert engine.asks() == [(100, 7)]
    assert engine.available(Side.BUY, 100) == 14
    outcome = engine.submit(Side.BUY, 5, 100)
    assert [(fill.maker_order_id, fill.quantity) for fill in outcome.fills] == [(1, 3), (2, 2)]
    assert engine.asks() == [(100, 5)]
    outcome = engine.submit(Side.BUY, 9, 100, tif=TimeInForce.FOK)
    assert [(fill.maker_order_id, fill.quantity) for fill in outcome.fills] == [(2, 2), (1, 3), (1, 3), (1, 1)]
    assert engine.asks() == []


def test_a_hidden_part_leaves_with_its_order():
    engine = MatchingEngine()
    engine.submit(Side.SELL, 10, 100, display=3)
    engine.submit(Side.SELL, 1, 100)
    engine.cancel(1)
    assert engine.asks() == [(100, 1)]
    assert engine.available(Side.BUY, 100) == 1


def test_an_order_that_shrinks_keeps_its_place():
    engine = MatchingEngine()
    engine.submit(Side.BUY, 10, 100)
    engine.submit(Side.BUY, 10, 100)
    outcome = engine.reduce(1, 4)
    assert [(change.price, change.quantity) for change in outcome.changes] == [(100, 14)]
    assert engine.submit(Side.SELL, 5, 100).fills[0].maker_order_id == 1
    assert resting(engine) == {2: (1, 9)}
    assert engine.reduce(1, 1) is None
    for wrong in (10, 11, 1, 0):
        with pytest.raises(ValueError, match="cannot become"):
            engine.reduce(2, wrong)


def test_an_iceberg_that_shrinks_loses_its_hidden_part_first():
    engine = MatchingEngine()
    engine.submit(Side.BUY, 10, 100, display=4)
    engine.reduce(1, 6)
    assert engine.bids() == [(100, 4)]
    engine.reduce(1, 3)
    assert engine.bids() == [(100, 3)]
    assert engine.available(Side.SELL, 100) == 3


def test_somebody_trades_with_one_order_out_of_turn():
    engine = MatchingEngine()
    engine.submit(Side.BUY, 10, 101)
    engine.submit(Side.BUY, 10, 100, display=2)
    outcome = engine.hit(2, 5)
    assert sum(fill.quantity for fill in outcome.fills) == 5
    assert {(fill.maker_order_id, fill.price, fill.taker_side) for fill in outcome.fills} == {(2, 100, Side.SELL)}
    assert resting(engine) == {1: (0, 10), 2: (5, 5)}
    assert engine.hit(2).order.quantity == 5
    assert engine.hit(2) is None
    assert engine.bids() == [(101, 10)]


def test_a_match_of_an_owner_is_cut_into_parts_when_asked():
    engine = MatchingEngine()
    engine.parts = 3
    engine.submit(Side.BUY, 10, 100, owner="me")
    engine.submit(Side.BUY, 10, 100)
    fills = engine.submit(Side.SELL, 20, 100).fills
    assert [fill.quantity for fill in fills] == [3, 3, 4, 10]
    assert [fill.trade_id for fill in fills] == [1, 2, 3, 4]


def test_cost_and_size_of_a_market_order_are_those_it_then_has():
    engine = MatchingEngine()
    for price, size in ((100, 5), (101, 7), (103, 2)):
        engine.submit(Side.SELL, size, price)
    assert engine.cost(Side.BUY, 10) == (10, 500 + 505)
    assert engine.cost(Side.BUY, 99) == (14, 500 + 707 + 206)
    assert engine.lots_for(Side.BUY, 1005) == 10
    assert engine.lots_for(Side.BUY, 1004) == 9
    assert engine.lots_for(Side.BUY, 99) == 0
    fills = engine.submit(Side.BUY, 10).fills
    assert sum(fill.price * fill.quantity for fill in fills) == 1005


OWNED = st.lists(
    st.tuples(
        st.sampled_from(Side),
        SIZES,
        PRICES,
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(StpMode),
        st.integers(0, 4),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(OWNED)
def test_whatever_owners_do_nothing_is_lost_and_the_book_stays_straight(commands):
    engine = MatchingEngine()
    orders = {}
    for side, size, price, owner, stp, display in commands:
        outcome = engine.submit(side, size, price, owner=owner, stp=stp, display=display)
        orders[outcome.order.order_id] = outcome.order
        for fill in outcome.fills:
            maker = orders[fill.maker_order_id]
            assert not owner or maker.owner != owner or stp is StpMode.NONE
        for order in orders.values():
            open_now = engine.order(order.order_id) is order
            assert open_now == (order.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED))
            assert order.filled >= 0
            if open_now:
                assert 0 < order.visible <= order.remaining
        for levels, side_ in ((engine.bids(), Side.BUY), (engine.asks(), Side.SELL)):
            shown = defaultdict(int)
            for order in engine.open_orders:
                if order.side is side_:
                    shown[order.price] += order.visible
            assert dict(levels) == shown
        if engine.best_bid is not None and engine.best_ask is not None:
            assert engine.best_bid < engine.best_ask
