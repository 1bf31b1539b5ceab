"""One topic of one venue, as an aggregate watches it: subscribed until closed, and again should the venue have closed it.

A feed takes off a consumer that keeps it for too long, and a connector that stops ends every subscription; neither tells. So
the subscription's state is looked at: by every reader, and a few times a second by the aggregate's own actor. It decides
nothing about data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connector.domain.symbols import Symbol
from connector.domain.topics import TopicKind
from connector.errors import ConnectorError
from connector.venue.delivery import Subscription, TopicState
from connector.venue.handle import VenueHandle

__all__ = ["RESUBSCRIBE_EVERY_S", "Watch"]

RESUBSCRIBE_EVERY_S = 1.0


class Watch:
    """One subscription that is kept.

    Args:
        take: called with every value and notice, on the reader thread of the connection.

    Attributes:
        subscription: the one of now.
        resubscribed: how often it had to be made again.

    Raises:
        UnknownSymbol, InvalidRequest, Unsupported, NotConnected: as of `VenueHandle.subscribe`.
    """

    def __init__(self, handle: VenueHandle, kind: TopicKind, symbol: Symbol, take: Callable[[Any], None]) -> None:
        self.handle, self.symbol = handle, symbol
        self.key = handle.name, symbol
        self._kind, self._take = kind, take
        self.resubscribed = 0
        self._again_s = 0.0
        self._closed = False
        self.subscription: Subscription = handle.subscribe(kind, symbol, callback=take, notices=True)

    @property
    def state(self) -> TopicState:
        return self.subscription.state

    @property
    def reason(self) -> str:
        """Why it is not live, in words."""
        if self.state is TopicState.CLOSED:
            return f"the subscription of {self.symbol} at {self.handle.name} was ended"
        return self.subscription.freshness().reason

    def renew(self, now_s: float) -> bool:
        """Subscribe again when the venue ended it; True when that was done. One thread at a time."""
        if self._closed or self.state is not TopicState.CLOSED or now_s < self._again_s:
            return False
        self._again_s = now_s + RESUBSCRIBE_EVERY_S
        try:
            self.subscription = self.handle.subscribe(self._kind, self.symbol, callback=self._take, notices=True)
        except ConnectorError:  # the venue is stopped, or lists it no more: looked at again later
            return False
        self.resubscribed += 1
        self._close_if_closed()
        return True

    def _close_if_closed(self) -> None:
        """Closed meanwhile by another thread, which saw the old one."""
        if self._closed:
            self.subscription.close()

    def close(self) -> None:
        self._closed = True
        self.subscription.close()

    def __repr__(self) -> str:
        return f"<Watch {self.symbol} at {self.handle.name} {self.state.name} resubscribed={self.resubscribed}>"
