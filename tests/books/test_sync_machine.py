"""Any order of faults: the book is not VALID, or equals the venue's at its update id; once faults stop it becomes VALID (I4).

The venue is a plain reference: every update id has its own exact book, kept for ever. Its deltas are lost, doubled, reordered,
malformed; snapshots are late, old, refused; connections break; numbers start over; the venue crosses or empties its own book.
"""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.books import BookRule, BookSync, Continuity, FetchSnapshot, Invalidate, Publish
from connector.domain import BookDelta, BookState, OrderBook, Symbol
from connector.errors import BookNotValid

SYMBOL = Symbol("BTC", "USDT")
OLD_LIMIT = 6
Levels = dict[Decimal, Decimal]


def continuity(update_id: int, delta: BookDelta) -> Continuity:
    if delta.last_update_id <= update_id:
        return Continuity.OLD
    return Continuity.GAP if delta.first_update_id > update_id + 1 else Continuity.NEXT


class Venue:
    """The truth: the book at each update id, as sorted tuples."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.mid = 100
        self.update_id = 1_000
        self.truth: dict[int, tuple[tuple, tuple]] = {}
        for _ in range(12):
            self._change()
        self._record()

    def _record(self) -> None:
        self.truth[self.update_id] = (
            tuple(sorted(self.bids.items(), reverse=True)),
            tuple(sorted(self.asks.items())),
        )

    def _set(self, side: str, price: int, size: int) -> tuple[str, Decimal, Decimal]:
        levels = self.bids if side == "bids" else self.asks
        at, much = Decimal(price), Decimal(size)
        if size:
            levels[at] = much
        else:
            levels.pop(at, None)
        return side, at, much

    def _change(self) -> list:
        dice, changes = self.dice, []
        if dice.random() < 0.3:  # the price moves, and takes out what is in its way
            self.mid += dice.choice([-3, -1, 1, 3])
            changes += [self._set("bids", int(price), 0) for price in list(self.bids) if price >= self.mid]
            changes += [self._set("asks", int(price), 0) for price in list(self.asks) if price <= self.mid]
        for _ in range(dice.randint(0, 3)):
            side, sign = dice.choice([("bids", -1), ("asks", 1)])
            changes.append(self._set(side, self.mid + sign * dice.randint(1, 9), dice.choice([0, 1, 2, 3])))
        return changes

    def step(self, *, nonsense: str = "") -> BookDelta:
        """One to three updates and the delta that tells of them."""
        first, told = self.update_id + 1, {"bids": {}, "asks": {}}
        for _ in range(self.dice.randint(1, 3)):
            self.update_id += 1
            changes = self._change()
            if nonsense == "empty":
                changes += [self._set("bids", int(price), 0) for price in list(self.bids)]
                changes += [self._set("asks", int(price), 0) for price in list(self.asks)]
            elif nonsense == "crossed":
                changes += [self._set("bids", self.mid + 3, 1), self._set("asks", self.mid - 3, 1)]
            for side, price, size in changes:
                told[side][price] = size
            self._record()
        return BookDelta(
            "venue",
            SYMBOL,
            None,
            self.update_id,
            first,
            self.update_id,
            tuple(told["bids"].items()),
            tuple(told["asks"].items()),
        )

    def restart(self) -> None:
        """Numbers start over; the book stays."""
        self.update_id = 0

    def book(self, back: int, limit: int) -> OrderBook:
        update_id = max((each for each in self.truth if each <= self.update_id - back), default=self.update_id)
        if update_id not in self.truth:
            update_id = min(self.truth)
        bids, asks = self.truth[update_id]
        return OrderBook("venue", SYMBOL, None, update_id, update_id, bids[:limit], asks[:limit])


class BookMachine(RuleBasedStateMachine):
    limit = 1_000
    stays_valid = 1.0

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.venue = Venue(seed)
        rules = BookRule(
            self.limit,
            continuity,
            lambda snapshot, first: snapshot.update_id >= first.first_update_id,
            continuity,
            "test",
        )
        self.sync = BookSync(
            "venue",
            SYMBOL,
            rules,
            buffer_limit=8,
            healthy_updates=5,
            old_limit=OLD_LIMIT,
            refresh_below=self.limit // 2,
        )
        self.pending: list[FetchSnapshot] = []
        self.late: list[BookDelta] = []
        self.told_valid = False
        self.connected = False
        self.restarted = False
        self.trading = True

    def do(self, actions: tuple) -> None:
        for action in actions:
            if isinstance(action, FetchSnapshot):
                self.pending.append(action)
                assert action.wait_up_to_s <= 30.0
            elif isinstance(action, Publish):
                assert self.told_valid is not action.fresh or action.fresh
                self.told_valid = True
            elif isinstance(action, Invalidate):
                assert self.told_valid, "told twice"
                assert action.reason
                self.told_valid = False

    # what a venue and a network do

    @rule()
    def connect(self) -> None:
        self.connected = True
        self.do(self.sync.on_connected())

    @rule(times=st.integers(1, 3))
    def deliver(self, times: int) -> None:
        for _ in range(times):
            delta = self.venue.step()
            if self.connected:
                self.do(self.sync.on_delta(delta))

    @rule(count=st.integers(1, 4))
    def lose(self, count: int) -> None:
        for _ in range(count):
            self.venue.step()

    @rule()
    def double(self) -> None:
        delta = self.venue.step()
        if self.connected:
            self.do(self.sync.on_delta(delta))
            self.do(self.sync.on_delta(delta))

    @rule()
    def reorder(self) -> None:
        first, second = self.venue.step(), self.venue.step()
        if self.connected:
            self.do(self.sync.on_delta(second))
            self.do(self.sync.on_delta(first))

    @rule()
    def hold_back(self) -> None:
        self.late.append(self.venue.step())

    @precondition(lambda self: self.late)
    @rule()
    def deliver_late(self) -> None:
        delta = self.late.pop(0)
        if self.connected and not self.restarted:
            self.do(self.sync.on_delta(delta))

    @rule(side=st.sampled_from(["bids", "asks"]), bad=st.sampled_from(["NaN", "-1", "Infinity"]))
    def malform(self, side: str, bad: str) -> None:
        delta = self.venue.step()
        parts = {"bids": delta.bids, "asks": delta.asks}
        parts[side] = (*parts[side], (Decimal(100), Decimal(bad)))
        broken = BookDelta(
            "venue", SYMBOL, None, 0, delta.first_update_id, delta.last_update_id, parts["bids"], parts["asks"]
        )
        if self.connected:
            self.do(self.sync.on_delta(broken))

    @rule(kind=st.sampled_from(["crossed", "empty"]))
    def nonsense(self, kind: str) -> None:
        delta = self.venue.step(nonsense=kind)
        if self.connected:
            self.do(self.sync.on_delta(delta))

    @precondition(lambda self: not self.restarted)
    @rule()
    def numbers_start_over(self) -> None:
        self.restarted = True
        self.venue.restart()
        self.deliver(1)

    @precondition(lambda self: self.pending)
    @rule(back=st.sampled_from([0, 0, 0, 1, 3, 10]))
    def answer(self, back: int) -> None:
        fetch = self.pending.pop(0)
        self.do(self.sync.on_snapshot(self.venue.book(back, self.limit), fetch.attempt))

    @precondition(lambda self: self.pending)
    @rule()
    def refuse(self) -> None:
        fetch = self.pending.pop(0)
        self.do(self.sync.on_snapshot_failed(fetch.attempt, 3.0))

    @rule()
    def stray_answer(self) -> None:
        self.do(self.sync.on_snapshot(self.venue.book(0, self.limit), 10_000))

    @rule()
    def disconnect(self) -> None:
        self.connected = False
        self.late.clear()
        self.do(self.sync.on_disconnected())

    @rule(what=st.sampled_from(["on_overflow", "on_stale", "on_quiet"]))
    def doubt(self, what: str) -> None:
        self.do(getattr(self.sync, what)())

    @rule()
    def halt_or_resume(self) -> None:
        self.trading = not self.trading
        self.do(self.sync.on_status(self.trading))

    # what must hold

    @invariant()
    def book_is_right_or_not_handed_out(self) -> None:
        sync = getattr(self, "sync", None)
        if sync is None:
            return
        assert len(self.pending) <= 1, "two resyncs in flight"
        assert self.told_valid is (sync.state is BookState.VALID), "consumers were told something else"
        if sync.state is not BookState.VALID:
            with pytest.raises(BookNotValid):
                sync.snapshot()
            return
        assert sync.reason == ""
        book, (bids, asks) = sync.snapshot(), self.venue.truth[sync.update_id]
        # A snapshot cut at its limit covers a range; in it, nothing may be wrong or missing.
        assert book.bids == bids[: len(book.bids)]
        assert book.asks == asks[: len(book.asks)]
        if len(bids) < self.limit and not sync.require().bid_is_cut:
            assert len(book.bids) == len(bids)
        assert book.bids or not bids
        assert book.asks or not asks
        assert not (book.bids and book.asks) or book.bids[0][0] < book.asks[0][0]

    def teardown(self) -> None:
        """Faults stop: the book is VALID and right within a bounded number of deltas."""
        if getattr(self, "sync", None) is None:
            return
        if not self.trading:
            self.halt_or_resume()
        if not self.connected:
            self.connect()
        self.venue.asks = {price: size for price, size in self.venue.asks.items() if price > self.venue.mid}
        self.venue.bids = {price: size for price, size in self.venue.bids.items() if price < self.venue.mid}
        self.venue.update_id += 1  # what was removed here is in no delta
        self.venue._record()
        valid_at = []
        for number in range(40):
            self.do(self.sync.on_delta(self.venue.step()))
            if self.pending:
                self.answer(0)
            self.book_is_right_or_not_handed_out()
            bids, asks = self.venue.truth[self.venue.update_id]
            if self.sync.state is BookState.VALID or not (bids or asks):
                valid_at.append(number)
        # Numbers that started over unseen are noticed after OLD_LIMIT deltas, and a crossed book costs one more resync.
        assert valid_at and valid_at[0] <= OLD_LIMIT + 4, repr(self.sync)
        assert len(valid_at) >= self.stays_valid * (40 - valid_at[0]), "dropped without a fault"


class ThinBookMachine(BookMachine):
    """The same with snapshots of four levels of a deeper venue, whose price often leaves them."""

    limit = 4
    stays_valid = 0.5


RUN = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = RUN
TestThinBookMachine = ThinBookMachine.TestCase
TestThinBookMachine.settings = RUN
