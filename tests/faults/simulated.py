"""One life of a whole connector in the deterministic simulation, by seed, and the judges that compare it with the ledger.

A life has two phases. In the first a script of faults plays (see `connector.testing.simulation`) while orders are placed,
cancelled and changed on the same account; nothing wrong may be seen. In the second every fault is over, and all has to be right
within `LIVELY_S`. What is judged, and when, stands at `Life.judge` and below; docs/guides/simulation.md says what each invariant
means here. `live(seed)` is a life as plain figures, for a sweep in many processes.
"""

from __future__ import annotations

import gc
import mmap
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector import Side, Symbol
from connector.domain import BookState
from connector.domain.commands import AmendOrder, CancelOrder, OutcomeKind, PlaceOrder
from connector.domain.credentials import Credentials
from connector.domain.orders import Fill, Order, OrderStatus, OrderType, TimeInForce
from connector.drivers.registry import find_driver
from connector.errors import UnknownSymbol
from connector.orders.rounding import round_price
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.simulator.history import Past
from connector.store.memory import MemoryStore
from connector.supervision.errors import StartFailed
from connector.supervision.events import EventKind, TreeEvent
from connector.testing.killing import Killed
from connector.testing.simulation import Script, Storm, World, draw
from connector.venue.delivery import TopicState

if str(Path(__file__).parent) not in sys.path:  # a folder of programs and of what tests share, no package
    sys.path.append(str(Path(__file__).parent))

import kill_nine
from harness import BookJudge, TradeJudge, noting_sequences
from products import BINANCE, PRODUCTS, Product

__all__ = ["LIVELY_S", "Life", "Plan", "live", "soak", "wrong_lives"]

LIVELY_S = 60.0
KEY, SECRET = "simulatedkey0001", "canary simulated secret"
ACCOUNT = "main"
STOP_S = 5.0
OPENS_WITHIN_S = 6.0
"""A connection that nobody holds, and that the exchange does not answer, ends by its own deadline."""
EVENTS_PER_S = 6.0
BYSTANDERS = 0.15
"""Part of the lives in which a second exchange is connected to, which has no fault and has to notice nothing."""
CALLS_WINDOW_NS = 10**9
UNANSWERED_S = 25.0
"""What a silent topic may take beyond its suspicion: two questions of ten seconds that get no answer, and a while to settle."""
PASTS: dict[Any, Any] = {}
"""What was traded before a life began, by listing: the same for all seeds."""


class Plan:
    """What a seed decides before anything begins. `script` replaces the one that would be drawn."""

    def __init__(self, seed: int, product: Product | None = None, script: Script | None = None) -> None:
        chance = random.Random(f"{seed}:plan")
        self.seed = seed
        drawn_product = chance.choice(list(PRODUCTS.values()))
        self.product = product or drawn_product  # what follows is drawn the same in either case
        self.storm_s = chance.choice((8.0, 12.0, 20.0, 30.0, 60.0))
        self.trading = chance.random() < 0.85
        self.session = chance.random() < 0.8
        self.begins_s = chance.choice((0.0, 5.0, 5.0))
        self.two_lives = chance.random() < 0.25
        self.skew_ms = chance.randrange(-20_000, 20_000) if chance.random() < 0.3 else 0
        self.order_every_s = chance.choice((0.4, 1.0, 3.0))
        self.tick_s = 0.1
        drawn = draw(random.Random(f"{seed}:faults"), lasts_s=self.storm_s, orders=self.trading)
        self.script = drawn if script is None else script
        self.bystander = self._draw_bystander()

    def _draw_bystander(self) -> Product | None:
        """In some lives a venue of another exchange that nothing happens to; not where the whole machine sleeps."""
        chance = random.Random(f"{self.seed}:bystander")
        if chance.random() >= BYSTANDERS or "machine sleeps" in self.kinds:
            return None
        family = self.product.exchange.partition("-")[0]
        return chance.choice([each for each in PRODUCTS.values() if each.exchange.partition("-")[0] != family])

    @property
    def kinds(self) -> set[str]:
        """The kinds of faults in the script."""
        return {fault.kind for fault in self.script}


