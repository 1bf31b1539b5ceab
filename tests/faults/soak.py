"""Run for hours with everything going wrong at random, and hold that nothing grows, nothing is untrue and all of it stops.

Venues are simulated in processes of their own; this process is an engine: market data, books, and small orders at a modest rate.
Every few seconds something breaks, chosen by the seed: connections, silences, answers, account events, actors. Every few
seconds a sample is taken: threads, descriptors, memory, how deep inboxes and queues are, restarts, orders, books compared with
the ledger. In the end the faults stop, what is in doubt has to settle, and orders, fills, balances and positions are compared
with the ledgers; then the engine has to stop and leave nothing.

    python tests/faults/soak.py --hours 1           # make soak HOURS=1
    python tests/faults/soak.py --hours 0.034 --seed 3 --every 2
    python tests/faults/soak.py --draw build/soak.jsonl       # the picture of a run that did not come to its end

Samples go to build/soak.jsonl as they are taken, figures to build/soak.json, the picture to build/soak.svg; exit status 0
exactly when all figures hold. Driver, limits, backoff and waits are the shipped ones.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from curves import Curve, Panel, growth_per_hour, picture
from harness import ACTORS, descriptors, eventually, failures, noting_sequences, settled_base
from kill_nine import Ledger, Told, compare, in_file, known_of, may_cancel, some_order, untrue
from products import PRODUCTS, Product

import connector.venue.account
import connector.venue.order_events
from connector import BookNotValid, Connector, ConnectorError, Gap, Symbol, VenueSettings
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain import BookState
from connector.domain.commands import CancelOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import OrderStatus
from connector.drivers.registry import find_driver
from connector.supervision.events import EventKind, TreeEvent
from connector.testing.killing import crash
from connector.venue.delivery import TopicState

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "soakkey00001", "soak secret"
KEPT_FINAL, REMEMBERED = 200, 400
"""Final orders an account keeps at hand, in place of 10,000, and fills and orders told that are remembered, in place of 100,000:
reached early, so that what grows later is a leak."""
NOTED_BOOKS = 600
UNDER_WAY = 3
MOST_OPEN = 15
SETTLE_WITHIN_S = 120.0
WARM_UP = 0.1
JUDGED_FROM_S = 3000.0
"""A run shorter than this is too short to tell growth from noise: slopes are shown and not judged."""
MOST_MB_PER_HOUR = 10.0
BLOCK_BYTES = 80
"""Of a block of the interpreter's own allocator, on average: what it gave out is told as a number of blocks only."""
Row = dict[str, Any]
Sample = dict[str, Any]

# ---------------------------------------------------------------- the far side: an exchange in a process of its own


def exchange(line: Connection, name: str, seed: int, rate: float) -> None:
    """Simulate a venue and answer what is asked through the pipe, until it is closed."""
    from connector.simulator import AccountSettings, Simulator, SimulatorSettings

    product = PRODUCTS[name]
    account = AccountSettings("main", KEY, SECRET, balances=product.balances)
    settings = SimulatorSettings(
        dialect=product.dialect,
        symbols=product.names,
        seed=seed,
        events_per_s=rate,
        accounts=(account,),
        keep=2_000_000,
    )
    with Simulator(settings) as sim, suppress(EOFError, KeyboardInterrupt):

        def refused() -> Counter[int]:
            return Counter(each.status for each in sim.ledger.requests() if each.status in (403, 418, 429))

        answers: dict[str, Callable[..., Any]] = {
            "fault": lambda fault, **arguments: getattr(sim.faults, fault)(**arguments),
            "pause": sim.pause,
            "book": sim.ledger.book,
            "ledger": lambda: Ledger.of(sim, product),
            "refused": refused,
            "violations": lambda: Counter(each.kind for each in sim.ledger.violations()),
        }
        line.send((sim.rest_url, sim.ws_url))
        while True:
            what, arguments, named = line.recv()
            try:
                line.send((True, answers[what](*arguments, **named)))
            except Exception as error:
                line.send((False, repr(error)))


