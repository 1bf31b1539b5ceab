"""What many topics cost each message, what many books cost in memory, and what a start costs.

- topics: the same number of trades, read and delivered by the shipped connection and feeds, spread at random over one topic or
  thousands. 64 frames arrive at a time; no socket in it. How much of it is the machine's shows `pipeline.py`, against a floor.
- books: 1,000 levels a side as an exchange writes them, joined by its rule; resident memory before and after, per level. In a
  process of its own: in one that had thousands of topics before, books move into memory that is there already.
- start: `from connector import Connector` beside a bare interpreter, both with their bytecode on disk as it is once installed,
  and a client with six venues in memory until the first event of each has reached its callback.

    python tests/benchmarks/size.py [--scale 0.2]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

FRAMES = 48_000
TOPICS = (1, 30, 3_000)
TOGETHER = 64
BOOKS, LEVELS = 200, 1_000
STARTS = 5
FIRST_ID, AT_NS = 1_000, 1_760_000_000_000_000_000
MORE_TOPICS = 2.6
"""So many times the cost of one topic a message of 3,000 may cost: what belongs to a topic is far from the processor when its
next frame comes. 1.1 was the aim; decoding and one look-up alone come to 1.5."""
BYTES_A_LEVEL = 290
"""Two texts, the pair of them, a whole number, and a place in a dict and in a list. 260 is the aim."""
IMPORT_S, READY_S = 0.3, 1.0
"""CPU for the import. 0.25 s is the aim; a third of it is loguru with asyncio, a fifth the making of dataclasses."""
VENUES = 6


def trade_frame(name: bytes, number: int) -> bytes:
    return (
        b'{"stream":"%b@trade","data":{"e":"trade","E":%d,"s":"%b","t":%d,"p":"121234.56000000",'
        b'"q":"0.00123000","T":1760000000122,"m":true,"M":true}}'
        % (name.lower(), 1760000000123 + number, name, FIRST_ID + number)
    )


def cpu_us_over(topics: int, count: int) -> float:
    """CPU a message with its frames spread over so many topics."""
    from connector.clock import SystemClock
    from connector.domain import Instrument, InstrumentStatus, Symbol, Topic, TopicKind
    from connector.drivers.registry import find_driver
    from connector.telemetry import Counters, OncePerKind
    from connector.venue.connection import Connection
    from connector.venue.delivery import Subscription
    from connector.venue.feed import Feed

    clock, driver, counters, alarms = SystemClock(), find_driver("binance"), Counters(), OncePerKind("binance")
    connection = Connection(1, driver.streams, driver.name_after, clock, alarms, lambda: True, lambda _: None)
    routes: dict[bytes, Feed] = {}
    names, delivered = [], 0

    def consume(value: Any) -> None:
        nonlocal delivered
        delivered += 1

    def reading(topic: Topic, instrument: Instrument) -> Callable[[], Any]:
        return lambda: driver.streams.reader(topic, instrument)

    for number in range(topics):
        symbol = Symbol(f"S{number:04}", "USDT")
        name = f"{symbol.base}USDT"
        topic = Topic(TopicKind.TRADES, symbol)
        instrument = Instrument("binance", symbol, name, InstrumentStatus.TRADING, "TRADING", 8, 8, (), ())
        feed = Feed("binance", topic, clock, ask=lambda _: None, counters=counters, alarms=alarms)
        feed.attach(Subscription(feed, clock, callback=consume))
        feed.bind(reading(topic, instrument))
        feed.own(connection)
        routes[driver.streams.name(topic).encode()] = feed
        names.append(name.encode())
    connection.routes = routes
    chooser, last = random.Random(topics), [0] * topics
    batches: list[list[bytes]] = [[trade_frame(name, 0)] for name in names]  # all of them have begun
    for _ in range(count // TOGETHER):
        batch = []
        for chosen in chooser.choices(range(topics), k=TOGETHER):
            last[chosen] += 1
            batch.append(trade_frame(names[chosen], last[chosen]))
        batches.append(batch)
    for begun in batches[:topics]:
        connection.on_frames(None, begun, AT_NS)  # type: ignore[arg-type]
    gc.collect()
    began_s = time.process_time()
    for batch in batches[topics:]:
        connection.on_frames(None, batch, AT_NS)  # type: ignore[arg-type]
    spent_s = time.process_time() - began_s
    assert delivered == topics + (len(batches) - topics) * TOGETHER, "a trade did not arrive"
    return spent_s / (delivered - topics) * 1e6


def resident_bytes() -> int:
    """Memory of this process that is really there; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bytes_a_level(books: int) -> float:
    import msgspec

    from connector.books.live import LiveBook
    from connector.books.sync import BookSync, FetchSnapshot
    from connector.domain import BookDelta, OrderBook, Symbol
    from connector.drivers.registry import find_driver

    rule = find_driver("binance").book_rule
    assert rule is not None
    decode = msgspec.json.Decoder(tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]).decode

    def text(first: int, step: int) -> str:
        return ",".join(f'["{first + step * level}.01000000","{level + 1}.00000000"]' for level in range(LEVELS))

    kept, symbol = [], Symbol("BTC", "USDT")
    gc.collect()
    before = resident_bytes()
    for number in range(books):
        bids, asks = decode(f"[[{text(50_000 + number, -1)}],[{text(50_001 + number, 1)}]]".encode())
        book = LiveBook(BookSync("binance", symbol, rule), time.time_ns)
        book.on_connected()
        (fetch,) = book.on_delta(BookDelta("binance", symbol, None, AT_NS, 1, 2, (), ()))
        assert isinstance(fetch, FetchSnapshot)
        book.on_snapshot(OrderBook("binance", symbol, None, AT_NS, 1, bids, asks), fetch.attempt)
        assert book.best().bid == Decimal(f"{50_000 + number}.01")
        kept.append(book)
    gc.collect()
    return (resident_bytes() - before) / (books * 2 * LEVELS)


