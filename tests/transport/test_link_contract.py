"""One contract, every link: the same tests for websocket-client and picows, against a server that does as it is told."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from transport_servers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PATIENCE_S,
    PING,
    PONG,
    TEXT,
    Frame,
    Gone,
    Peer,
    Script,
    Server,
    encode,
    full_backlog,
    http_proxy,
    socks5_proxy,
)

from connector.clock import SystemClock
from connector.errors import LinkError, NotConnected, SettingsError
from connector.transport.contract import Link, LinkClosed, LinkPhase, Links, LinkSettings, TlsSettings
from connector.transport.dial import Dialer
from connector.transport.picows_link import PicowsLinks
from connector.transport.waiting import Waiter
from connector.transport.websocket_client_link import WebSocketClientLinks

KINDS: dict[str, Callable[..., Links]] = {"websocket-client": WebSocketClientLinks, "picows": PicowsLinks}


@pytest.fixture(params=list(KINDS))
def make_links(request: pytest.FixtureRequest) -> Callable[..., Links]:
    return KINDS[request.param]


@pytest.fixture
def links(make_links: Callable[..., Links]) -> Links:
    return make_links()


class Recorder:
    """A handler that writes down what it is told, and lets a test wait for it."""

    def __init__(self, on_open: Callable[[Link], None] | None = None, on_frames: Callable[[Link], None] | None = None):
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.frames: list[bytes] = []
        self.batches: list[tuple[int, int]] = []
        self.closed: LinkClosed | None = None
        self._on_open, self._on_frames = on_open, on_frames
        self._changed = threading.Condition()

    def _note(self, what: str) -> None:
        with self._changed:
            self.calls.append(what)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def on_open(self, link: Link) -> None:
        self._note("open")
        if self._on_open is not None:
            self._on_open(link)

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        with self._changed:
            self.frames += frames
            self.batches.append((len(frames), received_ns))
        self._note("frames")
        if self._on_frames is not None:
            self._on_frames(link)

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        with self._changed:
            self.closed = closed
        self._note("closed")

    def wait(self, met: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(met, within_s), f"not met in {within_s} s: {self.calls} {self.closed}"

    def wait_open(self) -> None:
        self.wait(lambda: "open" in self.calls)

    def wait_frames(self, count: int) -> list[bytes]:
        self.wait(lambda: len(self.frames) >= count)
        return self.frames

    def wait_closed(self, within_s: float = PATIENCE_S) -> LinkClosed:
        self.wait(lambda: self.closed is not None, within_s)
        assert self.closed is not None
        return self.closed


def settings_for(url: str, **changes: object) -> LinkSettings:
    base = LinkSettings(url, "test/link", connect_timeout_s=5.0, upgrade_timeout_s=5.0, ping_every_s=None)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def opened(links: Links) -> Iterator[Callable[..., tuple[Link, Recorder]]]:
    """Opens links and makes sure that none outlives its test."""
    made: list[Link] = []

    def open_one(url: str, recorder: Recorder | None = None, **changes: object) -> tuple[Link, Recorder]:
        recorder = recorder or Recorder()
        link = links.open(settings_for(url, **changes), recorder)
        made.append(link)
        return link, recorder

    yield open_one
    for link in made:
        link.shutdown()
    assert all(link.join(5.0) for link in made)


Opened = Callable[..., tuple[Link, Recorder]]


def quietly(peer: Peer) -> None:
    peer.upgrade().wait_gone()


def polite(peer: Peer) -> None:
    """Answers a close frame with the same code, as a server should."""
    peer.upgrade()
    frame = peer.read_until(CLOSE)
    peer.frame(CLOSE, frame.payload[:2])


# ---------------------------------------------------------------- opening, messages, order of callbacks


def test_open_comes_first_closed_last_and_each_once_on_the_links_own_thread(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(encode(TEXT, b"one") + encode(TEXT, b"two"))
        peer.frame(CLOSE, (1000).to_bytes(2, "big") + b"bye")
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url)
        closed = heard.wait_closed()
        assert link.join(5.0)

    assert heard.frames == [b"one", b"two"]
    assert heard.calls[0] == "open" and heard.calls[-1] == "closed"
    assert heard.calls.count("open") == heard.calls.count("closed") == 1
    assert heard.threads == {"connector:test/link"}
    assert (closed.code, closed.reason, closed.by_us, closed.phase) == (1000, "bye", False, LinkPhase.OPEN)
    assert link.phase is LinkPhase.CLOSED


def test_frames_that_come_with_the_upgrade_answer_are_not_lost(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(peer.accept_bytes() + encode(TEXT, b"early") + encode(TEXT, b"x" * 300) + encode(TEXT, b"la")[:3])
        peer.send(encode(TEXT, b"la")[3:])
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_frames(3) == [b"early", b"x" * 300, b"la"]


def test_messages_that_arrive_together_are_handed_over_together(opened: Opened) -> None:
    gate = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_until(TEXT)
        peer.send(b"".join(encode(TEXT, b"%03d" % nth * 50) for nth in range(100)))
        peer.hold(gate)

    with Server(script) as server:
        _, heard = opened(server.url, Recorder(on_open=lambda link: link.send(b"go")))
        frames = heard.wait_frames(100)
        gate.set()

    assert frames == [b"%03d" % nth * 50 for nth in range(100)]
    assert len(heard.batches) < 20
    stamps = [stamp for _, stamp in heard.batches]
    assert stamps == sorted(stamps) and abs(stamps[-1] - SystemClock().time_ns()) < 60 * 10**9


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
def test_every_length_comes_through_whole_as_text_and_as_binary(opened: Opened, size: int) -> None:
    payload = bytes(nth % 251 for nth in range(size))

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(encode(TEXT, payload) + encode(BINARY, payload))
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_frames(2) == [payload, payload]


def test_one_byte_at_a_time_is_read_as_the_same_messages(opened: Opened) -> None:
    wire = encode(TEXT, b"a" * 130) + encode(PING, b"p") + encode(TEXT, b"b")

    def script(peer: Peer) -> None:
        peer.upgrade()
        for byte in wire:
            peer.send(bytes([byte]))
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_frames(2) == [b"a" * 130, b"b"]


def test_text_that_is_not_utf8_is_delivered_as_it_came(opened: Opened) -> None:
    cut = "€".encode()[:2]

    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, cut + b"x" * 200)
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_frames(1) == [cut + b"x" * 200]


@pytest.mark.parametrize("long", [1, 400])
def test_fragments_with_pings_between_become_one_message(opened: Opened, long: int) -> None:
    pongs: list[bytes] = []
    answered = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.frame(TEXT, b"a" * long, fin=False)
        peer.frame(PING, b"between")
        peer.frame(CONTINUATION, b"b" * long, fin=False)
        peer.frame(CONTINUATION, b"", fin=False)
        peer.frame(CONTINUATION, b"c" * long)
        peer.frame(TEXT, b"next" * long)
        pongs.append(peer.read_until(PONG).payload)
        answered.set()
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_frames(2) == [b"a" * long + b"b" * long + b"c" * long, b"next" * long]
        assert answered.wait(PATIENCE_S)
    assert pongs == [b"between"]


def test_headers_are_sent_and_no_others_that_matter(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        seen.append(peer.request)
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url, headers={"X-Key": "v1", "User-Agent": "engine"})
        heard.wait_open()

    lines = seen[0].decode().split("\r\n")
    assert lines[0] == "GET /stream?token=canary HTTP/1.1"
    names = [line.split(":")[0].lower() for line in lines[1:]]
    assert "X-Key: v1" in lines and "User-Agent: engine" in lines
    assert "origin" not in names and "cookie" not in names
    assert names.count("host") == 1 and f"Host: 127.0.0.1:{server.port}" in lines


def test_cookies_of_an_answer_are_not_sent_with_the_next_upgrade(opened: Opened) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade(extra="Set-Cookie: AWSALB=backend7; Domain=127.0.0.1; Path=/\r\n")
        seen.append(peer.request)
        peer.wait_gone()

    with Server(script) as server:
        for _ in range(2):
            link, heard = opened(server.url)
            heard.wait_open()
            link.shutdown()
            heard.wait_closed()
    assert len(seen) == 2 and b"cookie" not in seen[1].lower()


# ---------------------------------------------------------------- pings and the idle deadline


def test_pings_are_answered_with_their_payload_while_the_handler_has_nothing_to_do(opened: Opened) -> None:
    answers: list[bytes] = []
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        for payload in (b"", b"1760000000000", b"x" * 125):
            peer.frame(PING, payload)
            frame = peer.read_until(PONG)
            assert frame.masked
            answers.append(frame.payload)
        done.set()
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert done.wait(PATIENCE_S)
    assert answers == [b"", b"1760000000000", b"x" * 125]
    assert "frames" not in heard.calls


def test_own_pings_keep_a_quiet_connection_alive_and_prove_it_alive(opened: Opened) -> None:
    pings = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.upgrade()
        while True:
            frame = peer.read_until(PING)
            peer.frame(PONG, frame.payload)
            pings.release()

    with Server(script) as server:
        link, _ = opened(server.url, ping_every_s=0.05, idle_timeout_s=0.3)
        for _ in range(10):  # half a second, well past the idle deadline
            assert pings.acquire(timeout=PATIENCE_S)
        assert link.phase is LinkPhase.OPEN
        assert link.last_received_s is not None
        assert SystemClock().monotonic_s() - link.last_received_s < 0.3


def test_a_half_open_connection_is_noticed_by_the_idle_deadline_alone(opened: Opened) -> None:
    silent = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold(silent)  # neither reads nor writes: our pings vanish

    with Server(script) as server:
        started = time.monotonic()
        _, heard = opened(server.url, ping_every_s=0.05, idle_timeout_s=0.4)
        closed = heard.wait_closed()
        took = time.monotonic() - started
        silent.set()
    assert "half-open" in closed.reason and not closed.by_us and closed.code is None
    assert 0.35 < took < 1.5


def test_bytes_of_an_unfinished_message_count_as_life(opened: Opened) -> None:
    ticks = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        wire = encode(TEXT, b"z" * 200)
        for at in range(0, len(wire), 20):
            peer.send(wire[at : at + 20])
            ticks.wait(0.06)  # the whole takes longer than the idle deadline, no gap does
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url, idle_timeout_s=0.3)
        assert heard.wait_frames(1) == [b"z" * 200]


def test_a_handler_that_blocks_does_not_stop_own_pings_of_websocket_client() -> None:
    pings = threading.Semaphore(0)
    blocked, go_on = threading.Event(), threading.Event()

    def block(link: Link) -> None:
        blocked.set()
        assert go_on.wait(PATIENCE_S)

    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"stop here")
        while True:
            peer.read_until(PING)
            pings.release()

    with Server(script) as server:
        heard = Recorder(on_frames=block)
        link = WebSocketClientLinks().open(settings_for(server.url, ping_every_s=0.03), heard)
        assert blocked.wait(PATIENCE_S)
        for _ in range(5):
            assert pings.acquire(timeout=PATIENCE_S)
        go_on.set()
        link.shutdown()
        assert link.join(5.0)


# ---------------------------------------------------------------- connecting and upgrading


def test_a_connection_that_is_never_accepted_ends_at_the_connect_deadline(opened: Opened) -> None:
    with full_backlog() as port:
        started = time.monotonic()
        _, heard = opened(f"ws://127.0.0.1:{port}/", connect_timeout_s=0.3)
        closed = heard.wait_closed()
        took = time.monotonic() - started
    assert heard.calls == ["closed"]
    assert closed.phase is LinkPhase.CONNECTING and isinstance(closed.cause, LinkError)
    assert 0.25 < took < 1.5


def test_a_refused_connection_says_so_at_once(opened: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    _, heard = opened(f"ws://127.0.0.1:{port}/?token=canary")
    closed = heard.wait_closed()
    assert closed.phase is LinkPhase.CONNECTING and "refused" in closed.reason and "canary" not in repr(closed)


def test_an_upgrade_never_answered_ends_at_its_deadline(opened: Opened) -> None:
    quiet = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.hold(quiet)

    with Server(script) as server:
        started = time.monotonic()
        _, heard = opened(server.url, upgrade_timeout_s=0.3)
        closed = heard.wait_closed()
        took = time.monotonic() - started
        quiet.set()
    assert heard.calls == ["closed"] and closed.phase is LinkPhase.UPGRADING and closed.status is None
    assert 0.25 < took < 1.5


def test_an_upgrade_answered_one_byte_at_a_time_ends_at_the_same_deadline(opened: Opened) -> None:
    stop = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        for byte in peer.accept_bytes():
            peer.send(bytes([byte]))
            if stop.wait(0.02):
                return

    with Server(script) as server:
        started = time.monotonic()
        _, heard = opened(server.url, upgrade_timeout_s=0.4)
        closed = heard.wait_closed()
        took = time.monotonic() - started
        stop.set()
    assert heard.calls == ["closed"] and closed.phase is LinkPhase.UPGRADING
    assert 0.35 < took < 1.5


@pytest.mark.parametrize("status", [301, 400, 403, 404, 418, 429, 451, 500, 502, 503, 504])
def test_a_refused_upgrade_tells_status_and_when_to_come_back(opened: Opened, status: int) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(
            f"HTTP/1.1 {status} No\r\nRetry-After: 7\r\nLocation: ws://127.0.0.1:1/\r\n"
            "Content-Length: 1000000000\r\n\r\n<html>".encode()
        )
        peer.wait_gone()

    with Server(script) as server:
        started = time.monotonic()
        _, heard = opened(server.url)
        closed = heard.wait_closed()
        assert time.monotonic() - started < 2.0  # the body that never comes is not waited for
        assert server.accepted == 1  # and no redirect is followed
    assert heard.calls == ["closed"]
    assert (closed.phase, closed.status, closed.retry_after_s, closed.code) == (LinkPhase.UPGRADING, status, 7.0, None)


def test_retry_after_may_be_a_date(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        peer.send(f"HTTP/1.1 503 No\r\nRetry-After: {date}\r\n\r\n".encode())

    with Server(script) as server:
        _, heard = opened(server.url)
        closed = heard.wait_closed()
    assert closed.retry_after_s is not None and 80 < closed.retry_after_s <= 91


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"",
        b"X: " + b"y" * 200_000,
    ],
    ids=["wrong accept", "no upgrade", "200", "not http", "closed at once", "endless head"],
)
def test_an_upgrade_answered_wrongly_ends_the_link(opened: Opened, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    with Server(script) as server:
        _, heard = opened(server.url)
        closed = heard.wait_closed()
    assert heard.calls == ["closed"] and closed.phase is LinkPhase.UPGRADING
    assert closed.status in (None, 200) and closed.code is None


def test_a_peer_that_resets_after_the_upgrade_request_ends_the_link(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_closed().phase is LinkPhase.UPGRADING


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://host/"},
        {"url": "wss:///path"},
        {"url": "ws://host:99999/"},
        {"headers": {"X": "a\r\nEvil: 1"}},
        {"headers": {"Host": "other"}},
        {"proxy": "ftp://host:21"},
        {"proxy": "http://user:canary@host"},
    ],
)
def test_settings_that_cannot_work_are_refused_before_a_thread_starts(links: Links, changes: dict[str, object]) -> None:
    before = threading.active_count()
    with pytest.raises(SettingsError) as refused:
        links.open(settings_for(**{"url": "ws://127.0.0.1:1/", **changes}), Recorder())
    assert threading.active_count() == before and "canary" not in str(refused.value)


# ---------------------------------------------------------------- name lookup


def fake_lookup(*addresses: str) -> Callable[..., list[tuple[object, ...]]]:
    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return look_up


def test_a_lookup_that_hangs_ends_at_the_connect_deadline(make_links: Callable[..., Links]) -> None:
    answer = threading.Event()

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        answer.wait(PATIENCE_S)
        return []

    clock = SystemClock()
    heard = Recorder()
    started = time.monotonic()
    link = make_links(clock, Dialer(clock, look_up)).open(
        settings_for("ws://venue.test:1/", connect_timeout_s=0.3), heard
    )
    closed = heard.wait_closed()
    assert 0.25 < time.monotonic() - started < 1.5
    assert closed.phase is LinkPhase.CONNECTING and "venue.test" in closed.reason
    answer.set()
    assert link.join(5.0)


def test_a_lookup_that_fails_is_told_and_not_remembered(make_links: Callable[..., Links]) -> None:
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    clock = SystemClock()
    links = make_links(clock, Dialer(clock, look_up))
    for _ in range(2):
        heard = Recorder()
        link = links.open(settings_for("ws://venue.test:1/"), heard)
        assert "name or service not known" in heard.wait_closed().reason
        assert link.join(5.0)
    assert asked == ["venue.test", "venue.test"]


def test_every_address_of_a_name_is_tried_and_a_black_hole_takes_only_its_share(
    make_links: Callable[..., Links],
) -> None:
    with full_backlog() as hole, Server(quietly) as server:
        clock = SystemClock()

        def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", one)) for one in (hole, 1, server.port)]

        heard = Recorder()
        link = make_links(clock, Dialer(clock, look_up)).open(
            settings_for("ws://venue.test/", connect_timeout_s=1.5), heard
        )
        heard.wait_open()
        link.shutdown()
        assert link.join(5.0)


def test_shutdown_ends_a_link_that_waits_for_a_name(make_links: Callable[..., Links]) -> None:
    asked, answer = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        asked.set()
        answer.wait(PATIENCE_S)
        return []

    clock = SystemClock()
    heard = Recorder()
    link = make_links(clock, Dialer(clock, look_up)).open(settings_for("ws://venue.test:1/"), heard)
    assert asked.wait(PATIENCE_S)
    started = time.monotonic()
    link.shutdown()
    assert link.join(5.0) and time.monotonic() - started < 0.1
    assert heard.closed is not None and heard.closed.by_us
    answer.set()


# ---------------------------------------------------------------- the end, from the far side


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
def test_a_close_frame_is_answered_and_its_code_told(opened: Opened, code: int) -> None:
    answers: list[int | None] = []

    def script(peer: Peer) -> None:
        peer.upgrade().frame(CLOSE, code.to_bytes(2, "big") + "weil €".encode())
        answers.append(peer.read_until(CLOSE).close_code)
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url)
        closed = heard.wait_closed()
        assert link.join(5.0)
    assert (closed.code, closed.reason, closed.by_us) == (code, "weil €", False)
    assert answers == [code]


def test_a_close_frame_without_a_code_is_1005(opened: Opened) -> None:
    answers: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade().frame(CLOSE)
        answers.append(peer.read_until(CLOSE).payload)
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url)
        assert heard.wait_closed().code == 1005
    assert answers == [b""]


CLOSE_CODES_NOBODY_SENDS = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535)


@pytest.mark.parametrize(
    "wire",
    [
        encode(0x3, b"?"),
        encode(0xB, b"?"),
        encode(TEXT, b"compressed?" * 30, rsv=4),
        encode(TEXT, b"reserved", rsv=2),
        encode(TEXT, b"reserved" * 30, rsv=1),
        encode(PING, b"x" * 126),
        encode(PING, b"part", fin=False),
        encode(CLOSE, (1000).to_bytes(2, "big") + b"x" * 124),
        encode(CLOSE, b"\x03"),
        *(encode(CLOSE, code.to_bytes(2, "big")) for code in CLOSE_CODES_NOBODY_SENDS),
        encode(CONTINUATION, b"of nothing"),
        encode(TEXT, b"a", fin=False) + encode(TEXT, b"b"),
        encode(TEXT, b"masked", mask=True),
    ],
    ids=[
        "data opcode 3",
        "control opcode 11",
        "rsv1",
        "rsv2",
        "rsv3",
        "long ping",
        "fragmented ping",
        "long close",
        "close of one byte",
        *(f"close {code}" for code in CLOSE_CODES_NOBODY_SENDS),
        "continuation of nothing",
        "two messages mixed",
        "masked",
    ],
)
def test_a_frame_against_the_protocol_ends_the_link_with_1002_after_what_stood_before_it(
    opened: Opened, wire: bytes
) -> None:
    answers: list[int | None] = []

    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"good")
        peer.read_until(TEXT)
        peer.send(wire)
        answers.append(peer.read_until(CLOSE).close_code)

    with Server(script) as server:
        link, heard = opened(server.url, Recorder(on_frames=lambda link: link.send(b"seen")))
        closed = heard.wait_closed()
        assert link.join(5.0)
    assert heard.frames == [b"good"]
    assert closed.code == 1002 and not closed.by_us and closed.phase is LinkPhase.OPEN
    assert answers == [1002]


def test_a_close_reason_that_is_not_utf8_is_answered_with_1007(opened: Opened) -> None:
    answers: list[int | None] = []

    def script(peer: Peer) -> None:
        peer.upgrade().frame(CLOSE, (1008).to_bytes(2, "big") + "weil €".encode()[:-1])
        answers.append(peer.read_until(CLOSE).close_code)

    with Server(script) as server:
        link, heard = opened(server.url)
        closed = heard.wait_closed()
        assert link.join(5.0)
    assert closed.code == 1007 and "UTF-8" in closed.reason and not closed.by_us
    assert answers == [1007]


@pytest.mark.parametrize("last", [encode(TEXT, b"reserved", rsv=2), encode(CLOSE)], ids=["a refused frame", "a close"])
def test_nothing_that_came_after_the_last_frame_is_answered(opened: Opened, last: bytes) -> None:
    answers: list[Frame] = []

    def script(peer: Peer) -> None:
        peer.upgrade().send(last + encode(PING, b"late") + encode(TEXT, b"late"))
        with contextlib.suppress(Gone):
            while True:
                answers.append(peer.read_frame())

    with Server(script) as server:
        link, heard = opened(server.url)
        heard.wait_closed()
        assert link.join(5.0)
    assert heard.frames == []
    assert [frame.opcode for frame in answers] == [CLOSE]


def test_a_send_in_answer_to_the_message_before_a_refused_frame_is_sent_or_says_that_it_is_not(opened: Opened) -> None:
    came: list[bytes] = []
    said: list[str] = []

    def script(peer: Peer) -> None:
        peer.upgrade().send(encode(TEXT, b"good") + encode(0x3, b"?"))
        while (frame := peer.read_frame()).opcode != CLOSE:
            came.append(frame.payload)

    def answer(link: Link) -> None:
        try:
            link.send(b"answer")
            said.append("sent")
        except NotConnected:
            said.append("not sent")

    with Server(script) as server:
        link, heard = opened(server.url, Recorder(on_frames=answer))
        heard.wait_closed()
        assert link.join(5.0)
    assert heard.frames == [b"good"]
    assert came == ([b"answer"] if said == ["sent"] else [])


def test_a_reset_in_the_middle_of_a_frame_ends_the_link_and_delivers_no_part_of_it(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"whole")
        peer.read_until(TEXT)
        peer.send(encode(TEXT, b"x" * 1000)[:500])
        peer.reset()

    with Server(script) as server:
        _, heard = opened(server.url, Recorder(on_frames=lambda link: link.send(b"seen")))
        closed = heard.wait_closed()
    assert heard.frames == [b"whole"] and closed.code is None and closed.phase is LinkPhase.OPEN


def test_an_end_without_a_close_frame_has_no_code(opened: Opened) -> None:
    with Server(lambda peer: peer.upgrade() and None) as server:
        _, heard = opened(server.url)
        closed = heard.wait_closed()
    assert closed.code is None and not closed.by_us and heard.calls == ["open", "closed"]


# ---------------------------------------------------------------- too long


def test_a_frame_of_50_mb_is_refused_by_its_header_and_never_held(opened: Opened) -> None:
    answers: list[int | None] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(bytes([0x81, 127]) + (50 * 1024 * 1024).to_bytes(8, "big"))
        block = bytes(1024 * 1024)
        for _ in range(50):
            peer.send(block)

    def first_frames(peer: Peer) -> None:
        answers.append(peer.read_until(CLOSE).close_code)

    def both(peer: Peer) -> None:
        peer.upgrade()
        peer.send(bytes([0x81, 127]) + (50 * 1024 * 1024).to_bytes(8, "big"))
        first_frames(peer)

    with Server(script) as server:
        tracemalloc.start()
        try:
            link, heard = opened(server.url, max_message_bytes=1024 * 1024)
            closed = heard.wait_closed()
            assert link.join(5.0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert closed.code == 1009 and heard.frames == []
    assert peak < 8 * 1024 * 1024

    with Server(both) as server:
        _, heard = opened(server.url, max_message_bytes=1024 * 1024)
        heard.wait_closed()
    assert answers == [1009]


def test_a_message_of_exactly_the_limit_passes(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"x" * 1000)
        peer.frame(TEXT, b"x" * 1001)
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url, max_message_bytes=1000)
        closed = heard.wait_closed()
    assert heard.frames == [b"x" * 1000] and closed.code == 1009


@pytest.mark.parametrize("piece", [b"x" * 300, b""], ids=["of 300 bytes", "empty"])
def test_fragments_that_add_up_to_too_much_are_refused(opened: Opened, piece: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, piece, fin=False)
        for _ in range(1100):
            peer.frame(CONTINUATION, piece, fin=False)
        peer.wait_gone()

    with Server(script) as server:
        _, heard = opened(server.url, max_message_bytes=1000)
        assert heard.wait_closed().code == 1009
    assert heard.frames == []


# ---------------------------------------------------------------- sending


def test_sends_from_eight_threads_stay_whole_and_in_order_per_thread(opened: Opened) -> None:
    got: list[bytes] = []
    all_in = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        while len(got) < 8 * 200:
            frame = peer.read_frame()
            assert (frame.opcode, frame.fin, frame.masked) == (TEXT, True, True)
            got.append(frame.payload)
        all_in.set()
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url)
        heard.wait_open()

        def work(thread: int) -> None:
            for nth in range(200):
                link.send(b"%d:%d:" % (thread, nth) + b"p" * (nth * 7 % 300))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert all_in.wait(PATIENCE_S)

    for number in range(8):
        mine = [payload for payload in got if payload.startswith(b"%d:" % number)]
        assert mine == [b"%d:%d:" % (number, nth) + b"p" * (nth * 7 % 300) for nth in range(200)]


def test_send_says_that_nothing_was_sent_before_open_and_after_the_end(opened: Opened) -> None:
    gate = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.hold(gate)

    with Server(script) as server:
        link, heard = opened(server.url)
        with pytest.raises(NotConnected):
            link.send(b"too early")
        link.shutdown()
        heard.wait_closed()
        with pytest.raises(NotConnected):
            link.send(b"too late")
        gate.set()


def test_a_peer_that_reads_nothing_blocks_neither_sender_nor_reader_and_ends_the_link(opened: Opened) -> None:
    stop, full = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        full.wait(PATIENCE_S)
        peer.frame(TEXT, b"still read")
        peer.hold(stop)

    with Server(script) as server:
        link, heard = opened(server.url, send_timeout_s=0.4)
        heard.wait_open()
        slowest = 0.0
        with pytest.raises(NotConnected):
            for _ in range(400):
                started = time.monotonic()
                link.send(b"x" * 65536)
                slowest = max(slowest, time.monotonic() - started)
        full.set()
        assert heard.wait_frames(1) == [b"still read"]
        closed = heard.wait_closed()
        stop.set()
    assert slowest < 0.2
    assert "took no byte" in closed.reason and not closed.by_us


def test_a_big_message_to_a_slow_reader_arrives_whole(opened: Opened) -> None:
    got: list[bytes] = []
    done, open_tap = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.upgrade()
        open_tap.wait(PATIENCE_S)
        got.append(peer.read_until(TEXT).payload)
        got.append(peer.read_until(TEXT).payload)
        done.set()

    with Server(script) as server:
        link, heard = opened(server.url)
        heard.wait_open()
        link.send(b"L" * 3_500_000)
        link.send(b"after")
        open_tap.set()
        assert done.wait(PATIENCE_S)
    assert got == [b"L" * 3_500_000, b"after"]


def test_a_flood_against_a_full_socket_arrives_whole_and_in_order(opened: Opened) -> None:
    messages = [b"%03d" % nth + b"f" * 59_000 for nth in range(300)]
    got: list[bytes] = []
    progress, full, done = threading.Semaphore(0), threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.upgrade()
        assert full.wait(PATIENCE_S)
        while len(got) < len(messages):
            got.append(peer.read_until(TEXT).payload)
            peer.frame(PING, b"now")  # so that pongs, too, are sent while the socket is full
            progress.release()
        done.set()

    with Server(script) as server:
        link, heard = opened(server.url, ping_every_s=0.01)
        heard.wait_open()
        for message in messages:
            while True:
                try:
                    link.send(message)
                except NotConnected:  # takes no more for now, and says so: the sender decides to wait
                    full.set()
                    assert progress.acquire(timeout=PATIENCE_S), heard.closed
                else:
                    break
        assert done.wait(PATIENCE_S), heard.closed
    assert got == messages


# ---------------------------------------------------------------- the end, from our side


def test_close_shakes_hands_and_says_by_us(opened: Opened) -> None:
    said: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        frame = peer.read_until(CLOSE)
        said.append(frame.payload)
        peer.frame(CLOSE, frame.payload[:2])
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url)
        heard.wait_open()
        link.close(4001, "done")
        closed = heard.wait_closed()
        assert link.join(5.0)
        link.close()
        link.shutdown()
    assert said == [(4001).to_bytes(2, "big") + b"done"]
    assert (closed.code, closed.by_us, closed.phase) == (4001, True, LinkPhase.CLOSING)
    assert heard.calls == ["open", "closed"]


def test_a_close_that_is_never_answered_is_dropped_in_time(opened: Opened) -> None:
    deaf = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold(deaf)

    with Server(script) as server:
        link, heard = opened(server.url, close_timeout_s=0.3)
        heard.wait_open()
        started = time.monotonic()
        link.close()
        assert time.monotonic() - started < 0.1  # it only starts
        with pytest.raises(NotConnected):
            link.send(b"too late")
        closed = heard.wait_closed()
        took = time.monotonic() - started
        deaf.set()
    assert closed.by_us and closed.code == 1000 and 0.25 < took < 1.2


def test_no_own_ping_follows_our_close_frame(opened: Opened) -> None:
    later: list[Frame] = []

    def script(peer: Peer) -> None:
        peer.upgrade().read_until(CLOSE)
        with contextlib.suppress(Gone):
            while True:
                later.append(peer.read_frame())

    with Server(script) as server:
        link, heard = opened(server.url, ping_every_s=0.02, close_timeout_s=0.3)
        heard.wait_open()
        link.close()
        heard.wait_closed()
        assert link.join(5.0)
    assert later == []


def test_messages_before_the_answer_to_our_close_are_still_delivered(opened: Opened) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        frame = peer.read_until(CLOSE)
        peer.send(encode(TEXT, b"last words") + encode(CLOSE, frame.payload[:2]))
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url)
        heard.wait_open()
        link.close()
        heard.wait_closed()
    assert heard.frames == [b"last words"]


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_must_not_be_sent_are_refused(opened: Opened, code: int) -> None:
    with Server(quietly) as server:
        link, heard = opened(server.url)
        heard.wait_open()
        with pytest.raises(ValueError, match="cannot be sent"):
            link.close(code)
        assert link.phase is LinkPhase.OPEN


@pytest.mark.parametrize("where", ["connecting", "upgrading", "open", "closing"])
def test_shutdown_from_outside_wakes_the_reader_wherever_it_waits(opened: Opened, where: str) -> None:
    arrived, stop = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        if where == "upgrading":
            peer.read_request()
        else:
            peer.upgrade()
        arrived.set()
        peer.hold(stop)

    with full_backlog() as hole, Server(script) as server:
        link, heard = opened(f"ws://127.0.0.1:{hole}/" if where == "connecting" else server.url)
        if where != "connecting":
            assert arrived.wait(PATIENCE_S)
        if where in ("open", "closing"):
            heard.wait_open()
        if where == "closing":
            link.close()
        started = time.monotonic()
        link.shutdown()
        assert link.join(5.0)
        took = time.monotonic() - started
        link.shutdown()
        stop.set()
    assert took < 0.1
    assert heard.closed is not None and heard.closed.by_us
    assert heard.calls.count("closed") == 1 and heard.calls[-1] == "closed"


def test_shutdown_cuts_the_connection_even_while_the_handler_hangs(opened: Opened) -> None:
    hanging, go_on, cut = threading.Event(), threading.Event(), threading.Event()

    def hang(link: Link) -> None:
        hanging.set()
        assert go_on.wait(PATIENCE_S)

    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"stop here")
        peer.wait_gone()
        cut.set()

    with Server(script) as server:
        link, heard = opened(server.url, Recorder(on_frames=hang))
        assert hanging.wait(PATIENCE_S)
        link.shutdown()
        assert cut.wait(1.0)  # the venue sees it, although the thread is still stuck
        assert not link.join(0.0)
        go_on.set()
        assert link.join(5.0)
    assert heard.closed is not None and heard.closed.by_us


def one_message(peer: Peer) -> None:
    peer.upgrade().frame(TEXT, b"x")
    peer.read_until(CLOSE)
    peer.frame(CLOSE, b"")


@pytest.mark.parametrize("action", ["close", "shutdown"])
def test_a_handler_may_end_its_own_link(opened: Opened, action: str) -> None:
    with Server(one_message) as server:
        link, heard = opened(server.url, Recorder(on_frames=lambda link: getattr(link, action)()))
        closed = heard.wait_closed()
        assert link.join(5.0)
    assert closed.by_us and heard.calls == ["open", "frames", "closed"]


# ---------------------------------------------------------------- handlers that fail


@pytest.mark.parametrize("failure", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_handler_that_raises_ends_the_link_and_is_reported(opened: Opened, failure: BaseException) -> None:
    codes: list[int | None] = []

    def fail(link: Link) -> None:
        raise failure

    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"a")
        codes.append(peer.read_until(CLOSE).close_code)
        peer.wait_gone()

    with Server(script) as server:
        link, heard = opened(server.url, Recorder(on_frames=fail))
        closed = heard.wait_closed()
        assert link.join(5.0)
    assert closed.cause is failure and closed.code == 1011 and not closed.by_us
    assert codes == [1011] and heard.calls == ["open", "frames", "closed"]


def test_a_handler_that_raises_in_on_open_ends_the_link(opened: Opened) -> None:
    failure = RuntimeError("no")

    def fail(link: Link) -> None:
        raise failure

    with Server(quietly) as server:
        _, heard = opened(server.url, Recorder(on_open=fail))
        assert heard.wait_closed().cause is failure


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def echo_once(peer: Peer) -> None:
    peer.upgrade()
    peer.frame(PING, b"tls")
    payload = peer.read_until(TEXT).payload
    peer.send(b"".join(encode(TEXT, payload + b"%d" % nth) for nth in range(50)))
    frame = peer.read_until(CLOSE)
    peer.frame(CLOSE, frame.payload[:2])
    peer.wait_gone()


def test_tls_with_a_named_ca_carries_messages_both_ways(opened: Opened, authority: trustme.CA, ca_file: str) -> None:
    with Server(echo_once, tls=server_context(authority.issue_cert("localhost"))) as server:
        link, heard = opened(
            server.url, Recorder(on_open=lambda link: link.send(b"k" * 40_000)), tls=TlsSettings(ca_file=ca_file)
        )
        frames = heard.wait_frames(50)
        link.close()
        closed = heard.wait_closed()
    assert frames == [b"k" * 40_000 + b"%d" % nth for nth in range(50)]
    assert closed.by_us and closed.code == 1000


def test_tls_may_verify_another_name_than_the_host(opened: Opened, authority: trustme.CA, ca_file: str) -> None:
    with Server(quietly, tls=server_context(authority.issue_cert("stream.venue.test"))) as server:
        _, heard = opened(server.url, tls=TlsSettings(ca_file=ca_file, server_name="stream.venue.test"))
        heard.wait_open()


@pytest.mark.parametrize("wrong", ["name", "authority", "expired", "system only"])
def test_a_certificate_that_is_not_right_is_refused_without_a_plain_byte(
    opened: Opened, authority: trustme.CA, ca_file: str, wrong: str
) -> None:
    issued = {
        "name": lambda: authority.issue_cert("elsewhere.test"),
        "authority": lambda: trustme.CA().issue_cert("localhost"),
        "expired": lambda: authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1)),
        "system only": lambda: authority.issue_cert("localhost"),
    }[wrong]()
    asked: list[bytes] = []

    with Server(lambda peer: asked.append(peer.read_request()), tls=server_context(issued)) as server:
        tls = TlsSettings() if wrong == "system only" else TlsSettings(ca_file=ca_file)
        _, heard = opened(server.url, tls=tls)
        closed = heard.wait_closed()
    assert heard.calls == ["closed"] and closed.phase is LinkPhase.CONNECTING
    assert isinstance(closed.cause, LinkError) and "TLS" in closed.reason and "certificate" in closed.reason
    assert asked == []


def test_a_plain_server_behind_wss_is_refused(opened: Opened) -> None:
    first: list[bytes] = []

    def script(peer: Peer) -> None:
        first.append(peer.read_some())
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Server(script) as server:
        _, heard = opened(f"wss://127.0.0.1:{server.port}/")
        closed = heard.wait_closed()
    assert closed.phase is LinkPhase.CONNECTING and first[0][0] == 0x16  # a TLS record, not text


def test_a_tls_handshake_that_hangs_ends_at_the_connect_deadline(opened: Opened) -> None:
    stop = threading.Event()
    with Server(lambda peer: peer.hold(stop)) as server:
        started = time.monotonic()
        _, heard = opened(f"wss://127.0.0.1:{server.port}/", connect_timeout_s=0.4)
        closed = heard.wait_closed()
        took = time.monotonic() - started
        stop.set()
    assert closed.phase is LinkPhase.CONNECTING and 0.3 < took < 1.5


def test_a_tls_handshake_that_is_cut_off_is_told_in_words_with_its_cause(opened: Opened) -> None:
    """F10: the peer ends the connection half way through."""

    def script(peer: Peer) -> None:
        peer.read_some()
        peer.send(b"\x16\x03\x03\x00\x7a" + b"\x02" * 20)  # a record that promises more

    with Server(script) as server:
        _, heard = opened(f"wss://127.0.0.1:{server.port}/")
        closed = heard.wait_closed()
    assert closed.phase is LinkPhase.CONNECTING and "TLS" in closed.reason
    assert closed.cause is None or isinstance(closed.cause, BaseException)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is set and lifted as Linux does")
def test_a_link_the_system_has_no_descriptor_for_is_an_error_of_the_library(links: Links) -> None:
    """F78: said to who opens it; the handler hears nothing, and nothing is left behind."""
    import resource

    heard, limits = Recorder(), resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = threading.active_count()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(LinkError, match="too many open files"):
            links.open(LinkSettings(url="ws://127.0.0.1:1/", name="starved"), heard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert heard.calls == [] and threading.active_count() == threads


def test_a_link_the_system_has_no_thread_for_is_an_error_of_the_library(links: Links, monkeypatch) -> None:
    """F78."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    heard = Recorder()
    with monkeypatch.context() as starved:
        starved.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LinkError, match="no thread for it"):
            links.open(LinkSettings(url="ws://127.0.0.1:1/", name="starved"), heard)
    assert heard.calls == []


