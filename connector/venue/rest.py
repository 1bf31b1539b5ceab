"""The REST actor of one venue: every question goes through it, in order of priority, within the venue's budgets.

It never blocks: a question waits in its queue until the budgets allow it and a worker is free, so a slow answer or a spent
budget holds up nothing that could go. Workers (threads owned by this incarnation) send, wait and read the answer; the
actor only decides what goes next. Asks are answered later by the worker; when this incarnation ends they end with an error.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Protocol, get_args

import msgspec

from connector.domain.queries import InstrumentsQuery, Query, ServerTimeQuery
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import Banned, ConnectorError, RateLimited, VenueUnavailable
from connector.supervision import SupervisedActor
from connector.throttle import Grant, Priority
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer, Fetch, MeasureClock, post

__all__ = ["HttpPort", "RestActor"]

QUERY_TYPES = frozenset(get_args(Query))


class HttpPort(Protocol):
    """Sends requests without blocking the caller."""

    def submit(
        self, request: HttpRequest, deadline_s: float, done: Callable[[HttpResponse | ConnectorError], None]
    ) -> None:
        """Send it before `deadline_s` (monotonic seconds); `done` is called once, on a worker thread."""

    def close(self) -> None:
        """End open exchanges and let the workers go. Idempotent, any thread."""


class _Finished(msgspec.Struct, frozen=True):
    """From a worker: one exchange is over."""


class _Pump(msgspec.Struct, frozen=True):
    """To itself: look again, a budget may have refilled."""


class _SyncClock(msgspec.Struct, frozen=True):
    """To itself: measure how far the venue's clock is from ours."""


class _Job:
    __slots__ = ("asked_s", "deadline_s", "query", "reply", "request")

    def __init__(
        self, query: Query, request: HttpRequest, asked_s: float, deadline_s: float, reply: Callable[[Answer], None]
    ) -> None:
        self.query, self.request, self.asked_s, self.deadline_s, self.reply = query, request, asked_s, deadline_s, reply


