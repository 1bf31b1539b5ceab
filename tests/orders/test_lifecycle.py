"""The life of one order: the newest word rules, fills count once, final stays final, and no order of arrival matters."""

from __future__ import annotations

import gc
from decimal import Decimal
from itertools import permutations, product

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_values import SYMBOL, d, fill, intent, place, report

from connector.domain.commands import CancelOrder
from connector.domain.facts import OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, Order, OrderStatus, OrderType
from connector.errors import ConnectorBug
from connector.orders.lifecycle import (
    Alarm,
    AlarmKind,
    OrderRecord,
    Verdict,
    apply_fill,
    apply_report,
    apply_verdict,
    can_transition,
    contradicts,
    explain,
    new_record,
    record_of_report,
)

S = OrderStatus
FINAL = [status for status in S if status.is_final]


def after(*messages: OrderReport | Fill, record: OrderRecord | None = None) -> OrderRecord:
    record = record or new_record(intent())
    for message in messages:
        apply = apply_fill if isinstance(message, Fill) else apply_report
        record, _ = apply(record, message)
    return record


def trade(trade_id: int, filled: str, version: int, status: OrderStatus, quantity: str = "1") -> OrderReport:
    return report(status, filled, version, fill=fill(trade_id, quantity))


# ---------------------------------------------------------------- transitions


@pytest.mark.parametrize(("old", "new"), list(product(FINAL, S)))
def test_a_final_status_becomes_nothing_else(old, new):
    assert can_transition(old, new) is (old is new)


@pytest.mark.parametrize("new", list(S))
def test_an_unknown_order_may_turn_out_as_anything(new):
    assert can_transition(S.UNKNOWN, new)


def test_an_open_order_is_never_unknown_or_new_again():
    assert not can_transition(S.NEW, S.UNKNOWN)
    assert not can_transition(S.PARTIALLY_FILLED, S.UNKNOWN)
    assert not can_transition(S.PARTIALLY_FILLED, S.NEW)


def test_an_order_is_unknown_until_the_venue_speaks():
    record = new_record(intent())
    assert record.order.status is S.UNKNOWN
    assert record.order.venue_id is None
    assert record.order.average_price is None
    assert record.missing == 0


def test_the_intent_of_a_cancel_makes_no_order():
    with pytest.raises(ConnectorBug, match="makes no order"):
        new_record(intent(command=CancelOrder(symbol=SYMBOL, client_id="a")))


# ---------------------------------------------------------------- reports


def test_a_report_and_its_fill_are_told_fill_first_then_the_state_it_led_to():
    record, events = apply_report(new_record(intent()), trade(1, "1", 5, S.PARTIALLY_FILLED))
    assert [type(event) for event in events] == [Fill, Order]
    assert events[1] is record.order
    assert record.order.filled == 1
    assert record.version == 5


def test_the_same_report_twice_changes_nothing_and_tells_nothing():
    once = after(trade(1, "1", 5, S.PARTIALLY_FILLED))
    again, events = apply_report(once, trade(1, "1", 5, S.PARTIALLY_FILLED))
    assert again is once
    assert events == ()


def test_a_stale_report_changes_nothing_but_its_fill_counts():
    record = after(report(S.CANCELED, "1", 9))
    record, events = apply_report(record, trade(1, "1", 5, S.PARTIALLY_FILLED))
    assert record.order.status is S.CANCELED
    assert [type(event) for event in events] == [Fill, Order]  # the average price is known through the fill
    assert record.missing == 0


def test_a_lower_version_is_stale_also_when_it_comes_with_a_later_time():
    record = after(report(S.NEW, "0", 9, quantity=d(1)))
    record, events = apply_report(record, report(S.NEW, "0", 3, event_time_ns=99_999, quantity=d(2)))
    assert record.order.quantity == 1
    assert events == ()


