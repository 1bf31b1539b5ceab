"""The whole instrument list: symbols there and back, filters, pages, entries that are spoilt."""

from __future__ import annotations

import msgspec
import pytest

from connector.domain.instruments import InstrumentStatus, InstrumentTable
from connector.domain.queries import InstrumentsQuery
from connector.domain.symbols import Product, Symbol
from connector.errors import ConnectorError, InvalidRequest, Unsupported
from connector.testing import spoiling
from connector.testing.driver_checks.base import (
    EXACT_DIGITS,
    Checks,
    answered,
    excerpt,
    raises,
    spoil_entry,
    without_texts,
)

__all__ = ["InstrumentChecks"]


class InstrumentChecks(Checks):
    """See `driver_suite`."""

    def test_the_whole_instrument_list_reads_as_the_documented_symbols(self, table: InstrumentTable) -> None:
        assert {instrument.venue_name: symbol for symbol, instrument in table.items()} == dict(self.facts.symbols)

    def test_every_symbol_goes_to_the_venues_name_and_back(self, table: InstrumentTable) -> None:
        for symbol, instrument in table.items():
            assert self.driver.wire_name(symbol) == instrument.venue_name, f"{symbol}"
            found = table.by_name(self.driver.wire_name(symbol))
            assert found is instrument, f"{symbol}: its name {instrument.venue_name!r} leads to {found!r:.80}"

    def test_every_symbol_is_written_and_read_in_the_common_notation(self, table: InstrumentTable) -> None:
        for symbol in table:
            assert Symbol.parse(str(symbol)) == symbol

    def test_no_two_instruments_share_a_name(self, table: InstrumentTable) -> None:
        names = [instrument.venue_name for instrument in table.values()]
        assert len(set(names)) == len(names) == len(table)

    def test_instruments_are_of_the_drivers_products_and_name(self, table: InstrumentTable) -> None:
        assert table.venue == self.driver.name
        for instrument in table.values():
            assert instrument.product in self.driver.products, f"{instrument.symbol} is none of {self.driver!r}"
            assert instrument.venue == self.driver.name

    def test_a_symbol_of_another_product_has_no_name_here(self) -> None:
        examples = {
            Product.SPOT: Symbol("BTC", "USDT"),
            Product.LINEAR: Symbol("BTC", "USDT", "USDT"),
            Product.INVERSE: Symbol("BTC", "USD", "BTC"),
        }
        for product, symbol in examples.items():
            if product not in self.driver.products:
                problem = raises((Unsupported, InvalidRequest), self.driver.wire_name, symbol)
                assert not problem, f"{symbol}: {problem}"

    def test_an_instrument_is_read_with_every_filter(self, table: InstrumentTable) -> None:
        assert table[self.facts.instrument.symbol] == self.facts.instrument

    def test_ticks_and_steps_are_exact(self, table: InstrumentTable) -> None:
        for instrument in table.values():
            for number in spoiling.decimals_in(instrument):
                assert number.is_finite() and len(number.as_tuple().digits) < EXACT_DIGITS, (
                    f"{instrument.symbol}: {number}"
                )

    def test_a_contract_has_a_size_and_spot_has_none(self, table: InstrumentTable) -> None:
        for instrument in table.values():
            assert instrument.contract_size > 0
            assert instrument.product is not Product.SPOT or instrument.contract_size == 1

    def test_entries_that_cannot_be_read_are_left_out_and_named(self) -> None:
        skipped = self.info().skipped
        assert {entry.venue_name for entry in skipped} == self.facts.skipped
        assert all(entry.reason for entry in skipped)

    def test_limits_in_the_list_name_their_source_and_are_positive(self) -> None:
        for limit in self.info().limits:
            assert limit.points > 0 and limit.window_s > 0 and limit.source, f"{limit}"

    def test_unknown_fields_in_the_list_change_nothing(self) -> None:
        expected = self.info()
        for number, body in enumerate(self.facts.instruments):
            for where, more in spoiling.with_unknown_fields(body):
                pages = [*self.facts.instruments[:number], more, *self.facts.instruments[number + 1 :]]
                info = self.read_pages(pages)
                assert without_texts(info) == without_texts(expected), f"an unknown field in {where}"

    def test_an_unknown_status_is_kept_as_text_and_nothing_is_concluded(self) -> None:
        instrument = self.facts.instrument
        pages = [spoiling.renamed(body, instrument.status_text, "TELEPORTED") for body in self.facts.instruments]
        found = self.read_pages(pages).instruments.get(instrument.symbol)
        assert found is not None, "an unknown word costs the instrument"
        assert (found.status, found.status_text) == (InstrumentStatus.OTHER, "TELEPORTED")

    def test_one_spoilt_entry_costs_only_itself(self) -> None:
        expected = self.info().instruments
        if len(expected) < 2:
            pytest.fail("the facts list one instrument; give at least two")
        name = self.facts.instrument.venue_name
        spoilt = []
        for body in self.facts.instruments:
            value = msgspec.json.decode(body)
            spoil_entry(value, name)
            spoilt.append(msgspec.json.encode(value))
        info = self.read_pages(spoilt)
        left = {symbol: instrument for symbol, instrument in expected.items() if instrument.venue_name != name}
        assert dict(info.instruments) == left
        assert len(info.skipped) == len(self.facts.skipped) + 1, "what cannot be read has to be told"

    def test_a_list_that_cannot_be_read_is_an_error_and_never_an_empty_list(self) -> None:
        for body in (b"", b"[]", b"{}", b"null", b"<html>", self.facts.instruments[0][:-20]):
            problem = raises(ConnectorError, self.read_pages, [body])
            assert not problem, f"{excerpt(body)}: {problem}"

    def test_the_pages_of_the_list_are_asked_for_one_after_the_other(self) -> None:
        rest, query = self.driver.rest, InstrumentsQuery()
        last = len(self.facts.instruments) - 1
        for number, body in enumerate(self.facts.instruments):
            more = rest.more(query, answered(body))
            assert (more is None) == (number == last), f"page {number + 1} of {last + 1}: {more!r} follows"
            assert more is None or more.safe

    def test_there_is_no_page_after_an_error(self) -> None:
        for body, status in ((b"", 200), (b"{", 200), (b"<html>", 503), (b"\xff", 200), (b"[[[", 200)):
            for sample in self.facts.questions:
                assert self.driver.rest.more(sample.query, answered(body, status)) is None
