"""Every reader of bytes of every driver, as targets for spoilt input, and what must hold of whatever comes out.

A target is one recorded sample, and the reader that gets it spoilt. What holds: a reader raises its declared errors and nothing
else; readers that have no error to raise (routes, control frames, private frames, classed refusals) answer. What is read is
possible, about the instrument that was asked for, and made of numbers that stand in the bytes: nothing is invented. Frames of
streams also go the way they go in production, through the connection and the feed, where nothing may be raised at all and each
kind of trouble is told once.

The samples are those of the drivers' facts. Nothing here is a test; `run.py` and `test_readers.py` use it.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "drivers"))

import binance_facts
import binance_futures_facts
import bybit_facts
from spoiling import looked_at, spoilt

from connector.domain.instruments import InstrumentTable
from connector.domain.market import AggTrade, BookDelta, BookTicker, Candle, Liquidation, OrderBook, Trade
from connector.domain.symbols import Product
from connector.drivers import binance, bybit
from connector.drivers.contract import Ack, ConnectionEnding, Driver, Noise, Refusal
from connector.drivers.trading import SessionEnding, SessionEvents, SessionNoise, SessionReply
from connector.errors import ConnectorError, WireFormatError
from connector.telemetry import Counters, OncePerKind
from connector.testing import spoiling
from connector.testing.clocks import FakeClock
from connector.testing.driver_checks.base import Checks, answered, events_of, impossible
from connector.testing.driver_facts import NOW_MS, RECEIVED_NS, DriverFacts, StreamSample
from connector.venue.book_feed import BookFeed
from connector.venue.connection import Connection
from connector.venue.continuity import continuity_of
from connector.venue.delivery import Subscription
from connector.venue.feed import Feed
from connector.venue.session import Session, SessionConnection

__all__ = ["DRIVERS", "Found", "Pipe", "PrivatePipe", "Target", "mutated", "pipes_of", "targets_of", "try_one"]

DRIVERS: dict[str, tuple[Driver, DriverFacts]] = {
    "binance": (binance.SPOT, binance_facts.FACTS),
    "binance-usdm": (binance.USDM, binance_futures_facts.USDM),
    "binance-coinm": (binance.COINM, binance_futures_facts.COINM),
    "bybit": (bybit.SPOT, bybit_facts.SPOT),
    "bybit-linear": (bybit.LINEAR, bybit_facts.LINEAR),
    "bybit-inverse": (bybit.INVERSE, bybit_facts.INVERSE),
}
NO_ERROR: tuple[type[Exception], ...] = ()
GARBAGE = (b"", b"null", b"[]", b"{}", b"0", b'""', b"\xff\xfe", b"<html>busy</html>", b"[" * 50_000, b'{"a":' * 50_000)


class Found(Exception):
    """A reader did what it must not."""


@dataclass(frozen=True, slots=True)
class Target:
    """One sample and its reader.

    Attributes:
        name: driver, kind of reader, sample.
        sample: the bytes that are spoilt.
        value: the same as JSON; None where it is none.
        longer: the sample with so many digits in one of its numbers that no float could keep them.
        read: bytes -> what they say.
        errors: what it may raise.
        judge: (bytes, what was read) -> what is wrong with it; "" when nothing is.
    """

    name: str
    sample: bytes
    value: Any
    longer: tuple[bytes, ...]
    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    judge: Callable[[bytes, object], str]


def mutated(target: Target | Pipe, rng: random.Random) -> bytes:
    """The sample spoilt once: its JSON reshaped, its bytes scratched, or something else altogether."""
    chance = rng.random()
    if chance < 0.002:
        return rng.choice(GARBAGE)
    if target.longer and chance < 0.03:
        return rng.choice(target.longer)
    if target.value is None or chance < 0.1:
        return next(iter(spoiling.flipped(target.sample, rng.randrange(2**32), 1)))
    return spoilt(target.value, rng)


def try_one(target: Target, text: bytes) -> str:
    """Read one text; "read", or the name of the declared error that was raised.

    Raises:
        Found: it raised something else, or told what cannot be.
    """
    try:
        said = target.read(text)
    except target.errors as declared:
        return type(declared).__name__
    except Exception as other:
        raise Found(f"{target.name}: raised {other!r:.200} on {text[:300]!r}") from other
    problem = target.judge(text, said)
    if problem:
        raise Found(f"{target.name}: {problem}, read from {text[:300]!r}")
    return "read"


# ---------------------------------------------------------------- what must hold


def _numbers(text: bytes) -> set[Decimal]:
    """Every number that stands in the bytes, by the standard library."""
    found: set[Decimal] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)
        elif isinstance(value, str):
            try:
                number = Decimal(value)
                if number.is_finite():
                    found.add(number)
            except InvalidOperation:
                pass

    # Bad UTF-8 in a part nobody reads is not judged, nor is a number there that no Decimal holds.
    look(json.loads(text.decode("utf-8", "replace"), parse_float=str, parse_int=str, parse_constant=str))
    return found


def _told(event: object, exact: bool) -> Iterator[Decimal]:
    """The numbers of an event that have to stand in the bytes; quantities too where they are not worked out (`exact`)."""
    if isinstance(event, BookDelta | OrderBook):
        for price, quantity in (*event.bids, *event.asks):
            yield Decimal(price)
            if exact:
                yield Decimal(quantity)
        return
    match event:
        case Trade() | AggTrade() | Liquidation():
            yield event.price
            yield event.quantity if exact or event.contracts is None else event.contracts
        case BookTicker():
            yield from (event.bid, event.ask)
            if exact:
                yield from (event.bid_quantity, event.ask_quantity)
        case Candle():
            yield from (event.open, event.high, event.low, event.close, event.volume)


def _judge_stream(driver: Driver, sample: StreamSample, text: bytes, said: object) -> str:
    exact = Product.INVERSE not in driver.products
    numbers: set[Decimal] | None = None
    for event in events_of(said):
        problem = impossible(event)
        if problem:
            return problem
        if event.symbol != sample.topic.symbol or event.venue != driver.name or event.received_ns != RECEIVED_NS:
            return f"an event of {event.symbol} at {event.venue}, asked was {sample.topic}"
        for number in _told(event, exact):
            if numbers is None:
                try:
                    numbers = _numbers(text)
                except (ValueError, RecursionError) as none:
                    return f"an event out of what is no JSON ({none})"
            if number and number not in numbers:
                return f"{number} stands nowhere in it"
    return ""


def _possible(text: bytes, said: object) -> str:
    return impossible(said)


def _anything(text: bytes, said: object) -> str:
    return ""


def _one_of(kinds: tuple[type, ...], text: bytes, said: object) -> str:
    if not isinstance(said, kinds):
        return f"answered {said!r:.100}"
    facts = said.facts if isinstance(said, SessionEvents) else ()
    return next((problem for fact in facts if (problem := impossible(fact))), "")


def _classed(text: bytes, said: object) -> str:
    return "" if said is None or isinstance(said, ConnectorError) else f"answered {said!r:.100}"


# ---------------------------------------------------------------- the targets


def _json(sample: bytes) -> Any:
    try:
        value = json.loads(sample)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) and value else None


def _longer(sample: bytes) -> tuple[bytes, ...]:
    return tuple(text for _, _, text in spoiling.lengthened(sample))


def checks_of(name: str) -> Checks:
    """The shared checks' ways to build and to read, for one driver."""
    checks = Checks()
    checks.driver, checks.facts = DRIVERS[name]  # type: ignore[misc]
    return checks


