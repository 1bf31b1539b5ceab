"""What only the store in memory does: it stays small."""

from __future__ import annotations

from connector.domain.orders import OrderStatus
from connector.orders.lifecycle import apply_fill, apply_report, new_record
from connector.store import MemoryStore, changes
from connector.testing.store_suite import sample_fill, sample_intent, sample_report


def live_and_end(store: MemoryStore, number: int) -> None:
    client_id = f"o{number}"
    intent = sample_intent(client_id, at_ns=number)
    store.append([intent])
    record, _ = apply_fill(new_record(intent), sample_fill(client_id, str(number)))
    record, _ = apply_report(record, sample_report(client_id, OrderStatus.CANCELED, "0.10"))
    store.append(changes(None, record))


def test_the_oldest_final_orders_are_forgotten_with_their_fills_and_open_ones_never():
    store = MemoryStore(keep_final=10)
    store.append([sample_intent("open", at_ns=0)])
    for number in range(100):
        live_and_end(store, number)
    assert [record.client_id for record in store.orders()] == ["open", *(f"o{number}" for number in range(90, 100))]
    assert [fill.trade_id for fill in store.fills()] == [str(number) for number in range(90, 100)]
    assert store.order("o0") is None
    assert store.order("o99").filled == store.fills()[0].quantity
    assert [record.client_id for record in store.open_orders()] == ["open"]


def test_what_is_written_late_about_a_forgotten_order_makes_it_known_again_as_it_is():
    store = MemoryStore(keep_final=1)
    for number in range(3):
        live_and_end(store, number)
    assert store.order("o0") is None
    live_and_end(store, 0)
    assert store.order("o0").is_final
