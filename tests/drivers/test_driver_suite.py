"""The suite notices: a good driver broken in one place fails the check that is about it."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connector.books.rule import Continuity
from connector.domain.facts import OrderReport
from connector.domain.market import Trade
from connector.domain.orders import OrderStatus
from connector.domain.wire import HttpRequest, HttpResponse
from connector.drivers.contract import Capability, Driver, Hosts, Noise
from connector.drivers.trading import SessionEvents, SessionNoise
from connector.errors import VenueRejected
from connector.testing.driver_suite import DriverSuite
from connector.testing.mock_driver import MOCK

sys.path.insert(0, str(Path(__file__).parent))

from mock_facts import FACTS

replace = msgspec.structs.replace


class Changed:
    """A language with some of its methods exchanged."""

    def __init__(self, whole: Any, **changes: Any) -> None:
        self._whole = whole
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def fails(driver: Driver, check: str) -> bool:
    """Whether a check fails for this driver with the mock's facts."""
    suite = type("Suite", (DriverSuite,), {"driver": driver, "facts": FACTS})()
    method = getattr(suite, check)
    arguments = [suite.info().instruments] if "table" in inspect.signature(method).parameters else []
    try:
        method(*arguments)
    except (AssertionError, pytest.fail.Exception):
        return True
    except Exception as raised:  # a check may also end with what the driver raised
        return bool(str(raised))
    return False


def change(**fields: Any) -> Driver:
    return dataclasses.replace(MOCK, **fields)


def rest(**changes: Any) -> Driver:
    return change(rest=Changed(MOCK.rest, **changes))


def streams(**changes: Any) -> Driver:
    return change(streams=Changed(MOCK.streams, **changes))


def trading(**changes: Any) -> Driver:
    return change(trading=Changed(MOCK.trading, **changes))


def session(**changes: Any) -> Driver:
    return change(session=Changed(MOCK.session, **changes))


def reading(edit: Callable[[Any], Any]) -> Driver:
    """Streams whose readers' events are changed on the way."""

    def reader(topic: Any, instrument: Any) -> Any:
        read = MOCK.streams.reader(topic, instrument)

        def changed(frame: bytes, received_ns: int) -> Any:
            event = read(frame, received_ns)
            return [edit(each) for each in event] if isinstance(event, list) else edit(event)

        return changed

    return streams(reader=reader)


def through_a_float(event: Any) -> Any:
    return replace(event, price=Decimal(repr(float(event.price)))) if isinstance(event, Trade) else event


def hearing(edit: Callable[[Any], Any]) -> Driver:
    """A session whose facts are changed on the way."""

    def read(frame: bytes, received_ns: int, table: Any) -> Any:
        said = MOCK.session.read(frame, received_ns, table)  # type: ignore[union-attr]
        return SessionEvents(tuple(map(edit, said.facts))) if isinstance(said, SessionEvents) else said

    return session(read=read)


def remembered() -> Driver:
    """A reader that gives what an earlier one saw."""
    seen: list[Any] = []

    def reader(topic: Any, instrument: Any) -> Any:
        read = MOCK.streams.reader(topic, instrument)

        def late(frame: bytes, received_ns: int) -> Any:
            seen.append(read(frame, received_ns))
            return seen[0]

        return late

    return streams(reader=reader)


def without(*capabilities: tuple[str, str]) -> Driver:
    return change(capabilities=frozenset(c for c in MOCK.capabilities if (c.area, c.name) not in capabilities))


def with_also(area: str, name: str) -> Driver:
    return change(capabilities=MOCK.capabilities | {Capability(area, name)})


def no_error(response: HttpResponse, *, write: bool) -> Any:
    return None


def always_rejected(response: HttpResponse, *, write: bool) -> Any:
    return None if response.status == 200 else VenueRejected("mock", "E400", "no")


def silent(frame: bytes, received_ns: int, table: Any) -> Any:
    said = MOCK.session.read(frame, received_ns, table)  # type: ignore[union-attr]
    return SessionNoise(said.kind, known=True) if isinstance(said, SessionNoise) else said


def repeatable(*arguments: Any) -> HttpRequest:
    return dataclasses.replace(MOCK.trading.place(*arguments), safe=True)  # type: ignore[union-attr]


def without_reduce_only(order: Any, *rest_of_them: Any) -> HttpRequest:
    return MOCK.trading.place(replace(order, reduce_only=False), *rest_of_them)  # type: ignore[union-attr]


def as_real(order: Any, *rest_of_them: Any) -> HttpRequest:
    return MOCK.trading.place(replace(order, test=False), *rest_of_them)  # type: ignore[union-attr]


def final(report: Any) -> Any:
    unknown = isinstance(report, OrderReport) and report.status is None
    return replace(report, status=OrderStatus.CANCELED) if unknown else report


def lax(update_id: int, delta: Any) -> Continuity:
    return Continuity.OLD if delta.last_update_id <= update_id else Continuity.NEXT


def strict(update_id: int, delta: Any) -> Continuity:
    return Continuity.NEXT if delta.first_update_id == update_id + 2 else Continuity.GAP


def rule(judge: Any) -> Driver:
    return change(book_rule=dataclasses.replace(MOCK.book_rule, continuity=judge, first=judge))


def undated(limits: Any) -> Any:
    return tuple(dataclasses.replace(limit, source="somewhere") for limit in limits)


