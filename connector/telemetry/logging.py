"""Structured logs that are silent until switched on, never show a secret, and never hold up the thread that writes them.

Importing this module disables loguru for everything named `connector`; nothing else happens at import. `logger` is loguru's,
with one patch: every record is scrubbed before any sink (ours or the program's own) sees it. Tracebacks become text
without local variables at that moment, because a sink with `diagnose=True` (loguru's default) would print the secrets in them.

`enable_logging` adds a sink. The thread that logs only puts the record into a bounded queue; one thread per sink, named
`connector-log`, formats and writes. A sink that blocks or raises costs records, which are counted, and nothing else.
Modules log through `logger.bind(venue=…, actor=…, epoch=…)`, never per message on the hot path.
"""

from __future__ import annotations

import atexit
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast

import loguru
import msgspec

from connector.telemetry.redaction import redact, redact_value

if TYPE_CHECKING:
    from loguru import Message, Record

__all__ = ["LogHandle", "Writable", "enable_logging", "logger"]

_BOUND = ("venue", "actor", "epoch")
_FRAMES = 50
_END = object()


class Writable(Protocol):
    """A text stream, such as sys.stderr or an open file."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def _scrub(record: Record) -> None:
    try:
        message, error = redact(record["message"]), record["exception"]
        extra = {name: redact_value(value, name) for name, value in record["extra"].items()}
        if error is not None:
            # Text without locals, now: what a sink does with the exception itself is not ours to say.
            lines = traceback.format_exception(error.type, error.value, error.traceback, limit=_FRAMES)
            extra["traceback"] = redact("".join(lines)).rstrip()
            message = f"{message}\n{extra['traceback']}"
    except Exception as failed:  # noqa: BLE001  # a field whose str() raises must not cost the caller, nor leak
        message, extra = f"(a record that cannot be shown: {type(failed).__name__})", {}
    record["message"], record["exception"] = message, None
    record["extra"].clear()
    record["extra"].update(extra)


loguru.logger.disable("connector")
logger = loguru.logger.patch(_scrub)


def _as_text(record: Record) -> str:
    extra = dict(record["extra"])
    extra.pop("traceback", None)
    when = record["time"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    bound = "".join(f" {name}={extra.pop(name)}" for name in _BOUND if name in extra)
    fields = "".join(f" {name}={value}" for name, value in extra.items())
    message, newline, rest = record["message"].partition("\n")
    return f"{when} {record['level'].name:<8}{bound} {record['name']}: {message}{fields}{newline}{rest}\n"


def _as_json(record: Record) -> str:
    extra = dict(record["extra"])
    fields: dict[str, Any] = {
        "time": record["time"].astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": record["level"].name,
        "logger": record["name"],
        "thread": record["thread"].name,
    }
    fields.update({name: extra.pop(name) for name in _BOUND if name in extra})
    trace = extra.pop("traceback", None)
    fields["message"] = record["message"] if trace is None else record["message"].removesuffix(f"\n{trace}")
    if trace is not None:
        fields["traceback"] = trace
    if extra:
        fields["fields"] = extra
    return msgspec.json.encode(fields).decode() + "\n"


class LogHandle:
    """A sink at work; end it with `disable`, or use it as a context manager.

    Attributes:
        written, dropped, failed: records that reached the sink; that found the queue full; at which the sink raised.
    """

    def __init__(self, write: Callable[[str], object], form: Callable[[Record], str], queue_size: int) -> None:
        self.written = self.dropped = self.failed = 0
        self._write, self._form = write, form
        self._queue: queue.Queue[Any] = queue.Queue(queue_size)
        self._handlers: list[int] = []
        self._restore_default = False
        self._ended = threading.Lock()  # taken once, by the first `disable`
        self._thread = threading.Thread(target=self._drain, name="connector-log", daemon=True)

    def _take(self, message: Message) -> None:  # on the thread that logs, under loguru's lock: nothing here may wait
        try:
            self._queue.put_nowait(message.record)
        except queue.Full:
            self.dropped += 1

    def _drain(self) -> None:
        told = 0
        while True:
            record = self._queue.get()
            if record is _END:
                return
            try:
                if self.dropped > told:
                    missing, told = self.dropped - told, self.dropped
                    self._write(f"({missing} log records were dropped: this sink was too slow)\n")
                if not (record["name"] or "").startswith("connector."):  # the program's own; others may be reading it
                    record = cast("Record", {**record, "extra": dict(record["extra"])})
                    _scrub(record)
                self._write(self._form(record))
                self.written += 1
            except Exception:  # noqa: BLE001  # whatever the program's sink raises
                self.failed += 1

    def disable(self, timeout_s: float = 1.0) -> bool:
        """Stop logging to this sink and write what is queued. Idempotent, any thread.

        Returns:
            False when the sink still blocked after `timeout_s`; its thread, a daemon, is left to it.
        """
        if not self._ended.acquire(blocking=False):
            return not self._thread.is_alive()
        atexit.unregister(self.disable)
        for number in self._handlers:
            loguru.logger.remove(number)
        if self._restore_default:
            loguru.logger.add(sys.stderr)
        with _switch_lock:
            _handles.discard(self)
            if not _handles:
                loguru.logger.disable("connector")
        try:
            self._queue.put(_END, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> LogHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disable()

    def __repr__(self) -> str:
        state = "OFF" if self._ended.locked() else "ON"
        return f"<LogHandle {state} written={self.written} dropped={self.dropped} failed={self.failed}>"


_switch_lock = threading.Lock()  # guards _handles
_handles: set[LogHandle] = set()


def enable_logging(
    level: str | int = "INFO",
    sink: Writable | Callable[[str], object] | None = None,
    *,
    json: bool = False,
    keep_default: bool = False,
    queue_size: int = 10_000,
) -> LogHandle:
    """Let the library speak.

    Args:
        level: the least level shown, loguru's names or numbers.
        sink: a text stream or a function taking one line; sys.stderr unless told. It may block or raise.
        json: one JSON object a line instead of text.
        keep_default: loguru's own first sink prints to stderr whatever is enabled. It is taken out, so that no line is shown
            twice, and this sink also shows what the program itself logs through loguru; `disable` puts it back. True
            leaves it alone and shows the library's records only. Programs with sinks of their own are not affected.
        queue_size: records that may wait for the sink; more are dropped and counted.

    Returns:
        The handle that ends it. Several may be on at once.
    """
    chosen: Any = sys.stderr if sink is None else sink
    if callable(chosen):
        write = chosen
    else:

        def write(text: str) -> None:
            chosen.write(text)
            chosen.flush()

    handle = LogHandle(write, _as_json if json else _as_text, queue_size)
    if not keep_default:
        try:
            loguru.logger.remove(0)
            handle._restore_default = True
        except ValueError:
            keep_default = True  # taken out before: the program has arranged its own sinks
    number = loguru.logger.add(
        handle._take,
        level=level,
        format="{message}",
        filter="connector" if keep_default else None,
        colorize=False,
        backtrace=False,
        diagnose=False,
        catch=True,
    )
    handle._handlers.append(number)
    with _switch_lock:
        _handles.add(handle)
        loguru.logger.enable("connector")
    handle._thread.start()
    atexit.register(handle.disable)
    return handle
