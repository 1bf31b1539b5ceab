"""Venues whose streams have other manners: topics on several connections, heartbeats, acknowledgements that prove nothing,
several values in a frame, trades without counted ids, books that bring their own snapshots.

A driver of an invented venue, made of Binance spot's and a stream language of its own, under the seeded scheduler.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from connector import BookState, Connector, ConnectorSettings, Gap, TopicState, VenueSettings
from connector.assembly import Parts
from connector.books.rule import BookRule, Continuity
from connector.domain.instruments import InstrumentTable
from connector.domain.market import BookDelta, OrderBook, Side, Trade
from connector.domain.queries import InstrumentsQuery, RecentTradesQuery
from connector.domain.topics import TopicKind
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.contract import Ack, Heartbeat, Noise
from connector.drivers.registry import find_driver
from connector.errors import BookNotValid, WireFormatError
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLinks

LIMITS = replace(
    find_driver("binance").streams.limits,
    heartbeat=Heartbeat(20.0, b'{"op":"ping"}'),
    ack_proves=False,
    frame_spacing_s=0.1,
)


class Streams:
    """Frames are {"topic", "seq", ...}; trades go over connections of group "tape", everything else over "books"."""

    def __init__(self, limits=LIMITS):
        self.limits = limits

    def group(self, topic):
        return "tape" if topic.kind is TopicKind.TRADES else "books"

    def url(self, hosts, group=""):
        return f"wss://far.test/{group}"

    def name(self, topic):
        return f"{topic.kind.value}:{topic.symbol.base}"

    def subscribe(self, names, request_id):
        return json.dumps({"op": "subscribe", "args": list(names), "id": request_id}).encode()

    def unsubscribe(self, names, request_id):
        return json.dumps({"op": "unsubscribe", "args": list(names), "id": request_id}).encode()

    def route(self, frame):
        topic = json.loads(frame).get("topic")
        return None if topic is None else topic.encode()

    def control(self, frame):
        said = json.loads(frame)
        if said.get("op") == "pong":
            return Noise("pong", known=True)
        return Ack(None, tuple(said.get("refused", ())))

    def reader(self, topic, instrument):
        seen = [0]  # frames of this connection: a reader is of one connection only

        def read(frame, received_ns):
            said = json.loads(frame)
            seen[0] += 1
            if "bad" in said:
                raise WireFormatError("frame", "bad", frame)
            if topic.kind is TopicKind.TRADES:
                return [
                    Trade(
                        "binance",
                        topic.symbol,
                        1,
                        received_ns,
                        each,
                        Decimal(seen[0]),
                        Decimal(1),
                        Side.BUY,
                        False,
                        None,
                        said["seq"],
                    )
                    for each in said["ids"]
                ]
            levels = ((Decimal(said["price"]), Decimal(1)),), ((Decimal(200), Decimal(1)),)
            if said["kind"] == "snapshot":
                return OrderBook("binance", topic.symbol, None, received_ns, said["seq"], *levels)
            return BookDelta("binance", topic.symbol, None, received_ns, said["seq"], said["seq"], *levels)

        return read


def _next(update_id, delta):
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.NEXT if delta.last_update_id == update_id + 1 else Continuity.GAP


RULE = BookRule(None, _next, lambda snapshot, delta: True, _next, "invented")


class FarSide:
    """Acknowledges everything; sends what a test tells it to."""

    def __init__(self, runtime):
        self.runtime, self.topics, self.pings = runtime, {}, []
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self.on_message)
        self.links.on_connect = self.links.server.accept
        self.brings_snapshots = True
        self.refuses = set()
        self.recent = []
        self.asked = []
        self.seq = count(100)

    def on_message(self, link, text):
        said = json.loads(text)
        if said["op"] == "ping":
            self.pings.append(self.runtime.monotonic_s())
            self.links.server.send(b'{"op":"pong"}', link=link)
            return
        names = self.topics.setdefault(link, set())
        refused = [name for name in said["args"] if name in self.refuses]
        (names.update if said["op"] == "subscribe" else names.difference_update)(set(said["args"]) - set(refused))
        self.links.server.send(json.dumps({"ok": True, "refused": refused}).encode(), link=link)
        if said["op"] == "subscribe" and self.brings_snapshots:
            for name in said["args"]:
                if name.startswith("book:"):
                    self.send(name, kind="snapshot", price="100")

    def link_of(self, name):
        return next((link for link in reversed(self.links.live) if name in self.topics.get(link, ())), None)

    def send(self, name, seq=None, **fields):
        frame = {"topic": name, "seq": next(self.seq) if seq is None else seq, **fields}
        self.links.server.send(json.dumps(frame).encode(), link=self.link_of(name))

    def http(self, context):
        return MemoryHttp(self.answer, lambda call: self.runtime.call_later(0.02, call))

    def answer(self, request):
        path = request.path.rsplit("/", 1)[1]
        self.asked.append(path)
        now_ns = self.runtime.time_ns()
        if path == "exchangeInfo":
            base = "ETH" if request.query == "page=2" else "BTC"
            symbol = {"symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT"}
            symbol |= {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": []}
            body = {"timezone": "UTC", "serverTime": now_ns // 10**6, "rateLimits": [], "exchangeFilters": []}
            body["symbols"] = [symbol | {"filters": [], "permissions": []}]
        elif path == "time":
            body = {"serverTime": now_ns // 10**6}
        elif path == "depth":
            body = {"lastUpdateId": 1, "bids": [["100", "1"]], "asks": [["200", "1"]]}
        else:
            body = self.recent
        return HttpResponse(200, {}, json.dumps(body).encode(), now_ns, now_ns)


class Rest:
    """Binance's REST, but recent trades have a sequence, and the instrument list has two pages."""

    def __init__(self, rest):
        self._rest = rest

    def __getattr__(self, name):
        return getattr(self._rest, name)

    def more(self, query, response):
        if type(query) is InstrumentsQuery and b"BTCUSDT" in response.body:
            return HttpRequest("GET", "/api/v3/exchangeInfo", "page=2", safe=True)
        return None

    def joined(self, query, parts):
        listed = [instrument for part in parts for instrument in part.instruments.values()]
        return replace(parts[0], instruments=InstrumentTable("binance", listed))

    def read(self, query, response, instruments):
        if type(query) is not RecentTradesQuery:
            return self._rest.read(query, response, instruments)
        return tuple(
            Trade("binance", query.symbol, 1, 2, trade_id, Decimal(1), Decimal(1), Side.BUY, False, None, seq)
            for seq, trade_id in json.loads(response.body)
        )


