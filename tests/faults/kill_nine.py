"""Kill a trading process with signal 9 again and again, and compare what the last one knows with the venue's own ledger.

Each life is a process of its own that trades as an engine would: a Connector, an SQLite store, orders and cancels against a
simulated exchange in another process, which goes on trading while nobody is there. A life ends at a random point: during its
start, its recovery, or after so many commands. Then, and on samples in between, two recoveries in a row are compared with the
ledger and with each other. The figures go to build/kills.json; exit status 0 exactly when all of them hold.

    python tests/faults/kill_nine.py --kills 500        # make kills KILLS=500
    python tests/faults/kill_nine.py --kills 8 --lanes 1 --quick --seed 3
    python tests/faults/kill_nine.py --kills 20 --quick --product bybit-linear      # "all": every product, one after the other
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector import Connector, Side, Symbol, VenueSettings
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain.account import FundingPayment, Position
from connector.domain.commands import CancelOrder, OrderOutcome, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.domain.wire import BudgetLimit
from connector.drivers.contract import Driver, VenueInfo
from connector.drivers.registry import find_driver
from connector.orders.rounding import round_price
from connector.store import SqliteStore

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

from products import BINANCE, PRODUCTS, Product, named

ROOT = Path(__file__).resolve().parents[2]
CAN_FORK = sys.platform == "linux"  # elsewhere a fork may not use the network, or there is none
KEY, SECRET = "killninekey0001", "kill nine secret"
LIFE_WITHIN_S = 60.0
RECOVERY_WITHIN_S = 120.0
UNDER_WAY = 3
"""Commands an engine has waiting at a time."""
MOST_OPEN = 20
SAMPLE_EVERY = 100
Row = dict[str, Any]

# ---------------------------------------------------------------- the engine: one life


def short_rules(product: Product = BINANCE) -> Driver:
    """The driver with short waits until an order counts as never arrived; the rules themselves are the same."""
    driver = find_driver(product.exchange)
    assert driver.trading is not None
    rules = replace(driver.trading.rules, recv_window_ms=1_500, backend_s=0.5, visible_after_s=0.5)
    trading = replace(driver.trading, rules=rules)  # type: ignore[type-var]

    def hurried(part: Any) -> Any:
        """A part of the private half with the same rules: its own, or those of the trading half it holds."""
        names = () if part is None else {each.name for each in fields(part)}
        changes = {name: value for name, value in (("rules", rules), ("trading", trading)) if name in names}
        return replace(part, **changes) if changes else part

    return replace(driver, trading=trading, session=hurried(driver.session), positions=hurried(driver.positions))


class _Roomy:
    """A driver's REST whose exchange tells limits that are never reached; hundreds of comparisons a minute are no customer's."""

    def __init__(self, rest: Any) -> None:
        self._rest = rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)

    def read(self, query: Any, response: Any, instruments: Any) -> Any:
        told = self._rest.read(query, response, instruments)
        return replace(told, limits=_without_end(told.limits)) if isinstance(told, VenueInfo) else told


def _without_end(limits: tuple[BudgetLimit, ...]) -> tuple[BudgetLimit, ...]:
    return tuple(replace(limit, points=10_000_000) for limit in limits)


def roomy(driver: Driver) -> Driver:
    """The driver with room for hundreds of starts a minute, before it has read the limits of the exchange and after."""
    return replace(driver, limits=_without_end(driver.limits), rest=_Roomy(driver.rest))


def _fill_name(symbol: Symbol, trade_id: str, side: Side) -> str:
    """A trade of two orders of ours is two fills."""
    return f"{symbol} {trade_id} {side.value}"


class Told:
    """What an engine was told, as plain values handed to `write`."""

    def __init__(self, write: Callable[[dict[str, Any]], object]) -> None:
        self.write = write

    def event(self, event: Any) -> None:
        """A consumer of the order events."""
        if isinstance(event, Fill):
            trade = _fill_name(event.symbol, event.trade_id, event.side)
            self.write({"what": "fill", "trade": trade, "id": event.client_id, "recovered": event.recovered})
        elif isinstance(event, Order):
            filled = str(event.filled if event.filled_contracts is None else event.filled_contracts)
            self.write({"what": "order", "id": event.client_id, "status": event.status.value, "filled": filled})
        elif not isinstance(event, Position | FundingPayment):
            self.write({"what": "alarm", "text": event.text, "id": event.client_id})

    def outcome(self, outcome: OrderOutcome, *, is_order: bool) -> None:
        """The answer to a command."""
        self.write(
            {
                "what": "answer",
                "id": outcome.client_id,
                "kind": outcome.kind.value,
                "code": outcome.code,
                "order": is_order,
            }
        )


def in_file(path: str) -> Told:
    """Line by line in a file: a line that was written is there, whatever happens to the process."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return Told(lambda note: os.write(file, (json.dumps(note) + "\n").encode()))


