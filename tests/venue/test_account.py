"""The read model by itself: whose an order is, what counts once, what a store that fails changes, what a balance means."""

import random
from decimal import Decimal

import pytest

from connector.domain.commands import Evidence, PlaceOrder
from connector.domain.facts import BalanceChange, BalanceReport, ListReport, OrderReport, StreamEnded
from connector.domain.instruments import InstrumentTable
from connector.domain.market import Side
from connector.domain.orders import Fill, FillKind, Order, OrderStatus, OrderType, TimeInForce
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_S
from connector.orders.lifecycle import IntentRecord, Verdict
from connector.orders.reconcile import reconcile
from connector.orders.risk import day_results
from connector.store import FillRecord, MemoryStore, StoreFailed
from connector.telemetry import Counters, OncePerKind
from connector.testing.clocks import FakeClock
from connector.venue import account
from connector.venue.account import AccountModel, later_id

BTC = Symbol("BTC", "USDT")
ETH = Symbol("ETH", "USDT")
d = Decimal
S = OrderStatus


def place(client_id="a", symbol=BTC, at_ns=1):
    command = PlaceOrder(symbol=symbol, side=Side.BUY, type=OrderType.LIMIT, quantity=d(2), price=d(100))
    return IntentRecord.of(command, venue="far", client_id=client_id, at_ns=at_ns, recv_window_ms=5_000)


def report(status=S.NEW, filled="0", version=1, client_id="a", venue_id="77", symbol=BTC, **changes):
    fields = {
        "venue": "far",
        "symbol": symbol,
        "event_time_ns": 1_000 + version,
        "received_ns": 2_000 + version,
        "client_id": client_id,
        "venue_id": venue_id,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "type_text": "LIMIT",
        "time_in_force": TimeInForce.GTC,
        "status": status,
        "status_text": status.name,
        "quantity": d(2),
        "filled": d(filled),
        "price": d(100),
        "version": version,
    }
    return OrderReport(**{**fields, **changes})


def fill(trade_id=1, quantity="1", client_id="", venue_id="77", symbol=BTC, **changes):
    fields = {
        "venue": "far",
        "symbol": symbol,
        "event_time_ns": 1_000 + trade_id,
        "received_ns": 2_000 + trade_id,
        "trade_id": str(trade_id),
        "client_id": client_id,
        "venue_id": venue_id,
        "side": Side.BUY,
        "price": d(100),
        "quantity": d(quantity),
        "fee": d(0),
        "fee_asset": None,
        "is_maker": True,
    }
    return Fill(**{**fields, **changes})


class FailingStore(MemoryStore):
    """A store that can be told to fail."""

    def __init__(self):
        super().__init__()
        self.fails_to_write = self.fails_to_read = False

    def append(self, records):
        if self.fails_to_write:
            raise StoreFailed("the disk is full; nothing was written.")
        super().append(records)

    def order(self, client_id):
        if self.fails_to_read:
            raise StoreFailed("the disk is gone.")
        return super().order(client_id)

    def has_fill(self, symbol, trade_id, side):
        if self.fails_to_read:
            raise StoreFailed("the disk is gone.")
        return super().has_fill(symbol, trade_id, side)

    def open_orders(self):
        if self.fails_to_read:
            raise StoreFailed("the disk is gone.")
        return super().open_orders()


class Kit:
    """A model over a store, and what it announced."""

    def __init__(self, store=None, clock=None):
        self.store = store or FailingStore()
        self.clock = clock or FakeClock(time_ns=account.DAY_NS)
        self.counters, self.announced = Counters(), []
        self.venue_now_ns = None
        self.model = AccountModel(
            "far",
            self.store,
            self.clock.time_ns,
            self.counters,
            OncePerKind("far", emit=lambda kind, detail: None),
            self.announced.extend,
            venue_now_ns=lambda: self.venue_now_ns,
        )
        self.model.load()

    def intend(self, *args, **kwargs):
        intent = place(*args, **kwargs)
        self.store.append((intent,))
        self.model.intend(intent)

    def fills_told(self):
        return [event.trade_id for event in self.announced if isinstance(event, Fill)]


