"""Names, groups, frames, routing and readers of the futures' market streams, on samples in the form of the documents."""

from __future__ import annotations

import json

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, MS, D, table_of
from spoiling import reads

from connector.domain import AggTrade, BookDelta, BookTicker, Candle, OrderBook, Side, Symbol, Ticker, Topic, TopicKind
from connector.domain.market import Liquidation, MarkPrice
from connector.drivers.binance import COINM, USDM
from connector.drivers.contract import Ack, Environment, Noise, Refusal
from connector.errors import InvalidRequest, RateLimited, Unsupported, VenueRejected, WireFormatError

ETH, INV = ETH_LINEAR, BTC_INVERSE
AT = 1_762_000_000_500_000_000

AGG = Topic(TopicKind.AGG_TRADES, ETH)
CANDLES = Topic(TopicKind.CANDLES, ETH, interval="1m")
TICKER = Topic(TopicKind.TICKER, ETH)
BEST = Topic(TopicKind.BOOK_TICKER, ETH)
FIVE = Topic(TopicKind.PARTIAL_BOOK, ETH, depth=5)
BOOK = Topic(TopicKind.BOOK, ETH)
MARK = Topic(TopicKind.MARK_PRICE, ETH)
FORCED = Topic(TopicKind.LIQUIDATIONS, ETH)

FRAMES = {
    AGG: b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1762000000123,"s":"ETHUSDT","a":77001,"p":"3150.25",'
    b'"q":"1.100","nq":"1.000","f":900001,"l":900003,"T":1762000000100,"m":true,"st":1}}',
    CANDLES: b'{"stream":"ethusdt@kline_1m","data":{"e":"kline","E":1762000002003,"s":"ETHUSDT","k":{"t":1761999960000,'
    b'"T":1762000019999,"s":"ETHUSDT","i":"1m","f":899500,"L":900003,"o":"3149.00","c":"3150.25","h":"3151.00",'
    b'"l":"3148.50","v":"152.400","n":504,"x":false,"q":"480012.10000","V":"80.100","Q":"252301.00000","B":"0"}}}',
    TICKER: b'{"stream":"ethusdt@ticker","data":{"e":"24hrTicker","E":1762000001000,"s":"ETHUSDT","p":"50.25",'
    b'"P":"1.621","w":"3120.10","c":"3150.25","Q":"0.400","o":"3100.00","h":"3180.00","l":"3080.00","v":"91234.500",'
    b'"q":"284661234.10","O":1761913560000,"C":1762000000998,"F":700000,"L":900003,"n":200004,"ps":"ETHUSDT","st":1}}',
    BEST: b'{"stream":"ethusdt@bookTicker","data":{"e":"bookTicker","u":5000123,"s":"ETHUSDT","ps":"ETHUSDT",'
    b'"b":"3150.24","B":"2.000","a":"3150.25","A":"1.500","T":1762000000120,"E":1762000000121,"st":1}}',
    FIVE: b'{"stream":"ethusdt@depth5@100ms","data":{"e":"depthUpdate","E":1762000000200,"T":1762000000198,"s":"ETHUSDT",'
    b'"ps":"ETHUSDT","U":5000119,"u":5000123,"pu":5000117,"b":[["3150.24","2.000"]],"a":[["3150.25","1.500"]],"st":1}}',
    BOOK: b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1762000000300,"T":1762000000298,"s":"ETHUSDT",'
    b'"ps":"ETHUSDT","U":5000125,"u":5000140,"pu":5000123,"b":[["3150.24","0.000"]],"a":[["3150.30","4.100"]],"st":1}}',
    MARK: b'{"stream":"ethusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1762000001000,"s":"ETHUSDT",'
    b'"p":"3150.20000000","ap":"3150.21000000","P":"3149.90000000","i":"3150.50000000","r":"0.00010000",'
    b'"T":1762012800000,"st":1}}',
    FORCED: b'{"stream":"ethusdt@forceOrder","data":{"e":"forceOrder","E":1762000000400,"o":{"s":"ETHUSDT","S":"SELL",'
    b'"o":"LIMIT","f":"IOC","q":"3.000","p":"3100.00","ap":"3120.50","X":"FILLED","l":"3.000","z":"3.000",'
    b'"T":1762000000399},"ps":"ETHUSDT","st":1}}',
}
V = "binance-usdm"
EVENTS = {
    AGG: AggTrade(V, ETH, 1762000000100 * MS, AT, 77001, D("3150.25"), D("1.1"), Side.SELL, 900001, 900003),
    CANDLES: Candle(
        V,
        ETH,
        1762000002003 * MS,
        AT,
        "1m",
        1761999960000 * MS,
        1762000019999 * MS,
        open=D(3149),
        high=D(3151),
        low=D("3148.5"),
        close=D("3150.25"),
        volume=D("152.4"),
        closed=False,
        quote_volume=D("480012.1"),
        trade_count=504,
        taker_buy_volume=D("80.1"),
        taker_buy_quote_volume=D(252301),
    ),
    TICKER: Ticker(
        V,
        ETH,
        1762000001000 * MS,
        AT,
        last=D("3150.25"),
        bid=None,
        bid_quantity=None,
        ask=None,
        ask_quantity=None,
        open=D(3100),
        high=D(3180),
        low=D(3080),
        volume=D("91234.5"),
        quote_volume=D("284661234.1"),
        last_quantity=D("0.4"),
        weighted_average=D("3120.1"),
        price_change=D("50.25"),
        price_change_percent=D("1.621"),
        trade_count=200004,
        open_time_ns=1761913560000 * MS,
        close_time_ns=1762000000998 * MS,
    ),
    BEST: BookTicker(V, ETH, 1762000000121 * MS, AT, D("3150.24"), D(2), D("3150.25"), D("1.5"), 5000123),
    FIVE: OrderBook(V, ETH, 1762000000200 * MS, AT, 5000123, ((D("3150.24"), D(2)),), ((D("3150.25"), D("1.5")),)),
    BOOK: BookDelta(
        V,
        ETH,
        1762000000300 * MS,
        AT,
        5000125,
        5000140,
        ((D("3150.24"), D(0)),),
        ((D("3150.30"), D("4.1")),),
        5000123,
    ),
    MARK: MarkPrice(V, ETH, 1762000001000 * MS, AT, D("3150.2"), D("3150.5"), D("0.0001"), 1762012800000 * MS),
    FORCED: Liquidation(V, ETH, 1762000000399 * MS, AT, Side.SELL, D("3120.5"), D(3)),
}


