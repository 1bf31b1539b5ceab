"""Let independent clients trade on the simulator and see that they work unchanged: ccxt (REST, ws-api) and python-binance.

A development check like `ccxt_check.py` beside it, run the same way. Each client gets other addresses and a key, nothing else;
what it says of orders, fills and balances is compared with the simulator's ledger. Exits 0 when all hold, 1 otherwise.

    build/compare/bin/python tests/compare/trading_check.py
"""

import asyncio
import sys
from decimal import Decimal

import ccxt
import ccxt.pro
from binance import AsyncClient, BinanceSocketManager, Client
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException
from ccxt_check import DEADLINE_S, ROWS, options, point, row

from connector.simulator import AccountSettings, Simulator, SimulatorSettings, new_pair

SECRET = "not-a-secret-of-anybody"
ED_PRIVATE, ED_PUBLIC = new_pair("ed25519")
RSA_PRIVATE, RSA_PUBLIC = new_pair("rsa")
MONEY = {"USDT": "1000000", "BTC": "10", "ETH": "100", "BNB": "50"}
ACCOUNTS = (
    AccountSettings("hmac", "HMACkey1" * 8, SECRET, balances=MONEY),
    AccountSettings("ed25519", "EDkey123" * 8, public_key=ED_PUBLIC, balances=MONEY),
    AccountSettings("rsa", "RSAkey12" * 8, public_key=RSA_PUBLIC, balances=MONEY, discount_asset="BNB"),
)
SECRETS = {"hmac": SECRET, "ed25519": ED_PRIVATE, "rsa": RSA_PRIVATE}


def ccxt_client(kind, sim: Simulator, name: str):
    """A client for one account."""
    client = kind({"options": options(sim)["options"] | {"fetchMargins": False}})
    point(client, sim)
    client.urls["api"]["ws"] = client.urls["api"]["ws"] | {"ws-api": {"spot": f"{sim.ws_url}/ws-api/v3"}}
    client.apiKey = sim.accounts[name].key
    client.secret = SECRETS[name]
    return client


def same_balances(sim: Simulator, name: str, seen: dict) -> bool:
    truth = sim.accounts[name].balances()
    return all(
        Decimal(str(seen[asset]["free"])) == balance.free and Decimal(str(seen[asset]["used"])) == balance.locked
        for asset, balance in truth.items()
    )


def _sum(trades: list[dict]) -> Decimal:
    return sum((Decimal(str(trade["amount"])) for trade in trades), Decimal(0))


def _subscribed(sim: Simulator) -> int:
    return sum("userDataStream.subscribe" in text for _, text in sim.ledger.control_frames())


