"""End a supervised actor on purpose, as if it had failed by itself. For tests and demonstrations; any thread."""

from __future__ import annotations

from connector.supervision import StableRef

__all__ = ["Killed", "crash"]


class Killed(Exception):
    """The reason of an end that a test asked for."""


def crash(ref: StableRef, error: BaseException | None = None) -> int:
    """Make the actor behind `ref` fail after the message in hand; the supervisor decides what follows.

    Returns:
        The epoch that was hit, so that a test can wait for a later one.

    Raises:
        LookupError: nothing runs behind the reference at this moment.
    """
    actor = ref._actor_weakref()
    if actor is None:
        raise LookupError(f"{ref!r} has no running incarnation to crash")
    epoch = actor.context.epoch
    actor.context.crash(error if error is not None else Killed("ended on purpose"))
    return epoch
