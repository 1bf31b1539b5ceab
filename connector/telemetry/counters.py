"""Count what happens, and say each kind of surprise once.

`Counters` only rise. `OncePerKind` reports the first of a kind and counts the rest, so that a venue that changed one field does
not write a gigabyte of log. Neither waits, writes to disk, or grows without bound. Any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from connector.telemetry.logging import logger
from connector.telemetry.redaction import redact

__all__ = ["Counters", "OncePerKind"]


class Counters:
    """Named numbers that only rise; a name exists from its first `add`."""

    __slots__ = ("_lock", "_values")

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one addition at a time; += on a dict entry is not atomic
        self._values: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Raise a counter.

        Raises:
            ValueError: the amount is negative; a counter never falls.
        """
        if amount < 0:
            raise ValueError(f"counter {name} would fall by {-amount}; counters only rise")
        with self._lock:
            self._values[name] = self._values.get(name, 0) + amount

    def get(self, name: str) -> int:
        return self._values.get(name, 0)

    def snapshot(self) -> dict[str, int]:
        """All of them at one moment, by name in alphabetical order."""
        with self._lock:
            return dict(sorted(self._values.items()))

    def __repr__(self) -> str:
        return f"<Counters {' '.join(f'{name}={value}' for name, value in self.snapshot().items())}>"


class OncePerKind:
    """Report the first of each kind, count the rest.

    Args:
        name: whose surprises these are, e.g. the venue's name.
        emit: called with (kind, detail), both redacted, once per kind; logs a warning unless told. It may raise nothing.
        max_kinds: further kinds are counted together under OTHER, and reported once as that.
    """

    OTHER = "further kinds"
    LONGEST_KIND = 120

    def __init__(self, name: str = "", emit: Callable[[str, str], None] | None = None, max_kinds: int = 256) -> None:
        self.name, self._emit, self._max_kinds = name, emit or self._warn, max_kinds
        self._lock = threading.Lock()  # guards _seen; emitting happens outside
        self._seen: dict[str, int] = {}

    def report(self, kind: str, detail: str = "") -> bool:
        """Count one; True when it was the first of its kind and was reported."""
        kind = kind[: self.LONGEST_KIND]
        with self._lock:
            if kind not in self._seen and len(self._seen) >= self._max_kinds:
                kind = self.OTHER
            seen = self._seen[kind] = self._seen.get(kind, 0) + 1
        if seen > 1:
            return False
        self._emit(redact(kind), redact(detail))
        return True

    def _warn(self, kind: str, detail: str) -> None:
        logger.bind(venue=self.name).warning("{} (reported once, counted from now on): {}", kind, detail)

    def counts(self) -> dict[str, int]:
        """How many of each kind so far."""
        with self._lock:
            return dict(self._seen)

    def __repr__(self) -> str:
        counts = self.counts()
        return f"<OncePerKind {self.name} kinds={len(counts)} seen={sum(counts.values())}>"
