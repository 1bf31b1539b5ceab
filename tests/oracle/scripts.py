"""Crash scripts: a supervision tree, faults waiting in its children's starts, and what happens to it one by one.

Pure values and a seeded generator: the same seed gives the same scripts on every Python, because only
`random.Random.random` is used, whose sequence is guaranteed. Nothing here runs a script; `otp_oracle.erl` runs them on
OTP's supervisor, `ours.py` on ours. Paths are "a" or "s/a", the root supervisor being "".

Events, as tuples:
    ("end", path, how)                  a child ends by itself: normal, shutdown or crash
    ("together", sup, ((id, how), ...)) several do, before their supervisor looks at the first
    ("meanwhile", path, how, events)    as end; its next start fails, and `events` come before the one after that
    ("fail", path, n), ("ignore", path, n)   its next n starts fail, or decline
    ("terminate" | "restart" | "delete", sup, id), ("start", sup, Child)     requests by hand
    ("tick", seconds)                   time passes
    ("align", ms)                       wait for a place within the second of OTP's clock; nothing to do for ours
    ("stop",)                           the root is asked to stop
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

__all__ = ["KINDS", "SCRIPTS", "Child", "Script", "Sup", "to_erlang"]

T = TypeVar("T")

SEED = 20261
LONG_S = 3600  # a window that never slides within a script
ONE, ALL, REST = "one_for_one", "one_for_all", "rest_for_one"
STRATEGIES = (ONE, ALL, REST)
PERMANENT, TRANSIENT, TEMPORARY = "permanent", "transient", "temporary"
MIXED = (PERMANENT, PERMANENT, TRANSIENT, TEMPORARY)


@dataclass(frozen=True, slots=True)
class Sup:
    strategy: str = ONE
    intensity: int = 3
    period: int = LONG_S
    auto_shutdown: str = "never"
    children: "tuple[Child, ...]" = ()


@dataclass(frozen=True, slots=True)
class Child:
    id: str
    restart: str = PERMANENT
    significant: bool = False
    sup: Sup | None = None


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    tree: Sup
    faults: tuple[tuple, ...] = ()
    events: tuple[tuple, ...] = ()

    def __str__(self) -> str:
        lines = [f"script {self.name}", *_picture(self.tree, "  ")]
        lines += [f"  before the start: {_words(fault)}" for fault in self.faults]
        return "\n".join(lines + [f"  {number}. {_words(event)}" for number, event in enumerate(self.events, 1)])


def _picture(sup: Sup, indent: str) -> Iterator[str]:
    auto = "" if sup.auto_shutdown == "never" else f", auto_shutdown {sup.auto_shutdown}"
    yield f"{indent}{sup.strategy}, at most {sup.intensity} restarts in {sup.period} s{auto}"
    for child in sup.children:
        yield f"{indent}  {child.id} {child.restart}{' significant' if child.significant else ''}"
        if child.sup is not None:
            yield from _picture(child.sup, indent + "    ")


def _words(event: tuple) -> str:
    return " ".join(str(part) if part != "" else "root" for part in event)


def to_erlang(value: object) -> str:
    """`value` as an Erlang term: tuples stay tuples but for the lists Erlang wants, texts become atoms."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return f"'{value}'"
        case Script(name, tree, faults, events):
            return f"{{{to_erlang(name)}, {to_erlang(tree)}, {_list(faults)}, {_list(events)}}}"
        case Sup(strategy, intensity, period, auto, children):
            return f"{{{strategy}, {intensity}, {period}, {auto}, {_list(children)}}}"
        case Child(id, restart, significant, sup):
            return f"{{{to_erlang(id)}, {restart}, {to_erlang(significant)}, {to_erlang(sup or 'worker')}}}"
        case ("stop",):
            return "stop"
        case ("together", sup, ends):
            return f"{{together, {to_erlang(sup)}, {_list(ends)}}}"
        case ("meanwhile", path, how, events):
            return f"{{meanwhile, {to_erlang(path)}, {how}, {_list(events)}}}"
        case tuple():
            return f"{{{', '.join(map(to_erlang, value))}}}"
    raise TypeError(f"{value!r} has no place in a script")


