"""The circuits of a venue: what opens and closes them, what an open one stops, and that none holds up calls side by side."""

import random
from decimal import Decimal

import pytest
from far_side import BTC, FarSide, connect

from connector import Side
from connector.domain.commands import AmendOrder, CancelOrder, OutcomeKind, PlaceBatch, PlaceOrder
from connector.domain.orders import OrderStatus, OrderType
from connector.domain.queries import ServerTimeQuery
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    InvalidRequest,
    LinkError,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)
from connector.store import MemoryStore, StoreFailed
from connector.telemetry import Counters
from connector.testing.clocks import FakeClock
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.killing import crash
from connector.throttle import Priority
from connector.venue.account_side import CompareAccount
from connector.venue.health import SILENCE_MOST_S, SPECS, Circuit, Health, Word, word_of
from connector.venue.messages import Fetch
from connector.venue.orders import ReleaseKillSwitch, ThrowKillSwitch

READS, ORDERS, CANCELS = Circuit
LOST = OutcomeUnknown("no answer")
REFUSED = VenueRejected("binance", "-2010", "Account has insufficient balance.")


class Rig:
    """Circuits under a clock moved by hand."""

    def __init__(self):
        self.clock, self.counters = FakeClock(), Counters()
        self.health = Health(self.clock, self.counters)

    def fail(self, times=1, circuit=ORDERS, error=LOST):
        for _ in range(times):
            self.health.heard(circuit, error)

    def words(self, circuit=ORDERS):
        return self.health.snapshot()[circuit.value]

    def counts(self):
        return self.counters.snapshot()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (None, Word.ANSWERED),
        (REFUSED, Word.ANSWERED),
        (InvalidRequest("too long"), Word.ANSWERED),
        (ClockRejected("outside of the window"), Word.ANSWERED),
        (AuthenticationFailed("no such key"), Word.ANSWERED),
        (LOST, Word.FAILED),
        (LinkError("reset"), Word.FAILED),
        (NotConnected("refused"), Word.FAILED),
        (VenueUnavailable("503"), Word.FAILED),
        (RateLimited("429"), Word.NOTHING),
        (Banned("418"), Word.NOTHING),
        (WireFormatError("order", "cut"), Word.NOTHING),
    ],
)
def test_trouble_on_the_way_counts_and_a_refusal_is_an_answer(error, word):
    assert word_of(error) is word


@pytest.mark.parametrize("circuit", Circuit)
def test_a_circuit_opens_after_failures_in_a_row_and_not_after_as_many_with_an_answer_between(circuit):
    rig, spec = Rig(), SPECS[circuit].breaker

    for _ in range(20):
        rig.fail(spec.fail_max - 1, circuit)
        rig.health.heard(circuit, REFUSED)
    assert rig.words(circuit) == "closed" and rig.health.take(circuit) == 0.0

    rig.fail(spec.fail_max, circuit)
    assert rig.words(circuit) == f"open for 0.0s, tried again in {spec.probe_s:.1f}s"
    assert rig.health.take(circuit) == spec.probe_s
    assert [each for each in Circuit if rig.words(each) != "closed"] == [circuit]
    assert rig.counts() == {"health.opened": 1}


def test_limits_bans_and_unreadable_answers_open_nothing_and_close_nothing():
    rig = Rig()
    for error in (RateLimited("429"), Banned("418"), WireFormatError("order", "cut")):
        rig.fail(50, error=error)
    assert rig.words() == "closed"
    rig.fail(5)
    rig.fail(error=RateLimited("429"))
    assert rig.words().startswith("open")


def test_after_the_wait_one_call_is_tried_and_the_others_are_held_back():
    rig = Rig()
    rig.fail(5)
    rig.clock.advance(1.9)
    assert rig.health.take(ORDERS) == pytest.approx(0.1)
    rig.clock.advance(0.1)
    assert rig.words() == "open for 2.0s, the next call is tried"

    assert [rig.health.take(ORDERS) for _ in range(3)] == [0.0, 2.0, 2.0]
    assert rig.words() == "half-open after 2.0s"

    rig.clock.advance(0.5)
    rig.fail()
    assert rig.words() == "open for 2.5s, tried again in 2.0s"
    assert rig.counts() == {"health.opened": 1}

    rig.clock.advance(2.0)
    assert rig.health.take(ORDERS) == 0.0
    rig.health.heard(ORDERS, None)
    assert rig.words() == "closed" and [rig.health.take(ORDERS) for _ in range(3)] == [0.0] * 3
    assert rig.counts() == {"health.opened": 1, "health.closed": 1}


