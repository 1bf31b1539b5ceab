"""The products the fault suites run on: everything in which they differ for a test is a field here, and nowhere else.

A product is one exchange's spot market, linear or inverse contracts. The harnesses take one (Binance spot unless told
otherwise); judges ask it how to read the ledger, which counts as the venue does: contracts, its own ids, its own symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connector.domain import Symbol
from connector.domain.contracts import base_units
from connector.domain.instruments import Instrument

__all__ = ["BINANCE", "CONTRACTS", "PRODUCTS", "Product", "named"]

ROOMY_BINANCE = {
    "request_weight_per_minute": 10_000_000,
    "raw_requests_per_5min": 10_000_000,
    "connects_per_5min": 1_000_000,
    "orders_per_10s": 1_000_000,
    "orders_per_minute": 1_000_000,
    "orders_per_day": 10_000_000,
}
_BYBIT_CALLS = ("order.place", "order.modify", "order.cancel", "openOrders.status", "allOrders", "myTrades")
_BYBIT_MORE = ("account.status", "account.info", "account.log", "position.status", "leverage.set", "account.key")
ROOMY_BYBIT = {
    "connects_per_5min": 1_000_000,
    "limits": {
        **dict.fromkeys(("http_per_5s", "ws_orders_per_s", "open_orders"), 10_000_000),
        **dict.fromkeys((*_BYBIT_CALLS, *_BYBIT_MORE), 1_000_000),
    },
}


_EXPIRED = frozenset(
    {"UNFILLED_IOC_QUANTITY_EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED", "INSUFFICIENT_LIQUIDITY", "DELIVERY"}
)


@dataclass(frozen=True)
class Product:
    """One market of one exchange.

    Attributes:
        exchange: name of the driver.
        dialect: of the simulator.
        symbols: our symbols' text -> the venue's names, the liveliest first.
        trades: kind of the topic that brings trades.
        trade_topic, book_topic: the venue's names of those topics, with {name} for the symbol as topics write it.
        lower: topics write symbols in lower case.
        snapshot_path: part of the path that answers book snapshots; "" where the stream brings them.
        opaque: trade ids are texts without an order; trades and books carry the number by which the ledger knows them.
        inverse: orders and levels are counted in contracts whose worth in base units depends on the price.
        size, small: what an order is for, in contracts when inverse, else in base units; and the least step of it.
        away: how far from the best price an order rests.
        balances: of an account.
        settle: what profit and funding are paid in; "" on spot.
        order_event: how the kind of account events about orders begins in the ledger.
        doubtful: (status, code) of an answer that says neither yes nor no.
        key_expires: account events come by a listen key, which can expire.
        notice: the venue announces the end of a connection.
        roomy: settings of a simulator whose limits no test reaches.
    """

    exchange: str
    dialect: str
    symbols: Mapping[str, str]
    trades: str
    trade_topic: str
    book_topic: str
    lower: bool
    snapshot_path: str
    opaque: bool
    inverse: bool
    size: Decimal
    small: Decimal
    balances: Mapping[str, str | int]
    settle: str
    order_event: str
    doubtful: tuple[tuple[int, int], ...]
    away: Decimal = Decimal(500)
    key_expires: bool = False
    notice: bool = True
    roomy: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.exchange

    @property
    def names(self) -> tuple[str, ...]:
        """What a simulator lists."""
        return tuple(self.symbols.values())

    @property
    def main(self) -> str:
        return next(iter(self.symbols))

    @property
    def other(self) -> str:
        return list(self.symbols)[1]

    @property
    def symbol(self) -> Symbol:
        return Symbol.parse(self.main)

    def ours(self, name: str) -> Symbol:
        """Our symbol for a venue's name."""
        return Symbol.parse(next(text for text, venue in self.symbols.items() if venue == name))

    def topic(self, form: str, text: str = "") -> str:
        """A venue's topic name from `trade_topic` or `book_topic`; of the main symbol unless told otherwise."""
        name = self.symbols[text or self.main]
        return form.format(name=name.lower() if self.lower else name)

    def sized(self, amount: Decimal | str | None = None) -> dict[str, Decimal]:
        """The size of an order, as the command's argument."""
        chosen = self.size if amount is None else Decimal(amount)
        return {"contracts": chosen} if self.inverse else {"quantity": chosen}

    def least(self, symbol: Symbol) -> Decimal:
        """The least step of an order's size: ten times as much of the second symbol where base units count."""
        return self.small if self.inverse or symbol == self.symbol else self.small * 10

    def amount(self, event: Any, filled: bool = False) -> Decimal:
        """How much of what the venue counts an order, fill, trade or position of ours says."""
        name = "filled" if filled else "quantity"
        counted: Decimal = getattr(event, ("filled_contracts" if filled else "contracts") if self.inverse else name)
        return counted

    def units(self, instrument: Instrument, amount: Decimal, price: Decimal) -> Decimal:
        """What the ledger counts, in base units."""
        return base_units(instrument, amount, price) if self.inverse else amount

    def levels(self, instrument: Instrument, levels: list[tuple[Decimal, Decimal]]) -> list[tuple[Decimal, Decimal]]:
        """Levels of the ledger's book in base units."""
        return [(price, self.units(instrument, amount, price)) for price, amount in levels]

    def forced(self, client_id: str) -> bool:
        """Whether an order of the ledger is one the venue placed by itself: nobody here has such an order, only its fills."""
        return client_id == "" or "autoclose" in client_id

    def status(self, order: Any) -> str:
        """How an order of the ledger reads here. A venue without a word for expired orders tells reasons, and only those of
        orders that had to trade at once, or ended with the contract, mean that."""
        text = {"EXPIRED_IN_MATCH": "expired"}.get(order.status, order.status.lower())
        if text != "expired" or not self.opaque:
            return text
        if order.filled and not self.settle:
            return "canceled"
        if order.expiry_reason == "REJECTED":
            return "canceled" if order.filled else "rejected"
        return "expired" if order.expiry_reason in _EXPIRED else "canceled"

    def trade_text(self, sim: Any, name: str, trade_id: int) -> str:
        """What a fill calls the trade with that number in the ledger."""
        if not self.opaque:
            return str(trade_id)
        text: str = sim.exchange.dialect.board.ids.execution(name, trade_id)
        return text


