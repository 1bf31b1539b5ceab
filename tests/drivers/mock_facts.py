"""What the mock venue says and means, as samples: the table its driver is compared with."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from random import Random

from connector.domain import Symbol, Topic, TopicKind
from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import AmendOrder, PlaceOrder, SelfTrade, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceChange, BalanceReport, OrderReport, PositionReport, StreamEnded
from connector.domain.instruments import (
    AmountFilter,
    Instrument,
    InstrumentStatus,
    NotionalFilter,
    OtherFilter,
    PriceFilter,
)
from connector.domain.market import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    FundingRate,
    Liquidation,
    MarkPrice,
    OpenInterest,
    OrderBook,
    Price,
    Side,
    Ticker,
    Trade,
)
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
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
    OpeningSample,
    PrivateFacts,
    RefusalSample,
    RefusedFrame,
    SessionSample,
    SigningVector,
    StreamSample,
    TradingFacts,
)

D = Decimal
VENUE = "mock"
AT = RECEIVED_NS
MS = 1_000_000
T = 1_762_000_000_100
SPOT, PERPETUAL, DATED = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT"), Symbol("ETH", "USDT", "USDT", "261225")
KEY, SECRET = "mock-key-0001", "mock-secret-0001"


def wire(value: object) -> bytes:
    """As the venue writes JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def signed(text: str) -> bytes:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest().encode()


# ---------------------------------------------------------------- instruments

PRICE_FILTER = {"kind": "price", "minimum": "0.10", "maximum": "1000000", "step": "0.10"}
BTC_ROW = {
    "name": "BTC-USDT",
    "status": "trading",
    "decimals": [8, 2],
    "types": ["limit", "market"],
    "filters": [
        PRICE_FILTER,
        {"kind": "quantity", "minimum": "0.0001", "maximum": None, "step": "0.0001"},
        {"kind": "notional", "minimum": "5"},
        {"kind": "moon", "phase": "full"},
    ],
}
LIST = [
    BTC_ROW,
    BTC_ROW | {"name": "BTC-USDT-PERP", "filters": [PRICE_FILTER]},
    BTC_ROW | {"name": "NOT-A-NAME-AT-ALL"},
]
INSTRUMENTS = (
    wire(
        {
            "instruments": LIST,
            "limits": [{"name": "REQUESTS", "points": 1200, "window_s": 60}],
            "time": T,
            "next": 2,
        }
    ),
    wire(
        {
            "instruments": [BTC_ROW | {"name": "ETH-USDT-261225", "status": "halted"}],
            "limits": [],
            "time": T,
            "next": None,
        }
    ),
)
INSTRUMENT = Instrument(
    venue=VENUE,
    symbol=SPOT,
    venue_name="BTC-USDT",
    status=InstrumentStatus.TRADING,
    status_text="trading",
    base_decimals=8,
    quote_decimals=2,
    order_types=("limit", "market"),
    filters=(
        PriceFilter(D("0.10"), D(1_000_000), D("0.10")),
        AmountFilter(D("0.0001"), None, D("0.0001")),
        NotionalFilter(D(5), None, True, True),
        OtherFilter("moon", '{"kind":"moon","phase":"full"}'),
    ),
)

# ---------------------------------------------------------------- market rows and what they mean

TRADE = {"id": 900001, "price": "3150.25", "quantity": "0.40", "side": "buy", "time": T}
TRADES = [TRADE, TRADE | {"id": 900002, "side": "sell"}]
AGG = {"id": 77, "price": "3150.25", "quantity": "1.10", "side": "sell", "first": 900001, "last": 900003, "time": T}
CANDLE = {
    "interval": "1m",
    "start": 1_761_999_960_000,
    "end": 1_762_000_019_999,
    "open": "3149.0",
    "high": "3151.0",
    "low": "3148.5",
    "close": "3150.25",
    "volume": "152.4",
    "closed": False,
    "time": T,
}
TICKER = {
    "symbol": "BTC-USDT",
    "last": "3150.25",
    "bid": "3150.20",
    "bid_quantity": "2.0",
    "ask": "3150.30",
    "ask_quantity": "1.5",
    "open": "3100.0",
    "high": "3180.0",
    "low": "3080.0",
    "volume": "91234.5",
    "quote_volume": "284661234.1",
    "time": T,
}
BEST = {
    "symbol": "BTC-USDT",
    "bid": "3150.20",
    "bid_quantity": "2.0",
    "ask": "3150.30",
    "ask_quantity": "1.5",
    "id": 5000,
}
MARK = {
    "symbol": "BTC-USDT-PERP",
    "mark": "3150.27",
    "index": "3150.11",
    "rate": "-0.000100",
    "next": 1_762_012_800_000,
    "time": T,
}
LIQUIDATION = {"side": "sell", "price": "3100.0", "quantity": "2.5", "time": T}
DEPTH = {"id": 5000, "bids": [["3150.20", "2.0"], ["3150.10", "1.0"]], "asks": [["3150.30", "1.5"]], "time": T}
DELTA = {"first": 5001, "last": 5002, "bids": [["3150.20", "0.0"]], "asks": [["3150.40", "7.5"]], "time": T}


