"""Reconciliation: what was missed is told once, in the venue's order, marked recovered; a second run changes nothing."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_values import SYMBOL, d, fill, intent, report

from connector.domain.account import Balance
from connector.domain.facts import BalanceReport
from connector.domain.orders import Fill, Order, OrderStatus
from connector.orders.lifecycle import apply_report, new_record
from connector.orders.reconcile import Held, corrected, reconcile

S = OrderStatus


def held(*client_ids: str, **changes: object) -> Held:
    return Held(orders={client_id: new_record(intent(client_id)) for client_id in client_ids or ("a",)}, **changes)


def known(*facts: object, client_id: str = "a") -> Held:
    record = new_record(intent(client_id))
    for fact in facts:
        record, _ = apply_report(record, fact)
    return Held(orders={client_id: record})


def listed(number: int, quantity: str = "1", **changes: object) -> Fill:
    """A fill as lists of executions tell it: by the venue's id only."""
    return fill(number, quantity, **{"client_id": "", **changes})


def answer(*balances: tuple[str, str, str], complete: bool = True, at_ns: int | None = None) -> BalanceReport:
    told = tuple((asset, d(free), d(locked)) for asset, free, locked in balances)
    return BalanceReport("binance", at_ns, 50, told, complete)


def balance(asset: str, free: str, event_time_ns: int | None = None, received_ns: int = 1) -> Balance:
    return Balance("binance", asset, event_time_ns, received_ns, d(free), d(0))


# ---------------------------------------------------------------- what was missed


def test_a_fill_and_an_end_that_were_missed_are_told_in_the_venues_order_and_marked():
    ended = report(S.CANCELED, "1.5", None, event_time_ns=5_000)
    found = reconcile(known(report(S.NEW, "0", 1)), [], {"a": ended}, [listed(2, "0.5"), listed(1)])
    assert [type(event).__name__ for event in found.events] == ["Fill", "Order", "Fill", "Order", "Order"]
    assert [event.trade_id for event in found.events if isinstance(event, Fill)] == ["1", "2"]
    assert all(event.recovered for event in found.events if isinstance(event, Fill | Order))
    assert all(event.client_id == "a" for event in found.events if isinstance(event, Fill | Order))
    final = found.orders["a"]
    assert (final.order.status, final.order.filled, final.missing) == (S.CANCELED, d("1.5"), 0)
    assert final.order is found.events[-1]


def test_a_second_reconciliation_with_the_same_answers_changes_nothing():
    ours = held("a", "b", balances={})
    answers = {"a": report(S.FILLED, "2", 9), "b": report(S.NEW, client_id="b", venue_id="78")}
    theirs = report(S.NEW, client_id="web", venue_id="99")
    said = ([theirs], answers, [listed(1), listed(2), listed(9, venue_id="99")], answer(("ETH", "2", "0")))
    first = reconcile(ours, *said)
    assert not first.is_empty
    second = reconcile(corrected(ours, first), *said)
    assert second.is_empty
    assert second.external_events == ()
    assert corrected(corrected(ours, first), second) == corrected(ours, first)


def test_what_the_stream_told_already_is_not_told_again():
    streamed = [report(S.NEW, "0", 1), report(S.FILLED, "2", 3, fill=fill(1, "2"))]
    found = reconcile(known(*streamed), [], {"a": report(S.FILLED, "2", None)}, [listed(1, "2")])
    assert found.events == ()
    assert found.is_empty


def test_an_answer_older_than_the_stream_changes_nothing():
    found = reconcile(known(report(S.CANCELED, "0", 9)), [report(S.NEW, "0", None, event_time_ns=1_001)])
    assert found.is_empty
    assert found.orders == {}


def test_events_of_several_orders_are_in_one_order_of_time():
    reports = [
        report(S.CANCELED, "0", None, client_id="a", venue_id="77", event_time_ns=3_000),
        report(S.CANCELED, "0", None, client_id="b", venue_id="78", event_time_ns=2_000),
    ]
    found = reconcile(held("a", "b"), [], {each.client_id: each for each in reports})
    assert [event.client_id for event in found.events] == ["b", "a"]


# ---------------------------------------------------------------- what is only a question


def test_an_order_that_no_answer_names_is_asked_about_and_not_concluded():
    found = reconcile(known(report(S.NEW, "0", 1)), open_orders=[])
    assert found.ask == ("a",)
    assert found.is_empty


@pytest.mark.parametrize("ours", [held(), known(report(S.NEW, "0", 1))])
def test_not_found_concludes_nothing(ours):
    found = reconcile(ours, [], {"a": None})
    assert found.is_empty
    assert found.ask == ("a",)


def test_an_order_that_is_final_is_not_asked_about():
    assert reconcile(known(report(S.CANCELED, "0", 9))).ask == ()


