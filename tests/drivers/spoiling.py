"""Texts spoilt in every way, for tests that nothing but the declared errors comes out of a reader."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec

from connector.books import exact
from connector.domain import BookDelta

__all__ = ["looked_at", "numbers_in", "reads", "spoilt", "walk"]

TOKENS = [
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1",
        "1.5",
        "1e400",
        "1E+5",
        "-1e-400",
        "[]",
        "{}",
        '""',
        '"0"',
        '"-1"',
    ),
    *('"NaN"', '"-NaN"', '"sNaN"', '"Infinity"', '"-Infinity"', '"1e999999999"', '"1e-999999999"', '"0e-999999999"'),
    *(
        "NaN",
        "Infinity",
        '"ETHUSDT"',
        '"ETHUSD"',
        '"BTCUSDT"',
        '"trade"',
        '"weird"',
        '"\\u0031"',
        '"\\ud800"',
        '" 1"',
        '"+1"',
        '"1_0"',
    ),
    *(str(2**63 - 1), str(2**63), str(2**64), str(2**200), "9" * 5_000, '"' + "9" * 5_000 + '"', "9223372036854"),
    *('"1e25"', '"1e24"', '"1e-24"', '"1e-25"', '["1","1"]', '[["1","1"]]', '[["1"]]', '{"a":1}', "1762000000122000"),
]
DEEP = ["[" * 10_000, "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000, "[[" * 5_000 + '"1"' + "]]" * 5_000]


def paths(value, at=()):
    if at:
        yield at
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(part, (*at, key))


def reshaped(value, rng):
    """One field replaced, removed, added or doubled, as JSON text."""
    copy = json.loads(json.dumps(value))
    *way, last = rng.choice(list(paths(copy)))
    parent = copy
    for key in way:
        parent = parent[key]
    token = rng.choice(DEEP) if rng.random() < 0.005 else rng.choice(TOKENS)
    deed = rng.randrange(8)
    if deed == 0:
        del parent[last]
    elif deed == 1 and isinstance(parent, dict):
        parent["@new"] = "@token"
    elif deed == 2 and isinstance(parent, list):
        parent.append("@token")
    else:
        parent[last] = "@token"
    return json.dumps(copy, separators=(",", ":")).replace('"@token"', token, 1).encode()


def scratched(text, rng):
    """Bytes cut, flipped, set, put in, taken out, doubled or swapped, one to three times."""
    text = bytearray(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, to = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        match rng.randrange(8):
            case 0:
                del text[at:]
            case 1 if text:
                text[at % len(text)] ^= 1 << rng.randrange(8)
            case 2 if text:
                text[at % len(text)] = rng.randrange(256)
            case 3:
                text[at:at] = rng.choice(
                    (b"\x00", b"\xff", b"\xc3", b'"', b"\\", b"{", b"[", b",", b" ", b"9", b"-", b"e9")
                )
            case 4:
                del text[at : min(to, at + 12)]
            case 5:
                text[at:at] = text[at : min(to, at + 12)]
            case 6:
                text[:] = text[at:] + text[:at]
            case _:
                text[at : at + 1] = b"%d" % rng.randrange(10)
    return bytes(text)


def spoilt(value, rng):
    text = reshaped(value, rng) if rng.random() < 0.6 else json.dumps(value, separators=(",", ":")).encode()
    return scratched(text, rng) if rng.random() < 0.45 else text


def walk(frame):
    """The frame by the standard library. Bad UTF-8 in a part nobody reads is not judged, so it is replaced here."""
    text = frame.decode("utf-8", "replace")
    return json.loads(text, parse_float=Decimal, parse_int=lambda digits: int(digits[:40]), parse_constant=Decimal)


def numbers_in(value):
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from numbers_in(part)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from numbers_in(getattr(value, name))


def looked_at(event):
    """A delta's levels are texts until a book looks at them; here everything is.

    Raises:
        WireFormatError: a book would refuse them.
    """
    if isinstance(event, BookDelta):
        return msgspec.structs.replace(event, bids=exact(event.bids), asks=exact(event.asks))
    return event


def reads(reader):
    """The reader, whose deltas are looked at."""
    return lambda frame, received_ns: looked_at(reader(frame, received_ns))
