"""One comparison of an account with the venue: what to ask, in what order, and what the answers come to.

It begins with open orders, fills, balances, and with contracts positions and funding, each page by page to the last; what those
leave open (orders of ours that are in no answer, fills of unknown orders, fills that are missing) becomes questions about single
orders; then `orders.reconcile` says what to correct, once, in the venue's order. A list of which a page is missing is no list.

Fills are read on from the last trade id where those are counted. Where they say nothing, from a time on: to be sure of what the
venue showed late, from a little before everything was read last.

It sends nothing, waits for nothing and decides nothing about absence: an order that is in no answer stays what it is. A part:
used on the state actor's thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from connector.domain.account import FundingPayment
from connector.domain.facts import BalanceReport, OrderReport, PositionReport
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import Fill, FillKey, Order, OrderStatus
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS, NS_PER_S
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.trading import Auth, PositionLanguage, TradeLanguage
from connector.errors import ConnectorBug, ConnectorError, UnknownSymbol, WireFormatError
from connector.orders.lifecycle import Event
from connector.orders.reconcile import Corrections, reconcile
from connector.venue.account import AccountModel, later_id
from connector.venue.naming import called

__all__ = ["EVERYTHING", "WITH_POSITIONS", "Comparison", "Question"]

ORDERS, FILLS, BALANCES, POSITIONS, FUNDING = "orders", "fills", "balances", "positions", "funding"
EVERYTHING = frozenset({ORDERS, FILLS, BALANCES})
WITH_POSITIONS = EVERYTHING | {POSITIONS, FUNDING}
IN_FLIGHT = 4
MOST_PAGES = 1_000
"""Of one list; a venue that names a next page for ever has failed to answer."""
OVERLAP_NS = 60 * NS_PER_S
"""How far before the time up to which fills were read the next reading begins, where trade ids say nothing."""
SETTLING_NS = 5 * NS_PER_S
"""An order sent so lately is still being waited for by the order actor."""

_Told = TypeVar("_Told")


class Question(msgspec.Struct, frozen=True):
    """One thing to ask.

    Attributes:
        kind: "open_orders", "order", "fills", "balances", "positions" or "funding".
        client_id, venue_id: which order. from_id, start_ns: fills, or funding, from there on.
        part: which of the requests that together ask for positions.
        page: 0 is the first; the others follow from the answer before, see `Comparison.request`.
    """

    kind: str
    symbol: Symbol | None = None
    client_id: str | None = None
    venue_id: str | None = None
    from_id: str | None = None
    start_ns: int | None = None
    part: int = 0
    page: int = 0

    def names(self, report: OrderReport) -> bool:
        """Whether the report is about the order that was asked for."""
        if self.client_id is not None and self.client_id != report.client_id:
            return False
        return self.venue_id is None or self.venue_id == report.venue_id

    def request(
        self,
        language: TradeLanguage,
        instruments: InstrumentTable,
        auth: Auth,
        now_ms: int,
        positions: PositionLanguage | None = None,
        current: Order | None = None,
    ) -> HttpRequest:
        """The request of its first page, signed.

        Args:
            current: what is known of the order that is asked for.

        Raises:
            UnknownSymbol: the venue never listed the instrument while this process ran.
        """
        if self.kind == "open_orders":
            return language.open_orders(None, auth, now_ms)
        if self.kind == "balances":
            return language.balances(auth, now_ms)
        if positions is not None and self.kind == "positions":
            return positions.positions(auth, now_ms)[self.part]
        if positions is not None and self.kind == "funding" and self.start_ns is not None:
            return positions.funding(self.start_ns, auth, now_ms)
        if self.symbol is None:
            raise ConnectorBug(f"{self!r} names no symbol.")
        instrument = instruments.known(self.symbol)
        if self.kind == "order":
            return language.order(self.client_id, self.venue_id, instrument, auth, now_ms, current)
        return language.fills(instrument, self.from_id, self.start_ns, self.venue_id, auth, now_ms)


class Comparison:
    """One run. `next` gives what to ask until `is_over`; every question given out comes back to `answer` or `fail`, once.

    Args:
        parts: which of EVERYTHING, or of WITH_POSITIONS, is asked for; the orders of parked fills always are.
        positions: how to ask for positions; None where the account holds assets.
        started_ns: our clock. venue_ns: the venue's, as far as it is known.
        late_ns: answers may lack what happened so shortly before.

    Attributes:
        failures: what was asked for and not answered.
        lacks_fills: at its end the venue had told of more filled than there are fills for.
    """

    def __init__(
        self,
        model: AccountModel,
        language: TradeLanguage,
        instruments: InstrumentTable,
        parts: frozenset[str],
        *,
        started_ns: int,
        venue_ns: int,
        late_ns: int,
        auth: Auth,
        positions: PositionLanguage | None = None,
    ) -> None:
        self.parts, self.started_ns = parts, started_ns
        self.failures: list[str] = []
        self.lacks_fills = False
        self._model, self._language, self._instruments = model, language, instruments
        self._venue_ns, self._late_ns = venue_ns, late_ns
        self._auth, self._positions_language = auth, positions
        self._pages: dict[Question, tuple[HttpRequest, HttpResponse]] = {}  # what a page follows
        self._waiting: deque[Question] = deque()
        self._asked: set[Question] = set()
        self._in_flight = 0
        self._open_orders: tuple[OrderReport, ...] | None = None
        self._open_pages: list[OrderReport] = []
        self._balance_pages: list[BalanceReport] = []
        self._position_pages: dict[tuple[int, int], HttpResponse] = {}
        self._position_parts: set[int] = set()  # whose last page is still to come
        self._positions: PositionReport | None = None
        self._funding: list[FundingPayment] = []
        self._funding_read = False
        self._found: list[OrderReport] = []
        self._orders: dict[str, OrderReport | None] = {}
        self._fills: dict[FillKey, Fill] = {}
        self._read: set[Symbol] = set()
        self._balances: BalanceReport | None = None
        self._balances_ns = 0
        if ORDERS in parts:
            self._want(Question("open_orders"))
        if BALANCES in parts:
            self._want(Question("balances"))
        if FILLS in parts:
            for symbol in model.due_symbols():
                self._want(self._first_page(symbol))
        if positions is not None and POSITIONS in parts:
            self._position_parts = set(range(len(positions.positions(auth, self._now_ms))))
            for part in sorted(self._position_parts):
                self._want(Question("positions", part=part))
        if positions is not None and FUNDING in parts:
            self._want(Question("funding", start_ns=model.funding_from_ns()))
        self._go_on()

    @property
    def _now_ms(self) -> int:
        """For requests that are made to look at them, and never sent."""
        return self._venue_ns // NS_PER_MS

    def _first_page(self, symbol: Symbol) -> Question:
        last = self._model.last_fill(symbol)
        if last is not None and self._language.rules.fill_ids_counted:
            return Question("fills", symbol, from_id=last)
        if last is not None:
            return Question("fills", symbol, start_ns=int(last) - OVERLAP_NS)
        return Question("fills", symbol, start_ns=self._model.first_ns(symbol) - 60 * NS_PER_S)

    # ------------------------------------------------------------ asking

    def _want(self, question: Question) -> None:
        if question not in self._asked:
            self._asked.add(question)
            self._waiting.append(question)

    def request(self, question: Question, auth: Auth, now_ms: int) -> HttpRequest:
        """The request to send for a question; any thread.

        Raises:
            UnknownSymbol: the venue never listed the instrument while this process ran.
        """
        before = self._pages.get(question)
        if before is None:
            current = None
            if question.client_id is not None and (record := self._model.orders.get(question.client_id)) is not None:
                current = record.order
            return question.request(self._language, self._instruments, auth, now_ms, self._positions_language, current)
        found = self._language.more(*before, auth, now_ms)
        if found is None:
            raise ConnectorBug(f"{question!r} follows a page that is the last.")
        return found

    def next(self) -> Question | None:
        """The next question to send now; None while enough are on their way, or there is none."""
        if not self._waiting or self._in_flight >= IN_FLIGHT:
            return None
        self._in_flight += 1
        return self._waiting.popleft()

    @property
    def is_over(self) -> bool:
        return not self._waiting and not self._in_flight

    def answer(self, question: Question, request: HttpRequest, response: HttpResponse) -> None:
        """Read one answer.

        Args:
            request: the one that was sent.

        Raises:
            ConnectorError: it is an error, or cannot be read; the question has failed then.
        """
        try:
            self._take(question, request, response)
        except ConnectorError as error:
            self.fail(question, error)
            raise
        self._in_flight -= 1
        self._go_on()

    def fail(self, question: Question, error: ConnectorError) -> None:
        """A question ended without an answer. The others go on. Of what the venue lists no more nothing can be asked."""
        self._in_flight -= 1
        if not isinstance(error, UnknownSymbol):
            self.failures.append(f"{question.kind} {question.symbol or ''}: {error}")
        self._go_on()

    def _named(self, told: _Told) -> _Told:
        """What the venue told, under the name the engine calls it by."""
        named: _Told = called(told, self._model.venue)
        return named

    def _take(self, question: Question, request: HttpRequest, response: HttpResponse) -> None:
        language = self._language
        if question.kind == "open_orders":
            self._open_pages += self._named(language.read_orders(response, self._instruments))
            if self._is_last(question, request, response):
                self._open_orders = tuple(self._open_pages)
        elif question.kind == "balances":
            self._balance_pages.append(self._named(language.read_balances(response)))
            self._balances_ns = self._balances_ns or response.sent_ns
            if self._is_last(question, request, response):
                self._balances = _joined(self._balance_pages)
        elif question.kind == "positions":
            self._take_positions(question, request, response)
        elif question.kind == "funding":
            assert self._positions_language is not None
            self._funding += self._named(self._positions_language.read_funding(response, self._instruments))
            if self._is_last(question, request, response):
                following = self._next_window(question)
                self._funding_read = following is None
                if following is not None:
                    self._want(following)
        elif question.kind == "order":
            assert question.symbol is not None
            report = self._named(language.read_order(response, self._instruments.known(question.symbol)))
            if report is not None and not question.names(report):
                raise WireFormatError("order", f"the answer is about {report.client_id!r:.60}, asked was {question!r}")
            if report is None and not self._is_last(question, request, response):
                return  # the venue keeps orders in several lists
            if question.client_id is not None:
                self._orders[question.client_id] = report
            elif report is not None:
                self._found.append(report)
        else:
            assert question.symbol is not None
            fills = self._named(language.read_fills(response, self._instruments.known(question.symbol)))
            self._fills |= {fill.key: fill for fill in fills}
            if self._is_last(question, request, response) and question.venue_id is None:
                self._turn_page(question, question.symbol, fills)

    def _is_last(self, question: Question, request: HttpRequest, response: HttpResponse) -> bool:
        """Whether no page follows this one; else the next is wanted.

        Raises:
            WireFormatError: whether one does cannot be read, or there is no end of them.
        """
        if self._language.more(request, response, self._auth, self._now_ms) is None:
            return True
        following = msgspec.structs.replace(question, page=question.page + 1)
        if following.page >= MOST_PAGES:
            raise WireFormatError(question.kind, f"the venue names a next page after {MOST_PAGES} of them")
        self._pages[following] = request, response
        self._want(following)
        return False

    def _take_positions(self, question: Question, request: HttpRequest, response: HttpResponse) -> None:
        assert self._positions_language is not None
        failure = self._language.failure(response, write=False)
        if failure is not None:
            raise failure
        self._position_pages[question.part, question.page] = response
        if self._is_last(question, request, response):
            self._position_parts.discard(question.part)
        if not self._position_parts:
            pages = [self._position_pages[place] for place in sorted(self._position_pages)]
            self._positions = self._named(self._positions_language.read_positions(pages, self._instruments))

    def _next_window(self, question: Question) -> Question | None:
        """The question for the time after this one's; None when it reached the present."""
        since_s = self._language.rules.since_s
        if since_s is None or question.start_ns is None:
            return None
        end_ns = question.start_ns + int(since_s * NS_PER_S)
        return None if end_ns > self._venue_ns else Question(question.kind, question.symbol, start_ns=end_ns)

    def _turn_page(self, question: Question, symbol: Symbol, fills: tuple[Fill, ...]) -> None:
        last: str | None = None
        if self._language.rules.fill_ids_counted:
            for fill in fills:
                last = later_id(last, fill.trade_id)
        following = self._next_window(question)
        if last is not None and last != question.from_id:
            self._want(Question("fills", symbol, from_id=last))
        elif last is None and following is not None:
            self._want(following)
        else:
            self._read.add(symbol)

    def _go_on(self) -> None:
        """When everything is answered: what that leaves open."""
        if not self.is_over:
            return
        corrections = self._compare()
        if corrections is None:
            return
        if self._open_orders is not None:
            for client_id in corrections.ask:
                record = self._model.orders[client_id]
                lately = record.intent is not None and record.intent.at_ns > self.started_ns - SETTLING_NS
                if not (lately and record.order.status is OrderStatus.UNKNOWN):
                    self._want(Question("order", record.symbol, client_id=client_id))
        for fill in corrections.stray_fills:
            self._want(Question("order", fill.symbol, venue_id=fill.venue_id))
        if FILLS in self.parts:
            for client_id in corrections.missing_fills:
                order = (corrections.orders.get(client_id) or self._model.orders[client_id]).order
                self._want(Question("fills", order.symbol, venue_id=order.venue_id))

    # ------------------------------------------------------------ what it comes to

    @property
    def reports(self) -> tuple[OrderReport, ...]:
        """Every order the answers told of."""
        return (
            *(self._open_orders or ()),
            *self._found,
            *(report for report in self._orders.values() if report is not None),
        )

    def _unknown_fills(self) -> Iterable[Fill]:
        """Fills of the answers that were not taken in yet, and those that are parked."""
        fills = {**self._model.parked, **self._fills}
        return [fill for fill in fills.values() if not self._model.has_fill(fill)]

    def _compare(self) -> Corrections | None:
        """None when the store cannot be read: whose the answers are is not known then."""
        fills = list(self._unknown_fills())
        try:
            held = self._model.held(self.reports, fills)
        except ConnectorError as failed:
            self.failures.append(str(failed))
            return None
        return reconcile(
            held,
            (*(self._open_orders or ()), *self._found),
            self._orders,
            fills,
            self._balances,
            self._balances_ns,
        )

    def finish(self) -> tuple[tuple[Event, ...], tuple[OrderReport, ...]]:
        """Correct the model, once, at the end.

        Returns:
            (events, reports): what was missed, in the venue's order; and what the venue says of orders of ours.
        """
        corrections = self._compare()
        if corrections is None:
            return (), ()
        model = self._model
        events = model.correct(corrections, self._balances is not None and self._balances.complete)
        if self._positions is not None:
            asked_ns = min(response.sent_ns for response in self._position_pages.values())
            events = (*events, *model.take_positions(self._positions, asked_ns, self._late_ns).events)
        if self._funding_read:
            funding = [msgspec.structs.replace(payment, recovered=True) for payment in self._funding]
            events = (*events, *model.take_funding(funding).events)
            model.funding.read_ns = self._venue_ns
        strange = {fill.symbol for fill in corrections.stray_fills}
        for symbol in sorted(self._read - strange, key=str):
            model.fills_read(symbol, self.started_ns - self._late_ns)
            self._note_place(symbol)
        self.lacks_fills = model.touch_missing()
        return events, tuple(report for report in self.reports if report.client_id in model.orders)

    def _note_place(self, symbol: Symbol) -> None:
        """The last fill that is old enough for none before it to appear later; or that time, where ids say nothing."""
        if not self._language.rules.fill_ids_counted:
            self._model.read_up_to(symbol, str(self._venue_ns - self._late_ns))
            return
        place: str | None = None
        for fill in self._fills.values():
            if fill.symbol == symbol and fill.event_time_ns <= self._venue_ns - self._late_ns:
                place = later_id(place, fill.trade_id)
        if place is not None:
            self._model.read_up_to(symbol, place)

    def __repr__(self) -> str:
        return f"<Comparison {'+'.join(sorted(self.parts))} waiting={len(self._waiting)} in_flight={self._in_flight}>"


def _joined(pages: Sequence[BalanceReport]) -> BalanceReport:
    """All pages of one list, as old as the oldest of them."""
    times = [page.event_time_ns for page in pages if page.event_time_ns is not None]
    return msgspec.structs.replace(
        pages[0],
        event_time_ns=min(times, default=None),
        balances=tuple(balance for page in pages for balance in page.balances),
        complete=all(page.complete for page in pages),
    )
