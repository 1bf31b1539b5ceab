"""What fault tests stand on: a simulated exchange, a real client, and judges that compare what came with what was true.

Real threads and real sockets throughout. Nothing here sleeps blindly: `eventually` looks at a condition until it holds or its
deadline has passed. Judges only collect while a test runs and compare with the simulator's ledger afterwards, so that they do
not slow the reader threads they watch.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pykka

from connector import Connector, ConnectorSettings, Gap, VenueSettings
from connector.assembly import Parts, real_parts
from connector.clock import SystemClock
from connector.domain import AggTrade, BookState, TopicKind
from connector.drivers.contract import Driver
from connector.drivers.registry import find_driver
from connector.errors import BookNotValid
from connector.simulator import Simulator, SimulatorSettings
from connector.supervision import Backoff, Intensity
from connector.supervision.events import EventKind, TreeEvent
from connector.testing.killing import crash
from connector.throttle import BackoffPolicy
from connector.venue.delivery import TopicState, TopicStatus

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from products import BINANCE, CONTRACTS, PRODUCTS, Product, named

__all__ = [
    "ACTORS",
    "BINANCE",
    "CONTRACTS",
    "PRODUCTS",
    "QUICK_RESTART",
    "BookJudge",
    "Product",
    "Rig",
    "TradeJudge",
    "descriptors",
    "eventually",
    "failures",
    "generous_connects",
    "named",
    "percentile",
    "running",
    "settled_base",
    "shaped_driver",
]

ACTORS = ("exchange", "rest", "state", "stream", "orders")
QUICK_RESTART = Backoff(reset_after_s=0.05)
"""Healthy after 50 ms, so that many kills in a row are each the first."""
QUICK_RECONNECT = BackoffPolicy(base_s=0.05, max_s=0.2, healthy_s=30.0)
POLL_S = 0.001


def eventually(condition: Callable[[], Any], within_s: float = 10.0, what: str | Callable[[], str] = "") -> float:
    """Wait until `condition` holds; returns after how many seconds it did.

    Raises:
        AssertionError: it did not within `within_s`; the text is `what`.
    """
    began_s, pause = time.monotonic(), threading.Event()
    while not condition():
        if time.monotonic() - began_s > within_s:
            said = what() if callable(what) else what
            raise AssertionError(f"did not come true within {within_s} s: {said or condition}")
        pause.wait(POLL_S)
    return time.monotonic() - began_s


def percentile(values: list[float], part: float) -> float:
    """The value that `part` (0 to 1) of all are at or below; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def descriptors() -> int | None:
    """Open file descriptors of this process; None where the system does not list them."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.is_dir() else None


def settled_base() -> tuple[int, int | None, int]:
    """(threads, descriptors, registered actors) right now."""
    return threading.active_count(), descriptors(), len(pykka.ActorRegistry.get_all())


# ---------------------------------------------------------------- drivers bent for a test


class _ShapedStreams:
    """A stream language with some answers replaced."""

    def __init__(self, language: Any, **replaced: Any) -> None:
        self._language = language
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._language, name)


def shaped_driver(*, product: Product = BINANCE, rest: dict[str, Any] | None = None, **streams: Any) -> Driver:
    """A product's driver with attributes of its languages replaced: `limits=…`, `route=…`, `rest={"read": …}`.

    `limits` may be a dict of StreamLimits fields.
    """
    driver = find_driver(product.exchange)
    if isinstance(streams.get("limits"), dict):
        streams["limits"] = replace(driver.streams.limits, **streams["limits"])
    return replace(
        driver,
        streams=_ShapedStreams(driver.streams, **streams),
        rest=_ShapedStreams(driver.rest, **rest or {}),
        name_after=b"" if "route" in streams else driver.name_after,
    )


def generous_connects(product: Product = BINANCE) -> Driver:
    """The driver with room for hundreds of connections in a row, which the venue's own allowance has not."""
    return shaped_driver(product=product, limits={"connects": 100_000})


