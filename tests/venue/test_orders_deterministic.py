"""Orders under faults, on one thread, by seed: nothing is ever called failed, filled or cancelled without the venue's word.

The far side keeps the truth: it takes, fills and cancels orders, and loses, delays or spoils whatever goes to and fro.
"""

import json
import os
import random
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from connector import Connector, ConnectorSettings, Side, Symbol, VenueSettings
from connector.assembly import Parts
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.wire import HttpResponse
from connector.drivers.registry import find_driver
from connector.errors import OutcomeUnknown
from connector.supervision import Backoff, Intensity
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLinks

SEEDS = range(int(os.environ.get("SEEDS", "10")))
BTC = Symbol("BTC", "USDT")
FINAL = {"FILLED", "CANCELED", "EXPIRED", "REJECTED"}
METHODS = {"order.place": ("POST", "order"), "order.cancel": ("DELETE", "order"), "order.status": ("GET", "order")}


class FarSide:
    """One symbol, one account. `trouble` is the share of requests that something happens to."""

    def __init__(self, runtime, chance):
        self.runtime, self.chance, self.trouble = runtime, chance, 0.0
        self.orders, self.fills, self.subscribed = {}, [], set()
        self.order_id, self.trade_id, self.version = 100, 9000, 0
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self.on_message)
        self.links.on_connect = self.links.server.accept

    # ------------------------------------------------------------ the exchange

    def now_ms(self):
        return self.runtime.time_ns() // 1_000_000

    def act(self, verb, path, query):
        """What the exchange does: (status, body)."""
        if path == "time":
            return 200, {"serverTime": self.now_ms()}
        if path == "exchangeInfo":
            symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
            symbol |= {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"]}
            info = {"timezone": "UTC", "serverTime": self.now_ms(), "rateLimits": [], "exchangeFilters": []}
            return 200, info | {"symbols": [symbol | {"filters": [], "permissions": []}]}
        if "timestamp" in query and self.now_ms() - int(query["timestamp"]) > int(query.get("recvWindow", 5000)):
            return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        if path == "order" and verb == "POST":
            return self.place(query)
        if path == "order":
            wanted = (query.get("origClientOrderId"), query.get("orderId"))
            order = next(
                (o for o in self.orders.values() if o["clientOrderId"] == wanted[0] or str(o["orderId"]) == wanted[1]),
                None,
            )
            if verb == "GET":
                return (
                    (400, {"code": -2013, "msg": "Order does not exist."})
                    if order is None
                    else (200, self.shown(order))
                )
            if order is None or order["status"] in FINAL:
                return 400, {"code": -2011, "msg": "Unknown order sent."}
            self.end(order, "CANCELED")
            return 200, self.shown(order) | {"origClientOrderId": order["clientOrderId"], "clientOrderId": "cancel"}
        if path == "openOrders":
            return 200, [self.shown(order) for order in self.orders.values() if order["status"] not in FINAL]
        if path == "allOrders":
            return 200, [self.shown(order) for order in self.orders.values()]
        if path == "myTrades":
            first = int(query.get("fromId", 0))
            return 200, [fill for fill in self.fills if fill["id"] >= first]
        if path == "account":
            return 200, {"balances": [{"asset": "USDT", "free": "1000", "locked": "0"}], "canTrade": True, "uid": 1}
        raise AssertionError(f"the far side was asked {verb} {path}")

    def place(self, query):
        name = query["newClientOrderId"]
        if name in self.orders:
            assert self.orders[name]["status"] not in FINAL, f"{name} was sent twice: it could have filled twice"
            return 400, {"code": -2010, "msg": "Duplicate order sent."}
        if self.chance.random() < 0.1:
            return 400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}
        self.order_id += 1
        order = {
            "symbol": "BTCUSDT",
            "orderId": self.order_id,
            "orderListId": -1,
            "clientOrderId": name,
            "side": query["side"],
        }
        order |= {"price": query["price"], "origQty": query["quantity"], "executedQty": "0", "cummulativeQuoteQty": "0"}
        order |= {"status": "NEW", "timeInForce": "GTC", "type": "LIMIT", "stopPrice": "0", "icebergQty": "0"}
        order |= {"origQuoteOrderQty": "0", "isWorking": True, "selfTradePreventionMode": "NONE"}
        order |= {"time": self.now_ms(), "updateTime": self.now_ms(), "workingTime": self.now_ms()}
        self.orders[name] = order
        self.tell(order, "NEW")
        if self.chance.random() < 0.4:
            self.fill(order)
        return 200, self.shown(order) | {"fills": [], "transactTime": self.now_ms()}

    def shown(self, order):
        return dict(order) | {"transactTime": self.now_ms()}

    def fill(self, order):
        left = Decimal(order["origQty"]) - Decimal(order["executedQty"])
        quantity = left if self.chance.random() < 0.5 else left / 2
        self.trade_id += 1
        fill = {
            "symbol": "BTCUSDT",
            "id": self.trade_id,
            "orderId": order["orderId"],
            "orderListId": -1,
            "time": self.now_ms(),
        }
        fill |= {"price": order["price"], "qty": str(quantity), "quoteQty": str(quantity * Decimal(order["price"]))}
        fill |= {"commission": "0.001", "commissionAsset": "BNB", "isBuyer": order["side"] == "BUY", "isMaker": True}
        self.fills.append(fill | {"isBestMatch": True})
        done = Decimal(order["executedQty"]) + quantity
        order["executedQty"], order["cummulativeQuoteQty"] = str(done), str(done * Decimal(order["price"]))
        order["status"] = "FILLED" if done == Decimal(order["origQty"]) else "PARTIALLY_FILLED"
        order["updateTime"] = self.now_ms()
        self.tell(order, "TRADE", fill)

    def end(self, order, status):
        order["status"], order["updateTime"] = status, self.now_ms()
        self.tell(order, status)

    def market(self):
        """Something resting may trade."""
        for order in list(self.orders.values()):
            if order["status"] not in FINAL and self.chance.random() < 0.1:
                self.fill(order)

    # ------------------------------------------------------------ on the wire

    def tell(self, order, kind, fill=None):
        self.version += 1
        fill = fill or {"price": "0", "qty": "0", "commission": "0", "commissionAsset": None, "id": -1, "quoteQty": "0"}
        event = {
            "e": "executionReport",
            "E": self.now_ms(),
            "s": "BTCUSDT",
            "c": order["clientOrderId"],
            "S": order["side"],
        }
        event |= {"o": "LIMIT", "f": "GTC", "q": order["origQty"], "p": order["price"], "P": "0", "F": "0", "g": -1}
        event |= {
            "C": order["clientOrderId"] if kind == "CANCELED" else "",
            "x": kind,
            "X": order["status"],
            "r": "NONE",
        }
        event |= {
            "i": order["orderId"],
            "l": fill["qty"],
            "z": order["executedQty"],
            "L": fill["price"],
            "T": self.now_ms(),
        }
        event |= {"n": fill["commission"], "N": fill["commissionAsset"], "t": fill["id"], "I": self.version, "w": True}
        event |= {"m": True, "M": True, "O": order["time"], "Z": order["cummulativeQuoteQty"], "Y": fill["quoteQty"]}
        event |= {"Q": "0", "W": order["time"], "V": "NONE"}
        frame = json.dumps({"subscriptionId": 0, "event": event}).encode()
        for link in list(self.subscribed):
            if link in self.links.live and self.chance.random() >= self.trouble / 3:
                for _ in range(1 + (self.chance.random() < self.trouble / 3)):
                    self.links.server.send(frame, link=link)

    def troubled(self):
        return self.chance.random() < self.trouble

    def answer(self, request):
        """One REST exchange, with whatever happens to it."""
        path = request.path.rsplit("/", 1)[1]
        query = dict(parse_qsl(request.query) + parse_qsl(request.body.decode()))
        lost = OutcomeUnknown("no answer") if not request.safe else None
        if self.troubled():
            what = self.chance.choice(["request lost", "answer lost", "503", "503 done", "-1007", "late"])
            if what == "late":  # it arrives, but long after we gave it up
                self.runtime.call_later(self.chance.choice([0.5, 3.0]), lambda: self.act(request.method, path, query))
            elif what in ("answer lost", "503 done", "-1007"):
                self.act(request.method, path, query)
            if what.startswith("503"):
                return self.response(503, {"code": -1000, "msg": "busy"})
            if what == "-1007":
                return self.response(504, {"code": -1007, "msg": "Timeout waiting for response from backend server."})
            return lost or self.response(502, {})
        return self.response(*self.act(request.method, path, query))

    def response(self, status, body):
        now_ns = self.runtime.time_ns()
        return HttpResponse(status, {}, json.dumps(body).encode(), now_ns, now_ns)

    def on_message(self, link, text):
        message = json.loads(text)
        if message["method"].startswith("userDataStream.subscribe"):
            self.subscribed.add(link)
            status, body = 200, {"subscriptionId": 0}
        elif message["method"] not in METHODS:
            status, body = 200, {}
        else:
            lost = self.troubled()
            if lost and self.chance.random() < 0.5:
                return
            verb, path = METHODS[message["method"]]
            status, body = self.act(verb, path, {name: str(value) for name, value in message["params"].items()})
            if lost:
                return
        reply = {"id": message["id"], "status": status, "rateLimits": []}
        reply |= {"result": body} if status == 200 else {"error": body}
        self.links.server.send(json.dumps(reply).encode(), link=link)


