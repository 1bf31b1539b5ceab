"""The consolidated book equals the merge of the venues' own books, at every step of a seeded run, disturbed on the way.

Simulated venues move step by step; after each step everything consolidated is compared with what their ledgers say: all
levels, without fees and with, the last quote that was told, and who is in. At some steps a venue's connections are cut: its books
have to leave, and to come back. At the end every trade of the tape is looked for in the ledgers; what is missing has to have
been fetched, or told as a gap where a venue's trades cannot be counted.

Two layouts: `quotes`, two spot venues with three quote assets each, and `products`, two exchanges with spot, linear and inverse
contracts each. By hand, ten minutes of market of both, or of one:

    python tests/faults/consolidated.py --minutes 10
    python tests/faults/consolidated.py --minutes 10 --layout products

Exit status 0 exactly when nothing differed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import QUICK_RECONNECT, eventually, generous_connects, noting_sequences
from products import BINANCE, BYBIT, BYBIT_INVERSE, BYBIT_LINEAR, COINM, USDM, Product

from connector import BookNotValid, Connector, ConnectorSettings, Gap, VenueSettings
from connector.aggregate import Aggregator, ConsolidatedQuote, MergedTrade, Source, SourceJoined, SourceLeft
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain import Side
from connector.simulator import Simulator, SimulatorSettings, listing

STEPS_A_MINUTE = 600
"""A step is a tenth of a second of market: how often the streams of depth speak."""
EVENTS_A_STEP = 20


@dataclass(frozen=True)
class Venue:
    """One simulated venue: what it is called here, what kind of which exchange's markets it has, and what it lists."""

    name: str
    product: Product
    listings: tuple[Any, ...]
    seed: int


@dataclass(frozen=True)
class Market:
    """One book that is compared: how the simulator lists it, how the library names it."""

    venue: str
    listed: str
    symbol: str
    taker_fee: str = "0.001"

    @property
    def source(self) -> Source:
        return Source.of(self.venue, self.symbol, self.taker_fee)


