"""Orders on the simulated futures, by the documents' rules: what is taken, what is refused and how, and what comes of it."""

import json
from decimal import Decimal

import pytest

BOTH = pytest.mark.parametrize("product", ["usdm", "coinm"])


def test_a_limit_order_rests_and_is_answered_with_the_documented_fields(futures):
    _, trader = futures("usdm")
    row = trader.order(newClientOrderId="a")
    assert row == {
        "orderId": 4_400_001,
        "symbol": "BTCUSDT",
        "status": "NEW",
        "clientOrderId": "a",
        "price": "60000.0",
        "origQty": "0.010",
        "executedQty": "0.000",
        "cumQty": "0.000",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "reduceOnly": False,
        "closePosition": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": "LIMIT",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": row["updateTime"],
    }
    assert not {"avgPrice", "cumQuote", "cumBase"} & row.keys()  # gone from such answers since 2026-07
    asked = trader.status("a")
    assert (asked["avgPrice"], asked["cumQuote"], asked["time"]) == ("0.000", "0.00000000", row["updateTime"])


def test_coin_margined_orders_count_whole_contracts_and_know_their_pair(futures):
    _, trader = futures("coinm")
    row = trader.order(newClientOrderId="a")
    assert (row["origQty"], row["pair"], row["selfTradePreventionMode"]) == ("10", "BTCUSD", "NONE")
    assert "goodTillDate" not in row
    assert trader.status("a")["cumBase"] == "0.00000000"
    assert trader.rejected(quantity="1.5") == (400, -1111)
    assert trader.rejected(timeInForce="GTD", goodTillDate=10**13)[1] == -1115


def test_a_market_order_is_answered_before_it_has_traded_unless_the_result_is_asked_for(futures):
    _, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="0.05")
    ack = trader.order(type="MARKET")
    assert (ack["status"], ack["executedQty"]) == ("NEW", "0.000")
    result = trader.order(type="MARKET", newOrderRespType="RESULT")
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.010")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOSUCH"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "LIMIT_MAKER"}, -1116),
        ({"type": "STOP_MARKET", "stopPrice": "61000"}, -4120),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "DAY"}, -1115),
        ({"price": None}, -1102),
        ({"quantity": None}, -1102),
        ({"price": "0"}, -4001),
        ({"price": "60000.05"}, -1111),
        ({"price": "9999999"}, -4002),
        ({"price": "70000"}, -4016),
        ({"side": "SELL", "price": "50000"}, -4024),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "100000000"}, -4005),
        ({"quantity": "abc"}, -1100),
        ({"newClientOrderId": "not allowed"}, -4015),
        ({"newClientOrderId": "a" * 37}, -4015),
        ({"positionSide": "LONG"}, -4061),
        ({"positionSide": "UP"}, -4060),
        ({"reduceOnly": "true"}, -2022),
        ({"priceMatch": "QUEUE", "price": None}, -5041),
        ({"priceMatch": "QUEUE"}, -5038),
        ({"priceMatch": "OPPONENT_20", "price": None}, -5037),
        ({"timeInForce": "FOK"}, -5021),
        ({"timeInForce": "GTD"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": 1}, -5040),
        ({"selfTradePreventionMode": "DECREMENT"}, -5039),
        ({"quantity": "50"}, -2019),
        ({"type": "MARKET", "price": "60000"}, -1106),
        ({"recvWindow": "60001"}, -1131),
        ({"timestamp": "1"}, -1021),
    ],
)
def test_a_wrong_order_is_refused_with_the_documented_code_and_nothing_happens(futures, params, code):
    sim, trader = futures("usdm")
    assert trader.rejected(**params) == (400, code)
    assert sim.accounts["main"].orders() == []


def test_the_smallest_notional_holds_for_what_opens_and_not_for_what_closes(futures):
    _, trader, other = futures("usdm", "main", "other", symbols=("ETHUSDT",))
    for each in (trader, other):
        each.symbol = "ETHUSDT"
    other.order(side="SELL", quantity="0.002", price="3200")
    trader.order(quantity="0.002", price="3200")
    assert trader.rejected(quantity="0.001", price="3200") == (400, -4164)
    trader.order(side="SELL", quantity="0.001", price="3300", reduceOnly="true")


