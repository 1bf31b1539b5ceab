"""`instruments-info` to instruments and filters, and the spelling of symbols, for all three products.

An entry that cannot be read is left out and named in `skipped`; the others are not touched by it. A bound the venue leaves empty
or writes as 0 does not bind and becomes None. Spot's `minOrderQty`, `maxOrderQty` and `maxOrderAmt` are not checked by the venue
any more (2025-10) and are not read. Amounts of inverse contracts are contracts, each worth one unit of the quote asset.

Names: a dated linear contract is its base, "USDT" when it settles in that, and "-DDMMMYY"; a USDC perpetual ends in "PERP"; a
dated inverse one ends in a letter for its month and the year. An entry whose name is not what its fields say is left out, since
topics are named from symbols alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

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
from connector.domain.symbols import Product, Symbol
from connector.domain.times import NS_PER_MS
from connector.drivers.bybit import wire
from connector.drivers.bybit.facts import MARKETS, Market
from connector.drivers.contract import SkippedInstrument, VenueInfo
from connector.errors import ConnectorError, Unsupported

__all__ = ["DOLLAR_CONTRACT", "joined_venues", "namer", "read_venue", "wire_name"]

# Contracts before their first trade, and between the last one and delivery, take no ordinary orders; any other word is kept.
_STATUS = {
    "Trading": InstrumentStatus.TRADING,
    "Delivering": InstrumentStatus.HALTED,
    "Settling": InstrumentStatus.HALTED,
    "Closed": InstrumentStatus.HALTED,
}
_KINDS = {
    Product.LINEAR: {"LinearPerpetual": False, "LinearFutures": True},
    Product.INVERSE: {"InversePerpetual": False, "InverseFutures": True},
}
"""Contract type -> whether it is dated. A perpetual's delivery time is 0, or when it is taken off the list."""
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_QUARTERS = {"03": "H", "06": "M", "09": "U", "12": "Z"}
_EXAMPLES = {Product.SPOT: "BTC/USDT", Product.LINEAR: "BTC/USDT:USDT", Product.INVERSE: "BTC/USD:BTC"}
_COIN_DECIMALS = 8  # of assets whose digits the venue does not tell

DOLLAR_CONTRACT = Instrument(
    venue=MARKETS[-1].name,
    symbol=Symbol("BTC", "USD", "BTC"),
    venue_name="BTCUSD",
    status=InstrumentStatus.OTHER,
    status_text="",
    base_decimals=_COIN_DECIMALS,
    quote_decimals=_COIN_DECIMALS,
    order_types=(),
    filters=(),
)
"""For arithmetic where no instrument is at hand: every inverse contract of the venue is worth one US dollar."""


# ---------------------------------------------------------------- names


def wire_name(market: Market, symbol: Symbol) -> str:
    """The venue's spelling, e.g. BTC/USDT is "BTCUSDT", BTC/USDC:USDC "BTCPERP", BTC/USDT:USDT-261225 "BTCUSDT-25DEC26".

    Raises:
        Unsupported: the symbol is another product's, or one the venue has no way to spell.
    """
    if symbol.product is not market.product:
        other = next(each.name for each in MARKETS if each.product is symbol.product)
        raise Unsupported(
            f"{market.name} has no {symbol}: it is {symbol.product.value}, see the driver {other!r}. "
            f"Expected a symbol like {_EXAMPLES[market.product]!r}."
        )
    if market.is_spot:
        return symbol.base + symbol.quote
    if market.is_inverse:
        if symbol.quote != "USD":
            raise Unsupported(f"{market.name} has no {symbol}: inverse contracts are quoted in USD.")
        return symbol.base + "USD" + _quarter(market, symbol)
    if symbol.quote != symbol.settle or symbol.settle not in market.settles:
        raise Unsupported(f"{market.name} has no {symbol}: contracts are quoted and settled in {_either(market)}.")
    if symbol.expiry is None:
        return symbol.base + ("PERP" if symbol.settle == "USDC" else "USDT")
    name = symbol.base + ("" if symbol.settle == "USDC" else "USDT")
    year, month, day = symbol.expiry[:2], int(symbol.expiry[2:4]), symbol.expiry[4:]
    if not 1 <= month <= 12:
        raise Unsupported(f"{market.name} has no {symbol}: {symbol.expiry} is no date, expected YYMMDD.")
    return f"{name}-{day}{_MONTHS[month - 1]}{year}"


def _either(market: Market) -> str:
    return " or ".join(market.settles)


def _quarter(market: Market, symbol: Symbol) -> str:
    if symbol.expiry is None:
        return ""
    letter = _QUARTERS.get(symbol.expiry[2:4])
    if letter is None:
        raise Unsupported(
            f"{market.name} has no {symbol}: inverse contracts expire in March, June, September, December."
        )
    return letter + symbol.expiry[:2]


def namer(market: Market) -> _Namer:
    """`wire_name` of one product."""
    return _Namer(market)


class _Namer:
    def __init__(self, market: Market) -> None:
        self._market = market

    def __call__(self, symbol: Symbol) -> str:
        return wire_name(self._market, symbol)

    def __repr__(self) -> str:
        return f"<names of {self._market.name}>"


# ---------------------------------------------------------------- one entry


def _amount(value: Decimal) -> Decimal:
    if not value.is_finite() or not wire.is_amount(value):
        raise ValueError(f"number {value!s:.40} is out of range")
    return value


def _bound(text: str) -> Decimal | None:
    value = wire.number(text)
    return None if value is None else _amount(value) or None


def _decimals(step: Decimal | None, otherwise: int) -> int:
    """Digits after the point that a step has."""
    if step is None:
        return otherwise
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else otherwise


