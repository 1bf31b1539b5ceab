"""Two venues as one: a consolidated book in one quote asset, the best price after fees, a venue that falls out and comes back.

Both venues are simulated. One quotes BTC in USDT, the other in USDC; the rate between the two is read off a third book. On the
way one venue's connection is cut: its levels are gone in the same moment, and nothing is handed out that may be wrong.
"""

import threading
from decimal import Decimal

from connector import Connector, VenueSettings
from connector.aggregate import Aggregator, ConsolidatedBook, Source, SourceJoined, SourceLeft, SpreadEvent
from connector.simulator import Simulator, SimulatorSettings, listing

NORTH = Source.of("north", "BTC/USDT", taker_fee="0.001")
SOUTH = Source.of("south", "BTC/USDC", taker_fee="0.0004")
RATE = Source.of("north", "USDC/USDT")


class Turns:
    """Callback of the book: runs on a reader thread of one of the venues, so it only notes what changed and returns."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.reasons: list[str] = []

    def __call__(self, event: object) -> None:
        if isinstance(event, SourceLeft):
            self.reasons.append(f"{event.source} left: {event.reason}")
            self.left.set()
        elif isinstance(event, SourceJoined):
            self.reasons.append(f"{event.source} is in")


def show(book: ConsolidatedBook) -> None:
    """Five levels a side, asks above bids, each with its venue."""
    for side, levels in (("ask", reversed(book.asks)), ("bid", iter(book.bids))):
        for level in levels:
            print(f"  {side} {level.price:>12.4f} {level.quantity:>10.5f}  {level.source}")


def tell(spread: SpreadEvent) -> None:
    print(
        f"spread  {spread.change.value}: buy at {spread.buy.venue}, sell at {spread.sell.venue}, "
        f"{spread.quantity} BTC, {spread.gross:.2f} before fees, {spread.net:.2f} after, {spread.net_bps} bps {spread.reason}"
    )


def main() -> None:
    rate = listing("USDCUSDT", price="1", tick="0.0001", step="1")
    north = SimulatorSettings(symbols=("BTCUSDT", rate), seed=1, events_per_s=300)
    south = SimulatorSettings(symbols=(listing("BTCUSDC", price="64300"),), seed=2, events_per_s=300)
    with Simulator(north) as first, Simulator(south) as second:
        venues = [
            VenueSettings("binance", name=name, rest_url=sim.rest_url, stream_url=sim.ws_url)
            for name, sim in (("north", first), ("south", second))
        ]
        with Connector(venues) as connector, Aggregator(connector.venue) as across:
            book, turns = across.book([NORTH, SOUTH], quote="USDT", rates={"USDC": RATE}), Turns()
            book.subscribe(callback=turns)
            book.wait_in(timeout_s=10)
            show(book.snapshot(depth=5))

            best = book.best(fees=True)
            assert best.best_bid is not None and best.best_ask is not None
            print(f"after fees: sell at {best.best_bid.levels[0].source} for {best.best_bid.price:.2f},")
            print(
                f"            buy at {best.best_ask.levels[0].source} for {best.best_ask.price:.2f}: {best.meeting.name}"
            )
            spreads = book.spreads(open_bps=Decimal(5), close_bps=Decimal(2))
            tell(spreads.get(timeout_s=10))

            second.faults.refuse_upgrade(for_s=0.5)
            second.faults.cut()
            turns.left.wait(10)
            tell(spreads.get(timeout_s=10))
            print("now from", {level.venue for level in book.snapshot().bids}, "alone")
            book.wait_in(timeout_s=10)
            print("\n".join(turns.reasons))

            trades = across.trades([NORTH, SOUTH], window_s=0.25).subscribe()
            for _ in range(5):
                merged = trades.get(timeout_s=10)
                print(
                    f"trade   {merged.trade.time:%H:%M:%S.%f}  {merged.source}  {merged.trade.price} x {merged.trade.quantity}"
                )
            print(book)


if __name__ == "__main__":
    main()
