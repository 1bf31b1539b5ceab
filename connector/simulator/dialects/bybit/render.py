"""Write orders, fills and balances as this venue does. Pure: values in, plain values for JSON out; times in milliseconds.

Fields: the venue's V5 order, execution, wallet and position pages and private topics, read 2026-11.
"""

from __future__ import annotations

from typing import Any

from connector.matching import OrderStatus, Side
from connector.simulator.accounts import Account, AccountFill, AccountOrder
from connector.simulator.dialects.bybit.live import Board
from connector.simulator.dialects.bybit.text import fixed, plain
from connector.simulator.margin import cost_at

__all__ = ["execution_kind", "execution_row", "fast_row", "order_row", "status_of"]

SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}

# How the simulator's reasons read here: (cancelType, rejectReason).
_ENDS = {
    "UNFILLED_IOC_QUANTITY_EXPIRED": ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    "UNFILLED_FOK_ORDER_EXPIRED": ("UNKNOWN", "EC_CancelForNoFullFill"),
    "INSUFFICIENT_LIQUIDITY": ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    "DUST": ("UNKNOWN", "EC_NoError"),
    "EXCHANGE_CANCELED": ("CancelByAdmin", "EC_NoError"),
    "REDUCE_ONLY": ("CancelByReduceOnly", "EC_NoError"),
    "LIQUIDATION": ("CancelAllBeforeLiq", "EC_NoError"),
    "POSITION_CLOSED": ("CancelByTpSlTsClear", "EC_NoError"),
    "NOTHING_TO_CLOSE": ("CancelByReduceOnly", "EC_NoError"),
    "DELIVERY": ("CancelBySettle", "EC_NoError"),
}


# Where an order comes from that nobody asked for: (createType, execType).
_ORIGINS = {
    "liquidation": ("CreateByLiq", "BustTrade"),
    "adl": ("CreateByAdl_PassThrough", "AdlTrade"),
    "settlement": ("CreateBySettle", "Delivery"),
}


def status_of(order: AccountOrder, category: str) -> str:
    """The venue's word for where an order stands."""
    if order.open:
        if order.algo and not order.working:
            return "Untriggered" if order.working_us is None else "Triggered"
        return "PartiallyFilled" if order.filled else "New"
    if order.status is OrderStatus.FILLED:
        return "Filled"
    if order.algo and order.working_us is None:
        return "Deactivated"
    if order.expiry_reason == "REJECTED" and not order.new.post_only and not order.filled:
        return "Rejected"
    return "PartiallyFilledCanceled" if order.filled and category == "spot" else "Cancelled"


def _end(order: AccountOrder) -> tuple[str, str]:
    """(cancelType, rejectReason)."""
    if order.status is OrderStatus.CANCELED:
        return "CancelByUser", "EC_PerCancelRequest"
    if order.status is OrderStatus.EXPIRED_IN_MATCH:
        return "CancelBySmp", "EC_NoError"
    if order.status is OrderStatus.EXPIRED:
        if order.expiry_reason == "REJECTED":
            return "UNKNOWN", "EC_PostOnlyWillTakeLiquidity" if order.new.post_only else "EC_Others"
        return _ENDS.get(order.expiry_reason, ("UNKNOWN", "EC_Others"))
    return "UNKNOWN", "EC_NoError"


def average_e8(board: Board, order: AccountOrder) -> int:
    """Average price of what traded, in 1e-8; 0 when nothing has."""
    units = order.filled * order.market.listing.step_e8
    if not units:
        return 0
    if order.market.listing.is_contract:
        return cost_at(order.market.listing, order.value, order.filled)
    return board.sums(order).quote * order.market.listing.tick_e8 // order.filled


def _price(board: Board, order: AccountOrder) -> str:
    """A market order shows the limit it is sent with."""
    ticks = order.new.price if order.new.price is not None else order.new.worst
    return board.numbers(order.market).price(ticks or 0)


