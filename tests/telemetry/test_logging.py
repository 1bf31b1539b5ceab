"""Silent by default, structured when on, never a secret, never in the way (fault F79, invariant I10, rank 24)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
import traceback

import loguru
import pytest

from connector.telemetry import enable_logging, forget_secret, register_secret

CANARY = "cAnArY/5ecret+9f8e7d6c5b4a"
DEADLINE_S = 20.0


class Sink:
    """Keeps lines; can be made to block or raise."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.raising = False

    def __call__(self, line: str) -> None:
        self.entered.set()
        assert self.open.wait(DEADLINE_S)
        if self.raising:
            self.raising = False  # it works again next time
            raise OSError("disk full")
        self.lines.append(line)


@pytest.fixture
def canary():
    register_secret(CANARY)
    yield CANARY
    forget_secret(CANARY)


def test_importing_the_library_prints_nothing_and_logging_through_it_prints_nothing():
    program = """
import sys, types
import connector.telemetry as telemetry
module = types.ModuleType("connector.x")
exec("from connector.telemetry import logger\\ndef say(): logger.error('hello')", module.__dict__)
module.say()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_switched_on_it_prints_once_and_is_silent_again_afterwards(library):
    sink = Sink()
    library.say("INFO", "before")
    with enable_logging(sink=sink):
        library.say("INFO", "book {} valid", "BTC/USDT", venue="binance", actor="stream", epoch=3, seq=1204)
        library.say("DEBUG", "not at this level")
    library.say("INFO", "after")
    (line,) = sink.lines
    assert line.endswith("venue=binance actor=stream epoch=3 connector.something: book BTC/USDT valid seq=1204\n")
    assert line.split()[0].endswith("Z")
    assert " INFO " in line


def test_json_lines_carry_the_bound_fields(library):
    sink = Sink()
    with enable_logging("DEBUG", sink, json=True):
        library.say("DEBUG", "hello", venue="binance", epoch=3, spare=[1, "two"])
        try:
            raise ValueError("broken")
        except ValueError:
            library.say_failure("it failed", venue="binance")
    first, second = map(json.loads, sink.lines)
    assert (first["venue"], first["epoch"], first["message"], first["fields"]) == (
        "binance",
        3,
        "hello",
        {"spare": [1, "two"]},
    )
    assert (first["level"], first["logger"]) == ("DEBUG", "connector.something")
    assert second["message"] == "it failed"
    assert second["traceback"].endswith("ValueError: broken")


def test_text_streams_are_written_and_flushed(library):
    stream = io.StringIO()
    with enable_logging(sink=stream):
        library.say("INFO", "hello")
    assert stream.getvalue().endswith("hello\n")


def test_default_sink_is_replaced_so_that_no_line_shows_twice_and_comes_back(library, capsys):
    loguru.logger.remove()
    program = """
import sys, types, loguru
from connector.telemetry import enable_logging
module = types.ModuleType("connector.x")
exec("from connector.telemetry import logger\\ndef say(): logger.error('from the library')", module.__dict__)
with enable_logging():
    module.say()
    loguru.logger.info("from the program")
loguru.logger.info("after")
module.say()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stderr.count("from the library") == 1
    assert done.stderr.count("from the program") == 1
    assert done.stderr.count("after") == 1