def noting_sequences(driver: Driver, notes: dict[tuple[str, int], int]) -> Driver:
    """The driver, with what every book frame says of itself kept: (symbol, number of the topic) -> number of the market."""

    def reader(topic: Any, instrument: Any) -> Callable[[bytes, int], Any]:
        read = driver.streams.reader(topic, instrument)
        if topic.kind is not TopicKind.BOOK:
            return read

        def noting(frame: bytes, received_ns: int) -> Any:
            data = json.loads(frame)["data"]
            notes[str(topic.symbol), data["u"]] = data["seq"]
            return read(frame, received_ns)

        return noting

    return replace(driver, streams=_ShapedStreams(driver.streams, reader=reader))


# ---------------------------------------------------------------- a client at one simulator


class Rig:
    """One client, one or more simulated exchanges, and everything the supervision tree said.

    Attributes:
        sim, sims: the first exchange, and all by venue name.
        events: every TreeEvent so far, oldest first.
        product: of all of them.
        sequences: see `noting_sequences`; empty where books carry the ledger's own numbers.
    """

    def __init__(
        self,
        connector: Connector,
        sims: dict[str, Simulator],
        events: deque[TreeEvent],
        product: Product = BINANCE,
        sequences: dict[tuple[str, int], int] | None = None,
    ) -> None:
        self.connector, self.sims, self.events = connector, sims, events
        self.product, self.sequences = product, {} if sequences is None else sequences
        self.sim = next(iter(sims.values()))
        self.name = next(iter(sims))
        self.venue = connector.venue(self.name)
        self.memory = self.venue._memory

    def subscribe(self, kind: str, symbol: str = "", **options: Any) -> Any:
        return self.connector.subscribe(self.name, kind, symbol or self.product.main, **options)

    def counter(self, name: str) -> int:
        return self.memory.counters.get(name)

    def said(self, kind: EventKind, path: str, after_epoch: int = -1) -> list[TreeEvent]:
        return [e for e in list(self.events) if e.kind is kind and e.path == path and e.epoch > after_epoch]

    def path(self, actor: str, venue: str = "") -> str:
        root = f"/{venue or self.name}"
        return root if actor == "exchange" else f"{root}/{actor}"

    def ref(self, actor: str, venue: str = "") -> Any:
        return self.connector.tree.ref(self.path(actor, venue))

    def kill(self, actor: str, error: BaseException | None = None) -> float:
        """Crash an actor and wait for its next incarnation; seconds from the crash to its start, by the event's own time."""
        path, killed_s = self.path(actor), time.monotonic()
        epoch = crash(self.ref(actor), error)
        eventually(lambda: self.said(EventKind.STARTED, path, epoch), 10.0, f"{path} was not started again")
        return float(self.said(EventKind.STARTED, path, epoch)[0].at_s) - killed_s

    def await_healthy(self, actor: str) -> None:
        """Wait until a restarted actor has lived long enough to count as healthy, so that its next end is a first one."""
        path, epoch = self.path(actor), self.ref(actor).epoch
        eventually(lambda: self.said(EventKind.HEALTHY, path, epoch - 1), 10.0, f"{path} never became healthy")

    def restarts(self, venue: str = "") -> dict[str, int]:
        """Epoch of each actor of a venue."""
        return {actor: self.ref(actor, venue).epoch for actor in ACTORS}

    def wanted_is_confirmed(self) -> bool:
        """Whether the venue carries what is wanted, once each, by its own books and by ours."""
        wanted = sorted(name for name, feed in self.memory.feed_table().items() if feed.consumers)
        carried = sorted(name for names in self.sim.ledger.subscriptions().values() for name in names)
        return wanted == carried

    def await_confirmed(self, within_s: float = 10.0) -> float:
        return eventually(
            self.wanted_is_confirmed,
            within_s,
            lambda: f"wanted {sorted(self.memory.feed_table())}, venue has {self.sim.ledger.subscriptions()}",
        )

    def await_flow(self, *subscriptions: Any, within_s: float = 15.0) -> float:
        """Wait until each topic is live and has delivered something new."""
        before = [each.delivered for each in subscriptions]
        return eventually(
            lambda: all(
                each.state is TopicState.LIVE and each.delivered > then
                for each, then in zip(subscriptions, before, strict=True)
            ),
            within_s,
            lambda: f"{list(subscriptions)} {[each.freshness() for each in subscriptions]}",
        )


