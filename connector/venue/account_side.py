"""The account half of the state actor: it feeds the read model, keeps it equal to the venue, answers questions about it.

A part of the state actor: used on its thread only, started by its messages, never waiting. It alone writes the read model. It
compares with the venue at the start, whenever the private session comes up, when something may have been missed, on a slow timer,
and on demand: one comparison at a time, causes coalesce, what fails is tried again later, for ever. Questions go to the REST
actor. Every answer says whether it may be wrong by now: it may while the session is down, and from a doubt until a comparison
that was asked late enough to show what the doubt is about.

Where it is not known whether an event was lost, it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import groupby
from typing import Any

import msgspec
import pykka

from connector.books import LiveBook
from connector.domain.account import Balance, FundingPayment, Position, PositionSide
from connector.domain.market import AggTrade, BookTicker, Freshness, MarkPrice, Ticker, Trade
from connector.domain.orders import Fill
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS, NS_PER_S
from connector.domain.wire import HttpRequest
from connector.errors import (
    AuthenticationFailed,
    BookNotValid,
    ConnectorError,
    NotConnected,
    Unsupported,
    VenueUnavailable,
)
from connector.orders.lifecycle import Alarm, Event
from connector.orders.rounding import ZERO, average, total
from connector.supervision import ActorContext, Reply
from connector.throttle import Backoff, Priority
from connector.venue.account import AccountModel, Taken
from connector.venue.book_feed import BookFeed
from connector.venue.comparison import (
    BALANCES,
    EVERYTHING,
    FILLS,
    FUNDING,
    POSITIONS,
    WITH_POSITIONS,
    Comparison,
    Question,
)
from connector.venue.memory import VenueMemory
from connector.venue.messages import (
    Intended,
    Noted,
    Noticed,
    RawAnswer,
    Ruled,
    SettingsChanged,
    Several,
    SignedFetch,
    post,
)
from connector.venue.naming import called
from connector.venue.private import PrivateUp
from connector.venue.session import AccountDoubt, AccountFacts
from connector.venue.trading import Trading

__all__ = [
    "ACCOUNT_QUESTIONS",
    "AccountSide",
    "CompareAccount",
    "ExplainOrder",
    "GetBalance",
    "GetBalances",
    "GetFills",
    "GetFundingPayments",
    "GetOpenOrders",
    "GetOrder",
    "GetOrderByVenueId",
    "GetOrderHistory",
    "GetPosition",
    "GetPositions",
    "reference_prices",
]

STRAYS = "strays"
EVERY_S = 60.0
EVERY_DOWN_S = 10.0
"""How often the account is compared, while the private session is up and while it is down."""
GLANCE_EVERY_S = 7.5
"""How often, meanwhile, open orders, balances and positions are, while there is something that may change: any event of them
may be lost on a session that is well. Fills and funding are asked for only where that shows a difference."""
BUSY_FOR_S = 60.0
"""An account is watched so closely for so long after the last event or order."""
APART_S = 0.5
TICK_S = 1.0
PRICES_FOR_S = 0.25
"""How long a view's prices serve for the next: reading them costs as much as there are topics."""
LATE_S = 1.0
"""Added to the time the venue itself says its answers may be behind."""
DEAD_KEY_FIRST_S = 1800.0
DEAD_KEY_MAX_S = 86_400.0


class GetOpenOrders(msgspec.Struct, frozen=True):
    """Ask: (tuple[Order, ...], Freshness): not final, unknown ones included; those of other programs when `external`."""

    symbol: Symbol | None = None
    external: bool = False


class GetOrder(msgspec.Struct, frozen=True):
    """Ask: (Order | None, Freshness): one of ours, however old; None: not ours."""

    client_id: str


class GetOrderByVenueId(msgspec.Struct, frozen=True):
    """Ask: (Order | None, Freshness): one of ours that is open or ended lately, or one of another program."""

    symbol: Symbol
    venue_id: str


class GetOrderHistory(msgspec.Struct, frozen=True):
    """Ask: (tuple[Order, ...], Freshness): ours, meant at or after `since_ns` by our clock. StoreFailed: cannot be read."""

    symbol: Symbol | None = None
    since_ns: int = 0


