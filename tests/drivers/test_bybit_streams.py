"""Names, frames, routing and readers of the market streams of all three products, on frames as the documents print them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from spoiling import reads

from connector.domain import BookDelta, BookTicker, Candle, OrderBook, Side, Symbol, Ticker, Topic, TopicKind, Trade
from connector.domain.market import Liquidation
from connector.drivers.contract import Ack, Environment, Noise, Refusal
from connector.errors import InvalidRequest, Unsupported, VenueRejected, WireFormatError

D = Decimal
MS = 1_000_000
AT = 1_767_225_601_000_000_000

SPOT, LINEAR, INVERSE = Symbol("BTC", "USDT"), Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")
SYMBOLS = {"bybit": SPOT, "bybit-linear": LINEAR, "bybit-inverse": INVERSE}
NAMES = {"bybit": "BTCUSDT", "bybit-linear": "BTCUSDT", "bybit-inverse": "BTCUSD"}

TRADES = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1767225600123,"data":[{"T":1767225600120,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.004","p":"88001.50","L":"PlusTick","i":"7d0c1a52-1111-5b31-9112-a178eb60aaaa","BT":false,'
    b'"RPI":false,"seq":1783284617}]}'
)
TICKER = (
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",'
    b'"price24hPcnt":"0.017103","lastPrice":"88000.10","prevPrice24h":"86520.00","highPrice24h":"88336.80",'
    b'"lowPrice24h":"84638.00","prevPrice1h":"88000.00","markPrice":"88001.33","indexPrice":"88010.16",'
    b'"openInterest":"137352.9","openInterestValue":"12087.1","singleOpenInterest":"68676.45","turnover24h":"8352.94",'
    b'"volume24h":"94937.318","nextFundingTime":"1767254400000","fundingRate":"-0.000212","bid1Price":"88000.00",'
    b'"bid1Size":"4.201","ask1Price":"88000.10","ask1Size":"2.5"},"cs":24987956059,"ts":1767225600100}'
)
CHANGE = (
    b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","lastPrice":"88002.10","bid1Size":"3.201",'
    b'"ask1Price":"88002.20"},"cs":24987956059,"ts":1767225600200}'
)
CANDLE = (
    b'{"topic":"kline.1.BTCUSDT","data":[{"start":1767225600000,"end":1767225659999,"interval":"1","open":"88000",'
    b'"close":"88002.1","high":"88010","low":"87990","volume":"12.5","turnover":"1100026.2","confirm":false,'
    b'"timestamp":1767225631882}],"ts":1767225631882,"type":"snapshot"}'
)
BOOK = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1767225600466,"data":{"s":"BTCUSDT","b":[["88000.00","0"],'
    b'["87999.50","1.25"]],"a":[["88002.20","0.40"]],"u":177400507,"seq":66544703342},"cts":1767225600464}'
)
BEST = (
    b'{"topic":"orderbook.1.BTCUSDT","ts":1767225600466,"type":"snapshot","data":{"s":"BTCUSDT","b":[["88000.00","2"]],'
    b'"a":[["88002.20","0.40"]],"u":177400507,"seq":66544703342},"cts":1767225600464}'
)
LIQUIDATION = (
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1767225600500,"data":[{"T":1767225600490,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.5","p":"87000.5"}]}'
)


def topic(kind, driver="bybit-linear", **more):
    return Topic(kind, SYMBOLS[driver], **more)


@pytest.fixture
def reader(bybit_drivers, bybit_tables):
    def reader(wanted, driver="bybit-linear"):
        return reads(bybit_drivers[driver].streams.reader(wanted, bybit_tables[driver][wanted.symbol]))

    return reader


def changed(frame, **data):
    """The frame with other fields in its data (of its first row, where that is a list)."""
    told = json.loads(frame)
    row = told["data"][0] if isinstance(told["data"], list) else told["data"]
    row |= data
    return json.dumps(told).encode()


# ---------------------------------------------------------------- where and what


@pytest.mark.parametrize("category", ["spot", "linear", "inverse"])
def test_one_connection_serves_one_product(bybit_drivers, category):
    name = "bybit" if category == "spot" else f"bybit-{category}"
    driver = bybit_drivers[name]
    live, demo = driver.hosts[Environment.LIVE], driver.hosts[Environment.DEMO]
    assert driver.streams.url(live) == f"wss://stream.bybit.com/v5/public/{category}"
    assert driver.streams.url(demo) == driver.streams.url(live)  # demo mode has the mainnet's market data
    testnet = driver.streams.url(driver.hosts[Environment.TESTNET])
    assert testnet == f"wss://stream-testnet.bybit.com/v5/public/{category}"
    assert driver.streams.group(topic(TopicKind.TRADES, name)) == ""


@pytest.mark.parametrize(
    ("kind", "more", "name"),
    [
        (TopicKind.TRADES, {}, "publicTrade.{}"),
        (TopicKind.TICKER, {}, "tickers.{}"),
        (TopicKind.BOOK_TICKER, {}, "orderbook.1.{}"),
        (TopicKind.BOOK, {}, "orderbook.1000.{}"),
        (TopicKind.BOOK, {"depth": 50}, "orderbook.50.{}"),
        (TopicKind.BOOK, {"depth": 200}, "orderbook.200.{}"),
        (TopicKind.CANDLES, {"interval": "1m"}, "kline.1.{}"),
        (TopicKind.CANDLES, {"interval": "12h"}, "kline.720.{}"),
        (TopicKind.CANDLES, {"interval": "1d"}, "kline.D.{}"),
        (TopicKind.CANDLES, {"interval": "1w"}, "kline.W.{}"),
        (TopicKind.CANDLES, {"interval": "1M"}, "kline.M.{}"),
    ],
)
def test_topic_has_the_venues_name(bybit_drivers, kind, more, name):
    for driver in bybit_drivers.values():
        assert driver.streams.name(topic(kind, driver.name, **more)) == name.format(NAMES[driver.name])


def test_liquidations_are_told_of_contracts_only(bybit_drivers):
    assert bybit_drivers["bybit-inverse"].streams.name(topic(TopicKind.LIQUIDATIONS, "bybit-inverse")) == (
        "allLiquidation.BTCUSD"
    )
    with pytest.raises(Unsupported, match="liquidations"):
        bybit_drivers["bybit"].streams.name(topic(TopicKind.LIQUIDATIONS, "bybit"))


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        (topic(TopicKind.BOOK, depth=500), InvalidRequest, "50, 200, 1000"),
        (topic(TopicKind.BOOK, speed_ms=100), InvalidRequest, "speed"),
        (topic(TopicKind.CANDLES, interval="1s"), InvalidRequest, "1m, 3m"),
        (topic(TopicKind.CANDLES, interval="8h"), InvalidRequest, "Case matters"),
        (topic(TopicKind.AGG_TRADES), Unsupported, "agg_trades"),
        (topic(TopicKind.PARTIAL_BOOK, depth=50), Unsupported, "book of depth 50"),
        (topic(TopicKind.MARK_PRICE), Unsupported, "Ticker.mark"),
        (topic(TopicKind.TRADES, "bybit"), Unsupported, "'bybit'"),
    ],
)
def test_what_the_venue_does_not_have_is_refused_and_says_what_it_has(bybit_drivers, bybit_tables, wanted, error, says):
    streams = bybit_drivers["bybit-linear"].streams
    instrument = bybit_tables["bybit-linear"][LINEAR]
    for ask in (streams.name, streams.group, lambda each: streams.reader(each, instrument)):
        with pytest.raises(error, match=says):
            ask(wanted)


def test_names_of_different_topics_are_different(bybit_drivers):
    streams = bybit_drivers["bybit-linear"].streams
    topics = [
        *(topic(kind) for kind in (TopicKind.TRADES, TopicKind.TICKER, TopicKind.BOOK_TICKER, TopicKind.LIQUIDATIONS)),
        *(topic(TopicKind.BOOK, depth=depth) for depth in (50, 200, 1000)),
        *(topic(TopicKind.CANDLES, interval=interval) for interval in ("1m", "1M", "1d")),
    ]
    assert len({streams.name(each) for each in topics}) == len(topics)


def test_frames_carry_the_request_id_and_at_most_ten_names(bybit_drivers):
    streams = bybit_drivers["bybit"].streams
    assert json.loads(streams.subscribe(["a", "b"], 7)) == {"req_id": "7", "op": "subscribe", "args": ["a", "b"]}
    assert json.loads(streams.unsubscribe(["a"], 8)) == {"req_id": "8", "op": "unsubscribe", "args": ["a"]}
    for names in ([], ["x"] * 11):
        with pytest.raises(InvalidRequest, match="1 to 10"):
            streams.subscribe(names, 1)


def test_names_of_a_full_connection_stay_within_what_the_venue_allows(bybit_drivers):
    for driver in bybit_drivers.values():
        limits = driver.streams.limits
        longest = f"orderbook.1000.{'1000000' + 'X' * 15}USDT-25DEC26"
        assert limits.topics_per_connection * len(longest) <= 21_000
        assert limits.heartbeat.every_s == 20.0 and json.loads(limits.heartbeat.frame) == {"op": "ping"}


# ---------------------------------------------------------------- routing


@pytest.mark.parametrize("frame", [TRADES, TICKER, CHANGE, CANDLE, BOOK, BEST, LIQUIDATION])
def test_name_is_cut_from_the_frame_whatever_the_order_of_its_keys(bybit_drivers, frame):
    route = bybit_drivers["bybit"].streams.route
    name = json.loads(frame)["topic"].encode()
    backwards = json.dumps(dict(reversed(json.loads(frame).items())), indent=1).encode()
    assert route(frame) == route(backwards) == name
    assert route(frame.replace(b'"topic":"', b'"topic":"\\u0062')) == b"b" + name


@pytest.mark.parametrize(
    "frame",
    [
        b'{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',
        b'{"success":true,"ret_msg":"","op":"subscribe","conn_id":"x","req_id":"3"}',
        b'{"topic":""}',
        b'{"topic":5}',
        b'{"topic":"unfinished',
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_frame_without_a_topic_belongs_to_none(bybit_drivers, frame):
    assert bybit_drivers["bybit"].streams.route(frame) is None


# ---------------------------------------------------------------- readers


def test_trade_is_read(reader):
    assert reader(topic(TopicKind.TRADES))(TRADES, AT) == Trade(
        "bybit-linear",
        LINEAR,
        1767225600120 * MS,
        AT,
        "7d0c1a52-1111-5b31-9112-a178eb60aaaa",
        D("88001.50"),
        D("0.004"),
        Side.BUY,
        sequence=1783284617,
    )


def test_several_trades_of_a_frame_come_in_the_venues_order_with_the_sequence_they_share(reader):
    told = json.loads(TRADES)
    told["data"] = [{**told["data"][0], "i": str(number), "S": side} for number, side in ((1, "Buy"), (2, "Sell"))]
    trades = reader(topic(TopicKind.TRADES))(json.dumps(told).encode(), AT)
    assert [(each.trade_id, each.side, each.sequence) for each in trades] == [
        ("1", Side.BUY, 1783284617),
        ("2", Side.SELL, 1783284617),
    ]
    told["data"] = []
    assert reader(topic(TopicKind.TRADES))(json.dumps(told).encode(), AT) is None


def test_trade_of_an_inverse_contract_is_base_units_at_its_price_with_the_contracts_beside(reader):
    frame = changed(TRADES, s="BTCUSD", v="1000", p="80000.0")
    trade = reader(topic(TopicKind.TRADES, "bybit-inverse"), "bybit-inverse")(frame, AT)
    assert (trade.quantity, trade.contracts) == (D("0.0125"), D(1000))
    thirds = reader(topic(TopicKind.TRADES, "bybit-inverse"), "bybit-inverse")(changed(frame, v="1", p="3"), AT)
    assert (thirds.quantity, thirds.contracts) == (D("0.3333333333333333"), D(1))


TICKER_READ = Ticker(
    "bybit-linear",
    LINEAR,
    1767225600100 * MS,
    AT,
    last=D("88000.10"),
    bid=D("88000.00"),
    bid_quantity=D("4.201"),
    ask=D("88000.10"),
    ask_quantity=D("2.5"),
    open=D("86520.00"),
    high=D("88336.80"),
    low=D("84638.00"),
    volume=D("94937.318"),
    quote_volume=D("8352.94"),
    price_change_percent=D("1.7103"),
    mark=D("88001.33"),
    index=D("88010.16"),
    funding_rate=D("-0.000212"),
    next_funding_ns=1767254400000 * MS,
)


def test_ticker_is_a_snapshot_into_which_changes_are_merged(reader):
    from msgspec.structs import replace

    read = reader(topic(TopicKind.TICKER))
    assert read(CHANGE, AT) is None  # a change of what was never told
    assert read(TICKER, AT) == TICKER_READ
    expected = replace(
        TICKER_READ,
        event_time_ns=1767225600200 * MS,
        last=D("88002.10"),
        bid_quantity=D("3.201"),
        ask=D("88002.20"),
    )
    assert read(CHANGE, AT) == expected
    assert read(changed(CHANGE, fundingRate="0.0001"), AT) == replace(expected, funding_rate=D("0.0001"))
    assert read(TICKER, AT) == TICKER_READ  # a new snapshot replaces all


def test_new_reader_knows_nothing_of_what_an_earlier_one_kept(reader):
    reader(topic(TopicKind.TICKER))(TICKER, AT)
    assert reader(topic(TopicKind.TICKER))(CHANGE, AT) is None


def test_ticker_change_that_cannot_be_read_drops_what_was_kept(reader):
    read = reader(topic(TopicKind.TICKER))
    read(TICKER, AT)
    with pytest.raises(WireFormatError):
        read(CHANGE.replace(b'"88002.10"', b'"NaN"'), AT)
    assert read(CHANGE, AT) is None
    assert read(TICKER, AT) == TICKER_READ


def test_ticker_of_spot_has_no_best_prices_and_says_so(reader):
    data = {"symbol": "BTCUSDT", "lastPrice": "21109.77", "highPrice24h": "21426.99", "lowPrice24h": "20575"}
    data |= {"prevPrice24h": "20704.93", "volume24h": "6780.866843", "turnover24h": "141946527.22907118"}
    frame = {"topic": "tickers.BTCUSDT", "ts": 1673853746003, "type": "snapshot", "cs": 1, "data": data}
    ticker = reader(topic(TopicKind.TICKER, "bybit"), "bybit")(json.dumps(frame).encode(), AT)
    assert (ticker.bid, ticker.bid_quantity, ticker.ask, ticker.ask_quantity, ticker.mark) == (None,) * 5
    assert (ticker.last, ticker.volume, ticker.price_change_percent) == (D("21109.77"), D("6780.866843"), None)


def test_ticker_of_an_inverse_contract_counts_base_units(reader):
    frame = changed(TICKER, symbol="BTCUSD", volume24h="49337318", turnover24h="2352.94950046", bid1Size="880")
    ticker = reader(topic(TopicKind.TICKER, "bybit-inverse"), "bybit-inverse")(frame, AT)
    assert (ticker.volume, ticker.quote_volume) == (D("2352.94950046"), D("49337318"))
    assert ticker.bid_quantity == D("0.01")


def test_ticker_of_a_dated_contract_has_no_funding(reader):
    ticker = reader(topic(TopicKind.TICKER))(changed(TICKER, fundingRate="", nextFundingTime=""), AT)
    assert (ticker.funding_rate, ticker.next_funding_ns) == (None, None)


def test_candle_is_read_and_says_whether_it_is_over(reader):
    expected = Candle(
        "bybit-linear",
        LINEAR,
        1767225631882 * MS,
        AT,
        "1m",
        1767225600000 * MS,
        1767225659999 * MS,
        open=D(88000),
        high=D(88010),
        low=D(87990),
        close=D("88002.1"),
        volume=D("12.5"),
        closed=False,
        quote_volume=D("1100026.2"),
    )
    read = reader(topic(TopicKind.CANDLES, interval="1m"))
    assert read(CANDLE, AT) == expected
    assert read(changed(CANDLE, confirm=True), AT).closed is True

    inverse = reader(topic(TopicKind.CANDLES, "bybit-inverse", interval="1m"), "bybit-inverse")
    candle = inverse(CANDLE.replace(b"kline.1.BTCUSDT", b"kline.1.BTCUSD"), AT)
    assert (candle.volume, candle.quote_volume) == (D("1100026.2"), D("12.5"))


def test_two_candles_of_a_frame_stay_one_after_another(reader):
    told = json.loads(CANDLE)
    told["data"] = [{**told["data"][0], "confirm": True}, {**told["data"][0], "start": 1767225660000}]
    one, other = reader(topic(TopicKind.CANDLES, interval="1m"))(json.dumps(told).encode(), AT)
    assert one.closed and one.event_time_ns < other.event_time_ns


def test_best_prices_are_the_book_of_one_level_and_a_repeat_says_nothing_new(reader):
    read = reader(topic(TopicKind.BOOK_TICKER))
    assert read(BEST, AT) == BookTicker(
        "bybit-linear", LINEAR, 1767225600464 * MS, AT, D("88000.00"), D(2), D("88002.20"), D("0.40"), 177400507
    )
    assert read(BEST, AT + 1) is None
    assert read(changed(BEST, u=1), AT + 2).update_id == 1  # the service was restarted
    empty = read(changed(BEST, u=2, b=[]), AT)
    assert (empty.bid, empty.bid_quantity, empty.ask) == (D(0), D(0), D("88002.20"))


def test_book_is_snapshots_and_changes_of_one_update_each(reader):
    read = reader(topic(TopicKind.BOOK, depth=50))
    levels = ((D("88000.00"), D(0)), (D("87999.50"), D("1.25")))
    assert read(BOOK, AT) == BookDelta(
        "bybit-linear", LINEAR, 1767225600464 * MS, AT, 177400507, 177400507, levels, ((D("88002.20"), D("0.40")),)
    )
    whole = changed(BOOK.replace(b'"delta"', b'"snapshot"'), b=[["88000", "1"], ["87999.5", "2"]])
    assert read(whole, AT) == OrderBook(
        "bybit-linear",
        LINEAR,
        1767225600464 * MS,
        AT,
        177400507,
        ((D(88000), D(1)), (D("87999.5"), D(2))),
        ((D("88002.20"), D("0.40")),),
    )


def test_levels_of_an_inverse_book_are_base_units_at_their_own_price(reader):
    frame = changed(BOOK, s="BTCUSD", b=[["80000", "1000"], ["50000", "0"]], a=[])
    delta = reader(topic(TopicKind.BOOK, "bybit-inverse"), "bybit-inverse")(frame, AT)
    assert delta.bids == ((D(80000), D("0.0125")), (D(50000), D(0)))


def test_liquidation_tells_the_side_of_the_closing_order(reader):
    read = reader(topic(TopicKind.LIQUIDATIONS))
    assert read(LIQUIDATION, AT) == Liquidation(
        "bybit-linear", LINEAR, 1767225600490 * MS, AT, Side.SELL, D("87000.5"), D("0.5")
    )
    inverse = reader(topic(TopicKind.LIQUIDATIONS, "bybit-inverse"), "bybit-inverse")
    short = inverse(changed(LIQUIDATION, s="BTCUSD", S="Sell", v="500", p="50000"), AT)
    assert (short.side, short.quantity, short.contracts) == (Side.BUY, D("0.01"), D(500))


BAD = [
    (TopicKind.TRADES, {}, changed(TRADES, s="ETHUSDT"), "another symbol"),
    (TopicKind.TRADES, {}, changed(TRADES, S="buy"), "neither"),
    (TopicKind.TRADES, {}, changed(TRADES, p="0"), "outside"),
    (TopicKind.TRADES, {}, changed(TRADES, v="1e999999999"), "outside"),
    (TopicKind.TRADES, {}, changed(TRADES, T=-1), "trade"),
    (TopicKind.TRADES, {}, changed(TRADES, i=""), "trade"),
    (TopicKind.LIQUIDATIONS, {}, changed(LIQUIDATION, S=""), "neither"),
    (TopicKind.TICKER, {}, changed(TICKER, symbol="ETHUSDT"), "another symbol"),
    (TopicKind.TICKER, {}, changed(TICKER, lastPrice=""), "lastPrice is missing"),
    (TopicKind.TICKER, {}, changed(TICKER, nextFundingTime="soon"), "nextFundingTime"),
    (TopicKind.TICKER, {}, TICKER.replace(b"snapshot", b"surprise"), "neither"),
    (TopicKind.CANDLES, {"interval": "1m"}, changed(CANDLE, interval="5"), "another interval"),
    (TopicKind.CANDLES, {"interval": "1m"}, CANDLE.replace(b"BTCUSDT", b"ETHUSDT"), "another topic"),
    (TopicKind.CANDLES, {"interval": "1m"}, changed(CANDLE, close="0"), "outside"),
    (TopicKind.BOOK_TICKER, {}, changed(BEST, s="ETHUSDT"), "another symbol"),
    (TopicKind.BOOK_TICKER, {}, changed(BEST, b=[["3", "1"], ["2", "1"]]), "one level"),
    (TopicKind.BOOK_TICKER, {}, BEST.replace(b"snapshot", b"delta"), "one level"),
    (TopicKind.BOOK_TICKER, {}, changed(BEST, b=[["3", "0"]]), "out of range"),
    (TopicKind.BOOK, {}, changed(BOOK, s="ETHUSDT"), "another symbol"),
    (TopicKind.BOOK, {}, changed(BOOK, u=-1), "book"),
    (TopicKind.BOOK, {}, changed(BOOK, b=[["1", "-1"]]), "above 0"),
    (TopicKind.BOOK, {}, BOOK.replace(b'"delta"', b'"gamma"'), "neither"),
    (TopicKind.BOOK, {}, changed(BOOK.replace(b'"delta"', b'"snapshot"'), b=[["1", "1"], ["2", "1"]]), "best first"),
]


@pytest.mark.parametrize(("kind", "more", "frame", "says"), BAD)
def test_frame_that_contradicts_itself_is_refused_in_words(reader, kind, more, frame, says):
    with pytest.raises(WireFormatError, match=says):
        reader(topic(kind, **more))(frame, AT)


# ---------------------------------------------------------------- control frames


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x", "req_id": "12"}, Ack(12)),
        ({"success": True, "ret_msg": "subscribe", "op": "subscribe", "conn_id": "x", "req_id": "3"}, Ack(3)),
        ({"success": True, "ret_msg": "", "op": "unsubscribe", "conn_id": "x", "req_id": "4"}, Ack(4)),
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x", "req_id": ""}, Ack(None)),
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "x"}, Ack(None)),
        ({"success": False, "ret_msg": "error:already subscribed,topic:x", "op": "subscribe", "req_id": "5"}, Ack(5)),
        (
            {
                "success": True,
                "conn_id": "x",
                "req_id": "6",
                "data": {"failTopics": ["orderbook.7.X"], "successTopics": ["y"]},
                "type": "COMMAND_RESP",
            },
            Ack(6, ("orderbook.7.X",)),
        ),
        ({"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": "", "op": "ping"}, Noise("pong", True)),
        ({"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"}, Noise("pong", True)),
        ({"args": ["1675418560633"], "op": "pong"}, Noise("pong", True)),
        ({"op": "auth", "success": True}, Noise("frame of operation auth", False)),
        ({}, Noise("frame of operation none", False)),
    ],
)
def test_control_frame_says_what_was_answered(bybit_drivers, frame, said):
    for driver in bybit_drivers.values():
        assert driver.streams.control(json.dumps(frame).encode()) == said


def test_refused_subscription_keeps_the_venues_words(bybit_drivers):
    text = "error:handler not found,topic:orderbook.500.BTCUSDT"
    said = bybit_drivers["bybit"].streams.control(
        json.dumps({"success": False, "ret_msg": text, "op": "subscribe", "req_id": "9"}).encode()
    )
    assert isinstance(said, Refusal) and said.request_id == 9
    assert isinstance(said.error, VenueRejected) and said.error.reason == text


@pytest.mark.parametrize("frame", [b"", b"nonsense", b"\xff", b"[]", b"[" * 100_000, b'{"success":"x"}'])
def test_unreadable_control_frame_is_noise(bybit_drivers, frame):
    assert bybit_drivers["bybit"].streams.control(frame) == Noise("unreadable frame", known=False)
