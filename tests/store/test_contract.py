"""What has to be appended for a store to know what we know: no more, no less."""

from __future__ import annotations

from connector.domain.orders import OrderStatus
from connector.orders.lifecycle import apply_fill, apply_report, new_record
from connector.store import EvidenceRecord, FillRecord, OrderRecord, changes
from connector.testing.store_suite import sample_fill, sample_intent, sample_report


def test_nothing_is_written_of_an_order_that_did_not_change():
    record = new_record(sample_intent("a"))
    assert changes(record, record) == ()


def test_only_what_is_new_is_written():
    first = new_record(sample_intent("a"))
    second, _ = apply_report(first, sample_report("a", OrderStatus.NEW))
    third, _ = apply_fill(second, sample_fill("a", "1"))
    fourth, _ = apply_fill(third, sample_fill("a", "2"))
    assert [type(record) for record in changes(first, second)] == [EvidenceRecord, OrderRecord]
    assert [type(record) for record in changes(second, third)] == [EvidenceRecord, FillRecord, OrderRecord]
    written = changes(third, fourth)
    assert [type(record) for record in written] == [FillRecord, OrderRecord]
    assert written[0].fill.trade_id == "2"


def test_a_better_copy_of_a_fill_is_written_again():
    bare, _ = apply_fill(new_record(sample_intent("a")), sample_fill("a", "1"))
    late = sample_fill("a", "1", event_time_ns=5)
    better, _ = apply_fill(bare, late)
    assert [record.fill for record in changes(bare, better) if isinstance(record, FillRecord)] == [late]


def test_the_state_is_written_without_what_is_kept_apart():
    record, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.NEW))
    record, _ = apply_fill(record, sample_fill("a", "1"))
    state = changes(None, record)[-1]
    assert isinstance(state, OrderRecord)
    assert (state.fills, state.evidence, state.named) == ((), (), None)