def _roots(name: str, sim: Simulator, urls: Callable[[str, Simulator], dict[str, str]] | None) -> dict[str, str]:
    return {"rest_url": sim.rest_url, "stream_url": sim.ws_url, **(urls(name, sim) if urls is not None else {})}


@contextmanager
def running(
    *names: str,
    product: Product = BINANCE,
    symbols: tuple[str, ...] = (),
    events_per_s: float = 500.0,
    driver: Driver | None = None,
    parts: Callable[[Parts], Parts] | None = None,
    connector: dict[str, Any] | None = None,
    simulator: dict[str, Any] | None = None,
    prepare: Callable[[Simulator], object] | None = None,
    clock: SystemClock | None = None,
    urls: Callable[[str, Simulator], dict[str, str]] | None = None,
    **venue: Any,
) -> Iterator[Rig]:
    """A client connected to one simulator per venue name (the product's own by default), with quick restarts and reconnects.

    `prepare` may break each exchange before the client starts. `urls` leads a venue elsewhere: what it gives for a name replaces
    the roots of that simulator.
    """
    names = names or (product.exchange,)
    sequences: dict[tuple[str, int], int] = {}
    sims: dict[str, Simulator] = {}
    events: deque[TreeEvent] = deque(maxlen=200_000)
    clock = clock or SystemClock()
    chosen = real_parts(clock)
    if product.opaque:
        driver = noting_sequences(driver or find_driver(product.exchange), sequences)
    if driver is not None:
        chosen = replace(chosen, driver=lambda _: driver)
    if parts is not None:
        chosen = parts(chosen)
    venue.setdefault("reconnect", QUICK_RECONNECT)
    whole: dict[str, Any] = {"restart": QUICK_RESTART, "restart_limit": Intensity(100_000, 60.0), **(connector or {})}
    try:
        for number, name in enumerate(names):
            fields = {
                "dialect": product.dialect,
                "symbols": symbols or product.names,
                "seed": 7 + number,
                "events_per_s": events_per_s,
                **(simulator or {}),
            }
            sims[name] = Simulator(SimulatorSettings(**fields)).start()
            if prepare is not None:
                prepare(sims[name])
        venues = tuple(
            VenueSettings(product.exchange, name=name, **_roots(name, sim, urls), **venue) for name, sim in sims.items()
        )
        client = Connector(ConnectorSettings(venues, **whole), clock=clock, parts=chosen, on_event=events.append)
        with client:
            yield Rig(client, sims, events, product, sequences)
    finally:
        for sim in sims.values():
            sim.stop()


# ---------------------------------------------------------------- judges


