"""Write orders, fills and account events as the spot venue does. Pure: values in, plain values for JSON out.

Times are microseconds divided by `unit` (1000 for milliseconds). Fields: the venue's REST, WebSocket API and user data
documents, read 2026-11.
"""

from __future__ import annotations

from typing import Any

from connector.matching import OrderStatus
from connector.simulator.accounts import Account, AccountFill, AccountOrder, OrderList
from connector.simulator.desk import BalanceChange, ListUpdate, Position, Report
from connector.simulator.instruments import text_e8
from connector.simulator.market import Market

__all__ = [
    "ack_row",
    "cancel_row",
    "event_row",
    "fill_row",
    "full_row",
    "list_row",
    "order_row",
    "result_row",
    "trade_row",
]


def _price(order: AccountOrder, ticks: int | None) -> str:
    return order.market.price_text(ticks or 0)


def _extras(order: AccountOrder, unit: int, *, always: bool = False) -> dict[str, Any]:
    """Fields that only some orders have; `always` shows stop price and iceberg quantity of every order."""
    new, row = order.new, {}
    if always or new.stop is not None:
        row["stopPrice"] = _price(order, new.stop)
    if always or new.display:
        row["icebergQty"] = order.market.size_text(new.display)
    extra: dict[str, Any] = row
    if new.trailing is not None:
        extra["trailingDelta"] = new.trailing
        if order.trailing_us is not None:
            extra["trailingTime"] = order.trailing_us // unit
    if new.strategy_id is not None:
        extra["strategyId"] = new.strategy_id
    if new.strategy_type is not None:
        extra["strategyType"] = new.strategy_type
    if order.prevented_match is not None:
        extra["preventedMatchId"] = order.prevented_match.match_id
        extra["preventedQuantity"] = order.market.size_text(order.prevented)
    if order.status is OrderStatus.EXPIRED and order.expiry_reason:
        extra["expiryReason"] = order.expiry_reason
    return extra


def _state(order: AccountOrder) -> dict[str, Any]:
    size, new = order.market.size_text, order.new
    return {
        "price": _price(order, new.price),
        "origQty": size(order.lots),
        "executedQty": size(order.filled),
        "origQuoteOrderQty": text_e8(new.quote_e8),
        "cummulativeQuoteQty": text_e8(order.quote),
        "status": order.status_text,
        "timeInForce": new.tif_text,
        "type": new.type,
        "side": new.side.value,
    }


def _working(order: AccountOrder, unit: int) -> int:
    return -1 if order.working_us is None else order.working_us // unit


def ack_row(order: AccountOrder, unit: int) -> dict[str, Any]:
    """The shortest answer to a new order."""
    return {
        "symbol": order.market.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": order.updated_us // unit,
    }


def result_row(order: AccountOrder, unit: int) -> dict[str, Any]:
    """The answer with the order as it stands."""
    return (
        ack_row(order, unit)
        | _state(order)
        | _extras(order, unit)
        | {"workingTime": _working(order, unit), "selfTradePreventionMode": order.new.stp_text}
    )


def full_row(order: AccountOrder, unit: int) -> dict[str, Any]:
    """The answer with its fills."""
    return result_row(order, unit) | {"fills": [fill_row(order.market, fill) for fill in order.fills]}


def fill_row(market: Market, fill: AccountFill) -> dict[str, Any]:
    """A fill as the answer to a new order shows it."""
    return {
        "price": market.price_text(fill.price),
        "qty": market.size_text(fill.lots),
        "commission": text_e8(fill.commission_e8),
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.trade_id,
    }


