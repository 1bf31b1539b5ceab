"""Recordings: what is written, what is kept out, and what a crash leaves."""

from __future__ import annotations

import gzip
import json
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import WireFormatError
from connector.testing.clocks import FakeClock
from connector.testing.memory_links import MemoryLinks
from connector.transport.capture import CaptureRecord, CaptureWriter, read_capture
from connector.transport.contract import Link, LinkClosed, LinkPhase, LinkSettings
from connector.transport.recording import RecordingLinks, public_url, record_http

CAPTURES = Path(__file__).resolve().parents[2].parent / "shared" / "captures"
CANARY = "CANARY5f1e77aa"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, name: str) -> None:
    odd = 'line\nbreak "quote" € \u2028 \\ {"a":1}'
    with CaptureWriter(tmp_path / name) as writer:
        writer.write("ws-open", "wss://h/ws", "", 1_633_998_511_159_679_001)
        writer.write("ws-in", "wss://h/ws", odd, 1_633_998_511_159_679_999)
    reader = read_capture(tmp_path / name)
    rows = list(reader)
    assert rows == [
        CaptureRecord(Decimal("1633998511.159679001"), "ws-open", "wss://h/ws", ""),
        CaptureRecord(Decimal("1633998511.159679999"), "ws-in", "wss://h/ws", odd),
    ]
    assert rows[1].at_ns == 1_633_998_511_159_679_999 and reader.cut is None and reader.rows == 2


def test_rows_are_plain_json_with_seconds_as_a_number(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.jsonl.gz") as writer:
        writer.write("http", "https://h/x", "{}", 1_633_998_511_500_000_000)
    row = json.loads(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()))
    assert row == {"at": 1633998511.5, "kind": "http", "url": "https://h/x", "body": "{}"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_crash_leaves_all_rows_up_to_the_last_boundary_and_the_cut_is_told(tmp_path: Path, name: str) -> None:
    writer = CaptureWriter(tmp_path / name, flush_every=10)
    for nth in range(25):
        writer.write("ws-in", "wss://h/ws", f"row {nth} " + "x" * 100, nth)
    left_by_a_crash = (tmp_path / name).read_bytes()
    writer.close()
    torn = tmp_path / f"torn-{name}"
    torn.write_bytes(left_by_a_crash)
    reader = read_capture(torn)
    rows = list(reader)
    assert len(rows) >= 20 and [row.body.split()[1] for row in rows] == [str(nth) for nth in range(len(rows))]
    if name.endswith("gz"):
        assert reader.cut is not None and "breaks off" in reader.cut
    whole = (tmp_path / name).read_bytes()
    for length in range(len(whole) - 40, len(whole)):
        torn.write_bytes(whole[:length])
        reader = read_capture(torn)
        assert len(list(reader)) <= 25


def test_a_row_cut_in_the_middle_of_a_plain_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with CaptureWriter(path) as writer:
        for nth in range(3):
            writer.write("ws-in", "u", "b", nth)
    path.write_bytes(path.read_bytes()[:-5])
    reader = read_capture(path)
    assert len(list(reader)) == 2 and reader.cut == "a.jsonl ends inside row 3"


def test_a_broken_row_in_the_middle_is_an_error_not_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"at":1,"kind":"ws-in","url":"u","body":"b"}\n{"at":2}\n{"at":3,"kind":"ws-in","url":"u","body":"b"}\n'
    )
    with pytest.raises(WireFormatError, match="row 2"):
        list(read_capture(path))


