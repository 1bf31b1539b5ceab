"""What Binance spot says and means, as samples from its documents: the table its driver is compared with.

Source: the venue's own spot API documentation, read 2026-11; the shapes are its, the numbers are made up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from random import Random

from connector.domain import Symbol, Topic, TopicKind
from connector.domain.commands import AmendOrder, OrderListKind, PlaceOrder, PlaceOrderList, SelfTrade
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceChange, BalanceReport, ListReport, OrderReport, StreamEnded
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
    HistoricalTradesQuery,
    InstrumentsQuery,
    PricesQuery,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.drivers.contract import Ack, Environment
from connector.drivers.trading import CancelAnswer, PlaceAnswer
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    Misconfigured,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    Unsupported,
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
VENUE = "binance"
AT = RECEIVED_NS
MS = 1_000_000
T = 1_762_000_000_100
BTC, ETH = Symbol("BTC", "USDT"), Symbol("ETH", "USDT")
STRANGE = Symbol("１２３", "USDT")
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
TAIL = f"recvWindow=5000&timestamp={NOW_MS}"


def wire(value: object) -> bytes:
    """As the venue writes JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def signed(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def ed25519(text: str) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return base64.b64encode(load_pem_private_key(ED25519_PEM.encode(), None).sign(text.encode())).decode()  # type: ignore[call-arg,union-attr]


def rsa_pem() -> str:
    """A key made for this run; it opens nothing."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


# ---------------------------------------------------------------- instruments

ENTRY = {
    "symbol": "ETHUSDT",
    "status": "TRADING",
    "baseAsset": "ETH",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET"],
    "icebergAllowed": True,
    "amendAllowed": True,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00010000", "maxQty": "9000.0", "stepSize": "0.00010000"},
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.0",
            "applyMinToMarket": True,
            "maxNotional": "9000000.0",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MOON_PHASE", "phase": "full"},
    ],
    "permissions": ["SPOT"],
}
LIST = {
    "timezone": "UTC",
    "serverTime": T,
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    ],
    "exchangeFilters": [],
    "symbols": [
        ENTRY,
        ENTRY | {"symbol": "BTCUSDT", "baseAsset": "BTC"},
        ENTRY | {"symbol": "１２３USDT", "baseAsset": "１２３", "status": "BREAK"},
        ENTRY | {"symbol": "MOONUSDT", "baseAsset": "SUN"},
    ],
}
INSTRUMENT = Instrument(
    venue=VENUE,
    symbol=ETH,
    venue_name="ETHUSDT",
    status=InstrumentStatus.TRADING,
    status_text="TRADING",
    base_decimals=8,
    quote_decimals=8,
    order_types=("LIMIT", "MARKET"),
    filters=(
        PriceFilter(D("0.01"), D(1_000_000), D("0.01")),
        AmountFilter(D("0.0001"), D(9000), D("0.0001")),
        NotionalFilter(D(5), D(9_000_000), True, False, 5),
        OtherFilter("MOON_PHASE", '{"filterType":"MOON_PHASE","phase":"full"}'),
    ),
    permissions=("SPOT",),
)

# ---------------------------------------------------------------- streams

LEVELS = ((D("3150.24"), D(2)), (D("3150.1"), D(1))), ((D("3150.25"), D("1.5")),)
BIDS, ASKS = [["3150.24000000", "2.00000000"], ["3150.10000000", "1.00000000"]], [["3150.25000000", "1.50000000"]]
TRADE_EVENT = Trade(VENUE, ETH, (T - 1) * MS, AT, 900001, D("3150.25"), D("0.4"), Side.SELL)
AGG_EVENT = AggTrade(VENUE, ETH, (T - 1) * MS, AT, 77001, D("3150.25"), D("1.1"), Side.BUY, 900001, 900003)
STATISTICS = {
    "last": D("3150.25"),
    "bid": D("3150.24"),
    "bid_quantity": D(2),
    "ask": D("3150.25"),
    "ask_quantity": D("1.5"),
    "open": D(3100),
    "high": D(3180),
    "low": D(3080),
    "volume": D("91234.5"),
    "quote_volume": D("284661234.1"),
    "last_quantity": D("0.4"),
    "weighted_average": D("3120.1"),
    "price_change": D("-50.25"),
    "price_change_percent": D("-1.621"),
    "trade_count": 200004,
    "open_time_ns": 1761913600000 * MS,
    "close_time_ns": 1762000000999 * MS,
}


def candle(event_time_ns: int | None, closed: bool) -> Candle:
    return Candle(
        VENUE,
        ETH,
        event_time_ns,
        AT,
        "1m",
        1761999900000 * MS,
        1761999959999 * MS,
        D(3149),
        D(3151),
        D("3148.5"),
        D("3150.25"),
        D("152.4"),
        closed,
        D("480012.1"),
        504,
        D("80.1"),
        D(252301),
    )


def stream(kind: TopicKind, name: str, data: object, event: object, **options: object) -> StreamSample:
    topic = Topic(kind, ETH, **options)  # type: ignore[arg-type]
    return StreamSample(topic=topic, name=name, frames=(wire({"stream": name, "data": data}),), events=(event,))  # type: ignore[arg-type]


STREAMS = (
    stream(
        TopicKind.TRADES,
        "ethusdt@trade",
        {"e": "trade", "E": T, "s": "ETHUSDT", "t": 900001, "p": "3150.25000000", "q": "0.40000000", "T": T - 1}
        | {"m": True, "M": True},
        TRADE_EVENT,
    ),
    stream(
        TopicKind.AGG_TRADES,
        "ethusdt@aggTrade",
        {"e": "aggTrade", "E": T, "s": "ETHUSDT", "a": 77001, "p": "3150.25000000", "q": "1.10000000", "f": 900001}
        | {"l": 900003, "T": T - 1, "m": False, "M": True},
        AGG_EVENT,
    ),
    stream(
        TopicKind.CANDLES,
        "ethusdt@kline_1m",
        {
            "e": "kline",
            "E": T,
            "s": "ETHUSDT",
            "k": {"t": 1761999900000, "T": 1761999959999, "s": "ETHUSDT", "i": "1m", "f": 899500, "L": 900003}
            | {"o": "3149.00000000", "c": "3150.25000000", "h": "3151.00000000", "l": "3148.50000000"}
            | {"v": "152.40000000", "n": 504, "x": False, "q": "480012.10000000", "V": "80.10000000"}
            | {"Q": "252301.00000000", "B": "0"},
        },
        candle(T * MS, False),
        interval="1m",
    ),
    stream(
        TopicKind.TICKER,
        "ethusdt@ticker",
        {"e": "24hrTicker", "E": T, "s": "ETHUSDT", "p": "-50.25000000", "P": "-1.621", "w": "3120.10000000"}
        | {"x": "3100.00000000", "c": "3150.25000000", "Q": "0.40000000", "b": "3150.24000000", "B": "2.00000000"}
        | {"a": "3150.25000000", "A": "1.50000000", "o": "3100.00000000", "h": "3180.00000000"}
        | {"l": "3080.00000000", "v": "91234.50000000", "q": "284661234.10000000", "O": 1761913600000}
        | {"C": 1762000000999, "F": 700000, "L": 900003, "n": 200004},
        Ticker(VENUE, ETH, T * MS, AT, **STATISTICS),  # type: ignore[arg-type]
    ),
    stream(
        TopicKind.BOOK_TICKER,
        "ethusdt@bookTicker",
        {"u": 5000123, "s": "ETHUSDT", "b": "3150.24000000", "B": "2.00000000", "a": "3150.25000000"}
        | {"A": "1.50000000"},
        BookTicker(VENUE, ETH, None, AT, D("3150.24"), D(2), D("3150.25"), D("1.5"), 5000123),
    ),
    stream(
        TopicKind.PARTIAL_BOOK,
        "ethusdt@depth5@100ms",
        {"lastUpdateId": 5000120, "bids": BIDS, "asks": ASKS},
        OrderBook(VENUE, ETH, None, AT, 5000120, *LEVELS),
        depth=5,
    ),
    stream(
        TopicKind.BOOK,
        "ethusdt@depth@100ms",
        {"e": "depthUpdate", "E": T, "s": "ETHUSDT", "U": 5000119, "u": 5000123, "a": []}
        | {"b": [["3150.24000000", "2.00000000"], ["3149.90000000", "0.00000000"]]},
        BookDelta(VENUE, ETH, T * MS, AT, 5000119, 5000123, ((D("3150.24"), D(2)), (D("3149.9"), D(0))), ()),
    ),
)

# ---------------------------------------------------------------- questions

TICKER_ROW = {
    "symbol": "ETHUSDT",
    "priceChange": "-50.25000000",
    "priceChangePercent": "-1.621",
    "weightedAvgPrice": "3120.10000000",
    "prevClosePrice": "3100.00000000",
    "lastPrice": "3150.25000000",
    "lastQty": "0.40000000",
    "bidPrice": "3150.24000000",
    "bidQty": "2.00000000",
    "askPrice": "3150.25000000",
    "askQty": "1.50000000",
    "openPrice": "3100.00000000",
    "highPrice": "3180.00000000",
    "lowPrice": "3080.00000000",
    "volume": "91234.50000000",
    "quoteVolume": "284661234.10000000",
    "openTime": 1761913600000,
    "closeTime": 1762000000999,
    "firstId": 700000,
    "lastId": 900003,
    "count": 200004,
}
TRADE_ROW = {
    "id": 900001,
    "price": "3150.25000000",
    "qty": "0.40000000",
    "quoteQty": "1260.1",
    "time": T - 1,
    "isBuyerMaker": True,
    "isBestMatch": True,
}
AGG_ROW = {
    "a": 77001,
    "p": "3150.25000000",
    "q": "1.10000000",
    "f": 900001,
    "l": 900003,
    "T": T - 1,
    "m": False,
    "M": True,
}
KLINE = [
    1761999900000,
    "3149.00000000",
    "3151.00000000",
    "3148.50000000",
    "3150.25000000",
    "152.40000000",
    1761999959999,
    "480012.10000000",
    504,
    "80.10000000",
    "252301.00000000",
    "0",
]


def asked(query: object, request: str, answer: object, value: object) -> AnswerSample:
    return AnswerSample(query=query, request=f"GET /api/v3/{request}", bodies=(wire(answer),), answer=value)  # type: ignore[arg-type]


QUESTIONS = (
    asked(ServerTimeQuery(), "time", {"serverTime": T}, T * MS),
    asked(InstrumentsQuery(), "exchangeInfo", LIST, None),
    asked(
        CandlesQuery(ETH, "1m", 1_000_000_001, 2_999_999_999, 5),
        "klines?symbol=ETHUSDT&interval=1m&startTime=1001&endTime=2999&limit=5",
        [KLINE],
        (candle(None, True),),
    ),
    asked(RecentTradesQuery(ETH, 1), "trades?symbol=ETHUSDT&limit=1", [TRADE_ROW], (TRADE_EVENT,)),
    asked(
        HistoricalTradesQuery(ETH, 900001, 1),
        "historicalTrades?symbol=ETHUSDT&fromId=900001&limit=1",
        [TRADE_ROW],
        (TRADE_EVENT,),
    ),
    asked(AggTradesQuery(ETH, 77001), "aggTrades?symbol=ETHUSDT&fromId=77001&limit=1000", [AGG_ROW], (AGG_EVENT,)),
    asked(
        DepthQuery(ETH, 100),
        "depth?symbol=ETHUSDT&limit=100",
        {"lastUpdateId": 5000120, "bids": BIDS, "asks": ASKS},
        OrderBook(VENUE, ETH, None, AT, 5000120, *LEVELS),
    ),
    asked(
        TickersQuery((ETH,)),
        "ticker/24hr?symbol=ETHUSDT",
        TICKER_ROW,
        (Ticker(VENUE, ETH, 1762000000999 * MS, AT, **STATISTICS),),  # type: ignore[arg-type]
    ),
    asked(
        BookTickersQuery(),
        "ticker/bookTicker",
        [
            {"symbol": "ETHUSDT", "bidPrice": "3150.24", "bidQty": "2.0", "askPrice": "3150.25", "askQty": "1.5"},
            {"symbol": "NOSUCH", "bidPrice": "1.0", "bidQty": "2.0", "askPrice": "3.0", "askQty": "1.5"},
        ],
        (BookTicker(VENUE, ETH, None, AT, D("3150.24"), D(2), D("3150.25"), D("1.5")),),
    ),
    asked(
        PricesQuery((ETH,)),
        "ticker/price?symbol=ETHUSDT",
        {"symbol": "ETHUSDT", "price": "3150.25"},
        (Price(VENUE, ETH, None, AT, D("3150.25")),),
    ),
)

# ---------------------------------------------------------------- refusals


def refusal(code: str, text: str = "said the venue") -> bytes:
    return wire({"code": int(code), "msg": text})


REJECTED = (VenueRejected, VenueRejected)
_REFUSED = (
    1013,
    1014,
    1020,
    *range(1100, 1107),
    1108,
    1111,
    *range(1114, 1123),
    1125,
    1127,
    1128,
    1130,
    1134,
    1135,
    1139,
)
_REFUSED += (1145, 1151, 1194, 1220, 2010, 2011, 2013, 2016, 2022, 2026, 2035, 2036, 2038, 2039, 2043)
CODES = {
    **dict.fromkeys(("-1000", "-1001", "-1006", "-1007", "-1008"), (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys(("-1003", "-1015", "-1034"), (RateLimited, RateLimited)),
    "-1016": (VenueUnavailable, VenueUnavailable),
    "-1021": (ClockRejected, ClockRejected),
    **dict.fromkeys(
        ("-1002", "-1022", "-2014", "-2015", "-2028", "-1193"), (AuthenticationFailed, AuthenticationFailed)
    ),
    **{f"-{number}": REJECTED for number in _REFUSED},
    "-2021": (VenueRejected, OutcomeUnknown),
    "-2042": (NotConnected, NotConnected),
}
REFUSALS = (
    RefusalSample(
        body=refusal("-1013", "Filter failure: LOT_SIZE"), code="-1013", read=VenueRejected, write=VenueRejected
    ),
    RefusalSample(
        body=refusal("-1003"),
        status=429,
        code="-1003",
        headers={"retry-after": "7"},
        retry_after_s=7.0,
        read=RateLimited,
        write=RateLimited,
    ),
    RefusalSample(
        body=refusal("-1003"),
        status=418,
        headers={"retry-after": "120"},
        retry_after_s=120.0,
        read=Banned,
        write=Banned,
    ),
    RefusalSample(
        body=refusal("-1003", f"Way too much request weight used; IP banned until {RECEIVED_NS // MS + 9_000}."),
        retry_after_s=9.0,
        read=Banned,
        write=Banned,
    ),
    RefusalSample(
        body=b"<html>403</html>", status=403, retry_after_s=300.0, read=VenueUnavailable, write=VenueUnavailable
    ),
    RefusalSample(body=b"", status=401, read=AuthenticationFailed, write=AuthenticationFailed),
    RefusalSample(body=b"", status=410, read=Unsupported, write=Unsupported),
    RefusalSample(body=b"", status=451, read=Misconfigured, write=Misconfigured),
    RefusalSample(body=refusal("-1007"), status=504, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(body=refusal("-1013"), status=503, read=VenueUnavailable, write=OutcomeUnknown),
)

# ---------------------------------------------------------------- orders

ID = "acme-000042"
ORDER = PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D("1.0"), price=D("3150.00"))
CURRENT = Order(
    VENUE,
    ETH,
    T * MS,
    AT,
    ID,
    "4400123",
    Side.BUY,
    OrderType.LIMIT,
    TimeInForce.GTC,
    OrderStatus.NEW,
    "NEW",
    D(1),
    D(0),
    D(3150),
)
STATE = {
    "symbol": "ETHUSDT",
    "orderId": 4400123,
    "orderListId": -1,
    "clientOrderId": ID,
    "price": "3150.00000000",
    "origQty": "1.00000000",
    "executedQty": "0.25000000",
    "origQuoteOrderQty": "0.00000000",
    "cummulativeQuoteQty": "787.50000000",
    "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "selfTradePreventionMode": "EXPIRE_MAKER",
}
PLACED = STATE | {
    "transactTime": T,
    "workingTime": T,
    "fills": [
        {"price": "3150.0", "qty": "0.25", "commission": "0.0002", "commissionAsset": "ETH", "tradeId": 900777},
    ],
}
QUERIED = STATE | {
    "stopPrice": "0.0",
    "icebergQty": "0.0",
    "time": T - 90,
    "updateTime": T,
    "isWorking": True,
    "workingTime": T - 90,
}
CANCELED = STATE | {
    "origClientOrderId": ID,
    "clientOrderId": "the-cancels-own",
    "transactTime": T,
    "status": "CANCELED",
}
AMENDED = {
    "transactTime": T,
    "executionId": 75,
    "amendedOrder": {
        "symbol": "ETHUSDT",
        "orderId": 4400123,
        "orderListId": -1,
        "origClientOrderId": ID,
        "clientOrderId": ID,
        "price": "3150.00000000",
        "qty": "0.50000000",
        "executedQty": "0.25000000",
        "preventedQty": "0.00000000",
        "quoteOrderQty": "0.00000000",
        "cumulativeQuoteQty": "787.50000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "workingTime": T,
        "selfTradePreventionMode": "NONE",
    },
}


def report(status: OrderStatus | None, text: str, filled: str = "0", quote: str = "0", **more: object) -> OrderReport:
    fields: dict[str, object] = {
        "client_id": ID,
        "venue_id": "4400123",
        "type": OrderType.LIMIT,
        "type_text": "LIMIT",
        "price": D(3150),
        "quantity": D(1),
        "time_in_force": TimeInForce.GTC,
    }
    return OrderReport(
        venue=VENUE,
        symbol=ETH,
        event_time_ns=T * MS,
        received_ns=AT,
        side=Side.BUY,
        status=status,
        status_text=text,
        filled=D(filled),
        quote_filled=D(quote),
        **(fields | more),  # type: ignore[arg-type]
    )


def fill(maker: bool, client_id: str = ID, fee: str = "0.00025") -> Fill:
    return Fill(
        VENUE, ETH, T * MS, AT, "900777", client_id, "4400123", Side.BUY, D(3150), D("0.25"), D(fee), "ETH", maker
    )


PARTLY = report(OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED", "0.25", "787.5")
CANCELED_REPORT = report(OrderStatus.CANCELED, "CANCELED", "0.25", "787.5")
AMENDED_REPORT = report(
    OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED", "0.25", "787.5", quantity=D("0.5"), version=75
)


def leg(client_id: str, order_id: int, **fields: object) -> dict[str, object]:
    empty = {"executedQty": "0.0", "cummulativeQuoteQty": "0.0", "status": "NEW", "orderListId": 55}
    return (
        STATE
        | {"transactTime": T, "workingTime": T}
        | empty
        | {"clientOrderId": client_id, "orderId": order_id}
        | fields
    )


LIST_ANSWER = {
    "orderListId": 55,
    "contingencyType": "OCO",
    "listStatusType": "EXEC_STARTED",
    "listOrderStatus": "EXECUTING",
    "listClientOrderId": "acme-list-7",
    "transactionTime": T,
    "symbol": "ETHUSDT",
    "orders": [
        {"symbol": "ETHUSDT", "orderId": 4400130, "clientOrderId": "acme-sl"},
        {"symbol": "ETHUSDT", "orderId": 4400131, "clientOrderId": "acme-tp"},
    ],
    "orderReports": [
        leg("acme-sl", 4400130, type="STOP_LOSS_LIMIT", stopPrice="2.0", workingTime=-1),
        leg("acme-tp", 4400131, type="LIMIT_MAKER"),
    ],
}
LIST_REPORT = ListReport(
    VENUE, ETH, T * MS, AT, "55", "acme-list-7", "OCO", "EXECUTING", (("acme-sl", "4400130"), ("acme-tp", "4400131"))
)
LEGS = (
    report(
        OrderStatus.NEW,
        "NEW",
        client_id="acme-sl",
        venue_id="4400130",
        type=OrderType.STOP_LIMIT,
        type_text="STOP_LOSS_LIMIT",
        stop_price=D(2),
        working=False,
        list_id="55",
    ),
    report(
        OrderStatus.NEW,
        "NEW",
        client_id="acme-tp",
        venue_id="4400131",
        type=OrderType.LIMIT_MAKER,
        type_text="LIMIT_MAKER",
        list_id="55",
    ),
)
ORDER_LIST = PlaceOrderList(
    kind=OrderListKind.OCO,
    orders=(
        PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.STOP, quantity=D(1), stop_price=D(3300)),
        PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT_MAKER, quantity=D(1), price=D(3000)),
    ),
)
TRADES = [
    {
        "symbol": "ETHUSDT",
        "id": 900777,
        "orderId": 4400123,
        "orderListId": -1,
        "price": "3150.00000000",
        "qty": "0.25000000",
        "quoteQty": "787.50000000",
        "commission": "0.00025000",
        "commissionAsset": "ETH",
        "time": T,
        "isBuyer": True,
        "isMaker": True,
        "isBestMatch": True,
    }
]
ACCOUNT = {
    "makerCommission": 15,
    "canTrade": True,
    "updateTime": T,
    "accountType": "SPOT",
    "balances": [
        {"asset": "ETH", "free": "10.24975000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "5000.00000000", "locked": "2362.50000000"},
    ],
    "uid": 354937868,
}
HELD = (("ETH", D("10.24975"), D(0)), ("USDT", D(5000), D("2362.5")))
COUNTS = [
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000, "count": 4043},
]
PLACE_TEXT = (
    "symbol=ETHUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1.0&price=3150.00"
    f"&newClientOrderId={ID}&newOrderRespType=FULL"
)
HEADERS = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}


def call(what: str, request: str, *says: str, answer: object = None, **more: object) -> CallSample:
    """`says` without the window, the time and the signature, which are added."""
    method, _, path = request.partition(" ")
    texts = [text.encode() for text in says]
    body = b"" if answer is None else wire(answer)
    return CallSample(what=what, request=f"{method} /api/v3/{path}", says=tuple(texts), answer=body, **more)  # type: ignore[arg-type]


def whole(text: str) -> str:
    """A whole signed text."""
    unsigned = f"{text}&{TAIL}" if text else TAIL
    return f"{unsigned}&signature={signed(unsigned)}"


def plain(kind: OrderType, **fields: object) -> PlaceOrder:
    return PlaceOrder(symbol=ETH, side=Side.SELL, type=kind, quantity=D("1.5"), **fields)  # type: ignore[arg-type]


CALLS = (
    call(
        "place",
        "POST order",
        whole(PLACE_TEXT),
        headers=HEADERS,
        answer=PLACED,
        expected=PlaceAnswer(PARTLY, (fill(False, fee="0.0002"),)),
    ),
    call("place", "POST order", "side=SELL&type=MARKET&quantity=1.5&", command=plain(OrderType.MARKET)),
    call(
        "place",
        "POST order",
        "type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=1.5&price=3000&stopPrice=3010",
        command=plain(OrderType.STOP_LIMIT, price=D(3000), stop_price=D(3010)),
    ),
    call("test", "POST order/test", whole(PLACE_TEXT)),
    call(
        "cancel",
        "DELETE order",
        whole(f"symbol=ETHUSDT&orderId=4400123&origClientOrderId={ID}"),
        answer=CANCELED,
        expected=CancelAnswer(CANCELED_REPORT),
    ),
    call(
        "amend",
        "PUT order/amend/keepPriority",
        whole(f"symbol=ETHUSDT&orderId=4400123&origClientOrderId={ID}&newClientOrderId={ID}&newQty=0.5"),
        answer=AMENDED,
        expected=AMENDED_REPORT,
    ),
    call(
        "place list",
        "POST orderList/oco",
        "symbol=ETHUSDT&side=BUY&aboveType=STOP_LOSS&quantity=1&aboveStopPrice=3300&aboveClientOrderId=acme-sl",
        "belowType=LIMIT_MAKER&belowPrice=3000&belowClientOrderId=acme-tp",
        answer=LIST_ANSWER,
        expected=(LIST_REPORT, LEGS),
    ),
    call("order", "GET order", whole(f"symbol=ETHUSDT&origClientOrderId={ID}"), answer=QUERIED, expected=PARTLY),
    call("order by venue id", "GET order", whole("symbol=ETHUSDT&orderId=4400123")),
    call("open orders", "GET openOrders", whole("symbol=ETHUSDT"), answer=[QUERIED], expected=(PARTLY,)),
    call(
        "all open orders",
        "GET openOrders",
        whole(""),
        answer=[QUERIED, QUERIED | {"symbol": "NOSUCH"}],
        expected=(PARTLY,),
    ),
    call("fills", "GET myTrades", whole("symbol=ETHUSDT&limit=1000"), answer=TRADES, expected=(fill(True, ""),)),
    call("fills from an id", "GET myTrades", whole("symbol=ETHUSDT&fromId=900001&limit=1000")),
    call("fills from a time", "GET myTrades", whole("symbol=ETHUSDT&startTime=1761990000000&limit=1000")),
    call("fills of an order", "GET myTrades", whole("symbol=ETHUSDT&orderId=4400123&limit=1000")),
    call(
        "orders since",
        "GET allOrders",
        whole("symbol=ETHUSDT&startTime=1761990000000&limit=1000"),
        answer=[QUERIED],
        expected=(PARTLY,),
    ),
    call(
        "balances",
        "GET account",
        whole("omitZeroBalances=true"),
        answer=ACCOUNT,
        expected=BalanceReport(VENUE, T * MS, AT, HELD, True),
    ),
    call(
        "order counts",
        "GET rateLimit/order",
        whole(""),
        answer=COUNTS,
        expected={"ORDERS/10s": 12, "ORDERS/86400s": 4043},
    ),
)

# ---------------------------------------------------------------- the session

REPORT = {
    "e": "executionReport",
    "E": T + 1,
    "s": "ETHUSDT",
    "c": ID,
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "1.00000000",
    "p": "3150.00000000",
    "P": "0.00000000",
    "F": "0.00000000",
    "g": -1,
    "C": "",
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "r": "NONE",
    "i": 4400123,
    "l": "0.25000000",
    "z": "0.25000000",
    "L": "3150.00000000",
    "n": "0.00025000",
    "N": "ETH",
    "T": T,
    "t": 900777,
    "I": 8800456,
    "w": False,
    "m": True,
    "M": True,
    "O": T - 100,
    "Z": "787.50000000",
    "Y": "787.50000000",
    "Q": "0.00000000",
    "W": T - 100,
    "V": "EXPIRE_MAKER",
}
NOTHING = {"l": "0.00000000", "L": "0.00000000", "n": "0", "N": None, "t": -1, "m": False, "w": True}
EMPTY = REPORT | NOTHING | {"z": "0.00000000", "Z": "0.00000000"}


def told(event: object, *facts: object) -> EventSample:
    return EventSample(frame=wire({"subscriptionId": 0, "event": event}), facts=facts)  # type: ignore[arg-type]


EVENTS = (
    told(EMPTY | {"x": "NEW", "X": "NEW", "I": 8800455}, report(OrderStatus.NEW, "NEW", version=8800455)),
    told(
        REPORT,
        report(OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED", "0.25", "787.5", version=8800456, fill=fill(True)),
    ),
    told(
        EMPTY | {"x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH", "I": 8800457},
        report(OrderStatus.EXPIRED, "EXPIRED_IN_MATCH", version=8800457),
    ),
    told(
        REPORT | {"X": "FILLED", "l": "0.75", "z": "1.0", "Z": "3150.0", "t": 900778, "n": "0.00075", "I": 8800458},
        report(
            OrderStatus.FILLED,
            "FILLED",
            "1.0",
            "3150.0",
            version=8800458,
            fill=Fill(
                VENUE, ETH, T * MS, AT, "900778", ID, "4400123", Side.BUY, D(3150), D("0.75"), D("0.00075"), "ETH", True
            ),
        ),
    ),
    told(
        EMPTY | {"x": "CANCELED", "X": "CANCELED", "c": "the-cancels-own", "C": ID, "I": 8800459},
        report(OrderStatus.CANCELED, "CANCELED", version=8800459),
    ),
    told(
        EMPTY | {"x": "REJECTED", "X": "REJECTED", "r": "INSUFFICIENT_BALANCES", "I": 8800460},
        report(OrderStatus.REJECTED, "REJECTED", version=8800460, reason="INSUFFICIENT_BALANCES"),
    ),
    told(
        {"e": "outboundAccountPosition", "E": T + 1, "u": T}
        | {"B": [{"a": "ETH", "f": "10.24975", "l": "0.0"}, {"a": "USDT", "f": "5000.0", "l": "2362.50"}]},
        BalanceReport(VENUE, T * MS, AT, HELD, False),
    ),
    told(
        {"e": "balanceUpdate", "E": T + 1, "a": "USDT", "d": "-150.00", "T": T},
        BalanceChange(VENUE, T * MS, AT, "USDT", D(-150)),
    ),
    told(
        {"e": "listStatus", "E": T + 1, "s": "ETHUSDT", "g": 55, "c": "OCO", "l": "EXEC_STARTED", "L": "EXECUTING"}
        | {"r": "NONE", "C": "acme-list-7", "T": T}
        | {"O": [{"s": "ETHUSDT", "i": 4400130, "c": "acme-sl"}, {"s": "ETHUSDT", "i": 4400131, "c": "acme-tp"}]},
        LIST_REPORT,
    ),
    told(
        {"e": "eventStreamTerminated", "E": T}, StreamEnded("the venue ended the subscription (eventStreamTerminated)")
    ),
)


def reply(request_id: str, status: int = 200, **fields: object) -> bytes:
    return wire({"id": request_id, "status": status, **fields})


LOGIN = signed(f"apiKey={KEY}&{TAIL}")

SESSION = PrivateFacts(
    url="wss://ws-api.binance.com:443/ws-api/v3",
    environment=Environment.LIVE,
    opening=(
        OpeningSample(
            says=(b'"id":"c1"', b'"method":"userDataStream.subscribe.signature"', LOGIN.encode()),
            accepted=reply("c1", result={"subscriptionId": 0}),
            refused=(
                (reply("c1", 401, error={"code": -2015, "msg": "Invalid API-key, IP"}), AuthenticationFailed),
                (reply("c1", 400, error={"code": -1021, "msg": "outside of the recvWindow"}), ClockRejected),
            ),
        ),
    ),
    calls=(
        SessionSample(
            what="place",
            says=(b'"id":"c7"', b'"method":"order.place"', b'"price":"3150.00"', f'"timestamp":{NOW_MS}'.encode()),
            reply=reply("c7", result=PLACED),
            expected=PlaceAnswer(PARTLY, (fill(False, fee="0.0002"),)),
        ),
        SessionSample(
            what="place",
            says=(),
            reply=reply("c7", 400, error={"code": -2010, "msg": "Account has insufficient balance."}),
            expected=VenueRejected,
        ),
        SessionSample(
            what="place",
            says=(),
            reply=reply("c7", 400, error={"code": -1007, "msg": "Timeout"}),
            expected=OutcomeUnknown,
        ),
        SessionSample(
            what="cancel",
            says=(b'"method":"order.cancel"', ID.encode()),
            reply=reply("c7", result=CANCELED),
            expected=CancelAnswer(CANCELED_REPORT),
        ),
        SessionSample(
            what="amend",
            says=(b'"method":"order.amend.keepPriority"', b'"newQty":"0.5"'),
            reply=reply("c7", result=AMENDED),
            expected=AMENDED_REPORT,
        ),
        SessionSample(
            what="place list",
            says=(b'"method":"orderList.place.oco"',),
            reply=reply("c7", result=LIST_ANSWER),
            expected=(LIST_REPORT, LEGS),
        ),
    ),
    events=EVENTS,
    probe_reply=reply("c9", result=[{"subscriptionId": 0}]),
    endings=(b'{"event":{"e":"serverShutdown","E":1}}',),
    unknown_noise=(b'{"event":{"e":"marginCall","s":"ETHUSDT"}}', b"{}"),
)

TRADING = TradingFacts(
    credentials={
        "hmac": Credentials(KEY, secret=SECRET),
        "ed25519": Credentials(KEY, private_key_pem=ED25519_PEM),
        "rsa": Credentials(KEY, private_key_pem=rsa_pem()),
    },
    refused_credentials=(
        Credentials(KEY, private_key_pem="-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----"),
    ),
    symbol=ETH,
    client_id=ID,
    order=ORDER,
    current=CURRENT,
    amend=AmendOrder(symbol=ETH, client_id=ID, quantity=D("0.5")),
    order_list=ORDER_LIST,
    client_ids=("acme-sl", "acme-tp"),
    calls=CALLS,
    vectors=(
        SigningVector(  # the venue's own, "Signed endpoint example"
            payload="symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            signature="c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        SigningVector(payload="a=1", signature=ed25519("a=1"), kind="ed25519"),
    ),
    refused_orders=(
        PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(1), quote_quantity=D(1)),
        PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D("1.123456789"), price=D(1)),
        PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.MARKET, quantity=D(1), price=D(1)),
        PlaceOrder(
            symbol=ETH,
            side=Side.BUY,
            type=OrderType.LIMIT_MAKER,
            quantity=D(1),
            price=D(1),
            time_in_force=TimeInForce.GTC,
            self_trade=SelfTrade.NONE,
        ),
    ),
    not_found=(RefusalSample(body=refusal("-2013", "Order does not exist."), read=VenueRejected, write=VenueRejected),),
    not_open=(RefusalSample(body=refusal("-2011", "Unknown order sent."), read=VenueRejected, write=VenueRejected),),
    duplicate=(RefusalSample(body=refusal("-2010", "Duplicate order sent."), read=VenueRejected, write=VenueRejected),),
    session=SESSION,
)


def following(last: int, chance: Random) -> tuple[int, int, int | None]:
    """Each delta begins with the update after the last of the one before."""
    return last + 1, last + chance.randint(1, 5), None


FACTS = DriverFacts(
    limits={
        "REQUEST_WEIGHT/60s": (6_000, 60.0),
        "RAW_REQUESTS/300s": (300_000, 300.0),
        "ORDERS/10s": (50, 10.0),
        "ORDERS/86400s": (160_000, 86_400.0),
    },
    instruments=(wire(LIST),),
    symbols={"ETHUSDT": ETH, "BTCUSDT": BTC, "１２３USDT": STRANGE},
    instrument=INSTRUMENT,
    skipped=frozenset({"MOONUSDT"}),
    streams=STREAMS,
    refused_topics=(
        Topic(TopicKind.CANDLES, ETH, interval="2m"),
        Topic(TopicKind.PARTIAL_BOOK, ETH, depth=7),
        Topic(TopicKind.BOOK, ETH, speed_ms=250),
        Topic(TopicKind.TRADES, ETH, speed_ms=100),
        Topic(TopicKind.TRADES, Symbol("ETH", "USDT", "USDT")),
    ),
    subscribed=(
        ("ethusdt@trade", "btcusdt@depth"),
        7,
        b'{"method":"SUBSCRIBE","params":["ethusdt@trade","btcusdt@depth"],"id":7}',
    ),
    unsubscribed=(("ethusdt@trade",), 8, b'{"method":"UNSUBSCRIBE","params":["ethusdt@trade"],"id":8}'),
    acks=((b'{"result":null,"id":7}', Ack(7)),),
    refused=(
        RefusedFrame(
            frame=b'{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":7}',
            request_id=7,
            error=VenueRejected,
        ),
        RefusedFrame(frame=b'{"code":2,"msg":"Invalid request"}', request_id=None, error=VenueRejected),
        RefusedFrame(
            frame=b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":7}', request_id=7, error=RateLimited
        ),
    ),
    endings=(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1762000000000}}',),
    unknown_noise=(b'{"e":"moonrise"}', b'{"stream":"!moonrise","data":{}}', b'{"result":null}'),
    questions=QUESTIONS,
    refused_queries=(
        CandlesQuery(ETH, "2m"),
        CandlesQuery(ETH, "1m", limit=1001),
        CandlesQuery(ETH, "1m", start_ns=2, end_ns=1),
        RecentTradesQuery(ETH, 0),
        HistoricalTradesQuery(ETH, -1),
        AggTradesQuery(ETH, 1, start_ns=1),
        DepthQuery(ETH, 5001),
    ),
    codes=CODES,
    code_body=refusal,
    refusals=REFUSALS,
    used=(
        (
            {"x-mbx-used-weight-1m": "321", "x-mbx-order-count-10s": "12", "x-mbx-order-count-1d": "4043"},
            {"REQUEST_WEIGHT/60s": 321, "ORDERS/10s": 12, "ORDERS/86400s": 4043},
        ),
    ),
    book=BookFacts(symbol=ETH, following=following),
    trading=TRADING,
)