def _filters(market: Market, entry: wire.SymbolEntry) -> tuple[Filter, ...]:
    lot, price = entry.lot_size_filter, entry.price_filter
    found: list[Filter] = [
        PriceFilter(_bound(price.min_price), _bound(price.max_price), _amount(price.tick_size) or None)
    ]
    if market.is_spot:
        step, notional = _bound(lot.base_precision), _bound(lot.min_order_amt)
        low, high, market_high = None, _bound(lot.max_limit_order_qty), _bound(lot.max_market_order_qty)
    else:
        step, notional = _bound(lot.qty_step), _bound(lot.min_notional_value)
        low, high, market_high = _bound(lot.min_order_qty), _bound(lot.max_order_qty), _bound(lot.max_mkt_order_qty)
    if step is None:
        raise ValueError("the list names no step of quantities")
    found.append(AmountFilter(low, high, step))
    if market_high is not None:
        found.append(AmountFilter(None, market_high, None, market_only=True))
    if notional is not None:
        # Whether what reduces a position is held to it is documented nowhere: left to the venue, or dust could not be closed.
        found.append(NotionalFilter(notional, None, True, False, reduce_only_exempt=not market.is_spot))
    if market.is_spot and lot.post_only_max_limit_order_size:
        found.append(OtherFilter("postOnlyMaxLimitOrderSize", lot.post_only_max_limit_order_size[:40]))
    return tuple(found)


def _symbol(market: Market, entry: wire.SymbolEntry) -> Symbol:
    if market.is_spot:
        return Symbol.parse(f"{entry.base_coin}/{entry.quote_coin}")
    dated = _KINDS[market.product].get(entry.contract_type)
    if dated is None:
        raise ValueError(f"contract type {entry.contract_type!r:.40} is none of {', '.join(_KINDS[market.product])}")
    # Lists of former years quote USDC contracts in USD; they settle in USDC, and so are they quoted here.
    quote = entry.settle_coin if market.product is Product.LINEAR and entry.quote_coin == "USD" else entry.quote_coin
    text = f"{entry.base_coin}/{quote}:{entry.settle_coin}"
    return Symbol.parse(f"{text}-{_expiry(entry.delivery_time)}" if dated else text)


def _expiry(delivery_time: str) -> str:
    if not (delivery_time.isascii() and delivery_time.isdigit()) or not 0 < int(delivery_time) <= 4_102_444_800_000:
        raise ValueError(f"delivery time {delivery_time!r:.40} of a dated contract is no time")
    return datetime.fromtimestamp(int(delivery_time) // 1_000, UTC).strftime("%y%m%d")


def _instrument(market: Market, entry: wire.SymbolEntry) -> Instrument:
    symbol = _symbol(market, entry)
    if symbol.base != entry.base_coin or wire_name(market, symbol) != entry.symbol:
        raise ValueError(f"the name is not {symbol} as the venue spells it")
    filters = _filters(market, entry)
    step = next(each.step for each in filters if isinstance(each, AmountFilter))
    quote_step = _bound(entry.lot_size_filter.quote_precision)
    words = (entry.contract_type, entry.symbol_type or "", entry.margin_trading if market.is_spot else "")
    return Instrument(
        venue=market.name,
        symbol=symbol,
        venue_name=entry.symbol,
        status=_STATUS.get(entry.status, InstrumentStatus.OTHER),
        status_text=entry.status,
        base_decimals=_COIN_DECIMALS if market.is_inverse else _decimals(step, _COIN_DECIMALS),
        quote_decimals=_decimals(quote_step, _COIN_DECIMALS),
        order_types=("Limit", "Market"),
        filters=filters,
        permissions=tuple(word for word in words if word),
    )


# ---------------------------------------------------------------- the list


def read_venue(market: Market, body: bytes) -> VenueInfo:
    """Translate one page of `instruments-info`.

    Raises:
        WireFormatError: the answer as a whole is not the object it should be.

    Source: venue API docs, "Get Instruments Info", 2026-07, read 2026-11.
    """
    answer = wire.decode("instruments", wire.INSTRUMENTS, body)
    skipped: list[SkippedInstrument] = []
    found: list[Instrument] = []
    for raw in answer.result.list:
        try:
            found.append(_instrument(market, wire.SYMBOL.decode(raw)))
        except (*wire.UNREADABLE, ConnectorError) as problem:
            skipped.append(SkippedInstrument(_name_of(raw), f"instrument: {problem}"))
    return _venue(market, found, skipped, answer.time * NS_PER_MS)


def joined_venues(market: Market, parts: Sequence[VenueInfo]) -> VenueInfo:
    """All pages as one list."""
    found = [instrument for part in parts for instrument in part.instruments.values()]
    skipped = [each for part in parts for each in part.skipped]
    return _venue(market, found, skipped, parts[-1].server_time_ns)


def _venue(
    market: Market, found: Sequence[Instrument], skipped: list[SkippedInstrument], server_time_ns: int | None
) -> VenueInfo:
    once: dict[str, Instrument] = {}
    symbols: set[Symbol] = set()
    for instrument in found:
        if instrument.venue_name in once or instrument.symbol in symbols:
            problem = "instrument: it is listed twice; the first entry is kept"
            skipped.append(SkippedInstrument(instrument.venue_name, problem))
            continue
        once[instrument.venue_name] = instrument
        symbols.add(instrument.symbol)
    return VenueInfo(InstrumentTable(market.name, once.values()), (), server_time_ns, tuple(skipped))


def _name_of(raw: bytes) -> str:
    try:
        return wire.SYMBOL_NAME.decode(raw).symbol
    except wire.UNREADABLE:
        return ""