def say(text: str) -> None:
    os.write(1, (text + "\n").encode())


def engine() -> None:
    """One life per line on standard input, each in a fork of this process, which has loaded its libraries and done nothing else.

    Where there is no fork, the first line is this process's own life.
    """
    while line := sys.stdin.readline():
        orders = json.loads(line)
        if not CAN_FORK:
            live(orders)
            return
        pid = os.fork()
        if pid == 0:
            try:
                live(orders)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(pid, 0)
        say(f"dead {os.waitstatus_to_exitcode(status)}")


def live(orders: dict[str, Any]) -> None:
    """Trade, or recover and tell, until killed."""
    say(f"pid {os.getpid()}")
    notes = in_file(orders["notes"])
    clock = SystemClock()
    product = PRODUCTS[orders["product"]]
    driver = roomy(short_rules(product) if orders["quick"] else find_driver(product.exchange))
    parts = replace(real_parts(clock), driver=lambda _: driver)
    account = VenueSettings(
        product.exchange,
        rest_url=orders["rest_url"],
        stream_url=orders["ws_url"],
        session_url=orders["ws_url"],
        credentials=Credentials(KEY, secret=SECRET),
        store=SqliteStore(orders["store"]),
    )
    connector = Connector([account], clock=clock, parts=parts)
    venue = connector.venue(product.exchange)
    venue.orders_stream(callback=notes.event)
    notes.write({"what": "life"})
    with connector:
        if orders["trade"]:
            if not venue.wait_ready(LIFE_WITHIN_S):
                raise SystemExit("no instruments came")
            trade(venue, random.Random(orders["seed"]), notes, product)
        else:
            recover(venue, product)


def trade(venue: Any, rng: random.Random, notes: Told, product: Product) -> None:
    """Place and cancel for ever, a few commands at a time; orders of earlier lives are cancelled like new ones."""
    symbols = tuple(map(Symbol.parse, product.symbols))
    prices = {ticker.symbol: (ticker.bid, ticker.ask) for ticker in venue.book_tickers(*symbols)}
    ticks = {symbol: venue.instrument(symbol).price_tick for symbol in symbols}
    open_orders, _ = venue.open_orders()
    unknown = sum(order.status is OrderStatus.UNKNOWN for order in open_orders)
    notes.write({"what": "start", "unknown": unknown})
    cancellable = [(each.symbol, each.client_id) for each in open_orders if may_cancel(each, rng)]
    waiting: list[tuple[bool, Any]] = []
    say("ready")
    while True:
        if cancellable and (len(cancellable) > MOST_OPEN or rng.random() < 0.4):
            symbol, client_id = cancellable.pop(rng.randrange(len(cancellable)))
            waiting.append((False, venue.orders.ask(CancelOrder(symbol=symbol, client_id=client_id), block=False)))
        else:
            symbol = rng.choice(symbols)
            command = some_order(symbol, prices[symbol], ticks[symbol], rng, product)
            waiting.append((True, venue.orders.ask(command, block=False)))
        say("sent")
        if len(waiting) < UNDER_WAY:
            continue
        is_order, reply = waiting.pop(0)
        outcome = reply.get(timeout=LIFE_WITHIN_S)
        notes.outcome(outcome, is_order=is_order)
        if is_order and outcome.order is not None and may_cancel(outcome.order, rng):
            cancellable.append((outcome.order.symbol, outcome.client_id))


