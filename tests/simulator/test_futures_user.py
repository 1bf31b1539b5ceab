"""The user's stream and the WebSocket API of the simulated futures, by the documents' rules, with every fault on the way."""

import http.client
import itertools
from decimal import Decimal

import pytest

BOTH = pytest.mark.parametrize("product", ["usdm", "coinm"])
GONE = (http.client.RemoteDisconnected, ConnectionError, http.client.HTTPException)


def kinds(sim, who="main"):
    return [event.kind for event in sim.accounts[who].events()]


def take(socket, count):
    return [socket.receive() for _ in range(count)]


@BOTH
def test_the_key_of_a_stream_is_one_per_account_and_good_for_an_hour(futures, product, hand_clock):
    sim, trader = futures(product)
    key = trader.listen_key()["listenKey"]
    assert len(key) == 64 and trader.listen_key()["listenKey"] == key
    stream = trader.stream(key)
    hand_clock.advance(3000)
    assert "code" not in trader.listen_key("PUT")
    hand_clock.advance(3599)
    sim.step(0)
    assert stream.quiet()
    hand_clock.advance(2)
    sim.step(0)
    assert stream.receive() == {"e": "listenKeyExpired", "E": sim.now_ns() // 10**6, "listenKey": key}
    assert trader.listen_key("PUT")["code"] == -1125
    assert trader.listen_key()["listenKey"] != key
    trader.order()
    assert stream.quiet()


@BOTH
def test_a_wrong_key_connects_and_says_nothing(futures, product):
    _, trader = futures(product)
    stream = trader.stream("x" * 64)
    trader.order()
    assert stream.quiet()


def test_a_deleted_key_is_gone_for_everybody(futures):
    _, trader = futures("usdm")
    streams = [trader.stream(), trader.stream()]
    trader.listen_key("DELETE")
    assert [stream.receive()["e"] for stream in streams] == ["listenKeyExpired"] * 2


def test_a_list_of_events_lets_only_those_through(futures):
    _, trader = futures("usdm")
    stream = trader.stream(extra="&events=ACCOUNT_UPDATE/ACCOUNT_CONFIG_UPDATE")
    trader.order()
    trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=5)
    assert stream.receive()["ac"] == {"s": "BTCUSDT", "l": 5}


def test_combined_user_streams_name_the_key(futures, connect):
    sim, trader = futures("usdm")
    key = trader.listen_key()["listenKey"]
    socket = connect(sim, path=f"/private/stream?listenKey={key}")
    trader.order()
    assert socket.receive()["stream"] == key


@BOTH
def test_an_order_is_told_from_new_to_filled_with_the_documented_fields(futures, product):
    sim, trader, other = futures(product, "main", "other")
    stream = trader.stream()
    trader.order(newClientOrderId="a")
    new = stream.receive()
    assert (new["e"], new["o"]["x"], new["o"]["X"], new["o"]["t"]) == ("ORDER_TRADE_UPDATE", "NEW", "NEW", 0)
    assert "N" not in new["o"] and ("i" in new) is not trader.usdm
    other.order(side="SELL")
    events = take(stream, 3 if trader.usdm else 2)
    if trader.usdm:
        lite = events.pop(0)
        assert (lite["e"], lite["c"], lite["m"], lite["l"]) == ("TRADE_LITE", "a", True, "0.010")
        assert lite["t"] == events[0]["o"]["t"]
    trade, account = events
    row = trade["o"]
    assert (row["x"], row["X"], row["z"], row["m"], row["rp"]) == ("TRADE", "FILLED", row["q"], True, "0.00000000")
    fill = sim.accounts["main"].fills()[0]
    assert (Decimal(row["n"]), row["N"], row["t"]) == (fill.commission, trader.settle, fill.trade_id)
    assert (account["e"], account["a"]["m"]) == ("ACCOUNT_UPDATE", "ORDER")
    assert Decimal(account["a"]["B"][0]["wb"]) == sim.accounts["main"].balances()[trader.settle].free
    position = account["a"]["P"][0]
    assert (Decimal(position["pa"]), position["ps"], position["mt"]) == (Decimal(trader.size), "BOTH", "cross")
    assert position["ep"] == "60000.00000000"


def test_nothing_is_told_of_the_account_when_an_order_is_only_placed_or_canceled(futures):
    sim, trader = futures("usdm")
    trader.stream()
    trader.order(newClientOrderId="a")
    trader.ask("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a")
    assert kinds(sim) == ["ORDER_TRADE_UPDATE.NEW", "ORDER_TRADE_UPDATE.CANCELED"]


