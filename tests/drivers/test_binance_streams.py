"""Names, frames, routing and readers of the market streams, on frames as the documents print them."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest

from connector.books import exact
from connector.domain import (
    AggTrade,
    BookDelta,
    BookTicker,
    Candle,
    OrderBook,
    Side,
    Symbol,
    Ticker,
    Topic,
    TopicKind,
    Trade,
)
from connector.drivers.contract import Ack, ConnectionEnding, Environment, Noise, Refusal
from connector.errors import InvalidRequest, RateLimited, Unsupported, VenueRejected, WireFormatError

D = Decimal

ETH = Symbol("ETH", "USDT")
TRADES = Topic(TopicKind.TRADES, ETH)
AGG = Topic(TopicKind.AGG_TRADES, ETH)
CANDLES = Topic(TopicKind.CANDLES, ETH, interval="1m")
TICKER = Topic(TopicKind.TICKER, ETH)
BEST = Topic(TopicKind.BOOK_TICKER, ETH)
FIVE = Topic(TopicKind.PARTIAL_BOOK, ETH, depth=5)
BOOK = Topic(TopicKind.BOOK, ETH)

FRAMES = {
    TRADES: b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1762000000123,"s":"ETHUSDT","t":900001,'
    b'"p":"3150.25000000","q":"0.40000000","T":1762000000122,"m":true,"M":true}}',
    AGG: b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1762000000124,"s":"ETHUSDT","a":77001,'
    b'"p":"3150.25000000","q":"1.10000000","f":900001,"l":900003,"T":1762000000122,"m":false,"M":true}}',
    CANDLES: b'{"stream":"ethusdt@kline_1m","data":{"e":"kline","E":1762000002003,"s":"ETHUSDT","k":{"t":1761999960000,'
    b'"T":1762000019999,"s":"ETHUSDT","i":"1m","f":899500,"L":900003,"o":"3149.00000000","c":"3150.25000000",'
    b'"h":"3151.00000000","l":"3148.50000000","v":"152.40000000","n":504,"x":false,"q":"480012.10000000",'
    b'"V":"80.10000000","Q":"252301.00000000","B":"0"}}}',
    TICKER: b'{"stream":"ethusdt@ticker","data":{"e":"24hrTicker","E":1762000001000,"s":"ETHUSDT","p":"-50.25000000",'
    b'"P":"-1.621","w":"3120.10000000","x":"3100.00000000","c":"3150.25000000","Q":"0.40000000","b":"3150.24000000",'
    b'"B":"2.00000000","a":"3150.25000000","A":"1.50000000","o":"3100.00000000","h":"3180.00000000",'
    b'"l":"3080.00000000","v":"91234.50000000","q":"284661234.10000000","O":1761913600000,"C":1762000000999,'
    b'"F":700000,"L":900003,"n":200004}}',
    BEST: b'{"stream":"ethusdt@bookTicker","data":{"u":5000123,"s":"ETHUSDT","b":"3150.24000000","B":"2.00000000",'
    b'"a":"3150.25000000","A":"1.50000000"}}',
    FIVE: b'{"stream":"ethusdt@depth5@100ms","data":{"lastUpdateId":5000120,"bids":[["3150.24000000","2.00000000"]],'
    b'"asks":[["3150.25000000","1.50000000"]]}}',
    BOOK: b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1762000000200,"s":"ETHUSDT","U":5000119,'
    b'"u":5000123,"b":[["3150.24000000","2.00000000"],["3149.90000000","0.00000000"]],"a":[]}}',
}

AT = 1_762_000_000_500_000_000
MS = 1_000_000

EVENTS = {
    TRADES: Trade("binance", ETH, 1762000000122 * MS, AT, 900001, D("3150.25"), D("0.4"), Side.SELL),
    AGG: AggTrade("binance", ETH, 1762000000122 * MS, AT, 77001, D("3150.25"), D("1.1"), Side.BUY, 900001, 900003),
    CANDLES: Candle(
        "binance",
        ETH,
        1762000002003 * MS,
        AT,
        "1m",
        1761999960000 * MS,
        1762000019999 * MS,
        open=D("3149"),
        high=D("3151"),
        low=D("3148.5"),
        close=D("3150.25"),
        volume=D("152.4"),
        closed=False,
        quote_volume=D("480012.1"),
        trade_count=504,
        taker_buy_volume=D("80.1"),
        taker_buy_quote_volume=D("252301"),
    ),
    TICKER: Ticker(
        "binance",
        ETH,
        1762000001000 * MS,
        AT,
        last=D("3150.25"),
        bid=D("3150.24"),
        bid_quantity=D("2"),
        ask=D("3150.25"),
        ask_quantity=D("1.5"),
        open=D("3100"),
        high=D("3180"),
        low=D("3080"),
        volume=D("91234.5"),
        quote_volume=D("284661234.1"),
        last_quantity=D("0.4"),
        weighted_average=D("3120.1"),
        price_change=D("-50.25"),
        price_change_percent=D("-1.621"),
        trade_count=200004,
        open_time_ns=1761913600000 * MS,
        close_time_ns=1762000000999 * MS,
    ),
    BEST: BookTicker("binance", ETH, None, AT, D("3150.24"), D("2"), D("3150.25"), D("1.5"), 5000123),
    FIVE: OrderBook("binance", ETH, None, AT, 5000120, ((D("3150.24"), D("2")),), ((D("3150.25"), D("1.5")),)),
    BOOK: BookDelta(
        "binance",
        ETH,
        1762000000200 * MS,
        AT,
        5000119,
        5000123,
        ((D("3150.24"), D("2")), (D("3149.9"), D("0"))),
        (),
    ),
}


@pytest.fixture
def read(driver, make_instrument):
    def read(topic, frame=None, symbol=None):
        instrument = make_instrument(str(symbol or topic.symbol))
        event = driver.streams.reader(topic, instrument)(FRAMES[topic] if frame is None else frame, AT)
        if isinstance(event, BookDelta):  # texts until a book looks at them
            return msgspec.structs.replace(event, bids=exact(event.bids), asks=exact(event.asks))
        return event

    return read


def edited(topic, **fields):
    """The topic's frame with fields of its payload set, or removed by `...`."""
    frame = json.loads(FRAMES[topic])
    data = frame["data"]["k"] if topic.kind is TopicKind.CANDLES and "s" not in fields else frame["data"]
    for name, value in fields.items():
        data.pop(name, None) if value is ... else data.__setitem__(name, value)
    return json.dumps(frame, separators=(",", ":")).encode()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (TRADES, "ethusdt@trade"),
        (AGG, "ethusdt@aggTrade"),
        (CANDLES, "ethusdt@kline_1m"),
        (Topic(TopicKind.CANDLES, ETH, interval="1M"), "ethusdt@kline_1M"),
        (TICKER, "ethusdt@ticker"),
        (BEST, "ethusdt@bookTicker"),
        (FIVE, "ethusdt@depth5@100ms"),
        (Topic(TopicKind.PARTIAL_BOOK, ETH, depth=20, speed_ms=1000), "ethusdt@depth20"),
        (BOOK, "ethusdt@depth@100ms"),
        (Topic(TopicKind.BOOK, ETH, speed_ms=100), "ethusdt@depth@100ms"),
        (Topic(TopicKind.BOOK, ETH, speed_ms=1000), "ethusdt@depth"),
        (Topic(TopicKind.TRADES, Symbol("１２３", "USDT")), "１２３usdt@trade"),
    ],
)
def test_topic_has_the_venues_name(driver, topic, name):
    assert driver.streams.name(topic) == name


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        (Topic(TopicKind.CANDLES, ETH, interval="2m"), "1m, 3m"),
        (Topic(TopicKind.CANDLES, ETH, interval="1D"), "Case matters"),
        (Topic(TopicKind.PARTIAL_BOOK, ETH, depth=7), "5, 10, 20"),
        (Topic(TopicKind.PARTIAL_BOOK, ETH, depth=5, speed_ms=250), "100 or 1000"),
        (Topic(TopicKind.BOOK, ETH, speed_ms=0), "100 or 1000"),
        (Topic(TopicKind.BOOK, ETH, depth=50), "no choice of depth"),
        (Topic(TopicKind.TRADES, ETH, speed_ms=100), "no choice of speed"),
    ],
)
def test_topic_the_venue_does_not_have_names_what_it_has(driver, make_instrument, topic, words):
    with pytest.raises(InvalidRequest, match=words):
        driver.streams.name(topic)
    with pytest.raises(InvalidRequest):
        driver.streams.reader(topic, make_instrument("ETH/USDT"))