class _Rig:
    """What the judges of `harness` need of a rig."""

    def __init__(
        self, world: World, connector: Any, product: Product, sequences: dict[tuple[str, int], int], name: str = ""
    ) -> None:
        self.connector, self.product, self.sequences = connector, product, sequences
        self.name = name or product.exchange
        self.sims: dict[str, Any] = {self.name: world.far[self.name]}
        self.sim = self.sims[self.name]
        self.venue = connector.venue(self.name)
        self.memory = self.venue._memory

    def subscribe(self, kind: str, symbol: str = "", **options: Any) -> Any:
        return self.connector.subscribe(self.name, kind, symbol or self.product.main, **options)


class _Trades(TradeJudge):
    """Asks no actor, which may be away."""

    def _instrument(self) -> Any:
        return self.rig.memory.instruments.known(Symbol.parse(self.symbol))


class _Books(BookJudge):
    """Compares at once: here the ledger stands still while it is read. A consumer that waited would be taken off."""

    def _instrument(self) -> Any:
        return self.rig.memory.instruments.known(Symbol.parse(self.symbol))

    def _take(self, update: Any) -> None:
        super()._take(update)
        self.compare()


def undelivered(judge: TradeJudge, product: Product, far: Any, older_s: float) -> int:
    """Trades of that age, newer than the last one that came."""
    market = far.exchange.markets[product.symbols[judge.symbol]]
    if not judge.seen or not market.trades:
        return 0
    last, before_us = judge.seen[-1], far.exchange.clock.now_us() - int(older_s * 1e6)
    number = last.sequence if product.opaque else getattr(last, "trade_id", None)
    by_agg = product.opaque or number is None
    number = last.agg_id if number is None else number
    return sum(
        trade.time_us < before_us and (trade.agg_id if by_agg else trade.trade_id) > number
        for trade in market.trades[-200:]
    )


class Bystander:
    """Trades and a book of an exchange without faults, beside the one that has them: nothing of it may be touched (I9)."""

    NAME = "bystander"
    LIVE_WITHIN_S = 30.0
    UNTOUCHED = ("feed.gaps", "stream.connections_lost", "rest.errors", "stream.silent_topics")

    def __init__(self, world: World, connector: Any, product: Product, sequences: dict[tuple[str, int], int]) -> None:
        self._runtime, self._far = world.runtime, world.far[self.NAME]
        self._rig = _Rig(world, connector, product, sequences, self.NAME)
        self._trades, self._book = _Trades(self._rig), _Books(self._rig, every=3)
        self._began_s, self._was_live = self._runtime.monotonic_s(), False

    def wrong(self) -> list[str]:
        """What is not as if it were alone."""
        trades, book = self._trades.subscription, self._book.live
        is_live = trades.state is TopicState.LIVE and book.state is BookState.VALID
        self._was_live = self._was_live or is_live  # the first trade makes it so, and may be seconds away
        if not self._was_live and self._runtime.monotonic_s() - self._began_s < self.LIVE_WITHIN_S:
            return []
        found = [] if is_live else [f"{trades!r} {book!r}"]
        if late := undelivered(self._trades, self._rig.product, self._far, 1.0):
            found.append(f"{late} trades came later than in a second")
        venue, counters = self._rig.venue, self._rig.memory.counters.snapshot()
        found += [
            f"{actor} is at epoch {epoch}"
            for actor in ("stream", "rest", "state")
            if (epoch := getattr(venue, actor).epoch) != 1
        ]
        found += [f"{name}: {counters[name]}" for name in self.UNTOUCHED if counters.get(name)]
        return found

    def judged(self) -> list[str]:
        """The same, of a whole life. A wall clock that steps is everybody's."""
        alarms = {kind: times for kind, times in self._rig.memory.alarms.counts().items() if "wall clock" not in kind}
        trades = self._trades.faults() if self._was_live else []  # a life may end before the first trade
        return [*trades, *self._book.compare(), *([f"{alarms}"] if alarms else [])]


