"""What can be traded and under which rules. Values only; checking an order against them is the work of `orders`."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches

import msgspec

from connector.domain.symbols import Product, Symbol
from connector.errors import UnknownSymbol

__all__ = [
    "AmountFilter",
    "CountFilter",
    "Filter",
    "Instrument",
    "InstrumentStatus",
    "InstrumentTable",
    "NotionalFilter",
    "OtherFilter",
    "PriceBandFilter",
    "PriceFilter",
    "TrailingFilter",
]


class InstrumentStatus(enum.Enum):
    """OTHER keeps the venue's text in `Instrument.status_text`; nothing is concluded from it."""

    TRADING = "trading"
    CANCEL_ONLY = "cancel_only"
    HALTED = "halted"
    OTHER = "other"


class PriceFilter(msgspec.Struct, frozen=True, tag="price", gc=False):
    """Prices lie in [minimum, maximum] and are multiples of `tick`. A bound of None does not bind."""

    minimum: Decimal | None
    maximum: Decimal | None
    tick: Decimal | None


class AmountFilter(msgspec.Struct, frozen=True, tag="amount", gc=False):
    """Quantities lie in [minimum, maximum] and are multiples of `step`. `market_only`: binds market orders, in addition.

    They count what the venue's orders count: contracts of `Instrument.contract_size`. Where that is 1 and the product is not
    inverse, which is so on spot, these are base units.
    """

    minimum: Decimal | None
    maximum: Decimal | None
    step: Decimal | None
    market_only: bool = False


class NotionalFilter(msgspec.Struct, frozen=True, tag="notional", gc=False):
    """What an order is worth in the quote asset lies in [minimum, maximum]; each bound says whether it binds market orders too.

    Attributes:
        reduce_only_exempt: `minimum` does not bind orders that can only make a position smaller.
    """

    minimum: Decimal | None
    maximum: Decimal | None
    minimum_binds_market: bool
    maximum_binds_market: bool
    average_minutes: int = 0
    reduce_only_exempt: bool = False


class PriceBandFilter(msgspec.Struct, frozen=True, tag="price_band", gc=False):
    """Prices lie within multiples of a reference price, for buys and sells apart."""

    buy_up: Decimal
    buy_down: Decimal
    sell_up: Decimal
    sell_down: Decimal
    average_minutes: int = 0


class TrailingFilter(msgspec.Struct, frozen=True, tag="trailing", gc=False):
    """Trailing distances in basis points: `above` for stop buys and take-profit sells, `below` for the other two."""

    minimum_above: int
    maximum_above: int
    minimum_below: int
    maximum_below: int


class CountFilter(msgspec.Struct, frozen=True, tag="count", gc=False):
    """At most `limit` of something, `name` being the venue's word, e.g. "MAX_NUM_ORDERS"."""

    name: str
    limit: Decimal


class OtherFilter(msgspec.Struct, frozen=True, tag="other", gc=False):
    """A filter this version does not know; kept as the venue sent it."""

    name: str
    text: str


Filter = PriceFilter | AmountFilter | NotionalFilter | PriceBandFilter | TrailingFilter | CountFilter | OtherFilter


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """One thing that can be traded at one venue.

    Attributes:
        venue_name: the venue's own spelling, e.g. "BTCUSDT".
        status_text: the venue's own word for `status`.
        base_decimals, quote_decimals: digits after the point the venue keeps of each asset.
        order_types: the venue's words.
        contract_size: base units (linear) or quote units (inverse) per contract; 1 on spot, and where a linear venue counts base
            units. See `domain.contracts`.
    """

    venue: str
    symbol: Symbol
    venue_name: str
    status: InstrumentStatus
    status_text: str
    base_decimals: int
    quote_decimals: int
    order_types: tuple[str, ...]
    filters: tuple[Filter, ...]
    contract_size: Decimal = Decimal(1)
    permissions: tuple[str, ...] = ()

    @property
    def product(self) -> Product:
        return self.symbol.product

    @property
    def price_tick(self) -> Decimal | None:
        return next((f.tick for f in self.filters if isinstance(f, PriceFilter)), None)

    @property
    def quantity_step(self) -> Decimal | None:
        """As of AmountFilter: in contracts where the venue counts those."""
        return next((f.step for f in self.filters if isinstance(f, AmountFilter) and not f.market_only), None)


NOT_LISTED = "not listed any more"
"""`status_text` of what the venue's list had once."""


class InstrumentTable(Mapping[Symbol, Instrument]):
    """All instruments of one venue, found by symbol or by the venue's own name. Immutable, safe on any thread.

    What was listed once and is no longer is still known, as halted: orders on it may be open, fills and positions be told. It is
    found by `known` and `by_name`; the mapping itself has what the venue lists now.
    """

    def __init__(self, venue: str, instruments: Iterable[Instrument], former: Iterable[Instrument] = ()) -> None:
        self.venue = venue
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._former = {each.symbol: each for each in former}
        self._by_name = {each.venue_name: each for each in (*self._former.values(), *self._by_symbol.values())}

    def __getitem__(self, symbol: Symbol) -> Instrument:
        return self._by_symbol[symbol]

    def __iter__(self) -> Iterator[Symbol]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def called(self, venue: str) -> InstrumentTable:
        """The same instruments under another name of the venue, for an exchange that is used twice."""
        if venue == self.venue:
            return self
        replace = msgspec.structs.replace
        return InstrumentTable(
            venue,
            (replace(each, venue=venue) for each in self._by_symbol.values()),
            (replace(each, venue=venue) for each in self._former.values()),
        )

    def after(self, earlier: InstrumentTable | None) -> InstrumentTable:
        """This list, and what only the earlier one of the same venue knows, halted."""
        if earlier is None:
            return self
        gone = [
            msgspec.structs.replace(each, status=InstrumentStatus.HALTED, status_text=NOT_LISTED)
            for each in (*earlier._former.values(), *earlier._by_symbol.values())
            if each.symbol not in self._by_symbol
        ]
        return InstrumentTable(self.venue, self._by_symbol.values(), gone) if gone else self

    def require(self, symbol: Symbol) -> Instrument:
        """The instrument of a symbol.

        Raises:
            UnknownSymbol: with up to three names that look alike.
        """
        found = self._by_symbol.get(symbol)
        if found is None:
            near = get_close_matches(str(symbol), map(str, self._by_symbol), n=3)
            raise UnknownSymbol(str(symbol), self.venue, tuple(near))
        return found

    def known(self, symbol: Symbol) -> Instrument:
        """The instrument of a symbol, were it listed earlier only.

        Raises:
            UnknownSymbol: as `require`.
        """
        return self._former.get(symbol) or self.require(symbol)

    def by_name(self, venue_name: str) -> Instrument | None:
        """The instrument the venue calls so, listed now or earlier; None: none, which is not an error in lists of everything."""
        return self._by_name.get(venue_name)

    def __repr__(self) -> str:
        return f"<InstrumentTable {self.venue} {len(self)} instruments>"
