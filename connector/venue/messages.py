"""What the actors of a venue say to one another. Frozen values; each names who sends it and what happens.

Questions an engine may ask are in `domain.queries`; these are the internal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pykka

from connector.domain.queries import Query
from connector.throttle import Priority

__all__ = ["Answer", "Fetch", "InstrumentsChanged", "MeasureClock", "SubscriptionsChanged", "post"]


def post(ref: pykka.ActorRef[Any], message: Any) -> None:
    """Tell an actor from a thread that must not fail. A message to one that has stopped for good is of no use to anybody."""
    with suppress(pykka.ActorDeadError):
        ref.tell(message)


class Answer(msgspec.Struct, frozen=True):
    """How a fetch went: exactly one of `value` and `error` counts; `error` is None on success."""

    value: Any
    error: BaseException | None


class Fetch(msgspec.Struct, frozen=True):
    """To the REST actor: ask the venue, then call `reply` with an Answer, once, on one of its worker threads.

    `reply` must only post a message. Nobody calls it when the REST actor dies first, so the sender keeps a deadline.
    """

    query: Query
    priority: Priority
    deadline_s: float
    reply: Callable[[Answer], None]


class MeasureClock(msgspec.Struct, frozen=True):
    """To the REST actor: what is known of the venue's clock may be wrong; ask for its time now."""


class InstrumentsChanged(msgspec.Struct, frozen=True):
    """From the state actor to the stream actor: the list in the venue's memory is new."""


class SubscriptionsChanged(msgspec.Struct, frozen=True):
    """From the front to the stream actor: the wanted topics in the venue's memory are not what they were."""
