"""A symbol that stops trading and comes back: no event tells of its return, so the instrument list is read again."""

from decimal import Decimal

from connector.domain import BookState, Side, Symbol
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.instruments import InstrumentStatus
from connector.domain.orders import OrderStatus, OrderType
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.store import MemoryStore
from connector.testing.killing import crash
from connector.testing.simulation import World
from connector.venue.delivery import TopicState


def test_book_of_a_halted_symbol_is_invalid_and_right_again_within_a_minute_of_its_return():
    world = World(1, {"binance": SimulatorSettings(symbols=("BTCUSDT",), source=Live(resting_orders=40))})
    far = world.far["binance"]
    with world.connect(world.venue("binance", "binance")) as connector:
        venue = connector.venue("binance")
        connector.subscribe("binance", "book", "BTC/USDT", callback=lambda update: None)
        world.runtime.advance(5.0)
        states = [venue.live_book("BTC/USDT").state]
        far.faults.symbol_status("BTCUSDT", "HALT")
        crash(venue.state)  # the next one reads the list, as every hour
        world.runtime.advance(5.0)
        states.append(venue.live_book("BTC/USDT").state)
        world.runtime.advance(300.0)
        asked = sum(each.path.endswith("exchangeInfo") for each in far.ledger.requests())
        far.faults.symbol_status("BTCUSDT", "TRADING")
        world.runtime.advance(60.0)
        states.append(venue.live_book("BTC/USDT").state)

    assert states == [BookState.VALID, BookState.INVALID, BookState.VALID]
    assert asked < 15


def test_topic_of_a_symbol_that_is_off_the_list_while_it_is_halted_begins_within_a_minute_of_its_return():
    settings = SimulatorSettings(dialect="bybit_linear", symbols=("BTCUSDT", "ETHUSDT"), source=Live(resting_orders=40))
    world = World(1, {"bybit-linear": settings})
    far = world.far["bybit-linear"]
    far.faults.symbol_status("ETHUSDT", "HALT")
    taken = []
    with world.connect(world.venue("bybit-linear", "bybit-linear")) as connector:
        trades = connector.subscribe("bybit-linear", "trades", "ETH/USDT:USDT", callback=taken.append)
        world.runtime.advance(20.0)
        state, before = trades.state, len(taken)
        far.faults.symbol_status("ETHUSDT", "TRADING")
        world.runtime.advance(60.0)

    assert (state, before) == (TopicState.REFUSED, 0)
    assert taken


BYBIT = "bybit-linear"
BTC = Symbol.parse("BTC/USDT:USDT")


def halting_world():
    account = AccountSettings("main", "key", "secret", balances={"USDT": Decimal(1_000_000)})
    settings = SimulatorSettings(
        dialect="bybit_linear", symbols=("BTCUSDT",), source=Live(resting_orders=40), accounts=(account,)
    )
    return World(1, {BYBIT: settings})


def trading_connector(world, store):
    return world.connect(world.venue(BYBIT, BYBIT, credentials=Credentials("key", secret="secret"), store=store))


def ask(world, connector, command):
    answer = connector.venue(BYBIT).orders.ask(command, block=False, timeout=60.0)
    world.runtime.advance(15.0)
    return answer.get(timeout=0.0)


def an_order(**fields):
    return PlaceOrder(symbol=BTC, side=Side.BUY, quantity=Decimal("0.01"), **fields)


RESTING = {"type": OrderType.LIMIT, "price": Decimal(48_000)}


def read_the_list(world, connector):
    crash(connector.venue(BYBIT).state)  # the next one reads it, as every hour
    world.runtime.advance(5.0)


def test_an_order_on_a_symbol_that_left_the_list_is_still_followed_and_can_be_cancelled_while_new_ones_are_refused():
    world, store = halting_world(), MemoryStore()
    with trading_connector(world, store) as connector:
        world.runtime.advance(5.0)
        world.far[BYBIT].paused = True  # nobody else trades
        placed = ask(world, connector, an_order(**RESTING))
        world.far[BYBIT].faults.symbol_status("BTCUSDT", "HALT")
        read_the_list(world, connector)
        listed = BTC in connector.venue(BYBIT)._memory.instruments
        refused = ask(world, connector, an_order(**RESTING))
        cancelled = ask(world, connector, CancelOrder(symbol=BTC, client_id=placed.client_id))
        status = connector.venue(BYBIT).order(placed.client_id)[0].status
        instrument = connector.venue(BYBIT).instrument("BTC/USDT:USDT")

    assert (instrument.status, instrument.status_text) == (InstrumentStatus.HALTED, "not listed any more")
    assert (placed.kind, listed) == (OutcomeKind.ACCEPTED, False)
    assert refused.kind is OutcomeKind.REFUSED
    assert "SYMBOL_STATUS" in str(refused.reason) and "not listed any more" in str(refused.reason)
    assert (cancelled.kind, status) == (OutcomeKind.ACCEPTED, OrderStatus.CANCELED)


def test_what_an_earlier_process_has_on_a_symbol_that_is_off_the_list_is_known_within_a_minute_of_its_return():
    world, store = halting_world(), MemoryStore()
    far = world.far[BYBIT]
    with trading_connector(world, store) as connector:
        world.runtime.advance(5.0)
        ask(world, connector, an_order(type=OrderType.MARKET))
        far.paused = True  # nobody else trades
        far.faults.answer_lost(count=1, how="silence")
        far.faults.events_lost(count=4)
        connector.venue(BYBIT).orders.ask(an_order(**RESTING), block=False, timeout=60.0)
        world.runtime.advance(0.2)
    far.faults.symbol_status("BTCUSDT", "HALT")
    with trading_connector(world, store) as connector:
        world.runtime.advance(20.0)
        before = [order.status for order in connector.venue(BYBIT).open_orders()[0]]
        far.faults.symbol_status("BTCUSDT", "TRADING")
        world.runtime.advance(60.0)
        after = [order.status for order in connector.venue(BYBIT).open_orders()[0]]
        held = [(each.symbol, each.quantity) for each in connector.venue(BYBIT).positions()[0]]

    assert before == [OrderStatus.UNKNOWN]
    assert after == [OrderStatus.NEW]
    assert held == [(BTC, Decimal("0.01"))]
