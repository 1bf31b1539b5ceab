"""Orders, fills and balances on the simulated exchange bybit, spot: the documents' rules as sentences."""

from decimal import Decimal

import pytest


def states(session):
    return [row["orderStatus"] for row in session.rows("order")]


def test_an_answer_to_a_new_order_holds_its_ids_and_nothing_of_its_fate(bybit):
    sim, trader = bybit()
    answer = trader.place(orderLinkId="a", orderType="Market", qty="0.01", marketUnit="baseCoin")
    assert set(answer) == {"orderId", "orderLinkId"} and answer["orderLinkId"] == "a"
    assert sim.accounts["main"].order("a").status == "FILLED"


def test_a_resting_order_is_new_in_queries_and_on_the_private_topic(bybit):
    _sim, trader = bybit()
    session = trader.private_socket()
    ids = trader.place(orderLinkId="a", price="60000", qty="0.01")
    row = trader.order("a")
    assert row["orderId"] == ids["orderId"] and row["orderStatus"] == "New" and row["orderType"] == "Limit"
    assert (row["price"], row["qty"], row["leavesQty"], row["leavesValue"]) == ("60000.00", "0.01000", "0.01000", "600")
    assert (row["avgPrice"], row["cumExecQty"], row["cumExecValue"]) == ("", "0.00000", "0")
    (told,) = session.rows("order")
    assert told == row and told["category"] == "spot"


def test_a_private_frame_has_an_id_a_topic_and_a_creation_time(bybit):
    _sim, trader = bybit()
    session = trader.private_socket("order")
    trader.place()
    (message,) = session.settle()
    assert message["topic"] == "order" and isinstance(message["id"], str) and message["creationTime"] == trader.now_ms()