def may_cancel(order: Order, rng: random.Random) -> bool:
    """Open ones. Of the unknown only some: a cancel that cannot be answered yet holds up those behind it."""
    return not order.status.is_final and (order.status is not OrderStatus.UNKNOWN or rng.random() < 0.1)


def some_order(
    symbol: Symbol, prices: tuple[Decimal, Decimal], tick: Decimal, rng: random.Random, product: Product
) -> PlaceOrder:
    """Small and of either side: at the market, across the spread, or resting near it."""
    bid, ask = prices
    side = rng.choice((Side.BUY, Side.SELL))
    size = product.sized(rng.randint(2, 40) * product.least(symbol))
    if rng.random() < 0.2:
        return PlaceOrder(symbol=symbol, side=side, type=OrderType.MARKET, **size)
    away = Decimal(rng.randint(-5, 10)) / 10_000  # below zero it crosses
    price = bid * (1 - away) if side is Side.BUY else ask * (1 + away)
    return PlaceOrder(symbol=symbol, side=side, type=OrderType.LIMIT, price=round_price(price, tick, side), **size)


def recover(venue: Any, product: Product) -> None:
    """Wait until nothing is in doubt, tell everything that is known, and wait for the end."""
    began_s, pause = time.monotonic(), threading.Event()
    while True:
        open_orders, freshness = venue.open_orders()
        settled = not freshness.stale and not any(order.status is OrderStatus.UNKNOWN for order in open_orders)
        if settled and not (product.settle and venue.positions()[1].stale):
            break
        pause.wait(0.02)
    known = known_of(venue, product)
    known["took_s"] = time.monotonic() - began_s
    known["resumed"] = venue.snapshot().counters.get("orders.resumed", 0)
    say("known " + json.dumps(known))
    pause.wait(LIFE_WITHIN_S)


def known_of(venue: Any, product: Product = BINANCE) -> dict[str, Any]:
    """Everything the read model says, as plain values; amounts are what the venue counts."""
    return {
        "orders": [
            [
                order.client_id,
                order.status.value,
                str(product.amount(order)),
                str(product.amount(order, filled=True)),
                order.venue_id or "",
            ]
            for order in venue.order_history()[0]
        ],
        "open": sorted(order.client_id for order in venue.open_orders()[0]),
        "fills": [
            [
                _fill_name(fill.symbol, fill.trade_id, fill.side),
                fill.client_id,
                str(fill.price),
                str(product.amount(fill)),
                str(fill.fee),
            ]
            for fill in venue.fills()[0]
        ],
        "balances": {asset: [str(each.free), str(each.locked)] for asset, each in venue.balances()[0].items()},
        "positions": {
            f"{each.symbol} {each.side.value}": [str(product.amount(each)), str(each.entry_price)]
            for each in (venue.positions()[0] if product.settle else ())
            if each.quantity
        },
    }


# ---------------------------------------------------------------- the judge: pure


@dataclass
class Ledger:
    """The venue's truth: orders by client id (status, quantity, filled), fills by trade, balances that are not zero, positions
    (quantity, entry price). Amounts are what the venue counts."""

    orders: dict[str, tuple[str, Decimal, Decimal]]
    fills: dict[str, tuple[str, Decimal, Decimal, Decimal]]
    balances: dict[str, tuple[Decimal, Decimal]]
    positions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @classmethod
    def of(cls, sim: Any, product: Product = BINANCE, who: str = "main") -> Ledger:
        """Read it from a simulator's account."""
        account = sim.accounts[who]
        return cls(
            {
                each.client_id: (product.status(each), each.quantity, each.filled)
                for each in account.orders()
                if not product.forced(each.client_id)
            },
            {
                _fill_name(
                    product.ours(each.symbol),
                    product.trade_text(sim, each.symbol, each.trade_id),
                    Side.BUY if each.is_buyer else Side.SELL,
                ): (
                    "" if product.forced(each.client_id) else each.client_id,
                    each.price,
                    each.quantity,
                    each.commission,
                )
                for each in account.fills()
            },
            {asset: (b.free, b.locked) for asset, b in account.balances().items() if b.free or b.locked},
            {
                f"{product.ours(each.symbol)} {each.side}": (each.quantity, each.entry_price)
                for each in account.positions()
            },
        )


