"""Answers about orders, fills, balances, positions and funding as facts; pages; what counts as success."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, MS, D, instrument, table_of

from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode, PositionSide
from connector.domain.commands import PlaceOrder, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.drivers.binance import COINM, USDM
from connector.errors import OutcomeUnknown, VenueRejected, VenueUnavailable, WireFormatError

ETH, INV = ETH_LINEAR, BTC_INVERSE
NOW_MS = 1_762_000_000_123
AUTH = USDM.trading.auth(Credentials("key", secret="not a secret"))
LIMIT = PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(3150))
STOP = PlaceOrder(symbol=ETH, side=Side.SELL, type=OrderType.STOP, quantity=D("0.25"), stop_price=D(3050))

ROW = {
    "clientOrderId": "acme-000042",
    "cumQty": "0",
    "executedQty": "0.250",
    "orderId": 8389765001,
    "origQty": "1.000",
    "price": "3150.00",
    "reduceOnly": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "status": "PARTIALLY_FILLED",
    "stopPrice": "0",
    "closePosition": False,
    "symbol": "ETHUSDT",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "origType": "LIMIT",
    "updateTime": 1762000100008,
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
    "priceMatch": "NONE",
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "goodTillDate": 0,
}
QUERY = ROW | {"avgPrice": "3149.50000", "cumQuote": "787.375", "time": 1762000100000}
COIN_ROW = QUERY | {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "origQty": "10", "executedQty": "4", "price": "50000"}
COIN_ROW = {key: value for key, value in COIN_ROW.items() if key != "cumQuote"} | {
    "avgPrice": "40000",
    "cumBase": "0.01",
}
ALGO = {
    "algoId": 2148719,
    "clientAlgoId": "acme-sl-7",
    "algoType": "CONDITIONAL",
    "orderType": "STOP_MARKET",
    "symbol": "ETHUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "timeInForce": "GTC",
    "quantity": "0.250",
    "algoStatus": "NEW",
    "triggerPrice": "3050.00",
    "price": "0",
    "icebergQuantity": None,
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "workingType": "MARK_PRICE",
    "closePosition": False,
    "priceProtect": False,
    "reduceOnly": True,
    "createTime": 1762000200000,
    "updateTime": 1762000200003,
    "triggerTime": 0,
    "goodTillDate": 0,
}


def at(driver=USDM):
    return table_of(driver.name)[ETH if driver is USDM else INV]


def report(**changes):
    fields = {
        "venue": "binance-usdm",
        "symbol": ETH,
        "event_time_ns": 1762000100008 * MS,
        "received_ns": 1_800_000_000_005_000_000,
        "client_id": "acme-000042",
        "venue_id": "8389765001",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "type_text": "LIMIT",
        "time_in_force": TimeInForce.GTC,
        "status": OrderStatus.PARTIALLY_FILLED,
        "status_text": "PARTIALLY_FILLED",
        "quantity": D(1),
        "filled": D("0.25"),
        "price": D(3150),
    }
    return OrderReport(**(fields | changes))


def algo(**changes):
    fields = {
        "event_time_ns": 1762000200003 * MS,
        "client_id": "acme-sl-7",
        "venue_id": "algo:2148719",
        "side": Side.SELL,
        "type": OrderType.STOP,
        "type_text": "STOP_MARKET",
        "status": OrderStatus.NEW,
        "status_text": "NEW",
        "quantity": D("0.25"),
        "filled": D(0),
        "price": None,
        "stop_price": D(3050),
        "working": False,
        "reduce_only": True,
    }
    return report(**(fields | changes))


# ---------------------------------------------------------------- orders


def test_the_answer_to_an_order_tells_its_state_and_no_executions(answer):
    placed = USDM.trading.read_placed(answer(ROW), LIMIT, at())
    assert (placed.report, placed.fills) == (report(), ())
    assert not USDM.trading.rules.ack_is_receipt


def test_an_algo_order_waits_off_the_book_under_an_id_of_its_own_kind(answer):
    assert USDM.trading.read_placed(answer(ALGO), STOP, at()).report == algo()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRIGGERING", {}),
        ("CANCELED", {"status": OrderStatus.CANCELED}),
        ("EXPIRED", {"status": OrderStatus.EXPIRED}),
        ("REJECTED", {"status": OrderStatus.REJECTED}),
        ("BRAND_NEW", {"status": None}),
    ],
)
def test_algo_states_that_are_no_regular_order(answer, status, expected):
    found = USDM.trading.read_order(answer(ALGO | {"algoStatus": status, "actualOrderId": ""}), at())
    assert found == algo(status_text=status, **expected)


@pytest.mark.parametrize("status", ["TRIGGERED", "FINISHED"])
@pytest.mark.parametrize("actual", ["8389765999", 8389765999])
def test_a_triggered_order_goes_on_as_the_regular_one_and_is_not_ended_by_its_algo_state(answer, status, actual):
    found = USDM.trading.read_order(answer(ALGO | {"algoStatus": status, "actualOrderId": actual}), at())
    assert found == algo(status_text=status, venue_id="8389765999", working=True)


def test_a_finished_order_that_became_none_says_nothing_certain(answer):
    found = USDM.trading.read_order(answer(ALGO | {"algoStatus": "FINISHED", "actualOrderId": "0"}), at())
    assert found == algo(status_text="FINISHED", status=None)


def test_a_query_tells_what_was_traded(answer):
    assert USDM.trading.read_order(answer(QUERY), at()) == report(quote_filled=D("787.375"))


def test_contracts_are_told_beside_base_units(answer):
    found = COINM.trading.read_order(answer(COIN_ROW), at(COINM))
    assert (found.contracts, found.filled_contracts) == (D(10), D(4))
    assert (found.quantity, found.filled, found.quote_filled) == (D("0.02"), D("0.01"), D(400))


def test_contracts_without_any_price_are_no_base_units(answer):
    row = COIN_ROW | {"price": "0", "avgPrice": "0", "type": "MARKET", "origType": "MARKET", "status": "NEW"}
    found = COINM.trading.read_order(answer(row | {"executedQty": "0"}), at(COINM))
    assert (found.contracts, found.quantity, found.filled) == (D(10), 0, 0)


def test_a_triggered_order_keeps_the_type_it_was_placed_as(answer):
    found = USDM.trading.read_order(answer(QUERY | {"type": "MARKET", "origType": "STOP_MARKET"}), at())
    assert (found.type, found.type_text) == (OrderType.STOP, "STOP_MARKET")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"timeInForce": "GTX"}, {"type": OrderType.LIMIT_MAKER, "time_in_force": TimeInForce.GTC}),
        ({"timeInForce": "GTD"}, {"time_in_force": TimeInForce.OTHER}),
        ({"status": "NEW_ADL"}, {"status": None, "status_text": "NEW_ADL"}),
        ({"status": "EXPIRED_IN_MATCH"}, {"status": OrderStatus.EXPIRED, "status_text": "EXPIRED_IN_MATCH"}),
        ({"origType": "ODD", "type": "ODD"}, {"type": OrderType.OTHER, "type_text": "ODD"}),
        ({"positionSide": "LONG", "reduceOnly": True}, {"position_side": PositionSide.LONG, "reduce_only": True}),
    ],
)
def test_words_are_mapped_and_unknown_ones_kept(answer, changes, expected):
    assert USDM.trading.read_placed(answer(ROW | changes), LIMIT, at()).report == report(**expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "HOLD"},
        {"positionSide": "UP"},
        {"symbol": "BTCUSDT"},
        {"status": "FILLED", "executedQty": "0"},
        {"price": "NaN"},
        {"origQty": "-1"},
        {"orderId": -1},
        {"orderId": None},
    ],
)
def test_rows_that_cannot_be_booked_are_refused(answer, changes):
    with pytest.raises(WireFormatError):
        USDM.trading.read_placed(answer(ROW | changes), LIMIT, at())
    if changes != {"symbol": "BTCUSDT"}:  # in a list that one is another contract's
        with pytest.raises(WireFormatError):
            USDM.trading.read_orders(answer([QUERY, QUERY | changes]), table_of("binance-usdm"))


def test_cancelled_orders_keep_their_own_client_id(answer):
    answered = USDM.trading.read_cancelled(answer(ROW | {"status": "CANCELED"}), at(), "acme-000042")
    assert answered.report == report(status=OrderStatus.CANCELED, status_text="CANCELED") and answered.others == ()


def test_a_cancelled_algo_order_is_only_a_receipt(answer):
    body = {"algoId": 2148719, "clientAlgoId": "acme-sl-7", "code": "200", "msg": "success"}
    assert USDM.trading.read_cancelled(answer(body), at()).report is None
    with pytest.raises(WireFormatError, match="not 200"):
        USDM.trading.read_cancelled(answer(body | {"code": "-2011"}), at())


def test_an_amend_that_changes_nothing_has_succeeded(answer):
    assert USDM.trading.read_amended(answer(ROW), at()) == report()
    for driver, code in ((USDM, -5027), (COINM, -4197), (COINM, -5027)):
        refused = answer({"code": code, "msg": "No need to modify the order."}, 400)
        assert driver.trading.failure(refused, write=True) is None
        assert driver.trading.read_amended(refused, at(driver)) is None
        assert isinstance(driver.trading.failure(refused, write=False), VenueRejected)


def test_an_unknown_order_is_none_and_no_proof(answer):
    refused = answer({"code": -2013, "msg": "Order does not exist."}, 400)
    assert USDM.trading.read_order(refused, at()) is None
    with pytest.raises(VenueRejected):
        USDM.trading.read_order(answer({"code": -2011, "msg": "x"}, 400), at())


def test_a_test_order_says_only_that_it_would_have_been_taken(answer):
    tested = PlaceOrder(symbol=ETH, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(3150), test=True)
    found = USDM.trading.read_placed(answer({}), tested, at()).report
    assert (found.status, found.status_text, found.venue_id, found.working) == (None, "TEST", "", False)
    with pytest.raises(VenueRejected):
        USDM.trading.read_placed(answer({"code": -1111, "msg": "x"}, 400), tested, at())


def test_refusals_of_orders_are_raised_as_what_they_are(answer):
    for body, status, kind in (
        ({"code": -2019, "msg": "Margin is insufficient."}, 400, VenueRejected),
        ({"code": -5022, "msg": "Post-only"}, 400, VenueRejected),
        ({"code": -1007, "msg": "Timeout"}, 408, OutcomeUnknown),
        ({"code": -1008, "msg": "throttled"}, 503, VenueUnavailable),
    ):
        with pytest.raises(kind):
            USDM.trading.read_placed(answer(body, status), LIMIT, at())
        with pytest.raises(kind):
            USDM.trading.read_placed(answer(body, status), STOP, at())


def test_the_codes_and_texts_that_settle_things():
    assert USDM.trading.not_open_codes == {"-2011", "-2013", "-4117"}
    assert any(text in "ClientOrderId is duplicated." for text in USDM.trading.duplicate_id_texts)
    assert any(text in "clientOrderId is duplicated" for text in USDM.trading.duplicate_id_texts)


def test_lists_hold_regular_and_algo_orders_of_listed_contracts(answer):
    rows = [QUERY, QUERY | {"symbol": "NEWUSDT"}, ALGO, ALGO | {"symbol": "NEWUSDT"}]
    found = USDM.trading.read_orders(answer(rows), table_of("binance-usdm"))
    assert found == (report(quote_filled=D("787.375")), algo())


# ---------------------------------------------------------------- pages


def more(driver, request, rows, answer):
    return driver.trading.more(request, answer(rows), AUTH, NOW_MS + 1)


def said(request):
    pairs = dict(parse_qsl(request.query))
    return {name: value for name, value in pairs.items() if name not in ("signature", "recvWindow", "timestamp")}


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_open_orders_go_on_to_the_algo_orders(driver, answer):
    for listed, weight in ((at(driver), 1), (None, 40)):
        first = driver.trading.open_orders(listed, AUTH, NOW_MS)
        second = more(driver, first, [], answer)
        assert second.path.endswith("/v1/openAlgoOrders") and second.charges[0].points == weight
        assert said(second) == ({"symbol": listed.venue_name} if listed else {})
        assert dict(parse_qsl(second.query))["timestamp"] == str(NOW_MS + 1)
        assert more(driver, second, [], answer) is None


def test_orders_since_are_paged_by_time_and_go_on_to_the_algo_orders_of_the_same_time(answer):
    start_ms = 1_761_300_000_000  # more than seven days ago
    end = str(start_ms + 7 * 86_400_000 - 1)
    first = COINM.trading.orders_since(at(COINM), start_ms * MS, AUTH, NOW_MS)
    full = [COIN_ROW | {"orderId": number, "time": start_ms + number} for number in range(100)]

    second = more(COINM, first, full, answer)
    assert second.path == "/dapi/v1/allOrders"
    assert said(second) == {
        "symbol": "BTCUSD_PERP",
        "startTime": str(start_ms + 99),
        "endTime": end,
        "limit": "100",
    }
    third = more(COINM, second, full[:3], answer)
    assert third.path == "/dapi/v1/allAlgoOrders"
    assert said(third) == {"symbol": "BTCUSD_PERP", "startTime": str(start_ms), "endTime": end, "limit": "100"}
    assert more(COINM, third, [], answer) is None
    rows = [ALGO | {"createTime": start_ms + number} for number in range(100)]
    assert said(more(COINM, third, rows, answer))["startTime"] == str(start_ms + 99)


def test_lists_of_the_last_days_name_no_end_and_algo_orders_are_asked_for_from_earlier_on(answer):
    start_ms = NOW_MS - 1_000
    first = COINM.trading.orders_since(at(COINM), start_ms * MS, AUTH, NOW_MS)
    full = [COIN_ROW | {"time": start_ms + number} for number in range(100)]
    second = more(COINM, first, full, answer)
    assert said(second) == {"symbol": "BTCUSD_PERP", "startTime": str(start_ms + 99), "limit": "100"}
    following = said(more(COINM, second, [], answer))
    assert following == {"symbol": "BTCUSD_PERP", "startTime": str(NOW_MS + 2 - 7 * 86_400_000), "limit": "100"}


def test_a_page_of_one_moment_still_moves_on(answer):
    start_ms = 1_761_900_000_000  # some days ago
    first = COINM.trading.orders_since(at(COINM), start_ms * MS, AUTH, NOW_MS)
    second = more(COINM, first, [COIN_ROW | {"time": start_ms}] * 100, answer)
    assert said(second)["startTime"] == str(start_ms + 1)


def test_funding_is_paged_by_time(answer):
    for driver in (USDM, COINM):
        first = driver.positions.funding(1_000_000, AUTH, NOW_MS)
        rows = [INCOME | {"time": 5 + number} for number in range(1000)]
        second = more(driver, first, rows, answer)
        assert said(second) == {"incomeType": "FUNDING_FEE", "startTime": "1004", "limit": "1000"}
        assert (second.path, second.charges) == (first.path, first.charges)
        assert more(driver, second, rows[:999], answer) is None


def test_fills_balances_and_refused_lists_have_no_more(answer):
    fills = USDM.trading.fills(at(), None, None, None, AUTH, NOW_MS)
    assert more(USDM, fills, [FILL] * 1000, answer) is None
    assert more(USDM, USDM.trading.balances(AUTH, NOW_MS), [], answer) is None
    refused = answer({"code": -1003, "msg": "x"}, 429)
    assert USDM.trading.more(USDM.trading.open_orders(None, AUTH, NOW_MS), refused, AUTH, NOW_MS) is None


def test_a_page_that_cannot_be_read_says_so(answer):
    first = USDM.trading.orders_since(at(), 0, AUTH, NOW_MS)
    with pytest.raises(WireFormatError):
        more(USDM, first, {"rows": 1}, answer)


# ---------------------------------------------------------------- fills and balances

FILL = {
    "symbol": "ETHUSDT",
    "pair": "ETHUSDT",
    "id": 900777,
    "orderId": 8389765001,
    "side": "SELL",
    "price": "3150.00",
    "qty": "0.250",
    "quoteQty": "787.5",
    "baseQty": "0.25",
    "marginAsset": "USDT",
    "realizedPnl": "-1.5",
    "commission": "0.1575",
    "commissionAsset": "BNB",
    "time": 1762000100008,
    "positionSide": "LONG",
    "buyer": False,
    "maker": True,
}


def test_fills_are_oldest_first_with_what_they_realized(answer):
    older = FILL | {"id": 900776}
    found = USDM.trading.read_fills(answer([FILL, older]), at())
    assert [fill.trade_id for fill in found] == ["900776", "900777"]
    assert found[1] == Fill(
        "binance-usdm",
        ETH,
        1762000100008 * MS,
        answer([]).received_ns,
        "900777",
        "",
        "8389765001",
        Side.SELL,
        D(3150),
        D("0.25"),
        D("0.1575"),
        "BNB",
        True,
        realized=D("-1.5"),
        position_side=PositionSide.LONG,
    )


def test_fills_of_coin_m_keep_their_contracts(answer):
    (fill,) = COINM.trading.read_fills(
        answer([FILL | {"symbol": "BTCUSD_PERP", "qty": "4", "price": "40000"}]), at(COINM)
    )
    assert (fill.quantity, fill.contracts) == (D("0.01"), D(4))


def test_balances_are_wallet_balances_and_complete(answer):
    rows = [
        {"accountAlias": "S", "asset": "USDT", "balance": "122607.35", "availableBalance": "1", "updateTime": 17},
        {"accountAlias": "S", "asset": "BTC", "balance": "-0.5", "availableBalance": "0", "updateTime": 0},
    ]
    for driver in (USDM, COINM):
        assert driver.trading.read_balances(answer(rows)) == BalanceReport(
            driver.name,
            17 * MS,
            answer([]).received_ns,
            (("USDT", D("122607.35"), D(0)), ("BTC", D("-0.5"), D(0))),
            True,
        )


# ---------------------------------------------------------------- positions and funding

POSITION = {
    "symbol": "ETHUSDT",
    "positionAmt": "-0.250",
    "entryPrice": "3150.00",
    "breakEvenPrice": "3150.63",
    "markPrice": "3149.80",
    "unRealizedProfit": "0.05",
    "liquidationPrice": "9000",
    "leverage": "20",
    "marginType": "isolated",
    "isAutoAddMargin": "false",
    "isolatedMargin": "39.4",
    "isolatedWallet": "39.3",
    "maxNotionalValue": "1000000",
    "notional": "-787.45",
    "positionSide": "BOTH",
    "updateTime": 1762000100008,
}


def test_positions_are_complete_and_only_those_there_are(answer):
    rows = [POSITION, POSITION | {"positionAmt": "0.000", "positionSide": "LONG"}, POSITION | {"symbol": "NEWUSDT"}]
    told = USDM.positions.read_positions([answer(rows)], table_of("binance-usdm"))
    assert told.complete and told.venue == "binance-usdm" and told.received_ns == answer([]).received_ns
    assert told.positions == (
        Position(
            "binance-usdm",
            ETH,
            1762000100008 * MS,
            answer([]).received_ns,
            PositionSide.NET,
            D("-0.25"),
            D(3150),
            unrealized=D("0.05"),
            liquidation_price=D(9000),
            leverage=D(20),
            mark_price=D("3149.8"),
            margin_mode=MarginMode.ISOLATED,
            margin=D("39.4"),
        ),
    )


def test_positions_of_coin_m_are_contracts_worth_base_units_at_their_entry(answer):
    row = POSITION | {"symbol": "BTCUSD_PERP", "positionAmt": "-5", "entryPrice": "50000", "marginType": "cross"}
    (found,) = COINM.positions.read_positions([answer([row])], table_of("binance-coinm")).positions
    assert (found.quantity, found.contracts, found.margin_mode, found.margin) == (
        D("-0.01"),
        D(-5),
        MarginMode.CROSS,
        None,
    )


def test_positions_that_cannot_be_read_are_refused_whole(answer):
    for bad in (POSITION | {"positionAmt": "NaN"}, POSITION | {"positionSide": "X"}, {"symbol": "ETHUSDT"}):
        with pytest.raises(WireFormatError):
            USDM.positions.read_positions([answer([POSITION, bad])], table_of("binance-usdm"))
    with pytest.raises(VenueUnavailable):
        USDM.positions.read_positions([answer(b"", 502)], table_of("binance-usdm"))


INCOME = {
    "symbol": "ETHUSDT",
    "incomeType": "FUNDING_FEE",
    "income": "-0.37500000",
    "asset": "USDT",
    "info": "FUNDING_FEE",
    "time": 1762012800000,
    "tranId": 9689322392,
    "tradeId": "",
}


def test_funding_is_told_per_contract(answer):
    rows = [INCOME, INCOME | {"incomeType": "COMMISSION"}, INCOME | {"symbol": "NEWUSDT"}, INCOME | {"income": "1"}]
    found = USDM.positions.read_funding(answer(rows), table_of("binance-usdm"))
    assert [payment.amount for payment in found] == [D("-0.375"), D(1)]
    assert found[0] == FundingPayment(
        "binance-usdm",
        ETH,
        1762012800000 * MS,
        answer([]).received_ns,
        "USDT:489448:-0.375",
        "USDT",
        D("-0.375"),
    )
    assert len({payment.payment_id for payment in found}) == 2


# ---------------------------------------------------------------- settings

LEVERAGE = SetLeverage(symbol=ETH, leverage=D(5))
MARGIN = SetMarginMode(symbol=ETH, mode=MarginMode.CROSS)
MODE = SetPositionMode(mode=PositionMode.HEDGE)


def test_settings_that_are_so_already_have_succeeded(answer):
    done = {"code": 200, "msg": "success"}
    assert USDM.positions.read_configured(MARGIN, answer(done)) is None
    assert USDM.positions.read_configured(MODE, answer(done)) is None
    for command, code in ((MARGIN, -4046), (MODE, -4059)):
        assert USDM.positions.read_configured(command, answer({"code": code, "msg": "No need"}, 400)) is None


def test_leverage_has_to_be_what_was_asked_for(answer):
    body = {"leverage": 5, "maxNotionalValue": "1000000", "symbol": "ETHUSDT"}
    assert USDM.positions.read_configured(LEVERAGE, answer(body)) is None
    for wrong in (body | {"leverage": 20}, {}, {"leverage": "5"}):
        with pytest.raises(WireFormatError):
            USDM.positions.read_configured(LEVERAGE, answer(wrong))


def test_settings_that_are_refused_or_lost_are_errors(answer):
    for command, code in ((MARGIN, -4047), (MODE, -4068), (MODE, -4531), (LEVERAGE, -4161)):
        with pytest.raises(VenueRejected):
            USDM.positions.read_configured(command, answer({"code": code, "msg": "x"}, 400))
    with pytest.raises(OutcomeUnknown):
        USDM.positions.read_configured(LEVERAGE, answer(b"", 502))


def test_dated_contracts_are_read_by_their_own_name(answer):
    dated = instrument("binance-usdm", "BTC/USDT:USDT-261225")
    found = USDM.trading.read_order(answer(QUERY | {"symbol": "BTCUSDT_261225"}), dated)
    assert str(found.symbol) == "BTC/USDT:USDT-261225"
