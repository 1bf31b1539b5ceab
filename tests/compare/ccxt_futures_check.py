"""Point ccxt (REST and pro) at the simulated futures of both products and see that it works unchanged.

A development check, no part of `make test`: ccxt is no dependency. The client gets only other addresses and a key. Prints one row
a call and exits 0 when all hold, 1 otherwise.

    python -m venv build/compare
    build/compare/bin/pip install ccxt==4.5.90 .[simulator]
    build/compare/bin/python tests/compare/ccxt_futures_check.py
"""

import asyncio
import sys
import time
from decimal import Decimal
from itertools import pairwise

import ccxt
import ccxt.pro

from connector.simulator import AccountSettings, Simulator, SimulatorSettings

ROWS: list[tuple[str, bool, str]] = []
DEADLINE_S = 30.0
KEY, SECRET = "KeyOfNobody", "a-secret-of-nobody"
PRODUCTS = {
    "usdm": ("BTC/USDT:USDT", "ETH/USDT:USDT", "BTCUSDT", "USDT", "0.1"),
    "coinm": ("BTC/USD:BTC", "ETH/USD:ETH", "BTCUSD_PERP", "BTC", "50"),
}


def row(name: str, holds: object, seen: object) -> None:
    """Note and print one result."""
    ROWS.append((name, bool(holds), str(seen)))
    print(f"{'ok  ' if holds else 'FAIL'} {name:44} {str(seen)[:110]}", flush=True)


def attempt(name: str, check) -> None:
    """One check; what it raises is its failure."""
    try:
        holds, seen = check()
    except Exception as error:
        holds, seen = False, f"{type(error).__name__}: {error}"
    row(name, holds, seen)


def point(client: ccxt.Exchange, sim: Simulator) -> None:
    """Exchange every futures address for the simulator's."""
    rest, ws = sim.rest_url, sim.ws_url
    for prefix in ("fapi", "dapi"):
        for kind in ("Public", "Private"):
            client.urls["api"][prefix + kind] = f"{rest}/{prefix}/v1"
            for version in ("V2", "V3"):
                client.urls["api"][f"{prefix}{kind}{version}"] = f"{rest}/{prefix}/{version.lower()}"
    if "ws" in client.urls["api"]:
        api = {"linear": f"{ws}/ws-fapi/v1", "inverse": f"{ws}/ws-dapi/v1"}
        client.urls["api"]["ws"] |= {"linear": f"{ws}/ws", "inverse": f"{ws}/ws", "ws-api": api}


def client_of(module, product: str, sim: Simulator):
    """ccxt as a user of one product has it."""
    kind = "linear" if product == "usdm" else "inverse"
    made = getattr(module, f"binance{product}")(
        {
            "apiKey": KEY,
            "secret": SECRET,
            "options": {"fetchMarkets": {"types": [kind]}, "fetchCurrencies": False, "defaultSubType": kind},
        }
    )
    point(made, sim)
    return made


