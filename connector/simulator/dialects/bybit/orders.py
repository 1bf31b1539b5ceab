"""Turn checked parameters into orders for the desk: every rule this venue has about one order, in its codes and words.

Decides what is refused before an order is accepted; what is decided by the market afterwards (post-only, immediate, all-or-none)
is not refused but told. It places nothing. Source: the venue's V5 order pages, enums and error list, read 2026-11.
"""

from __future__ import annotations

import re
from typing import Any

from connector.matching import Side, StpMode, TimeInForce
from connector.simulator.accounts import Account, AccountOrder, NewOrder
from connector.simulator.desk import watched_price
from connector.simulator.dialects.bybit.live import Board
from connector.simulator.dialects.bybit.rest import Params, VenueError, trouble
from connector.simulator.instruments import SCALE
from connector.simulator.market import Market

__all__ = ["OrderReader"]

_LINK_ID = re.compile(r"[0-9A-Za-z_-]{1,36}")
_SMP = {
    "None": StpMode.NONE,
    "CancelMaker": StpMode.EXPIRE_MAKER,
    "CancelTaker": StpMode.EXPIRE_TAKER,
    "CancelBoth": StpMode.EXPIRE_BOTH,
}
_TRIGGER_BY = {"LastPrice": "last", "IndexPrice": "index", "MarkPrice": "mark"}
_ATTACHED = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice", "tpslMode", "orderIv", "mmp")