class GetFills(msgspec.Struct, frozen=True):
    """Ask: (tuple[Fill, ...], Freshness): ours and forced ones, from `since_ns` on by the venue's clock. StoreFailed as above."""

    symbol: Symbol | None = None
    since_ns: int = 0


class GetBalances(msgspec.Struct, frozen=True):
    """Ask: (dict[str, Balance], Freshness): assets of which there is something. NotConnected before the first answer."""


class GetBalance(msgspec.Struct, frozen=True):
    """Ask: (Balance, Freshness): of an asset of which there is nothing, zeros. NotConnected before the first answer."""

    asset: str


class GetPositions(msgspec.Struct, frozen=True):
    """Ask: (tuple[Position, ...], Freshness): those with something in them. NotConnected before the first answer.

    As GetPosition and GetFundingPayments: Unsupported where the account holds assets, not positions.
    """

    symbol: Symbol | None = None


class GetPosition(msgspec.Struct, frozen=True):
    """Ask: (Position, Freshness): flat where there is nothing in it. NotConnected before the first answer."""

    symbol: Symbol
    side: PositionSide = PositionSide.NET


class GetFundingPayments(msgspec.Struct, frozen=True):
    """Ask: (tuple[FundingPayment, ...], Freshness): at or after `since_ns` by the venue's clock, oldest first.

    At hand are those of the day this process began in, and all since, up to some thousands. NotConnected before the first answer.
    """

    symbol: Symbol | None = None
    since_ns: int = 0


class ExplainOrder(msgspec.Struct, frozen=True):
    """Ask: (tuple[Evidence, ...], Freshness): all that is known of one order of ours and whence, oldest first."""

    client_id: str


class CompareAccount(msgspec.Struct, frozen=True):
    """Ask: compare with the venue now; Freshness when a comparison that began later is over, however it went."""


ACCOUNT_QUESTIONS = (
    GetOpenOrders,
    GetOrder,
    GetOrderByVenueId,
    GetOrderHistory,
    GetFills,
    GetBalances,
    GetBalance,
    GetPositions,
    GetPosition,
    GetFundingPayments,
    ExplainOrder,
    CompareAccount,
)


class _Tick(msgspec.Struct, frozen=True):
    """To itself: is anything due?"""


class _Publish(msgspec.Struct, frozen=True):
    """To itself: show the order actor what changed."""


class _Asked:
    """A question on its way; `request` is there once it was sent."""

    __slots__ = ("deadline_s", "question", "request", "run")

    def __init__(self, run: Comparison, question: Question, deadline_s: float) -> None:
        self.run, self.question, self.deadline_s = run, question, deadline_s
        self.request: HttpRequest | None = None


class _Answered(msgspec.Struct, frozen=True):
    """From a REST worker: the answer to the question of this number."""

    number: int
    answer: RawAnswer