class TradeJudge:
    """Collects every trade and gap of one symbol, and says afterwards what was wrong with them."""

    def __init__(self, rig: Rig, symbol: str = "", venue: str = "", **options: Any) -> None:
        self.rig, self.symbol, self.sim = rig, symbol or rig.product.main, rig.sims[venue or rig.name]
        self.venue = venue or rig.name
        self.seen: list[Any] = []
        self.gaps: list[Gap] = []
        self.states: list[TopicStatus] = []
        self.arrived_s: deque[float] = deque(maxlen=1_000_000)
        self.not_sent: set[int] = set()
        """Numbers of trades the venue told nobody of, by a fault; of opaque ids only."""
        self.not_fetched = 0
        """Trades of the ledger that never came, told by gaps, as of the last `faults`; of opaque ids only."""
        self.subscription = rig.connector.subscribe(
            self.venue, rig.product.trades, self.symbol, callback=self._take, notices=True, **options
        )

    def _take(self, value: Any) -> None:
        if isinstance(value, Gap):
            self.gaps.append(value)
        elif isinstance(value, TopicStatus):
            self.states.append(value)
        else:
            self.seen.append(value)
            self.arrived_s.append(time.monotonic())

    @property
    def lost(self) -> int:
        """Trades reported as missing and not fetched afterwards; of gaps that know how many."""
        return sum(gap.missing - gap.filled for gap in self.gaps if gap.missing is not None)

    def faults(self) -> list[str]:
        """Everything untrue about what came: lost without a word, doubled, out of order, or different from the venue's."""
        if not self.seen:
            return ["no trade came at all"]
        if self.rig.product.opaque:
            return self._opaque_faults()
        return self._counted_faults() + self._different()

    def _counted_faults(self) -> list[str]:
        """Of ids that rise by one."""
        ids, gaps = [getattr(trade, "trade_id", None) or trade.agg_id for trade in self.seen], list(self.gaps)
        found: list[str] = []
        if len(set(ids)) != len(ids):
            found.append(f"{len(ids) - len(set(ids))} trades came twice")
        if ids != sorted(ids):
            found.append("trades came out of order")
        absent = set(range(ids[0], ids[-1] + 1)) - set(ids)
        told: set[int] = set()
        for gap in gaps:
            if gap.first_missing is not None and gap.last_missing is not None:
                told.update(range(gap.first_missing, gap.last_missing + 1))
        if absent - told:
            found.append(f"{len(absent - told)} trades missing and never reported, e.g. {sorted(absent - told)[:5]}")
        if len(absent) > self.lost:
            found.append(f"{len(absent)} missing, {self.lost} reported as missing and not filled")
        return found

    def _instrument(self) -> Any:
        return self.rig.connector.venue(self.venue).instrument(self.symbol)

    def _truth(self) -> dict[int, Any]:
        return self.sim.ledger.trades(self.rig.product.symbols.get(self.symbol, self.symbol.replace("/", "")))

    def _different(self) -> list[str]:
        """The first value that is not the ledger's."""
        product, instrument, truth = self.rig.product, self._instrument(), self._truth()
        sums: dict[int, list[Any]] = {}
        for true in truth.values():
            sums.setdefault(true.agg_id, []).append(true)
        for trade in self.seen:
            if isinstance(trade, AggTrade):
                parts = sums.get(trade.agg_id, [])
                known = trade.first_trade_id in truth
                amount = sum((part.quantity for part in parts), start=trade.quantity * 0)
                ids = [part.trade_id for part in parts]
                right = ids == list(range(trade.first_trade_id, trade.last_trade_id + 1))
                prices = {part.price for part in parts}
            else:
                known = trade.trade_id in truth
                amount = truth[trade.trade_id].quantity if known else trade.quantity
                right, prices = True, {truth[trade.trade_id].price} if known else set()
            if not known:
                continue  # too long ago to be remembered
            worth = product.units(instrument, amount, trade.price)
            if not right or prices != {trade.price} or (product.amount(trade), trade.quantity) != (amount, worth):
                return [f"{trade} was {amount} at {prices}"]
        return []

    def _opaque_faults(self) -> list[str]:
        """Of ids that say nothing: the ledger's trades by the number several share, and by their own texts."""
        product, name, seen = self.rig.product, self.rig.product.symbols[self.symbol], list(self.seen)
        instrument, truth = self._instrument(), self._truth()
        found: list[str] = []
        twice = [text for text, times in Counter(trade.trade_id for trade in seen).items() if times > 1]
        if twice:
            found.append(f"{len(twice)} trades came twice, e.g. {twice[:3]}")
        order = [trade.sequence for trade in seen]
        if order != sorted(order):
            found.append("trades came out of order")
        true = {
            product.trade_text(self.sim, name, each.trade_id): each
            for each in truth.values()
            if order[0] <= each.agg_id <= order[-1]
        }
        for trade in seen:
            there = true.get(trade.trade_id)
            if there is None:
                if trade.sequence >= min((each.agg_id for each in truth.values()), default=0):
                    found.append(f"a trade that never was: {trade}")
                    break
                continue  # too long ago to be remembered
            worth = product.units(instrument, there.quantity, there.price)
            here = (trade.price, product.amount(trade), trade.quantity, trade.sequence)
            if here != (there.price, there.quantity, worth, there.agg_id):
                found.append(f"{trade} was {there}")
                break
        absent = sorted(true[text].agg_id for text in true.keys() - {trade.trade_id for trade in seen})
        self.not_fetched = len(absent)
        told = [self._between(gap, seen) for gap in self.gaps]
        missed = [each for each in absent if each not in self.not_sent]
        untold = [each for each in missed if not any(first <= each <= last for first, last in told)]
        if untold:
            found.append(f"{len(untold)} of {len(absent)} missing trades never reported, e.g. {untold[:5]} of {told}")
        return found

    @staticmethod
    def _between(gap: Gap, seen: list[Any]) -> tuple[int, int]:
        """The numbers of the trades a gap lies between, which it names by when they came."""
        before = [trade.sequence for trade in seen if trade.received_ns == gap.began_ns]
        after = [trade.sequence for trade in seen if trade.received_ns == gap.ended_ns]
        return (min(before), max(after)) if before and after else (0, -1)


