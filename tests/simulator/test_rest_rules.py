"""The venue's rules for requests: what they cost, what is wrong with them, and when they are refused."""

from decimal import Decimal

import pytest

from connector.simulator import Simulator, SimulatorSettings
from connector.simulator.dialects.binance_spot.rest import ENDPOINTS, split_query

QUIET = {"symbols": ("BTCUSDT", "ETHUSDT", "ETHBTC"), "events_per_s": 0.0}


@pytest.fixture(scope="module")
def quiet():
    with Simulator(SimulatorSettings(**QUIET, enforce_limits=False)) as sim:
        yield sim


WEIGHTS = [
    ("ping", "", 1),
    ("time", "", 1),
    ("exchangeInfo", "", 20),
    ("depth", "symbol=BTCUSDT", 5),
    ("depth", "symbol=BTCUSDT&limit=100", 5),
    ("depth", "symbol=BTCUSDT&limit=101", 25),
    ("depth", "symbol=BTCUSDT&limit=500", 25),
    ("depth", "symbol=BTCUSDT&limit=1000", 50),
    ("depth", "symbol=BTCUSDT&limit=1001", 250),
    ("depth", "symbol=BTCUSDT&limit=9999", 250),
    ("trades", "symbol=BTCUSDT", 25),
    ("historicalTrades", "symbol=BTCUSDT", 25),
    ("aggTrades", "symbol=BTCUSDT", 4),
    ("klines", "symbol=BTCUSDT&interval=1m", 2),
    ("uiKlines", "symbol=BTCUSDT&interval=1m", 2),
    ("avgPrice", "symbol=BTCUSDT", 2),
    ("ticker/24hr", "symbol=BTCUSDT", 2),
    ("ticker/24hr", "", 80),
    ("ticker/24hr", 'symbols=["BTCUSDT","ETHBTC"]', 2),
    ("ticker/tradingDay", "symbol=BTCUSDT", 4),
    ("ticker/tradingDay", 'symbols=["BTCUSDT","ETHBTC"]', 8),
    ("ticker", 'symbols=["BTCUSDT","ETHBTC","ETHUSDT"]', 12),
    ("ticker/price", "symbol=BTCUSDT", 2),
    ("ticker/price", "", 4),
    ("ticker/bookTicker", "", 4),
    ("ticker/bookTicker", "symbol=BTCUSDT", 2),
]


@pytest.mark.parametrize(("path", "query", "weight"), WEIGHTS)
def test_a_call_costs_its_documented_weight_and_says_so_in_its_headers(quiet, rest, path, query, weight):
    get = rest(quiet)
    params, _ = split_query(query)
    before = int(get("/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"])
    answer = get(f"/api/v3/{path}", **params)
    assert answer.status == 200, answer.body
    used = int(answer.headers["X-MBX-USED-WEIGHT-1M"])
    assert used == answer_weight(before, weight, used)
    assert answer.headers["X-MBX-USED-WEIGHT"] == answer.headers["X-MBX-USED-WEIGHT-1M"]
    assert quiet.ledger.requests()[-1].weight == weight


def answer_weight(before, weight, used):
    """What the header must say, whether or not the minute ended between two calls."""
    return before + weight if used >= weight + before else weight


def test_many_symbols_in_one_day_ticker_cost_more():
    weight = ENDPOINTS["/api/v3/ticker/24hr"].weight
    for count, expected in ((20, 2), (21, 40), (100, 40), (101, 80)):
        names = ",".join(f'"S{n}"' for n in range(count))
        assert weight({"symbols": f"[{names}]"}) == expected
    assert ENDPOINTS["/api/v3/ticker"].weight({"symbols": ",".join('"X"' for _ in range(80))}) == 200


