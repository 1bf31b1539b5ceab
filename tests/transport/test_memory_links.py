"""Links in memory keep the contract of all links, on a fake clock, with nothing waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from connector.errors import LinkError, NotConnected, SettingsError
from connector.testing.clocks import FakeClock
from connector.testing.memory_links import MemoryLink, MemoryLinks
from connector.transport.contract import Link, LinkClosed, LinkPhase, Links, LinkSettings

SETTINGS = LinkSettings("wss://venue.test/ws", "test/memory", idle_timeout_s=12.0, ping_every_s=None)


class Recorder:
    def __init__(self, on_frames: Callable[[Link], None] | None = None) -> None:
        self.calls: list[str] = []
        self.frames: list[bytes] = []
        self.stamps: list[int] = []
        self.closed: LinkClosed | None = None
        self._on_frames = on_frames

    def on_open(self, link: Link) -> None:
        self.calls.append("open")

    def on_frames(self, link: Link, frames: list[bytes], received_ns: int) -> None:
        self.calls.append("frames")
        self.frames += frames
        self.stamps.append(received_ns)
        if self._on_frames is not None:
            self._on_frames(link)
        self.calls.append("frames done")

    def on_closed(self, link: Link, closed: LinkClosed) -> None:
        self.calls.append("closed")
        self.closed = closed


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def links(clock: FakeClock) -> MemoryLinks:
    return MemoryLinks(clock)


def opened(links: MemoryLinks, handler: Recorder, **changes: object) -> MemoryLink:
    link = links.open(replace(SETTINGS, **changes), handler)  # type: ignore[arg-type]
    links.server.accept()
    return link


def test_nothing_happens_until_the_far_side_acts_and_no_thread_is_started(links: MemoryLinks) -> None:
    threads, heard = threading.active_count(), Recorder()
    link = links.open(SETTINGS, heard)
    assert heard.calls == [] and link.phase is LinkPhase.CONNECTING
    links.server.accept()
    links.server.send(b"a", b"b")
    links.server.close(4000, "bye")
    assert heard.calls == ["open", "frames", "frames done", "closed"]
    assert heard.frames == [b"a", b"b"] and link.join(0.0)
    assert heard.closed == LinkClosed(LinkPhase.OPEN, 4000, "bye")
    assert threading.active_count() == threads
    as_contract: Links = links
    assert as_contract.kind == "memory"


def test_stamps_come_from_the_clock(links: MemoryLinks, clock: FakeClock) -> None:
    heard = Recorder()
    link = opened(links, heard)
    clock.advance(2.0)
    links.server.send(b"x")
    assert heard.stamps == [clock.time_ns()] and link.last_received_s == clock.monotonic_s()


@pytest.mark.parametrize("status", [301, 403, 429, 503])
def test_a_refused_upgrade_tells_status_and_when_to_come_back(links: MemoryLinks, status: int) -> None:
    heard = Recorder()
    links.open(SETTINGS, heard)
    links.server.refuse(status, retry_after_s=7.0)
    assert heard.calls == ["closed"] and heard.closed is not None
    assert (heard.closed.phase, heard.closed.status, heard.closed.retry_after_s) == (LinkPhase.UPGRADING, status, 7.0)


def test_a_connection_that_fails_has_a_cause_and_never_opened(links: MemoryLinks) -> None:
    heard = Recorder()
    links.open(SETTINGS, heard)
    links.server.fail(reason="no address for venue.test")
    assert heard.calls == ["closed"] and heard.closed is not None
    assert heard.closed.phase is LinkPhase.CONNECTING and isinstance(heard.closed.cause, LinkError)


def test_every_deadline_is_judged_by_the_clock(links: MemoryLinks, clock: FakeClock) -> None:
    connecting, upgrading, idle, closing = Recorder(), Recorder(), Recorder(), Recorder()
    links.open(SETTINGS, connecting)
    links.open(SETTINGS, upgrading)
    links.server.connect()
    opened(links, idle)
    link = opened(links, closing)
    links.server.silent()
    link.close(4001)
    clock.advance(1.0)
    links.check_deadlines()
    assert closing.closed is not None and closing.closed.by_us and closing.closed.code == 4001
    clock.advance(4.0)
    links.check_deadlines()
    assert connecting.closed is not None and connecting.closed.phase is LinkPhase.CONNECTING
    assert upgrading.closed is not None and upgrading.closed.phase is LinkPhase.UPGRADING
    assert idle.closed is None
    clock.advance(7.0)
    links.check_deadlines()
    assert idle.closed is not None and "half-open" in idle.closed.reason
    assert links.live == []


def test_pings_keep_a_link_alive_until_the_far_side_falls_silent(links: MemoryLinks, clock: FakeClock) -> None:
    heard = Recorder()
    link = opened(links, heard, ping_every_s=5.0)
    for _ in range(100):
        clock.advance(4.0)
        links.check_deadlines()
    assert link.phase is LinkPhase.OPEN and link.last_received_s == clock.monotonic_s()
    links.server.silent()
    clock.advance(11.9)
    links.check_deadlines()
    assert heard.closed is None
    clock.advance(0.2)
    links.check_deadlines()
    assert heard.closed is not None and not heard.closed.by_us


def test_what_a_link_sends_is_noted_and_may_be_answered(clock: FakeClock) -> None:
    links = MemoryLinks(clock, on_message=lambda link, text: links.server.send(b"ack:" + text, link=link))
    links.on_connect = links.server.accept
    heard = Recorder()
    link = links.open(SETTINGS, heard)
    link.send(b"subscribe")
    assert link.sent == [b"subscribe"] and heard.frames == [b"ack:subscribe"]


def test_send_says_that_nothing_was_sent_unless_open(links: MemoryLinks) -> None:
    heard = Recorder()
    link = links.open(SETTINGS, heard)
    with pytest.raises(NotConnected):
        link.send(b"too early")
    links.server.accept()
    link.shutdown()
    with pytest.raises(NotConnected):
        link.send(b"too late")
    assert link.sent == [] and heard.closed is not None and heard.closed.by_us


def test_a_handler_that_raises_ends_its_link_and_hears_nothing_but_the_end(links: MemoryLinks) -> None:
    failure = SystemExit(3)

    def fail(link: Link) -> None:
        links.server.send(b"second")
        raise failure

    heard = Recorder(on_frames=fail)
    opened(links, heard)
    links.server.send(b"first")
    assert heard.calls == ["open", "frames", "closed"] and heard.frames == [b"first"]
    assert heard.closed is not None and heard.closed.cause is failure and heard.closed.code == 1011


@pytest.mark.parametrize("action", ["close", "shutdown"])
def test_a_handler_may_end_its_own_link_and_is_told_afterwards(links: MemoryLinks, action: str) -> None:
    heard = Recorder(on_frames=lambda link: getattr(link, action)())
    opened(links, heard)
    links.server.send(b"x")
    assert heard.calls == ["open", "frames", "frames done", "closed"]
    assert heard.closed is not None and heard.closed.by_us


def test_a_message_too_long_ends_the_link_after_what_stood_before_it(links: MemoryLinks) -> None:
    heard = Recorder()
    opened(links, heard, max_message_bytes=10)
    links.server.send(b"short", b"x" * 11, b"never")
    assert heard.frames == [b"short"] and heard.closed is not None and heard.closed.code == 1009


def test_settings_are_checked_as_by_every_link(links: MemoryLinks) -> None:
    with pytest.raises(SettingsError):
        links.open(replace(SETTINGS, url="http://venue.test"), Recorder())


def test_with_a_scheduler_all_callbacks_and_deadlines_go_through_it(clock: FakeClock) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(delay_s: float, action: Callable[[], None]) -> None:
        timers.append((clock.monotonic_s() + delay_s, action))

    def run_until(end_s: float) -> None:
        while due := [timer for timer in timers if timer[0] <= end_s]:
            first = min(due, key=lambda timer: timer[0])
            timers.remove(first)
            clock.advance(max(first[0] - clock.monotonic_s(), 0.0))
            first[1]()
        clock.advance(end_s - clock.monotonic_s())

    links = MemoryLinks(clock, call_later=call_later)
    links.on_connect = links.server.accept
    heard = Recorder()
    started = clock.monotonic_s()
    links.open(replace(SETTINGS, ping_every_s=5.0), heard)
    assert heard.calls == []
    run_until(started + 100.0)
    assert heard.calls == ["open"] and len(timers) == 1  # one watch, however long it lives
    links.server.silent()
    run_until(started + 113.0)
    assert heard.calls == ["open", "closed"] and heard.closed is not None and "half-open" in heard.closed.reason


def test_what_is_shown_of_an_address_holds_no_key_and_no_password():
    settings = LinkSettings(
        "wss://user:word@venue.test:9443/ws/SECRETKEY?listenKey=SECRETKEY",
        "venue/stream/private-1",
        proxy="http://me:word@p:1",
    )

    assert settings.shown_url == "wss://venue.test:9443/…"
    assert repr(settings) == "<LinkSettings venue/stream/private-1 wss://venue.test:9443/… by a proxy>"
