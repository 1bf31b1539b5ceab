"""The two private connections: what opens them, what is sent, and what every frame that comes back says."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from connector.domain import Symbol
from connector.domain.account import FundingPayment, PositionSide
from connector.domain.commands import PlaceOrder
from connector.domain.facts import BalanceReport, OrderReport, PositionReport
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType
from connector.drivers.bybit.signing import hmac_signer
from connector.drivers.contract import Environment, Hosts
from connector.drivers.trading import Auth, SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
)

D = Decimal
MS = 1_000_000
AT = 1_767_225_601_000_000_000
AUTH = Auth("DUMMYKEY0123456789", hmac_signer("DUMMYSECRETabcdefghijklmnopqrstuvwxyz"), "hmac")
SPOT, LINEAR, INVERSE = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")

ORDERED = (
    b'{"reqId":"r-1","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"a4c1718e-0000","orderLinkId":'
    b'"cn-000001"},"retExtInfo":{},"header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9",'
    b'"X-Bapi-Limit-Reset-Timestamp":"1767225600208","Traceid":"38b7","Timenow":"1767225600209"},"connId":"cnt5-2v"}'
)
ORDER = (
    b'{"id":"5923_x","topic":"order.linear","creationTime":1767225600474,"data":[{"category":"linear","symbol":"BTCUSDT",'
    b'"orderId":"fd4300ae-0000-404e-b947-b46980a4d140","orderLinkId":"cn-000001","side":"Buy","orderType":"Limit",'
    b'"price":"88000","qty":"0.010","timeInForce":"GTC","orderStatus":"PartiallyFilled","cancelType":"UNKNOWN",'
    b'"rejectReason":"EC_NoError","avgPrice":"88000","leavesQty":"0.006","leavesValue":"528","cumExecQty":"0.004",'
    b'"cumExecValue":"352","cumFeeDetail":{"USDT":"0.0704"},"positionIdx":0,"reduceOnly":false,'
    b'"createdTime":"1767225600400","updatedTime":"1767225600470"}]}'
)
EXECUTION = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "closedSize": "0.5",
    "execFee": "26.3725275",
    "execId": "0ab1bdf7-4219-438b-b30a-32ec863018f7",
    "execPrice": "95900.1",
    "execQty": "0.5",
    "execType": "Trade",
    "execValue": "47950.05",
    "feeRate": "0.00055",
    "leavesQty": "0",
    "orderId": "9aac161b-8ed6-450d-9cab-c5cc67c21784",
    "orderLinkId": "cn-9",
    "orderPrice": "94942.5",
    "orderType": "Market",
    "side": "Sell",
    "execTime": "1746270400353",
    "isLeverage": "0",
    "isMaker": False,
    "seq": 140612148849382,
    "marketUnit": "",
    "execPnl": "0.05",
    "createType": "CreateByUser",
    "feeCurrency": "",
}
POSITION = {
    "positionIdx": 2,
    "symbol": "BTCUSDT",
    "side": "Sell",
    "size": "0.25",
    "entryPrice": "28000",
    "leverage": "10",
    "positionValue": "7000",
    "markPrice": "28184.5",
    "unrealisedPnl": "-46.125",
    "liqPrice": "",
    "updatedTime": "1697682317038",
    "category": "linear",
    "seq": 8327597863,
}
WALLET = {"accountType": "UNIFIED", "coin": [{"coin": "USDT", "walletBalance": "5000.5", "locked": "100"}]}


def event(topic, *rows):
    return json.dumps({"id": "x", "topic": topic, "creationTime": 1767225600474, "data": list(rows)}).encode()


@pytest.fixture
def hears(bybit_drivers, bybit_tables):
    """hears(frame): what the events' connection says of it."""
    return lambda frame, name="bybit-linear": bybit_drivers[name].events.read(frame, AT, bybit_tables[name])


