"""What can go wrong with orders, on purpose: each fault does what it says, and the ledger knows the truth all the time."""

import http.client
import threading
from decimal import Decimal

import pytest
import websocket

BTC = "BTCUSDT"
GONE = (http.client.RemoteDisconnected, ConnectionError, http.client.HTTPException)


def statuses(sim, who="main"):
    return {order.client_id: order.status for order in sim.accounts[who].orders()}


def test_a_lost_request_was_never_there_and_a_lost_answer_was(trading):
    sim, trader = trading()
    sim.faults.request_lost(1)
    with pytest.raises(GONE):
        trader.call("POST", "order", **trader.place(newClientOrderId="lost"))
    sim.faults.answer_lost(1)
    with pytest.raises(GONE):
        trader.call("POST", "order", **trader.place(newClientOrderId="there"))
    assert statuses(sim) == {"there": "NEW"}
    assert trader.refused("GET", "order", symbol=BTC, origClientOrderId="lost")[1] == -2013
    assert trader.status("there")["status"] == "NEW"


def test_a_client_may_also_just_hear_nothing(trading):
    sim, trader = trading()
    sim.faults.answer_lost(1, how="silence")
    with pytest.raises(TimeoutError):
        trader.rest(
            f"/api/v3/order?{trader.query(trader.place(newClientOrderId='a'))}",
            {"X-MBX-APIKEY": trader.key},
            "POST",
            timeout=0.2,
        )
    assert statuses(sim) == {"a": "NEW"}
    assert trader.status("a")["status"] == "NEW"


def test_over_the_socket_losses_cut_the_session_or_are_silent(trading):
    sim, trader = trading()
    session = trader.socket(subscribe=False)
    sim.faults.request_lost(1, how="silence")
    session.send("order.place", trader.signed(trader.place(newClientOrderId="a")), sign=False)
    sim.faults.answer_lost(1, how="silence")
    session.send("order.place", trader.signed(trader.place(newClientOrderId="b")), sign=False)
    assert session.call("ping", sign=False)["status"] == 200
    assert list(session.answers) == [3]
    assert statuses(sim) == {"b": "NEW"}
    sim.faults.answer_lost(1)
    session.send("order.cancel", {"symbol": BTC, "origClientOrderId": "b"})
    with pytest.raises((ConnectionError, websocket.WebSocketException, AssertionError)):
        session.read()
    assert statuses(sim) == {"b": "CANCELED"}


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("status", "code", "seen"),
    [(502, 0, None), (503, 0, -1008), (504, 0, -1007), (504, -1007, -1007), (500, -1006, -1006), (500, -1000, -1000)],
)
def test_an_error_without_a_verdict_comes_with_and_without_the_order(trading, status, code, seen, done):
    sim, trader = trading()
    sim.faults.answer_error(status, code, done=done, count=2)
    answer = trader.call("POST", "order", **trader.place(newClientOrderId="rest"))
    assert answer.status == status
    if seen is None:
        assert answer.body.startswith(b"<html>")
    else:
        assert answer.json["code"] == seen
    session = trader.socket(subscribe=False)
    reply = session.call("order.place", **trader.place(newClientOrderId="ws"))
    assert (reply["status"], reply["error"]["code"]) == (status, seen or -1000)
    assert statuses(sim) == ({"rest": "NEW", "ws": "NEW"} if done else {})
    trader.order(newClientOrderId="after")


def test_a_duplicate_is_claimed_of_an_order_that_was_taken(trading):
    sim, trader = trading()
    sim.faults.duplicate_id()
    assert trader.rejected(newClientOrderId="a") == (400, -2010, "Duplicate order sent.")
    assert statuses(sim) == {"a": "NEW"}


def test_an_answer_comes_late_while_the_order_is_there_at_once(trading, eventually):
    sim, trader = trading(time_factor=30.0, clock=__import__("time").time_ns)
    sim.faults.answer_late(6.0, count=1)  # a fifth of a second at this speed
    answers = []
    asking = threading.Thread(target=lambda: answers.append(trader.order(newClientOrderId="a")))
    asking.start()
    eventually(lambda: statuses(sim) == {"a": "NEW"})
    assert answers == []
    asking.join(10)
    assert answers[0]["clientOrderId"] == "a"


def test_answers_over_one_socket_may_come_in_another_order(trading):
    sim, trader = trading()
    session = trader.socket(subscribe=False)
    sim.faults.answer_late(0.1, count=1)
    first = session.send("order.place", trader.place(newClientOrderId="a"))
    second = session.send("order.place", trader.place(newClientOrderId="b"))
    session.answer(first)
    assert list(session.answers) == [second, first]
    assert session.answers[first]["result"]["clientOrderId"] == "a"