def _list(items: tuple) -> str:
    return f"[{', '.join(map(to_erlang, items))}]"


# ------------------------------------------------------------------------------------------------ the generator
class Dice:
    """Choices that need nothing but `random()`."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random

    def one(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def many(self, low: int, high: int) -> range:
        return range(self.number(low, high))

    def number(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low + 1))

    def happens(self, chance: float) -> bool:
        return self.random() < chance


def _child(dice: Dice, id: str, restarts: Sequence[str] = MIXED) -> Child:
    return Child(id, dice.one(restarts))


def _children(dice: Dice, low: int = 1, restarts: Sequence[str] = MIXED) -> tuple[Child, ...]:
    return tuple(_child(dice, id, restarts) for id in "abcde"[: dice.number(low, 5)])


def _ending(dice: Dice, workers: Mapping[str, Child], paths: Sequence[str] = ()) -> tuple:
    """A worker ends by itself. A permanent one never says "shutdown": that is a known difference."""
    path = dice.one(paths or tuple(workers))
    hows = ("crash", "crash", "normal") if workers[path].restart == PERMANENT else ("crash", "normal", "shutdown")
    return ("end", path, dice.one(hows))


def _fault(dice: Dice, paths: Sequence[str], most: int = 3) -> tuple:
    path = dice.one(paths)
    return ("ignore", path, 1) if dice.happens(0.25) else ("fail", path, dice.number(1, most))


def _by_hand(dice: Dice, sup: str, ids: Sequence[str], significant: bool = False) -> tuple:
    request = dice.one(("terminate", "terminate", "restart", "restart", "delete", "start"))
    if request != "start":
        return (request, sup, dice.one((*ids, "f")))
    id = dice.one(("f", "g", dice.one(ids)))
    # Under a known id the script may have it say "shutdown", so there it is not permanent.
    child = _child(dice, id, (TRANSIENT, TEMPORARY) if id in ids else MIXED)
    return ("start", sup, replace(child, significant=significant and child.restart != PERMANENT))


def _workers(sup: Sup, path: str = "") -> dict[str, Child]:
    found: dict[str, Child] = {}
    for child in sup.children:
        below = f"{path}/{child.id}" if path else child.id
        found |= {below: child} if child.sup is None else _workers(child.sup, below)
    return found


def _ends(dice: Dice, strategy: str) -> Script:
    """Children end, and the limit is rarely reached."""
    tree = Sup(strategy, dice.number(3, 5), children=_children(dice))
    workers = _workers(tree)
    return Script("", tree, events=tuple(_ending(dice, workers) for _ in dice.many(3, 8)))


def _starts(dice: Dice, strategy: str) -> Script:
    """Starts fail or are declined, at the supervisor's own start and during restarts."""
    tree = Sup(strategy, dice.number(1, 5), children=_children(dice, 2))
    workers = _workers(tree)
    paths = tuple(workers)
    faults = (_fault(dice, paths, 1),) if dice.happens(0.3) else ()
    events: list[tuple] = []
    for _ in dice.many(2, 5):
        events += [_fault(dice, paths) for _ in dice.many(1, 2)]
        events.append(_ending(dice, workers))
    return Script("", tree, faults, tuple(events))


def _limits(dice: Dice, strategy: str) -> Script:
    """Crash after crash, up to the limit and beyond."""
    tree = Sup(strategy, dice.number(0, 5), children=_children(dice))
    workers = _workers(tree)
    events = [_ending(dice, workers) for _ in dice.many(5, 9)]
    if dice.happens(0.4):
        events.insert(dice.number(0, 3), _fault(dice, tuple(workers), 6))
    return Script("", tree, events=tuple(events))


