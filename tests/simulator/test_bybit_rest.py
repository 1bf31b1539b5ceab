"""Public calls, signing, envelopes and limits of the simulated exchange bybit: the documents' rules as sentences."""

import http.client
import json
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote, unquote

import pytest

from connector.simulator import Listing, Simulator, SimulatorSettings, listing, new_pair

PRODUCTS = ("spot", "linear", "inverse")
FIRST = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}
END_2036 = str(int(datetime(2036, 12, 26, 8, tzinfo=UTC).timestamp()) * 1000)  # a Friday


def test_every_answer_has_the_five_parts_of_the_envelope(bybit):
    _, trader = bybit()
    good = trader.rest("/v5/market/time")
    bad = trader.rest("/v5/market/tickers", category="nonsense")
    assert set(good.json) == set(bad.json) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    assert (good.json["retCode"], good.json["retMsg"], good.json["time"]) == (0, "OK", trader.now_ms())
    assert (bad.status, bad.json["retCode"], bad.json["result"]) == (200, 10001, {})


def test_the_time_is_told_in_seconds_and_nanoseconds_as_text(bybit):
    sim, trader = bybit()
    result = trader.rest("/v5/market/time").json["result"]
    assert result == {"timeSecond": str(sim.now_ns() // 10**9), "timeNano": str(sim.now_ns())}


def test_an_unknown_path_is_404_a_wrong_method_400_and_a_get_with_a_body_403(bybit):
    _, trader = bybit()
    assert trader.rest("/v5/market/nonsense").status == 404
    assert trader.rest("/v5/market/time", method="POST", body="{}").status == 400
    answer = trader.rest("/v5/market/time", method="GET", body="{}")
    assert answer.status == 403 and answer.body.startswith(b"<html>")


@pytest.mark.parametrize("product", PRODUCTS)
def test_of_another_product_nothing_is_listed(bybit, product):
    _, trader = bybit(product=product)
    for other in {"spot", "linear", "inverse", "option"} - {product}:
        assert trader.public("instruments-info", category=other)["list"] == []
        assert trader.public("tickers", category=other)["list"] == []
        assert trader.rest("/v5/market/orderbook", category=other, symbol=FIRST[product]).json["retCode"] == 10001


def test_a_spot_instrument_says_its_steps_and_least_amount(bybit):
    _, trader = bybit(symbols=(listing("BTCUSDT", tick="0.1", step="0.000001"),))
    (row,) = trader.public("instruments-info", symbol="BTCUSDT")["list"]
    assert (row["baseCoin"], row["quoteCoin"], row["status"]) == ("BTC", "USDT", "Trading")
    assert row["priceFilter"] == {"tickSize": "0.1"}
    lot = row["lotSizeFilter"]
    assert (lot["basePrecision"], lot["quotePrecision"], lot["minOrderAmt"]) == ("0.000001", "0.0000001", "5")
    assert "nextPageCursor" not in trader.public("instruments-info")


@pytest.mark.parametrize(
    ("product", "kind", "settle"), [("linear", "LinearPerpetual", "USDT"), ("inverse", "InversePerpetual", "BTC")]
)
def test_a_contract_says_its_kind_settle_coin_leverage_and_funding_in_minutes(bybit, product, kind, settle):
    _, trader = bybit(product=product)
    row = trader.public("instruments-info")["list"][0]
    assert (row["contractType"], row["settleCoin"], row["fundingInterval"]) == (kind, settle, 480)
    assert (row["deliveryTime"], row["isPreListing"]) == ("0", False)
    assert Decimal(row["leverageFilter"]["maxLeverage"]) >= 100 and row["priceFilter"]["tickSize"] == "0.1"
    assert row["lotSizeFilter"]["qtyStep"] == ("0.001" if product == "linear" else "1")


def test_dated_contracts_say_when_they_end_and_have_no_funding(bybit):
    _, trader = bybit(product="linear", symbols=("BTCUSDT-26DEC36", "BTCPERP", "BTC-27MAR37"))
    rows = {row["symbol"]: row for row in trader.public("instruments-info")["list"]}
    assert rows["BTCUSDT-26DEC36"]["contractType"] == "LinearFutures"
    assert rows["BTCUSDT-26DEC36"]["deliveryTime"] == END_2036 and rows["BTCUSDT-26DEC36"]["fundingInterval"] == 0
    assert (rows["BTCPERP"]["quoteCoin"], rows["BTCPERP"]["contractType"]) == ("USDC", "LinearPerpetual")
    assert (rows["BTC-27MAR37"]["quoteCoin"], rows["BTC-27MAR37"]["contractType"]) == ("USDC", "LinearFutures")
    ticker = trader.public("tickers", symbol="BTC-27MAR37")["list"][0]
    assert (ticker["fundingRate"], ticker["nextFundingTime"]) == ("", "") and ticker["deliveryTime"] != "0"


def test_inverse_futures_end_on_the_last_friday_of_their_quarter(bybit):
    _, trader = bybit(product="inverse", symbols=("BTCUSDZ36",))
    (row,) = trader.public("instruments-info")["list"]
    assert (row["contractType"], row["deliveryTime"]) == ("InverseFutures", END_2036)


@pytest.mark.parametrize("name", ["BTCUSDX", "btcusdt", "BTC", "BTCPERP-26DEC36", "BTC-99XXX36"])
def test_a_name_that_is_no_linear_contract_is_refused(name):
    with pytest.raises(ValueError, match=r"no (linear contract|month)"):
        SimulatorSettings(dialect="bybit_linear", symbols=(name,))


def test_linear_instruments_come_in_pages(bybit):
    names = tuple(f"AA{letter}USDT" for letter in "ABCDEFG")
    _, trader = bybit(product="linear", symbols=names)
    seen, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = trader.public("instruments-info", limit=3, cursor=unquote(cursor))
        seen += [row["symbol"] for row in page["list"]]
        cursor, pages = page["nextPageCursor"], pages + 1
    assert seen == list(names) and pages == 3
    first = trader.public("instruments-info", limit=3)["nextPageCursor"]
    assert quote(unquote(first)) == first and "%" in first  # handed out ready to be sent back as it is


def test_figures_of_an_instrument_may_be_given(bybit):
    base = listing("BTCUSDT")
    row = {"filterType": "lotSizeFilter", "minOrderAmt": "50"}
    fields = {name: getattr(base, name) for name in base.__struct_fields__} | {"filters": (row,)}
    _, trader = bybit(symbols=(Listing(**fields),))
    assert trader.public("instruments-info")["list"][0]["lotSizeFilter"]["minOrderAmt"] == "50"
    assert trader.rejected(qty="0.0005")[0] == 170140


@pytest.mark.parametrize("product", PRODUCTS)
def test_candles_come_newest_first_with_seven_texts(bybit, product):
    sim, trader = bybit(product=product)
    sim.step(500)
    for interval in ["1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M"]:
        result = trader.public("kline", symbol=FIRST[product], interval=interval, limit=5)
        starts = [int(row[0]) for row in result["list"]]
        assert len(starts) == 5 and starts == sorted(starts, reverse=True)
        assert all(len(row) == 7 and all(isinstance(text, str) for text in row) for row in result["list"])
    assert (
        trader.rest("/v5/market/kline", category=product, symbol=FIRST[product], interval="1m").json["retCode"] == 10001
    )


def test_candles_are_asked_for_between_two_times(bybit):
    _, trader = bybit()
    every = [int(row[0]) for row in trader.public("kline", symbol="BTCUSDT", interval="5", limit=1000)["list"]]
    assert len(every) == 1000
    some = trader.public("kline", symbol="BTCUSDT", interval="5", start=every[20], end=every[10])["list"]
    assert [int(row[0]) for row in some] == every[10:21]
    after = trader.public("kline", symbol="BTCUSDT", interval="5", start=every[20], limit=3)["list"]
    assert [int(row[0]) for row in after] == every[18:21]
    before = trader.public("kline", symbol="BTCUSDT", interval="5", end=every[20], limit=3)["list"]
    assert [int(row[0]) for row in before] == every[20:23]


def test_candles_are_the_sum_of_the_trades(bybit, hand_clock):
    sim, trader = bybit(product="linear", symbols=("BTCUSDT",))
    hand_clock.advance(60)
    sim.step(300)
    start = trader.now_ms() // 60_000 * 60_000
    row = trader.public("kline", symbol="BTCUSDT", interval="1", limit=1)["list"][0]
    trades = [t for t in sim.ledger.trades("BTCUSDT").values() if t.time_us // 1000 >= start]
    assert int(row[0]) == start and trades
    assert Decimal(row[5]) == sum(trade.quantity for trade in trades)
    assert Decimal(row[6]) == sum(trade.quantity * trade.price for trade in trades)
    assert Decimal(row[2]) == max(trade.price for trade in trades)


def test_mark_price_candles_have_five_texts(bybit):
    sim, trader = bybit(product="linear")
    sim.hold_mark("BTCUSDT", "65000")
    row = trader.public("mark-price-kline", symbol="BTCUSDT", interval="60", limit=2)["list"][0]
    assert len(row) == 5 and row[2] == row[4] == "65000.0"
    spot = bybit()[1]
    assert (
        spot.rest("/v5/market/mark-price-kline", category="spot", symbol="BTCUSDT", interval="1").json["retCode"]
        == 10001
    )


@pytest.mark.parametrize(("product", "usual"), [("spot", 1), ("linear", 25), ("inverse", 25)])
def test_the_book_is_as_deep_as_asked_and_as_the_ledger_has_it(bybit, product, usual):
    sim, trader = bybit(product=product)
    book = trader.public("orderbook", symbol=FIRST[product])
    assert len(book["b"]) == len(book["a"]) == usual and book["s"] == FIRST[product]
    book = trader.public("orderbook", symbol=FIRST[product], limit=1000)
    bids, asks = sim.ledger.book(FIRST[product], book["seq"])
    assert [(Decimal(price), Decimal(size)) for price, size in book["b"]] == bids
    assert [(Decimal(price), Decimal(size)) for price, size in book["a"]] == asks
    assert isinstance(book["u"], int) and book["cts"] <= book["ts"]


def test_an_old_snapshot_is_served_on_request(bybit):
    sim, trader = bybit()
    sim.step(200)
    now = trader.public("orderbook", symbol="BTCUSDT", limit=50)
    sim.faults.stale_snapshot("BTCUSDT", 100)
    old = trader.public("orderbook", symbol="BTCUSDT", limit=50)
    assert old["seq"] == now["seq"] - 100 and old["u"] < now["u"]
    assert [(Decimal(p), Decimal(s)) for p, s in old["b"]] == sim.ledger.book("BTCUSDT", old["seq"])[0][:50]


@pytest.mark.parametrize(("product", "most"), [("spot", 60), ("linear", 1000)])
def test_recent_trades_come_newest_first_up_to_a_limit(bybit, product, most):
    sim, trader = bybit(product=product)
    sim.step(3000)
    rows = trader.public("recent-trade", symbol="BTCUSDT", limit=1000)["list"]
    assert len(rows) == most and len({row["execId"] for row in rows}) == most
    assert [int(row["time"]) for row in rows] == sorted((int(row["time"]) for row in rows), reverse=True)
    assert {row["side"] for row in rows} == {"Buy", "Sell"} and rows[0]["isBlockTrade"] is False
    assert rows[0]["execId"].isdigit() == (product == "spot")
    newest = max(sim.ledger.trades("BTCUSDT").values(), key=lambda trade: trade.trade_id)
    assert Decimal(rows[0]["price"]) == newest.price and Decimal(rows[0]["size"]) == newest.quantity


def test_the_spot_ticker_has_the_best_prices_by_rest(bybit):
    _, trader = bybit()
    row = trader.public("tickers", symbol="BTCUSDT")["list"][0]
    book = trader.public("orderbook", symbol="BTCUSDT")
    assert [row["bid1Price"], row["bid1Size"]] == book["b"][0] and [row["ask1Price"], row["ask1Size"]] == book["a"][0]
    assert "markPrice" not in row and Decimal(row["usdIndexPrice"]) == Decimal(row["lastPrice"])
    assert len(trader.public("tickers")["list"]) == 3


@pytest.mark.parametrize("product", ["linear", "inverse"])
def test_a_contracts_ticker_has_mark_index_funding_and_open_interest(bybit, product):
    sim, trader = bybit(product=product)
    sim.set_funding_rate(FIRST[product], "-0.00025")
    row = trader.public("tickers", symbol=FIRST[product])["list"][0]
    assert row["fundingRate"] == "-0.00025" and row["fundingIntervalHour"] == "8" and row["deliveryTime"] == "0"
    assert int(row["nextFundingTime"]) % 28_800_000 == 0 and int(row["nextFundingTime"]) > trader.now_ms()
    assert Decimal(row["markPrice"]) > 0 and Decimal(row["indexPrice"]) > 0
    assert Decimal(row["openInterest"]) == 2 * Decimal(row["singleOpenInterest"]) > 0


def test_past_fundings_are_listed_and_a_start_needs_an_end(bybit, hand_clock):
    sim, trader = bybit(product="linear")
    sim.fund("BTCUSDT", "0.0003")
    rows = trader.public("funding/history", symbol="BTCUSDT")["list"]
    assert len(rows) == 200 and rows[0]["fundingRate"] == "0.0003"
    times = [int(row["fundingRateTimestamp"]) for row in rows]
    assert times == sorted(times, reverse=True)
    some = trader.public("funding/history", symbol="BTCUSDT", startTime=times[5], endTime=times[2])["list"]
    assert [int(row["fundingRateTimestamp"]) for row in some] == times[2:6]
    assert (
        trader.rest("/v5/market/funding/history", category="linear", symbol="BTCUSDT", startTime=1).json["retCode"]
        == 10001
    )


def test_open_interest_comes_in_pages_of_an_interval(bybit):
    _, trader = bybit(product="linear")
    page = trader.public("open-interest", symbol="BTCUSDT", intervalTime="1h", limit=3)
    times = [int(row["timestamp"]) for row in page["list"]]
    assert times == [times[0], times[0] - 3_600_000, times[0] - 7_200_000] and times[0] <= trader.now_ms()
    answer = trader.rest("/v5/market/open-interest", category="linear", symbol="BTCUSDT", intervalTime="2h")
    assert answer.json["retCode"] == 10001


def test_risk_tiers_grow_and_their_leverage_shrinks(bybit):
    _, trader = bybit(product="linear")
    rows = trader.public("risk-limit", symbol="BTCUSDT")["list"]
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert [Decimal(row["riskLimitValue"]) for row in rows] == sorted(Decimal(row["riskLimitValue"]) for row in rows)
    assert Decimal(rows[0]["maxLeverage"]) > Decimal(rows[-1]["maxLeverage"]) and rows[0]["isLowestRisk"] == 1


# who asks


def test_the_published_test_vector_of_this_signature_holds(bybit, account):
    one = account("main", key="DUMMYKEY0123456789", secret="DUMMYSECRETabcdefghijklmnopqrstuvwxyz")
    sim, trader = bybit(product="linear", accounts=(one,), clock=lambda: 1767225600000 * 10**6)
    headers = {
        "X-BAPI-API-KEY": "DUMMYKEY0123456789",
        "X-BAPI-TIMESTAMP": "1767225600000",
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": "a12765a3eddf90844fd0d9a7d9148d4bc22f55a493b2e52519d0a384efd4b4be",
    }
    answer = trader.rest("/v5/order/realtime?category=linear&symbol=BTCUSDT", headers)
    assert answer.json["retCode"] == 0, answer.body
    body = (
        '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"50000",'
        '"timeInForce":"PostOnly","orderLinkId":"cn-000001"}'
    )
    headers["X-BAPI-SIGN"] = "2665fcdbc808735c2f954b7c7b2d285f580eebca78f01203185d7ce471552458"
    answer = trader.rest("/v5/order/create", headers, "POST", body)
    assert answer.json["retCode"] == 0 and sim.accounts["main"].order("cn-000001").open


def test_what_was_signed_must_be_what_was_sent(bybit):
    _, trader = bybit()
    body = json.dumps({"category": "spot"} | trader.new())
    answer = trader.rest("/v5/order/create", trader.headers(body), "POST", body + " ")
    assert (answer.status, answer.json["retCode"]) == (200, 10004)
    answer = trader.rest("/v5/order/realtime?category=spot&limit=5", trader.headers("category=spot&limit=6"))
    assert answer.json["retCode"] == 10004


def test_the_window_may_be_left_out_and_is_five_seconds_then(bybit):
    _, trader = bybit()
    assert trader.call("GET", "order/realtime", window="", at_ms=trader.now_ms() - 4_900).json["retCode"] == 0
    assert trader.call("GET", "order/realtime", window="", at_ms=trader.now_ms() - 5_100).json["retCode"] == 10002


@pytest.mark.parametrize(
    ("off_ms", "window", "code"),
    [(-5000, "5000", 0), (-5001, "5000", 10002), (999, "5000", 0), (1000, "60000", 10002), (-30_000, "60000", 0)],
)
def test_a_request_counts_within_its_window_and_less_than_a_second_ahead(bybit, off_ms, window, code):
    _, trader = bybit()
    assert trader.call("GET", "order/realtime", at_ms=trader.now_ms() + off_ms, window=window).json["retCode"] == code


def test_an_unknown_or_revoked_key_is_10003_and_no_key_at_all_is_401(bybit):
    sim, trader = bybit()
    assert trader.call("GET", "order/realtime", key="Nobody").json["retCode"] == 10003
    sim.faults.key_revoked("main")
    assert trader.call("GET", "order/realtime").json["retCode"] == 10003
    assert trader.rest("/v5/order/realtime", category="spot").status == 401


def test_a_key_of_an_rsa_pair_signs_in_base64(bybit, account):
    base64 = pytest.importorskip("base64")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    private, public = new_pair("rsa")
    key = serialization.load_pem_private_key(private.encode(), None)
    _, trader = bybit(accounts=(account("main", secret=None, public_key=public),))
    trader.sign = lambda text: base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()
    assert trader.call("GET", "order/realtime").json["retCode"] == 0


# limits


def test_calls_are_counted_per_account_and_second_and_the_headers_say_how_many_are_left(bybit, hand_clock):
    _, one, two = bybit("one", "two", limits={"openOrders.status": 3})
    seen = [one.call("GET", "order/realtime") for _ in range(4)]
    assert [answer.json["retCode"] for answer in seen] == [0, 0, 0, 10006]
    assert [answer.headers["X-Bapi-Limit-Status"] for answer in seen] == ["2", "1", "0", "0"]
    assert {answer.headers["X-Bapi-Limit"] for answer in seen} == {"3"}
    assert seen[-1].status == 200 and int(seen[-1].headers["X-Bapi-Limit-Reset-Timestamp"]) == one.now_ms() + 1000
    assert int(seen[0].headers["X-Bapi-Limit-Reset-Timestamp"]) == one.now_ms()
    assert two.call("GET", "order/realtime").json["retCode"] == 0
    hand_clock.advance(1.0)
    assert one.call("GET", "order/realtime").json["retCode"] == 0


def test_the_window_of_calls_rolls(bybit, hand_clock):
    _, trader = bybit(limits={"openOrders.status": 2})
    codes = []
    for _ in range(5):
        codes.append(trader.call("GET", "order/realtime").json["retCode"])
        hand_clock.advance(0.4)
    assert codes == [0, 0, 10006, 0, 0]


@pytest.mark.parametrize(
    ("product", "orders", "queries"), [("spot", "20", "50"), ("linear", "10", "50"), ("inverse", "10", "50")]
)
def test_the_documented_figures_hold_unless_others_are_given(product, orders, queries, account, bybit):
    one = account("main")
    with Simulator(
        SimulatorSettings(dialect=f"bybit_{product}", symbols=(FIRST[product],), events_per_s=0, accounts=(one,))
    ) as sim:
        trader = type(bybit("x", product=product)[1])(sim, product)
        assert trader.call("POST", "order/create").headers["X-Bapi-Limit"] == orders
        assert trader.call("GET", "order/realtime").headers["X-Bapi-Limit"] == queries


def test_a_batch_costs_one_for_each_order_and_what_is_too_much_fails_alone(bybit):
    sim, trader = bybit(limits={"order.place.batch": 3})
    answer = trader.call("POST", "order/create-batch", request=[trader.new(orderLinkId=f"a{n}") for n in range(5)])
    assert [row["code"] for row in answer.json["retExtInfo"]["list"]] == [0, 0, 0, 10006, 10006]
    assert answer.headers["X-Bapi-Limit-Status"] == "0" and len(sim.accounts["main"].orders()) == 3
    trader.place()  # single orders have a count of their own


def test_limits_that_are_not_enforced_are_still_counted(bybit):
    sim, trader = bybit(limits={"openOrders.status": 1}, enforce_limits=False)
    assert [trader.call("GET", "order/realtime").json["retCode"] for _ in range(3)] == [0, 0, 0]
    assert [violation.kind for violation in sim.ledger.violations()] == ["calls", "calls"]


def test_too_many_requests_of_an_address_are_403_until_ten_minutes_have_passed(bybit, hand_clock):
    sim, trader = bybit(limits={"http_per_5s": 5})
    codes = [trader.rest("/v5/market/time").status for _ in range(7)]
    assert codes == [200] * 5 + [403] * 2
    answer = trader.rest("/v5/market/time")
    assert b"access too frequent" in answer.body
    hand_clock.advance(590)
    assert trader.rest("/v5/market/time").status == 403
    hand_clock.advance(11)
    assert trader.rest("/v5/market/time").status == 200
    assert {violation.kind for violation in sim.ledger.violations()} == {"weight", "banned"}


def test_a_ban_and_foreign_requests_can_be_caused(bybit):
    sim, trader = bybit(limits={"http_per_5s": 10})
    assert trader.rest("/v5/market/time").status == 200
    sim.faults.ban()
    assert trader.rest("/v5/market/time").status == 403
    sim.faults.clear()
    assert trader.rest("/v5/market/time").status == 200
    sim.faults.foreign_weight(9)
    assert trader.rest("/v5/market/time").status == 403


def test_a_limit_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no limit"):
        Simulator(SimulatorSettings(dialect="bybit_spot", limits={"nonsense": 1}))


def test_open_orders_of_spot_are_counted_in_all_and_of_contracts_per_symbol(bybit):
    _, spot = bybit(limits={"open_orders": 2})
    spot.place()
    spot.place(symbol="ETHUSDT", price="3000")
    assert spot.rejected()[0] == 170005
    _, linear = bybit(product="linear", limits={"open_orders": 1, "conditional_orders": 1})
    linear.place()
    assert linear.rejected()[0] == 110020
    linear.place(symbol="ETHUSDT", price="3000", qty="0.1")
    linear.place(triggerPrice="70000", triggerDirection=1)
    assert linear.rejected(triggerPrice="70000", triggerDirection=1)[0] == 110009


def test_bodies_that_are_not_json_are_refused(bybit):
    _, trader = bybit()
    for body in ("[]", "{", "null", '"x"'):
        answer = trader.rest("/v5/order/create", trader.headers(body), "POST", body)
        assert answer.json["retCode"] == 10001, body


def test_a_connection_is_kept_over_many_calls(bybit):
    _, trader = bybit()
    connection = http.client.HTTPConnection(trader.rest.host, timeout=10)
    try:
        for _ in range(3):
            connection.request("GET", "/v5/market/time")
            assert json.loads(connection.getresponse().read())["retCode"] == 0
    finally:
        connection.close()