class Far:
    """One simulated exchange as seen from here. Any thread, one question at a time."""

    def __init__(self, product: Product, line: Connection, urls: tuple[str, str]) -> None:
        self.product, self._line = product, line
        self.rest_url, self.ws_url = urls
        self._lock = threading.Lock()  # one question and its answer; the far side answers at once

    def ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        """Raises LookupError: the far side could not."""
        with self._lock:
            self._line.send((what, arguments, named))
            if not self._line.poll(60.0):
                raise AssertionError(f"the exchange {self.product} did not answer {what} within a minute")
            fine, told = self._line.recv()
        if not fine:
            raise LookupError(told)
        return told


@contextmanager
def simulated(product: Product, seed: int, rate: float) -> Iterator[Far]:
    """A venue in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    program = context.Process(target=exchange, args=(there, product.exchange, seed, rate), name=f"exchange {product}")
    program.start()
    there.close()
    try:
        assert here.poll(60.0), "the simulated exchange did not start"
        yield Far(product, here, here.recv())
    finally:
        here.close()
        program.join(10.0)
        if program.is_alive():
            program.kill()
            program.join(10.0)


# ---------------------------------------------------------------- the engine


class Notes(dict[Any, int]):
    """The last few thousand of what `noting_sequences` notes."""

    def __setitem__(self, key: Any, value: int) -> None:
        super().__setitem__(key, value)
        while len(self) > NOTED_BOOKS:
            del self[next(iter(self))]


class Tape:
    """Judges one topic of trades as they come, and keeps only what was odd."""

    def __init__(self, product: Product) -> None:
        self.product, self.trades, self.backwards = product, 0, 0
        self.gaps: list[tuple[int, int]] = []
        self.jumps: list[tuple[int, int]] = []
        self._last = 0
        self._recent: deque[Any] = deque(maxlen=200)
        self.doubled = 0

    def __call__(self, value: Any) -> None:
        if isinstance(value, Gap):
            if value.first_missing is not None and value.last_missing is not None:
                self.gaps.append((value.first_missing, value.last_missing))
            return
        if not hasattr(value, "price"):
            return
        opaque = self.product.opaque
        number = value.sequence if opaque else getattr(value, "trade_id", None) or value.agg_id
        name = value.trade_id if opaque else number
        self.trades += 1
        self.doubled += name in self._recent
        self._recent.append(name)
        self.backwards += number < self._last
        if not opaque and self._last and number > self._last + 1:
            self.jumps.append((self._last + 1, number - 1))
        self._last = max(number, self._last)

    def untold(self) -> int:
        """Trades whose ids were jumped over and which no gap tells of; of ids that are counted."""
        told = {number for first, last in list(self.gaps) for number in range(first, last + 1)}
        return sum(number not in told for first, last in list(self.jumps) for number in range(first, last + 1))


class Engine:
    """What trades at one venue: subscriptions, and one thread that places and cancels a few small orders."""

    def __init__(self, client: Connector, far: Far, notes: Told, sequences: Notes, seed: int, pace_s: float) -> None:
        self.far, self.product, self.notes, self.sequences = far, far.product, notes, sequences
        self.name = self.product.exchange
        self.venue = client.venue(self.name)
        self.pace_s, self.rng = pace_s, random.Random(seed)
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.wrong_books: list[str] = []
        self.tapes = [Tape(self.product) for _ in self.product.symbols]
        self.venue.orders_stream(callback=self._told)
        for tape, symbol in zip(self.tapes, self.product.symbols, strict=True):
            client.subscribe(self.name, self.product.trades, symbol, callback=tape, notices=True)
            client.subscribe(self.name, "book", symbol, callback=lambda update: None)
        self.queue = client.subscribe(self.name, "book_ticker", self.product.main, overflow="latest_wins", capacity=100)
        self.threads = [
            threading.Thread(target=work, name=f"engine {self.name} {name}")
            for name, work in (("orders", self.trade), ("quotes", self.read))
        ]

    def _told(self, event: Any) -> None:
        self.notes.event(event)
        self.counts[type(event).__name__] += 1

    def read(self) -> None:
        """A consumer with a queue."""
        for _ in self.queue:
            self.counts["quotes"] += 1

    def trade(self) -> None:
        """Place and cancel, a few commands at a time, wherever there is a book to look at."""
        symbols = tuple(map(Symbol.parse, self.product.symbols))
        cancellable: list[tuple[Symbol, str]] = []
        waiting: deque[tuple[bool, Any]] = deque()
        while not self.over.wait(self.pace_s * self.rng.uniform(0.5, 1.5)):
            try:
                self.command(symbols, cancellable, waiting)
            except (BookNotValid, ConnectorError) as unsure:
                self.counts[f"engine: {type(unsure).__name__}"] += 1
            while len(waiting) >= UNDER_WAY:
                self.answer(*waiting.popleft(), cancellable)
        while waiting:
            self.answer(*waiting.popleft(), cancellable)

    def command(self, symbols: Any, cancellable: list[tuple[Symbol, str]], waiting: deque[tuple[bool, Any]]) -> None:
        rng = self.rng
        if cancellable and (len(cancellable) > MOST_OPEN or rng.random() < 0.4):
            symbol, client_id = cancellable.pop(rng.randrange(len(cancellable)))
            command: Any = CancelOrder(symbol=symbol, client_id=client_id)
        else:
            symbol = rng.choice(symbols)
            top = self.venue.book(symbol, 1)
            if top.best_bid is None or top.best_ask is None:
                return
            tick = self.venue.instrument(symbol).price_tick
            command = some_order(symbol, (top.best_bid[0], top.best_ask[0]), tick, rng, self.product)
        waiting.append((not isinstance(command, CancelOrder), self.venue.orders.ask(command, block=False)))
        self.counts["commands"] += 1

    def answer(self, is_order: bool, reply: Any, cancellable: list[tuple[Symbol, str]]) -> None:
        try:
            outcome = reply.get(timeout=60.0)
        except (
            Exception
        ) as lost:  # the actor was killed with it in hand: the journal knows, and its successor settles it
            self.counts[f"command: {type(lost).__name__}"] += 1
            return
        self.counts[f"{'order' if is_order else 'cancel'} {outcome.kind.value}"] += 1
        self.notes.outcome(outcome, is_order=is_order)
        if is_order and outcome.order is not None and may_cancel(outcome.order, self.rng):
            cancellable.append((outcome.order.symbol, outcome.client_id))

    def compare_books(self) -> None:
        """Each valid book beside the ledger's at the same update."""
        for symbol, name in self.product.symbols.items():
            try:
                copy = self.venue.book(symbol, 50)
                at = self.sequences[symbol, copy.update_id] if self.product.opaque else copy.update_id
                bids, asks = self.far.ask("book", name, at)
                instrument = self.venue.instrument(symbol)
            except (BookNotValid, ConnectorError):
                self.counts["books not valid"] += 1
                continue
            except LookupError:
                continue
            there = tuple(self.product.levels(instrument, levels[:50]) for levels in (bids, asks))
            self.counts["books compared"] += 1
            if (list(copy.bids), list(copy.asks)) != there:
                self.wrong_books.append(f"{self.name} {symbol} at {copy.update_id}")

    def is_well(self) -> bool:
        topics = self.venue.snapshot().topics
        valid = all(self.venue.live_book(symbol).state is BookState.VALID for symbol in self.product.symbols)
        return valid and all(each.state is TopicState.LIVE for each in topics)

    def differences(self) -> Counter[str]:
        """What differs from the ledger now; empty when nothing does."""
        return +compare(known_of(self.venue, self.product), self.far.ask("ledger"))

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop_trading(self) -> None:
        self.over.set()
        self.threads[0].join(90.0)

    def end(self) -> None:
        self.queue.close()
        for thread in self.threads:
            thread.join(10.0)


