"""Count positions on margin: entry, profit, margin, funding, and whose money went where.

Decides what a fill does to a position and to the wallet, what an order would need, and who has too little left. It never places,
cancels or tells anything (that is the desk's) and reads no clock.

Every amount is an integer. A position keeps its `cost` in units of 1e-16 of the settle asset: what was paid for it, negative for
a short one. Wallets are kept in 1e-8: what an account realises is rounded down there, and the rest goes to the house.
Both sides of a trade are booked with the same value, and whatever has no account on its other side (the crowd, fees, funding,
liquidations) is booked on the house, so that nothing is ever made or lost: `imbalance` is 0 at all times.

Value of a trade: linear contracts quantity x size x price, inverse ones quantity x size / price. Profit of a long position:
value now - cost when linear, cost - value now when inverse; a short one has the signs turned. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from connector.matching import Side
from connector.simulator.instruments import SCALE, Bracket, Listing
from connector.simulator.market import Market

if TYPE_CHECKING:
    from connector.simulator.accounts import Account, AccountOrder, NewOrder

__all__ = ["Clearing", "Holding", "HoldingSide", "House", "Income", "MarginState", "Terms", "cost_at", "value_e16"]

HoldingSide = Literal["net", "long", "short"]
"""Which position of a symbol: the one of one-way mode, or one of the two of hedge mode."""


def value_e16(listing: Listing, price_e8: int, lots: int) -> int:
    """What so many lots are worth at a price, in 1e-16 of the settle asset, rounded towards zero, with the sign of the lots."""
    units = abs(lots) * listing.step_e8 * listing.size_e8
    value = units * price_e8 // SCALE if listing.product == "linear" else units * SCALE // price_e8
    return value if lots >= 0 else -value


def cost_at(listing: Listing, cost_e16: int, lots: int) -> int:
    """The price at which so many lots are worth that much, in 1e-8 rounded to the nearest; 0 for no lots or no such price."""
    if not lots or cost_e16 * lots <= 0:
        return 0
    units, cost = abs(lots) * listing.step_e8 * listing.size_e8, abs(cost_e16)
    if listing.product == "linear":
        return (2 * cost * SCALE + units) // (2 * units)
    return (2 * units * SCALE + cost) // (2 * cost)


class Terms:
    """What an account has chosen for a symbol. `leverage_e8` is 20.00000000 for twenty times."""

    __slots__ = ("hedge", "isolated", "leverage_e8")

    def __init__(self, leverage_e8: int = 20 * SCALE, *, isolated: bool = False, hedge: bool = False) -> None:
        self.leverage_e8, self.isolated, self.hedge = leverage_e8, isolated, hedge

    @property
    def leverage(self) -> int:
        """Whole times."""
        return self.leverage_e8 // SCALE


class Holding:
    """One position. `lots` are negative when short; `cost` is what was paid for them, in 1e-16 of the settle asset and with the
    sign of the lots; `isolated_e8` is the wallet of its own that an isolated one has. `realised_e8` is what it has brought since
    it was opened from nothing, `paid_e8` the commission since then, and `total_e8` all it has ever realised."""

    __slots__ = (
        "account",
        "cost",
        "isolated",
        "isolated_e8",
        "lots",
        "market",
        "opened_us",
        "paid_e8",
        "realised_e8",
        "side",
        "total_e8",
        "updated_us",
    )

    def __init__(self, account: Account, market: Market, side: HoldingSide) -> None:
        self.account, self.market, self.side = account, market, side
        self.lots = self.cost = self.realised_e8 = self.paid_e8 = self.total_e8 = self.isolated_e8 = 0
        self.isolated = False
        self.opened_us = self.updated_us = 0

    @property
    def entry_e8(self) -> int:
        """Average price of what is held, in 1e-8; 0 when nothing is."""
        return cost_at(self.market.listing, self.cost, self.lots)

    @property
    def break_even_e8(self) -> int:
        """The price at which closing it would pay its commission back, too."""
        listing = self.market.listing
        fees = (self.paid_e8 - self.realised_e8) * SCALE
        return cost_at(listing, self.cost + (fees if listing.product == "linear" else -fees), self.lots)

    @property
    def value_e8(self) -> int:
        """Worth at the mark price in the settle asset, never negative."""
        return abs(value_e16(self.market.listing, self.market.marks.mark_e8, self.lots)) // SCALE

    @property
    def unrealised_e8(self) -> int:
        """Profit at the mark price, rounded down."""
        return self.profit_at(self.market.marks.mark_e8) // SCALE

    def profit_at(self, price_e8: int) -> int:
        """Profit if all of it were closed at a price, in 1e-16."""
        listing = self.market.listing
        gain = value_e16(listing, price_e8, self.lots) - self.cost
        return gain if listing.product == "linear" else -gain

    def price_losing(self, loss_e8: int) -> int:
        """The price at which exactly so much would be lost, in 1e-8; 0 when no price costs so much.

        A short inverse position has no upper end of its price that costs more than all it is worth; then it is 0, too.
        """
        listing = self.market.listing
        loss = loss_e8 * SCALE
        return cost_at(listing, self.cost + (-loss if listing.product == "linear" else loss), self.lots)

    def __repr__(self) -> str:
        return f"<Holding {self.account.name} {self.market.symbol} {self.side} lots={self.lots} entry={self.entry_e8 / SCALE:g}>"


class Income(msgspec.Struct, frozen=True, gc=False):
    """One change of a margin wallet. `kind` is realised, commission, funding, insurance, transfer or delivery.

    `trade_id` 0: none. `rate_e8` and `lots` are those of a funding.
    """

    number: int
    kind: str
    symbol: str
    asset: str
    amount_e8: int
    at_us: int
    trade_id: int = 0
    rate_e8: int = 0
    lots: int = 0
    price_e8: int = 0


class MarginState(msgspec.Struct, frozen=True):
    """An account's margin in one settle asset, in 1e-8. `cross_*` leave isolated positions out."""

    wallet_e8: int
    cross_wallet_e8: int
    unrealised_e8: int
    cross_unrealised_e8: int
    position_margin_e8: int
    order_margin_e8: int
    maintenance_e8: int
    cross_maintenance_e8: int
    cross_initial_e8: int

    @property
    def initial_e8(self) -> int:
        """Held back for positions and open orders."""
        return self.position_margin_e8 + self.order_margin_e8

    @property
    def balance_e8(self) -> int:
        """Wallet and profit not yet realised."""
        return self.wallet_e8 + self.unrealised_e8

    @property
    def available_e8(self) -> int:
        """What new orders may use; not below zero."""
        return max(0, self.free_e8)

    @property
    def free_e8(self) -> int:
        """The same, but it may be negative."""
        return self.cross_wallet_e8 + self.cross_unrealised_e8 - self.cross_initial_e8