# ---------------------------------------------------------------- whose an order is


def test_an_order_is_ours_when_its_intent_is_in_the_store_even_before_we_are_told_of_it():
    kit = Kit()
    kit.store.append((place(),))
    taken = kit.model.take(report(), "stream")
    kit.model.intend(place())

    assert [event.status for event in taken.events] == [S.NEW]
    assert [noticed.client_id for noticed in taken.noticed] == ["a"]
    assert kit.model.find("a").order.status is S.NEW


def test_an_order_without_an_intent_is_external_and_neither_told_nor_handed_to_the_order_actor():
    kit = Kit()
    taken = kit.model.take(report(client_id="other", fill=fill(client_id="other")), "stream")

    assert (taken.events, taken.noticed, kit.announced) == ((), (), [])
    assert [order.client_id for order in kit.model.open_orders(None, external=True)] == ["other"]
    assert kit.model.fills(None, 0) == ()
    assert kit.store.has_fill(BTC, "1", Side.BUY), "it is known, so that nobody asks whose it is again"


def test_an_order_seen_as_external_becomes_ours_once_its_intent_is_there():
    kit = Kit()
    kit.model.take(report(), "stream")
    kit.intend()
    kit.model.take(report(version=2), "stream")

    assert kit.model.find_by_venue_id(BTC, "77").intent is not None
    assert kit.model.open_orders(None, external=True) == ()


def test_external_orders_are_bounded_and_open_ones_are_kept_longest(monkeypatch):
    monkeypatch.setattr(account, "KEPT_EXTERNAL", 3)
    kit = Kit()
    for number in range(3):
        kit.model.take(report(client_id=f"o{number}", venue_id=str(number)), "stream")
    kit.model.take(report(S.CANCELED, client_id="o3", venue_id="3"), "stream")
    assert [record.client_id for record in kit.model.external.values()] == ["o0", "o1", "o2"]
    kit.model.take(report(client_id="o4", venue_id="4"), "stream")
    assert [record.client_id for record in kit.model.external.values()] == ["o1", "o2", "o4"]


def test_a_report_under_the_id_of_its_cancel_is_of_the_order_the_venues_id_names():
    kit = Kit()
    kit.intend()
    kit.model.take(report(), "stream")
    taken = kit.model.take(report(S.CANCELED, version=2, client_id="id-of-the-cancel"), "stream")

    assert kit.model.find("a").order.status is S.CANCELED
    assert taken.noticed[0].client_id == "a"
    assert not kit.model.external


def test_final_orders_at_hand_are_bounded_and_found_in_the_store_later(monkeypatch):
    monkeypatch.setattr(account, "KEPT_FINAL", 2)
    kit = Kit()
    for number in range(5):
        kit.intend(f"a{number}")
        kit.model.take(report(S.CANCELED, client_id=f"a{number}", venue_id=str(number)), "stream")

    assert set(kit.model.orders) == {"a3", "a4"}
    assert kit.model.find("a0").order.status is S.CANCELED
    assert len(kit.model.history(None, 0)) == 5


# ---------------------------------------------------------------- fills once


def test_a_fill_told_in_three_ways_counts_once():
    kit = Kit()
    kit.intend()
    kit.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    kit.model.take(fill(), "query")
    kit.model.take(fill(client_id="a"), "answer")

    assert kit.fills_told() == ["1"]
    assert kit.model.find("a").filled == 1


def test_a_fill_stored_by_an_earlier_process_is_not_told_again():
    first = Kit()
    first.intend()
    first.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    second = Kit(first.store)
    second.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    second.model.take(fill(), "query")

    assert second.announced == []
    assert second.model.find("a").filled == 1


