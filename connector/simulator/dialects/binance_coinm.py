"""The exchange `binance`'s COIN-M futures: inverse contracts, sized in whole contracts, margined in the base asset.

Everything is in `binance_futures`; this module only says which product it is.
"""

from connector.simulator.dialects.binance_futures import FIGURES as _BOTH
from connector.simulator.dialects.binance_futures import FuturesDialect
from connector.simulator.dialects.binance_futures.facts import COINM
from connector.simulator.dialects.binance_futures.facts import coinm_listing as listing

__all__ = ["FIGURES", "Dialect", "listing"]

FIGURES = _BOTH | {"max_streams": 200}


class Dialect(FuturesDialect):
    """COIN-M: `/dapi`, one socket for all streams."""

    product = COINM
