"""What the checks of drivers share: the driver and its facts, ways to build and to read, and what cannot be true.

Nothing here is a check. Needs pytest.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, cast

import msgspec
import pytest

from connector.books import exact
from connector.domain.account import MarginMode, PositionMode
from connector.domain.commands import AmendOrder, CancelOrder, SetLeverage, SetMarginMode, SetPositionMode
from connector.domain.credentials import Credentials
from connector.domain.facts import OrderReport
from connector.domain.instruments import Instrument, InstrumentTable, OtherFilter
from connector.domain.market import AggTrade, BookDelta, MarketEvent, OrderBook, Trade
from connector.domain.orders import Fill, OrderStatus
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
    RecentTradesQuery,
    ServerTimeQuery,
    TickersQuery,
)
from connector.domain.symbols import Product, Symbol
from connector.domain.wire import BudgetLimit, HttpRequest, HttpResponse
from connector.drivers.contract import Driver, VenueInfo
from connector.drivers.trading import (
    Auth,
    PositionLanguage,
    PrivateLanguage,
    SessionEvents,
    SessionLanguage,
    SessionReply,
    SessionRequest,
    TradeLanguage,
)
from connector.errors import ConnectorError, Unsupported
from connector.testing import spoiling
from connector.testing.driver_facts import (
    NOW_MS,
    RECEIVED_NS,
    AnswerSample,
    CallSample,
    DriverFacts,
    PrivateFacts,
    SessionSample,
    StreamSample,
    TradingFacts,
)

__all__ = [
    "ACCOUNT",
    "CALLS",
    "EXACT_DIGITS",
    "GARBAGE",
    "HUGE",
    "LIFE",
    "QUERIES",
    "SECRET",
    "SECRET_OTHER",
    "SETTINGS",
    "SINCE_NS",
    "SOURCE",
    "WRITES",
    "Checks",
    "answered",
    "events_of",
    "excerpt",
    "facts_of",
    "impossible",
    "pieces",
    "raises",
    "reports_in",
    "same_order",
    "spoil_entry",
    "spoilt_ways",
    "without_texts",
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

EXACT_DIGITS = 20  # no float has as many
HUGE = 40  # a power of ten no price, quantity or balance comes near
SINCE_NS = 1_761_990_000_000_000_000
SECRET, SECRET_OTHER = "suite-secret-one-0123456789abcdef", "suite-secret-two-0123456789abcdef"


# ---------------------------------------------------------------- helpers


def answered(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None, sent_ns: int = RECEIVED_NS - 5_000_000
) -> HttpResponse:
    return HttpResponse(status, dict(headers or {}), body, sent_ns, RECEIVED_NS)


def events_of(found: object) -> list[MarketEvent]:
    if found is None:
        return []
    return list(found) if isinstance(found, list) else [cast(MarketEvent, found)]


def excerpt(sample: bytes) -> str:
    return repr(sample[:120])


def raises(
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


def pieces(request: HttpRequest) -> bytes:
    return request.target.encode() + b"\n" + request.body


def spoilt_ways(sample: bytes, seed: int) -> Iterator[bytes]:
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


def looked_at(event: MarketEvent) -> MarketEvent:
    """A delta's levels may be texts until a book looks at them; here everything is looked at.

    Raises:
        WireFormatError: a book would refuse it.
    """
    if isinstance(event, BookDelta):
        return msgspec.structs.replace(event, bids=exact(event.bids), asks=exact(event.asks))
    return event


def impossible(value: object) -> str:
    """Why a value read from spoilt bytes cannot be true; "" when it might."""
    for number in spoiling.decimals_in(value):
        if not number.is_finite():
            return f"{number} is no number"
        if number and abs(number.adjusted()) > HUGE:
            return f"{number:.3E} is no amount of anything"
    match value:
        case Trade() | AggTrade() if value.price <= 0 or value.quantity <= 0:
            return f"a trade of {value.quantity} at {value.price}"
        case BookDelta():
            if any(price <= 0 or quantity < 0 for price, quantity in (*exact(value.bids), *exact(value.asks))):
                return "a level with a negative number"
        case OrderBook():
            if any(price <= 0 or quantity < 0 for price, quantity in (*value.bids, *value.asks)):
                return "a level with a negative number"
        case Fill() if value.price <= 0 or value.quantity <= 0:
            return f"a fill of {value.quantity} at {value.price}"
    return ""


class Checks:
    """The driver under test and its facts, with what the checks need of them."""

    driver: ClassVar[Driver]
    facts: ClassVar[DriverFacts]

    @property
    def has(self) -> frozenset[tuple[str, str]]:
        return frozenset((item.area, item.name) for item in self.driver.capabilities)

    def info(self) -> VenueInfo:
        """The venue's list, read whole."""
        rest, query = self.driver.rest, InstrumentsQuery()
        parts = [rest.read(query, answered(body), None) for body in self.facts.instruments]
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
        events = (event for frame in frames or sample.frames for event in events_of(reader(frame, RECEIVED_NS)))
        return [looked_at(event) for event in events]

    def read_question(self, sample: AnswerSample, table: InstrumentTable, bodies: Sequence[bytes] = ()) -> Any:
        rest = self.driver.rest
        parts = [
            rest.read(sample.query, answered(body, headers=sample.headers), table) for body in bodies or sample.bodies
        ]
        return parts[0] if len(parts) == 1 else rest.joined(sample.query, parts)

    def inexact(self, value: object, expected: object, digits: str) -> str:
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
        return "" if any(len(number.as_tuple().digits) >= EXACT_DIGITS for number in changed) else told

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
                return trade.fills(instrument, None, SINCE_NS, None, auth, now_ms)
            case "fills of an order":
                return trade.fills(instrument, None, None, current.venue_id, auth, now_ms)
            case "orders since":
                return trade.orders_since(instrument, SINCE_NS, auth, now_ms)
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
                return positions.funding(SINCE_NS, auth, now_ms)
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
        response = answered(sample.answer if body is None else body, sample.status)
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
            for report in reports_in(sample.expected):
                yield f"answer to {sample.what}", report
        for name, _, facts in self.private():
            for event in facts.events:
                for report in reports_in(event.facts):
                    yield f"{name} event", report

    # ---------------------------------------------------------------- what several groups of checks use

    def area(self, area: str) -> set[str]:
        return {name for found, name in self.has if found == area}

    def budgets(self) -> tuple[BudgetLimit, ...]:
        trading = self.driver.trading
        return (*self.driver.limits, *(trading.limits if trading is not None else ()))

    def attempt(self, what: object, read: Callable[..., Any], *args: Any) -> Any:
        """The value, or None where it was refused as it should be."""
        try:
            return read(*args)
        except ConnectorError:
            return None
        except Exception as other:
            raise AssertionError(f"{what}: spoilt bytes raised {other!r:.200}, which is no error of ours") from other

    def auth_of(self, secret: str) -> Auth:
        assert self.driver.trading is not None and self.facts.trading is not None
        known = next(iter(self.facts.trading.credentials.values()))
        passphrase = known.reveal("passphrase")
        return self.driver.trading.auth(Credentials(known.key, secret=secret, passphrase=passphrase))

    def read_pages(self, pages: Sequence[bytes]) -> VenueInfo:
        rest, query = self.driver.rest, InstrumentsQuery()
        parts = [rest.read(query, answered(body), None) for body in pages]
        return cast(VenueInfo, parts[0] if len(parts) == 1 else rest.joined(query, parts))

    def session_request(
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

    def failure(self, said: object, *, write: bool) -> ConnectorError | None:
        assert isinstance(said, SessionReply) and self.driver.trading is not None
        return self.driver.trading.failure(said.response, write=write)


# ---------------------------------------------------------------- reports and objects in values


def reports_in(value: object) -> Iterator[OrderReport]:
    """Every order report anywhere in what was read."""
    if isinstance(value, OrderReport):
        yield value
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from reports_in(inner)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from reports_in(getattr(value, field.name))


def without_texts(info: VenueInfo) -> dict[Symbol, Instrument]:
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


def facts_of(language: PrivateLanguage, table: InstrumentTable, frame: bytes) -> object:
    """The facts of a private frame; none when it is something else."""
    said = language.read(frame, RECEIVED_NS, table)
    return said.facts if isinstance(said, SessionEvents) else ()


def same_order(found: object, wanted: OrderReport) -> OrderReport | None:
    return next((report for report in reports_in(found) if report.venue_id == wanted.venue_id), None)


def spoil_entry(value: object, name: str) -> None:
    """Make every text and list into a number, in objects or arrays that hold the name itself; the name stays."""
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = list(fields)
    if any(inner == name for _, inner in places):
        for place, inner in places:
            if inner != name and isinstance(inner, str | list | dict):
                value[place] = 7.5  # type: ignore[index]
    else:
        for _, inner in places:
            spoil_entry(inner, name)
