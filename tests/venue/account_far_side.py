"""A small exchange that holds one account, in memory: its ledger is the truth the read model is compared with.

It fills orders by chance, tells so on a private stream that loses, doubles, delays and reorders, and answers questions as of a
moment ago. Orders are put into it directly; how they are sent is not its subject.
"""

import json
import pickle
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode

import msgspec

from connector import VenueSettings
from connector.assembly import Parts
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.registry import find_driver
from connector.drivers.trading import Auth, OrderRules
from connector.errors import AuthenticationFailed, LinkError, RateLimited, VenueUnavailable
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLinks
from connector.venue.private import PrivateUp
from connector.venue.session import AccountDoubt, AccountFacts

BTC = Symbol("BTC", "USDT")
ETH = Symbol("ETH", "USDT")
SYMBOLS = (BTC, ETH)
VISIBLE_AFTER_S = 1.0
NAME = "far"


@dataclass
class Resting:
    """One order as the exchange has it."""

    symbol: Symbol
    client_id: str
    venue_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    status: OrderStatus = OrderStatus.NEW
    filled: Decimal = Decimal(0)
    version: int = 1
    fills: list[Fill] = field(default_factory=list)


class Language:
    """The private half of a driver that speaks in pickles."""

    rules = OrderRules("[a-z0-9]+", 36, 5_000, 1.0, VISIBLE_AFTER_S, frozenset(), frozenset(), "none")
    limits = ()
    not_open_codes = frozenset()
    duplicate_id_texts = frozenset()

    def auth(self, credentials):
        return Auth(credentials.key, lambda payload: "signature", "hmac")

    def _request(self, what, now_ms, **query):
        query = {name: str(value) for name, value in query.items() if value is not None}
        return HttpRequest("GET", f"/account/{what}", urlencode({**query, "t": now_ms}))

    def more(self, request, response, auth, now_ms):
        return None

    def order(self, client_id, venue_id, instrument, auth, now_ms, current=None):
        return self._request("order", now_ms, symbol=instrument.symbol, client_id=client_id, venue_id=venue_id)

    def open_orders(self, instrument, auth, now_ms):
        return self._request("open", now_ms)

    def orders_since(self, instrument, start_ns, auth, now_ms):
        return self._request("orders", now_ms, symbol=instrument.symbol)

    def fills(self, instrument, from_id, start_ns, venue_id, auth, now_ms):
        return self._request(
            "fills", now_ms, symbol=instrument.symbol, from_id=from_id, start_ns=start_ns, venue_id=venue_id
        )

    def balances(self, auth, now_ms):
        return self._request("balances", now_ms)

    def _read(self, response):
        failure = self.failure(response, write=False)
        if failure is not None:
            raise failure
        return pickle.loads(response.body)

    def read_order(self, response, instrument):
        return self._read(response)

    def read_orders(self, response, instruments):
        return self._read(response)

    def read_fills(self, response, instrument):
        return self._read(response)

    def read_balances(self, response):
        return self._read(response)

    def failure(self, response, *, write):
        if response.status == 429:
            return RateLimited("too many", retry_after_s=1.0)
        if response.status == 401:
            return AuthenticationFailed("this key is not known")
        return None if response.status == 200 else VenueUnavailable(f"status {response.status}")

    def used(self, response):
        return {}