_NOTHING = (Decimal(), Decimal())


def compare(known: Mapping[str, Any], ledger: Ledger) -> Counter[str]:
    """Everything in which one recovered state differs from the ledger, counted by kind."""
    wrong: Counter[str] = Counter()
    orders = {client_id: rest for client_id, *rest in known["orders"]}
    wrong["orders kept twice"] = len(known["orders"]) - len(orders)
    for client_id, (status, quantity, filled) in ledger.orders.items():
        found = orders.get(client_id)
        if found is None:
            wrong["orders lost"] += 1
        elif (found[0], Decimal(found[1]), Decimal(found[2])) != (status, quantity, filled):
            wrong["orders in another state"] += 1
    for client_id in orders.keys() - ledger.orders.keys():
        wrong["orders the venue never had, not rejected"] += orders[client_id][0] != "rejected"
    is_open = {client_id for client_id, (status, *_) in ledger.orders.items() if status in ("new", "partially_filled")}
    wrong["orders wrongly open or closed"] = len(is_open ^ set(known["open"]))
    fills = {trade: (client_id, *map(Decimal, rest)) for trade, client_id, *rest in known["fills"]}
    wrong["fills counted twice"] = len(known["fills"]) - len(fills)
    wrong["fills lost"] = len(ledger.fills.keys() - fills.keys())
    wrong["fills invented"] = len(fills.keys() - ledger.fills.keys())
    wrong["fills different"] = sum(fills[trade] != ledger.fills[trade] for trade in fills.keys() & ledger.fills.keys())
    balances = {asset: (Decimal(free), Decimal(locked)) for asset, (free, locked) in known["balances"].items()}
    wrong["balances different"] = sum(
        (balances.get(asset) or _NOTHING) != (ledger.balances.get(asset) or _NOTHING)
        for asset in balances.keys() | ledger.balances.keys()
    )
    positions = {name: tuple(map(Decimal, rest)) for name, rest in known.get("positions", {}).items()}
    wrong["positions different"] = sum(
        positions.get(name) != ledger.positions.get(name) for name in positions.keys() | ledger.positions.keys()
    )
    return wrong


def untrue(notes: Iterable[Mapping[str, Any]], ledger: Ledger) -> Counter[str]:
    """Everything engines were told, over all lives, that the ledger contradicts."""
    wrong: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for note in notes:
        true = ledger.orders.get(note.get("id", ""))
        if note["what"] == "fill":
            told[note["trade"]] += 1
            wrong["fills told that are none"] += note["trade"] not in ledger.fills
        elif note["what"] == "order" and OrderStatus(note["status"]).is_final:
            if true is None:
                wrong["final states told that are untrue"] += note["status"] != "rejected"
            else:
                wrong["final states told that are untrue"] += (note["status"], Decimal(note["filled"])) != (
                    true[0],
                    true[2],
                )
        elif note["what"] == "answer" and note["order"]:
            wrong["answers that are untrue"] += (note["kind"] == "accepted" and true is None) or (
                note["kind"] in ("rejected", "refused") and true is not None
            )
        elif note["what"] == "alarm":
            wrong["alarms"] += 1
    wrong["fills told twice"] = sum(count - 1 for count in told.values())
    return wrong


# ---------------------------------------------------------------- lives and deaths


@dataclass
class Tally:
    """Figures over all lanes; each lane has its own, added up at the end."""

    kills: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    recovery_s: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


