"""Positions and funding in the read model: the newer rules, flat is told, what the venue forces is never lost, nothing twice."""

import random
from decimal import Decimal

import msgspec
import pytest
from test_account import FailingStore, Kit, fill, place, report

from connector.domain.account import FundingPayment, MarginMode, Position, PositionSide
from connector.domain.facts import PositionReport
from connector.domain.instruments import Instrument, InstrumentStatus, InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import Alarm, AlarmKind
from connector.orders.reconcile import Held, reconcile
from connector.telemetry import Counters, OncePerKind
from connector.venue import account
from connector.venue.account import DAY_NS, AccountModel
from connector.venue.order_events import OrderEvents
from connector.venue.positions import FundingModel, PositionModel

BTC = Symbol("BTC", "USDT", "USDT")
COIN = Symbol("BTC", "USD", "BTC")
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
d = Decimal


def position(quantity="1", at_ns=10, sequence=None, symbol=BTC, side=NET, received_ns=None, **changes):
    entry = d(100) if d(quantity) else None
    return Position(
        "far",
        symbol,
        at_ns,
        at_ns if received_ns is None else received_ns,
        side,
        d(quantity),
        changes.pop("entry_price", entry),
        sequence=sequence,
        **changes,
    )


def said(*positions, complete=False, at_ns=10):
    return PositionReport("far", at_ns, 0 if at_ns is None else at_ns, positions, complete)


def payment(payment_id="1", amount="-1", at_ns=DAY_NS + 5, symbol=BTC, asset="USDT", **changes):
    return FundingPayment("far", symbol, at_ns, at_ns, payment_id, asset, d(amount), **changes)


class Contracts(Kit):
    """An account that holds positions."""

    def __init__(self, store=None, clock=None, told=()):
        super().__init__(store, clock)
        self.announced = []
        self.model = AccountModel(
            "far",
            self.store,
            self.clock.time_ns,
            self.counters,
            OncePerKind("far", emit=lambda kind, detail: None),
            self.announced.extend,
            has_positions=True,
            positions_told=told,
        )
        self.model.load()

    def view(self, prices=None):
        return self.model.view(self.clock.time_ns(), False, prices or {}, None)


# ---------------------------------------------------------------- which is newer


@pytest.mark.parametrize(
    ("first", "then", "rules"),
    [
        ((10, None), (11, None), True),
        ((10, None), (10, None), True),
        ((10, None), (9, None), False),
        ((10, 5), (9, 6), True),
        ((10, 5), (11, 4), False),
        ((10, 5), (11, 5), True),
        ((10, 5), (9, 5), False),
        ((10, 5), (11, None), True),
        ((10, 5), (9, None), False),
        ((None, None), (9, None), True),
    ],
)
def test_of_two_reports_the_larger_sequence_is_newer_then_the_later_time(first, then, rules):
    model = PositionModel()
    model.take(said(position("1", *first, received_ns=1)))
    changed = model.take(said(position("2", *then, received_ns=2)))
    assert [each.quantity for each in changed] == ([d(2)] if rules else [])


def test_what_came_after_the_question_is_newer_than_an_answer_without_times():
    model = PositionModel()
    model.take(said(position("1", None, received_ns=50)))
    assert model.take(said(position("2", None), complete=True, at_ns=None), asked_ns=40) == ()
    assert model.take(said(complete=True, at_ns=None), asked_ns=40) == ()
    assert [each.quantity for each in model.take(said(position("2", None), at_ns=None), asked_ns=60)] == [d(2)]


def test_a_complete_list_makes_flat_what_it_does_not_name():
    model = PositionModel()
    model.take(said(position("1", 10, leverage=d(5), contracts=d(100)), position("-2", 10, symbol=COIN)))
    (flat,) = model.take(said(position("-2", 12, symbol=COIN), complete=True, at_ns=12))
    assert (flat.symbol, flat.quantity, flat.contracts, flat.entry_price, flat.leverage) == (BTC, 0, 0, None, 5)
    assert [each.symbol for each in model.open()] == [COIN]


@pytest.mark.parametrize(("at_ns", "sequence"), [(10, 5), (9, 4), (10, None)])
def test_what_was_said_before_a_complete_list_does_not_open_a_position_again(at_ns, sequence):
    model = PositionModel()
    opened = position("1", 10, 5 if sequence else None)
    model.take(said(opened))
    model.take(said(complete=True, at_ns=None))
    assert model.take(said(position("1", at_ns, sequence))) == ()
    assert model.open() == ()
    assert model.take(said(position("3", 11, 6 if sequence else None)))[0].quantity == 3


