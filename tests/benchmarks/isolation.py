"""What a venue in a process of its own costs and saves, with a venue on threads beside it in the same run.

Three things are measured, each in processes of its own:

- the channel: trades put into the outlet of one process until they reach a callback of another, one topic, as fast as it goes;
- an ask: question and answer between an engine's thread and an actor of the venue, nothing of the network in it; once with the
  processes where the system puts them, once on one CPU;
- an engine that burns CPU on four threads: how old the venue's own book is when an update has been applied to it, counted from
  the exchange's time stamp (whole milliseconds), how late the engine's callback is, and how late pongs are at the exchange.

    python tests/benchmarks/isolation.py [--scale 0.2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from decimal import Decimal
from typing import Any

TRADES = 600_000
ASKS = 3_000
SECONDS = 6.0
BURNERS = 4
BOOKS = ("BTC/USDT", "ETH/USDT", "ETH/BTC")
PING_EVERY_S = 0.1
LATE_S = 0.1
"""A pong later than this counts as late; exchanges are more patient, but each of these was held up by somebody."""
ONE_WAY_PER_S = 300_000
ASK_RATIO = 3.0
ONE_CPU_RATIOS = (3.0, 4.0)
"""Of a small question, and of one that is answered with an instrument; all threads of both processes on one CPU. Where the system
puts them by itself, each change of threads costs what waking another CPU costs there and then, which may be 50 us."""
BOOK_RATIO = 2.0
FIRST_ID = 1000
AT_NS = 1_760_000_000_000_000_000


def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **more)


def figures_of(*arguments: str) -> dict[str, float]:
    """The JSON a part prints last."""
    with start(*arguments) as part:
        out, _ = part.communicate(timeout=300)
    if part.returncode != 0:
        raise SystemExit(f"a run failed: {' '.join(arguments)}")
    figures: dict[str, float] = json.loads(out.strip().splitlines()[-1])
    return figures


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


# ---------------------------------------------------------------- the channel


def sender_main(descriptor: int, count: int) -> None:
    """Put trades into an outlet as a feed does, never more than it takes without dropping."""
    from connector.clock import SystemClock
    from connector.domain import Side, Symbol, Topic, TopicKind, Trade
    from connector.isolation.line import adopt
    from connector.isolation.outlet import CAPACITY, Outlet
    from connector.telemetry import Counters, OncePerKind
    from connector.venue.delivery import Subscription
    from connector.venue.feed import Feed

    clock, symbol, line = SystemClock(), Symbol("BTC", "USDT"), adopt(descriptor)
    topic = Topic(TopicKind.TRADES, symbol)
    feed = Feed("binance", topic, clock, ask=lambda wish: None, counters=Counters(), alarms=OncePerKind("binance"))
    outlet = Outlet("binance", line, clock)
    for body in (outlet.write, line.write):
        threading.Thread(target=body, daemon=True).start()
    taken: list[Any] = []

    def subscribe(take: Any) -> Subscription:
        taken.append(take)
        return Subscription(feed, clock, callback=take)

    outlet.follow(1, topic, feed, subscribe)
    (take,) = taken
    price, quantity = Decimal("121234.56000000"), Decimal("0.00123000")
    block, cpu_s = 1000, time.process_time()
    for first in range(0, count, block):
        while outlet.waiting > CAPACITY // 4:
            time.sleep(0.0005)
        for number in range(first, min(first + block, count)):
            take(Trade("binance", symbol, AT_NS + number, AT_NS, FIRST_ID + number, price, quantity, Side.SELL))
    while outlet.waiting or line.backlog:
        time.sleep(0.001)
    print((time.process_time() - cpu_s) / count * 1e6, flush=True)
    sys.stdin.read()


def channel(count: int) -> tuple[float, float, float]:
    """Trades a second from one process's feed to another's callback; CPU microseconds a trade there and here."""
    from connector.clock import SystemClock
    from connector.domain import Symbol, Topic, TopicKind
    from connector.isolation.line import Line, pair
    from connector.isolation.mirror import MirrorFeed
    from connector.isolation.wire import read_facts
    from connector.telemetry import Counters, OncePerKind
    from connector.venue.delivery import Subscription

    clock = SystemClock()
    topic = Topic(TopicKind.TRADES, Symbol("BTC", "USDT"))
    mirror = MirrorFeed(
        "binance", topic, clock, ask=lambda wish: None, counters=Counters(), alarms=OncePerKind("binance")
    )
    mirror.read_chunks()
    seen = 0
    began_s = ended_s = 0.0

    def consume(value: Any) -> None:
        nonlocal seen, began_s, ended_s
        seen += 1
        if seen == 1:
            began_s = time.perf_counter()
        elif seen == count:
            ended_s = time.perf_counter()

    mirror.attach(Subscription(mirror, clock, callback=consume))
    ours, theirs = pair()
    line = Line(ours, users=1)
    mirror.own(line)
    with start("--sender", str(theirs.fileno()), "--count", str(count), pass_fds=[theirs.fileno()]) as sender:
        theirs.close()
        cpu_s = time.process_time()
        while seen < count and (packet := line.take()) is not None:
            at_s, chunks = read_facts(packet)
            for _, tag, payload in chunks:
                mirror.on_chunk(line, tag, payload, at_s)
        cpu_s = time.process_time() - cpu_s
        assert sender.stdout is not None
        sender_us = float(sender.stdout.readline())
        sender.kill()
    if seen != count or mirror.gaps:
        raise SystemExit(f"{seen} of {count} trades came, {mirror.gaps} gaps")
    return count / (ended_s - began_s), sender_us, cpu_s / count * 1e6


# ---------------------------------------------------------------- asks


def asks_main(count: int) -> None:
    """Small questions, threads and process in turn, so that a slow moment of the machine meets both. Prints medians."""
    from connector import Connector, Symbol, VenueSettings
    from connector.simulator import Simulator, SimulatorSettings
    from connector.venue.state import GetInstrument
    from connector.venue.stream import StreamStatus

    figures: dict[str, float] = {}
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), events_per_s=0)) as sim:
        connectors = {
            mode: Connector(
                [VenueSettings("binance", rest_url=sim.rest_url, stream_url=sim.ws_url, isolation=mode)]  # type: ignore[arg-type]
            ).start()
            for mode in ("thread", "process")
        }
        for connector in connectors.values():
            if not connector.venue("binance").wait_ready(30.0):
                raise SystemExit("the venue did not come up")
        for name, actor, question in (
            ("small", "stream", StreamStatus),
            ("instrument", "state", GetInstrument(Symbol("BTC", "USDT"))),
        ):
            took: dict[str, list[float]] = {mode: [] for mode in connectors}
            for _ in range(10):
                for mode, connector in connectors.items():
                    ask = getattr(connector.venue("binance"), actor).ask
                    for _ in range(count // 10):
                        began_s = time.perf_counter()
                        ask(question, timeout=10.0)
                        took[mode].append((time.perf_counter() - began_s) * 1e6)
            for mode, values in took.items():
                figures[f"{name}.{mode}.p50"] = statistics.median(values)
                figures[f"{name}.{mode}.p99"] = percentile(values, 0.99)
        for connector in connectors.values():
            connector.stop()
    print(json.dumps(figures))


# ---------------------------------------------------------------- an engine that burns


def exchange_main() -> None:
    """A simulated exchange that notes how late each pong is; prints its URLs, and when its input ends, the pongs."""
    from connector.simulator import Simulator, SimulatorSettings, hub

    late_s: list[float] = []
    plain = hub.Connection.pong

    def pong(self: Any, payload: bytes) -> None:
        asked_s = self._pings.get(payload)
        if asked_s is not None:
            late_s.append(time.monotonic() - asked_s)
        plain(self, payload)

    hub.Connection.pong = pong  # type: ignore[method-assign]
    settings = SimulatorSettings(
        symbols=tuple(name.replace("/", "") for name in BOOKS),
        events_per_s=300.0,
        ping_every_s=PING_EVERY_S,
        pong_within_s=60.0,
        enforce_limits=False,
    )
    with Simulator(settings) as sim:
        print(json.dumps({"rest": sim.rest_url, "ws": sim.ws_url}), flush=True)
        sys.stdin.read()
    print(json.dumps({"pongs": len(late_s), "late": sum(each > LATE_S for each in late_s), "worst": max(late_s)}))


def burn(until: threading.Event, core: int | None, done: list[int]) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})  # this thread alone
    value, rounds = 0, 0
    while not until.is_set():
        for _ in range(1000):
            value = (value * 31 + 7) % 1_000_003
        rounds += 1
    done.append(rounds)


def engine_main(mode: str, burners: int, seconds: float, rest: str, ws: str, core: int | None) -> None:
    """An engine with three books, first settled, then measured. Prints ages in milliseconds, and the work the burners did."""
    from connector import Connector, VenueSettings
    from connector.domain import BookState

    over, is_on = threading.Event(), False
    own: deque[float] = deque()
    engine: deque[float] = deque()
    work: list[int] = []
    ahead_s = time.time() - time.monotonic()

    venue = VenueSettings("binance", rest_url=rest, stream_url=ws, isolation=mode)  # type: ignore[arg-type]
    with Connector([venue]) as connector:
        memory = connector._assembly.memories["binance"]

        def consumer(name: str) -> Any:
            def consume(update: Any) -> None:
                now_s = time.monotonic()
                if is_on and update.state is BookState.VALID and update.event_time_ns is not None:
                    true_s = update.event_time_ns / 1e9 - ahead_s
                    engine.append((now_s - true_s) * 1e3)
                    # Of a venue apart: when its process wrote the update, having applied it. Of one on threads: now.
                    applied_s = feeds[name].last_new_s if mode == "process" else now_s
                    own.append((applied_s - true_s) * 1e3)

            return consume

        subscriptions = [connector.subscribe("binance", "book", name, callback=consumer(name)) for name in BOOKS]
        feeds = {str(feed.topic.symbol): feed for feed in memory.feeds()}
        for subscription in subscriptions:
            subscription.wait_live(30.0)
        threads = [threading.Thread(target=burn, args=(over, core, work), daemon=True) for _ in range(burners)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        is_on = True
        time.sleep(seconds)
        is_on = False
        over.set()
        for thread in threads:
            thread.join()
    print(json.dumps({
        "updates": len(own), "work": sum(work),
        "own_p50": percentile(list(own), 0.5), "own_p99": percentile(list(own), 0.99),
        "engine_p50": percentile(list(engine), 0.5), "engine_p99": percentile(list(engine), 0.99),
    }))  # fmt: skip


def run_engine(mode: str, burners: int, seconds: float, *more: str) -> dict[str, float]:
    with start("--exchange") as exchange:
        assert exchange.stdout is not None and exchange.stdin is not None
        urls = json.loads(exchange.stdout.readline())
        try:
            figures = figures_of(
                "--engine", mode, "--burners", str(burners), "--seconds", str(seconds), "--rest", urls["rest"],
                "--ws", urls["ws"], *more,
            )  # fmt: skip
        finally:
            out, _ = exchange.communicate("", timeout=30)
    return figures | json.loads(out.strip().splitlines()[-1])


ADVICE: tuple[tuple[str, ...], ...] = (
    ("thread",),
    ("thread", "--interval-ms", "1"),
    ("thread", "--interval-ms", "0.5"),
    ("thread", "--interval-ms", "0.1"),
    ("thread", "--core", "0"),
    ("process",),
    ("process", "--interval-ms", "0.5"),
    ("process", "--core", "0"),
)


def advise(seconds: float) -> None:
    """One line per way of running an engine whose four threads burn."""
    for mode, *more in ADVICE:
        found = run_engine(mode, BURNERS, seconds, *more)
        print(json.dumps({"mode": " ".join((mode, *more)), **found}), flush=True)


# ---------------------------------------------------------------- report


def row(name: str, value: float, unit: str, bound: float | None = None, *, at_least: bool = False) -> dict[str, Any]:
    ok = bound is None or (value >= bound if at_least else value <= bound)
    return {"name": f"isolation.{name}", "value": round(value, 3), "unit": unit, "bound": bound, "ok": ok}


def rows(scale: float) -> list[dict[str, Any]]:
    count = max(50_000, int(TRADES * scale))
    runs = [channel(count) for _ in range(3)]
    report = [
        row("one_way", max(run[0] for run in runs), "trades/s", ONE_WAY_PER_S, at_least=True),
        row("one_way.sender_cpu", min(run[1] for run in runs), "us CPU per trade"),
        row("one_way.receiver_cpu", min(run[2] for run in runs), "us CPU per trade"),
    ]

    for placed, bounds, more in (("ask", (ASK_RATIO, None), ()), ("ask.one_cpu", ONE_CPU_RATIOS, ("--one-cpu",))):
        asks = figures_of("--asks", "--count", str(max(500, int(ASKS * scale))), *more)
        report += [row(f"{placed}.{name}", value, "us") for name, value in asks.items()]
        for name, bound in zip(("small", "instrument"), bounds, strict=True):
            ratio = asks[f"{name}.process.p50"] / asks[f"{name}.thread.p50"]
            report.append(row(f"{placed}.{name}.ratio", ratio, "of the thread's", bound))

    seconds = max(2.0, SECONDS * scale)
    for mode in ("thread", "process"):
        idle, burning = run_engine(mode, 0, seconds), run_engine(mode, BURNERS, seconds)
        for state, figures in (("idle", idle), ("burning", burning)):
            for name in ("own_p50", "own_p99", "engine_p50", "engine_p99"):
                report.append(row(f"{mode}.{state}.book.{name}", figures[name], "ms"))
            report.append(row(f"{mode}.{state}.pongs", figures["pongs"], "pongs"))
            report.append(row(f"{mode}.{state}.worst_pong", figures["worst"] * 1e3, "ms"))
            bound = 0.0 if mode == "process" else None
            report.append(row(f"{mode}.{state}.late_pongs", figures["late"], f"later than {LATE_S} s", bound))
        bound = BOOK_RATIO if mode == "process" else None
        report.append(row(f"{mode}.book.ratio", burning["own_p99"] / idle["own_p99"], "p99 burning of idle", bound))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sender", type=int)
    parser.add_argument("--asks", action="store_true")
    parser.add_argument("--one-cpu", action="store_true", help="asks, with all threads on one CPU")
    parser.add_argument("--exchange", action="store_true")
    parser.add_argument("--engine", choices=["thread", "process"])
    parser.add_argument("--burners", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--interval-ms", type=float, help="of switching threads, in the engine")
    parser.add_argument("--core", type=int, help="that the burning threads are pinned to")
    parser.add_argument("--advice", action="store_true", help="print what intervals and pinning change, for the guide")
    parser.add_argument("--rest", default="")
    parser.add_argument("--ws", default="")
    parser.add_argument("--count", type=int, default=TRADES)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of messages and seconds")
    chosen = parser.parse_args()
    if chosen.sender is not None:
        sender_main(chosen.sender, chosen.count)
    elif chosen.asks:
        if chosen.one_cpu and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        # Not on the main thread, where Ctrl-C may strike: the library answers others one change of threads sooner.
        engine = threading.Thread(target=asks_main, args=(chosen.count,), name="engine")
        engine.start()
        engine.join()
    elif chosen.exchange:
        exchange_main()
    elif chosen.engine:
        if chosen.interval_ms is not None:
            sys.setswitchinterval(chosen.interval_ms / 1e3)
        engine_main(chosen.engine, chosen.burners, chosen.seconds, chosen.rest, chosen.ws, chosen.core)
    elif chosen.advice:
        advise(max(2.0, SECONDS * chosen.scale))
    else:
        report = rows(chosen.scale)
        for each in report:
            print(json.dumps(each), flush=True)
        return 0 if all(each["ok"] for each in report) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
