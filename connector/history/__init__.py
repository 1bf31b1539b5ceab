"""Candles and trades of any range, within the venue's limits, to an iterator, a CSV file or Parquet; a kill costs a few pages.

    from connector.history import download_candles

    report = download_candles(connector.venue("binance"), "BTC/USDT", "1m", start, end, to="btc.csv")

Importing this package needs nothing beyond the library: pyarrow and rich are imported when a ParquetSink or a bar is asked for.
"""

from connector.history.download import (
    Download,
    Options,
    download_candles,
    download_trades,
    iterate_candles,
    iterate_trades,
)
from connector.history.report import Checkpoint, HistoryGap, Progress, Report, Task
from connector.history.sinks import CsvSink, ParquetSink, Sink

__all__ = [
    "Checkpoint",
    "CsvSink",
    "Download",
    "HistoryGap",
    "Options",
    "ParquetSink",
    "Progress",
    "Report",
    "Sink",
    "Task",
    "download_candles",
    "download_trades",
    "iterate_candles",
    "iterate_trades",
]
