"""The order-command actor of one venue: the only writer of intentions.

A command goes one way: checked against the instrument's rules, asked of the risk hooks, journalled with its client id, let
through by the request budgets, sent (over the session when it is up, else by REST, never both), and followed until the venue has
spoken. An order list is one request by REST; each of its orders is then followed by itself. While the venue's orders circuit is
open (`venue.health`) new orders and amends are refused here; cancels never are. What a command comes to is decided in
`orders.outcomes`; this actor asks, waits and sends as told. An answer that may be wrong leaves the command *unknown*: the asker
hears so at once, and questions go on until the venue's word settles it.

Settings of positions (leverage, modes) are one request each, safe to repeat, answered with None or the error.

It never edits the read model: what venues say goes to the state actor as facts. It never sends an order a second time, but for
one whose timestamp the venue refused. Nothing here blocks, apart from user-made risk hooks, for 100 ms at most.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from typing import Any

import msgspec

from connector.domain.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Configure,
    Evidence,
    OrderOutcome,
    OutcomeKind,
    PlaceBatch,
    PlaceOrder,
    PlaceOrderList,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
)
from connector.domain.contracts import ordered_base_units
from connector.domain.facts import AccountFact, OrderReport
from connector.domain.instruments import Instrument
from connector.domain.orders import Order, OrderStatus
from connector.domain.symbols import Symbol
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.trading import SessionRequest
from connector.errors import (
    Banned,
    ClockRejected,
    ConnectorError,
    InvalidRequest,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    RetryLater,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)
from connector.orders import risk
from connector.orders.filters import check, check_amend
from connector.orders.ids import ClientIds, check_client_id
from connector.orders.lifecycle import IntentRecord, OrderRecord, Verdict, apply_report, new_record, record_of_report
from connector.orders.outcomes import (
    NEVER_ARRIVED,
    Accepted,
    Ask,
    Asked,
    CancelAgain,
    CommandKind,
    DuplicateId,
    Lost,
    Moment,
    NotFound,
    NotInFills,
    NotOpen,
    NotSent,
    Pending,
    Question,
    QuestionFailed,
    Reachable,
    Received,
    Refused,
    Seen,
    SettledAs,
    Wanted,
    decide,
    learn,
)
from connector.orders.risk import KillSwitch, RiskHook, RiskRefused, RiskView
from connector.supervision import Reply, StableRef, SupervisedActor
from connector.throttle import Grant, Priority
from connector.venue.health import Circuit
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
from connector.venue.session import AccountFacts, SessionLost

__all__ = ["OrderCommandActor", "ReleaseKillSwitch", "ThrowKillSwitch"]

HOOK_WITHIN_S = 0.1
ANSWER_WITHIN_S = 5.0
"""How long an answer to an order is waited for before the order is told to be unknown."""
BUDGET_WITHIN_S = 2.0
"""How long a command may wait for the request budgets; then it is refused, and nothing was sent."""
RESEND_AFTER_S = 0.5
INSIST_FOR_S = 60.0
"""How long cancels of all orders are tried to be sent: there may be more of them than the venue takes in a moment."""
KEPT_NEVER = KEPT_AMENDED = 1_000
RECEIPT_PATIENCE_S = 3.0
"""How long an order of which the venue told only the receipt may take to show up before it is told to be unknown."""
UNLISTED_EVERY_S = 5.0
"""How often an order of an earlier process is tried again to be asked for, while its symbol is not on the list."""
PATIENCE_S = 1.0
"""How long a cancel that the venue answered with "not open" may take to find out what became of the order."""

_ORDERS = (PlaceOrder, CancelOrder, AmendOrder)


class ThrowKillSwitch(msgspec.Struct, frozen=True):
    """Refuse every new order from now on and cancel all of ours. Answer: tuple[OrderOutcome, ...] of the cancels."""


class ReleaseKillSwitch(msgspec.Struct, frozen=True):
    """Let new orders pass again. Answer: None."""


class _Answered(msgspec.Struct, frozen=True):
    """From a worker or reader thread: how the request of a command went.

    Attributes:
        failure: instead of a response; `sent` False: certain that nothing left.
    """

    number: int
    response: HttpResponse | None
    failure: str
    sent: bool


class _Told(msgspec.Struct, frozen=True):
    """From a worker thread: the answer to a question about a command."""

    number: int
    question: Question
    asked: Asked
    answer: RawAnswer
    request: HttpRequest | None = None


class _Again(msgspec.Struct, frozen=True):
    """To itself: send, or try to: a wait is over."""

    number: int


class _Look(msgspec.Struct, frozen=True):
    """To itself: decide anew about the commands whose time has come, unless an earlier look was arranged meanwhile."""

    due_s: float


class _Configured(msgspec.Struct, frozen=True):
    """From a worker thread: how the request for a setting went."""

    number: int
    answer: RawAnswer


class _Resume(msgspec.Struct, frozen=True):
    """To itself: take up what an earlier incarnation, or process, left unknown."""


class _Group:
    """One ask for several commands."""

    __slots__ = ("outcomes", "reply")

    def __init__(self, reply: Reply, size: int) -> None:
        self.reply = reply
        self.outcomes: list[OrderOutcome | None] = [None] * size

    def put(self, place: int, outcome: OrderOutcome) -> None:
        self.outcomes[place] = outcome
        if None not in self.outcomes:
            self.reply.set(tuple(self.outcomes))


class _Open:
    """One command on its way, or unknown. `current`: what is known of the order it is about."""

    # One of these is made before each first byte: what most never change stays on the class.
    pending: Pending | None = None
    wanted: Wanted | None = None
    grant: Grant | None = None
    asking = clock_retried = by_rest = False
    resending = False  # it will be sent once more, in a moment
    unwritten = False  # it is in the journal, and its diary does not say so yet
    look_s = float("inf")
    patient_until_s = insist_until_s = float("-inf")

    def __init__(
        self,
        number: int,
        kind: CommandKind,
        command: PlaceOrder | CancelOrder | AmendOrder,
        client_id: str,
        instrument: Instrument,
        intent: IntentRecord,
        answer: Callable[[OrderOutcome], None] | None,
        by_s: float,
        current: Order | None,
    ) -> None:
        self.number, self.kind, self.command, self.client_id = number, kind, command, client_id
        self.instrument, self.intent, self.answer, self.by_s = instrument, intent, answer, by_s
        self._current = current
        self.evidence: list[Evidence] = []

    @property
    def current(self) -> Order:
        if self._current is None:  # of a new order, when somebody looks: not before its first byte
            self._current = new_record(self.intent).order
        return self._current

    @current.setter
    def current(self, order: Order) -> None:
        self._current = order


class _List:
    """One request for several orders. Its answer is about all of them, also of those that were settled by another way before."""

    __slots__ = ("by_s", "clock_retried", "command", "number", "orders")

    def __init__(self, number: int, command: PlaceOrderList, orders: tuple[_Open, ...]) -> None:
        self.number, self.command, self.orders = number, command, orders
        self.by_s = orders[0].by_s
        self.clock_retried = False


class OrderCommandActor(SupervisedActor):
    """Takes `domain.commands` by ask, tell and proxy; answers with `OrderOutcome`."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory) -> None:
        super().__init__()
        self._memory, self._trading, self._clock = memory, memory.trading, memory.clock
        self._opens: dict[int, _Open] = {}
        self._lists: dict[int, _List] = {}  # sent, or about to be, and not answered
        self._by_client_id: dict[str, list[int]] = {}
        self._never: dict[str, None] = {}  # orders that lately turned out not to exist
        self._amended: dict[str, OrderReport] = {}  # orders as the last amend of late left them
        self._configuring: dict[int, tuple[Configure, Reply]] = {}
        self._number = 0
        self._numbers = count(1) if self._trading is None else self._trading.numbers
        self._looks: list[tuple[float, int]] = []  # heap of (when, number); some of commands that have ended
        self._look_armed_s = float("inf")
        self._for_state: list[Any] = []  # what the step in hand has to tell
        self._state: StableRef | None = None
        self._charges: dict[
            tuple[type, bool], tuple[Charge, ...]
        ] = {}  # over the session, by command, and whether it tests
        self._hooks = _HookThread(self.context.spawn)
        self._ids: ClientIds | None = None
        if self._trading is not None:
            self._ids = ClientIds(self.context.random, self._trading.language.rules)

    def on_start(self) -> None:
        if self._trading is not None:
            self._resume()
            self._show_state()

    def on_stop(self) -> None:
        self._hooks.close()

    # ------------------------------------------------------------ messages

    def on_receive(self, message: Any) -> Any:
        try:
            if isinstance(message, _ORDERS) and self._trading is not None:  # looked for first: its first byte waits
                self._begin(message, self.context.defer_reply().set)
            else:
                self._step(message)
        finally:  # also of a step that failed: the diary lacks nothing that was done
            self._show_state()

    def _step(self, message: Any) -> None:
        if isinstance(message, _Answered):
            self._on_answered(message)
        elif isinstance(message, Noticed):
            self._on_noticed(message.report)
        elif isinstance(message, _Told):
            self._on_told(message)
        elif isinstance(message, _Look):
            self._on_looks(message)
        elif isinstance(message, _Again):
            bundle = self._lists.get(message.number)
            if bundle is not None:
                self._send_list(bundle)
            else:
                self._with(message.number, self._send)
        elif isinstance(message, _Resume):
            self._resume()
        elif isinstance(message, _Configured):
            self._on_configured(message)
        elif isinstance(message, Reachable):
            for order in tuple(self._opens.values()):
                if order.pending is not None and order.pending.failing:
                    self._learn(order, message)
        else:
            self._on_command(message)

    def take(self, command: Any) -> None:
        """A command by proxy: `venue.orders.proxy().take(PlaceOrder(…)).get(timeout=10)` is its answer, as of an ask."""
        try:
            self._on_command(command)
        finally:
            self._show_state()

    def _tell_state(self, message: Any) -> None:
        """At the end of this step, together with all else it comes to: nothing here waits for the state actor."""
        self._for_state.append(message)

    def _show_state(self) -> None:
        messages = self._for_state
        if messages:
            self._for_state = []
            if self._state is None:
                self._state = self.context.sibling("state")
            self._state.tell(messages[0] if len(messages) == 1 else Several(tuple(messages)))

    def _with(self, number: int, do: Callable[[_Open], None]) -> None:
        order = self._opens.get(number)
        if order is not None:
            do(order)

    def _on_command(self, command: Any) -> None:
        if self._trading is None:
            raise Unsupported(
                f"{self._memory.name}: {type(command).__name__} was refused and nothing was sent: this venue has no credentials. "
                "Give VenueSettings(credentials=…) to trade."
            )
        if isinstance(command, _ORDERS):
            self._begin(command, self.context.defer_reply().set)
        elif isinstance(command, PlaceBatch):
            self._begin_all(command.orders)
        elif isinstance(command, CancelAll):
            self._begin_all(self._cancels(command.symbol), INSIST_FOR_S)
        elif isinstance(command, ThrowKillSwitch):
            self._trading.killed = True
            self._memory.counters.add("orders.kill_switch")
            self._begin_all(self._cancels(None), INSIST_FOR_S)
        elif isinstance(command, ReleaseKillSwitch):
            self._trading.killed = False
        elif isinstance(command, PlaceOrderList):
            self._begin_list(command)
        elif isinstance(command, SetLeverage | SetMarginMode | SetPositionMode):
            self._configure(command)
        else:
            raise TypeError(
                f"the order actor does not know {command!r}; it takes the commands of connector.domain.commands."
            )

    def _begin_all(self, commands: Sequence[PlaceOrder | CancelOrder], insist_s: float = 0.0) -> None:
        reply = self.context.defer_reply()
        if not commands:
            reply.set(())
            return
        group = _Group(reply, len(commands))
        for place, command in enumerate(commands):
            self._begin(command, lambda outcome, place=place: group.put(place, outcome), insist_s)  # type: ignore[misc]

    def _cancels(self, symbol: Symbol | None) -> tuple[CancelOrder, ...]:
        assert self._trading is not None
        return tuple(
            CancelOrder(symbol=record.symbol, client_id=record.client_id)
            for record in self._trading.store.open_orders()
            if symbol is None or record.symbol == symbol
        )

    # ------------------------------------------------------------ from command to journal

    def _begin(
        self,
        command: PlaceOrder | CancelOrder | AmendOrder,
        answer: Callable[[OrderOutcome], None],
        insist_s: float = 0.0,
    ) -> None:
        """Check, ask the hooks, journal, send. Whatever refuses it here is its outcome; nothing was sent then."""
        try:
            if isinstance(command, PlaceOrder):
                self._place(command, answer)
            else:
                self._change(command, answer, insist_s)
        except ConnectorError as refused:
            answer(self._refused_here(command.client_id, refused))

    def _refused_here(self, client_id: str | None, refused: ConnectorError) -> OrderOutcome:
        self._memory.counters.add("orders.refused_here")
        code = getattr(refused, "hook", None) or getattr(refused, "filter", None) or type(refused).__name__
        text = str(refused)
        seen = (Evidence(self._clock.time_ns(), "risk" if isinstance(refused, RiskRefused) else "command", text),)
        return OrderOutcome(OutcomeKind.REFUSED, client_id or "", None, str(code), text, seen)

    def _require_healthy(self) -> None:
        """While the venue fails at orders one is tried at a time; others are refused before they are journalled."""
        wait_s = self._memory.health.take(Circuit.ORDERS)
        if wait_s > 0.0:
            raise VenueUnavailable(
                f"nothing was sent: {self._memory.name} did not answer the last orders, and one is tried at a time. Try again in "
                f"{wait_s:.1f} s; cancels pass.",
                retry_after_s=wait_s,
            )

    def _place(self, command: PlaceOrder, answer: Callable[[OrderOutcome], None]) -> None:
        trading, instrument = self._trading, self._instrument(command.symbol)
        assert trading is not None and self._ids is not None
        check(command, instrument, trading.view.prices.get(command.symbol))
        if trading.hooks or trading.killed:
            self._ask_hooks(command)
        client_id = self._ids.make() if command.client_id is None else self._client_id(command)
        if not self._memory.health.is_calm:
            self._require_healthy()
        order = self._open(CommandKind.PLACE, command, client_id, instrument, answer)
        if not command.test:
            self._journal(order)
        try:
            self._send(order)
        finally:
            self._begin_diary(order)

    def _client_id(self, command: PlaceOrder) -> str:
        assert self._trading is not None and self._ids is not None
        if command.client_id is None:
            return self._ids.make()
        check_client_id(command.client_id, self._trading.language.rules)
        if self._trading.store.order(command.client_id) is not None:
            raise InvalidRequest(
                f"client_id {command.client_id!r} was used before. Ids are never used twice; leave it None."
            )
        return command.client_id

    # ------------------------------------------------------------ order lists

    def _begin_list(self, command: PlaceOrderList) -> None:
        """All of its orders, or none: what is wrong with one refuses them all."""
        reply = self.context.defer_reply()
        try:
            self._place_list(command, reply)
        except ConnectorError as refused:
            reply.set(tuple(self._refused_here(order.client_id, refused) for order in command.orders))

    def _place_list(self, command: PlaceOrderList, reply: Reply) -> None:
        trading = self._trading
        assert trading is not None
        rules = trading.language.rules
        if command.kind.value not in rules.lists:
            raise Unsupported(f"{self._memory.name} takes no {command.kind.name} lists; nothing was sent.")
        if len({order.symbol for order in command.orders}) != 1:
            raise InvalidRequest("the orders of a list are of one symbol; nothing was sent.")
        instrument = self._instrument(command.orders[0].symbol)
        for order in command.orders:
            check(order, instrument, trading.view.prices.get(order.symbol))
        self._ask_hooks(command)
        client_ids = [self._client_id(order) for order in command.orders]
        if len(set(client_ids)) < len(client_ids):
            raise InvalidRequest("two orders of the list have the same client_id; leave them None.")
        list_id = self._list_id(command)
        command = msgspec.structs.replace(command, client_id=list_id)
        # The driver knows what goes together in a list. This request is never sent: it has to be built without complaint.
        trading.language.place_list(command, client_ids, instrument, trading.auth(), 1)
        self._require_healthy()
        group = _Group(reply, len(command.orders))
        opens = tuple(
            self._open(
                CommandKind.PLACE,
                order,
                client_id,
                instrument,
                lambda outcome, place=place: group.put(place, outcome),  # type: ignore[misc]
                list_id,
            )
            for place, (order, client_id) in enumerate(zip(command.orders, client_ids, strict=True))
        )
        self._journal(*opens)
        self._number = next(self._numbers)
        self._lists = {number: each for number, each in self._lists.items() if self._unsettled(each)}
        bundle = self._lists[self._number] = _List(self._number, command, opens)
        try:
            self._send_list(bundle)
        finally:
            for each in opens:
                self._begin_diary(each)

    def _list_id(self, command: PlaceOrderList) -> str:
        assert self._trading is not None and self._ids is not None
        list_id = command.client_id
        if list_id is None:
            return self._ids.make()
        check_client_id(list_id, self._trading.language.rules)
        for record in self._trading.store.open_orders():
            if record.intent is not None and record.intent.list_id == list_id:
                raise InvalidRequest(f"a list {list_id!r} is open; leave the list's client_id None to have one made.")
        return list_id

    def _send_list(self, bundle: _List) -> None:
        trading = self._trading
        assert trading is not None
        venue_ms = trading.venue_ms()
        if venue_ms is None:
            trading.on_clock_doubt()
            self._wait_for_budget(bundle, 0.2, "the venue's clock is not known yet")
            return
        command, instrument = bundle.command, bundle.orders[0].instrument
        client_ids = [order.client_id for order in bundle.orders]

        def build() -> HttpRequest:  # on the REST actor's thread, when its turn comes
            self._require_alive(CommandKind.PLACE)
            return trading.language.place_list(command, client_ids, instrument, trading.auth(), trading.now_ms())

        ref, number = self.actor_ref, bundle.number

        def reply(answer: RawAnswer) -> None:  # on a worker thread
            post(ref, _Answered(number, answer.response, str(answer.error or ""), answer.sent))

        for order in self._unsettled(bundle):
            self._mark_sent(order, venue_ms + int(ANSWER_WITHIN_S * 1_000))
            self._look_in(order, ANSWER_WITHIN_S + 1.0)
            self._note(order, "sent", f"handed to REST in list {command.client_id}")
        self.context.sibling("rest").tell(SignedFetch(build, Priority.PLACE, ANSWER_WITHIN_S, True, reply))

    def _on_list_answered(self, bundle: _List, message: _Answered) -> None:
        assert self._trading is not None
        language = self._trading.language
        del self._lists[bundle.number]
        if message.response is None:
            self._learn_all(bundle, Lost(message.failure) if message.sent else NotSent(message.failure))
            return
        failure = language.failure(message.response, write=True)
        if isinstance(failure, ClockRejected) and not bundle.clock_retried:
            bundle.clock_retried = True
            self._lists[bundle.number] = bundle
            bundle.by_s = self._restamp(failure)
            self.context.call_later(RESEND_AFTER_S, _Again(bundle.number))
        elif isinstance(failure, VenueRejected) and any(t in failure.reason for t in language.duplicate_id_texts):
            # It does not say which of the ids: each order is asked for.
            self._learn_all(bundle, Lost(f"the venue says that an id of the list is in use: {failure.reason}"))
        elif failure is not None:
            for order in self._unsettled(bundle):
                order.clock_retried = bundle.clock_retried
                self._on_refused(order, failure)
        else:
            self._on_list_taken(bundle, message.response)

    def _on_list_taken(self, bundle: _List, response: HttpResponse) -> None:
        assert self._trading is not None
        try:
            told, reports = self._trading.language.read_list(response, bundle.orders[0].instrument)
        except ConnectorError as unreadable:
            self._memory.counters.add("orders.answers_unreadable")
            self._learn_all(bundle, Lost(f"the answer cannot be read: {unreadable}"))
            return
        self._tell_state(AccountFacts((*reports, told), "answer"))
        by_client_id = {report.client_id: report for report in reports}
        for order in self._unsettled(bundle):
            report = by_client_id.get(order.client_id)
            self._learn(order, Lost("the answer does not name this order") if report is None else Accepted(report))

    def _learn_all(self, bundle: _List, fact: Any) -> None:
        for order in self._unsettled(bundle):
            self._learn(order, fact)

    def _unsettled(self, bundle: _List) -> list[_Open]:
        return [order for order in bundle.orders if order.number in self._opens]

    # ------------------------------------------------------------ orders that are there

    def _change(
        self, command: CancelOrder | AmendOrder, answer: Callable[[OrderOutcome], None], insist_s: float
    ) -> None:
        trading, instrument = self._trading, self._instrument(command.symbol)
        assert trading is not None
        record = trading.store.order(command.client_id)
        if record is None or record.intent is None or record.symbol != command.symbol:
            raise InvalidRequest(
                f"{command.symbol} order {command.client_id!r} is not ours. Orders of other programs are never touched."
            )
        if record.verdict is not None or command.client_id in self._never:  # asking about it would never end
            raise InvalidRequest(f"{command.symbol} order {command.client_id!r} is not at the venue and never was.")
        kind = CommandKind.CANCEL
        amended = self._amended.get(command.client_id)
        if amended is not None:  # what the last amend made of it may not be in the store yet
            record, _ = apply_report(record, amended)
        assert record.intent is not None
        if isinstance(command, AmendOrder):
            kind = CommandKind.AMEND
            assert record.intent.place is not None
            self._require_known(command)
            check_amend(command, record.intent.place, instrument, record.order, trading.language.rules.amends)
            self._ask_hooks(command)
            self._require_healthy()
        order = self._open(kind, command, command.client_id, instrument, answer, current=record.order)
        if isinstance(command, AmendOrder):
            order.wanted = Wanted.of(command, record.order, instrument)
        if insist_s:
            order.by_s = order.insist_until_s = self._clock.monotonic_s() + insist_s
        self._journal(order)
        try:
            self._send(order)
        finally:
            self._begin_diary(order)

    def _require_known(self, command: AmendOrder) -> None:
        """Some venues want all of an order each time: what an amend leaves must not be what another one is changing.

        Raises:
            InvalidRequest: it is.
        """
        for number in self._by_client_id.get(command.client_id, ()):
            other = self._opens[number].command
            if isinstance(other, AmendOrder) and (
                (command.quantity is None and other.quantity is not None)
                or (command.price is None and other.price is not None)
            ):
                raise InvalidRequest(
                    f"{command.symbol} order {command.client_id!r}: another amend on its way changes what this one leaves. "
                    "Give quantity and price both, or wait for its outcome. Nothing was sent."
                )

    def _open(
        self,
        kind: CommandKind,
        command: PlaceOrder | CancelOrder | AmendOrder,
        client_id: str,
        instrument: Instrument,
        answer: Callable[[OrderOutcome], None] | None,
        list_id: str | None = None,
        current: Order | None = None,
    ) -> _Open:
        assert self._trading is not None
        self._number = next(self._numbers)
        base_quantity = None
        if isinstance(command, PlaceOrder) and command.contracts is not None:
            base_quantity = ordered_base_units(command, instrument, self._trading.view.prices.get(command.symbol))
        intent = IntentRecord.of(
            command,
            venue=self._memory.name,
            client_id=client_id,
            at_ns=self._clock.time_ns(),
            recv_window_ms=self._trading.language.rules.recv_window_ms,
            list_id=list_id,
            base_quantity=base_quantity,
        )
        by_s = self._clock.monotonic_s() + BUDGET_WITHIN_S
        order = _Open(self._number, kind, command, client_id, instrument, intent, answer, by_s, current)
        self._opens[order.number] = order
        self._by_client_id.setdefault(client_id, []).append(order.number)
        return order

    def _journal(self, *orders: _Open) -> None:
        """Durable before the first byte leaves. A store that fails lets nothing pass."""
        assert self._trading is not None
        try:
            self._trading.store.append([order.intent for order in orders] if len(orders) > 1 else (orders[0].intent,))
        except ConnectorError:
            for order in orders:
                self._forget(order)
            if orders[0].kind is not CommandKind.CANCEL:
                self._memory.health.withdraw(Circuit.ORDERS)
            raise
        for order in orders:
            order.unwritten = True

    def _instrument(self, symbol: Symbol) -> Instrument:
        if self._memory.instruments is None:
            raise NotConnected(f"{self._memory.name} has not sent its instrument list yet; nothing was sent.")
        return self._memory.instruments.known(symbol)

    def _view(self) -> RiskView:
        """What hooks are shown: the account's view, and the orders on their way that it does not show yet."""
        assert self._trading is not None
        view = self._trading.view
        intents = [
            order.intent
            for order in self._opens.values()
            if order.kind is CommandKind.PLACE
            and order.client_id not in view.open_orders
            and not _is_test(order.command)
        ]
        sent = {intent.client_id: new_record(intent).order for intent in intents}
        return replace(
            view,
            time_ns=self._clock.time_ns(),
            killed=self._trading.killed,
            open_orders={**view.open_orders, **sent},
            placed_ns=(*view.placed_ns, *(intent.at_ns for intent in intents)),
        )

    def _ask_hooks(self, command: PlaceOrder | AmendOrder | PlaceOrderList) -> None:
        """Built-in hooks here, user-made ones on a thread of their own for at most 100 ms. Fails closed."""
        trading = self._trading
        assert trading is not None
        if not trading.hooks and not trading.killed:
            return  # nobody to ask: the kill switch, which is always asked first, is off
        view = self._view()
        risk.evaluate((KillSwitch(),), command, view)
        for hook in trading.hooks:
            if type(hook).__module__ == risk.__name__:
                risk.evaluate((hook,), command, view)
            elif not self._hooks.ask(hook, command, view):
                self._memory.counters.add("orders.risk_hooks_hung")
                self._hooks = _HookThread(self.context.spawn)
                raise RiskRefused(risk.hook_name(hook), f"it did not answer within {HOOK_WITHIN_S} s")

    # ------------------------------------------------------------ sending

    def _send(self, order: _Open) -> None:
        order.resending = False
        if order.pending is not None and order.pending.settled is not None:
            return
        assert self._trading is not None
        if self._trading.killed:
            try:
                self._require_alive(order.kind)
            except RiskRefused as killed:
                self._learn(order, NotSent(str(killed)))
                return
        if order.by_rest or not self._send_on_session(order):
            self._send_by_rest(order)

    def _require_alive(self, kind: CommandKind) -> None:
        """Orders and amends that waited for their turn are stopped by the kill switch, too; any thread.

        Raises:
            RiskRefused: it was thrown meanwhile.
        """
        assert self._trading is not None
        if self._trading.killed and kind is not CommandKind.CANCEL:
            raise RiskRefused(KillSwitch().name, "it was thrown while the order waited for its turn")

    def _send_on_session(self, order: _Open) -> bool:
        """True when it was sent, waits for its budget, or was refused. False: no session; certain that nothing left."""
        trading, now_s = self._trading, self._clock.monotonic_s()
        assert trading is not None
        language = trading.session_language
        if language is None or not trading.session.is_up:
            return False
        command, kind = order.command, order.kind

        def build(request_id: str) -> SessionRequest:
            auth, instrument = trading.auth(), order.instrument
            if isinstance(command, PlaceOrder):
                return language.place(request_id, command, order.client_id, instrument, auth, timestamp_ms)
            current = order.current
            if isinstance(command, CancelOrder):
                return language.cancel(request_id, command, current, instrument, auth, timestamp_ms)
            return language.amend(request_id, command, current, instrument, auth, timestamp_ms)

        sent_ns = self._clock.time_ns()
        try:
            timestamp_ms = trading.now_ms(sent_ns)
            call = command.__class__, kind is CommandKind.PLACE and _is_test(command)
            charges = self._charges.get(call)
            if charges is None:
                charges = self._charges[call] = build("0").charges
            grant = self._memory.ledger.try_grant(charges, _priority(kind), now_s)
        except Unsupported:  # over this connection; REST says whether it can be done at all
            return False
        except ConnectorError as refused:
            self._learn(order, NotSent(str(refused)))
            return True
        if isinstance(grant, float):
            self._wait_for_budget(order, grant)
            return True
        order.grant = grant
        ref, number, due_s = self.actor_ref, order.number, now_s + ANSWER_WITHIN_S

        def done(outcome: HttpResponse | SessionLost) -> None:  # on a reader thread
            lost = isinstance(outcome, SessionLost)
            circuit = Circuit.CANCELS if kind is CommandKind.CANCEL else Circuit.ORDERS
            if not isinstance(outcome, SessionLost):
                self._memory.health.heard(circuit, trading.language.failure(outcome, write=True))
            elif self._clock.monotonic_s() >= due_s:
                self._memory.health.heard(circuit, OutcomeUnknown(outcome.reason))
            else:  # a session that ended says nothing of the exchange: the next order goes by REST
                self._memory.health.withdraw(circuit)
            post(
                ref,
                _Answered(
                    number,
                    None if isinstance(outcome, SessionLost) else outcome,
                    outcome.reason if isinstance(outcome, SessionLost) else "",
                    True,
                ),
            )
            if lost:
                self._memory.counters.add("orders.answers_lost")

        try:
            trading.session.send(build, due_s, done)
        except (NotConnected, Unsupported):
            grant.settle()
            order.grant = None
            return False
        except ConnectorError as refused:  # its form: nothing left
            grant.settle()
            order.grant = None
            self._learn(order, NotSent(str(refused)))
            return True
        self._mark_sent(order, timestamp_ms, sent_ns)
        self._note(order, "sent", "sent over the session")
        return True

    def _send_by_rest(self, order: _Open) -> None:
        trading = self._trading
        assert trading is not None
        venue_ms = trading.venue_ms()
        if venue_ms is None:
            trading.on_clock_doubt()
            self._wait_for_budget(order, 0.2, "the venue's clock is not known yet")
            return
        command, instrument = order.command, order.instrument
        current = None if order.kind is CommandKind.PLACE else order.current

        def build() -> HttpRequest:  # on the REST actor's thread, when its turn comes
            self._require_alive(order.kind)
            language, auth, now_ms = trading.language, trading.auth(), trading.now_ms()
            if isinstance(command, PlaceOrder):
                return language.place(command, order.client_id, instrument, auth, now_ms)
            assert current is not None
            if isinstance(command, CancelOrder):
                return language.cancel(command, current, instrument, auth, now_ms)
            return language.amend(command, current, instrument, auth, now_ms)

        ref, number = self.actor_ref, order.number

        def reply(answer: RawAnswer) -> None:  # on a worker thread
            post(ref, _Answered(number, answer.response, str(answer.error or ""), answer.sent))

        # It is stamped at most so much later: the bound of when it can still arrive counts from there.
        self._mark_sent(order, venue_ms + int(ANSWER_WITHIN_S * 1_000))
        self.context.sibling("rest").tell(SignedFetch(build, _priority(order.kind), ANSWER_WITHIN_S, True, reply))
        self._look_in(order, ANSWER_WITHIN_S + 1.0)
        self._note(order, "sent", "handed to REST")

    def _wait_for_budget(self, order: _Open | _List, wait_s: float, why: str = "the request budget is spent") -> None:
        now_s = self._clock.monotonic_s()
        if now_s + wait_s > order.by_s:
            late = NotSent(f"{why}, and it would take longer than {BUDGET_WITHIN_S} s")
            if isinstance(order, _Open):
                self._learn(order, late)
            else:
                del self._lists[order.number]
                self._learn_all(order, late)
        else:
            self.context.call_later(wait_s, _Again(order.number))

    def _mark_sent(self, order: _Open, timestamp_ms: int, sent_ns: int | None = None) -> None:
        if sent_ns is None:
            sent_ns = self._clock.time_ns()
        self._memory.counters.add("orders.sent")
        if order.pending is not None and order.kind is CommandKind.CANCEL:
            order.pending = order.pending.sent_again(sent_ns=sent_ns)
            return
        order.pending = self._pending(order, sent_ns, timestamp_ms)

    def _pending(self, order: _Open, sent_ns: int, timestamp_ms: int) -> Pending:
        assert self._trading is not None
        rules = self._trading.language.rules
        return Pending.of(
            order.kind,
            order.client_id,
            sent_ns=sent_ns,
            timestamp_ms=timestamp_ms,
            recv_window_ms=rules.recv_window_ms,
            backend_s=rules.backend_s,
            visible_after_s=rules.visible_after_s,
            wanted=order.wanted,
        )

    # ------------------------------------------------------------ answers

    def _on_answered(self, message: _Answered) -> None:
        bundle = self._lists.get(message.number)
        if bundle is not None:
            self._on_list_answered(bundle, message)
            return
        order = self._opens.get(message.number)
        if order is None:
            return
        if message.response is None:
            if order.grant is not None and message.sent:
                order.grant.lose()
            elif order.grant is not None:
                order.grant.settle()
            if not message.sent and self._insists(order):
                return
            self._learn(order, Lost(message.failure) if message.sent else NotSent(message.failure))
            return
        trading, grant = self._trading, order.grant
        assert trading is not None
        failure = trading.language.failure(message.response, write=True)
        if grant is not None:  # it came over the session; REST heeds its own answers
            grant.settle(trading.language.used(message.response))
            order.grant = None
            if isinstance(failure, RateLimited | Banned):
                now_s = self._clock.monotonic_s()
                self._memory.ledger.penalize(failure, now_s, trading.spent(failure, grant.charges))
        if failure is not None:
            self._on_refused(order, failure)
            return
        try:
            self._on_taken(order, message.response)
        except ConnectorError as unreadable:
            self._memory.counters.add("orders.answers_unreadable")
            self._learn(order, Lost(f"the answer cannot be read: {unreadable}"))

    def _on_taken(self, order: _Open, response: HttpResponse) -> None:
        assert self._trading is not None
        language = self._trading.language
        others: list[AccountFact] = []
        report: OrderReport | None = None
        if isinstance(order.command, PlaceOrder):
            if order.command.test:
                self._learn(order, Accepted())
                return
            placed = language.read_placed(response, order.command, order.instrument)
            report, others = placed.report, [*placed.fills]
            self._saw(order, placed.venue_id)
        elif isinstance(order.command, CancelOrder):
            cancelled = language.read_cancelled(response, order.instrument, order.client_id)
            report, others = cancelled.report, [*cancelled.others]
        else:
            report = language.read_amended(response, order.instrument)
        if report is None and (language.rules.ack_is_receipt or order.kind is CommandKind.CANCEL):
            # What came of it is on its way by the private stream: worth a moment before telling "unknown".
            self._memory.counters.add("orders.receipts")
            order.patient_until_s = self._clock.monotonic_s() + RECEIPT_PATIENCE_S
            self._learn(order, Received(self._clock.time_ns()))
            return
        if report is not None:
            _require_own(order, report)
            self._tell_state(AccountFacts((report, *others), "answer"))
        self._learn(order, Accepted(report))

    def _insists(self, order: _Open) -> bool:
        """True when a request that certainly did nothing is sent again: a cancel that is to be had."""
        if self._clock.monotonic_s() >= order.insist_until_s:
            return False
        self._memory.counters.add("orders.insisted")
        self.context.call_later(RESEND_AFTER_S, _Again(order.number))
        return True

    def _saw(self, order: _Open, venue_id: str) -> None:
        if venue_id and venue_id != order.current.venue_id:
            order.current = msgspec.structs.replace(order.current, venue_id=venue_id)

    def _on_refused(self, order: _Open, failure: ConnectorError) -> None:
        assert self._trading is not None
        language = self._trading.language
        if isinstance(failure, OutcomeUnknown):
            self._learn(order, Lost(str(failure)))
        elif isinstance(failure, ClockRejected) and not order.clock_retried:
            order.clock_retried = True
            order.by_s = self._restamp(failure)
            self.context.call_later(RESEND_AFTER_S, _Again(order.number))
        elif isinstance(failure, VenueRejected) and any(t in failure.reason for t in language.duplicate_id_texts):
            self._learn(order, DuplicateId(failure.reason))
        elif (
            order.kind is not CommandKind.PLACE
            and isinstance(failure, VenueRejected)
            and failure.code in language.not_open_codes
        ):
            # The venue answered, and what became of the order is one question away: worth a moment before telling "unknown".
            order.patient_until_s = self._clock.monotonic_s() + PATIENCE_S
            self._learn(order, NotOpen(None))
        else:
            if isinstance(failure, NotConnected):
                self._trading.session.retire()
            if order.kind is CommandKind.CANCEL and isinstance(failure, NotConnected) and not order.by_rest:
                order.by_rest = (
                    True  # the session's far end is going away and did nothing; a cancel need not wait for another
                )
                self._send(order)
                return
            if isinstance(failure, RetryLater) and self._insists(order):
                return
            code = getattr(failure, "code", None) or type(failure).__name__
            self._learn(order, Refused(str(code), getattr(failure, "reason", None) or str(failure)))

    def _restamp(self, failure: ClockRejected) -> float:
        """The venue refused the timestamp: the same intent with a right one doubles nothing. Until when it may be sent."""
        assert self._trading is not None
        self._memory.counters.add("orders.restamped")
        self._trading.note_clock(failure)
        return self._clock.monotonic_s() + BUDGET_WITHIN_S

    def _on_noticed(self, report: OrderReport) -> None:
        """The venue reported one of ours by another way: that may settle what waits."""
        for number in tuple(self._by_client_id.get(report.client_id, ())):
            order = self._opens.get(number)
            if order is not None and order.pending is not None:
                self._saw(order, report.venue_id)
                self._learn(order, Seen(report))

    # ------------------------------------------------------------ questions

    def _learn(self, order: _Open, fact: Any) -> None:
        if order.pending is None:  # it never came to be sent
            order.pending = self._pending(order, self._clock.time_ns(), 0)
        if isinstance(fact, NotSent) and order.kind is not CommandKind.CANCEL:
            self._memory.health.withdraw(Circuit.ORDERS)
        before = order.pending
        order.pending = learn(before, fact)
        if order.pending is not before:
            self._note(order, _source(fact), _words(fact))
        self._decide(order, RESEND_AFTER_S if isinstance(fact, NotSent) else 0.0)

    def _on_looks(self, message: _Look) -> None:
        if message.due_s != self._look_armed_s:
            return
        self._look_armed_s = float("inf")
        now_s = max(self._clock.monotonic_s(), message.due_s)
        while self._looks:
            due_s, number = self._looks[0]
            order = self._opens.get(number)
            is_void = order is None or due_s != order.look_s
            if due_s > now_s and not is_void:
                break
            heappop(self._looks)
            if order is not None and not is_void:
                self._on_look(order)
        self._arm_look()

    def _on_look(self, order: _Open) -> None:
        pending = order.pending
        if pending is None:
            return
        order.look_s = float("inf")
        waited_s = (self._clock.time_ns() - pending.sent_ns) / 1e9
        if not pending.lost and pending.settled is None and waited_s > ANSWER_WITHIN_S:
            self._learn(order, Lost(f"no answer within {ANSWER_WITHIN_S} s"))
        else:
            self._decide(order)

    def _decide(self, order: _Open, resend_after_s: float = 0.0) -> None:
        """`resend_after_s`: at the earliest, where what was to be sent again could not be."""
        assert order.pending is not None
        decision = decide(order.pending, self._moment())
        if isinstance(decision, SettledAs):
            self._settle(order, decision)
            return
        patience_s = order.patient_until_s - self._clock.monotonic_s()
        if order.pending.lost and order.answer is not None and (patience_s <= 0.0 or order.pending.failing):
            self._memory.counters.add("orders.unknown")
            self._tell(order, OutcomeKind.UNKNOWN, "", order.pending.lost, None)
        if isinstance(decision, CancelAgain):
            if not order.resending:
                order.resending = True
                after_s = max(decision.after_s, resend_after_s)
                order.by_s = self._clock.monotonic_s() + after_s + BUDGET_WITHIN_S
                self.context.call_later(after_s, _Again(order.number))
            return
        after_s = decision.after_s if isinstance(decision, Ask) else decision.next_question_s
        if order.pending.lost and after_s <= 0.0 and not order.asking:
            self._ask(order, decision.question)
        elif not order.asking:
            self._look_in(order, max(0.02, after_s))
        if order.answer is not None and patience_s > 0.0:
            self._look_in(order, patience_s)

    def _look_in(self, order: _Open, after_s: float) -> None:
        due_s = self._clock.monotonic_s() + after_s
        if due_s < order.look_s:
            order.look_s = due_s
            heappush(self._looks, (due_s, order.number))
            self._arm_look()

    def _arm_look(self) -> None:
        """One timer for all: most commands have ended long before anybody would have looked at them."""
        if self._looks and self._looks[0][0] < self._look_armed_s:
            self._look_armed_s = due_s = self._looks[0][0]
            self.context.call_later(max(0.0, due_s - self._clock.monotonic_s()), _Look(due_s))

    def _moment(self) -> Moment:
        assert self._trading is not None
        return Moment(self._clock.time_ns(), self._trading.venue_ms())

    def _ask(self, order: _Open, question: Question, after: _Told | None = None) -> None:
        """Ask the venue; `after` is the page whose answer did not say, and the one after it is asked for."""
        trading = self._trading
        assert trading is not None
        order.asking = True
        self._memory.counters.add("orders.questions")
        asked = [Asked.at(self._moment()) if after is None else after.asked]
        made: list[HttpRequest] = []
        instrument, since_ns = order.instrument, order.intent.at_ns - 1_000_000_000

        def build() -> HttpRequest:  # on the REST actor's thread
            made[:] = [the_request()]
            return made[0]

        def the_request() -> HttpRequest:
            language, auth, now_ms = trading.language, trading.auth(), trading.now_ms()
            if after is not None and (page := self._more(after, now_ms)) is not None:
                return page
            asked[0] = Asked(self._clock.time_ns(), trading.venue_ms())
            if question is Question.ORDER:
                return language.order(order.client_id, None, instrument, auth, now_ms, order.current)
            if question is Question.OPEN_ORDERS:
                return language.open_orders(instrument, auth, now_ms)
            # Orders, not fills: they carry our client id, so an order that filled at once is found without knowing its number.
            return language.orders_since(instrument, since_ns, auth, now_ms)

        ref, number = self.actor_ref, order.number

        def reply(answer: RawAnswer) -> None:
            post(ref, _Told(number, question, asked[0], answer, made[0] if made else None))

        self.context.sibling("rest").tell(SignedFetch(build, Priority.PLACE, ANSWER_WITHIN_S, False, reply))
        self.context.call_later(2 * ANSWER_WITHIN_S, _Told(number, question, asked[0], _NO_ANSWER))

    def _on_told(self, message: _Told) -> None:
        order = self._opens.get(message.number)
        if order is None or not order.asking:
            return
        if message.answer is _NO_ANSWER and order.pending is not None:
            last_ns = order.pending.last_question_ns
            if last_ns is not None and last_ns >= message.asked.time_ns:
                return  # it was answered in time, and another question is on its way
        order.asking = False
        if message.answer.response is None:
            self._memory.counters.add("orders.questions_failed")
            self._learn(order, QuestionFailed(message.asked, str(message.answer.error or "no answer")))
            return
        try:
            fact = self._read(order, message.question, message.asked, message.answer.response)
            if not isinstance(fact, Seen) and self._more(message, 0) is not None:
                self._ask(order, message.question, message)
                return
        except ConnectorError as failed:
            self._memory.counters.add("orders.questions_failed")
            fact = QuestionFailed(message.asked, str(failed))
        self._learn(order, fact)

    def _more(self, told: _Told, now_ms: int) -> HttpRequest | None:
        """The page after this answer; only the last of them can say that something is not there."""
        assert self._trading is not None
        if told.request is None or told.answer.response is None:
            return None
        return self._trading.language.more(told.request, told.answer.response, self._trading.auth(), now_ms)

    def _read(self, order: _Open, question: Question, asked: Asked, response: HttpResponse) -> Any:
        assert self._trading is not None and self._memory.instruments is not None
        language = self._trading.language
        if question is Question.ORDER:
            report = language.read_order(response, order.instrument)
            if report is not None:
                _require_own(order, report)
            missing: Any = NotFound(asked)
        else:
            reports = language.read_orders(response, self._memory.instruments)
            report = next((each for each in reports if each.client_id == order.client_id), None)
            missing = NotOpen(asked) if question is Question.OPEN_ORDERS else NotInFills(asked)
        if report is None:
            return missing
        self._saw(order, report.venue_id)
        self._tell_state(AccountFacts((report,), "query"))
        return Seen(report, asked)

    # ------------------------------------------------------------ ends

    def _settle(self, order: _Open, settled: SettledAs) -> None:
        if order.grant is not None:  # the stream was quicker than the answer, which nobody will look at now
            order.grant.settle()
            order.grant = None
        self._memory.counters.add(f"orders.{settled.kind.value}")
        self._forget(order)
        if order.kind is CommandKind.AMEND and settled.report is not None:
            self._amended.pop(order.client_id, None)
            self._amended[order.client_id] = settled.report
            if len(self._amended) > KEPT_AMENDED:  # by then the store knows
                del self._amended[next(iter(self._amended))]
        if order.kind is CommandKind.PLACE and settled.kind is not OutcomeKind.ACCEPTED and not _is_test(order.command):
            never = settled.kind is OutcomeKind.REFUSED or settled.code == NEVER_ARRIVED
            verdict = Verdict(
                never_arrived=never, code=settled.code, reason=settled.reason, at_ns=self._clock.time_ns()
            )
            self._tell_state(Ruled(order.instrument.symbol, order.client_id, verdict))
            self._dead(order.client_id, settled.reason)
        self._tell(order, settled.kind, settled.code, settled.reason, settled.report)

    def _dead(self, client_id: str, reason: str) -> None:
        """An order that never was: what was sent about it cannot have had an effect either, and nothing more is sent."""
        self._never[client_id] = None
        if len(self._never) > KEPT_NEVER:  # by then the store knows
            del self._never[next(iter(self._never))]
        for number in tuple(self._by_client_id.get(client_id, ())):
            self._with(number, lambda other: self._learn(other, Refused(NEVER_ARRIVED, reason)))

    def _tell(self, order: _Open, kind: OutcomeKind, code: str, reason: str, report: OrderReport | None) -> None:
        answer, order.answer = order.answer, None
        if answer is None:
            return
        self._show_state()  # whoever hears the answer and asks what there is finds it there
        known = None
        if report is not None:
            known = called(record_of_report(report)[0].order, self._memory.name)
            known = msgspec.structs.replace(known, in_contracts=order.current.in_contracts)
        elif isinstance(order.command, PlaceOrder) and not order.command.test:
            known = new_record(order.intent).order
            if kind is OutcomeKind.REJECTED:
                known = msgspec.structs.replace(known, status=OrderStatus.REJECTED, status_text=code)
        answer(OrderOutcome(kind, order.client_id, known, code, reason, tuple(order.evidence)))

    def _forget(self, order: _Open) -> None:
        self._opens.pop(order.number, None)
        numbers = self._by_client_id.get(order.client_id, [])
        if order.number in numbers:
            numbers.remove(order.number)
        if not numbers:
            self._by_client_id.pop(order.client_id, None)

    def _note(self, order: _Open, source: str, text: str) -> None:
        self._begin_diary(order)
        self._write_line(order, Evidence(self._clock.time_ns(), source, text))

    def _begin_diary(self, order: _Open) -> None:
        """The first lines, written down once the first byte has left, or it is known that it does not leave now."""
        if not order.unwritten:
            return
        order.unwritten = False
        if order.kind is CommandKind.PLACE and not _is_test(order.command):
            self._tell_state(Intended(order.intent))
        self._write_line(order, Evidence(order.intent.at_ns, "journal", f"{order.kind.value} written to the journal"))

    def _write_line(self, order: _Open, evidence: Evidence) -> None:
        order.evidence.append(evidence)
        if not _is_test(order.command):
            self._tell_state(Noted(order.instrument.symbol, order.client_id, evidence))

    # ------------------------------------------------------------ configuration

    def _configure(self, command: Configure) -> None:
        """Settings of positions: one request, nothing journalled, since repeating it changes nothing."""
        trading, language = self._trading, self._memory.driver.positions
        assert trading is not None
        if language is None:
            raise Unsupported(
                f"{self._memory.name} trades spot: there is no leverage and there are no modes. Nothing was sent."
            )
        instrument = None if command.symbol is None else self._instrument(command.symbol)
        language.configure(command, instrument, trading.auth(), 1)  # never sent; what is wrong with it is said now
        self._number = next(self._numbers)
        number, ref = self._number, self.actor_ref
        self._configuring[number] = command, self.context.defer_reply()

        def build() -> HttpRequest:  # on the REST actor's thread, when its turn comes
            return language.configure(command, instrument, trading.auth(), trading.now_ms())

        def reply(answer: RawAnswer) -> None:  # on a worker thread
            post(ref, _Configured(number, answer))

        self._memory.counters.add("orders.settings_sent")
        self.context.sibling("rest").tell(SignedFetch(build, Priority.PLACE, ANSWER_WITHIN_S, True, reply))
        self.context.call_later(2 * ANSWER_WITHIN_S, _Configured(number, _NO_ANSWER))

    def _on_configured(self, message: _Configured) -> None:
        asked = self._configuring.pop(message.number, None)
        if asked is None:
            return
        command, reply = asked
        error = self._read_configured(command, message.answer)
        if error is None:
            reply.set(None)
        else:
            reply.fail(error)
        if error is None or isinstance(error, OutcomeUnknown):
            self._tell_state(SettingsChanged())

    def _read_configured(self, command: Configure, answer: RawAnswer) -> ConnectorError | None:
        """None: the venue has it so. An answer that may be wrong, or none, leaves that unknown."""
        language = self._memory.driver.positions
        assert language is not None
        unclear: ConnectorError | None = answer.error
        if answer.response is not None:
            try:
                language.read_configured(command, answer.response)
                return None
            except (VenueUnavailable, WireFormatError, OutcomeUnknown) as failed:
                unclear = failed
            except ConnectorError as refused:
                return refused
        elif not answer.sent and answer.error is not None:
            return answer.error
        self._memory.counters.add("orders.settings_unknown")
        unknown = OutcomeUnknown(
            f"{self._memory.name}: whether {type(command).__name__} took effect is not known ({unclear or 'no answer came'}). "
            "Send it again: repeating it changes nothing."
        )
        unknown.__cause__ = unclear
        return unknown

    # ------------------------------------------------------------ after a restart

    def _resume(self) -> None:
        """Orders an earlier incarnation or process left without an answer: sent or not, nobody knows. Ask."""
        trading = self._trading
        assert trading is not None
        left = [record for record in trading.store.open_orders() if self._is_left(record)]
        if not left:
            return
        if self._memory.instruments is None or trading.venue_ms() is None:
            trading.on_clock_doubt()
            self.context.call_later(0.5, _Resume())
            return
        rules, unlisted = trading.language.rules, False
        for record in left:
            intent = record.intent
            assert intent is not None
            try:
                instrument = self._memory.instruments.known(record.symbol)
            except UnknownSymbol:  # off the list since before this process: it may come back, and nobody says so
                unlisted = True
                continue
            order = self._open(
                CommandKind.PLACE, intent.command, record.client_id, instrument, None, current=record.order
            )
            order.intent = intent
            order.pending = Pending.resumed(
                CommandKind.PLACE,
                intent,
                self._moment(),
                backend_s=rules.backend_s,
                visible_after_s=rules.visible_after_s,
            )
            self._memory.counters.add("orders.resumed")
            self._note(order, "store", "found in the journal without an answer; the venue is asked")
            self._decide(order)
        if unlisted:
            self.context.call_later(UNLISTED_EVERY_S, _Resume())

    def _is_left(self, record: OrderRecord) -> bool:
        return (
            record.intent is not None
            and record.intent.place is not None
            and record.newest is None
            and not record.fills
            and record.verdict is None
            and not self._is_placing(record.client_id)
        )

    def _is_placing(self, client_id: str) -> bool:
        """Whether the place itself is under way here; a cancel or amend of the order proves nothing about it."""
        numbers = self._by_client_id.get(client_id, ())
        return any(self._opens[number].kind is CommandKind.PLACE for number in numbers)

    def __repr__(self) -> str:
        unknown = sum(1 for order in self._opens.values() if order.pending is not None and order.pending.lost)
        return f"<OrderCommandActor {self._memory.name} under_way={len(self._opens)} unknown={unknown}>"


