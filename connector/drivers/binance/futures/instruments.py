"""`exchangeInfo` of the futures hosts to instruments, filters and request limits, and the spelling of symbols.

As on spot: an entry that cannot be read is left out and named in `skipped`, a filter of a kind not known is kept as text, a
known one that cannot be read costs its instrument. What the venue counts is what filters of quantity bind: base units on
USDⓈ-M, whole contracts on COIN-M. A perpetual's delivery date is a far-off sentinel and means nothing.

Source: venue API docs, "Exchange Information", "Common Definition", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import msgspec

from connector.domain.instruments import (
    Filter,
    Instrument,
    InstrumentStatus,
    InstrumentTable,
    NotionalFilter,
    PriceBandFilter,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_MS, datetime_from_ns
from connector.domain.wire import BudgetLimit
from connector.drivers.binance import wire as spot_wire
from connector.drivers.binance.futures import wire
from connector.drivers.binance.futures.facts import LIMITS, Futures
from connector.drivers.binance.instruments import (
    SHARED_FILTERS,
    FilterReader,
    amount,
    bound,
    decoder,
    each,
    name_of,
    read_filters,
    read_limit,
)
from connector.drivers.contract import SkippedInstrument, VenueInfo
from connector.errors import ConnectorError, InvalidRequest, Unsupported

__all__ = ["FILTER_KINDS", "read_venue", "require", "wire_name"]

# Only closing orders are taken while a contract is being delivered: OTHER leaves it to the venue which those are.
_STATUS = {
    "TRADING": InstrumentStatus.TRADING,
    "PENDING_TRADING": InstrumentStatus.HALTED,
    "TRADING_HALT": InstrumentStatus.HALTED,
    "TRADING_CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY,
    "PRE_SETTLE": InstrumentStatus.HALTED,
    "SETTLING": InstrumentStatus.HALTED,
    "CLOSE": InstrumentStatus.HALTED,
    "DELIVERED": InstrumentStatus.HALTED,
}
_EXAMPLES = {Product.LINEAR: "BTC/USDT:USDT", Product.INVERSE: "BTC/USD:BTC"}


def wire_name(futures: Futures) -> Callable[[Symbol], str]:
    """How this product spells symbols: BTC/USDT:USDT is "BTCUSDT", BTC/USD:BTC "BTCUSD_PERP", dated ones end in "_261225".

    What is made raises Unsupported for symbols of another product, spot's included, though that writes some alike.
    """

    def spelled(symbol: Symbol) -> str:
        settled = symbol.quote if futures.product is Product.LINEAR else symbol.base
        if symbol.product is not futures.product or symbol.settle != settled:
            raise Unsupported(
                f"{futures.title} has no {symbol}. Expected a symbol like {_EXAMPLES[futures.product]!r}, or a dated one."
            )
        pair = symbol.base + symbol.quote
        if symbol.expiry is not None:
            return f"{pair}_{symbol.expiry}"
        return pair if futures.product is Product.LINEAR else f"{pair}_PERP"

    return spelled


# ---------------------------------------------------------------- filters


class _MinNotional(msgspec.Struct, rename="camel"):
    """Market orders are valued at the mark price; orders that only close are exempt."""

    notional: Decimal

    def domain(self, name: str) -> Filter:
        return NotionalFilter(bound(self.notional), None, True, False, reduce_only_exempt=True)


class _PercentPrice(msgspec.Struct, rename="camel"):
    """Against the mark price, and one-sided: a buy is held from above, a sell from below."""

    multiplier_up: Decimal
    multiplier_down: Decimal

    def domain(self, name: str) -> Filter:
        up, down = amount(self.multiplier_up), amount(self.multiplier_down)
        return PriceBandFilter(up, spot_wire.ZERO, spot_wire.LARGEST, down)


_FILTERS: dict[str, FilterReader] = {
    **SHARED_FILTERS,
    "MIN_NOTIONAL": decoder(_MinNotional),
    "PERCENT_PRICE": decoder(_PercentPrice),
}
FILTER_KINDS = frozenset(_FILTERS)
"""Filters understood; POSITION_RISK_CONTROL and any other are kept as OtherFilter."""

_ENTRY = msgspec.json.Decoder(wire.SymbolEntry)
_INFO = msgspec.json.Decoder(spot_wire.ExchangeInfo)

# ---------------------------------------------------------------- the list


def _symbol(futures: Futures, entry: wire.SymbolEntry) -> Symbol:
    expiry = None
    if "PERPETUAL" not in entry.contract_type:
        expiry = datetime_from_ns(entry.delivery_date * NS_PER_MS).strftime("%y%m%d")
    symbol = Symbol(entry.base_asset, entry.quote_asset, entry.margin_asset, expiry)
    if Symbol.parse(str(symbol)) != symbol or wire_name(futures)(symbol) != entry.symbol:
        raise ValueError(f"the name is not what {symbol} is written as")
    return symbol


def _instrument(futures: Futures, raw: msgspec.Raw) -> Instrument:
    entry = _ENTRY.decode(raw)
    status = entry.status or entry.contract_status
    if status is None:
        raise ValueError("it has neither status nor contractStatus")
    size = Decimal(1)
    if futures.contracts:
        if entry.contract_size is None or not spot_wire.SMALLEST <= entry.contract_size <= spot_wire.LARGEST:
            raise ValueError(f"contractSize {entry.contract_size!s:.40} is no size")
        size = entry.contract_size
    return Instrument(
        venue=futures.venue,
        symbol=_symbol(futures, entry),
        venue_name=entry.symbol,
        status=_STATUS.get(status, InstrumentStatus.OTHER),
        status_text=status,
        base_decimals=entry.base_asset_precision,
        quote_decimals=entry.quote_precision,
        order_types=tuple(entry.order_types),
        filters=read_filters(entry.filters, _FILTERS),
        contract_size=size,
        permissions=tuple(word for word in (entry.contract_type, entry.underlying_type) if word),
    )


def _limit(futures: Futures, raw: msgspec.Raw) -> BudgetLimit:
    """What the venue tells; of COIN-M never more than the shared pool, as its host may still tell a figure of its own."""
    told = read_limit(raw)
    shared = next((limit for limit in LIMITS if limit.name == told.name), None)
    if futures.contracts and shared is not None and told.points > shared.points:
        return replace(told, points=shared.points)
    return told


def read_venue(futures: Futures, body: bytes) -> VenueInfo:
    """Translate one `exchangeInfo` answer.

    Raises:
        WireFormatError: the answer as a whole is not the object it should be.
    """
    info = spot_wire.decode("exchangeInfo", _INFO, body)
    skipped: list[SkippedInstrument] = []
    instruments: dict[str, Instrument] = {}
    for raw in info.symbols:
        try:
            instrument = _instrument(futures, raw)
            if instrument.venue_name in instruments:
                raise ValueError("it is listed twice; the first entry is kept")
        except (*spot_wire.UNREADABLE, ConnectorError) as problem:
            skipped.append(SkippedInstrument(name_of(raw), f"instrument: {problem}"))
        else:
            instruments[instrument.venue_name] = instrument
    limits = each(info.rate_limits, lambda raw: _limit(futures, raw), "limit", skipped)
    filters = each(info.exchange_filters, lambda raw: read_filters([raw], _FILTERS)[0], "filter", skipped)
    server_time_ns = None if info.server_time is None else info.server_time * NS_PER_MS
    return VenueInfo(
        InstrumentTable(futures.venue, instruments.values()), limits, server_time_ns, tuple(skipped), filters
    )


def require(futures: Futures, symbol: Symbol, table: InstrumentTable | None) -> Instrument:
    """The instrument of a symbol, where reading needs one.

    Raises:
        InvalidRequest: there is no table yet. UnknownSymbol: it has no such instrument.
    """
    if table is None:
        raise InvalidRequest(
            f"{symbol}: contracts become base units by the instrument table. Ask for the instruments first."
        )
    return table.require(symbol)