def check_ccxt_rest(sim: Simulator, name: str) -> None:
    """Place, look, amend by replacing, cancel, trade, and compare with the ledger."""
    client = ccxt_client(ccxt.binance, sim, name)
    client.load_markets()
    best = client.fetch_ticker("BTC/USDT")["last"]
    low = client.price_to_precision("BTC/USDT", best * 0.9)
    resting = client.create_order("BTC/USDT", "limit", "buy", 0.01, low, {"clientOrderId": f"{name}-rest-1"})
    row(f"{name} create_order limit", resting["status"] == "open", resting["id"])
    seen = client.fetch_order(resting["id"], "BTC/USDT")
    row(
        f"{name} fetch_order", seen["clientOrderId"] == f"{name}-rest-1" and seen["price"] == float(low), seen["status"]
    )
    by_client = client.fetch_order(None, "BTC/USDT", {"clientOrderId": f"{name}-rest-1"})
    row(f"{name} fetch_order by client id", by_client["id"] == resting["id"], by_client["id"])
    row(f"{name} fetch_open_orders", [o["id"] for o in client.fetch_open_orders("BTC/USDT")] == [resting["id"]], "")
    row(f"{name} balance with a lock", same_balances(sim, name, client.fetch_balance()), client.fetch_balance()["USDT"])
    edited = client.edit_order(resting["id"], "BTC/USDT", "limit", "buy", 0.02, low)
    row(f"{name} edit_order", edited["amount"] == 0.02 and edited["id"] != resting["id"], edited["id"])
    canceled = client.cancel_order(edited["id"], "BTC/USDT")
    row(f"{name} cancel_order", canceled["status"] == "canceled", canceled["id"])
    try:
        client.cancel_order(edited["id"], "BTC/USDT")
        row(f"{name} cancel twice", False, "no error")
    except ccxt.OrderNotFound as refused:
        row(f"{name} cancel twice", "-2011" in str(refused), refused)
    taken = client.create_order("BTC/USDT", "market", "buy", 0.05)
    row(f"{name} create_order market", taken["status"] == "closed" and taken["filled"] == 0.05, taken["average"])
    row(f"{name} trades of the answer", _sum(taken["trades"]) == Decimal("0.05"), len(taken["trades"]))
    cost = client.create_order("BTC/USDT", "market", "sell", None, None, {"quoteOrderQty": 1000})
    row(f"{name} market by cost", 0 < cost["cost"] <= 1000, cost["cost"])
    stop = client.create_order("BTC/USDT", "limit", "sell", 0.01, low, {"stopLossPrice": low})
    row(f"{name} stop order", client.fetch_order(stop["id"], "BTC/USDT")["triggerPrice"] == float(low), stop["id"])
    row(f"{name} cancel_all_orders", len(client.cancel_all_orders("BTC/USDT")) == 1, "")
    test = client.create_order("BTC/USDT", "limit", "buy", 0.01, low, {"test": True})
    row(f"{name} test order", not client.fetch_open_orders("BTC/USDT"), test["id"])
    trades = client.fetch_my_trades("BTC/USDT")
    truth = {str(fill.trade_id): fill for fill in sim.accounts[name].fills()}
    exact = all(
        Decimal(str(t["amount"])) == truth[t["id"]].quantity
        and Decimal(str(t["fee"]["cost"])) == truth[t["id"]].commission
        and t["fee"]["currency"] == truth[t["id"]].commission_asset
        for t in trades
    )
    row(f"{name} fetch_my_trades", len(trades) == len(truth) and exact, f"{len(trades)} trades")
    orders = client.fetch_orders("BTC/USDT")
    row(f"{name} fetch_orders", len(orders) == len(sim.accounts[name].orders()), f"{len(orders)} orders")
    row(f"{name} balance", same_balances(sim, name, client.fetch_balance()), client.fetch_balance()["BTC"])
    for words, kind, call in (
        ("too small", ccxt.BadRequest, lambda: client.create_order("BTC/USDT", "limit", "buy", 0.00001, low)),
        ("too dear", ccxt.InsufficientFunds, lambda: client.create_order("BTC/USDT", "limit", "buy", 40, low)),
        (
            "post only",
            ccxt.OrderImmediatelyFillable,
            lambda: client.create_order("BTC/USDT", "limit", "sell", 0.01, low, {"postOnly": True}),
        ),
    ):
        try:
            call()
            row(f"{name} refused: {words}", False, "no error")
        except kind as refused:
            row(f"{name} refused: {words}", True, refused)
    client.secret = SECRET + "x" if name == "hmac" else new_pair("ed25519" if name == "ed25519" else "rsa")[0]
    try:
        client.fetch_balance()
        row(f"{name} wrong signature", False, "no error")
    except ccxt.BaseError as refused:
        row(f"{name} wrong signature", "-1022" in str(refused), refused)