def test_calls_that_were_on_their_way_when_it_opened_do_not_put_the_trial_off():
    rig = Rig()
    rig.fail(5)
    rig.clock.advance(1.5)
    rig.fail(3)
    assert rig.health.wait_s(ORDERS) == pytest.approx(0.5)


def test_any_answer_closes_also_one_to_a_call_sent_before():
    rig = Rig()
    rig.fail(5)
    rig.health.heard(ORDERS, REFUSED)
    assert rig.words() == "closed"
    rig.fail(4)
    assert rig.words() == "closed"  # counted from the beginning


def test_a_trial_that_was_not_sent_leaves_its_turn_to_the_next():
    rig = Rig()
    rig.fail(5)
    rig.clock.advance(2.0)
    assert rig.health.take(ORDERS) == 0.0
    rig.health.withdraw(ORDERS)
    assert rig.health.take(ORDERS) == 0.0
    rig.fail(error=RateLimited("429"))
    assert rig.health.take(ORDERS) == 0.0


def test_a_trial_nobody_hears_of_again_blocks_nobody_for_ever():
    rig = Rig()
    rig.fail(5)
    rig.clock.advance(2.0)
    assert rig.health.take(ORDERS) == 0.0
    rig.clock.advance(SPECS[ORDERS].trial_s - 0.1)
    assert rig.health.take(ORDERS) == pytest.approx(0.1)
    rig.clock.advance(0.1)
    assert [rig.health.take(ORDERS), rig.health.take(ORDERS)] == [0.0, 2.0]


@pytest.mark.parametrize(("named_s", "waits_s"), [(30.0, 30.0), (0.1, 2.0), (86_400.0, SILENCE_MOST_S)])
def test_a_time_the_venue_names_is_kept_within_reason(named_s, waits_s):
    rig = Rig()
    rig.fail(5, error=VenueUnavailable("403", retry_after_s=named_s))
    assert rig.health.wait_s(ORDERS) == pytest.approx(waits_s)


def test_the_wall_clock_has_no_say():
    rig = Rig()
    rig.fail(5)
    rig.clock.step_wall(3_600.0)
    assert rig.health.wait_s(ORDERS) == 2.0


# ---------------------------------------------------------------- a whole venue


class Far(FarSide):
    """`broken`: what is answered with 503, of "GET", "POST", "DELETE" and "PUT"; `silent`: what never arrives.

    `slow_s`: what every answer takes.
    """

    def __init__(self, runtime, chance):
        super().__init__(runtime, chance)
        self.broken, self.silent, self.slow_s, self.heard = set(), set(), None, []

    def pass_on(self, verb, path, query, reply, *, session):
        self.heard.append((verb, path))
        if verb in self.silent:
            return
        if verb in self.broken:
            reply(503, b"<html>maintenance</html>")
        elif self.slow_s is not None:
            outcome = self.act(verb, path, query)
            self.runtime.call_later(self.slow_s - 0.4, lambda: reply(*outcome))
        else:
            super().pass_on(verb, path, query, reply, session=session)

    def place(self, query, external=False):
        status, body = super().place(query, external=True)  # nothing is refused for want of money
        return status, body

    def fill(self, order, maker=True):
        """Orders rest."""

    def count(self, verb, path=None):
        return sum(1 for each in self.heard if each[0] == verb and path in (None, each[1]))


class Choice(random.Random):
    """Always the slowest way there, so that times are exact."""

    def choice(self, options):
        return options[-1]


