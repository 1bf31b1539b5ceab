"""Answer public REST calls from the live markets.

One method per call of the endpoint table: checked parameters in, a value for JSON out; nothing is changed. Fields and types:
the venue's V5 market pages, read 2026-11. A simulator serves one product; of the others it lists nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from connector.simulator.accounts import Account, AccountOrder
from connector.simulator.candles import Bar, bucket_end
from connector.simulator.dialects.bybit.rest import INTERVALS, Params, VenueError, trouble
from connector.simulator.dialects.bybit.rules import Rules, instrument_row
from connector.simulator.dialects.bybit.text import Ids, Numbers, fixed, fraction, plain
from connector.simulator.exchange import Exchange
from connector.simulator.history import Trade
from connector.simulator.instruments import SCALE
from connector.simulator.margin import Holding, value_e16
from connector.simulator.market import Market

if TYPE_CHECKING:
    from connector.simulator.dialects.bybit.streams import Streams

__all__ = ["Answers", "Board", "kline_texts", "ticker_fields"]

_OPEN_INTEREST_MS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}


class Sums:
    """What the fills of one order come to, added up as they come, in 1e-8; `quote` is in ticks times lots."""

    __slots__ = ("_lots", "_seen", "after", "fees", "quote", "realised")

    def __init__(self) -> None:
        self._seen = self._lots = self.quote = self.realised = 0
        self.fees: dict[str, int] = {}
        self.after: dict[int, tuple[int, int, int]] = {}
        """How the order stood at a trade: lots it was for, lots left behind it, its price in ticks (0: none)."""

    def follow(self, order: AccountOrder) -> None:
        """Count the fills that are new."""
        new = order.new
        price = (new.price if new.price is not None else new.worst) or 0
        for fill in order.fills[self._seen :]:
            self._lots += fill.lots
            self.after[fill.trade_id] = (order.lots, max(0, order.lots - self._lots), price)
            self.quote += fill.price * fill.lots
            self.realised += fill.realised_e8
            self.fees[fill.commission_asset] = self.fees.get(fill.commission_asset, 0) + fill.commission_e8
        self._seen = len(order.fills)


class Earned:
    """What an account's contracts have brought or cost, added up as it comes, in 1e-8: profit, commission, funding."""

    def __init__(self, account: Account) -> None:
        self._account, self._seen = account, 0
        self.symbols: dict[str, int] = {}
        self.assets: dict[str, int] = {}
        self._before: dict[tuple[str, str], tuple[int, int]] = {}

    def follow(self) -> None:
        """Count what is new."""
        incomes = self._account.incomes
        for row in incomes[self._seen :]:
            if row.kind in ("realised", "commission", "funding", "delivery"):
                self.symbols[row.symbol] = self.symbols.get(row.symbol, 0) + row.amount_e8
                self.assets[row.asset] = self.assets.get(row.asset, 0) + row.amount_e8
        self._seen = len(incomes)

    def of(self, held: Holding) -> tuple[int, int]:
        """(all there ever was of the position's symbol, what came since it was opened)."""
        symbol = held.market.symbol
        total = self.symbols.get(symbol, 0)
        if not held.lots:
            return total, 0
        opened_us, before = self._before.get((symbol, held.side), (-1, 0))
        if opened_us != held.opened_us:
            earlier = (row for row in self._account.incomes if row.symbol == symbol and row.at_us < held.opened_us)
            before = sum(row.amount_e8 for row in earlier if row.kind not in ("insurance", "transfer"))
            self._before[symbol, held.side] = held.opened_us, before
        return total, total - before


