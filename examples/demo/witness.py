"""What the engine was handed, with the second it came at: the demonstration judges by this and by nothing else.

`Board` keeps everything the supervision tree and the topics tell about themselves and wakes whoever waits for it. A `Witness`
is the callback of one subscription: it runs on reader threads, appends and returns. Times are monotonic seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from connector import BookState, BookUpdate, Gap, Subscription, TopicKind, TopicState, TopicStatus
from connector.domain.topics import Topic
from connector.supervision import EventKind, TreeEvent

__all__ = ["Board", "Change", "Overdue", "Witness"]

T = TypeVar("T")

LOOK_AGAIN_S = 0.05
"""Waiting is woken by every event; values come without one, so what is told by values alone is looked for so often."""


class Overdue(Exception):
    """What was waited for did not happen in time."""


class Change(NamedTuple):
    """A topic changed its state, or a book its validity."""

    at_s: float
    topic: Topic
    state: TopicState | BookState
    reason: str


class Board:
    """Events of the tree and changes of topics, oldest first; both only grow."""

    def __init__(self) -> None:
        self.events: list[TreeEvent] = []
        self.changes: list[Change] = []
        self._news = threading.Condition()  # guards both lists; nothing else is done while it is held

    def on_event(self, event: TreeEvent) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def on_change(self, change: Change) -> None:
        with self._news:
            self.changes.append(change)
            self._news.notify_all()

    def wait(self, what: str, found: Callable[[], T | None], within_s: float) -> T:
        """Wait until `found()` is neither None nor False, and return it.

        Raises:
            Overdue: it was not within `within_s`; the text names `what`.
        """
        until_s = time.monotonic() + within_s
        while True:
            result = found()
            if result is not None and result is not False:
                return result
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise Overdue(f"{what}: not within {within_s:g} s")
            with self._news:
                self._news.wait(min(LOOK_AGAIN_S, left_s))

    def event(self, kind: EventKind, path: str, since_s: float) -> TreeEvent | None:
        """The first such event since then."""
        with self._news:
            return next((e for e in self.events if e.kind is kind and e.path == path and e.at_s >= since_s), None)

    def change(self, topic: Topic, since_s: float, *states: TopicState | BookState) -> Change | None:
        """The first change of a topic to one of these states since then."""
        with self._news:
            return next((c for c in self.changes if c.at_s >= since_s and c.topic == topic and c.state in states), None)

    def disturbed(self, since_s: float, until_s: float) -> set[Topic]:
        """Topics that stopped being live, or whose book stopped being valid, in that time."""
        with self._news:
            return {
                change.topic
                for change in self.changes
                if since_s <= change.at_s <= until_s and change.state not in (TopicState.LIVE, BookState.VALID)
            }


@dataclass
class Witness:
    """One subscription's callback. `keep`: remember every value; otherwise only the newest and their number."""

    topic: Topic
    venue_name: str
    board: Board
    keep: bool
    values: list[Any] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    count: int = 0
    recovered: int = 0
    last: Any = None
    last_s: float = 0.0
    book: BookState | None = None
    on_value: Callable[[Any], None] | None = None
    subscription: Subscription | None = None

    def __call__(self, value: Any) -> None:
        now_s = time.monotonic()
        if isinstance(value, TopicStatus):
            self.board.on_change(Change(now_s, self.topic, value.state, value.reason))
            return
        if isinstance(value, Gap):
            self.gaps.append(value)
            return
        self.count += 1
        self.last, self.last_s = value, now_s
        if getattr(value, "recovered", False):
            self.recovered += 1
        if self.keep:
            self.values.append(value)
        if isinstance(value, BookUpdate) and value.state is not self.book:
            self.book = value.state
            self.board.on_change(Change(now_s, self.topic, value.state, value.reason))
        if self.on_value is not None:
            self.on_value(value)

    @property
    def lost(self) -> int:
        """Values the client itself says are missing for good."""
        return sum(gap.missing - gap.filled for gap in list(self.gaps) if gap.missing is not None)

    @property
    def filled(self) -> int:
        """Values the client says it fetched after an outage."""
        return sum(gap.filled for gap in list(self.gaps))

    @property
    def is_book(self) -> bool:
        return self.topic.kind is TopicKind.BOOK