async def check_ccxt_streams(sim: Simulator, name: str) -> None:
    """The user stream, and orders over the WebSocket API."""
    client = ccxt_client(ccxt.pro.binance, sim, name)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await client.load_markets()
            before = _subscribed(sim)
            orders = asyncio.create_task(client.watch_orders("ETH/USDT"))
            balance = asyncio.create_task(client.watch_balance())
            trades = asyncio.create_task(client.watch_my_trades("ETH/USDT"))
            while _subscribed(sim) == before:  # noqa: ASYNC110 - the ledger is read from outside its loop
                await asyncio.sleep(0.01)
            placed = await client.create_order_ws("ETH/USDT", "market", "buy", 1.0)
            row(f"{name} create_order_ws", placed["status"] == "closed" and placed["filled"] == 1.0, placed["id"])
            told = (await orders)[-1]
            row(f"{name} watch_orders", told["id"] == placed["id"], told["status"])
            fills = await trades
            ids = {str(fill.trade_id) for fill in sim.accounts[name].fills()}
            row(f"{name} watch_my_trades", bool(fills) and {t["id"] for t in fills} <= ids, fills[-1]["fee"])
            seen = await balance
            row(f"{name} watch_balance", "ETH" in seen, seen["ETH"])
            ticker = await client.fetch_ticker("ETH/USDT")
            low = client.price_to_precision("ETH/USDT", ticker["last"] * 0.9)
            resting = await client.create_order_ws("ETH/USDT", "limit", "buy", 0.5, low)
            queried = await client.fetch_order_ws(resting["id"], "ETH/USDT")
            row(f"{name} fetch_order_ws", queried["status"] == "open", queried["id"])
            row(f"{name} fetch_open_orders_ws", len(await client.fetch_open_orders_ws("ETH/USDT")) == 1, "")
            canceled = await client.cancel_order_ws(resting["id"], "ETH/USDT")
            row(f"{name} cancel_order_ws", canceled["status"] == "canceled", canceled["id"])
            rows = (await client.fetch_balance_ws())["info"]["balances"]  # it reads only its margin fields out of them
            seen = {entry["asset"]: {"free": entry["free"], "used": entry["locked"]} for entry in rows}
            row(f"{name} fetch_balance_ws", same_balances(sim, name, seen), len(rows))
            mine = await client.fetch_my_trades_ws("ETH/USDT")
            ids = {str(fill.trade_id) for fill in sim.accounts[name].fills() if fill.symbol == "ETHUSDT"}
            row(f"{name} fetch_my_trades_ws", {t["id"] for t in mine} == ids, f"{len(mine)} trades")
            deposited = asyncio.create_task(client.watch_balance())
            await asyncio.sleep(0.05)
            await asyncio.to_thread(sim.deposit, name, "USDT", "123.45")
            await deposited
            row(f"{name} watch_balance deposit", True, "")
    finally:
        await client.close()


def python_binance(kind, sim: Simulator, name: str, **more):
    """A client of python-binance for one account."""
    key = sim.accounts[name].key
    if name == "hmac":
        return kind(key, SECRET, **more)
    return kind(key, private_key=SECRETS[name], **more)