# ---------------------------------------------------------------- what goes wrong

Step = tuple[str, dict[str, Any]]


def weathers(product: Product, rng: random.Random) -> dict[str, tuple[float, list[Step]]]:
    """What can happen at a venue: how many seconds it lasts, and what is asked of the simulator."""
    doubtful = rng.choice(product.doubtful)
    silent = product.topic(rng.choice((product.trade_topic, product.book_topic)))
    answer = {"status": doubtful[0], "code": doubtful[1], "done": rng.random() < 0.5, "count": 2, "only": "orders"}
    main = product.symbols[product.main]
    how = rng.choice(("cut", "silence"))
    every: dict[str, tuple[float, list[Step]]] = {
        "reset": (3.0, [("cut", {"scope": rng.choice(("ws", "all"))})]),
        "reset inside a frame": (4.0, [("cut", {"at_byte": rng.randrange(1, 400)})]),
        "close": (3.0, [("close", {"code": rng.choice((1000, 1001, 1006, 1012, 4000))})]),
        "half-open": (16.0, [("half_open", {"direction": rng.choice(("both", "in", "out"))})]),
        "all silent": (14.0, [("silence", {})]),
        "one topic silent": (14.0, [("silence", {"stream": silent})]),
        "refused": (8.0, [("refuse_connect", {"for_s": 6.0}), ("cut", {})]),
        "502 at the upgrade": (8.0, [("refuse_upgrade", {"status": 502, "for_s": 6.0}), ("cut", {})]),
        "upgrade never answered": (8.0, [("hang_upgrade", {"for_s": 6.0}), ("cut", {})]),
        "503": (6.0, [("rest_error", {"status": 503, "for_s": 5.0})]),
        "slow answers": (8.0, [("rest_delay", {"s": 2.0})]),
        "answer cut": (4.0, [("rest_cut", {"at_byte": rng.randrange(20, 400), "count": 2})]),
        "requests lost": (6.0, [("request_lost", {"count": 2, "how": how})]),
        "answers lost": (6.0, [("answer_lost", {"count": 2, "how": how})]),
        "answers that prove nothing": (4.0, [("answer_error", answer)]),
        "account events lost": (6.0, [("events_lost", {"count": 3})]),
        "account events doubled": (4.0, [("events_doubled", {"count": 3})]),
        "account events late": (6.0, [("events_late", {"s": 0.5, "most_s": 3.0, "count": 4})]),
        "fill before a cancel": (4.0, [("fill_before_cancel", {"part": 0.5, "count": 2})]),
        "book changes lost": (4.0, [("deltas", {"symbol": main, "lost": 2})]),
        "broken frames": (3.0, [("malformed", {"kind": rng.choice(("cut", "not_json", "nan", "empty")), "count": 2})]),
        "bytes late": (6.0, [("delay", {"s": 0.3, "jitter_s": 0.3})]),
    }
    if product.notice:
        every["announced end"] = (6.0, [("server_shutdown", {})])
    return every