class Board:
    """What every part of the dialect needs of its markets: numbers, rules, ids."""

    def __init__(self, exchange: Exchange, category: str) -> None:
        self.exchange, self.category = exchange, category
        self.ids = Ids(category)
        self.closed: dict[tuple[str, int, int], int] = {}
        """Lots of a position that a fill closed, by symbol, order and trade; noted when it was told."""
        self._sums: dict[tuple[str, int], Sums] = {}
        self._earned: dict[str, Earned] = {}
        self._numbers = {symbol: Numbers(market.listing) for symbol, market in exchange.markets.items()}
        self._places = {symbol: place for place, symbol in enumerate(exchange.markets)}
        self._rules = {symbol: Rules.of(market.listing) for symbol, market in exchange.markets.items()}

    def sums(self, order: AccountOrder) -> Sums:
        """What the fills of an order come to."""
        key = order.market.symbol, order.order_id
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = Sums()
        found.follow(order)
        return found

    def earned(self, account: Account) -> Earned:
        """What an account's contracts have brought."""
        found = self._earned.get(account.name)
        if found is None:
            found = self._earned[account.name] = Earned(account)
        found.follow()
        return found

    @property
    def derivative(self) -> bool:
        """Contracts, not coins."""
        return self.category != "spot"

    def number(self, market: Market, ident: int) -> int:
        """A number for something of a market that no other market's things have."""
        return ident * len(self._places) + self._places[market.symbol]

    def numbers(self, market: Market) -> Numbers:
        """How the market prints its prices and sizes."""
        return self._numbers[market.symbol]

    def rules(self, market: Market) -> Rules:
        """What the market allows."""
        return self._rules[market.symbol]

    def dollars_e8(self, coin: str) -> int:
        """What one coin is worth in dollars, in 1e-8; 0 when no market of this simulator says."""
        if coin in ("USDT", "USDC", "USD"):
            return SCALE
        for unit in ("USDT", "USDC", "USD"):
            market = self.exchange.markets.get(coin + unit)
            if market is not None:
                return market.price * market.listing.tick_e8
        return 0

    def value_e8(self, market: Market, price: int, lots: int) -> int:
        """What so many lots are worth at a price in ticks: quote units, or base units of an inverse contract."""
        price_e8 = price * market.listing.tick_e8
        if market.listing.is_contract:
            return value_e16(market.listing, price_e8, lots) // SCALE if price_e8 else 0
        return lots * market.listing.step_e8 * price_e8 // SCALE


