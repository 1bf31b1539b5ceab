"""Child and supervisor specs: OTP's words as frozen, validated values.

Everything is checked when the value is made, so a wrong spec fails before the first child starts. Nothing here
starts, waits or knows a thread. The factory is only kept; it runs on the child's own thread.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from connector.supervision.backoff import Backoff
from connector.supervision.breaker import BreakerSpec
from connector.supervision.errors import SpecError
from connector.supervision.intensity import Intensity

__all__ = [
    "AutoShutdown",
    "Brutal",
    "ChildSpec",
    "InboxPolicy",
    "MailRule",
    "OnLimit",
    "Reaction",
    "Restart",
    "Strategy",
    "SupervisorSpec",
]

DEFAULT_SHUTDOWN_S = 5.0
_BACKOFF, _INTENSITY = Backoff(), Intensity()  # frozen, so one of each serves as everybody's default
DEFAULT_START_TIMEOUT_S = 10.0


class Restart(Enum):
    """When a child is started again after it ended without being asked to."""

    PERMANENT = "permanent"  # always, a normal end included
    TRANSIENT = "transient"  # after an abnormal end only
    TEMPORARY = "temporary"  # never; its spec goes with it


class Strategy(Enum):
    """Who is restarted with a failed child."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(Enum):
    """Whether the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class OnLimit(Enum):
    """What a supervisor does when its restart limit is exceeded."""

    GIVE_UP = "give_up"  # stop all children and end abnormally (OTP)
    PROBE = "probe"  # never end: try what failed every probe_s seconds until it stays up


class MailRule(Enum):
    """What becomes of messages: in a full inbox, over a restart, during backoff."""

    REFUSE = "refuse"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    KEEP = "keep"
    EMPTY = "empty"


class Reaction(Enum):
    """What an exception class means, for `on_error`."""

    RESTART = "restart"  # by restart type, with the child's backoff (the default)
    BACK_OFF = "back_off"  # as RESTART, but not even the first restart is at once
    RESUME = "resume"  # skip the message, keep the state; never applies while starting
    STOP = "stop"  # stop the child, keep its spec
    ESCALATE = "escalate"  # the supervisor gives up


class Brutal(Enum):
    """The type of BRUTAL: do not ask, fence at once."""

    BRUTAL = "brutal"


def _one_of(owner: str, name: str, value: MailRule, *allowed: MailRule) -> None:
    if value not in allowed:
        names = ", ".join(rule.name for rule in allowed)
        raise SpecError(f"{owner}.{name} is {value!r}, expected one of {names}.")


@dataclass(frozen=True, slots=True)
class InboxPolicy:
    """The bound of an inbox and what happens at its edges. Stop, supervision and watch notices never count.

    Args:
        capacity: messages kept (producers that race for the last place may exceed it by one each).
        when_full: REFUSE raises `InboxFull` at the sender; DROP_OLDEST, DROP_NEWEST drop and count.
        over_restart: KEEP hands the queue to the next incarnation in order; EMPTY starts it with none.
        during_backoff: KEEP queues while waiting for a restart; REFUSE raises `NotRunning`; DROP_OLDEST and
            DROP_NEWEST queue, and override `when_full` while waiting.
    """

    capacity: int = 10_000
    when_full: MailRule = MailRule.REFUSE
    over_restart: MailRule = MailRule.KEEP
    during_backoff: MailRule = MailRule.KEEP

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise SpecError(f"InboxPolicy.capacity is {self.capacity}, expected 1 or more.")
        rules = MailRule
        _one_of("InboxPolicy", "when_full", self.when_full, rules.REFUSE, rules.DROP_OLDEST, rules.DROP_NEWEST)
        _one_of("InboxPolicy", "over_restart", self.over_restart, rules.KEEP, rules.EMPTY)
        _one_of(
            "InboxPolicy",
            "during_backoff",
            self.during_backoff,
            rules.KEEP,
            rules.REFUSE,
            rules.DROP_OLDEST,
            rules.DROP_NEWEST,
        )


_INBOX = InboxPolicy()


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child, described before it exists.

    Args:
        id: its name among its siblings, without "/" or "#".
        factory: an actor class, or a callable that returns a `SupervisedActor`. Runs on the child's own thread,
            with `args` and `kwargs`, anew for every incarnation.
        restart: PERMANENT, TRANSIENT or TEMPORARY.
        shutdown_s: seconds it may take to stop; INFINITY waits for ever, BRUTAL does not ask.
            None: 5 s, or INFINITY for a supervisor.
        start_timeout_s: seconds its `__init__` and `on_start` may take. None: 10 s, or INFINITY for a supervisor.
        busy_limit_s: seconds one message may take before the child counts as hung; None switches it off.
        interrupt_grace_s: seconds between `on_interrupt` and giving the thread up.
        significant: its end counts for the supervisor's `auto_shutdown`.
        inbox: bound and policies of its inbox.
        backoff: delays between restarts in a row.
        breaker: slow probing after a crash loop; its failures are not charged to the shared budget while it is open.
        max_restarts: a limit of its own. Its restarts are then charged here, not to the supervisor's budget, and
            when it is exceeded this child alone is given up.
        on_error: exception class to reaction; the nearest class in the exception's own hierarchy wins, then the
            supervisor's table is asked.
        revive: a sibling's group restart starts it again even after it ended normally or was stopped by hand.
        supervisor: the child is a supervisor. None: taken from the factory when that is a class.
        async_exception: opt in to a last try before abandoning a busy thread: an `InterruptedHandler` exception
            is injected into it (only while a handler runs; it may come late or never, and nothing relies on it).
    """

    id: str
    factory: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    restart: Restart = Restart.PERMANENT
    shutdown_s: float | Brutal | None = None
    start_timeout_s: float | None = None
    busy_limit_s: float | None = 10.0
    interrupt_grace_s: float = 1.0
    significant: bool = False
    inbox: InboxPolicy = _INBOX
    backoff: Backoff = _BACKOFF
    breaker: BreakerSpec | None = None
    max_restarts: Intensity | None = None
    on_error: Mapping[type[BaseException], Reaction] = field(default_factory=dict)
    revive: bool = False
    supervisor: bool | None = None
    async_exception: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id or "/" in self.id or "#" in self.id:
            raise SpecError(f"ChildSpec.id is {self.id!r}, expected a non-empty text without '/' or '#'.")
        who = f"child {self.id!r}"
        if not callable(self.factory):
            raise SpecError(f"{who}: factory is {self.factory!r}, expected an actor class or a callable.")
        if not isinstance(self.restart, Restart):
            raise SpecError(f"{who}: restart is {self.restart!r}, expected PERMANENT, TRANSIENT or TEMPORARY.")
        if self.significant and self.restart is Restart.PERMANENT:
            raise SpecError(f"{who}: a permanent child always comes back and cannot be significant.")
        for error, reaction in self.on_error.items():
            _check_rule(who, error, reaction)

        if self.supervisor is None:
            object.__setattr__(self, "supervisor", bool(getattr(self.factory, "is_supervisor", False)))
        if self.shutdown_s is None:
            object.__setattr__(self, "shutdown_s", math.inf if self.supervisor else DEFAULT_SHUTDOWN_S)
        if self.start_timeout_s is None:
            object.__setattr__(self, "start_timeout_s", math.inf if self.supervisor else DEFAULT_START_TIMEOUT_S)
        if not isinstance(self.shutdown_s, Brutal):
            _positive(who, "shutdown_s", self.shutdown_s)
        _positive(who, "start_timeout_s", self.start_timeout_s)
        if self.busy_limit_s is not None:
            _positive(who, "busy_limit_s", self.busy_limit_s)
        if not (0 <= self.interrupt_grace_s < math.inf):
            raise SpecError(f"{who}: interrupt_grace_s is {self.interrupt_grace_s!r}, expected 0 or more, finite.")