class AccountSide:
    """One account's read model, kept equal to the venue's."""

    def __init__(self, trading: Trading, context: ActorContext, ref: pykka.ActorRef[Any]) -> None:
        memory = trading.memory
        self._trading, self._memory, self._context, self._ref = trading, memory, context, ref
        self._clock, self._counters, self._alarms = memory.clock, memory.counters, memory.alarms
        self.events = trading.events
        self._positions_language = memory.driver.positions
        has_positions = self._positions_language is not None
        self._everything = WITH_POSITIONS if has_positions else EVERYTHING
        self._glance = self._everything - {FILLS, FUNDING}
        self.model = AccountModel(
            memory.name,
            trading.store,
            self._clock.time_ns,
            self._counters,
            self._alarms,
            self._announce,
            has_positions=has_positions,
            positions_told=self.events.positions_told,
            venue_now_ns=lambda: memory.offset.venue_time_ns(memory.clock.time_ns()),
        )
        self._late_ns = int((trading.language.rules.visible_after_s + LATE_S) * NS_PER_S)
        self._backoff = Backoff(memory.settings.reconnect, context.random)
        self._refused_keys = 0
        self._key_refused, self._wait_s = False, 0.0  # what the failures of the comparison under way ask for
        self._strays_s, self._strays_wait_s = 0.0, TICK_S
        self._run: Comparison | None = None
        self._questions: dict[int, _Asked] = {}
        self._wanted: frozenset[str] = self._everything
        self._not_before_s = 0.0
        self._began_s = self._glanced_s = self._stirred_s = float("-inf")
        self._doubt, self._doubt_ns = "", 0
        self._mark = ""
        self._agreed_ns: int | None = None
        self._heard_ns: int | None = None
        self._askers: list[tuple[int, Reply]] = []
        self._publishing = False
        self._listed: frozenset[Symbol] = frozenset()
        self._prices: dict[Symbol, Decimal] = {}
        self._prices_s = float("-inf")
        self.handlers: dict[type, Callable[[Any], Any]] = {
            Intended: self._on_intended,
            Ruled: lambda message: self._took(self.model.rule(message.client_id, message.verdict)),
            Noted: lambda message: self._took(self.model.jot(message.client_id, message.evidence)),
            Several: self._on_several,
            SettingsChanged: lambda _: self._want(frozenset({POSITIONS})),
            AccountFacts: self._on_facts,
            AccountDoubt: lambda message: self._doubts(message.reason),
            PrivateUp: self._on_up,
            GetOpenOrders: lambda ask: self._fresh(self.model.open_orders(ask.symbol, ask.external)),
            GetOrder: lambda ask: self._fresh(_order(self.model.find(ask.client_id))),
            GetOrderByVenueId: lambda ask: self._fresh(_order(self.model.find_by_venue_id(ask.symbol, ask.venue_id))),
            GetOrderHistory: lambda ask: self._fresh(self.model.history(ask.symbol, ask.since_ns)),
            GetFills: lambda ask: self._fresh(self.model.fills(ask.symbol, ask.since_ns)),
            GetBalances: lambda _: self._fresh({k: v for k, v in self._balances().items() if v.total or v.locked}),
            GetBalance: self._on_balance,
            GetPositions: self._on_positions,
            GetPosition: self._on_position,
            GetFundingPayments: self._on_funding,
            ExplainOrder: lambda ask: self._fresh(self.model.explain(ask.client_id)),
            CompareAccount: self._on_compare,
            _Tick: lambda _: self._on_tick(),
            _Publish: lambda _: self._publish(),
            _Answered: self._on_answered,
        }

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Read the store, hand over what an earlier incarnation left, and begin to compare."""
        self.model.load()
        self.events.recover(self._context.is_current)
        self._doubts("the state actor has just started")
        self._context.call_every(TICK_S, _Tick())
        self._publish()

    def on_instruments(self) -> None:
        """The instrument list came: without one nothing can be asked. Of what is new on it nothing could be read before."""
        listed = frozenset(self._memory.instruments or ())
        came, self._listed = listed - self._listed if self._listed else frozenset(), self._listed | listed
        if came:
            self._doubts(f"{len(came)} instruments came to the list, {min(map(str, came))} first")
        self._look()

    def _on_tick(self) -> None:
        self.model.load()
        self.model.write_again()
        self._end_overdue()
        if self._trading.doubt != self._mark:
            self._doubts(self._trading.doubt)
        self._look()
        self._publish()  # prices age without anything happening to the account

    # ------------------------------------------------------------ what comes in

    def _announce(self, events: tuple[Event, ...]) -> None:
        if self._context.is_current():
            self.events.prepare(events)

    def _on_several(self, message: Several) -> None:
        for client_id, together in groupby(message.messages, _noted_order):
            if client_id:  # lines of one diary, written down at once
                self._took(self.model.jot(client_id, *(noted.evidence for noted in together)))
            else:
                for each in together:
                    self.handlers[type(each)](each)

    def _on_intended(self, message: Intended) -> None:
        self._stirred_s = self._clock.monotonic_s()
        self._took(self.model.intend(message.intent))

    def _on_facts(self, message: AccountFacts) -> None:
        self._heard_ns, self._stirred_s = self._clock.time_ns(), self._clock.monotonic_s()
        for fact in message.facts:
            self._took(self.model.take(called(fact, self._memory.name), message.source, message.recovered))

    def _took(self, taken: Taken) -> None:
        self._warn(taken.events)
        self.events.deliver(self._context.is_current)
        for report in taken.noticed:
            self._notice(report)
        if taken.doubt:
            self._doubts(taken.doubt)
        if taken.strange or taken.moved or taken.paid:
            self._want(frozenset({BALANCES if taken.moved else FUNDING if taken.paid else STRAYS}))
        self._publish_soon()

    def _warn(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, Alarm):
                self._counters.add("account.alarms")
                self._alarms.report(f"order: {event.kind.value}", f"{event.client_id}: {event.text}")

    def _notice(self, report: Any) -> None:
        try:
            self._context.sibling("orders").tell(Noticed(report))
        except (pykka.ActorDeadError, LookupError):  # it asks the venue itself when it is back
            self._counters.add("account.notices_lost")

    def _on_up(self, message: PrivateUp) -> None:
        self._refused_keys = 0
        self._backoff.reset()
        self._not_before_s = 0.0
        self._doubts("the private session has just come up")

    def _doubts(self, reason: str) -> None:
        """Something may have been missed until now."""
        self._counters.add("account.doubts")
        self._doubt, self._doubt_ns = reason or "something may have been missed", self._clock.time_ns()
        self._mark = self._trading.doubt = f"being compared: {self._doubt}"
        self._want(self._everything)

    # ------------------------------------------------------------ comparing

    def _want(self, parts: frozenset[str]) -> None:
        """Compare these as soon as that may begin."""
        self._wanted |= parts
        self._look()

    def _look(self) -> None:
        """Begin a comparison when one is due and may begin."""
        instruments = self._memory.instruments
        if self._run is not None or instruments is None or not self.model.is_loaded:
            return
        now_s, now_ns = self._clock.monotonic_s(), self._clock.time_ns()
        if now_s < self._not_before_s:
            return
        every_s = EVERY_S if self._trading.is_followed else EVERY_DOWN_S
        if now_s - self._began_s >= every_s or (self._doubt and now_ns >= self._doubt_ns + self._late_ns):
            self._wanted |= self._everything
        elif now_s - self._glanced_s >= GLANCE_EVERY_S and self._is_busy(now_s):
            self._wanted |= self._glance
        if self.model.parked and now_s >= self._strays_s:
            self._wanted |= {STRAYS}
        parts, self._wanted = self._wanted, frozenset()
        if not parts:
            return
        self._not_before_s = now_s + APART_S
        self._key_refused, self._wait_s = False, 0.0
        if parts >= self._everything:
            self._began_s = now_s
        if parts >= self._glance:
            self._glanced_s = now_s
        venue_ms = self._trading.venue_ms()
        self._run = Comparison(
            self.model,
            self._trading.language,
            instruments,
            parts,
            started_ns=now_ns,
            venue_ns=now_ns if venue_ms is None else venue_ms * NS_PER_MS,
            late_ns=self._late_ns,
            auth=self._trading.auth(),
            positions=self._positions_language,
        )
        self._go_on()

    def _is_busy(self, now_s: float) -> bool:
        """Whether the venue may be sending events: of open orders, of positions, or of what happened just now."""
        return now_s - self._stirred_s < BUSY_FOR_S or self.model.is_exposed

    def _go_on(self) -> None:
        run = self._run
        while run is not None and (question := run.next()) is not None:
            self._send(run, question)
        if run is not None and run.is_over:
            self._finish(run)

    def _send(self, run: Comparison, question: Question) -> None:
        number, trading = next(self._trading.numbers), self._trading
        ref, is_current = self._ref, self._context.is_current
        timeout_s = self._memory.settings.request_timeout_s
        asked = self._questions[number] = _Asked(run, question, self._clock.monotonic_s() + 2 * timeout_s)
        self._counters.add("account.questions")

        def build() -> HttpRequest:  # on the REST actor's thread
            asked.request = run.request(question, trading.auth(), trading.now_ms())
            return asked.request

        def reply(answer: RawAnswer) -> None:  # on a worker thread
            if is_current():
                post(ref, _Answered(number, answer))

        try:
            self._context.sibling("rest").tell(SignedFetch(build, Priority.READ, timeout_s, False, reply))
        except (pykka.ActorDeadError, LookupError) as gone:
            post(ref, _Answered(number, RawAnswer(None, VenueUnavailable(f"nobody to ask: {gone}"), sent=False)))

    def _on_answered(self, message: _Answered) -> None:
        asked = self._questions.pop(message.number, None)
        if asked is None:
            return
        run, question = asked.run, asked.question
        answer = message.answer
        try:
            if answer.response is None:
                error = answer.error or VenueUnavailable("no answer came, and no reason")
                run.fail(question, error)
                self._on_failed(error)
            else:
                assert asked.request is not None
                run.answer(question, asked.request, answer.response)
                self._heard_ns = answer.response.received_ns
        except ConnectorError as error:
            self._on_failed(error)
        self._go_on()

    def _on_failed(self, error: ConnectorError) -> None:
        self._counters.add("account.questions_failed")
        self._alarms.report(f"an account question failed: {type(error).__name__}", str(error))
        self._key_refused = self._key_refused or isinstance(error, AuthenticationFailed)
        self._wait_s = max(self._wait_s, getattr(error, "retry_after_s", None) or 0.0)

    def _end_overdue(self) -> None:
        """Answers that never came: the REST actor was restarted meanwhile, or the venue is silent."""
        now_s = self._clock.monotonic_s()
        for number, asked in list(self._questions.items()):
            if now_s >= asked.deadline_s:
                late = VenueUnavailable("no answer came in time; the question is asked again.")
                self._on_answered(_Answered(number, RawAnswer(None, late, sent=True)))

    def _finish(self, run: Comparison) -> None:
        self._run = None
        events, reports = run.finish()
        self._warn(events)
        self._counters.add("account.corrections", len(events))
        self._counters.add("account.fills_recovered", sum(isinstance(event, Fill) for event in events))
        self.events.deliver(self._context.is_current)
        for report in reports:
            self._notice(report)
        if run.failures:
            self._counters.add("account.reconciliations_incomplete")
            self._wanted |= run.parts
            delay_s = max(APART_S, self._backoff.after_failure(None), self._wait_s)
            if self._key_refused:
                delay_s = min(DEAD_KEY_MAX_S, DEAD_KEY_FIRST_S * 2.0**self._refused_keys)
                self._refused_keys += 1
            self._not_before_s = self._clock.monotonic_s() + delay_s
        else:
            self._backoff.reset()
            self._refused_keys = 0
            if run.parts >= self._everything:
                self._agree(run)
        if run.parts >= self._everything:
            self._answer_askers(run)
        if run.parts >= self._glance and not run.parts >= self._everything and (events or run.lacks_fills):
            self._counters.add("account.glances_that_found")
            self._wanted |= self._everything
        elif any(isinstance(event, Position) for event in events):  # the fills behind them were missed too
            self._wanted |= {FILLS}
        self._strays_wait_s = min(EVERY_S, 2 * self._strays_wait_s) if self.model.parked else TICK_S
        self._strays_s = self._clock.monotonic_s() + self._strays_wait_s
        self._publish_soon()

    def _agree(self, run: Comparison) -> None:
        self._counters.add("account.reconciliations")
        self._agreed_ns = run.started_ns
        if self._doubt and run.started_ns >= self._doubt_ns + self._late_ns:
            self._doubt = ""
            if self._trading.doubt == self._mark:
                self._trading.doubt = self._mark = ""

    def _on_compare(self, message: CompareAccount) -> None:
        self._askers.append((self._clock.time_ns(), self._context.defer_reply()))
        self._not_before_s = 0.0
        self._want(self._everything)

    def _answer_askers(self, run: Comparison) -> None:
        waiting, self._askers = self._askers, []
        for asked_ns, reply in waiting:
            if run.started_ns >= asked_ns:
                reply.set(self.freshness())
            else:
                self._askers.append((asked_ns, reply))
                self._wanted = self._everything

    # ------------------------------------------------------------ what is handed out

    def freshness(self) -> Freshness:
        """Whether what is known of the account may be wrong by now, and how old it is."""
        now_ns = self._clock.time_ns()
        last_ns = max((ns for ns in (self._heard_ns, self._agreed_ns) if ns is not None), default=None)
        age_s = None if last_ns is None else max(0.0, (now_ns - last_ns) / NS_PER_S)
        if not self.model.is_loaded:
            reason = "the store of orders could not be read yet"
        elif not self._trading.is_followed:
            reason = "the private session is down"
        else:
            reason = self._doubt
        return Freshness(bool(reason), age_s, reason)

    def _fresh(self, value: Any) -> tuple[Any, Freshness]:
        return value, self.freshness()

    def _balances(self) -> Mapping[str, Balance]:
        if self.model.balances is None or not self.model.balances_complete:
            raise NotConnected(f"{self._memory.name} has not told the balances yet; they are being asked for.")
        return self.model.balances

    def _on_balance(self, ask: GetBalance) -> tuple[Balance, Freshness]:
        found = self._balances().get(ask.asset)
        if found is None:
            found = Balance(self._memory.name, ask.asset, None, self._agreed_ns or 0, ZERO, ZERO)
        return found, self.freshness()

    def _on_positions(self, ask: GetPositions) -> tuple[tuple[Position, ...], Freshness]:
        self._require_positions(self.model.positions.is_complete, "positions")
        return self._fresh(self.model.positions.open(ask.symbol))

    def _on_position(self, ask: GetPosition) -> tuple[Position, Freshness]:
        self._require_positions(self.model.positions.is_complete, "positions")
        return self._fresh(self.model.position(ask.symbol, ask.side))

    def _on_funding(self, ask: GetFundingPayments) -> tuple[tuple[FundingPayment, ...], Freshness]:
        self._require_positions(self.model.funding.read_ns is not None, "funding payments")
        return self._fresh(self.model.funding.since(ask.symbol, ask.since_ns))

    def _require_positions(self, is_told: bool, what: str) -> None:
        if not self.model.has_positions:
            raise Unsupported(f"{self._memory.name} trades spot: there are balances, and no {what}.")
        if not is_told:
            raise NotConnected(f"{self._memory.name} has not told the {what} yet; they are being asked for.")

    def _publish_soon(self) -> None:
        """Show the change when the messages that wait by now are handled: many changes make one picture."""
        if not self._publishing:
            self._publishing = True
            try:
                self._ref.tell(_Publish())
            except pykka.ActorDeadError:
                self._publish()

    def _publish(self) -> None:
        self._publishing = False
        trading = self._trading
        if self._context.is_current():
            now_s = self._clock.monotonic_s()
            if now_s >= self._prices_s + PRICES_FOR_S:
                self._prices, self._prices_s = reference_prices(self._memory), now_s
            trading.view = self.model.view(
                self._clock.time_ns(), trading.killed, self._prices, self._memory.instruments
            )

    def __repr__(self) -> str:
        return f"<AccountSide {self.model!r} {self.events!r} {self._doubt or 'in agreement'}>"


def _noted_order(message: Any) -> str:
    return message.client_id if type(message) is Noted else ""


def _order(record: Any) -> Any:
    return None if record is None else record.order


def reference_prices(memory: VenueMemory) -> dict[Symbol, Decimal]:
    """A price per subscribed symbol: the middle of the book where there is one, else the last trade, else a ticker's or the mark
    price. Stale ones are left out.

    Any thread; reads last values only.
    """
    found: dict[Symbol, tuple[int, Decimal]] = {}
    for feed in memory.feeds():
        if feed.freshness().stale:
            continue
        value: Any = feed.last
        if isinstance(feed, BookFeed):
            book: LiveBook = feed.book
            with suppress(BookNotValid):
                value = book.best()
        rank, price = 0, ZERO
        if isinstance(value, BookTicker) and value.bid > 0 and value.ask > 0:
            rank, price = 3, average(total((value.bid, value.ask)), Decimal(2))
        elif isinstance(value, Trade | AggTrade):
            rank, price = 2, value.price
        elif isinstance(value, Ticker):
            rank, price = 1, value.last
        elif isinstance(value, MarkPrice):
            rank, price = 1, value.mark
        if price > 0 and rank > found.get(feed.topic.symbol, (0, ZERO))[0]:
            found[feed.topic.symbol] = rank, price
    return {symbol: price for symbol, (_, price) in found.items()}
