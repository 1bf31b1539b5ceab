"""What a driver declares that it can do, against what it does: there, or `Unsupported` and absent from the table."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import msgspec

from connector.domain.commands import OrderListKind, PlaceOrder, SelfTrade
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import OrderType
from connector.domain.queries import CandlesQuery, DepthQuery, InstrumentsQuery, Query, ServerTimeQuery
from connector.domain.topics import Topic, TopicKind
from connector.domain.wire import HttpRequest
from connector.drivers.contract import Environment
from connector.drivers.table import capability_table
from connector.drivers.trading import Auth
from connector.errors import ConnectorError, InvalidRequest, Unsupported
from connector.testing.driver_checks.base import ACCOUNT, CALLS, QUERIES, SETTINGS, Checks, pieces, raises
from connector.testing.driver_facts import NOW_MS

__all__ = ["CapabilityChecks"]


class CapabilityChecks(Checks):
    """See `driver_suite`."""

    def test_a_capability_is_declared_once(self) -> None:
        assert len(self.has) == len(self.driver.capabilities)

    def test_capabilities_are_in_the_words_all_drivers_use(self) -> None:
        words = {
            "query": set(QUERIES.values()),
            "stream": {kind.value for kind in TopicKind},
            "environment": {environment.value for environment in Environment},
            "order": {kind.value for kind in OrderType}
            | {f"{kind.value} list" for kind in OrderListKind}
            | {
                "self-trade prevention",
                "test",
                "reduce only",
                "close position",
                "hedge mode",
                "contracts",
                "trigger price",
            },
            "command": {"place", "cancel", "amend", *SETTINGS},
            "account": {name for area, name in CALLS.values() if area == "account"} | {"events"},
            "key": {"hmac", "ed25519", "rsa"},
        }
        unknown = sorted(f"{area}: {name}" for area, name in self.has if name not in words.get(area, ()))
        assert not unknown, f"rows no other driver has words for: {', '.join(unknown)}"

    def test_environments_are_declared_exactly_where_there_are_hosts(self) -> None:
        assert self.area("environment") == {environment.value for environment in self.driver.hosts}

    def test_the_facts_have_a_sample_of_every_declared_query_and_stream(self) -> None:
        assert {QUERIES[type(sample.query)] for sample in self.facts.questions} == self.area("query")
        assert {sample.topic.kind.value for sample in self.facts.streams} == self.area("stream")

    def test_every_driver_answers_the_questions_recovery_needs(self) -> None:
        assert {"server time", "instruments"} <= self.area("query")

    def test_a_query_that_is_not_declared_is_unsupported(self) -> None:
        symbol = self.facts.instrument.symbol
        plain: dict[type[Any], Query] = {
            kind: kind() if kind in (ServerTimeQuery, InstrumentsQuery) or hasattr(kind, "symbols") else kind(symbol)
            for kind in get_args(Query)
            if kind is not CandlesQuery
        } | {CandlesQuery: CandlesQuery(symbol, "1m")}
        wrong = [
            f"{QUERIES[kind]}: {problem}"
            for kind, query in plain.items()
            if QUERIES[kind] not in self.area("query")
            and (problem := raises(Unsupported, self.driver.rest.request, query))
        ]
        assert not wrong, "\n".join(wrong)

    def test_a_stream_that_is_not_declared_is_unsupported(self, table: InstrumentTable) -> None:
        instrument = self.facts.instrument
        wrong = []
        for kind in TopicKind:
            if kind.value in self.area("stream"):
                continue
            interval = "1m" if kind is TopicKind.CANDLES else None
            topic = Topic(kind, instrument.symbol, interval, 5 if kind is TopicKind.PARTIAL_BOOK else None)
            for name in ("name", "group"):
                ask = getattr(self.driver.streams, name)
                if problem := raises(Unsupported, ask, topic):
                    wrong.append(f"{name}({topic}): {problem}")
            if problem := raises(Unsupported, self.driver.streams.reader, topic, instrument):
                wrong.append(f"reader({topic}): {problem}")
        assert not wrong, "\n".join(wrong)

    def test_a_book_stream_and_a_book_rule_come_together(self) -> None:
        assert ("book" in self.area("stream")) == (self.driver.book_rule is not None) == (self.facts.book is not None)

    def test_a_book_that_needs_snapshots_can_ask_for_them(self) -> None:
        rule = self.driver.book_rule
        if rule is not None and rule.snapshot_limit is not None:
            assert "depth" in self.area("query")
            assert self.driver.rest.request(DepthQuery(self.facts.book.symbol, rule.snapshot_limit))  # type: ignore[union-attr]

    def test_the_facts_have_a_sample_of_every_declared_call(self) -> None:
        pair = self.trading()
        shown = {CALLS[sample.what] for sample in pair[1].calls} if pair is not None else set()
        declared = {(area, name) for area, name in self.has if area in ("command", "account") and name != "events"}
        assert {entry for entry in shown if entry[0] != "order"} == declared
        assert (("order", "test") in shown) == (("order", "test") in self.has)
        assert (("order", "list") in shown) == any(name.endswith(" list") for name in self.area("order"))

    def test_a_driver_that_trades_can_place_cancel_and_answer_for_it(self) -> None:
        if self.driver.trading is None:
            assert not self.area("command") | self.area("account") | self.area("order") | self.area("key")
        else:
            assert {"place", "cancel"} <= self.area("command")
            assert set(ACCOUNT) <= self.area("account")

    def test_a_call_that_is_not_declared_is_unsupported(self, table: InstrumentTable) -> None:
        if self.driver.trading is None:
            return
        auth = self.auth()
        wrong = [
            f"{what}: {problem}"
            for what, entry in CALLS.items()
            if entry not in self.has
            and what not in ("place list", "order counts")
            and (problem := raises(Unsupported, self.build, what, auth, table))
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_count_of_orders_is_asked_for_exactly_where_it_is_declared(self) -> None:
        if self.driver.trading is not None:
            request = self.driver.trading.order_counts(self.auth(), NOW_MS)
            assert (request is not None) == ("order counts" in self.area("account"))

    def test_every_declared_order_type_can_be_placed_and_no_other(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        auth, wrong = self.auth(), []
        for kind in set(OrderType) - {OrderType.OTHER}:
            if kind.value in self.area("order"):
                made = [self._outcome(order, auth, table) for order in self._orders_of(kind)]
                if not any(isinstance(outcome, HttpRequest) for outcome in made):
                    wrong.append(f"{kind.value} is declared, and {made[0]!r}")
                continue
            for order in self._orders_of(kind):
                outcome = self._outcome(order, auth, table)
                if not isinstance(outcome, Unsupported):
                    wrong.append(f"{kind.value} is not declared, and gives {outcome!r}")
        assert not wrong, "\n".join(wrong)

    def test_at_least_limit_and_market_orders_can_be_placed(self) -> None:
        if self.driver.trading is not None:
            assert {"limit", "market"} <= self.area("order")

    def test_every_declared_order_list_is_in_the_rules_and_no_other(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        declared = {name.removesuffix(" list") for name in self.area("order") if name.endswith(" list")}
        assert declared == set(pair[0].rules.lists)

    def test_what_an_amend_can_change_is_in_the_rules_exactly_where_it_is_declared(self) -> None:
        pair = self.trading()
        if pair is not None:
            assert pair[0].rules.amends <= {"quantity down", "quantity up", "price"}
            assert bool(pair[0].rules.amends) == ("amend" in self.area("command")) == (pair[1].amend is not None)

    def test_self_trade_modes_are_taken_where_they_are_declared_and_refused_elsewhere(
        self, table: InstrumentTable
    ) -> None:
        pair = self.trading()
        if pair is None:
            return
        orders = [
            msgspec.structs.replace(pair[1].order, self_trade=mode) for mode in SelfTrade if mode is not SelfTrade.NONE
        ]
        outcomes = [self._outcome(order, self.auth(), table) for order in orders]
        if "self-trade prevention" in self.area("order"):
            assert any(isinstance(outcome, HttpRequest) for outcome in outcomes), f"declared, and {outcomes!r}"
        else:
            assert all(isinstance(outcome, Unsupported) for outcome in outcomes), f"not declared, and {outcomes!r}"

    def test_reduce_only_is_never_left_out_in_silence(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        plain = self.build("place", self.auth(), table)
        wanted = self._outcome(msgspec.structs.replace(pair[1].order, reduce_only=True), self.auth(), table)
        if isinstance(wanted, HttpRequest):
            assert pieces(wanted) != pieces(plain), "an order that may only reduce goes out as one that may not"
        else:
            assert isinstance(wanted, Unsupported | InvalidRequest), f"{wanted!r}"

    def test_a_test_order_is_never_sent_as_a_real_one(self, table: InstrumentTable) -> None:
        if self.driver.trading is None:
            return
        plain = self.build("place", self.auth(), table)
        tested = self._outcome(None, self.auth(), table, what="test")
        if isinstance(tested, HttpRequest):
            assert (tested.path, tested.body) != (plain.path, plain.body), "a test order goes where real ones go"
            assert "test" in self.area("order")
        else:
            assert isinstance(tested, Unsupported), f"{tested!r}"

    def test_every_declared_kind_of_key_signs(self) -> None:
        pair = self.trading()
        if pair is not None:
            assert set(pair[1].credentials) == self.area("key")
            for kind in pair[1].credentials:
                assert self.auth(kind).kind == kind

    def test_account_events_are_declared_exactly_where_a_connection_brings_them(self) -> None:
        connections = self.driver.session is not None or self.driver.events is not None
        assert ("events" in self.area("account")) == connections

    def test_positions_and_settings_are_declared_exactly_where_the_driver_has_positions(self) -> None:
        assert ("positions" in self.area("account")) == (self.driver.positions is not None)
        assert ("funding" in self.area("account")) <= (self.driver.positions is not None)
        assert bool(set(SETTINGS) & self.area("command")) <= (self.driver.positions is not None)

    def test_the_printed_table_has_a_row_for_every_capability_and_says_no_elsewhere(self) -> None:
        bare = dataclasses.replace(self.driver, name="bare", capabilities=frozenset())
        rows = [line.strip("| ").split(" | ") for line in capability_table([self.driver, bare]).splitlines()[2:]]
        assert {row[0] for row in rows} == {f"{area}: {name}" for area, name in self.has}
        assert all(row[-1] == "no" and row[1] != "no" for row in rows)

    def _outcome(self, order: PlaceOrder | None, auth: Auth, table: InstrumentTable, what: str = "place") -> object:
        try:
            return self.build(what, auth, table, order)
        except ConnectorError as refused:
            return refused

    def _orders_of(self, kind: OrderType) -> list[PlaceOrder]:
        """Orders of a type, in the forms venues ask for."""
        assert self.facts.trading is not None
        given = self.facts.trading.order
        samples = (sample.command for sample in self.facts.trading.calls if sample.what == "place")
        own = [order for order in samples if isinstance(order, PlaceOrder) and order.type is kind]
        limit = kind in (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
        price = given.price if limit else None
        plain = msgspec.structs.replace(given, type=kind, price=price, time_in_force=None)
        if kind in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT):
            plain = msgspec.structs.replace(plain, stop_price=given.price)
        return [*own, plain]