class Weather:
    """Breaks things one after the other on a thread of its own, until stopped; then everything is whole again."""

    def __init__(self, client: Connector, fars: Sequence[Far], seed: int, calm_s: float) -> None:
        self._client, self._fars, self._rng, self._calm_s = client, fars, random.Random(seed), calm_s
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.at_s: list[float] = []
        self.thread = threading.Thread(target=self.run, name="weather")

    def run(self) -> None:
        while not self.over.wait(self._rng.uniform(0.5, 1.5) * self._calm_s):
            far = self._rng.choice(self._fars)
            kinds = weathers(far.product, self._rng)
            name = self._rng.choice([*kinds, *(f"kill {actor}" for actor in ACTORS)])
            self.at_s.append(time.monotonic())
            self.counts[name] += 1
            if name not in kinds:
                venue, actor = f"/{far.product.exchange}", name.removeprefix("kill ")
                with suppress(LookupError):  # between two incarnations
                    crash(self._client.tree.ref(venue if actor == "exchange" else f"{venue}/{actor}"))
                continue
            hold_s, steps = kinds[name]
            for fault, arguments in steps:
                far.ask("fault", fault, **arguments)
            self.over.wait(hold_s)
            far.ask("fault", "clear")

    def end(self) -> None:
        self.over.set()
        self.thread.join(60.0)
        for far in self._fars:
            far.ask("fault", "clear")


# ---------------------------------------------------------------- samples


