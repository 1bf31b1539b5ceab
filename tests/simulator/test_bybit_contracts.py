"""Positions, margin and orders for contracts on the simulated exchange bybit: the documents' rules as sentences."""

from decimal import Decimal

import pytest


def position(trader, symbol="BTCUSDT", index=0):
    rows = trader.ask("GET", "position/list", symbol=symbol)["list"]
    return next(row for row in rows if row["positionIdx"] == index)


def truth(sim, symbol="BTCUSDT", side="net"):
    return next(each for each in sim.accounts["main"].positions() if each.symbol == symbol and each.side == side)


def buy(trader, qty="0.01", **params):
    return trader.place(orderType="Market", qty=qty, **params)


def sell(trader, qty="0.01", **params):
    return trader.place("Sell", orderType="Market", qty=qty, **params)


@pytest.fixture
def linear(bybit):
    return lambda *names, **settings: bybit(*names, product="linear", **settings)


@pytest.fixture
def inverse(bybit):
    return lambda *names, **settings: bybit(*names, product="inverse", **settings)


def test_a_position_is_what_was_bought_at_its_average_price(linear):
    sim, trader = linear()
    buy(trader, "0.02")
    row, own = position(trader), truth(sim)
    assert (row["side"], row["size"], row["positionIdx"]) == ("Buy", "0.020", 0)
    assert Decimal(row["avgPrice"]) == own.entry_price
    assert Decimal(row["positionValue"]) == sum(fill.quote for fill in sim.accounts["main"].fills())
    assert Decimal(row["unrealisedPnl"]) == own.unrealised and Decimal(row["markPrice"]) > 0
    assert row["leverage"] == "20" and row["positionStatus"] == "Normal" and row["openTime"] == trader.now_ms()


def test_a_flat_position_has_no_side_and_a_never_traded_symbol_no_sequence(linear):
    _, trader = linear()
    row = position(trader)
    assert (row["side"], row["size"], row["seq"], row["avgPrice"], row["liqPrice"]) == ("", "0", -1, "0", "")


def test_positions_of_linear_contracts_need_a_symbol_or_a_settle_coin(linear):
    _, trader = linear()
    assert trader.refused("GET", "position/list")[0] == 10001
    assert trader.ask("GET", "position/list", settleCoin="USDT")["list"] == []
    buy(trader)
    assert len(trader.ask("GET", "position/list", settleCoin="USDT")["list"]) == 1
    assert len(trader.ask("GET", "position/list", symbol="ETHUSDT")["list"]) == 1


def test_positions_of_inverse_contracts_are_listed_without_a_symbol(inverse):
    _, trader = inverse()
    buy(trader, "100", symbol="BTCUSD")
    (row,) = trader.ask("GET", "position/list")["list"]
    assert (row["symbol"], row["size"]) == ("BTCUSD", "100")


def test_inverse_contracts_count_dollars_and_pay_in_the_coin(inverse):
    sim, trader = inverse()
    before = trader.coin("BTC")[0]
    buy(trader, "6400", symbol="BTCUSD", orderLinkId="a")
    row, order = position(trader, "BTCUSD"), trader.order("a")
    assert row["size"] == "6400" and Decimal("0.09") < Decimal(row["positionValue"]) < Decimal("0.11")
    assert order["cumExecQty"] == "6400" and abs(Decimal(order["cumExecValue"]) - Decimal("0.1")) < Decimal("0.001")
    fees = sum(fill.commission for fill in sim.accounts["main"].fills())
    assert trader.coin("BTC")[0] == before - fees
    assert {fill.commission_asset for fill in sim.accounts["main"].fills()} == {"BTC"}
    assert sim.imbalance("BTC") == 0


def test_closing_realises_profit_and_tells_how_much_was_closed(linear):
    sim, trader = linear()
    session = trader.private_socket("execution")
    buy(trader, "0.01")
    sell(trader, "0.03", orderLinkId="b")
    rows = [row for row in session.rows("execution") if row["orderLinkId"] == "b"]
    assert sum(Decimal(row["closedSize"]) for row in rows) == Decimal("0.01")
    assert position(trader)["side"] == "Sell" and position(trader)["size"] == "0.020"
    fills = [fill for fill in sim.accounts["main"].fills() if fill.client_id == "b"]
    assert sum(Decimal(row["execPnl"]) for row in rows) == sum(fill.realised for fill in fills)
    assert Decimal(trader.order("b")["closedPnl"]) == sum(fill.realised for fill in fills)


