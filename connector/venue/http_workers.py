"""Threads that send HTTP requests for one REST actor, so that the actor never waits.

The workers belong to one incarnation of the actor and end with it. They decide nothing: order and budgets were settled before
a request comes here. `close` ends them from any thread, also while they wait for an answer.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, NotConnected
from connector.supervision import ActorContext

if TYPE_CHECKING:
    from connector.transport.http import HttpClient

__all__ = ["HttpWorkers"]

IDLE_S = 60.0
"""So many threads stay as were busy at once in the last period of this length, and one at least; the others end, and with them
their connections. Which of them: whichever is through with a request first, since the idle ones take turns."""

_Job = tuple[HttpRequest, float, Callable[[HttpResponse | ConnectorError], None]]


class HttpWorkers:
    """At most `workers` threads over one HttpClient, started when a request finds none free; see `venue.rest.HttpPort`.

    Not before: each start of a thread may cost a turn of the interpreter, and a restarted actor must be up within milliseconds.
    """

    def __init__(self, client: HttpClient, context: ActorContext, workers: int, idle_s: float = IDLE_S) -> None:
        self._client, self._context, self._workers, self._idle_s = client, context, workers, idle_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards all below; arithmetic only inside
        self._threads = self._under_way = self._busiest = self._spare = 0
        self._since_s = client.clock.monotonic_s()
        self._closed = False

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        with self._lock:
            closed = self._closed
            if not closed:
                self._under_way += 1
                self._busiest = max(self._busiest, self._under_way)
                one_more = self._threads < min(self._under_way, self._workers)
                self._threads += one_more
                number = self._threads
        if closed:
            done(_not_sent())
            return
        self._jobs.put((request, deadline_s, done))
        if not one_more:
            return
        try:
            self._context.spawn(f"http-{number}", self._work)
        except (RuntimeError, MemoryError) as problem:  # the system gives no thread: those there are do the work
            self._without_one_more(problem)

    def _without_one_more(self, problem: Exception) -> None:
        with self._lock:
            self._threads -= 1
            nobody = self._threads == 0
        with contextlib.suppress(queue.Empty):
            while nobody:
                job = self._jobs.get_nowait()
                if job is not None:
                    self._end(job[2], NotConnected(f"the request was not sent: no thread for it, {problem}."))

    def _work(self) -> None:
        while not self._may_leave():
            try:
                job = self._jobs.get(timeout=self._idle_s)
            except queue.Empty:
                continue
            if job is None:
                return
            self._do(*job)
        self._client.leave()

    def _may_leave(self) -> bool:
        """Whether this thread is one too many. A request that was counted and is not in the queue yet finds another."""
        now_s = self._client.clock.monotonic_s()
        with self._lock:
            if now_s - self._since_s >= self._idle_s:
                self._spare = self._threads - max(1, self._busiest)
                self._busiest, self._since_s = self._under_way, now_s
            leaves = self._spare > 0 and not self._closed and self._threads > max(1, self._under_way)
            self._spare -= leaves
            self._threads -= leaves
        return leaves

    def _do(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        if self._closed:
            self._end(done, _not_sent())
            return
        try:
            outcome: HttpResponse | ConnectorError = self._client.send(request, deadline_s)
        except ConnectorError as error:
            outcome = error
        self._end(done, outcome)

    def _end(
        self, done: Callable[[HttpResponse | ConnectorError], None], outcome: HttpResponse | ConnectorError
    ) -> None:
        with self._lock:
            self._under_way -= 1  # before anybody hears of it: the next request finds this thread free
        done(outcome)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._jobs.put(None)
        self._client.close()

    def __repr__(self) -> str:
        return f"<HttpWorkers {self._threads}/{self._workers} threads {self._jobs.qsize()} waiting>"


def _not_sent() -> NotConnected:
    return NotConnected("the REST actor is stopping; the request was not sent.")
