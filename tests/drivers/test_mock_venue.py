"""The mock venue serves engines' tests: market data, orders, positions, and the troubles that cost money, without a wait."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from connector import BookState, Symbol
from connector.domain.commands import AmendOrder, CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType
from connector.domain.queries import PricesQuery
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.mock_venue import MockVenue
from connector.venue.account_side import GetPositions

BTC, PERPETUAL = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT")
D = Decimal


@pytest.fixture
def runtime():
    return DeterministicRuntime(seed=11)


@pytest.fixture
def venue(runtime):
    return MockVenue(runtime, symbols=("BTC-USDT", "BTC-USDT-PERP"), balances={"USDT": "1000", "BTC": "2"})


@pytest.fixture
def connector(venue, runtime):
    with venue.connector() as connector:
        runtime.advance(5.0)
        yield connector


@pytest.fixture
def mock(connector):
    return connector.venue("mock")


@pytest.fixture
def heard(mock):
    events = []
    mock.orders_stream(events.append)
    return events


def limit(price="95", quantity="1", symbol=BTC, side=Side.BUY, **more):
    return PlaceOrder(
        symbol=symbol, side=side, type=OrderType.LIMIT, quantity=D(quantity), price=D(price), client_id="mine-1", **more
    )


def tell(mock, runtime, command, for_s=1.0):
    asked = mock.orders.ask(command, block=False, timeout=120.0)
    runtime.advance(for_s)
    return asked.get(timeout=60.0)


def test_trades_and_books_reach_subscribers(connector, venue, runtime, mock):
    trades = connector.subscribe("mock", "trades", BTC)
    connector.subscribe("mock", "book", BTC)
    runtime.advance(2.0)
    venue.trade("BTC-USDT", "100.5", "0.25")
    venue.level("BTC-USDT", "bids", "99.5", "3")
    runtime.advance(1.0)

    assert [(trade.price, trade.quantity) for trade in (trades.get(timeout_s=1.0),)] == [(D("100.5"), D("0.25"))]
    book = mock.book(BTC)
    assert (book.best_bid, book.best_ask) == ((D("99.5"), D(3)), (D(101), D(10)))
    assert mock.live_book(BTC).state is BookState.VALID
    assert connector.ask("mock", PricesQuery((BTC,)))[0].last == D("100.5")


def test_a_resting_order_is_filled_when_the_market_comes_to_it(venue, runtime, mock, heard):
    outcome = tell(mock, runtime, limit())
    assert (outcome.kind, outcome.order.status) == (OutcomeKind.ACCEPTED, OrderStatus.NEW)
    assert mock.balance("USDT")[0].locked == D(95)

    venue.trade("BTC-USDT", "94", "5")
    runtime.advance(1.0)

    assert mock.order("mine-1")[0].status is OrderStatus.FILLED
    assert [event.price for event in heard if isinstance(event, Fill)] == [D(95)]
    assert {asset: mock.balance(asset)[0].total for asset in ("BTC", "USDT")} == {"BTC": D(3), "USDT": D(905)}


def test_orders_are_amended_and_cancelled(venue, runtime, mock):
    tell(mock, runtime, limit())
    amended = tell(mock, runtime, AmendOrder(symbol=BTC, client_id="mine-1", price=D(90)))
    assert amended.order.price == D(90)
    assert tell(mock, runtime, CancelOrder(symbol=BTC, client_id="mine-1")).order.status is OrderStatus.CANCELED
    assert venue.orders["mine-1"]["status"] == "cancelled"


def test_a_market_order_meets_the_other_side_at_once(venue, runtime, mock):
    command = PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.MARKET, quantity=D(1))
    outcome = tell(mock, runtime, command)
    assert (outcome.order.status, outcome.order.average_price) == (OrderStatus.FILLED, D(101))


def test_a_lost_answer_leaves_the_order_unknown_until_the_venue_was_asked(venue, runtime, mock, heard):
    venue.lose_answer()
    asked = mock.orders.ask(limit(), block=False, timeout=300.0)
    runtime.advance(120.0)

    assert asked.get(timeout=0.0).order.status in (OrderStatus.UNKNOWN, OrderStatus.NEW)
    assert mock.order("mine-1")[0].status is OrderStatus.NEW
    assert len(venue.orders) == 1


def test_a_lost_request_ends_as_never_placed_and_is_never_sent_twice(venue, runtime, mock):
    venue.lose_request()
    asked = mock.orders.ask(limit(), block=False, timeout=300.0)
    runtime.advance(200.0)

    asked.get(timeout=0.0)
    assert mock.order("mine-1")[0].status is OrderStatus.REJECTED
    assert venue.orders == {}


def test_a_refusal_is_a_rejection_with_the_venues_code(venue, runtime, mock):
    venue.refuse("E413", "not enough")
    outcome = tell(mock, runtime, limit())
    assert (outcome.kind, outcome.code, outcome.reason) == (OutcomeKind.REJECTED, "E413", "not enough")


def test_what_happened_during_a_cut_is_found_out(venue, runtime, mock, heard):
    tell(mock, runtime, limit())
    venue.cut()
    venue.trade("BTC-USDT", "90", "1")
    runtime.advance(30.0)

    fills = [event for event in heard if isinstance(event, Fill)]
    assert [(fill.price, fill.recovered) for fill in fills] == [(D(95), True)]
    assert mock.order("mine-1")[0].status is OrderStatus.FILLED


def test_an_order_that_ended_in_silence_is_found_by_comparing(venue, runtime, mock):
    tell(mock, runtime, limit())
    venue.end_quietly("mine-1")
    mock.reconcile(timeout_s=60.0)
    assert mock.order("mine-1")[0].status is OrderStatus.CANCELED


def test_the_test_in_the_guide_passes():
    guide = Path(__file__).resolve().parents[2] / "docs" / "guides" / "testing-your-engine.md"
    blocks = re.findall(r"^```python\n(.*?)^```", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if "MockVenue" in block]
    space = {}
    exec(block, space)
    (test,) = [made for name, made in space.items() if name.startswith("test_")]
    test()


def test_the_same_seed_gives_the_same_run():
    def run():
        runtime = DeterministicRuntime(seed=5)
        venue, seen = MockVenue(runtime, balances={"USDT": "1000"}), []
        with venue.connector() as connector:
            connector.venue("mock").orders_stream(lambda event: seen.append((runtime.clock.time_ns(), str(event))))
            runtime.advance(5.0)
            tell(connector.venue("mock"), runtime, limit())
            venue.trade("BTC-USDT", "90", "1")
            runtime.advance(5.0)
        return seen

    assert run() == run() != []


def test_positions_follow_what_was_traded_in_contracts(venue, runtime, mock):
    opened = PlaceOrder(symbol=PERPETUAL, side=Side.SELL, type=OrderType.MARKET, quantity=D(2))
    tell(mock, runtime, opened)
    closed = PlaceOrder(symbol=PERPETUAL, side=Side.BUY, type=OrderType.MARKET, quantity=D("0.5"))
    tell(mock, runtime, closed)

    (position,), freshness = mock.state.ask(GetPositions(symbol=PERPETUAL))
    assert (position.quantity, position.entry_price, freshness.stale) == (D("-1.5"), D(99), False)
    assert venue.totals["USDT"] == D(999)  # sold at 99, half a unit bought back at 101
