"""What every store of orders promises, as tests: run your own store through them.

    class TestMyStore(StoreSuite):
        def open(self, folder: Path) -> Store:
            return MyStore(folder / "orders")

`open` is called with the same folder again after `close`; a store that keeps nothing beyond the process says `durable = False`.
Needs pytest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from connector.domain.account import PositionSide
from connector.domain.commands import AmendOrder, CancelOrder, Evidence, PlaceOrder
from connector.domain.facts import OrderReport
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import (
    IntentRecord,
    OrderRecord,
    Verdict,
    apply_fill,
    apply_report,
    apply_verdict,
    new_record,
)
from connector.store.contract import EvidenceRecord, FillRecord, MetaRecord, Store, StoreFailed, changes

__all__ = ["StoreSuite", "sample_fill", "sample_intent", "sample_report"]

_ETH, _BTC = Symbol("ETH", "USDT"), Symbol("BTC", "USDT")


def sample_intent(client_id: str, at_ns: int = 1, symbol: Symbol = _ETH) -> IntentRecord:
    """The intent of a limit order for 2 units at 100.10."""
    command = PlaceOrder(
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT,
        quantity=Decimal(2),
        price=Decimal("100.10"),
        client_id=client_id,
    )
    return IntentRecord.of(command, venue="venue", client_id=client_id, at_ns=at_ns, recv_window_ms=5_000)


def sample_report(client_id: str, status: OrderStatus, filled: str = "0", symbol: Symbol = _ETH) -> OrderReport:
    """A report of that order."""
    return OrderReport(
        venue="venue",
        symbol=symbol,
        event_time_ns=10,
        received_ns=11,
        client_id=client_id,
        venue_id=f"venue-{client_id}",
        side=Side.BUY,
        type=OrderType.LIMIT,
        type_text="LIMIT",
        time_in_force=TimeInForce.GTC,
        status=status,
        status_text=status.name,
        quantity=Decimal(2),
        filled=Decimal(filled),
        price=Decimal("100.10"),
    )


def sample_fill(client_id: str, trade_id: str, symbol: Symbol = _ETH, event_time_ns: int = 10) -> Fill:
    """A fill of 0.10 of that order."""
    return Fill(
        venue="venue",
        symbol=symbol,
        event_time_ns=event_time_ns,
        received_ns=event_time_ns + 1,
        trade_id=trade_id,
        client_id=client_id,
        venue_id=f"venue-{client_id}",
        side=Side.BUY,
        price=Decimal("100.10"),
        quantity=Decimal("0.10"),
        fee=Decimal("0.00010"),
        fee_asset="ETH",
        is_maker=False,
    )


@dataclass
class _Opened:
    """A store and the way to open it again."""

    suite: StoreSuite
    folder: Path
    store: Store

    def again(self) -> Store:
        """After a restart; the same store where nothing outlives the process."""
        if self.suite.durable:
            self.store.close()
            self.store = self.suite.open(self.folder)
        return self.store


class StoreSuite:
    """Subclass it, name the subclass `Test…`, and say how to open the store."""

    durable: ClassVar[bool] = True

    def open(self, folder: Path) -> Store:
        raise NotImplementedError("say how to open your store in this folder")

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[_Opened]:
        opened = _Opened(self, tmp_path, self.open(tmp_path))
        yield opened
        opened.store.close()

    # ---------------------------------------------------------------- intents

    def test_an_intent_makes_the_order_known_as_unknown(self, opened: _Opened) -> None:
        opened.store.append([sample_intent("a")])
        record = opened.again().order("a")
        assert record == new_record(sample_intent("a"))
        assert opened.store.open_orders() == (record,)

    def test_an_order_nobody_meant_is_not_there(self, opened: _Opened) -> None:
        assert opened.store.order("a") is None
        assert opened.store.intents("a") == ()
        assert opened.store.open_orders() == opened.store.orders() == ()

    def test_the_intent_to_cancel_is_kept_and_makes_no_order(self, opened: _Opened) -> None:
        command = CancelOrder(symbol=_ETH, client_id="a")
        cancel = IntentRecord.of(command, venue="venue", client_id="a", at_ns=3, recv_window_ms=5_000, timestamp_ms=4)
        opened.store.append([cancel])
        assert opened.store.order("a") is None
        opened.store.append([sample_intent("a")])
        assert opened.again().intents("a") == (cancel, sample_intent("a"))

    # ---------------------------------------------------------------- orders

    def test_an_order_comes_back_whole_to_the_last_digit(self, opened: _Opened) -> None:
        before = None
        record = _lived("a")
        for after in record:
            opened.store.append(
                [sample_intent("a"), *changes(before, after)] if before is None else changes(before, after)
            )
            before = after
        kept = opened.again().order("a")
        assert kept == record[-1]
        assert str(kept.fills[0].quantity) == "0.10"
        assert len(kept.evidence) >= 3

    def test_an_order_in_contracts_comes_back_whole(self, opened: _Opened) -> None:
        steps = _lived_in_contracts("a")
        opened.store.append([steps[0].intent, *changes(None, steps[0])])  # type: ignore[list-item]
        for before, after in pairwise(steps):
            opened.store.append(changes(before, after))
        kept = opened.again().order("a")
        assert kept == steps[-1]
        assert kept.missing == 0
        assert kept.order.filled_contracts == Decimal(3)
        assert kept.order.quantity == Decimal("0.0099999666667778")
        assert kept.order.position_side is PositionSide.SHORT
        assert [fill.kind for fill in opened.store.fills()] == [FillKind.TRADE, FillKind.LIQUIDATION]

    def test_the_intent_to_amend_keeps_quantity_and_price(self, opened: _Opened) -> None:
        command = AmendOrder(symbol=_ETH, client_id="a", price=Decimal("100.20"))
        amend = IntentRecord.of(command, venue="venue", client_id="a", at_ns=3, recv_window_ms=5_000)
        opened.store.append([sample_intent("a"), amend])
        assert opened.again().intents("a")[1] == amend

    def test_a_state_without_an_intent_comes_back_too(self, opened: _Opened) -> None:
        record = _lived("a")[-1]
        orphan = msgspec.structs.replace(record, intent=None)
        opened.store.append(changes(None, orphan))
        assert opened.again().order("a") == orphan

    def test_a_refused_order_comes_back_with_its_verdict(self, opened: _Opened) -> None:
        verdict = Verdict(never_arrived=False, code="-2010", reason="no", at_ns=9)
        record, _ = apply_verdict(new_record(sample_intent("a")), verdict)
        opened.store.append([sample_intent("a"), *changes(None, record)])
        assert opened.again().order("a") == record
        assert opened.store.open_orders() == ()

    def test_a_final_order_is_open_no_more(self, opened: _Opened) -> None:
        opened.store.append([sample_intent("a"), sample_intent("b", at_ns=2)])
        done, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.CANCELED))
        opened.store.append(changes(None, done))
        assert [record.client_id for record in opened.again().open_orders()] == ["b"]
        assert [record.client_id for record in opened.store.orders()] == ["a", "b"]

    def test_a_second_intent_does_not_open_a_final_order(self, opened: _Opened) -> None:
        done, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.CANCELED))
        opened.store.append([sample_intent("a"), *changes(None, done), sample_intent("a", at_ns=9)])
        assert opened.again().open_orders() == ()
        assert opened.store.order("a").order.status is OrderStatus.CANCELED  # type: ignore[union-attr]

    def test_orders_are_listed_by_symbol_and_time(self, opened: _Opened) -> None:
        opened.store.append([sample_intent("b", 20), sample_intent("a", 10), sample_intent("c", 30, _BTC)])
        listed = opened.again()
        assert [record.client_id for record in listed.orders()] == ["a", "b", "c"]
        assert [record.client_id for record in listed.orders(_ETH)] == ["a", "b"]
        assert [record.client_id for record in listed.orders(_ETH, 20)] == ["b"]
        assert [record.client_id for record in listed.orders(None, 20)] == ["b", "c"]

    def test_evidence_keeps_its_order(self, opened: _Opened) -> None:
        lines = [Evidence(5, "sent", "first"), Evidence(4, "answer", "second"), Evidence(4, "answer", "second")]
        opened.store.append([sample_intent("a"), *(EvidenceRecord("a", line) for line in lines)])
        assert opened.again().order("a").evidence == tuple(lines)  # type: ignore[union-attr]

    # ---------------------------------------------------------------- fills

    def test_a_fill_counts_once_however_often_it_is_written(self, opened: _Opened) -> None:
        fill = FillRecord(sample_fill("a", "7"))
        opened.store.append([sample_intent("a"), fill, fill])
        opened.store.append([fill])
        store = opened.again()
        assert store.fills() == (fill.fill,)
        assert store.order("a").filled == Decimal("0.10")  # type: ignore[union-attr]

    def test_a_fill_written_after_the_last_state_counts_in_the_order(self, opened: _Opened) -> None:
        record, _ = apply_report(new_record(sample_intent("a")), sample_report("a", OrderStatus.NEW))
        opened.store.append([sample_intent("a"), *changes(None, record), FillRecord(sample_fill("a", "7"))])
        kept = opened.again().order("a")
        assert kept is not None
        assert kept.order.filled == Decimal("0.10")
        assert kept.order.status is OrderStatus.PARTIALLY_FILLED

    def test_the_same_trade_id_of_two_symbols_is_two_fills(self, opened: _Opened) -> None:
        opened.store.append([FillRecord(sample_fill("a", "7")), FillRecord(sample_fill("b", "7", _BTC))])
        store = opened.again()
        assert store.has_fill(_ETH, "7", Side.BUY)
        assert store.has_fill(_BTC, "7", Side.BUY)
        assert not store.has_fill(_BTC, "8", Side.BUY)
        assert len(store.fills()) == 2

    def test_a_trade_between_two_orders_of_the_account_is_two_fills(self, opened: _Opened) -> None:
        bought = sample_fill("a", "7")
        sold = msgspec.structs.replace(bought, client_id="b", side=Side.SELL)
        opened.store.append([FillRecord(bought)])
        assert not opened.store.has_fill(*sold.key)
        opened.store.append([FillRecord(sold)])
        store = opened.again()
        assert set(store.fills()) == {bought, sold}
        assert store.has_fill(*bought.key)
        assert store.has_fill(*sold.key)

    def test_fills_are_listed_by_symbol_and_time_and_trade_id(self, opened: _Opened) -> None:
        fills = [
            sample_fill("a", "10"),
            sample_fill("a", "9"),
            sample_fill("a", "8", event_time_ns=99),
            sample_fill("c", "1", _BTC),
        ]
        opened.store.append([FillRecord(fill) for fill in fills])
        store = opened.again()
        assert [fill.trade_id for fill in store.fills(_ETH)] == ["9", "10", "8"]
        assert [fill.trade_id for fill in store.fills(since_ns=99)] == ["8"]

    def test_a_fill_of_another_program_makes_no_order(self, opened: _Opened) -> None:
        opened.store.append([FillRecord(msgspec.structs.replace(sample_fill("a", "7"), client_id=""))])
        assert opened.again().orders() == ()
        assert opened.store.has_fill(_ETH, "7", Side.BUY)

    # ---------------------------------------------------------------- meta

    def test_the_last_value_under_a_name_counts(self, opened: _Opened) -> None:
        assert opened.store.last_fill_id(_ETH) is None
        opened.store.append(
            [MetaRecord.last_fill(_ETH, "7"), MetaRecord.last_fill(_BTC, "1"), MetaRecord("night", "on")]
        )
        opened.store.append([MetaRecord.last_fill(_ETH, "9")])
        store = opened.again()
        assert store.last_fill_id(_ETH) == "9"
        assert store.last_fill_id(_BTC) == "1"
        assert store.meta("night") == "on"
        assert store.meta("day") is None

    # ---------------------------------------------------------------- all or nothing

    def test_an_append_that_fails_has_written_nothing(self, opened: _Opened) -> None:
        with pytest.raises(StoreFailed):
            opened.store.append([sample_intent("a"), "no record"])  # type: ignore[list-item]
        assert opened.again().order("a") is None
        opened.store.append([sample_intent("a")])
        assert opened.store.order("a") is not None

    def test_an_empty_append_is_nothing(self, opened: _Opened) -> None:
        opened.store.append([])
        assert opened.again().orders() == ()

    def test_a_closed_store_refuses_in_words_and_closes_twice(self, opened: _Opened) -> None:
        opened.store.close()
        opened.store.close()
        for use in (
            lambda: opened.store.append([sample_intent("a")]),
            opened.store.open_orders,
            lambda: opened.store.meta("a"),
        ):
            with pytest.raises(StoreFailed, match="closed"):
                use()

    def test_many_threads_write_and_read_at_once(self, opened: _Opened) -> None:
        failures: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for number in range(20):
                    client_id = f"{thread}-{number}"
                    opened.store.append(
                        [sample_intent(client_id, at_ns=number), FillRecord(sample_fill(client_id, client_id))]
                    )
                    record = opened.store.order(client_id)
                    assert record is not None
                    assert record.filled == Decimal("0.10")
            except BaseException as failure:  # noqa: BLE001  # told by the test, below
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(number,), name=f"store-suite-{number}") for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert failures == []
        assert not any(thread.is_alive() for thread in threads)
        assert len(opened.again().open_orders()) == 80

    def test_nothing_handed_out_changes_when_more_is_written(self, opened: _Opened) -> None:
        opened.store.append([sample_intent("a")])
        before = opened.store.open_orders()
        opened.store.append([sample_intent("b"), FillRecord(sample_fill("a", "7"))])
        assert [record.client_id for record in before] == ["a"]
        assert before[0].fills == ()


def _lived(client_id: str) -> list[OrderRecord]:
    """The records of an order that was accepted, filled twice and cancelled."""
    records = [new_record(sample_intent(client_id))]
    for fact in (
        sample_report(client_id, OrderStatus.NEW),
        sample_fill(client_id, "9"),
        sample_fill(client_id, "10"),
        sample_report(client_id, OrderStatus.CANCELED, "0.20"),
    ):
        record, _ = apply_fill(records[-1], fact) if isinstance(fact, Fill) else apply_report(records[-1], fact)
        records.append(record)
    return records


def _lived_in_contracts(client_id: str) -> list[OrderRecord]:
    """The records of an order for 3 inverse contracts of 100, filled in two parts, the second by force."""
    symbol = Symbol("BTC", "USD", "BTC")
    command = PlaceOrder(
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT,
        contracts=Decimal(3),
        price=Decimal("30000.10"),
        reduce_only=True,
        position_side=PositionSide.SHORT,
        client_id=client_id,
    )
    intent = IntentRecord.of(
        command, venue="venue", client_id=client_id, at_ns=1, recv_window_ms=5_000, base_quantity=Decimal("0.01")
    )
    report = msgspec.structs.replace(
        sample_report(client_id, OrderStatus.FILLED, "0.0099", symbol),
        quantity=Decimal("0.0099999666667778"),
        contracts=Decimal(3),
        filled_contracts=Decimal(3),
        price=Decimal("30000.10"),
        position_side=PositionSide.SHORT,
    )
    fills = [
        msgspec.structs.replace(
            sample_fill(client_id, number, symbol), quantity=Decimal(base), contracts=Decimal(count), kind=kind
        )
        for number, base, count, kind in (
            ("1", "0.0033333222222593", 1, FillKind.TRADE),
            ("2", "0.0066666444445185", 2, FillKind.LIQUIDATION),
        )
    ]
    records = [new_record(intent)]
    records.append(apply_report(records[-1], report)[0])
    for fill in fills:
        records.append(apply_fill(records[-1], fill)[0])
    return records
