"""The account's events by listen key, and orders over the WebSocket API: frames in, facts and replies out."""

from __future__ import annotations

import json

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, MS, D, table_of

from connector.domain.account import FundingPayment, MarginMode, Position, PositionSide
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport, PositionReport, StreamEnded
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.binance import COINM, USDM
from connector.drivers.contract import Environment
from connector.drivers.trading import SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import AuthenticationFailed, RateLimited, RetryLater, VenueRejected, WireFormatError

AT = 1_762_000_500_000_000_000
ETH, INV = ETH_LINEAR, BTC_INVERSE
AUTH = USDM.trading.auth(Credentials("the-api-key", secret="not a secret"))
KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"

TRADE = (
    '{"e":"ORDER_TRADE_UPDATE","E":1762000100010,"T":1762000100008,"o":{"s":"ETHUSDT","c":"acme-000042","S":"BUY",'
    '"o":"LIMIT","f":"GTC","q":"1.000","p":"3150.00","ap":"3150.00","sp":"0","x":"TRADE","X":"PARTIALLY_FILLED",'
    '"i":8389765001,"l":"0.250","z":"0.250","L":"3150.00","N":"USDT","n":"0.15750000","T":1762000100008,"t":900777,'
    '"b":"2362.50","a":"0","m":true,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"BOTH","cp":false,"pP":false,'
    '"si":0,"ss":0,"rp":"0","V":"EXPIRE_MAKER","pm":"NONE","gtd":0,"er":"0"}}'
)
ACCOUNT = (
    '{"e":"ACCOUNT_UPDATE","E":1762000100010,"T":1762000100008,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"4999.84250000",'
    '"cw":"4999.84250000","bc":"0"}],"P":[{"s":"ETHUSDT","pa":"0.250","ep":"3150.00000","bep":"3150.63000","cr":"0",'
    '"up":"0.05000000","mt":"cross","iw":"0","ps":"BOTH"}]}}'
)
LITE = (
    '{"e":"TRADE_LITE","E":1762000100009,"T":1762000100008,"s":"ETHUSDT","q":"1.000","p":"3150.00","m":true,'
    '"c":"acme-000042","S":"BUY","L":"3150.00","l":"0.250","t":900777,"i":8389765001}'
)
ALGO = (
    '{"e":"ALGO_UPDATE","T":1762000200000,"E":1762000200003,"o":{"caid":"acme-sl-7","aid":2148719,"at":"CONDITIONAL",'
    '"o":"STOP_MARKET","s":"ETHUSDT","S":"SELL","ps":"BOTH","f":"GTC","q":"0.250","X":"TRIGGERED","ai":"8389765999",'
    '"ap":"0","aq":"0","act":"","tp":"3050.00","p":"0","V":"EXPIRE_MAKER","wt":"MARK_PRICE","pm":"NONE","cp":false,'
    '"pP":false,"R":true,"tt":1762000199999,"gtd":0,"rm":"","ia":false}}'
)
CONFIG = '{"e":"ACCOUNT_CONFIG_UPDATE","E":1762000300000,"T":1762000299990,"ac":{"s":"ETHUSDT","l":5}}'
MARGIN = (
    '{"e":"MARGIN_CALL","E":1762000400000,"cw":"31.20","p":[{"s":"ETHUSDT","ps":"BOTH","pa":"0.250","mt":"CROSSED",'
    '"iw":"0","mp":"2900.10","up":"-62.47","mm":"4.35"}]}'
)
EXPIRED = f'{{"e":"listenKeyExpired","E":1762000500000,"listenKey":"{KEY}"}}'


def heard(driver, text):
    frame = text if isinstance(text, bytes) else text.encode()
    return driver.events.read(frame, AT, table_of(driver.name))


def facts(driver, text):
    said = heard(driver, text)
    assert isinstance(said, SessionEvents), said
    return said.facts


def changed(text, **changes):
    whole = json.loads(text)
    body = whole.get("o") or whole.get("a")
    body.update(changes)
    return json.dumps(whole)


# ---------------------------------------------------------------- the sample events