def order_row(board: Board, order: AccountOrder, *, cancel: tuple[str, str] | None = None) -> dict[str, Any]:
    """An order as queries and the `order` topic show it; `cancel` replaces why it ended."""
    market, new = order.market, order.new
    numbers, notes = board.numbers(market), new.notes
    spot = board.category == "spot"
    cancel_type, reject = cancel or _end(order)
    left = order.left if order.open else 0
    zero = fixed(0, numbers.size_places)
    average, sums = average_e8(board, order), board.sums(order)
    price = new.price if new.price is not None else new.worst or 0
    left_value = board.value_e8(market, price, left) if price else 0
    if not order.open and new.quote_e8 and order.filled:
        left_value = max(0, new.quote_e8 - order.quote)
    row: dict[str, Any] = {
        "category": board.category,
        "symbol": market.symbol,
        "orderId": board.ids.order(market.symbol, order.order_id),
        "orderLinkId": order.client_id,
        "parentOrderLinkId": "",
        "blockTradeId": "",
        "side": SIDES[new.side],
        "positionIdx": notes.get("positionIdx", 0),
        "orderType": notes.get("orderType", "Market" if new.price is None else "Limit"),
        "price": _price(board, order),
        "qty": notes.get("qty") or fixed(order.lots * market.listing.step_e8, numbers.size_places),
        "timeInForce": new.tif_text,
        "orderStatus": status_of(order, board.category),
        "cancelType": cancel_type,
        "rejectReason": reject,
        "avgPrice": plain(average) if average else "",
        "leavesQty": numbers.size(left) if left else zero,
        "leavesValue": plain(left_value),
        "cumExecQty": numbers.size(order.filled) if order.filled else zero,
        "cumExecValue": plain(order.quote),
        "cumExecFee": plain(sum(sums.fees.values())),
        "cumFeeDetail": {} if board.category == "inverse" else {coin: plain(u) for coin, u in sums.fees.items()},
        "feeCurrency": "",
        "isLeverage": "0" if spot else "",
        "marketUnit": notes.get("marketUnit", ""),
        "reduceOnly": notes.get("reduceOnly", False),
        "closeOnTrigger": notes.get("closeOnTrigger", False),
        "stopOrderType": notes.get("stopOrderType", ""),
        "triggerPrice": "" if new.stop is None else numbers.price(new.stop),
        "triggerDirection": 0 if spot or not new.trigger else 1 if new.trigger == "above" else 2,
        "triggerBy": notes.get("triggerBy", ""),
        "takeProfit": "",
        "stopLoss": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "tpslMode": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "ocoTriggerBy": "",
        "orderIv": "",
        "placeType": "",
        "smpType": notes.get("smpType", "None"),
        "smpGroup": 0,
        "smpOrderId": _met(board, order),
        "slippageToleranceType": notes.get("slippageToleranceType", "UNKNOWN"),
        "slippageTolerance": notes.get("slippageTolerance", ""),
        "lastPriceOnCreated": notes.get("lastPrice", ""),
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
        "createdTime": str(order.created_us // 1000),
        "updatedTime": str(order.updated_us // 1000),
    }
    if not spot:
        row["createType"] = _ORIGINS.get(new.origin, (notes.get("createType", "CreateByUser"), ""))[0]
        row["closedPnl"] = plain(sums.realised)
    return row


def _met(board: Board, order: AccountOrder) -> str:
    """The order it would have traded with, had they not had the same owner."""
    match = order.prevented_match
    if match is None:
        return ""
    other = match.taker_order_id if match.maker_order_id == order.order_id else match.maker_order_id
    return board.ids.order(order.market.symbol, other)


def execution_kind(order: AccountOrder) -> str:
    """What the fills of an order are called."""
    return _ORIGINS[order.new.origin][1] if order.new.origin in _ORIGINS else "Trade"


def execution_row(board: Board, account: Account, order: AccountOrder, fill: AccountFill) -> dict[str, Any]:
    """One fill of an order."""
    market, new = order.market, order.new
    numbers, notes = board.numbers(market), new.notes
    lots, left, price = board.sums(order).after[fill.trade_id]
    spot = board.category == "spot"
    rate = account.maker_rate if fill.is_maker else account.taker_rate
    row: dict[str, Any] = {
        "category": board.category,
        "symbol": market.symbol,
        "orderId": board.ids.order(market.symbol, order.order_id),
        "orderLinkId": order.client_id,
        "side": SIDES[new.side],
        "orderPrice": numbers.price(price),
        "orderQty": notes.get("qty") or fixed(lots * market.listing.step_e8, numbers.size_places),
        "leavesQty": fixed(left * market.listing.step_e8, numbers.size_places),
        "orderType": notes.get("orderType", "Market" if new.price is None else "Limit"),
        "stopOrderType": notes.get("stopOrderType", "") or "UNKNOWN",
        "execId": board.ids.execution(market.symbol, fill.trade_id),
        "execPrice": numbers.price(fill.price),
        "execQty": numbers.size(fill.lots),
        "execValue": plain(fill.quote_e8),
        "execFee": plain(fill.commission_e8),
        "feeCurrency": fill.commission_asset,
        "feeRate": plain(rate),
        "execType": "Trade",
        "execTime": str(fill.time_us // 1000),
        "isMaker": fill.is_maker,
        "isLeverage": "0",
        "closedSize": "",
        "execPnl": "",
        "markPrice": "",
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "extraFees": "",
        "marketUnit": notes.get("marketUnit", ""),
        "seq": fill.trade_id,
    }
    if not spot:
        row["createType"], row["execType"] = _ORIGINS.get(
            new.origin, (notes.get("createType", "CreateByUser"), "Trade")
        )
        closed = board.closed.get((market.symbol, order.order_id, fill.trade_id), 0)
        row["closedSize"] = fixed(closed * market.listing.step_e8, numbers.size_places)
        row["execPnl"] = plain(fill.realised_e8)
        row["markPrice"] = numbers.price_e8(market.marks.mark_e8)
    return row


def fast_row(row: dict[str, Any]) -> dict[str, Any]:
    """What the quick topic tells of a fill; it does not name a maker's own id."""
    names = (
        "category",
        "symbol",
        "execId",
        "execPrice",
        "execQty",
        "orderId",
        "isMaker",
        "orderLinkId",
        "side",
        "execTime",
    )
    return {name: row[name] for name in (*names, "seq")} | ({"orderLinkId": ""} if row["isMaker"] else {})