class Run:
    """Orders placed and cancelled in trouble, then calm, then the comparison."""

    def __init__(self, seed, *, session, trouble=0.3, kills=False):
        chance = random.Random(seed)
        self.runtime = DeterministicRuntime(seed)
        self.far = FarSide(self.runtime, chance)
        parts = Parts(
            links=lambda settings: self.far.links,
            open_http=lambda memory: (
                lambda context: MemoryHttp(
                    self.far.answer, lambda call: self.runtime.call_later(chance.choice([0.005, 0.05, 0.4]), call)
                )
            ),
            driver=find_driver,
            random=self.runtime.random,
        )
        venue = VenueSettings(
            "binance",
            rest_url="https://far.test",
            stream_url="wss://far.test",
            session_url="wss://far.test" if session else None,
            credentials=Credentials("key", secret="canary-secret"),
        )
        settings = ConnectorSettings(
            (venue,), restart=Backoff(reset_after_s=0.5), restart_limit=Intensity(max_restarts=10_000, within_s=60.0)
        )
        self.outcomes, self.events = [], []
        with Connector(settings, clock=self.runtime.clock, parts=parts, runtime=self.runtime) as connector:
            self.venue = connector.venue("binance")
            self.stream = self.venue.orders_stream(self.events.append)
            self.runtime.advance(5.0)
            self.far.trouble = trouble
            for _ in range(25):
                self.step(chance, kills)
            self.far.trouble = 0.0
            self.runtime.advance(200.0)
            self.orders = {order.client_id: order for order in self.venue.order_history()[0]}
            self.explained = {name: self.venue.explain(name)[0] for name in self.orders}
            self.counters = self.venue.snapshot().counters

    def step(self, chance, kills):
        price = Decimal(chance.randrange(50, 150))
        place = PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal("1"), price=price)
        asks = [self.venue.orders.ask(place, block=False, timeout=30.0)]
        known = [outcome.client_id for outcome in self.outcomes if outcome.kind is not OutcomeKind.REJECTED]
        if known and chance.random() < 0.5:
            cancel = CancelOrder(symbol=BTC, client_id=chance.choice(known))
            asks.append(self.venue.orders.ask(cancel, block=False, timeout=30.0))
        if kills and chance.random() < 0.3 and self.venue.orders._actor_weakref() is not None:
            crash(getattr(self.venue, chance.choice(["orders", "state", "rest", "stream"])))
        self.runtime.advance(chance.choice([0.05, 0.5, 7.0]))
        self.far.market()
        self.runtime.advance(6.0)
        for ask in asks:
            try:
                self.outcomes.append(ask.get(timeout=0.0))
            except (
                Exception
            ) as told:  # an actor was killed with it in hand: the caller hears that its effect is unknown
                assert kills, told

    def differences(self):
        """Where the read model and the far side disagree, in words."""
        found = []
        for name, order in self.orders.items():
            truth = self.far.orders.get(name)
            if truth is None:
                if order.status not in (OrderStatus.REJECTED, OrderStatus.UNKNOWN):
                    found.append(f"{name} is {order.status} here and was never there")
                continue
            if (order.status.value, order.filled) != (truth["status"].lower(), Decimal(truth["executedQty"])):
                found.append(
                    f"{name}: {order.status.value} {order.filled} here, {truth['status']} {truth['executedQty']} there"
                )
        return found

    def wrong_finals(self):
        """Final states that were told and were not true, at any time."""
        told = [event for event in self.events if getattr(event, "status", None) is not None and event.status.is_final]
        wrong = []
        for event in told:
            truth = self.far.orders.get(event.client_id)
            if truth is None:
                if event.status is not OrderStatus.REJECTED:
                    wrong.append(event)
            elif truth["status"].lower() != event.status.value:
                wrong.append(event)
        return wrong


