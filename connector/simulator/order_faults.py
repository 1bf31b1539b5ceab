"""Break what concerns accounts: calls lost, late or answered with an error, fills at bad moments, events lost or out of order.

`Faults` inherits these; every rule there holds here too. `only` chooses calls by name, the same for REST and the WebSocket API:
"orders" (all that change something), "queries" (all that ask), "all", a name such as "order.place", or several with commas.
How often: `count` times, or `for_s` seconds, or until `clear`; `share` lets it happen to about that part of the occasions.
Seconds are the exchange's (see `time_factor`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from connector.simulator.exchange import CallFault, EventFault, Exchange, Use

__all__ = ["OrderFaults"]

T = TypeVar("T")
How = Literal["cut", "silence"]
WRITES = (
    "order.place",
    "order.modify",
    "order.cancel",
    "order.amend.keep",
    "openOrders.cancelAll",
    "orderList.place",
    "orderList.cancel",
    "algoOrder.place",
    "algoOrder.cancel",
    "countdown.set",
    "leverage.set",
    "marginType.set",
    "positionMode.set",
    "positionMargin.set",
    "positionStop.set",
)
"""How the names of calls that change something begin."""


def _wanted(only: str) -> Callable[[str], bool]:
    def wanted(name: str) -> bool:
        writes = name.startswith(WRITES)
        return any(
            part in ("all", name) or (part == "orders" and writes) or (part == "queries" and not writes)
            for part in only.split(",")
        )

    return wanted


class OrderFaults:
    """Faults of accounts and their orders."""

    def _do(self, name: str, action: Callable[[], T]) -> T:
        raise NotImplementedError

    @property
    def _exchange(self) -> Exchange:
        raise NotImplementedError

    def _part(self, count: int | None, for_s: float | None, share: float) -> Use:
        if not 0 <= share <= 1:
            raise ValueError(f"a share lies between 0 and 1, got {share}")
        exchange = self._exchange
        until_s = None if for_s is None else exchange.loop_s() + exchange.real_s(for_s)
        return Use(count, until_s, share, exchange.rng if share < 1 else None)

    def _call(
        self,
        name: str,
        count: int | None,
        share: float,
        only: str,
        for_s: float | None,
        make: Callable[[CallFault], None],
    ) -> None:
        def act() -> None:
            fault = CallFault(self._part(count, for_s, share), _wanted(only))
            make(fault)
            self._exchange.plan.calls.append(fault)

        self._do(name, act)

    # calls

    def request_lost(
        self,
        count: int | None = None,
        share: float = 1.0,
        only: str = "orders",
        how: How = "cut",
        for_s: float | None = None,
    ) -> None:
        """Lose requests before anything is done. The client is cut off, or with "silence" hears nothing."""

        def make(fault: CallFault) -> None:
            fault.at, fault.lost, fault.silent = "request", True, how == "silence"

        self._call("request_lost", count, share, only, for_s, make)

    def answer_lost(
        self,
        count: int | None = None,
        share: float = 1.0,
        only: str = "orders",
        how: How = "cut",
        for_s: float | None = None,
    ) -> None:
        """Carry requests out and lose the answer."""

        def make(fault: CallFault) -> None:
            fault.lost, fault.silent = True, how == "silence"

        self._call("answer_lost", count, share, only, for_s, make)

    def request_late(
        self,
        s: float,
        most_s: float | None = None,
        count: int | None = None,
        share: float = 1.0,
        only: str = "orders",
        for_s: float | None = None,
    ) -> None:
        """Let requests arrive so much later (between `s` and `most_s` seconds): past their window they are refused."""

        def make(fault: CallFault) -> None:
            fault.at, fault.late_s = "request", (s, s if most_s is None else most_s)

        self._call("request_late", count, share, only, for_s, make)

    def answer_late(
        self,
        s: float,
        most_s: float | None = None,
        count: int | None = None,
        share: float = 1.0,
        only: str = "orders",
        for_s: float | None = None,
    ) -> None:
        """Carry requests out at once and answer so much later (between `s` and `most_s` seconds)."""

        def make(fault: CallFault) -> None:
            fault.late_s = (s, s if most_s is None else most_s)

        self._call("answer_late", count, share, only, for_s, make)

    def answer_error(
        self,
        status: int = 504,
        code: int = 0,
        done: bool = True,
        count: int | None = None,
        share: float = 1.0,
        only: str = "orders",
        for_s: float | None = None,
    ) -> None:
        """Answer with 502, 503, 504 or any status, with the venue's -1006, -1007 or any code, and with `done` carry it out."""

        def make(fault: CallFault) -> None:
            fault.status, fault.code, fault.done = status, code, done

        self._call("answer_error", count, share, only, for_s, make)

    def duplicate_id(self, count: int | None = 1, share: float = 1.0, for_s: float | None = None) -> None:
        """Take orders and answer that their client id is in use, as after a repeat nobody asked for. Refused ones hear why."""

        def make(fault: CallFault) -> None:
            fault.status = getattr(self._exchange.dialect, "duplicate_status", 400)
            fault.code, fault.taken_only = self._exchange.dialect.duplicate_code, True

        self._call("duplicate_id", count, share, "order.place", for_s, make)

    def visibility_delay(self, s: float) -> None:
        """Let queries see orders and fills only so many seconds after they came to be; 0 ends it."""
        self._do("visibility_delay", lambda: setattr(self._exchange.plan, "blind_us", int(s * 1e6)))

    # fills

    def fills_split(self, parts: int) -> None:
        """Cut every match of an account's order into so many trades, as far as its lots go; 1 ends it."""
        if parts < 1:
            raise ValueError(f"a fill has at least one part, got {parts}")

        def act() -> None:
            for market in self._exchange.markets.values():
                market.engine.parts = parts

        self._do("fills_split", act)

    def fill_before_cancel(
        self, part: float = 1.0, count: int | None = None, share: float = 1.0, for_s: float | None = None
    ) -> None:
        """Let somebody trade with an order just before its cancel is taken: with that part of what is left, or all of it."""
        if not 0 < part <= 1:
            raise ValueError(f"a part lies above 0 and up to 1, got {part}")
        self._do(
            "fill_before_cancel", lambda: self._exchange.plan.races.append((self._part(count, for_s, share), part))
        )

    # account events

    def _event(self, name: str, fault: Callable[[], EventFault]) -> None:
        self._do(name, lambda: self._exchange.plan.events.append(fault()))

    def events_lost(
        self, count: int | None = None, share: float = 1.0, event: str = "", for_s: float | None = None
    ) -> None:
        """Lose account events on a healthy connection. `event`: the beginning of a kind such as `executionReport.TRADE`."""
        self._event("events_lost", lambda: EventFault(self._part(count, for_s, share), "lost", event))

    def events_doubled(
        self, count: int | None = None, share: float = 1.0, event: str = "", for_s: float | None = None
    ) -> None:
        """Send account events twice."""
        self._event("events_doubled", lambda: EventFault(self._part(count, for_s, share), "doubled", event))

    def events_swapped(
        self, count: int | None = None, share: float = 1.0, event: str = "", for_s: float | None = None
    ) -> None:
        """Hold account events back until the next one of the connection has gone."""
        self._event("events_swapped", lambda: EventFault(self._part(count, for_s, share), "swapped", event))

    def events_late(
        self,
        s: float,
        most_s: float | None = None,
        count: int | None = None,
        share: float = 1.0,
        event: str = "",
        for_s: float | None = None,
    ) -> None:
        """Send account events so much later (between `s` and `most_s` seconds); others overtake them."""
        late = (s, s if most_s is None else most_s)
        self._event("events_late", lambda: EventFault(self._part(count, for_s, share), "late", event, late))

    def events_after_answers(self, s: float = 0.02) -> None:
        """Send all account events so much later, in their order: the answer comes first. 0 puts them before it, as usual."""
        self._do("events_after_answers", lambda: setattr(self._exchange.plan, "events_after_s", s))

    # sessions and keys

    def session_cut(self, account: str = "") -> int:
        """Reset the WebSocket API connections that listen to an account, or all of them. Returns how many."""

        def act() -> int:
            exchange = self._exchange
            chosen = exchange.account(account) if account else None
            hit = [
                connection
                for connection in exchange.hub.connections
                if connection.session is not None
                and (chosen is None or chosen in connection.session.subscriptions.values())
            ]
            for connection in hit:
                connection.wire.reset()
            return len(hit)

        return self._do("session_cut", act)

    def stream_terminated(self, account: str) -> int:
        """End every subscription to an account's events, with the venue's notice. Returns how many."""
        return self._do(
            "stream_terminated", lambda: self._exchange.dialect.end_streams(self._exchange.account(account))
        )

    def key_revoked(self, key: str, revoked: bool = True) -> None:
        """Let a key (by its text, or all keys of an account by its name) be good for nothing; False gives it back."""

        def act() -> None:
            exchange = self._exchange
            account = exchange.account(key)
            for name, entry in exchange.desk.keys.items():
                if key in (name, account.name) and entry.account == account.name:
                    entry.revoked = revoked
            if revoked:
                exchange.dialect.end_streams(account)

        self._do("key_revoked", act)