class Venue:
    def __init__(self, *, session=False, **account):
        self.runtime = DeterministicRuntime(1)
        self.far = Far(self.runtime, Choice(1))
        self.connector = connect(self.far, self.far.chance, session=session, **account)

    def __enter__(self):
        self.connector.start()
        self.venue = self.connector.venue("binance")
        self.orders = self.venue.orders
        self.runtime.advance(5.0)
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def ask(self, command, within_s=1.0):
        asked = self.orders.ask(command, block=False, timeout=300.0)
        self.runtime.advance(within_s)
        return asked.get(timeout=0.0)

    def health(self, circuit=ORDERS):
        return self.venue.snapshot().health[circuit.value]

    def open_orders_circuit(self):
        """Five orders in a row without a word; the venue has none of them."""
        self.far.broken = {"POST"}
        lost = [self.ask(order()) for _ in range(5)]
        assert {each.kind for each in lost} == {OutcomeKind.UNKNOWN}
        assert self.health().startswith("open")
        return lost

    def open_reads_circuit(self):
        self.far.broken.add("GET")
        asks = [self.venue.rest.ask(ServerTimeQuery(), block=False) for _ in range(5)]
        self.runtime.advance(0.6)
        for ask in asks:
            with pytest.raises(VenueUnavailable):
                ask.get(timeout=0.0)
        assert self.health(READS).startswith("open")


def order(price=100):
    return PlaceOrder(symbol=BTC, side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(1), price=Decimal(price))


def test_all_circuits_of_a_healthy_venue_are_shown_closed():
    with Venue() as rig:
        rig.ask(order())

        assert rig.venue.snapshot().health == {"reads": "closed", "orders": "closed", "cancels": "closed"}
        assert "health.opened" not in rig.venue.snapshot().counters


def test_eight_calls_of_half_a_second_side_by_side_take_half_a_second():
    with Venue() as rig:
        rig.far.slow_s = 0.5
        asks = [rig.venue.rest.ask(ServerTimeQuery(), block=False) for _ in range(8)]
        rig.runtime.advance(0.6)

        assert all(ask.get(timeout=0.0) > 0 for ask in asks)


def test_eight_calls_side_by_side_take_half_a_second_after_trouble_too():
    with Venue() as rig:
        rig.open_reads_circuit()
        rig.far.broken, rig.far.slow_s = set(), 0.5
        rig.runtime.advance(1.0)
        trial, *others = [rig.venue.rest.ask(ServerTimeQuery(), block=False) for _ in range(8)]
        rig.runtime.advance(0.6)

        assert trial.get(timeout=0.0) > 0
        for each in others:
            with pytest.raises(VenueUnavailable, match="nothing was sent") as told:
                each.get(timeout=0.0)
            assert 0.0 < told.value.retry_after_s <= 1.0
        asks = [rig.venue.rest.ask(ServerTimeQuery(), block=False) for _ in range(8)]
        rig.runtime.advance(0.6)
        assert all(ask.get(timeout=0.0) > 0 for ask in asks)


def test_while_orders_go_unanswered_new_ones_are_refused_unsent_with_the_time_to_come_back():
    with Venue() as rig:
        rig.open_orders_circuit()
        posts, intents = rig.far.count("POST"), len(rig.venue.order_history()[0])
        refused = rig.ask(order(), within_s=0.1)
        batch = rig.ask(PlaceBatch(orders=(order(), order())), within_s=0.1)

        for each in (refused, *batch):
            assert (each.kind, each.code) == (OutcomeKind.REFUSED, "VenueUnavailable")
            assert "nothing was sent" in each.reason and "Try again in" in each.reason
        assert rig.far.count("POST") == posts
        assert len(rig.venue.order_history()[0]) == intents


def test_an_order_is_tried_after_the_wait_and_its_success_lets_all_pass():
    with Venue() as rig:
        rig.open_orders_circuit()
        rig.runtime.advance(2.0)
        first, second = rig.ask(PlaceBatch(orders=(order(), order())))
        assert (first.kind, second.kind) == (OutcomeKind.UNKNOWN, OutcomeKind.REFUSED)

        rig.far.broken = set()
        rig.runtime.advance(2.0)
        first, second = rig.ask(PlaceBatch(orders=(order(), order())))
        assert (first.kind, second.kind) == (OutcomeKind.ACCEPTED, OutcomeKind.REFUSED)
        assert rig.health() == "closed"
        both = rig.ask(PlaceBatch(orders=(order(), order())))
        assert {each.kind for each in both} == {OutcomeKind.ACCEPTED}
        counters = rig.venue.snapshot().counters
        assert (counters["health.opened"], counters["health.closed"]) == (1, 1)


