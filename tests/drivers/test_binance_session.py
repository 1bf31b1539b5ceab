"""Frames of the WebSocket API: replies, account events, endings, noise; spoilt in every way, they never lie and never raise.

The independent reader at the end shares nothing with the driver: it walks the standard library's JSON.
"""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.domain import InstrumentTable, Symbol
from connector.domain.commands import PlaceOrder
from connector.domain.facts import BalanceChange, BalanceReport, ListReport, OrderReport, StreamEnded
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.drivers.trading import SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
)

ETH = Symbol("ETH", "USDT")
D = Decimal
MS = 1_000_000
AT = 1_800_000_000_000_000_000

REPORT = {
    "e": "executionReport",
    "E": 1762000100010,
    "s": "ETHUSDT",
    "c": "acme-000042",
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
    "T": 1762000100009,
    "t": 900777,
    "I": 8800456,
    "w": False,
    "m": True,
    "M": True,
    "O": 1762000090000,
    "Z": "787.50000000",
    "Y": "787.50000000",
    "Q": "0.00000000",
    "W": 1762000090000,
    "V": "EXPIRE_MAKER",
}
POSITION = {
    "e": "outboundAccountPosition",
    "E": 1762000100010,
    "u": 1762000100009,
    "B": [
        {"a": "ETH", "f": "10.24975000", "l": "0.00000000"},
        {"a": "USDT", "f": "5000.00000000", "l": "2362.50000000"},
    ],
}
CHANGE = {"e": "balanceUpdate", "E": 1762000200000, "a": "USDT", "d": "-150.00000000", "T": 1762000199990}
LOCK = {"e": "externalLockUpdate", "E": 1581557507324, "a": "NEO", "d": "10.00000000", "T": 1581557507268}
LIST = {
    "e": "listStatus",
    "E": 1762000300000,
    "s": "ETHUSDT",
    "g": 55,
    "c": "OCO",
    "l": "EXEC_STARTED",
    "L": "EXECUTING",
    "r": "NONE",
    "C": "acme-list-7",
    "T": 1762000299999,
    "O": [{"s": "ETHUSDT", "i": 4400130, "c": "acme-tp"}, {"s": "ETHUSDT", "i": 4400131, "c": "acme-sl"}],
}
ENDED = {"e": "eventStreamTerminated", "E": 1762000400000}
EVENTS = {event["e"]: event for event in (REPORT, POSITION, CHANGE, LOCK, LIST, ENDED)}

NOTHING_TRADED = {"l": "0.00000000", "L": "0.00000000", "n": "0", "N": None, "t": -1, "m": False}
NEW = REPORT | NOTHING_TRADED | {"x": "NEW", "X": "NEW", "z": "0.00000000", "Z": "0.00000000", "w": True}


@pytest.fixture(scope="module")
def session(driver):
    return driver.session


@pytest.fixture(scope="module")
def hear(session, table):
    """hear(event): what the frame of an event says; bytes and whole frames pass as they are."""

    def hear(event):
        frame = event if isinstance(event, bytes) else json.dumps({"subscriptionId": 0, "event": event}).encode()
        return session.read(frame, AT, table)

    return hear


@pytest.fixture(scope="module")
def fact(hear):
    def fact(event):
        (said,) = hear(event).facts
        return said

    return fact


# ---------------------------------------------------------------- events


