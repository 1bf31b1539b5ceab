"""Risk hooks: asked in order, fail closed, never asked about cancels; each built-in at its edge."""

from __future__ import annotations

import pytest
from order_values import SYMBOL, d, fill, intent, place

from connector.domain.commands import AmendOrder, CancelAll, CancelOrder, OrderListKind, PlaceBatch, PlaceOrderList
from connector.domain.market import Side
from connector.domain.orders import OrderType
from connector.domain.symbols import Symbol
from connector.errors import Rejected
from connector.orders.lifecycle import new_record
from connector.orders.risk import (
    DailyLoss,
    KillSwitch,
    MaxOrderSize,
    MaxOrderValue,
    OrderRate,
    PositionLimit,
    PriceCollar,
    RiskRefused,
    RiskView,
    SymbolAllowList,
    day_results,
    evaluate,
)

BTC = Symbol("BTC", "USDT")
MARKET = {"type": OrderType.MARKET, "price": None}
KNOWN = {"prices": {SYMBOL: d(100)}, "positions": {}, "day_results": {}}


def view(**changes: object) -> RiskView:
    return RiskView(**{**KNOWN, **changes})


def order(client_id: str = "o1", **changes: object):
    return new_record(intent(client_id, place(**changes))).order


def amend(quantity: str, client_id: str = "o1") -> AmendOrder:
    return AmendOrder(symbol=SYMBOL, client_id=client_id, quantity=d(quantity))


def refused(hook: object, command: object, seen: RiskView | None = None) -> RiskRefused:
    with pytest.raises(RiskRefused) as caught:
        evaluate([hook], command, seen or view())
    assert isinstance(caught.value, Rejected)
    return caught.value


# ---------------------------------------------------------------- how hooks are asked


def test_hooks_are_asked_in_order_and_the_first_refusal_ends_it():
    asked = []

    def first(command, seen):
        asked.append("first")

    def second(command, seen):
        asked.append("second")
        raise RiskRefused("second", "no")

    def third(command, seen):
        asked.append("third")

    with pytest.raises(RiskRefused, match="second"):
        evaluate([first, second, third], place(), view())
    assert asked == ["first", "second"]


@pytest.mark.parametrize("failure", [ValueError("x"), KeyError("y"), ZeroDivisionError(), RecursionError()])
def test_a_hook_that_fails_lets_nothing_pass(failure):
    """F51."""

    def broken(command, seen):
        raise failure

    error = refused(broken, place())
    assert error.hook == "broken"
    assert error.__cause__ is failure


@pytest.mark.parametrize("answer", [False, True, 0, "ok"])
def test_a_hook_that_returns_something_lets_nothing_pass(answer):
    assert "returns None or raises" in refused(lambda command, seen: answer, place()).reason


def test_without_hooks_everything_passes():
    evaluate([], place(), view())


@pytest.mark.parametrize("cancel", [CancelOrder(symbol=SYMBOL, client_id="a"), CancelAll()])
def test_no_hook_can_stop_a_cancel(cancel):
    evaluate([KillSwitch(), lambda command, seen: 1 / 0], cancel, view(killed=True))


def test_every_order_of_a_batch_is_asked_about_after_those_before_it():
    rate = OrderRate(2, 10.0)
    evaluate([rate], PlaceBatch(orders=(place(), place())), view())
    refused(rate, PlaceBatch(orders=(place(), place(), place())))
    limit = PositionLimit({SYMBOL: d(3)})
    evaluate([limit], PlaceBatch(orders=(place(), place(quantity=d(1)))), view())
    refused(limit, PlaceBatch(orders=(place(), place())))


def test_every_order_of_a_list_is_asked_about():
    orders = (place(), place(symbol=BTC))
    refused(SymbolAllowList(frozenset({SYMBOL})), PlaceOrderList(kind=OrderListKind.OTO, orders=orders))


# ---------------------------------------------------------------- built in


def test_the_kill_switch_stops_orders_and_amends():
    refused(KillSwitch(), place(), view(killed=True))
    refused(KillSwitch(), amend("1"), view(killed=True))
    evaluate([KillSwitch()], place(), view())


def test_only_listed_symbols_are_traded():
    evaluate([SymbolAllowList(frozenset({SYMBOL}))], place(), view())
    assert "ETH/USDT" in refused(SymbolAllowList(frozenset({SYMBOL})), place(symbol=BTC)).reason


def test_the_size_of_one_order_is_bound_at_the_limit():
    hook = MaxOrderSize({SYMBOL: d(2)})
    evaluate([hook], place(quantity=d(2)), view())
    refused(hook, place(quantity=d("2.001")))
    refused(hook, place(symbol=BTC))
    refused(hook, amend("2.001"))


def test_the_size_of_an_order_by_quote_is_reckoned_at_the_reference_price():
    hook, by_quote = MaxOrderSize({SYMBOL: d(2)}), place(**MARKET, quantity=None, quote_quantity=d(201))
    refused(hook, by_quote)
    evaluate([hook], place(**MARKET, quantity=None, quote_quantity=d(200)), view())
    assert "fresh price" in refused(hook, by_quote, view(prices={})).reason


