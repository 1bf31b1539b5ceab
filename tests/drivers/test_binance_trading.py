"""Answers to signed calls: orders, lists, cancels, amends, queries, fills, balances, and what refusals mean."""

from __future__ import annotations

import copy
import json
from decimal import Decimal

import pytest

from connector.domain import Symbol
from connector.domain.commands import PlaceOrder
from connector.domain.market import Side
from connector.domain.orders import OrderStatus, OrderType, TimeInForce
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)

ETH = Symbol("ETH", "USDT")
D = Decimal
AT_MS = 1_762_000_100_009
AT_NS = AT_MS * 1_000_000
RECEIVED_NS = 1_800_000_000_005_000_000

STATE = {
    "symbol": "ETHUSDT",
    "orderId": 4400123,
    "orderListId": -1,
    "clientOrderId": "acme-000042",
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
PLACED = STATE | {"transactTime": AT_MS, "workingTime": AT_MS}
FULL = PLACED | {
    "fills": [
        {"price": "3150.0", "qty": "0.2", "commission": "0.0002", "commissionAsset": "ETH", "tradeId": 56},
        {"price": "3149.5", "qty": "0.05", "commission": "0.001", "commissionAsset": "BNB", "tradeId": 57},
    ]
}
QUERIED = STATE | {
    "stopPrice": "0.0",
    "icebergQty": "0.0",
    "time": AT_MS - 90,
    "updateTime": AT_MS,
    "isWorking": True,
    "workingTime": AT_MS - 90,
}
CANCELED = STATE | {
    "origClientOrderId": "acme-000042",
    "clientOrderId": "the-cancels-own",
    "transactTime": AT_MS,
    "status": "CANCELED",
}
AMENDED = {
    "transactTime": AT_MS,
    "executionId": 75,
    "amendedOrder": {
        "symbol": "ETHUSDT",
        "orderId": 4400123,
        "orderListId": -1,
        "origClientOrderId": "acme-000042",
        "clientOrderId": "acme-000042",
        "price": "6.00000000",
        "qty": "5.00000000",
        "executedQty": "1.00000000",
        "preventedQty": "0.00000000",
        "quoteOrderQty": "0.00000000",
        "cumulativeQuoteQty": "6.00000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "SELL",
        "workingTime": AT_MS,
        "selfTradePreventionMode": "NONE",
    },
}


def leg(client_id, order_id, **fields):
    return PLACED | {
        "clientOrderId": client_id,
        "orderId": order_id,
        "orderListId": 55,
        "executedQty": "0.0",
        "cummulativeQuoteQty": "0.0",
        "status": "NEW",
        **fields,
    }


LIST = {
    "orderListId": 55,
    "contingencyType": "OCO",
    "listStatusType": "EXEC_STARTED",
    "listOrderStatus": "EXECUTING",
    "listClientOrderId": "acme-list-7",
    "transactionTime": AT_MS,
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
        "time": AT_MS,
        "isBuyer": True,
        "isMaker": True,
        "isBestMatch": True,
    }
]
ACCOUNT = {
    "makerCommission": 15,
    "canTrade": True,
    "updateTime": AT_MS,
    "accountType": "SPOT",
    "balances": [
        {"asset": "ETH", "free": "10.24975000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "5000.00000000", "locked": "2362.50000000"},
    ],
    "uid": 354937868,
}


@pytest.fixture(scope="module")
def eth(table):
    return table.require(ETH)


@pytest.fixture(scope="module")
def trading(driver):
    return driver.trading


def order(**fields):
    return PlaceOrder(**{"symbol": ETH, "side": Side.BUY, "type": OrderType.LIMIT, "quantity": D(1)} | fields)


# ---------------------------------------------------------------- what is read


def test_a_placed_order_is_told_with_its_fills_and_their_fees(trading, eth, answer):
    told = trading.read_placed(answer(FULL), order(), eth)
    report = told.report
    assert (report.symbol, report.client_id, report.venue_id) == (ETH, "acme-000042", "4400123")
    assert (report.side, report.type, report.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.GTC)
    assert (report.status, report.status_text) == (OrderStatus.PARTIALLY_FILLED, "PARTIALLY_FILLED")
    assert (report.quantity, report.filled, report.quote_filled) == (D(1), D("0.25"), D("787.5"))
    assert (report.price, report.stop_price, report.list_id) == (D(3150), None, None)
    assert (report.event_time_ns, report.received_ns, report.version) == (AT_NS, RECEIVED_NS, None)
    assert [(f.trade_id, f.price, f.quantity, f.fee, f.fee_asset) for f in told.fills] == [
        ("56", D("3150.0"), D("0.2"), D("0.0002"), "ETH"),
        ("57", D("3149.5"), D("0.05"), D("0.001"), "BNB"),
    ]
    assert {(f.client_id, f.venue_id, f.side, f.event_time_ns, f.is_maker) for f in told.fills} == {
        ("acme-000042", "4400123", Side.BUY, AT_NS, False)
    }


def test_allocations_are_counted_under_numbers_of_their_own(trading, eth, answer):
    fill = FULL["fills"][0] | {"tradeId": -1, "allocId": 56, "matchType": "ONE_PARTY_TRADE_REPORT"}
    told = trading.read_placed(answer(FULL | {"fills": [fill, FULL["fills"][0]]}), order(), eth)
    assert [each.trade_id for each in told.fills] == ["alloc-56", "56"]
    fill.pop("allocId")
    with pytest.raises(WireFormatError, match="counted once"):
        trading.read_placed(answer(FULL | {"fills": [fill]}), order(), eth)


def test_a_test_order_says_nothing_that_could_be_taken_for_an_order(trading, eth, answer):
    told = trading.read_placed(answer({}), order(test=True, client_id="mine"), eth)
    assert (told.report.status, told.report.venue_id, told.report.filled, told.fills) == (None, "", D(0), ())
    assert not told.report.working and told.report.client_id == "mine"
    with pytest.raises(VenueRejected, match="LOT_SIZE"):
        trading.read_placed(answer({"code": -1013, "msg": "Filter failure: LOT_SIZE"}, 400), order(test=True), eth)


def test_an_empty_answer_to_a_real_order_is_no_answer(trading, eth, answer):
    for body in ({}, b"", b"null", {"symbol": "ETHUSDT", "orderId": 1, "clientOrderId": "a", "transactTime": 1}):
        with pytest.raises(WireFormatError):
            trading.read_placed(answer(body), order(), eth)


def test_a_cancelled_order_has_its_own_id_and_its_final_quantity(trading, eth, answer):
    told = trading.read_cancelled(answer(CANCELED), eth)
    assert (told.report.client_id, told.report.status, told.others) == ("acme-000042", OrderStatus.CANCELED, ())
    assert (told.report.filled, told.report.event_time_ns) == (D("0.25"), AT_NS)


def test_cancelling_one_order_of_a_list_tells_which_was_meant_and_what_ended_with_it(trading, eth, answer):
    ended = LIST | {
        "listOrderStatus": "ALL_DONE",
        "orderReports": [
            row | {"status": "CANCELED", "origClientOrderId": row["clientOrderId"], "clientOrderId": "the-cancels-own"}
            for row in LIST["orderReports"]
        ],
    }
    told = trading.read_cancelled(answer(ended), eth, "acme-tp")
    assert told.report.client_id == "acme-tp" and [other.client_id for other in told.others] == ["acme-sl"]
    assert {told.report.status, told.others[0].status} == {OrderStatus.CANCELED}
    assert trading.read_cancelled(answer(ended), eth).report.client_id == "acme-sl"
    with pytest.raises(WireFormatError, match="without reports"):
        trading.read_cancelled(answer(ended | {"orderReports": []}), eth, "acme-tp")


def test_an_amended_order_keeps_its_ids_and_carries_its_execution_id(trading, eth, answer):
    report = trading.read_amended(answer(AMENDED), eth)
    assert (report.client_id, report.venue_id, report.version) == ("acme-000042", "4400123", 75)
    assert (report.quantity, report.filled, report.quote_filled) == (D(5), D(1), D(6))
    assert (report.status, report.event_time_ns) == (OrderStatus.PARTIALLY_FILLED, AT_NS)


def test_a_list_is_told_with_a_report_of_each_order(trading, eth, answer):
    told, reports = trading.read_list(answer(LIST), eth)
    assert (told.list_id, told.client_id, told.kind_text, told.status_text) == ("55", "acme-list-7", "OCO", "EXECUTING")
    assert told.orders == (("acme-sl", "4400130"), ("acme-tp", "4400131")) and told.event_time_ns == AT_NS
    stop, maker = reports
    assert (stop.type, stop.stop_price, stop.working, stop.list_id) == (OrderType.STOP_LIMIT, D(2), False, "55")
    assert (maker.type, maker.stop_price, maker.working) == (OrderType.LIMIT_MAKER, None, True)


def test_a_queried_order_reads_like_a_placed_one(trading, eth, answer):
    placed = trading.read_placed(answer(PLACED), order(), eth).report
    assert trading.read_order(answer(QUERIED), eth) == placed


def test_no_such_order_is_none_and_every_other_refusal_an_error(trading, eth, answer):
    assert trading.read_order(answer({"code": -2013, "msg": "Order does not exist."}, 400), eth) is None
    for code in (-2026, -1100, -2011):
        with pytest.raises(VenueRejected):
            trading.read_order(answer({"code": code, "msg": "x"}, 400), eth)
    with pytest.raises(VenueUnavailable):
        trading.read_order(answer({"code": -2013, "msg": "Order does not exist."}, 503), eth)


def test_orders_come_with_their_own_symbols_and_unlisted_ones_are_left_out(trading, table, answer):
    rows = [QUERIED, QUERIED | {"symbol": "BTCUSDT"}, QUERIED | {"symbol": "NOSUCH"}]
    assert [str(report.symbol) for report in trading.read_orders(answer(rows), table)] == ["ETH/USDT", "BTC/USDT"]
    assert trading.read_orders(answer([]), table) == ()


def test_fills_are_told_oldest_first_with_fees_in_any_asset(trading, eth, answer):
    other = TRADES[0] | {
        "id": 900776,
        "isBuyer": False,
        "isMaker": False,
        "commission": "-0.01",
        "commissionAsset": "BNB",
    }
    first, second = trading.read_fills(answer([*TRADES, other]), eth)
    assert (first.trade_id, first.side, first.fee, first.fee_asset) == ("900776", Side.SELL, D("-0.01"), "BNB")
    assert (second.trade_id, second.side, second.price, second.quantity) == ("900777", Side.BUY, D(3150), D("0.25"))
    assert (second.client_id, second.venue_id, second.is_maker) == ("", "4400123", True)
    assert (second.event_time_ns, second.received_ns, second.fee) == (AT_NS, RECEIVED_NS, D("0.00025"))


def test_balances_are_all_there_is(trading, answer):
    told = trading.read_balances(answer(ACCOUNT))
    assert told.balances == (("ETH", D("10.24975"), D(0)), ("USDT", D(5000), D("2362.5")))
    assert told.complete and told.event_time_ns == AT_NS
    assert trading.read_balances(answer({"balances": []})).balances == ()


def test_order_counts_are_read_from_the_body_and_from_headers(trading, answer):
    rows = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 7},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160000, "count": 321},
        {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 1, "count": 1},
    ]
    assert trading.read_order_counts(answer(rows)) == {"ORDERS/10s": 7, "ORDERS/86400s": 321}
    used = trading.used(answer({}, x_mbx_order_count_10s="7", x_mbx_used_weight_1m="12"))
    assert used == {"ORDERS/10s": 7, "REQUEST_WEIGHT/60s": 12}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("NEW", OrderStatus.NEW),
        ("PENDING_NEW", OrderStatus.NEW),
        ("PARTIALLY_FILLED", OrderStatus.PARTIALLY_FILLED),
        ("FILLED", OrderStatus.FILLED),
        ("CANCELED", OrderStatus.CANCELED),
        ("REJECTED", OrderStatus.REJECTED),
        ("EXPIRED", OrderStatus.EXPIRED),
        ("EXPIRED_IN_MATCH", OrderStatus.EXPIRED),
        ("PENDING_CANCEL", None),
        ("TELEPORTED", None),
        ("", None),
        ("filled", None),
    ],
)
def test_every_status_word_is_told_and_an_unknown_one_is_kept_as_text(trading, eth, answer, word, status):
    report = trading.read_order(answer(QUERIED | {"status": word}), eth)
    assert (report.status, report.status_text, report.filled) == (status, word, D("0.25"))


