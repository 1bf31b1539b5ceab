"""HTTP: what is sent, when it is sent again, how every failure is told, and that no secret gets out."""

from __future__ import annotations

import gzip
import logging
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import responses
import trustme
from transport_servers import PATIENCE_S, Peer, Script, Server, full_backlog, http_proxy, socks5_proxy

from connector.clock import SystemClock
from connector.domain.wire import HttpRequest, HttpResponse
from connector.errors import ConnectorError, LinkError, NotConnected, OutcomeUnknown, SettingsError, WireFormatError
from connector.transport.contract import TlsSettings
from connector.transport.http import HttpClient, HttpTimeouts, RetryPolicy, SendNext

CANARY = "CANARY5f1e"
READ = HttpRequest("GET", "/api/v3/depth", f"symbol=BTCUSDT&signature={CANARY}", headers={"X-KEY": CANARY}, safe=True)
WRITE = HttpRequest("POST", "/api/v3/order", f"side=BUY&signature={CANARY}", headers={"X-KEY": CANARY})
ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def client_for() -> Iterator[Callable[..., HttpClient]]:
    made: list[HttpClient] = []

    def make(url: str, **settings: object) -> HttpClient:
        settings.setdefault("pause", lambda seconds: None)
        client = HttpClient(url, name="venue/rest", **settings)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


ClientFor = Callable[..., HttpClient]


def soon(seconds: float) -> float:
    return SystemClock().monotonic_s() + seconds


def read_whole_request(peer: Peer) -> bytes:
    head = peer.read_request()
    size = int(peer.header("content-length") or 0)
    return head + b"\r\n\r\n" + (peer.read_exactly(size) if size else b"")


