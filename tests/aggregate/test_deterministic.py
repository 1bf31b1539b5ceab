"""The shipped aggregator over two shipped venues on one thread, under a seeded scheduler: nothing wrong is ever shown."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from decimal import Decimal

import pytest
from deterministic_venue import ACTORS, FarSide

from connector import BookNotValid, Connector, ConnectorSettings, VenueSettings
from connector.aggregate import Aggregator, ConsolidatedQuote, MergedTrade, Source, SourceJoined, SourceLeft
from connector.assembly import Parts
from connector.drivers.registry import find_driver
from connector.supervision import Backoff, Intensity
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash

SEEDS = range(int(os.environ.get("SEEDS", "6")))
NAMES = ("alpha", "beta")
SOURCES = tuple(Source.of(name, "BTC/USDT", "0.001") for name in NAMES)


class Run:
    """One whole run: flow at both venues, faults by seed at either, calm; everything shown on the way is compared."""

    def __init__(self, seed, faults=True):
        self.runtime = DeterministicRuntime(seed)
        self.far = {name: FarSide(self.runtime) for name in NAMES}
        parts = Parts(
            links=lambda settings: self.far[settings.name].links,
            open_http=lambda memory: self.far[memory.name].http,
            driver=find_driver,
            random=self.runtime.random,
        )
        settings = ConnectorSettings(
            tuple(VenueSettings("binance", name=name) for name in NAMES),
            restart=Backoff(reset_after_s=0.5),
            restart_limit=Intensity(max_restarts=10_000, within_s=60.0),
        )
        self.connector = Connector(settings, clock=self.runtime.clock, parts=parts, runtime=self.runtime)
        self.wrong, self.tape, self.is_in, self.compared = [], [], set(), 0
        across = Aggregator(self.connector.venue, clock=self.runtime.clock, runtime=self.runtime)
        with self.connector, across:
            self.book = across.book(SOURCES)
            self.book.subscribe(callback=self.check)
            tape = across.trades(SOURCES, window_s=0.5)
            tape.subscribe(callback=self.tape.append)
            self.runtime.advance(5.0)
            if faults:
                self.storm(random.Random(seed), across)
            self.runtime.advance(20.0)
            self.status, self.counts = self.book.status(), self.book.counts
            tape.close()
            self.tape_counts = tape.counts
        self.hash = self.runtime.trace_hash

    def storm(self, chance, across):
        for _ in range(15):
            name = chance.choice(NAMES)
            venue, far = self.connector.venue(name), self.far[name]
            what = chance.choice(["crash", "crash", "cut", "mute", "venue", "caretaker"])
            if what == "caretaker":
                with suppress(LookupError):
                    crash(across.tree.ref("/caretaker"))
            elif what in ("crash", "venue"):
                with suppress(LookupError):  # it may be between two incarnations
                    crash(venue.exchange if what == "venue" else getattr(venue, chance.choice(ACTORS)))
            elif far.links.live:
                link = chance.choice(far.links.live)
                (far.links.server.cut if what == "cut" else far.links.server.silent)(link)
            self.runtime.advance(chance.choice([0.01, 0.3, 2.0, 15.0]))

    def check(self, event):
        """Called in the middle of things, with each event: what can be read then has to be true too."""
        if isinstance(event, SourceJoined):
            self.is_in.add(event.source)
        elif isinstance(event, SourceLeft):
            self.is_in.remove(event.source)
        try:
            book = self.book.snapshot(None)
        except BookNotValid:
            return
        self.compared += 1
        wanted = []
        for place, status in enumerate(book.sources):
            if status.is_in:
                levels = self.far[status.source.venue].bids(status.update_id)
                wanted += [(-price, place, status.source, quantity) for price, quantity in levels.items()]
        wanted = [(Decimal(-price), source, Decimal(size)) for price, _, source, size in sorted(wanted)]
        if [(level.price, level.source, level.quantity) for level in book.bids] != wanted:
            self.wrong.append((event, book))
        if isinstance(event, ConsolidatedQuote) and event.sources != len(self.is_in):
            self.wrong.append((event, self.is_in))


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_storm_all_are_in_again_and_nothing_wrong_was_ever_shown(seed):
    run = Run(seed)

    assert run.wrong == [] and run.compared > 500
    assert all(status.is_in for status in run.status) and run.is_in == set(SOURCES)
    assert run.counts["joined"] == run.counts["left"] + 2
    newest, trades = 0, [value for value in run.tape if isinstance(value, MergedTrade)]
    for merged in trades:
        assert merged.late == (merged.trade.event_time_ns < newest)
        newest = max(newest, merged.trade.event_time_ns)
    for source in SOURCES:
        ids = [merged.trade.trade_id for merged in trades if merged.source == source]
        assert len(ids) == len(set(ids)) > 100
    assert run.tape_counts["taken"] == len(trades)


def test_without_faults_no_source_ever_leaves_and_no_trade_is_late():
    run = Run(1, faults=False)

    assert run.counts["left"] == 0 and run.counts["joined"] == 2
    assert run.tape_counts["late"] == 0 and run.tape_counts["taken"] > 300
    assert run.wrong == []


def test_the_same_seed_gives_the_same_trace():
    assert Run(3).hash == Run(3).hash