@contextmanager
def venue(limits=LIMITS):
    runtime = DeterministicRuntime(7)
    far = FarSide(runtime)
    spot = find_driver("binance")
    driver = replace(spot, streams=Streams(limits), book_rule=RULE, trade_ids="opaque", rest=Rest(spot.rest))
    parts = Parts(
        links=lambda settings: far.links,
        open_http=lambda memory: far.http,
        driver=lambda name: driver,
        random=runtime.random,
    )
    connector = Connector(
        ConnectorSettings((VenueSettings("binance"),)), clock=runtime.clock, parts=parts, runtime=runtime
    )
    with connector:
        runtime.advance(2.0)
        yield runtime, far, connector


@pytest.fixture
def bench():
    with venue() as made:
        yield made


def taken(subscription):
    """Everything delivered so far."""
    return [subscription.get(timeout_s=0.0) for _ in range(subscription.waiting)]


def test_every_counter_left_to_these_tests_is_reached_here():
    """The system test that looks for counters at zero leaves these out: see OTHER_MANNERS there."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'counter(connector, "{name}")' in text for name in LEFT_TO_US)


LEFT_TO_US = {"book.renewals", "book.stream_snapshots", "rest.pages", "stream.attempts_woken", "stream.heartbeats"}


def counter(connector, name):
    return connector.venue("binance").snapshot().counters.get(name, 0)


def test_topics_of_different_groups_never_share_a_connection(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "trades", "BTC/USDT")
    connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)

    assert {link.settings.url: far.topics[link] for link in far.links.live} == {
        "wss://far.test/tape": {"trades:BTC"},
        "wss://far.test/books": {"book:BTC"},
    }


def test_the_venue_hears_the_heartbeat_it_wants_as_often_as_it_wants(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(61.0)

    assert len(far.pings) == 3
    assert counter(connector, "stream.heartbeats") == 3


def test_an_acknowledgement_that_proves_nothing_confirms_nothing_and_data_does(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    assert trades.state is TopicState.WANTED

    far.send("trades:BTC", ids=["a"])
    runtime.advance(1.0)
    assert trades.state is TopicState.LIVE


def test_a_question_that_shows_nothing_newer_confirms_a_quiet_topic(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(120.0)

    assert trades.state is TopicState.CONFIRMED
    assert "trades" in far.asked


def test_a_topic_that_is_acknowledged_and_never_sends_what_happens_is_stale_not_live(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    for number in range(240):
        runtime.advance(1.0)
        far.recent = [[number, f"t{number}"]]

    assert trades.state is TopicState.STALE
    assert counter(connector, "stream.silent_topics") >= 1


def test_values_after_an_acknowledgement_that_proves_nothing_tell_how_busy_a_topic_is(bench):
    """It fell silent within its first half second: that is noticed as soon as on any busy topic, not after a minute."""
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    for number in range(5):
        far.send("trades:BTC", ids=[f"t{number}"])
    far.recent = [[10_000, "newer"]]
    runtime.advance(10.0)

    assert trades.state is not TopicState.LIVE
    assert counter(connector, "stream.silent_topics") == 1


def test_a_name_refused_in_an_acknowledged_frame_is_refused_and_the_others_are_not(bench):
    runtime, far, connector = bench
    far.refuses = {"ticker:BTC"}
    refused = connector.subscribe("binance", "ticker", "BTC/USDT")
    book = connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)

    assert refused.state is TopicState.REFUSED
    assert book.state is TopicState.LIVE


def test_every_value_of_a_frame_is_delivered_once_though_several_share_a_sequence(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    far.send("trades:BTC", seq=5, ids=["a", "b"])
    far.send("trades:BTC", seq=5, ids=["b", "c"])
    far.send("trades:BTC", seq=4, ids=["z"])
    far.send("trades:BTC", seq=6, ids=["d"])
    runtime.advance(1.0)

    assert [trade.trade_id for trade in taken(trades)] == ["a", "b", "c", "d"]


def test_after_an_interruption_what_the_venue_still_shows_is_filled_in_and_the_gap_told(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT", notices=True)
    runtime.advance(2.0)
    far.send("trades:BTC", seq=5, ids=["a"])
    runtime.advance(0.5)
    far.recent = [[4, "old"], [5, "a"], [5, "b"], [7, "c"], [8, "d"]]
    far.links.server.cut(link=far.link_of("trades:BTC"))
    runtime.advance(3.0)
    far.send("trades:BTC", seq=8, ids=["d", "e"])
    runtime.advance(3.0)

    told = list(taken(trades))
    assert [(each.trade_id, each.recovered) for each in told if isinstance(each, Trade)] == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("d", False),
        ("e", False),
    ]
    (gap,) = [each for each in told if isinstance(each, Gap)]
    assert (gap.missing, gap.first_missing, gap.filled) == (None, None, 2)


def test_a_reader_is_made_for_each_connection_and_keeps_nothing_of_the_last(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    for number in range(3):
        far.send("trades:BTC", ids=[f"x{number}"])
    runtime.advance(0.5)
    far.links.server.cut(link=far.link_of("trades:BTC"))
    runtime.advance(3.0)
    far.send("trades:BTC", ids=["y"])
    runtime.advance(6.0)

    assert [int(trade.price) for trade in taken(trades)] == [1, 2, 3, 1]


def test_a_book_lives_from_its_streams_own_snapshots_and_asks_for_none(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)
    far.send("book:BTC", kind="delta", price="101")
    runtime.advance(0.5)

    book = connector.venue("binance").live_book("BTC/USDT")
    assert book.best().bid == 101
    assert "depth" not in far.asked
    assert counter(connector, "book.stream_snapshots") == 1


def test_a_gap_drops_the_book_and_subscribes_again_until_a_snapshot_comes(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)
    book = connector.venue("binance").live_book("BTC/USDT")
    far.brings_snapshots = False
    next(far.seq)
    far.send("book:BTC", kind="delta", price="101")
    runtime.advance(0.05)
    with pytest.raises(BookNotValid):
        book.best()

    runtime.advance(20.0)
    assert book.state is not BookState.VALID
    assert counter(connector, "book.renewals") >= 2
    far.brings_snapshots = True
    runtime.advance(40.0)
    assert book.state is BookState.VALID


def test_an_update_that_cannot_be_read_voids_the_book_until_a_fresh_snapshot(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)
    book = connector.venue("binance").live_book("BTC/USDT")
    assert book.state is BookState.VALID
    far.brings_snapshots = False
    far.send("book:BTC", bad=True)
    runtime.advance(0.05)
    with pytest.raises(BookNotValid):
        book.best()

    far.brings_snapshots = True
    runtime.advance(40.0)
    assert book.state is BookState.VALID


def test_a_list_of_several_pages_is_answered_whole(bench):
    _runtime, far, connector = bench

    assert {str(symbol) for symbol in connector.venue("binance").instruments()[0]} == {"BTC/USDT", "ETH/USDT"}
    assert far.asked.count("exchangeInfo") == 2
    assert counter(connector, "rest.pages") == 1


def test_a_snapshot_in_mid_stream_replaces_the_book_though_its_number_is_lower(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "book", "BTC/USDT")
    runtime.advance(2.0)
    far.send("book:BTC", seq=1, kind="snapshot", price="55")
    far.send("book:BTC", seq=2, kind="delta", price="56")
    runtime.advance(0.5)

    assert connector.venue("binance").live_book("BTC/USDT").best().bid == 56


# ---------------------------------------------------------------- connections


def test_a_refused_upgrade_is_not_tried_again_before_the_time_the_venue_named(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    far.links.on_connect = lambda link: far.links.server.refuse(503, link, retry_after_s=100.0)
    far.links.server.cut(far.link_of("trades:BTC"))
    runtime.advance(5.0)
    refused = len(far.links.opened)
    runtime.advance(90.0)
    assert len(far.links.opened) == refused

    runtime.advance(10.0)
    assert len(far.links.opened) == refused + 1


def test_connections_that_break_five_seconds_apart_are_each_replaced_at_once(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(5.0)
    for _ in range(5):
        far.links.server.cut(far.link_of("trades:BTC"))
        runtime.advance(0.5)
        assert far.link_of("trades:BTC") is not None
        runtime.advance(4.5)


def test_a_venue_that_accepts_answers_and_hangs_up_is_not_hammered(bench):
    runtime, far, connector = bench
    connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(5.0)
    hears = far.links.on_message

    def hang_up(link, text):
        hears(link, text)
        runtime.call_later(0.05, lambda: link in far.links.live and far.links.server.cut(link))

    far.links.on_message = hang_up
    opened = len(far.links.opened)
    far.links.server.cut(far.link_of("trades:BTC"))
    runtime.advance(20.0)
    assert len(far.links.opened) - opened <= 20
    runtime.advance(280.0)
    assert len(far.links.opened) - opened <= 60


def both(connector):
    return [connector.subscribe("binance", kind, "BTC/USDT") for kind in ("trades", "book")]


def test_while_a_host_is_out_of_reach_its_connections_try_no_oftener_than_one_would(bench):
    runtime, far, connector = bench
    both(connector)
    runtime.advance(5.0)
    opened = len(far.links.opened)
    far.links.on_connect = far.links.server.fail
    for link in far.links.live:
        far.links.server.cut(link)
    runtime.advance(20.0)
    tried = far.links.opened[opened:]
    assert 10 <= len(tried) <= 25
    assert len({link.settings.url for link in tried}) == 2, "they take turns"
    runtime.advance(280.0)
    assert len(far.links.opened) - opened <= 50


@pytest.mark.parametrize("outage_s", [20.0, 600.0])
def test_the_first_that_is_answered_wakes_the_others(bench, outage_s):
    runtime, far, connector = bench
    topics = both(connector)
    runtime.advance(5.0)
    far.links.on_connect = far.links.server.fail
    for link in far.links.live:
        far.links.server.cut(link)
    runtime.advance(outage_s)
    far.links.on_connect = far.links.server.accept
    waited_s = 0.0
    while not far.links.live:
        runtime.advance(0.1)
        waited_s += 0.1
    assert waited_s <= (2.5 if outage_s <= 20.0 else 15.5)
    runtime.advance(1.0)

    assert len(far.links.live) == 2
    assert counter(connector, "stream.attempts_woken") == 1
    far.send("trades:BTC", ids=["a"])
    runtime.advance(0.5)
    assert [topic.state for topic in topics] == [TopicState.LIVE] * 2


def test_whoever_waits_as_long_as_the_venue_said_is_not_woken_before(bench):
    runtime, far, connector = bench
    both(connector)
    runtime.advance(5.0)
    opened = len(far.links.opened)

    def refuse_one(link):
        if link.settings.url.endswith("tape"):
            far.links.server.refuse(503, link, retry_after_s=60.0)
        else:
            far.links.server.fail(link)

    far.links.on_connect = refuse_one
    for link in far.links.live:
        far.links.server.cut(link)
    runtime.advance(10.0)
    far.links.on_connect = far.links.server.accept
    runtime.advance(40.0)
    tape = [link for link in far.links.opened[opened:] if link.settings.url.endswith("tape")]
    assert len(tape) == 1 and far.link_of("book:BTC") is not None

    runtime.advance(15.0)
    assert far.link_of("trades:BTC") is not None


def test_missed_trades_are_there_before_the_stream_brings_the_first(bench):
    runtime, far, connector = bench
    trades = connector.subscribe("binance", "trades", "BTC/USDT")
    runtime.advance(2.0)
    for each in range(10):
        far.send("trades:BTC", seq=each, ids=[f"t{each}"])
        runtime.advance(0.5)
    taken(trades)
    far.recent = [(9, "t9"), (10, "t10"), (11, "t11")]
    runtime.advance(1.0)
    far.links.server.cut(far.link_of("trades:BTC"))
    runtime.advance(1.0)

    assert [(trade.trade_id, trade.recovered) for trade in taken(trades)] == [("t10", True), ("t11", True)]
    assert trades.state is not TopicState.LIVE, "the stream itself has not spoken"
    far.send("trades:BTC", seq=11, ids=["t11"])
    far.send("trades:BTC", seq=12, ids=["t12"])
    runtime.advance(0.1)
    assert [trade.trade_id for trade in taken(trades)] == ["t12"]
    assert counter(connector, "feed.catch_ups") == 1


def test_no_more_connections_are_tried_than_the_venue_allows_however_many_are_lost():
    with venue(replace(LIMITS, connects=25, connects_window_s=300.0)) as (runtime, far, connector):
        trades = connector.subscribe("binance", "trades", "BTC/USDT")
        runtime.advance(2.0)
        far.links.on_connect = lambda link: far.links.server.refuse(503, link)
        far.links.server.cut(far.link_of("trades:BTC"))
        runtime.advance(250.0)
        assert len(far.links.opened) == 5  # a fifth of what is allowed
        assert counter(connector, "stream.connects_delayed") >= 1

        far.links.on_connect = far.links.server.accept
        runtime.advance(100.0)
        far.send("trades:BTC", ids=["a"])
        runtime.advance(1.0)
        assert trades.state is TopicState.LIVE


def test_an_old_connection_is_kept_until_the_new_one_carries_every_topic():
    with venue(replace(LIMITS, max_age_s=100.0, rollover_before_s=40.0, ack_proves=True)) as (runtime, far, connector):
        trades = connector.subscribe("binance", "trades", "BTC/USDT")
        runtime.advance(2.0)
        old = far.link_of("trades:BTC")
        far.send("trades:BTC", ids=["a"])
        hears = far.links.on_message
        far.links.on_message = lambda link, text: hears(link, text) if link is old else None
        runtime.advance(63.0)
        new = far.links.opened[-1]
        assert new is not old and old in far.links.live, "the new one is open, and nothing is confirmed on it"

        far.links.on_message = hears
        runtime.advance(10.0)
        far.send("trades:BTC", ids=["b"])
        runtime.advance(1.0)
        assert old not in far.links.live and far.link_of("trades:BTC") in far.links.live
        assert [trade.trade_id for trade in taken(trades)] == ["a", "b"]
