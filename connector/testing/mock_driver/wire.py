"""Numbers and bytes of the mock venue: what can be true, and how it is decoded or written."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from connector.domain.market import Level
from connector.errors import InvalidRequest, WireFormatError
from connector.testing.mock_driver.facts import VENUE

__all__ = [
    "UNREADABLE",
    "Count",
    "Ms",
    "T",
    "decoded",
    "decoder_of",
    "ladder",
    "level_changes",
    "plain_number",
    "positive",
    "sound",
    "words",
]

UNREADABLE = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
T = TypeVar("T")
_MOST_PLACES = 24  # no price or quantity is further from 1 than that many powers of ten

Ms = Annotated[int, Meta(ge=0, le=1 << 43)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


def sound(kind: str, value: Decimal, *, zero: bool = True, sign: bool = False) -> Decimal:
    """A number that can be true, exactly as it was written.

    Raises:
        WireFormatError: it is none, out of range, negative, or zero where there is nothing to count.
    """
    if not value.is_finite() or (value and abs(value.adjusted()) > _MOST_PLACES):
        raise WireFormatError(kind, f"{value!s:.40} is no amount")
    if (value.is_signed() and value and not sign) or (not value and not zero):
        raise WireFormatError(kind, f"{value!s:.40} is not above zero")
    return value


def positive(kind: str, *values: Decimal) -> None:
    for value in values:
        sound(kind, value, zero=False)


def level_changes(kind: str, levels: Sequence[Level], *, removals: bool) -> tuple[Level, ...]:
    for price, quantity in levels:
        sound(kind, price, zero=False)
        sound(kind, quantity, zero=removals)
    if len({price for price, _ in levels}) < len(levels):
        raise WireFormatError(kind, "a price stands there twice")
    return tuple(levels)


def ladder(kind: str, levels: Sequence[Level], *, falling: bool) -> tuple[Level, ...]:
    found = level_changes(kind, levels, removals=False)
    prices = [price for price, _ in found]
    if prices != sorted(prices, reverse=falling):
        raise WireFormatError(kind, "levels are not best first")
    return found


def decoded(kind: str, decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(raw)
    except UNREADABLE as problem:
        raise WireFormatError(kind, str(problem) or type(problem).__name__, bytes(raw)) from problem


def decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def words(text: str) -> str:
    return "".join(sign for sign in text[:40] if sign.isascii() and (sign.isalnum() or sign in "_-."))


def plain_number(name: str, value: Decimal) -> str:
    """A positive number as plain digits."""
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > _MOST_PLACES:
        raise InvalidRequest(f"{name} is {value!s:.40}. {VENUE} takes a positive number within 24 powers of ten.")
    return format(value, "f")