def check_public(sim: Simulator, product: str) -> None:
    """Market data by REST."""
    client = client_of(ccxt, product, sim)
    symbol, other, _, settle, _ = PRODUCTS[product]
    markets = client.load_markets()
    market = markets[symbol]
    row(f"{product} load_markets", symbol in markets and other in markets, sorted(markets))
    row(
        f"{product} market kind",
        market["swap"] and market["linear" if product == "usdm" else "inverse"] and market["settle"] == settle,
        (market["type"], market["settle"], market["contractSize"]),
    )
    dated = [m for m in markets.values() if m["future"]]
    row(f"{product} delivery contract", len(dated) == 1 and dated[0]["expiry"], dated[0]["symbol"] if dated else "")
    row(f"{product} market precision", market["precision"]["price"] == 0.1 and market["active"], market["precision"])
    attempt(
        f"{product} fetch_time",
        lambda: ((lag := abs(client.fetch_time() - time.time() * 1000)) < 1000, f"{lag:.0f} ms"),
    )
    for interval, step in (("1m", 60_000), ("1h", 3_600_000), ("1d", 86_400_000)):
        candles = client.fetch_ohlcv(symbol, interval, limit=200)
        spaced = all(later[0] - earlier[0] == step for earlier, later in pairwise(candles))
        sane = all(c[3] <= min(c[1], c[4]) <= max(c[1], c[4]) <= c[2] for c in candles)
        row(f"{product} fetch_ohlcv {interval}", len(candles) == 200 and spaced and sane, candles[-1])
    since = client.fetch_ohlcv(symbol, "1h", limit=1)[0][0] - 100 * 3_600_000
    page = client.fetch_ohlcv(symbol, "1h", since=since, limit=50)
    row(f"{product} fetch_ohlcv since", page[0][0] == since and len(page) == 50, page[0])
    attempt(
        f"{product} fetch_mark_ohlcv", lambda: (len(c := client.fetch_mark_ohlcv(symbol, "1h", limit=5)) == 5, c[-1])
    )
    attempt(
        f"{product} fetch_index_ohlcv", lambda: (len(c := client.fetch_index_ohlcv(symbol, "1h", limit=5)) == 5, c[-1])
    )
    trades = client.fetch_trades(symbol, limit=300)
    ids = [int(trade["id"]) for trade in trades]
    row(f"{product} fetch_trades", len(ids) == 300 and ids == list(range(ids[0], ids[0] + 300)), trades[-1]["price"])
    book = client.fetch_order_book(symbol, 20)
    row(f"{product} fetch_order_book", book["bids"][0][0] < book["asks"][0][0] and book["nonce"] > 0, book["bids"][0])
    ticker = client.fetch_ticker(symbol)
    row(f"{product} fetch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
    attempt(f"{product} fetch_tickers", lambda: (symbol in (t := client.fetch_tickers()), list(t)))
    attempt(
        f"{product} fetch_bids_asks",
        lambda: ((q := client.fetch_bids_asks([symbol])[symbol])["bid"] < q["ask"], (q["bid"], q["ask"])),
    )
    attempt(
        f"{product} fetch_last_prices",
        lambda: ((p := client.fetch_last_prices([symbol])[symbol])["price"] > 0, p["price"]),
    )
    attempt(
        f"{product} fetch_mark_price", lambda: ((p := client.fetch_mark_price(symbol))["markPrice"] > 0, p["markPrice"])
    )
    attempt(
        f"{product} fetch_funding_rate",
        lambda: (
            (r := client.fetch_funding_rate(symbol))["fundingRate"] == 0.0001 and r["fundingTimestamp"] > 0,
            r["fundingDatetime"],
        ),
    )
    attempt(f"{product} fetch_funding_rates", lambda: (symbol in (r := client.fetch_funding_rates()), list(r)))
    attempt(
        f"{product} fetch_funding_rate_history",
        lambda: (len(r := client.fetch_funding_rate_history(symbol, limit=10)) == 10, r[-1]["fundingRate"]),
    )
    attempt(
        f"{product} fetch_funding_intervals",
        lambda: ((r := client.fetch_funding_intervals()[symbol])["interval"] == "8h", r["interval"]),
    )
    attempt(
        f"{product} fetch_open_interest",
        lambda: ((o := client.fetch_open_interest(symbol))["openInterestAmount"] is not None, o["openInterestAmount"]),
    )
    try:
        call = client.fapiPublicGetDepth if product == "usdm" else client.dapiPublicGetDepth
        call({"symbol": "NOSUCH"})
        row(f"{product} names a bad symbol", False, "taken")
    except ccxt.BadSymbol as refused:
        row(f"{product} names a bad symbol", "-1121" in str(refused), refused)


def check_private(sim: Simulator, product: str) -> None:
    """Account, settings, orders and positions by REST."""
    client = client_of(ccxt, product, sim)
    client.load_markets()
    symbol, _, ident, settle, amount_text = PRODUCTS[product]
    amount = float(amount_text)
    account = sim.accounts["main"]
    last = client.fetch_ticker(symbol)["last"]
    low = client.price_to_precision(symbol, last * 0.9)

    balance = client.fetch_balance()
    truth = account.balances()[settle].free
    row(f"{product} fetch_balance", Decimal(str(balance[settle]["total"])) == truth, balance[settle])
    attempt(
        f"{product} fetch_trading_fee",
        lambda: ((f := client.fetch_trading_fee(symbol))["taker"] == 0.0005, (f["maker"], f["taker"])),
    )
    attempt(
        f"{product} fetch_position_mode",
        lambda: ((m := client.fetch_position_mode(symbol))["hedged"] is False, m["info"]),
    )
    attempt(f"{product} set_leverage", lambda: (str((r := client.set_leverage(10, symbol))["leverage"]) == "10", r))
    attempt(
        f"{product} fetch_leverages",
        lambda: ((r := client.fetch_leverages([symbol])[symbol])["longLeverage"] == 10, r["longLeverage"]),
    )
    attempt(
        f"{product} set_margin_mode",
        lambda: (
            client.set_margin_mode("isolated", symbol) and client.set_margin_mode("cross", symbol),
            "isolated and back",
        ),
    )
    attempt(
        f"{product} fetch_leverage_tiers",
        lambda: ((r := client.fetch_leverage_tiers([symbol])[symbol])[0]["maxLeverage"] == 125, r[0]),
    )

    order = client.create_order(symbol, "limit", "buy", amount, low, {"clientOrderId": "one"})
    row(f"{product} create limit", order["id"] and account.order("one").status == "NEW", order["status"])
    fetched = client.fetch_order(order["id"], symbol)
    row(f"{product} fetch_order", fetched["status"] == "open" and fetched["clientOrderId"] == "one", fetched["price"])
    attempt(
        f"{product} fetch_open_order",
        lambda: ((o := client.fetch_open_order(order["id"], symbol))["id"] == order["id"], o["id"]),
    )
    row(
        f"{product} fetch_open_orders",
        [o["id"] for o in client.fetch_open_orders(symbol)] == [order["id"]],
        order["id"],
    )
    try:
        client.create_order(symbol, "limit", "buy", amount, low, {"clientOrderId": "one"})
        row(f"{product} duplicate client id", False, "taken")
    except ccxt.BaseError as refused:
        row(f"{product} duplicate client id", "-4116" in str(refused), type(refused).__name__)
    higher = client.price_to_precision(symbol, last * 0.91)
    edited = client.edit_order(order["id"], symbol, "limit", "buy", amount * 2, float(higher))
    row(
        f"{product} edit_order",
        account.order("one").quantity == Decimal(amount_text) * 2 and account.order("one").price == Decimal(higher),
        edited["amount"],
    )
    canceled = client.cancel_order(order["id"], symbol)
    row(
        f"{product} cancel_order", canceled["status"] == "canceled" and account.order("one").status == "CANCELED", "one"
    )
    try:
        client.cancel_order(order["id"], symbol)
        row(f"{product} cancel twice", False, "taken")
    except ccxt.OrderNotFound as refused:
        row(f"{product} cancel twice", "-2011" in str(refused), type(refused).__name__)

    market = client.create_order(symbol, "market", "buy", amount)
    time.sleep(0.05)
    bought = client.fetch_order(market["id"], symbol)
    row(f"{product} create market", bought["status"] == "closed" and bought["average"] > 0, bought["average"])
    positions = client.fetch_positions([symbol])
    held = account.positions()[0]
    row(
        f"{product} fetch_positions",
        len(positions) == 1
        and positions[0]["side"] == "long"
        and Decimal(str(positions[0]["contracts"])) == held.quantity
        and abs(Decimal(str(positions[0]["entryPrice"])) - held.entry_price) < Decimal("0.001"),
        (positions[0]["contracts"], positions[0]["entryPrice"]),
    )
    attempt(
        f"{product} fetch_positions risk",
        lambda: ((p := client.fetch_positions_risk([symbol]))[0]["maintenanceMargin"] > 0, p[0]["maintenanceMargin"]),
    )
    attempt(
        f"{product} fetch_positions account",
        lambda: (len(p := client.fetch_account_positions([symbol])) >= 1, p[0]["initialMargin"]),
    )
    fills = client.fetch_my_trades(symbol)
    truth_fills = account.fills()
    row(
        f"{product} fetch_my_trades",
        [int(f["id"]) for f in fills] == [f.trade_id for f in truth_fills]
        and all(Decimal(str(f["fee"]["cost"])) == t.commission for f, t in zip(fills, truth_fills, strict=True)),
        (len(fills), fills[-1]["fee"]),
    )
    row(f"{product} fetch_orders", len(client.fetch_orders(symbol)) == 2, "both")
    row(f"{product} fetch_closed_orders", len(client.fetch_closed_orders(symbol)) >= 1, "filled one")
    attempt(f"{product} fetch_canceled_orders", lambda: (len(c := client.fetch_canceled_orders(symbol)) == 1, len(c)))

    mark = float(account.positions()[0].mark_price)
    trigger = client.price_to_precision(symbol, mark * 0.95)
    stop = client.create_order(
        symbol, "market", "sell", amount, None, {"stopLossPrice": float(trigger), "reduceOnly": True}
    )
    row(f"{product} create stop loss", stop["id"], stop["info"].get("algoStatus"))
    attempt(
        f"{product} fetch_open_orders trigger",
        lambda: (
            [o["id"] for o in client.fetch_open_orders(symbol, params={"trigger": True})] == [stop["id"]],
            stop["id"],
        ),
    )
    attempt(
        f"{product} fetch_order trigger",
        lambda: (
            (o := client.fetch_order(stop["id"], symbol, {"trigger": True}))["status"] == "open",
            o["triggerPrice"],
        ),
    )
    attempt(
        f"{product} cancel_order trigger",
        lambda: (client.cancel_order(stop["id"], symbol, {"trigger": True}), stop["id"]),
    )
    batch = client.create_orders(
        [
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": amount, "price": float(low)},
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": amount, "price": float(low)},
        ]
    )
    row(f"{product} create_orders", len(batch) == 2 and all(o["id"] for o in batch), [o["id"] for o in batch])
    attempt(
        f"{product} cancel_orders",
        lambda: (len(c := client.cancel_orders([o["id"] for o in batch], symbol)) == 2, len(c)),
    )
    client.create_order(symbol, "limit", "buy", amount, float(low))
    client.cancel_all_orders(symbol)
    row(f"{product} cancel_all_orders", not client.fetch_open_orders(symbol), "none open")
    try:
        client.create_order(symbol, "limit", "buy", 60 if product == "usdm" else 200_000, float(low))
        row(f"{product} too little margin", False, "taken")
    except ccxt.BaseError as refused:
        row(f"{product} too little margin", "-2019" in str(refused) or "-2027" in str(refused), type(refused).__name__)
    sim.fund(ident, "0.0002")
    attempt(
        f"{product} fetch_funding_history",
        lambda: (
            (
                Decimal(str((h := client.fetch_funding_history(symbol))[-1]["amount"]))
                == account.incomes("funding")[-1].amount
            ),
            h[-1]["amount"],
        ),
    )
    attempt(f"{product} fetch_ledger", lambda: (len(rows := client.fetch_ledger()) >= 3, len(rows)))
    client.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True})
    row(f"{product} reduce-only close", not account.positions(), "flat")
    try:
        client.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True})
        row(f"{product} nothing to reduce", False, "taken")
    except ccxt.BaseError as refused:
        row(f"{product} nothing to reduce", "-2022" in str(refused), type(refused).__name__)
    attempt(f"{product} set_position_mode", lambda: (client.set_position_mode(True, symbol), "hedged"))
    hedged = client.create_order(symbol, "market", "sell", amount, None, {"positionSide": "SHORT"})
    row(f"{product} hedge short", account.positions()[0].side == "short", hedged["id"])
    client.create_order(symbol, "market", "buy", amount, None, {"positionSide": "SHORT"})
    client.set_position_mode(False, symbol)
    row(f"{product} back to one-way", not account.positions(), "flat")
    row(f"{product} no money made or lost", sim.imbalance(settle) == 0, sim.imbalance(settle))


