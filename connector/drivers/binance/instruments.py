"""`exchangeInfo` to instruments, filters and request limits, and the spelling of symbols.

An entry that cannot be read is left out and named in `skipped`; the others are not touched by it. A filter of a kind not
known here is kept as text. A known filter that cannot be read costs its instrument: orders must not be checked against
half of the rules. A bound of 0 does not bind, as the documents say, and becomes None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from connector.domain.instruments import (
    AmountFilter,
    CountFilter,
    Filter,
    Instrument,
    InstrumentStatus,
    InstrumentTable,
    NotionalFilter,
    OtherFilter,
    PriceBandFilter,
    PriceFilter,
    TrailingFilter,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.wire import BudgetLimit
from connector.drivers.binance import wire
from connector.drivers.binance.facts import VENUE, budget_name
from connector.drivers.contract import SkippedInstrument, VenueInfo
from connector.errors import ConnectorError, Unsupported

__all__ = [
    "FILTER_KINDS",
    "SECONDS",
    "SHARED_FILTERS",
    "FilterReader",
    "amount",
    "bound",
    "decoder",
    "each",
    "name_of",
    "read_filters",
    "read_limit",
    "read_venue",
    "wire_name",
]

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}

# Documents name five; any other word is OTHER with its text kept, and nothing is concluded from it.
_STATUS = {
    "TRADING": InstrumentStatus.TRADING,
    "CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY,
    "HALT": InstrumentStatus.HALTED,
    "BREAK": InstrumentStatus.HALTED,
    "END_OF_DAY": InstrumentStatus.HALTED,
}


def wire_name(symbol: Symbol) -> str:
    """The venue's spelling: BTC/USDT is "BTCUSDT". Stream names take the same in lower case.

    Raises:
        Unsupported: the symbol is no spot symbol; contracts are another driver's.
    """
    if symbol.product is not Product.SPOT:
        raise Unsupported(f"{VENUE} spot has no contracts, so no {symbol}. Expected a spot symbol like 'BTC/USDT'.")
    return symbol.base + symbol.quote


# ---------------------------------------------------------------- filters


class _Head(msgspec.Struct, rename="camel"):
    filter_type: str


class _Price(msgspec.Struct, rename="camel"):
    min_price: Decimal
    max_price: Decimal
    tick_size: Decimal

    def domain(self, name: str) -> Filter:
        return PriceFilter(bound(self.min_price), bound(self.max_price), bound(self.tick_size))


class _Amount(msgspec.Struct, rename="camel"):
    min_qty: Decimal
    max_qty: Decimal
    step_size: Decimal

    def domain(self, name: str) -> Filter:
        market = name == "MARKET_LOT_SIZE"
        return AmountFilter(bound(self.min_qty), bound(self.max_qty), bound(self.step_size), market)


_Minutes = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class _MinNotional(msgspec.Struct, rename="camel"):
    min_notional: Decimal
    apply_to_market: bool
    avg_price_mins: _Minutes = 0

    def domain(self, name: str) -> Filter:
        return NotionalFilter(bound(self.min_notional), None, self.apply_to_market, False, self.avg_price_mins)


class _Notional(msgspec.Struct, rename="camel"):
    min_notional: Decimal
    apply_min_to_market: bool
    max_notional: Decimal
    apply_max_to_market: bool
    avg_price_mins: _Minutes = 0

    def domain(self, name: str) -> Filter:
        low, high = bound(self.min_notional), bound(self.max_notional)
        return NotionalFilter(low, high, self.apply_min_to_market, self.apply_max_to_market, self.avg_price_mins)


class _PercentPrice(msgspec.Struct, rename="camel"):
    multiplier_up: Decimal
    multiplier_down: Decimal
    avg_price_mins: _Minutes = 0

    def domain(self, name: str) -> Filter:
        up, down = amount(self.multiplier_up), amount(self.multiplier_down)
        return PriceBandFilter(up, down, up, down, self.avg_price_mins)


class _PercentPriceBySide(msgspec.Struct, rename="camel"):
    bid_multiplier_up: Decimal
    bid_multiplier_down: Decimal
    ask_multiplier_up: Decimal
    ask_multiplier_down: Decimal
    avg_price_mins: _Minutes = 0

    def domain(self, name: str) -> Filter:
        return PriceBandFilter(
            amount(self.bid_multiplier_up),
            amount(self.bid_multiplier_down),
            amount(self.ask_multiplier_up),
            amount(self.ask_multiplier_down),
            self.avg_price_mins,
        )


class _Trailing(msgspec.Struct, rename="camel"):
    min_trailing_above_delta: wire.Count
    max_trailing_above_delta: wire.Count
    min_trailing_below_delta: wire.Count
    max_trailing_below_delta: wire.Count

    def domain(self, name: str) -> Filter:
        return TrailingFilter(
            self.min_trailing_above_delta,
            self.max_trailing_above_delta,
            self.min_trailing_below_delta,
            self.max_trailing_below_delta,
        )


class _Count(msgspec.Struct, rename="camel"):
    """The cap's field is named after the filter: exactly one of these is there."""

    limit: Decimal | None = None
    max_num_orders: Decimal | None = None
    max_num_algo_orders: Decimal | None = None
    max_num_iceberg_orders: Decimal | None = None
    max_num_order_amends: Decimal | None = None
    max_num_order_lists: Decimal | None = None
    max_position: Decimal | None = None

    def domain(self, name: str) -> Filter:
        given = [value for value in msgspec.structs.astuple(self) if value is not None]
        if len(given) != 1:
            raise ValueError(f"{len(given)} caps, expected one")
        return CountFilter(name, amount(given[0]))