def test_a_trade_is_a_report_with_its_fill(fact):
    report = fact(REPORT)
    assert (report.symbol, report.client_id, report.venue_id, report.version) == (
        ETH,
        "acme-000042",
        "4400123",
        8800456,
    )
    assert (report.side, report.type, report.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.GTC)
    assert (report.status, report.status_text) == (OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED")
    assert (report.quantity, report.filled, report.quote_filled, report.price) == (D(1), D("0.25"), D("787.5"), D(3150))
    assert (report.event_time_ns, report.received_ns) == (1762000100009 * MS, AT)
    assert (report.stop_price, report.list_id, report.reason, report.working) == (None, None, "", True)
    fill = report.fill
    assert (fill.trade_id, fill.client_id, fill.venue_id) == ("900777", "acme-000042", "4400123")
    assert (fill.side, fill.price, fill.quantity, fill.is_maker) == (Side.BUY, D(3150), D("0.25"), True)
    assert (fill.fee, fill.fee_asset, fill.event_time_ns) == (D("0.00025"), "ETH", report.event_time_ns)


def test_the_commission_may_be_in_any_asset_or_none(fact):
    assert (fact(REPORT | {"n": "0.0001", "N": "BNB"}).fill.fee_asset) == "BNB"
    free = fact(REPORT | {"n": "0", "N": None}).fill
    assert (free.fee, free.fee_asset) == (D(0), None)
    assert fact(REPORT | {"n": "-0.5", "N": "USDT"}).fill.fee == D("-0.5")


def test_a_cancelled_orders_own_id_stands_beside_the_cancels(fact):
    canceled = NEW | {"x": "CANCELED", "X": "CANCELED", "c": "the-cancels-own", "C": "acme-000042", "z": "0.25"}
    report = fact(canceled)
    assert (report.client_id, report.status, report.filled, report.fill) == (
        "acme-000042",
        OrderStatus.CANCELED,
        D("0.25"),
        None,
    )
    for empty in ("", None):
        assert fact(canceled | {"c": "acme-000042", "C": empty}).client_id == "acme-000042"


def test_an_amended_order_is_told_under_the_id_it_has_now(fact):
    replaced = NEW | {"x": "REPLACED", "q": "0.50000000", "c": "acme-000042", "C": "acme-000042"}
    report = fact(replaced)
    assert (report.client_id, report.quantity, report.status) == ("acme-000042", D("0.5"), OrderStatus.NEW)
    assert fact(replaced | {"c": "renamed-elsewhere"}).client_id == "renamed-elsewhere"


@pytest.mark.parametrize(
    ("fields", "status", "filled", "reason"),
    [
        (
            {"x": "EXPIRED", "X": "EXPIRED", "z": "0.25", "eR": "UNFILLED_IOC_QUANTITY_EXPIRED"},
            OrderStatus.EXPIRED,
            "0.25",
            "UNFILLED_IOC_QUANTITY_EXPIRED",
        ),
        ({"x": "EXPIRED", "X": "EXPIRED", "eR": "OCO_TRIGGER"}, OrderStatus.EXPIRED, "0", "OCO_TRIGGER"),
        (
            {
                "x": "TRADE_PREVENTION",
                "X": "EXPIRED_IN_MATCH",
                "z": "0.1",
                "A": "0.9",
                "B": "0.9",
                "v": 3,
                "u": 1,
                "U": 37,
                "pl": "0.9",
            },
            OrderStatus.EXPIRED,
            "0.1",
            "",
        ),
        ({"x": "TRADE_PREVENTION", "X": "NEW", "A": "0.5", "B": "0.5", "v": 3}, OrderStatus.NEW, "0", ""),
        (
            {"x": "REJECTED", "X": "REJECTED", "r": "INSUFFICIENT_BALANCES"},
            OrderStatus.REJECTED,
            "0",
            "INSUFFICIENT_BALANCES",
        ),
        ({"x": "RESTATED", "X": "TELEPORTED"}, None, "0", ""),
        ({"X": "PENDING_CANCEL"}, None, "0", ""),
    ],
)
def test_every_end_of_an_order_keeps_its_fills_and_its_reason(fact, fields, status, filled, reason):
    report = fact(NEW | fields)
    assert (report.status, report.filled, report.reason, report.fill) == (status, D(filled), reason, None)
    assert report.status_text == fields["X"]


def test_a_stop_works_only_once_it_was_triggered(fact):
    stop = NEW | {"o": "STOP_LOSS_LIMIT", "P": "3000.0"}
    assert [fact(stop | {"w": w}).working for w in (False, True)] == [False, True]
    assert fact(stop).stop_price == D(3000) and fact(stop).type is OrderType.STOP_LIMIT
    assert fact(NEW | {"X": "PENDING_NEW", "w": False, "g": 55}).list_id == "55"


def test_an_allocation_is_a_fill_under_its_own_number(fact, hear):
    sor = REPORT | {"t": -1, "a": 900777, "b": "ONE_PARTY_TRADE_REPORT", "k": "SOR", "uS": True}
    assert fact(sor).fill.trade_id == "alloc-900777" != fact(REPORT).fill.trade_id
    assert hear(REPORT | {"t": -1}) == SessionNoise("unreadable executionReport", known=False)


def test_positions_changes_locks_and_lists_are_facts(fact):
    assert fact(POSITION) == BalanceReport(
        "binance", 1762000100009 * MS, AT, (("ETH", D("10.24975000"), D(0)), ("USDT", D(5000), D("2362.5"))), False
    )
    assert fact(CHANGE) == BalanceChange("binance", 1762000199990 * MS, AT, "USDT", D(-150))
    assert fact(LOCK) == BalanceChange("binance", 1581557507268 * MS, AT, "NEO", D(-10))
    assert fact(LIST) == ListReport(
        "binance",
        ETH,
        1762000299999 * MS,
        AT,
        "55",
        "acme-list-7",
        "OCO",
        "EXECUTING",
        (("acme-tp", "4400130"), ("acme-sl", "4400131")),
    )


def test_the_end_of_the_subscription_is_told(fact):
    assert isinstance(fact(ENDED), StreamEnded)


def test_a_probe_that_finds_no_subscription_tells_that_the_stream_is_over(hear):
    (ended,) = hear(b'{"id":"c9","status":200,"result":[],"rateLimits":[]}').facts
    assert isinstance(ended, StreamEnded)
    alive = hear(b'{"id":"c9","status":200,"result":[{"subscriptionId":0}]}')
    assert (alive.request_id, alive.response.status) == ("c9", 200)


@pytest.mark.parametrize(
    "frame", [b'{"event":{"e":"serverShutdown","E":1}}', b'{"e":"serverShutdown","E":1770123456789}']
)
def test_an_announced_shutdown_asks_for_a_successor(hear, frame):
    assert isinstance(hear(frame), SessionEnding)


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "unreadable frame"),
        (b"\xff", "unreadable frame"),
        (b"[" * 100_000, "unreadable frame"),
        (b"[]", "unreadable frame"),
        (b"{}", "frame of an unknown form"),
        (b'{"id":1}', "frame of an unknown form"),
        (b'{"id":1,"status":99}', "frame of an unknown form"),
        (b'{"id":1,"status":"200"}', "unreadable frame"),
        (b'{"id":[1],"status":200}', "unreadable frame"),
        (b'{"event":7}', "event of an unknown form"),
        (b'{"event":{}}', "event of an unknown form"),
        (b'{"event":{"e":"marginCall","s":"ETHUSDT"}}', "event marginCall"),
        (b'{"event":{"e":"<script>\\n"}}', "event script"),
        (b'{"event":{"e":"executionReport"}}', "unreadable executionReport"),
        (b'{"event":{"e":"listStatus","s":7}}', "unreadable listStatus"),
    ],
)
def test_what_cannot_be_read_is_noise_that_says_its_kind(hear, frame, kind):
    assert hear(frame) == SessionNoise(kind, known=False)


