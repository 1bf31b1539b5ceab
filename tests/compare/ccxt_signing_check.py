"""Compare the signed requests of the Binance driver with those ccxt signs for the same intent: the same method, path, headers
and parameters, and the same signature over the same text, for HMAC, Ed25519 and RSA keys, over REST and the WebSocket API.

Not a test: needs `ccxt` (checked with 4.5.90), which the project does not depend on. Sends nothing: ccxt's `fetch` is cut off
and records what it would have sent. Prints a line per comparison; the exit status is 1 when one does not hold.

    python tests/compare/ccxt_signing_check.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt
import ccxt.pro
import msgspec

from connector.domain import Instrument, InstrumentStatus, Symbol
from connector.domain.commands import AmendOrder, CancelOrder, OrderListKind, PlaceOrder, PlaceOrderList, SelfTrade
from connector.domain.credentials import Credentials
from connector.domain.market import Side
from connector.domain.orders import Order, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import HttpRequest
from connector.drivers.binance import SPOT
from connector.drivers.trading import Auth

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
NOW_MS = 1_762_000_000_123
ETH = Symbol("ETH", "USDT")
ID = "acme-000042"
TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
ENTRY = {
    "symbol": "ETHUSDT",
    "status": "TRADING",
    "baseAsset": "ETH",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": list(TYPES),
    "isSpotTradingAllowed": True,
    "permissions": [],
    "permissionSets": [["SPOT"]],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.0001", "maxQty": "9000", "stepSize": "0.0001"},
    ],
}
INSTRUMENT = Instrument("binance", ETH, "ETHUSDT", InstrumentStatus.TRADING, "TRADING", 8, 8, TYPES, ())
KNOWN = Order(
    "binance",
    ETH,
    None,
    0,
    ID,
    None,
    Side.SELL,
    OrderType.LIMIT,
    TimeInForce.GTC,
    OrderStatus.NEW,
    "NEW",
    Decimal("0.5"),
    Decimal(0),
)
NUMBERED = msgspec.structs.replace(KNOWN, venue_id="77")
FAILED: list[str] = []


class _Caught(Exception):
    """What ccxt would have sent."""


def row(name: str, problem: str) -> None:
    """Print a line; remember it when there is a problem."""
    print(f"{'FAIL' if problem else 'ok  '} {name}{': ' + problem if problem else ''}")
    if problem:
        FAILED.append(name)


def rsa_pem() -> str:
    """A fresh RSA key, as PKCS#8."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()


def prepared(kind: Any, secret: str) -> Any:
    """A ccxt client that knows one market, the time, and nobody to send to."""
    client = kind({"apiKey": KEY, "secret": secret, "enableRateLimit": False})
    client.options |= {"crossMarginPairsData": [], "isolatedMarginPairsData": []}
    client.set_markets([client.parse_market(ENTRY)], {})
    client.options["recvWindow"] = SPOT.trading.rules.recv_window_ms
    client.options["newOrderRespType"] = {}
    client.options["warnOnFetchOpenOrdersWithoutSymbol"] = False
    client.nonce = lambda: NOW_MS
    client.load_markets = lambda *_, **__: client.markets

    def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        raise _Caught(url, method, headers or {}, body or "")

    client.fetch = fetch
    return client


def order(kind: OrderType, **more: Any) -> PlaceOrder:
    """A sell of 0.5 ETH."""
    fields = {"symbol": ETH, "side": Side.SELL, "type": kind, "quantity": Decimal("0.5")} | more
    return PlaceOrder(**fields)


PRICE, STOP = Decimal("3150.5"), Decimal("3000.25")
OCO = PlaceOrderList(
    kind=OrderListKind.OCO,
    client_id="acme-list-7",
    orders=(
        order(OrderType.LIMIT_MAKER, price=PRICE),
        order(OrderType.STOP_LIMIT, price=Decimal(2999), stop_price=STOP),
    ),
)

# name, ours, what ccxt is asked for
Ask = Callable[[Any], Any]
Ours = Callable[[Auth], HttpRequest]


def placed(wanted: PlaceOrder) -> Ours:
    return lambda auth: SPOT.trading.place(wanted, ID, INSTRUMENT, auth, NOW_MS)


def created(kind: str, price: float | None = None, **params: Any) -> Ask:
    return lambda c: c.create_order("ETH/USDT", kind, "sell", 0.5, price, {"clientOrderId": ID, **params})