def resident_mb() -> float | None:
    """Memory of this process that is in use; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "free_chunks", "fast", "maps", "mapped", "_", "fast_free", "used", "free", "top")
    )


def _in_use() -> Callable[[], float | None]:
    """How to ask for the memory that was asked for and not given back, in MB, whatever the allocators hold beyond it.

    Resident memory keeps the highest tide of every thread's arena, and of what was taken in between; that is no leak.
    None where the C library does not tell.
    """
    try:
        told = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return lambda: None
    told.restype = _Mallinfo

    def now() -> float:
        info = told()
        return float(info.used + info.mapped + BLOCK_BYTES * sys.getallocatedblocks()) / 2**20

    return now


in_use_mb = _in_use()


def flat(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from flat(child)


class Sampler:
    """Looks at everything every so often and writes a line of it to a file; keeps nothing."""

    def __init__(self, client: Connector, engines: Sequence[Engine], weather: Weather, path: Path) -> None:
        self._client, self._engines, self._weather = client, engines, weather
        self._file = path.open("w", encoding="utf-8")
        self.began_s = time.monotonic()
        self.restarts = 0
        self.causes: deque[TreeEvent] = deque(maxlen=1_000)

    def on_event(self, event: TreeEvent) -> None:
        if event.kind is EventKind.STARTED and event.epoch > 1:
            self.restarts += 1
        if event.reason is not None and failures([event]):
            self.causes.append(event)

    def take(self) -> Sample:
        actors = list(flat(self._client.tree.snapshot()))
        sample: Sample = {
            "at_s": round(time.monotonic() - self.began_s, 2),
            "threads": threading.active_count(),
            "descriptors": descriptors(),
            "memory_mb": resident_mb(),
            "in_use_mb": in_use_mb(),
            "blocks": sys.getallocatedblocks(),
            "inboxes": sum(each.inbox_depth for each in actors),
            "deepest": max(each.inbox_depth for each in actors),
            "inbox_dropped": sum(each.inbox_dropped for each in actors),
            "left_behind": sum(each.abandoned for each in actors),
            "queued": sum(engine.queue.waiting for engine in self._engines),
            "restarts": self.restarts,
            "faults": sum(self._weather.counts.values()),
            "cpu_s": time.process_time(),
            "diagnosed_threads": self._client.diagnostics().threads,
        }
        for engine in self._engines:
            engine.compare_books()
            try:
                orders, _ = engine.venue.open_orders()
            except Exception:  # the state actor is being killed at this moment
                orders = ()
            seen = engine.venue.snapshot()
            sample[engine.name] = {
                "open": sum(order.status is not OrderStatus.UNKNOWN for order in orders),
                "unknown": sum(order.status is OrderStatus.UNKNOWN for order in orders),
                "fills": engine.counts["Fill"],
                "commands": engine.counts["commands"],
                "trades": sum(tape.trades for tape in engine.tapes),
                "live": sum(topic.state is TopicState.LIVE for topic in seen.topics),
                "topics": len(seen.topics),
                "counters": seen.counters,
                "alarms": sum(seen.alarms.values()),
            }
        self._file.write(json.dumps(sample) + "\n")
        self._file.flush()
        return sample

    def close(self) -> None:
        self._file.write(json.dumps({"marks": [round(at_s - self.began_s, 1) for at_s in self._weather.at_s]}) + "\n")
        self._file.close()


def line_of(sample: Sample, length_s: float) -> str:
    venues = {name: each for name, each in sample.items() if isinstance(each, dict)}
    told = "  ".join(
        f"{name} open={each['open']} unknown={each['unknown']} fills={each['fills']} live={each['live']}/{each['topics']}"
        for name, each in venues.items()
    )
    return (
        f"{sample['at_s'] / 60:6.1f} of {length_s / 60:.1f} min  threads={sample['threads']} fd={sample['descriptors']} "
        f"memory={sample['memory_mb'] or 0:.1f} MB inbox={sample['deepest']} queue={sample['queued']} "
        f"faults={sample['faults']} restarts={sample['restarts']}  {told}"
    )


# ---------------------------------------------------------------- the judgement


def row(name: str, value: float, unit: str = "", bound: str = "") -> Row:
    """One figure. `bound` reads like "<= 10"; "" only shows it."""
    sign, _, limit = bound.partition(" ")
    holds = not sign or {"<=": value <= float(limit), ">=": value >= float(limit), "==": value == float(limit)}[sign]
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": holds}


def read_samples(path: Path) -> tuple[list[Sample], list[float]]:
    """(samples, seconds at which something broke) of a run, finished or not."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    marks = next((line["marks"] for line in lines if "marks" in line), [])
    return [line for line in lines if "at_s" in line], marks


