"""The book rule, against scripts of lost, doubled and swapped deltas and of snapshots from before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from connector.books.sync import BookSync
from connector.domain.instruments import InstrumentTable
from connector.domain.market import BookDelta, BookState, MarketEvent, OrderBook
from connector.domain.topics import TopicKind
from connector.testing.book_scripts import Faults, play
from connector.testing.driver_checks.base import Checks

__all__ = ["BookChecks"]


class BookChecks(Checks):
    """See `driver_suite`."""

    def test_deltas_say_which_updates_they_hold(self, table: InstrumentTable) -> None:
        for delta in self._book_events(table):
            if isinstance(delta, BookDelta):
                assert delta.first_update_id <= delta.last_update_id, f"{delta}"

    def test_book_levels_are_whole_and_exact(self, table: InstrumentTable) -> None:
        for event in self._book_events(table):
            for side in (event.bids, event.asks):  # type: ignore[union-attr]
                prices = [price for price, _ in side]
                assert len(prices) == len(set(prices)), f"a price twice in {event}"
                assert all(isinstance(number, Decimal) for level in side for number in level)

    def test_snapshots_of_a_stream_replace_the_book(self, table: InstrumentTable) -> None:
        rule, facts = self.driver.book_rule, self.facts.book
        if rule is None or facts is None:
            return
        snapshots = [event for event in self._book_events(table) if isinstance(event, OrderBook)]
        if rule.snapshot_limit is not None:
            assert not snapshots, "the rule asks for snapshots, and the stream sends some"
            return
        assert snapshots, "the rule waits for snapshots of the stream, and no sample is one"
        for snapshot in snapshots:
            sync = BookSync(self.driver.name, snapshot.symbol, rule)
            sync.on_connected()
            sync.on_snapshot(snapshot)
            assert sync.state is BookState.VALID and sync.require().levels() == (snapshot.bids, snapshot.asks)

    def test_a_stream_that_loses_nothing_is_never_thrown_away(self) -> None:
        for seed, played in self._plays(Faults()):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or 'not valid at the end'}"
            assert not played.counts["gap"] and not played.counts["resync"], f"seed {seed}: {played.counts}"

    def test_a_lost_delta_is_always_noticed(self) -> None:
        facts = self.facts.book
        if facts is None or not facts.detects_loss:
            return
        for seed, played in self._plays(Faults(lost=0.05)):
            assert not played.wrong, f"seed {seed}: {played.wrong}"
            assert played.valid, f"seed {seed}: not right again after a calm: {played.counts}"
            assert not played.lost or played.counts["gap"], f"seed {seed}: {played.lost} were lost and nobody noticed"

    def test_a_delta_that_comes_twice_changes_nothing(self) -> None:
        for seed, played in self._plays(Faults(doubled=0.2)):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or played.counts}"

    def test_deltas_out_of_order_never_make_a_wrong_book(self) -> None:
        for seed, played in self._plays(Faults(swapped=0.1)):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or played.counts}"

    def test_a_snapshot_from_before_is_never_joined_across_a_hole(self) -> None:
        for seed, played in self._plays(Faults(lost=0.05, old_snapshots=0.5)):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or played.counts}"

    def test_a_lost_connection_starts_the_book_over(self) -> None:
        for seed, played in self._plays(Faults(cut_off=0.05, lost=0.02)):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or played.counts}"

    def test_everything_at_once_never_makes_a_wrong_book(self) -> None:
        storm = Faults(lost=0.05, doubled=0.05, swapped=0.05, old_snapshots=0.3, cut_off=0.02)
        for seed, played in self._plays(storm, 24):
            assert not played.wrong and played.valid, f"seed {seed}: {played.wrong or played.counts}"

    def _plays(self, faults: Faults, seeds: int = 8) -> Iterator[tuple[int, Any]]:
        rule, facts = self.driver.book_rule, self.facts.book
        if rule is None or facts is None:
            return
        if not facts.detects_loss and (faults.lost or faults.swapped or faults.old_snapshots):
            return
        for seed in range(seeds):
            yield seed, play(self.driver.name, facts.symbol, rule, facts.following, seed, faults)

    def _book_events(self, table: InstrumentTable) -> list[MarketEvent]:
        samples = [sample for sample in self.facts.streams if sample.topic.kind is TopicKind.BOOK]
        return [event for sample in samples for event in self.read_stream(sample, table)]