def import_s(statement: str, bytecode: str) -> float:
    """CPU of an interpreter that does this and ends; compiled modules are kept in the folder `bytecode`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True, env={**environment, "PYTHONPYCACHEPREFIX": bytecode})
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def imports_s() -> float:
    ours, bare = "from connector import Connector", "pass"
    with tempfile.TemporaryDirectory() as bytecode:
        import_s(ours, bytecode)
        pairs = [(import_s(ours, bytecode), import_s(bare, bytecode)) for _ in range(STARTS)]
    return statistics.median(spent_s - bare_s for spent_s, bare_s in pairs)


READY = """
import time
began_s = time.perf_counter()
import threading
from contextlib import ExitStack
from connector import Connector, ConnectorSettings, VenueSettings
from connector.simulator import Simulator, SimulatorSettings
with ExitStack() as stack:
    names = [f"venue{number}" for number in range(%d)]
    sims = [stack.enter_context(Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=200.0))) for _ in names]
    venues = [
        VenueSettings("binance", name=name, rest_url=sim.rest_url, stream_url=sim.ws_url) for name, sim in zip(names, sims)
    ]
    began_s = time.perf_counter()
    heard = {name: threading.Event() for name in names}
    with Connector(ConnectorSettings(tuple(venues))) as connector:
        for name in names:
            connector.subscribe(name, "trades", "BTC/USDT", callback=lambda _, name=name: heard[name].set())
        for name in names:
            assert heard[name].wait(30.0), name
        print(time.perf_counter() - began_s)
"""
"""Six venues are served by threads of the same process, so the figure is an upper bound."""


def ready_s() -> float:
    done = subprocess.run([sys.executable, "-c", READY % VENUES], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def row(name: str, value: float, unit: str, bound: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": bound is None or value <= bound}


def rows(scale: float) -> list[dict[str, Any]]:
    report, costs = [], {}
    for topics in TOPICS:
        costs[topics] = min(cpu_us_over(topics, int(FRAMES * scale)) for _ in range(3))
        report.append(row(f"topics.{topics}.cpu_us", costs[topics], "us CPU per message"))
    report.append(row("topics.ratio", costs[TOPICS[-1]] / costs[1], "of one topic", MORE_TOPICS))
    with contextlib.suppress(FileNotFoundError):
        resident_bytes()  # where there is no such file, there is no figure
        command = [sys.executable, __file__, "--books", str(max(10, int(BOOKS * scale)))]
        level = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        report.append(row("books.level", level, "bytes of memory a level", BYTES_A_LEVEL))
    report.append(row("start.import", imports_s(), "s of CPU more than a bare interpreter", IMPORT_S))
    report.append(
        row("start.ready", statistics.median(ready_s() for _ in range(3)), f"s until {VENUES} venues told", READY_S)
    )
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--books", type=int, help="only so many books, and what a level of them takes")
    chosen = parser.parse_args()
    if chosen.books:
        print(bytes_a_level(chosen.books))
        return 0
    report = rows(chosen.scale)
    for each in report:
        print(json.dumps(each), flush=True)
    return 0 if all(each["ok"] for each in report) else 1


if __name__ == "__main__":
    raise SystemExit(main())