def column(samples: Sequence[Sample], name: str, venue: str = "") -> list[tuple[float, float]]:
    rows = [(each["at_s"], each[venue] if venue else each) for each in samples]
    return [(at_s, each[name]) for at_s, each in rows if each.get(name) is not None]


def growth(samples: Sequence[Sample], length_s: float) -> list[Row]:
    judged, from_s = length_s >= JUDGED_FROM_S, length_s * WARM_UP

    def slope(name: str) -> float:
        return growth_per_hour(column(samples, name), from_s)

    whole, most = ("== 0", f"<= {MOST_MB_PER_HOUR:g}") if judged else ("", "")
    in_use = "in_use_mb" if column(samples, "in_use_mb") else "memory_mb"
    late = growth_per_hour(column(samples, "memory_mb"), length_s / 2)
    return [
        row("threads: growth after the warm-up, to the nearest whole one", round(slope("threads")), "an hour", whole),
        row("descriptors: growth after the warm-up, to the nearest", round(slope("descriptors")), "an hour", whole),
        row("memory in use: growth after the warm-up", slope(in_use), "MB an hour", most),
        row("memory resident: growth after the warm-up", slope("memory_mb"), "MB an hour"),
        row("memory resident: growth in the last half", late, "MB an hour"),
        row("interpreter's memory blocks: growth after the warm-up", slope("blocks"), "an hour"),
        row("actors' inboxes: growth after the warm-up", slope("inboxes"), "an hour", "<= 1" if judged else ""),
        row("actors' inboxes: deepest", max(each["deepest"] for each in samples)),
        row("actors' inboxes: dropped", samples[-1]["inbox_dropped"], "", "== 0"),
        row("threads left behind, most at a time", max(each["left_behind"] for each in samples), "", "== 0"),
    ]


def draw(samples: Sequence[Sample], marks: Sequence[float]) -> str:
    """The picture of a run."""
    length_s = samples[-1]["at_s"]
    venues = [name for name, each in samples[-1].items() if isinstance(each, dict)]

    def curves(*names: tuple[str, str]) -> list[Curve]:
        return [Curve(label, column(samples, name)) for name, label in names]

    def each_venue(name: str) -> list[Curve]:
        return [Curve(venue, column(samples, name, venue)) for venue in venues]

    panels = [
        Panel("threads and descriptors", curves(("threads", "threads"), ("descriptors", "descriptors"))),
        Panel("memory, MB", curves(("memory_mb", "resident"), ("in_use_mb", "in use"))),
        Panel("messages waiting", curves(("deepest", "deepest inbox"), ("queued", "queue"))),
        Panel("faults and restarts", curves(("faults", "faults"), ("restarts", "restarts"))),
        Panel("orders that are open", each_venue("open")),
        Panel("orders whose state is unknown", each_venue("unknown")),
        Panel("fills told", each_venue("fills")),
    ]
    title = (
        f"{length_s / 60:.0f} minutes with {len(marks) or samples[-1]['faults']} faults (thin lines); warm-up shaded"
    )
    return picture(title, panels, length_s, length_s * WARM_UP, marks)


def settle(engine: Engine) -> tuple[float, Counter[str]]:
    """(seconds until everything is right again, what is not by the deadline). Then the exchange stands still."""
    try:
        well_s = eventually(engine.is_well, SETTLE_WITHIN_S)
    except AssertionError:
        return SETTLE_WITHIN_S, Counter({f"topics or books not well: {engine.venue.snapshot().topics}": 1})
    engine.far.ask("pause")
    with suppress(AssertionError):
        return well_s + eventually(lambda: not engine.differences(), SETTLE_WITHIN_S - well_s), Counter()
    return SETTLE_WITHIN_S, engine.differences()