def targets_of(name: str) -> list[Target]:
    """Everything of one driver that reads bytes from outside."""
    checks = checks_of(name)
    table = checks.info().instruments
    found: list[Target] = []

    def add(kind: str, sample: bytes, read: Any, errors: tuple[type[Exception], ...], judge: Any) -> None:
        found.append(
            Target(f"{name} {kind} #{len(found)}", sample, _json(sample), _longer(sample), read, errors, judge)
        )

    _add_streams(checks, table, add)
    _add_answers(checks, table, add)
    _add_private(checks, table, add)
    return found


def _add_streams(checks: Checks, table: InstrumentTable, add: Callable[..., None]) -> None:
    driver, facts = checks.driver, checks.facts
    streams = driver.streams
    for sample in facts.streams:
        for number, frame in enumerate(sample.frames):
            read = partial(_read_frame, driver, sample, table, number)
            add(
                f"stream {sample.topic.kind.value}",
                frame,
                read,
                (WireFormatError,),
                partial(_judge_stream, driver, sample),
            )
        add("route", sample.frames[0], streams.route, NO_ERROR, lambda text, said: _routed(said))
    control = partial(_one_of, (Ack, Refusal, ConnectionEnding, Noise))
    acks = (frame for frame, _ in facts.acks)
    refused = (each.frame for each in facts.refused)
    for frame in (*acks, *refused, *facts.endings, *facts.known_noise, *facts.unknown_noise):
        add("control", frame, streams.control, NO_ERROR, control)
        add("route", frame, streams.route, NO_ERROR, lambda text, said: _routed(said))