def test_a_resting_purchase_locks_what_it_costs(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", price="60000", qty="0.01")
    assert trader.coin("USDT") == (Decimal(1_000_000), Decimal(600))
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    assert trader.coin("USDT") == (Decimal(1_000_000), Decimal(0))


def test_a_market_purchase_is_by_amount_when_nothing_else_is_said(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", orderType="Market", qty="500")
    row = trader.order("a")
    assert row["marketUnit"] == "quoteCoin" and row["qty"] == "500" and row["timeInForce"] == "IOC"
    assert Decimal(490) < Decimal(row["cumExecValue"]) <= Decimal(500)


def test_a_purchase_by_amount_that_leaves_dust_ends_as_partially_filled_canceled(bybit):
    sim, trader = bybit()
    trader.place(orderLinkId="a", orderType="Market", qty="500.01")
    row = trader.order("a")
    assert row["orderStatus"] == "PartiallyFilledCanceled" and Decimal(row["leavesValue"]) > 0
    assert row["leavesQty"] == "0.00000"
    order = sim.accounts["main"].order("a")
    assert order.status == "EXPIRED" and order.filled == order.quantity


def test_a_market_purchase_by_quantity_needs_the_base_coin_as_its_unit(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", orderType="Market", qty="0.02", marketUnit="baseCoin")
    row = trader.order("a")
    assert row["orderStatus"] == "Filled" and row["cumExecQty"] == "0.02000" and row["qty"] == "0.02000"


def test_a_market_sale_is_by_quantity_when_nothing_else_is_said(bybit):
    _sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", orderType="Market", qty="0.02")
    assert trader.order("a")["marketUnit"] == "baseCoin" and trader.order("a")["cumExecQty"] == "0.02000"


def test_a_market_sale_by_amount_sells_for_no_more_than_that(bybit):
    _sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", orderType="Market", qty="500", marketUnit="quoteCoin")
    assert Decimal(490) < Decimal(trader.order("a")["cumExecValue"]) <= Decimal(500)


def test_a_market_order_goes_one_percent_far(bybit):
    sim, trader = bybit()
    last = Decimal(trader.public("tickers", symbol="BTCUSDT")["list"][0]["lastPrice"])
    high = (last * Decimal("1.01")).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
    trader.place(orderLinkId="a", orderType="Market", qty="9", marketUnit="baseCoin")
    row, fills = trader.order("a"), sim.accounts["main"].fills()
    assert row["orderStatus"] == "PartiallyFilledCanceled" and row["rejectReason"] == "EC_NoImmediateQtyToFill"
    assert max(fill.price for fill in fills) <= high and Decimal(row["price"]) == high


def test_slippage_in_ticks_narrows_how_far_a_market_order_goes(bybit):
    sim, trader = bybit()
    ask = Decimal(trader.public("orderbook", symbol="BTCUSDT")["a"][0][0])
    trader.place(
        orderLinkId="a",
        orderType="Market",
        qty="5",
        marketUnit="baseCoin",
        slippageToleranceType="TickSize",
        slippageTolerance="10",
    )
    assert max(fill.price for fill in sim.accounts["main"].fills()) <= ask + Decimal("0.10")
    assert trader.rejected(orderType="Market", slippageToleranceType="TickSize", slippageTolerance="0")[0] == 110108


def test_a_fill_is_told_as_an_execution_before_the_order_and_the_wallet(bybit):
    sim, trader = bybit()
    session = trader.private_socket("order", "execution", "wallet")
    trader.place("Sell", orderLinkId="a", price="64640", qty="0.01")
    session.settle()
    sim.accounts["main"].fill("a", "0.004")
    messages = session.settle()
    assert [message["topic"] for message in messages] == ["execution", "order", "wallet"]
    execution, order = messages[0]["data"][0], messages[1]["data"][0]
    assert (execution["execPrice"], execution["execQty"], execution["leavesQty"]) == ("64640.00", "0.00400", "0.00600")
    assert execution["isMaker"] is True and execution["execType"] == "Trade" and execution["orderLinkId"] == "a"
    assert (order["orderStatus"], order["cumExecQty"], order["leavesQty"]) == ("PartiallyFilled", "0.00400", "0.00600")
    assert order["avgPrice"] == "64640"
    coins = {row["coin"]: row for row in messages[2]["data"][0]["coin"]}
    assert Decimal(coins["BTC"]["walletBalance"]) == Decimal("9.996")
    assert Decimal(coins["BTC"]["locked"]) == Decimal("0.006")


def test_a_buyer_pays_in_the_base_coin_and_a_seller_in_the_quote_coin(bybit):
    _sim, trader = bybit()
    trader.place(orderType="Market", qty="0.01", marketUnit="baseCoin", orderLinkId="a")
    trader.place("Sell", orderType="Market", qty="0.01", orderLinkId="b")
    fees = {row["orderLinkId"]: row["feeCurrency"] for row in trader.ask("GET", "execution/list")["list"]}
    assert fees == {"a": "BTC", "b": "USDT"}
    assert trader.order("a")["cumFeeDetail"] == {"BTC": "0.00001"}


def test_executions_and_the_ledger_say_the_same(bybit):
    sim, trader = bybit()
    for number in range(5):
        trader.place(orderType="Market", qty="0.06", marketUnit="baseCoin", orderLinkId=f"a{number}")
    rows = trader.ask("GET", "execution/list", limit=100)["list"]
    fills = sim.accounts["main"].fills()
    assert len(rows) == len(fills) > 5
    assert len({row["execId"] for row in rows}) == len(rows)
    for row, fill in zip(sorted(rows, key=lambda row: row["execId"]), fills, strict=True):
        assert Decimal(row["execPrice"]) == fill.price and Decimal(row["execQty"]) == fill.quantity
        assert Decimal(row["execFee"]) == fill.commission and row["feeCurrency"] == fill.commission_asset


def test_a_post_only_order_that_would_take_is_accepted_and_then_cancelled(bybit):
    _sim, trader = bybit()
    session = trader.private_socket("order")
    trader.place(orderLinkId="a", price="64300", timeInForce="PostOnly")
    first, last = session.rows("order")
    assert (first["orderStatus"], last["orderStatus"]) == ("New", "Cancelled")
    assert last["rejectReason"] == "EC_PostOnlyWillTakeLiquidity" and last["cumExecQty"] == "0.00000"
    assert trader.coin("USDT")[1] == 0


@pytest.mark.parametrize(("tif", "reason"), [("IOC", "EC_NoImmediateQtyToFill"), ("FOK", "EC_CancelForNoFullFill")])
def test_what_cannot_be_filled_at_once_is_cancelled_with_its_reason(bybit, tif, reason):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", price="60000", timeInForce=tif)
    row = trader.order("a")
    assert (row["orderStatus"], row["rejectReason"], row["timeInForce"]) == ("Cancelled", reason, tif)


def test_a_cancelled_order_with_fills_has_a_status_of_its_own(bybit):
    sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", price="64640", qty="0.01")
    sim.accounts["main"].fill("a", "0.004")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    row = trader.order("a")
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
        "PartiallyFilledCanceled",
        "CancelByUser",
        "EC_PerCancelRequest",
    )
    assert (row["leavesQty"], row["cumExecQty"]) == ("0.00000", "0.00400")


def test_a_cancel_that_comes_too_late_is_accepted_and_a_second_filled_message_says_so(bybit):
    sim, trader = bybit()
    trader.place(orderLinkId="a")
    session = trader.private_socket("order")
    sim.faults.fill_before_cancel()
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    first, second = session.rows("order")
    assert first["orderStatus"] == second["orderStatus"] == "Filled"
    assert first["rejectReason"] == "EC_NoError"
    assert (second["cancelType"], second["rejectReason"]) == ("CancelByUser", "EC_OrigClOrdIDDoesNotExist")
    assert sim.accounts["main"].order("a").status == "FILLED"


def test_an_order_that_is_gone_cannot_be_cancelled_or_amended(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    for path, more in (("order/cancel", {}), ("order/amend", {"qty": "0.02"})):
        assert trader.refused("POST", path, symbol="BTCUSDT", orderLinkId="a", **more)[0] == 170213
        assert trader.refused("POST", path, symbol="BTCUSDT", orderLinkId="never", **more)[0] == 170213
        assert trader.refused("POST", path, symbol="BTCUSDT", **more)[0] == 10001


def test_a_link_id_is_never_taken_twice_not_even_after_the_end_of_its_order(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a")
    assert trader.rejected(orderLinkId="a") == (170141, "Duplicate clientOrderId.")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    assert trader.rejected(orderLinkId="a")[0] == 170141
    assert trader.rejected(orderLinkId="a", symbol="ETHUSDT", price="3000")[0] == 170141


def test_a_link_id_of_a_refused_order_stays_free(bybit):
    _sim, trader = bybit()
    assert trader.rejected(orderLinkId="a", qty="100")[0] == 170131
    trader.place(orderLinkId="a")


def test_orders_need_no_link_id(bybit):
    _sim, trader = bybit()
    first, second = trader.place(), trader.place()
    assert first["orderLinkId"] == second["orderLinkId"] == "" and first["orderId"] != second["orderId"]
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderId=first["orderId"])
    (left,) = trader.ask("GET", "order/realtime")["list"]
    assert left["orderId"] == second["orderId"]


@pytest.mark.parametrize("link_id", ["x" * 37, "a b", "a/b", "ä"])
def test_a_link_id_has_at_most_36_letters_digits_dashes_and_underscores(bybit, link_id):
    _sim, trader = bybit()
    assert trader.rejected(orderLinkId=link_id)[0] == 10001


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPEUSDT"}, 170121),
        ({"side": "BUY"}, 170117),
        ({"orderType": "LIMIT"}, 170116),
        ({"timeInForce": "GTX"}, 170115),
        ({"timeInForce": "RPI"}, 170355),
        ({"qty": "0.0000001"}, 170137),
        ({"qty": "0"}, 170136),
        ({"qty": "-1"}, 10001),
        ({"qty": "1e-3"}, 10001),
        ({"qty": ""}, 10001),
        ({"qty": "90000"}, 170124),
        ({"qty": "20"}, 170131),
        ({"price": "60000.001"}, 170134),
        ({"price": "0"}, 170133),
        ({"price": ""}, 10001),
        ({"price": "66000"}, 170193),
        ({"side": "Sell", "price": "60000"}, 170194),
        ({"qty": "0.00005"}, 170140),
        ({"category": "linear"}, 10001),
        ({"category": "spots"}, 10001),
        ({"isLeverage": 1}, 170344),
        ({"takeProfit": "70000"}, 170227),
        ({"orderFilter": "tpslOrder"}, 170202),
        ({"orderFilter": "Nonsense"}, 170201),
        ({"orderType": "Market", "qty": "4"}, 170140),
        ({"orderType": "Market", "qty": "100.00000001"}, 170148),
        ({"orderType": "Market", "marketUnit": "coins"}, 10001),
    ],
)
def test_what_is_wrong_with_an_order_has_its_code(bybit, params, code):
    sim, trader = bybit()
    assert trader.rejected(**params)[0] == code
    assert sim.accounts["main"].orders() == []


def test_numbers_may_come_bare(bybit):
    sim, trader = bybit()
    trader.place(orderLinkId="a", qty=0.01, price=60000)
    assert sim.accounts["main"].order("a").quantity == Decimal("0.01")


def test_an_amendment_changes_size_and_price_under_the_same_ids(bybit):
    _sim, trader = bybit()
    session = trader.private_socket("order")
    ids = trader.place(orderLinkId="a", price="60000", qty="0.01")
    assert trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", qty="0.03", price="61000") == ids
    row = trader.order("a")
    assert (row["price"], row["qty"], row["leavesQty"]) == ("61000.00", "0.03000", "0.03000")
    assert trader.coin("USDT")[1] == Decimal(1830)
    assert states(session) == ["New", "New"]


def test_an_amendment_counts_what_has_traded(bybit):
    sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", price="64640", qty="0.01")
    sim.accounts["main"].fill("a", "0.004")
    amend = {"symbol": "BTCUSDT", "orderLinkId": "a"}
    assert trader.refused("POST", "order/amend", **amend, qty="0.004")[0] == 170313
    trader.ask("POST", "order/amend", **amend, qty="0.006")
    row = trader.order("a")
    assert (row["orderStatus"], row["qty"], row["leavesQty"]) == ("PartiallyFilled", "0.00600", "0.00200")
    assert trader.coin("BTC") == (Decimal("9.996"), Decimal("0.002"))
    sim.accounts["main"].fill("a")
    assert trader.order("a")["orderStatus"] == "Filled" and trader.coin("BTC")[1] == 0


def test_an_amendment_of_the_price_may_trade_at_once(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", price="60000", qty="0.01")
    trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", price="64300")
    row = trader.order("a")
    assert row["orderStatus"] == "Filled" and Decimal(row["avgPrice"]) < Decimal(64300)


def test_an_amended_post_only_order_that_would_take_is_cancelled(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", price="60000", timeInForce="PostOnly")
    trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", price="64300")
    row = trader.order("a")
    assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


def test_an_amendment_that_changes_nothing_or_cannot_be_paid_is_refused(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="a", price="60000", qty="0.01")
    amend = {"symbol": "BTCUSDT", "orderLinkId": "a"}
    assert trader.refused("POST", "order/amend", **amend)[0] == 10001
    assert trader.refused("POST", "order/amend", **amend, qty="0.01")[0] == 10001
    assert trader.refused("POST", "order/amend", **amend, qty="20")[0] == 170131
    assert trader.order("a")["qty"] == "0.01000"


def test_the_venues_own_id_goes_before_the_link_id(bybit):
    _sim, trader = bybit()
    first, _ = trader.place(orderLinkId="a"), trader.place(orderLinkId="b")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderId=first["orderId"], orderLinkId="b")
    assert [row["orderLinkId"] for row in trader.ask("GET", "order/realtime")["list"]] == ["b"]


def test_cancel_all_takes_a_symbol_a_coin_or_everything(bybit):
    _sim, trader = bybit()
    for ident, symbol, price in (("a", "BTCUSDT", "60000"), ("b", "ETHUSDT", "3000"), ("c", "ETHBTC", "0.049")):
        trader.place(orderLinkId=ident, symbol=symbol, price=price, qty="1")
    gone = trader.ask("POST", "order/cancel-all", symbol="BTCUSDT")
    assert [row["orderLinkId"] for row in gone["list"]] == ["a"] and gone["success"] == "1"
    gone = trader.ask("POST", "order/cancel-all", baseCoin="ETH")
    assert {row["orderLinkId"] for row in gone["list"]} == {"b", "c"}
    trader.place(orderLinkId="d")
    assert len(trader.ask("POST", "order/cancel-all")["list"]) == 1
    assert trader.ask("GET", "order/realtime")["list"] == []


def test_a_batch_answers_for_each_order_apart(bybit):
    _sim, trader = bybit()
    batch = [trader.new(orderLinkId="a"), trader.new(orderLinkId="b", qty="0"), trader.new(orderLinkId="c")]
    answer = trader.call("POST", "order/create-batch", request=batch).json
    assert answer["retCode"] == 0
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 170136, 0]
    rows = answer["result"]["list"]
    assert [bool(row["orderId"]) for row in rows] == [True, False, True]
    assert [row["orderLinkId"] for row in rows] == ["a", "b", "c"]
    answer = trader.call(
        "POST",
        "order/cancel-batch",
        request=[{"symbol": "BTCUSDT", "orderLinkId": ident} for ident in ("a", "b")],
    ).json
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 170213]
    changes = [{"symbol": "BTCUSDT", "orderLinkId": "c", "qty": "0.02"}]
    answer = trader.call("POST", "order/amend-batch", request=changes).json
    assert answer["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    assert trader.order("c")["qty"] == "0.02000"


def test_a_batch_of_spot_orders_has_at_most_ten(bybit):
    _sim, trader = bybit()
    assert trader.refused("POST", "order/create-batch", request=[trader.new()] * 11)[0] == 10001
    assert trader.refused("POST", "order/create-batch", request=[])[0] == 10001


def test_closed_orders_are_in_the_history_and_open_ones_are_not(bybit):
    _sim, trader = bybit()
    trader.place(orderLinkId="open")
    trader.place(orderLinkId="gone")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="gone")
    assert [row["orderLinkId"] for row in trader.ask("GET", "order/history")["list"]] == ["gone"]
    assert [row["orderLinkId"] for row in trader.ask("GET", "order/realtime")["list"]] == ["open"]
    assert [row["orderLinkId"] for row in trader.ask("GET", "order/realtime", openOnly=1)["list"]] == ["gone"]
    assert trader.refused("GET", "order/history", orderStatus="New")[0] == 181017


