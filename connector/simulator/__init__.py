"""Exchanges on loopback that speak the venues' wire formats, tell the truth in a ledger, and break on request.

Imports no driver: what a document says is written here a second time, so that a misreading shows.
"""

try:
    import aiohttp as _aiohttp  # noqa: F401
except ImportError as absent:
    raise ImportError("the simulator needs its extra: pip install 'venue-connector[simulator]'") from absent

from connector.simulator.capture import CaptureError, CaptureRecord, CaptureWriter, read_capture
from connector.simulator.faults import MALFORMED_KINDS, Faults
from connector.simulator.instruments import Listing, contract, listing
from connector.simulator.keys import new_pair
from connector.simulator.ledger import (
    BalanceRecord,
    ConnectionRecord,
    EventRecord,
    FillRecord,
    IncomeRecord,
    Ledger,
    OrderRecord,
    PositionRecord,
    RequestRecord,
    StreamRecord,
    TradeRecord,
    Violation,
    book_digest,
)
from connector.simulator.server import AccountHandle, Simulator, SimulatorError
from connector.simulator.settings import AccountSettings, Live, Replay, SimulatorSettings

__all__ = [
    "MALFORMED_KINDS",
    "AccountHandle",
    "AccountSettings",
    "BalanceRecord",
    "CaptureError",
    "CaptureRecord",
    "CaptureWriter",
    "ConnectionRecord",
    "EventRecord",
    "Faults",
    "FillRecord",
    "IncomeRecord",
    "Ledger",
    "Listing",
    "Live",
    "OrderRecord",
    "PositionRecord",
    "Replay",
    "RequestRecord",
    "Simulator",
    "SimulatorError",
    "SimulatorSettings",
    "StreamRecord",
    "TradeRecord",
    "Violation",
    "book_digest",
    "contract",
    "listing",
    "new_pair",
    "read_capture",
]
