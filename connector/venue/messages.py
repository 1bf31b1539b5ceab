"""What the actors of a venue say to one another. Frozen values; each names who sends it and what happens.

Questions an engine may ask are in `domain.queries`; these are the internal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pykka

from connector.domain.commands import Evidence
from connector.domain.facts import OrderReport
from connector.domain.queries import Query
from connector.domain.symbols import Symbol
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError
from connector.orders.lifecycle import IntentRecord, Verdict
from connector.throttle import Priority

__all__ = [
    "Answer",
    "Fetch",
    "InstrumentsChanged",
    "Intended",
    "MeasureClock",
    "Noted",
    "Noticed",
    "RawAnswer",
    "Ruled",
    "SettingsChanged",
    "Several",
    "SignedFetch",
    "SubscriptionsChanged",
    "post",
]


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


class RawAnswer(msgspec.Struct, frozen=True):
    """How a signed exchange went: a response of any status, or an error that came instead of one.

    Attributes:
        error: why there is no response.
        sent: False: certain that not one byte left. True: it may have arrived, whatever `error` says.
    """

    response: HttpResponse | None
    error: ConnectorError | None
    sent: bool


class SignedFetch(msgspec.Struct, frozen=True):
    """To the REST actor: build a signed request when its turn comes, send it once, call `reply` with a RawAnswer, once.

    Attributes:
        build: makes the request, and its timestamp, at the moment it may be sent; may raise a ConnectorError, which is replied.
        write: an order request: counts as urgent as `priority` says, and its failures are classed as of writes.
    """

    build: Callable[[], HttpRequest]
    priority: Priority
    deadline_s: float
    write: bool
    reply: Callable[[RawAnswer], None]


class Intended(msgspec.Struct, frozen=True):
    """From the order actor to the state actor: this is in the journal and about to be sent."""

    intent: IntentRecord


class Ruled(msgspec.Struct, frozen=True):
    """From the order actor to the state actor: how the request of an order ended that the venue never reported."""

    symbol: Symbol
    client_id: str
    verdict: Verdict


class Noted(msgspec.Struct, frozen=True):
    """From the order actor to the state actor: one more line for the order's diary."""

    symbol: Symbol
    client_id: str
    evidence: Evidence


class Several(msgspec.Struct, frozen=True):
    """From the order actor to the state actor: what one step of it came to, in its order. Taken as if they came one by one."""

    messages: tuple[Any, ...]


class SettingsChanged(msgspec.Struct, frozen=True):
    """From the order actor to the state actor: a setting of positions was changed, or may have been."""


class Noticed(msgspec.Struct, frozen=True):
    """From the state actor to the order actor: the venue reported an order of ours, by whatever way."""

    report: OrderReport


class MeasureClock(msgspec.Struct, frozen=True):
    """To the REST actor: what is known of the venue's clock may be wrong; ask for its time now."""


class InstrumentsChanged(msgspec.Struct, frozen=True):
    """From the state actor to the stream actor: the list in the venue's memory is new."""


class SubscriptionsChanged(msgspec.Struct, frozen=True):
    """From the front to the stream actor: the wanted topics in the venue's memory are not what they were."""
