"""Binance futures' public REST questions: requests out, answers in, refusals classed by what the caller must do.

As on spot: bounds are checked before anything is sent, answers are taken whole or not at all, and list entries of instruments
not in the table are left out. Quantities of COIN-M are contracts on the wire and base units here, so its answers are read with
the instrument table.

Two answers are shaped by how the question is asked. COIN-M counts candles back from the end, so a question with a start
always names an end no further away than one page; a range of more than the 200 days it answers at once is refused here.
Aggregate trades may be asked for between two times less than an hour apart; a wider range is asked for by its start, and what
lies past its end is left out here.

Never sends, waits, retries or reads a clock. Source: venue API docs, "Market Data Endpoints", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from connector.domain.contracts import notional
from connector.domain.instruments import Instrument, InstrumentTable
from connector.domain.market import (
    AggTrade,
    BookTicker,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    OrderBook,
    Price,
    Side,
    Ticker,
    Trade,
)
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.binance import checks
from connector.drivers.binance import facts as spot_facts
from connector.drivers.binance import wire as spot_wire
from connector.drivers.binance.facts import Reaction
from connector.drivers.binance.failures import raise_unknown
from connector.drivers.binance.futures import facts, wire
from connector.drivers.binance.futures.facts import Futures
from connector.drivers.binance.futures.failures import failure, used
from connector.drivers.binance.futures.instruments import read_venue, require, wire_name
from connector.drivers.binance.futures.sizes import base, contracts, levels
from connector.drivers.binance.rest import percent_encoded
from connector.errors import ConnectorBug, ConnectorError, InvalidRequest, Unsupported, VenueRejected, WireFormatError

__all__ = ["Question", "Rest", "price_or_none", "questions", "rate"]

_Params = list[tuple[str, str]]
_Table = InstrumentTable | None
_ListQuery = TickersQuery | BookTickersQuery | PricesQuery | MarkPricesQuery
_Row = TypeVar("_Row", wire.TickerRow, wire.BookTickerRow, wire.PriceRow, wire.MarkRow)

# ---------------------------------------------------------------- one question each: (parameters, weight)

_Ask = Callable[[Futures, Any], tuple[_Params, int]]


def _ask_nothing(futures: Futures, query: Query) -> tuple[_Params, int]:
    return [], 1


def _symbol(futures: Futures, query: Any) -> _Params:
    return [("symbol", wire_name(futures)(query.symbol))]


def _weight(steps: Sequence[tuple[int, int]], rows: int) -> int:
    return next(weight for most, weight in steps if rows <= most)


def _ask_candles(futures: Futures, query: CandlesQuery) -> tuple[_Params, int]:
    step_ms = facts.INTERVALS.get(query.interval)
    if step_ms is None:
        raise InvalidRequest(
            f"interval {query.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters: 1m is a minute, 1M a month."
        )
    limit = checks.limit(futures.venue, query.limit, facts.CANDLE_LIMIT)
    times = dict(checks.time_range(futures.venue, query.start_ns, query.end_ns))
    if futures.contracts and "startTime" in times:
        if int(times.get("endTime", "0")) - int(times["startTime"]) >= facts.WINDOW_MS:
            raise InvalidRequest(
                f"{futures.title} answers 200 days of candles at once. Ask for a shorter range: of a longer one an answer with "
                "nothing in it would prove nothing."
            )
        last = int(times["startTime"]) + min(limit * step_ms, facts.WINDOW_MS) - 1
        times["endTime"] = str(min(last, int(times.get("endTime", last))))
    params = [*_symbol(futures, query), ("interval", query.interval), *times.items(), ("limit", str(limit))]
    return params, _weight(facts.CANDLE_WEIGHTS, limit)


def _ask_recent_trades(futures: Futures, query: RecentTradesQuery) -> tuple[_Params, int]:
    limit = checks.limit(futures.venue, query.limit, facts.TRADE_LIMIT)
    return [*_symbol(futures, query), ("limit", str(limit))], 5


def _ask_agg_trades(futures: Futures, query: AggTradesQuery) -> tuple[_Params, int]:
    params = _symbol(futures, query)
    times = checks.time_range(futures.venue, query.start_ns, query.end_ns)
    if query.from_id is not None:
        if times:
            raise InvalidRequest("aggregate trades are asked for by from_id or by start_ns and end_ns, not by both.")
        params.append(("fromId", str(checks.whole(futures.venue, "from_id", query.from_id, 0, checks.LARGEST_ID))))
    if len(times) == 2 and int(times[1][1]) - int(times[0][1]) >= facts.AGG_WINDOW_MS:
        times.pop()
    limit = checks.limit(futures.venue, query.limit, facts.TRADE_LIMIT)
    return [*params, *times, ("limit", str(limit))], 20


def _ask_depth(futures: Futures, query: DepthQuery) -> tuple[_Params, int]:
    """The venue has seven depths: the next deeper one is asked for, and cut to what was wanted when it is read."""
    wanted = checks.limit(futures.venue, query.limit, facts.DEPTH_LIMITS[-1])
    limit = next(offered for offered in facts.DEPTH_LIMITS if wanted <= offered)
    return [*_symbol(futures, query), ("limit", str(limit))], _weight(facts.DEPTH_WEIGHTS, limit)


def _ask_list(one: int, every: int) -> _Ask:
    """Lists are of one symbol or of all: several are picked from all."""

    def ask(futures: Futures, query: _ListQuery) -> tuple[_Params, int]:
        names = {wire_name(futures)(symbol) for symbol in query.symbols}
        if len(names) == 1:
            return [("symbol", names.pop())], one
        return [], every

    return ask


def _ask_marks(futures: Futures, query: MarkPricesQuery) -> tuple[_Params, int]:
    return _ask_list(10 if futures.contracts else 1, 10)(futures, query)


def _ask_funding(futures: Futures, query: FundingRatesQuery) -> tuple[_Params, int]:
    times = checks.time_range(futures.venue, query.start_ns, query.end_ns)
    limit = checks.limit(futures.venue, query.limit, facts.FUNDING_LIMIT)
    return [*_symbol(futures, query), *times, ("limit", str(limit))], 1


def _ask_open_interest(futures: Futures, query: OpenInterestQuery) -> tuple[_Params, int]:
    return _symbol(futures, query), 1


# ---------------------------------------------------------------- one answer each

_TIME = msgspec.json.Decoder(spot_wire.TimeAnswer)
_DEPTH = msgspec.json.Decoder(wire.DepthAnswer)
_TRADES = msgspec.json.Decoder(list[wire.TradeRow])
_AGG_TRADES = msgspec.json.Decoder(list[wire.AggTradeRow])
_CANDLES = msgspec.json.Decoder(list[spot_wire.CandleRow])
_FUNDING = msgspec.json.Decoder(list[wire.FundingRow])
_OPEN_INTEREST = msgspec.json.Decoder(wire.OpenInterestAnswer)
# One symbol is answered by an object or by a list of one, depending on the product and the call: both are read.
_TICKERS = msgspec.json.Decoder(wire.TickerRow | list[wire.TickerRow])
_BOOK_TICKERS = msgspec.json.Decoder(wire.BookTickerRow | list[wire.BookTickerRow])
_PRICES = msgspec.json.Decoder(wire.PriceRow | list[wire.PriceRow])
_MARKS = msgspec.json.Decoder(wire.MarkRow | list[wire.MarkRow])


def rate(text: str) -> Decimal:
    """A number that may have a sign and that the venue writes as text which may also be empty: hence not decoded as one.

    Raises:
        ValueError: it is no number in range.
    """
    try:
        value = Decimal(text)
    except InvalidOperation as problem:
        raise ValueError(f"{text!r:.40} is no number") from problem
    if not text.isascii() or "_" in text or not spot_wire.is_amount(value.copy_abs()):
        raise ValueError(f"number {text:.40} is out of range")
    return value


def price_or_none(text: str) -> Decimal | None:
    """A price that may be "" or 0 where there is none."""
    if not text:
        return None
    value = rate(text)
    if value < 0:
        raise ValueError(f"price {text:.40} is negative")
    return value or None


def _ns(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms * NS_PER_MS


def _sized(futures: Futures, symbol: Symbol, table: _Table) -> Instrument | None:
    """The instrument, only where sizes have to be converted."""
    return require(futures, symbol, table) if futures.contracts else None


def _base(instrument: Instrument | None, counted: Decimal, price: Decimal) -> Decimal:
    return counted if instrument is None else base(instrument, counted, price)


def _counted(instrument: Instrument | None, counted: Decimal) -> Decimal | None:
    return None if instrument is None else contracts(instrument, counted)


def _read_time(futures: Futures, query: ServerTimeQuery, response: HttpResponse, table: _Table) -> int:
    return spot_wire.decode("server time", _TIME, response.body).serverTime * NS_PER_MS


def _read_instruments(futures: Futures, query: InstrumentsQuery, response: HttpResponse, table: _Table) -> Any:
    return read_venue(futures, response.body)


def _read_candles(futures: Futures, query: CandlesQuery, response: HttpResponse, table: _Table) -> tuple[Candle, ...]:
    """On COIN-M the volume column counts contracts, and the one after it base units."""
    instrument = _sized(futures, query.symbol, table)
    rows = spot_wire.decode("candles", _CANDLES, response.body)
    checks.ascending("candles", response, [row.open_time for row in rows])
    settled_ms = (checks.answered_ns(response) - spot_facts.CANDLE_SETTLES_NS) // NS_PER_MS
    last = len(rows) - 1
    candles = []
    for index, row in enumerate(rows):
        prices = (row.open, row.high, row.low, row.close)
        amounts = (row.volume, row.quote_volume, row.taker_buy_volume, row.taker_buy_quote_volume)
        checks.check("candles", response, row, prices, positive=row.trade_count > 0)
        checks.check("candles", response, row, amounts, positive=False)
        volume, quote_volume, taker, taker_quote = amounts
        if instrument is not None:
            volume, quote_volume = quote_volume, notional(instrument, volume, row.close)
            taker, taker_quote = taker_quote, notional(instrument, taker, row.close)
        candles.append(
            Candle(
                futures.venue,
                query.symbol,
                None,
                response.received_ns,
                query.interval,
                row.open_time * NS_PER_MS,
                row.close_time * NS_PER_MS,
                row.open,
                row.high,
                row.low,
                row.close,
                volume,
                index < last or row.close_time < settled_ms,
                quote_volume,
                row.trade_count,
                taker,
                taker_quote,
            )
        )
    return tuple(candles)


def _side(buyer_is_maker: bool) -> Side:
    return Side.SELL if buyer_is_maker else Side.BUY


def _read_trades(
    futures: Futures, query: RecentTradesQuery, response: HttpResponse, table: _Table
) -> tuple[Trade, ...]:
    """Trades of the insurance fund and of deleveraging are not among them, so ids may be missing."""
    instrument = _sized(futures, query.symbol, table)
    rows = spot_wire.decode("trades", _TRADES, response.body)
    checks.ascending("trades", response, [row.id for row in rows])
    for row in rows:
        checks.check("trades", response, row, (row.price, row.qty), positive=True)
    return tuple(
        Trade(
            futures.venue,
            query.symbol,
            row.time * NS_PER_MS,
            response.received_ns,
            row.id,
            row.price,
            _base(instrument, row.qty, row.price),
            _side(row.is_buyer_maker),
            contracts=_counted(instrument, row.qty),
        )
        for row in rows
    )


def _read_agg_trades(
    futures: Futures, query: AggTradesQuery, response: HttpResponse, table: _Table
) -> tuple[AggTrade, ...]:
    instrument = _sized(futures, query.symbol, table)
    rows = spot_wire.decode("aggregate trades", _AGG_TRADES, response.body)
    checks.ascending("aggregate trades", response, [row.a for row in rows])
    for row in rows:
        checks.check("aggregate trades", response, row, (row.p, row.q), positive=True)
        if row.l < row.f:
            raise checks.bad("aggregate trades", f"trades {row.f} to {row.l} run backwards", response)
    return tuple(
        AggTrade(
            futures.venue,
            query.symbol,
            row.T * NS_PER_MS,
            response.received_ns,
            row.a,
            row.p,
            _base(instrument, row.q, row.p),
            _side(row.m),
            row.f,
            row.l,
            contracts=_counted(instrument, row.q),
        )
        for row in rows
        if query.end_ns is None or query.end_ns >= row.T * NS_PER_MS
    )


def _read_depth(futures: Futures, query: DepthQuery, response: HttpResponse, table: _Table) -> OrderBook:
    instrument = _sized(futures, query.symbol, table)
    answer = spot_wire.decode("depth", _DEPTH, response.body)
    problem = spot_wire.ladder_problem(answer.bids, answer.asks)
    if problem is not None:
        raise checks.bad("depth", problem, response)
    bids, asks = answer.bids[: query.limit], answer.asks[: query.limit]
    if instrument is not None:
        written = levels(instrument)
        bids, asks = written(bids), written(asks)
    return OrderBook(futures.venue, query.symbol, _ns(answer.E), response.received_ns, answer.lastUpdateId, bids, asks)


def _rows(
    futures: Futures,
    kind: str,
    query: _ListQuery,
    response: HttpResponse,
    table: _Table,
    decoder: msgspec.json.Decoder[_Row | list[_Row]],
) -> list[tuple[Symbol, _Row]]:
    """Rows with their symbols: in the order asked; of everything, those the table lists."""
    told = spot_wire.decode(kind, decoder, response.body)
    by_name = {row.symbol: row for row in (told if isinstance(told, list) else [told])}
    if query.symbols:
        found = []
        for symbol in query.symbols:
            name = wire_name(futures)(symbol)
            row = by_name.get(name)
            if row is None:
                if table is not None:
                    table.require(symbol)
                raise checks.bad(
                    kind, f"{name} was asked for and is not in the answer; it may not be trading", response
                )
            found.append((symbol, row))
        return found
    if table is None:
        raise InvalidRequest(f"{kind} of everything need the instrument table. Ask for the instruments first.")
    listed = ((table.by_name(name), row) for name, row in by_name.items())
    return [(instrument.symbol, row) for instrument, row in listed if instrument is not None]


def _read_tickers(futures: Futures, query: TickersQuery, response: HttpResponse, table: _Table) -> tuple[Ticker, ...]:
    """These statistics hold no best prices. On COIN-M they count contracts, with the base units beside them."""
    tickers = []
    for symbol, row in _rows(futures, "tickers", query, response, table, _TICKERS):
        instrument = _sized(futures, symbol, table)
        beside = row.base_volume if futures.contracts else row.quote_volume
        if beside is None:
            raise checks.bad("tickers", f"{row.symbol} has no volume in the other unit", response)
        signed = (abs(row.price_change), abs(row.price_change_percent))
        prices = (row.last_price, row.open_price, row.high_price, row.low_price, row.weighted_avg_price)
        amounts = (row.last_qty, row.volume, beside)
        checks.check("tickers", response, row, (*prices, *amounts, *signed), positive=False)
        volume, quote_volume = row.volume, beside
        if instrument is not None:
            volume, quote_volume = beside, notional(instrument, row.volume, row.last_price)
        tickers.append(
            Ticker(
                futures.venue,
                symbol,
                row.close_time * NS_PER_MS,
                response.received_ns,
                row.last_price,
                None,
                None,
                None,
                None,
                row.open_price,
                row.high_price,
                row.low_price,
                volume,
                quote_volume,
                _base(instrument, row.last_qty, row.last_price),
                row.weighted_avg_price,
                row.price_change,
                row.price_change_percent,
                row.count,
                row.open_time * NS_PER_MS,
                row.close_time * NS_PER_MS,
            )
        )
    return tuple(tickers)


def _read_book_tickers(
    futures: Futures, query: BookTickersQuery, response: HttpResponse, table: _Table
) -> tuple[BookTicker, ...]:
    tickers = []
    for symbol, row in _rows(futures, "book tickers", query, response, table, _BOOK_TICKERS):
        instrument = _sized(futures, symbol, table)
        numbers = (row.bid_price, row.bid_qty, row.ask_price, row.ask_qty)
        checks.check("book tickers", response, row, numbers, positive=False)
        tickers.append(
            BookTicker(
                futures.venue,
                symbol,
                _ns(row.time),
                response.received_ns,
                row.bid_price,
                _base(instrument, row.bid_qty, row.bid_price),
                row.ask_price,
                _base(instrument, row.ask_qty, row.ask_price),
            )
        )
    return tuple(tickers)


def _read_prices(futures: Futures, query: PricesQuery, response: HttpResponse, table: _Table) -> tuple[Price, ...]:
    prices = []
    for symbol, row in _rows(futures, "prices", query, response, table, _PRICES):
        checks.check("prices", response, row, (row.price,), positive=False)
        prices.append(Price(futures.venue, symbol, _ns(row.time), response.received_ns, row.price))
    return tuple(prices)


def _read_marks(
    futures: Futures, query: MarkPricesQuery, response: HttpResponse, table: _Table
) -> tuple[MarkPrice, ...]:
    """`lastFundingRate` is the newest estimate of the next payment's rate; where nothing is paid there is neither."""
    marks = []
    for symbol, row in _rows(futures, "mark prices", query, response, table, _MARKS):
        checks.check("mark prices", response, row, (row.mark_price,), positive=False)
        paid = row.next_funding_time > 0 and bool(row.last_funding_rate)
        marks.append(
            MarkPrice(
                futures.venue,
                symbol,
                _ns(row.time),
                response.received_ns,
                row.mark_price,
                price_or_none(row.index_price),
                rate(row.last_funding_rate) if paid else None,
                _ns(row.next_funding_time) if paid else None,
            )
        )
    return tuple(marks)


