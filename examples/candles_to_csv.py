"""Page through a range of candles and write the closed ones to a CSV file: exact decimals, no data frame library.

python examples/candles_to_csv.py candles.csv --candles 2500             from a simulated exchange
python examples/candles_to_csv.py candles.csv --live --symbol ETH/USDT   from the real one
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from connector import Candle, Connector, VenueSettings
from connector.simulator import Simulator, SimulatorSettings
from connector.venue.handle import VenueHandle

MINUTE_NS = 60 * 1_000_000_000
NS_PER_MS = 1_000_000
PAGE = 500
SETTLED_NS = 3 * 1_000_000_000  # a candle that ended a moment ago may not be final yet


def closed_candles(venue: VenueHandle, symbol: str, start_ns: int, end_ns: int) -> Iterator[Candle]:
    """One-minute candles that opened in [start_ns, end_ns), oldest first, each once, however many pages that takes."""
    while start_ns < end_ns:
        page = venue.candles(symbol, "1m", start_ns=start_ns, end_ns=end_ns - 1, limit=PAGE)
        closed = [candle for candle in page if candle.closed]
        yield from closed
        if len(closed) < len(page) or not closed:
            return  # the newest one is still open, or there are no more
        start_ns = (closed[-1].close_time_ns // NS_PER_MS + 1) * NS_PER_MS


def write(venue: VenueHandle, symbol: str, wanted: int, path: Path) -> int:
    """Write the last `wanted` minutes up to now; returns how many candles that were."""
    end_ns = (venue.server_time_ns() - SETTLED_NS) // MINUTE_NS * MINUTE_NS
    written = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades"))
        for candle in closed_candles(venue, symbol, end_ns - wanted * MINUTE_NS, end_ns):
            opened = f"{candle.open_time_ns // 1_000_000_000}"
            prices = (candle.open, candle.high, candle.low, candle.close)
            table.writerow((opened, *prices, candle.volume, candle.quote_volume, candle.trade_count))
            written += 1
            if written % PAGE == 0:
                print(f"\r{written} of {wanted}", end="", file=sys.stderr, flush=True)
    print(f"\r{written} candles of {symbol} in {path}", flush=True)
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description="Candles to CSV, page by page.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--candles", type=int, default=2_500, help="minutes back from now")
    parser.add_argument("--live", action="store_true", help="the real exchange")
    options = parser.parse_args()
    with ExitStack() as stack:
        settings = VenueSettings("binance")
        if not options.live:
            exchange = stack.enter_context(Simulator(SimulatorSettings()))
            settings = VenueSettings("binance", rest_url=exchange.rest_url, stream_url=exchange.ws_url)
        connector = stack.enter_context(Connector([settings]))
        return 0 if write(connector.venue("binance"), options.symbol, options.candles, options.file) else 1


if __name__ == "__main__":
    sys.exit(main())
