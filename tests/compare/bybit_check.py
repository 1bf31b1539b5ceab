"""Let independent clients read and trade on the simulated exchange bybit and see that they work unchanged: ccxt and pybit.

A development check like `ccxt_check.py` beside it, run the same way, for spot, linear and inverse one after another. Each client
gets other addresses and a key, nothing else; what it says of books, orders, fills, balances and positions is compared with the
simulator's ledger. Exits 0 when all hold, 1 otherwise.

    build/compare/bin/pip install ccxt==4.5.90 pybit==5.17.0 .[simulator]
    build/compare/bin/python tests/compare/bybit_check.py
"""

import asyncio
import copy
import logging
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import ccxt
import ccxt.pro
import pybit._http_manager
import pybit._websocket_trading
import pybit.unified_trading
from ccxt_check import DEADLINE_S, ROWS, row
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

from connector.simulator import AccountSettings, Live, Simulator, SimulatorSettings

SECRET = "not-a-secret-of-anybody"
MONEY = {"USDT": "1000000", "BTC": "10", "ETH": "100"}
ACCOUNTS = tuple(
    AccountSettings(name, f"{name}Key1234567890", SECRET, balances=MONEY, maker_rate="0.0002", taker_rate="0.00055")
    for name in ("ccxt", "pro", "pybit", "trade")
)
# product: (symbols, the first one as ccxt calls it, a small order, how many of these make a position)
PRODUCTS = {
    "spot": (("BTCUSDT", "ETHUSDT", "ETHBTC"), "BTC/USDT", "0.01"),
    "linear": (("BTCUSDT", "ETHUSDT", "BTCPERP", "BTCUSDT-26DEC36"), "BTC/USDT:USDT", "0.01"),
    "inverse": (("BTCUSD", "ETHUSD", "BTCUSDZ36"), "BTC/USD:BTC", "500"),
}