def trade(trade_id: int, side: Side) -> Trade:
    return Trade(VENUE, SPOT, T * MS, AT, trade_id, D("3150.25"), D("0.4"), side)


AGG_EVENT = AggTrade(VENUE, SPOT, T * MS, AT, 77, D("3150.25"), D("1.1"), Side.SELL, 900001, 900003)
CANDLE_EVENT = Candle(
    VENUE,
    SPOT,
    T * MS,
    AT,
    "1m",
    1_761_999_960_000 * MS,
    1_762_000_019_999 * MS,
    D(3149),
    D(3151),
    D("3148.5"),
    D("3150.25"),
    D("152.4"),
    False,
)
PRICES = (
    D("3150.25"),
    D("3150.2"),
    D(2),
    D("3150.3"),
    D("1.5"),
    D(3100),
    D(3180),
    D(3080),
    D("91234.5"),
    D("284661234.1"),
)
TICKER_EVENT = Ticker(VENUE, SPOT, T * MS, AT, *PRICES)
BEST_EVENT = BookTicker(VENUE, SPOT, None, AT, D("3150.2"), D(2), D("3150.3"), D("1.5"), 5000)
MARK_EVENT = MarkPrice(VENUE, PERPETUAL, T * MS, AT, D("3150.27"), D("3150.11"), D("-0.0001"), 1_762_012_800_000 * MS)
LEVELS = ((D("3150.2"), D(2)), (D("3150.1"), D(1))), ((D("3150.3"), D("1.5")),)
DEPTH_EVENT = OrderBook(VENUE, SPOT, T * MS, AT, 5000, *LEVELS)
DELTA_EVENT = BookDelta(VENUE, SPOT, T * MS, AT, 5001, 5002, ((D("3150.2"), D(0)),), ((D("3150.4"), D("7.5")),))


def frame(topic: str, data: object, field: str = "data") -> bytes:
    return wire({"topic": topic, field: data})


STREAMS = (
    StreamSample(
        topic=Topic(TopicKind.TRADES, SPOT),
        name="trades.BTC-USDT",
        frames=(frame("trades.BTC-USDT", TRADES),),
        events=(trade(900001, Side.BUY), trade(900002, Side.SELL)),
    ),
    StreamSample(
        topic=Topic(TopicKind.AGG_TRADES, SPOT),
        name="agg.BTC-USDT",
        frames=(frame("agg.BTC-USDT", AGG),),
        events=(AGG_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.CANDLES, SPOT, "1m"),
        name="candles-1m.BTC-USDT",
        frames=(frame("candles-1m.BTC-USDT", CANDLE),),
        events=(CANDLE_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.TICKER, SPOT),
        name="ticker.BTC-USDT",
        frames=(frame("ticker.BTC-USDT", TICKER),),
        events=(TICKER_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.BOOK_TICKER, SPOT),
        name="best.BTC-USDT",
        frames=(frame("best.BTC-USDT", BEST),),
        events=(BEST_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.PARTIAL_BOOK, SPOT, depth=5),
        name="top-5.BTC-USDT",
        frames=(frame("top-5.BTC-USDT", DEPTH),),
        events=(DEPTH_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.BOOK, SPOT),
        name="book.BTC-USDT",
        frames=(frame("book.BTC-USDT", DEPTH, "snapshot"), frame("book.BTC-USDT", DELTA, "delta")),
        events=(DEPTH_EVENT, DELTA_EVENT),
    ),
    StreamSample(
        topic=Topic(TopicKind.MARK_PRICE, PERPETUAL),
        name="mark.BTC-USDT-PERP",
        frames=(frame("mark.BTC-USDT-PERP", MARK),),
        events=(MARK_EVENT,),
    ),
    StreamSample(
        topic=Topic(TopicKind.LIQUIDATIONS, PERPETUAL),
        name="liquidations.BTC-USDT-PERP",
        frames=(frame("liquidations.BTC-USDT-PERP", LIQUIDATION),),
        events=(Liquidation(VENUE, PERPETUAL, T * MS, AT, Side.SELL, D(3100), D("2.5")),),
    ),
)

