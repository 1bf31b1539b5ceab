"""A stopped connector says so: nothing is accepted that could never be served."""

import pytest
from test_dead_key import started

from connector.errors import NotConnected
from connector.testing.deterministic import DeterministicRuntime


@pytest.fixture
def stopped():
    _, connector = started(DeterministicRuntime(1))
    with connector:
        subscription = connector.subscribe("binance", "trades", "BTC/USDT")
    return connector, subscription


def test_subscriptions_end_with_the_connector(stopped):
    _, subscription = stopped

    assert list(subscription) == []


def test_a_stopped_connector_refuses_subscriptions(stopped):
    connector, _ = stopped

    with pytest.raises(NotConnected, match="stopped"):
        connector.subscribe("binance", "trades", "BTC/USDT")


def test_a_stopped_connector_stays_stopped(stopped):
    connector, _ = stopped

    with pytest.raises(NotConnected, match="make a new one"):
        connector.start()


def test_listeners_to_orders_end_with_the_connector():
    _, connector = started(DeterministicRuntime(2))
    with connector:
        stream = connector.venue("binance").orders_stream()

    assert list(stream) == []