def trade_row(market: Market, fill: AccountFill, unit: int) -> dict[str, Any]:
    """A fill as `myTrades` shows it."""
    return {
        "symbol": market.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": fill.list_id,
        "price": market.price_text(fill.price),
        "qty": market.size_text(fill.lots),
        "quoteQty": text_e8(fill.quote_e8),
        "commission": text_e8(fill.commission_e8),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_us // unit,
        "isBuyer": fill.is_buyer,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def order_row(order: AccountOrder, unit: int) -> dict[str, Any]:
    """An order as queries show it."""
    row = {
        "symbol": order.market.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
    }
    state = _state(order)
    quote = state.pop("origQuoteOrderQty")
    return (
        row
        | state
        | _extras(order, unit, always=True)
        | {
            "time": order.created_us // unit,
            "updateTime": order.updated_us // unit,
            "isWorking": order.working_us is not None,
            "workingTime": _working(order, unit),
            "origQuoteOrderQty": quote,
            "selfTradePreventionMode": order.new.stp_text,
        }
    )


def cancel_row(order: AccountOrder, cancel_id: str, unit: int) -> dict[str, Any]:
    """A canceled order as the answer to the cancel shows it; `clientOrderId` is the cancel's."""
    return (
        {
            "symbol": order.market.symbol,
            "origClientOrderId": order.client_id,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "clientOrderId": cancel_id,
            "transactTime": order.updated_us // unit,
        }
        | _state(order)
        | _extras(order, unit)
        | {"selfTradePreventionMode": order.new.stp_text}
    )


def list_row(bundle: OrderList, unit: int) -> dict[str, Any]:
    """An order list, without reports on its orders."""
    return {
        "orderListId": bundle.list_id,
        "contingencyType": bundle.contingency,
        "listStatusType": bundle.status_type,
        "listOrderStatus": bundle.status,
        "listClientOrderId": bundle.client_id,
        "transactionTime": bundle.updated_us // unit,
        "symbol": bundle.market.symbol,
        "orders": [
            {"symbol": bundle.market.symbol, "orderId": order.order_id, "clientOrderId": order.client_id}
            for order in bundle.orders
        ],
    }


def event_row(event: Report | Position | BalanceChange | ListUpdate, unit: int) -> dict[str, Any]:
    """An account event as the user data stream tells it."""
    at = event.at_us // unit
    if isinstance(event, Report):
        return _report_row(event, unit)
    if isinstance(event, Position):
        return {
            "e": "outboundAccountPosition",
            "E": at,
            "u": event.account.updated_us // unit,
            "B": [_balance(event.account, asset) for asset in event.assets],
        }
    if isinstance(event, BalanceChange):
        return {"e": "balanceUpdate", "E": at, "a": event.asset, "d": text_e8(event.delta_e8), "T": at}
    bundle = event.list
    return {
        "e": "listStatus",
        "E": at,
        "s": bundle.market.symbol,
        "g": bundle.list_id,
        "c": bundle.contingency,
        "l": bundle.status_type,
        "L": bundle.status,
        "r": "NONE",
        "C": bundle.client_id,
        "T": at,
        "O": [{"s": bundle.market.symbol, "i": order.order_id, "c": order.client_id} for order in bundle.orders],
    }


def _balance(account: Account, asset: str) -> dict[str, str]:
    balance = account.balance(asset)
    return {"a": asset, "f": text_e8(balance.free), "l": text_e8(balance.locked)}


def _report_row(event: Report, unit: int) -> dict[str, Any]:
    order, fill = event.order, event.fill
    new, market, size = order.new, order.market, order.market.size_text
    at = event.at_us // unit
    row: dict[str, Any] = {
        "e": "executionReport",
        "E": at,
        "s": market.symbol,
        "c": event.client_id,
        "S": new.side.value,
        "o": new.type,
        "f": new.tif_text,
        "q": size(order.lots),
        "p": _price(order, new.price),
        "P": _price(order, new.stop),
        "F": size(new.display),
        "g": order.list_id,
        "C": event.original,
        "x": event.execution,
        "X": order.status_text,
        "r": event.reason,
        "i": order.order_id,
        "l": size(fill.lots if fill is not None else 0),
        "z": size(order.filled),
        "L": market.price_text(fill.price if fill is not None else 0),
        "n": text_e8(fill.commission_e8) if fill is not None else "0",
        "N": fill.commission_asset if fill is not None else None,
        "T": at,
        "t": fill.trade_id if fill is not None else -1,
        "I": event.execution_id,
        "w": order.working and order.open,
        "m": fill is not None and fill.is_maker,
        "M": fill is not None,
        "O": order.created_us // unit,
        "Z": text_e8(order.quote),
        "Y": text_e8(fill.quote_e8 if fill is not None else 0),
        "Q": text_e8(new.quote_e8),
    }
    if order.working_us is not None:
        row["W"] = order.working_us // unit
    row["V"] = new.stp_text
    if new.trailing is not None:
        row["d"] = new.trailing
        if order.trailing_us is not None:
            row["D"] = order.trailing_us // unit
    if new.strategy_id is not None:
        row["j"] = new.strategy_id
    if new.strategy_type is not None:
        row["J"] = new.strategy_type
    if order.prevented_match is not None:
        row["v"] = order.prevented_match.match_id
        row["A"] = size(order.prevented)
    if event.prevented is not None:
        match = event.prevented
        other = match.maker_order_id if order.order_id == match.taker_order_id else match.taker_order_id
        row |= {
            "B": size(match.lots),
            "u": order.account.uid,
            "U": other,
            "Cs": market.symbol,
            "pl": size(match.lots),
            "pL": market.price_text(match.price),
            "pY": market.quote_text(match.price * match.lots),
        }
    if order.status is OrderStatus.EXPIRED and order.expiry_reason:
        row["eR"] = order.expiry_reason
    return row
