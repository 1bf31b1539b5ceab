"""The WebSocket API: the same calls over one socket, sessions, and account events in the venue's order and words."""

import json
from decimal import Decimal

import pytest

from connector.simulator import AccountSettings, new_pair

BTC = "BTCUSDT"
REPORT = set("eEscSofqpPFgCxXrilzLnNTtIwmMOZYQV")


def kinds(events):
    return [f"{event['x']}/{event['X']}" if "x" in event else event["e"] for event in events]


def place(trader, session, **params):
    return session.call("order.place", **trader.place(**params))


# requests and answers


def test_a_request_is_answered_with_its_id_status_and_limits(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    answer = session.call("time", sign=False)
    assert answer["status"] == 200
    assert answer["result"] == {"serverTime": trader.now_ms()}
    assert answer["rateLimits"] == [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 3}
    ]  # opening the socket costs two
    placed = place(trader, session)
    assert [row["rateLimitType"] for row in placed["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
    assert [row["count"] for row in placed["rateLimits"]] == [3, 1, 1]
    refused = place(trader, session, quantity="0")
    assert (refused["status"], refused["error"]) == (400, {"code": -1013, "msg": "Invalid quantity."})
    assert refused["rateLimits"][0]["count"] == 4


def test_limits_are_hidden_from_who_does_not_want_them(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False, path="/ws-api/v3?returnRateLimits=false")
    assert "rateLimits" not in session.call("ping", sign=False)
    assert "rateLimits" in session.call("ping", sign=False, returnRateLimits=True)
    other = trader.socket(subscribe=False)
    assert "rateLimits" not in other.call("account.status", returnRateLimits="false")
    assert "rateLimits" in other.call("account.status")


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("ping", {}, "ping"),
        ("depth", {"symbol": BTC, "limit": 5}, "depth"),
        ("trades.recent", {"symbol": BTC, "limit": 3}, "trades"),
        ("trades.historical", {"symbol": BTC, "fromId": 999999990}, "historicalTrades"),
        ("trades.aggregate", {"symbol": BTC, "limit": 3}, "aggTrades"),
        ("klines", {"symbol": BTC, "interval": "1m", "limit": 3}, "klines"),
        ("uiKlines", {"symbol": BTC, "interval": "1m", "limit": 3}, "uiKlines"),
        ("avgPrice", {"symbol": BTC}, "avgPrice"),
        ("ticker.24hr", {"symbols": [BTC, "ETHBTC"]}, "ticker/24hr"),
        ("ticker.tradingDay", {"symbol": BTC}, "ticker/tradingDay"),
        ("ticker", {"symbol": BTC, "windowSize": "1h"}, "ticker"),
        ("ticker.price", {"symbol": BTC}, "ticker/price"),
        ("ticker.book", {"symbol": BTC}, "ticker/bookTicker"),
    ],
)
def test_public_methods_answer_what_rest_answers(trading, method, params, path):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    as_text = {n: json.dumps(v, separators=(",", ":")) if isinstance(v, list) else v for n, v in params.items()}
    assert (
        session.call(f"v3/{method}", sign=False, **params)["result"] == trader.rest(f"/api/v3/{path}", **as_text).json
    )


def test_exchange_info_over_the_socket_names_the_limit_of_connections_too(trading):
    _, trader = trading()
    info = trader.socket(subscribe=False).call("exchangeInfo", sign=False, symbols=[BTC])["result"]
    assert [row["symbol"] for row in info["symbols"]] == [BTC]
    assert info["rateLimits"][-1]["rateLimitType"] == "CONNECTIONS"


