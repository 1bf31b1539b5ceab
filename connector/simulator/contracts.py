"""Trade contracts on margin: positions instead of possession, and everything that follows from them.

Decides whether an order has the margin it needs, what it may only close, when its trigger is reached, what it becomes when it is
modified, who is liquidated and how, and when funding is paid; `margin` does the counting. Spot listings go their usual way.

A liquidation cancels what the account has open there, sends an IOC order at the price where the margin is used up, lets the
house take what the book does not, takes a fee of what is left, and lets the house pay what is missing. Auto-deleveraging and
delivery are trades with the house at a given price. None of these shows in the market's trades unless the book took part.
Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from connector.matching import Fill, OrderStatus, Outcome, Side, TimeInForce
from connector.simulator.accounts import Account, AccountFill, AccountOrder, NewOrder, OrderChange
from connector.simulator.desk import Desk, Event, MarginCall, Refused, TermsChange, watched_price
from connector.simulator.history import Trade
from connector.simulator.instruments import SCALE
from connector.simulator.margin import Holding, HoldingSide, value_e16
from connector.simulator.market import Market
from connector.simulator.marks import FundingTime

__all__ = ["ContractDesk"]

WARN_PERCENT = 80
"""A margin call comes when maintenance takes so much of what there is."""


class ContractDesk(Desk):
    """All accounts of an exchange that lists contracts; spot pairs may stand beside them."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        now_us: Callable[[], int],
        publish: Callable[[Market, Outcome, list[Trade], int], None],
        tell: Callable[[Account, Event], None],
    ) -> None:
        super().__init__(markets, now_us, publish, tell)
        self.contracts = [market for market in markets.values() if market.listing.is_contract]
        self.forced_id: Callable[[str, int], str] = lambda origin, number: f"{origin}-{number}"
        """Names the orders the exchange makes itself; the dialect may have its own way."""
        self._next_forced = 1
        self._sending: AccountOrder | None = None
        self._seen: dict[str, tuple[int, int]] = {}
        self._dated: dict[AccountOrder, None] = {}
        """Orders that end at a time of their own."""

    # means

    def spendable(self, account: Account, asset: str) -> int:
        """What may go out of an account: nothing that margin needs."""
        free = super().spendable(account, asset)
        if not any(market.listing.settle == asset for market in self.contracts):
            return free
        return min(free, self.clearing.state(account, asset).free_e8)

    def _open(self, account: Account, market: Market, new: NewOrder) -> AccountOrder:
        order = super()._open(account, market, new)
        if new.expires_us:
            self._dated[order] = None
        return order

    def _need(self, account: Account, market: Market, new: NewOrder) -> int:
        return 0 if market.listing.is_contract else super()._need(account, market, new)

    def _check_means(self, account: Account, market: Market, new: NewOrder) -> None:
        if not market.listing.is_contract:
            super()._check_means(account, market, new)
            return
        clearing = self.clearing
        if (new.holding == "net") == clearing.terms(account, market).hedge:
            raise Refused("holding")
        if clearing.only_closes(account, market, new):
            if not new.trigger and self._closable(account, market, new) <= 0:
                raise Refused("reduce_only")
            return
        if not new.trigger:
            self._check_margin(account, market, new)

    def _check_margin(self, account: Account, market: Market, new: NewOrder | None, before: int | None = None) -> None:
        """Raises Refused when an order (one more, or those open after a change from `before`) makes too much possible."""
        clearing = self.clearing
        price = self._expected(account, market, new) if new is not None else 0
        old = clearing.exposure(account, market) if before is None else before
        total = clearing.exposure(account, market, new, price)
        if total <= old:
            return
        terms = clearing.terms(account, market)
        if total > clearing.most_e8(market, terms.leverage_e8):
            raise Refused("position_limit")
        more = -(-(total - old) * SCALE // terms.leverage_e8)
        fees = (total - old) * account.taker_rate // SCALE
        free = clearing.state(account, market.listing.settle).free_e8
        if before is not None:
            free += more  # the state has it counted in already
        if more + fees > free:
            raise Refused("insufficient_margin")

    def _expected(self, account: Account, market: Market, new: NewOrder) -> int:
        """The price an order is taken to trade at, in ticks, for margin."""
        if new.price is not None:
            return new.price
        traded, quote = market.engine.cost(new.side, new.lots, account.name)
        mark = market.marks.mark_e8 // market.listing.tick_e8
        return max(mark, -(-quote // traded)) if traded else mark

    # trades

    def _book(
        self, market: Market, fill: Fill, maker: AccountOrder | None, taker: AccountOrder | None, at_us: int
    ) -> None:
        if not market.listing.is_contract:
            super()._book(market, fill, maker, taker, at_us)
            return
        value = value_e16(market.listing, fill.price * market.listing.tick_e8, fill.quantity)
        for order, is_maker in ((maker, True), (taker, False)):
            if order is not None:
                self._take(order, fill.trade_id, fill.price, fill.quantity, value, at_us, is_maker=is_maker)
        alone = maker if taker is None else taker if maker is None else None
        if alone is not None:
            self.clearing.against_crowd(market, 1 if alone.new.side is Side.BUY else -1, fill.quantity, value)
        for order in (maker, taker):
            if order is not None:
                self._trim(order.account, market)

    def _take(
        self, order: AccountOrder, trade_id: int, price: int, lots: int, value: int, at_us: int, *, is_maker: bool
    ) -> None:
        """Account for one side of a trade."""
        account, market, clearing = order.account, order.market, self.clearing
        listing = market.listing
        buying = order.new.side is Side.BUY
        rate = 0 if order.new.origin else account.maker_rate if is_maker else account.taker_rate
        fee = value * rate // (SCALE * SCALE)
        order.filled += lots
        order.value += value
        order.quote = order.value // SCALE
        order.updated_us = at_us
        realised = clearing.fill(order, lots, price * listing.tick_e8, value, fee, at_us)
        about: dict[str, Any] = {"symbol": market.symbol, "trade_id": trade_id}
        if realised:
            kind = "delivery" if order.new.origin == "settlement" else "realised"
            clearing.book(account, kind, listing.settle, realised, at_us, **about)
        if fee:
            clearing.book(account, "commission", listing.settle, -fee, at_us, **about)
        record = AccountFill(
            trade_id,
            order.order_id,
            order.list_id,
            price,
            lots,
            value // SCALE,
            fee,
            listing.settle,
            at_us,
            buying,
            is_maker,
            realised,
            clearing.side_of(account, market, order.new),
        )
        order.fills.append(record)
        account.fills.setdefault(market.symbol, []).append(record)
        order.status = OrderStatus.PARTIALLY_FILLED if order.left else OrderStatus.FILLED
        self._report(order, "TRADE", at_us, fill=record)
        if not order.left:
            self._end(order)

    def _trim(self, account: Account, market: Market) -> None:
        """Orders that only close never hold more than there is to close: the oldest first, the rest is cut or ends."""
        left: dict[tuple[HoldingSide, Side], int] = {}
        for order in list(account.open_on(market.symbol)):
            new, engine_id = order.new, order.engine_id
            if engine_id is None or not order.open or not self.clearing.only_closes(account, market, new):
                continue
            key = self.clearing.side_of(account, market, new), new.side
            if key not in left:
                left[key] = self.clearing.closable(account, market, new)
            resting = market.engine.order(engine_id)
            if resting is None:
                if order is not self._sending:
                    self._due.append(lambda order=order: self._expire_if_open(order))  # type: ignore[misc]
                continue
            if left[key] <= 0:
                self._due.append(lambda order=order: self._expire_if_open(order))  # type: ignore[misc]
            elif resting.remaining > left[key]:
                cut = resting.quantity - resting.remaining + left[key]
                self._due.append(lambda ident=engine_id, lots=cut, market=market: self._cut(market, ident, lots))  # type: ignore[misc]
            left[key] -= min(resting.remaining, max(0, left[key]))
        for order in list(self._waiting[market.symbol].values()):
            if (
                order.account is account
                and order.new.close_all
                and not self.clearing.closable(account, market, order.new)
            ):
                self._due.append(lambda order=order: self._expire_if_open(order, "POSITION_CLOSED"))  # type: ignore[misc]

    def _expire_if_open(self, order: AccountOrder, why: str = "REDUCE_ONLY") -> None:
        if order.open:
            self._expire(order, why)

    def _closable(self, account: Account, market: Market, new: NewOrder, but: AccountOrder | None = None) -> int:
        """Lots that one more order may close; what already rests to close them comes first, unless this one takes at once."""
        clearing = self.clearing
        lots = clearing.closable(account, market, new)
        if new.price is None:
            return lots
        for order in account.open_on(market.symbol):
            if order is but or order.engine_id is None or order.new.side is not new.side:
                continue
            if clearing.only_closes(account, market, order.new) and order.new.holding == new.holding:
                resting = market.engine.order(order.engine_id)
                lots -= 0 if resting is None else resting.remaining
        return lots

    def _cut(self, market: Market, engine_id: int, lots: int) -> None:
        resting = market.engine.order(engine_id)
        if resting is not None and resting.filled < lots < resting.quantity:
            market.log.prepare(market.engine)
            outcome = market.engine.reduce(engine_id, lots)
            assert outcome is not None
            self.happened(market, outcome)

    def _submit(self, order: AccountOrder) -> None:
        market, new = order.market, order.new
        if not market.listing.is_contract:
            super()._submit(order)
            return
        if market.status != "TRADING" and not new.origin:
            self._expire(order, "EXCHANGE_CANCELED")
            return
        lots = order.left
        if self.clearing.only_closes(order.account, market, new):
            lots = min(lots, self._closable(order.account, market, new, order))
        if lots <= 0:
            self._expire(order, "REDUCE_ONLY")
            return
        before, self._sending = self._sending, order
        try:
            self._send(order, lots, "REDUCE_ONLY" if lots < order.left else "")
        finally:
            self._sending = before

    # triggers

    def _watch(self, market: Market, price: int, by: str = "last") -> None:
        idle = [
            order
            for order in self._waiting[market.symbol].values()
            if order.new.spawns and order.new.trailing is not None and order.extreme is None
        ]
        super()._watch(market, price, by)
        for order in idle:
            if order.open and order.extreme is not None:
                self._report(order, "ACTIVATED", self._now_us())

    def _may_trigger(self, order: AccountOrder) -> bool:
        if not order.new.apart_e8:
            return True
        mark_e8, last_e8 = order.market.marks.mark_e8, order.market.price * order.market.listing.tick_e8
        return abs(mark_e8 - last_e8) * SCALE < order.new.apart_e8 * mark_e8

    def _trigger(self, order: AccountOrder) -> None:
        market, new, account = order.market, order.new, order.account
        if not market.listing.is_contract:
            super()._trigger(order)
            return
        if not order.open:
            return
        now_us = self._now_us()
        order.updated_us = now_us
        order.working_us = now_us
        if new.close_all:
            held = self.clearing.closable(account, market, new)
            if not held:
                self._expire(order, "NOTHING_TO_CLOSE")
                return
            order.lots = held
        self._report(order, "TRIGGERED", now_us)
        if new.spawns:
            self._spawn(order)
            return
        try:
            self._check_means(account, market, msgspec.structs.replace(new, trigger="", lots=order.lots))
        except Refused as refused:
            self._expire(order, refused.reason.upper())
            return
        order.working = True
        self._report(order, "NEW", now_us)
        self._submit(order)

    def _spawn(self, order: AccountOrder) -> None:
        """Let another order take its place."""
        account, market, new = order.account, order.market, order.new
        child = msgspec.structs.replace(
            new,
            type="MARKET" if new.price is None else "LIMIT",
            trigger="",
            trailing=None,
            spawns="",
            client_id=new.spawns,
            lots=order.lots,
            notes={**new.notes, "type": new.type},
        )
        try:
            self.check(account, market, child)
            self._check_means(account, market, child)
        except Refused as refused:
            self._expire(order, refused.reason.upper())
            return
        spawned = self._open(account, market, child)
        spawned.parent, order.spawned = order, spawned
        order.status, order.expiry_reason = OrderStatus.EXPIRED, "TRIGGERED"
        account.drop(order)
        self._report(order, "SPAWNED", order.updated_us)
        self._announce(spawned)
        self._submit(spawned)

    def _end(self, order: AccountOrder) -> None:
        super()._end(order)
        if order.parent is not None:
            order.parent.updated_us = self._now_us()
            self._report(order.parent, "FINISHED", order.parent.updated_us)

    def place_dead(self, account: Account, market: Market, new: NewOrder, why: str) -> AccountOrder:
        """Take an order that ends at once, for exchanges that tell so instead of refusing it.

        Raises:
            Refused: nothing has happened.
        """
        with self._operation():
            self.check(account, market, msgspec.structs.replace(new, post_only=False))
            self._check_means(account, market, new)
            order = self._open(account, market, new)
            self._announce(order)
            self._expire(order, why)
        return order

    # changes of orders

    def modify(
        self,
        order: AccountOrder,
        *,
        price: int | None = None,
        lots: int | None = None,
        stop: int | None = None,
        keep_place: bool = False,
        note: Any = None,
    ) -> OrderChange:
        """Give an open order another price, size or trigger. It loses its place, unless `keep_place` and it only gets smaller.

        A size not above what has traded, and a post-only order that would now trade at once, cancel it (see `order.open`).

        Raises:
            Refused: nothing has changed; "amend_same" when nothing would.
        """
        if not order.market.listing.is_contract:
            return super().modify(order, price=price, lots=lots, stop=stop, keep_place=keep_place, note=note)
        market, account, old = order.market, order.account, order.new
        if not account.can_trade:
            raise Refused("disabled")
        if market.status != "TRADING":
            raise Refused("market_closed")
        lots = order.lots if lots is None else lots
        fresh = msgspec.structs.replace(
            old, price=old.price if price is None else price, stop=old.stop if stop is None else stop
        )
        if (fresh.price, fresh.stop, lots) == (old.price, old.stop, order.lots):
            raise Refused("amend_same")
        before_lots = order.lots
        with self._operation():
            change = OrderChange(
                len(order.changes) + 1, self._now_us(), old.price or 0, fresh.price or 0, before_lots, lots, note
            )
            if lots <= order.filled:
                self._cancel(order, order.client_id)
                return change
            waits = bool(old.trigger) and not order.working
            if not waits:
                exposed = self.clearing.exposure(account, market)
                order.new, order.lots = fresh, lots
                try:
                    self._check_margin(account, market, None, exposed)
                except Refused:
                    order.new, order.lots = old, before_lots
                    raise
            order.new, order.lots, order.updated_us = fresh, lots, change.at_us
            order.changes.append(change)
            if waits:
                self._report(order, "REPLACED", change.at_us)
                return change
            if keep_place and fresh.price == old.price and order.engine_id is not None:
                resting = market.engine.order(order.engine_id)
                if (
                    resting is not None
                    and resting.filled < (kept := resting.quantity - before_lots + lots) < resting.quantity
                ):
                    self._cut(market, order.engine_id, kept)
                    self._report(order, "REPLACED", change.at_us)
                    return change
            self._withdraw(order)
            if order.engine_id is not None:
                self._on_book[market.symbol].pop(order.engine_id, None)
            if fresh.post_only and not fresh.late and market.engine.crosses(fresh.side, fresh.price):
                self._cancel(order, order.client_id)
                return change
            self._report(order, "REPLACED", change.at_us)
            self._submit(order)
        return change

    # terms

    def set_leverage(self, account: Account, market: Market, leverage_e8: int) -> None:
        """Choose a leverage.

        Raises:
            Refused: "leverage" when the table has none so high, or an isolated position would lose margin; "position_limit" when
                the position is too large for it; "insufficient_margin"; "same_terms" when it is so already.
        """
        clearing = self.clearing
        terms = clearing.terms(account, market)
        if leverage_e8 < SCALE or leverage_e8 > max(row.leverage for row in market.listing.brackets) * SCALE:
            raise Refused("leverage")
        if leverage_e8 == terms.leverage_e8:
            raise Refused("same_terms")
        held = clearing.holdings(account, market.symbol)
        if any(h.isolated for h in held) and leverage_e8 < terms.leverage_e8:
            raise Refused("terms_position")
        if clearing.exposure(account, market) > clearing.most_e8(market, leverage_e8):
            raise Refused("position_limit")
        before, terms.leverage_e8 = terms.leverage_e8, leverage_e8
        if leverage_e8 < before and clearing.state(account, market.listing.settle).free_e8 < 0:
            terms.leverage_e8 = before
            raise Refused("insufficient_margin")
        self._tell(account, TermsChange(account, market, "leverage", self._now_us()))

    def set_isolated(self, account: Account, market: Market, isolated: bool) -> None:
        """Choose isolated or cross margin.

        Raises:
            Refused: "same_terms", "terms_orders" with open orders there, "terms_position" with a position.
        """
        terms = self.clearing.terms(account, market)
        if terms.isolated == isolated:
            raise Refused("same_terms")
        if any(True for _ in account.open_on(market.symbol)):
            raise Refused("terms_orders")
        if self.clearing.holdings(account, market.symbol):
            raise Refused("terms_position")
        terms.isolated = isolated
        self._tell(account, TermsChange(account, market, "isolated", self._now_us()))

    def set_hedge(self, account: Account, hedge: bool, markets: list[Market] | None = None) -> None:
        """Choose hedge mode (a long and a short position side by side) or one-way mode, of some symbols or all.

        Raises:
            Refused: "same_terms", "terms_orders", "terms_position".
        """
        chosen = self.contracts if markets is None else markets
        terms = [self.clearing.terms(account, market) for market in chosen]
        usual = markets is None and account.hedge_usual != hedge
        if not usual and all(each.hedge == hedge for each in terms):
            raise Refused("same_terms")
        symbols = {market.symbol for market in chosen}
        if any(order.market.symbol in symbols for order in account.open_orders.values()):
            raise Refused("terms_orders")
        if any(held.market.symbol in symbols for held in self.clearing.holdings(account)):
            raise Refused("terms_position")
        for each in terms:
            each.hedge = hedge
        if markets is None:
            account.hedge_usual = hedge
        self._tell(account, TermsChange(account, None if markets is None else chosen[0], "hedge", self._now_us()))

    def move_margin(self, held: Holding, amount_e8: int) -> None:
        """Give an isolated position more margin, or (negative) less.

        Raises:
            Refused: "insufficient_margin" when there is not so much, or the position needs it.
        """
        account, market, clearing = held.account, held.market, self.clearing
        if amount_e8 > clearing.state(account, market.listing.settle).free_e8:
            raise Refused("insufficient_margin")
        keeps = held.isolated_e8 + amount_e8 + min(0, held.unrealised_e8)
        if amount_e8 < 0 and keeps < clearing.position_margin_e8(held):
            raise Refused("insufficient_margin")
        with self.because("margin"):
            held.isolated_e8 += amount_e8
            held.updated_us = self._now_us()
            account.move(held, market.listing.settle)

    # what time brings

    def tick(self, now_us: int) -> None:
        """Everything that is due: funding, delivery, orders that end, triggers on mark and index, too little margin."""
        for market in self.contracts:
            if market.marks.due(now_us):
                self.fund(market, scheduled=True)
            listing = market.listing
            if listing.expiry_ms and now_us >= listing.expiry_ms * 1000 and market.status == "TRADING":
                self.deliver(market)
            self.watch_marks(market)
        for order in [order for order in self._dated if order.new.expires_us <= now_us or not order.open]:
            del self._dated[order]
            if order.open:
                self.expire(order, "GOOD_TILL_DATE")
        if self.contracts:
            self.check_accounts()

    def watch_marks(self, market: Market) -> None:
        """Look at mark and index price, and trigger what waited for them."""
        now = watched_price(market, "mark"), watched_price(market, "index")
        if self._waiting[market.symbol] and self._seen.get(market.symbol) != now:
            with self._operation():
                for price, by in zip(now, ("mark", "index"), strict=True):
                    self._watch(market, price, by)
        self._seen[market.symbol] = now

    def hold_mark(self, market: Market, price_e8: int | None) -> None:
        """Put the mark price somewhere, or let it go; everything that follows has happened when this returns."""
        market.marks.hold(price_e8, self._now_us())
        self.watch_marks(market)
        self.check_accounts()

    def fund(self, market: Market, *, scheduled: bool = False) -> FundingTime:
        """Let everybody with a position pay or get funding at the current rate."""
        done = market.marks.charge(self._now_us(), scheduled=scheduled)
        listing, clearing = market.listing, self.clearing
        for account in self.accounts.values():
            held_here = clearing.holdings(account, market.symbol)
            if not held_here:
                continue
            with self.because("funding", market.symbol):
                for held in held_here:
                    amount = clearing.funding_e8(held, done.rate_e8, done.mark_e8)
                    clearing.pay(account, listing.settle, amount)
                    clearing.book(
                        account,
                        "funding",
                        listing.settle,
                        amount,
                        done.at_us,
                        symbol=market.symbol,
                        rate_e8=done.rate_e8,
                        lots=held.lots,
                        price_e8=done.mark_e8,
                    )
                    if held.isolated:
                        held.isolated_e8 += amount
                        account.move(held, listing.settle)
        self.check_accounts()
        return done

    # what the exchange does to positions

    def check_accounts(self) -> None:
        """Liquidate whoever has too little left."""
        for account in self.accounts.values():
            if account.holdings and not self._busy:
                self._check_account(account)

    def _check_account(self, account: Account) -> None:
        clearing = self.clearing
        for held in clearing.holdings(account):
            if held.isolated and held.isolated_e8 + held.unrealised_e8 <= clearing.maintenance_e8(held):
                self.liquidate(held)
        endangered = False
        for asset in {held.market.listing.settle for held in clearing.holdings(account)}:
            equity, needed = clearing.health(account, asset)
            crossed = [held for held in clearing.holdings(account, settle=asset) if not held.isolated]
            if needed and equity <= needed:
                for held in sorted(crossed, key=clearing.maintenance_e8, reverse=True):
                    equity, needed = clearing.health(account, asset)
                    if equity <= needed:
                        self.liquidate(held)
            elif needed * 100 > equity * WARN_PERCENT:
                endangered = True
                if not account.warned:
                    self._tell(account, MarginCall(account, asset, tuple(crossed), self._now_us()))
        account.warned = endangered

    def liquidate(self, held: Holding) -> AccountOrder | None:
        """Close a position by force, whether it must be or not. Returns the order that did it."""
        account, market, clearing = held.account, held.market, self.clearing
        listing, asset = market.listing, market.listing.settle
        if not held.lots:
            return None
        with self.because("liquidation"):
            for order in list(account.open_on(market.symbol)):
                if order.open:
                    self._expire(order, "LIQUIDATION")
            own = held.isolated_e8 if held.isolated else clearing.health(account, asset)[0] - held.unrealised_e8
            tick, mark_e8 = listing.tick_e8, market.marks.mark_e8
            long = held.lots > 0
            used_up = held.price_losing(max(0, own)) or (0 if long else mark_e8 * 2)
            # nobody sells a sound position at any price: never further than a twentieth from the mark
            limit = max(used_up, mark_e8 * 19 // 20) if long else min(used_up, mark_e8 * 21 // 20)
            price = max(1, -(-limit // tick) if long else limit // tick)
            order = self._force(held, "liquidation", price, abs(held.lots))
            self._strike(order, price)
            if order.open:
                self._from_house(order, order.left, price)
            left = own + sum(fill.realised_e8 for fill in order.fills)
            fee = order.quote * listing.takeover_e8 // SCALE
            self._insure(account, market, -min(left, fee))  # what is missing is paid, too
        return order

    def adl(self, held: Holding, lots: int | None = None, price: int | None = None) -> AccountOrder | None:
        """Take (a part of) a position away for somebody else's liquidation, at a price in ticks or the mark."""
        if not held.lots:
            return None
        chosen = abs(held.lots) if lots is None else min(lots, abs(held.lots))
        at = price or max(1, held.market.marks.mark_e8 // held.market.listing.tick_e8)
        with self.because("adl"):
            order = self._force(held, "adl", at, chosen)
            self._from_house(order, chosen, at)
        self._trim_soon(held)
        return order

    def deliver(self, market: Market, status: str = "DELIVERED") -> None:
        """End a contract: orders are canceled, positions settled at the index price, and its status is this."""
        at = max(1, market.marks.index_e8 // market.listing.tick_e8)
        market.status = status
        for account in self.accounts.values():
            for order in list(account.open_on(market.symbol)):
                if order.open:
                    self.expire(order, "DELIVERY")
            for held in self.clearing.holdings(account, market.symbol):
                with self.because("delivery"):
                    self._from_house(self._force(held, "settlement", at, abs(held.lots)), abs(held.lots), at)

    def _trim_soon(self, held: Holding) -> None:
        with self._operation():
            self._trim(held.account, held.market)

    def _force(self, held: Holding, origin: str, price: int, lots: int) -> AccountOrder:
        """An order nobody asked for, announced and not yet at work."""
        new = NewOrder(
            side=Side.SELL if held.lots > 0 else Side.BUY,
            type="LIMIT",
            lots=lots,
            client_id=self.forced_id(origin, self._next_forced),
            price=price,
            tif=TimeInForce.IOC,
            tif_text="IOC",
            holding=held.side,
            reduce_only=True,
            origin=origin,
        )
        self._next_forced += 1
        order = self._open(held.account, held.market, new)
        self._announce(order)
        return order

    def _strike(self, order: AccountOrder, price: int) -> None:
        """Let a forced order take what the book offers; the rest of it stays where it is."""
        market = order.market
        market.log.prepare(market.engine)
        outcome = market.engine.submit(
            order.new.side, order.left, price, tif=TimeInForce.IOC, owner=order.account.name, client_id=order.client_id
        )
        order.engine_id = outcome.order.order_id
        self._on_book[market.symbol][order.engine_id] = order
        before, self._sending = self._sending, order
        try:
            self.happened(market, outcome)
        finally:
            self._sending = before

    def _from_house(self, order: AccountOrder, lots: int, price: int) -> None:
        """Let the house be the other side of an order."""
        market = order.market
        value = value_e16(market.listing, price * market.listing.tick_e8, lots)
        self._take(order, market.engine.number_trade(), price, lots, value, self._now_us(), is_maker=False)
        self.clearing.against_crowd(market, 1 if order.new.side is Side.BUY else -1, lots, value)

    def _insure(self, account: Account, market: Market, amount_e8: int) -> None:
        """The insurance fund pays an account or (negative) gets something from it."""
        if not amount_e8:
            return
        asset, house = market.listing.settle, self.clearing.house
        with self.because("insurance"):
            self.clearing.pay(account, asset, amount_e8)
            house.insurance_e8[asset] = house.insurance_e8.get(asset, 0) - amount_e8
            self.clearing.book(account, "insurance", asset, amount_e8, self._now_us(), symbol=market.symbol)
