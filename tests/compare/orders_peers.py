"""What an order costs other clients, up to its first byte and up to its answer: ccxt, python-binance, pybit, where installed.

A development check: none of them is a dependency. They place orders one after the other at a stub of `tests/benchmarks/orders.py`
that answers at once, each with only its address changed; CPU is the process' own. One JSON line a client that is installed; the
benchmark calls this with another interpreter:

    python -m venv build/compare && build/compare/bin/pip install ccxt python-binance pybit
    python tests/benchmarks/orders.py --peers build/compare/bin/python
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

KEY, SECRET = "benchmark0123456789", "the secret of the benchmark"
PRICE, QUANTITY = "60000.00", "0.01000000"
COLD = 50

Place = Callable[[], Any]


def by_ccxt(port: int) -> Place:
    import ccxt

    client = ccxt.binance({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
    root = f"http://127.0.0.1:{port}/api/v3"
    client.urls["api"] = client.urls["api"] | {"public": root, "private": root}
    market = client.safe_market_structure(
        {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT"}
    )
    market |= {"type": "spot", "spot": True, "precision": {"amount": 1e-8, "price": 0.01}, "info": {}}
    market["info"] = {"orderTypes": ["LIMIT", "MARKET"]}
    client.set_markets([market])
    return lambda: client.create_order("BTC/USDT", "limit", "buy", float(QUANTITY), float(PRICE))


def by_python_binance(port: int) -> Place:
    from binance.client import Client

    client = Client(KEY, SECRET, ping=False)
    client.API_URL = f"http://127.0.0.1:{port}/api"
    order = {"symbol": "BTCUSDT", "quantity": QUANTITY, "price": PRICE, "newOrderRespType": "FULL"}
    return lambda: client.order_limit_buy(**order)


def by_pybit(port: int) -> Place:
    from pybit.unified_trading import HTTP

    client = HTTP(api_key=KEY, api_secret=SECRET)
    client.endpoint = f"http://127.0.0.1:{port}"
    order = {"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "timeInForce": "GTC"}
    return lambda: client.place_order(**order, qty=QUANTITY, price=PRICE)


CLIENTS = {"ccxt": by_ccxt, "python-binance": by_python_binance, "pybit": by_pybit}


def measure(place: Place, count: int) -> dict[str, float]:
    """Microseconds of the process' CPU: the median to the first byte, the mean to the answer."""
    mark = [0]
    plain = http.client.HTTPConnection.send

    def send(self: Any, *arguments: Any) -> None:
        plain(self, *arguments)
        mark[0] = mark[0] or time.process_time_ns()

    http.client.HTTPConnection.send = send  # type: ignore[method-assign]
    try:
        for _ in range(COLD):
            place()
        seen, began = [], time.process_time_ns()
        for _ in range(count):
            mark[0], asked = 0, time.process_time_ns()
            place()
            seen.append(mark[0] - asked)
        spent = time.process_time_ns() - began
    finally:
        http.client.HTTPConnection.send = plain  # type: ignore[method-assign]
    return {"first_byte_us": statistics.median(seen) / 1e3, "cpu_us": spent / count / 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, default=500)
    chosen = parser.parse_args()
    for name, make in CLIENTS.items():
        try:
            place = make(chosen.port)
        except ImportError:
            continue
        print(json.dumps({"name": name, **measure(place, chosen.count)}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