class OrderReader:
    """Reads new orders and changes of orders for one exchange."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def _no(self, spot: int, contract: int, *parts: str) -> VenueError:
        """A refusal, whose code depends on the product."""
        return trouble(contract, *parts) if self._board.derivative else trouble(spot, *parts)

    def _bad(self, spot: int, name: str) -> VenueError:
        return VenueError(10001, f"{name} invalid") if self._board.derivative else trouble(spot)

    def link_id(self, p: Params) -> str:
        """The client's id, or ""."""
        text = p.text("orderLinkId")
        if text and not _LINK_ID.fullmatch(text):
            if len(text) > 36:
                raise VenueError(10001, "The length of orderLinkId is greater than 36")
            raise VenueError(10001, "params error: orderLinkId invalid")
        return text

    def read(self, account: Account, market: Market, p: Params) -> NewOrder:
        """One new order.

        Raises:
            VenueError: it is not accepted.
        """
        derivative = self._board.derivative
        for name in _ATTACHED:
            if name in p and p.text(name) not in ("0", "None"):
                raise self._unsupported(name)
        p.need("side")
        p.need("orderType")
        side = Side(p.one_of("side", "Buy", "Sell", error=self._bad(170117, "side")).upper())
        kind = p.one_of("orderType", "Market", "Limit", error=self._bad(170116, "orderType"))
        tif = p.one_of("timeInForce", "GTC", "IOC", "FOK", "PostOnly", "RPI", error=self._bad(170115, "timeInForce"))
        if tif == "RPI":
            raise self._no(170355, 110119)
        smp = p.one_of("smpType", *_SMP, default="None")
        if p.whole("isLeverage", 0, 0, 1):
            raise self._unsupported("isLeverage") if derivative else trouble(170344)
        notes: dict[str, Any] = {"orderType": kind, "smpType": smp, "qty": ""}
        notes["lastPrice"] = self._board.numbers(market).price(market.price)
        fields: dict[str, Any] = {
            "side": side,
            "type": kind.upper(),
            "client_id": self.link_id(p),
            "stp": _SMP[smp],
            "stp_text": smp,
            "late": True,
            "notes": notes,
        }
        self._trigger(market, p, fields)
        if derivative:
            self._contract(account, market, p, fields)
        if kind == "Market":
            fields["tif_text"], fields["tif"] = "IOC", TimeInForce.IOC
            self._market_order(account, market, p, fields)
        else:
            tif = tif or "GTC"
            fields["tif_text"], fields["post_only"] = tif, tif == "PostOnly"
            fields["tif"] = TimeInForce("GTC" if tif == "PostOnly" else tif)
            if "bboSideType" in p:
                fields["price"] = self._from_book(market, p, side)
            else:
                fields["price"] = self.price(market, p, None if "stop" in fields else side)
            fields["lots"] = self.lots(market, p, limit=True)
        new = NewOrder(**fields)
        self._check_value(market, new)
        self._check_counts(account, market, new)
        return new

    def _unsupported(self, name: str) -> VenueError:
        if self._board.derivative:
            return VenueError(10001, f"params error: {name} is not supported here")
        return trouble(170227)

    # sizes and prices

    def price(self, market: Market, p: Params, side: Side | None) -> int:
        """A limit price in ticks, within the band of its side; None: the order waits, and the band is not that of today."""
        units = p.units_e8("price")
        if units is None:
            raise VenueError(10001, "params error: price is required")
        ticks = self._ticks(market, units)
        return ticks if side is None else self.banded(market, ticks, side)

    def _ticks(self, market: Market, units: int) -> int:
        tick = market.listing.tick_e8
        if units < 0 or units % tick:
            raise self._bad(170134, "price")
        if not units:
            raise self._no(170133, 110003)
        return units // tick

    def banded(self, market: Market, ticks: int, side: Side) -> int:
        """A price as the venue takes it: beyond the band spot refuses, and contracts move it to the edge."""
        low, high = self._board.rules(market).bounds(market)
        numbers = self._board.numbers(market)
        if side is Side.BUY and ticks > high:
            if not self._board.derivative:
                raise trouble(170193, numbers.price(high))
            return high
        if side is Side.SELL and ticks < low:
            if not self._board.derivative:
                raise trouble(170194, numbers.price(low))
            return low
        return ticks

    def _from_book(self, market: Market, p: Params, side: Side) -> int:
        """The price of a level of the book, as bboSideType and bboLevel name it."""
        if not self._board.derivative:
            raise self._unsupported("bboSideType")
        queue = p.one_of("bboSideType", "Queue", "Counterparty") == "Queue"
        level = p.whole("bboLevel", 1, 1, 5)
        own = queue == (side is Side.BUY)
        levels = (market.engine.bids if own else market.engine.asks)(level)
        if len(levels) < level:
            raise VenueError(110118, "Unable to retrieve a price of the market order due to low liquidity")
        return levels[-1][0]

    def lots(self, market: Market, p: Params, *, limit: bool) -> int:
        """A quantity in lots."""
        rules, step = self._board.rules(market), market.listing.step_e8
        units = p.units_e8("qty")
        if units is None:
            raise VenueError(10001, "params error: qty is required")
        if units < 0 or units % step:
            raise self._bad(170137, "qty")
        if units < rules.least_lots * step:
            if self._board.derivative:
                raise VenueError(10001, "The number of contracts below minimum limit allowed")
            raise trouble(170136)
        if units > (rules.most_limit_e8 if limit else rules.most_market_e8):
            if self._board.derivative:
                raise VenueError(10001, "The number of contracts exceeds maximum limit allowed: too large")
            raise trouble(170124)
        return units // step

    def _market_order(self, account: Account, market: Market, p: Params, fields: dict[str, Any]) -> None:
        """By quantity, or on spot by amount: what a buyer gives when nothing is said."""
        side, notes = fields["side"], fields["notes"]
        fields["worst"] = self._worst(market, p, side, notes)
        unit = ""
        if not self._board.derivative:
            unit = p.one_of("marketUnit", "baseCoin", "quoteCoin") or ("quoteCoin" if side is Side.BUY else "baseCoin")
            notes["marketUnit"] = unit
        if unit != "quoteCoin":
            fields["lots"] = self.lots(market, p, limit=False)
            return
        rules, listing = self._board.rules(market), market.listing
        quote = p.units_e8("qty")
        if quote is None:
            raise VenueError(10001, "params error: qty is required")
        if quote < 0 or quote % rules.quote_step_e8:
            raise trouble(170148)
        if not quote:
            raise trouble(170136)
        if quote < rules.least_amount_e8:
            raise trouble(170140)
        avoided = "" if fields["stp"] is StpMode.NONE else account.name
        scale = listing.tick_e8 * listing.step_e8
        lots = market.engine.lots_for(side, quote * SCALE // scale, avoided)
        if lots * listing.step_e8 > rules.most_market_e8:
            raise trouble(170124)
        spent = market.engine.cost(side, lots, avoided)[1] * scale // SCALE if lots else 0
        notes["qty"] = p.text("qty")
        fields |= {"quote_e8": quote, "lots": lots, "dust": spent < quote}

    def _worst(self, market: Market, p: Params, side: Side, notes: dict[str, Any]) -> int:
        """How far a market order goes: the slippage it was given, else the venue's own limit."""
        low, high = self._board.rules(market).reach(market)
        kind = p.one_of("slippageToleranceType", "TickSize", "Percent", "UNKNOWN", default="UNKNOWN")
        if kind == "UNKNOWN":
            return high if side is Side.BUY else low
        notes["slippageToleranceType"], notes["slippageTolerance"] = kind, p.need("slippageTolerance")
        best = market.engine.best_ask if side is Side.BUY else market.engine.best_bid
        best = market.price if best is None else best
        if kind == "TickSize":
            try:
                reach = p.whole("slippageTolerance", 0, 1, 10_000)
            except VenueError:
                raise trouble(110108) from None
        else:
            hundredths = (p.units_e8("slippageTolerance") or 0) * 100
            if not SCALE <= hundredths <= 1_000 * SCALE or hundredths % SCALE:
                raise trouble(110109)
            reach = best * (hundredths // SCALE) // 10_000
        return best + reach if side is Side.BUY else max(1, best - reach)

    def _trigger(self, market: Market, p: Params, fields: dict[str, Any]) -> None:
        """Where the price must come first."""
        notes = fields["notes"]
        if not self._board.derivative:
            name = p.one_of("orderFilter", "Order", "tpslOrder", "StopOrder", default="Order", error=trouble(170201))
            if name == "Order":
                return
            if "triggerPrice" not in p:
                raise trouble(170202)
            stop = self._ticks(market, p.units_e8("triggerPrice") or 0)
            fields["stop"], fields["trigger"] = stop, "above" if stop > market.price else "below"
            fields["unlocked"] = name == "StopOrder"
            notes["stopOrderType"] = "Stop" if name == "StopOrder" else name
            return
        if "triggerPrice" not in p:
            return
        stop = self._ticks(market, p.units_e8("triggerPrice") or 0)
        if "triggerDirection" not in p:
            raise VenueError(10001, "params error: triggerDirection is required")
        rising = p.whole("triggerDirection", 1, 1, 2) == 1
        by = p.one_of("triggerBy", *_TRIGGER_BY, default="LastPrice")
        now = watched_price(market, _TRIGGER_BY[by])
        if stop <= now if rising else stop >= now:
            raise trouble(110092 if rising else 110093)
        fields |= {"stop": stop, "trigger": "above" if rising else "below", "trigger_by": _TRIGGER_BY[by]}
        notes |= {"stopOrderType": "Stop", "triggerBy": by}

    def _contract(self, account: Account, market: Market, p: Params, fields: dict[str, Any]) -> None:
        """What only contracts have: which position, and whether it may only get smaller."""
        raise NotImplementedError

    # counts

    def _check_value(self, market: Market, new: NewOrder) -> None:
        """Smallest worth of an order."""
        least = self._board.rules(market).least_amount_e8
        if new.quote_e8 or not least or new.notes.get("reduceOnly"):
            return
        price = new.price if new.price is not None else market.price
        if self._board.value_e8(market, price, new.lots) < least:
            raise self._no(170140, 110094)

    def _check_counts(self, account: Account, market: Market, new: NewOrder) -> None:
        """How many orders may be open: of spot in all, of contracts per symbol."""
        settings = self._board.exchange.settings
        limits = settings.limits
        if not settings.enforce_limits:
            return
        most = limits.get("open_orders", 500)
        if not self._board.derivative:
            if len(account.open_orders) >= most:
                raise VenueError(170005, f"Too many new orders; current limit is {most} orders per account.")
            return
        here = list(account.open_on(market.symbol))
        waiting = sum(order.algo and not order.working for order in here)
        if new.trigger and waiting >= limits.get("conditional_orders", 10):
            raise trouble(110009)
        if not new.trigger and len(here) - waiting >= most:
            raise trouble(110020)

    # changes

    def change(self, order: AccountOrder, p: Params) -> dict[str, int]:
        """What an amendment asks for: `lots`, `price` and `stop`, as far as it names them.

        Raises:
            VenueError: it asks for nothing, or for what cannot be.
        """
        market = order.market
        for name in _ATTACHED:
            if name in p:
                raise self._unsupported(name)
        asked: dict[str, int] = {}
        if "qty" in p and p.text("qty") != "0":
            asked["lots"] = self.lots(market, p, limit=True)
            if asked["lots"] <= order.filled + order.prevented:
                raise self._no(170313, 110064)
        if "price" in p and p.text("price") != "0":
            waits = order.algo and not order.working
            asked["price"] = self.price(market, p, None if waits else order.new.side)
        if "triggerPrice" in p and p.text("triggerPrice") != "0":
            asked["stop"] = self._ticks(market, p.units_e8("triggerPrice") or 0)
        if not asked:
            raise VenueError(10001, "params error: nothing to amend")
        return asked