def _read_funding(
    futures: Futures, query: FundingRatesQuery, response: HttpResponse, table: _Table
) -> tuple[FundingRate, ...]:
    """More than one payment may fall on one time, since there are special ones (2026-07)."""
    rows = spot_wire.decode("funding rates", _FUNDING, response.body)
    name = wire_name(futures)(query.symbol)
    for before, after in pairwise(rows):
        if after.funding_time < before.funding_time:
            raise checks.bad("funding rates", "rows are not oldest first", response)
    for row in rows:
        if row.symbol != name:
            raise checks.bad("funding rates", f"a row is about {row.symbol!r:.40}, expected {name}", response)
        checks.check("funding rates", response, row, (abs(row.funding_rate),), positive=False)
    return tuple(
        FundingRate(
            futures.venue,
            query.symbol,
            row.funding_time * NS_PER_MS,
            response.received_ns,
            row.funding_rate,
            price_or_none(row.mark_price),
        )
        for row in rows
    )


def _read_open_interest(
    futures: Futures, query: OpenInterestQuery, response: HttpResponse, table: _Table
) -> OpenInterest:
    answer = spot_wire.decode("open interest", _OPEN_INTEREST, response.body)
    name = wire_name(futures)(query.symbol)
    if answer.symbol != name:
        raise checks.bad("open interest", f"it is about {answer.symbol!r:.40}, expected {name}", response)
    checks.check("open interest", response, answer, (answer.open_interest,), positive=False)
    held = answer.open_interest
    return OpenInterest(
        futures.venue,
        query.symbol,
        _ns(answer.time),
        response.received_ns,
        None if futures.contracts else held,
        held if futures.contracts else None,
    )


