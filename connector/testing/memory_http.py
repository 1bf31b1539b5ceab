"""HTTP without sockets or threads: a test answers each request, and decides when.

Implements the port of the REST actor (`connector.venue.rest.HttpPort`). Requests are answered by a plain function, through
`later`, so that a deterministic runtime orders answers like everything else. Nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, NotConnected

__all__ = ["MemoryHttp"]


class MemoryHttp:
    """Answers what `answer` says.

    Args:
        answer: request -> response or error; None leaves the request without any answer.
        later: calls a function some time after; e.g. `lambda call: runtime.call_later(0.01, call)`.

    Attributes:
        requests: everything that was submitted, in order.
    """

    def __init__(
        self,
        answer: Callable[[HttpRequest], HttpResponse | ConnectorError | None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self.requests: list[HttpRequest] = []
        self._answer, self._later = answer, later
        self._closed = False

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        self.requests.append(request)

        def finish() -> None:
            if self._closed:
                done(NotConnected("closed before it was answered"))
                return
            outcome = self._answer(request)
            if outcome is not None:
                done(outcome)

        self._later(finish)

    def close(self) -> None:
        self._closed = True

    def __repr__(self) -> str:
        return f"<MemoryHttp {len(self.requests)} requests{' closed' if self._closed else ''}>"
