"""Answer the futures venue's private calls: who asks, is it signed, is it in time, and what comes of their orders.

One method per call of `rest.CALLS` (those about accounts are in `account`); REST and the WebSocket API share them. Orders go to
the desk; refusals come back in the venue's codes and words. Loop thread only. Source: the futures documents, read 2026-11.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from typing import Any

from connector.simulator.accounts import Account, AccountFill, AccountOrder
from connector.simulator.desk import Refused
from connector.simulator.dialects.binance_futures.account import AccountCalls
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.orders import OrderReader
from connector.simulator.dialects.binance_futures.render import (
    algo_row,
    amendment_row,
    placed_row,
    queried_row,
    trade_row,
)
from connector.simulator.dialects.binance_futures.rest import (
    CALLS,
    Call,
    VenueError,
    read_fields,
    recv_window_ms,
    whole,
)
from connector.simulator.exchange import Exchange
from connector.simulator.keys import ApiKey
from connector.simulator.market import Market

__all__ = ["ListenKeys", "Private"]

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_KEY_US = 3_600_000_000
_BATCH = 5
_MOST_CHANGES = 10_000

_REFUSALS = {
    "disabled": (-2015, "Invalid API-key, IP, or permissions for action."),
    "duplicate": (-4116, "clientOrderId is duplicated."),
    "holding": (-4061, "Order's position side does not match user's setting."),
    "insufficient_balance": (-2018, "Balance is insufficient."),
    "insufficient_margin": (-2019, "Margin is insufficient."),
    "market_closed": (-4140, "Invalid symbol status for opening position."),
    "position_limit": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "would_trigger": (-2021, "Order would immediately trigger."),
    "would_match": (
        -5022,
        (
            "Due to the order could not be executed as maker, the Post Only order will be rejected. "
            "The order will not be recorded in the order history"
        ),
    ),
}


class ListenKeys:
    """The keys of user streams: one per account, good for an hour from the last time somebody asked."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._rng = random.Random(f"{exchange.settings.seed}:listen")
        self._by_account: dict[str, tuple[str, int]] = {}
        self.ended: Callable[[Account, str], None] = lambda account, key: None
        """Told when a key is over."""

    def start(self, account: Account) -> str:
        """The account's key, good for an hour from now."""
        known = self.active(account)
        key = known or "".join(self._rng.choices(string.ascii_letters + string.digits, k=64))
        self._by_account[account.name] = key, self._exchange.clock.now_us() + _KEY_US
        return key

    def active(self, account: Account) -> str | None:
        """The key while it is good."""
        key, until_us = self._by_account.get(account.name, ("", 0))
        return key if self._exchange.clock.now_us() < until_us else None

    def account_of(self, key: str) -> Account | None:
        """Whose events a key opens."""
        for name, (known, _) in self._by_account.items():
            if known == key:
                account = self._exchange.desk.accounts[name]
                return account if self.active(account) == key else None
        return None

    def stop(self, account: Account) -> None:
        """End a key at once."""
        key, _ = self._by_account.pop(account.name, ("", 0))
        if key:
            self.ended(account, key)

    def expire(self) -> None:
        """End what nobody has kept alive."""
        now_us = self._exchange.clock.now_us()
        for name, (_, until_us) in list(self._by_account.items()):
            if now_us >= until_us:
                self.stop(self._exchange.desk.accounts[name])


