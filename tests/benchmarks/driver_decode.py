"""What reading one frame costs, against two floors measured in the same run.

`decode` is msgspec alone, into an unchecked struct with Decimals; `build` adds the domain value and nothing else. What a
reader costs above `build` is what its checks cost. Rows: name, value, unit, bound, ok; a bound of None only reports.

    python tests/benchmarks/driver_decode.py [--quick]
"""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from connector.books.book import exact
from connector.domain import (
    BookDelta,
    BookTicker,
    Candle,
    Instrument,
    InstrumentStatus,
    Side,
    Symbol,
    Topic,
    TopicKind,
    Trade,
)
from connector.drivers.registry import find_driver

ETH = Symbol("ETH", "USDT")
AT = 1_762_000_000_500_000_000
MS = 1_000_000
BUY, SELL = Side.BUY, Side.SELL
TRADE_BOUND = 1.3  # times decode + build


def _levels(first: float, step: float) -> str:
    return ",".join(f'["{first + step * n:.8f}","{1.5 + n:.8f}"]' for n in range(20))


FRAMES = {
    "trade": b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1762000000123,"s":"ETHUSDT","t":900001,'
    b'"p":"3150.25000000","q":"0.40000000","T":1762000000122,"m":true,"M":true}}',
    "book ticker": b'{"stream":"ethusdt@bookTicker","data":{"u":5000123,"s":"ETHUSDT","b":"3150.24000000",'
    b'"B":"2.00000000","a":"3150.25000000","A":"1.50000000"}}',
    "candle": b'{"stream":"ethusdt@kline_1m","data":{"e":"kline","E":1762000002003,"s":"ETHUSDT","k":{"t":1761999960000,'
    b'"T":1762000019999,"s":"ETHUSDT","i":"1m","f":899500,"L":900003,"o":"3149.00000000","c":"3150.25000000",'
    b'"h":"3151.00000000","l":"3148.50000000","v":"152.40000000","n":504,"x":false,"q":"480012.10000000",'
    b'"V":"80.10000000","Q":"252301.00000000","B":"0"}}}',
    "depth 20+20": (
        '{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","E":1762000000200,"s":"ETHUSDT","U":5000119,"u":5000123,'
        f'"b":[{_levels(3150, -0.01)}],"a":[{_levels(3151, 0.01)}]}}}}'
    ).encode(),
}
TOPICS = {
    "trade": Topic(TopicKind.TRADES, ETH),
    "book ticker": Topic(TopicKind.BOOK_TICKER, ETH),
    "candle": Topic(TopicKind.CANDLES, ETH, interval="1m"),
    "depth 20+20": Topic(TopicKind.BOOK, ETH),
}


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: Decimal
    q: Decimal
    T: int
    m: bool


class _Best(msgspec.Struct, gc=False):
    u: int
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class _CandleBody(msgspec.Struct, gc=False):
    t: int
    T: int
    i: str
    o: Decimal
    c: Decimal
    h: Decimal
    l: Decimal  # noqa: E741
    v: Decimal
    n: int
    x: bool
    q: Decimal
    V: Decimal
    Q: Decimal


class _Candle(msgspec.Struct, gc=False):
    E: int
    s: str
    k: _CandleBody


class _Depth(msgspec.Struct, gc=False):
    E: int
    s: str
    U: int
    u: int
    b: tuple[tuple[Decimal, Decimal], ...]
    a: tuple[tuple[Decimal, Decimal], ...]


def _frame(data: type) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Frame", [("data", data)], gc=False)).decode


def _build_trade(d: Any) -> Trade:
    return Trade("binance", ETH, d.T * MS, AT, d.t, d.p, d.q, SELL if d.m else BUY)


def _build_best(d: Any) -> BookTicker:
    return BookTicker("binance", ETH, None, AT, d.b, d.B, d.a, d.A, d.u)


def _build_candle(d: Any) -> Candle:
    k = d.k
    return Candle(
        "binance",
        ETH,
        d.E * MS,
        AT,
        "1m",
        k.t * MS,
        k.T * MS,
        k.o,
        k.h,
        k.l,
        k.c,
        k.v,
        k.x,
        k.q,
        k.n,
        k.V,
        k.Q,
    )


def _build_depth(d: Any) -> BookDelta:
    return BookDelta("binance", ETH, d.E * MS, AT, d.U, d.u, d.b, d.a)


FLOORS = {
    "trade": (_frame(_Trade), _build_trade),
    "book ticker": (_frame(_Best), _build_best),
    "candle": (_frame(_Candle), _build_candle),
    "depth 20+20": (_frame(_Depth), _build_depth),
}


def _exact(value: Any) -> Any:
    """With levels as numbers, which a book makes of those that are read."""
    if not isinstance(value, BookDelta):
        return value
    return msgspec.structs.replace(value, bids=exact(value.bids), asks=exact(value.asks))


def _microseconds(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The best of several short runs each, taken in turn so that a slow moment of the machine hits all alike."""
    count = {
        name: max(1, int(0.01 / min(timeit.repeat(call, number=20, repeat=3)) * 20)) for name, call in calls.items()
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            best[name] = min(best[name], timeit.timeit(call, number=count[name]) / count[name] * 1e6)
    return best


def rows(repeats: int = 15) -> list[dict[str, Any]]:
    """The figures; see the module's first lines."""
    driver = find_driver("binance")
    instrument = Instrument("binance", ETH, "ETHUSDT", InstrumentStatus.TRADING, "TRADING", 8, 8, (), ())
    found: list[dict[str, Any]] = []

    def row(name: str, value: float, unit: str, bound: float | None = None) -> None:
        ok = bound is None or value <= bound
        found.append({"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": ok})

    for name, frame in FRAMES.items():
        read = driver.streams.reader(TOPICS[name], instrument)
        decode, build = FLOORS[name]
        assert _exact(read(frame, AT)) == build(decode(frame).data)
        cost = _microseconds(
            {
                "read": lambda read=read, frame=frame: read(frame, AT),
                "build": lambda decode=decode, build=build, frame=frame: build(decode(frame).data),
                "decode": lambda decode=decode, frame=frame: decode(frame),
                "route": lambda frame=frame: driver.streams.route(frame),
            },
            repeats,
        )
        row(f"{name}: route", cost["route"], "us")
        row(f"{name}: read", cost["read"], "us")
        row(f"{name}: decode alone", cost["decode"], "us")
        row(f"{name}: decode and build", cost["build"], "us")
        row(f"{name}: read / decode", cost["read"] / cost["decode"], "ratio")
        bound = TRADE_BOUND if name == "trade" else None
        row(f"{name}: read / (decode and build)", cost["read"] / cost["build"], "ratio", bound)
    return found


if __name__ == "__main__":
    figures = rows(3 if "--quick" in sys.argv else 15)
    for figure in figures:
        print(json.dumps(figure))
    sys.exit(0 if all(figure["ok"] for figure in figures) else 1)
