"""Hold what accounts own and what became of their orders: balances, locks, positions, commission, orders, lists, fills.

Money is integers in units of 1e-8 (`_e8`), prices are ticks, quantities lots; amounts that do not come out even are cut off
at the eighth place, so that the amounts of single fills always add up to an order's. This module only counts: it never
trades, tells or reads a clock. Touched on the simulator's loop thread only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from connector.matching import OrderStatus, Side, StpMode, TimeInForce
from connector.simulator.instruments import SCALE
from connector.simulator.limits import Window
from connector.simulator.market import Market

if TYPE_CHECKING:
    from connector.simulator.margin import Holding, HoldingSide, Income, Terms

__all__ = [
    "Account",
    "AccountFill",
    "AccountOrder",
    "Balance",
    "NewOrder",
    "OrderChange",
    "OrderList",
    "PreventedMatch",
    "decimal_e8",
]


def decimal_e8(units: int) -> Decimal:
    """Units of 1e-8 as an exact decimal."""
    return Decimal(units).scaleb(-8)


class Balance:
    """What is there of one asset."""

    __slots__ = ("free", "locked")

    def __init__(self, free: int = 0) -> None:
        self.free, self.locked = free, 0

    def __repr__(self) -> str:
        return f"<Balance free={decimal_e8(self.free)} locked={decimal_e8(self.locked)}>"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants: prices in ticks, quantities in lots, `quote_e8` in units of the quote asset.

    `trigger` is "" or where the price must come first: "above" or "below"; then `stop` or `trailing` (in 1/10,000) is given.
    `client_id` may be "": nobody's. `late`: it is taken first and looked at then, so that a post-only order that would trade is
    ended and not refused. `dust`: when all lots have traded something of the amount is left, so that it ends as expired.
    `worst` is the price beyond which a market order does not trade. `unlocked`: spot, holds nothing back before its trigger.
    `trigger_by` says which price that is: last, mark or index; `activation` from which side a trailing one's stop is reached
    first ("" as `trigger`). With `spawns` another order takes its place when it is triggered, under the client id `spawns`.
    Of contracts: `holding` is the position of hedge mode it works on, `reduce_only` and `close_all` (whatever is held then) only
    close. `expires_us` ends it at that time (0: never). `origin` is "" for a customer's own, or liquidation, adl, settlement.
    `notes` is the dialect's own. With `apart_e8` it is triggered only while last and mark price differ by less than that part.
    """

    side: Side
    type: str
    lots: int
    client_id: str
    price: int | None = None
    tif: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    stop: int | None = None
    trailing: int | None = None
    trigger: str = ""
    display: int = 0
    quote_e8: int = 0
    stp: StpMode = StpMode.NONE
    stp_text: str = "NONE"
    tif_text: str = "GTC"
    strategy_id: int | None = None
    strategy_type: int | None = None
    late: bool = False
    dust: bool = False
    worst: int | None = None
    unlocked: bool = False
    holding: HoldingSide = "net"
    reduce_only: bool = False
    close_all: bool = False
    trigger_by: str = "last"
    activation: str = ""
    spawns: str = ""
    expires_us: int = 0
    origin: str = ""
    notes: Mapping[str, Any] = {}
    apart_e8: int = 0


class AccountFill(msgspec.Struct, frozen=True, gc=False):
    """One trade of an order: amounts in 1e-8, time in UTC microseconds.

    Of contracts: `quote_e8` is the worth in the settle asset, `realised_e8` the profit, `holding` the position it changed.
    """

    trade_id: int
    order_id: int
    list_id: int
    price: int
    lots: int
    quote_e8: int
    commission_e8: int
    commission_asset: str
    time_us: int
    is_buyer: bool
    is_maker: bool
    realised_e8: int = 0
    holding: str = ""


class PreventedMatch(msgspec.Struct, frozen=True, gc=False):
    """Two orders of the account that met and did not trade."""

    match_id: int
    price: int
    lots: int
    maker_order_id: int
    taker_order_id: int
    mode: str
    time_us: int


class OrderChange(msgspec.Struct, frozen=True, gc=False):
    """One modification: prices in ticks, sizes in lots; `note` is the dialect's own."""

    number: int
    at_us: int
    price_before: int
    price_after: int
    lots_before: int
    lots_after: int
    note: Any = None


