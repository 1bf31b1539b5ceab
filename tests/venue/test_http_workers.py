"""Threads that send requests: what happens when the system has none to give."""

import threading

from connector.domain.wire import HttpRequest
from connector.errors import ConnectorError, NotConnected
from connector.transport.http import HttpClient
from connector.venue.http_workers import HttpWorkers

TIME = HttpRequest("GET", "/time")


class Context:
    """An actor's context whose system refuses the first threads."""

    def __init__(self, refused: int) -> None:
        self.refused, self.threads = refused, []

    def spawn(self, name, body):
        if self.refused:
            self.refused -= 1
            raise RuntimeError("can't start new thread")
        thread = threading.Thread(target=body, name=name)
        self.threads.append(thread)
        thread.start()
        return thread


class Slow(HttpClient):
    """No call ends before `go`."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.go = threading.Event()

    def send(self, request, deadline_s=None):
        assert self.go.wait(10.0)
        return super().send(request, deadline_s)


def ended(context: Context, requests: int) -> list[object]:
    """How so many requests ended, one after the other, to a port where nobody listens."""
    outcomes: list[object] = []
    workers = HttpWorkers(HttpClient("http://127.0.0.1:1"), context, 2)
    try:
        for _ in range(requests):
            over = threading.Event()
            workers.submit(TIME, 0.0, lambda outcome, over=over: (outcomes.append(outcome), over.set()))
            assert over.wait(10.0)
    finally:
        workers.close()
        for thread in context.threads:
            thread.join(10.0)
    return outcomes


def test_a_request_without_any_thread_for_it_was_not_sent_and_the_next_one_has_its_chance():
    """F78: the asker is told, nobody crashes."""
    first, second = ended(Context(refused=1), 2)

    assert isinstance(first, NotConnected) and "no thread for it" in str(first)
    assert isinstance(second, ConnectorError) and "no thread" not in str(second)


def test_a_request_is_done_by_a_thread_there_is_when_another_is_refused():
    """F78."""
    context = Context(refused=0)
    workers = HttpWorkers(HttpClient("http://127.0.0.1:1"), context, 2)
    try:
        told: list[object] = []
        over = threading.Event()
        workers.submit(TIME, 0.0, told.append)
        context.refused = 1
        workers.submit(TIME, 0.0, lambda outcome: (told.append(outcome), over.set()))
        assert over.wait(10.0)
        assert len(context.threads) == 1
        assert not any("no thread" in str(each) for each in told)
    finally:
        workers.close()
        for thread in context.threads:
            thread.join(10.0)


def test_requests_one_after_the_other_are_done_by_the_thread_that_is_free():
    context = Context(refused=0)

    assert len(ended(context, 5)) == 5 and len(context.threads) == 1


def test_threads_that_had_nothing_to_do_for_a_while_end_but_for_one_which_does_what_comes_next():
    context = Context(refused=0)
    client = Slow("http://127.0.0.1:1")
    workers = HttpWorkers(client, context, 4, idle_s=0.05)
    try:
        told, over = [], threading.Semaphore(0)
        for _ in range(4):
            workers.submit(TIME, 0.0, lambda outcome: (told.append(outcome), over.release()))
        client.go.set()
        assert all(over.acquire(timeout=10.0) for _ in range(4))
        busy = len(context.threads)
        for thread in context.threads:
            thread.join(0.5)
        left = [thread for thread in context.threads if thread.is_alive()]
        workers.submit(TIME, 0.0, lambda outcome: (told.append(outcome), over.release()))
        assert over.acquire(timeout=10.0)
    finally:
        workers.close()
        for thread in context.threads:
            thread.join(10.0)

    assert (busy, len(left), len(context.threads)) == (4, 1, 4)
    assert len(told) == 5
