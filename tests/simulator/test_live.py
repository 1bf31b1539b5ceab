"""Live markets: everything the exchange says agrees with everything else it says, and with the ledger."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from connector.simulator import Simulator, SimulatorSettings

QUIET = {"symbols": ("BTCUSDT", "ETHBTC"), "events_per_s": 0.0}


def apply(book, event):
    for side, levels in (("b", event["b"]), ("a", event["a"])):
        for price, quantity in levels:
            if Decimal(quantity):
                book[side][Decimal(price)] = Decimal(quantity)
            else:
                book[side].pop(Decimal(price), None)


def as_levels(book):
    return sorted(book["b"].items(), reverse=True), sorted(book["a"].items())


def test_snapshot_and_changes_rebuild_the_book_exactly_at_every_event(simulator, rest, connect):
    sim = simulator(**QUIET)
    socket = connect(sim, "btcusdt@depth@100ms")
    sim.step(50)
    snapshot = rest(sim)("/api/v3/depth", symbol="BTCUSDT", limit=5000).json
    book = {"b": {}, "a": {}}
    apply(book, {"b": snapshot["bids"], "a": snapshot["asks"]})
    assert as_levels(book) == sim.ledger.book("BTCUSDT", snapshot["lastUpdateId"])
    known = snapshot["lastUpdateId"]
    for _ in range(40):
        sim.step(25)
    applied = 0
    while applied < 40:
        event = socket.receive()["data"]
        if event["u"] <= known:
            continue
        assert event["U"] == known + 1
        assert len(event["b"]) + len(event["a"]) <= event["u"] - event["U"] + 1  # only what changed is told
        apply(book, event)
        known = event["u"]
        applied += 1
        assert as_levels(book) == sim.ledger.book("BTCUSDT", known)
    assert known == sim.ledger.update_id("BTCUSDT")


def test_both_speeds_of_changes_tell_the_same_book(simulator, connect):
    sim = simulator(**QUIET)
    fast, slow = connect(sim, "btcusdt@depth@100ms"), connect(sim, "btcusdt@depth")
    start = sim.ledger.book("BTCUSDT")
    first = sim.ledger.update_id("BTCUSDT")
    for _ in range(10):
        sim.step(20)
    last = sim.ledger.update_id("BTCUSDT")
    for socket in (fast, slow):
        book, known = {"b": dict(start[0]), "a": dict(start[1])}, first
        while known < last:
            event = socket.receive()["data"]
            assert event["U"] == known + 1
            apply(book, event)
            known = event["u"]
        assert as_levels(book) == sim.ledger.book("BTCUSDT", last)


def test_every_trade_is_streamed_once_and_in_order_and_equals_the_ledger(simulator, connect):
    sim = simulator(**QUIET)
    socket = connect(sim, "btcusdt@trade")
    sim.step(2_000)
    truth = sim.ledger.trades("BTCUSDT")
    seen = [message["data"] for message in socket.collect(len(truth))]
    assert [event["t"] for event in seen] == list(truth)
    assert list(sim.ledger.stream("btcusdt@trade").ids) == list(truth)
    for event in seen:
        trade = truth[event["t"]]
        assert Decimal(event["p"]) == trade.price
        assert Decimal(event["q"]) == trade.quantity
        assert event["T"] == trade.time_us // 1000
        assert event["m"] is trade.buyer_is_maker
        assert (event["e"], event["s"], event["M"]) == ("trade", "BTCUSDT", True)


def test_aggregate_trades_are_the_trades_of_one_taker_at_one_price(simulator, rest, connect):
    sim = simulator(**QUIET)
    socket = connect(sim, "btcusdt@aggTrade")
    sim.step(2_000)
    truth = sim.ledger.trades("BTCUSDT")
    groups = defaultdict(list)
    for trade in truth.values():
        groups[trade.agg_id].append(trade)
    streamed = [message["data"] for message in socket.collect(len(groups))]
    first = streamed[0]["a"]
    answered = rest(sim)("/api/v3/aggTrades", symbol="BTCUSDT", fromId=first, limit=1000).json
    assert [row["a"] for row in answered] == [event["a"] for event in streamed][:1000]
    for event in streamed:
        trades = groups[event["a"]]
        assert (event["f"], event["l"]) == (trades[0].trade_id, trades[-1].trade_id)
        assert {trade.price for trade in trades} == {Decimal(event["p"])}
        assert sum(trade.quantity for trade in trades) == Decimal(event["q"])
    assert any(event["f"] < event["l"] for event in streamed)


def test_candles_are_the_sum_of_the_trades(simulator, rest, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock)
    for _ in range(130):
        hand_clock.advance(1.0)
        sim.step(20)
    start = sim.exchange.markets["BTCUSDT"].candles.started_ms
    minute = (start // 60_000 + 1) * 60_000
    candle = next(row for row in rest(sim)("/api/v3/klines", symbol="BTCUSDT", interval="1m").json if row[0] == minute)
    trades = [t for t in sim.ledger.trades("BTCUSDT").values() if minute <= t.time_us // 1000 < minute + 60_000]
    assert len(trades) > 100
    assert Decimal(candle[1]) == trades[0].price
    assert Decimal(candle[2]) == max(trade.price for trade in trades)
    assert Decimal(candle[3]) == min(trade.price for trade in trades)
    assert Decimal(candle[4]) == trades[-1].price
    assert Decimal(candle[5]) == sum(trade.quantity for trade in trades)
    assert abs(Decimal(candle[7]) - sum(trade.quantity * trade.price for trade in trades)) < Decimal("1e-8")
    assert candle[6] == minute + 59_999
    assert candle[8] == len(trades)
    assert Decimal(candle[9]) == sum(trade.quantity for trade in trades if not trade.buyer_is_maker)


def test_a_closed_candle_is_announced_once_and_equals_the_answer_by_request(simulator, rest, connect, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock)
    socket = connect(sim, "btcusdt@kline_1s", "btcusdt@kline_1m", "btcusdt@kline_1m@+08:00")
    for _ in range(70):
        hand_clock.advance(1.0)
        sim.step(10)
    closed = defaultdict(list)
    count = sum(sim.ledger.stream(f"btcusdt@kline_{name}").published for name in ("1s", "1m", "1m@+08:00"))
    for message in socket.collect(count):
        candle = message["data"]["k"]
        if candle["x"]:
            closed[message["stream"]].append(candle)
    seconds = [candle["t"] for candle in closed["btcusdt@kline_1s"]]
    assert all(later - earlier == 1000 for earlier, later in pairwise(seconds))
    assert len(seconds) >= 69
    assert len(closed["btcusdt@kline_1m"]) in (1, 2)
    for stream, interval in (("btcusdt@kline_1s", "1s"), ("btcusdt@kline_1m", "1m")):
        for candle in closed[stream]:
            (row,) = rest(sim)(
                "/api/v3/klines", symbol="BTCUSDT", interval=interval, startTime=candle["t"], limit=1
            ).json
            assert row == [candle[name] for name in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]


@pytest.mark.parametrize(
    ("short", "long", "factor"), [("1s", "1m", 60), ("1m", "1h", 60), ("1h", "1d", 24), ("1d", "1w", 7)]
)
def test_long_candles_are_sums_of_short_ones_back_into_the_past(simulator, rest, short, long, factor):
    sim = simulator(**QUIET)
    get = rest(sim)
    row = get("/api/v3/klines", symbol="BTCUSDT", interval=long, limit=6).json[1]
    parts = get("/api/v3/klines", symbol="BTCUSDT", interval=short, startTime=row[0], endTime=row[6]).json
    assert len(parts) == factor
    assert row[1] == parts[0][1]
    assert row[4] == parts[-1][4]
    assert Decimal(row[2]) == max(Decimal(part[2]) for part in parts)
    assert Decimal(row[3]) == min(Decimal(part[3]) for part in parts)
    assert Decimal(row[5]) == sum(Decimal(part[5]) for part in parts)
    assert row[8] == sum(part[8] for part in parts)


def test_every_interval_up_to_a_day_has_two_thousand_closed_candles_to_page_through(simulator, rest):
    sim = simulator(symbols=("BTCUSDT",), events_per_s=0.0)
    get = rest(sim)
    for interval in ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"):
        newest = get("/api/v3/klines", symbol="BTCUSDT", interval=interval, limit=1).json[0]
        length = newest[6] + 1 - newest[0]
        since, starts = newest[0] - 2_000 * length, []
        while since <= newest[0]:
            span = {"startTime": since, "endTime": newest[0], "limit": 1000}
            page = get("/api/v3/klines", symbol="BTCUSDT", interval=interval, **span).json
            starts += [row[0] for row in page]
            since = starts[-1] + length
        assert starts == list(range(newest[0] - 2_000 * length, newest[0] + length, length)), interval


def test_weeks_open_on_monday_and_months_on_the_first(simulator, rest):
    get = rest(simulator(symbols=("BTCUSDT",), events_per_s=0.0))
    weeks = [
        datetime.fromtimestamp(row[0] / 1000, UTC)
        for row in get("/api/v3/klines", symbol="BTCUSDT", interval="1w").json
    ]
    months = [
        datetime.fromtimestamp(row[0] / 1000, UTC)
        for row in get("/api/v3/klines", symbol="BTCUSDT", interval="1M").json
    ]
    assert len(weeks) > 250
    assert {(day.weekday(), day.hour) for day in weeks} == {(0, 0)}
    assert len(months) > 60
    assert {(day.day, day.hour) for day in months} == {(1, 0)}


def test_days_of_another_time_zone_open_at_its_midnight(simulator, rest):
    get = rest(simulator(symbols=("BTCUSDT",), events_per_s=0.0))
    for zone, hours in (("8", 8), ("-05:30", -5.5), ("+14:00", 14)):
        rows = get("/api/v3/klines", symbol="BTCUSDT", interval="1d", timeZone=zone, limit=10).json
        assert {(row[0] + int(hours * 3_600_000)) % 86_400_000 for row in rows} == {0}


def test_trades_page_by_id_from_the_past_into_the_present_without_a_hole(simulator, rest):
    sim = simulator(**QUIET)
    sim.step(3_000)
    get = rest(sim)
    live = list(sim.ledger.trades("BTCUSDT"))
    next_id, ids = live[0] - 1_500, []
    while True:
        page = get("/api/v3/historicalTrades", symbol="BTCUSDT", fromId=next_id, limit=1000).json
        ids += [row["id"] for row in page]
        if len(page) < 1000:
            break
        next_id = ids[-1] + 1
    assert ids == list(range(live[0] - 1_500, live[-1] + 1))
    newest = get("/api/v3/trades", symbol="BTCUSDT", limit=10).json
    assert [row["id"] for row in newest] == live[-10:]


def test_aggregate_trades_of_a_time_span_lie_in_it(simulator, rest, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock)
    for _ in range(20):
        hand_clock.advance(0.5)
        sim.step(100)
    trades = sorted(sim.ledger.trades("BTCUSDT").values(), key=lambda trade: trade.trade_id)
    since, until = trades[100].time_us // 1000, trades[250].time_us // 1000
    rows = rest(sim)("/api/v3/aggTrades", symbol="BTCUSDT", startTime=since, endTime=until, limit=1000).json
    wanted = {trade.agg_id for trade in trades if since <= trade.time_us // 1000 <= until}
    assert {row["a"] for row in rows} == wanted


def test_tickers_agree_with_trades_book_and_candles(simulator, rest, connect):
    sim = simulator(**QUIET)
    sim.step(1_000)
    get = rest(sim)
    last = list(sim.ledger.trades("BTCUSDT").values())[-1]
    bids, asks = sim.ledger.book("BTCUSDT")
    ticker = get("/api/v3/ticker/24hr", symbol="BTCUSDT").json
    assert (
        Decimal(ticker["lastPrice"])
        == last.price
        == Decimal(get("/api/v3/ticker/price", symbol="BTCUSDT").json["price"])
    )
    assert Decimal(ticker["lastQty"]) == last.quantity
    assert ticker["lastId"] == last.trade_id
    best = get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json
    assert (Decimal(best["bidPrice"]), Decimal(best["bidQty"])) == bids[0]
    assert (Decimal(best["askPrice"]), Decimal(best["askQty"])) == asks[0]
    assert ticker["bidPrice"] == best["bidPrice"]
    minutes = []
    since = ticker["openTime"]
    while len(minutes) < 1_440:
        minutes += get("/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=since, limit=1000).json
        since = minutes[-1][0] + 60_000
    assert Decimal(ticker["volume"]) == sum(Decimal(row[5]) for row in minutes)
    assert ticker["count"] == sum(row[8] for row in minutes) == ticker["lastId"] - ticker["firstId"] + 1
    assert Decimal(ticker["highPrice"]) == max(Decimal(row[2]) for row in minutes)
    assert ticker["openPrice"] == minutes[0][1]

    socket = connect(
        sim, "btcusdt@ticker", "btcusdt@miniTicker", "btcusdt@bookTicker", "btcusdt@depth5", "!miniTicker@arr"
    )
    sim.step(200)
    seen = {}
    while len(seen) < 5:
        message = socket.receive()
        seen[message["stream"]] = message["data"]
    last = list(sim.ledger.trades("BTCUSDT").values())[-1]
    assert Decimal(seen["btcusdt@ticker"]["c"]) == last.price
    assert seen["btcusdt@ticker"]["L"] == last.trade_id
    assert seen["btcusdt@miniTicker"]["c"] == seen["btcusdt@ticker"]["c"]
    assert {row["s"] for row in seen["!miniTicker@arr"]} == {"BTCUSDT", "ETHBTC"}
    partial = seen["btcusdt@depth5"]
    bids, asks = sim.ledger.book("BTCUSDT", partial["lastUpdateId"])
    assert [(Decimal(p), Decimal(q)) for p, q in partial["bids"]] == bids[:5]
    assert [(Decimal(p), Decimal(q)) for p, q in partial["asks"]] == asks[:5]


def test_best_prices_are_told_at_each_change_and_are_those_of_the_book(simulator, connect):
    sim = simulator(**QUIET)
    socket = connect(sim, "btcusdt@bookTicker")
    sim.step(500)
    count = sim.ledger.stream("btcusdt@bookTicker").published
    assert count > 20
    previous, best = 0, ()
    for message in socket.collect(count):
        event = message["data"]
        assert best != (best := (event["b"], event["B"], event["a"], event["A"]))
        bids, asks = sim.ledger.book("BTCUSDT", event["u"])
        assert event.keys() == {"u", "s", "b", "B", "a", "A"}
        assert event["u"] > previous
        assert (Decimal(event["b"]), Decimal(event["B"])) == bids[0]
        assert (Decimal(event["a"]), Decimal(event["A"])) == asks[0]
        previous = event["u"]


def test_the_same_seed_makes_the_same_market_and_another_seed_another(hand_clock):
    def run(seed):
        with Simulator(SimulatorSettings(seed=seed, clock=hand_clock, **QUIET)) as sim:
            sim.step(1_000)
            return sim.ledger.trades("BTCUSDT"), sim.ledger.digest("BTCUSDT"), sim.ledger.digest("ETHBTC")

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_microseconds_are_given_to_whoever_asks(simulator, rest, connect):
    sim = simulator(**QUIET)
    micros = connect(sim, path="/stream?streams=btcusdt@trade&timeUnit=MICROSECOND")
    millis = connect(sim, "btcusdt@trade")
    sim.step(200)
    first, second = micros.receive()["data"], millis.receive()["data"]
    assert first["T"] // 1000 == second["T"]
    assert first["T"] == sim.ledger.trades("BTCUSDT")[first["t"]].time_us
    get = rest(sim)
    assert get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"}).json["serverTime"] > 10**15
    row = get(
        "/api/v3/klines", headers={"X-MBX-TIME-UNIT": "microsecond"}, symbol="BTCUSDT", interval="1m", limit=1
    ).json[0]
    assert row[6] - row[0] == 59_999_999
    assert get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "NANOSECOND"}).json["code"] == -1194


def test_payloads_have_the_documented_fields(simulator, connect, hand_clock):
    sim = simulator(**QUIET, clock=hand_clock)
    kinds = (
        "trade",
        "aggTrade",
        "kline_1m",
        "miniTicker",
        "ticker",
        "bookTicker",
        "depth5",
        "depth10@100ms",
        "depth20",
    )
    kinds += ("depth@100ms", "depth", "avgPrice", "ticker_1h", "ticker_1d")
    socket = connect(sim, *(f"btcusdt@{kind}" for kind in kinds))
    seen = {}
    hand_clock.advance(2.0)
    sim.step(300)
    while len(seen) < len(kinds):
        message = socket.receive()
        seen[message["stream"].removeprefix("btcusdt@")] = message["data"]
    window = "e E s p P w o h l c v q O C F L n"
    expected = {
        "trade": "e E s t p q T m M",
        "aggTrade": "e E s a p q f l T m M",
        "kline_1m": "e E s k",
        "miniTicker": "e E s c o h l v q",
        "ticker": window + " x Q b B a A",
        "bookTicker": "u s b B a A",
        "depth5": "lastUpdateId bids asks",
        "depth10@100ms": "lastUpdateId bids asks",
        "depth20": "lastUpdateId bids asks",
        "depth@100ms": "e E s U u b a",
        "depth": "e E s U u b a",
        "avgPrice": "e E s i w T",
        "ticker_1h": window,
        "ticker_1d": window,
    }
    assert {kind: set(payload) for kind, payload in seen.items()} == {k: set(v.split()) for k, v in expected.items()}
    assert set(seen["kline_1m"]["k"]) == set("tTsifLochlvnxqVQB")
    assert len(seen["depth10@100ms"]["bids"]) == 10
    assert seen["ticker_1h"]["e"] == "1hTicker"


def test_a_halted_symbol_is_still_answered_but_no_longer_trades(simulator, rest):
    sim = simulator(**QUIET)
    sim.faults.symbol_status("BTCUSDT", "HALT")
    before = sim.ledger.update_id("BTCUSDT"), sim.ledger.update_id("ETHBTC")
    assert sim.step(200) == 200
    assert sim.ledger.update_id("BTCUSDT") == before[0]
    assert sim.ledger.update_id("ETHBTC") > before[1]
    info = rest(sim)("/api/v3/exchangeInfo", symbol="BTCUSDT").json
    assert info["symbols"][0]["status"] == "HALT"


def test_a_forgotten_book_is_refused_and_not_guessed(simulator):
    sim = simulator(**QUIET)
    sim.step(10)
    with pytest.raises(LookupError, match="no book at update"):
        sim.ledger.book("BTCUSDT", sim.ledger.update_id("BTCUSDT") + 1)
    with pytest.raises(LookupError, match="not listed"):
        sim.ledger.book("NOSUCH")


def test_the_free_running_flow_keeps_its_rate_and_stops_when_paused(simulator, eventually):
    sim = simulator(symbols=("BTCUSDT",), events_per_s=2_000.0)
    eventually(lambda: sim.ledger.trades("BTCUSDT"))
    sim.pause()
    held = sim.ledger.update_id("BTCUSDT")
    assert sim.step(1) == 1
    assert 0 <= sim.ledger.update_id("BTCUSDT") - held < 30
    sim.resume()
    eventually(lambda: sim.ledger.update_id("BTCUSDT") > held + 100)
    assert "running" in repr(sim)
