"""Bybit's public REST questions for all three products: requests out, answers in, refusals classed by what the caller must do.

Bounds are checked here, before anything is sent, and named in the error. Answers are taken whole or not at all: one row that
cannot be read spoils its answer, because a history with a silent hole would be a lie. The venue writes lists newest first; here
they are oldest first. List entries of instruments not in the table are left out. HTTP 200 proves nothing here: `retCode` alone
says whether an answer is a success.

Amounts of inverse contracts are US dollars on the wire. A trade becomes base units at its price, a level at the level's; of
candles and statistics the venue tells both, so volume and turnover change places.

Never sends, waits, retries or reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from connector.domain.contracts import base_units
from connector.domain.instruments import InstrumentTable
from connector.domain.market import (
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
from connector.drivers.bybit import facts, wire
from connector.drivers.bybit.facts import ERRORS, VENUE, Market, Reaction
from connector.drivers.bybit.instruments import DOLLAR_CONTRACT, joined_venues, read_venue, wire_name
from connector.errors import (
    AuthenticationFailed,
    Banned,
    ClockRejected,
    ConnectorBug,
    ConnectorError,
    InvalidRequest,
    Misconfigured,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    UnknownSymbol,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)

__all__ = [
    "BUDGET_HEADER",
    "CURSOR",
    "DUPLICATE_TEXT",
    "QUESTIONS",
    "SIDES",
    "Rest",
    "base_quantity",
    "contract_count",
    "level_units",
    "month_after",
    "percent_encoded",
    "questions_of",
    "reaction_error",
    "ticker_of",
]

_LARGEST_NS = 2**63 - 1
_HALF = Decimal("0.5")
_BAN_S = 600.0  # the documents ask for ten minutes of silence after the address's limit
_TEXT_SHOWN = 200
CURSOR = re.compile(r"[A-Za-z0-9%._~:,=+/!*-]{1,2000}", re.ASCII)
"""A place in a list, percent-encoded by the venue and sent back as it came."""
BUDGET_HEADER = "x-budget"
"""Ours, not the venue's: replies of the order connection say by their operation which limit their headers are about."""
DUPLICATE_TEXT = "orderLinkId is in use"
"""Put behind the venue's own text of a duplicate client id, whose wording differs from product to product."""

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}

_E = TypeVar("_E")
_Params = list[tuple[str, str]]
_ListQuery = TickersQuery | BookTickersQuery | PricesQuery | MarkPricesQuery

# ---------------------------------------------------------------- parameters


_BARE = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII).fullmatch


def percent_encoded(params: Sequence[tuple[str, str]]) -> str:
    """`name=value` pairs in the order given, values as UTF-8 in upper-case %XX; only letters, digits and -._~ stay bare."""
    if _BARE("".join([value for _, value in params])):  # numbers and ids: nothing to encode
        return "&".join([f"{name}={value}" for name, value in params])
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in params)


def _whole(name: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"{name} is {value!r:.40}. {VENUE} takes a whole number from {low} to {high}.")
    if not low <= value <= high:
        shown = value if abs(value) < 10**20 else "far out of range"  # Python refuses to print very long integers
        raise InvalidRequest(f"{name} is {shown}. {VENUE} takes a whole number from {low} to {high}.")
    return value


def _limit(value: int | None, most: int) -> int:
    return most if value is None else _whole("limit", value, 1, most)


def _named(market: Market, symbol: Symbol) -> _Params:
    return [("category", market.category), ("symbol", wire_name(market, symbol))]