def test_a_fill_of_an_order_whose_venue_id_is_not_known_is_parked_until_a_report_names_it():
    kit = Kit()
    kit.intend()
    taken = kit.model.take(fill(), "stream")
    assert (taken.strange, kit.announced) == (True, [])
    kit.model.take(report(S.PARTIALLY_FILLED, "1", 2), "query")

    assert kit.fills_told() == ["1"]
    assert not kit.model.parked


def test_a_parked_fill_of_another_program_is_let_go_once_its_order_is_seen():
    kit = Kit()
    kit.model.take(fill(), "stream")
    kit.model.take(report(client_id="other"), "query")

    assert (kit.model.parked, kit.announced) == ({}, [])
    assert not kit.model.take(fill(), "stream").strange


def test_parked_fills_are_bounded_and_losing_one_is_a_doubt(monkeypatch):
    monkeypatch.setattr(account, "KEPT_PARKED", 2)
    kit = Kit()
    doubts = [kit.model.take(fill(number, venue_id=str(number)), "stream").doubt for number in range(1, 4)]

    assert doubts[:2] == ["", ""]
    assert doubts[2]
    assert len(kit.model.parked) == 2


def test_a_fill_of_a_forgotten_order_is_recognised_by_the_store(monkeypatch):
    monkeypatch.setattr(account, "KEPT_FINAL", 1)
    kit = Kit()
    for client_id, venue_id in (("a", "77"), ("b", "78")):
        kit.intend(client_id)
        done = fill(int(venue_id), "2", client_id, venue_id)
        kit.model.take(report(S.FILLED, "2", 2, client_id, venue_id, fill=done), "stream")
    assert "a" not in kit.model.orders

    assert not kit.model.take(fill(77, "2"), "stream").strange
    assert kit.fills_told() == ["77", "78"]


def test_where_reading_of_fills_had_got_to_only_moves_on():
    kit = Kit()
    for trade_id in ("9", "10", "8"):
        kit.model.read_up_to(BTC, trade_id)
    assert kit.model.last_fill(BTC) == "10"
    assert later_id(None, "3") == "3"
    assert later_id("99", "100") == "100"


def test_fills_are_read_from_when_a_symbol_was_first_traded_even_by_the_next_process():
    kit = Kit()
    kit.intend(at_ns=account.DAY_NS - 5)
    kit.model.take(report(S.FILLED, "2", 2), "stream")
    kit.clock.advance(3600.0)
    again = Kit(kit.store, kit.clock)

    assert again.model.first_ns(BTC) == account.DAY_NS - 5
    assert again.model.due_symbols() == (BTC,)


# ---------------------------------------------------------------- a store that fails


def test_a_store_that_cannot_write_stops_nothing_and_is_caught_up_with_later():
    kit = Kit()
    kit.intend()
    kit.store.fails_to_write = True
    kit.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    kit.model.take(report(S.FILLED, "2", 3, fill=fill(2, client_id="a")), "stream")

    assert kit.model.find("a").order.status is S.FILLED
    assert kit.fills_told() == ["1", "2"]
    assert kit.counters.get("account.store_failed") >= 2
    assert [f.trade_id for f in kit.model.fills(None, 0)] == ["1", "2"]
    assert kit.store.order("a").order.status is S.UNKNOWN
    kit.store.fails_to_write = False
    kit.model.write_again()
    assert kit.store.order("a") == kit.model.find("a")
    assert kit.model.behind == 0


def test_what_the_store_did_not_take_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(account, "KEPT_FINAL", 1)
    kit = Kit()
    kit.intend("a")
    kit.intend("b")
    kit.store.fails_to_write = True
    kit.model.take(report(S.FILLED, "2", 2, fill=fill(1, "2", client_id="a")), "stream")
    kit.model.take(report(S.CANCELED, "0", 2, client_id="b", venue_id="78"), "stream")
    kit.store.fails_to_write = False
    kit.model.write_again()

    assert kit.store.order("a").filled == 2
    assert kit.store.order("b").order.status is S.CANCELED


