"""Trades, a book and a question: against a simulated exchange, or against the real one with --live."""

import sys
from contextlib import ExitStack

from connector import Connector, VenueSettings
from connector.simulator import Simulator, SimulatorSettings


def main(live: bool) -> None:
    with ExitStack() as stack:
        venue = VenueSettings("binance")
        if not live:
            exchange = stack.enter_context(Simulator(SimulatorSettings(symbols=("BTCUSDT",))))
            venue = VenueSettings("binance", rest_url=exchange.rest_url, stream_url=exchange.ws_url)
        connector = stack.enter_context(Connector([venue]))

        trades = connector.subscribe("binance", "trades", "BTC/USDT")
        book = connector.subscribe("binance", "book", "BTC/USDT")
        for _ in range(5):
            trade = trades.get(timeout_s=30)
            print(f"{trade.time:%H:%M:%S.%f}  {trade.side.value:4}  {trade.price} x {trade.quantity}")

        top = book.get(timeout_s=30)
        print(f"book    {top.state.value}, best bid {top.best_bid}, best ask {top.best_ask}")
        candle = connector.venue("binance").candles("BTC/USDT", "1m", limit=1)[0]
        print(
            f"candle  {candle.time:%H:%M} open {candle.open} high {candle.high} low {candle.low} close {candle.close}"
        )
        print(connector.render())


if __name__ == "__main__":
    main(live="--live" in sys.argv[1:])