def test_a_client_id_is_taken_while_its_order_is_open_and_free_again_after(futures):
    _, trader = futures("usdm")
    first = trader.order(newClientOrderId="a.A:/_-9")
    assert trader.rejected(newClientOrderId="a.A:/_-9") == (400, -4116)
    trader.ask("DELETE", "order", symbol="BTCUSDT", orderId=first["orderId"])
    assert trader.order(newClientOrderId="a.A:/_-9")["orderId"] == first["orderId"] + 1


def test_a_post_only_order_that_would_take_is_refused_or_on_coin_margined_expires(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL")
    assert trader.rejected(timeInForce="GTX") == (400, -5022)
    sim, trader, other = futures("coinm", "main", "other")
    other.order(side="SELL")
    assert trader.order(timeInForce="GTX", newClientOrderId="a")["status"] == "NEW"
    assert sim.accounts["main"].order("a").status == "EXPIRED"


@BOTH
def test_a_cancel_keeps_the_orders_own_client_id_and_a_second_one_is_unknown(futures, product):
    _, trader = futures(product)
    order = trader.order(newClientOrderId="a")
    row = trader.ask("DELETE", "order", symbol=trader.symbol, origClientOrderId="a")
    assert (row["status"], row["clientOrderId"], row["orderId"]) == ("CANCELED", "a", order["orderId"])
    assert trader.refused("DELETE", "order", symbol=trader.symbol, origClientOrderId="a") == (400, -2011)
    assert trader.refused("DELETE", "order", symbol=trader.symbol) == (400, -1102)
    assert trader.refused("GET", "order", symbol=trader.symbol, origClientOrderId="b") == (400, -2013)
    assert trader.refused("GET", "openOrder", symbol=trader.symbol, origClientOrderId="a") == (400, -2013)


@BOTH
def test_a_modified_order_keeps_its_ids_and_may_not_stay_the_same(futures, product):
    sim, trader = futures(product)
    order = trader.order(newClientOrderId="a")
    change = {"symbol": trader.symbol, "side": "BUY", "orderId": order["orderId"]}
    larger = "0.02" if trader.usdm else "20"
    row = trader.ask("PUT", "order", **change, quantity=larger, price="59000", modifyId="m1")
    assert (row["orderId"], row["clientOrderId"], row["price"]) == (order["orderId"], "a", "59000.0")
    assert (row["modifyId"], row["pair"]) == ("m1", "BTCUSDT" if trader.usdm else "BTCUSD")
    same = -5027 if trader.usdm else -4197
    assert trader.refused("PUT", "order", **change, quantity=larger, price="59000") == (400, same)
    assert trader.refused("PUT", "order", **change, quantity=larger, price="59000.01") == (400, -1111)
    rows = trader.ask("GET", "orderAmendment", symbol=trader.symbol, orderId=order["orderId"])
    assert rows[0]["amendment"]["price"] == {"before": "60000.0", "after": "59000.0"}
    assert rows[0]["amendment"]["modifyId"] == "m1"
    assert sim.accounts["main"].order("a").price == 59000


def test_a_modification_not_above_what_has_traded_cancels_the_order(futures):
    sim, trader, other = futures("usdm", "main", "other")
    order = trader.order(newClientOrderId="a", quantity="0.03")
    other.order(side="SELL", quantity="0.01")
    row = trader.ask(
        "PUT", "order", symbol="BTCUSDT", side="BUY", orderId=order["orderId"], quantity="0.01", price="60000"
    )
    assert row["status"] == "CANCELED"
    assert sim.accounts["main"].order("a").filled == Decimal("0.01")


@BOTH
def test_a_batch_answers_each_order_in_its_place_even_when_some_fail(futures, product):
    _, trader = futures(product)
    entries = [trader.place(newClientOrderId=name) for name in ("a", "a", "b")]
    entries[2]["price"] = "1000000000"
    rows = trader.ask("POST", "batchOrders", batchOrders=json.dumps(entries))
    assert rows[0]["clientOrderId"] == "a"
    assert [row.get("code") for row in rows] == [None, -4116, -4002]
    changes = [
        {"symbol": trader.symbol, "side": "BUY", "origClientOrderId": "a", "quantity": trader.size, "price": "59000"}
    ]
    assert trader.ask("PUT", "batchOrders", batchOrders=json.dumps(changes))[0]["price"] == "59000.0"
    ids = json.dumps(["a", "gone"])
    canceled = trader.ask("DELETE", "batchOrders", symbol=trader.symbol, origClientOrderIdList=ids)
    assert [row.get("status", row.get("code")) for row in canceled] == ["CANCELED", -2011]
    too_many = json.dumps([trader.place()] * 6)
    assert trader.refused("POST", "batchOrders", batchOrders=too_many) == (400, -4082)


@BOTH
def test_canceling_all_leaves_conditional_orders_alone(futures, product):
    _, trader = futures(product)
    trader.order()
    trader.order()
    trader.ask("POST", "algoOrder", **trader.algo(clientAlgoId="s", workingType="MARK_PRICE"))
    assert trader.ask("DELETE", "allOpenOrders", symbol=trader.symbol)["code"] == 200
    assert trader.ask("GET", "openOrders", symbol=trader.symbol) == []
    assert [row["clientAlgoId"] for row in trader.ask("GET", "openAlgoOrders")] == ["s"]
    trader.ask("DELETE", "algoOpenOrders", symbol=trader.symbol)
    assert trader.ask("GET", "openAlgoOrders") == []


def test_a_countdown_cancels_unless_it_is_started_again(futures, hand_clock):
    sim, trader = futures("usdm")
    trader.order(newClientOrderId="a")
    trader.ask("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=2000)
    hand_clock.advance(1)
    trader.ask("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=2000)
    hand_clock.advance(1.5)
    sim.step(0)
    assert sim.accounts["main"].order("a").status == "NEW"
    hand_clock.advance(1)
    sim.step(0)
    assert sim.accounts["main"].order("a").status == "CANCELED"


def test_price_match_takes_the_price_of_the_book(futures):
    _, trader, other = futures("usdm", "main", "other")
    for price in ("60010", "60020", "60030", "60040", "60050"):
        other.order(side="SELL", price=price)
    assert trader.order(price=None, priceMatch="OPPONENT_5", timeInForce="IOC")["price"] == "60050.0"
    row = trader.order(side="SELL", price=None, priceMatch="QUEUE")
    assert (row["price"], row["priceMatch"]) == ("60020.0", "QUEUE")


def test_orders_in_hedge_mode_name_their_position_and_never_say_reduce_only(futures):
    sim, trader, other = futures("usdm", "main", "other")
    trader.ask("POST", "positionSide/dual", dualSidePosition="true")
    assert trader.ask("GET", "positionSide/dual") == {"dualSidePosition": True}
    assert trader.rejected() == (400, -4061)
    assert trader.rejected(positionSide="LONG", reduceOnly="true") == (400, -1106)
    assert trader.rejected(side="SELL", positionSide="LONG") == (400, -2022)
    other.order(side="SELL")
    trader.order(positionSide="LONG")
    other.order()
    trader.order(side="SELL", positionSide="SHORT")
    rows = trader.ask("GET", "v3/positionRisk", symbol="BTCUSDT")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [("LONG", "0.010"), ("SHORT", "-0.010")]
    assert trader.refused("POST", "positionSide/dual", dualSidePosition="true") == (400, -4059)
    assert trader.refused("POST", "positionSide/dual", dualSidePosition="false") == (400, -4068)
    assert sim.imbalance("USDT") == 0


# conditional orders


@BOTH
def test_a_conditional_order_waits_unseen_and_then_becomes_a_regular_one_of_the_same_name(futures, product):
    sim, trader, other = futures(product, "main", "other")
    placed = trader.ask("POST", "algoOrder", **trader.algo(clientAlgoId="s", workingType="MARK_PRICE"))
    assert (placed["algoStatus"], placed["orderType"], placed["triggerPrice"]) == ("NEW", "STOP_MARKET", "61000.0")
    assert trader.ask("GET", "openOrders") == []
    other.order(side="SELL", price="61000")
    sim.hold_mark(trader.symbol, "61000")
    asked = trader.ask("GET", "algoOrder", clientAlgoId="s")
    assert (asked["algoStatus"], asked["actualType"]) == ("FINISHED", "MARKET")
    regular = trader.ask("GET", "order", symbol=trader.symbol, orderId=asked["actualOrderId"])
    assert (regular["clientOrderId"], regular["status"], regular["type"]) == ("s", "FILLED", "MARKET")
    assert regular["origType"] == "STOP_MARKET"
    assert trader.refused("DELETE", "algoOrder", clientAlgoId="s") == (400, -2011)
    assert [row["algoId"] for row in trader.ask("GET", "allAlgoOrders", symbol=trader.symbol)] == [placed["algoId"]]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"type": "LIMIT"}, -1116),
        ({"algoType": "TWAP"}, -1130),
        ({"triggerPrice": None}, -1102),
        ({"quantity": None}, -1102),
        ({"triggerPrice": "59000"}, -2021),
        ({"type": "TAKE_PROFIT_MARKET"}, -2021),
        ({"type": "STOP"}, -1102),
        ({"price": "61000"}, -1106),
        ({"closePosition": "true"}, -4137),
        ({"closePosition": "true", "quantity": None, "reduceOnly": "true"}, -4138),
        ({"type": "STOP", "price": "61000", "closePosition": "true", "quantity": None}, -4136),
        ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "25"}, -2007),
        (
            {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1", "activatePrice": "70000"},
            -2021,
        ),
        ({"clientAlgoId": "not allowed"}, -4015),
        ({"workingType": "LAST"}, -4031),
    ],
)
def test_a_wrong_conditional_order_is_refused_with_the_documented_code(futures, params, code):
    _, trader = futures("usdm")
    trader.sim.hold_mark("BTCUSDT", "60000")
    defaults = {"workingType": "MARK_PRICE"}
    assert trader.refused("POST", "algoOrder", **trader.algo(**(defaults | params))) == (400, code)


