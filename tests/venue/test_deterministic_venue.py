"""The shipped venue, unchanged, on one thread under a seeded scheduler with a fake clock and a fake network.

The far side below is a few lines that keep one trade count and one book; it is the truth the client is compared with.
"""

import json
import os
import random
from contextlib import suppress

import pytest

from connector import Connector, ConnectorSettings, Gap, TopicState, VenueSettings
from connector.assembly import Parts
from connector.domain.wire import HttpResponse
from connector.drivers.registry import find_driver
from connector.supervision import Backoff, Intensity
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLinks

SEEDS = range(int(os.environ.get("SEEDS", "12")))
ACTORS = ("rest", "state", "stream", "orders")


class FarSide:
    """A venue in memory: one symbol, a trade and a book change every tenth of a second, for as long as it is asked to."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.trade_id, self.update_id = 1000, 5000
        self.topics = {}  # link -> names
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self.on_message)
        self.links.on_connect = self.links.server.accept
        runtime.call_later(0.1, self.flow)

    def http(self, context):
        return MemoryHttp(self.answer, lambda call: self.runtime.call_later(0.02, call))

    def on_message(self, link, text):
        message = json.loads(text)
        names = self.topics.setdefault(link, set())
        (names.update if message["method"] == "SUBSCRIBE" else names.difference_update)(message["params"])
        self.links.server.send(json.dumps({"result": None, "id": message["id"]}).encode(), link=link)

    def flow(self):
        self.trade_id += 1
        self.update_id += 1
        price = f"{100 + self.trade_id % 7}.00"
        trade = {"e": "trade", "E": self.trade_id, "s": "BTCUSDT", "t": self.trade_id, "p": price, "q": "1.0"}
        trade |= {"T": self.trade_id, "m": True, "M": True}
        depth = {"e": "depthUpdate", "E": self.update_id, "s": "BTCUSDT", "U": self.update_id, "u": self.update_id}
        depth |= {"b": [[f"{1 + self.update_id % 50}.00", str(self.update_id)]], "a": []}
        for link in self.links.live:
            for name, data in (("btcusdt@trade", trade), ("btcusdt@depth@100ms", depth)):
                if name in self.topics.get(link, ()):
                    frame = json.dumps({"stream": name, "data": data}, separators=(",", ":"))
                    self.links.server.send(frame.encode(), link=link)
        self.runtime.call_later(0.1, self.flow, background=True)

    def bids(self, update_id):
        """Every level as the last change at or before `update_id` left it."""
        levels = {}
        for number in range(max(5001, update_id - 49), update_id + 1):
            levels[1 + number % 50] = number
        return levels

    def answer(self, request):
        path = request.path.rsplit("/", 1)[1]
        query = dict(part.split("=") for part in request.query.split("&") if part)
        if path == "time":
            body = {"serverTime": self.runtime.time_ns() // 1_000_000}
        elif path == "exchangeInfo":
            symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
            symbol |= {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": []}
            body = {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "exchangeFilters": []}
            body["symbols"] = [symbol | {"filters": [], "permissions": []}]
            body["serverTime"] = self.runtime.time_ns() // 1_000_000
        elif path == "depth":
            bids = sorted(self.bids(self.update_id).items(), reverse=True)
            body = {"lastUpdateId": self.update_id, "bids": [[f"{p}.00", str(q)] for p, q in bids]}
            body["asks"] = [["1000.00", "1"]]
        elif path == "historicalTrades":
            first = int(query["fromId"])
            body = [
                {"id": n, "price": f"{100 + n % 7}.00", "qty": "1.0", "quoteQty": "1", "time": n}
                | {"isBuyerMaker": True, "isBestMatch": True}
                for n in range(first, min(first + 1000, self.trade_id + 1))
            ]
        elif path == "aggTrades":
            last = {"a": self.trade_id, "p": "1.0", "q": "1.0", "f": self.trade_id, "l": self.trade_id}
            body = [last | {"T": self.trade_id, "m": True, "M": True}]
        else:
            raise AssertionError(f"the far side was asked for {request.target}")
        now_ns = self.runtime.time_ns()
        return HttpResponse(200, {}, json.dumps(body).encode(), now_ns, now_ns)


class Run:
    """One whole run: flow, faults by seed, calm, comparison."""

    def __init__(self, seed, faults=True):
        self.runtime = DeterministicRuntime(seed)
        self.far = FarSide(self.runtime)
        parts = Parts(
            links=lambda settings: self.far.links,
            open_http=lambda memory: self.far.http,
            driver=find_driver,
            random=self.runtime.random,
        )
        settings = ConnectorSettings(
            (VenueSettings("binance"),),
            restart=Backoff(reset_after_s=0.5),
            restart_limit=Intensity(max_restarts=10_000, within_s=60.0),
        )
        self.connector = Connector(settings, clock=self.runtime.clock, parts=parts, runtime=self.runtime)
        self.wrong_books = []
        with self.connector:
            self.trades = self.connector.subscribe("binance", "trades", "BTC/USDT", capacity=100_000, notices=True)
            self.book = self.connector.subscribe("binance", "book", "BTC/USDT", callback=self.check_book)
            self.runtime.advance(5.0)
            self.began = self.book.delivered
            if faults:
                self.storm(random.Random(seed))
            self.runtime.advance(20.0)
            self.states = (self.trades.state, self.book.state)
            self.status = self.connector.venue("binance").snapshot()
        self.hash = self.runtime.trace_hash

    def storm(self, chance):
        venue = self.connector.venue("binance")
        for _ in range(12):
            what = chance.choice(["crash", "crash", "cut", "mute", "venue"])
            if what in ("crash", "venue"):
                with suppress(LookupError):  # it may be between two incarnations
                    crash(venue.exchange if what == "venue" else getattr(venue, chance.choice(ACTORS)))
            elif self.far.links.live:
                link = chance.choice(self.far.links.live)
                (self.far.links.server.cut if what == "cut" else self.far.links.server.silent)(link)
            self.runtime.advance(chance.choice([0.01, 0.3, 2.0, 15.0]))

    def check_book(self, update):
        if update.update_id is None:
            return
        book = self.connector.venue("binance").live_book("BTC/USDT").snapshot(None)
        ours = {int(price): int(quantity) for price, quantity in book.bids}
        if ours != self.far.bids(book.update_id):
            self.wrong_books.append(book.update_id)

    def ids(self):
        ids, gaps = [], []
        for value in self.trades:  # closed by now: ends when it is empty
            if isinstance(value, Gap):
                gaps.append(value)
            elif hasattr(value, "trade_id"):
                ids.append(value.trade_id)
        return ids, gaps


def test_a_venue_without_faults_is_live_and_right():
    run = Run(seed=1, faults=False)
    ids, gaps = run.ids()

    assert run.states == (TopicState.LIVE, TopicState.LIVE)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) > 200
    assert (gaps, run.wrong_books) == ([], [])
    assert run.book.delivered > 200


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_storm_everything_is_right_again_and_nothing_wrong_was_ever_shown(seed):
    run = Run(seed)
    ids, gaps = run.ids()
    told = {number for gap in gaps for number in range(gap.first_missing, gap.last_missing + 1) if not gap.filled}

    assert run.states == (TopicState.LIVE, TopicState.LIVE)
    assert run.wrong_books == []
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids)
    assert set(range(ids[0], ids[-1] + 1)) - set(ids) <= told


def test_the_same_seed_gives_the_same_trace_and_another_seed_another():
    assert Run(3).hash == Run(3).hash
    assert Run(3).hash != Run(4).hash


def test_a_stopped_venue_leaves_no_link_and_no_task():
    run = Run(5)

    assert run.far.links.live == []
    assert run.runtime.threads == ()