def test_a_name_nobody_could_be_found_to_look_up_is_looked_up_by_the_next_attempt(monkeypatch) -> None:
    """F78, F09: the system refuses a thread once."""
    start, refused = threading.Thread.start, []

    def refuse_once(thread: threading.Thread) -> None:
        if "lookup" in thread.name and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    dialer, waiter = Dialer(SystemClock(), lambda *_, **__: []), Waiter()
    for problem in ("no thread to look it up", "the lookup was empty"):
        with pytest.raises(LinkError, match=problem):
            dialer.dial("venue.test", 1, proxy=None, deadline_s=time.monotonic() + 5.0, waiter=waiter)
    waiter.close()


def test_sends_over_tls_from_four_threads_while_reading_stay_whole(
    opened: Opened, authority: trustme.CA, ca_file: str
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while True:
            peer.frame(TEXT, peer.read_until(TEXT).payload)

    with Server(script, tls=server_context(authority.issue_cert("localhost"))) as server:
        link, heard = opened(server.url, tls=TlsSettings(ca_file=ca_file))
        heard.wait_open()
        threads = [
            threading.Thread(target=lambda n=n: [link.send(b"%d:" % n + b"y" * 500) for _ in range(100)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        frames = heard.wait_frames(400)
        for thread in threads:
            thread.join(PATIENCE_S)
    assert sorted(frames) == sorted([b"%d:" % n + b"y" * 500 for n in range(4)] * 100)


def test_a_peer_that_takes_much_slowly_over_tls_is_not_taken_for_one_that_takes_no_byte_by_websocket_client(
    authority: trustme.CA, ca_file: str
) -> None:
    got, pace, done = 0, threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        nonlocal got
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        peer.upgrade()
        while got < 8_000_000:
            got += len(peer.sock.recv(16_384))  # a record of TLS
            pace.wait(0.005)
        done.set()
        peer.wait_gone()

    recorder = Recorder()
    with Server(script, tls=server_context(authority.issue_cert("localhost"))) as server:
        settings = settings_for(server.url, tls=TlsSettings(ca_file=ca_file), send_timeout_s=0.8)
        link = WebSocketClientLinks().open(settings, recorder)
        recorder.wait_open()
        link.send(b"L" * 4_000_000)  # the system takes most of it
        link.send(b"M" * 4_000_000)
        assert done.wait(PATIENCE_S), recorder.closed
        link.shutdown()
        assert link.join(5.0)
    assert recorder.closed is not None and recorder.closed.by_us


# ---------------------------------------------------------------- proxies


@pytest.mark.parametrize("auth", [None, "user:pa ss@1"])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_links_go_through_a_proxy(opened: Opened, scheme: str, auth: str | None) -> None:
    seen: list[str] = []
    proxy = http_proxy(seen, auth=auth, in_pieces=True) if scheme == "http" else socks5_proxy(seen, auth=auth)
    user = "user:pa%20ss%401@" if auth else ""
    with Server(polite) as server, Server(proxy) as via:
        link, heard = opened(f"ws://localhost:{server.port}/", proxy=f"{scheme}://{user}127.0.0.1:{via.port}")
        heard.wait_open()
        link.close()
        assert heard.wait_closed().code == 1000
    where = seen[0]
    if scheme == "http":
        assert where == f"CONNECT localhost:{server.port} HTTP/1.1"
    else:  # socks5 looks the name up here, socks5h leaves it to the proxy
        assert where.startswith("3:localhost:" if scheme == "socks5h" else ("1:127.0.0.1:", "4:::1:"))


def test_tls_is_spoken_through_the_proxy_with_the_venue_not_with_the_proxy(
    opened: Opened, authority: trustme.CA, ca_file: str
) -> None:
    seen: list[str] = []
    with (
        Server(echo_once, tls=server_context(authority.issue_cert("localhost"))) as server,
        Server(http_proxy(seen)) as via,
    ):
        _, heard = opened(
            server.url,
            Recorder(on_open=lambda link: link.send(b"x")),
            tls=TlsSettings(ca_file=ca_file),
            proxy=f"http://127.0.0.1:{via.port}",
        )
        heard.wait_frames(50)
    assert len(seen) == 1


def refuse_http(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")


@pytest.mark.parametrize(
    ("scheme", "script"),
    [
        ("http", refuse_http),
        ("http", http_proxy([], auth="other:secret")),
        ("socks5h", socks5_proxy([], auth="other:secret")),
        ("socks5h", lambda peer: peer.send(b"HTTP/1.1 400 no\r\n\r\n")),
        ("http", lambda peer: peer.read_request() and None),
    ],
    ids=["http 403", "http 407", "socks wrong password", "not a socks server", "ends"],
)
def test_a_proxy_that_refuses_ends_the_link_without_showing_its_password(
    opened: Opened, scheme: str, script: Script
) -> None:
    with Server(script) as via:
        _, heard = opened("ws://venue.test/", proxy=f"{scheme}://user:canary@127.0.0.1:{via.port}")
        closed = heard.wait_closed()
    assert closed.phase is LinkPhase.CONNECTING and isinstance(closed.cause, LinkError)
    assert "proxy" in closed.reason and "canary" not in repr(closed)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_that_hangs_or_drips_ends_at_the_connect_deadline(opened: Opened, scheme: str) -> None:
    stop = threading.Event()

    def drip(peer: Peer) -> None:
        peer.read_some()
        for byte in b"HTTP/1.1 200 " + b"x" * 500 if scheme == "http" else b"\x05":
            peer.send(bytes([byte]))
            if stop.wait(0.02):
                return
        peer.hold(stop)

    with Server(drip) as via:
        started = time.monotonic()
        _, heard = opened("ws://venue.test/", proxy=f"{scheme}://127.0.0.1:{via.port}", connect_timeout_s=0.4)
        closed = heard.wait_closed()
        took = time.monotonic() - started
        stop.set()
    assert closed.phase is LinkPhase.CONNECTING and 0.3 < took < 1.5


# ---------------------------------------------------------------- what stays behind


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_two_hundred_openings_and_ends_leave_no_thread_and_no_descriptor(links: Links) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade().frame(TEXT, b"x")
        peer.wait_gone()

    def cycle(url: str, nth: int) -> None:
        heard = Recorder()
        link = links.open(settings_for(url, ping_every_s=1.0, close_timeout_s=0.01), heard)
        if nth % 4:
            heard.wait_frames(1)
        if nth % 2:
            link.close()
        else:
            link.shutdown()
        assert link.join(5.0)
        assert heard.calls[-1] == "closed" and heard.calls.count("closed") == 1

    with Server(script) as server:
        for nth in range(8):
            cycle(server.url, nth)
    gc.collect()
    threads, files = threading.active_count(), open_files()
    with Server(script) as server:
        for nth in range(200):
            cycle(server.url, nth)
    gc.collect()
    assert threading.active_count() == threads
    assert open_files() <= files


def test_a_link_shows_its_state_and_no_secret(opened: Opened) -> None:
    with Server(quietly) as server:
        link, heard = opened(server.url)
        heard.wait_open()
        assert "test/link" in repr(link) and "OPEN" in repr(link) and "canary" not in repr(link)
        assert "canary" not in link.settings.shown_url