def _positive(who: str, name: str, seconds: float | None) -> None:
    if seconds is None or not seconds > 0:
        raise SpecError(f"{who}: {name} is {seconds!r}, expected a positive number of seconds.")


def _check_rule(who: str, error: object, reaction: object) -> None:
    if not (isinstance(error, type) and issubclass(error, BaseException)):
        raise SpecError(f"{who}: on_error names {error!r}, expected exception classes.")
    if not isinstance(reaction, Reaction):
        raise SpecError(f"{who}: on_error maps {error.__name__} to {reaction!r}, expected a Reaction.")


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """One supervisor and the children it starts, in their order.

    Args:
        strategy: ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE.
        intensity: the restart budget shared by all children without a limit of their own.
        children: started one after another in this order, stopped in the reverse.
        auto_shutdown: NEVER, ANY_SIGNIFICANT or ALL_SIGNIFICANT.
        on_limit: GIVE_UP ends the supervisor when a limit is exceeded; PROBE never does.
        probe_s: seconds between attempts once a limit is exceeded under PROBE.
        max_children: refuse `start_child` beyond it.
        max_abandoned: so many threads that would not end may be left behind before the supervisor gives up.
        template: makes `start_child` with arguments possible (children of one kind); they stop concurrently.
        keep_dynamic: children added by `start_child` come back when the supervisor itself is restarted.
        on_error: rules asked after the child's own.
        error_after: failures in a row before events about a child go from warning to error.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = _INTENSITY
    children: tuple[ChildSpec, ...] = ()
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    on_limit: OnLimit = OnLimit.GIVE_UP
    probe_s: float = 30.0
    max_children: int | None = None
    max_abandoned: int = 10
    template: ChildSpec | None = None
    keep_dynamic: bool = False
    on_error: Mapping[type[BaseException], Reaction] = field(default_factory=dict)
    error_after: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", tuple(self.children))
        if not isinstance(self.strategy, Strategy):
            raise SpecError(f"strategy is {self.strategy!r}, expected ONE_FOR_ONE, ONE_FOR_ALL or REST_FOR_ONE.")
        if not isinstance(self.auto_shutdown, AutoShutdown):
            raise SpecError(f"auto_shutdown is {self.auto_shutdown!r}, expected a member of AutoShutdown.")
        if not isinstance(self.on_limit, OnLimit):
            raise SpecError(f"on_limit is {self.on_limit!r}, expected GIVE_UP or PROBE.")
        if not isinstance(self.intensity, Intensity):
            raise SpecError(f"intensity is {self.intensity!r}, expected an Intensity.")
        if not (0 < self.probe_s < math.inf):
            raise SpecError(f"probe_s is {self.probe_s!r}, expected a positive number of seconds.")
        if self.max_abandoned < 0:
            raise SpecError(f"max_abandoned is {self.max_abandoned}, expected 0 or more.")
        if self.max_children is not None and self.max_children < len(self.children):
            raise SpecError(f"max_children is {self.max_children}, but {len(self.children)} children are listed.")
        if self.template is not None and self.strategy is not Strategy.ONE_FOR_ONE:
            raise SpecError("children from a template are independent of one another: the strategy is ONE_FOR_ONE.")
        for error, reaction in self.on_error.items():
            _check_rule("supervisor", error, reaction)
        seen: set[str] = set()
        for child in self.children:
            if not isinstance(child, ChildSpec):
                raise SpecError(f"children holds {child!r}, expected ChildSpec.")
            if child.id in seen:
                raise SpecError(f"child id {child.id!r} is listed twice; ids are unique among siblings.")
            seen.add(child.id)
            check_child(self, child)
        if self.template is not None:
            check_child(self, self.template)


def check_child(supervisor: SupervisorSpec, child: ChildSpec) -> None:
    """Refuse a child that contradicts its supervisor; also used for children added later.

    Raises:
        SpecError: significant without automatic shutdown; a limit the delays keep out of reach; a breaker that
            opens only after the supervisor has already given up.
    """
    who = f"child {child.id!r}"
    if child.significant and supervisor.auto_shutdown is AutoShutdown.NEVER:
        raise SpecError(f"{who}: significant means nothing while auto_shutdown is NEVER.")
    if supervisor.on_limit is OnLimit.PROBE and child.max_restarts is None:
        return
    limit = child.max_restarts or supervisor.intensity
    if child.breaker is not None:
        # Once open, the circuit alone spaces the attempts; before that the limit must not be in the way.
        if child.max_restarts is None and child.breaker.fail_max > limit.max_restarts + 1:
            raise SpecError(
                f"{who}: its breaker opens after {child.breaker.fail_max} failures, but the supervisor gives up at "
                f"failure {limit.max_restarts + 1}. Lower fail_max or raise the intensity."
            )
        return
    spread_s, counted = 0.0, 0
    while counted < limit.max_restarts and spread_s <= limit.within_s:
        counted += 1
        spread_s += child.backoff.bound_s(counted)
    if spread_s > limit.within_s:
        raise SpecError(
            f"{who}: {counted} restarts in a row can take {spread_s:g} s with this backoff, longer than the window of "
            f"{limit.within_s:g} s, so the limit of {limit.max_restarts} might never be reached. "
            "Widen the window or shorten the delays."
        )
