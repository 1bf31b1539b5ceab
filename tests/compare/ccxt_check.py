"""Point independent clients at the simulator and see that they work unchanged: ccxt (REST and pro) and python-binance.

A development check, no part of `make test`: neither client is a dependency. Each gets only other addresses; everything else
is as its users have it. Prints one row a call and exits 0 when all hold, 1 otherwise.

    python -m venv build/compare
    build/compare/bin/pip install ccxt==4.5.90 python-binance==1.0.37 .[simulator]
    build/compare/bin/python tests/compare/ccxt_check.py
"""

import asyncio
import sys
import time
from collections.abc import Callable
from itertools import islice, pairwise

import ccxt
import ccxt.pro

from connector.simulator import Simulator, SimulatorSettings

ROWS: list[tuple[str, bool, str]] = []
DEADLINE_S = 20.0


def row(name: str, holds: bool, seen: object) -> None:
    """Note and print one result."""
    ROWS.append((name, holds, str(seen)))
    print(f"{'ok  ' if holds else 'FAIL'} {name:34} {str(seen)[:110]}", flush=True)


def options(sim: Simulator) -> dict:
    """What a user changes to reach another host, spot only."""
    rest, ws = f"{sim.rest_url}/api", sim.ws_url
    return {
        "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
        "urls": {
            "api": {"public": f"{rest}/v3", "private": f"{rest}/v3", "v1": f"{rest}/v1", "ws": {"spot": f"{ws}/ws"}}
        },
    }


def point(client: ccxt.Exchange, sim: Simulator) -> None:
    """Exchange every spot address for the simulator's."""
    for name, url in options(sim)["urls"]["api"].items():
        if isinstance(url, str):
            client.urls["api"][name] = url
        else:
            client.urls["api"][name] = client.urls["api"].get(name, {}) | url