def test_an_execution_is_told_with_its_order():
    (report,) = facts(USDM, TRADE)
    fill = Fill(
        "binance-usdm",
        ETH,
        1762000100008 * MS,
        AT,
        "900777",
        "acme-000042",
        "8389765001",
        Side.BUY,
        D(3150),
        D("0.25"),
        D("0.1575"),
        "USDT",
        True,
        realized=D(0),
    )
    assert report == OrderReport(
        venue="binance-usdm",
        symbol=ETH,
        event_time_ns=1762000100008 * MS,
        received_ns=AT,
        client_id="acme-000042",
        venue_id="8389765001",
        side=Side.BUY,
        type=OrderType.LIMIT,
        type_text="LIMIT",
        time_in_force=TimeInForce.GTC,
        status=OrderStatus.PARTIALLY_FILLED,
        status_text="PARTIALLY_FILLED",
        quantity=D(1),
        filled=D("0.25"),
        price=D(3150),
        fill=fill,
    )


def test_balances_and_positions_that_changed_are_absolute_and_not_all():
    assert facts(USDM, ACCOUNT) == (
        BalanceReport("binance-usdm", 1762000100008 * MS, AT, (("USDT", D("4999.8425"), D(0)),), False),
        PositionReport(
            "binance-usdm",
            1762000100008 * MS,
            AT,
            (
                Position(
                    "binance-usdm",
                    ETH,
                    1762000100008 * MS,
                    AT,
                    PositionSide.NET,
                    D("0.25"),
                    D(3150),
                    unrealized=D("0.05"),
                    margin_mode=MarginMode.CROSS,
                ),
            ),
            False,
        ),
    )


def test_a_triggered_algo_order_names_the_regular_one_it_became():
    (report,) = facts(USDM, ALGO)
    assert (report.client_id, report.venue_id, report.status) == ("acme-sl-7", "8389765999", OrderStatus.NEW)
    assert (report.status_text, report.working, report.filled) == ("TRIGGERED", True, D(0))
    assert (report.type, report.stop_price, report.reduce_only) == (OrderType.STOP, D(3050), True)


def test_an_algo_order_that_failed_at_its_trigger_says_why():
    (report,) = facts(USDM, changed(ALGO, X="REJECTED", ai="", rm="Margin is insufficient"))
    assert (report.venue_id, report.status, report.reason) == (
        "algo:2148719",
        OrderStatus.REJECTED,
        "Margin is insufficient",
    )
    (trailing,) = facts(USDM, changed(ALGO, X="NEW", ai="", o="TRAILING_STOP_MARKET", ia=True))
    assert (trailing.status, trailing.working, trailing.type) == (OrderStatus.NEW, False, OrderType.STOP)


@pytest.mark.parametrize(
    ("text", "kind"), [(LITE, "TRADE_LITE"), (CONFIG, "ACCOUNT_CONFIG_UPDATE"), (MARGIN, "MARGIN_CALL")]
)
def test_events_that_say_nothing_new_are_known_noise(text, kind):
    """The light copy of an execution is never counted: the report that follows has the same trade id, and its fee."""
    assert heard(USDM, text) == SessionNoise(kind, known=True)


@pytest.mark.parametrize("kind", ["STRATEGY_UPDATE", "GRID_UPDATE", "CONDITIONAL_ORDER_TRIGGER_REJECT"])
def test_deprecated_events_are_known_noise(kind):
    assert heard(USDM, json.dumps({"e": kind, "E": 1})) == SessionNoise(kind, known=True)


def test_an_expired_key_ends_the_stream():
    (ended,) = facts(USDM, EXPIRED)
    assert isinstance(ended, StreamEnded) and "expired" in ended.reason and KEY not in ended.reason


def test_a_shutdown_is_announced():
    assert isinstance(heard(USDM, '{"e":"serverShutdown","E":1}'), SessionEnding)


