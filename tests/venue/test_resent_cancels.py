"""A cancel that is to be sent again while nothing can be signed waits between two tries."""

from decimal import Decimal

from connector.domain import Side, Symbol
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import OrderStatus, OrderType
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.testing.simulation import World

NAME = "bybit"
BTC = Symbol.parse("BTC/USDT")
STEPS_AT_MOST = 20_000


def test_a_cancel_to_be_sent_again_while_the_venues_clock_is_unknown_is_tried_twice_a_second_and_gets_through():
    account = AccountSettings("main", "key", "secret", balances={"USDT": Decimal(1_000_000)})
    settings = SimulatorSettings(dialect="bybit_spot", symbols=("BTCUSDT",), source=Live(), accounts=(account,))
    world = World(1, {NAME: settings})
    runtime, far = world.runtime, world.far[NAME]
    with world.connect(world.venue(NAME, NAME, credentials=Credentials("key", secret="secret"))) as connector:
        venue = connector.venue(NAME)
        runtime.advance(5.0)
        far.paused = True  # nobody else trades
        price = Decimal(48_000)
        place = PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal("0.01"), price=price)
        placing = venue.orders.ask(place, block=False, timeout=60.0)
        runtime.advance(2.0)
        placed = placing.get(timeout=0.0)
        far.faults.request_lost(count=1, only="orders", how="silence")
        cancelling = venue.orders.ask(CancelOrder(symbol=BTC, client_id=placed.client_id), block=False, timeout=120.0)
        asked = venue._memory.counters.snapshot().get("orders.questions", 0)
        runtime.run_while(lambda: venue._memory.counters.snapshot().get("orders.questions", 0) == asked, 30.0)
        runtime.advance(0.002)  # the question is signed; the answer says that the order is still open
        runtime._max_steps = STEPS_AT_MOST  # of one advance: what spins ends there
        until_s = runtime.monotonic_s() + 12.0
        while runtime.monotonic_s() < until_s:
            venue._memory.forget_clock()
            runtime.advance(0.01)
        diary = [each.text for each in venue.explain(placed.client_id)[0]]
        runtime.advance(20.0)
        status = venue.order(placed.client_id)[0].status

    assert placed.kind is OutcomeKind.ACCEPTED
    assert 3 <= sum("clock" in text for text in diary) <= 20
    assert (cancelling.get(timeout=0.0).kind, status) == (OutcomeKind.UNKNOWN, OrderStatus.CANCELED)