def test_a_list_that_lags_behind_does_not_keep_a_new_position_out():
    model = PositionModel()
    model.take(said(position("1", 10)))
    model.take(said(complete=True, at_ns=30))  # as of a moment ago, though it was written at 30
    assert [each.quantity for each in model.take(said(position("2", 25)))] == [d(2)]


def test_a_list_that_may_be_older_than_a_position_does_not_make_it_flat():
    model = PositionModel()
    model.take(said(position("1", 10, received_ns=100)))
    assert model.take(said(complete=True, at_ns=30), asked_ns=105, late_ns=10) == ()
    assert model.take(said(position("3", None), complete=True, at_ns=None), asked_ns=105, late_ns=10) == ()
    assert [each.quantity for each in model.take(said(complete=True, at_ns=30), asked_ns=110, late_ns=10)] == [d(0)]


def test_a_position_a_list_left_out_by_mistake_is_back_with_the_next_list():
    model = PositionModel()
    model.take(said(position("1", 10, 5)))
    model.take(said(complete=True, at_ns=30), asked_ns=29)
    (back,) = model.take(said(position("1", 10, 5), complete=True, at_ns=60), asked_ns=59)
    assert back.quantity == 1


def test_an_answer_asked_for_late_enough_is_newer_whatever_its_figures_say():
    model = PositionModel()
    model.take(said(position("1", 100, 7)))
    assert model.take(said(position("2", 90, 6), complete=True), asked_ns=105, late_ns=10) == ()
    assert model.take(said(position("1", 90, 6, mark_price=d(7)), complete=True), asked_ns=110, late_ns=10) == ()
    assert model.known(BTC, NET).mark_price == 7, "prices are refreshed"
    assert model.take(said(position("2", 90, 6), complete=True), asked_ns=110, late_ns=10)[0].quantity == 2


def test_prices_and_profit_move_without_being_told_and_settings_stay_where_they_are_not_told():
    model = PositionModel()
    model.take(said(position("1", 10, leverage=d(5), margin_mode=MarginMode.CROSS, mark_price=d(100))))
    assert model.take(said(position("1", 11, mark_price=d(101), unrealized=d(1)))) == ()
    held = model.known(BTC, NET)
    assert (held.mark_price, held.unrealized, held.leverage, held.margin_mode) == (101, 1, 5, MarginMode.CROSS)
    model.take(said(position("2", 12)))
    assert model.known(BTC, NET).mark_price is None, "a price of another moment is not handed on"
    assert len(model.take(said(position("2", 13, leverage=d(6))))) == 1


def test_both_sides_of_a_hedge_are_kept_apart_and_added_up_for_risk():
    model = PositionModel()
    model.take(said(position("5", side=LONG), position("-3", side=SHORT), position("0", symbol=COIN)))
    assert [(each.side, each.quantity) for each in model.open()] == [(LONG, 5), (SHORT, -3)]
    assert model.net() == {BTC: d(2)}


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_arrival_of_numbered_reports_gives_the_same_positions(seed):
    chance = random.Random(seed)
    reports = [said(position(str(chance.randint(-3, 3)), at_ns, at_ns * 10)) for at_ns in range(1, 8)]
    ordered, shuffled = PositionModel(), PositionModel()
    for each in reports:
        ordered.take(each)
    for each in chance.sample(reports * 2, len(reports) * 2):
        shuffled.take(each)
    assert ordered.known(BTC, NET) == shuffled.known(BTC, NET)


# ---------------------------------------------------------------- in the account


def test_positions_are_told_and_unknown_to_risk_until_a_complete_list_came():
    kit = Contracts()
    kit.model.take(said(position("2")), "stream")
    assert [each.quantity for each in kit.announced] == [d(2)]
    assert kit.view().positions is None
    kit.model.take_positions(said(position("2"), complete=True), asked_ns=1)
    assert kit.view().positions == {BTC: d(2)}
    assert len(kit.announced) == 1


def test_a_position_a_question_shows_changed_has_the_fills_behind_it_read():
    kit = Contracts()
    kit.model.take_positions(said(position("2", received_ns=kit.clock.time_ns()), complete=True), asked_ns=1)
    assert kit.model.due_symbols() == (), "what was there before we came has nothing to explain"
    kit.model.take_positions(said(complete=True, at_ns=20), asked_ns=kit.clock.time_ns() + 1)
    assert kit.model.due_symbols() == (BTC,)
    assert kit.model.first_ns(BTC) == kit.clock.time_ns()


