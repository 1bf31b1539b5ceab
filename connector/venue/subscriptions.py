"""Wanted and confirmed topics of one connection, and the frames that make the two equal.

Pure bookkeeping: it is told what is wanted, what was answered and what time it is, and says which frame to send next. It
never sends, and holds nothing of a connection but names. A name is confirmed by an acknowledgement or by its first data; it is
`proven` by data, and by the acknowledgement where the venue's mean anything (`StreamLimits.ack_proves`).
A refusal of several names at once proves nothing about any one of them, so they are tried again one by one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from connector.drivers.contract import StreamLimits
from connector.errors import ConnectorError, RetryLater

__all__ = ["FrameKind", "PlannedFrame", "SubscriptionSet"]

ACK_WITHIN_S = 4.0
"""An answer that takes longer is taken as lost, and the frame is sent again; asking twice is benign."""
ATTEMPTS_BEFORE_RENEWAL = 3
"""So many unanswered frames for one name and the connection itself is in doubt."""


class FrameKind(enum.Enum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """Send this now."""

    kind: FrameKind
    names: tuple[str, ...]
    request_id: int


@dataclass(slots=True)
class _InFlight:
    frame: PlannedFrame
    deadline_s: float


class SubscriptionSet:
    """What one connection should carry, and what it does carry. Used by one thread."""

    def __init__(self, limits: StreamLimits) -> None:
        self.wanted: set[str] = set()
        self.confirmed: set[str] = set()
        self.proven: set[str] = set()
        self.refused: dict[str, ConnectorError] = {}
        self._limits = limits
        self._in_flight: dict[int, _InFlight] = {}
        self._asked: set[str] = set()  # subscribe sent, not answered
        self._alone: set[str] = set()  # to be tried one by one
        self._leave: set[str] = set()  # unsubscribe not yet sent
        self._not_before: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._next_frame_s = float("-inf")
        self._request_id = 0

    # ------------------------------------------------------------ what is wanted

    def want(self, names: Iterable[str]) -> None:
        self.wanted.update(names)
        self._leave.difference_update(self.wanted)

    def unwant(self, names: Iterable[str]) -> None:
        for name in names:
            self.wanted.discard(name)
            self.refused.pop(name, None)
            if name in self.confirmed or name in self._asked:
                self._leave.add(name)

    def renew(self, name: str) -> None:
        """Leave and join one topic again, on this connection."""
        if name in self.wanted:
            self.confirmed.discard(name)
            self.proven.discard(name)
            self._leave.add(name)

    def reset(self) -> None:
        """The connection is gone: nothing is confirmed, everything is still wanted."""
        self.confirmed.clear()
        self.proven.clear()
        self._in_flight.clear()
        self._asked.clear()
        self._leave.clear()
        self._attempts.clear()
        self._next_frame_s = float("-inf")

    def unproven(self) -> tuple[str, ...]:
        """Names asked for and not answered yet, or answered by a word that proves nothing; data may prove them first."""
        return (*sorted(self._asked), *sorted(self.confirmed - self.proven))

    @property
    def room(self) -> int:
        """How many more topics this connection may carry."""
        return self._limits.topics_per_connection - len(self.wanted)

    @property
    def is_settled(self) -> bool:
        """Wanted and confirmed are the same, refusals aside."""
        return self.wanted - self.refused.keys() == self.confirmed and not self._leave

    # ------------------------------------------------------------ frames

    def next_frame(self, now_s: float) -> PlannedFrame | None:
        """The frame to send now, or None; `wait_s` tells when to ask again. Leaving goes before joining."""
        if now_s < self._next_frame_s:
            return None
        leave = sorted(self._leave)[: self._limits.names_per_frame]
        if leave:
            self._leave.difference_update(leave)
            self.confirmed.difference_update(leave)
            self.proven.difference_update(leave)
            self._asked.difference_update(leave)
            return self._frame(FrameKind.UNSUBSCRIBE, leave, now_s)
        missing = [
            name
            for name in self.wanted
            if name not in self.confirmed
            and name not in self._asked
            and name not in self.refused
            and self._not_before.get(name, now_s) <= now_s
        ]
        if not missing:
            return None
        together = sorted(name for name in missing if name not in self._alone)[: self._limits.names_per_frame]
        names = together or [min(missing)]
        self._asked.update(names)
        for name in names:
            self._attempts[name] = self._attempts.get(name, 0) + 1
        return self._frame(FrameKind.SUBSCRIBE, names, now_s)

    def _frame(self, kind: FrameKind, names: list[str], now_s: float) -> PlannedFrame:
        self._request_id += 1
        self._next_frame_s = now_s + self._limits.frame_spacing_s
        frame = PlannedFrame(kind, tuple(names), self._request_id)
        self._in_flight[self._request_id] = _InFlight(frame, now_s + ACK_WITHIN_S)
        return frame

    def wait_s(self, now_s: float) -> float:
        """Seconds until `next_frame` may have something new because of spacing; 0.0 when it may now."""
        return max(0.0, self._next_frame_s - now_s)

    # ------------------------------------------------------------ answers

    def on_ack(self, request_id: int | None, but: Iterable[str] = ()) -> tuple[str, ...]:
        """The names confirmed by it; empty for an unsubscribe or an answer to nothing we know.

        Args:
            request_id: None, the venue not having said which frame it answers, takes the oldest.
            but: names of it that were not taken: left as asked, for `refuse`.
        """
        answered = self._take(request_id)
        if answered is None or answered.frame.kind is FrameKind.UNSUBSCRIBE:
            return ()
        names = tuple(name for name in answered.frame.names if name in self._asked and name not in but)
        for name in names:
            self._confirm(name, proven=self._limits.ack_proves)
        return names

    def left_by(self, request_id: int | None) -> tuple[str, ...]:
        """The names that this answer says were left and that are to be joined again; asked before `on_ack`, which takes it."""
        answered = self._in_flight.get(min(self._in_flight, default=0) if request_id is None else request_id)
        if answered is None or answered.frame.kind is not FrameKind.UNSUBSCRIBE:
            return ()
        return tuple(name for name in answered.frame.names if name in self.wanted)

    def _take(self, request_id: int | None) -> _InFlight | None:
        if request_id is None and self._in_flight:
            request_id = min(self._in_flight)
        return None if request_id is None else self._in_flight.pop(request_id, None)

    def on_data(self, name: str) -> bool:
        """Data proves a subscription better than an answer does. True when it was not confirmed, or not proven, before."""
        if name in self.proven or (name not in self._asked and name not in self.confirmed):
            return False
        self._confirm(name, proven=True)
        return True

    def _confirm(self, name: str, *, proven: bool) -> None:
        self._asked.discard(name)
        self._alone.discard(name)
        self._attempts.pop(name, None)
        if name not in self.wanted:
            self._leave.add(name)
            return
        self.confirmed.add(name)
        if proven:
            self.proven.add(name)

    def refuse(self, names: Iterable[str], error: ConnectorError) -> tuple[str, ...]:
        """The venue took a frame but for these names: they are refused for good. Those that were asked for."""
        refused = tuple(name for name in names if name in self._asked)
        self._asked.difference_update(refused)
        self.refused.update(dict.fromkeys(refused, error))
        return refused

    def on_refusal(self, request_id: int | None, error: ConnectorError, now_s: float) -> tuple[str, ...]:
        """The names that are refused for good. A refusal without id is taken as the oldest frame's."""
        answered = self._take(request_id)
        if answered is None or answered.frame.kind is FrameKind.UNSUBSCRIBE:
            return ()
        names = [name for name in answered.frame.names if name in self._asked]
        self._asked.difference_update(names)
        if isinstance(error, RetryLater):
            for name in names:
                self._not_before[name] = now_s + (error.retry_after_s or 1.0)
            return ()
        if len(answered.frame.names) > 1:
            self._alone.update(names)
            return ()
        for name in names:
            self.refused[name] = error
        return tuple(names)

    def expire(self, now_s: float) -> bool:
        """Give up waiting for answers that are overdue. True: so many were lost that the connection should be replaced."""
        overdue = [key for key, flight in self._in_flight.items() if flight.deadline_s <= now_s]
        doubtful = False
        for key in overdue:
            frame = self._in_flight.pop(key).frame
            for name in frame.names:
                if name in self._asked:
                    self._asked.discard(name)
                    doubtful = doubtful or self._attempts.get(name, 0) >= ATTEMPTS_BEFORE_RENEWAL
        return doubtful

    def __repr__(self) -> str:
        return (
            f"<SubscriptionSet wanted={len(self.wanted)} confirmed={len(self.confirmed)} "
            f"asked={len(self._asked)} refused={len(self.refused)}>"
        )