class AccountOrder:
    """One order of an account, from placement to its end and ever after."""

    __slots__ = (
        "account",
        "amends",
        "changes",
        "client_id",
        "created_us",
        "engine_id",
        "expiry_reason",
        "extreme",
        "filled",
        "fills",
        "list",
        "locked",
        "lots",
        "market",
        "new",
        "order_id",
        "parent",
        "pending",
        "prevented",
        "prevented_match",
        "quote",
        "spawned",
        "status",
        "trailing_us",
        "updated_us",
        "value",
        "working",
        "working_us",
    )

    def __init__(self, account: Account, market: Market, order_id: int, new: NewOrder, now_us: int) -> None:
        self.account, self.market, self.order_id, self.new = account, market, order_id, new
        self.client_id = new.client_id
        self.lots, self.filled, self.quote, self.prevented = new.lots, 0, 0, 0
        self.status = OrderStatus.NEW
        self.created_us = self.updated_us = now_us
        self.working = self.pending = False
        self.working_us: int | None = None
        self.engine_id: int | None = None
        self.locked = 0
        self.list: OrderList | None = None
        self.fills: list[AccountFill] = []
        self.amends: list[tuple[int, str, str, int, int, int]] = []
        self.changes: list[OrderChange] = []
        self.parent: AccountOrder | None = None
        self.spawned: AccountOrder | None = None
        """The order that took its place when it was triggered; that one's `parent` is this."""
        self.value = 0
        """Worth of what traded, in 1e-16 of the settle asset; contracts only."""
        self.expiry_reason = ""
        self.extreme: int | None = None
        self.trailing_us: int | None = None
        self.prevented_match: PreventedMatch | None = None

    @property
    def open(self) -> bool:
        """Not at its end."""
        return self.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)

    @property
    def left(self) -> int:
        """Lots that may still trade."""
        return self.lots - self.filled - self.prevented

    @property
    def algo(self) -> bool:
        """Waits, or waited, for a price to trigger it."""
        return bool(self.new.trigger)

    @property
    def list_id(self) -> int:
        """Number of its list; -1 when it stands alone."""
        return self.list.list_id if self.list is not None else -1

    @property
    def status_text(self) -> str:
        """The status in words; an order that waits for another one's fill is PENDING_NEW."""
        if self.spawned is not None:
            return "TRIGGERED"
        return "PENDING_NEW" if self.pending and self.open else self.status.value

    def locked_asset(self) -> str:
        """Which asset it holds back."""
        listing = self.market.listing
        return listing.quote if self.new.side is Side.BUY else listing.base

    def __repr__(self) -> str:
        return (
            f"<AccountOrder {self.market.symbol} {self.order_id} {self.client_id} {self.new.side.value} "
            f"{self.filled}/{self.lots} {self.status_text}>"
        )


class OrderList:
    """Orders that belong together: OCO (one cancels the other) or OTO (one triggers the others)."""

    def __init__(self, list_id: int, client_id: str, contingency: str, market: Market, now_us: int) -> None:
        self.list_id, self.client_id, self.contingency, self.market = list_id, client_id, contingency, market
        self.created_us = self.updated_us = now_us
        self.orders: list[AccountOrder] = []
        self.first: AccountOrder | None = None
        """The order whose fill brings the others to life; None in an OCO."""
        self.status_type, self.status = "EXEC_STARTED", "EXECUTING"

    @property
    def open(self) -> bool:
        """At least one of its orders is not at its end."""
        return self.status == "EXECUTING"

    def siblings(self, order: AccountOrder) -> list[AccountOrder]:
        """The legs that exclude each other, without the given one."""
        return [other for other in self.orders if other is not order and other is not self.first]

    def __repr__(self) -> str:
        return f"<OrderList {self.list_id} {self.contingency} {self.status} {self.orders}>"