def test_contracts_are_unsupported_on_spot(driver):
    with pytest.raises(Unsupported, match="ETH/USDT:USDT"):
        driver.streams.name(Topic(TopicKind.TRADES, Symbol("ETH", "USDT", "USDT")))


def test_every_kind_of_topic_has_a_name_and_a_reader(driver, make_instrument):
    assert {topic.kind for topic in FRAMES} == set(TopicKind) - {TopicKind.MARK_PRICE, TopicKind.LIQUIDATIONS}
    for topic in FRAMES:
        assert driver.streams.reader(topic, make_instrument("ETH/USDT"))


# ---------------------------------------------------------------- frames out


def test_subscribe_and_unsubscribe_frames_are_the_documented_ones(driver):
    assert driver.streams.subscribe(["btcusdt@trade", "ethusdt@depth"], 7) == (
        b'{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@depth"],"id":7}'
    )
    assert driver.streams.unsubscribe(["btcusdt@trade"], 8) == (
        b'{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":8}'
    )


@pytest.mark.parametrize("count", [0, 201])
def test_a_frame_takes_no_more_names_than_is_safe(driver, count):
    with pytest.raises(InvalidRequest, match="1 to 200"):
        driver.streams.subscribe(["a@trade"] * count, 1)


def test_url_is_combined_mode_on_every_environment(driver):
    assert set(driver.hosts) == set(Environment)
    for hosts in driver.hosts.values():
        assert hosts.rest.startswith("https://")
        assert driver.streams.url(hosts).startswith("wss://")
        assert driver.streams.url(hosts).endswith("/stream")


