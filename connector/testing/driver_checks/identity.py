"""The driver as a value, and the limits it declares with their sources."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from connector.domain.instruments import InstrumentTable
from connector.domain.market import Trade
from connector.domain.symbols import Product
from connector.domain.wire import HttpRequest
from connector.testing.driver_checks.base import QUERIES, SOURCE, Checks

__all__ = ["IdentityChecks"]


class IdentityChecks(Checks):
    """See `driver_suite`."""

    # ---------------------------------------------------------------- the driver as a value

    def test_the_name_is_lower_case_words_with_hyphens_between(self) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.driver.name), (
            f"{self.driver.name!r} is used in paths and names"
        )

    def test_a_driver_never_changes(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            self.driver.name = "other"  # type: ignore[misc]

    def test_the_repr_is_one_line_that_names_the_driver_and_its_products(self) -> None:
        text = repr(self.driver)
        assert self.driver.name in text and "\n" not in text and len(text) < 120
        assert all(product.value in text for product in self.driver.products)

    def test_it_has_at_least_one_product(self) -> None:
        assert self.driver.products and all(isinstance(product, Product) for product in self.driver.products)

    def test_every_environment_has_encrypted_roots_without_a_trailing_slash(self) -> None:
        assert self.driver.hosts, "a driver that leads nowhere"
        for environment, hosts in self.driver.hosts.items():
            assert hosts.rest.startswith("https://"), f"{environment.value}: REST at {hosts.rest!r}"
            for root in (hosts.public_stream, hosts.session, hosts.events):
                assert not root or root.startswith("wss://"), f"{environment.value}: a stream at {root!r}"
            assert not any(
                root.endswith("/") for root in (hosts.rest, hosts.public_stream, hosts.session, hosts.events)
            )

    def test_no_two_environments_take_orders_at_one_address(self) -> None:
        for part in ("rest", "session"):
            roots = [root for hosts in self.driver.hosts.values() if (root := getattr(hosts, part))]
            assert len(roots) == len(set(roots)), "practice and real money would be mixed up"

    def test_a_session_has_a_host_where_orders_are_live(self) -> None:
        if self.driver.session is not None:
            assert self.driver.hosts[next(iter(self.driver.hosts))].session, "a session nobody can connect to"
        if self.driver.events is not None:
            assert all(hosts.events_root for hosts in self.driver.hosts.values())

    def test_pages_hold_at_least_one_row(self) -> None:
        assert self.driver.candle_limit >= 1 and self.driver.trade_limit >= 1

    def test_trade_ids_are_what_the_driver_says_they_are(self) -> None:
        trades = [event for sample in self.facts.streams for event in sample.events if isinstance(event, Trade)]
        for trade in trades:
            if self.driver.trade_ids == "counted":
                assert isinstance(trade.trade_id, int), f"{trade.trade_id!r} cannot be counted"
            else:
                assert trade.sequence is not None, f"nothing says what follows {trade.trade_id!r}"

    def test_positions_are_there_exactly_where_contracts_are(self) -> None:
        if self.driver.products == {Product.SPOT}:
            assert self.driver.positions is None
        elif self.driver.trading is not None:
            assert self.driver.positions is not None

    def test_a_driver_without_a_private_half_has_no_private_connection(self) -> None:
        if self.driver.trading is None:
            assert (self.driver.session, self.driver.events, self.driver.positions) == (None, None, None)

    def test_every_value_of_the_facts_is_of_this_driver(self) -> None:
        venues = {event.venue for sample in self.facts.streams for event in sample.events}
        venues |= {report.venue for _, report in self.reports()} | {self.facts.instrument.venue}
        assert venues == {self.driver.name}

    # ---------------------------------------------------------------- limits and their sources

    def test_request_budgets_are_the_documented_ones(self) -> None:
        assert {limit.name: (limit.points, limit.window_s) for limit in self.driver.limits} == dict(self.facts.limits)

    def test_every_request_budget_names_its_document_and_month(self) -> None:
        for limit in self.budgets():
            assert SOURCE.search(limit.source), (
                f"budget {limit.name}: source {limit.source!r} names no month like 2026-11"
            )

    def test_request_budgets_are_positive_and_named_once(self) -> None:
        assert all(limit.points > 0 and limit.window_s > 0 for limit in self.budgets())
        names = [limit.name for limit in self.driver.limits]
        assert len(names) == len(set(names)), "two budgets of one name are charged as one"

    def test_the_budgets_of_orders_are_among_those_of_the_driver_or_new(self) -> None:
        known = {limit.name: limit for limit in self.driver.limits}
        for limit in self.driver.trading.limits if self.driver.trading is not None else ():
            assert known.get(limit.name, limit) == limit, f"budget {limit.name} is told in two ways"

    def test_the_limits_of_connections_name_their_document_and_month(self) -> None:
        limits = self.driver.streams.limits
        assert SOURCE.search(limits.source), f"source {limits.source!r} names no month like 2026-11"

    def test_the_limits_of_connections_can_be_kept(self) -> None:
        limits = self.driver.streams.limits
        assert limits.topics_per_connection >= 1 and limits.names_per_frame >= 1
        assert limits.connects >= 1 and limits.connects_window_s > 0 and limits.frame_spacing_s >= 0
        if limits.max_age_s is not None:
            assert 0 < limits.rollover_before_s < limits.max_age_s, "a successor comes after the end"
        assert limits.server_ping_s is None or limits.server_ping_s > 0

    def test_the_book_rule_names_its_document_and_month(self) -> None:
        if self.driver.book_rule is not None:
            assert SOURCE.search(self.driver.book_rule.source), f"source {self.driver.book_rule.source!r}"

    def test_the_order_rules_name_their_document_and_month(self) -> None:
        if self.driver.trading is not None:
            assert SOURCE.search(self.driver.trading.rules.source), f"source {self.driver.trading.rules.source!r}"

    def test_the_heartbeat_is_the_documented_one(self) -> None:
        beat = self.driver.streams.limits.heartbeat
        assert (None if beat is None else (beat.frame, beat.every_s)) == self.facts.heartbeat
        assert beat is None or beat.every_s > 0

    def test_every_request_costs_something_the_driver_or_the_venue_counts(self, table: InstrumentTable) -> None:
        known = {limit.name for limit in (*self.budgets(), *self.info().limits)}
        for what, request in self._requests(table):
            assert request.charges or not known, f"{what}: costs nothing, where the venue counts requests"
            for charge in request.charges:
                assert charge.points > 0, f"{what}: {charge}"
                assert charge.budget in known, (
                    f"{what}: nobody keeps a budget {charge.budget!r}; there are {sorted(known)}"
                )

    def _requests(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest]]:
        for sample in self.facts.questions:
            yield f"query {QUERIES[type(sample.query)]}", self.driver.rest.request(sample.query)
        pair = self.trading()
        if pair is not None:
            auth = self.auth()
            for call in pair[1].calls:
                yield call.what, self.build(call.what, auth, table, call.command)
