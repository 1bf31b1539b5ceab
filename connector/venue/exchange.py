"""The exchange actor: supervisor of one venue's four children. Other venues never notice what happens here.

Start order is rest, state, stream, orders; each child is restarted alone. Starting needs no network: a venue starts
disconnected and says so. It never gives up: what exceeds its restart limit is tried slowly for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector.supervision import (
    Backoff,
    BreakerSpec,
    ChildSpec,
    InboxPolicy,
    Intensity,
    MailRule,
    OnLimit,
    Supervisor,
    SupervisorSpec,
)
from connector.transport.contract import Links
from connector.venue.memory import VenueMemory
from connector.venue.orders import OrderCommandActor
from connector.venue.rest import HttpPort, RestActor
from connector.venue.state import StateQueryActor
from connector.venue.stream import WebSocketActor

__all__ = ["ExchangeActor"]

INBOX = 100_000
"""Messages an actor may have waiting. They are control messages: data goes past the inboxes."""


class ExchangeActor(Supervisor):
    """Supervisor of `rest`, `state`, `stream` and `orders` of one venue."""

    def __init__(
        self,
        memory: VenueMemory,
        links: Links,
        private_links: Links,
        open_http: Callable[[Any], HttpPort],
        *,
        busy_limit_s: float,
        restart: Backoff,
        restart_limit: Intensity,
    ) -> None:
        self.memory = memory

        def child(id: str, factory: type, *args: Any) -> ChildSpec:
            return ChildSpec(
                id=id,
                factory=factory,
                args=(memory, *args),
                shutdown_s=2.0,
                busy_limit_s=busy_limit_s,
                inbox=InboxPolicy(capacity=INBOX, when_full=MailRule.REFUSE, over_restart=MailRule.KEEP),
                backoff=restart,
                breaker=BreakerSpec(),
            )

        super().__init__(
            SupervisorSpec(
                intensity=restart_limit,
                on_limit=OnLimit.PROBE,
                children=(
                    child("rest", RestActor, open_http),
                    child("state", StateQueryActor),
                    child("stream", WebSocketActor, links, private_links),
                    child("orders", OrderCommandActor),
                ),
            )
        )

    def __repr__(self) -> str:
        return f"<ExchangeActor {self.memory!r}>"
