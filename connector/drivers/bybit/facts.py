"""What Bybit allows, charges and answers, as tables; the three products as data. Decides nothing, reads nothing at run time.

Source of every figure unless a line says otherwise: the venue's own V5 API documentation, state of 2026-07, read 2026-11.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from connector.domain.symbols import Product
from connector.domain.times import NS_PER_S
from connector.domain.wire import BudgetLimit, Charge
from connector.drivers.contract import Environment, Heartbeat, Hosts, StreamLimits

__all__ = [
    "BOOK_DEPTHS",
    "CANDLE_LIMIT",
    "CANDLE_SETTLES_NS",
    "DEPTH_LIMIT",
    "ERRORS",
    "FUNDING_LIMIT",
    "HOSTS",
    "INSTRUMENT_LIMIT",
    "INTERVALS",
    "INVERSE",
    "IP",
    "LIMITS",
    "LINEAR",
    "MARKETS",
    "REGIONS",
    "SOURCE",
    "SPOT",
    "STREAM_LIMITS",
    "VENUE",
    "Market",
    "Reaction",
    "Region",
    "account_charges",
    "budget_name",
]

VENUE = "bybit"
SOURCE = "Bybit V5 API documentation of 2026-07, read 2026-11"

# ---------------------------------------------------------------- products


@dataclass(frozen=True, slots=True)
class Market:
    """One product: what differs between spot, linear and inverse, so that one body of code serves all three.

    Attributes:
        name: the driver's, which is what events carry as their venue.
        category: the venue's word.
        bucket: whose per-account request limits count; linear and inverse share theirs.
        settles: settle coins whose lists have to be asked for one by one; empty where one question names everything.
        trade_limit: rows of recent trades, at most.
    """

    name: str
    product: Product
    category: str
    bucket: str
    settles: tuple[str, ...]
    trade_limit: int

    @property
    def is_spot(self) -> bool:
        return self.product is Product.SPOT

    @property
    def is_inverse(self) -> bool:
        return self.product is Product.INVERSE


SPOT = Market("bybit", Product.SPOT, "spot", "spot", (), 60)
LINEAR = Market("bybit-linear", Product.LINEAR, "linear", "contracts", ("USDT", "USDC"), 1_000)
INVERSE = Market("bybit-inverse", Product.INVERSE, "inverse", "contracts", (), 1_000)
MARKETS = (SPOT, LINEAR, INVERSE)

# ---------------------------------------------------------------- hosts

# Demo mode lives inside the mainnet site: it has no order connection, and its public data is the mainnet's. Elsewhere one host
# has all streams, so that another site's needs naming once.
HOSTS = MappingProxyType(
    {
        Environment.LIVE: Hosts("https://api.bybit.com", "wss://stream.bybit.com", "wss://stream.bybit.com"),
        Environment.TESTNET: Hosts(
            "https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com", "wss://stream-testnet.bybit.com"
        ),
        Environment.DEMO: Hosts(
            "https://api-demo.bybit.com", "wss://stream.bybit.com", "", "wss://stream-demo.bybit.com"
        ),
    }
)


class Region(NamedTuple):
    """Where accounts of one of the venue's other sites live: a key works at the site where it was made, and nowhere else.

    Attributes:
        rest: to be given as the REST root.
        streams: root of all streams; None where no document names one (UNCONFIRMED): ask the venue before relying on any.
        note: what is known besides.
    """

    rest: str
    streams: str | None
    note: str = ""


REGIONS = MappingProxyType(
    {
        "netherlands": Region("https://api.bybit.nl", None, "no stream host is listed: UNCONFIRMED"),
        "turkey": Region("https://api.bybit.tr", "wss://stream.bybit.tr", "older name: bybit-tr.com"),
        "kazakhstan": Region("https://api.bybit.kz", "wss://stream.bybit.kz"),
        "georgia": Region("https://api.bybitgeorgia.ge", "wss://stream.bybitgeorgia.ge"),
        "emirates": Region("https://api.bybit.ae", None, "no stream host is listed: UNCONFIRMED"),
        "eea": Region(
            "https://api.bybit.eu", "wss://stream.bybit.eu", "keys of third-party apps only; host listed for status"
        ),
        "indonesia": Region("https://api.bybit.id", "wss://stream.bybit.id"),
        "japan": Region(
            "https://api.manepa.jp", "wss://stream.manepa.jp", "from 2026-07; testnet api-testnet.manepa.jp"
        ),
        "hong kong": Region("https://api.bybit.com.hk", None, "named by the venue's Python client only: UNCONFIRMED"),
        "mainnet, second name": Region("https://api.bytick.com", None, "REST only; streams as the mainnet's"),
    }
)
"""For `rest_url` and `stream_url` of a venue's settings. Addresses in the US or mainland China get HTTP 403 everywhere."""