def test_ends_bear_their_reason(futures):
    _, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="0.01")
    stream = trader.stream()

    def last(count):
        return [event for event in take(stream, count) if event["e"] == "ORDER_TRADE_UPDATE"][-1]["o"]

    trader.order(quantity="0.02", timeInForce="IOC")
    ioc = last(5)
    assert (ioc["x"], ioc["X"], ioc["er"], ioc["z"]) == ("EXPIRED", "EXPIRED", "2", "0.010")
    other.order(side="SELL", quantity="0.01")
    trader.order(type="MARKET", quantity="0.02")
    market = [event for event in take(stream, 4) if event["e"] == "ORDER_TRADE_UPDATE"][-1]["o"]
    assert (market["X"], market["er"]) == ("EXPIRED", "9")
    stream.receive()
    trader.order(newClientOrderId="own")
    trader.order(side="SELL")
    rows = [event["o"] for event in take(stream, 3) if event["e"] == "ORDER_TRADE_UPDATE"]
    assert [(row["c"] == "own", row["x"], row["X"], row["er"]) for row in rows][-1] == (
        True,
        "EXPIRED",
        "EXPIRED_IN_MATCH",
        "1",
    )


def test_a_modification_is_told_as_an_amendment(futures):
    _, trader = futures("usdm")
    order = trader.order()
    stream = trader.stream()
    trader.ask(
        "PUT",
        "order",
        symbol="BTCUSDT",
        side="BUY",
        orderId=order["orderId"],
        quantity="0.02",
        price="59000",
        modifyId="m",
    )
    row = stream.receive()["o"]
    assert (row["x"], row["X"], row["q"], row["p"], row["M"]) == ("AMENDMENT", "NEW", "0.020", "59000.0", "m")


@BOTH
def test_a_conditional_order_is_told_until_its_regular_order_is_done(futures, product):
    sim, trader, other = futures(product, "main", "other")
    other.order(side="SELL", price="61000")
    trader.stream()
    trader.ask("POST", "algoOrder", **trader.algo(clientAlgoId="s", workingType="MARK_PRICE"))
    sim.hold_mark(trader.symbol, "61000")
    told = [kind for kind in kinds(sim) if kind != "TRADE_LITE"]
    assert told == [
        "ALGO_UPDATE.NEW",
        "ALGO_UPDATE.TRIGGERING",
        "ALGO_UPDATE.TRIGGERED",
        "ORDER_TRADE_UPDATE.NEW",
        "ORDER_TRADE_UPDATE.TRADE",
        "ALGO_UPDATE.FINISHED",
        "ACCOUNT_UPDATE.ORDER",
    ]


def test_a_trailing_stop_is_told_as_new_twice_first_waiting_then_active(futures):
    sim, trader = futures("usdm")
    stream = trader.stream()
    fields = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1", "workingType": "MARK_PRICE"}
    trader.ask("POST", "algoOrder", **trader.algo(side="SELL", activatePrice="61000", **fields))
    sim.hold_mark("BTCUSDT", "61500")
    assert [(row["X"], row["ia"]) for row in (event["o"] for event in take(stream, 2))] == [
        ("NEW", False),
        ("NEW", True),
    ]


