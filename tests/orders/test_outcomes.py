"""What may be concluded about one command: nothing from silence, everything from the venue's word, absence only by proof."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_venue import World, play
from order_values import SYMBOL, d, intent, place, report

from connector.domain.commands import AmendOrder, OutcomeKind
from connector.domain.instruments import Instrument, InstrumentStatus
from connector.domain.orders import OrderStatus
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import new_record
from connector.orders.outcomes import (
    NEVER_ARRIVED,
    Accepted,
    Ask,
    Asked,
    CancelAgain,
    CommandKind,
    DuplicateId,
    Lost,
    Moment,
    NotFound,
    NotInFills,
    NotOpen,
    NotSent,
    Pace,
    Pending,
    Question,
    QuestionFailed,
    Reachable,
    Refused,
    Seen,
    SettledAs,
    StillUnknown,
    Wanted,
    decide,
    learn,
)

S = OrderStatus
PLACE, CANCEL, AMEND = CommandKind.PLACE, CommandKind.CANCEL, CommandKind.AMEND
PROVABLE_S = 5 + 10 + 3


def pending(kind: CommandKind = PLACE, **changes: object) -> Pending:
    """Sent at second 0 of both clocks; nothing can be proven before second 18."""
    fields = {"sent_ns": 0, "timestamp_ms": 0, "recv_window_ms": 5_000, "backend_s": 10.0, "visible_after_s": 3.0}
    return Pending.of(kind, "a", **{**fields, **changes})


def at(second: float) -> Moment:
    return Moment(round(second * 1e9), round(second * 1e3))


def asked(second: float) -> Asked:
    return Asked.at(at(second))


def lost(kind: CommandKind = PLACE, **changes: object) -> Pending:
    return learn(pending(kind, **changes), Lost("timeout"))


def after(start: Pending, *facts: object) -> Pending:
    for fact in facts:
        start = learn(start, fact)
    return start


# ---------------------------------------------------------------- silence is no evidence


@pytest.mark.parametrize("kind", list(CommandKind))
@pytest.mark.parametrize("reason", ["timeout", "502", "connection reset", "-1007", "an HTML page"])
def test_no_answer_settles_nothing_however_long_it_lasts(kind, reason):
    silent = learn(pending(kind, wanted=Wanted(quantity=d(1))), Lost(reason))
    for day in range(3):
        silent = learn(silent, QuestionFailed(asked(86_400 * day), "no route"))
        decision = decide(silent, at(86_400 * day + 1))
        assert isinstance(decision, StillUnknown)
        assert reason in decision.reason


def test_an_answer_is_awaited_before_anything_is_asked():
    decision = decide(pending(), at(1))
    assert isinstance(decision, StillUnknown)
    assert "awaited" in decision.reason


def test_a_lost_answer_is_asked_for_at_once():
    assert decide(lost(), at(1)) == Ask(Question.ORDER, 0.0)


def test_questions_that_fail_come_slower_and_never_end():
    silent, waits = lost(), []
    for number in range(2_000):
        silent = learn(silent, QuestionFailed(asked(number), "503"))
        waits.append(decide(silent, at(number)).next_question_s)
    assert waits[:8] == sorted(waits[:8])
    assert waits[0] < 1
    assert waits[-1] == Pace().slowest_s


def test_a_venue_that_answers_again_is_asked_at_once():
    silent = after(lost(), *(QuestionFailed(asked(n), "503") for n in range(20, 60)))
    assert decide(silent, at(59)).next_question_s > 5
    assert decide(learn(silent, Reachable()), at(59)) == Ask(Question.ORDER, 0.0)


# ---------------------------------------------------------------- the venue's word


def test_an_accepted_order_is_accepted_also_when_the_answer_comes_late():
    settled = after(lost(), Accepted(report(S.NEW)))
    assert decide(settled, at(60)).kind is OutcomeKind.ACCEPTED


def test_a_refusal_keeps_the_venues_code():
    assert decide(learn(pending(), Refused("-2010", "no money")), at(1)) == SettledAs(
        OutcomeKind.REJECTED, "-2010", "no money"
    )


def test_what_never_left_is_refused_here():
    assert decide(learn(pending(), NotSent("connection refused")), at(1)).kind is OutcomeKind.REFUSED


def test_what_may_have_left_before_is_not_refused_by_a_second_attempt_that_did_not_leave():
    assert isinstance(decide(learn(lost(), NotSent("connection refused")), at(1)), Ask)


def test_the_private_stream_settles_an_unknown_order():
    assert decide(learn(lost(), Seen(report(S.NEW))), at(1)).kind is OutcomeKind.ACCEPTED


def test_an_order_the_venue_reports_as_rejected_was_rejected():
    assert decide(learn(lost(), Seen(report(S.REJECTED, reason="funds"))), at(1)).kind is OutcomeKind.REJECTED


def test_nothing_changes_what_is_settled():
    settled = learn(pending(), Accepted(report(S.NEW)))
    assert after(settled, Lost("x"), Refused("1", "2"), NotFound(asked(99)), Seen(report(S.REJECTED))) is settled


def test_a_duplicate_id_means_accepted_before_and_absence_is_never_concluded_again():
    used = after(lost(), DuplicateId("Duplicate order sent."))
    assert decide(used, at(1)) == Ask(Question.ORDER, 0.0)
    for second in range(20, 200, 5):
        used = after(used, NotFound(asked(second)), NotOpen(asked(second)), NotInFills(asked(second)))
    assert isinstance(decide(used, at(200)), Ask)
    assert decide(learn(used, Seen(report(S.FILLED, "2"), asked(201))), at(201)).kind is OutcomeKind.ACCEPTED


# ---------------------------------------------------------------- proof of absence


def test_not_found_before_the_request_is_impossible_proves_nothing():
    early = after(lost(), *(NotFound(asked(second)) for second in range(1, PROVABLE_S + 1)))
    assert early.misses == 0


def test_the_question_is_asked_again_right_after_the_request_became_impossible():
    early = after(lost(), *(NotFound(asked(second)) for second in (1, 2, 4, 8, 16)))
    decision = decide(early, at(17))
    assert 1.0 <= decision.after_s <= 1.1


def test_an_answer_to_a_question_asked_too_early_proves_nothing_however_late_it_comes():
    assert learn(lost(), NotFound(asked(PROVABLE_S - 1))).misses == 0


def test_two_misses_count_only_when_they_are_spaced():
    assert after(lost(), NotFound(asked(19)), NotFound(asked(19.5)), NotFound(asked(20.9))).misses == 1
    assert after(lost(), NotFound(asked(19)), NotFound(asked(21))).misses == 2


def test_absence_takes_two_misses_then_open_orders_then_fills():
    unknown = after(lost(), NotFound(asked(19)))
    assert decide(unknown, at(19.5)) == Ask(Question.ORDER, 1.5)
    unknown = learn(unknown, NotFound(asked(21)))
    assert decide(unknown, at(21)) == Ask(Question.OPEN_ORDERS, 0.0)
    unknown = learn(unknown, NotOpen(asked(21.1)))
    assert decide(unknown, at(21.2)) == Ask(Question.FILLS, 0.0)
    unknown = learn(unknown, NotInFills(asked(21.2)))
    decision = decide(unknown, at(21.3))
    assert (decision.kind, decision.code) == (OutcomeKind.REJECTED, NEVER_ARRIVED)


@pytest.mark.parametrize("shown", [report(S.NEW), report(S.PARTIALLY_FILLED, "1"), report(S.EXPIRED)])
def test_an_order_that_shows_up_in_the_last_answer_is_accepted(shown):
    missed = after(lost(), NotFound(asked(19)), NotFound(asked(21)))
    assert decide(learn(missed, Seen(shown, asked(21.1))), at(22)).kind is OutcomeKind.ACCEPTED
    missed = learn(missed, NotOpen(asked(21.1)))
    assert decide(learn(missed, Seen(shown, asked(21.2))), at(22)).kind is OutcomeKind.ACCEPTED


def test_open_orders_and_fills_asked_before_the_misses_prove_nothing():
    unknown = after(lost(), NotOpen(asked(19)), NotInFills(asked(19)), NotFound(asked(20)), NotFound(asked(23)))
    assert decide(unknown, at(24)) == Ask(Question.OPEN_ORDERS, 0.0)


def test_without_the_venues_time_absence_is_never_proven_and_questions_are_paced():
    unknown = lost()
    for second in range(30, 300, 3):
        unknown = after(unknown, *(fact(Asked(second * 10**9, None)) for fact in (NotFound, NotOpen, NotInFills)))
    decision = decide(unknown, Moment(300 * 10**9, None))
    assert isinstance(decision, StillUnknown)
    assert decision.next_question_s > 1


def test_an_unknown_order_stays_unknown_when_its_last_questions_fail():
    missed = after(lost(), NotFound(asked(19)), NotFound(asked(21)))
    for second in range(22, 3_000, 30):
        missed = learn(missed, QuestionFailed(asked(second), "418"))
        assert isinstance(decide(missed, at(second)), StillUnknown)


# ---------------------------------------------------------------- after a restart


def test_a_journalled_order_is_asked_for_after_a_restart():
    resumed = Pending.resumed(PLACE, intent(timestamp_ms=0), at(100), backend_s=10.0, visible_after_s=3.0)
    assert decide(resumed, at(100)) == Ask(Question.ORDER, 0.0)
    assert decide(learn(resumed, Seen(report(S.NEW), asked(100))), at(101)).kind is OutcomeKind.ACCEPTED


def test_a_request_of_unknown_timestamp_may_be_as_young_as_the_restart():
    resumed = Pending.resumed(PLACE, intent(), at(100), backend_s=10.0, visible_after_s=3.0)
    assert learn(resumed, NotFound(asked(117))).misses == 0
    assert learn(resumed, NotFound(asked(119))).misses == 1
    with pytest.raises(ValueError, match="venue's time"):
        Pending.resumed(PLACE, intent(), Moment(0, None), backend_s=10.0, visible_after_s=3.0)


def test_a_clock_set_back_between_two_runs_delays_no_question_by_more_than_its_wait():
    resumed = Pending.resumed(PLACE, intent(at_ns=10**18, timestamp_ms=0), at(100), backend_s=1.0, visible_after_s=1.0)
    asked_late = learn(resumed, QuestionFailed(Asked(10**18, 100_000), "503"))
    assert decide(asked_late, at(100)).next_question_s <= Pace().first_s * 2


# ---------------------------------------------------------------- cancels and amends


def test_a_cancel_is_done_with_the_final_filled_quantity():
    decision = decide(learn(pending(CANCEL), Accepted(report(S.CANCELED, "1"))), at(1))
    assert decision.kind is OutcomeKind.ACCEPTED
    assert decision.report.filled == 1


def test_a_bare_acknowledgement_of_a_cancel_is_a_question():
    assert decide(learn(pending(CANCEL), Accepted()), at(1)) == Ask(Question.ORDER, 0.0)


def test_a_cancel_of_something_not_open_is_a_question():
    unclear = learn(pending(CANCEL), NotOpen())
    assert decide(unclear, at(1)) == Ask(Question.ORDER, 0.0)
    decision = decide(learn(unclear, Seen(report(S.FILLED, "2"), asked(1))), at(2))
    assert decision.kind is OutcomeKind.REJECTED
    assert decision.report.status is S.FILLED


def test_a_cancel_is_sent_again_only_after_the_venue_asked_since_said_the_order_is_open():
    unclear = lost(CANCEL)
    assert isinstance(decide(learn(unclear, Seen(report(S.NEW))), at(1)), Ask)
    is_open = learn(unclear, Seen(report(S.NEW), asked(1)))
    assert isinstance(decide(is_open, at(1)), CancelAgain)
    again = is_open.sent_again(sent_ns=at(1).time_ns)
    assert "awaited" in decide(again, at(1)).reason
    assert isinstance(decide(learn(again, Lost("timeout")), at(2)), Ask)


def test_an_answer_to_a_question_asked_before_the_cancel_was_sent_does_not_say_that_the_cancel_failed():
    sent = lost(CANCEL, sent_ns=at(5).time_ns)
    assert isinstance(decide(learn(sent, Seen(report(S.NEW), asked(4.9))), at(6)), Ask)
    assert isinstance(decide(learn(sent, Seen(report(S.NEW), asked(5.1))), at(6)), CancelAgain)


def test_a_cancel_that_may_still_be_answered_is_not_sent_again():
    awaited = learn(pending(CANCEL), Seen(report(S.NEW), asked(1)))
    assert "awaited" in decide(awaited, at(1)).reason


def test_repeated_cancels_come_slower():
    unclear, waits, second = lost(CANCEL), [], 1.0
    for _ in range(10):
        unclear = learn(learn(unclear, Lost("timeout")), Seen(report(S.NEW), asked(second)))
        waits.append(decide(unclear, at(second)).after_s)
        second += waits[-1]
        unclear = unclear.sent_again(sent_ns=at(second).time_ns)
    assert waits[0] == 0.0
    assert waits[1:] == sorted(waits[1:])
    assert waits[-1] == Pace().slowest_s


def test_a_late_refusal_of_the_first_cancel_does_not_settle_the_second():
    again = learn(lost(CANCEL), Seen(report(S.NEW), asked(1))).sent_again(sent_ns=at(1).time_ns)
    assert isinstance(decide(learn(again, Refused("-1015", "too many")), at(2)), Ask)


def test_a_cancel_that_was_sent_twice_ends_with_the_order_that_never_was():
    again = learn(lost(CANCEL), Seen(report(S.NEW), asked(1))).sent_again(sent_ns=at(1).time_ns)
    decision = decide(learn(again, Refused(NEVER_ARRIVED, "the order never was")), at(30))
    assert (decision.kind, decision.code) == (OutcomeKind.REJECTED, NEVER_ARRIVED)


def test_a_cancel_is_never_settled_by_not_found():
    unclear = after(lost(CANCEL), *(NotFound(asked(second)) for second in range(20, 100, 5)))
    assert isinstance(decide(unclear, at(100)), Ask)


def test_an_amend_is_done_when_the_new_quantity_is_reported():
    unclear = lost(AMEND, wanted=Wanted(quantity=d(1)))
    assert decide(learn(unclear, Seen(report(S.NEW, quantity=d(1)))), at(1)).kind is OutcomeKind.ACCEPTED


def test_a_report_that_was_here_before_the_amend_was_sent_is_no_sign_of_it():
    """The price went to 101, and is to go back to 100: that it was 100 once proves nothing."""
    back = lost(AMEND, wanted=Wanted(price=d(100)))
    before, since = back.sent_ns - 1, back.sent_ns + 1
    assert learn(back, Seen(report(S.NEW, price=d(100), received_ns=before))).settled is None
    assert learn(back, Seen(report(S.NEW, price=d(100), received_ns=since))).settled.kind is OutcomeKind.ACCEPTED
    assert learn(back, Seen(report(S.FILLED, filled="2", received_ns=before))).settled.kind is OutcomeKind.REJECTED


COIN = Symbol("BTC", "USD", "BTC")
COIN_M = Instrument("v", COIN, "N", InstrumentStatus.TRADING, "T", 8, 8, (), (), contract_size=d(100))


@pytest.mark.parametrize(
    ("wanted", "done", "not_yet"),
    [
        (Wanted(price=d(101)), {"price": d(101)}, {"price": d(100)}),
        (Wanted(quantity=d(1), price=d(101)), {"quantity": d(1), "price": d(101)}, {"quantity": d(1)}),
        (Wanted(contracts=d(7)), {"contracts": d(7), "quantity": d("0.02")}, {"contracts": d(6), "quantity": d(7)}),
        (Wanted(contracts=d(7)), {"quantity": d(7)}, {"quantity": d(6)}),
    ],
)
def test_an_amend_is_done_when_everything_that_was_wanted_is_reported(wanted, done, not_yet):
    unclear = learn(lost(AMEND, wanted=wanted), Seen(report(S.NEW, **not_yet)))
    assert unclear.settled is None
    assert learn(unclear, Seen(report(S.NEW, **done))).settled.kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize(
    ("placed", "amended", "instrument", "wanted"),
    [
        ({"quantity": d(2)}, {"quantity": d(1)}, None, Wanted(quantity=d(1))),
        ({"contracts": d(2)}, {"quantity": d(1), "price": d(9)}, COIN_M, Wanted(contracts=d(1), price=d(9))),
        ({"quantity": d("0.1")}, {"price": d(9)}, COIN_M, Wanted(price=d(9))),
        ({"quantity": d("0.01")}, {"quantity": d("0.0066666666666667")}, COIN_M, Wanted(contracts=d(2))),
        (
            {"quantity": d("0.01")},
            {"quantity": d("0.02"), "price": d(10_000)},
            COIN_M,
            Wanted(contracts=d(2), price=d(10_000)),
        ),
    ],
)
def test_what_an_amend_wants_is_told_in_what_the_venue_counts(placed, amended, instrument, wanted):
    spot = Instrument("v", SYMBOL, "N", InstrumentStatus.TRADING, "T", 8, 8, (), ())
    current = new_record(intent(command=place(**{"quantity": None, "price": d(30_000), **placed}))).order
    amend = AmendOrder(symbol=SYMBOL, client_id="a", **amended)
    assert Wanted.of(amend, current, instrument or spot) == wanted


def test_the_old_quantity_counts_only_when_asked_after_the_amend_could_arrive_and_twice():
    unclear = after(
        lost(AMEND, wanted=Wanted(quantity=d(1))), *(Seen(report(S.NEW), asked(second)) for second in (1, 5, 17))
    )
    assert unclear.misses == 0
    unclear = after(unclear, Seen(report(S.NEW), asked(19)))
    assert isinstance(decide(unclear, at(19)), Ask)
    decision = decide(learn(unclear, Seen(report(S.NEW), asked(22))), at(22))
    assert (decision.kind, decision.code) == (OutcomeKind.REJECTED, NEVER_ARRIVED)


def test_no_decision_sends_an_order_or_an_amend_again():
    from connector.orders import outcomes

    sends = [name for name in outcomes.__all__ if "Again" in name or "Resend" in name or "Retry" in name]
    assert sends == ["CancelAgain"]
    for kind in (PLACE, AMEND):
        unclear = (
            after(lost(kind, wanted=Wanted(quantity=d(1))), Seen(report(S.NEW), asked(1)))
            if kind is AMEND
            else lost(kind)
        )
        assert not isinstance(decide(unclear, at(2)), CancelAgain)


# ---------------------------------------------------------------- against a model venue


def problem(world: World) -> str:
    """What is wrong with how a case ended; "" when nothing is."""
    settled, truth = world.settled, world.truth
    if settled is None:
        return "" if world.silent_until >= 10**12 or world.flaky == 1.0 else "never settled"
    if world.kind is PLACE:
        expected = OutcomeKind.ACCEPTED if truth else OutcomeKind.REJECTED
        if settled.kind is not expected and not (settled.kind is OutcomeKind.REFUSED and truth is None):
            return f"{settled.kind} of {truth}"
        if settled.code not in ("", NEVER_ARRIVED) and not world.refused:
            return "a refusal out of nothing"
    elif world.kind is CANCEL:
        if settled.kind is OutcomeKind.REFUSED:
            return ""
        if settled.report is None or not settled.report.status.is_final or settled.report.filled != truth.filled:
            return f"not final, or not the final quantity: {settled}"
        if (settled.kind is OutcomeKind.ACCEPTED) != (truth.status is S.CANCELED):
            return f"{settled.kind} of {truth}"
    elif (settled.kind is OutcomeKind.ACCEPTED) != (truth.quantity == 7):
        return f"{settled.kind} of {truth}"
    if world.kind is not CANCEL and world.sends != 1:
        return "sent twice"
    return ""


CASES = 50_000


@pytest.mark.timeout(300)
def test_fifty_thousand_cases_against_a_model_venue_end_in_the_truth():
    wrong, asked_most = [], 0
    for seed in range(CASES):
        kind = (PLACE, PLACE, CANCEL, AMEND)[seed % 4]
        world = play(random.Random(seed), kind)
        asked_most = max(asked_most, world.asked)
        if found := problem(world):
            wrong.append((seed, kind.value, found))
    assert wrong == []
    assert asked_most < 400, "a case asked without pause"


@given(st.randoms(use_true_random=False), st.sampled_from(list(CommandKind)))
@settings(max_examples=500, deadline=None)
def test_whatever_the_venue_does_the_outcome_is_the_truth(chance, kind):
    assert problem(play(chance, kind)) == ""


@pytest.mark.parametrize("told", [True, False])
def test_an_order_is_settled_within_ten_seconds_of_the_venue_answering_again(told):
    waits = []
    for seed in range(3_000):
        world = play(random.Random(seed), PLACE, told)
        back = max(world.silent_until, world.clock_known_at)
        if world.flaky or not 30_000 <= back < 10**9 or world.settled_at is None or world.settled_at <= back:
            continue
        waits.append((world.settled_at - back) / 1_000)
    waits.sort()
    assert len(waits) > 80
    assert waits[int(0.99 * len(waits))] < 10.0
