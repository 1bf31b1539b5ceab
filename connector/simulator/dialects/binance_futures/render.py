"""Write orders, fills, positions and account events as the futures venue does. Pure: values in, plain values for JSON out.

Fields: the venue's USDⓈ-M and COIN-M documents and its user data streams, read 2026-11.
"""

from __future__ import annotations

from typing import Any

from connector.simulator.accounts import Account, AccountFill, AccountOrder
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import digits, fixed, price_text, size_text
from connector.simulator.instruments import SCALE, text_e8
from connector.simulator.margin import Clearing, Holding, cost_at, value_e16
from connector.simulator.market import Market

__all__ = [
    "SIDES",
    "algo_event",
    "algo_row",
    "algo_status",
    "amendment_row",
    "average",
    "order_event",
    "placed_row",
    "position_event",
    "queried_row",
    "signed_text",
    "trade_row",
]

SIDES = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
"""A position's side in the venue's words."""

# why an order ended on the exchange's own account
_REASONS = {
    "UNFILLED_IOC_QUANTITY_EXPIRED": "2",
    "REDUCE_ONLY": "4",
    "LIQUIDATION": "5",
    "POSITION_CLOSED": "6",
    "DELIVERY": "7",
    "INSUFFICIENT_LIQUIDITY": "9",
    "UNFILLED_FOK_ORDER_EXPIRED": "10",
    "POST_ONLY": "11",
}


def signed_text(value_e8: int) -> str:
    """An amount that may be negative."""
    return text_e8(value_e8)


def position_side(order: AccountOrder) -> str:
    """BOTH, LONG or SHORT."""
    return SIDES[order.new.holding]


def average(order: AccountOrder) -> str:
    """Average price of what traded, with two places more than the tick; 0 before a fill."""
    listing = order.market.listing
    return fixed(cost_at(listing, order.value, order.filled), min(8, digits(listing.tick_e8) + 2))


def _price(order: AccountOrder) -> str:
    price = order.new.price
    # a forced order shows its price, a market order none
    return "0" if price is None else price_text(order.market, price)


def _stop(order: AccountOrder) -> str:
    return "0" if order.new.stop is None else price_text(order.market, order.new.stop)


def _original_type(order: AccountOrder) -> str:
    kind: str = order.new.notes.get("type", order.new.type)
    return kind


def _state(order: AccountOrder, product: Product) -> dict[str, Any]:
    """What every order row has."""
    new, market = order.new, order.market
    row: dict[str, Any] = {
        "orderId": order.order_id,
        "symbol": market.symbol,
        "status": order.status_text,
        "clientOrderId": order.client_id,
        "price": _price(order),
        "origQty": size_text(market, order.lots),
        "executedQty": size_text(market, order.filled),
        "timeInForce": new.tif_text,
        "type": new.type,
        "reduceOnly": new.reduce_only,
        "closePosition": new.close_all,
        "side": new.side.value,
        "positionSide": position_side(order),
        "stopPrice": _stop(order),
        "workingType": new.notes.get("working", "CONTRACT_PRICE"),
        "priceProtect": new.notes.get("protect", False),
        "origType": _original_type(order),
        "priceMatch": new.notes.get("match", "NONE"),
        "selfTradePreventionMode": new.stp_text,
        "updateTime": order.updated_us // 1000,
    }
    if product.linear:
        row["goodTillDate"] = new.notes.get("until", 0)
    else:
        row["pair"] = market.listing.pair
    return row


def placed_row(order: AccountOrder, product: Product, *, as_taken: bool = False) -> dict[str, Any]:
    """The answer to a new order, a modification or a cancel; `as_taken` shows it as it was before anything happened to it."""
    row = _state(order, product)
    row["cumQty"] = row["executedQty"]
    if as_taken:
        nothing = size_text(order.market, 0)
        row |= {"status": "NEW", "executedQty": nothing, "cumQty": nothing}
    return row