class House:
    """The other side of whatever no account is the other side of, in 1e-16 per asset, and the crowd's position per symbol."""

    def __init__(self) -> None:
        self.money: dict[str, int] = {}
        self.lots: dict[str, int] = {}
        self.cost: dict[str, int] = {}
        self.deposited: dict[str, int] = {}
        self.insurance_e8: dict[str, int] = {}

    def gets(self, asset: str, units_e16: int) -> None:
        """Book an amount on the house, negative when it pays."""
        self.money[asset] = self.money.get(asset, 0) + units_e16


class Clearing:
    """Books trades, funding and settings of all accounts on margin."""

    def __init__(self, markets: Mapping[str, Market]) -> None:
        self._markets = markets
        self.house = House()
        self._next_income = 1

    # what accounts have

    def holdings(self, account: Account, symbol: str | None = None, *, settle: str | None = None) -> list[Holding]:
        """Positions that hold something, oldest first; of a symbol, or of a settle asset, or all."""
        return [
            held
            for held in account.holdings.values()
            if held.lots and symbol in (None, held.market.symbol) and settle in (None, held.market.listing.settle)
        ]

    def holding(self, account: Account, market: Market, side: HoldingSide) -> Holding:
        """One position, empty when there was none."""
        key = market.symbol, side
        found = account.holdings.get(key)
        if found is None:
            found = account.holdings[key] = Holding(account, market, side)
            found.isolated = self.terms(account, market).isolated
        return found

    def terms(self, account: Account, market: Market) -> Terms:
        """What the account has chosen for a symbol, the usual when it never did."""
        found = account.terms.get(market.symbol)
        if found is None:
            top = max(bracket.leverage for bracket in market.listing.brackets)
            found = Terms(min(20, top) * SCALE, isolated=account.isolated_usual, hedge=account.hedge_usual)
            account.terms[market.symbol] = found
        return found

    def side_of(self, account: Account, market: Market, new: NewOrder) -> HoldingSide:
        """Which position an order works on."""
        return new.holding if self.terms(account, market).hedge else "net"

    def closable(self, account: Account, market: Market, new: NewOrder) -> int:
        """Lots of a position that an order of that side would close."""
        held = account.holdings.get((market.symbol, self.side_of(account, market, new)))
        if held is None or (held.lots > 0) == (new.side is Side.BUY):
            return 0
        return abs(held.lots)

    # what happens

    def fill(self, order: AccountOrder, lots: int, price_e8: int, value: int, fee_e8: int, at_us: int) -> int:
        """Book one trade of an order: `value` is that of `value_e16`, given so that both sides use the same.

        Returns:
            What the account realised, in 1e-8, the fee not counted in.
        """
        account, market = order.account, order.market
        listing = market.listing
        held = self.holding(account, market, self.side_of(account, market, order.new))
        sign = 1 if order.new.side is Side.BUY else -1
        gained = 1 if listing.product == "linear" else -1
        closed = min(lots, abs(held.lots)) if held.lots * sign < 0 else 0
        realised = 0
        if closed:
            closed_value = value * closed // lots
            part = held.cost * closed // abs(held.lots)
            freed_e8 = held.isolated_e8 * closed // abs(held.lots)
            realised_e16 = gained * (-sign * closed_value - part)
            held.cost -= part
            held.lots += sign * closed
            realised = realised_e16 // SCALE
            self.house.gets(listing.settle, realised_e16 - realised * SCALE)  # what was rounded off
            held.isolated_e8 -= freed_e8
            held.realised_e8 += realised
            held.total_e8 += realised
            value -= closed_value
            if not held.lots:
                held.isolated_e8 = 0
        opened = lots - closed
        if opened:
            if not held.lots:
                held.isolated = self.terms(account, market).isolated
                held.realised_e8 = held.paid_e8 = 0
                held.opened_us = at_us
            held.lots += sign * opened
            held.cost += sign * value
            if held.isolated:
                held.isolated_e8 += self._initial(account, market, value // SCALE)
        held.paid_e8 += fee_e8
        held.updated_us = at_us
        balance = account.balance(listing.settle)
        balance.free += realised - fee_e8
        self.house.gets(listing.settle, fee_e8 * SCALE)
        account.move(held, listing.settle)
        return realised

    def against_crowd(self, market: Market, sign: int, lots: int, value: int) -> None:
        """An account traded (sign 1: bought) and no other account was on the other side: the house was."""
        house, symbol = self.house, market.symbol
        house.lots[symbol] = house.lots.get(symbol, 0) - sign * lots
        house.cost[symbol] = house.cost.get(symbol, 0) - sign * value

    def book(
        self,
        account: Account,
        kind: str,
        asset: str,
        amount_e8: int,
        at_us: int,
        *,
        symbol: str = "",
        trade_id: int = 0,
        rate_e8: int = 0,
        lots: int = 0,
        price_e8: int = 0,
    ) -> Income:
        """Note a change of a wallet that has happened."""
        row = Income(self._next_income, kind, symbol, asset, amount_e8, at_us, trade_id, rate_e8, lots, price_e8)
        self._next_income += 1
        account.incomes.append(row)
        return row

    def pay(self, account: Account, asset: str, amount_e8: int, *, outside: bool = False) -> None:
        """Give an account money of the house (or, negative, take it); with `outside` it comes from elsewhere."""
        account.balance(asset).free += amount_e8
        account.move(None, asset)
        if outside:
            self.deposited(asset, amount_e8)
        else:
            self.house.gets(asset, -amount_e8 * SCALE)

    def deposited(self, asset: str, amount_e8: int) -> None:
        """Money has come from outside (it is in a wallet already)."""
        self.house.deposited[asset] = self.house.deposited.get(asset, 0) + amount_e8

    def funding_e8(self, held: Holding, rate_e8: int, mark_e8: int) -> int:
        """What a position gets (or, negative, pays) at a funding, rounded down."""
        value = value_e16(held.market.listing, mark_e8, held.lots)
        return -value * rate_e8 // (SCALE * SCALE)

    # what is needed

    def _initial(self, account: Account, market: Market, notional_e8: int) -> int:
        return -(-notional_e8 * SCALE // self.terms(account, market).leverage_e8)

    def bracket(self, market: Market, notional_e8: int) -> Bracket:
        """The row of the risk table for a position of that worth."""
        rows = market.listing.brackets
        return next((row for row in rows if notional_e8 <= row.cap_e8), rows[-1])

    def most_e8(self, market: Market, leverage_e8: int) -> int:
        """The largest worth of a position at a leverage."""
        return max((row.cap_e8 for row in market.listing.brackets if row.leverage * SCALE >= leverage_e8), default=0)

    def maintenance_e8(self, held: Holding) -> int:
        """What a position needs so as not to be liquidated."""
        notional = held.value_e8
        if not notional:
            return 0
        row = self.bracket(held.market, notional)
        return -(-notional * row.rate_e8 // SCALE) - row.cut_e8

    def position_margin_e8(self, held: Holding) -> int:
        """What a position holds back at its leverage."""
        return self._initial(held.account, held.market, held.value_e8)

    def exposure(self, account: Account, market: Market, more: NewOrder | None = None, price: int = 0) -> int:
        """The largest worth that positions of a symbol may come to when open orders of one side are filled, in 1e-8.

        Orders that only close count for nothing; those that wait for a trigger hold nothing back yet. `more` is one that is not
        open yet, at `price` ticks.
        """
        listing, tick = market.listing, market.listing.tick_e8
        mark_e8 = market.marks.mark_e8
        bids: dict[HoldingSide, int] = {"net": 0, "long": 0, "short": 0}
        asks = dict(bids)
        for order in account.open_on(market.symbol):
            new = order.new
            if self.only_closes(account, market, new) or (new.trigger and not order.working):
                continue
            at_e8 = new.price * tick if new.price is not None else mark_e8
            book = bids if new.side is Side.BUY else asks
            book[self.side_of(account, market, new)] += abs(value_e16(listing, at_e8, order.left))
        if more is not None and not self.only_closes(account, market, more):
            book = bids if more.side is Side.BUY else asks
            book[self.side_of(account, market, more)] += abs(value_e16(listing, price * tick, more.lots))
        total = 0
        for side in bids:
            held = account.holdings.get((market.symbol, side))
            now = value_e16(listing, mark_e8, held.lots) if held is not None else 0
            total += max(abs(now + bids[side]), abs(now - asks[side]))
        return int(total // SCALE)

    def only_closes(self, account: Account, market: Market, new: NewOrder) -> bool:
        """Whether an order can only make a position smaller."""
        if new.reduce_only or new.close_all:
            return True
        side = self.side_of(account, market, new)
        return side != "net" and (side == "long") != (new.side is Side.BUY)

    def symbol_margin_e8(self, account: Account, market: Market) -> tuple[int, int]:
        """(held back for positions, held back for open orders) of a symbol."""
        positions = sum(self.position_margin_e8(held) for held in self.holdings(account, market.symbol))
        total = self._initial(account, market, self.exposure(account, market))
        return positions, max(0, total - positions)

    def state(self, account: Account, asset: str) -> MarginState:
        """Everything about an account's margin in a settle asset."""
        balance = account.balance(asset)
        wallet = balance.free + balance.locked
        unrealised = cross_unrealised = isolated = maintenance = cross_maintenance = 0
        symbols: dict[str, None] = {}
        for held in self.holdings(account, settle=asset):
            profit, needed = held.unrealised_e8, self.maintenance_e8(held)
            unrealised += profit
            maintenance += needed
            if held.isolated:
                isolated += held.isolated_e8
            else:
                cross_unrealised += profit
                cross_maintenance += needed
            symbols[held.market.symbol] = None
        for order in account.open_orders.values():
            if order.market.listing.settle == asset:
                symbols[order.market.symbol] = None
        positions = orders = cross = 0
        for symbol in symbols:
            of_positions, of_orders = self.symbol_margin_e8(account, self._markets[symbol])
            positions += of_positions
            orders += of_orders
            cross += of_orders + (0 if self.terms(account, self._markets[symbol]).isolated else of_positions)
        return MarginState(
            wallet,
            wallet - isolated,
            unrealised,
            cross_unrealised,
            positions,
            orders,
            maintenance,
            cross_maintenance,
            cross + balance.locked,
        )

    def health(self, account: Account, asset: str) -> tuple[int, int]:
        """(what cross positions of a settle asset have behind them, what they need so as not to be liquidated)."""
        balance = account.balance(asset)
        equity, needed = balance.free + balance.locked, 0
        for held in self.holdings(account, settle=asset):
            if held.isolated:
                equity -= held.isolated_e8
            else:
                equity += held.unrealised_e8
                needed += self.maintenance_e8(held)
        return equity, needed

    def liquidation_e8(self, held: Holding) -> int:
        """The mark price at which a position would be liquidated if nothing else changed, in 1e-8; 0 when there is none."""
        account, market = held.account, held.market
        listing = market.listing
        if not held.lots:
            return 0
        row = self.bracket(market, held.value_e8)
        if held.isolated:
            own = held.isolated_e8
        else:
            equity, needed = self.health(account, listing.settle)
            own = equity - held.unrealised_e8 - (needed - self.maintenance_e8(held))
        # own + profit(value) = rate * |value| - cut, solved for the signed value; |value| is -value when short.
        money = (own + row.cut_e8) * SCALE
        rate = row.rate_e8 if held.lots > 0 else -row.rate_e8
        if listing.product == "linear":
            value = (held.cost - money) * SCALE // (SCALE - rate)
        else:
            value = (held.cost + money) * SCALE // (SCALE + rate)
        return cost_at(listing, value, held.lots)

    # whose money went where

    def imbalance(self, asset: str, accounts: Iterable[Account]) -> int:
        """What was made from nothing (or, negative, lost) in a settle asset, in 1e-16. Always 0."""
        total = self.house.money.get(asset, 0) - self.house.deposited.get(asset, 0) * SCALE
        for symbol, cost in self.house.cost.items():
            listing = self._markets[symbol].listing
            if listing.settle == asset:
                total -= cost if listing.product == "linear" else -cost
        for account in accounts:
            balance = account.balance(asset)
            total += (balance.free + balance.locked) * SCALE
            for held in account.holdings.values():
                if held.market.listing.settle == asset:
                    total -= held.cost if held.market.listing.product == "linear" else -held.cost
        return total

    def open_lots(self, symbol: str, accounts: Iterable[Account]) -> int:
        """All positions of a symbol added up, the crowd's too. Always 0."""
        held = sum(h.lots for account in accounts for h in account.holdings.values() if h.market.symbol == symbol)
        return held + self.house.lots.get(symbol, 0)
