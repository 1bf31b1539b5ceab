"""Positions that never were traded: told by the venue with empty texts, and no reason to doubt the account."""

from __future__ import annotations

import json

import pytest

from connector.drivers.trading import SessionEvents


def frame(symbol, **changes):
    row = {
        "positionIdx": 0,
        "symbol": symbol,
        "side": "",
        "size": "0",
        "entryPrice": "0",
        "leverage": "20",
        "markPrice": "64001.4",
        "liqPrice": "",
        "unrealisedPnl": "0",
        "updatedTime": "",
        "seq": -1,
    }
    message = {"id": "1_2", "topic": "position", "creationTime": 1_767_225_600_000, "data": [row | changes]}
    return json.dumps(message).encode()


@pytest.mark.parametrize(("name", "symbol"), [("bybit-linear", "BTCUSDT"), ("bybit-inverse", "BTCUSD")])
def test_position_that_never_was_traded_is_flat_and_has_no_time(bybit_drivers, bybit_tables, name, symbol):
    read = bybit_drivers[name].events.read(frame(symbol), 7, bybit_tables[name])

    assert isinstance(read, SessionEvents)
    position = read.facts[0].positions[0]
    assert (position.quantity, position.entry_price, position.event_time_ns) == (0, None, None)


@pytest.mark.parametrize("time", ["soon", "-1"])
def test_any_other_text_for_a_time_is_not_read(bybit_drivers, bybit_tables, time):
    read = bybit_drivers["bybit-linear"].events.read(
        frame("BTCUSDT", updatedTime=time), 7, bybit_tables["bybit-linear"]
    )

    assert not isinstance(read, SessionEvents) and not read.known
