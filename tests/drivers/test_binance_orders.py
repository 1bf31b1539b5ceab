"""Signed requests: every order type, list, cancel, amend and question, to the byte, and what is refused before it is sent.

The expected texts are written out by hand from the documents; their signatures are computed here with the standard library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from decimal import Decimal
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.domain import Symbol
from connector.domain.commands import AmendOrder, CancelOrder, OrderListKind, PlaceOrder, PlaceOrderList, SelfTrade
from connector.domain.credentials import Credentials
from connector.domain.market import Side
from connector.domain.orders import OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.binance.orders import CALLS, place_params
from connector.drivers.binance.session import Session
from connector.drivers.binance.trading import Trading, order_rules
from connector.errors import InvalidRequest, SettingsError, Unsupported
from connector.orders.lifecycle import IntentRecord, new_record

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
NOW_MS = 1_762_000_000_123
TAIL = f"recvWindow=5000&timestamp={NOW_MS}"
ETH = Symbol("ETH", "USDT")
ID = "acme-000042"
WEIGHT, RAW, ORDERS_10S, ORDERS_DAY = "REQUEST_WEIGHT/60s", "RAW_REQUESTS/300s", "ORDERS/10s", "ORDERS/86400s"
D = Decimal


@pytest.fixture(scope="module")
def eth(make_instrument):
    return make_instrument("ETH/USDT")


@pytest.fixture(scope="module")
def auth(driver):
    return driver.trading.auth(Credentials(KEY, secret=SECRET))


def hmac_hex(text):
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def order(kind=OrderType.LIMIT, side=Side.BUY, **fields):
    fields = {"symbol": ETH, "side": side, "type": kind, "quantity": D("1.5")} | fields
    return PlaceOrder(**fields)


def limit(**fields):
    return order(**{"price": D("0.10"), **fields})


# ---------------------------------------------------------------- orders

ONE_EACH = [
    (limit(), "type=LIMIT&timeInForce=GTC&quantity=1.5&price=0.10"),
    (limit(time_in_force=TimeInForce.IOC), "type=LIMIT&timeInForce=IOC&quantity=1.5&price=0.10"),
    (limit(time_in_force=TimeInForce.FOK), "type=LIMIT&timeInForce=FOK&quantity=1.5&price=0.10"),
    (limit(iceberg_quantity=D("0.5")), "type=LIMIT&timeInForce=GTC&quantity=1.5&price=0.10&icebergQty=0.5"),
    (order(OrderType.MARKET), "type=MARKET&quantity=1.5"),
    (order(OrderType.MARKET, quantity=None, quote_quantity=D("150.25")), "type=MARKET&quoteOrderQty=150.25"),
    (order(OrderType.LIMIT_MAKER, price=D("0.1")), "type=LIMIT_MAKER&quantity=1.5&price=0.1"),
    (
        order(OrderType.LIMIT_MAKER, price=D("0.1"), iceberg_quantity=D(1)),
        "type=LIMIT_MAKER&quantity=1.5&price=0.1&icebergQty=1",
    ),
    (order(OrderType.STOP, stop_price=D("0.2")), "type=STOP_LOSS&quantity=1.5&stopPrice=0.2"),
    (order(OrderType.STOP, trailing_bips=150), "type=STOP_LOSS&quantity=1.5&trailingDelta=150"),
    (
        order(OrderType.STOP_LIMIT, price=D("0.3"), stop_price=D("0.2"), trailing_bips=7),
        "type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=1.5&price=0.3&stopPrice=0.2&trailingDelta=7",
    ),
    (order(OrderType.TAKE_PROFIT, stop_price=D("0.2")), "type=TAKE_PROFIT&quantity=1.5&stopPrice=0.2"),
    (
        order(OrderType.TAKE_PROFIT_LIMIT, price=D("0.3"), stop_price=D("0.2"), time_in_force=TimeInForce.IOC),
        "type=TAKE_PROFIT_LIMIT&timeInForce=IOC&quantity=1.5&price=0.3&stopPrice=0.2",
    ),
]


@pytest.mark.parametrize(("wanted", "middle"), ONE_EACH)
@pytest.mark.parametrize(("side", "word"), [(Side.BUY, "BUY"), (Side.SELL, "SELL")])
def test_each_order_type_is_written_and_signed_to_the_byte(driver, eth, auth, wanted, middle, side, word):
    wanted = msgspec.structs.replace(wanted, side=side)
    text = f"symbol=ETHUSDT&side={word}&{middle}&newClientOrderId={ID}&newOrderRespType=FULL"

    request = driver.trading.place(wanted, ID, eth, auth, NOW_MS)
    assert (request.method, request.path, request.query, request.safe) == ("POST", "/api/v3/order", "", False)
    assert request.body.decode() == f"{text}&{TAIL}&signature={hmac_hex(f'{text}&{TAIL}')}"
    assert request.headers == {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    assert request.charges == (Charge(WEIGHT, 1), Charge(ORDERS_10S, 1), Charge(ORDERS_DAY, 1), Charge(RAW, 1))

    frame = driver.session.place("c7", wanted, ID, eth, auth, NOW_MS)
    said = json.loads(frame.frame)
    pairs = dict(parse_qsl(f"{text}&{TAIL}")) | {"apiKey": KEY}
    payload = "&".join(f"{name}={pairs[name]}" for name in sorted(pairs))
    assert (said["id"], said["method"], frame.request_id) == ("c7", "order.place", "c7")
    assert {name: str(value) for name, value in said["params"].items()} == pairs | {"signature": hmac_hex(payload)}
    assert frame.charges == (Charge(WEIGHT, 1), Charge(ORDERS_10S, 1), Charge(ORDERS_DAY, 1))


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize(
    "fields", [{}, {"time_in_force": TimeInForce.GTC}, {"price": D("3150.10000000000")}, {"price": D("1E+2")}]
)
def test_the_usual_order_prepared_beforehand_says_what_it_says_when_written_from_its_parameters(
    driver, eth, auth, side, fields
):
    wanted = limit(side=side, **fields)
    prepared = json.loads(driver.session.place("c7", wanted, ID, eth, auth, NOW_MS).frame)
    written = driver.session._signed("c7", CALLS["place"], place_params(wanted, ID, eth), auth, NOW_MS)
    assert prepared == json.loads(written.frame)


def test_a_key_or_a_name_that_json_has_to_escape_is_escaped(driver, eth):
    for key, name in (('k"ey', "ETHUSDT"), (KEY, 'ETH"USDT'), (KEY, "ETH%sUSDT")):
        auth = driver.trading.auth(Credentials(key, secret=SECRET))
        frame = driver.session.place("c7", limit(), ID, msgspec.structs.replace(eth, venue_name=name), auth, NOW_MS)
        params = json.loads(frame.frame)["params"]
        signature = params.pop("signature")
        assert (params["apiKey"], params["symbol"]) == (key, name)
        assert signature == hmac_hex("&".join(f"{each}={params[each]}" for each in sorted(params)))


def test_whole_numbers_are_numbers_and_decimals_text_in_the_session(driver, eth, auth):
    wanted = order(OrderType.STOP, trailing_bips=150)
    params = json.loads(driver.session.place("c1", wanted, ID, eth, auth, NOW_MS).frame)["params"]
    assert (params["trailingDelta"], params["timestamp"], params["recvWindow"]) == (150, NOW_MS, 5000)
    assert params["quantity"] == "1.5"


@pytest.mark.parametrize(
    ("mode", "word"),
    [
        (SelfTrade.NONE, "NONE"),
        (SelfTrade.EXPIRE_TAKER, "EXPIRE_TAKER"),
        (SelfTrade.EXPIRE_MAKER, "EXPIRE_MAKER"),
        (SelfTrade.EXPIRE_BOTH, "EXPIRE_BOTH"),
        (SelfTrade.DECREMENT, "DECREMENT"),
    ],
)
def test_self_trade_modes_have_the_venues_words(driver, eth, auth, mode, word):
    body = driver.trading.place(limit(self_trade=mode), ID, eth, auth, NOW_MS).body.decode()
    assert f"&newOrderRespType=FULL&selfTradePreventionMode={word}&recvWindow=" in body


def test_test_orders_go_where_nothing_is_placed_and_count_as_no_order(driver, eth, auth):
    request = driver.trading.place(limit(test=True), ID, eth, auth, NOW_MS)
    assert request.path == "/api/v3/order/test" and request.charges == (Charge(WEIGHT, 1), Charge(RAW, 1))
    frame = driver.session.place("c1", limit(test=True), ID, eth, auth, NOW_MS)
    assert json.loads(frame.frame)["method"] == "order.test" and frame.charges == (Charge(WEIGHT, 1),)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (limit(quantity=None), "needs a quantity"),
        (limit(quote_quantity=D(1)), "only market orders"),
        (limit(price=None), "needs a price"),
        (limit(stop_price=D(1)), "takes no stop_price"),
        (limit(trailing_bips=5), "takes no stop_price"),
        (limit(time_in_force=TimeInForce.OTHER), "OTHER"),
        (limit(time_in_force=TimeInForce.IOC, iceberg_quantity=D("0.1")), "iceberg order is GTC"),
        (order(OrderType.MARKET, price=D(1)), "takes no price"),
        (order(OrderType.MARKET, quantity=None), "only one"),
        (order(OrderType.MARKET, quote_quantity=D(1)), "only one"),
        (order(OrderType.MARKET, time_in_force=TimeInForce.IOC), "takes no time_in_force"),
        (order(OrderType.MARKET, iceberg_quantity=D(1)), "takes no iceberg_quantity"),
        (order(OrderType.LIMIT_MAKER, price=D(1), time_in_force=TimeInForce.GTC), "takes no time_in_force"),
        (order(OrderType.STOP), "stop_price, trailing_bips or both"),
        (order(OrderType.STOP, stop_price=D(1), price=D(1)), "takes no price"),
        (order(OrderType.STOP_LIMIT, price=D(1)), "stop_price, trailing_bips or both"),
        (order(OrderType.STOP, trailing_bips=0), "at least 1"),
        (order(OrderType.TAKE_PROFIT_LIMIT, stop_price=D(1)), "needs a price"),
        (order(OrderType.OTHER), "OTHER"),
        (limit(symbol=Symbol("BTC", "USDT")), "the instrument is ETH/USDT"),
    ],
)
def test_an_order_of_impossible_form_is_refused_before_it_is_signed(driver, eth, auth, wanted, said):
    for refuse in (
        lambda: driver.trading.place(wanted, ID, eth, auth, NOW_MS),
        lambda: driver.session.place("c1", wanted, ID, eth, auth, NOW_MS),
    ):
        with pytest.raises(InvalidRequest, match=said):
            refuse()


def test_reduce_only_is_unsupported_on_spot(driver, eth, auth):
    with pytest.raises(Unsupported, match="reduce_only"):
        driver.trading.place(limit(reduce_only=True), ID, eth, auth, NOW_MS)


@pytest.mark.parametrize("client_id", ["", "a" * 37, "a b", "ä", "a&b", "a\n", "１"])
def test_client_ids_the_venue_would_refuse_are_not_sent(driver, eth, auth, client_id):
    with pytest.raises(InvalidRequest, match="client id"):
        driver.trading.place(limit(), client_id, eth, auth, NOW_MS)
    assert re.fullmatch(driver.trading.rules.client_id, client_id) is None


def test_client_ids_of_the_rules_are_taken(driver, eth, auth):
    for client_id in ("a", "Z" * 36, "cn0k3x-Q_81"):
        assert re.fullmatch(driver.trading.rules.client_id, client_id)
        assert (
            f"newClientOrderId={client_id}&"
            in driver.trading.place(limit(), client_id, eth, auth, NOW_MS).body.decode()
        )


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ("1E-8", "0.00000001"),
        ("1.9E-7", "0.00000019"),
        ("1E+3", "1000"),
        ("0.01000000", "0.01000000"),
        ("1.50000000000", "1.50000000"),
        ("99999999999999999999", "99999999999999999999"),
    ],
)
def test_numbers_are_plain_decimals_as_given(driver, eth, auth, given_, sent):
    body = driver.trading.place(limit(quantity=D(given_)), ID, eth, auth, NOW_MS).body.decode()
    assert dict(parse_qsl(body))["quantity"] == sent


@pytest.mark.parametrize("field", ["quantity", "price", "iceberg_quantity"])
@pytest.mark.parametrize("value", ["1E-9", "0.123456789", "0", "-1", "-0", "1E+20", "1E+999999", "1E-999999"])
def test_numbers_the_venue_cannot_take_are_never_rounded_but_refused(driver, eth, auth, field, value):
    with pytest.raises(InvalidRequest):
        driver.trading.place(limit(**{field: D(value)}), ID, eth, auth, NOW_MS)


def test_each_asset_has_its_own_precision(driver, eth, auth):
    narrow = msgspec.structs.replace(eth, base_decimals=0, quote_decimals=2)
    place = driver.trading.place
    body = place(limit(quantity=D("3.0"), price=D("1.250")), ID, narrow, auth, NOW_MS).body.decode()
    assert "&quantity=3&price=1.25&" in body
    with pytest.raises(InvalidRequest, match="1 decimals"):
        place(limit(quantity=D("1.5"), price=D(1)), ID, narrow, auth, NOW_MS)
    with pytest.raises(InvalidRequest, match=r"Price is 1\.255"):
        place(limit(quantity=D(1), price=D("1.255")), ID, narrow, auth, NOW_MS)


@pytest.mark.parametrize(
    ("wanted", "asset"),
    [
        (limit(quantity=D("1.111")), "base"),
        (limit(price=D("1.111")), "quote"),
        (limit(iceberg_quantity=D("1.111")), "base"),
        (order(OrderType.STOP, stop_price=D("1.111")), "quote"),
        (order(OrderType.MARKET, quantity=None, quote_quantity=D("1.111")), "quote"),
    ],
)
def test_every_number_is_held_to_the_precision_of_its_own_asset(driver, eth, auth, wanted, asset):
    exact = msgspec.structs.replace(eth, base_decimals=3, quote_decimals=3)
    driver.trading.place(wanted, ID, exact, auth, NOW_MS)
    with pytest.raises(InvalidRequest, match="keeps 2"):
        driver.trading.place(wanted, ID, msgspec.structs.replace(exact, **{f"{asset}_decimals": 2}), auth, NOW_MS)
    amend = AmendOrder(symbol=ETH, client_id=ID, quantity=D("1.111"))
    with pytest.raises(InvalidRequest, match="keeps 2"):
        driver.trading.amend(amend, known(), msgspec.structs.replace(exact, base_decimals=2), auth, NOW_MS)


@settings(max_examples=300, deadline=None, database=None)
@given(value=st.decimals(allow_nan=False, allow_infinity=False), decimals=st.integers(0, 12))
def test_whatever_the_number_what_is_sent_is_exactly_it_in_the_venues_form(driver, eth, auth, value, decimals):
    instrument = msgspec.structs.replace(eth, base_decimals=decimals)
    try:
        body = driver.trading.place(limit(quantity=value), ID, instrument, auth, NOW_MS).body.decode()
    except InvalidRequest:
        places = -value.normalize().as_tuple().exponent
        assert value <= 0 or value >= D(10) ** 20 or places > decimals
        return
    sent = dict(parse_qsl(body))["quantity"]
    assert re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,12})?", sent) and D(sent) == value
    assert len(sent.partition(".")[2]) <= decimals


# ---------------------------------------------------------------- order lists


def upper(**fields):
    return order(OrderType.LIMIT_MAKER, Side.SELL, price=D(4), **fields)


def lower(**fields):
    return order(OrderType.STOP_LIMIT, Side.SELL, price=D("1.9"), stop_price=D(2), **fields)


LISTS = [
    (
        PlaceOrderList(kind=OrderListKind.OCO, client_id="acme-list-7", orders=(upper(), lower())),
        ["tp", "sl"],
        "oco",
        2,
        (
            "listClientOrderId=acme-list-7&side=SELL&aboveType=LIMIT_MAKER&quantity=1.5&abovePrice=4&aboveClientOrderId=tp"
            "&belowType=STOP_LOSS_LIMIT&belowTimeInForce=GTC&belowPrice=1.9&belowStopPrice=2&belowClientOrderId=sl"
        ),
    ),
    (
        PlaceOrderList(kind=OrderListKind.OTO, orders=(limit(), order(OrderType.MARKET, Side.SELL, quantity=D(1)))),
        ["w", "p"],
        "oto",
        2,
        (
            "workingSide=BUY&workingType=LIMIT&workingTimeInForce=GTC&workingQuantity=1.5&workingPrice=0.10"
            "&workingClientOrderId=w&pendingSide=SELL&pendingType=MARKET&pendingQuantity=1&pendingClientOrderId=p"
        ),
    ),
    (
        PlaceOrderList(
            kind=OrderListKind.OTOCO,
            orders=(limit(), upper(), order(OrderType.STOP, Side.SELL, trailing_bips=90)),
        ),
        ["w", "a", "b"],
        "otoco",
        3,
        (
            "workingSide=BUY&workingType=LIMIT&workingTimeInForce=GTC&workingQuantity=1.5&workingPrice=0.10"
            "&workingClientOrderId=w&pendingSide=SELL&pendingAboveType=LIMIT_MAKER&pendingQuantity=1.5&pendingAbovePrice=4"
            "&pendingAboveClientOrderId=a&pendingBelowType=STOP_LOSS&pendingBelowTrailingDelta=90&pendingBelowClientOrderId=b"
        ),
    ),
]


@pytest.mark.parametrize(("wanted", "ids", "name", "orders", "middle"), LISTS)
def test_lists_are_written_with_what_they_share_said_once(driver, eth, auth, wanted, ids, name, orders, middle):
    text = f"symbol=ETHUSDT&{middle}&newOrderRespType=FULL&{TAIL}"
    request = driver.trading.place_list(wanted, ids, eth, auth, NOW_MS)
    assert (request.method, request.path) == ("POST", f"/api/v3/orderList/{name}")
    assert request.body.decode() == f"{text}&signature={hmac_hex(text)}"
    assert request.charges[:3] == (Charge(WEIGHT, 1), Charge(ORDERS_10S, orders), Charge(ORDERS_DAY, orders))

    said = json.loads(driver.session.place_list("c1", wanted, ids, eth, auth, NOW_MS).frame)
    assert said["method"] == f"orderList.place.{name}"
    assert {k: str(v) for k, v in said["params"].items() if k not in ("apiKey", "signature")} == dict(parse_qsl(text))


@pytest.mark.parametrize(
    ("kind", "orders", "said"),
    [
        (OrderListKind.OCO, (upper(),), "1 orders; expected 2"),
        (OrderListKind.OTOCO, (upper(), lower()), "2 orders; expected 3"),
        (OrderListKind.OCO, (upper(), upper()), "a stop, the other"),
        (OrderListKind.OCO, (upper(), lower(quantity=D(1))), "same side and quantity"),
        (OrderListKind.OCO, (lower(), lower()), "a stop, the other"),
        (OrderListKind.OCO, (limit(), lower()), "same side and quantity"),
        (OrderListKind.OTO, (order(OrderType.MARKET), lower()), "LIMIT or a LIMIT_MAKER"),
        (OrderListKind.OTOCO, (limit(), limit(side=Side.SELL), lower()), "a stop, the other"),
        (OrderListKind.OTO, (limit(), order(OrderType.MARKET, quantity=None, quote_quantity=D(1))), "quote_quantity"),
        (OrderListKind.OTO, (limit(test=True), lower()), "no test"),
        (OrderListKind.OCO, (upper(self_trade=SelfTrade.NONE), lower()), "same self_trade"),
        (OrderListKind.OTO, (limit(price=None), lower()), "needs a price"),
    ],
)
def test_lists_of_impossible_form_are_refused_here(driver, eth, auth, kind, orders, said):
    ids = ["a", "b", "c"][: len(orders)]
    with pytest.raises(InvalidRequest, match=said):
        driver.trading.place_list(PlaceOrderList(kind=kind, orders=orders), ids, eth, auth, NOW_MS)


def test_a_list_has_one_client_id_for_each_order(driver, eth, auth):
    wanted = PlaceOrderList(kind=OrderListKind.OCO, orders=(upper(), lower()))
    with pytest.raises(InvalidRequest, match="3 client ids for 2 orders"):
        driver.trading.place_list(wanted, ["a", "b", "c"], eth, auth, NOW_MS)


# ---------------------------------------------------------------- orders that are there, and questions


def known(venue_id=None):
    """What is known of the order that is cancelled or amended."""
    meant = PlaceOrder(symbol=ETH, side=Side.SELL, type=OrderType.LIMIT, quantity=D(1), price=D(4000), client_id=ID)
    intent = IntentRecord.of(meant, venue="binance", client_id=ID, at_ns=1, recv_window_ms=5_000)
    return msgspec.structs.replace(new_record(intent).order, venue_id=venue_id)


def subscribed(driver, auth):
    """The one request a session opens with."""
    (subscribe,) = driver.session.opening()
    return subscribe("c1", auth, NOW_MS)


CANCEL = CancelOrder(symbol=ETH, client_id=ID)
AMEND = AmendOrder(symbol=ETH, client_id=ID, quantity=D("0.4"))
START_NS = 1_761_999_999_999_999_999

OTHERS = [
    (
        lambda t, i, a: t.cancel(CANCEL, known(), i, a, NOW_MS),
        "DELETE",
        "order",
        f"symbol=ETHUSDT&origClientOrderId={ID}",
        1,
    ),
    (
        lambda t, i, a: t.cancel(CANCEL, known("77"), i, a, NOW_MS),
        "DELETE",
        "order",
        f"symbol=ETHUSDT&orderId=77&origClientOrderId={ID}",
        1,
    ),
    (
        lambda t, i, a: t.amend(AMEND, known("77"), i, a, NOW_MS),
        "PUT",
        "order/amend/keepPriority",
        f"symbol=ETHUSDT&orderId=77&origClientOrderId={ID}&newClientOrderId={ID}&newQty=0.4",
        4,
    ),
    (lambda t, i, a: t.order(ID, None, i, a, NOW_MS), "GET", "order", f"symbol=ETHUSDT&origClientOrderId={ID}", 4),
    (lambda t, i, a: t.order(None, "77", i, a, NOW_MS), "GET", "order", "symbol=ETHUSDT&orderId=77", 4),
    (
        lambda t, i, a: t.order(ID, "77", i, a, NOW_MS),
        "GET",
        "order",
        f"symbol=ETHUSDT&orderId=77&origClientOrderId={ID}",
        4,
    ),
    (lambda t, i, a: t.open_orders(i, a, NOW_MS), "GET", "openOrders", "symbol=ETHUSDT", 6),
    (lambda t, i, a: t.open_orders(None, a, NOW_MS), "GET", "openOrders", "", 80),
    (lambda t, i, a: t.fills(i, None, None, None, a, NOW_MS), "GET", "myTrades", "symbol=ETHUSDT&limit=1000", 20),
    (
        lambda t, i, a: t.fills(i, "9", None, None, a, NOW_MS),
        "GET",
        "myTrades",
        "symbol=ETHUSDT&fromId=9&limit=1000",
        20,
    ),
    (
        lambda t, i, a: t.fills(i, None, START_NS, None, a, NOW_MS),
        "GET",
        "myTrades",
        "symbol=ETHUSDT&startTime=1761999999999&limit=1000",
        20,
    ),
    (
        lambda t, i, a: t.fills(i, None, None, "7", a, NOW_MS),
        "GET",
        "myTrades",
        "symbol=ETHUSDT&orderId=7&limit=1000",
        5,
    ),
    (
        lambda t, i, a: t.fills(i, "9", None, "7", a, NOW_MS),
        "GET",
        "myTrades",
        "symbol=ETHUSDT&orderId=7&fromId=9&limit=1000",
        5,
    ),
    (
        lambda t, i, a: t.orders_since(i, START_NS, a, NOW_MS),
        "GET",
        "allOrders",
        "symbol=ETHUSDT&startTime=1761999999999&limit=1000",
        20,
    ),
    (lambda t, i, a: t.balances(a, NOW_MS), "GET", "account", "omitZeroBalances=true", 20),
    (lambda t, i, a: t.order_counts(a, NOW_MS), "GET", "rateLimit/order", "", 40),
]


@pytest.mark.parametrize(("build", "method", "path", "params", "weight"), OTHERS)
def test_every_other_call_is_written_and_signed_to_the_byte(driver, eth, auth, build, method, path, params, weight):
    request = build(driver.trading, eth, auth)
    text = f"{params}&{TAIL}" if params else TAIL
    signed = f"{text}&signature={hmac_hex(text)}"
    assert (request.method, request.path) == (method, f"/api/v3/{path}")
    assert (request.query, request.body.decode()) == (("", signed) if method == "PUT" else (signed, ""))
    assert request.safe == (method == "GET") and request.headers["X-MBX-APIKEY"] == KEY
    assert request.charges == (Charge(WEIGHT, weight), Charge(RAW, 1))


@pytest.mark.parametrize(
    ("build", "method", "params"),
    [
        (
            lambda s, i, a: s.cancel("c1", CANCEL, known("77"), i, a, NOW_MS),
            "order.cancel",
            {"orderId": 77, "origClientOrderId": ID},
        ),
        (
            lambda s, i, a: s.amend("c1", AMEND, known(), i, a, NOW_MS),
            "order.amend.keepPriority",
            {"origClientOrderId": ID, "newClientOrderId": ID, "newQty": "0.4"},
        ),
    ],
)
def test_cancel_and_amend_over_the_session(driver, eth, auth, build, method, params):
    said = json.loads(build(driver.session, eth, auth).frame)
    expected = params | {"symbol": "ETHUSDT", "apiKey": KEY, "recvWindow": 5000, "timestamp": NOW_MS}
    payload = "&".join(f"{name}={expected[name]}" for name in sorted(expected))
    assert said == {"id": "c1", "method": method, "params": expected | {"signature": hmac_hex(payload)}}


def test_subscription_is_signed_anew_and_the_probe_needs_no_key(driver, auth):
    request = subscribed(driver, auth)
    payload = f"apiKey={KEY}&recvWindow=5000&timestamp={NOW_MS}"
    assert json.loads(request.frame) == {
        "id": "c1",
        "method": "userDataStream.subscribe.signature",
        "params": {"apiKey": KEY, "recvWindow": 5000, "timestamp": NOW_MS, "signature": hmac_hex(payload)},
    }
    assert request.charges == (Charge(WEIGHT, 2),)
    probe = driver.session.probe("c2")
    assert json.loads(probe.frame) == {"id": "c2", "method": "session.subscriptions", "params": {}}
    assert KEY not in probe.frame.decode() and probe.charges == (Charge(WEIGHT, 2),)


@pytest.mark.parametrize(
    "refuse",
    [
        lambda t, i, a: t.order(None, None, i, a, NOW_MS),
        lambda t, i, a: t.order(ID, "seven", i, a, NOW_MS),
        lambda t, i, a: t.order("a b", None, i, a, NOW_MS),
        lambda t, i, a: t.cancel(CancelOrder(symbol=Symbol("BTC", "USDT"), client_id=ID), known(), i, a, NOW_MS),
        lambda t, i, a: t.cancel(CancelOrder(symbol=ETH, client_id=""), known(), i, a, NOW_MS),
        lambda t, i, a: t.amend(AmendOrder(symbol=ETH, client_id=ID, quantity=D(0)), known(), i, a, NOW_MS),
        lambda t, i, a: t.fills(i, "alloc-7", None, None, a, NOW_MS),
        lambda t, i, a: t.fills(i, "7", START_NS, None, a, NOW_MS),
        lambda t, i, a: t.fills(i, None, START_NS, "7", a, NOW_MS),
        lambda t, i, a: t.fills(i, None, -1, None, a, NOW_MS),
        lambda t, i, a: t.orders_since(i, 2**63, a, NOW_MS),
    ],
)
def test_questions_that_name_nothing_or_too_much_are_refused_here(driver, eth, auth, refuse):
    with pytest.raises(InvalidRequest):
        refuse(driver.trading, eth, auth)


# ---------------------------------------------------------------- keys and windows


def test_non_ascii_symbols_are_encoded_before_they_are_signed_and_raw_in_the_session(driver, eth, auth):
    odd = msgspec.structs.replace(eth, venue_name="１２３")
    body = driver.trading.place(limit(), ID, odd, auth, NOW_MS).body.decode()
    text, _, signature = body.rpartition("&signature=")
    assert text.startswith("symbol=%EF%BC%91%EF%BC%92%EF%BC%93&") and signature == hmac_hex(text)
    params = json.loads(driver.session.place("c1", limit(), ID, odd, auth, NOW_MS).frame)["params"]
    signature = params.pop("signature")
    assert params["symbol"] == "１２３"
    assert signature == hmac_hex("&".join(f"{name}={params[name]}" for name in sorted(params)))


def test_ed25519_and_rsa_keys_sign_requests_that_verify(driver, eth):
    import base64

    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sealed = made.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"open")).decode()
    edward = s.load_pem_private_key(ED25519_PEM.encode(), None)
    for credentials, kind, verify in (
        (Credentials(KEY, private_key_pem=ED25519_PEM), "ed25519", edward.public_key().verify),
        (
            Credentials(KEY, private_key_pem=sealed, password="open"),
            "rsa",
            lambda sig, text: made.public_key().verify(sig, text, PKCS1v15(), SHA256()),
        ),
    ):
        auth = driver.trading.auth(credentials)
        assert auth.kind == kind and auth.key == KEY
        body = driver.trading.place(limit(), ID, eth, auth, NOW_MS).body.decode()
        verify(base64.b64decode(dict(parse_qsl(body))["signature"]), body.rpartition("&signature=")[0].encode())
        params = json.loads(subscribed(driver, auth).frame)["params"]
        verify(base64.b64decode(params["signature"]), f"apiKey={KEY}&recvWindow=5000&timestamp={NOW_MS}".encode())


def test_keys_that_cannot_be_read_say_nothing_of_themselves(driver):
    with pytest.raises(SettingsError) as raised:
        driver.trading.auth(Credentials(KEY, private_key_pem="-----BEGIN canary-of-mine"))
    assert "canary" not in str(raised.value) and KEY not in str(raised.value)


def test_no_secret_or_signature_is_shown(driver, eth, auth):
    request = driver.trading.place(limit(), ID, eth, auth, NOW_MS)
    frame = driver.session.place("c1", limit(), ID, eth, auth, NOW_MS)
    shown = " ".join(map(repr, (auth, request, frame, frame.__rich_repr__(), driver, driver.trading, driver.session)))
    signature = dict(parse_qsl(request.body.decode()))["signature"]
    assert SECRET not in shown and signature not in shown and KEY not in shown
    assert SECRET not in request.body.decode() and SECRET.encode() not in frame.frame


def test_the_window_can_be_set_and_is_the_one_that_is_sent(eth, auth):
    rules = order_rules(1_500)
    assert rules.recv_window_ms == 1_500
    assert b"&recvWindow=1500&" in Trading(rules).place(limit(), ID, eth, auth, NOW_MS).body
    assert json.loads(Session(rules).opening()[0]("c1", auth, NOW_MS).frame)["params"]["recvWindow"] == 1_500
    for bad in (0, -1, 60_001):
        with pytest.raises(InvalidRequest, match="60000"):
            order_rules(bad)


def test_rules_and_limits_are_data_with_a_source(driver):
    rules = driver.trading.rules
    assert (rules.recv_window_ms, rules.backend_s, rules.client_id_length) == (5_000, 10.0, 36)
    assert rules.visible_after_s > 0 and "2026" in rules.source
    assert rules.lists == {kind.value for kind in OrderListKind} and rules.amends == {"quantity down"}
    assert [(limit.name, limit.points) for limit in driver.trading.limits] == [
        ("ORDERS/10s", 50),
        ("ORDERS/86400s", 160_000),
    ]


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ("live", "wss://ws-api.binance.com:443/ws-api/v3"),
        ("testnet", "wss://ws-api.testnet.binance.vision/ws-api/v3"),
        ("demo", "wss://demo-ws-api.binance.com/ws-api/v3"),
    ],
)
def test_the_session_lives_where_the_venue_says(driver, environment, url):
    hosts = next(hosts for env, hosts in driver.hosts.items() if env.value == environment)
    assert driver.session.url(hosts) == url
    assert (driver.session.max_age_s, driver.session.rollover_before_s) == (86_400.0, 1_800.0)
