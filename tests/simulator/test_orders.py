"""Orders by REST: every type, every refusal in the venue's words, what it costs, and what queries show of it."""

from decimal import Decimal

import pytest

from connector.simulator import listing

BTC = "BTCUSDT"
ROW_KEYS = {
    "symbol", "orderId", "orderListId", "clientOrderId", "price", "origQty", "executedQty", "cummulativeQuoteQty",
    "status", "timeInForce", "type", "side", "stopPrice", "icebergQty", "time", "updateTime", "isWorking",
    "workingTime", "origQuoteOrderQty", "selfTradePreventionMode",
}  # fmt: skip


def with_filters(*rows):
    plain = listing(BTC)
    from msgspec.structs import replace

    return (replace(plain, filters=rows), "ETHUSDT", "ETHBTC")


# one order's life


def test_a_resting_order_locks_what_it_may_cost_and_is_seen_by_every_query(trading):
    sim, trader = trading()
    placed = trader.order(newClientOrderId="rest-1")
    assert placed["status"] == "NEW"
    assert placed["fills"] == []
    assert placed["executedQty"] == "0.00000000"
    row = trader.status("rest-1")
    assert row.keys() == ROW_KEYS
    assert row["isWorking"] is True
    assert row["orderId"] == placed["orderId"]
    assert trader.ask("GET", "openOrders") == trader.ask("GET", "openOrders", symbol=BTC) == [row]
    assert trader.ask("GET", "allOrders", symbol=BTC) == [row]
    balances = {b["asset"]: b for b in trader.ask("GET", "account", omitZeroBalances="true")["balances"]}
    assert balances["USDT"] == {"asset": "USDT", "free": "999400.00000000", "locked": "600.00000000"}
    truth = sim.accounts["main"].order("rest-1")
    assert (truth.status, truth.price, truth.quantity, truth.open) == ("NEW", Decimal(60000), Decimal("0.01"), True)


def test_a_market_order_pays_what_the_book_asks_and_commission_of_what_it_gets(trading):
    sim, trader = trading()
    asks = sim.ledger.book(BTC)[1]
    placed = trader.order(type="MARKET", quantity="0.5")
    assert placed["status"] == "FILLED"
    fills = [(Decimal(f["price"]), Decimal(f["qty"])) for f in placed["fills"]]
    cost, left = Decimal(0), Decimal("0.5")
    for price, quantity in asks:
        part = min(left, quantity)
        cost, left = cost + part * price, left - part
    assert sum(quantity for _, quantity in fills) == Decimal("0.5")
    assert Decimal(placed["cummulativeQuoteQty"]) == cost == sum(p * q for p, q in fills)
    balances = sim.accounts["main"].balances()
    assert balances["USDT"].free == 1_000_000 - cost
    assert balances["BTC"].free == Decimal("10.5") - sum(Decimal(f["commission"]) for f in placed["fills"])
    assert {f["commissionAsset"] for f in placed["fills"]} == {"BTC"}
    assert all(Decimal(f["commission"]) == Decimal(f["qty"]) / 1000 for f in placed["fills"])
    assert [row["id"] for row in trader.ask("GET", "myTrades", symbol=BTC)] == [f["tradeId"] for f in placed["fills"]]


def test_a_market_order_by_cost_spends_no_more_and_leaves_less_than_one_step(trading):
    _, trader = trading()
    bought = trader.order(type="MARKET", quoteOrderQty="1000")
    spent = Decimal(bought["cummulativeQuoteQty"])
    last = Decimal(bought["fills"][-1]["price"])
    assert 1000 - last * Decimal("0.00001") < spent <= 1000
    assert bought["origQuoteOrderQty"] == "1000.00000000"
    assert bought["origQty"] == bought["executedQty"]
    sold = trader.order(type="MARKET", side="SELL", quoteOrderQty="1000")
    assert 0 < Decimal(sold["cummulativeQuoteQty"]) <= 1000
    assert sold["fills"][0]["commissionAsset"] == "USDT"