class Told:
    """Everything an engine is told of its orders, compared with the ledger in the moment it is told."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.fills: Counter[str] = Counter()
        self.finals = 0
        self.notes: list[dict[str, Any]] = []
        self._recorder = kill_nine.Told(self.notes.append)

    def begin_anew(self) -> None:
        """Another process begins with a store that could not take everything: what it does not know of it tells again."""
        self.fills.clear()
        self.notes[:] = [each for each in self.notes if each["what"] != "fill"]

    def hear(self, event: Any) -> None:
        self._recorder.event(event)
        life, product = self._life, self._life.plan.product
        if isinstance(event, Order):
            truth = life.true_order(event.client_id)
            amount = product.amount(event, filled=True)
            if truth is not None and amount > truth.filled:
                life.note("I3", f"told more filled than there is: {event} {truth}")
            if event.status.is_final:
                self.finals += 1
                if not life.is_true(event):
                    life.note("I1", f"told as final: {event}; the ledger has {truth}")
        elif isinstance(event, Fill):
            name = kill_nine._fill_name(event.symbol, event.trade_id, event.side)
            self.fills[name] += 1
            if self.fills[name] > 1:
                life.note("I2", f"told {self.fills[name]} times: {event}")


class Life:
    """One life of a connector, or two with one store. `problems` is what was wrong, by invariant."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.problems: dict[str, list[str]] = {}
        self.events: deque[TreeEvent] = deque(maxlen=50_000)
        self.lively_s: float | None = None
        self.is_over = False  # no orders any more
        self.anew_ns = -(10**12)  # when a second process began, by the exchange's clock
        self.asks: list[tuple[Any, Any]] = []
        self.done: list[tuple[Any, Any]] = []
        product = plan.product
        accounts = (AccountSettings(ACCOUNT, KEY, SECRET, balances=product.balances),) if plan.trading else ()
        settings = SimulatorSettings(
            dialect=product.dialect,
            symbols=product.names,
            events_per_s=EVENTS_PER_S,
            source=Live(resting_orders=40),
            accounts=accounts,
            keep=50_000,
        )
        exchanges = {product.exchange: settings}
        if plan.bystander is not None:
            exchanges[Bystander.NAME] = SimulatorSettings(
                dialect=plan.bystander.dialect,
                symbols=plan.bystander.names,
                events_per_s=EVENTS_PER_S,
                source=Live(resting_orders=40),
                keep=50_000,
            )
        self.world = World(plan.seed, exchanges, tick_s=plan.tick_s, ahead_s=plan.skew_ms / 1_000)
        self.runtime = self.world.runtime
        self.far = self.world.far[product.exchange]
        markets = [market for far in self.world.far.values() for market in far.exchange.markets.values()]
        for market in markets:  # inventing a past takes longer than a life, and no seed needs its own
            market.past = PASTS.setdefault(market.listing, Past(market.listing, 0, self.runtime.time_ns() // 1_000_000))
        self.store = self.world.mishaps.store(MemoryStore())
        self.sequences: dict[tuple[str, int], int] = {}
        self._drivers = {each.exchange: self._driver(each) for each in (product, plan.bystander) if each is not None}
        self.told = Told(self)
        self._note_withheld()
        self.chance = self.world.random("orders")
        self.happened: Counter[str] = Counter()
        try:
            self._live()
        except Exception as broken:
            self.note("broken", f"{type(broken).__name__}: {broken}")
            raise
        finally:
            self.simulated_s = self.runtime.monotonic_s() - 1_000.0
            self.trace_hash = self.runtime.trace_hash

    def _driver(self, product: Product) -> Any:
        driver = find_driver(product.exchange)
        return noting_sequences(driver, self.sequences) if product.opaque else driver

    # ------------------------------------------------------------ a life

    def _connect(self) -> Any:
        fields: dict[str, Any] = {}
        if self.plan.trading:
            fields = {"credentials": Credentials(KEY, secret=SECRET), "store": self.store}
            if not self.plan.session:
                fields["session_url"] = None
        venues = [self.world.venue(self.plan.product.exchange, self.plan.product.exchange, **fields)]
        if self.plan.bystander is not None:
            venues.append(self.world.venue(Bystander.NAME, self.plan.bystander.exchange))
        return self.world.connect(
            *venues,
            driver=self._drivers.__getitem__,
            on_event=self.events.append,
        )

    def _live(self) -> None:
        plan, runtime = self.plan, self.runtime
        script = plan.script
        self._begin()
        if plan.begins_s:
            runtime.advance(plan.begins_s)
        self.storm = Storm(self.far, self.world.mishaps, self._actor, ACCOUNT if plan.trading else "")
        self.storm.play(script)
        if plan.trading:
            runtime.call_later(0.5, self._trade, background=True)
        if plan.two_lives:
            runtime.advance(plan.storm_s * self.chance.random())
            self._stop()
            if self.storm.happened["store fails"]:
                self.told.begin_anew()
            runtime.advance(self.chance.choice((0.0, 1.0, 10.0)))
            self.anew_ns = self.far.exchange.clock.now_us() * 1_000
            self._begin_when_it_can()
        ends_s = 1_000.0 + plan.begins_s + plan.storm_s
        self._advance_watching(max(1.0, ends_s - runtime.monotonic_s()))
        self.storm.end()
        self.is_over = True
        self._heal()
        self._stop()
        self._judge_outcomes()

    def _begin_when_it_can(self) -> None:
        """As an engine would that is started in the middle of it: refused with a reason that is a fault's, it tries again."""
        while True:
            try:
                return self._begin()
            except StartFailed as crashed:
                if "on purpose" not in str(crashed):
                    raise
            except UnknownSymbol:  # a symbol that is halted is off the lists of some exchanges
                if not self.storm.happened["halt"]:
                    raise
                self._stop()
            self.runtime.advance(1.0)

    def _begin(self) -> None:
        self.connector = self._connect()
        self.connector.start()
        self.rig = _Rig(self.world, self.connector, self.plan.product, self.sequences)
        self.venue = self.rig.venue
        self.trades = _Trades(self.rig)
        self.others = _Trades(self.rig, self.plan.product.other)
        self.trades.not_sent, self.others.not_sent = (
            self.not_sent[self.trades.symbol],
            self.not_sent[self.others.symbol],
        )
        self.books = [_Books(self.rig, every=3), _Books(self.rig, self.plan.product.other, every=3)]
        if self.plan.bystander is not None:
            self.bystander = Bystander(self.world, self.connector, self.plan.bystander, self.sequences)
        if self.plan.trading:
            self.venue.orders_stream(self.told.hear)

    def _note_withheld(self) -> None:
        """Trades the venue never told anybody: where ids say nothing, nobody can know of them."""
        product, hub = self.plan.product, self.far.exchange.hub
        self.not_sent: dict[str, set[int]] = {text: set() for text in product.symbols}
        texts = {product.topic(product.trade_topic, text): text for text in product.symbols}
        publish = hub.publish

        def noting(topic: Any, ident: int, render: Any) -> None:
            withheld = topic.record.withheld
            publish(topic, ident, render)
            text = texts.get(topic.name)
            if text is not None and topic.record.withheld > withheld:
                trades = self.far.exchange.markets[product.symbols[text]].trades
                self.not_sent[text].update(each.agg_id for each in trades[-200:] if each.time_us == trades[-1].time_us)

        hub.publish = noting  # type: ignore[method-assign]

    def _actor(self, name: str) -> Any:
        return getattr(self.venue, name)

    def _advance_watching(self, seconds: float) -> None:
        until_s = self.runtime.monotonic_s() + seconds
        while self.runtime.monotonic_s() < until_s - 1e-6:
            self.runtime.advance(min(0.5, until_s - self.runtime.monotonic_s()))
            self._watch()

    # ------------------------------------------------------------ orders

    def _trade(self) -> None:
        if self.is_over:
            return
        self.runtime.call_later(self.plan.order_every_s * (0.5 + self.chance.random()), self._trade, background=True)
        if not self._are_listed():
            return
        known = sorted(
            record.client_id for record in self.store.open_orders()
        )  # what the engine remembers; asking the actor would wait
        drawn = self.chance.random()
        command: Any
        if known and drawn < 0.3:
            client_id = self.chance.choice(known)
            command = CancelOrder(symbol=self._symbol_of(client_id), client_id=client_id)
        elif known and drawn < 0.4:
            client_id = self.chance.choice(known)
            command = self._amend(client_id)
        else:
            command = self._order()
        self.asks.append((command, self.venue.orders.ask(command, block=False, timeout=120.0)))

    def _are_listed(self) -> bool:
        """Whether the library knows both symbols: one that is halted is off the lists of some exchanges."""
        table = self.rig.memory.instruments
        return table is not None and all(Symbol.parse(text) in table for text in self.plan.product.symbols)

    def _symbol_of(self, client_id: str) -> Symbol:
        record = self.store.order(client_id)
        assert record is not None
        return record.order.symbol

    def _amend(self, client_id: str) -> AmendOrder:
        product = self.plan.product
        symbol = self._symbol_of(client_id)
        return AmendOrder(
            symbol=symbol, client_id=client_id, quantity=self.chance.randint(1, 20) * product.least(symbol)
        )

    def _order(self) -> PlaceOrder:
        product, chance = self.plan.product, self.chance
        text = chance.choice(list(product.symbols))
        symbol = Symbol.parse(text)
        market = self.far.exchange.markets[product.symbols[text]]
        side = chance.choice((Side.BUY, Side.SELL))
        size = product.sized(chance.randint(2, 40) * product.least(symbol))
        if chance.random() < 0.2:
            return PlaceOrder(symbol=symbol, side=side, type=OrderType.MARKET, **size)
        tick = self.rig.memory.instruments.require(symbol).price_tick
        last = Decimal(market.price * market.listing.tick_e8) / 10**8
        away = Decimal(chance.randint(-5, 10)) / 10_000  # below zero it crosses
        price = round_price(last * (1 - away if side is Side.BUY else 1 + away), tick, side)
        force = TimeInForce.IOC if chance.random() < 0.15 else None
        return PlaceOrder(symbol=symbol, side=side, type=OrderType.LIMIT, price=price, time_in_force=force, **size)

    # ------------------------------------------------------------ the truth

    def true_order(self, client_id: str) -> Any:
        try:
            return self.far.ledger.order(ACCOUNT, client_id)
        except LookupError:
            return None

    def is_true(self, order: Order) -> bool:
        """Of a final order."""
        product, truth = self.plan.product, self.true_order(order.client_id)
        if truth is None:
            return order.status is OrderStatus.REJECTED
        there = (product.status(truth), truth.filled)
        return (order.status.value, product.amount(order, filled=True)) == there

    # ------------------------------------------------------------ phase one: nothing wrong is seen

    def note(self, kind: str, text: str) -> None:
        self.problems.setdefault(kind, []).append(f"{self.runtime.monotonic_s() - 1_000.0:.3f}s {text}"[:1200])

    def _watch(self) -> None:
        """At every step of half a second, whatever is going on."""
        for book in self.books:
            book.copy()
            if book.compare():
                self.note("I4", f"{book.wrong}")
                book.wrong.clear()
        for judge in (self.trades, self.others):
            self._is_stale_marked(judge)
        if self.plan.bystander is not None and "I9" not in self.problems:
            for text in self.bystander.wrong():
                self.note("I9", text)

    def _is_stale_marked(self, judge: TradeJudge) -> None:
        subscription = judge.subscription
        if subscription.state is not TopicState.LIVE or not judge.seen:
            return
        feed = self.rig.memory.feed_table().get(str(self.rig.memory.name_of(subscription.topic)))
        if feed is None:
            return
        bound_s = self.rig.memory.settings.liveness.suspect_after_s(feed.rate.mean_interval_s) + UNANSWERED_S
        if late := undelivered(judge, self.plan.product, self.far, bound_s):
            self.note("I6", f"{subscription} is LIVE, and {late} trades older than {bound_s:.1f} s did not come")

    # ------------------------------------------------------------ phase two: everything is right again

    def _heal(self) -> None:
        began_s = self.runtime.monotonic_s()
        wrong: list[str] = ["not looked at"]
        right_since_s: float | None = None
        while self.runtime.monotonic_s() - began_s < LIVELY_S:
            self._advance_watching(0.5)
            wrong = self._not_right()
            now_s = self.runtime.monotonic_s()
            if wrong:
                right_since_s = None
            elif right_since_s is None:
                right_since_s = now_s
            elif now_s - right_since_s >= 1.0:
                wrong = self._prove_trading() if self.plan.trading else []
                if not wrong:
                    self.lively_s = right_since_s - began_s
                    break
        for text in wrong:
            self.note("liveness", text)
        self._judge_topics()
        self._judge_limits()

    def _not_right(self) -> list[str]:
        wrong = []
        for judge in (self.trades, self.others):
            if judge.subscription.state is not TopicState.LIVE:
                wrong.append(f"{judge.subscription}: {judge.subscription.freshness().reason}")
            elif late := undelivered(judge, self.plan.product, self.far, 0.5):
                wrong.append(f"{judge.subscription}: {late} trades later")
        wrong += [f"{book.live!r}" for book in self.books if book.live.state is not BookState.VALID]
        wanted = sorted(name for name, feed in self.rig.memory.feed_table().items() if feed.consumers)
        carried = sorted(
            name for connection in self.far.exchange.hub.connections for name in connection.topics if name in wanted
        )
        if wanted != carried:
            wrong.append(f"I8: wanted {wanted}, the venue has {carried}")
        if self.plan.trading:
            wrong += self._account_not_right()
        return wrong

    def _account_not_right(self) -> list[str]:
        asks = []
        try:
            asked = [self.venue.open_orders(), self.venue.balances()]
            if self.plan.product.settle:
                asked.append(self.venue.positions())
            if (
                self.plan.session
            ):  # without one the account is compared, not followed, and says at any time that it may be behind
                asks = [fresh.reason for _, fresh in asked if fresh.stale]
            unknown = [order.client_id for order in asked[0][0] if order.status is OrderStatus.UNKNOWN]
            asks += [f"unknown: {unknown}"] if unknown else []
            wrong = +kill_nine.compare(
                kill_nine.known_of(self.venue, self.plan.product), kill_nine.Ledger.of(self.far, self.plan.product)
            )
        except Exception as untold:  # an actor is away
            return [*asks, repr(untold)]
        return asks + ([f"{dict(wrong)}"] if wrong else [])

    def _prove_trading(self) -> list[str]:
        """A new order is taken, now that all is well; or why not."""
        if not self._are_listed():
            return ["a symbol is off the list"]
        product, text = self.plan.product, self.plan.product.main
        market = self.far.exchange.markets[product.symbols[text]]
        last = Decimal(market.price * market.listing.tick_e8) / 10**8
        tick = self.rig.memory.instruments.require(product.symbol).price_tick
        price = round_price(last * Decimal("0.98"), tick, Side.BUY)
        order = PlaceOrder(symbol=product.symbol, side=Side.BUY, type=OrderType.LIMIT, price=price, **product.sized())
        ask = self.venue.orders.ask(order, block=False, timeout=30.0)
        self.asks.append((order, ask))
        self.runtime.run_while(lambda: not ask._done, 10.0)
        try:
            told = ask.get(timeout=0.0)
        except Exception as lost:
            return [f"a new order got no answer: {lost!r}"]
        return (
            []
            if told.kind is OutcomeKind.ACCEPTED
            else [f"a new order was not taken: {told.kind} {told.reason} {told}"]
        )

    def _judge_topics(self) -> None:
        for judge in (self.trades, self.others):
            faults = judge.faults()
            for text in faults:
                if (
                    text != "no trade came at all"
                    or self.far.exchange.markets[self.plan.product.symbols[judge.symbol]].trades
                ):
                    self.note("I5", f"{judge.symbol}: {text}")

    def _judge_limits(self) -> None:
        for each in self.far.exchange.records.violations:
            if each.kind in ("pong", "idle"):  # those are faults of ours: bytes we held
                continue
            if each.kind == "calls" and 0 <= each.at_ns - self.anew_ns < CALLS_WINDOW_NS:
                continue  # what the process before it spent within that second nobody told this one
            self.note("I7", f"{each}")

    # ------------------------------------------------------------ the end of a life

    def _stop(self) -> None:
        if self.plan.bystander is not None:
            for text in self.bystander.judged():
                self.note("I9", text)
        began_s = self.runtime.monotonic_s()
        report = self.connector.stop()
        took_s = self.runtime.monotonic_s() - began_s
        if took_s > STOP_S:
            self.note("I12", f"the stop took {took_s:.2f} s")
        if not report.ok:
            self.note("I12", f"{report}")
        self._collect()
        if all("UPGRADING" in repr(link) for link in self.far.links.live) and self.storm_crashed_inside:
            self.runtime.advance(
                OPENS_WITHIN_S
            )  # opened, and the actor broke before it heard of it: nobody can close that one
        if self.runtime.threads:
            self.note("I11", f"left: {self.runtime.threads}")
        for far in self.world.far.values():
            if far.links.live:
                self.note("I11", f"left: {far.links.live}")
        for event in self.events:
            cause = None if event.reason is None else event.reason.cause
            if cause is not None and event.kind is EventKind.ENDED and not _asked_for(cause):
                self.note("crash", f"{event} {cause!r}")
        self.events.clear()

    @property
    def storm_crashed_inside(self) -> bool:
        return bool(self.storm.happened["crash inside"])

    def _collect(self) -> None:
        """Every command has to have its end by now."""
        for command, ask in self.asks:
            try:
                self.done.append((command, ask.get(timeout=0.0)))
            except Exception as lost:  # an actor ended with it in hand: its effect is unknown
                self.done.append((command, None))
                self.happened[type(lost).__name__] += 1
        self.asks.clear()

    def _judge_outcomes(self) -> None:
        """What was answered, and what was told, against the ledger at the end."""
        for command, outcome in self.done:
            if outcome is None or not isinstance(command, PlaceOrder) or not outcome.client_id:
                continue
            truth = self.true_order(outcome.client_id)
            gone = outcome.kind in (OutcomeKind.REFUSED, OutcomeKind.REJECTED)
            if gone and truth is not None and truth.status != "REJECTED":
                self.note("I1", f"called {outcome.kind}, and it is there: {truth}")
            if outcome.kind is OutcomeKind.ACCEPTED and truth is None:
                self.note("I1", f"called accepted, and it is not there: {outcome}")
        if self.plan.trading:
            ledger = kill_nine.Ledger.of(self.far, self.plan.product)
            notes = [each for each in self.told.notes if each["what"] != "alarm"]
            for kind, count in (+kill_nine.untrue(notes, ledger)).items():
                self.note("I1", f"{kind}: {count}")
        if SECRET in repr((self.done, self.told.notes)):
            self.note("I10", "the secret is in what was told")


class Soak(Life):
    """A life that lasts for days: a storm about every four hours, and everything right again after each."""

    def __init__(self, plan: Plan, days: float, tell: Callable[[str], object]) -> None:
        self._days, self._say = days, tell
        self.storms = 0
        self.memory_mb: list[float] = []
        super().__init__(plan)

    def _live(self) -> None:
        runtime, chance = self.runtime, self.world.random("storms")
        self._begin()
        runtime.advance(5.0)
        self.far.paused = True
        runtime.call_later(1.0, self._trade, background=True)
        runtime.call_later(1.0, self._happen, background=True)
        until_s = runtime.monotonic_s() + self._days * 86_400.0
        while runtime.monotonic_s() < until_s:
            runtime.advance(min(chance.uniform(0.5, 7.5) * 3_600.0, until_s - runtime.monotonic_s()))
            self._weather(draw(chance, lasts_s=30.0, most=4))
        self.is_over = True
        self._stop()
        self._judge_outcomes()

    def _happen(self) -> None:
        """Between storms the market is a quiet one."""
        self.far.exchange.source.step(1)
        self.runtime.call_later(60.0 * self.chance.random(), self._happen, background=True)

    def _weather(self, script: Script) -> None:
        self.storm = Storm(self.far, self.world.mishaps, self._actor, ACCOUNT)
        self.far.paused = False
        self.storm.play(script)
        self._advance_watching(30.0)
        self.storm.end()
        self._heal()
        self.far.paused = True
        self.storms += 1
        for judge in (self.trades, self.others):  # judged; what follows has to follow the last one
            del judge.seen[:-1]
            judge.gaps.clear()
        for book in self.books:
            book.updates.clear()
        gc.collect()
        self.memory_mb.append(_memory_mb())
        if self.storms % 20 == 0:
            days = (self.runtime.monotonic_s() - 1_000.0) / 86_400.0
            self._say(
                f"{days:.1f} days, {self.storms} storms, {self.memory_mb[-1]:.0f} MB, wrong: {list(self.problems)}"
            )


def soak(days: float, tell: Callable[[str], object] = print) -> dict[str, Any]:
    """A month, or as long as is asked for, as plain figures."""
    plan = Plan(1, BINANCE, ())
    plan.trading = plan.session = True
    plan.two_lives, plan.skew_ms, plan.order_every_s, plan.tick_s, plan.bystander = False, 0, 600.0, 1.0, None
    began_s = time.process_time()
    life = Soak(plan, days, tell)
    half = life.memory_mb[len(life.memory_mb) // 2 :]
    return {
        "days": life.simulated_s / 86_400.0,
        "storms": life.storms,
        "problems": [(kind, text) for kind, texts in life.problems.items() for text in texts],
        "speed": life.simulated_s / (time.process_time() - began_s),
        "grown_mb": half[-1] - half[0],
    }


def _memory_mb() -> float:
    """What this process has in memory now; 0 where the system does not tell."""
    listing = Path("/proc/self/statm")
    return int(listing.read_text().split()[1]) * mmap.PAGESIZE / 2**20 if listing.exists() else 0.0


def _asked_for(cause: BaseException) -> bool:
    return isinstance(cause, Killed) or "on purpose" in str(cause)


def live(seed: int, product: str = "", script: Script | None = None) -> dict[str, Any]:
    """One life as plain figures, in whatever process."""
    plan = Plan(seed, PRODUCTS[product] if product else None, script)
    began_s = time.process_time()
    life = Life(plan)
    return {
        "seed": seed,
        "product": plan.product.exchange,
        "kinds": sorted(plan.kinds),
        "problems": life.problems,
        "hash": life.trace_hash,
        "simulated_s": life.simulated_s,
        "lively_s": life.lively_s,
        "orders": len(life.done),
        "finals": life.told.finals,
        "fills": sum(life.told.fills.values()),
        "books": sum(book.compared for book in life.books),
        "happened": dict(life.storm.happened),
        "inside": life.world.mishaps.happened,
        "steps": life.runtime.steps,
        "cpu_s": time.process_time() - began_s,
    }


def wrong_lives(seeds: Iterable[int]) -> dict[int, Any]:
    """What was wrong, by seed. A life that is not right again in time counts itself among them."""
    return {seed: problems for seed in seeds if (problems := live(seed)["problems"])}
