"""Account events and answers of the futures spoilt in every way: refusals, noise, or what an independent reader reads.

The independent reader walks the standard library's JSON and shares nothing with the driver.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal, InvalidOperation

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, MS, table_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoiling import numbers_in, spoilt, walk

from connector.domain.commands import PlaceOrder, SetLeverage
from connector.domain.contracts import base_units
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, FundingPayment, OrderReport, PositionReport, StreamEnded
from connector.domain.market import Side
from connector.domain.orders import OrderType
from connector.domain.wire import HttpRequest
from connector.drivers.binance import COINM, USDM
from connector.drivers.trading import SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import ConnectorError, WireFormatError

AT = 5
PER_SEED = 50
QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = st.integers(min_value=0, max_value=2**32)
D = Decimal
STATUS = {"NEW": "new", "PARTIALLY_FILLED": "partially_filled", "FILLED": "filled", "CANCELED": "canceled"}
STATUS |= {"REJECTED": "rejected", "EXPIRED": "expired", "EXPIRED_IN_MATCH": "expired"}

# ---------------------------------------------------------------- an independent reader


def number(value):
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(value)
    found = Decimal(value)
    if not found.is_finite() or not -24 <= found.adjusted() <= 24:
        raise ValueError(value)
    return found


def amount(value):
    found = number(value)
    assert found >= 0
    return found


class Reader:
    """What an event says, as plain tuples."""

    def __init__(self, driver):
        self.table, self.inverse = table_of(driver.name), driver is COINM

    def base(self, name, counted, price):
        if not self.inverse:
            return counted
        if not counted or not price:
            return Decimal(0)
        return base_units(self.table.by_name(name), counted, price)

    def order(self, data):
        o = data["o"]
        price, average, filled = amount(o["p"]), amount(o["ap"]), amount(o["z"])
        fill = None
        if o["x"] in ("TRADE", "CALCULATED") and o["t"]:
            traded = amount(o["L"])
            fee = number(o["n"]) if o.get("n") is not None else D(0)
            fill = (str(o["t"]), traded, self.base(o["s"], amount(o["l"]), traded), fee, o.get("N") or None)
        head = (o["c"], str(o["i"]), {"BUY": Side.BUY, "SELL": Side.SELL}[o["S"]], STATUS.get(o["X"]), o["X"])
        sizes = (self.base(o["s"], amount(o["q"]), price or average), self.base(o["s"], filled, average or price))
        return (*head, *sizes, price or None, o["T"] * MS, fill)

    def account(self, data):
        a = data["a"]
        wallets = tuple((each["a"], number(each["wb"])) for each in a.get("B", []))
        positions = tuple(
            (each["s"], self.base(each["s"], number(each["pa"]), amount(each["ep"])), number(each["up"]))
            for each in a.get("P", [])
            if self.table.by_name(each["s"]) is not None
        )
        return wallets, positions

    def algo(self, data):
        o = data["o"]
        size, trigger = (D(0) if o.get(name) is None else amount(o[name]) for name in ("q", "tp"))
        return o["caid"], o["X"], size, trigger or None, o.get("rm", "")[:200]


def of_order(told, table):
    (report,) = told
    assert isinstance(report, OrderReport)
    fill = report.fill
    if fill is not None:
        assert (fill.client_id, fill.venue_id, fill.side) == (report.client_id, report.venue_id, report.side)
        fill = (fill.trade_id, fill.price, fill.quantity, fill.fee, fill.fee_asset)
    status = None if report.status is None else report.status.value
    head = (report.client_id, report.venue_id, report.side, status, report.status_text)
    return (*head, report.quantity, report.filled, report.price, report.event_time_ns, fill)


def of_account(told, table):
    wallets, positions = (), ()
    for fact in told:
        if isinstance(fact, BalanceReport):
            wallets = tuple((asset, free) for asset, free, _ in fact.balances)
        elif isinstance(fact, PositionReport):
            positions = tuple((table[p.symbol].venue_name, p.quantity, p.unrealized) for p in fact.positions)
        else:
            assert isinstance(fact, FundingPayment)
    return wallets, positions


def of_algo(told, table):
    (report,) = told
    quantity = report.quantity if report.contracts is None else report.contracts
    return report.client_id, report.status_text, quantity, report.stop_price, report.reason


def samples(driver):
    name = "ETHUSDT" if driver is USDM else "BTCUSD_PERP"
    order = {"s": name, "c": "acme-000042", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "10", "p": "3150.00"}
    order |= {"ap": "3149.50", "sp": "0", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 8389765001, "l": "2", "z": "4"}
    order |= {"L": "3150.00", "N": "USDT", "n": "0.1575", "T": 1762000100008, "t": 900777, "m": True, "R": False}
    order |= {"wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "rp": "-1.5", "er": "0", "st": 1}
    balance = {"a": "USDT", "wb": "4999.8425", "cw": "4999.8425", "bc": "-0.375"}
    position = {"s": name, "pa": "-3", "ep": "3150.00", "bep": "3150.63", "cr": "0", "up": "-0.05", "mt": "cross"}
    account = {"m": "FUNDING_FEE", "S": name, "B": [balance], "P": [position | {"iw": "0", "ps": "BOTH"}]}
    algo = {"caid": "acme-sl-7", "aid": 2148719, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": name, "S": "SELL"}
    algo |= {"ps": "BOTH", "f": "GTC", "q": "5", "X": "TRIGGERED", "ai": "8389765999", "tp": "3050.00", "p": "0"}
    algo |= {"R": True, "rm": "why"}
    read = Reader(driver)
    at = {"E": 1762000100010, "T": 1762000100008}
    return [
        ({"e": "ORDER_TRADE_UPDATE", **at, "o": order}, of_order, read.order),
        ({"e": "ACCOUNT_UPDATE", **at, "a": account}, of_account, read.account),
        ({"e": "ALGO_UPDATE", **at, "o": algo}, of_algo, read.algo),
    ]


EVENTS = [(driver, *row) for driver in (USDM, COINM) for row in samples(driver)]


@pytest.mark.parametrize(
    ("driver", "event", "told", "independent"), EVENTS, ids=[f"{row[0].name} {row[1]['e']}" for row in EVENTS]
)
def test_spoilt_event_is_noise_or_read_right(driver, event, told, independent):
    table = table_of(driver.name)
    intact = driver.events.read(json.dumps(event).encode(), AT, table)
    assert isinstance(intact, SessionEvents) and told(intact.facts, table) == independent(event)
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED):
            frame = spoilt(event, rng)
            said = driver.events.read(frame, AT, table)
            assert isinstance(said, SessionEvents | SessionNoise | SessionEnding)
            assert isinstance(
                driver.session.read(frame, AT, table), SessionReply | SessionEvents | SessionEnding | SessionNoise
            )
            if not isinstance(said, SessionEvents):
                assert isinstance(said, SessionEnding) or len(said.kind) < 200
                seen["noise"] += 1
                continue
            if any(isinstance(fact, StreamEnded) for fact in said.facts):
                continue
            for found in numbers_in(said.facts):
                assert found.is_finite()
            seen["read"] += 1
            try:
                walked = walk(frame)
            except (ValueError, RecursionError, InvalidOperation):
                assert said == intact  # the spoilt part is one nobody reads
            else:
                assert told(said.facts, table) == independent(walked), frame

    spoil()
    assert seen["read"] > 300 and seen["noise"] > 300, seen


# ---------------------------------------------------------------- answers

ORDER = {"clientOrderId": "acme-000042", "executedQty": "2", "orderId": 8389765001, "origQty": "10", "price": "3150"}
ORDER |= {"reduceOnly": False, "side": "BUY", "positionSide": "BOTH", "status": "PARTIALLY_FILLED", "stopPrice": "0"}
ORDER |= {"timeInForce": "GTC", "type": "LIMIT", "origType": "LIMIT", "updateTime": 1762000100008, "avgPrice": "3149"}
ORDER |= {"time": 1762000100000}
ALGO = {"algoId": 2148719, "clientAlgoId": "acme-sl-7", "algoType": "CONDITIONAL", "orderType": "STOP_MARKET"}
ALGO |= {"side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "5", "algoStatus": "TRIGGERED"}
ALGO |= {"triggerPrice": "3050.00", "price": "0", "reduceOnly": True, "createTime": 1762000200000}
ALGO |= {"updateTime": 1762000200003, "actualOrderId": "8389765999"}
FILL = {"id": 900777, "orderId": 8389765001, "side": "SELL", "price": "3150.00", "qty": "5", "realizedPnl": "-1.5"}
FILL |= {"commission": "0.1575", "commissionAsset": "BNB", "time": 1762000100008, "positionSide": "LONG", "maker": True}
POSITION = {"positionAmt": "-3", "entryPrice": "3150.00", "markPrice": "3149.80", "unRealizedProfit": "0.05"}
POSITION |= {"liquidationPrice": "9000", "leverage": "20", "marginType": "isolated", "isolatedMargin": "39.4"}
POSITION |= {"positionSide": "BOTH", "updateTime": 1762000100008}
INCOME = {"incomeType": "FUNDING_FEE", "income": "-0.375", "asset": "USDT", "time": 1762012800000, "tranId": 9}
BALANCE = {"asset": "USDT", "balance": "122607.35", "updateTime": 1762000100008}


def readings(driver):
    table = table_of(driver.name)
    symbol = ETH_LINEAR if driver is USDM else BTC_INVERSE
    one, named = table[symbol], {"symbol": "ETHUSDT" if driver is USDM else "BTCUSD_PERP"}
    limit = PlaceOrder(symbol=symbol, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D(1))
    stop = PlaceOrder(symbol=symbol, side=Side.BUY, type=OrderType.STOP, quantity=D(1), stop_price=D(1))
    trading, positions = driver.trading, driver.positions
    leverage = SetLeverage(symbol=symbol, leverage=D(5))
    return [
        ("placed", ORDER | named, lambda answer: trading.read_placed(answer, limit, one)),
        ("placed algo", ALGO | named, lambda answer: trading.read_placed(answer, stop, one)),
        ("cancelled", ORDER | named, lambda answer: trading.read_cancelled(answer, one)),
        (
            "cancelled algo",
            {"algoId": 7, "code": "200", "msg": "x"},
            lambda answer: trading.read_cancelled(answer, one),
        ),
        ("amended", ORDER | named, lambda answer: trading.read_amended(answer, one)),
        ("order", ALGO | named, lambda answer: trading.read_order(answer, one)),
        ("orders", [ORDER | named, ALGO | named], lambda answer: trading.read_orders(answer, table)),
        ("fills", [FILL | named], lambda answer: trading.read_fills(answer, one)),
        ("balances", [BALANCE], trading.read_balances),
        ("positions", [POSITION | named], lambda answer: positions.read_positions([answer], table)),
        ("funding", [INCOME | named], lambda answer: positions.read_funding(answer, table)),
        ("leverage", {"leverage": 5, "symbol": "ETHUSDT"}, lambda answer: positions.read_configured(leverage, answer)),
        ("listen key", {"listenKey": "abc"}, driver.events.key.read),
    ]


READINGS = [(driver, *row) for driver in (USDM, COINM) for row in readings(driver)]


@pytest.mark.parametrize(
    ("driver", "body", "read"),
    [(driver, body, read) for driver, _, body, read in READINGS],
    ids=[f"{driver.name} {kind}" for driver, kind, _, _ in READINGS],
)
def test_spoilt_answer_is_refused_or_holds_sane_numbers_only(answer, driver, body, read):
    read(answer(body))
    seen = Counter()

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 2):
            try:
                value = read(answer(spoilt(body, rng)))
            except WireFormatError:
                seen["refused"] += 1
                continue
            seen["read"] += 1
            for found in numbers_in(value):
                assert found.is_finite() and -60 <= found.adjusted() <= 60

    spoil()
    assert seen["read"] > 20 and seen["refused"] > 100, seen


@pytest.mark.parametrize("driver", [USDM, COINM], ids=repr)
def test_whether_there_is_more_of_a_spoilt_page_is_told_or_refused(answer, driver):
    auth = driver.trading.auth(Credentials("key", secret="not a secret"))
    one = table_of(driver.name)[ETH_LINEAR if driver is USDM else BTC_INVERSE]
    first = driver.trading.orders_since(one, 0, auth, 1)
    requests = [first, driver.trading.more(first, answer([]), auth, 1), driver.positions.funding(0, auth, 1)]

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 5):
            request, page = rng.choice(requests), answer(spoilt([ORDER, ORDER], rng))
            try:
                following = driver.trading.more(request, page, auth, 2)
            except WireFormatError:
                continue
            assert following is None or isinstance(following, HttpRequest)

    spoil()


def test_spoilt_refusals_of_writes_are_always_classed(answer):
    bodies = [{"code": -2019, "msg": "x"}, {"code": -5027, "msg": "x"}, {"code": -4116, "msg": "y"}]

    @QUICK
    @given(SEEDS)
    def spoil(seed):
        rng = random.Random(seed)
        for _ in range(PER_SEED // 2):
            response = answer(spoilt(rng.choice(bodies), rng), rng.choice((400, 401, 408, 418, 429, 500, 503)))
            for driver in (USDM, COINM):
                assert isinstance(driver.trading.failure(response, write=False), ConnectorError)
                written = driver.trading.failure(response, write=True)
                assert written is None or isinstance(written, ConnectorError)

    spoil()
