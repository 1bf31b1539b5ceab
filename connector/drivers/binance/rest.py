"""Binance spot's public REST questions: requests out, answers in, refusals classed by what the caller must do.

Bounds are checked here, before anything is sent, and named in the error. Answers are taken whole or not at all: one row that
cannot be read spoils its answer, because a history with a silent hole would be a lie. Two kinds of rows are no trades and
are left out on purpose: aggregate trades the venue has marked invalid, and list entries of instruments not in the table.

Never sends, waits, retries or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from connector.domain.instruments import InstrumentTable
from connector.domain.market import AggTrade, BookTicker, Candle, OrderBook, Price, Side, Ticker, Trade
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.binance import checks, facts, failures, wire
from connector.drivers.binance.facts import ERRORS, VENUE, Reaction
from connector.drivers.binance.instruments import read_venue, wire_name
from connector.errors import (
    ConnectorBug,
    ConnectorError,
    InvalidRequest,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    WireFormatError,
)

__all__ = ["QUESTIONS", "REST", "percent_encoded"]

_Params = list[tuple[str, str]]
_ListQuery = TickersQuery | BookTickersQuery | PricesQuery
_Row = TypeVar("_Row", wire.TickerRow, wire.BookTickerRow, wire.PriceRow)
_RowDecoders = tuple[msgspec.json.Decoder[_Row], msgspec.json.Decoder[list[_Row]]]

# ---------------------------------------------------------------- parameters


_BARE = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII).fullmatch


def percent_encoded(params: Sequence[tuple[str, str]]) -> str:
    """`name=value` pairs in the order given, values as UTF-8 in upper-case %XX; only letters, digits and -._~ stay bare."""
    if _BARE("".join([value for _, value in params])):  # numbers and ids: nothing to encode
        return "&".join([f"{name}={value}" for name, value in params])
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in params)


def _symbol(query: Any) -> _Params:
    return [("symbol", wire_name(query.symbol))]


def _asked(query: _ListQuery) -> tuple[Symbol, ...]:
    """The symbols to name in a request, once each; empty means all, which costs no more than many."""
    symbols = tuple(dict.fromkeys(query.symbols))
    for symbol in symbols:
        wire_name(symbol)
    return () if len(symbols) > facts.PARTLY_LISTED else symbols


def _symbols(symbols: Sequence[Symbol]) -> _Params:
    if not symbols:
        return []
    if len(symbols) == 1:
        return [("symbol", wire_name(symbols[0]))]
    return [("symbols", msgspec.json.encode([wire_name(symbol) for symbol in symbols]).decode())]


# ---------------------------------------------------------------- one question each: (parameters, weight)

_Ask = Callable[[Any], tuple[_Params, int]]


def _ask_nothing(weight: int) -> _Ask:
    return lambda query: ([], weight)


def _ask_candles(query: CandlesQuery) -> tuple[_Params, int]:
    if query.interval not in facts.INTERVALS:
        raise InvalidRequest(
            f"interval {query.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters: 1m is a minute, 1M a month."
        )
    limit = checks.limit(VENUE, query.limit, facts.PAGE_LIMIT)
    return [
        *_symbol(query),
        ("interval", query.interval),
        *checks.time_range(VENUE, query.start_ns, query.end_ns),
        ("limit", str(limit)),
    ], 2


def _ask_recent_trades(query: RecentTradesQuery) -> tuple[_Params, int]:
    return [*_symbol(query), ("limit", str(checks.limit(VENUE, query.limit, facts.PAGE_LIMIT)))], 25


def _ask_historical_trades(query: HistoricalTradesQuery) -> tuple[_Params, int]:
    params = _symbol(query)
    if query.from_id is not None:
        params.append(("fromId", str(checks.whole(VENUE, "from_id", query.from_id, 0, checks.LARGEST_ID))))
    return [*params, ("limit", str(checks.limit(VENUE, query.limit, facts.PAGE_LIMIT)))], 25


def _ask_agg_trades(query: AggTradesQuery) -> tuple[_Params, int]:
    params = _symbol(query)
    times = checks.time_range(VENUE, query.start_ns, query.end_ns)
    if query.from_id is not None:
        if times:
            raise InvalidRequest("aggregate trades are asked for by from_id or by start_ns and end_ns, not by both.")
        params.append(("fromId", str(checks.whole(VENUE, "from_id", query.from_id, 0, checks.LARGEST_ID))))
    return [*params, *times, ("limit", str(checks.limit(VENUE, query.limit, facts.PAGE_LIMIT)))], 4


def _ask_depth(query: DepthQuery) -> tuple[_Params, int]:
    limit = checks.limit(VENUE, query.limit, facts.DEPTH_LIMIT)
    weight = next(weight for levels, weight in facts.DEPTH_WEIGHTS if limit <= levels)
    return [*_symbol(query), ("limit", str(limit))], weight


def _ask_tickers(query: TickersQuery) -> tuple[_Params, int]:
    symbols = _asked(query)
    steps = facts.TICKER_WEIGHTS if symbols else ()
    weight = next((weight for most, weight in steps if len(symbols) <= most), facts.TICKER_WEIGHT_OF_ALL)
    return _symbols(symbols), weight


def _ask_list(query: BookTickersQuery | PricesQuery) -> tuple[_Params, int]:
    symbols = _asked(query)
    return _symbols(symbols), 2 if len(symbols) == 1 else 4


# ---------------------------------------------------------------- one answer each

_TIME = msgspec.json.Decoder(wire.TimeAnswer)
_DEPTH = msgspec.json.Decoder(wire.DepthAnswer)
_TRADES = msgspec.json.Decoder(list[wire.TradeRow])
_AGG_TRADES = msgspec.json.Decoder(list[wire.AggTradeRow])
_CANDLES = msgspec.json.Decoder(list[wire.CandleRow])
_TICKERS = (msgspec.json.Decoder(wire.TickerRow), msgspec.json.Decoder(list[wire.TickerRow]))
_BOOK_TICKERS = (msgspec.json.Decoder(wire.BookTickerRow), msgspec.json.Decoder(list[wire.BookTickerRow]))
_PRICES = (msgspec.json.Decoder(wire.PriceRow), msgspec.json.Decoder(list[wire.PriceRow]))

_Table = InstrumentTable | None


def _read_time(query: ServerTimeQuery, response: HttpResponse, table: _Table) -> int:
    return wire.decode("server time", _TIME, response.body).serverTime * NS_PER_MS


def _read_instruments(query: InstrumentsQuery, response: HttpResponse, table: _Table) -> Any:
    return read_venue(response.body)


def _read_candles(query: CandlesQuery, response: HttpResponse, table: _Table) -> tuple[Candle, ...]:
    rows = wire.decode("candles", _CANDLES, response.body)
    checks.ascending("candles", response, [row.open_time for row in rows])
    settled_ms = (checks.answered_ns(response) - facts.CANDLE_SETTLES_NS) // NS_PER_MS
    last = len(rows) - 1
    candles = []
    for index, row in enumerate(rows):
        prices = (row.open, row.high, row.low, row.close)
        amounts = (row.volume, row.quote_volume, row.taker_buy_volume, row.taker_buy_quote_volume)
        checks.check("candles", response, row, prices, positive=row.trade_count > 0)
        checks.check("candles", response, row, amounts, positive=False)
        candles.append(
            Candle(
                VENUE,
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
                row.volume,
                index < last or row.close_time < settled_ms,
                row.quote_volume,
                row.trade_count,
                row.taker_buy_volume,
                row.taker_buy_quote_volume,
            )
        )
    return tuple(candles)


def _side(buyer_is_maker: bool) -> Side:
    return Side.SELL if buyer_is_maker else Side.BUY


def _read_trades(
    query: RecentTradesQuery | HistoricalTradesQuery, response: HttpResponse, table: _Table
) -> tuple[Trade, ...]:
    rows = wire.decode("trades", _TRADES, response.body)
    checks.ascending("trades", response, [row.id for row in rows])
    for row in rows:
        checks.check("trades", response, row, (row.price, row.qty), positive=True)
    return tuple(
        Trade(
            VENUE,
            query.symbol,
            row.time * NS_PER_MS,
            response.received_ns,
            row.id,
            row.price,
            row.qty,
            _side(row.isBuyerMaker),
        )
        for row in rows
    )


def _read_agg_trades(query: AggTradesQuery, response: HttpResponse, table: _Table) -> tuple[AggTrade, ...]:
    """Invalidated records are left out, so a page may hold fewer rows than its limit without being the last one."""
    rows = wire.decode("aggregate trades", _AGG_TRADES, response.body)
    checks.ascending("aggregate trades", response, [row.a for row in rows])
    rows = [row for row in rows if row.f >= 0 and row.l >= 0]  # the venue marks repaired records with -1 (2022-04)
    for row in rows:
        checks.check("aggregate trades", response, row, (row.p, row.q), positive=True)
        if row.l < row.f:
            raise checks.bad("aggregate trades", f"trades {row.f} to {row.l} run backwards", response)
    return tuple(
        AggTrade(
            VENUE,
            query.symbol,
            row.T * NS_PER_MS,
            response.received_ns,
            row.a,
            row.p,
            row.q,
            _side(row.m),
            row.f,
            row.l,
        )
        for row in rows
    )


def _read_depth(query: DepthQuery, response: HttpResponse, table: _Table) -> OrderBook:
    answer = wire.decode("depth", _DEPTH, response.body)
    problem = wire.ladder_problem(answer.bids, answer.asks)
    if problem is not None:
        raise checks.bad("depth", problem, response)
    return OrderBook(VENUE, query.symbol, None, response.received_ns, answer.lastUpdateId, answer.bids, answer.asks)


def _rows(
    kind: str, query: _ListQuery, response: HttpResponse, table: _Table, decoders: _RowDecoders[_Row]
) -> list[tuple[Symbol, _Row]]:
    """Rows with their symbols: in the order asked; of everything, those the table lists."""
    one, many = decoders
    asked = _asked(query)
    rows = [wire.decode(kind, one, response.body)] if len(asked) == 1 else wire.decode(kind, many, response.body)
    by_name = {row.symbol: row for row in rows}
    if query.symbols:
        found = []
        for symbol in query.symbols:
            row = by_name.get(wire_name(symbol))
            if row is None and asked:
                raise checks.bad(kind, f"{wire_name(symbol)} was asked for and is not in the answer", response)
            if row is None:
                raise UnknownSymbol(str(symbol), VENUE)
            found.append((symbol, row))
        return found
    if table is None:
        raise InvalidRequest(f"{kind} of everything need the instrument table. Ask for the instruments first.")
    listed = ((table.by_name(name), row) for name, row in by_name.items())
    return [(instrument.symbol, row) for instrument, row in listed if instrument is not None]


def _read_tickers(query: TickersQuery, response: HttpResponse, table: _Table) -> tuple[Ticker, ...]:
    tickers = []
    for symbol, row in _rows("tickers", query, response, table, _TICKERS):
        signed = (abs(row.price_change), abs(row.price_change_percent))
        prices = (row.last_price, row.bid_price, row.ask_price, row.open_price, row.high_price, row.low_price)
        amounts = (row.last_qty, row.bid_qty, row.ask_qty, row.volume, row.quote_volume, row.weighted_avg_price)
        checks.check("tickers", response, row, (*prices, *amounts, *signed), positive=False)
        tickers.append(
            Ticker(
                VENUE,
                symbol,
                row.close_time * NS_PER_MS,
                response.received_ns,
                row.last_price,
                row.bid_price,
                row.bid_qty,
                row.ask_price,
                row.ask_qty,
                row.open_price,
                row.high_price,
                row.low_price,
                row.volume,
                row.quote_volume,
                row.last_qty,
                row.weighted_avg_price,
                row.price_change,
                row.price_change_percent,
                row.count,
                row.open_time * NS_PER_MS,
                row.close_time * NS_PER_MS,
            )
        )
    return tuple(tickers)


def _read_book_tickers(query: BookTickersQuery, response: HttpResponse, table: _Table) -> tuple[BookTicker, ...]:
    tickers = []
    for symbol, row in _rows("book tickers", query, response, table, _BOOK_TICKERS):
        numbers = (row.bid_price, row.bid_qty, row.ask_price, row.ask_qty)
        checks.check("book tickers", response, row, numbers, positive=False)
        tickers.append(BookTicker(VENUE, symbol, None, response.received_ns, *numbers))
    return tuple(tickers)


def _read_prices(query: PricesQuery, response: HttpResponse, table: _Table) -> tuple[Price, ...]:
    prices = []
    for symbol, row in _rows("prices", query, response, table, _PRICES):
        checks.check("prices", response, row, (row.price,), positive=False)
        prices.append(Price(VENUE, symbol, None, response.received_ns, row.price))
    return tuple(prices)


# ---------------------------------------------------------------- the table of questions


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of query: its name in the capability table, its path, how it is asked and how its answer is read."""

    name: str
    path: str
    ask: _Ask
    read: Callable[[Any, HttpResponse, _Table], Any]


