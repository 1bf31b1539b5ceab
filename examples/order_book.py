"""A full order book, kept equal to the exchange's, and honest about when it is not.

The exchange is simulated, and its connection is cut on the way: a book that cannot be trusted is never handed out, it raises.
"""

import threading
from decimal import Decimal
from typing import Any

from connector import BookNotValid, BookState, BookUpdate, Connector, OrderBook, VenueSettings
from connector.simulator import Simulator, SimulatorSettings

SYMBOL = "ETH/USDT"


class Turns:
    """Callback of the book's subscription: runs on the reader thread, so it only notes what changed and returns."""

    def __init__(self) -> None:
        self.lost, self.back = threading.Event(), threading.Event()
        self.reason = ""

    def __call__(self, update: BookUpdate) -> None:
        if update.state is not BookState.VALID:
            self.reason = self.reason or update.reason
            self.lost.set()
        elif self.lost.is_set():
            self.back.set()


def show(book: OrderBook) -> None:
    """Five levels a side, asks above bids."""
    for side, levels in (("ask", reversed(book.asks)), ("bid", iter(book.bids))):
        for price, quantity in levels:
            print(f"  {side} {price:>12.2f} {quantity:>12.4f}")
    assert book.best_bid is not None and book.best_ask is not None
    print(f"  spread {book.best_ask[0] - book.best_bid[0]:.2f} at update {book.update_id}")


def cost_to_buy(book: OrderBook, wanted: Decimal) -> Decimal:
    """What a market order would pay at the levels of this copy."""
    paid = Decimal(0)
    for price, quantity in book.asks:
        taken = min(quantity, wanted)
        paid, wanted = paid + taken * price, wanted - taken
        if not wanted:
            break
    return paid


def main() -> None:
    with Simulator(SimulatorSettings(symbols=("ETHUSDT",), events_per_s=400)) as exchange:
        settings = VenueSettings("binance", rest_url=exchange.rest_url, stream_url=exchange.ws_url)
        with Connector([settings]) as connector:
            venue, turns = connector.venue("binance"), Turns()
            connector.subscribe("binance", "book", SYMBOL, callback=turns)
            live: Any = venue.live_book(SYMBOL)
            live.wait_valid(10.0)
            show(venue.book(SYMBOL, depth=5))
            print(f"  ten ETH would cost {cost_to_buy(venue.book(SYMBOL, depth=None), Decimal(10)):.2f} USDT")

            exchange.faults.refuse_upgrade(for_s=0.5)
            exchange.faults.cut()
            turns.lost.wait(10.0)
            try:
                venue.book(SYMBOL)
            except BookNotValid as not_valid:
                print(f"not handed out: {not_valid}")
            live.wait_valid(10.0)
            print(f"valid again, by itself: {live!r}")


if __name__ == "__main__":
    main()
