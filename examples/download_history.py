"""Download a month of minutes to a file, break off in the middle, go on where it ended, and keep it up to date.

python examples/download_history.py candles.csv                       from a simulated exchange
python examples/download_history.py candles.parquet --days 3          with pyarrow (extra `parquet`)
python examples/download_history.py candles.csv --live --symbol ETH/USDT
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from connector import Connector, VenueSettings
from connector.domain.times import datetime_from_ns
from connector.history import Progress, Report, download_candles, iterate_candles
from connector.simulator import Live, Simulator, SimulatorSettings
from connector.venue.handle import VenueHandle


def after_pages(pages: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """(progress, cancelled) for a download that somebody stops after so many pages."""
    seen: list[Progress] = []
    return seen.append, lambda: len(seen) >= pages


def download(venue: VenueHandle, symbol: str, days: int, path: Path) -> Report:
    """Minutes from the midnight `days` ago up to now, in two runs."""
    now = datetime_from_ns(venue.server_time_ns())
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)

    progress, cancelled = after_pages(max(1, days // 2))
    first = download_candles(venue, symbol, "1m", start, to=path, progress=progress, cancelled=cancelled)
    print("broken off ", first)

    report = download_candles(venue, symbol, "1m", start, to=path, progress=sys.stderr.isatty())
    print("went on    ", report)
    for gap in report.gaps:
        print("  missing  ", gap.text)

    print("up to date ", download_candles(venue, symbol, "1m", start, to=path))
    return report


def highest_week(venue: VenueHandle, symbol: str) -> None:
    """Without a file: candles one after the other, in flat memory."""
    weeks = iterate_candles(venue, symbol, "1w", datetime_from_ns(venue.server_time_ns()) - timedelta(weeks=200))
    best = max(weeks, key=lambda week: week.high)
    price, day = f"{best.high.normalize():f}", f"{datetime_from_ns(best.open_time_ns):%Y-%m-%d}"
    print(f"highest of {weeks.report.rows} weeks: {price} in the one of {day}")


def main() -> int:
    parser = argparse.ArgumentParser(description="History to a file that a kill cannot hurt.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--symbol", default="BTC/USDT")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--live", action="store_true", help="the real exchange")
    options = parser.parse_args()
    with ExitStack() as stack:
        settings = VenueSettings("binance")
        if not options.live:
            exchange = stack.enter_context(Simulator(SimulatorSettings(source=Live(deep=True))))
            settings = VenueSettings("binance", rest_url=exchange.rest_url, stream_url=exchange.ws_url)
        venue = stack.enter_context(Connector([settings])).venue("binance")
        report = download(venue, options.symbol, options.days, options.file)
        highest_week(venue, options.symbol)
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
