"""Supervision for Pykka: OTP's words, on threads, usable without any exchange.

A tree is described by frozen specs, started with `start_tree`, and watched through `Tree`:

    class Ticker(SupervisedActor):
        def on_start(self):
            self.context.call_every(1.0, "tick")        # lands in its own inbox; void once this incarnation ended
            self.context.spawn("reader", self._read)    # a thread it owns: counted, joined; its crash is ours

        def on_receive(self, message): ...
        def on_interrupt(self): ...                     # from another thread: shut sockets down
        def on_stop(self): ...                          # own thread; after a crash too, unless on_failure is overridden

    spec = SupervisorSpec(children=(ChildSpec("ticker", Ticker),), on_limit=PROBE)
    with start_tree(spec, on_event=print) as tree:      # returns when every child has reported ready
        ref = tree.ref("/ticker")                       # survives restarts; a pykka.ActorRef
        ref.tell("hello"); ref.ask("who?", timeout=1.0); ref.proxy().method().get(timeout=1.0)
        print(tree.render())

What it decides: who is started, restarted, stopped, given up, and when (`decisions`, a pure function).
What it never does: run user code on a supervisor's thread, wait without a deadline, leave an ask without an end.
Whose thread: every actor has one (`connector:<path>#<epoch>`); `__init__`, `on_start`, `on_receive`, `on_stop` run
there. One timer thread per tree; one thread per event subscriber; one helper thread per interrupt.

Inside an actor, `self.context` (set before `__init__` runs) offers:

    path, id, epoch                    who this incarnation is
    clock.monotonic_s(), .time_ns()    injected time;  random() -> float in [0, 1)
    cancelled.is_set(), .wait(timeout_s) -> bool
    call_later(delay_s, message) -> Timer;  call_every(every_s, message) -> Timer;  Timer.cancel()
    sibling(id), lookup(path) -> StableRef;  parent -> StableRef | None
    is_current() -> bool               False once stopped, fenced or replaced: `if not ctx.is_current(): return`
    emit(payload) -> bool              an event of kind USER; refused (False) once fenced
    spawn(name, target) -> SpawnedThread     .join(timeout_s) -> bool, .is_alive(), .name
    defer_reply() -> Reply             take the reply of the ask in hand; answer it later, from any thread
    stop_self(text)                    end, and do not restart me
    give_up(text)                      end the whole tree
    crash(exc)                         from any thread: report an abnormal end of this incarnation
"""

import math

from connector.supervision.actor import ActorContext, SupervisedActor, Timer
from connector.supervision.backoff import Backoff
from connector.supervision.breaker import BreakerSpec
from connector.supervision.bus import DeadLetter, DeadLetters, Subscription
from connector.supervision.cell import Down
from connector.supervision.decisions import (
    DeleteChild,
    ResetCount,
    RestartChild,
    RetryNow,
    SetIntensity,
    StartChild,
    TerminateChild,
)
from connector.supervision.errors import (
    AdminError,
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    DeadlinePassed,
    Ignore,
    InboxFull,
    NoSuchChild,
    NotRunning,
    Restarted,
    SelfAsk,
    SpecError,
    StartFailed,
    Stopped,
    SupervisionError,
    SupervisorEnding,
    TooManyChildren,
)
from connector.supervision.events import EventKind, Level, TreeEvent
from connector.supervision.exits import install_exit_handlers
from connector.supervision.futures import DEFAULT_TIMEOUT_S, Reply
from connector.supervision.incarnation import InterruptedHandler
from connector.supervision.intensity import Intensity
from connector.supervision.reasons import EndKind, Reason
from connector.supervision.refs import StableProxy, StableRef
from connector.supervision.runtime import Runtime, ThreadRuntime
from connector.supervision.snapshot import ChildSnapshot, render
from connector.supervision.specs import (
    AutoShutdown,
    Brutal,
    ChildSpec,
    InboxPolicy,
    MailRule,
    OnLimit,
    Reaction,
    Restart,
    Strategy,
    SupervisorSpec,
)
from connector.supervision.supervisor import (
    ChildInfo,
    CountChildren,
    GetChildSpec,
    Supervisor,
    TakeSnapshot,
    WhichChildren,
)
from connector.supervision.tree import StopReport, Tree, start_tree

PERMANENT, TRANSIENT, TEMPORARY = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
NEVER, ANY_SIGNIFICANT, ALL_SIGNIFICANT = (
    AutoShutdown.NEVER,
    AutoShutdown.ANY_SIGNIFICANT,
    AutoShutdown.ALL_SIGNIFICANT,
)
GIVE_UP, PROBE = OnLimit.GIVE_UP, OnLimit.PROBE
REFUSE, DROP_OLDEST, DROP_NEWEST = MailRule.REFUSE, MailRule.DROP_OLDEST, MailRule.DROP_NEWEST
KEEP, EMPTY = MailRule.KEEP, MailRule.EMPTY
INFINITY = math.inf
BRUTAL = Brutal.BRUTAL

__all__ = [
    "ALL_SIGNIFICANT",
    "ANY_SIGNIFICANT",
    "BRUTAL",
    "DEFAULT_TIMEOUT_S",
    "DROP_NEWEST",
    "DROP_OLDEST",
    "EMPTY",
    "GIVE_UP",
    "INFINITY",
    "KEEP",
    "NEVER",
    "ONE_FOR_ALL",
    "ONE_FOR_ONE",
    "PERMANENT",
    "PROBE",
    "REFUSE",
    "REST_FOR_ONE",
    "TEMPORARY",
    "TRANSIENT",
    "ActorContext",
    "AdminError",
    "AlreadyPresent",
    "AlreadyStarted",
    "AutoShutdown",
    "Backoff",
    "BreakerSpec",
    "Brutal",
    "ChildInfo",
    "ChildRestarting",
    "ChildRunning",
    "ChildSnapshot",
    "ChildSpec",
    "CountChildren",
    "DeadLetter",
    "DeadLetters",
    "DeadlinePassed",
    "DeleteChild",
    "Down",
    "EndKind",
    "EventKind",
    "GetChildSpec",
    "Ignore",
    "InboxFull",
    "InboxPolicy",
    "Intensity",
    "InterruptedHandler",
    "Level",
    "MailRule",
    "NoSuchChild",
    "NotRunning",
    "OnLimit",
    "Reaction",
    "Reason",
    "Reply",
    "ResetCount",
    "Restart",
    "RestartChild",
    "Restarted",
    "RetryNow",
    "Runtime",
    "SelfAsk",
    "SetIntensity",
    "SpecError",
    "StableProxy",
    "StableRef",
    "StartChild",
    "StartFailed",
    "StopReport",
    "Stopped",
    "Strategy",
    "Subscription",
    "SupervisedActor",
    "SupervisionError",
    "Supervisor",
    "SupervisorEnding",
    "SupervisorSpec",
    "TakeSnapshot",
    "TerminateChild",
    "ThreadRuntime",
    "Timer",
    "TooManyChildren",
    "Tree",
    "TreeEvent",
    "WhichChildren",
    "install_exit_handlers",
    "render",
    "start_tree",
]
