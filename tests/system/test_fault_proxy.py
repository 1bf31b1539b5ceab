"""The proxy that fault scenarios stand on does what it says to bytes, or what they measure means nothing."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fault_harness import eventually

_spec = importlib.util.spec_from_file_location("fault_proxy", Path(__file__).parents[1] / "faults" / "proxy.py")
assert _spec is not None and _spec.loader is not None
fault_proxy = sys.modules["fault_proxy"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fault_proxy)

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
FRAME = b"\x81\x7e\x01\x00" + b"f" * 256
RECORD = b"\x17\x03\x03\x00\x20" + b"r" * 32


class Far:
    """A server that says what it is told to, and keeps what it hears."""

    def __init__(self, opened: ExitStack) -> None:
        self._listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self._listener.getsockname()[1]
        self.heard, self.ended = b"", threading.Event()
        self.accepted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="far")
        self._thread.start()
        opened.callback(self._thread.join, 10.0)
        opened.callback(self._wake)

    def _wake(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            pass
        if self.accepted.is_set():
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        self.sock, _ = self._listener.accept()
        self.accepted.set()
        with self.sock, suppress(OSError):
            while data := self.sock.recv(65_536):
                self.heard += data
        self.ended.set()

    def say(self, data: bytes) -> None:
        assert self.accepted.wait(5.0)
        self.sock.sendall(data)


@pytest.fixture
def ends():
    """(proxy, client socket, far end)."""
    with ExitStack() as opened:
        far = Far(opened)
        proxy = opened.enter_context(fault_proxy.Proxy("127.0.0.1", far.port))
        client = opened.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 5.0))
        eventually(far.accepted.is_set, 5.0)
        yield proxy, client, far


def received(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def until_end(client: socket.socket) -> tuple[bytes, bool]:
    """Everything until the end, and whether that was a reset."""
    data = b""
    try:
        while piece := client.recv(65_536):
            data += piece
    except ConnectionResetError:
        return data, True
    return data, False


def test_without_a_fault_bytes_pass_both_ways_and_the_end_too(ends):
    proxy, client, far = ends
    client.sendall(b"there" * 1000)
    far.say(b"back" * 50_000)
    assert received(client, 200_000) == b"back" * 50_000
    client.close()
    assert far.ended.wait(5.0) and far.heard == b"there" * 1000
    assert proxy.passed == {"to_client": 200_000, "to_venue": 5000}


def test_latency_and_jitter_delay_bytes_and_keep_their_order(ends):
    proxy, client, far = ends
    proxy.bend("to_client", latency_s=0.2, jitter_s=0.1)
    began_s = time.monotonic()
    for number in range(10):
        far.say(b"%d" % number)
    assert received(client, 10) == b"0123456789"
    assert 0.2 <= time.monotonic() - began_s < 2.0


def test_bandwidth_bounds_bytes_a_second(ends):
    proxy, client, far = ends
    proxy.bend("to_client", bandwidth=20_000.0)
    began_s = time.monotonic()
    far.say(b"x" * 10_000)
    assert len(received(client, 10_000)) == 10_000
    assert time.monotonic() - began_s >= 0.4


def test_slices_are_no_longer_than_asked(ends):
    proxy, client, far = ends
    proxy.bend("to_client", slice_bytes=1, slice_gap_s=0.01)
    far.say(b"abcdef")
    assert len(client.recv(100)) < 6
    assert len(received(client, 4)) == 4


@pytest.mark.parametrize("way", ["to_client", "to_venue"])
def test_silence_holds_one_way_only_and_gives_everything_back(ends, way):
    proxy, client, far = ends
    assert proxy.half_open(way) == 1
    client.sendall(b"there")
    far.say(b"back")
    if way == "to_client":
        eventually(lambda: far.heard == b"there", 5.0)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
        client.settimeout(5.0)
    else:
        assert received(client, 4) == b"back"
        assert far.heard == b""
    proxy.heal()
    if way == "to_client":
        assert received(client, 4) == b"back"
    eventually(lambda: far.heard == b"there", 5.0)


def test_an_end_told_slowly_comes_later(ends):
    proxy, client, far = ends
    proxy.bend("to_client", slow_close_s=0.4)
    began_s = time.monotonic()
    far.sock.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b""
    assert time.monotonic() - began_s >= 0.4


def test_a_limit_ends_the_connection_after_so_many_bytes(ends):
    proxy, client, far = ends
    proxy.bend("to_client", limit_bytes=100)
    far.say(b"x" * 500)
    assert until_end(client) == (b"x" * 100, False)


@pytest.mark.parametrize(
    ("first", "unit", "inside", "at_byte"),
    [
        (HEAD, FRAME, "frame", 3),
        (HEAD + FRAME, FRAME, "frame", 40),
        (b"", RECORD, "record", 3),
        (RECORD, RECORD, "record", 20),
    ],
)
def test_a_cut_inside_a_frame_or_record_tears_it_at_that_byte(ends, first, unit, inside, at_byte):
    proxy, client, far = ends
    if first:
        far.say(first)
        assert received(client, len(first)) == first
    assert proxy.cut(inside=inside, at_byte=at_byte) == 1
    with suppress(OSError):
        far.say(unit + unit)
    assert until_end(client) == (unit[:at_byte], True)


def test_a_cut_in_an_answer_waits_for_the_question(ends):
    proxy, client, far = ends
    proxy.cut(inside="answer", at_byte=4)
    client.sendall(b"question")
    eventually(lambda: far.heard == b"question", 5.0)
    with suppress(OSError):
        far.say(b"an answer")
    assert until_end(client) == (b"an a", True)


@pytest.mark.skipif(
    sys.platform != "linux", reason="a full queue drops attempts on Linux, elsewhere it may refuse them"
)
def test_down_refuses_and_swallow_lets_attempts_hang_until_healed(ends):
    proxy, client, _ = ends
    proxy.down()
    assert until_end(client)[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), 1.0)
    proxy.swallow()
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", proxy.port), 0.3)
    proxy.heal()
    socket.create_connection(("127.0.0.1", proxy.port), 5.0).close()
    eventually(lambda: proxy.accepted >= 2, 5.0)
