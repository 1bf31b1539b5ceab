"""Counters lose nothing under threads; a kind of surprise is reported once (faults F19, rank 14, rank 39)."""

from __future__ import annotations

import sys
import threading

import pytest

from connector.telemetry import Counters, OncePerKind, enable_logging


def test_counters_rise_and_are_copied():
    counters = Counters()
    counters.add("b")
    counters.add("a", 5)
    counters.add("b", 0)
    taken = counters.snapshot()
    counters.add("a")
    assert list(taken.items()) == [("a", 5), ("b", 1)]
    assert (counters.get("a"), counters.get("never")) == (6, 0)
    assert repr(counters) == "<Counters a=6 b=1>"


def test_counter_never_falls():
    with pytest.raises(ValueError, match="only rise"):
        Counters().add("a", -1)


def test_no_addition_is_lost_between_threads():
    counters, interval = Counters(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=lambda: [counters.add("x") for _ in range(5_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert counters.get("x") == 40_000


def test_first_of_a_kind_is_reported_and_the_rest_counted():
    told = []
    alarms = OncePerKind("binance", lambda kind, detail: told.append((kind, detail)))
    assert alarms.report("unknown status", "status FOO")
    assert not alarms.report("unknown status", "status BAR")
    assert alarms.report("unknown frame", "x")
    assert told == [("unknown status", "status FOO"), ("unknown frame", "x")]
    assert alarms.counts() == {"unknown status": 2, "unknown frame": 1}
    assert repr(alarms) == "<OncePerKind binance kinds=2 seen=3>"


def test_number_and_length_of_kinds_are_bounded():
    told = []
    alarms = OncePerKind("binance", lambda kind, detail: told.append(kind), max_kinds=3)
    for number in range(1_000):
        alarms.report(f"kind {number}" + "x" * 500)
    assert len(told) == 4
    assert max(map(len, told)) <= OncePerKind.LONGEST_KIND
    assert alarms.counts()[OncePerKind.OTHER] == 997


def test_threads_that_see_the_same_surprise_report_it_once():
    told, start = [], threading.Barrier(8)
    alarms = OncePerKind("binance", lambda kind, detail: told.append(kind))

    def see() -> None:
        start.wait(10)
        for number in range(50):
            alarms.report(f"kind {number}")

    threads = [threading.Thread(target=see) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(set(told)) == 50
    assert sum(alarms.counts().values()) == 400


def test_default_report_is_one_warning_with_the_venue_and_without_secrets():
    lines = []
    alarms = OncePerKind("binance")
    with enable_logging(sink=lines.append, keep_default=True):
        alarms.report("unknown frame", '{"listenKey":"abcdef"}')
        alarms.report("unknown frame", "again")
    (line,) = lines
    assert "WARNING" in line and "venue=binance" in line and "unknown frame" in line
    assert "abcdef" not in line