def test_immediate_or_cancel_takes_what_is_there_and_expires_the_rest(trading):
    sim, trader = trading()
    price, quantity = sim.ledger.book(BTC)[1][0]
    placed = trader.order(timeInForce="IOC", price=f"{price}", quantity=f"{quantity + 1}", newClientOrderId="ioc")
    assert placed["status"] == "EXPIRED"
    assert Decimal(placed["executedQty"]) == quantity
    assert trader.status("ioc")["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert all(balance.locked == 0 for balance in sim.accounts["main"].balances().values())


def test_fill_or_kill_takes_all_or_nothing(trading):
    sim, trader = trading()
    price, quantity = sim.ledger.book(BTC)[1][0]
    killed = trader.order(timeInForce="FOK", price=f"{price}", quantity=f"{quantity + 1}")
    assert (killed["status"], killed["executedQty"], killed["fills"]) == ("EXPIRED", "0.00000000", [])
    filled = trader.order(timeInForce="FOK", price=f"{price}", quantity=f"{quantity}")
    assert filled["status"] == "FILLED"


def test_a_market_order_larger_than_the_book_expires_with_its_fills(trading):
    sim, trader = trading()
    book = sum(quantity for _, quantity in sim.ledger.book("ETHUSDT")[0])
    sim.deposit("main", "ETH", int(book) + 1000)
    placed = trader.order(symbol="ETHUSDT", type="MARKET", side="SELL", quantity=f"{int(book) + 500}")
    assert placed["status"] == "EXPIRED"
    assert Decimal(placed["executedQty"]) == book
    assert placed["expiryReason"] == "INSUFFICIENT_LIQUIDITY"


def test_the_answer_is_as_long_as_asked_and_by_default_as_its_type_has_it(trading):
    _, trader = trading()
    ack = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    result = ack | {
        "price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce", "type",
        "side", "workingTime", "selfTradePreventionMode",
    }  # fmt: skip
    for wanted, keys in (("ACK", ack), ("RESULT", result), ("FULL", result | {"fills"})):
        assert trader.order(newOrderRespType=wanted).keys() == keys
    assert trader.order().keys() == result | {"fills"}
    assert trader.order(type="MARKET").keys() == result | {"fills"}
    assert trader.order(type="LIMIT_MAKER", price="60000").keys() == ack
    assert trader.order(type="STOP_LOSS", side="SELL", stopPrice="50000").keys() == ack


def test_a_cancel_answers_with_its_own_id_and_the_orders_beside_it(trading):
    _, trader = trading()
    trader.order(newClientOrderId="mine")
    row = trader.ask("DELETE", "order", symbol=BTC, origClientOrderId="mine", newClientOrderId="the-cancel")
    assert (row["clientOrderId"], row["origClientOrderId"], row["status"]) == ("the-cancel", "mine", "CANCELED")
    assert "workingTime" not in row
    assert trader.refused("DELETE", "order", symbol=BTC, origClientOrderId="mine") == (
        400,
        -2011,
        "Unknown order sent.",
    )
    assert trader.status("mine")["status"] == "CANCELED"


def test_a_client_id_is_unique_among_open_orders_only(trading):
    sim, trader = trading()
    first = trader.order(newClientOrderId="again")
    assert trader.rejected(newClientOrderId="again") == (400, -2010, "Duplicate order sent.")
    assert trader.rejected(symbol="ETHUSDT", quantity="1", newClientOrderId="again")[1] == -2010
    assert sim.fill("main", "again") == Decimal("0.01")
    second = trader.order(newClientOrderId="again")
    assert second["orderId"] > first["orderId"]
    assert trader.status("again")["orderId"] == second["orderId"]
    assert trader.ask("GET", "order", symbol=BTC, orderId=first["orderId"])["status"] == "FILLED"


def test_a_post_only_order_that_would_trade_is_no_order_at_all(trading):
    sim, trader = trading()
    assert trader.rejected(type="LIMIT_MAKER", price="65000") == (400, -2010, "Order would immediately match and take.")
    assert sim.accounts["main"].orders() == []


def test_the_crowd_fills_resting_orders_and_makers_pay_their_own_rate(trading, account, eventually):
    sim, trader = trading(accounts=(account(maker_rate="0.0002", taker_rate="0.0004"),))
    best = sim.ledger.book(BTC)[0][0][0]
    trader.order(price=f"{best}", quantity="0.5", newClientOrderId="resting")
    eventually(lambda: sim.step(50) and sim.accounts["main"].order("resting").status == "FILLED")
    fills = sim.accounts["main"].fills()
    assert {fill.is_maker for fill in fills} == {True}
    assert sum(fill.quantity for fill in fills) == Decimal("0.5")
    assert all(fill.price == best for fill in fills)
    assert all(abs(fill.commission - fill.quantity * Decimal("0.0002")) < Decimal("1e-8") for fill in fills)
    public = sim.ledger.trades(BTC)
    assert all(public[fill.trade_id].price == fill.price for fill in fills)


def test_commission_in_the_discount_asset_leaves_what_was_bought_whole(trading, account):
    sim, trader = trading(
        accounts=(account(discount_asset="BNB", balances={"USDT": 10**6, "BTC": 10, "BNB": 10}),),
        symbols=(BTC, "BNBUSDT"),
    )
    price = trader.last_price("BNBUSDT")
    placed = trader.order(type="MARKET", quantity="0.5")
    before = Decimal(10)
    for fill in placed["fills"]:
        value = Decimal(fill["price"]) * Decimal(fill["qty"])
        expected = (value * Decimal("0.001") * Decimal("0.75") / price).quantize(Decimal("1e-8"), rounding="ROUND_DOWN")
        assert (fill["commissionAsset"], Decimal(fill["commission"])) == ("BNB", expected)
        before -= expected
    balances = sim.accounts["main"].balances()
    assert balances["BTC"].free == Decimal("10.5")
    assert balances["BNB"].free == before
    rates = trader.ask("GET", "account/commission", symbol=BTC)
    assert rates["discount"]["enabledForAccount"] is True
    assert rates["discount"]["discount"] == "0.75000000"


# stops


def rich(sim):
    sim.deposit("other", "USDT", 10**9)
    sim.deposit("other", "BTC", 10**4)


def trade_at(other, price):
    """Let a trade happen at that price: first take away what stands between."""
    price = f"{price}"
    for side in ("BUY", "SELL"):
        other.order(side=side, timeInForce="IOC", price=price, quantity="100")
    other.order(side="SELL", price=price, quantity="0.1", selfTradePreventionMode="NONE")
    other.order(side="BUY", price=price, quantity="0.1", selfTradePreventionMode="NONE")


@pytest.mark.parametrize(
    ("side", "kind", "stop", "moves"),
    [
        ("SELL", "STOP_LOSS", "63000", "down"),
        ("BUY", "STOP_LOSS", "65000", "up"),
        ("SELL", "TAKE_PROFIT", "65000", "up"),
        ("BUY", "TAKE_PROFIT", "63000", "down"),
    ],
)
def test_a_stop_waits_off_the_book_until_its_price_has_traded(trading, side, kind, stop, moves):
    sim, trader, other = trading("main", "other")
    rich(sim)
    trader.order(type=kind, side=side, stopPrice=stop, quantity="0.02", newClientOrderId="stop")
    waiting = trader.status("stop")
    assert (waiting["status"], waiting["isWorking"], waiting["workingTime"]) == ("NEW", False, -1)
    assert Decimal(waiting["stopPrice"]) == Decimal(stop)
    other.order(side="SELL", price="65100", quantity="1", newClientOrderId="offer")
    other.order(side="BUY", price="62900", quantity="1", newClientOrderId="bid")
    trade_at(other, Decimal(stop) + (Decimal("0.01") if moves == "down" else -Decimal("0.01")))
    assert trader.status("stop")["isWorking"] is False
    trade_at(other, stop)
    row = trader.status("stop")
    assert (row["status"], row["isWorking"]) == ("FILLED", True)
    if kind == "STOP_LOSS":  # the way to its price has emptied the book on that side
        assert sim.accounts["main"].fills()[-1].price == (65100 if side == "BUY" else 62900)


def test_a_stop_limit_goes_to_the_book_at_its_limit_when_triggered(trading):
    sim, trader, other = trading("main", "other")
    trader.order(type="TAKE_PROFIT_LIMIT", side="SELL", stopPrice="64500", price="66000", newClientOrderId="tp")
    rich(sim)
    trade_at(other, "64499.99")
    assert trader.status("tp")["isWorking"] is False
    trade_at(other, "64500")
    row = trader.status("tp")
    assert (row["status"], row["isWorking"]) == ("NEW", True)
    assert (Decimal(66000), Decimal("0.01")) in sim.ledger.book(BTC)[1]


def test_a_stop_that_would_trigger_at_once_is_refused(trading):
    _, trader = trading()
    refused = (400, -2010, "Order would trigger immediately.")
    assert trader.rejected(type="STOP_LOSS", side="SELL", stopPrice="65000") == refused
    assert trader.rejected(type="TAKE_PROFIT", side="SELL", stopPrice="63000") == refused
    assert trader.rejected(type="STOP_LOSS_LIMIT", side="BUY", stopPrice="63000", price="63000") == refused
    assert trader.rejected(type="TAKE_PROFIT_LIMIT", side="BUY", stopPrice="65000", price="63000") == refused


def test_a_trailing_stop_follows_the_price_and_triggers_when_it_turns(trading):
    sim, trader, other = trading("main", "other")
    rich(sim)
    trader.order(type="STOP_LOSS", side="SELL", trailingDelta="100", newClientOrderId="trail")  # one per cent below
    trade_at(other, "65000")
    trade_at(other, "66000")
    trade_at(other, "65400")  # 0.9 % below the highest
    assert trader.status("trail")["isWorking"] is False
    trade_at(other, "65340.01")
    assert trader.status("trail")["isWorking"] is False
    other.order(side="BUY", price="65300", quantity="1", newClientOrderId="bid")
    trade_at(other, "65340")  # one per cent
    row = trader.status("trail")
    assert (row["status"], row["trailingDelta"]) == ("FILLED", 100)
    assert sim.accounts["main"].fills()[-1].price == 65300


# icebergs and amends


def test_an_iceberg_shows_a_part_at_a_time(trading):
    sim, trader = trading()
    trader.order(price="60000", quantity="0.1", icebergQty="0.03", newClientOrderId="ice")
    level = lambda: dict(sim.ledger.book(BTC)[0]).get(Decimal(60000))  # noqa: E731
    assert level() == Decimal("0.03")
    sim.fill("main", "ice", "0.03")
    assert level() == Decimal("0.03")
    sim.fill("main", "ice", "0.06")
    assert level() == Decimal("0.01")
    row = trader.status("ice")
    assert (row["icebergQty"], row["executedQty"], row["status"]) == ("0.03000000", "0.09000000", "PARTIALLY_FILLED")


def test_an_amend_makes_an_order_smaller_under_a_new_id_and_keeps_its_number(trading):
    sim, trader = trading()
    placed = trader.order(quantity="0.1", newClientOrderId="a")
    sim.fill("main", "a", "0.02")
    changed = trader.ask(
        "PUT", "order/amend/keepPriority", symbol=BTC, origClientOrderId="a", newQty="0.05", newClientOrderId="b"
    )
    row = changed["amendedOrder"]
    assert (row["orderId"], row["origClientOrderId"], row["clientOrderId"]) == (placed["orderId"], "a", "b")
    assert (row["qty"], row["executedQty"], row["cumulativeQuoteQty"]) == ("0.05000000", "0.02000000", "1200.00000000")
    assert sim.accounts["main"].balances()["USDT"].locked == 60000 * Decimal("0.03")
    assert trader.refused("GET", "order", symbol=BTC, origClientOrderId="a")[1] == -2013
    history = trader.ask("GET", "order/amendments", symbol=BTC, orderId=placed["orderId"])
    assert [(h["origQty"], h["newQty"], h["executionId"]) for h in history] == [
        ("0.10000000", "0.05000000", changed["executionId"])
    ]
    amend = {"symbol": BTC, "origClientOrderId": "b"}
    same = trader.refused("PUT", "order/amend/keepPriority", **amend, newQty="0.05")
    assert same[1:] == (-2038, "The requested action would change no state; rejecting.")
    more = trader.refused("PUT", "order/amend/keepPriority", **amend, newQty="0.06")
    assert more[1:] == (-2038, "Order amend (quantity increase) is not supported.")
    ended = trader.ask("PUT", "order/amend/keepPriority", **amend, newQty="0.02")
    assert ended["amendedOrder"]["status"] == "CANCELED"
    assert trader.refused("PUT", "order/amend/keepPriority", **amend, newQty="0.01")[1] == -2038


def test_an_order_can_be_amended_so_many_times_only(trading):
    _, trader = trading(symbols=with_filters({"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 2}))
    ident = trader.order(quantity="0.1")["orderId"]
    for quantity in ("0.09", "0.08"):
        trader.ask("PUT", "order/amend/keepPriority", symbol=BTC, orderId=ident, newQty=quantity)
    refused = trader.refused("PUT", "order/amend/keepPriority", symbol=BTC, orderId=ident, newQty="0.07")
    assert refused == (400, -2038, "Filter failure: MAX_NUM_ORDER_AMENDS")


# refusals


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
        ({"symbol": "btcusdt"}, -1100, "Illegal characters found in parameter 'symbol'"),
        ({"symbol": "NOSUCH"}, -1121, "Invalid symbol."),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "GUESS"}, -1116, "Invalid orderType."),
        ({"timeInForce": "LATER"}, -1115, "Invalid timeInForce."),
        ({"quantity": "1e-5"}, -1100, "Illegal characters found in parameter 'quantity'; legal range is"),
        ({"quantity": "-1"}, -1100, "'quantity'"),
        ({"quantity": "0.000000001"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"quantity": "0"}, -1013, "Invalid quantity."),
        ({"price": "0"}, -1013, "Invalid price."),
        ({"newClientOrderId": "has space"}, -1100, "^[a-zA-Z0-9-_]{1,36}$"),
        ({"newClientOrderId": "x" * 37}, -1100, "'newClientOrderId'"),
        ({"newClientOrderId": ""}, -1105, "Parameter 'newClientOrderId' was empty."),
        ({"newOrderRespType": "ALL"}, -1130, "newOrderRespType"),
        ({"selfTradePreventionMode": "MAYBE"}, -1130, "selfTradePreventionMode"),
        ({"stopPrice": "50000"}, -1106, "Parameter 'stopPrice' sent when not required."),
        ({"strategyType": "5"}, -1134, "strategyType"),
        ({"colour": "red"}, -1101, "Too many parameters; expected '8' and received '9'."),
        ({"icebergQty": "0.001", "timeInForce": "IOC"}, -1013, "GTC"),
        ({"type": "MARKET", "price": "1"}, -1106, "'price'"),
        ({"type": "MARKET", "timeInForce": "GTC"}, -1114, "TimeInForce parameter sent when not required."),
        (
            {"type": "MARKET", "quantity": "1", "quoteOrderQty": "5"},
            -1128,
            "Combination of optional parameters invalid.",
        ),
        ({"type": "STOP_LOSS"}, -1102, "Mandatory parameter 'stopPrice'"),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "50000"}, -1102, "Mandatory parameter 'price'"),
        ({"type": "LIMIT_MAKER"}, -1102, "Mandatory parameter 'price'"),
        ({"pegPriceType": "PRIMARY_PEG"}, -1020, "not supported"),
    ],
)
def test_a_malformed_order_is_refused_in_the_venues_words(trading, params, code, text):
    sim, trader = trading()
    status, refused, message = trader.rejected(**params)
    assert (status, refused) == (400, code), message
    assert text in message
    assert sim.accounts["main"].orders() == []


