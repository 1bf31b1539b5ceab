"""RestLanguage of the mock venue: refusals classed, questions out, answers in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from connector.domain.instruments import InstrumentTable
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.wire import Charge, HttpRequest, HttpResponse
from connector.drivers.contract import VenueInfo
from connector.errors import (
    AuthenticationFailed,
    ClockRejected,
    ConnectorError,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    Unsupported,
    VenueRejected,
    VenueUnavailable,
    WireFormatError,
)
from connector.testing.mock_driver.facts import CODES, DEPTH_PAGE, INTERVALS, ORDERS, PAGE, REQUESTS, VENUE, Reaction
from connector.testing.mock_driver.instruments import INSTRUMENTS, read_instruments, wire_name
from connector.testing.mock_driver.market import (
    AggRow,
    BestRow,
    CandleRow,
    DepthRow,
    FundingRow,
    InterestRow,
    MarkRow,
    PriceRow,
    TickerRow,
    TradeRow,
)
from connector.testing.mock_driver.wire import UNREADABLE, Ms, decoded, decoder_of, words

__all__ = ["QUESTIONS", "Rest", "failure", "need_contract", "reaction_error", "require_good", "used_points"]


class _Refused(msgspec.Struct):
    code: str
    text: str = ""


_REFUSED = decoder_of(_Refused)


def reaction_error(
    code: str, text: str, *, write: bool, retry_after_s: float | None = None, status: int = 0
) -> ConnectorError:
    """The error of a code; one that is not in the table is unknown for a command and an error for a question."""
    shown = f"{VENUE} answered {words(code)}: {text[:200]}"
    match CODES.get(code, Reaction.UNKNOWN):
        case Reaction.RATE_LIMITED:
            return RateLimited(shown, retry_after_s=retry_after_s, code=code)
        case Reaction.CLOCK:
            return ClockRejected(shown, code=code)
        case Reaction.CREDENTIALS:
            return AuthenticationFailed(shown, code=code)
        case Reaction.REJECTED:
            return VenueRejected(VENUE, code, text[:200], status=status or None)
    return OutcomeUnknown(shown) if write else VenueUnavailable(shown, code=code)


def failure(response: HttpResponse, *, write: bool) -> ConnectorError | None:
    if response.status == 200:
        return None
    wait_s = _seconds(response.headers.get("retry-after", ""))
    try:
        said = _REFUSED.decode(response.body)
    except UNREADABLE:
        said = None
    if response.status >= 500 or said is None:
        if response.status == 429:
            return RateLimited(f"{VENUE} answered with status 429", retry_after_s=wait_s)
        shown = f"{VENUE} answered with status {response.status} and no reason"
        return OutcomeUnknown(shown) if write else VenueUnavailable(shown)
    return reaction_error(said.code, said.text, write=write, retry_after_s=wait_s, status=response.status)


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def require_good(response: HttpResponse, *, write: bool) -> None:
    error = failure(response, write=write)
    if error is not None:
        raise error


def used_points(response: HttpResponse) -> Mapping[str, int]:
    told = {name: response.headers.get(f"mock-used-{name.lower()}", "") for name in (REQUESTS, ORDERS)}
    return {name: int(text) for name, text in told.items() if re.fullmatch(r"[0-9]{1,9}", text)}


_Read = Callable[[Any, HttpResponse, InstrumentTable | None], Any]


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    path: str
    params: Callable[[Any], list[tuple[str, str]]]
    read: _Read


def _limit(value: int | None, most: int = PAGE) -> tuple[str, str]:
    if value is None:
        return "limit", str(most)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidRequest(f"limit is {value!r:.20}. {VENUE} gives 1 to {most} rows.")
    return "limit", str(value)


def _span(query: Any) -> list[tuple[str, str]]:
    """Both ends inclusive, in milliseconds: the start is rounded up and the end down."""
    if query.start_ns is not None and query.end_ns is not None and query.start_ns > query.end_ns:
        raise InvalidRequest(f"the range ends before it starts: start_ns {query.start_ns}, end_ns {query.end_ns}.")
    ends = [] if query.start_ns is None else [("start", str(-(-query.start_ns // NS_PER_MS)))]
    return ends if query.end_ns is None else [*ends, ("end", str(query.end_ns // NS_PER_MS))]


def _one(query: Any) -> list[tuple[str, str]]:
    return [("symbol", wire_name(query.symbol))]


def _contract(query: Any) -> list[tuple[str, str]]:
    need_contract(query.symbol)
    return _one(query)


def need_contract(symbol: Symbol) -> None:
    if symbol.product is Product.SPOT:
        raise InvalidRequest(f"{symbol} is spot; only contracts have marks, funding and liquidations.")


def _many(query: Any) -> list[tuple[str, str]]:
    names = ",".join(wire_name(symbol) for symbol in dict.fromkeys(query.symbols))
    return [("symbols", names)] if names else []


def _ask_candles(query: CandlesQuery) -> list[tuple[str, str]]:
    if query.interval not in INTERVALS:
        raise InvalidRequest(f"interval {query.interval!r:.20} is none of {', '.join(INTERVALS)}.")
    return [*_one(query), ("interval", query.interval), *_span(query), _limit(query.limit)]


def _ask_history(query: HistoricalTradesQuery) -> list[tuple[str, str]]:
    start = [] if query.from_id is None else [("from", str(query.from_id))]
    return [*_one(query), *start, _limit(query.limit)]


def _ask_agg(query: AggTradesQuery) -> list[tuple[str, str]]:
    span = _span(query)
    if span and query.from_id is not None:
        raise InvalidRequest("aggregate trades are asked for by from_id or by time, not by both.")
    start = [] if query.from_id is None else [("from", str(query.from_id))]
    return [*_one(query), *start, *span, _limit(query.limit)]


def _rows(
    kind: str, row: type[Any], *, key: str | None = None, extra: Callable[[Any], tuple[Any, ...]] | None = None
) -> _Read:
    """Reads a list of rows of one symbol; `key` has to rise from row to row."""
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        rows = decoded(kind, decoder, response.body)
        for before, after in pairwise(rows):
            if key is not None and getattr(after, key) <= getattr(before, key):
                raise WireFormatError(kind, "rows are not oldest first", response.body)
        more = extra(query) if extra is not None else ()
        return tuple(each.event(query.symbol, response.received_ns, *more) for each in rows)

    return read


def _listed(kind: str, row: type[Any]) -> _Read:
    """Reads a list of rows of many symbols, in the order asked. What is not in the table is left out."""
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        found: dict[Symbol, Any] = {}
        for each in decoded(kind, decoder, response.body):
            instrument = table.by_name(each.symbol) if table is not None else None
            if instrument is not None:
                found[instrument.symbol] = each.event(instrument.symbol, response.received_ns)
        missing = [str(symbol) for symbol in query.symbols if symbol not in found]
        if missing:
            raise WireFormatError(kind, f"nothing is said about {', '.join(missing)}", response.body)
        return tuple(found[symbol] for symbol in query.symbols or found)

    return read


def _single(kind: str, row: type[Any]) -> _Read:
    decoder = decoder_of(row)

    def read(query: Any, response: HttpResponse, table: InstrumentTable | None) -> Any:
        return decoded(kind, decoder, response.body).event(query.symbol, response.received_ns)

    return read


class _TimeAnswer(msgspec.Struct):
    time: Ms


_TIME = decoder_of(_TimeAnswer)


def _read_time(query: Query, response: HttpResponse, table: InstrumentTable | None) -> int:
    return decoded("server time", _TIME, response.body).time * NS_PER_MS


QUESTIONS: Mapping[type[Any], _Question] = MappingProxyType(
    {
        ServerTimeQuery: _Question("server time", "/time", lambda query: [], _read_time),
        InstrumentsQuery: _Question("instruments", "/instruments", lambda query: [], read_instruments),
        CandlesQuery: _Question(
            "candles",
            "/candles",
            _ask_candles,
            _rows("candles", CandleRow, key="start", extra=lambda query: (query.interval,)),
        ),
        RecentTradesQuery: _Question(
            "recent trades",
            "/trades",
            lambda query: [*_one(query), _limit(query.limit)],
            _rows("trades", TradeRow, key="id"),
        ),
        HistoricalTradesQuery: _Question(
            "historical trades", "/trades", _ask_history, _rows("trades", TradeRow, key="id")
        ),
        AggTradesQuery: _Question(
            "aggregate trades", "/agg-trades", _ask_agg, _rows("aggregate trades", AggRow, key="id")
        ),
        DepthQuery: _Question(
            "depth",
            "/depth",
            lambda query: [*_one(query), _limit(query.limit, DEPTH_PAGE)],
            _single("depth", DepthRow),
        ),
        TickersQuery: _Question("tickers", "/tickers", _many, _listed("tickers", TickerRow)),
        BookTickersQuery: _Question("book tickers", "/best", _many, _listed("best prices", BestRow)),
        PricesQuery: _Question("prices", "/prices", _many, _listed("prices", PriceRow)),
        MarkPricesQuery: _Question("mark prices", "/marks", _many, _listed("mark prices", MarkRow)),
        FundingRatesQuery: _Question(
            "funding rates",
            "/funding-rates",
            lambda query: [*_contract(query), *_span(query), _limit(query.limit)],
            _rows("funding rates", FundingRow, key="time"),
        ),
        OpenInterestQuery: _Question(
            "open interest", "/open-interest", _contract, _single("open interest", InterestRow)
        ),
    }
)


class Rest:
    """RestLanguage of the mock; see `drivers.contract`. Holds nothing."""

    def request(self, query: Query) -> HttpRequest:
        question = self._question(query)
        params = urlencode(question.params(query), quote_via=quote, safe="")
        return HttpRequest("GET", question.path, params, safe=True, charges=(Charge(REQUESTS, 1),))

    def read(self, query: Query, response: HttpResponse, instruments: InstrumentTable | None) -> Any:
        question = self._question(query)
        require_good(response, write=False)
        return question.read(query, response, instruments)

    def failure(self, response: HttpResponse, *, write: bool) -> ConnectorError | None:
        return failure(response, write=write)

    def more(self, query: Query, response: HttpResponse) -> HttpRequest | None:
        if not isinstance(query, InstrumentsQuery) or response.status != 200:
            return None
        try:
            page = INSTRUMENTS.decode(response.body).next
        except UNREADABLE:
            return None
        return (
            None
            if page is None
            else HttpRequest("GET", "/instruments", f"page={page}", safe=True, charges=(Charge(REQUESTS, 1),))
        )

    def joined(self, query: Query, parts: Sequence[Any]) -> Any:
        instruments = [instrument for part in parts for instrument in part.instruments.values()]
        skipped = tuple(entry for part in parts for entry in part.skipped)
        return VenueInfo(InstrumentTable(VENUE, instruments), parts[0].limits, parts[-1].server_time_ns, skipped)

    def used(self, response: HttpResponse) -> Mapping[str, int]:
        return used_points(response)

    def _question(self, query: Query) -> _Question:
        question = QUESTIONS.get(type(query))
        if question is None:
            raise Unsupported(f"{VENUE} cannot be asked {type(query).__name__}.")
        return question
