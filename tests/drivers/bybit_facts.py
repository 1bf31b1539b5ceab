"""What Bybit says and means for spot, linear and inverse, as samples from its documents: what its drivers are compared with.

Source: the venue's own V5 API documentation of 2026-07, read 2026-11; the shapes are its, the numbers are made up. Prices are
80,000 throughout, so that 1,000 contracts of an inverse contract are 0.0125 of the base asset.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from random import Random
from typing import Any

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
from connector.domain.facts import BalanceReport, OrderReport, PositionReport
from connector.domain.instruments import (
    AmountFilter,
    Instrument,
    InstrumentStatus,
    NotionalFilter,
    OtherFilter,
    PriceFilter,
)
from connector.domain.market import (
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
    Misconfigured,
    NotConnected,
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
AT = RECEIVED_NS
MS = 1_000_000
T = 1_762_000_000_100
START, END = 1_761_999_900_000, 1_761_999_959_999
NEXT = 1_762_012_800_000
KEY, SECRET = "XXXXXXXXXXXXXXXXXX", "bybit-secret-0001"
ID, VENUE_ID = "acme-000042", "1523347543495541248"
P = D(80000)

SYMBOLS = {
    "spot": Symbol("BTC", "USDT"),
    "linear": Symbol("BTC", "USDT", "USDT"),
    "inverse": Symbol("BTC", "USD", "BTC"),
}
SIZES = {"spot": "0.5", "linear": "0.5", "inverse": "1000.0"}
PARTS = {"spot": "0.2", "linear": "0.2", "inverse": "400.0"}


def wire(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def signed(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def rsa_pem() -> str:
    """A key made for this run; it opens nothing."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def answer(result: object, code: int = 0, text: str = "OK") -> bytes:
    return wire({"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": T})


def refusal(code: str, text: str = "said the venue") -> bytes:
    return answer({}, int(code), text)


REJECTED = (VenueRejected, VenueRejected)
_UNKNOWN = (10000, 10014, 10016, 170001, 170007, 170032, 170146, 170147, 170149, 170150, 170234, 170310, 170311)
_KEYS = (-2015, 10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, 33004)
_REFUSED = (
    *(10001, 10029, 110132, 170209, 170348, 110001, 170213, 170143, 110008, 110010, 170139, 170142, 170190, 110079),
    *(170212, 170191, 30035, 40004, 110072, 170141, 110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051),
    *(110052, 110053, 170131, 170033, 110003, 110120, 110121, 30208, 30209, 170132, 170133, 170192, 170193, 170194),
    *(170371, 170372, 110017, 110094, 170140, 170134, 170137, 170148, 170124, 170136, 170341, 170381, 170382, 110009),
    *(110020, 110061, 170810, 110022, 110023, 110042, 30228, 110024, 110028, 110029, 110013, 110090, 110086, 110025),
    *(110026, 110027, 110043, 34040, 20001, 110063, 110066, 110074, 170151, 110095, 110098, 110099, 110103, 170159),
    *(170206, 170217, 110119, 170355, 181017, 10404, 3400045),
)
CODES: dict[str, Any] = {
    **dict.fromkeys(map(str, _UNKNOWN), (VenueUnavailable, OutcomeUnknown)),
    **dict.fromkeys(("429", "10429", "170005", "170222", "20003"), (RateLimited, OutcomeUnknown)),
    **dict.fromkeys(("10006", "10403"), (RateLimited, RateLimited)),
    "10018": (Banned, Banned),
    **dict.fromkeys(("10002", "-1"), (ClockRejected, ClockRejected)),
    "10019": (NotConnected, NotConnected),
    "20006": (VenueRejected, OutcomeUnknown),
    **dict.fromkeys(map(str, _KEYS), (AuthenticationFailed, AuthenticationFailed)),
    **dict.fromkeys(("10028", "100028", "10017"), (Misconfigured, Misconfigured)),
    **dict.fromkeys(map(str, _REFUSED), REJECTED),
}
REFUSALS = (
    RefusalSample(body=refusal("10001"), status=200, code="10001", read=VenueRejected, write=VenueRejected),
    RefusalSample(
        body=refusal("10006"),
        status=200,
        code="10006",
        headers={"x-bapi-limit-reset-timestamp": str(T + 750)},
        retry_after_s=0.75,
        read=RateLimited,
        write=RateLimited,
    ),
    RefusalSample(body=b"access too frequent", status=403, retry_after_s=600.0, read=Banned, write=Banned),
    RefusalSample(body=b"blocked in your country", status=403, read=Misconfigured, write=Misconfigured),
    RefusalSample(body=b"", status=401, read=AuthenticationFailed, write=AuthenticationFailed),
    RefusalSample(body=b"", status=429, read=RateLimited, write=OutcomeUnknown),
    RefusalSample(body=refusal("110001"), status=503, read=VenueUnavailable, write=OutcomeUnknown),
    RefusalSample(body=b"<html>", status=200, read=VenueUnavailable, write=OutcomeUnknown),
)


def following(last: int, chance: Random) -> tuple[int, int, int | None]:
    """Every delta is one update."""
    return last + 1, last + 1, None


