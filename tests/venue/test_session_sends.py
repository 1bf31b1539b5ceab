"""A session's link that breaks as a request is handed to it: the request may have left, so it ends as lost, never as not sent."""

from __future__ import annotations

import pytest

from connector.domain.wire import HttpResponse
from connector.drivers.registry import find_driver
from connector.drivers.trading import SessionRequest
from connector.errors import ConnectorError, LinkError, NotConnected
from connector.telemetry import Counters, OncePerKind
from connector.testing.clocks import FakeClock
from connector.venue.session import Session, SessionConnection, SessionLost


class Link:
    """Takes nothing: every send ends in `error`."""

    def __init__(self, error: ConnectorError) -> None:
        self.error = error

    def send(self, text: bytes) -> None:
        raise self.error


def up(error: ConnectorError) -> tuple[Session, SessionConnection]:
    session = Session(FakeClock(), Counters())
    language = find_driver("binance").session
    assert language is not None
    connection = SessionConnection(
        1,
        None,
        session,
        language,
        lambda: None,
        OncePerKind(),
        lambda: True,
        lambda message: None,
        lambda message: None,
    )
    connection.link = Link(error)  # type: ignore[assignment]
    session.put_up(connection)
    return session, connection


def test_a_request_whose_link_broke_while_sending_is_lost_when_the_link_ends_and_not_called_unsent():
    session, connection = up(LinkError("the link broke while sending; the message may have left"))
    ends: list[HttpResponse | SessionLost] = []

    sent = session.send(lambda number: SessionRequest(b"{}", number, ()), 5.0, ends.append)
    assert sent.request_id and ends == []
    session.lose(connection, "the private session ended")
    assert [type(each) for each in ends] == [SessionLost]


def test_a_request_whose_link_never_tells_its_end_is_lost_at_its_deadline():
    session, _ = up(LinkError("the link broke while sending; the message may have left"))
    ends: list[HttpResponse | SessionLost] = []

    session.send(lambda number: SessionRequest(b"{}", number, ()), 5.0, ends.append)
    session.expire(4.9)
    assert ends == []
    session.expire(5.0)
    assert [type(each) for each in ends] == [SessionLost]


def test_a_request_the_link_did_not_take_is_not_sent_and_nobody_waits_for_it():
    session, connection = up(NotConnected("the link is closed; nothing was sent"))
    ends: list[HttpResponse | SessionLost] = []

    with pytest.raises(NotConnected):
        session.send(lambda number: SessionRequest(b"{}", number, ()), 5.0, ends.append)
    session.lose(connection, "the private session ended")
    session.expire(10.0)
    assert ends == []
