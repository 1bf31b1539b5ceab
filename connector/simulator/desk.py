"""Take the orders of accounts to the market and account for what comes back.

Decides what an order needs and holds back, when a stop is triggered, what happens to the rest of a list, who pays which
commission, and in which order all that is told. Orders of accounts meet each other and the crowd in the same matching
engine. It knows no protocol and no socket: what happened goes out as `Event` values, in the order it happened; a batch that
changed balances ends with one `Position`. What is special about contracts on margin is done by `contracts`. Loop thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from connector.matching import Fill, OrderStatus, Outcome, Prevented, Side, StpMode, TimeInForce
from connector.simulator.accounts import (
    Account,
    AccountFill,
    AccountOrder,
    NewOrder,
    OrderChange,
    OrderList,
    PreventedMatch,
)
from connector.simulator.history import Trade
from connector.simulator.instruments import SCALE
from connector.simulator.keys import ApiKey
from connector.simulator.margin import Clearing, Holding
from connector.simulator.market import Market

__all__ = [
    "BalanceChange",
    "Desk",
    "Event",
    "ListUpdate",
    "MarginCall",
    "Position",
    "Refused",
    "Report",
    "TermsChange",
    "notional_e8",
]

FIRST_ORDER_ID = 4_400_001
FIRST_SPAWNING_ID = 2_000_000_001
TAKER_CREDIT, MAKER_CREDIT = 1, 5
"""What an order's first fill gives back of the order count. The venue says "more" for makers; five is this simulator's."""

Reason = Literal[
    "amend_limit",
    "amend_larger",
    "amend_same",
    "disabled",
    "duplicate",
    "holding",
    "insufficient_balance",
    "insufficient_margin",
    "leverage",
    "market_closed",
    "oco_prices",
    "position_limit",
    "reduce_only",
    "same_terms",
    "terms_orders",
    "terms_position",
    "would_match",
    "would_trigger",
]


class Refused(Exception):
    """The engine will not take it; nothing has changed. The dialect puts the reason into the venue's words."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


class Report(msgspec.Struct, frozen=True):
    """Something happened to an order. The order is shown as it is at that moment, so read it at once.

    `execution` is NEW, CANCELED, REPLACED, TRADE, EXPIRED or TRADE_PREVENTION; `client_id` the id of the request that caused it,
    `original` the order's own where that is another one.
    """

    order: AccountOrder
    execution: str
    at_us: int
    execution_id: int
    client_id: str
    original: str = ""
    fill: AccountFill | None = None
    prevented: PreventedMatch | None = None
    reason: str = "NONE"


class Position(msgspec.Struct, frozen=True):
    """Balances of these assets, and these positions, may have changed; read them at once.

    `cause` is order, funding, deposit, margin, insurance, liquidation, adl, delivery or terms; `symbol` that of a funding.
    """

    account: Account
    assets: tuple[str, ...]
    at_us: int
    holdings: tuple[Holding, ...] = ()
    cause: str = "order"
    symbol: str = ""


class BalanceChange(msgspec.Struct, frozen=True):
    """Money came or went without a trade."""

    account: Account
    asset: str
    delta_e8: int
    at_us: int


class ListUpdate(msgspec.Struct, frozen=True):
    """An order list began, or is done."""

    account: Account
    list: OrderList
    at_us: int


class TermsChange(msgspec.Struct, frozen=True):
    """An account has chosen another leverage, margin or mode of positions; `market` None: for all symbols."""

    account: Account
    market: Market | None
    what: Literal["leverage", "isolated", "hedge"]
    at_us: int


class MarginCall(msgspec.Struct, frozen=True):
    """These positions are not far from liquidation."""

    account: Account
    asset: str
    holdings: tuple[Holding, ...]
    at_us: int


Event = Report | Position | BalanceChange | ListUpdate | TermsChange | MarginCall


def notional_e8(market: Market, quote: int) -> int:
    """Ticks times lots in units of the quote asset, cut off at the eighth place."""
    return quote * market.listing.tick_e8 * market.listing.step_e8 // SCALE


