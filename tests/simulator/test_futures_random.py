"""Random trading on the simulated futures, without sockets: what the user's stream told adds up to what the ledger knows."""

import hashlib
import hmac
import json
import random
from collections import defaultdict
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import e8
from connector.simulator.ledger import Ledger

NAMES = ("one", "two", "three")
FINAL = ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")
SYMBOLS = {"usdm": ("BTCUSDT", "ETHUSDT"), "coinm": ("BTCUSD_PERP", "ETHUSD_PERP")}


class Venue:
    """One product, three customers who do anything, and everything it ever told them."""

    def __init__(self, product, seed, clock):
        money = {"USDT": "1500"} if product == "usdm" else {"BTC": "0.004", "ETH": "0.08"}
        accounts = tuple(
            AccountSettings(name, f"Key{name}", name, balances=money, maker_rate="0.0002", taker_rate="0.0005")
            for name in NAMES
        )
        settings = SimulatorSettings(
            dialect=f"binance_{product}",
            symbols=SYMBOLS[product],
            seed=seed,
            events_per_s=0,
            source=Live(resting_orders=40),
            accounts=accounts,
            enforce_limits=False,
            clock=clock,
        )
        self.product, self.rng, self.ids, self.clock = product, random.Random(seed), 0, clock
        self.exchange = Exchange(settings)
        self.exchange.later = lambda delay_s, action: None
        self.exchange.source.wake(self.exchange.clock.now_us())
        self.exchange.source.tick(self.exchange.clock.now_us())
        self.ledger = Ledger(
            lambda ask: ask(),
            self.exchange.records,
            self.exchange.source,
            self.exchange.account,
            self.exchange.desk.clearing,
        )
        self.refusals = defaultdict(int)

    def call(self, who, method, path, **params):
        text = urlencode(params | {"timestamp": self.exchange.clock.now_ms()})
        signature = hmac.new(who.encode(), text.encode(), hashlib.sha256).hexdigest()
        prefix = "/fapi" if self.product == "usdm" else "/dapi"
        version = path if path.startswith("v") else f"v1/{path}"
        request = Request(
            method, f"{prefix}/{version}", f"{text}&signature={signature}", {"x-mbx-apikey": f"Key{who}"}, "127.0.0.1"
        )
        answer = self.exchange.dialect.answer(request)
        body = json.loads(answer.body)
        if answer.status != 200:
            assert answer.status == 400, body
            self.refusals[body["code"]] += 1
        return body

    def near(self, market, spread=0.001):
        return Decimal(int(market.price * self.rng.uniform(1 - spread, 1 + spread)) * market.listing.tick_e8) / 10**8

    def order(self, market, hedge):
        rng = self.rng
        self.ids += 1
        linear = self.product == "usdm"
        params = {
            "symbol": market.symbol,
            "side": rng.choice(("BUY", "SELL")),
            "quantity": rng.choice(("0.002", "0.05", "0.3") if linear else ("1", "7", "40")),
        }
        if hedge:
            params["positionSide"] = rng.choice(("LONG", "SHORT"))
        elif rng.random() < 0.25:
            params["reduceOnly"] = "true"
        return params

    def act(self):
        rng, who = self.rng, self.rng.choice(NAMES)
        account = self.exchange.account(who)
        market = self.exchange.markets[rng.choice(SYMBOLS[self.product])]
        params = self.order(market, account.hedge_usual)
        choice = rng.random()
        if choice < 0.45:
            kind = rng.choice(("LIMIT", "LIMIT", "MARKET"))
            params |= {"type": kind, "newClientOrderId": f"id-{self.ids}"}
            if kind == "LIMIT":
                params |= {"price": self.near(market), "timeInForce": rng.choice(("GTC", "GTC", "IOC", "FOK", "GTX"))}
            self.call(who, "POST", "order", **params)
        elif choice < 0.55:
            kind = rng.choice(("STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TRAILING_STOP_MARKET"))
            params |= {"algoType": "CONDITIONAL", "type": kind, "clientAlgoId": f"id-{self.ids}"}
            params["workingType"] = rng.choice(("MARK_PRICE", "CONTRACT_PRICE"))
            if kind == "TRAILING_STOP_MARKET":
                params["callbackRate"] = "0.1"
            else:
                params["triggerPrice"] = self.near(market)
            if kind == "STOP":
                params["price"] = self.near(market)
            if kind.endswith("T_MARKET") and rng.random() < 0.3:
                params.pop("quantity")
                params.pop("reduceOnly", None)
                params["closePosition"] = "true"
            self.call(who, "POST", "algoOrder", **params)
        elif choice < 0.65 and account.open_orders:
            order = rng.choice(list(account.open_orders.values()))
            if order.algo:
                self.call(who, "DELETE", "algoOrder", algoId=order.order_id)
            elif rng.random() < 0.5:
                self.call(who, "DELETE", "order", symbol=order.market.symbol, orderId=order.order_id)
            else:
                params = {"symbol": order.market.symbol, "side": order.new.side.value, "orderId": order.order_id}
                params |= {"quantity": params.get("quantity", "0.05" if self.product == "usdm" else "5")}
                self.call(who, "PUT", "order", **params, price=self.near(order.market))
        elif choice < 0.7:
            self.call(who, "POST", "leverage", symbol=market.symbol, leverage=rng.choice((3, 20, 60)))
            self.call(who, "POST", "marginType", symbol=market.symbol, marginType=rng.choice(("ISOLATED", "CROSSED")))
            self.call(who, "POST", "positionSide/dual", dualSidePosition=rng.choice(("true", "false")))
        elif choice < 0.75:
            self.exchange.desk.fund(market)
        elif choice < 0.82:
            mark = self.near(market, 0.06) if rng.random() < 0.7 else None
            self.exchange.desk.hold_mark(market, None if mark is None else e8(mark))
        else:
            self.clock.advance(rng.choice((0.05, 3, 200)))
            self.exchange.source.step(20)
            self.exchange.source.tick(self.exchange.clock.now_us(), True)

    def ask_everything(self, who):
        """Every question is answered, whatever has happened."""
        symbol = self.rng.choice(SYMBOLS[self.product])
        version = "v3/" if self.product == "usdm" else ""
        for path in (
            f"{version}account",
            f"{version}balance",
            f"{version}positionRisk",
            "openOrders",
            "openAlgoOrders",
        ):
            self.call(who, "GET", path)
        for path in ("allOrders", "userTrades", "allAlgoOrders", "orderAmendment", "income", "forceOrders"):
            self.call(who, "GET", path, symbol=symbol)


