"""Spoils bytes of an exchange, on purpose and repeatably: what a reader has to survive without lying.

Pure functions from one sample to many; chance comes from a seed. JSON is taken apart and put together again without losing a
digit; bytes that are no JSON are only cut and flipped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["cut", "decimals_in", "deepened", "flipped", "lengthened", "renamed", "unnumbered", "with_unknown_fields"]

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")
_TAIL = "100000000000000000000001"  # a float would keep the first of these digits, and so show itself
_DEPTH = 50_000

NO_NUMBERS = (
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e999999999",
    "-1e999999999",
    "",
    "abc",
    "0x10",
    "1_000",
    "9" * 400,
)
UNKNOWN_FIELD = "unknownToThisVersion"

Path = tuple[str | int, ...]


def _decoded(sample: bytes) -> Any:
    """The JSON in it; None where it is none, or no object or array."""
    try:
        value = _DECODER.decode(sample)
    except (msgspec.MsgspecError, ValueError):
        return None
    return value if isinstance(value, dict | list) else None


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, index))


def _replaced(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {name: _replaced(inner, rest, new) if name == head else inner for name, inner in value.items()}
    return [_replaced(inner, rest, new) if index == head else inner for index, inner in enumerate(value)]


def _shown(path: Path) -> str:
    return "/".join(map(str, path))


def with_unknown_fields(sample: bytes) -> Iterator[tuple[str, bytes]]:
    """The sample with a field no document knows in each of its objects: (where, bytes)."""
    value = _decoded(sample)
    for path, inner in _walk(value):
        if isinstance(inner, dict):
            more = inner | {UNKNOWN_FIELD: {"a": [1, "b", None], "b": {}}}
            yield _shown(path), _ENCODER.encode(_replaced(value, path, more))


def lengthened(sample: bytes) -> Iterator[tuple[str, str, bytes]]:
    """The sample with 24 more digits behind one of its decimals: (where, the number, bytes). No float could keep them."""
    value = _decoded(sample)
    for path, inner in _walk(value):
        text = str(inner) if isinstance(inner, Decimal) else inner
        if isinstance(text, str) and "." in text and _NUMBER.match(text):
            longer = text + _TAIL
            new: Any = Decimal(longer) if text is not inner else longer
            yield _shown(path), longer, _ENCODER.encode(_replaced(value, path, new))


def unnumbered(sample: bytes) -> Iterator[tuple[str, bytes]]:
    """The sample with one of its numbers made into something that is none: (where and what, bytes)."""
    value = _decoded(sample)
    for path, inner in _walk(value):
        if isinstance(inner, str) and _NUMBER.match(inner):
            for text in NO_NUMBERS:
                yield f"{_shown(path)} = {text:.20}", _ENCODER.encode(_replaced(value, path, text))
        elif isinstance(inner, int | Decimal) and not isinstance(inner, bool):
            others: tuple[Any, ...] = ("abc", None, [], {}, -(10**30), 10**400)
            for other in others:
                yield f"{_shown(path)} = {other!s:.20}", _ENCODER.encode(_replaced(value, path, other))


def renamed(sample: bytes, word: str, other: str) -> bytes:
    """The sample with every text that is `word` made into `other`."""
    value = _decoded(sample)
    for path, inner in _walk(value):
        if inner == word and isinstance(inner, str):
            value = _replaced(value, path, other)
    return sample if value is None else _ENCODER.encode(value)


def cut(sample: bytes, most: int = 48) -> Iterator[bytes]:
    """The sample cut off, at up to `most` places spread over it."""
    step = max(1, len(sample) // most)
    for end in range(0, len(sample), step):
        yield sample[:end]


def flipped(sample: bytes, seed: int, count: int = 48) -> Iterator[bytes]:
    """The sample with a few bytes exchanged, taken out or put in, by chance."""
    chance = random.Random(seed)
    for _ in range(count):
        spoilt = bytearray(sample)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(spoilt) + 1)
            what = chance.choice(
                (b"", b"\xff", b"0", b'"', b"{", b"]", b",", b"e9", b"-", bytes([chance.randrange(256)]))
            )
            spoilt[at : at + chance.randint(0, 2)] = what
        yield bytes(spoilt)


def deepened(sample: bytes) -> Iterator[bytes]:
    """Nesting without end, by itself and in place of a value of the sample."""
    yield b"[" * _DEPTH
    yield b'{"a":' * _DEPTH
    at = sample.find(b":")
    if at >= 0:
        yield sample[: at + 1] + b"[" * _DEPTH


def decimals_in(value: Any) -> Iterator[Decimal]:
    """Every Decimal anywhere in a value, its fields and its items."""
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from decimals_in(getattr(value, name))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from decimals_in(inner)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from decimals_in(getattr(value, name))