class Private(AccountCalls):
    """Everything behind a key."""

    def __init__(self, exchange: Exchange, product: Product) -> None:
        super().__init__(exchange, product)
        self.orders = OrderReader(exchange, product)
        self.listen_keys = ListenKeys(exchange)
        self._countdowns: dict[tuple[str, str], int] = {}

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
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return key

    def authenticate(self, key: ApiKey, sent: Mapping[str, str], payload: bytes, *, signed: bool = True) -> None:
        """Check signature and time of a request; `signed` is False on a session that has logged on.

        Raises:
            VenueError: -1102, -1022 or -1021.
        """
        for name in ("timestamp", *(("signature",) if signed else ())):
            if not sent.get(name):
                raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        at_ms = whole("timestamp", sent["timestamp"])
        window_ms = recv_window_ms(sent["recvWindow"]) if "recvWindow" in sent else 5_000
        if signed and not key.signed(payload, sent["signature"]):
            raise VenueError(-1022, "Signature for this request is not valid.")
        now_ms = self._exchange.clock.now_ms()
        if at_ms >= now_ms + 1_000:
            raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms - at_ms > window_ms:
            raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

    def call(self, call: Call, key: ApiKey, sent: Mapping[str, str], path: str = "") -> Any:
        """Do one call; the value goes out as JSON. `path` tells versions of a call apart.

        Raises:
            VenueError: in the venue's words.
        """
        account = self._exchange.desk.accounts[key.account]
        if not key.can_trade and call.orders[0]:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        values = read_fields(call, sent, self._product.name)
        if "/v" in path:
            values["version"] = int(path.rpartition("/v")[2][:1])
        exceeded = self._over_count(account, *call.orders) if call.orders[0] else None
        if exceeded is not None:
            raise exceeded
        try:
            return getattr(self, call.handler)(account, values)
        except Refused as refused:
            raise self.refusal(refused) from None
        except VenueError as wrong:
            wrong.code = self._product.codes.get(wrong.code, wrong.code)
            raise
        finally:
            if call.orders[0]:
                self._count(account, *call.orders)

    def refusal(self, refused: Refused) -> VenueError:
        """The venue's words for what the desk would not do."""
        code, words = _REFUSALS[refused.reason]
        return VenueError(self._product.codes.get(code, code), words, 401 if code == -2015 else 400)

    def _over_count(self, account: Account, tens: int, minutes: int) -> VenueError | None:
        if not self._exchange.settings.enforce_limits:
            return None
        now_s = self._exchange.clock.now_s()
        for window, more, text in (
            (account.counts[0], tens, "10 SECOND"),
            (account.minute_count, minutes, "1 MINUTE"),
        ):
            window.spend(0, now_s)
            if window.used + more > window.capacity:
                words = f"Too many new orders; current limit is {window.capacity} orders per {text}."
                return VenueError(-1015, words, 429, retry_after_s=int(window.left_s(now_s)) + 1)
        return None

    def _count(self, account: Account, tens: int, minutes: int) -> None:
        now_s = self._exchange.clock.now_s()
        account.counts[0].spend(tens, now_s)
        account.minute_count.spend(minutes, now_s)

    # orders

    def order_place(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        order = self._place(account, market, p)
        return self._placed(order, p)

    def order_test(self, account: Account, p: dict[str, Any]) -> Any:
        self.orders.read(account, self._market(p), p)
        return {}

    def _place(self, account: Account, market: Market, p: dict[str, Any]) -> AccountOrder:
        new = self.orders.read(account, market, p)
        self.orders.check_count(account, market)
        desk, engine = self._exchange.desk, market.engine
        if market.status in ("CLOSE", "DELIVERED"):
            raise VenueError(-4141, "Symbol is closed.")
        if new.tif_text == "FOK" and engine.available(new.side, new.price, account.name) < new.lots:
            if self._product.linear:
                desk.check(account, market, new)
                raise VenueError(
                    -5021,
                    "Due to the order could not be filled immediately, the FOK order has been rejected. "
                    "The order will not be recorded in the order history",
                )
        elif new.post_only and not self._product.linear and engine.crosses(new.side, new.price):
            return desk.place_dead(account, market, new, "POST_ONLY")
        return desk.place(account, market, new)

    def _placed(self, order: AccountOrder, p: Mapping[str, Any]) -> dict[str, Any]:
        return placed_row(order, self._product, as_taken=p.get("newOrderRespType", "ACK") == "ACK")

    def order_place_batch(self, account: Account, p: dict[str, Any]) -> Any:
        return self._batch(p["batchOrders"], CALLS["order.place"], lambda each: self.order_place(account, each))

    def order_modify(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        order = self._named(account, market, p, code=-2013)
        if not order.open:
            raise VenueError(-2013, "Order does not exist.")
        if market.status != "TRADING":
            raise VenueError(-5024, "Symbol is not in trading status. Order amendment is not permitted.")
        price, lots = self.orders.read_change(order, p)
        if len(order.changes) >= _MOST_CHANGES:
            raise VenueError(-5026, "Exceed maximum modify order limit.")
        try:
            self._exchange.desk.modify(order, price=price, lots=lots, note=p.get("modifyId"))
        except Refused as refused:
            if refused.reason == "amend_same":
                raise VenueError(-5027, "No need to modify the order.") from None
            raise
        row = placed_row(order, self._product) | {"pair": market.listing.pair}
        return row | {"modifyId": p["modifyId"]} if "modifyId" in p else row

    def order_modify_batch(self, account: Account, p: dict[str, Any]) -> Any:
        return self._batch(p["batchOrders"], CALLS["order.modify"], lambda each: self.order_modify(account, each))

    def _batch(self, entries: list[Any], call: Call, do: Callable[[dict[str, Any]], Any]) -> list[Any]:
        """Each element succeeds or fails by itself, under HTTP status 200."""
        if not 0 < len(entries) <= _BATCH:
            raise VenueError(-4082, "Invalid number of batch place orders.")
        rows = []
        for entry in entries:
            try:
                if not isinstance(entry, dict):
                    raise VenueError(-4083, "Fail to place batch orders.")
                sent = {name: _plain(value) for name, value in entry.items() if value is not None}
                rows.append(do(read_fields(call, sent, self._product.name)))
            except Refused as refused:
                rows.append(self.refusal(refused).plain())
            except VenueError as wrong:
                wrong.code = self._product.codes.get(wrong.code, wrong.code)
                rows.append(wrong.plain())
        return rows

    def order_cancel(self, account: Account, p: dict[str, Any]) -> Any:
        return self._cancel(self._named(account, self._market(p), p, code=-2011))

    def _cancel(self, order: AccountOrder) -> dict[str, Any]:
        self._exchange.race(order)
        if not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        self._exchange.desk.cancel(order, order.client_id)
        return placed_row(order, self._product)

    def order_cancel_batch(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        by_id = p.get("orderIdList", p.get("orderidlist"))
        by_client = p.get("origClientOrderIdList", p.get("origclientorderidlist"))
        named = by_id if by_id is not None else by_client
        if named is None:
            raise VenueError(-1102, "Mandatory parameter 'orderIdList' was not sent, was empty/null, or malformed.")
        if len(named) > 10:
            raise VenueError(-4032, "Exceed maximum cancel order size.")
        rows: list[Any] = []
        for ident in named:
            one = {"orderId": whole("orderId", str(ident))} if by_id is not None else {"origClientOrderId": str(ident)}
            try:
                rows.append(self._cancel(self._named(account, market, one, code=-2011)))
            except VenueError as wrong:
                rows.append(wrong.plain())
        return rows

    def open_orders_cancel_all(self, account: Account, p: dict[str, Any]) -> Any:
        self._cancel_all(account, self._market(p).symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _cancel_all(self, account: Account, symbol: str) -> None:
        for order in list(account.open_on(symbol)):
            if order.open and not order.algo:
                self._exchange.race(order)
                if order.open:
                    self._exchange.desk.cancel(order, order.client_id)

    def countdown_set(self, account: Account, p: dict[str, Any]) -> Any:
        symbol, length_ms = self._market(p).symbol, p["countdownTime"]
        self._countdowns.pop((account.name, symbol), None)
        if length_ms:
            self._countdowns[account.name, symbol] = self._exchange.clock.now_us() + length_ms * 1000
        return {"symbol": symbol, "countdownTime": str(length_ms)}

    def tick(self, now_us: int) -> None:
        """What time brings: countdowns that ran out, keys nobody kept alive."""
        for (name, symbol), due_us in list(self._countdowns.items()):
            if now_us >= due_us:
                del self._countdowns[name, symbol]
                self._cancel_all(self._exchange.desk.accounts[name], symbol)
        self.listen_keys.expire()

    # conditional orders

    def algo_order_place(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        new = self.orders.read_algo(account, market, p)
        if new.client_id in account.open_clients:
            raise VenueError(-4116, "clientOrderId is duplicated.")
        return algo_row(self._exchange.desk.place(account, market, new))

    def _algo(self, account: Account, p: Mapping[str, Any]) -> AccountOrder | None:
        number, ident = p.get("algoId"), p.get("clientAlgoId")
        if number is None and ident is None:
            raise VenueError(-1102, "Mandatory parameter 'algoId' was not sent, was empty/null, or malformed.")
        for market in self._exchange.desk.contracts:
            order = account.find(market.symbol, number, f"algo:{ident}")
            if order is not None and order.new.spawns:
                return order
        return None

    def algo_order_cancel(self, account: Account, p: dict[str, Any]) -> Any:
        order = self._algo(account, p)
        if order is None or not order.open:
            raise VenueError(-2011, "Unknown order sent.")
        self._exchange.desk.cancel(order, order.client_id)
        return {"algoId": order.order_id, "clientAlgoId": order.new.spawns, "code": "200", "msg": "success"}

    def algo_order_cancel_all(self, account: Account, p: dict[str, Any]) -> Any:
        for order in list(account.open_on(self._market(p).symbol)):
            if order.open and order.algo:
                self._exchange.desk.cancel(order, order.client_id)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def algo_order_status(self, account: Account, p: dict[str, Any]) -> Any:
        order = self._algo(account, p)
        if order is None or not self._visible(order.created_us):
            raise VenueError(-2013, "Order does not exist.")
        return algo_row(order, query=True)

    def open_algo_orders(self, account: Account, p: dict[str, Any]) -> Any:
        symbol = self._market(p).symbol if "symbol" in p else None
        return [
            algo_row(order, query=True)
            for order in account.open_on(symbol)
            if order.algo and p.get("algoId") in (None, order.order_id) and self._visible(order.created_us)
        ]

    def all_algo_orders(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        start, end = self._span(p)
        rows = [
            order
            for order in account.orders.get(market.symbol, {}).values()
            if order.new.spawns
            and order.order_id >= p.get("algoId", 0)
            and start <= order.created_us // 1000 <= end
            and self._visible(order.created_us)
        ]
        page = p.get("page", 1) - 1
        chosen = rows[page * p["limit"] :][: p["limit"]] if "page" in p or "algoId" in p else rows[-p["limit"] :]
        return [algo_row(order, query=True) for order in chosen]

    # queries

    def order_status(self, account: Account, p: dict[str, Any]) -> Any:
        order = self._named(account, self._market(p), p, code=-2013)
        if not self._visible(order.created_us) or not self._kept(order):
            raise VenueError(-2013, "Order does not exist.")
        return queried_row(order, self._product)

    def open_order_status(self, account: Account, p: dict[str, Any]) -> Any:
        order = self._named(account, self._market(p), p, code=-2013)
        if not order.open or not self._visible(order.created_us):
            raise VenueError(-2013, "Order does not exist.")
        return queried_row(order, self._product)

    def open_orders_status(self, account: Account, p: dict[str, Any]) -> Any:
        return [
            queried_row(order, self._product)
            for order in account.open_on(self._market(p).symbol if "symbol" in p else None)
            if not order.algo and p.get("pair") in (None, order.market.listing.pair) and self._visible(order.created_us)
        ]

    def all_orders(self, account: Account, p: dict[str, Any]) -> Any:
        start, end = self._span(p)
        rows = [
            order
            for market in self._markets_of(p, "orderId", optional=self._product.linear)
            for order in account.orders.get(market.symbol, {}).values()
            if not order.new.spawns
            and order.order_id >= p.get("orderId", 0)
            and ("orderId" in p or start <= order.created_us // 1000 <= end)
            and self._visible(order.created_us)
            and self._kept(order)
        ]
        rows.sort(key=lambda order: (order.created_us, order.order_id))
        first = "orderId" in p or "startTime" in p
        return [
            queried_row(order, self._product, every=True)
            for order in (rows[: p["limit"]] if first else rows[-p["limit"] :])
        ]

    def user_trades(self, account: Account, p: dict[str, Any]) -> Any:
        if "fromId" in p and ("startTime" in p or "endTime" in p):
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        start, end = self._span(p)
        oldest = self._exchange.clock.now_ms() - 92 * _DAY_MS
        timed = "fromId" not in p and "orderId" not in p
        fills: list[tuple[AccountOrder, AccountFill]] = []
        for market in self._markets_of(p, "orderId", "fromId"):
            orders = account.orders.get(market.symbol, {})
            for fill in account.fills.get(market.symbol, []):
                at_ms = fill.time_us // 1000
                if (
                    p.get("orderId") in (None, fill.order_id)
                    and fill.trade_id >= p.get("fromId", 0)
                    and (not timed or start <= at_ms <= end)
                    and at_ms >= oldest
                    and self._visible(fill.time_us)
                ):
                    fills.append((orders[fill.order_id], fill))
        fills.sort(key=lambda row: (row[1].time_us, row[1].trade_id))
        first = "fromId" in p or "startTime" in p
        chosen = fills[: p["limit"]] if first else fills[-p["limit"] :]
        return [trade_row(order, fill, self._product) for order, fill in chosen]

    def order_amendment(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        chosen = (
            [self._named(account, market, p, code=-2013)]
            if "orderId" in p or "origClientOrderId" in p
            else list(account.orders.get(market.symbol, {}).values())
        )
        rows = [amendment_row(order, number) for order in chosen for number in range(len(order.changes))]
        rows = [row for row in rows if p.get("startTime", 0) <= row["time"] <= p.get("endTime", row["time"])]
        rows.sort(key=lambda row: row["time"], reverse=True)
        return rows[: p["limit"]]

    # the user's stream

    def user_data_stream_start(self, account: Account, p: dict[str, Any]) -> Any:
        return {"listenKey": self.listen_keys.start(account)}

    def user_data_stream_ping(self, account: Account, p: dict[str, Any]) -> Any:
        if self.listen_keys.active(account) is None:
            raise VenueError(-1125, "This listenKey does not exist.")
        return {"listenKey": self.listen_keys.start(account)}

    def user_data_stream_stop(self, account: Account, p: dict[str, Any]) -> Any:
        self.listen_keys.stop(account)
        return {}

    # parts

    def _markets_of(self, p: Mapping[str, Any], *not_with_pair: str, optional: bool = False) -> list[Market]:
        """The markets a query is about: its symbol, or (COIN-M) all of a pair."""
        if "symbol" in p:
            return [self._market(p)]
        if "pair" in p and not self._product.linear:
            if any(name in p for name in not_with_pair):
                raise VenueError(-1128, "Combination of optional parameters invalid.")
            return [market for market in self._exchange.desk.contracts if market.listing.pair == p["pair"]]
        if optional:
            return self._exchange.desk.contracts
        raise VenueError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")

    def _span(self, p: Mapping[str, Any]) -> tuple[int, int]:
        """(start, end) in milliseconds; the last seven days when neither is given, never more than seven days."""
        now_ms = self._exchange.clock.now_ms()
        start, end = p.get("startTime"), p.get("endTime")
        if start is not None and end is not None:
            if end < start:
                raise VenueError(-1023, "Start time is greater than end time.")
            if end - start > _WEEK_MS:
                raise VenueError(-4165, "Invalid time interval.")
            return start, end
        if start is not None:
            return start, start + _WEEK_MS
        last = now_ms if end is None else end
        return last - _WEEK_MS, last

    def _kept(self, order: AccountOrder) -> bool:
        """Orders that ended without a trade are forgotten after three days, all others after ninety."""
        if order.open:
            return True
        age_us = self._exchange.clock.now_us() - order.created_us
        return age_us <= (90 if order.filled else 3) * _DAY_MS * 1000

    def _named(self, account: Account, market: Market, p: Mapping[str, Any], code: int) -> AccountOrder:
        order_id, client_id = p.get("orderId"), p.get("origClientOrderId")
        if order_id is None and client_id is None:
            raise VenueError(-1102, "Either orderId or origClientOrderId must be sent.")
        order = account.find(market.symbol, order_id, None if order_id is not None else client_id)
        if order is None or order.new.spawns:
            raise VenueError(code, "Order does not exist." if code == -2013 else "Unknown order sent.")
        return order


def _plain(value: Any) -> str:
    """A value of a batch element as the text it stands for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
