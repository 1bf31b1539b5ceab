"""Answer the spot venue's private calls: who asks, is it signed, is it in time, may it, and what comes of it.

One method per call of `fields.CALLS`; REST and the WebSocket API share them. Orders go to the desk; refusals come back in the
venue's codes and words. Loop thread only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from connector.simulator.accounts import Account, AccountOrder, NewOrder, OrderList
from connector.simulator.desk import Refused
from connector.simulator.dialects.binance_spot.fields import Call, read_fields, recv_window_us, time_us
from connector.simulator.dialects.binance_spot.orders import OrderReader, filter_failure
from connector.simulator.dialects.binance_spot.render import (
    ack_row,
    cancel_row,
    full_row,
    list_row,
    order_row,
    result_row,
    trade_row,
)
from connector.simulator.dialects.binance_spot.rest import VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, e8, text_e8
from connector.simulator.keys import ApiKey
from connector.simulator.market import Market

__all__ = ["Private", "order_limit_rows"]

_DAY_US = 86_400_000_000
_EARLIEST_US = 1_483_228_800_000_000

_REFUSALS = {
    "amend_limit": (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS"),
    "amend_larger": (-2038, "Order amend (quantity increase) is not supported."),
    "amend_same": (-2038, "The requested action would change no state; rejecting."),
    "disabled": (-2010, "This action is disabled on this account."),
    "duplicate": (-2010, "Duplicate order sent."),
    "insufficient_balance": (-2010, "Account has insufficient balance for requested action."),
    "market_closed": (-2010, "Market is closed."),
    "oco_prices": (-2010, "The relationship of the prices for the orders is not correct."),
    "would_match": (-2010, "Order would immediately match and take."),
    "would_trigger": (-2010, "Order would trigger immediately."),
}
_SIGNED = ("timestamp", "recvWindow", "signature", "apiKey", "returnRateLimits")
_NO_KEY = VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def refusal(refused: Refused) -> VenueError:
    """The venue's words for what the desk would not do."""
    return VenueError(*_REFUSALS[refused.reason])