def of_venue(engine: Engine, took_s: float, wrong: Counter[str], told: Path) -> Iterator[Row]:
    name, counts = engine.name, engine.counts
    for text in [f"{kind}: {count}" for kind, count in wrong.items()] + engine.wrong_books[:10]:
        print(f"  {name}: {text}")
    ledger = engine.far.ask("ledger")
    lies = untrue(map(json.loads, told.read_text(encoding="utf-8").splitlines()), ledger)
    yield row(f"{name}: orders at the venue", len(ledger.orders), "", ">= 10")
    yield row(f"{name}: fills at the venue", len(ledger.fills), "", ">= 10")
    yield row(f"{name}: all right again after the last fault", took_s, "s", f"<= {SETTLE_WITHIN_S:g}")
    yield row(f"{name}: orders, fills, balances and positions that differ at the end", wrong.total(), "", "== 0")
    for kind, count in sorted(lies.items()):
        yield row(f"{name}: {kind}", count, "", "" if kind == "alarms" else "== 0")
    yield row(f"{name}: commands", counts["commands"])
    yield row(f"{name}: commands told unknown", counts["order unknown"] + counts["cancel unknown"])
    yield row(f"{name}: books compared", counts["books compared"], "", ">= 10")
    yield row(f"{name}: books wrong", len(engine.wrong_books), "", "== 0")
    yield row(f"{name}: trades", sum(tape.trades for tape in engine.tapes), "", ">= 100")
    yield row(f"{name}: trades doubled", sum(tape.doubled for tape in engine.tapes), "", "== 0")
    yield row(f"{name}: trades out of order", sum(tape.backwards for tape in engine.tapes), "", "== 0")
    yield row(f"{name}: trades missing and not told", sum(tape.untold() for tape in engine.tapes), "", "== 0")
    yield row(f"{name}: requests refused for their number", engine.far.ask("refused").total(), "", "== 0")
    for kind, count in sorted(engine.far.ask("violations").items()):
        yield row(f"{name}: rule of the venue broken: {kind}", count)
    for kind, count in sorted(counts.items()):
        if kind.startswith(("engine: ", "command: ")):
            yield row(f"{name}: {kind}", count)


