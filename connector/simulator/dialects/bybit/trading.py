"""Answer this venue's private calls: who asks, is it signed, is it in time, how often, and what comes of it.

One method per call of `fields.ROUTES`; REST and orders over WebSocket share them. An answer to an order says that it was
accepted, and its ids; what became of it is told by the private topics and by queries. Loop thread only. Source: the venue's V5
guide, order, account and position pages, read 2026-11.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from connector.simulator.accounts import Account, AccountOrder
from connector.simulator.desk import Refused
from connector.simulator.dialects.bybit.fields import Call
from connector.simulator.dialects.bybit.live import Board
from connector.simulator.dialects.bybit.orders import OrderReader
from connector.simulator.dialects.bybit.render import execution_kind, execution_row, order_row, status_of
from connector.simulator.dialects.bybit.rest import Params, VenueError, trouble
from connector.simulator.dialects.bybit.rules import instrument_row
from connector.simulator.dialects.bybit.text import fixed, fraction, plain
from connector.simulator.instruments import SCALE
from connector.simulator.keys import ApiKey
from connector.simulator.market import Market

__all__ = ["Execution", "Grant", "Private", "Rolling"]

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
CLOSED_KEPT = 500
FINAL = ("Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated")

_REFUSALS = {  # reason: codes for spot and for contracts
    "disabled": (10005, 10005),
    "duplicate": (170141, 110072),
    "insufficient_balance": (170131, 110007),
    "market_closed": (170151, 110074),
    "would_trigger": (170130, 110092),
}


class Rolling:
    """How many calls were made in the last second, by the time the exchange believes."""

    __slots__ = ("_times", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._times: deque[float] = deque()

    def take(self, cost: int, now_s: float) -> int:
        """Take as many as there are, up to `cost`; how many that was."""
        while self._times and not now_s - 1.0 < self._times[0] <= now_s:
            self._times.popleft()
        granted = min(cost, max(0, self.capacity - len(self._times)))
        self._times.extend([now_s] * granted)
        return granted

    @property
    def left(self) -> int:
        """How many more may be made now."""
        return max(0, self.capacity - len(self._times))

    def free_s(self, now_s: float) -> float:
        """When the next one may be made."""
        return now_s if self.left or not self._times else self._times[0] + 1.0


class Grant(msgspec.Struct, frozen=True):
    """What a call was given of its limit, as the answer's headers tell it; `units` of `asked` may be done."""

    units: int
    asked: int
    limit: int
    left: int
    reset_ms: int


class Execution(NamedTuple):
    """A row of the list of executions before it is written: when, where it stands among its like, and what it is."""

    at_us: int
    number: int
    market: Market
    kind: str
    write: Callable[[], dict[str, Any]]


