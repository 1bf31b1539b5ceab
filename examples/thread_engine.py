"""A trading engine with a thread of its own, fed through a bounded queue; it learns of everything it did not get.

The exchange is simulated. The connection is cut on the way (the library fetches what was missed), and the engine is made too
slow for a moment (the queue drops, and a Gap stands where the values would have been).
"""

import threading
from collections import Counter
from decimal import Decimal

from connector import Closed, Connector, Gap, Overflow, Subscription, TopicStatus, Trade, VenueSettings
from connector.simulator import Simulator, SimulatorSettings


class Engine:
    """Adds up volume. `run` is the body of the engine's thread; nobody else touches its numbers while that runs."""

    def __init__(self, trades: Subscription) -> None:
        self.trades = trades
        self.volume = Decimal(0)
        self.counts: Counter[str] = Counter()
        self.busy, self.go_on, self.enough = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> None:
        for value in self.trades:  # ends when the subscription is closed
            if isinstance(value, Trade):
                self.on_trade(value)
            elif isinstance(value, Gap):
                self.on_gap(value)
            elif isinstance(value, TopicStatus):
                print(f"status  {value.state.value}: {value.reason}")

    def on_trade(self, trade: Trade) -> None:
        self.counts["recovered" if trade.recovered else "live"] += 1
        self.volume += trade.quantity
        if self.counts["live"] == 100:  # a computation that takes too long
            self.busy.set()
            self.go_on.wait(10.0)
        if self.counts["recovered"] and self.counts["dropped"] and self.counts["live"] >= 200:
            self.enough.set()

    def on_gap(self, gap: Gap) -> None:
        """What is missing for good is known; an engine would now mark its numbers, or ask for history."""
        missing = (gap.missing or 0) - gap.filled
        self.counts["dropped"] += missing
        print(f"gap     {gap.reason}: {gap.missing} missing, {gap.filled} filled")


def main() -> int:
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=2_000)) as exchange:
        settings = VenueSettings("binance", rest_url=exchange.rest_url, stream_url=exchange.ws_url)
        with Connector([settings]) as connector:
            trades = connector.subscribe(
                "binance", "trades", "BTC/USDT", capacity=200, overflow=Overflow.REPORT_GAP, notices=True
            )
            engine = Engine(trades)
            thread = threading.Thread(target=engine.run, name="engine")
            thread.start()

            engine.busy.wait(10.0)
            dropped = threading.Event()
            while trades.dropped < 50 and not dropped.wait(0.01):
                pass  # the queue is full and drops
            engine.go_on.set()
            exchange.faults.refuse_upgrade(for_s=0.3)
            exchange.faults.cut()
            engine.enough.wait(10.0)

            trades.close()  # what is queued is still read; then the loop in `run` ends
            thread.join(10.0)
            try:
                trades.get(timeout_s=0)
            except Closed:
                print(f"closed; traded {engine.volume} BTC in {dict(engine.counts)}")
    return 0 if engine.enough.is_set() and not thread.is_alive() else 1


if __name__ == "__main__":
    raise SystemExit(main())