def test_orders_the_venue_refuses_never_open_it():
    with Venue() as rig:
        taken = [rig.ask(order()) for _ in range(1)]
        rig.far.act = lambda verb, path, query, act=rig.far.act: (
            (400, {"code": -2010, "msg": "Account has insufficient balance."})
            if verb == "POST"
            else act(verb, path, query)
        )
        refused = [rig.ask(order()) for _ in range(12)]

        assert {each.kind for each in taken} == {OutcomeKind.ACCEPTED}
        assert {each.kind for each in refused} == {OutcomeKind.REJECTED} and rig.health() == "closed"


def test_cancels_go_out_whatever_is_open():
    with Venue() as rig:
        resting = rig.ask(order())
        rig.open_orders_circuit()
        rig.open_reads_circuit()
        cancelled = rig.ask(CancelOrder(symbol=BTC, client_id=resting.client_id))

        assert cancelled.kind is OutcomeKind.ACCEPTED
        assert rig.far.orders[resting.client_id]["status"] == "CANCELED"


def test_cancels_are_sent_even_when_cancels_go_unanswered():
    with Venue() as rig:
        resting = [rig.ask(order()) for _ in range(7)]
        rig.far.broken = {"DELETE"}
        told = [rig.ask(CancelOrder(symbol=BTC, client_id=each.client_id), within_s=0.5) for each in resting]

        assert rig.health(CANCELS).startswith("open") and rig.health() == "closed"
        assert rig.far.count("DELETE") >= 7
        assert {each.kind for each in told} == {OutcomeKind.UNKNOWN}
        rig.far.broken = set()
        rig.runtime.advance(30.0)
        assert {each["status"] for each in rig.far.orders.values()} == {"CANCELED"}
        assert rig.health(CANCELS) == "closed"


def test_the_kill_switch_works_within_two_seconds_while_all_is_open():
    with Venue() as rig:
        resting = [rig.ask(order()) for _ in range(3)]
        rig.open_orders_circuit()
        rig.open_reads_circuit()
        asked = rig.orders.ask(ThrowKillSwitch(), block=False, timeout=300.0)
        rig.runtime.advance(2.0)

        assert {rig.far.orders[each.client_id]["status"] for each in resting} == {"CANCELED"}
        refused = rig.ask(order())
        assert (refused.kind, refused.code) == (OutcomeKind.REFUSED, "kill_switch")
        outcomes = asked.get(timeout=0.0)  # of all eight: those that rest, and those nobody knows
        assert [each.kind for each in outcomes].count(OutcomeKind.ACCEPTED) == 3 and len(outcomes) == 8

        rig.far.broken = set()
        rig.runtime.advance(60.0)
        assert not rig.venue.open_orders()[0]
        rig.ask(ReleaseKillSwitch())
        assert rig.ask(order()).kind is OutcomeKind.ACCEPTED


def test_amends_wait_like_orders():
    with Venue() as rig:
        resting = rig.ask(order())
        rig.open_orders_circuit()
        amend = AmendOrder(symbol=BTC, client_id=resting.client_id, quantity=Decimal("0.5"))

        assert rig.ask(amend, within_s=0.1).code == "VenueUnavailable" and rig.far.count("PUT") == 0


def test_questions_about_unknown_orders_wait_as_trials_and_settle_within_ten_seconds_of_the_venues_return():
    with Venue() as rig:
        lost = rig.open_orders_circuit()
        rig.open_reads_circuit()
        before = rig.far.count("GET")
        rig.runtime.advance(60.0)
        assert 40 <= rig.far.count("GET") - before <= 80  # one at a time, a second apart; for ever
        assert {each.status for each in rig.venue.order_history()[0]} == {OrderStatus.UNKNOWN}

        rig.far.broken = set()
        rig.runtime.advance(10.0)
        ended = {each.client_id: each.status for each in rig.venue.order_history()[0]}
        assert [ended[each.client_id] for each in lost] == [OrderStatus.REJECTED] * 5
        assert rig.health(READS) == "closed"