def test_a_closed_recording_takes_no_more(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write("http", "u", "b", 1)
    assert repr(writer) == "<CaptureWriter a.jsonl closed rows=0>"


def test_rows_from_many_threads_stay_whole(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.jsonl.gz", flush_every=7) as writer:
        threads = [
            threading.Thread(target=lambda n=n: [writer.write("ws-in", f"u{n}", f"{n}:{i}", i) for i in range(200)])
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
    rows = list(read_capture(tmp_path / "a.jsonl.gz"))
    for n in range(6):
        assert [row.body for row in rows if row.url == f"u{n}"] == [f"{n}:{i}" for i in range(200)]


@pytest.mark.captures
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded traffic is not here")
def test_recorded_traffic_is_read_and_written_again_unchanged(tmp_path: Path) -> None:
    for path in sorted(CAPTURES.glob("*.jsonl.gz")):
        copy = tmp_path / path.name
        with CaptureWriter(copy) as writer:
            for row in read_capture(path):
                writer.write(row.kind, row.url, row.body, row.at_ns)
        ours, theirs = (gzip.decompress(file.read_bytes()).splitlines() for file in (copy, path))
        assert [json.loads(line) for line in ours] == [json.loads(line) for line in theirs] and len(ours) > 200


# ---------------------------------------------------------------- what is kept out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://h/api?symbol=A&signature={CANARY}&timestamp=1&limit=5", "https://h/api?symbol=A&limit=5"),
        (f"https://h/api?apiKey={CANARY}&recvWindow=5000", "https://h/api"),
        (f"wss://user:{CANARY}@h:9443/stream?streams=a@depth/b@trade", "wss://h:9443/stream?streams=a@depth/b@trade"),
        (f"wss://h/ws/{CANARY * 5}", "wss://h/ws/***"),
        (f"wss://h/ws?token={CANARY}#x", "wss://h/ws"),
    ],
)
def test_urls_are_written_without_secrets(url: str, shown: str) -> None:
    assert public_url(url) == shown


class Handler:
    def __init__(self) -> None:
        self.links: list[Link] = []
        self.frames: list[bytes] = []
        self.closed: LinkClosed | None = None

    def on_open(self, link: Link) -> None:
        self.links.append(link)
        link.send(b'{"method":"SUBSCRIBE","params":["a@trade"],"id":1}')
        link.send(b'{"op":"login","args":[{"apiKey":"%s","sign":"%s"}]}' % (CANARY.encode(), CANARY.encode()))

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        self.links.append(link)
        self.frames += frames

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self.links.append(link)
        self.closed = closed


def test_a_recorded_link_behaves_as_the_link_below_and_every_frame_is_written(tmp_path: Path) -> None:
    clock = FakeClock()
    inner = MemoryLinks(clock)
    handler = Handler()
    with CaptureWriter(tmp_path / "a.jsonl.gz") as writer:
        links = RecordingLinks(inner, writer, clock)
        link = links.open(LinkSettings(f"wss://h/ws?token={CANARY}", "x"), handler)
        assert links.kind == "memory" and link.phase is LinkPhase.CONNECTING and not link.join(0.0)
        inner.server.accept()
        clock.advance(1.5)
        inner.server.send(b'{"e":"trade"}', b"\xff not utf-8")
        link.close(4000)
    assert handler.closed is not None and handler.closed.by_us and handler.closed.code == 4000
    assert set(map(id, handler.links)) == {id(link)}  # the handler never meets the link below
    assert handler.frames == [b'{"e":"trade"}', b"\xff not utf-8"]
    assert link.join(0.0) and link.phase is LinkPhase.CLOSED and link.last_received_s is not None
    rows = list(read_capture(tmp_path / "a.jsonl.gz"))
    assert [row.kind for row in rows] == ["ws-open", "ws-out", "ws-out", "ws-in", "ws-in"]
    assert {row.url for row in rows} == {"wss://h/ws"}
    assert rows[3].body == '{"e":"trade"}' and rows[3].at_ns == rows[4].at_ns == clock.time_ns()
    assert rows[1].body == '{"method":"SUBSCRIBE","params":["a@trade"],"id":1}'
    assert "login" in rows[2].body
    assert CANARY.encode() not in gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes())


def test_http_answers_are_written_unless_the_request_was_signed(tmp_path: Path) -> None:
    answers = iter([b'{"bids":[]}', b'{"balances":[]}', b'{"listenKey":"k"}'])

    def send(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, {}, next(answers), 1, 1_700_000_000_000_000_000)

    with CaptureWriter(tmp_path / "a.jsonl") as writer:
        middleware = record_http(writer, "https://api.venue.test/")
        public = middleware(HttpRequest("GET", "/depth", "symbol=A&limit=5", safe=True), send)
        middleware(HttpRequest("GET", "/account", f"timestamp=1&signature={CANARY}", safe=True), send)
        middleware(HttpRequest("POST", "/userDataStream", headers={"X-MBX-APIKEY": CANARY}), send)
    rows = list(read_capture(tmp_path / "a.jsonl"))
    assert public.body == b'{"bids":[]}'
    assert [(row.kind, row.url, row.body, row.at_ns) for row in rows] == [
        ("http", "https://api.venue.test/depth?symbol=A&limit=5", '{"bids":[]}', 1_700_000_000_000_000_000)
    ]


def test_a_recording_that_cannot_be_written_ends_the_link_with_that_cause(tmp_path: Path) -> None:
    clock = FakeClock()
    inner = MemoryLinks(clock)
    handler = Handler()
    writer = CaptureWriter(tmp_path / "a.jsonl")
    RecordingLinks(inner, writer, clock).open(LinkSettings("wss://h/ws", "x"), handler)
    inner.server.accept()
    writer.close()
    inner.server.send(b"x")
    assert handler.closed is not None and isinstance(handler.closed.cause, ValueError) and handler.frames == []