# ---------------------------------------------------------------- request budgets


def budget_name(kind: str, bucket: str) -> str:
    """One budget's name: the endpoint and whose limit it is, e.g. "order/create contracts"."""
    return f"{kind} {bucket}"


IP = "IP/5s"
_ACCOUNT = "account"
_WINDOW_S = 1.0

# Requests a second and account, by endpoint; orders by trade socket count as those by REST. VIP accounts have more.
_SPOT = {
    "order/create": 20,
    "order/amend": 10,
    "order/cancel": 20,
    "order/realtime": 50,
    "order/history": 50,
    "execution/list": 50,
}
_CONTRACTS = {
    "order/create": 10,
    "order/amend": 10,
    "order/cancel": 10,
    "order/realtime": 50,
    "order/history": 50,
    "execution/list": 50,
    "position/list": 50,
    "position/set-leverage": 10,
    "position/switch-mode": 10,
}
_SHARED = {"account/wallet-balance": 50, "account/transaction-log": 25, "account/set-margin-mode": 5}

# The address's limit counts over all hosts of the venue. All windows slide.
LIMITS = (
    BudgetLimit(IP, 600, 5.0, False, SOURCE),
    *(BudgetLimit(budget_name(kind, "spot"), points, _WINDOW_S, False, SOURCE) for kind, points in _SPOT.items()),
    *(
        BudgetLimit(budget_name(kind, "contracts"), points, _WINDOW_S, False, SOURCE)
        for kind, points in _CONTRACTS.items()
    ),
    *(BudgetLimit(budget_name(kind, _ACCOUNT), points, _WINDOW_S, False, SOURCE) for kind, points in _SHARED.items()),
)


def account_charges(kind: str, market: Market) -> tuple[Charge, ...]:
    """What a signed call costs of the account's budgets, whichever way it is sent; REST counts at the address besides."""
    return (Charge(budget_name(kind, _ACCOUNT if kind in _SHARED else market.bucket), 1),)


# ---------------------------------------------------------------- questions

INTERVALS = MappingProxyType(
    {
        "1m": ("1", 60_000),
        "3m": ("3", 180_000),
        "5m": ("5", 300_000),
        "15m": ("15", 900_000),
        "30m": ("30", 1_800_000),
        "1h": ("60", 3_600_000),
        "2h": ("120", 7_200_000),
        "4h": ("240", 14_400_000),
        "6h": ("360", 21_600_000),
        "12h": ("720", 43_200_000),
        "1d": ("D", 86_400_000),
        "1w": ("W", 604_800_000),
        "1M": ("M", 31 * 86_400_000),
    }
)
"""Ours -> (the venue's, milliseconds; of a month its longest, for bounds only)."""

CANDLE_LIMIT = 1_000
DEPTH_LIMIT = 1_000
FUNDING_LIMIT = 200
INSTRUMENT_LIMIT = 1_000

# A bar without trades can close late, so an answer that early cannot call it closed.
CANDLE_SETTLES_NS = 2 * NS_PER_S

# ---------------------------------------------------------------- streams

BOOK_DEPTHS = (50, 200, 1_000)

# All names of one connection together may be 21,000 characters long: 400 names of at most 52. Ten names a frame is the
# documented bound on spot; elsewhere none is, and small groups are advised since one bad name may refuse a whole frame. No
# spacing of frames is documented. A connection lives on while pings arrive; the venue ends it when it likes, unannounced.
STREAM_LIMITS = StreamLimits(
    topics_per_connection=400,
    names_per_frame=10,
    frame_spacing_s=0.1,
    connects=500,
    connects_window_s=300.0,
    max_age_s=None,
    rollover_before_s=0.0,
    server_ping_s=None,
    source=SOURCE,
    heartbeat=Heartbeat(20.0, b'{"op":"ping"}'),
)

# ---------------------------------------------------------------- errors


