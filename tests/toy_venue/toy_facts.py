"""What the toy venue says and means, as samples: the table its driver is compared with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from random import Random

from connector.domain import Symbol, Topic, TopicKind
from connector.domain.account import Position, PositionSide
from connector.domain.commands import PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport, PositionReport, StreamEnded
from connector.domain.instruments import AmountFilter, Instrument, InstrumentStatus, PriceFilter
from connector.domain.market import BookDelta, OrderBook, Side, Trade
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.queries import DepthQuery, InstrumentsQuery, RecentTradesQuery, ServerTimeQuery
from connector.drivers.contract import Ack, Environment
from connector.drivers.trading import CancelAnswer, PlaceAnswer
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)
from connector.testing.driver_suite import (
    NOW_MS,
    RECEIVED_NS,
    AnswerSample,
    BookFacts,
    CallSample,
    DriverFacts,
    EventSample,
    KeySample,
    PrivateFacts,
    RefusalSample,
    RefusedFrame,
    SigningVector,
    StreamSample,
    TradingFacts,
)

D = Decimal
VENUE = "toy"
AT = RECEIVED_NS
MS = 1_000_000
T = 1_762_000_000_100
XBT, ETH, SUN = Symbol("XBT", "USD", "XBT"), Symbol("ETH", "USD", "ETH"), Symbol("SUN", "USD", "SUN")
KEY, SECRET, PASSPHRASE = "toy-key-0001", "toy-secret-0001", "open sesame"


def wire(*parts: object) -> bytes:
    return json.dumps(parts, separators=(",", ":")).encode()


def signed(text: str) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha512).digest()).decode()


# ---------------------------------------------------------------- instruments: 100 dollars a contract

XBT_ROW = ["XBTx", "XBT", "100", "0.5", "1", "open"]
INSTRUMENTS = (
    wire(
        0,
        T,
        "page-2",
        [XBT_ROW, ["ETHx", "ETH", "10", "0.05", "1", "shut"], ["MOONx", "SUN", "10", "0.05", "1", "open"]],
    ),
    wire(0, T, None, [["SUNx", "SUN", "10", "0.05", "1", "open"]]),
)
INSTRUMENT = Instrument(
    venue=VENUE,
    symbol=XBT,
    venue_name="XBTx",
    status=InstrumentStatus.TRADING,
    status_text="open",
    base_decimals=8,
    quote_decimals=2,
    order_types=("L", "M"),
    filters=(PriceFilter(D("0.5"), None, D("0.5")), AmountFilter(D(1), None, D(1))),
    contract_size=D(100),
)

# ---------------------------------------------------------------- market: 20 contracts at 40,000.00 are 0.05 XBT

TAPE = [
    ["a9f1", 71, "40000.00", "20.0", "B", T],
    ["77c0", 71, "50000.00", "5.0", "S", T],
]
TRADES = (
    Trade(VENUE, XBT, T * MS, AT, "a9f1", D(40000), D("0.05"), Side.BUY, False, D(20), 71),
    Trade(VENUE, XBT, T * MS, AT, "77c0", D(50000), D("0.01"), Side.SELL, False, D(5), 71),
)
STREAMS = (
    StreamSample(
        topic=Topic(TopicKind.TRADES, XBT),
        name="t:XBTx",
        group="tape",
        frames=(wire("t", "XBTx", TAPE),),
        events=TRADES,
    ),
    StreamSample(
        topic=Topic(TopicKind.BOOK, XBT),
        name="d:XBTx",
        group="books",
        frames=(wire("d", "XBTx", 500, 507, [["40000.0", "20.0"]], [["50000.0", "0.0"]], T),),
        events=(BookDelta(VENUE, XBT, T * MS, AT, 501, 507, ((D(40000), D("0.05")),), ((D(50000), D(0)),), 500),),
    ),
)
QUESTIONS = (
    AnswerSample(query=ServerTimeQuery(), request="GET /v1/time", bodies=(wire(0, T),), answer=T * MS),
    AnswerSample(query=InstrumentsQuery(), request="GET /v1/contracts", bodies=INSTRUMENTS, answer=None),
    AnswerSample(
        query=RecentTradesQuery(XBT, 2), request="GET /v1/tape?name=XBTx&n=2", bodies=(wire(0, TAPE),), answer=TRADES
    ),
    AnswerSample(
        query=DepthQuery(XBT),
        request="GET /v1/book?name=XBTx&n=25",
        bodies=(wire(0, 507, T, [["40000.0", "20.0"]], [["50000.0", "5.0"]]),),
        answer=OrderBook(VENUE, XBT, T * MS, AT, 507, ((D(40000), D("0.05")),), ((D(50000), D("0.01")),)),
    ),
)


def refusal(code: str, text: str = "no") -> bytes:
    return wire(int(code), text)


REJECTED = (VenueRejected, VenueRejected)
REFUSALS = (
    RefusalSample(body=refusal("11"), status=200, code="11", retry_after_s=6.0, read=RateLimited, write=RateLimited),
    RefusalSample(body=refusal("20"), status=200, code="20", read=AuthenticationFailed, write=AuthenticationFailed),
    RefusalSample(body=refusal("30"), status=200, code="30", read=VenueRejected, write=VenueRejected),
    RefusalSample(body=b"", status=200, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(body=b"<html>", status=503, read=VenueUnavailable, write=OutcomeUnknown),
)

# ---------------------------------------------------------------- orders

ID, VENUE_ID = "cn000042", "o-4400"
ORDER = PlaceOrder(symbol=XBT, side=Side.BUY, type=OrderType.LIMIT, contracts=D(20), price=D("40000.0"))
CURRENT = Order(
    VENUE,
    XBT,
    T * MS,
    AT,
    ID,
    VENUE_ID,
    Side.BUY,
    OrderType.LIMIT,
    TimeInForce.GTC,
    OrderStatus.NEW,
    "live",
    D("0.05"),
    D(0),
    D(40000),
    contracts=D(20),
    filled_contracts=D(0),
)
FILL_ROW = ["XBTx", "f-1", VENUE_ID, ID, "B", "40000.0", "8.0", "-0.00000200", "XBT", "m", T]
FILL = Fill(
    VENUE,
    XBT,
    T * MS,
    AT,
    "f-1",
    ID,
    VENUE_ID,
    Side.BUY,
    D(40000),
    D("0.02"),
    D("-0.000002"),
    "XBT",
    True,
    contracts=D(8),
)


def row(state: str, done: str, version: int, fill: object = None) -> list[object]:
    average = None if done == "0.0" else "40000.0"
    return ["XBTx", VENUE_ID, ID, "B", "L", state, "20.0", done, average, "40000.0", T, version, fill]


def report(
    status: OrderStatus, text: str, contracts: str, filled: str, version: int, fill: Fill | None = None
) -> OrderReport:
    return OrderReport(
        venue=VENUE,
        symbol=XBT,
        event_time_ns=T * MS,
        received_ns=AT,
        client_id=ID,
        venue_id=VENUE_ID,
        side=Side.BUY,
        type=OrderType.LIMIT,
        type_text="L",
        time_in_force=TimeInForce.GTC,
        status=status,
        status_text=text,
        quantity=D("0.05"),
        filled=D(filled),
        price=D(40000),
        version=version,
        fill=fill,
        contracts=D(20),
        filled_contracts=D(contracts),
    )


LIVE = report(OrderStatus.NEW, "live", "0", "0", 1)
CUT = report(OrderStatus.CANCELED, "cut", "8", "0.02", 3)
WALLET = [["XBT", "1.25000000"], ["ETH", "0.0"]]
HELD = (("XBT", D("1.25"), D(0)), ("ETH", D(0), D(0)))
POSITIONS = [["XBTx", "-8.0", "40000.0", "-0.00001", T], ["ETHx", "0", None, "0.0", T]]
HELD_POSITIONS = (
    Position(VENUE, XBT, T * MS, AT, PositionSide.NET, D("-0.02"), D(40000), unrealized=D("-0.00001"), contracts=D(-8)),
    Position(VENUE, ETH, T * MS, AT, PositionSide.NET, D(0), None, unrealized=D(0), contracts=D(0)),
)
PLACED = '["XBTx","B","L","20","40000.0","cn000042"]'
CALLS = (
    CallSample(
        what="place",
        request="POST /v1/orders",
        says=(PLACED.encode(),),
        headers={
            "Toy-Key": KEY,
            "Toy-Pass": PASSPHRASE,
            "Toy-Time": str(NOW_MS),
            "Toy-Sign": signed(f"{NOW_MS}|POST|/v1/orders|{PLACED}"),
        },
        answer=wire(0, VENUE_ID),
        expected=PlaceAnswer(None, (), VENUE_ID),
    ),
    CallSample(
        what="place",
        request="POST /v1/orders",
        says=(b'["XBTx","S","M","20",null,',),
        command=PlaceOrder(symbol=XBT, side=Side.SELL, type=OrderType.MARKET, contracts=D(20)),
    ),
    CallSample(
        what="place",
        request="POST /v1/orders",
        says=(b'["XBTx","B","L","20","40000.0",',),
        command=PlaceOrder(symbol=XBT, side=Side.BUY, type=OrderType.LIMIT, quantity=D("0.05"), price=D("40000.0")),
    ),
    CallSample(
        what="cancel",
        request="DELETE /v1/orders",
        says=(b"mine=cn000042",),
        answer=wire(0, VENUE_ID),
        expected=CancelAnswer(None),
    ),
    CallSample(
        what="order",
        request="GET /v1/order",
        says=(b"mine=cn000042",),
        answer=wire(0, row("live", "0.0", 1)),
        expected=LIVE,
    ),
    CallSample(what="order by venue id", request="GET /v1/order", says=(b"id=o-4400",)),
    CallSample(
        what="open orders",
        request="GET /v1/orders",
        says=(b"name=XBTx",),
        answer=wire(0, "p2", [row("live", "0.0", 1)]),
        expected=(LIVE,),
        follows=True,
    ),
    CallSample(what="all open orders", request="GET /v1/orders", answer=wire(0, None, []), expected=()),
    CallSample(
        what="fills",
        request="GET /v1/fills",
        says=(b"name=XBTx",),
        answer=wire(0, None, [FILL_ROW]),
        expected=(FILL,),
    ),
    CallSample(what="fills from an id", request="GET /v1/fills", says=(b"after=900001",)),
    CallSample(what="fills from a time", request="GET /v1/fills", says=(b"since=1761990000000",)),
    CallSample(what="fills of an order", request="GET /v1/fills", says=(b"order=o-4400",)),
    CallSample(
        what="orders since",
        request="GET /v1/history",
        says=(b"name=XBTx&since=1761990000000",),
        answer=wire(0, None, [row("cut", "8.0", 3)]),
        expected=(CUT,),
    ),
    CallSample(
        what="balances",
        request="GET /v1/wallet",
        answer=wire(0, T, WALLET),
        expected=BalanceReport(VENUE, T * MS, AT, HELD, True),
    ),
    CallSample(
        what="positions",
        request="GET /v1/positions",
        answer=wire(0, T, POSITIONS),
        expected=PositionReport(VENUE, T * MS, AT, HELD_POSITIONS, True),
    ),
)
EVENTS = PrivateFacts(
    url="wss://me.toy.invalid/KEY",
    environment=Environment.DEMO,
    key=KeySample(opens="POST /v1/key", answer=wire(0, "KEY"), key="KEY", renews="PUT /v1/key"),
    events=(
        EventSample(frame=wire("o", row("live", "0.0", 1)), facts=(LIVE,)),
        EventSample(
            frame=wire("o", row("part", "8.0", 2, FILL_ROW)),
            facts=(report(OrderStatus.PARTIALLY_FILLED, "part", "8", "0.02", 2, FILL),),
        ),
        EventSample(
            frame=wire("o", row("done", "20.0", 3)), facts=(report(OrderStatus.FILLED, "done", "20", "0.05", 3),)
        ),
        EventSample(frame=wire("o", row("late", "0.0", 4)), facts=(report(OrderStatus.EXPIRED, "late", "0", "0", 4),)),
        EventSample(frame=wire("f", FILL_ROW), facts=(FILL,)),
        EventSample(frame=wire("w", T, WALLET), facts=(BalanceReport(VENUE, T * MS, AT, HELD, False),)),
        EventSample(frame=wire("p", T, POSITIONS), facts=(PositionReport(VENUE, T * MS, AT, HELD_POSITIONS, False),)),
        EventSample(frame=wire("gone"), facts=(StreamEnded("the key is not valid any more"),)),
    ),
    endings=(wire("bye", "maintenance"),),
    known_noise=(wire("pong"),),
    unknown_noise=(wire("moonrise"), wire("teleport", 1)),
)
TRADING = TradingFacts(
    credentials={"hmac": Credentials(KEY, secret=SECRET, passphrase=PASSPHRASE)},
    refused_credentials=(Credentials(KEY, private_key_pem="-----BEGIN PRIVATE KEY-----"),),
    symbol=XBT,
    client_id=ID,
    order=ORDER,
    current=CURRENT,
    calls=CALLS,
    vectors=(SigningVector(payload="a|b", signature=signed("a|b")),),
    refused_orders=(
        PlaceOrder(symbol=XBT, side=Side.BUY, type=OrderType.LIMIT, quantity=D("0.0501"), price=D(40000)),
        PlaceOrder(symbol=XBT, side=Side.BUY, type=OrderType.MARKET, quantity=D("0.05")),
    ),
    never_told={OrderStatus.REJECTED: "an order is refused in its answer, and then there is none"},
    not_found=(RefusalSample(body=refusal("31"), status=200, read=VenueRejected, write=VenueRejected),),
    not_open=(RefusalSample(body=refusal("32"), status=200, read=VenueRejected, write=VenueRejected),),
    duplicate=(
        RefusalSample(body=refusal("33", "that id is taken"), status=200, read=VenueRejected, write=VenueRejected),
    ),
    events=EVENTS,
)


def following(last: int, chance: Random) -> tuple[int, int, int | None]:
    """Numbers jump; each delta names the last one of the delta before."""
    return last + 1, last + chance.randint(1, 9), last


FACTS = DriverFacts(
    limits={"calls": (60, 6.0)},
    instruments=INSTRUMENTS,
    symbols={"XBTx": XBT, "ETHx": ETH, "SUNx": SUN},
    instrument=INSTRUMENT,
    skipped=frozenset({"MOONx"}),
    streams=STREAMS,
    refused_topics=(
        Topic(TopicKind.BOOK, XBT, depth=25),
        Topic(TopicKind.TRADES, XBT, speed_ms=100),
        Topic(TopicKind.TRADES, Symbol("XBT", "USD")),
    ),
    subscribed=(("t:XBTx", "d:XBTx"), 7, b'["join","t:XBTx","d:XBTx"]'),
    unsubscribed=(("t:XBTx",), 8, b'["leave","t:XBTx"]'),
    heartbeat=(b'["ping"]', 25.0),
    acks=((b'["ok",["t:XBTx"]]', Ack(None)),),
    refused=(
        RefusedFrame(frame=b'["no",30,"what?",["t:MOONx"]]', request_id=None, error=VenueRejected),
        RefusedFrame(frame=b'["no",11,"slower"]', request_id=None, error=RateLimited),
    ),
    endings=(b'["bye","maintenance"]',),
    known_noise=(b'["pong"]',),
    unknown_noise=(b'["moonrise"]', b"[1]"),
    questions=QUESTIONS,
    refused_queries=(RecentTradesQuery(XBT, 51), DepthQuery(XBT, 0)),
    codes={
        "10": (VenueUnavailable, OutcomeUnknown),
        "11": (RateLimited, RateLimited),
        "12": (ClockRejected, ClockRejected),
        "20": (AuthenticationFailed, AuthenticationFailed),
        "30": REJECTED,
        "31": REJECTED,
        "32": REJECTED,
        "33": REJECTED,
    },
    code_body=refusal,
    code_status=200,
    refusals=REFUSALS,
    book=BookFacts(symbol=XBT, following=following),
    trading=TRADING,
)