def test_a_position_the_stream_says_changed_has_its_fills_read_in_case_one_was_lost():
    kit = Contracts()
    kit.model.take(said(position("2")), "stream")
    assert kit.model.due_symbols() == (BTC,)
    kit.model.fills_read(BTC, kit.clock.time_ns() + 1)
    kit.model.take(said(position("2", 11, mark_price=d(7))), "stream")
    assert kit.model.due_symbols() == ()


def test_an_account_of_assets_goes_on_taking_positions_from_balances():
    kit = Kit()
    assert kit.model.view(1, False, {}, InstrumentTable("far", ())).positions is None
    assert kit.model.has_positions is False


def forced(trade_id=1, **changes):
    fields = {"symbol": BTC, "side": Side.SELL, "kind": FillKind.LIQUIDATION, "venue_id": "9", "realized": d(-50)}
    return fill(trade_id, "2", **{**fields, **changes})


@pytest.mark.parametrize("kind", [FillKind.LIQUIDATION, FillKind.DELEVERAGING, FillKind.SETTLEMENT])
@pytest.mark.parametrize("way", ["report", "fill", "fill with an id", "list"])
def test_a_forced_fill_is_told_counted_and_kept_by_whatever_way_it_comes(kind, way):
    kit = Contracts()
    what = forced(kind=kind, event_time_ns=DAY_NS + 1, client_id="autoclose-1" if way != "fill" else "")
    for _ in range(2):
        if way == "report":
            said_so = report(OrderStatus.FILLED, "2", 1, "autoclose-1", "9", BTC, fill=what)
            assert kit.model.take(said_so, "stream").noticed == ()
        elif way == "list":
            corrections = reconcile(kit.model.held((), (what,)), fills=(what,))
            kit.model.correct(corrections, False)
        else:
            kit.model.take(what, "stream")

    told, alarm = kit.announced
    assert isinstance(told, Fill) and (told.kind, told.trade_id, told.client_id) == (kind, "1", "")
    assert isinstance(alarm, Alarm) and alarm.kind is AlarmKind.FORCED
    assert kind.value in alarm.text and "BTC/USDT:USDT" in alarm.text
    assert [each.trade_id for each in kit.model.fills(None, 0)] == ["1"]
    assert kit.counters.get("account.fills_forced") == 1
    assert kit.model.orders == {}
    kit.model.funding.read_ns = 1
    assert kit.view().day_results == {"USDT": d(-50)}


def test_a_forced_fill_is_known_to_the_next_process_and_not_told_again():
    kit = Contracts()
    kit.model.take(forced(event_time_ns=DAY_NS + 1), "stream")
    again = Contracts(kit.store, kit.clock)
    again.model.take(forced(event_time_ns=DAY_NS + 1), "query", recovered=True)
    assert again.announced == []
    again.model.funding.read_ns = 1
    assert again.view().day_results == {"USDT": d(-50)}


def test_a_forced_fill_the_store_did_not_take_is_written_later():
    kit = Contracts(FailingStore())
    kit.store.fails_to_write = True
    kit.model.take(forced(), "stream")
    assert len(kit.announced) == 2
    assert [each.trade_id for each in kit.model.fills(None, 0)] == ["1"]
    kit.model.write_again()
    kit.store.fails_to_write = False
    kit.model.write_again()
    assert kit.store.has_fill(BTC, "1", Side.SELL)
    assert [each.kind for each in kit.store.fills()] == [FillKind.LIQUIDATION]


@pytest.mark.parametrize("way", ["fill first", "order first", "fill in the report", "reconciliation"])
def test_a_fill_that_does_not_show_its_force_has_it_from_its_order(way):
    kit = Contracts()
    bare = forced(kind=FillKind.TRADE, client_id="")
    order = report(OrderStatus.FILLED, "2", 1, "autoclose-1", "9", BTC, kind=FillKind.LIQUIDATION)
    if way == "reconciliation":
        kit.model.take(bare, "query")
        kit.model.correct(reconcile(kit.model.held((order,), (bare,)), (order,), fills=(bare,)), False)
    elif way == "fill in the report":
        kit.model.take(msgspec.structs.replace(order, fill=bare), "stream")
    else:
        for fact in (bare, order) if way == "fill first" else (order, bare):
            kit.model.take(fact, "query", recovered=True)
    told, alarm = kit.announced
    assert (told.kind, told.trade_id) == (FillKind.LIQUIDATION, "1")
    assert alarm.kind is AlarmKind.FORCED
    assert kit.model.parked == {}