def test_margin_is_looked_at_only_when_a_conditional_order_is_triggered(futures):
    sim, trader, other = futures("usdm", "main", "other")
    trader.ask("POST", "algoOrder", **trader.algo(clientAlgoId="s", quantity="100", workingType="MARK_PRICE"))
    other.order(side="SELL", price="61000", quantity="1")
    sim.hold_mark("BTCUSDT", "61000")
    asked = trader.ask("GET", "algoOrder", clientAlgoId="s")
    assert (asked["algoStatus"], asked["actualOrderId"]) == ("REJECTED", "")


def test_a_trailing_stop_follows_the_price_and_triggers_when_it_turns(futures):
    sim, trader, other = futures("usdm", "main", "other")
    fields = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1", "workingType": "MARK_PRICE"}
    trader.ask("POST", "algoOrder", **trader.algo(side="SELL", clientAlgoId="t", activatePrice="61000", **fields))
    other.order(price="60300")
    for mark, status in (("60500", "NEW"), ("61000", "NEW"), ("62000", "NEW"), ("61390", "NEW"), ("61380", "FINISHED")):
        sim.hold_mark("BTCUSDT", mark)
        assert trader.ask("GET", "algoOrder", clientAlgoId="t")["algoStatus"] == status, mark


def test_a_closing_stop_closes_whatever_is_held_when_it_is_triggered(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="0.3")
    trader.order(quantity="0.3")
    trader.ask(
        "POST",
        "algoOrder",
        **trader.algo(
            side="SELL",
            clientAlgoId="c",
            quantity=None,
            triggerPrice="59000",
            closePosition="true",
            workingType="MARK_PRICE",
        ),
    )
    other.order(quantity="1", price="58900")
    sim.hold_mark("BTCUSDT", "59000")
    assert sim.accounts["main"].positions() == []
    assert trader.status("c")["executedQty"] == "0.300"