def _significant(dice: Dice, strategy: str) -> Script:
    """The end of significant children ends their supervisor."""
    children = tuple(
        replace(child, significant=child.restart != PERMANENT and dice.happens(0.7))
        for child in _children(dice, 3, (PERMANENT, TRANSIENT, TEMPORARY))
    )
    tree = Sup(strategy, dice.number(3, 5), LONG_S, dice.one(("any_significant", "all_significant")), children)
    workers = _workers(tree)
    events: list[tuple] = []
    for _ in dice.many(4, 8):
        if dice.happens(0.15):
            events.append(_fault(dice, tuple(workers), 2))
        by_hand = dice.happens(0.2)
        events.append(_by_hand(dice, "", tuple(workers), significant=True) if by_hand else _ending(dice, workers))
    return Script("", tree, events=tuple(events))


def _by_hands(dice: Dice, strategy: str) -> Script:
    """Children are stopped, started, removed and added by hand, between ends and failing starts."""
    tree = Sup(strategy, dice.number(1, 4), children=_children(dice))
    workers = _workers(tree)
    events: list[tuple] = []
    for _ in dice.many(4, 9):
        if dice.happens(0.3):
            events.append(_fault(dice, (*workers, "f"), 2))
        events.append(_by_hand(dice, "", tuple(workers)) if dice.happens(0.7) else _ending(dice, workers))
    return Script("", tree, events=tuple(events))


def _meanwhiles(dice: Dice, strategy: str) -> Script:
    """Requests and other ends while a child waits for its next try. Most of a group's wait is a known difference."""
    # The limit stays out of reach: when a failed start is charged is a known difference too.
    tree = Sup(strategy, 50, children=(_child(dice, "a", (PERMANENT, TRANSIENT)), *_children(dice, 2)[1:]))
    workers = _workers(tree)
    inside = {ONE: _while_one_waits, REST: _while_the_rest_waits, ALL: _while_all_wait}[strategy]
    events: list[tuple] = []
    for _ in dice.many(2, 4):
        victim = dice.one([path for path, child in workers.items() if child.restart != TEMPORARY])
        events.append(("meanwhile", victim, "crash", tuple(inside(dice, workers, victim))))
        if dice.happens(0.4):
            events.append(_ending(dice, workers))
    if dice.happens(0.3):
        events.append(("meanwhile", "a", "crash", (("stop",),)))
    return Script("", tree, events=tuple(events))


def _while_one_waits(dice: Dice, workers: Mapping[str, Child], victim: str) -> Iterator[tuple]:
    others = [path for path in workers if path != victim]
    if dice.happens(0.5):
        yield (dice.one(("terminate", "restart", "delete")), "", victim)
    for _ in dice.many(1, 3):
        if others and dice.happens(0.4):
            end = _ending(dice, workers, others)
            others.remove(end[1])
            yield end
            continue
        request = _by_hand(dice, "", tuple(workers))
        id = request[2].id if request[0] == "start" else request[2]
        if request[0] == "start" and id == victim:
            request = ("delete", "", victim)  # adding it once more is a known difference
        # OTP takes requests after everything that happens here: what one is about ends before it, or not at all.
        others = [path for path in others if path != id]
        yield request


def _while_the_rest_waits(dice: Dice, workers: Mapping[str, Child], victim: str) -> Iterator[tuple]:
    earlier = tuple(path for path in workers if path < victim)
    if earlier and dice.happens(0.5):
        yield _ending(dice, workers, earlier)
        return
    for _ in dice.many(1, 2):
        yield (dice.one(("restart", "delete")), "", victim)
        if earlier:
            yield (dice.one(("terminate", "delete")), "", dice.one(earlier))


def _while_all_wait(dice: Dice, workers: Mapping[str, Child], victim: str) -> Iterator[tuple]:
    for _ in dice.many(1, 2):
        yield (dice.one(("restart", "delete")), "", victim)


def _windows(dice: Dice, strategy: str) -> Script:
    """Restarts become too old to count. No sum of ticks is as long as the window: its edge is a known difference."""
    tree = Sup(strategy, dice.number(1, 3), period=10, children=_children(dice, 1, (PERMANENT, TRANSIENT)))
    workers = _workers(tree)
    events: list[tuple] = []
    for _ in dice.many(6, 10):
        events += [("tick", dice.one((4, 7, 8, 25)))] if dice.happens(0.85) else []
        events += [_fault(dice, tuple(workers), 1)] if dice.happens(0.1) else []
        events.append(("end", dice.one(tuple(workers)), "crash"))
    return Script("", tree, events=tuple(events))


