"""Which faults happen when: drawn from a seed, played at one exchange and its client, and made shorter when a run fails.

A script is a tuple of `Fault` values, plain enough to be written into a test. What a fault is about (which topic, symbol or
connection) is not a name but a number, `pick`: it chooses among what is there when the fault begins, so that a script says
nothing about an exchange, and means the same when other faults are left out. Every fault can be undone, so that after `Storm.end`
nothing is wrong any more: what lasts has an end of its own, and `end` ends all of it. Faults that forbid an end within a minute
(a revoked key, a ban of two minutes, a subscription the venue calls invalid) are no kinds of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from connector.simulator.hub import Topic
from connector.supervision import StableRef
from connector.testing.killing import crash
from connector.testing.simulation.far_side import MemoryExchange
from connector.testing.simulation.mishaps import ERRORS, Mishaps

__all__ = ["ACTORS", "KINDS", "Fault", "Script", "Storm", "draw", "shrink"]

ACTORS = ("exchange", "rest", "state", "stream", "orders")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        at_s: when it begins, from the start of the storm.
        kind: see `KINDS`.
        lasts_s: until it is undone; 0 for what happens in a moment.
        pick: in [0, 1): what it is about, among what is there.
        arguments: the rest, by name; texts, numbers and truth values only.
    """

    at_s: float
    kind: str
    lasts_s: float = 0.0
    pick: float = 0.0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")


Script = tuple[Fault, ...]
Undo = Callable[[], object]


@dataclass(frozen=True)
class Kind:
    """How a kind of fault is drawn and begun. `lasts_s`: least and most; None for what happens in a moment.

    `begin` returns what undoes it, or None when nothing is left to undo. `orders`: it concerns accounts only.
    """

    begin: Callable[[Storm, Fault], Undo | None]
    draw: Callable[[random.Random], dict[str, Any]] = lambda chance: {}
    lasts_s: tuple[float, float] | None = None
    orders: bool = False


class Storm:
    """Plays a script at one exchange and the venue that uses it.

    Args:
        actor: the reference of an actor of the venue, by its place in `ACTORS`.
        account: whose orders faults are about; "" when there is none.

    Attributes:
        happened: how often each kind really began.
    """

    def __init__(
        self,
        far: MemoryExchange,
        mishaps: Mishaps,
        actor: Callable[[str], StableRef],
        account: str = "",
    ) -> None:
        self.far, self.mishaps, self.actor, self.account = far, mishaps, actor, account
        self.happened: Counter[str] = Counter()
        self._pending: dict[int, Undo] = {}
        self._number = 0
        self._over = False

    def play(self, script: Script) -> None:
        """Begin: from now on each fault comes at its time."""
        for fault in script:
            self.far.runtime.call_later(fault.at_s, lambda fault=fault: self._begin(fault))  # type: ignore[misc]

    def _begin(self, fault: Fault) -> None:
        if self._over:
            return
        self.happened[fault.kind] += 1
        undo = KINDS[fault.kind].begin(self, fault)
        if undo is None:
            return
        self._number += 1
        number = self._number
        self._pending[number] = undo
        self.far.runtime.call_later(fault.lasts_s, lambda: self._undo(number))

    def _undo(self, number: int) -> None:
        undo = self._pending.pop(number, None)
        if undo is not None:
            undo()

    def end(self) -> None:
        """Everything is well again, and no fault of the script comes any more."""
        self._over = True
        for number in list(self._pending):
            self._undo(number)
        self.mishaps.disarm()
        self.far.paused = False
        self.far.faults.clear()

    # ---------------------------------------------------------------- what there is

    def topic(self, pick: float) -> Topic | None:
        """One of the topics somebody is subscribed to."""
        topics = sorted(self.far.exchange.hub.wanted(), key=lambda topic: topic.name)
        return topics[int(pick * len(topics))] if topics else None

    def symbol(self, pick: float) -> str:
        """One of the symbols that are listed."""
        symbols = list(self.far.exchange.markets)
        return symbols[int(pick * len(symbols))]

    def path(self, actor: str) -> str:
        """Where an actor stands in the tree."""
        return self.actor(actor).path