_NO_ANSWER = RawAnswer(None, None, sent=True)


def _require_own(order: _Open, report: OrderReport) -> None:
    """An answer about another order says nothing about this one, whatever request it came to.

    Raises:
        WireFormatError: it is about another order.
    """
    if report.client_id != order.client_id:
        raise WireFormatError("order", f"the answer is about {report.client_id!r:.60}, asked was {order.client_id!r}")


def _priority(kind: CommandKind) -> Priority:
    return Priority.CANCEL if kind is CommandKind.CANCEL else Priority.PLACE


def _is_test(command: PlaceOrder | CancelOrder | AmendOrder) -> bool:
    return isinstance(command, PlaceOrder) and command.test


def _source(fact: Any) -> str:
    if isinstance(fact, Seen):
        return "stream" if fact.asked is None else "query"
    if isinstance(fact, NotFound | NotInFills | QuestionFailed):
        return "query"
    if isinstance(fact, NotOpen):
        return "answer" if fact.asked is None else "query"
    return "answer"


def _words(fact: Any) -> str:
    """A fact as a line of the diary; no value of it is a secret."""
    report = getattr(fact, "report", None)
    if report is not None:
        return f"{type(fact).__name__.lower()}: {report.status_text}, filled {report.filled:f} of {report.quantity:f}"
    parts = [str(part) for part in (getattr(fact, "code", ""), getattr(fact, "reason", "")) if part]
    return f"{type(fact).__name__.lower()}: {' '.join(parts)}".rstrip(": ")


class _HookThread:
    """Runs user-made risk hooks, one at a time; one that hangs keeps the thread, and another is made."""

    def __init__(self, spawn: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._spawn, self._started = spawn, False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def ask(self, hook: RiskHook, command: PlaceOrder | AmendOrder | PlaceOrderList, view: RiskView) -> bool:
        """False when it did not answer in time. Raises what the hook's refusal is."""
        if not self._started:
            self._started = True
            self._spawn("risk-hooks", self._run)
        answered = threading.Event()
        raised: list[RiskRefused] = []

        def job() -> None:
            try:
                risk.evaluate((hook,), command, view)
            except RiskRefused as refused:
                raised.append(refused)
            answered.set()

        self._jobs.put(job)
        if not answered.wait(HOOK_WITHIN_S):
            self.close()
            return False
        if raised:
            raise raised[0]
        return True

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self) -> None:
        self._jobs.put(None)
