"""What fault tests stand on: a simulated exchange, a real client, and judges that compare what came with what was true.

Real threads and real sockets throughout. Nothing here sleeps blindly: `eventually` looks at a condition until it holds or its
deadline has passed. Judges only collect while a test runs and compare with the simulator's ledger afterwards, so that they do
not slow the reader threads they watch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pykka

from connector import Connector, ConnectorSettings, Gap, VenueSettings
from connector.assembly import Parts, real_parts
from connector.clock import SystemClock
from connector.domain import BookState
from connector.drivers.contract import Driver
from connector.drivers.registry import find_driver
from connector.errors import BookNotValid
from connector.simulator import Simulator, SimulatorSettings
from connector.supervision import Backoff, Intensity
from connector.supervision.events import EventKind, TreeEvent
from connector.testing.killing import crash
from connector.throttle import BackoffPolicy
from connector.venue.delivery import TopicState, TopicStatus

__all__ = [
    "ACTORS",
    "QUICK_RESTART",
    "BookJudge",
    "Rig",
    "TradeJudge",
    "descriptors",
    "eventually",
    "failures",
    "generous_connects",
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


def shaped_driver(*, rest: dict[str, Any] | None = None, **streams: Any) -> Driver:
    """The Binance driver with attributes of its languages replaced: `limits=…`, `route=…`, `rest={"read": …}`.

    `limits` may be a dict of StreamLimits fields.
    """
    driver = find_driver("binance")
    if isinstance(streams.get("limits"), dict):
        streams["limits"] = replace(driver.streams.limits, **streams["limits"])
    return replace(
        driver, streams=_ShapedStreams(driver.streams, **streams), rest=_ShapedStreams(driver.rest, **rest or {})
    )


def generous_connects() -> Driver:
    """The driver with room for hundreds of connections in a row, which the venue's own allowance has not."""
    return shaped_driver(limits={"connects": 100_000})


# ---------------------------------------------------------------- a client at one simulator


class Rig:
    """One client, one or more simulated exchanges, and everything the supervision tree said.

    Attributes:
        sim, sims: the first exchange, and all by venue name.
        events: every TreeEvent so far, oldest first.
    """

    def __init__(self, connector: Connector, sims: dict[str, Simulator], events: deque[TreeEvent]) -> None:
        self.connector, self.sims, self.events = connector, sims, events
        self.sim = next(iter(sims.values()))
        self.name = next(iter(sims))
        self.venue = connector.venue(self.name)
        self.memory = self.venue._memory

    def subscribe(self, kind: str, symbol: str = "BTC/USDT", **options: Any) -> Any:
        return self.connector.subscribe(self.name, kind, symbol, **options)

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


@contextmanager
def running(
    *names: str,
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"),
    events_per_s: float = 500.0,
    driver: Driver | None = None,
    parts: Callable[[Parts], Parts] | None = None,
    connector: dict[str, Any] | None = None,
    simulator: dict[str, Any] | None = None,
    prepare: Callable[[Simulator], object] | None = None,
    clock: SystemClock | None = None,
    **venue: Any,
) -> Iterator[Rig]:
    """A client connected to one simulator per venue name ("binance" by default), with quick restarts and reconnects.

    `prepare` may break each exchange before the client starts.
    """
    names = names or ("binance",)
    sims: dict[str, Simulator] = {}
    events: deque[TreeEvent] = deque(maxlen=200_000)
    clock = clock or SystemClock()
    chosen = real_parts(clock)
    if driver is not None:
        chosen = replace(chosen, driver=lambda _: driver)
    if parts is not None:
        chosen = parts(chosen)
    venue.setdefault("reconnect", QUICK_RECONNECT)
    whole: dict[str, Any] = {"restart": QUICK_RESTART, "restart_limit": Intensity(100_000, 60.0), **(connector or {})}
    try:
        for number, name in enumerate(names):
            fields = {"symbols": symbols, "seed": 7 + number, "events_per_s": events_per_s, **(simulator or {})}
            sims[name] = Simulator(SimulatorSettings(**fields)).start()
            if prepare is not None:
                prepare(sims[name])
        venues = tuple(
            VenueSettings("binance", name=name, rest_url=sim.rest_url, stream_url=sim.ws_url, **venue)
            for name, sim in sims.items()
        )
        client = Connector(ConnectorSettings(venues, **whole), clock=clock, parts=chosen, on_event=events.append)
        with client:
            yield Rig(client, sims, events)
    finally:
        for sim in sims.values():
            sim.stop()


# ---------------------------------------------------------------- judges


class TradeJudge:
    """Collects every trade and gap of one symbol, and says afterwards what was wrong with them."""

    def __init__(self, rig: Rig, symbol: str = "BTC/USDT", venue: str = "", **options: Any) -> None:
        self.rig, self.symbol, self.sim = rig, symbol, rig.sims[venue or rig.name]
        self.seen: list[Any] = []
        self.gaps: list[Gap] = []
        self.states: list[TopicStatus] = []
        self.arrived_s: deque[float] = deque(maxlen=1_000_000)
        self.subscription = rig.connector.subscribe(
            venue or rig.name, "trades", symbol, callback=self._take, notices=True, **options
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
        """Trades reported as missing and not fetched afterwards."""
        return sum((gap.missing or 0) - gap.filled for gap in self.gaps)

    def faults(self) -> list[str]:
        """Everything untrue about what came: lost without a word, doubled, out of order, or different from the venue's."""
        ids, gaps = [trade.trade_id for trade in self.seen], list(self.gaps)
        if not ids:
            return ["no trade came at all"]
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
        truth = self.sim.ledger.trades(self.symbol.replace("/", ""))
        for trade in self.seen:
            true = truth.get(trade.trade_id)
            if true is not None and (trade.price, trade.quantity) != (true.price, true.quantity):
                found.append(f"trade {trade.trade_id}: {trade.price} x {trade.quantity}, was {true}")
                break
        return found


class BookJudge:
    """Collects copies of a valid book, and compares each with the venue's at the same update."""

    def __init__(self, rig: Rig, symbol: str = "BTC/USDT", every: int = 1, depth: int = 50) -> None:
        self.rig, self.symbol, self._every, self._depth = rig, symbol, every, depth
        self.waiting: deque[Any] = deque(maxlen=20_000)
        self.updates: list[BookState] = []
        self.compared = 0
        self.wrong: list[str] = []
        self._count = 0
        self.subscription = rig.subscribe("book", symbol, callback=self._take)
        self.live = rig.venue.live_book(symbol)

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

    def compare(self) -> list[str]:
        """Judge what was collected since the last call; returns everything wrong so far."""
        name = self.symbol.replace("/", "")
        while self.waiting:
            copy = self.waiting.popleft()
            try:
                bids, asks = self.rig.sim.ledger.book(name, copy.update_id)
            except LookupError:
                continue  # too long ago to be remembered
            self.compared += 1
            depth = self._depth
            if list(copy.bids) != bids[:depth] or list(copy.asks) != asks[:depth]:
                self.wrong.append(f"{self.symbol} at {copy.update_id} differs from the venue's")
        return self.wrong


def failures(events: Iterator[TreeEvent] | deque[TreeEvent]) -> list[BaseException]:
    """Exceptions that ended actors, apart from those asked for."""
    causes = [event.reason.cause for event in list(events) if event.reason is not None]
    return [cause for cause in causes if cause is not None and "on purpose" not in repr(cause)]


def is_live(subscription: Any) -> bool:
    return bool(subscription.state is TopicState.LIVE)
