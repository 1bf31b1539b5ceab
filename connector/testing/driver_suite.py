"""What every driver promises, as tests: run your own driver through them, from bytes and a table of facts.

    class TestAcme(DriverSuite):
        driver = ACME
        facts = FACTS  # a DriverFacts, written from the venue's documents

Every check holds for every driver as it stands. Where a driver lacks something, the check is that it says so: the request is
refused with `Unsupported`, and neither `capabilities` nor the printed table names it. Nothing is sent and no clock is read; what
is random comes from seeds. A failure names the sample and what is wrong with it. Needs pytest.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, cast, get_args

import msgspec
import pytest

from connector.books.sync import BookSync
from connector.domain.account import MarginMode, PositionMode
from connector.domain.commands import (
    AmendOrder,
    CancelOrder,
    OrderListKind,
    PlaceOrder,
    SelfTrade,
    SetLeverage,
    SetMarginMode,
    SetPositionMode,
)
from connector.domain.credentials import Credentials
from connector.domain.facts import BalanceReport, OrderReport, PositionReport
from connector.domain.instruments import Instrument, InstrumentStatus, InstrumentTable, OtherFilter
from connector.domain.market import AggTrade, BookDelta, BookState, Candle, MarketEvent, OrderBook, Trade
from connector.domain.orders import Fill, OrderStatus, OrderType, TimeInForce
from connector.domain.queries import (
    AggTradesQuery,
    BookTickersQuery,
    CandlesQuery,
    DepthQuery,
    FundingRatesQuery,
    HistoricalTradesQuery,
    InstrumentsQuery,
    MarkPricesQuery,
    OpenInterestQuery,
    PricesQuery,
    Query,
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.topics import Topic, TopicKind
from connector.domain.wire import BudgetLimit, HttpRequest, HttpResponse
from connector.drivers.contract import Ack, ConnectionEnding, Driver, Environment, Noise, Refusal, VenueInfo
from connector.drivers.table import capability_table
from connector.drivers.trading import (
    Auth,
    OrderRules,
    PositionLanguage,
    PrivateLanguage,
    SessionEnding,
    SessionEvents,
    SessionLanguage,
    SessionNoise,
    SessionReply,
    SessionRequest,
    TradeLanguage,
)
from connector.errors import (
    ConnectorError,
    InvalidRequest,
    OutcomeUnknown,
    RetryLater,
    SettingsError,
    Unsupported,
    VenueRejected,
    WireFormatError,
)
from connector.orders.ids import ClientIds
from connector.testing import spoiling
from connector.testing.book_scripts import Faults, play
from connector.testing.driver_facts import (
    NOW_MS,
    RECEIVED_NS,
    AnswerSample,
    BookFacts,
    CallSample,
    DriverFacts,
    EventSample,
    KeySample,
    OpeningSample,
    PrivateFacts,
    RefusalSample,
    RefusedFrame,
    SessionSample,
    SigningVector,
    StreamSample,
    TradingFacts,
)

__all__ = [
    "CALLS",
    "NOW_MS",
    "RECEIVED_NS",
    "AnswerSample",
    "BookFacts",
    "CallSample",
    "DriverFacts",
    "DriverSuite",
    "EventSample",
    "KeySample",
    "OpeningSample",
    "PrivateFacts",
    "RefusalSample",
    "RefusedFrame",
    "SessionSample",
    "SigningVector",
    "StreamSample",
    "TradingFacts",
]

SOURCE = re.compile(r"\S.*\b20\d\d-(0[1-9]|1[0-2])\b")
"""A document, and the month in which it was read."""

QUERIES: Mapping[type[Any], str] = {
    ServerTimeQuery: "server time",
    InstrumentsQuery: "instruments",
    CandlesQuery: "candles",
    RecentTradesQuery: "recent trades",
    HistoricalTradesQuery: "historical trades",
    AggTradesQuery: "aggregate trades",
    DepthQuery: "depth",
    TickersQuery: "tickers",
    BookTickersQuery: "book tickers",
    PricesQuery: "prices",
    MarkPricesQuery: "mark prices",
    FundingRatesQuery: "funding rates",
    OpenInterestQuery: "open interest",
}
"""What each question is called in the capability table."""

CALLS: Mapping[str, tuple[str, str]] = {
    "place": ("command", "place"),
    "test": ("order", "test"),
    "cancel": ("command", "cancel"),
    "amend": ("command", "amend"),
    "place list": ("order", "list"),
    "leverage": ("command", "leverage"),
    "margin mode": ("command", "margin mode"),
    "position mode": ("command", "position mode"),
    "order": ("account", "order"),
    "order by venue id": ("account", "order"),
    "open orders": ("account", "open orders"),
    "all open orders": ("account", "open orders"),
    "fills": ("account", "fills"),
    "fills from an id": ("account", "fills"),
    "fills from a time": ("account", "fills"),
    "fills of an order": ("account", "fills"),
    "orders since": ("account", "orders since"),
    "balances": ("account", "balances"),
    "order counts": ("account", "order counts"),
    "positions": ("account", "positions"),
    "funding": ("account", "funding"),
}
"""Every signed call, and the capability it is: what `CallSample.what` can be."""

WRITES = frozenset({"place", "test", "cancel", "amend", "place list", "leverage", "margin mode", "position mode"})
SETTINGS: Mapping[str, type[Any]] = {
    "leverage": SetLeverage,
    "margin mode": SetMarginMode,
    "position mode": SetPositionMode,
}
ACCOUNT = ("order", "open orders", "fills", "orders since", "balances")
"""What every driver that trades can be asked."""

LIFE = (
    OrderStatus.NEW,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
)

_EXACT_DIGITS = 20  # no float has as many
_HUGE = 40  # a power of ten no price, quantity or balance comes near
_SINCE_NS = 1_761_990_000_000_000_000
_SECRET, _SECRET_OTHER = "suite-secret-one-0123456789abcdef", "suite-secret-two-0123456789abcdef"


# ---------------------------------------------------------------- helpers


def _response(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None, sent_ns: int = RECEIVED_NS - 5_000_000
) -> HttpResponse:
    return HttpResponse(status, dict(headers or {}), body, sent_ns, RECEIVED_NS)


def _listed(found: object) -> list[MarketEvent]:
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [cast(MarketEvent, found)]


def _excerpt(sample: bytes) -> str:
    return repr(sample[:120])


def _raises(
    allowed: type[BaseException] | tuple[type[BaseException], ...], call: Callable[..., object], *args: object
) -> str:
    """What is wrong with how a call ended, when it should raise one of these; "" when it did."""
    kinds = allowed if isinstance(allowed, tuple) else (allowed,)
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        value = call(*args)
    except kinds:
        return ""
    except Exception as other:  # noqa: BLE001  # told by the check
        return f"raised {other!r}, expected {names}"
    return f"gave {value!r:.120}, expected {names}"


def _pieces(request: HttpRequest) -> bytes:
    return request.target.encode() + b"\n" + request.body


def _spoilt(sample: bytes, seed: int) -> Iterator[bytes]:
    yield from spoiling.cut(sample)
    yield from spoiling.flipped(sample, seed)
    yield from spoiling.deepened(sample)


GARBAGE = (
    b"",
    b" ",
    b"\xff\xfe",
    b"null",
    b"0",
    b'""',
    b"[]",
    b"{}",
    b"[null]",
    b'{"":{}}',
    b"<html>busy</html>",
    b"\x00" * 64,
)


def _impossible(value: object) -> str:
    """Why a value read from spoilt bytes cannot be true; "" when it might."""
    for number in spoiling.decimals_in(value):
        if not number.is_finite():
            return f"{number} is no number"
        if number and abs(number.adjusted()) > _HUGE:
            return f"{number:.3E} is no amount of anything"
    match value:
        case Trade() | AggTrade() if value.price <= 0 or value.quantity <= 0:
            return f"a trade of {value.quantity} at {value.price}"
        case OrderBook() | BookDelta():
            if any(price <= 0 or quantity < 0 for price, quantity in (*value.bids, *value.asks)):
                return "a level with a negative number"
        case Fill() if value.price <= 0 or value.quantity <= 0:
            return f"a fill of {value.quantity} at {value.price}"
    return ""


class DriverSuite:
    """Subclass it, name the subclass `Test…`, and give it the driver and its facts."""

    driver: ClassVar[Driver]
    facts: ClassVar[DriverFacts]

    # ================================================================ shortcuts

    @property
    def has(self) -> frozenset[tuple[str, str]]:
        return frozenset((item.area, item.name) for item in self.driver.capabilities)

    def info(self) -> VenueInfo:
        """The venue's list, read whole."""
        rest, query = self.driver.rest, InstrumentsQuery()
        parts = [rest.read(query, _response(body), None) for body in self.facts.instruments]
        info = parts[0] if len(parts) == 1 else rest.joined(query, parts)
        assert isinstance(info, VenueInfo), f"the instrument list reads as {info!r:.100}, expected VenueInfo"
        return info

    @pytest.fixture
    def table(self) -> InstrumentTable:
        return self.info().instruments

    def trading(self) -> tuple[TradeLanguage, TradingFacts] | None:
        """The private half; None where there is none, which is checked here and now to be said everywhere."""
        language, facts = self.driver.trading, self.facts.trading
        assert (language is None) == (facts is None), (
            "the driver and its facts differ on whether there is a private half"
        )
        return None if language is None or facts is None else (language, facts)

    def private(self) -> list[tuple[str, PrivateLanguage, PrivateFacts]]:
        """The private connections there are."""
        trading = self.facts.trading
        found: list[tuple[str, PrivateLanguage, PrivateFacts]] = []
        for name in ("session", "events"):
            language = cast("PrivateLanguage | None", getattr(self.driver, name))
            facts = cast("PrivateFacts | None", getattr(trading, name)) if trading is not None else None
            assert (language is None) == (facts is None), (
                f"the driver and its facts differ on whether there is a {name}"
            )
            if language is not None and facts is not None:
                found.append((name, language, facts))
        return found

    def orders_session(self) -> tuple[SessionLanguage, PrivateFacts] | None:
        found = [(language, facts) for name, language, facts in self.private() if name == "session"]
        return (cast(SessionLanguage, found[0][0]), found[0][1]) if found else None

    def auth(self, kind: str | None = None) -> Auth:
        assert self.driver.trading is not None and self.facts.trading is not None
        known = self.facts.trading.credentials
        return self.driver.trading.auth(known[kind or next(iter(known))])

    def positions(self) -> PositionLanguage | None:
        return self.driver.positions

    def read_stream(
        self, sample: StreamSample, table: InstrumentTable, frames: Sequence[bytes] = ()
    ) -> list[MarketEvent]:
        reader = self.driver.streams.reader(sample.topic, table.require(sample.topic.symbol))
        return [event for frame in frames or sample.frames for event in _listed(reader(frame, RECEIVED_NS))]

    def read_question(self, sample: AnswerSample, table: InstrumentTable, bodies: Sequence[bytes] = ()) -> Any:
        rest = self.driver.rest
        parts = [
            rest.read(sample.query, _response(body, headers=sample.headers), table) for body in bodies or sample.bodies
        ]
        return parts[0] if len(parts) == 1 else rest.joined(sample.query, parts)

    def _inexact(self, value: object, expected: object, digits: str) -> str:
        """Whether a value read from a sample with this longer number in it lost some of its digits; "" when not.

        Base units of inverse contracts are rounded: there only what a float would have made of the number itself is wrong.
        """
        if value == expected:
            return ""  # a field that is not read
        before = list(spoiling.decimals_in(expected))
        changed = [number for number in spoiling.decimals_in(value) if number not in before]
        if not changed:
            return "something else than a number changed"
        told = f"{digits} was read as {', '.join(map(str, changed))}"
        if Product.INVERSE in self.driver.products:
            rounded = Decimal(repr(float(digits))).copy_abs()
            return told if any(number.copy_abs() == rounded for number in changed) else ""
        return "" if any(len(number.as_tuple().digits) >= _EXACT_DIGITS for number in changed) else told

    def questions(self) -> Iterator[AnswerSample]:
        """Samples with an answer; instruments have facts of their own."""
        return (sample for sample in self.facts.questions if not isinstance(sample.query, InstrumentsQuery))

    # ---------------------------------------------------------------- signed calls

    def build(
        self, what: str, auth: Auth, table: InstrumentTable, command: Any = None, now_ms: int = NOW_MS
    ) -> HttpRequest:
        """One signed request, from the facts' order, ids and symbol."""
        pair = self.trading()
        assert pair is not None
        trade, facts = pair
        instrument = table.require(facts.symbol)
        current, client_id = facts.current, facts.client_id
        match what:
            case "place":
                return trade.place(command or facts.order, client_id, instrument, auth, now_ms)
            case "test":
                tested = command or msgspec.structs.replace(facts.order, test=True)
                return trade.place(tested, client_id, instrument, auth, now_ms)
            case "cancel":
                cancel = command or CancelOrder(symbol=facts.symbol, client_id=client_id)
                return trade.cancel(cancel, current, instrument, auth, now_ms)
            case "amend":
                amend = command or facts.amend or AmendOrder(symbol=facts.symbol, client_id=client_id, price=Decimal(1))
                return trade.amend(amend, current, instrument, auth, now_ms)
            case "place list":
                return trade.place_list(command or facts.order_list, facts.client_ids, instrument, auth, now_ms)
            case "order":
                return trade.order(client_id, None, instrument, auth, now_ms, current)
            case "order by venue id":
                return trade.order(None, current.venue_id, instrument, auth, now_ms, current)
            case "open orders":
                return trade.open_orders(instrument, auth, now_ms)
            case "all open orders":
                return trade.open_orders(None, auth, now_ms)
            case "fills":
                return trade.fills(instrument, None, None, None, auth, now_ms)
            case "fills from an id":
                return trade.fills(instrument, "900001", None, None, auth, now_ms)
            case "fills from a time":
                return trade.fills(instrument, None, _SINCE_NS, None, auth, now_ms)
            case "fills of an order":
                return trade.fills(instrument, None, None, current.venue_id, auth, now_ms)
            case "orders since":
                return trade.orders_since(instrument, _SINCE_NS, auth, now_ms)
            case "balances":
                return trade.balances(auth, now_ms)
            case "order counts":
                request = trade.order_counts(auth, now_ms)
                if request is None:
                    raise Unsupported("the venue has no such question")
                return request
        positions = self.positions()
        if positions is None:
            raise Unsupported("the driver has no positions")
        match what:
            case "positions":
                return positions.positions(auth, now_ms)[0]
            case "funding":
                return positions.funding(_SINCE_NS, auth, now_ms)
            case "leverage" | "margin mode" | "position mode":
                setting = command or self.setting(what, facts.symbol)
                about = instrument if setting.symbol is not None else None
                return positions.configure(setting, about, auth, now_ms)
        raise AssertionError(f"{what!r} is no call; there are {', '.join(CALLS)}")

    def setting(self, what: str, symbol: Symbol) -> Any:
        """The command of the facts' sample for this setting; where there is none, one that any venue understands."""
        assert self.facts.trading is not None
        named = (sample.command for sample in self.facts.trading.calls if sample.what == what)
        plain = {
            "leverage": SetLeverage(symbol=symbol, leverage=Decimal(5)),
            "margin mode": SetMarginMode(mode=MarginMode.CROSS, symbol=symbol),
            "position mode": SetPositionMode(mode=PositionMode.ONE_WAY),
        }
        return next((command for command in named if command is not None), plain[what])

    def read_call(self, sample: CallSample, table: InstrumentTable, body: bytes | None = None) -> Any:
        """The sample's answer as the contract says for its call."""
        response = _response(sample.answer if body is None else body, sample.status)
        return self.read_answer(sample.what, response, table, sample.command)

    def read_answer(self, what: str, response: HttpResponse, table: InstrumentTable, command: Any = None) -> Any:
        pair = self.trading()
        assert pair is not None
        trade, facts = pair
        instrument = table.require(facts.symbol)
        match what:
            case "place":
                return trade.read_placed(response, command or facts.order, instrument)
            case "test":
                tested = command or msgspec.structs.replace(facts.order, test=True)
                return trade.read_placed(response, tested, instrument)
            case "cancel":
                return trade.read_cancelled(response, instrument, facts.client_id)
            case "amend":
                return trade.read_amended(response, instrument)
            case "place list":
                return trade.read_list(response, instrument)
            case "order" | "order by venue id":
                return trade.read_order(response, instrument)
            case "open orders" | "all open orders" | "orders since":
                return trade.read_orders(response, table)
            case "fills" | "fills from an id" | "fills from a time" | "fills of an order":
                return trade.read_fills(response, instrument)
            case "balances":
                return trade.read_balances(response)
            case "order counts":
                return dict(trade.read_order_counts(response))
        positions = self.positions()
        assert positions is not None, f"the facts have an answer to {what!r}, and the driver has no positions"
        match what:
            case "positions":
                return positions.read_positions([response], table)
            case "funding":
                return positions.read_funding(response, table)
        positions.read_configured(command or self.setting(what, facts.symbol), response)
        return None

    def answers(self) -> Iterator[CallSample]:
        pair = self.trading()
        return iter(()) if pair is None else (sample for sample in pair[1].calls if sample.answer)

    def reports(self) -> Iterator[tuple[str, OrderReport]]:
        """Every order report any sample expects: (where, report)."""
        for sample in self.answers():
            for report in _reports_in(sample.expected):
                yield f"answer to {sample.what}", report
        for name, _, facts in self.private():
            for event in facts.events:
                for report in _reports_in(event.facts):
                    yield f"{name} event", report

    # ================================================================ the driver as a value

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

    # ================================================================ limits and their sources

    def test_request_budgets_are_the_documented_ones(self) -> None:
        assert {limit.name: (limit.points, limit.window_s) for limit in self.driver.limits} == dict(self.facts.limits)

    def test_every_request_budget_names_its_document_and_month(self) -> None:
        for limit in self._budgets():
            assert SOURCE.search(limit.source), (
                f"budget {limit.name}: source {limit.source!r} names no month like 2026-11"
            )

    def test_request_budgets_are_positive_and_named_once(self) -> None:
        assert all(limit.points > 0 and limit.window_s > 0 for limit in self._budgets())
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
        known = {limit.name for limit in (*self._budgets(), *self.info().limits)}
        for what, request in self._requests(table):
            assert request.charges or not known, f"{what}: costs nothing, where the venue counts requests"
            for charge in request.charges:
                assert charge.points > 0, f"{what}: {charge}"
                assert charge.budget in known, (
                    f"{what}: nobody keeps a budget {charge.budget!r}; there are {sorted(known)}"
                )

    def _budgets(self) -> tuple[BudgetLimit, ...]:
        trading = self.driver.trading
        return (*self.driver.limits, *(trading.limits if trading is not None else ()))

    def _requests(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest]]:
        for sample in self.facts.questions:
            yield f"query {QUERIES[type(sample.query)]}", self.driver.rest.request(sample.query)
        pair = self.trading()
        if pair is not None:
            auth = self.auth()
            for call in pair[1].calls:
                yield call.what, self.build(call.what, auth, table, call.command)

    # ================================================================ capabilities

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
        assert self._area("environment") == {environment.value for environment in self.driver.hosts}

    def test_the_facts_have_a_sample_of_every_declared_query_and_stream(self) -> None:
        assert {QUERIES[type(sample.query)] for sample in self.facts.questions} == self._area("query")
        assert {sample.topic.kind.value for sample in self.facts.streams} == self._area("stream")

    def test_every_driver_answers_the_questions_recovery_needs(self) -> None:
        assert {"server time", "instruments"} <= self._area("query")

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
            if QUERIES[kind] not in self._area("query")
            and (problem := _raises(Unsupported, self.driver.rest.request, query))
        ]
        assert not wrong, "\n".join(wrong)

    def test_a_stream_that_is_not_declared_is_unsupported(self, table: InstrumentTable) -> None:
        instrument = self.facts.instrument
        wrong = []
        for kind in TopicKind:
            if kind.value in self._area("stream"):
                continue
            interval = "1m" if kind is TopicKind.CANDLES else None
            topic = Topic(kind, instrument.symbol, interval, 5 if kind is TopicKind.PARTIAL_BOOK else None)
            for name in ("name", "group"):
                ask = getattr(self.driver.streams, name)
                if problem := _raises(Unsupported, ask, topic):
                    wrong.append(f"{name}({topic}): {problem}")
            if problem := _raises(Unsupported, self.driver.streams.reader, topic, instrument):
                wrong.append(f"reader({topic}): {problem}")
        assert not wrong, "\n".join(wrong)

    def test_a_book_stream_and_a_book_rule_come_together(self) -> None:
        assert ("book" in self._area("stream")) == (self.driver.book_rule is not None) == (self.facts.book is not None)

    def test_a_book_that_needs_snapshots_can_ask_for_them(self) -> None:
        rule = self.driver.book_rule
        if rule is not None and rule.snapshot_limit is not None:
            assert "depth" in self._area("query")
            assert self.driver.rest.request(DepthQuery(self.facts.book.symbol, rule.snapshot_limit))  # type: ignore[union-attr]

    def test_the_facts_have_a_sample_of_every_declared_call(self) -> None:
        pair = self.trading()
        shown = {CALLS[sample.what] for sample in pair[1].calls} if pair is not None else set()
        declared = {(area, name) for area, name in self.has if area in ("command", "account") and name != "events"}
        assert {entry for entry in shown if entry[0] != "order"} == declared
        assert (("order", "test") in shown) == (("order", "test") in self.has)
        assert (("order", "list") in shown) == any(name.endswith(" list") for name in self._area("order"))

    def test_a_driver_that_trades_can_place_cancel_and_answer_for_it(self) -> None:
        if self.driver.trading is None:
            assert not self._area("command") | self._area("account") | self._area("order") | self._area("key")
        else:
            assert {"place", "cancel"} <= self._area("command")
            assert set(ACCOUNT) <= self._area("account")

    def test_a_call_that_is_not_declared_is_unsupported(self, table: InstrumentTable) -> None:
        if self.driver.trading is None:
            return
        auth = self.auth()
        wrong = [
            f"{what}: {problem}"
            for what, entry in CALLS.items()
            if entry not in self.has
            and what not in ("place list", "order counts")
            and (problem := _raises(Unsupported, self.build, what, auth, table))
        ]
        assert not wrong, "\n".join(wrong)

    def test_the_count_of_orders_is_asked_for_exactly_where_it_is_declared(self) -> None:
        if self.driver.trading is not None:
            request = self.driver.trading.order_counts(self.auth(), NOW_MS)
            assert (request is not None) == ("order counts" in self._area("account"))

    def test_every_declared_order_type_can_be_placed_and_no_other(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        auth, wrong = self.auth(), []
        for kind in set(OrderType) - {OrderType.OTHER}:
            if kind.value in self._area("order"):
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
            assert {"limit", "market"} <= self._area("order")

    def test_every_declared_order_list_is_in_the_rules_and_no_other(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        declared = {name.removesuffix(" list") for name in self._area("order") if name.endswith(" list")}
        assert declared == set(pair[0].rules.lists)

    def test_what_an_amend_can_change_is_in_the_rules_exactly_where_it_is_declared(self) -> None:
        pair = self.trading()
        if pair is not None:
            assert pair[0].rules.amends <= {"quantity down", "quantity up", "price"}
            assert bool(pair[0].rules.amends) == ("amend" in self._area("command")) == (pair[1].amend is not None)

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
        if "self-trade prevention" in self._area("order"):
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
            assert _pieces(wanted) != _pieces(plain), "an order that may only reduce goes out as one that may not"
        else:
            assert isinstance(wanted, Unsupported | InvalidRequest), f"{wanted!r}"

    def test_a_test_order_is_never_sent_as_a_real_one(self, table: InstrumentTable) -> None:
        if self.driver.trading is None:
            return
        plain = self.build("place", self.auth(), table)
        tested = self._outcome(None, self.auth(), table, what="test")
        if isinstance(tested, HttpRequest):
            assert (tested.path, tested.body) != (plain.path, plain.body), "a test order goes where real ones go"
            assert "test" in self._area("order")
        else:
            assert isinstance(tested, Unsupported), f"{tested!r}"

    def test_every_declared_kind_of_key_signs(self) -> None:
        pair = self.trading()
        if pair is not None:
            assert set(pair[1].credentials) == self._area("key")
            for kind in pair[1].credentials:
                assert self.auth(kind).kind == kind

    def test_account_events_are_declared_exactly_where_a_connection_brings_them(self) -> None:
        connections = self.driver.session is not None or self.driver.events is not None
        assert ("events" in self._area("account")) == connections

    def test_positions_and_settings_are_declared_exactly_where_the_driver_has_positions(self) -> None:
        assert ("positions" in self._area("account")) == (self.driver.positions is not None)
        assert ("funding" in self._area("account")) <= (self.driver.positions is not None)
        assert bool(set(SETTINGS) & self._area("command")) <= (self.driver.positions is not None)

    def test_the_printed_table_has_a_row_for_every_capability_and_says_no_elsewhere(self) -> None:
        bare = dataclasses.replace(self.driver, name="bare", capabilities=frozenset())
        rows = [line.strip("| ").split(" | ") for line in capability_table([self.driver, bare]).splitlines()[2:]]
        assert {row[0] for row in rows} == {f"{area}: {name}" for area, name in self.has}
        assert all(row[-1] == "no" and row[1] != "no" for row in rows)

    def _area(self, area: str) -> set[str]:
        return {name for found, name in self.has if found == area}

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

    # ================================================================ instruments and symbols

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
                problem = _raises((Unsupported, InvalidRequest), self.driver.wire_name, symbol)
                assert not problem, f"{symbol}: {problem}"

    def test_an_instrument_is_read_with_every_filter(self, table: InstrumentTable) -> None:
        assert table[self.facts.instrument.symbol] == self.facts.instrument

    def test_ticks_and_steps_are_exact(self, table: InstrumentTable) -> None:
        for instrument in table.values():
            for number in spoiling.decimals_in(instrument):
                assert number.is_finite() and len(number.as_tuple().digits) < _EXACT_DIGITS, (
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
                info = self._read_pages(pages)
                assert _known(info) == _known(expected), f"an unknown field in {where}"

    def test_an_unknown_status_is_kept_as_text_and_nothing_is_concluded(self) -> None:
        instrument = self.facts.instrument
        pages = [spoiling.renamed(body, instrument.status_text, "TELEPORTED") for body in self.facts.instruments]
        found = self._read_pages(pages).instruments.get(instrument.symbol)
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
            _spoil_entry(value, name)
            spoilt.append(msgspec.json.encode(value))
        info = self._read_pages(spoilt)
        left = {symbol: instrument for symbol, instrument in expected.items() if instrument.venue_name != name}
        assert dict(info.instruments) == left
        assert len(info.skipped) == len(self.facts.skipped) + 1, "what cannot be read has to be told"

    def test_a_list_that_cannot_be_read_is_an_error_and_never_an_empty_list(self) -> None:
        for body in (b"", b"[]", b"{}", b"null", b"<html>", self.facts.instruments[0][:-20]):
            problem = _raises(ConnectorError, self._read_pages, [body])
            assert not problem, f"{_excerpt(body)}: {problem}"

    def test_the_pages_of_the_list_are_asked_for_one_after_the_other(self) -> None:
        rest, query = self.driver.rest, InstrumentsQuery()
        last = len(self.facts.instruments) - 1
        for number, body in enumerate(self.facts.instruments):
            more = rest.more(query, _response(body))
            assert (more is None) == (number == last), f"page {number + 1} of {last + 1}: {more!r} follows"
            assert more is None or more.safe

    def test_there_is_no_page_after_an_error(self) -> None:
        for body, status in ((b"", 200), (b"{", 200), (b"<html>", 503), (b"\xff", 200), (b"[[[", 200)):
            for sample in self.facts.questions:
                assert self.driver.rest.more(sample.query, _response(body, status)) is None

    def _read_pages(self, pages: Sequence[bytes]) -> VenueInfo:
        rest, query = self.driver.rest, InstrumentsQuery()
        parts = [rest.read(query, _response(body), None) for body in pages]
        return cast(VenueInfo, parts[0] if len(parts) == 1 else rest.joined(query, parts))

    # ================================================================ questions

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
                found = self._attempt(sample.query, self.read_question, sample, table, [longer, *sample.bodies[1:]])
                assert found is None or not (problem := self._inexact(found, sample.answer, digits)), (
                    f"{sample.query}: {where}: {problem}"
                )

    def test_answers_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for where, spoilt in spoiling.unnumbered(sample.bodies[0]):
                found = self._attempt(sample.query, self.read_question, sample, table, [spoilt, *sample.bodies[1:]])
                assert found is None or not (problem := _impossible(found)), f"{sample.query}: {where}: {problem}"

    def test_spoilt_answers_raise_errors_of_ours_and_nothing_else(self, table: InstrumentTable) -> None:
        for number, sample in enumerate(self.questions()):
            for spoilt in (*_spoilt(sample.bodies[0], number), *GARBAGE):
                found = self._attempt(sample.query, self.driver.rest.read, sample.query, _response(spoilt), table)
                assert found is None or not (problem := _impossible(found)), f"{_excerpt(spoilt)}: {problem}"

    def test_an_answer_cut_short_is_never_taken_for_a_whole_one(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for part in spoiling.cut(sample.bodies[0]):
                problem = _raises(ConnectorError, self.driver.rest.read, sample.query, _response(part), table)
                assert not problem, f"{sample.query} cut after {len(part)} bytes: {problem}"

    def test_an_answer_that_is_an_error_raises_it(self, table: InstrumentTable) -> None:
        for sample in self.questions():
            for refusal in self.facts.refusals:
                response = _response(refusal.body, refusal.status, refusal.headers)
                problem = _raises(ConnectorError, self.driver.rest.read, sample.query, response, table)
                assert not problem, f"{sample.query} answered with {_excerpt(refusal.body)}: {problem}"

    def test_used_budgets_are_read_from_the_headers(self) -> None:
        for headers, used in self.facts.used:
            assert dict(self.driver.rest.used(_response(b"{}", headers=headers))) == dict(used)

    def test_used_budgets_that_cannot_be_read_are_left_out(self) -> None:
        assert dict(self.driver.rest.used(_response(b"{}"))) == {}
        for headers, _ in self.facts.used:
            for text in ("", "abc", "-1", "1.5", "9" * 400, "NaN"):
                used = self.driver.rest.used(_response(b"{}", headers=dict.fromkeys(headers, text)))
                assert all(0 <= points < 10**12 for points in used.values()), f"{text!r}: {used}"

    def _attempt(self, what: object, read: Callable[..., Any], *args: Any) -> Any:
        """The value, or None where it was refused as it should be."""
        try:
            return read(*args)
        except ConnectorError:
            return None
        except Exception as other:
            raise AssertionError(f"{what}: spoilt bytes raised {other!r:.200}, which is no error of ours") from other

    # ================================================================ refusals

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
            error = self.driver.rest.failure(_response(self.facts.code_body(code), self.facts.code_status), write=write)
            if type(error) is not kinds[write]:
                wrong.append(f"{code}: {error!r:.120}, expected {kinds[write].__name__}")
        assert not wrong, "\n".join(wrong)

    def test_a_code_nobody_documented_is_unknown_for_a_command_and_an_error_for_a_question(self) -> None:
        for code in ("987654321", "-98765", "TELEPORTED"):
            try:
                body = self.facts.code_body(code)
            except (ValueError, TypeError):
                continue  # the venue's codes are numbers
            response = _response(body, self.facts.code_status)
            assert isinstance(self.driver.rest.failure(response, write=True), OutcomeUnknown), f"code {code}"
            assert self.driver.rest.failure(response, write=False) is not None, f"code {code}"

    def test_samples_of_refusals_are_classed_for_questions(self) -> None:
        self._samples(self.facts.refusals, write=False)

    def test_samples_of_refusals_are_classed_for_commands(self) -> None:
        self._samples(self.facts.refusals, write=True)

    def _samples(self, samples: Iterable[RefusalSample], *, write: bool) -> None:
        for sample in samples:
            error = self.driver.rest.failure(_response(sample.body, sample.status, sample.headers), write=write)
            where = f"{sample.status} {_excerpt(sample.body)}"
            expected = sample.write if write else sample.read
            assert type(error) is expected, f"{where}: {error!r:.160}, expected {expected.__name__}"
            if sample.code and hasattr(error, "code"):
                assert error.code == sample.code, f"{where}: code {error.code!r}"
            if sample.retry_after_s is not None and isinstance(error, RetryLater):
                assert error.retry_after_s == pytest.approx(sample.retry_after_s), where

    def test_a_server_in_trouble_says_nothing_about_a_command(self) -> None:
        for status in (500, 502, 503, 504, 520):
            for body in (b"", b"<html>busy</html>", b"{}"):
                response = _response(body, status)
                assert isinstance(self.driver.rest.failure(response, write=True), OutcomeUnknown), f"{status} {body!r}"
                assert isinstance(self.driver.rest.failure(response, write=False), RetryLater), f"{status} {body!r}"

    def test_an_error_status_without_a_readable_body_is_still_an_error(self) -> None:
        for status in (400, 401, 403, 404, 418, 429, 451):
            for body in GARBAGE:
                for write in (False, True):
                    assert self.driver.rest.failure(_response(body, status), write=write) is not None, (
                        f"{status} {body!r:.40}"
                    )

    def test_a_good_answer_is_no_error(self) -> None:
        for sample in self.questions():
            for body in sample.bodies:
                for write in (False, True):
                    assert self.driver.rest.failure(_response(body, headers=sample.headers), write=write) is None, (
                        f"{sample.query}"
                    )

    def test_classing_never_raises_whatever_the_bytes(self) -> None:
        headers = {"retry-after": "soon", "date": "yesterday"}
        for number, sample in enumerate(self.facts.refusals):
            for spoilt in (*_spoilt(sample.body, number), *GARBAGE):
                for write in (False, True):
                    error = self.driver.rest.failure(_response(spoilt, sample.status, headers), write=write)
                    assert error is None or isinstance(error, ConnectorError)

    def test_a_wait_that_cannot_be_true_is_not_handed_on(self) -> None:
        for text in ("-5", "NaN", "inf", "abc", "1e999", ""):
            error = self.driver.rest.failure(_response(b"", 429, {"retry-after": text}), write=False)
            if isinstance(error, RetryLater) and error.retry_after_s is not None:
                assert 0 <= error.retry_after_s < 10**9, f"retry-after {text!r}: {error.retry_after_s}"

    # ================================================================ streams out

    def test_every_topic_has_the_documented_name(self) -> None:
        for sample in self.facts.streams:
            assert self.driver.streams.name(sample.topic) == sample.name, f"{sample.topic}"

    def test_topics_the_venue_does_not_have_are_refused_before_anything_is_sent(self, table: InstrumentTable) -> None:
        for topic in self.facts.refused_topics:
            problem = _raises((InvalidRequest, Unsupported), self.driver.streams.name, topic)
            assert not problem, f"name({topic}): {problem}"
            reader = _raises((InvalidRequest, Unsupported), self.driver.streams.reader, topic, self.facts.instrument)
            assert not reader, f"reader({topic}): {reader}"

    def test_every_topic_is_in_its_group(self) -> None:
        for sample in self.facts.streams:
            assert self.driver.streams.group(sample.topic) == sample.group, f"{sample.topic}"

    def test_every_group_has_an_address_of_its_own_under_the_public_root(self) -> None:
        groups = {sample.group for sample in self.facts.streams}
        for environment, hosts in self.driver.hosts.items():
            urls = [self.driver.streams.url(hosts, group) for group in groups]
            assert all(url.startswith(hosts.public_stream) for url in urls), f"{environment.value}: {urls}"
            assert len(set(urls)) == len(groups)

    def test_no_two_topics_of_the_list_share_a_name(self, table: InstrumentTable) -> None:
        names: dict[tuple[str, str], Topic] = {}
        for symbol in table:
            for sample in self.facts.streams:
                topic = msgspec.structs.replace(sample.topic, symbol=symbol)
                try:
                    name = self.driver.streams.group(topic), self.driver.streams.name(topic)
                except (InvalidRequest, Unsupported):
                    continue  # e.g. no mark price on spot
                assert names.setdefault(name, topic) == topic, f"{name[1]!r} is {names[name]} and {topic}"

    def test_the_subscribe_frame_is_the_documented_one(self) -> None:
        names, request_id, frame = self.facts.subscribed
        assert self.driver.streams.subscribe(names, request_id) == frame

    def test_the_unsubscribe_frame_is_the_documented_one(self) -> None:
        names, request_id, frame = self.facts.unsubscribed
        assert self.driver.streams.unsubscribe(names, request_id) == frame

    def test_subscribing_again_differs_by_nothing_but_the_request(self) -> None:
        names, request_id, frame = self.facts.subscribed
        again = self.driver.streams.subscribe(names, request_id + 100)
        assert self.driver.streams.subscribe(names, request_id) == frame, "a frame depends on what was asked before"
        assert again.replace(str(request_id + 100).encode(), str(request_id).encode()) == frame

    def test_a_full_frame_names_every_topic_once(self) -> None:
        count = self.driver.streams.limits.names_per_frame
        names = [f"{self.facts.streams[0].name}{number:05d}" for number in range(min(count, 300))]
        frame = self.driver.streams.subscribe(names, 1)
        assert all(frame.count(name.encode()) == 1 for name in names)

    # ================================================================ streams in

    def test_every_frame_is_routed_to_its_topic(self) -> None:
        for sample in self.facts.streams:
            for frame in sample.frames:
                assert self.driver.streams.route(frame) == sample.name.encode(), f"{sample.topic}: {_excerpt(frame)}"

    def test_a_frame_in_other_spacing_is_routed_the_same_or_told_as_noise(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            loose = msgspec.json.format(sample.frames[0], indent=2)
            routed = self.driver.streams.route(loose)
            assert routed in (sample.name.encode(), None), f"{sample.topic}: {routed!r}"
            if routed is None:
                said = self.driver.streams.control(loose)
                assert isinstance(said, Noise) and not said.known, f"{sample.topic}: data told as {said}"

    def test_control_frames_are_of_no_topic(self) -> None:
        for frame in self._control_frames():
            assert self.driver.streams.route(frame) is None, _excerpt(frame)

    def test_routing_never_raises_whatever_the_bytes(self) -> None:
        for number, frame in enumerate((*self._data_frames(), *self._control_frames())):
            for spoilt in (*_spoilt(frame, number), *GARBAGE):
                routed = self.driver.streams.route(spoilt)
                assert routed is None or isinstance(routed, bytes), _excerpt(spoilt)

    def test_every_frame_reads_as_documented(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            assert tuple(self.read_stream(sample, table)) == sample.events, f"{sample.topic}"

    def test_a_reader_keeps_nothing_of_another_connection(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            first = self.driver.streams.reader(sample.topic, table.require(sample.topic.symbol))
            for frame in sample.frames:
                first(frame, RECEIVED_NS)
            assert tuple(self.read_stream(sample, table)) == sample.events, (
                f"{sample.topic}: read otherwise the second time"
            )

    def test_events_carry_our_time_of_reading_and_a_time_of_the_venues_or_none(self, table: InstrumentTable) -> None:
        year_ns = 366 * 86_400 * 10**9
        for sample in self.facts.streams:
            for event in self.read_stream(sample, table):
                assert event.received_ns == RECEIVED_NS
                told = event.event_time_ns
                assert told is None or abs(told - RECEIVED_NS) < 20 * year_ns, (
                    f"{sample.topic}: {told} is no nanosecond"
                )

    def test_unknown_fields_in_frames_change_nothing(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, more in spoiling.with_unknown_fields(frame):
                    frames = [*sample.frames[:number], more, *sample.frames[number + 1 :]]
                    assert self.driver.streams.route(more) == sample.name.encode(), f"{sample.topic}: in {where}"
                    assert tuple(self.read_stream(sample, table, frames)) == sample.events, (
                        f"{sample.topic}: in {where}"
                    )

    def test_frames_keep_every_digit(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, digits, longer in spoiling.lengthened(frame):
                    frames = [*sample.frames[:number], longer, *sample.frames[number + 1 :]]
                    found = self._frames_read(sample, table, frames)
                    problem = "" if found is None else self._inexact(tuple(found), sample.events, digits)
                    assert not problem, f"{sample.topic}: {where}: {problem}"

    def test_frames_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, spoilt in spoiling.unnumbered(frame):
                    frames = [*sample.frames[:number], spoilt, *sample.frames[number + 1 :]]
                    found = self._frames_read(sample, table, frames)
                    problem = next((text for event in found or () if (text := _impossible(event))), "")
                    assert not problem, f"{sample.topic}: {where}: {problem}"

    def test_spoilt_frames_raise_that_they_cannot_be_read_and_nothing_else(self, table: InstrumentTable) -> None:
        for number, sample in enumerate(self.facts.streams):
            for spoilt in (*_spoilt(sample.frames[0], number), *GARBAGE):
                found = self._frames_read(sample, table, [spoilt])
                problem = next((text for event in found or () if (text := _impossible(event))), "")
                assert not problem, f"{sample.topic}: {_excerpt(spoilt)}: {problem}"

    def test_a_frame_cut_short_is_never_delivered(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for part in spoiling.cut(sample.frames[0]):
                assert self._frames_read(sample, table, [part]) is None, f"{sample.topic}: cut after {len(part)} bytes"

    def test_a_frame_of_another_topic_never_ends_a_reader(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for other in self.facts.streams:
                if other is not sample:
                    assert self.driver.streams.route(other.frames[0]) != sample.name.encode(), f"{other.topic}"
                    self._frames_read(sample, table, other.frames)  # raises WireFormatError at most

    def _frames_read(
        self, sample: StreamSample, table: InstrumentTable, frames: Sequence[bytes]
    ) -> list[MarketEvent] | None:
        try:
            return self.read_stream(sample, table, frames)
        except WireFormatError:
            return None
        except Exception as other:
            raise AssertionError(
                f"{sample.topic}: {_excerpt(frames[0])} raised {other!r:.200}, expected WireFormatError"
            ) from other

    def _data_frames(self) -> Iterator[bytes]:
        return (frame for sample in self.facts.streams for frame in sample.frames)

    def _control_frames(self) -> Iterator[bytes]:
        yield from (frame for frame, _ in self.facts.acks)
        yield from (sample.frame for sample in self.facts.refused)
        yield from (*self.facts.endings, *self.facts.known_noise, *self.facts.unknown_noise)

    # ================================================================ control frames

    def test_acknowledgements_name_what_they_acknowledge(self) -> None:
        assert self.facts.acks, "give the frame that acknowledges a subscription"
        for frame, ack in self.facts.acks:
            assert self.driver.streams.control(frame) == ack, _excerpt(frame)

    def test_refusals_of_subscriptions_are_classed(self) -> None:
        assert self.facts.refused, "give the frame that refuses a subscription"
        for sample in self.facts.refused:
            said = self.driver.streams.control(sample.frame)
            assert isinstance(said, Refusal), f"{_excerpt(sample.frame)}: {said}"
            assert said.request_id == sample.request_id
            assert type(said.error) is sample.error, f"{_excerpt(sample.frame)}: {said.error!r}"

    def test_an_announced_end_asks_for_a_successor(self) -> None:
        for frame in self.facts.endings:
            assert isinstance(self.driver.streams.control(frame), ConnectionEnding), _excerpt(frame)

    def test_frames_that_are_expected_and_of_no_use_are_known_noise(self) -> None:
        for frame in self.facts.known_noise:
            said = self.driver.streams.control(frame)
            assert isinstance(said, Noise) and said.known, f"{_excerpt(frame)}: {said}"

    def test_kinds_nobody_knows_are_noise_with_a_name_to_count_them_by(self) -> None:
        assert self.facts.unknown_noise, "give a frame of a kind no document knows"
        for frame in self.facts.unknown_noise:
            said = self.driver.streams.control(frame)
            assert isinstance(said, Noise) and not said.known and said.kind, f"{_excerpt(frame)}: {said}"

    def test_unknown_fields_in_control_frames_change_nothing(self) -> None:
        for frame, ack in self.facts.acks:
            for where, more in spoiling.with_unknown_fields(frame):
                assert self.driver.streams.control(more) == ack, f"{_excerpt(frame)}: in {where}"

    def test_control_never_raises_and_never_acknowledges_what_was_not(self) -> None:
        for number, frame in enumerate(self._control_frames()):
            for spoilt in (*_spoilt(frame, number), *GARBAGE):
                said = self.driver.streams.control(spoilt)
                assert isinstance(said, Ack | Refusal | ConnectionEnding | Noise), f"{_excerpt(spoilt)}: {said!r}"
        for garbage in GARBAGE:
            assert isinstance(self.driver.streams.control(garbage), Noise), _excerpt(garbage)

    def test_noise_is_counted_by_a_few_plain_words(self) -> None:
        for number, frame in enumerate((*self.facts.unknown_noise, *self._data_frames())):
            for spoilt in (*spoiling.flipped(frame, number), *GARBAGE):
                said = self.driver.streams.control(spoilt)
                if isinstance(said, Noise):
                    assert len(said.kind) < 200 and said.kind.isprintable(), f"{said.kind!r}"

    # ================================================================ books

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

    # ================================================================ keys and signatures

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
                assert piece in _pieces(request), f"{sample.what}: {piece!r} is not in {_pieces(request)!r:.400}"
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
        auth = self._auth_of(_SECRET)
        assert _SECRET not in repr(auth) + repr(pair[0]) + repr(self.driver)
        for what, one, _ in self._signed_by_two(table):
            sent = f"{one!r} {one.target} {one.headers}".encode() + one.body
            assert _SECRET.encode() not in sent, what
        for name, language, _ in self.private():
            for build in language.opening():
                request = build("c1", auth, NOW_MS)
                assert _SECRET.encode() not in request.frame + repr(request).encode(), name

    def test_a_signature_does_not_show_in_the_repr_of_a_request(self, table: InstrumentTable) -> None:
        for what, request in self._signed(table):
            assert (not request.query or request.query not in repr(request)) and len(repr(request)) < 200, what

    def _signed(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest]]:
        pair = self.trading()
        if pair is not None:
            auth = self.auth()
            for sample in pair[1].calls:
                yield sample.what, self.build(sample.what, auth, table, sample.command)

    def _auth_of(self, secret: str) -> Auth:
        assert self.driver.trading is not None and self.facts.trading is not None
        known = next(iter(self.facts.trading.credentials.values()))
        passphrase = known.reveal("passphrase")
        return self.driver.trading.auth(Credentials(known.key, secret=secret, passphrase=passphrase))

    def _signed_by_two(self, table: InstrumentTable) -> Iterator[tuple[str, HttpRequest, HttpRequest]]:
        pair = self.trading()
        if pair is None or "hmac" not in pair[1].credentials:
            return
        one, other = self._auth_of(_SECRET), self._auth_of(_SECRET_OTHER)
        for sample in pair[1].calls:
            built = [self.build(sample.what, auth, table, sample.command) for auth in (one, other)]
            yield sample.what, built[0], built[1]

    # ================================================================ orders out

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
            problem = _raises(
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
                assert any(text.encode() in _pieces(request) for text in ids), f"{what}: {_pieces(request)!r:.200}"
            assert pair[1].client_id.encode() in _pieces(self.build("place", self.auth(), table))

    def test_numbers_are_written_as_plain_digits(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None or pair[1].order.quantity is None:
            return
        order = msgspec.structs.replace(pair[1].order, price=Decimal("1E+3"), quantity=Decimal("2E+1"))
        request = self.build("place", self.auth(), table, order)
        assert b"E+" not in _pieces(request).upper() and b"1000" in _pieces(request)

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
            if (problem := _raises((InvalidRequest, Unsupported), self.build, "place", self.auth(), table, what))
        ]
        assert not wrong, "\n".join(wrong)

    def test_a_command_about_another_instrument_is_refused(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        trade, facts = pair
        other = next(instrument for symbol, instrument in table.items() if symbol != facts.symbol)
        problem = _raises(
            (InvalidRequest, Unsupported), trade.place, facts.order, facts.client_id, other, self.auth(), NOW_MS
        )
        assert not problem, f"an order for {facts.symbol} with the instrument {other.symbol}: {problem}"

    # ================================================================ answers about the account

    def test_every_answer_about_the_account_reads_as_documented(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            assert self.read_call(sample, table) == sample.expected, f"{sample.what}: {_excerpt(sample.answer)}"

    def test_unknown_fields_in_answers_about_the_account_change_nothing(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, more in spoiling.with_unknown_fields(sample.answer):
                assert self.read_call(sample, table, more) == sample.expected, f"{sample.what}: in {where}"

    def test_answers_about_the_account_keep_every_digit(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, digits, longer in spoiling.lengthened(sample.answer):
                found = self._attempt(sample.what, self.read_call, sample, table, longer)
                problem = "" if found is None else self._inexact(found, sample.expected, digits)
                assert not problem, f"{sample.what}: {where}: {problem}"

    def test_answers_about_the_account_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.answers():
            for where, spoilt in spoiling.unnumbered(sample.answer):
                found = self._attempt(sample.what, self.read_call, sample, table, spoilt)
                problem = "" if found is None else _impossible(found)
                assert not problem, f"{sample.what}: {where}: {problem}"

    def test_spoilt_answers_about_the_account_raise_errors_of_ours_and_nothing_else(
        self, table: InstrumentTable
    ) -> None:
        for number, sample in enumerate(self.answers()):
            for spoilt in (*_spoilt(sample.answer, number), *GARBAGE):
                found = self._attempt(sample.what, self.read_call, sample, table, spoilt)
                problem = "" if found is None else _impossible(found)
                assert not problem, f"{sample.what}: {_excerpt(spoilt)}: {problem}"

    def test_an_order_is_gone_only_where_the_venue_says_so(self, table: InstrumentTable) -> None:
        pair = self.trading()
        if pair is None:
            return
        trade, facts = pair
        instrument = table.require(facts.symbol)
        assert facts.not_found, "give the answer that says that there is no such order"
        for sample in facts.not_found:
            assert trade.read_order(_response(sample.body, sample.status), instrument) is None, _excerpt(sample.body)
        for status in (400, 403, 429, 500, 503):
            problem = _raises(ConnectorError, trade.read_order, _response(b"", status), instrument)
            assert not problem, f"an empty answer with status {status} is no evidence: {problem}"
        for garbage in GARBAGE:
            problem = _raises(ConnectorError, trade.read_order, _response(garbage), instrument)
            assert not problem, f"{garbage!r:.40} is no evidence: {problem}"

    def test_a_cancel_of_what_is_not_open_has_a_code_that_says_so(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        assert pair[1].not_open, "give the answer to a cancel of an order that is not open"
        for sample in pair[1].not_open:
            error = pair[0].failure(_response(sample.body, sample.status), write=True)
            assert isinstance(error, VenueRejected) and error.code in pair[0].not_open_codes, (
                f"{_excerpt(sample.body)}: {error!r}"
            )

    def test_a_client_id_in_use_is_told_by_its_text(self) -> None:
        pair = self.trading()
        for sample in pair[1].duplicate if pair is not None else ():
            error = pair[0].failure(_response(sample.body, sample.status), write=True)  # type: ignore[index]
            assert isinstance(error, VenueRejected), f"{_excerpt(sample.body)}: {error!r}"
            assert error.reason in pair[0].duplicate_id_texts, f"{error.reason!r}"  # type: ignore[index]

    def test_refusals_of_commands_are_classed_as_those_of_questions(self) -> None:
        pair = self.trading()
        for sample in self.facts.refusals if pair is not None else ():
            for write in (False, True):
                response = _response(sample.body, sample.status, sample.headers)
                ours, theirs = pair[0].failure(response, write=write), self.driver.rest.failure(response, write=write)  # type: ignore[index]
                assert type(ours) is type(theirs), f"{_excerpt(sample.body)}: {ours!r} and {theirs!r}"

    def test_a_receipt_is_never_taken_for_the_state_of_an_order(self) -> None:
        pair = self.trading()
        if pair is None:
            return
        for sample in self.answers():
            told = any(True for _ in _reports_in(sample.expected))
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
            more = pair[0].more(request, _response(sample.answer), auth, NOW_MS + 1)
            assert (more is not None) == sample.follows, f"{sample.what}: {more!r} follows"
            if more is not None:
                assert more.safe and more.charges, f"{sample.what}: a question like the first one"
                assert (more.target, more.body) != (request.target, request.body), f"{sample.what}: the same page again"

    # ================================================================ the life of an order

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
            found = _same_order(read(spoiling.renamed(frame, report.status_text, "TELEPORTED")), report)
            if found is not None:
                seen += 1
                assert found.status is None or not found.status.is_final or found.status is report.status, (
                    f"{where}: {found}"
                )
                assert found.status is not None or "TELEPORTED" in found.status_text, f"{where}: the word is lost"
        assert seen or self.driver.trading is None, "no sample was read with an unknown status"

    def test_an_unknown_order_type_is_kept_as_text(self, table: InstrumentTable) -> None:
        for where, frame, report, read in self._told(table):
            found = _same_order(read(spoiling.renamed(frame, report.type_text, "TELEPORT")), report)
            assert found is not None, f"{where}: an unknown order type costs the report"
            assert found.type in (OrderType.OTHER, report.type) and found.type_text, f"{where}: {found}"

    def test_events_of_one_order_have_rising_versions(self) -> None:
        for name, _, facts in self.private():
            versions: dict[str, int] = {}
            for event in facts.events:
                for report in _reports_in(event.facts):
                    if report.version is not None:
                        assert versions.get(report.venue_id, report.version) <= report.version, f"{name}: {report}"
                        versions[report.venue_id] = report.version

    def _told(self, table: InstrumentTable) -> Iterator[tuple[str, bytes, OrderReport, Callable[[bytes], Any]]]:
        """Bytes that hold a report, the report, and how to read them again."""
        for sample in self.answers():
            if sample.what in ("order", "open orders", "place"):
                read_answer = partial(self.read_call, sample, table)
                for report in _reports_in(sample.expected):
                    yield sample.what, sample.answer, report, read_answer
        for name, language, facts in self.private():
            for event in facts.events:
                for report in _reports_in(event.facts):
                    yield f"{name} event", event.frame, report, partial(_facts_of, language, table)

    # ================================================================ private connections

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
                    f"{name}, frame {number}: {_excerpt(sample.accepted)} reads as {said!r}"
                )
                assert self._failure(said, write=False) is None, (
                    f"{name}, frame {number}: {self._failure(said, write=False)!r}"
                )

    def test_a_refused_opening_is_classed(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            if facts.opening:
                assert any(sample.refused for sample in facts.opening), f"{name}: give the reply that refuses a key"
            for number, (build, sample) in enumerate(zip(language.opening(), facts.opening, strict=True), 1):
                request = build(f"c{number}", self.auth(), NOW_MS)
                for frame, kind in sample.refused:
                    said = language.read(frame, RECEIVED_NS, table)
                    assert self._answers(request, said), f"{name}: {_excerpt(frame)} reads as {said!r}"
                    assert type(self._failure(said, write=False)) is kind, (
                        f"{name}: {self._failure(said, write=False)!r}"
                    )

    def test_a_private_connection_shows_whose_account_it_is(self, table: InstrumentTable) -> None:
        if "hmac" not in self._area("key"):
            return
        for name, language, facts in self.private():
            signers = [self._auth_of(secret) for secret in (_SECRET, _SECRET_OTHER)]
            frames = [[build("c1", auth, NOW_MS).frame for auth in signers] for build in language.opening()]
            frames += [[self._session_request(call, table, auth).frame for auth in signers] for call in facts.calls]
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
            assert rule.read(_response(sample.answer)) == sample.key
            assert rule.renew_every_s > 0
            for body, status in ((b"", 503), (b"{}", 200), (b"", 401)):
                problem = _raises(ConnectorError, rule.read, _response(body, status))
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
                assert self._failure(said, write=False) is None

    def test_commands_of_a_session_go_out_as_documented(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        for sample in pair[1].calls if pair is not None else ():
            request = self._session_request(sample, table)
            assert request.request_id == "c7"
            for piece in sample.says:
                assert piece in request.frame, f"{sample.what}: {piece!r} is not in {request.frame!r:.400}"

    def test_commands_of_a_session_cost_what_the_driver_counts(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        known = {limit.name for limit in (*self._budgets(), *self.info().limits)}
        for sample in pair[1].calls if pair is not None else ():
            for charge in self._session_request(sample, table).charges:
                assert charge.budget in known and charge.points > 0, f"{sample.what}: {charge}"

    def test_a_session_takes_every_command_it_can(self) -> None:
        pair = self.orders_session()
        if pair is not None:
            assert {"place", "cancel"} <= {sample.what for sample in pair[1].calls}, "give a sample of each"

    def test_replies_of_a_session_read_as_answers_do(self, table: InstrumentTable) -> None:
        pair = self.orders_session()
        for sample in pair[1].calls if pair is not None else ():
            request = self._session_request(sample, table)
            said = pair[0].read(sample.reply, RECEIVED_NS, table)  # type: ignore[index]
            assert isinstance(said, SessionReply) and self._answers(request, said), f"{sample.what}: {said!r:.160}"
            if isinstance(sample.expected, type):
                error = self._failure(said, write=True)
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
                assert isinstance(said, SessionEvents), f"{name}: {_excerpt(sample.frame)} reads as {said!r:.200}"
                assert said.facts == sample.facts, f"{name}: {_excerpt(sample.frame)}"

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
                        f"{name}: {_excerpt(sample.frame)}: in {where}: {said!r:.160}"
                    )

    def test_events_keep_every_digit(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for where, digits, longer in spoiling.lengthened(sample.frame):
                    said = language.read(longer, RECEIVED_NS, table)
                    problem = self._inexact(said.facts, sample.facts, digits) if isinstance(said, SessionEvents) else ""
                    assert not problem, f"{name}: {where}: {problem}"

    def test_events_with_numbers_that_are_none_are_told_as_unreadable(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for sample in facts.events:
                for where, spoilt in spoiling.unnumbered(sample.frame):
                    said = language.read(spoilt, RECEIVED_NS, table)
                    if isinstance(said, SessionEvents):
                        problem = next((text for fact in said.facts if (text := _impossible(fact))), "")
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
                        f"{name}: {_excerpt(part)} reads as {said!r:.120}"
                    )

    def test_reading_a_private_frame_never_raises_whatever_the_bytes(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            frames = [sample.frame for sample in facts.events] + [sample.reply for sample in facts.calls]
            frames += [sample.accepted for sample in facts.opening]
            for number, frame in enumerate(frames):
                for spoilt in (*_spoilt(frame, number), *GARBAGE):
                    said = language.read(spoilt, RECEIVED_NS, table)
                    assert isinstance(said, SessionReply | SessionEvents | SessionEnding | SessionNoise), (
                        f"{name}: {said!r}"
                    )

    def test_an_announced_end_of_a_private_connection_asks_for_a_successor(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            for frame in facts.endings:
                assert isinstance(language.read(frame, RECEIVED_NS, table), SessionEnding), f"{name}: {_excerpt(frame)}"

    def test_private_frames_of_unknown_kinds_are_noise_with_a_name(self, table: InstrumentTable) -> None:
        for name, language, facts in self.private():
            assert facts.unknown_noise, f"{name}: give a frame of a kind no document knows"
            for frame in facts.unknown_noise:
                said = language.read(frame, RECEIVED_NS, table)
                assert isinstance(said, SessionNoise) and not said.known and said.kind, (
                    f"{name}: {_excerpt(frame)}: {said!r}"
                )
            for frame in facts.known_noise:
                said = language.read(frame, RECEIVED_NS, table)
                assert isinstance(said, SessionNoise) and said.known, f"{name}: {_excerpt(frame)}: {said!r}"

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

    def _failure(self, said: object, *, write: bool) -> ConnectorError | None:
        assert isinstance(said, SessionReply) and self.driver.trading is not None
        return self.driver.trading.failure(said.response, write=write)

    def _session_request(
        self, sample: SessionSample, table: InstrumentTable, auth: Auth | None = None
    ) -> SessionRequest:
        pair, trading = self.orders_session(), self.facts.trading
        assert pair is not None and trading is not None
        session, instrument, auth = pair[0], table.require(trading.symbol), auth or self.auth()
        match sample.what:
            case "place":
                return session.place("c7", sample.command or trading.order, trading.client_id, instrument, auth, NOW_MS)
            case "cancel":
                cancel = sample.command or CancelOrder(symbol=trading.symbol, client_id=trading.client_id)
                return session.cancel("c7", cancel, trading.current, instrument, auth, NOW_MS)
            case "amend":
                amend = cast(AmendOrder, sample.command or trading.amend)
                return session.amend("c7", amend, trading.current, instrument, auth, NOW_MS)
            case "place list":
                orders = sample.command or trading.order_list
                return session.place_list("c7", orders, trading.client_ids, instrument, auth, NOW_MS)
        raise AssertionError(f"{sample.what!r} is no command of a session")

    # ================================================================ positions

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
        if "leverage" in self._area("command"):
            assert self.facts.trading is not None
            for number in (Decimal(0), Decimal(-1), Decimal(100_000)):
                command = SetLeverage(symbol=self.facts.trading.symbol, leverage=number)
                problem = _raises(InvalidRequest, self.build, "leverage", self.auth(), table, command)
                assert not problem, f"leverage {number}: {problem}"

    def test_a_setting_that_is_refused_is_not_taken_for_done(self, table: InstrumentTable) -> None:
        pair = self.trading()
        for what in sorted(set(SETTINGS) & self._area("command")) if pair is not None else ():
            for status in (400, 401, 429, 500, 503):
                problem = _raises(ConnectorError, self.read_answer, what, _response(b"", status), table)
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


# ---------------------------------------------------------------- reports and objects in values


def _reports_in(value: object) -> Iterator[OrderReport]:
    """Every order report anywhere in what was read."""
    if isinstance(value, OrderReport):
        yield value
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _reports_in(inner)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _reports_in(getattr(value, field.name))


def _known(info: VenueInfo) -> dict[Symbol, Instrument]:
    """The instruments without the text of filters this version does not know: that is kept as the venue sent it."""
    return {
        symbol: msgspec.structs.replace(
            instrument,
            filters=tuple(
                OtherFilter(each.name, "") if isinstance(each, OtherFilter) else each for each in instrument.filters
            ),
        )
        for symbol, instrument in info.instruments.items()
    }


def _facts_of(language: PrivateLanguage, table: InstrumentTable, frame: bytes) -> object:
    """The facts of a private frame; none when it is something else."""
    said = language.read(frame, RECEIVED_NS, table)
    return said.facts if isinstance(said, SessionEvents) else ()


def _same_order(found: object, wanted: OrderReport) -> OrderReport | None:
    return next((report for report in _reports_in(found) if report.venue_id == wanted.venue_id), None)


def _spoil_entry(value: object, name: str) -> None:
    """Make every text and list into a number, in objects or arrays that hold the name itself; the name stays."""
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = list(fields)
    if any(inner == name for _, inner in places):
        for place, inner in places:
            if inner != name and isinstance(inner, str | list | dict):
                value[place] = 7.5  # type: ignore[index]
    else:
        for _, inner in places:
            _spoil_entry(inner, name)
