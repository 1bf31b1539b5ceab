"""An exchange with one account and one symbol, in memory, that keeps the truth and lies on the way: requests and answers are
lost, late, cut, doubled, swapped and refused by gateways; queries are behind; events are lost, doubled and out of order.

`FarSide.orders` and `FarSide.fills` are the truth. Everything random is drawn from one seeded generator. `mixed` adds what the
plain storm has not: the whole table of order faults. `happened` counts what was really done to whom. One thread, no socket.
"""

import json
import random
from collections import Counter
from decimal import Context, Decimal
from urllib.parse import parse_qsl

from connector import Connector, ConnectorSettings, Side, Symbol, VenueSettings
from connector.assembly import Parts
from connector.domain.commands import CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.domain.wire import HttpResponse
from connector.drivers.registry import find_driver
from connector.errors import LinkError, OutcomeUnknown
from connector.supervision import Backoff, Intensity
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.testing.memory_links import MemoryLinks

BTC = Symbol("BTC", "USDT")
FINAL = {"FILLED", "CANCELED", "EXPIRED", "REJECTED"}
METHODS = {"order.place": ("POST", "order"), "order.cancel": ("DELETE", "order"), "order.status": ("GET", "order")}
METHODS["order.amend.keepPriority"] = ("PUT", "keepPriority")
EXACT = Context(prec=60)
BEHIND_S = 2.99
"""Answers to queries show the account as it was up to so long ago."""
INSIDE_S = 9.9
"""How long a request that came in time may take inside the exchange."""

PLAIN = ("request lost", "answer lost", "503", "503 done", "-1007", "late")
WRITES = (
    *PLAIN,
    "-1007 undone",
    "-1006 done",
    "html page",
    "answer cut",
    "answer late",
    "slow inside",
    "answer of another",
    "doubled on the way",
)
READS = ("request lost", "answer lost", "503", "html page", "answer cut", "answer late", "answer of another")


class FarHttp:
    """The REST port: every request is ended once, by an answer or at its deadline."""

    def __init__(self, far):
        self.far, self.runtime, self.is_closed = far, far.runtime, False

    def submit(self, request, deadline_s, done):
        ended = []

        def end(outcome):
            if not ended:
                ended.append(True)
                done(outcome)

        lost = LinkError("no answer in time") if request.safe else OutcomeUnknown("no answer in time")
        self.runtime.call_later(deadline_s - self.runtime.monotonic_s(), lambda: end(lost))
        path = request.path.rsplit("/", 1)[1]
        query = dict(parse_qsl(request.query) + parse_qsl(request.body.decode()))

        def reply(status, body, headers=()):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            now_ns = self.runtime.time_ns()
            end(HttpResponse(status, dict(headers), body, now_ns, now_ns))

        there_s = self.far.chance.choice([0.005, 0.05, 0.4])
        self.runtime.call_later(there_s, lambda: self.far.pass_on(request.method, path, query, reply, session=False))

    def close(self):
        self.is_closed = True


