"""Several venues as one: consolidated books, best bid and offer, spreads between venues, one tape of trades.

from connector.aggregate import Aggregator, Source

with Aggregator(connector.venue) as across:
    book = across.book([Source.of("binance", "BTC/USDT", "0.001"), Source.of("okx", "BTC/USDC", "0.0008")],
                       quote="USDT", rates={"USDC": Source.of("binance", "USDC/USDT")})
    book.wait_in(timeout_s=10)
    print(book.best(fees=True), book.snapshot(depth=10).bids)
"""

from connector.aggregate.aggregator import Aggregator
from connector.aggregate.book import (
    ConsolidatedBook,
    ConsolidatedQuote,
    Consolidation,
    SourceJoined,
    SourceLeft,
    SourceStatus,
    merged,
)
from connector.aggregate.live import LiveConsolidatedBook
from connector.aggregate.quotes import BestSide, Meeting, VenueLevel
from connector.aggregate.sources import Rate, Source, Terms
from connector.aggregate.spreads import SpreadChange, SpreadEvent, SpreadWatch
from connector.aggregate.tape import ConsolidatedTrades
from connector.aggregate.trades import MergedTrade, TradeMerge

__all__ = [
    "Aggregator",
    "BestSide",
    "ConsolidatedBook",
    "ConsolidatedQuote",
    "ConsolidatedTrades",
    "Consolidation",
    "LiveConsolidatedBook",
    "Meeting",
    "MergedTrade",
    "Rate",
    "Source",
    "SourceJoined",
    "SourceLeft",
    "SourceStatus",
    "SpreadChange",
    "SpreadEvent",
    "SpreadWatch",
    "Terms",
    "TradeMerge",
    "VenueLevel",
    "merged",
]
