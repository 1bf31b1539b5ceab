"""The REST actor of one venue: every question goes through it, in order of priority, within the venue's budgets.

It never blocks: a question waits in its queue until the budgets allow it and a worker is free, so a slow answer or a spent
budget holds up nothing that could go. While the venue does not answer reads (`venue.health`), an engine's question is refused
at once, the library's own wait, and one at a time is tried; orders and cancels pass. Workers (threads owned by this
incarnation) send, wait and read the answer; the actor only decides what goes next. Asks are answered later by the worker; when
this incarnation ends they end with an error.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, get_args

import msgspec
import pykka

from connector.domain.queries import InstrumentsQuery, Query, ServerTimeQuery
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import (
    Banned,
    ConnectorBug,
    ConnectorError,
    NotConnected,
    RateLimited,
    RetryLater,
    VenueUnavailable,
)
from connector.orders.outcomes import Reachable
from connector.supervision import SupervisedActor
from connector.throttle import Grant, Priority
from connector.venue.health import SPECS, Circuit
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer, Fetch, MeasureClock, RawAnswer, SignedFetch, post
from connector.venue.naming import called

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


class _NextPage(msgspec.Struct, frozen=True):
    """From a worker: the answer goes on on another page.

    Attributes:
        until_s: monotonic seconds, the deadline of the whole question.
        parts: the pages so far.
    """

    query: Query
    request: HttpRequest
    priority: Priority
    until_s: float
    reply: Callable[[Answer], None]
    patient: bool
    parts: tuple[Any, ...]


class _Pump(msgspec.Struct, frozen=True):
    """To itself: look again, a budget may have refilled; unless an earlier look was arranged meanwhile."""

    due_s: float


class _SyncClock(msgspec.Struct, frozen=True):
    """To itself: measure how far the venue's clock is from ours."""


class _Job:
    """One question or order on its way.

    `build` makes the request when its turn comes; `finish` is called with the outcome, or with why it was not sent (no grant).
    `patient`: a read that waits while reads are not answered, rather than being refused.
    """

    __slots__ = ("asked_s", "build", "circuit", "deadline_s", "finish", "patient")

    def __init__(
        self,
        build: Callable[[], HttpRequest],
        asked_s: float,
        deadline_s: float,
        finish: Callable[[HttpResponse | ConnectorError, Grant | None], None],
        circuit: Circuit,
        patient: bool,
    ) -> None:
        self.build, self.asked_s, self.deadline_s, self.finish = build, asked_s, deadline_s, finish
        self.circuit, self.patient = circuit, patient


