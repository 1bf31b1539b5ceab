"""Positions on margin, without sockets: what a fill does to them, who needs how much, and that no money is made or lost."""

import random
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise

import pytest

from connector.matching import Side, TimeInForce
from connector.simulator import AccountSettings, Live, SimulatorSettings, contract
from connector.simulator.accounts import NewOrder
from connector.simulator.desk import MarginCall, Position, Refused, Report, TermsChange
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, e8
from connector.simulator.ledger import Ledger

LINEAR = contract("BTCUSDT", "linear", "BTC", "USDT", price="60000", tick="0.1", step="0.001")
INVERSE = contract("BTCUSD_PERP", "inverse", "BTC", "USD", price="60000", tick="0.1", step="1", size="100")
HOUR_NS = 3_600_000_000_000


class Venue:
    """An exchange that stands still, without sockets, and everything it told its customers."""

    def __init__(self, clock, *names, listings=(LINEAR, INVERSE), money=None, **settings):
        accounts = tuple(
            AccountSettings(
                name,
                f"Key{name}",
                name,
                balances=money or {"USDT": "100000", "BTC": "2"},
                maker_rate="0.0002",
                taker_rate="0.0005",
            )
            for name in names or ("one", "two")
        )
        fields = {"symbols": listings, "events_per_s": 0.0, "source": Live(resting_orders=20, warm_up=False)} | settings
        self.clock = clock
        self.exchange = Exchange(SimulatorSettings(accounts=accounts, clock=clock, **fields))
        self.desk, self.told = self.exchange.desk, []
        self.desk._tell = lambda account, event: self.told.append((account.name, event))
        self.desk._publish = lambda *given: None
        self.ledger = Ledger(
            lambda ask: ask(),
            self.exchange.records,
            self.exchange.source,
            self.exchange.account,
            self.desk.clearing,
        )
        self.ids = 0

    def market(self, symbol="BTCUSDT"):
        return self.exchange.markets[symbol]

    def place(self, who, side, quantity, price=None, symbol="BTCUSDT", **fields):
        market = self.market(symbol)
        self.ids += 1
        new = NewOrder(
            side=Side(side),
            type="LIMIT" if price else "MARKET",
            lots=e8(quantity) // market.listing.step_e8,
            client_id=fields.pop("client_id", f"id-{self.ids}"),
            price=None if price is None else e8(price) // market.listing.tick_e8,
            **fields,
        )
        return self.desk.place(self.exchange.account(who), market, new)

    def trade(self, buyer, seller, quantity, price, symbol="BTCUSDT", **fields):
        """The seller rests, the buyer takes."""
        self.place(seller, "SELL", quantity, price, symbol, **fields)
        return self.place(buyer, "BUY", quantity, price, symbol, **fields)

    def crowd(self, side, quantity, price, symbol="BTCUSDT"):
        market = self.market(symbol)
        market.log.prepare(market.engine)
        lots = e8(quantity) // market.listing.step_e8
        outcome = market.engine.submit(Side(side), lots, e8(price) // market.listing.tick_e8)
        self.desk.happened(market, outcome)

    def position(self, who, symbol="BTCUSDT", side="net"):
        rows = {(row.symbol, row.side): row for row in self.ledger.positions(who)}
        return rows.get((symbol, side))

    def wallet(self, who, asset="USDT"):
        return self.ledger.balances(who)[asset].free

    def state(self, who, asset="USDT"):
        return self.desk.clearing.state(self.exchange.account(who), asset)

    def hold(self, price, symbol="BTCUSDT"):
        self.desk.hold_mark(self.market(symbol), e8(price))

    def sound(self):
        accounts = self.desk.accounts.values()
        return all(self.desk.clearing.imbalance(asset, accounts) == 0 for asset in ("USDT", "BTC")) and all(
            self.desk.clearing.open_lots(symbol, accounts) == 0 for symbol in self.exchange.markets
        )

    def reports(self, who):
        return [
            (event.execution, event.order.client_id)
            for name, event in self.told
            if name == who and isinstance(event, Report)
        ]


@pytest.fixture
def venue(hand_clock):
    return lambda *names, **settings: Venue(hand_clock, *names, **settings)


def test_entry_is_the_average_and_a_linear_profit_is_quantity_times_the_difference(venue):
    v = venue()
    v.trade("one", "two", "0.1", "60000")
    v.trade("one", "two", "0.3", "61000")
    assert v.position("one").entry_price == Decimal("60750")
    assert v.position("two").quantity == Decimal("-0.4")
    before = v.wallet("one")
    v.trade("two", "one", "0.2", "62000")
    fill = v.ledger.fills("one")[-1]
    assert fill.realised == Decimal("0.2") * (62000 - 60750)
    assert v.wallet("one") == before + fill.realised - fill.commission
    assert v.position("one").entry_price == Decimal("60750")
    assert v.sound()


def test_an_inverse_profit_is_contracts_times_size_times_the_difference_of_the_inverse_prices(venue):
    v = venue()
    v.trade("one", "two", "50", "60000", "BTCUSD_PERP")
    v.trade("two", "one", "20", "64000", "BTCUSD_PERP")
    expected = 20 * 100 * (Decimal(1) / 60000 - Decimal(1) / 64000)
    assert v.ledger.fills("one")[-1].realised == expected.quantize(Decimal("1e-8"), ROUND_FLOOR)
    assert v.position("one", "BTCUSD_PERP").entry_price == Decimal("60000")
    assert v.sound()


def test_a_position_turns_around_in_one_trade_with_the_new_price_as_entry(venue):
    v = venue()
    v.trade("one", "two", "0.1", "60000")
    v.trade("two", "one", "0.25", "59000")
    assert v.position("one").quantity == Decimal("-0.15")
    assert v.position("one").entry_price == Decimal("59000")
    assert v.ledger.fills("one")[-1].realised == Decimal("-100")
    assert v.sound()


def test_fees_are_taken_from_the_settle_asset_by_who_made_and_who_took(venue):
    v = venue()
    v.trade("one", "two", "0.1", "60000")
    assert v.wallet("one") == 100000 - Decimal("6000") * Decimal("0.0005")
    assert v.wallet("two") == 100000 - Decimal("6000") * Decimal("0.0002")
    assert [row.amount for row in v.ledger.incomes("one", "commission")] == [Decimal("-3")]


def test_an_order_needs_its_notional_divided_by_the_leverage_and_its_fee(venue):
    v = venue(money={"USDT": "3100", "BTC": "0"})
    with pytest.raises(Refused, match="insufficient_margin"):
        v.place("one", "BUY", "1.1", "60000")
    v.place("one", "BUY", "1", "60000")
    assert v.state("one").order_margin_e8 == 3000 * SCALE
    with pytest.raises(Refused, match="insufficient_margin"):
        v.place("one", "BUY", "0.1", "60000")
    v.place("one", "SELL", "1", "61000")
    assert v.state("one").available_e8 == e8("3100") - 61000 * SCALE // 20  # the larger side counts, not both


def test_more_than_the_leverage_allows_is_refused(venue):
    v = venue(money={"USDT": "100000000", "BTC": "0"})
    v.desk.set_leverage(v.exchange.account("one"), v.market(), 125 * SCALE)
    with pytest.raises(Refused, match="position_limit"):
        v.place("one", "BUY", "1", "60000")
    with pytest.raises(Refused, match="leverage"):
        v.desk.set_leverage(v.exchange.account("one"), v.market(), 126 * SCALE)


def test_an_order_that_only_closes_needs_something_to_close(venue):
    v = venue()
    with pytest.raises(Refused, match="reduce_only"):
        v.place("one", "SELL", "0.1", "60000", reduce_only=True)
    v.trade("one", "two", "0.1", "60000")
    with pytest.raises(Refused, match="reduce_only"):
        v.place("one", "BUY", "0.1", "60000", reduce_only=True)
    v.place("one", "SELL", "0.1", "61000", reduce_only=True)
    with pytest.raises(Refused, match="reduce_only"):
        v.place("one", "SELL", "0.1", "62000", reduce_only=True)


def test_an_order_that_only_closes_never_turns_a_position_around(venue):
    v = venue()
    v.trade("one", "two", "0.1", "60000")
    v.crowd("BUY", "1", "59000")
    order = v.place("one", "SELL", "0.5", reduce_only=True)
    assert (order.status.value, order.filled, order.expiry_reason) == ("EXPIRED", 100, "REDUCE_ONLY")
    assert v.position("one") is None
    assert v.sound()


def test_resting_orders_that_only_close_shrink_and_end_with_the_position(venue):
    v = venue()
    v.trade("one", "two", "0.1", "60000")
    first = v.place("one", "SELL", "0.06", "61000", reduce_only=True)
    second = v.place("one", "SELL", "0.04", "62000", reduce_only=True)
    v.trade("two", "one", "0.05", "60000")
    market = v.market()
    assert market.engine.order(first.engine_id).remaining == 50
    assert (second.status.value, second.expiry_reason) == ("EXPIRED", "REDUCE_ONLY")
    v.trade("two", "one", "0.05", "60000")
    assert (first.status.value, first.expiry_reason) == ("EXPIRED", "REDUCE_ONLY")
    assert v.market().engine.asks() == []


def test_hedge_mode_keeps_long_and_short_apart_and_closes_each_with_its_own_side(venue):
    v = venue()
    account = v.exchange.account("one")
    v.desk.set_hedge(account, True)
    with pytest.raises(Refused, match="holding"):
        v.place("one", "BUY", "0.1", "60000")
    v.place("two", "SELL", "0.3", "60000")
    v.place("one", "BUY", "0.3", "60000", holding="long")
    v.place("two", "BUY", "0.2", "60000")
    v.place("one", "SELL", "0.2", "60000", holding="short")
    assert v.position("one", side="long").quantity == Decimal("0.3")
    assert v.position("one", side="short").quantity == Decimal("-0.2")
    v.place("two", "BUY", "0.1", "60500")
    v.place("one", "SELL", "0.1", "60500", holding="long")
    assert v.position("one", side="long").quantity == Decimal("0.2")
    with pytest.raises(Refused, match="terms_position"):
        v.desk.set_hedge(account, False)
    assert v.sound()


def test_funding_is_paid_at_its_time_and_moves_on_by_its_interval(venue, hand_clock):
    v = venue()
    v.trade("one", "two", "1", "60000")
    v.hold("61000")
    market = v.market()
    due = market.marks.next_us
    wallets = v.wallet("one"), v.wallet("two")
    hand_clock.now_ns = due * 1000
    v.desk.tick(v.exchange.clock.now_us())
    assert v.wallet("one") == wallets[0] - Decimal("6.1")
    assert v.wallet("two") == wallets[1] + Decimal("6.1")
    assert market.marks.next_us == due + 8 * 3_600_000_000
    assert [row.amount for row in v.ledger.incomes("two", "funding")] == [Decimal("6.1")]
    causes = [(name, event.cause, event.symbol) for name, event in v.told if isinstance(event, Position)]
    assert ("one", "funding", "BTCUSDT") in causes
    v.desk.tick(v.exchange.clock.now_us())
    assert v.wallet("two") == wallets[1] + Decimal("6.1")
    assert v.sound()


def test_a_negative_rate_pays_longs_and_an_inverse_contract_pays_in_its_base(venue):
    v = venue()
    v.trade("one", "two", "60", "60000", "BTCUSD_PERP")
    market = v.market("BTCUSD_PERP")
    v.hold("60000", "BTCUSD_PERP")
    market.marks.rate_e8 = -50_000
    before = v.wallet("one", "BTC")
    v.desk.fund(market)
    assert v.wallet("one", "BTC") == before + Decimal("0.1") * Decimal("0.0005")
    assert v.sound()


def test_too_little_margin_liquidates_against_the_book_and_the_rest_against_the_house(venue):
    v = venue(money={"USDT": "4000", "BTC": "0"})
    v.trade("one", "two", "1", "60000")
    resting = v.place("one", "BUY", "0.001", "50000")
    v.crowd("BUY", "0.4", "56700")
    assert 0 < v.ledger.positions("one")[0].liquidation_price < 60000
    v.hold("56100")
    assert v.position("one") is None
    order = v.ledger.orders("one")[-1]
    fills = [fill for fill in v.ledger.fills("one") if fill.order_id == order.order_id]
    assert [fill.quantity for fill in fills] == [Decimal("0.4"), Decimal("0.6")]
    assert all(fill.origin == "liquidation" for fill in fills)
    assert resting.expiry_reason == "LIQUIDATION"
    assert v.wallet("one") >= 0
    assert v.ledger.trades("BTCUSDT")[fills[0].trade_id].quantity == Decimal("0.4")
    assert fills[1].trade_id not in v.ledger.trades("BTCUSDT")
    assert v.sound()


def test_a_wallet_is_never_left_below_zero(venue):
    v = venue(money={"USDT": "3100", "BTC": "0"})
    v.trade("one", "two", "1", "60000")
    v.hold("40000")
    assert v.position("one") is None
    assert v.wallet("one") == 0
    assert v.sound()


def test_the_mark_price_of_the_liquidation_is_the_one_told_before(venue):
    for symbol, money, quantity in (("BTCUSDT", {"USDT": "4000"}, "1"), ("BTCUSD_PERP", {"BTC": "0.1"}, "600")):
        for side, step in (("BUY", -1), ("SELL", 1)):
            v = venue(money=money)
            v.place("two", "SELL" if side == "BUY" else "BUY", quantity, "60000", symbol)
            v.place("one", side, quantity, "60000", symbol)
            told = v.position("one", symbol).liquidation_price
            v.exchange.account("two").balance("USDT").free += 10**15
            v.exchange.account("two").balance("BTC").free += 10**15
            v.hold(str((told - step).quantize(Decimal("0.1"))), symbol)
            assert v.position("one", symbol) is not None, (symbol, side, told)
            v.hold(str((told + step).quantize(Decimal("0.1"))), symbol)
            assert v.position("one", symbol) is None, (symbol, side, told)


def test_an_isolated_position_loses_its_own_margin_and_no_more(venue):
    v = venue()
    v.desk.set_isolated(v.exchange.account("one"), v.market(), True)
    v.trade("one", "two", "1", "60000")
    own = v.position("one").isolated_wallet
    assert own == 3000
    free = v.wallet("one") - own
    v.hold("50000")
    assert v.position("one") is None
    assert v.wallet("one") == free
    assert v.sound()


def test_margin_can_be_added_to_an_isolated_position_and_taken_back_but_not_what_it_needs(venue):
    v = venue()
    account = v.exchange.account("one")
    v.desk.set_isolated(account, v.market(), True)
    v.trade("one", "two", "1", "60000")
    v.hold("60000")
    held = v.desk.clearing.holdings(account)[0]
    v.desk.move_margin(held, e8("500"))
    assert v.position("one").isolated_wallet == 3500
    with pytest.raises(Refused, match="insufficient_margin"):
        v.desk.move_margin(held, -e8("501"))
    v.desk.move_margin(held, -e8("500"))
    assert v.position("one").isolated_wallet == 3000
    assert v.sound()


def test_a_margin_call_comes_once_before_the_liquidation(venue):
    v = venue(money={"USDT": "4000", "BTC": "0"})
    v.trade("one", "two", "1", "60000")
    v.hold("56310")
    v.hold("56300")
    assert sum(isinstance(event, MarginCall) for name, event in v.told if name == "one") == 1
    assert v.position("one") is not None


def test_deleveraging_takes_a_part_at_the_mark_and_trims_what_closes(venue):
    v = venue()
    v.trade("one", "two", "1", "60000")
    closing = v.place("one", "SELL", "1", "65000", reduce_only=True)
    v.hold("61000")
    v.desk.adl(v.desk.clearing.holdings(v.exchange.account("one"))[0], 400)
    assert v.position("one").quantity == Decimal("0.6")
    assert v.ledger.fills("one")[-1].realised == 400
    assert v.market().engine.order(closing.engine_id).remaining == 600
    assert v.sound()


def test_delivery_settles_everybody_at_the_index_and_ends_the_contract(venue, hand_clock):
    expiry_ms = hand_clock.now_ns // 1_000_000 + 60_000
    dated = contract("BTCUSDT_261225", "linear", "BTC", "USDT", price="60000", expiry_ms=expiry_ms)
    v = venue(listings=(LINEAR, dated))
    v.trade("one", "two", "1", "60000", dated.symbol)
    order = v.place("one", "BUY", "1", "50000", dated.symbol)
    hand_clock.advance(61)
    v.desk.tick(v.exchange.clock.now_us())
    assert not v.ledger.positions("one") and not v.ledger.positions("two")
    assert order.expiry_reason == "DELIVERY"
    assert v.market(dated.symbol).status == "DELIVERED"
    with pytest.raises(Refused, match="market_closed"):
        v.place("one", "BUY", "1", "50000", dated.symbol)
    assert v.sound()


def test_triggers_follow_last_or_mark_as_chosen(venue):
    v = venue()
    v.hold("60000")
    by_mark = v.place("one", "BUY", "0.1", stop=605_000, trigger="above", trigger_by="mark")
    by_last = v.place("one", "BUY", "0.1", stop=610_000, trigger="above")
    v.crowd("SELL", "5", "61500")
    v.hold("60600")
    assert by_mark.filled == 100
    assert by_last.filled == 100  # the first one's trade at 61500 was the last price
    assert v.sound()


def test_what_is_triggered_may_be_another_order_and_may_fail_for_want_of_margin(venue):
    v = venue(money={"USDT": "1000", "BTC": "0"})
    v.hold("60000")
    good = v.place("one", "BUY", "0.1", stop=605_000, trigger="above", trigger_by="mark", spawns="child")
    bad = v.place("one", "BUY", "5", stop=606_000, trigger="above", trigger_by="mark", spawns="other")
    v.crowd("SELL", "5", "60600")
    v.hold("60700")
    assert good.status_text == "TRIGGERED" and good.spawned.filled == 100
    assert good.spawned.client_id == "child" and good.spawned.parent is good
    assert (bad.status.value, bad.expiry_reason) == ("EXPIRED", "INSUFFICIENT_MARGIN")
    assert ("SPAWNED", good.client_id) in v.reports("one") and ("FINISHED", good.client_id) in v.reports("one")


def test_a_closing_stop_closes_whatever_is_held_and_ends_when_nothing_is(venue):
    v = venue()
    v.hold("60000")
    v.trade("one", "two", "0.3", "60000")
    stop = v.place("one", "SELL", "0", stop=590_000, trigger="below", trigger_by="mark", close_all=True, spawns="c")
    v.crowd("BUY", "1", "58000")
    v.hold("58900")
    assert stop.spawned.filled == 300 and v.position("one") is None
    v.trade("one", "two", "0.3", "60000")
    other = v.place("one", "SELL", "0", stop=580_000, trigger="below", trigger_by="mark", close_all=True, spawns="d")
    v.trade("two", "one", "0.3", "60000")
    assert (other.status.value, other.expiry_reason) == ("EXPIRED", "POSITION_CLOSED")


def test_a_modified_order_has_its_new_price_and_size_and_the_last_place(venue):
    v = venue("one", "two", "three")
    mine = v.place("one", "BUY", "0.2", "59000")
    v.place("three", "BUY", "0.2", "59000")
    v.desk.modify(mine, price=590_000, lots=300)
    v.place("two", "SELL", "0.2", "59000")
    assert mine.filled == 0 and mine.lots == 300
    v.desk.modify(mine, price=591_000, lots=300)
    v.place("two", "SELL", "0.1", "59000")
    assert mine.filled == 100
    with pytest.raises(Refused, match="amend_same"):
        v.desk.modify(mine, price=591_000, lots=300)
    v.desk.modify(mine, lots=100)
    assert mine.status.value == "CANCELED" and mine.filled == 100


def test_a_modification_that_needs_too_much_margin_changes_nothing(venue):
    v = venue(money={"USDT": "1000", "BTC": "0"})
    mine = v.place("one", "BUY", "0.1", "59000")
    with pytest.raises(Refused, match="insufficient_margin"):
        v.desk.modify(mine, lots=10_000)
    assert (mine.lots, mine.open, v.market().engine.order(mine.engine_id).remaining) == (100, True, 100)


def test_a_post_only_order_modified_into_the_book_is_canceled(venue):
    v = venue()
    mine = v.place("one", "BUY", "0.1", "59000", post_only=True)
    v.place("two", "SELL", "0.1", "60000")
    v.desk.modify(mine, price=600_000)
    assert mine.status.value == "CANCELED" and not mine.filled


def test_changed_terms_are_told_and_the_same_terms_refused(venue):
    v = venue()
    account = v.exchange.account("one")
    v.desk.set_leverage(account, v.market(), 5 * SCALE)
    v.desk.set_isolated(account, v.market(), True)
    v.desk.set_hedge(account, True)
    assert [event.what for _, event in v.told if isinstance(event, TermsChange)] == ["leverage", "isolated", "hedge"]
    for same in (
        lambda: v.desk.set_leverage(account, v.market(), 5 * SCALE),
        lambda: v.desk.set_isolated(account, v.market(), True),
        lambda: v.desk.set_hedge(account, True),
    ):
        with pytest.raises(Refused, match="same_terms"):
            same()
    v.place("one", "BUY", "0.1", "50000", holding="long")
    with pytest.raises(Refused, match="terms_orders"):
        v.desk.set_isolated(account, v.market(), False)


def test_an_order_ends_at_its_time(venue, hand_clock):
    v = venue()
    order = v.place("one", "BUY", "0.1", "50000", expires_us=v.exchange.clock.now_us() + 1_000_000)
    v.desk.tick(v.exchange.clock.now_us())
    assert order.open
    hand_clock.advance(2)
    v.desk.tick(v.exchange.clock.now_us())
    assert order.expiry_reason == "GOOD_TILL_DATE"


def test_withdrawals_leave_what_margin_needs(venue):
    v = venue(money={"USDT": "4000", "BTC": "0"})
    v.place("one", "BUY", "1", "60000")
    account = v.exchange.account("one")
    with pytest.raises(Refused, match="insufficient_balance"):
        v.desk.deposit(account, "USDT", -e8("1001"))
    v.desk.deposit(account, "USDT", -e8("1000"))
    assert v.wallet("one") == 3000


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_traded_no_money_is_made_or_lost_and_positions_are_their_fills(venue, hand_clock, seed):
    rng = random.Random(seed)
    v = venue("a", "b", "c", source=Live(resting_orders=40), money={"USDT": "30000", "BTC": "0.5"})
    v.exchange.source.wake(v.exchange.clock.now_us())
    if seed % 2:
        v.desk.set_hedge(v.exchange.account("a"), True)
        v.desk.set_isolated(v.exchange.account("b"), v.market(), True)
    for _ in range(500):
        who = rng.choice("abc")
        symbol = rng.choice(("BTCUSDT", "BTCUSD_PERP"))
        market, account = v.market(symbol), v.exchange.account(who)
        act = rng.random()
        try:
            if act < 0.6:
                price = Decimal(int(market.price * rng.uniform(0.999, 1.001))) / 10 if rng.random() < 0.7 else None
                quantity = rng.choice(("0.01", "0.2", "1") if symbol == "BTCUSDT" else ("1", "30", "200"))
                side = rng.choice(("BUY", "SELL"))
                hedge = v.desk.clearing.terms(account, market).hedge
                v.place(
                    who,
                    side,
                    quantity,
                    price and str(price),
                    symbol,
                    holding=rng.choice(("long", "short")) if hedge else "net",
                    reduce_only=not hedge and rng.random() < 0.2,
                    tif=rng.choice((TimeInForce.GTC, TimeInForce.IOC)) if price else TimeInForce.GTC,
                )
            elif act < 0.7 and account.open_orders:
                order = rng.choice(list(account.open_orders.values()))
                v.desk.modify(order, price=max(1, (order.new.price or 1) + rng.randrange(-50, 50)), lots=order.lots + 1)
            elif act < 0.75 and account.open_orders:
                v.desk.cancel(rng.choice(list(account.open_orders.values())), "x")
            elif act < 0.8:
                v.desk.fund(market)
            elif act < 0.9:
                v.hold(str(int(market.price * rng.uniform(0.97, 1.03)) // 10), symbol)
            else:
                v.exchange.source.step(20)
                v.desk.tick(v.exchange.clock.now_us())
        except Refused:
            pass
        hand_clock.advance(1)
        assert v.sound()
    for who in "abc":
        assert v.wallet(who) >= 0 or v.ledger.positions(who)
        net = {}
        for fill in v.ledger.fills(who):
            key = fill.symbol, fill.holding
            net[key] = net.get(key, 0) + (fill.quantity if fill.is_buyer else -fill.quantity)
        held = {(row.symbol, row.side): row.quantity for row in v.ledger.positions(who)}
        assert {key: lots for key, lots in net.items() if lots} == held
        by_asset = {asset: Decimal(30000) if asset == "USDT" else Decimal("0.5") for asset in ("USDT", "BTC")}
        for row in v.ledger.incomes(who):
            by_asset[row.asset] += row.amount
        assert by_asset == {asset: v.wallet(who, asset) for asset in ("USDT", "BTC")}


def test_maintenance_margin_grows_without_a_jump_from_bracket_to_bracket():
    for listing in (LINEAR, INVERSE):
        for lower, upper in pairwise(listing.brackets):
            assert lower.cap_e8 == upper.floor_e8 and lower.leverage > upper.leverage
            at_border = [row.rate_e8 * lower.cap_e8 // SCALE - row.cut_e8 for row in (lower, upper)]
            assert abs(at_border[0] - at_border[1]) <= 1


def test_the_same_orders_give_the_same_marks_and_the_mark_follows_faster_than_the_index(hand_clock):
    def marks():
        exchange = Exchange(SimulatorSettings(symbols=(LINEAR,), events_per_s=0.0, clock=hand_clock))
        exchange.desk._publish = lambda *given: None
        exchange.source.wake(exchange.clock.now_us())
        exchange.source.step(500)
        found = exchange.markets["BTCUSDT"].marks
        return found.mark_e8, found.index_e8

    assert marks() == marks()
    v = Venue(hand_clock, listings=(LINEAR,))
    v.crowd("BUY", "1", "59999.9")
    for _ in range(5):
        v.crowd("SELL", "1", "60100")
    found = v.market().marks
    assert 60000 * SCALE < found.index_e8 < found.mark_e8 < 60050 * SCALE


def test_fundings_before_the_start_are_invented_once_and_for_all(hand_clock):
    found = Venue(hand_clock).market().marks
    now_us = hand_clock.now_ns // 1000
    past = found.past(30, now_us)
    assert past == found.past(30, now_us) and past[-1].at_us <= now_us < found.next_us
    assert {later.at_us - earlier.at_us for earlier, later in pairwise(past)} == {8 * 3_600_000_000}
    assert past[20:] == found.past(10, now_us)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price": "0.001"}, "at least 200 ticks"),
        ({"size": "0"}, "size above zero"),
        ({"tick": "0.000000001"}, "eight decimal places"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        contract("XUSDT", "linear", "X", "USDT", **changes)


@pytest.mark.parametrize(
    ("dialect", "good", "bad"),
    [
        (
            "binance_usdm",
            {"BTCUSDT": 0, "ETHUSDC": 0, "BTCUSDT_261225": 1_798_185_600_000},
            ("BTCUSD_PERP", "BTCUSDT_261325"),
        ),
        ("binance_coinm", {"BTCUSD_PERP": 0, "XYZUSD_261225": 1_798_185_600_000}, ("BTCUSDT", "BTCUSD", "BTCUSD_perp")),
    ],
)
def test_a_name_lists_what_it_means_at_the_exchange(dialect, good, bad):
    settings = SimulatorSettings(dialect=dialect, symbols=tuple(good))
    assert {entry.symbol: entry.expiry_ms for entry in settings.listings()} == good
    for name in bad:
        with pytest.raises(ValueError, match="names no contract of this venue"):
            SimulatorSettings(dialect=dialect, symbols=(name,))