def queried_row(order: AccountOrder, product: Product, *, every: bool = False) -> dict[str, Any]:
    """An order as queries show it; `every` adds what only lists of all orders have."""
    row = _state(order, product)
    row["avgPrice"] = average(order)
    row["time"] = order.created_us // 1000
    quote, base = text_e8(order.quote), text_e8(order.filled * order.market.listing.step_e8)
    if product.linear:
        row["cumQuote"] = quote
        if every:
            row |= {"cumBase": base, "pair": order.market.listing.pair}
    else:
        row["cumBase"] = quote
    return row


def trade_row(order: AccountOrder, fill: AccountFill, product: Product) -> dict[str, Any]:
    """A fill as `userTrades` shows it."""
    market = order.market
    listing = market.listing
    if product.linear:
        base, quote = fill.lots * listing.step_e8, fill.quote_e8
    else:
        base, quote = fill.quote_e8, fill.lots * listing.step_e8 * listing.size_e8 // SCALE
    return {
        "symbol": market.symbol,
        "pair": listing.pair,
        "id": fill.trade_id,
        "orderId": order.order_id,
        "side": "BUY" if fill.is_buyer else "SELL",
        "price": price_text(market, fill.price),
        "qty": size_text(market, fill.lots),
        "realizedPnl": signed_text(fill.realised_e8),
        "marginAsset": listing.settle,
        "quoteQty": text_e8(quote),
        "baseQty": text_e8(base),
        "commission": text_e8(fill.commission_e8),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_us // 1000,
        "positionSide": SIDES[fill.holding],
        "buyer": fill.is_buyer,
        "maker": fill.is_maker,
    }


def amendment_row(order: AccountOrder, number: int) -> dict[str, Any]:
    """One modification of an order."""
    change, market = order.changes[number], order.market
    amendment: dict[str, Any] = {
        "price": {"before": price_text(market, change.price_before), "after": price_text(market, change.price_after)},
        "origQty": {"before": size_text(market, change.lots_before), "after": size_text(market, change.lots_after)},
        "count": change.number,
    }
    if change.note is not None:
        amendment["modifyId"] = change.note
    return {
        "amendmentId": order.order_id * 10_000 + change.number,
        "symbol": market.symbol,
        "pair": market.listing.pair,
        "orderId": order.order_id,
        "clientOrderId": order.client_id,
        "time": change.at_us // 1000,
        "amendment": amendment,
    }


# conditional orders


def algo_status(order: AccountOrder) -> str:
    """NEW, TRIGGERED, FINISHED, CANCELED, EXPIRED or REJECTED."""
    if order.spawned is not None:
        return "TRIGGERED" if order.spawned.open else "FINISHED"
    if order.expiry_reason in ("INSUFFICIENT_MARGIN", "REDUCE_ONLY", "POSITION_LIMIT", "DUPLICATE", "WOULD_MATCH"):
        return "REJECTED"
    return order.status.value


def algo_row(order: AccountOrder, *, query: bool = False) -> dict[str, Any]:
    """A conditional order."""
    new, market, child = order.new, order.market, order.spawned
    row: dict[str, Any] = {
        "algoId": order.order_id,
        "clientAlgoId": new.spawns,
        "algoType": "CONDITIONAL",
        "orderType": new.type,
        "symbol": market.symbol,
        "side": new.side.value,
        "positionSide": position_side(order),
        "timeInForce": new.tif_text,
        "quantity": size_text(market, order.lots),
        "algoStatus": algo_status(order),
        "triggerPrice": "0" if new.trailing is not None else _stop(order),
        "price": _price(order),
        "icebergQuantity": None,
        "selfTradePreventionMode": new.stp_text,
        "workingType": new.notes.get("working", "CONTRACT_PRICE"),
        "priceMatch": new.notes.get("match", "NONE"),
        "closePosition": new.close_all,
        "priceProtect": new.notes.get("protect", False),
        "reduceOnly": new.reduce_only,
        "createTime": order.created_us // 1000,
        "updateTime": order.updated_us // 1000,
        "triggerTime": 0 if order.working_us is None else order.working_us // 1000,
        "goodTillDate": new.notes.get("until", 0),
    }
    if not query:
        row["activatePrice"] = _stop(order) if new.trailing is not None else ""
        row["callbackRate"] = "" if new.trailing is None else _percent(new.trailing)
        return row
    return row | {
        "actualOrderId": "" if child is None else str(child.order_id),
        "actualPrice": "0" if child is None else average(child),
        "actualType": "" if child is None else child.new.type,
        "actualQty": "0" if child is None else size_text(market, child.filled),
        "tpOrderType": "",
    }


