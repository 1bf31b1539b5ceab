"""Risk hooks on contracts: reckoned in base units, sides added up, what only reduces passes; day results per settle asset."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from order_values import d, fill

from connector.domain.account import FundingPayment, PositionSide
from connector.domain.commands import (
    AmendOrder,
    PlaceBatch,
    PlaceOrder,
    SetLeverage,
)
from connector.domain.instruments import Instrument, InstrumentStatus
from connector.domain.market import Side
from connector.domain.orders import Order, OrderType
from connector.domain.symbols import Symbol
from connector.orders.lifecycle import IntentRecord, new_record
from connector.orders.risk import (
    DailyLoss,
    MaxOrderSize,
    MaxOrderValue,
    PositionLimit,
    PriceCollar,
    RiskRefused,
    RiskView,
    day_results,
    evaluate,
)

LINEAR, INVERSE = Symbol("BTC", "USDT", "USDT"), Symbol("BTC", "USD", "BTC")
SIZES = {LINEAR: d("0.01"), INVERSE: d(100)}
INSTRUMENTS = {
    symbol: Instrument("v", symbol, "N", InstrumentStatus.TRADING, "T", 8, 8, (), (), contract_size=size)
    for symbol, size in SIZES.items()
}
CLOSE = {"type": OrderType.STOP, "price": None, "stop_price": d(1), "quantity": None, "close_position": True}


def view(**changes: object) -> RiskView:
    known = {"prices": {LINEAR: d(50_000), INVERSE: d(50_000)}, "positions": {}, "day_results": {}}
    return RiskView(**{**known, "instruments": INSTRUMENTS, **changes})


def place(symbol: Symbol = LINEAR, **changes: object) -> PlaceOrder:
    fields = {"symbol": symbol, "side": Side.BUY, "type": OrderType.LIMIT, "price": d(50_000), "contracts": d(100)}
    if "quantity" in changes:
        fields["contracts"] = None
    return PlaceOrder(**{**fields, **changes})


def opened(client_id: str = "o", **changes: object) -> dict[str, Order]:
    intent = IntentRecord.of(place(**changes), venue="v", client_id=client_id, at_ns=1, recv_window_ms=1)
    return {client_id: msgspec.structs.replace(new_record(intent).order, quantity=d(1))}


def passes(hook: object, command: object, seen: RiskView | None = None) -> bool:
    try:
        evaluate([hook], command, seen or view())
    except RiskRefused:
        return False
    return True


def test_the_size_of_an_order_in_contracts_is_bound_in_base_units():
    assert passes(MaxOrderSize({LINEAR: d(1)}), place())
    assert not passes(MaxOrderSize({LINEAR: d("0.99")}), place())
    assert passes(MaxOrderSize({INVERSE: d("0.2")}), place(INVERSE))
    assert not passes(MaxOrderSize({INVERSE: d("0.19")}), place(INVERSE))


def test_contracts_of_what_is_not_listed_or_has_no_price_are_stopped():
    assert not passes(MaxOrderSize({LINEAR: d(1)}), place(), view(instruments={}))
    market = place(INVERSE, type=OrderType.MARKET, price=None)
    assert not passes(MaxOrderSize({INVERSE: d(1)}), market, view(prices={}))


def test_inverse_contracts_are_worth_their_size_in_quote():
    assert passes(MaxOrderValue({"USD": d(10_000)}), place(INVERSE), view(prices={}))
    assert not passes(MaxOrderValue({"USD": d(9_999)}), place(INVERSE), view(prices={}))
    assert passes(MaxOrderValue({"USDT": d(50_000)}), place())
    assert not passes(MaxOrderValue({"USDT": d(49_999)}), place())


def test_an_order_that_closes_what_there_is_has_no_size_and_adds_no_risk():
    for hook in (MaxOrderSize({LINEAR: d(1)}), MaxOrderValue({"USDT": d(1)}), PositionLimit({LINEAR: d(0)})):
        assert passes(hook, place(**CLOSE))


@pytest.mark.parametrize(
    "reducing",
    [
        {"reduce_only": True},
        {"side": Side.SELL, "position_side": PositionSide.LONG},
        {"side": Side.BUY, "position_side": PositionSide.SHORT},
    ],
)
def test_what_only_reduces_passes_the_position_limit_and_is_not_counted_by_it(reducing):
    full = view(positions={LINEAR: d(1)})
    limit = PositionLimit({LINEAR: d(1)})
    assert passes(limit, place(**reducing), full)
    assert not passes(limit, place(), full)
    same_side = {"side": reducing.get("side", Side.BUY)}
    assert passes(limit, place(**same_side), view(open_orders=opened(**reducing)))
    assert not passes(limit, place(**same_side), view(open_orders=opened(**same_side)))
    lost = view(day_results={"USDT": d(-99)})
    assert passes(DailyLoss({"USDT": d(1)}), place(**reducing), lost)
    assert not passes(DailyLoss({"USDT": d(1)}), place(), lost)


def test_an_open_order_of_unknown_worth_counts_at_the_price_now_or_stops_the_next():
    intent = IntentRecord.of(
        place(INVERSE, type=OrderType.MARKET, price=None), venue="v", client_id="o", at_ns=1, recv_window_ms=1
    )
    waiting = {"o": new_record(intent).order}
    assert waiting["o"].quantity == 0
    limit = PositionLimit({INVERSE: d("0.3")})  # each comes to 0.2
    assert passes(limit, place(INVERSE))
    assert not passes(limit, place(INVERSE), view(open_orders=waiting))
    assert passes(PositionLimit({INVERSE: d("0.4")}), place(INVERSE), view(open_orders=waiting))
    assert not passes(PositionLimit({INVERSE: d(9)}), place(INVERSE), view(open_orders=waiting, prices={}))


def test_an_order_of_a_batch_in_contracts_is_seen_by_the_next_in_base_units():
    limit = PositionLimit({LINEAR: d("1.5")})
    assert passes(limit, place())
    assert not passes(limit, PlaceBatch(orders=(place(), place())))


def test_an_amend_of_an_order_in_contracts_is_reckoned_in_contracts():
    seen = view(open_orders=opened())
    assert passes(MaxOrderSize({LINEAR: d(2)}), AmendOrder(symbol=LINEAR, client_id="o", quantity=d(200)), seen)
    assert not passes(MaxOrderSize({LINEAR: d(2)}), AmendOrder(symbol=LINEAR, client_id="o", quantity=d(201)), seen)
    in_base = view(open_orders=opened(quantity=d(1)))
    assert not passes(MaxOrderSize({LINEAR: d(2)}), AmendOrder(symbol=LINEAR, client_id="o", quantity=d(200)), in_base)


def test_an_amended_price_is_judged_like_a_new_one():
    seen = view(open_orders=opened())
    dear, near = (AmendOrder(symbol=LINEAR, client_id="o", price=d(price)) for price in (60_000, 51_000))
    assert not passes(PriceCollar(d("0.05")), dear, seen)
    assert passes(PriceCollar(d("0.05")), near, seen)
    assert not passes(MaxOrderValue({"USDT": d(55_000)}), dear, seen)
    assert passes(MaxOrderValue({"USDT": d(55_000)}), near, seen)
    assert not passes(MaxOrderSize({LINEAR: d(9)}), near, view()), "of an order nobody knows the size is not known"


def test_hooks_are_not_asked_about_settings_of_positions():
    evaluate([lambda command, seen: 1 / 0], SetLeverage(symbol=LINEAR, leverage=d(2)), view())


# ---------------------------------------------------------------- the day's result


def payment(amount: str, asset: str = "USDT", at_ns: int = 5) -> FundingPayment:
    return FundingPayment("v", LINEAR, at_ns, at_ns, f"p{amount}", asset, d(amount))


def test_contracts_bring_what_was_realized_less_fees_and_with_funding():
    fills = [
        fill(1, "1", "50000", symbol=LINEAR, fee=d("5"), fee_asset="USDT", realized=d(0)),
        fill(2, "1", "49000", symbol=LINEAR, fee=d("4"), fee_asset="USDT", realized=d(-1000), side=Side.SELL),
    ]
    assert day_results(fills, {}, 0, [payment("-3.5"), payment("1")]) == {"USDT": d("-1011.5")}
    assert day_results([], {}, 10, [payment("-3.5")]) == {}


def test_of_an_inverse_contract_the_result_is_in_the_base_asset():
    closed = fill(1, "0.002", "50000", symbol=INVERSE, fee=d("0.000001"), fee_asset="BTC", realized=d("0.0001"))
    assert day_results([closed], {}, 0) == {"BTC": d("0.000099")}


prices = st.integers(10_000, 90_000)


@given(st.lists(st.tuples(prices, st.integers(-9, 9).filter(bool)), min_size=1, max_size=6), prices)
def test_where_nothing_realized_is_told_trades_are_valued_at_the_price_now(trades, now):
    """Against the profit of each trade by itself, in fractions."""
    for symbol in (LINEAR, INVERSE):
        fills, expected = [], Fraction(0)
        for number, (price, amount) in enumerate(trades):
            side = Side.BUY if amount > 0 else Side.SELL
            fills.append(fill(number, str(abs(amount)), str(price), symbol=symbol, side=side, fee=d(0)))
            quote = Fraction(amount) * price
            expected += (
                amount * (now - Fraction(price))
                if symbol is LINEAR
                else quote * (Fraction(1, price) - Fraction(1, now))
            )
        results = day_results(fills, {symbol: d(now)}, 0)
        assert abs(Fraction(results[symbol.settle]) - expected) < Fraction(1, 10**18)
        flat = sum(d(price) * amount if symbol is INVERSE else amount for price, amount in trades) == 0
        assert flat or day_results(fills, {}, 0) is None