def test_private_methods_answer_what_rest_answers(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    ident = place(trader, session, newClientOrderId="a")["result"]["orderId"]
    place(trader, session, type="MARKET", quantity="0.2")
    for method, path, params in (
        ("order.status", "order", {"symbol": BTC, "orderId": ident}),
        ("openOrders.status", "openOrders", {"symbol": BTC}),
        ("openOrders.status", "openOrders", {}),
        ("allOrders", "allOrders", {"symbol": BTC}),
        ("myTrades", "myTrades", {"symbol": BTC}),
        ("account.status", "account", {"omitZeroBalances": "true"}),
        ("account.commission", "account/commission", {"symbol": BTC}),
        ("account.rateLimits.orders", "rateLimit/order", {}),
        ("openOrderLists.status", "openOrderList", {}),
        ("allOrderLists", "allOrderList", {}),
        ("order.amendments", "order/amendments", {"symbol": BTC, "orderId": ident}),
        ("myFilters", "myFilters", {"symbol": BTC}),
    ):
        assert session.call(method, **params)["result"] == trader.ask("GET", path, **params), method


def test_orders_are_tested_changed_replaced_and_canceled_over_the_socket(trading):
    sim, trader = trading()
    session = trader.socket(subscribe=False)
    assert session.call("order.test", **trader.place())["result"] == {}
    place(trader, session, quantity="0.1", newClientOrderId="a")
    amended = session.call(
        "order.amend.keepPriority", symbol=BTC, origClientOrderId="a", newQty="0.05", newClientOrderId="b"
    )
    assert amended["result"]["amendedOrder"]["qty"] == "0.05000000"
    replaced = session.call(
        "order.cancelReplace",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrigClientOrderId="b",
        **trader.place(newClientOrderId="c"),
    )
    assert replaced["result"]["newOrderResult"] == "SUCCESS"
    half = session.call(
        "order.cancelReplace",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrigClientOrderId="b",
        **trader.place(newClientOrderId="d"),
    )
    assert (half["status"], half["error"]["code"]) == (400, -2022)
    assert half["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    assert session.call("order.cancel", symbol=BTC, origClientOrderId="c")["result"]["status"] == "CANCELED"
    for ident in "xy":
        place(trader, session, newClientOrderId=ident)
    assert len(session.call("openOrders.cancelAll", symbol=BTC)["result"]) == 2
    listed = session.call(
        "orderList.place.oco",
        symbol=BTC,
        side="SELL",
        quantity="0.1",
        aboveType="LIMIT_MAKER",
        abovePrice="66000",
        belowType="STOP_LOSS",
        belowStopPrice="62000",
    )["result"]
    assert (
        session.call("orderList.status", orderListId=listed["orderListId"])["result"]["listOrderStatus"] == "EXECUTING"
    )
    assert session.call("orderList.cancel", symbol=BTC, orderListId=listed["orderListId"])["status"] == 200
    assert not [order for order in sim.accounts["main"].orders() if order.open]


def test_what_cannot_be_understood_is_answered_without_breaking_the_session(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    for text in ("{", "[]", '"x"', '{"id": 1}', '{"method": 5}', '{"id": 1, "method": "time", "params": []}'):
        session.ws.send(text)
        answer = session.read()
        assert (answer["id"], answer["status"], answer["error"]["code"]) == (None, 400, -1135)
    assert session.call("nothing.such", sign=False)["error"]["code"] == -1020
    assert session.call("order.place", sign=False)["error"]["code"] == -1102
    assert session.call("depth", sign=False, symbol="NOSUCH")["error"]["code"] == -1121
    assert session.call("time", sign=False)["status"] == 200


def test_the_signature_covers_all_parameters_sorted_by_name(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    params = trader.signed({"symbol": BTC})
    ident = session.send("openOrders.status", dict(reversed(params.items())), sign=False)
    assert session.answer(ident)["status"] == 200
    ident = session.send("openOrders.status", params | {"symbol": "ETHUSDT"}, sign=False)
    assert (session.answer(ident)["status"], session.answers[ident]["error"]["code"]) == (400, -1022)
    ident = session.send("openOrders.status", params | {"apiKey": "Unknown"}, sign=False)
    assert (session.answer(ident)["status"], session.answers[ident]["error"]["code"]) == (401, -2015)
    numbers = trader.signed({"symbol": BTC, "limit": 5})  # a whole number is signed as it stands in the JSON
    ident = session.send("allOrders", numbers, sign=False)
    assert session.answer(ident)["status"] == 200


def test_the_five_messages_a_second_of_market_streams_do_not_bind_here(trading):
    sim, trader = trading()
    session = trader.socket(subscribe=False)
    idents = [session.send("ping", sign=False) for _ in range(30)]
    assert [session.answer(ident)["status"] for ident in idents] == [200] * 30
    assert not sim.ledger.violations()


def test_a_weight_overdrawn_is_429_with_times_in_milliseconds_and_ignoring_it_418(trading):
    sim, trader = trading(request_weight_per_minute=25, ignored_429s=2)
    session = trader.socket(subscribe=False)
    session.call("account.status")
    answer = session.call("account.status")
    assert (answer["status"], answer["error"]["code"]) == (429, -1003)
    data = answer["error"]["data"]
    assert data["serverTime"] == trader.now_ms()
    assert data["serverTime"] < data["retryAfter"] <= data["serverTime"] + 61_000
    statuses = [session.call("ping", sign=False)["status"] for _ in range(2)]
    assert statuses == [429, 418]
    assert "weight" in {violation.kind for violation in sim.ledger.violations()}


def test_too_many_orders_say_when_to_come_back(trading):
    _, trader = trading(orders_per_10s=1)
    session = trader.socket(subscribe=False)
    place(trader, session)
    answer = place(trader, session)
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    assert answer["error"]["data"]["retryAfter"] > trader.now_ms()
    assert [row["count"] for row in answer["rateLimits"]][1:] == [1, 1]


# sessions


@pytest.fixture
def logged(trading):
    """(sim, trader) of an account with an Ed25519 key."""
    import base64

    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private_pem, public_pem = new_pair("ed25519")
    entry = AccountSettings("main", "Keymain", public_key=public_pem, balances={"USDT": 10**6, "BTC": 10})
    sim, trader = trading(accounts=(entry,))
    private = load_pem_private_key(private_pem.encode(), None)
    trader.sign = lambda text: base64.b64encode(private.sign(text.encode())).decode()
    return sim, trader


def test_after_a_logon_neither_key_nor_signature_is_needed_but_the_time_is(logged):
    _, trader = logged
    session = trader.socket(subscribe=False)
    assert session.call("session.status", sign=False)["result"]["apiKey"] is None
    result = session.call("session.logon")["result"]
    assert result == {
        "apiKey": "Keymain",
        "authorizedSince": trader.now_ms(),
        "connectedSince": trader.now_ms(),
        "returnRateLimits": True,
        "serverTime": trader.now_ms(),
        "userDataStream": False,
    }
    now = trader.now_ms()
    assert session.call("account.status", sign=False, timestamp=now)["status"] == 200
    assert session.call("account.status", sign=False)["error"]["code"] == -1102
    assert session.call("account.status", sign=False, timestamp=now - 6000)["error"]["code"] == -1021
    placed = session.call("order.place", sign=False, timestamp=now, **trader.place())
    assert placed["status"] == 200
    assert session.call("session.logout", sign=False)["result"]["apiKey"] is None
    assert session.call("account.status", sign=False, timestamp=now)["error"]["code"] == -1102


def test_only_ed25519_keys_log_on_and_only_who_logged_on_subscribes_without_a_signature(trading):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    assert session.call("session.logon")["error"]["code"] == -2028
    assert session.call("userDataStream.subscribe", sign=False)["error"]["code"] == -1193


def test_a_subscription_by_logon_ends_with_the_logout(logged):
    _, trader = logged
    session = trader.socket(subscribe=False)
    session.call("session.logon")
    assert session.call("userDataStream.subscribe", sign=False)["result"] == {"subscriptionId": 0}
    assert session.call("session.status", sign=False)["result"]["userDataStream"] is True
    assert session.call("session.subscriptions", sign=False)["result"] == [{"subscriptionId": 0}]
    session.call("session.logout", sign=False)
    assert [event["e"] for event in session.settle()] == ["eventStreamTerminated"]
    assert session.call("session.subscriptions", sign=False)["result"] == []


def test_one_account_is_subscribed_once_per_connection_and_several_accounts_side_by_side(trading):
    sim, one, two = trading("main", "other")
    session = one.socket()
    assert session.call("userDataStream.subscribe.signature")["error"]["code"] == -2035
    ident = session.send("userDataStream.subscribe.signature", two.signed({}), sign=False)
    assert session.answer(ident)["result"] == {"subscriptionId": 1}
    two.order(newClientOrderId="x")
    session.settle()
    assert {frame["subscriptionId"] for frame in session.raw if "event" in frame} == {1}
    assert session.call("userDataStream.unsubscribe", sign=False, subscriptionId=1)["result"] == {}
    assert [event["e"] for event in session.settle()] == ["eventStreamTerminated"]
    two.order(newClientOrderId="y")
    assert session.settle() == []
    session.call("userDataStream.unsubscribe", sign=False)
    assert session.call("userDataStream.unsubscribe", sign=False)["error"]["code"] == -2036
    assert sim.ledger.events("other")[-1].subscribers == 0


def test_a_signed_frame_sent_again_later_is_refused(trading, hand_clock):
    _, trader = trading()
    session = trader.socket(subscribe=False)
    frame = trader.signed({})
    assert session.answer(session.send("userDataStream.subscribe.signature", frame, sign=False))["status"] == 200
    hand_clock.advance(6)
    again = trader.socket(subscribe=False)
    answer = again.answer(again.send("userDataStream.subscribe.signature", frame, sign=False))
    assert answer["error"]["code"] == -1021


def test_a_revoked_key_ends_streams_and_is_told_without_an_id(logged):
    sim, trader = logged
    session = trader.socket()
    session.call("session.logon")
    sim.faults.key_revoked("main")
    assert session.take(1)[0]["e"] == "eventStreamTerminated"
    session.send("ping", sign=False)
    answer = session.answer(None)
    assert (answer["status"], answer["error"]["code"]) == (401, -2015)
    assert session.call("ping", sign=False)["status"] == 200
    assert session.call("account.status")["error"]["code"] == -2015


def test_the_end_of_the_server_is_announced_as_an_event(trading):
    sim, trader = trading()
    session = trader.socket()
    sim.faults.server_shutdown()
    session.read()
    assert session.raw[-1] == {"event": {"e": "serverShutdown", "E": trader.now_ms()}}


def test_times_are_in_microseconds_on_a_connection_that_asks_so(trading):
    sim, trader = trading()
    session = trader.socket(path="/ws-api/v3?timeUnit=microsecond")
    assert session.call("time", sign=False)["result"]["serverTime"] == sim.now_ns() // 1000
    trader.order()
    assert session.settle()[0]["T"] == sim.now_ns() // 1000


# events


def test_a_resting_order_is_told_as_new_filled_in_parts_and_filled(trading):
    sim, trader = trading()
    session = trader.socket()
    placed = trader.order(quantity="0.1", newClientOrderId="a")
    new, position = session.take(2)
    assert new.keys() == REPORT | {"W"}
    assert (new["c"], new["C"], new["x"], new["X"], new["i"], new["w"]) == (
        "a",
        "",
        "NEW",
        "NEW",
        placed["orderId"],
        True,
    )
    assert (new["q"], new["p"], new["z"], new["t"], new["N"], new["r"], new["g"]) == (
        "0.10000000",
        "60000.00000000",
        "0.00000000",
        -1,
        None,
        "NONE",
        -1,
    )
    assert position["B"] == [{"a": "USDT", "f": "994000.00000000", "l": "6000.00000000"}]
    sim.fill("main", "a", "0.04")
    part, position = session.take(2)
    assert (part["x"], part["X"], part["l"], part["z"], part["L"]) == (
        "TRADE",
        "PARTIALLY_FILLED",
        "0.04000000",
        "0.04000000",
        "60000.00000000",
    )
    assert (part["n"], part["N"], part["m"], part["Y"], part["Z"]) == (
        "0.00004000",
        "BTC",
        True,
        "2400.00000000",
        "2400.00000000",
    )
    assert {entry["a"]: (entry["f"], entry["l"]) for entry in position["B"]} == {
        "BTC": ("10.03996000", "0.00000000"),
        "USDT": ("994000.00000000", "3600.00000000"),
    }
    sim.fill("main", "a")
    last, _ = session.take(2)
    assert (last["X"], last["z"], last["w"]) == ("FILLED", "0.10000000", False)
    assert last["t"] > part["t"]
    assert last["I"] > part["I"] > new["I"]
    assert {fill.trade_id for fill in sim.accounts["main"].fills()} == {part["t"], last["t"]}


def test_what_takes_is_told_as_new_then_each_trade_then_its_end_then_balances(trading):
    sim, trader = trading()
    session = trader.socket()
    price, quantity = sim.ledger.book(BTC)[1][0]
    trader.order(timeInForce="IOC", price=f"{price}", quantity=f"{quantity + 1}")
    told = kinds(session.settle())
    assert told[0] == "NEW/NEW"
    assert told[-2:] == ["EXPIRED/EXPIRED", "outboundAccountPosition"]
    assert set(told[1:-2]) == {"TRADE/PARTIALLY_FILLED"}
    trader.order(timeInForce="FOK", price=f"{price}", quantity="5")
    events = session.settle()
    assert kinds(events) == ["NEW/NEW", "EXPIRED/EXPIRED", "outboundAccountPosition"]
    assert events[1]["eR"] == "UNFILLED_FOK_ORDER_EXPIRED"
    trader.order(type="MARKET", quantity="0.00100", side="SELL")
    assert kinds(session.settle()) == ["NEW/NEW", "TRADE/FILLED", "outboundAccountPosition"]


def test_a_cancel_is_told_with_both_ids_and_a_refused_order_not_at_all(trading):
    _, trader = trading()
    session = trader.socket()
    trader.order(newClientOrderId="a")
    trader.rejected(type="LIMIT_MAKER", price="70000")
    trader.rejected(quantity="17")
    trader.ask("DELETE", "order", symbol=BTC, origClientOrderId="a", newClientOrderId="cancel-1")
    events = session.settle()
    assert kinds(events) == ["NEW/NEW", "outboundAccountPosition", "CANCELED/CANCELED", "outboundAccountPosition"]
    assert (events[2]["c"], events[2]["C"]) == ("cancel-1", "a")


def test_an_amend_is_told_as_replaced(trading):
    sim, trader = trading()
    session = trader.socket()
    trader.order(quantity="0.1", newClientOrderId="a")
    sim.fill("main", "a", "0.01")
    session.settle()
    trader.ask(
        "PUT", "order/amend/keepPriority", symbol=BTC, origClientOrderId="a", newQty="0.05", newClientOrderId="b"
    )
    report = session.settle()[0]
    assert (report["x"], report["X"], report["c"], report["C"]) == ("REPLACED", "PARTIALLY_FILLED", "b", "a")
    assert (report["q"], report["z"]) == ("0.05000000", "0.01000000")


def test_a_stop_is_told_as_new_twice_off_the_book_and_on_it(trading):
    sim, trader, other = trading("main", "other")
    session = trader.socket()
    sim.deposit("other", "USDT", 10**9)
    trader.order(
        type="TAKE_PROFIT_LIMIT", side="SELL", stopPrice="64500", price="66000", strategyId=7, strategyType=1000001
    )
    other.order(side="BUY", timeInForce="IOC", price="64500", quantity="100")
    other.order(side="SELL", price="64500", quantity="0.1", selfTradePreventionMode="NONE")
    other.order(side="BUY", price="64500", quantity="0.1", selfTradePreventionMode="NONE")
    placed, triggered = (event for event in session.settle() if event["e"] == "executionReport")
    assert [(event["x"], event["X"], event["w"], "W" in event) for event in (placed, triggered)] == [
        ("NEW", "NEW", False, False),
        ("NEW", "NEW", True, True),
    ]
    assert (placed["P"], placed["j"], placed["J"]) == ("64500.00000000", 7, 1000001)


def test_prevention_of_self_trades_is_told_of_both_orders(trading):
    sim, trader = trading()
    sim.deposit("main", "USDT", 10**9)
    trader.order(side="BUY", timeInForce="IOC", price="64500", quantity="100")
    trader.order(side="SELL", price="64300", quantity="0.02", newClientOrderId="maker")
    session = trader.socket()
    trader.order(
        side="BUY", price="64300", quantity="0.01", newClientOrderId="taker", selfTradePreventionMode="DECREMENT"
    )
    events = session.settle()
    assert kinds(events) == [
        "NEW/NEW",
        "TRADE_PREVENTION/NEW",
        "TRADE_PREVENTION/EXPIRED_IN_MATCH",
        "outboundAccountPosition",
    ]
    for event in events[1:3]:
        assert {"v", "A", "B", "u", "U", "Cs", "pl", "pL", "pY"} <= event.keys()
        assert (event["B"], event["pL"]) == ("0.01000000", "64300.00000000")
    row = trader.status("maker")
    assert (row["preventedQuantity"], row["executedQty"], row["status"]) == ("0.01000000", "0.00000000", "NEW")


def test_an_oco_is_told_with_its_list_and_its_sibling_expires(trading):
    sim, trader = trading()
    session = trader.socket()
    trader.ask(
        "POST",
        "orderList/oco",
        symbol=BTC,
        side="SELL",
        quantity="0.5",
        aboveType="LIMIT_MAKER",
        abovePrice="66000",
        aboveClientOrderId="above",
        belowType="STOP_LOSS",
        belowStopPrice="62000",
        belowClientOrderId="below",
        listClientOrderId="both",
    )
    events = session.settle()
    assert kinds(events) == ["NEW/NEW", "NEW/NEW", "listStatus", "outboundAccountPosition"]
    begun = events[2]
    assert (begun["l"], begun["L"], begun["C"], begun["c"]) == ("EXEC_STARTED", "EXECUTING", "both", "OCO")
    assert [order["c"] for order in begun["O"]] == ["above", "below"]
    sim.fill("main", "above")
    events = session.settle()
    assert kinds(events) == ["EXPIRED/EXPIRED", "TRADE/FILLED", "listStatus", "outboundAccountPosition"]
    assert (events[0]["c"], events[0]["eR"]) == ("below", "OCO_TRIGGER")
    assert (events[2]["l"], events[2]["L"]) == ("ALL_DONE", "ALL_DONE")


def test_pending_orders_are_told_as_pending_and_again_when_they_come_to_life(trading):
    sim, trader = trading()
    session = trader.socket()
    trader.ask(
        "POST",
        "orderList/oto",
        symbol=BTC,
        workingType="LIMIT",
        workingSide="BUY",
        workingPrice="60000",
        workingQuantity="0.1",
        workingTimeInForce="GTC",
        workingClientOrderId="first",
        pendingType="LIMIT",
        pendingSide="SELL",
        pendingPrice="66000",
        pendingQuantity="0.05",
        pendingTimeInForce="GTC",
    )
    assert kinds(session.settle()) == ["NEW/NEW", "NEW/PENDING_NEW", "listStatus", "outboundAccountPosition"]
    sim.fill("main", "first")
    assert kinds(session.settle()) == ["TRADE/FILLED", "NEW/NEW", "outboundAccountPosition"]


def test_money_from_outside_is_told_as_a_change_and_a_position(trading):
    sim, trader = trading()
    session = trader.socket()
    sim.deposit("main", "USDT", "-150")
    change, position = session.take(2)
    assert change == {
        "e": "balanceUpdate",
        "E": trader.now_ms(),
        "a": "USDT",
        "d": "-150.00000000",
        "T": trader.now_ms(),
    }
    assert position["B"] == [{"a": "USDT", "f": "999850.00000000", "l": "0.00000000"}]


def test_every_subscriber_is_told_and_nobody_else(trading):
    sim, one, two = trading("main", "other")
    sessions = [one.socket(), one.socket(), two.socket(), one.socket(subscribe=False)]
    one.order()
    assert [len(session.settle()) for session in sessions] == [2, 2, 0, 0]
    record = sim.ledger.events("main")[0]
    assert (record.kind, record.subscribers, record.copies) == ("executionReport.NEW", 2, 2)
    assert json.loads(record.body)["X"] == "NEW"


def test_events_add_up_to_the_ledger(trading):
    sim, trader = trading()
    session = trader.socket()
    for number in range(30):
        trader.order(type="MARKET", side=("BUY", "SELL")[number % 2], quantity="0.1")
    trades = {event["t"]: event for event in session.settle() if event.get("x") == "TRADE"}
    fills = {fill.trade_id: fill for fill in sim.accounts["main"].fills()}
    assert trades.keys() == fills.keys()
    for ident, event in trades.items():
        fill = fills[ident]
        seen = tuple(Decimal(event[name]) for name in ("L", "l", "Y", "n"))
        assert seen == (fill.price, fill.quantity, fill.quote, fill.commission)