BROKEN = [
    ("a name with a slash", change(name="Mock/1"), "test_the_name_is_lower_case_words_with_hyphens_between"),
    (
        "plain text to the venue",
        change(hosts={env: Hosts("http://mock", "wss://mock") for env in MOCK.hosts}),
        "test_every_environment_has_encrypted_roots_without_a_trailing_slash",
    ),
    (
        "one host for practice and real money",
        change(hosts={env: Hosts("https://mock", "wss://mock", "wss://mock") for env in MOCK.hosts}),
        "test_no_two_environments_take_orders_at_one_address",
    ),
    (
        "limits without a month",
        change(limits=undated(MOCK.limits)),
        "test_every_request_budget_names_its_document_and_month",
    ),
    ("other limits", change(limits=MOCK.limits[:1]), "test_request_budgets_are_the_documented_ones"),
    (
        "no heartbeat",
        streams(limits=dataclasses.replace(MOCK.streams.limits, heartbeat=None)),
        "test_the_heartbeat_is_the_documented_one",
    ),
    ("a query too many", with_also("query", "moon"), "test_capabilities_are_in_the_words_all_drivers_use"),
    ("a query too few", without(("query", "depth")), "test_a_query_that_is_not_declared_is_unsupported"),
    ("a stream too few", without(("stream", "ticker")), "test_a_stream_that_is_not_declared_is_unsupported"),
    (
        "an order type too many",
        with_also("order", "take_profit"),
        "test_every_declared_order_type_can_be_placed_and_no_other",
    ),
    ("an order type too few", without(("order", "stop")), "test_every_declared_order_type_can_be_placed_and_no_other"),
    (
        "a list nobody takes",
        with_also("order", "oco list"),
        "test_every_declared_order_list_is_in_the_rules_and_no_other",
    ),
    ("a command too few", without(("command", "leverage")), "test_a_call_that_is_not_declared_is_unsupported"),
    (
        "an environment too few",
        without(("environment", "live")),
        "test_environments_are_declared_exactly_where_there_are_hosts",
    ),
    ("a code too few", change(error_codes={"E100": "x"}), "test_every_documented_code_has_a_reaction_and_no_other_has"),
    (
        "a code too many",
        change(error_codes={**MOCK.error_codes, "E1": "x"}),
        "test_every_documented_code_has_a_reaction_and_no_other_has",
    ),
    ("errors taken for success", rest(failure=no_error), "test_every_documented_code_is_classed_for_commands"),
    ("every error a rejection", rest(failure=always_rejected), "test_a_server_in_trouble_says_nothing_about_a_command"),
    (
        "an unknown code a rejection",
        rest(failure=always_rejected),
        "test_a_code_nobody_documented_is_unknown_for_a_command_and_an_error_for_a_question",
    ),
    (
        "no further page",
        rest(more=lambda query, response: None),
        "test_the_pages_of_the_list_are_asked_for_one_after_the_other",
    ),
    (
        "questions that may not be repeated",
        rest(request=lambda query: dataclasses.replace(MOCK.rest.request(query), safe=False)),
        "test_every_question_may_be_repeated",
    ),
    (
        "another spelling",
        change(wire_name=lambda symbol: symbol.base),
        "test_every_symbol_goes_to_the_venues_name_and_back",
    ),
    ("prices through a float", reading(through_a_float), "test_frames_keep_every_digit"),
    (
        "the other side of trades",
        reading(lambda event: replace(event, quantity=-event.quantity) if isinstance(event, Trade) else event),
        "test_every_frame_reads_as_documented",
    ),
    ("a reader with a memory", remembered(), "test_a_reader_keeps_nothing_of_another_connection"),
    ("everything routed", streams(route=lambda frame: b"trades.BTC-USDT"), "test_control_frames_are_of_no_topic"),
    ("everything noise", streams(control=lambda frame: Noise("x", True)), "test_refusals_of_subscriptions_are_classed"),
    (
        "an empty subscription",
        streams(subscribe=lambda names, number: b"{}"),
        "test_the_subscribe_frame_is_the_documented_one",
    ),
    ("a rule without gaps", rule(lax), "test_a_lost_delta_is_always_noticed"),
    ("a rule of gaps only", rule(strict), "test_a_stream_that_loses_nothing_is_never_thrown_away"),
    ("an order that may be repeated", trading(place=repeatable), "test_only_questions_may_be_repeated"),
    ("reduce only left out", trading(place=without_reduce_only), "test_reduce_only_is_never_left_out_in_silence"),
    ("a test order placed", trading(place=as_real), "test_a_test_order_is_never_sent_as_a_real_one"),
    (
        "an order that is gone whatever is said",
        trading(read_order=lambda response, instrument: None),
        "test_an_order_is_gone_only_where_the_venue_says_so",
    ),
    (
        "no page after any",
        trading(more=lambda *arguments: None),
        "test_the_next_page_is_asked_for_exactly_where_one_follows",
    ),
    ("an unknown status taken as final", hearing(final), "test_an_unknown_status_is_never_taken_as_final"),
    ("unreadable events hushed up", session(read=silent), "test_an_event_that_cannot_be_read_is_never_lost_in_silence"),
    ("no login", session(opening=lambda: ()), "test_a_private_connection_opens_as_documented"),
    ("no probe", session(probe=lambda request_id: None), "test_a_probe_is_answered_by_its_reply"),
]


@pytest.mark.parametrize(("driver", "check"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_driver_broken_in_one_place_fails_the_check_about_it(driver, check):
    assert not fails(MOCK, check)
    assert fails(driver, check)


def test_a_subclass_without_driver_and_facts_says_what_is_missing():
    with pytest.raises(AttributeError, match="driver"):
        DriverSuite().info()