CASES: list[tuple[str, Ours, Ask]] = [
    ("limit", placed(order(OrderType.LIMIT, price=PRICE)), created("limit", 3150.5)),
    (
        "limit IOC with self-trade prevention",
        placed(order(OrderType.LIMIT, price=PRICE, time_in_force=TimeInForce.IOC, self_trade=SelfTrade.EXPIRE_MAKER)),
        created("limit", 3150.5, timeInForce="IOC", selfTradePreventionMode="EXPIRE_MAKER"),
    ),
    (
        "limit FOK",
        placed(order(OrderType.LIMIT, price=PRICE, time_in_force=TimeInForce.FOK)),
        created("limit", 3150.5, timeInForce="FOK"),
    ),
    (
        "iceberg",
        placed(order(OrderType.LIMIT, price=PRICE, iceberg_quantity=Decimal("0.1"))),
        created("limit", 3150.5, icebergQty="0.1"),
    ),
    ("limit maker", placed(order(OrderType.LIMIT_MAKER, price=PRICE)), created("limit", 3150.5, postOnly=True)),
    ("market by base", placed(order(OrderType.MARKET)), created("market")),
    (
        "market by quote",
        placed(order(OrderType.MARKET, quantity=None, quote_quantity=Decimal("150.25"))),
        created("market", quoteOrderQty="150.25"),
    ),
    ("stop", placed(order(OrderType.STOP, stop_price=STOP)), created("market", stopLossPrice=3000.25)),
    (
        "stop limit",
        placed(order(OrderType.STOP_LIMIT, price=PRICE, stop_price=STOP)),
        created("limit", 3150.5, stopLossPrice=3000.25),
    ),
    (
        "take profit",
        placed(order(OrderType.TAKE_PROFIT, stop_price=STOP)),
        created("market", takeProfitPrice=3000.25),
    ),
    (
        "take profit limit",
        placed(order(OrderType.TAKE_PROFIT_LIMIT, price=PRICE, stop_price=STOP)),
        created("limit", 3150.5, takeProfitPrice=3000.25),
    ),
    (
        "trailing stop limit",
        placed(order(OrderType.STOP_LIMIT, price=PRICE, trailing_bips=150)),
        created("STOP_LOSS_LIMIT", 3150.5, trailingPercent="1.5"),
    ),
    ("test order", placed(order(OrderType.LIMIT, price=PRICE, test=True)), created("limit", 3150.5, test=True)),
    (
        "oco",
        lambda auth: SPOT.trading.place_list(OCO, ["acme-tp", "acme-sl"], INSTRUMENT, auth, NOW_MS),
        lambda c: c.private_post_orderlist_oco(
            {
                "symbol": "ETHUSDT",
                "listClientOrderId": "acme-list-7",
                "side": "SELL",
                "quantity": "0.5",
                "aboveType": "LIMIT_MAKER",
                "abovePrice": "3150.5",
                "aboveClientOrderId": "acme-tp",
                "belowType": "STOP_LOSS_LIMIT",
                "belowTimeInForce": "GTC",
                "belowPrice": "2999",
                "belowStopPrice": "3000.25",
                "belowClientOrderId": "acme-sl",
                "newOrderRespType": "FULL",
            }
        ),
    ),
    (
        "cancel by client id",
        lambda auth: SPOT.trading.cancel(CancelOrder(symbol=ETH, client_id=ID), KNOWN, INSTRUMENT, auth, NOW_MS),
        lambda c: c.cancel_order("", "ETH/USDT", {"clientOrderId": ID}),
    ),
    (
        "amend",
        lambda auth: SPOT.trading.amend(
            AmendOrder(symbol=ETH, client_id=ID, quantity=Decimal("0.4")), NUMBERED, INSTRUMENT, auth, NOW_MS
        ),
        lambda c: c.request(
            "order/amend/keepPriority",
            ["private"],
            "PUT",
            {
                "symbol": "ETHUSDT",
                "orderId": "77",
                "origClientOrderId": ID,
                "newClientOrderId": ID,
                "newQty": "0.4",
            },
        ),
    ),
    (
        "order by client id",
        lambda auth: SPOT.trading.order(ID, None, INSTRUMENT, auth, NOW_MS),
        lambda c: c.fetch_order("", "ETH/USDT", {"clientOrderId": ID}),
    ),
    (
        "order by its id",
        lambda auth: SPOT.trading.order(None, "4400123", INSTRUMENT, auth, NOW_MS),
        lambda c: c.fetch_order("4400123", "ETH/USDT"),
    ),
    (
        "open orders",
        lambda auth: SPOT.trading.open_orders(INSTRUMENT, auth, NOW_MS),
        lambda c: c.fetch_open_orders("ETH/USDT"),
    ),
    (
        "all open orders",
        lambda auth: SPOT.trading.open_orders(None, auth, NOW_MS),
        lambda c: c.fetch_open_orders(),
    ),
    (
        "fills from an id",
        lambda auth: SPOT.trading.fills(INSTRUMENT, "900777", None, None, auth, NOW_MS),
        lambda c: c.fetch_my_trades("ETH/USDT", None, 1000, {"fromId": "900777"}),
    ),
    (
        "fills of an order",
        lambda auth: SPOT.trading.fills(INSTRUMENT, None, None, "4400123", auth, NOW_MS),
        lambda c: c.fetch_my_trades("ETH/USDT", None, 1000, {"orderId": "4400123"}),
    ),
    (
        "orders since",
        lambda auth: SPOT.trading.orders_since(INSTRUMENT, (NOW_MS - 5_000) * 1_000_000, auth, NOW_MS),
        lambda c: c.fetch_orders("ETH/USDT", NOW_MS - 5_000, 1000),
    ),
    (
        "balances",
        lambda auth: SPOT.trading.balances(auth, NOW_MS),
        lambda c: c.fetch_balance({"omitZeroBalances": "true"}),
    ),
    (
        "order counts",
        lambda auth: SPOT.trading.order_counts(auth, NOW_MS),
        lambda c: c.private_get_ratelimit_order(),
    ),
]


