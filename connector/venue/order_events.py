"""Who is told what happens to our orders and positions: fills, states, payments and alarms, each once per process, in order.

Events are written down here before they are stored and handed over after, so that one that a crash of the state actor falls
upon is handed over by the next incarnation, and to nobody twice. Nothing is ever dropped: what an engine does not take waits in
its queue without a bound, and from `WARN_AT` on that is an alarm. A bound would have to lose a fill, or to stop the reading of
everybody's. Handing over runs on the state actor's thread: a callback must return fast. One that raises is counted; one that
does not return is taken off when the supervisor replaces the actor it holds up.

It decides nothing about orders, stores nothing durable and starts no thread. What was told by an earlier process is not known
here: a fill is in the store before it is told, so it is told again by no later one.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from connector.domain.account import FundingPayment, Position, PositionSide
from connector.domain.orders import Fill, FillKey, Order
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import Event
from connector.telemetry import Counters, OncePerKind
from connector.venue.delivery import Closed
from connector.venue.positions import is_same_position

__all__ = ["OrderEvents", "OrderSubscription"]

WARN_AT = 100_000
REMEMBERED = 100_000
"""Fills and orders told lately, for the case that one could not be stored before the state actor was restarted."""

_CLOSE = object()


class OrderSubscription:
    """One listener to the order events of an account, as the engine holds it; the same over every restart below.

    Attributes:
        delivered, failures: events handed over; callbacks or inboxes that raised.
        last_failure: what the last of them raised.

    Safe on any thread.
    """

    def __init__(
        self,
        venue: str,
        *,
        callback: Callable[[Event], object] | None = None,
        on_close: Callable[[OrderSubscription], None] = lambda subscription: None,
        on_many: Callable[[int], None] = lambda waiting: None,
    ) -> None:
        self.venue = venue
        self.delivered = self.failures = 0
        self.last_failure: BaseException | None = None
        self.last_number = 0  # of the newest event handed over; written by the one that hands over
        self.is_busy = False  # inside the callback
        self._callback, self._on_close, self._on_many = callback, on_close, on_many
        self._warn_at = WARN_AT
        self._ended = False
        self._lock = threading.Lock()  # guards _ended against two that close; nothing is called under it
        self._values: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def take(self, number: int, event: Event) -> None:
        """Called by `OrderEvents`, never on two threads at once."""
        self.last_number = number
        if self._ended:
            return
        self.delivered += 1
        if self._callback is None:
            self._values.put(event)
            if self._values.qsize() >= self._warn_at:
                self._warn_at *= 2
                self._on_many(self._values.qsize())
            return
        self.is_busy = True
        try:
            self._callback(event)
        except BaseException as failure:  # noqa: BLE001  a consumer's error, SystemExit included, is the consumer's alone
            self.failures += 1
            self.last_failure = failure
        self.is_busy = False

    def get(self, timeout_s: float | None = None) -> Event:
        """The next event, oldest first: a Fill, an Order or an Alarm; with contracts a Position or a FundingPayment too.

        Raises:
            TimeoutError: nothing came within `timeout_s`.
            Closed: the subscription has ended and is empty.
        """
        if self._callback is not None:
            raise TypeError(f"{self!r} delivers to a callback; there is no queue to read.")
        try:
            event = self._values.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no order event of {self.venue} within {timeout_s} s.") from None
        if event is _CLOSE:
            self._values.put(_CLOSE)  # for other readers, and for the next call
            raise Closed(f"the order events of {self.venue} were unsubscribed")
        found: Event = event
        return found

    def __iter__(self) -> Iterator[Event]:
        """Events until the subscription is closed."""
        while True:
            try:
                yield self.get()
            except Closed:
                return

    @property
    def waiting(self) -> int:
        """Events in the queue."""
        return self._values.qsize()

    @property
    def is_closed(self) -> bool:
        return self._ended

    def close(self) -> None:
        """Stop listening. Events already queued can still be taken. Idempotent."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._on_close(self)
        self._values.put(_CLOSE)

    def __enter__(self) -> OrderSubscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        how = "callback" if self._callback is not None else f"queue {self.waiting}"
        return (
            f"<OrderSubscription {self.venue} {'closed ' if self._ended else ''}{how} "
            f"delivered={self.delivered} failures={self.failures}>"
        )