FilterReader = Callable[[msgspec.Raw], Any]
"""raw entry -> something whose `domain(name)` is the filter."""


def decoder(kind: type[Any]) -> FilterReader:
    return msgspec.json.Decoder(kind).decode


_AMOUNT, _COUNT = decoder(_Amount), decoder(_Count)
SHARED_FILTERS: Mapping[str, FilterReader] = {
    "PRICE_FILTER": decoder(_Price),
    "LOT_SIZE": _AMOUNT,
    "MARKET_LOT_SIZE": _AMOUNT,
    "MAX_NUM_ORDERS": _COUNT,
    "MAX_NUM_ALGO_ORDERS": _COUNT,
}
"""Filters that all products spell alike."""
_FILTERS: dict[str, FilterReader] = {
    **SHARED_FILTERS,
    "MIN_NOTIONAL": decoder(_MinNotional),
    "NOTIONAL": decoder(_Notional),
    "PERCENT_PRICE": decoder(_PercentPrice),
    "PERCENT_PRICE_BY_SIDE": decoder(_PercentPriceBySide),
    "TRAILING_DELTA": decoder(_Trailing),
    "ICEBERG_PARTS": _COUNT,
    "MAX_NUM_ICEBERG_ORDERS": _COUNT,
    "MAX_NUM_ORDER_AMENDS": _COUNT,
    "MAX_NUM_ORDER_LISTS": _COUNT,
    "MAX_POSITION": _COUNT,
    "EXCHANGE_MAX_NUM_ORDERS": _COUNT,
    "EXCHANGE_MAX_NUM_ALGO_ORDERS": _COUNT,
    "EXCHANGE_MAX_NUM_ICEBERG_ORDERS": _COUNT,
    "EXCHANGE_MAX_NUM_ORDER_LISTS": _COUNT,
}
FILTER_KINDS = frozenset(_FILTERS)
"""Filters understood; MAX_ASSET and any other are kept as OtherFilter."""

_HEAD = msgspec.json.Decoder(_Head)
_ENTRY = msgspec.json.Decoder(wire.SymbolEntry)
_NAME = msgspec.json.Decoder(wire.SymbolName)
_LIMIT = msgspec.json.Decoder(wire.RateLimitEntry)
_INFO = msgspec.json.Decoder(wire.ExchangeInfo)


def amount(value: Decimal) -> Decimal:
    if not wire.is_amount(value):
        raise ValueError(f"number {value!s:.40} is out of range")
    return value