class FarSide:
    """`trouble` is the share of requests that something happens to."""

    def __init__(self, runtime, chance, mixed=False):
        self.runtime, self.chance, self.mixed, self.trouble = runtime, chance, mixed, 0.0
        self.orders, self.fills, self.subscribed = {}, [], set()
        self.order_id, self.trade_id, self.version = 100, 9000, 0
        self.history, self.external, self.amended = {}, set(), set()
        self.keys, self.dead_keys, self.renewed = [], set(), []
        self.touched, self.twice, self.happened = [], [], Counter()
        self.out_until_s = self.deaf_until_s = 0.0
        self.outage = "dark"
        self.totals = {"USDT": Decimal(1_000_000), "BTC": Decimal(10_000), "BNB": Decimal(1_000)}
        self.changed_ms = self.now_ms()
        self.last_body = {}
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self.on_message)
        self.links.on_connect = self.on_connect

    # ------------------------------------------------------------ the exchange

    def now_ms(self):
        return self.runtime.time_ns() // 1_000_000

    def is_out(self):
        return self.runtime.monotonic_s() < self.out_until_s

    def refused(self, query):
        """The timestamp is looked at once, as a request comes in."""
        if "timestamp" in query and self.now_ms() - int(query["timestamp"]) > int(query.get("recvWindow", 5000)):
            return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        return None

    def act(self, verb, path, query):
        """What the exchange does: (status, body)."""
        if path == "time":
            return 200, {"serverTime": self.now_ms()}
        if path == "exchangeInfo":
            symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
            symbol |= {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"]}
            symbol |= {"filters": [], "permissions": [], "amendAllowed": True}
            info = {"timezone": "UTC", "serverTime": self.now_ms(), "rateLimits": [], "exchangeFilters": []}
            return 200, info | {"symbols": [symbol]}
        if path == "userDataStream":
            return self.key(verb, query)
        if path == "order" and verb == "POST":
            return self.place(query)
        if verb == "GET":
            return self.question(path, query)
        wanted = (query.get("origClientOrderId"), query.get("orderId"))
        named = [o for o in self.orders.values() if o["clientOrderId"] == wanted[0] or str(o["orderId"]) == wanted[1]]
        order = named[0] if named else None
        if order is not None and order["clientOrderId"] in self.external:
            self.touched.append(order["clientOrderId"])
        if order is not None and self.mixed and order["status"] not in FINAL and self.chance.random() < 0.25:
            self.happened["fill just before a cancel or amend"] += 1
            self.fill(order)
        if path == "keepPriority":
            return self.amend(order, query)
        assert (path, verb) == ("order", "DELETE"), f"the far side was asked {verb} {path}"
        if order is None or order["status"] in FINAL:
            return 400, {"code": -2011, "msg": "Unknown order sent."}
        self.end(order, "CANCELED")
        return 200, self.shown(order) | {"origClientOrderId": order["clientOrderId"], "clientOrderId": "cancel"}

    def key(self, verb, query):
        """Keys of addresses, for a driver whose events come by a connection of their own."""
        if verb == "POST":
            self.keys.append(f"key{len(self.keys) + 1}")
            return 200, {"listenKey": self.keys[-1]}
        if query.get("listenKey") in self.dead_keys:
            return 400, {"code": -1125, "msg": "This listenKey does not exist."}
        self.renewed.append((self.runtime.monotonic_s(), query["listenKey"]))
        return 200, {}

    def question(self, path, query):
        """As of a moment ago, where queries are behind."""
        as_of_ms = self.now_ms() - (int(self.chance.random() * BEHIND_S * 1000) if self.mixed else 0)
        if path == "myTrades":
            first, since_ms = int(query.get("fromId", 0)), int(query.get("startTime", 0))
            found = [f for f in self.fills if f["id"] >= first and since_ms <= f["time"] <= as_of_ms]
            if "orderId" in query:
                found = [fill for fill in found if str(fill["orderId"]) == query["orderId"]]
            return 200, found[:1000]
        if path == "account":
            held = [{"asset": asset, **self.held(asset)} for asset in self.totals]
            return 200, {"balances": held, "canTrade": True, "uid": 1, "updateTime": self.changed_ms}
        seen = [self.as_of(name, as_of_ms) for name in self.orders]
        if path == "openOrders":
            return 200, [self.shown(order) for order in seen if order and order["status"] not in FINAL]
        if path == "allOrders":
            since_ms = int(query.get("startTime", 0))
            return 200, [self.shown(order) for order in seen if order and order["time"] >= since_ms]
        assert path == "order", f"the far side was asked {path}"
        wanted, number = query.get("origClientOrderId"), query.get("orderId")
        for order in seen:
            if order and wanted in (None, order["clientOrderId"]) and number in (None, str(order["orderId"])):
                return 200, self.shown(order)
        if wanted in self.orders:
            self.happened["query before it is visible"] += 1
        return 400, {"code": -2013, "msg": "Order does not exist."}

    def as_of(self, name, as_of_ms):
        if not self.mixed:
            return self.orders[name]
        return next((order for at_ms, order in reversed(self.history[name]) if at_ms <= as_of_ms), None)

    def place(self, query, external=False):
        name = query["newClientOrderId"]
        if name in self.orders:
            self.twice.append(name)
            return 400, {"code": -2010, "msg": "Duplicate order sent."}
        if not external and self.chance.random() < 0.1:
            return 400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}
        self.order_id += 1
        order = {"symbol": "BTCUSDT", "orderId": self.order_id, "orderListId": -1, "clientOrderId": name}
        order |= {"side": query["side"], "price": query["price"], "origQty": query["quantity"], "executedQty": "0"}
        order |= {"cummulativeQuoteQty": "0", "status": "NEW", "timeInForce": query.get("timeInForce", "GTC")}
        order |= {"type": "LIMIT", "stopPrice": "0", "icebergQty": "0"}
        order |= {"origQuoteOrderQty": "0", "isWorking": True, "selfTradePreventionMode": "NONE"}
        order |= {"time": self.now_ms(), "updateTime": self.now_ms(), "workingTime": self.now_ms()}
        self.orders[name] = order
        self.tell(order, "NEW")
        first = len(self.fills)
        if self.chance.random() < 0.4:
            for _ in range(self.chance.choice([1, 1, 2, 4]) if self.mixed else 1):
                if order["status"] not in FINAL:
                    self.fill(order, maker=not self.mixed)
        if order["timeInForce"] == "IOC" and order["status"] not in FINAL:
            self.end(order, "EXPIRED")
        if self.mixed and order["status"] not in FINAL and self.chance.random() < 0.6:
            self.runtime.call_later(self.chance.random() * 20.0, lambda: self.trade(order))
        told = []
        if self.mixed:
            names = {"price": "price", "qty": "qty", "commission": "commission", "commissionAsset": "commissionAsset"}
            told = [{names[n]: fill[n] for n in names} | {"tradeId": fill["id"]} for fill in self.fills[first:]]
        return 200, self.shown(order) | {"fills": told}

    def amend(self, order, query):
        if order is None or order["status"] in FINAL:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        wanted = Decimal(query["newQty"])
        if not Decimal(order["executedQty"]) < wanted < Decimal(order["origQty"]):
            return 400, {"code": -2038, "msg": "Order amend (quantity increase) is not supported."}
        order["origQty"], order["updateTime"] = query["newQty"], self.now_ms()
        self.amended.add((order["clientOrderId"], wanted))
        self.tell(order, "REPLACED")
        names = ("symbol", "orderId", "orderListId", "clientOrderId", "price", "executedQty", "status", "timeInForce")
        changed = {name: order[name] for name in (*names, "type", "side", "workingTime")}
        changed |= {"qty": order["origQty"], "cumulativeQuoteQty": order["cummulativeQuoteQty"]}
        return 200, {"transactTime": self.now_ms(), "executionId": self.version, "amendedOrder": changed}

    def shown(self, order):
        return dict(order) | {"transactTime": order["updateTime"]}

    def trade(self, order):
        if order["status"] not in FINAL:
            for _ in range(self.chance.choice([1, 2, 3])):
                if order["status"] not in FINAL:
                    self.fill(order)

    def fill(self, order, maker=True):
        left = Decimal(order["origQty"]) - Decimal(order["executedQty"])
        quantity = left
        if self.chance.random() < 0.5:
            quantity = (left * Decimal(self.chance.randrange(1, 99)) / 100).quantize(Decimal("0.00000001")) or left
        price = Decimal(order["price"])
        if not maker:  # what was on the book was better
            price += Decimal(self.chance.randrange(0, 99)) / 100 * (-1 if order["side"] == "BUY" else 1)
        fee, asset = Decimal(self.chance.randrange(1, 9_999_999)) / 100_000_000, "BNB"
        if self.mixed:
            asset = self.chance.choice(["BNB", "BNB", "BTC", "USDT"])
        self.trade_id += 1
        quote = EXACT.multiply(quantity, price)
        fill = {"symbol": "BTCUSDT", "id": self.trade_id, "orderId": order["orderId"], "orderListId": -1}
        fill |= {"time": self.now_ms(), "price": str(price), "qty": f"{quantity:f}", "quoteQty": f"{quote:f}"}
        fill |= {
            "commission": f"{fee:f}",
            "commissionAsset": asset,
            "isBuyer": order["side"] == "BUY",
            "isMaker": maker,
        }
        self.fills.append(fill | {"isBestMatch": True})
        done = Decimal(order["executedQty"]) + quantity
        order["executedQty"] = f"{done:f}"
        order["cummulativeQuoteQty"] = f"{EXACT.add(Decimal(order['cummulativeQuoteQty']), quote):f}"
        order["status"] = "FILLED" if done == Decimal(order["origQty"]) else "PARTIALLY_FILLED"
        order["updateTime"] = self.now_ms()
        sign = 1 if order["side"] == "BUY" else -1
        for name, change in (("BTC", sign * quantity), ("USDT", -sign * quote), (asset, -fee)):
            self.totals[name] = EXACT.add(self.totals[name], change)
        self.tell(order, "TRADE", fill)

    def end(self, order, status):
        order["status"], order["updateTime"] = status, self.now_ms()
        self.tell(order, status)

    def market(self):
        """Something resting may trade."""
        for order in list(self.orders.values()):
            if order["status"] not in FINAL and self.chance.random() < 0.1:
                self.fill(order)

    def another_program(self):
        """Somebody else trades on the same account."""
        self.happened["order of another program"] += 1
        name = f"web_{len(self.external)}"
        self.external.add(name)
        price = Decimal(self.chance.randrange(50, 150))
        self.place(
            {
                "newClientOrderId": name,
                "side": self.chance.choice(["BUY", "SELL"]),
                "price": str(price),
                "quantity": "2",
            },
            external=True,
        )

    def held(self, asset):
        """Free and locked, from what rests."""
        locked = Decimal(0)
        for order in self.orders.values():
            if order["status"] in FINAL or (order["side"] == "BUY") != (asset == "USDT") or asset == "BNB":
                continue
            left = Decimal(order["origQty"]) - Decimal(order["executedQty"])
            locked = EXACT.add(locked, left if asset == "BTC" else EXACT.multiply(left, Decimal(order["price"])))
        return {"free": f"{EXACT.subtract(self.totals[asset], locked):f}", "locked": f"{locked:f}"}

    # ------------------------------------------------------------ events

    def tell(self, order, kind, fill=None):
        self.version += 1
        self.changed_ms = self.now_ms()
        if self.mixed:
            self.history.setdefault(order["clientOrderId"], []).append((self.now_ms(), dict(order)))
        fill = fill or {"price": "0", "qty": "0", "commission": "0", "commissionAsset": None, "id": -1, "quoteQty": "0"}
        name = order["clientOrderId"]
        event = {"e": "executionReport", "E": self.now_ms(), "s": "BTCUSDT", "c": name, "S": order["side"]}
        event |= {"o": "LIMIT", "f": order["timeInForce"], "q": order["origQty"], "p": order["price"], "P": "0"}
        event |= {"F": "0", "g": -1, "C": "", "x": kind, "X": order["status"], "r": "NONE"}
        if kind == "CANCELED":
            event |= {"c": "of-the-cancel", "C": name}
        event |= {"i": order["orderId"], "l": fill["qty"], "z": order["executedQty"], "L": fill["price"]}
        event |= {"T": self.now_ms(), "n": fill["commission"], "N": fill["commissionAsset"], "t": fill["id"]}
        event |= {"I": self.version, "w": True, "m": fill.get("isMaker", True), "M": True, "O": order["time"]}
        event |= {"Z": order["cummulativeQuoteQty"], "Y": fill["quoteQty"], "Q": "0", "W": order["time"], "V": "NONE"}
        self.stream(event)
        if self.mixed:
            held = [(asset, self.held(asset)) for asset in self.totals]
            rows = [{"a": asset, "f": each["free"], "l": each["locked"]} for asset, each in held]
            self.stream({"e": "outboundAccountPosition", "E": self.now_ms(), "u": self.now_ms(), "B": rows})

    def stream(self, event):
        frame = json.dumps({"subscriptionId": 0, "event": event}).encode()
        lost, doubled = (0.01, 0.03) if self.mixed else (self.trouble / 3, self.trouble / 3)
        if self.mixed and not self.trouble:
            lost = doubled = 0.0
        for link in list(self.subscribed):
            if link not in self.links.live:
                continue
            if self.is_out() or self.chance.random() < lost:
                self.happened["private frame lost"] += 1
                continue
            for copy in range(1 + (self.chance.random() < doubled)):
                self.happened["private frame doubled"] += copy
                if self.mixed:
                    delay_s = self.chance.choice([0.0, 0.0, 0.1])
                    if self.trouble and self.chance.random() < 0.1:
                        self.happened["private frame out of order"] += 1
                        delay_s = self.chance.random() * 3.0
                    self.runtime.call_later(delay_s, lambda link=link: self.send(frame, link))
                else:
                    self.send(frame, link)

    def send(self, frame, link):
        if link in self.links.live:
            self.links.server.send(frame, link=link)

    # ------------------------------------------------------------ on the way

    def begin_outage(self, seconds, kind):
        """Nothing is answered ("dark"), or everything with 503."""
        self.happened[f"outage: {kind}"] += 1
        self.outage, self.out_until_s = kind, self.runtime.monotonic_s() + seconds
        for link in list(self.links.live):
            self.links.server.cut(link)

    def cut(self):
        self.happened["session cut"] += 1
        for link in list(self.links.live):
            if link in self.subscribed:
                self.links.server.cut(link)

    def heal(self):
        self.trouble, self.out_until_s, self.deaf_until_s = 0.0, 0.0, 0.0

    def on_connect(self, link=None):
        if self.is_out():
            self.links.server.fail(link)
        else:
            self.links.server.accept(link)

    def what_happens(self, verb, session):
        if self.is_out():
            return "request lost" if self.outage == "dark" or session else "503"
        if verb == "GET" and self.runtime.monotonic_s() < self.deaf_until_s:
            return self.chance.choice(["request lost", "503", "html page"])
        if self.chance.random() >= self.trouble:
            return ""
        if not self.mixed:
            return self.chance.choice(["request lost", "answer lost"] if session else PLAIN)
        return self.chance.choice(READS if verb == "GET" else WRITES)

    def pass_on(self, verb, path, query, reply, *, session):
        """One request on its way, and its answer on the way back. `path` time and list are only ever lost."""
        what = self.what_happens(verb, session)
        if what and path in ("time", "exchangeInfo"):
            if what in ("503", "html page"):
                reply(503, b"<html>busy</html>")
            return
        if what:
            self.happened[f"{'query' if verb == 'GET' else 'write'}: {what}"] += 1
        later = self.runtime.call_later

        def answer(status, body, headers=()):
            later(self.chance.choice([0.005, 0.05, 0.3]), lambda: reply(status, body, headers))

        def act():
            return self.refused(query) or self.act(verb, path, query)

        if what == "":
            answer(*self.remember(verb, path, act()))
        elif what == "request lost":
            pass
        elif what == "answer lost":
            act()
        elif what in ("503", "503 done"):
            if what == "503 done":
                act()
            answer(503, {"code": -1000, "msg": "busy"})
        elif what.startswith("-100"):
            if "undone" not in what:
                act()
            answer(504, {"code": int(what[:5]), "msg": "Timeout waiting for response from backend server."})
        elif what == "html page":
            if self.chance.random() < 0.5:
                act()
            answer(self.chance.choice([502, 500, 504]), b"<html><body>Bad Gateway</body></html>")
        elif what == "answer cut":
            status, body = act()
            text = json.dumps(body).encode()
            answer(status, text[: self.chance.randrange(len(text))])
        elif what == "late":  # it arrives, but long after the gateway gave it up
            later(self.chance.choice([0.5, 3.0, 4.9]), act)
            if not session:
                answer(503, {"code": -1000, "msg": "busy"})
        elif what == "slow inside":  # taken in time, worked off much later
            if self.refused(query) is None:
                later(self.chance.random() * INSIDE_S, lambda: self.act(verb, path, query))
        elif what == "answer late":
            outcome = act()
            later(self.chance.random() * 60.0, lambda: reply(*outcome))
        elif what == "answer of another":
            outcome = act()
            answer(*(self.last_body.get((verb, path)) or outcome))
        elif what == "doubled on the way":
            outcome = act()
            order = self.orders.get(query.get("newClientOrderId"))
            if path == "order" and verb == "POST" and order is not None and order["status"] not in FINAL:
                outcome = 400, {"code": -2010, "msg": "Duplicate order sent."}
                self.happened["duplicate id refused"] += 1
            answer(*outcome)

    def remember(self, verb, path, outcome):
        if outcome[0] == 200 and path in ("order", "keepPriority"):
            self.last_body[verb, path] = outcome
        return outcome

    def on_message(self, link, text):
        message = json.loads(text)

        def reply(status, body, headers=()):
            if isinstance(body, bytes):
                self.send(body, link)
                return
            frame = {"id": message["id"], "status": status, "rateLimits": []}
            frame |= {"result": body} if status == 200 else {"error": body}
            self.send(json.dumps(frame).encode(), link)

        if self.is_out():
            return
        if message["method"].startswith("userDataStream.subscribe"):
            self.subscribed.add(link)
            reply(200, {"subscriptionId": 0})
        elif message["method"] not in METHODS:
            reply(200, {})
        else:
            verb, path = METHODS[message["method"]]
            query = {name: str(value) for name, value in message["params"].items()}
            self.pass_on(verb, path, query, reply, session=True)


