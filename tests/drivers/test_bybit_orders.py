"""Commands to requests: what goes out for every kind of order and product, and what is refused before anything is signed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from connector.domain import Symbol
from connector.domain.account import PositionSide
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    OrderListKind,
    PlaceOrder,
    PlaceOrderList,
    SelfTrade,
    TriggerPrice,
)
from connector.domain.market import Side
from connector.domain.orders import Order, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.bybit.signing import hmac_signer
from connector.drivers.bybit.trading import order_rules
from connector.drivers.trading import Auth
from connector.errors import InvalidRequest, Unsupported

D = Decimal
AUTH = Auth("DUMMYKEY0123456789", hmac_signer("DUMMYSECRETabcdefghijklmnopqrstuvwxyz"), "hmac")
AT_MS = 1_767_225_600_000
SPOT, LINEAR, INVERSE = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")
SYMBOLS = {"bybit": SPOT, "bybit-linear": LINEAR, "bybit-inverse": INVERSE}
T = OrderType


def order(symbol=LINEAR, type=T.LIMIT, side=Side.BUY, **more):
    return PlaceOrder(symbol=symbol, side=side, type=type, **more)


def known(symbol=LINEAR, type=T.LIMIT, **more):
    about = {"event_time_ns": 1, "received_ns": 1, "client_id": "cn-1", "venue_id": "fd4300ae-7847", "side": Side.BUY}
    about |= {"time_in_force": TimeInForce.GTC, "status": OrderStatus.NEW, "status_text": "New", "quantity": D(1)}
    about |= {"filled": D(0), "price": D(50000)}
    return Order(venue="x", symbol=symbol, type=type, **(about | more))


@pytest.fixture
def sent(bybit_drivers, bybit_tables):
    """sent(order): the body that goes out, the same by REST and by the order connection."""

    def sent(command, client_id="cn-1", current=None):
        name = next(name for name, symbol in SYMBOLS.items() if symbol == command.symbol)
        driver, instrument = bybit_drivers[name], bybit_tables[name][command.symbol]
        if isinstance(command, PlaceOrder):
            rest = driver.trading.place(command, client_id, instrument, AUTH, AT_MS)
            frame = driver.session.place("c1", command, client_id, instrument, AUTH, AT_MS)
        elif isinstance(command, CancelOrder):
            rest = driver.trading.cancel(command, current, instrument, AUTH, AT_MS)
            frame = driver.session.cancel("c1", command, current, instrument, AUTH, AT_MS)
        else:
            rest = driver.trading.amend(command, current, instrument, AUTH, AT_MS)
            frame = driver.session.amend("c1", command, current, instrument, AUTH, AT_MS)
        (params,) = json.loads(frame.frame)["args"]
        assert params == json.loads(rest.body)
        assert set(frame.charges) < set(rest.charges)
        return params

    return sent


# ---------------------------------------------------------------- the vector, byte for byte


def test_order_is_signed_and_sent_byte_for_byte_as_the_vector(bybit_drivers, bybit_tables):
    command = order(type=T.LIMIT_MAKER, quantity=D("0.001"), price=D("50000"))
    request = bybit_drivers["bybit-linear"].trading.place(
        command, "cn-000001", bybit_tables["bybit-linear"][LINEAR], AUTH, AT_MS
    )
    assert request.body == (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"50000",'
        b'"timeInForce":"PostOnly","orderLinkId":"cn-000001"}'
    )
    assert (request.method, request.target, request.safe) == ("POST", "/v5/order/create", False)
    assert request.headers["X-BAPI-SIGN"] == "2665fcdbc808735c2f954b7c7b2d285f580eebca78f01203185d7ce471552458"
    assert request.headers["Content-Type"] == "application/json"
    assert request.charges == (Charge("order/create contracts", 1), Charge("IP/5s", 1))
    assert "SIGN" not in repr(request) and "50000" not in repr(request)


def test_window_of_the_rules_is_the_one_signed(bybit_drivers, bybit_tables):
    from dataclasses import replace

    trading = replace(bybit_drivers["bybit"].trading, rules=order_rules(1_000))
    request = trading.place(order(SPOT, T.MARKET, quantity=D(1)), "a", bybit_tables["bybit"][SPOT], AUTH, AT_MS)
    assert request.headers["X-BAPI-RECV-WINDOW"] == "1000" and trading.rules.recv_window_ms == 1_000
    for window in (0, 60_001):
        with pytest.raises(InvalidRequest):
            order_rules(window)


# ---------------------------------------------------------------- what goes out


@pytest.mark.parametrize(
    ("command", "params"),
    [
        (
            order(quantity=D("0.010"), price=D("88000.10")),
            {"qty": "0.010", "price": "88000.1", "orderType": "Limit", "timeInForce": "GTC"},
        ),
        (
            order(quantity=D(1), price=D(5), time_in_force=TimeInForce.IOC),
            {"qty": "1", "price": "5", "timeInForce": "IOC"},
        ),
        (order(quantity=D(1), price=D(5), time_in_force=TimeInForce.FOK), {"timeInForce": "FOK"}),
        (
            order(type=T.MARKET, side=Side.SELL, quantity=D("1E-3")),
            {"side": "Sell", "orderType": "Market", "qty": "0.001"},
        ),
        (order(quantity=D(1), price=D(5), reduce_only=True), {"reduceOnly": True}),
        (order(quantity=D(1), price=D(5), position_side=PositionSide.LONG), {"positionIdx": 1}),
        (order(quantity=D(1), price=D(5), position_side=PositionSide.SHORT), {"positionIdx": 2}),
        (order(quantity=D(1), price=D(5), self_trade=SelfTrade.EXPIRE_TAKER), {"smpType": "CancelTaker"}),
        (order(quantity=D(1), price=D(5), self_trade=SelfTrade.EXPIRE_MAKER), {"smpType": "CancelMaker"}),
        (order(quantity=D(1), price=D(5), self_trade=SelfTrade.EXPIRE_BOTH), {"smpType": "CancelBoth"}),
        (order(quantity=D(1), price=D(5), self_trade=SelfTrade.NONE), {"smpType": "None"}),
        (order(SPOT, quantity=D(1), price=D(5)), {"category": "spot", "orderFilter": "Order"}),
        (order(SPOT, T.MARKET, quantity=D("0.01")), {"qty": "0.01", "marketUnit": "baseCoin"}),
        (order(SPOT, T.MARKET, Side.SELL, quantity=D("0.01")), {"marketUnit": "baseCoin"}),
        (order(SPOT, T.MARKET, quote_quantity=D("100.5")), {"qty": "100.5", "marketUnit": "quoteCoin"}),
        (order(SPOT, T.MARKET, Side.SELL, quote_quantity=D(100)), {"marketUnit": "quoteCoin"}),
        (order(INVERSE, T.MARKET, contracts=D(100)), {"category": "inverse", "symbol": "BTCUSD", "qty": "100"}),
        (order(INVERSE, contracts=D(100), price=D(50000)), {"qty": "100", "price": "50000"}),
        (order(INVERSE, quantity=D("0.002"), price=D(50000)), {"qty": "100"}),
    ],
)
def test_order_goes_out_in_the_venues_words(sent, command, params):
    body = sent(command)
    assert body == body | params
    assert body["orderLinkId"] == "cn-1"
    assert ("marketUnit" in body) is (command.symbol is SPOT and command.type is T.MARKET)
    assert ("positionIdx" in body) is (command.position_side is not PositionSide.NET)
    assert ("timeInForce" in body) is (command.type is not T.MARKET)


@pytest.mark.parametrize(
    ("type", "side", "direction", "word"),
    [
        (T.STOP, Side.BUY, 1, "Market"),
        (T.STOP, Side.SELL, 2, "Market"),
        (T.STOP_LIMIT, Side.BUY, 1, "Limit"),
        (T.STOP_LIMIT, Side.SELL, 2, "Limit"),
        (T.TAKE_PROFIT, Side.BUY, 2, "Market"),
        (T.TAKE_PROFIT, Side.SELL, 1, "Market"),
        (T.TAKE_PROFIT_LIMIT, Side.BUY, 2, "Limit"),
        (T.TAKE_PROFIT_LIMIT, Side.SELL, 1, "Limit"),
    ],
)
def test_conditional_order_says_which_way_the_price_has_to_go(sent, type, side, direction, word):
    price = {"price": D(90000)} if word == "Limit" else {}
    command = order(type=type, side=side, quantity=D(1), stop_price=D(89000), **price)
    body = sent(command)
    assert (body["triggerPrice"], body["triggerDirection"], body["orderType"]) == ("89000", direction, word)
    assert "triggerBy" not in body and "orderFilter" not in body
    for by, text in (("LAST", "LastPrice"), ("MARK", "MarkPrice"), ("INDEX", "IndexPrice")):
        marked = order(type=type, side=side, quantity=D(1), stop_price=D(89000), trigger_by=TriggerPrice[by], **price)
        assert sent(marked)["triggerBy"] == text
    spot = order(SPOT, type, side, quantity=D(1), stop_price=D(89000), **price)
    told = sent(spot)
    assert told["orderFilter"] == "tpslOrder" and "triggerDirection" not in told
    assert told.get("marketUnit") == (None if price else "baseCoin")


def test_closing_a_position_takes_no_quantity(sent):
    body = sent(order(type=T.STOP, side=Side.SELL, stop_price=D(80000), close_position=True))
    assert (body["qty"], body["reduceOnly"], body["closeOnTrigger"]) == ("0", True, True)


# ---------------------------------------------------------------- what is refused here


@pytest.mark.parametrize(
    ("command", "error", "says"),
    [
        (order(quantity=D(1), price=D(5), test=True), Unsupported, "test"),
        (order(quantity=D(1), price=D(5), iceberg_quantity=D(1)), Unsupported, "iceberg"),
        (order(type=T.STOP, quantity=D(1), trailing_bips=5), Unsupported, "trailing"),
        (order(quantity=D(1), price=D(5), self_trade=SelfTrade.DECREMENT), Unsupported, "DECREMENT"),
        (order(SPOT, quantity=D(1), price=D(5), reduce_only=True), Unsupported, "no positions"),
        (order(SPOT, quantity=D(1), price=D(5), position_side=PositionSide.LONG), Unsupported, "no positions"),
        (order(SPOT, T.STOP, stop_price=D(1), close_position=True), Unsupported, "no positions"),
        (order(SPOT, T.STOP, quantity=D(1), stop_price=D(1), trigger_by=TriggerPrice.MARK), Unsupported, "last one"),
        (order(SPOT, contracts=D(1), price=D(5)), Unsupported, "give quantity"),
        (order(contracts=D(1), price=D(5)), Unsupported, "give quantity"),
        (order(type=T.MARKET, quote_quantity=D(5)), Unsupported, "quote quantity"),
        (order(INVERSE, contracts=D(1), price=D(5), position_side=PositionSide.LONG), Unsupported, "USDT only"),
        (order(type=T.OTHER, quantity=D(1)), InvalidRequest, "LIMIT_MAKER"),
        (order(price=D(5)), InvalidRequest, "only one"),
        (order(SPOT, T.MARKET, quantity=D(1), quote_quantity=D(1)), InvalidRequest, "only one"),
        (order(SPOT, quote_quantity=D(1), price=D(1)), InvalidRequest, "market orders"),
        (order(quantity=D(1)), InvalidRequest, "needs a price"),
        (order(type=T.MARKET, quantity=D(1), price=D(5)), InvalidRequest, "takes no price"),
        (order(type=T.STOP, quantity=D(1)), InvalidRequest, "needs stop_price"),
        (order(quantity=D(1), price=D(5), stop_price=D(1)), InvalidRequest, "takes no stop_price"),
        (order(quantity=D(1), price=D(5), trigger_by=TriggerPrice.LAST), InvalidRequest, "trigger_by"),
        (order(type=T.MARKET, quantity=D(1), time_in_force=TimeInForce.IOC), InvalidRequest, "no time_in_force"),
        (order(quantity=D(1), price=D(5), time_in_force=TimeInForce.OTHER), InvalidRequest, "OTHER"),
        (order(type=T.STOP, quantity=D(1), stop_price=D(1), close_position=True), InvalidRequest, "close_position"),
        (order(quantity=D(1), price=D(5), close_position=True), InvalidRequest, "close_position"),
        (order(quantity=D("0.0001"), price=D(5)), InvalidRequest, "4 decimals"),
        (order(quantity=D(1), price=D("5.01")), InvalidRequest, "keeps 1"),
        (order(quantity=D(0), price=D(5)), InvalidRequest, "positive"),
        (order(quantity=D(-1), price=D(5)), InvalidRequest, "positive"),
        (order(quantity=D("1e30"), price=D(5)), InvalidRequest, "positive"),
        (order(INVERSE, quantity=D("0.0021"), price=D(49999)), InvalidRequest, "Give contracts"),
        (order(INVERSE, T.MARKET, quantity=D("0.002")), InvalidRequest, "Give contracts"),
        (order(INVERSE, quantity=D(-1), price=D(49999)), InvalidRequest, "positive"),
        (order(INVERSE, contracts=D("1.5"), price=D(49999)), InvalidRequest, "1 decimals"),
    ],
)
def test_what_the_venue_would_refuse_for_its_form_is_refused_before_anything_is_signed(sent, command, error, says):
    with pytest.raises(error, match=says):
        sent(command)


@pytest.mark.parametrize("client_id", ["", "x" * 37, "a b", "ünique", "a/b", "a\n"])
def test_client_id_the_venue_would_not_take_is_refused(sent, client_id):
    with pytest.raises(InvalidRequest):
        sent(order(quantity=D(1), price=D(5)), client_id)


def test_command_and_instrument_have_to_be_about_the_same(bybit_drivers, bybit_tables):
    trading, table = bybit_drivers["bybit-linear"].trading, bybit_tables["bybit-linear"]
    with pytest.raises(InvalidRequest, match="the instrument is"):
        trading.place(order(quantity=D(1), price=D(5)), "a", table[Symbol("ETH", "USDT", "USDT")], AUTH, AT_MS)


def test_order_lists_are_unsupported(bybit_drivers, bybit_tables):
    pair = PlaceOrderList(kind=OrderListKind.OCO, orders=(order(quantity=D(1), price=D(5)),) * 2)
    for name, symbol in SYMBOLS.items():
        driver, instrument = bybit_drivers[name], bybit_tables[name][symbol]
        assert driver.trading.rules.lists == frozenset()
        with pytest.raises(Unsupported, match="one by one"):
            driver.trading.place_list(pair, ["a", "b"], instrument, AUTH, AT_MS)
        with pytest.raises(Unsupported, match="one by one"):
            driver.session.place_list("c1", pair, ["a", "b"], instrument, AUTH, AT_MS)


# ---------------------------------------------------------------- cancels and amends


def test_cancel_names_one_id(sent):
    command = CancelOrder(symbol=LINEAR, client_id="cn-1")
    assert sent(command, current=known()) == {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "cn-1"}
    external = CancelOrder(symbol=LINEAR, client_id="")
    assert sent(external, current=known())["orderId"] == "fd4300ae-7847"
    with pytest.raises(InvalidRequest, match="which order"):
        sent(external, current=known(venue_id=None))


@pytest.mark.parametrize(
    ("type", "status", "filter"),
    [
        (T.LIMIT, "New", "Order"),
        (T.STOP, "Untriggered", "tpslOrder"),
        (T.TAKE_PROFIT_LIMIT, "", "tpslOrder"),
        (T.STOP_LIMIT, "New", "Order"),
        (T.STOP_LIMIT, "PartiallyFilled", "Order"),
    ],
)
def test_cancel_on_spot_says_of_which_kind_the_order_is(sent, type, status, filter):
    command = CancelOrder(symbol=SPOT, client_id="cn-1")
    assert sent(command, current=known(SPOT, type, status_text=status))["orderFilter"] == filter


@pytest.mark.parametrize(
    ("command", "current", "changes"),
    [
        (AmendOrder(symbol=LINEAR, client_id="cn-1", quantity=D("0.5")), known(), {"qty": "0.5"}),
        (AmendOrder(symbol=LINEAR, client_id="cn-1", price=D("87000.5")), known(), {"price": "87000.5"}),
        (
            AmendOrder(symbol=SPOT, client_id="cn-1", quantity=D(2), price=D("1.25")),
            known(SPOT),
            {"qty": "2", "price": "1.25"},
        ),
        (
            AmendOrder(symbol=INVERSE, client_id="cn-1", quantity=D(300)),
            known(INVERSE, in_contracts=True),
            {"qty": "300"},
        ),
        (AmendOrder(symbol=INVERSE, client_id="cn-1", quantity=D("0.01")), known(INVERSE), {"qty": "500"}),
        (
            AmendOrder(symbol=INVERSE, client_id="cn-1", quantity=D("0.01"), price=D(40000)),
            known(INVERSE),
            {"qty": "400", "price": "40000"},
        ),
    ],
)
def test_amend_says_what_changes_and_nothing_else(sent, command, current, changes):
    name = {SPOT: "spot", LINEAR: "linear", INVERSE: "inverse"}[command.symbol]
    symbol = "BTCUSD" if command.symbol == INVERSE else "BTCUSDT"
    assert sent(command, current=current) == {"category": name, "symbol": symbol, "orderLinkId": "cn-1", **changes}


def test_amend_in_base_units_without_a_price_is_no_number_of_contracts(sent):
    command = AmendOrder(symbol=INVERSE, client_id="cn-1", quantity=D("0.01"))
    with pytest.raises(InvalidRequest, match="Give contracts"):
        sent(command, current=known(INVERSE, price=None))


def test_rules_say_what_is_true_of_orders_here(bybit_drivers):
    for driver in bybit_drivers.values():
        rules = driver.trading.rules
        assert rules.ack_is_receipt and not rules.fill_ids_counted and rules.since_s == 604_800.0
        assert rules.amends == {"quantity down", "quantity up", "price"}
        assert (rules.client_id_length, rules.recv_window_ms) == (36, 5_000)


def test_session_frame_carries_number_time_and_window(bybit_drivers, bybit_tables):
    driver = bybit_drivers["bybit"]
    request = driver.session.place(
        "c7", order(SPOT, T.MARKET, quantity=D(1)), "cn-1", bybit_tables["bybit"][SPOT], AUTH, AT_MS
    )
    told = json.loads(request.frame)
    assert (told["reqId"], told["op"], request.request_id, request.answers) == ("c7", "order.create", "c7", "")
    assert told["header"] == {"X-BAPI-TIMESTAMP": "1767225600000", "X-BAPI-RECV-WINDOW": "5000"}
    assert request.charges == (Charge("order/create spot", 1),)
    assert "cn-1" not in repr(request)