def test_an_order_of_an_unlisted_symbol_says_which(hear, session, table):
    heard = hear(REPORT | {"s": "NOSUCH"})
    assert heard == SessionNoise("executionReport of NOSUCH, which is not listed", known=False)
    assert hear(LIST | {"s": "NOSUCH"}) == SessionNoise("listStatus of NOSUCH, which is not listed", known=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"S": "SHORT"},
        {"z": "NaN"},
        {"z": "-1"},
        {"q": "Infinity"},
        {"L": "0"},
        {"l": "0"},
        {"l": "0.3"},
        {"X": "FILLED", "z": "0", "l": "0"},
        {"n": "1e999999999"},
        {"T": 1762000100009123},
        {"t": "900777"},
        {"Z": "sNaN"},
    ],
)
def test_a_report_that_contradicts_itself_or_arithmetic_is_not_booked(hear, fields):
    assert hear(REPORT | fields) == SessionNoise("unreadable executionReport", known=False)


@pytest.mark.parametrize(
    "field", ["s", "c", "S", "o", "f", "q", "p", "x", "X", "i", "l", "z", "L", "n", "N", "T", "t", "m", "Z"]
)
def test_a_report_without_a_field_it_needs_is_not_booked(hear, field):
    event = {name: value for name, value in REPORT.items() if name != field}
    assert hear(event) == SessionNoise("unreadable executionReport", known=False)


def test_new_fields_and_lost_ones_of_no_use_do_no_harm(fact):
    slim = {name: REPORT[name] for name in REPORT if name not in "EPFgCrIwMOYQWV"}
    report = fact(slim | {"zz": {"new": [1]}, "gP": "PRIMARY_PEG"})
    assert (report.filled, report.version, report.fill.trade_id) == (D("0.25"), None, "900777")


# ---------------------------------------------------------------- replies


def reply(status=200, **fields):
    return json.dumps({"id": "c7", "status": status, **fields}).encode()


LIMITS = [
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000, "count": 4043},
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 321},
]