_BINANCE_DOUBTS = ((504, -1007), (502, 0), (503, -1006))
_FUTURES_DOUBTS = ((504, -1007), (502, 0), (503, 0))
_BYBIT_DOUBTS = ((504, 0), (502, 0), (200, 10016))

BINANCE = Product(
    exchange="binance",
    dialect="binance_spot",
    symbols={"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"},
    trades="trades",
    trade_topic="{name}@trade",
    book_topic="{name}@depth@100ms",
    lower=True,
    snapshot_path="depth",
    opaque=False,
    inverse=False,
    size=Decimal("0.010"),
    small=Decimal("0.001"),
    balances={"BTC": 1000, "ETH": 10_000, "USDT": 100_000_000},
    settle="",
    order_event="executionReport",
    doubtful=_BINANCE_DOUBTS,
    roomy=ROOMY_BINANCE,
)
USDM = Product(
    exchange="binance-usdm",
    dialect="binance_usdm",
    symbols={"BTC/USDT:USDT": "BTCUSDT", "ETH/USDT:USDT": "ETHUSDT"},
    trades="agg_trades",
    trade_topic="{name}@aggTrade",
    book_topic="{name}@depth@100ms",
    lower=True,
    snapshot_path="depth",
    opaque=False,
    inverse=False,
    size=Decimal("0.010"),
    small=Decimal("0.001"),
    balances={"USDT": 100_000_000},
    settle="USDT",
    order_event="ORDER_TRADE_UPDATE",
    doubtful=_FUTURES_DOUBTS,
    key_expires=True,
    roomy=ROOMY_BINANCE,
)
COINM = Product(
    exchange="binance-coinm",
    dialect="binance_coinm",
    symbols={"BTC/USD:BTC": "BTCUSD_PERP", "ETH/USD:ETH": "ETHUSD_PERP"},
    trades="agg_trades",
    trade_topic="{name}@aggTrade",
    book_topic="{name}@depth@100ms",
    lower=True,
    snapshot_path="depth",
    opaque=False,
    inverse=True,
    size=Decimal(10),
    small=Decimal(1),
    balances={"BTC": 1000, "ETH": 10_000},
    settle="BTC",
    order_event="ORDER_TRADE_UPDATE",
    doubtful=_FUTURES_DOUBTS,
    key_expires=True,
    roomy=ROOMY_BINANCE,
)
BYBIT = Product(
    exchange="bybit",
    dialect="bybit_spot",
    symbols={"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"},
    trades="trades",
    trade_topic="publicTrade.{name}",
    book_topic="orderbook.1000.{name}",
    lower=False,
    snapshot_path="",
    opaque=True,
    inverse=False,
    size=Decimal("0.010"),
    small=Decimal("0.001"),
    balances={"BTC": 1000, "ETH": 10_000, "USDT": 100_000_000},
    settle="",
    order_event="order",
    doubtful=_BYBIT_DOUBTS,
    notice=False,
    roomy=ROOMY_BYBIT,
)
BYBIT_LINEAR = Product(
    exchange="bybit-linear",
    dialect="bybit_linear",
    symbols={"BTC/USDT:USDT": "BTCUSDT", "ETH/USDT:USDT": "ETHUSDT"},
    trades="trades",
    trade_topic="publicTrade.{name}",
    book_topic="orderbook.1000.{name}",
    lower=False,
    snapshot_path="",
    opaque=True,
    inverse=False,
    size=Decimal("0.010"),
    small=Decimal("0.001"),
    balances={"USDT": 100_000_000},
    settle="USDT",
    order_event="order",
    doubtful=_BYBIT_DOUBTS,
    notice=False,
    roomy=ROOMY_BYBIT,
)
BYBIT_INVERSE = Product(
    exchange="bybit-inverse",
    dialect="bybit_inverse",
    symbols={"BTC/USD:BTC": "BTCUSD", "ETH/USD:ETH": "ETHUSD"},
    trades="trades",
    trade_topic="publicTrade.{name}",
    book_topic="orderbook.1000.{name}",
    lower=False,
    snapshot_path="",
    opaque=True,
    inverse=True,
    size=Decimal(1000),
    small=Decimal(100),
    balances={"BTC": 1000, "ETH": 10_000},
    settle="BTC",
    order_event="order",
    doubtful=_BYBIT_DOUBTS,
    notice=False,
    roomy=ROOMY_BYBIT,
)

PRODUCTS = {each.exchange: each for each in (BINANCE, USDM, COINM, BYBIT, BYBIT_LINEAR, BYBIT_INVERSE)}
CONTRACTS = {name: each for name, each in PRODUCTS.items() if each.settle}


def named(text: str) -> tuple[Product, ...]:
    """The products a `--product` option means: one by its name, or "all"."""
    return tuple(PRODUCTS.values()) if text == "all" else (PRODUCTS[text],)
