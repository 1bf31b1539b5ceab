"""Scenarios of the fault matrix: orders, accounts, limits, clocks and keys (F36-F63), and private streams (F01-F04)."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from harness import BINANCE, PRODUCTS, eventually
from products import Product
from proxy import Proxy
from scenario import Seen, public, scenario

from connector import Side, VenueSettings
from connector.clock import SystemClock
from connector.domain.commands import AmendOrder, CancelAll, OutcomeKind, PlaceBatch
from connector.domain.credentials import Credentials
from connector.domain.orders import OrderStatus
from connector.drivers.registry import find_driver
from connector.errors import RateLimited, RetryLater
from connector.simulator import Simulator
from connector.throttle import BackoffPolicy
from connector.venue.orders import ThrowKillSwitch

_SPEC = importlib.util.spec_from_file_location("account_desk", Path(__file__).parents[1] / "e2e" / "conftest.py")
assert _SPEC is not None and _SPEC.loader is not None
desks = importlib.util.module_from_spec(_SPEC)
sys.modules["account_desk"] = desks
_SPEC.loader.exec_module(desks)

SETTLED_S = 10.0
SECOND_NS = 1_000_000_000
SESSION, REST, EVENTS = "orders over the session", "orders by REST", "private stream"


class Sessionless(desks.Desk):
    """An account that is compared, not followed; that there is no session is no doubt of its own here."""

    def is_up(self) -> bool:
        return True

    def doubts(self) -> list[str]:
        return [each for each in super().doubts() if "session" not in each]


class Account:
    """An account behind proxies, and what was measured on it.

    Attributes:
        desk: places orders, and compares with the exchange's ledger.
        session, rest: the proxies before the private session and before REST.
        sure_s: from the end of the fault until the account was also marked as beyond doubt, which takes longer: an exchange
            that has just come back may answer with what was true before.
    """

    def __init__(self, desk: Any, session: Proxy, rest: Proxy) -> None:
        self.desk, self.session, self.rest = desk, session, rest
        self.seen, self.began_s, self.sure_s = Seen(), 0.0, 0.0
        self._epochs = self._restarts()

    def _restarts(self) -> dict[str, int]:
        tree, name = self.desk.connector.tree, self.desk.product.exchange
        return {part: tree.ref(f"/{name}{part}").epoch for part in ("", "/rest", "/stream", "/state", "/orders")}

    def counter(self, name: str) -> int:
        count: int = self.desk.memory.counters.get(name)
        return count

    def strike(self, fault: Callable[[], object]) -> None:
        self.began_s = time.monotonic()
        fault()

    def await_noticed(self, within_s: float = 40.0) -> None:
        """Wait until the private session is known to be down."""
        eventually(lambda: not self.desk.is_up(), within_s, "nobody noticed that the session is gone")
        self.seen.noticed_s = max(time.monotonic() - self.began_s, self.seen.noticed_s or 0.0)

    def await_back(self, since_s: float | None = None, within_s: float = 60.0, session: bool = True) -> None:
        """Wait until the account is beyond doubt and as the ledger says, and the session is up."""
        since_s = self.began_s if since_s is None else since_s
        if session:
            eventually(self.desk.is_up, within_s, "the session did not come back")
        eventually(lambda: not self.desk.wrong(), within_s, lambda: str(self.desk.wrong()))
        self.seen.back_s = max(time.monotonic() - since_s, self.seen.back_s or 0.0)
        self.desk.await_equal(within_s)
        self.sure_s = max(time.monotonic() - since_s, self.sure_s)

    def await_final(self, client_ids: list[str], *statuses: OrderStatus, within_s: float = 40.0) -> None:
        """Wait until each order is in one of these; the worst time since the fault began counts as back."""
        for client_id in client_ids:
            self.desk.await_status(client_id, *statuses, within_s=within_s)
        self.seen.back_s = max(time.monotonic() - self.began_s, self.seen.back_s or 0.0)

    def expect(self, outcome: Any, *kinds: OutcomeKind) -> str:
        if outcome.kind not in kinds:
            self.seen.wrong.append(f"an order was told {outcome.kind.value} {outcome.code} {outcome.reason}")
        client_id: str = outcome.client_id
        return client_id

    def judged(self) -> Seen:
        """The verdict: the account equals the ledger, every fill once, nothing that was told is untrue."""
        desk, seen = self.desk, self.seen
        desk.sim.faults.clear()
        desk.await_equal(40.0)
        if self.sure_s > (seen.back_s or 0.0) + 0.1 and not seen.note:
            seen.note = f"marked as beyond doubt after {self.sure_s:.1f} s"
        mine = [fill for fill in desk.sim.ledger.fills("main") if fill.client_id not in desk.others]
        told = [(each.client_id, each.trade_id, each.side) for each in list(desk.told) if hasattr(each, "trade_id")]
        seen.doubled += len(told) - len(set(told))
        seen.lost += max(0, len(mine) - len(set(told)))
        now = self._restarts()
        seen.false_alarms += sum(now[part] != epoch for part, epoch in self._epochs.items())
        return seen


@contextmanager
def account(
    product: Product = BINANCE,
    *,
    by_rest: bool = False,
    exchange: dict[str, Any] | None = None,
    **venue: Any,
) -> Iterator[Account]:
    """An account with the settings users get, but for the client's in `venue`.

    `by_rest`: without a session. `exchange`: of the simulator's settings.
    """
    with ExitStack() as opened:
        proxies: list[Proxy] = []

        def settings(sim: Simulator) -> dict[str, Any]:
            proxies.extend(opened.enter_context(Proxy("127.0.0.1", sim.port)) for _ in range(2))
            return {
                "rest_url": proxies[1].before(sim.rest_url),
                "session_url": None if by_rest else proxies[0].before(sim.ws_url),
                "reconnect": BackoffPolicy(),
                **venue,
            }

        driver = find_driver(product.exchange)
        if by_rest:
            opened.callback(setattr, desks, "Desk", desks.Desk)
            desks.Desk = Sessionless
        desk = opened.enter_context(desks.desk_at(product, driver, settings, **(exchange or {})))
        desk.place()
        yield Account(desk, proxies[0], proxies[1])


# ---------------------------------------------------------------- F01-F04 on the private stream


def session_ends(how: str, product: Product) -> Seen:
    """F01, F02, F03: orders fill while nobody listens; the fills come once, marked as recovered."""
    with account(product) as bench:
        desk = bench.desk
        resting = [desk.place().client_id for _ in range(3)]
        strikes: dict[str, Callable[[], object]] = {
            "reset": bench.session.cut,
            "reset in a frame": partial(bench.session.cut, at_byte=3, inside="frame"),
            "close 1012": partial(desk.sim.faults.close, 1012, "because"),
            "half-open": bench.session.half_open,
            "silence, we hear nothing": partial(bench.session.half_open, "to_client"),
            "silence, the exchange hears nothing": partial(bench.session.half_open, "to_venue"),
        }
        bench.strike(strikes[how])
        if how in ("half-open", "silence, we hear nothing", "silence, the exchange hears nothing", "reset in a frame"):
            desk.sim.fill("main", resting[0])  # told into the silence, or torn on its way
        bench.await_noticed()
        if desk.true_order(resting[0]).open:
            desk.sim.fill("main", resting[0])
        for client_id in resting[1:]:
            desk.sim.fill("main", client_id)
        bench.await_back(bench.began_s)
        for client_id in resting:
            desk.await_status(client_id, OrderStatus.FILLED)
            if desk.statuses_told(client_id)[-1] is not OrderStatus.FILLED:
                bench.seen.wrong.append(f"{client_id} was told {desk.statuses_told(client_id)}")
        return bench.judged()


for _row, _how, _noticed, _bound in (
    ("F01", "reset", 1.0, 3.0),
    ("F01", "reset in a frame", 1.0, 3.0),
    ("F02", "close 1012", 1.0, 3.0),
    ("F03", "half-open", 15.0, 15.0),
    ("F04", "silence, we hear nothing", 15.0, 15.0),
    ("F04", "silence, the exchange hears nothing", 15.0, 15.0),
):
    scenario(_row, f"{EVENTS}, {_how}", noticed_s=_noticed, back_s=_bound)(partial(session_ends, _how, BINANCE))
for _product in list(PRODUCTS.values())[1:]:
    scenario("F01", f"{EVENTS}, reset, {_product}", noticed_s=1.0, back_s=3.0)(partial(session_ends, "reset", _product))


# ---------------------------------------------------------------- F36-F41: requests and answers


def lost_request(by_rest: bool, how: str) -> Seen:
    with account(by_rest=by_rest) as bench:
        bench.desk.sim.faults.request_lost(count=1, only="order.place", how=how)
        bench.strike(lambda: None)
        client_id = bench.expect(bench.desk.place(), OutcomeKind.UNKNOWN)
        bench.await_final([client_id], OrderStatus.REJECTED)
        if bench.desk.is_at_venue(client_id):
            bench.seen.wrong.append("told as never arrived, and it is there")
        return bench.judged()


for _by_rest, _place in ((False, SESSION), (True, REST)):
    scenario("F36", f"{_place}, cut off: until told as never arrived", back_s=40.0)(
        partial(lost_request, _by_rest, "cut")
    )
scenario("F36", f"{SESSION}, no answer: until told as never arrived", back_s=40.0)(
    partial(lost_request, False, "silence")
)


def lost_answer(by_rest: bool, how: str) -> Seen:
    """F37: carried out, and neither the answer nor an event tells."""
    with account(by_rest=by_rest) as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        sent = bench.counter("orders.sent")
        faults.events_lost(count=1, event=desk.product.order_event)
        if how == "late":
            faults.answer_late(8.0, count=1, only="order.place")
        elif how == "torn":
            bench.rest.cut(inside="answer", at_byte=30)
        else:
            faults.answer_lost(count=1, only="order.place", how=how)
        bench.strike(lambda: None)
        outcome = desk.place()
        client_id = bench.expect(outcome, OutcomeKind.UNKNOWN, OutcomeKind.ACCEPTED)
        bench.seen.note = f"told {outcome.kind.value} first"
        bench.await_final([client_id], OrderStatus.NEW)
        if bench.counter("orders.sent") != sent + 1:
            bench.seen.wrong.append("it was sent again")
        return bench.judged()


for _by_rest, _place, _hows in ((False, SESSION, ("cut", "silence", "late")), (True, REST, ("cut", "late", "torn"))):
    for _how in _hows:
        scenario("F37", f"{_place}, answer {'lost, ' if _how in ('cut', 'silence') else ''}{_how}", back_s=SETTLED_S)(
            partial(lost_answer, _by_rest, _how)
        )


@scenario("F37", "exchange gone for 3 s with orders on their way", back_s=SETTLED_S)
def gone() -> Seen:
    with account() as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        placed = desk.place().client_id
        faults.answer_lost(count=3, only="order.place", how="silence")
        faults.events_lost(count=6, event=desk.product.order_event)
        there = len(desk.sim.ledger.orders("main"))
        waiting = [desk.venue.orders.ask(desk.order(), block=False) for _ in range(3)]
        eventually(lambda: len(desk.sim.ledger.orders("main")) == there + 3, 10.0)
        faults.refuse_connect(for_s=3.0)
        bench.strike(partial(faults.cut, scope="all"))
        desk.sim.fill("main", placed)
        bench.await_noticed()
        threading.Event().wait(3.0)
        since_s = time.monotonic()
        for reply in waiting:
            bench.expect(reply.get(timeout=20.0), OutcomeKind.UNKNOWN, OutcomeKind.ACCEPTED, OutcomeKind.REFUSED)
        bench.await_back(since_s)
        return bench.judged()


def doubtful_answer(by_rest: bool, done: bool) -> Seen:
    """F38: each answer of the exchange that says neither yes nor no."""
    with account(by_rest=by_rest) as bench:
        desk, ids = bench.desk, []
        bench.strike(lambda: None)
        for status, code in (*desk.product.doubtful, (500, 0)):
            if done:
                desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
            desk.sim.faults.answer_error(status, code, done=done, count=1, only="order.place")
            ids.append(bench.expect(desk.place(), OutcomeKind.UNKNOWN))
        bench.await_final(ids, OrderStatus.NEW if done else OrderStatus.REJECTED)
        bench.seen.wrong += [f"{each} is there: {not done}" for each in ids if desk.is_at_venue(each) is not done]
        return bench.judged()


for _by_rest, _place in ((False, SESSION), (True, REST)):
    for _done in (True, False):
        _said = "carried out" if _done else "not carried out, until told as never arrived"
        scenario("F38", f"{_place}, 500 502 503 504 {_said}", back_s=SETTLED_S if _done else 40.0)(
            partial(doubtful_answer, _by_rest, _done)
        )


def unanswerable(seconds: float, blind_s: float) -> Seen:
    """F39, F40: every question fails for a while, then the exchange does not see its own order for a while."""
    with account() as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        faults.visibility_delay(blind_s)
        faults.events_lost(count=1, event=desk.product.order_event)
        if seconds:
            faults.answer_error(503, 0, done=False, for_s=seconds, only="queries")
        faults.answer_error(504, -1007, done=True, count=1, only="order.place")
        bench.strike(lambda: None)
        client_id = bench.expect(desk.place(), OutcomeKind.UNKNOWN)
        threading.Event().wait(max(0.0, seconds - (time.monotonic() - bench.began_s)))
        since_s = time.monotonic()
        desk.await_status(client_id, OrderStatus.NEW, within_s=40.0)
        bench.seen.back_s = time.monotonic() - since_s
        told = set(desk.statuses_told(client_id))
        if not told <= {OrderStatus.UNKNOWN, OrderStatus.NEW}:
            bench.seen.wrong.append(f"it was told {told}")
        bench.seen.note = f"{bench.counter('orders.questions_failed')} questions failed"
        return bench.judged()


scenario("F39", "questions by REST, 503 for 8 s", back_s=SETTLED_S)(partial(unanswerable, 8.0, 0.0))
scenario("F40", "questions by REST, not seen for 2 s", back_s=SETTLED_S)(partial(unanswerable, 0.0, 2.0))


def orders_of_messages(order: str) -> Seen:
    """F41, F46: events before and after the answers, doubled, swapped and late; the end is the same."""
    with account() as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        if order == "events after answers":
            faults.events_after_answers(0.1)
        elif order == "answers after events":
            faults.answer_late(0.3, only="orders")
        else:
            faults.fills_split(5)
            faults.events_doubled(share=0.5)
            faults.events_swapped(share=0.5)
            faults.events_late(0.0, 0.1, share=0.3)
        bench.strike(lambda: None)
        amount = str(10 * desk.product.small)
        ids = [desk.place_market(amount, side).client_id for side in (Side.BUY, Side.SELL) * 3]
        faults.clear()
        faults.fills_split(1)
        bench.await_back(time.monotonic())
        for client_id in ids:
            fills = desk.fills_told(client_id)
            if sum(map(desk.product.amount, fills)) != Decimal(amount):
                bench.seen.wrong.append(f"the fills of {client_id} add up to {sum(map(desk.product.amount, fills))}")
        bench.seen.note = f"{sum(len(desk.fills_told(each)) for each in ids)} fills"
        return bench.judged()


for _order in ("events after answers", "answers after events"):
    scenario("F41", f"{SESSION}, {_order}", back_s=SETTLED_S)(partial(orders_of_messages, _order))
scenario("F46", f"{EVENTS}, split in five, doubled, swapped, late", back_s=SETTLED_S)(
    partial(orders_of_messages, "all at once")
)


# ---------------------------------------------------------------- F42-F49


def raced(part: float, product: Product) -> Seen:
    """F42: ten cancels, each met by a fill of that part."""
    with account(product) as bench:
        desk = bench.desk
        bench.strike(lambda: None)
        for _ in range(5):
            placed = desk.place()
            desk.sim.faults.fill_before_cancel(part, count=1)
            desk.cancel(placed.client_id)
            final = OrderStatus.FILLED if part == 1.0 else OrderStatus.CANCELED
            desk.await_status(placed.client_id, final)
            filled = desk.product.amount(desk.venue.order(placed.client_id)[0], filled=True)
            if filled != desk.true_order(placed.client_id).filled:
                bench.seen.wrong.append(f"final with {filled}, truly {desk.true_order(placed.client_id).filled}")
        bench.await_back(time.monotonic())
        return bench.judged()


for _product in PRODUCTS.values():
    scenario("F42", f"cancel met by half a fill, {_product}", back_s=SETTLED_S)(partial(raced, 0.5, _product))
scenario("F42", f"cancel met by a whole fill, {BINANCE}", back_s=SETTLED_S)(partial(raced, 1.0, BINANCE))


def amended(done: bool, product: Product) -> Seen:
    """F43: nothing is heard of an amend; the order keeps its old quantity here until the exchange has spoken."""
    with account(product) as bench:
        desk = bench.desk
        placed = desk.place()
        desk.await_status(placed.client_id, OrderStatus.NEW)
        old, new = desk.product.size, desk.product.size - desk.product.small
        if done:
            desk.sim.faults.events_lost(count=1, event=desk.product.order_event)
        status, code = desk.product.doubtful[0]
        calls = "order.modify,order.amend.keep.priority,order.amend.keepPriority"
        desk.sim.faults.answer_error(status, code, done=done, count=1, only=calls)
        bench.strike(lambda: None)
        amend = AmendOrder(symbol=desk.symbol, client_id=placed.client_id, quantity=new)
        outcome = desk.venue.orders.ask(amend, timeout=30.0)
        bench.seen.note = f"told {outcome.kind.value} first"
        wanted = new if done else old
        eventually(
            lambda: desk.product.amount(desk.venue.order(placed.client_id)[0]) == wanted and not desk.doubts(), 40.0
        )
        bench.await_back()
        if desk.product.amount(desk.venue.order(placed.client_id)[0]) != wanted:
            bench.seen.wrong.append("the order has another quantity here than there")
        return bench.judged()


for _product in (BINANCE, PRODUCTS["bybit"]):
    for _done in (True, False):
        scenario("F43", f"amend, 504 {'carried out' if _done else 'not carried out'}, {_product}", back_s=30.0)(
            partial(amended, _done, _product)
        )


def batch(fault: str) -> Seen:
    """F44: five orders in one command; some are lost, or their answers."""
    with account() as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        if fault == "half lost":
            faults.request_lost(count=2, only="order.place")
        else:
            faults.events_lost(count=5, event=desk.product.order_event)
            faults.answer_lost(count=5, only="order.place")
        bench.strike(lambda: None)
        outcomes = desk.venue.orders.ask(PlaceBatch(orders=tuple(desk.order() for _ in range(5))), timeout=40.0)
        kinds = [each.kind.value for each in outcomes]
        bench.seen.note = f"told {', '.join(sorted(set(kinds)))} first"
        ids = [each.client_id for each in outcomes if each.kind is not OutcomeKind.REFUSED]
        bench.await_final(ids, OrderStatus.NEW, OrderStatus.REJECTED)
        for client_id in ids:
            if desk.is_at_venue(client_id) is not (desk.status(client_id) is OrderStatus.NEW):
                bench.seen.wrong.append(f"{client_id} is {desk.status(client_id)} here")
        return bench.judged()


scenario("F44", f"{SESSION}, two of five lost", back_s=30.0)(partial(batch, "half lost"))
scenario("F44", f"{SESSION}, all five answers lost", back_s=30.0)(partial(batch, "answers lost"))


@scenario("F45", SESSION, back_s=SETTLED_S)
def used_id() -> Seen:
    with account() as bench:
        bench.desk.sim.faults.duplicate_id(count=3)
        bench.strike(lambda: None)
        ids = [bench.expect(bench.desk.place(), OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN) for _ in range(3)]
        bench.await_final(ids, OrderStatus.NEW)
        return bench.judged()


@scenario(
    "F47",
    f"{EVENTS}, events of a fill lost; found by the comparison",
    back_s=10.0,
)
def lost_event() -> Seen:
    with account() as bench:
        desk = bench.desk
        resting = desk.place().client_id
        desk.await_status(resting, OrderStatus.NEW)
        desk.sim.faults.events_lost(count=4)
        bench.strike(partial(desk.sim.fill, "main", resting))
        bench.await_final([resting], OrderStatus.FILLED, within_s=90.0)
        return bench.judged()


@scenario("F48", "account, two programs")
def of_others() -> Seen:
    with account() as bench:
        desk = bench.desk
        other = VenueSettings(
            "binance",
            rest_url=desk.sim.rest_url,
            stream_url=desk.sim.ws_url,
            session_url=desk.sim.ws_url,
            credentials=Credentials(desks.KEY, secret=desks.SECRET),
        )
        with desks.Connector([other]) as theirs:
            elsewhere = theirs.venue("binance")
            elsewhere.wait_ready(10.0)
            eventually(lambda: elsewhere._memory.trading.session.is_up, 10.0)
            mine = elsewhere.orders.ask(desk.order("0.030"), timeout=20.0).client_id
            eventually(lambda: mine in [each.client_id for each in desk.venue.open_orders(external=True)[0]], 20.0)
            desk.others.append(mine)
            bench.strike(lambda: desk.venue.orders.ask(CancelAll(), timeout=20.0))
            desk.venue.orders.ask(ThrowKillSwitch(), timeout=20.0)
            if desk.true_order(mine).status != "NEW" or desk.statuses_told(mine):
                bench.seen.wrong.append("another program's order was touched")
        return bench.judged()


# ---------------------------------------------------------------- F50-F52


@scenario("F50", "key without the right to trade", back_s=SETTLED_S)
def without_right() -> Seen:
    with account() as bench:
        desk = bench.desk
        exchange = desk.sim.exchange
        exchange.account("main").can_trade = False
        bench.strike(lambda: None)
        outcome = desk.place()
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        bench.expect(outcome, OutcomeKind.REJECTED, OutcomeKind.REFUSED)
        bench.seen.note = f"told {outcome.kind.value} {outcome.code}"
        exchange.account("main").can_trade = True
        bench.strike(lambda: None)
        bench.expect(desk.place(), OutcomeKind.ACCEPTED)
        bench.await_back()
        return bench.judged()


@scenario("F50", f"{SESSION}, 401, then 403 that says nothing else", back_s=40.0)
def not_allowed() -> Seen:
    with account() as bench:
        desk = bench.desk
        for status, code in ((401, -2015), (403, 0)):
            desk.sim.faults.answer_error(status, code, done=False, count=1, only="order.place")
            bench.strike(lambda: None)
            outcome = desk.place()
            bench.seen.note += f"{status} told {outcome.kind.value} {outcome.code}; "
            if outcome.kind is OutcomeKind.ACCEPTED:
                bench.seen.wrong.append(f"{status} was taken for a yes")
            eventually(desk.is_taken, 40.0, "no order is taken any more")
            bench.await_back()
        return bench.judged()


def hooked(kind: str) -> Seen:
    """F51: nothing passes a hook that fails, and nobody waits longer than its limit."""
    over = threading.Event()

    def hook(command: Any, view: Any) -> None:
        if not armed.is_set():
            return
        if kind == "raises":
            raise ValueError("no idea")
        over.wait(0.5 if kind == "is slow" else 30.0)

    armed = threading.Event()
    try:
        with account(risk_hooks=(hook,)) as bench:
            armed.set()
            before = len(bench.desk.sim.ledger.orders("main"))
            for _ in range(3):
                bench.strike(lambda: None)
                outcome = bench.desk.place()
                bench.seen.noticed_s = max(time.monotonic() - bench.began_s, bench.seen.noticed_s or 0.0)
                if outcome.kind is not OutcomeKind.REFUSED:
                    bench.seen.wrong.append(f"an order passed: {outcome.kind.value}")
            if len(bench.desk.sim.ledger.orders("main")) != before:
                bench.seen.wrong.append("an order reached the exchange")
            armed.clear()
            over.set()
            bench.seen.note = outcome.code
            return bench.judged()
    finally:
        over.set()


for _kind in ("raises", "hangs", "is slow"):
    scenario("F51", f"risk hook {_kind}", noticed_s=0.25)(partial(hooked, _kind))


@scenario("F52", "kill switch while orders, cancels and questions fail: until nothing is open", back_s=2.0)
def kill_switch() -> Seen:
    with account() as bench:
        desk, faults = bench.desk, bench.desk.sim.faults
        ids = [desk.place().client_id for _ in range(5)]
        faults.answer_error(503, 0, done=False, for_s=30.0, only="order.place")
        faults.answer_error(504, -1007, done=True, count=3, only="order.cancel")
        doubtful = [desk.place().client_id for _ in range(6)]
        bench.strike(lambda: None)
        switch = desk.venue.orders.ask(ThrowKillSwitch(), block=False)
        eventually(lambda: not any(each.open for each in desk.sim.ledger.orders("main")), 10.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        bench.expect(desk.place(), OutcomeKind.REFUSED)
        faults.clear()
        switch.get(timeout=40.0)
        for client_id in ids:
            desk.await_status(client_id, OrderStatus.CANCELED, within_s=30.0)
        for client_id in filter(None, doubtful):
            desk.await_status(client_id, OrderStatus.REJECTED, within_s=40.0)
        return bench.judged()


# ---------------------------------------------------------------- F53-F56: limits


def limited(how: str) -> Seen:
    """F53: refused by limit; what is asked meanwhile is not sent, and the streams go on."""
    product = PRODUCTS["bybit"] if how == "in the body" else BINANCE
    with public(product=product, simulator=dict(product.roomy), calm=False) as bench:
        rig, faults = bench.rig, bench.sim.faults
        rig.venue.server_time_ns()
        if how == "in the body":
            body = '{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1700000000000}'
            faults.rest_error(200, count=1, path="time", body=body)
        else:
            faults.rest_error(429, count=1, path="time", retry_after_s=3 if how == "with Retry-After" else None)
        bench.strike(lambda: None)
        told: Any = None
        try:
            rig.venue.server_time_ns()
        except RetryLater as refused:
            told = refused
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        if not isinstance(told, RateLimited):
            bench.seen.wrong.append(f"a refusal by limit was told as {told!r}")
        asked = len(bench.sim.ledger.requests())
        if how == "without":
            _silent_for(bench, 5.0, asked)
        else:
            _no_sooner(bench, told, asked)
        return bench.judged(unmoved=True)


def _time() -> Any:
    from connector.domain.queries import ServerTimeQuery

    return ServerTimeQuery()


def _silent_for(bench: Any, seconds: float, asked: int) -> None:
    """Ask, and see that nothing is sent: nobody knows which budget it was, so each waits for a window of its own."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        with suppress(Exception):  # a refusal here, or no answer in time
            bench.rig.venue.ask(_time(), 0.5)
    sent = len(bench.sim.ledger.requests()) - asked
    bench.seen.note = f"nothing sent for {seconds:g} s; {bench.rig.memory.ledger!r}"[:90]
    if sent:
        bench.seen.wrong.append(f"{sent} requests were sent")


