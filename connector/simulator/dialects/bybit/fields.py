"""List the calls of this venue: path, name, handler, and how many of each an account may make in a second.

Values only. Names are the simulator's words for what a call does, the same for REST and for orders over WebSocket, so that faults
can choose calls without knowing the venue. Source: the venue's V5 rate limit table, read 2026-11.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ENDPOINTS", "LIMITS", "OPS", "ROUTES", "Call", "Endpoint"]


class Endpoint(NamedTuple):
    """A public call: the method of `live.Answers` that answers it."""

    handler: str


class Call(NamedTuple):
    """A call that needs a key: its name, the method of `trading.Private` that does it, calls a second for spot and contracts.

    A batch counts once per order, and on its own. `trade` needs the right to change something.
    """

    name: str
    handler: str
    spot: int
    contracts: int
    trade: bool = False
    batch: bool = False


ENDPOINTS: dict[str, Endpoint] = {
    f"/v5/{path}": Endpoint(handler)
    for path, handler in (
        ("market/time", "time"),
        ("market/instruments-info", "instruments_info"),
        ("market/kline", "kline"),
        ("market/mark-price-kline", "mark_price_kline"),
        ("market/index-price-kline", "index_price_kline"),
        ("market/orderbook", "orderbook"),
        ("market/tickers", "tickers"),
        ("market/recent-trade", "recent_trade"),
        ("market/funding/history", "funding_history"),
        ("market/open-interest", "open_interest"),
        ("market/risk-limit", "risk_limit"),
        ("market/price-limit", "price_limit"),
        ("system/status", "system_status"),
    )
}

ROUTES: dict[tuple[str, str], Call] = {
    ("POST", "/v5/order/create"): Call("order.place", "order_create", 20, 10, trade=True),
    ("POST", "/v5/order/amend"): Call("order.modify", "order_amend", 10, 10, trade=True),
    ("POST", "/v5/order/cancel"): Call("order.cancel", "order_cancel", 20, 10, trade=True),
    ("POST", "/v5/order/cancel-all"): Call("openOrders.cancelAll", "order_cancel_all", 20, 10, trade=True),
    ("POST", "/v5/order/create-batch"): Call("order.place.batch", "order_create", 20, 10, trade=True, batch=True),
    ("POST", "/v5/order/amend-batch"): Call("order.modify.batch", "order_amend", 20, 10, trade=True, batch=True),
    ("POST", "/v5/order/cancel-batch"): Call("order.cancel.batch", "order_cancel", 20, 10, trade=True, batch=True),
    ("GET", "/v5/order/realtime"): Call("openOrders.status", "order_realtime", 50, 50),
    ("GET", "/v5/order/history"): Call("allOrders", "order_history", 50, 50),
    ("GET", "/v5/execution/list"): Call("myTrades", "execution_list", 50, 50),
    ("GET", "/v5/order/spot-borrow-check"): Call("account.buyingPower", "spot_borrow_check", 50, 50),
    ("GET", "/v5/account/wallet-balance"): Call("account.status", "wallet_balance", 50, 50),
    ("GET", "/v5/account/info"): Call("account.info", "account_info", 50, 50),
    ("GET", "/v5/account/withdrawal"): Call("account.withdrawal", "account_withdrawal", 50, 50),
    ("GET", "/v5/account/fee-rate"): Call("account.commission", "fee_rate", 5, 5),
    ("GET", "/v5/account/instruments-info"): Call("account.instruments", "account_instruments", 10, 10),
    ("GET", "/v5/account/transaction-log"): Call("account.log", "transaction_log", 25, 25),
    ("POST", "/v5/account/set-margin-mode"): Call("marginType.set", "set_margin_mode", 5, 5, trade=True),
    ("GET", "/v5/user/query-api"): Call("account.key", "query_api", 10, 10),
    ("GET", "/v5/asset/coin/query-info"): Call("account.coins", "coin_info", 5, 5),
    ("GET", "/v5/asset/transfer/query-account-coins-balance"): Call("account.funding", "coins_balance", 5, 5),
    ("GET", "/v5/position/list"): Call("position.status", "position_list", 50, 50),
    ("GET", "/v5/position/symbol-info"): Call("position.terms", "symbol_info", 50, 50),
    ("POST", "/v5/position/set-leverage"): Call("leverage.set", "set_leverage", 10, 10, trade=True),
    ("POST", "/v5/position/switch-mode"): Call("positionMode.set", "switch_mode", 10, 10, trade=True),
    ("POST", "/v5/position/trading-stop"): Call("positionStop.set", "trading_stop", 10, 10, trade=True),
}

OPS: dict[str, Call] = {
    f"order.{op}": ROUTES["POST", f"/v5/order/{op}"]
    for op in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
"""Orders over WebSocket: the same calls, and the same counts."""

LIMITS: dict[str, int] = {
    "http_per_5s": 600,
    "ban_s": 600,
    "args_per_frame": 10,
    "args_length": 21_000,
    "ws_orders_per_s": 3_000,
    "open_orders": 500,
    "conditional_orders": 10,
    "idle_s": 600,
}
"""Figures that `SimulatorSettings.limits` may replace, beside the names of calls: requests of an address, the length of its ban,
topics in one spot subscription, letters of all topics of a public connection, orders by WebSocket of an
address, open orders (of spot in all, of contracts per symbol), conditional ones per symbol of contracts, the silence after which
a private connection is cut."""
