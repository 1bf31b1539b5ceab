"""Answers about the account, and the life of an order as all samples together tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from connector.domain.facts import OrderReport
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import OrderStatus, OrderType
from connector.errors import ConnectorError, VenueRejected
from connector.testing import spoiling
from connector.testing.driver_checks.base import (
    GARBAGE,
    LIFE,
    WRITES,
    Checks,
    answered,
    excerpt,
    facts_of,
    impossible,
    raises,
    reports_in,
    same_order,
    spoilt_ways,
)
from connector.testing.driver_facts import NOW_MS

__all__ = ["AccountChecks"]


class AccountChecks(Checks):
    """See `driver_suite`."""

    # ---------------------------------------------------------------- answers about the account

    def test_every_answer_about_the_account_reads_as_documented(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            assert self.read_call(sample, table) == sample.expected, f"{sample.what}: {excerpt(sample.answer)}"

    def test_unknown_fields_in_answers_about_the_account_change_nothing(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, more in spoiling.with_unknown_fields(sample.answer):
                assert self.read_call(sample, table, more) == sample.expected, f"{sample.what}: in {where}"

    def test_answers_about_the_account_keep_every_digit(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, digits, longer in spoiling.lengthened(sample.answer):
                found = self.attempt(sample.what, self.read_call, sample, table, longer)
                problem = "" if found is None else self.inexact(found, sample.expected, digits)
                assert not problem, f"{sample.what}: {where}: {problem}"

    def test_answers_about_the_account_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, spoilt in spoiling.unnumbered(sample.answer):
                found = self.attempt(sample.what, self.read_call, sample, table, spoilt)
                problem = "" if found is None else impossible(found)
                assert not problem, f"{sample.what}: {where}: {problem}"

    def test_spoilt_answers_about_the_account_raise_errors_of_ours_and_nothing_else(
        self, table: InstrumentTable
    ) -> None:
        for number, sample in enumerate(self.answers()):
            for spoilt in (*spoilt_ways(sample.answer, number), *GARBAGE):
                found = self.attempt(sample.what, self.read_call, sample, table, spoilt)
                problem = "" if found is None else impossible(found)
                assert not problem, f"{sample.what}: {excerpt(spoilt)}: {problem}"

    def test_an_order_is_gone_only_where_the_venue_says_so(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        trade, facts = pair
        instrument = table.require(facts.symbol)
        assert facts.not_found, "give the answer that says that there is no such order"
        for sample in facts.not_found:
            assert trade.read_order(answered(sample.body, sample.status), instrument) is None, excerpt(sample.body)
        for status in (400, 403, 429, 500, 503):
            problem = raises(ConnectorError, trade.read_order, answered(b"", status), instrument)
            assert not problem, f"an empty answer with status {status} is no evidence: {problem}"
        for garbage in GARBAGE:
            problem = raises(ConnectorError, trade.read_order, answered(garbage), instrument)
            assert not problem, f"{garbage!r:.40} is no evidence: {problem}"

    def test_a_cancel_of_what_is_not_open_has_a_code_that_says_so(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        assert pair[1].not_open, "give the answer to a cancel of an order that is not open"
        for sample in pair[1].not_open:
            error = pair[0].failure(answered(sample.body, sample.status), write=True)
            assert isinstance(error, VenueRejected) and error.code in pair[0].not_open_codes, (
                f"{excerpt(sample.body)}: {error!r}"
            )

    def test_a_client_id_in_use_is_told_by_its_text(self) -> None:
        pair = self.trading()
        for sample in pair[1].duplicate if pair is not None else ():
            error = pair[0].failure(answered(sample.body, sample.status), write=True)  # type: ignore[index]
            assert isinstance(error, VenueRejected), f"{excerpt(sample.body)}: {error!r}"
            assert error.reason in pair[0].duplicate_id_texts, f"{error.reason!r}"  # type: ignore[index]

    def test_refusals_of_commands_are_classed_as_those_of_questions(self) -> None:
        pair = self.trading()
        for sample in self.facts.refusals if pair is not None else ():
            for write in (False, True):
                response = answered(sample.body, sample.status, sample.headers)
                ours, theirs = pair[0].failure(response, write=write), self.driver.rest.failure(response, write=write)  # type: ignore[index]
                assert type(ours) is type(theirs), f"{excerpt(sample.body)}: {ours!r} and {theirs!r}"

    def test_a_receipt_is_never_taken_for_the_state_of_an_order(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        for sample in self.answers():
            told = any(True for _ in reports_in(sample.expected))
            if pair[0].rules.ack_is_receipt and sample.what in ("place", "cancel", "amend"):
                assert not told, f"{sample.what}: a receipt, read as {sample.expected!r:.120}"
            elif sample.what == "place":
                assert told, f"{sample.what}: an answer that tells nothing, and is no receipt"

    def test_the_next_page_is_asked_for_exactly_where_one_follows(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        auth = self.auth()
        for sample in self.answers():
            if sample.what in WRITES or sample.what == "order counts":
                continue
            request = self.build(sample.what, auth, table, sample.command)
            more = pair[0].more(request, answered(sample.answer), auth, NOW_MS + 1)
            assert (more is not None) == sample.follows, f"{sample.what}: {more!r} follows"
            if more is not None:
                assert more.safe and more.charges, f"{sample.what}: a question like the first one"
                assert (more.target, more.body) != (request.target, request.body), f"{sample.what}: the same page again"

    # ---------------------------------------------------------------- the life of an order

    def test_every_status_of_an_orders_life_is_told_by_a_sample(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        shown = {report.status for _, report in self.reports()}
        missing = [status.name for status in LIFE if status not in shown and status not in pair[1].never_told]
        assert not missing, f"no sample shows {', '.join(missing)}"
        assert not shown & set(pair[1].never_told), "told, though it is said never to be"
        assert all(pair[1].never_told.values()), "say why a status is never told"

    def test_every_status_keeps_the_venues_word(self) -> None:
        for where, report in self.reports():
            assert report.status_text, f"{where}: {report.status}"

    def test_the_fills_of_an_order_add_up_to_what_is_filled(self) -> None:
        for where, report in self.reports():
            whole = report.quantity if report.contracts is None else report.contracts
            done = report.filled if report.filled_contracts is None else report.filled_contracts
            assert 0 <= done <= whole or not whole, f"{where}: {done} of {whole}"
            assert report.status is not OrderStatus.FILLED or done == whole or not whole, f"{where}: {done} of {whole}"
            if report.fill is not None:
                part = report.fill.quantity if report.fill.contracts is None else report.fill.contracts
                assert report.fill.client_id == report.client_id and report.fill.venue_id == report.venue_id, where
                assert report.fill.side is report.side and part <= done, where

    def test_an_unknown_status_is_never_taken_as_final(self, table: InstrumentTable) -> None:
        seen = 0
        for where, frame, report, read in self._told(table):
            found = same_order(read(spoiling.renamed(frame, report.status_text, "TELEPORTED")), report)
            if found is not None:
                seen += 1
                assert found.status is None or not found.status.is_final or found.status is report.status, (
                    f"{where}: {found}"
                )
                assert found.status is not None or "TELEPORTED" in found.status_text, f"{where}: the word is lost"
        assert seen or self.driver.trading is None, "no sample was read with an unknown status"

    def test_an_unknown_order_type_is_kept_as_text(self, table: InstrumentTable) -> None:
        for where, frame, report, read in self._told(table):
            found = same_order(read(spoiling.renamed(frame, report.type_text, "TELEPORT")), report)
            assert found is not None, f"{where}: an unknown order type costs the report"
            assert found.type in (OrderType.OTHER, report.type) and found.type_text, f"{where}: {found}"

    def test_events_of_one_order_have_rising_versions(self) -> None:
        for name, _, facts in self.private():
            versions: dict[str, int] = {}
            for event in facts.events:
                for report in reports_in(event.facts):
                    if report.version is not None:
                        assert versions.get(report.venue_id, report.version) <= report.version, f"{name}: {report}"
                        versions[report.venue_id] = report.version

    def _told(self, table: InstrumentTable) -> Iterator[tuple[str, bytes, OrderReport, Callable[[bytes], Any]]]:
        """Bytes that hold a report, the report, and how to read them again."""
        for sample in self.answers():
            if sample.what in ("order", "open orders", "place"):
                read_answer = partial(self.read_call, sample, table)
                for report in reports_in(sample.expected):
                    yield sample.what, sample.answer, report, read_answer
        for name, language, facts in self.private():
            for event in facts.events:
                for report in reports_in(event.facts):
                    yield f"{name} event", event.frame, report, partial(facts_of, language, table)
