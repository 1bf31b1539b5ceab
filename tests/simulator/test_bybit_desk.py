"""Random trading on the simulated exchange bybit: whatever is sent, every answer is one of its own, and all accounts agree."""

import hashlib
import hmac
import json
import random
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.simulator.dialect import Request
from connector.simulator.exchange import Exchange
from connector.simulator.ledger import Ledger

MONEY = {"USDT": "2000000", "BTC": "20", "ETH": "300"}
SYMBOLS = {"spot": ("BTCUSDT", "ETHUSDT", "ETHBTC"), "linear": ("BTCUSDT", "ETHUSDT"), "inverse": ("BTCUSD", "ETHUSD")}
CLOSED = ("Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated")


class Venue:
    """The exchange without sockets and two customers who do anything."""

    def __init__(self, product, seed, clock):
        self.product, self.clock, self.rng, self.ids = product, clock, random.Random(seed), 0
        settings = SimulatorSettings(
            dialect=f"bybit_{product}",
            symbols=SYMBOLS[product],
            seed=seed,
            events_per_s=0,
            source=Live(resting_orders=60),
            accounts=tuple(AccountSettings(name, f"Key{name}", name, balances=MONEY) for name in ("one", "two")),
            enforce_limits=False,
            clock=clock,
        )
        self.exchange = Exchange(settings)
        self.exchange.source.wake(self.exchange.clock.now_us())
        desk = self.exchange.desk
        self.ledger = Ledger(
            lambda ask: ask(), self.exchange.records, self.exchange.source, self.exchange.account, desk.clearing
        )

    def raw(self, who, method, path, query="", body=""):
        now_ms = self.exchange.clock.now_ms()
        text = f"{now_ms}Key{who}5000{query if method == 'GET' else body}"
        headers = {
            "x-bapi-api-key": f"Key{who}",
            "x-bapi-timestamp": str(now_ms),
            "x-bapi-recv-window": "5000",
            "x-bapi-sign": hmac.new(who.encode(), text.encode(), hashlib.sha256).hexdigest(),
        }
        answer = self.exchange.dialect.answer(Request(method, f"/v5/{path}", query, headers, "127.0.0.1", body))
        assert answer.status == 200, (path, query, body, answer)
        made = json.loads(answer.body)
        assert set(made) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
        return made

    def call(self, who, method, path, **params):
        params = {"category": self.product} | params
        if method == "GET":
            return self.raw(who, method, path, query=urlencode(params))
        return self.raw(who, method, path, body=json.dumps(params))

    def fresh(self):
        self.ids += 1
        return f"id-{self.ids}"

    def price(self, market, reach=0.0003):
        ticks = int(market.price * self.rng.uniform(1 - reach, 1 + reach))
        return self.exchange.dialect.board.numbers(market).price(max(1, ticks))

    def size(self, market):
        lots = max(1, self.rng.choice([50, 400, 4000]) * 10**16 // max(1, self.worth(market)))
        return self.exchange.dialect.board.numbers(market).size(lots)

    def worth(self, market):
        return market.listing.lot_worth_e16 * (64000 if market.listing.quote == "BTC" else 1)

    def order(self, market):
        rng = self.rng
        fields = {"symbol": market.symbol, "side": rng.choice(("Buy", "Sell")), "orderLinkId": self.fresh()}
        fields |= {"orderType": rng.choice(("Limit", "Limit", "Limit", "Market")), "qty": self.size(market)}
        if fields["orderType"] == "Limit":
            fields |= {"price": self.price(market), "timeInForce": rng.choice(("GTC", "GTC", "IOC", "FOK", "PostOnly"))}
        elif self.product == "spot":
            fields["marketUnit"] = rng.choice(("baseCoin", "quoteCoin"))
            if fields["marketUnit"] == "quoteCoin":
                fields["qty"] = "0.02" if market.listing.quote == "BTC" else "700.5"
        if rng.random() < 0.3:
            fields["smpType"] = rng.choice(("CancelMaker", "CancelTaker", "CancelBoth"))
        if self.product == "spot" and rng.random() < 0.15 and fields.get("marketUnit") != "quoteCoin":
            fields |= {"orderFilter": rng.choice(("tpslOrder", "StopOrder")), "triggerPrice": self.price(market)}
        if self.product != "spot":
            if rng.random() < 0.15:
                fields |= {"reduceOnly": True}
            if rng.random() < 0.15:
                fields |= {"triggerPrice": self.price(market), "triggerDirection": rng.choice((1, 2))}
                fields["triggerBy"] = rng.choice(("LastPrice", "MarkPrice", "IndexPrice"))
        return fields

    def act(self):
        rng, exchange = self.rng, self.exchange
        who = rng.choice(("one", "two"))
        market = rng.choice(list(exchange.markets.values()))
        choice = rng.random()
        if choice < 0.45:
            self.call(who, "POST", "order/create", **self.order(market))
        elif choice < 0.5:
            self.call(who, "POST", "order/create-batch", request=[self.order(market) for _ in range(3)])
        elif choice < 0.62:
            some = list(exchange.account(who).open_orders.values())
            if some:
                order = rng.choice(some)
                change = rng.choice(({"qty": self.size(order.market)}, {"price": self.price(order.market)}))
                self.call(who, "POST", "order/amend", symbol=order.market.symbol, orderLinkId=order.client_id, **change)
        elif choice < 0.75:
            some = list(exchange.account(who).open_orders.values())
            if some:
                order = rng.choice(some)
                self.call(who, "POST", "order/cancel", symbol=order.market.symbol, orderLinkId=order.client_id)
        elif choice < 0.76:
            self.call(who, "POST", "order/cancel-all", symbol=market.symbol)
        elif choice < 0.78 and self.product != "spot":
            stop = rng.choice(("takeProfit", "stopLoss"))
            self.call(
                who, "POST", "position/trading-stop", symbol=market.symbol, positionIdx=0, **{stop: self.price(market)}
            )
        elif choice < 0.79 and self.product != "spot":
            exchange.desk.fund(market)
        elif choice < 0.80 and self.product != "spot":
            leverage = str(rng.randrange(1, 60))
            self.call(
                who, "POST", "position/set-leverage", symbol=market.symbol, buyLeverage=leverage, sellLeverage=leverage
            )
        else:
            exchange.source.step(rng.randrange(1, 20))
        exchange.desk.tick(exchange.clock.now_us())
        self.clock.advance(rng.choice((0.0, 0.001, 0.05)))

    def pages(self, who, path, **params):
        rows, cursor = [], ""
        while True:
            query = urlencode({"category": self.product, "limit": 50} | params) + (
                f"&cursor={cursor}" if cursor else ""
            )
            result = self.raw(who, "GET", path, query=query)["result"]
            rows += result["list"]
            cursor = result["nextPageCursor"]
            if not cursor:
                return rows


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("product", list(SYMBOLS))
def test_what_is_told_what_is_asked_and_what_is_true_agree(product, seed, hand_clock):
    venue = Venue(product, seed, hand_clock)
    for _ in range(600):
        venue.act()
    for who in ("one", "two"):
        coins = {"settleCoin": "USDT"} if product == "linear" else {}
        shown = venue.pages(who, "order/history") + venue.pages(who, "order/realtime", **coins)
        orders = {row["orderId"]: row for row in shown}
        truth = venue.ledger.orders(who)
        assert len(shown) == len(orders) == len(truth) > 100
        told = {}
        executions, wallet = [], {}
        for event in venue.ledger.events(who):
            row = json.loads(event.body)
            if event.kind.startswith("order."):
                before = told.get(row["orderId"])
                assert before is None or before["orderStatus"] not in CLOSED, (before, row)
                told[row["orderId"]] = row
            elif event.kind == "execution.Trade":
                executions.append(row)
            elif event.kind == "wallet":
                wallet |= {coin["coin"]: coin["walletBalance"] for coin in row["coin"]}
        assert told == orders
        by_name = {order.client_id: order for order in truth if order.client_id}
        for row in orders.values():
            own = by_name.get(row["orderLinkId"])
            if own is not None:
                assert Decimal(row["cumExecQty"]) == own.filled and Decimal(row["cumExecValue"]) == own.quote_filled
                assert (row["orderStatus"] in CLOSED) != own.open
        fills = venue.ledger.fills(who)
        assert len(executions) == len(fills) and sum(Decimal(row["execQty"]) for row in executions) == sum(
            fill.quantity for fill in fills
        )
        assert sum(Decimal(row["execFee"]) for row in executions) == sum(fill.commission for fill in fills)
        listed = [row for row in venue.pages(who, "execution/list") if row["execType"] != "Funding"]
        assert sorted(json.dumps(row | {"markPrice": ""}) for row in listed) == sorted(
            json.dumps(row | {"markPrice": ""}) for row in executions
        )
        balances = venue.ledger.balances(who)
        for coin, balance in balances.items():
            if coin in wallet:
                assert Decimal(wallet[coin]) == balance.free + balance.locked
        assert all(balance.locked >= 0 for balance in balances.values())
        if product == "spot":
            assert all(balance.free >= 0 for balance in balances.values())
        else:
            rows = venue.raw(who, "GET", "position/list", query=urlencode({"category": product} | coins))["result"][
                "list"
            ]
            held = {row["symbol"]: Decimal(row["size"]) * (1 if row["side"] == "Buy" else -1) for row in rows}
            assert held == {each.symbol: each.quantity for each in venue.ledger.positions(who)}
    for coin in MONEY:
        desk = venue.exchange.desk
        assert product == "spot" or desk.clearing.imbalance(coin, desk.accounts.values()) == 0


@pytest.mark.parametrize("product", list(SYMBOLS))
def test_no_parameter_however_odd_breaks_a_call(product, hand_clock):
    from connector.simulator.dialects.bybit.fields import ENDPOINTS, ROUTES

    venue, rng = Venue(product, 5, hand_clock), random.Random(11)
    odd = [
        "",
        "0",
        "-1",
        "1e9",
        "NaN",
        "9" * 40,
        "0.000000001",
        "ä",
        "a,b",
        "%",
        "true",
        "None",
        "BTCUSDT",
        product,
        "Buy",
    ]
    values = [*odd, 0, -1, 1.5, 10**30, True, None, [], {}, [1], {"a": 1}, ["x"]]
    names = [
        "category",
        "symbol",
        "side",
        "orderType",
        "qty",
        "price",
        "orderLinkId",
        "orderId",
        "cursor",
        "limit",
        "startTime",
        "endTime",
        "start",
        "end",
        "interval",
        "triggerPrice",
        "triggerDirection",
        "positionIdx",
        "smpType",
        "marketUnit",
        "request",
        "settleCoin",
        "baseCoin",
        "coin",
        "mode",
        "type",
        "buyLeverage",
        "sellLeverage",
        "takeProfit",
        "accountType",
        "intervalTime",
        "openOnly",
        "reduceOnly",
        "orderFilter",
    ]
    good = venue.order(next(iter(venue.exchange.markets.values())))
    for _ in range(1500):
        (method, path), _handler = rng.choice(
            [*ROUTES.items(), *((("GET", path), each) for path, each in ENDPOINTS.items())]
        )
        params = dict(good) | {"category": product} if rng.random() < 0.7 else {}
        for name in rng.sample(names, rng.randrange(1, 5)):
            params[name] = rng.choice(odd if method == "GET" else values)
        path = path.removeprefix("/v5/")
        if method == "GET":
            venue.raw("one", method, path, query=urlencode(params))
        else:
            venue.raw("one", method, path, body=json.dumps(params))