def test_a_protected_trigger_waits_until_last_and_mark_are_together(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", price="64000")
    trader.ask("POST", "algoOrder", **trader.algo(clientAlgoId="p", workingType="MARK_PRICE", priceProtect="true"))
    sim.hold_mark("BTCUSDT", "60950")  # the last price is 64000
    sim.hold_mark("BTCUSDT", "61000")
    assert trader.ask("GET", "algoOrder", clientAlgoId="p")["algoStatus"] == "FINISHED"
    trader.ask(
        "POST",
        "algoOrder",
        **trader.algo(
            side="SELL", triggerPrice="59000", clientAlgoId="q", workingType="MARK_PRICE", priceProtect="true"
        ),
    )
    sim.hold_mark("BTCUSDT", "58000")
    assert trader.ask("GET", "algoOrder", clientAlgoId="q")["algoStatus"] == "NEW"


def test_a_cut_of_sessions_takes_the_users_streams_and_leaves_the_market(futures, connect):
    sim, trader = futures("usdm")
    stream, market = trader.stream(), connect(sim, path="/public/ws")
    assert sim.faults.session_cut("main") == 1
    with pytest.raises(OSError):
        stream.ws.recv()
    assert market.ask("LIST_SUBSCRIPTIONS")["result"] == []


def test_a_trigger_that_fails_for_want_of_margin_says_why(futures):
    sim, trader, _ = futures("usdm", "main", "other")
    stream = trader.stream()
    trader.ask("POST", "algoOrder", **trader.algo(quantity="100", workingType="MARK_PRICE"))
    sim.hold_mark("BTCUSDT", "61000")
    last = take(stream, 3)[-1]["o"]
    assert (last["X"], last["rm"], last["ai"]) == ("REJECTED", "Margin is insufficient.", "")


@BOTH
def test_funding_of_a_cross_position_tells_the_balance_and_its_symbol(futures, product):
    sim, trader, other = futures(product, "main", "other")
    other.order(side="SELL")
    trader.order()
    stream = trader.stream()
    sim.fund(trader.symbol, "0.001")
    event = stream.receive()["a"]
    assert (event["m"], event["S"], event["P"]) == ("FUNDING_FEE", trader.symbol, [])
    assert Decimal(event["B"][0]["bc"]) == sim.accounts["main"].incomes("funding")[0].amount


@BOTH
def test_money_from_outside_is_told_with_its_amount(futures, product):
    sim, trader = futures(product)
    stream = trader.stream()
    sim.deposit("main", trader.settle, "1.5")
    event = stream.receive()["a"]
    assert (event["m"], event["P"], event["B"][0]["bc"]) == ("DEPOSIT", [], "1.50000000")
    assert Decimal(event["B"][0]["wb"]) == sim.accounts["main"].balances()[trader.settle].free
    assert trader.ask("GET", "income", incomeType="TRANSFER")[0]["income"] == "1.50000000"


def test_a_liquidation_comes_as_an_order_nobody_placed(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="20")
    trader.order(quantity="20")
    resting = trader.order(price="52000", quantity="0.01", newClientOrderId="rests")
    other.order(quantity="20", price="55200")
    stream = trader.stream()
    sim.hold_mark("BTCUSDT", "55250")
    events = take(stream, 5)
    ended, new, filled, update, insurance = events
    assert (ended["o"]["c"], ended["o"]["X"], ended["o"]["er"]) == ("rests", "EXPIRED", "5")
    assert resting["orderId"] == ended["o"]["i"]
    assert new["o"]["c"].startswith("autoclose-") and new["o"]["x"] == "NEW"
    assert (filled["o"]["x"], filled["o"]["X"]) == ("CALCULATED", "FILLED")
    assert update["a"]["P"][0]["pa"] == "0"
    assert (insurance["a"]["m"], insurance["a"]["P"]) == ("INSURANCE_CLEAR", [])
    assert Decimal(insurance["a"]["B"][0]["bc"]) == sim.accounts["main"].incomes("insurance")[0].amount < 0
    assert trader.ask("GET", "forceOrders")[0]["clientOrderId"] == new["o"]["c"]
    assert sim.imbalance("USDT") == 0


def test_a_whole_account_can_be_liquidated_at_once(futures):
    sim, trader, other = futures("usdm", "main", "other")
    trader.ask("POST", "positionSide/dual", dualSidePosition="true")
    other.order(side="SELL", quantity="0.05")
    trader.order(quantity="0.05", positionSide="LONG")
    other.order(quantity="0.02")
    trader.order(side="SELL", quantity="0.02", positionSide="SHORT")
    sim.liquidate("main")
    assert sim.accounts["main"].positions() == []
    assert [fill.origin for fill in sim.accounts["main"].fills()] == ["", "", "liquidation", "liquidation"]
    assert sim.imbalance("USDT") == 0
    with pytest.raises(LookupError, match="no contract 'NOSUCH'"):
        sim.liquidate("main", "NOSUCH")


def test_deleveraging_comes_as_adl_autoclose(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL")
    trader.order()
    stream = trader.stream()
    sim.adl("main", "BTCUSDT", "0.004")
    new, done, update = take(stream, 3)
    assert (new["o"]["c"], done["o"]["x"], done["o"]["l"]) == ("adl_autoclose", "CALCULATED", "0.004")
    assert update["a"]["P"][0]["pa"] == "0.006"


def test_a_margin_call_names_the_positions(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="20")
    trader.order(quantity="20")
    stream = trader.stream()
    sim.hold_mark("BTCUSDT", "55400")
    event = stream.receive()
    assert (event["e"], event["p"][0]["mt"], event["p"][0]["mp"]) == ("MARGIN_CALL", "CROSSED", "55400.00000000")


# the WebSocket API


@BOTH
def test_the_api_places_asks_and_cancels_like_rest(futures, product):
    sim, trader = futures(product)
    api = trader.api()
    placed = api.ask("order.place", trader.signed(**trader.place(newClientOrderId="a")))
    assert (placed["status"], placed["result"]["clientOrderId"]) == (200, "a")
    assert [row["rateLimitType"] for row in placed["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
    one = {"symbol": trader.symbol, "origClientOrderId": "a"}
    changed = api.ask("order.modify", trader.signed(**one, side="BUY", quantity=trader.size, price="59000"), 2)
    assert changed["result"]["price"] == "59000.0"
    assert api.ask("order.status", trader.signed(**one), 3)["result"]["status"] == "NEW"
    assert api.ask("order.cancel", trader.signed(**one), 4)["result"]["status"] == "CANCELED"
    refused = api.ask("order.cancel", trader.signed(**one), 5)
    assert (refused["status"], refused["error"]["code"]) == (400, -2011)
    wrong = trader.signed(**one) | {"signature": "0" * 64}
    assert api.ask("order.status", wrong, 6)["error"]["code"] == -1022
    assert api.ask("account.balance", trader.signed(), 7)["result"][0]["asset"]
    assert isinstance(api.ask("account.position", trader.signed(), 8)["result"], list)
    key = api.ask("userDataStream.start", {"apiKey": trader.key}, 9)["result"]["listenKey"]
    assert key == trader.listen_key()["listenKey"]
    unknown = api.ask("order.dance", trader.signed(), 10)
    assert unknown["error"]["code"] == -1020
    algo = api.ask("algoOrder.place", trader.signed(**trader.algo(workingType="MARK_PRICE")), 11)
    assert algo["status"] == (200 if trader.usdm else 400)
    assert len(sim.accounts["main"].orders()) == (2 if trader.usdm else 1)


def test_a_session_is_opened_with_an_ed25519_key_only(futures):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from connector.simulator import AccountSettings, new_pair

    private, public = new_pair("ed25519")
    sim, trader = futures(
        "usdm", accounts=(AccountSettings("main", "Keymain", public_key=public, balances={"USDT": "1000"}),)
    )
    signer = load_pem_private_key(private.encode(), None)
    import base64

    trader.sign = lambda text: base64.b64encode(signer.sign(text.encode())).decode()
    api = trader.api()
    assert api.ask("session.logon", trader.signed())["result"]["apiKey"] == "Keymain"
    unsigned = {"timestamp": sim.now_ns() // 10**6} | trader.place(newClientOrderId="a")
    assert api.ask("order.place", unsigned, 2)["status"] == 200
    assert api.ask("session.logout", {}, 3)["result"]["apiKey"] is None
    assert api.ask("order.place", unsigned, 4)["error"]["code"] == -1102
    sim, trader = futures("usdm")
    assert trader.api().ask("session.logon", trader.signed())["error"]["code"] == -4056


# faults


@BOTH
def test_a_lost_request_was_never_there_and_a_lost_answer_was(futures, product):
    sim, trader = futures(product)
    sim.faults.request_lost(1)
    with pytest.raises(GONE):
        trader.call("POST", "order", **trader.place(newClientOrderId="lost"))
    sim.faults.answer_lost(1)
    with pytest.raises(GONE):
        trader.call("POST", "order", **trader.place(newClientOrderId="there"))
    assert {order.client_id for order in sim.accounts["main"].orders()} == {"there"}
    assert trader.refused("GET", "order", symbol=trader.symbol, origClientOrderId="lost") == (400, -2013)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (503, 0, "Unknown error, please check your request or try again later."),
        (503, -1000, "Service Unavailable."),
        (503, -1001, "Internal error; unable to process your request. Please try again."),
        (503, -1008, "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."),
        (408, -1007, "Timeout waiting for response from backend server."),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_every_answer_that_says_little_comes_with_and_without_the_order(futures, status, code, text, done):
    sim, trader = futures("usdm")
    sim.faults.answer_error(status, code, done=done, count=1)
    answer = trader.call("POST", "order", **trader.place(newClientOrderId="a"))
    assert (answer.status, answer.json["msg"][: len(text)]) == (status, text)
    assert bool(sim.accounts["main"].orders()) is done


def test_a_doubled_id_is_answered_with_the_futures_code(futures):
    sim, trader = futures("usdm")
    sim.faults.duplicate_id()
    assert trader.rejected(newClientOrderId="a") == (400, -4116)
    assert sim.accounts["main"].order("a").status == "NEW"


def test_faults_of_orders_spare_questions_and_hit_leverage_and_modes(futures):
    sim, trader = futures("usdm")
    sim.faults.answer_error(503, only="orders")
    assert trader.call("POST", "leverage", symbol="BTCUSDT", leverage=5).status == 503
    assert trader.call("POST", "positionSide/dual", dualSidePosition="true").status == 503
    assert trader.call("POST", "algoOrder", **trader.algo(workingType="MARK_PRICE")).status == 503
    assert trader.call("GET", "v3/account").status == 200
    assert trader.call("GET", "openOrders").status == 200


def test_orders_and_trades_can_be_invisible_for_a_while(futures, hand_clock):
    sim, trader, other = futures("usdm", "main", "other")
    sim.faults.visibility_delay(2.0)
    other.order(side="SELL")
    trader.order(newClientOrderId="a")
    assert trader.refused("GET", "order", symbol="BTCUSDT", origClientOrderId="a") == (400, -2013)
    assert trader.ask("GET", "userTrades", symbol="BTCUSDT") == []
    hand_clock.advance(2.1)
    assert trader.status("a")["status"] == "FILLED"
    assert len(trader.ask("GET", "userTrades", symbol="BTCUSDT")) == 1


@pytest.mark.parametrize(("fault", "copies"), [("events_lost", 0), ("events_doubled", 2)])
def test_events_can_be_lost_and_doubled(futures, fault, copies):
    sim, trader = futures("usdm")
    stream = trader.stream()
    getattr(sim.faults, fault)(1, event="ORDER_TRADE_UPDATE.NEW")
    trader.order()
    trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=5)
    told = []
    while not told or told[-1] != "ACCOUNT_CONFIG_UPDATE":
        told.append(stream.receive()["e"])
    assert told.count("ORDER_TRADE_UPDATE") == copies
    assert sim.accounts["main"].events()[0].copies == copies


def test_a_fill_may_come_before_a_cancel_and_fills_may_be_split(futures):
    sim, trader = futures("usdm")
    trader.order(newClientOrderId="a", quantity="0.1")
    sim.faults.fills_split(3)
    sim.faults.fill_before_cancel(1.0, count=1)
    assert trader.refused("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a") == (400, -2011)
    assert [fill.quantity for fill in sim.accounts["main"].fills()] == [
        Decimal("0.033"),
        Decimal("0.033"),
        Decimal("0.034"),
    ]
    assert sim.accounts["main"].positions()[0].quantity == Decimal("0.1")
    assert sim.imbalance("USDT") == 0


def test_a_revoked_key_ends_its_streams_and_calls(futures):
    sim, trader = futures("usdm")
    stream = trader.stream()
    sim.faults.key_revoked("main")
    assert stream.receive()["e"] == "listenKeyExpired"
    assert trader.rejected() == (401, -2015)


def test_the_controls_of_contracts_can_be_reached_from_outside(futures):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL")
    trader.order()

    def post(command, **arguments):
        import json

        return trader.rest(f"/simulator/{command}", method="POST", body=json.dumps(arguments)).status

    assert post("fund", symbol="BTCUSDT", rate="0.001") == 200
    assert post("hold_mark", symbol="BTCUSDT", price="60500") == 200
    assert trader.rest("/simulator/ledger/positions", account="main").json[0]["mark_price"] == "60500.00000000"
    assert len(trader.rest("/simulator/ledger/incomes", account="main").json) == 2
    assert post("liquidate", who="main", symbol="BTCUSDT") == 200
    assert post("liquidate", who="main", symbol="BTCUSDT") == 400
    assert post("deliver", symbol="BTCUSDT") == 200
    assert sim.accounts["other"].positions() == []
    assert sim.imbalance("USDT") == 0


@BOTH
def test_a_question_tells_a_position_with_the_time_of_its_event(futures, product):
    reads = itertools.count(1_800_000_000_000_000_000, 1_000_000)  # a clock that is a millisecond on at every look
    sim, trader = futures(product, clock=lambda: next(reads))
    stream = trader.stream()
    order = trader.order()
    sim.fill("main", order["clientOrderId"])
    event, _ = stream.until(lambda event: event["e"] == "ACCOUNT_UPDATE")
    shown = trader.ask("GET", "v2/positionRisk" if product == "usdm" else "positionRisk")
    assert [row["updateTime"] for row in shown if float(row["positionAmt"])] == [event["T"]]