def test_an_order_cancelled_without_fills_is_forgotten_after_a_day(bybit, hand_clock):
    _sim, trader = bybit()
    trader.place(orderLinkId="a")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    hand_clock.advance(86_000)
    assert len(trader.ask("GET", "order/history", orderLinkId="a")["list"]) == 1
    hand_clock.advance(1_000)
    assert trader.ask("GET", "order/history", orderLinkId="a")["list"] == []


def test_a_restart_of_the_service_leaves_closed_orders_to_the_history(bybit, hand_clock):
    sim, trader = bybit()
    trader.place(orderLinkId="a")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    sim.faults.service_restart()
    assert trader.ask("GET", "order/realtime", orderLinkId="a")["list"] == []
    assert len(trader.ask("GET", "order/history", orderLinkId="a")["list"]) == 1


def test_pages_follow_the_cursor_newest_first_and_end_with_an_empty_one(bybit, hand_clock):
    _sim, trader = bybit()
    for number in range(7):
        trader.place(orderLinkId=f"a{number}")
        hand_clock.advance(0.01)
    seen, cursor = [], ""
    for _ in range(3):
        page = trader.ask("GET", "order/realtime", limit=3, cursor=cursor)
        seen += [row["orderLinkId"] for row in page["list"]]
        cursor = __import__("urllib.parse").parse.unquote(page["nextPageCursor"])
    assert seen == [f"a{number}" for number in reversed(range(7))] and cursor == ""