class RestActor(SupervisedActor):
    """Answers the queries of `domain.queries` by `ask`; `Fetch` from its siblings."""

    declared_errors = (ConnectorError,)

    def __init__(self, memory: VenueMemory, open_http: Callable[[Any], HttpPort]) -> None:
        super().__init__()
        self._memory, self._open_http = memory, open_http
        self._language = memory.driver.rest
        self._clock = memory.clock
        self._waiting: list[tuple[int, int, _Job]] = []
        self._held: list[tuple[int, int, _Job]] = []  # patient reads while reads are not answered
        self._reads_failed = True  # perhaps, before this incarnation; nobody is told late that they are answered again
        self._number = 0
        self._in_flight = 0
        self._pump_s = self._held_look_s = float("inf")
        self._http: HttpPort | None = None

    def on_start(self) -> None:
        if self._memory.trading is not None:
            self._memory.trading.on_clock_doubt = partial(post, self.actor_ref, MeasureClock())
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
        for _, _, job in (*self._waiting, *self._held):
            job.finish(NotConnected(f"{why} before the request was sent; ask again."), None)
        self._waiting.clear()
        self._held.clear()

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

            timeout_s = self._memory.settings.request_timeout_s
            self._enqueue_query(message, request, Priority.READ, timeout_s, answer, patient=False)
        elif kind is Fetch:
            try:
                request = self._language.request(message.query)
            except ConnectorError as refused:
                message.reply(Answer(None, refused))
                return None
            self._enqueue_query(message.query, request, message.priority, message.deadline_s, message.reply)
        elif kind is SignedFetch:
            circuit = _circuit(message)
            finish = self._raw_finisher(message, circuit)
            self._enqueue(message.priority, message.deadline_s, message.build, finish, circuit)
        elif kind is _Finished:
            self._in_flight -= 1
            self._pump()
        elif kind is _NextPage:
            left_s = message.until_s - self._clock.monotonic_s()
            self._memory.counters.add("rest.pages")
            self._enqueue_query(
                message.query,
                message.request,
                message.priority,
                left_s,
                message.reply,
                patient=message.patient,
                parts=message.parts,
            )
        elif kind is _Pump:
            if message.due_s == self._pump_s:
                self._pump_s = float("inf")
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

    def _enqueue_query(
        self,
        query: Query,
        request: HttpRequest,
        priority: Priority,
        deadline_s: float,
        reply: Callable[[Answer], None],
        *,
        patient: bool = True,
        parts: tuple[Any, ...] = (),
    ) -> None:
        until_s = self._clock.monotonic_s() + deadline_s
        finish = self._finisher(_NextPage(query, request, priority, until_s, reply, patient, parts))
        self._enqueue(priority, deadline_s, lambda: request, finish, Circuit.READS, patient)

    def _enqueue(
        self,
        priority: Priority,
        deadline_s: float,
        build: Callable[[], HttpRequest],
        finish: Callable[[HttpResponse | ConnectorError, Grant | None], None],
        circuit: Circuit,
        patient: bool = True,
    ) -> None:
        now_s = self._clock.monotonic_s()
        self._number += 1
        job = _Job(build, now_s, now_s + deadline_s, finish, circuit, patient)
        heapq.heappush(self._waiting, (int(priority), self._number, job))
        self._pump()

    # ------------------------------------------------------------ sending

    def _pump(self) -> None:
        """Send what may go. Strictly by priority: nothing overtakes a more important question that waits for budget."""
        assert self._http is not None
        memory = self._memory
        if self._reads_failed:
            self._look_at_reads()
        while self._waiting and self._in_flight < memory.settings.rest_workers:
            priority, number, job = self._waiting[0]
            now_s = self._clock.monotonic_s()
            if now_s >= job.deadline_s:
                heapq.heappop(self._waiting)
                job.finish(self._too_late(job, now_s), None)
                continue
            reading = job.circuit is Circuit.READS
            if reading and (wait_s := memory.health.wait_s(Circuit.READS)) > 0.0:
                heapq.heappop(self._waiting)
                self._reads_failed = True
                if job.patient:
                    self._hold((priority, number, job), now_s, wait_s)
                else:
                    job.finish(self._unfit(wait_s), None)
                continue
            try:
                request = job.build()
                grant = memory.ledger.try_grant(request.charges, Priority(priority), now_s)
            except ConnectorError as refused:
                heapq.heappop(self._waiting)
                job.finish(refused, None)
                continue
            if isinstance(grant, float):
                self._pump_in(min(grant, max(0.0, job.deadline_s - now_s)) + 0.001, now_s)
                return
            heapq.heappop(self._waiting)
            self._in_flight += 1
            if reading:
                memory.health.take(Circuit.READS)
            self._http.submit(request, job.deadline_s, self._done(job, grant))

    def _pump_in(self, after_s: float, now_s: float) -> None:
        if now_s + after_s < self._pump_s:
            self._pump_s = now_s + after_s
            self.context.call_later(after_s, _Pump(self._pump_s))

    def _hold(self, entry: tuple[int, int, _Job], now_s: float, wait_s: float) -> None:
        self._held.append(entry)
        look_in_s = min(wait_s, entry[2].deadline_s - now_s) + 0.001
        self._held_look_s = min(self._held_look_s, now_s + look_in_s)
        self._pump_in(look_in_s, now_s)

    def _look_at_reads(self) -> None:
        """Reads are answered again, or it is time for a trial: those held queue anew. Those whose time is up are refused."""
        health = self._memory.health
        if health.is_closed(Circuit.READS):
            self._reads_failed = False
            if self._memory.trading is not None:  # what waits for the end of a long pause between questions goes on now
                with suppress(pykka.ActorDeadError, LookupError):
                    self.context.sibling("orders").tell(Reachable())
        now_s, wait_s = self._clock.monotonic_s(), health.wait_s(Circuit.READS)
        if wait_s > 0.0 and now_s < self._held_look_s:
            if self._held:
                self._pump_in(self._held_look_s - now_s + 0.001, now_s)  # past it, however the times were rounded
            return
        held, self._held, self._held_look_s = self._held, [], float("inf")
        for entry in held:
            if entry[2].deadline_s <= now_s:
                entry[2].finish(self._unfit(wait_s), None)
        held = [entry for entry in held if entry[2].deadline_s > now_s]
        if wait_s == 0.0 and not health.is_closed(Circuit.READS) and held:
            # The trial is the one with the most time left: one that is cut short by its deadline would say nothing true.
            trial = max(held, key=lambda entry: entry[2].deadline_s)
            held.remove(trial)
            heapq.heappush(self._waiting, trial)
            wait_s = SPECS[Circuit.READS].breaker.probe_s
        for entry in held:
            if wait_s > 0.0:
                self._hold(entry, now_s, wait_s)
            else:
                heapq.heappush(self._waiting, entry)

    def _done(self, job: _Job, grant: Grant) -> Callable[[HttpResponse | ConnectorError], None]:
        context, ref, counters = self.context, self.actor_ref, self._memory.counters

        def done(outcome: HttpResponse | ConnectorError) -> None:  # on a worker thread
            counters.add("rest.answers")
            try:
                job.finish(outcome, grant)
            finally:
                if context.is_current():
                    post(ref, _Finished())

        return done

    def _too_late(self, job: _Job, now_s: float) -> ConnectorError:
        return RateLimited(
            f"nothing was sent: a request waited {now_s - job.asked_s:.1f} s for the request budget of {self._memory.name}. "
            f"{self._memory.ledger!r}. Ask less often, or with a longer deadline."
        )

    def _unfit(self, wait_s: float) -> ConnectorError:
        return VenueUnavailable(
            f"nothing was sent: {self._memory.name} did not answer the last questions. One is tried at a time; "
            f"ask again in {wait_s:.1f} s.",
            retry_after_s=wait_s,
        )

    def _heard(self, circuit: Circuit, error: ConnectorError | None) -> None:
        """On a worker thread. What this actor cuts off as it ends says nothing of the venue."""
        if self.context.is_current():
            self._memory.health.heard(circuit, error)

    def _finisher(self, page: _NextPage) -> Callable[[HttpResponse | ConnectorError, Grant | None], None]:
        memory, language, context, ref = self._memory, self._language, self.context, self.actor_ref
        query, request, reply = page.query, page.request, page.reply

        def finish(outcome: HttpResponse | ConnectorError, grant: Grant | None) -> None:
            try:
                if isinstance(outcome, ConnectorError):
                    if grant is not None:
                        _without_answer(grant, outcome)
                    raise outcome
                if grant is not None:
                    grant.settle(language.used(outcome))
                value: Any = language.read(query, outcome, memory.instruments)
                following = language.more(query, outcome)
                parts = (*page.parts, value)
                if following is None and page.parts:
                    value = language.joined(query, parts)
                if memory.name != memory.driver.name:
                    value = called(value, memory.name)
                if isinstance(query, ServerTimeQuery):
                    memory.add_clock_sample(outcome.sent_ns, outcome.received_ns, value)
                elif isinstance(query, InstrumentsQuery) and value.server_time_ns is not None:
                    memory.add_clock_sample(outcome.sent_ns, outcome.received_ns, value.server_time_ns)
            except ConnectorError as error:
                memory.counters.add("rest.errors")
                if grant is not None:
                    self._heard(Circuit.READS, error)
                    self._heed(error, lambda _: tuple(charge.budget for charge in request.charges))
                reply(Answer(None, error))
            except BaseException as bug:  # whoever asked is told, before this worker and with it the actor goes down
                reply(Answer(None, ConnectorBug(f"reading the answer to {request!r} failed: {bug!r}")))
                raise
            else:
                self._heard(Circuit.READS, None)
                if following is None:
                    reply(Answer(value, None))
                elif not context.is_current():
                    reply(Answer(None, NotConnected("the REST actor ended between two pages; ask again.")))
                else:
                    post(ref, msgspec.structs.replace(page, request=following, parts=parts))

        return finish

    def _raw_finisher(
        self, message: SignedFetch, circuit: Circuit
    ) -> Callable[[HttpResponse | ConnectorError, Grant | None], None]:
        """For signed requests: hand the response over as it came; only what concerns budgets is read here."""
        memory = self._memory
        trading = memory.trading
        assert trading is not None, "a signed request needs credentials"

        def finish(outcome: HttpResponse | ConnectorError, grant: Grant | None) -> None:
            if isinstance(outcome, ConnectorError):
                if grant is not None:
                    _without_answer(grant, outcome)
                    self._heard(circuit, outcome)
                memory.counters.add("rest.errors")
                message.reply(
                    RawAnswer(None, outcome, sent=grant is not None and not isinstance(outcome, NotConnected))
                )
                return
            try:
                if grant is not None:
                    grant.settle(trading.language.used(outcome))
                    failure = trading.language.failure(outcome, write=message.write)
                    self._heard(circuit, failure)
                    if failure is not None:
                        self._heed(failure, lambda error: trading.spent(error, grant.charges))
                        trading.note_clock(failure)
            finally:
                message.reply(RawAnswer(outcome, None, sent=True))

        return finish

    def _heed(self, error: ConnectorError, about: Callable[[RetryLater], tuple[str, ...]]) -> None:
        """A refusal by limit or ban stops what it concerns until its time.

        Args:
            about: error -> names of those budgets; none: all.
        """
        if isinstance(error, (RateLimited, Banned)):
            self._memory.counters.add("rest.refused_by_limit")
            self._memory.ledger.penalize(error, self._clock.monotonic_s(), about(error))

    def _sync_clock(self) -> None:
        self.context.call_later(self._memory.settings.clock_sync_s, _SyncClock())
        self._measure_clock()

    def _measure_clock(self) -> None:
        query = ServerTimeQuery()
        request = self._language.request(query)
        timeout_s = self._memory.settings.request_timeout_s
        self._enqueue_query(query, request, Priority.READ, timeout_s, lambda answer: None)

    def __repr__(self) -> str:
        held = f" held={len(self._held)}" if self._held else ""
        return f"<RestActor {self._memory.name} waiting={len(self._waiting)}{held} in_flight={self._in_flight}>"


def _without_answer(grant: Grant, error: ConnectorError) -> None:
    if isinstance(error, NotConnected):
        grant.settle()
    else:
        grant.lose()


def _circuit(message: SignedFetch) -> Circuit:
    if not message.write:
        return Circuit.READS
    return Circuit.CANCELS if message.priority is Priority.CANCEL else Circuit.ORDERS
