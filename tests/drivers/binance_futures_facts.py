"""What Binance futures say and mean, USDⓈ-M and COIN-M, as samples from their documents: what their drivers are compared with.

Source: the venue's own derivatives API documentation, read 2026-11; the shapes are its, the numbers are made up. Prices are
80,000 throughout, so that 40 contracts of 100 US dollars are 0.05 of the base asset.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from binance_facts import ED25519_PEM, KEY, SECRET, ed25519, rsa_pem, signed, wire
from futures_values import DECEMBER, INFO, entry, inverse

from connector.domain import Symbol, Topic, TopicKind
from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import (
    AmendOrder,
    PlaceOrder,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
    TriggerPrice,
)
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport, PositionReport, StreamEnded
from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    Instrument,
    InstrumentStatus,
    NotionalFilter,
    OtherFilter,
    PriceBandFilter,
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
    Banned,
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
    SessionSample,
    SigningVector,
    StreamSample,
    TradingFacts,
)

D = Decimal
AT = RECEIVED_NS
MS = 1_000_000
T = 1_762_000_000_100
START, END = 1_761_999_900_000, 1_761_999_959_999
NEXT = 1_762_012_800_000
ID, NUMBER = "acme-000042", 4400123
P = D(80000)
TAIL = f"recvWindow=5000&timestamp={NOW_MS}"
SINCE = 1_761_990_000_000


def refusal(code: str, text: str = "said the venue") -> bytes:
    return wire({"code": int(code), "msg": text})


REJECTED = (VenueRejected, VenueRejected)
LATER = (VenueUnavailable, VenueUnavailable)


def span(high: int, low: int) -> range:
    """Codes are negative; both ends belong to it."""
    return range(low, high + 1)


_REFUSED = (
    *(-1125, -1010, -1013, -1014, -1020, -1023, *span(-1100, -1106), -1108, -1109, *span(-1110, -1118)),
    *(*span(-1120, -1122), *span(-1126, -1128), -1130, -1136, -2010, -2011, -2013, *span(-2018, -2028)),
    *(*span(-4000, -4021), *span(-4023, -4032), *span(-4045, -4055), *span(-4059, -4062), -4067, -4068, -4082, -4083),
    *(-4084, -4087, -4088, -4104, -4109, -4114, -4115, -4116, -4117, -4118, -4120, -4131, *span(-4135, -4142), -4144),
    *(-4161, *span(-4164, -4172), -4183, -4184, -4192, *span(-4202, -4211), *span(-4400, -4403), -4531, -5021, -5022),
    *(-5024, -5025, -5026, -5027, -5029, *span(-5037, -5041), -5043, -5047, -21015),
)
_KEYS = (-1002, -1004, -1005, -1011, -1022, -1099, -2014, -2015, -2017, -4056, -4057)
SHARED: dict[int, Any] = {
    **dict.fromkeys((-1000, -1001, -1006, -1007, -2012), (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys((-1003, -1015), (RateLimited, RateLimited)),
    **dict.fromkeys((-1008, -1016, 239999), LATER),
    **dict.fromkeys((-1021, -5028), (ClockRejected, ClockRejected)),
    **dict.fromkeys(_KEYS, (AuthenticationFailed, AuthenticationFailed)),
    **dict.fromkeys(_REFUSED, REJECTED),
}
_COINM_REFUSED = (*span(-4087, -4090), *span(-4110, -4113), -4150, -4151, -4152, -4154, -4155, -4178)
COINM_ONLY: dict[int, Any] = {
    **dict.fromkeys((*_COINM_REFUSED, *span(-4194, -4202)), REJECTED),
    -4188: (ClockRejected, ClockRejected),
}
UNKNOWN_TEXT = "Unknown error, please check your request or try again later."
REFUSALS = (
    RefusalSample(body=refusal("-2019"), code="-2019", read=VenueRejected, write=VenueRejected),
    RefusalSample(
        body=refusal("-1003"),
        status=429,
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
    RefusalSample(body=b"", status=408, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(
        body=refusal("-1000", "Service Unavailable."), status=503, read=VenueUnavailable, write=VenueUnavailable
    ),
    RefusalSample(body=refusal("-1000", UNKNOWN_TEXT), status=503, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(body=b"<html>403</html>", status=403, read=VenueUnavailable, write=VenueUnavailable),
)


def following(last: int, chance: Random) -> tuple[int, int, int | None]:
    """Numbers jump; only the id before proves that nothing is missing."""
    first = last + chance.randint(1, 9)
    return first, first + chance.randint(0, 9), last


class Product:
    """The samples of one product."""

    def __init__(self, *, coin: bool) -> None:
        self.coin, self.venue = coin, "binance-coinm" if coin else "binance-usdm"
        self.root = "/dapi" if coin else "/fapi"
        self.symbol = Symbol("BTC", "USD", "BTC") if coin else Symbol("BTC", "USDT", "USDT")
        self.name = "BTCUSD_PERP" if coin else "BTCUSDT"
        self.size, self.part = ("40.0", "16.0") if coin else ("0.5", "0.2")
        self.asset = "BTC" if coin else "USDT"

    def base(self, size: str) -> Decimal:
        return D(size) * 100 / P if self.coin else D(size)

    def contracts(self, size: str) -> Decimal | None:
        return D(size) if self.coin else None

    def quote(self, size: str) -> Decimal:
        return D(size) * 100 if self.coin else D(size) * P

    # ------------------------------------------------------------ instruments

    def list(self) -> bytes:
        info: dict[str, Any] = dict(INFO[self.venue])
        spoilt = (inverse if self.coin else entry)("NOSUCHNAME")
        return wire(info | {"symbols": [*info["symbols"], spoilt]})

    def symbols(self) -> dict[str, Symbol]:
        if self.coin:
            return {"BTCUSD_PERP": self.symbol, "BTCUSD_261225": Symbol("BTC", "USD", "BTC", "261225")}
        return {
            "BTCUSDT": self.symbol,
            "BTCUSDT_261225": Symbol("BTC", "USDT", "USDT", "261225"),
            "TSLAUSDT": Symbol("TSLA", "USDT", "USDT"),
        }

    def instrument(self) -> Instrument:
        """The dated one."""
        assert DECEMBER == 1798185600000
        filters: Any = (
            PriceFilter(D("556.80"), D(4529764), D("0.10")),
            AmountFilter(D("0.001"), D(1000), D("0.001")),
            AmountFilter(D("0.001"), D(120), D("0.001"), market_only=True),
            CountFilter("MAX_NUM_ORDERS", D(200)),
            NotionalFilter(D(100), None, True, False, reduce_only_exempt=True),
            PriceBandFilter(D("1.05"), D(0), D("1e24"), D("0.95")),
            OtherFilter("POSITION_RISK_CONTROL", '{"filterType":"POSITION_RISK_CONTROL","positionControlSide":"NONE"}'),
        )
        if self.coin:
            filters = (
                PriceFilter(D(1000), D(4520958), D("0.1")),
                AmountFilter(D(1), D(1_000_000), D(1)),
                CountFilter("MAX_NUM_ALGO_ORDERS", D(20)),
            )
        name = "BTCUSD_261225" if self.coin else "BTCUSDT_261225"
        return Instrument(
            venue=self.venue,
            symbol=self.symbols()[name],
            venue_name=name,
            status=InstrumentStatus.TRADING,
            status_text="TRADING",
            base_decimals=8,
            quote_decimals=8,
            order_types=("LIMIT", "MARKET"),
            filters=filters,
            contract_size=D(100) if self.coin else D(1),
            permissions=("CURRENT_QUARTER", "COIN"),
        )

    # ------------------------------------------------------------ market

    def agg(self) -> AggTrade:
        numbers = (77001, P, self.base(self.size), Side.BUY, 900001, 900003)
        return AggTrade(self.venue, self.symbol, (T - 1) * MS, AT, *numbers, contracts=self.contracts(self.size))

    def candle(self, event_time_ns: int | None, closed: bool) -> Candle:
        """Volume 12.5 and quote volume 1000000.5 on the wire; 8.5 and 680000.5 of takers."""
        volumes: Any = (D("12.5"), D("1000000.5"), D("8.5"), D("680000.5"))
        if self.coin:
            volumes = (D("1000000.5"), D(1250), D("680000.5"), D(850))
        prices = (D(80000), D(80010), D(79990), D("80002.1"))
        times = (START * MS, END * MS)
        rest = (volumes[0], closed, volumes[1], 504, volumes[2], volumes[3])
        return Candle(self.venue, self.symbol, event_time_ns, AT, "1m", *times, *prices, *rest)

    def ticker(self, event_time_ns: int) -> Ticker:
        volumes: Any = (D("1234.5"), D("98765432.1"))
        if self.coin:
            volumes = (D("98765432.1"), D(123450))
        last = self.base("0.4") if not self.coin else D("0.4") * 100 / P
        prices = (D(79000), D(81000), D(78000), *volumes, last, D("79500.5"), D("1000.0"), D("1.266"), 200004)
        times = (1761913600000 * MS, 1762000000999 * MS)
        return Ticker(self.venue, self.symbol, event_time_ns, AT, P, None, None, None, None, *prices, *times)

    def levels(self) -> tuple[Any, Any]:
        """Bids and asks of one level each, at 80,000 and 160,000."""
        far = self.base(self.size) / 2 if self.coin else D(self.size)
        return ((P, self.base(self.size)),), ((D(160000), far),)

    def stream(
        self, kind: TopicKind, suffix: str, group: str, data: Any, event: object, **options: Any
    ) -> StreamSample:
        name = f"{self.name.lower()}@{suffix}"
        return StreamSample(
            topic=Topic(kind, self.symbol, **options),
            name=name,
            group="" if self.coin else group,
            frames=(wire({"stream": name, "data": data}),),
            events=(event,),  # type: ignore[arg-type]
        )

    def streams(self) -> tuple[StreamSample, ...]:
        name, far = self.name, self.levels()[1][0][1]
        k = {"t": START, "T": END, "s": name, "i": "1m", "f": 1, "L": 2, "o": "80000.0", "c": "80002.1", "h": "80010.0"}
        k |= {
            "l": "79990.0",
            "v": "12.5",
            "n": 504,
            "x": False,
            "q": "1000000.5",
            "V": "8.5",
            "Q": "680000.5",
            "B": "0",
        }
        tick = {"e": "24hrTicker", "E": T, "s": name, "p": "1000.0", "P": "1.266", "w": "79500.5", "c": "80000.0"}
        tick |= {"Q": "0.4", "o": "79000.0", "h": "81000.0", "l": "78000.0", "v": "1234.5", "q": "98765432.1"}
        tick |= {"O": 1761913600000, "C": 1762000000999, "F": 1, "L": 2, "n": 200004}
        best = {"e": "bookTicker", "u": 500, "s": name, "b": "80000.0", "B": self.size, "a": "160000.0", "A": self.size}
        depth = {"e": "depthUpdate", "E": T, "T": T - 1, "s": name, "U": 495, "u": 500, "pu": 490}
        whole = depth | {"b": [["80000.0", self.size]], "a": [["160000.0", self.size]]}
        change = depth | {"b": [["80000.0", "0.0"]], "a": [["160000.0", self.size]]}
        mark = {"e": "markPriceUpdate", "E": T, "s": name, "p": "80001.5", "i": "80002.5", "P": "0.0", "r": "-0.0002"}
        forced = {"s": name, "S": "SELL", "o": "LIMIT", "f": "IOC", "q": self.size, "p": "79000.0", "ap": "80000.0"}
        forced |= {"X": "FILLED", "l": self.part, "z": self.size, "T": T - 1}
        agg = {"e": "aggTrade", "E": T, "s": name, "a": 77001, "p": "80000.0", "q": self.size, "f": 900001, "l": 900003}
        venue, symbol, at = self.venue, self.symbol, T * MS
        delta = BookDelta(venue, symbol, at, AT, 495, 500, ((P, D(0)),), self.levels()[1], 490)
        held = (P, self.base(self.size), D(160000), far, 500)
        sold = (Side.SELL, P, self.base(self.size), self.contracts(self.size))
        return (
            self.stream(TopicKind.AGG_TRADES, "aggTrade", "market", agg | {"T": T - 1, "m": False}, self.agg()),
            self.stream(
                TopicKind.CANDLES,
                "kline_1m",
                "market",
                {"e": "kline", "E": T, "s": name, "k": k},
                self.candle(at, False),
                interval="1m",
            ),
            self.stream(TopicKind.TICKER, "ticker", "market", tick, self.ticker(at)),
            self.stream(
                TopicKind.BOOK_TICKER,
                "bookTicker",
                "public",
                best | {"E": T, "T": T},
                BookTicker(venue, symbol, at, AT, *held),
            ),
            self.stream(
                TopicKind.PARTIAL_BOOK,
                "depth5@100ms",
                "public",
                whole,
                OrderBook(venue, symbol, at, AT, 500, *self.levels()),
                depth=5,
            ),
            self.stream(TopicKind.BOOK, "depth@100ms", "public", change, delta),
            self.stream(
                TopicKind.MARK_PRICE,
                "markPrice@1s",
                "market",
                mark | {"T": NEXT},
                MarkPrice(venue, symbol, at, AT, D("80001.5"), D("80002.5"), D("-0.0002"), NEXT * MS),
            ),
            self.stream(
                TopicKind.LIQUIDATIONS,
                "forceOrder",
                "market",
                {"e": "forceOrder", "E": T, "o": forced},
                Liquidation(venue, symbol, (T - 1) * MS, AT, *sold),
            ),
        )

    # ------------------------------------------------------------ questions

    def asked(self, query: Any, request: str, told: object, value: object) -> AnswerSample:
        return AnswerSample(query=query, request=f"GET {self.root}/{request}", bodies=(wire(told),), answer=value)

    def questions(self) -> tuple[AnswerSample, ...]:
        symbol, name, venue = self.symbol, self.name, self.venue
        named = f"symbol={name}"
        kline = [
            START,
            "80000.0",
            "80010.0",
            "79990.0",
            "80002.1",
            "12.5",
            END,
            "1000000.5",
            504,
            "8.5",
            "680000.5",
            "0",
        ]
        trade = {"id": 900001, "price": "80000.0", "qty": self.size, "quoteQty": "1", "time": T, "isBuyerMaker": True}
        sold = (900001, P, self.base(self.size), Side.SELL)
        agg = {"a": 77001, "p": "80000.0", "q": self.size, "f": 900001, "l": 900003, "T": T - 1, "m": False}
        depth = {
            "lastUpdateId": 500,
            "E": T,
            "T": T,
            "bids": [["80000.0", self.size]],
            "asks": [["160000.0", self.size]],
        }
        row = {"symbol": name, "priceChange": "1000.0", "priceChangePercent": "1.266", "weightedAvgPrice": "79500.5"}
        row |= {"lastPrice": "80000.0", "lastQty": "0.4", "openPrice": "79000.0", "highPrice": "81000.0"}
        row |= {"lowPrice": "78000.0", "volume": "1234.5", "openTime": 1761913600000, "closeTime": 1762000000999}
        row |= {"baseVolume" if self.coin else "quoteVolume": "98765432.1", "firstId": 1, "lastId": 2, "count": 200004}
        best = {"symbol": name, "bidPrice": "80000.0", "bidQty": self.size, "askPrice": "160000.0", "askQty": self.size}
        mark = {"symbol": name, "markPrice": "80001.5", "indexPrice": "80002.5", "lastFundingRate": "-0.0002"}
        rate = {"symbol": name, "fundingRate": "-0.0002", "fundingTime": T, "markPrice": "80001.5"}
        held = (P, self.base(self.size), D(160000), self.levels()[1][0][1])
        prices = "v1/ticker/price" if self.coin else "v2/ticker/price"
        interest = (None, D("1000.5")) if self.coin else (D("1000.5"), None)
        marked = (D("80001.5"), D("80002.5"), D("-0.0002"), NEXT * MS)
        return (
            self.asked(ServerTimeQuery(), "v1/time", {"serverTime": T}, T * MS),
            AnswerSample(
                query=InstrumentsQuery(),
                request=f"GET {self.root}/v1/exchangeInfo",
                bodies=(self.list(),),
                answer=None,
            ),
            self.asked(
                CandlesQuery(symbol, "1m", START * MS, END * MS, 5),
                f"v1/klines?{named}&interval=1m&startTime={START}&endTime={END}&limit=5",
                [kline],
                (self.candle(None, True),),
            ),
            self.asked(
                RecentTradesQuery(symbol, 1),
                f"v1/trades?{named}&limit=1",
                [trade],
                (Trade(venue, symbol, T * MS, AT, *sold, contracts=self.contracts(self.size)),),
            ),
            self.asked(
                AggTradesQuery(symbol, 77001), f"v1/aggTrades?{named}&fromId=77001&limit=1000", [agg], (self.agg(),)
            ),
            self.asked(
                DepthQuery(symbol, 70),
                f"v1/depth?{named}&limit=100",
                depth,
                OrderBook(venue, symbol, T * MS, AT, 500, *self.levels()),
            ),
            self.asked(TickersQuery((symbol,)), f"v1/ticker/24hr?{named}", [row], (self.ticker(1762000000999 * MS),)),
            self.asked(
                BookTickersQuery(),
                "v1/ticker/bookTicker",
                [best | {"time": T}, best | {"symbol": "NOSUCH", "time": T}],
                (BookTicker(venue, symbol, T * MS, AT, *held),),
            ),
            self.asked(
                PricesQuery((symbol,)),
                f"{prices}?{named}",
                {"symbol": name, "price": "80000.0", "time": T},
                (Price(venue, symbol, T * MS, AT, P),),
            ),
            self.asked(
                MarkPricesQuery((symbol,)),
                f"v1/premiumIndex?{named}",
                [mark | {"nextFundingTime": NEXT, "time": T}],
                (MarkPrice(venue, symbol, T * MS, AT, *marked),),
            ),
            self.asked(
                FundingRatesQuery(symbol, limit=1),
                f"v1/fundingRate?{named}&limit=1",
                [rate],
                (FundingRate(venue, symbol, T * MS, AT, D("-0.0002"), D("80001.5")),),
            ),
            self.asked(
                OpenInterestQuery(symbol),
                f"v1/openInterest?{named}",
                {"symbol": name, "openInterest": "1000.5", "time": T},
                OpenInterest(venue, symbol, T * MS, AT, *interest),
            ),
        )

    # ------------------------------------------------------------ orders

    def row(self, status: str, filled: str = "0.0", **more: object) -> dict[str, Any]:
        told = {"symbol": self.name, "orderId": NUMBER, "clientOrderId": ID, "price": "80000.0", "origQty": self.size}
        told |= {"executedQty": filled, "status": status, "timeInForce": "GTC", "type": "LIMIT", "origType": "LIMIT"}
        told |= {"side": "BUY", "positionSide": "BOTH", "reduceOnly": False, "stopPrice": "0.0", "updateTime": T}
        told |= {"avgPrice": "80000.0" if D(filled) else "0.0", "closePosition": False, "workingType": "CONTRACT_PRICE"}
        return told | ({} if self.coin else {"cumQuote": str(self.quote(filled))}) | more

    def report(self, status: OrderStatus | None, text: str, filled: str = "0", **more: Any) -> OrderReport:
        fields: dict[str, Any] = {"quote_filled": self.quote(filled), "time_in_force": TimeInForce.GTC}
        return OrderReport(
            venue=self.venue,
            symbol=self.symbol,
            event_time_ns=T * MS,
            received_ns=AT,
            client_id=ID,
            venue_id=str(NUMBER),
            side=Side.BUY,
            type=OrderType.LIMIT,
            type_text="LIMIT",
            status=status,
            status_text=text,
            quantity=self.base(self.size),
            filled=self.base(filled),
            price=P,
            contracts=self.contracts(self.size),
            filled_contracts=self.contracts(filled),
            **(fields | more),
        )

    def event_report(self, status: OrderStatus, text: str, filled: str = "0", **more: Any) -> OrderReport:
        """Events of linear contracts do not tell the quote quantity."""
        return self.report(status, text, filled, quote_filled=self.quote(filled) if self.coin else None, **more)

    def fill(self, client_id: str) -> Fill:
        return Fill(
            venue=self.venue,
            symbol=self.symbol,
            event_time_ns=T * MS,
            received_ns=AT,
            trade_id="900777",
            client_id=client_id,
            venue_id=str(NUMBER),
            side=Side.BUY,
            price=P,
            quantity=self.base(self.part),
            fee=D("0.0025"),
            fee_asset=self.asset,
            is_maker=True,
            contracts=self.contracts(self.part),
            realized=D("-0.5"),
        )

    def order(self, kind: OrderType = OrderType.LIMIT, **fields: Any) -> PlaceOrder:
        amount: Any = {"contracts": D(40)} if self.coin else {"quantity": D("0.5")}
        return PlaceOrder(**({"symbol": self.symbol, "side": Side.BUY, "type": kind} | amount | fields))

    def counted(self) -> str:
        return "40" if self.coin else "0.5"

    def whole(self, text: str) -> str:
        unsigned = f"{text}&{TAIL}" if text else TAIL
        return f"{unsigned}&signature={signed(unsigned)}"

    def call(self, what: str, request: str, *says: str, told: object = None, **more: Any) -> CallSample:
        method, _, path = request.partition(" ")
        return CallSample(
            what=what,
            request=f"{method} {self.root}/{path}",
            says=tuple(text.encode() for text in says),
            headers={"X-MBX-APIKEY": KEY},
            answer=b"" if told is None else wire(told),
            **more,
        )

    def position_row(self) -> dict[str, Any]:
        told = {"symbol": self.name, "positionAmt": f"-{self.part}", "entryPrice": "80000.0", "markPrice": "80001.5"}
        told |= {"unRealizedProfit": "-1.25", "liquidationPrice": "99000.5", "leverage": "5", "marginType": "isolated"}
        return told | {"isolatedMargin": "12.5", "positionSide": "BOTH", "updateTime": T}

    def position(self, **more: Any) -> Position:
        fields: dict[str, Any] = {"event_time_ns": T * MS, "margin": D("12.5")}
        return Position(
            venue=self.venue,
            symbol=self.symbol,
            received_ns=AT,
            side=PositionSide.NET,
            quantity=-self.base(self.part),
            entry_price=P,
            unrealized=D("-1.25"),
            contracts=-D(self.part) if self.coin else None,
            margin_mode=MarginMode.ISOLATED,
            **(fields | more),
        )

    def calls(self) -> tuple[CallSample, ...]:
        named, size = f"symbol={self.name}", self.counted()
        terms = f"{named}&side=BUY&type=LIMIT&timeInForce=GTC&quantity={size}&price=80000&newClientOrderId={ID}"
        new = self.report(OrderStatus.NEW, "NEW")
        cut = self.report(OrderStatus.CANCELED, "CANCELED", self.part)
        trade = {
            "symbol": self.name,
            "id": 900777,
            "orderId": NUMBER,
            "side": "BUY",
            "price": "80000.0",
            "qty": self.part,
        }
        trade |= {"realizedPnl": "-0.5", "commission": "0.0025", "commissionAsset": self.asset, "time": T}
        trade |= {"positionSide": "BOTH", "maker": True, "buyer": True}
        week = f"startTime={SINCE}"  # less than a week before now, so no end is named
        held = {"asset": self.asset, "balance": "122.5", "crossWalletBalance": "100.0", "updateTime": T}
        limit = 100 if self.coin else 1000
        received, income = {"code": 200, "msg": "success"}, {"symbol": self.name, "incomeType": "FUNDING_FEE"}
        income |= {"income": "-0.157", "asset": self.asset, "time": T, "info": "", "tranId": 9689322392, "tradeId": ""}
        positions = "v1/positionRisk" if self.coin else "v2/positionRisk"
        position = self.position(liquidation_price=D("99000.5"), leverage=D(5), mark_price=D("80001.5"))
        stop = self.order(OrderType.STOP, stop_price=D(81000), trigger_by=TriggerPrice.MARK)
        found = [
            self.call(
                "place",
                "POST v1/order",
                self.whole(f"{terms}&newOrderRespType=RESULT"),
                told=self.row("PARTIALLY_FILLED", self.part),
                expected=PlaceAnswer(self.report(OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED", self.part)),
            ),
            self.call(
                "place",
                "POST v1/algoOrder",
                f"type=STOP_MARKET&quantity={size}&triggerPrice=81000&workingType=MARK_PRICE&clientAlgoId={ID}",
                command=stop,
            ),
            self.call(
                "cancel",
                "DELETE v1/order",
                self.whole(f"{named}&orderId={NUMBER}"),
                told=self.row("CANCELED", self.part),
                expected=CancelAnswer(cut),
            ),
            self.call(
                "amend",
                "PUT v1/order",
                self.whole(f"{named}&orderId={NUMBER}&side=BUY&quantity={size}&price=79999.9"),
                told=self.row("NEW"),
                expected=new,
            ),
            self.call(
                "order",
                "GET v1/order",
                self.whole(f"{named}&origClientOrderId={ID}"),
                told=self.row("NEW"),
                expected=new,
            ),
            self.call("order by venue id", "GET v1/order", self.whole(f"{named}&orderId={NUMBER}")),
            self.call(
                "open orders",
                "GET v1/openOrders",
                self.whole(named),
                told=[self.row("NEW")],
                expected=(new,),
                follows=True,
            ),
            self.call(
                "all open orders",
                "GET v1/openOrders",
                self.whole(""),
                told=[self.row("NEW"), self.row("NEW", symbol="NOSUCH")],
                expected=(new,),
                follows=True,
            ),
            self.call(
                "fills", "GET v1/userTrades", self.whole(f"{named}&limit=1000"), told=[trade], expected=(self.fill(""),)
            ),
            self.call("fills from an id", "GET v1/userTrades", self.whole(f"{named}&fromId=900001&limit=1000")),
            self.call("fills from a time", "GET v1/userTrades", self.whole(f"{named}&{week}&limit=1000")),
            self.call("fills of an order", "GET v1/userTrades", self.whole(f"{named}&orderId={NUMBER}&limit=1000")),
            self.call(
                "orders since",
                "GET v1/allOrders",
                self.whole(f"{named}&{week}&limit={limit}"),
                told=[self.row("CANCELED", self.part)],
                expected=(cut,),
                follows=True,
            ),
            self.call(
                "balances",
                "GET v1/balance" if self.coin else "GET v3/balance",
                self.whole(""),
                told=[held],
                expected=BalanceReport(self.venue, T * MS, AT, ((self.asset, D("122.5"), D(0)),), True),
            ),
            self.call(
                "positions",
                f"GET {positions}",
                self.whole(""),
                told=[self.position_row(), self.position_row() | {"positionAmt": "0"}],
                expected=PositionReport(self.venue, None, AT, (position,), True),
            ),
            self.call(
                "funding",
                "GET v1/income",
                self.whole(f"incomeType=FUNDING_FEE&startTime={SINCE}&limit=1000"),
                told=[income],
                expected=(self.paid(),),
            ),
            self.call(
                "leverage",
                "POST v1/leverage",
                self.whole(f"{named}&leverage=5"),
                told={"symbol": self.name, "leverage": 5, "maxNotionalValue": "1000000"},
                command=SetLeverage(symbol=self.symbol, leverage=D(5)),
            ),
            self.call(
                "margin mode",
                "POST v1/marginType",
                self.whole(f"{named}&marginType=ISOLATED"),
                told=received,
                command=SetMarginMode(mode=MarginMode.ISOLATED, symbol=self.symbol),
            ),
            self.call(
                "position mode",
                "POST v1/positionSide/dual",
                self.whole("dualSidePosition=false"),
                told=received,
                command=SetPositionMode(mode=PositionMode.ONE_WAY),
            ),
        ]
        if not self.coin:
            found.append(self.call("test", "POST v1/order/test", self.whole(f"{terms}&newOrderRespType=RESULT")))
        return tuple(found)

    def paid(self) -> FundingPayment:
        made = f"{self.asset}:{T // 3_600_000}:-0.157"  # made: event and history share no id
        return FundingPayment(self.venue, self.symbol, T * MS, AT, made, self.asset, D("-0.157"))

    # ------------------------------------------------------------ private connections

    def session(self) -> PrivateFacts:
        def reply(status: int = 200, **fields: object) -> bytes:
            return wire({"id": "c7", "status": status, **fields})

        cut = self.report(OrderStatus.CANCELED, "CANCELED", self.part)
        quantity = f'"quantity":"{self.counted()}"'.encode()
        return PrivateFacts(
            url=f"wss://ws-{'dapi' if self.coin else 'fapi'}.binance.com/ws-{'dapi' if self.coin else 'fapi'}/v1",
            environment=Environment.LIVE,
            calls=(
                SessionSample(
                    what="place",
                    says=(b'"id":"c7"', b'"method":"order.place"', quantity, f'"timestamp":{NOW_MS}'.encode()),
                    reply=reply(result=self.row("NEW")),
                    expected=PlaceAnswer(self.report(OrderStatus.NEW, "NEW")),
                ),
                SessionSample(
                    what="place",
                    says=(),
                    reply=reply(400, error={"code": -2019, "msg": "Margin is insufficient."}),
                    expected=VenueRejected,
                ),
                SessionSample(
                    what="place",
                    says=(),
                    reply=reply(400, error={"code": -1007, "msg": "Timeout"}),
                    expected=OutcomeUnknown,
                ),
                SessionSample(
                    what="cancel",
                    says=(b'"method":"order.cancel"', f'"orderId":{NUMBER}'.encode()),
                    reply=reply(result=self.row("CANCELED", self.part)),
                    expected=CancelAnswer(cut),
                ),
                SessionSample(
                    what="amend",
                    says=(b'"method":"order.modify"', b'"price":"79999.9"'),
                    reply=reply(result=self.row("NEW")),
                    expected=self.report(OrderStatus.NEW, "NEW"),
                ),
            ),
            probe_reply=b'{"id":"c9","status":200,"result":{"apiKey":null,"serverTime":1762000000100}}',
            endings=(b'{"e":"serverShutdown","E":1762000000000}',),
            unknown_noise=(b"{}", b'{"e":"moonrise"}'),
        )

    def order_event(self, status: str, filled: str = "0.0", **more: object) -> dict[str, Any]:
        o = {"s": self.name, "c": ID, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": self.size, "p": "80000.0", "sp": "0.0"}
        o |= {"ap": "80000.0" if D(filled) else "0.0", "x": status, "X": status, "i": NUMBER, "l": "0.0", "z": filled}
        o |= {"L": "0.0", "T": T, "t": 0, "m": False, "R": False, "ot": "LIMIT", "ps": "BOTH", "rp": "0.0"}
        return {"e": "ORDER_TRADE_UPDATE", "E": T + 1, "T": T, "o": o | more}

    def events(self) -> PrivateFacts:
        traded = {"x": "TRADE", "l": self.part, "L": "80000.0", "t": 900777, "m": True, "n": "0.0025", "N": self.asset}
        account = {"m": "ORDER", "B": [{"a": self.asset, "wb": "122.5", "cw": "100.0", "bc": "0.0"}]}
        held = {"s": self.name, "pa": f"-{self.part}", "ep": "80000.0", "cr": "0.0", "up": "-1.25", "mt": "isolated"}
        account |= {"P": [held | {"iw": "12.5", "ps": "BOTH"}]}  # type: ignore[dict-item]
        funding = {"m": "FUNDING_FEE", "B": [{"a": self.asset, "wb": "122.5", "cw": "100.0", "bc": "-0.157"}]}
        balance = BalanceReport(self.venue, T * MS, AT, ((self.asset, D("122.5"), D(0)),), False)

        def told(event: object, *facts: object) -> EventSample:
            return EventSample(frame=wire(event), facts=facts)  # type: ignore[arg-type]

        return PrivateFacts(
            url="wss://dstream.binance.com/ws/KEY"
            if self.coin
            else "wss://fstream.binance.com/private/ws?listenKey=KEY",
            environment=Environment.LIVE,
            key=KeySample(
                opens=f"POST {self.root}/v1/listenKey",
                answer=wire({"listenKey": "KEY"}),
                key="KEY",
                renews=f"PUT {self.root}/v1/listenKey",
            ),
            events=(
                told(self.order_event("NEW"), self.event_report(OrderStatus.NEW, "NEW")),
                told(
                    self.order_event("PARTIALLY_FILLED", self.part, rp="-0.5", **traded),
                    self.event_report(OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED", self.part, fill=self.fill(ID)),
                ),
                told(self.order_event("FILLED", self.size), self.event_report(OrderStatus.FILLED, "FILLED", self.size)),
                told(self.order_event("CANCELED"), self.event_report(OrderStatus.CANCELED, "CANCELED")),
                told(
                    self.order_event("EXPIRED", f="IOC", er="2"),
                    self.event_report(
                        OrderStatus.EXPIRED, "EXPIRED", time_in_force=TimeInForce.IOC, reason="the rest of an IOC order"
                    ),
                ),
                told(self.order_event("REJECTED"), self.event_report(OrderStatus.REJECTED, "REJECTED")),
                told(
                    {"e": "ACCOUNT_UPDATE", "E": T + 1, "T": T, "a": account},
                    balance,
                    PositionReport(self.venue, T * MS, AT, (self.position(),), False),
                ),
                told(
                    {"e": "ACCOUNT_UPDATE", "E": T + 1, "T": T, "a": funding | {"P": [], "S": self.name}},
                    balance,
                    self.paid(),
                ),
                told(
                    {"e": "listenKeyExpired", "E": T, "listenKey": "KEY"},
                    StreamEnded("the listen key of the account's events expired"),
                ),
            ),
            endings=(b'{"e":"serverShutdown","E":1762000000000}',),
            known_noise=(b'{"e":"TRADE_LITE","E":1762000000000}',),
            unknown_noise=(b'{"e":"moonrise"}', b"{}"),
        )

    def trading(self) -> TradingFacts:
        current = Order(
            self.venue,
            self.symbol,
            T * MS,
            AT,
            ID,
            str(NUMBER),
            Side.BUY,
            OrderType.LIMIT,
            TimeInForce.GTC,
            OrderStatus.NEW,
            "NEW",
            self.base(self.size),
            D(0),
            P,
            contracts=self.contracts(self.size),
            filled_contracts=self.contracts("0"),
            in_contracts=self.coin,
        )
        refused = [
            self.order(price=P, iceberg_quantity=D(1)),
            self.order(price=P, trigger_by=TriggerPrice.MARK),
            self.order(OrderType.STOP, stop_price=P, trigger_by=TriggerPrice.INDEX),
            self.order(OrderType.STOP, stop_price=P, close_position=True),
        ]
        if self.coin:
            refused.append(self.order(price=P, contracts=D("1.5")))
        one = (VenueRejected, VenueRejected)
        return TradingFacts(
            credentials={
                "hmac": Credentials(KEY, secret=SECRET),
                "ed25519": Credentials(KEY, private_key_pem=ED25519_PEM),
                "rsa": Credentials(KEY, private_key_pem=rsa_pem()),
            },
            refused_credentials=(Credentials(KEY, private_key_pem="-----BEGIN PRIVATE KEY-----"),),
            symbol=self.symbol,
            client_id=ID,
            order=self.order(price=D("80000.0")),
            current=current,
            amend=AmendOrder(symbol=self.symbol, client_id=ID, price=D("79999.90")),
            calls=self.calls(),
            vectors=(
                SigningVector(payload="a=1", signature=signed("a=1")),
                SigningVector(payload="a=1", signature=ed25519("a=1"), kind="ed25519"),
            ),
            refused_orders=tuple(refused),
            not_found=(RefusalSample(body=refusal("-2013"), read=one[0], write=one[1]),),
            not_open=(RefusalSample(body=refusal("-2011"), read=one[0], write=one[1]),),
            duplicate=(RefusalSample(body=refusal("-4116", "ClientOrderId is duplicated"), read=one[0], write=one[1]),),
            session=self.session(),
            events=self.events(),
        )

    # ------------------------------------------------------------ all of it

    def facts(self) -> DriverFacts:
        topic = f"{self.name.lower()}@aggTrade"
        codes = SHARED | (COINM_ONLY if self.coin else {})
        return DriverFacts(
            limits={
                "REQUEST_WEIGHT/60s": (2_400, 60.0),
                "ORDERS/10s": (300, 10.0),
                "ORDERS/60s": (1_200, 60.0),
                "FUNDING/300s": (500, 300.0),
            },
            instruments=(self.list(),),
            symbols=self.symbols(),
            instrument=self.instrument(),
            skipped=frozenset({"NOSUCHNAME"}),
            streams=self.streams(),
            refused_topics=(
                Topic(TopicKind.CANDLES, self.symbol, interval="1s"),
                Topic(TopicKind.PARTIAL_BOOK, self.symbol, depth=7),
                Topic(TopicKind.BOOK, self.symbol, speed_ms=1000),
                Topic(TopicKind.BOOK, self.symbol, depth=50),
                Topic(TopicKind.MARK_PRICE, self.symbol, speed_ms=100),
                Topic(TopicKind.AGG_TRADES, Symbol("BTC", "USDT")),
            ),
            subscribed=((topic,), 7, f'{{"method":"SUBSCRIBE","params":["{topic}"],"id":7}}'.encode()),
            unsubscribed=((topic,), 8, f'{{"method":"UNSUBSCRIBE","params":["{topic}"],"id":8}}'.encode()),
            acks=((b'{"result":null,"id":7}', Ack(7)),),
            refused=(
                RefusedFrame(
                    frame=b'{"error":{"code":2,"msg":"Invalid request"},"id":7}', request_id=7, error=VenueRejected
                ),
                RefusedFrame(
                    frame=b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":7}', request_id=7, error=RateLimited
                ),
            ),
            endings=(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1762000000000}}',),
            unknown_noise=(b'{"e":"moonrise"}', b'{"result":null}'),
            questions=self.questions(),
            refused_queries=(
                CandlesQuery(self.symbol, "1s"),
                CandlesQuery(self.symbol, "1m", limit=1501),
                AggTradesQuery(self.symbol, 1, start_ns=1),
                DepthQuery(self.symbol, 1001),
                FundingRatesQuery(self.symbol, limit=1001),
            ),
            codes={str(code): kinds for code, kinds in codes.items()},
            code_body=refusal,
            refusals=REFUSALS,
            used=(
                (
                    {"x-mbx-used-weight-1m": "321", "x-mbx-order-count-10s": "12"},
                    {"REQUEST_WEIGHT/60s": 321, "ORDERS/10s": 12},
                ),
            ),
            book=BookFacts(symbol=self.symbol, following=following),
            trading=self.trading(),
        )


USDM, COINM = Product(coin=False).facts(), Product(coin=True).facts()
