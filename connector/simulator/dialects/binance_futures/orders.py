"""Turn checked parameters into orders for the desk: rules per order type, mode of positions, and every filter of the venue.

Decides what is refused before the engine sees it, and in which words. It places nothing. Source: the venue's futures documents,
filters and error codes, read 2026-11.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from typing import Any

from connector.matching import Side, StpMode, TimeInForce
from connector.simulator.accounts import Account, AccountOrder, NewOrder
from connector.simulator.contracts import ContractDesk
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import TRIGGER_PROTECT_E8, digits, filters, fixed
from connector.simulator.dialects.binance_futures.rest import VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, e8
from connector.simulator.margin import HoldingSide, value_e16
from connector.simulator.market import Market

__all__ = ["CONDITIONAL", "OrderReader"]

CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
MAX_CONDITIONAL = 200
_HOLDINGS: dict[str, HoldingSide] = {"BOTH": "net", "LONG": "long", "SHORT": "short"}
_ID_LETTERS = string.ascii_letters + string.digits
_LATEST_MS = 253_402_300_799_000


def missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def unwanted(name: str) -> VenueError:
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


class OrderReader:
    """Reads new and changed orders for one exchange."""

    def __init__(self, exchange: Exchange, product: Product) -> None:
        self._exchange, self._product = exchange, product
        self._rng = random.Random(f"{exchange.settings.seed}:ids")
        self._filters: dict[str, dict[str, dict[str, Any]]] = {}

    @property
    def _desk(self) -> ContractDesk:
        return self._exchange.desk

    def fresh_id(self) -> str:
        """A client order id as the venue makes them up."""
        return "".join(self._rng.choices(_ID_LETTERS, k=22))

    def filters(self, market: Market) -> dict[str, dict[str, Any]]:
        """The symbol's filters by type."""
        known = self._filters.get(market.symbol)
        if known is None:
            known = self._filters[market.symbol] = filters(market, self._product)
        return known

    def read(self, account: Account, market: Market, p: Mapping[str, Any]) -> NewOrder:
        """A regular order.

        Raises:
            VenueError: a rule of its type or a filter says no.
        """
        kind = p["type"].upper()
        if kind in CONDITIONAL:
            raise VenueError(
                -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            )
        if kind not in ("LIMIT", "MARKET"):
            raise VenueError(-1116, "Invalid orderType.")
        side = Side(p["side"])
        holding, reduce_only = self._mode(account, market, p)
        if "quantity" not in p:
            raise missing("quantity")
        tif = p.get("timeInForce", "GTC")
        if kind == "MARKET":
            for name in ("price", "timeInForce", "priceMatch"):
                if name in p and p[name] != "NONE":
                    raise unwanted(name)
        elif "timeInForce" not in p:
            raise missing("timeInForce")
        if tif in ("GTD", "RPI") and not self._product.linear:
            raise VenueError(-1115, "Invalid timeInForce.")
        price = self._price(market, side, p) if kind == "LIMIT" else None
        self._check_quantity(market, p["quantity"], "MARKET_LOT_SIZE" if kind == "MARKET" else "LOT_SIZE")
        if price is not None:
            self._check_price(market, side, price)
        closes = reduce_only or (holding != "net" and (holding == "long") != (side is Side.BUY))
        self._check_notional(market, price, p["quantity"], exempt=closes)
        if price is None:
            self._check_market_price(market, side)
        tick, step = market.listing.tick_e8, market.listing.step_e8
        until, expires_us = self._until(p, tif)
        mode = p.get("selfTradePreventionMode", self._product.stp)
        return NewOrder(
            side=side,
            type=kind,
            lots=p["quantity"] // step,
            client_id=p.get("newClientOrderId") or self.fresh_id(),
            price=None if price is None else price // tick,
            tif=TimeInForce(tif) if tif in ("IOC", "FOK") else TimeInForce.GTC,
            tif_text=tif,
            post_only=tif in ("GTX", "RPI"),
            stp=StpMode(mode) if tif in ("GTC", "IOC", "GTD") else StpMode.NONE,
            stp_text=mode,
            holding=holding,
            reduce_only=reduce_only,
            expires_us=expires_us,
            notes=self._notes(p, until),
        )

    def read_algo(self, account: Account, market: Market, p: Mapping[str, Any]) -> NewOrder:
        """A conditional order.

        Raises:
            VenueError: a rule of its type or a filter says no.
        """
        kind = p["type"].upper()
        if kind not in CONDITIONAL:
            raise VenueError(-1116, "Invalid orderType.")
        side = Side(p["side"])
        holding, reduce_only = self._mode(account, market, p)
        close_all = p.get("closePosition", False)
        limited = kind in ("STOP", "TAKE_PROFIT")
        trailing = kind == "TRAILING_STOP_MARKET"
        if close_all:
            if kind not in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
                raise VenueError(-4136, "Target strategy invalid for orderType, closePosition true.")
            if "quantity" in p:
                raise VenueError(-4137, "Quantity must be zero with closePosition equals true.")
            if p.get("reduceOnly"):
                raise VenueError(-4138, "Reduce only must be true with closePosition equals true.")
            if holding != "net" and (holding == "long") == (side is Side.BUY):
                raise VenueError(-4061, "Order's position side does not match user's setting.")
        elif "quantity" not in p:
            raise missing("quantity")
        stop = p.get("triggerPrice")
        if trailing:
            if stop is not None:
                raise unwanted("triggerPrice")
            rate = p.get("callbackRate")
            if rate is None:
                raise missing("callbackRate")
            if not SCALE // 10 <= rate <= 20 * SCALE or rate % (SCALE // 100):
                raise VenueError(-2007, "Invalid callBack rate.")
            stop = p.get("activatePrice")
        elif stop is None:
            raise missing("triggerPrice")
        working = p.get("workingType", "CONTRACT_PRICE")
        price = self._price(market, side, p) if limited else None
        if not limited and "price" in p:
            raise unwanted("price")
        if stop is not None:
            self._check_grid(market, stop)
        if price is not None:
            self._check_grid(market, price)
        if not close_all:
            self._check_quantity(market, p["quantity"], "LOT_SIZE" if limited else "MARKET_LOT_SIZE")
        closes = reduce_only or close_all or (holding != "net" and (holding == "long") != (side is Side.BUY))
        if not close_all:
            self._check_notional(market, price or stop, p["quantity"], exempt=closes)
        waiting = sum(order.algo for order in account.open_orders.values())
        if waiting >= MAX_CONDITIONAL:
            raise VenueError(-4045, "Reach max stop order limit.")
        tif = p.get("timeInForce", "GTC")
        until, expires_us = self._until(p, tif)
        mode = p.get("selfTradePreventionMode", self._product.stp)
        tick = market.listing.tick_e8
        rising = side is Side.BUY if kind.startswith(("STOP", "TRAILING")) else side is Side.SELL
        ident = p.get("clientAlgoId") or self.fresh_id()
        buying = side is Side.BUY
        if trailing and stop is not None:
            now = market.price if working == "CONTRACT_PRICE" else market.marks.mark_e8 // tick
            if stop // tick >= now if buying else stop // tick <= now:
                raise VenueError(-2021, "Order would immediately trigger.")
        return NewOrder(
            side=side,
            type=kind,
            lots=0 if close_all else p["quantity"] // market.listing.step_e8,
            client_id=f"algo:{ident}",
            spawns=ident,
            price=None if price is None else price // tick,
            tif=TimeInForce(tif) if tif in ("IOC", "FOK") else TimeInForce.GTC,
            tif_text=tif,
            post_only=tif in ("GTX", "RPI"),
            stop=None if stop is None else stop // tick,
            trailing=p["callbackRate"] // (SCALE // 100) if trailing else None,
            trigger="above" if rising else "below",
            trigger_by="last" if working == "CONTRACT_PRICE" else "mark",
            activation=("below" if buying else "above") if trailing else "",
            stp=StpMode(mode) if tif in ("GTC", "IOC", "GTD") else StpMode.NONE,
            stp_text=mode,
            holding=holding,
            reduce_only=reduce_only,
            close_all=close_all,
            expires_us=expires_us,
            notes=self._notes(p, until),
            apart_e8=TRIGGER_PROTECT_E8 if p.get("priceProtect") else 0,
        )

    def read_change(self, order: AccountOrder, p: Mapping[str, Any]) -> tuple[int, int]:
        """(price in ticks, size in lots) an order is to have.

        Raises:
            VenueError: a filter says no; the order stays as it is.
        """
        market, new = order.market, order.new
        if new.type != "LIMIT" or new.price is None:
            raise VenueError(-5025, "Only limit order is supported.")
        if not self._product.linear:
            for name in ("quantity", "price"):
                if name not in p and not (name == "price" and p.get("priceMatch", "NONE") != "NONE"):
                    raise missing(name)
        if p.get("reduceOnly") and not new.reduce_only:
            raise VenueError(-5047, "ReduceOnly cannot be changed.")
        if "quantity" not in p:
            raise missing("quantity")
        price = self._price(market, new.side, p)
        self._check_quantity(market, p["quantity"], "LOT_SIZE")
        self._check_price(market, new.side, price)
        closes = self._desk.clearing.only_closes(order.account, market, new)
        self._check_notional(market, price, p["quantity"], exempt=closes)
        return price // market.listing.tick_e8, p["quantity"] // market.listing.step_e8

    # parts

    def _mode(self, account: Account, market: Market, p: Mapping[str, Any]) -> tuple[HoldingSide, bool]:
        hedge = self._desk.clearing.terms(account, market).hedge
        side = p.get("positionSide", "BOTH")
        if (side == "BOTH") == hedge:
            raise VenueError(-4061, "Order's position side does not match user's setting.")
        if hedge and "reduceOnly" in p:
            raise unwanted("reduceonly")
        return _HOLDINGS[side], p.get("reduceOnly", False)

    def _notes(self, p: Mapping[str, Any], until: int) -> dict[str, Any]:
        notes: dict[str, Any] = {}
        for key, name, usual in (
            ("working", "workingType", "CONTRACT_PRICE"),
            ("protect", "priceProtect", False),
            ("match", "priceMatch", "NONE"),
        ):
            if p.get(name, usual) != usual:
                notes[key] = p[name]
        if until:
            notes["until"] = until
        return notes

    def _until(self, p: Mapping[str, Any], tif: str) -> tuple[int, int]:
        """(goodTillDate as answered, when it ends in microseconds)."""
        if tif != "GTD":
            return 0, 0
        if "goodTillDate" not in p:
            raise missing("goodTillDate")
        at = p["goodTillDate"] // 1000 * 1000
        if not self._exchange.clock.now_ms() + 600_000 < at < _LATEST_MS:
            raise VenueError(-5040, "Invalid goodTillDate.")
        return at, at * 1000

    def _price(self, market: Market, side: Side, p: Mapping[str, Any]) -> int:
        match = p.get("priceMatch", "NONE")
        if match == "NONE":
            if "price" not in p:
                raise missing("price")
            price: int = p["price"]
            return price
        if "price" in p:
            raise VenueError(-5038, "Price is not required with priceMatch.")
        number = int(match.partition("_")[2] or 1)
        buying = (side is Side.BUY) != match.startswith("OPPONENT")
        levels = market.engine.bids(number) if buying else market.engine.asks(number)
        if len(levels) < number:
            raise VenueError(-5041, "No depth matches this BBO order.")
        return levels[-1][0] * market.listing.tick_e8

    def _check_quantity(self, market: Market, quantity: int, name: str) -> None:
        row = self.filters(market)[name]
        if quantity <= 0:
            raise VenueError(-4003, "Quantity less than or equal to zero.")
        places = digits(market.listing.step_e8)
        if quantity % 10 ** (8 - places):
            raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
        if quantity < e8(row["minQty"]):
            raise VenueError(-4004, "Quantity less than min quantity.")
        if quantity > e8(row["maxQty"]):
            raise VenueError(-4005, "Quantity greater than max quantity.")
        if (quantity - e8(row["minQty"])) % e8(row["stepSize"]):
            raise VenueError(-4023, "Qty not increased by step size.")

    def _check_grid(self, market: Market, price: int) -> None:
        row = self.filters(market)["PRICE_FILTER"]
        if price <= 0:
            raise VenueError(-4001, "Price less than 0.")
        places = digits(market.listing.tick_e8)
        if price % 10 ** (8 - places):
            raise VenueError(-1111, "Precision is over the maximum defined for this asset.")
        if e8(row["maxPrice"]) and price > e8(row["maxPrice"]):
            raise VenueError(-4002, "Price greater than max price.")
        if e8(row["minPrice"]) and price < e8(row["minPrice"]):
            raise VenueError(-4013, "Price less than min price.")
        if e8(row["tickSize"]) and (price - e8(row["minPrice"])) % e8(row["tickSize"]):
            raise VenueError(-4014, "Price not increased by tick size.")

    def _check_price(self, market: Market, side: Side, price: int) -> None:
        self._check_grid(market, price)
        row = self.filters(market).get("PERCENT_PRICE")
        if row is None:
            return
        mark, places = market.marks.mark_e8, digits(market.listing.tick_e8)
        if side is Side.BUY:
            most = mark * e8(row["multiplierUp"]) // SCALE
            if price > most:
                raise VenueError(-4016, f"Limit price can't be higher than {fixed(most, places)}.")
        else:
            least = -(-mark * e8(row["multiplierDown"]) // SCALE)
            if price < least:
                raise VenueError(-4024, f"Limit price can't be lower than {fixed(least, places)}.")

    def _check_market_price(self, market: Market, side: Side) -> None:
        """A MARKET order is refused when the best price of the other side is outside the percent filter."""
        row = self.filters(market).get("PERCENT_PRICE")
        best = market.engine.best_ask if side is Side.BUY else market.engine.best_bid
        if row is None or best is None:
            return
        price, mark = best * market.listing.tick_e8 * SCALE, market.marks.mark_e8
        outside = (
            price > mark * e8(row["multiplierUp"]) if side is Side.BUY else price < mark * e8(row["multiplierDown"])
        )
        if outside:
            raise VenueError(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")

    def _check_notional(self, market: Market, price: int | None, quantity: int, *, exempt: bool) -> None:
        row = self.filters(market).get("MIN_NOTIONAL")
        if row is None or exempt:
            return
        lots = quantity // market.listing.step_e8
        worth = value_e16(market.listing, price or market.marks.mark_e8, lots)
        if worth < e8(row["notional"]) * SCALE:
            raise VenueError(
                -4164,
                f"Order's notional must be no smaller than {row['notional']} (unless you choose reduce only).",
            )

    def check_count(self, account: Account, market: Market) -> None:
        """One more open order must still be allowed.

        Raises:
            VenueError: -2025.
        """
        most = self.filters(market).get("MAX_NUM_ORDERS", {"limit": 200})["limit"]
        if sum(not order.algo for order in account.open_on(market.symbol)) >= most:
            raise VenueError(-2025, "Reach max open order limit.")