def test_executions_and_positions_share_their_sequence(linear):
    _, trader = linear()
    session = trader.private_socket("execution", "position")
    buy(trader)
    messages = session.settle()
    executions = [row for message in messages if message["topic"] == "execution" for row in message["data"]]
    positions = [row for message in messages if message["topic"] == "position" for row in message["data"]]
    assert (
        positions[-1]["seq"] == executions[-1]["seq"]
        and positions[-1]["entryPrice"]
        and "avgPrice" not in positions[-1]
    )


def test_every_change_of_an_order_tells_the_position_even_when_it_is_the_same(linear):
    _, trader = linear()
    session = trader.private_socket("position.linear")
    trader.place(orderLinkId="a", price="60000")
    trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", qty="0.02")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    rows = session.rows("position.linear")
    assert len(rows) == 3 and {row["size"] for row in rows} == {"0"} and rows[0]["category"] == "linear"


def test_a_resting_order_holds_margin_back_and_locks_nothing(linear):
    sim, trader = linear()
    trader.place(price="64000", qty="0.1")
    (wallet,) = trader.ask("GET", "account/wallet-balance", category=None, accountType="UNIFIED", coin="USDT")["list"]
    (coin,) = wallet["coin"]
    assert coin["locked"] == "0" and Decimal(coin["totalOrderIM"]) == Decimal(320)
    assert Decimal(coin["walletBalance"]) == sim.accounts["main"].balances()["USDT"].free
    assert Decimal(wallet["totalInitialMargin"]) == Decimal(320)


def test_an_order_without_enough_margin_is_refused(linear, account):
    sim, trader = linear(accounts=(account("main", balances={"USDT": "100"}),))
    assert trader.rejected(price="60000", qty="1")[0] == 110007
    trader.place(price="60000", qty="0.01")
    assert len(sim.accounts["main"].orders()) == 1


def test_leverage_is_set_for_both_sides_alike(linear):
    _, trader = linear()
    session = trader.private_socket("position")
    fields = {"symbol": "BTCUSDT", "buyLeverage": "10", "sellLeverage": "10"}
    trader.ask("POST", "position/set-leverage", **fields)
    assert position(trader)["leverage"] == "10"
    assert session.rows("position")[-1]["leverage"] == "10"
    assert trader.refused("POST", "position/set-leverage", **fields)[0] == 110043
    assert trader.refused("POST", "position/set-leverage", **fields | {"sellLeverage": "5"})[0] == 10001
    assert (
        trader.refused("POST", "position/set-leverage", **fields | {"buyLeverage": "0", "sellLeverage": "0"})[0]
        == 10001
    )
    high = fields | {"buyLeverage": "500", "sellLeverage": "500"}
    assert trader.refused("POST", "position/set-leverage", **high)[0] == 110013


def test_leverage_can_be_read_without_a_position(linear):
    _, trader = linear()
    trader.ask("POST", "position/set-leverage", symbol="BTCUSDT", buyLeverage="7.5", sellLeverage="7.5")
    (row,) = trader.ask("GET", "position/symbol-info", symbol="BTCUSDT")["list"]
    assert (row["symbol"], row["leverage"], row["positionIdx"]) == ("BTCUSDT", "7.5", 0)
    assert len(trader.ask("GET", "position/symbol-info")["list"]) == 2


def test_a_conditional_order_may_be_priced_beyond_the_band_of_today(linear):
    _, trader = linear()
    trader.place(orderLinkId="a", triggerPrice="70000", triggerDirection=1, price="70100.5")
    assert trader.order("a")["price"] == "70100.5"
    trader.ask("POST", "order/amend", symbol="BTCUSDT", orderLinkId="a", price="70200", triggerPrice="70050")
    assert (trader.order("a")["price"], trader.order("a")["triggerPrice"]) == ("70200.0", "70050.0")


def test_hedge_mode_holds_both_sides_apart_and_orders_must_name_one(linear):
    _, trader = linear()
    trader.ask("POST", "position/switch-mode", symbol="BTCUSDT", mode=3)
    assert trader.refused("POST", "position/switch-mode", symbol="BTCUSDT", mode=3)[0] == 110025
    assert trader.rejected() == (10001, "position idx not match position mode")
    session = trader.private_socket("position")
    buy(trader, "0.02", positionIdx=1)
    sell(trader, "0.01", positionIdx=2)
    assert position(trader, index=1)["side"] == "Buy" and position(trader, index=2)["side"] == "Sell"
    assert {row["positionIdx"] for row in session.rows("position")} == {1, 2}
    sell(trader, "0.01", positionIdx=1)
    assert position(trader, index=1)["size"] == "0.010" and position(trader, index=2)["size"] == "0.010"
    assert trader.refused("POST", "position/switch-mode", symbol="BTCUSDT", mode=0)[0] == 110024