def test_frames_in_an_envelope_are_read_too():
    assert facts(USDM, f'{{"stream":"{KEY}","data":{TRADE}}}') == facts(USDM, TRADE)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"\xff", "unreadable frame"),
        (b"[]", "unreadable frame"),
        (b"{}", "event of an unknown form"),
        (b'{"e":7}', "event of an unknown form"),
        (b'{"e":"BRAND_NEW","x":1}', "event BRAND_NEW"),
        (b'{"e":"ORDER_TRADE_UPDATE","o":{}}', "unreadable ORDER_TRADE_UPDATE"),
        (TRADE.replace("ETHUSDT", "NEWUSDT"), "ORDER_TRADE_UPDATE of NEWUSDT, which is not listed"),
        (changed(TRADE, S="HOLD"), "unreadable ORDER_TRADE_UPDATE"),
        (changed(TRADE, l="0.3"), "unreadable ORDER_TRADE_UPDATE"),
        (changed(TRADE, z="NaN"), "unreadable ORDER_TRADE_UPDATE"),
        (changed(TRADE, X="FILLED", x="NEW", z="0", l="0"), "unreadable ORDER_TRADE_UPDATE"),
        (changed(ACCOUNT, B=[{"a": "", "wb": "1"}]), "unreadable ACCOUNT_UPDATE"),
    ],
)
def test_what_cannot_be_read_is_noise_that_says_so(text, kind):
    assert heard(USDM, text) == SessionNoise(kind, known=False)


# ---------------------------------------------------------------- kinds of executions


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"c": "autoclose-1762000100"}, FillKind.LIQUIDATION),
        ({"c": "autoclose-1762000100", "x": "CALCULATED"}, FillKind.LIQUIDATION),
        ({"c": "adl_autoclose", "x": "CALCULATED"}, FillKind.DELEVERAGING),
        ({"c": "settlement_autoclose-17"}, FillKind.SETTLEMENT),
        ({"x": "CALCULATED"}, FillKind.LIQUIDATION),
        ({}, FillKind.TRADE),
    ],
)
def test_fills_nobody_here_asked_for_say_what_they_are(changes, kind):
    (report,) = facts(USDM, changed(TRADE, **changes))
    assert report.fill.kind is kind and report.fill.client_id == report.client_id


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [
        ("autoclose-1762000100", FillKind.LIQUIDATION),
        ("adl_autoclose", FillKind.DELEVERAGING),
        ("settlement_autoclose-17", FillKind.SETTLEMENT),
        ("acme-000042", FillKind.TRADE),
    ],
)
def test_an_order_the_venue_placed_says_so_even_where_its_fills_were_not_heard(client_id, kind):
    (report,) = facts(USDM, changed(TRADE, c=client_id, x="NEW", X="NEW", l="0", z="0", t=0))
    assert report.kind is kind


def test_an_execution_without_a_trade_id_is_told_as_a_sum_only():
    """Counting needs an id, and the history has it: a made-up one would count the same execution twice."""
    (report,) = facts(USDM, changed(TRADE, x="CALCULATED", t=0))
    assert report.fill is None and report.filled == D("0.25")


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"x": "NEW", "X": "NEW", "l": "0", "z": "0", "t": 0}, OrderStatus.NEW, ""),
        ({"x": "AMENDMENT", "X": "NEW", "l": "0", "z": "0", "t": 0, "M": "7"}, OrderStatus.NEW, ""),
        ({"x": "CANCELED", "X": "CANCELED", "l": "0", "t": 0}, OrderStatus.CANCELED, ""),
        ({"x": "EXPIRED", "X": "EXPIRED", "t": 0, "er": "2"}, OrderStatus.EXPIRED, "the rest of an IOC order"),
        ({"x": "EXPIRED", "X": "EXPIRED_IN_MATCH", "t": 0, "er": 1}, OrderStatus.EXPIRED, "self-trade prevention"),
        ({"x": "EXPIRED", "X": "EXPIRED", "t": 0, "er": "77"}, OrderStatus.EXPIRED, "expire reason 77"),
        ({"x": "NEW", "X": "NEW_INSURANCE", "t": 0}, None, ""),
    ],
)
def test_reports_without_an_execution_have_no_fill(changes, status, reason):
    (report,) = facts(USDM, changed(TRADE, **changes))
    assert (report.status, report.reason, report.fill) == (status, reason, None)