class Private:
    """Everything behind a key; of contracts see `positions.ContractPrivate`."""

    def __init__(self, board: Board, reader: OrderReader, tell_late: Callable[[AccountOrder], None]) -> None:
        self._board, self._exchange = board, board.exchange
        self._reader, self._tell_late = reader, tell_late
        self._used: dict[str, set[str]] = {}
        self._buckets: dict[tuple[str, str], Rolling] = {}
        self._closed: dict[str, deque[AccountOrder]] = {}
        self._started_ms = board.exchange.clock.now_ms()

    # who asks

    def key(self, name: str) -> ApiKey:
        """The key of that name, if it is good for anything.

        Raises:
            VenueError: 10003.
        """
        key = self._exchange.desk.keys.get(name)
        if key is None or key.revoked:
            raise trouble(10003)
        return key

    def in_time(self, stamp: str, window: str) -> None:
        """Whether a request's time lies within its window.

        Raises:
            VenueError: 10002, or 10001 for what is no time.
        """
        if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in (stamp, window)):
            raise VenueError(10001, "params error: timestamp or recv_window invalid")
        now_ms = self._exchange.clock.now_ms()
        if not now_ms - int(window) <= int(stamp) < now_ms + 1000:
            words = f"invalid request, please check your server timestamp or recv_window param. req_timestamp[{stamp}]"
            raise VenueError(10002, f"{words},server_timestamp[{now_ms}],recv_window[{window}]")

    def authenticate(self, headers: Mapping[str, str], payload: str) -> ApiKey:
        """Check key, time and signature of a request by REST.

        Raises:
            VenueError: 10003, 10002, 10004; HTTP 401 when the headers are not all there.
        """
        name, stamp, sign = (headers.get(f"x-bapi-{part}", "") for part in ("api-key", "timestamp", "sign"))
        window = headers.get("x-bapi-recv-window", "")
        if not name or not stamp or not sign:
            raise VenueError(10001, "params error: authentication headers are missing", 401)
        key = self.key(name)
        self.in_time(stamp, window or "5000")
        if not key.signed(f"{stamp}{name}{window}{payload}".encode(), sign):
            raise trouble(10004)
        return key

    def grant(self, call: Call, key: ApiKey, cost: int) -> Grant:
        """Count a call, or the orders of a batch, against the account's limit for it."""
        settings = self._exchange.settings
        usual = call.contracts if self._board.derivative else call.spot
        limit = settings.limits.get(call.name, usual)
        bucket = self._buckets.get((key.account, call.name))
        if bucket is None:
            bucket = self._buckets[key.account, call.name] = Rolling(limit)
        now_s = self._exchange.clock.now_s()
        units = bucket.take(cost, now_s)
        if units < cost:
            self._exchange.records.violation(self._exchange.clock.now_ns(), "calls", call.name)
        if not settings.enforce_limits:
            units = cost
        reset_ms = int(bucket.free_s(now_s) * 1000) if units < cost else self._exchange.clock.now_ms()
        return Grant(units, cost, limit, bucket.left, reset_ms)

    def call(self, call: Call, key: ApiKey, sent: dict[str, Any], grant: Grant) -> tuple[Any, Any]:
        """Do one call. Returns its result and what comes beside it.

        Raises:
            VenueError: in the venue's words.
        """
        account = self._exchange.desk.accounts[key.account]
        if call.trade and not key.can_trade:
            raise trouble(10005)
        if call.batch:
            return self._batch(call, account, sent, grant.units)
        if not grant.units:
            raise trouble(10006)
        return getattr(self, call.handler)(account, Params(sent)), None

    def batch_size(self, call: Call, sent: Mapping[str, Any]) -> int:
        """What a call costs of its limit: one, or one for each order of a batch."""
        rows = sent.get("request")
        return max(1, len(rows)) if call.batch and isinstance(rows, list) else 1

    def _batch(self, call: Call, account: Account, sent: dict[str, Any], granted: int) -> tuple[Any, Any]:
        """Each order stands for itself: what is refused does not keep the others back."""
        p = Params({"category": sent.get("category")})
        category = self._category(p)
        rows = sent.get("request")
        most = 10 if category == "spot" else 20
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise VenueError(10001, "params error: request invalid")
        if len(rows) > most:
            raise VenueError(10001, f"params error: at most {most} orders in one request")
        results, verdicts = [], []
        for number, row in enumerate(rows):
            shown = {name: str(row.get(name) or "") for name in ("symbol", "orderId", "orderLinkId")}
            result = {
                "category": category,
                "symbol": shown["symbol"],
                "orderId": "",
                "orderLinkId": shown["orderLinkId"],
            }
            code, message = 0, "OK"
            try:
                if number >= granted:
                    raise trouble(10006)
                one = Params(row | {"category": category})
                result |= getattr(self, call.handler)(account, one)
            except VenueError as refused:
                code, message = refused.code, refused.message
            if call.handler == "order_create":
                result["createAt"] = "" if code else str(self._exchange.clock.now_ms())
            results.append(result)
            verdicts.append({"code": code, "msg": message})
        return {"list": results}, {"list": verdicts}

    # orders

    def order_create(self, account: Account, p: Params) -> Any:
        market = self._market(p)
        used = self._used.setdefault(account.name, set())
        link_id = self._reader.link_id(p)
        if link_id and link_id in used:
            raise self._refusal("duplicate")
        new = self._reader.read(account, market, p)
        order = self._do(lambda: self._exchange.desk.place(account, market, new))
        if link_id:
            used.add(link_id)
        return self._ids(order)

    def order_amend(self, account: Account, p: Params) -> Any:
        order = self._named(account, self._market(p), p)
        asked = self._reader.change(order, p)
        self._do(lambda: self._exchange.desk.modify(order, keep_place=True, **asked))
        return self._ids(order)

    def order_cancel(self, account: Account, p: Params) -> Any:
        order = self._named(account, self._market(p), p)
        self._cancel(order)
        return self._ids(order)

    def _cancel(self, order: AccountOrder) -> None:
        self._exchange.race(order)
        if order.open:
            self._exchange.desk.cancel(order, order.client_id)
        else:
            self._tell_late(order)  # accepted, and then it was too late

    def order_cancel_all(self, account: Account, p: Params) -> Any:
        self._category(p)
        symbol, base, settle = p.text("symbol"), p.text("baseCoin"), p.text("settleCoin")
        if self._board.derivative and not (symbol or base or settle):
            raise VenueError(10001, "params error: symbol, baseCoin or settleCoin is required")
        wanted = p.text("orderFilter", "" if self._board.derivative else "Order")
        chosen = [
            order
            for order in account.open_on()
            if self._about(order.market, symbol, base, settle) and wanted in ("", _filter_of(order))
        ]
        if self._board.derivative:
            chosen = chosen[:500]
        for order in chosen:
            if order.open:
                self._cancel(order)
        return {"list": [self._ids(order) for order in chosen], "success": "1"}

    def _about(self, market: Market, symbol: str, base: str, settle: str) -> bool:
        """Whether a market is meant; of several names the first one counts."""
        if symbol:
            return market.symbol == symbol
        if base:
            return market.listing.base == base
        return not settle or self._settle(market) == settle

    def _settle(self, market: Market) -> str:
        return market.listing.quote

    def _named(self, account: Account, market: Market, p: Params) -> AccountOrder:
        """The open order a change is about; the venue's id goes first."""
        order_id, link_id = p.text("orderId"), p.text("orderLinkId")
        if not order_id and not link_id:
            raise VenueError(10001, "params error: orderId or orderLinkId is required")
        order = self._find(account, order_id, link_id)
        gone = trouble(110001) if self._board.derivative else trouble(170213)
        if order is None or order.market is not market or not order.open:
            raise gone
        if not self._visible(order.created_us):
            raise gone
        return order

    def _find(self, account: Account, order_id: str, link_id: str) -> AccountOrder | None:
        if order_id:
            found = self._board.ids.find(order_id)
            return None if found is None else account.find(found[0], found[1], None)
        every = (account.find(symbol, None, link_id) for symbol in self._exchange.markets)
        return next((order for order in every if order is not None), None)

    def _ids(self, order: AccountOrder) -> dict[str, str]:
        return {
            "orderId": self._board.ids.order(order.market.symbol, order.order_id),
            "orderLinkId": order.client_id,
        }

    def _do(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Refused as refused:
            raise self._refusal(refused.reason) from None

    def _refusal(self, reason: str) -> VenueError:
        """The venue's words for what the desk would not do."""
        if reason == "amend_same":
            return VenueError(10001, "The order remains unchanged as the parameters entered match the existing ones.")
        spot, contract = _REFUSALS[reason]
        return trouble(contract if self._board.derivative else spot, *([""] if spot == 170130 else []))

    # queries

    def order_realtime(self, account: Account, p: Params) -> Any:
        category = p.category()
        order_id, link_id = p.text("orderId"), p.text("orderLinkId")
        symbol, base, settle = p.text("symbol"), p.text("baseCoin"), p.text("settleCoin")
        if category == "linear" and not (order_id or link_id or symbol or base or settle):
            raise VenueError(10001, "params error: symbol, baseCoin or settleCoin is required")
        if category != self._board.category:
            return {"list": [], "nextPageCursor": "", "category": category}
        closed = self._closed.get(account.name, ())
        if order_id or link_id:
            found = self._find(account, order_id, link_id)
            chosen = [found] if found is not None and (found.open or found in closed) else []
        else:
            ended = p.whole("openOnly", 0, 0, 2) == 1
            wanted = p.text("orderFilter")
            chosen = [
                order
                for order in (closed if ended else account.open_on())
                if self._about(order.market, symbol, base, settle) and wanted in ("", _filter_of(order))
            ]
        return self._order_page(category, chosen, p)

    def order_history(self, account: Account, p: Params) -> Any:
        category = p.category()
        order_id, link_id, status = p.text("orderId"), p.text("orderLinkId"), p.text("orderStatus")
        if status and status not in FINAL:
            raise trouble(181017)
        first, last = self._span(p, default=bool(order_id or link_id))
        if category != self._board.category:
            return {"list": [], "nextPageCursor": "", "category": category}
        symbol, base, settle = p.text("symbol"), p.text("baseCoin"), p.text("settleCoin")
        now_us = self._exchange.clock.now_us()
        if order_id or link_id:
            found = self._find(account, order_id, link_id)
            every: Iterable[AccountOrder] = [] if found is None else [found]
        else:
            every = self._orders(account)
        chosen = [
            order
            for order in every
            if not order.open
            and first <= order.created_us // 1000 <= last
            and (order.filled or now_us - order.updated_us <= _DAY_MS * 1000)  # without fills they are soon forgotten
            and status in ("", status_of(order, category))
            and (order_id or link_id or self._about(order.market, symbol, base, settle))
        ]
        return self._order_page(category, chosen, p)

    def _orders(self, account: Account) -> Iterable[AccountOrder]:
        return (order for orders in account.orders.values() for order in orders.values())

    def _order_page(self, category: str, chosen: Iterable[AccountOrder], p: Params) -> Any:
        seen = [order for order in chosen if self._visible(order.created_us)]
        page, token = _page(
            seen, lambda order: (order.created_us, self._board.number(order.market, order.order_id)), p.limit(20, 50), p
        )
        rows = [order_row(self._board, order) for order in page]
        return {"list": rows, "nextPageCursor": token, "category": category}

    def execution_list(self, account: Account, p: Params) -> Any:
        category = p.category()
        order_id, link_id, symbol, base = (p.text(n) for n in ("orderId", "orderLinkId", "symbol", "baseCoin"))
        kind = p.text("execType")
        first, last = self._span(p, default=bool(order_id or link_id))
        if category != self._board.category:
            return {"list": [], "nextPageCursor": "", "category": category}
        if order_id or link_id:
            found = self._find(account, order_id, link_id)
            rows = [] if found is None else list(self._fills_of(found))
        else:
            rows = [row for row in self._executions(account) if self._about(row.market, symbol, base, "")]
        chosen = [
            row
            for row in rows
            if kind in ("", row.kind) and first <= row.at_us // 1000 <= last and self._visible(row.at_us)
        ]
        page, token = _page(chosen, lambda row: (row.at_us, row.number), p.limit(50, 100), p)
        return {"nextPageCursor": token, "category": category, "list": [row.write() for row in page]}

    def _executions(self, account: Account) -> Iterator[Execution]:
        """Everything that happened to an account, in no order."""
        for order in self._orders(account):
            yield from self._fills_of(order)

    def _fills_of(self, order: AccountOrder) -> Iterator[Execution]:
        kind = execution_kind(order)
        for fill in order.fills:
            number = 2 * self._board.number(order.market, fill.trade_id)
            number += fill.is_maker  # who trades with himself has two rows of one trade
            write = partial(execution_row, self._board, order.account, order, fill)
            yield Execution(fill.time_us, number, order.market, kind, write)

    def _span(self, p: Params, *, default: bool = False) -> tuple[int, int]:
        """(first, last) millisecond asked about: at most a week, by default the last one; all time for one order."""
        if "startTime" not in p and "endTime" not in p:
            return (0, 2**53) if default else (self._exchange.clock.now_ms() - _WEEK_MS, 2**53)
        if "startTime" in p:
            first = p.whole("startTime", 0)
            last = p.whole("endTime", first + _WEEK_MS)
        else:
            last = p.whole("endTime", 0)
            first = last - _WEEK_MS
        if last < first or last - first > _WEEK_MS:
            raise VenueError(10001, "params error: the time range must be less than or equal to 7 days")
        return first, last

    def ended(self, order: AccountOrder) -> None:
        """An order is at its end; the newest of these are kept at hand."""
        kept = self._closed.get(order.account.name)
        if kept is None:
            kept = self._closed[order.account.name] = deque(maxlen=CLOSED_KEPT)
        kept.append(order)

    def forget_closed(self) -> None:
        """The service has started anew: of closed orders only the history still knows."""
        self._closed.clear()

    # account

    def wallet_balance(self, account: Account, p: Params) -> Any:
        if p.need("accountType") != "UNIFIED":
            raise VenueError(10001, "accountType only support UNIFIED.")
        coins = [coin for coin in p.text("coin").split(",") if coin]
        chosen = coins or [
            coin
            for coin, held in sorted(account.balances.items())
            if held.free or held.locked or self._margin(account, coin)
        ]
        return {"list": [self.wallet_row(account, chosen)]}

    def _margin(self, account: Account, coin: str) -> bool:
        """Whether a coin without a balance has something else to tell."""
        return False

    def wallet_row(self, account: Account, coins: Iterable[str]) -> dict[str, Any]:
        """The wallet, with these coins; the totals are over all."""
        every = {coin: self.coin_fields(account, coin) for coin in dict.fromkeys([*account.balances, *coins])}
        dollars = {coin: self._board.dollars_e8(coin) for coin in every}

        def total(name: str) -> int:
            return sum(fields[name] * dollars[coin] // SCALE for coin, fields in every.items())

        equity, wallet = total("equity"), total("walletBalance")
        initial, maintenance = total("totalPositionIM") + total("totalOrderIM"), total("totalPositionMM")
        margin = wallet + total("unrealisedPnl")
        free = margin - initial - total("locked")
        row: dict[str, Any] = {
            "accountType": "UNIFIED",
            "totalEquity": plain(equity),
            "totalWalletBalance": plain(wallet),
            "totalMarginBalance": plain(margin),
            "totalAvailableBalance": plain(max(0, free)),
            "totalPerpUPL": plain(total("unrealisedPnl")),
            "totalInitialMargin": plain(initial),
            "totalInitialMarginByMp": plain(initial),
            "totalMaintenanceMargin": plain(maintenance),
            "totalMaintenanceMarginByMp": plain(maintenance),
            "accountIMRate": fraction(initial, margin),
            "accountIMRateByMp": fraction(initial, margin),
            "accountMMRate": fraction(maintenance, margin),
            "accountMMRateByMp": fraction(maintenance, margin),
            "accountLTV": "0",
        }
        row["coin"] = [
            {"coin": coin, "usdValue": plain(every[coin]["equity"] * dollars[coin] // SCALE)}
            | {name: plain(units) for name, units in every[coin].items()}
            | {
                "availableToWithdraw": "",
                "availableToBorrow": "",
                "borrowAmount": "0",
                "accruedInterest": "0",
                "spotBorrow": "0",
                "spotHedgingQty": "0",
                "bonus": "0",
                "collateralSwitch": True,
                "marginCollateral": True,
                "colRes": "0",
            }
            for coin in coins
        ]
        return row

    def coin_fields(self, account: Account, coin: str) -> dict[str, int]:
        """What there is of a coin, in 1e-8."""
        held = account.balances.get(coin)
        free, locked = (0, 0) if held is None else (held.free, held.locked)
        return {
            "equity": free + locked,
            "walletBalance": free + locked,
            "locked": locked,
            "totalOrderIM": 0,
            "totalPositionIM": 0,
            "totalPositionMM": 0,
            "unrealisedPnl": 0,
            "cumRealisedPnl": 0,
        }

    def account_info(self, account: Account, p: Params) -> Any:
        return {
            "marginMode": "REGULAR_MARGIN",
            "updatedTime": str(self._started_ms),
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def account_withdrawal(self, account: Account, p: Params) -> Any:
        names = p.need("coinName").split(",")
        free = {coin: account.balances[coin].free if coin in account.balances else 0 for coin in names}
        return {
            "availableWithdrawal": plain(free[names[0]]),
            "availableWithdrawalMap": {coin: plain(units) for coin, units in free.items()},
        }

    def fee_rate(self, account: Account, p: Params) -> Any:
        category = p.category()
        markets = list(self._exchange.markets.values()) if category == self._board.category else []
        if "symbol" in p:
            markets = [self._market(p)]
        maker, taker = plain(account.maker_rate), plain(account.taker_rate)
        rows = [{"symbol": market.symbol, "takerFeeRate": taker, "makerFeeRate": maker} for market in markets]
        return {"category": category, "list": rows}

    def account_instruments(self, account: Account, p: Params) -> Any:
        category = p.category()
        markets = list(self._exchange.markets.values()) if category == self._board.category else []
        rows = [
            instrument_row(market, number, self._started_ms) | {"myRpiPermission": False, "isPublicRpi": False}
            for number, market in enumerate(markets, 1)
            if p.text("symbol") in ("", market.symbol)
        ]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    def spot_borrow_check(self, account: Account, p: Params) -> Any:
        market = self._market(p)
        buying = p.one_of("side", "Buy", "Sell") == "Buy"
        listing, numbers = market.listing, self._board.numbers(market)
        coin = listing.quote if buying else listing.base
        free = account.balances[coin].free if coin in account.balances else 0
        price_e8 = market.price * listing.tick_e8
        amount = free if buying else free * price_e8 // SCALE
        quantity = free * SCALE // price_e8 if buying else free
        size = fixed(quantity // listing.step_e8 * listing.step_e8, numbers.size_places)
        return {
            "symbol": market.symbol,
            "side": "Buy" if buying else "Sell",
            "maxTradeQty": size,
            "maxTradeAmount": plain(amount),
            "spotMaxTradeQty": size,
            "spotMaxTradeAmount": plain(amount),
            "borrowCoin": coin,
        }

    def transaction_log(self, account: Account, p: Params) -> Any:
        return {"list": [], "nextPageCursor": ""}

    def query_api(self, account: Account, p: Params) -> Any:
        key = next(entry for entry in self._exchange.desk.keys.values() if entry.account == account.name)
        trade = key.can_trade and account.can_trade
        return {
            "id": str(account.uid),
            "note": account.name,
            "apiKey": key.name,
            "readOnly": 0 if trade else 1,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"] if trade else [],
                "Spot": ["SpotTrade"] if trade else [],
                "Wallet": [],
                "Options": [],
                "Derivatives": ["DerivativesTrade"] if trade else [],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": ["*"],
            "type": 1,
            "deadlineDay": 90,
            "expiredAt": "2100-01-01T00:00:00Z",
            "createdAt": "2020-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": account.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def coin_info(self, account: Account, p: Params) -> Any:
        listings = [market.listing for market in self._exchange.markets.values()]
        coins = dict.fromkeys(coin for listing in listings for coin in (listing.base, listing.quote))
        wanted = p.text("coin")
        return {
            "rows": [
                {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
                for coin in coins
                if wanted in ("", coin)
            ]
        }

    def coins_balance(self, account: Account, p: Params) -> Any:
        kind = p.need("accountType")
        wanted = [coin for coin in p.text("coin").split(",") if coin]
        held = account.balances if kind == "UNIFIED" else {}
        rows = [
            {
                "coin": coin,
                "transferBalance": plain(held[coin].free) if coin in held else "0",
                "walletBalance": plain(held[coin].free + held[coin].locked) if coin in held else "0",
                "bonus": "",
            }
            for coin in (wanted or list(held))
        ]
        return {"memberId": str(account.uid), "accountType": kind, "balance": rows}

    # contracts only

    def _only_contracts(self, account: Account, p: Params) -> Any:
        if p.category() == self._board.category:
            raise VenueError(10001, "Illegal category")
        return {"list": [], "nextPageCursor": "", "category": p.category()}

    position_list = symbol_info = _only_contracts

    def _no_contracts(self, account: Account, p: Params) -> Any:
        raise VenueError(10001, "Illegal category")

    set_leverage = switch_mode = trading_stop = _no_contracts

    def set_margin_mode(self, account: Account, p: Params) -> Any:
        mode = p.one_of("setMarginMode", "ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")
        if mode == "REGULAR_MARGIN":
            return {"reasons": []}
        reason = {"reasonCode": "3400000", "reasonMsg": "Only REGULAR_MARGIN is offered here"}
        raise VenueError(3400045, trouble(3400045).message, result={"reasons": [reason]})

    # parts

    def _category(self, p: Params) -> str:
        category = p.category()
        if not category or category != self._board.category:
            raise VenueError(10001, "Illegal category")
        return category

    def _market(self, p: Params) -> Market:
        self._category(p)
        market = self._exchange.markets.get(p.need("symbol"))
        if market is None:
            raise VenueError(10001, "params error: symbol invalid") if self._board.derivative else trouble(170121)
        return market

    def _visible(self, at_us: int) -> bool:
        return self._exchange.plan.visible(at_us, self._exchange.clock.now_us())


def _filter_of(order: AccountOrder) -> str:
    """Which orderFilter an order belongs to; once it is triggered it is an order like any other."""
    if order.working:
        return "Order"
    return {"Stop": "StopOrder"}.get(
        order.new.notes.get("stopOrderType", ""), order.new.notes.get("stopOrderType") or "Order"
    )


def _page(rows: Iterable[Any], sort: Callable[[Any], tuple[int, int]], limit: int, p: Params) -> tuple[list[Any], str]:
    """One page, newest first, and where the next one begins; "" when there is none."""
    ordered = sorted(rows, key=sort, reverse=True)
    text = unquote(p.text("cursor"))
    if text:
        try:
            at, number = map(int, text.removeprefix("page_token=").removesuffix("&").split("-"))
        except ValueError:
            raise VenueError(10001, "params error: cursor invalid") from None
        ordered = [row for row in ordered if sort(row) < (at, number)]
    page = ordered[:limit]
    if len(ordered) <= limit:
        return page, ""
    at, number = sort(page[-1])
    return page, quote(f"page_token={at}-{number}&")
