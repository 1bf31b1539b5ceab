"""The exchange `binance`'s USDⓈ-M futures: linear contracts, sized in the base asset, margined in the quote asset.

Everything is in `binance_futures`; this module only says which product it is.
"""

from connector.simulator.dialects.binance_futures import FIGURES as _BOTH
from connector.simulator.dialects.binance_futures import FuturesDialect
from connector.simulator.dialects.binance_futures.facts import USDM
from connector.simulator.dialects.binance_futures.facts import usdm_listing as listing

__all__ = ["FIGURES", "Dialect", "listing"]

FIGURES = _BOTH | {"max_streams": 1_024}


class Dialect(FuturesDialect):
    """USDⓈ-M: `/fapi`, streams by route."""

    product = USDM