def _notional_up(market: Market, quote: int) -> int:
    return -(-quote * market.listing.tick_e8 * market.listing.step_e8 // SCALE)


class Desk:
    """All accounts of the exchange and their orders."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        now_us: Callable[[], int],
        publish: Callable[[Market, Outcome, list[Trade], int], None],
        tell: Callable[[Account, Event], None],
    ) -> None:
        self._markets, self._now_us, self._publish, self._tell = markets, now_us, publish, tell
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, ApiKey] = {}
        self.clearing = Clearing(markets)
        self._on_book: dict[str, dict[int, AccountOrder]] = {symbol: {} for symbol in markets}
        self._waiting: dict[str, dict[int, AccountOrder]] = {symbol: {} for symbol in markets}
        self._next_order = dict.fromkeys(markets, FIRST_ORDER_ID)
        self._next_execution = dict.fromkeys(markets, 8_800_001)
        self._next_match = 1
        self._next_list = 1
        self._next_spawning = FIRST_SPAWNING_ID
        self._cause, self._about = "order", ""
        self._busy = False
        self._due: deque[Callable[[], None]] = deque()

    # what happens at the market

    def happened(self, market: Market, outcome: Outcome) -> None:
        """Take an outcome of a market's engine as fact, whoever caused it, and do what follows from it."""
        now_us = self._now_us()
        trades = market.apply(outcome, now_us)
        self._publish(market, outcome, trades, now_us)
        if self._on_book[market.symbol] or self._waiting[market.symbol]:
            with self._operation():
                self._digest(market, outcome, trades)

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """One thing with all its consequences: triggered orders are worked after it, then balances are told."""
        if self._busy:
            yield
            return
        self._busy = True
        try:
            yield
            while self._due:
                self._due.popleft()()
            self.settle()
        finally:
            self._busy = False

    def settle(self) -> None:
        """Tell now what has changed so far; done by itself at the end of every operation."""
        for account in self.accounts.values():
            if account.touched:
                account.updated_us = self._now_us()
                assets, account.touched = tuple(account.touched), {}
                moved, account.moved = tuple(account.moved), {}
                for held in moved:  # a question and the event tell one change with one time
                    held.updated_us = account.updated_us
                self._tell(account, Position(account, assets, account.updated_us, moved, self._cause, self._about))

    @contextmanager
    def because(self, cause: str, about: str = "") -> Iterator[None]:
        """What happens inside is told apart, with its cause."""
        with self._operation():
            self.settle()
            before = self._cause, self._about
            self._cause, self._about = cause, about
            try:
                yield
            finally:
                self.settle()
                self._cause, self._about = before

    def _digest(self, market: Market, outcome: Outcome, trades: list[Trade]) -> None:
        live = self._on_book[market.symbol]
        prevented = deque(outcome.prevented)
        for index, (fill, trade) in enumerate(zip(outcome.fills, trades, strict=True)):
            while prevented and prevented[0].after_fills <= index:
                self._prevent(market, prevented.popleft())
            maker, taker = live.get(fill.maker_order_id), live.get(fill.taker_order_id)
            self._book(market, fill, maker, taker, trade.time_us)
        for rest in prevented:
            self._prevent(market, rest)
        price = 0
        for fill in outcome.fills:
            if fill.price != price:
                price = fill.price
                self._watch(market, price)

    def _watch(self, market: Market, price: int, by: str = "last") -> None:
        """A trade at that price, or a mark or index price: trigger what waited for it."""
        for order in list(self._waiting[market.symbol].values()):
            if order.new.trigger_by == by and self._may_trigger(order) and _triggered(order, price, self._now_us()):
                del self._waiting[market.symbol][order.order_id]
                self._due.append(lambda order=order: self._trigger(order))  # type: ignore[misc]

    def _may_trigger(self, order: AccountOrder) -> bool:
        return True

    def _book(
        self, market: Market, fill: Fill, maker: AccountOrder | None, taker: AccountOrder | None, at_us: int
    ) -> None:
        """Account for one trade on both sides, as far as they have accounts."""
        if maker is not None:
            self._fill(maker, fill, at_us, is_maker=True)
        if taker is not None:
            self._fill(taker, fill, at_us, is_maker=False)

    def _fill(self, order: AccountOrder, fill: Fill, at_us: int, *, is_maker: bool) -> None:
        account, market = order.account, order.market
        listing = market.listing
        buying = order.new.side is Side.BUY
        first = not order.filled
        if first and order.list is not None:
            self._lone(order)
        quote, base = notional_e8(market, fill.price * fill.quantity), fill.quantity * listing.step_e8
        order.filled += fill.quantity
        order.quote += quote
        order.updated_us = at_us
        received, units = (listing.base, base) if buying else (listing.quote, quote)
        asset, commission = self._commission(account, market, received, units, quote, is_maker)
        if buying:
            price = order.new.price
            account.pay(
                order, quote, order.locked - quote if price is None else _notional_up(market, price * order.left)
            )
        else:
            account.pay(order, base, order.locked - base)
        account.add(received, units)
        account.add(asset, -commission)
        if first:
            for window in account.counts:
                window.used = max(0, window.used - (MAKER_CREDIT if is_maker else TAKER_CREDIT))
        record = AccountFill(
            fill.trade_id,
            order.order_id,
            order.list_id,
            fill.price,
            fill.quantity,
            quote,
            commission,
            asset,
            at_us,
            buying,
            is_maker,
        )
        order.fills.append(record)
        dust = not order.left and order.new.dust
        account.fills.setdefault(market.symbol, []).append(record)
        order.status = OrderStatus.PARTIALLY_FILLED if order.left or dust else OrderStatus.FILLED
        self._report(order, "TRADE", at_us, fill=record)
        if dust:
            self._expire(order, "DUST")
        elif not order.left:
            self._end(order)

    def _commission(
        self, account: Account, market: Market, received: str, units: int, quote: int, is_maker: bool
    ) -> tuple[str, int]:
        """(asset, amount): of what was received, or of the discount asset where the account has enough of it."""
        rate = account.maker_rate if is_maker else account.taker_rate
        asset = account.discount_asset
        if asset:
            pair = self._markets.get(asset + market.listing.quote)
            price = SCALE if asset == market.listing.quote else 0 if pair is None else pair.price * pair.listing.tick_e8
            if price:
                amount = quote * rate * account.discount_rate // SCALE // price
                if amount <= account.balance(asset).free:
                    return asset, amount
        return received, units * rate // SCALE

    def _prevent(self, market: Market, prevented: Prevented) -> None:
        live, now_us = self._on_book[market.symbol], self._now_us()
        maker, taker = live.get(prevented.maker_order_id), live.get(prevented.taker_order_id)
        if maker is None or taker is None:
            return
        match = PreventedMatch(
            self._next_match,
            prevented.price,
            prevented.quantity,
            maker.order_id,
            taker.order_id,
            taker.new.stp_text,
            now_us,
        )
        self._next_match += 1
        maker.account.prevented.setdefault(market.symbol, []).append(match)
        for order, ends in ((maker, prevented.maker_expired), (taker, prevented.taker_expired)):
            if taker.new.stp is not StpMode.DECREMENT and not ends:
                continue
            order.prevented_match = match
            order.prevented += prevented.quantity
            order.updated_us = now_us
            if ends:
                order.status = OrderStatus.EXPIRED_IN_MATCH
            elif order.new.side is Side.SELL or order.new.price is not None:
                order.account.relock(order, _still_needed(order))
            self._report(order, "TRADE_PREVENTION", now_us, prevented=match)
            if ends:
                self._end(order)

    # orders

    def place(self, account: Account, market: Market, new: NewOrder) -> AccountOrder:
        """Take an order. What it trades at once has happened when this returns.

        Raises:
            Refused: nothing has happened.
        """
        with self._operation():
            self.check(account, market, new)
            self._check_means(account, market, new)
            units = self._need(account, market, new)
            order = self._open(account, market, new)
            account.relock(order, units)
            self._announce(order)
            self._work(order)
        return order

    def _check_means(self, account: Account, market: Market, new: NewOrder) -> None:
        if self._need(account, market, new) > self.spendable(account, _locked_asset(market, new)):
            raise Refused("insufficient_balance")

    def spendable(self, account: Account, asset: str) -> int:
        """What may go out of an account."""
        return account.balance(asset).free

    def check(self, account: Account, market: Market, new: NewOrder) -> None:
        """Everything but the money. Raises Refused."""
        if not account.can_trade:
            raise Refused("disabled")
        if market.status != "TRADING":
            raise Refused("market_closed")
        if new.client_id in account.open_clients:
            raise Refused("duplicate")
        if new.post_only and not new.late and market.engine.crosses(new.side, new.price):
            raise Refused("would_match")
        if new.trigger and new.stop is not None and new.trailing is None:
            above, now = new.trigger == "above", watched_price(market, new.trigger_by)
            if now >= new.stop if above else now <= new.stop:
                raise Refused("would_trigger")

    def cancel(self, order: AccountOrder, cancel_id: str) -> list[AccountOrder]:
        """Cancel an open order, and its list with it. Returns what was canceled."""
        with self._operation():
            chosen = [order] if order.list is None else [leg for leg in order.list.orders if leg.open]
            for each in chosen:
                if each.open:  # the end of one leg may have ended the next
                    self._cancel(each, cancel_id)
        return chosen

    def amend(self, order: AccountOrder, lots: int, client_id: str, limit: int) -> int:
        """Make an open order smaller, keeping its place. Returns the execution id.

        Raises:
            Refused: nothing has changed.
        """
        market, account = order.market, order.account
        if not account.can_trade:
            raise Refused("disabled")
        if market.status not in ("TRADING", "CANCEL_ONLY"):
            raise Refused("market_closed")
        if lots >= order.lots:
            raise Refused("amend_same" if lots == order.lots else "amend_larger")
        if len(order.amends) >= limit:
            raise Refused("amend_limit")
        if account.open_clients.get(client_id, order) is not order:
            raise Refused("duplicate")
        with self._operation():
            if lots <= order.filled + order.prevented:
                self._cancel(order, client_id)
                return self._next_execution[market.symbol] - 1
            before, old_id, now_us = order.lots, order.client_id, self._now_us()
            if order.engine_id is not None:
                market.log.prepare(market.engine)
                outcome = market.engine.reduce(order.engine_id, lots)
                assert outcome is not None
                self.happened(market, outcome)
            order.lots = lots
            order.updated_us = now_us
            if client_id != old_id:
                account.by_client.pop((market.symbol, old_id), None)
                account.open_clients.pop(old_id, None)
                account.name_order(order, client_id)
            if not order.pending:
                exclusive = [] if order.list is None or order is order.list.first else order.list.siblings(order)
                group = [order, *(leg for leg in exclusive if leg.open)]
                self._lock_together(group, [_still_needed(leg) for leg in group])
            ident = self._report(order, "REPLACED", now_us, original=old_id)
            order.amends.append((ident, old_id, client_id, before, lots, now_us))
        return ident

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

        Else it goes to the market once more, and may trade at once. A size not above what has traded cancels it.

        Raises:
            Refused: nothing has changed; "amend_same" when nothing would.
        """
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
        done = order.filled + order.prevented
        change = OrderChange(
            len(order.changes) + 1, self._now_us(), old.price or 0, fresh.price or 0, order.lots, lots, note
        )
        if lots <= done:
            self.cancel(order, order.client_id)
            return change
        units = self._need(account, market, msgspec.structs.replace(fresh, lots=lots - done))
        if units - order.locked > self.spendable(account, order.locked_asset()):
            raise Refused("insufficient_balance")
        with self._operation():
            ident = order.engine_id
            resting = None if ident is None else market.engine.order(ident)
            stays = keep_place and fresh.price == old.price and lots < order.lots
            if resting is not None and stays:
                market.log.prepare(market.engine)
                outcome = market.engine.reduce(resting.order_id, resting.quantity - order.lots + lots)
                assert outcome is not None
                self.happened(market, outcome)
            elif resting is not None:
                self._withdraw(order)
                del self._on_book[market.symbol][resting.order_id]
            order.new, order.lots, order.updated_us = fresh, lots, change.at_us
            order.changes.append(change)
            account.relock(order, units)
            self._report(order, "REPLACED", change.at_us)
            if resting is not None and not stays:
                self._submit(order)
        return change

    def expire(self, order: AccountOrder, reason: str) -> None:
        """End an open order on the exchange's own account."""
        with self._operation():
            self._expire(order, reason)

    def fill(self, order: AccountOrder, lots: int | None = None) -> int:
        """Let somebody trade with one resting order, out of turn. Returns how many lots traded; 0 when it does not rest."""
        if order.engine_id is None or not order.open:
            return 0
        market = order.market
        with self._operation():
            market.log.prepare(market.engine)
            outcome = market.engine.hit(order.engine_id, lots)
            if outcome is None:
                return 0
            self.happened(market, outcome)
        return outcome.order.quantity

    def deposit(self, account: Account, asset: str, units: int) -> None:
        """Money comes (or, negative, goes) from outside.

        Raises:
            Refused: less is free than is to go.
        """
        if self.spendable(account, asset) + units < 0:
            raise Refused("insufficient_balance")
        with self.because("deposit"):
            account.add(asset, units)
            self.clearing.deposited(asset, units)
            self.clearing.book(account, "transfer", asset, units, self._now_us())
            self._tell(account, BalanceChange(account, asset, units, self._now_us()))

    # lists

    def place_list(
        self,
        account: Account,
        market: Market,
        contingency: str,
        client_id: str,
        first: NewOrder | None,
        legs: Sequence[NewOrder],
    ) -> OrderList:
        """Take orders that belong together: with `first`, the legs wait until it is filled; two legs exclude each other.

        Raises:
            Refused: nothing has happened.
        """
        with self._operation():
            every = [*([] if first is None else [first]), *legs]
            if len({new.client_id for new in every}) < len(every):
                raise Refused("duplicate")
            if any(entry.open and entry.client_id == client_id for entry in account.lists.values()):
                raise Refused("duplicate")
            if len(legs) == 2 and not _prices_fit(market, legs, None if first is None else first.price):
                raise Refused("oco_prices")
            for new in every:
                if first is None or new is first:
                    self.check(account, market, new)
                elif new.client_id in account.open_clients:
                    raise Refused("duplicate")
            needs = [self._need(account, market, new) for new in ([first] if first is not None else legs)]
            if max(needs) > account.balance(_locked_asset(market, every[0])).free:
                raise Refused("insufficient_balance")
            bundle = OrderList(self._next_list, client_id, contingency, market, self._now_us())
            self._next_list += 1
            account.lists[bundle.list_id] = bundle
            for new in every:
                order = self._open(account, market, new)
                order.list = bundle
                bundle.orders.append(order)
                if new is first:
                    bundle.first = order
                elif first is not None:
                    order.pending = True
            active = [order for order in bundle.orders if not order.pending]
            self._lock_together(active, needs)
            for order in bundle.orders:
                self._announce(order)
            self._tell(account, ListUpdate(account, bundle, self._now_us()))
            for order in active:
                if order.open:
                    self._work(order)
        return bundle

    def cancel_list(self, bundle: OrderList, cancel_id: str) -> None:
        """Cancel what is open of a list."""
        first = next(order for order in bundle.orders if order.open)
        self.cancel(first, cancel_id)

    def _lock_together(self, orders: Sequence[AccountOrder], needs: Sequence[int]) -> None:
        """Legs that exclude each other hold back the larger of their needs between them."""
        held = 0
        for order, units in zip(orders, needs, strict=True):
            order.account.relock(order, max(0, units - held))
            held = max(held, units)

    def _lone(self, order: AccountOrder) -> None:
        """A leg has traded or triggered: the others are over, and it holds back all it needs itself."""
        bundle = order.list
        if bundle is None or order is bundle.first:
            return
        for other in bundle.siblings(order):
            if other.open:
                self._expire(other, "OCO_TRIGGER")
        if order.new.side is Side.SELL or order.new.price is not None:
            order.account.relock(order, _still_needed(order))

    def _after_end(self, order: AccountOrder) -> None:
        """An order of a list is at its end: bring the others to life, or to theirs."""
        bundle = order.list
        assert bundle is not None
        legs = [leg for leg in bundle.orders if leg.pending and leg.open]
        if order is bundle.first and legs:
            if order.status is OrderStatus.FILLED:
                self._due.append(lambda: self._activate(legs))
            elif order.status is not OrderStatus.CANCELED:
                for leg in legs:
                    self._expire(leg, "OTO_PHASE_ONE_EXPIRED")
        elif order is not bundle.first and not order.pending and order.expiry_reason != "OCO_TRIGGER":
            for other in [] if order.status is OrderStatus.CANCELED else bundle.siblings(order):
                if other.open:
                    self._expire(other, "OCO_TRIGGER")
        if bundle.open and not any(each.open for each in bundle.orders):
            bundle.status_type = bundle.status = "ALL_DONE"
            bundle.updated_us = self._now_us()
            self._tell(order.account, ListUpdate(order.account, bundle, bundle.updated_us))

    def _activate(self, legs: Sequence[AccountOrder]) -> None:
        legs = [leg for leg in legs if leg.open]
        if not legs:
            return
        account, market = legs[0].account, legs[0].market
        needs = [self._need(account, market, leg.new) for leg in legs]
        short = max(needs) > account.balance(legs[0].locked_asset()).free
        if short or not _prices_fit(market, [leg.new for leg in legs], None):
            for leg in legs:
                if leg.open:
                    self._expire(leg, "REJECTED", "INSUFFICIENT_BALANCES" if short else "OCO_BAD_PRICES")
            return
        for leg in legs:
            leg.pending = False
        self._lock_together(legs, needs)
        for leg in legs:
            if leg.open:
                self._announce(leg)
                self._work(leg)

    # one order's way

    @property
    def orders_taken(self) -> int:
        """Rises with every order that is taken."""
        return sum(self._next_order.values()) + self._next_spawning

    def _open(self, account: Account, market: Market, new: NewOrder) -> AccountOrder:
        symbol = market.symbol
        if new.spawns:
            number, self._next_spawning = self._next_spawning, self._next_spawning + 1
        else:
            number = self._next_order[symbol]
            self._next_order[symbol] += 1
        order = AccountOrder(account, market, number, new, self._now_us())
        account.keep(order)
        return order

    def _announce(self, order: AccountOrder) -> None:
        """Tell that it was taken; one without a condition is on its way to the book."""
        if not order.pending and not order.new.trigger:
            order.working, order.working_us = True, self._now_us()
        self._report(order, "NEW", self._now_us())

    def _work(self, order: AccountOrder) -> None:
        """Send it to the engine, or let it wait for its price."""
        if order.new.trigger:
            if order.new.trailing is not None and order.new.stop is None:
                now = watched_price(order.market, order.new.trigger_by)
                order.extreme, order.trailing_us = now, self._now_us()
            self._waiting[order.market.symbol][order.order_id] = order
        else:
            self._submit(order)

    def _trigger(self, order: AccountOrder) -> None:
        if not order.open:
            return
        self._lone(order)
        order.working_us = order.updated_us = self._now_us()
        if order.new.unlocked:
            order.new = msgspec.structs.replace(order.new, unlocked=False)
            units = self._need(order.account, order.market, order.new)
            if units > self.spendable(order.account, order.locked_asset()):
                self._expire(order, "INSUFFICIENT_BALANCE")
                return
            order.account.relock(order, units)
        order.working = True
        self._report(order, "NEW", self._now_us())
        self._submit(order)

    def _submit(self, order: AccountOrder) -> None:
        new, market = order.new, order.market
        if market.status != "TRADING":
            self._expire(order, "EXCHANGE_CANCELED")
            return
        lots = order.left
        if new.price is None and new.side is Side.BUY:
            have = order.locked + order.account.balance(market.listing.quote).free
            avoided = "" if new.stp is StpMode.NONE else order.account.name
            affordable = have * SCALE // (market.listing.tick_e8 * market.listing.step_e8)
            lots = min(lots, market.engine.lots_for(Side.BUY, affordable, avoided))
            _, quote = market.engine.cost(Side.BUY, lots, avoided) if lots else (0, 0)
            order.account.relock(order, _notional_up(market, quote))
        if not lots:
            self._expire(order, "INSUFFICIENT_LIQUIDITY")
            return
        self._send(order, lots)

    def _send(self, order: AccountOrder, lots: int, rest: str = "") -> None:
        """Let the engine have so many lots of it, and end it when nothing rests; `rest` says why it got no more of them."""
        new, market = order.new, order.market
        market.log.prepare(market.engine)
        outcome = market.engine.submit(
            new.side,
            lots,
            new.price if new.price is not None else new.worst,
            tif=new.tif if new.price is not None or new.worst is None else TimeInForce.IOC,
            post_only=new.post_only,
            owner=order.account.name,
            client_id=order.client_id,
            stp=new.stp,
            display=new.display,
        )
        order.engine_id = outcome.order.order_id
        self._on_book[market.symbol][order.engine_id] = order
        self.happened(market, outcome)
        if order.open and market.engine.order(order.engine_id) is None:
            reasons = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}
            if rest and outcome.order.status is OrderStatus.FILLED:
                self._expire(order, rest)
                return
            liquidity = "INSUFFICIENT_LIQUIDITY" if new.price is None else "REJECTED"
            self._expire(order, liquidity if new.price is None else reasons.get(new.tif.value, liquidity))

    def _need(self, account: Account, market: Market, new: NewOrder) -> int:
        """What an order holds back: base units to sell, or the most it may cost."""
        if new.trigger and new.unlocked:
            return 0
        if new.side is Side.SELL:
            return new.lots * market.listing.step_e8
        if new.price is not None:
            return _notional_up(market, new.price * new.lots)
        if new.trigger:
            return _notional_up(market, (new.stop or market.price) * new.lots)
        avoided = "" if new.stp is StpMode.NONE else account.name
        return _notional_up(market, market.engine.cost(Side.BUY, new.lots, avoided)[1])

    def _cancel(self, order: AccountOrder, cancel_id: str) -> None:
        self._withdraw(order)
        order.status, order.updated_us = OrderStatus.CANCELED, self._now_us()
        self._report(order, "CANCELED", order.updated_us, client_id=cancel_id, original=order.client_id)
        self._end(order)

    def _expire(self, order: AccountOrder, expiry: str, reason: str = "NONE") -> None:
        self._withdraw(order)
        order.status, order.updated_us, order.expiry_reason = OrderStatus.EXPIRED, self._now_us(), expiry
        self._report(order, "EXPIRED", order.updated_us, reason=reason)
        self._end(order)

    def _withdraw(self, order: AccountOrder) -> None:
        """Take it from wherever it waits."""
        market = order.market
        self._waiting[market.symbol].pop(order.order_id, None)
        if order.engine_id is not None and market.engine.order(order.engine_id) is not None:
            market.log.prepare(market.engine)
            outcome = market.engine.cancel(order.engine_id)
            assert outcome is not None
            self.happened(market, outcome)

    def _end(self, order: AccountOrder) -> None:
        order.working = False
        order.account.relock(order, 0)
        order.account.drop(order)
        if order.engine_id is not None:
            self._on_book[order.market.symbol].pop(order.engine_id, None)
        if order.list is not None:
            self._after_end(order)

    def _report(
        self,
        order: AccountOrder,
        execution: str,
        at_us: int,
        *,
        client_id: str = "",
        original: str = "",
        fill: AccountFill | None = None,
        prevented: PreventedMatch | None = None,
        reason: str = "NONE",
    ) -> int:
        symbol = order.market.symbol
        ident = self._next_execution[symbol]
        self._next_execution[symbol] += 1
        self._tell(
            order.account,
            Report(order, execution, at_us, ident, client_id or order.client_id, original, fill, prevented, reason),
        )
        return ident


