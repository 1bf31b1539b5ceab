"""Lives of futures orders, told by the venue's frames in any order and twice: they end as the venue says, and count once."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from futures_values import BTC_INVERSE, ETH_LINEAR, D, table_of

from connector.domain.commands import PlaceOrder
from connector.domain.facts import OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, OrderStatus, OrderType
from connector.drivers.binance import COINM, USDM
from connector.drivers.trading import SessionEvents
from connector.orders.lifecycle import apply_fill, apply_report, record_of_report

AT = 1_762_000_500_000_000_000
T = 1_762_000_100_000
ORDER = {"c": "acme-1", "S": "SELL", "o": "LIMIT", "f": "GTC", "p": "0", "ap": "0", "sp": "0", "l": "0", "z": "0"}
ORDER |= {"L": "0", "t": 0, "m": False, "R": False, "ot": "LIMIT", "ps": "BOTH", "rp": "0", "er": "0", "i": 99}


def regular(at, status, execution, **fields):
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": T + at,
        "T": T + at,
        "o": ORDER | {"T": T + at, "X": status, "x": execution} | fields,
    }


def algo(at, status, **fields):
    o = {"caid": "acme-1", "aid": 7, "at": "CONDITIONAL", "o": "STOP_MARKET", "S": "SELL", "ps": "BOTH", "f": "GTC"}
    o |= {"X": status, "ai": "", "tp": "3050", "p": "0", "R": False, "rm": ""}
    return {"e": "ALGO_UPDATE", "E": T + at, "T": T + at, "o": o | fields}


def traded(at, status, price, last, total, average, number, **fields):
    sizes = {"L": price, "l": last, "z": total, "ap": average, "t": number, "n": "0.01", "N": "USDT", "m": True}
    return regular(at, status, "TRADE", **(sizes | fields))


def reports(driver, frames):
    table, name = table_of(driver.name), "ETHUSDT" if driver is USDM else "BTCUSD_PERP"
    found = []
    for frame in frames:
        frame["o"]["s"] = name
        said = driver.events.read(json.dumps(frame).encode(), AT, table)
        assert isinstance(said, SessionEvents), said
        found += said.facts
    return found


def lived(facts, history=()):
    """The record after these facts, in this order; fills of the history come last."""
    record, alarms = None, []
    for fact in facts:
        assert isinstance(fact, OrderReport)
        record, events = record_of_report(fact) if record is None else apply_report(record, fact)
        alarms += events
    for fill in history:
        record, _ = apply_fill(record, fill)
    return record


def in_any_order(facts, most=150):
    whole = list(itertools.permutations(facts)) if len(facts) < 6 else []
    chance = random.Random(7)
    while len(whole) < most and len(facts) >= 6:
        whole.append(tuple(chance.sample(facts, len(facts))))
    for order in whole[:most]:
        yield order
        yield (*order, *order)  # everything twice, as during a rollover


LIMIT = [
    regular(0, "NEW", "NEW", q="1", p="3150"),
    traded(5, "PARTIALLY_FILLED", "3150", "0.25", "0.25", "3150", 900, q="1", p="3150"),
    traded(6, "PARTIALLY_FILLED", "3151", "0.5", "0.75", "3150.67", 901, q="1", p="3150"),
    traded(9, "FILLED", "3150", "0.25", "1", "3150.5", 902, q="1", p="3150"),
]
CANCELED = [*LIMIT[:2], regular(7, "CANCELED", "CANCELED", q="1", p="3150", z="0.25", ap="3150")]
MARKET = [
    regular(0, "NEW", "NEW", q="1", o="MARKET", ot="MARKET"),
    traded(1, "PARTIALLY_FILLED", "3150", "0.25", "0.25", "3150", 900, q="1", o="MARKET", ot="MARKET"),
    regular(2, "EXPIRED", "EXPIRED", q="1", o="MARKET", ot="MARKET", z="0.25", ap="3150", er="9"),
]


@pytest.mark.parametrize(
    ("frames", "status", "filled", "trades"),
    [
        (LIMIT, OrderStatus.FILLED, "1", 3),
        (CANCELED, OrderStatus.CANCELED, "0.25", 1),
        (MARKET, OrderStatus.EXPIRED, "0.25", 1),
    ],
)
def test_an_order_ends_as_the_venue_says_however_its_events_arrive(frames, status, filled, trades):
    for facts in in_any_order(reports(USDM, frames)):
        record = lived(facts)
        assert (record.order.status, record.order.filled, len(record.fills)) == (status, D(filled), trades)
        assert record.missing == 0


STOPPED = [
    algo(0, "NEW", q="0.25"),
    algo(3, "TRIGGERING", q="0.25"),
    algo(4, "TRIGGERED", q="0.25", ai="99"),
    regular(4, "NEW", "NEW", q="0.25", o="MARKET", ot="STOP_MARKET"),
    traded(5, "FILLED", "3049", "0.25", "0.25", "3049", 900, q="0.25", o="MARKET", ot="STOP_MARKET"),
    algo(6, "FINISHED", q="0.25", ai="99", ap="3049", aq="0.25"),
]


def test_a_triggered_stop_is_one_order_and_ends_as_the_regular_one():
    for facts in in_any_order(reports(USDM, STOPPED)):
        record = lived(facts)
        assert (record.order.status, record.order.filled, len(record.fills)) == (OrderStatus.FILLED, D("0.25"), 1)
        assert (record.order.venue_id, record.order.type) == ("99", OrderType.STOP)


def test_a_triggered_stop_that_was_cancelled_on_the_book_is_not_brought_back_by_its_algo_state():
    canceled = [*STOPPED[:4], regular(5, "CANCELED", "CANCELED", q="0.25", o="MARKET", ot="STOP_MARKET"), STOPPED[5]]
    for facts in in_any_order(reports(USDM, canceled)):
        assert lived(facts).order.status is OrderStatus.CANCELED


def test_while_a_stop_waits_it_is_found_among_the_algo_orders_and_afterwards_among_the_others():
    table, auth = table_of("binance-usdm"), USDM.trading.auth(_credentials())
    told = reports(USDM, STOPPED)
    waiting, triggered = lived(told[:1]).order, lived(told[:3]).order
    paths = [
        USDM.trading.order(order.client_id, order.venue_id, table[ETH_LINEAR], auth, 1, order).path
        for order in (waiting, triggered)
    ]
    assert paths == ["/fapi/v1/algoOrder", "/fapi/v1/order"]


def _credentials():
    from connector.domain.credentials import Credentials

    return Credentials("key", secret="not a secret")


def test_a_failure_at_the_trigger_ends_the_order():
    frames = [*STOPPED[:2], algo(4, "REJECTED", q="0.25", rm="Margin is insufficient")]
    for facts in in_any_order(reports(USDM, frames)):
        assert lived(facts).order.status is OrderStatus.REJECTED


COIN = [
    regular(0, "NEW", "NEW", q="10", p="50000"),
    traded(5, "PARTIALLY_FILLED", "60000", "3", "3", "60000", 900, q="10", p="50000", N="BTC"),
    traded(9, "FILLED", "50000", "7", "10", "52631.6", 901, q="10", p="50000", N="BTC"),
]


def test_contracts_are_counted_exactly_and_base_units_are_what_the_fills_come_to():
    for facts in in_any_order(reports(COINM, COIN)):
        record = lived(facts)
        assert record.order.status is OrderStatus.FILLED
        assert (record.order.contracts, record.order.filled_contracts) == (D(10), D(10))
        assert record.order.filled == D("0.005") + D("0.014") and record.missing == 0


def test_fills_of_events_and_of_the_history_are_the_same_ones(answer):
    row = {"orderId": 99, "side": "SELL", "commission": "0.01", "commissionAsset": "BTC", "maker": True, "time": T + 5}
    row |= {"symbol": "BTCUSD_PERP", "realizedPnl": "0", "positionSide": "BOTH"}
    rows = [row | {"id": 900, "price": "60000", "qty": "3"}, row | {"id": 901, "price": "50000", "qty": "7"}]
    history = COINM.trading.read_fills(answer(rows), table_of("binance-coinm")[BTC_INVERSE])
    record = lived(reports(COINM, COIN), history)
    assert len(record.fills) == 2 and record.order.filled_contracts == D(10)
    late = lived(reports(COINM, COIN[:1]), history)  # the events were lost
    assert [fill.trade_id for fill in late.fills] == ["900", "901"]


def test_an_execution_without_an_id_is_missed_until_the_history_brings_it(answer):
    frames = [LIMIT[0], traded(5, "PARTIALLY_FILLED", "3150", "0.25", "0.25", "3150", 0, q="1", p="3150")]
    frames[1]["o"]["x"] = "CALCULATED"
    record = lived(reports(USDM, frames))
    assert (record.order.filled, record.missing) == (D("0.25"), D("0.25"))
    fill = {"symbol": "ETHUSDT", "id": 900, "orderId": 99, "side": "SELL", "price": "3150", "qty": "0.25"}
    fill |= {"commission": "0", "commissionAsset": "USDT", "time": T + 5, "maker": False}
    history = USDM.trading.read_fills(answer([fill]), table_of("binance-usdm")[ETH_LINEAR])
    record = lived(reports(USDM, frames), history)
    assert (record.missing, len(record.fills)) == (0, 1)


def test_the_answer_and_the_events_of_one_order_agree_whichever_comes_first(answer):
    row = {"clientOrderId": "acme-1", "executedQty": "1", "orderId": 99, "origQty": "1", "price": "3150"}
    row |= {"reduceOnly": False, "side": "SELL", "positionSide": "BOTH", "status": "FILLED", "stopPrice": "0"}
    row |= {"timeInForce": "IOC", "type": "LIMIT", "origType": "LIMIT", "symbol": "ETHUSDT", "updateTime": T + 9}
    order = PlaceOrder(symbol=ETH_LINEAR, side=Side.SELL, type=OrderType.LIMIT, quantity=D(1), price=D(3150))
    told = USDM.trading.read_placed(answer(row), order, table_of("binance-usdm")[ETH_LINEAR]).report
    for facts in in_any_order([told, *reports(USDM, LIMIT)]):
        record = lived(facts)
        assert (record.order.status, record.order.filled, record.missing) == (OrderStatus.FILLED, D(1), 0)
        assert all(isinstance(fill, Fill) for fill in record.fills) and len(record.fills) == 3