def soak(options: argparse.Namespace) -> Iterator[Row]:
    connector.venue.account.KEPT_FINAL = KEPT_FINAL
    connector.venue.order_events.REMEMBERED = REMEMBERED
    length_s, clock = options.hours * 3600.0, SystemClock()
    products = [PRODUCTS[name] for name in options.venues.split(",")]
    rng = random.Random(options.seed)
    samples_path = options.out.with_suffix(".jsonl")
    samples_path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        fars = [stack.enter_context(simulated(each, rng.randrange(10**6), options.rate)) for each in products]
        sequences = {each.exchange: Notes() for each in products}
        drivers = {
            each.exchange: noting_sequences(find_driver(each.exchange), sequences[each.exchange])
            if each.opaque
            else find_driver(each.exchange)
            for each in products
        }
        parts = replace(real_parts(clock), driver=lambda name: drivers[name])
        settings = [
            VenueSettings(
                far.product.exchange,
                rest_url=far.rest_url,
                stream_url=far.ws_url,
                session_url=far.ws_url,
                credentials=Credentials(KEY, secret=SECRET),
                store=folder / f"{far.product}.sqlite",
            )
            for far in fars
        ]
        told = {each.exchange: folder / f"{each}.jsonl" for each in products}
        notes = {name: in_file(str(path)) for name, path in told.items()}
        gc.collect()
        base = settled_base()
        listeners: list[Callable[[TreeEvent], object]] = []
        client = Connector(
            settings, clock=clock, parts=parts, on_event=lambda event: [listen(event) for listen in listeners]
        )
        stack.enter_context(client)
        engines = []
        for far in fars:
            name, seed = far.product.exchange, rng.randrange(10**6)
            assert client.venue(name).wait_ready(60.0), f"{name} never told its instruments"
            engines.append(Engine(client, far, notes[name], sequences[name], seed, options.pace))
        for engine in engines:
            eventually(engine.is_well, 60.0, lambda engine=engine: repr(engine.venue.snapshot().topics))
            stack.callback(engine.over.set)  # whatever breaks here ends its threads too
            engine.start()
        weather = Weather(client, fars, rng.randrange(10**6), options.every)
        sampler = Sampler(client, engines, weather, samples_path)
        listeners.append(sampler.on_event)
        stack.callback(weather.over.set)
        weather.thread.start()
        pause, told_s = threading.Event(), 0.0
        while (passed_s := time.monotonic() - sampler.began_s) < length_s:
            sample = sampler.take()
            if sys.stdout.isatty():
                print(f"\r{line_of(sample, length_s)[:200]}", end="", flush=True)
            elif passed_s >= told_s:
                told_s += 60.0
                print(line_of(sample, length_s), flush=True)
            if not weather.thread.is_alive():
                raise AssertionError("the weather ended: a simulated exchange refused a fault, see above")
            pause.wait(options.sample - (time.monotonic() - sampler.began_s) % options.sample)
        print()
        weather.end()
        sampler.close()
        for engine in engines:
            engine.stop_trading()
        settled = [settle(engine) for engine in engines]
        samples, marks = read_samples(samples_path)
        picture_path = options.out.with_suffix(".svg")
        picture_path.write_text(draw(samples, marks), encoding="utf-8")
        yield row("time", length_s / 60, "min")
        yield row("faults", sum(weather.counts.values()), "", f">= {length_s / 60:.0f}")
        yield row("kinds of faults", len(weather.counts))
        yield row("actors restarted", sampler.restarts)
        yield row("actors ended by what nobody asked for", len(sampler.causes), "", "== 0")
        for event in list(sampler.causes)[:20]:
            print(f"  {event.path} ended: {event.reason}")
        yield from growth(samples, length_s)
        share = (samples[-1]["cpu_s"] - samples[0]["cpu_s"]) / max(1.0, samples[-1]["at_s"] - samples[0]["at_s"])
        yield row("processor time of this process", share * 100, "%")
        for engine, (took_s, wrong) in zip(engines, settled, strict=True):
            yield from of_venue(engine, took_s, wrong, told[engine.name])
        began_s = time.monotonic()
        report = client.stop()
        yield row("stop", time.monotonic() - began_s, "s", "<= 5")
        for engine in engines:
            engine.end()
        print(f"  {report}")
        with suppress(AssertionError):
            eventually(
                lambda: all((now or 0) <= (then or 0) for now, then in zip(settled_base(), base, strict=True)), 5
            )
        after = settled_base()
        for name, then, now in zip(("threads", "descriptors", "registered actors"), base, after, strict=True):
            yield row(f"{name} left after the stop", (now or 0) - (then or 0), "", "<= 0")
        for thread in threading.enumerate()[base[0] :]:
            print(f"  left: {thread!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--venues", default="binance,binance-usdm,bybit,bybit-linear", help=f"of {', '.join(PRODUCTS)}")
    parser.add_argument("--rate", type=float, default=60.0, help="orders a second of each simulated market")
    parser.add_argument("--pace", type=float, default=0.6, help="seconds between two commands at a venue, about")
    parser.add_argument("--every", type=float, default=8.0, help="seconds of calm between two faults, about")
    parser.add_argument("--sample", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--draw", type=Path, metavar="SAMPLES", help="only draw and judge the samples of an earlier run"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "soak.json")
    options = parser.parse_args()
    if options.draw:
        samples, marks = read_samples(options.draw)
        options.out.with_suffix(".svg").write_text(draw(samples, marks), encoding="utf-8")
        rows = growth(samples, samples[-1]["at_s"])
    else:
        rows = []
        for each in soak(options):
            rows.append(each)
            tell(each)
    ok = all(each["ok"] for each in rows)
    if options.draw:
        for each in rows:
            tell(each)
        return 0 if ok else 1
    samples, marks = read_samples(options.out.with_suffix(".jsonl"))
    report = {"ok": ok, "seed": options.seed, "rows": rows, "marks": marks, "samples": samples}
    options.out.write_text(json.dumps(report) + "\n", encoding="utf-8")
    print("all figures hold" if ok else "NOT all figures hold")
    return 0 if ok else 1


def tell(each: Row) -> None:
    mark = ("ok  " if each["ok"] else "FAIL") if each["bound"] else "    "
    print(f"{mark} {each['name']}: {each['value']} {each['unit']} {each['bound'] and '(' + each['bound'] + ')'}")


if __name__ == "__main__":
    sys.exit(main())