@pytest.mark.parametrize("session", [False, True], ids=["by REST", "over the session"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_lost_on_the_way_every_order_ends_as_the_venue_says(seed, session):
    run = Run(seed, session=session)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert set(run.far.orders) <= set(run.orders)
    assert sorted(fills) == sorted(str(fill["id"]) for fill in run.far.fills)
    assert not [order for order in run.orders.values() if order.status is OrderStatus.UNKNOWN]


@pytest.mark.parametrize("seed", SEEDS)
def test_actors_that_are_killed_on_the_way_lose_no_order_and_double_no_fill(seed):
    run = Run(seed, session=True, kills=True)
    fills = [event.trade_id for event in run.events if isinstance(event, Fill)]

    assert run.differences() == []
    assert run.wrong_finals() == []
    assert len(fills) == len(set(fills))
    assert set(run.far.orders) <= set(run.orders)


def test_unknown_is_told_at_once_and_settled_later():
    run = Run(2, session=False, trouble=0.6)
    unknown = [outcome for outcome in run.outcomes if outcome.kind is OutcomeKind.UNKNOWN]

    assert unknown
    assert all(outcome.evidence for outcome in unknown)
    assert run.differences() == []


def test_without_trouble_nothing_is_ever_unknown():
    run = Run(1, session=True, trouble=0.0)

    assert {outcome.kind for outcome in run.outcomes} <= {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED}
    assert "orders.unknown" not in run.counters
    assert TimeInForce.GTC in {order.time_in_force for order in run.orders.values()}


def test_the_secret_is_in_no_outcome_event_or_explanation():
    run = Run(3, session=True, kills=True)

    assert "canary-secret" not in repr((run.outcomes, run.events, run.explained, run.counters))
