"""Signed futures requests: every order kind, cancel, amend and question, to the byte, and what is refused before it is sent.

The expected texts are written out by hand from the documents; their signatures are computed here with the standard library.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from urllib.parse import parse_qsl

import msgspec
import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, D, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.domain.account import MarginMode, PositionMode, PositionSide
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    OrderListKind,
    PlaceOrder,
    PlaceOrderList,
    SelfTrade,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
    TriggerPrice,
)
from connector.domain.credentials import Credentials
from connector.domain.market import Side
from connector.domain.orders import Order, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.binance import COINM, USDM
from connector.drivers.binance.futures.trading import order_rules
from connector.drivers.binance.signing import hmac_signer, percent_encoded, rest_payload, session_payload
from connector.errors import InvalidRequest, Unsupported

KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"  # published example, no secret
NOW_MS = 1_762_000_000_123
TAIL = f"recvWindow=5000&timestamp={NOW_MS}"
ETH, INV = ETH_LINEAR, BTC_INVERSE
ID = "acme-000042"
WEIGHT, ORDERS_10S, ORDERS_60S = "REQUEST_WEIGHT/60s", "ORDERS/10s", "ORDERS/60s"
ORDER = (Charge(ORDERS_10S, 1), Charge(ORDERS_60S, 1))
AUTH = USDM.trading.auth(Credentials(KEY, secret=SECRET))


def hmac_hex(text):
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(text):
    text = f"{text}&{TAIL}" if text else TAIL
    return f"{text}&signature={hmac_hex(text)}"


def eth(driver=USDM):
    return table_of(driver.name)[ETH if driver is USDM else INV]


def order(kind=OrderType.LIMIT, side=Side.BUY, **fields):
    return PlaceOrder(**({"symbol": ETH, "side": side, "type": kind, "quantity": D("1.5")} | fields))


def limit(**fields):
    return order(**{"price": D("0.10"), **fields})


def coin(kind=OrderType.LIMIT, **fields):
    return PlaceOrder(**({"symbol": INV, "side": Side.SELL, "type": kind, "contracts": D(3)} | fields))


def known(driver=USDM, **changes):
    order = Order(
        venue=driver.name,
        symbol=ETH if driver is USDM else INV,
        event_time_ns=1,
        received_ns=1,
        client_id=ID,
        venue_id="77",
        side=Side.SELL,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        status=OrderStatus.NEW,
        status_text="NEW",
        quantity=D("1.5"),
        filled=D(0),
        price=D("3000.0"),
    )
    return msgspec.structs.replace(order, **changes)


# ---------------------------------------------------------------- vectors

VECTORS = [
    (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        (
            "batchOrders=%5B%7B%22symbol%22%3A%22BTCUSDT%22%2C%22side%22%3A%22BUY%22%2C%22type%22%3A%22LIMIT%22%2C"
            "%22timeInForce%22%3A%22GTC%22%2C%22quantity%22%3A%220.001%22%2C%22price%22%3A%229000%22%7D%5D"
            "&recvWindow=5000&timestamp=1762000000000"
        ),
        "1b9b733804f582716c30a038cc3b9f5560332b0eee3523afa8e2c3bbba4d25e2",
    ),
    (
        (
            "symbol=BTCUSD_PERP&side=SELL&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
            "&timestamp=1591702613943"
        ),
        "037700cf8975fdf7827fefb2bf3c8ba03da87ca9284afdc4b8bd508db0f9f82c",
    ),
]


@pytest.mark.parametrize(("payload", "signature"), VECTORS, ids=["F1", "F3", "F4"])
def test_published_payloads_have_their_signatures(payload, signature):
    assert percent_encoded(parse_qsl(payload)) == payload
    assert hmac_signer(SECRET)(payload) == signature == hmac_hex(payload)


def test_query_and_body_are_glued_without_a_separator():
    query = [("symbol", "BTCUSDT"), ("side", "BUY"), ("type", "LIMIT"), ("timeInForce", "GTC")]
    body = [("quantity", "1"), ("price", "9000"), ("recvWindow", "5000"), ("timestamp", "1591702613943")]
    signature = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"
    assert hmac_signer(SECRET)(rest_payload(query, body)) == signature


def test_session_requests_are_signed_sorted_by_name():
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001"}
    params |= {"price": "9000", "recvWindow": 5000, "timestamp": 1762000000000, "apiKey": KEY}
    signature = "183b6b400ba4d93f5c78eb30447f8bd0fe9d6865693fa26ff7a954a64930d4a2"
    assert hmac_signer(SECRET)(session_payload(params)) == signature


# ---------------------------------------------------------------- orders

S = OrderType
REGULAR = [
    (limit(), "type=LIMIT&timeInForce=GTC&quantity=1.5&price=0.1"),
    (limit(time_in_force=TimeInForce.IOC), "type=LIMIT&timeInForce=IOC&quantity=1.5&price=0.1"),
    (limit(time_in_force=TimeInForce.FOK), "type=LIMIT&timeInForce=FOK&quantity=1.5&price=0.1"),
    (order(S.LIMIT_MAKER, price=D(3000)), "type=LIMIT&timeInForce=GTX&quantity=1.5&price=3000"),
    (order(S.MARKET, quantity=D("100")), "type=MARKET&quantity=100"),
]
ALGO = [
    (order(S.STOP, stop_price=D("0.2")), "type=STOP_MARKET&quantity=1.5&triggerPrice=0.2"),
    (
        order(S.STOP, stop_price=D("0.2"), trigger_by=TriggerPrice.MARK),
        "type=STOP_MARKET&quantity=1.5&triggerPrice=0.2&workingType=MARK_PRICE",
    ),
    (order(S.STOP, trailing_bips=150), "type=TRAILING_STOP_MARKET&quantity=1.5&callbackRate=1.5"),
    (
        order(S.STOP, trailing_bips=25, stop_price=D(7), trigger_by=TriggerPrice.LAST),
        "type=TRAILING_STOP_MARKET&quantity=1.5&activatePrice=7&callbackRate=0.25&workingType=CONTRACT_PRICE",
    ),
    (
        order(S.STOP_LIMIT, price=D("0.3"), stop_price=D("0.2")),
        "type=STOP&timeInForce=GTC&quantity=1.5&price=0.3&triggerPrice=0.2",
    ),
    (order(S.TAKE_PROFIT, stop_price=D("0.2")), "type=TAKE_PROFIT_MARKET&quantity=1.5&triggerPrice=0.2"),
    (
        order(S.TAKE_PROFIT_LIMIT, price=D("0.3"), stop_price=D("0.2"), time_in_force=TimeInForce.IOC),
        "type=TAKE_PROFIT&timeInForce=IOC&quantity=1.5&price=0.3&triggerPrice=0.2",
    ),
    (
        order(S.STOP, stop_price=D("0.2"), quantity=None, close_position=True),
        "type=STOP_MARKET&closePosition=true&triggerPrice=0.2",
    ),
    (
        order(S.TAKE_PROFIT, stop_price=D("0.2"), quantity=None, close_position=True),
        "type=TAKE_PROFIT_MARKET&closePosition=true&triggerPrice=0.2",
    ),
]


def over_the_session(frame, method, text):
    said = json.loads(frame.frame)
    pairs = dict(parse_qsl(f"{text}&{TAIL}")) | {"apiKey": KEY}
    payload = "&".join(f"{name}={pairs[name]}" for name in sorted(pairs))
    assert said["method"] == method
    assert {name: str(value) for name, value in said["params"].items()} == pairs | {"signature": hmac_hex(payload)}


@pytest.mark.parametrize(("wanted", "middle"), REGULAR)
@pytest.mark.parametrize(("side", "word"), [(Side.BUY, "BUY"), (Side.SELL, "SELL")])
def test_regular_orders_are_written_and_signed_to_the_byte(wanted, middle, side, word):
    wanted = msgspec.structs.replace(wanted, side=side)
    text = f"symbol=ETHUSDT&side={word}&{middle}&newClientOrderId={ID}&newOrderRespType=RESULT"

    request = USDM.trading.place(wanted, ID, eth(), AUTH, NOW_MS)
    assert (request.method, request.path, request.query, request.safe) == ("POST", "/fapi/v1/order", "", False)
    assert request.body.decode() == signed(text)
    assert request.headers == {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    assert request.charges == ORDER  # no weight, one on each order limit

    frame = USDM.session.place("c7", wanted, ID, eth(), AUTH, NOW_MS)
    over_the_session(frame, "order.place", text)
    assert (frame.request_id, frame.charges) == ("c7", ORDER)


@pytest.mark.parametrize(("wanted", "middle"), ALGO)
def test_conditional_orders_are_algo_orders(wanted, middle):
    text = f"algoType=CONDITIONAL&symbol=ETHUSDT&side=BUY&{middle}&clientAlgoId={ID}&newOrderRespType=RESULT"

    request = USDM.trading.place(wanted, ID, eth(), AUTH, NOW_MS)
    assert (request.method, request.path) == ("POST", "/fapi/v1/algoOrder")
    assert request.body.decode() == signed(text)
    assert request.charges == ORDER
    over_the_session(USDM.session.place("c7", wanted, ID, eth(), AUTH, NOW_MS), "algoOrder.place", text)


def test_coin_m_orders_count_whole_contracts():
    text = f"symbol=BTCUSD_PERP&side=SELL&type=LIMIT&timeInForce=GTC&quantity=3&price=50000&newClientOrderId={ID}"
    request = COINM.trading.place(coin(price=D("50000.0")), ID, eth(COINM), AUTH, NOW_MS)
    assert request.path == "/dapi/v1/order" and request.body.decode() == signed(f"{text}&newOrderRespType=RESULT")
    over_the_session(
        COINM.session.place("c1", coin(price=D("50000.0")), ID, eth(COINM), AUTH, NOW_MS),
        "order.place",
        f"{text}&newOrderRespType=RESULT",
    )


def test_base_units_become_contracts_where_they_are_a_whole_number_of_them():
    base = coin(price=D(50000), contracts=None, quantity=D("0.006"))
    assert b"&quantity=3&" in COINM.trading.place(base, ID, eth(COINM), AUTH, NOW_MS).body
    third = coin(price=D(60000), contracts=None, quantity=D("0.0016666666666667"))  # one contract, rounded at 16 places
    assert b"&quantity=1&" in COINM.trading.place(third, ID, eth(COINM), AUTH, NOW_MS).body
    for wrong in (
        coin(price=D(50000), contracts=None, quantity=D("0.0061")),
        coin(price=D(50000), contracts=D("1.5")),
        coin(S.MARKET, contracts=None, quantity=D("0.006")),
    ):
        with pytest.raises(InvalidRequest, match="contracts"):
            COINM.trading.place(wrong, ID, eth(COINM), AUTH, NOW_MS)


def test_coin_m_market_orders_ask_for_a_receipt_since_no_answer_names_a_price():
    market = COINM.trading.place(coin(S.MARKET), ID, eth(COINM), AUTH, NOW_MS).body
    assert b"&newOrderRespType=ACK&" in market
    stop = COINM.trading.place(coin(S.STOP, stop_price=D(9)), ID, eth(COINM), AUTH, NOW_MS)
    assert stop.path == "/dapi/v1/algoOrder" and b"&newOrderRespType=RESULT&" in stop.body


def test_what_coin_ms_session_does_not_take_is_unsupported_there_and_goes_by_rest():
    stop = coin(S.STOP, stop_price=D(9))
    current = known(COINM, type=S.STOP, venue_id="algo:5")
    with pytest.raises(Unsupported, match="by REST"):
        COINM.session.place("c1", stop, ID, eth(COINM), AUTH, NOW_MS)
    with pytest.raises(Unsupported, match="by REST"):
        COINM.session.cancel("c1", CancelOrder(symbol=INV, client_id=ID), current, eth(COINM), AUTH, NOW_MS)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"reduce_only": True}, "&reduceOnly=true"),
        ({"position_side": PositionSide.LONG}, "&positionSide=LONG"),
        ({"position_side": PositionSide.SHORT, "reduce_only": True}, "&positionSide=SHORT"),
        ({"self_trade": SelfTrade.EXPIRE_TAKER}, "&selfTradePreventionMode=EXPIRE_TAKER"),
        ({"self_trade": SelfTrade.EXPIRE_MAKER}, "&selfTradePreventionMode=EXPIRE_MAKER"),
        (
            {"self_trade": SelfTrade.EXPIRE_BOTH, "reduce_only": True},
            "&reduceOnly=true&selfTradePreventionMode=EXPIRE_BOTH",
        ),
    ],
)
def test_terms_are_named_and_reduce_only_is_not_said_in_hedge_mode(fields, end):
    body = USDM.trading.place(limit(**fields), ID, eth(), AUTH, NOW_MS).body.decode()
    assert f"newOrderRespType=RESULT{end}&recvWindow=" in body


def test_tests_of_orders_are_usd_ms_alone():
    request = USDM.trading.place(limit(test=True), ID, eth(), AUTH, NOW_MS)
    assert request.path == "/fapi/v1/order/test" and request.charges == (Charge(WEIGHT, 1),)
    stop = order(S.STOP, stop_price=D(1), test=True)
    for driver, wanted in ((USDM, stop), (COINM, coin(price=D(1), test=True))):
        with pytest.raises(Unsupported, match="no test"):
            driver.trading.place(wanted, ID, eth(driver), AUTH, NOW_MS)
    with pytest.raises(Unsupported):
        USDM.session.place("c1", limit(test=True), ID, eth(), AUTH, NOW_MS)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (order(S.MARKET, quantity=None), "quantity or contracts"),
        (order(), "needs a price"),
        (order(S.MARKET, price=D(1)), "takes no price"),
        (limit(stop_price=D(1)), "takes no stop_price"),
        (limit(trigger_by=TriggerPrice.MARK), "no trigger"),
        (order(S.STOP), "needs stop_price"),
        (order(S.STOP, trailing_bips=9), "expected 10 to 2000"),
        (order(S.STOP, trailing_bips=2001), "expected 10 to 2000"),
        (order(S.MARKET, time_in_force=TimeInForce.IOC), "takes no time_in_force"),
        (order(S.LIMIT_MAKER, price=D(1), time_in_force=TimeInForce.GTC), "takes no time_in_force"),
        (limit(time_in_force=TimeInForce.OTHER), "OTHER"),
        (order(S.OTHER), "cannot be asked for"),
        (limit(price=D(-1)), "positive number"),
        (limit(price=D("1e30")), "positive number"),
        (limit(price=D("0.123456789")), "decimals"),
        (limit(quantity=D("0.123456789")), "decimals"),
        (order(S.STOP, stop_price=D(1), close_position=True), "without a quantity"),
        (order(S.STOP, stop_price=D(1), quantity=None, close_position=True, reduce_only=True), "without reduce_only"),
        (order(S.STOP, trailing_bips=100, quantity=None, close_position=True), "that have a stop_price"),
        (order(S.STOP_LIMIT, price=D(1), stop_price=D(1), quantity=None, close_position=True), "stop and take_profit"),
        (limit(reduce_only=True, position_side=PositionSide.LONG), "closes nothing"),
        (limit(side=Side.SELL, reduce_only=True, position_side=PositionSide.SHORT), "closes nothing"),
        (limit(symbol=INV), "the instrument is"),
    ],
)
def test_orders_the_venue_would_refuse_for_their_form_are_refused_here(wanted, words):
    with pytest.raises(InvalidRequest, match=re.escape(words)):
        USDM.trading.place(wanted, ID, eth(), AUTH, NOW_MS)


@pytest.mark.parametrize(
    "wanted",
    [
        order(S.MARKET, quantity=None, quote_quantity=D(5)),
        limit(quantity=None, contracts=D(1)),
        limit(iceberg_quantity=D(1)),
        limit(self_trade=SelfTrade.NONE),
        limit(self_trade=SelfTrade.DECREMENT),
        order(S.STOP, stop_price=D(1), trigger_by=TriggerPrice.INDEX),
        order(S.TAKE_PROFIT, trailing_bips=100),
        order(S.STOP_LIMIT, price=D(1), trailing_bips=100),
    ],
)
def test_what_the_venue_does_not_have_is_unsupported(wanted):
    with pytest.raises(Unsupported, match="Nothing was sent"):
        USDM.trading.place(wanted, ID, eth(), AUTH, NOW_MS)


def test_order_lists_are_unsupported():
    wanted = PlaceOrderList(kind=OrderListKind.OCO, orders=(limit(), limit()))
    with pytest.raises(Unsupported):
        USDM.trading.place_list(wanted, ["a", "b"], eth(), AUTH, NOW_MS)
    with pytest.raises(Unsupported):
        COINM.session.place_list("c1", wanted, ["a", "b"], eth(COINM), AUTH, NOW_MS)
    assert USDM.trading.rules.lists == frozenset()


@pytest.mark.parametrize("client_id", ["", "a" * 37, "a b", "ä", "a\n", "a,b"])
def test_malformed_client_ids_are_refused(client_id):
    assert re.fullmatch(USDM.trading.rules.client_id, client_id) is None
    with pytest.raises(InvalidRequest, match="client id"):
        USDM.trading.place(limit(), client_id, eth(), AUTH, NOW_MS)


@settings(max_examples=150, deadline=None)
@given(st.decimals(min_value="0.00000001", max_value="9999999999", places=8))
def test_whatever_the_number_what_is_sent_is_exactly_it_without_idle_zeros(value):
    body = USDM.trading.place(limit(price=value, quantity=value), ID, eth(), AUTH, NOW_MS).body.decode()
    sent = dict(parse_qsl(body))
    for name in ("price", "quantity"):
        assert D(sent[name]) == value and re.fullmatch(r"\d+(\.\d*[1-9])?", sent[name])


@pytest.mark.parametrize("window", [0, 60_001])
def test_windows_the_venue_does_not_take_are_refused(window):
    with pytest.raises(InvalidRequest):
        order_rules(window)


# ---------------------------------------------------------------- orders that are there already

CANCEL = CancelOrder(symbol=ETH, client_id=ID)


@pytest.mark.parametrize(
    ("current", "path", "method", "text"),
    [
        (known(), "order", "order.cancel", "symbol=ETHUSDT&orderId=77"),
        (known(venue_id=None), "order", "order.cancel", f"symbol=ETHUSDT&origClientOrderId={ID}"),
        (known(venue_id="algo:5", type=S.STOP), "algoOrder", "algoOrder.cancel", "algoId=5"),
        (known(venue_id=None, type=S.TAKE_PROFIT_LIMIT), "algoOrder", "algoOrder.cancel", f"clientAlgoId={ID}"),
        (known(venue_id="99", type=S.STOP), "order", "order.cancel", "symbol=ETHUSDT&orderId=99"),  # triggered
    ],
)
def test_cancels_go_where_the_order_is(current, path, method, text):
    request = USDM.trading.cancel(CANCEL, current, eth(), AUTH, NOW_MS)
    assert (request.method, request.path) == ("DELETE", f"/fapi/v1/{path}")
    assert request.query == signed(text) and not request.safe
    assert request.charges == (Charge(WEIGHT, 1),)
    over_the_session(USDM.session.cancel("c1", CANCEL, current, eth(), AUTH, NOW_MS), method, text)


@pytest.mark.parametrize(
    ("client_id", "venue_id", "current", "path", "text"),
    [
        (ID, "77", None, "order", "symbol=ETHUSDT&orderId=77"),
        (ID, None, None, "order", f"symbol=ETHUSDT&origClientOrderId={ID}"),
        (ID, None, known(type=S.STOP, venue_id=None), "algoOrder", f"clientAlgoId={ID}"),
        (None, "algo:5", None, "algoOrder", "algoId=5"),
        (ID, "77", known(type=S.STOP), "order", "symbol=ETHUSDT&orderId=77"),
        (ID, None, known(type=S.STOP, venue_id="99"), "order", "symbol=ETHUSDT&orderId=99"),
    ],
)
def test_orders_are_asked_for_where_they_are(client_id, venue_id, current, path, text):
    request = USDM.trading.order(client_id, venue_id, eth(), AUTH, NOW_MS, current)
    assert (request.method, request.path, request.safe) == ("GET", f"/fapi/v1/{path}", True)
    assert request.query == signed(text) and request.charges == (Charge(WEIGHT, 1),)


@pytest.mark.parametrize(
    ("client_id", "venue_id"), [(None, None), (ID, "x"), (ID, "algo:"), (ID, "algo:x"), ("ä", None)]
)
def test_an_order_that_is_not_named_cannot_be_asked_for(client_id, venue_id):
    with pytest.raises(InvalidRequest):
        USDM.trading.order(client_id, venue_id, eth(), AUTH, NOW_MS)


@pytest.mark.parametrize(
    ("fields", "quantity", "price"),
    [
        ({"quantity": D(1), "price": D("3001.50")}, "1", "3001.5"),
        ({"quantity": D("0.250")}, "0.25", "3000"),
        ({"price": D(2999)}, "1.5", "2999"),
    ],
)
def test_amends_repeat_what_is_to_stay(fields, quantity, price):
    text = f"symbol=ETHUSDT&orderId=77&side=SELL&quantity={quantity}&price={price}"
    wanted = AmendOrder(symbol=ETH, client_id=ID, **fields)
    request = USDM.trading.amend(wanted, known(), eth(), AUTH, NOW_MS)
    assert (request.method, request.path, request.body.decode()) == ("PUT", "/fapi/v1/order", signed(text))
    assert request.charges == ORDER
    over_the_session(USDM.session.amend("c1", wanted, known(), eth(), AUTH, NOW_MS), "order.modify", text)


def test_coin_m_amends_in_what_the_order_was_placed_in():
    placed = known(COINM, contracts=D(3), quantity=D("0.006"), price=D(50000), in_contracts=True)

    def body(current=placed, **fields):
        wanted = AmendOrder(symbol=INV, client_id=ID, **fields)
        request = COINM.trading.amend(wanted, current, eth(COINM), AUTH, NOW_MS)
        assert request.charges == (Charge(WEIGHT, 1), *ORDER)
        return request.body

    assert b"&quantity=5&price=50000&" in body(quantity=D(5))
    assert b"&quantity=3&price=49000&" in body(price=D(49000))
    by_base = msgspec.structs.replace(placed, in_contracts=False)
    assert b"&quantity=5&price=50000&" in body(by_base, quantity=D("0.01"))
    with pytest.raises(InvalidRequest, match="whole contracts"):
        body(by_base, quantity=D("0.011"))
    with pytest.raises(InvalidRequest, match="whole contracts"):
        body(quantity=D("1.5"))
    with pytest.raises(InvalidRequest, match="not known"):
        body(msgspec.structs.replace(placed, contracts=None), price=D(1))


@pytest.mark.parametrize(
    "current", [known(venue_id="algo:5"), known(type=S.STOP, venue_id=None), known(type=S.MARKET, price=None)]
)
def test_only_limit_orders_on_the_book_can_be_amended(current):
    with pytest.raises(Unsupported, match="limit orders"):
        USDM.trading.amend(AmendOrder(symbol=ETH, client_id=ID, quantity=D(1)), current, eth(), AUTH, NOW_MS)


# ---------------------------------------------------------------- questions

WEEK_MS = 7 * 86_400_000


@pytest.mark.parametrize(
    ("driver", "ask", "path", "text", "weight"),
    [
        (USDM, lambda t, i: t.open_orders(i, AUTH, NOW_MS), "/fapi/v1/openOrders", "symbol=ETHUSDT", 1),
        (USDM, lambda t, i: t.open_orders(None, AUTH, NOW_MS), "/fapi/v1/openOrders", "", 40),
        (USDM, lambda t, i: t.balances(AUTH, NOW_MS), "/fapi/v3/balance", "", 5),
        (COINM, lambda t, i: t.balances(AUTH, NOW_MS), "/dapi/v1/balance", "", 1),
        (
            USDM,
            lambda t, i: t.orders_since(i, 5_000_000_999_999, AUTH, NOW_MS),
            "/fapi/v1/allOrders",
            f"symbol=ETHUSDT&startTime=5000000&endTime={5_000_000 + WEEK_MS - 1}&limit=1000",
            5,
        ),
        (
            COINM,
            lambda t, i: t.orders_since(i, 0, AUTH, NOW_MS),
            "/dapi/v1/allOrders",
            f"symbol=BTCUSD_PERP&startTime=0&endTime={WEEK_MS - 1}&limit=100",
            5,
        ),
        (
            USDM,
            lambda t, i: t.orders_since(i, (NOW_MS - 1_000) * 1_000_000, AUTH, NOW_MS),
            "/fapi/v1/allOrders",
            f"symbol=ETHUSDT&startTime={NOW_MS - 1_000}&limit=1000",
            5,
        ),
        (
            USDM,
            lambda t, i: t.fills(i, None, (NOW_MS + 5) * 1_000_000, None, AUTH, NOW_MS),
            "/fapi/v1/userTrades",
            f"symbol=ETHUSDT&startTime={NOW_MS + 5}&limit=1000",
            5,
        ),
        (
            USDM,
            lambda t, i: t.fills(i, None, None, None, AUTH, NOW_MS),
            "/fapi/v1/userTrades",
            "symbol=ETHUSDT&limit=1000",
            5,
        ),
        (
            USDM,
            lambda t, i: t.fills(i, "7", None, None, AUTH, NOW_MS),
            "/fapi/v1/userTrades",
            "symbol=ETHUSDT&fromId=7&limit=1000",
            5,
        ),
        (
            USDM,
            lambda t, i: t.fills(i, None, None, "77", AUTH, NOW_MS),
            "/fapi/v1/userTrades",
            "symbol=ETHUSDT&orderId=77&limit=1000",
            5,
        ),
        (
            COINM,
            lambda t, i: t.fills(i, None, 1_000_000, None, AUTH, NOW_MS),
            "/dapi/v1/userTrades",
            f"symbol=BTCUSD_PERP&startTime=1&endTime={WEEK_MS}&limit=1000",
            5,
        ),
    ],
)
def test_questions_are_written_to_the_byte(driver, ask, path, text, weight):
    request = ask(driver.trading, eth(driver))
    assert (request.method, request.path, request.query, request.safe) == ("GET", path, signed(text), True)
    assert request.charges == (Charge(WEIGHT, weight),)


def test_fills_are_asked_for_by_time_or_by_ids_and_never_of_an_untriggered_order():
    for ids in (("7", 1, None), (None, 1, "77"), (None, None, "algo:5"), ("x", None, None)):
        with pytest.raises(InvalidRequest):
            USDM.trading.fills(eth(), *ids, AUTH, NOW_MS)


def test_the_venue_tells_no_order_counts():
    assert USDM.trading.order_counts(AUTH, NOW_MS) is None


def test_positions_come_in_one_answer():
    (linear,) = USDM.positions.positions(AUTH, NOW_MS)
    (inverse,) = COINM.positions.positions(AUTH, NOW_MS)
    assert (linear.path, linear.query, linear.charges) == ("/fapi/v2/positionRisk", signed(""), (Charge(WEIGHT, 5),))
    assert (inverse.path, inverse.query, inverse.charges) == ("/dapi/v1/positionRisk", signed(""), (Charge(WEIGHT, 1),))


def test_funding_is_asked_for_from_a_time_on():
    for driver, weight in ((USDM, 30), (COINM, 20)):
        request = driver.positions.funding(5_000_000, AUTH, NOW_MS)
        assert request.query == signed("incomeType=FUNDING_FEE&startTime=5&limit=1000")
        assert request.path.endswith("/v1/income") and request.charges == (Charge(WEIGHT, weight),)


@pytest.mark.parametrize(
    ("command", "tail", "text"),
    [
        (SetLeverage(symbol=ETH, leverage=D("5.0")), "leverage", "symbol=ETHUSDT&leverage=5"),
        (SetMarginMode(symbol=ETH, mode=MarginMode.CROSS), "marginType", "symbol=ETHUSDT&marginType=CROSSED"),
        (SetMarginMode(symbol=ETH, mode=MarginMode.ISOLATED), "marginType", "symbol=ETHUSDT&marginType=ISOLATED"),
        (SetPositionMode(mode=PositionMode.HEDGE), "positionSide/dual", "dualSidePosition=true"),
        (SetPositionMode(mode=PositionMode.ONE_WAY), "positionSide/dual", "dualSidePosition=false"),
    ],
)
def test_settings_are_written_to_the_byte(command, tail, text):
    instrument = None if command.symbol is None else eth()
    request = USDM.positions.configure(command, instrument, AUTH, NOW_MS)
    assert (request.method, request.path, request.body.decode()) == ("POST", f"/fapi/v1/{tail}", signed(text))
    assert request.charges == (Charge(WEIGHT, 1),) and not request.safe


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (SetLeverage(symbol=ETH, leverage=D("1.5")), InvalidRequest),
        (SetLeverage(symbol=ETH, leverage=D(0)), InvalidRequest),
        (SetLeverage(symbol=ETH, leverage=D(126)), InvalidRequest),
        (SetLeverage(symbol=INV, leverage=D(5)), InvalidRequest),
        (SetMarginMode(mode=MarginMode.CROSS), InvalidRequest),
        (SetMarginMode(symbol=ETH, mode=MarginMode.PORTFOLIO), Unsupported),
        (SetPositionMode(symbol=ETH, mode=PositionMode.HEDGE), InvalidRequest),
    ],
)
def test_settings_the_venue_does_not_have_are_refused(command, error):
    with pytest.raises(error):
        USDM.positions.configure(command, eth() if command.symbol is not None else None, AUTH, NOW_MS)


def test_no_request_shows_key_or_signature():
    for request in (
        USDM.trading.place(limit(), ID, eth(), AUTH, NOW_MS),
        USDM.session.place("c1", limit(), ID, eth(), AUTH, NOW_MS),
        USDM.events.key.open(AUTH),
    ):
        assert KEY not in repr(request) and "signature" not in repr(request)


def test_charges_are_of_budgets_the_driver_knows():
    for driver in (USDM, COINM):
        known_names = {limit.name for limit in driver.limits}
        wanted = limit() if driver is USDM else coin(price=D(1))
        for request in (
            driver.trading.place(wanted, ID, eth(driver), AUTH, NOW_MS),
            driver.trading.open_orders(None, AUTH, NOW_MS),
            driver.session.probe("c1"),
            driver.events.key.open(AUTH),
            *driver.positions.positions(AUTH, NOW_MS),
        ):
            assert {charge.budget for charge in request.charges} <= known_names
        assert {lim.name for lim in driver.trading.limits} == {ORDERS_10S, ORDERS_60S}
