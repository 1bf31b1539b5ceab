"""Threads that send HTTP requests for one REST actor, so that the actor never waits.

The workers belong to one incarnation of the actor and end with it. They decide nothing: order and budgets were settled before
a request comes here. `close` ends them from any thread, also while they wait for an answer.
"""

from __future__ import annotations

import queue
from collections.abc import Callable

from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, NotConnected
from connector.supervision import ActorContext
from connector.transport.http import HttpClient

__all__ = ["HttpWorkers"]

_Job = tuple[HttpRequest, float, Callable[[HttpResponse | ConnectorError], None]]


class HttpWorkers:
    """A fixed number of worker threads over one HttpClient; see `venue.rest.HttpPort`."""

    def __init__(self, client: HttpClient, context: ActorContext, workers: int) -> None:
        self._client, self._workers = client, workers
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        for number in range(1, workers + 1):
            context.spawn(f"http-{number}", self._work)

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        self._jobs.put((request, deadline_s, done))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            request, deadline_s, done = job
            if self._closed:
                done(NotConnected("the REST actor is stopping; the request was not sent."))
                continue
            try:
                outcome: HttpResponse | ConnectorError = self._client.send(request, deadline_s)
            except ConnectorError as error:
                outcome = error
            done(outcome)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for _ in range(self._workers):
            self._jobs.put(None)
        self._client.close()

    def __repr__(self) -> str:
        return f"<HttpWorkers {self._workers} threads {self._jobs.qsize()} waiting>"
