"""Market data and streams of the simulated futures, by the documents' rules and what was measured at the venue."""

import json
from decimal import Decimal

import pytest
import websocket

BOTH = pytest.mark.parametrize("product", ["usdm", "coinm"])


def warm(futures, product, **settings):
    from connector.simulator import Live

    return futures(product, source=Live(resting_orders=100), **settings)


def public_path(trader, *names, kind="public"):
    """A combined socket on the right route."""
    return (f"/{kind}" if trader.usdm else "") + f"/stream?streams={'/'.join(names)}"


@BOTH
def test_the_contract_is_described_with_its_units(futures, product):
    _, trader = futures(product)
    info = trader.public("exchangeInfo")
    row = info["symbols"][0]
    assert (row["contractType"], row["marginAsset"], row["deliveryDate"]) == ("PERPETUAL", trader.settle, 4133404800000)
    limits = {
        (limit["rateLimitType"], limit["interval"], limit["intervalNum"]): limit["limit"]
        for limit in info["rateLimits"]
    }
    assert limits == {
        ("REQUEST_WEIGHT", "MINUTE", 1): 2400,
        ("ORDERS", "MINUTE", 1): 1200,
        ("ORDERS", "SECOND", 10): 300,
    }
    filters = {entry["filterType"]: entry for entry in row["filters"]}
    if trader.usdm:
        assert row["status"] == "TRADING" and "contractSize" not in row
        assert filters["MIN_NOTIONAL"] == {"filterType": "MIN_NOTIONAL", "notional": "5"}
        assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == ("0.1", "0.001")
    else:
        assert (row["contractStatus"], row["contractSize"]) == ("TRADING", 100)
        assert "MIN_NOTIONAL" not in filters and "status" not in row
        assert filters["LOT_SIZE"]["stepSize"] == "1"


def test_a_dated_contract_knows_its_quarter_and_has_no_funding(futures):
    _, trader = futures("usdm", symbols=("BTCUSDT", "BTCUSDT_271231", "BTCUSDT_280331"))
    rows = {row["symbol"]: row for row in trader.public("exchangeInfo")["symbols"]}
    assert rows["BTCUSDT_271231"]["contractType"] == "CURRENT_QUARTER"
    assert rows["BTCUSDT_280331"]["contractType"] == "NEXT_QUARTER"
    premium = trader.public("premiumIndex", symbol="BTCUSDT_271231")
    assert (premium["nextFundingTime"], premium["lastFundingRate"]) == (0, "0.00000000")
    assert [row["symbol"] for row in trader.public("fundingInfo")] == ["BTCUSDT"]
    candles = trader.public("continuousKlines", pair="BTCUSDT", contractType="NEXT_QUARTER", interval="1h", limit=3)
    assert len(candles) == 3


@BOTH
def test_one_symbol_is_one_object_on_usd_margined_and_a_list_on_coin_margined(futures, product):
    _, trader = futures(product)
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker", "premiumIndex"):
        assert isinstance(trader.public(path, symbol=trader.symbol), dict if trader.usdm else list), path
        assert len(trader.public(path)) == 2


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("depth", {"symbol": "NOSUCH"}, -1121),
        ("depth", {}, -1102),
        ("depth", {"symbol": "BTCUSDT", "limit": 7}, -4021),
        ("klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1501}, -1130),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": 2, "endTime": 1}, -1023),
        ("aggTrades", {"symbol": "BTCUSDT", "startTime": 1}, -4166),
        ("historicalTrades", {"symbol": "BTCUSDT"}, -2014),
        ("continuousKlines", {"pair": "NOSUCH", "contractType": "PERPETUAL", "interval": "1m"}, -4144),
    ],
)
def test_a_wrong_question_is_refused_with_the_documented_code(futures, path, params, code):
    _, trader = futures("usdm")
    assert trader.rest(f"/fapi/v1/{path}", **params).json["code"] == code


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("ping", {}, 1),
        ("depth", {"symbol": "BTCUSDT"}, 1),
        ("depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, 5),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 500}, 2),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1500}, 10),
        ("aggTrades", {"symbol": "NOSUCH"}, 20),
        ("ticker/24hr", {}, 40),
        ("premiumIndex", {"symbol": "BTCUSDT"}, 1),
    ],
)
def test_weights_are_those_documented_and_refused_requests_cost_them_too(futures, path, params, weight):
    sim, trader = futures("usdm")
    assert trader.rest(f"/fapi/v1/{path}", **params).headers["X-MBX-USED-WEIGHT-1M"] == str(weight)
    assert sim.ledger.requests()[-1].weight == weight