def test_a_fill_without_a_fee_has_none():
    whole = json.loads(TRADE)
    del whole["o"]["N"], whole["o"]["n"]
    (report,) = facts(USDM, json.dumps(whole))
    assert (report.fill.fee, report.fill.fee_asset) == (D(0), None)


def test_hedge_sides_and_realized_profit_are_kept():
    (report,) = facts(USDM, changed(TRADE, ps="SHORT", rp="-3.25", R=True))
    assert (report.position_side, report.reduce_only) == (PositionSide.SHORT, True)
    assert (report.fill.position_side, report.fill.realized) == (PositionSide.SHORT, D("-3.25"))


# ---------------------------------------------------------------- COIN-M


def test_coin_m_orders_and_fills_keep_contracts_beside_base_units():
    text = changed(TRADE, s="BTCUSD_PERP", q="10", l="4", z="4", L="40000", ap="40000", p="50000", ma="BTC")
    (report,) = facts(COINM, text)
    assert (report.contracts, report.filled_contracts) == (D(10), D(4))
    assert (report.quantity, report.filled, report.quote_filled) == (D("0.02"), D("0.01"), D(400))
    assert (report.fill.contracts, report.fill.quantity) == (D(4), D("0.01"))
    assert report.venue == report.fill.venue == "binance-coinm"


def test_coin_m_positions_keep_contracts_beside_base_units():
    row = {"s": "BTCUSD_PERP", "pa": "-5", "ep": "50000", "up": "0", "mt": "isolated", "ps": "BOTH", "iw": "0.1"}
    text = changed(ACCOUNT, P=[row])
    _, told = facts(COINM, text)
    (position,) = told.positions
    assert (position.quantity, position.contracts, position.margin) == (D("-0.01"), D(-5), D("0.1"))


def test_a_closed_position_is_told_as_flat():
    text = changed(ACCOUNT, P=[{"s": "ETHUSDT", "pa": "0", "ep": "0.00000", "up": "0", "mt": "cross", "ps": "LONG"}])
    _, told = facts(USDM, text)
    (position,) = told.positions
    assert (position.quantity, position.entry_price, position.side) == (D(0), None, PositionSide.LONG)


# ---------------------------------------------------------------- funding

FUNDING = changed(ACCOUNT, m="FUNDING_FEE", S="ETHUSDT", P=[], B=[{"a": "USDT", "wb": "4999", "bc": "-0.37500000"}])


def test_funding_is_told_with_the_contract_it_was_paid_on():
    balance, paid = facts(USDM, FUNDING)
    assert isinstance(balance, BalanceReport)
    assert paid == FundingPayment(
        "binance-usdm", ETH, 1762000100008 * MS, AT, "USDT:489444:-0.375", "USDT", D("-0.375")
    )


def test_the_event_and_the_history_name_one_payment_alike(answer):
    row = {"symbol": "ETHUSDT", "incomeType": "FUNDING_FEE", "income": "-0.375", "asset": "USDT", "time": 1761998400000}
    (told,) = USDM.positions.read_funding(answer([row]), table_of("binance-usdm"))
    _, paid = facts(USDM, FUNDING)
    assert told.payment_id == paid.payment_id and told.symbol == paid.symbol


def test_funding_of_an_unnamed_contract_is_left_to_the_history():
    (balance,) = facts(USDM, changed(FUNDING, S=""))
    assert isinstance(balance, BalanceReport)


# ---------------------------------------------------------------- the listen key


def test_the_address_holds_the_key():
    live, demo = USDM.hosts[Environment.LIVE], COINM.hosts[Environment.DEMO]
    assert USDM.events.url(live, "K") == "wss://fstream.binance.com/private/ws?listenKey=K"
    assert COINM.events.url(demo, "K") == "wss://dstream.binancefuture.com/ws/K"
    assert USDM.events.opening() == () and USDM.events.probe("c1") is None


