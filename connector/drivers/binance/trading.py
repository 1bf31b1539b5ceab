"""Binance spot's signed REST calls: orders and questions about the account out, answers in as facts.

Every parameter goes into one place, the query of GET and DELETE and the body of POST and PUT, so what is sent is byte for byte
what was signed. Answers are read by `reports`, refusals are classed by the same table as public ones, with `write` set for
all that changes something. The key is handed in with every call and never kept. Never sends, waits, retries or reads a clock.

Source: venue API docs, "Trading endpoints", "Account endpoints", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, ListReport, OrderReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill, Order, OrderType, TimeInForce
from connector.domain.wire import BudgetLimit, Charge, HttpRequest, HttpResponse
from connector.drivers.binance import checks, facts, reports, wire
from connector.drivers.binance.facts import VENUE, budget_name
from connector.drivers.binance.instruments import SECONDS
from connector.drivers.binance.orders import (
    CALLS,
    CLIENT_ID,
    ORDER_TYPES,
    Call,
    Params,
    amend_params,
    cancel_params,
    charges,
    fills_params,
    list_params,
    order_params,
    place_params,
    since_params,
)
from connector.drivers.binance.rest import REST
from connector.drivers.binance.signing import make_auth, signed_request
from connector.drivers.trading import Auth, CancelAnswer, OrderRules, PlaceAnswer
from connector.errors import ConnectorError, InvalidRequest, VenueRejected, WireFormatError

__all__ = ["NO_SUCH_ORDER", "TRADING", "Trading", "order_rules"]

NO_SUCH_ORDER = "-2013"
_RECV_WINDOW_MS = 5_000
_RECV_WINDOW_MOST_MS = 60_000

_T = TypeVar("_T")

_ORDER = msgspec.json.Decoder(reports.OrderRow)
_ORDERS = msgspec.json.Decoder(list[reports.OrderRow])
_AMENDED = msgspec.json.Decoder(reports.AmendRow)
_LIST = msgspec.json.Decoder(reports.ListRow)
_TRADES = msgspec.json.Decoder(list[reports.TradeRow])
_ACCOUNT = msgspec.json.Decoder(reports.AccountRow)
_COUNTS = msgspec.json.Decoder(list[reports.CountRow])


def order_rules(recv_window_ms: int = _RECV_WINDOW_MS) -> OrderRules:
    """What is true of orders here. A request cannot be taken later than its window, nor be on its way longer than 10 s inside.

    Answers to queries come from memory or a database and may lag: orders were not found seconds after they had been
    accepted (seen by several clients), hence `visible_after_s`.

    Raises:
        InvalidRequest: the venue takes windows of 1 to 60,000 ms.
    """
    if not 1 <= recv_window_ms <= _RECV_WINDOW_MOST_MS:
        raise InvalidRequest(f"recv_window_ms is {recv_window_ms}. {VENUE} takes 1 to {_RECV_WINDOW_MOST_MS}.")
    return OrderRules(
        client_id=CLIENT_ID,
        client_id_length=36,
        recv_window_ms=recv_window_ms,
        backend_s=10.0,
        visible_after_s=3.0,
        lists=frozenset({"oco", "oto", "otoco"}),
        amends=frozenset({"quantity down"}),
        source=f"{facts.SOURCE}; what is visible when: measured by others, to 2026-07",
    )


@cache  # of constants
def _rest_charges(call: Call) -> tuple[Charge, ...]:
    return (*charges(call), Charge(facts.RAW_REQUESTS, 1))


@dataclass(frozen=True, slots=True)
class Trading:
    """TradeLanguage of Binance spot; see `drivers.trading`.

    Attributes:
        rules: make them with `order_rules` for another window.
    """

    rules: OrderRules = field(default_factory=order_rules)
    limits: tuple[BudgetLimit, ...] = tuple(limit for limit in facts.LIMITS if limit.name.startswith("ORDERS/"))
    # -2011 also refuses cancels for other reasons; asking for the order is right for all of them.
    not_open_codes: frozenset[str] = frozenset({"-2011", NO_SUCH_ORDER})
    duplicate_id_texts: frozenset[str] = frozenset({"Duplicate order sent."})

    def auth(self, credentials: Credentials) -> Auth:
        return make_auth(credentials)

    # ------------------------------------------------------------ requests

    def _signed(self, call: Call, params: Params, auth: Auth, now_ms: int) -> HttpRequest:
        costs = _rest_charges(call)
        return signed_request(call.method, call.path, params, auth, now_ms, self.rules.recv_window_ms, costs)

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        call = CALLS["test" if order.test else "place"]
        return self._signed(call, place_params(order, client_id, instrument), auth, now_ms)

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        params = list_params(orders, client_ids, instrument)
        return self._signed(CALLS[orders.kind.value], params, auth, now_ms)

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        return self._signed(CALLS["cancel"], cancel_params(order, current.venue_id, instrument), auth, now_ms)

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed(CALLS["amend"], amend_params(order, current.venue_id, instrument), auth, now_ms)

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        return self._signed(CALLS["order"], order_params(instrument, client_id, venue_id), auth, now_ms)

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        if instrument is None:
            return self._signed(CALLS["all open orders"], [], auth, now_ms)
        return self._signed(CALLS["open orders"], [("symbol", instrument.venue_name)], auth, now_ms)

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        """At most 1,000, oldest first from an id or a time on. Allocations of the smart order router are not among them."""
        call = CALLS["fills" if venue_id is None else "fills of an order"]
        return self._signed(call, fills_params(instrument, from_id, start_ns, venue_id), auth, now_ms)

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """At most 1,000. The venue answers from its database, which lags most."""
        return self._signed(CALLS["orders since"], since_params(instrument, start_ns), auth, now_ms)

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed(CALLS["balances"], [("omitZeroBalances", "true")], auth, now_ms)

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        """Lists come whole, or as many rows as fit; fills go on from an id."""
        return None

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        return self._signed(CALLS["order counts"], [], auth, now_ms)

    # ------------------------------------------------------------ answers

    def _answer(self, kind: str, decoder: msgspec.json.Decoder[_T], response: HttpResponse, *, write: bool) -> _T:
        error = self.failure(response, write=write)
        if error is not None:
            raise error
        return wire.decode(kind, decoder, response.body)

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        """Of a test order the report says only that the venue would have taken it: no status, no id of the venue."""
        if order.test:
            error = self.failure(response, write=True)
            if error is not None:
                raise error
            return PlaceAnswer(_tested(order, instrument, response), ())
        row = self._answer("order", _ORDER, response, write=True)
        with checks.Readable("order", response):
            report = reports.order_report("order", row, instrument, response.received_ns)
            return PlaceAnswer(report, reports.placed_fills("order", row, report))

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        row = self._answer("order list", _LIST, response, write=True)
        with checks.Readable("order list", response):
            return _list_facts(row, instrument, response)

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        """Cancelling one order of a list ends them all: the answer is then the list, and `client_id` says which was meant."""
        error = self.failure(response, write=True)
        if error is not None:
            raise error
        with checks.Readable("cancel", response):
            if b'"orderReports"' in response.body:
                row = wire.decode("cancelled order list", _LIST, response.body)
                _, ended = _list_facts(row, instrument, response)
                meant = next((report for report in ended if report.client_id == client_id), ended[0] if ended else None)
                if meant is None:
                    raise WireFormatError("cancel", "a list without reports", response.body)
                return CancelAnswer(meant, tuple(report for report in ended if report is not meant))
            order = wire.decode("cancelled order", _ORDER, response.body)
            return CancelAnswer(reports.order_report("cancel", order, instrument, response.received_ns))

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport:
        row = self._answer("amended order", _AMENDED, response, write=True)
        with checks.Readable("amended order", response):
            return reports.amended_report("amended order", row, instrument, response.received_ns)

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        """An archived order (-2026: without a fill, ended over 90 days ago) is an error: it existed, so it is not None."""
        try:
            row = self._answer("order", _ORDER, response, write=False)
        except VenueRejected as refused:
            if refused.code == NO_SUCH_ORDER:
                return None
            raise
        with checks.Readable("order", response):
            return reports.order_report("order", row, instrument, response.received_ns)

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        """In the venue's order. Orders of instruments not in the table are left out: nobody here can have placed them."""
        rows = self._answer("orders", _ORDERS, response, write=False)
        listed = ((row, instruments.by_name(row.symbol)) for row in rows)
        with checks.Readable("orders", response):
            return tuple(
                reports.order_report("orders", row, instrument, response.received_ns)
                for row, instrument in listed
                if instrument is not None
            )

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        """Oldest first; `client_id` is "", as the venue names its own order id only."""
        rows = self._answer("fills", _TRADES, response, write=False)
        with checks.Readable("fills", response):
            rows.sort(key=lambda row: row.id)
            return tuple(reports.trade_fill("fills", row, instrument, response.received_ns) for row in rows)

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        row = self._answer("balances", _ACCOUNT, response, write=False)
        with checks.Readable("balances", response):
            return reports.balances("balances", row, response.received_ns)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        rows = self._answer("order counts", _COUNTS, response, write=False)
        return {
            budget_name(row.rate_limit_type, SECONDS[row.interval] * row.interval_num): row.count
            for row in rows
            if row.interval in SECONDS
        }

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return REST.failure(response, write=write)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return REST.used(response)


def _list_facts(
    row: reports.ListRow, instrument: Instrument, response: HttpResponse
) -> tuple[ListReport, tuple[OrderReport, ...]]:
    told = tuple(
        reports.order_report("order list", each, instrument, response.received_ns) for each in row.order_reports
    )
    return reports.list_report("order list", row, instrument, response.received_ns), told


def _tested(order: PlaceOrder, instrument: Instrument, response: HttpResponse) -> OrderReport:
    return OrderReport(
        venue=VENUE,
        symbol=instrument.symbol,
        event_time_ns=None,
        received_ns=response.received_ns,
        client_id=order.client_id or "",
        venue_id="",
        side=order.side,
        type=order.type,
        type_text=next((word for word, kind in ORDER_TYPES.items() if kind is order.type), OrderType.OTHER.name),
        time_in_force=order.time_in_force or TimeInForce.GTC,
        status=None,
        status_text="TEST",
        quantity=order.quantity or wire.ZERO,
        filled=wire.ZERO,
        price=order.price,
        stop_price=order.stop_price,
        working=False,
    )


TRADING = Trading()