def test_a_span_of_more_than_a_week_is_refused(bybit):
    _sim, trader = bybit()
    week = 7 * 86_400_000
    for path in ("order/history", "execution/list"):
        assert trader.refused("GET", path, startTime=1, endTime=week + 2)[0] == 10001
        assert trader.ask("GET", path, startTime=1, endTime=week)["list"] == []


def test_a_conditional_order_waits_for_its_price_and_is_deactivated_when_cancelled(bybit):
    _sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", orderFilter="tpslOrder", triggerPrice="63990", price="63980")
    trader.place("Sell", orderLinkId="b", orderFilter="tpslOrder", triggerPrice="60000", price="63980")
    assert trader.order("a")["orderStatus"] == "Untriggered" and trader.order("a")["triggerPrice"] == "63990.00"
    assert trader.coin("BTC")[1] == Decimal("0.02")
    trader.place("Sell", orderType="Market", qty="1.5")
    assert trader.order("a")["orderStatus"] in ("New", "Filled", "PartiallyFilled")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="b", orderFilter="tpslOrder")
    assert trader.order("b")["orderStatus"] == "Deactivated"


def test_a_stop_order_locks_nothing_before_its_price_and_is_cancelled_when_there_is_too_little_then(bybit):
    _sim, trader = bybit()
    for ident, qty in (("a", "0.02"), ("b", "9.99")):
        trader.place("Sell", orderLinkId=ident, orderFilter="StopOrder", triggerPrice="63995", price="63980", qty=qty)
    assert trader.coin("BTC")[1] == 0 and trader.order("a")["stopOrderType"] == "Stop"
    trader.place("Sell", orderLinkId="c", price="64640", qty="8")
    trader.place("Sell", orderType="Market", qty="1.5")
    assert trader.order("a")["orderStatus"] in ("New", "PartiallyFilled", "Filled")
    assert trader.order("b")["orderStatus"] == "Cancelled" and trader.order("b")["cumExecQty"] == "0.00000"
    assert [row["orderLinkId"] for row in trader.ask("POST", "order/cancel-all")["list"]][-1] == "c"
    assert trader.coin("BTC")[1] == 0