def test_other_programs_fills_stay_untold():
    kit = Contracts()
    kit.model.take(forced(kind=FillKind.TRADE, client_id="web-1"), "stream")
    assert kit.announced == []


def test_a_forced_fill_of_a_list_needs_no_question_whose_it_is():
    corrections = reconcile(Held(), fills=(forced(client_id=""),))
    assert corrections.stray_fills == ()
    assert [each.recovered for each in corrections.external_fills] == [True]


def test_a_fill_of_our_own_order_that_the_venue_forced_stays_ours():
    kit = Contracts()
    intent = place(symbol=BTC)
    kit.store.append([intent])
    kit.model.intend(intent)
    kit.model.take(report(OrderStatus.NEW, symbol=BTC), "stream")
    kit.model.take(forced(venue_id="77", client_id="a", side=Side.BUY), "stream")
    assert kit.model.orders["a"].fills[0].kind is FillKind.LIQUIDATION


# ---------------------------------------------------------------- funding


def test_a_payment_is_told_once_and_counts_in_the_days_result():
    kit = Contracts()
    for source in ("stream", "query"):
        kit.model.take(payment(), source)
    kit.model.take(payment("2", "0.25"), "query", recovered=True)
    assert [(each.payment_id, each.recovered) for each in kit.announced] == [("1", False), ("2", True)]
    assert kit.view().day_results is None, "not known before all of the day was read"
    kit.model.funding.read_ns = 1
    assert kit.view().day_results == {"USDT": d("-0.75")}


def test_a_payment_that_does_not_tell_on_what_is_asked_for_rather_than_counted_twice():
    kit = Contracts()
    assert kit.model.take(payment(symbol=None), "stream").paid
    assert kit.announced == []
    kit.model.take(payment(symbol=None), "query")
    assert len(kit.announced) == 1


def test_the_next_process_counts_todays_payments_and_tells_only_those_it_missed():
    kit = Contracts()
    kit.model.take(payment("1"), "stream")
    again = Contracts(kit.store, kit.clock)
    again.model.take_funding((payment("1"), payment("2", "-2", DAY_NS + 6)))
    assert [each.payment_id for each in again.announced] == ["2"]
    again.model.funding.read_ns = 1
    assert again.view().day_results == {"USDT": d(-3)}


def test_payments_of_before_the_first_process_are_counted_and_not_told():
    clock_ns = DAY_NS + 1_000
    kit = Contracts()
    kit.clock.advance(1e-6)
    fresh = Contracts(clock=kit.clock)
    assert fresh.clock.time_ns() == clock_ns
    fresh.model.take_funding((payment("1", at_ns=DAY_NS + 5), payment("2", at_ns=clock_ns + 5)))
    assert [each.payment_id for each in fresh.announced] == ["2"]
    assert len(fresh.model.funding.since(BTC, DAY_NS)) == 2


def test_a_payment_that_comes_before_the_store_could_be_read_is_left_for_the_question():
    store = FailingStore()
    store.fails_to_read = True
    kit = Contracts(store)
    kit.model.take(payment(), "stream")
    assert kit.announced == []
    store.fails_to_read = False
    assert kit.model.load()
    kit.model.take_funding((payment(),))
    assert len(kit.announced) == 1


@pytest.mark.parametrize("is_next_process", [False, True])
def test_one_payment_the_venue_gives_two_ids_counts_once(is_next_process):
    at_ns = DAY_NS + 8 * 3_600 * 1_000_000_000
    kit = Contracts()
    kit.model.take(payment("of the stream", "-1.50", at_ns), "stream")
    if is_next_process:
        kit = Contracts(kit.store, kit.clock)
    kit.model.take_funding((payment("of the list", "-1.5", at_ns + 5_000_000_000, recovered=True),))
    assert [each.payment_id for each in kit.announced] == ([] if is_next_process else ["of the stream"])
    kit.model.funding.read_ns = 1
    assert kit.view().day_results == {"USDT": d("-1.5")}


def test_a_payment_of_two_ids_stays_one_however_often_it_is_listed_and_two_of_a_list_stay_two():
    kit = Contracts()
    listed = [payment(name, "-1.5", DAY_NS + 9, recovered=True) for name in ("x", "y")]
    for _ in range(3):
        kit.model.take(payment("s", "-1.5", DAY_NS + 9), "stream")
        kit.model.take_funding(listed)
    assert [each.payment_id for each in kit.announced] == ["s", "y"]
    again = Contracts(kit.store, kit.clock)
    again.model.take_funding(listed)
    assert again.announced == []
    for each in (kit, again):
        each.model.funding.read_ns = 1
        assert each.view().day_results == {"USDT": d(-3)}