class Answers:
    """One method per public call."""

    def __init__(self, board: Board, streams: Streams) -> None:
        self._board, self._streams = board, streams
        self._exchange = board.exchange
        self._started_ms = board.exchange.clock.now_ms()

    def time(self, p: Params) -> Any:
        now_ns = self._exchange.clock.now_ns()
        return {"timeSecond": str(now_ns // 10**9), "timeNano": str(now_ns)}

    def instruments_info(self, p: Params) -> Any:
        category, symbol, base = p.category(), p.text("symbol"), p.text("baseCoin")
        status = p.text("status", "Trading")
        limit, cursor = p.whole("limit", 500, 1, 1000), unquote(p.text("cursor"))
        rows = []
        for number, market in enumerate(self._markets(category), 1):
            row = instrument_row(market, number, self._started_ms)
            named = symbol in ("", market.symbol) and base in ("", market.listing.base)
            if named and (symbol or row["status"] == status):
                rows.append(row)
        if symbol and not rows:
            raise VenueError(10001, "params error: symbol invalid")
        if category == "spot":
            return {"category": category, "list": rows}
        if cursor:
            names = [row["symbol"] for row in rows]
            after = cursor.rpartition("last=")[2]
            rows = rows[names.index(after) + 1 :] if after in names else []
        page, more = rows[:limit], len(rows) > limit
        token = quote(f"first={page[0]['symbol']}&last={page[-1]['symbol']}") if more else ""
        return {"category": category, "list": page, "nextPageCursor": token}

    def kline(self, p: Params) -> Any:
        category, market = self._named(p, default="linear")
        numbers = self._board.numbers(market)
        rows = [
            [str(bar.start), *kline_texts(self._board, market, numbers, bar)]
            for bar in self._chosen(market.bars(self._interval(market, p)), p)
        ]
        return {"category": category, "symbol": market.symbol, "list": rows}

    def mark_price_kline(self, p: Params) -> Any:
        return self._price_kline(p, "candles")

    def index_price_kline(self, p: Params) -> Any:
        return self._price_kline(p, "index_candles")

    def _price_kline(self, p: Params, which: str) -> Any:
        category, market = self._named(p, default="linear")
        if not self._board.derivative:
            raise VenueError(10001, "params error: category invalid")
        interval, numbers = self._interval(market, p), self._board.numbers(market)
        candles = getattr(market.marks, which)
        candles.roll(self._exchange.clock.now_ms())
        live = candles.bars(interval)
        past = [bar for bar in market.past.bars(interval) if bar.start < live[0].start]
        price = numbers.price
        rows = [
            [str(bar.start), price(bar.open), price(bar.high), price(bar.low), price(bar.close)]
            for bar in self._chosen([*past, *live], p)
        ]
        return {"category": category, "symbol": market.symbol, "list": rows}

    def _interval(self, market: Market, p: Params) -> str:
        interval = INTERVALS.get(p.need("interval"))
        if interval is None:
            raise VenueError(10001, "params error: interval invalid")
        market.candles.roll(self._exchange.clock.now_ms())
        return interval

    def _chosen(self, bars: list[Bar], p: Params) -> list[Bar]:
        """Newest first: from `start` on, up to `end` (both included), or the newest."""
        limit = p.limit(200, 1000)
        first = bisect_left(bars, p.whole("start", 0), key=_start)
        last = bisect_right(bars, p.whole("end", 2**53), key=_start)
        bars = bars[first:last]
        return (bars[:limit] if "start" in p and "end" not in p else bars[-limit:])[::-1]

    def orderbook(self, p: Params) -> Any:
        category, market = self._named(p)
        limit = p.limit(1 if category == "spot" else 25, 1000)
        book = self._streams.deepest(market)
        bids, asks, seq, u = book.best_bids(limit), book.best_asks(limit), book.seq, book.u
        stale = self._exchange.plan.stale_snapshots.get(market.symbol)
        if stale is not None and stale[0].take(self._exchange.loop_s()):
            old = max(market.update_id - stale[1], market.log.first_id)
            u, seq = max(2, u - (seq - old)), old
            bids, asks = (levels[:limit] for levels in market.log.at(old))
        numbers = self._board.numbers(market)
        now_ms = self._exchange.clock.now_ms()
        return {
            "s": market.symbol,
            "b": [(numbers.price(ticks), numbers.size(lots)) for ticks, lots in bids],
            "a": [(numbers.price(ticks), numbers.size(lots)) for ticks, lots in asks],
            "ts": now_ms,
            "u": u,
            "seq": seq,
            "cts": min(now_ms, book.changed_ms),
        }

    def recent_trade(self, p: Params) -> Any:
        category, market = self._named(p)
        limit = p.limit(60, 60) if category == "spot" else p.limit(500, 1000)
        return {"category": category, "list": [self._trade_row(market, t) for t in reversed(market.recent(limit))]}

    def _trade_row(self, market: Market, trade: Trade) -> dict[str, Any]:
        numbers = self._board.numbers(market)
        return {
            "execId": self._board.ids.execution(market.symbol, trade.trade_id),
            "symbol": market.symbol,
            "price": numbers.price(trade.price),
            "size": numbers.size(trade.quantity),
            "side": "Sell" if trade.buyer_is_maker else "Buy",
            "time": str(trade.time_us // 1000),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade.agg_id),
        }

    def tickers(self, p: Params) -> Any:
        category, symbol, base = p.category(), p.text("symbol"), p.text("baseCoin")
        if symbol:
            chosen = [self._named(p)[1]]
        else:
            chosen = [market for market in self._markets(category) if base in ("", market.listing.base)]
        rows = []
        for market in chosen:
            row = ticker_fields(self._board, market, self._exchange.clock.now_ms())
            numbers = self._board.numbers(market)
            row |= best_fields(numbers, market)
            if self._board.derivative:
                row |= {"basis": "", "preOpenPrice": "", "preQty": "", "curPreListingPhase": ""}
                dated = bool(market.listing.expiry_ms)
                row["deliveryTime"] = str(market.listing.expiry_ms)
                row["deliveryFeeRate"] = "0.0005" if dated else ""
                row["predictedDeliveryPrice"] = row["basisRate"] = row["basisRateYear"] = ""
                if dated:
                    row["predictedDeliveryPrice"] = row["markPrice"]
                    row["basisRate"] = row["basisRateYear"] = "0.00010000"
            rows.append(row)
        return {"category": category, "list": rows}

    def funding_history(self, p: Params) -> Any:
        category, market = self._named(p)
        self._only_contracts(p)
        if "startTime" in p and "endTime" not in p:
            raise VenueError(10001, "params error: endTime is required with startTime")
        limit = p.limit(200, 200)
        first, last = p.whole("startTime", 0), p.whole("endTime", self._exchange.clock.now_ms())
        marks = market.marks
        rows = [*marks.past(limit, self._started_ms * 1000), *marks.paid]
        chosen = [row for row in rows if first <= row.at_us // 1000 <= last][-limit:]
        return {
            "category": category,
            "list": [
                {
                    "symbol": market.symbol,
                    "fundingRate": plain(row.rate_e8),
                    "fundingRateTimestamp": str(row.at_us // 1000),
                }
                for row in reversed(chosen)
            ],
        }

    def open_interest(self, p: Params) -> Any:
        category, market = self._named(p)
        self._only_contracts(p)
        length = _OPEN_INTEREST_MS.get(p.need("intervalTime"))
        if length is None:
            raise VenueError(10001, "params error: intervalTime invalid")
        limit = p.limit(50, 200)
        now_ms = self._exchange.clock.now_ms()
        last = min(p.whole("endTime", now_ms), now_ms) // length * length
        if "cursor" in p:
            last = int(unquote(p.text("cursor")).rpartition("=")[2] or 0)
        first = p.whole("startTime", last - limit * length + 1)
        lots = open_interest(market)
        times = list(range(last, max(first - 1, last - limit * length), -length))
        more = bool(times) and times[-1] - length >= first
        numbers = self._board.numbers(market)
        rows = [
            {
                "openInterest": numbers.size(lots * 2),
                "singleOpenInterest": numbers.size(lots),
                "timestamp": str(at),
            }
            for at in times
        ]
        token = quote(f"lasttime={times[-1] - length}") if more else ""
        return {"symbol": market.symbol, "category": category, "list": rows, "nextPageCursor": token}

    def risk_limit(self, p: Params) -> Any:
        category = p.category()
        self._only_contracts(p)
        markets = [self._named(p)[1]] if "symbol" in p else self._markets(category)
        rows = [
            {
                "id": number,
                "symbol": market.symbol,
                "riskLimitValue": plain(bracket.cap_e8),
                "maintenanceMargin": plain(bracket.rate_e8),
                "initialMargin": plain(SCALE // bracket.leverage),
                "isLowestRisk": int(number == 1),
                "maxLeverage": f"{bracket.leverage}.00",
                "mmDeduction": plain(bracket.cut_e8) if bracket.cut_e8 else "",
            }
            for market in markets
            for number, bracket in enumerate(market.listing.brackets, 1)
        ]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    def price_limit(self, p: Params) -> Any:
        _, market = self._named(p, default="linear")
        numbers = self._board.numbers(market)
        low, high = self._board.rules(market).bounds(market)
        now_ms = self._exchange.clock.now_ms()
        return {
            "symbol": market.symbol,
            "buyLmt": numbers.price(high),
            "sellLmt": numbers.price(low),
            "ts": str(now_ms),
        }

    def system_status(self, p: Params) -> Any:
        return {"list": []}

    def _markets(self, category: str) -> list[Market]:
        return list(self._exchange.markets.values()) if category == self._board.category else []

    def _named(self, p: Params, default: str = "") -> tuple[str, Market]:
        category = p.category() if "category" in p or not default else default
        if not category:
            raise VenueError(10001, "Illegal category")
        market = self._exchange.markets.get(p.need("symbol")) if category == self._board.category else None
        if market is None:
            raise VenueError(10001, "Not supported symbols")
        return category, market

    def _only_contracts(self, p: Params) -> None:
        if not self._board.derivative:
            raise trouble(10001)


def _start(bar: Bar) -> int:
    return bar.start


def kline_end_ms(interval: str, start_ms: int) -> int:
    """The last millisecond of a candle."""
    return bucket_end(interval, start_ms) - 1


def turnover_e8(board: Board, market: Market, bar: Bar) -> int:
    """What was traded in a bar: in the quote asset, or of inverse contracts in the base asset at the bar's average price."""
    listing = market.listing
    quote = bar.quote * listing.tick_e8 * listing.step_e8 // SCALE
    if board.category != "inverse":
        return quote
    units = bar.volume * listing.step_e8
    return units * units // quote if quote else 0


def kline_texts(board: Board, market: Market, numbers: Numbers, bar: Bar) -> tuple[str, ...]:
    """Open, high, low, close, volume, turnover of a candle."""
    price = numbers.price
    return (
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        numbers.size(bar.volume),
        plain(turnover_e8(board, market, bar)),
    )


def best_fields(numbers: Numbers, market: Market) -> dict[str, str]:
    """The best of both sides; nothing where a side is empty."""
    bids, asks = market.engine.bids(1), market.engine.asks(1)
    return {
        "bid1Price": numbers.price(bids[0][0]) if bids else "",
        "bid1Size": numbers.size(bids[0][1]) if bids else "",
        "ask1Price": numbers.price(asks[0][0]) if asks else "",
        "ask1Size": numbers.size(asks[0][1]) if asks else "",
    }


def open_interest(market: Market) -> int:
    """How many lots the crowd holds on one side: a figure of its own, as nobody counts the crowd's positions."""
    return max(1, 40_000_000 * SCALE * SCALE // (market.listing.price_e8 * market.listing.step_e8))


def ticker_fields(board: Board, market: Market, now_ms: int) -> dict[str, str]:
    """What REST and the streams both say about the last day, and about a contract."""
    market.candles.roll(now_ms)
    total, before = market.day(now_ms)
    numbers, listing = board.numbers(market), market.listing
    price = numbers.price
    row = {
        "symbol": market.symbol,
        "lastPrice": price(total.close),
        "prevPrice24h": price(before),
        "price24hPcnt": fraction(total.close - before, before),
        "highPrice24h": price(total.high),
        "lowPrice24h": price(total.low),
        "turnover24h": plain(turnover_e8(board, market, total)),
        "volume24h": fixed(total.volume * listing.step_e8, numbers.size_places),
    }
    if not board.derivative:
        dollars = board.dollars_e8(listing.base)
        return row | {"usdIndexPrice": fixed(dollars, 8) if dollars else ""}
    marks = market.marks
    _, before_hour = market.window(now_ms - 3_600_000)
    lots = open_interest(market)
    value = board.value_e8(market, max(1, marks.mark_e8 // listing.tick_e8), lots)
    perpetual = not listing.expiry_ms
    row |= {
        "prevPrice1h": price(before_hour),
        "markPrice": numbers.price_e8(marks.mark_e8),
        "indexPrice": numbers.price_e8(marks.index_e8),
        "openInterest": numbers.size(lots * 2),
        "openInterestValue": fixed(value * 2, 4),
        "singleOpenInterest": numbers.size(lots),
        "singleOpenInterestValue": fixed(value, 4),
        "fundingRate": plain(marks.rate_e8) if perpetual else "",
        "nextFundingTime": str(marks.next_us // 1000) if perpetual else "",
    }
    if perpetual:
        row |= {"fundingIntervalHour": str(listing.funding_h), "fundingCap": "0.00375"}
    return row