# ---------------------------------------------------------------- questions


def asked(query: object, request: str, answer: object, value: object) -> AnswerSample:
    return AnswerSample(query=query, request=request, bodies=(wire(answer),), answer=value)  # type: ignore[arg-type]


QUESTIONS = (
    asked(ServerTimeQuery(), "GET /time", {"time": T}, T * MS),
    AnswerSample(query=InstrumentsQuery(), request="GET /instruments", bodies=INSTRUMENTS, answer=None),
    asked(
        CandlesQuery(SPOT, "1m", 1_761_999_960_000 * MS - 1, 1_762_000_019_999 * MS + 7, 10),
        "GET /candles?symbol=BTC-USDT&interval=1m&start=1761999960000&end=1762000019999&limit=10",
        [CANDLE],
        (CANDLE_EVENT,),
    ),
    asked(
        RecentTradesQuery(SPOT),
        "GET /trades?symbol=BTC-USDT&limit=500",
        TRADES,
        (trade(900001, Side.BUY), trade(900002, Side.SELL)),
    ),
    asked(
        HistoricalTradesQuery(SPOT, 900001, 1),
        "GET /trades?symbol=BTC-USDT&from=900001&limit=1",
        [TRADE],
        (trade(900001, Side.BUY),),
    ),
    asked(AggTradesQuery(SPOT, 77), "GET /agg-trades?symbol=BTC-USDT&from=77&limit=500", [AGG], (AGG_EVENT,)),
    asked(DepthQuery(SPOT, 20), "GET /depth?symbol=BTC-USDT&limit=20", DEPTH, DEPTH_EVENT),
    asked(TickersQuery((SPOT,)), "GET /tickers?symbols=BTC-USDT", [TICKER], (TICKER_EVENT,)),
    asked(BookTickersQuery(), "GET /best", [BEST, BEST | {"symbol": "DOGE-USDT"}], (BEST_EVENT,)),
    asked(
        PricesQuery((SPOT,)),
        "GET /prices?symbols=BTC-USDT",
        [{"symbol": "BTC-USDT", "last": "3150.25"}],
        (Price(VENUE, SPOT, None, AT, D("3150.25")),),
    ),
    asked(MarkPricesQuery((PERPETUAL,)), "GET /marks?symbols=BTC-USDT-PERP", [MARK], (MARK_EVENT,)),
    asked(
        FundingRatesQuery(PERPETUAL, limit=1),
        "GET /funding-rates?symbol=BTC-USDT-PERP&limit=1",
        [{"rate": "-0.000100", "mark": "3150.27", "time": T}],
        (FundingRate(VENUE, PERPETUAL, T * MS, AT, D("-0.0001"), D("3150.27")),),
    ),
    asked(
        OpenInterestQuery(PERPETUAL),
        "GET /open-interest?symbol=BTC-USDT-PERP",
        {"quantity": "1234.5", "time": T},
        OpenInterest(VENUE, PERPETUAL, T * MS, AT, D("1234.5")),
    ),
)


def refusal(code: str, text: str = "no") -> bytes:
    return wire({"code": code, "text": text})