def reader(driver, topic):
    return reads(driver.streams.reader(topic, table_of(driver.name)[topic.symbol]))


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_sample_frame_is_routed_by_its_name_and_read(topic):
    frame = FRAMES[topic]
    assert USDM.streams.route(frame) == USDM.streams.name(topic).encode()
    assert reader(USDM, topic)(frame, AT) == EVENTS[topic]


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_every_offered_stream_has_a_reader_and_is_declared(driver):
    offered = {kind.value for kind in TopicKind} - {"trades"}
    assert {item.name for item in driver.capabilities if item.area == "stream"} == offered
    assert {topic.kind.value for topic in FRAMES} == offered


# ---------------------------------------------------------------- COIN-M


def inverse(topic, **changes):
    return Topic(topic.kind, INV, topic.interval, topic.depth)


def test_the_coin_m_sample_becomes_base_units_with_contracts_beside():
    frame = (
        b'{"stream":"btcusd_perp@aggTrade","data":{"e":"aggTrade","E":1762000000123,"a":55001,"s":"BTCUSD_PERP",'
        b'"p":"100000.0","q":"12","f":600001,"l":600002,"T":1762000000100,"m":false,"st":2}}'
    )
    event = reader(COINM, inverse(AGG))(frame, AT)
    assert event == AggTrade(
        "binance-coinm",
        INV,
        1762000000100 * MS,
        AT,
        55001,
        D("100000.0"),
        D("0.012"),
        Side.BUY,
        600001,
        600002,
        contracts=D(12),
    )


def of_coinm(topic, **changes):
    whole = json.loads(FRAMES[topic])
    data = whole["data"] | changes
    for part in (data, data.get("k"), data.get("o")):
        if isinstance(part, dict):
            part["s"] = "BTCUSD_PERP"
    return json.dumps({"stream": COINM.streams.name(inverse(topic)), "data": data}).encode()


def read_coinm(topic, **changes):
    return reader(COINM, inverse(topic))(of_coinm(topic, **changes), AT)


def test_coin_m_books_are_written_in_base_units():
    delta = read_coinm(BOOK, b=[["50000", "0"], ["40000", "3"]], a=[["80000", "4"]])
    assert delta.bids == ((D(50000), D(0)), (D(40000), D("0.0075")))
    assert delta.asks == ((D(80000), D("0.005")),) and delta.previous_update_id == 5000123

    top = read_coinm(FIVE, b=[["40000", "3"]], a=[["80000", "4"]])
    assert (top.best_bid, top.best_ask) == ((D(40000), D("0.0075")), (D(80000), D("0.005")))

    best = read_coinm(BEST, b="40000", B="3", a="80000", A="4")
    assert (best.bid_quantity, best.ask_quantity) == (D("0.0075"), D("0.005"))


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        (AGG, {"p": "80000.0", "q": "1e-24"}),
        (BOOK, {"b": [["80000", "1e-24"]]}),
        (FIVE, {"b": [["80000", "1e-24"]], "a": [["80001", "4"]]}),
        (BEST, {"b": "80000", "B": "1e-24", "a": "80001", "A": "4"}),
    ],
)
def test_contracts_of_which_nothing_is_left_in_base_units_are_refused_and_never_told_as_none(topic, changes):
    """As a level of a book, nothing would mean that the level is gone."""
    with pytest.raises(WireFormatError, match="come to nothing"):
        read_coinm(topic, **changes)


