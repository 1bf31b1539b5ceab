"""Binance's WebSocket API: orders and the account's events over one connection. Frames out, replies and facts in.

The same parameters as over REST, signed sorted by name. A reply becomes an `HttpResponse` with REST's status, body and headers
(used budgets, and a `retry-after` made from the venue's own two times), so REST's readers and error table serve both ways.
There is no renewal: a subscription is signed anew on every connection and ends with it. The probe asks for the subscriptions
of the connection, so a session that lives but no longer tells anything is found out.

Never sends, waits or reads a clock; keeps nothing between frames but what the usual order of a symbol always says. Safe on any
thread.

Source: venue API docs, "WebSocket API", "User data streams", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from connector.domain.commands import AmendOrder, CancelOrder, PlaceOrder, PlaceOrderList
from connector.domain.facts import StreamEnded
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Order
from connector.domain.wire import Charge
from connector.drivers.binance import facts, replies, reports
from connector.drivers.binance.orders import (
    CALLS,
    Call,
    Params,
    amend_params,
    cancel_params,
    charges,
    limit_words,
    list_params,
    place_params,
)
from connector.drivers.binance.signing import session_payload
from connector.drivers.binance.trading import TRADING
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
from connector.errors import WireFormatError

__all__ = ["SESSION", "Session"]

_PATH = "/ws-api/v3"
_WEIGHT = 2  # of a subscription, and of the question for subscriptions

# ---------------------------------------------------------------- frames


class _Named(msgspec.Struct):
    """What can be told of an event that cannot be read; either may be anything."""

    e: Any = ""
    s: Any = ""


class _Subscription(msgspec.Struct, rename="camel"):
    subscription_id: int


_EVENT: msgspec.json.Decoder[reports.Event] = msgspec.json.Decoder(reports.Event)
_NAMED = msgspec.json.Decoder(_Named)

_KNOWN = frozenset(member.__struct_config__.tag for member in reports.EVENTS)


_PLACE = charges(CALLS["place"])


@lru_cache(maxsize=4_096)  # symbols and sides
def _limit_order(venue_name: str, is_buy: bool, window_ms: int) -> tuple[str, str] | None:
    """The usual order, all but what differs from one to the next: its text to sign and its frame, to be filled in by `%`.

    Both want (key, client id, price, quantity, timestamp); the frame also the request id before and the signature after them.
    Names are sorted in both. None: the symbol's name would have to be escaped.
    """
    if not venue_name.isalnum():
        return None
    side = "BUY" if is_buy else "SELL"
    sign = (
        f"apiKey=%s&newClientOrderId=%s&newOrderRespType=FULL&price=%s&quantity=%s&recvWindow={window_ms}&side={side}"
    )
    sign += f"&symbol={venue_name}&timeInForce=GTC&timestamp=%d&type=LIMIT"
    frame = (
        '{"id":"%s","method":"order.place","params":{"apiKey":"%s","newClientOrderId":"%s","newOrderRespType":"FULL"'
    )
    frame += f',"price":"%s","quantity":"%s","recvWindow":{window_ms},"side":"{side}","symbol":"{venue_name}"'
    frame += ',"timeInForce":"GTC","timestamp":%d,"type":"LIMIT","signature":"%s"}}'
    return sign, frame


def _named(raw: bytes | msgspec.Raw) -> _Named:
    try:
        return _NAMED.decode(raw)
    except UNREADABLE:
        return _Named()


def _event(
    raw: bytes | msgspec.Raw, received_ns: int, instruments: InstrumentTable
) -> SessionEvents | SessionEnding | SessionNoise:
    try:
        event = _EVENT.decode(raw)
        if isinstance(event, reports.ServerShutdown):
            return SessionEnding("the venue announced that it shuts this connection's server down")
        return SessionEvents(reports.event_facts(event, received_ns, instruments))
    except reports.Unlisted as unlisted:
        return SessionNoise(f"{unlisted.kind} of {replies.words(unlisted.symbol)}, which is not listed", known=False)
    except (WireFormatError, *UNREADABLE):
        name = _named(raw).e
        if not isinstance(name, str) or not name:
            return SessionNoise("event of an unknown form", known=False)
        return SessionNoise(f"unreadable {name}" if name in _KNOWN else f"event {replies.words(name)}", known=False)


# ---------------------------------------------------------------- the language


@dataclass(frozen=True, slots=True)
class Session:
    """SessionLanguage of Binance spot; see `drivers.trading`.

    Attributes:
        rules: only the window is used; give the one of the trade language.
    """

    rules: OrderRules = TRADING.rules
    max_age_s: float | None = 86_400.0
    rollover_before_s: float = 1_800.0

    key: KeyRule | None = None

    def url(self, hosts: Hosts, key: str = "") -> str:
        return hosts.session + _PATH

    def opening(self) -> Sequence[Callable[[str, Auth, int], SessionRequest]]:
        return (self._subscribe,)

    # ------------------------------------------------------------ requests

    def _frame(
        self, request_id: str, method: str, params: Mapping[str, Any], *, costs: tuple[Charge, ...]
    ) -> SessionRequest:
        frame = msgspec.json.encode({"id": request_id, "method": method, "params": params})
        return SessionRequest(frame, request_id, costs)

    def _signed(self, request_id: str, call: Call, params: Params, auth: Auth, now_ms: int) -> SessionRequest:
        signed = self._with_signature(dict(params), auth, now_ms)
        return self._frame(request_id, call.name, signed, costs=charges(call))

    def _with_signature(self, params: dict[str, str | int], auth: Auth, now_ms: int) -> dict[str, str | int]:
        params["apiKey"], params["recvWindow"], params["timestamp"] = auth.key, self.rules.recv_window_ms, now_ms
        params["signature"] = auth.sign(session_payload(params))
        return params

    def _subscribe(self, request_id: str, auth: Auth, now_ms: int) -> SessionRequest:
        """Serves every kind of key; a session that is logged on needs an Ed25519 key and is not used."""
        params = self._with_signature({}, auth, now_ms)
        costs = (Charge(facts.REQUEST_WEIGHT, _WEIGHT),)
        return self._frame(request_id, "userDataStream.subscribe.signature", params, costs=costs)

    def place(
        self, request_id: str, order: PlaceOrder, client_id: str, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        words = limit_words(order, client_id, instrument)
        if words is not None and auth.key.isalnum():
            prepared = _limit_order(instrument.venue_name, order.side is Side.BUY, self.rules.recv_window_ms)
            if prepared is not None:
                quantity, price = words
                filled = (auth.key, client_id, price, quantity, now_ms)
                signature = auth.sign(prepared[0] % filled)
                return SessionRequest((prepared[1] % (request_id, *filled, signature)).encode(), request_id, _PLACE)
        call = CALLS["test" if order.test else "place"]
        return self._signed(request_id, call, place_params(order, client_id, instrument), auth, now_ms)

    def place_list(
        self,
        request_id: str,
        orders: PlaceOrderList,
        client_ids: Sequence[str],
        instrument: Instrument,
        auth: Auth,
        now_ms: int,
    ) -> SessionRequest:
        params = list_params(orders, client_ids, instrument)
        return self._signed(request_id, CALLS[orders.kind.value], params, auth, now_ms)

    def cancel(
        self, request_id: str, order: CancelOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        params = cancel_params(order, current.venue_id, instrument)
        return self._signed(request_id, CALLS["cancel"], params, auth, now_ms)

    def amend(
        self, request_id: str, order: AmendOrder, current: Order, instrument: Instrument, auth: Auth, now_ms: int
    ) -> SessionRequest:
        return self._signed(request_id, CALLS["amend"], amend_params(order, current.venue_id, instrument), auth, now_ms)

    def probe(self, request_id: str) -> SessionRequest:
        """Asks for the subscriptions of this connection; that there are none is read as the end of the stream."""
        costs = (Charge(facts.REQUEST_WEIGHT, _WEIGHT),)
        return self._frame(request_id, "session.subscriptions", {}, costs=costs)

    # ------------------------------------------------------------ frames

    def read(
        self, frame: bytes, received_ns: int, instruments: InstrumentTable
    ) -> SessionReply | SessionEvents | SessionEnding | SessionNoise:
        try:
            heard = replies.FRAME.decode(frame)
        except UNREADABLE:
            return SessionNoise("unreadable frame", known=False)
        if not isinstance(heard.event, msgspec.UnsetType):
            return _event(heard.event, received_ns, instruments)
        if heard.e:
            return _event(frame, received_ns, instruments)
        if isinstance(heard.status, msgspec.UnsetType) or not 100 <= heard.status <= 599:
            return SessionNoise("frame of an unknown form", known=False)
        if heard.status == 200 and heard.result == _NOTHING:
            return SessionEvents((StreamEnded("the venue knows of no subscription on this connection"),))
        return replies.reply(heard, received_ns)


_NOTHING = msgspec.Raw(b"[]")
SESSION = Session()
