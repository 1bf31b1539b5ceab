"""TradeLanguage and PositionLanguage of the mock venue: signed calls out, answers in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from connector.domain.account import FundingPayment, MarginMode, Position, PositionMode
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    Configure,
    PlaceOrder,
    PlaceOrderList,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
)
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, ListReport, OrderReport, PositionReport
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Fill, Order
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.trading import Auth, CancelAnswer, OrderRules, PlaceAnswer
from connector.errors import ConnectorError, InvalidRequest, SettingsError, Unsupported, VenueRejected
from connector.testing.mock_driver.facts import (
    ID_IN_USE_TEXT,
    LIMITS,
    NO_SUCH_ORDER,
    NOT_OPEN,
    ORDERS,
    REQUESTS,
    SOURCE,
    VENUE,
)
from connector.testing.mock_driver.orders import CLIENT_ID, amend_fields, id_of, of_instrument, place_fields
from connector.testing.mock_driver.reports import (
    BALANCES,
    COUNTS,
    CURSOR,
    FILLS,
    ONE_ORDER,
    ORDER_LIST,
    PAYMENTS,
    PLACED,
    POSITIONS,
    require_same,
)
from connector.testing.mock_driver.rest import failure, require_good, used_points
from connector.testing.mock_driver.wire import T, decoded

__all__ = ["TRADING", "Trading"]


class Trading:
    """TradeLanguage and PositionLanguage of the mock; see `drivers.trading`. Holds nothing."""

    rules = OrderRules(
        client_id=CLIENT_ID,
        client_id_length=32,
        recv_window_ms=5_000,
        backend_s=1.0,
        visible_after_s=0.5,
        lists=frozenset(),
        amends=frozenset({"quantity down", "quantity up", "price"}),
        source=SOURCE,
    )
    limits = LIMITS[1:]
    not_open_codes = frozenset({NOT_OPEN, NO_SUCH_ORDER})
    duplicate_id_texts = frozenset({ID_IN_USE_TEXT})

    def auth(self, credentials: Credentials) -> Auth:
        secret = credentials.reveal("secret")
        if secret is None:
            raise SettingsError(f"{VENUE} signs with the secret of an HMAC key; this one has a private key.")
        return Auth(
            credentials.key,
            lambda payload: hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest(),
            "hmac",
        )

    # ------------------------------------------------------------ requests

    def _signed(
        self,
        method: str,
        path: str,
        auth: Auth,
        now_ms: int,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        orders: int = 0,
    ) -> HttpRequest:
        text = urlencode(query or {}, quote_via=quote, safe="")
        target = f"{path}?{text}" if text else path
        content = b"" if body is None else msgspec.json.encode(body)
        headers = {
            "Mock-Key": auth.key,
            "Mock-Time": str(now_ms),
            "Mock-Window": str(self.rules.recv_window_ms),
            "Mock-Sign": auth.sign(f"{now_ms}{method}{target}{content.decode()}"),
        }
        charges = (Charge(REQUESTS, 1), *((Charge(ORDERS, orders),) if orders else ()))
        return HttpRequest(method, path, text, content, headers, safe=method == "GET", charges=charges)

    def place(self, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        fields, path = place_fields(order, client_id, instrument), "/orders/test" if order.test else "/orders"
        return self._signed("POST", path, auth, now_ms, body=fields, orders=0 if order.test else 1)

    def place_list(
        self, orders: PlaceOrderList, client_ids: Sequence[str], instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        raise Unsupported(f"{VENUE} has no order lists.")

    def cancel(
        self, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> HttpRequest:
        fields = of_instrument(order, instrument) | {"client_id": order.client_id}
        return self._signed("DELETE", "/orders", auth, now_ms, fields)

    def amend(self, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("PUT", "/orders", auth, now_ms, body=amend_fields(order, instrument), orders=1)

    def order(
        self,
        client_id: str | None,
        venue_id: str | None,
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
        current: Order | None = None,
    ) -> HttpRequest:
        fields = {"symbol": instrument.venue_name} | id_of(client_id, venue_id)
        return self._signed("GET", "/orders/one", auth, now_ms, fields)

    def open_orders(self, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        fields = {} if instrument is None else {"symbol": instrument.venue_name}
        return self._signed("GET", "/orders/open", auth, now_ms, fields)

    def fills(
        self,
        instrument: Instrument,
        from_id: str | None,
        start_ns: int | None,
        venue_id: str | None,
        auth: Auth,
        now_ms: int,
    ) -> HttpRequest:
        fields: dict[str, Any] = {"symbol": instrument.venue_name}
        fields |= {} if from_id is None else {"from": from_id}
        fields |= {} if start_ns is None else {"since": start_ns // NS_PER_MS}
        fields |= {} if venue_id is None else {"order": venue_id}
        return self._signed("GET", "/fills", auth, now_ms, fields)

    def orders_since(self, instrument: Instrument, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        fields = {"symbol": instrument.venue_name, "since": start_ns // NS_PER_MS}
        return self._signed("GET", "/orders", auth, now_ms, fields)

    def balances(self, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/balances", auth, now_ms)

    def more(self, request: HttpRequest, response: HttpResponse, auth: Auth, now_ms: int) -> HttpRequest | None:
        if request.path not in ("/orders/open", "/orders", "/fills"):
            return None
        cursor = decoded("page", CURSOR, response.body).next
        if cursor is None:
            return None
        fields = dict(parse_qsl(request.query)) | {"cursor": cursor}
        return self._signed("GET", request.path, auth, now_ms, fields)

    def order_counts(self, auth: Auth, now_ms: int) -> HttpRequest | None:
        return self._signed("GET", "/orders/count", auth, now_ms)

    # ------------------------------------------------------------ answers

    def _answer(self, kind: str, decoder: msgspec.json.Decoder[T], response: HttpResponse, *, write: bool = False) -> T:
        require_good(response, write=write)
        return decoded(kind, decoder, response.body)

    def read_placed(self, response: HttpResponse, order: PlaceOrder, instrument: Instrument) -> PlaceAnswer:
        answer = self._answer("order", PLACED, response, write=True)
        require_same(answer.order.symbol, instrument, "order")
        report = answer.order.fact(instrument.symbol, response.received_ns)
        fills = tuple(row.fact(instrument.symbol, response.received_ns) for row in answer.fills)
        return PlaceAnswer(report, fills, report.venue_id)

    def read_list(self, response: HttpResponse, instrument: Instrument) -> tuple[ListReport, tuple[OrderReport, ...]]:
        raise Unsupported(f"{VENUE} has no order lists.")

    def _read_one(self, kind: str, response: HttpResponse, instrument: Instrument, *, write: bool) -> OrderReport:
        row = self._answer(kind, ONE_ORDER, response, write=write).order
        require_same(row.symbol, instrument, kind)
        return row.fact(instrument.symbol, response.received_ns)

    def read_cancelled(
        self, response: HttpResponse, instrument: Instrument, client_id: str | None = None
    ) -> CancelAnswer:
        return CancelAnswer(self._read_one("cancelled order", response, instrument, write=True))

    def read_amended(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        return self._read_one("amended order", response, instrument, write=True)

    def read_order(self, response: HttpResponse, instrument: Instrument) -> OrderReport | None:
        try:
            return self._read_one("order", response, instrument, write=False)
        except VenueRejected as refused:
            if refused.code == NO_SUCH_ORDER:
                return None
            raise

    def read_orders(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[OrderReport, ...]:
        """Orders of instruments that are not listed are left out: nobody here can have placed them."""
        rows = self._answer("orders", ORDER_LIST, response).orders
        listed = ((row, instruments.by_name(row.symbol)) for row in rows)
        return tuple(row.fact(found.symbol, response.received_ns) for row, found in listed if found is not None)

    def read_fills(self, response: HttpResponse, instrument: Instrument) -> tuple[Fill, ...]:
        rows = sorted(self._answer("fills", FILLS, response).fills, key=lambda row: row.id)
        for row in rows:
            require_same(row.symbol, instrument, "fills")
        return tuple(row.fact(instrument.symbol, response.received_ns) for row in rows)

    def read_balances(self, response: HttpResponse) -> BalanceReport:
        return self._answer("balances", BALANCES, response).fact(response.received_ns, complete=True)

    def read_order_counts(self, response: HttpResponse) -> Mapping[str, int]:
        return {row.name: row.points for row in self._answer("order counts", COUNTS, response).used}

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failure(response, write=write)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return used_points(response)

    # ------------------------------------------------------------ positions

    def positions(self, auth: Auth, now_ms: int) -> tuple[HttpRequest, ...]:
        return (self._signed("GET", "/positions", auth, now_ms),)

    def read_positions(self, responses: Sequence[HttpResponse], instruments: InstrumentTable) -> PositionReport:
        found: list[Position] = []
        for response in responses:
            answer = self._answer("positions", POSITIONS, response)
            listed = ((row, instruments.by_name(row.symbol)) for row in answer.positions)
            found += [row.fact(each.symbol, response.received_ns) for row, each in listed if each is not None]
        last = responses[-1]
        at_ns = self._answer("positions", POSITIONS, last).time * NS_PER_MS
        return PositionReport(VENUE, at_ns, last.received_ns, tuple(found), complete=True)

    def funding(self, start_ns: int, auth: Auth, now_ms: int) -> HttpRequest:
        return self._signed("GET", "/funding", auth, now_ms, {"since": start_ns // NS_PER_MS})

    def read_funding(self, response: HttpResponse, instruments: InstrumentTable) -> tuple[FundingPayment, ...]:
        rows = self._answer("funding", PAYMENTS, response).payments
        listed = ((row, instruments.by_name(row.symbol)) for row in rows)
        return tuple(row.fact(found.symbol, response.received_ns) for row, found in listed if found is not None)

    def configure(self, command: Configure, instrument: Instrument | None, auth: Auth, now_ms: int) -> HttpRequest:
        if (instrument is None) != (isinstance(command, SetPositionMode)):
            raise InvalidRequest(
                f"{type(command).__name__}: leverage and margin mode are a symbol's, the position mode is not."
            )
        about: dict[str, Any] = {} if instrument is None else {"symbol": instrument.venue_name}
        match command:
            case SetLeverage():
                if not 1 <= command.leverage <= 100 or command.leverage % 1:
                    raise InvalidRequest(
                        f"leverage is {command.leverage!s:.20}. {VENUE} takes whole numbers from 1 to 100."
                    )
                path, about = "/leverage", about | {"leverage": str(int(command.leverage))}
            case SetMarginMode():
                if command.mode is MarginMode.PORTFOLIO:
                    raise Unsupported(f"{VENUE} has no portfolio margin.")
                path, about = "/margin-mode", about | {"mode": command.mode.value}
            case SetPositionMode():
                if command.mode is not PositionMode.ONE_WAY:
                    raise Unsupported(f"{VENUE} has no hedge mode.")
                path, about = "/position-mode", {"mode": command.mode.value}
        return self._signed("POST", path, auth, now_ms, body=about)

    def read_configured(self, command: Configure, response: HttpResponse) -> None:
        require_good(response, write=True)


TRADING = Trading()