def test_one_way_mode_takes_no_side(linear):
    _, trader = linear()
    assert trader.rejected(positionIdx=1) == (10001, "position idx not match position mode")


def test_the_mode_does_not_change_under_open_orders(linear):
    _, trader = linear()
    trader.place()
    assert trader.refused("POST", "position/switch-mode", symbol="BTCUSDT", mode=3)[0] == 110028
    trader.ask("POST", "position/switch-mode", coin="USDT", mode=3)  # of a coin, those that are free change
    assert position(trader, "ETHUSDT", index=1)["size"] == "0"


def test_inverse_contracts_have_no_hedge_mode_and_isolation_is_the_accounts(inverse):
    sim, trader = inverse()
    assert trader.refused("POST", "position/switch-mode", symbol="BTCUSD", mode=3)[0] == 110029
    assert trader.call("POST", "position/switch-isolated", symbol="BTCUSD", tradeMode=1).status == 404
    trader.ask("POST", "account/set-margin-mode", category=None, setMarginMode="ISOLATED_MARGIN")
    assert trader.ask("GET", "account/info", category=None)["marginMode"] == "ISOLATED_MARGIN"
    buy(trader, "100", symbol="BTCUSD")
    assert truth(sim, "BTCUSD").isolated
    answer = trader.call("POST", "account/set-margin-mode", category=None, setMarginMode="REGULAR_MARGIN").json
    assert answer["retCode"] == 3400045 and answer["result"]["reasons"]
    answer = trader.call("POST", "account/set-margin-mode", category=None, setMarginMode="PORTFOLIO_MARGIN").json
    assert answer["retCode"] == 3400045


def test_an_order_that_may_only_reduce_needs_something_to_reduce(linear):
    _, trader = linear()
    assert trader.rejected("Sell", orderType="Market", reduceOnly=True)[0] == 110017
    buy(trader, "0.01")
    sell(trader, "0.05", reduceOnly=True, orderLinkId="a")
    assert position(trader)["size"] == "0"
    row = trader.order("a")
    assert (row["orderStatus"], row["cancelType"], row["cumExecQty"]) == ("Cancelled", "CancelByReduceOnly", "0.010")


def test_a_quantity_of_nothing_with_both_flags_closes_everything(linear):
    _, trader = linear()
    buy(trader, "0.037")
    assert trader.rejected("Sell", orderType="Market", qty="0", reduceOnly=True)[0] == 10001
    sell(trader, "0", reduceOnly=True, closeOnTrigger=True)
    assert position(trader)["size"] == "0"


def test_a_price_beyond_the_band_is_moved_to_its_edge(linear):
    _, trader = linear()
    limits = trader.public("price-limit", symbol="BTCUSDT")
    trader.place(orderLinkId="a", price="99000.5", qty="0.001", timeInForce="IOC")
    assert trader.order("a")["price"] == limits["buyLmt"]
    limits = trader.public("price-limit", symbol="BTCUSDT")
    trader.place("Sell", orderLinkId="b", price="10000", qty="0.001", timeInForce="IOC")
    assert trader.order("b")["price"] == limits["sellLmt"]


def test_a_cancelled_contract_order_may_have_fills(linear):
    sim, trader = linear()
    trader.place("Sell", orderLinkId="a", price="64500", qty="0.01")
    sim.accounts["main"].fill("a", "0.004")
    trader.ask("POST", "order/cancel", symbol="BTCUSDT", orderLinkId="a")
    row = trader.order("a")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "0.004", "0.000")


def test_a_conditional_order_is_untriggered_triggered_and_new(linear):
    sim, trader = linear()
    session = trader.private_socket("order")
    trader.place(
        "Sell", orderLinkId="a", triggerPrice="65000", triggerDirection=1, triggerBy="MarkPrice", price="66000"
    )
    assert trader.order("a")["orderStatus"] == "Untriggered"
    sim.hold_mark("BTCUSDT", "65000")
    assert [row["orderStatus"] for row in session.rows("order")] == ["Untriggered", "Triggered", "New"]
    row = trader.order("a")
    assert (row["triggerPrice"], row["triggerDirection"], row["triggerBy"]) == ("65000.0", 1, "MarkPrice")
    assert row["stopOrderType"] == "Stop" and row["price"] == "66000.0"