def test_a_request_that_comes_too_late_for_its_window_is_refused(trading, hand_clock, eventually):
    sim, trader = trading()
    sim.faults.request_late(0.15, count=1)
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(trader.call("POST", "order", **trader.place(recvWindow=1000)))
    )
    asking.start()
    eventually(
        lambda: sim.faults.injected["request_late"] and sim.on_loop(lambda: not sim.exchange.plan.calls[0].use.count)
    )
    hand_clock.advance(1.001)
    asking.join(10)
    assert (answers[0].status, answers[0].json["code"]) == (400, -1021)
    assert statuses(sim) == {}


def test_faults_concern_the_calls_they_name(trading):
    sim, trader = trading()
    trader.order(newClientOrderId="a")
    sim.faults.answer_error(503, only="queries", count=1)
    trader.order(newClientOrderId="b")
    assert trader.call("GET", "openOrders").status == 503
    sim.faults.answer_error(504, only="order.cancel", count=1)
    trader.order(newClientOrderId="c")
    trader.status("a")
    assert trader.call("DELETE", "order", symbol=BTC, origClientOrderId="a").status == 504
    assert statuses(sim)["a"] == "CANCELED"
    sim.faults.answer_error(502, only="order.status,myTrades", count=2)
    trader.ask("GET", "account")
    assert [trader.call("GET", "order", symbol=BTC, origClientOrderId="b").status for _ in range(3)] == [502, 502, 200]
    assert trader.rest("/api/v3/time").status == 200
    with pytest.raises(ValueError, match="between 0 and 1"):
        sim.faults.request_lost(share=1.5)


def test_a_share_concerns_about_that_part_and_clear_ends_it(trading):
    sim, trader = trading(orders_per_10s=10_000)
    session = trader.socket(subscribe=False)
    sim.faults.answer_error(504, done=False, share=0.3)
    codes = [session.call("order.place", **trader.place(quantity="0.001"))["status"] for _ in range(150)]
    assert 20 < codes.count(504) < 75
    assert len(statuses(sim)) == codes.count(200)
    sim.faults.clear()
    assert session.call("order.place", **trader.place())["status"] == 200


def test_queries_are_blind_to_what_just_happened(trading, hand_clock):
    sim, trader = trading()
    trader.order(newClientOrderId="old")
    hand_clock.advance(10)
    sim.faults.visibility_delay(5)
    trader.order(newClientOrderId="new")
    taken = trader.order(type="MARKET")
    assert trader.refused("GET", "order", symbol=BTC, origClientOrderId="new") == (400, -2013, "Order does not exist.")
    assert [row["clientOrderId"] for row in trader.ask("GET", "openOrders")] == ["old"]
    assert [row["clientOrderId"] for row in trader.ask("GET", "allOrders", symbol=BTC)] == ["old"]
    assert trader.ask("GET", "myTrades", symbol=BTC) == []
    assert trader.rejected(newClientOrderId="new")[2] == "Duplicate order sent."
    hand_clock.advance(5)
    assert trader.status("new")["status"] == "NEW"
    assert len(trader.ask("GET", "myTrades", symbol=BTC)) == len(taken["fills"])


# fills


def test_a_match_is_cut_into_parts_that_add_up(trading):
    sim, trader = trading()
    trader.order(quantity="0.1", newClientOrderId="a")
    sim.faults.fills_split(4)
    sim.fill("main", "a", "0.05")
    fills = sim.accounts["main"].fills()
    assert len(fills) == 4
    assert len({fill.trade_id for fill in fills}) == 4
    assert sum(fill.quantity for fill in fills) == Decimal("0.05")
    assert sum(fill.quote for fill in fills) == 60000 * Decimal("0.05")
    sim.fill("main", "a", "0.00002")  # two lots make two parts at most
    assert len(sim.accounts["main"].fills()) == 6
    sim.faults.clear()
    sim.fill("main", "a")
    assert len(sim.accounts["main"].fills()) == 7


