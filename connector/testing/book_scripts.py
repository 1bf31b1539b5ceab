"""A book that is always right, what it tells of itself, and scripts that lose, double and swap parts of that.

`play` feeds one script to a `BookSync` with a driver's rule, and compares them after every step: whenever the book is handed out,
it has to be the one that was true at its update id. One thread, no clock; chance comes from a seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from connector.books.rule import BookRule
from connector.books.sync import Action, BookSync, FetchSnapshot, Resubscribe
from connector.domain.market import BookDelta, BookState, Level, OrderBook
from connector.domain.symbols import Symbol

__all__ = ["FarBook", "Faults", "Played", "play"]

Following = Callable[[int, random.Random], tuple[int, int, int | None]]
_MIDDLE = 1_000


@dataclass(frozen=True)
class Faults:
    """Shares of deltas that something happens to, and of snapshots that are from before."""

    lost: float = 0.0
    doubled: float = 0.0
    swapped: float = 0.0
    old_snapshots: float = 0.0
    cut_off: float = 0.0


class FarBook:
    """The venue's own book: changes by chance, never crossed, never empty; remembers what it was at every update."""

    def __init__(self, venue: str, symbol: Symbol, following: Following, chance: random.Random) -> None:
        self.venue, self.symbol = venue, symbol
        self._following, self._chance = following, chance
        self.update_id = chance.randint(10_000, 90_000)
        self._bids = {Decimal(_MIDDLE - step): Decimal(step) for step in range(1, 8)}
        self._asks = {Decimal(_MIDDLE + step): Decimal(step) for step in range(1, 8)}
        self.was: dict[int, tuple[tuple[Level, ...], tuple[Level, ...]]] = {self.update_id: self.levels()}

    def levels(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        return tuple(sorted(self._bids.items(), reverse=True)), tuple(sorted(self._asks.items()))

    def change(self) -> BookDelta:
        """One more delta."""
        bids, asks = self._side(self._bids, -1), self._side(self._asks, +1)
        first, last, previous = self._following(self.update_id, self._chance)
        self.update_id = last
        self.was[last] = self.levels()
        return BookDelta(self.venue, self.symbol, None, 0, first, last, bids, asks, previous)

    def _side(self, levels: dict[Decimal, Decimal], sign: int) -> tuple[Level, ...]:
        told: list[Level] = []
        for _ in range(self._chance.randint(1, 3)):
            price = Decimal(_MIDDLE + sign * self._chance.randint(1, 12))
            quantity = Decimal(self._chance.randint(0, 9))
            if not quantity and len(levels) <= 2:
                quantity = Decimal(1)
            if quantity:
                levels[price] = quantity
            else:
                levels.pop(price, None)
            told = [level for level in told if level[0] != price] + [(price, quantity)]
        return tuple(told)

    def snapshot(self, update_id: int | None = None) -> OrderBook:
        """As it was at that update; as it is when None."""
        at = self.update_id if update_id is None else update_id
        bids, asks = self.was[at]
        return OrderBook(self.venue, self.symbol, None, 0, at, bids, asks)


@dataclass(frozen=True)
class Played:
    """What became of one script.

    Attributes:
        wrong: what was handed out and was not true; "" when nothing was.
        valid: whether the book was right again after a calm at the end.
        counts: of the BookSync.
        lost: deltas that were left out.
    """

    wrong: str
    valid: bool
    counts: Counter[str]
    lost: int


def play(
    venue: str, symbol: Symbol, rule: BookRule, following: Following, seed: int, faults: Faults, steps: int = 150
) -> Played:
    """One script: `steps` deltas with those faults, then a calm."""
    chance = random.Random(seed)
    far = FarBook(venue, symbol, following, chance)
    sync = BookSync(venue, symbol, rule, healthy_updates=20)
    asked: list[tuple[int, Action]] = []
    lost, wrong = 0, ""
    held: BookDelta | None = None

    def check(what: str) -> None:
        nonlocal wrong
        if not wrong and sync.state is BookState.VALID and sync.require().levels() != far.was.get(sync.update_id):
            wrong = f"after {what}, the book handed out at update {sync.update_id} is not the venue's"

    def note(actions: tuple[Action, ...], step: int) -> None:
        wanted = (action for action in actions if isinstance(action, FetchSnapshot | Resubscribe))
        asked.extend((step + chance.randint(0, 6), action) for action in wanted)

    def join(step: int) -> None:
        note(sync.on_connected(), step)
        if rule.snapshot_limit is None:
            note(sync.on_snapshot(far.snapshot()), step)

    def answer(step: int, calm: bool) -> None:
        due = [entry for entry in asked if entry[0] <= step]
        for entry in due:
            asked.remove(entry)
            _, action = entry
            if isinstance(action, Resubscribe):
                join(step)
            elif isinstance(action, FetchSnapshot):
                known = list(far.was)
                old = not calm and chance.random() < faults.old_snapshots
                at = known[max(0, len(known) - chance.randint(2, 30))] if old else None
                note(sync.on_snapshot(far.snapshot(at), action.attempt), step)
            check("a snapshot")

    join(0)
    for step in range(steps + 40):
        calm = step >= steps
        delta = far.change()
        fate = 1.0 if calm else chance.random()
        if fate < faults.lost:
            lost += 1
        elif fate < faults.lost + faults.doubled:
            for _ in range(2):
                note(sync.on_delta(delta), step)
                check("a doubled delta")
        elif fate < faults.lost + faults.doubled + faults.swapped and held is None:
            held = delta
        else:
            note(sync.on_delta(delta), step)
            check("a delta")
            if held is not None:
                note(sync.on_delta(held), step)
                check("a delta that came late")
                held = None
        if not calm and chance.random() < faults.cut_off:
            sync.on_disconnected()
            asked[:] = [entry for entry in asked if isinstance(entry[1], FetchSnapshot)]  # those are answered, late
            join(step)
        answer(step, calm)
    valid = sync.state is BookState.VALID and sync.update_id == far.update_id
    return Played(wrong, valid, sync.counts, lost)
