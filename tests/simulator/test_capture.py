"""Recordings: what goes in comes out, to the letter, and what is broken is named."""

import gzip
import json
import sys
import threading

import pytest

from connector.simulator import CaptureError, CaptureRecord, CaptureWriter, read_capture


@pytest.mark.parametrize("name", ["traffic.jsonl", "traffic.jsonl.gz"])
def test_what_is_written_is_read_back_to_the_letter(tmp_path, name):
    path = tmp_path / name
    with CaptureWriter(path) as writer:
        writer.http("https://venue/depth?symbol=A", '{"p":"1.10"}', 1_700_000_000_123_456_789)
        writer.opened("wss://venue/ws", 1_700_000_001_000_000_000)
        writer.frame_in("wss://venue/ws", 'ünï\n"code"', 1_700_000_002_000_000_001)
        writer.frame_out("wss://venue/ws", "{}", 1_700_000_003_000_000_000)
    rows = list(read_capture(path))
    assert rows[0] == CaptureRecord("1700000000.123456789", "http", "https://venue/depth?symbol=A", '{"p":"1.10"}')
    assert [row.kind for row in rows] == ["http", "ws-open", "ws-in", "ws-out"]
    assert rows[2].body == 'ünï\n"code"'
    assert [row.at_ns for row in rows][:2] == [1_700_000_000_123_456_789, 1_700_000_001_000_000_000]
    assert writer.rows == 4


@pytest.fixture
def eager_switching():
    """Let threads interleave as often as the interpreter can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_many_threads_may_write_and_no_row_is_torn(tmp_path, eager_switching):
    path = tmp_path / "traffic.jsonl.gz"
    with CaptureWriter(path) as writer:

        def write(number):
            for count in range(200):
                writer.frame_in("u", f"{number}:{count}" * 20, count)

        threads = [threading.Thread(target=write, args=(number,), name=f"writer-{number}") for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    bodies = [row.body for row in read_capture(path)]
    assert len(bodies) == 800
    for number in range(4):
        mine = [body for body in bodies if body.startswith(f"{number}:")]
        assert mine == [f"{number}:{count}" * 20 for count in range(200)]


def test_a_closed_recording_takes_nothing_more(tmp_path):
    writer = CaptureWriter(tmp_path / "traffic.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.frame_in("u", "late", 1)
    assert "closed" in repr(writer)


def test_times_may_be_numbers_or_text(tmp_path):
    path = tmp_path / "traffic.jsonl"
    rows = [{"at": at, "kind": "ws-in", "body": "x"} for at in ("1633998511.132921", 1633998511.132921, 1633998511)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert [row.at_ns for row in read_capture(path)] == [1633998511132921000, 1633998511132921000, 1633998511000000000]


@pytest.mark.parametrize(
    "line", ["nonsense", "{}", '{"at":"soon","kind":"ws-in","body":""}', '{"at":"1","kind":"carrier-pigeon","body":""}']
)
def test_a_broken_line_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "traffic.jsonl"
    path.write_text('{"at":"1","kind":"ws-in","url":"","body":"x"}\n' + line + "\n")
    with pytest.raises(CaptureError, match="line 2"):
        list(read_capture(path))


def test_a_cut_file_is_reported_after_its_last_good_line(tmp_path):
    path = tmp_path / "traffic.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"at":"%d","kind":"ws-in","url":"","body":"x"}\n' % n for n in range(50)))
    path.write_bytes(whole[:-20])
    with pytest.raises(CaptureError, match="ends or breaks"):
        list(read_capture(path))