def _range_ms(start_ns: int | None, end_ns: int | None) -> tuple[int | None, int | None]:
    """Both ends inclusive on our side; theirs are milliseconds, so the start is rounded up and the end down."""
    start = None if start_ns is None else -(-_whole("start_ns", start_ns, 0, _LARGEST_NS) // NS_PER_MS)
    end = None if end_ns is None else _whole("end_ns", end_ns, 0, _LARGEST_NS) // NS_PER_MS
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise InvalidRequest(f"the range ends before it starts: start_ns {start_ns}, end_ns {end_ns}.")
    return start, end


# ---------------------------------------------------------------- one question each

_Ask = Callable[[Market, Any], _Params]


def _ask_time(market: Market, query: ServerTimeQuery) -> _Params:
    return []


def _ask_instruments(market: Market, query: InstrumentsQuery) -> _Params:
    if market.is_spot:  # comes whole and takes no limit
        return [("category", market.category)]
    return [("category", market.category), ("limit", str(facts.INSTRUMENT_LIMIT))]


def _ask_candles(market: Market, query: CandlesQuery) -> _Params:
    """A range is cut to as many candles as fit, from its start on: of a longer one the venue would send the newest.

    Months differ in length, so a few more are asked for, and what is too many is cut off when they are read.
    """
    known = facts.INTERVALS.get(query.interval)
    if known is None:
        raise InvalidRequest(
            f"interval {query.interval!r} is none of {', '.join(facts.INTERVALS)}. Case matters: 1m is a minute, 1M a month."
        )
    word, length_ms = known
    limit = _limit(query.limit, facts.CANDLE_LIMIT)
    rows = limit
    start, end = _range_ms(query.start_ns, query.end_ns)
    params = [*_named(market, query.symbol), ("interval", word)]
    if start is not None:
        last = start + limit * length_ms - 1
        end = last if end is None else min(end, last)
        params.append(("start", str(start)))
        rows = limit if query.interval != "1M" else min(facts.CANDLE_LIMIT, limit + limit // 30 + 2)
    if end is not None:
        params.append(("end", str(end)))
    return [*params, ("limit", str(rows))]


def _ask_recent_trades(market: Market, query: RecentTradesQuery) -> _Params:
    return [*_named(market, query.symbol), ("limit", str(_limit(query.limit, market.trade_limit)))]


def _ask_depth(market: Market, query: DepthQuery) -> _Params:
    return [*_named(market, query.symbol), ("limit", str(_limit(query.limit, facts.DEPTH_LIMIT)))]


def _ask_list(market: Market, query: _ListQuery) -> _Params:
    """One symbol, or all: the venue has nothing between."""
    asked = _asked(market, query)
    return _named(market, asked[0]) if len(asked) == 1 else [("category", market.category)]


def _ask_open_interest(market: Market, query: OpenInterestQuery) -> _Params:
    """By the ticker, which tells the figure of now; the call of that name tells it every five minutes."""
    return _named(market, query.symbol)


def _ask_funding_rates(market: Market, query: FundingRatesQuery) -> _Params:
    """The venue refuses a start without an end, and of a long range it sends the newest.

    So a range is cut, from its start on, to as many hours as a page has rows: payments are an hour apart or more, and none of
    them can be missing. What is more than was asked for is cut off when they are read.
    """
    limit = _limit(query.limit, facts.FUNDING_LIMIT)
    start, end = _range_ms(query.start_ns, query.end_ns)
    params = _named(market, query.symbol)
    if start is not None:
        limit, last = facts.FUNDING_LIMIT, start + facts.FUNDING_LIMIT * 3_600_000 - 1
        end = last if end is None else min(end, last)
        params.append(("startTime", str(start)))
    if end is not None:
        params.append(("endTime", str(end)))
    return [*params, ("limit", str(limit))]


# ---------------------------------------------------------------- one answer each

_Table = InstrumentTable | None


def _bad(kind: str, problem: str, response: HttpResponse) -> WireFormatError:
    return WireFormatError(kind, problem, response.body)


def _check(kind: str, response: HttpResponse, row: object, numbers: Sequence[Decimal], *, positive: bool) -> None:
    for each in numbers:
        if not (wire.SMALLEST <= each <= wire.LARGEST or (not positive and wire.is_zero(each))):
            raise _bad(kind, f"number {each!s:.40} is out of range in {row!r:.200}", response)


def _ascending(kind: str, response: HttpResponse, keys: Sequence[int]) -> None:
    for before, after in pairwise(keys):
        if after <= before:
            raise _bad(kind, f"rows are not newest first: {after} is followed by {before}", response)


def contract_count(market: Market, size: Decimal) -> Decimal | None:
    """What the venue counts where that is not base units."""
    return size if market.is_inverse else None


def base_quantity(market: Market, size: Decimal, price: Decimal) -> Decimal:
    """A size on the wire as base units; `price`, which is not 0, counts on inverse contracts only.

    Raises:
        ValueError: so little that nothing is left of it at 16 places: an absurd price (of UNREADABLE).
    """
    if not market.is_inverse:
        return size
    units = base_units(DOLLAR_CONTRACT, size, price)
    if size and not units:
        raise ValueError(f"{size!s:.40} contracts at {price!s:.40} come to nothing")
    return units


def level_units(market: Market, levels: wire.Levels) -> wire.Levels:
    """Levels of a book with their sizes as base units. Raises as `base_quantity`."""
    if not market.is_inverse:
        return levels
    return tuple([(price, base_quantity(market, size, price)) for price, size in levels])


def _read_time(market: Market, query: ServerTimeQuery, response: HttpResponse, table: _Table) -> int:
    return wire.decode("server time", wire.TIME, response.body).result.time_nano


def _read_instruments(market: Market, query: InstrumentsQuery, response: HttpResponse, table: _Table) -> Any:
    return read_venue(market, response.body)


def month_after(start_ms: int) -> int:
    """When the month after the one this is in begins; both in UTC milliseconds."""
    begins = datetime.fromtimestamp(start_ms // 1_000, UTC)
    year, month = divmod(begins.year * 12 + begins.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1_000


def _read_candles(market: Market, query: CandlesQuery, response: HttpResponse, table: _Table) -> tuple[Candle, ...]:
    """The venue's own time in the answer says which candles are over."""
    answer = wire.decode("candles", wire.CANDLES, response.body)
    rows = answer.result.list[::-1]
    _ascending("candles", response, [row.start for row in rows])
    settled_ms = answer.time - facts.CANDLE_SETTLES_NS // NS_PER_MS
    length_ms, last = facts.INTERVALS[query.interval][1], len(rows) - 1
    candles = []
    for index, row in enumerate(rows):
        _check("candles", response, row, (row.open, row.high, row.low, row.close), positive=True)
        _check("candles", response, row, (row.volume, row.turnover), positive=False)
        end = (month_after(row.start) if query.interval == "1M" else row.start + length_ms) - 1
        volume, quote_volume = row.volume, row.turnover
        if market.is_inverse:
            volume, quote_volume = quote_volume, volume
        candles.append(
            Candle(
                market.name,
                query.symbol,
                None,
                response.received_ns,
                query.interval,
                row.start * NS_PER_MS,
                end * NS_PER_MS,
                row.open,
                row.high,
                row.low,
                row.close,
                volume,
                index < last or end < settled_ms,
                quote_volume,
            )
        )
    return _first(candles, query)


def _first(found: Sequence[_E], query: CandlesQuery | FundingRatesQuery) -> tuple[_E, ...]:
    """As many as were asked for, from the start of the range on."""
    return tuple(found if query.start_ns is None else found[: query.limit])


def _read_trades(market: Market, query: RecentTradesQuery, response: HttpResponse, table: _Table) -> tuple[Trade, ...]:
    """Oldest first by time, then sequence; what shares both keeps the venue's order. Which way round it writes is UNCONFIRMED."""
    rows = list(wire.decode("trades", wire.RECENT_TRADES, response.body).result.list)
    name = wire_name(market, query.symbol)
    for row in rows:
        _check("trades", response, row, (row.price, row.size), positive=True)
        if row.symbol != name:
            raise _bad("trades", f"it holds a trade of {row.symbol!r:.40}, expected {name}", response)
        if row.side not in SIDES:
            raise _bad("trades", f"side {row.side!r:.40} is neither Buy nor Sell", response)
    if rows and (rows[0].time, rows[0].seq or 0) >= (rows[-1].time, rows[-1].seq or 0):
        rows.reverse()
    rows.sort(key=lambda row: (row.time, row.seq or 0))
    return tuple(
        Trade(
            market.name,
            query.symbol,
            row.time * NS_PER_MS,
            response.received_ns,
            row.exec_id,
            row.price,
            base_quantity(market, row.size, row.price),
            SIDES[row.side],
            contracts=contract_count(market, row.size),
            sequence=row.seq,
        )
        for row in rows
    )


def _read_depth(market: Market, query: DepthQuery, response: HttpResponse, table: _Table) -> OrderBook:
    answer = wire.decode("depth", wire.DEPTH, response.body).result
    name = wire_name(market, query.symbol)
    problem = wire.ladder_problem(answer.b, answer.a)
    if problem is None and answer.s != name:
        problem = f"it is the book of {answer.s!r:.40}, expected {name}"
    if problem is not None:
        raise _bad("depth", problem, response)
    at_ms = answer.ts if answer.cts is None else answer.cts
    bids, asks = level_units(market, answer.b), level_units(market, answer.a)
    return OrderBook(market.name, query.symbol, at_ms * NS_PER_MS, response.received_ns, answer.u, bids, asks)


def _asked(market: Market, query: _ListQuery) -> tuple[Symbol, ...]:
    symbols = tuple(dict.fromkeys(query.symbols))
    for symbol in symbols:
        wire_name(market, symbol)
    return symbols


def _rows(
    kind: str, market: Market, query: _ListQuery, response: HttpResponse, table: _Table
) -> tuple[int, list[tuple[Symbol, wire.TickerData]]]:
    """The venue's time, and rows with their symbols: in the order asked; of everything, those the table lists."""
    answer = wire.decode(kind, wire.TICKERS, response.body)
    by_name = {row.symbol: row for row in answer.result.list}
    at_ns = answer.time * NS_PER_MS
    if query.symbols:
        found = []
        for symbol in query.symbols:
            row = by_name.get(wire_name(market, symbol))
            if row is None and len(_asked(market, query)) == 1:
                raise _bad(kind, f"{wire_name(market, symbol)} was asked for and is not in the answer", response)
            if row is None:
                raise UnknownSymbol(str(symbol), market.name)
            found.append((symbol, row))
        return at_ns, found
    if table is None:
        raise InvalidRequest(f"{kind} of everything need the instrument table. Ask for the instruments first.")
    listed = ((table.by_name(name), row) for name, row in by_name.items())
    return at_ns, [(instrument.symbol, row) for instrument, row in listed if instrument is not None]


def _text(value: str | msgspec.UnsetType) -> str:
    return "" if isinstance(value, msgspec.UnsetType) else value


def _known(name: str, value: str | msgspec.UnsetType) -> Decimal:
    """A number that has to be there; zero is one.

    Raises:
        ValueError: it is not.
    """
    found = wire.number(_text(value))
    if found is None:
        raise ValueError(f"{name} is missing")
    return found


def _best(price: str | msgspec.UnsetType, size: str | msgspec.UnsetType) -> tuple[Decimal, Decimal]:
    """One side; an empty one, which the venue writes as "" or 0, is price 0 and quantity 0."""
    return wire.number(_text(price)) or wire.ZERO, wire.number(_text(size)) or wire.ZERO


def _funding(row: wire.TickerData) -> tuple[Decimal | None, int | None]:
    """Rate and time of the next payment; neither on dated contracts."""
    at = _text(row.next_funding_time)
    at_ms = int(at) if at.isascii() and at.isdigit() and len(at) < 15 else 0
    if at and not (at.isascii() and at.isdigit() and len(at) < 15):
        raise ValueError(f"nextFundingTime {at!r:.40} is no time")
    if not at_ms:
        return None, None
    rate = wire.number(_text(row.funding_rate))
    if rate is not None and not wire.is_amount(rate.copy_abs()):
        raise ValueError(f"fundingRate {rate!s:.40} is out of range")
    return rate, None if rate is None else at_ms * NS_PER_MS


def ticker_of(
    market: Market, symbol: Symbol, row: wire.TickerData, at_ns: int, received_ns: int, *, best: bool
) -> Ticker:
    """One row of statistics, of REST or of the stream. `best`: it has best prices, which spot's stream has not.

    Raises:
        ValueError, ArithmeticError: a field is absent, or a number out of range (of UNREADABLE).
    """
    last = _known("lastPrice", row.last_price)
    bid: Decimal | None = None
    bid_size: Decimal | None = None
    ask: Decimal | None = None
    ask_size: Decimal | None = None
    opened = _known("prevPrice24h", row.prev_price24h)
    high, low = _known("highPrice24h", row.high_price24h), _known("lowPrice24h", row.low_price24h)
    volume, quote_volume = _known("volume24h", row.volume24h), _known("turnover24h", row.turnover24h)
    numbers = [last, opened, high, low, volume, quote_volume]
    if best:
        bid, bid_size = _best(row.bid1_price, row.bid1_size)
        ask, ask_size = _best(row.ask1_price, row.ask1_size)
        numbers += [bid, bid_size, ask, ask_size]
    mark = index = rate = None
    funding_ns = None
    if not market.is_spot:
        mark, index = wire.number(_text(row.mark_price)), wire.number(_text(row.index_price))
        numbers += [each for each in (mark, index) if each is not None]
        rate, funding_ns = _funding(row)
    for each in numbers:
        if not wire.is_amount(each):
            raise ValueError(f"number {each!s:.40} is out of range")
    if market.is_inverse:
        volume, quote_volume = quote_volume, volume
        if bid and bid_size:
            bid_size = base_quantity(market, bid_size, bid)
        if ask and ask_size:
            ask_size = base_quantity(market, ask_size, ask)
    change = wire.number(_text(row.price24h_pcnt))
    if change is not None and not wire.is_amount(change.copy_abs()):
        raise ValueError(f"price24hPcnt {change!s:.40} is out of range")
    return Ticker(
        market.name,
        symbol,
        at_ns,
        received_ns,
        last,
        bid,
        bid_size,
        ask,
        ask_size,
        opened,
        high,
        low,
        volume,
        quote_volume,
        price_change_percent=None if change is None else change.scaleb(2),
        mark=mark,
        index=index,
        funding_rate=rate,
        next_funding_ns=funding_ns,
    )


def _read_tickers(market: Market, query: TickersQuery, response: HttpResponse, table: _Table) -> tuple[Ticker, ...]:
    at_ns, rows = _rows("tickers", market, query, response, table)
    return tuple(ticker_of(market, symbol, row, at_ns, response.received_ns, best=True) for symbol, row in rows)


def _read_book_tickers(
    market: Market, query: BookTickersQuery, response: HttpResponse, table: _Table
) -> tuple[BookTicker, ...]:
    at_ns, rows = _rows("book tickers", market, query, response, table)
    tickers = []
    for symbol, row in rows:
        bid, bid_size = _best(row.bid1_price, row.bid1_size)
        ask, ask_size = _best(row.ask1_price, row.ask1_size)
        _check("book tickers", response, row, (bid, bid_size, ask, ask_size), positive=False)
        if bid:
            bid_size = base_quantity(market, bid_size, bid)
        if ask:
            ask_size = base_quantity(market, ask_size, ask)
        tickers.append(BookTicker(market.name, symbol, at_ns, response.received_ns, bid, bid_size, ask, ask_size))
    return tuple(tickers)


def _read_prices(market: Market, query: PricesQuery, response: HttpResponse, table: _Table) -> tuple[Price, ...]:
    at_ns, rows = _rows("prices", market, query, response, table)
    prices = []
    for symbol, row in rows:
        last = _known("lastPrice", row.last_price)
        _check("prices", response, row, (last,), positive=False)
        prices.append(Price(market.name, symbol, at_ns, response.received_ns, last))
    return tuple(prices)


def _read_mark_prices(
    market: Market, query: MarkPricesQuery, response: HttpResponse, table: _Table
) -> tuple[MarkPrice, ...]:
    """Of everything, a contract before its first trade has no mark price yet and is left out."""
    at_ns, rows = _rows("mark prices", market, query, response, table)
    prices = []
    for symbol, row in rows:
        if not query.symbols and not _text(row.mark_price):
            continue
        mark, index = _known("markPrice", row.mark_price), wire.number(_text(row.index_price))
        _check("mark prices", response, row, (mark,), positive=True)
        _check("mark prices", response, row, () if index is None else (index,), positive=False)
        rate, funding_ns = _funding(row)
        prices.append(
            MarkPrice(market.name, symbol, at_ns, response.received_ns, mark, index or None, rate, funding_ns)
        )
    return tuple(prices)


def _read_open_interest(
    market: Market, query: OpenInterestQuery, response: HttpResponse, table: _Table
) -> OpenInterest:
    """One side: `singleOpenInterest` (since 2026-06), else half of `openInterest`, which counts longs and shorts."""
    answer = wire.decode("open interest", wire.TICKERS, response.body)
    name = wire_name(market, query.symbol)
    row = next((row for row in answer.result.list if row.symbol == name), None)
    if row is None:
        raise _bad("open interest", f"{name} was asked for and is not in the answer", response)
    size = wire.number(_text(row.single_open_interest))
    if size is None:
        size = _known("openInterest", row.open_interest) * _HALF
    _check("open interest", response, row, (size,), positive=False)
    at_ns, quantity = answer.time * NS_PER_MS, size
    contracts = contract_count(market, size)
    if market.is_inverse:
        mark = _known("markPrice", row.mark_price)
        _check("open interest", response, row, (mark,), positive=True)
        quantity = base_quantity(market, size, mark)
    return OpenInterest(market.name, query.symbol, at_ns, response.received_ns, quantity, contracts)


def _read_funding_rates(
    market: Market, query: FundingRatesQuery, response: HttpResponse, table: _Table
) -> tuple[FundingRate, ...]:
    rows = wire.decode("funding rates", wire.FUNDING_RATES, response.body).result.list[::-1]
    name = wire_name(market, query.symbol)
    _ascending("funding rates", response, [row.funding_rate_timestamp for row in rows])
    for row in rows:
        _check("funding rates", response, row, (row.funding_rate.copy_abs(),), positive=False)
        if row.symbol != name:
            raise _bad("funding rates", f"it holds a rate of {row.symbol!r:.40}, expected {name}", response)
    rates = [
        FundingRate(
            market.name, query.symbol, row.funding_rate_timestamp * NS_PER_MS, response.received_ns, row.funding_rate
        )
        for row in rows
    ]
    return _first(rates, query)


# ---------------------------------------------------------------- the table of questions


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of query: its name in the capability table, its path, how it is asked and how its answer is read."""

    name: str
    path: str
    ask: _Ask
    read: Callable[[Market, Any, HttpResponse, _Table], Any]
    contracts_only: bool = False


QUESTIONS: Mapping[type, Question] = {
    ServerTimeQuery: Question("server time", "/v5/market/time", _ask_time, _read_time),
    InstrumentsQuery: Question("instruments", "/v5/market/instruments-info", _ask_instruments, _read_instruments),
    CandlesQuery: Question("candles", "/v5/market/kline", _ask_candles, _read_candles),
    RecentTradesQuery: Question("recent trades", "/v5/market/recent-trade", _ask_recent_trades, _read_trades),
    DepthQuery: Question("depth", "/v5/market/orderbook", _ask_depth, _read_depth),
    TickersQuery: Question("tickers", "/v5/market/tickers", _ask_list, _read_tickers),
    BookTickersQuery: Question("book tickers", "/v5/market/tickers", _ask_list, _read_book_tickers),
    PricesQuery: Question("prices", "/v5/market/tickers", _ask_list, _read_prices),
    MarkPricesQuery: Question("mark prices", "/v5/market/tickers", _ask_list, _read_mark_prices, True),
    FundingRatesQuery: Question(
        "funding rates", "/v5/market/funding/history", _ask_funding_rates, _read_funding_rates, True
    ),
    OpenInterestQuery: Question("open interest", "/v5/market/tickers", _ask_open_interest, _read_open_interest, True),
}


def questions_of(market: Market) -> Mapping[type, Question]:
    """The questions one product can be asked."""
    return {kind: each for kind, each in QUESTIONS.items() if not (each.contracts_only and market.is_spot)}


# ---------------------------------------------------------------- failures


def reaction_error(
    reaction: Reaction,
    code: str,
    text: str,
    *,
    write: bool,
    status: int | None = None,
    retry_after_s: float | None = None,
) -> ConnectorError:
    """The error a code asks for. `text` is the venue's own."""
    said = f"{VENUE} answered with code {code}: {text}"
    match reaction:
        case Reaction.UNKNOWN | Reaction.OVERLOADED | Reaction.DUPLICATE_REQUEST if write:
            return OutcomeUnknown(f"{said}. It may have been done; ask before anything is sent again.")
        case Reaction.UNKNOWN:
            return VenueUnavailable(f"{said}. Try later.", retry_after_s=retry_after_s, code=code)
        case Reaction.OVERLOADED | Reaction.RATE_LIMITED:
            return RateLimited(f"{said}. A request budget is spent.", retry_after_s=retry_after_s, code=code)
        case Reaction.BANNED:
            wait_s = _BAN_S if retry_after_s is None else max(retry_after_s, _BAN_S)
            return Banned(f"{said}. Nothing may be sent from this address.", retry_after_s=wait_s, code=code)
        case Reaction.CLOCK:
            return ClockRejected(f"{said}. Measure the clock offset again, sign anew, send once.", code=code)
        case Reaction.RECONNECT:
            return NotConnected(f"{said}. This connection is used up; another one is needed.", code=code)
        case Reaction.CREDENTIALS:
            return AuthenticationFailed(f"{said}. An operator has to look at key, host and address list.", code=code)
        case Reaction.MISCONFIGURED:
            return Misconfigured(f"{said}. This driver needs a unified account and the paths of 2026.")
        case Reaction.DUPLICATE:
            return VenueRejected(VENUE, code, f"{text} ({DUPLICATE_TEXT})", status=status)
        case _:
            return VenueRejected(VENUE, code, text, status=status)


def _reset_s(response: HttpResponse, answered_ms: int | None) -> float | None:
    """How long until the endpoint's window is over, by the venue's own two times; ours where it told only one."""
    text = response.headers.get("x-bapi-limit-reset-timestamp", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) == 13):
        return None
    now_ms = response.received_ns // NS_PER_MS if answered_ms is None else answered_ms
    wait_s = (int(text) - now_ms) / 1_000
    return wait_s if 0.0 <= wait_s <= 3_600.0 else None


def _head(response: HttpResponse) -> wire.Head | None:
    try:
        return wire.HEAD.decode(response.body)
    except wire.UNREADABLE:
        return None


def _failure(response: HttpResponse, write: bool) -> ConnectorError | None:
    status, head = response.status, _head(response)
    if head is None:
        return _by_status(response, write, _start_of(response))
    if head.ret_code == 0 and 200 <= status < 300:
        return None
    code, text = str(head.ret_code)[:40], (head.ret_msg or "")[:_TEXT_SHOWN]
    if status >= 500 or head.ret_code == 0:
        return _by_status(response, write, f"code {code}: {text}", code)
    reaction = ERRORS.get(code)
    if reaction is not None:
        retry_after_s = _reset_s(response, head.time)
        return reaction_error(reaction, code, text, write=write, status=status, retry_after_s=retry_after_s)
    if not 200 <= status < 300:
        return _by_status(response, write, f"code {code}: {text}", code)
    if write:
        return OutcomeUnknown(
            f"{VENUE} answered with code {code}: {text}. That code is not known to mean “not done”; ask before sending again."
        )
    return VenueRejected(VENUE, code, text, status=status)


def _start_of(response: HttpResponse) -> str:
    return " ".join(response.body[:_TEXT_SHOWN].decode("utf-8", "replace").split()) or "no body"


def _by_status(response: HttpResponse, write: bool, said: str, code: str | None = None) -> ConnectorError:
    """A refusal whose code says nothing: none, one not in the table, or one that the status overrules."""
    status = response.status
    shown = f"{VENUE} answered with HTTP status {status}, {said}"
    if status == 401:
        return AuthenticationFailed(f"{shown}. An operator has to look at key, host and address list.", code=code)
    if status == 403:
        if "country" in said.casefold():
            return Misconfigured(f"{shown}. The venue does not serve this place; choose another host or address.")
        return Banned(
            f"{shown}. The address's limit is spent, or the place is not served. It wants ten minutes of silence.",
            retry_after_s=_BAN_S,
            code=code,
        )
    if status == 429 and not write:
        return RateLimited(f"{shown}. The venue protects itself.", retry_after_s=_reset_s(response, None), code=code)
    if write:
        return OutcomeUnknown(f"{shown}. This is no answer known to mean “not done”; ask before sending again.")
    if status >= 500 or (code is None and status != 404):
        return VenueUnavailable(f"{shown}. That is not an exchange's answer; try later.", code=code)
    return VenueRejected(VENUE, code or str(status), said, status=status)


def _raise_unknown(market: Market, query: Query, table: InstrumentTable | None, refused: VenueRejected) -> None:
    """Name the symbol the table does not have, with its likes. The venue has one code for all wrong parameters."""
    asked = getattr(query, "symbols", None) or ((query.symbol,) if hasattr(query, "symbol") else ())
    if table is None:
        return
    try:
        for symbol in asked:
            table.require(symbol)
    except UnknownSymbol as unknown:
        raise unknown from refused


# ---------------------------------------------------------------- the language

_PARAMETERS = "10001"


@dataclass(frozen=True, slots=True)
class Rest:
    """RestLanguage of one product of Bybit; see `drivers.contract`."""

    market: Market

    def _question(self, query: Query) -> Question:
        found = questions_of(self.market).get(type(query))
        if found is None:
            names = ", ".join(question.name for question in questions_of(self.market).values())
            raise Unsupported(f"{self.market.name} cannot be asked {type(query).__name__}. It answers: {names}.")
        return found

    def _get(self, path: str, query: str) -> HttpRequest:
        return HttpRequest("GET", path, query, safe=True, charges=(Charge(facts.IP, 1),))

    def request(self, query: Query) -> HttpRequest:
        question = self._question(query)
        return self._get(question.path, percent_encoded(question.ask(self.market, query)))

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        question = self._question(query)
        error = self.failure(response, write=False)
        if isinstance(error, VenueRejected) and error.code == _PARAMETERS:
            _raise_unknown(self.market, query, instruments, error)
        if error is not None:
            raise error
        try:
            return question.read(self.market, query, response, instruments)
        except wire.UNREADABLE as problem:  # e.g. NaN, which cannot even be compared
            raise WireFormatError(question.name, str(problem), response.body) from problem

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return _failure(response, write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        """Of the instruments only: a page of contracts has a thousand at most."""
        if not isinstance(query, InstrumentsQuery) or self.failure(response, write=False) is not None:
            return None
        try:
            cursor = wire.CURSOR.decode(response.body).result.next_page_cursor
        except wire.UNREADABLE:
            return None
        if not cursor or CURSOR.fullmatch(cursor) is None:
            return None
        params = percent_encoded(_ask_instruments(self.market, query))
        return self._get(self._question(query).path, f"{params}&cursor={cursor}")

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        if isinstance(query, InstrumentsQuery):
            return joined_venues(self.market, parts)
        raise ConnectorBug(f"{self.market.name} answers {type(query).__name__} in one part, not in {len(parts)}.")

    def used(self, response: HttpResponse, charges: Sequence[Charge] = ()) -> Mapping[str, int]:
        """The venue's headers tell how much of an endpoint's limit is left, and not of which: replies of the order connection
        name it, for others it is in `charges`."""
        limit, left = (response.headers.get(name, "") for name in ("x-bapi-limit", "x-bapi-limit-status"))
        named = [charge.budget for charge in charges if charge.budget != facts.IP]
        if BUDGET_HEADER in response.headers:
            named = [response.headers[BUDGET_HEADER]]
        if len(named) != 1 or not all(text.isascii() and text.isdigit() and len(text) < 7 for text in (limit, left)):
            return {}
        return {named[0]: max(0, int(limit) - int(left))}