def connect(far, chance, *, session, driver=None, **account):
    """A connector whose venue is the far side, on its runtime. `driver`: another than Binance spot's, that it understands."""
    runtime = far.runtime
    parts = Parts(
        links=lambda settings: far.links,
        open_http=lambda memory: lambda context: FarHttp(far),
        driver=find_driver if driver is None else lambda name: driver,
        random=runtime.random,
    )
    venue = VenueSettings(
        "binance",
        rest_url="https://far.test",
        stream_url="wss://far.test",
        session_url="wss://far.test" if session else None,
        credentials=Credentials("key", secret="canary-secret"),
        **account,
    )
    settings = ConnectorSettings(
        (venue,), restart=Backoff(reset_after_s=0.5), restart_limit=Intensity(max_restarts=10_000, within_s=60.0)
    )
    return Connector(settings, clock=runtime.clock, parts=parts, runtime=runtime)


class Judge:
    """What was told, compared with the truth as it was told and at the end."""

    def __init__(self, far):
        self.far, self.events, self.lies = far, [], []
        self.known_since = {}

    def hear(self, event):
        self.events.append(event)
        if not isinstance(event, Order):
            return
        if event.status is not OrderStatus.UNKNOWN:
            self.known_since.setdefault(event.client_id, self.far.runtime.monotonic_s())
        if event.status.is_final and not self.is_true(event):
            self.lies.append(f"told too early or wrong: {event}")
        truth = self.far.orders.get(event.client_id)
        if truth is not None and event.filled > Decimal(truth["executedQty"]):
            self.lies.append(f"told more filled than there is: {event}")

    def is_true(self, order):
        """Of a final order."""
        truth = self.far.orders.get(order.client_id)
        if truth is None:
            return order.status is OrderStatus.REJECTED
        return (order.status.value, order.filled) == (truth["status"].lower(), Decimal(truth["executedQty"]))

    def wrong_finals(self):
        """Final states that were told and were not true, at any time."""
        finals = [event for event in self.events if isinstance(event, Order) and event.status.is_final]
        return [*self.lies, *(f"{event}" for event in finals if not self.is_true(event))]

    def fills(self):
        return [event.trade_id for event in self.events if isinstance(event, Fill)]