def test_exit_of_the_program_writes_what_is_queued():
    program = """
import types
from connector.telemetry import enable_logging
module = types.ModuleType("connector.x")
exec("from connector.telemetry import logger\\ndef say(): logger.error('last words')", module.__dict__)
enable_logging()
module.say()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert "last words" in done.stderr


def test_programs_own_sinks_are_left_alone_and_get_only_what_they_should(library):
    own, ours = [], Sink()
    loguru.logger.remove()
    loguru.logger.add(own.append, format="{name} {message}")
    with enable_logging(sink=ours):
        library.say("INFO", "library line")
        loguru.logger.info("program line")
    assert [line for line in ours.lines if "program line" in line] == []
    assert len(own) == 2


def fail_with_locals(secret: str) -> None:
    local_copy = {"key": secret}
    raise RuntimeError(f"GET /order?signature={secret} failed for {local_copy}")


@pytest.mark.parametrize("as_json", [False, True])
def test_planted_secret_reaches_no_output(library, canary, as_json):
    ours, programs = Sink(), []
    loguru.logger.remove()
    loguru.logger.add(programs.append, backtrace=True, diagnose=True, level=0)  # the most talkative sink there is
    loguru.logger.add(programs.append, serialize=True, backtrace=True, diagnose=True, level=0)
    with enable_logging("TRACE", ours, json=as_json):
        library.say("TRACE", "plain " + canary)
        library.say("INFO", "formatted {}", canary)
        library.say("INFO", "fields", apiKey="short", note=canary, nested={"deep": [canary, {"signature": "abc"}]})
        library.say("INFO", "object", thing=KeyError(canary), raw=canary.encode())
        library.say("INFO", "url https://user:pw12345@venue/api?timestamp=1&signature=deadbeef&x=1")
        library.say("INFO", "quoted cAnArY%2F5ecret%2B9f8e7d6c5b4a")
        try:
            fail_with_locals(canary)
        except RuntimeError as cause:
            try:
                raise ValueError("outer " + canary) from cause
            except ValueError:
                library.say_failure("crash", secret=canary, venue="binance")
    everything = "".join(ours.lines) + "".join(programs)
    assert everything.count("crash") >= 3
    assert "fail_with_locals" in everything, "the traceback itself is still there"
    for secret in (canary, canary[6:], "deadbeef", "pw12345", "5ecret", '"short"', "'short'"):
        assert secret not in everything


def test_traceback_of_the_programs_own_lines_is_shown_scrubbed(canary):
    program = f"""
import loguru
from connector.telemetry import enable_logging, register_secret
register_secret({CANARY!r})
with enable_logging():
    try:
        secret = {CANARY!r}
        raise ValueError("bad " + secret)
    except ValueError:
        loguru.logger.exception("program failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert "ValueError: bad ***" in done.stderr
    assert CANARY not in done.stderr


def test_field_that_cannot_be_shown_costs_the_record_not_the_caller(library):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    sink = Sink()
    with enable_logging(sink=sink):
        library.say("INFO", "hello", thing=Broken())
        library.say("INFO", "next")
    assert "cannot be shown: RuntimeError" in sink.lines[0]
    assert "next" in sink.lines[1]


def test_blocked_sink_drops_and_counts_and_holds_nobody_up(library):
    sink = Sink()
    sink.open.clear()
    handle = enable_logging(sink=sink, queue_size=10)
    library.say("INFO", "first")
    assert sink.entered.wait(DEADLINE_S)
    start_s = time.perf_counter()
    for number in range(1_000):
        library.say("INFO", "line {}", number)
    assert time.perf_counter() - start_s < 5.0
    assert handle.dropped == 990
    assert "dropped=990" in repr(handle)
    sink.open.set()
    assert handle.disable(DEADLINE_S)
    assert handle.written == 11
    assert any("990 log records were dropped" in line for line in sink.lines)


def test_sink_that_stays_blocked_does_not_hold_up_the_end(library):
    sink = Sink()
    sink.open.clear()
    handle = enable_logging(sink=sink, queue_size=10)
    library.say("INFO", "first")
    assert sink.entered.wait(DEADLINE_S)
    assert not handle.disable(0.05)
    sink.open.set()
    handle._thread.join(DEADLINE_S)
    assert not handle._thread.is_alive()


def test_raising_sink_is_counted_and_tried_again(library):
    sink = Sink()
    sink.raising = True
    with enable_logging(sink=sink) as handle:
        library.say("INFO", "lost")
        library.say("INFO", "kept")
    assert (handle.failed, handle.written) == (1, 1)
    assert sink.lines[0].endswith("kept\n")


def test_disable_is_idempotent_and_leaves_no_thread(library):
    before = threading.active_count()
    handle = enable_logging(sink=Sink())
    other = enable_logging(sink=Sink())
    assert handle.disable(DEADLINE_S)
    assert handle.disable(DEADLINE_S)
    library.say("INFO", "still on for the other")
    assert other.disable(DEADLINE_S)
    assert other.written == 1
    assert threading.active_count() == before


def test_secret_never_shows_in_the_error_about_it():
    with pytest.raises(ValueError, match="2 characters") as refused:
        register_secret("k9")
    assert "k9" not in "".join(traceback.format_exception(refused.value)).replace('register_secret("k9")', "")
