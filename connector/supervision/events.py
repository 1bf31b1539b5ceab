"""What a supervision tree tells about itself: one flat, frozen record per happening.

Pure values; `bus` carries them to subscribers on threads of their own.
"""

from dataclasses import dataclass
from enum import Enum

from connector.supervision.reasons import Reason

__all__ = ["EventKind", "Level", "TreeEvent"]


class EventKind(Enum):
    STARTED = "started"  # an incarnation is up; `epoch` is new, `old_epoch` the one before (0: none)
    ENDED = "ended"  # an incarnation is gone, `reason` says why
    RESTARTING = "restarting"  # the next one follows at once
    BACKOFF = "backoff"  # the next one follows after `delay_s`
    PROBING = "probing"  # as BACKOFF, because a breaker is open or a limit is exceeded
    HEALTHY = "healthy"  # up for long enough: counts are reset, a breaker is closed
    GAVE_UP = "gave_up"  # a supervisor, or a child with a limit of its own, will not try again
    HUNG = "hung"  # too long in one message, init or stop; `reason.stack` shows where
    ABANDONED = "abandoned"  # a thread that would not end was fenced and left behind
    RETURNED = "returned"  # an abandoned thread ended after all
    UNSTOPPED = "unstopped"  # helper threads of an incarnation that would not end
    CLEANUP_FAILED = "cleanup_failed"  # on_stop or on_failure raised; the stop went on
    DISCARDED = "discarded"  # a restart emptied the inbox: `count` messages, asks included, are a gap
    UNANSWERED = "unanswered"  # a declared error, raised by a message nobody waits for an answer to
    DEAD_LETTERS = "dead_letters"  # `count` messages nobody will handle
    ADMIN = "admin"  # a limit or child changed by hand
    TREE_ENDED = "tree_ended"  # the root is gone
    USER = "user"  # sent by an actor with `context.emit`; `payload` is what it passed


class Level(Enum):
    """How loud a log should be about an event."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class TreeEvent:
    """One happening at `path`. Times: `at_s` monotonic, `time_ns` UTC. Counts are totals at that moment."""

    kind: EventKind
    path: str
    epoch: int
    at_s: float
    time_ns: int
    level: Level = Level.INFO
    reason: Reason | None = None
    old_epoch: int = 0
    restarts: int = 0
    failures: int = 0
    delay_s: float = 0.0
    count: int = 0
    detail: str = ""
    payload: object = None

    def __str__(self) -> str:
        words = [f"{self.path}#{self.epoch} {self.kind.value}"]
        if self.reason is not None:
            words.append(f"({self.reason})")
        if self.delay_s:
            words.append(f"next attempt in {self.delay_s:.3f} s")
        if self.count:
            words.append(f"count={self.count}")
        if self.detail:
            words.append(self.detail)
        return " ".join(words)