@pytest.mark.parametrize("missing", ["symbol", "side", "type", "timeInForce", "quantity", "price"])
def test_what_a_limit_order_needs_must_be_there(trading, missing):
    _, trader = trading()
    params = trader.place()
    del params[missing]
    text = f"Mandatory parameter '{missing}' was not sent, was empty/null, or malformed."
    assert trader.refused("POST", "order", **params) == (400, -1102, text)


FILTERS = [
    ({"price": "60000.001"}, "PRICE_FILTER", -1013),
    ({"price": "99999999"}, "PRICE_FILTER", -1013),
    ({"price": "12000"}, "PERCENT_PRICE_BY_SIDE", -1013),
    ({"side": "SELL", "price": "400000"}, "PERCENT_PRICE_BY_SIDE", -1013),
    ({"quantity": "0.000015"}, "LOT_SIZE", -1013),
    ({"quantity": "9999999"}, "LOT_SIZE", -1013),
    ({"type": "MARKET", "quantity": "9000.1"}, "MARKET_LOT_SIZE", -1013),
    ({"quantity": "0.00008"}, "NOTIONAL", -1013),
    ({"type": "MARKET", "quantity": "0.00007"}, "NOTIONAL", -1013),
    ({"type": "MARKET", "quoteOrderQty": "4.99"}, "NOTIONAL", -1013),
    ({"quantity": "200", "price": "60000"}, "NOTIONAL", -1013),
    ({"quantity": "1.01", "icebergQty": "0.01"}, "ICEBERG_PARTS", -1013),
    ({"type": "STOP_LOSS", "side": "SELL", "trailingDelta": "9"}, "TRAILING_DELTA", -1013),
    ({"type": "STOP_LOSS", "side": "SELL", "trailingDelta": "2001"}, "TRAILING_DELTA", -1013),
    ({"type": "STOP_LOSS", "side": "SELL", "stopPrice": "50000.001"}, "PRICE_FILTER", -1013),
]