def pause(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> bool:
    """Wait until something holds; False when it never does."""
    ends = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def ccxt_client(kind, sim: Simulator, product: str, name: str):
    """A ccxt client of one account on one product."""
    client = kind({"options": {"defaultType": "spot" if product == "spot" else "swap"}})
    client.options["fetchMarkets"] = {"types": [product]}
    client.options["defaultSubType"] = None if product == "spot" else product
    api = client.urls["api"]
    for key in ("spot", "futures", "v2", "public", "private"):
        api[key] = sim.rest_url
    ws = sim.ws_url
    api["ws"] = {
        "public": {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")},
        "private": {
            "spot": {"unified": f"{ws}/v5/private", "nonUnified": f"{ws}/v5/private"},
            "contract": f"{ws}/v5/private",
            "usdc": f"{ws}/v5/private",
            "trade": f"{ws}/v5/trade",
        },
    }
    client.apiKey, client.secret = sim.accounts[name].key, SECRET
    return client


def amounts(sim: Simulator, name: str) -> dict[str, Decimal]:
    """What an account has of each coin, locked or not."""
    return {coin: held.free + held.locked for coin, held in sim.accounts[name].balances().items()}


def same_total(sim: Simulator, name: str, seen: dict) -> bool:
    """Whether ccxt's balance and the ledger agree on what there is."""
    return all(Decimal(str(seen[coin]["total"])) == total for coin, total in amounts(sim, name).items() if total)


def signed(position: dict) -> Decimal:
    """ccxt's position as the ledger counts it."""
    size = Decimal(str(position["contracts"]))
    return -size if position["side"] == "short" else size


def check_ccxt_public(sim: Simulator, product: str) -> None:
    """The calls an engine makes by REST, without a key."""
    symbols, symbol, _ = PRODUCTS[product]
    client = ccxt_client(ccxt.bybit, sim, product, "ccxt")
    markets = client.load_markets()
    row(f"{product} ccxt load_markets", len(markets) == len(symbols) and symbol in markets, sorted(markets))
    market = markets[symbol]
    kind = market["type"], bool(market["linear"]), bool(market["inverse"])
    expected = {"spot": ("spot", False, False), "linear": ("swap", True, False), "inverse": ("swap", False, True)}
    row(f"{product} ccxt market kind", kind == expected[product], (kind, market["precision"], market["limits"]["cost"]))
    lag = abs(client.fetch_time() - sim.now_ns() / 1e6)
    row(f"{product} ccxt fetch_time", lag < 1000, f"{lag:.0f} ms off")
    for interval, step in (("1m", 60_000), ("1h", 3_600_000), ("1d", 86_400_000), ("1w", 7 * 86_400_000)):
        candles = client.fetch_ohlcv(symbol, interval, limit=200)
        spaced = all(later[0] - earlier[0] == step for earlier, later in pairwise(candles))
        sane = all(c[3] <= min(c[1], c[4]) <= max(c[1], c[4]) <= c[2] for c in candles)
        row(f"{product} ccxt fetch_ohlcv {interval}", len(candles) == 200 and spaced and sane, candles[-1])
    newest = client.fetch_ohlcv(symbol, "1m", limit=1)[0][0]
    since, paged = newest - 1_999 * 60_000, []
    while since <= newest:
        page = client.fetch_ohlcv(symbol, "1m", since=since, limit=1000)
        paged += page
        since = page[-1][0] + 60_000
    row(f"{product} ccxt fetch_ohlcv pages", len({c[0] for c in paged}) == len(paged) >= 2_000, f"{len(paged)} candles")
    trades = client.fetch_trades(symbol, limit=60)
    row(f"{product} ccxt fetch_trades", len({t["id"] for t in trades}) == 60, trades[-1]["price"])
    book = client.fetch_order_book(symbol, 50)
    row(
        f"{product} ccxt fetch_order_book",
        book["bids"][0][0] < book["asks"][0][0] and len(book["bids"]) == 50,
        book["nonce"],
    )
    ticker = client.fetch_ticker(symbol)
    row(f"{product} ccxt fetch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
    every = client.fetch_tickers(None, {} if product == "spot" else {"subType": product})
    row(f"{product} ccxt fetch_tickers", set(every) == set(markets), len(every))
    if product == "spot":
        return
    rate = client.fetch_funding_rate(symbol)
    row(
        f"{product} ccxt fetch_funding_rate",
        rate["fundingRate"] is not None and rate["markPrice"] > 0,
        rate["fundingRate"],
    )
    history = client.fetch_funding_rate_history(symbol, limit=10)
    row(f"{product} ccxt funding_rate_history", len(history) == 10, history[-1]["fundingRate"])
    row(
        f"{product} ccxt fetch_open_interest",
        client.fetch_open_interest(symbol, {"interval": "1h"})["timestamp"] > 0,
        "",
    )
    marks = client.fetch_ohlcv(symbol, "1m", limit=5, params={"price": "mark"})
    row(f"{product} ccxt mark candles", len(marks) == 5, marks[-1])
    tiers = client.fetch_market_leverage_tiers(symbol)
    row(f"{product} ccxt leverage tiers", tiers[0]["maxLeverage"] >= 100, len(tiers))


def check_ccxt_private(sim: Simulator, product: str) -> None:
    """Place, look, amend, cancel, trade, and compare with the ledger."""
    _, symbol, size = PRODUCTS[product]
    client, name = ccxt_client(ccxt.bybit, sim, product, "ccxt"), "ccxt"
    client.load_markets()
    label = f"{product} ccxt"
    unified = client.is_unified_enabled()
    row(f"{label} is_unified_enabled", unified[1] is True, unified)
    last = client.fetch_ticker(symbol)["last"]
    low, lower = (client.price_to_precision(symbol, last * part) for part in (0.95, 0.9))
    resting = client.create_order(symbol, "limit", "buy", float(size), low, {"clientOrderId": f"{product}-1"})
    row(
        f"{label} create_order limit", bool(resting["id"]) and resting["clientOrderId"] == f"{product}-1", resting["id"]
    )
    seen = client.fetch_open_order(resting["id"], symbol)
    row(f"{label} fetch_open_order", seen["status"] == "open" and seen["price"] == float(low), seen["status"])
    row(f"{label} fetch_open_orders", [o["id"] for o in client.fetch_open_orders(symbol)] == [resting["id"]], "")
    row(f"{label} balance with an order", same_total(sim, name, client.fetch_balance()), "")
    edited = client.edit_order(resting["id"], symbol, "limit", "buy", float(size) * 2, lower)
    row(f"{label} edit_order", edited["id"] == resting["id"], edited["id"])
    order = sim.accounts[name].order(f"{product}-1")
    row(
        f"{label} edited",
        order.quantity == 2 * Decimal(size) and order.price == Decimal(lower),
        (order.quantity, order.price),
    )
    client.cancel_order(resting["id"], symbol)
    row(f"{label} cancel_order", sim.accounts[name].order(f"{product}-1").status == "CANCELED", "")
    try:
        client.cancel_order(resting["id"], symbol)
        row(f"{label} cancel twice", False, "no error")
    except ccxt.OrderNotFound as refused:
        row(f"{label} cancel twice", True, refused)
    gone = client.fetch_canceled_orders(symbol)[-1]
    row(f"{label} fetch_canceled_orders", gone["id"] == resting["id"] and gone["status"] == "canceled", gone["status"])
    if product == "spot":
        taken = client.create_order(symbol, "market", "buy", 0.05, last)
        cost = client.create_market_buy_order_with_cost(symbol, 1000)
        row(f"{label} market buy with cost", bool(cost["id"]), cost["id"])
    else:
        taken = client.create_order(symbol, "market", "buy", float(size) * 3)
    every = client.fetch_canceled_and_closed_orders(symbol)
    closed = next(order for order in every if order["id"] == taken["id"])
    row(
        f"{label} create_order market",
        closed["filled"] > 0 and closed["average"] > 0,
        (closed["status"], closed["average"]),
    )
    both = client.create_orders(
        [
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": float(size), "price": low},
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": float(size), "price": lower},
        ]
    )
    row(f"{label} create_orders", len(both) == 2 and all(o["id"] for o in both), [o["id"] for o in both])
    if product != "inverse":  # ccxt offers it for the others only
        client.cancel_orders([o["id"] for o in both], symbol)
    client.create_order(symbol, "limit", "buy", float(size), low)
    client.cancel_all_orders(symbol)
    row(f"{label} cancel_all_orders", not any(o.open for o in sim.accounts[name].orders()), "")
    client.create_order(
        symbol, "limit", "sell", float(size), client.price_to_precision(symbol, last * 1.008), {"postOnly": True}
    )
    client.cancel_all_orders(symbol)
    trades = client.fetch_my_trades(symbol)
    truth = sim.accounts[name].fills()
    exact = sum(Decimal(str(t["amount"])) for t in trades) == sum(fill.quantity for fill in truth)
    fees: dict[str, Decimal] = {}
    for fill in truth:
        fees[fill.commission_asset] = fees.get(fill.commission_asset, Decimal()) + fill.commission
    told: dict[str, Decimal] = {}
    for trade in trades:
        coin = trade["fee"]["currency"]
        told[coin] = told.get(coin, Decimal()) + Decimal(str(trade["fee"]["cost"]))
    row(f"{label} fetch_my_trades", exact and len(trades) == len(truth) and fees == told, (len(trades), told))
    row(
        f"{label} fetch_canceled_and_closed",
        len(client.fetch_canceled_and_closed_orders(symbol)) == len(sim.accounts[name].orders()),
        "",
    )
    row(f"{label} balance", same_total(sim, name, client.fetch_balance()), amounts(sim, name))
    fee = client.fetch_trading_fee(symbol)
    row(f"{label} fetch_trading_fee", (fee["maker"], fee["taker"]) == (0.0002, 0.00055), (fee["maker"], fee["taker"]))
    if product != "spot":
        check_ccxt_positions(sim, product, client)
    for words, kind, call in (
        (
            "too dear",
            ccxt.InsufficientFunds,
            lambda: client.create_order(symbol, "limit", "buy", *dear(product, client, symbol)),
        ),
        ("bad signature", ccxt.AuthenticationError, lambda: wrong(client)),
    ):
        try:
            call()
            row(f"{label} refused: {words}", False, "no error")
        except kind as refused:
            row(f"{label} refused: {words}", True, refused)


def dear(product: str, client, symbol: str) -> tuple[float, str]:
    """More than anybody here can pay."""
    last = client.fetch_ticker(symbol)["last"]
    return (60_000_000.0 if product == "inverse" else 30.0 if product == "spot" else 400.0), client.price_to_precision(
        symbol, last
    )


def wrong(client) -> None:
    """A call with another secret."""
    client.secret = SECRET + "x"
    try:
        client.fetch_balance()
    finally:
        client.secret = SECRET


def check_ccxt_positions(sim: Simulator, product: str, client) -> None:
    """Positions, leverage and modes."""
    _, symbol, size = PRODUCTS[product]
    label, name = f"{product} ccxt", "ccxt"
    (seen,) = client.fetch_positions([symbol])
    (truth,) = sim.accounts[name].positions()
    row(f"{label} fetch_positions", signed(seen) == truth.quantity, (seen["contracts"], truth.quantity))
    row(
        f"{label} entry price",
        abs(Decimal(str(seen["entryPrice"])) - truth.entry_price) < Decimal("0.01"),
        truth.entry_price,
    )
    client.set_leverage(10, symbol)
    row(f"{label} set_leverage", sim.accounts[name].positions()[0].leverage == 10, "")
    try:
        client.set_leverage(10, symbol)
        row(f"{label} leverage again", False, "no error")
    except ccxt.BaseError as refused:
        row(f"{label} leverage again", "110043" in str(refused), refused)
    sim.fund(PRODUCTS[product][0][0], "0.0001")
    history = client.fetch_funding_history(symbol)
    paid = sum(income.amount for income in sim.accounts[name].incomes("funding"))
    told = sum(Decimal(str(each["amount"])) for each in history)
    row(f"{label} fetch_funding_history", abs(told) == abs(paid) and len(history) == 1, (told, paid))
    client.create_order(symbol, "market", "sell", float(size), None, {"reduceOnly": True})
    (seen,) = client.fetch_positions([symbol])
    (truth,) = sim.accounts[name].positions()
    row(f"{label} reduced position", signed(seen) == truth.quantity, (seen["contracts"], seen["unrealizedPnl"]))
    row(f"{label} nothing made of nothing", all(sim.imbalance(coin) == 0 for coin in ("USDT", "BTC")), "")


async def check_ccxt_streams(sim: Simulator, product: str) -> None:
    """The `watch_*` calls, and orders over WebSocket."""
    _symbols, symbol, _size = PRODUCTS[product]
    client, label = ccxt_client(ccxt.pro.bybit, sim, product, "pro"), f"{product} ccxt pro"
    try:
        async with asyncio.timeout(DEADLINE_S * 2):
            await client.load_markets()
            got: list[str] = []
            while len(set(got)) < 100:
                got += [trade["id"] for trade in await client.watch_trades(symbol)]
            row(f"{label} watch_trades", len(set(got)) >= 100, len(set(got)))
            for depth in (1, 50, 200, 1000):
                for _ in range(10):
                    book = await client.watch_order_book(symbol, depth)
                good = book["bids"][0][0] < book["asks"][0][0] and len(book["bids"]) <= depth
                row(f"{label} watch_order_book {depth}", good, (len(book["bids"]), book["nonce"]))
                await client.un_watch_order_book(symbol, {"limit": depth})
            ticker = await client.watch_ticker(symbol)
            row(f"{label} watch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
            candles = await client.watch_ohlcv(symbol, "1m")
            row(f"{label} watch_ohlcv", candles[-1][2] >= candles[-1][3] > 0, candles[-1])
            await check_ccxt_private_streams(sim, product, client)
    finally:
        await client.close()


async def check_ccxt_private_streams(sim: Simulator, product: str, client) -> None:
    """What happens to an account."""
    _, symbol, size = PRODUCTS[product]
    label, name = f"{product} ccxt pro", "pro"

    def listening() -> int:
        return sum("subscribe" in text for _, text in sim.ledger.control_frames())

    if product != "spot":  # the first answer is what it read by REST
        row(f"{label} watch_positions snapshot", await client.watch_positions([symbol]) == [], "")
    before = listening()
    watches = {
        "watch_orders": asyncio.create_task(client.watch_orders(symbol)),
        "watch_my_trades": asyncio.create_task(client.watch_my_trades(symbol)),
    }
    if product != "inverse":  # there it waits for the wallet of an account kind that is gone
        watches["watch_balance"] = asyncio.create_task(client.watch_balance())
    if product != "spot":
        watches["watch_positions"] = asyncio.create_task(client.watch_positions([symbol]))
    while listening() < before + len(watches):  # noqa: ASYNC110 - the ledger is read from outside its loop
        await asyncio.sleep(0.01)
    last = (await client.fetch_ticker(symbol))["last"]
    placed = await client.create_order_ws(symbol, "market", "buy", 0.02 if product == "spot" else float(size), last)
    row(f"{label} create_order_ws", bool(placed["id"]), placed["id"])
    told = {}
    for what, task in watches.items():
        try:
            told[what] = await asyncio.wait_for(task, 5)
        except TimeoutError:
            row(f"{label} {what} told", False, "nothing came")
            return
    row(f"{label} watch_orders", told["watch_orders"][-1]["id"] == placed["id"], told["watch_orders"][-1]["status"])
    row(f"{label} watch_my_trades", bool(told["watch_my_trades"]), told["watch_my_trades"][-1]["fee"])
    if "watch_balance" in told:
        row(f"{label} watch_balance", bool(told["watch_balance"]["total"]), told["watch_balance"]["total"])
    if product != "spot":
        row(f"{label} watch_positions", bool(told["watch_positions"]), told["watch_positions"][-1]["contracts"])
    low = client.price_to_precision(symbol, last * 0.95)
    resting = await client.create_order_ws(symbol, "limit", "buy", float(size), low)
    edited = await client.edit_order_ws(resting["id"], symbol, "limit", "buy", float(size) * 2, low)
    row(f"{label} edit_order_ws", edited["id"] == resting["id"], edited["id"])
    canceled = await client.cancel_order_ws(resting["id"], symbol)
    row(f"{label} cancel_order_ws", canceled["id"] == resting["id"], canceled["id"])
    row(f"{label} ledger", not any(order.open for order in sim.accounts[name].orders()), "")


def check_pybit(sim: Simulator, product: str) -> None:
    """The exchange's own client by REST."""
    symbols, _, size = PRODUCTS[product]
    symbol, label, name = symbols[0], f"{product} pybit", "pybit"
    client = HTTP(api_key=sim.accounts[name].key, api_secret=SECRET, logging_level=logging.CRITICAL)
    row(f"{label} time", int(client.get_server_time()["result"]["timeSecond"]) > 0, "")
    instruments = client.get_instruments_info(category=product)["result"]["list"]
    row(f"{label} instruments", [i["symbol"] for i in instruments] == list(symbols), len(instruments))
    row(
        f"{label} kline",
        len(client.get_kline(category=product, symbol=symbol, interval=1, limit=10)["result"]["list"]) == 10,
        "",
    )
    book = client.get_orderbook(category=product, symbol=symbol, limit=50)["result"]
    row(f"{label} orderbook", len(book["b"]) == 50, book["seq"])
    ticker = client.get_tickers(category=product, symbol=symbol)["result"]["list"][0]
    row(f"{label} tickers", Decimal(ticker["lastPrice"]) > 0, ticker["lastPrice"])
    row(
        f"{label} trades",
        len(client.get_public_trade_history(category=product, symbol=symbol)["result"]["list"]) > 0,
        "",
    )
    tick = Decimal(instruments[0]["priceFilter"]["tickSize"])
    low = str(Decimal(ticker["lastPrice"]) * Decimal("0.95") // tick * tick)
    ident = f"pb-{product}-1"
    fields = {"category": product, "symbol": symbol}
    placed = client.place_order(**fields, side="Buy", orderType="Limit", qty=size, price=low, orderLinkId=ident)[
        "result"
    ]
    row(f"{label} place_order", placed["orderLinkId"] == ident, placed["orderId"])
    seen = client.get_open_orders(**fields, orderLinkId=ident)["result"]["list"]
    row(f"{label} get_open_orders", seen[0]["orderStatus"] == "New" and seen[0]["orderId"] == placed["orderId"], "")
    client.amend_order(**fields, orderLinkId=ident, qty=str(2 * Decimal(size)))
    row(f"{label} amend_order", sim.accounts[name].order(ident).quantity == 2 * Decimal(size), "")
    try:
        client.place_order(**fields, side="Buy", orderType="Limit", qty=size, price=low, orderLinkId=ident)
        row(f"{label} duplicate id", False, "no error")
    except InvalidRequestError as refused:
        row(f"{label} duplicate id", refused.status_code in (110072, 170141), refused)
    client.cancel_order(**fields, orderLinkId=ident)
    row(f"{label} cancel_order", sim.accounts[name].order(ident).status == "CANCELED", "")
    history = client.get_order_history(**fields, orderLinkId=ident)["result"]["list"]
    row(f"{label} get_order_history", history[0]["orderStatus"] == "Cancelled", "")
    batch = [
        {
            "symbol": symbol,
            "side": "Buy",
            "orderType": "Limit",
            "qty": size,
            "price": low,
            "orderLinkId": f"{ident}-{n}",
        }
        for n in range(3)
    ]
    answer = client.place_batch_order(category=product, request=batch)
    row(f"{label} place_batch_order", [r["code"] for r in answer["retExtInfo"]["list"]] == [0, 0, 0], "")
    answer = client.cancel_batch_order(
        category=product, request=[{"symbol": symbol, "orderLinkId": f"{ident}-{n}"} for n in range(2)]
    )
    row(f"{label} cancel_batch_order", [r["code"] for r in answer["retExtInfo"]["list"]] == [0, 0], "")
    gone = client.cancel_all_orders(**fields)["result"]["list"]
    row(f"{label} cancel_all_orders", len(gone) == 1, gone)
    more = {"marketUnit": "baseCoin"} if product == "spot" else {}
    client.place_order(**fields, side="Buy", orderType="Market", qty=size, orderLinkId=f"{ident}-m", **more)
    filled = client.get_open_orders(**fields, orderLinkId=f"{ident}-m")["result"]["list"][0]
    row(
        f"{label} market order",
        filled["orderStatus"] == "Filled" and Decimal(filled["cumExecQty"]) == Decimal(size),
        filled["avgPrice"],
    )
    fills = client.get_executions(**fields)["result"]["list"]
    truth = sim.accounts[name].fills()
    same = sum(Decimal(f["execFee"]) for f in fills) == sum(f.commission for f in truth) and len(fills) == len(truth)
    row(f"{label} get_executions", same, len(fills))
    coins = client.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"]
    told = {coin["coin"]: Decimal(coin["walletBalance"]) for coin in coins}
    row(f"{label} get_wallet_balance", all(told[c] == total for c, total in amounts(sim, name).items() if total), told)
    row(f"{label} get_account_info", client.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN", "")
    row(f"{label} get_fee_rates", client.get_fee_rates(**fields)["result"]["list"][0]["takerFeeRate"] == "0.00055", "")
    row(f"{label} get_api_key_information", client.get_api_key_information()["result"]["uta"] == 1, "")
    if product == "spot":
        return
    client.set_leverage(**fields, buyLeverage="5", sellLeverage="5")
    client.set_trading_stop(**fields, stopLoss=low, positionIdx=0)
    position = client.get_positions(**fields)["result"]["list"][0]
    (truth,) = sim.accounts[name].positions()
    row(
        f"{label} get_positions",
        Decimal(position["size"]) == truth.quantity and position["leverage"] == "5",
        position["avgPrice"],
    )
    row(f"{label} set_trading_stop", Decimal(position["stopLoss"]) == Decimal(low), position["stopLoss"])
    row(f"{label} get_transaction_log", len(client.get_transaction_log()["result"]["list"]) > 0, "")
    marks = client.get_mark_price_kline(**fields, interval=1, limit=3)["result"]["list"]
    row(f"{label} get_mark_price_kline", len(marks) == 3, marks[0])
    row(
        f"{label} get_funding_rate_history", len(client.get_funding_rate_history(**fields)["result"]["list"]) == 200, ""
    )
    row(
        f"{label} get_open_interest",
        len(client.get_open_interest(**fields, intervalTime="1h")["result"]["list"]) == 50,
        "",
    )
    if product == "linear":
        client.cancel_all_orders(**fields)
        client.switch_position_mode(category=product, symbol="ETHUSDT", mode=3)
        rows = client.get_positions(category=product, symbol="ETHUSDT")["result"]["list"]
        row(f"{label} switch_position_mode", [r["positionIdx"] for r in rows] == [1, 2], "")


def check_pybit_streams(sim: Simulator, product: str) -> None:
    """Its sockets: public, private and orders."""
    symbols, _, size = PRODUCTS[product]
    symbol, label, name = symbols[0], f"{product} pybit", "trade"
    key = sim.accounts[name].key
    got: dict[str, list[dict]] = {}
    guard = threading.Lock()

    def keep(what: str) -> Callable[[dict], None]:
        def take(message: dict) -> None:
            with guard:
                got.setdefault(what, []).append(copy.deepcopy(message))  # it goes on changing its books

        return take

    sim.faults.delay(0.02)  # it sends first and takes note of what it asked for afterwards, as a distant venue allows
    public = WebSocket(channel_type=product, testnet=False)
    public.orderbook_stream(1, symbol, keep("top"))
    public.orderbook_stream(50, symbol, keep("book"))
    public.trade_stream(symbol, keep("trade"))
    public.ticker_stream(symbol, keep("ticker"))
    public.kline_stream(1, symbol, keep("kline"))
    held = pause(
        lambda: all(len(got.get(what, ())) > 3 for what in ("top", "book", "trade", "ticker")) and got.get("kline")
    )
    row(f"{label} public streams", held, {what: len(messages) for what, messages in got.items()})
    book = got["book"][-1]["data"]
    bids, asks = sim.ledger.book(symbol, book["seq"])
    mine = [sorted(((Decimal(p), Decimal(q)) for p, q in book[side]), reverse=side == "b") for side in "ba"]
    held = mine[0] == bids[: len(mine[0])] and mine[1] == asks[: len(mine[1])]
    row(f"{label} book equals the ledger", held, book["seq"])
    private = WebSocket(channel_type="private", testnet=False, api_key=key, api_secret=SECRET)
    private.order_stream(keep("order"))
    private.execution_stream(keep("execution"))
    private.wallet_stream(keep("wallet"))
    if product != "spot":
        private.position_stream(keep("position"))
    pause(lambda: sum(1 for topics in sim.ledger.subscriptions().values() if "wallet" in topics))
    pause(lambda: product == "spot" or any("position" in topics for topics in sim.ledger.subscriptions().values()))
    trading = WebSocketTrading(testnet=False, api_key=key, api_secret=SECRET)
    pause(lambda: trading.auth)
    fields = {"category": product, "symbol": symbol}
    more = {"marketUnit": "baseCoin"} if product == "spot" else {}
    trading.place_order(keep("placed"), **fields, side="Buy", orderType="Market", qty=size, orderLinkId="ws-1", **more)
    pause(lambda: got.get("placed"))
    row(f"{label} ws place_order", got["placed"][0]["retCode"] == 0, got["placed"][0]["header"])
    low = str(Decimal(bids[0][0]) * Decimal("0.95") // Decimal("0.5") * Decimal("0.5"))
    trading.place_order(
        keep("rested"), **fields, side="Buy", orderType="Limit", qty=size, price=low, orderLinkId="ws-2"
    )
    pause(lambda: got.get("rested"))
    trading.amend_order(keep("amended"), **fields, orderLinkId="ws-2", qty=str(2 * Decimal(size)))
    pause(lambda: got.get("amended"))
    trading.cancel_order(keep("canceled"), **fields, orderLinkId="ws-2")
    pause(lambda: got.get("canceled"))
    codes = [got[what][0]["retCode"] for what in ("rested", "amended", "canceled")]
    row(
        f"{label} ws amend and cancel",
        codes == [0, 0, 0] and sim.accounts[name].order("ws-2").status == "CANCELED",
        codes,
    )
    request = [{"symbol": symbol, "side": "Buy", "orderType": "Limit", "qty": size, "price": low} for _ in range(2)]
    trading.place_batch_order(keep("batch"), category=product, request=request)
    pause(lambda: got.get("batch"))
    row(f"{label} ws batch", [r["code"] for r in got["batch"][0]["retExtInfo"]["list"]] == [0, 0], "")
    pause(lambda: len([m for m in got.get("order", ()) if m["data"][0]["orderLinkId"] == "ws-2"]) >= 3)
    told = [m["data"][0]["orderStatus"] for m in got["order"] if m["data"][0]["orderLinkId"] == "ws-2"]
    row(f"{label} order stream", told == ["New", "New", "Cancelled"], told)
    fills = {fill.trade_id for fill in sim.accounts[name].fills()}
    executions = [entry for message in got["execution"] for entry in message["data"]]
    row(
        f"{label} execution stream", len({e["execId"] for e in executions}) == len(fills) == len(executions), len(fills)
    )
    row(f"{label} wallet stream", bool(got.get("wallet")), len(got.get("wallet", ())))
    if product != "spot":
        pause(lambda: any(m["data"][0]["size"] != "0" for m in got.get("position", ())))
        size_told = Decimal(got["position"][-1]["data"][0]["size"])
        row(f"{label} position stream", size_told == sim.accounts[name].positions()[0].quantity, size_told)
    for socket in (public, private, trading):
        socket.exit()
    sim.faults.clear()


def check(product: str) -> None:
    """All clients on one product."""
    settings = SimulatorSettings(
        dialect=f"bybit_{product}",
        symbols=PRODUCTS[product][0],
        events_per_s=400,
        source=Live(resting_orders=1_500),
        accounts=ACCOUNTS,
    )
    with Simulator(settings) as sim:
        pybit._http_manager.HTTP_URL = sim.rest_url
        pybit.unified_trading.PRIVATE_WSS = f"{sim.ws_url}/v5/private"
        pybit.unified_trading.PUBLIC_WSS = f"{sim.ws_url}/v5/public/{{CHANNEL_TYPE}}"
        pybit._websocket_trading.TRADE_WSS = f"{sim.ws_url}/v5/trade"
        checks: list[tuple[str, Callable[[], None]]] = [
            ("ccxt public", lambda: check_ccxt_public(sim, product)),
            ("ccxt private", lambda: check_ccxt_private(sim, product)),
            ("ccxt streams", lambda: asyncio.run(check_ccxt_streams(sim, product))),
            ("pybit", lambda: check_pybit(sim, product)),
            ("pybit streams", lambda: check_pybit_streams(sim, product)),
        ]
        for label, one in checks:
            try:
                one()
            except Exception as error:
                row(f"{product} {label}", False, f"{type(error).__name__}: {error}")
        broken = sim.ledger.violations()
        row(f"{product} no limit was broken", not broken, broken[:2])


def main(products: list[str]) -> int:
    """Run all checks, or those of the products named."""
    for product in products or list(PRODUCTS):
        check(product)
    failed = [name for name, holds, _ in ROWS if not holds]
    print(f"{len(ROWS)} rows, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
