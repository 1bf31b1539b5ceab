"""The line writes go over: where an answer ends, when a connection serves again, and what is certain when it breaks."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from transport_servers import PATIENCE_S, Peer, Script, Server

from connector.clock import SystemClock
from connector.domain.wire import HttpRequest
from connector.errors import NotConnected, OutcomeUnknown
from connector.testing.clocks import FakeClock
from connector.transport.http import HttpClient
from connector.transport.http_writes import NotHttp, TooLong, WholeAnswer, WriteLine, request_bytes

WRITE = HttpRequest("POST", "/api/v3/order", body=b"side=BUY", headers={"X-KEY": "k"})
LIMIT = 1_000_000


def exchanged(*pieces: bytes, close: bool = True, limit: int = LIMIT) -> WholeAnswer:
    """One exchange with a far side that answers in these pieces, whatever it is asked."""
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_S)

    def answer() -> None:
        far.recv(1_000)
        for piece in pieces:
            far.sendall(piece)
        if close:
            far.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=answer)
    thread.start()
    line = WriteLine(near)
    try:
        return line.exchange(b"POST / HTTP/1.1\r\n\r\n", limit)
    finally:
        thread.join(PATIENCE_S)
        line.close()
        far.close()


def one_by_one(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


# ---------------------------------------------------------------- what goes out


def test_a_request_is_written_as_given_with_its_host_and_length() -> None:
    wire = request_bytes("POST", "/order?a=%2b&b=['x']", "h:81", {"X-Key": "k y", "B": "é"}, b"body")
    assert wire == (
        b"POST /order?a=%2b&b=['x'] HTTP/1.1\r\nHost: h:81\r\nX-Key: k y\r\nB: \xe9\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert request_bytes("DELETE", "/", "h", {}, b"").endswith(b"Host: h\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/a b", {}),
        ("POST", "/a\r\nX: 1", {}),
        ("POST", "/é", {}),
        ("POST", "a", {}),
        ("PO ST", "/", {}),
        ("POST", "/", {"X": "a\r\nB: 1"}),
        ("POST", "/", {"X\n": "a"}),
        ("POST", "/", {"": "a"}),
        ("POST", "/", {"X": "a\0"}),
        ("POST", "/", {"X": "€"}),
    ],
)
def test_nothing_that_would_end_a_line_early_is_written(method: str, target: str, headers: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match=r"^(the request's method or target|a header of the request) cannot be written$"
    ):
        request_bytes(method, target, "h", headers, b"")


# ---------------------------------------------------------------- where an answer ends

LENGTH = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n2 \r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize("text", [LENGTH, CHUNKS], ids=["length", "chunks"])
@pytest.mark.parametrize("cut", [one_by_one, lambda text: [text]], ids=["byte by byte", "at once"])
def test_an_answer_is_read_to_its_end_however_it_comes(text: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    got = exchanged(*cut(text), close=False)
    assert (got.status, got.body, got.keep) == (200, b"hello", True)
    if text is LENGTH:
        assert got.headers == {"x-a": "1, 2", "content-length": "5"}


@pytest.mark.parametrize(
    ("head", "body", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200\r\n\r\nuntil the end", b"until the end", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", b"hi", False),
        (b"HTTP/1.1 200 OK\r\nno header\r\n folded: 7\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    ],
)  # fmt: skip
def test_a_connection_serves_again_only_where_the_answer_ended_for_certain(
    head: bytes, body: bytes, keep: bool
) -> None:
    got = exchanged(head)
    assert (got.body, got.keep) == (body, keep)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_not_a_whole_answer_is_none(text: bytes) -> None:
    with pytest.raises(NotHttp):
        exchanged(text)


def packed(coding: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_an_answer_that_comes_packed_unasked_is_unpacked_whole_or_not_at_all() -> None:
    assert exchanged(packed("gzip", gzip.compress(b"hello"))).body == b"hello"
    assert exchanged(packed("deflate", zlib.compress(b"hello"))).body == b"hello"
    assert exchanged(packed("identity", b"hello")).body == b"hello"
    with pytest.raises(NotHttp, match="not whole"):
        exchanged(packed("gzip", gzip.compress(b"hello")[:-4]))
    with pytest.raises(NotHttp, match="unpacked"):
        exchanged(packed("gzip", b"hello"))


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n33\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
        packed("gzip", gzip.compress(b"x" * 101)),
    ],
    ids=["length", "chunks", "to the end", "packed"],
)
def test_a_body_over_the_limit_is_refused_however_its_length_is_told(text: bytes) -> None:
    with pytest.raises(TooLong):
        exchanged(text, limit=100)


# ---------------------------------------------------------------- connections that are kept


@pytest.fixture
def client_for() -> Iterator[Callable[..., HttpClient]]:
    made: list[HttpClient] = []

    def make(url: str, **settings: Any) -> HttpClient:
        made.append(HttpClient(url, name="venue/rest", **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


ClientFor = Callable[..., HttpClient]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read_whole(peer: Peer) -> None:
    peer.read_request()
    peer.read_exactly(int(peer.header("content-length") or 0))


def answering(peer: Peer) -> None:
    while True:
        read_whole(peer)
        peer.send(ANSWER)


def test_writes_of_all_threads_share_the_connection_used_last(client_for: ClientFor) -> None:
    with Server(answering) as server:
        client = client_for(server.http_url)
        for _ in range(4):
            thread = threading.Thread(target=client.send, args=(WRITE,))
            thread.start()
            thread.join(PATIENCE_S)
        assert client.send(WRITE).body == b"hi"
        assert server.accepted == client.counters.connections == 1
        client.send(HttpRequest("GET", "/", safe=True))
        assert server.accepted == 2  # reads have their own


def test_writes_at_the_same_time_never_get_each_others_answers(client_for: ClientFor) -> None:
    def script(peer: Peer) -> None:
        while True:
            path = peer.read_request().split(b" ")[1]
            peer.read_exactly(int(peer.header("content-length") or 0))
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    wrong: list[bytes] = []
    with Server(script) as server:
        client = client_for(server.http_url)

        def work(number: int) -> None:
            for nth in range(40):
                path = f"/{number}/{nth}"
                if client.send(HttpRequest("POST", path, body=b"x")).body != path.encode():
                    wrong.append(path.encode())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert server.accepted <= 8
    assert wrong == [] and client.counters.answers == 320


def closing(how: str, gone: threading.Event) -> Script:
    def script(peer: Peer) -> None:
        read_whole(peer)
        peer.send(ANSWER)
        if how == "half":
            peer.sock.shutdown(socket.SHUT_WR)
        elif how == "reset":
            peer.reset()
        elif how == "speaks":
            peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        else:
            peer.sock.close()
        gone.set()
        if how in ("half", "speaks"):
            peer.wait_gone()

    return script


@pytest.mark.parametrize("how", ["closed", "half", "reset", "speaks"])
def test_a_kept_connection_the_server_gave_up_is_left_before_a_byte_of_the_next_write(
    client_for: ClientFor, how: str
) -> None:
    gone = threading.Event()
    with Server(closing(how, gone)) as server:
        client = client_for(server.http_url)
        for _ in range(3):
            gone.clear()
            assert client.send(WRITE).status == 200
            assert gone.wait(PATIENCE_S)
        assert server.accepted == 3
    assert client.counters.unknown == client.counters.not_sent == 0


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_kept_connection_that_ends_as_a_write_is_sent_leaves_it_unknown(client_for: ClientFor, how: str) -> None:
    """The server read nothing of it, perhaps; that cannot be told from one that did and fell over."""

    def script(peer: Peer) -> None:
        read_whole(peer)
        peer.send(ANSWER)
        peer.read_some()  # the head of the next one, or a part
        if how == "reset":
            peer.reset()

    with Server(script) as server:
        client = client_for(server.http_url)
        assert client.send(WRITE).status == 200
        with pytest.raises(OutcomeUnknown, match="left, but no whole answer"):
            client.send(WRITE)
        assert server.accepted == 1
        assert client.send(WRITE).status == 200  # over a new one
        assert server.accepted == 2


def test_a_kept_connection_nobody_needed_for_a_minute_is_closed_at_the_next_write(client_for: ClientFor) -> None:
    clock, together, ended = FakeClock(), threading.Barrier(2), threading.Semaphore(0)

    def script(peer: Peer) -> None:
        try:
            for nth in range(4):
                read_whole(peer)
                if nth == 0:
                    together.wait(PATIENCE_S)  # two at once need two connections
                peer.send(ANSWER)
        except OSError:
            pass
        finally:
            ended.release()

    with Server(script) as server:
        client = client_for(server.http_url, clock=clock)
        threads = [threading.Thread(target=client.send, args=(WRITE,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        clock.advance(40.0)
        assert client.send(WRITE).status == 200
        clock.advance(40.0)
        assert client.send(WRITE).status == 200
        assert ended.acquire(timeout=PATIENCE_S)
        assert (server.accepted, len(client._lines)) == (2, 1)


def test_a_write_that_cannot_be_written_down_is_not_sent(client_for: ClientFor) -> None:
    with Server(answering) as server:
        client = client_for(server.http_url)
        for request in (HttpRequest("POST", "/a b"), HttpRequest("POST", "/", headers={"X": "a\r\nb"})):
            with pytest.raises(NotConnected, match="was not sent"):
                client.send(request)
        assert server.accepted == 0


def test_close_ends_kept_connections_too(client_for: ClientFor) -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        try:
            answering(peer)
        finally:
            ended.set()

    with Server(script) as server:
        client = client_for(server.http_url)
        client.send(WRITE)
        client.close()
        assert ended.wait(PATIENCE_S)
        with pytest.raises(NotConnected, match="closed"):
            client.send(WRITE)


def test_a_slow_answer_is_waited_for_within_the_deadline_and_over_the_same_connection(client_for: ClientFor) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        read_whole(peer)
        peer.send(ANSWER)
        read_whole(peer)
        peer.send(ANSWER[:10])
        peer.hold(go)
        peer.send(ANSWER[10:])
        answering(peer)

    with Server(script) as server:
        client = client_for(server.http_url)
        client.send(WRITE)
        timer = threading.Timer(0.2, go.set)
        timer.start()
        assert client.send(WRITE, SystemClock().monotonic_s() + 5.0).body == b"hi"
        timer.join(PATIENCE_S)
        assert client.send(WRITE).body == b"hi" and server.accepted == 1
