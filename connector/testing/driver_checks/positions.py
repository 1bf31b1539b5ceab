"""Positions, funding and settings, where there are contracts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from connector.domain.commands import SetLeverage
from connector.domain.facts import PositionReport
from connector.domain.instruments import InstrumentTable
from connector.errors import ConnectorError, InvalidRequest
from connector.testing.driver_checks.base import SETTINGS, Checks, answered, raises
from connector.testing.driver_facts import NOW_MS

__all__ = ["PositionChecks"]


class PositionChecks(Checks):
    """See `driver_suite`."""

    def test_positions_are_told_whole(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            if sample.what == "positions":
                report = self.read_call(sample, table)
                assert isinstance(report, PositionReport) and report.complete, "what is not named counts as flat"

    def test_positions_are_signed_and_counted_in_both_ways_alike(self) -> None:
        for position in self._positions():
            if position.contracts is not None:
                assert (position.contracts > 0) == (position.quantity > 0), f"{position}"
            assert (position.entry_price is None) == (not position.quantity) or position.entry_price, f"{position}"

    def test_every_request_for_positions_is_a_question(self) -> None:
        positions = self.positions()
        if positions is not None:
            requests = positions.positions(self.auth(), NOW_MS)
            assert requests and all(request.safe for request in requests)
            assert len({(request.target, request.body) for request in requests}) == len(requests)

    def test_funding_payments_have_ids_of_their_own(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            if sample.what == "funding":
                payments = self.read_call(sample, table)
                ids = [(payment.symbol, payment.payment_id) for payment in payments]
                assert len(set(ids)) == len(ids) and all(payment.payment_id for payment in payments)

    def test_settings_that_make_no_sense_are_refused_before_they_are_sent(self, table: InstrumentTable) -> None:
        if "leverage" in self.area("command"):
            assert self.facts.trading is not None
            for number in (Decimal(0), Decimal(-1), Decimal(100_000)):
                command = SetLeverage(symbol=self.facts.trading.symbol, leverage=number)
                problem = raises(InvalidRequest, self.build, "leverage", self.auth(), table, command)
                assert not problem, f"leverage {number}: {problem}"

    def test_a_setting_that_is_refused_is_not_taken_for_done(self, table: InstrumentTable) -> None:
        pair = self.trading()
        for what in sorted(set(SETTINGS) & self.area("command")) if pair is not None else ():
            for status in (400, 401, 429, 500, 503):
                problem = raises(ConnectorError, self.read_answer, what, answered(b"", status), table)
                assert not problem, f"{what}: an empty answer with status {status}: {problem}"

    def _positions(self) -> Iterator[Any]:
        for sample in self.answers():
            if isinstance(sample.expected, PositionReport):
                yield from sample.expected.positions
        for _, _, facts in self.private():
            for event in facts.events:
                for fact in event.facts:
                    if isinstance(fact, PositionReport):
                        yield from fact.positions