def test_a_conditional_order_must_lie_on_the_side_it_names(linear):
    _, trader = linear()
    assert trader.rejected(triggerPrice="60000", triggerDirection=1)[0] == 110092
    assert trader.rejected(triggerPrice="70000", triggerDirection=2)[0] == 110093
    assert trader.rejected(triggerPrice="70000")[0] == 10001


def test_a_conditional_order_cancelled_before_its_price_is_deactivated(linear):
    _, trader = linear()
    trader.place(orderLinkId="a", triggerPrice="70000", triggerDirection=1, price="60000")
    assert len(trader.ask("POST", "order/cancel-all", settleCoin="USDT", orderFilter="StopOrder")["list"]) == 1
    assert trader.order("a")["orderStatus"] == "Deactivated"


def test_a_stop_on_a_position_closes_all_of_it(linear):
    sim, trader = linear()
    buy(trader, "0.02")
    fields = {
        "symbol": "BTCUSDT",
        "stopLoss": "63000",
        "takeProfit": "70000",
        "slTriggerBy": "MarkPrice",
        "positionIdx": 0,
    }
    trader.ask("POST", "position/trading-stop", **fields)
    assert (position(trader)["takeProfit"], position(trader)["stopLoss"]) == ("70000.0", "63000.0")
    assert trader.refused("POST", "position/trading-stop", **fields)[0] == 34040
    session = trader.private_socket("order")
    sim.hold_mark("BTCUSDT", "62900")
    ends = {row["stopOrderType"]: row for row in session.rows("order")}
    assert position(trader)["size"] == "0"
    assert (ends["StopLoss"]["orderStatus"], ends["StopLoss"]["createType"]) == ("Filled", "CreateByStopLoss")
    assert (ends["TakeProfit"]["orderStatus"], ends["TakeProfit"]["cancelType"]) == (
        "Deactivated",
        "CancelByTpSlTsClear",
    )


def test_a_stop_is_taken_away_with_zero_and_needs_a_position(linear):
    _, trader = linear()
    assert trader.refused("POST", "position/trading-stop", symbol="BTCUSDT", stopLoss="1", positionIdx=0)[0] == 10001
    buy(trader, "0.02")
    trader.ask("POST", "position/trading-stop", symbol="BTCUSDT", stopLoss="63000", positionIdx=0)
    assert (
        trader.refused("POST", "position/trading-stop", symbol="BTCUSDT", stopLoss="70000", positionIdx=0)[0] == 10001
    )
    trader.ask("POST", "position/trading-stop", symbol="BTCUSDT", stopLoss="0", positionIdx=0)
    assert position(trader)["stopLoss"] == ""


def test_funding_is_an_execution_without_a_trade(linear):
    sim, trader = linear()
    buy(trader, "0.1")
    session = trader.private_socket("execution", "wallet")
    before = trader.coin("USDT")[0]
    sim.fund("BTCUSDT", "0.0005")
    (row,) = session.rows("execution")
    assert row["execType"] == "Funding" and row["feeRate"] == "0.0005" and row["execQty"] == "0.100"
    assert Decimal(row["execFee"]) == before - trader.coin("USDT")[0] > 0
    listed = trader.ask("GET", "execution/list", symbol="BTCUSDT", execType="Funding")["list"]
    assert [each["execId"] for each in listed] == [row["execId"]]
    (log,) = trader.ask("GET", "account/transaction-log", type="SETTLEMENT")["list"]
    assert Decimal(log["funding"]) == -Decimal(row["execFee"]) and Decimal(log["cashBalance"]) == trader.coin("USDT")[0]


def test_a_liquidation_is_a_bust_trade_and_shows_on_the_public_topic(linear):
    sim, trader = linear()
    buy(trader, "0.1")
    public = trader.public_socket("allLiquidation.BTCUSDT")
    private = trader.private_socket("execution", "order")
    sim.liquidate("main", "BTCUSDT")
    sim.step(1)
    rows = private.settle()
    executions = [row for message in rows if message["topic"] == "execution" for row in message["data"]]
    assert {row["execType"] for row in executions} == {"BustTrade"}
    assert sum(Decimal(row["execQty"]) for row in executions) == Decimal("0.1")
    orders = [row for message in rows if message["topic"] == "order" for row in message["data"]]
    assert orders[-1]["createType"] == "CreateByLiq" and orders[-1]["orderLinkId"] == ""
    (message,) = public.settle()
    (told,) = message["data"]
    assert (told["S"], told["s"], told["v"]) == ("Buy", "BTCUSDT", "0.100") and set(told) == {"T", "s", "S", "v", "p"}
    assert position(trader)["size"] == "0" and sim.imbalance("USDT") == 0


