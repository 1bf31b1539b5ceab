"""The errors of supervision, named by what the caller should do next.

Errors about a message derive from `pykka.ActorDeadError`, which is what code written for Pykka already
catches when a message was not handled. Errors about specs and administration derive from `SupervisionError`.
This module decides nothing and runs on whoever raises.
"""

import pykka

__all__ = [
    "AdminError",
    "AlreadyPresent",
    "AlreadyStarted",
    "ChildRestarting",
    "ChildRunning",
    "DeadlinePassed",
    "Ignore",
    "InboxFull",
    "NoSuchChild",
    "NotRunning",
    "Restarted",
    "SelfAsk",
    "SpecError",
    "StartFailed",
    "Stopped",
    "SupervisionError",
    "SupervisorEnding",
    "TooManyChildren",
]


class SupervisionError(Exception):
    """Base of everything raised by supervision that is not about one message."""


class SpecError(SupervisionError, ValueError):
    """A child or supervisor spec contradicts itself; nothing was started."""


class StartFailed(SupervisionError):
    """A child did not start; what had been started before it was stopped again.

    `path` names the child, `__cause__` is what its factory or `on_start` raised (None after a start timeout).
    """

    def __init__(self, path: str, detail: str) -> None:
        self.path, self.detail = path, detail
        super().__init__(f"{path} did not start: {detail}. Whatever was started with it has been stopped again.")


class AdminError(SupervisionError):
    """An administrative request that cannot be carried out; nothing was changed."""

    said = "cannot be done"

    def __init__(self, path: str, said: str | None = None) -> None:
        self.path = path
        super().__init__(f"{path}: {said or self.said}")


class NoSuchChild(AdminError):
    said = "there is no child of this id. which_children() lists the known ones."


class AlreadyStarted(AdminError):
    said = "a child of this id is already running or on its way up. Terminate and delete it before adding another."


class AlreadyPresent(AdminError):
    said = "a child of this id is present but not running. restart_child() starts it, delete_child() removes it."


class ChildRunning(AdminError):
    said = "the child is running. terminate_child() stops it first."


class ChildRestarting(AdminError):
    said = "the child is being restarted. retry_now() shortens the wait, terminate_child() ends it."


class TooManyChildren(AdminError):
    said = "max_children is reached. Terminate and delete one, or raise the limit in the spec."


class SupervisorEnding(AdminError):
    said = "the supervisor is stopping; no child can be added or started any more."


class SelfAsk(SupervisionError, RuntimeError):
    """A call that would wait for itself: directly, through a cycle of asks, or for its own stop. Nothing was sent."""


class Stopped(pykka.ActorDeadError):
    """The actor has stopped for good (or the process was forked); the message was not handled."""


class NotRunning(pykka.ActorDeadError):
    """The actor waits for its restart and its inbox refuses messages meanwhile; the message was not handled."""


class InboxFull(pykka.ActorDeadError):
    """The inbox was full, and by its policy this message was refused or dropped; it was not handled."""


class Restarted(pykka.ActorDeadError):
    """The incarnation that had the message in hand ended; its effect is unknown.

    `__cause__` is the exception that ended it, when there is one. The message is not run again.
    """


class DeadlinePassed(pykka.Timeout):
    """The deadline of an ask passed before the actor took the message; it was not handled."""


class Ignore(Exception):
    """Raised by a factory, `__init__` or `on_start` that declines to start: no process, no failure counted."""
