"""Money and orders under random trading: whatever is done, nothing is lost, doubled, negative or revived."""

import hashlib
import hmac
import json
import random
from collections import defaultdict
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.simulator.accounts import decimal_e8
from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.ledger import Ledger

START = {"USDT": "2000000", "BTC": "20", "ETH": "300", "BNB": "100"}
SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC", "BNBUSDT")
FINAL = ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED")
TYPES = ("LIMIT", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


class Venue:
    """The exchange without sockets, two customers who do anything, and everything it ever told them."""

    def __init__(self, seed, clock):
        accounts = tuple(
            AccountSettings(name, f"Key{name}", name, balances=START, discount_asset=asset, maker_rate=rate)
            for name, asset, rate in (("one", "", "0.0007"), ("two", "BNB", "0.001"))
        )
        settings = SimulatorSettings(
            symbols=SYMBOLS,
            seed=seed,
            events_per_s=0,
            source=Live(resting_orders=30),
            accounts=accounts,
            enforce_limits=False,
            clock=clock,
        )
        self.clock = clock
        self.exchange = Exchange(settings)
        self.exchange.source.wake(self.exchange.clock.now_us())
        self.ledger = Ledger(lambda ask: ask(), self.exchange.records, self.exchange.source, self.exchange.account)
        self.rng = random.Random(seed)
        self.ids = 0
        self.refusals = defaultdict(int)

    def call(self, who, method, path, **params):
        text = urlencode(params | {"timestamp": self.exchange.clock.now_ms()})
        signature = hmac.new(who.encode(), text.encode(), hashlib.sha256).hexdigest()
        query = f"{text}&signature={signature}"
        answer = self.exchange.dialect.answer(
            Request(method, f"/api/v3/{path}", query, {"x-mbx-apikey": f"Key{who}"}, "127.0.0.1")
        )
        body = json.loads(answer.body)
        if answer.status != 200:
            assert answer.status in (400, 409, 429), body
            self.refusals[body["code"], body["msg"]] += 1
        return body

    def fresh(self):
        self.ids += 1
        return f"id-{self.ids}"

    def price(self, market, low, high):
        ticks = int(market.price * self.rng.uniform(low, high))
        return market.price_text(max(1, ticks))

    def near(self, market):
        return self.price(market, 0.9998, 1.0002)

    def size(self, market):
        worth = self.rng.choice([50, 400, 4000])
        at = {"USDT": 1, "BTC": 64000}[market.listing.quote] * market.price * market.listing.tick_e8 / 1e8
        return market.size_text(max(1, int(worth / at * 1e8 / market.listing.step_e8)))

    def order(self, market):
        rng = self.rng
        kind = rng.choice(TYPES)
        side = rng.choice(("BUY", "SELL"))
        params = {"symbol": market.symbol, "side": side, "type": kind, "newClientOrderId": self.fresh()}
        if kind == "MARKET" and rng.random() < 0.4:
            params["quoteOrderQty"] = "700" if market.listing.quote == "USDT" else "0.02"
        else:
            params["quantity"] = self.size(market)
        if kind in ("LIMIT", "LIMIT_MAKER") or kind.endswith("_LIMIT"):
            params["price"] = self.near(market)
        if kind == "LIMIT" or kind.endswith("_LIMIT"):
            params["timeInForce"] = rng.choice(("GTC", "GTC", "IOC", "FOK"))
        if kind.startswith(("STOP", "TAKE")):
            if rng.random() < 0.3:
                params["trailingDelta"] = rng.randrange(10, 30)
            else:
                params["stopPrice"] = self.near(market)
        if rng.random() < 0.2 and params.get("timeInForce") == "GTC":
            params["icebergQty"] = market.size_text(
                int(Decimal(params["quantity"]) * 10**8) // market.listing.step_e8 // 3 or 1
            )
        if rng.random() < 0.6:
            params["selfTradePreventionMode"] = rng.choice(
                ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")
            )
        return params

    def bundle(self, market):
        rng = self.rng
        side = rng.choice(("BUY", "SELL"))
        kinds = ("LIMIT_MAKER", "STOP_LOSS_LIMIT") if side == "SELL" else ("STOP_LOSS", "LIMIT_MAKER")
        params = {}
        prefix = rng.choice(("", "pending"))
        names = ("above", "below") if not prefix else ("pendingAbove", "pendingBelow")
        for name, kind, low in zip(names, kinds, (1.0001, 0.9995), strict=True):
            params[f"{name}Type"] = kind
            params[f"{name}ClientOrderId"] = self.fresh()
            at = self.price(market, low, low + 0.0004)
            if kind != "STOP_LOSS":
                params[f"{name}Price"] = at
            if kind.startswith("STOP"):
                params[f"{name}StopPrice"] = at
            if kind.endswith("_LIMIT"):
                params[f"{name}TimeInForce"] = "GTC"
        common = {"symbol": market.symbol, "listClientOrderId": self.fresh()}
        if not prefix:
            return "oco", common | params | {"side": side, "quantity": self.size(market)}
        working = {
            "workingType": "LIMIT",
            "workingSide": "BUY" if side == "SELL" else "SELL",
            "workingPrice": self.near(market),
            "workingQuantity": self.size(market),
            "workingTimeInForce": rng.choice(("GTC", "IOC")),
            "workingClientOrderId": self.fresh(),
        }
        return "otoco", common | params | working | {"pendingSide": side, "pendingQuantity": self.size(market)}

    def act(self):
        rng, exchange = self.rng, self.exchange
        market = exchange.markets[rng.choice(SYMBOLS)]
        who = rng.choice(("one", "two"))
        opened = list(exchange.desk.accounts[who].open_on(market.symbol))
        chance = rng.random()
        if chance < 0.4:
            self.call(who, "POST", "order", **self.order(market))
        elif chance < 0.5:
            path, params = self.bundle(market)
            self.call(who, "POST", f"orderList/{path}", **params)
        elif chance < 0.6 and opened:
            self.call(who, "DELETE", "order", symbol=market.symbol, orderId=rng.choice(opened).order_id)
        elif chance < 0.65 and opened:
            order = rng.choice(opened)
            quantity = market.size_text(max(1, order.lots - rng.randrange(1, order.lots + 1)))
            self.call(
                who, "PUT", "order/amend/keepPriority", symbol=market.symbol, orderId=order.order_id, newQty=quantity
            )
        elif chance < 0.7 and opened:
            self.call(
                who,
                "POST",
                "order/cancelReplace",
                cancelReplaceMode=rng.choice(("STOP_ON_FAILURE", "ALLOW_FAILURE")),
                cancelOrderId=rng.choice(opened).order_id,
                **self.order(market),
            )
        elif chance < 0.73 and opened:
            exchange.desk.fill(rng.choice(opened), rng.choice((None, 1)))
        elif chance < 0.74:
            self.call(who, "DELETE", "openOrders", symbol=market.symbol)
        elif chance < 0.75 and opened:
            exchange.desk.expire(rng.choice(opened), "EXCHANGE_CANCELED")
        else:
            exchange.source.step(rng.randrange(1, 30))
        self.clock.advance(0.01)

    # what must hold at every moment

    def check(self):
        for account in self.exchange.desk.accounts.values():
            expected = {asset: Decimal(amount) for asset, amount in START.items()}
            for fill in self.ledger.fills(account.name):
                base, quote = (
                    self.exchange.markets[fill.symbol].listing.base,
                    self.exchange.markets[fill.symbol].listing.quote,
                )
                sign = 1 if fill.is_buyer else -1
                expected[base] += sign * fill.quantity
                expected[quote] -= sign * fill.quote
                expected[fill.commission_asset] -= fill.commission
            locked = defaultdict(int)
            for order in account.open_orders.values():
                assert order.open
                locked[order.locked_asset()] += order.locked
            for asset, balance in account.balances.items():
                assert balance.free >= 0, (account, asset, balance)
                assert balance.locked == locked[asset] >= 0, (account, asset, balance)
                assert decimal_e8(balance.free + balance.locked) == expected[asset], (account, asset)
            for orders in account.orders.values():
                for order in orders.values():
                    self.check_order(order)
            for bundle in account.lists.values():
                assert bundle.open == any(order.open for order in bundle.orders)

    def check_order(self, order):
        engine = order.market.engine
        assert order.filled == sum(fill.lots for fill in order.fills)
        assert order.quote == sum(fill.quote_e8 for fill in order.fills)
        assert len({fill.trade_id for fill in order.fills}) == len(order.fills)
        assert order.filled + order.prevented <= order.lots
        resting = None if order.engine_id is None else engine.order(order.engine_id)
        if order.open:
            if order.engine_id is not None:
                assert (resting.remaining, resting.price) == (order.left, order.new.price)
            elif not order.pending:
                assert order.new.trigger
            assert (order.status.value == "NEW") == (order.filled == 0)
        else:
            assert resting is None
            assert order.locked == 0
            assert (order.status.value == "FILLED") == (order.left == 0 and not order.prevented) or order.prevented

    def check_events(self):
        """Read like a client: final states never revive, quantities only grow, balances told are the balances had."""
        for account in self.exchange.desk.accounts.values():
            last, executions, positions = {}, defaultdict(set), {}
            for record in self.ledger.events(account.name):
                event = json.loads(record.body)
                if event["e"] == "outboundAccountPosition":
                    positions |= {entry["a"]: (entry["f"], entry["l"]) for entry in event["B"]}
                if event["e"] != "executionReport":
                    continue
                key = (event["s"], event["i"])
                before = last.get(key)
                if before is not None:
                    assert before["X"] not in FINAL, (before, event)
                    assert Decimal(event["z"]) >= Decimal(before["z"])
                    assert Decimal(event["z"]) - Decimal(before["z"]) == Decimal(event["l"])
                else:
                    assert event["x"] == "NEW"
                assert event["I"] not in executions[event["s"]]
                executions[event["s"]].add(event["I"])
                last[key] = event
            orders = {(o.symbol, o.order_id): o for o in self.ledger.orders(account.name)}
            assert last.keys() == orders.keys()
            for key, event in last.items():
                order = orders[key]
                seen = (event["X"], Decimal(event["z"]), Decimal(event["Z"]))
                assert seen == (order.status, order.filled, order.quote_filled)
            for asset, (free, locked) in positions.items():
                balance = account.balance(asset)
                assert (Decimal(free), Decimal(locked)) == (decimal_e8(balance.free), decimal_e8(balance.locked))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_traded_money_orders_events_and_engine_agree(seed, hand_clock):
    venue = Venue(seed, hand_clock)
    for step in range(500):
        venue.act()
        if step % 10 == 0:
            venue.check()
    venue.check()
    venue.check_events()
    orders = [order for name in ("one", "two") for order in venue.ledger.orders(name)]
    assert len({order.status for order in orders}) >= 5, "the test reaches too little"


def test_every_kind_of_ending_is_reached(hand_clock):
    statuses, types = set(), set()
    for seed in (100, 101, 102):
        venue = Venue(seed, hand_clock)
        for _ in range(500):
            venue.act()
        orders = [order for name in ("one", "two") for order in venue.ledger.orders(name)]
        statuses |= {(order.status, order.expiry_reason) for order in orders}
        types |= {(order.type, order.status) for order in orders}
    assert {
        ("FILLED", ""),
        ("CANCELED", ""),
        ("EXPIRED_IN_MATCH", ""),
        ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED"),
        ("EXPIRED", "OCO_TRIGGER"),
        ("EXPIRED", "EXCHANGE_CANCELED"),
    } <= statuses
    assert {kind for kind, status in types if status == "FILLED"} == set(TYPES)


def test_the_same_seed_gives_the_same_orders_and_the_same_events(hand_clock):
    start = hand_clock.now_ns

    def run():
        hand_clock.now_ns = start
        venue = Venue(3, hand_clock)
        for _ in range(200):
            venue.act()
        return [record.body for record in venue.ledger.events("one")]

    assert run() == run()