def watched_price(market: Market, by: str) -> int:
    """The price in ticks that triggers look at: last, mark or index."""
    if by == "last":
        return market.price
    return (market.marks.mark_e8 if by == "mark" else market.marks.index_e8) // market.listing.tick_e8


def _locked_asset(market: Market, new: NewOrder) -> str:
    return market.listing.quote if new.side is Side.BUY else market.listing.base


def _still_needed(order: AccountOrder) -> int:
    """What the rest of an order holds back; for one without a price what it would cost at its stop, or now."""
    market, new = order.market, order.new
    if new.side is Side.SELL:
        return order.left * market.listing.step_e8
    return _notional_up(market, (new.price or new.stop or market.price) * order.left)


def _triggered(order: AccountOrder, price: int, now_us: int) -> bool:
    """Whether a trade at that price triggers it; a trailing one takes note of the price.

    With both a stop and a delta, the price is followed from the first trade beyond the stop.
    """
    new, above = order.new, order.new.trigger == "above"
    if new.trailing is None:
        assert new.stop is not None
        return price >= new.stop if above else price <= new.stop
    if order.extreme is None:
        assert new.stop is not None
        rising = (new.activation or new.trigger) == "above"
        if price >= new.stop if rising else price <= new.stop:
            order.extreme, order.trailing_us = price, now_us
        return False
    order.extreme = min(order.extreme, price) if above else max(order.extreme, price)
    if above:
        return price * 10_000 >= order.extreme * (10_000 + new.trailing)
    return price * 10_000 <= order.extreme * (10_000 - new.trailing)


def _prices_fit(market: Market, legs: Sequence[NewOrder], reference: int | None) -> bool:
    """Whether two exclusive legs stand on both sides of the last price (or of the price their first order waits at)."""
    if len(legs) != 2:
        return True
    now = market.price if reference is None else reference

    def at(new: NewOrder) -> int | None:
        return new.stop if new.trigger else new.price

    above, below = at(legs[0]), at(legs[1])
    return (above is None or above > now) and (below is None or below < now)