@pytest.mark.parametrize("way", ["rest", "ws"])
def test_a_fill_comes_just_before_the_cancel(trading, way):
    sim, trader = trading()
    session = trader.socket()

    def cancel(ident):
        if way == "ws":
            reply = session.call("order.cancel", symbol=BTC, origClientOrderId=ident)
            return reply.get("error", {}).get("code"), reply.get("result")
        answer = trader.call("DELETE", "order", symbol=BTC, origClientOrderId=ident)
        return answer.json.get("code"), answer.json

    for ident in "abc":
        trader.order(quantity="0.1", newClientOrderId=ident)
    sim.faults.fill_before_cancel(1.0, count=1)
    assert cancel("a")[0] == -2011
    sim.faults.fill_before_cancel(0.3, count=1)
    code, row = cancel("b")
    assert (code, row["status"], row["executedQty"]) == (None, "CANCELED", "0.03000000")
    assert cancel("c")[1]["executedQty"] == "0.00000000"
    assert statuses(sim) == {"a": "FILLED", "b": "CANCELED", "c": "CANCELED"}
    ends = [(e["x"], e["X"], e["z"]) for e in session.settle() if e.get("x") in ("TRADE", "CANCELED")]
    assert ends == [
        ("TRADE", "FILLED", "0.10000000"),
        ("TRADE", "PARTIALLY_FILLED", "0.03000000"),
        ("CANCELED", "CANCELED", "0.03000000"),
        ("CANCELED", "CANCELED", "0.00000000"),
    ]


def test_a_fill_between_a_lost_cancel_and_the_next_one_is_a_fill(trading):
    sim, trader = trading()
    trader.order(newClientOrderId="a")
    sim.faults.request_lost(1, only="order.cancel")
    with pytest.raises(GONE):
        trader.call("DELETE", "order", symbol=BTC, origClientOrderId="a")
    assert sim.fill("main", "a") == Decimal("0.01")
    assert trader.refused("DELETE", "order", symbol=BTC, origClientOrderId="a")[1] == -2011
    assert trader.status("a")["status"] == "FILLED"


# events


def reports(events):
    return [event["X"] for event in events if event["e"] == "executionReport"]


def test_events_get_lost_on_a_healthy_session_and_the_ledger_knows_which(trading):
    sim, trader = trading()
    session = trader.socket()
    sim.faults.events_lost(1, event="executionReport.TRADE")
    trader.order(newClientOrderId="a")
    sim.fill("main", "a", "0.004")
    sim.fill("main", "a")
    assert reports(session.settle()) == ["NEW", "FILLED"]
    lost = [record.kind for record in sim.ledger.events("main") if record.copies < record.subscribers]
    assert lost == ["executionReport.TRADE"]
    sim.faults.events_lost(share=1.0)
    trader.order(newClientOrderId="b")
    assert session.settle() == []


def test_events_come_twice_or_in_another_order(trading):
    sim, trader = trading()
    session = trader.socket()
    sim.faults.events_doubled(1, event="executionReport")
    trader.order(newClientOrderId="a", quantity="0.1")
    events = session.settle()
    assert reports(events) == ["NEW", "NEW"]
    assert events[0] == events[1]
    sim.fill("main", "a", "0.01")
    session.settle()
    sim.faults.events_swapped(1, event="executionReport.TRADE")
    sim.fill("main", "a", "0.02")
    events = session.settle()
    assert [event["e"] for event in events] == ["outboundAccountPosition", "executionReport"]
    sim.faults.fills_split(2)
    sim.faults.events_swapped(1, event="executionReport.TRADE")
    sim.fill("main", "a", "0.02")
    sizes = [Decimal(event["z"]) for event in session.settle() if event.get("x") == "TRADE"]
    assert sizes == [Decimal("0.05"), Decimal("0.04")]


def test_events_come_before_the_answer_or_after_it(trading):
    sim, trader = trading()
    session = trader.socket()
    session.call("order.place", **trader.place(newClientOrderId="a"))
    assert [frame.get("id", "event") for frame in session.raw[-3:]] == ["event", "event", 2]
    sim.faults.events_after_answers(0.01)
    session.take(2)
    session.call("order.place", **trader.place(newClientOrderId="b"))
    assert session.events == []
    assert [event["e"] for event in session.take(2)] == ["executionReport", "outboundAccountPosition"]


def test_late_events_are_overtaken(trading):
    sim, trader = trading()
    session = trader.socket()
    sim.faults.events_late(0.1, count=1)
    trader.order(newClientOrderId="a")
    trader.order(newClientOrderId="b")
    assert [event.get("c", "position") for event in session.take(4)] == ["position", "b", "position", "a"]


# sessions and keys


