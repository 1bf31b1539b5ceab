"""What an engine's operator wants to know about the process: how its threads share the interpreter, and where each venue runs.

It only looks: nothing is changed, the switch interval least of all, which belongs to the program. Any thread; never waits.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading

import msgspec

__all__ = ["Diagnostics", "VenueDiagnostics", "look_at_process"]


class VenueDiagnostics(msgspec.Struct, frozen=True):
    """Where one venue runs, and how that is. Of a venue on threads, what concerns its process is None.

    Attributes:
        isolation: "thread" or "process".
        pid: of its process; None between two lives.
        lives: processes started so far. ended: why the last one ended, "" before.
        heard_ago_s: seconds since its process was last heard.
        unanswered: asks that were sent there and have not ended.
        waiting, dropped: market data on its way here, and lost because this process did not read.
        threads, switch_interval_s: of its process.
        tree: the live tree over there, as text.
    """

    isolation: str
    pid: int | None
    lives: int = 1
    ended: str = ""
    heard_ago_s: float | None = None
    unanswered: int | None = None
    waiting: int | None = None
    dropped: int | None = None
    threads: int | None = None
    switch_interval_s: float | None = None
    tree: str = ""


class Diagnostics(msgspec.Struct, frozen=True):
    """This process at one moment.

    Attributes:
        switch_interval_s: `sys.getswitchinterval()`: how long a thread may keep the interpreter while others wait. The library
            never sets it; docs/guides/isolation.md has measured advice.
        has_gil: False on a build without the global interpreter lock.
        cpus: of the machine; None where that cannot be known. cpus_allowed: those this process may run on, None as before.
    """

    python: str
    pid: int
    switch_interval_s: float
    has_gil: bool
    cpus: int | None
    cpus_allowed: tuple[int, ...] | None
    threads: int
    venues: dict[str, VenueDiagnostics]


def look_at_process(venues: dict[str, VenueDiagnostics]) -> Diagnostics:
    """The process this is called in, and the venues given."""
    allowed = getattr(os, "sched_getaffinity", None)
    return Diagnostics(
        python=sys.version.split()[0],
        pid=os.getpid(),
        switch_interval_s=sys.getswitchinterval(),
        has_gil=not sysconfig.get_config_var("Py_GIL_DISABLED"),
        cpus=os.cpu_count(),
        cpus_allowed=None if allowed is None else tuple(sorted(allowed(0))),
        threads=threading.active_count(),
        venues=venues,
    )
