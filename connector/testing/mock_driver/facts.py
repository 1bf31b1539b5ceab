"""What the mock venue allows, charges and answers, as tables. All of it is invented here."""

from __future__ import annotations

import enum
from types import MappingProxyType

from connector.domain.wire import BudgetLimit
from connector.drivers.contract import Environment, Heartbeat, Hosts, StreamLimits

__all__ = [
    "CODES",
    "DEPTHS",
    "DEPTH_PAGE",
    "HOSTS",
    "ID_IN_USE",
    "ID_IN_USE_TEXT",
    "INTERVALS",
    "LIMITS",
    "NOT_OPEN",
    "NO_SUCH_ORDER",
    "ORDERS",
    "PAGE",
    "REQUESTS",
    "SOURCE",
    "STREAM_LIMITS",
    "VENUE",
    "Reaction",
]

VENUE = "mock"
SOURCE = "invented for connector.testing.mock_driver, 2026-11"


HOSTS = MappingProxyType(
    {Environment.TESTNET: Hosts("https://mock.invalid", "wss://stream.mock.invalid", "wss://session.mock.invalid")}
    | {
        Environment.LIVE: Hosts(
            "https://live.mock.invalid", "wss://stream.live.mock.invalid", "wss://session.live.mock.invalid"
        )
    }
)
REQUESTS, ORDERS = "REQUESTS", "ORDERS"
LIMITS = (BudgetLimit(REQUESTS, 1_200, 60.0, False, SOURCE), BudgetLimit(ORDERS, 100, 10.0, False, SOURCE))
STREAM_LIMITS = StreamLimits(
    topics_per_connection=100,
    names_per_frame=50,
    frame_spacing_s=0.01,
    connects=60,
    connects_window_s=60.0,
    max_age_s=86_400.0,
    rollover_before_s=600.0,
    server_ping_s=None,
    source=SOURCE,
    heartbeat=Heartbeat(20.0, b'{"do":"ping"}'),
)
INTERVALS = ("1m", "5m", "1h", "1d")
DEPTHS = (5, 20)
PAGE = 500
DEPTH_PAGE = 200


class Reaction(enum.Enum):
    """What a code means for the caller."""

    UNKNOWN = "a command may have happened; a question is asked again later"
    RATE_LIMITED = "not done; wait, then send again"
    CLOCK = "not done; measure the clock again, sign anew"
    CREDENTIALS = "not done; an operator has to act"
    REJECTED = "not done; the same request will be refused again"


NO_SUCH_ORDER, NOT_OPEN, ID_IN_USE = "E410", "E411", "E412"
CODES = MappingProxyType(
    {
        "E100": Reaction.UNKNOWN,
        "E200": Reaction.RATE_LIMITED,
        "E300": Reaction.CLOCK,
        "E400": Reaction.REJECTED,
        "E401": Reaction.CREDENTIALS,
        "E404": Reaction.REJECTED,
        NO_SUCH_ORDER: Reaction.REJECTED,
        NOT_OPEN: Reaction.REJECTED,
        ID_IN_USE: Reaction.REJECTED,
        "E413": Reaction.REJECTED,
    }
)
ID_IN_USE_TEXT = "client id is in use"