def check_rest(sim: Simulator) -> None:
    """The calls an engine makes by REST."""
    client = ccxt.binance({"options": options(sim)["options"]})
    point(client, sim)
    markets = client.load_markets()
    market = markets["BTC/USDT"]
    row("ccxt load_markets", set(markets) == {"BTC/USDT", "ETH/USDT", "ETH/BTC"}, sorted(markets))
    row("ccxt market precision", market["precision"]["price"] == 0.01 and market["active"], market["precision"])
    row("ccxt market limits", market["limits"]["cost"]["min"] == 5.0, market["limits"]["cost"])
    lag = abs(client.fetch_time() - time.time() * 1000)
    row("ccxt fetch_time", lag < 1000, f"{lag:.0f} ms off")

    for interval, step in (
        ("1s", 1_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1w", 7 * 86_400_000),
    ):
        candles = client.fetch_ohlcv("BTC/USDT", interval, limit=200)
        spaced = all(later[0] - earlier[0] == step for earlier, later in pairwise(candles))
        sane = all(c[3] <= min(c[1], c[4]) <= max(c[1], c[4]) <= c[2] for c in candles)
        row(f"ccxt fetch_ohlcv {interval}", len(candles) == 200 and spaced and sane, candles[-1])
    newest = client.fetch_ohlcv("BTC/USDT", "1m", limit=1)[0][0]
    since, paged = newest - 1_999 * 60_000, []
    while since <= newest:
        page = client.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=1000)
        paged += page
        since = page[-1][0] + 60_000
    row("ccxt fetch_ohlcv pages", len({c[0] for c in paged}) == len(paged) >= 2_000, f"{len(paged)} candles")

    trades = client.fetch_trades("BTC/USDT", limit=500)
    ids = [int(trade["id"]) for trade in trades]
    row("ccxt fetch_trades", len(ids) == 500 and ids == list(range(ids[0], ids[0] + 500)), trades[-1]["price"])
    book = client.fetch_order_book("BTC/USDT", 20)
    row("ccxt fetch_order_book", book["bids"][0][0] < book["asks"][0][0] and book["nonce"] > 0, book["bids"][0])
    ticker = client.fetch_ticker("BTC/USDT")
    row("ccxt fetch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
    row("ccxt fetch_tickers", len(client.fetch_tickers()) == 3, "all symbols")
    quote = client.fetch_bids_asks(["ETH/USDT"])["ETH/USDT"]
    row("ccxt fetch_bids_asks", quote["bid"] < quote["ask"], (quote["bid"], quote["ask"]))
    row("ccxt fetch_last_prices", client.fetch_last_prices(["ETH/USDT"])["ETH/USDT"]["price"] > 0, "ETH/USDT")
    try:
        client.publicGetDepth({"symbol": "NOSUCH"})
    except ccxt.BadSymbol as refused:
        row("ccxt names a bad symbol", "-1121" in str(refused), refused)


async def check_streams(sim: Simulator) -> None:
    """The `watch_*` calls."""
    client = ccxt.pro.binance({"options": options(sim)["options"]})
    point(client, sim)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await client.load_markets()
            seen: list[int] = []
            while len(seen) < 200:
                seen += [int(trade["id"]) for trade in await client.watch_trades("BTC/USDT")]
                seen = sorted(set(seen))
            row("ccxt watch_trades", seen == list(range(seen[0], seen[-1] + 1)), f"{len(seen)} without a hole")
            for _ in range(30):
                book = await client.watch_order_book("BTC/USDT")
            nonce = book["nonce"]
            truth = sim.ledger.book("BTCUSDT", nonce)
            same = [[float(p), float(q)] for p, q in truth[0]][:100] == [list(level[:2]) for level in book["bids"]][
                :100
            ]
            row(
                "ccxt watch_order_book",
                same and book["bids"][0][0] < book["asks"][0][0],
                f"equals the ledger at {nonce}",
            )
            ticker = await client.watch_ticker("BTC/USDT")
            row("ccxt watch_ticker", ticker["low"] <= ticker["last"] <= ticker["high"], ticker["last"])
            tickers = await client.watch_tickers(["BTC/USDT", "ETH/USDT"])
            row("ccxt watch_tickers", bool(tickers), list(tickers))
            candles = await client.watch_ohlcv("BTC/USDT", "1m")
            row("ccxt watch_ohlcv", candles[-1][2] >= candles[-1][3] > 0, candles[-1])
            quotes = await client.watch_bids_asks(["BTC/USDT"])
            row("ccxt watch_bids_asks", quotes["BTC/USDT"]["bid"] < quotes["BTC/USDT"]["ask"], "BTC/USDT")
    finally:
        await client.close()


def check_python_binance(sim: Simulator) -> None:
    """The same with another client."""
    try:
        from binance import AsyncClient, BinanceSocketManager, Client
        from binance.exceptions import BinanceAPIException
    except ImportError:
        print("---- python-binance is not installed")
        return
    Client.API_URL = AsyncClient.API_URL = f"{sim.rest_url}/api"
    client = Client("", "", ping=True)
    client.API_URL = f"{sim.rest_url}/api"
    row("python-binance time", client.get_server_time()["serverTime"] > 0, "")
    row("python-binance exchange info", len(client.get_exchange_info()["symbols"]) == 3, "")
    row("python-binance klines", len(client.get_klines(symbol="BTCUSDT", interval="1m", limit=10)) == 10, "")
    paged = client.get_historical_klines("BTCUSDT", "1m", "25 hours ago UTC")
    row("python-binance historical klines", 1_499 <= len(paged) <= 1_502, f"{len(paged)} candles")
    aggregates = list(islice(client.aggregate_trade_iter("BTCUSDT", last_id=800_000_000), 300))
    row(
        "python-binance aggregate trades", aggregates[0]["a"] == 800_000_001 and len(aggregates) == 300, len(aggregates)
    )
    row("python-binance depth", len(client.get_order_book(symbol="BTCUSDT", limit=5)["bids"]) == 5, "")
    try:
        client.get_order_book(symbol="btcusdt")
    except BinanceAPIException as refused:
        row("python-binance names a bad symbol", refused.code == -1100, refused)

    async def streams() -> None:
        asynchronous = await AsyncClient.create()
        manager = BinanceSocketManager(asynchronous)
        manager.STREAM_URL = f"{sim.ws_url}/"
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                manager.multiplex_socket(["btcusdt@trade", "ethusdt@depth20@100ms"]) as socket,
            ):
                seen: dict[str, int] = {}
                while len(seen) < 2 or sum(seen.values()) < 50:
                    message = await socket.recv()
                    seen[message["stream"]] = seen.get(message["stream"], 0) + 1
            row("python-binance multiplex socket", len(seen) == 2, seen)
        finally:
            await asynchronous.close_connection()

    asyncio.run(streams())


def main() -> int:
    """Run all checks."""
    settings = SimulatorSettings(symbols=("BTCUSDT", "ETHUSDT", "ETHBTC"), events_per_s=1_000)
    with Simulator(settings) as sim:
        checks: list[tuple[str, Callable[[], None]]] = [
            ("ccxt REST", lambda: check_rest(sim)),
            ("ccxt streams", lambda: asyncio.run(check_streams(sim))),
            ("python-binance", lambda: check_python_binance(sim)),
        ]
        for name, check in checks:
            try:
                check()
            except Exception as error:
                row(name, False, f"{type(error).__name__}: {error}")
        row("no limit was broken", not sim.ledger.violations(), sim.ledger.violations()[:2])
    failed = [name for name, holds, _ in ROWS if not holds]
    print(f"{len(ROWS)} rows, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