class RestActor(SupervisedActor):
    """Answers the queries of `domain.queries` by `ask`; `Fetch` from its siblings."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory, open_http: Callable[[Any], HttpPort]) -> None:
        super().__init__()
        self._memory, self._open_http = memory, open_http
        self._language = memory.driver.rest
        self._clock = memory.clock
        self._waiting: list[tuple[int, int, _Job]] = []
        self._number = 0
        self._in_flight = 0
        self._pump_armed = False
        self._http: HttpPort | None = None

    def on_start(self) -> None:
        self._http = self._open_http(self.context)
        self._sync_clock()

    def on_stop(self) -> None:
        self._close("the REST actor stopped")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._close("the REST actor failed")

    def on_interrupt(self) -> None:
        if self._http is not None:
            self._http.close()

    def _close(self, why: str) -> None:
        if self._http is not None:
            self._http.close()
        for _, _, job in self._waiting:
            job.reply(Answer(None, VenueUnavailable(f"{why} before the question was sent; ask again.")))
        self._waiting.clear()

    # ------------------------------------------------------------ messages

    def on_receive(self, message: Any) -> Any:
        kind = type(message)
        if kind in QUERY_TYPES:
            request = self._language.request(message)  # what it refuses goes back to the asker at once
            reply = self.context.defer_reply()

            def answer(found: Answer) -> None:
                if found.error is not None:
                    reply.set_exception((type(found.error), found.error, None))
                else:
                    reply.set(found.value)

            self._enqueue(message, request, Priority.READ, self._memory.settings.request_timeout_s, answer)
            return None
        if kind is Fetch:
            try:
                request = self._language.request(message.query)
                self._enqueue(message.query, request, message.priority, message.deadline_s, message.reply)
            except ConnectorError as refused:
                message.reply(Answer(None, refused))
        elif kind is _Finished:
            self._in_flight -= 1
            self._pump()
        elif kind is _Pump:
            self._pump_armed = False
            self._pump()
        elif kind is _SyncClock:
            self._sync_clock()
        elif kind is MeasureClock:
            self._measure_clock()
        else:
            raise TypeError(
                f"the REST actor does not know {message!r}; it answers {sorted(t.__name__ for t in QUERY_TYPES)}"
            )
        return None

    def _enqueue(
        self,
        query: Query,
        request: HttpRequest,
        priority: Priority,
        deadline_s: float,
        reply: Callable[[Answer], None],
    ) -> None:
        now_s = self._clock.monotonic_s()
        self._number += 1
        heapq.heappush(
            self._waiting, (int(priority), self._number, _Job(query, request, now_s, now_s + deadline_s, reply))
        )
        self._pump()

    # ------------------------------------------------------------ sending

    def _pump(self) -> None:
        """Send what may go. Strictly by priority: nothing overtakes a more important question that waits for budget."""
        assert self._http is not None
        memory = self._memory
        while self._waiting and self._in_flight < memory.settings.rest_workers:
            priority, _, job = self._waiting[0]
            now_s = self._clock.monotonic_s()
            if now_s >= job.deadline_s:
                heapq.heappop(self._waiting)
                job.reply(Answer(None, self._too_late(job, now_s)))
                continue
            try:
                grant = memory.ledger.try_grant(job.request.charges, Priority(priority), now_s)
            except ConnectorError as refused:
                heapq.heappop(self._waiting)
                job.reply(Answer(None, refused))
                continue
            if isinstance(grant, float):
                if not self._pump_armed:
                    self._pump_armed = True
                    self.context.call_later(min(grant, max(0.0, job.deadline_s - now_s)) + 0.001, _Pump())
                return
            heapq.heappop(self._waiting)
            self._in_flight += 1
            self._http.submit(job.request, job.deadline_s, self._finisher(job, grant))

    def _too_late(self, job: _Job, now_s: float) -> ConnectorError:
        return RateLimited(
            f"{job.request!r} waited {now_s - job.asked_s:.1f} s for the request budget of {self._memory.name} and was "
            f"not sent. {self._memory.ledger!r}. Ask less often, or with a longer deadline."
        )

    def _finisher(self, job: _Job, grant: Grant) -> Callable[[HttpResponse | ConnectorError], None]:
        memory, language, context, ref = self._memory, self._language, self.context, self.actor_ref

        def finish(outcome: HttpResponse | ConnectorError) -> None:  # on a worker thread
            memory.counters.add("rest.answers")
            try:
                if isinstance(outcome, ConnectorError):
                    grant.settle()
                    raise outcome
                grant.settle(language.used(outcome))
                value = language.read(job.query, outcome, memory.instruments)
                if isinstance(job.query, ServerTimeQuery):
                    memory.add_clock_sample(outcome.sent_ns, outcome.received_ns, value)
                elif isinstance(job.query, InstrumentsQuery) and value.server_time_ns is not None:
                    memory.add_clock_sample(outcome.sent_ns, outcome.received_ns, value.server_time_ns)
            except ConnectorError as error:
                memory.counters.add("rest.errors")
                if isinstance(error, (RateLimited, Banned)):
                    memory.counters.add("rest.refused_by_limit")
                    named = tuple(charge.budget for charge in job.request.charges)
                    memory.ledger.penalize(error, memory.clock.monotonic_s(), named)
                job.reply(Answer(None, error))
            else:
                job.reply(Answer(value, None))
            finally:
                if context.is_current():
                    post(ref, _Finished())

        return finish

    def _sync_clock(self) -> None:
        self.context.call_later(self._memory.settings.clock_sync_s, _SyncClock())
        self._measure_clock()

    def _measure_clock(self) -> None:
        query = ServerTimeQuery()
        request = self._language.request(query)
        self._enqueue(query, request, Priority.READ, self._memory.settings.request_timeout_s, lambda answer: None)

    def __repr__(self) -> str:
        return f"<RestActor {self._memory.name} waiting={len(self._waiting)} in_flight={self._in_flight}>"
