"""What Binance spot allows, charges and answers, as tables. Decides nothing, reads nothing at run time.

Source of every figure unless a line says otherwise: the venue's own spot API documentation, read 2026-11. `exchangeInfo`
overrides the request limits at start; the ones here are fallbacks.
"""

from __future__ import annotations

import enum
from types import MappingProxyType

from connector.domain.times import NS_PER_S
from connector.domain.wire import BudgetLimit
from connector.drivers.contract import Environment, Hosts, StreamLimits

__all__ = [
    "CANDLE_SETTLES_NS",
    "DEPTH_LIMIT",
    "DEPTH_WEIGHTS",
    "ERRORS",
    "HOSTS",
    "INTERVALS",
    "LIMITS",
    "ORDERS_10S",
    "ORDERS_DAY",
    "PAGE_LIMIT",
    "PARTIAL_DEPTHS",
    "PARTLY_LISTED",
    "RAW_REQUESTS",
    "REQUEST_WEIGHT",
    "SOURCE",
    "STREAM_ERRORS",
    "STREAM_LIMITS",
    "TICKER_WEIGHTS",
    "TICKER_WEIGHT_OF_ALL",
    "VENUE",
    "Reaction",
    "budget_name",
    "codes",
]

VENUE = "binance"
SOURCE = "Binance spot API documentation, read 2026-11"

HOSTS = MappingProxyType(
    {
        Environment.LIVE: Hosts(
            "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443"
        ),
        Environment.TESTNET: Hosts(
            "https://testnet.binance.vision",
            "wss://stream.testnet.binance.vision",
            "wss://ws-api.testnet.binance.vision",
        ),
        Environment.DEMO: Hosts(
            "https://demo-api.binance.com", "wss://demo-stream.binance.com", "wss://demo-ws-api.binance.com"
        ),
    }
)

# ---------------------------------------------------------------- request budgets


def budget_name(kind: str, window_s: int) -> str:
    """One budget's name, unique per kind and window, e.g. "ORDERS/10s" beside "ORDERS/86400s"."""
    return f"{kind}/{window_s}s"


REQUEST_WEIGHT = budget_name("REQUEST_WEIGHT", 60)
RAW_REQUESTS = budget_name("RAW_REQUESTS", 300)
ORDERS_10S = budget_name("ORDERS", 10)
ORDERS_DAY = budget_name("ORDERS", 86_400)

# Windows are fixed and aligned to the venue's clock. Weight and raw requests count per address, orders per account.
LIMITS = (
    BudgetLimit(REQUEST_WEIGHT, 6_000, 60.0, True, SOURCE),
    BudgetLimit(RAW_REQUESTS, 300_000, 300.0, True, SOURCE),
    BudgetLimit(ORDERS_10S, 50, 10.0, True, SOURCE),
    BudgetLimit(ORDERS_DAY, 160_000, 86_400.0, True, SOURCE),
)

# ---------------------------------------------------------------- questions

INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
PAGE_LIMIT = 1_000  # candles and trades, rows of one answer
DEPTH_LIMIT = 5_000  # levels a side; any number up to it
DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))  # (levels up to, weight)
TICKER_WEIGHTS = ((20, 2), (100, 40))  # (symbols up to, weight) of the 24 h ticker
TICKER_WEIGHT_OF_ALL = 80
PARTLY_LISTED = 100  # more symbols than this cost as much as all, so all are asked for and no URL grows without bound

# The final update of a candle may come about 2 s after its close, so an answer sent earlier cannot call it closed.
CANDLE_SETTLES_NS = 2 * NS_PER_S

# ---------------------------------------------------------------- streams

PARTIAL_DEPTHS = (5, 10, 20)

# 5 incoming messages a second and connection, our pings and pongs included; frames 250 ms apart were closed with 1008 "Too
# many requests", 500 ms apart held (measured by others, 2026-10). No size limit of a frame is documented: 200 names are safe.
STREAM_LIMITS = StreamLimits(
    topics_per_connection=1_024,
    names_per_frame=200,
    frame_spacing_s=0.5,
    connects=300,
    connects_window_s=300.0,
    max_age_s=86_400.0,
    rollover_before_s=1_800.0,
    server_ping_s=20.0,
    source=SOURCE,
)

