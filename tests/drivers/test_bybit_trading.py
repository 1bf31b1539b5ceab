"""Answers to signed calls, and the questions that follow one another: receipts, orders, fills, balances, pages, coins."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.domain import InstrumentTable, Symbol
from connector.domain.account import PositionSide
from connector.domain.commands import PlaceOrder
from connector.domain.facts import BalanceReport, OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import Charge
from connector.drivers.bybit.signing import hmac_signer
from connector.drivers.trading import Auth, CancelAnswer, PlaceAnswer
from connector.errors import InvalidRequest, OutcomeUnknown, RateLimited, Unsupported, VenueRejected, WireFormatError

D = Decimal
MS = 1_000_000
AUTH = Auth("DUMMYKEY0123456789", hmac_signer("DUMMYSECRETabcdefghijklmnopqrstuvwxyz"), "hmac")
NOW_MS = 1_767_225_700_000  # the venue's time in every answer
GOT = 1_767_225_700_005_000_000
WEEK_MS = 7 * 86_400_000
SPOT, LINEAR, INVERSE = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")
SYMBOLS = {"bybit": SPOT, "bybit-linear": LINEAR, "bybit-inverse": INVERSE}

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "fd4300ae-0000-404e-b947-b46980a4d140",
    "orderLinkId": "cn-000001",
    "side": "Buy",
    "orderType": "Limit",
    "price": "88000",
    "qty": "0.010",
    "timeInForce": "GTC",
    "orderStatus": "PartiallyFilled",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "avgPrice": "88000",
    "leavesQty": "0.006",
    "leavesValue": "528",
    "cumExecQty": "0.004",
    "cumExecValue": "352",
    "cumFeeDetail": {"USDT": "0.0704"},
    "stopOrderType": "UNKNOWN",
    "triggerPrice": "0.00",
    "triggerDirection": 0,
    "positionIdx": 0,
    "reduceOnly": False,
    "createdTime": "1767225600400",
    "updatedTime": "1767225600470",
}
FILL = {
    "symbol": "BTCUSDT",
    "orderId": "fd4300ae-0000-404e-b947-b46980a4d140",
    "orderLinkId": "cn-000001",
    "side": "Buy",
    "execId": "e0cbe81d-0f18-5866-9415-cf319b5dab3b",
    "execPrice": "88000",
    "execQty": "0.004",
    "execValue": "352",
    "execFee": "0.1936",
    "feeCurrency": "",
    "execType": "Trade",
    "execTime": "1767225600470",
    "isMaker": False,
    "leavesQty": "0.006",
    "closedSize": "",
    "seq": 4688002127,
}


@pytest.fixture
def of(bybit_drivers, bybit_tables):
    """of(name): the trade language and the instrument of BTC."""
    return lambda name="bybit-linear": (bybit_drivers[name].trading, bybit_tables[name][SYMBOLS[name]])


@pytest.fixture
def told(of, bybit_answer):
    """told(**fields): the report of an order with these fields changed."""

    def told(name="bybit-linear", **fields) -> OrderReport:
        language, instrument = of(name)
        row = {**ORDER, "symbol": instrument.venue_name, **fields}
        return language.read_order(bybit_answer({"list": [row], "nextPageCursor": "x"}), instrument)

    return told


# ---------------------------------------------------------------- receipts


def test_answer_to_an_order_is_a_receipt_with_the_venues_id(of, bybit_answer):
    language, instrument = of()
    command = PlaceOrder(symbol=LINEAR, side=Side.BUY, type=OrderType.MARKET, quantity=D(1), client_id="cn-1")
    receipt = bybit_answer({"orderId": "abc", "orderLinkId": "cn-1"})
    assert language.read_placed(receipt, command, instrument) == PlaceAnswer(None, (), "abc")
    assert language.read_cancelled(receipt, instrument, "cn-1") == CancelAnswer(None)
    assert language.read_amended(receipt, instrument) is None
    with pytest.raises(WireFormatError, match="receipt of 'cn-2'"):
        language.read_placed(bybit_answer({"orderId": "abc", "orderLinkId": "cn-2"}), command, instrument)
    assert language.read_placed(bybit_answer({}), command, instrument).venue_id == ""


@pytest.mark.parametrize("result", [[], 5, {"orderId": 7}])
def test_receipt_that_cannot_be_read_is_no_receipt(of, bybit_answer, result):
    language, instrument = of()
    with pytest.raises(WireFormatError):
        language.read_cancelled(bybit_answer(result), instrument)


def test_refusals_of_commands_are_classed_as_writes(of, bybit_answer):
    language, instrument = of()
    command = PlaceOrder(symbol=LINEAR, side=Side.BUY, type=OrderType.MARKET, quantity=D(1))
    for code, kind in (
        (10000, OutcomeUnknown),
        (170007, OutcomeUnknown),
        (424242, OutcomeUnknown),
        (110007, VenueRejected),
    ):
        with pytest.raises(kind):
            language.read_placed(bybit_answer(code=code, text="x"), command, instrument)
    with pytest.raises(RateLimited):
        language.read_amended(bybit_answer(code=10006, text="Too many visits!"), instrument)


@pytest.mark.parametrize("code", [110072, 170141])
def test_duplicate_client_id_is_told_by_its_code_whatever_its_text(of, bybit_answer, code):
    language, _ = of()
    error = language.failure(bybit_answer(code=code, text="words that may change"), write=True)
    assert isinstance(error, VenueRejected) and error.code == str(code)
    assert any(text in error.reason for text in language.duplicate_id_texts)
    other = language.failure(bybit_answer(code=110007, text="ab not enough"), write=True)
    assert not any(text in other.reason for text in language.duplicate_id_texts)


def test_codes_after_which_an_order_is_asked_for_are_all_in_the_table(of, bybit_drivers):
    for name, driver in bybit_drivers.items():
        codes = of(name)[0].not_open_codes
        assert {"110001", "170213", "110010", "170142", "110079", "170191", "34040"} <= codes
        assert codes < set(driver.error_codes)
        assert not codes & {"110072", "170141", "10001", "110007"}


# ---------------------------------------------------------------- orders


def test_order_is_read_whole(told):
    assert told() == OrderReport(
        venue="bybit-linear",
        symbol=LINEAR,
        event_time_ns=1767225600470 * MS,
        received_ns=GOT,
        client_id="cn-000001",
        venue_id="fd4300ae-0000-404e-b947-b46980a4d140",
        side=Side.BUY,
        type=OrderType.LIMIT,
        type_text="Limit",
        time_in_force=TimeInForce.GTC,
        status=OrderStatus.PARTIALLY_FILLED,
        status_text="PartiallyFilled",
        quantity=D("0.010"),
        filled=D("0.004"),
        quote_filled=D(352),
        price=D(88000),
    )


def test_order_of_an_inverse_contract_has_contracts_exactly_and_their_worth_beside(told):
    report = told("bybit-inverse", qty="1000", cumExecQty="400", price="80000", avgPrice="50000", cumExecValue="0.008")
    assert (report.contracts, report.filled_contracts) == (D(1000), D(400))
    assert (report.quantity, report.filled, report.quote_filled) == (D("0.0125"), D("0.008"), D(400))
    unpriced = told("bybit-inverse", qty="1000", cumExecQty="400", price="80000", avgPrice="", cumExecValue="0.008")
    assert unpriced.filled == D("0.008")
    waiting = told("bybit-inverse", orderStatus="New", qty="100", cumExecQty="0", price="50000", avgPrice="")
    assert (waiting.quantity, waiting.filled) == (D("0.002"), D(0))


def test_market_order_of_an_inverse_contract_waits_for_a_trigger_that_prices_it(told):
    report = told(
        "bybit-inverse",
        orderType="Market",
        orderStatus="Untriggered",
        qty="100",
        cumExecQty="0",
        price="",
        avgPrice="",
        stopOrderType="Stop",
        triggerPrice="50000",
        triggerDirection=2,
        side="Sell",
    )
    assert (report.quantity, report.type, report.stop_price) == (D("0.002"), OrderType.STOP, D(50000))
    assert report.price is None and not report.working


def test_worth_of_contracts_without_any_price_is_not_known_and_harms_no_other_order(of, bybit_tables, bybit_answer):
    language, instrument = of("bybit-inverse")
    row = {**ORDER, "category": "inverse", "symbol": instrument.venue_name, "orderStatus": "Untriggered"}
    row |= {"orderType": "Market", "stopOrderType": "TrailingStop", "qty": "100", "price": "", "avgPrice": ""}
    row |= {"cumExecQty": "0", "cumExecValue": ""}
    other = {**row, "orderId": "other", "orderType": "Limit", "stopOrderType": "", "price": "50000"}
    answer = bybit_answer({"list": [row, other], "nextPageCursor": ""})

    trailing, limit = language.read_orders(answer, bybit_tables["bybit-inverse"])
    assert (trailing.contracts, trailing.quantity) == (D(100), D(0))
    assert (limit.contracts, limit.quantity) == (D(100), D("0.002"))


def test_what_was_filled_at_no_price_cannot_be_told(told):
    with pytest.raises(WireFormatError, match="no price"):
        told("bybit-inverse", qty="100", price="", avgPrice="", cumExecQty="50", cumExecValue="")


@pytest.mark.parametrize(
    ("fields", "quantity"),
    [
        ({"orderStatus": "New", "marketUnit": "quoteCoin"}, "0"),
        ({"orderStatus": "PartiallyFilled", "marketUnit": "quoteCoin"}, "0"),
        ({"orderStatus": "Filled", "marketUnit": "quoteCoin"}, "0.004"),
        ({"orderStatus": "PartiallyFilledCanceled", "marketUnit": "quoteCoin"}, "0.004"),
        ({"orderStatus": "Filled", "marketUnit": ""}, "0.004"),  # a buyer's default
        ({"orderStatus": "New", "marketUnit": "baseCoin"}, "352"),
        ({"orderStatus": "New", "marketUnit": "", "side": "Sell"}, "352"),
    ],
)
def test_spot_order_by_worth_has_no_quantity_until_it_ended(told, fields, quantity):
    report = told("bybit", orderType="Market", qty="352", timeInForce="IOC", **fields)
    assert report.quantity == D(quantity) and report.price is None


STATUSES = [
    ("New", {}, OrderStatus.NEW),
    ("Untriggered", {}, OrderStatus.NEW),
    ("Triggered", {}, OrderStatus.NEW),
    ("PartiallyFilled", {}, OrderStatus.PARTIALLY_FILLED),
    ("Filled", {}, OrderStatus.FILLED),
    ("Filled", {"cancelType": "CancelByUser", "rejectReason": "EC_OrigClOrdIDDoesNotExist"}, OrderStatus.FILLED),
    ("PartiallyFilledCanceled", {"rejectReason": "EC_CancelForNoFullFill"}, OrderStatus.CANCELED),
    ("Deactivated", {}, OrderStatus.CANCELED),
    ("Rejected", {"cumExecQty": "0"}, OrderStatus.REJECTED),
    ("Rejected", {}, OrderStatus.CANCELED),
    ("Cancelled", {"rejectReason": "EC_PostOnlyWillTakeLiquidity", "cumExecQty": "0"}, OrderStatus.REJECTED),
    ("Cancelled", {"rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderStatus.CANCELED),
    ("Cancelled", {"rejectReason": "EC_NoImmediateQtyToFill"}, OrderStatus.EXPIRED),
    ("Cancelled", {"rejectReason": "EC_CancelForNoFullFill"}, OrderStatus.EXPIRED),
    ("Cancelled", {"rejectReason": "EC_NoEnoughQtyToFill"}, OrderStatus.EXPIRED),
    ("Cancelled", {"timeInForce": "IOC"}, OrderStatus.EXPIRED),
    ("Cancelled", {"timeInForce": "FOK"}, OrderStatus.EXPIRED),
    ("Cancelled", {"timeInForce": "", "orderType": "Market"}, OrderStatus.EXPIRED),
    ("Cancelled", {"timeInForce": "IOC", "cancelType": "CancelByUser"}, OrderStatus.CANCELED),
    ("Cancelled", {"rejectReason": "EC_PerCancelRequest"}, OrderStatus.CANCELED),
    ("Cancelled", {"cancelType": "CancelByUser"}, OrderStatus.CANCELED),
    ("Cancelled", {"cancelType": "CancelBySettle"}, OrderStatus.EXPIRED),
    ("Cancelled", {"cancelType": "CancelByDelivery"}, OrderStatus.EXPIRED),
    *(
        ("Cancelled", {"cancelType": by, "timeInForce": "IOC"}, OrderStatus.CANCELED)
        for by in (
            "CancelByAdmin",
            "CancelByPrepareLiq",
            "CancelAllBeforeLiq",
            "CancelByPrepareAdl",
            "CancelAllBeforeAdl",
            "CancelByReduceOnly",
            "CancelBySmp",
            "CancelByDCP",
            "CancelByTpSlTsClear",
        )
    ),
    ("Cancelled", {"cancelType": "CancelBySomethingNew"}, OrderStatus.CANCELED),
    ("Dancing", {}, None),
]


@pytest.mark.parametrize(("word", "fields", "status"), STATUSES)
def test_status_is_the_venues_word_refined_by_its_reasons(told, word, fields, status):
    report = told(orderStatus=word, **fields)
    assert (report.status, report.status_text) == (status, word)
    assert report.working is (word not in ("Untriggered", "Deactivated"))
    reasons = [fields.get("rejectReason", ""), fields.get("cancelType", "")]
    assert report.reason == ("" if word == "Filled" else next(filter(None, reasons), ""))


def test_filled_with_nothing_filled_is_a_contradiction(told):
    with pytest.raises(WireFormatError, match="nothing filled"):
        told(orderStatus="Filled", cumExecQty="0")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, OrderType.LIMIT),
        ({"timeInForce": "PostOnly"}, OrderType.LIMIT_MAKER),
        ({"orderType": "Market"}, OrderType.MARKET),
        ({"orderType": "Iceberg"}, OrderType.OTHER),
        ({"stopOrderType": ""}, OrderType.LIMIT),
        ({"stopOrderType": "Stop", "triggerPrice": "9", "triggerDirection": 1}, OrderType.STOP_LIMIT),
        ({"stopOrderType": "Stop", "triggerPrice": "9", "triggerDirection": 2}, OrderType.TAKE_PROFIT_LIMIT),
        ({"stopOrderType": "Stop", "triggerPrice": "9", "triggerDirection": 2, "side": "Sell"}, OrderType.STOP_LIMIT),
        (
            {"stopOrderType": "Stop", "triggerPrice": "9", "triggerDirection": 1, "orderType": "Market"},
            OrderType.STOP,
        ),
        ({"stopOrderType": "", "triggerPrice": "9", "triggerDirection": 1}, OrderType.STOP_LIMIT),
        ({"stopOrderType": "tpslOrder", "triggerPrice": "9"}, OrderType.OTHER),
        ({"stopOrderType": "tpslOrder", "triggerPrice": "9", "lastPriceOnCreated": "8"}, OrderType.STOP_LIMIT),
        ({"stopOrderType": "tpslOrder", "triggerPrice": "9", "lastPriceOnCreated": "10"}, OrderType.TAKE_PROFIT_LIMIT),
        ({"stopOrderType": "tpslOrder", "triggerPrice": "9", "lastPriceOnCreated": "9"}, OrderType.OTHER),
        ({"stopOrderType": "StopLoss", "orderType": "Market"}, OrderType.STOP),
        ({"stopOrderType": "PartialTakeProfit"}, OrderType.TAKE_PROFIT_LIMIT),
        ({"stopOrderType": "TrailingStop", "orderType": "Market"}, OrderType.OTHER),
        ({"createType": "CreateByStopOrder"}, OrderType.OTHER),
        ({"createType": "CreateByUser"}, OrderType.LIMIT),
    ],
)
def test_kind_of_an_order_is_told_by_its_trigger(told, fields, kind):
    assert told(**fields).type is kind


def test_words_not_known_are_kept_as_text(told):
    report = told(timeInForce="RPI", stopOrderType="MmRateClose")
    assert (report.time_in_force, report.type_text) == (TimeInForce.OTHER, "Limit MmRateClose")


@pytest.mark.parametrize(("index", "side"), [(0, PositionSide.NET), (1, PositionSide.LONG), (2, PositionSide.SHORT)])
def test_position_of_an_order_is_told(told, index, side):
    report = told(positionIdx=index, reduceOnly=True)
    assert report.position_side is side and report.reduce_only


@pytest.mark.parametrize(
    "fields",
    [
        {"side": "buy"},
        {"qty": "NaN"},
        {"qty": "-1"},
        {"qty": None},
        {"cumExecQty": "1e999999999"},
        {"price": "sNaN"},
        {"updatedTime": "soon"},
        {"orderId": ""},
        {"positionIdx": 3},
        {"avgPrice": "-Infinity"},
    ],
)
def test_order_that_cannot_be_read_is_refused(of, bybit_answer, fields):
    language, instrument = of()
    with pytest.raises(WireFormatError):
        language.read_order(bybit_answer({"list": [{**ORDER, **fields}]}), instrument)


def test_order_nobody_knows_is_none_and_two_for_one_are_refused(of, bybit_answer):
    language, instrument = of()
    assert language.read_order(bybit_answer({"list": []}), instrument) is None
    assert language.read_order(bybit_answer(code=110001, text="order not exists"), instrument) is None
    with pytest.raises(WireFormatError, match="2 came"):
        language.read_order(bybit_answer({"list": [ORDER, ORDER]}), instrument)
    with pytest.raises(VenueRejected):
        language.read_order(bybit_answer(code=10001, text="x"), instrument)


def test_orders_of_instruments_not_listed_are_left_out(of, bybit_tables, bybit_answer):
    language, _ = of()
    rows = [{**ORDER, "symbol": "NEWUSDT"}, ORDER]
    reports = language.read_orders(bybit_answer({"list": rows}), bybit_tables["bybit-linear"])
    assert [report.symbol for report in reports] == [LINEAR]
    assert language.read_orders(bybit_answer({"list": rows}), InstrumentTable("x", [])) == ()


# ---------------------------------------------------------------- questions and what follows them


def targets(language, first, *answers):
    """The targets of a question and of all that follow it, each after its answer."""
    request, found = first, []
    for answer in answers:
        found.append(request.target)
        assert request.safe and request.headers["X-BAPI-SIGN"] == AUTH.sign(f"{NOW_MS}{AUTH.key}5000{request.query}")
        request = language.more(request, answer, AUTH, NOW_MS)
        if request is None:
            break
    return found, request


def test_single_order_is_looked_for_in_both_of_the_venues_memories(of, bybit_answer):
    language, instrument = of()
    nothing, found = bybit_answer({"list": [], "nextPageCursor": ""}), bybit_answer({"list": [ORDER]})
    first = language.order("cn-1", "venue-1", instrument, AUTH, NOW_MS)
    where = "category=linear&symbol=BTCUSDT&orderLinkId=cn-1&limit=50"
    assert targets(language, first, nothing, nothing, nothing) == (
        [f"/v5/order/realtime?{where}", f"/v5/order/history?{where}"],
        None,
    )
    assert targets(language, first, found) == ([f"/v5/order/realtime?{where}"], None)
    unknown = bybit_answer(code=110001, text="order not exists or too late")
    assert len(targets(language, first, unknown, nothing)[0]) == 2
    by_id = language.order(None, "venue-1", instrument, AUTH, NOW_MS)
    assert by_id.query == "category=linear&symbol=BTCUSDT&orderId=venue-1&limit=50"
    with pytest.raises(InvalidRequest):
        language.order(None, None, instrument, AUTH, NOW_MS)


def test_page_after_an_answer_that_is_an_error_cannot_be_told(of, bybit_answer):
    language, instrument = of()
    first = language.open_orders(instrument, AUTH, NOW_MS)
    for answer in (bybit_answer(code=10000), bybit_answer([]), bybit_answer({"list": [{}], "nextPageCursor": "a&b"})):
        with pytest.raises(WireFormatError, match="page"):
            language.more(first, answer, AUTH, NOW_MS)


def test_open_orders_come_page_by_page_with_the_venues_own_cursor(of, bybit_answer):
    language, instrument = of()
    page = bybit_answer({"list": [{}], "nextPageCursor": "page_args%3Dfd43%26symbol%3D6%26"})
    last = bybit_answer({"list": [{}], "nextPageCursor": ""})
    base = "/v5/order/realtime?category=linear&symbol=BTCUSDT&openOnly=0&limit=50"
    assert targets(language, language.open_orders(instrument, AUTH, NOW_MS), page, last) == (
        [base, f"{base}&cursor=page_args%3Dfd43%26symbol%3D6%26"],
        None,
    )
    again = language.more(language.open_orders(instrument, AUTH, NOW_MS), page, AUTH, NOW_MS)
    assert language.more(again, page, AUTH, NOW_MS) is None  # a cursor that leads nowhere ends the list


def test_all_open_orders_of_linear_contracts_are_asked_for_coin_by_coin(of, bybit_answer):
    last = bybit_answer({"list": [], "nextPageCursor": "left"})
    page = bybit_answer({"list": [{}], "nextPageCursor": "abc"})
    language, _ = of()
    found, after = targets(language, language.open_orders(None, AUTH, NOW_MS), page, last, last)
    base = "/v5/order/realtime?category=linear&settleCoin={}&openOnly=0&limit=50"
    assert after is None
    assert found == [base.format("USDT"), base.format("USDT") + "&cursor=abc", base.format("USDC")]
    for name, category in (("bybit", "spot"), ("bybit-inverse", "inverse")):
        language, _ = of(name)
        expected = [f"/v5/order/realtime?category={category}&openOnly=0&limit=50"]
        assert targets(language, language.open_orders(None, AUTH, NOW_MS), last) == (expected, None)


def test_fills_from_a_time_on_are_those_of_a_week_page_by_page(of, bybit_answer):
    language, instrument = of("bybit")
    start = NOW_MS - 2 * WEEK_MS - 5
    last = bybit_answer({"list": [], "nextPageCursor": ""})
    page = bybit_answer({"list": [{}], "nextPageCursor": "c%3A1"})
    first = language.fills(instrument, None, start * MS + 999_999, None, AUTH, NOW_MS)
    base = f"/v5/execution/list?category=spot&symbol=BTCUSDT&startTime={start}&endTime={start + WEEK_MS - 1}&limit=100"
    assert targets(language, first, page, last) == ([base, f"{base}&cursor=c%3A1"], None)
    following = language.fills(instrument, None, (start + WEEK_MS) * MS, None, AUTH, NOW_MS)
    assert f"startTime={start + WEEK_MS}&" in following.query  # the next week begins where this one ended
    assert language.rules.since_s * 1_000 == WEEK_MS


def test_whether_there_is_more_does_not_hang_on_the_time_handed_in(of, bybit_answer):
    language, instrument = of()
    last, page = (bybit_answer({"list": [{}], "nextPageCursor": cursor}) for cursor in ("", "abc"))
    for first in (language.open_orders(None, AUTH, NOW_MS), language.fills(instrument, None, 0, None, AUTH, NOW_MS)):
        for answer in (last, page):
            one, other = (language.more(first, answer, AUTH, now_ms) for now_ms in (0, NOW_MS))
            assert (one and one.target) == (other and other.target)


def test_fills_of_one_order_or_the_newest_need_no_time_and_never_an_id(of):
    language, instrument = of()
    assert language.fills(instrument, None, None, "abc-1", AUTH, NOW_MS).target == (
        "/v5/execution/list?category=linear&symbol=BTCUSDT&orderId=abc-1&limit=100"
    )
    assert language.fills(instrument, None, None, None, AUTH, NOW_MS).target == (
        "/v5/execution/list?category=linear&symbol=BTCUSDT&limit=100"
    )
    with pytest.raises(InvalidRequest, match="no order"):
        language.fills(instrument, "5", None, None, AUTH, NOW_MS)


def test_orders_since_are_the_history_and_then_the_newest_closed_ones(of, bybit_answer):
    language, instrument = of()
    last = bybit_answer({"list": [], "nextPageCursor": ""})
    start = NOW_MS - 1_000
    found, after = targets(language, language.orders_since(instrument, start * MS, AUTH, NOW_MS), last, last, last)
    assert after is None
    assert found == [
        f"/v5/order/history?category=linear&symbol=BTCUSDT&startTime={start}&endTime={start + WEEK_MS - 1}&limit=50",
        "/v5/order/realtime?category=linear&symbol=BTCUSDT&openOnly=1&limit=50",
    ]
    with pytest.raises(InvalidRequest, match="start_ns"):
        language.orders_since(instrument, -1, AUTH, NOW_MS)


def test_questions_cost_what_their_endpoints_limit_counts(of):
    language, instrument = of()
    ip = Charge("IP/5s", 1)
    assert language.open_orders(None, AUTH, 1).charges == (Charge("order/realtime contracts", 1), ip)
    assert language.balances(AUTH, 1).charges == (Charge("account/wallet-balance account", 1), ip)
    spot, bitcoin = of("bybit")
    assert spot.fills(bitcoin, None, None, None, AUTH, 1).charges == (Charge("execution/list spot", 1), ip)
    known = {limit.name for limit in language.limits} | {"IP/5s"}
    requests = (
        language.open_orders(None, AUTH, 1),
        language.balances(AUTH, 1),
        language.orders_since(instrument, 1, AUTH, 1),
    )
    assert all(charge.budget in known for request in requests for charge in request.charges)


# ---------------------------------------------------------------- fills and balances


@pytest.fixture
def fills(of, bybit_answer):
    def fills(*rows, name="bybit-linear"):
        language, instrument = of(name)
        rows = [{**FILL, "symbol": instrument.venue_name, **row} for row in rows]
        return language.read_fills(bybit_answer({"list": rows, "nextPageCursor": ""}), instrument)

    return fills


def test_fill_is_read_whole(fills):
    assert fills({}) == (
        Fill(
            venue="bybit-linear",
            symbol=LINEAR,
            event_time_ns=1767225600470 * MS,
            received_ns=GOT,
            trade_id="e0cbe81d-0f18-5866-9415-cf319b5dab3b",
            client_id="cn-000001",
            venue_id="fd4300ae-0000-404e-b947-b46980a4d140",
            side=Side.BUY,
            price=D(88000),
            quantity=D("0.004"),
            fee=D("0.1936"),
            fee_asset="USDT",
            is_maker=False,
        ),
    )


def test_fill_of_an_inverse_contract_is_base_units_at_its_price_with_contracts_beside(fills):
    (fill,) = fills({"execQty": "400", "execPrice": "50000", "execPnl": "-0.001"}, name="bybit-inverse")
    assert (fill.quantity, fill.contracts, fill.fee_asset, fill.realized) == (D("0.008"), D(400), "BTC", D("-0.001"))


def test_fills_come_oldest_first_and_of_one_time_the_one_that_left_more(fills):
    found = fills(
        {"execId": "d", "execTime": "3", "leavesQty": "0"},
        {"execId": "b", "execTime": "2", "leavesQty": "1"},
        {"execId": "a", "execTime": "2", "leavesQty": "2"},
        {"execId": "c", "execTime": "1", "leavesQty": ""},
    )
    assert [fill.trade_id for fill in found] == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"execType": "Trade"}, FillKind.TRADE),
        ({"execType": "BlockTrade"}, FillKind.TRADE),
        ({"execType": "MovePosition"}, FillKind.TRADE),
        ({"execType": "FutureSpread"}, FillKind.TRADE),
        ({"execType": "AdlTrade"}, FillKind.DELEVERAGING),
        ({"execType": "BustTrade"}, FillKind.LIQUIDATION),
        ({"execType": "Settle"}, FillKind.SETTLEMENT),
        ({"execType": "Delivery"}, FillKind.SETTLEMENT),
        ({"createType": "CreateByUser"}, FillKind.TRADE),
        ({"createType": "CreateByLiq"}, FillKind.LIQUIDATION),
        ({"createType": "CreateByTakeOver_PassThrough"}, FillKind.LIQUIDATION),
        ({"createType": "CreateByAdl_PassThrough"}, FillKind.DELEVERAGING),
    ],
)
def test_kind_of_an_execution_says_who_wanted_it(fills, fields, kind):
    (fill,) = fills(fields)
    assert fill.kind is kind


@pytest.mark.parametrize("word", ["Funding", "CorporateAction", "UNKNOWN", "Conjuring"])
def test_what_is_no_trade_or_not_known_is_no_fill_and_costs_the_others_nothing(fills, word):
    assert fills({"execType": word, "execQty": "0"}, {}) == fills({})


@pytest.mark.parametrize(
    "fields",
    [
        {"side": "None"},
        {"execQty": "0"},
        {"execPrice": ""},
        {"execPrice": "NaN"},
        {"execId": ""},
        {"execFee": "1e99"},
        {"execTime": "x"},
        {"leavesQty": "sNaN"},
    ],
)
def test_execution_nobody_can_book_refuses_the_list(fills, fields):
    with pytest.raises(WireFormatError):
        fills(fields)


@pytest.mark.parametrize(
    ("side", "maker", "fee", "said", "asset"),
    [
        ("Buy", False, "0.1", "", "BTC"),
        ("Sell", False, "0.1", "", "USDT"),
        ("Buy", True, "0.1", "", "BTC"),
        ("Sell", True, "0.1", "", "USDT"),
        ("Buy", True, "-0.1", "", "USDT"),
        ("Sell", True, "-0.1", "", "BTC"),
        ("Buy", False, "-0.1", "", "BTC"),
        ("Buy", False, "0.1", "MNT", "MNT"),
    ],
)
def test_fee_of_spot_is_paid_in_what_is_received_and_rebates_in_the_other(fills, side, maker, fee, said, asset):
    (fill,) = fills({"side": side, "isMaker": maker, "execFee": fee, "feeCurrency": said}, name="bybit")
    assert (fill.fee_asset, fill.fee, fill.realized) == (asset, D(fee), None)


WALLET = {
    "accountType": "UNIFIED",
    "totalEquity": "3.31",
    "coin": [
        {"coin": "BTC", "walletBalance": "1.5", "locked": "0.5", "equity": "1.5", "availableToWithdraw": ""},
        {"coin": "USDT", "walletBalance": "-20", "locked": "", "totalPositionIM": "7"},
    ],
}


@pytest.mark.parametrize(
    ("name", "bitcoin"),
    [("bybit", ("BTC", D("1.0"), D("0.5"))), ("bybit-linear", ("BTC", D("1.5"), D(0)))],
)
def test_balances_are_the_wallets_and_only_spot_orders_lock(of, bybit_answer, name, bitcoin):
    language, _ = of(name)
    assert language.balances(AUTH, NOW_MS).target == "/v5/account/wallet-balance?accountType=UNIFIED"
    answer = bybit_answer({"list": [WALLET, {"accountType": "FUND", "coin": [WALLET["coin"][0]]}]})
    assert language.read_balances(answer) == BalanceReport(
        name, NOW_MS * MS, GOT, (bitcoin, ("USDT", D(-20), D(0))), True
    )


def test_balance_that_is_no_number_refuses_the_answer(of, bybit_answer):
    language, _ = of()
    wallet = {"accountType": "UNIFIED", "coin": [{"coin": "BTC", "walletBalance": "NaN"}]}
    with pytest.raises(WireFormatError):
        language.read_balances(bybit_answer({"list": [wallet]}))


def test_order_counts_are_not_told(of, bybit_answer):
    language, _ = of()
    assert language.order_counts(AUTH, NOW_MS) is None
    with pytest.raises(Unsupported):
        language.read_order_counts(bybit_answer({}))
    with pytest.raises(Unsupported):
        language.read_list(bybit_answer({}), None)
