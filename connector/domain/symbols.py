"""Names of instruments, one notation for all venues. Pure values: no lookup, no venue's spelling.

`BTC/USDT` is spot, `BTC/USDT:USDT` a linear contract settled in USDT, `BTC/USD:BTC` an inverse contract settled in BTC,
and `BTC/USDT:USDT-261225` the dated one that expires on 2026-12-25. It is the notation users of ccxt know.
"""

from __future__ import annotations

import enum
import re

import msgspec

from connector.errors import InvalidRequest

__all__ = ["Product", "Symbol"]

_FORM = re.compile(r"(?P<base>[^\s/:]+)/(?P<quote>[^\s/:]+?)(?::(?P<settle>[^\s/:-]+)(?:-(?P<expiry>\d{6}))?)?\Z")


class Product(enum.Enum):
    """What is traded. LINEAR settles in the quote asset, INVERSE in the base asset."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


class Symbol(msgspec.Struct, frozen=True, order=True, gc=False):
    """One instrument's name, the same on every venue.

    Attributes:
        base: what is bought and sold, e.g. "BTC".
        quote: what the price counts, e.g. "USDT".
        settle: asset of profit and loss; None on spot.
        expiry: "YYMMDD" of a dated contract; None otherwise.
    """

    base: str
    quote: str
    settle: str | None = None
    expiry: str | None = None

    def __post_init__(self) -> None:
        if self.expiry is not None and self.settle is None:
            raise InvalidRequest(f"{self}: a dated contract names what it settles in, e.g. settle={self.quote!r}.")

    @classmethod
    def parse(cls, text: str | Symbol) -> Symbol:
        """Read a symbol; a Symbol passes through.

        Raises:
            InvalidRequest: the text is not in the notation, with an example of what is.
        """
        if isinstance(text, Symbol):
            return text
        found = _FORM.match(text) if isinstance(text, str) else None
        if found is None:
            raise InvalidRequest(
                f"{text!r} is not a symbol. Expected BASE/QUOTE like 'BTC/USDT', 'BTC/USDT:USDT' or 'BTC/USD:BTC-261225'."
            )
        return cls(found["base"], found["quote"], found["settle"], found["expiry"])

    @property
    def product(self) -> Product:
        if self.settle is None:
            return Product.SPOT
        return Product.INVERSE if self.settle == self.base else Product.LINEAR

    def __str__(self) -> str:
        text = f"{self.base}/{self.quote}"
        if self.settle is not None:
            text += f":{self.settle}"
        if self.expiry is not None:
            text += f"-{self.expiry}"
        return text

    def __repr__(self) -> str:
        return f"<Symbol {self}>"