@pytest.fixture
def replies(bybit_drivers, bybit_tables):
    """replies(frame): what the order connection says of it; a dict becomes a refused order."""

    def replies(frame, name="bybit-linear"):
        if isinstance(frame, dict):
            frame = json.dumps({"reqId": "c1", "retMsg": "", "op": "order.create", "retExtInfo": {}} | frame).encode()
        return bybit_drivers[name].session.read(frame, AT, bybit_tables[name])

    return replies


# ---------------------------------------------------------------- opening


def test_connections_are_where_the_venue_says(bybit_drivers):
    for driver in bybit_drivers.values():
        live, demo = driver.hosts[Environment.LIVE], driver.hosts[Environment.DEMO]
        assert driver.session.url(live) == "wss://stream.bybit.com/v5/trade"
        assert driver.events.url(live) == "wss://stream.bybit.com/v5/private"
        assert driver.events.url(demo) == "wss://stream-demo.bybit.com/v5/private"
        turkey = Hosts("https://api.bybit.tr", "wss://stream.bybit.tr", "wss://stream.bybit.tr")
        assert driver.events.url(turkey) == "wss://stream.bybit.tr/v5/private"  # a site's streams need naming once
        for language in (driver.session, driver.events):
            assert (language.key, language.max_age_s) == (None, None)


def test_login_is_signed_for_ten_seconds_and_meets_the_vector(bybit_drivers):
    driver = bybit_drivers["bybit"]
    signature = "0e01591c17d9eeec04d642dbc25180f925808db044b68d57b583dafbea3ccdac"
    args = ["DUMMYKEY0123456789", 1_767_225_610_000, signature]
    (login,) = driver.session.opening()
    request = login("c1", AUTH, 1_767_225_600_000)
    assert json.loads(request.frame) == {"reqId": "c1", "op": "auth", "args": args}
    assert (request.request_id, request.answers, request.charges) == ("c1", "auth", ())
    assert signature not in repr(request)
    events = driver.events.opening()[0]("c2", AUTH, 1_767_225_600_000)
    assert json.loads(events.frame) == {"req_id": "c2", "op": "auth", "args": args}


@pytest.mark.parametrize(
    ("name", "topics"),
    [
        ("bybit", ["order.spot", "execution.spot"]),
        ("bybit-linear", ["order.linear", "execution.linear", "position.linear"]),
        ("bybit-inverse", ["order.inverse", "execution.inverse", "position.inverse"]),
    ],
)
def test_events_of_this_product_are_asked_for_and_the_wallet_apart(bybit_drivers, name, topics):
    _, own, wallet = (step("c1", AUTH, 1) for step in bybit_drivers[name].events.opening())
    assert json.loads(own.frame) == {"req_id": "c1", "op": "subscribe", "args": topics}
    assert json.loads(wallet.frame)["args"] == ["wallet"]
    assert own.answers == wallet.answers == "subscribe"


def test_probe_is_a_ping_whose_answer_proves_life(bybit_drivers, hears, replies):
    driver = bybit_drivers["bybit-linear"]
    assert json.loads(driver.events.probe("c3").frame) == {"req_id": "c3", "op": "ping"}
    assert json.loads(driver.session.probe("c3").frame) == {"reqId": "c3", "op": "ping"}
    assert driver.events.probe("c3").answers == driver.session.probe("c3").answers == "pong"

    named = hears(b'{"req_id":"c3","op":"pong","args":["1675418560633"],"conn_id":"x"}')
    assert (named.request_id, named.answers, named.response.status) == ("c3", "pong", 200)
    nameless = replies(b'{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"x"}')
    assert (nameless.request_id, nameless.answers) == (None, "pong")
    for reply in (named, nameless):
        assert driver.trading.failure(reply.response, write=False) is None


# ---------------------------------------------------------------- replies to logins and subscriptions


