"""The storm: one fault after the other against a running client, each measured by what the client itself tells and hands out.

Nothing is measured by sleeping: a time is the distance between the moment a fault was in force and the event, the change or the
answer that shows its effect. Between two faults the client has to be whole again: every actor healthy, every topic live, every
book valid, the exchange's list of subscriptions as before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pykka

from connector import BookState, Connector, ConnectorError, RetryLater, TopicKind, TopicState, Unsupported
from connector.assembly import Parts
from connector.domain.queries import ServerTimeQuery
from connector.domain.topics import Topic
from connector.supervision import ChildSnapshot, EndKind, EventKind, StableRef
from connector.venue.handle import VenueHandle
from connector.venue.stream import StreamStatus
from demo.exchange import ExchangeProcess
from demo.report import FaultRow, seconds
from demo.witness import Board, Change, Overdue, Witness

__all__ = ["FAULTS", "Door", "Fault", "Storm", "Teller"]

FAST = frozenset({TopicKind.TRADES, TopicKind.AGG_TRADES, TopicKind.BOOK_TICKER, TopicKind.BOOK})
"""Topics the exchange sends many times a second; "back" is measured on all of them. The others follow at their own pace."""

REFUSED_S = 3.0
FAILING_STARTS = 3
PATIENCE_S = 40.0
"""How long anything is waited for before it counts as not having happened."""


class Killed(Exception):
    """What the storm makes actors crash with."""


class Teller(Protocol):
    """Where the storm tells what it does."""

    def say(self, text: str) -> None: ...
    def rest(self, text: str) -> None: ...
    def begin(self, fault: str) -> None: ...
    def end(self, row: FaultRow) -> None: ...


class Door:
    """Stands between the REST actor and its HTTP workers, so that the shipped actor can crash in its start and hang.

    `refuse`: so many starts fail. `block`: the next request is not handed on before `release`; no interrupt helps.
    """

    def __init__(self) -> None:
        self.refuse = 0
        self.block = False
        self._open = threading.Event()

    def release(self) -> None:
        self._open.set()

    def into(self, parts: Parts) -> Parts:
        """The same parts, with this door in front of HTTP."""

        def open_http(memory: Any) -> Callable[[Any], Any]:
            inner = parts.open_http(memory)

            def open_for(context: Any) -> _Doorway:
                if self.refuse:
                    self.refuse -= 1
                    raise Killed("the storm lets this start fail")
                return _Doorway(self, inner(context))

            return open_for

        return replace(parts, open_http=open_http)


class _Doorway:
    """An HttpPort in front of another."""

    def __init__(self, door: Door, inner: Any) -> None:
        self._door, self._inner = door, inner

    def submit(self, request: Any, deadline_s: float, done: Callable[[Any], None]) -> None:
        if self._door.block:
            self._door.block = False
            self._door._open.wait(PATIENCE_S)
        self._inner.submit(request, deadline_s, done)

    def close(self) -> None:
        self._inner.close()


@dataclass(frozen=True)
class Fault:
    """One line of the script.

    Attributes:
        noticed_s, restarted_s, back_s: bounds in seconds; None: not asked for.
        run: does it, and fills in the row.
        restarts: actors (by id) that may be restarted by it; "*" stands for all.
        disturbs: topics that may stop being live: "all", "first" (of their kind, the first symbol's) or "none".
        rested: begin only when every book has been valid for `Storm.rest_s`, so that its next resync starts at once.
    """

    key: str
    words: str
    noticed_s: float | None
    restarted_s: float | None
    back_s: float | None
    run: Callable[[Storm, FaultRow], None]
    restarts: frozenset[str] = frozenset()
    disturbs: str = "all"
    rested: bool = False


class Storm:
    """Runs faults against one venue of a running connector, on the caller's thread."""

    def __init__(
        self,
        connector: Connector,
        venue: VenueHandle,
        exchange: ExchangeProcess,
        door: Door,
        board: Board,
        witnesses: list[Witness],
        teller: Teller,
        *,
        calm_s: float,
        rest_s: float,
        bound_scale: float,
    ) -> None:
        self.connector, self.venue, self.exchange, self.door, self.board = connector, venue, exchange, door, board
        self.witnesses, self.teller = witnesses, teller
        self.calm_s, self.rest_s, self.bound_scale = calm_s, rest_s, bound_scale
        self.fast = [witness for witness in witnesses if witness.topic.kind in FAST]
        self._subscribed: list[str] = []

    # ------------------------------------------------------------ the frame around every fault

    def begin(self) -> None:
        """Wait for the first calm and remember what is subscribed then.

        Raises:
            Overdue: the client did not become whole.
        """
        self._wait("every topic live, every book valid", self._whole)
        self._subscribed = self.exchange.subscriptions()
        self._calm()

    def run(self, fault: Fault) -> FaultRow:
        """One fault, from the first sign to the next calm."""
        scale = self.bound_scale
        row = FaultRow(
            fault.key,
            fault.words,
            noticed_bound_s=None if fault.noticed_s is None else fault.noticed_s * scale,
            restarted_bound_s=None if fault.restarted_s is None else fault.restarted_s * scale,
            back_bound_s=None if fault.back_s is None else fault.back_s * scale,
        )
        if fault.rested:
            self._rest()
        lost, filled, epochs, began_s = self.lost, self.filled, self._epochs(), time.monotonic()
        self.teller.begin(fault.words)
        try:
            fault.run(self, row)
        except (Overdue, pykka.Timeout, pykka.ActorDeadError, ConnectorError) as failed:
            row.problems.append(f"{type(failed).__name__}: {failed}")
        finally:
            self.exchange.fault("clear")
        try:
            self._calm()
        except Overdue as late:
            row.problems.append(str(late))
        row.lost, row.filled = self.lost - lost, self.filled - filled
        self._others_untouched(fault, row, epochs, began_s)
        if self.exchange.subscriptions() != self._subscribed:
            row.problems.append("the exchange's list of our subscriptions is not what it was")
        self.teller.end(row)
        return row

    def _others_untouched(self, fault: Fault, row: FaultRow, epochs: dict[str, int], began_s: float) -> None:
        for path, epoch in self._epochs().items():
            id = path.rsplit("/", 1)[-1]
            if epoch != epochs.get(path) and id not in fault.restarts and "*" not in fault.restarts:
                row.problems.append(f"{path} was restarted too")
        disturbed = self.board.disturbed(began_s, time.monotonic())
        if fault.disturbs == "first":
            disturbed -= {self.first(kind).topic for kind in TopicKind if self._has(kind)}
        if fault.disturbs != "all" and disturbed:
            row.problems.append(f"disturbed as well: {', '.join(sorted(map(str, disturbed)))}")

    def _epochs(self) -> dict[str, int]:
        return {node.path: node.epoch for node in nodes(self.connector.tree.snapshot())}

    @property
    def lost(self) -> int:
        return sum(witness.lost for witness in self.witnesses)

    @property
    def filled(self) -> int:
        return sum(witness.filled for witness in self.witnesses)

    def _whole(self) -> bool:
        topics = self.venue.snapshot().topics
        return (
            all(node.state == "running" and not node.failures for node in nodes(self.connector.tree.snapshot()))
            and all(topic.state is TopicState.LIVE for topic in topics)
            and all(witness.book is BookState.VALID for witness in self.witnesses if witness.is_book)
        )

    def _calm(self) -> None:
        """Wait until nothing has been disturbed for `calm_s`; longer than every backoff needs to start over."""
        since_s = time.monotonic()

        def calm() -> bool:
            last_s = max(self.board.changes[-1].at_s if self.board.changes else 0.0, since_s)
            return self._whole() and time.monotonic() - last_s >= self.calm_s

        self._wait("whole again", calm)

    def _rest(self) -> None:
        """Wait until the books have settled; a wait that fails shows as a figure that does not hold."""

        def rested() -> bool:
            last_s = max((c.at_s for c in self.board.changes if isinstance(c.state, BookState)), default=0.0)
            return time.monotonic() - last_s >= self.rest_s

        self.teller.rest("calm, until the books have settled")
        with suppress(Overdue):
            self._wait("books settled", rested)

    def _wait(self, what: str, found: Callable[[], Any]) -> Any:
        return self.board.wait(what, found, PATIENCE_S)

    def _has(self, kind: TopicKind) -> bool:
        return any(witness.topic.kind is kind for witness in self.witnesses)

    def first(self, kind: TopicKind) -> Witness:
        """The first symbol's witness of a kind."""
        return next(witness for witness in self.witnesses if witness.topic.kind is kind)

    # ------------------------------------------------------------ pieces of faults

    def outage(self, row: FaultRow, began_s: float, ended_s: float | None = None) -> None:
        """Data stops and comes back: noticed with the first stale topic, back with the last fast topic that is live again."""
        topics = [witness.topic for witness in self.witnesses]

        def first_stale() -> float | None:
            found = (self.board.change(topic, began_s, TopicState.STALE) for topic in topics)
            return min((change.at_s for change in found if change is not None), default=None)

        stale_s = self._wait("a topic marked stale", first_stale)
        row.noticed_s = stale_s - began_s
        self.teller.say(f"noticed after {seconds(row.noticed_s)}: topics are marked stale, books are not handed out")
        back_s = max(self._back_s(witness.topic, began_s) for witness in self.fast)
        row.back_s = back_s - (began_s if ended_s is None else ended_s)

    def _back_s(self, topic: Topic, began_s: float) -> float:
        """When a topic was live again after it had gone stale."""
        gone: Change = self._wait(f"{topic} stale", lambda: self.board.change(topic, began_s, TopicState.STALE))
        live: Change = self._wait(f"{topic} live", lambda: self.board.change(topic, gone.at_s, TopicState.LIVE))
        return live.at_s

    def crash(self, ref: StableRef) -> float:
        """Let an actor crash as if its own code had raised; returns when that was."""
        context = ref.proxy().context.get(timeout=5.0)
        at_s = time.monotonic()
        context.crash(Killed("killed by the storm"))
        return at_s

    def await_restart(self, row: FaultRow, path: str, at_s: float) -> None:
        ended = self._wait(f"the end of {path}", lambda: self.board.event(EventKind.ENDED, path, at_s))
        row.noticed_s = ended.at_s - at_s
        started = self._wait(f"the next {path}", lambda: self.board.event(EventKind.STARTED, path, at_s))
        row.restarted_s = started.at_s - at_s

    def ask_server_time(self) -> None:
        self.venue.ask(ServerTimeQuery(), PATIENCE_S)


# ---------------------------------------------------------------------------------------------------- the faults


def _kill_with_data(find: Callable[[Storm], StableRef]) -> Callable[[Storm, FaultRow], None]:
    """Kill an actor whose end stops the data."""

    def run(storm: Storm, row: FaultRow) -> None:
        ref = find(storm)
        at_s = storm.crash(ref)
        storm.await_restart(row, ref.path, at_s)
        noticed_s = row.noticed_s
        storm.outage(row, at_s)
        row.noticed_s = noticed_s

    return run


def _kill_and_ask(
    find: Callable[[VenueHandle], StableRef], ask: Callable[[Storm], object]
) -> Callable[[Storm, FaultRow], None]:
    """Kill an actor that answers questions; the one asked right behind the crash is answered by the next incarnation."""

    def run(storm: Storm, row: FaultRow) -> None:
        ref = find(storm.venue)
        at_s = storm.crash(ref)
        ask(storm)
        row.back_s = time.monotonic() - at_s
        storm.await_restart(row, ref.path, at_s)

    return run


def _ask_instrument(storm: Storm) -> None:
    storm.venue.instrument(storm.witnesses[0].topic.symbol, PATIENCE_S)


def _ask_order(storm: Storm) -> None:
    try:
        storm.venue.orders.ask("is anybody there?", timeout=PATIENCE_S)
    except Unsupported:
        return  # the declared answer of this version
    raise Overdue("the orders actor answered something it should refuse")


def _crash_in_start(storm: Storm, row: FaultRow) -> None:
    storm.door.refuse = FAILING_STARTS
    path = storm.venue.rest.path
    at_s = storm.crash(storm.venue.rest)
    storm.ask_server_time()
    row.back_s = time.monotonic() - at_s
    storm.await_restart(row, path, at_s)
    row.restarted_s = None
    failed = [
        event
        for event in storm.board.events
        if event.kind is EventKind.ENDED
        and event.path == path
        and event.at_s >= at_s
        and event.reason is not None
        and event.reason.kind is EndKind.START_FAILED
    ]
    if len(failed) != FAILING_STARTS:
        row.problems.append(f"{len(failed)} starts failed, expected {FAILING_STARTS}")


def _hang(storm: Storm, row: FaultRow) -> None:
    path = storm.venue.rest.path
    storm.door.block = True
    at_s = time.monotonic()
    stuck = storm.venue.rest.ask(ServerTimeQuery(), block=False)
    hung = storm._wait("the watchdog's word", lambda: storm.board.event(EventKind.HUNG, path, at_s))
    row.noticed_s = hung.at_s - at_s
    storm.teller.say(f"the watchdog noticed after {seconds(row.noticed_s)}; interrupt, grace, then fenced and replaced")
    storm.ask_server_time()
    row.back_s = time.monotonic() - at_s
    storm._wait("the hung thread cut off", lambda: storm.board.event(EventKind.ABANDONED, path, at_s))
    try:
        stuck.get(timeout=5.0)
    except pykka.ActorDeadError:
        storm.teller.say("the asker behind the hung actor was told: restarted, effect unknown")
    storm.door.release()
    storm._wait("the hung thread's end", lambda: storm.board.event(EventKind.RETURNED, path, at_s))


def _cut(**arguments: Any) -> Callable[[Storm, FaultRow], None]:
    def run(storm: Storm, row: FaultRow) -> None:
        at_s = time.monotonic()
        storm.exchange.fault("cut", **arguments)
        storm.outage(row, at_s)

    return run


def _half_open(storm: Storm, row: FaultRow) -> None:
    at_s = time.monotonic()
    storm.exchange.fault("half_open", on=True)
    storm.outage(row, at_s)


def _refuse_upgrade(storm: Storm, row: FaultRow) -> None:
    storm.exchange.fault("refuse_upgrade", status=502, for_s=REFUSED_S)
    at_s = time.monotonic()
    storm.exchange.fault("cut")
    storm.outage(row, at_s, at_s + REFUSED_S)


def _silence(storm: Storm, row: FaultRow) -> None:
    witness = storm.first(TopicKind.TRADES)
    topic, stream = witness.topic, f"{witness.venue_name.lower()}@trade"
    at_s = time.monotonic()
    storm.exchange.fault("silence", stream=stream)
    stale = storm._wait(f"{topic} marked stale", lambda: storm.board.change(topic, at_s, TopicState.STALE))
    row.noticed_s = stale.at_s - at_s
    storm.teller.say(f"noticed after {seconds(row.noticed_s)}: {stale.reason}")
    ended_s = time.monotonic()
    storm.exchange.fault("unsilence", stream=stream)
    live = storm._wait(f"{topic} live", lambda: storm.board.change(topic, stale.at_s, TopicState.LIVE))
    row.back_s = live.at_s - ended_s


def _lost_delta(storm: Storm, row: FaultRow) -> None:
    witness = storm.first(TopicKind.BOOK)
    topic = witness.topic
    at_s = time.monotonic()
    storm.exchange.fault("deltas", symbol=witness.venue_name, lost=1)
    void = storm._wait(
        f"{topic} not valid", lambda: storm.board.change(topic, at_s, BookState.INVALID, BookState.SYNCING)
    )
    row.noticed_s = void.at_s - at_s
    storm.teller.say(f"noticed after {seconds(row.noticed_s)}: {void.reason}")
    valid = storm._wait(f"{topic} valid", lambda: storm.board.change(topic, void.at_s, BookState.VALID))
    row.back_s = valid.at_s - at_s


def _rest_5xx(storm: Storm, row: FaultRow) -> None:
    storm.exchange.fault("rest_error", status=503)
    at_s = time.monotonic()
    try:
        storm.ask_server_time()
    except RetryLater as later:
        row.noticed_s = time.monotonic() - at_s
        storm.teller.say(f"the asker was told after {seconds(row.noticed_s)}: {type(later).__name__}")
    else:
        row.problems.append("a question was answered although the exchange answers 503 to everything")
    storm.exchange.fault("clear")
    ended_s = time.monotonic()
    storm.ask_server_time()
    row.back_s = time.monotonic() - ended_s


def _announced_end(storm: Storm, row: FaultRow) -> None:
    def rollovers() -> int:
        return storm.venue.snapshot().counters.get("stream.rollovers", 0)

    def changed_over() -> bool:
        status: StreamStatus = storm.venue.stream.ask(StreamStatus, timeout=5.0)
        return status.connections == status.open == 1 and status.confirmed == status.wanted

    before = rollovers()
    at_s = time.monotonic()
    storm.exchange.fault("server_shutdown")
    storm._wait("a second connection", lambda: rollovers() > before)
    row.noticed_s = time.monotonic() - at_s
    storm.teller.say("a second connection is opened beside the first; both deliver, duplicates are dropped")
    storm._wait("the change of connection", changed_over)
    row.back_s = time.monotonic() - at_s


def nodes(root: ChildSnapshot) -> Iterator[ChildSnapshot]:
    """An actor and everything below it."""
    yield root
    for child in root.children:
        yield from nodes(child)


NOTICE_S, RESTART_S, RESET_S, REBUILD_S = 0.1, 0.1, 1.0, 1.0
"""A crash is noticed, and the next incarnation is up, within a tenth of a second; data is back a second after a
reset. A root supervisor that died is rebuilt within a second."""

FAULTS: tuple[Fault, ...] = (
    Fault(
        "kill-rest", "kill the REST actor", NOTICE_S, RESTART_S, RESET_S,
        _kill_and_ask(lambda venue: venue.rest, Storm.ask_server_time), frozenset({"rest"}), "none",
    ),
    Fault(
        "kill-state", "kill the state actor", NOTICE_S, RESTART_S, RESET_S,
        _kill_and_ask(lambda venue: venue.state, _ask_instrument), frozenset({"state"}), "none",
    ),
    Fault(
        "kill-orders", "kill the orders actor", NOTICE_S, RESTART_S, RESET_S,
        _kill_and_ask(lambda venue: venue.orders, _ask_order), frozenset({"orders"}), "none",
    ),
    Fault(
        "kill-stream", "kill the stream actor", NOTICE_S, RESTART_S, RESET_S,
        _kill_with_data(lambda storm: storm.venue.stream), frozenset({"stream"}), rested=True,
    ),
    Fault(
        "crash-in-start", f"crash in start, {FAILING_STARTS} times", NOTICE_S, None, 0.5 + 1.0 + 2.0 + 1.0,
        _crash_in_start, frozenset({"rest"}), "none",
    ),
    Fault("rest-5xx", "503 to every request", 10.0, None, 1.0, _rest_5xx, disturbs="none"),
    Fault("cut", "reset the connection", RESET_S, None, RESET_S, _cut(), rested=True),
    Fault("hang", "hang an actor, deaf to interrupts", 10.0, None, 10.0, _hang, frozenset({"rest"}), "none"),
    Fault(
        "kill-exchange", "kill the exchange actor, all below it", NOTICE_S, RESTART_S, RESET_S,
        _kill_with_data(lambda storm: storm.venue.exchange), frozenset({"*"}), rested=True,
    ),
    Fault(
        "kill-root", "kill the root supervisor", NOTICE_S, REBUILD_S, REBUILD_S + RESET_S,
        _kill_with_data(lambda storm: storm.connector.tree.root), frozenset({"*"}),
    ),
    Fault("silence", "one topic silent, the others flow", 10.0, None, 1.0, _silence, disturbs="first"),
    Fault("lost-delta", "lose one change of a book", 1.0, None, 2.0, _lost_delta, disturbs="first", rested=True),
    Fault("half-open", "no byte passes, the socket stays open", 15.0, None, 15.0, _half_open),
    Fault(
        "refuse-upgrade", f"reset, then refuse upgrades for {REFUSED_S:g} s", RESET_S, None, 30.0, _refuse_upgrade
    ),
    Fault(
        "announced-end", "the exchange announces the end", 1.0, None, 5.0, _announced_end, disturbs="none"
    ),
    Fault("cut-torn", "reset inside a frame", RESET_S, None, RESET_S, _cut(at_byte=97), rested=True),
)  # fmt: skip