class Product:
    """The samples of one product."""

    def __init__(self, category: str) -> None:
        self.category = category
        self.is_spot, self.is_inverse = category == "spot", category == "inverse"
        self.venue = "bybit" if self.is_spot else f"bybit-{category}"
        self.symbol, self.name = SYMBOLS[category], "BTCUSD" if self.is_inverse else "BTCUSDT"
        self.size, self.part = SIZES[category], PARTS[category]
        self.asset = self.symbol.settle or "BTC"

    def base(self, size: str) -> Decimal:
        return D(size) / P if self.is_inverse else D(size)

    def contracts(self, size: str) -> Decimal | None:
        return D(size) if self.is_inverse else None

    # ------------------------------------------------------------ instruments

    def entry(self, symbol: str, base: str, quote: str, kind: str = "Perpetual", **other: object) -> dict[str, Any]:
        if self.is_spot:
            lot = {"basePrecision": "0.000001", "quotePrecision": "0.0000001", "minOrderAmt": "5"}
            lot |= {"maxLimitOrderQty": "83", "maxMarketOrderQty": "41.5", "postOnlyMaxLimitOrderSize": "60000"}
            told: dict[str, Any] = {"symbol": symbol, "baseCoin": base, "quoteCoin": quote, "status": "Trading"}
            return told | {"lotSizeFilter": lot, "priceFilter": {"tickSize": "0.01"}} | other
        lot = {"maxOrderQty": "1190", "maxMktOrderQty": "500", "minNotionalValue": "5"}
        lot |= {"qtyStep": "1", "minOrderQty": "1"} if self.is_inverse else {"qtyStep": "0.001", "minOrderQty": "0.001"}
        word = ("Inverse" if self.is_inverse else "Linear") + kind
        told = {"symbol": symbol, "contractType": word, "status": "Trading", "baseCoin": base, "quoteCoin": quote}
        told |= {"settleCoin": base if self.is_inverse else quote, "deliveryTime": "0", "lotSizeFilter": lot}
        return told | {"priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"}} | other

    def lists(self) -> tuple[bytes, ...]:
        usd, dated = ("USD" if self.is_inverse else "USDT"), "1798185600000"
        first = [self.entry(f"BTC{usd}", "BTC", usd), self.entry("NOSUCHNAME", "ETH", usd)]
        second = [self.entry(f"ETH{usd}", "ETH", usd, status="Settling" if not self.is_spot else "Halted")]
        if self.is_spot:
            return (answer({"list": first + second}),)
        name = "BTCUSDZ26" if self.is_inverse else "BTCUSDT-25DEC26"
        second.append(self.entry(name, "BTC", usd, "Futures", deliveryTime=dated))
        return (
            answer({"list": first, "nextPageCursor": "page%3D2"}),
            answer({"list": second, "nextPageCursor": ""}),
        )

    def symbols(self) -> dict[str, Symbol]:
        if self.is_spot:
            return {"BTCUSDT": self.symbol, "ETHUSDT": Symbol("ETH", "USDT")}
        if self.is_inverse:
            return {
                "BTCUSD": self.symbol,
                "ETHUSD": Symbol("ETH", "USD", "ETH"),
                "BTCUSDZ26": Symbol("BTC", "USD", "BTC", "261225"),
            }
        return {
            "BTCUSDT": self.symbol,
            "ETHUSDT": Symbol("ETH", "USDT", "USDT"),
            "BTCUSDT-25DEC26": Symbol("BTC", "USDT", "USDT", "261225"),
        }

    def instrument(self) -> Instrument:
        if self.is_spot:
            filters: Any = (
                PriceFilter(None, None, D("0.01")),
                AmountFilter(None, D(83), D("0.000001")),
                AmountFilter(None, D("41.5"), None, market_only=True),
                NotionalFilter(D(5), None, True, False),
                OtherFilter("postOnlyMaxLimitOrderSize", "60000"),
            )
        else:
            step = D(1) if self.is_inverse else D("0.001")
            filters = (
                PriceFilter(D("0.10"), D("1999999.80"), D("0.10")),
                AmountFilter(step, D(1190), step),
                AmountFilter(None, D(500), None, market_only=True),
                NotionalFilter(D(5), None, True, False),
            )
        return Instrument(
            venue=self.venue,
            symbol=self.symbol,
            venue_name=self.name,
            status=InstrumentStatus.TRADING,
            status_text="Trading",
            base_decimals=6 if self.is_spot else 8 if self.is_inverse else 3,
            quote_decimals=7 if self.is_spot else 8,
            order_types=("Limit", "Market"),
            filters=filters,
            permissions=() if self.is_spot else (f"{self.category.title()}Perpetual",),
        )

    # ------------------------------------------------------------ market

    def trade(self) -> Trade:
        size = self.contracts(self.size)
        found = ("7d0c1a52", P, self.base(self.size), Side.BUY, False, size, 1783284617)
        return Trade(self.venue, self.symbol, T * MS, AT, *found)

    def candle(self, event_time_ns: int | None, closed: bool) -> Candle:
        amounts = (D("1000000.5"), D("12.5")) if self.is_inverse else (D("12.5"), D("1000000.5"))
        prices = (D(80000), D(80010), D(79990), D("80002.1"))
        times = (START * MS, END * MS)
        return Candle(self.venue, self.symbol, event_time_ns, AT, "1m", *times, *prices, amounts[0], closed, amounts[1])

    def statistics(self) -> dict[str, Any]:
        told = {"symbol": self.name, "lastPrice": "80000.0", "prevPrice24h": "79000.0", "highPrice24h": "81000.0"}
        told |= {"lowPrice24h": "78000.0", "volume24h": "123.5", "turnover24h": "9876543.25", "price24hPcnt": "0.0125"}
        if self.is_spot:
            return told
        told |= {"markPrice": "80001.5", "indexPrice": "80002.5", "fundingRate": "-0.0002"}
        return told | {"nextFundingTime": str(NEXT), "openInterest": "2000.5", "singleOpenInterest": "1000.0"}

    def best(self) -> dict[str, str]:
        return {"bid1Price": "80000.0", "bid1Size": self.size, "ask1Price": "80000.0", "ask1Size": self.part}

    def ticker(self, *, best: bool) -> Ticker:
        held = (P, self.base(self.size), P, self.base(self.part)) if best else (None, None, None, None)
        volumes = (D("123.5"), D("9876543.25"))
        volumes = volumes[::-1] if self.is_inverse else volumes
        more: Any = {} if self.is_spot else {"mark": D("80001.5"), "index": D("80002.5")}
        more |= {} if self.is_spot else {"funding_rate": D("-0.0002"), "next_funding_ns": NEXT * MS}
        prices = (D(79000), D(81000), D(78000))
        change = D("1.25")
        return Ticker(
            self.venue, self.symbol, T * MS, AT, P, *held, *prices, *volumes, price_change_percent=change, **more
        )

    def stream(self, kind: TopicKind, name: str, *told: tuple[dict[str, Any], object], **options: Any) -> StreamSample:
        name = f"{name}.{self.name}"
        return StreamSample(
            topic=Topic(kind, self.symbol, **options),
            name=name,
            frames=tuple(wire({"topic": name, **each}) for each, _ in told),
            events=tuple(event for _, event in told if event is not None),  # type: ignore[misc]
        )

    def streams(self) -> tuple[StreamSample, ...]:
        row = {"T": T, "s": self.name, "S": "Buy", "v": self.size, "p": "80000.0", "L": "PlusTick", "i": "7d0c1a52"}
        row |= {"BT": False, "RPI": False, "seq": 1783284617}
        k = {"start": START, "end": END, "interval": "1", "open": "80000.0", "close": "80002.1", "high": "80010.0"}
        k |= {"low": "79990.0", "volume": "12.5", "turnover": "1000000.5", "confirm": False, "timestamp": T}
        if self.is_inverse:
            k |= {"volume": "12.5", "turnover": "1000000.5"}
        changed = self.ticker(best=not self.is_spot)
        ticks: list[Any] = [
            ({"type": "snapshot", "data": self.statistics() | ({} if self.is_spot else self.best()), "ts": T}, changed)
        ]
        data = {"s": self.name, "b": [["80000.0", self.size]], "a": [["160000.0", self.size]], "u": 500, "seq": 7}
        half = self.base(self.size) / 2 if self.is_inverse else D(self.size)
        whole = OrderBook(self.venue, self.symbol, T * MS, AT, 500, ((P, self.base(self.size)),), ((D(160000), half),))
        delta = BookDelta(self.venue, self.symbol, T * MS, AT, 501, 501, ((P, D(0)),), ())
        found = [
            self.stream(TopicKind.TRADES, "publicTrade", ({"type": "snapshot", "ts": T, "data": [row]}, self.trade())),
            self.stream(
                TopicKind.CANDLES,
                "kline.1",
                ({"data": [k], "ts": T, "type": "snapshot"}, self.candle(T * MS, False)),
                interval="1m",
            ),
            self.stream(TopicKind.TICKER, "tickers", *ticks),
            self.stream(
                TopicKind.BOOK_TICKER,
                "orderbook.1",
                (
                    {"type": "snapshot", "ts": T + 1, "data": data, "cts": T},
                    BookTicker(self.venue, self.symbol, T * MS, AT, P, self.base(self.size), D(160000), half, 500),
                ),
            ),
            self.stream(
                TopicKind.BOOK,
                "orderbook.1000",
                ({"type": "snapshot", "ts": T + 1, "data": data, "cts": T}, whole),
                (
                    {
                        "type": "delta",
                        "ts": T + 1,
                        "data": {"s": self.name, "b": [["80000.0", "0.0"]], "a": [], "u": 501, "seq": 8},
                        "cts": T,
                    },
                    delta,
                ),
            ),
        ]
        if not self.is_spot:
            row = {"T": T, "s": self.name, "S": "Buy", "v": self.size, "p": "80000.0"}
            event = (Side.SELL, P, self.base(self.size), self.contracts(self.size))
            found.append(
                self.stream(
                    TopicKind.LIQUIDATIONS,
                    "allLiquidation",
                    (
                        {"type": "snapshot", "ts": T, "data": [row]},
                        Liquidation(self.venue, self.symbol, T * MS, AT, *event),
                    ),
                )
            )
        return tuple(found)

    # ------------------------------------------------------------ questions

    def asked(self, query: Any, request: str, result: object, value: object) -> AnswerSample:
        return AnswerSample(query=query, request=f"GET /v5/market/{request}", bodies=(answer(result),), answer=value)

    def questions(self) -> tuple[AnswerSample, ...]:
        named = f"category={self.category}&symbol={self.name}"
        row = {"execId": "7d0c1a52", "symbol": self.name, "price": "80000.0", "size": self.size, "side": "Buy"}
        row |= {"time": str(T), "isBlockTrade": False, "seq": "1783284617"}
        kline = [str(START), "80000.0", "80010.0", "79990.0", "80002.1", "12.5", "1000000.5"]
        half = self.base(self.size) / 2 if self.is_inverse else D(self.size)
        depth = {"s": self.name, "b": [["80000.0", self.size]], "a": [["160000.0", self.size]], "u": 500, "ts": T}
        told = self.statistics() | self.best()
        tickers = {"category": self.category, "list": [told]}
        other = told | {"symbol": "NOSUCH"}
        spots = "" if self.is_spot else "&limit=1000"
        found = [
            self.asked(ServerTimeQuery(), "time", {"timeSecond": str(T // 1000), "timeNano": str(T * MS)}, T * MS),
            AnswerSample(
                query=InstrumentsQuery(),
                request=f"GET /v5/market/instruments-info?category={self.category}{spots}",
                bodies=self.lists(),
                answer=None,
            ),
            self.asked(
                CandlesQuery(self.symbol, "1m", START * MS, END * MS, 10),
                f"kline?{named}&interval=1&start={START}&end={END}&limit=10",
                {"symbol": self.name, "list": [kline]},
                (self.candle(None, True),),
            ),
            self.asked(
                RecentTradesQuery(self.symbol, 7), f"recent-trade?{named}&limit=7", {"list": [row]}, (self.trade(),)
            ),
            self.asked(
                DepthQuery(self.symbol, 50),
                f"orderbook?{named}&limit=50",
                depth,
                OrderBook(self.venue, self.symbol, T * MS, AT, 500, ((P, self.base(self.size)),), ((D(160000), half),)),
            ),
            self.asked(TickersQuery((self.symbol,)), f"tickers?{named}", tickers, (self.ticker(best=True),)),
            self.asked(
                BookTickersQuery(),
                f"tickers?category={self.category}",
                {"list": [told, other]},
                (BookTicker(self.venue, self.symbol, T * MS, AT, P, self.base(self.size), P, self.base(self.part)),),
            ),
            self.asked(
                PricesQuery((self.symbol,)),
                f"tickers?{named}",
                tickers,
                (Price(self.venue, self.symbol, T * MS, AT, P),),
            ),
        ]
        if self.is_spot:
            return tuple(found)
        mark = (D("80001.5"), D("80002.5"), D("-0.0002"), NEXT * MS)
        rate = {"symbol": self.name, "fundingRate": "-0.0002", "fundingRateTimestamp": str(T)}
        return (
            *found,
            self.asked(
                MarkPricesQuery((self.symbol,)),
                f"tickers?{named}",
                tickers,
                (MarkPrice(self.venue, self.symbol, T * MS, AT, *mark),),
            ),
            self.asked(
                FundingRatesQuery(self.symbol, limit=1),
                f"funding/history?{named}&limit=1",
                {"list": [rate]},
                (FundingRate(self.venue, self.symbol, T * MS, AT, D("-0.0002")),),
            ),
            self.asked(
                OpenInterestQuery(self.symbol),
                f"tickers?{named}",
                {"list": [told | ({"markPrice": "80000.0"} if self.is_inverse else {})]},
                OpenInterest(self.venue, self.symbol, T * MS, AT, self.base("1000"), self.contracts("1000")),
            ),
        )

    # ------------------------------------------------------------ orders

    def row(self, status: str, filled: str = "0.0", **more: object) -> dict[str, Any]:
        worth = "0.0"
        if D(filled):
            worth = str(D(filled) / P if self.is_inverse else D(filled) * P)
        told = {"symbol": self.name, "orderId": VENUE_ID, "orderLinkId": ID, "side": "Buy", "orderType": "Limit"}
        told |= {"price": "80000.0", "qty": self.size, "timeInForce": "GTC", "orderStatus": status, "positionIdx": 0}
        told |= {"cumExecQty": filled, "cumExecValue": worth, "avgPrice": "80000.0" if D(filled) else ""}
        told |= {"cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "stopOrderType": "", "triggerPrice": ""}
        told |= {"reduceOnly": False, "createdTime": str(T - 9), "updatedTime": str(T), "createType": "CreateByUser"}
        return told | {"category": self.category, "leavesQty": "0.0"} | more

    def report(self, status: OrderStatus | None, text: str, filled: str = "0", **more: Any) -> OrderReport:
        worth = D(filled) if self.is_inverse else D(filled) * P
        fields: dict[str, Any] = {"type": OrderType.LIMIT, "type_text": "Limit", "price": P}
        fields |= {"contracts": self.contracts(self.size), "filled_contracts": self.contracts(filled)}
        return OrderReport(
            venue=self.venue,
            symbol=self.symbol,
            event_time_ns=T * MS,
            received_ns=AT,
            client_id=ID,
            venue_id=VENUE_ID,
            side=Side.BUY,
            time_in_force=more.pop("time_in_force", TimeInForce.GTC),
            status=status,
            status_text=text,
            quantity=self.base(self.size),
            filled=self.base(filled),
            quote_filled=worth,
            **(fields | more),
        )

    def execution(self) -> dict[str, Any]:
        told = {"symbol": self.name, "orderId": VENUE_ID, "orderLinkId": ID, "execId": "e-900777", "side": "Buy"}
        told |= {"execType": "Trade", "execTime": str(T), "execPrice": "80000.0", "execQty": self.part}
        told |= {"execFee": "0.00002", "feeCurrency": self.asset, "isMaker": True, "leavesQty": "0.0"}
        return told | ({} if self.is_spot else {"execPnl": "-0.5"}) | {"category": self.category}

    def fill(self) -> Fill:
        return Fill(
            venue=self.venue,
            symbol=self.symbol,
            event_time_ns=T * MS,
            received_ns=AT,
            trade_id="e-900777",
            client_id=ID,
            venue_id=VENUE_ID,
            side=Side.BUY,
            price=P,
            quantity=self.base(self.part),
            fee=D("0.00002"),
            fee_asset=self.asset,
            is_maker=True,
            contracts=self.contracts(self.part),
            realized=None if self.is_spot else D("-0.5"),
        )

    def wallet(self) -> list[Any]:
        coins = [{"coin": "BTC", "walletBalance": "1.25", "locked": "0.25"}]
        return [{"accountType": "UNIFIED", "totalEquity": "1.0", "coin": coins}]

    def held(self) -> tuple[Any, ...]:
        return (("BTC", D(1), D("0.25")),) if self.is_spot else (("BTC", D("1.25"), D(0)),)

    def position_row(self, **names: str) -> dict[str, Any]:
        told = {"symbol": self.name, "side": "Sell", "size": self.part, "positionIdx": 0, "leverage": "5.0"}
        told |= {"markPrice": "80001.5", "liqPrice": "99000.5", "unrealisedPnl": "-1.25", "updatedTime": str(T)}
        return told | {"seq": 12, "category": self.category} | names

    def position(self) -> Position:
        return Position(
            self.venue,
            self.symbol,
            T * MS,
            AT,
            PositionSide.NET,
            -self.base(self.part),
            P,
            unrealized=D("-1.25"),
            liquidation_price=D("99000.5"),
            leverage=D(5),
            contracts=-D(self.part) if self.is_inverse else None,
            mark_price=D("80001.5"),
            sequence=12,
        )

    def order(self, kind: OrderType = OrderType.LIMIT, **fields: Any) -> PlaceOrder:
        amount: Any = {"contracts": D(1000)} if self.is_inverse else {"quantity": D("0.5")}
        return PlaceOrder(**({"symbol": self.symbol, "side": Side.BUY, "type": kind} | amount | fields))

    def headers(self, payload: str) -> dict[str, str]:
        return {
            "X-BAPI-API-KEY": KEY,
            "X-BAPI-TIMESTAMP": str(NOW_MS),
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": signed(f"{NOW_MS}{KEY}5000{payload}"),
        }

    def posted(self, what: str, path: str, payload: str, result: object = None, **more: Any) -> CallSample:
        return CallSample(
            what=what,
            request=f"POST /v5/{path}",
            says=(payload.encode(),),
            headers=self.headers(payload),
            answer=b"" if result is None else answer(result),
            **more,
        )

    def got(self, what: str, path: str, query: str, result: object = None, **more: Any) -> CallSample:
        return CallSample(
            what=what,
            request=f"GET /v5/{path}",
            says=(f"/v5/{path}?{query}\n".encode(),),
            headers=self.headers(query),
            answer=b"" if result is None else answer(result),
            **more,
        )

    def placed(self) -> str:
        qty = "1000" if self.is_inverse else "0.5"
        end = ',"orderFilter":"Order"}' if self.is_spot else "}"
        return (
            f'{{"category":"{self.category}","symbol":"{self.name}","side":"Buy","orderType":"Limit","qty":"{qty}",'
            f'"price":"80000.0","timeInForce":"GTC","orderLinkId":"{ID}"{end}'
        )

    def cancelled(self) -> str:
        end = ',"orderFilter":"Order"}' if self.is_spot else "}"
        return f'{{"category":"{self.category}","symbol":"{self.name}","orderLinkId":"{ID}"{end}'

    def amended(self) -> str:
        price = "79999.9" if not self.is_spot else "79999.90"
        return f'{{"category":"{self.category}","symbol":"{self.name}","orderLinkId":"{ID}","price":"{price}"}}'

    def calls(self) -> tuple[CallSample, ...]:
        named = f"category={self.category}&symbol={self.name}"
        receipt = {"orderId": VENUE_ID, "orderLinkId": ID}
        new = self.report(OrderStatus.NEW, "New")
        cut = self.report(OrderStatus.CANCELED, "Cancelled", self.part, reason="EC_PerCancelRequest")
        cut_row = self.row("Cancelled", self.part, cancelType="CancelByUser", rejectReason="EC_PerCancelRequest")
        week = f"startTime=1761990000000&endTime={1761990000000 + 7 * 86_400_000 - 1}"
        whole = "&settleCoin=USDT" if self.category == "linear" else ""
        conditional: dict[str, Any] = {"stop_price": D("81000.0")}
        direction = b'"triggerDirection":1' if not self.is_spot else b'"orderFilter":"tpslOrder"'
        found = [
            self.posted("place", "order/create", self.placed(), receipt, expected=PlaceAnswer(None, (), VENUE_ID)),
            CallSample(
                what="place",
                request="POST /v5/order/create",
                says=(b'"orderType":"Market"', b'"triggerPrice":"81000.0"', direction),
                command=self.order(OrderType.STOP, **conditional),
            ),
            self.posted("cancel", "order/cancel", self.cancelled(), receipt, expected=CancelAnswer(None)),
            self.posted("amend", "order/amend", self.amended(), receipt, expected=None),
            self.got(
                "order",
                "order/realtime",
                f"{named}&orderLinkId={ID}&limit=50",
                {"list": [self.row("New")]},
                expected=new,
            ),
            self.got("order by venue id", "order/realtime", f"{named}&orderId={VENUE_ID}&limit=50"),
            self.got(
                "open orders",
                "order/realtime",
                f"{named}&openOnly=0&limit=50",
                {"list": [self.row("New")], "nextPageCursor": "page%3D2"},
                expected=(new,),
                follows=True,
            ),
            self.got(
                "all open orders",
                "order/realtime",
                f"category={self.category}{whole}&openOnly=0&limit=50",
                {"list": [self.row("New"), self.row("New", symbol="NOSUCH")], "nextPageCursor": ""},
                expected=(new,),
                follows=self.category == "linear",
            ),
            self.got(
                "fills",
                "execution/list",
                f"{named}&limit=100",
                {"list": [self.execution()], "nextPageCursor": ""},
                expected=(self.fill(),),
            ),
            self.got("fills from a time", "execution/list", f"{named}&{week}&limit=100"),
            self.got("fills of an order", "execution/list", f"{named}&orderId={VENUE_ID}&limit=100"),
            self.got(
                "orders since",
                "order/history",
                f"{named}&{week}&limit=50",
                {"list": [cut_row], "nextPageCursor": ""},
                expected=(cut,),
                follows=True,
            ),
            self.got(
                "balances",
                "account/wallet-balance",
                "accountType=UNIFIED",
                {"list": self.wallet()},
                expected=BalanceReport(self.venue, T * MS, AT, self.held(), True),
            ),
        ]
        return (*found, *([] if self.is_spot else self.contract_calls(named)))

    def contract_calls(self, named: str) -> list[CallSample]:
        end = 1761990000000 + 7 * 86_400_000 - 1
        log = {"symbol": self.name, "category": self.category, "side": "Buy", "transactionTime": str(T)}
        log |= {"type": "SETTLEMENT", "funding": "-0.157", "currency": self.asset, "id": "592324", "tradeId": "f-31"}
        coin = "settleCoin=USDT&" if self.category == "linear" else ""
        report = PositionReport(self.venue, T * MS, AT, (self.position(),), True)
        paid = FundingPayment(self.venue, self.symbol, T * MS, AT, "f-31", self.asset, D("-0.157"))
        calls = [
            self.got(
                "positions",
                "position/list",
                f"category={self.category}&{coin}limit=200",
                {"list": [self.position_row(avgPrice="80000.0")], "nextPageCursor": ""},
                expected=report,
            ),
            self.got(
                "funding",
                "account/transaction-log",
                f"category={self.category}&accountType=UNIFIED&type=SETTLEMENT&startTime=1761990000000&endTime={end}&limit=50",
                {"list": [log], "nextPageCursor": ""},
                expected=(paid,),
            ),
            self.posted(
                "leverage",
                "position/set-leverage",
                f'{{"category":"{self.category}","symbol":"{self.name}","buyLeverage":"5","sellLeverage":"5"}}',
                {},
                command=SetLeverage(symbol=self.symbol, leverage=D(5)),
            ),
            self.posted(
                "margin mode",
                "account/set-margin-mode",
                '{"setMarginMode":"ISOLATED_MARGIN"}',
                {"reasons": []},
                command=SetMarginMode(mode=MarginMode.ISOLATED),
            ),
        ]
        if self.is_inverse:
            return calls
        payload = '{"category":"linear","symbol":"BTCUSDT","mode":0}'
        mode = SetPositionMode(mode=PositionMode.ONE_WAY, symbol=self.symbol)
        return [*calls, self.posted("position mode", "position/switch-mode", payload, {}, command=mode)]

    # ------------------------------------------------------------ private connections

    def session(self) -> PrivateFacts:
        header = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "Timenow": str(T)}

        def reply(op: str, code: int = 0, **more: object) -> bytes:
            told = {"reqId": "c7", "retCode": code, "retMsg": "OK", "op": op, "data": {}, "retExtInfo": {}}
            return wire(told | {"header": header, "connId": "x"} | more)

        login = {"op": "auth", "connId": "x"}
        receipt = {"orderId": VENUE_ID, "orderLinkId": ID}
        return PrivateFacts(
            url="wss://stream.bybit.com/v5/trade",
            environment=Environment.LIVE,
            opening=(
                OpeningSample(
                    says=(b'"reqId":"c1"', signed(f"GET/realtime{NOW_MS + 10_000}").encode()),
                    accepted=wire(login | {"reqId": "c1", "retCode": 0, "retMsg": "OK"}),
                    refused=((wire(login | {"reqId": "c1", "retCode": 10003, "retMsg": "key"}), AuthenticationFailed),),
                ),
            ),
            calls=(
                SessionSample(
                    what="place",
                    says=(b'"op":"order.create"', f'"args":[{self.placed()}]'.encode()),
                    reply=reply("order.create", data=receipt),
                    expected=PlaceAnswer(None, (), VENUE_ID),
                ),
                SessionSample(
                    what="place",
                    says=(f'"X-BAPI-TIMESTAMP":"{NOW_MS}"'.encode(),),
                    reply=reply("order.create", 110007),
                    expected=VenueRejected,
                ),
                SessionSample(what="place", says=(), reply=reply("order.create", 10016), expected=OutcomeUnknown),
                SessionSample(
                    what="cancel",
                    says=(b'"op":"order.cancel"', self.cancelled().encode()),
                    reply=reply("order.cancel", data=receipt),
                    expected=CancelAnswer(None),
                ),
                SessionSample(
                    what="amend",
                    says=(b'"op":"order.amend"', self.amended().encode()),
                    reply=reply("order.amend", data=receipt),
                    expected=None,
                ),
            ),
            probe_reply=b'{"reqId":"c9","retCode":0,"retMsg":"OK","op":"pong","data":["1672916271846"],"connId":"x"}',
            endings=(b'{"reqId":"","retCode":10019,"retMsg":"ws trade service is restarting","op":""}',),
            unknown_noise=(b"{}", b'{"moon":"full"}'),
        )

    def events(self) -> PrivateFacts:
        def event(kind: str, *rows: object) -> bytes:
            return wire({"id": "x", "topic": kind, "creationTime": T, "data": rows})

        def told(kind: str, row: dict[str, Any], *facts: object) -> EventSample:
            return EventSample(frame=event(kind, row), facts=facts)  # type: ignore[arg-type]

        def opened(number: int, topics: str) -> OpeningSample:
            said = f'{{"req_id":"c{number}","op":"subscribe","args":[{topics}]}}'.encode()
            good = {"success": True, "ret_msg": "", "conn_id": "x", "req_id": f"c{number}", "op": "subscribe"}
            return OpeningSample(says=(said,), accepted=wire(good))

        login = {"conn_id": "x", "req_id": "c1", "op": "auth"}
        kinds = ["order", "execution"] if self.is_spot else ["order", "execution", "position"]
        part, size = self.part, self.size
        samples = [
            told("order", self.row("New"), self.report(OrderStatus.NEW, "New")),
            told(
                "order",
                self.row("PartiallyFilled", part),
                self.report(OrderStatus.PARTIALLY_FILLED, "PartiallyFilled", part),
            ),
            told("order", self.row("Filled", size), self.report(OrderStatus.FILLED, "Filled", size)),
            told(
                "order",
                self.row("Cancelled", cancelType="CancelByUser", rejectReason="EC_PerCancelRequest"),
                self.report(OrderStatus.CANCELED, "Cancelled", reason="EC_PerCancelRequest"),
            ),
            told(
                "order",
                self.row("Cancelled", rejectReason="EC_NoImmediateQtyToFill", timeInForce="IOC"),
                self.report(
                    OrderStatus.EXPIRED, "Cancelled", reason="EC_NoImmediateQtyToFill", time_in_force=TimeInForce.IOC
                ),
            ),
            told(
                "order",
                self.row("Rejected", rejectReason="EC_Others"),
                self.report(OrderStatus.REJECTED, "Rejected", reason="EC_Others"),
            ),
            told("execution", self.execution(), self.fill()),
            told("wallet", self.wallet()[0], BalanceReport(self.venue, T * MS, AT, self.held(), False)),
        ]
        if not self.is_spot:
            row = self.position_row(entryPrice="80000.0")
            samples.append(told("position", row, PositionReport(self.venue, T * MS, AT, (self.position(),), False)))
            funding = self.execution() | {"execType": "Funding", "execFee": "0.157", "execId": "f-31"}
            paid = FundingPayment(self.venue, self.symbol, T * MS, AT, "f-31", self.asset, D("-0.157"))
            samples.append(told("execution", funding, paid))
        return PrivateFacts(
            url="wss://stream.bybit.com/v5/private",
            environment=Environment.LIVE,
            opening=(
                OpeningSample(
                    says=(b'"req_id":"c1"', signed(f"GET/realtime{NOW_MS + 10_000}").encode()),
                    accepted=wire(login | {"success": True, "ret_msg": ""}),
                    refused=((wire(login | {"success": False, "ret_msg": "bad key"}), AuthenticationFailed),),
                ),
                opened(2, ",".join(f'"{kind}.{self.category}"' for kind in kinds)),
                opened(3, '"wallet"'),
            ),
            events=tuple(samples),
            probe_reply=b'{"req_id":"c9","op":"pong","args":["1675418560633"],"conn_id":"x"}',
            unknown_noise=(b"{}", b'{"topic":"moon","data":[]}'),
        )

    def trading(self) -> TradingFacts:
        current = Order(
            self.venue,
            self.symbol,
            T * MS,
            AT,
            ID,
            VENUE_ID,
            Side.BUY,
            OrderType.LIMIT,
            TimeInForce.GTC,
            OrderStatus.NEW,
            "New",
            self.base(self.size),
            D(0),
            P,
            contracts=self.contracts(self.size),
            filled_contracts=self.contracts("0"),
            in_contracts=self.is_inverse,
        )
        price = D("79999.90") if self.is_spot else D("79999.9")
        refused = [self.order(time_in_force=TimeInForce.GTC, price=P, stop_price=P), self.order(price=P, test=True)]
        if self.is_spot:
            refused += [self.order(price=P, reduce_only=True), self.order(price=P, trigger_by=TriggerPrice.MARK)]
        elif self.is_inverse:
            refused.append(self.order(price=P, contracts=None, quantity=D("0.01251")))
        return TradingFacts(
            credentials={
                "hmac": Credentials(KEY, secret=SECRET),
                "rsa": Credentials(KEY, private_key_pem=rsa_pem()),
            },
            refused_credentials=(Credentials(KEY, private_key_pem="-----BEGIN PRIVATE KEY-----"),),
            symbol=self.symbol,
            client_id=ID,
            order=self.order(price=D("80000.0")),
            current=current,
            amend=AmendOrder(symbol=self.symbol, client_id=ID, price=price),
            calls=self.calls(),
            vectors=(SigningVector(payload="GET/realtime1", signature=signed("GET/realtime1")),),
            refused_orders=tuple(refused),
            not_found=(
                RefusalSample(body=answer({"list": []}), status=200, read=VenueRejected, write=VenueRejected),
                RefusalSample(body=refusal("110001"), status=200, read=VenueRejected, write=VenueRejected),
            ),
            not_open=(RefusalSample(body=refusal("170213"), status=200, read=VenueRejected, write=VenueRejected),),
            session=self.session(),
            events=self.events(),
        )

    # ------------------------------------------------------------ all of it

    def limits(self) -> dict[str, tuple[int, float]]:
        """The whole venue's: its products share them."""
        account = {"account/wallet-balance": 50, "account/transaction-log": 25, "account/set-margin-mode": 5}
        questions = dict.fromkeys(("order/realtime", "order/history", "execution/list"), 50)
        spot = {"order/create": 20, "order/amend": 10, "order/cancel": 20} | questions
        contracts = {"order/create": 10, "order/amend": 10, "order/cancel": 10, "position/list": 50} | questions
        contracts |= {"position/set-leverage": 10, "position/switch-mode": 10}
        return (
            {"IP/5s": (600, 5.0)}
            | {f"{name} spot": (points, 1.0) for name, points in spot.items()}
            | {f"{name} contracts": (points, 1.0) for name, points in contracts.items()}
            | {f"{name} account": (points, 1.0) for name, points in account.items()}
        )

    def facts(self) -> DriverFacts:
        names = (f"publicTrade.{self.name}", f"orderbook.1000.{self.name}")
        args = ",".join(f'"{name}"' for name in names)
        answered = {"conn_id": "x", "req_id": "7", "op": "subscribe"}
        return DriverFacts(
            limits=self.limits(),
            instruments=self.lists(),
            symbols=self.symbols(),
            instrument=self.instrument(),
            skipped=frozenset({"NOSUCHNAME"}),
            streams=self.streams(),
            refused_topics=(
                Topic(TopicKind.CANDLES, self.symbol, interval="8h"),
                Topic(TopicKind.BOOK, self.symbol, depth=500),
                Topic(TopicKind.BOOK, self.symbol, speed_ms=100),
                Topic(TopicKind.TRADES, SYMBOLS["inverse" if self.is_spot else "spot"]),
            ),
            subscribed=(names, 7, f'{{"req_id":"7","op":"subscribe","args":[{args}]}}'.encode()),
            unsubscribed=(names, 8, f'{{"req_id":"8","op":"unsubscribe","args":[{args}]}}'.encode()),
            heartbeat=(b'{"op":"ping"}', 20.0),
            acks=(
                (wire(answered | {"success": True, "ret_msg": ""}), Ack(7)),
                (wire(answered | {"success": True, "ret_msg": "", "req_id": ""}), Ack(None)),
            ),
            refused=(
                RefusedFrame(
                    frame=wire(answered | {"success": False, "ret_msg": "error:handler not found"}),
                    request_id=7,
                    error=VenueRejected,
                ),
            ),
            known_noise=(b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',),
            unknown_noise=(b'{"op":"moonrise"}', b"{}"),
            questions=self.questions(),
            refused_queries=(
                CandlesQuery(self.symbol, "8h"),
                CandlesQuery(self.symbol, "1m", limit=1001),
                CandlesQuery(self.symbol, "1m", 2, 1),
                RecentTradesQuery(self.symbol, 1001),
                DepthQuery(self.symbol, 0),
            ),
            codes=CODES,
            code_body=refusal,
            code_status=200,
            refusals=REFUSALS,
            book=BookFacts(symbol=self.symbol, following=following),
            trading=self.trading(),
        )


SPOT, LINEAR, INVERSE = (Product(category).facts() for category in ("spot", "linear", "inverse"))