def test_orders_of_one_owner_do_not_meet_when_the_taker_says_so(bybit):
    _sim, trader = bybit()
    trader.place("Sell", orderLinkId="a", price="64000.01", qty="0.01", timeInForce="PostOnly")
    best = trader.public("orderbook", symbol="BTCUSDT")["a"][0][0]
    trader.place("Sell", orderLinkId="b", price=best, qty="0.01")
    for number in range(40):  # what stands before it at its price is bought first
        trader.place(orderLinkId=f"c{number}", price=best, qty="0.02", smpType="CancelMaker", timeInForce="IOC")
        if trader.order("b")["orderStatus"] != "New":
            break
    row = trader.order("b")
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelBySmp") and row["smpOrderId"]


def test_a_halted_symbol_takes_no_orders(bybit):
    sim, trader = bybit()
    sim.faults.symbol_status("BTCUSDT", "HALT")
    assert trader.rejected() == (170151, "The trading pair is not open yet.")


def test_the_wallet_lists_what_there_is_in_dollars_too(bybit):
    _sim, trader = bybit()
    (wallet,) = trader.ask("GET", "account/wallet-balance", category=None, accountType="UNIFIED")["list"]
    coins = {row["coin"]: row for row in wallet["coin"]}
    assert set(coins) == {"BTC", "ETH", "USDT"} and coins["USDT"]["usdValue"] == "1000000"
    assert Decimal(wallet["totalEquity"]) == sum(Decimal(row["usdValue"]) for row in coins.values())
    assert trader.refused("GET", "account/wallet-balance", category=None, accountType="SPOT")[0] == 10001


def test_money_from_outside_is_told_on_the_wallet_topic(bybit):
    sim, trader = bybit()
    session = trader.private_socket("wallet")
    sim.accounts["main"].deposit("USDT", 5)
    rows = session.rows("wallet")
    assert rows and {coin["coin"]: coin["walletBalance"] for coin in rows[-1]["coin"]} == {"USDT": "1000005"}


def test_an_account_that_may_only_look_cannot_order(bybit, account):
    _sim, trader = bybit(accounts=(account("main", can_trade=False),))
    assert trader.rejected()[0] == 10005
    assert trader.ask("GET", "user/query-api", category=None)["readOnly"] == 1
