"""Replay: recorded bytes to whoever subscribes, and answers that never contradict them."""

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from connector.simulator import CaptureError, CaptureWriter, Replay, book_digest, read_capture

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
NAMES = ("binance-spot-2021-10-12.jsonl.gz", "binance-us-spot-2021-10-12.jsonl.gz")
T0 = 1_700_000_000_000_000_000


def delta(first, last, bids=(), asks=()):
    return {"e": "depthUpdate", "E": 1, "s": "ABCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}


FRAMES = [
    ("abcusdt@depth@100ms", delta(8, 9, [["0.98", "3.00"]])),
    (
        "abcusdt@trade",
        {"e": "trade", "E": 1, "s": "ABCUSDT", "t": 70, "p": "1.01", "q": "2.0", "T": 1, "m": False, "M": True},
    ),
    ("abcusdt@depth@100ms", delta(10, 12, [["1.00", "0.00"]], [["1.02", "7.00"]])),
    ("abcusdt@depth@100ms", delta(13, 15, [["0.99", "1.50"]])),
    (
        "abcusdt@trade",
        {"e": "trade", "E": 2, "s": "ABCUSDT", "t": 71, "p": "1.02", "q": "1.0", "T": 2, "m": True, "M": True},
    ),
]
SNAPSHOT = {"lastUpdateId": 10, "bids": [["1.00", "5.00"], ["0.98", "1.00"]], "asks": [["1.02", "9.00"]]}
INFO = {"timezone": "UTC", "serverTime": 1, "rateLimits": [], "symbols": [{"symbol": "ABCUSDT", "status": "TRADING"}]}


@pytest.fixture
def recording(tmp_path):
    """A recording of five frames, 20 ms apart."""
    path = tmp_path / "traffic.jsonl.gz"
    with CaptureWriter(path) as writer:
        writer.http("https://venue/api/v3/exchangeInfo", json.dumps(INFO), T0)
        writer.opened("wss://venue/stream?streams=abcusdt@depth@100ms/abcusdt@trade", T0)
        for number, (stream, data) in enumerate(FRAMES):
            if number == 1:
                writer.http("https://venue/api/v3/depth?symbol=ABCUSDT&limit=1000", json.dumps(SNAPSHOT), T0 + 1)
            text = f'{{"stream":"{stream}", "data":{json.dumps(data)}}}'
            writer.frame_in("", text, T0 + 1_000_000_000 + number * 20_000_000)
        writer.frame_in("", '{"result":null,"id":1}', T0 + 2_000_000_000)
    return path


def test_frames_come_as_recorded_to_raw_and_combined_clients(simulator, connect, recording):
    sim = simulator(source=Replay(recording, speed=None, start="manual"))
    combined = connect(sim, "abcusdt@trade", "abcusdt@depth@100ms")
    raw = connect(sim, path="/ws/abcusdt@trade")
    sim.resume()
    assert [(m["stream"], m["data"]) for m in combined.collect(5)] == FRAMES
    assert [raw.ws.recv() for _ in range(2)] == [
        json.dumps(data) for stream, data in FRAMES if stream.endswith("trade")
    ]
    assert sim.wait_finished(5.0)
    assert "played frames=5/5" in repr(sim)


def test_nothing_plays_before_somebody_has_settled(simulator, connect, recording, eventually):
    sim = simulator(source=Replay(recording, speed=None, settle_s=0.1))
    assert not sim.wait_finished(0.2)
    client = connect(sim)
    client.ask("SUBSCRIBE", ["abcusdt@trade"])
    client.ask("SUBSCRIBE", ["abcusdt@depth@100ms"], 2)
    assert len(client.collect(5)) == 5


def test_it_can_wait_until_every_recorded_stream_is_subscribed(simulator, connect, recording):
    sim = simulator(source=Replay(recording, speed=None, start="all"))
    client = connect(sim, "abcusdt@trade")
    assert not sim.wait_finished(0.1)
    client.ask("SUBSCRIBE", ["abcusdt@depth@100ms"])
    assert sim.wait_finished(5.0)


def test_the_first_snapshot_is_the_recorded_one_and_later_ones_join_what_was_played(
    simulator, connect, rest, recording
):
    sim = simulator(source=Replay(recording, start="manual"))
    get = rest(sim)
    connect(sim, "abcusdt@depth@100ms")
    sim.pause()  # stepping begins it, and from then on its time would pass
    sim.step(3)
    first = get("/api/v3/depth", symbol="ABCUSDT", limit=1000).json
    assert first == SNAPSHOT
    second = get("/api/v3/depth", symbol="ABCUSDT", limit=1000).json
    assert second == {"lastUpdateId": 12, "bids": [["0.98", "1.00"]], "asks": [["1.02", "7.00"]]}
    assert sim.ledger.update_id("ABCUSDT") == 12
    assert sim.ledger.book("ABCUSDT", 10)[0][0] == (Decimal("1.00"), Decimal("5.00"))
    assert sim.step(10) == 2
    assert sim.ledger.book("ABCUSDT")[0][0] == (Decimal("0.99"), Decimal("1.50"))
    with pytest.raises(LookupError, match="no book at update 11"):
        sim.ledger.book("ABCUSDT", 11)


def test_a_recording_that_lost_its_place_goes_on_from_its_next_snapshot(simulator, rest, tmp_path):
    path = tmp_path / "torn.jsonl"
    with CaptureWriter(path) as writer:
        writer.http("https://venue/api/v3/exchangeInfo", json.dumps(INFO), T0)
        writer.http("https://venue/api/v3/depth?symbol=ABCUSDT&limit=1000", json.dumps(SNAPSHOT), T0 + 1)
        writer.frame_in("wss://venue/ws/abcusdt@depth@100ms", json.dumps(delta(11, 11, [["1.00", "4.00"]])), T0 + 2)
        writer.frame_in("wss://venue/ws/abcusdt@depth@100ms", json.dumps(delta(40, 41, [["1.00", "3.00"]])), T0 + 4)
        again = {"lastUpdateId": 40, "bids": [["0.90", "1.00"]], "asks": []}
        writer.http("https://venue/api/v3/depth?symbol=ABCUSDT&limit=1000", json.dumps(again), T0 + 3)
    sim = simulator(source=Replay(path, start="manual"))
    assert sim.step(5) == 2
    assert sim.ledger.update_id("ABCUSDT") == 41
    assert [str(price) for price, _ in sim.ledger.book("ABCUSDT")[0]] == ["1.00", "0.90"]
    assert [str(size) for _, size in sim.ledger.book("ABCUSDT", 11)[0]] == ["4.00", "1.00"]


def test_the_venues_time_is_the_recordings(simulator, rest, recording):
    sim = simulator(source=Replay(recording, start="manual"))
    get = rest(sim)
    assert get("/api/v3/time").json["serverTime"] == T0 // 1_000_000 + 1_000
    sim.pause()  # stepping begins it, and from then on its time would pass
    sim.step(3)
    assert get("/api/v3/time").json["serverTime"] == T0 // 1_000_000 + 1_040
    wall = simulator(source=Replay(recording, start="manual", clock="wall"))
    assert rest(wall)("/api/v3/time").json["serverTime"] > T0 // 1_000_000 + 10**9


def test_spacing_is_kept_at_the_chosen_speed(simulator, connect, recording):
    sim = simulator(source=Replay(recording, speed=0.5, start="manual"))
    client = connect(sim, "abcusdt@trade")
    sim.resume()
    began = time.monotonic()
    client.collect(2)
    assert 0.1 <= time.monotonic() - began < 2.0


def test_what_the_recording_does_not_know_is_refused_in_words(simulator, rest, recording):
    sim = simulator(source=Replay(recording, start="manual"))
    get = rest(sim)
    sim.step(5)
    for path in ("klines", "avgPrice", "ticker/24hr", "ticker/bookTicker", "ticker", "ticker/tradingDay"):
        params = {"symbol": "ABCUSDT"} | ({"interval": "1m"} if path == "klines" else {})
        answer = get(f"/api/v3/{path}", **params)
        assert answer.status == 400
        assert answer.json["code"] == -1020
        assert "the recording holds no" in answer.json["msg"]
    assert [row["id"] for row in get("/api/v3/trades", symbol="ABCUSDT").json] == [70, 71]
    assert get("/api/v3/ticker/price", symbol="ABCUSDT").json == {"symbol": "ABCUSDT", "price": "1.02"}
    assert get("/api/v3/depth", symbol="NOSUCH").json["code"] == -1121
    assert get("/api/v3/exchangeInfo", symbol="ABCUSDT").json["symbols"] == INFO["symbols"]


def test_faults_act_on_a_replay_too(simulator, connect, recording):
    sim = simulator(source=Replay(recording, start="manual"))
    client = connect(sim, "abcusdt@depth@100ms")
    sim.faults.deltas("ABCUSDT", lost=1)
    sim.step(5)
    assert [message["data"]["u"] for message in client.collect(2)] == [12, 15]
    assert sim.ledger.stream("abcusdt@depth@100ms").withheld == 1


def test_a_recording_without_exchange_information_is_refused(simulator, tmp_path):
    path = tmp_path / "bare.jsonl"
    with CaptureWriter(path) as writer:
        writer.frame_in("", json.dumps({"stream": "abcusdt@trade", "data": FRAMES[1][1]}), T0)
    with pytest.raises(CaptureError, match="exchangeInfo"):
        simulator(source=Replay(path))


def test_a_missing_recording_is_an_error_at_once(simulator, tmp_path):
    with pytest.raises(FileNotFoundError):
        simulator(source=Replay(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize(
    "settings", [{"speed": 0.0}, {"speed": -1.0}, {"start": "soon"}, {"settle_s": -1.0}, {"clock": "sun"}]
)
def test_replay_settings_are_checked_when_made(settings):
    with pytest.raises(ValueError, match=r"speed|start|settle|clock"):
        Replay("x", **settings)


@pytest.mark.captures
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="recorded traffic is not kept with the project")
@pytest.mark.parametrize("name", NAMES)
def test_real_traffic_is_replayed_whole_and_its_books_join_at_every_event(simulator, connect, rest, name):
    recorded = [json.loads(row.body) for row in read_capture(CAPTURES / name) if row.kind == "ws-in"]
    streams = sorted({frame["stream"] for frame in recorded})
    sim = simulator(source=Replay(CAPTURES / name, speed=None, start="all"))
    get = rest(sim)
    client = connect(sim, *streams)
    assert client.collect(len(recorded)) == recorded

    symbols = sim.ledger.symbols()
    assert len(symbols) == 4
    applied = 0
    for symbol in symbols:
        snapshot = get("/api/v3/depth", symbol=symbol, limit=5000).json
        book = {"b": {}, "a": {}}
        for side, levels in (("b", snapshot["bids"]), ("a", snapshot["asks"])):
            book[side] = {Decimal(price): Decimal(quantity) for price, quantity in levels}
        known = snapshot["lastUpdateId"]
        for event in (frame["data"] for frame in recorded if frame["stream"] == f"{symbol.lower()}@depth@100ms"):
            if event["u"] <= known:
                continue
            assert event["U"] <= known + 1
            for side in "ba":
                for price, quantity in event[side]:
                    if Decimal(quantity):
                        book[side][Decimal(price)] = Decimal(quantity)
                    else:
                        book[side].pop(Decimal(price), None)
            known = event["u"]
            applied += 1
            levels = sorted(book["b"].items(), reverse=True), sorted(book["a"].items())
            assert book_digest(*levels) == sim.ledger.digest(symbol, known)
        assert known == get("/api/v3/depth", symbol=symbol).json["lastUpdateId"]
    assert applied > 150
