"""The consolidated book equals the merge of the venues' own books, at every step of a seeded run, disturbed on the way.

Two simulated venues move step by step; after each step everything consolidated is compared with what their ledgers say: all
levels, without fees and with, the last quote that was told, and who is in. At some steps a venue's connections are cut: its books
have to leave, and to come back. At the end every trade of the tape is looked for in the ledgers. By hand, ten minutes of market:

    python tests/faults/consolidated.py --minutes 10

Exit status 0 exactly when nothing differed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import QUICK_RECONNECT, eventually, generous_connects

from connector import BookNotValid, Connector, ConnectorSettings, VenueSettings
from connector.aggregate import Aggregator, ConsolidatedQuote, MergedTrade, Source, SourceJoined, SourceLeft
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.simulator import Simulator, SimulatorSettings, listing

STEPS_A_MINUTE = 600
"""A step is a tenth of a second of market: how often the streams of depth speak."""
EVENTS_A_STEP = 20


@dataclass(frozen=True)
class Venue:
    """One simulated venue. `exchange` is the driver's name, `dialect` the simulator's."""

    name: str
    exchange: str
    listings: tuple[Any, ...]
    seed: int
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """One book that is compared: how the simulator lists it, how the library names it."""

    venue: str
    listed: str
    symbol: str
    taker_fee: str = "0.001"

    @property
    def source(self) -> Source:
        return Source.of(self.venue, self.symbol, self.taker_fee)


VENUES = (
    Venue(
        "alpha",
        "binance",
        (
            "BTCUSDT",
            "BTCUSDC",
            "BTCEUR",
            listing("USDCUSDT", price="1", tick="0.0001", step="1"),
            listing("EURUSDT", price="1.08", tick="0.0001", step="1"),
        ),
        seed=11,
    ),
    Venue("beta", "binance", ("BTCUSDT", "BTCUSDC", "BTCEUR"), seed=12),
)
PRODUCTS = (
    Product("alpha", "BTCUSDT", "BTC/USDT", "0.001"),
    Product("alpha", "BTCUSDC", "BTC/USDC", "0.00095"),
    Product("alpha", "BTCEUR", "BTC/EUR", "0.001"),
    Product("beta", "BTCUSDT", "BTC/USDT", "0.0006"),
    Product("beta", "BTCUSDC", "BTC/USDC", "0.0006"),
    Product("beta", "BTCEUR", "BTC/EUR", "0"),
)
QUOTE = "USDT"
RATES = {
    "USDC": Product("alpha", "USDCUSDT", "USDC/USDT"),
    "EUR": Product("alpha", "EURUSDT", "EUR/USDT"),
}

Levels = list[tuple[Decimal, str, str, Decimal, Decimal]]
"""(price, venue, symbol, quantity, the venue's own price), best first."""


class Run:
    """The venues, the client, and what is compared."""

    def __init__(self, sims: dict[str, Simulator], connector: Connector, across: Aggregator) -> None:
        self.sims, self.connector = sims, connector
        self.watched = (*PRODUCTS, *RATES.values())
        self.seen: list[Any] = []  # events since the last comparison
        self.tape: list[MergedTrade] = []
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.is_in: set[Source] = set()
        rates = {asset: product.source for asset, product in RATES.items()}
        self.book = across.book([product.source for product in PRODUCTS], quote=QUOTE, rates=rates)
        self.book.subscribe(callback=self.seen.append)
        self.is_in |= {status.source for status in self.book.status() if status.is_in}
        self.trades = across.trades([product.source for product in PRODUCTS], window_s=0.2)
        self.trades.subscribe(callback=self.tape.append)
        self.lives: dict[Product, Any] = {}

    def start(self) -> None:
        """Move the markets until everything is in."""
        self._step_until_all_are_in()
        self.lives = {p: self.connector.venue(p.venue).live_book(p.symbol) for p in self.watched}

    def _step_until_all_are_in(self) -> None:
        """Books begin with an update; twenty steps a second, so that the client is not swamped meanwhile."""
        for _ in range(600):
            self._step()
            with suppress(BookNotValid):
                self.book.wait_in(0.05)
                return
        raise AssertionError(f"not all came in: {self.book.status()}")

    def _step(self) -> None:
        for sim in self.sims.values():
            sim.step(EVENTS_A_STEP)

    def step(self) -> None:
        """One step of every market; then compare."""
        self._step()
        self._await_equal_ids(frozenset())
        self.compare(frozenset())

    def disturb(self, venue: str) -> None:
        """Cut one venue off, compare without it, move on, let it back, compare."""
        sim = self.sims[venue]
        sim.faults.refuse_upgrade(for_s=0.5)
        sim.faults.cut()
        eventually(lambda: all(self.lives[p].state.value != "valid" for p in self.watched if p.venue == venue))
        self._step()
        self._await_equal_ids(frozenset({venue}))
        self.compare(frozenset({venue}))
        self._step_until_all_are_in()
        self._await_equal_ids(frozenset())
        self.compare(frozenset())
        self.counts["disturbed"] += 1

    def _await_equal_ids(self, without: frozenset[str]) -> None:
        """Wait until the client has read what the venues sent."""
        wanted = {p: self.sims[p.venue].ledger.update_id(p.listed) for p in self.watched if p.venue not in without}
        for product in tuple(wanted):
            if not any(self.sims[product.venue].ledger.book(product.listed)):
                del wanted[product]  # a book without a level is not valid, and has nothing to be merged
                self.counts["empty books"] += 1

        def reached() -> bool:
            try:
                return all(self.lives[product].update_id == update_id for product, update_id in wanted.items())
            except BookNotValid:
                return False

        eventually(reached, 20.0, lambda: f"{wanted} {list(self.lives.values())}")

    # ------------------------------------------------------------ the truth

    def truth(self, fees: bool, without: frozenset[str]) -> tuple[Levels, Levels]:
        """The merge of the simulators' own books, by sorting all of their levels."""
        rates = {QUOTE: (Decimal(1), Decimal(1))}
        for asset, product in RATES.items():
            if product.venue not in without:
                bids, asks = self.sims[product.venue].ledger.book(product.listed)
                if bids and asks:
                    rates[asset] = bids[0][0], asks[0][0]
                else:
                    self.counts["rates with an empty side"] += 1
        all_bids, all_asks = [], []
        for place, product in enumerate(PRODUCTS):
            asset = product.source.symbol.quote
            if product.venue in without or asset not in rates:
                continue
            fee = Decimal(product.taker_fee) if fees else Decimal(0)
            sold, bought = rates[asset]
            bids, asks = self.sims[product.venue].ledger.book(product.listed)
            all_bids += [(-(price * sold * (1 - fee)), place, size, price) for price, size in bids]
            all_asks += [(price * bought * (1 + fee), place, size, price) for price, size in asks]
        named = [(product.venue, product.symbol) for product in PRODUCTS]
        return (
            [(-price, *named[place], size, own) for price, place, size, own in sorted(all_bids)],
            [(price, *named[place], size, own) for price, place, size, own in sorted(all_asks)],
        )

    def compare(self, without: frozenset[str]) -> None:
        """Everything consolidated against the truth; differences go to `wrong`."""
        plain = self.truth(False, without)
        for fees, (bids, asks) in ((False, plain), (True, self.truth(True, without))):
            for depth in (None, 5):
                got = self.book.snapshot(depth, fees=fees)
                self.counts["books compared"] += 1
                self.counts["levels compared"] += len(got.bids) + len(got.asks)
                if _flat(got.bids) != bids[:depth] or _flat(got.asks) != asks[:depth]:
                    self.wrong.append(f"step {self.counts['steps']}: the book differs, fees={fees} depth={depth}")
        self._follow_events(plain)
        self.counts["steps"] += 1

    def _follow_events(self, plain: tuple[Levels, Levels]) -> None:
        """Who is in by the events alone, and whether the last quote is the top."""
        eventually(lambda: not any(outlet.behind for outlet in self.book._outlets._all), 5.0, "events handed over")
        events, quote = list(self.seen), None
        del self.seen[: len(events)]
        for event in events:
            if isinstance(event, SourceJoined):
                self.is_in.add(event.source)
                self.counts["joined"] += 1
            elif isinstance(event, SourceLeft):
                self.is_in.discard(event.source)
                self.counts["left"] += 1
            elif isinstance(event, ConsolidatedQuote):
                self.counts["quotes"] += 1
                self.counts[f"quotes {event.meeting.value}"] += 1
                quote = event
        wanted_in = {status.source for status in self.book.snapshot(1).sources if status.is_in}
        if self.is_in != wanted_in:
            self.wrong.append(f"step {self.counts['steps']}: events say {self.is_in} are in, they are {wanted_in}")
        if quote is None:
            return
        for best, levels in ((quote.best_bid, plain[0]), (quote.best_ask, plain[1])):
            at_best = [level for level in levels if level[0] == levels[0][0]]
            if (
                best is None
                or _flat(best.levels) != at_best
                or best.quantity != sum((level[3] for level in at_best), Decimal(0))
            ):
                self.wrong.append(f"step {self.counts['steps']}: the last quote told is not the top: {quote}")

    def _await_trades(self) -> None:
        """Move on until each source's feed has shown the end of its ledger: what a cut took is seen by the next trade only."""
        for _ in range(100):
            newest = {(product.source.key, max(self._true_trades(product))) for product in PRODUCTS}
            self._step()
            with suppress(AssertionError):
                eventually(lambda newest=newest: self._heard() >= newest, 0.2)
                return

    def _heard(self) -> set[Any]:
        return {(merged.source.key, merged.trade.trade_id) for merged in list(self.tape)}

    def _true_trades(self, product: Product) -> dict[int, Any]:
        return self.sims[product.venue].ledger.trades(product.listed)

    def judge_tape(self) -> None:
        """Every trade once, and in order unless it is marked."""
        self._await_trades()
        self.trades.close()
        newest, seen = -1, Counter((merged.source.key, merged.trade.trade_id) for merged in self.tape)
        for merged in self.tape:
            happened_ns = merged.trade.event_time_ns or 0
            if merged.late != (happened_ns < newest):
                self.wrong.append(f"trade {merged} is {'not ' if merged.late else ''}late")
            newest = max(newest, happened_ns)
        self.wrong += [f"trade {key} came {times} times" for key, times in seen.items() if times > 1]
        for product in PRODUCTS:
            truth = self._true_trades(product)
            ids = {trade_id for key, trade_id in seen if key == product.source.key}
            span = range(min(ids, default=0), max(ids, default=0) + 1)
            missing = [trade_id for trade_id in truth if trade_id in span and trade_id not in ids]
            if missing or not ids:
                self.wrong.append(f"{product}: {len(missing)} trades missing of {len(truth)}, e.g. {missing[:3]}")
        self.counts["trades"] = len(self.tape)
        self.counts["trades late"] = self.trades.counts["late"]


def _flat(levels: Any) -> Levels:
    return [
        (level.price, level.source.venue, str(level.source.symbol), level.quantity, level.venue_price)
        for level in levels
    ]


@contextmanager
def running() -> Iterator[Run]:
    """Both venues and a client at them."""
    clock = SystemClock()
    with ExitStack() as stack:
        sims = {
            venue.name: stack.enter_context(
                Simulator(
                    SimulatorSettings(
                        symbols=venue.listings,
                        seed=venue.seed,
                        events_per_s=0.0,
                        request_weight_per_minute=10_000_000,
                        raw_requests_per_5min=10_000_000,
                        connects_per_5min=100_000,
                        **venue.more,
                    )
                )
            )
            for venue in VENUES
        }
        settings = tuple(
            VenueSettings(
                venue.exchange,
                name=venue.name,
                rest_url=sims[venue.name].rest_url,
                stream_url=sims[venue.name].ws_url,
                reconnect=QUICK_RECONNECT,
            )
            for venue in VENUES
        )
        parts, generous = real_parts(clock), generous_connects()
        find = parts.driver
        parts = replace(parts, driver=lambda name: generous if name == generous.name else find(name))
        connector = stack.enter_context(Connector(ConnectorSettings(settings), clock=clock, parts=parts))
        for venue in VENUES:
            assert connector.venue(venue.name).wait_ready(10.0), f"{venue.name} lists nothing"
        across = stack.enter_context(Aggregator(connector.venue, clock=clock))
        run = Run(sims, connector, across)
        run.start()
        yield run


def compare(steps: int, disturb_every: int) -> Run:
    """The whole run; what is wrong is in the answer."""
    with running() as run:
        for number in range(1, steps + 1):
            run.step()
            if disturb_every and number % disturb_every == 0:
                run.disturb(VENUES[(number // disturb_every) % len(VENUES)].name)
        run.judge_tape()
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of simulated market")
    parser.add_argument("--disturb-every", type=int, default=300, help="steps between cuts; 0: never")
    options = parser.parse_args()
    began_s = time.monotonic()
    run = compare(int(options.minutes * STEPS_A_MINUTE), options.disturb_every)
    took_s = time.monotonic() - began_s
    for text in run.wrong[:20]:
        print(f"  {text}")
    print(f"{len(VENUES)} venues, {len(PRODUCTS)} books, {options.minutes:g} minutes of market in {took_s:.0f} s")
    for name, count in sorted(run.counts.items()):
        print(f"  {name}: {count}")
    print("FAIL" if run.wrong else "ok  ", f"differences: {len(run.wrong)}")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