class Account:
    """What one customer owns, has open, and did."""

    def __init__(
        self,
        name: str,
        uid: int,
        maker_rate: int,
        taker_rate: int,
        orders_per_10s: int,
        orders_per_day: int,
        orders_per_minute: int,
    ) -> None:
        self.name, self.uid = name, uid
        self.maker_rate, self.taker_rate = maker_rate, taker_rate
        self.discount_asset, self.discount_rate = "", SCALE
        """The asset commission is paid in when there is enough of it, and what is left of the rate then, in 1e-8."""
        self.can_trade = True
        self.updated_us = 0
        self.balances: dict[str, Balance] = {}
        self.orders: dict[str, dict[int, AccountOrder]] = {}
        self.fills: dict[str, list[AccountFill]] = {}
        self.prevented: dict[str, list[PreventedMatch]] = {}
        self.lists: dict[int, OrderList] = {}
        self.open_orders: dict[tuple[str, int], AccountOrder] = {}
        self.by_client: dict[tuple[str, str], AccountOrder] = {}
        self.open_clients: dict[str, AccountOrder] = {}
        self.counts = (Window(orders_per_10s, 10), Window(orders_per_day, 86_400))
        self.minute_count = Window(orders_per_minute, 60)
        """Orders in this minute, for exchanges that count so."""
        self.touched: dict[str, None] = {}
        self.moved: dict[Holding, None] = {}
        self.holdings: dict[tuple[str, HoldingSide], Holding] = {}
        self.terms: dict[str, Terms] = {}
        self.hedge_usual = self.isolated_usual = False
        """What holds for symbols nobody has chosen anything for yet."""
        self.incomes: list[Income] = []
        self.warned = False
        """Told that its margin runs out, and not yet out of danger."""

    def balance(self, asset: str) -> Balance:
        """The balance of an asset, made when first asked for."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def add(self, asset: str, units: int) -> None:
        """Give (or, negative, take) free units."""
        self.balance(asset).free += units
        self.touched[asset] = None

    def move(self, held: Holding | None, asset: str) -> None:
        """Note that a wallet, and a position, may have changed."""
        self.touched[asset] = None
        if held is not None:
            self.moved[held] = None

    def relock(self, order: AccountOrder, units: int) -> None:
        """Let an order hold back exactly so much from now on; orders for contracts hold back margin instead."""
        if units != order.locked and not order.market.listing.is_contract:
            asset = order.locked_asset()
            balance = self.balance(asset)
            balance.free -= units - order.locked
            balance.locked += units - order.locked
            order.locked = units
            self.touched[asset] = None

    def pay(self, order: AccountOrder, units: int, still: int) -> None:
        """Take a payment out of what an order holds back, which then holds back `still`; the rest becomes free."""
        asset = order.locked_asset()
        balance = self.balance(asset)
        balance.locked -= order.locked - still
        balance.free += order.locked - still - units
        order.locked = still
        self.touched[asset] = None

    def keep(self, order: AccountOrder) -> None:
        """Enter a new order under its ids."""
        symbol = order.market.symbol
        self.orders.setdefault(symbol, {})[order.order_id] = order
        self.open_orders[symbol, order.order_id] = order
        self.name_order(order, order.client_id)

    def name_order(self, order: AccountOrder, client_id: str) -> None:
        """Let an open order be known by that client id (too)."""
        order.client_id = client_id
        if client_id:
            self.by_client[order.market.symbol, client_id] = order
            self.open_clients[client_id] = order

    def drop(self, order: AccountOrder) -> None:
        """The order is at its end: its client ids are free again."""
        self.open_orders.pop((order.market.symbol, order.order_id), None)
        for client_id in {order.client_id, order.new.client_id, *(amend[2] for amend in order.amends)}:
            if self.open_clients.get(client_id) is order:
                del self.open_clients[client_id]

    def find(self, symbol: str, order_id: int | None, client_id: str | None) -> AccountOrder | None:
        """An order by its number, or the newest that has that client id."""
        if order_id is not None:
            return self.orders.get(symbol, {}).get(order_id)
        return self.by_client.get((symbol, client_id or ""))

    def open_on(self, symbol: str | None = None) -> Iterator[AccountOrder]:
        """Open orders of a symbol, or all, oldest first."""
        return (order for order in self.open_orders.values() if symbol in (None, order.market.symbol))

    def __repr__(self) -> str:
        return f"<Account {self.name} open={len(self.open_orders)} orders={sum(map(len, self.orders.values()))}>"