# ---------------------------------------------------------------- errors


class Reaction(enum.Enum):
    """What a code means for the caller. The text is what the documentation's table prints."""

    UNKNOWN = "a write may have happened; a read is retried later"
    PARTLY = "half of a two-part write happened: ask for both halves"
    RATE_LIMITED = "not done; wait, then send again"
    UNAVAILABLE = "not done; the venue is going down, try later"
    CLOCK = "not done; measure the clock offset again, sign anew, send once"
    RECONNECT = "not done; this connection is used up, open another"
    REJECTED = "not done; the same request will be refused again"
    UNKNOWN_SYMBOL = "not done; the venue lists no such symbol"
    CREDENTIALS = "not done; an operator has to act"
    ALREADY = "it is so already: nothing is changed, and nothing is wrong"


def codes(reaction: Reaction, *numbers: int | range) -> dict[str, Reaction]:
    flat = [code for part in numbers for code in (part if isinstance(part, range) else (part,))]
    return {str(code): reaction for code in flat}


ERRORS = MappingProxyType(
    {
        # UNKNOWN, DISCONNECTED, UNEXPECTED_RESP, TIMEOUT of the backend, SERVER_BUSY (the documents do not say: unknown)
        **codes(Reaction.UNKNOWN, -1000, -1001, -1006, -1007, -1008),
        # TOO_MANY_REQUESTS, TOO_MANY_ORDERS, TOO_MANY_CONNECTIONS
        **codes(Reaction.RATE_LIMITED, -1003, -1015, -1034),
        **codes(Reaction.UNAVAILABLE, -1016),
        **codes(Reaction.CLOCK, -1021),
        # UNAUTHORIZED, INVALID_SIGNATURE, BAD_API_KEY_FMT, REJECTED_MBX_KEY (also a wrong host, or a temporary ban), and two
        # of an unauthenticated session that only the live venue tells (measured by others, 2026-07)
        **codes(Reaction.CREDENTIALS, -1002, -1022, -2014, -2015, -2028, -1193),
        # INVALID_MESSAGE ("Filter failure: …"), UNKNOWN_ORDER_COMPOSITION, UNSUPPORTED_OPERATION
        **codes(Reaction.REJECTED, -1013, -1014, -1020),
        # malformed, missing, unexpected or unsupported parameters; -1120 is BAD_INTERVAL
        **codes(Reaction.REJECTED, range(-1106, -1099), -1108, -1111, range(-1122, -1113), -1128, -1130, -1134, -1135),
        **codes(Reaction.REJECTED, -1139, -1145, -1151, -1194),
        # INVALID_LISTEN_KEY (retired), MORE_THAN_XX_HOURS, SYMBOL_DOES_NOT_MATCH_STATUS
        **codes(Reaction.REJECTED, -1125, -1127, -1220),
        **codes(Reaction.UNKNOWN_SYMBOL, -1121),
        # NEW_ORDER_REJECTED, CANCEL_REJECTED, NO_SUCH_ORDER (no proof by itself: an answer may lag), NO_TRADING_WINDOW
        **codes(Reaction.REJECTED, -2010, -2011, -2013, -2016),
        **codes(Reaction.PARTLY, -2021),
        # cancel-replace failed whole, ORDER_ARCHIVED, subscription already active / not active, ORDER_AMEND_REJECTED,
        # CLIENT_ORDER_ID_INVALID, NO_REFERENCE_PRICE
        **codes(Reaction.REJECTED, -2022, -2026, -2035, -2036, -2038, -2039, -2043),
        # 65,535 subscriptions were made on this connection
        **codes(Reaction.RECONNECT, -2042),
    }
)

# Codes of the stream's control frames: unknown property, value not boolean, invalid request, invalid JSON, too many topics.
# Code 4 is seen on the venue's futures host only (measured by others, 2026-10); more topics need another connection.
STREAM_ERRORS = MappingProxyType(
    {
        "0": Reaction.REJECTED,
        "1": Reaction.REJECTED,
        "2": Reaction.REJECTED,
        "3": Reaction.REJECTED,
        "4": Reaction.RATE_LIMITED,
    }
)