def test_frame_spacing_keeps_below_five_messages_a_second(driver):
    assert 1 / driver.streams.limits.frame_spacing_s < 5
    assert driver.streams.limits.topics_per_connection == 1024


# ---------------------------------------------------------------- route


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_route_finds_the_topics_own_name(driver, topic):
    assert driver.streams.route(FRAMES[topic]) == driver.streams.name(topic).encode()


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_spacing_and_key_order_do_not_matter(driver, read, topic):
    frame = json.loads(FRAMES[topic])
    loose = json.dumps(frame, indent=1).encode()
    turned = json.dumps({"data": frame["data"], "stream": frame["stream"]}).encode()

    for text in (loose, turned):
        assert driver.streams.route(text) == driver.streams.name(topic).encode()
        assert read(topic, text) == EVENTS[topic]


def test_route_reads_escaped_names(driver):
    name = "１２３usdt@trade"
    escaped = json.dumps({"stream": name, "data": {}}, separators=(",", ":")).encode()
    assert b"\\u" in escaped
    assert driver.streams.route(escaped) == name.encode()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b'{"result":null,"id":7}',
        b'{"stream":"ethusdt@trade"}',
        b'{"stream":"","data":{}}',
        b'{"stream":7,"data":{}}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
        b'{"data":{"e":"serverShutdown","E":1},"stream":"!serverShutdown"}',
        b'{"stream":"eth',
        b'{"stream":"\\',
        b'{"stream":"\xff","data',
        b'{"stream":' + b"[" * 10_000,
        b"\x00" * 100,
    ],
)
def test_route_answers_none_for_what_has_no_topic(driver, frame):
    assert driver.streams.route(frame) is None


# ---------------------------------------------------------------- readers


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_frame_becomes_its_event(read, topic):
    assert read(topic) == EVENTS[topic]


def test_numbers_keep_the_digits_of_the_wire(read):
    assert str(read(TRADES).price) == "3150.25000000"


@pytest.mark.parametrize("topic", FRAMES, ids=str)
def test_unknown_fields_change_nothing(read, topic):
    frame = json.loads(FRAMES[topic])
    frame["data"]["zz"] = {"new": [1, "two", None]}
    frame["new"] = True
    assert read(topic, json.dumps(frame).encode()) == EVENTS[topic]


@pytest.mark.parametrize("topic", [topic for topic in FRAMES if topic is not FIVE], ids=str)
def test_frame_of_another_symbol_is_refused(read, topic):
    with pytest.raises(WireFormatError, match="frame of another symbol"):
        read(topic, edited(topic, s="BTCUSDT"))


def test_candle_of_another_interval_is_refused(read):
    with pytest.raises(WireFormatError, match="another interval"):
        read(CANDLES, edited(CANDLES, i="1M"))


def test_frame_of_another_kind_is_refused(read):
    with pytest.raises(WireFormatError):
        read(TRADES, edited(TRADES, e="aggTrade"))