class Run:
    """Orders placed and cancelled in trouble, then calm, then the comparison."""

    def __init__(self, seed, *, session, trouble=0.3, kills=False, driver=None):
        chance = random.Random(seed)
        self.runtime = DeterministicRuntime(seed)
        self.far = FarSide(self.runtime, chance)
        self.judge = Judge(self.far)
        self.events = self.judge.events
        self.outcomes = []
        with connect(self.far, chance, session=session, driver=driver) as connector:
            self.venue = connector.venue("binance")
            self.stream = self.venue.orders_stream(self.judge.hear)
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
        return [*self.far.twice, *differences(self.far, self.orders)]

    def wrong_finals(self):
        return self.judge.wrong_finals()


def differences(far, orders):
    """Where the read model and the far side disagree, in words."""
    found = []
    for name, order in orders.items():
        truth = far.orders.get(name)
        if truth is None:
            if order.status not in (OrderStatus.REJECTED, OrderStatus.UNKNOWN):
                found.append(f"{name} is {order.status} here and was never there")
            continue
        here = (order.status.value, order.filled, order.quantity, order.price)
        there = (truth["status"].lower(), *(Decimal(truth[n]) for n in ("executedQty", "origQty", "price")))
        if here != there:
            found.append(f"{name}: {here} here, {there} there")
    return found