def test_a_reply_reads_like_the_answer_over_rest(driver, hear):
    heard = hear(reply(result={"a": [1, "é"]}, rateLimits=LIMITS))
    assert isinstance(heard, SessionReply) and heard.request_id == "c7"
    assert (heard.response.status, json.loads(heard.response.body)) == (200, {"a": [1, "é"]})
    assert heard.response.received_ns == AT and driver.trading.failure(heard.response, write=True) is None
    assert driver.trading.used(heard.response) == {"ORDERS/10s": 12, "ORDERS/86400s": 4043, "REQUEST_WEIGHT/60s": 321}


@pytest.mark.parametrize(
    "limits",
    [
        None,
        7,
        [7],
        [{}],
        [{"rateLimitType": "CONNECTIONS"}, None],
        [{**LIMITS[0], "count": -1}],
        [{**LIMITS[0], "interval": "ERA"}],
    ],
)
def test_limits_that_cannot_be_read_cost_only_themselves(driver, hear, limits):
    heard = hear(reply(result={}, rateLimits=limits))
    assert isinstance(heard, SessionReply) and driver.trading.used(heard.response) == {}
    if isinstance(limits, list):
        heard = hear(reply(result={}, rateLimits=[*limits, LIMITS[2]]))
        assert driver.trading.used(heard.response) == {"REQUEST_WEIGHT/60s": 321}


@pytest.mark.parametrize(("ident", "told"), [('"c7"', "c7"), ("7", "7"), ("null", None)])
def test_a_reply_goes_to_who_asked_and_one_without_id_to_the_session(hear, ident, told):
    frame = f'{{"id":{ident},"status":401,"error":{{"code":-2015,"msg":"Invalid API-key"}}}}'.encode()
    assert hear(frame).request_id == told


def test_a_reply_that_names_no_id_at_all_concerns_the_session(driver, hear):
    heard = hear(b'{"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}')
    assert heard.request_id is None
    assert isinstance(driver.trading.failure(heard.response, write=False), AuthenticationFailed)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, -2010, VenueRejected),
        (400, -1021, ClockRejected),
        (400, -1007, OutcomeUnknown),
        (500, -1000, OutcomeUnknown),
        (503, -2010, OutcomeUnknown),
        (401, -2014, AuthenticationFailed),
        (429, -1015, RateLimited),
        (418, -1003, Banned),
        (400, -9999, OutcomeUnknown),
    ],
)
def test_refusals_of_the_session_are_classed_by_the_same_table(driver, hear, status, code, kind):
    heard = hear(reply(status, error={"code": code, "msg": "said the venue"}))
    error = driver.trading.failure(heard.response, write=True)
    assert type(error) is kind and "said the venue" in str(error)


def test_the_wait_is_measured_with_the_venues_own_two_clocks(driver, hear):
    error = {"code": -1015, "msg": "x", "data": {"serverTime": 1_000_000, "retryAfter": 1_061_500}}
    assert driver.trading.failure(hear(reply(429, error=error)).response, write=True).retry_after_s == 61.5
    error["data"] = {"retryAfter": AT // MS + 2_000}
    assert driver.trading.failure(hear(reply(418, error=error)).response, write=True).retry_after_s == 2.0
    error["data"] = {"serverTime": 5_000, "retryAfter": 1_000}
    assert driver.trading.failure(hear(reply(429, error=error)).response, write=True).retry_after_s == 0.0
    for data in (None, 7, {}, {"retryAfter": "soon"}, {"retryAfter": -1}):
        error["data"] = data
        assert driver.trading.failure(hear(reply(429, error=error)).response, write=True).retry_after_s is None


STATE = {
    "symbol": "ETHUSDT",
    "orderId": 4400123,
    "orderListId": -1,
    "clientOrderId": "acme-000042",
    "transactTime": 1762000100009,
    "price": "3150.00000000",
    "origQty": "1.00000000",
    "executedQty": "0.25000000",
    "cummulativeQuoteQty": "787.50000000",
    "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
}


def test_replies_serve_the_readers_of_rest(driver, hear, table):
    eth = table.require(ETH)
    wanted = PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(3150))
    fill = {"price": "3150.0", "qty": "0.25", "commission": "0.0002", "commissionAsset": "ETH", "tradeId": 900777}
    placed = driver.trading.read_placed(hear(reply(result=STATE | {"fills": [fill]})).response, wanted, eth)
    assert (placed.report.filled, placed.fills[0].trade_id, placed.report.received_ns) == (D("0.25"), "900777", AT)
    canceled = STATE | {"status": "CANCELED", "origClientOrderId": "acme-000042", "clientOrderId": "the-cancels-own"}
    assert driver.trading.read_cancelled(hear(reply(result=canceled)).response, eth).report.client_id == "acme-000042"
    amended = {name: value for name, value in STATE.items() if name not in ("transactTime", "origQty")}
    amended |= {"qty": "0.5", "cumulativeQuoteQty": amended.pop("cummulativeQuoteQty")}
    result = {"transactTime": 1762000100009, "executionId": 75, "amendedOrder": amended}
    assert driver.trading.read_amended(hear(reply(result=result)).response, eth).quantity == D("0.5")