class FarSide:
    """The exchange. `ledger` is the truth; `tell` is what gets through of it."""

    PAGE = 3

    def __init__(self, runtime, chance):
        self.runtime, self.chance = runtime, chance
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later)
        self.links.on_connect = self.links.server.accept
        self.orders: dict[str, Resting] = {}
        self.log: list[tuple[int, OrderReport]] = []
        self.balance_log = []
        self.holdings = {"BTC": Decimal(10), "ETH": Decimal(10), "USDT": Decimal(100_000)}
        self.next_id = 100
        self.storming = False
        self.bad_answers = 0.0
        self.is_mute = self.refuses_key = False
        self.hidden = None  # a client id that questions do not show
        self.connection = None
        self.memory = None
        self.state = None
        self.questions: list[str] = []
        self._note_balances()

    # ------------------------------------------------------------ assembling

    def parts(self):
        driver = replace(find_driver("binance"), trading=Language(), session=None)
        return Parts(
            links=lambda settings: self.links,
            open_http=lambda memory: self.http,
            driver=lambda name: driver,
            random=self.runtime.random,
        )

    def settings(self, store=None, **changes):
        credentials = Credentials("key-of-the-account", secret="secret-of-the-account")
        return VenueSettings("binance", name=NAME, credentials=credentials, store=store, backfill=False, **changes)

    def attach(self, connector):
        self.memory = connector._assembly.memories[NAME]
        self.state = connector.venue(NAME).state

    def http(self, context):
        def later(call):
            delay_s = 0.02
            if self.storming and self.chance.random() < 0.2:
                delay_s = self.chance.choice([1.0, 5.0, 15.0])
            self.runtime.call_later(delay_s, call)

        return MemoryHttp(self.answer, later)

    # ------------------------------------------------------------ the private session

    def come_up(self):
        self.connection = SimpleNamespace(link=object(), number=self.next_id)
        self.memory.trading.session.put_up(self.connection)
        self.state.tell(PrivateUp(self.next_id))

    def go_down(self):
        self.memory.trading.session.lose(self.connection, "cut")
        self.connection = None
        self.state.tell(AccountDoubt("the private session ended"))

    def tell(self, *facts):
        if self.connection is None:
            return
        for fact in facts:
            copies, delay_s = 1, 0.0
            if self.storming:
                copies = self.chance.choice([0, 1, 1, 1, 1, 1, 1, 2])
                delay_s = self.chance.choice([0.0, 0.0, 0.3, 2.0])
            for _ in range(copies):
                self._deliver(fact, delay_s)
                delay_s += self.chance.choice([0.0, 1.0])

    def _deliver(self, fact, delay_s):
        connection = self.connection

        def arrive():
            if self.connection is connection:  # what was on its way is lost with its connection
                self.state.tell(AccountFacts((fact,), "stream"))

        if delay_s:
            self.runtime.call_later(delay_s, arrive)
        else:
            arrive()

    # ------------------------------------------------------------ the ledger

    def now_ns(self):
        return self.runtime.time_ns()

    def place(self, client_id, symbol=BTC, side=Side.BUY, quantity="1", price="100"):
        self.next_id += 1
        order = Resting(symbol, client_id, str(self.next_id), side, Decimal(quantity), Decimal(price))
        self.orders[client_id] = order
        self._changed(order)
        return order

    def fill(self, order, quantity):
        self.next_id += 1
        fill = Fill(
            venue=NAME,
            symbol=order.symbol,
            event_time_ns=self.now_ns(),
            received_ns=self.now_ns(),
            trade_id=str(self.next_id),
            client_id="",
            venue_id=order.venue_id,
            side=order.side,
            price=order.price,
            quantity=quantity,
            fee=Decimal("0.001"),
            fee_asset=order.symbol.quote,
            is_maker=True,
        )
        order.fills.append(fill)
        order.filled += quantity
        order.status = OrderStatus.FILLED if order.filled == order.quantity else OrderStatus.PARTIALLY_FILLED
        sign = 1 if order.side is Side.BUY else -1
        self.holdings[order.symbol.base] += sign * quantity
        self.holdings["USDT"] -= sign * quantity * order.price + fill.fee
        self._changed(order, fill)
        self._note_balances()
        self.tell(self.balance_report(complete=False))

    def cancel(self, order):
        order.status = OrderStatus.CANCELED
        self._changed(order)

    def _changed(self, order, fill=None):
        order.version += 1
        report = OrderReport(
            venue=NAME,
            symbol=order.symbol,
            event_time_ns=self.now_ns(),
            received_ns=self.now_ns(),
            client_id=order.client_id,
            venue_id=order.venue_id,
            side=order.side,
            type=OrderType.LIMIT,
            type_text="LIMIT",
            time_in_force=TimeInForce.GTC,
            status=order.status,
            status_text=order.status.name,
            quantity=order.quantity,
            filled=order.filled,
            quote_filled=order.filled * order.price,
            price=order.price,
            version=order.version,
            fill=None if fill is None else msgspec.structs.replace(fill, client_id=order.client_id),
        )
        self.log.append((self.now_ns(), report))
        self.tell(report)

    def _note_balances(self):
        self.balance_log.append((self.now_ns(), dict(self.holdings)))

    def balance_report(self, complete, as_of_ns=None):
        at_ns, holdings = next(
            entry
            for entry in reversed(self.balance_log)
            if as_of_ns is None or entry[0] <= as_of_ns or entry is self.balance_log[0]
        )
        told = tuple((asset, amount, Decimal(0)) for asset, amount in holdings.items() if amount or not complete)
        return BalanceReport(NAME, at_ns, self.now_ns(), told, complete)

    def trades(self):
        return [fill for order in self.orders.values() for fill in order.fills]

    # ------------------------------------------------------------ answers

    def answer(self, request):
        now_ns = self.now_ns()
        if request.path.startswith("/account/"):
            self.questions.append(request.path.rsplit("/", 1)[1])
            if self.is_mute:
                return None
            if self.refuses_key:
                return HttpResponse(401, {}, b"", now_ns, now_ns)
            if self.chance.random() < self.bad_answers:
                return self.chance.choice(
                    [
                        LinkError("no answer"),
                        HttpResponse(503, {}, b"", now_ns, now_ns),
                        HttpResponse(429, {}, b"", now_ns, now_ns),
                    ]
                )
            body = pickle.dumps(self.account_answer(request.path.rsplit("/", 1)[1], dict(parse_qsl(request.query))))
        else:
            body = json.dumps(self.public_answer(request.path.rsplit("/", 1)[1])).encode()
        return HttpResponse(200, {}, body, now_ns, now_ns)

    def account_answer(self, what, query):
        behind_ns = int(self.chance.random() * VISIBLE_AFTER_S * 1e9) if self.storming else 0
        as_of_ns = self.now_ns() - behind_ns
        latest = {}
        for at_ns, report in self.log:
            if at_ns <= as_of_ns and report.client_id != self.hidden:
                latest[report.client_id] = msgspec.structs.replace(report, fill=None, received_ns=self.now_ns())
        symbol = query.get("symbol")
        if what == "open":
            return tuple(report for report in latest.values() if not report.status.is_final)
        if what == "orders":
            return tuple(report for report in latest.values() if str(report.symbol) == symbol)
        if what == "order":
            return next(
                (
                    r
                    for r in latest.values()
                    if query.get("client_id") == r.client_id or query.get("venue_id") == r.venue_id
                ),
                None,
            )
        if what == "balances":
            return self.balance_report(True, as_of_ns)
        fills = sorted(
            (
                fill
                for fill in self.trades()
                if fill.event_time_ns <= as_of_ns
                and str(fill.symbol) == symbol
                and int(fill.trade_id) >= int(query.get("from_id", 0))
                and fill.event_time_ns >= int(query.get("start_ns", 0))
                and query.get("venue_id") in (None, fill.venue_id)
            ),
            key=lambda fill: int(fill.trade_id),
        )
        return tuple(fills[: self.PAGE])

    def public_answer(self, what):
        now_ms = self.now_ns() // 1_000_000
        if what == "time":
            return {"serverTime": now_ms}
        assert what == "exchangeInfo", what
        common = {"status": "TRADING", "baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8}
        common |= {"orderTypes": [], "filters": [], "permissions": []}
        listed = [
            {"symbol": f"{s.base}{s.quote}", "baseAsset": s.base, "quoteAsset": s.quote, **common} for s in SYMBOLS
        ]
        return {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [], "exchangeFilters": [], "symbols": listed}