def test_an_order_with_fills_missing_says_so():
    found = reconcile(held(), [], {"a": report(S.FILLED, "2", 9)}, [listed(1)])
    assert found.missing_fills == ("a",)
    assert reconcile(corrected(held(), found), fills=[listed(2)]).missing_fills == ()


def test_a_fill_of_an_order_nobody_told_us_about_is_a_question_first():
    unknown = held()  # ours, never answered: its id at the venue is not known
    found = reconcile(unknown, [], {}, [listed(1)])
    assert [each.trade_id for each in found.stray_fills] == ["1"]
    assert found.is_empty
    looked_up = reconcile(unknown, [], {"a": report(S.PARTIALLY_FILLED, "1", 3)}, found.stray_fills)
    assert looked_up.orders["a"].filled == 1
    assert looked_up.stray_fills == ()


# ---------------------------------------------------------------- other programs


def test_orders_of_other_programs_are_seen_once_and_kept_apart():
    theirs = report(S.NEW, client_id="web_1", venue_id="99")
    found = reconcile(held(), [theirs], {}, [listed(5, venue_id="99")])
    assert found.orders == {}
    assert found.events == ()
    assert [event.client_id for event in found.external_events] == ["web_1"]
    assert [each.trade_id for each in found.external_fills] == ["5"]
    assert "web_1" not in found.ask


def test_a_change_of_another_programs_order_is_told():
    ours = held()
    ours = corrected(ours, reconcile(ours, [report(S.NEW, client_id="web_1", venue_id="99")]))
    found = reconcile(ours, [], {"web_1": report(S.CANCELED, "0", 9, client_id="web_1", venue_id="99")})
    assert [event.status for event in found.external_events] == [S.CANCELED]


def test_another_programs_order_with_our_id_on_another_symbol_is_not_ours():
    other = msgspec.structs.replace(SYMBOL, base="BTC")
    found = reconcile(known(report(S.NEW, "0", 1)), [report(S.NEW, symbol=other, venue_id="5")])
    assert found.orders == {}
    assert list(found.external) == [(other, "5")]


# ---------------------------------------------------------------- balances


def test_balances_that_differ_are_corrected_and_those_gone_are_zero():
    ours = held(balances={"ETH": balance("ETH", "1"), "BTC": balance("BTC", "3"), "USDT": balance("USDT", "7")})
    found = reconcile(ours, balances=answer(("ETH", "2", "0.5"), ("USDT", "7", "0")))
    assert {each.asset: (each.free, each.locked) for each in found.balances} == {
        "ETH": (d(2), d("0.5")),
        "BTC": (d(0), d(0)),
    }


def test_an_answer_of_some_assets_says_nothing_of_the_others():
    ours = held(balances={"ETH": balance("ETH", "1")})
    assert reconcile(ours, balances=answer(complete=False)).balances == ()


def test_a_balance_the_stream_told_since_the_question_stays():
    newer = held(balances={"ETH": balance("ETH", "1", received_ns=40)})
    assert reconcile(newer, balances=answer(("ETH", "2", "0")), balances_asked_ns=30).balances == ()
    assert reconcile(newer, balances=answer(("ETH", "2", "0")), balances_asked_ns=41).balances != ()
    dated = held(balances={"ETH": balance("ETH", "1", event_time_ns=9)})
    assert reconcile(dated, balances=answer(("ETH", "2", "0"), at_ns=8)).balances == ()


# ---------------------------------------------------------------- whatever was missed

FULL = [
    report(S.NEW, "0", 1),
    report(S.PARTIALLY_FILLED, "0.5", 2, fill=fill(1, "0.5", "100.1")),
    report(S.PARTIALLY_FILLED, "1.5", 3, fill=fill(2, "1", "100.3")),
    report(S.CANCELED, "1.5", 4),
]


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_whatever_the_stream_lost_the_result_is_the_same_and_each_fill_is_told_once(arrives, twice):
    told: list[str] = []
    record = new_record(intent())
    for message in [each for each, came in zip(FULL, arrives, strict=True) if came]:
        record, events = apply_report(record, message)
        told += [event.trade_id for event in events if isinstance(event, Fill)]
    ours = Held(orders={"a": record})
    fills = [listed(1, "0.5", price=Decimal("100.1")), listed(2, "1", price=Decimal("100.3"))]
    for _ in range(2 if twice else 1):
        found = reconcile(ours, [], {"a": report(S.CANCELED, "1.5", None, event_time_ns=1_004)}, fills)
        told += [event.trade_id for event in found.events if isinstance(event, Fill)]
        ours = corrected(ours, found)
    order = ours.orders["a"].order
    assert (order.status, order.filled, order.average_price) == (S.CANCELED, d("1.5"), d("150.35") / d("1.5"))
    assert sorted(told) == ["1", "2"]