class OrderEvents:
    """Listeners of one account, and what is on its way to them. Outlives the state actor.

    Args:
        name: the venue's.
    """

    def __init__(self, name: str, counters: Counters, alarms: OncePerKind) -> None:
        self._name, self._counters, self._alarms = name, counters, alarms
        self._lock = threading.Lock()  # guards everything below; nobody else's code runs under it
        self._listeners: tuple[OrderSubscription, ...] = ()
        self._outbox: deque[tuple[int, Event]] = deque()
        self._number = 0
        self._fills_told: dict[FillKey, None] = {}
        self._orders_told: dict[str, Order] = {}
        self._payments_told: dict[tuple[Symbol | None, str, str], None] = {}
        self._positions_told: dict[tuple[Symbol, PositionSide], Position] = {}

    # ------------------------------------------------------------ engines, any thread

    def listen(self, callback: Callable[[Event], object] | None = None) -> OrderSubscription:
        """A new listener, from the next event on."""
        listener = OrderSubscription(self._name, callback=callback, on_close=self._remove, on_many=self._warn)
        with self._lock:
            listener.last_number = self._number
            self._listeners = (*self._listeners, listener)
        return listener

    def _remove(self, listener: OrderSubscription) -> None:
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def _warn(self, waiting: int) -> None:
        self._counters.add("account.events_piled_up")
        self._alarms.report("order events are not taken", f"{waiting} wait in one queue; nothing is dropped")

    def close(self) -> None:
        """End every subscription: nothing more will come. Idempotent."""
        for listener in self._listeners:
            listener.close()

    @property
    def listeners(self) -> tuple[OrderSubscription, ...]:
        return self._listeners

    @property
    def positions_told(self) -> tuple[Position, ...]:
        """The last state told of every position: where the next incarnation of the state actor begins."""
        with self._lock:
            return tuple(self._positions_told.values())

    @property
    def open_told(self) -> tuple[str, ...]:
        """Client ids of orders whose state told last is not final."""
        with self._lock:
            return tuple(name for name, order in self._orders_told.items() if not order.status.is_final)

    def know(self, fills: Iterable[Fill], orders: Iterable[Order]) -> None:
        """What is older than this process: as if it had been told."""
        with self._lock:
            for fill in fills:
                _remember(self._fills_told, (fill.symbol, fill.trade_id), None)
            for order in orders:
                _remember(self._orders_told, order.client_id, _state_of(order))

    @property
    def waiting(self) -> int:
        """Events written down and not handed to everybody yet."""
        return len(self._outbox)

    # ------------------------------------------------------------ the state actor

    def prepare(self, events: Iterable[Event]) -> None:
        """Write events down, in order. A fill that was written down before is left out, and an order in the state told last."""
        with self._lock:
            for event in events:
                if isinstance(event, Fill):
                    key = event.key
                    if key in self._fills_told:
                        continue
                    _remember(self._fills_told, key, None)
                elif isinstance(event, Order):
                    state = _state_of(event)
                    if self._orders_told.pop(event.client_id, None) == state:
                        self._orders_told[event.client_id] = state
                        continue
                    _remember(self._orders_told, event.client_id, state)
                elif isinstance(event, FundingPayment):
                    paid = (event.symbol, event.asset, event.payment_id)
                    if paid in self._payments_told:
                        continue
                    _remember(self._payments_told, paid, None)
                elif isinstance(event, Position):
                    told = self._positions_told.get((event.symbol, event.side))
                    if told is not None and is_same_position(told, event):
                        continue
                    self._positions_told[event.symbol, event.side] = event
                self._number += 1
                self._outbox.append((self._number, event))

    def deliver(self, is_current: Callable[[], bool] = lambda: True) -> None:
        """Hand over what is written down. An incarnation that is not current any more stops at once."""
        while self._outbox:
            number, event = self._outbox[0]
            for listener in self._listeners:
                if not is_current():
                    return
                if listener.last_number < number:
                    listener.take(number, event)
            with self._lock:  # an abandoned incarnation may come back here late: its event is gone by then
                if self._outbox and self._outbox[0][0] == number:
                    self._outbox.popleft()

    def recover(self, is_current: Callable[[], bool] = lambda: True) -> None:
        """At the start of an incarnation: take off callbacks its predecessor still stands in, then hand over what it left."""
        for listener in self._listeners:
            if listener.is_busy:
                self._counters.add("account.consumers_taken_off")
                self._alarms.report("an order callback did not return", repr(listener))
                listener.close()
        self.deliver(is_current)

    def __repr__(self) -> str:
        return f"<OrderEvents {self._name} listeners={len(self._listeners)} waiting={len(self._outbox)}>"


def _state_of(order: Order) -> Order:
    """The order without what differs between two tellings of the same."""
    return replace(order, received_ns=0, event_time_ns=None, recovered=False)


def _remember(told: dict[Any, Any], key: Any, value: Any) -> None:
    told[key] = value
    if len(told) > REMEMBERED:
        del told[next(iter(told))]