def _routed(said: object) -> str:
    return "" if said is None or isinstance(said, bytes) else f"routed to {said!r:.80}"


def _read_frame(driver: Driver, sample: StreamSample, table: InstrumentTable, number: int, text: bytes) -> list[Any]:
    """What a new reader makes of the frames before this one, and of this one spoilt."""
    reader = driver.streams.reader(sample.topic, table.require(sample.topic.symbol))
    for frame in sample.frames[:number]:
        reader(frame, RECEIVED_NS)
    return [looked_at(event) for event in events_of(reader(text, RECEIVED_NS))] if number == 0 else _last(reader, text)


def _last(reader: Callable[[bytes, int], Any], text: bytes) -> list[Any]:
    """Of a reader that merges frames, what the last one says may be made of numbers of the ones before: not judged by them."""
    for event in events_of(reader(text, RECEIVED_NS)):
        looked_at(event)
    return []


def _add_answers(checks: Checks, table: InstrumentTable, add: Callable[..., None]) -> None:
    driver, facts = checks.driver, checks.facts
    rest, errors = driver.rest, (ConnectorError,)
    for body in facts.instruments:
        add("instruments", body, lambda text: checks.read_pages([text]), errors, _anything)
    for sample in checks.questions():
        for place, body in enumerate(sample.bodies):
            read = partial(_read_page, checks, sample, place, table)
            add(f"answer to {type(sample.query).__name__}", body, read, errors, _possible)
    trade = driver.trading
    for refusal in facts.refusals:
        for write in (False, True):
            for language in (rest, trade):
                if language is not None:
                    classed = partial(_class, language, refusal.status, dict(refusal.headers), write)
                    add("refusal", refusal.body, classed, NO_ERROR, _classed)


def _read_page(checks: Checks, sample: Any, place: int, table: InstrumentTable, text: bytes) -> object:
    bodies = [*sample.bodies[:place], text, *sample.bodies[place + 1 :]]
    response = answered(text, headers=sample.headers)
    checks.driver.rest.more(sample.query, response)
    return checks.read_question(sample, table, bodies)


def _class(language: Any, status: int, headers: dict[str, str], write: bool, text: bytes) -> object:
    return language.failure(answered(text, status, headers), write=write)


def _add_private(checks: Checks, table: InstrumentTable, add: Callable[..., None]) -> None:
    errors, pair = (ConnectorError,), checks.trading()
    for sample in checks.answers():
        add(f"answer to {sample.what}", sample.answer, partial(checks.read_call, sample, table), errors, _possible)
        if pair is not None and not sample.follows:
            request = checks.build(sample.what, checks.auth(), table, sample.command)
            add(
                f"page of {sample.what}",
                sample.answer,
                lambda text, request=request: pair[0].more(request, answered(text), checks.auth(), NOW_MS),
                errors,
                _anything,
            )
    heard = partial(_one_of, (SessionReply, SessionEvents, SessionEnding, SessionNoise))
    for kind, language, facts in checks.private():
        frames = [each.accepted for each in facts.opening]
        frames += [frame for each in facts.opening for frame, _ in each.refused]
        frames += [each.reply for each in facts.calls] + [each.frame for each in facts.events]
        frames += [*facts.endings, *facts.known_noise, *facts.unknown_noise]
        for frame in (*frames, *([facts.probe_reply] if facts.probe_reply else [])):
            read = partial(_hear, language, table)
            add(f"{kind} frame", frame, read, NO_ERROR, heard)
        if language.key is not None and facts.key is not None:
            rule = language.key
            add(f"{kind} key", facts.key.answer, lambda text, rule=rule: rule.read(answered(text)), errors, _anything)


def _hear(language: Any, table: InstrumentTable, text: bytes) -> object:
    return language.read(text, RECEIVED_NS, table)


