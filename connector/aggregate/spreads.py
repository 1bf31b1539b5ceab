"""Say when buying at one venue and selling at another would pay, and when no longer; not every time it changes a little.

`SpreadWatch` is told the top of a source after each change and answers with events. A spread opens when what is left after
both taker fees reaches `open_bps` of what was paid, and closes when it falls below `close_bps`, or when one of its books
leaves: what may be wrong is no opportunity. Between the two it is told again only when it moved by `step_bps`.

What is said is what the books show, at their tops. It is no promise that an order would get it. Pure: no clock, no thread.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from decimal import Context, Decimal

import msgspec

from connector.aggregate.quotes import Top, VenueLevel
from connector.aggregate.sources import Source
from connector.domain.symbols import Symbol
from connector.errors import InvalidRequest

__all__ = ["SpreadChange", "SpreadEvent", "SpreadWatch"]

_EXACT = Context(prec=60)
_BPS = Decimal(10_000)
_SHOWN = Decimal("0.0001")

Key = tuple[str, Symbol]


class SpreadChange(enum.Enum):
    OPENED = "opened"
    MOVED = "moved"
    CLOSED = "closed"


class SpreadEvent(msgspec.Struct, frozen=True):
    """Buy here, sell there.

    Attributes:
        buy: the ask to lift; its price is in the common quote asset, without fee.
        sell: the bid to hit, likewise. On CLOSED both are the last that were known to be right.
        quantity: base units there are at both tops.
        gross: what one base unit earns before fees, in the common quote asset.
        net: the same after both taker fees.
        net_bps: `net` in basis points of what buying costs with its fee, to four places.
        opened_ns, at_ns: our clock.
        reason: why it closed; "" otherwise.
    """

    change: SpreadChange
    buy: VenueLevel
    sell: VenueLevel
    quantity: Decimal
    gross: Decimal
    net: Decimal
    net_bps: Decimal
    opened_ns: int
    at_ns: int
    reason: str = ""


class SpreadWatch:
    """All pairs of sources at different venues.

    Args:
        open_bps, close_bps: thresholds of the net spread; closing is not above opening.
        step_bps: tell an open spread again when it moved by so much; None: never.

    Attributes:
        counts: how often what happened: opened, moved, closed, kept_quiet.

    Raises:
        InvalidRequest: the thresholds make no sense, or a source has no fee stated.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        open_bps: Decimal,
        close_bps: Decimal | None = None,
        step_bps: Decimal | None = None,
    ) -> None:
        close_bps = open_bps if close_bps is None else close_bps
        if close_bps > open_bps:
            raise InvalidRequest(f"close_bps is {close_bps}; expected at most open_bps ({open_bps}).")
        if step_bps is not None and not step_bps > 0:
            raise InvalidRequest(f"step_bps is {step_bps}; expected more than 0, or None.")
        self.sources = tuple(sources)
        for source in self.sources:
            if source.taker_fee is None:
                raise InvalidRequest(
                    f"a net spread needs the taker fee of {source}; give taker_fee, '0' if there is none."
                )
        self.counts: Counter[str] = Counter()
        self._open_bps, self._close_bps, self._step_bps = open_bps, close_bps, step_bps
        self._tops: dict[Key, tuple[Top, Top]] = {}
        self._open: dict[tuple[Key, Key], SpreadEvent] = {}

    @property
    def open(self) -> tuple[SpreadEvent, ...]:
        """Every spread that is open, as last told."""
        return tuple(self._open.values())

    def on_top(self, plain: Top, paid: Top, at_ns: int) -> tuple[SpreadEvent, ...]:
        """A source's top changed.

        Args:
            plain, paid: the same top, without fees and with.
        """
        source = plain.source
        self._tops[source.key] = plain, paid
        events: list[SpreadEvent] = []
        for key in list(self._tops):
            if key[0] != source.venue:
                self._look(source.key, key, at_ns, events)
                self._look(key, source.key, at_ns, events)
        return tuple(events)

    def on_left(self, source: Source, reason: str, at_ns: int) -> tuple[SpreadEvent, ...]:
        """A source's book may be wrong from now on."""
        self._tops.pop(source.key, None)
        pairs = [pair for pair in self._open if source.key in pair]
        return tuple(self._close(pair, self._open[pair], f"{source} left: {reason}", at_ns) for pair in pairs)

    def _look(self, buy: Key, sell: Key, at_ns: int, events: list[SpreadEvent]) -> None:
        pair = buy, sell
        told = self._open.get(pair)
        now = self._spread(buy, sell, at_ns, told)
        if now is None:
            if told is not None:
                events.append(self._close(pair, told, "one side has no price any more", at_ns))
        elif told is None:
            if now.net_bps >= self._open_bps:
                self.counts["opened"] += 1
                self._open[pair] = now
                events.append(now)
        elif now.net_bps < self._close_bps:
            events.append(self._close(pair, now, "it narrowed", at_ns))
        elif self._step_bps is not None and abs(now.net_bps - told.net_bps) >= self._step_bps:
            self.counts["moved"] += 1
            self._open[pair] = now
            events.append(now)
        else:
            self.counts["kept_quiet"] += 1

    def _spread(self, buy: Key, sell: Key, at_ns: int, told: SpreadEvent | None) -> SpreadEvent | None:
        ask, paid_ask = (top.best_ask() for top in self._tops[buy])
        bid, paid_bid = (top.best_bid() for top in self._tops[sell])
        if ask is None or bid is None or paid_ask is None or paid_bid is None:
            return None
        net = _EXACT.subtract(paid_bid.price, paid_ask.price)
        return SpreadEvent(
            change=SpreadChange.OPENED if told is None else SpreadChange.MOVED,
            buy=ask,
            sell=bid,
            quantity=min(ask.quantity, bid.quantity),
            gross=_EXACT.subtract(bid.price, ask.price),
            net=net,
            net_bps=_EXACT.quantize(_EXACT.divide(_EXACT.multiply(net, _BPS), paid_ask.price), _SHOWN),
            opened_ns=at_ns if told is None else told.opened_ns,
            at_ns=at_ns,
        )

    def _close(self, pair: tuple[Key, Key], last: SpreadEvent, reason: str, at_ns: int) -> SpreadEvent:
        self.counts["closed"] += 1
        del self._open[pair]
        return msgspec.structs.replace(last, change=SpreadChange.CLOSED, at_ns=at_ns, reason=reason)

    def __repr__(self) -> str:
        return f"<SpreadWatch {len(self._tops)} of {len(self.sources)} priced, {len(self._open)} open>"
