"""The matching engine against a model so plain that it can be checked by reading."""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.matching import MatchingEngine, OrderStatus, Side, TimeInForce

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