def test_the_weight_of_a_minute_is_enforced_and_starts_again_with_the_minute(futures, hand_clock):
    sim, trader = futures("usdm", request_weight_per_minute=50)
    for _ in range(2):
        trader.rest("/fapi/v1/aggTrades", symbol="BTCUSDT")
    late = trader.rest("/fapi/v1/aggTrades", symbol="BTCUSDT")
    assert (late.status, late.json["code"]) == (429, -1003)
    hand_clock.advance(60)
    assert trader.rest("/fapi/v1/aggTrades", symbol="BTCUSDT").status == 200
    assert [violation.kind for violation in sim.ledger.violations()] == ["weight"]


def test_with_both_times_coin_margined_candles_are_the_newest_and_usd_margined_the_oldest(futures):
    for product, newest in (("usdm", False), ("coinm", True)):
        _, trader = futures(product)
        end = trader.sim.now_ns() // 1_000_000
        start = end - 100 * 3_600_000
        rows = trader.public("klines", symbol=trader.symbol, interval="1h", startTime=start, endTime=end, limit=5)
        assert len(rows) == 5
        assert (rows[-1][0] > end - 3_600_001) is newest, product
    assert trader.rest(
        "/dapi/v1/klines", symbol=trader.symbol, interval="1h", startTime=end - 201 * 86_400_000, endTime=end
    ).json["code"] in (-4088, -4166)


@BOTH
def test_candles_of_trades_and_of_the_mark_price_have_the_same_times(futures, product):
    sim, trader = warm(futures, product)
    sim.step(200)
    for path in ("klines", "markPriceKlines", "premiumIndexKlines"):
        rows = trader.public(path, symbol=trader.symbol, interval="1m", limit=10)
        assert [row[0] for row in rows] == sorted({row[0] for row in rows})
        assert all(row[6] == row[0] + 59_999 for row in rows)


# sockets


def test_a_stream_on_the_wrong_route_is_acknowledged_and_stays_silent(futures, connect):
    sim, trader = warm(futures, "usdm")
    names = ("btcusdt@aggTrade", "btcusdt@bookTicker")
    right = {kind: connect(sim, path=public_path(trader, *names, kind=kind)) for kind in ("public", "market")}
    unrouted = connect(sim, path="/ws")
    assert unrouted.ask("SUBSCRIBE", list(names)) == {"result": None, "id": 1}
    assert unrouted.ask("LIST_SUBSCRIPTIONS", ident=2)["result"] == list(names)
    sim.step(300)
    assert right["public"].receive()["stream"] == "btcusdt@bookTicker"
    assert right["market"].receive()["stream"] == "btcusdt@aggTrade"
    assert unrouted.receive()["e"] == "bookTicker"
    sim.step(50)
    for socket, kind in ((right["public"], "bookTicker"), (right["market"], "aggTrade")):
        assert {socket.receive()["data"]["e"] for _ in range(3)} == {kind}


@pytest.mark.parametrize(
    "name", ["btcusdt@neverHeardOf", "nosuch@aggTrade", "BTCUSDT@aggTrade", "btcusdt@depth@250ms", "btcusdt@kline_1s"]
)
def test_an_acknowledgement_proves_nothing(futures, connect, name):
    sim, _ = warm(futures, "usdm")
    socket = connect(sim, path="/market/ws")
    assert socket.ask("SUBSCRIBE", [name]) == {"result": None, "id": 1}
    sim.step(100)
    assert socket.quiet()
    assert socket.ask("UNSUBSCRIBE", ["never@subscribed"], 2) == {"result": None, "id": 2}


