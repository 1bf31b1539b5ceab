"""Why an incarnation ended, kept apart so that log, event and watcher see the same thing.

Pure values. The supervisor fills them in; nothing here is turned into text and lost.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["EndKind", "Reason"]


class EndKind(Enum):
    """The ways an incarnation ends. The first six are orderly, the rest are abnormal."""

    NORMAL = "normal"  # it ended by itself, its work done (a permanent child is restarted all the same)
    LEFT = "left"  # it ended by itself and asked not to be restarted
    STOPPED = "stopped"  # it was asked to stop: by hand, by a sibling's restart, with the tree
    IGNORED = "ignored"  # it declined to start
    SHUTDOWN = "shutdown"  # a supervisor whose significant children had ended
    END_TREE = "end of the tree"  # it asked for the end of the whole tree
    CRASHED = "crashed"
    START_FAILED = "start failed"
    START_TIMEOUT = "start timed out"
    HUNG = "hung"  # too long in one message: interrupted, and abandoned if that did not help
    KILLED = "killed"  # by its supervisor: brutal, or it did not stop within its time
    GAVE_UP = "gave up"  # a supervisor beyond its restart limit, or a child beyond its own


_ABNORMAL = (
    EndKind.CRASHED,
    EndKind.START_FAILED,
    EndKind.START_TIMEOUT,
    EndKind.HUNG,
    EndKind.KILLED,
    EndKind.GAVE_UP,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """`kind`, the exception behind it if any, a sentence, and the stack of a hung thread as evidence."""

    kind: EndKind
    cause: BaseException | None = None
    text: str = ""
    stack: str = ""

    @property
    def is_abnormal(self) -> bool:
        return self.kind in _ABNORMAL

    @property
    def retry_after_s(self) -> float:
        """The least delay the failure itself asks for (an exception's `retry_after_s`), else 0."""
        wanted = getattr(self.cause, "retry_after_s", None)
        # A NaN or a negative number is no wish at all; infinity is one (never try again by itself).
        return float(wanted) if isinstance(wanted, int | float) and wanted > 0 else 0.0

    def __str__(self) -> str:
        parts = [self.kind.value]
        if self.text:
            parts.append(self.text)
        if self.cause is not None:
            parts.append(safe_repr(self.cause))
        return ": ".join(parts)


def safe_repr(value: object, limit: int = 200) -> str:
    """`repr(value)`, cut to `limit`; never raises, because a broken `__repr__` must not end a supervisor."""
    try:
        text = repr(value)
    except BaseException as broken:  # noqa: BLE001 - user code; whatever it raises, the report goes on
        text = f"<{type(value).__name__} whose repr raises {type(broken).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"
