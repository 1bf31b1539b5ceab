"""The small parts below the links: waking a thread that waits, and reading an upgrade's answer."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from connector.transport.thread_link import sendable_close, url_without_user
from connector.transport.upgrade import read_head, retry_after_s
from connector.transport.waiting import Waiter

NOON_NS = 1_792_497_600_000_000_000  # 2026-10-20T12:00:00Z


def test_a_wait_ends_when_the_socket_is_ready_when_woken_and_when_time_is_up() -> None:
    near, far = socket.socketpair()
    waiter = Waiter()
    with near, far:
        assert waiter.wait(near, 0.01) is False
        far.send(b"x")
        assert waiter.wait(near, 5.0) is True
        near.recv(1)
        threading.Timer(0.05, waiter.wake).start()
        started = time.monotonic()
        assert waiter.wait(near, 5.0) is False
        assert time.monotonic() - started < 1.0
        assert waiter.wait(near, 0.0, write=True) is True
        waiter.forget()
    waiter.close()


def test_a_wake_up_before_the_wait_is_not_lost_and_thousands_are_one() -> None:
    waiter = Waiter()
    for _ in range(100_000):
        waiter.wake()
    started = time.monotonic()
    assert waiter.wait(None, 5.0) is False
    assert time.monotonic() - started < 1.0
    started = time.monotonic()
    waiter.wait(None, 0.05)
    assert time.monotonic() - started > 0.04  # all of them were taken by the first wait
    waiter.close()


def test_waking_a_closed_waiter_touches_nobody_elses_descriptor() -> None:
    waiter = Waiter()
    waiter.close()
    waiter.close()
    pairs = [socket.socketpair() for _ in range(4)]  # get the numbers the waiter had
    waiter.interrupt()
    for left, right in pairs:
        left.setblocking(False)
        right.setblocking(False)
        with pytest.raises(BlockingIOError):
            left.recv(1)
        with pytest.raises(BlockingIOError):
            right.recv(1)
        left.close()
        right.close()
    assert waiter.interrupted


def test_a_head_is_read_whatever_its_case_and_order() -> None:
    head = read_head(b"HTTP/1.1 429 Too Many\r\nX-A:1\r\nRETRY-AFTER:  5 \r\nnonsense\r\n\r\nbody: no")
    assert head.status == 429 and head.headers == {"x-a": "1", "retry-after": "5"}


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1\r\n\r\n", b"SSH-2.0 200 x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff\x00"]
)
def test_a_first_line_that_is_not_http_has_no_status(raw: bytes) -> None:
    assert read_head(raw).status is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Tue, 20 Oct 2026 12:01:30 GMT", 90.0),
        ("Tue, 20 Oct 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date_and_never_negative(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, NOON_NS) == expected


def test_a_close_reason_is_cut_to_what_fits_and_stays_utf8() -> None:
    body = sendable_close(4000, "€" * 100)
    assert len(body) <= 125 and body[2:].decode() == "€" * 41


def test_the_user_part_of_a_url_is_not_for_the_venue() -> None:
    assert url_without_user("wss://me:secret@h:9443/ws?a=1") == "wss://h:9443/ws?a=1"