def bound(value: Decimal) -> Decimal | None:
    return amount(value) or None


def read_filters(raw: Iterable[msgspec.Raw], known_filters: Mapping[str, FilterReader]) -> tuple[Filter, ...]:
    """Filters in the venue's order; one of a kind not known is kept as text.

    Raises:
        ValueError: a known one cannot be read.
    """
    found: list[Filter] = []
    for text in raw:
        name = _HEAD.decode(text).filter_type
        known = known_filters.get(name)
        if known is None:
            found.append(OtherFilter(name, bytes(text).decode()))
            continue
        try:
            found.append(known(text).domain(name))
        except wire.UNREADABLE as problem:
            raise ValueError(f"filter {name}: {problem}") from problem
    return tuple(found)


# ---------------------------------------------------------------- the list


def _instrument(raw: msgspec.Raw) -> Instrument:
    entry = _ENTRY.decode(raw)
    symbol = Symbol.parse(f"{entry.base_asset}/{entry.quote_asset}")
    if symbol != Symbol(entry.base_asset, entry.quote_asset) or wire_name(symbol) != entry.symbol:
        raise ValueError(f"the name is not its assets {entry.base_asset!r} and {entry.quote_asset!r} written together")
    quote_decimals = entry.quote_precision if entry.quote_asset_precision is None else entry.quote_asset_precision
    if quote_decimals is None:
        raise ValueError("quoteAssetPrecision is missing")
    permissions = entry.permissions or sorted({name for names in entry.permission_sets for name in names})
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        venue_name=entry.symbol,
        status=_STATUS.get(entry.status, InstrumentStatus.OTHER),
        status_text=entry.status,
        base_decimals=entry.base_asset_precision,
        quote_decimals=quote_decimals,
        order_types=tuple(entry.order_types),
        filters=read_filters(entry.filters, _FILTERS),
        permissions=tuple(permissions),
    )


def read_limit(raw: msgspec.Raw) -> BudgetLimit:
    entry = _LIMIT.decode(raw)
    if entry.interval not in SECONDS:
        raise ValueError(f"interval {entry.interval!r} is unknown")
    window_s = SECONDS[entry.interval] * entry.interval_num
    return BudgetLimit(budget_name(entry.rate_limit_type, window_s), entry.limit, float(window_s), True, "exchangeInfo")


def name_of(raw: msgspec.Raw) -> str:
    try:
        return _NAME.decode(raw).symbol
    except wire.UNREADABLE:
        return ""


def read_venue(body: bytes) -> VenueInfo:
    """Translate one `exchangeInfo` answer.

    Raises:
        WireFormatError: the answer as a whole is not the object it should be.

    Source: venue API docs, "Exchange information", "Filters", "Enums", read 2026-11.
    """
    info = wire.decode("exchangeInfo", _INFO, body)
    skipped: list[SkippedInstrument] = []
    instruments: dict[str, Instrument] = {}
    for raw in info.symbols:
        try:
            instrument = _instrument(raw)
            if instrument.venue_name in instruments:
                raise ValueError("it is listed twice; the first entry is kept")
        except (*wire.UNREADABLE, ConnectorError) as problem:
            skipped.append(SkippedInstrument(name_of(raw), f"instrument: {problem}"))
        else:
            instruments[instrument.venue_name] = instrument
    limits = each(info.rate_limits, read_limit, "limit", skipped)
    filters = each(info.exchange_filters, lambda raw: read_filters([raw], _FILTERS)[0], "filter", skipped)
    server_time_ns = None if info.server_time is None else info.server_time * NS_PER_MS
    return VenueInfo(InstrumentTable(VENUE, instruments.values()), limits, server_time_ns, tuple(skipped), filters)


def each(raws: Iterable[msgspec.Raw], read: Callable[[msgspec.Raw], Any], what: str, skipped: list[Any]) -> Any:
    found = []
    for raw in raws:
        try:
            found.append(read(raw))
        except wire.UNREADABLE as problem:
            skipped.append(SkippedInstrument("", f"{what}: {problem}"))
    return tuple(found)
