"""Binance futures' signed REST calls: orders and questions about the account out, answers in as facts.

Regular and algo orders are two families of calls (see `orders`); lists of both are asked for one after the other by `more`. Lists
by time are paged by time. The key is handed in with every call and never kept. Never sends, waits, retries or reads a clock.

Source: venue API docs, "Trade" and "Account" endpoints, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, ListReport, OrderReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill, Order, OrderType, TimeInForce
from connector.domain.wire import BudgetLimit, HttpRequest, HttpResponse
from connector.drivers.binance import checks, wire
from connector.drivers.binance.facts import Reaction
from connector.drivers.binance.futures import facts, reports
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.failures import failure, used
from connector.drivers.binance.futures.orders import (
    CALLS,
    CLIENT_ID,
    CONDITIONAL,
    ORDER_TYPES,
    WINDOW_S,
    Call,
    Params,
    amend_params,
    cancel_call,
    cancel_params,
    charges,
    fills_params,
    first_start,
    order_params,
    place_call,
    place_params,
    window,
    within,
)
from connector.drivers.binance.signing import make_auth, signed_request
from connector.drivers.trading import Auth, CancelAnswer, OrderRules, PlaceAnswer
from connector.errors import ConnectorError, InvalidRequest, Unsupported, VenueRejected, WireFormatError

__all__ = ["FUNDING_PAGE", "NO_SUCH_ORDER", "Trading", "order_rules"]

NO_SUCH_ORDER = "-2013"
FUNDING_PAGE = 1_000
_RECV_WINDOW_MS = 5_000
_RECV_WINDOW_MOST_MS = 60_000
_ALGO_PAGE = 100

_T = TypeVar("_T")


class _Kind(msgspec.Struct, rename="camel"):
    """Which family a row is of."""

    algo_id: int | msgspec.UnsetType = msgspec.UNSET


class _Receipt(msgspec.Struct):
    code: int | str = ""


class _Timed(msgspec.Struct, rename="camel"):
    time: wire.Milliseconds | None = None
    create_time: wire.Milliseconds | None = None


_ORDER = msgspec.json.Decoder(reports.OrderRow)
_ALGO = msgspec.json.Decoder(reports.AlgoRow)
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(_Kind)
_RECEIPT = msgspec.json.Decoder(_Receipt)
_TIMED = msgspec.json.Decoder(list[_Timed])
_FILLS = msgspec.json.Decoder(list[reports.FillRow])
_BALANCES = msgspec.json.Decoder(list[reports.BalanceRow])


def order_rules(recv_window_ms: int = _RECV_WINDOW_MS) -> OrderRules:
    """What is true of orders here. The engine checks the window once more, so a late order dies rather than trades late.

    How long the answers lag and how long a request may be on its way inside are spot's figures; none are documented here.

    Raises:
        InvalidRequest: the venue takes windows of 1 to 60,000 ms.
    """
    if not 1 <= recv_window_ms <= _RECV_WINDOW_MOST_MS:
        raise InvalidRequest(f"recv_window_ms is {recv_window_ms}. Binance futures take 1 to {_RECV_WINDOW_MOST_MS}.")
    return OrderRules(
        client_id=CLIENT_ID,
        client_id_length=36,
        recv_window_ms=recv_window_ms,
        backend_s=10.0,
        visible_after_s=3.0,
        lists=frozenset(),
        amends=frozenset({"quantity down", "quantity up", "price"}),
        source=f"{facts.SOURCE}; what is visible when: as on spot",
        since_s=float(WINDOW_S),
    )


@dataclass(frozen=True, slots=True)
class Trading:
    """TradeLanguage of one of the products; see `drivers.trading`.

    Attributes:
        rules: make them with `order_rules` for another window.
    """

    futures: Futures
    rules: OrderRules = order_rules()
    limits: tuple[BudgetLimit, ...] = tuple(limit for limit in facts.LIMITS if limit.name.startswith("ORDERS/"))
    # Also a stop that is being triggered (-4117): asking for the order is right for all of them.
    not_open_codes: frozenset[str] = frozenset({"-2011", NO_SUCH_ORDER, "-4117"})
    # Of code -4116, as the documents and as the venue write it (seen live, 2025-08).
    duplicate_id_texts: frozenset[str] = frozenset({"clientOrderId is duplicated", "ClientOrderId is duplicated"})

    def auth(self, credentials: Credentials) -> Auth:
        return make_auth(credentials)

    # ------------------------------------------------------------ requests

    def _call(self, name: str) -> Call:
        return CALLS[self.futures.venue][name]

    def _signed(self, name: str, params: Params, auth: Auth, now_ms: int) -> HttpRequest:
        call = self._call(name)
        window_ms = self.rules.recv_window_ms
        return signed_request(call.method, call.path, params, auth, now_ms, window_ms, charges(call))

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        params = place_params(self.futures, order, client_id, instrument)
        return self._signed(place_call(self.futures, order), params, auth, now_ms)

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        raise Unsupported(f"{self.futures.title} has no order lists. Nothing was sent.")

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        algo, params = cancel_params(self.futures, order, current, instrument)
        return self._signed(cancel_call(algo), params, auth, now_ms)

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("amend", amend_params(self.futures, order, current, instrument), auth, now_ms)

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        algo, params = order_params(self.futures, instrument, client_id, venue_id, current)
        return self._signed("algo order" if algo else "order", params, auth, now_ms)

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        """The regular ones; `more` goes on to the algo orders."""
        if instrument is None:
            return self._signed("all open orders", [], auth, now_ms)
        return self._signed("open orders", [("symbol", instrument.venue_name)], auth, now_ms)

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        """At most 1,000, oldest first from an id on, or from a time on and no further than seven days; three months back."""
        params = fills_params(self.futures, instrument, from_id, start_ns, venue_id, now_ms)
        return self._signed("fills", params, auth, now_ms)

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        """Seven days from then on. Orders that ended without a fill are gone three days after they were placed."""
        params: Params = [
            ("symbol", instrument.venue_name),
            *window(start_ns, now_ms),
            ("limit", self.futures.query_limit),
        ]
        return self._signed("orders since", params, auth, now_ms)

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("balances", [], auth, now_ms)

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        """The venue tells limits and no use of them."""
        return None

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        """Regular orders are followed by algo orders; full pages by the next one, from the last row's time on."""
        if self.failure(response, write=False) is not None:
            return None
        said = dict(parse_qsl(request.query, keep_blank_values=True))
        v1 = f"{self.futures.root}/v1"
        match request.path.removeprefix(v1):
            case "/openOrders" if "symbol" in said:
                return self._signed("open algo orders", [("symbol", said["symbol"])], auth, now_ms)
            case "/openOrders":
                return self._signed("all open algo orders", [], auth, now_ms)
            case "/allOrders":
                later = self._next_page("orders since", said, response, auth, now_ms)
                if later is not None:
                    return later
                end_ms = _end(said)
                times = within(first_start(end_ms, now_ms), end_ms)
                params: Params = [("symbol", said["symbol"]), *times, ("limit", _ALGO_PAGE)]
                return self._signed("algo orders since", params, auth, now_ms)
            case "/allAlgoOrders":
                return self._next_page("algo orders since", said, response, auth, now_ms)
            case "/income":
                return self._next_income(said, request, response, auth, now_ms)
            case _:
                return None

    def _times(self, response: HttpResponse) -> list[int]:
        rows = wire.decode("list", _TIMED, response.body)
        told = [row.create_time if row.time is None else row.time for row in rows]
        return [time_ms for time_ms in told if time_ms is not None]

    def _next_page(
        self, name: str, said: Mapping[str, str], response: HttpResponse, auth: Auth, now_ms: int
    ) -> HttpRequest | None:
        """From the last row's time on, that one included: rows that are told twice are the same ones."""
        times = self._times(response)
        limit = int(said.get("limit", "0"))
        if not times or not limit or len(wire.decode("list", _ROWS, response.body)) < limit:
            return None
        start_ms = max(times)
        if start_ms <= int(said["startTime"]):
            start_ms = int(said["startTime"]) + 1
        end_ms = _end(said)
        params: Params = [("symbol", said["symbol"]), *within(start_ms, end_ms), ("limit", limit)]
        return self._signed(name, params, auth, now_ms) if end_ms is None or start_ms < end_ms else None

    def _next_income(
        self, said: Mapping[str, str], request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int
    ) -> HttpRequest | None:
        times = self._times(response)
        if len(wire.decode("list", _ROWS, response.body)) < FUNDING_PAGE or not times:
            return None
        start_ms = max(*times, int(said["startTime"]) + 1)
        params: Params = [
            ("incomeType", said["incomeType"]),
            ("startTime", start_ms),
            ("limit", FUNDING_PAGE),
        ]
        window_ms = self.rules.recv_window_ms
        return signed_request("GET", request.path, params, auth, now_ms, window_ms, request.charges)

    # ------------------------------------------------------------ answers

    def _answer(self, kind: str, decoder: msgspec.json.Decoder[_T], response: HttpResponse, *, write: bool) -> _T:
        error = self.failure(response, write=write)
        if error is not None:
            raise error
        return wire.decode(kind, decoder, response.body)

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        """What became of the order, without its executions: the answer names neither those nor a price.

        Of a test order the report says only that the venue would have taken it: no status, no id of the venue.
        """
        if order.test:
            error = self.failure(response, write=True)
            if error is not None:
                raise error
            return PlaceAnswer(_tested(order, instrument, response))
        if order.type in CONDITIONAL:
            algo = self._answer("algo order", _ALGO, response, write=True)
            with checks.Readable("algo order", response):
                return PlaceAnswer(reports.algo_report("algo order", algo, instrument, response.received_ns))
        row = self._answer("order", _ORDER, response, write=True)
        with checks.Readable("order", response):
            return PlaceAnswer(reports.order_report("order", row, instrument, response.received_ns))

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        raise Unsupported(f"{self.futures.title} has no order lists.")

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        """A cancel of an algo order is answered by a receipt: what the order ended as is told elsewhere."""
        error = self.failure(response, write=True)
        if error is not None:
            raise error
        with checks.Readable("cancel", response):
            if _is_algo_row(response.body):
                code = wire.decode("cancelled algo order", _RECEIPT, response.body).code
                if str(code) != "200":
                    raise WireFormatError("cancelled algo order", f"code {code!r:.40} is not 200", response.body)
                return CancelAnswer(None)
            row = wire.decode("cancelled order", _ORDER, response.body)
            return CancelAnswer(reports.order_report("cancel", row, instrument, response.received_ns))

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        """None where the venue says that the order is as wanted already."""
        error = self.failure(response, write=True)
        if error is not None:
            raise error
        if not 200 <= response.status < 300:
            return None
        row = wire.decode("amended order", _ORDER, response.body)
        with checks.Readable("amended order", response):
            return reports.order_report("amended order", row, instrument, response.received_ns)

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        error = self.failure(response, write=False)
        if isinstance(error, VenueRejected) and error.code == NO_SUCH_ORDER:
            return None
        if error is not None:
            raise error
        with checks.Readable("order", response):
            return self._row("order", response.body, instrument, response.received_ns)

    def _row(self, kind: str, raw: bytes | msgspec.Raw, instrument: Instrument, received_ns: int) -> OrderReport:
        if _is_algo_row(raw):
            return reports.algo_report(kind, wire.decode(kind, _ALGO, bytes(raw)), instrument, received_ns)
        return reports.order_report(kind, wire.decode(kind, _ORDER, bytes(raw)), instrument, received_ns)

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        """In the venue's order. Orders of contracts not in the table are left out: nobody here can have placed them."""
        raws = self._answer("orders", _ROWS, response, write=False)
        with checks.Readable("orders", response):
            listed = ((raw, instruments.by_name(_NAMED.decode(raw).symbol)) for raw in raws)
            return tuple(
                self._row("orders", raw, instrument, response.received_ns)
                for raw, instrument in listed
                if instrument is not None
            )

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        """Oldest first; `client_id` is "", as the venue names its own order id only."""
        rows = self._answer("fills", _FILLS, response, write=False)
        with checks.Readable("fills", response):
            rows.sort(key=lambda row: row.id)
            return tuple(reports.trade_fill("fills", row, instrument, response.received_ns) for row in rows)

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        rows = self._answer("balances", _BALANCES, response, write=False)
        with checks.Readable("balances", response):
            return reports.balances("balances", self.futures.venue, rows, response.received_ns)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        return self.used(response)

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        """A write that changes nothing because it is so already has succeeded."""
        error = failure(self.futures, response, write=write)
        if write and isinstance(error, VenueRejected) and self.futures.errors.get(error.code) is Reaction.ALREADY:
            return None
        return error

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return used(response)


class _Symbol(msgspec.Struct):
    symbol: str


_NAMED = msgspec.json.Decoder(_Symbol)


def _end(said: Mapping[str, str]) -> int | None:
    return int(said["endTime"]) if "endTime" in said else None


def _is_algo_row(raw: bytes | msgspec.Raw) -> bool:
    return _KIND.decode(raw).algo_id is not msgspec.UNSET


def _tested(order: PlaceOrder, instrument: Instrument, response: HttpResponse) -> OrderReport:
    return OrderReport(
        venue=instrument.venue,
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
        quantity=order.quantity or order.contracts or wire.ZERO,
        filled=wire.ZERO,
        price=order.price,
        stop_price=order.stop_price,
        working=False,
    )