@dataclass(frozen=True)
class Layout:
    """What is put side by side.

    Attributes:
        rates: what a unit of another quote asset is worth in `quote`: a number, or the spot book that tells it.
    """

    name: str
    venues: tuple[Venue, ...]
    markets: tuple[Market, ...]
    rates: Mapping[str, Market | Decimal]
    quote: str = "USDT"
    products: Mapping[str, Product] = field(init=False)
    """By venue."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "products", {venue.name: venue.product for venue in self.venues})

    @property
    def watched(self) -> tuple[Market, ...]:
        """Every book that matters: those compared, and those that tell a rate."""
        return (*self.markets, *(rate for rate in self.rates.values() if isinstance(rate, Market)))

    @property
    def taped(self) -> tuple[Market, ...]:
        """Whose trades are on the tape: those of venues that tell each single one, not only sums of them."""
        return tuple(market for market in self.markets if self.products[market.venue].trades == "trades")


QUOTES = Layout(
    "quotes",
    venues=(
        Venue(
            "alpha",
            BINANCE,
            (
                "BTCUSDT",
                "BTCUSDC",
                "BTCEUR",
                listing("USDCUSDT", price="1", tick="0.0001", step="1"),
                listing("EURUSDT", price="1.08", tick="0.0001", step="1"),
            ),
            seed=11,
        ),
        Venue("beta", BINANCE, ("BTCUSDT", "BTCUSDC", "BTCEUR"), seed=12),
    ),
    markets=(
        Market("alpha", "BTCUSDT", "BTC/USDT", "0.001"),
        Market("alpha", "BTCUSDC", "BTC/USDC", "0.00095"),
        Market("alpha", "BTCEUR", "BTC/EUR", "0.001"),
        Market("beta", "BTCUSDT", "BTC/USDT", "0.0006"),
        Market("beta", "BTCUSDC", "BTC/USDC", "0.0006"),
        Market("beta", "BTCEUR", "BTC/EUR", "0"),
    ),
    rates={
        "USDC": Market("alpha", "USDCUSDT", "USDC/USDT"),
        "EUR": Market("alpha", "EURUSDT", "EUR/USDT"),
    },
)
_FEES = (
    (BINANCE, "0.001"),
    (USDM, "0.0005"),
    (COINM, "0.0004"),
    (BYBIT, "0.001"),
    (BYBIT_LINEAR, "0.00055"),
    (BYBIT_INVERSE, "0"),
)
EXCHANGES = Layout(
    "products",
    venues=tuple(
        Venue(product.exchange, product, product.names[:1], 21 + place) for place, (product, _) in enumerate(_FEES)
    ),
    markets=tuple(Market(product.exchange, product.names[0], product.main, fee) for product, fee in _FEES),
    rates={"USD": Decimal(1)},
)
LAYOUTS = {layout.name: layout for layout in (QUOTES, EXCHANGES)}

Levels = list[tuple[Decimal, str, str, Decimal, Decimal]]
"""(price, venue, symbol, quantity, the venue's own price), best first."""
Sequences = dict[str, dict[tuple[str, int], int]]
"""Of exchanges whose books carry numbers of their own: (symbol, that number) -> the ledger's; see `noting_sequences`."""


class Run:
    """The venues, the client, and what is compared."""

    def __init__(
        self, layout: Layout, sims: dict[str, Simulator], connector: Connector, across: Aggregator, sequences: Sequences
    ) -> None:
        self.layout, self.sims, self.connector, self.sequences = layout, sims, connector, sequences
        self.seen: list[Any] = []  # events since the last comparison
        self.tape: list[MergedTrade] = []
        self.gaps: list[Gap] = []
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.is_in: set[Source] = set()
        rates = {asset: rate.source if isinstance(rate, Market) else rate for asset, rate in layout.rates.items()}
        self.book = across.book([market.source for market in layout.markets], quote=layout.quote, rates=rates)
        self.book.subscribe(callback=self.seen.append)
        self.is_in |= {status.source for status in self.book.status() if status.is_in}
        self.trades = across.trades([market.source for market in layout.taped], window_s=0.2)
        self.trades.subscribe(callback=self._take_trade, notices=True)
        self.lives: dict[Market, Any] = {}

    def _take_trade(self, value: Any) -> None:
        if isinstance(value, MergedTrade):
            self.tape.append(value)
        elif isinstance(value, Gap):
            self.gaps.append(value)

    def start(self) -> None:
        """Move the markets until everything is in."""
        self._step_until_all_are_in()
        self.lives = {m: self.connector.venue(m.venue).live_book(m.symbol) for m in self.layout.watched}

    def _step_until_all_are_in(self) -> None:
        """Books begin with an update; twenty steps a second, so that the client is not swamped meanwhile."""
        for _ in range(600):
            self._step()
            with suppress(BookNotValid):
                self.book.wait_in(0.05)
                return
        raise AssertionError(f"not all came in: {self.book.status()}")

    def _step(self) -> None:
        """What a step causes is on its way when it returns, that of streams which wait for the clock too."""
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
        gone = [market for market in self.layout.watched if market.venue == venue]
        eventually(lambda: all(self.lives[market].state.value != "valid" for market in gone))
        self._step()
        self._await_equal_ids(frozenset({venue}))
        self.compare(frozenset({venue}))
        self._step_until_all_are_in()
        self._await_equal_ids(frozenset())
        self.compare(frozenset())
        self.counts["disturbed"] += 1

    def _await_equal_ids(self, without: frozenset[str]) -> None:
        """Wait until the client has read what the venues sent."""
        wanted = {}
        for market in self.layout.watched:
            ledger = self.sims[market.venue].ledger
            if market.venue in without:
                continue
            if any(ledger.book(market.listed)):
                wanted[market] = ledger.update_id(market.listed)
            else:  # a book without a level is not valid, and has nothing to be merged
                self.counts["empty books"] += 1
        unchanged: dict[tuple[Market, int], bool] = {}

        def is_read(market: Market, update_id: int) -> bool:
            own = self.sequences.get(self.layout.products[market.venue].exchange)
            if own is None:
                return bool(self.lives[market].update_id == update_id)
            here = market, own[market.symbol, self.lives[market].update_id]
            if here not in unchanged:
                unchanged[here] = here[1] == update_id or self._has_the_levels_of(*here)
            return unchanged[here]

        def reached() -> bool:
            try:
                return all(is_read(market, update_id) for market, update_id in wanted.items())
            except BookNotValid:
                return False

        eventually(reached, 20.0, lambda: f"{wanted} {list(self.lives.values())}")

    def _has_the_levels_of(self, market: Market, update_id: int) -> bool:
        """Whether a market's book is as it was after that update: of changes that undo each other some venues send nothing."""
        ledger = self.sims[market.venue].ledger
        try:
            return ledger.book(market.listed, update_id) == ledger.book(market.listed)
        except LookupError:
            return False  # too long ago

    # ------------------------------------------------------------ the truth

    def _true_book(self, market: Market) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """(bids, asks) of a simulator's own book, in base units."""
        product = self.layout.products[market.venue]
        instrument = self.connector.venue(market.venue).instrument(market.symbol)
        bids, asks = self.sims[market.venue].ledger.book(market.listed)
        return product.levels(instrument, bids), product.levels(instrument, asks)

    def truth(self, fees: bool, without: frozenset[str]) -> tuple[Levels, Levels]:
        """The merge of the simulators' own books, by sorting all of their levels."""
        rates = {self.layout.quote: (Decimal(1), Decimal(1))}
        for asset, rate in self.layout.rates.items():
            if isinstance(rate, Decimal):
                rates[asset] = rate, rate
            elif rate.venue not in without:
                bids, asks = self.sims[rate.venue].ledger.book(rate.listed)
                if bids and asks:
                    rates[asset] = bids[0][0], asks[0][0]
                else:
                    self.counts["rates with an empty side"] += 1
        all_bids, all_asks = [], []
        for place, market in enumerate(self.layout.markets):
            asset = market.source.symbol.quote
            if market.venue in without or asset not in rates:
                continue
            fee = Decimal(market.taker_fee) if fees else Decimal(0)
            sold, bought = rates[asset]
            bids, asks = self._true_book(market)
            all_bids += [(-(price * sold * (1 - fee)), place, size, price) for price, size in bids]
            all_asks += [(price * bought * (1 + fee), place, size, price) for price, size in asks]
        named = [(market.venue, market.symbol) for market in self.layout.markets]
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

    # ------------------------------------------------------------ the tape

    def _await_trades(self) -> None:
        """Move on until each source's feed has shown the end of its ledger: what a cut took is seen by the next trade only."""
        for _ in range(100):
            newest = {(market.source.key, list(self._true_trades(market))[-1]) for market in self.layout.taped}
            self._step()
            with suppress(AssertionError):
                eventually(lambda newest=newest: self._heard() >= newest, 0.2)
                return

    def _heard(self) -> set[Any]:
        return {(merged.source.key, merged.trade.trade_id) for merged in list(self.tape)}

    def _true_trades(self, market: Market) -> dict[int | str, Any]:
        """Every trade of a simulator's ledger by the id its venue tells, oldest first."""
        sim, product = self.sims[market.venue], self.layout.products[market.venue]
        trades = sim.ledger.trades(market.listed).values()
        if not product.opaque:
            return {each.trade_id: each for each in trades}
        return {product.trade_text(sim, market.listed, each.trade_id): each for each in trades}

    def judge_tape(self) -> None:
        """Every trade once, as it was, and in order unless it is marked."""
        self._await_trades()
        self.trades.close()
        newest = -1
        for merged in self.tape:
            happened_ns = merged.trade.event_time_ns or 0
            if merged.late != (happened_ns < newest):
                self.wrong.append(f"trade {merged} is {'not ' if merged.late else ''}late")
            newest = max(newest, happened_ns)
        for market in self.layout.taped:
            self.wrong += [f"{market}: {text}" for text in self._wrong_trades(market)]
        self.counts["trades"] = len(self.tape)
        self.counts["trades late"] = self.trades.counts["late"]

    def _wrong_trades(self, market: Market) -> Iterator[str]:
        """What is untrue about one source's part of the tape."""
        product, truth = self.layout.products[market.venue], self._true_trades(market)
        instrument = self.connector.venue(market.venue).instrument(market.symbol)
        heard = [merged.trade for merged in self.tape if merged.source.key == market.source.key]
        ids = Counter(trade.trade_id for trade in heard)
        yield from (f"trade {trade_id} came {times} times" for trade_id, times in ids.items() if times > 1)
        for trade in heard:
            true = truth.get(trade.trade_id)
            if true is None:
                yield f"a trade that never was: {trade}"
                continue
            side = Side.SELL if true.buyer_is_maker else Side.BUY
            worth = product.units(instrument, true.quantity, true.price)
            if (trade.price, product.amount(trade), trade.quantity, trade.side) != (
                true.price,
                true.quantity,
                worth,
                side,
            ):
                yield f"{trade} was {true}"
        there = [place for place, trade_id in enumerate(truth) if trade_id in ids]
        if not there:
            yield f"no trade of {len(truth)} came"
            return
        absent = [trade_id for trade_id in list(truth)[there[0] : there[-1]] if trade_id not in ids]
        self.counts["trades fetched afterwards"] += sum(trade.recovered for trade in heard)
        self.counts["trades missing, and told"] += len(absent)
        told = list(self._told_missing(market, heard)) if product.opaque else []
        untold = [each for each in absent if not any(first <= truth[each].agg_id <= last for first, last in told)]
        if untold:
            yield f"{len(untold)} trades missing of {len(truth)} without a word, e.g. {untold[:3]}"

    def _told_missing(self, market: Market, heard: list[Any]) -> Iterator[tuple[int, int]]:
        """The numbers between which gaps lie, which they name by when the trades around them came."""
        for gap in self.gaps:
            if (gap.venue, gap.topic) == (market.venue, f"trades {market.symbol}"):
                before = [trade.sequence for trade in heard if trade.received_ns == gap.began_ns]
                after = [trade.sequence for trade in heard if trade.received_ns == gap.ended_ns]
                if before and after:
                    yield min(before), max(after)


def _flat(levels: Any) -> Levels:
    return [
        (level.price, level.source.venue, str(level.source.symbol), level.quantity, level.venue_price)
        for level in levels
    ]


@contextmanager
def running(layout: Layout) -> Iterator[Run]:
    """All venues of a layout and a client at them."""
    clock, sequences = SystemClock(), Sequences()
    with ExitStack() as stack:
        sims = {
            venue.name: stack.enter_context(
                Simulator(
                    SimulatorSettings(
                        dialect=venue.product.dialect,
                        symbols=venue.listings,
                        seed=venue.seed,
                        events_per_s=0.0,
                        **venue.product.roomy,
                    )
                )
            )
            for venue in layout.venues
        }
        settings = tuple(
            VenueSettings(
                venue.product.exchange,
                name=venue.name,
                rest_url=sims[venue.name].rest_url,
                stream_url=sims[venue.name].ws_url,
                reconnect=QUICK_RECONNECT,
            )
            for venue in layout.venues
        )
        drivers = {}
        for product in layout.products.values():
            drivers[product.exchange] = generous_connects(product)
            if product.opaque:
                notes = sequences.setdefault(product.exchange, {})
                drivers[product.exchange] = noting_sequences(drivers[product.exchange], notes)
        parts = replace(real_parts(clock), driver=drivers.__getitem__)
        connector = stack.enter_context(Connector(ConnectorSettings(settings), clock=clock, parts=parts))
        for venue in layout.venues:
            assert connector.venue(venue.name).wait_ready(10.0), f"{venue.name} lists nothing"
        across = stack.enter_context(Aggregator(connector.venue, clock=clock))
        run = Run(layout, sims, connector, across, sequences)
        run.start()
        yield run


def compare(layout: Layout, steps: int, disturb_every: int) -> Run:
    """The whole run; what is wrong is in the answer."""
    with running(layout) as run:
        for number in range(1, steps + 1):
            run.step()
            if disturb_every and number % disturb_every == 0:
                run.disturb(layout.venues[(number // disturb_every) % len(layout.venues)].name)
        run.judge_tape()
    return run


def report(layout: Layout, minutes: float, disturb_every: int) -> bool:
    """Run one layout and print its figures; whether nothing differed."""
    began_s = time.monotonic()
    run = compare(layout, int(minutes * STEPS_A_MINUTE), disturb_every)
    took_s = time.monotonic() - began_s
    for text in run.wrong[:20]:
        print(f"  {text}")
    print(
        f"{layout.name}: {len(layout.venues)} venues, {len(layout.markets)} books, {len(layout.taped)} of them on the tape, "
        f"{minutes:g} minutes of market in {took_s:.0f} s"
    )
    for name, count in sorted(run.counts.items()):
        print(f"  {name}: {count}")
    print("FAIL" if run.wrong else "ok  ", f"differences: {len(run.wrong)}", flush=True)
    return not run.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=(*LAYOUTS, "all"), default="all", help="what is put side by side")
    parser.add_argument("--minutes", type=float, default=10.0, help="of simulated market, of each layout")
    parser.add_argument("--disturb-every", type=int, default=300, help="steps between cuts; 0: never")
    options = parser.parse_args()
    chosen = LAYOUTS.values() if options.layout == "all" else (LAYOUTS[options.layout],)
    held = [report(layout, options.minutes, options.disturb_every) for layout in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