def test_while_the_store_cannot_be_read_nobodys_fill_is_taken_for_another_programs():
    kit = Kit()
    kit.store.append((place(),))  # ours, and not at hand
    kit.store.fails_to_read = True
    taken = kit.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    assert taken.doubt
    assert not kit.model.external
    kit.store.fails_to_read = False
    kit.model.take(report(S.PARTIALLY_FILLED, "1", 2), "query")
    assert kit.fills_told() == ["1"]


def test_a_store_that_cannot_be_read_at_the_start_is_tried_again():
    store = FailingStore()
    store.append((place(),))
    store.fails_to_read = True
    kit = Kit(store)
    assert not kit.model.is_loaded
    store.fails_to_read = False
    assert kit.model.load()
    assert [order.client_id for order in kit.model.open_orders(None)] == ["a"]


# ---------------------------------------------------------------- the order actor's words


def test_a_verdict_a_note_and_a_list_are_in_the_diary_and_the_store():
    kit = Kit()
    kit.intend()
    kit.model.jot("a", Evidence(5, "sent", "sent over the session"))
    told = ListReport("far", BTC, 6, 7, "L1", "list", "OCO", "EXECUTING", (("a", "77"),))
    kit.model.take(told, "stream")
    kit.model.take(told, "stream")
    verdict = Verdict(never_arrived=False, code="-2010", reason="balance too low", at_ns=9)
    taken = kit.model.rule("a", verdict)

    assert [event.status for event in taken.events] == [S.REJECTED]
    texts = [line.text for line in kit.model.explain("a")]
    assert texts.count("list L1: OCO EXECUTING") == 1
    assert texts[0] == "sent over the session"
    assert any("-2010" in text for text in texts)
    assert kit.store.order("a") == kit.model.find("a")
    assert kit.model.rule("nobody", verdict).events == ()


def test_the_end_of_the_stream_is_a_doubt():
    assert "ended" in Kit().model.take(StreamEnded("listen key expired"), "stream").doubt


# ---------------------------------------------------------------- balances


def balances(at_ns, complete=False, **assets):
    told = tuple((asset, d(free), d(locked)) for asset, (free, locked) in assets.items())
    return BalanceReport("far", at_ns, at_ns + 1, told, complete)


def test_the_newer_report_of_a_balance_rules_whatever_order_they_come_in():
    kit = Kit()
    kit.model.take(balances(10, complete=True, BTC=("1", "0"), USDT=("5", "5")), "query")
    kit.model.take(balances(30, BTC=("3", "1")), "stream")
    kit.model.take(balances(20, BTC=("2", "0")), "stream")

    assert kit.model.balances["BTC"].total == 4
    assert kit.model.balances["USDT"].total == 10


def test_what_a_venue_tells_after_its_clock_went_back_is_newer_than_what_it_told_before():
    """F57: a balance known from the venue's future is of before."""
    kit = Kit()
    kit.venue_now_ns = 100 * NS_PER_S
    kit.model.take(balances(100 * NS_PER_S, BTC=("1", "0"), ETH=("1", "0")), "stream")
    kit.model.take(balances(99 * NS_PER_S, BTC=("9", "0")), "stream")
    assert kit.model.balances["BTC"].total == 1

    kit.venue_now_ns = 70 * NS_PER_S
    kit.model.take(balances(69 * NS_PER_S, BTC=("2", "0")), "stream")
    kit.model.take(BalanceChange("far", 70 * NS_PER_S, 1, "ETH", d("0.5")), "stream")
    kit.model.take(balances(68 * NS_PER_S, BTC=("9", "0")), "stream")

    assert {asset: balance.total for asset, balance in kit.model.balances.items()} == {"BTC": 2, "ETH": d("1.5")}