def test_a_payment_the_stream_lost_is_not_taken_for_another_of_the_same_amount_that_came():
    kit = Contracts()
    kit.model.take(payment("second", "-1.5", DAY_NS + 9), "stream")
    kit.model.take_funding([payment(name, "-1.5", DAY_NS + 9, recovered=True) for name in ("first", "second")])
    assert [each.payment_id for each in kit.announced] == ["second", "first"]


def test_a_list_that_comes_before_the_stream_makes_one_payment_too():
    kit = Contracts()
    kit.model.take_funding((payment("x", "-1.5", DAY_NS + 9, recovered=True),))
    kit.model.take(payment("s", "-1.5", DAY_NS + 9), "stream")
    assert [each.payment_id for each in kit.announced] == ["x"]


@pytest.mark.parametrize(
    "other", [{"amount": "1"}, {"at_ns": DAY_NS + 3_600_000_000_000}, {"symbol": COIN}, {"asset": "BTC"}]
)
def test_payments_that_differ_in_more_than_their_ids_are_two(other):
    kit = Contracts()
    kit.model.take_funding((payment("a"), payment("b", **other)))
    assert len(kit.announced) == 2


def test_the_same_id_on_two_symbols_is_two_payments():
    kit = Contracts()
    kit.model.take_funding((payment(), payment(symbol=COIN, asset="BTC")))
    assert len(kit.announced) == 2
    assert [each.symbol for each in kit.model.funding.since(COIN, 0)] == [COIN]


def test_reading_of_funding_begins_with_the_day_or_with_what_was_told_last():
    hour = account.FUNDING_OVERLAP_NS
    kit = Contracts()
    assert kit.model.funding_from_ns() == DAY_NS - hour
    kit.model.take_funding((payment(at_ns=DAY_NS + 7),))
    kit.clock.advance(3 * 86_400)
    late = Contracts(kit.store, kit.clock)
    assert late.model.funding_from_ns() == DAY_NS + 7 - hour, "the days of the outage are read too"
    late.model.funding.read_ns = late.clock.time_ns()
    assert late.model.funding_from_ns() == late.clock.time_ns() - hour


def test_what_is_kept_of_payments_is_bounded(monkeypatch):
    monkeypatch.setattr("connector.venue.positions.KEPT_PAYMENTS", 3)
    model = FundingModel()
    model.restore(None, 0)
    for number in range(20):
        model.take_all((payment(str(number), f"-{number + 1}", at_ns=number),))
    assert len(model.since(None, 0)) == 3
    assert len(model._told) <= 6
    assert len(msgspec.json.decode(model.kept())["payments"]) == 3


# ---------------------------------------------------------------- who is told


def test_listeners_hear_of_a_position_and_a_payment_once_over_a_crash():
    hub = OrderEvents("far", Counters(), OncePerKind("far", emit=lambda kind, detail: None))
    heard = []
    hub.listen(heard.append)
    first = Contracts(told=hub.positions_told)
    first.model._announce = hub.prepare
    first.model.take_positions(said(position("2"), complete=True), asked_ns=1)
    first.model.take_funding((payment(),))
    hub.deliver()
    second = Contracts(told=hub.positions_told)  # the actor crashed; its successor begins with what was told
    second.model._announce = hub.prepare
    second.model.take_positions(said(position("2"), complete=True), asked_ns=1)
    second.model.take_funding((payment(),))
    hub.deliver()
    assert len(heard) == 2
    third = Contracts(told=hub.positions_told)
    third.model._announce = hub.prepare
    third.model.take_positions(said(complete=True, at_ns=99), asked_ns=98)
    hub.deliver()
    assert [each.quantity for each in heard if isinstance(each, Position)] == [d(2), d(0)]


def test_instruments_reach_the_hooks():
    kit = Contracts()
    table = InstrumentTable("far", (Instrument("far", BTC, "B", InstrumentStatus.TRADING, "T", 8, 8, (), ()),))
    assert kit.model.view(1, False, {}, table).instruments is table


def test_a_position_survives_json_to_the_last_digit():
    held = position("0.0333333333333333", contracts=d(10), margin_mode=MarginMode.ISOLATED, margin=d("1e-16"))
    assert msgspec.json.decode(msgspec.json.encode(held), type=Position) == held
