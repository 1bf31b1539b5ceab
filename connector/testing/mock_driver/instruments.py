"""The mock venue's instrument list, and how it spells symbols."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connector.domain.instruments import (
    AmountFilter,
    Filter,
    Instrument,
    InstrumentStatus,
    InstrumentTable,
    NotionalFilter,
    OtherFilter,
    PriceFilter,
)
from connector.domain.queries import Query
from connector.domain.symbols import Symbol
from connector.domain.times import NS_PER_MS
from connector.domain.wire import BudgetLimit, HttpResponse
from connector.drivers.contract import SkippedInstrument, VenueInfo
from connector.errors import ConnectorError, Unsupported
from connector.testing.mock_driver.facts import VENUE
from connector.testing.mock_driver.wire import UNREADABLE, Count, Ms, decoded, decoder_of, sound

__all__ = ["INSTRUMENTS", "read_instruments", "wire_name"]

_PERPETUAL = "PERP"


def wire_name(symbol: Symbol) -> str:
    """BTC-USDT on spot, BTC-USDT-PERP and BTC-USDT-261225 for contracts.

    Raises:
        Unsupported: inverse contracts, and contracts settled in a third asset.
    """
    if symbol.settle is None:
        return f"{symbol.base}-{symbol.quote}"
    if symbol.settle != symbol.quote:
        raise Unsupported(f"{symbol}: {VENUE} has spot, and contracts that settle in their quote asset.")
    return f"{symbol.base}-{symbol.quote}-{symbol.expiry or _PERPETUAL}"


def _symbol(name: str) -> Symbol:
    base, quote_asset, *dated = name.split("-")
    if not dated:
        return Symbol(base, quote_asset)
    if len(dated) > 1 or not base or not quote_asset:
        raise ValueError(f"{name!r:.60} is no name of an instrument")
    return Symbol(base, quote_asset, quote_asset, None if dated[0] == _PERPETUAL else dated[0])


class _FilterRow(msgspec.Struct):
    kind: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    step: Decimal | None = None


class _InstrumentRow(msgspec.Struct):
    name: str
    status: str
    decimals: tuple[Count, Count]
    types: tuple[str, ...]
    filters: tuple[msgspec.Raw, ...]


class _LimitRow(msgspec.Struct):
    name: str
    points: Annotated[int, Meta(gt=0)]
    window_s: Annotated[int, Meta(gt=0)]


class _InstrumentsAnswer(msgspec.Struct):
    instruments: list[msgspec.Raw]
    limits: list[msgspec.Raw]
    time: Ms
    next: Count | None


class _Named(msgspec.Struct):
    name: Any = ""


_FILTER, _INSTRUMENT, _LIMIT, _NAMED = (
    decoder_of(_FilterRow),
    decoder_of(_InstrumentRow),
    decoder_of(_LimitRow),
    decoder_of(_Named),
)
INSTRUMENTS = decoder_of(_InstrumentsAnswer)
_STATUSES = {
    "trading": InstrumentStatus.TRADING,
    "halted": InstrumentStatus.HALTED,
    "closing": InstrumentStatus.CANCEL_ONLY,
}


def _filter(raw: msgspec.Raw) -> Filter:
    row = _FILTER.decode(raw)
    for number in (row.minimum, row.maximum, row.step):
        if number is not None:
            sound("filter", number)
    match row.kind:
        case "price":
            return PriceFilter(row.minimum, row.maximum, row.step)
        case "quantity":
            return AmountFilter(row.minimum, row.maximum, row.step)
        case "notional":
            return NotionalFilter(row.minimum, row.maximum, True, True)
    return OtherFilter(row.kind, bytes(raw).decode())


def _instrument(raw: msgspec.Raw) -> Instrument:
    row = _INSTRUMENT.decode(raw)
    symbol = _symbol(row.name)
    if wire_name(symbol) != row.name:
        raise ValueError(f"{row.name!r:.60} does not go back to its symbol")
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        venue_name=row.name,
        status=_STATUSES.get(row.status, InstrumentStatus.OTHER),
        status_text=row.status,
        base_decimals=row.decimals[0],
        quote_decimals=row.decimals[1],
        order_types=row.types,
        filters=tuple(map(_filter, row.filters)),
    )


def read_instruments(query: Query, response: HttpResponse, table: InstrumentTable | None) -> VenueInfo:
    """Each entry by itself: one that cannot be read is left out and told, the others are not touched."""
    answer = decoded("instruments", INSTRUMENTS, response.body)
    found: list[Instrument] = []
    limits: list[BudgetLimit] = []
    skipped: list[SkippedInstrument] = []
    for raw in answer.instruments:
        try:
            found.append(_instrument(raw))
        except (*UNREADABLE, ConnectorError) as problem:
            skipped.append(SkippedInstrument(_name_of(raw), str(problem)[:200]))
    for raw in answer.limits:
        try:
            row = _LIMIT.decode(raw)
            limits.append(BudgetLimit(row.name, row.points, float(row.window_s), False, f"told by {VENUE}"))
        except UNREADABLE as problem:
            skipped.append(SkippedInstrument(_name_of(raw), str(problem)[:200]))
    return VenueInfo(InstrumentTable(VENUE, found), tuple(limits), answer.time * NS_PER_MS, tuple(skipped))


def _name_of(raw: msgspec.Raw) -> str:
    try:
        name = _NAMED.decode(raw).name
    except UNREADABLE:
        return ""
    return name[:60] if isinstance(name, str) else ""
