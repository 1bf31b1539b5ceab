"""Answer public futures calls from the live markets.

Each method takes checked parameters and returns a value for JSON; it changes nothing. Times are milliseconds. The volume of an
inverse contract in its base asset is the contracts' worth at the average price of the time span, rounded down. Fields and types:
the venue's USDⓈ-M and COIN-M documents, read 2026-11.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from connector.simulator.candles import Bar, Candles, bucket_end
from connector.simulator.dialects.binance_futures.facts import Product
from connector.simulator.dialects.binance_futures.rest import VenueError
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.instruments import SCALE, text_e8
from connector.simulator.margin import value_e16
from connector.simulator.market import Market

__all__ = ["PublicAnswers", "base_volume", "day_fields", "digits", "fixed", "price_text", "size_text", "turnover"]

_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_DAY_MS = 86_400_000
_NO_DELIVERY_MS = 4_133_404_800_000
TRIGGER_PROTECT_E8 = 5_000_000
"""Orders with `priceProtect` are triggered while last and mark price differ by less than this part."""


def digits(unit_e8: int) -> int:
    """How many decimal places it takes to print multiples of that."""
    places = 8
    while places and unit_e8 % 10 == 0:
        unit_e8, places = unit_e8 // 10, places - 1
    return places


def fixed(value_e8: int, places: int) -> str:
    """An amount with so many decimal places; further ones are cut off."""
    text = text_e8(value_e8)
    return text[: len(text) - 8 + places] if places else text[:-9]


def price_text(market: Market, ticks: int) -> str:
    """A price as the venue prints it."""
    tick = market.listing.tick_e8
    return fixed(ticks * tick, digits(tick))


def size_text(market: Market, lots: int) -> str:
    """A quantity as the venue prints it."""
    step = market.listing.step_e8
    return fixed(lots * step, digits(step))


def base_volume(market: Market, lots: int, quote: int) -> int:
    """What so many lots, for `quote` ticks times lots, were in the base asset of an inverse contract, in 1e-8."""
    listing = market.listing
    if not quote:
        return 0
    return lots * lots * listing.step_e8 * listing.size_e8 // (quote * listing.tick_e8)


def turnover(market: Market, lots: int, quote: int) -> str:
    """The other volume: quote asset when linear, base asset when inverse."""
    listing = market.listing
    if listing.product == "inverse":
        return text_e8(base_volume(market, lots, quote))
    return text_e8(quote * listing.tick_e8 * listing.step_e8 // SCALE)


def day_fields(market: Market, total: Bar) -> tuple[str, str, str]:
    """Price change, the same in percent with three places, volume weighted price."""
    tick = market.listing.tick_e8
    change = total.close - total.open
    thousandths = (abs(change) * 200_000 + total.open) // (2 * total.open)
    percent = f"{'-' if change < 0 and thousandths else ''}{thousandths // 1000}.{thousandths % 1000:03d}"
    places = digits(tick)
    weighted = fixed(total.quote * tick // total.volume if total.volume else 0, places)
    return ("-" if change < 0 else "") + fixed(abs(change) * tick, places), percent, weighted


def contract_type(market: Market, markets: list[Market]) -> str:
    """PERPETUAL, or which quarter a dated one is among those of its pair."""
    listing = market.listing
    if not listing.expiry_ms:
        return "PERPETUAL"
    dated = sorted(m.listing.expiry_ms for m in markets if m.listing.pair == listing.pair and m.listing.expiry_ms)
    return "CURRENT_QUARTER" if listing.expiry_ms == dated[0] else "NEXT_QUARTER"


def filters(market: Market, product: Product) -> dict[str, dict[str, Any]]:
    """The symbol's filters by type; the listing's own win."""
    listing = market.listing
    tick, step = listing.tick_e8, listing.step_e8
    top = max(listing.price_e8 * 20, 1000 * SCALE) // tick * tick
    most = max(step, 40_000_000 * SCALE // listing.price_e8 * SCALE // step * step)
    if not product.linear:
        most = 1_000_000 * SCALE
    places = digits(step)
    rows: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": fixed(tick, digits(tick)),
            "maxPrice": fixed(top, digits(tick)),
            "tickSize": fixed(tick, digits(tick)),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": fixed(step, places),
            "maxQty": fixed(most, places),
            "stepSize": fixed(step, places),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": fixed(step, places),
            "maxQty": fixed(most // 4 // step * step, places),
            "stepSize": fixed(step, places),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.1500",
            "multiplierDown": "0.8500",
            "multiplierDecimal": "4",
        },
    ]
    if product.linear:
        rows.append({"filterType": "MIN_NOTIONAL", "notional": "5"})
        rows.append(
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"}
        )  # seen live, rule undocumented
    else:
        rows.append({"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 20})
    return {row["filterType"]: row for row in [*rows, *(dict(row) for row in listing.filters)]}


def symbol_row(market: Market, product: Product, markets: list[Market]) -> dict[str, Any]:
    """One symbol of `exchangeInfo`."""
    listing = market.listing
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "pair": listing.pair,
        "contractType": contract_type(market, markets),
        "deliveryDate": listing.expiry_ms or _NO_DELIVERY_MS,
        "onboardDate": 1_569_398_400_000,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.settle,
        "pricePrecision": digits(listing.tick_e8),
        "quantityPrecision": digits(listing.step_e8),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": text_e8(TRIGGER_PROTECT_E8)[:-4],
        "liquidationFee": text_e8(listing.takeover_e8)[:-2],
        "marketTakeBound": "0.05",
        "filters": list(filters(market, product).values()),
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
    if product.linear:
        return row | {"status": market.status, "settlePlan": 0, "timeInForce": [*row["timeInForce"], "GTD", "RPI"]}
    return row | {
        "contractStatus": market.status,
        "contractSize": listing.size_e8 // SCALE,
        "equalQtyPrecision": 4,
    }


class PublicAnswers:
    """One method per public call of the table."""

    def __init__(self, exchange: Exchange, product: Product) -> None:
        self._exchange, self._product = exchange, product

    def market(self, p: dict[str, Any], name: str = "symbol") -> Market:
        """The market a call names. Symbols in lower case are accepted by REST.

        Raises:
            VenueError: -1121.
        """
        market = self._exchange.markets.get(p[name].upper())
        if market is None:
            raise VenueError(-1121, "Invalid symbol.")
        return market

    def _chosen(self, p: dict[str, Any]) -> list[Market]:
        if "symbol" in p and "pair" in p:
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in p:
            return [self.market(p)]
        markets = list(self._exchange.markets.values())
        if "pair" in p:
            markets = [market for market in markets if market.listing.pair == p["pair"]]
            if not markets:
                raise VenueError(*((-4144, "Invalid pair.") if self._product.linear else (-4087, "Invalid pair.")))
        return markets

    def _each(self, p: dict[str, Any], row: Callable[[Market], dict[str, Any]]) -> Any:
        """One object for one symbol of USDⓈ-M; COIN-M answers with a list in any case."""
        rows = [row(market) for market in self._chosen(p)]
        return rows[0] if "symbol" in p and self._product.linear else rows

    def _pair(self, market: Market) -> dict[str, Any]:
        return {} if self._product.linear else {"pair": market.listing.pair}

    def ping(self, p: dict[str, Any]) -> Any:
        return {}

    def time(self, p: dict[str, Any]) -> Any:
        return {"serverTime": self._exchange.clock.now_ms()}

    def exchange_info(self, p: dict[str, Any]) -> Any:
        markets = list(self._exchange.markets.values())
        settings = self._exchange.settings
        limits = [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in (
                ("REQUEST_WEIGHT", "MINUTE", 1, settings.request_weight_per_minute),
                ("ORDERS", "MINUTE", 1, settings.orders_per_minute),
                ("ORDERS", "SECOND", 10, settings.orders_per_10s),
            )
        ]
        answer: dict[str, Any] = {
            "timezone": "UTC",
            "serverTime": self._exchange.clock.now_ms(),
            "futuresType": "U_MARGINED" if self._product.linear else "COIN_MARGINED",
            "rateLimits": limits,
            "exchangeFilters": [],
        }
        if self._product.linear:
            answer["assets"] = [
                {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
                for asset in dict.fromkeys(market.listing.settle for market in markets)
            ]
        return answer | {"symbols": [symbol_row(market, self._product, markets) for market in markets]}

    def depth(self, p: dict[str, Any]) -> Any:
        market, limit = self.market(p), p["limit"]
        if limit not in _DEPTHS:
            raise VenueError(-4021, f"Invalid depth limit {limit}.")
        exchange = self._exchange
        stale = exchange.plan.stale_snapshots.get(market.symbol)
        update_id, bids, asks = market.update_id, market.engine.bids(limit), market.engine.asks(limit)
        if stale is not None and stale[0].take(exchange.loop_s()):
            update_id = max(market.update_id - stale[1], market.log.first_id)
            bids, asks = (levels[:limit] for levels in market.log.at(update_id))
        now_ms = exchange.clock.now_ms()
        row: dict[str, Any] = {"lastUpdateId": update_id}
        if not self._product.linear:
            row |= {"symbol": market.symbol, "pair": market.listing.pair}
        return row | {
            "E": now_ms,
            "T": now_ms,
            "bids": [(price_text(market, ticks), size_text(market, lots)) for ticks, lots in bids],
            "asks": [(price_text(market, ticks), size_text(market, lots)) for ticks, lots in asks],
        }

    rpi_depth = depth

    def trades(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        return [self._trade_row(market, trade) for trade in market.recent(p["limit"])]

    def historical_trades(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        if "fromId" not in p:
            return self.trades(p)
        return [self._trade_row(market, trade) for trade in market.trades_from(p["fromId"], p["limit"])]

    def _trade_row(self, market: Market, trade: Trade) -> dict[str, Any]:
        worth = text_e8(value_e16(market.listing, trade.price * market.listing.tick_e8, trade.quantity) // SCALE)
        row: dict[str, Any] = {
            "id": trade.trade_id,
            "price": price_text(market, trade.price),
            "qty": size_text(market, trade.quantity),
            "quoteQty" if self._product.linear else "baseQty": worth,
            "time": trade.time_us // 1000,
            "isBuyerMaker": trade.buyer_is_maker,
        }
        return row | {"isRPITrade": False} if self._product.linear else row

    def agg_trades(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        now_ms = self._exchange.clock.now_ms()
        start, end = p.get("startTime"), p.get("endTime")
        if "fromId" in p and (start is not None or end is not None):
            raise VenueError(-1128, "Combination of optional parameters invalid.")
        if start is not None and end is not None and end < start:
            raise VenueError(-1023, "Start time is greater than end time.")
        if any(at is not None and at < now_ms - 48 * 3_600_000 for at in (start, end)):
            raise VenueError(-4166, "Search window is restricted to recent 48 hours only.")
        rows = market.aggregates(
            p["limit"],
            p.get("fromId"),
            None if start is None else start * 1000,
            None if end is None else end * 1000 + 999,
        )
        names = ("q", "nq") if self._product.linear else ("q",)
        return [
            {
                "a": entry.agg_id,
                "p": price_text(market, entry.price),
                **{name: size_text(market, entry.quantity) for name in names},
                "f": entry.first_id,
                "l": entry.last_id,
                "T": entry.time_us // 1000,
                "m": entry.buyer_is_maker,
            }
            for entry in rows
        ]

    # candles

    def klines(self, p: dict[str, Any]) -> Any:
        return self._klines(self.market(p), p, lambda market: market.bars(p["interval"]))

    def continuous_klines(self, p: dict[str, Any]) -> Any:
        markets = list(self._exchange.markets.values())
        for market in markets:
            if market.listing.pair == p["pair"] and contract_type(market, markets) == p["contractType"]:
                return self._klines(market, p, lambda market: market.bars(p["interval"]))
        raise VenueError(-4144 if self._product.linear else -4087, "Invalid pair.")

    def mark_price_klines(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        return self._klines(market, p, lambda market: self._smooth(market, market.marks.candles, p), bare=True)

    def index_price_klines(self, p: dict[str, Any]) -> Any:
        market = self._chosen({"pair": p["pair"]})[0]
        return self._klines(market, p, lambda market: self._smooth(market, market.marks.index_candles, p), bare=True)

    def premium_index_klines(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        marks, indexes = market.marks.candles.bars(p["interval"]), market.marks.index_candles.bars(p["interval"])
        rows = self._cut(marks, p)
        by_start = {bar.start: bar for bar in indexes}

        def premium(mark: int, index: int) -> str:
            return ("-" if mark < index else "") + text_e8(abs(mark - index) * SCALE // index)

        return [
            [
                bar.start,
                *(
                    premium(getattr(bar, name), getattr(by_start.get(bar.start, bar), name))
                    for name in ("open", "high", "low", "close")
                ),
                "0",
                bucket_end(p["interval"], bar.start) - 1,
                "0",
                bar.count,
                "0",
                "0",
                "0",
            ]
            for bar in rows
        ]

    def _smooth(self, market: Market, live: Candles, p: dict[str, Any]) -> list[Bar]:
        """Candles of a smoothed price; before the start it was the price itself."""
        live.roll(self._exchange.clock.now_ms())
        past, bars = market.past.bars(p["interval"]), live.bars(p["interval"])
        if past and past[-1].start == bars[0].start:
            joint = past[-1].copy()
            joint.merge(bars[0])
            bars[0] = joint
        return [*(bar for bar in past if bar.start < bars[0].start), *bars]

    def _cut(self, bars: list[Bar], p: dict[str, Any]) -> list[Bar]:
        start, end, limit = p.get("startTime"), p.get("endTime"), p["limit"]
        if start is not None and end is not None and end < start:
            raise VenueError(-1023, "Start time is greater than end time.")
        newest = start is None
        if not self._product.linear:
            span = 200 * _DAY_MS
            if start is not None and end is not None:
                if end - start > span:
                    raise VenueError(-4088, "Invalid time interval.")
                newest = True  # the newest rows, counted back from the end
            elif start is not None:
                end = start + span
        first = 0 if start is None else bisect_left(bars, start, key=lambda bar: bar.start)
        last = len(bars) if end is None else bisect_right(bars, end, key=lambda bar: bar.start)
        chosen = bars[first:last]
        return chosen[-limit:] if newest else chosen[:limit]

    def _klines(
        self, market: Market, p: dict[str, Any], bars: Callable[[Market], list[Bar]], *, bare: bool = False
    ) -> list[Any]:
        market.candles.roll(self._exchange.clock.now_ms())
        return [kline_row(market, p["interval"], bar, bare=bare) for bar in self._cut(bars(market), p)]

    # prices

    def premium_index(self, p: dict[str, Any]) -> Any:
        now_ms = self._exchange.clock.now_ms()

        def row(market: Market) -> dict[str, Any]:
            marks = market.marks
            funded = marks.funded
            empty = "0.00000000" if self._product.linear else ""
            return {
                "symbol": market.symbol,
                **self._pair(market),
                "markPrice": text_e8(marks.mark_e8),
                "indexPrice": text_e8(marks.index_e8),
                "estimatedSettlePrice": text_e8(marks.index_e8),
                "lastFundingRate": text_e8(marks.rate_e8) if funded else empty,
                "interestRate": "0.00010000" if funded else empty,
                "nextFundingTime": marks.next_us // 1000 if funded else 0,
                "time": now_ms,
            }

        return self._each(p, row)

    def funding_rate(self, p: dict[str, Any]) -> Any:
        if "symbol" not in p and not self._product.linear:
            raise VenueError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        start, end, limit = p.get("startTime"), p.get("endTime"), p["limit"]
        if start is not None and end is not None and end < start:
            raise VenueError(-1023, "Start time is greater than end time.")
        rows: list[dict[str, Any]] = []
        for market in self._chosen(p):
            begun_us = market.candles.started_ms * 1000
            for funding in [*market.marks.past(1000, begun_us), *market.marks.paid]:
                at_ms = funding.at_us // 1000
                if (start is None or at_ms >= start) and (end is None or at_ms <= end):
                    row = {
                        "symbol": market.symbol,
                        "fundingTime": at_ms,
                        "fundingRate": text_e8(funding.rate_e8),
                        "markPrice": text_e8(funding.mark_e8),
                    }
                    rows.append(row | {"rateType": "Regular"} if self._product.linear else row)
        rows.sort(key=lambda row: row["fundingTime"])
        return rows[:limit] if start is not None else rows[-limit:]

    def funding_info(self, p: dict[str, Any]) -> Any:
        return [
            {
                "symbol": market.symbol,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": market.listing.funding_h,
                "disclaimer": False,
                "updateTime": None,
            }
            for market in self._exchange.markets.values()
            if market.marks.funded
        ]

    def day_ticker(self, p: dict[str, Any]) -> Any:
        now_ms = self._exchange.clock.now_ms()

        def row(market: Market) -> dict[str, Any]:
            market.candles.roll(now_ms)
            total, _ = market.day(now_ms)
            change, percent, weighted = day_fields(market, total)
            newest = market.recent(1)
            volume = turnover(market, total.volume, total.quote)
            return {
                "symbol": market.symbol,
                **self._pair(market),
                "priceChange": change,
                "priceChangePercent": percent,
                "weightedAvgPrice": weighted,
                "lastPrice": price_text(market, total.close),
                "lastQty": size_text(market, newest[-1].quantity if newest else 0),
                "openPrice": price_text(market, total.open),
                "highPrice": price_text(market, total.high),
                "lowPrice": price_text(market, total.low),
                "volume": size_text(market, total.volume),
                "quoteVolume" if self._product.linear else "baseVolume": volume,
                "openTime": total.start,
                "closeTime": now_ms,
                "firstId": total.first_id,
                "lastId": total.last_id,
                "count": total.count,
            }

        return self._each(p, row)

    def price_ticker(self, p: dict[str, Any]) -> Any:
        now_ms = self._exchange.clock.now_ms()

        def row(market: Market) -> dict[str, Any]:
            pair = {} if self._product.linear else {"ps": market.listing.pair}
            return {"symbol": market.symbol, **pair, "price": price_text(market, market.price), "time": now_ms}

        return self._each(p, row)

    def book_ticker(self, p: dict[str, Any]) -> Any:
        now_ms = self._exchange.clock.now_ms()

        def row(market: Market) -> dict[str, Any]:
            bids, asks = market.engine.bids(1) or [(0, 0)], market.engine.asks(1) or [(0, 0)]
            known = {} if self._product.linear else {"lastUpdateId": market.update_id}
            return known | {
                "symbol": market.symbol,
                **self._pair(market),
                "bidPrice": price_text(market, bids[0][0]),
                "bidQty": size_text(market, bids[0][1]),
                "askPrice": price_text(market, asks[0][0]),
                "askQty": size_text(market, asks[0][1]),
                "time": now_ms,
            }

        return self._each(p, row)

    def open_interest(self, p: dict[str, Any]) -> Any:
        market = self.market(p)
        held = sum(
            abs(position.lots)
            for account in self._exchange.desk.accounts.values()
            for position in self._exchange.desk.clearing.holdings(account, market.symbol)
        )
        crowd = abs(self._exchange.desk.clearing.house.lots.get(market.symbol, 0))
        row: dict[str, Any] = {
            "symbol": market.symbol,
            "openInterest": size_text(market, (held + crowd) // 2),
            "time": self._exchange.clock.now_ms(),
        }
        if self._product.linear:
            return row
        kind = contract_type(market, list(self._exchange.markets.values()))
        return row | {"pair": market.listing.pair, "contractType": kind}


def kline_row(market: Market, interval: str, bar: Bar, *, bare: bool = False) -> list[Any]:
    """A candle; `bare` ones have no volume."""

    def amount(text: str) -> str:
        return "0" if bare else text

    return [
        bar.start,
        price_text(market, bar.open),
        price_text(market, bar.high),
        price_text(market, bar.low),
        price_text(market, bar.close),
        amount(size_text(market, bar.volume)),
        bucket_end(interval, bar.start) - 1,
        amount(turnover(market, bar.volume, bar.quote)),
        bar.count,
        amount(size_text(market, bar.buy)),
        amount(turnover(market, bar.buy, bar.buy_quote)),
        "0",
    ]