def test_the_value_of_one_order_is_bound_at_the_limit():
    hook = MaxOrderValue({"USDT": d(200)})
    evaluate([hook], place(), view())
    refused(hook, place(price=d("100.01")))
    refused(hook, place(**MARKET, quantity=None, quote_quantity=d("200.01")))
    refused(hook, place(**MARKET, quantity=d("2.1")))
    refused(hook, place(symbol=Symbol("ETH", "BTC")))
    assert "fresh price" in refused(hook, place(**MARKET), view(prices={})).reason


def test_a_stop_order_is_valued_at_the_higher_of_stop_and_reference():
    hook, stop = MaxOrderValue({"USDT": d(200)}), {"type": OrderType.STOP, "price": None}
    evaluate([hook], place(**stop, stop_price=d(90)), view())
    refused(hook, place(**stop, stop_price=d(101)))
    refused(hook, place(**stop, stop_price=d(90)), view(prices={SYMBOL: d(101)}))


def test_an_amend_is_valued_at_the_orders_price():
    hook = MaxOrderValue({"USDT": d(200)})
    seen = view(open_orders={"o1": order(price=d(50))}, prices={})
    evaluate([hook], amend("4"), seen)
    refused(hook, amend("4.1"), seen)
    refused(hook, amend("1"), view(prices={}))


def test_a_position_counts_what_is_held_what_is_open_and_what_is_ordered():
    hook = PositionLimit({SYMBOL: d(5)})
    seen = view(positions={SYMBOL: d(1)}, open_orders={"o1": order(), "o2": order("o2", side=Side.SELL, quantity=d(9))})
    evaluate([hook], place(quantity=d(2)), seen)
    refused(hook, place(quantity=d("2.1")), seen)
    refused(hook, amend("4.1"), seen)
    evaluate([hook], amend("4"), seen)


def test_a_position_counts_short_too_and_closing_passes():
    hook = PositionLimit({SYMBOL: d(5)})
    refused(hook, place(side=Side.SELL, quantity=d(6)), view(positions={SYMBOL: d("0.5")}))
    evaluate([hook], place(side=Side.SELL, quantity=d(9)), view(positions={SYMBOL: d(9)}))


def test_a_position_that_is_not_known_lets_nothing_pass():
    assert "not known" in refused(PositionLimit({SYMBOL: d(5)}), place(), view(positions=None)).reason


def test_orders_stop_at_the_days_loss():
    hook = DailyLoss({"USDT": d(50)})
    evaluate([hook], place(), view(day_results={"USDT": d("-49.99")}))
    evaluate([hook], place(), view(day_results={"USDT": d(1_000)}))
    refused(hook, place(), view(day_results={"USDT": d(-50)}))
    refused(hook, place(), view(day_results=None))


def test_the_order_rate_counts_within_its_window():
    hook, second = OrderRate(2, 1.0), 1_000_000_000
    evaluate([hook], place(), view(time_ns=10 * second, placed_ns=(1, 9 * second, 9 * second + 1)))
    refused(hook, place(), view(time_ns=10 * second, placed_ns=(9 * second + 1, 9 * second + 2)))


@pytest.mark.parametrize("price", ["94.99", "105.01"])
def test_prices_stay_within_the_collar(price):
    hook = PriceCollar(d("0.05"))
    refused(hook, place(price=d(price)))
    refused(hook, place(type=OrderType.STOP, price=None, stop_price=d(price)))
    refused(hook, place(), view(prices={}))
    evaluate([hook], place(price=d(105)), view())
    evaluate([hook], place(**MARKET), view(prices={}))


def test_every_hook_refuses_when_nothing_is_known():
    for hook in (
        PositionLimit({SYMBOL: d(9)}),
        DailyLoss({"USDT": d(9)}),
        PriceCollar(d(1)),
        MaxOrderValue({"USDT": d(1)}),
    ):
        refused(hook, place(), RiskView())


# ---------------------------------------------------------------- the day's result


def sold(number: int, quantity: str, price: str, **changes: object):
    return fill(number, quantity, price, side=Side.SELL, **changes)


def test_the_days_result_is_proceeds_less_costs_and_fees():
    fills = [fill(1, "2", "100", fee=d("0.2"), fee_asset="USDT"), sold(2, "2", "110", fee=d("0.22"), fee_asset="USDT")]
    assert day_results(fills, {}, 0) == {"USDT": d("19.58")}


def test_what_the_day_left_over_is_valued_and_needs_a_price():
    fills = [fill(1, "2", "100", fee=d("0.01"), fee_asset="ETH")]
    assert day_results(fills, {SYMBOL: d(90)}, 0) == {"USDT": d("-20.90")}
    assert day_results(fills, {}, 0) is None


def test_a_fee_in_a_third_asset_is_valued_and_needs_a_price():
    fills = [fill(1, "1", "100", fee=d("0.1")), sold(2, "1", "100", fee=d(0))]
    assert day_results(fills, {Symbol("BNB", "USDT"): d(500)}, 0) == {"USDT": d(-50)}
    assert day_results(fills, {}, 0) is None


def test_fills_of_yesterday_do_not_count():
    assert day_results([fill(1)], {}, 10**18) == {}
