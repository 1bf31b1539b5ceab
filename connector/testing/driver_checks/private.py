"""Private connections: opening, keys, commands and replies, the account's events."""

from __future__ import annotations

from connector.domain.facts import BalanceReport, OrderReport, PositionReport
from connector.domain.instruments import InstrumentTable
from connector.domain.orders import Fill
from connector.drivers.trading import SessionEnding, SessionEvents, SessionNoise, SessionReply, SessionRequest
from connector.errors import ConnectorError
from connector.testing import spoiling
from connector.testing.driver_checks.base import (
    GARBAGE,
    SECRET,
    SECRET_OTHER,
    Checks,
    answered,
    excerpt,
    impossible,
    raises,
    spoilt_ways,
)
from connector.testing.driver_facts import NOW_MS, RECEIVED_NS

__all__ = ["PrivateChecks"]


class PrivateChecks(Checks):
    """See `driver_suite`."""

    def test_a_private_connection_leads_where_the_documents_say(self) -> None:
        for name, language, facts in self.private():
            hosts = self.driver.hosts[facts.environment]
            assert language.url(hosts, "KEY" if language.key is not None else "") == facts.url, name

    def test_a_private_connection_is_replaced_before_its_end(self) -> None:
        for name, language, _ in self.private():
            if language.max_age_s is not None:
                assert 0 < language.rollover_before_s < language.max_age_s, name

    def test_a_private_connection_opens_as_documented(self) -> None:
        for name, language, facts in self.private():
            opening = list(language.opening())
            assert len(opening) == len(facts.opening), (
                f"{name}: {len(opening)} frames, {len(facts.opening)} in the facts"
            )
            for number, (build, sample) in enumerate(zip(opening, facts.opening, strict=True), 1):
                request = build(f"c{number}", self.auth(), NOW_MS)
                assert isinstance(request, SessionRequest)
                for piece in sample.says:
                    assert piece in request.frame, f"{name}, frame {number}: {piece!r} is not in {request.frame!r:.300}"

    def test_an_accepted_opening_is_the_reply_to_its_frame(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for number, (build, sample) in enumerate(zip(language.opening(), facts.opening, strict=True), 1):
                request = build(f"c{number}", self.auth(), NOW_MS)
                said = language.read(sample.accepted, RECEIVED_NS, table)
                assert self._answers(request, said), (
                    f"{name}, frame {number}: {excerpt(sample.accepted)} reads as {said!r}"
                )
                assert self.failure(said, write=False) is None, (
                    f"{name}, frame {number}: {self.failure(said, write=False)!r}"
                )

    def test_a_refused_opening_is_classed(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            if facts.opening:
                assert any(sample.refused for sample in facts.opening), f"{name}: give the reply that refuses a key"
            for number, (build, sample) in enumerate(zip(language.opening(), facts.opening, strict=True), 1):
                request = build(f"c{number}", self.auth(), NOW_MS)
                for frame, kind in sample.refused:
                    said = language.read(frame, RECEIVED_NS, table)
                    assert self._answers(request, said), f"{name}: {excerpt(frame)} reads as {said!r}"
                    assert type(self.failure(said, write=False)) is kind, f"{name}: {self.failure(said, write=False)!r}"

    def test_a_private_connection_shows_whose_account_it_is(self, table: InstrumentTable) -> None:
        if "hmac" not in self.area("key"):
            return
        for name, language, facts in self.private():
            signers = [self.auth_of(secret) for secret in (SECRET, SECRET_OTHER)]
            frames = [[build("c1", auth, NOW_MS).frame for auth in signers] for build in language.opening()]
            frames += [[self.session_request(call, table, auth).frame for auth in signers] for call in facts.calls]
            signed = any(one != other for one, other in frames)
            assert signed or language.key is not None, f"{name}: neither a login, nor signed requests, nor a key"

    def test_the_key_of_a_private_address_is_had_kept_and_renewed(self) -> None:
        for name, language, facts in self.private():
            rule, sample = language.key, facts.key
            assert (rule is None) == (sample is None), (
                f"{name}: the driver and its facts differ on whether there is a key"
            )
            if rule is None or sample is None:
                continue
            opens, renews = rule.open(self.auth()), rule.renew(sample.key, self.auth())
            assert (f"{opens.method} {opens.path}" == sample.opens and not sample.opens.startswith("GET")) or opens.safe
            assert f"{renews.method} {renews.path}" == sample.renews
            assert rule.read(answered(sample.answer)) == sample.key
            assert rule.renew_every_s > 0
            for body, status in ((b"", 503), (b"{}", 200), (b"", 401)):
                problem = raises(ConnectorError, rule.read, answered(body, status))
                assert not problem, f"{name}: {status} {body!r}: {problem}"

    def test_a_probe_is_answered_by_its_reply(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            request = language.probe("c9")
            assert (request is None) == (facts.probe_reply is None), (
                f"{name}: the driver and its facts differ on the probe"
            )
            if request is not None and facts.probe_reply is not None:
                said = language.read(facts.probe_reply, RECEIVED_NS, table)
                assert self._answers(request, said), f"{name}: {said!r}"
                assert self.failure(said, write=False) is None

    def test_commands_of_a_session_go_out_as_documented(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        for sample in pair[1].calls if pair is not None else ():
            request = self.session_request(sample, table)
            assert request.request_id == "c7"
            for piece in sample.says:
                assert piece in request.frame, f"{sample.what}: {piece!r} is not in {request.frame!r:.400}"

    def test_commands_of_a_session_cost_what_the_driver_counts(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        known = {limit.name for limit in (*self.budgets(), *self.info().limits)}
        for sample in pair[1].calls if pair is not None else ():
            for charge in self.session_request(sample, table).charges:
                assert charge.budget in known and charge.points > 0, f"{sample.what}: {charge}"

    def test_a_session_takes_every_command_it_can(self) -> None:
        pair = self.orders_session()
        if pair is not None:
            assert {"place", "cancel"} <= {sample.what for sample in pair[1].calls}, "give a sample of each"

    def test_replies_of_a_session_read_as_answers_do(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        for sample in pair[1].calls if pair is not None else ():
            request = self.session_request(sample, table)
            said = pair[0].read(sample.reply, RECEIVED_NS, table)  # type: ignore[index]
            assert isinstance(said, SessionReply) and self._answers(request, said), f"{sample.what}: {said!r:.160}"
            if isinstance(sample.expected, type):
                error = self.failure(said, write=True)
                assert type(error) is sample.expected, f"{sample.what}: {error!r:.160}"
            else:
                found = self.read_answer(sample.what, said.response, table, sample.command)
                assert found == sample.expected, f"{sample.what}: {found!r:.300}"

    def test_a_reply_names_the_request_it_answers_and_no_other(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        for sample in pair[1].calls if pair is not None else ():
            other = sample.reply.replace(b'"c7"', b'"c8"')
            said = pair[0].read(other, RECEIVED_NS, table)  # type: ignore[index]
            if other != sample.reply:
                assert isinstance(said, SessionReply) and said.request_id == "c8", f"{sample.what}: {said!r:.160}"

    def test_events_of_the_account_read_as_documented(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                said = language.read(sample.frame, RECEIVED_NS, table)
                assert isinstance(said, SessionEvents), f"{name}: {excerpt(sample.frame)} reads as {said!r:.200}"
                assert said.facts == sample.facts, f"{name}: {excerpt(sample.frame)}"

    def test_some_connection_brings_orders_and_balances(self) -> None:
        if ("account", "events") in self.has:
            kinds = {type(fact) for _, _, facts in self.private() for sample in facts.events for fact in sample.facts}
            assert {OrderReport, BalanceReport} <= kinds, f"the samples bring {sorted(kind.__name__ for kind in kinds)}"
            assert self.driver.positions is None or PositionReport in kinds, "no sample brings a position"

    def test_every_execution_is_told_as_a_fill(self) -> None:
        if ("account", "events") in self.has:
            told = [fact for _, _, facts in self.private() for sample in facts.events for fact in sample.facts]
            fills = [fact for fact in told if isinstance(fact, Fill)]
            fills += [fact.fill for fact in told if isinstance(fact, OrderReport) and fact.fill is not None]
            assert fills, "no sample brings a fill"
            assert all(fill.trade_id and fill.price > 0 and fill.quantity > 0 for fill in fills)

    def test_unknown_fields_in_events_change_nothing(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for where, more in spoiling.with_unknown_fields(sample.frame):
                    said = language.read(more, RECEIVED_NS, table)
                    assert said == SessionEvents(sample.facts), (
                        f"{name}: {excerpt(sample.frame)}: in {where}: {said!r:.160}"
                    )

    def test_events_keep_every_digit(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for where, digits, longer in spoiling.lengthened(sample.frame):
                    said = language.read(longer, RECEIVED_NS, table)
                    problem = self.inexact(said.facts, sample.facts, digits) if isinstance(said, SessionEvents) else ""
                    assert not problem, f"{name}: {where}: {problem}"

    def test_events_with_numbers_that_are_none_are_told_as_unreadable(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for where, spoilt in spoiling.unnumbered(sample.frame):
                    said = language.read(spoilt, RECEIVED_NS, table)
                    if isinstance(said, SessionEvents):
                        problem = next((text for fact in said.facts if (text := impossible(fact))), "")
                        assert not problem, f"{name}: {where}: {problem}"
                    else:
                        assert not (isinstance(said, SessionNoise) and said.known), (
                            f"{name}: {where}: an event is lost in silence"
                        )

    def test_an_event_that_cannot_be_read_is_never_lost_in_silence(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for part in list(spoiling.cut(sample.frame))[1:]:
                    said = language.read(part, RECEIVED_NS, table)
                    assert isinstance(said, SessionNoise) and not said.known, (
                        f"{name}: {excerpt(part)} reads as {said!r:.120}"
                    )

    def test_reading_a_private_frame_never_raises_whatever_the_bytes(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            frames = [sample.frame for sample in facts.events] + [sample.reply for sample in facts.calls]
            frames += [sample.accepted for sample in facts.opening]
            for number, frame in enumerate(frames):
                for spoilt in (*spoilt_ways(frame, number), *GARBAGE):
                    said = language.read(spoilt, RECEIVED_NS, table)
                    assert isinstance(said, SessionReply | SessionEvents | SessionEnding | SessionNoise), (
                        f"{name}: {said!r}"
                    )

    def test_an_announced_end_of_a_private_connection_asks_for_a_successor(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for frame in facts.endings:
                assert isinstance(language.read(frame, RECEIVED_NS, table), SessionEnding), f"{name}: {excerpt(frame)}"

    def test_private_frames_of_unknown_kinds_are_noise_with_a_name(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            assert facts.unknown_noise, f"{name}: give a frame of a kind no document knows"
            for frame in facts.unknown_noise:
                said = language.read(frame, RECEIVED_NS, table)
                assert isinstance(said, SessionNoise) and not said.known and said.kind, (
                    f"{name}: {excerpt(frame)}: {said!r}"
                )
            for frame in facts.known_noise:
                said = language.read(frame, RECEIVED_NS, table)
                assert isinstance(said, SessionNoise) and said.known, f"{name}: {excerpt(frame)}: {said!r}"

    def test_a_request_of_a_session_shows_no_signature(self) -> None:
        for name, language, _ in self.private():
            for build in language.opening():
                request = build("c1", self.auth(), NOW_MS)
                assert len(repr(request)) < 80 and "sign" not in repr(request).lower(), name

    def _answers(self, request: SessionRequest, said: object) -> bool:
        if not isinstance(said, SessionReply):
            return False
        if said.request_id is not None:
            return said.request_id == request.request_id
        return bool(request.answers) and said.answers == request.answers