def test_sessions_are_cut_by_account(trading):
    sim, one, two = trading("main", "other")
    mine, other, market = one.socket(), two.socket(), one.socket(subscribe=False)
    assert sim.faults.session_cut("main") == 1
    with pytest.raises((ConnectionError, websocket.WebSocketException, AssertionError)):
        mine.read()
    assert [session.call("ping", sign=False)["status"] for session in (other, market)] == [200, 200]
    assert sim.faults.session_cut() == 2


def test_a_stream_is_ended_by_the_venue_and_can_be_opened_again(trading):
    sim, trader = trading()
    session = trader.socket()
    assert sim.faults.stream_terminated("main") == 1
    assert session.settle() == [{"e": "eventStreamTerminated", "E": trader.now_ms()}]
    trader.order()
    assert session.settle() == []
    assert session.call("userDataStream.subscribe.signature")["result"] == {"subscriptionId": 1}
    trader.order()
    assert reports(session.settle()) == ["NEW"]


def test_faults_and_accounts_can_be_had_from_outside_the_process(trading, rest):
    sim, _ = trading()
    post = rest(sim)
    opened = post(
        "/simulator/accounts", method="POST", body='{"name":"ext","key":"Keyext","secret":"s","balances":{"BTC":"1"}}'
    )
    assert opened.json == {"result": "ext"}
    assert post("/simulator/ledger/balances?account=ext").json == {"BTC": {"free": "1.00000000", "locked": "0E-8"}}
    assert post("/simulator/deposit", method="POST", body='{"who":"ext","asset":"BTC","amount":"0.5"}').status == 200
    assert post("/simulator/ledger/orders?account=ext").json == post("/simulator/ledger/fills?account=ext").json == []
    assert post("/simulator/faults/answer_error", method="POST", body='{"status":503,"count":1}').status == 200
    assert post("/simulator/ledger/orders?account=none").status == 400


def test_the_exchange_stays_whole_under_all_faults_at_once(trading):
    sim, trader = trading(orders_per_10s=100_000)
    listener = trader.socket()
    faults = sim.faults
    faults.request_lost(share=0.03)
    faults.answer_lost(share=0.03, how="silence")
    faults.request_late(0.001, 0.01, share=0.05)
    faults.answer_late(0.001, 0.02, share=0.05)
    faults.answer_error(504, -1007, share=0.04)
    faults.answer_error(502, done=False, share=0.04)
    faults.duplicate_id(None, share=0.02)
    faults.events_lost(share=0.02)
    faults.events_doubled(share=0.02)
    faults.events_swapped(share=0.02)
    faults.events_late(0.001, 0.02, share=0.05)
    faults.fill_before_cancel(0.5, share=0.2)
    faults.fills_split(3)
    session, sent = trader.socket(subscribe=False), 0
    for number in range(300):
        ident = f"s-{number}"
        params = (
            trader.place(newClientOrderId=ident) if number % 3 else trader.place(type="MARKET", newClientOrderId=ident)
        )
        try:
            session.send("order.place", params)
            session.send("order.cancel", {"symbol": BTC, "origClientOrderId": ident})
            sent += 2
            if number % 10 == 0:
                session.call("ping", sign=False)
        except (OSError, websocket.WebSocketException, AssertionError):
            session = trader.socket(subscribe=False)
        if number % 20 == 0:
            sim.step(20)
    assert sent > 400
    faults.clear()
    late = threading.Event()  # timers run in order: when this one does, everything late has come
    sim.on_loop(lambda: sim.exchange.later(0.05, late.set))
    assert late.wait(10)
    if trader.ask("GET", "openOrders"):
        trader.ask("DELETE", "openOrders", symbol=BTC)
    orders, fills = sim.accounts["main"].orders(), sim.accounts["main"].fills()
    assert len(orders) > 150
    assert not [order for order in orders if order.open]
    assert len({order.client_id for order in orders}) == len(orders)
    for order in orders:
        own = [fill for fill in fills if fill.order_id == order.order_id]
        assert order.filled == sum(fill.quantity for fill in own)
        assert (order.status == "FILLED") == (order.filled == order.quantity)
    balances = sim.accounts["main"].balances()
    assert all(balance.locked == 0 for balance in balances.values())
    assert balances["USDT"].free == 1_000_000 + sum(-f.quote if f.is_buyer else f.quote for f in fills)
    told = {event["t"] for event in listener.settle() if event.get("x") == "TRADE"}
    assert told < {fill.trade_id for fill in fills}  # some were lost, none was invented
    assert set(faults.injected) >= {"request_lost", "events_swapped", "fill_before_cancel"}
