"""What a user records with one setting, the simulator replays, and the same values come out."""

import gzip
import json
from pathlib import Path

import pytest

from connector import Connector, Trade, VenueSettings
from connector.errors import SettingsError
from connector.simulator import Replay, Simulator, SimulatorSettings


def take(subscription, count):
    values = []
    while len(values) < count:
        value = subscription.get(10)
        if isinstance(value, Trade):
            values.append((value.trade_id, value.price, value.quantity, value.side, value.event_time_ns))
    return values


def test_a_recording_of_a_live_venue_replays_to_the_same_trades_and_a_valid_book(tmp_path):
    path = tmp_path / "capture.jsonl.gz"
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), seed=11, events_per_s=400.0)) as live:
        venue = VenueSettings("binance", rest_url=live.rest_url, stream_url=live.ws_url, record=path)
        with Connector([venue]) as connector:
            trades = connector.subscribe("binance", "trades", "BTC/USDT")
            book = connector.subscribe("binance", "book", "BTC/USDT")
            book.wait_live(10)
            seen = take(trades, 40)

    with Simulator(SimulatorSettings(source=Replay(path, speed=None))) as replay:
        venue = VenueSettings("binance", rest_url=replay.rest_url, stream_url=replay.ws_url)
        with Connector([venue]) as connector:
            trades = connector.subscribe("binance", "trades", "BTC/USDT")
            book = connector.subscribe("binance", "book", "BTC/USDT")
            book.wait_live(10)
            again = take(trades, 30)

    first = seen.index(again[0])
    assert seen[first : first + 20] == again[:20]


def test_a_recording_holds_frames_and_answers_in_the_shared_format(tmp_path):
    path = tmp_path / "capture.jsonl.gz"
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), seed=11, events_per_s=400.0)) as live:
        venue = VenueSettings("binance", rest_url=live.rest_url, stream_url=live.ws_url, record=path)
        with Connector([venue]) as connector:
            take(connector.subscribe("binance", "trades", "BTC/USDT"), 5)

    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert {"http", "ws-open", "ws-in", "ws-out"} <= {row["kind"] for row in rows}
    assert all(set(row) == {"at", "kind", "url", "body"} for row in rows)
    assert any("/exchangeInfo" in row["url"] for row in rows if row["kind"] == "http")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to play a full disk")
def test_a_full_disk_ends_the_recording_and_nothing_else():
    with Simulator(SimulatorSettings(symbols=("BTCUSDT",), seed=11, events_per_s=2000.0)) as live:
        venue = VenueSettings("binance", rest_url=live.rest_url, stream_url=live.ws_url, record="/dev/full")
        with Connector([venue]) as connector:
            assert len(take(connector.subscribe("binance", "trades", "BTC/USDT"), 300)) == 300
            children = connector.tree.snapshot().children[0].children

    assert [child.restarts for child in children] == [0, 0, 0, 0]


def test_two_venues_may_not_record_into_one_file(tmp_path):
    venues = [VenueSettings("binance", name=name, record=tmp_path / "a.jsonl") for name in ("one", "two")]

    with pytest.raises(SettingsError, match="one file"):
        Connector(venues)