def test_auto_deleveraging_is_a_trade_of_its_own_kind(linear):
    sim, trader = linear()
    buy(trader, "0.1")
    session = trader.private_socket("execution")
    sim.adl("main", "BTCUSDT", "0.04")
    (row,) = session.rows("execution")
    assert (row["execType"], row["execQty"], row["closedSize"]) == ("AdlTrade", "0.040", "0.040")
    assert position(trader)["size"] == "0.060"


def test_a_contract_that_ends_settles_positions_and_cancels_orders(linear):
    sim, trader = linear(symbols=("BTCUSDT-26DEC36",))
    buy(trader, "0.01", symbol="BTCUSDT-26DEC36")
    trader.place(symbol="BTCUSDT-26DEC36", orderLinkId="a", price="60000")
    session = trader.private_socket("execution")
    sim.deliver("BTCUSDT-26DEC36")
    assert [row["execType"] for row in session.rows("execution")] == ["Delivery"]
    assert trader.order("a")["cancelType"] == "CancelBySettle"
    assert trader.public("instruments-info", symbol="BTCUSDT-26DEC36")["list"][0]["status"] == "Closed"
    assert trader.rejected(symbol="BTCUSDT-26DEC36")[0] == 110074


def test_cancel_all_of_contracts_must_name_something(linear):
    _, trader = linear()
    trader.place(orderLinkId="a")
    trader.place(orderLinkId="b", symbol="ETHUSDT", price="3000", qty="0.1")
    assert trader.refused("POST", "order/cancel-all")[0] == 10001
    assert [row["orderLinkId"] for row in trader.ask("POST", "order/cancel-all", baseCoin="ETH")["list"]] == ["b"]
    assert [row["orderLinkId"] for row in trader.ask("POST", "order/cancel-all", settleCoin="USDT")["list"]] == ["a"]
    assert trader.refused("GET", "order/realtime")[0] == 10001
    assert trader.ask("GET", "order/realtime", settleCoin="USDT")["list"] == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"side": "buy"}, 10001),
        ({"qty": "0.0001"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "99999"}, 10001),
        ({"price": "60000.05"}, 10001),
        ({"price": "0"}, 110003),
        ({"qty": "0.001", "price": "100"}, 110094),
        ({"timeInForce": "RPI"}, 110119),
        ({"stopLoss": "50000"}, 10001),
        ({"category": "spot"}, 10001),
        ({"triggerPrice": "70000", "triggerDirection": 3}, 10001),
        ({"bboSideType": "Nonsense"}, 10001),
    ],
)
def test_what_is_wrong_with_an_order_has_its_code(linear, params, code):
    sim, trader = linear()
    assert trader.rejected(**params)[0] == code
    assert sim.accounts["main"].orders() == []


def test_a_link_id_is_never_taken_twice(linear):
    _, trader = linear()
    trader.place(orderLinkId="a")
    assert trader.rejected(orderLinkId="a") == (110072, "OrderLinkedID is duplicate")


def test_a_price_may_be_taken_from_the_book(linear):
    _, trader = linear()
    bids = trader.public("orderbook", symbol="BTCUSDT", limit=3)["b"]
    trader.place(orderLinkId="a", bboSideType="Queue", bboLevel="3", qty="0.001")
    assert trader.order("a")["price"] == bids[2][0]


def test_a_position_of_hundred_fills_has_no_rounding_of_its_own(linear):
    sim, trader = linear()
    for number in range(20):
        (buy if number % 3 else sell)(trader, f"0.0{number + 10}")
    own, row = truth(sim), position(trader)
    signed = Decimal(row["size"]) * (1 if row["side"] == "Buy" else -1)
    assert signed == own.quantity and Decimal(row["avgPrice"]) == own.entry_price
    incomes = sum(each.amount for each in sim.accounts["main"].incomes() if each.symbol)
    assert Decimal(row["cumRealisedPnl"]) == incomes
    assert trader.coin("USDT")[0] == Decimal(1_000_000) + incomes and sim.imbalance("USDT") == 0