def _no_sooner(bench: Any, told: Any, asked: int) -> None:
    """Ask on until an answer comes; nothing may be sent before the time that was named."""
    wait_s = getattr(told, "retry_after_s", None)

    def answered() -> bool:
        try:
            return bool(bench.rig.venue.server_time_ns() > 0)
        except Exception:
            return False

    eventually(answered, 90.0, "no question is answered any more")
    bench.seen.back_s = time.monotonic() - bench.began_s
    sent = [each for each in bench.sim.ledger.requests()[asked:] if each.status == 429]
    bench.seen.note = f"told to wait {wait_s} s"
    if sent:
        bench.seen.wrong.append(f"{len(sent)} further refusals by limit")
    if wait_s and bench.seen.back_s < wait_s - 0.2:
        bench.seen.wrong.append(f"told to wait {wait_s} s, asked after {bench.seen.back_s:.2f} s")


scenario("F53", "public REST, 429 with Retry-After 3 s", noticed_s=1.0, back_s=10.0)(
    partial(limited, "with Retry-After")
)
scenario("F53", "public REST, 429 without Retry-After", noticed_s=1.0)(partial(limited, "without"))
scenario("F53", "public REST, refused in the body of a 200 (bybit)", noticed_s=1.0, back_s=75.0)(
    partial(limited, "in the body")
)