def _percent(bips: int) -> str:
    return f"{bips // 100}.{bips % 100:02d}".rstrip("0").rstrip(".")


def algo_event(order: AccountOrder, status: str, at_ms: int) -> dict[str, Any]:
    """ALGO_UPDATE."""
    new, market, child = order.new, order.market, order.spawned
    reason = ""
    if status in ("REJECTED", "EXPIRED"):
        reason = {"INSUFFICIENT_MARGIN": "Margin is insufficient.", "REDUCE_ONLY": "ReduceOnly Order is rejected."}.get(
            order.expiry_reason, order.expiry_reason
        )
    row: dict[str, Any] = {
        "caid": new.spawns,
        "aid": order.order_id,
        "at": "CONDITIONAL",
        "o": new.type,
        "s": market.symbol,
        "S": new.side.value,
        "ps": position_side(order),
        "f": new.tif_text,
        "q": size_text(market, order.lots),
        "X": status,
        "ai": "" if child is None else str(child.order_id),
        "ap": "0" if child is None or status != "FINISHED" else average(child),
        "aq": "0" if child is None or status != "FINISHED" else size_text(market, child.filled),
        "act": "" if child is None else child.new.type,
        "tp": "0" if new.trailing is not None else _stop(order),
        "p": _price(order),
        "V": new.stp_text,
        "wt": new.notes.get("working", "CONTRACT_PRICE"),
        "pm": new.notes.get("match", "NONE"),
        "cp": new.close_all,
        "pP": new.notes.get("protect", False),
        "R": new.reduce_only,
        "tt": 0 if order.working_us is None else order.working_us // 1000,
        "gtd": new.notes.get("until", 0),
        "rm": reason,
        "ia": new.trailing is not None and (new.stop is None or order.extreme is not None),
    }
    if new.trailing is not None:
        row |= {"AP": _stop(order), "cr": _percent(new.trailing)}
    return {"e": "ALGO_UPDATE", "T": at_ms, "E": at_ms, "o": row}


# the user's stream