def test_without_versions_the_venues_time_tells_which_report_is_newer():
    amended = report(S.NEW, quantity=d(1), event_time_ns=500)
    assert after(amended, report(S.NEW, quantity=d(2), event_time_ns=400)).order.quantity == 1
    assert after(report(S.NEW, quantity=d(2), event_time_ns=400), amended).order.quantity == 1


def test_an_answer_without_a_version_does_not_undo_what_the_stream_said():
    record = after(trade(1, "1", 5, S.PARTIALLY_FILLED), report(S.NEW, "0", None, event_time_ns=99_999))
    assert record.order.status is S.PARTIALLY_FILLED
    assert record.order.filled == 1


def test_of_two_reports_the_one_with_more_filled_is_the_newer_whatever_their_times():
    """A trade and a question answered a moment earlier, stamped a moment later: what is filled is never unfilled."""
    traded = report(S.PARTIALLY_FILLED, "1", event_time_ns=500, quote_filled=d(99))
    asked = report(S.NEW, "0", event_time_ns=600)
    for record in (after(traded, asked), after(asked, traded)):
        assert (record.order.status_text, record.order.filled) == ("PARTIALLY_FILLED", 1)
        assert record.order.average_price == 99
        assert record.newest == traded


def test_nothing_opens_a_cancelled_order_again():
    record = after(report(S.CANCELED, "0", 9), report(S.NEW, "0", 10), report(S.PARTIALLY_FILLED, "0", 11))
    assert record.order.status is S.CANCELED


def test_a_late_fill_after_a_cancel_counts_and_the_order_stays_cancelled():
    record = after(report(S.CANCELED, "0", 9))
    record, events = apply_fill(record, fill(1))
    assert (record.order.status, record.order.filled) == (S.CANCELED, 1)
    assert [type(event) for event in events] == [Fill, Order]


def test_a_cancel_that_names_more_than_the_fills_here_says_how_much_is_missing():
    record = after(trade(1, "1", 5, S.PARTIALLY_FILLED, "0.5"), report(S.CANCELED, "1.5", 9))
    assert record.missing == d("1.0")
    assert after(fill(2, "1.0"), record=record).missing == 0


def test_an_expired_order_may_have_fills():
    order = after(trade(1, "0.5", 5, S.PARTIALLY_FILLED, "0.5"), report(S.EXPIRED, "0.5", 6)).order
    assert (order.status, order.filled) == (S.EXPIRED, d("0.5"))


def test_fills_to_the_brim_are_not_called_filled_without_the_venues_word():
    record = after(report(S.NEW, "0", 1), fill(1), fill(2))
    assert record.order.status is S.PARTIALLY_FILLED
    assert record.order.filled == 2
    assert after(report(S.FILLED, "2", 9), record=record).order.status is S.FILLED


def test_an_unknown_status_is_kept_as_text_and_the_last_known_one_stays():
    record, events = apply_report(after(report(S.NEW, "0", 1)), report(None, "0", 2))
    assert (record.order.status, record.order.status_text) == (S.NEW, "PENDING_SOMETHING")
    assert not record.is_final
    assert [event.kind for event in events if isinstance(event, Alarm)] == [AlarmKind.UNKNOWN_STATUS]


def test_an_order_first_seen_with_an_unknown_status_stays_unknown():
    record = after(report(None, "0", 2))
    assert (record.order.status, record.order.venue_id) == (S.UNKNOWN, "77")


def test_a_known_status_follows_an_unknown_one():
    assert after(report(None, "0", 2), report(S.CANCELED, "0", 3)).order.status is S.CANCELED


def test_a_venue_that_contradicts_its_own_final_word_is_believed_later_and_loudly():
    record, events = apply_report(after(report(S.CANCELED, "1", 9)), report(S.FILLED, "2", 10))
    assert record.order.status is S.FILLED
    assert [event.kind for event in events if isinstance(event, Alarm)] == [AlarmKind.CORRECTED]


def test_more_fills_than_the_order_is_an_alarm_once():
    record, events = apply_fill(after(fill(1), fill(2)), fill(3))
    assert [event.kind for event in events if isinstance(event, Alarm)] == [AlarmKind.OVERFILLED]
    assert not [event for event in apply_fill(record, fill(4))[1] if isinstance(event, Alarm)]