def test_only_usd_margined_streams_have_routes(futures, connect):
    sim, _ = futures("coinm")
    for path in ("/market/ws", "/private/ws?listenKey=x", "/publicws"):
        with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
            connect(sim, path=path)
    connect(sim, path="/ws/btcusd_perp@aggTrade")


def test_too_many_streams_lose_the_connection(futures, connect):
    sim, _ = futures("coinm", max_streams=3)
    socket = connect(sim, path="/ws")
    socket.ask("SUBSCRIBE", ["a@trade", "b@trade", "c@trade"])
    socket.ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["d@trade"], "id": 9}))
    assert socket.receive() == {"error": {"code": 4, "msg": "Too many subscriptions"}}
    assert socket.close_code() == 1008


def test_broken_control_frames_are_answered_with_their_code(futures, connect):
    sim, _ = futures("usdm")
    socket = connect(sim, path="/public/ws")
    for frame, code in (("{", 3), ('{"method":"DO","id":1}', 2), ('{"method":"SUBSCRIBE","id":-1,"params":[]}', 2)):
        socket.ws.send(frame)
        assert socket.receive()["error"]["code"] == code
    assert socket.ask("GET_PROPERTY", ["combined"], 2)["result"] is False
    assert socket.ask("SET_PROPERTY", ["combined", True], 3)["result"] is None
    assert socket.ask("GET_PROPERTY", ["nothing"], 4)["error"]["code"] == 0


@BOTH
def test_depth_events_follow_each_other_by_pu_and_rebuild_the_book(futures, connect, product, hand_clock):
    sim, trader = warm(futures, product)
    name = f"{trader.symbol.lower()}@depth@100ms"
    socket = connect(sim, path=public_path(trader, name))
    sim.step(5)
    first = socket.receive()["data"]
    shot = trader.public("depth", symbol=trader.symbol, limit=1000)
    assert first["U"] <= shot["lastUpdateId"] <= first["u"]
    book = {side: {Decimal(p): Decimal(q) for p, q in shot[side]} for side in ("bids", "asks")}
    last = first["u"]
    for _ in range(20):
        hand_clock.advance(0.1)
        sim.step(10)
        event = socket.receive()["data"]
        assert (event["pu"], event["ps"], event["st"]) == (
            last,
            trader.symbol.partition("_")[0],
            1 if trader.usdm else 2,
        )
        last = event["u"]
        for side, rows in (("bids", event["b"]), ("asks", event["a"])):
            for price, size in rows:
                if Decimal(size):
                    book[side][Decimal(price)] = Decimal(size)
                else:
                    book[side].pop(Decimal(price), None)
    bids, asks = sim.ledger.book(trader.symbol, last)
    assert sorted(book["bids"].items(), reverse=True) == bids
    assert sorted(book["asks"].items()) == asks


@BOTH
def test_a_partial_depth_event_is_a_whole_image_in_the_same_form(futures, connect, product):
    sim, trader = warm(futures, product)
    socket = connect(sim, path=public_path(trader, f"{trader.symbol.lower()}@depth5@100ms"))
    sim.step(50)
    event = socket.receive()["data"]
    assert (event["e"], len(event["b"]), len(event["a"])) == ("depthUpdate", 5, 5)
    bids, _ = sim.ledger.book(trader.symbol, event["u"])
    assert [(Decimal(p), Decimal(q)) for p, q in event["b"]] == bids[:5]


