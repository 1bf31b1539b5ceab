"""Orders counted in contracts: exact where base units are rounded, both at the surface, and no order of arrival matters."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_values import d, fill, intent, report

from connector.domain.account import PositionSide
from connector.domain.commands import PlaceOrder
from connector.domain.contracts import base_units
from connector.domain.facts import OrderReport
from connector.domain.instruments import Instrument, InstrumentStatus
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import (
    Alarm,
    AlarmKind,
    IntentRecord,
    OrderRecord,
    apply_fill,
    apply_report,
    new_record,
    restored,
)

S = OrderStatus
COIN = Symbol("BTC", "USD", "BTC")
IT = Instrument("v", COIN, "N", InstrumentStatus.TRADING, "T", 8, 8, (), (), contract_size=d(100))
PRICES = (d(30_000), d("29999.9"), d("31234.7"))


def place(**changes: object) -> PlaceOrder:
    fields = {"symbol": COIN, "side": Side.BUY, "type": OrderType.LIMIT, "contracts": d(9), "price": PRICES[0]}
    return PlaceOrder(**{**fields, **changes})


def begun(**changes: object) -> OrderRecord:
    return new_record(intent(command=place(**changes)))


def inverse_fill(number: int, contracts: int, price: Decimal = PRICES[0], **changes: object) -> Fill:
    base = base_units(IT, d(contracts), price)
    return fill(number, str(base), str(price), symbol=COIN, contracts=d(contracts), fee_asset="BTC", **changes)


def told(status: OrderStatus, done: int, version: int, **changes: object) -> OrderReport:
    """The venue works out base units at a price of its own, so they never add up to those of the fills."""
    fields = {
        "symbol": COIN,
        "contracts": d(9),
        "filled_contracts": d(done),
        "quantity": base_units(IT, d(9), PRICES[0]),
        "price": PRICES[0],
    }
    filled = changes.pop("filled", base_units(IT, d(done), PRICES[2]) if done else d(0))
    return report(status, str(filled), version, **{**fields, **changes})


def after(*messages: OrderReport | Fill, record: OrderRecord | None = None) -> OrderRecord:
    record = record or begun()
    for message in messages:
        record, _ = (apply_fill if isinstance(message, Fill) else apply_report)(record, message)
    return record


def test_nothing_is_missing_once_all_contracts_are_here_though_base_units_do_not_add_up():
    fills = [inverse_fill(number, 3, price) for number, price in enumerate(PRICES, 1)]
    record = after(told(S.FILLED, 9, 5), *fills)

    assert record.missing == 0
    assert record.order.filled != record.newest.filled
    assert record.order.filled == sum(each.quantity for each in fills), "what was traded, not what the venue rounded"
    assert record.order.filled_contracts == record.order.contracts == 9


def test_contracts_that_are_missing_are_counted_in_contracts():
    record = after(told(S.FILLED, 9, 5), inverse_fill(1, 3))
    assert record.missing == 6
    assert record.order.filled == record.newest.filled, "the venue's own sum until all fills are here"


def test_rounded_base_units_above_the_quantity_are_no_overfill_but_contracts_are():
    _, events = apply_report(begun(), told(S.FILLED, 9, 5, filled=d("0.031")))
    assert not [event for event in events if isinstance(event, Alarm)]
    _, events = apply_report(begun(), told(S.FILLED, 10, 5))
    assert [event.kind for event in events if isinstance(event, Alarm)] == [AlarmKind.OVERFILLED]


def test_more_contracts_are_newer_whatever_the_base_units_say():
    older, newer = told(S.PARTIALLY_FILLED, 3, 3, filled=d(1)), told(S.PARTIALLY_FILLED, 4, 2, filled=d("0.5"))
    for messages in ((older, newer), (newer, older)):
        assert after(*messages).newest == newer


def test_the_average_price_of_inverse_contracts_is_weighed_by_contracts():
    order = after(told(S.FILLED, 9, 5), *(inverse_fill(n, n + 1, price) for n, price in enumerate(PRICES, 1))).order
    worth = sum(Fraction(n + 1) / Fraction(price) for n, price in enumerate(PRICES, 1))
    assert abs(Fraction(order.average_price) - Fraction(9) / worth) < Fraction(1, 10**22)


def test_the_average_price_of_one_price_is_that_price():
    assert after(told(S.FILLED, 9, 5), inverse_fill(1, 4), inverse_fill(2, 5)).order.average_price == PRICES[0]


def test_an_order_placed_in_contracts_shows_base_units_as_far_as_they_are_known():
    assert begun().order.quantity == 0
    command = place()
    record = new_record(
        IntentRecord.of(command, venue="v", client_id="a", at_ns=1, recv_window_ms=1, base_quantity=d("0.03"))
    )
    assert (record.order.quantity, record.order.contracts, record.order.filled_contracts) == (d("0.03"), 9, 0)
    assert after(told(S.NEW, 0, 1), record=record).order.quantity == base_units(IT, d(9), PRICES[0])


def test_side_of_the_position_and_reduce_only_stay_what_was_meant_where_the_venue_tells_neither():
    order = after(told(S.NEW, 0, 1), record=begun(reduce_only=True, position_side=PositionSide.LONG)).order
    assert (order.reduce_only, order.position_side) == (True, PositionSide.LONG)
    order = after(told(S.NEW, 0, 1, reduce_only=True, position_side=PositionSide.SHORT)).order
    assert (order.reduce_only, order.position_side) == (True, PositionSide.SHORT)


def test_an_order_that_closes_a_position_has_no_quantity_of_its_own_and_is_not_overfilled():
    closing = begun(contracts=None, close_position=True, type=OrderType.STOP, price=None, stop_price=d(20_000))
    assert closing.order.quantity == 0
    record, events = apply_report(closing, told(S.FILLED, 5, 2, contracts=None, quantity=d(0)))
    assert not [event for event in events if isinstance(event, Alarm)]
    assert record.order.filled == record.newest.filled


@pytest.mark.parametrize("order_of_arrival", [(0, 1), (1, 0)])
def test_what_one_copy_of_a_fill_knows_of_force_the_other_does_not_unsay(order_of_arrival):
    copies = [
        msgspec.structs.replace(inverse_fill(1, 3, kind=FillKind.LIQUIDATION), fee_asset=None, fee=d(0)),
        inverse_fill(1, 3, recovered=True),
    ]
    (kept,) = after(*(copies[place] for place in order_of_arrival)).fills
    assert (kept.kind, kept.fee_asset) == (FillKind.LIQUIDATION, "BTC")


def test_a_linear_contract_counts_the_same_way():
    linear = Symbol("BTC", "USDT", "USDT")
    wanted = PlaceOrder(symbol=linear, side=Side.BUY, type=OrderType.LIMIT, quantity=d("0.05"), price=d(30_000))
    record = new_record(intent(command=wanted))
    said = report(
        S.FILLED, "0.05", 1, symbol=linear, quantity=d("0.05"), contracts=d(5), filled_contracts=d(5), price=d(30_000)
    )
    record = after(said, fill(1, "0.02", "30000", symbol=linear, contracts=d(2)), record=record)
    assert (record.missing, record.order.filled, record.order.filled_contracts) == (3, d("0.05"), 5)
    record = after(fill(2, "0.03", "30000", symbol=linear, contracts=d(3)), record=record)
    assert (record.missing, record.order.average_price) == (0, 30_000)


ALL = [
    told(S.NEW, 0, 1),
    told(S.PARTIALLY_FILLED, 3, 2),
    told(S.PARTIALLY_FILLED, 3, 2, filled=d("0.0101"), received_ns=9),
    told(S.FILLED, 9, 4),
    told(S.CANCELED, 3, 5),
    *(inverse_fill(number, 3, price) for number, price in enumerate(PRICES, 1)),
    inverse_fill(1, 3, recovered=True, realized=d("0.1")),
    inverse_fill(2, 3, PRICES[1], kind=FillKind.DELEVERAGING, recovered=True),
]


def fingerprint(record: OrderRecord) -> OrderRecord:
    return msgspec.structs.replace(
        record, evidence=(), order=msgspec.structs.replace(record.order, recovered=False, received_ns=0)
    )


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ALL), max_size=9), st.randoms(use_true_random=False))
def test_contracts_give_one_record_whatever_the_order_of_arrival(said, random):
    shuffled = [*said, *said]
    random.shuffle(shuffled)
    one, other = after(*said), after(*shuffled)
    assert fingerprint(one) == fingerprint(other)
    assert one.missing >= 0


@given(st.lists(st.sampled_from(ALL), max_size=9))
def test_a_record_of_contracts_survives_json_and_being_kept_in_parts(said):
    record = after(*said)
    kept = msgspec.json.decode(msgspec.json.encode(record), type=OrderRecord)
    assert kept == record
    parts = msgspec.structs.replace(record, fills=(), counted=d(0), filled=d(0), quote=d(0))
    assert fingerprint(restored(parts, record.fills, ())) == fingerprint(record)