@pytest.mark.parametrize(
    ("frame", "answers", "error"),
    [
        ({"success": True, "ret_msg": "", "op": "auth", "conn_id": "x"}, "auth", None),
        ({"success": False, "ret_msg": "error:USVC1111", "op": "auth"}, "auth", AuthenticationFailed),
        ({"success": False, "ret_msg": "Request expired", "op": "auth"}, "auth", ClockRejected),
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x"}, "subscribe", None),
        ({"success": False, "ret_msg": "error:topic", "op": "subscribe"}, "subscribe", VenueRejected),
    ],
)
def test_answers_of_the_events_connection_are_read_like_rests(hears, bybit_drivers, frame, answers, error):
    reply = hears(json.dumps(frame).encode())
    assert isinstance(reply, SessionReply) and (reply.request_id, reply.answers) == (None, answers)
    failure = bybit_drivers["bybit-linear"].trading.failure(reply.response, write=False)
    assert failure is None if error is None else type(failure) is error and frame["ret_msg"] in str(failure)
    assert hears(json.dumps({**frame, "req_id": "c8"}).encode()).request_id == "c8"


@pytest.mark.parametrize(
    ("code", "error"), [(10003, AuthenticationFailed), (10002, ClockRejected), (10016, VenueUnavailable)]
)
def test_refused_login_to_the_events_that_has_a_code_is_classed_by_it(hears, bybit_drivers, code, error):
    frame = {"op": "auth", "success": False, "retCode": code, "retMsg": "Invalid apikey", "connId": "x"}
    reply = hears(json.dumps(frame).encode())
    failure = bybit_drivers["bybit-linear"].trading.failure(reply.response, write=False)
    assert type(failure) is error and "Invalid apikey" in str(failure)


@pytest.mark.parametrize(
    ("code", "error"),
    [(0, None), (20001, None), (10004, AuthenticationFailed), (10003, AuthenticationFailed), (10001, VenueRejected)],
)
def test_login_to_the_order_connection_may_be_repeated_and_may_be_refused(replies, bybit_drivers, code, error):
    reply = replies(json.dumps({"retCode": code, "retMsg": "m", "op": "auth", "connId": "x"}).encode())
    assert (reply.request_id, reply.answers) == (None, "auth")
    failure = bybit_drivers["bybit-linear"].trading.failure(reply.response, write=False)
    assert failure is None if error is None else type(failure) is error


# ---------------------------------------------------------------- replies to orders


def test_reply_to_an_order_is_read_as_rests_answer_is(replies, bybit_drivers, bybit_tables):
    reply = replies(ORDERED)
    assert (reply.request_id, reply.answers) == ("r-1", "")
    trading, instrument = bybit_drivers["bybit-linear"].trading, bybit_tables["bybit-linear"][LINEAR]
    order = PlaceOrder(symbol=LINEAR, side=Side.BUY, type=OrderType.MARKET, quantity=D(1), client_id="cn-000001")
    assert trading.read_placed(reply.response, order, instrument).venue_id == "a4c1718e-0000"
    assert json.loads(reply.response.body)["time"] == 1767225600209
    assert reply.response.received_ns == AT


def test_reply_tells_what_is_used_of_which_budget(replies, bybit_drivers):
    trading = bybit_drivers["bybit-linear"].trading
    assert trading.used(replies(ORDERED).response) == {"order/create contracts": 1}
    assert trading.used(replies(ORDERED.replace(b"order.create", b"order.cancel")).response) == {
        "order/cancel contracts": 1
    }
    assert trading.used(replies(ORDERED.replace(b"order.create", b"order.dance")).response) == {}
    assert trading.used(replies({"retCode": 0}).response) == {}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (110007, VenueRejected),
        (10404, VenueRejected),
        (10403, RateLimited),
        (10019, NotConnected),
        (20003, OutcomeUnknown),
        (20006, OutcomeUnknown),
        (10016, OutcomeUnknown),
        (777777, OutcomeUnknown),
    ],
)
def test_refusal_of_an_order_is_classed_by_the_same_table(replies, bybit_drivers, code, error):
    reply = replies({"retCode": code, "retMsg": "said", "data": {}})
    failure = bybit_drivers["bybit-linear"].trading.failure(reply.response, write=True)
    assert reply.request_id == "c1" and type(failure) is error and "said" in str(failure)