# ---------------------------------------------------------------- the network


def _cut(storm: Storm, fault: Fault) -> None:
    storm.far.faults.cut(**fault.arguments)


def _cut_one(storm: Storm, fault: Fault) -> None:
    wires = storm.far.front.select("ws")
    if wires:
        wires[int(fault.pick * len(wires))].reset()


def _half_open(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.half_open(**fault.arguments)
    return lambda: storm.far.faults.half_open(on=False, scope="all")


def _half_open_one(storm: Storm, fault: Fault) -> Undo | None:
    wires = storm.far.front.select("ws")
    if not wires:
        return None
    wire, direction = wires[int(fault.pick * len(wires))], fault.arguments["direction"]
    wire.hold(inbound=direction != "out", outbound=direction != "in")
    return wire.release


def _delay(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.delay(**fault.arguments)
    return lambda: storm.far.faults.delay(0.0)


def _bandwidth(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.bandwidth(**fault.arguments)
    return lambda: storm.far.faults.bandwidth(0.0)


def _refuse_connect(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.refuse_connect()
    return storm.far.accept_connections


def _outage(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.refuse_connect()
    storm.far.faults.cut(scope="all")
    return storm.far.accept_connections


def _swizzle(storm: Storm, fault: Fault) -> Undo | None:
    """Hold connections one by one in one order, release them in another."""
    wires = storm.far.front.select("ws")
    if not wires:
        return None
    chance = random.Random(fault.pick)
    runtime = storm.far.runtime
    for wire in chance.sample(wires, len(wires)):
        runtime.call_later(chance.random() * fault.lasts_s / 2, wire.hold)
        runtime.call_later(fault.lasts_s * (0.5 + chance.random() / 2), wire.release)
    return lambda: [wire.release() for wire in wires]


def _until_undone(name: str) -> Callable[[Storm, Fault], None]:
    """A fault that the simulator ends by itself after `lasts_s`."""

    def begin(storm: Storm, fault: Fault) -> None:
        getattr(storm.far.faults, name)(for_s=fault.lasts_s, **fault.arguments)

    return begin


def _at_once(name: str) -> Callable[[Storm, Fault], None]:
    def begin(storm: Storm, fault: Fault) -> None:
        getattr(storm.far.faults, name)(**fault.arguments)

    return begin


def _figure(name: str, nothing: float) -> Callable[[Storm, Fault], Undo]:
    """A figure that is one thing during the fault and another after it."""

    def begin(storm: Storm, fault: Fault) -> Undo:
        change = getattr(storm.far.faults, name)
        change(*fault.arguments.values())
        return lambda: change(nothing)

    return begin


# ---------------------------------------------------------------- topics


def _silence(storm: Storm, fault: Fault) -> Undo | None:
    topic = storm.topic(fault.pick)
    if topic is None:
        return None
    storm.far.faults.silence(topic.name)
    return lambda: storm.far.faults.unsilence(topic.name)


def _silence_all(storm: Storm, fault: Fault) -> Undo:
    storm.far.faults.silence()
    return storm.far.faults.unsilence


def _frozen(storm: Storm, fault: Fault) -> Undo | None:
    topic = storm.topic(fault.pick)
    if topic is None:
        return None
    storm.far.faults.frozen(topic.name)
    return lambda: storm.far.faults.frozen(topic.name, False)


def _frames(storm: Storm, fault: Fault) -> None:
    topic = storm.topic(fault.pick)
    if topic is not None:
        storm.far.faults.frames(topic.name, **fault.arguments)


def _deltas(storm: Storm, fault: Fault) -> None:
    storm.far.faults.deltas(storm.symbol(fault.pick), **fault.arguments)


def _stale_snapshot(storm: Storm, fault: Fault) -> None:
    storm.far.faults.stale_snapshot(storm.symbol(fault.pick), **fault.arguments)


def _malformed(storm: Storm, fault: Fault) -> None:
    topic = storm.topic(fault.pick)
    storm.far.faults.malformed(fault.arguments["what"], stream=None if topic is None else topic.name)


def _service_restart(storm: Storm, fault: Fault) -> None:
    with suppress(ValueError):  # nothing of the kind is known of that venue
        storm.far.faults.service_restart(storm.symbol(fault.pick))


def _halt(storm: Storm, fault: Fault) -> Undo:
    symbol = storm.symbol(fault.pick)
    storm.far.faults.symbol_status(symbol)
    return lambda: storm.far.faults.symbol_status(symbol, "TRADING")


def _quiet_market(storm: Storm, fault: Fault) -> Undo:
    storm.far.paused = True
    return lambda: setattr(storm.far, "paused", False)


def _terminated(storm: Storm, fault: Fault) -> None:
    if storm.account:
        storm.far.faults.stream_terminated(storm.account)


# ---------------------------------------------------------------- clocks


def _wall_step(storm: Storm, fault: Fault) -> None:
    storm.far.runtime.clock.step_wall(fault.arguments["s"])


def _sleep(storm: Storm, fault: Fault) -> None:
    """The machine sleeps: for the rest of the world it is cut off and silent, and UTC has gone on when it wakes."""
    storm.far.runtime.clock.suspend(fault.arguments["s"])
    storm.far.faults.cut(scope="all")


# ---------------------------------------------------------------- inside


def _crash(storm: Storm, fault: Fault) -> None:
    with suppress(LookupError):  # it may be between two incarnations
        crash(storm.actor(fault.arguments["actor"]), ERRORS[fault.arguments["error"]]())


def _crash_inside(storm: Storm, fault: Fault) -> None:
    actor, where = fault.arguments["actor"], fault.arguments["where"]
    storm.mishaps.arm(storm.path(actor), where, fault.arguments["calls"], fault.arguments["error"])
    if where != "run":  # it has to end to start, or to clean up
        with suppress(LookupError):
            crash(storm.actor(actor))


def _crash_at_message(storm: Storm, fault: Fault) -> None:
    ref = storm.actor(fault.arguments["actor"])
    storm.mishaps.fail_at_message(ref, fault.arguments["error"], handled=fault.arguments["handled"])


def _stall(storm: Storm, fault: Fault) -> None:
    storm.mishaps.stall(storm.actor(fault.arguments["actor"]), fault.arguments["s"])


def _store_fails(storm: Storm, fault: Fault) -> Undo:
    storm.mishaps.store_fails = True
    return lambda: setattr(storm.mishaps, "store_fails", False)


# ---------------------------------------------------------------- the table

Chance = random.Random
_CALLS = ("orders", "orders", "queries", "all")
_MALFORMED = (
    *("cut", "not_json", "empty", "nan_text", "unknown_event", "unknown_field", "missing_field", "changed_type"),
    *("null", "number", "bad_utf8", "reserved_bits", "fragmented", "huge_integer"),
)


def _some(chance: Chance) -> dict[str, Any]:
    """Lost, doubled or out of order, a few times."""
    return {chance.choice(("lost", "doubled", "reordered")): chance.choice((1, 1, 2, 5))}


def _part(chance: Chance) -> dict[str, Any]:
    return {"share": chance.choice((0.2, 0.5, 1.0)), "only": chance.choice(_CALLS)}


def _way(chance: Chance) -> dict[str, Any]:
    return _part(chance) | {"how": chance.choice(("cut", "silence"))}


def _seconds(least: float, most: float) -> Callable[[Chance], dict[str, Any]]:
    return lambda chance: {"s": round(chance.uniform(least, most), 3)}


def _late(chance: Chance) -> dict[str, Any]:
    return _part(chance) | {"s": 0.1, "most_s": chance.choice((1.0, 4.0, 12.0))}


def _event(chance: Chance) -> dict[str, Any]:
    return {"share": chance.choice((0.1, 0.5, 1.0))}


def _error(chance: Chance) -> str:
    return chance.choice(("Mishap", "Mishap", *ERRORS))


KINDS: dict[str, Kind] = {
    "cut": Kind(_cut, lambda chance: {"scope": chance.choice(("ws", "rest", "all"))}),
    "cut one": Kind(_cut_one),
    "cut within bytes": Kind(_cut, lambda chance: {"scope": "ws", "at_byte": chance.randrange(1, 3_000)}),
    "half-open": Kind(
        _half_open,
        lambda chance: {
            "direction": chance.choice(("both", "in", "out")),
            "scope": chance.choice(("ws", "ws", "rest", "all")),
            "new_connections": chance.random() < 0.3,
        },
        (1.0, 40.0),
    ),
    "half-open one": Kind(_half_open_one, lambda chance: {"direction": chance.choice(("both", "in", "out"))}, (1, 40)),
    "swizzle": Kind(_swizzle, lasts_s=(4.0, 30.0)),
    "late": Kind(
        _delay, lambda chance: {"s": chance.choice((0.0, 0.2, 1.5)), "jitter_s": chance.random()}, (1.0, 30.0)
    ),
    "slow": Kind(_bandwidth, lambda chance: {"bytes_per_s": chance.choice((2_000, 10_000))}, (1.0, 20.0)),
    "connections refused": Kind(_refuse_connect, lasts_s=(1.0, 40.0)),
    "outage": Kind(_outage, lasts_s=(1.0, 40.0)),
    "upgrade refused": Kind(
        _until_undone("refuse_upgrade"),
        lambda chance: {"status": chance.choice((301, 400, 403, 404, 500, 502, 503, 504))},
        (1.0, 30.0),
    ),
    "upgrade hangs": Kind(_until_undone("hang_upgrade"), lasts_s=(1.0, 30.0)),
    "closed on open": Kind(_until_undone("close_on_open"), lasts_s=(1.0, 20.0)),
    "closed": Kind(
        _at_once("close"), lambda chance: {"code": chance.choice((1000, 1001, 1006, 1008, 1011, 1012, 3000))}
    ),
    "shutdown announced": Kind(_at_once("server_shutdown")),
    "topic silent": Kind(_silence, lasts_s=(5.0, 60.0)),
    "all silent": Kind(_silence_all, lasts_s=(5.0, 40.0)),
    "topic frozen": Kind(_frozen, lasts_s=(2.0, 30.0)),
    "quiet market": Kind(_quiet_market, lasts_s=(5.0, 40.0)),
    "halt": Kind(_halt, lasts_s=(2.0, 20.0)),
    "frames": Kind(_frames, _some),
    "deltas": Kind(_deltas, _some),
    "stale snapshot": Kind(_stale_snapshot, lambda chance: {"updates": chance.choice((1, 20, 300)), "count": 2}),
    "service restart": Kind(_service_restart),
    "malformed": Kind(_malformed, lambda chance: {"what": chance.choice(_MALFORMED)}),
    "acks lost": Kind(_until_undone("drop_ack"), lambda chance: {"count": chance.choice((1, 3, None))}, (1.0, 20.0)),
    "acks late": Kind(_figure("delay_ack", 0.0), _seconds(0.2, 12.0), (1.0, 20.0)),
    "REST errors": Kind(
        _until_undone("rest_error"), lambda chance: {"status": chance.choice((500, 502, 503, 504))}, (1.0, 40.0)
    ),
    "REST 429": Kind(
        _until_undone("rest_error"),
        lambda chance: {"status": 429, "retry_after_s": chance.choice((1, 5, 20)), "count": 1},
        (1.0, 20.0),
    ),
    "REST late": Kind(_figure("rest_delay", 0.0), _seconds(0.1, 12.0), (1.0, 20.0)),
    "REST cut": Kind(_at_once("rest_cut"), lambda chance: {"at_byte": 20, "count": chance.choice((1, 5))}),
    "requests lost": Kind(_until_undone("request_lost"), _way, (2.0, 30.0), True),
    "answers lost": Kind(_until_undone("answer_lost"), _way, (2.0, 30.0), True),
    "requests late": Kind(_until_undone("request_late"), _late, (2.0, 30.0), True),
    "answers late": Kind(_until_undone("answer_late"), _late, (2.0, 30.0), True),
    "answers wrong": Kind(
        _until_undone("answer_error"),
        lambda chance: _part(chance) | {"status": chance.choice((502, 503, 504)), "done": chance.random() < 0.5},
        (2.0, 30.0),
        True,
    ),
    "id called in use": Kind(_until_undone("duplicate_id"), lambda chance: {"count": 1}, (2.0, 20.0), True),
    "queries behind": Kind(_figure("visibility_delay", 0.0), _seconds(0.2, 2.9), (2.0, 30.0), True),
    "fills split": Kind(_figure("fills_split", 1), lambda chance: {"parts": chance.choice((2, 4))}, (2.0, 40.0), True),
    "fill before cancel": Kind(
        _until_undone("fill_before_cancel"), lambda chance: {"part": chance.choice((0.5, 1.0))}, (2.0, 40.0), True
    ),
    "events lost": Kind(_until_undone("events_lost"), _event, (1.0, 20.0), True),
    "events doubled": Kind(_until_undone("events_doubled"), _event, (1.0, 20.0), True),
    "events swapped": Kind(_until_undone("events_swapped"), _event, (1.0, 20.0), True),
    "events late": Kind(
        _until_undone("events_late"), lambda chance: _event(chance) | {"s": 0.1, "most_s": 5.0}, (1.0, 20.0), True
    ),
    "events after answers": Kind(_figure("events_after_answers", 0.0), _seconds(0.02, 1.0), (2.0, 40.0), True),
    "session cut": Kind(_at_once("session_cut"), orders=True),
    "events ended": Kind(_terminated, orders=True),
    "wall clock step": Kind(_wall_step, lambda chance: {"s": chance.choice((-86_400, -3_600, -1, 1, 3_600, 86_400))}),
    "machine sleeps": Kind(_sleep, _seconds(1.0, 600.0)),
    "crash": Kind(_crash, lambda chance: {"actor": chance.choice(ACTORS), "error": _error(chance)}),
    "crash inside": Kind(
        _crash_inside,
        lambda chance: {
            "actor": chance.choice(ACTORS[1:]),
            "where": chance.choice(("start", "run", "run", "stop")),
            "calls": chance.choice((1, 2, 3, 5, 8, 13)),
            "error": _error(chance),
        },
    ),
    "crash at message": Kind(
        _crash_at_message,
        lambda chance: {
            "actor": chance.choice(ACTORS[1:]),
            "error": _error(chance),
            "handled": chance.random() < 0.5,
        },
    ),
    "stall": Kind(_stall, lambda chance: {"actor": chance.choice(ACTORS[1:]), "s": round(chance.uniform(0.1, 8.0), 3)}),
    "store fails": Kind(_store_fails, lasts_s=(0.5, 10.0), orders=True),
}
"""Every kind of fault by its name."""


def draw(
    chance: random.Random, *, lasts_s: float, most: int = 8, orders: bool = True, without: Sequence[str] = ()
) -> Script:
    """Some faults over so many seconds, the earliest first. `orders`: there is an account to hurt.

    Of ten scripts about nine have two kinds of faults or more.
    """
    kinds = [name for name, kind in KINDS.items() if (orders or not kind.orders) and name not in without]
    faults = []
    for _ in range(chance.choice((1, *range(2, most + 1)))):
        name = chance.choice(kinds)
        kind = KINDS[name]
        length = 0.0 if kind.lasts_s is None else round(chance.uniform(*kind.lasts_s), 3)
        at_s = round(chance.uniform(0.0, lasts_s), 3)
        faults.append(Fault(at_s, name, length, round(chance.random(), 6), kind.draw(chance)))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def shrink(script: Script, fails: Callable[[Script], bool]) -> Script:
    """The script without the faults it fails without: halves are left out first, then smaller parts, then single ones.

    Args:
        fails: plays a script, and says whether it still fails in the same way.
    """
    size = max(1, len(script) // 2)
    while True:
        at = 0
        while at < len(script):
            shorter = script[:at] + script[at + size :]
            if shorter != script and fails(shorter):
                script = shorter
            else:
                at += size
        if size == 1:
            return script
        size = max(1, size // 2)