def compared(ours: HttpRequest, url: str, method: str, headers: dict[str, str], body: str, auth: Auth) -> str:
    """What differs between our request and ccxt's; "" when nothing does."""
    parts = urlsplit(url)
    if (ours.method, ours.path) != (method, parts.path):
        return f"{ours.method} {ours.path}, ccxt {method} {parts.path}"
    if {k.lower(): v for k, v in headers.items()} != {k.lower(): v for k, v in ours.headers.items()}:
        return f"headers {sorted(ours.headers)}, ccxt {sorted(headers)}"
    mine, theirs = dict(parse_qsl(ours.query + ours.body.decode())), dict(parse_qsl(parts.query + body))
    my_signature, their_signature = mine.pop("signature"), theirs.pop("signature")
    if mine != theirs:
        return f"parameters differ: {sorted(mine.items() ^ theirs.items())}"
    if (bool(ours.query), bool(ours.body)) != (bool(parts.query), bool(body)):
        return "parameters travel in another place"
    text = (parts.query + body).rpartition("&signature=")[0]
    if auth.sign(text) != their_signature:
        return "ccxt signs the same text differently"
    own = (ours.query + ours.body.decode()).rpartition("&signature=")[0]
    return "" if auth.sign(own) == my_signature else "our signature is not that of our text"


def check_rest(name: str, credentials: Credentials, secret: str) -> None:
    """Every case with one kind of key."""
    auth, client = SPOT.trading.auth(credentials), prepared(ccxt.binance, secret)
    for case, ours, ask in CASES:
        try:
            ask(client)
        except _Caught as caught:
            row(f"{name} REST {case}", compared(ours(auth), *caught.args, auth))
        else:
            row(f"{name} REST {case}", "ccxt sent nothing")


def check_session(name: str, credentials: Credentials, secret: str) -> None:
    """Parameters of the WebSocket API, signed by both from the same values."""
    auth, client = SPOT.trading.auth(credentials), prepared(ccxt.pro.binance, secret)
    intents = {
        "order.place": SPOT.session.place("c1", order(OrderType.LIMIT, price=PRICE), ID, INSTRUMENT, auth, NOW_MS),
        "order.cancel": SPOT.session.cancel(
            "c2", CancelOrder(symbol=ETH, client_id=ID), KNOWN, INSTRUMENT, auth, NOW_MS
        ),
        "userDataStream.subscribe.signature": SPOT.session.opening()[0]("c3", auth, NOW_MS),
    }
    asked = {
        "order.place": client.create_order_request("ETH/USDT", "limit", "sell", 0.5, 3150.5, {"clientOrderId": ID}),
        "order.cancel": {"symbol": "ETHUSDT", "origClientOrderId": ID},
        "userDataStream.subscribe.signature": {},
    }
    for method, request in intents.items():
        mine, theirs = json.loads(request.frame)["params"], client.sign_params(dict(asked[method]))
        same = {key: str(value) for key, value in mine.items()} == {key: str(v) for key, v in theirs.items()}
        row(f"{name} session {method}", "" if same else f"{sorted(mine)} against {sorted(theirs)}")


def main() -> int:
    """Run all comparisons."""
    rsa = rsa_pem()
    keys = [
        ("hmac", Credentials(KEY, secret=SECRET), SECRET),
        ("ed25519", Credentials(KEY, private_key_pem=ED25519_PEM), ED25519_PEM),
        ("rsa", Credentials(KEY, private_key_pem=rsa), rsa),
    ]
    for name, credentials, secret in keys:
        check_rest(name, credentials, secret)
        check_session(name, credentials, secret)
    print(f"{len(FAILED)} failed{': ' + ', '.join(FAILED) if FAILED else ''}")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