async def seen_until(watch, accept):
    """What a `watch_*` call returns, once it is accepted."""
    while True:
        got = await watch()
        if accept(got):
            return got


async def check_streams(sim: Simulator, product: str) -> None:
    """The `watch_*` calls, and orders over the WebSocket API."""
    client = client_of(ccxt.pro, product, sim)
    symbol, other, _, settle, amount_text = PRODUCTS[product]
    amount = float(amount_text)
    account = sim.accounts["main"]
    try:
        async with asyncio.timeout(DEADLINE_S * 2):
            await client.load_markets()
            seen: list[int] = []
            while len(seen) < 100:
                seen = sorted({*seen, *(int(trade["id"]) for trade in await client.watch_trades(symbol))})
            row(f"{product} watch_trades", seen == list(range(seen[0], seen[-1] + 1)), f"{len(seen)} without a hole")
            for _ in range(30):
                book = await client.watch_order_book(symbol)
            truth = sim.ledger.book(PRODUCTS[product][2], book["nonce"])
            same = [[float(p), float(q)] for p, q in truth[0]][:50] == [list(level[:2]) for level in book["bids"]][:50]
            row(f"{product} watch_order_book", same, f"equals the ledger at {book['nonce']}")
            ticker = await client.watch_ticker(symbol)
            row(f"{product} watch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
            tickers = await client.watch_tickers([symbol, other])
            row(f"{product} watch_tickers", bool(tickers), list(tickers))
            mark = await client.watch_mark_price(symbol)
            row(f"{product} watch_mark_price", mark["markPrice"] > 0, mark["markPrice"])
            candles = await client.watch_ohlcv(symbol, "1m")
            row(f"{product} watch_ohlcv", candles[-1][2] >= candles[-1][3] > 0, candles[-1])
            quotes = await client.watch_bids_asks([symbol])
            row(f"{product} watch_bids_asks", quotes[symbol]["bid"] < quotes[symbol]["ask"], symbol)

            low = float(client.price_to_precision(symbol, ticker["last"] * 0.9))
            orders_task = asyncio.ensure_future(client.watch_orders(symbol))
            await asyncio.sleep(0.5)
            placed = await client.create_order(symbol, "limit", "buy", amount, low)
            told = await orders_task
            row(
                f"{product} watch_orders",
                told[-1]["id"] == placed["id"] and told[-1]["status"] == "open",
                told[-1]["id"],
            )
            tasks = [
                asyncio.ensure_future(client.watch_my_trades(symbol)),
                asyncio.ensure_future(seen_until(lambda: client.watch_positions([symbol]), bool)),
                asyncio.ensure_future(client.watch_balance()),
            ]
            await asyncio.sleep(0.5)
            await client.create_order(symbol, "market", "buy", amount)
            fills = await tasks[0]
            row(
                f"{product} watch_my_trades", fills[-1]["amount"] > 0 and fills[-1]["fee"]["cost"] > 0, fills[-1]["fee"]
            )
            positions = await tasks[1]
            row(
                f"{product} watch_positions",
                Decimal(str(positions[-1]["contracts"])) == account.positions()[0].quantity,
                positions[-1]["contracts"],
            )
            balance = await tasks[2]
            row(f"{product} watch_balance", balance[settle]["total"] is not None, balance[settle])

            over = {"clientOrderId": "overws"}
            made = await client.create_order_ws(symbol, "limit", "buy", amount, low, over)
            row(f"{product} create_order_ws", account.order("overws").status == "NEW", made["id"])
            asked = await client.fetch_order_ws(made["id"], symbol)
            row(f"{product} fetch_order_ws", asked["status"] == "open", asked["id"])
            await client.cancel_order_ws(made["id"], symbol)
            row(f"{product} cancel_order_ws", account.order("overws").status == "CANCELED", made["id"])
            held = await client.fetch_positions_ws([symbol])
            row(
                f"{product} fetch_positions_ws",
                held and held[0]["contracts"] == amount,
                held[0]["contracts"] if held else "",
            )
            money = await client.fetch_balance_ws()
            row(f"{product} fetch_balance_ws", money[settle]["total"] is not None, money[settle])
            if product == "usdm":
                quote = await client.fetch_ticker_ws(symbol, {"method": "ticker.price"})
                row(f"{product} fetch_ticker_ws", quote["last"] > 0, quote["last"])
                shot = await client.fetch_order_book_ws(symbol)
                row(f"{product} fetch_order_book_ws", shot["bids"][0][0] < shot["asks"][0][0], shot["bids"][0])
    finally:
        await client.close()


def main() -> int:
    """Run all checks for both products."""
    for product, dialect, symbols in (
        ("usdm", "binance_usdm", ("BTCUSDT", "ETHUSDT", "BTCUSDT_271231")),
        ("coinm", "binance_coinm", ("BTCUSD_PERP", "ETHUSD_PERP", "BTCUSD_271231")),
    ):
        money = {"USDT": "100000"} if product == "usdm" else {"BTC": "5", "ETH": "50"}
        accounts = (AccountSettings("main", KEY, SECRET, balances=money, maker_rate="0.0002", taker_rate="0.0005"),)
        settings = SimulatorSettings(dialect=dialect, symbols=symbols, events_per_s=500, accounts=accounts)
        with Simulator(settings) as sim:
            checks = (
                ("public", lambda sim=sim, product=product: check_public(sim, product)),
                ("private", lambda sim=sim, product=product: check_private(sim, product)),
                ("streams", lambda sim=sim, product=product: asyncio.run(check_streams(sim, product))),
            )
            for name, check in checks:
                try:
                    check()
                except Exception as error:
                    row(f"{product} {name} ended early", False, f"{type(error).__name__}: {error}")
            row(f"{product} no limit was broken", not sim.ledger.violations(), sim.ledger.violations()[:2])
    failed = [name for name, holds, _ in ROWS if not holds]
    print(f"{len(ROWS)} rows, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