def test_coin_m_statistics_tell_base_units_and_make_quote_units_of_contracts():
    ticker = read_coinm(TICKER, v="20", q="0.025", Q="4", c="80000")
    assert (ticker.volume, ticker.quote_volume, ticker.last_quantity) == (D("0.025"), D(2000), D("0.005"))
    k = json.loads(FRAMES[CANDLES])["data"]["k"] | {"v": "20", "q": "0.025", "V": "8", "Q": "0.01"}
    candle = read_coinm(CANDLES, k=k)
    assert (candle.volume, candle.quote_volume) == (D("0.025"), D(2000))
    assert (candle.taker_buy_volume, candle.taker_buy_quote_volume) == (D("0.01"), D(800))


def test_coin_m_liquidations_keep_their_contracts():
    order = json.loads(FRAMES[FORCED])["data"]["o"] | {"ap": "80000", "z": "4"}
    event = read_coinm(FORCED, o=order)
    assert (event.quantity, event.contracts) == (D("0.005"), D(4))


def test_dated_contracts_have_a_mark_price_and_no_funding():
    event = read_coinm(MARK, r="", T=0)
    assert (event.funding_rate, event.next_funding_ns) == (None, None)
    assert read_coinm(MARK, r="0.00000000", T=0).funding_rate is None
    assert read_coinm(MARK, r="-0.0025").funding_rate == D("-0.0025")


# ---------------------------------------------------------------- names, groups, addresses


@pytest.mark.parametrize(
    ("topic", "name", "group"),
    [
        (AGG, "ethusdt@aggTrade", "market"),
        (CANDLES, "ethusdt@kline_1m", "market"),
        (TICKER, "ethusdt@ticker", "market"),
        (BEST, "ethusdt@bookTicker", "public"),
        (FIVE, "ethusdt@depth5@100ms", "public"),
        (Topic(TopicKind.PARTIAL_BOOK, ETH, depth=20, speed_ms=250), "ethusdt@depth20", "public"),
        (BOOK, "ethusdt@depth@100ms", "public"),
        (Topic(TopicKind.BOOK, ETH, speed_ms=500), "ethusdt@depth@500ms", "public"),
        (Topic(TopicKind.BOOK, ETH, speed_ms=250), "ethusdt@depth", "public"),
        (MARK, "ethusdt@markPrice@1s", "market"),
        (Topic(TopicKind.MARK_PRICE, ETH, speed_ms=3000), "ethusdt@markPrice", "market"),
        (FORCED, "ethusdt@forceOrder", "market"),
        (Topic(TopicKind.AGG_TRADES, Symbol("BTC", "USDT", "USDT", "261225")), "btcusdt_261225@aggTrade", "market"),
        (Topic(TopicKind.AGG_TRADES, Symbol("ÉÀ币", "USDT", "USDT")), "ÉÀ币usdt@aggTrade", "market"),
    ],
    ids=str,
)
def test_names_are_lower_case_and_live_on_their_path(topic, name, group):
    assert (USDM.streams.name(topic), USDM.streams.group(topic)) == (name, group)


def test_coin_m_has_one_path_and_its_own_names():
    for topic in FRAMES:
        assert COINM.streams.group(inverse(topic)) == ""
        assert COINM.streams.name(inverse(topic)).startswith("btcusd_perp@")


def test_addresses_by_environment_and_group():
    live, demo = USDM.hosts[Environment.LIVE], USDM.hosts[Environment.DEMO]
    assert USDM.streams.url(live, "public") == "wss://fstream.binance.com/public/stream"
    assert USDM.streams.url(live, "market") == "wss://fstream.binance.com/market/stream"
    assert USDM.streams.url(demo, "market") == "wss://fstream.binancefuture.com/market/stream"
    assert COINM.streams.url(COINM.hosts[Environment.LIVE]) == "wss://dstream.binance.com/stream"
    for driver, group in ((USDM, ""), (USDM, "private"), (COINM, "public")):
        with pytest.raises(InvalidRequest, match="no group"):
            driver.streams.url(driver.hosts[Environment.LIVE], group)


