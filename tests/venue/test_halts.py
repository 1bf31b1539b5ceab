"""A symbol that stops trading and comes back: no event tells of its return, so the instrument list is read again."""

from connector.domain import BookState
from connector.simulator import Live, SimulatorSettings
from connector.testing.killing import crash
from connector.testing.simulation import World


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