REFUSALS = (
    RefusalSample(body=refusal("E400"), code="E400", read=VenueRejected, write=VenueRejected),
    RefusalSample(body=refusal("E401"), status=401, code="E401", read=AuthenticationFailed, write=AuthenticationFailed),
    RefusalSample(
        body=refusal("E200"),
        status=429,
        headers={"retry-after": "3"},
        retry_after_s=3.0,
        read=RateLimited,
        write=RateLimited,
    ),
    RefusalSample(body=b"<html>busy</html>", status=503, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(body=b"", status=502, read=VenueUnavailable, write=OutcomeUnknown),
)
REJECTED = (VenueRejected, VenueRejected)

# ---------------------------------------------------------------- orders

ORDER = PlaceOrder(symbol=PERPETUAL, side=Side.BUY, type=OrderType.LIMIT, quantity=D("1.5"), price=D("3150.10"))
ID = "acme-000042"
CURRENT = Order(
    VENUE,
    PERPETUAL,
    T * MS,
    AT,
    ID,
    "4400",
    Side.BUY,
    OrderType.LIMIT,
    TimeInForce.GTC,
    OrderStatus.NEW,
    "new",
    D("1.5"),
    D(0),
    D("3150.1"),
)
ROW = {
    "symbol": "BTC-USDT-PERP",
    "id": 4400,
    "client_id": ID,
    "side": "buy",
    "type": "limit",
    "time_in_force": "gtc",
    "status": "new",
    "quantity": "1.5",
    "filled": "0.0",
    "quote_filled": "0.0",
    "price": "3150.10",
    "version": 1,
    "time": T,
}
FILL_ROW = {
    "symbol": "BTC-USDT-PERP",
    "id": 900777,
    "order": 4400,
    "client_id": ID,
    "side": "buy",
    "price": "3150.10",
    "quantity": "0.5",
    "fee": "0.00315",
    "fee_asset": "USDT",
    "maker": True,
    "time": T,
}
FILL = Fill(
    VENUE, PERPETUAL, T * MS, AT, "900777", ID, "4400", Side.BUY, D("3150.1"), D("0.5"), D("0.00315"), "USDT", True
)
PART = {"status": "part", "filled": "0.5", "quote_filled": "1575.05", "version": 2}


def report(
    status: OrderStatus | None, text: str, filled: str = "0", quote: str = "0", version: int = 1, **more: object
) -> OrderReport:
    fields: dict[str, object] = {
        "client_id": ID,
        "venue_id": "4400",
        "type": OrderType.LIMIT,
        "type_text": "limit",
        "price": D("3150.1"),
        "time_in_force": TimeInForce.GTC,
    }
    return OrderReport(
        venue=VENUE,
        symbol=PERPETUAL,
        event_time_ns=T * MS,
        received_ns=AT,
        side=Side.BUY,
        status=status,
        status_text=text,
        quantity=D("1.5"),
        filled=D(filled),
        quote_filled=D(quote),
        version=version,
        **(fields | more),  # type: ignore[arg-type]
    )


NEW = report(OrderStatus.NEW, "new")
PARTLY = report(OrderStatus.PARTIALLY_FILLED, "part", "0.5", "1575.05", 2)
CANCELLED = ROW | PART | {"status": "cancelled", "version": 3}
CANCELLED_REPORT = report(OrderStatus.CANCELED, "cancelled", "0.5", "1575.05", 3)
BALANCES = {
    "balances": [
        {"asset": "BTC", "free": "1.25", "locked": "0.0"},
        {"asset": "USDT", "free": "5000.5", "locked": "4725.15"},
    ],
    "time": T,
}
POSITION = {
    "symbol": "BTC-USDT-PERP",
    "quantity": "-0.5",
    "entry": "3150.10",
    "unrealized": "-1.25",
    "leverage": "5.0",
    "mark": "3152.60",
    "margin": "cross",
    "sequence": 12,
    "time": T,
}
POSITION_VALUE = Position(
    VENUE,
    PERPETUAL,
    T * MS,
    AT,
    PositionSide.NET,
    D("-0.5"),
    D("3150.1"),
    unrealized=D("-1.25"),
    leverage=D(5),
    mark_price=D("3152.6"),
    margin_mode=MarginMode.CROSS,
    sequence=12,
)
PAYMENT = {"symbol": "BTC-USDT-PERP", "id": 31, "asset": "USDT", "amount": "-0.157", "time": T}
PAID = FundingPayment(VENUE, PERPETUAL, T * MS, AT, "31", "USDT", D("-0.157"))
BALANCE_ROWS = (("BTC", D("1.25"), D(0)), ("USDT", D("5000.5"), D("4725.15")))
PLACE_TEXT = (
    '{"symbol":"BTC-USDT-PERP","client_id":"acme-000042","side":"buy","type":"limit","quantity":"1.5",'
    '"price":"3150.10","time_in_force":"gtc"}'
)
PLACE_HEADERS = {
    "Mock-Key": KEY,
    "Mock-Time": str(NOW_MS),
    "Mock-Sign": signed(f"{NOW_MS}POST/orders{PLACE_TEXT}").decode(),
}


def call(what: str, request: str, *says: str, answer: object = None, **more: object) -> CallSample:
    said = tuple(text.encode() for text in says)
    return CallSample(what=what, request=request, says=said, answer=b"" if answer is None else wire(answer), **more)  # type: ignore[arg-type]


CALLS = (
    call(
        "place",
        "POST /orders",
        PLACE_TEXT,
        headers=PLACE_HEADERS,
        answer={"order": ROW | PART, "fills": [FILL_ROW]},
        expected=PlaceAnswer(PARTLY, (FILL,), "4400"),
    ),
    call(
        "place",
        "POST /orders",
        '"type":"market","quantity":"1.5"}',
        command=PlaceOrder(symbol=PERPETUAL, side=Side.BUY, type=OrderType.MARKET, quantity=D("1.5")),
    ),
    call("test", "POST /orders/test", '"test":true'),
    call(
        "cancel",
        "DELETE /orders",
        "client_id=acme-000042",
        answer={"order": CANCELLED},
        expected=CancelAnswer(CANCELLED_REPORT),
    ),
    call("amend", "PUT /orders", '"price":"3149.90"', answer={"order": ROW}, expected=NEW),
    call("order", "GET /orders/one", "symbol=BTC-USDT-PERP&client_id=acme-000042", answer={"order": ROW}, expected=NEW),
    call("order by venue id", "GET /orders/one", "symbol=BTC-USDT-PERP&id=4400"),
    call("open orders", "GET /orders/open", "symbol=", answer={"orders": [ROW], "next": None}, expected=(NEW,)),
    call(
        "all open orders",
        "GET /orders/open",
        answer={"orders": [ROW, ROW | {"symbol": "DOGE-USDT"}], "next": "p2"},
        expected=(NEW,),
        follows=True,
    ),
    call("fills", "GET /fills", "symbol=BTC-USDT-PERP", answer={"fills": [FILL_ROW], "next": None}, expected=(FILL,)),
    call("fills from an id", "GET /fills", "from=900001"),
    call("fills from a time", "GET /fills", "since=1761990000000"),
    call("fills of an order", "GET /fills", "order=4400"),
    call(
        "orders since",
        "GET /orders",
        "since=1761990000000",
        answer={"orders": [CANCELLED], "next": None},
        expected=(CANCELLED_REPORT,),
    ),
    call("balances", "GET /balances", answer=BALANCES, expected=BalanceReport(VENUE, T * MS, AT, BALANCE_ROWS, True)),
    call(
        "order counts", "GET /orders/count", answer={"used": [{"name": "ORDERS", "points": 3}]}, expected={"ORDERS": 3}
    ),
    call(
        "positions",
        "GET /positions",
        answer={"positions": [POSITION], "time": T},
        expected=PositionReport(VENUE, T * MS, AT, (POSITION_VALUE,), True),
    ),
    call("funding", "GET /funding", "since=1761990000000", answer={"payments": [PAYMENT]}, expected=(PAID,)),
    call(
        "leverage",
        "POST /leverage",
        '"leverage":"5"',
        command=SetLeverage(symbol=PERPETUAL, leverage=D(5)),
        answer={"leverage": "5"},
    ),
    call(
        "margin mode",
        "POST /margin-mode",
        '"mode":"isolated"',
        command=SetMarginMode(mode=MarginMode.ISOLATED, symbol=PERPETUAL),
        answer={"mode": "isolated"},
    ),
    call(
        "position mode",
        "POST /position-mode",
        '"mode":"one_way"',
        command=SetPositionMode(mode=PositionMode.ONE_WAY),
        answer={"mode": "one_way"},
    ),
)


def reply(request_id: str, body: object, status: int = 200) -> bytes:
    return wire({"id": request_id, "status": status, "body": body})


def event(kind: str, data: object) -> bytes:
    return wire({"event": kind, "data": data})


STOP = {"type": "stop", "stop_price": "3000.5", "status": "waiting", "price": None, "version": 7, "id": 4401}
STOP_REPORT = report(
    OrderStatus.NEW,
    "waiting",
    version=7,
    type=OrderType.STOP,
    type_text="stop",
    stop_price=D("3000.5"),
    price=None,
    venue_id="4401",
    working=False,
)
LOGIN = signed(f"{NOW_MS}login")

SESSION = PrivateFacts(
    url="wss://session.mock.invalid/session",
    environment=Environment.TESTNET,
    opening=(
        OpeningSample(
            says=(b'"do":"login"', b'"id":"c1"', KEY.encode(), LOGIN),
            accepted=reply("c1", {}),
            refused=(
                (reply("c1", {"code": "E401", "text": "who?"}, 401), AuthenticationFailed),
                (reply("c1", {"code": "E300", "text": "late"}, 400), ClockRejected),
            ),
        ),
    ),
    calls=(
        SessionSample(
            what="place",
            says=(b'"do":"place"', f'"with":{PLACE_TEXT}'.encode()),
            reply=reply("c7", {"order": ROW, "fills": []}),
            expected=PlaceAnswer(NEW, (), "4400"),
        ),
        SessionSample(
            what="place",
            says=(b'"do":"place"',),
            reply=reply("c7", {"code": "E413", "text": "too little"}, 400),
            expected=VenueRejected,
        ),
        SessionSample(
            what="cancel",
            says=(b'"do":"cancel"', b'"client_id":"acme-000042"'),
            reply=reply("c7", {"order": CANCELLED}),
            expected=CancelAnswer(CANCELLED_REPORT),
        ),
        SessionSample(
            what="amend", says=(b'"do":"amend"', b'"price":"3149.90"'), reply=reply("c7", {"order": ROW}), expected=NEW
        ),
        SessionSample(what="cancel", says=(), reply=reply("c7", "busy", 503), expected=OutcomeUnknown),
    ),
    events=(
        EventSample(frame=event("order", ROW), facts=(NEW,)),
        EventSample(
            frame=event("order", ROW | PART | {"fill": FILL_ROW}),
            facts=(report(OrderStatus.PARTIALLY_FILLED, "part", "0.5", "1575.05", 2, fill=FILL),),
        ),
        EventSample(
            frame=event("order", ROW | {"status": "filled", "filled": "1.5", "quote_filled": "4725.15", "version": 3}),
            facts=(report(OrderStatus.FILLED, "filled", "1.5", "4725.15", 3),),
        ),
        EventSample(
            frame=event("order", ROW | {"status": "rejected", "version": 4, "reason": "too little"}),
            facts=(report(OrderStatus.REJECTED, "rejected", version=4, reason="too little"),),
        ),
        EventSample(
            frame=event("order", ROW | {"status": "expired", "version": 5, "time_in_force": "ioc"}),
            facts=(report(OrderStatus.EXPIRED, "expired", version=5, time_in_force=TimeInForce.IOC),),
        ),
        EventSample(frame=event("order", ROW | STOP), facts=(STOP_REPORT,)),
        EventSample(frame=event("fill", FILL_ROW), facts=(FILL,)),
        EventSample(frame=event("balances", BALANCES), facts=(BalanceReport(VENUE, T * MS, AT, BALANCE_ROWS, False),)),
        EventSample(
            frame=event("positions", {"positions": [POSITION], "time": T}),
            facts=(PositionReport(VENUE, T * MS, AT, (POSITION_VALUE,), False),),
        ),
        EventSample(frame=event("funding", PAYMENT), facts=(PAID,)),
        EventSample(
            frame=event("transfer", {"asset": "USDT", "change": "-150.0", "time": T}),
            facts=(BalanceChange(VENUE, T * MS, AT, "USDT", D(-150)),),
        ),
        EventSample(frame=event("ended", {}), facts=(StreamEnded("the venue ended the events of this session"),)),
    ),
    probe_reply=reply("c9", {}),
    endings=(wire({"closing": "maintenance"}),),
    known_noise=(wire({"hello": True}),),
    unknown_noise=(event("teleport", {}), wire({"moon": "full"})),
)
VECTOR = SigningVector(payload="1762000000123GET/balances", signature=signed("1762000000123GET/balances").decode())

TRADING = TradingFacts(
    credentials={"hmac": Credentials(KEY, secret=SECRET)},
    refused_credentials=(Credentials(KEY, private_key_pem="-----BEGIN PRIVATE KEY-----"),),
    symbol=PERPETUAL,
    client_id=ID,
    order=ORDER,
    current=CURRENT,
    amend=AmendOrder(symbol=PERPETUAL, client_id=ID, price=D("3149.90")),
    calls=CALLS,
    vectors=(VECTOR,),
    refused_orders=(
        PlaceOrder(symbol=PERPETUAL, side=Side.BUY, type=OrderType.MARKET, quote_quantity=D(10)),
        PlaceOrder(
            symbol=PERPETUAL, side=Side.BUY, type=OrderType.MARKET, quantity=D(1), self_trade=SelfTrade.EXPIRE_BOTH
        ),
    ),
    not_found=(RefusalSample(body=refusal("E410"), status=404, read=VenueRejected, write=VenueRejected),),
    not_open=(RefusalSample(body=refusal("E411"), read=VenueRejected, write=VenueRejected),),
    duplicate=(RefusalSample(body=refusal("E412", "client id is in use"), read=VenueRejected, write=VenueRejected),),
    session=SESSION,
)


def following(last: int, chance: Random) -> tuple[int, int, int | None]:
    return last + 1, last + chance.randint(1, 4), None


FACTS = DriverFacts(
    limits={"REQUESTS": (1200, 60.0), "ORDERS": (100, 10.0)},
    instruments=INSTRUMENTS,
    symbols={"BTC-USDT": SPOT, "BTC-USDT-PERP": PERPETUAL, "ETH-USDT-261225": DATED},
    instrument=INSTRUMENT,
    skipped=frozenset({"NOT-A-NAME-AT-ALL"}),
    streams=STREAMS,
    refused_topics=(
        Topic(TopicKind.CANDLES, SPOT, "7m"),
        Topic(TopicKind.PARTIAL_BOOK, SPOT, depth=7),
        Topic(TopicKind.BOOK, SPOT, depth=50),
        Topic(TopicKind.TRADES, SPOT, speed_ms=100),
        Topic(TopicKind.MARK_PRICE, SPOT),
        Topic(TopicKind.TRADES, Symbol("BTC", "USD", "BTC")),
    ),
    subscribed=(
        ("trades.BTC-USDT", "book.BTC-USDT"),
        7,
        b'{"do":"subscribe","id":7,"topics":["trades.BTC-USDT","book.BTC-USDT"]}',
    ),
    unsubscribed=(("trades.BTC-USDT",), 8, b'{"do":"unsubscribe","id":8,"topics":["trades.BTC-USDT"]}'),
    heartbeat=(b'{"do":"ping"}', 20.0),
    acks=((b'{"done":7}', Ack(7)),),
    refused=(
        RefusedFrame(frame=b'{"refused":7,"code":"E404","text":"what?"}', request_id=7, error=VenueRejected),
        RefusedFrame(frame=b'{"refused":null,"code":"E200","text":"slow down"}', request_id=None, error=RateLimited),
    ),
    endings=(b'{"closing":"maintenance"}',),
    known_noise=(b'{"pong":true}',),
    unknown_noise=(b'{"event":"moonrise"}', b'{"moon":1}'),
    questions=QUESTIONS,
    refused_queries=(
        CandlesQuery(SPOT, "7m"),
        CandlesQuery(SPOT, "1m", 2, 1),
        RecentTradesQuery(SPOT, 0),
        RecentTradesQuery(SPOT, 501),
        DepthQuery(SPOT, 201),
        AggTradesQuery(SPOT, 1, 2),
        FundingRatesQuery(SPOT),
        OpenInterestQuery(SPOT),
    ),
    codes={
        "E100": (VenueUnavailable, OutcomeUnknown),
        "E200": (RateLimited, RateLimited),
        "E300": (ClockRejected, ClockRejected),
        "E400": REJECTED,
        "E401": (AuthenticationFailed, AuthenticationFailed),
        "E404": REJECTED,
        "E410": REJECTED,
        "E411": REJECTED,
        "E412": REJECTED,
        "E413": REJECTED,
    },
    code_body=refusal,
    refusals=REFUSALS,
    used=(({"mock-used-requests": "12", "mock-used-orders": "3"}, {"REQUESTS": 12, "ORDERS": 3}),),
    book=BookFacts(symbol=SPOT, following=following),
    trading=TRADING,
)
