"""Which books are put side by side, and what makes their prices comparable. Nothing is assumed: an engine states it, or it fails.

A source is one instrument at one venue. Sources share a base asset; their prices are brought to one quote asset by rates the
engine states: a number (1 declares two assets equal), or another book that quotes one asset in the other. A rate has two
sides, as a book has: what is sold abroad is changed at the bid, what is bought at the ask, so that a converted price is one
that can be had. Fees are stated per source; one that is not stated is not zero, it is an error where fees are asked for.

Values and arithmetic only: no thread, no clock, no book is kept here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import msgspec

from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest

__all__ = ["ONE", "Rate", "Source", "Terms", "checked_rates", "checked_sources", "rate_of_book"]

_BID = Context(prec=60, rounding=ROUND_FLOOR)
_ASK = Context(prec=60, rounding=ROUND_CEILING)
"""Sixty digits hold the product of price, rate and fee of any venue; what does not end is rounded against us."""


class Source(msgspec.Struct, frozen=True):
    """One instrument at one venue.

    Attributes:
        venue: as the engine calls it.
        taker_fee: part of the price, e.g. Decimal("0.001") for 0.1 %; negative where the venue pays; None: not stated.
    """

    venue: str
    symbol: Symbol
    taker_fee: Decimal | None = None

    @classmethod
    def of(cls, venue: str, symbol: Symbol | str, taker_fee: Decimal | str | int | None = None) -> Source:
        """A source from texts: Source.of("binance", "BTC/USDT", taker_fee="0.001").

        Raises:
            InvalidRequest: the symbol is none, or the fee is no number between -1 and 1, or a float.
        """
        fee = None if taker_fee is None else _decimal("taker_fee", taker_fee)
        if fee is not None and not -1 < fee < 1:
            raise InvalidRequest(f"taker_fee is {fee}; expected a part of the price like '0.001' for 0.1 %.")
        return cls(venue, Symbol.parse(symbol), fee)

    @property
    def key(self) -> tuple[str, Symbol]:
        return self.venue, self.symbol

    def __str__(self) -> str:
        return f"{self.symbol}.{self.venue}"


class Rate(msgspec.Struct, frozen=True):
    """What one unit of an asset is worth in another: `bid` when it is sold, `ask` when it is bought."""

    bid: Decimal
    ask: Decimal


ONE = Rate(Decimal(1), Decimal(1))


class Terms(msgspec.Struct, frozen=True):
    """On which terms a source's prices become comparable.

    Attributes:
        rate: of its quote asset.
        fee: taken into account; Decimal(0) where no fees are asked for.
    """

    rate: Rate = ONE
    fee: Decimal = Decimal(0)

    def bid(self, price: Decimal) -> Decimal:
        """What one unit sold at this bid brings."""
        if self.rate is not ONE:
            price = _BID.multiply(price, self.rate.bid)
        return price if not self.fee else _BID.multiply(price, _BID.subtract(Decimal(1), self.fee))

    def ask(self, price: Decimal) -> Decimal:
        """What one unit bought at this ask costs."""
        if self.rate is not ONE:
            price = _ASK.multiply(price, self.rate.ask)
        return price if not self.fee else _ASK.multiply(price, _ASK.add(Decimal(1), self.fee))


def rate_of_book(asset: str, quote: str, symbol: Symbol, bid: Decimal, ask: Decimal) -> Rate:
    """The rate of `asset` in `quote` at the top of a book that trades one against the other, either way round."""
    if (symbol.base, symbol.quote) == (asset, quote):
        return Rate(bid, ask)
    return Rate(_BID.divide(Decimal(1), ask), _ASK.divide(Decimal(1), bid))


def checked_sources(sources: Iterable[Source]) -> tuple[Source, ...]:
    """The sources of one consolidated book or tape.

    Raises:
        InvalidRequest: there are none, one is named twice, or they trade different base assets.
    """
    chosen = tuple(sources)
    if not chosen:
        raise InvalidRequest("there are no sources; give at least one, like Source.of('binance', 'BTC/USDT').")
    keys = [source.key for source in chosen]
    twice = next((source for source in chosen if keys.count(source.key) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"{twice} is named twice; a book is counted once.")
    bases = sorted({source.symbol.base for source in chosen})
    if len(bases) > 1:
        raise InvalidRequest(f"the sources trade {', '.join(bases)}; what is put side by side has one base asset.")
    return chosen


def _checked_rate(asset: str, quote: str, rate: Decimal | str | int | Source) -> Decimal | Source:
    """A rate as stated by an engine: a positive number, or a spot book of the two assets.

    Raises:
        InvalidRequest: it is neither.
    """
    if not isinstance(rate, Source):
        number = _decimal(f"the rate of {asset} in {quote}", rate)
        if not number > 0:
            raise InvalidRequest(f"the rate of {asset} in {quote} is {number}; expected more than 0.")
        return number
    if rate.symbol.settle is not None or {rate.symbol.base, rate.symbol.quote} != {asset, quote}:
        raise InvalidRequest(
            f"{rate} tells no rate of {asset} in {quote}; expected {asset}/{quote} or {quote}/{asset}."
        )
    return rate


def checked_rates(
    sources: Iterable[Source], quote: str, rates: Mapping[str, Decimal | str | int | Source]
) -> dict[str, Decimal | Source]:
    """The rates that the sources need, and no other.

    Raises:
        InvalidRequest: a quote asset has no rate, or a rate belongs to none.
    """
    foreign = {source.symbol.quote for source in sources} - {quote}
    missing = sorted(foreign - set(rates))
    if missing:
        raise InvalidRequest(
            f"prices in {', '.join(missing)} cannot be put beside prices in {quote}: state a rate, like "
            f"rates={{{missing[0]!r}: Source.of(venue, '{missing[0]}/{quote}')}}, or Decimal(1) to count them as equal."
        )
    unused = sorted(set(rates) - foreign)
    if unused:
        raise InvalidRequest(f"there are rates of {', '.join(unused)}, in which no source is priced.")
    return {asset: _checked_rate(asset, quote, rates[asset]) for asset in sorted(foreign)}


def _decimal(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | str | int):
        raise InvalidRequest(f"{name} is {value!r}; expected a Decimal, or text like '0.001', never a float.")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise InvalidRequest(f"{name} is {value!r}; expected a number like '0.001'.") from None
    if not number.is_finite():
        raise InvalidRequest(f"{name} is {number}; expected a finite number.")
    return number