@pytest.mark.parametrize(("params", "name", "code"), FILTERS)
def test_every_filter_is_checked(trading, params, name, code):
    sim, trader = trading()
    assert trader.rejected(**params) == (400, code, f"Filter failure: {name}")
    assert trader.refused("POST", "order/test", **trader.place(**params)) == (400, code, f"Filter failure: {name}")
    assert sim.accounts["main"].orders() == []


@pytest.mark.parametrize(
    ("row", "orders"),
    [
        ({"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 2}, [{}, {}, {}]),
        (
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 1},
            [{}, {}, *[{"type": "STOP_LOSS", "side": "SELL", "stopPrice": "50000"}] * 2],
        ),
        ({"filterType": "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": 1}, [{"icebergQty": "0.005"}] * 2),
        ({"filterType": "MAX_POSITION", "maxPosition": "10.02"}, [{}, {}, {}]),
    ],
)
def test_what_the_engine_counts_is_refused_as_2010(trading, row, orders):
    _, trader = trading(symbols=with_filters(row))
    for params in orders[:-1]:
        trader.order(**params)
    assert trader.rejected(**orders[-1]) == (400, -2010, f"Filter failure: {row['filterType']}")


def test_filters_over_all_symbols_and_per_asset(trading):
    _, trader = trading(exchange_filters=({"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 2},))
    trader.order()
    trader.order(symbol="ETHUSDT", quantity="1")
    assert trader.rejected()[1:] == (-2010, "Filter failure: EXCHANGE_MAX_NUM_ORDERS")
    assert trader.rest("/api/v3/exchangeInfo").json["exchangeFilters"] == [
        {"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 2}
    ]
    hidden = {"filterType": "MAX_ASSET", "asset": "BTC", "limit": "0.5"}
    _, trader = trading(symbols=with_filters(hidden))
    assert trader.rejected(quantity="0.6")[1:] == (-1013, "Filter failure: MAX_ASSET")
    assert hidden not in trader.rest("/api/v3/exchangeInfo", symbol=BTC).json["symbols"][0]["filters"]
    assert trader.ask("GET", "myFilters", symbol=BTC)["assetFilters"] == [hidden]


def test_min_notional_and_percent_price_exist_too(trading):
    _, trader = trading(
        symbols=with_filters(
            {"filterType": "MIN_NOTIONAL", "minNotional": "100", "applyToMarket": False, "avgPriceMins": 5},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.1", "multiplierDown": "0.9", "avgPriceMins": 0},
        )
    )
    assert trader.rejected(quantity="0.001")[2] == "Filter failure: MIN_NOTIONAL"
    trader.order(type="MARKET", quantity="0.001")
    assert trader.rejected(price="57000")[2] == "Filter failure: PERCENT_PRICE"


def test_more_than_there_is_cannot_be_spent_or_sold(trading):
    sim, trader = trading()
    poor = (400, -2010, "Account has insufficient balance for requested action.")
    assert trader.rejected(quantity="17") == poor
    assert trader.rejected(side="SELL", price="70000", quantity="10.00001") == poor
    assert trader.rejected(type="MARKET", side="SELL", quantity="10.00001") == poor
    assert trader.rejected(symbol="ETHBTC", price="0.05", quantity="201") == poor
    trader.order(side="SELL", price="70000", quantity="10")
    assert trader.rejected(type="MARKET", side="SELL", quantity="0.001") == poor
    assert sim.accounts["main"].balances()["BTC"].free == 0


def test_a_halted_symbol_takes_no_orders_and_an_account_without_rights_none_at_all(trading, account):
    sim, trader, blind = trading(accounts=(account(), account("blind", can_trade=False)))
    sim.faults.symbol_status(BTC, "HALT")
    assert trader.rejected() == (400, -2010, "Market is closed.")
    assert blind.rejected(symbol="ETHUSDT", quantity="1") == (400, -2010, "This action is disabled on this account.")


def test_a_test_order_is_checked_and_never_placed(trading):
    sim, trader = trading()
    assert trader.ask("POST", "order/test", **trader.place()) == {}
    rates = trader.ask("POST", "order/test", **trader.place(), computeCommissionRates="true")
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert sim.accounts["main"].orders() == []
    assert [r.weight for r in sim.ledger.requests()] == [1, 20]


# what it costs


def test_an_order_costs_nothing_when_it_succeeds_and_its_weight_when_it_fails(trading):
    sim, trader = trading()
    ident = trader.order()["orderId"]
    trader.ask("PUT", "order/amend/keepPriority", symbol=BTC, orderId=ident, newQty="0.005")
    trader.ask("DELETE", "order", symbol=BTC, orderId=ident)
    trader.refused("DELETE", "order", symbol=BTC, orderId=ident)
    trader.refused("PUT", "order/amend/keepPriority", symbol=BTC, orderId=ident, newQty="0.001")
    trader.rejected(quantity="0")
    assert [r.weight for r in sim.ledger.requests()] == [0, 0, 0, 1, 4, 1]
    assert trader.call("GET", "openOrders").headers["X-MBX-USED-WEIGHT-1M"] == str(1 + 4 + 1 + 80)


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("account", {}, 20),
        ("account/commission", {"symbol": BTC}, 20),
        ("order", {"symbol": BTC, "orderId": 4400001}, 4),
        ("openOrders", {"symbol": BTC}, 6),
        ("openOrders", {}, 80),
        ("allOrders", {"symbol": BTC}, 20),
        ("myTrades", {"symbol": BTC}, 20),
        ("myTrades", {"symbol": BTC, "orderId": 4400001}, 5),
        ("rateLimit/order", {}, 40),
        ("openOrderList", {}, 6),
        ("allOrderList", {}, 20),
        ("order/amendments", {"symbol": BTC, "orderId": 4400001}, 4),
        ("myPreventedMatches", {"symbol": BTC, "orderId": 4400001}, 20),
        ("myPreventedMatches", {"symbol": BTC, "preventedMatchId": 1}, 2),
        ("myAllocations", {"symbol": BTC}, 20),
        ("myFilters", {"symbol": BTC}, 40),
    ],
)
def test_a_query_costs_its_documented_weight(trading, path, params, weight):
    sim, trader = trading()
    trader.order()
    trader.ask("GET", path, **params)
    assert sim.ledger.requests()[-1].weight == weight


def test_orders_are_counted_per_account_and_too_many_are_1015_with_a_time(trading, hand_clock):
    _, trader, other = trading("main", "other", orders_per_10s=3, orders_per_day=4)
    for count in (1, 2, 3):
        headers = trader.call("POST", "order", **trader.place()).headers
        assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1D"]) == (str(count), str(count))
    answer = trader.call("POST", "order", **trader.place())
    assert (answer.status, answer.json["code"]) == (429, -1015)
    assert answer.json["msg"] == "Too many new orders; current limit is 3 orders per 10 SECOND."
    assert 1 <= int(answer.headers["Retry-After"]) <= 11
    assert other.call("POST", "order", **other.place()).status == 200
    hand_clock.advance(10)
    trader.order()
    hand_clock.advance(10)
    answer = trader.call("POST", "order", **trader.place())
    assert answer.json["msg"] == "Too many new orders; current limit is 4 orders per 1 DAY."
    assert int(answer.headers["Retry-After"]) > 60
    rows = trader.ask("GET", "rateLimit/order")
    assert [(r["interval"], r["intervalNum"], r["limit"], r["count"]) for r in rows] == [
        ("SECOND", 10, 3, 0),
        ("DAY", 1, 4, 4),
    ]


def test_a_first_fill_gives_counts_back_and_a_refused_order_takes_none(trading):
    _, trader = trading()
    trader.order()
    count = lambda: trader.ask("GET", "rateLimit/order")[0]["count"]  # noqa: E731
    assert count() == 1
    trader.order(type="MARKET")
    assert count() == 1
    trader.rejected(type="LIMIT_MAKER", price="70000")
    trader.rejected(quantity="17")
    assert count() == 1


# queries


def test_an_order_is_named_by_one_id_or_by_two_that_belong_together(trading):
    _, trader = trading()
    first = trader.order(newClientOrderId="one")["orderId"]
    trader.order(newClientOrderId="two")
    assert trader.ask("GET", "order", symbol=BTC, orderId=first, origClientOrderId="one")["orderId"] == first
    assert trader.refused("GET", "order", symbol=BTC, orderId=first, origClientOrderId="two")[1] == -2039
    assert trader.refused("GET", "order", symbol=BTC)[1] == -1102
    assert trader.refused("GET", "order", symbol=BTC, orderId=99) == (400, -2013, "Order does not exist.")
    assert trader.refused("GET", "order", symbol="ETHUSDT", origClientOrderId="one")[1] == -2013


def test_one_customer_never_sees_another_ones_orders(trading):
    _, trader, other = trading("main", "other")
    ident = trader.order(newClientOrderId="mine")["orderId"]
    assert other.refused("GET", "order", symbol=BTC, orderId=ident)[1] == -2013
    assert other.refused("DELETE", "order", symbol=BTC, orderId=ident)[1] == -2011
    assert other.ask("GET", "openOrders") == other.ask("GET", "allOrders", symbol=BTC) == []
    other.order(newClientOrderId="mine")


def test_trades_are_asked_in_the_documented_ways_only(trading, hand_clock):
    _, trader = trading()
    orders = []
    for _ in range(4):
        orders.append(trader.order(type="MARKET", quantity="0.3"))
        hand_clock.advance(60)
    now, start = trader.now_ms(), trader.now_ms() - 240_000
    every = trader.ask("GET", "myTrades", symbol=BTC)
    ids = [row["id"] for row in every]
    assert ids == sorted(ids)
    assert [row["orderId"] for row in every] == sorted(row["orderId"] for row in every)

    def asked(**params):
        return [row["id"] for row in trader.ask("GET", "myTrades", symbol=BTC, **params)]

    second = [row["id"] for row in every if row["orderId"] == orders[1]["orderId"]]
    assert asked(orderId=orders[1]["orderId"]) == second
    assert asked(orderId=orders[1]["orderId"], fromId=second[-1]) == second[-1:]
    assert asked(fromId=ids[3]) == ids[3:]
    assert asked(fromId=ids[1], limit=2) == ids[1:3]
    assert asked(limit=2) == ids[-2:]
    assert asked(startTime=start + 60_000) == ids[len(orders[0]["fills"]) :]
    assert asked(endTime=start + 59_999) == ids[: len(orders[0]["fills"])]
    assert asked(startTime=start + 60_000, endTime=start + 60_000) == second
    assert asked(startTime=now - 86_400_000, endTime=now) == ids
    assert trader.refused("GET", "myTrades", symbol=BTC, startTime=now - 86_400_001, endTime=now)[1] == -1127
    assert trader.refused("GET", "myTrades", symbol=BTC, startTime=now, endTime=now - 1)[1] == -1127
    for wrong in (
        {"fromId": 1, "startTime": start},
        {"fromId": 1, "endTime": start},
        {"orderId": 1, "startTime": start},
        {"orderId": 1, "fromId": 1, "endTime": start},
    ):
        assert trader.refused("GET", "myTrades", symbol=BTC, **wrong)[1] == -1128


def test_an_end_in_milliseconds_takes_its_whole_millisecond_in(trading, hand_clock):
    _, trader = trading()
    hand_clock.advance(0.0005)
    placed = trader.order(type="MARKET")
    now_us, now = trader.sim.now_ns() // 1000, trader.now_ms()
    assert now_us % 1000 == 500

    def seen(**times):
        fills = trader.ask("GET", "myTrades", symbol=BTC, **times)
        assert len(fills) in (0, len(placed["fills"]))
        return bool(fills)

    assert seen(startTime=now, endTime=now)
    assert not seen(endTime=now - 1)
    assert seen(endTime=now_us)
    assert not seen(endTime=now_us - 1)


def test_all_orders_are_paged_by_id_and_by_time(trading, hand_clock):
    _, trader = trading()
    idents = []
    for _ in range(5):
        idents.append(trader.order()["orderId"])
        hand_clock.advance(30)
    now = trader.now_ms()

    def asked(**params):
        return [row["orderId"] for row in trader.ask("GET", "allOrders", symbol=BTC, **params)]

    assert asked() == idents
    assert asked(limit=2) == idents[-2:]
    assert asked(orderId=idents[2], limit=2) == idents[2:4]
    assert asked(startTime=now - 120_000, endTime=now - 90_000) == idents[1:3]
    assert trader.refused("GET", "allOrders", symbol=BTC, startTime=0, endTime=now)[1] == -1127


def test_the_account_shows_zero_balances_unless_told_not_to(trading):
    _, trader = trading(symbols=(BTC, "SOLUSDT"))
    every = {row["asset"] for row in trader.ask("GET", "account")["balances"]}
    assert every == {"BTC", "ETH", "SOL", "USDT"}
    some = {row["asset"] for row in trader.ask("GET", "account", omitZeroBalances="true")["balances"]}
    assert some == {"BTC", "ETH", "USDT"}


def test_times_are_in_microseconds_for_who_asks_so(trading):
    _, trader = trading()
    answer = trader.rest(
        f"/api/v3/order?{trader.query(trader.place())}",
        {"X-MBX-APIKEY": trader.key, "X-MBX-TIME-UNIT": "MICROSECOND"},
        "POST",
    )
    assert answer.json["transactTime"] == trader.sim.now_ns() // 1000


def test_the_old_user_stream_is_gone(trading):
    _, trader = trading()
    assert trader.rest("/api/v3/userDataStream", {"X-MBX-APIKEY": trader.key}, "POST").status == 410


# cancel everything, cancel restrictions, cancel-replace


def test_cancel_all_takes_one_symbols_orders_and_lists(trading):
    _, trader = trading()
    trader.order(newClientOrderId="a")
    trader.order(symbol="ETHUSDT", quantity="1", newClientOrderId="eth")
    trader.ask("POST", "orderList/oco", **OCO)
    rows = trader.ask("DELETE", "openOrders", symbol=BTC)
    assert [row.get("origClientOrderId", row.get("contingencyType")) for row in rows] == ["a", "OCO"]
    assert [row["clientOrderId"] for row in trader.ask("GET", "openOrders")] == ["eth"]
    assert trader.refused("DELETE", "openOrders", symbol=BTC) == (400, -2011, "Unknown order sent.")


def test_a_cancel_can_be_limited_to_untouched_or_to_begun_orders(trading):
    sim, trader = trading()
    trader.order(newClientOrderId="x")
    wrong = (400, -2011, "Order was not canceled due to cancel restrictions.")
    cancel = {"symbol": BTC, "origClientOrderId": "x"}
    assert trader.refused("DELETE", "order", **cancel, cancelRestrictions="ONLY_PARTIALLY_FILLED") == wrong
    sim.fill("main", "x", "0.005")
    assert trader.refused("DELETE", "order", **cancel, cancelRestrictions="ONLY_NEW") == wrong
    assert trader.refused("DELETE", "order", **cancel, cancelRestrictions="NONE")[1] == -1145
    row = trader.ask("DELETE", "order", **cancel, cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert (row["status"], row["executedQty"]) == ("CANCELED", "0.00500000")


def replace(trader, mode, cancel="old", **params):
    return trader.call(
        "POST",
        "order/cancelReplace",
        cancelReplaceMode=mode,
        cancelOrigClientOrderId=cancel,
        **trader.place(**{"newClientOrderId": "new"} | params),
    )


@pytest.mark.parametrize(
    ("mode", "cancel", "quantity", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", "old", "0.01", 200, None, ("SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", "gone", "0.01", 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("STOP_ON_FAILURE", "old", "50", 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "gone", "0.01", 409, -2021, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", "old", "50", 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "gone", "50", 400, -2022, ("FAILURE", "FAILURE")),
    ],
)
def test_a_replacement_tells_what_became_of_each_half(trading, mode, cancel, quantity, status, code, results):
    _, trader = trading()
    trader.order(newClientOrderId="old")
    answer = replace(trader, mode, cancel, quantity=quantity)
    body = answer.json if code is None else answer.json["data"]
    assert (answer.status, answer.json.get("code")) == (status, code)
    assert (body["cancelResult"], body["newOrderResult"]) == results
    assert (trader.status("old")["status"] == "CANCELED") == (results[0] == "SUCCESS")
    if results[0] == "FAILURE":
        assert body["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
    if results[1] == "NOT_ATTEMPTED":
        assert body["newOrderResponse"] is None
    elif results[1] == "FAILURE":
        assert body["newOrderResponse"]["code"] == -2010
    else:
        assert trader.status("new")["status"] == "NEW"


def test_a_replacement_beyond_the_order_count_does_nothing_or_cancels_only(trading):
    _, trader = trading(orders_per_10s=1)
    trader.order(newClientOrderId="old")
    answer = replace(trader, "STOP_ON_FAILURE")
    assert (answer.status, answer.json["code"]) == (429, -1015)
    assert trader.status("old")["status"] == "NEW"
    answer = replace(trader, "STOP_ON_FAILURE", orderRateLimitExceededMode="CANCEL_ONLY")
    assert (answer.status, answer.json["code"]) == (429, -2021)
    assert answer.json["data"]["cancelResult"] == "SUCCESS"
    assert trader.status("old")["status"] == "CANCELED"
    answer = replace(trader, "ALLOW_FAILURE", orderRateLimitExceededMode="CANCEL_ONLY")
    assert (answer.status, answer.json["code"]) == (400, -2022)


# lists

OCO = {
    "symbol": BTC,
    "side": "SELL",
    "quantity": "0.5",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "66000",
    "aboveClientOrderId": "above",
    "belowType": "STOP_LOSS",
    "belowStopPrice": "62000",
    "belowClientOrderId": "below",
    "listClientOrderId": "both",
}


def test_an_oco_locks_its_quantity_once_and_a_fill_of_one_leg_ends_the_other(trading):
    sim, trader = trading()
    bundle = trader.ask("POST", "orderList/oco", **OCO)
    assert (bundle["contingencyType"], bundle["listOrderStatus"]) == ("OCO", "EXECUTING")
    assert [report["orderListId"] for report in bundle["orderReports"]] == [bundle["orderListId"]] * 2
    assert sim.accounts["main"].balances()["BTC"].locked == Decimal("0.5")
    assert trader.ask("GET", "rateLimit/order")[0]["count"] == 2
    sim.fill("main", "above", "0.2")
    assert trader.status("below")["status"] == "EXPIRED"
    assert trader.status("below")["expiryReason"] == "OCO_TRIGGER"
    assert sim.accounts["main"].balances()["BTC"].locked == Decimal("0.3")
    assert trader.ask("GET", "openOrderList")[0]["orderListId"] == bundle["orderListId"]
    sim.fill("main", "above")
    done = trader.ask("GET", "orderList", origClientOrderId="both")
    assert (done["listStatusType"], done["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert trader.ask("GET", "openOrderList") == []
    assert sim.accounts["main"].balances()["BTC"].locked == 0


def test_cancelling_one_leg_cancels_the_list(trading):
    sim, trader = trading()
    trader.ask("POST", "orderList/oco", **OCO)
    row = trader.ask("DELETE", "order", symbol=BTC, origClientOrderId="below")
    assert {report["status"] for report in row["orderReports"]} == {"CANCELED"}
    assert row["listOrderStatus"] == "ALL_DONE"
    trader.ask("POST", "orderList/oco", **OCO)
    row = trader.ask("DELETE", "orderList", symbol=BTC, listClientOrderId="both")
    assert len(row["orderReports"]) == 2
    assert trader.refused("DELETE", "orderList", symbol=BTC, listClientOrderId="both")[1] == -2011
    assert sim.accounts["main"].balances()["BTC"].locked == 0
    assert len(trader.ask("GET", "allOrderList")) == 2


def test_an_oco_needs_one_leg_on_each_side_of_the_market(trading):
    _, trader = trading()
    wrong = (400, -2010, "The relationship of the prices for the orders is not correct.")
    assert trader.refused("POST", "orderList/oco", **OCO | {"belowStopPrice": "65000"}) == wrong
    assert trader.refused("POST", "orderList/oco", **OCO | {"abovePrice": "63000"}) == wrong
    buying = OCO | {"side": "BUY"}
    assert trader.refused("POST", "orderList/oco", **buying) == wrong
    assert trader.refused("POST", "orderList/oco", **OCO | {"belowClientOrderId": "above"})[1] == -2010
    assert trader.refused("POST", "orderList/oco", **OCO | {"quantity": "11"})[2].startswith("Account has insufficient")
    assert trader.ask("GET", "openOrders") == []


def test_a_leg_made_smaller_leaves_enough_locked_for_the_other(trading):
    sim, trader = trading()
    trader.ask("POST", "orderList/oco", **OCO | {"quantity": "8"})
    amend = {"symbol": BTC, "origClientOrderId": "above", "newQty": "1", "newClientOrderId": "smaller"}
    assert trader.ask("PUT", "order/amend/keepPriority", **amend)["listStatus"]["contingencyType"] == "OCO"
    assert sim.accounts["main"].balances()["BTC"].locked == 8
    assert trader.rejected(side="SELL", price="70000", quantity="3")[2].startswith("Account has insufficient")
    sim.fill("main", "smaller")
    assert sim.accounts["main"].balances()["BTC"].locked == 0


@pytest.mark.parametrize("path", ["orderList/opo", "orderList/opoco", "sor/order"])
def test_what_is_not_offered_says_so(trading, path):
    _, trader = trading()
    assert trader.refused("POST", path) == (400, -1020, "This operation is not supported.")


OTO = {
    "symbol": BTC,
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "60000",
    "workingQuantity": "0.1",
    "workingTimeInForce": "GTC",
    "workingClientOrderId": "first",
    "pendingSide": "SELL",
    "pendingQuantity": "0.09",
}
THEN = {"pendingType": "LIMIT", "pendingPrice": "66000", "pendingTimeInForce": "GTC", "pendingClientOrderId": "then"}


def test_the_second_order_of_an_oto_comes_to_life_when_the_first_is_filled(trading):
    sim, trader = trading()
    trader.ask("POST", "orderList/oto", **OTO, **THEN)
    pending = trader.status("then")
    assert (pending["status"], pending["isWorking"]) == ("PENDING_NEW", False)
    assert sim.accounts["main"].balances()["BTC"].locked == 0
    sim.fill("main", "first", "0.04")
    assert trader.status("then")["status"] == "PENDING_NEW"
    sim.fill("main", "first")
    assert trader.status("then")["status"] == "NEW"
    assert sim.accounts["main"].balances()["BTC"].locked == Decimal("0.09")
    sim.fill("main", "then")
    assert trader.ask("GET", "orderList", orderListId=1)["listOrderStatus"] == "ALL_DONE"


def test_the_second_order_of_an_oto_ends_with_the_first(trading):
    sim, trader = trading()
    trader.ask("POST", "orderList/oto", **OTO, **THEN)
    sim.expire("main", "first")
    assert trader.status("then")["expiryReason"] == "OTO_PHASE_ONE_EXPIRED"
    trader.ask("POST", "orderList/oto", **OTO, **THEN)
    trader.ask("DELETE", "order", symbol=BTC, origClientOrderId="first")
    assert trader.status("then")["status"] == "CANCELED"
    assert sim.accounts["main"].balances()["USDT"].locked == 0


def test_an_otoco_brings_two_legs_to_life_that_exclude_each_other(trading):
    sim, trader = trading()
    bundle = trader.ask(
        "POST",
        "orderList/otoco",
        **OTO,
        pendingAboveType="LIMIT_MAKER",
        pendingAbovePrice="66000",
        pendingAboveClientOrderId="above",
        pendingBelowType="STOP_LOSS_LIMIT",
        pendingBelowStopPrice="59000",
        pendingBelowPrice="58900",
        pendingBelowTimeInForce="GTC",
        pendingBelowClientOrderId="below",
    )
    assert (bundle["contingencyType"], len(bundle["orders"])) == ("OTO", 3)
    sim.fill("main", "first")
    assert [trader.status(ident)["status"] for ident in ("above", "below")] == ["NEW", "NEW"]
    assert sim.accounts["main"].balances()["BTC"].locked == Decimal("0.09")
    sim.fill("main", "above")
    assert trader.status("below")["status"] == "EXPIRED"
    assert trader.ask("GET", "orderList", orderListId=bundle["orderListId"])["listOrderStatus"] == "ALL_DONE"
    assert all(balance.locked == 0 for balance in sim.accounts["main"].balances().values())


# self-trade prevention


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("NONE", ("FILLED", "0.01"), ("FILLED", "0.01")),
        ("EXPIRE_MAKER", ("EXPIRED_IN_MATCH", "0.00"), ("NEW", "0.00")),
        ("EXPIRE_TAKER", ("NEW", "0.00"), ("EXPIRED_IN_MATCH", "0.00")),
        ("EXPIRE_BOTH", ("EXPIRED_IN_MATCH", "0.00"), ("EXPIRED_IN_MATCH", "0.00")),
        ("DECREMENT", ("EXPIRED_IN_MATCH", "0.00"), ("EXPIRED_IN_MATCH", "0.00")),
    ],
)
def test_the_takers_mode_decides_what_happens_between_orders_of_one_account(trading, mode, maker, taker):
    sim, trader = trading()
    bid, ask = (side[0][0] for side in sim.ledger.book(BTC))
    sim.deposit("main", "USDT", 10**9)
    trader.order(side="BUY", timeInForce="IOC", price=f"{ask + 500}", quantity="100")  # make room between the sides
    price = f"{bid + 300}"
    trader.order(side="SELL", price=price, newClientOrderId="maker")
    trader.order(side="BUY", price=price, newClientOrderId="taker", selfTradePreventionMode=mode)
    rows = [trader.status(ident) for ident in ("maker", "taker")]
    assert [(row["status"], f"{Decimal(row['executedQty']):.2f}") for row in rows] == [maker, taker]
    matches = trader.ask("GET", "myPreventedMatches", symbol=BTC, orderId=rows[1]["orderId"])
    assert len(matches) == (mode != "NONE")
    if matches:
        assert (matches[0]["makerOrderId"], matches[0]["selfTradePreventionMode"]) == (rows[0]["orderId"], mode)
    locked = sum(row["status"] == "NEW" for row in rows)
    assert sum(balance.locked > 0 for balance in sim.accounts["main"].balances().values()) == locked


def test_two_accounts_trade_with_each_other_whatever_their_mode(trading):
    sim, one, two = trading("main", "other")
    sim.deposit("main", "USDT", 10**9)
    ask = sim.ledger.book(BTC)[1][0][0]
    one.order(side="BUY", timeInForce="IOC", price=f"{ask + 500}", quantity="100")
    one.order(side="SELL", price=f"{ask + 300}", newClientOrderId="maker")
    taken = two.order(side="BUY", price=f"{ask + 300}", newClientOrderId="taker")
    assert (taken["status"], one.status("maker")["status"]) == ("FILLED", "FILLED")
    sold, bought = sim.accounts["main"].fills()[-1], sim.accounts["other"].fills()[-1]
    assert (sold.trade_id, sold.is_maker, bought.is_maker) == (bought.trade_id, True, False)


# from outside


def test_money_comes_and_goes_but_not_below_nothing(trading):
    sim, trader = trading()
    sim.deposit("main", "USDT", "-1000.5")
    assert sim.accounts["main"].balances()["USDT"].free == Decimal("998999.5")
    with pytest.raises(ValueError, match="less than"):
        sim.deposit("main", "BTC", "-11")
    with pytest.raises(LookupError, match="no order"):
        sim.fill("main", "none")
    trader.order(newClientOrderId="x")
    sim.expire("main", "x")
    assert trader.status("x")["expiryReason"] == "EXCHANGE_CANCELED"
    assert sim.fill("main", "x") == 0
    with pytest.raises(LookupError, match="EXPIRED already"):
        sim.expire("main", "x")
