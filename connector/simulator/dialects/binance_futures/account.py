"""Answer the futures venue's questions about accounts, and change their settings: balances, positions, income, leverage, modes.

One method per call of `rest.CALLS`, mixed into `trading.Private`. Loop thread only. Source: the venue's futures documents, read
2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from connector.simulator.accounts import Account
from connector.simulator.desk import Refused
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.live import fixed, size_text
from connector.simulator.dialects.binance_futures.render import SIDES, queried_row, signed_text
from connector.simulator.dialects.binance_futures.rest import VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, text_e8
from connector.simulator.margin import Holding, HoldingSide
from connector.simulator.market import Market

__all__ = ["AccountCalls", "alias", "signed_size"]

_WEEK_MS = 7 * 86_400_000

_INCOMES = {
    "realised": "REALIZED_PNL",
    "commission": "COMMISSION",
    "funding": "FUNDING_FEE",
    "insurance": "INSURANCE_CLEAR",
    "transfer": "TRANSFER",
    "delivery": "DELIVERED_SETTELMENT",
}


class AccountCalls:
    """Everything behind a key that is no order."""

    def __init__(self, exchange: Exchange, product: Product) -> None:
        self._exchange, self._product = exchange, product
        self._moves: dict[str, list[dict[str, Any]]] = {}

    # account

    def account_status(self, account: Account, p: dict[str, Any]) -> Any:
        clearing = self._exchange.desk.clearing
        assets = [self._asset_row(account, asset) for asset in self._assets(account)]
        positions = [
            self._account_position(account, market, side, held)
            for market, side, held in self._positions(account)
            if not (self._product.linear and p.get("version") == 3)
            or held is not None
            or self._has_orders(account, market)
        ]
        if not self._product.linear:
            return {
                "assets": assets,
                "positions": positions,
                "canDeposit": True,
                "canTrade": account.can_trade,
                "canWithdraw": True,
                "feeTier": 0,
                "updateTime": 0,
            }
        stable = [clearing.state(account, asset) for asset in self._assets(account) if asset in ("USDT", "USDC")]

        def total(name: str) -> str:
            return signed_text(sum(getattr(state, name) for state in stable))

        answer: dict[str, Any] = {
            "totalInitialMargin": total("initial_e8"),
            "totalMaintMargin": total("maintenance_e8"),
            "totalWalletBalance": total("wallet_e8"),
            "totalUnrealizedProfit": total("unrealised_e8"),
            "totalMarginBalance": total("balance_e8"),
            "totalPositionInitialMargin": total("position_margin_e8"),
            "totalOpenOrderInitialMargin": total("order_margin_e8"),
            "totalCrossWalletBalance": total("cross_wallet_e8"),
            "totalCrossUnPnl": total("cross_unrealised_e8"),
            "availableBalance": total("available_e8"),
            "maxWithdrawAmount": total("available_e8"),
            "assets": assets,
            "positions": positions,
        }
        if p.get("version") == 2:
            answer |= {
                "feeTier": 0,
                "canTrade": account.can_trade,
                "canDeposit": True,
                "canWithdraw": True,
                "multiAssetsMargin": False,
                "updateTime": 0,
            }
        return answer

    def _asset_row(self, account: Account, asset: str) -> dict[str, Any]:
        state = self._exchange.desk.clearing.state(account, asset)
        return {
            "asset": asset,
            "walletBalance": signed_text(state.wallet_e8),
            "unrealizedProfit": signed_text(state.unrealised_e8),
            "marginBalance": signed_text(state.balance_e8),
            "maintMargin": text_e8(state.maintenance_e8),
            "initialMargin": text_e8(state.initial_e8),
            "positionInitialMargin": text_e8(state.position_margin_e8),
            "openOrderInitialMargin": text_e8(state.order_margin_e8),
            "crossWalletBalance": signed_text(state.cross_wallet_e8),
            "crossUnPnl": signed_text(state.cross_unrealised_e8),
            "availableBalance": text_e8(state.available_e8),
            "maxWithdrawAmount": text_e8(state.available_e8),
            "updateTime": account.updated_us // 1000,
        }

    def account_balance(self, account: Account, p: dict[str, Any]) -> Any:
        rows = []
        for asset in self._assets(account):
            state = self._exchange.desk.clearing.state(account, asset)
            row: dict[str, Any] = {
                "accountAlias": alias(account),
                "asset": asset,
                "balance": signed_text(state.wallet_e8),
                "crossWalletBalance": signed_text(state.cross_wallet_e8),
                "crossUnPnl": signed_text(state.cross_unrealised_e8),
                "availableBalance": text_e8(state.available_e8),
                "updateTime": account.updated_us // 1000,
            }
            if self._product.linear:
                row |= {"maxWithdrawAmount": text_e8(state.available_e8), "marginAvailable": True}
            else:
                row["withdrawAvailable"] = text_e8(state.available_e8)
            rows.append(row)
        return rows

    def account_position(self, account: Account, p: dict[str, Any]) -> Any:
        if "symbol" in p:
            self._market(p)
        newest = self._product.linear and p.get("version", 3) == 3
        return [
            self._position_v3(account, market, side, held) if newest else self._position_v2(account, market, side, held)
            for market, side, held in self._positions(account)
            if p.get("symbol") in (None, market.symbol)
            and p.get("pair") in (None, market.listing.pair)
            and p.get("marginAsset") in (None, market.listing.settle)
            and (not newest or held is not None or self._has_orders(account, market))
        ]

    def _positions(self, account: Account) -> list[tuple[Market, HoldingSide, Holding | None]]:
        """The rows of every symbol: BOTH, or BOTH (COIN-M) with LONG and SHORT in hedge mode; None holds nothing."""
        rows: list[tuple[Market, HoldingSide, Holding | None]] = []
        for market in self._exchange.desk.contracts:
            hedge = self._exchange.desk.clearing.terms(account, market).hedge
            sides: tuple[HoldingSide, ...] = ("net",)
            if hedge:
                sides = ("long", "short") if self._product.linear else ("net", "long", "short")
            for side in sides:
                held = account.holdings.get((market.symbol, side))
                rows.append((market, side, held if held is not None and held.lots else None))
        return rows

    def _has_orders(self, account: Account, market: Market) -> bool:
        return any(not order.algo for order in account.open_on(market.symbol))

    def _common(self, account: Account, market: Market, side: HoldingSide, held: Holding | None) -> dict[str, Any]:
        return {
            "symbol": market.symbol,
            "positionSide": SIDES[side],
            "positionAmt": signed_size(market, 0 if held is None else held.lots),
            "updateTime": 0 if held is None else held.updated_us // 1000,
        }

    def _notional(self, held: Holding | None) -> str:
        return "0" if held is None else signed_text(held.value_e8 if held.lots > 0 else -held.value_e8)

    def _margins(self, account: Account, market: Market, held: Holding | None) -> dict[str, str]:
        clearing = self._exchange.desk.clearing
        own = 0 if held is None else clearing.position_margin_e8(held)
        of_orders = clearing.symbol_margin_e8(account, market)[1]
        return {
            "initialMargin": text_e8(own + of_orders),
            "maintMargin": text_e8(0 if held is None else clearing.maintenance_e8(held)),
            "positionInitialMargin": text_e8(own),
            "openOrderInitialMargin": text_e8(of_orders),
        }

    def _position_v3(self, account: Account, market: Market, side: HoldingSide, held: Holding | None) -> dict[str, Any]:
        clearing = self._exchange.desk.clearing
        isolated = 0 if held is None or not held.isolated else held.isolated_e8 + held.unrealised_e8
        return (
            self._common(account, market, side, held)
            | {
                "entryPrice": text_e8(0 if held is None else held.entry_e8),
                "breakEvenPrice": text_e8(0 if held is None else held.break_even_e8),
                "markPrice": text_e8(market.marks.mark_e8),
                "unRealizedProfit": signed_text(0 if held is None else held.unrealised_e8),
                "liquidationPrice": "0" if held is None else text_e8(clearing.liquidation_e8(held)),
                "isolatedMargin": signed_text(isolated),
                "notional": self._notional(held),
                "marginAsset": market.listing.settle,
                "isolatedWallet": text_e8(0 if held is None else held.isolated_e8),
                "adl": 0 if held is None else 1,
                "bidNotional": "0",
                "askNotional": "0",
            }
            | self._margins(account, market, held)
        )

    def _position_v2(self, account: Account, market: Market, side: HoldingSide, held: Holding | None) -> dict[str, Any]:
        clearing = self._exchange.desk.clearing
        terms = clearing.terms(account, market)
        isolated = terms.isolated if held is None else held.isolated
        own = 0 if held is None or not held.isolated else held.isolated_e8 + held.unrealised_e8
        row = self._common(account, market, side, held) | {
            "entryPrice": text_e8(0 if held is None else held.entry_e8),
            "breakEvenPrice": text_e8(0 if held is None else held.break_even_e8),
            "markPrice": text_e8(market.marks.mark_e8),
            "unRealizedProfit": signed_text(0 if held is None else held.unrealised_e8),
            "liquidationPrice": "0" if held is None else text_e8(clearing.liquidation_e8(held)),
            "leverage": str(terms.leverage),
            "marginType": "isolated" if isolated else "cross",
            "isolatedMargin": signed_text(own),
            "isAutoAddMargin": "false",
            "notional": self._notional(held),
            "isolatedWallet": text_e8(0 if held is None else held.isolated_e8),
        }
        most = text_e8(clearing.most_e8(market, terms.leverage_e8))
        if self._product.linear:
            return row | {"maxNotionalValue": most}
        return row | {"maxQty": most, "notionalValue": row["notional"]}

    def _account_position(
        self, account: Account, market: Market, side: HoldingSide, held: Holding | None
    ) -> dict[str, Any]:
        clearing = self._exchange.desk.clearing
        terms = clearing.terms(account, market)
        row = self._common(account, market, side, held) | {
            "unrealizedProfit": signed_text(0 if held is None else held.unrealised_e8),
            "isolatedMargin": text_e8(0 if held is None else held.isolated_e8),
            "notional": self._notional(held),
            "isolatedWallet": text_e8(0 if held is None else held.isolated_e8),
            **self._margins(account, market, held),
        }
        if self._product.linear:
            return row | {
                "leverage": str(terms.leverage),
                "isolated": terms.isolated if held is None else held.isolated,
                "entryPrice": text_e8(0 if held is None else held.entry_e8),
                "breakEvenPrice": text_e8(0 if held is None else held.break_even_e8),
            }
        del row["isolatedMargin"], row["notional"]
        return row | {
            "leverage": str(terms.leverage),
            "isolated": terms.isolated if held is None else held.isolated,
            "entryPrice": text_e8(0 if held is None else held.entry_e8),
            "breakEvenPrice": text_e8(0 if held is None else held.break_even_e8),
            "maxQty": text_e8(clearing.most_e8(market, terms.leverage_e8)),
            "notionalValue": self._notional(held),
        }

    def symbol_config(self, account: Account, p: dict[str, Any]) -> Any:
        clearing = self._exchange.desk.clearing
        rows = []
        for market in [self._market(p)] if "symbol" in p else self._exchange.desk.contracts:
            terms = clearing.terms(account, market)
            rows.append(
                {
                    "symbol": market.symbol,
                    "marginType": "ISOLATED" if terms.isolated else "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": terms.leverage,
                    "maxNotionalValue": fixed(clearing.most_e8(market, terms.leverage_e8), 0),
                }
            )
        return rows

    def account_config(self, account: Account, p: dict[str, Any]) -> Any:
        return {
            "feeTier": 0,
            "canTrade": account.can_trade,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": account.hedge_usual,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def leverage_bracket(self, account: Account, p: dict[str, Any]) -> Any:
        markets = [self._market(p)] if "symbol" in p else self._exchange.desk.contracts
        names = ("notionalCap", "notionalFloor") if self._product.linear else ("qtyCap", "qtylFloor")
        rows = []
        for market in markets:
            if p.get("pair") not in (None, market.listing.pair):
                continue
            brackets = [
                {
                    "bracket": number,
                    "initialLeverage": row.leverage,
                    names[0]: _number(row.cap_e8),
                    names[1]: _number(row.floor_e8),
                    "maintMarginRatio": _number(row.rate_e8),
                    "cum": _number(row.cut_e8),
                }
                for number, row in enumerate(market.listing.brackets, start=1)
            ]
            head = {"notionalCoef": 1.0} if self._product.linear else {}
            rows.append({"symbol": market.symbol, **head, "brackets": brackets})
        return rows

    def commission_rate(self, account: Account, p: dict[str, Any]) -> Any:
        row = {
            "symbol": self._market(p).symbol,
            "makerCommissionRate": text_e8(account.maker_rate)[:-2],
            "takerCommissionRate": text_e8(account.taker_rate)[:-2],
        }
        return row | {"rpiCommissionRate": "0.000000"} if self._product.linear else row

    def income(self, account: Account, p: dict[str, Any]) -> Any:
        now_ms = self._exchange.clock.now_ms()
        start, end = p.get("startTime", now_ms - _WEEK_MS), p.get("endTime", now_ms)
        if end < start:
            raise VenueError(-1023, "Start time is greater than end time.")
        rows = [
            row
            for row in account.incomes
            if start <= row.at_us // 1000 <= end
            and p.get("symbol") in (None, row.symbol)
            and p.get("incomeType") in (None, _INCOMES[row.kind])
            and self._visible(row.at_us)
        ]
        rows.sort(key=lambda row: (row.at_us, row.number))
        page = p.get("page", 1) - 1
        chosen = rows[page * p["limit"] :][: p["limit"]] if "startTime" in p or "page" in p else rows[-p["limit"] :]
        number: Callable[[int], Any] = int if self._product.linear else str
        return [
            {
                "symbol": row.symbol,
                "incomeType": _INCOMES[row.kind],
                "income": signed_text(row.amount_e8),
                "asset": row.asset,
                "info": str(row.trade_id) if row.trade_id else _INCOMES[row.kind],
                "time": row.at_us // 1000,
                "tranId": number(row.number),
                "tradeId": str(row.trade_id) if row.trade_id else "",
            }
            for row in chosen
        ]

    def force_orders(self, account: Account, p: dict[str, Any]) -> Any:
        wanted = {"LIQUIDATION": ("liquidation",), "ADL": ("adl",)}.get(
            p.get("autoCloseType", ""), ("liquidation", "adl")
        )
        symbol = self._market(p).symbol if "symbol" in p else None
        rows = [
            order
            for orders in account.orders.values()
            for order in orders.values()
            if order.new.origin in wanted and symbol in (None, order.market.symbol)
        ]
        return [queried_row(order, self._product) for order in rows[-p["limit"] :]]

    def adl_quantile(self, account: Account, p: dict[str, Any]) -> Any:
        rows = []
        for market in [self._market(p)] if "symbol" in p else self._exchange.desk.contracts:
            quantile = {SIDES[held.side]: 1 for held in self._exchange.desk.clearing.holdings(account, market.symbol)}
            if quantile:
                rows.append({"symbol": market.symbol, "adlQuantile": {"LONG": 0, "SHORT": 0} | quantile})
        return rows

    def rate_limit_orders(self, account: Account, p: dict[str, Any]) -> Any:
        return [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": window.capacity}
            for window, interval, number in (
                (account.counts[0], "SECOND", 10),
                (account.minute_count, "MINUTE", 1),
            )
        ]

    def api_trading_status(self, account: Account, p: dict[str, Any]) -> Any:
        return {"indicators": {}, "updateTime": self._exchange.clock.now_ms()}

    # settings

    def leverage_set(self, account: Account, p: dict[str, Any]) -> Any:
        market, leverage = self._market(p), p["leverage"]
        desk = self._exchange.desk
        try:
            desk.set_leverage(account, market, leverage * SCALE)
        except Refused as refused:
            if refused.reason == "leverage":
                raise VenueError(-4028, f"Leverage {leverage} is not valid") from None
            if refused.reason == "terms_position":
                raise VenueError(
                    -4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions."
                ) from None
            if refused.reason == "insufficient_margin":
                raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance.") from None
            if refused.reason != "same_terms":
                raise
        most = desk.clearing.most_e8(market, leverage * SCALE)
        if self._product.linear:
            return {"symbol": market.symbol, "leverage": leverage, "maxNotionalValue": fixed(most, 0)}
        return {"symbol": market.symbol, "leverage": leverage, "maxQty": text_e8(most)}

    def margin_type_set(self, account: Account, p: dict[str, Any]) -> Any:
        market = self._market(p)
        try:
            self._exchange.desk.set_isolated(account, market, p["marginType"] == "ISOLATED")
        except Refused as refused:
            raise VenueError(
                *{
                    "same_terms": (-4046, "No need to change margin type."),
                    "terms_orders": (-4047, "Margin type cannot be changed if there exists open orders."),
                    "terms_position": (-4048, "Margin type cannot be changed if there exists position."),
                }[refused.reason]
            ) from None
        return {"code": 200, "msg": "success"}

    def position_mode_set(self, account: Account, p: dict[str, Any]) -> Any:
        try:
            self._exchange.desk.set_hedge(account, p["dualSidePosition"])
        except Refused as refused:
            raise VenueError(
                *{
                    "same_terms": (-4059, "No need to change position side."),
                    "terms_orders": (-4067, "Position side cannot be changed if there exists open orders."),
                    "terms_position": (-4068, "Position side cannot be changed if there exists position."),
                }[refused.reason]
            ) from None
        return {"code": 200, "msg": "success"}

    def position_mode_status(self, account: Account, p: dict[str, Any]) -> Any:
        return {"dualSidePosition": account.hedge_usual}

    def multi_assets_set(self, account: Account, p: dict[str, Any]) -> Any:
        """Only the single-asset mode is simulated."""
        if p["multiAssetsMargin"]:
            raise VenueError(-4084, "Method is not allowed currently. Coming soon.")
        raise VenueError(-4171, "No need to change Multi-Assets mode.")

    def multi_assets_status(self, account: Account, p: dict[str, Any]) -> Any:
        return {"multiAssetsMargin": False}

    def fee_burn_set(self, account: Account, p: dict[str, Any]) -> Any:
        if p["feeBurn"]:
            raise VenueError(-4084, "Method is not allowed currently. Coming soon.")
        return {"code": 200, "msg": "success"}

    def fee_burn_status(self, account: Account, p: dict[str, Any]) -> Any:
        return {"feeBurn": False}

    def position_margin_set(self, account: Account, p: dict[str, Any]) -> Any:
        market, amount = self._market(p), p["amount"]
        if p["type"] not in ("1", "2"):
            raise VenueError(-4051, "Isolated balance insufficient." if amount else "Amount must be positive.")
        if not amount:
            raise VenueError(-4055, "Amount must be positive.")
        side: HoldingSide = "net"
        if self._exchange.desk.clearing.terms(account, market).hedge:
            side = "short" if p.get("positionSide") == "SHORT" else "long"
        held = account.holdings.get((market.symbol, side))
        if held is None or not held.lots:
            raise VenueError(-4054, "Cannot add position margin: position is 0.")
        if not held.isolated:
            raise VenueError(-4049, "Add margin only support for isolated position.")
        adding = p["type"] == "1"
        try:
            self._exchange.desk.move_margin(held, amount if adding else -amount)
        except Refused:
            raise VenueError(
                *((-4050, "Cross balance insufficient.") if adding else (-4051, "Isolated balance insufficient."))
            ) from None
        self._moves.setdefault(account.name, []).append(
            {
                "symbol": market.symbol,
                "type": int(p["type"]),
                "deltaType": "USER_ADJUST",
                "amount": text_e8(amount),
                "asset": market.listing.settle,
                "time": self._exchange.clock.now_ms(),
                "positionSide": SIDES[side],
            }
        )
        return {
            "code": 200,
            "msg": "Successfully modify position margin.",
            "amount": _number(amount),
            "type": int(p["type"]),
        }

    def position_margin_history(self, account: Account, p: dict[str, Any]) -> Any:
        symbol = self._market(p).symbol
        rows = [row for row in self._moves.get(account.name, []) if row["symbol"] == symbol]
        return [row for row in rows if p.get("type") in (None, str(row["type"]))][-p["limit"] :]

    # parts

    def _assets(self, account: Account) -> list[str]:
        settled = [market.listing.settle for market in self._exchange.desk.contracts]
        return list(dict.fromkeys([*settled, *account.balances]))

    def _market(self, p: Mapping[str, Any]) -> Market:
        market = self._exchange.markets.get(p["symbol"].upper())
        if market is None:
            raise VenueError(-1121, "Invalid symbol.")
        return market

    def _visible(self, at_us: int) -> bool:
        return self._exchange.plan.visible(at_us, self._exchange.clock.now_us())


def alias(account: Account) -> str:
    """The account's code in answers and events."""
    return f"sim{account.uid}"


def signed_size(market: Market, lots: int) -> str:
    """A position's size with its sign."""
    return ("-" if lots < 0 else "") + size_text(market, abs(lots))


def _number(value_e8: int) -> msgspec.Raw:
    """An amount as a JSON number, as the risk table has them."""
    text = text_e8(value_e8)
    return msgspec.Raw(text.rstrip("0").rstrip(".").encode())