def test_unknown_types_and_times_in_force_are_kept_and_an_unknown_side_refused(trading, eth, answer):
    report = trading.read_order(answer(QUERIED | {"type": "PEGGED", "timeInForce": "GTX"}), eth)
    assert (report.type, report.type_text, report.time_in_force) == (OrderType.OTHER, "PEGGED", TimeInForce.OTHER)
    with pytest.raises(WireFormatError, match="side"):
        trading.read_order(answer(QUERIED | {"side": "SHORT"}), eth)


@pytest.mark.parametrize(
    ("fields", "working"),
    [
        ({"status": "NEW", "isWorking": True}, True),
        ({"status": "NEW", "isWorking": False}, False),
        ({"status": "PENDING_NEW", "isWorking": False}, False),
        ({"status": "PARTIALLY_FILLED", "isWorking": False}, True),
        ({"status": "CANCELED", "isWorking": False}, True),
    ],
)
def test_only_an_order_that_waits_is_not_working(trading, eth, answer, fields, working):
    assert trading.read_order(answer(QUERIED | fields), eth).working is working


def test_a_quote_quantity_below_zero_is_not_available(trading, eth, answer):
    assert trading.read_order(answer(QUERIED | {"cummulativeQuoteQty": "-1"}), eth).quote_filled is None


