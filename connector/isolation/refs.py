"""References to the actors of a venue in another process; the same over every life of it.

They behave as references in the tree do: `tell`, `ask` and `proxy` go on working over restarts, of the actor over there and
of the whole process, and every ask ends. What differs: messages and answers are copied, so they have to be plain values;
`is_alive`, `epoch`, `watch` and `stop` are those of the process. They run on the caller's thread and decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import Any

import pykka

from connector.isolation.bridge import Bridge
from connector.isolation.wire import ACTORS, seal
from connector.supervision import DEFAULT_TIMEOUT_S, StableProxy, StableRef, SupervisedActor

__all__ = ["FarProxy", "FarRef"]


class FarRef(StableRef):
    """A reference to one actor of a venue's process.

    Args:
        host: of the actor here that owns the process.
        actor: its name there, one of `ACTORS`.
        actor_class: what it is there; proxies read its methods.
        here: takes messages that are meant for this process; True when it took one.
    """

    def __init__(
        self,
        host: StableRef,
        bridge: Bridge,
        actor: str,
        actor_class: type[SupervisedActor],
        here: Callable[[Any], bool] = lambda message: False,
    ) -> None:
        super().__init__(host._cell)
        self.actor_class = actor_class
        self._bridge, self._name, self._here = bridge, actor, here
        self._target = ACTORS.index(actor)

    @property
    def path(self) -> str:
        return f"/{self._bridge.name}/{self._name}"

    def __repr__(self) -> str:
        return f"<FarRef {self.path} in process {self._bridge.pid} #{self.epoch}>"

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.path})"

    def __hash__(self) -> int:
        return hash((id(self._bridge), self._name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FarRef) and self._bridge is other._bridge and self._name == other._name

    def _actor_weakref(self) -> None:  # type: ignore[override]
        return None

    def tell(self, message: Any) -> None:
        """Send without waiting. Never blocks.

        Raises:
            pykka.ActorDeadError: Stopped or InboxFull; it was not taken.
            InvalidRequest: it holds what cannot leave this process.
        """
        if not self._here(message):
            self._bridge.tell(self._target, seal(message))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer; with `block=False` return a `Reply` instead.

        Raises:
            as `StableRef.ask`; InvalidRequest: the message, or the answer, holds what cannot leave its process.
        """
        sealed = seal(message)
        reply = self._make_reply()
        if not block:
            if timeout is not None:
                reply.deadline_s = self._monotonic_s() + timeout
            try:
                self._bridge.ask(self._target, sealed, reply)
                self._bridge.look()
            except pykka.ActorDeadError as refused:
                reply.fail(refused)
            return reply
        seconds = DEFAULT_TIMEOUT_S if timeout is None else min(max(timeout, 0.0), TIMEOUT_MAX)
        reply.deadline_s = self._monotonic_s() + seconds
        number = self._bridge.ask(self._target, sealed, reply)
        if not self._bridge.wait(reply, seconds, self._monotonic_s):
            self._give_up(reply, seconds)
            self._bridge.forget(number)
        if reply._error is not None:
            raise reply._error
        return reply._value

    def proxy(self) -> FarProxy:
        return FarProxy(actor_ref=self)


class FarProxy(StableProxy):
    """A proxy over a FarRef; what the actor has besides its class's attributes is asked for over there."""

    @property
    def _actor(self) -> Any:
        return None
