"""A symbol that stops trading and comes back: no event tells of its return, so the instrument list is read again."""

from connector.domain import BookState
from connector.simulator import Live, SimulatorSettings
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