def test_a_market_order_by_quote_learns_its_quantity_from_the_venue():
    bought = new_record(intent(command=place(type=OrderType.MARKET, quantity=None, price=None, quote_quantity=d(50))))
    assert bought.order.quantity == 0
    assert after(report(S.FILLED, "2", 3, price=None), record=bought).order.quantity == 2


@pytest.mark.parametrize(
    "stranger",
    [
        report(S.NEW, client_id="b"),
        report(S.NEW, symbol=msgspec.structs.replace(SYMBOL, base="BTC")),
        fill(1, client_id="b"),
    ],
)
def test_what_belongs_to_another_order_is_refused(stranger):
    with pytest.raises(ConnectorBug, match="belongs to"):
        after(stranger)


def test_a_fill_that_names_only_the_venues_id_is_taken_by_that_id():
    record = after(report(S.NEW, "0", 1), fill(1, client_id=""))
    assert record.fills[0].client_id == "a"


def test_another_programs_order_lives_by_the_same_rules():
    record, events = record_of_report(report(S.PARTIALLY_FILLED, "1", 4), recovered=True)
    assert record.intent is None
    assert [event.recovered for event in events] == [True]
    assert after(report(S.FILLED, "2", 5), record=record).order.status is S.FILLED


# ---------------------------------------------------------------- verdicts


def test_a_refused_order_is_rejected_with_the_venues_code_in_the_diary():
    refused = Verdict(never_arrived=False, code="-2010", reason="insufficient balance", at_ns=50)
    record, events = apply_verdict(new_record(intent()), refused)
    assert record.order.status is S.REJECTED
    assert events == (record.order,)
    assert "-2010" in explain(record)[0].text


def test_a_verdict_about_an_order_the_venue_reported_changes_nothing():
    record, events = apply_verdict(
        after(report(S.NEW, "0", 1)), Verdict(never_arrived=True, code="", reason="", at_ns=5)
    )
    assert record.order.status is S.NEW
    assert events == ()


@pytest.mark.parametrize("late", [report(S.NEW, "0", 1), fill(1), trade(1, "2", 7, S.FILLED)])
def test_an_order_that_appears_after_all_corrects_the_verdict_and_says_so(late):
    verdict = Verdict(never_arrived=True, code="", reason="not found", at_ns=50)
    gone, _ = apply_verdict(new_record(intent()), verdict)
    apply = apply_fill if isinstance(late, Fill) else apply_report
    record, events = apply(gone, late)
    assert record.order.status is after(late).order.status
    assert record.verdict is None
    assert AlarmKind.CORRECTED in [event.kind for event in events if isinstance(event, Alarm)]
    assert record.order == apply_verdict(after(late), verdict)[0].order


@pytest.mark.parametrize(
    ("other", "word"),
    [({"side": Side.SELL}, "side"), ({"type": OrderType.LIMIT_MAKER}, "type"), ({"price": d(101)}, "price")],
)
def test_an_order_of_our_id_that_is_not_what_was_meant_is_told_apart(other, word):
    assert word in contradicts(intent(), report(S.NEW, **other))


@pytest.mark.parametrize(
    "same", [{}, {"quantity": d(1)}, {"type": OrderType.OTHER}, {"price": None}, {"price": d("100.00")}]
)
def test_an_order_that_may_be_what_was_meant_is_not_doubted(same):
    assert contradicts(intent(), report(S.NEW, **same)) == ""


# ---------------------------------------------------------------- money


def test_the_average_price_is_the_quote_sum_over_the_filled_sum():
    record = after(fill(1, "0.3", "100.01"), fill(2, "0.1", "100.03"))
    assert record.quote == d("40.006")
    assert record.order.average_price == d("100.015")