@BOTH
def test_market_events_have_the_documented_fields(futures, connect, product):
    sim, trader = warm(futures, product)
    low = trader.symbol.lower()
    names = [f"{low}@{kind}" for kind in ("aggTrade", "ticker", "miniTicker", "markPrice@1s", "kline_1m")]
    socket = connect(sim, path=public_path(trader, *names, kind="market"))
    sim.step(400)
    seen = {}
    while len(seen) < len(names):
        message = socket.receive()
        seen[message["stream"].partition("@")[2]] = message["data"]
    agg = seen["aggTrade"]
    assert ("nq" in agg) is trader.usdm
    assert {"a", "p", "q", "f", "l", "T", "m", "st"} <= agg.keys()
    assert not {"b", "a", "x"} & seen["ticker"].keys()
    assert seen["miniTicker"]["ps"] == seen["ticker"]["ps"] == trader.symbol.partition("_")[0]
    mark = seen["markPrice@1s"]
    assert {"p", "i", "P", "r", "T"} <= mark.keys() and ("ap" in mark) is trader.usdm
    assert "st" not in seen["kline_1m"] and seen["kline_1m"]["k"]["i"] == "1m"


def test_all_market_streams_carry_every_symbol(futures, connect):
    sim, _ = warm(futures, "usdm")
    socket = connect(sim, path="/market/stream?streams=!markPrice@arr@1s/!ticker@arr/!miniTicker@arr")
    sim.step(100)
    seen = {}
    while len(seen) < 3:
        message = socket.receive()
        seen[message["stream"]] = {row["s"] for row in message["data"]}
    assert seen["!markPrice@arr@1s"] == {"BTCUSDT", "ETHUSDT", "BTCUSD_PERP"}  # both products on both hosts


def test_a_change_of_status_is_told_as_contract_info(futures, connect):
    sim, _ = warm(futures, "coinm")
    socket = connect(sim, path="/stream?streams=!contractInfo")
    sim.step(1)
    sim.deliver("ETHUSD_PERP")
    sim.step(0)
    event = socket.receive()["data"]
    assert (event["e"], event["s"], event["cs"], event["ct"]) == (
        "contractInfo",
        "ETHUSD_PERP",
        "DELIVERED",
        "PERPETUAL",
    )


def test_questions_about_funding_have_a_limit_of_their_own(futures):
    _, trader = futures("usdm")
    answers = [trader.rest("/fapi/v1/fundingInfo") for _ in range(501)]
    assert [answer.status for answer in answers[-2:]] == [200, 429]
    assert "X-MBX-USED-WEIGHT-1M" not in answers[0].headers
    assert trader.rest("/fapi/v1/ping").status == 200


def test_pair_streams_are_those_of_coin_margined_only(futures, connect):
    sim, _ = warm(futures, "coinm")
    socket = connect(sim, path="/stream?streams=btcusd@indexPrice@1s/btcusd@markPrice@1s/btcusd_perp@markPriceKline_1m")
    sim.step(100)
    seen = {}
    while len(seen) < 3:
        message = socket.receive()
        seen[message["stream"]] = message["data"]
    assert seen["btcusd@indexPrice@1s"]["s"] == "BTCUSD"
    assert [row["s"] for row in seen["btcusd@markPrice@1s"]] == ["BTCUSD_PERP"]
    assert seen["btcusd_perp@markPriceKline_1m"]["e"] == "markPrice_kline"


def test_the_server_pings_every_three_minutes_and_a_burst_of_frames_is_closed(futures, connect):
    sim, _ = futures("usdm")
    assert (sim.settings.ping_every_s, sim.settings.pong_within_s, sim.settings.max_streams) == (180.0, 600.0, 1024)
    socket = connect(sim, path="/public/ws")
    for number in range(12):
        socket.ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
    assert socket.close_code() == 1008


def test_a_liquidation_is_told_to_the_public(futures, connect):
    sim, trader, other = futures("usdm", "main", "other")
    other.order(side="SELL", quantity="20")
    trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=25)
    trader.order(quantity="20")
    socket = connect(sim, path="/market/stream?streams=btcusdt@forceOrder/!forceOrder@arr")
    sim.hold_mark("BTCUSDT", "50000")
    sim.step(0)
    events = [socket.receive()["data"] for _ in range(2)]
    assert events[0] == events[1]
    assert (events[0]["o"]["S"], events[0]["o"]["X"], events[0]["st"]) == ("SELL", "FILLED", 1)