def test_conditional_orders_are_limited_to_two_hundred_an_account(futures):
    _, trader = futures("usdm", orders_per_10s=1000)
    for _ in range(200):
        trader.ask("POST", "algoOrder", **trader.algo(workingType="MARK_PRICE"))
    assert trader.refused("POST", "algoOrder", **trader.algo(workingType="MARK_PRICE")) == (400, -4045)


# queries and account


@BOTH
def test_trades_tell_profit_fee_and_side(futures, product):
    _, trader, other = futures(product, "main", "other")
    other.order(side="SELL")
    trader.order()
    other.order(price="61000")
    trader.order(side="SELL", price="61000")
    opened, closed = trader.ask("GET", "userTrades", symbol=trader.symbol)
    assert (opened["side"], opened["realizedPnl"], opened["maker"], opened["buyer"]) == (
        "BUY",
        "0.00000000",
        False,
        True,
    )
    if trader.usdm:
        assert (opened["commission"], opened["commissionAsset"], closed["realizedPnl"]) == (
            "0.30000000",
            "USDT",
            "10.00000000",
        )
        assert (opened["quoteQty"], opened["baseQty"]) == ("600.00000000", "0.01000000")
    else:
        profit = 10 * 100 * (Decimal(1) / 60000 - Decimal(1) / 61000)
        assert abs(Decimal(closed["realizedPnl"]) - profit) < Decimal("1e-8")
        assert (opened["quoteQty"], opened["baseQty"]) == ("1000.00000000", "0.01666666")
    assert [row["id"] for row in trader.ask("GET", "userTrades", symbol=trader.symbol, fromId=closed["id"])] == [
        closed["id"]
    ]