@scenario("F54", "public REST, banned for 4 s", noticed_s=1.0, back_s=15.0)
def banned() -> Seen:
    with public(calm=False) as bench:
        rig = bench.rig
        rig.venue.server_time_ns()
        bench.strike(partial(bench.sim.faults.ban, for_s=4.0))
        try:
            rig.venue.server_time_ns()
        except RetryLater as refused:
            bench.seen.note = type(refused).__name__
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        requests = len(bench.sim.ledger.requests())
        for _ in range(5):
            try:
                rig.venue.ask(_time(), 0.4)
            except Exception:  # a refusal here or no answer in time: either way nothing may be sent
                continue
        if len(bench.sim.ledger.requests()) != requests:
            bench.seen.wrong.append(f"{len(bench.sim.ledger.requests()) - requests} requests during the ban")

        def answered() -> bool:
            with suppress(Exception):
                return bool(rig.venue.server_time_ns() > 0)
            return False

        eventually(answered, 40.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        return bench.judged(unmoved=True)


@scenario("F55", "public REST, somebody else takes half the weight")
def foreign() -> Seen:
    with public(calm=False) as bench:
        rig = bench.rig
        rig.venue.server_time_ns()
        bench.sim.faults.foreign_weight(3_500)
        rig.venue.server_time_ns()  # the answer that tells
        bench.strike(lambda: None)
        asked = refused = 0
        while time.monotonic() - bench.began_s < 4.0 and not refused:
            try:
                rig.venue.depth("BTC/USDT", 5000, timeout_s=2.0)
                asked += 1
            except Exception:  # refused here, or no room in time
                refused += 1
        statuses = [each.status for each in bench.sim.ledger.requests() if each.status in (418, 429)]
        bench.seen.note = f"{asked} large questions, then refused here"
        if statuses:
            bench.seen.wrong.append(f"{len(statuses)} refusals by limit")
        if not refused:
            bench.seen.wrong.append("the limit was not reached")
        return bench.judged(unmoved=True)


# ---------------------------------------------------------------- F57-F61: clocks and keys


def off_by(seconds: int) -> Seen:
    """F57: the exchange's clock is off from the start; ten orders."""
    with account(exchange={"clock": lambda: time.time_ns() + seconds * SECOND_NS}) as bench:
        desk = bench.desk
        bench.strike(lambda: None)
        for _ in range(10):
            bench.expect(desk.place(), OutcomeKind.ACCEPTED)
        desk.await_equal(40.0)
        bench.seen.back_s = time.monotonic() - bench.began_s
        error_ns = _offset_error_ns(desk, seconds) or 0
        bench.seen.note = f"offset known to {error_ns / 1e6:.1f} ms"
        if error_ns > SECOND_NS // 4 or bench.counter("trading.clock_refused"):
            bench.seen.wrong.append(f"off by {error_ns} ns, {bench.counter('trading.clock_refused')} refusals")
        return bench.seen


def _offset_error_ns(desk: Any, seconds: int) -> int | None:
    estimate = desk.memory.offset.estimate(desk.memory.clock.time_ns())
    return None if estimate is None else abs(estimate.offset_ns - seconds * SECOND_NS)


def jumped(seconds: int) -> Seen:
    """F57: it jumps while running; ten orders once that is known."""
    with account(clock_sync_s=1.0) as bench:
        desk = bench.desk
        bench.strike(partial(desk.sim.faults.clock_skew, seconds * 1000))
        eventually(lambda: (_offset_error_ns(desk, seconds) or SECOND_NS) <= SECOND_NS // 4, 60.0)
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        bench.strike(lambda: None)
        for _ in range(10):
            bench.expect(desk.place(), OutcomeKind.ACCEPTED)
        bench.seen.back_s = time.monotonic() - bench.began_s
        if seconds > 0:
            desk.await_equal(40.0)
        return bench.seen


for _seconds in (30, -30):
    scenario("F57", f"exchange's clock {_seconds:+d} s from the start")(partial(off_by, _seconds))
    scenario(
        "F57",
        f"exchange's clock jumps {_seconds:+d} s while running, read every second: until ten orders are taken",
        noticed_s=5.0,
        back_s=5.0,
        differs=""
        if _seconds > 0
        else "balances told in the half minute that comes again by that clock count as older than those that are known",
    )(partial(jumped, _seconds))


def slept(seconds: int) -> Seen:
    """F59: the clocks jump as they do when a machine sleeps."""
    moved_ns = [0]
    clock = SystemClock(
        wall_ns=lambda: time.time_ns() + moved_ns[0], elapsed_ns=lambda: time.monotonic_ns() + moved_ns[0]
    )
    with public(clock=clock, calm=False) as bench:
        voided = bench.rig.counter("book.invalidated")
        bench.strike(lambda: moved_ns.__setitem__(0, seconds * SECOND_NS))
        eventually(lambda: bench.rig.counter("book.invalidated") > voided, 20.0)
        bench.seen.noticed_s = time.monotonic() - bench.began_s
        eventually(lambda: bench.rig.counter("stream.connections_replaced") >= 1, 20.0)
        bench.await_back()
        return bench.judged()


scenario("F59", "machine, clocks 10 min on", noticed_s=2.0, back_s=30.0)(partial(slept, 600))


def stepped(seconds: int) -> Seen:
    """F58: the wall clock alone steps."""
    moved_ns = [0]
    clock = SystemClock(wall_ns=lambda: time.time_ns() + moved_ns[0])
    with public(clock=clock, calm=False) as bench:
        bench.strike(lambda: moved_ns.__setitem__(0, seconds * SECOND_NS))
        so_far = len(bench.trades.seen)
        eventually(lambda: len(bench.trades.seen) >= so_far + 300, 20.0)
        received = [trade.received_ns for trade in bench.trades.seen]
        if received != sorted(received) or received[-1] - received[0] > 120 * SECOND_NS:
            bench.seen.wrong.append("times of values stepped with the wall clock")
        if bench.rig.counter("stream.connects") != 1:
            bench.seen.wrong.append("a connection was renewed")
        return bench.judged(unmoved=True)


for _seconds in (-86_400, -3_600, 3_600, 86_400):
    scenario("F58", f"wall clock steps {_seconds // 3600:+d} h")(partial(stepped, _seconds))


@scenario("F60", "time asked every 0.2 s, answers 0.8 s late one way")
def slow_time() -> Seen:
    with public(clock_sync_s=0.2, calm=False) as bench:
        rig = bench.rig

        def error_ns() -> int | None:
            estimate = rig.memory.offset.estimate(rig.memory.clock.time_ns())
            return None if estimate is None else abs(estimate.offset_ns)

        eventually(lambda: error_ns() is not None, 10.0)
        bench.strike(partial(bench.rest.bend, "to_client", latency_s=0.8))
        answers, worst_ns = rig.counter("rest.answers"), 0
        while rig.counter("rest.answers") < answers + 4:
            worst_ns = max(worst_ns, error_ns() or 0)
            threading.Event().wait(0.02)
        bench.seen.note = f"off by {worst_ns / 1e6:.1f} ms at most"
        if worst_ns > SECOND_NS // 4:
            bench.seen.wrong.append(f"the offset was wrong by {worst_ns / 1e6:.0f} ms")
        return bench.judged(unmoved=True)


def key_ends(product: Product) -> Seen:
    """F61: the exchange ends the listening early; fills of the time between come once."""
    with account(product) as bench:
        desk = bench.desk
        placed = [desk.place().client_id for _ in range(2)]
        bench.strike(partial(desk.sim.faults.stream_terminated, "main"))
        desk.sim.fill("main", placed[0])
        bench.await_final(placed[:1], OrderStatus.FILLED)
        desk.sim.fill("main", placed[1])
        desk.await_status(placed[1], OrderStatus.FILLED, within_s=40.0)
        bench.await_back(bench.began_s)
        return bench.judged()


for _product in PRODUCTS.values():
    scenario("F61", f"listening ended by the exchange, {_product}", back_s=10.0)(partial(key_ends, _product))