QUESTIONS: Mapping[type, Question] = {
    ServerTimeQuery: Question("server time", "/api/v3/time", _ask_nothing(1), _read_time),
    InstrumentsQuery: Question("instruments", "/api/v3/exchangeInfo", _ask_nothing(20), _read_instruments),
    CandlesQuery: Question("candles", "/api/v3/klines", _ask_candles, _read_candles),
    RecentTradesQuery: Question("recent trades", "/api/v3/trades", _ask_recent_trades, _read_trades),
    HistoricalTradesQuery: Question(
        "historical trades", "/api/v3/historicalTrades", _ask_historical_trades, _read_trades
    ),
    AggTradesQuery: Question("aggregate trades", "/api/v3/aggTrades", _ask_agg_trades, _read_agg_trades),
    DepthQuery: Question("depth", "/api/v3/depth", _ask_depth, _read_depth),
    TickersQuery: Question("tickers", "/api/v3/ticker/24hr", _ask_tickers, _read_tickers),
    BookTickersQuery: Question("book tickers", "/api/v3/ticker/bookTicker", _ask_list, _read_book_tickers),
    PricesQuery: Question("prices", "/api/v3/ticker/price", _ask_list, _read_prices),
}


def _question(query: Query) -> Question:
    found = QUESTIONS.get(type(query))
    if found is None:
        names = ", ".join(question.name for question in QUESTIONS.values())
        raise Unsupported(f"{VENUE} spot cannot be asked {type(query).__name__}. It answers: {names}.")
    return found


# ---------------------------------------------------------------- the language


class _Rest:
    """RestLanguage of Binance spot; see `drivers.contract`. Holds nothing."""

    def request(self, query: Query) -> HttpRequest:
        question = _question(query)
        params, weight = question.ask(query)
        charges = (Charge(facts.REQUEST_WEIGHT, weight), Charge(facts.RAW_REQUESTS, 1))
        return HttpRequest("GET", question.path, percent_encoded(params), safe=True, charges=charges)

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        question = _question(query)
        error = self.failure(response, write=False)
        if isinstance(error, VenueRejected) and ERRORS.get(error.code) is Reaction.UNKNOWN_SYMBOL:
            failures.raise_unknown(VENUE, query, instruments, error)
        if error is not None:
            raise error
        try:
            return question.read(query, response, instruments)
        except wire.UNREADABLE as problem:  # e.g. NaN, which cannot even be compared
            raise WireFormatError(question.name, str(problem), response.body) from problem

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failures.failure(VENUE, ERRORS, response, write=write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        """Every list comes whole."""
        return None

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        raise ConnectorBug(f"{VENUE} spot answers {type(query).__name__} in one part, not in {len(parts)}.")

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return failures.used(response)


REST = _Rest()