def test_limit_of_an_order_waits_as_the_reply_says(replies, bybit_drivers):
    header = {"Timenow": "1767225600209", "X-Bapi-Limit-Reset-Timestamp": "1767225600709"}
    failure = bybit_drivers["bybit"].trading.failure(
        replies({"retCode": 10006, "header": header}, "bybit").response, write=True
    )
    assert type(failure) is RateLimited and failure.retry_after_s == pytest.approx(0.5)


def test_refusal_without_a_number_concerns_the_whole_session(replies):
    reply = replies({"reqId": "", "retCode": 10005, "retMsg": "Permission denied"})
    assert isinstance(reply, SessionReply) and (reply.request_id, reply.answers) == (None, "")


def test_gateway_that_restarts_ends_the_session(replies):
    assert isinstance(
        replies({"reqId": "", "retCode": 10019, "retMsg": "ws trade service is restarting"}), SessionEnding
    )


@pytest.mark.parametrize("frame", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"retCode":"x","op":"auth"}'])
def test_frame_of_no_form_is_noise_on_both(replies, hears, frame):
    for said in (replies(frame), hears(frame)):
        assert isinstance(said, SessionNoise) and not said.known


def test_success_without_a_number_is_reported(replies):
    assert replies({"reqId": "", "retCode": 0, "op": "order.create"}) == SessionNoise(
        "reply to order.create without a number", known=False
    )


# ---------------------------------------------------------------- events


def test_order_event_is_a_report(hears):
    (report,) = hears(ORDER).facts
    assert isinstance(report, OrderReport)
    assert (report.venue, report.symbol, report.client_id) == ("bybit-linear", LINEAR, "cn-000001")
    assert (report.status, report.filled, report.quote_filled) == (OrderStatus.PARTIALLY_FILLED, D("0.004"), D(352))
    assert (report.event_time_ns, report.received_ns, report.fill) == (1767225600470 * MS, AT, None)


def test_execution_event_is_fills_in_the_venues_order(hears):
    facts = hears(event("execution.linear", EXECUTION, {**EXECUTION, "execId": "second", "execQty": "0.1"})).facts
    assert [(type(fact), fact.trade_id) for fact in facts] == [(Fill, EXECUTION["execId"]), (Fill, "second")]
    assert facts[0] == Fill(
        venue="bybit-linear",
        symbol=LINEAR,
        event_time_ns=1746270400353 * MS,
        received_ns=AT,
        trade_id="0ab1bdf7-4219-438b-b30a-32ec863018f7",
        client_id="cn-9",
        venue_id="9aac161b-8ed6-450d-9cab-c5cc67c21784",
        side=Side.SELL,
        price=D("95900.1"),
        quantity=D("0.5"),
        fee=D("26.3725275"),
        fee_asset="USDT",
        is_maker=False,
        realized=D("0.05"),
    )


@pytest.mark.parametrize(("fee", "amount"), [("0.25", "-0.25"), ("-0.25", "0.25"), ("0", "0")])
def test_funding_event_is_cash_received_or_paid(hears, fee, amount):
    row = {**EXECUTION, "execType": "Funding", "execFee": fee, "execId": "f-1"}
    (payment,) = hears(event("execution.linear", row)).facts
    assert payment == FundingPayment("bybit-linear", LINEAR, 1746270400353 * MS, AT, "f-1", "USDT", D(amount))
    assert str(payment.amount) == amount


def test_split_of_a_contract_is_no_trade(hears):
    assert hears(event("execution.linear", {**EXECUTION, "execType": "CorporateAction"})) == SessionEvents(())