def _nested(dice: Dice, strategy: str) -> Script:
    """Supervisors below the root end, give up and are restarted."""

    def inner(id: str) -> Child:
        restart = dice.one((PERMANENT, PERMANENT, TRANSIENT, TEMPORARY))
        auto = dice.one(("never", "never", "any_significant", "all_significant"))
        children = tuple(
            replace(child, significant=auto != "never" and child.restart != PERMANENT and dice.happens(0.7))
            for child in _children(dice)[:3]
        )
        # A transient supervisor that gave up is a known difference: this one has no limit it could reach.
        intensity = 1000 if restart == TRANSIENT else dice.number(0, 2)
        return Child(id, restart, False, Sup(dice.one(STRATEGIES), intensity, LONG_S, auto, children))

    children = list(_children(dice)[:2])
    for id in "st"[: dice.number(1, 2)]:
        children.insert(dice.number(0, len(children)), inner(id))
    auto = dice.one(("never", "never", "any_significant", "all_significant"))
    children = [
        replace(child, significant=auto != "never" and child.restart != PERMANENT and dice.happens(0.6))
        for child in children
    ]
    tree = Sup(strategy, dice.number(1, 4), LONG_S, auto, tuple(children))
    workers = _workers(tree)
    below = tuple(path for path in workers if "/" in path)
    sups = tuple(child for child in children if child.sup is not None)
    # A child added below is lost when its supervisor is restarted.
    events: list[tuple] = [("start", dice.one(sups).id, Child("f"))] if dice.happens(0.5) else []
    for _ in dice.many(4, 9):
        if dice.happens(0.25):
            events.append(_fault(dice, tuple(workers)))
        if dice.happens(0.25):
            sup = dice.one(sups)
            assert sup.sup is not None
            ids = tuple(child.id for child in sup.sup.children)
            outer = tuple(child.id for child in children)
            where, which = dice.one((("", outer), (sup.id, ids)))
            request = _by_hand(dice, where, which)
            # Adding a child again under the id of a supervisor would make it a worker: keep ids to one kind.
            events.append(request if request[0] != "start" else ("start", where, Child("f", request[2].restart)))
        else:
            events.append(_ending(dice, workers, below if dice.happens(0.7) else ()))
    return Script("", tree, events=tuple(events))


def _togethers(dice: Dice, strategy: str) -> Script:
    """Several children end before their supervisor looks."""
    tree = Sup(strategy, dice.number(1, 5), children=_children(dice, 2))
    workers = _workers(tree)
    events: list[tuple] = []
    for _ in dice.many(2, 4):
        # A failing start among several ends is a known difference under rest_for_one.
        events += [_fault(dice, tuple(workers), 2)] if strategy != REST and dice.happens(0.25) else []
        ends = {end[1]: end[2] for end in (_ending(dice, workers) for _ in dice.many(2, 4))}
        events.append(("together", "", tuple(ends.items())))
    return Script("", tree, events=tuple(events))


KINDS: dict[str, tuple[Callable[[Dice, str], Script], int]] = {
    "ends": (_ends, 90),
    "starts": (_starts, 120),
    "limits": (_limits, 90),
    "significant": (_significant, 75),
    "by_hand": (_by_hands, 90),
    "meanwhile": (_meanwhiles, 60),
    "window": (_windows, 45),
    "nested": (_nested, 90),
    "together": (_togethers, 60),
}


def _generate(seed: int) -> Iterator[Script]:
    for kind, (make, many) in KINDS.items():
        for number in range(many):
            dice = Dice(f"{seed} {kind} {number}")
            script = make(dice, STRATEGIES[number % len(STRATEGIES)])
            last = (("stop",),) if dice.happens(0.3) else ()
            yield replace(script, name=f"{kind}-{number}", events=(*script.events, *last))


SCRIPTS = tuple(_generate(SEED))