def check_python_binance(sim: Simulator, name: str) -> None:
    """The same with another client, by REST and by its WebSocket calls."""
    client = python_binance(Client, sim, name, ping=False)
    last = Decimal(client.get_symbol_ticker(symbol="BTCUSDT")["price"])
    low = f"{last * Decimal('0.9'):.2f}"
    ident = f"pb-{name}-1"
    placed = client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price=low, newClientOrderId=ident)
    row(f"pb {name} order_limit_buy", placed["status"] == "NEW" and placed["fills"] == [], placed["orderId"])
    seen = client.get_order(symbol="BTCUSDT", origClientOrderId=ident)
    row(f"pb {name} get_order", seen["orderId"] == placed["orderId"], seen["status"])
    row(f"pb {name} get_open_orders", len(client.get_open_orders(symbol="BTCUSDT")) == 1, "")
    replaced = client.cancel_replace_order(
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.02",
        price=low,
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrigClientOrderId=ident,
        newClientOrderId=ident + "b",
    )
    row(f"pb {name} cancel_replace_order", replaced["newOrderResult"] == "SUCCESS", replaced["cancelResult"])
    gone = client.cancel_order(symbol="BTCUSDT", origClientOrderId=ident + "b")
    row(f"pb {name} cancel_order", gone["status"] == "CANCELED", gone["clientOrderId"])
    bought = client.order_market_buy(symbol="BTCUSDT", quoteOrderQty="500")
    row(f"pb {name} order_market_buy", bought["status"] == "FILLED", bought["cummulativeQuoteQty"])
    above, below = f"{last * Decimal('1.1'):.2f}", low
    oco = client.create_oco_order(
        symbol="BTCUSDT",
        side="SELL",
        quantity="0.01",
        aboveType="LIMIT_MAKER",
        abovePrice=above,
        belowType="STOP_LOSS_LIMIT",
        belowStopPrice=below,
        belowPrice=below,
        belowTimeInForce="GTC",
    )
    row(f"pb {name} create_oco_order", len(oco["orders"]) == 2, oco["listOrderStatus"])
    row(f"pb {name} get_open_oco_orders", len(client.get_open_oco_orders()) == 1, "")
    row(f"pb {name} cancel_all_open_orders", len(client.cancel_all_open_orders(symbol="BTCUSDT")) == 1, "")
    fills = client.get_my_trades(symbol="BTCUSDT")
    truth = [fill for fill in sim.accounts[name].fills() if fill.symbol == "BTCUSDT"]
    same = [(f["id"], Decimal(f["commission"])) for f in fills] == [(f.trade_id, f.commission) for f in truth]
    row(f"pb {name} get_my_trades", same, f"{len(fills)} trades")
    balances = {b["asset"]: Decimal(b["free"]) for b in client.get_account(omitZeroBalances="true")["balances"]}
    row(f"pb {name} get_account", all(balances[a] == b.free for a, b in sim.accounts[name].balances().items()), "")
    row(f"pb {name} get_all_orders", len(client.get_all_orders(symbol="BTCUSDT")) >= 4, "")
    test = client.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    row(f"pb {name} create_test_order", test == {}, test)
    try:
        client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="0.005")
    except BinanceAPIException as refused:
        row(f"pb {name} filter", refused.code == -1013 and "PRICE_FILTER" in refused.message, refused)


async def check_python_binance_stream(sim: Simulator, name: str) -> None:
    """Its user socket, and orders over its WebSocket API."""
    client = python_binance(AsyncClient, sim, name)
    manager = BinanceSocketManager(client)
    try:
        async with asyncio.timeout(DEADLINE_S), manager.user_socket() as socket:
            placed = await client.ws_create_order(symbol="ETHUSDT", side="SELL", type="MARKET", quantity="0.5")
            row(f"pb {name} ws_create_order", placed["status"] == "FILLED", placed["orderId"])
            kinds: list[str] = []
            while "outboundAccountPosition" not in kinds:
                event = await socket.recv()
                kinds.append(f"{event['e']}" + (f" {event['x']}/{event['X']}" if "x" in event else ""))
            row(f"pb {name} user_socket", kinds[0] == "executionReport NEW/NEW" and "TRADE/FILLED" in kinds[-2], kinds)
            row(f"pb {name} ws_get_account", (await client.ws_get_account())["canTrade"], "")
            row(f"pb {name} ws_get_order_book", len((await client.ws_get_order_book(symbol="ETHUSDT"))["bids"]) > 0, "")
    finally:
        await client.close_connection()


def main() -> int:
    """Run all checks."""
    settings = SimulatorSettings(
        symbols=("BTCUSDT", "ETHUSDT", "ETHBTC", "BNBUSDT"), events_per_s=300, accounts=ACCOUNTS, orders_per_10s=1_000
    )
    with Simulator(settings) as sim:
        BaseClient.API_URL, BaseClient.WS_API_URL = f"{sim.rest_url}/api", f"{sim.ws_url}/ws-api/v3"
        for name in SECRETS:
            for label, check in (
                ("ccxt REST", lambda name=name: check_ccxt_rest(sim, name)),
                ("ccxt streams", lambda name=name: asyncio.run(check_ccxt_streams(sim, name))),
                ("python-binance", lambda name=name: check_python_binance(sim, name)),
                ("python-binance stream", lambda name=name: asyncio.run(check_python_binance_stream(sim, name))),
            ):
                try:
                    check()
                except Exception as error:
                    row(f"{name} {label}", False, f"{type(error).__name__}: {error}")
        row("no limit was broken", not sim.ledger.violations(), sim.ledger.violations()[:2])
    failed = [name for name, holds, _ in ROWS if not holds]
    print(f"{len(ROWS)} rows, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
