"""What Binance futures allow, charge and answer, as tables: USDⓈ-M and COIN-M side by side. Decides nothing, reads nothing.

The two products share most of their language and, since 2026-06, one pool of requests; what differs is data on a `Futures`
value. Codes often mean something else than on spot, and COIN-M numbers some of its own, so there is a table for each.

Source of every figure unless a line says otherwise: the venue's own derivatives API documentation, read 2026-11.
`exchangeInfo` overrides the request limits at start; the ones here are fallbacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from connector.domain.symbols import Product
from connector.domain.wire import BudgetLimit
from connector.drivers.binance.facts import Reaction, budget_name, codes
from connector.drivers.contract import Environment, Hosts, StreamLimits

__all__ = [
    "AGG_WINDOW_MS",
    "CANDLE_LIMIT",
    "CANDLE_WEIGHTS",
    "COINM",
    "DEPTH_LIMITS",
    "DEPTH_WEIGHTS",
    "FUNDING",
    "FUNDING_LIMIT",
    "INTERVALS",
    "LIMITS",
    "ORDERS_10S",
    "ORDERS_60S",
    "PARTIAL_DEPTHS",
    "POOL",
    "REFUSED_FOR_SURE",
    "REQUEST_WEIGHT",
    "SOURCE",
    "SPEEDS_MS",
    "TRADE_LIMIT",
    "USDM",
    "WINDOW_MS",
    "Futures",
]

SOURCE = "Binance derivatives API documentation, read 2026-11"

# ---------------------------------------------------------------- request budgets, shared by both products

POOL = "binance-futures"
REQUEST_WEIGHT = budget_name("REQUEST_WEIGHT", 60)
ORDERS_10S = budget_name("ORDERS", 10)
ORDERS_60S = budget_name("ORDERS", 60)
FUNDING = budget_name("FUNDING", 300)

# Weight counts per address and UTC clock minute (measured by others, 2026-10), orders per account. How the windows of the
# funding questions lie is not told, and no header tells their use.
LIMITS = (
    BudgetLimit(REQUEST_WEIGHT, 2_400, 60.0, True, SOURCE),
    BudgetLimit(ORDERS_10S, 300, 10.0, True, SOURCE),
    BudgetLimit(ORDERS_60S, 1_200, 60.0, True, SOURCE),
    BudgetLimit(FUNDING, 500, 300.0, False, SOURCE),
)

# ---------------------------------------------------------------- questions

# Milliseconds of each interval; a month by its longest. There is no 1s on these streams and questions.
INTERVALS = MappingProxyType(
    {
        "1m": 60_000,
        "3m": 180_000,
        "5m": 300_000,
        "15m": 900_000,
        "30m": 1_800_000,
        "1h": 3_600_000,
        "2h": 7_200_000,
        "4h": 14_400_000,
        "6h": 21_600_000,
        "8h": 28_800_000,
        "12h": 43_200_000,
        "1d": 86_400_000,
        "3d": 259_200_000,
        "1w": 604_800_000,
        "1M": 2_678_400_000,
    }
)
CANDLE_LIMIT = 1_500
CANDLE_WEIGHTS = (
    (100, 1),
    (500, 2),
    (1_000, 5),
    (1_500, 10),
)  # (rows up to, weight); edges measured by others, 2026-10
WINDOW_MS = 200 * 86_400_000  # of COIN-M candles in one answer
TRADE_LIMIT = 1_000
AGG_WINDOW_MS = 3_600_000  # both ends of a question about aggregate trades lie less than this apart
FUNDING_LIMIT = 1_000
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)  # others are refused
DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1_000, 20))  # (levels up to, weight)

# ---------------------------------------------------------------- streams

PARTIAL_DEPTHS = (5, 10, 20)
SPEEDS_MS = MappingProxyType({100: "@100ms", 250: "", 500: "@500ms"})  # "@250ms" is acknowledged and silent (2026-10)


def _stream_limits(topics: int) -> StreamLimits:
    """10 frames a second are documented; bursts of 16 were cut off (measured by others, 2026-10), 200 ms apart held.

    An acknowledgement proves nothing here: unknown names, names in upper case and names on the wrong path are acknowledged
    too, and stay silent. The limit of connection attempts is spot's: none is documented for these hosts.
    """
    return StreamLimits(
        topics_per_connection=topics,
        names_per_frame=200,
        frame_spacing_s=0.2,
        connects=300,
        connects_window_s=300.0,
        max_age_s=86_400.0,
        rollover_before_s=600.0,
        server_ping_s=180.0,
        source=SOURCE,
        ack_proves=False,
    )


# ---------------------------------------------------------------- errors

# Bodies of a 503 that say that nothing was done, word for word; any other text leaves it open.
REFUSED_FOR_SURE = frozenset(
    {"Service Unavailable.", "Internal error; unable to process your request. Please try again."}
)

_SHARED = {
    # UNKNOWN, DISCONNECTED, UNEXPECTED_RESP, TIMEOUT of the backend, CANCEL_ALL_FAIL
    **codes(Reaction.UNKNOWN, -1000, -1001, -1006, -1007, -2012),
    # TOO_MANY_REQUESTS, TOO_MANY_ORDERS
    **codes(Reaction.RATE_LIMITED, -1003, -1015),
    # throttled by system protection (never counted, cancels pass), SERVICE_SHUTTING_DOWN, maintenance (seen 2026-06)
    **codes(Reaction.UNAVAILABLE, -1008, -1016, 239_999),
    # INVALID_TIMESTAMP, ME_RECVWINDOW_REJECT: too late for the engine
    **codes(Reaction.CLOCK, -1021, -5028),
    # UNAUTHORIZED, DUPLICATE_IP, NO_SUCH_IP, NON_WHITE_LIST, INVALID_SIGNATURE, NOT_FOUND without a key, bad or locked keys
    **codes(Reaction.CREDENTIALS, -1002, -1004, -1005, -1011, -1022, -1099, -2014, -2015, -2017, -4056, -4057),
    # ERROR_MSG_RECEIVED, INVALID_MESSAGE, UNKNOWN_ORDER_COMPOSITION, UNSUPPORTED_OPERATION, START_TIME_GREATER_THAN_END_TIME
    **codes(Reaction.REJECTED, -1010, -1013, -1014, -1020, -1023),
    # malformed or unsupported parameters, INVALID_ACCOUNT (-1109), too many digits (-1111), BAD_INTERVAL, symbol status
    **codes(Reaction.REJECTED, range(-1106, -1099), range(-1118, -1107), -1120, -1122),
    **codes(Reaction.REJECTED, range(-1128, -1125), -1130, -1136),
    **codes(Reaction.UNKNOWN_SYMBOL, -1121),
    # INVALID_LISTEN_KEY: the key is gone, and asking again does not bring it back; another one is needed
    **codes(Reaction.REJECTED, -1125),
    # NEW_ORDER_REJECTED, CANCEL_REJECTED, NO_SUCH_ORDER (no proof by itself); balance, margin, liquidation; -2021 would trigger
    # at once, -2022 reduce-only refused, -2026 no reduce-only of this type: all three mean other things on spot
    **codes(Reaction.REJECTED, -2010, -2011, -2013, range(-2028, -2017)),
    # bounds of price, quantity, stop price, digits; reduce-only, depth, leverage, working type, number of ids
    **codes(Reaction.REJECTED, range(-4021, -3999), range(-4032, -4022), -4045),
    # margin type and position mode: it is so already; asset mode already set; a modification that changes nothing
    **codes(Reaction.ALREADY, -4046, -4059, -4171, -5027),
    # margin type and position mode: not possible now, or not with these parameters
    **codes(Reaction.REJECTED, range(-4055, -4046), range(-4062, -4059), -4067, -4068),
    # batches, method not allowed now, only reduce-only allowed, no orders for this user
    **codes(Reaction.REJECTED, range(-4084, -4081), -4087, -4088),
    # contract type, pair, inactive account, transfer ids
    **codes(Reaction.REJECTED, -4104, -4144, -4109, -4114, -4115),
    # the client id is that of an open order; the order is being triggered; reduce-only margin; use algo orders
    **codes(Reaction.REJECTED, -4116, -4117, -4118, -4120),
    # MARKET outside PERCENT_PRICE, trailing and close-position rules, symbol status, would trigger at once
    **codes(Reaction.REJECTED, -4131, range(-4142, -4134)),
    # leverage, notional, windows in time, margin modes
    **codes(Reaction.REJECTED, -4161, range(-4170, -4163), -4172),
    # stop price multipliers, cooling-off, leverage restrictions, compliance, region, modes of both products differ
    **codes(Reaction.REJECTED, -4183, -4184, -4210, -4211, -4192, range(-4209, -4201), range(-4403, -4399), -4531),
    # FOK and post-only that cannot be; modifications refused; price match and self-trade parameters
    **codes(Reaction.REJECTED, -5021, -5022, range(-5026, -5023), -5029, range(-5041, -5036), -5043, -5047),
    # the endpoint is gone
    **codes(Reaction.REJECTED, -21_015),
}

# COIN-M numbered some otherwise; whether it moved to the shared numbers with the integration of 2026-06 is not told.
_COINM = {
    # pair, interval, only reduce-only, no orders; transfer ids; reduce-only failed, MARKET outside PERCENT_PRICE
    **codes(Reaction.REJECTED, range(-4090, -4086), range(-4113, -4109)),
    # leverage in isolated mode, price multipliers, notional below one, leverage restrictions, modifications refused
    **codes(Reaction.REJECTED, range(-4152, -4149), -4154, -4155, -4178, -4194, -4195, -4196, range(-4202, -4197)),
    **codes(Reaction.CLOCK, -4188),
    **codes(Reaction.ALREADY, -4197),
}

# ---------------------------------------------------------------- the two products


@dataclass(frozen=True, slots=True)
class Futures:
    """One of the two products, as data.

    Attributes:
        venue: the driver's name.
        title: in texts.
        root: of REST paths, e.g. "/fapi".
        session_path: of the connection that takes orders.
        groups: market streams live on paths of their own: "public" and "market".
        contracts: quantities are whole contracts worth quote units, so base units are worked out with the price.
        errors: code -> reaction.
        query_limit: rows of one answer about orders.
    """

    venue: str
    title: str
    product: Product
    root: str
    session_path: str
    groups: tuple[str, ...]
    contracts: bool
    hosts: Mapping[Environment, Hosts]
    stream_limits: StreamLimits
    errors: Mapping[str, Reaction]
    query_limit: int

    def __repr__(self) -> str:
        return f"<Futures {self.venue}>"


USDM = Futures(
    venue="binance-usdm",
    title="Binance USDⓈ-M",
    product=Product.LINEAR,
    root="/fapi",
    session_path="/ws-fapi/v1",
    groups=("public", "market"),
    contracts=False,
    hosts=MappingProxyType(
        {
            Environment.LIVE: Hosts(
                "https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com"
            ),
            Environment.DEMO: Hosts(
                "https://demo-fapi.binance.com",
                "wss://fstream.binancefuture.com",
                "wss://testnet.binancefuture.com",
            ),
        }
    ),
    stream_limits=_stream_limits(1_024),
    errors=MappingProxyType(_SHARED),
    query_limit=1_000,
)

COINM = Futures(
    venue="binance-coinm",
    title="Binance COIN-M",
    product=Product.INVERSE,
    root="/dapi",
    session_path="/ws-dapi/v1",
    groups=("",),
    contracts=True,
    hosts=MappingProxyType(
        {
            Environment.LIVE: Hosts(
                "https://dapi.binance.com", "wss://dstream.binance.com", "wss://ws-dapi.binance.com"
            ),
            Environment.DEMO: Hosts(
                "https://demo-dapi.binance.com",
                "wss://dstream.binancefuture.com",
                "wss://testnet.binancefuture.com",
            ),
        }
    ),
    stream_limits=_stream_limits(200),  # last documented; whether it was raised like the other's is not told
    errors=MappingProxyType(_SHARED | _COINM),
    query_limit=100,
)