# ---------------------------------------------------------------- an independent reader


def anything(value):
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(value)
    return Decimal(value)


def number(value):
    found = anything(value)
    if not found.is_finite() or not -24 <= found.adjusted() <= 24 or abs(found) > Decimal("1e24"):
        raise ValueError(value)
    return found


def amount(value):
    found = number(value)
    if found < 0:
        raise ValueError(value)
    return found


def positive(value):
    found = amount(value)
    if not found:
        raise ValueError(value)
    return found


def whole(value, least=0, most=2**63 - 1):
    if type(value) is not int or not least <= value <= most:
        raise ValueError(value)
    return value


def time_ns(value):
    return whole(value, 0, (2**63 - 1) // MS) * MS


def word(value):
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def named(value):
    if not word(value):
        raise ValueError(value)
    return value


def rows(value):
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def flag(value):
    if type(value) is not bool:
        raise ValueError(value)
    return value


def maybe(read, value):
    return None if value is None else read(value)


STATUSES = {
    "NEW": OrderStatus.NEW,
    "PENDING_NEW": OrderStatus.NEW,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    **{s: OrderStatus[s] for s in ("PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED")},
}
TYPES = {"LIMIT": OrderType.LIMIT, "MARKET": OrderType.MARKET, "STOP_LOSS": OrderType.STOP}
SYMBOLS = {"ETHUSDT": ETH, "BTCUSDT": Symbol("BTC", "USDT"), "BNBUSDT": Symbol("BNB", "USDT")}


def execution(data):
    symbol, side = SYMBOLS[word(data["s"])], {"BUY": Side.BUY, "SELL": Side.SELL}[word(data["S"])]
    cancel = word(data["x"]) == "CANCELED"
    given, original = word(data["c"]), maybe(word, data.get("C"))
    client_id = (original or given) if cancel else given
    at, trade, allocation = time_ns(data["T"]), whole(data["t"], -1), maybe(whole, data.get("a"))
    last, price, fee = (anything(data[name]) for name in "lLn")  # looked at only where something was traded
    asset, maker = maybe(word, data["N"]), flag(data["m"])
    filled, quote = amount(data["z"]), number(data["Z"])
    fill = None
    if data["x"] == "TRADE":
        if (trade < 0 and allocation is None) or positive(last) > filled:
            raise ValueError(data)
        fill = Fill(
            "binance",
            symbol,
            at,
            AT,
            str(trade) if trade >= 0 else f"alloc-{allocation}",
            client_id,
            str(whole(data["i"])),
            side,
            positive(price),
            positive(last),
            number(fee),
            asset or None,
            maker,
        )
    status = word(data["X"])
    if status == "FILLED" and not filled:
        raise ValueError(data)
    working = flag(data.get("w", True))
    group, stop = whole(data.get("g", -1), -1), amount(data.get("P", "0"))
    words = [maybe(word, data.get(name)) for name in ("r", "eR")]
    return OrderReport(
        venue="binance",
        symbol=symbol,
        event_time_ns=at,
        received_ns=AT,
        client_id=client_id,
        venue_id=str(whole(data["i"])),
        side=side,
        type=TYPES.get(word(data["o"]), OrderType.OTHER),
        type_text=data["o"],
        time_in_force={"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC}.get(word(data["f"]), TimeInForce.OTHER),
        status=STATUSES.get(status),
        status_text=status,
        quantity=amount(data["q"]),
        filled=filled,
        quote_filled=quote if quote >= 0 else None,
        price=amount(data["p"]) or None,
        stop_price=stop or None,
        version=maybe(whole, data.get("I")),
        fill=fill,
        reason=next((each for each in words if each and each != "NONE"), ""),
        working=working or status not in ("NEW", "PENDING_NEW"),
        list_id=str(group) if group >= 0 else None,
    )


def position(data):
    told = tuple((named(row["a"]), amount(row["f"]), amount(row["l"])) for row in rows(data["B"]))
    return BalanceReport("binance", time_ns(data["u"]), AT, told, False)


def change(data, sign=1):
    return BalanceChange("binance", time_ns(data["T"]), AT, named(data["a"]), sign * number(data["d"]))


def list_status(data):
    orders = tuple((word(row["c"]), str(whole(row["i"]))) for row in rows(data["O"]) if word(row["s"]) is not None)
    return ListReport(
        "binance",
        SYMBOLS[word(data["s"])],
        time_ns(data["T"]),
        AT,
        str(whole(data["g"])),
        word(data["C"]),
        word(data["c"]),
        word(data["L"]),
        orders,
    )


READERS = {
    "executionReport": execution,
    "outboundAccountPosition": position,
    "balanceUpdate": change,
    "externalLockUpdate": lambda data: change(data, -1),
    "listStatus": list_status,
    "eventStreamTerminated": lambda data: StreamEnded("the venue ended the subscription (eventStreamTerminated)"),
}
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)


def independently_read(frame):
    data = json.loads(frame, parse_float=Decimal)["event"]
    return READERS[data["e"]](data)


WORDS = "x 0 -0.5 1e9 NaN sNaN Infinity 1e999999999 BTCUSDT NOSUCH BUY SELL LONG TRADE CANCELED FILLED EXPIRED TELEPORTED NONE"
VALUES = [
    *(None, True, False, 0, -1, 7, 2**63, 2**70, 1.5, "", "é" * 50, "1762000100009", 1762000100009123),
    *([], {}, [[]], ["0", "0"], "listStatus", "balanceUpdate", "executionReport"),
    *WORDS.split(),
]


def places(value, path=()):
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*path, key)
            yield from places(value[key], (*path, key))