WRONG = [
    ("depth", {}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ("depth", {"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
    ("depth", {"symbol": "btcusdt"}, -1100, "Illegal characters found in parameter 'symbol'; legal range is"),
    ("depth", {"symbol": "BTC USDT"}, -1100, "Illegal characters"),
    ("depth", {"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
    ("depth", {"symbol": "BTCUSDT", "limit": "many"}, -1100, "Illegal characters found in parameter 'limit'"),
    ("depth", {"symbol": "BTCUSDT", "limit": "-5"}, -1100, "legal range is '^[0-9]{1,20}$'"),
    ("depth", {"symbol": "BTCUSDT", "limit": "0"}, -1130, "Data sent for parameter 'limit' is not valid."),
    ("depth", {"symbol": "BTCUSDT", "limit": "99999999999999999999"}, -1130, "'limit'"),
    ("depth", {"symbol": "BTCUSDT", "symbolStatus": "HALT"}, -1220, "status"),
    ("depth", {"symbol": "BTCUSDT", "symbolStatus": "ASLEEP"}, -1122, "Invalid symbolStatus."),
    ("depth", {"symbol": "BTCUSDT", "colour": "red"}, -1104, "read '1' parameter(s) but was sent '2'."),
    ("ping", {"x": "1"}, -1101, "Too many parameters; expected '0' and received '1'."),
    ("klines", {"symbol": "BTCUSDT"}, -1102, "Mandatory parameter 'interval'"),
    ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120, "Invalid interval."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1D"}, -1120, "Invalid interval."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1m", "timeZone": "15"}, -1130, "timeZone"),
    ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "now"}, -1100, "startTime"),
    (
        "aggTrades",
        {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"},
        -1128,
        "Combination of optional parameters invalid.",
    ),
    ("exchangeInfo", {"symbol": "BTCUSDT", "symbols": '["ETHBTC"]'}, -1128, "Combination"),
    ("exchangeInfo", {"symbol": "BTCUSDT", "permissions": "SPOT"}, -1128, "Combination"),
    ("exchangeInfo", {"symbol": "BTCUSDT", "symbolStatus": "TRADING"}, -1128, "Combination"),
    ("exchangeInfo", {"symbols": "BTCUSDT"}, -1100, "'symbols'"),
    ("exchangeInfo", {"symbols": '["BTCUSDT", "ETHBTC"]'}, -1100, "'symbols'"),
    ("exchangeInfo", {"symbols": '["BTCUSDT","NOSUCH"]'}, -1121, "Invalid symbol."),
    ("ticker/price", {"symbols": '["BTCUSDT","BTCUSDT"]'}, -1151, "multiple times"),
    ("ticker", {}, -1102, "Mandatory parameter 'symbol'"),
    ("ticker", {"symbol": "BTCUSDT", "windowSize": "60m"}, -1130, "windowSize"),
    ("ticker/24hr", {"symbol": "BTCUSDT", "type": "HUGE"}, -1139, "Invalid ticker type."),
]


@pytest.mark.parametrize(("path", "params", "code", "text"), WRONG)
def test_a_wrong_request_is_answered_with_the_venues_code_and_words(quiet, rest, path, params, code, text):
    answer = rest(quiet)(f"/api/v3/{path}", **params)
    assert answer.status == 400
    assert answer.json.keys() == {"code", "msg"}
    assert answer.json["code"] == code
    assert text in answer.json["msg"]


def test_a_parameter_sent_twice_is_refused(quiet, rest):
    answer = rest(quiet)("/api/v3/depth?symbol=BTCUSDT&symbol=ETHBTC")
    assert answer.json == {"code": -1101, "msg": "Duplicate values for parameter 'symbol'."}


def test_limits_beyond_the_maximum_are_cut_to_it(quiet, rest):
    get = rest(quiet)
    assert len(get("/api/v3/trades", symbol="BTCUSDT", limit=5_000).json) == 1_000
    assert len(get("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=5_000).json) == 1_000
    assert len(get("/api/v3/klines", symbol="BTCUSDT", interval="1m").json) == 500


def test_unknown_paths_and_methods_are_not_found(quiet, rest):
    get = rest(quiet)
    assert get("/api/v3/nosuch").status == 404
    assert get("/api/v1/depth", symbol="BTCUSDT").status == 404
    assert get("/api/v3/ping", method="POST").status == 404
    assert get("/api/v3/nosuch").json["status"] == 404


def test_exchange_info_is_narrowed_by_symbol_status_and_permission(quiet, rest):
    get = rest(quiet)

    def names(**params):
        return [row["symbol"] for row in get("/api/v3/exchangeInfo", **params).json["symbols"]]

    assert names() == ["BTCUSDT", "ETHUSDT", "ETHBTC"]
    assert names(symbols='["ETHBTC","BTCUSDT"]') == ["ETHBTC", "BTCUSDT"]
    assert names(symbolStatus="HALT") == []
    assert names(permissions="MARGIN") == []
    assert names(permissions='["MARGIN","SPOT"]') == names()
    with_sets = get("/api/v3/exchangeInfo", symbol="BTCUSDT").json["symbols"][0]
    without = get("/api/v3/exchangeInfo", symbol="BTCUSDT", showPermissionSets="false").json["symbols"][0]
    assert with_sets["permissionSets"] == [["SPOT"]]
    assert "permissionSets" not in without
    assert with_sets["permissions"] == []


def test_prices_and_quantities_keep_to_the_filters(quiet, rest):
    quiet.step(300)
    get = rest(quiet)
    for row in get("/api/v3/exchangeInfo").json["symbols"]:
        filters = {entry["filterType"]: entry for entry in row["filters"]}
        tick, step = Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])
        book = get("/api/v3/depth", symbol=row["symbol"]).json
        for price, quantity in book["bids"] + book["asks"]:
            assert Decimal(price) % tick == 0
            assert Decimal(quantity) % step == 0


def test_short_tickers_and_windows(quiet, rest):
    get = rest(quiet)
    short = get("/api/v3/ticker/24hr", symbol="BTCUSDT", type="MINI").json
    expected = (
        "symbol openPrice highPrice lowPrice lastPrice volume quoteVolume openTime closeTime firstId lastId count"
    )
    assert sorted(short) == sorted(expected.split())
    hour = get("/api/v3/ticker", symbol="BTCUSDT", windowSize="1h").json
    day = get("/api/v3/ticker", symbol="BTCUSDT", windowSize="7d").json
    assert 3_600_000 <= hour["closeTime"] - hour["openTime"] <= 3_600_000 + 59_999
    assert day["count"] > hour["count"] > 0
    assert "bidPrice" not in hour
    today = get("/api/v3/ticker/tradingDay", symbols='["BTCUSDT"]').json[0]
    assert today["openTime"] % 86_400_000 == 0
    assert today["closeTime"] == today["openTime"] + 86_399_999


def test_an_overdrawn_address_gets_429_with_retry_after_then_418(simulator, rest, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock, request_weight_per_minute=100, ignored_429s=3)
    get = rest(sim)
    for _ in range(4):
        assert get("/api/v3/trades", symbol="BTCUSDT").status == 200
    refused = get("/api/v3/ping")
    assert refused.status == 429
    assert refused.json["code"] == -1003
    assert "current limit is 100 request weight per 1 MINUTE" in refused.json["msg"]
    assert int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-MBX-USED-WEIGHT-1M"] == "101"
    statuses = [get("/api/v3/ping").status for _ in range(3)]
    assert statuses == [429, 429, 418]
    banned = get("/api/v3/ping")
    assert "IP banned until" in banned.json["msg"]
    assert int(banned.headers["Retry-After"]) > 100
    kinds = [violation.kind for violation in sim.ledger.violations()]
    assert kinds == ["weight", "weight", "weight", "banned", "banned"]
    hand_clock.advance(200.0)
    assert get("/api/v3/ping").status == 200


def test_the_next_minute_of_the_clock_forgives(simulator, rest, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock, request_weight_per_minute=20)
    get = rest(sim)
    assert get("/api/v3/exchangeInfo").status == 200
    assert get("/api/v3/ping").status == 429
    hand_clock.advance(60.0)
    answer = get("/api/v3/ping")
    assert answer.status == 200
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_another_programs_weight_shows_in_our_headers(simulator, rest):
    sim = simulator(**QUIET)
    get = rest(sim)
    get("/api/v3/ping")
    sim.faults.foreign_weight(3_000)
    assert int(get("/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"]) >= 3_001


def test_raw_requests_are_limited_too(simulator, rest):
    sim = simulator(**QUIET, raw_requests_per_5min=3)
    get = rest(sim)
    statuses = [get("/api/v3/nosuch").status for _ in range(4)]
    assert statuses == [404, 404, 404, 429]
    assert sim.ledger.violations()[-1].kind == "raw"