def test_invalidated_aggregate_trade_is_nothing_to_deliver(read):
    assert read(AGG, edited(AGG, p="0", q="0", f=-1, l=-1)) is None


def test_aggregate_trade_with_zero_price_and_real_ids_is_refused(read):
    with pytest.raises(WireFormatError, match="outside"):
        read(AGG, edited(AGG, p="0"))


def test_empty_side_of_a_best_price_is_zero_and_zero(read):
    event = read(BEST, edited(BEST, b="0.00000000", B="0.00000000"))
    assert (event.bid, event.bid_quantity) == (0, 0)
    with pytest.raises(WireFormatError):
        read(BEST, edited(BEST, b="0.00000000"))


def test_candle_without_trades_may_have_no_price(read):
    zeros = dict.fromkeys("ohlcvqVQ", "0.00000000")
    assert read(CANDLES, edited(CANDLES, n=0, **zeros)).close == 0
    with pytest.raises(WireFormatError):
        read(CANDLES, edited(CANDLES, n=1, **zeros))


def test_delta_removes_with_a_zero_of_any_scale(read):
    event = read(BOOK, edited(BOOK, b=[["1.5", "0"], ["1.4", "0.000"]]))
    assert [quantity for _, quantity in event.bids] == [0, 0]


IMPOSSIBLE_LEVELS = [
    *(["0", "1"], ["-1", "1"], ["NaN", "1"], ["1e999999999", "0"]),
    *(["1", "-1"], ["1", "sNaN"], ["1", "Infinity"], ["1", "1e-999999999"], ["1", "0E-999999999"]),
    *(["1"], ["1", "1", "1"], [], None, "1", {}),
]


@pytest.mark.parametrize("level", IMPOSSIBLE_LEVELS, ids=repr)
def test_delta_with_an_impossible_level_is_refused_whole(read, level):
    for levels in ([level], [["3150.25", "1"], level], [level, ["3150.25", "1"]]):
        with pytest.raises(WireFormatError):
            read(BOOK, edited(BOOK, a=levels))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bids": [["2", "1"], ["3", "1"]]}, "not best first"),
        ({"asks": [["3151", "1"], ["3151", "1"]]}, "not best first"),
        ({"bids": [["3150.25", "1"]]}, "crossed"),
        ({"bids": [["3150.24", "0"]]}, "out of range"),
    ],
)
def test_partial_book_out_of_order_or_crossed_is_refused(read, fields, words):
    with pytest.raises(WireFormatError, match=words):
        read(FIVE, edited(FIVE, **fields))


def test_empty_partial_book_is_an_empty_book(read):
    event = read(FIVE, edited(FIVE, bids=[], asks=[]))
    assert event.best_bid is None and event.best_ask is None


def test_updates_running_backwards_are_refused(read):
    with pytest.raises(WireFormatError, match="backwards"):
        read(BOOK, edited(BOOK, U=9, u=8))
    with pytest.raises(WireFormatError, match="backwards"):
        read(AGG, edited(AGG, f=9, l=8))


BAD_NUMBERS = [
    "NaN",
    "-NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e999999999",
    "1e-999999999",
    "-1",
    "0",
    "",
    "abc",
    "0x1",
]
NUMBERS = {TRADES: "pq", AGG: "pq", BEST: "bBaA", CANDLES: "ohlcvqVQ", TICKER: "cbBaAohlvqQw"}


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("topic", NUMBERS, ids=str)
def test_number_that_cannot_be_true_is_refused(read, topic, text):
    for field in NUMBERS[topic]:
        zero_is_fine = topic is TICKER or (topic is CANDLES and field in "vqVQ") or (topic is BEST and field in "BA")
        if text == "0" and zero_is_fine:
            continue
        with pytest.raises(WireFormatError):
            read(topic, edited(topic, **{field: text}))


@pytest.mark.parametrize("value", [-1, 2**63, 2**64, 10**400, 1.5, True, "5", None, [], {}], ids=repr)
@pytest.mark.parametrize(
    ("topic", "fields"),
    [
        (TRADES, "tT"),
        (AGG, "aT"),
        (CANDLES, "tTn"),
        (TICKER, "EOCn"),
        (BEST, "u"),
        (BOOK, "EUu"),
        (FIVE, ["lastUpdateId"]),
    ],
)
def test_integer_outside_63_bits_or_of_another_type_is_refused(read, topic, fields, value):
    for field in fields:
        with pytest.raises(WireFormatError):
            read(topic, edited(topic, **{field: value}))