class Lives:
    """Engine processes of one lane, one at a time."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._server = self._start()
        self._spare = self._server if CAN_FORK else self._start()
        self._pid, self._ended = 0, ""

    def _start(self) -> subprocess.Popen[str]:
        with self._errors.open("ab") as log:
            command = [sys.executable, str(Path(__file__).resolve()), "--engine"]
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, encoding="utf-8"
            )

    def begin(self, orders: Mapping[str, Any]) -> None:
        """A new life; the one before has ended."""
        if not CAN_FORK:  # the next one loads its libraries while this one lives
            self._server, self._spare = self._spare, self._start()
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(orders) + "\n")
        self._server.stdin.flush()
        self._ended = ""
        self._pid = int(self.said().removeprefix("pid "))

    def said(self) -> str:
        """The next line; "dead …" when it has ended."""
        assert self._server.stdout is not None
        line = self._server.stdout.readline().strip() or "dead without a word"
        if line.startswith("dead"):
            self._ended = line
        return line

    def kill(self) -> bool:
        """End this life with signal 9. True when it was alive until now."""
        if not CAN_FORK:
            was_alive = self._server.poll() is None
            self._end(self._server)
            return was_alive
        if self._ended:
            return False
        self.kill_now()
        while not self._ended:
            self.said()
        return self._ended == f"dead {-signal.SIGKILL}"

    def kill_now(self) -> None:
        """From a watchdog too: whatever hangs ends, and with it the reading of what it says."""
        if not CAN_FORK:
            self._server.kill()
            return
        with suppress(ProcessLookupError):  # it ended by itself, which its parent says
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        for process in {self._server, self._spare}:
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait(LIFE_WITHIN_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it never read cannot be flushed any more
                    pipe.close()


class Lane:
    """One exchange, one account, one store, one life after the other."""

    def __init__(self, number: int, folder: Path, options: argparse.Namespace) -> None:
        from connector.simulator import AccountSettings, Simulator, SimulatorSettings

        self.product = product = PRODUCTS[options.product]
        self.rng = random.Random(options.seed * 1000 + number)
        self.quick = options.quick
        self.folder, self.errors = folder, folder / "errors.txt"
        folder.mkdir(parents=True)
        self.store, self.notes = folder / "orders.sqlite", folder / "notes.jsonl"
        self.notes.touch()
        self.tally = Tally()
        account = AccountSettings("main", KEY, SECRET, balances=product.balances)
        self.sim = Simulator(
            SimulatorSettings(
                dialect=product.dialect,
                symbols=product.names,
                seed=options.seed + number,
                events_per_s=60.0,
                accounts=(account,),
                **product.roomy,
            )
        )

    def run(self, kills: int) -> None:
        with self.sim, closing(Lives(self.errors)) as lives:
            for number in range(1, kills + 1):
                if number % 4 == 1:  # answers that prove nothing: done, and not done
                    doubtful = self.product.doubtful[0]
                    self.sim.faults.answer_error(*doubtful, done=True, count=1, only="orders")
                    self.sim.faults.answer_error(*doubtful, done=False, count=1, only="order.place")
                self.live(lives)
                if number % SAMPLE_EVERY == 0 or number == kills:
                    self.judge(lives)

    @contextmanager
    def life(self, lives: Lives, *, trade: bool, within_s: float) -> Iterator[None]:
        lives.begin(
            {
                "rest_url": self.sim.rest_url,
                "ws_url": self.sim.ws_url,
                "store": str(self.store),
                "notes": str(self.notes),
                "quick": self.quick,
                "trade": trade,
                "product": self.product.exchange,
                "seed": self.rng.randrange(10**9),
            }
        )
        watchdog = threading.Timer(within_s, lives.kill_now)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()
            watchdog.join()

    def live(self, lives: Lives) -> None:
        """One life and its end: a quarter by the clock, wherever that is, the others after so many commands."""
        where, line = "by the clock", "?"
        with self.life(lives, trade=True, within_s=LIFE_WITHIN_S):
            if self.rng.random() < 0.25:
                threading.Event().wait(self.rng.uniform(0.0, 0.4))
            else:
                commands = self.rng.choice((0, 1, 2, 3, 5, 8, 13, 20, 30, 40))
                where = "trading" if commands else "ready"
                line = lives.said()
                while line in ("ready", "sent") and commands:
                    line = lives.said()
                    commands -= 1
                threading.Event().wait(self.rng.choice((0.0, self.rng.uniform(0.0, 0.004))))
        if not lives.kill() or line not in ("?", "ready", "sent"):
            where = "ended by itself"
        self.tally.kills[where] += 1

    def recovery(self, lives: Lives) -> dict[str, Any]:
        with self.life(lives, trade=False, within_s=RECOVERY_WITHIN_S):
            line = lives.said()
        lives.kill()
        if not line.startswith("known "):
            raise AssertionError(f"a recovery did not come to its end, it said {line!r}")
        known: dict[str, Any] = json.loads(line.removeprefix("known "))
        self.tally.recovery_s.append(known.pop("took_s"))
        self.tally.seen["orders found without an answer"] += known.pop("resumed")
        return known

    def rows_stored(self) -> dict[str, list[Any]]:
        """What is in the file about orders, intents and fills, as bytes."""
        database = sqlite3.connect(self.store)
        try:
            return {
                table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                for table in ("orders", "intents", "fills")
            }
        finally:
            database.close()

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.notes.read_text(encoding="utf-8").splitlines()]

    def judge(self, lives: Lives) -> None:
        """Hold the exchange still; recover twice; nothing may differ, the second time nothing may happen."""
        self.sim.faults.clear()
        self.sim.pause()
        tally = self.tally
        first = self.recovery(lives)
        ledger, stored, told = Ledger.of(self.sim, self.product), self.rows_stored(), self.told()
        again = self.recovery(lives)
        wrong = compare(first, ledger)
        wrong["things a second recovery changed"] = sum(first[part] != again[part] for part in first)
        wrong["tables a second recovery changed"] = sum(
            rows != then for rows, then in zip(stored.values(), self.rows_stored().values(), strict=True)
        )
        wrong["events a second recovery told"] = sum(
            note["what"] in ("fill", "order", "alarm") for note in self.told()[len(told) :]
        )
        tally.wrong += wrong + untrue(told, ledger)
        tally.troubles += [f"{kind}: {count}" for kind, count in wrong.items() if count]
        tally.seen["comparisons"] += 1
        latest = {"orders at the venue": len(ledger.orders), "fills at the venue": len(ledger.fills)}
        latest["orders kept"] = len(first["orders"])
        latest["starts with unknown orders"] = sum(note["what"] == "start" and note["unknown"] > 0 for note in told)
        latest["fills told"] = sum(note["what"] == "fill" for note in told)
        latest["fills told as recovered"] = sum(note["what"] == "fill" and note["recovered"] for note in told)
        tally.seen.update({name: count - tally.seen[name] for name, count in latest.items()})
        self.sim.resume()


KINDS = (
    "orders lost",
    "orders kept twice",
    "orders in another state",
    "orders the venue never had, not rejected",
    "orders wrongly open or closed",
    "fills lost",
    "fills counted twice",
    "fills invented",
    "fills different",
    "balances different",
    "positions different",
    "fills told twice",
    "fills told that are none",
    "final states told that are untrue",
    "answers that are untrue",
    "alarms",
    "things a second recovery changed",
    "tables a second recovery changed",
    "events a second recovery told",
)


def row(name: str, value: float, unit: str = "", bound: str | None = None) -> Row:
    """One figure. `bound` reads like "== 0" or ">= 8"; None: only told."""
    holds = True
    if bound is not None:
        sign, _, limit = bound.partition(" ")
        holds = {"<=": value <= float(limit), ">=": value >= float(limit), "==": value == float(limit)}[sign]
    return {"name": name, "value": round(value, 3), "unit": unit, "bound": bound, "ok": holds}


def rows_of(tallies: Sequence[Tally], kills: int, took_s: float) -> list[Row]:
    """The figures of all lanes together."""
    whole = Tally()
    for tally in tallies:
        whole.kills.update(tally.kills)
        whole.wrong.update(tally.wrong)
        whole.seen.update(tally.seen)
        whole.recovery_s += tally.recovery_s
    unknown_kinds = set(whole.wrong) - set(KINDS)
    assert not unknown_kinds, f"a kind without a row: {unknown_kinds}"
    killed = sum(count for where, count in whole.kills.items() if where != "ended by itself")
    rows = [row("processes killed", killed, "", f"== {kills}")]
    rows += [row(f"killed {where}", whole.kills[where]) for where in ("by the clock", "ready", "trading")]
    rows += [row(kind, whole.wrong[kind], "", "== 0") for kind in KINDS]
    rows += [row("comparisons with the ledger", whole.seen["comparisons"], "", f">= {len(tallies)}")]
    rows += [row("orders at the venue", whole.seen["orders at the venue"], "", f">= {kills}")]
    rows += [row("fills at the venue", whole.seen["fills at the venue"], "", f">= {kills // 2}")]
    rows += [row("orders kept", whole.seen["orders kept"])]
    rows += [row("fills told as they came or recovered", whole.seen["fills told"])]
    rows += [row("fills told as recovered", whole.seen["fills told as recovered"], "", f">= {kills // 50}")]
    rows += [row("starts that found unknown orders", whole.seen["starts with unknown orders"], "", f">= {kills // 50}")]
    rows += [row("recovered and nothing in doubt, worst", max(whole.recovery_s, default=0.0), "s", "<= 60")]
    rows += [row("whole run", took_s, "s")]
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", action="store_true", help="be one life; the word to begin comes on standard input")
    parser.add_argument("--kills", type=int, default=500, help="of each product")
    parser.add_argument("--lanes", type=int, default=2, help="exchanges with an engine each, side by side")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="short waits until an order counts as never arrived")
    parser.add_argument("--product", choices=(*PRODUCTS, "all"), default=BINANCE.exchange)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "kills.json")
    options = parser.parse_args(arguments)
    if options.engine:
        engine()
        return 0
    rows: list[Row] = []
    for product in named(options.product):
        prefix = f"{product}: " if options.product == "all" else ""
        options.product, chosen = product.exchange, options.product
        for each in killed(options):
            rows.append(each | {"name": prefix + each["name"]})
            bound = "" if each["bound"] is None else f"({each['bound']})"
            text = f"{rows[-1]['name']}: {each['value']} {each['unit']} {bound}".rstrip()
            print(f"{'ok    ' if each['ok'] else 'NOT OK'} {text}", flush=True)
        options.product = chosen
    report = {"ok": all(each["ok"] for each in rows), "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if report["ok"] else 1


def killed(options: argparse.Namespace) -> list[Row]:
    """The figures of one product; what was wrong is printed."""
    began_s = time.monotonic()
    shares = [len(range(number, options.kills, options.lanes)) for number in range(options.lanes)]
    failed: list[BaseException] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lanes = [Lane(number, Path(folder) / str(number), options) for number in range(options.lanes)]

        def live(lane: Lane, kills: int) -> None:
            try:
                lane.run(kills)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=live, args=pair) for pair in zip(lanes, shares, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [line for lane in lanes for line in lane.errors.read_text(encoding="utf-8").splitlines()]
    rows = rows_of([lane.tally for lane in lanes], options.kills, time.monotonic() - began_s)
    rows.append(row("lines on the error streams of engines", len(errors), "", "== 0"))
    rows.append(row("lanes that broke", len(failed), "", "== 0"))
    for text in [*(trouble for lane in lanes for trouble in lane.tally.troubles), *map(repr, failed), *errors[-40:]]:
        print(" ", text)
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
