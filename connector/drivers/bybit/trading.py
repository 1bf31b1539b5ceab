"""Bybit's signed REST calls: orders and questions about the account out, answers in as facts.

The answer to an order, an amend or a cancel is a receipt: the venue works asynchronously, and what became of the order is told by
the stream or by a question. A single order is asked for where the open and the newest closed ones are kept, then in the history,
so that "not there" is said only when both lack it; the first of them is forgotten when the venue restarts, the second lags. Lists
come in pages; a question by time spans seven days from its start (`OrderRules.since_s`).

What is signed is byte for byte what is sent. Answers are read by `reports`, refusals are classed by the same table as public
ones. The key is handed in with every call and never kept. Never sends, waits, retries or reads a clock.

Source: venue API docs, "Trade", "Account", 2026-07, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, ListReport, OrderReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill, Order
from connector.domain.times import NS_PER_MS
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.drivers.bybit import facts, reports, wire
from connector.drivers.bybit.facts import ERRORS, VENUE, Market, Reaction
from connector.drivers.bybit.orders import (
    CALLS,
    CLIENT_ID,
    WINDOW_MS,
    Call,
    Params,
    amend_params,
    cancel_params,
    id_params,
    place_params,
    since_ms,
)
from connector.drivers.bybit.rest import CURSOR, DUPLICATE_TEXT, Rest, percent_encoded
from connector.drivers.bybit.signing import make_auth, signed_headers
from connector.drivers.trading import Auth, CancelAnswer, OrderRules, PlaceAnswer
from connector.errors import ConnectorError, InvalidRequest, Unsupported, VenueRejected, WireFormatError

__all__ = ["NOT_OPEN", "Readable", "Trading", "order_rules"]

_RECV_WINDOW_MS = 5_000
_RECV_WINDOW_MOST_MS = 60_000
_ORDERS_PAGE, _FILLS_PAGE, _LOG_PAGE, _POSITIONS_PAGE = 50, 100, 50, 200
_PAGES = {"realtime": _ORDERS_PAGE, "history": _ORDERS_PAGE, "fills": _FILLS_PAGE, "funding": _LOG_PAGE}
_JSON = "application/json"

_ASK = (Reaction.NO_ORDER, Reaction.BUSY, Reaction.UNCHANGED)
NOT_OPEN = frozenset(code for code, what in ERRORS.items() if what in _ASK)
"""Codes of a cancel or amend of something that is not open, is being changed at this moment, or is so already: ask what it is."""

_T = TypeVar("_T")

_PLACED = wire.answer_decoder(reports.PlacedResult)
_ORDERS = wire.answer_decoder(wire.Listed[reports.OrderRow])
_FILLS = wire.answer_decoder(wire.Listed[reports.ExecutionRow])
_ACCOUNT = wire.answer_decoder(reports.AccountResult)


def order_rules(recv_window_ms: int = _RECV_WINDOW_MS) -> OrderRules:
    """What is true of orders here. A request cannot be taken later than its window; how long it may be on its way inside is not
    documented, backend timeouts are answered within seconds. Answers lag because everything is asynchronous.

    Raises:
        InvalidRequest: a window outside 1 to 60,000 ms; the venue names no bound, this is what clients use.
    """
    if not 1 <= recv_window_ms <= _RECV_WINDOW_MOST_MS:
        raise InvalidRequest(f"recv_window_ms is {recv_window_ms}. Expected 1 to {_RECV_WINDOW_MOST_MS}.")
    return OrderRules(
        client_id=CLIENT_ID,
        client_id_length=36,
        recv_window_ms=recv_window_ms,
        backend_s=10.0,
        visible_after_s=5.0,
        lists=frozenset(),
        amends=frozenset({"quantity down", "quantity up", "price"}),
        source=f"{facts.SOURCE}; what is visible when: seen by other clients, to 2026-07",
        ack_is_receipt=True,
        fill_ids_counted=False,
        since_s=WINDOW_MS / 1_000,
    )


def _pairs(query: str) -> dict[str, str]:
    """The parameters of a request of ours, as they were sent: values stay percent-encoded."""
    return dict(part.partition("=")[::2] for part in query.split("&") if part)


class Readable:
    """Inside it, numbers that cannot even be compared (a signalling NaN) refuse the answer like all others."""

    def __init__(self, kind: str, response: HttpResponse) -> None:
        self._kind, self._body = kind, response.body

    def __enter__(self) -> None: ...

    def __exit__(self, exc_type: object, problem: BaseException | None, traceback: object) -> None:
        if isinstance(problem, wire.UNREADABLE):
            raise WireFormatError(self._kind, str(problem), self._body) from problem


@dataclass(frozen=True, slots=True)
class Trading:
    """TradeLanguage of one product of Bybit; see `drivers.trading`.

    Attributes:
        rules: make them with `order_rules` for another window.
    """

    market: Market
    rules: OrderRules = order_rules()

    @property
    def limits(self) -> tuple[BudgetLimit, ...]:
        return tuple(limit for limit in facts.LIMITS if limit.name != facts.IP)

    @property
    def not_open_codes(self) -> frozenset[str]:
        return NOT_OPEN

    @property
    def duplicate_id_texts(self) -> frozenset[str]:
        return frozenset({DUPLICATE_TEXT})

    def auth(self, credentials: Credentials) -> Auth:
        return make_auth(credentials)

    # ------------------------------------------------------------ requests

    def post(self, name: str, params: Params, auth: Auth, now_ms: int) -> HttpRequest:
        """A signed command."""
        body = msgspec.json.encode(params)
        headers = signed_headers(auth, now_ms, self.rules.recv_window_ms, body.decode())
        call = CALLS[name]
        return HttpRequest(
            call.method, call.path, body=body, headers={**headers, "Content-Type": _JSON}, charges=self._charges(call)
        )

    def get(self, name: str, query: str, auth: Auth, now_ms: int) -> HttpRequest:
        """A signed question."""
        call = CALLS[name]
        headers = signed_headers(auth, now_ms, self.rules.recv_window_ms, query)
        return HttpRequest(call.method, call.path, query, headers=headers, safe=True, charges=self._charges(call))

    def _charges(self, call: Call) -> tuple[Charge, ...]:
        return (*call.charges(self.market), Charge(facts.IP, 1))

    def ask(self, name: str, auth: Auth, now_ms: int, **params: str | int) -> HttpRequest:
        """A signed question with a page's worth of rows, where it has pages."""
        named = [("category", self.market.category), *((key, str(value)) for key, value in params.items())]
        if name in _PAGES:
            named.append(("limit", str(_PAGES[name])))
        return self.get(name, percent_encoded(named), auth, now_ms)

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self.post("place", place_params(order, client_id, instrument, self.market), auth, now_ms)

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        raise Unsupported(
            f"{self.market.name} has no order lists of orders with ids of our own. Place them one by one."
        )

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        return self.post("cancel", cancel_params(order, current, instrument, self.market), auth, now_ms)

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self.post("amend", amend_params(order, current, instrument, self.market), auth, now_ms)

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        """Where open and newest closed orders are kept; `more` goes on to the history. All kinds of orders are looked through."""
        which = {name: str(value) for name, value in id_params(client_id, venue_id).items()}
        return self.ask("realtime", auth, now_ms, symbol=instrument.venue_name, **which)

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        """Of everything, contracts that settle in one coin; `more` goes on to the next."""
        if instrument is not None:
            return self.ask("realtime", auth, now_ms, symbol=instrument.venue_name, openOnly=0)
        if not self.market.settles:
            return self.ask("realtime", auth, now_ms, openOnly=0)
        return self.ask("realtime", auth, now_ms, settleCoin=self.market.settles[0], openOnly=0)

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        """A week from a time on; of one order; or the newest. Each page is newest first.

        Raises:
            InvalidRequest: from an id: ids are in no order here.
        """
        if from_id is not None:
            raise InvalidRequest(f"{VENUE}'s fills are asked for from a time on, not from an id: ids are in no order.")
        named: dict[str, str | int] = {"symbol": instrument.venue_name}
        if venue_id is not None:
            named |= {name: str(value) for name, value in id_params(None, venue_id).items()}
        return self.ask("fills", auth, now_ms, **named, **_window(start_ns))

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """The history of a week; then, by `more`, the newest closed ones, which the history may not have yet."""
        return self.ask("history", auth, now_ms, symbol=instrument.venue_name, **_window(start_ns))

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self.get("balances", percent_encoded([("accountType", "UNIFIED")]), auth, now_ms)

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        return None

    # ------------------------------------------------------------ pages

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        """The page after this one; else what the question goes on to: the history, the next coin, the newest closed orders."""
        name = next((name for name, call in CALLS.items() if call.path == request.path), "")
        sent = _pairs(request.query)
        error = self.failure(response, write=False)
        if isinstance(error, VenueRejected) and error.code in NOT_OPEN and name in ("realtime", "history"):
            return self._after(name, sent, [], auth, now_ms)
        if error is not None:
            raise WireFormatError("page", f"it is an error, not a page: {error}", response.body)
        if name not in ("realtime", "history", "fills", "funding", "positions"):
            return None
        page = wire.decode("page", wire.CURSOR, response.body).result
        cursor = page.next_page_cursor or ""
        if cursor and CURSOR.fullmatch(cursor) is None:
            raise WireFormatError("page", f"the place of the next page is {cursor!r:.80}", response.body)
        if cursor and page.list and cursor != sent.get("cursor"):
            return self._again(name, sent | {"cursor": cursor}, auth, now_ms)
        return self._after(name, sent, page.list, auth, now_ms)

    def _again(self, name: str, sent: Mapping[str, str], auth: Auth, now_ms: int) -> HttpRequest:
        """The same question with other parameters, whose values are percent-encoded already."""
        return self.get(name, "&".join(f"{key}={value}" for key, value in sent.items()), auth, now_ms)

    def _after(
        self, name: str, sent: dict[str, str], rows: Sequence[object], auth: Auth, now_ms: int
    ) -> HttpRequest | None:
        """What follows the last page of a part; a cursor belongs to its part."""
        sent = {key: value for key, value in sent.items() if key != "cursor"}
        one = "orderId" in sent or "orderLinkId" in sent
        if name == "realtime" and one:
            return None if rows else self._again("history", sent, auth, now_ms)
        if name == "realtime":
            following = self._next_coin(sent.get("settleCoin"))
            return None if following is None else self._again(name, sent | {"settleCoin": following}, auth, now_ms)
        if name == "history" and not one:
            return self.ask("realtime", auth, now_ms, symbol=sent["symbol"], openOnly=1)
        return None

    def _next_coin(self, coin: str | None) -> str | None:
        settles = self.market.settles
        at = settles.index(coin) + 1 if coin in settles else len(settles)
        return settles[at] if at < len(settles) else None

    # ------------------------------------------------------------ answers

    def answer(self, kind: str, decoder: msgspec.json.Decoder[_T], response: HttpResponse, *, write: bool) -> _T:
        """A success, decoded.

        Raises:
            ConnectorError: what the refusal is. WireFormatError: it cannot be read.
        """
        error = self.failure(response, write=write)
        if error is not None:
            raise error
        return wire.decode(kind, decoder, response.body)

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        told = self.answer("order", _PLACED, response, write=True).result
        if order.client_id is not None and told.order_link_id not in (None, "", order.client_id):
            raise WireFormatError("order", f"it is the receipt of {told.order_link_id!r:.60}", response.body)
        return PlaceAnswer(None, (), told.order_id)

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        raise Unsupported(f"{self.market.name} has no order lists.")

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        self.answer("cancel", _PLACED, response, write=True)
        return CancelAnswer(None)

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        self.answer("amend", _PLACED, response, write=True)
        return None

    def _reports(
        self, kind: str, response: HttpResponse, instruments: Mapping[str, Instrument] | InstrumentTable
    ) -> tuple[OrderReport, ...]:
        rows = self.answer(kind, _ORDERS, response, write=False).result.list
        by_name = instruments.by_name if isinstance(instruments, InstrumentTable) else instruments.get
        listed = ((row, by_name(row.symbol)) for row in rows)
        with Readable(kind, response):
            return tuple(
                reports.order_report(kind, row, instrument, self.market, response.received_ns)
                for row, instrument in listed
                if instrument is not None
            )

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        """None: this part of the venue's memory does not have it; `more` says where to look next."""
        try:
            found = self._reports("order", response, {instrument.venue_name: instrument})
        except VenueRejected as refused:
            if refused.code in NOT_OPEN:
                return None
            raise
        if len(found) > 1:
            raise WireFormatError("order", f"one order was asked for, {len(found)} came", response.body)
        return found[0] if found else None

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        """In the venue's order. Orders of instruments not in the table are left out: nobody here can have placed them."""
        return self._reports("orders", response, instruments)

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        """Oldest first; of one time, those that left more come first.

        Left out are funding, which the same list tells, and executions of a kind not known here: they would make a week's fills
        unreadable. That an order lacks one shows in what it was filled, and what became of a position is told by the position.
        """
        rows = self.answer("fills", _FILLS, response, write=False).result.list
        with Readable("fills", response):
            told = [(row, self._fill(row, instrument, response.received_ns)) for row in rows]
            kept = [(_order_of(row), fill) for row, fill in told if fill is not None]
        kept.sort(key=lambda each: each[0])
        return tuple(fill for _, fill in kept)

    def _fill(self, row: reports.ExecutionRow, instrument: Instrument, received_ns: int) -> Fill | None:
        try:
            return reports.fill("fills", row, instrument, self.market, received_ns)
        except reports.UnknownExecution:
            return None

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        answer = self.answer("balances", _ACCOUNT, response, write=False)
        with Readable("balances", response):
            told = reports.balances("balances", answer.result.list, self.market)
        return BalanceReport(self.market.name, answer.time * NS_PER_MS, response.received_ns, told, True)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        raise Unsupported(f"{self.market.name} cannot be asked how much of its budgets is used.")

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return Rest(self.market).failure(response, write=write)

    def used(self, response: HttpResponse, charges: Sequence[Charge] = ()) -> Mapping[str, int]:
        return Rest(self.market).used(response, charges)


def _order_of(row: reports.ExecutionRow) -> tuple[int, str, object, str]:
    """Executions of one millisecond come in no order: of one order, the one that left more came first."""
    left = wire.number(row.leaves_qty or "") or wire.ZERO
    return row.exec_time, row.order_id, -left, row.exec_id


def _window(start_ns: int | None) -> dict[str, int]:
    if start_ns is None:
        return {}
    start = since_ms(start_ns)
    return {"startTime": start, "endTime": start + WINDOW_MS - 1}
