"""A mistake of our own while an answer is read: whoever asked is told at once, and the actor starts afresh."""

import dataclasses

import pytest
from test_dead_key import Far

from connector import Connector, ConnectorSettings, VenueSettings
from connector.assembly import Parts
from connector.domain.queries import TickersQuery
from connector.drivers.registry import find_driver
from connector.errors import ConnectorBug
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.memory_http import MemoryHttp
from connector.throttle import Priority
from connector.venue.messages import Fetch


class Forgetful:
    """The driver's REST language, but for one kind of answer it fails on."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def read(self, query, response, instruments):
        if isinstance(query, TickersQuery):
            raise ZeroDivisionError("a mistake of ours")
        return self._inner.read(query, response, instruments)


def test_whoever_asked_is_told_before_the_actor_goes_down():
    runtime = DeterministicRuntime(1)
    far = Far(runtime)
    driver = find_driver("binance")
    parts = Parts(
        links=lambda settings: far.links,
        open_http=lambda memory: lambda context: MemoryHttp(far.answer, lambda call: runtime.call_later(0.01, call)),
        driver=lambda name: dataclasses.replace(driver, rest=Forgetful(driver.rest)),
        random=runtime.random,
    )
    answers = []
    settings = ConnectorSettings((VenueSettings("binance", rest_url="https://far.test", stream_url="wss://far.test"),))
    with Connector(settings, clock=runtime.clock, parts=parts, runtime=runtime) as connector:
        runtime.advance(1.0)
        with pytest.raises(ZeroDivisionError):  # without threads, the worker's failure surfaces where time is moved
            connector.venue("binance").rest.tell(Fetch(TickersQuery(), Priority.READ, 5.0, answers.append))
            runtime.advance(1.0)

    assert isinstance(answers[0].error, ConnectorBug)
    assert "ZeroDivisionError" in str(answers[0].error)