class Reaction(enum.Enum):
    """What a code means for the caller. The text is what the documentation's table prints."""

    UNKNOWN = "a write may have happened; a read is retried later"
    OVERLOADED = "a write may have happened: ask first; a read waits and is sent again"
    RATE_LIMITED = "not done; wait, then send again"
    BANNED = "not done; nothing from this address for ten minutes"
    CLOCK = "not done; measure the clock offset again, sign anew, send once"
    RECONNECT = "not done; this connection is used up, open another"
    NO_ORDER = "no such open order: ask what became of it"
    BUSY = "not done; the order is being changed at this moment: ask, then again"
    DUPLICATE = "not done again: the client id is in use, so the first one was accepted"
    UNCHANGED = "not done, because it is so already"
    HALTED = "not done; this market does not trade now, wait long"
    REJECTED = "not done; the same request will be refused again"
    DUPLICATE_REQUEST = "not done; the request's number was used before: a write may have happened under it"
    CREDENTIALS = "not done; an operator has to act on key, permission or place"
    MISCONFIGURED = "not done; account or path do not fit this driver, an operator has to act"


def _codes(reaction: Reaction, *codes: int | range) -> dict[str, Reaction]:
    flat = [code for part in codes for code in (part if isinstance(part, range) else (part,))]
    return {str(code): reaction for code in flat}


ERRORS = MappingProxyType(
    {
        # server timeout, service restarting, duplicate request (of whatever was sent first)
        **_codes(Reaction.UNKNOWN, 10000, 10016, 10014),
        # spot: internal error, backend timeouts on create, cancel and amend, network error, create/cancel/amend failed
        **_codes(Reaction.UNKNOWN, 170001, 170234, 170007, 170032, 170146, 170147, 170310, 170149, 170150, 170311),
        # platform protection, spot's count of new orders, too fast in one session: nobody says whether it was taken
        **_codes(Reaction.OVERLOADED, 429, 10429, 170005, 170222, 20003),
        # per-account limit of an endpoint; 3,000 orders a second and address on trade sockets
        **_codes(Reaction.RATE_LIMITED, 10006, 10403),
        **_codes(Reaction.BANNED, 10018),
        **_codes(Reaction.CLOCK, 10002, -1),
        # the order gateway restarts: new requests are refused, those in flight are not touched
        **_codes(Reaction.RECONNECT, 10019),
        **_codes(Reaction.NO_ORDER, 110001, 170213, 170143, 110008, 110010, 170139, 170142, 170190),
        **_codes(Reaction.BUSY, 110079, 170212, 170191, 30035, 40004),
        **_codes(Reaction.DUPLICATE, 110072, 170141),
        # position mode, margin mode, risk limit, leverage, TP/SL as they were; repeated login of an order connection
        **_codes(Reaction.UNCHANGED, 110025, 110026, 110027, 110043, 34040, 20001),
        **_codes(Reaction.HALTED, 110063, 110066, 110074, 170151),
        **_codes(Reaction.DUPLICATE_REQUEST, 20006),
        # key, signature, permission, banned, region, compliance, address list, expired
        **_codes(Reaction.CREDENTIALS, 10003, 10004, 10005, 10007, 10008, 10027, 10009, 10024, 10010, 33004, -2015),
        # unified accounts only, or not for them; no such path
        **_codes(Reaction.MISCONFIGURED, 10028, 100028, 10017),
        # parameters; a symbol outside the key's list or the account's region
        **_codes(Reaction.REJECTED, 10001, 10029, 110132, 170209, 170348),
        # balance and margin
        **_codes(Reaction.REJECTED, 110004, 110006, 110007, 110012, 110014, 110044, 110045, range(110051, 110054)),
        **_codes(Reaction.REJECTED, 170131, 170033),
        # price outside the band
        **_codes(Reaction.REJECTED, 110003, 110120, 110121, 30208, 30209, 170132, 170133, range(170192, 170195)),
        **_codes(Reaction.REJECTED, 170371, 170372),
        # quantity: cut to zero, reduce-only, notional, decimals, bounds
        **_codes(Reaction.REJECTED, 110017, 110094, 170140, 170134, 170137, 170148, 170124, 170136, 170341),
        **_codes(Reaction.REJECTED, 170381, 170382),
        # too many open orders
        **_codes(Reaction.REJECTED, 110009, 110020, 110061, 170810),
        # only reducing orders now; position mode with positions or orders; leverage and risk tier
        **_codes(Reaction.REJECTED, 110022, 110023, 110042, 30228, 110024, 110028, 110029, 110013, 110090, 110086),
        # phases of auctions and of the first minutes; makers' orders; history of a status that is not final
        **_codes(Reaction.REJECTED, 110095, 110098, 110099, 110103, 170159, 170206, 170217, 110119, 170355, 181017),
        # unknown operation or category on a trade socket; margin mode refused, with reasons
        **_codes(Reaction.REJECTED, 10404, 3400045),
    }
)