@BOTH
def test_income_lists_profit_fees_and_funding(futures, product):
    sim, trader, other = futures(product, "main", "other")
    other.order(side="SELL")
    trader.order()
    sim.fund(trader.symbol, "0.0001")
    rows = trader.ask("GET", "income")
    assert [row["incomeType"] for row in rows] == ["COMMISSION", "FUNDING_FEE"]
    assert Decimal(rows[1]["income"]) == sim.accounts["main"].incomes("funding")[0].amount < 0
    assert [row["asset"] for row in rows] == [trader.settle] * 2
    assert isinstance(rows[0]["tranId"], int if trader.usdm else str)
    assert len(trader.ask("GET", "income", incomeType="FUNDING_FEE")) == 1


def test_positions_show_symbols_with_a_position_or_an_open_order(futures):
    _, trader, other = futures("usdm", "main", "other")
    assert trader.ask("GET", "v3/positionRisk") == []
    trader.order(price="59000")
    row = trader.ask("GET", "v3/positionRisk")[0]
    assert (row["positionAmt"], row["openOrderInitialMargin"]) == ("0.000", "29.50000000")
    assert len(trader.ask("GET", "v2/positionRisk")) == 2
    other.order(side="SELL", quantity="0.1")
    trader.order(quantity="0.1")
    row = trader.ask("GET", "v3/positionRisk")[0]
    assert (row["positionAmt"], row["entryPrice"], row["notional"]) == ("0.100", "60000.00000000", "6000.00000000")
    assert (row["maintMargin"], row["positionInitialMargin"]) == ("24.00000000", "300.00000000")
    account = trader.ask("GET", "v3/account")
    assert account["totalPositionInitialMargin"] == "300.00000000"
    assert account["positions"][0]["positionAmt"] == "0.100"
    assert trader.ask("GET", "v3/balance")[0]["balance"] == "99997.00000000"