# ---------------------------------------------------------------- the table of questions


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of query: its name in the capability table, its path, the budget it costs, how it is asked and read."""

    name: str
    path: str
    ask: _Ask
    read: Callable[[Futures, Any, HttpResponse, _Table], Any]
    budget: str = facts.REQUEST_WEIGHT


def questions(futures: Futures) -> Mapping[type, Question]:
    """What can be asked without a key. Old trades need one on these hosts, so they are not among them."""
    v1 = f"{futures.root}/v1"
    prices = f"{v1}/ticker/price" if futures.contracts else f"{futures.root}/v2/ticker/price"
    funding_budget = facts.REQUEST_WEIGHT if futures.contracts else facts.FUNDING
    return {
        ServerTimeQuery: Question("server time", f"{v1}/time", _ask_nothing, _read_time),
        InstrumentsQuery: Question("instruments", f"{v1}/exchangeInfo", _ask_nothing, _read_instruments),
        CandlesQuery: Question("candles", f"{v1}/klines", _ask_candles, _read_candles),
        RecentTradesQuery: Question("recent trades", f"{v1}/trades", _ask_recent_trades, _read_trades),
        AggTradesQuery: Question("aggregate trades", f"{v1}/aggTrades", _ask_agg_trades, _read_agg_trades),
        DepthQuery: Question("depth", f"{v1}/depth", _ask_depth, _read_depth),
        TickersQuery: Question("tickers", f"{v1}/ticker/24hr", _ask_list(1, 40), _read_tickers),
        BookTickersQuery: Question("book tickers", f"{v1}/ticker/bookTicker", _ask_list(2, 5), _read_book_tickers),
        PricesQuery: Question("prices", prices, _ask_list(1, 2), _read_prices),
        MarkPricesQuery: Question("mark prices", f"{v1}/premiumIndex", _ask_marks, _read_marks),
        FundingRatesQuery: Question("funding rates", f"{v1}/fundingRate", _ask_funding, _read_funding, funding_budget),
        OpenInterestQuery: Question("open interest", f"{v1}/openInterest", _ask_open_interest, _read_open_interest),
    }


# ---------------------------------------------------------------- the language


class Rest:
    """RestLanguage of one of the products; see `drivers.contract`. Holds what it is of, and nothing else."""

    def __init__(self, futures: Futures) -> None:
        self._futures = futures
        self.questions = questions(futures)

    def _question(self, query: Query) -> Question:
        found = self.questions.get(type(query))
        if found is None:
            names = ", ".join(question.name for question in self.questions.values())
            raise Unsupported(f"{self._futures.title} cannot be asked {type(query).__name__}. It answers: {names}.")
        return found

    def request(self, query: Query) -> HttpRequest:
        question = self._question(query)
        params, weight = question.ask(self._futures, query)
        charges = (Charge(question.budget, weight),)
        return HttpRequest("GET", question.path, percent_encoded(params), safe=True, charges=charges)

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        question, futures = self._question(query), self._futures
        error = self.failure(response, write=False)
        if isinstance(error, VenueRejected) and futures.errors.get(error.code) is Reaction.UNKNOWN_SYMBOL:
            raise_unknown(futures.venue, query, instruments, error)
        if error is not None:
            raise error
        try:
            return question.read(futures, query, response, instruments)
        except spot_wire.UNREADABLE as problem:  # e.g. NaN, which cannot even be compared
            raise WireFormatError(question.name, str(problem), response.body) from problem

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failure(self._futures, response, write=write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        """Every list that has to be whole comes in one piece."""
        return None

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        raise ConnectorBug(f"{self._futures.title} answers {type(query).__name__} in one part, not in {len(parts)}.")

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return used(response)