def test_the_average_price_comes_from_the_venues_sum_while_fills_are_missing():
    record = after(report(S.CANCELED, "1.5", 9, quote_filled=d("150.3")))
    assert record.order.average_price == d("100.2")


def test_the_average_price_is_not_guessed_from_half_of_the_fills():
    assert after(fill(1, "1"), report(S.CANCELED, "1.5", 9)).order.average_price is None


def test_several_fees_in_one_asset_are_added_up():
    record = after(fill(1, fee=d("0.1")), fill(2, "0.5", fee=d("0.02")), fill(3, "0.5", fee=d("-0.003")))
    assert record.fees == {"BNB": d("0.117")}


def test_fees_are_summed_per_asset_and_those_in_base_reduce_what_was_received():
    record = after(fill(1, fee=d("0.001"), fee_asset="ETH"), fill(2, fee=d("0.2"), fee_asset="BNB"))
    assert record.fees == {"ETH": d("0.001"), "BNB": d("0.2")}
    assert record.received == d("1.999")


def test_the_copy_of_a_fill_that_names_the_fee_is_kept_and_counts_once():
    record = after(fill(1, fee=d(0), fee_asset=None), fill(1, fee=d("0.5"), fee_asset="BNB", received_ns=9_999))
    assert record.fees == {"BNB": d("0.5")}
    assert record.filled == 1


def test_money_does_not_depend_on_the_threads_decimal_context():
    from decimal import localcontext

    with localcontext() as context:
        context.prec = 3
        record = after(fill(1, "0.123456", "98765.4321"), fill(2, "1.1", "98765.4322"))
    assert record.filled == Decimal("1.223456")
    assert record.quote == Decimal("0.123456") * Decimal("98765.4321") + Decimal("1.1") * Decimal("98765.4322")


# ---------------------------------------------------------------- any order of arrival

AMENDED = report(S.NEW, "0", 2, quantity=d("1.5"))
SEQUENCES = {
    "resting limit": [report(S.NEW, "0", 1), trade(1, "1", 3, S.PARTIALLY_FILLED), trade(2, "2", 4, S.FILLED)],
    "market short of liquidity": [
        report(S.NEW, "0", 1),
        trade(1, "1", 3, S.PARTIALLY_FILLED),
        report(S.EXPIRED, "1", 4),
    ],
    "fill or kill unfilled": [report(S.NEW, "0", 1), report(S.EXPIRED, "0", 2)],
    "cancel against fill": [report(S.NEW, "0", 1), trade(1, "1", 3, S.PARTIALLY_FILLED), report(S.CANCELED, "1", 4)],
    "amend then fill": [report(S.NEW, "0", 1), AMENDED, trade(1, "1.5", 3, S.FILLED, "1.5")],
    "triggered stop": [
        report(S.NEW, "0", 1, working=False),
        report(S.NEW, "0", 2, working=True),
        trade(1, "2", 3, S.FILLED, "2"),
    ],
    "self trade prevention": [report(S.NEW, "0", 1), report(S.EXPIRED, "0", 2, status_text="EXPIRED_IN_MATCH")],
    "unknown word in between": [report(S.NEW, "0", 1), report(None, "0", 2), report(S.CANCELED, "0", 3)],
}
ECHOES = {
    "answer": lambda last: msgspec.structs.replace(last, fill=None, version=None, received_ns=last.received_ns + 7),
    "fill from a list": lambda last: (
        fill(1, client_id="a", received_ns=90_000, recovered=True)
        if last.fill is not None
        else report(S.NEW, "0", None, event_time_ns=None, received_ns=80_000)
    ),
    "doubled": lambda last: msgspec.structs.replace(last, received_ns=last.received_ns + 3),
}


def essence(record: OrderRecord) -> OrderRecord:
    """A record without its diary, which keeps the order of arrival, and the mark of who told the last change."""
    return msgspec.structs.replace(record, evidence=(), order=msgspec.structs.replace(record.order, recovered=False))


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_order_of_up_to_six_messages_gives_the_same_record(name):
    messages = list(SEQUENCES[name])
    messages += [echo(messages[-1]) for echo in ECHOES.values()]
    assert len(messages) <= 6
    expected = essence(after(*messages))
    assert expected.is_final
    orders = {tuple(map(id, order)): order for order in permutations(messages)}
    different = [order for order in orders.values() if essence(after(*order)) != expected]
    assert different == []


