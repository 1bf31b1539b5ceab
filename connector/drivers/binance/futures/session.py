"""The WebSocket API of Binance futures: orders over one connection. Frames out, replies in; events come by another (`events`).

The same parameters as over REST, each request signed for itself and sorted by name: a session that is logged on needs an Ed25519
key and is not used. A reply becomes the HTTP answer it stands for, so REST's readers and error table serve both ways. Algo
orders go over the session on USDⓈ-M only; COIN-M's takes none, so there they go by REST.

Never sends, waits or reads a clock; keeps nothing between frames. Safe on any thread.

Source: venue API docs, "Websocket API", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.orders import Order
from connector.domain.wire import Charge
from connector.drivers.binance import replies
from connector.drivers.binance.futures import facts
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.orders import (
    CALLS,
    Params,
    amend_params,
    cancel_call,
    cancel_params,
    charges,
    place_call,
    place_params,
)
from connector.drivers.binance.signing import signed_params
from connector.drivers.binance.wire import UNREADABLE
from connector.drivers.contract import Hosts
from connector.drivers.trading import (
    Auth,
    KeyRule,
    OrderRules,
    SessionEnding,
    SessionEvents,
    SessionNoise,
    SessionReply,
    SessionRequest,
)
from connector.errors import Unsupported

__all__ = ["Session"]

_PROBE_WEIGHT = 2


@dataclass(frozen=True, slots=True)
class Session:
    """SessionLanguage of one of the products; see `drivers.trading`.

    Attributes:
        rules: only the window is used; give the one of the trade language.
    """

    futures: Futures
    rules: OrderRules
    max_age_s: float | None = 86_400.0
    rollover_before_s: float = 600.0
    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return hosts.session + self.futures.session_path

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        """Connecting is enough: every request is signed."""
        return ()

    # ------------------------------------------------------------ requests

    def _frame(
        self, request_id: str, method: str, params: Mapping[str, Any], costs: tuple[Charge, ...]
    ) -> SessionRequest:
        frame = msgspec.json.encode({"id": request_id, "method": method, "params": params})
        return SessionRequest(frame, request_id, costs)

    def _signed(self, request_id: str, name: str, params: Params, auth: Auth, now_ms: int) -> SessionRequest:
        call = CALLS[self.futures.venue][name]
        if not call.name:
            raise Unsupported(f"{self.futures.title} takes conditional orders by REST, not over the session.")
        unsigned = dict(params) | {
            "apiKey": auth.key,
            "recvWindow": self.rules.recv_window_ms,
            "timestamp": now_ms,
        }
        return self._frame(request_id, call.name, signed_params(unsigned, auth.sign), charges(call))

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        if order.test:
            raise Unsupported(f"{self.futures.title} tests no orders over the session.")
        params = place_params(self.futures, order, client_id, instrument)
        return self._signed(request_id, place_call(self.futures, order), params, auth, now_ms)

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest:
        raise Unsupported(f"{self.futures.title} has no order lists. Nothing was sent.")

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        algo, params = cancel_params(self.futures, order, current, instrument)
        return self._signed(request_id, cancel_call(algo), params, auth, now_ms)

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        params = amend_params(self.futures, order, current, instrument)
        return self._signed(request_id, "amend", params, auth, now_ms)

    def probe(self, request_id: str) -> SessionRequest:
        """Asks who is logged on: nobody is, and any reply proves that the connection lives."""
        costs = (Charge(facts.REQUEST_WEIGHT, _PROBE_WEIGHT),)
        return self._frame(request_id, "session.status", {}, costs)

    # ------------------------------------------------------------ frames

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            heard = replies.FRAME.decode(frame)
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        if heard.e == "serverShutdown":
            return SessionEnding("the venue announced that it shuts this connection's server down")
        if heard.e:
            return SessionNoise(f"event {replies.words(heard.e)}", known=False)
        if isinstance(heard.status, msgspec.UnsetType) or not 100 <= heard.status <= 599:
            return SessionNoise("frame of an unknown form", known=False)
        return replies.reply(heard, received_ns)
