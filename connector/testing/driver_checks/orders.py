"""Keys, signatures and orders on their way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest

from connector.domain.instruments import InstrumentTable
from connector.domain.orders import OrderType, TimeInForce
from connector.domain.wire import HttpRequest
from connector.drivers.trading import OrderRules
from connector.errors import InvalidRequest, SettingsError, Unsupported
from connector.orders.ids import ClientIds
from connector.testing.driver_checks.base import SECRET, SECRET_OTHER, WRITES, Checks, pieces, raises
from connector.testing.driver_facts import NOW_MS

__all__ = ["OrderChecks"]


class OrderChecks(Checks):
    """See `driver_suite`."""

    # ---------------------------------------------------------------- keys and signatures

    def test_signatures_are_the_documented_ones(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        assert {vector.kind for vector in pair[1].vectors} >= set(pair[1].credentials) - {"rsa"}, (
            "give a vector of each kind"
        )
        for vector in pair[1].vectors:
            assert self.auth(vector.kind).sign(vector.payload) == vector.signature, (
                f"{vector.kind} of {vector.payload!r:.80}"
            )

    def test_keys_that_cannot_be_used_are_refused_and_not_shown(self) -> None:
        pair = self.trading()
        for credentials in pair[1].refused_credentials if pair is not None else ():
            with pytest.raises(SettingsError) as refused:
                pair[0].auth(credentials)  # type: ignore[index]
            assert not any(secret in str(refused.value) for secret in credentials.secrets)

    def test_every_call_goes_out_as_documented(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        auth = self.auth()
        for sample in pair[1].calls:
            request = self.build(sample.what, auth, table, sample.command)
            assert f"{request.method} {request.path}" == sample.request, f"{sample.what}"
            for piece in sample.says:
                assert piece in pieces(request), f"{sample.what}: {piece!r} is not in {pieces(request)!r:.400}"
            for name, value in sample.headers.items():
                assert request.headers.get(name) == value, f"{sample.what}: header {name}"

    def test_only_questions_may_be_repeated(self, table: InstrumentTable) -> None:
        for what, request in self._signed(table):
            assert request.safe == (what not in WRITES), f"{what}: safe={request.safe}"

    def test_a_signed_request_is_signed_whole(self, table: InstrumentTable) -> None:
        for what, one, other in self._signed_by_two(table):
            assert (one.method, one.path) == (other.method, other.path), what
            assert (one.target, one.body, one.headers) != (other.target, other.body, other.headers), (
                f"{what} is not signed"
            )

    def test_a_signed_request_is_the_same_every_time(self, table: InstrumentTable) -> None:
        for (what, one), (_, other) in zip(self._signed(table), self._signed(table), strict=True):
            assert one == other, what

    def test_a_signed_request_carries_the_time_it_was_given(self, table: InstrumentTable) -> None:
        pair = self.trading()
        for sample in pair[1].calls if pair is not None else ():
            auth = self.auth()
            now = self.build(sample.what, auth, table, sample.command)
            later = self.build(sample.what, auth, table, sample.command, NOW_MS + 1)
            assert (now.target, now.body, now.headers) != (later.target, later.body, later.headers), (
                f"{sample.what} says no time"
            )

    def test_a_secret_is_never_part_of_a_request_or_a_repr(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None or "hmac" not in pair[1].credentials:
            return
        auth = self.auth_of(SECRET)
        assert SECRET not in repr(auth) + repr(pair[0]) + repr(self.driver)
        for what, one, _ in self._signed_by_two(table):
            sent = f"{one!r} {one.target} {one.headers}".encode() + one.body
            assert SECRET.encode() not in sent, what
        for name, language, _ in self.private():
            for build in language.opening():
                request = build("c1", auth, NOW_MS)
                assert SECRET.encode() not in request.frame + repr(request).encode(), name

    def test_a_signature_does_not_show_in_the_repr_of_a_request(self, table: InstrumentTable) -> None:
        for what, request in self._signed(table):
            assert (not request.query or request.query not in repr(request)) and len(repr(request)) < 200, what

    def _signed(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest]]:
        pair = self.trading()
        if pair is not None:
            auth = self.auth()
            for sample in pair[1].calls:
                yield sample.what, self.build(sample.what, auth, table, sample.command)

    def _signed_by_two(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest, HttpRequest]]:
        pair = self.trading()
        if pair is None or "hmac" not in pair[1].credentials:
            return
        one, other = self.auth_of(SECRET), self.auth_of(SECRET_OTHER)
        for sample in pair[1].calls:
            built = [self.build(sample.what, auth, table, sample.command) for auth in (one, other)]
            yield sample.what, built[0], built[1]

    # ---------------------------------------------------------------- orders out

    def test_ids_made_here_are_taken_by_the_venue(self) -> None:
        pair = self.trading()
        if pair is not None:
            ids = ClientIds(lambda: 0.999, pair[0].rules)
            assert re.fullmatch(pair[0].rules.client_id, ids.make())

    def test_the_rules_of_ids_agree_with_each_other(self) -> None:
        pair = self.trading()
        if pair is not None:
            rules = pair[0].rules
            assert re.fullmatch(rules.client_id, pair[1].client_id)
            assert not re.fullmatch(rules.client_id, "a" * (rules.client_id_length + 1))
            assert not any(re.fullmatch(rules.client_id, text) for text in ("", "ä", "a b", "a\n", '"'))

    def test_an_id_the_venue_would_refuse_is_never_sent(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        trade, facts = pair
        for text in ("", "a b", "a&b=c", 'a"b', "ä", "a\n", "a" * (trade.rules.client_id_length + 1)):
            problem = raises(
                InvalidRequest, trade.place, facts.order, text, table.require(facts.symbol), self.auth(), NOW_MS
            )
            assert not problem, f"client id {text!r:.40}: {problem}"

    def test_an_unknown_order_can_be_bounded_in_time(self) -> None:
        pair = self.trading()
        if pair is not None:
            rules: OrderRules = pair[0].rules
            assert rules.recv_window_ms > 0 and rules.backend_s >= 0 and rules.visible_after_s >= 0
            assert rules.since_s is None or rules.since_s > 0

    def test_an_order_names_its_id_so_that_it_can_be_found_again(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is not None:
            for what in ("place", "order", "cancel"):
                request = self.build(what, self.auth(), table)
                ids = (pair[1].client_id, pair[1].current.venue_id or pair[1].client_id)
                assert any(text.encode() in pieces(request) for text in ids), f"{what}: {pieces(request)!r:.200}"
            assert pair[1].client_id.encode() in pieces(self.build("place", self.auth(), table))

    def test_numbers_are_written_as_plain_digits(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None or pair[1].order.quantity is None:
            return
        order = msgspec.structs.replace(pair[1].order, price=Decimal("1E+3"), quantity=Decimal("2E+1"))
        request = self.build("place", self.auth(), table, order)
        assert b"E+" not in pieces(request).upper() and b"1000" in pieces(request)

    def test_orders_that_make_no_sense_are_refused_before_they_are_signed(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        order = pair[1].order
        replace = msgspec.structs.replace
        senseless = [
            replace(order, price=None),
            replace(order, quantity=None, contracts=None),
            replace(order, price=Decimal(0)),
            replace(order, price=Decimal(-1)),
            replace(order, type=OrderType.MARKET, price=None, time_in_force=None, quantity=None, contracts=None),
            replace(order, type=OrderType.OTHER),
            replace(order, time_in_force=TimeInForce.OTHER),
            *pair[1].refused_orders,
        ]
        if order.quantity is not None:
            senseless += [replace(order, quantity=Decimal(0)), replace(order, quantity=Decimal(-1))]
        wrong = [
            f"{what!r:.200}: {problem}"
            for what in senseless
            if (problem := raises((InvalidRequest, Unsupported), self.build, "place", self.auth(), table, what))
        ]
        assert not wrong, "\n".join(wrong)

    def test_a_command_about_another_instrument_is_refused(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        trade, facts = pair
        other = next(instrument for symbol, instrument in table.items() if symbol != facts.symbol)
        problem = raises(
            (InvalidRequest, Unsupported), trade.place, facts.order, facts.client_id, other, self.auth(), NOW_MS
        )
        assert not problem, f"an order for {facts.symbol} with the instrument {other.symbol}: {problem}"