def mutated(event, dice):
    event = copy.deepcopy(event)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        path = dice.choice(list(places(event)))
        inside = event
        for key in path[:-1]:
            inside = inside[key]
        kind = dice.random()
        if kind < 0.7:
            inside[path[-1]] = copy.deepcopy(dice.choice(VALUES))
        elif kind < 0.85:
            del inside[path[-1]]
        elif isinstance(inside, dict):
            inside[dice.choice("aAbBcCdDeEzZ") + dice.choice(("", "R"))] = copy.deepcopy(dice.choice(VALUES))
        if not event:
            break
    return event


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_spoilt_events_are_noise_or_exactly_what_an_independent_reader_reads(session, table, seed):
    dice = random.Random(seed)
    for _ in range(60):
        event = mutated(EVENTS[dice.choice(list(EVENTS))], dice)
        frame = json.dumps({"subscriptionId": 0, "event": event}).encode()
        heard = session.read(frame, AT, table)
        if isinstance(heard, SessionNoise):
            assert not heard.known and len(heard.kind) < 90 and heard.kind.isprintable()
            with pytest.raises(UNREADABLE):  # what can be read is not thrown away
                independently_read(frame)
        else:
            assert type(heard) is SessionEvents, heard
            assert heard.facts == (independently_read(frame),)


def test_good_events_are_never_noise(hear, fact):
    for name, event in EVENTS.items():
        assert fact(event) == READERS[name](event)
    seen = Counter(type(fact(event)).__name__ for event in EVENTS.values())
    assert seen == {"OrderReport": 1, "BalanceReport": 1, "BalanceChange": 2, "ListReport": 1, "StreamEnded": 1}


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_spoilt_bytes_never_raise(session, table, seed):
    dice = random.Random(seed)
    frames = [json.dumps({"subscriptionId": 0, "event": event}).encode() for event in EVENTS.values()]
    frames += [
        reply(result={"a": 1}, rateLimits=LIMITS),
        reply(418, error={"code": -1003, "msg": "x", "data": {"retryAfter": 1}}),
    ]
    for _ in range(60):
        frame = bytearray(dice.choice(frames))
        for _ in range(dice.choice((1, 2, 8))):
            at = dice.randrange(len(frame))
            frame[at : at + dice.choice((0, 1, 1, 5))] = bytes(
                dice.choices(b'{}[]",:0129eE+-\\ntfu\x00\xff', k=dice.choice((0, 1, 3)))
            )
        heard = session.read(bytes(frame), AT, table)
        assert isinstance(heard, SessionReply | SessionEvents | SessionEnding | SessionNoise)


def test_without_a_listed_instrument_nothing_is_booked(session):
    empty = InstrumentTable("binance", [])
    frame = json.dumps({"event": REPORT}).encode()
    assert isinstance(session.read(frame, AT, empty), SessionNoise)