class BookJudge:
    """Collects copies of a valid book, and compares each with the venue's at the same update."""

    def __init__(self, rig: Rig, symbol: str = "", every: int = 1, depth: int = 50) -> None:
        self.rig, self.symbol, self._every, self._depth = rig, symbol or rig.product.main, every, depth
        self.waiting: deque[Any] = deque(maxlen=20_000)
        self.updates: list[BookState] = []
        self.compared = 0
        self.wrong: list[str] = []
        self._count = 0
        self.subscription = rig.subscribe("book", self.symbol, callback=self._take)
        self.live = rig.venue.live_book(self.symbol)

    def _take(self, update: Any) -> None:
        self.updates.append(update.state)
        self._count += 1
        if update.state is BookState.VALID and self._count % self._every == 0:
            self.copy()

    def copy(self) -> None:
        """Take one copy now, if it is handed out as right."""
        try:
            self.waiting.append(self.live.snapshot(self._depth))
        except BookNotValid:
            return

    def await_valid(self, within_s: float = 10.0) -> float:
        return eventually(lambda: self.live.state is BookState.VALID, within_s, lambda: repr(self.live))

    def await_joined(self, within_s: float = 10.0) -> None:
        """Wait until the book is valid and its stream went on from its snapshot.

        Before that an update may be lost or late and nothing wrong: the snapshot was newer and has it already.
        """
        so_far = len(self.updates)
        eventually(lambda: len(self.updates) >= so_far + 3 and self.live.state is BookState.VALID, within_s)

    def _instrument(self) -> Any:
        return self.rig.venue.instrument(self.symbol)

    def compare(self) -> list[str]:
        """Judge what was collected since the last call; returns everything wrong so far."""
        product, depth = self.rig.product, self._depth
        name = product.symbols.get(self.symbol, self.symbol.replace("/", ""))
        instrument = self._instrument() if self.waiting else None
        while self.waiting:
            copy = self.waiting.popleft()
            at = self.rig.sequences[self.symbol, copy.update_id] if product.opaque else copy.update_id
            try:
                bids, asks = self.rig.sim.ledger.book(name, at)
            except LookupError:
                continue  # too long ago to be remembered
            self.compared += 1
            assert instrument is not None
            here = (list(copy.bids), list(copy.asks))
            if here != (product.levels(instrument, bids[:depth]), product.levels(instrument, asks[:depth])):
                self.wrong.append(f"{self.symbol} at {copy.update_id} differs from the venue's")
        return self.wrong


def failures(events: Iterator[TreeEvent] | deque[TreeEvent]) -> list[BaseException]:
    """Exceptions that ended actors, apart from those asked for."""
    causes = [event.reason.cause for event in list(events) if event.reason is not None]
    return [cause for cause in causes if cause is not None and "on purpose" not in repr(cause)]


def is_live(subscription: Any) -> bool:
    return bool(subscription.state is TopicState.LIVE)