# ---------------------------------------------------------------- the way frames go in production


class Pipe:
    """One topic's frames through its connection and feed, as a reader thread takes them: nothing may be raised there.

    Attributes:
        name, sample, value, longer: as of a Target.
        told: alarms by kind.
    """

    MOST_KINDS = 257

    def __init__(self, name: str, driver: Driver, sample: StreamSample, table: InstrumentTable) -> None:
        self.name = f"{name} pipe {sample.topic.kind.value}"
        self.sample, self.value = sample.frames[-1], _json(sample.frames[-1])
        self.longer = _longer(self.sample)
        self.told: Counter[str] = Counter()
        alarms = OncePerKind(name, emit=lambda kind, detail: self.told.update((kind,)))
        clock = FakeClock()
        more: dict[str, Any] = {"ask": lambda wish: None, "counters": Counters(), "alarms": alarms, "backfill": False}
        is_book = sample.topic.kind.value == "book"
        if is_book:
            assert driver.book_rule is not None
            self.feed: Feed = BookFeed(driver.name, sample.topic, clock, driver.book_rule, **more)
        else:
            rule = continuity_of(driver, sample.topic.kind)
            self.feed = Feed(driver.name, sample.topic, clock, rule=rule, **more)
        self._subscription = Subscription(self.feed, clock, callback=lambda value: None)
        self.feed.attach(self._subscription)
        instrument = table.require(sample.topic.symbol)
        self.feed.bind(lambda: driver.streams.reader(sample.topic, instrument))
        self._connection = Connection(
            1, driver.streams, driver.name_after, clock, alarms, lambda: True, lambda message: None
        )
        self._connection.routes = {sample.name.encode(): self.feed}
        self.feed.own(self._connection)
        for frame in sample.frames:
            self.take(frame)

    def take(self, text: bytes) -> None:
        """
        Raises:
            Found: the reader thread would have ended, or a kind of trouble was told twice.
        """
        try:
            self._connection.on_frames(self, [text], RECEIVED_NS)  # type: ignore[arg-type]
        except Exception as other:
            raise Found(
                f"{self.name}: the reader thread would have ended with {other!r:.200} on {text[:300]!r}"
            ) from other
        if self._subscription.failures:
            raise Found(f"{self.name}: a consumer was given what it could not take, after {text[:300]!r}")

    def judge(self) -> None:
        """
        Raises:
            Found: a kind of trouble was told more than once, or there are more kinds than are ever told.
        """
        twice = [kind for kind, times in self.told.items() if times > 1]
        if twice or len(self.told) > self.MOST_KINDS:
            raise Found(f"{self.name}: {len(self.told)} kinds of alarms, told more than once: {twice[:3]}")

    def shutdown(self) -> None:
        """What a link would do; it is the one the connection is given."""


class PrivatePipe(Pipe):
    """One private frame through its connection, as a reader thread takes it."""

    def __init__(self, name: str, kind: str, language: Any, frame: bytes, table: InstrumentTable) -> None:
        self.name = f"{name} pipe {kind}"
        self.sample, self.value, self.longer = frame, _json(frame), _longer(frame)
        self.told = Counter()
        clock = FakeClock()
        alarms = OncePerKind(name, emit=lambda kind, detail: self.told.update((kind,)))
        session = Session(clock, Counters())
        self._connection = SessionConnection(  # type: ignore[assignment]
            1, None, session, language, lambda: table, alarms, lambda: True, lambda message: None, lambda message: None
        )

    def take(self, text: bytes) -> None:
        try:
            self._connection.on_frames(self, [text], RECEIVED_NS)  # type: ignore[arg-type]
        except Exception as other:
            raise Found(
                f"{self.name}: the reader thread would have ended with {other!r:.200} on {text[:300]!r}"
            ) from other


def pipes_of(name: str) -> list[Pipe]:
    """One of each stream sample of a driver, and one of each frame its private connections may bring."""
    checks = checks_of(name)
    table = checks.info().instruments
    public = [Pipe(name, checks.driver, sample, table) for sample in checks.facts.streams]
    private = [
        PrivatePipe(name, kind, language, frame, table)
        for kind, language, facts in checks.private()
        for frame in (*(each.reply for each in facts.calls), *(each.frame for each in facts.events))
    ]
    return [*public, *private]
