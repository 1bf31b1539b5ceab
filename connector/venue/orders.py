"""The order-command actor of one venue: the only writer of intentions.

This version trades nothing: every command is refused with `Unsupported`, before anything is journalled or sent, and the
capability table says so. The actor stands in the tree so that the shape engines see does not change when trading arrives.
"""

from __future__ import annotations

from typing import Any

from connector.errors import ConnectorError, Unsupported
from connector.supervision import SupervisedActor
from connector.venue.memory import VenueMemory

__all__ = ["OrderCommandActor"]


class OrderCommandActor(SupervisedActor):
    """Refuses every command."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory) -> None:
        super().__init__()
        self._memory = memory

    def on_receive(self, message: Any) -> Any:
        raise Unsupported(
            f"{self._memory.name}: {type(message).__name__} was refused and nothing was sent. This version carries market "
            "data only; the capability table in the docs lists what each venue can do."
        )

    def __repr__(self) -> str:
        return f"<OrderCommandActor {self._memory.name} refuses every command>"
