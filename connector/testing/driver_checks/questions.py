"""Public questions and their answers over REST, and how refusals are classed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import pytest

from connector.domain.instruments import InstrumentTable
from connector.domain.market import Candle
from connector.domain.queries import (
    AggTradesQuery,
    CandlesQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    RecentTradesQuery,
)
from connector.errors import ConnectorError, InvalidRequest, OutcomeUnknown, RetryLater
from connector.testing import spoiling
from connector.testing.driver_checks.base import GARBAGE, Checks, answered, excerpt, impossible, raises, spoilt_ways
from connector.testing.driver_facts import RECEIVED_NS, RefusalSample

__all__ = ["QuestionChecks"]


class QuestionChecks(Checks):
    """See `driver_suite`."""

    # ---------------------------------------------------------------- questions

    def test_every_question_goes_out_as_documented(self) -> None:
        for sample in self.facts.questions:
            request = self.driver.rest.request(sample.query)
            assert f"{request.method} {request.target}" == sample.request, f"{sample.query}"

    def test_every_question_may_be_repeated(self) -> None:
        for sample in self.facts.questions:
            assert self.driver.rest.request(sample.query).safe, f"{sample.query} changes nothing at the venue"

    def test_a_question_is_the_same_every_time(self) -> None:
        for sample in self.facts.questions:
            assert self.driver.rest.request(sample.query) == self.driver.rest.request(sample.query)

    def test_questions_the_venue_would_refuse_are_refused_here_in_words(self) -> None:
        for query in self.facts.refused_queries:
            with pytest.raises(InvalidRequest, match=r"\S+ \S+") as refused:
                self.driver.rest.request(query)
            assert len(str(refused.value)) < 400, "an error of one line"

    def test_every_answer_reads_as_documented(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            assert self.read_question(sample, table) == sample.answer, f"{sample.query}"

    def test_answers_about_history_are_oldest_first(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            rows = self.read_question(sample, table)
            if isinstance(sample.query, CandlesQuery):
                times = [cast(Candle, row).open_time_ns for row in rows]
            elif isinstance(
                sample.query, RecentTradesQuery | HistoricalTradesQuery | AggTradesQuery | FundingRatesQuery
            ):
                times = [row.event_time_ns for row in rows]
            else:
                continue
            assert all(before <= after for before, after in pairwise(times)), f"{sample.query}"

    def test_answers_carry_our_time_of_reading(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            rows = self.read_question(sample, table)
            for row in rows if isinstance(rows, tuple) else (rows,):
                assert getattr(row, "received_ns", RECEIVED_NS) == RECEIVED_NS, f"{sample.query}"

    def test_unknown_fields_in_answers_change_nothing(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for number, body in enumerate(sample.bodies):
                for where, more in spoiling.with_unknown_fields(body):
                    bodies = [*sample.bodies[:number], more, *sample.bodies[number + 1 :]]
                    assert self.read_question(sample, table, bodies) == sample.answer, f"{sample.query}: in {where}"

    def test_answers_keep_every_digit(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for where, digits, longer in spoiling.lengthened(sample.bodies[0]):
                found = self.attempt(sample.query, self.read_question, sample, table, [longer, *sample.bodies[1:]])
                assert found is None or not (problem := self.inexact(found, sample.answer, digits)), (
                    f"{sample.query}: {where}: {problem}"
                )

    def test_answers_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for where, spoilt in spoiling.unnumbered(sample.bodies[0]):
                found = self.attempt(sample.query, self.read_question, sample, table, [spoilt, *sample.bodies[1:]])
                assert found is None or not (problem := impossible(found)), f"{sample.query}: {where}: {problem}"

    def test_spoilt_answers_raise_errors_of_ours_and_nothing_else(self, table: InstrumentTable) -> None:
        for number, sample in enumerate(self.questions()):
            for spoilt in (*spoilt_ways(sample.bodies[0], number), *GARBAGE):
                found = self.attempt(sample.query, self.driver.rest.read, sample.query, answered(spoilt), table)
                assert found is None or not (problem := impossible(found)), f"{excerpt(spoilt)}: {problem}"

    def test_an_answer_cut_short_is_never_taken_for_a_whole_one(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for part in spoiling.cut(sample.bodies[0]):
                problem = raises(ConnectorError, self.driver.rest.read, sample.query, answered(part), table)
                assert not problem, f"{sample.query} cut after {len(part)} bytes: {problem}"

    def test_an_answer_that_is_an_error_raises_it(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for refusal in self.facts.refusals:
                response = answered(refusal.body, refusal.status, refusal.headers)
                problem = raises(ConnectorError, self.driver.rest.read, sample.query, response, table)
                assert not problem, f"{sample.query} answered with {excerpt(refusal.body)}: {problem}"

    def test_used_budgets_are_read_from_the_headers(self) -> None:
        for headers, used in self.facts.used:
            assert dict(self.driver.rest.used(answered(b"{}", headers=headers))) == dict(used)

    def test_used_budgets_that_cannot_be_read_are_left_out(self) -> None:
        assert dict(self.driver.rest.used(answered(b"{}"))) == {}
        for headers, _ in self.facts.used:
            for text in ("", "abc", "-1", "1.5", "9" * 400, "NaN"):
                used = self.driver.rest.used(answered(b"{}", headers=dict.fromkeys(headers, text)))
                assert all(0 <= points < 10**12 for points in used.values()), f"{text!r}: {used}"

    # ---------------------------------------------------------------- refusals

    def test_every_documented_code_has_a_reaction_and_no_other_has(self) -> None:
        missing, invented = (
            set(self.facts.codes) - set(self.driver.error_codes),
            set(self.driver.error_codes) - set(self.facts.codes),
        )
        assert not missing, f"documented, without a reaction: {sorted(missing)}"
        assert not invented, f"a reaction to what no document names: {sorted(invented)}"

    def test_every_reaction_is_told_in_words(self) -> None:
        assert all(text.strip() for text in self.driver.error_codes.values())

    def test_every_documented_code_is_classed_for_questions(self) -> None:
        self._classes(write=False)

    def test_every_documented_code_is_classed_for_commands(self) -> None:
        self._classes(write=True)

    def _classes(self, *, write: bool) -> None:
        wrong = []
        for code, kinds in self.facts.codes.items():
            error = self.driver.rest.failure(answered(self.facts.code_body(code), self.facts.code_status), write=write)
            if type(error) is not kinds[write]:
                wrong.append(f"{code}: {error!r:.120}, expected {kinds[write].__name__}")
        assert not wrong, "\n".join(wrong)

    def test_a_code_nobody_documented_is_unknown_for_a_command_and_an_error_for_a_question(self) -> None:
        for code in ("987654321", "-98765", "TELEPORTED"):
            try:
                body = self.facts.code_body(code)
            except (ValueError, TypeError):
                continue  # the venue's codes are numbers
            response = answered(body, self.facts.code_status)
            assert isinstance(self.driver.rest.failure(response, write=True), OutcomeUnknown), f"code {code}"
            assert self.driver.rest.failure(response, write=False) is not None, f"code {code}"

    def test_samples_of_refusals_are_classed_for_questions(self) -> None:
        self._samples(self.facts.refusals, write=False)

    def test_samples_of_refusals_are_classed_for_commands(self) -> None:
        self._samples(self.facts.refusals, write=True)

    def _samples(self, samples: Iterable[RefusalSample], *, write: bool) -> None:
        for sample in samples:
            error = self.driver.rest.failure(answered(sample.body, sample.status, sample.headers), write=write)
            where = f"{sample.status} {excerpt(sample.body)}"
            expected = sample.write if write else sample.read
            assert type(error) is expected, f"{where}: {error!r:.160}, expected {expected.__name__}"
            if sample.code and hasattr(error, "code"):
                assert error.code == sample.code, f"{where}: code {error.code!r}"
            if sample.retry_after_s is not None and isinstance(error, RetryLater):
                assert error.retry_after_s == pytest.approx(sample.retry_after_s), where

    def test_a_server_in_trouble_says_nothing_about_a_command(self) -> None:
        for status in (500, 502, 503, 504, 520):
            for body in (b"", b"<html>busy</html>", b"{}"):
                response = answered(body, status)
                assert isinstance(self.driver.rest.failure(response, write=True), OutcomeUnknown), f"{status} {body!r}"
                assert isinstance(self.driver.rest.failure(response, write=False), RetryLater), f"{status} {body!r}"

    def test_an_error_status_without_a_readable_body_is_still_an_error(self) -> None:
        for status in (400, 401, 403, 404, 418, 429, 451):
            for body in GARBAGE:
                for write in (False, True):
                    assert self.driver.rest.failure(answered(body, status), write=write) is not None, (
                        f"{status} {body!r:.40}"
                    )

    def test_a_good_answer_is_no_error(self) -> None:
        for sample in self.questions():
            for body in sample.bodies:
                for write in (False, True):
                    assert self.driver.rest.failure(answered(body, headers=sample.headers), write=write) is None, (
                        f"{sample.query}"
                    )

    def test_classing_never_raises_whatever_the_bytes(self) -> None:
        headers = {"retry-after": "soon", "date": "yesterday"}
        for number, sample in enumerate(self.facts.refusals):
            for spoilt in (*spoilt_ways(sample.body, number), *GARBAGE):
                for write in (False, True):
                    error = self.driver.rest.failure(answered(spoilt, sample.status, headers), write=write)
                    assert error is None or isinstance(error, ConnectorError)

    def test_a_wait_that_cannot_be_true_is_not_handed_on(self) -> None:
        for text in ("-5", "NaN", "inf", "abc", "1e999", ""):
            error = self.driver.rest.failure(answered(b"", 429, {"retry-after": text}), write=False)
            if isinstance(error, RetryLater) and error.retry_after_s is not None:
                assert 0 <= error.retry_after_s < 10**9, f"retry-after {text!r}: {error.retry_after_s}"