@pytest.mark.parametrize(
    ("topic", "error"),
    [
        (Topic(TopicKind.TRADES, ETH), Unsupported),
        (Topic(TopicKind.AGG_TRADES, Symbol("ETH", "USDT")), Unsupported),
        (Topic(TopicKind.CANDLES, ETH, interval="1s"), InvalidRequest),
        (Topic(TopicKind.PARTIAL_BOOK, ETH, depth=50), InvalidRequest),
        (Topic(TopicKind.BOOK, ETH, depth=50), InvalidRequest),
        (Topic(TopicKind.BOOK, ETH, speed_ms=1000), InvalidRequest),
        (Topic(TopicKind.MARK_PRICE, ETH, speed_ms=100), InvalidRequest),
        (Topic(TopicKind.TICKER, ETH, speed_ms=100), InvalidRequest),
    ],
    ids=str,
)
def test_what_the_venue_does_not_send_is_refused_before_it_is_asked_for(topic, error):
    instrument = table_of("binance-usdm")[ETH]
    for ask in (USDM.streams.name, USDM.streams.group, lambda topic: USDM.streams.reader(topic, instrument)):
        with pytest.raises(error):
            ask(topic)


def test_single_trades_name_what_serves_instead():
    with pytest.raises(Unsupported, match="agg_trades"):
        USDM.streams.name(Topic(TopicKind.TRADES, ETH))


# ---------------------------------------------------------------- frames


def test_subscriptions_are_frames_of_at_most_200_names():
    assert json.loads(USDM.streams.subscribe(["a", "b"], 7)) == {"method": "SUBSCRIBE", "params": ["a", "b"], "id": 7}
    assert json.loads(COINM.streams.unsubscribe(["a"], 8))["method"] == "UNSUBSCRIBE"
    with pytest.raises(InvalidRequest, match="1 to 200"):
        USDM.streams.subscribe(["a"] * 201, 1)


def test_an_acknowledgement_proves_nothing_and_limits_differ():
    assert not USDM.streams.limits.ack_proves and not COINM.streams.limits.ack_proves
    assert USDM.streams.limits.topics_per_connection == 1024
    assert COINM.streams.limits.topics_per_connection == 200


def test_control_frames_in_both_spellings():
    assert USDM.streams.control(b'{"result":null,"id":1}') == Ack(1)
    refused = USDM.streams.control(b'{"error":{"code":2,"msg":"Invalid request: x"},"id":6}')
    assert isinstance(refused, Refusal) and refused.request_id == 6 and isinstance(refused.error, VenueRejected)
    assert refused.error.venue == "binance-usdm"
    full = COINM.streams.control(b'{"error":{"code":4,"msg":"Too many subscriptions"}}')
    assert isinstance(full, Refusal) and full.request_id is None and isinstance(full.error, RateLimited)
    assert isinstance(USDM.streams.control(b'{"code":2,"msg":"x","id":3}'), Refusal)
    assert USDM.streams.control(b"\xff") == Noise("unreadable frame", known=False)


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_frame_of_another_symbol_is_refused(topic):
    with pytest.raises(WireFormatError, match="another symbol"):
        reader(USDM, topic)(FRAMES[topic].replace(b'"s":"ETHUSDT"', b'"s":"BTCUSDT"'), AT)


@pytest.mark.parametrize(
    ("topic", "old", "new"),
    [
        (AGG, b'"3150.25"', b'"0"'),
        (AGG, b'"f":900001', b'"f":900004'),
        (AGG, b'"e":"aggTrade"', b'"e":"trade"'),
        (CANDLES, b'"i":"1m"', b'"i":"5m"'),
        (BOOK, b'"pu":5000123,', b""),
        (BOOK, b'"U":5000125', b'"U":5000141'),
        (FIVE, b'"3150.25"', b'"3150.24"'),
        (MARK, b'"3150.20000000"', b'"0"'),
        (MARK, b'"0.00010000"', b'"NaN"'),
        (FORCED, b'"SELL"', b'"HOLD"'),
        (FORCED, b'"3120.50"', b'"-1"'),
    ],
)
def test_frame_that_cannot_be_is_refused(topic, old, new):
    assert old in FRAMES[topic]
    with pytest.raises(WireFormatError):
        reader(USDM, topic)(FRAMES[topic].replace(old, new), AT)


def test_liquidation_of_which_nothing_traded_yet_is_told_as_ordered():
    frame = FRAMES[FORCED].replace(b'"3120.50"', b'"0"').replace(b'"z":"3.000"', b'"z":"0"')
    event = reader(USDM, FORCED)(frame, AT)
    assert (event.price, event.quantity) == (D(3100), D(3))