def test_a_complete_report_makes_zero_what_it_does_not_name_unless_that_is_newer():
    kit = Kit()
    kit.model.take(balances(10, BTC=("1", "0"), ETH=("1", "0")), "stream")
    kit.model.take(balances(40, ETH=("2", "0")), "stream")
    kit.model.take(balances(20, complete=True, USDT=("7", "0")), "query")

    assert {asset: balance.total for asset, balance in kit.model.balances.items()} == {
        "BTC": 0,
        "ETH": 2,
        "USDT": 7,
    }


def test_a_change_is_added_once_and_asks_for_all_balances():
    kit = Kit()
    kit.model.take(balances(10, BTC=("1", "0")), "stream")
    change = BalanceChange("far", 20, 21, "BTC", d("0.5"))
    assert kit.model.take(change, "stream").moved
    kit.model.take(change, "stream")
    assert kit.model.balances["BTC"].free == d("1.5")
    kit.model.take(balances(20, BTC=("1.5", "0")), "stream")
    assert kit.model.balances["BTC"].free == d("1.5")
    kit.model.take(BalanceChange("far", 30, 31, "DOGE", d(1)), "stream")
    assert "DOGE" not in kit.model.balances, "a change of what was never known is no balance"


def test_a_report_that_tells_a_change_already_is_not_added_to():
    kit = Kit()
    kit.model.take(balances(20, BTC=("1.5", "0")), "stream")
    kit.model.take(BalanceChange("far", 20, 21, "BTC", d("0.5")), "stream")
    assert kit.model.balances["BTC"].free == d("1.5")


# ---------------------------------------------------------------- corrections


def test_the_result_of_a_comparison_is_stored_announced_and_changes_nothing_the_second_time():
    kit = Kit()
    kit.intend()
    kit.intend("b", ETH)

    def compare():
        answers = {"a": report(S.FILLED, "2", 5)}
        fills = [fill(1), fill(2)]
        corrections = reconcile(kit.model.held(answers.values(), fills), (), answers, fills)
        return kit.model.correct(corrections, False)

    events = compare()
    assert [type(event) for event in events if isinstance(event, Fill)] == [Fill, Fill]
    assert all(event.recovered for event in events)
    assert kit.announced == list(events)
    assert kit.store.order("a") == kit.model.find("a")
    assert compare() == ()


class WitnessStore(FailingStore):
    """A store that notes which fills were announced when it was given them: after a crash they are told by nobody else."""

    def __init__(self):
        super().__init__()
        self.told = list
        self.untold = []

    def append(self, records):
        kept = [record.fill.trade_id for record in records if isinstance(record, FillRecord)]
        self.untold += [trade_id for trade_id in kept if trade_id not in self.told()]
        super().append(records)


@pytest.mark.parametrize("way", ["stream", "fill alone", "comparison", "forced"])
def test_a_fill_is_announced_before_it_is_stored_so_that_a_crash_in_between_hides_none(way):
    kit = Kit(WitnessStore())
    kit.store.told = kit.fills_told
    kit.intend()
    if way == "stream":
        kit.model.take(report(S.PARTIALLY_FILLED, "1", 2, fill=fill(client_id="a")), "stream")
    elif way == "fill alone":
        kit.model.take(fill(client_id="a"), "query")
    elif way == "comparison":
        corrections = reconcile(kit.model.held((), [fill(client_id="a")]), (), {}, [fill(client_id="a")])
        kit.model.correct(corrections, False)
    else:
        kit.model.take(fill(client_id="", kind=FillKind.LIQUIDATION), "stream")

    assert kit.store.has_fill(BTC, "1", Side.BUY)
    assert kit.fills_told() == ["1"]
    assert kit.store.untold == []


# ---------------------------------------------------------------- what hooks are shown


def test_positions_are_unknown_until_all_balances_are():
    kit = Kit()
    instruments = InstrumentTable("far", [])
    kit.model.take(balances(10, BTC=("1", "0")), "stream")
    assert kit.model.view(account.DAY_NS, False, {}, instruments).positions is None
    kit.model.take(balances(20, complete=True, BTC=("1", "0")), "query")
    assert kit.model.view(account.DAY_NS, False, {}, instruments).positions == {}