def test_position_event_is_a_report_of_that_position_alone(hears):
    (report,) = hears(event("position.linear", POSITION)).facts
    assert isinstance(report, PositionReport) and not report.complete
    assert (report.event_time_ns, report.received_ns) == (1767225600474 * MS, AT)
    (position,) = report.positions
    assert (position.side, position.quantity, position.entry_price) == (PositionSide.SHORT, D("-0.25"), D(28000))
    assert (position.unrealized, position.leverage, position.mark_price) == (D("-46.125"), D(10), D("28184.5"))
    assert (position.liquidation_price, position.sequence, position.contracts) == (None, 8327597863, None)


def test_flat_position_is_told_as_nothing(hears):
    row = {**POSITION, "side": "", "size": "0", "entryPrice": "0", "positionIdx": 0, "seq": -1}
    (position,) = hears(event("position.linear", row)).facts[0].positions
    assert (position.quantity, position.entry_price, position.sequence) == (D(0), None, None)


def test_wallet_event_replaces_the_coins_it_names(hears):
    expected = BalanceReport("bybit-linear", 1767225600474 * MS, AT, (("USDT", D("5000.5"), D(0)),), False)
    assert hears(event("wallet", WALLET)).facts == (expected,)
    (spot,) = hears(event("wallet", WALLET), "bybit").facts
    assert spot.balances == (("USDT", D("4900.5"), D(100)),)


def test_wallet_event_without_its_kind_is_the_unified_accounts(hears):
    coins = {"coin": [{"coin": "BTC", "walletBalance": "0.5", "availableToBorrow": "", "totalOrderIM": ""}]}
    (report,) = hears(event("wallet", coins)).facts
    assert report.balances == (("BTC", D("0.5"), D(0)),)
    assert hears(event("wallet", {**coins, "accountType": "FUND"})) == SessionEvents(())


def test_events_of_inverse_contracts_keep_contracts_exactly(hears):
    row = {**EXECUTION, "category": "inverse", "symbol": "BTCUSD", "execQty": "100", "execPrice": "50000"}
    (fill,) = hears(event("execution.inverse", row), "bybit-inverse").facts
    assert (fill.quantity, fill.contracts, fill.fee_asset) == (D("0.002"), D(100), "BTC")
    held = {
        **POSITION,
        "category": "inverse",
        "symbol": "BTCUSD",
        "size": "300",
        "entryPrice": "30000",
        "positionIdx": 0,
    }
    (report,) = hears(event("position.inverse", held), "bybit-inverse").facts
    assert (report.positions[0].quantity, report.positions[0].contracts) == (D("-0.01"), D(-300))


def test_rows_of_another_product_are_left_to_its_own_driver(hears):
    spot = {**EXECUTION, "category": "spot", "symbol": "NEWUSDT"}
    facts = hears(event("execution", spot, EXECUTION)).facts
    assert [fact.trade_id for fact in facts] == [EXECUTION["execId"]]
    assert hears(event("execution", spot)) == SessionEvents(())


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (event("order.linear", {}), "unreadable order"),
        (ORDER.replace(b'"Buy"', b'"Bye"'), "unreadable order"),
        (ORDER.replace(b'"0.004"', b'"NaN"'), "unreadable order"),
        (event("execution.linear", {**EXECUTION, "execType": "Sorcery"}), "unreadable execution"),
        (event("position.linear", {**POSITION, "size": "-1"}), "unreadable position"),
        (event("wallet", {"coin": 5}), "unreadable wallet"),
        (ORDER.replace(b'"BTCUSDT"', b'"NEWUSDT"'), "order of NEWUSDT, which is not listed"),
        (event("greeks", {}), "event greeks"),
        (event("dcp.future", {}), "event dcp.future"),
        (b'{"op":"dance"}', "frame of operation dance"),
        (b'{"op":"auth"}', "frame of operation auth"),
    ],
)
def test_event_that_cannot_be_read_says_of_what_kind_it_was(hears, frame, kind):
    assert hears(frame) == SessionNoise(kind, known=False)