def test_the_settings_of_a_symbol_are_kept_and_not_changed_to_the_same(futures):
    _, trader = futures("usdm")
    row = trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=50)
    assert row == {"symbol": "BTCUSDT", "leverage": 50, "maxNotionalValue": "12000000"}
    trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=50)
    assert trader.refused("POST", "leverage", symbol="BTCUSDT", leverage=126) == (400, -4028)
    assert trader.ask("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == 200
    assert trader.refused("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED") == (400, -4046)
    trader.order()
    assert trader.refused("POST", "marginType", symbol="BTCUSDT", marginType="CROSSED") == (400, -4047)
    assert trader.refused("POST", "positionSide/dual", dualSidePosition="true") == (400, -4067)
    config = trader.ask("GET", "symbolConfig", symbol="BTCUSDT")[0]
    assert (config["marginType"], config["leverage"]) == ("ISOLATED", 50)


def test_margin_moves_to_and_from_an_isolated_position(futures):
    sim, trader, other = futures("usdm", "main", "other")
    change = {"symbol": "BTCUSDT", "amount": "100", "type": 1}
    assert trader.refused("POST", "positionMargin", **change) == (400, -4054)
    trader.ask("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED")
    other.order(side="SELL", quantity="0.1")
    trader.order(quantity="0.1")
    assert trader.ask("POST", "positionMargin", **change)["amount"] == 100
    assert sim.accounts["main"].positions()[0].isolated_wallet == 400
    assert trader.refused("POST", "positionMargin", **change | {"amount": "1000", "type": 2}) == (400, -4051)
    assert trader.refused("POST", "positionMargin", **change | {"amount": "1000000"}) == (400, -4050)
    assert len(trader.ask("GET", "positionMargin/history", symbol="BTCUSDT")) == 1


def test_orders_without_a_trade_are_forgotten_after_three_days(futures, hand_clock):
    _, trader, other = futures("usdm", "main", "other")
    trader.order(newClientOrderId="a")
    trader.ask("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a")
    other.order(side="SELL", newClientOrderId="b")
    trader.order(newClientOrderId="b")
    hand_clock.advance(3 * 86_400 + 10)
    assert trader.refused("GET", "order", symbol="BTCUSDT", origClientOrderId="a") == (400, -2013)
    assert trader.status("b")["status"] == "FILLED"
    assert [row["clientOrderId"] for row in trader.ask("GET", "allOrders", symbol="BTCUSDT")] == ["b"]


def test_orders_are_counted_in_ten_seconds_and_in_a_minute(futures, hand_clock):
    _, trader = futures("usdm", orders_per_10s=6)
    first = trader.call("POST", "order", **trader.place())
    assert (first.headers["X-MBX-ORDER-COUNT-10S"], first.headers["X-MBX-ORDER-COUNT-1M"]) == ("1", "1")
    batch = trader.call("POST", "batchOrders", batchOrders=json.dumps([trader.place()] * 5))
    assert (batch.headers["X-MBX-ORDER-COUNT-10S"], batch.headers["X-MBX-ORDER-COUNT-1M"]) == ("6", "2")
    late = trader.call("POST", "order", **trader.place())
    assert (late.status, late.json["code"]) == (429, -1015)
    assert 0 < int(late.headers["Retry-After"]) <= 11
    assert trader.call("DELETE", "allOpenOrders", symbol="BTCUSDT").status == 200
    hand_clock.advance(10)
    trader.order()


@BOTH
def test_signatures_cover_query_and_body_glued_together(futures, product):
    _, trader = futures(product)
    now = trader.sim.now_ns() // 1_000_000
    query = f"symbol={trader.symbol}&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity={trader.size}&price=60000&recvWindow=5000&timestamp={now}"
    headers = {"X-MBX-APIKEY": trader.key, "Content-Type": "application/x-www-form-urlencoded"}
    path = f"{trader.prefix}/v1/order?{query}"
    good = trader.rest(path, headers, "POST", f"{body}&signature={trader.sign(query + body)}")
    assert good.status == 200
    bad = trader.rest(path, headers, "POST", f"{body}&signature={trader.sign(query + '&' + body)}")
    assert (bad.status, bad.json["code"]) == (400, -1022)
    assert trader.rest(path, {}, "POST", body).json["code"] == -2014
    assert trader.rest(path, {"X-MBX-APIKEY": "Nobody"}, "POST", body).json["code"] == -2015


def test_the_published_example_signature_is_the_one_this_exchange_expects():
    from connector.simulator.keys import ApiKey

    secret = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
    payload = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
    key = ApiKey.hmac("k", "a", secret)
    assert key.signed(payload.encode(), "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9")