@pytest.mark.parametrize("tenths", range(0, 120, 7))
def test_whenever_the_venue_returns_reads_are_tried_within_moments_of_it(tenths):
    with Venue() as rig:
        rig.far.silent = {"POST"}
        rig.ask(order(), within_s=6.0)
        rig.open_reads_circuit()
        rig.far.silent, rig.far.broken = {"GET", "POST"}, set()
        rig.runtime.advance(20.0 + tenths / 10)
        for _ in range(3):
            rig.venue.rest.tell(Fetch(ServerTimeQuery(), Priority.READ, 10.0, lambda answer: None))
            rig.runtime.advance(1.1)
        rig.far.silent = set()
        rig.runtime.advance(SPECS[READS].trial_s + SPECS[READS].breaker.probe_s + 1.0)

        assert rig.health(READS) == "closed"


def test_the_trial_is_the_read_with_the_most_time_left_for_its_answer():
    with Venue() as rig:
        rig.open_reads_circuit()
        for within_s in (1.2, 10.0):
            rig.venue.rest.tell(Fetch(ServerTimeQuery(), Priority.READ, within_s, lambda answer: None))
        rig.far.broken = set()
        rig.runtime.advance(1.9)  # the first would have been cut off by its deadline, and taken for a failure

        assert rig.health(READS) == "closed"


def test_the_librarys_own_reads_wait_for_the_venue_and_are_told_when_their_time_is_up():
    with Venue() as rig:
        rig.open_reads_circuit()
        asked = rig.venue.state.ask(CompareAccount(), block=False)
        rig.runtime.advance(30.0)
        assert rig.venue.snapshot().counters["account.questions_failed"] >= 1
        rig.far.broken = set()
        rig.runtime.advance(40.0)
        assert asked.get(timeout=0.0) is not None


def test_a_store_that_fails_does_not_use_up_the_trial(monkeypatch):
    store = MemoryStore()
    with Venue(store=store) as rig:
        rig.open_orders_circuit()
        rig.far.broken = set()
        rig.runtime.advance(3.0)
        append = store.append

        def fail(records):
            raise StoreFailed("the disk is full.")

        monkeypatch.setattr(store, "append", fail)
        assert rig.ask(order(), within_s=0.0).code == "StoreFailed"
        monkeypatch.setattr(store, "append", append)
        assert rig.ask(order()).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("who", ["orders", "rest"])
def test_what_is_open_stays_open_over_a_restart_and_is_tried_again(who):
    with Venue() as rig:
        rig.open_orders_circuit()
        rig.open_reads_circuit()
        crash(getattr(rig.venue, who))
        rig.runtime.advance(0.2)
        assert rig.health().startswith("open")
        rig.far.broken = set()
        rig.runtime.advance(15.0)
        assert rig.ask(order()).kind is OutcomeKind.ACCEPTED
        assert rig.health() == rig.health(READS) == "closed"


def test_over_the_session_silence_counts_and_a_connection_that_ends_does_not():
    with Venue(session=True) as rig:
        for _ in range(2):
            rig.far.silent = {"POST"}
            asks = [rig.orders.ask(order(), block=False) for _ in range(8)]
            rig.runtime.advance(0.1)
            rig.far.silent = set()
            rig.far.cut()
            rig.runtime.advance(8.0)
            assert {ask.get(timeout=0.0).kind for ask in asks} == {OutcomeKind.UNKNOWN}
        assert rig.health() == "closed"

        rig.far.silent = {"POST"}
        asks = [rig.orders.ask(order(), block=False) for _ in range(8)]
        rig.runtime.advance(6.5)
        assert {ask.get(timeout=0.0).kind for ask in asks} == {OutcomeKind.UNKNOWN}
        assert rig.health().startswith("open")
        rig.far.silent = set()
        rig.runtime.advance(3.0)
        assert rig.ask(order()).kind is OutcomeKind.ACCEPTED and rig.health() == "closed"
