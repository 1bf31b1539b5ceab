"""Exchanges on loopback that speak the venues' wire formats, tell the truth in a ledger, and break on request.

Imports no driver: what a document says is written here a second time, so that a misreading shows.
"""

from connector.simulator.capture import CaptureError, CaptureRecord, CaptureWriter, read_capture
from connector.simulator.faults import MALFORMED_KINDS, Faults
from connector.simulator.instruments import Listing, listing
from connector.simulator.ledger import (
    ConnectionRecord,
    Ledger,
    RequestRecord,
    StreamRecord,
    TradeRecord,
    Violation,
    book_digest,
)
from connector.simulator.server import Simulator, SimulatorError
from connector.simulator.settings import Live, Replay, SimulatorSettings

__all__ = [
    "MALFORMED_KINDS",
    "CaptureError",
    "CaptureRecord",
    "CaptureWriter",
    "ConnectionRecord",
    "Faults",
    "Ledger",
    "Listing",
    "Live",
    "Replay",
    "RequestRecord",
    "Simulator",
    "SimulatorError",
    "SimulatorSettings",
    "StreamRecord",
    "TradeRecord",
    "Violation",
    "book_digest",
    "listing",
    "read_capture",
]
