"""A small client of our own for the simulator: HTTP and WebSocket with deadlines, nothing of the library under test."""

import hashlib
import hmac
import http.client
import json
import threading
import time
from decimal import Decimal
from urllib.parse import urlencode, urlsplit

import pytest
import websocket

DEADLINE_S = 10.0


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Rest:
    """One request per call over one connection each, or over a kept one with `keep`."""

    def __init__(self, sim):
        self.host = urlsplit(sim.rest_url).netloc

    def __call__(self, path, headers=None, method="GET", body=None, timeout=DEADLINE_S, **params):
        query = f"?{urlencode(params)}" if params else ""
        connection = http.client.HTTPConnection(self.host, timeout=timeout)
        try:
            connection.request(method, path + query, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


class Socket:
    """A WebSocket client that reads JSON and answers pings only while it reads."""

    def __init__(self, url, timeout=DEADLINE_S, **options):
        self.ws = websocket.create_connection(url, timeout=timeout, **options)

    def receive(self):
        return json.loads(self.ws.recv())

    def collect(self, count):
        return [self.receive() for _ in range(count)]

    def until(self, wanted):
        """Read up to the first message that `wanted` accepts; returns it and those before."""
        before = []
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            message = self.receive()
            if wanted(message):
                return message, before
            before.append(message)
        raise AssertionError(f"not seen in {DEADLINE_S} s; came instead: {before[-3:]}")

    def ask(self, method, params=None, ident=1):
        """Send a control frame and return its answer."""
        frame = {"method": method, "id": ident} | ({} if params is None else {"params": params})
        self.ws.send(json.dumps(frame))
        return self.until(lambda message: isinstance(message, dict) and message.get("id", "") == ident)[0]

    def quiet(self, for_s=0.15):
        """True when nothing comes for so long."""
        self.ws.settimeout(for_s)
        try:
            self.ws.recv()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(DEADLINE_S)
        return False

    def close_code(self):
        """Read until the server closes; the code it gave."""
        while True:
            opcode, data = self.ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")


@pytest.fixture
def rest():
    return Rest


@pytest.fixture
def connect():
    """Open sockets on a simulator: `connect(sim, "btcusdt@trade", ...)` combined, or `connect(sim, path="/ws/...")`."""
    opened = []

    def connect(sim, *streams, path=None, **options):
        where = path if path is not None else f"/stream?streams={'/'.join(streams)}" if streams else "/stream"
        opened.append(Socket(sim.ws_url + where, **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.ws.shutdown()


@pytest.fixture
def eventually():
    """Wait until a condition holds, or fail at the deadline."""

    def wait(condition, deadline_s=DEADLINE_S):
        ends = time.monotonic() + deadline_s
        pause = threading.Event()
        while not (value := condition()):
            assert time.monotonic() < ends, f"did not become true within {deadline_s} s"
            pause.wait(0.005)
        return value

    return wait


class HandClock:
    """UTC nanoseconds that move only by hand."""

    def __init__(self, now_s=1_760_000_000.0):
        self.now_ns = int(now_s * 1e9)

    def __call__(self):
        return self.now_ns

    def advance(self, seconds):
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def hand_clock():
    return HandClock()


SECRET = "a-secret-of-nobody"
MONEY = {"USDT": "1000000", "BTC": "10", "ETH": "100"}


def account_settings(name="main", **fields):
    """Settings of an account with money and an HMAC key."""
    from connector.simulator import AccountSettings

    return AccountSettings(**{"name": name, "key": f"Key{name}", "secret": SECRET, "balances": MONEY} | fields)


class Trader:
    """A customer: signs calls by REST, opens WebSocket API sessions, and adds up what it reads there."""

    def __init__(self, sim, name="main", secret=SECRET, sign=None):
        self.sim, self.name, self.key = sim, name, f"Key{name}"
        self.rest = Rest(sim)
        self.sockets = []
        self.sign = sign or (lambda text: hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest())

    def now_ms(self):
        return self.sim.now_ns() // 1_000_000

    def query(self, params):
        text = urlencode({"timestamp": self.now_ms()} | params)
        return text + "&" + urlencode({"signature": self.sign(text)})

    def call(self, method, path, **params):
        return self.rest(f"/api/v3/{path}?{self.query(params)}", {"X-MBX-APIKEY": self.key}, method)

    def ask(self, method, path, **params):
        """The answer of a call that must succeed."""
        answer = self.call(method, path, **params)
        assert answer.status == 200, answer.body
        return answer.json

    def refused(self, method, path, **params):
        """(HTTP status, code, message) of a call that must not."""
        answer = self.call(method, path, **params)
        assert answer.status != 200, answer.body
        return answer.status, answer.json["code"], answer.json["msg"]

    def place(self, symbol="BTCUSDT", side="BUY", type="LIMIT", **params):
        if type in ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"):
            params.setdefault("timeInForce", "GTC")
        if type == "LIMIT":
            params.setdefault("price", "60000" if symbol == "BTCUSDT" else "3000")
        if "quoteOrderQty" not in params:
            params.setdefault("quantity", "0.01")
        return {"symbol": symbol, "side": side, "type": type} | params

    def order(self, **params):
        return self.ask("POST", "order", **self.place(**params))

    def rejected(self, **params):
        return self.refused("POST", "order", **self.place(**params))

    def status(self, ident, symbol="BTCUSDT"):
        return self.ask("GET", "order", symbol=symbol, origClientOrderId=ident)

    def last_price(self, symbol="BTCUSDT"):
        return Decimal(self.rest("/api/v3/ticker/price", symbol=symbol).json["price"])

    def signed(self, params):
        params = {"apiKey": self.key, "timestamp": self.now_ms()} | params
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(text)}

    def socket(self, subscribe=True, path="/ws-api/v3", **options):
        session = Session(self, path, **options)
        self.sockets.append(session)
        if subscribe:
            assert session.call("userDataStream.subscribe.signature")["status"] == 200
        return session


class Session:
    """One WebSocket API connection: answers by id, events beside them in the order they came."""

    def __init__(self, trader, path, **options):
        self.trader = trader
        self.ws = websocket.create_connection(trader.sim.ws_url + path, timeout=DEADLINE_S, **options)
        self.events, self.answers, self.raw = [], {}, []
        self.next_id = 1

    def read(self):
        frame = self.ws.recv()
        assert frame, "the connection was closed"
        message = json.loads(frame)
        self.raw.append(message)
        if "event" in message:
            self.events.append(message["event"])
        else:
            self.answers[message["id"]] = message
        return message

    def send(self, method, params=None, sign=True):
        ident, self.next_id = self.next_id, self.next_id + 1
        params = self.trader.signed(params or {}) if sign else (params or {})
        self.ws.send(json.dumps({"id": ident, "method": method, "params": params}))
        return ident

    def answer(self, ident):
        while ident not in self.answers:
            self.read()
        return self.answers[ident]

    def call(self, method, sign=True, **params):
        return self.answer(self.send(method, params, sign))

    def take(self, count):
        """The next `count` events not taken before."""
        while len(self.events) < count:
            self.read()
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    def settle(self):
        """Everything that has been sent by now; a ping is answered behind it."""
        ident = self.send("ping", sign=False)
        self.answer(ident)
        events, self.events = self.events, []
        return events

    def quiet(self, for_s=0.1):
        self.ws.settimeout(for_s)
        try:
            self.read()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(DEADLINE_S)
        return False


class FuturesTrader:
    """A customer of a futures product: signs calls by REST, hears the user's stream, and speaks the WebSocket API."""

    def __init__(self, sim, product, name="main", secret=SECRET):
        self.sim, self.product, self.name, self.key, self.secret = sim, product, name, f"Key{name}", secret
        self.usdm = product == "usdm"
        self.prefix = "/fapi" if self.usdm else "/dapi"
        self.symbol = "BTCUSDT" if self.usdm else "BTCUSD_PERP"
        self.settle = "USDT" if self.usdm else "BTC"
        self.size = "0.01" if self.usdm else "10"
        self.rest = Rest(sim)
        self.sockets = []

    def sign(self, text):
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def call(self, method, path, **params):
        path = path if path.startswith("v") else f"v1/{path}"
        text = urlencode({"timestamp": self.sim.now_ns() // 1_000_000} | params)
        query = f"{text}&signature={self.sign(text)}"
        return self.rest(f"{self.prefix}/{path}?{query}", {"X-MBX-APIKEY": self.key}, method)

    def ask(self, method, path, **params):
        """The answer of a call that must succeed."""
        answer = self.call(method, path, **params)
        assert answer.status == 200, answer.body
        return answer.json

    def refused(self, method, path, **params):
        """(HTTP status, code) of a call that must not."""
        answer = self.call(method, path, **params)
        assert answer.status != 200, answer.body
        return answer.status, answer.json["code"]

    def public(self, path, **params):
        answer = self.rest(f"{self.prefix}/v1/{path}", **params)
        assert answer.status == 200, answer.body
        return answer.json

    def place(self, side="BUY", type="LIMIT", **params):
        fields = {"symbol": self.symbol, "side": side, "type": type, "quantity": self.size}
        if type == "LIMIT":
            fields |= {"timeInForce": "GTC", "price": "60000"}
        return {name: value for name, value in (fields | params).items() if value is not None}

    def order(self, **params):
        return self.ask("POST", "order", **self.place(**params))

    def rejected(self, **params):
        return self.refused("POST", "order", **self.place(**params))

    def algo(self, **params):
        fields = {"algoType": "CONDITIONAL", "symbol": self.symbol, "side": "BUY", "type": "STOP_MARKET"}
        fields |= {"quantity": self.size, "triggerPrice": "61000"}
        return {name: value for name, value in (fields | params).items() if value is not None}

    def status(self, ident):
        return self.ask("GET", "order", symbol=self.symbol, origClientOrderId=ident)

    def listen_key(self, method="POST"):
        answer = self.rest(f"{self.prefix}/v1/listenKey", {"X-MBX-APIKEY": self.key}, method)
        return answer.json

    def stream(self, key=None, extra=""):
        """The user's stream, read event by event."""
        key = key or self.listen_key()["listenKey"]
        path = f"/private/ws?listenKey={key}{extra}" if self.usdm else f"/ws/{key}"
        self.sockets.append(Socket(self.sim.ws_url + path))
        return self.sockets[-1]

    def api(self):
        """A connection to the WebSocket API: `ask(method, **params)` gives the whole answer."""
        self.sockets.append(Socket(self.sim.ws_url + ("/ws-fapi/v1" if self.usdm else "/ws-dapi/v1")))
        return self.sockets[-1]

    def signed(self, **params):
        params = {"apiKey": self.key, "timestamp": self.sim.now_ns() // 1_000_000} | params
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return params | {"signature": self.sign(text)}


@pytest.fixture
def futures(hand_clock):
    """Start a futures exchange that stands still, its mark at 60000: `futures("usdm", "main", "other", **settings)` gives
    (sim, trader, ...)."""
    from contextlib import ExitStack

    from connector.simulator import Live, Simulator, SimulatorSettings

    with ExitStack() as running:
        traders = []

        def start(product, *names, accounts=None, **settings):
            names = names or ("main",)
            symbols = ("BTCUSDT", "ETHUSDT") if product == "usdm" else ("BTCUSD_PERP", "ETHUSD_PERP")
            money = {"USDT": "100000"} if product == "usdm" else {"BTC": "2", "ETH": "20"}
            fields = {
                "dialect": f"binance_{product}",
                "symbols": symbols,
                "events_per_s": 0.0,
                "clock": hand_clock,
                "source": Live(resting_orders=20, warm_up=False),
            } | settings
            chosen = accounts or tuple(
                account_settings(name, balances=money, maker_rate="0.0002", taker_rate="0.0005") for name in names
            )
            sim = running.enter_context(Simulator(SimulatorSettings(accounts=chosen, **fields)))
            if "symbols" not in settings:
                sim.hold_mark(symbols[0], "60000")
            traders.extend(FuturesTrader(sim, product, entry.name) for entry in chosen)
            return sim, *traders[-len(chosen) :]

        yield start
        for trader in traders:
            for session in trader.sockets:
                session.ws.shutdown()


@pytest.fixture
def account():
    """Settings of an account with money and an HMAC key: `account("main", taker_rate="0.0005")`."""
    return account_settings


@pytest.fixture
def trading(hand_clock):
    """Start an exchange that stands still with customers: `trading("main", "other", **settings)` gives (sim, trader, ...)."""
    from contextlib import ExitStack

    from connector.simulator import Simulator, SimulatorSettings

    with ExitStack() as running:
        traders = []

        def start(*names, accounts=None, **settings):
            names = names or ("main",)
            fields = {"symbols": ("BTCUSDT", "ETHUSDT", "ETHBTC"), "events_per_s": 0.0, "clock": hand_clock} | settings
            chosen = accounts or tuple(account_settings(name) for name in names)
            sim = running.enter_context(Simulator(SimulatorSettings(accounts=chosen, **fields)))
            traders.extend(Trader(sim, entry.name) for entry in chosen)
            return sim, *traders[-len(chosen) :]

        yield start
        for trader in traders:
            for session in trader.sockets:
                session.ws.shutdown()


class BybitTrader:
    """A customer of the venue `bybit`: signs calls by REST, opens its sockets, and reads them by topic."""

    def __init__(self, sim, category, name="main", secret=SECRET):
        self.sim, self.category, self.name, self.key, self.secret = sim, category, name, f"Key{name}", secret
        self.rest = Rest(sim)
        self.sockets = []

    def now_ms(self):
        return self.sim.now_ns() // 1_000_000

    def sign(self, text):
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def headers(self, payload, at_ms=None, window="5000", key=None):
        stamp, key = str(self.now_ms() if at_ms is None else at_ms), key or self.key
        sign = self.sign(f"{stamp}{key}{window}{payload}")
        names = {"X-BAPI-API-KEY": key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-SIGN": sign}
        return names | ({"X-BAPI-RECV-WINDOW": window} if window else {})

    def call(self, method, path, at_ms=None, window="5000", key=None, **params):
        """The whole reply of a call; the category is added where none is given (None: leave it out)."""
        params = {name: value for name, value in ({"category": self.category} | params).items() if value is not None}
        if method == "GET":
            query = urlencode(params)
            return self.rest(f"/v5/{path}?{query}", self.headers(query, at_ms, window, key))
        body = json.dumps(params)
        headers = self.headers(body, at_ms, window, key) | {"Content-Type": "application/json"}
        return self.rest(f"/v5/{path}", headers, method, body)

    def ask(self, method, path, **params):
        """The result of a call that must succeed."""
        answer = self.call(method, path, **params)
        assert answer.status == 200 and answer.json["retCode"] == 0, answer.body
        return answer.json["result"]

    def refused(self, method, path, **params):
        """(code, message) of a call that must not."""
        answer = self.call(method, path, **params)
        assert answer.json["retCode"] != 0, answer.body
        return answer.json["retCode"], answer.json["retMsg"]

    def public(self, path, **params):
        """The result of a public call."""
        answer = self.rest(f"/v5/market/{path}", **{"category": self.category} | params)
        assert answer.json["retCode"] == 0, answer.body
        return answer.json["result"]

    def new(self, side="Buy", **params):
        fields = {"symbol": self.sim.ledger.symbols()[0], "side": side, "orderType": "Limit", "qty": "0.01"} | params
        if fields["orderType"] == "Limit":
            fields.setdefault("price", "60000" if side == "Buy" else "70000")
        return fields

    def place(self, side="Buy", **params):
        return self.ask("POST", "order/create", **self.new(side, **params))

    def rejected(self, side="Buy", **params):
        return self.refused("POST", "order/create", **self.new(side, **params))

    def order(self, link_id):
        """What a query says of an order."""
        found = self.ask("GET", "order/realtime", orderLinkId=link_id)["list"]
        assert len(found) == 1, found
        return found[0]

    def coin(self, coin):
        """(wallet balance, locked) of a coin."""
        rows = self.ask("GET", "account/wallet-balance", category=None, accountType="UNIFIED", coin=coin)["list"]
        row = rows[0]["coin"][0]
        return Decimal(row["walletBalance"]), Decimal(row["locked"])

    def socket(self, path, **options):
        session = BybitSocket(self, path, **options)
        self.sockets.append(session)
        return session

    def public_socket(self, *topics):
        session = self.socket(f"/v5/public/{self.category}")
        if topics:
            assert session.ask("subscribe", list(topics))["success"]
        return session

    def private_socket(self, *topics):
        session = self.socket("/v5/private")
        assert session.auth()["success"]
        assert session.ask("subscribe", list(topics or ("order", "execution", "wallet", "position")))["success"]
        return session

    def trade_socket(self):
        session = self.socket("/v5/trade")
        assert session.auth()["retCode"] == 0
        return session


class BybitSocket:
    """One connection to the venue `bybit`: answers apart, messages with a topic in the order they came."""

    def __init__(self, trader, path, **options):
        self.trader = trader
        self.ws = websocket.create_connection(trader.sim.ws_url + path, timeout=DEADLINE_S, **options)
        self.messages, self.answers = [], []
        self.next_id = 1

    def read(self):
        frame = self.ws.recv()
        assert frame, "the connection was closed"
        message = json.loads(frame)
        (self.messages if "topic" in message else self.answers).append(message)
        return message

    def send(self, **frame):
        self.ws.send(json.dumps(frame))

    def answer(self):
        while not self.answers:
            self.read()
        return self.answers.pop(0)

    def ask(self, op, args=None, **more):
        self.send(op=op, **({} if args is None else {"args": args}), **more)
        return self.answer()

    def auth(self, secret=None, ahead_ms=5_000, **more):
        trader = self.trader
        expires = trader.now_ms() + ahead_ms
        signer = trader if secret is None else BybitTrader(trader.sim, trader.category, trader.name, secret)
        return self.ask("auth", [trader.key, expires, signer.sign(f"GET/realtime{expires}")], **more)

    def request(self, op, args, ident=None, at_ms=None, window=None):
        """Send an order; the answer comes with `answer`."""
        header = {"X-BAPI-TIMESTAMP": str(self.trader.now_ms() if at_ms is None else at_ms)}
        if window is not None:
            header["X-BAPI-RECV-WINDOW"] = window
        ident, self.next_id = ident or f"r-{self.next_id}", self.next_id + 1
        self.send(reqId=ident, header=header, op=op, args=[{"category": self.trader.category} | args])
        return ident

    def order(self, op, ident=None, **args):
        self.request(op, args, ident)
        return self.answer()

    def settle(self):
        """Every message sent by now; a pong comes behind them."""
        self.send(op="ping")
        while True:
            message = self.read()
            if "topic" not in message and (message.get("ret_msg") == "pong" or message["op"] == "pong"):
                break
        taken, self.messages = self.messages, []
        self.answers = [each for each in self.answers if each.get("ret_msg") != "pong" and each["op"] != "pong"]
        return taken

    def rows(self, topic):
        """The rows of one topic sent by now, in order."""
        return [row for message in self.settle() if message["topic"] == topic for row in message["data"]]

    def quiet(self, for_s=0.1):
        self.ws.settimeout(for_s)
        try:
            self.read()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.ws.settimeout(DEADLINE_S)
        return False


@pytest.fixture
def bybit(hand_clock):
    """Start an exchange `bybit` that stands still: `bybit("main", product="spot", **settings)` gives (sim, trader, ...)."""
    from contextlib import ExitStack

    from connector.simulator import Simulator, SimulatorSettings

    symbols = {
        "spot": ("BTCUSDT", "ETHUSDT", "ETHBTC"),
        "linear": ("BTCUSDT", "ETHUSDT"),
        "inverse": ("BTCUSD", "ETHUSD"),
    }
    with ExitStack() as running:
        traders = []

        def start(*names, product="spot", accounts=None, **settings):
            chosen = accounts or tuple(account_settings(name) for name in names or ("main",))
            fields = {"symbols": symbols[product], "events_per_s": 0.0, "clock": hand_clock} | settings
            limits = {"order.place": 10_000, "order.modify": 10_000, "order.cancel": 10_000} | fields.pop("limits", {})
            made = SimulatorSettings(dialect=f"bybit_{product}", accounts=chosen, limits=limits, **fields)
            sim = running.enter_context(Simulator(made))
            traders.extend(BybitTrader(sim, product, entry.name) for entry in chosen)
            return sim, *traders[-len(chosen) :]

        yield start
        for trader in traders:
            for session in trader.sockets:
                session.ws.shutdown()