def order_event(
    order: AccountOrder,
    execution: str,
    at_ms: int,
    product: Product,
    *,
    fill: AccountFill | None = None,
    alias: str = "",
    modify_id: Any = None,
) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE."""
    new, market = order.new, order.market
    listing = market.listing
    bids = asks = 0
    for other in order.account.open_on(market.symbol):
        if other.new.trigger or other.new.price is None:
            continue
        worth = abs(value_e16(listing, other.new.price * listing.tick_e8, other.left)) // SCALE
        if other.new.side is order.new.side.BUY:
            bids += worth
        else:
            asks += worth
    reason = "0"
    if order.status.value == "EXPIRED_IN_MATCH":
        reason = "1"
    elif order.status.value == "EXPIRED":
        reason = _REASONS.get(order.expiry_reason, "0")
        if order.new.notes.get("type") and reason == "0":
            reason = "8"
    row: dict[str, Any] = {
        "s": market.symbol,
        "c": order.client_id,
        "S": new.side.value,
        "o": new.type,
        "f": new.tif_text,
        "q": size_text(market, order.lots),
        "p": _price(order),
        "ap": average(order),
        "sp": _stop(order),
        "x": execution,
        "X": order.status_text,
        "i": order.order_id,
        "l": size_text(market, 0 if fill is None else fill.lots),
        "z": size_text(market, order.filled),
        "L": "0" if fill is None else price_text(market, fill.price),
    }
    if fill is not None:
        row |= {"N": fill.commission_asset, "n": text_e8(fill.commission_e8)}
    if not product.linear:
        row["ma"] = listing.settle
    row |= {
        "T": at_ms,
        "t": 0 if fill is None else fill.trade_id,
        "b": text_e8(bids),
        "a": text_e8(asks),
        "m": fill is not None and fill.is_maker,
        "R": new.reduce_only,
        "wt": new.notes.get("working", "CONTRACT_PRICE"),
        "ot": _original_type(order),
        "ps": position_side(order),
        "cp": new.close_all,
        "pP": new.notes.get("protect", False),
        "si": 0,
        "ss": 0,
        "rp": "0" if fill is None else signed_text(fill.realised_e8),
        "V": new.stp_text,
        "pm": new.notes.get("match", "NONE"),
        "gtd": new.notes.get("until", 0),
        "er": reason,
    }
    if execution == "AMENDMENT" and modify_id is not None:
        row["M"] = modify_id
    head: dict[str, Any] = {"e": "ORDER_TRADE_UPDATE", "E": at_ms, "T": at_ms}
    if not product.linear:
        head["i"] = alias
    return head | {"o": row}


def position_event(
    account: Account,
    clearing: Clearing,
    assets: tuple[str, ...],
    holdings: tuple[Holding, ...],
    reason: str,
    at_ms: int,
    product: Product,
    *,
    changes: dict[str, int],
    symbol: str = "",
    alias: str = "",
) -> dict[str, Any]:
    """ACCOUNT_UPDATE: values are absolute, only what changed is listed; a symbol's BOTH row comes with its LONG and SHORT."""
    rows: list[tuple[Market, str, Holding | None]] = []
    for held in holdings:
        if held.side != "net" and (held.market, "net") not in [(market, side) for market, side, _ in rows]:
            rows.append((held.market, "net", account.holdings.get((held.market.symbol, "net"))))
        rows.append((held.market, held.side, held))
    inner: dict[str, Any] = {
        "B": [
            {
                "a": asset,
                "wb": signed_text(wallet),
                "cw": signed_text(clearing.state(account, asset).cross_wallet_e8),
                "bc": signed_text(changes.get(asset, 0)),
            }
            for asset in assets
            for wallet in (account.balance(asset).free,)
        ],
        "P": [_position(market, side, found, clearing, account) for market, side, found in rows],
        "m": reason,
    }
    if symbol:
        inner["S"] = symbol
    head: dict[str, Any] = {"e": "ACCOUNT_UPDATE", "E": at_ms, "T": at_ms}
    if not product.linear:
        head["i"] = alias
    return head | {"a": inner}


def _position(market: Market, side: str, held: Holding | None, clearing: Clearing, account: Account) -> dict[str, Any]:
    isolated = clearing.terms(account, market).isolated if held is None or not held.lots else held.isolated
    return {
        "s": market.symbol,
        "pa": _signed_size(market, 0 if held is None else held.lots),
        "ep": text_e8(0 if held is None else held.entry_e8),
        "bep": text_e8(0 if held is None else held.break_even_e8),
        "cr": signed_text(0 if held is None else held.total_e8),
        "up": signed_text(0 if held is None else held.unrealised_e8),
        "mt": "isolated" if isolated else "cross",
        "iw": text_e8(0 if held is None else held.isolated_e8),
        "ps": SIDES[side],
        "ma": market.listing.settle,
    }


def _signed_size(market: Market, lots: int) -> str:
    if not lots:
        return "0"
    return ("-" if lots < 0 else "") + size_text(market, abs(lots))
