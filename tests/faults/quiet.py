"""What silence is taken for, in the simulation: topics that fall silent, and markets in which nothing happens.

Each function is one experiment on a `World` and returns plain figures; `sim` prints them and judges.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from connector.simulator import Live, SimulatorSettings
from connector.testing.simulation import World
from connector.venue.delivery import TopicState

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from products import BINANCE, Product

__all__ = ["quiet_topic_days", "silence_noticed"]

DAY_S = 86_400.0


def _world(seed: int, product: Product, events_per_s: float, tick_s: float, names: tuple[str, ...] = ()) -> World:
    settings = SimulatorSettings(
        dialect=product.dialect,
        symbols=names or product.names,
        events_per_s=events_per_s,
        source=Live(resting_orders=20),
        keep=20_000,
    )
    return World(seed, {product.exchange: settings}, tick_s=tick_s)


def silence_noticed(product: Product = BINANCE, times: int = 6) -> tuple[list[float], list[float]]:
    """Seconds until a trade topic that fell silent is no longer called live: of busy ones (above one a second), and others."""
    noticed: tuple[list[float], list[float]] = ([], [])
    for kind, events_per_s in ((0, 80.0), (1, 4.0)):
        for seed in range(times):
            world = _world(seed, product, events_per_s, 0.1)
            runtime, far = world.runtime, world.far[product.exchange]
            with world.connect(world.venue(product.exchange, product.exchange)) as connector:
                trades = connector.subscribe(
                    product.exchange, product.trades, product.main, callback=lambda value: None
                )
                connector.subscribe(product.exchange, product.trades, product.other, callback=lambda value: None)
                runtime.advance(60.0 + random.Random(seed).random())
                assert trades.state is TopicState.LIVE
                far.faults.silence(product.topic(product.trade_topic))
                began_s = runtime.monotonic_s()
                runtime.run_while(lambda trades=trades: trades.state is TopicState.LIVE, 300.0)
                noticed[kind].append(runtime.monotonic_s() - began_s)
    return noticed


def quiet_topic_days(topic_days: float, symbols: int = 24) -> dict[str, float]:
    """Many topics on a market with a trade every few hours or none at all, for so many topic-days together."""
    product = BINANCE
    bases = [f"{chr(65 + number // 26)}{chr(65 + number % 26)}Q" for number in range(symbols)]
    names = tuple(f"{base}USDT" for base in bases)
    world = _world(1, product, 200.0, 0.5, names)
    runtime, far = world.runtime, world.far[product.exchange]
    with world.connect(world.venue(product.exchange, product.exchange)) as connector:
        topics = [
            connector.subscribe(product.exchange, kind, f"{base}/USDT", callback=lambda value: None)
            for base in bases
            for kind in ("trades", "book", "book_ticker")
        ]
        runtime.advance(60.0)  # a busy minute, so that every topic has spoken
        far.paused = True
        runtime.advance(120.0)
        counters = connector.venue(product.exchange)._memory.counters
        before = dict(counters.snapshot())
        began_s = runtime.monotonic_s()
        chance = random.Random(1)
        while (runtime.monotonic_s() - began_s) * len(topics) / DAY_S < topic_days:
            runtime.advance(600.0 + 3_600.0 * chance.random())
            far.exchange.source.step(chance.choice((0, 0, 1, 3)))  # somebody does something
            far.exchange.hub.flush()
        after = counters.snapshot()
        passed_s = runtime.monotonic_s() - began_s

    def risen(name: str) -> int:
        return int(after.get(name, 0) - before.get(name, 0))

    return {
        "topic_days": passed_s * len(topics) / DAY_S,
        "probes": risen("stream.probes"),
        "false_alarms": risen("stream.silent_topics") + risen("stream.unproven_silence"),
        "connections_lost": risen("stream.connections_lost") + risen("stream.connections_replaced"),
        "violations": far.exchange.records.violation_count,
    }