def answer(body: bytes = b'{"ok":true}', status: int = 200, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Script:
    """Give one answer after the other, whatever is asked and over however many connections; the last one for ever."""
    left = list(answers)

    def script(peer: Peer) -> None:
        while True:
            request = read_whole_request(peer)
            if seen is not None:
                seen.append(request)
            peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def assert_scrubbed(error: BaseException) -> None:
    """The whole chain, its text, its arguments and the values in its frames' tracebacks as Python prints them."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        todo += [one.__cause__, one.__context__]
    shown = "".join(traceback.format_exception(error)) + "".join(f"{one!r}{one}{one.args}{vars(one)}" for one in seen)
    assert CANARY not in shown
    assert seen == [error], "an error of a library below hangs on as context"


# ---------------------------------------------------------------- what goes out and what comes back


def test_a_request_is_sent_byte_for_byte_as_it_was_signed(client_for: ClientFor) -> None:
    seen: list[bytes] = []
    odd = 'a=%2b%7E~!*\'()&b=["x","y"]&c=1+2&signature=ab%2F'
    with Server(answering(answer(), seen=seen)) as server:
        client = client_for(server.http_url)
        client.send(HttpRequest("POST", "/p/a%2Fth", odd, body=b"x=1&y=%20", headers={"Content-Type": "a/b"}))
        client.send(HttpRequest("DELETE", "/order", odd))
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST /p/a%2Fth?{odd} HTTP/1.1"
    assert body == b"x=1&y=%20" and "Content-Type: a/b" in lines and "Content-Length: 9" in lines
    assert seen[1].startswith(f"DELETE /order?{odd} HTTP/1.1".encode())


def test_an_answer_brings_status_lower_case_headers_body_and_both_times(client_for: ClientFor) -> None:
    body = gzip.compress(b'{"price":"0.1"}')
    with Server(answering(answer(body, 418, "Content-Encoding: gzip\r\nX-MBX-USED-WEIGHT-1M: 12\r\n"))) as server:
        before = SystemClock().time_ns()
        got = client_for(server.http_url).send(READ)
    assert (got.status, got.body) == (418, b'{"price":"0.1"}')
    assert got.headers["x-mbx-used-weight-1m"] == "12" and all(name == name.lower() for name in got.headers)
    assert before - 10**9 < got.sent_ns < got.received_ns < SystemClock().time_ns() + 10**9


def test_a_base_url_may_have_a_path(client_for: ClientFor) -> None:
    seen: list[bytes] = []
    with Server(answering(answer(), seen=seen)) as server:
        client_for(f"{server.http_url}/gate/").send(HttpRequest("GET", "/time", safe=True))
    assert seen[0].startswith(b"GET /gate/time HTTP/1.1")


def test_one_thread_keeps_its_connection_and_each_thread_has_its_own(client_for: ClientFor) -> None:
    with Server(answering(answer())) as server:
        client = client_for(server.http_url)
        for _ in range(5):
            client.send(READ)
        assert server.accepted == 1
        threads = [threading.Thread(target=lambda: [client.send(READ) for _ in range(3)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert server.accepted == 5
        assert client.counters.calls == client.counters.answers == 17
        assert client.counters.connections == 5


def test_sixteen_threads_never_get_each_others_answers(client_for: ClientFor) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.send(answer(read_whole_request(peer).split(b" ")[1]))

    wrong: list[bytes] = []
    with Server(script) as server:
        client = client_for(server.http_url)

        def work(number: int) -> None:
            for nth in range(40):
                path = f"/{number}/{nth}"
                if client.send(HttpRequest("GET", path, safe=True)).body != path.encode():
                    wrong.append(path.encode())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert wrong == [] and client.counters.answers == 640


def test_cookies_are_not_kept_redirects_not_followed_and_the_environment_not_read(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[bytes] = []
    moved = answer(b"", 302, "Location: /elsewhere\r\nSet-Cookie: a=b; Path=/\r\n")
    with Server(answering(moved, answer(), seen=seen)) as server:
        client = client_for(server.http_url)
        assert client.send(READ).status == 302
        assert client.send(READ).status == 200
        assert len(client._worker().session.cookies) == 0
    assert b"cookie" not in seen[1].lower() and b"authorization" not in seen[1].lower()


# ---------------------------------------------------------------- sent again, or not


def test_a_safe_request_is_tried_again_after_5xx_and_broken_connections(client_for: ClientFor) -> None:
    steps = iter(["reset", "503", "ok"])

    def script(peer: Peer) -> None:
        while True:
            read_whole_request(peer)
            step = next(steps)
            if step == "reset":
                peer.reset()
                return
            peer.send(answer(b"{}", 503) if step == "503" else answer())

    with Server(script) as server:
        client = client_for(server.http_url)
        assert client.send(READ).status == 200
    assert client.counters.attempts == 3 and client.counters.calls == 1


def test_the_last_5xx_is_the_answer_and_4xx_is_never_tried_again(client_for: ClientFor) -> None:
    with Server(answering(answer(b"{}", 502))) as server:
        client = client_for(server.http_url)
        assert client.send(READ).status == 502 and client.counters.attempts == 3
    with Server(answering(answer(b"{}", 429, "Retry-After: 3\r\n"))) as server:
        client = client_for(server.http_url)
        got = client.send(READ)
        assert (got.status, got.headers["retry-after"]) == (429, "3") and client.counters.attempts == 1


def test_pauses_between_tries_are_full_jitter_and_injected(client_for: ClientFor) -> None:
    pauses: list[float] = []
    with Server(answering(answer(b"", 500))) as server:
        client_for(
            server.http_url,
            pause=pauses.append,
            jitter=lambda: 0.5,
            retries=RetryPolicy(attempts=5, base_s=0.2, cap_s=0.5),
        ).send(READ)
    assert pauses == pytest.approx([0.1, 0.2, 0.25, 0.25])


def test_no_try_starts_that_could_not_end_in_time(client_for: ClientFor) -> None:
    pauses: list[float] = []
    with Server(answering(answer(b"", 500))) as server:
        client = client_for(
            server.http_url, pause=pauses.append, jitter=lambda: 1.0, retries=RetryPolicy(5, 10.0, 10.0)
        )
        assert client.send(READ, soon(5.0)).status == 500
    assert pauses == [] and client.counters.attempts == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_write_is_sent_exactly_once_whatever_is_answered(client_for: ClientFor, status: int) -> None:
    seen: list[bytes] = []
    with Server(answering(answer(b"<html>", status), seen=seen)) as server:
        client = client_for(server.http_url)
        assert client.send(WRITE).status == status
    assert len(seen) == 1 and client.counters.attempts == 1


# ---------------------------------------------------------------- failures, told truly


def test_a_refused_connection_is_not_sent_for_reads_and_for_writes(client_for: ClientFor) -> None:
    with Server(lambda peer: None) as server:
        url = server.http_url
    client = client_for(url)
    for request in (READ, WRITE):
        with pytest.raises(NotConnected, match="was not sent") as failed:
            client.send(request)
        assert_scrubbed(failed.value)
    assert client.counters.not_sent == 3 + 1


def reset_after_request(peer: Peer) -> None:
    read_whole_request(peer)
    peer.reset()


def close_after_request(peer: Peer) -> None:
    read_whole_request(peer)


def half_an_answer(peer: Peer) -> None:
    read_whole_request(peer)
    peer.send(answer(b"x" * 1000)[:300])


def garbage(peer: Peer) -> None:
    read_whole_request(peer)
    peer.send(b"\x00\x01\x02 not http at all\r\n\r\n")


def broken_gzip(peer: Peer) -> None:
    read_whole_request(peer)
    peer.send(answer(b"this is not gzip", 200, "Content-Encoding: gzip\r\n"))


def endless_header(peer: Peer) -> None:
    read_whole_request(peer)
    peer.send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n")


@pytest.mark.parametrize(
    "script", [reset_after_request, close_after_request, half_an_answer, garbage, broken_gzip, endless_header]
)
def test_a_write_that_left_without_a_whole_answer_is_unknown_and_a_read_may_be_asked_again(
    client_for: ClientFor, script: Script
) -> None:
    with Server(script) as server:
        client = client_for(server.http_url)
        with pytest.raises(OutcomeUnknown, match=r"POST /api/v3/order left") as unknown:
            client.send(WRITE)
        assert server.accepted == 1
        with pytest.raises(LinkError, match=r"GET /api/v3/depth") as broken:
            client.send(READ)
        assert server.accepted == 1 + 3
    assert_scrubbed(unknown.value)
    assert_scrubbed(broken.value)
    assert (client.counters.unknown, client.counters.broken) == (1, 3)


def test_a_kept_connection_the_server_gave_up_is_replaced_before_a_write_is_sent(client_for: ClientFor) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        read_whole_request(peer)
        peer.send(answer())
        peer.sock.close()
        gone.set()

    with Server(script) as server:
        client = client_for(server.http_url)
        client.send(WRITE)
        assert gone.wait(PATIENCE_S)
        assert client.send(WRITE).status == 200
    assert client.counters.connections == 2 and client.counters.unknown == 0


# ---------------------------------------------------------------- deadlines


def drip(stop: threading.Event, head: bytes, byte: bytes) -> Script:
    def script(peer: Peer) -> None:
        read_whole_request(peer)
        peer.send(head)
        while not stop.wait(0.02):
            peer.send(byte)

    return script


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"],
    ids=["first line", "header", "body"],
)  # fmt: skip
@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_a_server_that_drips_is_left_at_the_deadline(client_for: ClientFor, head: bytes, request_: HttpRequest) -> None:
    stop = threading.Event()
    with Server(drip(stop, head, b"1")) as server:
        client = client_for(server.http_url)
        started = time.monotonic()
        with pytest.raises(LinkError if request_.safe else OutcomeUnknown, match="deadline") as late:
            client.send(request_, soon(0.3))
        took = time.monotonic() - started
        stop.set()
    assert 0.25 < took < 0.6
    assert_scrubbed(late.value)


def test_a_server_that_never_answers_is_left_at_the_read_timeout_and_at_the_deadline(client_for: ClientFor) -> None:
    stop = threading.Event()

    def script(peer: Peer) -> None:
        read_whole_request(peer)
        peer.hold(stop)

    with Server(script) as server:
        quick = client_for(server.http_url, timeouts=HttpTimeouts(read_s=0.2), retries=ONCE)
        started = time.monotonic()
        with pytest.raises(LinkError, match="too long"):
            quick.send(READ)
        assert 0.15 < time.monotonic() - started < 1.0
        slow = client_for(server.http_url, timeouts=HttpTimeouts(total_s=0.3))
        started = time.monotonic()
        with pytest.raises(LinkError, match="deadline"):
            slow.send(READ)
        assert 0.25 < time.monotonic() - started < 0.6
        stop.set()


def test_a_connection_that_is_never_accepted_ends_at_the_connect_timeout(client_for: ClientFor) -> None:
    with full_backlog() as port:
        client = client_for(f"http://127.0.0.1:{port}", timeouts=HttpTimeouts(connect_s=0.3), retries=ONCE)
        started = time.monotonic()
        with pytest.raises(NotConnected) as failed:
            client.send(WRITE)
        assert 0.25 < time.monotonic() - started < 1.0
    assert_scrubbed(failed.value)


def test_a_deadline_that_has_passed_sends_nothing(client_for: ClientFor) -> None:
    with Server(answering(answer())) as server:
        client = client_for(server.http_url)
        with pytest.raises(NotConnected, match="deadline had passed"):
            client.send(WRITE, soon(-1.0))
        assert server.accepted == 0


def test_after_a_failure_the_next_call_of_the_thread_starts_clean(client_for: ClientFor) -> None:
    stop = threading.Event()
    first = threading.Event()

    def script(peer: Peer) -> None:
        read_whole_request(peer)
        if not first.is_set():
            first.set()
            peer.hold(stop)
        peer.send(answer(b"late or not"))

    with Server(script) as server:
        client = client_for(server.http_url)
        with pytest.raises(OutcomeUnknown):
            client.send(WRITE, soon(0.2))
        assert client.send(READ, soon(2.0)).body == b"late or not"  # over a new connection: never the late answer
        assert server.accepted == 2
        stop.set()


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip bomb"])
def test_an_answer_longer_than_allowed_is_not_read_to_its_end(client_for: ClientFor, packed: bool) -> None:
    body = bytes(20 * 1024 * 1024)
    wire = answer(gzip.compress(body), 200, "Content-Encoding: gzip\r\n") if packed else answer(body)
    with Server(answering(wire)) as server:
        client = client_for(server.http_url, max_response_bytes=1024 * 1024)
        with pytest.raises(WireFormatError, match="longer than 1048576"):
            client.send(READ)
        with pytest.raises(OutcomeUnknown, match="longer than 1048576"):
            client.send(WRITE)
        assert client.counters.attempts == 2


def test_an_answer_of_exactly_the_limit_passes(client_for: ClientFor) -> None:
    with Server(answering(answer(b"x" * 1000))) as server:
        assert len(client_for(server.http_url, max_response_bytes=1000).send(READ).body) == 1000


# ---------------------------------------------------------------- closing


def test_close_ends_calls_in_flight_at_once_and_later_ones_are_not_sent(client_for: ClientFor) -> None:
    stop, arrived = threading.Event(), threading.Semaphore(0)

    def script(peer: Peer) -> None:
        read_whole_request(peer)
        arrived.release()
        peer.hold(stop)

    errors: list[BaseException] = []

    def call(client: HttpClient, request: HttpRequest) -> None:
        try:
            client.send(request)
        except ConnectorError as error:
            errors.append(error)

    with Server(script) as server:
        client = client_for(server.http_url)
        threads = [threading.Thread(target=call, args=(client, request)) for request in (READ, WRITE)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert arrived.acquire(timeout=PATIENCE_S)
        started = time.monotonic()
        client.close()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert time.monotonic() - started < 0.5
        stop.set()
        client.close()
        with pytest.raises(NotConnected, match="closed"):
            client.send(WRITE)
    assert sorted(type(error).__name__ for error in errors) == ["LinkError", "OutcomeUnknown"]


def test_close_ends_a_call_that_is_still_connecting(client_for: ClientFor) -> None:
    started_connecting = threading.Event()
    outcome: list[BaseException] = []

    def call(client: HttpClient) -> None:
        try:
            client.send(WRITE)
        except ConnectorError as error:
            outcome.append(error)

    def announce(request: HttpRequest, send_next: SendNext) -> HttpResponse:
        started_connecting.set()
        return send_next(request)

    with full_backlog() as port:
        client = client_for(f"http://127.0.0.1:{port}", middleware=(announce,))
        thread = threading.Thread(target=call, args=(client,))
        thread.start()
        assert started_connecting.wait(PATIENCE_S)
        started = time.monotonic()
        client.close()
        thread.join(PATIENCE_S)
        assert time.monotonic() - started < 0.5
    assert isinstance(outcome[0], NotConnected)


def test_sessions_of_threads_that_ended_are_given_back(client_for: ClientFor) -> None:
    ended = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        try:
            answering(answer())(peer)
        finally:
            ended.release()

    with Server(script) as server:
        client = client_for(server.http_url)
        for _ in range(10):
            thread = threading.Thread(target=client.send, args=(READ,))
            thread.start()
            thread.join(PATIENCE_S)
        client.send(READ)
        assert "sessions=1" in repr(client)
        for _ in range(10):  # their connections ended as well
            assert ended.acquire(timeout=PATIENCE_S)


def test_the_status_line_shows_counts_and_no_secret(client_for: ClientFor) -> None:
    client = client_for("https://api.venue.test", proxy=f"http://user:{CANARY}@127.0.0.1:1")
    with pytest.raises(NotConnected) as failed:
        client.send(WRITE)
    assert_scrubbed(failed.value)
    assert repr(client).startswith(
        "<HttpClient venue/rest https://api.venue.test sessions=1 calls=1 answers=0 not_sent=1"
    )
    assert CANARY not in repr(client)


@pytest.mark.parametrize("url", ["ftp://h", "http://", "https://h/?a=1", "https://user:pw@h"])
def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        HttpClient(url)
    assert "pw" not in str(refused.value)


# ---------------------------------------------------------------- secrets in logs of the libraries below


def test_no_secret_reaches_the_logs_of_the_libraries_below(
    client_for: ClientFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    strange = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nbroken header\r\nX: y\r\n\r\nhi"  # urllib3 logs what it cannot parse
    )
    with Server(answering(answer(b"{}", 500), strange, answer())) as server:
        client = client_for(server.http_url)
        for _ in range(2):
            client.send(READ)
    with pytest.raises(NotConnected):
        client_for("http://127.0.0.1:1").send(READ)
    assert any("/api/v3/depth" in record.getMessage() for record in caplog.records)  # they do log, but the path only
    assert CANARY not in caplog.text


# ---------------------------------------------------------------- middleware


def test_middleware_adds_a_header_and_sees_every_answer_and_every_error(client_for: ClientFor) -> None:
    told: list[object] = []
    seen: list[bytes] = []

    def outer(request: HttpRequest, send_next: SendNext) -> HttpResponse:
        try:
            got = send_next(request)
        except ConnectorError as error:
            told.append(type(error))
            raise
        told.append(got.status)
        return got

    def inner(request: HttpRequest, send_next: SendNext) -> HttpResponse:
        told.append("inner")
        return send_next(
            HttpRequest(
                request.method, request.path, request.query, headers={**request.headers, "X-Trace": "7"}, safe=True
            )
        )

    steps = iter(["500", "reset", "200"])

    def script(peer: Peer) -> None:
        while True:
            seen.append(read_whole_request(peer))
            step = next(steps)
            if step == "reset":
                peer.reset()
                return
            peer.send(answer(b"{}", int(step)))

    with Server(script) as server:
        assert client_for(server.http_url, middleware=(outer, inner)).send(READ).status == 200
    assert told == ["inner", 500, "inner", LinkError, "inner", 200]
    assert all(b"X-Trace: 7" in request for request in seen)


def test_middleware_may_answer_by_itself(client_for: ClientFor) -> None:
    canned = HttpResponse(200, {}, b"from a cache", 1, 2)
    client = client_for("http://127.0.0.1:1", middleware=(lambda request, send_next: canned,))
    assert client.send(READ) is canned and client.counters.attempts == 0


# ---------------------------------------------------------------- requests replaced by `responses`


@responses.activate
def test_works_under_the_responses_library() -> None:
    responses.add(responses.GET, "https://api.venue.test/api/v3/time", json={"serverTime": 5}, headers={"X-Used": "1"})
    with HttpClient("https://api.venue.test") as client:
        got = client.send(HttpRequest("GET", "/api/v3/time", "a=%2b&b=~", safe=True))
    assert responses.calls[0].request.url == "https://api.venue.test/api/v3/time?a=%2b&b=~"
    assert (got.status, got.body, got.headers["x-used"]) == (200, b'{"serverTime": 5}', "1")


@responses.activate
def test_any_error_of_requests_is_scrubbed() -> None:
    import requests

    for failure in (
        requests.ConnectionError(f"HTTPSConnectionPool: /x?signature={CANARY}"),
        requests.ReadTimeout(CANARY),
        requests.exceptions.SSLError(CANARY),
        requests.exceptions.InvalidHeader(CANARY),
        ValueError(CANARY),
    ):
        responses.reset()
        responses.add(responses.GET, "https://api.venue.test/api/v3/depth", body=failure)
        with HttpClient("https://api.venue.test", retries=ONCE) as client, pytest.raises(ConnectorError) as failed:
            client.send(READ)
        assert_scrubbed(failed.value)


# ---------------------------------------------------------------- TLS and proxies


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_tls_is_verified_against_the_named_ca(client_for: ClientFor, authority: trustme.CA, ca_file: str) -> None:
    seen: list[bytes] = []
    with Server(
        answering(answer(b"z" * 100_000), seen=seen), tls=server_context(authority.issue_cert("localhost"))
    ) as server:
        assert len(client_for(server.http_url, tls=TlsSettings(ca_file=ca_file)).send(READ).body) == 100_000
        with pytest.raises(NotConnected, match="certificate") as refused:
            client_for(server.http_url).send(WRITE)  # by the system's authorities alone
        assert_scrubbed(refused.value)
    assert len(seen) == 1


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_expected(
    client_for: ClientFor, authority: trustme.CA, ca_file: str
) -> None:
    with Server(answering(answer()), tls=server_context(authority.issue_cert("api.venue.test"))) as server:
        with pytest.raises(NotConnected, match="certificate"):
            client_for(server.http_url, tls=TlsSettings(ca_file=ca_file)).send(WRITE)
        named = TlsSettings(ca_file=ca_file, server_name="api.venue.test")
        assert client_for(server.http_url, tls=named).send(WRITE).status == 200


def test_deadlines_hold_over_tls(client_for: ClientFor, authority: trustme.CA, ca_file: str) -> None:
    stop = threading.Event()
    script = drip(stop, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"1")
    with Server(script, tls=server_context(authority.issue_cert("localhost"))) as server:
        client = client_for(server.http_url, tls=TlsSettings(ca_file=ca_file))
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="deadline"):
            client.send(WRITE, soon(0.4))
        assert 0.3 < time.monotonic() - started < 0.8
        stop.set()


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_requests_go_through_the_proxy(client_for: ClientFor, scheme: str, authority: trustme.CA, ca_file: str) -> None:
    seen: list[str] = []
    proxy = http_proxy(seen, auth="u:p") if scheme == "http" else socks5_proxy(seen, auth="u:p")
    tls = server_context(authority.issue_cert("localhost"))
    with Server(answering(answer()), tls=tls) as server, Server(proxy) as via:
        client = client_for(
            server.http_url, tls=TlsSettings(ca_file=ca_file), proxy=f"{scheme}://u:p@127.0.0.1:{via.port}"
        )
        assert client.send(WRITE).status == 200
    assert len(seen) == 1


def test_a_proxy_that_refuses_means_not_sent(client_for: ClientFor) -> None:
    with Server(http_proxy([], auth="other:one")) as via:
        client = client_for("https://api.venue.test", proxy=f"http://u:{CANARY}@127.0.0.1:{via.port}")
        with pytest.raises(NotConnected, match="407") as refused:
            client.send(WRITE)
    assert_scrubbed(refused.value)