class Private:
    """Everything behind a key."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.orders = OrderReader(exchange)

    # who asks

    def key(self, name: str) -> ApiKey:
        """The key of that name, if it is good for anything.

        Raises:
            VenueError: -2014 for what cannot be a key, -2015 for an unknown or revoked one.
        """
        if not name or not name.isascii() or not name.isalnum():
            raise VenueError(-2014, "API-key format invalid.", 401)
        key = self._exchange.desk.keys.get(name)
        if key is None or key.revoked:
            raise _NO_KEY
        return key

    def authenticate(self, key: ApiKey, sent: Mapping[str, str], payload: bytes, *, signed: bool = True) -> None:
        """Check signature and time of a request; `signed` is False on a session that has logged on.

        Raises:
            VenueError: -1102, -1022 or -1021 and their kin.
        """
        for name in ("timestamp", *(("signature",) if signed else ())):
            if not sent.get(name):
                raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        at_us = time_us("timestamp", sent["timestamp"])
        window_us = recv_window_us(sent["recvWindow"]) if "recvWindow" in sent else 5_000_000
        if signed and not key.signed(payload, sent["signature"]):
            raise VenueError(-1022, "Signature for this request is not valid.")
        now_us = self._exchange.clock.now_us()
        if at_us < _EARLIEST_US or at_us >= now_us + 1_000_000:
            raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_us - at_us > window_us:
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

    def call(self, call: Call, key: ApiKey, sent: Mapping[str, str], unit: int) -> Any:
        """Do one call; the value goes out as JSON.

        Raises:
            VenueError: in the venue's words.
        """
        if call.trade and not key.can_trade:
            raise _NO_KEY
        account = self._exchange.desk.accounts[key.account]
        values = read_fields(call, sent, _SIGNED)
        try:
            return getattr(self, call.handler)(account, values, unit)
        except Refused as refused:
            raise refusal(refused) from None

    # orders

    def order_place(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        order = self._place(account, market, p)
        return self._placed_row(order, p, unit)

    def order_test(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        self.orders.read(market, p, owner=account.name)
        if not p.get("computeCommissionRates"):
            return {}
        rates = self.account_commission(account, {"symbol": market.symbol}, unit)
        return {
            "standardCommissionForOrder": {name: rates["standardCommission"][name] for name in ("maker", "taker")},
            "specialCommissionForOrder": {"maker": text_e8(0), "taker": text_e8(0)},
            "taxCommissionForOrder": {"maker": text_e8(0), "taker": text_e8(0)},
            "discount": rates["discount"],
        }

    def order_cancel(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        order = self._named(account, market, p, code=-2011)
        return self._cancel(order, p, unit, p.get("newClientOrderId"))

    def open_orders_cancel_all(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        orders = list(account.open_on(market.symbol))
        if not orders:
            raise VenueError(-2011, "Unknown order sent.")
        return [self._cancel(order, {}, unit, None) for order in orders if order.open]  # a list ends with its first

    def order_cancel_replace(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        if "cancelOrderId" not in p and "cancelOrigClientOrderId" not in p:
            raise VenueError(
                -1102, "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent, but both were empty/null!"
            )
        stop = p["cancelReplaceMode"] == "STOP_ON_FAILURE"
        new = self.orders.read(market, p, owner=account.name)
        exceeded = self._over_count(account, 1)
        if exceeded is not None and p.get("orderRateLimitExceededMode") != "CANCEL_ONLY":
            raise exceeded
        if exceeded is None:
            self.orders.check_counts(account, market, [new])
            self._count(account, 1)
        ids = {"orderId": p.get("cancelOrderId"), "origClientOrderId": p.get("cancelOrigClientOrderId")}
        named = {name: value for name, value in ids.items() if value is not None}
        if "cancelRestrictions" in p:
            named["cancelRestrictions"] = p["cancelRestrictions"]
        canceled: Any = None
        failure: VenueError | None = None
        try:
            order = self._named(account, market, named, code=-2011)
            canceled = self._cancel(order, named, unit, p.get("cancelNewClientOrderId"))
        except VenueError as refused:
            failure = refused
        placed: Any = None
        second: VenueError | None = None
        if failure is None or not stop:
            if exceeded is not None:
                second = exceeded
            else:
                try:
                    placed = self._placed_row(self._exchange.desk.place(account, market, new), p, unit)
                except Refused as no:
                    second = refusal(no)
        data = {
            "cancelResult": "SUCCESS" if failure is None else "FAILURE",
            "newOrderResult": "SUCCESS" if placed is not None else "FAILURE" if second is not None else "NOT_ATTEMPTED",
            "cancelResponse": canceled if failure is None else failure.plain(),
            "newOrderResponse": placed if second is None else second.plain(),
        }
        if failure is None and placed is not None:
            return data
        nothing = failure is not None and placed is None
        code, text = (
            (-2022, "Order cancel-replace failed.") if nothing else (-2021, "Order cancel-replace partially failed.")
        )
        status = 429 if exceeded is not None and stop else 400 if nothing else 409
        raise VenueError(code, text, status, data, 0 if exceeded is None else exceeded.retry_after_s)

    def order_amend_keep_priority(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        order = self._named(account, market, p, code=-2038)
        if not order.open:
            raise VenueError(-2038, "Unknown order sent.")
        quantity = p["newQty"]
        row = self.orders.filters(market)["LOT_SIZE"]
        step = market.listing.step_e8
        if not quantity:
            raise VenueError(-1013, "Invalid quantity.")
        if quantity % step or quantity < e8(row["minQty"]):
            raise filter_failure("LOT_SIZE")
        limit = self.orders.filters(market).get("MAX_NUM_ORDER_AMENDS", {"maxNumOrderAmends": 10})["maxNumOrderAmends"]
        before = order.client_id
        ident = self._exchange.desk.amend(
            order, quantity // step, p.get("newClientOrderId") or self.orders.fresh_id(), limit
        )
        state = order_row(order, unit)
        row = {
            "symbol": market.symbol,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "origClientOrderId": before,
            "clientOrderId": order.client_id,
            "price": state["price"],
            "qty": state["origQty"],
            "executedQty": state["executedQty"],
            "preventedQty": market.size_text(order.prevented),
            "quoteOrderQty": state["origQuoteOrderQty"],
            "cumulativeQuoteQty": state["cummulativeQuoteQty"],
            "status": state["status"],
            "timeInForce": state["timeInForce"],
            "type": state["type"],
            "side": state["side"],
            "workingTime": state["workingTime"],
            "selfTradePreventionMode": state["selfTradePreventionMode"],
        }
        answer: dict[str, Any] = {
            "transactTime": order.updated_us // unit,
            "executionId": ident,
            "amendedOrder": row,
        }
        if order.list is not None:
            answer["listStatus"] = _list_status(order.list, unit)
        return answer

    # order lists

    def order_list_place_oco(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        legs = self._exclusive(account, market, p, "above", "below", p["side"], p["quantity"])
        return self._place_list(account, market, "OCO", p, None, legs, unit)

    def order_list_place_oto(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        first = self._first(account, market, p)
        leg = self.orders.read(market, p, "pending", owner=account.name)
        return self._place_list(account, market, "OTO", p, first, [leg], unit)

    def order_list_place_otoco(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        first = self._first(account, market, p)
        if "pendingBelowType" not in p:
            one = self.orders.read(
                market, p, "pendingAbove", side=p["pendingSide"], quantity=p["pendingQuantity"], owner=account.name
            )
            return self._place_list(account, market, "OTO", p, first, [one], unit)
        legs = self._exclusive(
            account, market, p, "pendingAbove", "pendingBelow", p["pendingSide"], p["pendingQuantity"]
        )
        return self._place_list(account, market, "OTO", p, first, legs, unit)

    def _first(self, account: Account, market: Market, p: dict[str, Any]) -> NewOrder:
        if p["workingType"] not in ("LIMIT", "LIMIT_MAKER"):
            raise VenueError(-1158, "The order type for `workingType` is not supported for this list.")
        return self.orders.read(market, p, "working", owner=account.name)

    def _exclusive(
        self, account: Account, market: Market, p: dict[str, Any], above: str, below: str, side: str, quantity: int
    ) -> list[NewOrder]:
        kinds = (p[f"{above}Type"], p[f"{below}Type"])
        stops = [kind.startswith("STOP") for kind in kinds]
        if sum(stops) != 1 or any(kind in ("MARKET", "LIMIT") for kind in kinds):
            raise VenueError(-1158, "The order types of this list do not fit together.")
        if stops[0] != (side == "BUY"):  # a buyer's stop lies above the market, a seller's below
            raise VenueError(-2010, "The relationship of the prices for the orders is not correct.")
        return [
            self.orders.read(market, p, prefix, side=side, quantity=quantity, owner=account.name)
            for prefix in (above, below)
        ]

    def _place_list(
        self,
        account: Account,
        market: Market,
        contingency: str,
        p: dict[str, Any],
        first: NewOrder | None,
        legs: list[NewOrder],
        unit: int,
    ) -> Any:
        every = [*([] if first is None else [first]), *legs]
        exceeded = self._over_count(account, len(every))
        if exceeded is not None:
            raise exceeded
        self.orders.check_counts(account, market, every, as_list=True)
        ident = p.get("listClientOrderId") or self.orders.fresh_id()
        bundle = self._exchange.desk.place_list(account, market, contingency, ident, first, legs)
        self._count(account, len(every))
        rows = {"ACK": ack_row, "RESULT": result_row, "FULL": full_row}
        reports = [rows[p.get("newOrderRespType", "RESULT")](order, unit) for order in bundle.orders]
        return list_row(bundle, unit) | {"orderReports": reports}

    def order_list_cancel(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        self._market(p)
        bundle = self._list(account, p.get("orderListId"), p.get("listClientOrderId"))
        if bundle is None or not bundle.open or bundle.market.symbol != p["symbol"]:
            raise VenueError(-2011, "Unknown order list sent.")
        first = next(order for order in bundle.orders if order.open)
        return self._cancel(first, {}, unit, p.get("newClientOrderId"))

    def order_list_status(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        bundle = self._list(account, p.get("orderListId"), p.get("origClientOrderId"))
        if bundle is None:
            raise VenueError(-2018, "Order list does not exist.")
        return list_row(bundle, unit)

    def open_order_lists_status(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        return [list_row(bundle, unit) for bundle in account.lists.values() if bundle.open]

    def all_order_lists(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        _check_span(p)
        if "fromId" in p and ("startTime" in p or "endTime" in p):
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        rows = [
            bundle
            for bundle in account.lists.values()
            if bundle.list_id >= p.get("fromId", 0) and _within(bundle.created_us, p)
        ]
        newest = "fromId" not in p and "startTime" not in p
        return [list_row(bundle, unit) for bundle in (rows[-p["limit"] :] if newest else rows[: p["limit"]])]

    def _list(self, account: Account, list_id: int | None, client_id: str | None) -> OrderList | None:
        if list_id is None and client_id is None:
            raise VenueError(
                -1102, "Param 'listClientOrderId' or 'orderListId' must be sent, but both were empty/null!"
            )
        if list_id is not None:
            found = account.lists.get(list_id)
            return found if found is None or client_id in (None, found.client_id) else None
        return next((bundle for bundle in reversed(account.lists.values()) if bundle.client_id == client_id), None)

    # queries

    def order_status(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        order = self._named(account, self._market(p), p, code=-2013)
        if not self._visible(order.created_us):
            raise VenueError(-2013, "Order does not exist.")
        return order_row(order, unit)

    def open_orders_status(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        symbol = self._market(p).symbol if "symbol" in p else None
        return [order_row(order, unit) for order in account.open_on(symbol) if self._visible(order.created_us)]

    def all_orders(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        _check_span(p)
        orders = list(account.orders.get(market.symbol, {}).values())
        if "orderId" in p:
            orders = orders[bisect_left(orders, p["orderId"], key=lambda order: order.order_id) :]
        orders = [order for order in orders if _within(order.created_us, p) and self._visible(order.created_us)]
        newest = "orderId" not in p and "startTime" not in p
        return [order_row(order, unit) for order in (orders[-p["limit"] :] if newest else orders[: p["limit"]])]

    def my_trades(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        if frozenset(p.keys() & {"orderId", "startTime", "endTime", "fromId"}) not in _TRADE_QUESTIONS:
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        _check_span(p)
        if "orderId" in p:
            order = account.find(market.symbol, p["orderId"], None)
            fills = order.fills if order is not None else []
        else:
            fills = account.fills.get(market.symbol, [])
        if "fromId" in p:
            fills = fills[bisect_left(fills, p["fromId"], key=lambda fill: fill.trade_id) :]
        fills = [fill for fill in fills if _within(fill.time_us, p) and self._visible(fill.time_us)]
        newest = "fromId" not in p and "startTime" not in p
        return [trade_row(market, fill, unit) for fill in (fills[-p["limit"] :] if newest else fills[: p["limit"]])]

    def account_status(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        maker, taker = text_e8(account.maker_rate), text_e8(account.taker_rate)
        every = not p.get("omitZeroBalances")
        assets = {*account.balances, *(self._assets() if every else ())}
        balances = [
            {"asset": asset, "free": text_e8(balance.free), "locked": text_e8(balance.locked)}
            for asset, balance in ((asset, account.balance(asset)) for asset in sorted(assets))
            if every or balance.free or balance.locked
        ]
        return {
            "makerCommission": account.maker_rate // 10_000,
            "takerCommission": account.taker_rate // 10_000,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": maker, "taker": taker, "buyer": text_e8(0), "seller": text_e8(0)},
            "canTrade": account.can_trade,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": account.updated_us // unit,
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
            "uid": account.uid,
        }

    def account_commission(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        zero = {name: text_e8(0) for name in ("maker", "taker", "buyer", "seller")}
        own = zero | {"maker": text_e8(account.maker_rate), "taker": text_e8(account.taker_rate)}
        return {
            "symbol": market.symbol,
            "standardCommission": own,
            "specialCommission": zero,
            "taxCommission": zero,
            "discount": {
                "enabledForAccount": bool(account.discount_asset),
                "enabledForSymbol": True,
                "discountAsset": account.discount_asset or "BNB",
                "discount": text_e8(account.discount_rate if account.discount_asset else SCALE * 3 // 4),
            },
        }

    def account_rate_limits_orders(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        return order_limit_rows(account, self._exchange.clock.now_s())

    def order_amendments(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        order = account.find(market.symbol, p["orderId"], None)
        if order is None:
            raise VenueError(-2013, "Order does not exist.")
        size = market.size_text
        return [
            {
                "symbol": market.symbol,
                "orderId": order.order_id,
                "executionId": ident,
                "origClientOrderId": old,
                "newClientOrderId": new,
                "origQty": size(before),
                "newQty": size(after),
                "time": at // unit,
            }
            for ident, old, new, before, after, at in order.amends
            if ident >= p.get("fromExecutionId", 0)
        ][: p["limit"]]

    def my_prevented_matches(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        if ("orderId" in p) == ("preventedMatchId" in p):
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        return [
            {
                "symbol": market.symbol,
                "preventedMatchId": match.match_id,
                "takerOrderId": match.taker_order_id,
                "makerSymbol": market.symbol,
                "makerOrderId": match.maker_order_id,
                "tradeGroupId": account.uid,
                "selfTradePreventionMode": match.mode,
                "price": market.price_text(match.price),
                "makerPreventedQuantity": market.size_text(match.lots),
                "transactTime": match.time_us // unit,
            }
            for match in account.prevented.get(market.symbol, [])
            if p.get("preventedMatchId") in (None, match.match_id)
            and p.get("orderId") in (None, match.maker_order_id, match.taker_order_id)
            and match.match_id >= p.get("fromPreventedMatchId", 0)
        ][: p["limit"]]

    def my_allocations(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        self._market(p)
        return []  # nothing here is ever filled by allocation

    def my_filters(self, account: Account, p: dict[str, Any], unit: int) -> Any:
        market = self._market(p)
        rows = self.orders.filters(market).values()
        return {
            "exchangeFilters": list(self._exchange.settings.exchange_filters),
            "symbolFilters": [row for row in rows if not row["filterType"].startswith(("EXCHANGE", "MAX_ASSET"))],
            "assetFilters": [row for row in rows if row["filterType"] == "MAX_ASSET"],
        }

    # parts

    def _assets(self) -> list[str]:
        markets = self._exchange.markets.values()
        return [asset for market in markets for asset in (market.listing.base, market.listing.quote)]

    def _market(self, p: Mapping[str, Any]) -> Market:
        market = self._exchange.markets.get(p["symbol"])
        if market is None:
            raise VenueError(-1121, "Invalid symbol.")
        return market

    def _visible(self, at_us: int) -> bool:
        return self._exchange.plan.visible(at_us, self._exchange.clock.now_us())

    def _named(self, account: Account, market: Market, p: Mapping[str, Any], code: int) -> AccountOrder:
        order_id, client_id = p.get("orderId"), p.get("origClientOrderId")
        if order_id is None and client_id is None:
            raise VenueError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = account.find(market.symbol, order_id, client_id)
        if order is None:
            raise VenueError(code, "Order does not exist." if code == -2013 else "Unknown order sent.")
        if order_id is not None and client_id not in (None, order.client_id):
            raise VenueError(-2039, "The client order ID is not correct for this order ID.")
        return order

    def _place(self, account: Account, market: Market, p: dict[str, Any]) -> AccountOrder:
        new = self.orders.read(market, p, owner=account.name)
        exceeded = self._over_count(account, 1)
        if exceeded is not None:
            raise exceeded
        self.orders.check_counts(account, market, [new])
        self._exchange.desk.check(account, market, new)
        self._count(account, 1)
        try:
            return self._exchange.desk.place(account, market, new)
        except Refused:
            self._count(account, -1)
            raise

    def _placed_row(self, order: AccountOrder, p: dict[str, Any], unit: int) -> dict[str, Any]:
        usual = "FULL" if order.new.type in ("LIMIT", "MARKET") else "ACK"
        row = {"ACK": ack_row, "RESULT": result_row, "FULL": full_row}[p.get("newOrderRespType", usual)]
        return row(order, unit)

    def _cancel(self, order: AccountOrder, p: Mapping[str, Any], unit: int, cancel_id: str | None) -> dict[str, Any]:
        self._exchange.race(order)
        if not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        wanted = p.get("cancelRestrictions")
        if wanted is not None and (wanted == "ONLY_NEW") != (order.status.value == "NEW"):
            raise VenueError(-2011, "Order was not canceled due to cancel restrictions.")
        cancel_id = cancel_id or self.orders.fresh_id()
        canceled = self._exchange.desk.cancel(order, cancel_id)
        if order.list is None:
            return cancel_row(order, cancel_id, unit)
        return list_row(order.list, unit) | {"orderReports": [cancel_row(leg, cancel_id, unit) for leg in canceled]}

    def _over_count(self, account: Account, more: int) -> VenueError | None:
        if not self._exchange.settings.enforce_limits:
            return None
        now_s = self._exchange.clock.now_s()
        for window, text in zip(account.counts, ("10 SECOND", "1 DAY"), strict=True):
            window.spend(0, now_s)
            if window.used + more > window.capacity:
                words = f"Too many new orders; current limit is {window.capacity} orders per {text}."
                return VenueError(-1015, words, 429, retry_after_s=int(window.left_s(now_s)) + 1)
        return None

    def _count(self, account: Account, more: int) -> None:
        for window in account.counts:
            window.spend(more, self._exchange.clock.now_s())
            window.used = max(0, window.used)


def order_limit_rows(account: Account, now_s: float) -> list[dict[str, Any]]:
    """The account's order counts as the venue lists them."""
    rows = []
    for window, interval, number in zip(account.counts, ("SECOND", "DAY"), (10, 1), strict=True):
        window.spend(0, now_s)
        rows.append(
            {
                "rateLimitType": "ORDERS",
                "interval": interval,
                "intervalNum": number,
                "limit": window.capacity,
                "count": window.used,
            }
        )
    return rows


_TRADE_QUESTIONS = {
    frozenset(names.split())
    for names in ("", "orderId", "startTime", "endTime", "fromId", "startTime endTime", "orderId fromId")
}


def _check_span(p: Mapping[str, Any]) -> None:
    if "startTime" in p and "endTime" in p:
        if p["endTime"] < p["startTime"]:
            raise VenueError(-1127, "End time cannot be earlier than start time.")
        if p["endTime"] - p["startTime"] > _DAY_US + 999:
            raise VenueError(-1127, "More than 24 hours between startTime and endTime.")


def _within(at_us: int, p: Mapping[str, Any]) -> bool:
    start: int = p.get("startTime", 0)
    end: int = p.get("endTime", at_us)
    return start <= at_us <= end


def _list_status(bundle: OrderList, unit: int) -> dict[str, Any]:
    row = list_row(bundle, unit)
    del row["transactionTime"], row["listStatusType"]
    return row
