"""What contracts add to this venue's private side: positions, leverage, modes, stops on positions, funding.

Margin, profit and liquidation are counted by the simulator's margin core; this module reads requests, puts refusals into the
venue's words, and writes positions as the venue shows them. Loop thread only. Source: the venue's V5 position and account pages
and private topics, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

from connector.matching import Side, TimeInForce
from connector.simulator.accounts import Account, AccountOrder, NewOrder
from connector.simulator.desk import Refused, watched_price
from connector.simulator.dialects.bybit.live import Board
from connector.simulator.dialects.bybit.orders import OrderReader
from connector.simulator.dialects.bybit.rest import Params, VenueError, trouble
from connector.simulator.dialects.bybit.text import plain
from connector.simulator.dialects.bybit.trading import Execution, Private
from connector.simulator.instruments import SCALE
from connector.simulator.margin import Holding, HoldingSide, Income
from connector.simulator.market import Market

__all__ = ["ContractPrivate", "ContractReader", "funding_row", "position_row", "position_rows"]

_INDEXES: dict[HoldingSide, int] = {"net": 0, "long": 1, "short": 2}
_SIDES: dict[int, HoldingSide] = {index: side for side, index in _INDEXES.items()}
_TRIGGER_BY = {"LastPrice": "last", "IndexPrice": "index", "MarkPrice": "mark"}
_NOT_HERE = ("trailingStop", "activePrice", "tpSize", "slSize", "tpLimitPrice", "slLimitPrice")

_REFUSALS = {
    "insufficient_margin": 110007,
    "leverage": 110013,
    "position_limit": 110090,
    "reduce_only": 110017,
}


class ContractReader(OrderReader):
    """Reads orders for contracts."""

    def _contract(self, account: Account, market: Market, p: Params, fields: dict[str, Any]) -> None:
        clearing = self._board.exchange.desk.clearing
        index = p.whole("positionIdx", 0, 0, 2)
        if (index > 0) != clearing.terms(account, market).hedge:
            raise VenueError(10001, "position idx not match position mode")
        reduce, close = p.truth("reduceOnly"), p.truth("closeOnTrigger")
        fields |= {"holding": _SIDES[index], "reduce_only": reduce or close}
        fields["notes"] |= {"positionIdx": index, "reduceOnly": reduce, "closeOnTrigger": close}
        if p.text("qty") in ("0", "0.0") and reduce and close:
            fields["notes"]["all"] = True
            fields["close_all"] = bool(fields.get("trigger"))

    def lots(self, market: Market, p: Params, *, limit: bool) -> int:
        """A quantity in lots; nothing at all closes the whole position where both flags say so."""
        if p.text("qty") in ("0", "0.0") and p.truth("reduceOnly") and p.truth("closeOnTrigger"):
            rules = self._board.rules(market)
            return (rules.most_limit_e8 if limit else rules.most_market_e8) // market.listing.step_e8
        return super().lots(market, p, limit=limit)


def _seq(account: Account, market: Market) -> int:
    """The cross sequence of the newest fill, which positions and executions share; -1 before the first."""
    fills = account.fills.get(market.symbol)
    return fills[-1].trade_id if fills else -1


def _stops(account: Account, held: Holding, kind: str) -> AccountOrder | None:
    """The order that closes a whole position at its take profit or stop loss."""
    return next(
        (
            order
            for order in account.open_on(held.market.symbol)
            if order.new.notes.get("stopOrderType") == kind and order.new.holding == held.side and order.new.close_all
        ),
        None,
    )


def position_row(board: Board, held: Holding, *, stream: bool = False) -> dict[str, Any]:
    """One position; the private topic calls its entry price another name."""
    account, market, listing = held.account, held.market, held.market.listing
    clearing, numbers = board.exchange.desk.clearing, board.numbers(market)
    terms = clearing.terms(account, market)
    total, current = board.earned(account).of(held)
    bracket = clearing.bracket(market, held.value_e8)
    liquidation = clearing.liquidation_e8(held)
    fills = account.fills.get(market.symbol, [])
    margin, maintenance = plain(clearing.position_margin_e8(held)), plain(clearing.maintenance_e8(held))
    entry = plain(held.entry_e8)
    take, stop = (_stops(account, held, kind) for kind in ("TakeProfit", "StopLoss"))
    row: dict[str, Any] = {
        "category": board.category,
        "positionIdx": _INDEXES[held.side],
        "riskId": 1 + list(listing.brackets).index(bracket),
        "riskLimitValue": plain(bracket.cap_e8),
        "symbol": market.symbol,
        "side": "Buy" if held.lots > 0 else "Sell" if held.lots < 0 else "",
        "size": numbers.size(abs(held.lots)),
        "entryPrice" if stream else "avgPrice": entry,
        "positionValue": plain(abs(held.cost) // SCALE),
        "leverage": plain(terms.leverage_e8),
        "markPrice": numbers.price_e8(market.marks.mark_e8),
        "liqPrice": numbers.price_e8(liquidation) if liquidation else "",
        "breakEvenPrice": numbers.price_e8(held.break_even_e8) if held.lots and held.break_even_e8 else "",
        "positionIM": margin,
        "positionIMByMp": margin,
        "positionMM": maintenance,
        "positionMMByMp": maintenance,
        "positionBalance": margin,
        "takeProfit": "" if take is None or take.new.stop is None else numbers.price(take.new.stop),
        "stopLoss": "" if stop is None or stop.new.stop is None else numbers.price(stop.new.stop),
        "trailingStop": "0",
        "unrealisedPnl": plain(held.unrealised_e8) if held.lots else "0",
        "curRealisedPnl": plain(current),
        "cumRealisedPnl": plain(total),
        "sessionAvgPrice": entry if listing.quote == "USDC" else "",
        "positionStatus": "Normal",
        "adlRankIndicator": 2 if held.lots else 0,
        "autoAddMargin": 0,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "tradeMode": 0,
        "tpslMode": "Full",
        "bustPrice": "",
        "createdTime": str(fills[0].time_us // 1000) if fills else "",
        "updatedTime": str(held.updated_us // 1000) if held.updated_us else "",
        "openTime": held.opened_us // 1000 if held.lots else 0,
        "seq": _seq(account, market),
    }
    if not stream:
        del row["category"]
    return row


def position_rows(board: Board, account: Account, market: Market, *, stream: bool = False) -> list[dict[str, Any]]:
    """All positions of a symbol, held or not: one, or the two of hedge mode."""
    clearing = board.exchange.desk.clearing
    sides: tuple[HoldingSide, ...] = ("long", "short") if clearing.terms(account, market).hedge else ("net",)
    return [position_row(board, clearing.holding(account, market, side), stream=stream) for side in sides]


def funding_row(board: Board, account: Account, row: Income) -> dict[str, Any]:
    """A funding as executions show it: cash and no trade; a fee above zero was paid."""
    market = board.exchange.markets[row.symbol]
    numbers = board.numbers(market)
    size = numbers.size(abs(row.lots))
    price = numbers.price_e8(row.price_e8)
    ticks = row.price_e8 // market.listing.tick_e8
    return {
        "category": board.category,
        "symbol": row.symbol,
        "orderId": board.ids.execution(f"{row.symbol}:order", row.number),
        "orderLinkId": "",
        "side": "Buy" if row.lots > 0 else "Sell",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execId": board.ids.execution(f"{row.symbol}:funding", row.number),
        "execPrice": price,
        "execQty": size,
        "execValue": plain(board.value_e8(market, ticks, abs(row.lots))),
        "execFee": plain(-row.amount_e8),
        "feeCurrency": row.asset,
        "feeRate": plain(row.rate_e8),
        "execType": "Funding",
        "execTime": str(row.at_us // 1000),
        "isMaker": False,
        "isLeverage": "0",
        "closedSize": "0",
        "execPnl": "0",
        "markPrice": price,
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "extraFees": "",
        "marketUnit": "",
        "seq": _seq(account, market),
        "createType": "CreateByUser",
    }


class ContractPrivate(Private):
    """Everything behind a key, for contracts."""

    @property
    def _clearing(self) -> Any:
        return self._exchange.desk.clearing

    def _settle(self, market: Market) -> str:
        return market.listing.settle

    def _refusal(self, reason: str) -> VenueError:
        if reason == "holding":
            return VenueError(10001, "position idx not match position mode")
        code = _REFUSALS.get(reason)
        return super()._refusal(reason) if code is None else trouble(code)

    # money

    def _margin(self, account: Account, coin: str) -> bool:
        return any(held.market.listing.settle == coin for held in self._clearing.holdings(account))

    def coin_fields(self, account: Account, coin: str) -> dict[str, int]:
        """What there is of a coin, positions included."""
        state = self._clearing.state(account, coin)
        return {
            "equity": state.balance_e8,
            "walletBalance": state.wallet_e8,
            "locked": 0,
            "totalOrderIM": state.order_margin_e8,
            "totalPositionIM": state.position_margin_e8,
            "totalPositionMM": state.maintenance_e8,
            "unrealisedPnl": state.unrealised_e8,
            "cumRealisedPnl": self._board.earned(account).assets.get(coin, 0),
        }

    def account_info(self, account: Account, p: Params) -> Any:
        mode = "ISOLATED_MARGIN" if account.isolated_usual else "REGULAR_MARGIN"
        return super().account_info(account, p) | {"marginMode": mode}

    def transaction_log(self, account: Account, p: Params) -> Any:
        """Changes of the wallet, newest first."""
        category, coin = p.text("category"), p.text("currency")
        kinds = {
            "realised": "TRADE",
            "commission": "TRADE",
            "funding": "SETTLEMENT",
            "delivery": "DELIVERY",
            "transfer": "TRANSFER_IN",
            "insurance": "LIQUIDATION",
        }
        wanted, limit = p.text("type"), p.limit(20, 50)
        first = p.whole("startTime", self._exchange.clock.now_ms() - 86_400_000)
        last = p.whole("endTime", 2**53)
        balances: dict[str, int] = {}
        rows: list[tuple[int, dict[str, Any]]] = []
        for row in account.incomes:
            balances.setdefault(row.asset, 0)
        for asset in balances:
            held = account.balance(asset)
            moved = sum(row.amount_e8 for row in account.incomes if row.asset == asset)
            balances[asset] = held.free + held.locked - moved
        for row in account.incomes:
            balances[row.asset] += row.amount_e8
            if coin not in ("", row.asset) or not first <= row.at_us // 1000 <= last:
                continue
            kind = kinds[row.kind]
            if wanted not in ("", kind):
                continue
            amount = plain(row.amount_e8)
            funding, fee = ("", "0")
            if row.kind == "funding":
                funding = amount
            elif row.kind == "commission":
                fee = plain(-row.amount_e8)
            symbol = row.symbol
            trade = self._board.ids.execution(symbol, row.trade_id) if row.trade_id else ""
            rows.append(
                (
                    row.number,
                    {
                        "id": str(row.number),
                        "symbol": symbol,
                        "category": self._board.category if symbol else "",
                        "side": "Buy" if row.lots > 0 else "Sell" if row.lots < 0 else "None",
                        "transactionTime": str(row.at_us // 1000),
                        "type": kind,
                        "qty": plain(abs(row.lots) * self._exchange.markets[symbol].listing.step_e8) if symbol else "0",
                        "size": "",
                        "currency": row.asset,
                        "tradePrice": plain(row.price_e8),
                        "funding": funding,
                        "fee": fee,
                        "cashFlow": amount if row.kind in ("realised", "delivery", "transfer") else "0",
                        "change": amount,
                        "cashBalance": plain(balances[row.asset]),
                        "feeRate": plain(row.rate_e8),
                        "bonusChange": "0",
                        "tradeId": trade,
                        "orderId": "",
                        "orderLinkId": "",
                    },
                )
            )
        if category and category != self._board.category:
            rows = []
        text = unquote(p.text("cursor"))
        rows = [each for each in reversed(rows) if not text or each[0] < int(text)]
        token = str(rows[limit - 1][0]) if len(rows) > limit else ""
        return {"list": [row for _, row in rows[:limit]], "nextPageCursor": token}

    def _executions(self, account: Account) -> Iterator[Execution]:
        """Fundings stand among the fills."""
        yield from super()._executions(account)
        for row in account.incomes:
            if row.kind == "funding":
                market = self._exchange.markets[row.symbol]
                write = partial(funding_row, self._board, account, row)
                yield Execution(row.at_us, row.number, market, "Funding", write)

    # positions

    def position_list(self, account: Account, p: Params) -> Any:
        category = p.category()
        symbol, settle = p.text("symbol"), p.text("settleCoin")
        if category == "linear" and not symbol and not settle:
            raise VenueError(10001, "params error: symbol or settleCoin is required")
        if category != self._board.category:
            return {"list": [], "nextPageCursor": "", "category": category}
        limit, after = p.limit(20, 200), unquote(p.text("cursor"))
        if symbol:
            rows = position_rows(self._board, account, self._market(p))
        else:
            rows = [
                position_row(self._board, held)
                for held in self._clearing.holdings(account)
                if settle in ("", held.market.listing.settle)
            ]
        names = [f"{row['symbol']},{row['positionIdx']}" for row in rows]
        if after:
            start = names.index(after) + 1 if after in names else len(rows)
            rows, names = rows[start:], names[start:]
        token = names[limit - 1].replace(",", "%2C") if len(rows) > limit else ""
        return {"list": rows[:limit], "nextPageCursor": token, "category": category}

    def symbol_info(self, account: Account, p: Params) -> Any:
        category = p.category()
        markets = [self._market(p)] if "symbol" in p else self._exchange.desk.contracts
        if category != self._board.category:
            markets = []
        rows = [
            {"symbol": market.symbol, "leverage": plain(terms.leverage_e8), "side": "", "positionIdx": index}
            for market in markets
            for terms in [self._clearing.terms(account, market)]
            for index in ((1, 2) if terms.hedge else (0,))
        ]
        return {"category": category, "list": rows}

    def set_leverage(self, account: Account, p: Params) -> Any:
        market = self._market(p)
        buy, sell = p.units_e8("buyLeverage"), p.units_e8("sellLeverage")
        if buy is None or sell is None:
            raise VenueError(10001, "params error: buyLeverage and sellLeverage are required")
        if buy != sell:
            raise VenueError(10001, "params error: buyLeverage must be equal to sellLeverage")
        if buy < SCALE or buy % (SCALE // 100):
            raise VenueError(10001, "params error: buyLeverage invalid")
        self._changed(lambda: self._exchange.desk.set_leverage(account, market, buy), same=110043)
        return {}

    def switch_mode(self, account: Account, p: Params) -> Any:
        self._category(p)
        mode = p.whole("mode", -1, 0, 3)
        if mode not in (0, 3):
            raise VenueError(10001, "params error: mode invalid")
        desk, hedge = self._exchange.desk, mode == 3
        if "symbol" in p:
            market = self._market(p)
            if market.listing.product == "inverse" or market.listing.settle != "USDT" or market.listing.expiry_ms:
                raise trouble(110029)
            self._changed(lambda: desk.set_hedge(account, hedge, [market]), same=110025)
            return {}
        coin = p.need("coin")
        if self._board.category == "inverse" or coin != "USDT":
            raise trouble(110029)
        markets = [
            market for market in desk.contracts if market.listing.settle == coin and not market.listing.expiry_ms
        ]
        free = [
            market
            for market in markets
            if not self._clearing.holdings(account, market.symbol) and not list(account.open_on(market.symbol))
        ]
        if not free:
            raise trouble(110024)
        self._changed(lambda: desk.set_hedge(account, hedge, free), same=110025)
        return {}

    def set_margin_mode(self, account: Account, p: Params) -> Any:
        mode = p.one_of("setMarginMode", "ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")
        p.need("setMarginMode")
        desk, isolated = self._exchange.desk, mode == "ISOLATED_MARGIN"
        reason = ""
        if mode == "PORTFOLIO_MARGIN":
            reason = "Portfolio margin is not offered here"
        elif any(order.market.listing.is_contract for order in account.open_orders.values()):
            reason = "You have open orders"
        elif self._clearing.holdings(account):
            reason = "You have open positions"
        if reason:
            rows = [{"reasonCode": "3400000", "reasonMsg": reason}]
            raise VenueError(3400045, trouble(3400045).message, result={"reasons": rows})
        account.isolated_usual = isolated
        for market in desk.contracts:
            if self._clearing.terms(account, market).isolated != isolated:
                desk.set_isolated(account, market, isolated)
        return {"reasons": []}

    def _changed(self, action: Callable[[], None], *, same: int) -> None:
        try:
            action()
        except Refused as refused:
            codes = {"same_terms": same, "terms_orders": 110028, "terms_position": 110024, "position_limit": 110013}
            code = codes.get(refused.reason)
            raise trouble(code) if code is not None else self._refusal(refused.reason) from None

    def trading_stop(self, account: Account, p: Params) -> Any:
        """Close a whole position at a take profit or a stop loss; "0" takes it away."""
        market = self._market(p)
        for name in _NOT_HERE:
            if name in p and p.text(name) != "0":
                raise VenueError(10001, f"params error: {name} is not supported here")
        if p.text("tpslMode", "Full") != "Full":
            raise VenueError(10001, "params error: tpslMode is not supported here")
        index = p.whole("positionIdx", 0, 0, 2)
        if (index > 0) != self._clearing.terms(account, market).hedge:
            raise VenueError(10001, "position idx not match position mode")
        held = self._clearing.holding(account, market, _SIDES[index])
        if not held.lots:
            raise VenueError(10001, "can not set tp/sl/ts for zero position")
        done = False
        for name, kind, by in (
            ("takeProfit", "TakeProfit", "tpTriggerBy"),
            ("stopLoss", "StopLoss", "slTriggerBy"),
        ):
            if name in p:
                watched = p.one_of(by, *_TRIGGER_BY, default="LastPrice")
                done = self._set_stop(account, held, p.units_e8(name) or 0, kind, watched) or done
        if not done:
            raise trouble(34040)
        return {}

    def _set_stop(self, account: Account, held: Holding, units: int, kind: str, by: str) -> bool:
        market, desk = held.market, self._exchange.desk
        before = _stops(account, held, kind)
        if units < 0 or units % market.listing.tick_e8:
            raise VenueError(10001, f"params error: {kind} invalid")
        stop = units // market.listing.tick_e8
        if before is not None and before.new.stop == stop and before.new.notes.get("triggerBy") == by:
            return False
        if not stop:
            if before is not None:
                desk.cancel(before, before.client_id)
            return before is not None
        long = held.lots > 0
        above = long == (kind == "TakeProfit")
        now = watched_price(market, _TRIGGER_BY[by])
        if stop <= now if above else stop >= now:
            side, word = ("Buy" if long else "Sell"), "higher" if above else "lower"
            raise VenueError(10001, f"{kind}:{stop} set for {side} position should be {word} than base_price:{now}")
        if before is not None:
            desk.cancel(before, before.client_id)
        new = NewOrder(
            side=Side.SELL if long else Side.BUY,
            type="MARKET",
            lots=abs(held.lots),
            client_id="",
            tif=TimeInForce.IOC,
            tif_text="IOC",
            stop=stop,
            trigger="above" if above else "below",
            trigger_by=_TRIGGER_BY[by],
            holding=held.side,
            reduce_only=True,
            close_all=True,
            notes={
                "orderType": "Market",
                "positionIdx": _INDEXES[held.side],
                "reduceOnly": True,
                "closeOnTrigger": True,
                "stopOrderType": kind,
                "triggerBy": by,
                "createType": f"CreateBy{kind}",
            },
        )
        self._do(lambda: desk.place(account, market, new))
        return True
