"""Turn checked parameters into orders for the desk: rules per order type, and every filter of the venue.

Decides what is refused before the engine sees it (code -1013, or -2010 for what the venue's engine counts) and in which
words. It places nothing. Prices come in as units of 1e-8 and leave as ticks. Source: the venue's filter and trading documents,
read 2026-11.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from connector.matching import Side, StpMode, TimeInForce
from connector.simulator.accounts import Account, NewOrder
from connector.simulator.dialects.binance_spot.live import average_price, symbol_row
from connector.simulator.dialects.binance_spot.rest import VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, e8
from connector.simulator.market import Market

__all__ = ["OrderReader", "filter_failure"]

# type: (mandatory, allowed besides) of the parameters that depend on it; "a|b" is at least one of them.
_RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "LIMIT": (("timeInForce", "quantity", "price"), ("icebergQty",)),
    "MARKET": (("quantity|quoteOrderQty",), ()),
    "LIMIT_MAKER": (("quantity", "price"), ("icebergQty",)),
    "STOP_LOSS": (("quantity", "stopPrice|trailingDelta"), ()),
    "STOP_LOSS_LIMIT": (("timeInForce", "quantity", "price", "stopPrice|trailingDelta"), ("icebergQty",)),
    "TAKE_PROFIT": (("quantity", "stopPrice|trailingDelta"), ()),
    "TAKE_PROFIT_LIMIT": (("timeInForce", "quantity", "price", "stopPrice|trailingDelta"), ("icebergQty",)),
}
_BY_TYPE = ("timeInForce", "quantity", "quoteOrderQty", "price", "stopPrice", "trailingDelta", "icebergQty")
_ID_LETTERS = string.ascii_letters + string.digits


def filter_failure(name: str, *, engine: bool = False) -> VenueError:
    """A filter said no: before the engine (-1013) or in it (-2010)."""
    return VenueError(-2010 if engine else -1013, f"Filter failure: {name}")


def _missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class OrderReader:
    """Reads new orders for one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._rng = random.Random(f"{exchange.settings.seed}:ids")
        self._rows: dict[str, dict[str, Any]] = {}
        self._filters: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._averages: dict[str, tuple[int, int]] = {}

    def fresh_id(self) -> str:
        """A client order id as the venue makes them up."""
        return "".join(self._rng.choices(_ID_LETTERS, k=22))

    def filters(self, market: Market) -> dict[str, Mapping[str, Any]]:
        """The symbol's filters by type, hidden ones included."""
        known = self._filters.get(market.symbol)
        if known is None:
            rows = [
                *symbol_row(market, True)["filters"],
                *market.listing.filters,
                *self._exchange.settings.exchange_filters,
            ]
            known = self._filters[market.symbol] = {row["filterType"]: row for row in rows}
        return known

    def read(self, market: Market, p: Mapping[str, Any], prefix: str = "", **fixed: Any) -> NewOrder:
        """An order from parameters whose names begin with `prefix`; `fixed` gives those named elsewhere.

        Raises:
            VenueError: a rule of its type or an API-side filter says no.
        """
        own = {name[0].lower() + name[1:]: p[prefix + name] for name in map(_capital, _BY_TYPE) if prefix + name in p}
        if not prefix:
            own = {name: p[name] for name in _BY_TYPE if name in p}
        own |= {name: value for name, value in fixed.items() if name in _BY_TYPE}
        kind: str = fixed.get("type") or p[prefix + "Type" if prefix else "type"]
        side = Side(fixed.get("side") or p[prefix + "Side" if prefix else "side"])
        label = (lambda name: prefix + _capital(name)) if prefix else (lambda name: name)
        _check_type(kind, own, label)
        ident = p.get(label("clientOrderId") if prefix else "newClientOrderId") or self.fresh_id()
        mode: str = p.get("selfTradePreventionMode", "EXPIRE_MAKER")
        self._check_filters(market, kind, side, own)
        listing = market.listing
        price, stop = own.get("price"), own.get("stopPrice")
        quote = own.get("quoteOrderQty", 0)
        stp = StpMode.DECREMENT if mode == "TRANSFER" else StpMode(mode)
        lots = own.get("quantity", 0) // listing.step_e8
        if quote:
            lots = self._lots_for(market, side, quote, "" if stp is StpMode.NONE else fixed["owner"])
        conditional = kind.startswith(("STOP", "TAKE"))
        rising = (kind.startswith("STOP")) == (side is Side.BUY)
        tif = own.get("timeInForce", "GTC")
        return NewOrder(
            side=side,
            type=kind,
            lots=lots,
            client_id=ident,
            price=None if price is None else price // listing.tick_e8,
            tif=TimeInForce(tif),
            tif_text=tif,
            post_only=kind == "LIMIT_MAKER",
            stop=None if stop is None else stop // listing.tick_e8,
            trailing=own.get("trailingDelta"),
            trigger="" if not conditional else "above" if rising else "below",
            display=own.get("icebergQty", 0) // listing.step_e8,
            quote_e8=quote,
            stp=stp,
            stp_text=mode,
            strategy_id=p.get(label("strategyId")),
            strategy_type=p.get(label("strategyType")),
        )

    def _lots_for(self, market: Market, side: Side, quote: int, avoided: str) -> int:
        listing = market.listing
        lots = market.engine.lots_for(side, quote * SCALE // (listing.tick_e8 * listing.step_e8), avoided)
        rows = self.filters(market)
        if lots * listing.step_e8 < e8(rows["LOT_SIZE"]["minQty"]) or not lots:
            raise VenueError(-2010, "Order book liquidity is less than LOT_SIZE filter minimum quantity.")
        most = e8(rows["MARKET_LOT_SIZE"]["maxQty"]) if "MARKET_LOT_SIZE" in rows else 0
        return min(lots, most // listing.step_e8) if most else lots

    def reference(self, market: Market, minutes: int) -> int:
        """The price that filters compare with, in 1e-8: the average of the last minutes, or the last trade's."""
        if not minutes:
            return market.price * market.listing.tick_e8
        now_us = self._exchange.clock.now_us()
        second = now_us // 1_000_000
        known = self._averages.get(market.symbol)
        if known is None or known[0] != second:
            known = self._averages[market.symbol] = (second, e8(average_price(market, now_us)[0]))
        return known[1]

    def _check_filters(self, market: Market, kind: str, side: Side, own: Mapping[str, Any]) -> None:
        rows = self.filters(market)
        price, quantity = own.get("price"), own.get("quantity")
        for value in (price, own.get("stopPrice")):
            if value is not None and not _in_steps(value, rows["PRICE_FILTER"], "minPrice", "maxPrice", "tickSize"):
                raise filter_failure("PRICE_FILTER")
        if price is not None:
            self._check_percent(market, side, price, rows)
        for value in (quantity, own.get("icebergQty")):
            if value is not None and not _in_steps(value, rows["LOT_SIZE"], "minQty", "maxQty", "stepSize"):
                raise filter_failure("LOT_SIZE")
        lot = rows.get("MARKET_LOT_SIZE")
        if (
            kind == "MARKET"
            and quantity is not None
            and lot
            and not _in_steps(quantity, lot, "minQty", "maxQty", "stepSize")
        ):
            raise filter_failure("MARKET_LOT_SIZE")
        iceberg = own.get("icebergQty")
        if (
            iceberg
            and quantity
            and "ICEBERG_PARTS" in rows
            and -(-quantity // iceberg) > rows["ICEBERG_PARTS"]["limit"]
        ):
            raise filter_failure("ICEBERG_PARTS")
        delta = own.get("trailingDelta")
        if delta is not None and "TRAILING_DELTA" in rows:
            which = "Above" if kind.startswith("STOP") == (side is Side.BUY) else "Below"
            row = rows["TRAILING_DELTA"]
            if not row[f"minTrailing{which}Delta"] <= delta <= row[f"maxTrailing{which}Delta"]:
                raise filter_failure("TRAILING_DELTA")
        self._check_value(market, price, quantity, own.get("quoteOrderQty", 0), rows)

    def _check_percent(self, market: Market, side: Side, price: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        sided = "bid" if side is Side.BUY else "ask"
        for name, up, down in (
            ("PERCENT_PRICE", "multiplierUp", "multiplierDown"),
            ("PERCENT_PRICE_BY_SIDE", f"{sided}MultiplierUp", f"{sided}MultiplierDown"),
        ):
            if name in rows:
                row = rows[name]
                reference = self.reference(market, row["avgPriceMins"])
                if not reference * e8(row[down]) <= price * SCALE <= reference * e8(row[up]):
                    raise filter_failure(name)

    def _check_value(
        self, market: Market, price: int | None, quantity: int | None, quote: int, rows: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Smallest and largest value; in 1e-16 of the quote asset, so that nothing is rounded before it is compared."""
        limited = price is not None
        for name, least, most in (("MIN_NOTIONAL", "minNotional", ""), ("NOTIONAL", "minNotional", "maxNotional")):
            if name not in rows:
                continue
            row = rows[name]
            at = price if price is not None else self.reference(market, row["avgPriceMins"])
            value = quote * SCALE or (quantity or 0) * at
            low = limited or row.get("applyMinToMarket", row.get("applyToMarket", False))
            if low and value < e8(row[least]) * SCALE:
                raise filter_failure(name)
            if most and e8(row[most]) and (limited or row["applyMaxToMarket"]) and value > e8(row[most]) * SCALE:
                raise filter_failure(name)
        hidden = rows.get("MAX_ASSET")
        if hidden is not None:
            at = price if price is not None else self.reference(market, 5)
            base, value = (quantity or 0), quote * SCALE or (quantity or 0) * at
            if hidden["asset"] == market.listing.base and base > e8(hidden["limit"]):
                raise filter_failure("MAX_ASSET")
            if hidden["asset"] == market.listing.quote and value > e8(hidden["limit"]) * SCALE:
                raise filter_failure("MAX_ASSET")

    def check_counts(
        self, account: Account, market: Market, orders: Sequence[NewOrder], *, as_list: bool = False
    ) -> None:
        """What the engine counts: open orders per symbol and over all, lists, and the largest position."""
        rows = self.filters(market)
        here, everywhere = list(account.open_on(market.symbol)), list(account.open_orders.values())
        algo = sum(bool(new.trigger) for new in orders)
        icebergs = sum(bool(new.display) for new in orders)
        lists = [bundle for bundle in account.lists.values() if bundle.open] if as_list else []
        for name, field, count, more in (
            ("MAX_NUM_ORDERS", "maxNumOrders", len(here), len(orders)),
            ("MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", sum(order.algo for order in here), algo),
            (
                "MAX_NUM_ICEBERG_ORDERS",
                "maxNumIcebergOrders",
                sum(bool(order.new.display) for order in here),
                icebergs,
            ),
            (
                "MAX_NUM_ORDER_LISTS",
                "maxNumOrderLists",
                sum(bundle.market is market for bundle in lists),
                int(as_list),
            ),
            ("EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders", len(everywhere), len(orders)),
            ("EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", sum(order.algo for order in everywhere), algo),
            (
                "EXCHANGE_MAX_NUM_ICEBERG_ORDERS",
                "maxNumIcebergOrders",
                sum(bool(order.new.display) for order in everywhere),
                icebergs,
            ),
            ("EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists", len(lists), int(as_list)),
        ):
            if name in rows and more and count + more > rows[name][field]:
                raise filter_failure(name, engine=True)
        row = rows.get("MAX_POSITION")
        if row is not None:
            step = market.listing.step_e8
            balance = account.balance(market.listing.base)
            bought = sum(order.left * step for order in here if order.new.side is Side.BUY)
            more = sum(new.lots * step for new in orders if new.side is Side.BUY)
            if more and balance.free + balance.locked + bought + more > e8(row["maxPosition"]):
                raise filter_failure("MAX_POSITION", engine=True)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _check_type(kind: str, own: Mapping[str, Any], label: Any) -> None:
    mandatory, optional = _RULES[kind]
    for rule in mandatory:
        if not any(name in own for name in rule.split("|")):
            raise _missing(label(rule.split("|")[0]))
    allowed = {name for rule in mandatory for name in rule.split("|")} | set(optional)
    for name in own:
        if name not in allowed:
            if name == "timeInForce":
                raise VenueError(-1114, "TimeInForce parameter sent when not required.")
            raise VenueError(-1106, f"Parameter '{label(name)}' sent when not required.")
    if "quantity" in own and "quoteOrderQty" in own:
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    if own.get("icebergQty") and own.get("timeInForce", "GTC") != "GTC":
        raise VenueError(-1013, "Iceberg orders must have timeInForce GTC.")
    for name, text in (
        ("quantity", "Invalid quantity."),
        ("quoteOrderQty", "Invalid quote quantity."),
        ("price", "Invalid price."),
    ):
        if own.get(name) == 0:
            raise VenueError(-1013, text)


def _in_steps(value: int, row: Mapping[str, Any], least: str, most: str, step: str) -> bool:
    low, high, grid = e8(row[least]), e8(row[most]), e8(row[step])
    return not ((low and value < low) or (high and value > high) or (grid and value % grid))