messages = st.one_of(
    st.builds(
        lambda status, filled, version, at_ns, quantity, quote, received: report(
            status,
            str(filled),
            None if version is None else 10 * at_ns + version,  # rises with the venue's time, where it is told
            event_time_ns=at_ns,
            quantity=d(quantity),
            quote_filled=quote,
            received_ns=received,
            price=d(100),
        ),
        st.sampled_from([None, *(s for s in S if s is not S.UNKNOWN)]),
        st.integers(0, 2),
        st.none() | st.integers(0, 2),
        st.integers(0, 3),
        st.integers(1, 2),
        st.none() | st.just(d(7)),
        st.integers(1, 3),
    ),
    st.builds(
        lambda i, fee, at: fill(i, fee_asset=fee, received_ns=at),
        st.integers(1, 3),
        st.sampled_from([None, "BNB"]),
        st.integers(1, 3),
    ),
)


@given(st.lists(messages, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_even_nonsense_gives_one_record_whatever_its_order_and_however_often_it_comes(said, random):
    shuffled = said + random.sample(said, random.randint(0, len(said)))
    random.shuffle(shuffled)
    assert essence(after(*said)) == essence(after(*shuffled))


@given(st.lists(messages, min_size=1, max_size=8))
@settings(max_examples=400, deadline=None)
def test_whatever_is_said_a_final_order_never_opens_and_no_fill_is_told_twice(said):
    record, told = new_record(intent()), []
    for message in said:
        was_final, was_filled = record.is_final, record.order.filled
        apply = apply_fill if isinstance(message, Fill) else apply_report
        record, events = apply(record, message)
        told += [event.trade_id for event in events if isinstance(event, Fill)]
        assert record.is_final or not was_final
        assert record.order.filled >= was_filled
    assert sorted(told) == sorted({fill.trade_id for fill in record.fills})
    assert record.order.filled >= sum(fill.quantity for fill in record.fills)


def test_explain_lists_the_diary_and_the_fills_by_time():
    record = after(report(S.NEW, "0", 1), trade(2, "1", 3, S.PARTIALLY_FILLED), report(S.CANCELED, "1", 9))
    lines = explain(record)
    assert [line.at_ns for line in lines] == sorted(line.at_ns for line in lines)
    assert any("fill 2: 1 at 100" in line.text for line in lines)
    assert "canceled" in lines[-1].text


def test_a_thousand_fills_do_not_fill_the_diary():
    record = after(report(S.NEW, "0", 1))
    for number in range(1, 1_001):
        record, events = apply_report(record, trade(number, str(number), number + 1, S.PARTIALLY_FILLED))
        assert [type(event) for event in events][:2] == [Fill, Order]
    assert len([line for line in record.evidence if "is filled of" not in line.text]) == 2
    assert len(explain(record)) >= 1_002


def test_a_record_survives_json_to_the_last_digit():
    record = after(trade(1, "1", 3, S.PARTIALLY_FILLED, "0.10"), report(None, "1", 4))
    assert msgspec.json.decode(msgspec.json.encode(record), type=OrderRecord) == record


def test_what_is_kept_of_orders_is_frozen_and_out_of_the_garbage_collectors_sight():
    """A full collection over thousands of orders stops every thread for as long as a hundred orders take."""
    record = after(trade(1, "1", 3, S.PARTIALLY_FILLED, "0.10"), report(None, "1", 4))
    values = [record, record.intent, record.order, record.newest, *record.fills, *record.evidence, place(), SYMBOL]
    assert len({type(value) for value in values}) == 8
    for value in values:
        assert type(value).__struct_config__.frozen and not gc.is_tracked(value), value