def test_microseconds_are_refused_rather_than_misread(read):
    with pytest.raises(WireFormatError):
        read(TRADES, edited(TRADES, T=1762000000122000))


@pytest.mark.parametrize("topic", FRAMES, ids=str)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame[:-1],
        lambda frame: frame[: len(frame) // 2],
        lambda frame: b"",
        lambda frame: frame + b"}",
        lambda frame: frame.replace(b'"data":', b'"data":' + b"[" * 10_000),
        lambda frame: frame.replace(b'"data":{', b'"data":{"z":' + b'{"z":' * 10_000),
        lambda frame: frame.replace(b'"data":{', b'"data":{"z":"\xff\xfe",').replace(b"1762", b"\xff"),
        lambda frame: b"null",
        lambda frame: b"[" + frame + b"]",
        lambda frame: b'{"data":null}',
    ],
)
def test_spoilt_frame_is_a_wire_format_error_with_an_excerpt(read, topic, spoil):
    frame = spoil(FRAMES[topic])
    try:
        event = read(topic, frame)
    except WireFormatError as error:
        assert len(error.excerpt) <= 200 and error.kind in str(error)
    else:
        assert event == EVENTS[topic]  # the spoilt bytes were in a part nobody reads


def test_missing_field_is_named(read):
    with pytest.raises(WireFormatError, match="`p`"):
        read(TRADES, edited(TRADES, p=...))


# ---------------------------------------------------------------- control


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b'{"result":null,"id":7}', Ack(7)),
        (b'{"id":7,"result":["btcusdt@trade"]}', Ack(7)),
        (b'{"result":null,"id":"seven"}', Noise("answer without a request id", known=False)),
        (b'{"result":null}', Noise("answer without a request id", known=False)),
        (b'{"stream":"x@y","data":{"e":"weird"}}', Noise("event weird on stream x@y", known=False)),
        (b'{"e":"outboundSomething","E":1}', Noise("event outboundSomething on stream ", known=False)),
        (b"{}", Noise("frame of an unknown form", known=False)),
        (b"", Noise("unreadable frame", known=False)),
        (b"[" * 10_000, Noise("unreadable frame", known=False)),
        (b"\xff\xfe", Noise("unreadable frame", known=False)),
        (b'{"id":{}}', Noise("unreadable frame", known=False)),
    ],
)
def test_control_frame_says_what_it_is(driver, frame, said):
    assert driver.streams.control(frame) == said


@pytest.mark.parametrize(
    "frame",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        b'{"stream":"!serverShutdown","data":[]}',
        b'{"event":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_announced_shutdown_is_seen_in_every_wrapping(driver, frame):
    assert driver.streams.route(frame) is None
    assert isinstance(driver.streams.control(frame), ConnectionEnding)


@pytest.mark.parametrize(
    ("frame", "request_id", "kind", "code"),
    [
        (b'{"code":2,"msg":"Invalid request: unknown stream","id":7}', 7, VenueRejected, "2"),
        (b'{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":7}', 7, VenueRejected, "2"),
        (b'{"error":{"code":0,"msg":"Unknown property"},"id":1}', 1, VenueRejected, "0"),
        (b'{"error":{"code":1,"msg":"Invalid value type: expected Boolean"},"id":1}', 1, VenueRejected, "1"),
        (b'{"error":{"code":3,"msg":"Invalid JSON: expected value"}}', None, VenueRejected, "3"),
        (b'{"error":{"code":4,"msg":"Too many subscriptions"}}', None, RateLimited, "4"),
        (b'{"error":{"code":77,"msg":"Too many requests"},"id":9}', 9, RateLimited, "77"),
        (b'{"error":{"code":77,"msg":"new"},"id":9}', 9, VenueRejected, "77"),
        (b'{"error":{},"id":9}', 9, VenueRejected, "None"),
    ],
)
def test_refusal_is_read_in_both_spellings_and_classed(driver, frame, request_id, kind, code):
    said = driver.streams.control(frame)
    assert isinstance(said, Refusal)
    assert said.request_id == request_id
    assert type(said.error) is kind and said.error.code == code


def test_noise_of_hostile_frames_stays_short(driver):
    said = driver.streams.control(json.dumps({"e": "x\n" * 10_000, "stream": "y" * 10_000}).encode())
    assert isinstance(said, Noise) and len(said.kind) < 120 and "\n" not in said.kind
