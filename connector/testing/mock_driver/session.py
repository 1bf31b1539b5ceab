"""SessionLanguage of the mock venue: orders by request and reply, and the account's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.facts import AccountFact, BalanceChange, PositionReport, StreamEnded
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Order
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge, HttpResponse
from connector.drivers.contract import Hosts
from connector.drivers.trading import (
    Auth,
    KeyRule,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import ConnectorError, Unsupported, WireFormatError
from connector.testing.mock_driver.facts import ORDERS, REQUESTS, VENUE
from connector.testing.mock_driver.orders import amend_fields, of_instrument, place_fields
from connector.testing.mock_driver.reports import BALANCES, FILL_ROW, ORDER_ROW, PAYMENT_ROW, POSITIONS, TRANSFER
from connector.testing.mock_driver.trading import TRADING
from connector.testing.mock_driver.wire import UNREADABLE, decoder_of, sound, words

__all__ = ["Session"]


class _SessionFrame(msgspec.Struct):
    id: str | UnsetType | None = UNSET
    status: Annotated[int, Meta(ge=100, le=599)] | UnsetType = UNSET
    body: msgspec.Raw | UnsetType = UNSET
    event: str = ""
    data: msgspec.Raw | UnsetType = UNSET
    closing: str | UnsetType = UNSET
    hello: bool = False


_SESSION = decoder_of(_SessionFrame)


class Session:
    """SessionLanguage of the mock; see `drivers.trading`. Holds nothing."""

    max_age_s: float | None = 86_400.0
    rollover_before_s: float = 600.0
    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return f"{hosts.session}/session"

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return (self._login,)

    def _login(self, request_id: str, auth: Auth, now_ms: int) -> SessionRequest:
        signature = auth.sign(f"{now_ms}login")
        said = {"id": request_id, "do": "login", "key": auth.key, "time": now_ms, "sign": signature}
        return SessionRequest(msgspec.json.encode(said), request_id, (Charge(REQUESTS, 1),))

    def probe(self, request_id: str) -> SessionRequest | None:
        return SessionRequest(msgspec.json.encode({"id": request_id, "do": "ping"}), request_id, ())

    def _command(self, request_id: str, what: str, fields: dict[str, Any], now_ms: int) -> SessionRequest:
        said = {"id": request_id, "do": what, "time": now_ms, "window": TRADING.rules.recv_window_ms, "with": fields}
        charges = (Charge(REQUESTS, 1), *((Charge(ORDERS, 1),) if what in ("place", "amend") else ()))
        return SessionRequest(msgspec.json.encode(said), request_id, charges)

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(
            request_id, "test" if order.test else "place", place_fields(order, client_id, instrument), now_ms
        )

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(
            request_id, "cancel", of_instrument(order, instrument) | {"client_id": order.client_id}, now_ms
        )

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest:
        raise Unsupported(f"{VENUE} has no order lists.")

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._command(request_id, "amend", amend_fields(order, instrument), now_ms)

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            said = _SESSION.decode(frame)
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        if said.id is not UNSET and said.status is not UNSET:
            body = b"" if said.body is UNSET else bytes(said.body)
            return SessionReply(said.id, HttpResponse(said.status, {}, body, received_ns, received_ns))
        if said.closing is not UNSET:
            return SessionEnding(words(said.closing) or "no reason given")
        if said.hello:
            return SessionNoise("hello", known=True)
        if said.event and said.data is not UNSET:
            return self._event(said.event, said.data, received_ns, instruments)
        return SessionNoise("frame of an unknown form", known=False)

    def _event(
        self, kind: str, data: msgspec.Raw, received_ns: int, instruments: InstrumentTable
    ) -> SessionEvents | SessionNoise:
        read = _EVENTS.get(kind)
        if read is None:
            return SessionNoise(f"event {words(kind)}", known=False)
        try:
            return SessionEvents((read(data, received_ns, instruments),))
        except (*UNREADABLE, ConnectorError):
            return SessionNoise(f"unreadable {words(kind)}", known=False)


def _of_symbol(row: Any, received_ns: int, instruments: InstrumentTable) -> Any:
    instrument = instruments.by_name(row.symbol)
    if instrument is None:
        raise WireFormatError("event", f"{row.symbol!r:.40} is not listed")
    return row.fact(instrument.symbol, received_ns)


def _positions_event(data: msgspec.Raw, received_ns: int, instruments: InstrumentTable) -> PositionReport:
    answer = POSITIONS.decode(data)
    positions = tuple(_of_symbol(row, received_ns, instruments) for row in answer.positions)
    return PositionReport(VENUE, answer.time * NS_PER_MS, received_ns, positions, complete=False)


def _transfer_event(data: msgspec.Raw, received_ns: int, instruments: InstrumentTable) -> BalanceChange:
    row = TRANSFER.decode(data)
    change = sound("transfer", row.change, sign=True)
    return BalanceChange(VENUE, row.time * NS_PER_MS, received_ns, row.asset, change)


_EVENTS: Mapping[str, Callable[[msgspec.Raw, int, InstrumentTable], AccountFact]] = {
    "order": lambda data, at_ns, table: _of_symbol(ORDER_ROW.decode(data), at_ns, table),
    "fill": lambda data, at_ns, table: _of_symbol(FILL_ROW.decode(data), at_ns, table),
    "funding": lambda data, at_ns, table: _of_symbol(PAYMENT_ROW.decode(data), at_ns, table),
    "balances": lambda data, at_ns, table: BALANCES.decode(data).fact(at_ns, complete=False),
    "positions": _positions_event,
    "transfer": _transfer_event,
    "ended": lambda data, at_ns, table: StreamEnded("the venue ended the events of this session"),
}