def test_the_reason_of_an_expiry_is_told(trading, eth, answer):
    expired = QUERIED | {"status": "EXPIRED", "expiryReason": "OCO_TRIGGER"}
    assert trading.read_order(answer(expired), eth).reason == "OCO_TRIGGER"
    assert trading.read_order(answer(QUERIED | {"expiryReason": "NONE"}), eth).reason == ""


# ---------------------------------------------------------------- what cannot be read


READS = {
    "placed": (FULL, lambda t, r, e, table: t.read_placed(r, order(), e)),
    "cancelled": (CANCELED, lambda t, r, e, table: t.read_cancelled(r, e)),
    "amended": (AMENDED, lambda t, r, e, table: t.read_amended(r, e)),
    "list": (LIST, lambda t, r, e, table: t.read_list(r, e)),
    "order": (QUERIED, lambda t, r, e, table: t.read_order(r, e)),
    "orders": ([QUERIED], lambda t, r, e, table: t.read_orders(r, table)),
    "fills": (TRADES, lambda t, r, e, table: t.read_fills(r, e)),
    "balances": (ACCOUNT, lambda t, r, e, table: t.read_balances(r)),
}


def places(value, path=()):
    """Every place in a JSON value, as a path of keys."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*path, key)
            yield from places(value[key], (*path, key))


def spoilt(value, path, bad):
    value = copy.deepcopy(value)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = bad
    return value


@pytest.mark.parametrize("name", READS)
def test_every_field_may_be_spoilt_and_nothing_but_a_refusal_or_an_answer_comes_out(trading, table, eth, answer, name):
    body, read = READS[name]
    refused = 0
    for path in places(body):
        for bad in (None, "NaN", "sNaN", "-Infinity", "1e999999999", "-1", -2, 2**70, 1.5, True, "", [], {}, "ETHBTC"):
            try:
                read(trading, answer(spoilt(body, path, bad)), eth, table)
            except WireFormatError:
                refused += 1
    assert refused > 20


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 10_000, b"\xff\xfe", b"7", b'"x"', b"[7]", b"{}"])
def test_a_body_of_another_kind_is_a_wire_format_error(trading, table, eth, answer, name, body):
    with pytest.raises(WireFormatError):
        READS[name][1](trading, answer(body), eth, table)


@pytest.mark.parametrize("name", ["placed", "cancelled", "amended", "list", "order", "fills"])
def test_an_answer_about_another_symbol_is_refused(trading, table, eth, answer, name):
    body, read = READS[name]
    text = json.dumps(body).replace("ETHUSDT", "BTCUSDT")
    with pytest.raises(WireFormatError, match="BTCUSDT"):
        read(trading, answer(text.encode()), eth, table)


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-0.1", "1e25", "1e-25", "1e999999999"])
@pytest.mark.parametrize("field", ["price", "origQty", "executedQty", "stopPrice"])
def test_numbers_out_of_range_spoil_the_answer(trading, eth, answer, field, number):
    with pytest.raises(WireFormatError):
        trading.read_order(answer(QUERIED | {field: number}), eth)


def test_filled_with_nothing_filled_is_a_contradiction(trading, eth, answer):
    with pytest.raises(WireFormatError, match="nothing filled"):
        trading.read_order(answer(QUERIED | {"status": "FILLED", "executedQty": "0.000"}), eth)


# ---------------------------------------------------------------- refusals

WRITES = ["placed", "cancelled", "amended", "list"]


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    ("code", "status"), [(-1007, 408), (-1006, 400), (-1000, 400), (-1008, 400), (-1001, 400), (0, 503)]
)
def test_no_trustworthy_answer_leaves_a_write_unknown_and_a_read_for_later(
    trading, table, eth, answer, name, code, status
):
    kind = OutcomeUnknown if name in WRITES else VenueUnavailable
    with pytest.raises(kind):
        READS[name][1](trading, answer({"code": code, "msg": "x"}, status), eth, table)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (-1021, 400, ClockRejected),
        (-1015, 429, RateLimited),
        (-1003, 418, Banned),
        (-2014, 401, AuthenticationFailed),
        (-2015, 401, AuthenticationFailed),
        (-1022, 400, AuthenticationFailed),
    ],
)
def test_what_was_certainly_not_done_says_so_whatever_was_asked(trading, table, eth, answer, name, code, status, kind):
    with pytest.raises(kind):
        READS[name][1](trading, answer({"code": code, "msg": "x"}, status), eth, table)


TEXTS = [
    "Duplicate order sent.",
    "Market is closed.",
    "Account has insufficient balance for requested action.",
    "Order would immediately match and take.",
    "Order would trigger immediately.",
    "Stop loss orders are not supported for this symbol.",
    "This action is disabled on this account.",
    "This account may not place or cancel orders.",
    "This symbol is not permitted for this account.",
    "The relationship of the prices for the orders is not correct.",
    "Price * QTY is zero or less.",
    "Rest API trading is not enabled.",
    "Filter failure: MAX_NUM_ALGO_ORDERS",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_engines_refusals_keep_their_text_and_only_one_proves_that_the_order_lives(trading, eth, answer, text):
    with pytest.raises(VenueRejected) as raised:
        trading.read_placed(answer({"code": -2010, "msg": text}, 400), order(), eth)
    assert (raised.value.code, raised.value.reason) == ("-2010", text)
    assert (raised.value.reason in trading.duplicate_id_texts) == (text == "Duplicate order sent.")


@pytest.mark.parametrize(
    "name", ["PRICE_FILTER", "PERCENT_PRICE_BY_SIDE", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL", "ICEBERG_PARTS"]
)
def test_a_filter_failure_names_the_filter(trading, eth, answer, name):
    with pytest.raises(VenueRejected) as raised:
        trading.read_placed(answer({"code": -1013, "msg": f"Filter failure: {name}"}, 400), order(), eth)
    assert raised.value.reason == f"Filter failure: {name}"


def test_a_cancel_of_what_is_not_open_is_recognised(trading, eth, answer):
    with pytest.raises(VenueRejected) as raised:
        trading.read_cancelled(answer({"code": -2011, "msg": "Unknown order sent."}, 400), eth)
    assert raised.value.code in trading.not_open_codes
    with pytest.raises(VenueRejected) as raised:
        trading.read_amended(
            answer({"code": -2038, "msg": "Order amend (quantity increase) is not supported."}, 400), eth
        )
    assert raised.value.code not in trading.not_open_codes