@pytest.mark.parametrize("product", ["usdm", "coinm"])
@pytest.mark.parametrize("seed", range(3))
def test_what_was_told_is_what_happened(product, seed, hand_clock):
    v = Venue(product, seed, hand_clock)
    clearing, accounts = v.exchange.desk.clearing, v.exchange.desk.accounts
    assets = {market.listing.settle for market in v.exchange.markets.values()}
    for number in range(400):
        v.act()
        if number % 50 == 0:
            v.ask_everything(v.rng.choice(NAMES))
        assert all(clearing.imbalance(asset, accounts.values()) == 0 for asset in assets)
        assert all(clearing.open_lots(symbol, accounts.values()) == 0 for symbol in SYMBOLS[product])
    assert set(v.refusals) <= {-2011, -2013, -2018, -2019, -2021, -2022, -2027, -2028, -4028, -4046, -4047, -4048} | {
        *(-4059, -4061, -4067, -4068, -4137, -4138, -4161, -4150, -4164, -5021, -5022, -5025, -5027, -4196, -4197),
        *(-4016, -4024, -4131, -4113, -2025, -4045, -1106),
    }, dict(v.refusals)
    for who in NAMES:
        check_stream(v, who)


def check_stream(v, who):
    orders, filled, trades, wallets, positions = {}, defaultdict(Decimal), {}, {}, {}
    for event in v.ledger.events(who):
        body = json.loads(event.body)
        if body["e"] == "ORDER_TRADE_UPDATE":
            row = body["o"]
            key = row["s"], row["i"]
            assert orders.get(key) not in FINAL, "told of an order after its end"
            orders[key] = row["X"]
            filled[key] += Decimal(row["l"])
            assert filled[key] == Decimal(row["z"])
            if row["t"]:
                assert (row["s"], row["t"], row["i"]) not in trades
                trades[row["s"], row["t"], row["i"]] = (Decimal(row["n"]), Decimal(row["rp"]))
        elif body["e"] == "ACCOUNT_UPDATE":
            for row in body["a"]["B"]:
                wallets[row["a"]] = Decimal(row["wb"])
            for row in body["a"]["P"]:
                positions[row["s"], row["ps"]] = Decimal(row["pa"])
    truth = {(o.symbol, o.order_id): o for o in v.ledger.orders(who) if not o.client_id.startswith("algo:")}
    assert {key: order.status for key, order in truth.items()} == orders
    assert {key: order.filled for key, order in truth.items()} == {key: filled[key] for key in truth}
    assert {(f.symbol, f.trade_id, f.order_id): (f.commission, f.realised) for f in v.ledger.fills(who)} == trades
    balances = v.ledger.balances(who)
    assert all(balances[asset].free == amount for asset, amount in wallets.items())
    sides = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
    held = {(p.symbol, sides[p.side]): p.quantity for p in v.ledger.positions(who)}
    assert {key: amount for key, amount in positions.items() if amount} == held
    for account in (v.exchange.account(who),):
        for asset in wallets:
            state = v.exchange.desk.clearing.state(account, asset)
            assert state.wallet_e8 >= 0 or account.holdings
