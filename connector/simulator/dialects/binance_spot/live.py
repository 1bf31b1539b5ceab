"""Answer spot REST calls from the live markets.

Each function takes the exchange's state and checked parameters and returns a value for JSON; it changes nothing. Times come
out in milliseconds, or microseconds when the client asked for them. Fields and types: the venue's spot REST documents and
`exchangeInfo`, read 2026-11.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

from connector.simulator.candles import INTERVALS, Bar, aggregate, bucket_end, bucket_start
from connector.simulator.dialect import Request
from connector.simulator.dialects.binance_spot.rest import Params
from connector.simulator.exchange import Exchange
from connector.simulator.instruments import SCALE, text_e8
from connector.simulator.market import Market

__all__ = ["LiveAnswers", "day_fields", "kline_end_ms"]

_MAX_QUANTITY = "9000.00000000"


class LiveAnswers:
    """One method per call of the endpoint table."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def statuses(self) -> Mapping[str, str]:
        """Listed symbols and their status."""
        return {symbol: market.status for symbol, market in self._exchange.markets.items()}

    def recorded(self, request: Request) -> bytes | None:
        """A live market has no answers ready."""
        return None

    def ping(self, params: Params, unit: int) -> Any:
        return {}

    def time(self, params: Params, unit: int) -> Any:
        return {"serverTime": self._exchange.clock.now_us() // unit}

    def exchange_info(self, params: Params, unit: int) -> Any:
        chosen = self._chosen(params)
        if params.permissions is not None and "SPOT" not in params.permissions:
            chosen = []
        return {
            "timezone": "UTC",
            "serverTime": self._exchange.clock.now_us() // unit,
            "rateLimits": rate_limits(self._exchange),
            "exchangeFilters": list(self._exchange.settings.exchange_filters),
            "symbols": [symbol_row(market, params.show_sets) for market in chosen],
        }

    def depth(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        stale = self._exchange.plan.stale_snapshots.get(market.symbol)
        update_id, bids, asks = market.update_id, market.engine.bids(params.limit), market.engine.asks(params.limit)
        if stale is not None and stale[0].take(self._exchange.loop_s()):
            update_id = max(market.update_id - stale[1], market.log.first_id)
            bids, asks = (levels[: params.limit] for levels in market.log.at(update_id))
        price, size = market.price_text, market.size_text
        return {
            "lastUpdateId": update_id,
            "bids": [(price(level), size(lots)) for level, lots in bids],
            "asks": [(price(level), size(lots)) for level, lots in asks],
        }

    def trades(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        return [_trade_row(market, trade, unit) for trade in market.recent(params.limit)]

    def historical_trades(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        if params.from_id is None:
            return self.trades(params, unit)
        return [_trade_row(market, trade, unit) for trade in market.trades_from(params.from_id, params.limit)]

    def agg_trades(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        return [
            {
                "a": entry.agg_id,
                "p": market.price_text(entry.price),
                "q": market.size_text(entry.quantity),
                "f": entry.first_id,
                "l": entry.last_id,
                "T": entry.time_us // unit,
                "m": entry.buyer_is_maker,
                "M": True,
            }
            for entry in market.aggregates(params.limit, params.from_id, params.start_us, params.end_us)
        ]

    def klines(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        market.candles.roll(self._exchange.clock.now_ms())
        if params.zone_ms or params.start_us is None:
            bars = zone_bars(market, params.interval, params.zone_ms)
        else:
            bars = market.bars_since(params.interval, -(-params.start_us // 1000), params.limit)
        first = 0 if params.start_us is None else bisect_left(bars, -(-params.start_us // 1000), key=_start)
        last = len(bars) if params.end_us is None else bisect_right(bars, params.end_us // 1000, key=_start)
        bars = bars[first:last]
        bars = bars[: params.limit] if params.start_us is not None else bars[-params.limit :]
        return [_kline_row(market, params.interval, bar, params.zone_ms, unit) for bar in bars]

    def avg_price(self, params: Params, unit: int) -> Any:
        market = self._market(params)
        price, close_us = average_price(market, self._exchange.clock.now_us())
        return {"mins": 5, "price": price, "closeTime": close_us // unit}

    def day_ticker(self, params: Params, unit: int) -> Any:
        def row(market: Market, now_ms: int) -> dict[str, Any]:
            total, before = market.day(now_ms)
            return _ticker_row(market, total, before, now_ms, unit, params)

        return self._tickers(params, row)

    def window_ticker(self, params: Params, unit: int) -> Any:
        def row(market: Market, now_ms: int) -> dict[str, Any]:
            total, before = market.window(now_ms - params.window_ms)
            return _ticker_row(market, total, before, now_ms, unit, params, plain=True)

        return self._tickers(params, row)

    def trading_day(self, params: Params, unit: int) -> Any:
        def row(market: Market, now_ms: int) -> dict[str, Any]:
            start = bucket_start("1d", now_ms, params.zone_ms)
            total, before = market.window(start)
            return _ticker_row(market, total, before, start + 86_399_999, unit, params, plain=True)

        return self._tickers(params, row)

    def price(self, params: Params, unit: int) -> Any:
        return self._each(params, lambda market: {"symbol": market.symbol, "price": market.price_text(market.price)})

    def book_ticker(self, params: Params, unit: int) -> Any:
        def row(market: Market) -> dict[str, Any]:
            bid, bid_lots, ask, ask_lots = best(market)
            return {"symbol": market.symbol, "bidPrice": bid, "bidQty": bid_lots, "askPrice": ask, "askQty": ask_lots}

        return self._each(params, row)

    def _market(self, params: Params) -> Market:
        assert params.symbol is not None
        return self._exchange.markets[params.symbol]

    def _chosen(self, params: Params) -> list[Market]:
        markets = self._exchange.markets
        if params.symbol is not None:
            return [markets[params.symbol]]
        if params.symbols is not None:
            return [markets[symbol] for symbol in params.symbols]
        return [market for market in markets.values() if params.status in (None, market.status)]

    def _each(self, params: Params, row: Any) -> Any:
        rows = [row(market) for market in self._chosen(params)]
        return rows[0] if params.symbol is not None else rows

    def _tickers(self, params: Params, row: Any) -> Any:
        now_ms = self._exchange.clock.now_ms()
        for market in self._chosen(params):
            market.candles.roll(now_ms)
        return self._each(params, lambda market: row(market, now_ms))


def _start(bar: Bar) -> int:
    return bar.start


def zone_bars(market: Market, interval: str, zone_ms: int) -> list[Bar]:
    """Candles cut in a time zone, oldest first: added up from the longest shorter ones that the zone does not cut."""
    if interval != "1M" and interval != "1w" and zone_ms % INTERVALS[interval] == 0:
        return market.bars(interval)
    if zone_ms == 0:
        return market.bars(interval)
    base = next(name for name in ("1h", "30m", "15m", "1m") if zone_ms % INTERVALS[name] == 0)
    if INTERVALS[interval] and INTERVALS[interval] <= INTERVALS[base]:
        return market.bars(interval)
    return aggregate(market.bars(base), interval, zone_ms)


def kline_end_ms(interval: str, start_ms: int, zone_ms: int = 0) -> int:
    """The last millisecond of a candle."""
    return bucket_end(interval, start_ms, zone_ms) - 1


def _kline_row(market: Market, interval: str, bar: Bar, zone_ms: int, unit: int) -> list[Any]:
    price = market.price_text
    end = kline_end_ms(interval, bar.start, zone_ms)
    return [
        bar.start * 1000 // unit,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        market.size_text(bar.volume),
        end if unit == 1000 else end * 1000 + 999,
        market.quote_text(bar.quote),
        bar.count,
        market.size_text(bar.buy),
        market.quote_text(bar.buy_quote),
        "0",
    ]


def _trade_row(market: Market, trade: Any, unit: int) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": market.price_text(trade.price),
        "qty": market.size_text(trade.quantity),
        "quoteQty": market.quote_text(trade.price * trade.quantity),
        "time": trade.time_us // unit,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def average_price(market: Market, now_us: int) -> tuple[str, int]:
    """(volume weighted price of the last five minutes as text, time of the last trade in it)."""
    bars = market.bars("1s")
    recent = bars[bisect_left(bars, now_us // 1000 - 300_000, key=_start) :]
    volume, quote = sum(bar.volume for bar in recent), sum(bar.quote for bar in recent)
    newest = market.recent(1)
    closed_us = newest[-1].time_us if newest else now_us
    tick = market.listing.tick_e8
    return text_e8(quote * tick // volume if volume else market.price * tick), closed_us


def best(market: Market) -> tuple[str, str, str, str]:
    """Best bid, its quantity, best ask, its quantity; zeros where a side is empty."""
    bids, asks = market.engine.bids(1) or [(0, 0)], market.engine.asks(1) or [(0, 0)]
    price, size = market.price_text, market.size_text
    return price(bids[0][0]), size(bids[0][1]), price(asks[0][0]), size(asks[0][1])


def day_fields(market: Market, total: Bar) -> tuple[str, str, str]:
    """Price change, the same in percent with three places, volume weighted price."""
    tick = market.listing.tick_e8
    change = total.close - total.open
    thousandths = (abs(change) * 200_000 + total.open) // (2 * total.open)
    percent = f"{'-' if change < 0 and thousandths else ''}{thousandths // 1000}.{thousandths % 1000:03d}"
    weighted = text_e8(total.quote * tick // total.volume) if total.volume else text_e8(0)
    return text_e8(change * tick), percent, weighted


def _ticker_row(
    market: Market, total: Bar, before: int, close_ms: int, unit: int, params: Params, plain: bool = False
) -> dict[str, Any]:
    """A ticker over a window; `plain` leaves out what only the 24 hour ticker has."""
    price, size = market.price_text, market.size_text
    change, percent, weighted = day_fields(market, total)
    row: dict[str, Any] = {"symbol": market.symbol}
    if not params.mini:
        row |= {"priceChange": change, "priceChangePercent": percent, "weightedAvgPrice": weighted}
        if not plain:
            newest = market.recent(1)
            bid, bid_lots, ask, ask_lots = best(market)
            row |= {
                "prevClosePrice": price(before),
                "lastPrice": price(total.close),
                "lastQty": size(newest[-1].quantity if newest else 0),
                "bidPrice": bid,
                "bidQty": bid_lots,
                "askPrice": ask,
                "askQty": ask_lots,
            }
    row |= {"openPrice": price(total.open), "highPrice": price(total.high), "lowPrice": price(total.low)}
    row["lastPrice"] = price(total.close)
    return row | {
        "volume": size(total.volume),
        "quoteVolume": market.quote_text(total.quote),
        "openTime": total.start * 1000 // unit,
        "closeTime": close_ms * 1000 // unit,
        "firstId": total.first_id,
        "lastId": total.last_id,
        "count": total.count,
    }


def rate_limits(exchange: Exchange) -> list[dict[str, Any]]:
    """The limits as `exchangeInfo` lists them."""
    settings = exchange.settings

    def row(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
        return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}

    return [
        row("REQUEST_WEIGHT", "MINUTE", 1, settings.request_weight_per_minute),
        row("ORDERS", "SECOND", 10, settings.orders_per_10s),
        row("ORDERS", "DAY", 1, settings.orders_per_day),
        row("RAW_REQUESTS", "MINUTE", 5, settings.raw_requests_per_5min),
    ]


def symbol_row(market: Market, show_sets: bool) -> dict[str, Any]:
    """One symbol of `exchangeInfo`."""
    listing = market.listing
    tick, step = text_e8(listing.tick_e8), text_e8(listing.step_e8)
    top = text_e8(max(listing.price_e8 * 20, 1000 * SCALE) // listing.tick_e8 * listing.tick_e8)
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "status": market.status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [
            "LIMIT",
            "LIMIT_MAKER",
            "MARKET",
            "STOP_LOSS",
            "STOP_LOSS_LIMIT",
            "TAKE_PROFIT",
            "TAKE_PROFIT_LIMIT",
        ],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": top, "tickSize": tick},
            {
                "filterType": "LOT_SIZE",
                "minQty": step,
                "maxQty": text_e8(9_000_000 * SCALE // listing.step_e8 * listing.step_e8),
                "stepSize": step,
            },
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": text_e8(0),
                "maxQty": _MAX_QUANTITY,
                "stepSize": text_e8(0),
            },
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": 10,
                "maxTrailingAboveDelta": 2000,
                "minTrailingBelowDelta": 10,
                "maxTrailingBelowDelta": 2000,
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "0.00010000" if listing.quote in ("BTC", "ETH", "BNB") else "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
            *(row for row in listing.filters if row["filterType"] != "MAX_ASSET"),
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": [
            "NONE",
            "EXPIRE_TAKER",
            "EXPIRE_MAKER",
            "EXPIRE_BOTH",
            "DECREMENT",
            "TRANSFER",
        ],
    }
    row["filters"] = list({entry["filterType"]: entry for entry in row["filters"]}.values())  # the listing's own win
    if not show_sets:
        del row["permissionSets"]
    return row
