"""What every driver promises, as tests: run your own driver through them, from bytes and a table of facts.

    class TestAcme(DriverSuite):
        driver = ACME
        facts = FACTS  # a DriverFacts, written from the venue's documents

Every check holds for every driver as it stands. Where a driver lacks something, the check is that it says so: the request is
refused with `Unsupported`, and neither `capabilities` nor the printed table names it. Nothing is sent and no clock is read; what
is random comes from seeds. A failure names the sample and what is wrong with it. Needs pytest.
"""

from __future__ import annotations

from connector.testing.driver_checks.account import AccountChecks
from connector.testing.driver_checks.base import CALLS
from connector.testing.driver_checks.books import BookChecks
from connector.testing.driver_checks.capabilities import CapabilityChecks
from connector.testing.driver_checks.identity import IdentityChecks
from connector.testing.driver_checks.instruments import InstrumentChecks
from connector.testing.driver_checks.orders import OrderChecks
from connector.testing.driver_checks.positions import PositionChecks
from connector.testing.driver_checks.private import PrivateChecks
from connector.testing.driver_checks.questions import QuestionChecks
from connector.testing.driver_checks.streams import StreamChecks
from connector.testing.driver_facts import (
    NOW_MS,
    RECEIVED_NS,
    AnswerSample,
    BookFacts,
    CallSample,
    DriverFacts,
    EventSample,
    KeySample,
    OpeningSample,
    PrivateFacts,
    RefusalSample,
    RefusedFrame,
    SessionSample,
    SigningVector,
    StreamSample,
    TradingFacts,
)

__all__ = [
    "CALLS",
    "NOW_MS",
    "RECEIVED_NS",
    "AnswerSample",
    "BookFacts",
    "CallSample",
    "DriverFacts",
    "DriverSuite",
    "EventSample",
    "KeySample",
    "OpeningSample",
    "PrivateFacts",
    "RefusalSample",
    "RefusedFrame",
    "SessionSample",
    "SigningVector",
    "StreamSample",
    "TradingFacts",
]


class DriverSuite(
    IdentityChecks,
    CapabilityChecks,
    InstrumentChecks,
    QuestionChecks,
    StreamChecks,
    BookChecks,
    OrderChecks,
    AccountChecks,
    PrivateChecks,
    PositionChecks,
):
    """Subclass it, name the subclass `Test…`, and give it the driver and its facts."""