def test_the_days_result_begins_anew_at_midnight():
    kit = Kit()
    kit.intend()
    day = account.DAY_NS
    kit.model.take(fill(1, client_id="a", event_time_ns=day + 5, side=Side.SELL), "stream")
    prices = {BTC: d(90)}
    assert kit.model.view(day + 10, False, prices, None).day_results == {"USDT": d(10)}
    assert kit.model.view(2 * day, False, prices, None).day_results == {}


@pytest.mark.parametrize("seed", range(20))
def test_adding_up_a_day_fill_by_fill_gives_what_adding_it_up_at_once_gives(seed):
    chance = random.Random(seed)
    symbols = [BTC, ETH, Symbol("BTC", "EUR")]
    fills = [
        fill(
            number,
            str(chance.randint(1, 5)),
            symbol=chance.choice(symbols),
            side=chance.choice(list(Side)),
            price=d(chance.randint(1, 100)) / 8,
            fee=d(chance.choice([0, 1])) / 16,
            fee_asset=chance.choice(["BTC", "USDT", "BNB", None]),
            event_time_ns=chance.choice([5, 15, 25]),
        )
        for number in range(chance.randint(0, 12))
    ]
    prices = {symbol: d(chance.randint(1, 100)) for symbol in symbols if chance.random() < 0.8}
    prices |= {Symbol("BNB", quote): d(3) for quote in ("USDT", "EUR") if chance.random() < 0.8}
    expected, needed = {}, set()
    for each in (each for each in fills if each.event_time_ns >= 10):  # each fill by itself, valued in full
        quote, sign = each.symbol.quote, 1 if each.side is Side.BUY else -1
        base = sign * each.quantity - (each.fee if each.fee_asset == each.symbol.base else 0)
        fee = each.fee if each.fee_asset == quote else d(0)
        if each.fee and each.fee_asset not in (quote, each.symbol.base):
            needed.add(Symbol(str(each.fee_asset), quote))
            fee = each.fee * prices.get(Symbol(str(each.fee_asset), quote), 0)
        worth = base * prices.get(each.symbol, 0)
        expected[quote] = expected.get(quote, 0) - sign * each.price * each.quantity - fee + worth
    for symbol in symbols:
        ours = [each for each in fills if each.symbol == symbol and each.event_time_ns >= 10]
        fees = sum(each.fee for each in ours if each.fee_asset == symbol.base)
        if sum((1 if each.side is Side.BUY else -1) * each.quantity for each in ours) != fees:
            needed.add(symbol)
    assert day_results(fills, prices, 10) == (expected if needed <= set(prices) else None)


def test_any_order_of_arrival_with_anything_twice_gives_the_same_account():
    facts = [
        report(S.NEW),
        report(S.PARTIALLY_FILLED, "1", 2, fill=fill(1, client_id="a")),
        report(S.FILLED, "2", 3, fill=fill(2, client_id="a")),
        fill(1),
        fill(2),
    ]
    results = set()
    for seed in range(50):
        kit = Kit()
        kit.intend()
        chance = random.Random(seed)
        shuffled = facts * 2
        chance.shuffle(shuffled)
        for fact in shuffled:
            kit.model.take(fact, "stream")
        order = kit.model.find("a").order
        results.add((order.status, order.filled, order.average_price, tuple(sorted(kit.fills_told()))))
        assert not any(isinstance(event, Order) and event.status is S.REJECTED for event in kit.announced)
    assert results == {(S.FILLED, d(2), d(100), ("1", "2"))}


def test_the_repr_reads_like_a_status_line():
    kit = Kit()
    kit.intend()
    assert repr(kit.model) == "<AccountModel far open=1 final=0 external=0 parked=0>"