@pytest.mark.parametrize(("driver", "path"), [(USDM, "/fapi/v1/listenKey"), (COINM, "/dapi/v1/listenKey")])
def test_the_key_is_asked_for_and_renewed_by_header_alone_at_half_its_life(driver, path):
    rule = driver.events.key
    for request, method in ((rule.open(AUTH), "POST"), (rule.renew(KEY, AUTH), "PUT")):
        assert (request.method, request.path, request.query, request.body) == (method, path, "", b"")
        assert request.headers == {"X-MBX-APIKEY": "the-api-key"}
        assert request.charges == (Charge("REQUEST_WEIGHT/60s", 1),)
    assert rule.renew_every_s == 1800.0


def test_the_key_is_read_or_refused(answer):
    read = USDM.events.key.read
    assert read(answer({"listenKey": KEY})) == KEY
    for bad in ({}, {"listenKey": ""}, {"listenKey": "a/b?c"}, b"x"):
        with pytest.raises(WireFormatError):
            read(answer(bad))
    with pytest.raises(AuthenticationFailed):
        read(answer({"code": -2015, "msg": "Invalid API-key"}, 401))


def test_a_key_that_is_gone_is_no_reason_to_try_again(answer):
    gone = answer({"code": -1125, "msg": "This listenKey does not exist."}, 400)
    error = USDM.trading.failure(gone, write=False)
    assert isinstance(error, VenueRejected) and not isinstance(error, RetryLater)


# ---------------------------------------------------------------- the session of orders


def test_the_session_needs_no_opening():
    assert USDM.session.opening() == () and USDM.session.key is None
    live, demo = Environment.LIVE, Environment.DEMO
    assert USDM.session.url(USDM.hosts[live]) == "wss://ws-fapi.binance.com/ws-fapi/v1"
    assert COINM.session.url(COINM.hosts[live]) == "wss://ws-dapi.binance.com/ws-dapi/v1"
    assert USDM.session.url(USDM.hosts[demo]) == "wss://testnet.binancefuture.com/ws-fapi/v1"


def reply(text):
    return USDM.session.read(text, AT, table_of("binance-usdm"))


def test_a_reply_is_the_answer_rest_would_have_given():
    said = reply(
        b'{"id":"c7","status":200,"result":{"orderId":1},"rateLimits":[{"rateLimitType":"ORDERS","interval":"SECOND",'
        b'"intervalNum":10,"limit":300,"count":3},{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,'
        b'"limit":1200,"count":4},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400,'
        b'"count":9}]}'
    )
    assert isinstance(said, SessionReply) and said.request_id == "c7"
    assert said.response.body == b'{"orderId":1}'
    assert USDM.trading.used(said.response) == {"ORDERS/10s": 3, "ORDERS/60s": 4, "REQUEST_WEIGHT/60s": 9}


def test_a_refusal_is_classed_as_over_rest():
    refused = reply(b'{"id":"c7","status":400,"error":{"code":-2019,"msg":"Margin is insufficient."}}')
    assert isinstance(USDM.trading.failure(refused.response, write=True), VenueRejected)
    limited = reply(b'{"id":"c8","status":429,"error":{"code":-1003,"msg":"Too many requests"}}')
    assert isinstance(USDM.trading.failure(limited.response, write=True), RateLimited)


def test_the_probe_is_cheap_and_any_reply_to_it_is_life():
    probe = COINM.session.probe("c1")
    assert json.loads(probe.frame) == {"id": "c1", "method": "session.status", "params": {}}
    assert probe.charges == (Charge("REQUEST_WEIGHT/60s", 2),)
    assert isinstance(reply(b'{"id":"c1","status":400,"error":{"code":-1000,"msg":"x"}}'), SessionReply)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"\xff", SessionNoise("unreadable frame", known=False)),
        (b"{}", SessionNoise("frame of an unknown form", known=False)),
        (b'{"id":"c1","status":1}', SessionNoise("frame of an unknown form", known=False)),
        (b'{"e":"brandNew"}', SessionNoise("event brandNew", known=False)),
    ],
)
def test_frames_of_no_use_are_noise(frame, expected):
    assert reply(frame) == expected


def test_a_session_shutdown_is_announced():
    assert isinstance(reply(b'{"e":"serverShutdown"}'), SessionEnding)
